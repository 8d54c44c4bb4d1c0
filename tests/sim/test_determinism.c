/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's own promises: one seed gives one run, in one process and in another; other seeds
 * give other runs; and a broken invariant is seen (or all the scenarios prove nothing).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/sim.h"

static uint64_t hash_of(const struct sim_scenario *s, uint64_t seed)
{
	struct sim_result r;

	assert_true(sim_run(s, seed, SIM_DMA_AUTO, NULL, &r));
	return r.hash;
}

static void test_twice_in_one_process(void **state)
{
	const struct sim_scenario *s;
	unsigned i;

	for (i = 0; (s = sim_scenario_at(i)); i++) {
		uint64_t hash = hash_of(s, 7);

		assert_int_equal(hash, hash_of(s, 7));
		assert_int_not_equal(hash, hash_of(s, 8));
	}
}

static void test_in_another_process(void **state)
{
	const struct sim_scenario *s;
	unsigned i;

	for (i = 0; (s = sim_scenario_at(i)); i++) {
		uint64_t there = 0;
		int fds[2], status;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct sim_result r = {0};

			sim_run(s, 9, SIM_DMA_AUTO, NULL, &r);
			_exit(write(fds[1], &r.hash, sizeof(r.hash)) == (ssize_t)sizeof(r.hash)
					? 0
					: 1);
		}
		assert_int_equal(read(fds[0], &there, sizeof(there)), sizeof(there));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		close(fds[0]);
		close(fds[1]);
		assert_int_equal(there, hash_of(s, 9));
	}
}

/* Sabotage through a scenario of our own: memory is changed behind the application's back. */
static void scribble(struct sim_world *w, uint32_t what)
{
	w->host[0]->mem[what] ^= 1;
}

static void start_scribble(struct sim_world *w)
{
	sim_push(w, w->now + 50000, SIM_EV_ACTION, 0, 100, NULL);
}

static void params(struct sim_world *w, struct sim_params *p)
{
}

static void test_stray_write_is_seen(void **state)
{
	const struct sim_scenario s = {"scribble", "", params, start_scribble, scribble, NULL, 0};
	struct sim_result r;

	assert_false(sim_run(&s, 1, SIM_DMA_AUTO, NULL, &r));
	assert_non_null(strstr(r.failure, "changed"));
}

/* Nothing gets through and no failure is expected: errors are reported as violations. */
static void start_cut(struct sim_world *w)
{
	unsigned i;

	for (i = 0; i < w->net.nports; i++)
		w->net.port[i].cut = true;
}

static void test_unexpected_failure_is_seen(void **state)
{
	const struct sim_scenario s = {"cut", "", params, start_cut, NULL, NULL, 0};
	struct sim_result r;

	assert_false(sim_run(&s, 1, SIM_DMA_AUTO, NULL, &r));
	assert_non_null(strstr(r.failure, "for no reason"));
}

/* Faults that are switched on do happen. */
static void test_faults_happen(void **state)
{
	struct sim_result r;
	uint64_t retransmits = 0, overruns = 0, errors = 0, i;

	for (i = 1; i <= 5; i++) {
		assert_true(sim_run(sim_scenario_find("rc_loss"), i, SIM_DMA_AUTO, NULL, &r));
		retransmits += r.retransmits;
		assert_true(sim_run(sim_scenario_find("rc_incast"), i, SIM_DMA_AUTO, NULL, &r));
		overruns += r.net.drop[SIM_DROP_OVERRUN];
		assert_true(
			sim_run(sim_scenario_find("rc_retry_exceeded"), i, SIM_DMA_AUTO, NULL, &r));
		errors += r.errors;
	}
	assert_true(retransmits > 0);
	assert_true(overruns > 0);
	assert_true(errors > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twice_in_one_process),
		cmocka_unit_test(test_in_another_process),
		cmocka_unit_test(test_stray_write_is_seen),
		cmocka_unit_test(test_unexpected_failure_is_seen),
		cmocka_unit_test(test_faults_happen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
