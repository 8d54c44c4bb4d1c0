/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64 so that similar seeds give
 * unrelated streams. The stream of a seed is part of what makes a simulator run replayable:
 * changing it invalidates every recorded seed.
 */
#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/assert.h"

static uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static uint64_t splitmix64(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void fns_rng_seed(struct fns_rng *r, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++)
		r->s[i] = splitmix64(&seed);
}

uint64_t fns_rng_u64(struct fns_rng *r)
{
	uint64_t *s = r->s;
	uint64_t out = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

uint64_t fns_rng_below(struct fns_rng *r, uint64_t n)
{
	fns_assert(n > 0);

	/*
	 * Lemire: the high half of a 64 x 64 product is the result. The low half tells which draws
	 * would make some results likelier than others: the (2^64 mod n) lowest ones are drawn
	 * again. More than a few rounds never happen (each ends it with probability above one
	 * half).
	 */
	unsigned __int128 m = (unsigned __int128)fns_rng_u64(r) * n;

	if ((uint64_t)m < n) {
		uint64_t reject = -n % n;

		while ((uint64_t)m < reject)
			m = (unsigned __int128)fns_rng_u64(r) * n;
	}
	return (uint64_t)(m >> 64);
}

int fns_entropy_fill(void *buf, size_t len)
{
	char *p = buf;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}
