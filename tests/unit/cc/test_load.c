/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plug-ins: the example as shared object and as eBPF behaves as it does built in; whatever is wrong
 * with a file is said, and nothing of it is kept. Arguments: where plugin.c's and where the
 * example's files are. Without clang or librte_bpf, the eBPF half is skipped, with a word.
 */
#include "drive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/bpf.h"
#include "cc/load.h"

extern const struct fns_cc_ops fns_cc_aimd;
static const char *plugins = ".", *examples = ".";

static bool have_ebpf(void)
{
	char path[4096], err[256];

	snprintf(path, sizeof(path), "%s/aimd.o", examples);
	if (access(path, R_OK) < 0)
		print_message("no clang, so no eBPF plug-ins\n");
	else if (!fns_bpf_available(err, sizeof(err)))
		print_message("%s\n", err);
	else
		return true;
	return false;
}

static const struct fns_cc_ops *example(const char *kind)
{
	char path[4096], err[512] = "";
	const struct fns_cc_ops *ops;

	snprintf(path, sizeof(path), "%s/aimd.%s", examples, kind);
	ops = fns_cc_load_path(path, err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(ops);
	return ops;
}

/* What the file says about itself is what the table of the built-in says. */
static void same_table(const struct fns_cc_ops *a, const struct fns_cc_ops *b)
{
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->text, b->text);
	assert_int_equal(a->events, b->events);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->state_bytes, b->state_bytes);
	assert_int_equal(a->nparams, b->nparams);
	for (uint32_t i = 0; i < a->nparams; i++) {
		assert_string_equal(a->params[i].name, b->params[i].name);
		assert_string_equal(a->params[i].unit, b->params[i].unit);
		assert_string_equal(a->params[i].text, b->params[i].text);
		assert_true(a->params[i].def == b->params[i].def);
		assert_true(a->params[i].min == b->params[i].min);
		assert_true(a->params[i].max == b->params[i].max);
	}
}

/* The same events into both: the same comes out of both, always. */
static void same_behaviour(const struct fns_cc_ops *a, const struct fns_cc_ops *b)
{
	struct fns_cc_choice ca, cb;
	struct fns_cc_ctx xa = {.self = a}, xb = {.self = b};
	struct fns_cc_out oa = {FNS_CC_UNLIMITED, FNS_CC_UNLIMITED, FNS_CC_NEVER, 0, 0}, ob = oa;
	struct fns_cc_hop hop[FNS_CC_HOPS] = {{0}};
	uint64_t now = 1000;
	struct fns_rng rng;

	fns_rng_seed(&rng, 5);
	fns_cc_default(a, &ca);
	fns_cc_default(b, &cb);
	xa.param = ca.param;
	xb.param = cb.param;
	for (unsigned i = 0; i < 20000; i++) {
		struct fns_cc_event ev = {
			.type = i ? 1 + (uint32_t)fns_rng_below(&rng, FNS_CC_EVENTS - 1)
				  : FNS_CC_INIT,
			.mtu_bytes = 1024,
			.now_ns = now += fns_rng_below(&rng, 100000),
			.bytes = fns_rng_u64(&rng) >> (40 + fns_rng_below(&rng, 20)),
			.rtt_ns = fns_rng_u64(&rng) >> (40 + fns_rng_below(&rng, 20)),
			.inflight = 7,
			.hops = hop};

		if (!(a->events & FNS_CC_ON(ev.type)))
			continue;
		a->on_event(&xa, &ev, &oa);
		b->on_event(&xb, &ev, &ob);
		assert_memory_equal(&oa, &ob, sizeof(oa));
		assert_memory_equal(xa.state, xb.state, sizeof(xa.state));
	}
	assert_int_not_equal(oa.window_bytes, FNS_CC_UNLIMITED);
}

static void the_example_as_shared_object(void **state)
{
	const struct fns_cc_ops *ops = example("so");

	same_table(ops, &fns_cc_aimd);
	same_behaviour(ops, &fns_cc_aimd);
	/* The same file again is the same. */
	assert_ptr_equal(example("so"), ops);
}

static void the_example_as_ebpf(void **state)
{
	const struct fns_cc_ops *ops;

	if (!have_ebpf())
		skip();
	ops = example("o");
	same_table(ops, &fns_cc_aimd);
	same_behaviour(ops, &fns_cc_aimd);
	assert_ptr_equal(example("o"), ops);
}

static void the_newest_has_the_name(void **state)
{
	const struct fns_cc_ops *so = example("so"), *o;
	struct fns_cc_choice c;
	char err[512] = "", text[4200];
	enum fns_cc_kind kind;
	const char *from;

	assert_true(fns_cc_choose("aimd:cut_percent=50", &c, err, sizeof(err)));
	if (!have_ebpf())
		skip();
	o = example("o");
	assert_true(fns_cc_choose("aimd:cut_percent=50", &c, err, sizeof(err)));
	assert_ptr_equal(c.ops, o);
	assert_int_equal(c.param[5], 50);
	assert_ptr_equal(fns_cc_loaded_at(0, &from, &kind), o);
	assert_int_equal(kind, FNS_CC_EBPF);
	assert_non_null(strstr(from, "aimd.o"));
	assert_ptr_equal(example("so"), so);
	assert_true(fns_cc_choose("aimd", &c, err, sizeof(err)));
	assert_ptr_equal(c.ops, so);
	/* By path, with parameters. */
	snprintf(text, sizeof(text), "%s/aimd.o:target_us=80,start_kib=1", examples);
	assert_true(fns_cc_choose_path(text, &c, err, sizeof(err)));
	assert_ptr_equal(c.ops, o);
	assert_int_equal(c.param[3], 80);
	fns_cc_print(&c, text, sizeof(text));
	assert_string_equal(text, "aimd:start_kib=1,target_us=80");
	/* Names are still names, and who may not name files cannot. */
	assert_true(fns_cc_choose_path("swift", &c, err, sizeof(err)));
	assert_ptr_equal(c.ops, &fns_cc_swift);
	snprintf(text, sizeof(text), "%s/aimd.o", examples);
	assert_false(fns_cc_choose(text, &c, err, sizeof(err)));
	assert_false(fns_cc_parse("aimd", &c, err, sizeof(err)));
}

/* Refused, with these words; what there was is still there. */
static void refused(const char *name, const char *kind, const char *word)
{
	struct fns_cc_choice c = {.ops = &fns_cc_timely};
	const struct fns_cc_ops *newest = fns_cc_loaded_at(0, NULL, NULL);
	char text[4200], err[512] = "";

	snprintf(text, sizeof(text), "%s/plugin_%s.%s:some=2", plugins, name, kind);
	assert_false(fns_cc_choose_path(text, &c, err, sizeof(err)));
	print_message("%s\n", err + strlen(plugins) + 1);
	assert_ptr_equal(c.ops, &fns_cc_timely);
	assert_ptr_equal(fns_cc_loaded_at(0, NULL, NULL), newest);
	if (!strstr(err, word))
		fail_msg("%s", err);
}

static void tables_that_are_refused(void **state)
{
	refused("ABI", "so", "another version of the interface");
	refused("CLASH", "so", "built-in has this name");
	refused("EVENTS", "so", "FNS_CC_INIT");
	refused("NONE", "so", "no symbol 'fns_cc_plugin'");
	refused("RANGE", "so", "default out of range");
	refused("STATE", "so", "state is too large");
	refused("MISSING", "so", "No such file");
	if (!have_ebpf())
		skip();
	refused("ABI", "o", "made for version 77");
	refused("CLASH", "o", "built-in has this name");
	refused("EVENTS", "o", "FNS_CC_INIT");
	refused("NONE", "o", "no section 'flexins_cc'");
	refused("RANGE", "o", "default out of range");
	refused("STATE", "o", "state is too large");
	refused("LOOP", "o", "loop");
	refused("BEYOND", "o", "verifier refuses");
}

static void parameters_that_are_refused(void **state)
{
	struct fns_cc_choice c = {.ops = &fns_cc_timely};
	char text[4200], err[512] = "";

	snprintf(text, sizeof(text), "%s/aimd.so:cut_percent=100", examples);
	assert_false(fns_cc_choose_path(text, &c, err, sizeof(err)));
	assert_non_null(strstr(err, "from 1 to 99"));
	snprintf(text, sizeof(text), "%s/aimd.so:other=1", examples);
	assert_false(fns_cc_choose_path(text, &c, err, sizeof(err)));
	assert_non_null(strstr(err, "no parameter 'other'"));
	assert_ptr_equal(c.ops, &fns_cc_timely);
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[sizeof(text) - 1] = '\0';
	assert_false(fns_cc_choose_path(text, &c, err, sizeof(err)));
	assert_non_null(strstr(err, "too long"));
	assert_false(fns_cc_choose_path("/dev/null:", &c, err, sizeof(err)));
	assert_non_null(strstr(err, "not a file"));
	assert_false(fns_cc_choose_path("/proc/self/status", &c, err, sizeof(err)));
}

/* The guard holds whatever a plug-in says; each piece of nonsense counts. */
static void nonsense_is_refused_and_counted(void **state)
{
	static const char *const kind[] = {"so", "o"};

	for (unsigned k = 0; k < (have_ebpf() ? 2 : 1); k++) {
		struct fns_cc_out had = {1000, FNS_CC_UNLIMITED, FNS_CC_NEVER, 0, 0}, out = had;
		struct fns_cc_choice c;
		struct fns_cc_ctx ctx = {0};
		char text[4200], err[512] = "";

		snprintf(text, sizeof(text), "%s/plugin_NONSENSE.%s", plugins, kind[k]);
		assert_true(fns_cc_choose_path(text, &c, err, sizeof(err)));
		ctx.param = c.param;
		ctx.self = c.ops;
		for (unsigned i = 0; i < 16; i++) {
			struct fns_cc_event ev = {.type = FNS_CC_ACK, .now_ns = 5000 + i};

			c.ops->on_event(&ctx, &ev, &out);
			assert_int_equal(fns_cc_guard(&had, &out, ev.now_ns), 1);
			assert_int_equal(out.window_bytes, 1000);
			assert_int_equal(out.rate_bps, FNS_CC_UNLIMITED);
			assert_true(out.timer_ns > ev.now_ns);
			out = had;
		}
	}
}

/* The whole event reaches an eBPF program, and hops that there are not are zero. */
static void telemetry_reaches_ebpf(void **state)
{
	struct fns_cc_hop hop[FNS_CC_HOPS] = {{.queue_bytes = 40}, [7] = {.link_bps = 2}};
	struct fns_cc_event ev = {.type = FNS_CC_ACK,
		.nhops = FNS_CC_HOPS,
		.hops = hop,
		.rtt_host_ns = 5,
		.ecn_bytes = 6};
	struct fns_cc_out out = {0};
	struct fns_cc_choice c;
	struct fns_cc_ctx ctx = {0};
	char text[4200], err[512] = "";

	if (!have_ebpf())
		skip();
	snprintf(text, sizeof(text), "%s/plugin_HOPS.o", plugins);
	assert_true(fns_cc_choose_path(text, &c, err, sizeof(err)));
	ctx.param = c.param;
	ctx.self = c.ops;
	c.ops->on_event(&ctx, &ev, &out);
	assert_int_equal(out.window_bytes, 42);
	assert_int_equal(out.path_hint, 11);
	assert_int_equal(ctx.state[0], 8);
	ev.nhops = 1;
	c.ops->on_event(&ctx, &ev, &out);
	assert_int_equal(out.window_bytes, 40);
}

/* A file that may still change is not taken from another process. */
static void only_sealed_files(void **state)
{
	char err[256] = "", path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/aimd.so", examples);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_null(fns_cc_load_fd(fd, "it", err, sizeof(err)));
	assert_non_null(strstr(err, "sealed"));
	close(fd);
	fd = fns_cc_load_seal(path, err, sizeof(err));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_non_null(fns_cc_load_fd(fd, "it", err, sizeof(err)));
	close(fd);
	assert_null(fns_cc_load_fd(-1, "it", err, sizeof(err)));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_as_shared_object),
		cmocka_unit_test(the_example_as_ebpf),
		cmocka_unit_test(the_newest_has_the_name),
		cmocka_unit_test(tables_that_are_refused),
		cmocka_unit_test(parameters_that_are_refused),
		cmocka_unit_test(nonsense_is_refused_and_counted),
		cmocka_unit_test(telemetry_reaches_ebpf),
		cmocka_unit_test(only_sealed_files),
	};

	if (argc > 2) {
		plugins = argv[1];
		examples = argv[2];
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
