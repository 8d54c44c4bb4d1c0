/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual time: order of calls, servers, jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smartnic/vtime.h"

struct note {
	struct fns_vt *vt;
	char *out;
	unsigned *n;
	char letter;
};

static void write_down(void *arg)
{
	struct note *t = arg;

	t->out[(*t->n)++] = t->letter;
}

static void calls_come_in_order_of_time_and_of_asking(void **state)
{
	static const uint64_t when[] = {50, 10, 30, 10, 0, 30, 20};
	char out[8] = "";
	unsigned n = 0, i;
	struct note note[7];
	struct fns_vt vt;

	fns_vt_init(&vt);
	for (i = 0; i < 7; i++) {
		note[i] = (struct note){&vt, out, &n, (char)('a' + i)};
		fns_vt_at(&vt, when[i], write_down, &note[i]);
	}
	while (fns_vt_step(&vt))
		;
	assert_string_equal(out, "ebdgcfa");
	assert_int_equal(vt.now_ps, 50);
	/* The past is now. */
	fns_vt_at(&vt, 3, write_down, &note[0]);
	assert_true(fns_vt_step(&vt));
	assert_int_equal(vt.now_ps, 50);
	assert_false(fns_vt_step(&vt));
	fns_vt_fini(&vt);
}

static void a_server_serves_one_after_another(void **state)
{
	struct fns_server s = {0};

	assert_int_equal(fns_server_take(&s, 100, 10), 110);
	assert_int_equal(fns_server_take(&s, 100, 10), 120);
	assert_int_equal(fns_server_take(&s, 105, 5), 125);
	assert_int_equal(fns_server_take(&s, 200, 1), 201);
	assert_int_equal(s.busy_ps, 26);
}

static void rates(void **state)
{
	assert_int_equal(fns_ps_of_bytes(50, 400), 1000);    /* 400 Gb/s: 50 bytes a ns */
	assert_int_equal(fns_ps_of_bytes(4096, 504), 65015); /* 63 GB/s */
	assert_int_equal(fns_ps_of_ops(1, 30), 33333);
	assert_int_equal(fns_ps_of_ops(3, 1), 3000000);
	/* A terabyte is no overflow. */
	assert_int_equal(fns_ps_of_bytes(1ull << 40, 8), 1000ull << 40);
}

struct trip {
	struct fns_job job; /* first */
	uint64_t done_ps;
};

static void arrived(struct fns_job *j)
{
	((struct trip *)j)->done_ps = j->vt->now_ps;
}

static void jobs_pass_servers_in_turn(void **state)
{
	struct fns_server a = {0}, b = {0};
	struct trip t[3] = {0};
	struct fns_vt vt;
	unsigned i;

	fns_vt_init(&vt);
	for (i = 0; i < 3; i++) {
		fns_job_init(&t[i].job, &vt, arrived);
		fns_job_stage(&t[i].job, &a, 10);
		fns_job_stage(&t[i].job, &a, 0); /* none */
		fns_job_stage(&t[i].job, &b, 25);
		t[i].job.latency_ps = 100;
		fns_job_start(&t[i].job, 1000);
	}
	while (fns_vt_step(&vt))
		;
	/* a is done at 1010, 1020, 1030; b, the slower one, at 1035, 1060, 1085. */
	assert_int_equal(t[0].done_ps, 1135);
	assert_int_equal(t[1].done_ps, 1160);
	assert_int_equal(t[2].done_ps, 1185);
	assert_int_equal(a.busy_ps, 30);
	assert_int_equal(b.busy_ps, 75);
	/* Without any stage: the latency alone; without that: at once, but not from within. */
	fns_job_init(&t[0].job, &vt, arrived);
	t[0].done_ps = 0;
	fns_job_start(&t[0].job, 5000);
	assert_int_equal(t[0].done_ps, 0);
	while (fns_vt_step(&vt))
		;
	assert_int_equal(t[0].done_ps, 5000);
	fns_vt_fini(&vt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_come_in_order_of_time_and_of_asking),
		cmocka_unit_test(a_server_serves_one_after_another),
		cmocka_unit_test(rates),
		cmocka_unit_test(jobs_pass_servers_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
