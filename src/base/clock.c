/* SPDX-License-Identifier: Apache-2.0 */
/* The system clock, for the placements only: the engine and what lies below it are given now_ns. */
#include "base/clock.h"

#include <time.h>

#include "base/assert.h"
#include "base/util.h"

uint64_t fns_clock_now_ns(void)
{
	struct timespec ts;
	int rc = clock_gettime(CLOCK_MONOTONIC, &ts);

	fns_assert(rc == 0);
	return (uint64_t)ts.tv_sec * FNS_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t fns_clock_wall_ns(void)
{
	struct timespec ts;
	int rc = clock_gettime(CLOCK_REALTIME, &ts);

	fns_assert(rc == 0);
	return (uint64_t)ts.tv_sec * FNS_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}
