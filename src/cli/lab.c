/* SPDX-License-Identifier: Apache-2.0 */
/* flexins lab: congestion controls side by side in the simulator. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cc/load.h"
#include "cli/cli.h"
#include "cli/lab.h"
#include "pipe/modes.h"

static const char help[] =
	"Usage: flexins lab SCENARIO [--cc=NAME[:PARAM=N,...]]... [--transport=gbn|irn]...\n"
	"                            [--seed=N] [--time=TIME] [--json[=FILE]] [--svg=FILE]\n"
	"       flexins lab --list\n"
	"\n"
	"Compare congestion controls in a simulated network. Engine, queue pairs and packets are those that\n"
	"programs run on; switches, links and time are simulated, so the figures are the same on every\n"
	"machine, to the digit, and nothing of it says how fast this machine is.\n"
	"\n"
	"Options:\n"
	"  --cc=NAME[:PARAM=N,...]  one to compare; again for the next; default: each that is built in. NAME\n"
	"                           with a '/' is a file, shared object or eBPF. What is not given of line_mbps, rtt_ns\n"
	"                           and min_rtt_us follows the scenario's network\n"
	"  --transport=gbn|irn      how losses are repaired: by going back N, as RoCEv2 and the papers have it\n"
	"                           (default), or selectively, as between FlexiNS hosts; again to compare both\n"
	"  --seed=N                 another run of the same kind (default 1)\n"
	"  --time=TIME              of the network, such as 500us, 20ms or 1s; default: the scenario's\n"
	"  --json[=FILE]            JSON with all time series, instead of tables, or into FILE besides them\n"
	"  --svg=FILE               draw rates, queues, shares and times, by gnuplot\n"
	"  --list                   list scenarios\n"
	"  --help                   print this text\n"
	"\n"
	"Examples:\n"
	"  flexins lab incast --cc=static_window --cc=swift --cc=hpcc\n"
	"  flexins lab websearch --cc=dcqcn --cc=dcqcn:timer_us=300 --seed=7 --svg=websearch.svg\n"
	"\n"
	"docs/lab.md says what is measured, and sets it beside the figures of the papers.\n";

struct opts {
	struct fns_lab_report rep;
	const char *cc[FNS_LAB_RUNS];
	unsigned ncc, ntransports;
	bool irn[2]; /* transports asked for */
	unsigned run_cc[FNS_LAB_RUNS], run_transport[FNS_LAB_RUNS];
	const char *svg, *json_file;
	bool json, list;
};

static int set_cc(const char *text, struct opts *o)
{
	struct fns_cc_choice c;
	char why[512];

	if (!fns_cc_choose_path(text, &c, why, sizeof(why)))
		return fns_cli_error(FNS_EXIT_USAGE, "--cc: %s", why);
	if (o->ncc == FNS_LAB_RUNS)
		return fns_cli_error(FNS_EXIT_USAGE, "--cc: at most %u at a time", FNS_LAB_RUNS);
	o->cc[o->ncc++] = text;
	return 0;
}

static int set_transport(const char *text, struct opts *o)
{
	bool irn;

	if (!fns_transport_parse(text, &irn))
		return fns_cli_error(FNS_EXIT_USAGE, "--transport='%s': expected gbn or irn", text);
	if (o->ntransports == 2 || (o->ntransports == 1 && o->irn[0] == irn))
		return fns_cli_error(FNS_EXIT_USAGE, "--transport=%s: twice", text);
	o->irn[o->ntransports++] = irn;
	return 0;
}

/* Each algorithm with each transport. */
static int combine(struct opts *o)
{
	for (unsigned i = 0; o->ncc == 0 && fns_cc_at(i) && i < FNS_LAB_RUNS; i++)
		o->cc[i] = fns_cc_at(i)->name;
	while (o->ncc < FNS_LAB_RUNS && o->cc[o->ncc])
		o->ncc++;
	o->ntransports = FNS_MAX(o->ntransports, 1u);
	if (o->ncc * o->ntransports > FNS_LAB_RUNS)
		return fns_cli_error(FNS_EXIT_USAGE, "lab: at most %u runs at a time, not %u",
			FNS_LAB_RUNS, o->ncc * o->ntransports);
	for (unsigned i = 0; i < o->ncc; i++)
		for (unsigned k = 0; k < o->ntransports; k++) {
			unsigned n = o->rep.n++;

			o->run_cc[n] = i;
			o->run_transport[n] = k;
			snprintf(o->rep.label[n], sizeof(o->rep.label[n]), "%s%s", o->cc[i],
				o->ntransports == 1 ? ""
				: o->irn[k]         ? " irn"
						    : " gbn");
		}
	return 0;
}

static int set_seed(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
		return fns_cli_error(FNS_EXIT_USAGE,
			"--seed='%s': expected a number, 0 to 18446744073709551615", text);
	return 0;
}

static int set_time(const char *text, uint64_t *out)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {{"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(units); i++)
		if (text[0] >= '0' && text[0] <= '9' && strcmp(end, units[i].unit) == 0 && v > 0 &&
			v <= 100ul * 1000000000ul / units[i].ns) {
			*out = v * units[i].ns;
			if (*out >= 100000)
				return 0;
		}
	return fns_cli_error(FNS_EXIT_USAGE,
		"--time='%s': expected a number with us, ms or s, from 100us to 100s", text);
}

static int set_scenario(int argc, char **argv, struct opts *o)
{
	if (optind + 1 < argc)
		return fns_cli_error(
			FNS_EXIT_USAGE, "lab: one scenario at a time, not '%s'", argv[optind + 1]);
	if (optind == argc)
		return fns_cli_error(FNS_EXIT_USAGE,
			"lab: expected a scenario (`flexins lab --list` lists them)");
	o->rep.scenario = lab_scenario_find(argv[optind]);
	if (!o->rep.scenario)
		return fns_cli_error(FNS_EXIT_USAGE,
			"lab: no scenario '%s' (`flexins lab --list` lists them)", argv[optind]);
	return 0;
}

/* 0, -1: help was asked for, or an exit code. */
static int parse(int argc, char **argv, struct opts *o)
{
	static const struct option options[] = {
		{"cc", required_argument, NULL, 'c'},
		{"transport", required_argument, NULL, 't'},
		{"seed", required_argument, NULL, 's'},
		{"time", required_argument, NULL, 'T'},
		{"json", optional_argument, NULL, 'j'},
		{"svg", required_argument, NULL, 'v'},
		{"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			rc = set_cc(optarg, o);
			break;
		case 't':
			rc = set_transport(optarg, o);
			break;
		case 's':
			rc = set_seed(optarg, &o->rep.seed);
			break;
		case 'T':
			rc = set_time(optarg, &o->rep.time_ns);
			break;
		case 'j':
			o->json = true;
			o->json_file = optarg;
			break;
		case 'v':
			o->svg = optarg;
			break;
		case 'l':
			o->list = true;
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("lab", c, argv);
		}
	}
	if (rc == 0 && !o->list)
		rc = set_scenario(argc, argv, o);
	return rc || o->list ? rc : combine(o);
}

static int list(void)
{
	for (unsigned i = 0; lab_scenario_at(i); i++) {
		const struct lab_scenario *s = lab_scenario_at(i);

		printf("%-12s %s\n%13s%s, %u Gb/s", s->name, s->text, "", s->topo,
			s->rate_mbps / 1000);
		if (lab_sizes_source(s->sizes))
			printf("; sizes of flows: %s", lab_sizes_source(s->sizes));
		putchar('\n');
	}
	return FNS_EXIT_OK;
}

struct progress {
	const char *label;
	unsigned percent;
};

static void show(void *ctx, uint64_t now_ns, uint64_t end_ns)
{
	struct progress *p = ctx;
	unsigned percent = (unsigned)(now_ns * 100 / end_ns);

	if (percent != p->percent)
		fprintf(stderr, "\r\033[K%s: %u %%", p->label, percent);
	p->percent = percent;
}

static int runs(const struct opts *o)
{
	bool progress = isatty(STDERR_FILENO);

	for (unsigned i = 0; i < o->rep.n; i++) {
		struct progress p = {o->rep.label[i], 101};
		struct lab_cfg cfg = {.scenario = o->rep.scenario,
			.cc = o->cc[o->run_cc[i]],
			.choose = fns_cc_choose_path,
			.irn = o->irn[o->run_transport[i]],
			.seed = o->rep.seed,
			.time_ns = o->rep.time_ns,
			.progress = progress ? show : NULL,
			.ctx = &p};
		bool ok = lab_run(&cfg, &o->rep.r[i]);

		if (progress)
			fputs("\r\033[K", stderr);
		if (!ok)
			return fns_cli_error(FNS_EXIT_FAILURE, "lab: %s with %s, seed %llu: %s",
				o->rep.scenario->name, o->rep.label[i],
				(unsigned long long)o->rep.seed, o->rep.r[i].failure);
	}
	return FNS_EXIT_OK;
}

static int write_json(const struct opts *o)
{
	FILE *out = o->json_file ? fopen(o->json_file, "w") : stdout;

	if (!out)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", o->json_file, strerror(errno));
	fns_cli_lab_json(out, &o->rep);
	if (o->json_file && fclose(out) != 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", o->json_file, strerror(errno));
	return FNS_EXIT_OK;
}

int fns_cli_lab(int argc, char **argv)
{
	struct opts o = {.rep.seed = 1};
	int rc = parse(argc, argv, &o);

	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (rc != 0 || o.list)
		return rc ? rc : list();
	if (!o.rep.time_ns)
		o.rep.time_ns = o.rep.scenario->time_ns;
	o.rep.r = calloc(o.rep.n, sizeof(*o.rep.r));
	if (!o.rep.r)
		abort();
	rc = runs(&o);
	if (rc == 0 && (!o.json || o.json_file))
		fns_cli_lab_table(&o.rep);
	if (rc == 0 && o.json)
		rc = write_json(&o);
	if (rc == 0 && o.svg)
		rc = fns_cli_lab_plot(o.svg, &o.rep);
	free(o.rep.r);
	return rc;
}
