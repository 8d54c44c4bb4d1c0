/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selective repeat, the requester's half. Sending goes on at the cursor as ever; what a SACK shows
 * to be missing is sent again out of order, and changes nothing of what is accounted as under way.
 * A packet counts as lost once a later one has arrived, and as lost again once one has arrived that
 * was sent for the first time after it was repeated. Beyond that there are the probe and the
 * timeout of rc_timer.c, which goes back. Datapath 4/9.
 *
 * The receiver may forget what it had; only the last SACK counts, and an older one is dropped.
 */
#include <string.h>

#include "transport/irn.h"

void fns_irn_decide(struct fns_qp *qp)
{
	const struct fns_host *h = qp->peer->host;
	struct fns_requester *r = &qp->req;

	if (qp->peer->known || !qp->nic->selective) {
		r->scheme = FNS_SCHEME_GBN;
		return;
	}
	if (!h || h->state == FNS_HELLO_UNKNOWN)
		return;
	r->scheme = h->state == FNS_HELLO_FLEXINS && (h->hello.ext & FNS_HELLO_EXT_SACK)
			    ? FNS_SCHEME_IRN
			    : FNS_SCHEME_GBN;
}

void fns_irn_tx_drop(struct fns_qp *qp)
{
	if (!qp->req.irn_tx)
		return;
	fns_pool_put(&qp->nic->irn_tx, qp->req.irn_tx);
	qp->req.irn_tx = NULL;
}

void fns_irn_progress(struct fns_qp *qp)
{
	if (psn_diff(qp->req.una, qp->req.irn_tx->high) >= 0)
		fns_irn_tx_drop(qp);
}

void fns_irn_doubt(struct fns_qp *qp)
{
	struct fns_irn_tx *x = qp->req.irn_tx;

	if (x)
		x->epoch++;
	qp->req.implied_nak = false;
	qp->req.rsp_asked = qp->req.una;
}

static struct fns_irn_tx *state(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	if (r->irn_tx)
		return r->irn_tx;
	r->irn_tx = fns_pool_get(&qp->nic->irn_tx);
	if (!r->irn_tx)
		return NULL;
	fns_irn_doubt(qp);
	r->irn_tx->last = (struct fns_sack){.epsn = r->una};
	r->irn_tx->recover = r->una;
	return r->irn_tx;
}

static bool has_arrived(const struct fns_irn_tx *x, uint32_t psn)
{
	int32_t i = psn_diff(psn, x->last.epsn);

	return i < 0 || ((uint32_t)i < x->last.n && fns_sack_has(&x->last, (uint32_t)i));
}

static bool is_lost(const struct fns_irn_tx *x, uint32_t psn)
{
	const struct fns_irn_mark *m = &x->mark[psn % FNS_IRN_WINDOW];

	return !has_arrived(x, psn) &&
	       (m->psn != psn || m->epoch != x->epoch || psn_diff(x->high, m->next) > 0);
}

/* The first PSN from scan on that is lost. */
static bool next_lost(const struct fns_qp *qp, uint32_t *psn)
{
	const struct fns_requester *r = &qp->req;
	const struct fns_irn_tx *x = r->irn_tx;
	uint32_t p = psn_diff(x->scan, r->una) < 0 ? r->una : x->scan;

	/* What lies behind the cursor is sent again by it. */
	for (; psn_diff(x->high, p) > 0 && psn_diff(r->psn, p) > 0; p = psn_add(p, 1))
		if (is_lost(x, p)) {
			*psn = p;
			return true;
		}
	return false;
}

/* The peer's window is cut for losses in a row, as a full buffer causes them; one here and there
 * says nothing of it. */
static void tell_loss(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	struct fns_irn_tx *x = r->irn_tx;
	uint32_t p, lost = 0, first = x->high;

	for (p = r->una; psn_diff(x->high, p) > 0; p = psn_add(p, 1)) {
		if (!is_lost(x, p))
			continue;
		if (lost++ == 0)
			first = p;
	}
	if (lost >= 4 && lost * 4 > (uint32_t)psn_diff(r->psn, r->una))
		fns_peer_loss(qp->nic, qp->peer, r->srtt_ns);
	if (psn_diff(first, x->recover) >= 0 && lost) {
		x->recover = r->psn;
		fns_rc_cc(qp, FNS_CC_LOSS, 0, 0);
	}
}

void fns_irn_sacked(struct fns_qp *qp, const struct fns_sack *s)
{
	struct fns_requester *r = &qp->req;
	uint32_t high = psn_add(s->epsn, s->n), lost;
	uint64_t now = qp->nic->now_ns;
	struct fns_irn_tx *x;

	if (psn_diff(s->epsn, r->una) < 0 || psn_diff(high, r->max_psn) > 0 ||
		r->scheme != FNS_SCHEME_IRN) {
		fns_count(qp->nic->stats, FNS_C_drop_stale_ack);
		return;
	}
	if (r->rnr_until_ns || r->psn == r->una)
		return; /* all of it will be sent again */
	x = state(qp);
	if (!x) {
		fns_rc_missing(qp);
		return;
	}
	if (psn_diff(s->epsn, x->last.epsn) < 0)
		return; /* overtaken by a later one */
	if (memcmp(&x->last, s, sizeof(*s)) != 0)
		r->progress_ns = now; /* else it is only the answer to a probe */
	x->last = *s;
	x->high = high;
	x->scan = s->epsn;
	x->pending = next_lost(qp, &lost);
	if (r->rtt_sent_ns && has_arrived(x, r->rtt_psn))
		fns_rc_rtt(qp);
	if (!x->pending)
		return;
	tell_loss(qp);
	fns_qp_activate(qp);
}

/* What repeats the packet that psn belongs to: a READ is asked for to the end of its piece. */
static struct fns_wqe *locate(struct fns_qp *qp, uint32_t psn, uint32_t *pos, uint32_t *seg)
{
	struct fns_requester *r = &qp->req;
	struct fns_wqe *w = fns_rc_locate(qp, psn, pos);
	uint32_t chunk = fns_seg_read_chunk(qp);

	*seg = (uint32_t)psn_diff(psn, w->first_psn);
	if (w->op == FNS_WR_READ) {
		*seg = *seg / chunk * chunk;
		if (psn_diff(psn_add(w->first_psn, *seg), r->una) < 0)
			*seg = (uint32_t)psn_diff(r->una, w->first_psn);
	}
	return w;
}

static enum fns_gather resend(struct fns_qp *qp, uint32_t psn, uint32_t *n)
{
	enum fns_wc_status status = FNS_WC_SUCCESS;
	struct fns_requester *r = &qp->req;
	uint32_t pos, seg;
	struct fns_wqe *w = locate(qp, psn, &pos, &seg);
	enum fns_gather g;

	if (r->failing && (int32_t)(pos - r->fail_pos) >= 0) {
		*n = FNS_IRN_WINDOW; /* it will not be needed, nor what follows */
		return FNS_GATHER_OK;
	}
	*n = (w->op == FNS_WR_READ ? fns_seg_read_count(qp, w, seg) : 1) -
	     (uint32_t)psn_diff(psn, psn_add(w->first_psn, seg));
	g = fns_rc_emit(qp, w, pos, seg, 1, true, true, &status);
	if (g == FNS_GATHER_ERROR)
		fns_rc_fail_at(qp, pos, status, 0);
	if (g != FNS_GATHER_OK)
		return g;
	r->rtt_sent_ns = 0;
	r->sent_ns = qp->nic->now_ns;
	fns_rc_note_retransmit(qp);
	fns_count(qp->nic->stats, FNS_C_irn_repeats);
	fns_rc_timer_arm(qp);
	if (fns_unlikely(qp->cc_on_sent))
		fns_rc_cc_sent(qp);
	return FNS_GATHER_OK;
}

/* What it waited for is sent, or has arrived after all. */
static void waited(struct fns_qp *qp)
{
	if (qp->req.resending)
		fns_fetch_cancel(qp->nic, &qp->req.fetch);
	qp->req.resending = false;
}

enum fns_tx_result fns_irn_resend(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	struct fns_nic *nic = qp->nic;

	for (;;) {
		struct fns_irn_tx *x;
		uint32_t psn, n;

		if (qp->deficit <= 0)
			return FNS_TX_MORE;
		if (r->pace_ns > nic->now_ns) {
			fns_rc_timer_arm(qp);
			return FNS_TX_IDLE;
		}
		/* It may flush, and a flush may end or fail things. */
		if (!fns_txq_frame(nic, FNS_MAX_SGE))
			return FNS_TX_BLOCKED;
		x = r->irn_tx;
		if (qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD)
			return FNS_TX_IDLE;
		if (r->resend_una) {
			psn = r->una;
		} else if (!x || !next_lost(qp, &psn)) {
			if (x)
				x->pending = false;
			waited(qp);
			return FNS_TX_IDLE;
		}
		switch (resend(qp, psn, &n)) {
		case FNS_GATHER_OK:
			break;
		case FNS_GATHER_WAIT:
			r->resending = true;
			return FNS_TX_IDLE;
		case FNS_GATHER_RETRY:
			return FNS_TX_BLOCKED;
		case FNS_GATHER_ERROR:
			return FNS_TX_IDLE;
		}
		waited(qp);
		x = r->irn_tx;
		if (r->resend_una || !x) {
			if (r->resend_una)
				r->rsp_asked = psn_add(psn, n);
			r->resend_una = false;
			continue;
		}
		x->scan = psn_add(psn, n);
		for (uint32_t i = 0; i < FNS_MIN(n, FNS_IRN_WINDOW); i++) {
			uint32_t p = psn_add(psn, i);

			x->mark[p % FNS_IRN_WINDOW] = (struct fns_irn_mark){p, r->psn, x->epoch};
		}
	}
}
