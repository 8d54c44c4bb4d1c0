/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DCQCN, the reaction point: Y. Zhu et al., "Congestion Control for Large-Scale
 * RDMA Deployments", SIGCOMM 2015, sections 3.1 and 5. Marks come as congestion
 * notification packets (the notification point is transport/rc_cc.c, the
 * congestion point a switch).
 *
 * Before the first notification there is no limit. A notification cuts: Rt =
 * Rc, Rc *= 1 - alpha/2, alpha = (1 - g) alpha + g. Without one alpha decays
 * each alpha_us. A timer and a byte counter each count steps of increase since
 * the last cut: up to `stages` of both halve the way to Rt (fast recovery);
 * then Rt grows by ai (additive), and when both counters are beyond, by hai for
 * each step (hyper). At line rate the limit and the timer are off again.
 *
 * Not in the paper: alpha decays when it is looked at, by a power, which saves
 * a timer; a timeout cuts like a notification.
 */
#include "cc/cc.h"
#include "cc/fixed.h"

enum {
	LINE_MBPS,
	MIN_MBPS,
	G_INV,
	AI_MBPS,
	HAI_MBPS,
	TIMER_US,
	ALPHA_US,
	BYTES_KIB,
	STAGES,
	NPARAMS
};

static const struct fns_cc_param params[NPARAMS] = {
	[LINE_MBPS] = {"line_mbps", "Mb/s", "rate of the link", 100000, 10, 10000000},
	[MIN_MBPS] = {"min_mbps", "Mb/s", "no cut goes below", 10, 1, 10000},
	[G_INV] = {"g_inv", "(1/g)", "weight of one notification in alpha, inverse", 256, 2, 65536},
	[AI_MBPS] = {"ai_mbps", "Mb/s", "additive increase", 40, 1, 100000},
	[HAI_MBPS] = {"hai_mbps", "Mb/s", "hyper increase", 400, 1, 1000000},
	[TIMER_US] = {"timer_us", "us", "period of increase", 55, 2, 100000},
	[ALPHA_US] = {"alpha_us", "us", "period of alpha's decay", 55, 2, 100000},
	[BYTES_KIB] = {"bytes_kib", "KiB", "bytes that count as a period", 10240, 1, 1048576},
	[STAGES] = {"stages", "steps", "steps of fast recovery (F)", 5, 1, 100},
};

#define ONE (1ull << 20) /* of alpha */

struct dcqcn {
	uint64_t rc, rt; /* bits per second */
	uint64_t bytes;  /* sent since the byte counter's last step */
	uint64_t alpha;
	uint64_t alpha_ns; /* when it was right */
	uint32_t t, bc;    /* steps of timer and byte counter since the cut */
	bool limited;
};
_Static_assert(sizeof(struct dcqcn) <= FNS_CC_STATE_BYTES, "state");

static uint64_t mbps(const struct fns_cc_ctx *ctx, unsigned param)
{
	return ctx->param[param] * 1000000;
}

/* alpha *= (1 - g)^n for the n periods that have passed. */
static void decay(const struct fns_cc_ctx *ctx, struct dcqcn *s, uint64_t now)
{
	uint64_t period = ctx->param[ALPHA_US] * 1000, n = (now - s->alpha_ns) / period;
	uint64_t f = ONE - ONE / ctx->param[G_INV];

	s->alpha_ns += n * period;
	for (; n; n >>= 1) {
		if (n & 1)
			s->alpha = s->alpha * f / ONE;
		f = f * f / ONE;
	}
}

static void cut(const struct fns_cc_ctx *ctx, struct dcqcn *s, uint64_t now)
{
	decay(ctx, s, now);
	s->rt = s->rc;
	s->rc = fns_clamp(
		fns_muldiv(s->rc, 2 * ONE - s->alpha, 2 * ONE), mbps(ctx, MIN_MBPS), s->rc);
	s->alpha = s->alpha - s->alpha / ctx->param[G_INV] + ONE / ctx->param[G_INV];
	s->alpha_ns = now;
	s->t = s->bc = 0;
	s->bytes = 0;
	s->limited = true;
}

static void increase(const struct fns_cc_ctx *ctx, struct dcqcn *s)
{
	uint32_t f = (uint32_t)ctx->param[STAGES], line_part = 1000;
	uint32_t most = s->t > s->bc ? s->t : s->bc, least = s->t > s->bc ? s->bc : s->t;
	uint64_t line = mbps(ctx, LINE_MBPS);

	if (least > f)
		s->rt += mbps(ctx, HAI_MBPS) * (least - f);
	else if (most > f)
		s->rt += mbps(ctx, AI_MBPS);
	s->rt = fns_clamp(s->rt, 0, line);
	s->rc = (s->rt + s->rc) / 2;
	if (s->rt == line && line - s->rc <= line / line_part) {
		s->rc = line;
		s->limited = false;
	}
}

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	struct dcqcn *s = (struct dcqcn *)(void *)ctx->state;
	uint64_t quantum = ctx->param[BYTES_KIB] * 1024, period = ctx->param[TIMER_US] * 1000;

	switch (ev->type) {
	case FNS_CC_INIT:
		s->rc = s->rt = mbps(ctx, LINE_MBPS);
		s->alpha = ONE;
		s->alpha_ns = ev->now_ns;
		out->window_bytes = FNS_CC_STATIC_WINDOW;
		break;
	case FNS_CC_CNP:
	case FNS_CC_TIMEOUT:
		cut(ctx, s, ev->now_ns);
		out->timer_ns = ev->now_ns + period;
		break;
	case FNS_CC_TIMER:
		s->t++;
		increase(ctx, s);
		out->timer_ns = ev->now_ns + period;
		break;
	case FNS_CC_SENT:
		if (!s->limited)
			return;
		s->bytes += ev->bytes;
		if (s->bytes < quantum)
			return;
		s->bytes -= quantum;
		s->bc++;
		increase(ctx, s);
		break;
	default:
		return;
	}
	/* Below line rate the packets' own time on the link paces them. */
	out->rate_bps = s->limited ? s->rc : FNS_CC_UNLIMITED;
	if (!s->limited)
		out->timer_ns = FNS_CC_NEVER;
}

const struct fns_cc_ops fns_cc_dcqcn = {
	.abi = FNS_CC_ABI,
	.size = sizeof(fns_cc_dcqcn),
	.name = "dcqcn",
	.text = "rate by congestion notifications, as RoCEv2 NICs do (SIGCOMM 2015)",
	.events = FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_CNP) | FNS_CC_ON(FNS_CC_TIMEOUT) |
		  FNS_CC_ON(FNS_CC_TIMER) | FNS_CC_ON(FNS_CC_SENT),
	.flags = FNS_CC_F_ECT,
	.state_bytes = sizeof(struct dcqcn),
	.nparams = NPARAMS,
	.params = params,
	.on_event = on_event,
};
