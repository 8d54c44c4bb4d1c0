/* SPDX-License-Identifier: Apache-2.0 */
/* The drawings of `flexins lab`: rate and queue over time, then shares over time for flows without
 * end, or completion times by size. */
#include "cli/lab.h"

#include "base/util.h"
#include "cli/gnuplot.h"

static void lines(FILE *out, const struct fns_lab_report *rep, const char *style)
{
	fputs("plot", out);
	for (unsigned i = 0; i < rep->n; i++)
		fprintf(out, "%s '-' title \"%s\" with %s", i ? "," : "", rep->label[i], style);
	fputc('\n', out);
}

enum panel {
	GOODPUT,
	QUEUE,
	JAIN
};

static double value(const struct lab_result *r, unsigned i, enum panel what)
{
	double sum = 0;

	switch (what) {
	case GOODPUT: /* of five samples: completions come in lumps */
		for (unsigned k = i < 4 ? 0 : i - 4; k <= i; k++)
			sum += (double)r->sample[k].bps / 1e9;
		return sum / FNS_MIN(i + 1, 5u);
	case QUEUE:
		return r->sample[i].queue_bytes / 1e3;
	case JAIN:
		return r->sample[i].jain / 1e4;
	}
	return 0;
}

static void over_time(FILE *out, const struct fns_lab_report *rep, enum panel what)
{
	lines(out, rep, "lines");
	for (unsigned i = 0; i < rep->n; i++) {
		const struct lab_result *r = &rep->r[i];

		for (unsigned k = 0; k < r->nsamples; k++)
			fprintf(out, "%.6f %.4f\n", (double)((k + 1) * r->sample_ns) / 1e6,
				value(r, k, what));
		fputs("e\n", out);
	}
}

static void completion(FILE *out, const struct fns_lab_report *rep)
{
	fputs("set xlabel \"\"\nset xtics (", out);
	for (unsigned c = 0; c + 1 < LAB_CLASSES; c++)
		fprintf(out, "%s\"%s\" %u", c ? ", " : "", rep->r[0].cls[c].name, c);
	fputs(")\nset xrange [-0.5:3.5]\nset logscale y\nset yrange [1:*]\n", out);
	lines(out, rep, "linespoints");
	for (unsigned i = 0; i < rep->n; i++) {
		for (unsigned c = 0; c + 1 < LAB_CLASSES; c++)
			if (rep->r[i].cls[c].flows)
				fprintf(out, "%u %.2f\n", c, (double)rep->r[i].cls[c].slow99 / 1e2);
		fputs("e\n", out);
	}
}

static void script(FILE *out, const void *what)
{
	const struct fns_lab_report *rep = what;

	fprintf(out,
		"set terminal svg size 700,1150 background \"white\" font \"sans,12\" noenhanced\n"
		"set multiplot layout 3,1 title \"flexins lab %s, seed %llu (simulated)\"\n"
		"set grid\nset key outside bottom center horizontal\n"
		"set xlabel \"ms\"\nset yrange [0:*]\nset ylabel \"goodput, Gb/s\"\n",
		rep->scenario->name, (unsigned long long)rep->seed);
	over_time(out, rep, GOODPUT);
	fputs("set ylabel \"longest queue at a switch, KB\"\n", out);
	over_time(out, rep, QUEUE);
	if (rep->r[0].flows) {
		fputs("set ylabel \"99th percentile of slowdown\"\n", out);
		completion(out, rep);
	} else {
		fputs("set ylabel \"Jain's index\"\nset yrange [0:1.05]\n", out);
		over_time(out, rep, JAIN);
	}
	fputs("unset multiplot\n", out);
}

int fns_cli_lab_plot(const char *path, const struct fns_lab_report *rep)
{
	return fns_cli_gnuplot(path, script, rep);
}
