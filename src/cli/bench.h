/* SPDX-License-Identifier: Apache-2.0 */
/* Private to `flexins bench`: its kinds, and what they share. */
#ifndef FNS_CLI_BENCH_H
#define FNS_CLI_BENCH_H

#include "bench/figures.h"

/* Subcommands of `flexins bench`: argv[0] is the kind. Each returns the exit code. */
int fns_cli_bench_cc(int argc, char **argv);
int fns_cli_bench_micro(int argc, char **argv);
int fns_cli_bench_pipe(int argc, char **argv);
int fns_cli_bench_smartnic(int argc, char **argv);

/* Draws what was measured into an SVG file, by gnuplot. An exit code, after saying what is wrong.
 */
int fns_cli_bench_plot(const char *path, const struct fns_snic_point *pt,
	const struct fns_snic_result *r, size_t n);

#endif
