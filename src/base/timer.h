/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hierarchical timer wheel: O(1) set and cancel, exact order (deadline, then order of setting),
 * virtual or real time alike since now_ns is an argument. One wheel belongs to one thread. A timer
 * is embedded in its owner and set at most once.
 */
#ifndef FNS_BASE_TIMER_H
#define FNS_BASE_TIMER_H

#include "base/list.h"

#define FNS_TIMER_NEVER UINT64_MAX

struct fns_timer;
typedef void (*fns_timer_fn)(struct fns_timer *t, uint64_t now_ns);

struct fns_timer {
	struct fns_list node;
	uint64_t deadline_ns; /* absolute; FNS_TIMER_NEVER: not set */
	uint64_t seq;         /* order of setting, decides between equal deadlines */
	fns_timer_fn fn;
};

struct fns_timer_wheel;

/* start_ns: no deadline before it will be treated as anything but due. NULL without memory. */
struct fns_timer_wheel *fns_timer_wheel_create(uint64_t start_ns);
/* Timers still set are forgotten, not called. */
void fns_timer_wheel_destroy(struct fns_timer_wheel *w);

void fns_timer_init(struct fns_timer *t, fns_timer_fn fn);
static inline bool fns_timer_is_set(const struct fns_timer *t)
{
	return t->deadline_ns != FNS_TIMER_NEVER;
}
/* Sets or moves. A deadline in the past fires at the next run. */
void fns_timer_set(struct fns_timer_wheel *w, struct fns_timer *t, uint64_t deadline_ns);
/* No-op when not set. */
void fns_timer_cancel(struct fns_timer_wheel *w, struct fns_timer *t);
/*
 * Calls every timer with deadline <= now_ns in order, each taken off before its call; functions may
 * set and cancel any timer, what they set at or before now_ns fires in the next run. Returns the
 * number called. Never early, exact to the nanosecond.
 */
unsigned fns_timer_run(struct fns_timer_wheel *w, uint64_t now_ns);
/* Earliest deadline, or FNS_TIMER_NEVER. Exact. */
uint64_t fns_timer_next(const struct fns_timer_wheel *w);

#endif
