/* SPDX-License-Identifier: Apache-2.0 */
/* What congestion controls are for, by seed: 32 senders to one, how long is the queue? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/sim.h"

#define SEEDS 3u

static uint32_t p99_kib(const char *name, uint64_t seed, struct sim_result *r)
{
	uint32_t kib;

	assert_true(sim_run(sim_scenario_find(name), seed, SIM_DMA_SIM, NULL, r));
	kib = sim_net_found(&r->net, 990);
	print_message("%s seed %u: p99 %u KiB, %u us\n", name, (unsigned)seed, kib,
		(unsigned)(r->now_ns / 1000));
	return kib;
}

static void swift_keeps_the_queue_short(void **state)
{
	struct sim_result r;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		assert_true(p99_kib("cc_incast32_swift", seed, &r) * 4 <
			    p99_kib("cc_incast32_static", seed, &r));
}

static void dcqcn_hears_and_obeys(void **state)
{
	struct sim_result r;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		uint32_t none = p99_kib("cc_incast32_static", seed, &r);

		assert_true(p99_kib("cc_incast32_dcqcn", seed, &r) < none);
		assert_true(r.net.ecn_marked > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(swift_keeps_the_queue_short),
		cmocka_unit_test(dcqcn_hears_and_obeys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
