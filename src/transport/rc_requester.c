/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC requester: work requests become request packets (IBTA 9.7.3). Datapath 4/9: from engine/tx to
 * wire.
 *
 * PSNs in flight: una <= psn <= max_psn. psn is the cursor; it falls back to una when something was
 * lost (go-back-N) and everything below max_psn is then a retransmission. The work requests between
 * ack_pos and sq.cur hold these PSNs.
 */
#include "base/assert.h"
#include "transport/irn.h"

uint32_t fns_rc_cost(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg)
{
	struct fns_wire *wire = qp->nic->wire;

	if (fns_rc_has_response(w))
		return 0;
	return wire->ops->rx_cost(
		wire, FNS_BTH_LEN + 16 + fns_seg_len(qp, w, seg) + FNS_ICRC_LEN, w->bulk);
}

/* The middle of a READ's responses is a train; the first and the last, which carry an AETH, travel
 * alone. */
uint32_t fns_rc_read_cost(const struct fns_qp *qp, uint32_t npsn)
{
	struct fns_wire *wire = qp->nic->wire;
	uint32_t len = FNS_BTH_LEN + 4 + qp->pmtu + FNS_ICRC_LEN;
	uint32_t ends = FNS_MIN(npsn, 2u);

	return ends * wire->ops->rx_cost(wire, len, false) +
	       (npsn - ends) * wire->ops->rx_cost(wire, len, true);
}

void fns_rc_go_back(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	struct fns_nic *nic = qp->nic;

	if (r->psn == r->una)
		return;
	fns_fetch_cancel(nic, &r->fetch);
	fns_irn_tx_drop(qp);
	r->probing = r->resend_una = r->resending = false;
	r->rsp_asked = r->una;
	qp->sq.cur = r->ack_pos;
	r->seg = (uint32_t)psn_diff(r->una, fns_sq_at(&qp->sq, r->ack_pos)->first_psn);
	r->psn = r->una;
	r->inflight_bytes = 0;
	r->rtt_sent_ns = 0;
	r->rd_inflight = 0;
	r->since_ack_req = 0;
	fns_peer_unask(qp);
	nic->read_cost -= r->rd_cost;
	if (r->rd_cost)
		fns_qp_wake(nic, &nic->read_waiters); /* this queue pair may never ask again */
	r->rd_cost = 0;
	fns_peer_release(nic, qp->peer, r->cost, false);
	r->cost = 0;
	fns_qp_activate(qp);
}

void fns_rc_fail_at(struct fns_qp *qp, uint32_t pos, enum fns_wc_status status, uint32_t vendor_err)
{
	struct fns_requester *r = &qp->req;

	if (qp->state == FNS_QPS_ERR || qp->state == FNS_QPS_RESET)
		return;
	if (r->failing && (int32_t)(r->fail_pos - pos) <= 0)
		return;
	r->failing = true;
	r->fail_pos = pos;
	r->fail_status = (uint8_t)status;
	r->fail_vendor = vendor_err;
	fns_rc_retire(qp);
}

/* Is an earlier READ or atomic without response, or its data not placed yet? Retirement wakes. */
static bool fenced(struct fns_qp *qp)
{
	uint32_t pos;

	if (qp->req.rd_inflight)
		return true;
	for (pos = qp->sq.head; pos != qp->sq.cur; pos++)
		if (fns_sq_at(&qp->sq, pos)->pending)
			return true;
	return false;
}

/* First sight of a work request. False: it has to wait, or is done already. */
static bool start(struct fns_qp *qp, struct fns_wqe *w)
{
	struct fns_requester *r = &qp->req;

	if (qp->state == FNS_QPS_SQD)
		return false;
	if ((w->flags & FNS_WRF_FENCE) && fenced(qp))
		return false;
	w->first_psn = r->psn;
	w->npsn = fns_seg_count(qp, w);
	w->bulk = fns_seg_bulk(qp, w);
	w->pending = 0;
	w->lent = fns_rc_lend(qp, w);
	w->started = true;
	r->seg = 0;
	return true;
}

static bool is_local(const struct fns_wqe *w)
{
	return w->op == FNS_WR_LOCAL_INV || w->op == FNS_WR_BIND_MW;
}

/* Local operations take no PSN: they run when all before them are complete. False: not yet, or
 * failed. */
static bool local_op(struct fns_qp *qp, struct fns_wqe *w)
{
	struct fns_mem *mem = qp->nic->mem;
	enum fns_wc_status st = FNS_WC_SUCCESS;

	if (qp->state == FNS_QPS_SQD || qp->sq.head != qp->sq.cur)
		return false;
	if (w->op == FNS_WR_BIND_MW)
		st = fns_mw_bind(mem, qp->pd, qp->qpn, w->ah, w->remote_qpn, w->qkey, w->swap_add,
			w->compare, w->access);
	else if (fns_mw_invalidate(mem, qp->pd, qp->qpn, w->imm) != 0)
		st = FNS_WC_MW_BIND_ERR;
	if (st != FNS_WC_SUCCESS) {
		fns_rc_fail_at(qp, qp->sq.cur, st, 0);
		return false;
	}
	qp->sq.cur++;
	qp->req.ack_pos = qp->sq.cur;
	fns_sq_retire(qp, FNS_WC_SUCCESS, 0);
	if (qp->state == FNS_QPS_ERR) /* its completion queue overran */
		fns_qp_flush(qp);
	return true;
}

static uint64_t fetch_key(uint32_t pos, uint32_t seg)
{
	return (uint64_t)pos << 32 | seg;
}

enum fns_gather fns_rc_emit(struct fns_qp *qp, struct fns_wqe *w, uint32_t pos, uint32_t seg,
	uint32_t n, bool again, bool ack_req, enum fns_wc_status *status)
{
	struct fns_nic *nic = qp->nic;
	struct fns_hdr h = {0};
	struct fns_frame *f = fns_txq_frame(nic, FNS_MAX_SGE);
	enum fns_gather g;
	void *buf = NULL;

	if (!f)
		return FNS_GATHER_RETRY;
	fns_seg_header(qp, w, seg, n, ack_req, &h);
	h.selective = qp->req.scheme == FNS_SCHEME_IRN;
	if (fns_unlikely(w->lent && n > 1)) {
		h.pad = 0;
		g = fns_rc_lend_gather(qp, w, seg, n, f, status);
		if (g != FNS_GATHER_OK)
			return g;
	} else if (!fns_rc_has_response(w)) {
		uint32_t len = fns_seg_len(qp, w, seg);

		g = fns_gather_wqe(
			qp, w, fetch_key(pos, seg), seg * qp->pmtu, len, again, f, &buf, status);
		if (g != FNS_GATHER_OK)
			return g;
	}
	f->pad = h.pad;
	f->path = qp->path;
	f->owner = qp;
	f->psn = h.psn;
	f->hdr_len = (uint8_t)fns_hdr_build(f->hdr, &h);
	fns_line_add(&qp->line->tx_bytes, f->payload_len);
	qp->deficit -= (int32_t)(f->hdr_len + f->payload_len + FNS_ICRC_LEN);
	fns_txq_commit(nic, f, buf, false);
	return FNS_GATHER_OK;
}

void fns_rc_note_retransmit(struct fns_qp *qp)
{
	fns_count(qp->nic->stats, FNS_C_rc_retransmits);
	atomic_store_explicit(&qp->line->retransmits,
		atomic_load_explicit(&qp->line->retransmits, memory_order_relaxed) + 1,
		memory_order_relaxed);
}

struct fns_wqe *fns_rc_locate(struct fns_qp *qp, uint32_t psn, uint32_t *pos)
{
	struct fns_wqe *w;

	for (*pos = qp->req.ack_pos;; ++*pos) {
		w = fns_sq_at(&qp->sq, *pos);
		if (psn_diff(psn_add(w->first_psn, w->npsn), psn) > 0)
			return w;
	}
}

bool fns_rc_probe(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	uint32_t last, pos, seg;
	enum fns_wc_status status;
	struct fns_wqe *w;

	/* First of all: it may flush, as in fns_rc_requester_tx(). */
	if (!fns_txq_frame(qp->nic, FNS_MAX_SGE) ||
		(qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD) ||
		psn_diff(r->psn, r->una) <= 0)
		return false;
	last = psn_add(r->psn, FNS_PSN_MASK);
	w = fns_rc_locate(qp, last, &pos);
	seg = (uint32_t)psn_diff(last, w->first_psn);
	if (w->op == FNS_WR_READ) {
		uint32_t chunk = fns_seg_read_chunk(qp);

		seg = seg / chunk * chunk;
		if (psn_diff(psn_add(w->first_psn, seg), r->una) < 0)
			seg = (uint32_t)psn_diff(r->una, w->first_psn);
	}
	if ((r->fetch.busy || r->fetch.ready) && r->fetch.key != fetch_key(pos, seg))
		return false; /* the stage is taken by the next segment: it will go out and do */
	switch (fns_rc_emit(qp, w, pos, seg, 1, true, true, &status)) {
	case FNS_GATHER_OK:
		break;
	case FNS_GATHER_WAIT:
		r->probing = true; /* its payload is on its way */
		return false;
	default:
		fns_fetch_cancel(qp->nic, &r->fetch);
		return false;
	}
	fns_count(qp->nic->stats, FNS_C_rc_probes);
	fns_rc_note_retransmit(qp);
	return true;
}

/* The payload of a probe has come, unless something else needed the stage. */
static void probe_go_on(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	if (r->fetch.busy)
		return;
	r->probing = false;
	if (!fns_rc_probe(qp) && !r->probing)
		fns_fetch_cancel(qp->nic, &r->fetch);
}

/* May n PSNs of w from seg on be sent now? If not, whoever frees what is missing activates the
 * queue pair. */
static bool may_send(struct fns_qp *qp, struct fns_wqe *w, uint32_t n, uint32_t cost, uint32_t len)
{
	struct fns_requester *r = &qp->req;
	struct fns_nic *nic = qp->nic;

	if (psn_diff(r->psn, r->una) + (int32_t)n >= 1 << 22)
		return false;
	if (fns_rc_has_response(w)) {
		uint32_t max = qp->attr.max_rd_atomic ? qp->attr.max_rd_atomic : 1;
		uint32_t rd = w->op == FNS_WR_READ ? fns_rc_read_cost(qp, n) : 0;

		/* Responses come the way that requests go: with as much room. */
		uint32_t budget = qp->path->rx_bytes ? qp->path->rx_bytes : nic->read_budget;

		if (r->rd_inflight >= max)
			return false;
		if (rd && nic->read_cost && nic->read_cost + rd > budget) {
			fns_qp_deactivate(qp);
			qp->read_wait = true;
			fns_list_push_back(&nic->read_waiters, &qp->sched);
			return false;
		}
		return true;
	}
	if (r->inflight_bytes && r->inflight_bytes + len > qp->cc_out.window_bytes)
		return false;
	if (r->scheme == FNS_SCHEME_IRN && psn_diff(r->psn, r->una) >= (int32_t)FNS_IRN_WINDOW)
		return false;
	qp->peer->full_cost = FNS_MAX(qp->peer->full_cost, cost);
	if (!fns_peer_may_send(qp->peer, cost)) {
		fns_peer_wait(qp, qp->peer);
		return false;
	}
	return true;
}

static bool wants_ack(
	struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg, uint32_t n, uint32_t cost)
{
	struct fns_requester *r = &qp->req;
	struct fns_wire *wire = qp->nic->wire;
	const struct fns_wqe *next = fns_sq_at(&qp->sq, qp->sq.cur + 1);
	uint32_t left = qp->peer->window - FNS_MIN(qp->peer->window, qp->peer->inflight);
	uint32_t full;

	/* By the train, where a train is shorter than that. */
	if (r->since_ack_req + n >= FNS_MIN(FNS_ACK_EVERY, FNS_READ_CHUNK / qp->pmtu))
		return true;
	/*
	 * The window is about to close, perhaps on a packet dearer than this one, or the turn to
	 * end: somebody must open it again.
	 */
	full = wire->ops->rx_cost(wire, FNS_BTH_LEN + 16 + qp->pmtu + FNS_ICRC_LEN, true);
	full = FNS_MAX(full, qp->peer->full_cost);
	if (left < cost + full || qp->deficit <= (int32_t)(2 * qp->pmtu) ||
		r->inflight_bytes + 3ull * qp->pmtu > qp->cc_out.window_bytes)
		return true;
	if (seg + n != w->npsn)
		return false;
	/* What comes next may wait for this one. */
	if (qp->state == FNS_QPS_SQD || (qp->sq.cur + 1 != qp->sq.tail &&
						(is_local(next) || fns_rc_direct_wanted(qp, next))))
		return true;
	return qp->sq_sig_all || (w->flags & FNS_WRF_SIGNALED) || qp->sq.cur + 1 == qp->sq.tail;
}

/* Bookkeeping for n PSNs that were sent. */
static void sent(
	struct fns_qp *qp, struct fns_wqe *w, uint32_t n, uint32_t cost, uint32_t len, bool ack_req)
{
	struct fns_requester *r = &qp->req;
	uint64_t now = qp->nic->now_ns;

	if (r->psn == r->una)
		r->progress_ns = now;
	if (fns_rc_has_response(w)) {
		uint32_t rd = w->op == FNS_WR_READ ? fns_rc_read_cost(qp, n) : 0;

		r->rd_inflight++;
		r->rd_cost += rd;
		qp->nic->read_cost += rd;
	}
	r->cost += cost;
	qp->peer->inflight += cost;
	r->inflight_bytes += len;
	r->since_ack_req = ack_req ? 0 : r->since_ack_req + n;
	if (ack_req)
		fns_peer_ask(qp, psn_add(r->psn, n - 1));
	r->psn = psn_add(r->psn, n);
	r->seg += n;
	r->sent_ns = now;
	if (psn_diff(r->psn, r->max_psn) > 0) {
		r->max_psn = r->psn;
		if (ack_req && r->rtt_sent_ns == 0) {
			r->rtt_sent_ns = now ? now : 1;
			r->rtt_psn = psn_add(r->psn, FNS_PSN_MASK);
		}
	}
	if (r->seg == w->npsn) {
		qp->sq.cur++;
		r->seg = 0;
	}
	fns_rc_timer_arm(qp);
}

static bool nothing_to_send(const struct fns_qp *qp)
{
	const struct fns_requester *r = &qp->req;

	if (qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD)
		return true;
	return r->rnr_until_ns || qp->sq.cur == qp->sq.tail ||
	       (r->failing && qp->sq.cur == r->fail_pos);
}

enum fns_tx_result fns_rc_requester_tx(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	struct fns_nic *nic = qp->nic;

	if (fns_unlikely(r->probing))
		probe_go_on(qp);
	if (fns_unlikely(r->scheme == FNS_SCHEME_OPEN))
		fns_irn_decide(qp);
	if (fns_unlikely(r->irn_tx || r->resend_una || r->resending)) {
		enum fns_tx_result res = fns_irn_resend(qp);

		if (res != FNS_TX_IDLE || fns_irn_has_more(r))
			return res;
	}
	while (qp->deficit > 0) {
		enum fns_wc_status status = FNS_WC_SUCCESS;
		uint32_t n = 1, cost, len = 0;
		enum fns_rc_direct direct;
		struct fns_wqe *w;
		bool again, ack_req;

		if (nothing_to_send(qp))
			return FNS_TX_IDLE;
		if (r->pace_ns > nic->now_ns) {
			fns_rc_timer_arm(qp);
			return FNS_TX_IDLE;
		}
		/* Getting a frame may flush, and a flush may fail work requests, move the cursor or
		 * end this queue pair. */
		if (!fns_txq_frame(nic, FNS_MAX_SGE))
			return FNS_TX_BLOCKED;
		if (nothing_to_send(qp))
			return FNS_TX_IDLE;
		w = fns_sq_at(&qp->sq, qp->sq.cur);
		if (w->bad) {
			fns_rc_fail_at(qp, qp->sq.cur, w->bad, 0);
			return FNS_TX_IDLE;
		}
		if (is_local(w)) {
			if (!local_op(qp, w))
				return FNS_TX_IDLE;
			continue;
		}
		direct = fns_rc_direct(qp, w);
		if (direct == FNS_RC_DIRECT_WAIT)
			return FNS_TX_IDLE;
		if (direct == FNS_RC_DIRECT_DONE)
			continue;
		if (!w->started && !start(qp, w))
			return FNS_TX_IDLE;
		if (w->op == FNS_WR_READ)
			n = fns_seg_read_count(qp, w, r->seg);
		else if (fns_unlikely(w->lent))
			len = fns_rc_lend_len(qp, w, r->seg, n = fns_rc_lend_count(qp, w, r->seg));
		else if (!fns_rc_has_response(w))
			len = fns_seg_len(qp, w, r->seg);
		cost = fns_rc_cost_of(qp, w, r->seg, n);
		if (!may_send(qp, w, n, cost, len))
			return FNS_TX_IDLE;
		again = psn_diff(r->psn, r->max_psn) < 0;
		ack_req = fns_rc_has_response(w) || wants_ack(qp, w, r->seg, n, cost);
		switch (fns_rc_emit(qp, w, qp->sq.cur, r->seg, n, again, ack_req, &status)) {
		case FNS_GATHER_OK:
			break;
		case FNS_GATHER_WAIT:
			return FNS_TX_IDLE;
		case FNS_GATHER_RETRY:
			return FNS_TX_BLOCKED;
		case FNS_GATHER_ERROR:
			fns_rc_fail_at(qp, qp->sq.cur, status, 0);
			return FNS_TX_IDLE;
		}
		if (again)
			fns_rc_note_retransmit(qp);
		sent(qp, w, n, cost, len, ack_req);
		if (fns_unlikely(qp->cc_on_sent))
			fns_rc_cc_sent(qp);
	}
	return FNS_TX_MORE;
}
