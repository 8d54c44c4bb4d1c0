/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The laboratory: its arithmetic, that a seed gives the same figures, and what congestion controls
 * are for, by the figures of papers in trend (docs/lab.md). Nothing here depends on the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "sim/lab.h"

#define US 1000ull
#define MS 1000000ull

static struct lab_result res;

static const struct lab_result *run_as(
	const char *scenario, const char *cc, uint64_t seed, uint64_t time_ns, bool irn)
{
	struct lab_cfg cfg = {.scenario = lab_scenario_find(scenario),
		.cc = cc,
		.seed = seed,
		.irn = irn,
		.time_ns = time_ns};

	assert_non_null(cfg.scenario);
	if (!lab_run(&cfg, &res))
		fail_msg("%s, %s, seed %u: %s", scenario, cc, (unsigned)seed, res.failure);
	print_message("%s %s%s: %u Mb/s, Jain %u/%u, queue %u KB, p99 %u KB\n", scenario, res.cc,
		irn ? " irn" : "", (unsigned)(res.goodput_bps / 1000000), res.jain_mean,
		res.jain_least, res.queue_mean / 1000, res.queue_p99 / 1000);
	return &res;
}

static const struct lab_result *run(const char *scenario, const char *cc, uint64_t seed)
{
	return run_as(scenario, cc, seed, 0, false);
}

/* --- arithmetic --- */

static void percentiles_and_shares(void **state)
{
	uint64_t v[100], one[3] = {7, 0, 0}, equal[3] = {1 << 20, 1 << 20, 1 << 20};

	for (unsigned i = 0; i < 100; i++)
		v[i] = 100 - i;
	assert_int_equal(lab_percentile(v, 0, 500), 0);
	assert_int_equal(lab_percentile(v, 100, 500), 50);
	assert_int_equal(lab_percentile(v, 100, 990), 99);
	assert_int_equal(lab_percentile(v, 100, 1000), 100);
	assert_int_equal(lab_percentile(v, 100, 0), 1);
	assert_int_equal(lab_percentile(v, 1, 990), 1);
	assert_int_equal(lab_jain(equal, 3), 10000);
	one[0] <<= 30;
	assert_int_equal(lab_jain(one, 3), 3333);
	assert_int_equal(lab_jain(one + 1, 2), 0);
	v[0] = v[1] = 100000000000ull; /* rates of 100 Gb/s do not overflow it */
	v[2] = 0;
	assert_int_equal(lab_jain(v, 3), 6666);
}

static void times_between_arrivals(void **state)
{
	uint64_t sum = 0, above = 0;
	struct fns_rng rng;

	fns_rng_seed(&rng, 3);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t e = lab_exponential(fns_rng_u64(&rng));

		sum += e;
		above += e > 2 << 20;
	}
	assert_in_range(sum / 100000, (1 << 20) * 99 / 100, (1 << 20) * 101 / 100);
	assert_in_range(above, 13000, 14100); /* e^-2 is 0.1353 */
	assert_in_range(lab_exponential(UINT64_MAX), 0, 2);
	assert_in_range(lab_exponential(1ull << 63), 726810, 726820); /* ln 2 */
	assert_in_range(lab_exponential(0), 44ull << 20, 45ull << 20);
}

static void sizes_are_those_published(void **state)
{
	static const struct {
		const char *scenario;
		uint64_t mean;
		uint32_t ppm;
		uint64_t bytes;
	} want[] = {{"websearch", 1711250, 530000, 80000}, {"hadoop", 120420, 600000, 1000}};
	uint64_t sum, last, v;

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(want); i++) {
		const struct lab_sizes *s = lab_scenario_find(want[i].scenario)->sizes;

		assert_non_null(strstr(lab_sizes_source(s), "SIGCOMM"));
		assert_in_range(lab_sizes_mean(s), want[i].mean - 1, want[i].mean + 1);
		assert_int_equal(lab_sizes_at(s, want[i].ppm), want[i].bytes);
		assert_int_equal(lab_sizes_at(s, 0), 1);
		sum = last = 0;
		for (uint32_t ppm = 0; ppm < 1000000; ppm += 100) {
			v = lab_sizes_at(s, ppm);
			assert_true(v >= last);
			last = v;
			sum += v;
		}
		assert_in_range(sum / 10000, want[i].mean * 98 / 100, want[i].mean * 102 / 100);
	}
}

/* --- runs --- */

static void a_seed_gives_the_same_figures(void **state)
{
	static struct lab_result once, other;

	for (unsigned i = 0; lab_scenario_at(i); i++) {
		const char *name = lab_scenario_at(i)->name;
		uint64_t time_ns = strcmp(name, "long") == 0 ? 100 * MS : 500 * US;

		once = *run_as(name, "dcqcn", 1, time_ns, i % 2);
		other = *run_as(name, "dcqcn", 1, time_ns, i % 2);
		assert_memory_equal(&once, &other, sizeof(once));
		other = *run_as(name, "dcqcn", 2, time_ns, i % 2);
		assert_true(once.hash != other.hash);
		assert_true(once.packets > 50 && once.broken == 0);
	}
}

static void all_of_them_run_everywhere(void **state)
{
	static const char *const cc[] = {
		"static_window", "dcqcn", "timely", "swift", "hpcc", "bbr"};

	for (unsigned i = 0; lab_scenario_at(i); i++)
		for (unsigned k = 0; k < FNS_ARRAY_SIZE(cc); k++) {
			const char *name = lab_scenario_at(i)->name;
			uint64_t time_ns = strcmp(name, "long") == 0 ? 200 * MS : 1 * MS;

			run_as(name, cc[k], 3, time_ns, k % 2);
			assert_int_equal(res.broken, 0);
			assert_true(res.unfinished * 5 <= res.flows);
			assert_int_equal(res.nsamples, LAB_SAMPLES);
		}
}

static void what_is_wrong_is_refused(void **state)
{
	struct lab_cfg cfg = {.scenario = lab_scenario_find("incast"), .cc = "vegas"};

	assert_false(lab_run(&cfg, &res));
	assert_non_null(strstr(res.failure, "no congestion control 'vegas'"));
	assert_null(lab_scenario_find("outcast"));
}

/* --- figures --- */

/* What the papers of Swift and HPCC are about: many senders, and hardly a queue. */
static void incast_queues_are_short(void **state)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		uint32_t none = run("incast", "static_window", seed)->queue_p99;

		assert_true(run("incast", "swift", seed)->queue_p99 * 4 < none);
		assert_true(res.goodput_bps > 95000 * MS);
		assert_int_equal(res.paused_ns, 0);
		assert_true(run("incast", "hpcc", seed)->queue_p99 * 4 < none);
		assert_true(res.goodput_bps > 85000 * MS);
		assert_int_equal(res.paused_ns, 0);
	}
}

/* As in the paper of DCQCN: flows that join share alike. */
static void dcqcn_converges(void **state)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		run("dumbbell", "dcqcn", seed);
		assert_true(res.jain_mean >= 9500);
		assert_true(res.jain_least >= 9500);
		assert_true(res.goodput_bps > 38000 * MS);
	}
}

/* As in the papers of HPCC and Swift: short flows do not wait behind long ones. */
static void short_flows_do_not_wait(void **state)
{
	uint64_t none = run_as("websearch", "static_window", 1, 10 * MS, false)->cls[0].median_ns;

	assert_true(run_as("websearch", "dcqcn", 1, 10 * MS, false)->cls[0].median_ns < none);
	assert_true(run_as("websearch", "swift", 1, 10 * MS, false)->cls[0].median_ns * 2 < none);
	assert_true(run_as("websearch", "hpcc", 1, 10 * MS, false)->cls[0].median_ns * 2 < none);
}

/* BBR: a long link is full though its buffer is not. */
static void bbr_fills_a_long_link(void **state)
{
	assert_true(run("long", "bbr", 1)->goodput_bps > 9500 * MS);
	assert_int_equal(res.lost, 0);
	assert_true(run("long", "static_window", 1)->goodput_bps < 7500 * MS);
}

/* As in the paper of IRN: who repeats only what is missing loses little by losses. */
static void losses_cost_little_when_repaired_selectively(void **state)
{
	uint64_t back = run_as("lossy", "static_window", 1, 0, false)->goodput_bps;

	assert_true(res.broken > 0); /* retries are used up */
	assert_true(run_as("lossy", "static_window", 1, 0, true)->goodput_bps > back);
	assert_true(res.broken == 0);
	assert_true(run_as("lossy", "swift", 1, 0, true)->goodput_bps > 37000 * MS);
	assert_true(res.retransmits <= res.lost);
	assert_true(run_as("lossy", "swift", 1, 0, false)->retransmits > 5 * res.lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_and_shares),
		cmocka_unit_test(times_between_arrivals),
		cmocka_unit_test(sizes_are_those_published),
		cmocka_unit_test(a_seed_gives_the_same_figures),
		cmocka_unit_test(all_of_them_run_everywhere),
		cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(incast_queues_are_short),
		cmocka_unit_test(dcqcn_converges),
		cmocka_unit_test(short_flows_do_not_wait),
		cmocka_unit_test(bbr_fills_a_long_link),
		cmocka_unit_test(losses_cost_little_when_repaired_selectively),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
