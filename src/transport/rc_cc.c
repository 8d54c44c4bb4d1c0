/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a reliable connection and its congestion control: events go in, what comes out is guarded
 * here and nowhere else, then put into force. Pacing, and congestion notification packets (RoCEv2
 * annex A17).
 */
#include <string.h>

#include "transport/rc.h"

/* The new rate holds for what is left of the wait as well. */
static void rate_changed(struct fns_qp *qp, uint64_t was)
{
	struct fns_requester *r = &qp->req;
	uint64_t now = qp->nic->now_ns, rate = qp->cc_out.rate_bps;

	r->pace_frac = 0;
	if (rate == FNS_CC_UNLIMITED || was == FNS_CC_UNLIMITED) {
		r->pace_ns = 0;
		return;
	}
	if (r->pace_ns > now)
		r->pace_ns = now + (uint64_t)((unsigned __int128)(r->pace_ns - now) * was / rate);
}

void fns_rc_cc_event(
	struct fns_qp *qp, enum fns_cc_event_type type, uint64_t bytes, uint64_t rtt_ns)
{
	const struct fns_cc_out had = qp->cc_out;
	struct fns_cc_out out = had;
	struct fns_cc_event ev = {.type = (uint32_t)type,
		.mtu_bytes = qp->pmtu,
		.now_ns = qp->nic->now_ns,
		.inflight = qp->req.inflight_bytes,
		.bytes = bytes,
		.rtt_ns = rtt_ns};
	unsigned refused;

	if (type == FNS_CC_ACK) { /* which is only ever told on receipt of a packet */
		ev.nhops = qp->nic->rx->nhops;
		ev.hops = qp->nic->rx->hops;
	}
	qp->cc->on_event(&qp->cc_ctx, &ev, &out);
	refused = fns_cc_guard(&had, &out, ev.now_ns);
	if (fns_unlikely(refused))
		fns_count_add(qp->nic->stats, FNS_C_cc_refused, refused);
	qp->cc_out = out;
	if (out.rate_bps != had.rate_bps)
		rate_changed(qp, had.rate_bps);
	qp->cc_on_sent =
		out.rate_bps != FNS_CC_UNLIMITED || (qp->cc_events & FNS_CC_ON(FNS_CC_SENT));
	if (type == FNS_CC_INIT || type == FNS_CC_SENT) {
		/* Who sends goes on by itself. */
	} else if (out.window_bytes > had.window_bytes || out.rate_bps > had.rate_bps) {
		if (qp->sq.cur != qp->sq.tail)
			fns_qp_activate(qp);
	}
	if (out.timer_ns < qp->timer.deadline_ns)
		fns_timer_set(qp->nic->timers, &qp->timer, out.timer_ns);
}

void fns_qp_cc_set(struct fns_qp *qp, const struct fns_cc_ops *ops, const uint64_t *param)
{
	qp->cc = ops;
	qp->cc_events = ops->events;
	qp->cc_ctx.param = param;
	qp->cc_ctx.self = ops;
	if (qp->type != FNS_QPT_RC || (qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD))
		return; /* to_rts begins with it */
	memset(qp->cc_ctx.state, 0, sizeof(qp->cc_ctx.state));
	/* Nothing of what the old one said holds: no window, no pacing, no timer. */
	qp->cc_out = fns_rc_cc_none;
	qp->req.pace_ns = qp->req.pace_frac = 0;
	fns_rc_cc_event(qp, FNS_CC_INIT, 0, 0);
	if (qp->sq.cur != qp->sq.tail)
		fns_qp_activate(qp);
}

void fns_rc_cc_sent(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	uint64_t rate = qp->cc_out.rate_bps, now = qp->nic->now_ns, since, left;
	const struct fns_frame *f = &qp->nic->txq.frame[qp->nic->txq.n - 1];
	uint32_t bytes = f->hdr_len + f->payload_len + f->pad + FNS_ICRC_LEN + FNS_PACE_FRAME;

	if (rate != FNS_CC_UNLIMITED) {
		/* What was late may be caught up with, idleness not. */
		since = now;
		if (r->pace_more)
			since -= FNS_MIN(now, FNS_PACE_SLACK_NS);
		if (since > r->pace_ns) {
			r->pace_ns = since;
			r->pace_frac = 0;
		}
		left = bytes * 8ull * FNS_NSEC_PER_SEC + r->pace_frac;
		r->pace_ns += left / rate;
		r->pace_frac = left % rate;
		r->pace_more = qp->sq.cur != qp->sq.tail;
		fns_rc_timer_arm(qp);
	}
	fns_rc_cc(qp, FNS_CC_SENT, bytes, 0);
}

/* --- congestion notification packets (A17.9) --- */

void fns_rc_marked(struct fns_qp *qp)
{
	const struct fns_hdr h = {.opcode = FNS_OP_CNP,
		.becn = true,
		.pkey = FNS_PKEY_DEFAULT,
		.dest_qp = qp->dest_qpn};
	struct fns_responder *r = &qp->rsp;
	uint64_t now = qp->nic->now_ns;
	struct fns_frame *f;

	if (!qp->nic->cnp_ns || now < r->cnp_next_ns ||
		(qp->state != FNS_QPS_RTR && qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD))
		return;
	f = fns_txq_frame(qp->nic, 1);
	if (!f || !qp->path)
		return; /* the next one marked will tell */
	r->cnp_next_ns = now + qp->nic->cnp_ns;
	f->path = qp->path;
	f->owner = qp;
	f->hdr_len = (uint8_t)fns_hdr_build(f->hdr, &h);
	fns_txq_commit(qp->nic, f, NULL, false);
	fns_count(qp->nic->stats, FNS_C_cnps_sent);
}
