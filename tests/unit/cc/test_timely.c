/* SPDX-License-Identifier: Apache-2.0 */
/* TIMELY, algorithm 1 of its paper, case by case. */
#include "drive.h"

#define US 1000ull

static void rtt(struct drive *d, uint64_t us)
{
	drive(d, FNS_CC_ACK, MTU, us * US);
}

static void below_t_low_it_adds(void **state)
{
	struct drive d;

	drive_begin(&d, "timely:start_mbps=1000");
	assert_int_equal(d.out.rate_bps, 1000 * MBPS);
	rtt(&d, 30); /* the first is only remembered */
	assert_int_equal(d.out.rate_bps, 1000 * MBPS);
	drive(&d, FNS_CC_ACK, MTU, 0); /* not timed: nothing */
	for (unsigned i = 1; i <= 20; i++) {
		rtt(&d, 30 + i % 2 * 19); /* whatever the gradient; never hyperactive */
		assert_int_equal(d.out.rate_bps, (1000 + 10 * i) * MBPS);
	}
}

static void above_t_high_it_cuts_by_the_excess(void **state)
{
	struct drive d;

	drive_begin(&d, "timely:start_mbps=1000");
	rtt(&d, 1000);
	rtt(&d, 1000); /* 1 - 0.8 (1 - 500/1000) = 0.6 */
	assert_int_equal(d.out.rate_bps, 600 * MBPS);
	rtt(&d, 900); /* a falling one as well: 1 - 0.8 (1 - 5/9) = 0.6444 */
	assert_in_range(d.out.rate_bps, 386 * MBPS, 387 * MBPS);
}

static void a_rising_gradient_cuts_a_falling_one_adds(void **state)
{
	struct drive d;

	drive_begin(&d, "timely:start_mbps=1000");
	rtt(&d, 100);
	rtt(&d, 104); /* diff 0.875 * 4 = 3.5 us, of 20 us: 0.175; 1 - 0.8 * 0.175 = 0.86 */
	assert_int_equal(d.out.rate_bps, 860 * MBPS);
	rtt(&d, 100); /* diff 0.125 * 3.5 - 3.5 < 0 */
	assert_int_equal(d.out.rate_bps, 870 * MBPS);
	rtt(&d, 400); /* a gradient far above 1 counts as 1 */
	assert_int_equal(d.out.rate_bps, 174 * MBPS);
}

static void five_falling_in_a_row_add_fivefold(void **state)
{
	uint64_t want = 1000;
	struct drive d;

	drive_begin(&d, "timely:start_mbps=1000");
	rtt(&d, 300);
	for (unsigned i = 1; i <= 8; i++) {
		rtt(&d, 300 - i);
		want += i >= 5 ? 50 : 10;
		assert_int_equal(d.out.rate_bps, want * MBPS);
	}
	rtt(&d, 320);
	rtt(&d, 319);
	want = d.out.rate_bps;
	rtt(&d, 318); /* the count began anew */
	assert_int_equal(d.out.rate_bps, want + 10 * MBPS);
}

static void it_stays_within_its_rates(void **state)
{
	struct drive d;

	drive_begin(&d, "timely:line_mbps=2000,min_mbps=50,start_mbps=5000");
	assert_int_equal(d.out.rate_bps, 2000 * MBPS);
	for (unsigned i = 0; i < 50; i++)
		rtt(&d, 100000);
	assert_int_equal(d.out.rate_bps, 50 * MBPS);
	drive_begin(&d, "timely:start_mbps=1000");
	drive(&d, FNS_CC_TIMEOUT, 0, 0);
	assert_int_equal(d.out.rate_bps, 500 * MBPS);
	drive_wild("timely", 1);
	drive_wild("timely:line_mbps=10,min_mbps=10000,min_rtt_us=1,t_low_us=1,t_high_us=1", 2);
	drive_wild("timely:line_mbps=10000000,min_rtt_us=1000000,beta_pm=1000", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(below_t_low_it_adds),
		cmocka_unit_test(above_t_high_it_cuts_by_the_excess),
		cmocka_unit_test(a_rising_gradient_cuts_a_falling_one_adds),
		cmocka_unit_test(five_falling_in_a_row_add_fivefold),
		cmocka_unit_test(it_stays_within_its_rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
