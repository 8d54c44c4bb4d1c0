/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of `flexins bench smartnic` as lists of points to measure. Everything a point needs
 * is in it; nothing here is a result. Used by the command and by its test.
 */
#ifndef FNS_BENCH_FIGURES_H
#define FNS_BENCH_FIGURES_H

#include "bench/smartnic.h"

#define FNS_SNIC_POINTS 128u /* of all figures together, at most */

enum fns_snic_figure {
	FNS_SNIC_FIG_TX,   /* FlexiNS fig. 11: payload to the wire, by message size */
	FNS_SNIC_FIG_RX,   /* FlexiNS fig. 13: the same for receive */
	FNS_SNIC_FIG_SET,  /* receive, by what the senders have outstanding */
	FNS_SNIC_FIG_PIPE, /* notification, by descriptors posted at a time */
	FNS_SNIC_FIGURES
};

struct fns_snic_figure_info {
	const char *name;  /* for the command line */
	const char *title; /* without "emulated" */
	const char *x;     /* what x is, with its unit */
};
extern const struct fns_snic_figure_info fns_snic_figure_info[FNS_SNIC_FIGURES];

struct fns_snic_point {
	enum fns_snic_figure figure;
	const char *scheme;
	uint32_t x;
	struct fns_snic_case c;
	struct fns_snic_params p;
};

/* The points of one figure, scheme by scheme, x ascending. How many. */
size_t fns_snic_figure_points(enum fns_snic_figure f, const struct fns_snic_params *p,
	struct fns_snic_point out[FNS_SNIC_POINTS]);

#endif
