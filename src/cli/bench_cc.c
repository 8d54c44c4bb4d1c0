/* SPDX-License-Identifier: Apache-2.0 */
/* flexins bench cc: what an event costs in each congestion control, in each form. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "bench/cc.h"
#include "cc/load.h"
#include "cc/rule.h"
#include "cli/bench.h"
#include "cli/cli.h"

#define CCS_MAX  32u
#define SECS_MAX 60ul

static const char help[] =
	"Usage: flexins bench cc [--cc=NAME|FILE[:PARAM=N,...]]... [--seconds=N] [--json]\n"
	"\n"
	"Deliver the events of a busy queue pair to congestion controls, and show what one event costs: ns,\n"
	"the median of 21 runs and the quarter of them below and above. aimd is the worked example of the\n"
	"sources, linked in: give it as a file too (examples/cc/) to compare the forms of one algorithm.\n"
	"\n"
	"Options:\n"
	"  --cc=NAME|FILE  one to measure (may be repeated; without it all that are built in, and aimd)\n"
	"  --seconds=N     measure each for about N seconds, 1 to 60 (default: 1)\n"
	"  --json          machine-readable\n"
	"  --help          print this text\n";

struct opts {
	struct fns_cc_choice cc[CCS_MAX];
	char form[CCS_MAX][16];
	unsigned n;
	uint32_t seconds;
	bool json;
};

static void add(struct opts *o, const struct fns_cc_choice *c, const char *form)
{
	o->cc[o->n] = *c;
	snprintf(o->form[o->n++], sizeof(o->form[0]), "%s", form);
}

static int add_given(struct opts *o, const char *text)
{
	enum fns_cc_kind kind = FNS_CC_SHARED_OBJECT;
	const struct fns_cc_ops *ops;
	struct fns_cc_choice c;
	char err[512];

	if (o->n == CCS_MAX)
		return fns_cli_error(FNS_EXIT_USAGE, "--cc: at most %u of them", CCS_MAX);
	if (strcmp(text, "aimd") == 0) {
		fns_cc_default(&fns_cc_aimd, &c);
		add(o, &c, "linked in");
		return 0;
	}
	if (!fns_cc_choose_path(text, &c, err, sizeof(err)))
		return fns_cli_error(FNS_EXIT_USAGE, "--cc: %s", err);
	for (unsigned i = 0; (ops = fns_cc_loaded_at(i, NULL, &kind)) != NULL && ops != c.ops; i++)
		;
	add(o, &c, ops == NULL ? "built in" : kind == FNS_CC_EBPF ? "eBPF" : "shared object");
	return 0;
}

/* 0; an exit code; or -1 when the help was asked for. */
static int parse(int argc, char **argv, struct opts *o)
{
	static const struct option options[] = {
		{"cc", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 't'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			rc = add_given(o, optarg);
			break;
		case 't':
			rc = fns_cli_number("--seconds", optarg, SECS_MAX, &o->seconds);
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("bench cc", c, argv);
		}
	}
	if (rc == 0 && optind < argc)
		return fns_cli_error(
			FNS_EXIT_USAGE, "bench cc takes options only, not '%s'", argv[optind]);
	return rc;
}

int fns_cli_bench_cc(int argc, char **argv)
{
	struct opts o = {.seconds = 1};
	struct fns_bench_cc r;
	char text[128];
	int rc = parse(argc, argv, &o);

	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	for (unsigned i = 0; rc == 0 && o.n == i && fns_cc_at(i); i++)
		rc = add_given(&o, fns_cc_at(i)->name);
	if (rc == 0 && fns_cc_at(o.n) == NULL && o.n && o.cc[0].ops == fns_cc_at(0))
		rc = add_given(&o, "aimd");
	if (rc != 0)
		return rc;
	if (o.json)
		printf("[");
	else
		printf("%-32s %-14s %10s %18s\n", "congestion control", "form", "ns/event",
			"quartiles");
	for (unsigned i = 0; i < o.n; i++) {
		fns_bench_cc(&o.cc[i], o.seconds, &r);
		fns_cc_print(&o.cc[i], text, sizeof(text));
		if (o.json)
			printf("%s\n  {\"cc\": \"%s\", \"form\": \"%s\", \"ns\": %.2f, \"ns_low\": %.2f, "
			       "\"ns_high\": %.2f, \"refused\": %llu}",
				i ? "," : "", text, o.form[i], r.ns, r.ns_low, r.ns_high,
				(unsigned long long)r.refused);
		else
			printf("%-32s %-14s %10.2f %8.2f to %6.2f\n", text, o.form[i], r.ns,
				r.ns_low, r.ns_high);
	}
	if (o.json)
		printf("\n]\n");
	return FNS_EXIT_OK;
}
