/* SPDX-License-Identifier: Apache-2.0 */
/* Soak runs; see soak.c. */
#ifndef FNS_SIM_SOAK_H
#define FNS_SIM_SOAK_H

#include "sim/sim.h"

struct soak_cfg {
	uint64_t seconds, from; /* first seed */
	unsigned jobs;
	uint64_t max_failures;           /* stops after so many */
	const struct sim_scenario *only; /* NULL: all */
	/* One run: true if good; says itself how to replay a bad one. */
	bool (*run)(
		const void *ctx, const struct sim_scenario *s, uint64_t seed, uint64_t *packets);
	const void *ctx;
};

/* Exit status: 0 nothing found, 1 failures, 2 it could not run. */
int sim_soak(const struct soak_cfg *cfg);

#endif
