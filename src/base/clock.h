/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that asks the system for the time. Everything below the placement gets now_ns as an
 * argument. */
#ifndef FNS_BASE_CLOCK_H
#define FNS_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in ns. Thread-safe, about 25 ns. */
uint64_t fns_clock_now_ns(void);
/*
 * The same for who asks all the time: where the processor counts evenly the counter is read, which
 * costs half, and compared with the clock every millisecond. Off by some 10 ns; may step back as
 * much from one thread to another.
 */
uint64_t fns_clock_quick_ns(void);
/* CLOCK_REALTIME in ns since 1970: for stamps that people read, never for intervals. */
uint64_t fns_clock_wall_ns(void);

#endif
