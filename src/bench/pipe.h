/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The notification pipe by itself: an application and an engine exchange descriptors and
 * completions of the real layout (pipe/layout.h) by phase bits or by indices, with nothing behind
 * them. Counted in one thread, line by line, which is exact; and timed between two CPUs. Used by
 * `flexins bench pipe`.
 */
#ifndef FNS_BENCH_PIPE_H
#define FNS_BENCH_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "pipe/modes.h"

#define FNS_PIPE_MAX_BURST 256u

/*
 * Of one message: a descriptor posted and taken, a completion written and polled. A line moves when
 * a side needs what the other has written since it last had the line; it is taken back when a side
 * writes to a line that the other still holds. Both cross from core to core (or, on a SmartNIC,
 * the PCIe bus); what hits a side's own copy does not.
 */
struct fns_pipe_lines {
	double descriptors, completions; /* moved: the entries themselves */
	double indices;                  /* moved: credit, producers' and consumers' indices */
	double taken_back;
};

/* The application posts burst at a time, the engine takes and completes them, the application polls
 * until there are no more. Deterministic. */
void fns_pipe_count(enum fns_pipe_mode mode, uint32_t burst, struct fns_pipe_lines *out);

struct fns_pipe_cfg {
	enum fns_pipe_mode mode;
	uint32_t burst;    /* 1..FNS_PIPE_MAX_BURST */
	uint64_t messages; /* to exchange, burst outstanding */
	int cpu[2];        /* of application and engine */
	uint64_t (*clock_ns)(void);
};

/* ns a message; negative: the threads could not be started or bound, or one came to rest. */
double fns_pipe_time(const struct fns_pipe_cfg *cfg);

#endif
