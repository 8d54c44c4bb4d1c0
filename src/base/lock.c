/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a lock that somebody has. */
#include "base/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define NS_PER_SEC 1000000000ull

static void sleep_while(struct fns_lock *l, uint32_t value, const struct timespec *at_most)
{
	(void)syscall(SYS_futex, &l->state, FUTEX_WAIT_PRIVATE, value, at_most, NULL, 0);
}

/* Most are held for less than going to sleep takes. */
#define SPINS 100u

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Whoever has waited leaves the mark behind: there may be others. */
void fns_lock_wait(struct fns_lock *l)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (atomic_load_explicit(&l->state, memory_order_relaxed) == 0 && fns_lock_try(l))
			return;
		relax();
	}
	while (atomic_exchange_explicit(&l->state, 2, memory_order_seq_cst) != 0)
		sleep_while(l, 2, NULL);
	fns_lock_fence();
}

bool fns_lock_take_within(struct fns_lock *l, uint64_t ns)
{
	uint64_t until = fns_clock_now_ns() + ns;

	while (atomic_exchange_explicit(&l->state, 2, memory_order_seq_cst) != 0) {
		uint64_t now = fns_clock_now_ns();
		struct timespec left;

		if (now >= until)
			return false;
		left.tv_sec = (time_t)((until - now) / NS_PER_SEC);
		left.tv_nsec = (long)((until - now) % NS_PER_SEC);
		sleep_while(l, 2, &left);
	}
	fns_lock_fence();
	return true;
}

void fns_lock_wake(struct fns_lock *l)
{
	(void)syscall(SYS_futex, &l->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
