/* SPDX-License-Identifier: Apache-2.0 */
/* The engine in memory: every byte arrives, as many packets as there must be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/micro.h"

static void messages_arrive(void **state)
{
	static const uint32_t size[] = {1, 63, 64, 257, 4096, 4097, 20000};
	unsigned i, icrc;

	for (i = 0; i < sizeof(size) / sizeof(size[0]); i++)
		for (icrc = 0; icrc < 2; icrc++) {
			const struct fns_micro_cfg cfg = {
				.size = size[i], .qps = 3, .depth = 20, .icrc = icrc};
			struct fns_micro *m = fns_micro_create(&cfg);
			uint64_t packets, n;

			assert_non_null(m);
			n = fns_micro_run(m, 500, &packets);
			assert_true(n >= 500);
			/* What is still in flight has arrived in part. */
			assert_in_range(packets, n * ((size[i] + 4095) / 4096),
				(n + 60) * ((size[i] + 4095) / 4096));
			assert_true(fns_micro_intact(m));
			fns_micro_destroy(m);
		}
}

static uint64_t ticks;

static uint64_t tick(void)
{
	return ticks += 10;
}

/* A clock that moves at each look: every stage takes the same time, and none is lost. */
static void stages_add_up(void **state)
{
	const struct fns_micro_cfg cfg = {.size = 64, .qps = 1, .depth = 8, .clock_ns = tick};
	struct fns_micro *m = fns_micro_create(&cfg);
	uint64_t ns[FNS_MICRO_STAGES], packets;

	ticks = 0;
	fns_micro_run(m, 100, &packets);
	fns_micro_stages(m, ns);
	assert_true(ns[FNS_MICRO_SENDER] > 0);
	assert_int_equal(ns[FNS_MICRO_SENDER], ns[FNS_MICRO_RECEIVER]);
	assert_int_equal(ns[FNS_MICRO_APP], ns[FNS_MICRO_SENDER] + 10);
	assert_int_equal(ns[0] + ns[1] + ns[2], ticks - 10);
	fns_micro_destroy(m);
}

static void nonsense_is_refused(void **state)
{
	static const struct fns_micro_cfg bad[] = {{.size = 0, .qps = 1, .depth = 1},
		{.size = 65537, .qps = 1, .depth = 1}, {.size = 1, .qps = 0, .depth = 1},
		{.size = 1, .qps = 1, .depth = 0}};
	unsigned i;

	for (i = 0; i < 4; i++)
		assert_null(fns_micro_create(&bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_arrive),
		cmocka_unit_test(stages_add_up),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
