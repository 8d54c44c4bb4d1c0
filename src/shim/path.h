/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which paths the shim answers, and where. Pure string work: no allocation, no locks, no system
 * call, so that it may run before main(), in signal handlers and after fork().
 */
#ifndef FNS_SHIM_PATH_H
#define FNS_SHIM_PATH_H

#include <stddef.h>

/* Longest path in the private tree. Small because it lies on the caller's stack, which may be a
 * signal stack. */
#define FNS_SHIM_PATH_MAX 512

/*
 * The path to use instead of `path`: in `buf` when it names InfiniBand's sysfs classes or
 * /dev/infiniband, else `path` itself (NULL included). root is the private tree, NULL for none. A
 * result that does not fit is left unmapped.
 */
const char *fns_shim_path_map(
	const char *root, const char *path, char buf[static FNS_SHIM_PATH_MAX]);

/* Undoes the mapping in place, for results such as realpath()'s: "<root>/sys/class/x" becomes
 * "/sys/class/x". */
void fns_shim_path_unmap(const char *root, char *path);

#endif
