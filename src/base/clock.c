/* SPDX-License-Identifier: Apache-2.0 */
/* The system clock, for the placements only: the engine and what lies below it are given now_ns. */
#include "base/clock.h"

#include <stdbool.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/assert.h"
#include "base/util.h"

uint64_t fns_clock_now_ns(void)
{
	struct timespec ts;
	int rc = clock_gettime(CLOCK_MONOTONIC, &ts);

	fns_assert(rc == 0);
	return (uint64_t)ts.tv_sec * FNS_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

#if defined(__x86_64__)
#define MEASURE_NS  (10 * FNS_NSEC_PER_MSEC) /* to learn how fast it counts */
#define COMPARE_NS  FNS_NSEC_PER_MSEC
#define PLAUSIBLE   (2 * FNS_NSEC_PER_USEC) /* as a difference, after so long */
#define TOOK_COUNTS 5000u                   /* for a look at the clock, at most */
#define EVEN_LEAF   0x80000007u
#define EVEN_BIT    (1u << 8) /* invariant TSC */
#define SCALE_SHIFT 32

/* A thread's last look at the clock, and what the counter was then. */
static _Thread_local struct {
	uint64_t ns, count;
	uint64_t scale; /* ns of one count, times 2^SCALE_SHIFT; 0: not known yet */
	uint64_t span;  /* counts for which that holds */
	int8_t even;    /* 0: not asked yet, 1, -1: does not count evenly */
} last __attribute__((tls_model("initial-exec")));

static uint64_t counter(void)
{
	return __builtin_ia32_rdtsc();
}

static bool counts_evenly(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(EVEN_LEAF, &a, &b, &c, &d) && (d & EVEN_BIT);
}

/* Looks at the clock. */
static __attribute__((noinline)) uint64_t compare(void)
{
	uint64_t before = counter(), now = fns_clock_now_ns(), took = counter() - before;
	uint64_t count = before + took / 2, counted = count - last.count, elapsed = now - last.ns;

	if (last.even == 0)
		last.even = counts_evenly() ? 1 : -1;
	/* Interrupted in between, or nothing to go by. */
	if (last.even < 0 || took > TOOK_COUNTS)
		return now;
	if (last.scale == 0 && last.ns) {
		if (elapsed < MEASURE_NS)
			return now;
		if (elapsed < FNS_NSEC_PER_SEC && counted < UINT64_MAX / 2)
			last.scale = (elapsed << SCALE_SHIFT) / counted;
	} else if (elapsed < 2 * COMPARE_NS) {
		/* Another machine? Then anew. */
		if (last.ns + (counted * last.scale >> SCALE_SHIFT) - now + PLAUSIBLE >
			2 * PLAUSIBLE)
			last.scale = 0;
	}
	last.ns = now;
	last.count = count;
	last.span = last.scale ? (COMPARE_NS << SCALE_SHIFT) / last.scale : 0;
	return now;
}

uint64_t fns_clock_quick_ns(void)
{
	uint64_t since = counter() - last.count;

	/* Also where another processor's counter is behind. */
	if (fns_unlikely(since >= last.span))
		return compare();
	return last.ns + (since * last.scale >> SCALE_SHIFT);
}
#else
uint64_t fns_clock_quick_ns(void)
{
	return fns_clock_now_ns();
}
#endif

uint64_t fns_clock_wall_ns(void)
{
	struct timespec ts;
	int rc = clock_gettime(CLOCK_REALTIME, &ts);

	fns_assert(rc == 0);
	return (uint64_t)ts.tv_sec * FNS_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}
