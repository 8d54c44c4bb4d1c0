/* SPDX-License-Identifier: Apache-2.0 */
/* HPCC, algorithm 1 of its paper: the load of a link, the two kinds of steps, once a round trip. */
#include "drive.h"

#define GBPS  1000000000ull
#define BDP   125000u /* of 100 Gb/s and 10 us */
#define PLAIN "hpcc:line_mbps=100000,rtt_ns=10000,wai_bytes=100"

struct road {
	struct drive d;
	struct fns_cc_hop hop[2];
	uint64_t inflight;
};

static void begin(struct road *r, const char *text)
{
	memset(r, 0, sizeof(*r));
	drive_begin(&r->d, text);
	r->hop[0] = (struct fns_cc_hop){.link_bps = 100 * GBPS, .hop = 5, .time_ns = 1000};
	r->hop[1] = (struct fns_cc_hop){.link_bps = 400 * GBPS, .hop = 9, .time_ns = 1000};
}

/* An acknowledgement dt later; the first link sent so much meanwhile and has such a queue. */
static void ack(struct road *r, uint64_t dt, uint64_t tx, uint32_t queue)
{
	r->d.now += dt;
	r->hop[0].time_ns += dt;
	r->hop[1].time_ns += dt;
	r->hop[0].tx_bytes += tx;
	r->hop[1].tx_bytes += tx;
	r->hop[0].queue_bytes = queue;
	drive_full(&r->d, &(struct fns_cc_event){.type = FNS_CC_ACK,
				  .bytes = MTU,
				  .inflight = r->inflight,
				  .nhops = 2,
				  .hops = r->hop});
}

static void it_begins_with_what_the_link_holds(void **state)
{
	struct road r;

	begin(&r, PLAIN);
	assert_int_equal(r.d.out.window_bytes, BDP);
	assert_int_equal(r.d.out.rate_bps, 100 * GBPS);
	for (unsigned i = 0; i < 10; i++) /* nobody tells: no control */
		drive(&r.d, FNS_CC_ACK, MTU, 50000);
	assert_int_equal(r.d.out.window_bytes, BDP);
}

/* U = 1 (rate) + queue of one product = 2, over a whole T: W = Wc * 0.95 / 2 + wai. */
static void a_queue_cuts_to_the_target_in_one_step(void **state)
{
	struct road r;

	begin(&r, PLAIN);
	ack(&r, 0, 0, BDP); /* only remembered */
	assert_int_equal(r.d.out.window_bytes, BDP);
	ack(&r, 10000, BDP, BDP);
	assert_in_range(r.d.out.window_bytes, 59460, 59476); /* 59375 + 100 */
	assert_in_range(r.d.out.rate_bps, 475 * GBPS / 10, 476 * GBPS / 10);
}

/* The queue counts only as far as it was there at both ends of dt. */
static void the_smaller_queue_counts(void **state)
{
	struct road r;

	begin(&r, PLAIN);
	ack(&r, 0, 0, 0);
	ack(&r, 10000, BDP, 10 * BDP); /* U = 1 */
	assert_in_range(r.d.out.window_bytes, 118840, 118851);
}

/* Within a round trip steps are from the same reference: they do not add up. */
static void acknowledgements_of_one_round_trip_cut_once(void **state)
{
	struct road r;

	begin(&r, PLAIN);
	r.inflight = 10 * MTU;
	ack(&r, 0, 0, BDP);
	ack(&r, 10000, BDP, BDP);
	for (unsigned i = 0; i < 9; i++) {
		ack(&r, 10000, BDP, BDP);
		assert_in_range(r.d.out.window_bytes, 28000, 59476);
	}
	ack(&r, 10000, BDP, BDP);
	ack(&r, 10000, BDP, BDP);
	assert_in_range(r.d.out.window_bytes, 13000, 28500);
}

/* Of an empty network: five steps of wai, then all that is free at once. */
static void increase_has_stages(void **state)
{
	uint64_t w;
	struct road r;

	begin(&r, PLAIN ",min_bytes=10000");
	ack(&r, 0, 0, 100 * BDP);
	ack(&r, 10000, BDP, 100 * BDP); /* down to the smallest */
	assert_int_equal(r.d.out.window_bytes, 10000);
	ack(&r, 10000, BDP / 4, 0);
	w = r.d.out.window_bytes;
	for (unsigned i = 1; i <= 5; i++) {
		ack(&r, 10000, BDP / 4, 0); /* U = 1/4 */
		if (i < 5)
			assert_int_equal(r.d.out.window_bytes, w + 100 * i);
	}
	assert_in_range(r.d.out.window_bytes, 38000, 42500); /* 10500 * 0.95 / 0.25 + 100 */
}

/* The slower part of the way is what counts, wherever it lies. */
static void the_largest_load_counts(void **state)
{
	struct road r;

	begin(&r, PLAIN);
	r.hop[1].link_bps = 50 * GBPS;
	ack(&r, 0, 0, 0);
	ack(&r, 10000, BDP / 2, 0); /* 0.5 of the first, 1 of the second */
	assert_in_range(r.d.out.window_bytes, 118840, 118851);
}

static void another_way_is_measured_anew(void **state)
{
	struct road r;

	begin(&r, PLAIN);
	ack(&r, 0, 0, 0);
	r.hop[0].hop = 6;
	ack(&r, 10000, 100 * BDP, 100 * BDP);
	assert_int_equal(r.d.out.window_bytes, BDP);
	ack(&r, 10000, BDP, 100 * BDP);
	assert_true(r.d.out.window_bytes < BDP / 50);
	drive(&r.d, FNS_CC_TIMEOUT, 0, 0);
	assert_true(r.d.out.window_bytes < BDP / 100);
}

static void after_idleness_it_begins_anew(void **state)
{
	struct road r;

	begin(&r, PLAIN ",idle_us=100");
	r.inflight = MTU;
	ack(&r, 0, 0, 10 * BDP);
	ack(&r, 10000, BDP, 10 * BDP);
	assert_true(r.d.out.window_bytes < BDP / 10);
	assert_true(r.d.out.timer_ns == FNS_CC_NEVER);
	r.inflight = 0;
	ack(&r, 10000, BDP, 10 * BDP);
	assert_true(r.d.out.timer_ns > r.d.now + 100000);
	drive_sleep(&r.d, 90000);
	assert_true(r.d.out.window_bytes < BDP / 10);
	drive_sleep(&r.d, 100000000);
	assert_int_equal(r.d.out.window_bytes, BDP);
}

static void nonsense_from_switches(const char *text, uint64_t seed)
{
	struct fns_cc_hop hop[FNS_CC_HOPS];
	struct fns_rng rng;
	struct drive d;

	fns_rng_seed(&rng, seed);
	memset(hop, 0, sizeof(hop));
	drive_begin(&d, text);
	for (unsigned i = 0; i < 200000; i++) {
		struct fns_cc_event ev = {.type = FNS_CC_ACK,
			.bytes = fns_rng_u64(&rng) >> fns_rng_below(&rng, 64),
			.inflight = fns_rng_u64(&rng) >> fns_rng_below(&rng, 64),
			.nhops = (uint32_t)fns_rng_below(&rng, FNS_CC_HOPS + 1),
			.hops = hop};

		for (unsigned k = 0; k < FNS_CC_HOPS; k++) {
			bool wild = fns_rng_below(&rng, 3) == 0;
			uint64_t v = fns_rng_u64(&rng) >> fns_rng_below(&rng, 64);

			hop[k].link_bps = wild ? v : 100 * GBPS;
			hop[k].tx_bytes = wild ? v : hop[k].tx_bytes + v % 100000;
			hop[k].time_ns = wild ? v : hop[k].time_ns + v % 10000;
			hop[k].queue_bytes = (uint32_t)v;
			hop[k].hop = (uint32_t)fns_rng_below(&rng, 40) == 0 ? k + 9 : k;
		}
		if (fns_rng_below(&rng, 3))
			ev.nhops = 3;
		drive_full(&d, &ev);
		drive_sleep(&d, fns_rng_below(&rng, 200000));
	}
}

static void it_never_talks_nonsense(void **state)
{
	drive_wild("hpcc", 1);
	nonsense_from_switches("hpcc", 2);
	nonsense_from_switches("hpcc:line_mbps=10,rtt_ns=1000,min_bytes=1000000,eta_pm=1000", 3);
	nonsense_from_switches("hpcc:line_mbps=10000000,rtt_ns=1000000000,max_stage=0", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_with_what_the_link_holds),
		cmocka_unit_test(a_queue_cuts_to_the_target_in_one_step),
		cmocka_unit_test(the_smaller_queue_counts),
		cmocka_unit_test(acknowledgements_of_one_round_trip_cut_once),
		cmocka_unit_test(increase_has_stages),
		cmocka_unit_test(the_largest_load_counts),
		cmocka_unit_test(another_way_is_measured_anew),
		cmocka_unit_test(after_idleness_it_begins_anew),
		cmocka_unit_test(it_never_talks_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
