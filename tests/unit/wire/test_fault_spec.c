/* SPDX-License-Identifier: Apache-2.0 */
/* The text form of the rules of the fault wire: read, written, refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "wire/fault.h"

static void test_parse(void **s)
{
	struct fns_fault_spec p;
	char err[256];

	assert_int_equal(fns_fault_parse("loss=1%,reorder=3,dup=0.1%,corrupt=0.0000001%,delay=50us,"
					 "jitter=1.5ms,flap=1s/50ms,seed=7",
				 &p, err, sizeof(err)),
		0);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.seed, 7);
	assert_int_equal(p.rule[0].loss_ppb, 10000000);
	assert_int_equal(p.rule[0].dup_ppb, 1000000);
	assert_int_equal(p.rule[0].corrupt_ppb, 1);
	assert_int_equal(p.rule[0].reorder_by, 3);
	assert_int_equal(p.rule[0].reorder_ppb, 10000000);
	assert_int_equal(p.rule[0].delay_ns, 50000);
	assert_int_equal(p.rule[0].jitter_ns, 1500000);
	assert_int_equal(p.rule[0].flap_every_ns, 1000000000);
	assert_int_equal(p.rule[0].flap_down_ns, 50000000);
	assert_int_equal(p.rule[0].dir, FNS_FAULT_TX | FNS_FAULT_RX);
}

/* What it says goes in again as the same. */
static void test_format(void **s)
{
	static const char *const specs[] = {"loss=1%", "dir=tx,delay=1ns;qp=0xffffff,dup=100%",
		"peer=2001:db8::7,jitter=60s;peer=192.0.2.1,corrupt=12.3456789%", "dir=both;dir=rx",
		"reorder=64/0.5%,flap=2s/999ms,seed=123456789012345"};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(specs); i++) {
		struct fns_fault_spec a, b;
		char err[256], text[FNS_FAULT_TEXT_MAX];

		memset(&a, 0, sizeof(a));
		memset(&b, 0, sizeof(b));
		assert_int_equal(fns_fault_parse(specs[i], &a, err, sizeof(err)), 0);
		fns_fault_format(&a, text, sizeof(text));
		assert_int_equal(fns_fault_parse(text, &b, err, sizeof(err)), 0);
		assert_memory_equal(&a, &b, sizeof(a));
		for (size_t len = 1; len < strlen(text); len++) {
			char small[64];

			memset(small, 'x', sizeof(small));
			fns_fault_format(&a, small, FNS_MIN(len, sizeof(small)));
			assert_in_range(strlen(small), 0, FNS_MIN(len, sizeof(small)) - 1);
		}
	}
}

static void test_parse_refuses(void **s)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{"", "expected KEY=VALUE"},
		{"loss", "expected a value"},
		{"los=1%", "no fault 'los'"},
		{"loss=1", "loss='1': expected a percentage"},
		{"loss=101%", "percentage"},
		{"loss=1.00000001%", "percentage"},
		{"loss=-1%", "percentage"},
		{"dup=%", "dup="},
		{"loss=1%,loss=2%", "twice"},
		{"loss=1%,,dup=1%", "between two separators"},
		{"delay=5", "delay='5': expected a time"},
		{"delay=61s", "up to 60s"},
		{"delay=5 us", "time"},
		{"delay=1..5us", "time"},
		{"delay=99999999999999999999s", "time"},
		{"jitter=us", "jitter="},
		{"reorder=0", "1 to 64"},
		{"reorder=65", "1 to 64"},
		{"reorder=3/5", "3/5%"},
		{"flap=1s", "flap='1s': expected a period"},
		{"flap=1s/1s", "period"},
		{"flap=50ms/1s", "period"},
		{"flap=1s/0s", "period"},
		{"seed=x", "number"},
		{"seed=1234567890123456", "15 digits"},
		{"dir=up", "expected tx, rx or both"},
		{"peer=192.0.2", "address"},
		{"qp=0", "queue pair"},
		{"qp=0x1000000", "queue pair"},
		{"qp=12x", "queue pair"},
		{"peer=00000000000000000000000000000000000000000000000000000000000000000000",
			"too long"},
		{"dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%",
			"more than 8 rules"},
	};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		struct fns_fault_spec p, before;
		char err[256] = "";

		memset(&p, 0x5a, sizeof(p));
		before = p;
		assert_int_equal(fns_fault_parse(bad[i].text, &p, err, sizeof(err)), -EINVAL);
		if (!strstr(err, bad[i].word))
			fail_msg("'%s': '%s' does not hold '%s'", bad[i].text, err, bad[i].word);
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_parse_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
