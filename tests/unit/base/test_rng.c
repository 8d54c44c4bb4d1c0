/* SPDX-License-Identifier: Apache-2.0 */
/* The generator: the stream of a seed never changes (recorded simulator seeds depend on it),
 * below() is in range and even. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"

static void streams_are_fixed(void **state)
{
	/* Computed apart from this code, from the published definitions of splitmix64 and
	 * xoshiro256**. */
	static const struct {
		uint64_t seed, first[4];
	} known[] = {
		{0, {0x99ec5f36cb75f2b4u, 0xbf6e1f784956452au, 0x1a5f849d4933e6e0u,
			    0x6aa594f1262d2d2cu}},
		{1, {0xb3f2af6d0fc710c5u, 0x853b559647364ceau, 0x92f89756082a4514u,
			    0x642e1c7bc266a3a7u}},
		{42, {0x15780b2e0c2ec716u, 0x6104d9866d113a7eu, 0xae17533239e499a1u,
			     0xecb8ad4703b360a1u}},
		{0xffffffffffffffff, {0x8f5520d52a7ead08u, 0xc476a018caa1802du, 0x81de31c0d260469eu,
					     0xbf658d7e065f3c2fu}},
	};

	(void)state;
	for (unsigned k = 0; k < FNS_ARRAY_SIZE(known); k++) {
		struct fns_rng r;

		fns_rng_seed(&r, known[k].seed);
		for (unsigned i = 0; i < 4; i++)
			assert_true(fns_rng_u64(&r) == known[k].first[i]);
	}
}

static void below_stays_below(void **state)
{
	static const uint64_t n[] = {1, 2, 3, 7, 64, 1000003, (1ull << 63) + 1, UINT64_MAX};
	struct fns_rng r;

	(void)state;
	fns_rng_seed(&r, 3);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(n); i++)
		for (unsigned j = 0; j < 2000; j++)
			assert_true(fns_rng_below(&r, n[i]) < n[i]);
}

static void below_is_even(void **state)
{
	unsigned hits[10] = {0}, third = 0;
	struct fns_rng r;

	(void)state;
	fns_rng_seed(&r, 4);
	for (unsigned i = 0; i < 100000; i++)
		hits[fns_rng_below(&r, 10)]++;
	/* Six standard deviations around 10,000. */
	for (unsigned i = 0; i < 10; i++)
		assert_in_range(hits[i], 9430, 10570);
	/*
	 * With n = 3 * 2^62, a bare multiplication maps four draws to three results, and every
	 * third result would come up half of the time.
	 */
	for (unsigned i = 0; i < 30000; i++)
		third += fns_rng_below(&r, 3ull << 62) % 3 == 0;
	assert_in_range(third, 9510, 10490);
}

static void entropy_fills_all(void **state)
{
	uint8_t a[600], b[600];
	unsigned same = 0;

	(void)state;
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	assert_int_equal(fns_entropy_fill(a, sizeof(a) - 1), 0);
	assert_int_equal(fns_entropy_fill(b, sizeof(b) - 1), 0);
	assert_int_equal(a[599], 0);
	assert_int_equal(fns_entropy_fill(a, 0), 0);
	for (unsigned i = 0; i < 599; i++)
		same += a[i] == b[i];
	assert_true(same < 40);
}

static void clock_goes_forward(void **state)
{
	uint64_t last = fns_clock_now_ns();

	(void)state;
	assert_true(last > 0);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = fns_clock_now_ns();

		assert_true(now >= last);
		assert_true(now - last < 100 * FNS_NSEC_PER_SEC);
		last = now;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_fixed),
		cmocka_unit_test(below_stays_below),
		cmocka_unit_test(below_is_even),
		cmocka_unit_test(entropy_fills_all),
		cmocka_unit_test(clock_goes_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
