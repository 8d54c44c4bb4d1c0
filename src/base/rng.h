/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers. The generator is a pure state machine (xoshiro256**) seeded by its owner, so that
 * the simulator replays to the bit; only fns_entropy_fill() asks the system.
 */
#ifndef FNS_BASE_RNG_H
#define FNS_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct fns_rng {
	uint64_t s[4];
};

/* Any seed is good, zero included (expanded by splitmix64). */
void fns_rng_seed(struct fns_rng *r, uint64_t seed);
uint64_t fns_rng_u64(struct fns_rng *r);
/* Uniform in 0..n-1 without modulo bias; n > 0. */
uint64_t fns_rng_below(struct fns_rng *r, uint64_t n);

/* Fills buf from the kernel's entropy pool. 0 or negative errno. The only function here that asks
 * the system. */
int fns_entropy_fill(void *buf, size_t len);

#endif
