/* SPDX-License-Identifier: Apache-2.0 */
/* The cache model: hits and misses, what is evicted, what DRAM sees, by hand-made sequences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "smartnic/cache.h"

#define LINE FNS_SNIC_LINE

/* Addresses only: nothing is dereferenced. Whole pages, so that names are by page. */
static const char *at(uint64_t line)
{
	return (const char *)(uintptr_t)(0x10000000ull + line * LINE);
}

static struct fns_snic_traffic go(
	struct fns_snic_cache *c, enum fns_snic_access kind, const char *p, size_t len)
{
	struct fns_snic_traffic t = {0};

	fns_snic_cache_access(c, kind, p, len, &t);
	return t;
}

static void expect(
	struct fns_snic_traffic t, uint64_t hits, uint64_t misses, uint64_t read, uint64_t written)
{
	assert_int_equal(t.hits, hits);
	assert_int_equal(t.misses, misses);
	assert_int_equal(t.dram_read, read * LINE);
	assert_int_equal(t.dram_written, written * LINE);
}

static void reads_fill_once(void **state)
{
	struct fns_snic_cache *c = fns_snic_cache_create(64 * LINE, 4, true, 4);

	expect(go(c, FNS_SNIC_READ, at(0), 4 * LINE), 0, 4, 4, 0);
	expect(go(c, FNS_SNIC_READ, at(0), 4 * LINE), 4, 0, 0, 0);
	/* A byte over a boundary is two lines. */
	expect(go(c, FNS_SNIC_READ, at(1) + LINE - 1, 2), 2, 0, 0, 0);
	expect(go(c, FNS_SNIC_READ, at(4), 1), 0, 1, 1, 0);
	expect(go(c, FNS_SNIC_READ, at(5), 0), 0, 0, 0, 0);
	assert_int_equal(fns_snic_cache_lines(c), 5);
	fns_snic_cache_destroy(c);
}

static void least_recently_used_leaves(void **state)
{
	/* One set of two ways. */
	struct fns_snic_cache *c = fns_snic_cache_create(2 * LINE, 2, true, 2);

	go(c, FNS_SNIC_READ, at(0), 1);
	go(c, FNS_SNIC_READ, at(1), 1);
	expect(go(c, FNS_SNIC_READ, at(0), 1), 1, 0, 0, 0);
	expect(go(c, FNS_SNIC_READ, at(2), 1), 0, 1, 1, 0); /* 1 leaves, clean */
	expect(go(c, FNS_SNIC_READ, at(0), 1), 1, 0, 0, 0);
	expect(go(c, FNS_SNIC_READ, at(1), 1), 0, 1, 1, 0);
	fns_snic_cache_destroy(c);
}

static void dirty_lines_are_written_back(void **state)
{
	struct fns_snic_cache *c = fns_snic_cache_create(2 * LINE, 2, true, 2);

	/* Whole lines from the NIC need no fill; in part they do. */
	expect(go(c, FNS_SNIC_NIC_WRITE, at(0), LINE), 0, 0, 0, 0);
	expect(go(c, FNS_SNIC_NIC_WRITE, at(1), LINE - 1), 0, 1, 1, 0);
	expect(go(c, FNS_SNIC_READ, at(2), 1), 0, 1, 1, 1);
	expect(go(c, FNS_SNIC_READ, at(3), 1), 0, 1, 1, 1);
	expect(go(c, FNS_SNIC_READ, at(4), 1), 0, 1, 1, 0);
	/* A write hit makes dirty. */
	expect(go(c, FNS_SNIC_NIC_WRITE, at(4), 8), 1, 0, 0, 0);
	go(c, FNS_SNIC_READ, at(3), 1);
	expect(go(c, FNS_SNIC_READ, at(5), 1), 0, 1, 1, 1);
	fns_snic_cache_destroy(c);
}

static void without_stashing_misses_go_to_dram(void **state)
{
	struct fns_snic_cache *c = fns_snic_cache_create(64 * LINE, 4, false, 4);

	expect(go(c, FNS_SNIC_NIC_WRITE, at(0), LINE), 0, 1, 0, 1);
	assert_int_equal(fns_snic_cache_lines(c), 0);
	expect(go(c, FNS_SNIC_READ, at(0), LINE), 0, 1, 1, 0);
	expect(go(c, FNS_SNIC_NIC_WRITE, at(0), LINE), 1, 0, 0, 0);
	/* The core's own writes always allocate. */
	expect(go(c, FNS_SNIC_CPU_WRITE, at(1), LINE), 0, 0, 0, 0);
	expect(go(c, FNS_SNIC_CPU_WRITE, at(2), 1), 0, 1, 1, 0);
	fns_snic_cache_destroy(c);
}

static void stash_ways_bound_what_the_nic_takes(void **state)
{
	struct fns_snic_cache *c = fns_snic_cache_create(4 * LINE, 4, true, 1);

	go(c, FNS_SNIC_NIC_WRITE, at(0), LINE);
	expect(go(c, FNS_SNIC_NIC_WRITE, at(1), LINE), 0, 0, 0, 1); /* 0 leaves: the only way */
	assert_int_equal(fns_snic_cache_lines(c), 1);
	fns_snic_cache_destroy(c);
}

static void discarded_lines_are_never_written(void **state)
{
	struct fns_snic_cache *c = fns_snic_cache_create(64 * LINE, 4, true, 4);

	go(c, FNS_SNIC_NIC_WRITE, at(0), 4 * LINE);
	expect(go(c, FNS_SNIC_DISCARD, at(0), 3 * LINE + 1), 0, 0, 0, 0);
	assert_int_equal(fns_snic_cache_lines(c), 1); /* the fourth was named in part only */
	expect(go(c, FNS_SNIC_NIC_WRITE, at(0), 3 * LINE), 0, 0, 0, 0);
	fns_snic_cache_destroy(c);
}

/* A ring that fits costs nothing from the second lap on, one that does not costs every line. */
static void rings_against_the_size(void **state)
{
	const uint64_t lines = 1024; /* 64 KiB, 16 pages */
	struct fns_snic_cache *c = fns_snic_cache_create(lines * LINE, 16, true, 16);
	struct fns_snic_traffic t;

	go(c, FNS_SNIC_NIC_WRITE, at(0), lines * LINE);
	expect(go(c, FNS_SNIC_NIC_WRITE, at(0), lines * LINE), lines, 0, 0, 0);
	go(c, FNS_SNIC_NIC_WRITE, at(0), 2 * lines * LINE);
	t = go(c, FNS_SNIC_NIC_WRITE, at(0), 2 * lines * LINE);
	expect(t, 0, 0, 0, 2 * lines);
	fns_snic_cache_destroy(c);
}

/* Where pages lie does not matter, only the order in which they are first used. */
static void addresses_are_renamed(void **state)
{
	static const uint64_t page[2][3] = {{5, 17, 900}, {123456, 7, 99999}};
	uint64_t misses[2];
	unsigned k, i, r;

	for (k = 0; k < 2; k++) {
		struct fns_snic_cache *c = fns_snic_cache_create(2 * 4096, 1, true, 1);
		struct fns_snic_traffic t = {0};

		for (r = 0; r < 5; r++)
			for (i = 0; i < 3; i++)
				fns_snic_cache_access(
					c, FNS_SNIC_READ, at(page[k][i] * 64), 4096, &t);
		misses[k] = t.misses;
		fns_snic_cache_destroy(c);
	}
	assert_int_equal(misses[0], misses[1]);
	/* Pages 0 and 2 share sets, page 1 is alone. */
	assert_int_equal(misses[0], 64 * (5 + 1 + 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_fill_once),
		cmocka_unit_test(least_recently_used_leaves),
		cmocka_unit_test(dirty_lines_are_written_back),
		cmocka_unit_test(without_stashing_misses_go_to_dram),
		cmocka_unit_test(stash_ways_bound_what_the_nic_takes),
		cmocka_unit_test(discarded_lines_are_never_written),
		cmocka_unit_test(rings_against_the_size),
		cmocka_unit_test(addresses_are_renamed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
