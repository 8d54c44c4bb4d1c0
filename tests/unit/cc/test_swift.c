/* SPDX-License-Identifier: Apache-2.0 */
/* Swift as its paper has it: increase, cuts once a round trip, pacing below one packet, scaling. */
#include "drive.h"

#include "cc/fixed.h"

#define US   1000ull
#define FLAT "swift:target_us=50,fs_range_us=0"

static void ack(struct drive *d, uint64_t packets, uint64_t rtt_us)
{
	d->now += rtt_us * US;
	drive(d, FNS_CC_ACK, packets * MTU, rtt_us * US);
}

static uint64_t packets(const struct drive *d)
{
	return d->out.window_bytes / MTU;
}

static void square_roots(void **state)
{
	struct fns_rng rng;

	fns_rng_seed(&rng, 5);
	assert_int_equal(fns_isqrt(0), 0);
	assert_int_equal(fns_isqrt(1), 1);
	assert_int_equal(fns_isqrt(UINT64_MAX), UINT32_MAX);
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t v = fns_rng_u64(&rng) >> fns_rng_below(&rng, 64), r = fns_isqrt(v);

		assert_true(r * r <= v);
		assert_true(r == UINT32_MAX || (r + 1) * (r + 1) > v);
	}
}

/* A window's worth of acknowledgements, however they come, adds one packet. */
static void below_the_target_it_adds_one_a_round_trip(void **state)
{
	struct drive d;

	drive_begin(&d, FLAT);
	assert_int_equal(packets(&d), 16);
	ack(&d, 16, 20);
	assert_int_equal(packets(&d), 17);
	drive(&d, FNS_CC_ACK, 9 * MTU, 0); /* not timed: counted with the next that is */
	assert_int_equal(packets(&d), 17);
	ack(&d, 9, 49);
	assert_int_equal(packets(&d), 18);
	assert_true(d.out.rate_bps == FNS_CC_UNLIMITED);
}

static void above_it_cuts_once_a_round_trip(void **state)
{
	struct drive d;

	drive_begin(&d, FLAT ",start_cwnd=100");
	ack(&d, 1, 100); /* 1 - 0.8 * 50/100 = 0.6 */
	assert_in_range(d.out.window_bytes, 60 * MTU - 4, 60 * MTU);
	d.now += 99 * US;
	drive(&d, FNS_CC_ACK, MTU, 100 * US);
	assert_in_range(d.out.window_bytes, 60 * MTU - 4, 60 * MTU); /* too soon */
	d.now += 1 * US;
	drive(&d, FNS_CC_ACK, MTU, 100 * US);
	assert_in_range(d.out.window_bytes, 36 * MTU - 4, 36 * MTU);
	ack(&d, 1, 5000); /* 1 - 0.8 * 4950/5000 is below a half */
	assert_in_range(d.out.window_bytes, 18 * MTU - 4, 18 * MTU);
}

static void losses_and_timeouts(void **state)
{
	struct drive d;

	drive_begin(&d, FLAT ",start_cwnd=100");
	ack(&d, 1, 40);
	drive(&d, FNS_CC_LOSS, 0, 0);
	assert_int_equal(packets(&d), 50);
	drive(&d, FNS_CC_LOSS, 0, 0); /* of the same round trip */
	assert_int_equal(packets(&d), 50);
	d.now += 1000 * US;
	for (unsigned i = 0; i < 4; i++) {
		drive(&d, FNS_CC_TIMEOUT, 0, 0);
		d.now += 1000 * US;
	}
	assert_int_equal(packets(&d), 3);
	drive(&d, FNS_CC_TIMEOUT, 0, 0); /* the fifth in a row */
	assert_int_equal(d.out.window_bytes, MTU);
	/* 0.01 packets in 40 us */
	assert_in_range(d.out.rate_bps, MTU * 8 * 250 - 3000, MTU * 8 * 250 + 100);
}

/* Below one packet: one may be in flight, every rtt / cwnd; grows by ai for each packet. */
static void less_than_a_packet_is_paced(void **state)
{
	struct drive d;

	drive_begin(&d, FLAT ",start_cwnd=1");
	ack(&d, 1, 1000);
	assert_int_equal(d.out.window_bytes, MTU);
	assert_in_range(d.out.rate_bps, MTU * 8 * 500 - 100, MTU * 8 * 500);
	ack(&d, 1, 10);
	assert_true(d.out.rate_bps == FNS_CC_UNLIMITED);
	assert_int_equal(packets(&d), 1);
}

/* The target is lower for large windows: of two flows that see one delay the larger gives way. */
static void small_windows_get_a_higher_target(void **state)
{
	struct drive small, large;

	drive_begin(&small, "swift:target_us=50,fs_range_us=100,start_cwnd=1");
	drive_begin(&large, "swift:target_us=50,fs_range_us=100,start_cwnd=90");
	/* (1/sqrt(1) - 1/10) / (1/sqrt(0.1) - 1/10) * 100 us = 29.4 us */
	ack(&small, 1, 79);
	ack(&large, 1, 79);
	assert_int_equal(packets(&small), 2);
	assert_true(packets(&large) < 90);
	drive_begin(&small, "swift:target_us=50,fs_range_us=100,start_cwnd=1");
	ack(&small, 1, 80);
	assert_true(small.out.rate_bps != FNS_CC_UNLIMITED);
}

static void hops_raise_the_target_and_hosts_have_their_own(void **state)
{
	struct fns_cc_event ev = {.type = FNS_CC_ACK, .bytes = MTU, .rtt_ns = 300 * US};
	struct fns_cc_hop hop[2] = {{.hop = 1}, {.hop = 2}};
	struct drive d;

	drive_begin(&d, FLAT ",hop_ns=3000,hops=2,start_cwnd=1");
	ack(&d, 1, 55);
	assert_int_equal(packets(&d), 2);
	drive_begin(&d, FLAT ",hop_ns=3000,start_cwnd=1");
	ev.rtt_ns = 55 * US;
	ev.nhops = 2;
	ev.hops = hop;
	drive_full(&d, &ev);
	assert_int_equal(packets(&d), 2);
	drive_begin(&d, FLAT ",start_cwnd=64,max_cwnd=64"); /* a slow host, an empty network */
	ev = (struct fns_cc_event){.type = FNS_CC_ACK,
		.bytes = MTU,
		.rtt_ns = 220 * US,
		.rtt_fabric_ns = 20 * US,
		.rtt_host_ns = 200 * US};
	drive_full(&d, &ev); /* 1 - 0.8 * 100/200 */
	assert_in_range(d.out.window_bytes, 64 * MTU * 6 / 10 - 4, 64 * MTU * 6 / 10);
}

static void it_never_talks_nonsense(void **state)
{
	drive_wild("swift", 1);
	drive_wild("swift:target_us=1,min_cwnd_pm=1,max_cwnd=1,ai_pm=1,max_mdf_pm=1000", 2);
	drive_wild("swift:max_cwnd=65536,ai_pm=100000,fs_min_cwnd_pm=1000000,fs_max_cwnd=1", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(square_roots),
		cmocka_unit_test(below_the_target_it_adds_one_a_round_trip),
		cmocka_unit_test(above_it_cuts_once_a_round_trip),
		cmocka_unit_test(losses_and_timeouts),
		cmocka_unit_test(less_than_a_packet_is_paced),
		cmocka_unit_test(small_windows_get_a_higher_target),
		cmocka_unit_test(hops_raise_the_target_and_hosts_have_their_own),
		cmocka_unit_test(it_never_talks_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
