/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarded access to memory of this process that belongs to the application: what the direct and
 * simdma backends are made of. Private to mem. Any thread; nothing here keeps state. All return 0
 * or -EFAULT unless said otherwise; addresses are the application's and hostile.
 */
#ifndef FNS_MEM_NEAR_H
#define FNS_MEM_NEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Populates [addr, addr + len) and proves that it may be read (and written, with writable). Control
 * path, blocks. len 0 is fine.
 */
int fns_near_probe(uint64_t addr, uint64_t len, bool writable);
/*
 * Copies to the application: ascending, naturally aligned 2-, 4- and 8-byte words whole, the last
 * piece (8 bytes where the end is aligned) by a release store.
 */
int fns_near_place(uint64_t addr, const void *src, size_t len);
int fns_near_fetch(void *dst, uint64_t addr, size_t len);
/* -EINVAL when addr is not a multiple of 8. */
int fns_near_atomic(
	uint64_t addr, bool compare_swap, uint64_t swap_add, uint64_t compare, uint64_t *found);

#endif
