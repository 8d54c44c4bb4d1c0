/* SPDX-License-Identifier: Apache-2.0 */
/* The laboratory's arithmetic, in integers. Pure. */
#include <stdlib.h>

#include "base/util.h"
#include "sim/lab.h"

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t lab_percentile(uint64_t *v, size_t n, unsigned permille)
{
	size_t i;

	if (n == 0)
		return 0;
	qsort(v, n, sizeof(*v), by_value);
	i = FNS_DIV_UP(n * permille, 1000);
	return v[i ? FNS_MIN(i, n) - 1 : 0];
}

/* (sum x)^2 / (n sum x^2) */
uint32_t lab_jain(const uint64_t *v, size_t n)
{
	unsigned __int128 sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t x = v[i] >> 10; /* so that squares of rates times 10000 fit */

		sum += x;
		squares += (unsigned __int128)x * x;
	}
	return squares ? (uint32_t)(sum * sum * 10000 / (n * squares)) : 0;
}

uint64_t lab_exponential(uint64_t random)
{
	uint64_t lead, y, frac = 0;

	random |= 1;
	lead = (uint64_t)__builtin_clzll(random);
	/* log2 of the rest, in [1, 2): a bit for each squaring */
	y = random << lead >> 32;
	for (int bit = 19; bit >= 0; bit--) {
		y = y * y >> 31;
		if (y >> 32) {
			frac |= 1ull << bit;
			y >>= 1;
		}
	}
	return (((1 + lead) << 20) - frac) * 726817 >> 20; /* ln 2 */
}
