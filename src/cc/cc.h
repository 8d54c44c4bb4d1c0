/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Congestion control, the side of the engine: what there is, choosing by name, and the guard
 * between an algorithm's output and a queue pair. The interface of algorithms is flexins/cc.h.
 */
#ifndef FNS_CC_CC_H
#define FNS_CC_CC_H

#include <stdbool.h>
#include <stddef.h>

#include "flexins/cc.h"

/* A constant window, FNS_CC_STATIC_WINDOW bytes: what a NIC without congestion control does. */
#define FNS_CC_STATIC_WINDOW (8u << 20)
extern const struct fns_cc_ops fns_cc_static_window, fns_cc_dcqcn, fns_cc_timely, fns_cc_swift,
	fns_cc_hpcc, fns_cc_bbr;

/* Those linked in, the default first; NULL past the last. */
const struct fns_cc_ops *fns_cc_at(unsigned i);

/* An algorithm and its parameters. */
struct fns_cc_choice {
	const struct fns_cc_ops *ops;
	uint64_t param[FNS_CC_PARAMS];
};

/* With default parameters. */
void fns_cc_default(const struct fns_cc_ops *ops, struct fns_cc_choice *out);

/*
 * "NAME" or "NAME:param=value,param=value..."; NULL and "" are the default. False: err says what is
 * wrong and what there is, and *out is as it was.
 */
bool fns_cc_parse(const char *text, struct fns_cc_choice *out, char *err, size_t errlen);

/* The same, also among others, the first of a name. */
bool fns_cc_parse_among(const struct fns_cc_ops *const *more, unsigned nmore, const char *text,
	struct fns_cc_choice *out, char *err, size_t errlen);
/* Only parameters: "" or ":param=value,param=value...", into a choice that holds the defaults. */
bool fns_cc_parse_params(struct fns_cc_choice *c, const char *text, char *err, size_t errlen);
bool fns_cc_equal(const struct fns_cc_choice *a, const struct fns_cc_choice *b);

/* The same form, with what differs from the defaults; cut off where there is no room. */
void fns_cc_print(const struct fns_cc_choice *c, char *out, size_t len);

/* NULL: a table that can be used; else what is wrong with it. */
const char *fns_cc_ops_fault(const struct fns_cc_ops *ops);
/* The same for one that is loaded, which may not have a built-in's name. */
const char *fns_cc_plugin_fault(const struct fns_cc_ops *ops);

/*
 * want, from on_event, becomes what may be in force; had is what was. Returns how many slots were
 * nonsense. Pure.
 */
unsigned fns_cc_guard(const struct fns_cc_out *had, struct fns_cc_out *want, uint64_t now_ns);

#endif
