/* SPDX-License-Identifier: Apache-2.0 */
/* PSN arithmetic around the wrap, GID classes, timer codes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "roce/gid.h"
#include "roce/header.h"
#include "roce/psn.h"

static void psn_wraps(void **state)
{
	(void)state;
	assert_int_equal(psn_add(0xffffff, 1), 0);
	assert_int_equal(psn_add(0xfffffe, 5), 3);
	assert_int_equal(psn_add(0, FNS_PSN_MASK), 0xffffff);
	assert_int_equal(psn_diff(0, 0), 0);
	assert_int_equal(psn_diff(0, 0xffffff), 1);
	assert_int_equal(psn_diff(0xffffff, 0), -1);
	assert_int_equal(psn_diff(0x7fffff, 0), 0x7fffff);
	assert_int_equal(psn_diff(0x800000, 0), -0x800000);
	assert_int_equal(psn_diff(0x800001, 0), -0x7fffff);
	assert_int_equal(psn_diff(5, 0xfffffb), 10);
}

static void psn_diff_undoes_add(void **state)
{
	struct fns_rng r;

	(void)state;
	fns_rng_seed(&r, 1);
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t a = (uint32_t)fns_rng_below(&r, 1 << 24);
		uint32_t n = (uint32_t)fns_rng_below(&r, 1 << 23);

		assert_int_equal(psn_diff(psn_add(a, n), a), n);
		assert_int_equal(psn_diff(a, psn_add(a, n)), -(int32_t)n);
	}
}

static void gid_classes(void **state)
{
	struct fns_gid v4 = {{[10] = 0xff, 0xff, 192, 0, 2, 1}},
		       mc4 = {{[10] = 0xff, 0xff, 224, 0, 0, 5}};
	struct fns_gid v6 = {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}}, mc6 = {{0xff, 0x0e, [15] = 1}},
		       zero = {{0}};

	(void)state;
	assert_true(fns_gid_is_v4(&v4) && fns_gid_is_v4(&mc4));
	assert_false(fns_gid_is_v4(&v6) || fns_gid_is_v4(&mc6) || fns_gid_is_v4(&zero));
	assert_true(fns_gid_is_multicast(&mc4) && fns_gid_is_multicast(&mc6));
	assert_false(fns_gid_is_multicast(&v4) || fns_gid_is_multicast(&v6));
	assert_true(fns_gid_is_zero(&zero));
	assert_false(fns_gid_is_zero(&v4));
	assert_true(fns_gid_equal(&v4, &v4));
	assert_false(fns_gid_equal(&v4, &mc4));
	mc4.b[12] = 240; /* 240.0.0.0/4 is not multicast */
	assert_false(fns_gid_is_multicast(&mc4));
}

static void timer_codes(void **state)
{
	static const struct {
		uint8_t code;
		uint64_t ns;
	} rnr[] = {{0, 655360000}, {1, 10000}, {2, 20000}, {5, 60000}, {10, 320000}, {12, 640000},
		{15, 1920000}, {20, 10240000}, {25, 61440000}, {30, 327680000}, {31, 491520000}};

	(void)state;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(rnr); i++)
		assert_true(fns_rnr_timer_ns(rnr[i].code) == rnr[i].ns);
	/* From code 2 on, two codes further is twice as long; code 0 stands where 32 would. */
	for (uint8_t c = 2; c <= 29; c++)
		assert_true(fns_rnr_timer_ns((uint8_t)(c + 2)) == 2 * fns_rnr_timer_ns(c));
	assert_true(fns_rnr_timer_ns(0) == 2 * fns_rnr_timer_ns(30));
	/* Five bits: what stands above them is not part of the code. */
	assert_true(fns_rnr_timer_ns(0x20 | 1) == 10000);

	assert_true(fns_ack_timeout_ns(0) == UINT64_MAX);
	assert_true(fns_ack_timeout_ns(1) == 8192);
	assert_true(fns_ack_timeout_ns(14) == 67108864);
	assert_true(fns_ack_timeout_ns(31) == 8796093022208);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(psn_wraps),
		cmocka_unit_test(psn_diff_undoes_add),
		cmocka_unit_test(gid_classes),
		cmocka_unit_test(timer_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
