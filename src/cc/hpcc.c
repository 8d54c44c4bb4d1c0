/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPCC: Y. Li et al., "HPCC: High Precision Congestion Control", SIGCOMM 2019,
 * algorithm 1. A window from the switches' own counters (in-band telemetry),
 * which say how many bytes are in flight on each link of the way:
 *
 *   U of a link = queue / (B T) + bytes sent in dt / (B dt); the largest counts,
 *   averaged over T; U >= eta, or max_stage increases without that: W = Wc eta /
 *   U + wai; else W = Wc + wai. Wc follows W once a round trip. Rate: W / T.
 *
 * Without telemetry, which real networks have where their switches and NICs
 * offer it, the window stays at what the link holds in a round trip: no control.
 *
 * Not in the paper, whose switches lose nothing: a timeout halves the window. A
 * way that changes (other ports) is measured anew from its second packet on. A
 * queue pair that was idle for idle_us begins anew, as a flow of the paper does.
 */
#include "base/util.h"
#include "cc/cc.h"
#include "cc/fixed.h"

enum {
	LINE_MBPS,
	RTT_NS,
	ETA_PM,
	MAX_STAGE,
	WAI_BYTES,
	FLOWS,
	MIN_BYTES,
	IDLE_US,
	NPARAMS
};

static const struct fns_cc_param params[NPARAMS] = {
	[LINE_MBPS] = {"line_mbps", "Mb/s", "rate of the link", 100000, 10, 10000000},
	[RTT_NS] = {"rtt_ns", "ns", "round trip of an empty network (T)", 13000, 1000, 1000000000},
	[ETA_PM] = {"eta_pm", "1/1000", "utilisation aimed at", 950, 100, 1000},
	[MAX_STAGE] = {"max_stage", "steps", "round trips of increase before a look at U", 5, 0,
		1000},
	[WAI_BYTES] = {"wai_bytes", "bytes",
		"additive increase; 0: what eta leaves free, for so many flows", 0, 0, 1000000},
	[FLOWS] = {"flows", "flows", "... that share a link", 32, 1, 100000},
	[MIN_BYTES] = {"min_bytes", "bytes", "smallest window; less than a packet is paced", 64, 1,
		1000000},
	[IDLE_US] = {"idle_us", "us", "with nothing in flight for so long it begins anew", 200, 10,
		1000000},
};

#define ONE     65536ull     /* of U */
#define U_MAX   (1000 * ONE) /* more is nonsense */
#define LINKS   6u           /* of a way are remembered; 3 is a leaf-spine network's */
#define TX_MAX  (1ull << 32) /* bytes between two acknowledgements */
#define SLOWEST 1000000ull   /* of links, bits per second */
#define HOUR_NS 3600000000000ull

struct link {
	uint64_t tx_bytes;
	uint64_t time_ns;
	uint32_t queue;
	uint32_t hop;
};

struct hpcc {
	uint64_t w, wc;  /* bytes */
	uint64_t u;      /* of ONE */
	uint64_t acked;  /* bytes, ever */
	uint64_t update; /* Wc is updated when so many are */
	uint32_t stage;  /* increases in a row */
	uint32_t nlinks; /* known; 0: none yet */
	struct link link[LINKS];
};
_Static_assert(sizeof(struct hpcc) <= FNS_CC_STATE_BYTES, "state");

static uint64_t most(const struct fns_cc_ctx *ctx)
{
	return FNS_MAX(fns_muldiv(ctx->param[LINE_MBPS] * 1000000, ctx->param[RTT_NS],
			       8 * FNS_NSEC_PER_SEC),
		ctx->param[MIN_BYTES]);
}

/* Section 3.3: of the window to begin with, what is above eta is shared by the flows' increases. */
static uint64_t wai(const struct fns_cc_ctx *ctx)
{
	uint64_t given = ctx->param[WAI_BYTES];

	if (given)
		return given;
	given = most(ctx) * (1000 - ctx->param[ETA_PM]) / 1000 / ctx->param[FLOWS];
	return FNS_MAX(given, 1);
}

static void bound(const struct fns_cc_ctx *ctx, uint64_t *w)
{
	*w = fns_clamp(*w, ctx->param[MIN_BYTES], most(ctx));
}

static bool same_way(const struct hpcc *s, const struct fns_cc_event *ev)
{
	uint32_t n = FNS_MIN(ev->nhops, LINKS);

	if (s->nlinks != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (s->link[i].hop != ev->hops[i].hop)
			return false;
	return true;
}

static void remember(struct hpcc *s, const struct fns_cc_event *ev)
{
	s->nlinks = FNS_MIN(ev->nhops, LINKS);
	for (uint32_t i = 0; i < s->nlinks; i++)
		s->link[i] = (struct link){ev->hops[i].tx_bytes, ev->hops[i].time_ns,
			ev->hops[i].queue_bytes, ev->hops[i].hop};
}

/* U of one link; 0 where nothing can be said. */
static uint64_t load(const struct link *l, const struct fns_cc_hop *h, uint64_t t_ns)
{
	uint64_t dt = h->time_ns - l->time_ns, tx = h->tx_bytes - l->tx_bytes, queue, u;

	if (h->time_ns <= l->time_ns || dt > HOUR_NS || tx > TX_MAX || h->link_bps < SLOWEST)
		return 0;
	queue = FNS_MIN(h->queue_bytes, l->queue);
	u = FNS_MIN(fns_muldiv(queue * 8 * ONE, FNS_NSEC_PER_SEC, h->link_bps) / t_ns, U_MAX);
	return u + FNS_MIN(fns_muldiv(tx * 8 * ONE / dt, FNS_NSEC_PER_SEC, h->link_bps), U_MAX);
}

/* False: nothing new is known of the way. */
static bool measure(const struct fns_cc_ctx *ctx, struct hpcc *s, const struct fns_cc_event *ev)
{
	uint64_t t = ctx->param[RTT_NS], u = 0, dt = t;
	bool known = ev->nhops && same_way(s, ev);

	for (uint32_t i = 0; known && i < s->nlinks; i++) {
		uint64_t here = load(&s->link[i], &ev->hops[i], t);

		if (here > u) {
			u = here;
			dt = FNS_MIN(ev->hops[i].time_ns - s->link[i].time_ns, t);
		}
	}
	if (ev->nhops)
		remember(s, ev);
	if (!u)
		return false;
	s->u = (s->u * (t - dt) + u * dt) / t;
	return true;
}

static void ack(const struct fns_cc_ctx *ctx, struct hpcc *s, const struct fns_cc_event *ev)
{
	uint64_t eta = ctx->param[ETA_PM] * ONE / 1000;
	bool update;

	s->acked += ev->bytes;
	if (!measure(ctx, s, ev))
		return;
	update = s->acked >= s->update;
	if (s->u >= eta || s->stage >= ctx->param[MAX_STAGE]) {
		s->w = fns_muldiv(s->wc, eta, FNS_MAX(s->u, 1)) + wai(ctx);
		s->stage = update ? 0 : s->stage;
	} else {
		s->w = s->wc + wai(ctx);
		s->stage += update;
	}
	bound(ctx, &s->w);
	if (update) {
		s->wc = s->w;
		s->update = s->acked + ev->inflight;
	}
}

static void begin(const struct fns_cc_ctx *ctx, struct hpcc *s)
{
	s->w = s->wc = most(ctx);
	s->u = s->stage = s->nlinks = 0;
}

/* Between packets at the rate in force, which is W / T. */
static uint64_t gap_ns(const struct fns_cc_ctx *ctx, const struct hpcc *s, uint32_t bytes)
{
	return fns_muldiv(bytes + 100ull, ctx->param[RTT_NS], s->w);
}

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	struct hpcc *s = (struct hpcc *)(void *)ctx->state;

	switch (ev->type) {
	case FNS_CC_INIT:
		begin(ctx, s);
		break;
	case FNS_CC_ACK:
		ack(ctx, s, ev);
		/* Idle, or paced: twice what the next packet may have to wait. */
		if (ev->inflight == 0)
			out->timer_ns = ev->now_ns + ctx->param[IDLE_US] * 1000 +
					2 * gap_ns(ctx, s, ev->mtu_bytes);
		break;
	case FNS_CC_TIMER:
		if (ev->inflight == 0)
			begin(ctx, s);
		break;
	case FNS_CC_TIMEOUT:
		s->wc /= 2;
		bound(ctx, &s->wc);
		s->w = s->wc;
		s->update = s->acked;
		break;
	default:
		return;
	}
	out->window_bytes = s->w;
	out->rate_bps = fns_clamp(fns_muldiv(s->w * 8, FNS_NSEC_PER_SEC, ctx->param[RTT_NS]),
		FNS_CC_RATE_MIN, FNS_CC_RATE_MAX);
}

const struct fns_cc_ops fns_cc_hpcc = {
	.abi = FNS_CC_ABI,
	.size = sizeof(fns_cc_hpcc),
	.name = "hpcc",
	.text = "window by in-band telemetry of switches (SIGCOMM 2019)",
	.events = FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK) | FNS_CC_ON(FNS_CC_TIMEOUT) |
		  FNS_CC_ON(FNS_CC_TIMER),
	.state_bytes = sizeof(struct hpcc),
	.nparams = NPARAMS,
	.params = params,
	.on_event = on_event,
};
