/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application memory of a host: an arena cut into units, with a shadow that says what every
 * byte must be. A unit is free or stable (must equal the shadow at all times) or pending (the NIC
 * may write it). Stray writes are found when a unit is allocated again and at the end. Contents
 * come from seeds, so that nothing needs to be kept to check them.
 */
#include "sim/sim.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
	UNIT_FREE,
	UNIT_STABLE,
	UNIT_PENDING
};

static uint64_t word(uint64_t seed, uint32_t i)
{
	return sim_mix(seed + i * 0x9e3779b97f4a7c15ull);
}

/* Little endian, so that the content is the same on any machine. */
void sim_content(uint64_t seed, uint8_t *out, uint32_t len)
{
	uint32_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t v = htole64(word(seed, i / 8));

		memcpy(out + i, &v, 8);
	}
	for (; i < len; i++)
		out[i] = (uint8_t)(word(seed, i / 8) >> 8 * (i % 8));
}

uint64_t sim_msg_seed(const struct sim_world *w, uint32_t msg)
{
	return sim_mix(w->seed * 31 + msg * 0x2545f4914f6cdd1dull + 1);
}

void sim_mem_init(struct sim_host *h)
{
	uint64_t v = h->w->seed + h->idx;
	uint32_t i;

	h->units = h->arena / SIM_UNIT;
	h->mem = aligned_alloc(4096, h->arena);
	h->shadow = malloc(h->arena);
	h->used = calloc(h->units, 1);
	fns_assert(h->mem && h->shadow && h->used);
	/* cheap, and no two words alike */
	for (i = 0; i < h->arena / 8; i++) {
		v += 0x9e3779b97f4a7c15ull;
		memcpy(h->mem + (size_t)8 * i, &v, 8);
	}
	memcpy(h->shadow, h->mem, h->arena);
	for (i = 0; i < SIM_GUARD / SIM_UNIT; i++)
		h->used[i] = UNIT_STABLE;
	h->next_unit = SIM_GUARD / SIM_UNIT;
	h->free_units = h->units - SIM_GUARD / SIM_UNIT;
}

void sim_mem_fini(struct sim_host *h)
{
	free(h->mem);
	free(h->shadow);
	free(h->used);
}

static void verify(struct sim_host *h, uint32_t unit, uint32_t n)
{
	uint32_t off = unit * SIM_UNIT, len = n * SIM_UNIT, i;

	if (memcmp(h->mem + off, h->shadow + off, len) == 0)
		return;
	for (i = 0; h->mem[off + i] == h->shadow[off + i]; i++)
		;
	sim_fail(h->w,
		"host %u: memory at 0x%x changed though nobody may write it (is %02x, was %02x)",
		h->idx, off + i, h->mem[off + i], h->shadow[off + i]);
}

/* Next fit: memory is used again late, and in turn by all kinds of requests. */
bool sim_alloc(struct sim_host *h, uint32_t len, uint32_t align, bool pending, uint32_t *base,
	uint32_t *units, uint32_t *off)
{
	uint32_t mis = align ? 0 : (uint32_t)fns_rng_below(&h->rng, 16);
	uint32_t n = FNS_DIV_UP(len + mis, SIM_UNIT), i, start, run = 0, tried;

	n = n ? n : 1;
	start = h->next_unit;
	for (tried = 0, i = start; tried < h->units + n; tried++) {
		if (i == h->units) {
			i = SIM_GUARD / SIM_UNIT;
			run = 0;
		}
		run = h->used[i] == UNIT_FREE ? run + 1 : 0;
		i++;
		if (run == n)
			break;
	}
	if (run != n)
		return false;
	*base = i - n;
	*units = n;
	*off = *base * SIM_UNIT + mis;
	verify(h, *base, n);
	memset(h->used + *base, pending ? UNIT_PENDING : UNIT_STABLE, n);
	h->next_unit = i;
	h->free_units -= n;
	return true;
}

void sim_free(struct sim_host *h, uint32_t base, uint32_t units)
{
	if (!units)
		return;
	fns_assert(h->used[base] != UNIT_FREE);
	memset(h->used + base, UNIT_FREE, units);
	h->free_units += units;
}

void sim_settle(struct sim_host *h, uint32_t base, uint32_t units)
{
	if (!units)
		return;
	memcpy(h->shadow + base * SIM_UNIT, h->mem + base * SIM_UNIT, units * SIM_UNIT);
	memset(h->used + base, UNIT_STABLE, units);
}

void sim_store(struct sim_host *h, uint32_t off, const void *src, uint32_t len)
{
	memcpy(h->mem + off, src, len);
	memcpy(h->shadow + off, src, len);
}

void sim_mem_check(struct sim_host *h)
{
	uint32_t i, n;

	for (i = 0; i < h->units; i += n + 1) {
		for (n = 0; i + n < h->units && h->used[i + n] != UNIT_PENDING; n++)
			;
		if (n)
			verify(h, i, n);
	}
}
