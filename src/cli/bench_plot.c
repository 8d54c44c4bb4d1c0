/* SPDX-License-Identifier: Apache-2.0 */
/* The drawings of `flexins bench smartnic`, by gnuplot: it reads a script with its data from a pipe
 * and writes the SVG to its standard output. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/cli.h"

extern char **environ;

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

static void script(
	FILE *out, const struct fns_snic_point *pt, const struct fns_snic_result *r, size_t n)
{
	size_t i, k, rows = 0;

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

/* Starts gnuplot; 0 or errno. *in: where its script goes. */
static int start(int svg, FILE **in, pid_t *pid)
{
	char *argv[] = {"gnuplot", NULL};
	posix_spawn_file_actions_t fa;
	int fd[2], rc;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return errno;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fd[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&fa, svg, STDOUT_FILENO);
	rc = posix_spawnp(pid, "gnuplot", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(fd[0]);
	if (rc == 0 && !(*in = fdopen(fd[1], "w")))
		rc = errno;
	if (rc != 0)
		close(fd[1]);
	return rc;
}

int fns_cli_bench_plot(const char *path, const struct fns_snic_point *pt,
	const struct fns_snic_result *r, size_t n)
{
	int svg = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), rc, status = 0;
	FILE *in = NULL;
	pid_t pid;

	if (svg < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", path, strerror(errno));
	signal(SIGPIPE, SIG_IGN); /* gnuplot may end early; its status tells */
	rc = start(svg, &in, &pid);
	close(svg);
	if (rc != 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "--svg: gnuplot: %s%s", strerror(rc),
			rc == ENOENT ? " (package gnuplot-nox)" : "");
	script(in, pt, r, n);
	fclose(in);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "--svg: gnuplot failed");
	return FNS_EXIT_OK;
}
