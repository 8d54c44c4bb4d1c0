/* SPDX-License-Identifier: Apache-2.0 */
/* Integer arithmetic that several algorithms need. Pure. */
#ifndef FNS_CC_FIXED_H
#define FNS_CC_FIXED_H

#include <stdint.h>

/* Floor of the square root: Newton's method, from above. */
static inline uint64_t fns_isqrt(uint64_t v)
{
	unsigned half;
	uint64_t x, y;

	if (v == 0)
		return 0;
	/* The first step from 2^half, which is at most the root, needs no division. */
	half = (63u - (unsigned)__builtin_clzll(v)) / 2;
	y = ((1ull << half) + (v >> half) + 1) / 2;
	do {
		x = y;
		y = (x + v / x) / 2;
	} while (y < x);
	return x;
}

/* a * b / c without overflow in between; the result must fit. c is not 0. */
static inline uint64_t fns_muldiv(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}

static inline uint64_t fns_clamp(uint64_t v, uint64_t lo, uint64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

#endif
