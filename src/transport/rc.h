/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the reliable connection: requester, completer, responder, response, timer. IBTA Vol
 * 1, 9.7. */
#ifndef FNS_TRANSPORT_RC_H
#define FNS_TRANSPORT_RC_H

#include "transport/qp.h"

/* At least this often a message asks for an acknowledgement. */
#define FNS_ACK_EVERY 16u
/* A starved host must not look dead: no acknowledgement timeout is shorter. */
#define FNS_RTO_MIN_NS   (4 * FNS_NSEC_PER_MSEC)
#define FNS_PROBE_MIN_NS FNS_NSEC_PER_MSEC
#define FNS_PROBES       3u

/* rc_requester.c */
enum fns_tx_result fns_rc_requester_tx(struct fns_qp *qp);
/* Builds and queues packet seg of w, at pos; n packets as one where they are lent. */
enum fns_gather fns_rc_emit(struct fns_qp *qp, struct fns_wqe *w, uint32_t pos, uint32_t seg,
	uint32_t n, bool again, bool ack_req, enum fns_wc_status *status);
void fns_rc_note_retransmit(struct fns_qp *qp);
/* The work request that a PSN sent and not acknowledged belongs to. */
struct fns_wqe *fns_rc_locate(struct fns_qp *qp, uint32_t psn, uint32_t *pos);
/* Everything from una on is sent again. */
void fns_rc_go_back(struct fns_qp *qp);
/* Sends the last outstanding request packet once more, outside the order of sending, to learn where
 * the responder stands. */
bool fns_rc_probe(struct fns_qp *qp);
/* The work request at pos fails with status once all before it are retired; nothing from it on is
 * sent. */
void fns_rc_fail_at(
	struct fns_qp *qp, uint32_t pos, enum fns_wc_status status, uint32_t vendor_err);
/* Cost in the peer's buffer of packet seg of a work request; 0 for READ and atomics. */
uint32_t fns_rc_cost(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg);
/* Of the n packets from seg on, lent or not. */
static inline uint32_t fns_rc_cost_of(
	const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg, uint32_t n)
{
	uint32_t last = fns_rc_cost(qp, w, seg + n - 1);

	return n == 1 ? last : (n - 1) * fns_rc_cost(qp, w, seg) + last;
}
static inline bool fns_rc_has_response(const struct fns_wqe *w)
{
	return w->op == FNS_WR_READ || w->op == FNS_WR_CMP_SWAP || w->op == FNS_WR_FETCH_ADD;
}
/* Cost of n bytes of READ response in our own buffer. */
uint32_t fns_rc_read_cost(const struct fns_qp *qp, uint32_t npsn);

/* rc_direct.c: the next piece of the work request at sq.cur without packets. */
enum fns_rc_direct {
	FNS_RC_DIRECT_NO,   /* send packets */
	FNS_RC_DIRECT_DONE, /* a piece, or all */
	FNS_RC_DIRECT_WAIT, /* until what is under way is acknowledged, which activates */
};
enum fns_rc_direct fns_rc_direct_piece(struct fns_qp *qp, struct fns_wqe *w);
/* From here on a copy by the kernel beats packets through a ring; below, packets are cheaper to
 * their sender, so only a lone message goes this way. */
#define FNS_DIRECT_BULK 16384u
static inline enum fns_rc_direct fns_rc_direct(struct fns_qp *qp, struct fns_wqe *w)
{
	if (fns_likely(!qp->path->direct) || w->started ||
		(w->length < FNS_DIRECT_BULK && qp->sq.cur + 1 != qp->sq.tail))
		return FNS_RC_DIRECT_NO;
	return fns_rc_direct_piece(qp, w);
}
/* Would this one, as the next, wait for what is under way? Then somebody must ask for an
 * acknowledgement. */
bool fns_rc_direct_wanted(const struct fns_qp *qp, const struct fns_wqe *w);

/* rc_lend.c: SENDs whose payload the receiver fetches from our memory. */
/* From here on one copy by the kernel beats two through a ring. */
#define FNS_LEND_MIN 6144u
/* At the message's start: shall it be lent? */
bool fns_rc_lend_start(struct fns_qp *qp, const struct fns_wqe *w);
static inline bool fns_rc_lend(struct fns_qp *qp, const struct fns_wqe *w)
{
	return fns_unlikely(w->length >= FNS_LEND_MIN) && fns_rc_lend_start(qp, w);
}
/* PSNs that the frame at seg stands for: one is carried, more are lent. */
uint32_t fns_rc_lend_count(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg);
/* Their bytes. */
uint32_t fns_rc_lend_len(
	const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg, uint32_t n);
/* Names the payload to frame f. */
enum fns_gather fns_rc_lend_gather(struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg,
	uint32_t n, struct fns_frame *f, enum fns_wc_status *status);
/* The oldest message was not received, perhaps for being lent: it will be carried. True: it had
 * been lent. */
bool fns_rc_lend_stop(struct fns_qp *qp);

/* rc_completer.c: acknowledgements and responses. */
bool fns_rc_completer_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v);
/* Everything before target is acknowledged. False: the response at una is missing. */
bool fns_rc_ack_before(struct fns_qp *qp, uint32_t target);
/* una has moved. */
void fns_rc_progress(struct fns_qp *qp);
/* The response at una has come, for w. */
void fns_rc_step_response(struct fns_qp *qp, struct fns_wqe *w);
/* What is at una is missing: ask again, once until there is progress. */
void fns_rc_missing(struct fns_qp *qp);
/* The packet that measures the round trip has arrived. */
void fns_rc_rtt(struct fns_qp *qp);
/* Retires what is acknowledged and placed, oldest first. */
void fns_rc_retire(struct fns_qp *qp);

/* rc_cc.c: congestion control */
#define FNS_PACE_FRAME    66u                      /* bytes of a packet before BTH, on Ethernet */
#define FNS_PACE_SLACK_NS (20 * FNS_NSEC_PER_USEC) /* so much lateness is caught up with */
extern const struct fns_cc_out fns_rc_cc_none;     /* before FNS_CC_INIT: no limits */
void fns_rc_cc_event(
	struct fns_qp *qp, enum fns_cc_event_type type, uint64_t bytes, uint64_t rtt_ns);
/* An event, if the algorithm wants it. */
static inline void fns_rc_cc(
	struct fns_qp *qp, enum fns_cc_event_type type, uint64_t bytes, uint64_t rtt_ns)
{
	if (fns_unlikely(qp->cc_events & FNS_CC_ON(type)))
		fns_rc_cc_event(qp, type, bytes, rtt_ns);
}
/*
 * A packet came that a switch had marked: the sender is told, at most once in nic->cnp_ns. Before
 * anything else is made of the packet: this may flush.
 */
void fns_rc_marked(struct fns_qp *qp);
/* After a packet was put last into the txq, if qp->cc_on_sent: paces what follows. */
void fns_rc_cc_sent(struct fns_qp *qp);

/* rc_responder.c: requests. */
bool fns_rc_responder_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v);

struct fns_irn_slot;
/* The PSN expected. view or, with a packet kept until its turn, slot is NULL. True: the view was
 * kept. */
bool fns_rc_execute(
	struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *view, struct fns_irn_slot *slot);
/* Commits what can be. */
void fns_rc_drain(struct fns_qp *qp);
/* Once until the PSN expected arrives. */
void fns_rc_sequence_nak(struct fns_qp *qp);
/*
 * rc_offload.c: a packet of a SEND on a queue pair that is bound to services. PASS: it is not for
 * them. TAKE: op->call is set if it completes a request. BUSY: not now.
 */
enum fns_offload_verdict fns_rc_offload_send(
	struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op);

/* rc_response.c: what goes back. */
void fns_rc_respond_ack(struct fns_qp *qp);
/* False: no room. */
bool fns_rc_respond(struct fns_qp *qp, const struct fns_rsp *rsp);
enum fns_tx_result fns_rc_response_tx(struct fns_qp *qp);
static inline uint32_t fns_rc_response_count(const struct fns_qp *qp)
{
	return qp->rsp.rsp_tail - qp->rsp.rsp_head;
}

/* rc_timer.c */
/* Makes sure that the timer runs while something is outstanding. */
void fns_rc_timer_arm_now(struct fns_qp *qp);
static inline void fns_rc_timer_arm(struct fns_qp *qp)
{
	/* Something pending moves later, but for RNR and pacing, which may be nearer than the
	 * timeout set. */
	if (fns_unlikely(!fns_timer_is_set(&qp->timer) || qp->req.rnr_until_ns ||
			 qp->req.pace_ns > qp->nic->now_ns))
		fns_rc_timer_arm_now(qp);
}
void fns_rc_timer(struct fns_qp *qp);

#endif
