/* SPDX-License-Identifier: Apache-2.0 */
/* A congestion control in eBPF as a table like any other. Private to cc: called by load.c. */
#ifndef FNS_CC_EBPF_H
#define FNS_CC_EBPF_H

#include "cc/cc.h"

/* Verifies and compiles; for ever. Its ctx->self must be the table that is called. NULL: err says
 * why not. */
const struct fns_cc_ops *fns_cc_ebpf_create(const void *elf, size_t len, char *err, size_t errlen);

#endif
