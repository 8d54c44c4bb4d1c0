/* SPDX-License-Identifier: Apache-2.0 */
/* The drawings of `flexins bench smartnic`. */
#include <stdio.h>

#include "cli/bench.h"
#include "cli/gnuplot.h"

struct drawing {
	const struct fns_snic_point *pt;
	const struct fns_snic_result *r;
	size_t n;
};

/* What is drawn of a figure, in two panels. */
static double panel(const struct fns_snic_point *pt, const struct fns_snic_result *r, int second)
{
	if (pt->figure == FNS_SNIC_FIG_PIPE)
		return second ? r->latency_ns : r->pcie_ops;
	if (pt->figure == FNS_SNIC_FIG_TX)
		return second ? r->arm_bytes * r->gbps : r->gbps;
	return second ? r->dram_gbps : r->gbps;
}

static const char *label(enum fns_snic_figure f, int second)
{
	if (f == FNS_SNIC_FIG_PIPE)
		return second ? "post to completion, ns" : "PCIe transactions a message";
	if (f == FNS_SNIC_FIG_TX)
		return second ? "NIC memory traffic, Gb/s" : "throughput, Gb/s";
	return second ? "NIC DRAM traffic, Gb/s" : "throughput, Gb/s";
}

static void draw(FILE *out, const struct fns_snic_point *pt, const struct fns_snic_result *r,
	size_t n, int second)
{
	enum fns_snic_figure f = pt[0].figure;
	size_t i, k;

	fprintf(out, "set title \"%s (emulated)\"\nset xlabel \"%s\"\nset ylabel \"%s\"\nplot",
		fns_snic_figure_info[f].title, fns_snic_figure_info[f].x, label(f, second));
	for (i = 0; i < n; i = k) {
		fprintf(out, "%s '-' title \"%s\" with linespoints", i ? "," : "", pt[i].scheme);
		for (k = i; k < n && pt[k].scheme == pt[i].scheme; k++)
			;
	}
	fputc('\n', out);
	for (i = 0; i < n; i = k) {
		for (k = i; k < n && pt[k].scheme == pt[i].scheme; k++)
			fprintf(out, "%u %.4f\n", pt[k].x, panel(&pt[k], &r[k], second));
		fputs("e\n", out);
	}
}

static void script(FILE *out, const void *what)
{
	const struct drawing *d = what;
	const struct fns_snic_point *pt = d->pt;
	const struct fns_snic_result *r = d->r;
	size_t i, k, rows = 0, n = d->n;

	for (i = 0; i < n; i++)
		rows += i == 0 || pt[i].figure != pt[i - 1].figure;
	fprintf(out,
		"set terminal svg size 1100,%zu background \"white\" font \"sans,12\"\n"
		"set multiplot layout %zu,2\n"
		"set logscale x 2\nset yrange [0:*]\nset grid\nset key outside bottom center horizontal\n",
		rows * 400, rows);
	for (i = 0; i < n; i = k) {
		for (k = i; k < n && pt[k].figure == pt[i].figure; k++)
			;
		draw(out, pt + i, r + i, k - i, 0);
		draw(out, pt + i, r + i, k - i, 1);
	}
	fputs("unset multiplot\n", out);
}

int fns_cli_bench_plot(const char *path, const struct fns_snic_point *pt,
	const struct fns_snic_result *r, size_t n)
{
	return fns_cli_gnuplot(path, script, &(struct drawing){pt, r, n});
}
