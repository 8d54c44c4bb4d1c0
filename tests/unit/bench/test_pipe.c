/* SPDX-License-Identifier: Apache-2.0 */
/* The notification pipe by itself: lines counted come out as the protocols say, and both exchange
 * messages between threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>

#include "base/clock.h"
#include "bench/pipe.h"

#define RING 1024.0

/* Each entry moves once; credit and the consumer's index are read once a lap of their ring. */
static void phase_moves_entries(void **state)
{
	struct fns_pipe_lines l;

	for (uint32_t burst = 1; burst <= FNS_PIPE_MAX_BURST; burst *= 2) {
		fns_pipe_count(FNS_PIPE_PHASE, burst, &l);
		assert_true(l.descriptors == 1 && l.completions == 1);
		assert_true(l.indices == 2 / RING);
		assert_true(l.taken_back == 2 + 2 / RING);
	}
}

/* Four indices are read across for each burst: two producers', two consumers'. */
static void doorbell_moves_indices(void **state)
{
	struct fns_pipe_lines l;

	for (uint32_t burst = 1; burst <= FNS_PIPE_MAX_BURST; burst *= 2) {
		fns_pipe_count(FNS_PIPE_DOORBELL, burst, &l);
		assert_true(l.descriptors == 1 && l.completions == 1);
		assert_true(l.indices == 4.0 / burst);
		assert_true(l.taken_back == 2 + 4.0 / burst);
	}
}

/* Any burst, also one that does not divide the rings; threads on the CPUs there are. */
static void threads_exchange(void **state)
{
	static const uint32_t burst[] = {1, 3, 16, 256};
	struct fns_pipe_cfg c = {.messages = 5000, .clock_ns = fns_clock_now_ns};
	cpu_set_t set;
	int n = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			c.cpu[n++] = i;
	if (n == 1)
		c.cpu[1] = c.cpu[0];
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned m = 0; m < FNS_PIPE_MODES; m++) {
			c.mode = (enum fns_pipe_mode)m;
			c.burst = burst[i];
			assert_true(fns_pipe_time(&c) > 0);
		}
	}
	c.cpu[1] = CPU_SETSIZE - 1; /* no such CPU on any machine that this runs on */
	assert_true(fns_pipe_time(&c) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phase_moves_entries),
		cmocka_unit_test(doorbell_moves_indices),
		cmocka_unit_test(threads_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
