/* SPDX-License-Identifier: Apache-2.0 */
/* Integer arithmetic that several algorithms need. Pure. */
#ifndef FNS_CC_FIXED_H
#define FNS_CC_FIXED_H

#include <stdint.h>

/* Floor of the square root. */
static inline uint64_t fns_isqrt(uint64_t v)
{
	uint64_t r = 0, bit = 1ull << 62;

	while (bit > v)
		bit >>= 2;
	for (; bit; bit >>= 2) {
		if (v >= r + bit) {
			v -= r + bit;
			r = (r >> 1) + bit;
		} else {
			r >>= 1;
		}
	}
	return r;
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
