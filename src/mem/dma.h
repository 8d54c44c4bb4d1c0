/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory, as the engine may touch it: named by opaque references, never dereferenced,
 * asynchronous, fallible. A backend is near memory (direct: everything completes inline), a
 * simulation with delay and reordering (simdma), another process, or PCIe.
 *
 * Ownership: a region is refcounted by the backend's import/release (control path); references
 * borrow it. Tokens are embedded in and owned by the caller and must stay until done. One thread
 * advances a backend: the engine's.
 */
#ifndef FNS_MEM_DMA_H
#define FNS_MEM_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of host memory made known to a backend. Backends embed it first in a struct of their own.
 */
struct fns_region {
	uint64_t addr;      /* in the application's address space */
	uint64_t len;       /* bytes */
	uint8_t *near_base; /* where this process sees addr, NULL when the memory is not addressable
			       here */
	bool read_only;
	uint32_t users; /* operations in flight on it, kept by the engine's memory module */
};

/* len bytes at offset off of a region. */
struct fns_memref {
	struct fns_region *region;
	uint64_t off;
	uint32_t len;
};

/* Result of submitting: >= 0 is one of these, negative is an errno (nothing was submitted, token
 * untouched). */
enum {
	FNS_DMA_DONE = 0,    /* finished inside the call; token->done will not be called */
	FNS_DMA_PENDING = 1, /* token->done will be called once, from poll */
};

struct fns_dma_token {
	/* result: 0 or negative errno (-EFAULT: the memory is gone, -ECANCELED) */
	void (*done)(struct fns_dma_token *t, int result);
	uint64_t value;    /* atomic: the value found, host order */
	void *owner;       /* caller's */
	uint32_t tag;      /* caller's */
	uint32_t dma_priv; /* backend's */
};

struct fns_dma_caps {
	bool completes_inline; /* every operation returns FNS_DMA_DONE or an error */
	bool ordered;          /* operations take effect in the order submitted */
};

struct fns_dma;

struct fns_dma_ops {
	const char *name;
	struct fns_dma_caps caps;
	/*
	 * Makes [addr, addr + len) of an address space known; backends that know only one ignore
	 * space. writable: local or remote writes will be placed in it. -EFAULT when it is not
	 * mapped with those rights, -ENOMEM. Control path, may block.
	 */
	int (*import)(struct fns_dma *d, uint32_t space, uint64_t addr, uint64_t len, bool writable,
		struct fns_region **out);
	/* Only with no operation in flight on it. */
	void (*release)(struct fns_dma *d, struct fns_region *r);
	/*
	 * Writes ref.len bytes of src: ascending, aligned words never torn, the last 8 bytes by a
	 * release store. src must stay until done.
	 */
	int (*place)(
		struct fns_dma *d, struct fns_memref ref, const void *src, struct fns_dma_token *t);
	/* Reads ref.len bytes into dst, which must stay until done. */
	int (*fetch)(struct fns_dma *d, struct fns_memref ref, void *dst, struct fns_dma_token *t);
	/*
	 * Atomic on the 8 aligned bytes at ref, host order: add (compare_swap false) or compare and
	 * swap. The value found comes in t->value. Atomic against all accesses through this backend
	 * and the host's CPU atomics.
	 */
	int (*atomic)(struct fns_dma *d, struct fns_memref ref, bool compare_swap,
		uint64_t swap_add, uint64_t compare, struct fns_dma_token *t);
	/* Delivers completions due at now_ns; returns how many. */
	unsigned (*poll)(struct fns_dma *d, uint64_t now_ns);
	/* Earliest time at which poll would deliver something, UINT64_MAX if nothing is in flight
	 * or it cannot know. */
	uint64_t (*next)(struct fns_dma *d);
	/* Tries to cancel: true if done will never be called, false if it will be (the operation
	 * may have taken effect). */
	bool (*cancel)(struct fns_dma *d, struct fns_dma_token *t);
	void (*destroy)(struct fns_dma *d);
};

/* Backends embed this first. */
struct fns_dma {
	const struct fns_dma_ops *ops;
};

/* The near address of a reference, NULL if the region is not addressable here. */
static inline const uint8_t *fns_memref_near(struct fns_memref r)
{
	return r.region->near_base ? r.region->near_base + r.off : NULL;
}

/*
 * The direct backend: this process's own memory. Import populates the pages; copies are guarded, so
 * that memory unmapped, truncated or protected after registration gives -EFAULT instead of a signal
 * (mem/guard.h).
 */
struct fns_dma *fns_dma_direct_create(void);

/*
 * The simulation: the direct backend's memory, but place, fetch and atomic take effect and complete
 * at random times within [min_ns, max_ns] after submission in virtual time, in an order of their
 * own (place of one token is still ascending). It knows the time only by poll and
 * fns_dma_sim_set_now; memory is not near (near_base NULL), so payload must be fetched. src of a
 * place is read when it takes effect. fail_ppm: share of operations that fail with -EFAULT without
 * effect.
 */
struct fns_dma_sim_cfg {
	uint64_t seed;
	uint64_t min_ns, max_ns;
	uint32_t fail_ppm;
};
struct fns_dma *fns_dma_sim_create(const struct fns_dma_sim_cfg *cfg);
void fns_dma_sim_set_now(struct fns_dma *d, uint64_t now_ns);

#endif
