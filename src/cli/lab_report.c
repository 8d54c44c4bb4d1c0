/* SPDX-License-Identifier: Apache-2.0 */
/* What `flexins lab` says: tables for people, JSON for programs. */
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/lab.h"

static int width(const struct fns_lab_report *rep)
{
	size_t n = strlen("congestion control");

	for (unsigned i = 0; i < rep->n; i++)
		n = FNS_MAX(n, strlen(rep->label[i]));
	return (int)n;
}

static void head(const struct fns_lab_report *rep)
{
	const struct lab_scenario *s = rep->scenario;

	printf("%s: %s\n", s->name, s->text);
	printf("  %s, links of %g Gb/s and %g us, %g ms, seed %llu\n  ", s->topo,
		s->rate_mbps / 1e3, (double)s->delay_ns / 1e3, (double)rep->time_ns / 1e6,
		(unsigned long long)rep->seed);
	if (s->xoff_bytes)
		printf("switches pause their feeders from %u KB on, ", s->xoff_bytes / 1000);
	if (s->port_bytes)
		printf("queues of %u KB, ", s->port_bytes / 1000);
	if (s->loss_ppm)
		printf("%g %% of packets lost, ", s->loss_ppm / 1e4);
	printf("marks from %u to %u KB\n", s->mark_lo / 1000, s->mark_hi / 1000);
	if (lab_sizes_source(s->sizes))
		printf("  %g %% load, mean %.0f KB; sizes of flows: %s\n", s->load_pm / 10.0,
			(double)lab_sizes_mean(s->sizes) / 1e3, lab_sizes_source(s->sizes));
	puts("  simulated: the same figures on every machine");
}

static void share(const struct lab_result *r)
{
	if (r->jain_mean)
		printf(" %6.3f %6.3f", r->jain_mean / 1e4, r->jain_least / 1e4);
	else
		printf(" %6s %6s", "-", "-");
}

static void times(const struct fns_lab_report *rep, int w)
{
	printf("\n%-*s  %-13s %7s %11s %11s %9s %9s\n", w, "flow completion", "size", "flows",
		"median us", "p99 us", "slow p50", "slow p99");
	for (unsigned i = 0; i < rep->n; i++)
		for (unsigned c = 0; c < LAB_CLASSES; c++) {
			const struct lab_class *k = &rep->r[i].cls[c];

			printf("%-*s  %-13s %7llu", w, c ? "" : rep->label[i], k->name,
				(unsigned long long)k->flows);
			if (k->flows)
				printf(" %11.1f %11.1f %9.2f %9.2f", (double)k->median_ns / 1e3,
					(double)k->p99_ns / 1e3, (double)k->slow50 / 1e2,
					(double)k->slow99 / 1e2);
			putchar('\n');
		}
	puts("slow: of the time that the flow takes alone in the network");
}

void fns_cli_lab_table(const struct fns_lab_report *rep)
{
	int w = width(rep);

	head(rep);
	printf("\n%-*s  %8s %6s %6s %9s %9s %9s %9s %8s %8s %8s %8s\n", w, "", "goodput", "Jain",
		"least", "queue KB", "p99", "max", "paused us", "lost", "resent", "timeouts",
		"CNPs");
	for (unsigned i = 0; i < rep->n; i++) {
		const struct lab_result *r = &rep->r[i];

		printf("%-*s  %8.2f", w, rep->label[i], (double)r->goodput_bps / 1e9);
		share(r);
		printf(" %9.1f %9.1f %9.1f %9.0f %8llu %8llu %8llu %8llu\n", r->queue_mean / 1e3,
			r->queue_p99 / 1e3, r->queue_max / 1e3, (double)r->paused_ns / 1e3,
			(unsigned long long)r->lost, (unsigned long long)r->retransmits,
			(unsigned long long)r->timeouts, (unsigned long long)r->cnps);
	}
	if (rep->r[0].flows)
		times(rep, w);
	for (unsigned i = 0; i < rep->n; i++)
		if (rep->r[i].unfinished || rep->r[i].broken)
			printf("%s: %llu flows not done after ten times the time, %llu queue pairs failed\n",
				rep->label[i], (unsigned long long)rep->r[i].unfinished,
				(unsigned long long)rep->r[i].broken);
}

/* --- JSON --- */

static void text(FILE *out, const char *name, const char *value, const char *after)
{
	fprintf(out, "\"%s\": \"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', out);
		fputc(*value, out);
	}
	fprintf(out, "\"%s", after);
}

static void number(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "     \"%s\": %llu,\n", name, (unsigned long long)value);
}

static void class_json(FILE *out, const struct lab_class *c, bool last)
{
	fprintf(out,
		"       {\"size\": \"%s\", \"flows\": %llu, \"median_ns\": %llu, \"p99_ns\": %llu, "
		"\"slowdown_median\": %.2f, \"slowdown_p99\": %.2f}%s\n",
		c->name, (unsigned long long)c->flows, (unsigned long long)c->median_ns,
		(unsigned long long)c->p99_ns, (double)c->slow50 / 1e2, (double)c->slow99 / 1e2,
		last ? "" : ",");
}

static void series_json(FILE *out, const struct lab_result *r)
{
	fprintf(out, "     \"sample_ns\": %llu,\n     \"goodput_bps_series\": [",
		(unsigned long long)r->sample_ns);
	for (unsigned i = 0; i < r->nsamples; i++)
		fprintf(out, "%s%llu", i ? ", " : "", (unsigned long long)r->sample[i].bps);
	fprintf(out, "],\n     \"queue_bytes_series\": [");
	for (unsigned i = 0; i < r->nsamples; i++)
		fprintf(out, "%s%u", i ? ", " : "", r->sample[i].queue_bytes);
	fprintf(out, "],\n     \"flow_bps_series\": [");
	for (unsigned k = 0; k < r->nseries; k++) {
		fprintf(out, "%s\n       [", k ? "," : "");
		for (unsigned i = 0; i < r->nsamples; i++)
			fprintf(out, "%s%llu", i ? ", " : "",
				(unsigned long long)r->sample[i].series_bps[k]);
		fputc(']', out);
	}
	fprintf(out, "]");
}

static void run_json(FILE *out, const char *label, const struct lab_result *r)
{
	fputs("    {", out);
	text(out, "asked", label, ",\n     ");
	text(out, "cc", r->cc, ",\n");
	fprintf(out, "     \"hash\": \"%016llx\",\n", (unsigned long long)r->hash);
	number(out, "packets", r->packets);
	number(out, "from_ns", r->from_ns);
	number(out, "to_ns", r->to_ns);
	number(out, "goodput_bps", r->goodput_bps);
	if (r->jain_mean)
		fprintf(out, "     \"jain_mean\": %.4f,\n     \"jain_least\": %.4f,\n",
			r->jain_mean / 1e4, r->jain_least / 1e4);
	number(out, "queue_mean_bytes", r->queue_mean);
	number(out, "queue_p99_bytes", r->queue_p99);
	number(out, "queue_max_bytes", r->queue_max);
	number(out, "pauses", r->pauses);
	number(out, "paused_ns", r->paused_ns);
	number(out, "lost", r->lost);
	number(out, "marked", r->marks);
	number(out, "cnps", r->cnps);
	number(out, "retransmits", r->retransmits);
	number(out, "timeouts", r->timeouts);
	number(out, "flows", r->flows);
	number(out, "flows_unfinished", r->unfinished);
	number(out, "queue_pairs_failed", r->broken);
	if (r->flows) {
		fputs("     \"completion\": [\n", out);
		for (unsigned c = 0; c < LAB_CLASSES; c++)
			class_json(out, &r->cls[c], c + 1 == LAB_CLASSES);
		fputs("     ],\n", out);
	}
	series_json(out, r);
}

void fns_cli_lab_json(FILE *out, const struct fns_lab_report *rep)
{
	fputs("{\n  \"simulated\": true,\n  \"version\": \"" FNS_VERSION "\",\n  ", out);
	text(out, "scenario", rep->scenario->name, ",\n  ");
	text(out, "topology", rep->scenario->topo, ",\n  ");
	fprintf(out,
		"\"link_mbps\": %u,\n  \"link_ns\": %u,\n  \"seed\": %llu,\n  \"time_ns\": %llu,\n  \"runs\": [\n",
		rep->scenario->rate_mbps, rep->scenario->delay_ns, (unsigned long long)rep->seed,
		(unsigned long long)rep->time_ns);
	for (unsigned i = 0; i < rep->n; i++) {
		run_json(out, rep->label[i], &rep->r[i]);
		fprintf(out, "}%s\n", i + 1 < rep->n ? "," : "");
	}
	fputs("  ]\n}\n", out);
}
