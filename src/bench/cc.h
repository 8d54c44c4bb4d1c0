/* SPDX-License-Identifier: Apache-2.0 */
/* What a congestion control costs: one event after the other, as an engine delivers them. */
#ifndef FNS_BENCH_CC_H
#define FNS_BENCH_CC_H

#include "cc/cc.h"

/* The worked example (examples/cc/aimd.c), linked in, to be compared with itself as a plug-in. */
extern const struct fns_cc_ops fns_cc_aimd;

struct fns_bench_cc {
	double ns, ns_low, ns_high; /* of an event with the guard: median of runs, quartiles */
	uint64_t refused;           /* outputs that made no sense */
};

/* Runs for about so long. */
void fns_bench_cc(const struct fns_cc_choice *c, double seconds, struct fns_bench_cc *out);

#endif
