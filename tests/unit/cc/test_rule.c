/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a congestion control is for, as users write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/util.h"
#include "cc/rule.h"

static const char *parse(const char *text, struct fns_cc_who *who)
{
	char err[128] = "";
	const char *rest = fns_cc_who_parse(text, who, err, sizeof(err));

	assert_true((rest == NULL) == (err[0] != '\0'));
	return rest;
}

static void everybody(void **state)
{
	struct fns_cc_who w = {.by_peer = true};

	assert_string_equal(parse("swift:target_us=9", &w), "swift:target_us=9");
	assert_true(!w.by_peer && !w.iface[0]);
}

static void peers(void **state)
{
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 7};
	static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};
	struct fns_cc_who w;

	assert_string_equal(parse("peer=192.0.2.7:swift:x=1,y=2", &w), "swift:x=1,y=2");
	assert_true(w.by_peer);
	assert_memory_equal(w.peer.b, v4, 16);
	assert_string_equal(parse("peer=[192.0.2.7]:./a.so", &w), "./a.so");
	assert_memory_equal(w.peer.b, v4, 16);
	assert_string_equal(parse("peer=[2001:db8::7]:dcqcn", &w), "dcqcn");
	assert_memory_equal(w.peer.b, v6, 16);
	assert_string_equal(parse("peer=[::ffff:192.0.2.7]:dcqcn", &w), "dcqcn");
	assert_memory_equal(w.peer.b, v4, 16);
}

static void interfaces(void **state)
{
	struct fns_cc_who w;

	assert_string_equal(parse("iface=eth0:timely", &w), "timely");
	assert_string_equal(w.iface, "eth0");
	assert_string_equal(parse("iface=abcdefghijklmno:timely", &w), "timely");
}

static void nonsense(void **state)
{
	static const char *const bad[] = {"peer=", "peer=:swift", "peer=192.0.2.7",
		"peer=192.0.2.7:", "peer=2001:db8::7:swift", "peer=[2001:db8::7:swift",
		"peer=[2001:db8::7]swift", "peer=[]:swift", "peer=host:swift",
		"peer=192.0.2.777:swift", "iface=", "iface=eth0", "iface=:swift",
		"iface=abcdefghijklmnop:swift",
		"peer=1111111111111111111111111111111111111111111111111111111111111111:swift"};
	struct fns_cc_who w = {.iface = "as was"};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++)
		assert_null(parse(bad[i], &w));
	assert_string_equal(w.iface, "as was");
}

static void lists(void **state)
{
	const char *list = ";;peer=192.0.2.7:swift;iface=lo:dcqcn;";
	char rule[64];

	assert_true(fns_cc_rule_next(&list, rule, sizeof(rule)));
	assert_string_equal(rule, "peer=192.0.2.7:swift");
	assert_true(fns_cc_rule_next(&list, rule, sizeof(rule)));
	assert_string_equal(rule, "iface=lo:dcqcn");
	assert_false(fns_cc_rule_next(&list, rule, sizeof(rule)));
	list = "longer than there is room for";
	assert_false(fns_cc_rule_next(&list, rule, 8));
}

static void files(void **state)
{
	assert_int_equal(fns_cc_path_length("./a.so:x=1"), 6);
	assert_int_equal(fns_cc_path_length("/a"), 2);
	assert_int_equal(fns_cc_path_length("swift"), 0);
	assert_int_equal(fns_cc_path_length("swift:x=/"), 0);
	assert_int_equal(fns_cc_path_length(""), 0);
	assert_int_equal(fns_cc_path_length(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody),
		cmocka_unit_test(peers),
		cmocka_unit_test(interfaces),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(lists),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
