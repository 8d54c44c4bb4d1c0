/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last-level cache in front of the NIC's DRAM: set-associative, least recently used, 64-byte
 * lines, over the addresses that the engine and the wire really use. Lines are renamed in the order
 * of their first use, so that results do not depend on where this process's heap lies (nor where in
 * a page a block begins, as long as it begins on a line). Only tags: no data. Used by the model.
 */
#ifndef FNS_SMARTNIC_CACHE_H
#define FNS_SMARTNIC_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FNS_SNIC_LINE 64u

struct fns_snic_cache;

/* What one or more accesses moved between cache and DRAM, bytes, and how lines fared. */
struct fns_snic_traffic {
	uint64_t dram_read, dram_written;
	uint64_t hits;   /* lines that were there */
	uint64_t misses; /* lines that were not, and DRAM had to be read or written for them */
};

enum fns_snic_access {
	FNS_SNIC_READ,      /* NIC, DMA engine or core: a miss fills from DRAM and allocates */
	FNS_SNIC_NIC_WRITE, /* whole lines need no fill; without stashing a miss goes to DRAM */
	FNS_SNIC_CPU_WRITE, /* always allocates; fills lines written in part */
	FNS_SNIC_DISCARD,   /* whole lines leave unwritten; others stay */
};

/* size_bytes / (64 * ways) sets, at least one. NULL without memory. */
struct fns_snic_cache *fns_snic_cache_create(
	uint64_t size_bytes, uint32_t ways, bool stash, uint32_t stash_ways);
void fns_snic_cache_destroy(struct fns_snic_cache *c);
/* Touches len bytes at p; adds to *t. */
void fns_snic_cache_access(struct fns_snic_cache *c, enum fns_snic_access kind, const void *p,
	size_t len, struct fns_snic_traffic *t);
/* Lines present, for tests. */
uint64_t fns_snic_cache_lines(const struct fns_snic_cache *c);

#endif
