/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock that costs one atomic operation each way: for locks that are taken and given back in every
 * turn of a poll. Not recursive, not robust, process-private. Taking, trying (also in vain) and
 * releasing are full fences, so that callers need none of their own around them.
 */
#ifndef FNS_BASE_LOCK_H
#define FNS_BASE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct fns_lock {
	_Atomic uint32_t state; /* 0: free, 1: taken, 2: taken, and somebody may wait */
};

/* An atomic read-modify-write is a full fence on x86; elsewhere it takes one more. */
static inline void fns_lock_fence(void)
{
#if defined(__x86_64__)
	atomic_signal_fence(memory_order_seq_cst);
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* The slow ways; lock.c. */
void fns_lock_wait(struct fns_lock *l);
void fns_lock_wake(struct fns_lock *l);

static inline bool fns_lock_try(struct fns_lock *l)
{
	uint32_t free = 0;
	bool ok;

	fns_lock_fence();
	ok = atomic_compare_exchange_strong_explicit(
		&l->state, &free, 1, memory_order_seq_cst, memory_order_seq_cst);
	fns_lock_fence();
	return ok;
}

static inline void fns_lock_take(struct fns_lock *l)
{
	if (fns_unlikely(!fns_lock_try(l)))
		fns_lock_wait(l);
}

/* False: not within so many ns. */
bool fns_lock_take_within(struct fns_lock *l, uint64_t ns);

static inline void fns_lock_release(struct fns_lock *l)
{
	if (fns_unlikely(atomic_exchange_explicit(&l->state, 0, memory_order_seq_cst) == 2))
		fns_lock_wake(l);
	fns_lock_fence();
}

#endif
