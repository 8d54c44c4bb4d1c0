/* SPDX-License-Identifier: Apache-2.0 */
/* flexins bench micro: what a packet costs the engine on this machine. */
#include <errno.h>
#include <getopt.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "bench/micro.h"
#include "cli/bench.h"
#include "cli/cli.h"

#define QPS       8u
#define DEPTH     32u
#define RUNS      21u
#define SIZES_MAX 16u
#define SECS_MAX  60ul
#define CALIBRATE 20000u

static const char help[] =
	"Usage: flexins bench micro [--size=BYTES]... [--seconds=N] [--no-icrc] [--json]\n"
	"\n"
	"Run two engines in one thread, joined in memory, and measure WRITEs of one to the other: post,\n"
	"segment, gather, ICRC made, received, ICRC checked, placed, acknowledged, completed. No socket\n"
	"and no network takes part. Both engines share the core, so a packet's cost is that of both ends.\n"
	"The figures are the median of 21 runs and the quarter of them below and above; the parts are means:\n"
	"application (descriptors written, completions polled), sender, receiver.\n"
	"\n"
	"Options:\n"
	"  --size=BYTES   bytes of a WRITE, 1 to 65536 (may be repeated; without it 64 and 4096)\n"
	"  --seconds=N    measure each size for about N seconds, 1 to 60 (default: 2)\n"
	"  --no-icrc      neither made nor checked, as between peers that agreed to do without\n"
	"  --json         machine-readable\n"
	"  --help         print this text\n"
	"\n"
	"Instructions are counted where the machine has counters and perf_event_open(2) is allowed.\n"
	"Bind it to one CPU for steady figures: taskset -c 1 flexins bench micro\n";

struct opts {
	uint32_t size[SIZES_MAX];
	unsigned nsizes, seconds;
	bool no_icrc, json;
};

struct outcome {
	uint32_t size;
	double ns, ns_low, ns_high; /* of a packet: median, quartiles */
	double gbps, mpps;
	double stage[FNS_MICRO_STAGES]; /* ns of a packet, mean */
	double instructions;            /* of a packet; negative: not counted */
	uint64_t packets;
};

/* 0; an exit code; or -1 when the help was asked for. */
static int parse(int argc, char **argv, struct opts *o)
{
	static const struct option options[] = {
		{"size", required_argument, NULL, 's'},
		{"seconds", required_argument, NULL, 't'},
		{"no-icrc", no_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			if (o->nsizes == SIZES_MAX)
				return fns_cli_error(
					FNS_EXIT_USAGE, "--size: at most %u of them", SIZES_MAX);
			rc = fns_cli_number("--size", optarg, 65536, &o->size[o->nsizes++]);
			break;
		case 't':
			rc = fns_cli_number("--seconds", optarg, SECS_MAX, &o->seconds);
			break;
		case 'n':
			o->no_icrc = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("bench micro", c, argv);
		}
	}
	if (rc == 0 && optind < argc)
		return fns_cli_error(
			FNS_EXIT_USAGE, "bench micro takes options only, not '%s'", argv[optind]);
	return rc;
}

/* A counter of this thread's instructions in user mode; -1: not to be had. */
static int counter_open(void)
{
	struct perf_event_attr a = {.type = PERF_TYPE_HARDWARE,
		.size = sizeof(a),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.exclude_kernel = 1,
		.exclude_hv = 1};

	return (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t counter_read(int fd)
{
	uint64_t v = 0;

	return fd >= 0 && read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure(uint32_t size, const struct opts *o, int counter, struct outcome *out)
{
	const struct fns_micro_cfg cfg = {.size = size,
		.qps = QPS,
		.depth = DEPTH,
		.icrc = !o->no_icrc,
		.clock_ns = fns_clock_now_ns};
	struct fns_micro *m = fns_micro_create(&cfg);
	uint64_t packets, all = 0, count, t0, t1, messages = FNS_MAX(CALIBRATE * 64 / size, 1000u);
	uint64_t bytes = 0;
	uint64_t before[FNS_MICRO_STAGES], after[FNS_MICRO_STAGES];
	double ns[RUNS];

	if (!m)
		abort();
	/* Everything touched, and how many make a run. */
	fns_micro_run(m, messages, &packets);
	t0 = fns_clock_now_ns();
	messages = fns_micro_run(m, messages, &packets);
	t1 = FNS_MAX(fns_clock_now_ns(), t0 + 1);
	messages = FNS_MAX(messages * o->seconds * FNS_NSEC_PER_SEC / RUNS / (t1 - t0), 1);
	fns_micro_stages(m, before);
	count = counter_read(counter);
	for (unsigned i = 0; i < RUNS; i++) {
		t0 = fns_clock_now_ns();
		bytes += fns_micro_run(m, messages, &packets) * size;
		ns[i] = (double)(fns_clock_now_ns() - t0) / (double)packets;
		all += packets;
	}
	count = counter_read(counter) - count;
	fns_micro_stages(m, after);
	qsort(ns, RUNS, sizeof(ns[0]), by_value);
	*out = (struct outcome){.size = size,
		.ns = ns[RUNS / 2],
		.ns_low = ns[RUNS / 4],
		.ns_high = ns[RUNS - 1 - RUNS / 4],
		.gbps = 8.0 * (double)bytes / (double)all / ns[RUNS / 2],
		.mpps = 1000 / ns[RUNS / 2],
		.instructions = count ? (double)count / (double)all : -1,
		.packets = all};
	for (unsigned i = 0; i < FNS_MICRO_STAGES; i++)
		out->stage[i] = (double)(after[i] - before[i]) / (double)all;
	fns_micro_destroy(m);
}

static void print(const struct opts *o, const struct outcome *r, unsigned n)
{
	unsigned i;

	if (!o->json) {
		printf("Engine in memory, both ends on one core, ICRC %s\n"
		       "%8s %11s %17s %8s %8s   %-32s %12s\n",
			o->no_icrc ? "neither made nor checked" : "made and checked", "bytes",
			"ns a packet", "quartiles", "Mpps", "Gb/s",
			"application + sender + receiver", "instructions");
		for (i = 0; i < n; i++) {
			printf("%8u %11.1f %8.1f-%8.1f %8.2f %8.1f   %8.1f + %8.1f + %8.1f    ",
				r[i].size, r[i].ns, r[i].ns_low, r[i].ns_high, r[i].mpps, r[i].gbps,
				r[i].stage[FNS_MICRO_APP], r[i].stage[FNS_MICRO_SENDER],
				r[i].stage[FNS_MICRO_RECEIVER]);
			if (r[i].instructions >= 0)
				printf("%12.0f\n", r[i].instructions);
			else
				printf("%12s\n", "not counted");
		}
		return;
	}
	printf("{\n  \"version\": \"" FNS_VERSION "\",\n  \"icrc\": %s,\n  \"sizes\": [\n",
		o->no_icrc ? "false" : "true");
	for (i = 0; i < n; i++) {
		printf("    {\"size\": %u, \"ns_per_packet\": %.2f, \"ns_low\": %.2f, \"ns_high\": %.2f, "
		       "\"application_ns\": %.2f, \"sender_ns\": %.2f, \"receiver_ns\": %.2f, "
		       "\"mpps\": %.4f, \"gbps\": %.3f, \"packets\": %llu, \"instructions_per_packet\": ",
			r[i].size, r[i].ns, r[i].ns_low, r[i].ns_high, r[i].stage[FNS_MICRO_APP],
			r[i].stage[FNS_MICRO_SENDER], r[i].stage[FNS_MICRO_RECEIVER], r[i].mpps,
			r[i].gbps, (unsigned long long)r[i].packets);
		if (r[i].instructions >= 0)
			printf("%.1f}", r[i].instructions);
		else
			printf("null}");
		puts(i + 1 < n ? "," : "");
	}
	printf("  ]\n}\n");
}

int fns_cli_bench_micro(int argc, char **argv)
{
	struct outcome r[SIZES_MAX];
	struct opts o = {.seconds = 2};
	int rc = parse(argc, argv, &o), counter;

	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (rc != 0)
		return rc;
	if (o.nsizes == 0) {
		o.size[o.nsizes++] = 64;
		o.size[o.nsizes++] = 4096;
	}
	counter = counter_open();
	for (unsigned i = 0; i < o.nsizes; i++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r\033[K%u bytes, about %u s", o.size[i], o.seconds);
		measure(o.size[i], &o, counter, &r[i]);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (counter >= 0)
		close(counter);
	print(&o, r, o.nsizes);
	return FNS_EXIT_OK;
}
