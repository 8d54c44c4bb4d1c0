/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private tree that the path shim shows to programs instead of /sys/class/infiniband* and
 * /dev/infiniband. Made by `flexins run`, read by programs through src/shim; see tree.c for where
 * it lies.
 */
#ifndef FNS_CLI_TREE_H
#define FNS_CLI_TREE_H

#include <stddef.h>

#include "verbs/netdev.h"

/*
 * Makes the tree for these devices, or finds the one that an earlier run made, and writes its path
 * into root. 0, or an exit code after saying what is wrong.
 */
int fns_cli_tree_make(const struct fns_netdev *dev, unsigned n, char *root, size_t len);

#endif
