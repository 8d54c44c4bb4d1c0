/* SPDX-License-Identifier: Apache-2.0 */
/* RoCEv2 reliable connection with go-back-N: the table that the engine calls, and the queue pair's
 * life. */
#include <string.h>

#include "transport/rc.h"

const struct fns_cc_out fns_rc_cc_none = {
	.window_bytes = FNS_CC_UNLIMITED, .rate_bps = FNS_CC_UNLIMITED, .timer_ns = FNS_CC_NEVER};

static void rc_reset(struct fns_qp *qp)
{
	fns_qp_stop(qp);
	fns_qp_offload_drop(qp);
	memset(&qp->req, 0, sizeof(qp->req));
	memset(&qp->rsp, 0, sizeof(qp->rsp));
	fns_list_init(&qp->rsp.ops);
	memset(qp->cc_ctx.state, 0, sizeof(qp->cc_ctx.state));
	qp->cc_out = fns_rc_cc_none;
	qp->cc_on_sent = false;
	qp->sq.head = qp->sq.cur = qp->sq.tail = qp->sq.ours = 0;
	qp->rq.head = qp->rq.tail = 0;
	qp->last_wqe_event = qp->comm_est = false;
}

static void rc_to_rtr(struct fns_qp *qp)
{
	qp->rsp.epsn = qp->rsp.placed = qp->attr.rq_psn & FNS_PSN_MASK;
}

static void rc_to_rts(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	r->psn = r->max_psn = r->una = qp->attr.sq_psn & FNS_PSN_MASK;
	r->rsp_asked = r->una;
	r->retry_left = qp->attr.retry_cnt;
	r->rnr_left = qp->attr.rnr_retry;
	fns_rc_cc(qp, FNS_CC_INIT, 0, 0);
}

static bool one_ack(const struct fns_qp *qp)
{
	const struct fns_responder *r = &qp->rsp;

	return fns_rc_response_count(qp) == 1 && fns_qp_rsp(qp, r->rsp_head)->kind == FNS_RSP_ACK;
}

static bool rc_only_acks(const struct fns_qp *qp)
{
	return one_ack(qp) && !qp->rsp.irn && (qp->sq.cur == qp->sq.tail || qp->req.rnr_until_ns);
}

static enum fns_tx_result rc_tx(struct fns_qp *qp)
{
	enum fns_tx_result a, b;

	/* A request that answers what we just received is more urgent than the acknowledgement of
	 * it. */
	if (one_ack(qp)) {
		b = fns_rc_requester_tx(qp);
		a = fns_rc_response_tx(qp);
		return a == FNS_TX_BLOCKED ? a : b;
	}
	/* Other responses first: the peer's progress depends on them, and they are bounded by its
	 * requests. */
	a = fns_rc_response_tx(qp);
	if (a != FNS_TX_IDLE)
		return a;
	return fns_rc_requester_tx(qp);
}

static bool rc_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	if (h->info->flags & FNS_OPF_REQUEST)
		return fns_rc_responder_rx(qp, h, v);
	return fns_rc_completer_rx(qp, h, v);
}

/* Payload that could not be read: of a request, its work request fails; of a READ response, the
 * peer is refused. */
static void rc_tx_done(struct fns_qp *qp, const struct fns_frame *f)
{
	uint32_t pos;

	if (f->status != FNS_FRAME_FAULT)
		return;
	fns_count(qp->nic->stats, FNS_C_memory_faults);
	if (!(fns_opcodes[f->hdr[0]].flags & FNS_OPF_REQUEST)) {
		const struct fns_rsp nak = {.kind = FNS_RSP_NAK,
			.syndrome = FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS,
			.psn = f->psn,
			.msn = qp->rsp.msn};

		if (qp->rsp.dying)
			return;
		qp->rsp.dying = true;
		qp->rsp.rsp_tail = qp->rsp.rsp_head;
		fns_rc_respond(qp, &nak);
		fns_count(qp->nic->stats, FNS_C_rc_fatal_naks_sent);
		fns_qp_error(qp, FNS_WC_SUCCESS, 0, FNS_EVENT_QP_ACCESS_ERR);
		return;
	}
	for (pos = qp->sq.head; pos != qp->sq.tail; pos++) {
		const struct fns_wqe *w = fns_sq_at(&qp->sq, pos);

		if (!w->started || psn_diff(psn_add(w->first_psn, w->npsn), f->psn) <= 0)
			continue;
		fns_rc_fail_at(qp, pos, FNS_WC_LOC_PROT_ERR, 0);
		if (qp->state != FNS_QPS_ERR && (int32_t)(qp->sq.cur - pos) > 0)
			fns_rc_go_back(qp);
		return;
	}
}

const struct fns_transport_ops fns_transport_rc = {
	.name = "rc",
	.qp_type = FNS_QPT_RC,
	.tclass = FNS_TC_RC,
	.reset = rc_reset,
	.to_rtr = rc_to_rtr,
	.to_rts = rc_to_rts,
	.tx = rc_tx,
	.only_acks = rc_only_acks,
	.rx = rc_rx,
	.tx_done = rc_tx_done,
	.timer = fns_rc_timer,
};
