/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BBR: N. Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue
 * 14(5), 2016, in its first version, for long links and such as lose packets. It
 * keeps two estimates, the bandwidth of the way (largest delivery rate of the
 * last bw_rounds round trips) and its empty round trip (smallest of rtt_window),
 * paces at gain x bandwidth, and has cwnd_gain bandwidth-delay products in
 * flight. Loss is no signal.
 *
 *   startup: gain 2.885, until three rounds brought less than a quarter more;
 *   drain: its inverse, until one product is in flight; then the cycle of eight
 *   round trips 1.25, 0.75, 1 1 1 1 1 1; and once in rtt_window, when no smaller
 *   round trip was seen, 200 ms with four packets in flight.
 *
 * Differs: a delivery rate is taken once a round (bytes acknowledged since the
 * bytes then in flight were sent, over the time that took), not for each packet,
 * of which no time of sending is known here; the cycle begins with 1.25 for
 * everybody; a timeout begins anew with what is known of the round trip.
 */
#include "base/util.h"
#include "cc/cc.h"
#include "cc/fixed.h"

enum {
	START_CWND,
	BW_ROUNDS,
	CWND_GAIN_PM,
	RTT_WINDOW_MS,
	PROBE_RTT_MS,
	MIN_CWND,
	MAX_CWND_KIB,
	NPARAMS
};

static const struct fns_cc_param params[NPARAMS] = {
	[START_CWND] = {"start_cwnd", "packets", "window of a new queue pair", 16, 4, 65536},
	[BW_ROUNDS] = {"bw_rounds", "round trips", "for which a delivery rate counts", 10, 2, 10},
	[CWND_GAIN_PM] = {"cwnd_gain_pm", "1/1000", "in flight, of bandwidth times round trip",
		2000, 1000, 10000},
	[RTT_WINDOW_MS] = {"rtt_window_ms", "ms", "for which a round trip counts", 10000, 10,
		600000},
	[PROBE_RTT_MS] = {"probe_rtt_ms", "ms", "spent on measuring the round trip", 200, 1, 10000},
	[MIN_CWND] = {"min_cwnd", "packets", "smallest window", 4, 1, 1000},
	[MAX_CWND_KIB] = {"max_cwnd_kib", "KiB", "largest window", 1048576, 1, 1048576},
};

#define ROUNDS    10u   /* of bandwidth remembered at most */
#define HIGH_GAIN 2885u /* 2/ln 2, of 1000 */
#define CYCLE     8u
#define HOUR_NS   3600000000000ull
#define BW_MAX    (FNS_CC_RATE_MAX / 8) /* bytes per second */

enum mode {
	STARTUP,
	DRAIN,
	PROBE_BW,
	PROBE_RTT
};

struct bbr {
	uint64_t bw[ROUNDS]; /* bytes per second, of the last rounds */
	uint64_t min_rtt, min_rtt_at, probe_until;
	uint64_t delivered;          /* bytes, ever */
	uint64_t round_at, round_ns; /* this round: delivered then, since when */
	uint64_t round_end;          /* it ends when so many are delivered */
	uint64_t full_bw;            /* startup: the last that was a quarter more */
	uint64_t cycle_ns;
	uint32_t round, full_rounds, phase, mode;
	bool app_limited; /* in this round there was nothing to send */
	bool in_round;
};
_Static_assert(sizeof(struct bbr) <= FNS_CC_STATE_BYTES, "state");

static uint64_t bandwidth(const struct fns_cc_ctx *ctx, const struct bbr *s)
{
	uint64_t bw = 0;

	for (unsigned i = 0; i < ctx->param[BW_ROUNDS]; i++)
		bw = FNS_MAX(bw, s->bw[i]);
	return bw;
}

/* Bandwidth times round trip. */
static uint64_t product(const struct fns_cc_ctx *ctx, const struct bbr *s)
{
	return fns_muldiv(bandwidth(ctx, s), s->min_rtt, FNS_NSEC_PER_SEC);
}

/* --- estimates --- */

static void round_begin(struct bbr *s, const struct fns_cc_event *ev)
{
	s->in_round = ev->inflight > 0;
	s->round_at = s->delivered;
	s->round_ns = ev->now_ns;
	s->round_end = s->delivered + ev->inflight;
	s->app_limited = false;
}

/* Startup ends when the bandwidth has stopped growing. */
static void is_it_full(const struct fns_cc_ctx *ctx, struct bbr *s)
{
	uint64_t bw = bandwidth(ctx, s);

	if (s->app_limited)
		return;
	if (bw >= s->full_bw + s->full_bw / 4) {
		s->full_bw = bw;
		s->full_rounds = 0;
	} else if (++s->full_rounds >= 3) {
		s->mode = DRAIN;
	}
}

/* True: a round has ended. */
static bool delivery(const struct fns_cc_ctx *ctx, struct bbr *s, const struct fns_cc_event *ev)
{
	/* Never less than a round trip, or the pace at which a burst leaves the link would count.
	 */
	uint64_t took = FNS_MAX(FNS_MAX(ev->now_ns - s->round_ns, s->min_rtt), 1), rate;

	s->delivered += FNS_MIN(ev->bytes, 1ull << 40);
	if (ev->inflight == 0)
		s->app_limited = true;
	if (!s->in_round || s->delivered < s->round_end)
		return false;
	rate = FNS_MIN(fns_muldiv(s->delivered - s->round_at, FNS_NSEC_PER_SEC, took), BW_MAX);
	/* A sample that says little counts only if it says more. */
	if (!s->app_limited || rate > bandwidth(ctx, s)) {
		s->round++;
		s->bw[s->round % ctx->param[BW_ROUNDS]] = rate;
	}
	return true;
}

static void round_trip(const struct fns_cc_ctx *ctx, struct bbr *s, const struct fns_cc_event *ev)
{
	uint64_t rtt = fns_clamp(ev->rtt_ns, 1, HOUR_NS);
	bool stale = ev->now_ns - s->min_rtt_at > ctx->param[RTT_WINDOW_MS] * FNS_NSEC_PER_MSEC;

	if (s->min_rtt && stale && s->mode == PROBE_BW) {
		s->mode = PROBE_RTT;
		s->probe_until = ev->now_ns + ctx->param[PROBE_RTT_MS] * FNS_NSEC_PER_MSEC;
	}
	if (!s->min_rtt || rtt <= s->min_rtt || stale) {
		s->min_rtt = rtt;
		s->min_rtt_at = ev->now_ns;
	}
}

/* --- states --- */

static void advance(const struct fns_cc_ctx *ctx, struct bbr *s, const struct fns_cc_event *ev)
{
	if (s->mode == DRAIN && ev->inflight <= product(ctx, s)) {
		s->mode = PROBE_BW;
		s->phase = 0;
		s->cycle_ns = ev->now_ns;
	}
	if (s->mode == PROBE_RTT && ev->now_ns >= s->probe_until) {
		s->mode = PROBE_BW;
		s->phase = 2;
		s->cycle_ns = ev->now_ns;
		s->min_rtt_at = ev->now_ns;
	}
	if (s->mode == PROBE_BW && (ev->now_ns - s->cycle_ns > s->min_rtt ||
					   (s->phase == 1 && ev->inflight <= product(ctx, s)))) {
		s->phase = (s->phase + 1) % CYCLE;
		s->cycle_ns = ev->now_ns;
	}
}

static uint64_t gain(const struct bbr *s)
{
	static const uint16_t cycle[CYCLE] = {1250, 750, 1000, 1000, 1000, 1000, 1000, 1000};

	switch (s->mode) {
	case STARTUP:
		return HIGH_GAIN;
	case DRAIN:
		return 1000000 / HIGH_GAIN;
	case PROBE_BW:
		return cycle[s->phase];
	}
	return 1000;
}

static void decide(
	const struct fns_cc_ctx *ctx, const struct bbr *s, uint64_t mtu, struct fns_cc_out *out)
{
	uint64_t least = ctx->param[MIN_CWND] * mtu, top = ctx->param[MAX_CWND_KIB] * 1024;
	uint64_t bw = bandwidth(ctx, s), w;

	if (!bw || !s->min_rtt) {
		out->window_bytes = ctx->param[START_CWND] * mtu;
		out->rate_bps = FNS_CC_UNLIMITED;
		return;
	}
	w = fns_muldiv(
		product(ctx, s), s->mode <= DRAIN ? HIGH_GAIN : ctx->param[CWND_GAIN_PM], 1000);
	if (s->mode == PROBE_RTT)
		w = least;
	out->window_bytes = FNS_MAX(FNS_MIN(w, top), least);
	out->rate_bps = fns_clamp(bw * 8 / 1000 * gain(s), FNS_CC_RATE_MIN, FNS_CC_RATE_MAX);
}

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	struct bbr *s = (struct bbr *)(void *)ctx->state;

	switch (ev->type) {
	case FNS_CC_INIT:
		s->round_ns = s->min_rtt_at = ev->now_ns;
		break;
	case FNS_CC_ACK:
		if (ev->rtt_ns)
			round_trip(ctx, s, ev);
		if (delivery(ctx, s, ev)) {
			if (s->mode == STARTUP)
				is_it_full(ctx, s);
			round_begin(s, ev);
		} else if (!s->in_round) {
			round_begin(s, ev);
		}
		advance(ctx, s, ev);
		break;
	case FNS_CC_TIMEOUT:
		s->mode = STARTUP;
		s->full_bw = s->full_rounds = 0;
		s->in_round = false;
		for (unsigned i = 0; i < ROUNDS; i++)
			s->bw[i] = 0;
		break;
	default:
		return;
	}
	decide(ctx, s, ev->mtu_bytes ? ev->mtu_bytes : 1, out);
}

const struct fns_cc_ops fns_cc_bbr = {
	.abi = FNS_CC_ABI,
	.size = sizeof(fns_cc_bbr),
	.name = "bbr",
	.text = "rate by bandwidth and round trip measured, for long links (ACM Queue 2016)",
	.events = FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK) | FNS_CC_ON(FNS_CC_TIMEOUT),
	.state_bytes = sizeof(struct bbr),
	.nparams = NPARAMS,
	.params = params,
	.on_event = on_event,
};
