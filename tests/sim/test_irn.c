/* SPDX-License-Identifier: Apache-2.0 */
/* What selective repeat is for, by seed: one flow at 100 Gb/s and 10 us, of whose packets 1 % are
 * lost, against the same without loss and with go-back-N. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/sim.h"

#define SEEDS 5u

static uint64_t work(const char *name, uint64_t seed)
{
	struct sim_result r;

	assert_true(sim_run(sim_scenario_find(name), seed, SIM_DMA_DIRECT, NULL, &r));
	return r.work_ns;
}

static void loss_costs_little(void **state)
{
	uint64_t clean = 0, irn = 0, gbn = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		clean += work("irn_long", seed);
		irn += work("irn_long_loss", seed);
		gbn += work("irn_long_gbn", seed);
	}
	print_message("without loss %u us; 1 %% lost: irn %u us, gbn %u us\n",
		(unsigned)(clean / SEEDS / 1000), (unsigned)(irn / SEEDS / 1000),
		(unsigned)(gbn / SEEDS / 1000));
	assert_true(irn * 85 <= clean * 100);
	assert_true(gbn >= 5 * irn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(loss_costs_little)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
