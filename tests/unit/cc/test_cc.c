/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a congestion control by name and parameters, the rules of tables, and the guard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/util.h"
#include "cc/cc.h"

static void tables_are_sound(void **state)
{
	unsigned n;

	for (n = 0; fns_cc_at(n); n++) {
		const struct fns_cc_ops *ops = fns_cc_at(n);
		struct fns_cc_choice c;
		char err[256], text[96];

		assert_null(fns_cc_ops_fault(ops));
		for (unsigned i = 0; i < n; i++)
			assert_string_not_equal(fns_cc_at(i)->name, ops->name);
		assert_true(fns_cc_parse(ops->name, &c, err, sizeof(err)));
		assert_ptr_equal(c.ops, ops);
		for (uint32_t i = 0; i < ops->nparams; i++)
			assert_true(c.param[i] == ops->params[i].def);
		fns_cc_print(&c, text, sizeof(text));
		assert_string_equal(text, ops->name);
	}
	assert_ptr_equal(fns_cc_at(0), &fns_cc_static_window);
}

static void faults_of_tables_are_found(void **state)
{
	static const struct fns_cc_param good = {"a", "b", "c", 1, 0, 2};
	static const struct fns_cc_param bad[] = {{"A", "b", "c", 1, 0, 2}, {"", "b", "c", 1, 0, 2},
		{NULL, "b", "c", 1, 0, 2}, {"a", NULL, "c", 1, 0, 2}, {"a", "b", NULL, 1, 0, 2},
		{"a", "b", "c", 1, 2, 2}, {"a", "b", "c", 3, 0, 2}};
	struct fns_cc_ops o = fns_cc_static_window;
	unsigned i;

#define BROKEN(field, value)                                                                       \
	do {                                                                                       \
		o = fns_cc_static_window;                                                          \
		o.field = value;                                                                   \
		assert_non_null(fns_cc_ops_fault(&o));                                             \
	} while (0)
	BROKEN(abi, FNS_CC_ABI + 1);
	BROKEN(size, sizeof(o) - 8);
	BROKEN(name, NULL);
	BROKEN(name, "");
	BROKEN(name, "a:b");
	BROKEN(text, NULL);
	BROKEN(events, 0);
	BROKEN(events, FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_EVENTS));
	BROKEN(flags, 2);
	BROKEN(state_bytes, FNS_CC_STATE_BYTES + 1);
	BROKEN(nparams, 1);
	BROKEN(nparams, FNS_CC_PARAMS + 1);
	BROKEN(on_event, NULL);
#undef BROKEN
	o = fns_cc_static_window;
	o.nparams = 1;
	o.params = &good;
	assert_null(fns_cc_ops_fault(&o));
	for (i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		o.params = &bad[i];
		assert_non_null(fns_cc_ops_fault(&o));
	}
}

static void names_and_refusals(void **state)
{
	static const struct {
		const char *text, *err;
	} bad[] = {{"vegas", "no congestion control 'vegas'; there are: static_window"},
		{":", "no congestion control ''"}, {"static", "no congestion control 'static'"},
		{"static_window:", "static_window has no parameters"},
		{"static_window:x=1", "static_window has no parameters"}};
	struct fns_cc_choice c = {.ops = NULL};
	char err[256], tiny[8];

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		assert_false(fns_cc_parse(bad[i].text, &c, err, sizeof(err)));
		assert_non_null(strstr(err, bad[i].err));
		assert_null(c.ops);
		assert_false(fns_cc_parse(bad[i].text, &c, tiny, sizeof(tiny)));
		assert_true(strlen(tiny) < sizeof(tiny));
	}
	assert_true(fns_cc_parse(NULL, &c, err, sizeof(err)));
	assert_ptr_equal(c.ops, &fns_cc_static_window);
	c.ops = NULL;
	assert_true(fns_cc_parse("", &c, err, sizeof(err)));
	assert_ptr_equal(c.ops, &fns_cc_static_window);
}

static void parameters_by_name(void **state)
{
	static const struct {
		const char *text, *err;
	} bad[] = {{"swift:target=5", "swift has no parameter 'target'; it has: target_us, hop_ns"},
		{"swift:", "swift has no parameter ''"},
		{"swift:target_us", "expected target_us=N"},
		{"swift:target_us=", "expected target_us=N"},
		{"swift:target_us=0", "from 1 to 1000000 us (default 50)"},
		{"swift:target_us=1000001", "expected target_us=N"},
		{"swift:target_us=-1", "expected target_us=N"},
		{"swift:target_us=5x", "expected target_us=N"},
		{"swift:target_us=99999999999999999999", "expected target_us=N"},
		{"swift:target_us=5,", "swift has no parameter ''"},
		{"swift,target_us=5", "no congestion control 'swift,target_us=5'"}};
	struct fns_cc_choice c = {.ops = NULL};
	char err[512], text[64];

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		assert_false(fns_cc_parse(bad[i].text, &c, err, sizeof(err)));
		if (!strstr(err, bad[i].err))
			fail_msg("%s: %s", bad[i].text, err);
		assert_null(c.ops);
	}
	assert_true(fns_cc_parse("swift:max_cwnd=7,target_us=60,target_us=61", &c, err, 1));
	assert_ptr_equal(c.ops, &fns_cc_swift);
	fns_cc_print(&c, text, sizeof(text));
	assert_string_equal(text, "swift:target_us=61,max_cwnd=7");
	fns_cc_print(&c, text, 10);
	assert_string_equal(text, "swift:tar");
}

static void the_guard_refuses_slot_by_slot(void **state)
{
	const struct fns_cc_out had = {.window_bytes = 1000, .rate_bps = 5000000, .timer_ns = 77};
	static const uint64_t bad_rate[] = {
		0, 1, FNS_CC_RATE_MIN - 1, FNS_CC_RATE_MAX + 1, FNS_CC_UNLIMITED - 1};
	static const uint64_t good_rate[] = {FNS_CC_RATE_MIN, FNS_CC_RATE_MAX, FNS_CC_UNLIMITED};
	const uint64_t now = 1000000;
	struct fns_cc_out out;
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(bad_rate); i++) {
		out = (struct fns_cc_out){.window_bytes = 9,
			.rate_bps = bad_rate[i],
			.timer_ns = FNS_CC_NEVER,
			.path_hint = 3};
		assert_int_equal(fns_cc_guard(&had, &out, now), 1);
		assert_true(out.rate_bps == had.rate_bps && out.window_bytes == 9);
		assert_true(out.timer_ns == FNS_CC_NEVER && out.path_hint == 3);
	}
	for (i = 0; i < FNS_ARRAY_SIZE(good_rate); i++) {
		out = (struct fns_cc_out){1, good_rate[i], now + FNS_CC_TIMER_MIN_NS, 0, 0};
		assert_int_equal(fns_cc_guard(&had, &out, now), 0);
		assert_true(out.rate_bps == good_rate[i] && out.window_bytes == 1);
		assert_true(out.timer_ns == now + FNS_CC_TIMER_MIN_NS);
	}
	out = (struct fns_cc_out){0, FNS_CC_UNLIMITED, now, 0, 0};
	assert_int_equal(fns_cc_guard(&had, &out, now), 1);
	assert_true(out.window_bytes == had.window_bytes && out.rate_bps == FNS_CC_UNLIMITED);
	assert_true(out.timer_ns == now + FNS_CC_TIMER_MIN_NS); /* soon: no fault */
	out = (struct fns_cc_out){0, 0, now - 1, 0, 0};
	assert_int_equal(fns_cc_guard(&had, &out, now), 3);
	assert_true(out.timer_ns == now + FNS_CC_TIMER_MIN_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_sound),
		cmocka_unit_test(faults_of_tables_are_found),
		cmocka_unit_test(names_and_refusals),
		cmocka_unit_test(parameters_by_name),
		cmocka_unit_test(the_guard_refuses_slot_by_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
