/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TIMELY: R. Mittal et al., "TIMELY: RTT-based Congestion Control for the
 * Datacenter", SIGCOMM 2015, algorithm 1 and section 4.3. A rate, from the
 * gradient of round trips:
 *
 *   below t_low: R += delta;  above t_high: R *= 1 - beta (1 - t_high / rtt);
 *   between: gradient <= 0: R += N delta, N 5 after five such in a row
 * (hyperactive increase); else R *= 1 - beta gradient.
 *
 * The gradient is the moving average (weight alpha) of differences between
 * successive round trips, over the smallest round trip. A gradient above 1
 * counts as 1, so that no step takes more than beta. Not in the paper, which
 * stands on a lossless network: a timeout halves the rate.
 */
#include "cc/cc.h"
#include "cc/fixed.h"

enum {
	LINE_MBPS,
	MIN_MBPS,
	START_MBPS,
	DELTA_MBPS,
	T_LOW_US,
	T_HIGH_US,
	MIN_RTT_US,
	ALPHA_PM,
	BETA_PM,
	NPARAMS
};

static const struct fns_cc_param params[NPARAMS] = {
	[LINE_MBPS] = {"line_mbps", "Mb/s", "rate of the link", 100000, 10, 10000000},
	[MIN_MBPS] = {"min_mbps", "Mb/s", "no cut goes below", 10, 1, 10000},
	[START_MBPS] = {"start_mbps", "Mb/s", "rate of a new queue pair", 10000, 1, 10000000},
	[DELTA_MBPS] = {"delta_mbps", "Mb/s", "additive increase", 10, 1, 100000},
	[T_LOW_US] = {"t_low_us", "us", "below, the gradient is noise", 50, 1, 1000000},
	[T_HIGH_US] = {"t_high_us", "us", "above, it does not matter", 500, 1, 1000000},
	[MIN_RTT_US] = {"min_rtt_us", "us", "round trip of an empty network", 20, 1, 1000000},
	[ALPHA_PM] = {"alpha_pm", "1/1000", "weight of the newest difference", 875, 1, 1000},
	[BETA_PM] = {"beta_pm", "1/1000", "multiplicative decrease", 800, 1, 1000},
};

#define HAI_AFTER 5u /* gradients <= 0 in a row */

struct timely {
	uint64_t rate;
	uint64_t prev_rtt; /* 0: none yet */
	int64_t diff_ns;   /* moving average */
	uint32_t falling;  /* gradients <= 0 in a row */
};
_Static_assert(sizeof(struct timely) <= FNS_CC_STATE_BYTES, "state");

static void sample(const struct fns_cc_ctx *ctx, struct timely *s, uint64_t rtt)
{
	uint64_t delta = ctx->param[DELTA_MBPS] * 1000000, beta = ctx->param[BETA_PM];
	uint64_t high = ctx->param[T_HIGH_US] * 1000, min_rtt = ctx->param[MIN_RTT_US] * 1000;
	int64_t a = (int64_t)ctx->param[ALPHA_PM], fresh = (int64_t)(rtt - s->prev_rtt);
	uint64_t gradient;

	s->diff_ns = ((1000 - a) * s->diff_ns + a * fresh) / 1000;
	s->prev_rtt = rtt;
	if (rtt < ctx->param[T_LOW_US] * 1000) {
		s->falling = 0;
		s->rate += delta;
	} else if (rtt > high) {
		s->falling = 0;
		s->rate -= fns_muldiv(s->rate, beta * (rtt - high), 1000 * rtt);
	} else if (s->diff_ns <= 0) {
		s->falling++;
		s->rate += s->falling >= HAI_AFTER ? 5 * delta : delta;
	} else {
		s->falling = 0;
		gradient = fns_clamp((uint64_t)s->diff_ns, 0, min_rtt);
		s->rate -= fns_muldiv(s->rate, beta * gradient, 1000 * min_rtt);
	}
}

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	struct timely *s = (struct timely *)(void *)ctx->state;

	switch (ev->type) {
	case FNS_CC_INIT:
		s->rate = ctx->param[START_MBPS] * 1000000;
		out->window_bytes = FNS_CC_STATIC_WINDOW;
		break;
	case FNS_CC_ACK:
		if (!ev->rtt_ns)
			return;
		/* An hour is enough, and keeps the sums within 64 bits. */
		if (s->prev_rtt)
			sample(ctx, s, fns_clamp(ev->rtt_ns, 1, 3600000000000ull));
		else
			s->prev_rtt = ev->rtt_ns;
		break;
	case FNS_CC_TIMEOUT:
		s->rate /= 2;
		break;
	default:
		return;
	}
	s->rate =
		fns_clamp(s->rate, ctx->param[MIN_MBPS] * 1000000, ctx->param[LINE_MBPS] * 1000000);
	out->rate_bps = s->rate;
}

const struct fns_cc_ops fns_cc_timely = {
	.abi = FNS_CC_ABI,
	.size = sizeof(fns_cc_timely),
	.name = "timely",
	.text = "rate by the gradient of round trips (SIGCOMM 2015)",
	.events = FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK) | FNS_CC_ON(FNS_CC_TIMEOUT),
	.state_bytes = sizeof(struct timely),
	.nparams = NPARAMS,
	.params = params,
	.on_event = on_event,
};
