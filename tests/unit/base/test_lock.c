/* SPDX-License-Identifier: Apache-2.0 */
/* The lock: one at a time, nobody left asleep, waits that end. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/lock.h"

#define THREADS 4u
#define ROUNDS  50000u

static struct fns_lock lock;
static unsigned long plain; /* under lock */
static _Atomic unsigned inside;
static _Atomic bool overlap;

static void *contend(void *arg)
{
	const unsigned me = *(const unsigned *)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		/* All three ways in. */
		if ((i + me) % 3 == 0)
			fns_lock_take(&lock);
		else if ((i + me) % 3 == 1)
			while (!fns_lock_take_within(&lock, 1000000000))
				;
		else
			while (!fns_lock_try(&lock))
				sched_yield();
		if (atomic_fetch_add(&inside, 1) != 0)
			atomic_store(&overlap, true);
		plain++;
		if (i % 512 == 0) /* held for long: the others fall asleep */
			sched_yield();
		atomic_fetch_sub(&inside, 1);
		fns_lock_release(&lock);
	}
	return NULL;
}

static void test_one_at_a_time(void **state)
{
	unsigned id[THREADS];
	pthread_t t[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		id[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, contend, &id[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_false(atomic_load(&overlap));
	assert_int_equal(plain, THREADS * ROUNDS);
	assert_true(fns_lock_try(&lock));
	fns_lock_release(&lock);
}

static void test_taken(void **state)
{
	uint64_t before;

	fns_lock_take(&lock);
	assert_false(fns_lock_try(&lock));
	before = fns_clock_now_ns();
	assert_false(fns_lock_take_within(&lock, 2000000));
	assert_true(fns_clock_now_ns() - before >= 2000000);
	fns_lock_release(&lock);
	assert_true(fns_lock_take_within(&lock, 0));
	fns_lock_release(&lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
