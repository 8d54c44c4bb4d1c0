/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process backend: host memory is that of other processes. Regions that are shared mappings of
 * memory files are mapped here too and used in place (near_base); all others are reached by
 * process_vm_readv and process_vm_writev. Atomics on those others are handed to the process itself,
 * because nobody else can do them against its processors.
 *
 * A space is one process, named by the number that fns_dma_ops.import gets. Everything completes
 * inside its call but those atomics. One thread: the engine's.
 */
#ifndef FNS_MEM_PROCESS_H
#define FNS_MEM_PROCESS_H

#include <sys/types.h>

#include "mem/dma.h"

#define FNS_DMA_ATOMICS_EACH 256u                   /* handed to one process at a time */
#define FNS_DMA_ATOMIC_NS    (2ull * 1000000000ull) /* it has so long to answer */
#define FNS_DMA_MAPS_EACH    1024u                  /* files mapped for one process at most */
#define FNS_DMA_MAP_BYTES    ((uint64_t)1 << 42)    /* and so much address space */

struct fns_dma_process_cfg {
	uint32_t spaces;
	/*
	 * Hands an atomic to the process: id must come back to fns_dma_process_atomic_done().
	 * Must not block nor call back. False: it cannot be handed over.
	 */
	bool (*atomic)(void *ctx, uint32_t space, uint32_t id, uint64_t addr, bool compare_swap,
		uint64_t swap_add, uint64_t compare);
	void *ctx;
};

/* NULL without memory. */
struct fns_dma *fns_dma_process_create(const struct fns_dma_process_cfg *cfg);
/*
 * The space is process pid from now on. pidfd is the caller's and tells when it has ended (-1:
 * unknown); it must stay open until the space is closed. 0 or negative errno.
 */
int fns_dma_process_open(struct fns_dma *d, uint32_t space, pid_t pid, int pidfd);
/* The process has ended or is given up: nothing of its address space is touched any more, and
 * atomics that it was asked for fail at the next poll. Its regions still have to be released. */
void fns_dma_process_close(struct fns_dma *d, uint32_t space);
/*
 * The next import of just this range may use this memory file (a shared mapping of its bytes from
 * off on is what the process has there) instead of the process's address space. The descriptor
 * stays the caller's. 0, or negative errno when it is no file to rely on; then the import goes the
 * other way. An offer replaces the one before; len 0 takes it back.
 */
int fns_dma_process_offer(struct fns_dma *d, uint32_t space, uint64_t addr, uint64_t len, int fd,
	uint64_t off, bool writable);
/* What the process says to an atomic; hostile. False: it was not asked, or answered too late. */
bool fns_dma_process_atomic_done(
	struct fns_dma *d, uint32_t space, uint32_t id, int result, uint64_t found);

#endif
