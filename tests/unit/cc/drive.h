/* SPDX-License-Identifier: Apache-2.0 */
/* One algorithm fed with events, as an engine would, guard included: nothing it says is refused. */
#ifndef TESTS_UNIT_CC_DRIVE_H
#define TESTS_UNIT_CC_DRIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "cc/cc.h"

#define MTU  1024u
#define MBPS 1000000ull

struct drive {
	struct fns_cc_choice c;
	struct fns_cc_ctx ctx;
	struct fns_cc_out out;
	uint64_t now;
};

static inline void drive_full(struct drive *d, const struct fns_cc_event *given)
{
	struct fns_cc_event ev = *given;
	struct fns_cc_out had = d->out;

	if (!(d->c.ops->events & FNS_CC_ON(ev.type)))
		return;
	ev.now_ns = d->now;
	ev.mtu_bytes = MTU;
	if (ev.type == FNS_CC_TIMER)
		d->out.timer_ns = FNS_CC_NEVER;
	d->c.ops->on_event(&d->ctx, &ev, &d->out);
	assert_int_equal(fns_cc_guard(&had, &d->out, d->now), 0);
}

static inline void drive(struct drive *d, uint32_t type, uint64_t bytes, uint64_t rtt_ns)
{
	drive_full(d, &(struct fns_cc_event){.type = type, .bytes = bytes, .rtt_ns = rtt_ns});
}

static inline void drive_begin(struct drive *d, const char *text)
{
	char err[256] = "";

	*d = (struct drive){
		.now = 1000000, .out = {FNS_CC_UNLIMITED, FNS_CC_UNLIMITED, FNS_CC_NEVER, 0, 0}};
	if (!fns_cc_parse(text, &d->c, err, sizeof(err)))
		fail_msg("%s", err);
	d->ctx.param = d->c.param;
	d->ctx.self = d->c.ops;
	drive(d, FNS_CC_INIT, 0, 0);
}

/* Moves time; the timer fires when it is due. */
static inline void drive_sleep(struct drive *d, uint64_t ns)
{
	uint64_t end = d->now + ns;

	while (d->out.timer_ns <= end) {
		d->now = d->out.timer_ns;
		drive(d, FNS_CC_TIMER, 0, 0);
	}
	d->now = end;
}

/* Events of all kinds with numbers of all sizes: the guard must never have to refuse. */
static inline void drive_wild(const char *text, uint64_t seed)
{
	struct fns_rng rng;
	struct drive d;

	fns_rng_seed(&rng, seed);
	drive_begin(&d, text);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t bytes = fns_rng_u64(&rng) >> fns_rng_below(&rng, 64);
		uint64_t rtt = fns_rng_u64(&rng) >> fns_rng_below(&rng, 64);
		uint32_t type = 1 + (uint32_t)fns_rng_below(&rng, FNS_CC_EVENTS - 1);
		struct fns_cc_event ev = {.type = type, .bytes = bytes, .rtt_ns = rtt};

		if (fns_rng_below(&rng, 4) == 0) {
			ev.rtt_host_ns = fns_rng_below(&rng, rtt ? rtt : 1);
			ev.rtt_fabric_ns = rtt - ev.rtt_host_ns;
		}
		if (type != FNS_CC_TIMER)
			drive_full(&d, &ev);
		drive_sleep(&d, fns_rng_below(&rng, 200000));
	}
}

#endif
