/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC completer: acknowledgements and responses complete work requests, in order
 * (IBTA 9.7.5, 9.7.7). READ data is placed first: una follows what arrived, retirement follows what
 * is placed.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "transport/irn.h"

static void sq_drained(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	if (qp->state != FNS_QPS_SQD || !r->draining)
		return;
	if (!fns_sq_idle(&qp->sq))
		return;
	r->draining = false;
	if (qp->attr.sq_draining)
		fns_qp_event(qp, FNS_EVENT_SQ_DRAINED);
}

void fns_rc_retire(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	bool any = false;

	while (qp->sq.head != r->ack_pos && !(r->failing && qp->sq.head == r->fail_pos)) {
		if (fns_sq_at(&qp->sq, qp->sq.head)->pending)
			break;
		fns_sq_retire(qp, FNS_WC_SUCCESS, 0);
		any = true;
		if (qp->state == FNS_QPS_ERR) { /* its completion queue overran */
			fns_qp_flush(qp);
			return;
		}
	}
	if (r->failing && qp->sq.head == r->fail_pos) {
		fns_qp_error(qp, r->fail_status, r->fail_vendor, -1);
		return;
	}
	if (any) {
		sq_drained(qp);
		if (qp->sq.cur != qp->sq.tail)
			fns_qp_activate(qp);
	}
}

void fns_rc_progress(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	r->progress_ns = qp->nic->now_ns;
	r->retry_left = qp->attr.retry_cnt;
	r->rnr_left = qp->attr.rnr_retry;
	r->probes = 0;
	r->implied_nak = false;
	if (r->asked && psn_diff(r->una, r->ask_psn) > 0)
		fns_peer_unask(qp);
	r->resend_una = false;
	if (fns_unlikely(r->irn_tx != NULL))
		fns_irn_progress(qp);
}

static uint64_t rtt_sample(struct fns_requester *r, uint64_t now)
{
	uint64_t rtt;

	rtt = now - FNS_MIN(now, r->rtt_sent_ns);
	r->rtt_sent_ns = 0;
	r->srtt_ns = r->srtt_ns ? (7 * r->srtt_ns + rtt) / 8 : rtt;
	return rtt ? rtt : 1;
}

static uint64_t take_rtt(struct fns_requester *r, uint64_t now)
{
	if (r->rtt_sent_ns == 0 || psn_diff(r->una, r->rtt_psn) <= 0)
		return 0;
	return rtt_sample(r, now);
}

void fns_rc_rtt(struct fns_qp *qp)
{
	(void)rtt_sample(&qp->req, qp->nic->now_ns);
}

/* una moves n PSNs within work request w; those before the cursor are charged. */
static void step(struct fns_qp *qp, struct fns_wqe *w, uint32_t n, uint32_t *cost, uint64_t *bytes)
{
	struct fns_requester *r = &qp->req;
	uint32_t seg = (uint32_t)psn_diff(r->una, w->first_psn);
	int32_t charged = psn_diff(r->psn, r->una);
	uint32_t i, k = charged <= 0 ? 0 : FNS_MIN((uint32_t)charged, n);

	if (k && !fns_rc_has_response(w)) {
		bool last = seg + k == w->npsn;
		uint32_t full = last ? k - 1 : k;

		if (full) {
			*cost += full * fns_rc_cost(qp, w, seg);
			*bytes += (uint64_t)full * qp->pmtu;
		}
		for (i = full; i < k; i++) {
			*cost += fns_rc_cost(qp, w, seg + i);
			*bytes += fns_seg_len(qp, w, seg + i);
		}
	}
	r->una = psn_add(r->una, n);
	if (r->una == psn_add(w->first_psn, w->npsn))
		r->ack_pos++;
}

/* The cursor was overtaken: what it would send again has arrived after all. */
static void cursor_follow(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	if (psn_diff(r->una, r->psn) <= 0)
		return;
	fns_fetch_cancel(qp->nic, &r->fetch);
	r->psn = r->una;
	qp->sq.cur = r->ack_pos;
	r->seg = 0;
	if (r->ack_pos != qp->sq.tail && fns_sq_at(&qp->sq, r->ack_pos)->started)
		r->seg = (uint32_t)psn_diff(r->una, fns_sq_at(&qp->sq, r->ack_pos)->first_psn);
}

/*
 * Everything before target is acknowledged, except that a READ or atomic whose response is missing
 * stops it. Returns true if una reached target.
 */
bool fns_rc_ack_before(struct fns_qp *qp, uint32_t target)
{
	struct fns_requester *r = &qp->req;
	uint32_t cost = 0, before = r->una;
	uint64_t bytes = 0, rtt;

	while (psn_diff(target, r->una) > 0) {
		struct fns_wqe *w = fns_sq_at(&qp->sq, r->ack_pos);
		uint32_t end = psn_add(w->first_psn, w->npsn);
		int32_t n = FNS_MIN(psn_diff(target, r->una), psn_diff(end, r->una));

		if (fns_rc_has_response(w))
			break;
		step(qp, w, (uint32_t)n, &cost, &bytes);
	}
	if (r->una != before) {
		fns_rc_progress(qp);
		cursor_follow(qp);
		r->cost -= cost;
		r->inflight_bytes -= bytes;
		fns_peer_release(qp->nic, qp->peer, cost, true);
		rtt = take_rtt(r, qp->nic->now_ns);
		fns_rc_cc(qp, FNS_CC_ACK, bytes, rtt);
		if (qp->sq.cur != qp->sq.tail)
			fns_qp_activate(qp);
	}
	return r->una == target || psn_diff(target, r->una) < 0;
}

/* A later acknowledgement shows that a response was lost (IBTA 9.7.5.1.1): ask again, once until
 * there is progress. */
void fns_rc_missing(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	if (r->implied_nak || fns_irn_asked(qp))
		return;
	r->implied_nak = true;
	fns_count(qp->nic->stats, FNS_C_rc_implied_naks);
	fns_rc_cc(qp, FNS_CC_LOSS, 0, 0);
	if (r->scheme == FNS_SCHEME_IRN && psn_diff(r->psn, r->una) > 0 &&
		fns_rc_has_response(fns_sq_at(&qp->sq, r->ack_pos))) {
		r->resend_una = true;
		fns_qp_activate(qp);
		return;
	}
	fns_rc_go_back(qp);
}

static bool in_window(struct fns_qp *qp, uint32_t psn)
{
	struct fns_requester *r = &qp->req;

	return psn_diff(psn, r->una) >= 0 && psn_diff(psn, r->max_psn) < 0;
}

static bool spend_retry(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	if (r->retry_left == 0) {
		fns_rc_fail_at(qp, r->ack_pos, FNS_WC_RETRY_EXC_ERR, 0);
		return false;
	}
	r->retry_left--;
	return true;
}

static void on_sequence_nak(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	fns_count(qp->nic->stats, FNS_C_rc_seq_naks_received);
	if (r->psn == r->una)
		return;             /* already going back to here */
	if (fns_rc_lend_stop(qp)) { /* nothing was lost: no retry is spent */
		fns_rc_go_back(qp);
		return;
	}
	fns_peer_loss(qp->nic, qp->peer, r->srtt_ns);
	fns_rc_cc(qp, FNS_CC_LOSS, 0, 0);
	if (spend_retry(qp))
		fns_rc_go_back(qp);
}

static void on_rnr_nak(struct fns_qp *qp, uint8_t code)
{
	struct fns_requester *r = &qp->req;

	fns_count(qp->nic->stats, FNS_C_rc_rnr_naks_received);
	if (r->rnr_until_ns)
		return;
	if (r->rnr_left == 0) {
		fns_rc_fail_at(qp, r->ack_pos, FNS_WC_RNR_RETRY_EXC_ERR, 0);
		return;
	}
	if (r->rnr_left < 7)
		r->rnr_left--;
	fns_rc_go_back(qp);
	r->rnr_until_ns = qp->nic->now_ns + fns_rnr_timer_ns(code);
	fns_rc_timer_arm(qp);
}

static void on_nak(struct fns_qp *qp, const struct fns_hdr *h)
{
	static const uint8_t status[] = {
		[FNS_NAK_INVALID_REQUEST] = FNS_WC_REM_INV_REQ_ERR,
		[FNS_NAK_REMOTE_ACCESS] = FNS_WC_REM_ACCESS_ERR,
		[FNS_NAK_REMOTE_OPERATIONAL] = FNS_WC_REM_OP_ERR,
		[FNS_NAK_INVALID_RD_REQUEST] = FNS_WC_REM_INV_REQ_ERR,
	};
	uint8_t code = h->syndrome & FNS_AETH_VALUE_MASK;

	if (code == FNS_NAK_PSN_SEQUENCE) {
		on_sequence_nak(qp);
		return;
	}
	if (code >= FNS_ARRAY_SIZE(status)) { /* reserved: IBTA has the requester drop it */
		fns_count(qp->nic->stats, FNS_C_drop_header);
		return;
	}
	fns_count(qp->nic->stats, FNS_C_rc_fatal_naks_received);
	fns_rc_fail_at(qp, qp->req.ack_pos, status[code], h->syndrome);
}

static void on_ack(struct fns_qp *qp, const struct fns_hdr *h)
{
	struct fns_requester *r = &qp->req;
	uint8_t type = h->syndrome & FNS_AETH_TYPE_MASK;

	fns_count(qp->nic->stats, FNS_C_acks_received);
	if (!in_window(qp, h->psn)) {
		fns_count(qp->nic->stats, FNS_C_drop_stale_ack);
		return;
	}
	if (type == FNS_AETH_ACK) {
		if (!fns_rc_ack_before(qp, psn_add(h->psn, 1)))
			fns_rc_missing(qp);
		fns_rc_retire(qp);
		return;
	}
	if (type != FNS_AETH_NAK && type != FNS_AETH_RNR) {
		fns_count(qp->nic->stats, FNS_C_drop_header);
		return;
	}
	/* Any NAK acknowledges what came before it. */
	if (!fns_rc_ack_before(qp, h->psn)) {
		fns_rc_missing(qp);
		fns_rc_retire(qp);
		return;
	}
	fns_rc_retire(qp);
	if (qp->state == FNS_QPS_ERR || r->una != h->psn)
		return;
	if (type == FNS_AETH_RNR)
		on_rnr_nak(qp, h->syndrome & FNS_AETH_VALUE_MASK);
	else
		on_nak(qp, h);
}

static void on_sack(struct fns_qp *qp, const struct fns_hdr *h)
{
	struct fns_requester *r = &qp->req;
	struct fns_sack s;

	fns_count(qp->nic->stats, FNS_C_acks_received);
	if (!fns_sack_parse(h->payload, h->payload_len, &s) || h->pad) {
		fns_count(qp->nic->stats, FNS_C_drop_header);
		return;
	}
	if (psn_diff(h->psn, r->una) < -1 || psn_diff(h->psn, r->max_psn) >= 0) {
		fns_count(qp->nic->stats, FNS_C_drop_stale_ack);
		return;
	}
	if (!fns_rc_ack_before(qp, psn_add(h->psn, 1)))
		fns_rc_missing(qp);
	fns_rc_retire(qp);
	if (qp->state == FNS_QPS_RTS || qp->state == FNS_QPS_SQD)
		fns_irn_sacked(qp, &s);
}

static void response_placed(struct fns_rxop *op)
{
	struct fns_qp *qp = op->qp;
	struct fns_wqe *w;

	/* After an error or a reset the work request is gone. */
	if (qp->state != FNS_QPS_ERR && qp->state != FNS_QPS_RESET) {
		w = fns_sq_at(&qp->sq, op->wqe);
		w->pending--;
		if (op->result < 0)
			fns_rc_fail_at(qp, op->wqe, FNS_WC_LOC_PROT_ERR, 0);
		else
			fns_rc_retire(qp);
	}
	fns_rxop_put(op);
}

/* The response at una has come. */
void fns_rc_step_response(struct fns_qp *qp, struct fns_wqe *w)
{
	struct fns_requester *r = &qp->req;
	uint32_t seg = (uint32_t)psn_diff(r->una, w->first_psn);
	uint32_t chunk = fns_seg_read_chunk(qp);

	r->una = psn_add(r->una, 1);
	if (seg + 1 == w->npsn)
		r->ack_pos++;
	if (psn_diff(r->una, r->psn) > 0) {
		cursor_follow(qp);
	} else {
		bool ends = seg + 1 == w->npsn || (seg + 1) % chunk == 0;

		if (w->op == FNS_WR_READ) {
			/* In the middle by the packet; the two ends with the last. */
			uint32_t c = fns_rc_read_cost(qp, 3) - fns_rc_read_cost(qp, 2);

			if (ends)
				c += 2 * (fns_rc_read_cost(qp, 1) - c);
			c = FNS_MIN(c, r->rd_cost);
			r->rd_cost -= c;
			qp->nic->read_cost -= c;
		}
		if (ends && r->rd_inflight)
			r->rd_inflight--;
	}
	if (r->rd_inflight == 0) { /* what partial requests left over */
		qp->nic->read_cost -= r->rd_cost;
		r->rd_cost = 0;
	}
}

/*
 * Places one response's payload for the work request at pos. In its turn una moves, before the
 * placement may complete and retire the work request. True: the view was kept.
 */
static bool place_response(struct fns_qp *qp, uint32_t pos, uint32_t psn, struct fns_rx_view *v,
	const uint8_t *data, uint32_t off, uint32_t len)
{
	enum fns_wc_status status = FNS_WC_LOC_PROT_ERR;
	struct fns_wqe *w = fns_sq_at(&qp->sq, pos);
	struct fns_rxop *op;
	int n;

	op = fns_rxop_get(qp, FNS_RXOP_RESPONSE);
	if (!op)
		return false;
	n = fns_sge_refs(
		qp, w->sge, w->num_sge, off, len, FNS_ACCESS_LOCAL_WRITE, op->ref, &status);
	if (n < 0) {
		fns_rxop_put(op);
		fns_rc_fail_at(qp, pos, status, 0);
		return false;
	}
	op->nref = (uint8_t)n;
	op->wqe = pos;
	w->pending++;
	if (v)
		fns_rxop_hold(op, v);
	if (w->op != FNS_WR_READ) {
		memcpy(op->grh, data, sizeof(uint64_t));
		data = op->grh;
	}
	if (fns_likely(psn == qp->req.una)) {
		fns_rc_step_response(qp, w);
		fns_rc_progress(qp);
		fns_rc_cc(qp, FNS_CC_ACK, len, take_rtt(&qp->req, qp->nic->now_ns));
		if (fns_unlikely(qp->req.rsp_any))
			fns_irn_responses(qp);
		fns_qp_wake(qp->nic, &qp->nic->read_waiters);
		if (qp->sq.cur != qp->sq.tail)
			fns_qp_activate(qp);
	} else {
		fns_irn_response(qp, psn);
	}
	fns_rxop_place(op, data, response_placed);
	return v != NULL;
}

static bool bad_response(struct fns_qp *qp)
{
	fns_rc_fail_at(qp, qp->req.ack_pos, FNS_WC_BAD_RESP_ERR, 0);
	return false;
}

/* Is it what w was asked for? Every request asks to the end of its chunk: there the responses end,
 * and nowhere else. */
static bool response_fits(struct fns_qp *qp, const struct fns_wqe *w, const struct fns_hdr *h)
{
	uint32_t seg;
	bool ends;

	if (h->opcode == FNS_OP_ATOMIC_ACK)
		return w->op == FNS_WR_CMP_SWAP || w->op == FNS_WR_FETCH_ADD;
	if (w->op != FNS_WR_READ)
		return false;
	seg = (uint32_t)psn_diff(h->psn, w->first_psn);
	ends = fns_seg_read_count(qp, w, seg) == 1;
	return h->payload_len == fns_seg_len(qp, w, seg) &&
	       !!(h->info->flags & (FNS_OPF_LAST | FNS_OPF_ONLY)) == ends;
}

static bool take_response(struct fns_qp *qp, uint32_t pos, struct fns_hdr *h, struct fns_rx_view *v)
{
	const struct fns_wqe *w = fns_sq_at(&qp->sq, pos);
	uint32_t seg = (uint32_t)psn_diff(h->psn, w->first_psn);
	uint64_t orig = h->orig;

	if (h->opcode == FNS_OP_ATOMIC_ACK) {
		place_response(qp, pos, h->psn, NULL, (const uint8_t *)&orig, 0, sizeof(orig));
		return false;
	}
	return place_response(
		qp, pos, h->psn, v, h->payload, seg * qp->pmtu, fns_seg_len(qp, w, seg));
}

/* Behind a response that is missing. */
static bool on_early_response(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	struct fns_requester *r = &qp->req;
	struct fns_wqe *w;
	uint32_t pos;

	if ((qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD) ||
		!fns_irn_response_new(qp, h->psn))
		return false;
	w = fns_rc_locate(qp, h->psn, &pos);
	if ((r->failing && (int32_t)(pos - r->fail_pos) >= 0) || !response_fits(qp, w, h))
		return false; /* to be judged in its turn */
	return take_response(qp, pos, h, v);
}

static bool on_response(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	struct fns_requester *r = &qp->req;

	if (!in_window(qp, h->psn)) {
		fns_count(qp->nic->stats, FNS_C_drop_stale_ack);
		return false;
	}
	if (!fns_rc_ack_before(qp, h->psn)) {
		fns_rc_missing(qp);
		fns_rc_retire(qp);
		return on_early_response(qp, h, v);
	}
	fns_rc_retire(qp);
	if (qp->state == FNS_QPS_ERR || r->una != h->psn ||
		(r->failing && r->fail_pos == r->ack_pos))
		return false;
	if (!response_fits(qp, fns_sq_at(&qp->sq, r->ack_pos), h))
		return bad_response(qp);
	return take_response(qp, r->ack_pos, h, v);
}

bool fns_rc_completer_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	if (qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD) {
		fns_count(qp->nic->stats, FNS_C_drop_qp_state);
		return false;
	}
	if (h->opcode == FNS_OP_ACK) {
		on_ack(qp, h);
		return false;
	}
	if (h->opcode == FNS_OP_SACK) {
		on_sack(qp, h);
		return false;
	}
	if (h->opcode == FNS_OP_CNP) {
		fns_count(qp->nic->stats, FNS_C_cnps_received);
		fns_rc_cc(qp, FNS_CC_CNP, 0, 0);
		return false;
	}
	if (fns_unlikely(v->ecn == FNS_ECN_CE)) {
		fns_rc_marked(qp);
		if (qp->state == FNS_QPS_ERR)
			return false;
	}
	return on_response(qp, h, v);
}
