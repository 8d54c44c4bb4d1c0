/* SPDX-License-Identifier: Apache-2.0 */
/* flexins bench pipe: the notification pipe between two CPUs, phase bits against indices. */
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "bench/pipe.h"
#include "cli/bench.h"
#include "cli/cli.h"

#define PAIRS      15u /* runs of each scheme, taking turns */
#define BURSTS_MAX 16u
#define CALIBRATE  20000u

static const char help[] =
	"Usage: flexins bench pipe [--burst=N]... [--cpus=A,B] [--seconds=N] [--json]\n"
	"\n"
	"A program and an engine on two CPUs exchange descriptors and completions and do nothing else: so\n"
	"many messages are posted at a time, taken, completed and polled before the next. With phase bits\n"
	"each entry says itself that it is valid; with indices (doorbell) each side reads the other's.\n"
	"Counted, exactly: cache lines that move between the two for each message - descriptors, completions,\n"
	"indices - and lines taken back by who writes them next. Measured: ns a message, the median of runs\n"
	"that take turns, with quartiles.\n"
	"\n"
	"Options:\n"
	"  --burst=N     messages posted at a time, 1 to 256 (may be repeated; without it 1, 4, 16 and 64)\n"
	"  --cpus=A,B    of program and engine (default: the first two that may be used)\n"
	"  --seconds=N   measure each burst for about N seconds, 1 to 60 (default: 2)\n"
	"  --json        machine-readable\n"
	"  --help        print this text\n";

struct opts {
	uint32_t burst[BURSTS_MAX];
	unsigned nbursts;
	uint32_t seconds;
	int cpu[2];
	bool json;
};

struct outcome {
	uint32_t burst;
	struct fns_pipe_lines lines[FNS_PIPE_MODES];
	double ns[FNS_PIPE_MODES][3]; /* lower quartile, median, upper quartile */
	double ratio;                 /* doorbell over phase: the median of pairwise ratios */
};

static int set_cpus(const char *text, struct opts *o)
{
	char rest;

	if (sscanf(text, "%d,%d%c", &o->cpu[0], &o->cpu[1], &rest) != 2 || o->cpu[0] < 0 ||
		o->cpu[1] < 0 || o->cpu[0] >= CPU_SETSIZE || o->cpu[1] >= CPU_SETSIZE)
		return fns_cli_error(
			FNS_EXIT_USAGE, "--cpus='%s': expected two CPU numbers, such as 0,1", text);
	return 0;
}

static void default_cpus(struct opts *o)
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return;
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			o->cpu[n++] = i;
	if (n == 1)
		o->cpu[1] = o->cpu[0];
}

/* 0; an exit code; or -1 when the help was asked for. */
static int parse(int argc, char **argv, struct opts *o)
{
	static const struct option options[] = {
		{"burst", required_argument, NULL, 'b'},
		{"cpus", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 't'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'b':
			if (o->nbursts == BURSTS_MAX)
				return fns_cli_error(
					FNS_EXIT_USAGE, "--burst: at most %u of them", BURSTS_MAX);
			rc = fns_cli_number(
				"--burst", optarg, FNS_PIPE_MAX_BURST, &o->burst[o->nbursts++]);
			break;
		case 'c':
			rc = set_cpus(optarg, o);
			break;
		case 't':
			rc = fns_cli_number("--seconds", optarg, 60, &o->seconds);
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("bench pipe", c, argv);
		}
	}
	if (rc == 0 && optind < argc)
		return fns_cli_error(
			FNS_EXIT_USAGE, "bench pipe takes options only, not '%s'", argv[optind]);
	return rc;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* False: the CPUs cannot be had. */
static bool measure(uint32_t burst, const struct opts *o, struct outcome *out)
{
	struct fns_pipe_cfg c = {.burst = burst,
		.messages = CALIBRATE,
		.cpu = {o->cpu[0], o->cpu[1]},
		.clock_ns = fns_clock_now_ns};
	double ns[FNS_PIPE_MODES][PAIRS], ratio[PAIRS], first;

	*out = (struct outcome){.burst = burst};
	for (unsigned m = 0; m < FNS_PIPE_MODES; m++)
		fns_pipe_count((enum fns_pipe_mode)m, burst, &out->lines[m]);
	first = fns_pipe_time(&c);
	if (first <= 0)
		return false;
	c.messages =
		(uint64_t)((double)o->seconds * FNS_NSEC_PER_SEC / first / PAIRS / FNS_PIPE_MODES) +
		1;
	for (unsigned i = 0; i < PAIRS; i++) {
		for (unsigned k = 0; k < FNS_PIPE_MODES; k++) {
			unsigned m = k ^ (i & 1);

			c.mode = (enum fns_pipe_mode)m;
			ns[m][i] = fns_pipe_time(&c);
			if (ns[m][i] <= 0)
				return false;
		}
		ratio[i] = ns[FNS_PIPE_DOORBELL][i] / ns[FNS_PIPE_PHASE][i];
	}
	qsort(ratio, PAIRS, sizeof(ratio[0]), by_value);
	out->ratio = ratio[PAIRS / 2];
	for (unsigned m = 0; m < FNS_PIPE_MODES; m++) {
		qsort(ns[m], PAIRS, sizeof(ns[m][0]), by_value);
		for (unsigned q = 0; q < 3; q++)
			out->ns[m][q] = ns[m][(q + 1) * PAIRS / 4];
	}
	return true;
}

static double moved(const struct fns_pipe_lines *l)
{
	return l->descriptors + l->completions + l->indices;
}

static void print_text(const struct opts *o, const struct outcome *r, unsigned n)
{
	printf("Notification pipe, program on CPU %d, engine on CPU %d\n"
	       "%7s %-9s %12s %12s %12s %9s %11s %12s %17s\n",
		o->cpu[0], o->cpu[1], "burst", "scheme", "lines moved", "descriptors",
		"completions", "indices", "taken back", "ns a message", "quartiles");
	for (unsigned i = 0; i < n; i++) {
		for (unsigned m = 0; m < FNS_PIPE_MODES; m++) {
			const struct fns_pipe_lines *l = &r[i].lines[m];

			printf("%7u %-9s %12.3f %12.3f %12.3f %9.3f %11.3f %12.1f %8.1f-%-8.1f\n",
				r[i].burst, fns_pipe_mode_name(m), moved(l), l->descriptors,
				l->completions, l->indices, l->taken_back, r[i].ns[m][1],
				r[i].ns[m][0], r[i].ns[m][2]);
		}
		printf("%7s doorbell takes %.2f times as long, moves %.2f times the lines\n", "",
			r[i].ratio, moved(&r[i].lines[1]) / moved(&r[i].lines[0]));
	}
}

static void print_json(const struct opts *o, const struct outcome *r, unsigned n)
{
	printf("{\n  \"version\": \"" FNS_VERSION "\",\n  \"cpus\": [%d, %d],\n  \"bursts\": [\n",
		o->cpu[0], o->cpu[1]);
	for (unsigned i = 0; i < n; i++) {
		printf("    {\"burst\": %u, \"doorbell_over_phase\": %.4f", r[i].burst, r[i].ratio);
		for (unsigned m = 0; m < FNS_PIPE_MODES; m++) {
			const struct fns_pipe_lines *l = &r[i].lines[m];

			printf(",\n     \"%s\": {\"lines_moved\": %.4f, \"descriptors\": %.4f, "
			       "\"completions\": %.4f, \"indices\": %.4f, \"taken_back\": %.4f, "
			       "\"ns\": %.2f, \"ns_low\": %.2f, \"ns_high\": %.2f}",
				fns_pipe_mode_name(m), moved(l), l->descriptors, l->completions,
				l->indices, l->taken_back, r[i].ns[m][1], r[i].ns[m][0],
				r[i].ns[m][2]);
		}
		puts(i + 1 < n ? "}," : "}");
	}
	printf("  ]\n}\n");
}

int fns_cli_bench_pipe(int argc, char **argv)
{
	static const uint32_t bursts[] = {1, 4, 16, 64};
	struct outcome r[BURSTS_MAX];
	struct opts o = {.seconds = 2};
	int rc;

	default_cpus(&o);
	rc = parse(argc, argv, &o);
	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (rc != 0)
		return rc;
	if (o.nbursts == 0)
		for (; o.nbursts < FNS_ARRAY_SIZE(bursts); o.nbursts++)
			o.burst[o.nbursts] = bursts[o.nbursts];
	for (unsigned i = 0; i < o.nbursts; i++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r\033[Kburst %u, about %u s", o.burst[i], o.seconds);
		if (!measure(o.burst[i], &o, &r[i]))
			return fns_cli_error(FNS_EXIT_FAILURE,
				"bench pipe: no thread can run on CPU %d or %d; choose others by --cpus",
				o.cpu[0], o.cpu[1]);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (o.json)
		print_json(&o, r, o.nbursts);
	else
		print_text(&o, r, o.nbursts);
	return FNS_EXIT_OK;
}
