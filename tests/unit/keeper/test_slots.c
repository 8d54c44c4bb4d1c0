/* SPDX-License-Identifier: Apache-2.0 */
/* The table of slots: order of leasing, quarantine, and random histories against a naive model. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "keeper/slots.h"

#define Q 1000u

static void fresh_slots_come_in_order(void **state)
{
	struct fns_keeper_slots s;

	fns_keeper_slots_init(&s, Q, 0);
	for (int i = 1; i < FNS_KEEPER_SLOT_MC; i++) {
		assert_int_equal(fns_keeper_slots_pick(&s), i);
		fns_keeper_slots_hold(&s, (unsigned)i, 100 + i, 7, "x", 5);
	}
	assert_int_equal(fns_keeper_slots_pick(&s), -ENOSPC);
	assert_int_equal(s.held, 254);
	assert_int_equal(s.slot[FNS_KEEPER_SLOT_CM].state, FNS_KEEPER_OWN);
	assert_int_equal(s.slot[FNS_KEEPER_SLOT_MC].state, FNS_KEEPER_OWN);
}

static void longest_idle_comes_next(void **state)
{
	struct fns_keeper_slots s;

	fns_keeper_slots_init(&s, Q, 0);
	for (unsigned i = 1; i < FNS_KEEPER_SLOT_MC; i++)
		fns_keeper_slots_hold(&s, i, 1, 0, "", 1);
	fns_keeper_slots_free(&s, 9, 30);
	fns_keeper_slots_free(&s, 200, 10);
	fns_keeper_slots_free(&s, 3, 20);
	assert_int_equal(fns_keeper_slots_pick(&s), 200);
	fns_keeper_slots_hold(&s, 200, 1, 0, "", 40);
	assert_int_equal(fns_keeper_slots_pick(&s), 3);
}

static void never_used_comes_before_released(void **state)
{
	struct fns_keeper_slots s;

	fns_keeper_slots_init(&s, Q, 0);
	fns_keeper_slots_hold(&s, 1, 1, 0, "", 1);
	fns_keeper_slots_free(&s, 1, 2);
	assert_int_equal(fns_keeper_slots_pick(&s), 2);
	/* An orphan was somebody's, so it counts as used. */
	fns_keeper_slots_orphan(&s, 2, 3);
	fns_keeper_slots_free(&s, 2, 4);
	assert_int_equal(fns_keeper_slots_pick(&s), 3);
}

static void quarantine_ends_and_is_renewed_a_bounded_number_of_times(void **state)
{
	struct fns_keeper_slots s;
	uint64_t now = 50;
	unsigned rounds = 0;

	fns_keeper_slots_init(&s, Q, 0);
	assert_true(fns_keeper_slots_next_ns(&s) == UINT64_MAX);
	fns_keeper_slots_hold(&s, 4, 1, 0, "", 1);
	fns_keeper_slots_quarantine(&s, 4, now);
	assert_int_equal(s.held, 0);
	assert_int_equal(s.waiting, 1);
	assert_int_equal(fns_keeper_slots_next_ns(&s), now + Q);
	assert_int_equal(fns_keeper_slots_due(&s, 0, now + Q - 1), -1);
	assert_int_equal(fns_keeper_slots_due(&s, 0, now + Q), 4);
	assert_int_equal(fns_keeper_slots_due(&s, 4, now + Q), 4);
	assert_int_equal(fns_keeper_slots_due(&s, 5, now + Q), -1);
	while (fns_keeper_slots_renew(&s, 4, now += Q)) {
		rounds++;
		assert_int_equal(fns_keeper_slots_due(&s, 0, now + Q - 1), -1);
	}
	assert_int_equal(rounds, FNS_KEEPER_ROUNDS_MAX);
	fns_keeper_slots_free(&s, 4, now);
	assert_int_equal(s.waiting, 0);
	assert_true(fns_keeper_slots_next_ns(&s) == UINT64_MAX);
}

static void long_names_are_cut(void **state)
{
	struct fns_keeper_slots s;

	fns_keeper_slots_init(&s, Q, 0);
	fns_keeper_slots_hold(&s, 1, 1, 0, "a name much longer than sixteen", 1);
	assert_string_equal(s.slot[1].comm, "a name much lon");
}

/* Any history: the counts agree with a recount, and pick never hands out what is not free nor
 * misses what is. */
static void random_histories(void **state)
{
	struct fns_keeper_slots s;
	struct fns_rng r;
	uint64_t now = 1;

	fns_rng_seed(&r, 4791);
	fns_keeper_slots_init(&s, Q, now);
	for (int step = 0; step < 50000; step++) {
		unsigned held = 0, waiting = 0, p = 1 + (unsigned)fns_rng_below(&r, 254);
		uint64_t oldest = UINT64_MAX, next = UINT64_MAX;
		bool unused = false, any = false;
		int pick;

		now += fns_rng_below(&r, 300);
		switch (fns_rng_below(&r, 6)) {
		case 0:
		case 1:
		case 2:
			pick = fns_keeper_slots_pick(&s);
			if (pick >= 0)
				fns_keeper_slots_hold(&s, (unsigned)pick, 1, 0, "", now);
			break;
		case 3:
			if (s.slot[p].state == FNS_KEEPER_HELD)
				fns_keeper_slots_quarantine(&s, p, now);
			break;
		case 4:
			if (s.slot[p].state == FNS_KEEPER_HELD)
				fns_keeper_slots_free(&s, p, now);
			break;
		default:
			while ((pick = fns_keeper_slots_due(&s, 0, now)) >= 0) {
				assert_true(s.slot[pick].until_ns <= now);
				fns_keeper_slots_free(&s, (unsigned)pick, now);
			}
		}
		for (unsigned i = 1; i < FNS_KEEPER_SLOT_MC; i++) {
			const struct fns_keeper_slot *e = &s.slot[i];

			held += e->state == FNS_KEEPER_HELD;
			waiting += e->state == FNS_KEEPER_QUARANTINED;
			if (e->state == FNS_KEEPER_QUARANTINED && e->until_ns < next)
				next = e->until_ns;
			if (e->state != FNS_KEEPER_FREE)
				continue;
			any = true;
			unused |= !e->used;
			if (e->since_ns < oldest)
				oldest = e->since_ns;
		}
		assert_int_equal(held, s.held);
		assert_int_equal(waiting, s.waiting);
		assert_true(next == fns_keeper_slots_next_ns(&s));
		pick = fns_keeper_slots_pick(&s);
		assert_true((pick >= 0) == any);
		if (pick >= 0 && unused)
			assert_false(s.slot[pick].used);
		else if (pick >= 0)
			assert_true(s.slot[pick].since_ns == oldest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fresh_slots_come_in_order),
		cmocka_unit_test(longest_idle_comes_next),
		cmocka_unit_test(never_used_comes_before_released),
		cmocka_unit_test(quarantine_ends_and_is_renewed_a_bounded_number_of_times),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
