/* SPDX-License-Identifier: Apache-2.0 */
/* The path shim's mapping: which paths it answers, and that it leaves all others as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "shim/path.h"

#define ROOT "/run/user/7/flexins/tree-1"

static void test_maps(void **state)
{
	static const char *const cases[][2] = {
		{"/sys/class/infiniband", ROOT "/sys/class/infiniband"},
		{"/sys/class/infiniband/", ROOT "/sys/class/infiniband/"},
		{"/sys/class/infiniband/flexins0", ROOT "/sys/class/infiniband/flexins0"},
		{"/sys/class/infiniband_verbs/uverbs0/dev",
			ROOT "/sys/class/infiniband_verbs/uverbs0/dev"},
		{"/dev/infiniband/uverbs0", ROOT "/dev/infiniband/uverbs0"},
		{"/dev/infiniband", ROOT "/dev/infiniband"},
		{"/sys/devices/virtual/flexins/flexins0/numa_node",
			ROOT "/sys/devices/virtual/flexins/flexins0/numa_node"},
		{"//sys///class/infiniband//x", ROOT "/sys/class/infiniband//x"},
	};
	char buf[FNS_SHIM_PATH_MAX];

	(void)state;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(cases); i++)
		assert_string_equal(fns_shim_path_map(ROOT, cases[i][0], buf), cases[i][1]);
}

static void test_leaves_alone(void **state)
{
	static const char *const cases[] = {"", "/", "/sys", "/sys/class", "/sys/class/infinib",
		"/sys/class/infiniband_mad", "/sys/class/infiniband2/x", "/sys/class/infinibandx",
		"/dev/infinibandx", "/dev/null", "sys/class/infiniband", "infiniband",
		"./infiniband", "/tmp/sys/class/infiniband", "/sys/devices/virtual/net/eth0"};
	char buf[FNS_SHIM_PATH_MAX];

	(void)state;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(cases); i++)
		assert_ptr_equal(fns_shim_path_map(ROOT, cases[i], buf), cases[i]);
	assert_null(fns_shim_path_map(ROOT, NULL, buf));
	assert_ptr_equal(fns_shim_path_map(NULL, cases[3], buf), cases[3]);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(cases); i++)
		assert_ptr_equal(fns_shim_path_map(NULL, cases[i], buf), cases[i]);
}

/* One byte below the limit maps, and what does not fit is left alone rather than cut. */
static void test_limit(void **state)
{
	char path[FNS_SHIM_PATH_MAX * 2], buf[FNS_SHIM_PATH_MAX];

	(void)state;
	for (size_t len = FNS_SHIM_PATH_MAX - 80; len < FNS_SHIM_PATH_MAX + 80; len++) {
		const char *got;

		memset(path, 'x', len);
		memcpy(path, "/dev/infiniband/", 16);
		path[len] = '\0';
		got = fns_shim_path_map(ROOT, path, buf);
		if (len + strlen(ROOT) < FNS_SHIM_PATH_MAX) {
			assert_ptr_equal(got, buf);
			assert_int_equal(strlen(buf), len + strlen(ROOT));
		} else {
			assert_ptr_equal(got, path);
		}
	}
}

static void test_unmap(void **state)
{
	static const char *const cases[][2] = {
		{ROOT "/sys/devices/virtual/flexins/flexins0",
			"/sys/devices/virtual/flexins/flexins0"},
		{ROOT "/dev/infiniband", "/dev/infiniband"},
		{ROOT, ROOT},
		{ROOT "/other", ROOT "/other"},
		{ROOT "2/sys/x", ROOT "2/sys/x"},
		{"/sys/class/net", "/sys/class/net"},
		{"/", "/"},
	};
	char path[256];

	(void)state;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(cases); i++) {
		snprintf(path, sizeof(path), "%s", cases[i][0]);
		fns_shim_path_unmap(ROOT, path);
		assert_string_equal(path, cases[i][1]);
		snprintf(path, sizeof(path), "%s", cases[i][0]);
		fns_shim_path_unmap(NULL, path);
		assert_string_equal(path, cases[i][0]);
	}
	fns_shim_path_unmap(ROOT, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_leaves_alone),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_unmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
