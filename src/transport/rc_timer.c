/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC timers (IBTA 9.7.6.1): one timer a queue pair for the local ACK timeout, the tail probe, the
 * RNR wait, pacing and the congestion control. It is set lazily: when it fires it looks at what is
 * really due, so that an acknowledgement costs no timer operation.
 */
#include "transport/irn.h"

/* The timeout is T by the attribute; the specification lets it fire between T and 4T, and a starved
 * software peer needs the slack. */
static uint64_t rto_ns(const struct fns_qp *qp)
{
	uint64_t t = fns_ack_timeout_ns(qp->attr.timeout);

	return t == UINT64_MAX ? t : FNS_MAX(4 * t, FNS_RTO_MIN_NS);
}

static bool outstanding(const struct fns_qp *qp)
{
	return psn_diff(qp->req.psn, qp->req.una) > 0;
}

static uint64_t rto_at(const struct fns_qp *qp)
{
	uint64_t rto = rto_ns(qp);

	return rto == UINT64_MAX || !outstanding(qp) ? UINT64_MAX : qp->req.progress_ns + rto;
}

static uint64_t probe_at(const struct fns_qp *qp)
{
	const struct fns_requester *r = &qp->req;
	uint64_t least = r->scheme == FNS_SCHEME_IRN ? FNS_IRN_PROBE_NS : FNS_PROBE_MIN_NS;
	uint64_t wait = FNS_MAX(4 * r->srtt_ns, least) << 2 * r->probes;

	if (!outstanding(qp) || r->probes >= FNS_PROBES)
		return UINT64_MAX;
	return FNS_MAX(r->progress_ns, r->sent_ns) + wait;
}

static uint64_t due_at(const struct fns_qp *qp)
{
	const struct fns_requester *r = &qp->req;
	uint64_t at = FNS_MIN(rto_at(qp), probe_at(qp));

	if (r->rnr_until_ns)
		at = FNS_MIN(at, r->rnr_until_ns);
	if (r->pace_ns > qp->nic->now_ns && qp->sq.cur != qp->sq.tail)
		at = FNS_MIN(at, r->pace_ns);
	return at;
}

void fns_rc_timer_arm_now(struct fns_qp *qp)
{
	uint64_t at = due_at(qp);

	if (at != UINT64_MAX && (!fns_timer_is_set(&qp->timer) || at < qp->timer.deadline_ns))
		fns_timer_set(qp->nic->timers, &qp->timer, at);
}

void fns_rc_timer(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	uint64_t now = qp->nic->now_ns, at;

	if (qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD)
		return;
	if (r->rnr_until_ns && now >= r->rnr_until_ns) {
		r->rnr_until_ns = 0;
		r->progress_ns = now;
		fns_qp_activate(qp);
	}
	if (now >= rto_at(qp)) {
		fns_count(qp->nic->stats, FNS_C_rc_timeouts);
		fns_peer_loss(qp->nic, qp->peer, r->srtt_ns);
		fns_rc_cc(qp, FNS_CC_TIMEOUT, 0, 0);
		if (r->retry_left == 0) {
			fns_rc_fail_at(qp, r->ack_pos, FNS_WC_RETRY_EXC_ERR, 0);
			if (qp->state == FNS_QPS_ERR)
				return;
		} else {
			r->retry_left--;
			r->implied_nak = false;
			r->probes = 0;
			fns_rc_lend_stop(qp);
			fns_rc_go_back(qp);
		}
	} else if (now >= probe_at(qp)) {
		fns_rc_probe(qp);
		r->probes++;
		if (r->scheme == FNS_SCHEME_IRN)
			fns_irn_doubt(qp);
	}
	if (now >= qp->cc_out.timer_ns) {
		qp->cc_out.timer_ns = FNS_CC_NEVER;
		fns_rc_cc(qp, FNS_CC_TIMER, 0, 0);
	}
	if (r->pace_ns && now >= r->pace_ns && qp->sq.cur != qp->sq.tail)
		fns_qp_activate(qp);
	at = FNS_MIN(due_at(qp), qp->cc_out.timer_ns);
	if (at != UINT64_MAX)
		fns_timer_set(qp->nic->timers, &qp->timer, FNS_MAX(at, now + 1));
}
