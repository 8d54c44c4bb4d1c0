/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eBPF programs: what runs and gives what it should, compiled and interpreted; what is refused, and
 * with which words; object files that are damaged anywhere. Programs are prog.c, in the folder
 * named by the argument. Skipped without librte_bpf or without clang.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "bpf/bpf.h"

static const char *dir = ".";

static uint64_t add(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	return a + b;
}

static uint64_t sum(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	const uint64_t *four = (const uint64_t *)(uintptr_t)a;

	return four[0] + four[1] + four[2] + four[3];
}

static const struct fns_bpf_helper helpers[] = {
	{.name = "helper_add", .fn = add, .nargs = 2},
	{.name = "helper_sum", .fn = sum, .nargs = 1, .arg_bytes = {32}},
};

static uint8_t object[65536];

/* Length of program NAME; skips the test when there is none. */
static size_t get(const char *name)
{
	char path[4096], err[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.o", dir, name);
	f = fopen(path, "rb");
	if (!f || !fns_bpf_available(err, sizeof(err))) {
		print_message("%s\n", f ? err : "no clang, so no eBPF programs");
		if (f)
			fclose(f);
		skip();
	}
	n = fread(object, 1, sizeof(object), f);
	fclose(f);
	return n;
}

static struct fns_bpf *load(const void *elf, size_t len, const char *section, char err[256])
{
	return fns_bpf_load(&(struct fns_bpf_cfg){.elf = elf,
				    .len = len,
				    .section = section,
				    .ctx_bytes = 512,
				    .helpers = helpers,
				    .nhelpers = FNS_ARRAY_SIZE(helpers)},
		err, 256);
}

static void a_program_runs(void **state)
{
	size_t n = get("GOOD");
	uint64_t ctx[64] = {14};
	char err[256] = "";
	struct fns_bpf *p = load(object, n, "prog", err);

	assert_string_equal(err, "");
	assert_non_null(p);
	assert_int_equal(fns_bpf_run(p, ctx), 43);
	assert_int_equal(ctx[1], 42);
	ctx[0] = 5;
	assert_int_equal(fns_bpf_interpret(p, ctx), 16);
	assert_int_equal(ctx[1], 15);
#ifdef __x86_64__
	assert_non_null(p->jit);
#endif
	fns_bpf_destroy(p);
	fns_bpf_destroy(NULL);
}

static void helpers_are_called_by_name(void **state)
{
	size_t n = get("HELPERS");
	uint64_t ctx[64] = {1, 2, 3, [60] = 100, 200, 300, 400};
	char err[256] = "";
	struct fns_bpf *p = load(object, n, "prog", err);

	assert_string_equal(err, "");
	assert_non_null(p);
	assert_int_equal(fns_bpf_run(p, ctx), 8 + 10 + 1000);
	assert_int_equal(fns_bpf_interpret(p, ctx), 8 + 10 + 1000);
	fns_bpf_destroy(p);
}

/* By a number that only the run knows: no trap. */
static void division_by_zero_is_no_crash(void **state)
{
	size_t n = get("DIVIDE");
	uint64_t ctx[64] = {42, 6};
	char err[256] = "";
	struct fns_bpf *p = load(object, n, "prog", err);

	assert_non_null(p);
	assert_int_equal(fns_bpf_run(p, ctx), 7);
	ctx[1] = 0;
	assert_int_equal(fns_bpf_run(p, ctx), 0);
	fns_bpf_destroy(p);
}

/* An index that the run knows, but whose bounds the verifier sees. */
static void bounded_index(void **state)
{
	size_t n = get("INDEX_BOUND");
	uint64_t ctx[64] = {63 + 64, [63] = 7};
	char err[256] = "";
	struct fns_bpf *p = load(object, n, "prog", err);

	assert_string_equal(err, "");
	assert_non_null(p);
	assert_int_equal(fns_bpf_run(p, ctx), 7);
	fns_bpf_destroy(p);
}

static void refusals_say_why(void **state)
{
	static const struct {
		const char *name, *word;
	} bad[] = {
		{"LOOP", "loop"},
		{"BEYOND", "memory boundary"},
		{"WRITE_BEYOND", "memory boundary"},
		{"BEFORE", "memory boundary"},
		{"INDEX", "memory boundary"},
		{"INDEX_FAR", "the verifier refuses it: "},
		{"ESCAPE", "the verifier refuses it: "},
		{"POINTER", "the verifier refuses it: "},
		{"UNKNOWN", "'helper_unknown', which is no helper"},
		{"NUMBER", "by number"},
		{"HELPER_BEYOND", "the verifier refuses it: "},
		{"TABLE", "memory of its own"},
		{"FUNCTION", "inlined"},
		{"PATHS", "too many paths"},
	};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		size_t n = get(bad[i].name);
		char err[256] = "";

		assert_null(load(object, n, "prog", err));
		print_message("%s: %s\n", bad[i].name, err);
		if (!strstr(err, bad[i].word))
			fail_msg("%s: '%s'", bad[i].name, err);
	}
}

static void files_that_are_no_programs(void **state)
{
	size_t n = get("GOOD"), bytes = 0;
	char err[256] = "";
	const char *about;

	assert_null(load(object, n, "other", err));
	assert_non_null(strstr(err, "no section 'other'"));
	assert_null(load(object, n, "about", err));
	assert_non_null(strstr(err, "no code"));
	assert_null(load("", 0, "prog", err));
	assert_non_null(strstr(err, "not an eBPF object"));
	assert_null(load("#!/bin/sh\necho hello, this is a text and longer than a header of ELF\n",
		64, "prog", err));
	assert_non_null(strstr(err, "not an eBPF object"));
	about = fns_bpf_section(object, n, "about", &bytes, err, sizeof(err));
	assert_non_null(about);
	assert_int_equal(bytes, 8);
	assert_string_equal(about, "test");
	assert_null(fns_bpf_section(object, n, "abou", &bytes, err, sizeof(err)));
}

/* Nothing that a file says is believed: under sanitizers, no byte outside is touched. */
static void damaged_files(void **state)
{
	size_t n = get("HELPERS");
	struct fns_rng rng;
	unsigned loaded = 0, refused = 0;

	fns_rng_seed(&rng, 1);
	for (unsigned i = 0; i < 4000; i++) {
		/* Of its exact size, so that a step too far is seen. */
		size_t len = i % 8 ? n : (size_t)fns_rng_below(&rng, n);
		uint8_t *copy = malloc(len ? len : 1);
		char err[256] = "";
		struct fns_bpf *p;
		size_t bytes;

		assert_non_null(copy);
		memcpy(copy, object, len);
		for (uint64_t k = 1 + fns_rng_below(&rng, 3); len && k; k--) {
			size_t at = (size_t)fns_rng_below(&rng, i % 2 ? len : FNS_MIN(len, 64));

			copy[at] = (uint8_t)fns_rng_u64(&rng);
		}
		(void)fns_bpf_section(copy, len, "about", &bytes, err, sizeof(err));
		err[0] = '\0';
		p = load(copy, len, "prog", err);
		if (p)
			loaded++;
		else {
			refused++;
			assert_true(err[0] != '\0');
		}
		fns_bpf_destroy(p);
		free(copy);
	}
	assert_true(loaded > 100 && refused > 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_runs),
		cmocka_unit_test(helpers_are_called_by_name),
		cmocka_unit_test(division_by_zero_is_no_crash),
		cmocka_unit_test(bounded_index),
		cmocka_unit_test(refusals_say_why),
		cmocka_unit_test(files_that_are_no_programs),
		cmocka_unit_test(damaged_files),
	};

	if (argc > 1)
		dir = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
