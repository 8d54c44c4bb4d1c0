/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters by name: every one has a default within its range and says where it comes from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smartnic/params.h"

static void defaults_are_within_their_ranges(void **state)
{
	struct fns_snic_params p;
	size_t i, k;

	memset(&p, 0xff, sizeof(p));
	fns_snic_params_default(&p);
	assert_int_equal(fns_snic_param_count * sizeof(uint32_t), sizeof(p));
	for (i = 0; i < fns_snic_param_count; i++) {
		const struct fns_snic_param_info *f = &fns_snic_param_info[i];

		assert_int_equal(fns_snic_param_value(&p, f), f->def);
		assert_true(f->min <= f->def && f->def <= f->max);
		assert_true(strlen(f->what) > 0 && strlen(f->source) > 0);
		for (k = 0; k < i; k++)
			assert_string_not_equal(f->name, fns_snic_param_info[k].name);
	}
}

static void each_is_set_by_name_to_its_limits(void **state)
{
	struct fns_snic_params p, other;
	char text[64], err[128];
	size_t i, k;

	for (i = 0; i < fns_snic_param_count; i++) {
		const struct fns_snic_param_info *f = &fns_snic_param_info[i];

		fns_snic_params_default(&p);
		snprintf(text, sizeof(text), "%s=%u", f->name, f->max);
		assert_true(fns_snic_params_set(&p, text, err, sizeof(err)));
		assert_int_equal(fns_snic_param_value(&p, f), f->max);
		fns_snic_params_default(&other);
		for (k = 0; k < fns_snic_param_count; k++)
			if (k != i)
				assert_int_equal(fns_snic_param_value(&p, &fns_snic_param_info[k]),
					fns_snic_param_value(&other, &fns_snic_param_info[k]));
		snprintf(text, sizeof(text), "%s=%llu", f->name, f->max + 1ull);
		assert_false(fns_snic_params_set(&p, text, err, sizeof(err)));
		assert_non_null(strstr(err, f->name));
		assert_int_equal(fns_snic_param_value(&p, f), f->max);
	}
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = {"", "=", "=1", "nothing=1", "link_gbps",
		"link_gbps=", "link_gbps=x", "link_gbps=-1", "link_gbps=100x", "link_gbps= 100",
		"link_gbp=100", "link_gbpss=100", "link_gbps=99999999999999999999999",
		"link_gbps=4294967696"};
	struct fns_snic_params p, before;
	char err[128];
	size_t i;

	fns_snic_params_default(&before);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		p = before;
		err[0] = '\0';
		if (fns_snic_params_set(&p, bad[i], err, sizeof(err)))
			fail_msg("'%s' is accepted", bad[i]);
		assert_true(err[0] != '\0');
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_within_their_ranges),
		cmocka_unit_test(each_is_set_by_name_to_its_limits),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
