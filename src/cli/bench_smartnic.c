/* SPDX-License-Identifier: Apache-2.0 */
/* flexins bench smartnic: the figures of the emulated SmartNIC as tables, JSON or a drawing. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/bench.h"
#include "cli/cli.h"

static const char help[] =
	"Usage: flexins bench smartnic [--figure=NAME]... [--tx=SCHEME] [--rx=SCHEME] [--pipe=SCHEME]\n"
	"                              [--param=NAME=VALUE]... [--json] [--svg=FILE]\n"
	"       flexins bench smartnic --list-params [--json]\n"
	"\n"
	"Run the engine on an emulated SmartNIC and show what its mechanisms are worth there. The engine\n"
	"is the one that programs run on; the card is a model: PCIe, a link to Arm memory, a DMA engine, a\n"
	"cache and DRAM, each with a cost, charged for every operation that the engine really performs.\n"
	"Time is virtual: the figures are the same on every machine. They say how the mechanisms compare\n"
	"under these costs, not how fast a real card is.\n"
	"\n"
	"Figures:\n"
	"  tx      payload to the wire: gathered from host memory (header-only), or brought to NIC memory\n"
	"          first by the DMA engine (DMA-assisted) or by RDMA READs (RDMA-assisted)\n"
	"  rx      payload from the wire through a bounded pool (in-cache), or through a ring of buffers:\n"
	"          with its lines discarded once placed (ring-discarded), as it is (ring), or where the\n"
	"          NIC's writes bypass the cache (ring-no-stashing)\n"
	"  set     the same against what the senders have outstanding\n"
	"  pipe    descriptors and completions by phase bit (phase) or by doorbell (doorbell)\n"
	"\n"
	"Options:\n"
	"  --figure=NAME         only this one (may be repeated)\n"
	"  --tx=SCHEME           of figure tx only this one; likewise --rx (rx, set) and --pipe\n"
	"  --param=NAME=VALUE    change a constant of the model\n"
	"  --list-params         show all of them: default, range, meaning, source\n"
	"  --json                machine-readable\n"
	"  --svg=FILE            draw the figures (needs gnuplot)\n"
	"  --help                print this text\n"
	"\n"
	"Examples:\n"
	"  flexins bench smartnic --figure=tx --svg=tx.svg\n"
	"  flexins bench smartnic --figure=set --param=cache_kb=32768 --param=dram_gbps=700\n";

struct opts {
	struct fns_snic_params p;
	bool figure[FNS_SNIC_FIGURES], json, list;
	const char *scheme[FNS_SNIC_FIGURES]; /* only this one; NULL: all */
	const char *svg;
};

static int set_figure(const char *name, struct opts *o)
{
	for (unsigned i = 0; i < FNS_SNIC_FIGURES; i++)
		if (strcmp(name, fns_snic_figure_info[i].name) == 0) {
			o->figure[i] = true;
			return 0;
		}
	return fns_cli_error(FNS_EXIT_USAGE, "--figure='%s': expected tx, rx, set or pipe", name);
}

/* Is there such a scheme in figure f? Then only that. */
static int set_scheme(const char *option, enum fns_snic_figure f, const char *name, struct opts *o)
{
	struct fns_snic_point pt[FNS_SNIC_POINTS];
	size_t n = fns_snic_figure_points(f, &o->p, pt), i;
	char known[128] = "";

	for (i = 0; i < n; i++) {
		if (strcasecmp(pt[i].scheme, name) == 0) {
			o->scheme[f] = pt[i].scheme;
			o->figure[f] = true;
			return 0;
		}
		if (i == 0 || pt[i].scheme != pt[i - 1].scheme)
			snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
				i ? ", " : "", pt[i].scheme);
	}
	return fns_cli_error(FNS_EXIT_USAGE, "%s='%s': expected one of %s", option, name, known);
}

static int set_param(const char *text, struct opts *o)
{
	char err[128];

	if (fns_snic_params_set(&o->p, text, err, sizeof(err)))
		return 0;
	return fns_cli_error(FNS_EXIT_USAGE,
		"--param='%s': %s (`flexins bench smartnic --list-params` shows all)", text, err);
}

/* 0; an exit code; or -1 when the help was asked for. */
static int parse(int argc, char **argv, struct opts *o)
{
	static const struct option options[] = {
		{"figure", required_argument, NULL, 'f'},
		{"tx", required_argument, NULL, 'T'},
		{"rx", required_argument, NULL, 'R'},
		{"pipe", required_argument, NULL, 'P'},
		{"param", required_argument, NULL, 'p'},
		{"list-params", no_argument, NULL, 'l'},
		{"json", no_argument, NULL, 'j'},
		{"svg", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool any = false;
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			rc = set_figure(optarg, o);
			any = true;
			break;
		case 'T':
			rc = set_scheme("--tx", FNS_SNIC_FIG_TX, optarg, o);
			any = true;
			break;
		case 'R':
			rc = set_scheme("--rx", FNS_SNIC_FIG_RX, optarg, o);
			if (rc == 0)
				rc = set_scheme("--rx", FNS_SNIC_FIG_SET, optarg, o);
			any = true;
			break;
		case 'P':
			rc = set_scheme("--pipe", FNS_SNIC_FIG_PIPE, optarg, o);
			any = true;
			break;
		case 'p':
			rc = set_param(optarg, o);
			break;
		case 'l':
			o->list = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 's':
			o->svg = optarg;
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("bench smartnic", c, argv);
		}
	}
	if (rc == 0 && optind < argc)
		return fns_cli_error(FNS_EXIT_USAGE, "bench smartnic takes options only, not '%s'",
			argv[optind]);
	for (unsigned i = 0; i < FNS_SNIC_FIGURES && !any; i++)
		o->figure[i] = true;
	return rc;
}

static int list_params(const struct opts *o)
{
	if (o->json)
		puts("[");
	else
		printf("%-18s %8s %17s %-7s %s\n", "NAME", "VALUE", "RANGE", "UNIT",
			"MEANING, SOURCE");
	for (size_t i = 0; i < fns_snic_param_count; i++) {
		const struct fns_snic_param_info *p = &fns_snic_param_info[i];
		uint32_t v = fns_snic_param_value(&o->p, p);

		if (!o->json) {
			printf("%-18s %8u %8u-%-8u %-7s %s\n%53s%s\n", p->name, v, p->min, p->max,
				p->unit, p->what, "", p->source);
			continue;
		}
		printf("  {\"name\": \"%s\", \"value\": %u, \"default\": %u, \"min\": %u, \"max\": %u, "
		       "\"unit\": \"%s\", \"what\": ",
			p->name, v, p->def, p->min, p->max, p->unit);
		fns_cli_json_string(p->what);
		printf(", \"source\": ");
		fns_cli_json_string(p->source);
		printf("}%s\n", i + 1 < fns_snic_param_count ? "," : "");
	}
	if (o->json)
		puts("]");
	return FNS_EXIT_OK;
}

/* --- tables --- */

typedef double value_fn(const struct fns_snic_result *r);

static double v_gbps(const struct fns_snic_result *r)
{
	return r->gbps;
}
static double v_arm(const struct fns_snic_result *r)
{
	return r->arm_bytes;
}
static double v_dram(const struct fns_snic_result *r)
{
	return r->dram_bytes;
}
static double v_pcie(const struct fns_snic_result *r)
{
	return r->pcie_ops;
}
static double v_latency(const struct fns_snic_result *r)
{
	return r->latency_ns;
}

static void table(const char *what, const char *fmt, value_fn *value,
	const struct fns_snic_point *pt, const struct fns_snic_result *r, size_t n)
{
	size_t xs = 0, i, k;

	while (xs < n && pt[xs].scheme == pt[0].scheme)
		xs++;
	printf("\n%s\n%16s", what, fns_snic_figure_info[pt[0].figure].x);
	for (i = 0; i < n; i += xs)
		printf(" %18s", pt[i].scheme);
	putchar('\n');
	for (k = 0; k < xs; k++) {
		printf("%16u", pt[k].x);
		for (i = k; i < n; i += xs)
			printf(fmt, value(&r[i]));
		putchar('\n');
	}
}

static void tables(const struct fns_snic_point *pt, const struct fns_snic_result *r, size_t n)
{
	const struct fns_snic_figure_info *f = &fns_snic_figure_info[pt[0].figure];

	printf("\n== Emulated SmartNIC: %s ==\n", f->title);
	if (pt[0].figure == FNS_SNIC_FIG_PIPE) {
		table("PCIe transactions a message, payload included", " %18.2f", v_pcie, pt, r, n);
		table("Post to completion seen, mean, ns", " %18.0f", v_latency, pt, r, n);
		return;
	}
	table("Throughput, Gb/s of payload", " %18.1f", v_gbps, pt, r, n);
	table("Bytes over the link to NIC memory for each byte of payload", " %18.2f", v_arm, pt, r,
		n);
	table("Bytes to and from NIC DRAM for each byte of payload", " %18.2f", v_dram, pt, r, n);
}

static void json(const struct opts *o, const struct fns_snic_point *pt,
	const struct fns_snic_result *r, size_t n)
{
	printf("{\n  \"emulated\": true,\n  \"version\": \"" FNS_VERSION "\",\n  \"params\": {");
	for (size_t i = 0; i < fns_snic_param_count; i++)
		printf("%s\"%s\": %u", i ? ", " : "", fns_snic_param_info[i].name,
			fns_snic_param_value(&o->p, &fns_snic_param_info[i]));
	printf("},\n  \"points\": [\n");
	for (size_t i = 0; i < n; i++)
		printf("    {\"figure\": \"%s\", \"scheme\": \"%s\", \"x\": %u, \"gbps\": %.3f, "
		       "\"mops\": %.4f, \"host_bytes\": %.4f, \"arm_bytes\": %.4f, \"dram_bytes\": %.4f, "
		       "\"dram_gbps\": %.3f, \"miss_percent\": %.3f, \"pcie_ops\": %.3f, "
		       "\"latency_ns\": %.1f, \"retransmits\": %llu, \"waits\": %llu, "
		       "\"virtual_ns\": %llu}%s\n",
			fns_snic_figure_info[pt[i].figure].name, pt[i].scheme, pt[i].x, r[i].gbps,
			r[i].mops, r[i].host_bytes, r[i].arm_bytes, r[i].dram_bytes, r[i].dram_gbps,
			r[i].miss_percent, r[i].pcie_ops, r[i].latency_ns,
			(unsigned long long)r[i].retransmits, (unsigned long long)r[i].waits,
			(unsigned long long)r[i].virtual_ns, i + 1 < n ? "," : "");
	printf("  ]\n}\n");
}

/* The points of one figure, of the schemes wanted. How many. */
static size_t select_points(
	const struct opts *o, enum fns_snic_figure f, struct fns_snic_point *out)
{
	size_t n = fns_snic_figure_points(f, &o->p, out), k = 0, i;

	for (i = 0; i < n; i++)
		if (!o->scheme[f] || o->scheme[f] == out[i].scheme)
			out[k++] = out[i];
	return k;
}

/* 0, or an exit code. */
static int measure(
	const struct fns_snic_point *pt, struct fns_snic_result *r, size_t n, bool progress)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		if (progress)
			fprintf(stderr, "\r\033[Kpoint %zu of %zu: %s, %s, %u", i + 1, n,
				fns_snic_figure_info[pt[i].figure].name, pt[i].scheme, pt[i].x);
		if (!fns_snic_measure(&pt[i].p, &pt[i].c, &r[i]))
			rc = fns_cli_error(FNS_EXIT_FAILURE,
				"bench smartnic: %s, %s, %u came to rest too early",
				fns_snic_figure_info[pt[i].figure].name, pt[i].scheme, pt[i].x);
	}
	if (progress)
		fprintf(stderr, "\r\033[K");
	return rc;
}

int fns_cli_bench_smartnic(int argc, char **argv)
{
	struct fns_snic_point *pt = calloc(2 * FNS_SNIC_POINTS, sizeof(*pt));
	struct fns_snic_result *r = calloc(FNS_SNIC_POINTS, sizeof(*r));
	size_t n = 0, first[FNS_SNIC_FIGURES + 1] = {0};
	struct opts o = {0};
	unsigned f;
	int rc;

	if (!pt || !r)
		abort();
	fns_snic_params_default(&o.p);
	rc = parse(argc, argv, &o);
	if (rc < 0)
		fputs(help, stdout);
	if (rc == 0 && o.list)
		rc = list_params(&o);
	else if (rc == 0) {
		for (f = 0; f < FNS_SNIC_FIGURES; f++) {
			first[f] = n;
			if (o.figure[f])
				n += select_points(&o, (enum fns_snic_figure)f, pt + n);
		}
		first[f] = n;
		rc = measure(pt, r, n, isatty(STDERR_FILENO));
		if (rc == 0 && o.json)
			json(&o, pt, r, n);
		else if (rc == 0)
			puts("Figures of a model, not of hardware; docs/smartnic.md says what it holds.");
		for (f = 0; f < FNS_SNIC_FIGURES && rc == 0 && !o.json; f++)
			if (first[f + 1] > first[f])
				tables(pt + first[f], r + first[f], first[f + 1] - first[f]);
		if (rc == 0 && o.svg)
			rc = fns_cli_bench_plot(o.svg, pt, r, n);
	}
	free(pt);
	free(r);
	return rc < 0 ? FNS_EXIT_OK : rc;
}
