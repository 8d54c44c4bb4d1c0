/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swift: G. Kumar et al., "Swift: Delay is Simple and Effective for Congestion
 * Control in the Datacenter", SIGCOMM 2020, algorithm 1 and section 3.5. A
 * window in packets, also below one (then paced), that holds the delay at a
 * target:
 *
 *   delay < target: cwnd += ai acked / cwnd (below one: ai acked);
 *   else, once a round trip: cwnd *= max(1 - beta (delay - target) / delay, 1 -
 * max_mdf); loss, once a round trip: cwnd *= 1 - max_mdf; timeouts in a row:
 * down to the smallest.
 *
 * The target grows with the hops, and with 1/sqrt(cwnd), so that flows with
 * small windows, of which there are many, share alike. Where the receiver's
 * share of the round trip is told apart there is a second window for it, with a
 * target of its own, and the smaller one holds.
 */
#include "base/util.h"
#include "cc/cc.h"
#include "cc/fixed.h"

enum {
	TARGET_US,
	HOP_NS,
	HOPS,
	HOST_TARGET_US,
	FS_RANGE_US,
	FS_MIN_CWND_PM,
	FS_MAX_CWND,
	AI_PM,
	BETA_PM,
	MAX_MDF_PM,
	MIN_CWND_PM,
	MAX_CWND,
	START_CWND,
	NPARAMS
};

static const struct fns_cc_param params[NPARAMS] = {
	[TARGET_US] = {"target_us", "us", "round trip to hold, without hops", 50, 1, 1000000},
	[HOP_NS] = {"hop_ns", "ns", "more for each hop", 1000, 0, 1000000},
	[HOPS] = {"hops", "hops", "where telemetry does not tell", 0, 0, 64},
	[HOST_TARGET_US] = {"host_target_us", "us", "delay to hold in the receiver's host", 100, 1,
		1000000},
	[FS_RANGE_US] = {"fs_range_us", "us", "most that a small window adds", 100, 0, 1000000},
	[FS_MIN_CWND_PM] = {"fs_min_cwnd_pm", "1/1000", "window that adds all of it", 100, 1,
		1000000},
	[FS_MAX_CWND] = {"fs_max_cwnd", "packets", "window that adds nothing", 100, 1, 100000},
	[AI_PM] = {"ai_pm", "1/1000", "packets more a round trip", 1000, 1, 100000},
	[BETA_PM] = {"beta_pm", "1/1000", "multiplicative decrease", 800, 1, 1000},
	[MAX_MDF_PM] = {"max_mdf_pm", "1/1000", "largest decrease at once", 500, 1, 1000},
	[MIN_CWND_PM] = {"min_cwnd_pm", "1/1000", "smallest window, of a packet", 10, 1, 1000},
	[MAX_CWND] = {"max_cwnd", "packets", "largest window", 4096, 1, 65536},
	[START_CWND] = {"start_cwnd", "packets", "window of a new queue pair", 16, 1, 65536},
};

#define ONE             65536ull /* packet */
#define TIMEOUTS_IN_ROW 5u

struct half {
	uint64_t cwnd; /* of ONE */
	uint64_t cut_ns;
	bool was_cut;
};

struct swift {
	struct half fabric, host;
	uint64_t srtt_ns;
	uint64_t bytes; /* acknowledged since the last round trip was timed */
	/* 1 / sqrt of the windows between which the target is scaled, of ONE. */
	uint64_t fs_lo, fs_hi;
	uint32_t timeouts; /* in a row */
};
_Static_assert(sizeof(struct swift) <= FNS_CC_STATE_BYTES, "state");

static uint64_t pm(const struct fns_cc_ctx *ctx, unsigned param)
{
	return ctx->param[param] * ONE / 1000;
}

static void bound(const struct fns_cc_ctx *ctx, struct half *h)
{
	h->cwnd = fns_clamp(h->cwnd, FNS_MAX(pm(ctx, MIN_CWND_PM), 1), ctx->param[MAX_CWND] * ONE);
}

/* 1 / sqrt(cwnd), of ONE. */
static uint64_t inv_sqrt(uint64_t cwnd)
{
	/* sqrt(cwnd / ONE) = isqrt(cwnd * ONE) / ONE */
	return ONE * ONE / FNS_MAX(fns_isqrt(cwnd * ONE), 1);
}

/* fs_range (1/sqrt(cwnd) - 1/sqrt(max)) / (1/sqrt(min) - 1/sqrt(max)), within 0
 * and fs_range. */
static uint64_t flow_scaling(const struct fns_cc_ctx *ctx, const struct swift *s)
{
	uint64_t range = ctx->param[FS_RANGE_US] * 1000, cwnd = s->fabric.cwnd, x;

	if (cwnd >= ctx->param[FS_MAX_CWND] * ONE || s->fs_hi <= s->fs_lo)
		return 0;
	x = inv_sqrt(cwnd);
	if (x <= s->fs_lo)
		return 0;
	return x >= s->fs_hi ? range : fns_muldiv(range, x - s->fs_lo, s->fs_hi - s->fs_lo);
}

static bool may_cut(const struct half *h, uint64_t now, uint64_t rtt)
{
	return !h->was_cut || now - h->cut_ns >= rtt;
}

/* cwnd *= 1 - num / den */
static void cut(struct half *h, uint64_t num, uint64_t den, uint64_t now)
{
	h->cwnd -= fns_muldiv(h->cwnd, num, den);
	h->cut_ns = now;
	h->was_cut = true;
}

/* acked: of ONE. */
static void delay(const struct fns_cc_ctx *ctx, struct half *h, uint64_t delay_ns,
	uint64_t target_ns, uint64_t acked, uint64_t now, uint64_t rtt)
{
	if (delay_ns < target_ns) {
		uint64_t more = fns_muldiv(pm(ctx, AI_PM), acked, ONE);

		h->cwnd += h->cwnd >= ONE ? fns_muldiv(more, ONE, h->cwnd) : more;
	} else if (may_cut(h, now, rtt)) {
		/* beta (delay - target) / delay, at most max_mdf */
		uint64_t mdf =
			fns_muldiv(ctx->param[BETA_PM] * 1000, delay_ns - target_ns, delay_ns);

		cut(h, FNS_MIN(mdf, ctx->param[MAX_MDF_PM] * 1000), 1000000, now);
	}
	bound(ctx, h);
}

static void ack(const struct fns_cc_ctx *ctx, struct swift *s, const struct fns_cc_event *ev)
{
	uint64_t hops = ev->nhops ? ev->nhops : ctx->param[HOPS], target, fabric, acked;

	s->bytes = fns_clamp(s->bytes + ev->bytes, 0, 1ull << 40);
	if (!ev->rtt_ns)
		return; /* the paper times every acknowledgement; here one at a time is */
	acked = fns_muldiv(s->bytes, ONE, ev->mtu_bytes ? ev->mtu_bytes : 1);
	s->bytes = 0;
	s->timeouts = 0;
	s->srtt_ns = s->srtt_ns ? (7 * s->srtt_ns + ev->rtt_ns) / 8 : ev->rtt_ns;
	fabric = ev->rtt_fabric_ns ? ev->rtt_fabric_ns : ev->rtt_ns;
	target = ctx->param[TARGET_US] * 1000 + hops * ctx->param[HOP_NS] + flow_scaling(ctx, s);
	delay(ctx, &s->fabric, fabric, target, acked, ev->now_ns, ev->rtt_ns);
	if (ev->rtt_host_ns)
		delay(ctx, &s->host, ev->rtt_host_ns, ctx->param[HOST_TARGET_US] * 1000, acked,
			ev->now_ns, ev->rtt_ns);
}

static void loss(const struct fns_cc_ctx *ctx, struct swift *s, uint64_t now)
{
	if (may_cut(&s->fabric, now, s->srtt_ns))
		cut(&s->fabric, ctx->param[MAX_MDF_PM], 1000, now);
	bound(ctx, &s->fabric);
}

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	struct swift *s = (struct swift *)(void *)ctx->state;
	uint64_t cwnd, mtu = ev->mtu_bytes ? ev->mtu_bytes : 1;

	switch (ev->type) {
	case FNS_CC_INIT:
		s->fs_lo = inv_sqrt(ctx->param[FS_MAX_CWND] * ONE);
		s->fs_hi = inv_sqrt(FNS_MAX(pm(ctx, FS_MIN_CWND_PM), 1));
		s->fabric.cwnd = ctx->param[START_CWND] * ONE;
		s->host.cwnd = ctx->param[MAX_CWND] * ONE;
		bound(ctx, &s->fabric);
		break;
	case FNS_CC_ACK:
		ack(ctx, s, ev);
		break;
	case FNS_CC_LOSS:
		loss(ctx, s, ev->now_ns);
		break;
	case FNS_CC_TIMEOUT:
		if (++s->timeouts >= TIMEOUTS_IN_ROW)
			s->fabric.cwnd = 0;
		loss(ctx, s, ev->now_ns);
		break;
	default:
		return;
	}
	cwnd = FNS_MIN(s->fabric.cwnd, s->host.cwnd);
	out->window_bytes = FNS_MAX(fns_muldiv(cwnd, mtu, ONE), mtu);
	out->rate_bps = FNS_CC_UNLIMITED;
	if (cwnd < ONE && s->srtt_ns) /* a packet every rtt / cwnd */
		out->rate_bps =
			fns_clamp(fns_muldiv(cwnd * 8 * FNS_NSEC_PER_SEC / ONE, mtu, s->srtt_ns),
				FNS_CC_RATE_MIN, FNS_CC_RATE_MAX);
}

const struct fns_cc_ops fns_cc_swift = {
	.abi = FNS_CC_ABI,
	.size = sizeof(fns_cc_swift),
	.name = "swift",
	.text = "window by delay against a target (SIGCOMM 2020)",
	.events = FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK) | FNS_CC_ON(FNS_CC_LOSS) |
		  FNS_CC_ON(FNS_CC_TIMEOUT),
	.state_bytes = sizeof(struct swift),
	.nparams = NPARAMS,
	.params = params,
	.on_event = on_event,
};
