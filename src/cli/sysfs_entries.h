/* SPDX-License-Identifier: Apache-2.0 */
/* The content of the private tree as a list: what sysfs and /dev would show for the devices. Used
 * by tree.c. */
#ifndef FNS_CLI_SYSFS_ENTRIES_H
#define FNS_CLI_SYSFS_ENTRIES_H

#include <stdint.h>

#include "verbs/netdev.h"

enum fns_sysfs_type {
	FNS_SYSFS_DIR,
	FNS_SYSFS_FILE,
	FNS_SYSFS_LINK
};

struct fns_sysfs_entry {
	enum fns_sysfs_type type;
	char *path;    /* relative to the root */
	char *content; /* of a file, or a link's target; "" for a directory */
};

struct fns_sysfs {
	struct fns_sysfs_entry *entry;
	unsigned n, room;
};

/* Fills a zeroed list. 0 or -ENOMEM; fini() is due in both cases. */
int fns_sysfs_build(struct fns_sysfs *fs, const struct fns_netdev *dev, unsigned n);
void fns_sysfs_fini(struct fns_sysfs *fs);
/* FNV-1a of all entries: equal lists, equal hash. */
uint64_t fns_sysfs_hash(const struct fns_sysfs *fs);

#endif
