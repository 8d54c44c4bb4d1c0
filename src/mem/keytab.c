/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key table: from 32-bit keys to regions and windows. Owns the slots, not the objects. Called
 * by mem.c and window.c; the engine's thread only.
 *
 * Keys are what keeps a remote peer out, and a peer that was given some must not compute the
 * others, so they come from a keyed pseudo-random function (SipHash-2-4, Aumasson and Bernstein
 * 2012) of a counter and not from a plain generator, whose state a few outputs give away.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "mem/mem_priv.h"

#define FIRST_LOG2 6
/* Half of the 24-bit names: beyond that, drawing a free one takes long. */
#define MAX_KEYS (1u << 23)

static uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 of the 8 bytes of x, little-endian. */
static uint64_t siphash_u64(const uint64_t k[2], uint64_t x)
{
	const uint64_t block[2] = {x, 8ull << 56};
	uint64_t v[4] = {
		k[0] ^ 0x736f6d6570736575u,
		k[1] ^ 0x646f72616e646f6du,
		k[0] ^ 0x6c7967656e657261u,
		k[1] ^ 0x7465646279746573u,
	};

	for (unsigned i = 0; i < 2; i++) {
		v[3] ^= block[i];
		sip_round(v);
		sip_round(v);
		v[0] ^= block[i];
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static int resize(struct keytab *t, uint32_t log2)
{
	struct keyslot *old = t->slot, *slot;
	uint32_t n_old = old ? t->mask + 1 : 0;

	slot = aligned_alloc(FNS_CACHELINE, sizeof(*slot) << log2);
	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < 1u << log2; i++)
		slot[i] = (struct keyslot){0};
	t->slot = slot;
	t->mask = (1u << log2) - 1;
	t->shift = 32 - log2;
	for (uint32_t i = 0; i < n_old; i++) {
		uint32_t at;

		if (old[i].key == 0)
			continue;
		for (at = fns_keytab_home(t, old[i].key); slot[at].key != 0;)
			at = (at + 1) & t->mask;
		slot[at] = old[i];
	}
	free(old);
	return 0;
}

int fns_keytab_init(struct keytab *t, uint64_t seed)
{
	struct fns_rng rng;

	fns_rng_seed(&rng, seed);
	*t = (struct keytab){0};
	t->secret[0] = fns_rng_u64(&rng);
	t->secret[1] = fns_rng_u64(&rng);
	t->multiplier = (uint32_t)fns_rng_u64(&rng) | 1;
	return resize(t, FIRST_LOG2);
}

void fns_keytab_fini(struct keytab *t)
{
	free(t->slot);
	t->slot = NULL;
}

/* Where an object with key's upper 24 bits is, or the empty slot where it would go. */
static uint32_t place_of(const struct keytab *t, uint32_t key)
{
	uint32_t i = fns_keytab_home(t, key);

	while (t->slot[i].key != 0 && FNS_KEY_ID(t->slot[i].key) != FNS_KEY_ID(key))
		i = (i + 1) & t->mask;
	return i;
}

int fns_keytab_add(struct keytab *t, struct mr *mr)
{
	uint32_t key, at;

	if (t->used == MAX_KEYS)
		return -ENOMEM;
	if (t->used + 1 > (t->mask + 1) / 2) {
		int rc = resize(t, 33 - t->shift);

		if (rc != 0)
			return rc;
	}
	/*
	 * A name that is free and not 0, so that no low byte makes the key 0. At most half of them
	 * are taken: the chance of 256 failures is 2^-256.
	 */
	for (unsigned tries = 0; tries < 256; tries++) {
		key = (uint32_t)siphash_u64(t->secret, t->counter++);
		at = place_of(t, key);
		if (FNS_KEY_ID(key) == 0 || t->slot[at].key != 0)
			continue;
		mr->mr.key = key;
		mr->keyed = true;
		t->slot[at] = (struct keyslot){.key = key, .mr = mr};
		t->used++;
		return 0;
	}
	return -ENOMEM;
}

void fns_keytab_remove(struct keytab *t, struct mr *mr)
{
	uint32_t hole = place_of(t, mr->mr.key);

	fns_assert(mr->keyed && t->slot[hole].mr == mr);
	/* Closes the hole by pulling back those whose way from home leads over it: no tombstones.
	 */
	for (uint32_t i = (hole + 1) & t->mask; t->slot[i].key != 0; i = (i + 1) & t->mask) {
		uint32_t home = fns_keytab_home(t, t->slot[i].key);

		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->slot[hole] = t->slot[i];
			hole = i;
		}
	}
	t->slot[hole] = (struct keyslot){0};
	t->used--;
	mr->keyed = false;
}

void fns_keytab_rekey(struct keytab *t, struct mr *mr, uint32_t key)
{
	uint32_t at = place_of(t, mr->mr.key);

	fns_assert(t->slot[at].mr == mr && FNS_KEY_ID(key) == FNS_KEY_ID(mr->mr.key));
	t->slot[at].key = key;
	mr->mr.key = key;
}
