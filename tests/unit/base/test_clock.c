/* SPDX-License-Identifier: Apache-2.0 */
/* The quick clock says what the clock says, before and after it has learned to count, in any
 * thread.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"

#define SLACK_NS (3 * FNS_NSEC_PER_USEC)
#define LAST_NS  (60 * FNS_NSEC_PER_MSEC)

static bool agree(void)
{
	uint64_t start = fns_clock_now_ns(), before, quick, after;
	unsigned n = 0;

	do {
		before = fns_clock_now_ns();
		quick = fns_clock_quick_ns();
		after = fns_clock_now_ns();
		if (quick + SLACK_NS < before || quick > after + SLACK_NS)
			return false;
		if (++n % 1000 == 0)
			sched_yield(); /* perhaps to another processor */
	} while (after - start < LAST_NS);
	return true;
}

static void *agree_thread(void *arg)
{
	*(bool *)arg = agree();
	return NULL;
}

static void test_quick(void **state)
{
	pthread_t t[3];
	bool ok[3];

	(void)state;
	assert_true(agree());
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, agree_thread, &ok[i]), 0);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		assert_true(ok[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
