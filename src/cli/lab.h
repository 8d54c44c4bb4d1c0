/* SPDX-License-Identifier: Apache-2.0 */
/* Private to `flexins lab`. */
#ifndef FNS_CLI_LAB_H
#define FNS_CLI_LAB_H

#include <stdio.h>

#include "sim/lab.h"

#define FNS_LAB_RUNS 16u /* algorithms in one comparison at most */

/* What is compared. */
struct fns_lab_report {
	const struct lab_scenario *scenario;
	uint64_t seed, time_ns;
	unsigned n;
	char label[FNS_LAB_RUNS][96];
	struct lab_result *r; /* n of them */
};

/* lab_report.c */
void fns_cli_lab_table(const struct fns_lab_report *rep);
void fns_cli_lab_json(FILE *out, const struct fns_lab_report *rep);
/* lab_plot.c. An exit code, after saying what is wrong. */
int fns_cli_lab_plot(const char *path, const struct fns_lab_report *rep);

#endif
