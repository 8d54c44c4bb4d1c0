/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of a busy queue pair on a network that marks and loses now and then, drawn once and
 * delivered again and again: of those that the algorithm wants, 3 of 4 acknowledgements with a
 * round trip, the rest anything. The time between them is virtual.
 */
#include "bench/cc.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"

#define EVENTS 4096u
#define RUNS   21u

static void draw(const struct fns_cc_ops *ops, struct fns_cc_event ev[static EVENTS])
{
	struct fns_rng rng;

	fns_rng_seed(&rng, 1);
	for (unsigned i = 0; i < EVENTS; i++) {
		uint32_t type;

		do {
			type = fns_rng_below(&rng, 4)
				       ? FNS_CC_ACK
				       : (uint32_t)fns_rng_below(&rng, FNS_CC_EVENTS);
		} while (type == FNS_CC_INIT || !(ops->events & FNS_CC_ON(type)));
		ev[i] = (struct fns_cc_event){.type = type,
			.mtu_bytes = 4096,
			.bytes = 4096 * (1 + fns_rng_below(&rng, 16)),
			.inflight = 4096 * fns_rng_below(&rng, 256),
			.rtt_ns = type == FNS_CC_ACK ? 10000 + fns_rng_below(&rng, 200000) : 0};
	}
}

/* Nothing wanted but FNS_CC_INIT: that, then. */
static void draw_init(struct fns_cc_event ev[static EVENTS])
{
	for (unsigned i = 0; i < EVENTS; i++)
		ev[i] = (struct fns_cc_event){.type = FNS_CC_INIT, .mtu_bytes = 4096};
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void fns_bench_cc(const struct fns_cc_choice *c, double seconds, struct fns_bench_cc *out)
{
	static const struct fns_cc_out none = {
		FNS_CC_UNLIMITED, FNS_CC_UNLIMITED, FNS_CC_NEVER, 0, 0};
	struct fns_cc_event *ev = calloc(EVENTS, sizeof(*ev));
	struct fns_cc_ctx ctx = {.param = c->param, .self = c->ops};
	struct fns_cc_event init = {.type = FNS_CC_INIT, .mtu_bytes = 4096, .now_ns = 1};
	struct fns_cc_out o = none, had;
	uint64_t now = 1, begin, end, budget = (uint64_t)(seconds * 1e9 / RUNS), n;
	double ns[RUNS];

	*out = (struct fns_bench_cc){0};
	if (!ev)
		return;
	if (c->ops->events & ~FNS_CC_ON(FNS_CC_INIT))
		draw(c->ops, ev);
	else
		draw_init(ev);
	c->ops->on_event(&ctx, &init, &o);
	for (unsigned r = 0; r < RUNS; r++) {
		begin = end = fns_clock_now_ns();
		for (n = 0; n == 0 || end - begin < budget; n += EVENTS) {
			for (unsigned i = 0; i < EVENTS; i++) {
				now += 2000;
				ev[i].now_ns = now;
				had = o;
				if (ev[i].type == FNS_CC_TIMER)
					o.timer_ns = FNS_CC_NEVER;
				c->ops->on_event(&ctx, &ev[i], &o);
				out->refused += fns_cc_guard(&had, &o, now);
			}
			end = fns_clock_now_ns();
		}
		ns[r] = (double)(end - begin) / (double)n;
	}
	qsort(ns, RUNS, sizeof(ns[0]), by_value);
	out->ns = ns[RUNS / 2];
	out->ns_low = ns[RUNS / 4];
	out->ns_high = ns[RUNS * 3 / 4];
	free(ev);
}
