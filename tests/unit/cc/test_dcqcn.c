/* SPDX-License-Identifier: Apache-2.0 */
/* DCQCN as its paper has it: the cut, alpha, the three phases of increase, and the end of a limit.
 */
#include "drive.h"

#define LINE (10000 * MBPS)

static void no_limit_before_the_first_notification(void **state)
{
	struct drive d;

	drive_begin(&d, "dcqcn:line_mbps=10000");
	drive(&d, FNS_CC_SENT, 1ull << 30, 0);
	drive_sleep(&d, 1000000000);
	assert_true(d.out.rate_bps == FNS_CC_UNLIMITED);
	assert_true(d.out.timer_ns == FNS_CC_NEVER);
}

/* alpha begins at 1: the first cut halves. */
static void a_notification_cuts_by_half_of_alpha(void **state)
{
	struct drive d;

	drive_begin(&d, "dcqcn:line_mbps=10000");
	drive(&d, FNS_CC_CNP, 0, 0);
	assert_int_equal(d.out.rate_bps, LINE / 2);
	assert_int_equal(d.out.timer_ns, d.now + 55000);
	drive(&d, FNS_CC_CNP, 0, 0); /* alpha still 1 */
	assert_in_range(d.out.rate_bps, LINE / 4, LINE / 4 + MBPS);
}

/* Five steps of fast recovery halve the way back to where it was cut. */
static void fast_recovery_halves_the_way(void **state)
{
	uint64_t left = LINE / 2;
	struct drive d;

	drive_begin(&d, "dcqcn:line_mbps=10000");
	drive(&d, FNS_CC_CNP, 0, 0);
	for (unsigned i = 0; i < 5; i++) {
		drive_sleep(&d, 55000);
		left /= 2;
		assert_in_range(d.out.rate_bps, LINE - left - 10, LINE - left);
	}
}

static void then_additive_then_hyper_increase(void **state)
{
	uint64_t before, rt;
	struct drive d;

	drive_begin(&d, "dcqcn:line_mbps=10000,bytes_kib=1");
	drive(&d, FNS_CC_CNP, 0, 0);
	drive(&d, FNS_CC_CNP, 0, 0); /* target 5 Gb/s, rate 2.5 */
	for (unsigned i = 0; i < 5; i++)
		drive_sleep(&d, 55000);
	rt = LINE / 2;
	before = d.out.rate_bps;
	assert_in_range(before, rt - rt / 60, rt);
	drive_sleep(&d, 55000); /* the sixth: additive */
	rt += 40 * MBPS;
	assert_in_range(d.out.rate_bps, (rt + before) / 2 - 2, (rt + before) / 2 + 2);
	for (unsigned i = 0; i < 5; i++) { /* the byte counter: recovery is over for the timer */
		before = d.out.rate_bps;
		rt += 40 * MBPS;
		drive(&d, FNS_CC_SENT, 1024, 0);
		assert_in_range(d.out.rate_bps, (rt + before) / 2 - 2, (rt + before) / 2 + 2);
	}
	before = d.out.rate_bps;
	rt += 400 * MBPS; /* six of both */
	drive(&d, FNS_CC_SENT, 1024, 0);
	assert_in_range(d.out.rate_bps, (rt + before) / 2 - 2, (rt + before) / 2 + 2);
}

/* Without notifications alpha falls by g each 55 us, so that a late cut is a small one. */
static void alpha_decays(void **state)
{
	uint64_t first;
	struct drive d;

	drive_begin(&d, "dcqcn:line_mbps=10000");
	drive_sleep(&d, 55000 * 177); /* (255/256)^177 = 0.5002 */
	drive(&d, FNS_CC_CNP, 0, 0);
	assert_in_range(d.out.rate_bps, LINE * 749 / 1000, LINE * 751 / 1000);
	drive_sleep(&d, 1000000000);
	assert_true(d.out.rate_bps == FNS_CC_UNLIMITED); /* back at line rate: */
	assert_true(d.out.timer_ns == FNS_CC_NEVER);     /* nothing runs any more */
	drive(&d, FNS_CC_CNP, 0, 0);
	first = d.out.rate_bps;
	assert_in_range(first, LINE * 997 / 1000, LINE);
}

static void it_stays_above_the_smallest_rate(void **state)
{
	struct drive d;

	drive_begin(&d, "dcqcn:line_mbps=10000,min_mbps=77");
	for (unsigned i = 0; i < 100; i++)
		drive(&d, FNS_CC_CNP, 0, 0);
	assert_int_equal(d.out.rate_bps, 77 * MBPS);
	drive_wild("dcqcn", 1);
	drive_wild("dcqcn:line_mbps=10,min_mbps=10000,g_inv=2,timer_us=2,alpha_us=2,stages=1", 2);
	drive_wild("dcqcn:line_mbps=10000000,hai_mbps=1000000,bytes_kib=1", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit_before_the_first_notification),
		cmocka_unit_test(a_notification_cuts_by_half_of_alpha),
		cmocka_unit_test(fast_recovery_halves_the_way),
		cmocka_unit_test(then_additive_then_hyper_increase),
		cmocka_unit_test(alpha_decays),
		cmocka_unit_test(it_stays_above_the_smallest_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
