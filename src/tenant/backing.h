/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which memory file a range of this process's memory is a shared mapping of, if it is one: then the
 * engine maps that file too, instead of reaching for it through the kernel each time. Called by
 * tenant.c at registration; any thread.
 */
#ifndef FNS_TENANT_BACKING_H
#define FNS_TENANT_BACKING_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A descriptor of the file, the caller's to close, and where in it addr is. -1: the range is not
 * wholly one shared mapping, or its file cannot be reached. writable: the descriptor must be.
 */
int fns_tenant_backing(uint64_t addr, uint64_t len, bool writable, uint64_t *file_off);

#endif
