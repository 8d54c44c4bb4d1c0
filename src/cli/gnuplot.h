/* SPDX-License-Identifier: Apache-2.0 */
/* Drawings by gnuplot: it reads a script with its data from a pipe and writes the SVG to its
 * standard output. */
#ifndef FNS_CLI_GNUPLOT_H
#define FNS_CLI_GNUPLOT_H

#include <stdio.h>

/* script writes what gnuplot shall do; path is what it draws. An exit code, after saying what is
 * wrong. */
int fns_cli_gnuplot(
	const char *path, void (*script)(FILE *out, const void *what), const void *what);

#endif
