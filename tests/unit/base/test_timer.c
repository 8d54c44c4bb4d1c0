/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer wheel against a model that keeps an array and looks for the smallest: random
 * operations, from inside the timers' functions too, in virtual time with steps from none to
 * centuries. Then the corners by hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/timer.h"

#define TIMERS 200
#define OPS    20000
#define SEEDS  12

struct entry {
	struct fns_timer t;
	uint64_t deadline_ns; /* the model: FNS_TIMER_NEVER when not set */
	uint64_t seq;
};

struct model {
	struct fns_timer_wheel *w;
	struct fns_rng rng;
	struct entry e[TIMERS];
	uint64_t seq, now_ns;
	/* of the run in progress */
	uint64_t run_ns, run_seq;
	bool in_run;
	unsigned fired;
	uint64_t total;
};

static struct model m;

/* The one to fire next among those due at now_ns and set before seq_end. */
static struct entry *model_first(uint64_t now_ns, uint64_t seq_end)
{
	struct entry *best = NULL;

	for (unsigned i = 0; i < TIMERS; i++) {
		struct entry *e = &m.e[i];

		if (e->deadline_ns == FNS_TIMER_NEVER || e->deadline_ns > now_ns ||
			e->seq >= seq_end)
			continue;
		if (!best || e->deadline_ns < best->deadline_ns ||
			(e->deadline_ns == best->deadline_ns && e->seq < best->seq))
			best = e;
	}
	return best;
}

static void next_check(void)
{
	struct entry *e = model_first(FNS_TIMER_NEVER, UINT64_MAX);
	uint64_t want = e ? e->deadline_ns : FNS_TIMER_NEVER;

	assert_true(fns_timer_next(m.w) == want);
}

/* Distances of every magnitude, a few round ones often so that deadlines coincide, some in the
 * past. */
static uint64_t random_deadline(void)
{
	uint64_t base = m.in_run ? m.run_ns : m.now_ns;
	uint64_t d;

	switch (fns_rng_below(&m.rng, 6)) {
	case 0:
		d = fns_rng_below(&m.rng, 4) * 64;
		break;
	case 1:
		d = fns_rng_u64(&m.rng) >> fns_rng_below(&m.rng, 64);
		break;
	case 2:
		d = fns_rng_below(&m.rng, 2000);
		return base > d ? base - d : 0;
	case 3: /* on a boundary of slots, or beside it */
		d = fns_rng_below(&m.rng, 60);
		base = base >> d << d;
		d = (1ull << d) - 1 + fns_rng_below(&m.rng, 3);
		break;
	default:
		d = fns_rng_below(&m.rng, 5000);
	}
	return base + d < base ? FNS_TIMER_NEVER - 1 : base + d;
}

static void random_set_or_cancel(void)
{
	struct entry *e = &m.e[fns_rng_below(&m.rng, TIMERS)];

	if (fns_rng_below(&m.rng, 3) == 0) {
		fns_timer_cancel(m.w, &e->t);
		e->deadline_ns = FNS_TIMER_NEVER;
	} else {
		e->deadline_ns = random_deadline();
		e->seq = m.seq++;
		fns_timer_set(m.w, &e->t, e->deadline_ns);
	}
	assert_int_equal(fns_timer_is_set(&e->t), e->deadline_ns != FNS_TIMER_NEVER);
}

static void on_fire(struct fns_timer *t, uint64_t now_ns)
{
	struct entry *e = fns_container_of(t, struct entry, t);

	assert_true(m.in_run);
	assert_true(now_ns == m.run_ns);
	assert_false(fns_timer_is_set(t));
	assert_ptr_equal(model_first(m.run_ns, m.run_seq), e);
	e->deadline_ns = FNS_TIMER_NEVER;
	m.fired++;
	for (unsigned n = (unsigned)fns_rng_below(&m.rng, 3); n > 0; n--)
		random_set_or_cancel();
	if (fns_rng_below(&m.rng, 4) == 0)
		next_check();
}

static void run_to(uint64_t now_ns)
{
	unsigned n;

	m.run_ns = now_ns;
	m.run_seq = m.seq;
	m.fired = 0;
	m.in_run = true;
	n = fns_timer_run(m.w, now_ns);
	m.in_run = false;
	assert_int_equal(n, m.fired);
	assert_null(model_first(now_ns, m.run_seq));
	m.total += n;
	if (now_ns > m.now_ns)
		m.now_ns = now_ns;
}

static void random_run(void)
{
	uint64_t step;

	switch (fns_rng_below(&m.rng, 8)) {
	case 0:
		step = 0;
		break;
	case 1: /* exactly to the next deadline */
		step = fns_timer_next(m.w);
		if (step != FNS_TIMER_NEVER && step >= m.now_ns) {
			run_to(step);
			return;
		}
		step = 1;
		break;
	case 2: /* a clock that goes backwards must not fire anything early */
		step = fns_rng_below(&m.rng, 3000);
		run_to(m.now_ns > step ? m.now_ns - step : 0);
		return;
	case 3: /* big, but so that a case survives many of them */
		step = fns_rng_u64(&m.rng) >> (20 + fns_rng_below(&m.rng, 44));
		break;
	default:
		step = fns_rng_below(&m.rng, 1500);
	}
	run_to(m.now_ns + step < m.now_ns ? FNS_TIMER_NEVER - 1 : m.now_ns + step);
}

static void one_seed(uint64_t seed)
{
	printf("timer model, seed %llu\n", (unsigned long long)seed);
	m = (struct model){0};
	fns_rng_seed(&m.rng, seed);
	m.now_ns = seed % 3 == 0 ? 0 : fns_rng_u64(&m.rng) >> (1 + fns_rng_below(&m.rng, 60));
	m.w = fns_timer_wheel_create(m.now_ns);
	assert_non_null(m.w);
	for (unsigned i = 0; i < TIMERS; i++) {
		m.e[i].deadline_ns = FNS_TIMER_NEVER;
		fns_timer_init(&m.e[i].t, on_fire);
	}
	for (unsigned op = 0; op < OPS; op++) {
		if (fns_rng_below(&m.rng, 6) == 0)
			random_run();
		else
			random_set_or_cancel();
		if (fns_rng_below(&m.rng, 2) == 0)
			next_check();
	}
	/* What is left fires in order up to the end of time. */
	run_to(FNS_TIMER_NEVER - 1);
	next_check();
	assert_true(m.total > 1000);
	fns_timer_wheel_destroy(m.w);
}

static void random_operations_match_model(void **state)
{
	const char *s = getenv("FLEXINS_TEST_SEED");

	(void)state;
	if (s) {
		one_seed(strtoull(s, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		one_seed(seed);
}

/* -------- by hand -------- */

struct record {
	struct fns_timer t;
	struct fns_timer_wheel *w;
	unsigned id;
};

static unsigned order[64], order_n;
static uint64_t order_now_ns;

static void on_record(struct fns_timer *t, uint64_t now_ns)
{
	order[order_n++ % 64] = fns_container_of(t, struct record, t)->id;
	order_now_ns = now_ns;
}

static void records_init(struct record *r, unsigned n, fns_timer_fn fn, struct fns_timer_wheel *w)
{
	order_n = 0;
	for (unsigned i = 0; i < n; i++) {
		fns_timer_init(&r[i].t, fn);
		r[i].w = w;
		r[i].id = i;
	}
}

static void equal_deadlines_fire_in_order_of_setting(void **state)
{
	/* Set from far, from near and from very near the same instant: the first set is dealt
	 * through the levels. */
	static const uint64_t set_at[] = {0, 1000, 99000, 99990, 99999};
	struct fns_timer_wheel *w = fns_timer_wheel_create(0);
	struct record r[5];

	(void)state;
	records_init(r, 5, on_record, w);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(fns_timer_run(w, set_at[i]), 0);
		fns_timer_set(w, &r[4 - i].t, 100000);
	}
	assert_int_equal(fns_timer_run(w, 99999), 0);
	assert_int_equal(fns_timer_run(w, 100000), 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(order[i], 4 - i);
	fns_timer_wheel_destroy(w);
}

static void past_deadlines_fire_by_deadline(void **state)
{
	struct fns_timer_wheel *w = fns_timer_wheel_create(5000);
	static const uint64_t d[] = {5000, 7, 4999, 0, 7, 5001};
	static const unsigned want[] = {3, 1, 4, 2, 0};
	struct record r[6];

	(void)state;
	records_init(r, 6, on_record, w);
	for (unsigned i = 0; i < 6; i++)
		fns_timer_set(w, &r[i].t, d[i]);
	assert_true(fns_timer_next(w) == 0);
	assert_int_equal(fns_timer_run(w, 5000), 5);
	assert_memory_equal(order, want, sizeof(want));
	assert_true(order_now_ns == 5000);
	assert_true(fns_timer_next(w) == 5001);
	fns_timer_wheel_destroy(w);
}

static void on_again(struct fns_timer *t, uint64_t now_ns)
{
	struct record *r = fns_container_of(t, struct record, t);

	on_record(t, now_ns);
	fns_timer_set(r->w, t, now_ns);
}

static void set_again_at_once_waits_for_next_run(void **state)
{
	struct fns_timer_wheel *w = fns_timer_wheel_create(0);
	struct record r;

	(void)state;
	records_init(&r, 1, on_again, w);
	fns_timer_set(w, &r.t, 10);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(fns_timer_run(w, 10 * i), 1);
		assert_int_equal(order_n, i);
		assert_true(fns_timer_next(w) == 10 * i);
	}
	fns_timer_cancel(w, &r.t);
	fns_timer_cancel(w, &r.t);
	assert_int_equal(fns_timer_run(w, 100), 0);
	assert_true(fns_timer_next(w) == FNS_TIMER_NEVER);
	fns_timer_wheel_destroy(w);
}

static void end_of_time(void **state)
{
	struct fns_timer_wheel *w = fns_timer_wheel_create(0);
	struct record r[3];

	(void)state;
	records_init(r, 3, on_record, w);
	fns_timer_set(w, &r[0].t, FNS_TIMER_NEVER - 1);
	fns_timer_set(w, &r[1].t, 1ull << 63);
	fns_timer_set(w, &r[2].t, FNS_TIMER_NEVER);
	assert_false(fns_timer_is_set(&r[2].t));
	assert_int_equal(fns_timer_run(w, (1ull << 63) - 1), 0);
	assert_true(fns_timer_next(w) == 1ull << 63);
	assert_int_equal(fns_timer_run(w, FNS_TIMER_NEVER - 2), 1);
	assert_true(fns_timer_next(w) == FNS_TIMER_NEVER - 1);
	assert_int_equal(fns_timer_run(w, FNS_TIMER_NEVER - 1), 1);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 0);
	/* Setting to never is cancelling. */
	fns_timer_set(w, &r[0].t, FNS_TIMER_NEVER - 1);
	fns_timer_set(w, &r[0].t, FNS_TIMER_NEVER);
	assert_true(fns_timer_next(w) == FNS_TIMER_NEVER);
	fns_timer_wheel_destroy(w);
	fns_timer_wheel_destroy(NULL);
}

/* A NIC's load: many equal timeouts, each moved on long before it is due. Quadratic work anywhere
 * would take minutes. */
static void many_timers_moved_often(void **state)
{
	enum {
		N = 20000,
		ROUNDS = 50
	};
	struct fns_timer_wheel *w = fns_timer_wheel_create(1);
	struct record *r = calloc(N, sizeof(*r));
	uint64_t now_ns = 1;

	(void)state;
	assert_non_null(r);
	records_init(r, N, on_record, w);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < N; i++) {
			now_ns += 50;
			fns_timer_set(w, &r[i].t, now_ns + 4000000);
			assert_int_equal(fns_timer_run(w, now_ns), 0);
			if (round > 0)
				assert_true(fns_timer_next(w) == now_ns + 4000000 - 50 * (N - 1));
		}
	assert_int_equal(fns_timer_run(w, now_ns + 3999999 - 50 * (N - 2)), 1);
	assert_int_equal(fns_timer_run(w, now_ns + (1ull << 60)), N - 1);
	assert_int_equal(order_n, N);
	fns_timer_wheel_destroy(w);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_deadlines_fire_in_order_of_setting),
		cmocka_unit_test(past_deadlines_fire_by_deadline),
		cmocka_unit_test(set_again_at_once_waits_for_next_run),
		cmocka_unit_test(end_of_time),
		cmocka_unit_test(many_timers_moved_often),
		cmocka_unit_test(random_operations_match_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
