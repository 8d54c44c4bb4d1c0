/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory protection: protection domains, memory regions and windows, and the one check that every
 * access to application memory passes (IBTA 10.6): key, protection domain, access rights, bounds.
 * Keys are 32 random bits. One table per engine, its thread only.
 */
#ifndef FNS_MEM_MEM_H
#define FNS_MEM_MEM_H

#include "base/rng.h"
#include "mem/dma.h"
#include "pipe/layout.h"

struct fns_pd {
	uint32_t handle, client;
	uint32_t refs;  /* objects made in it */
	uint32_t space; /* whose memory its regions are, for the DMA backend */
};

enum fns_mr_kind {
	FNS_MR_REGION,
	FNS_MR_WINDOW_1,
	FNS_MR_WINDOW_2
};

/* A memory region, or a memory window (then region is the bound one's). */
struct fns_mr {
	uint32_t key;
	uint32_t access;
	struct fns_pd *pd;
	uint64_t iova; /* address that work requests name; 0 for zero-based */
	uint64_t len;
	uint64_t off;              /* of iova within region */
	struct fns_region *region; /* NULL: window not bound */
	enum fns_mr_kind kind;
	uint32_t handle, client;
	uint32_t windows;        /* region: windows bound to it */
	struct fns_mr *bound_to; /* window: its region */
	uint32_t qpn;            /* window type 2: queue pair it is bound through */
	uint64_t cookie;
};

struct fns_mem;

/* seed: for the keys. NULL without memory. Does not own dma. */
struct fns_mem *fns_mem_create(struct fns_dma *dma, uint64_t seed);
void fns_mem_destroy(struct fns_mem *m);
struct fns_dma *fns_mem_dma(struct fns_mem *m);

/*
 * Registers. -EINVAL (bad range or rights), -EFAULT (not mapped), -ENOMEM. The caller owns the mr's
 * handle and pd accounting.
 */
int fns_mr_create(struct fns_mem *m, struct fns_pd *pd, uint64_t addr, uint64_t len, uint64_t iova,
	uint32_t access, struct fns_mr **out);
/*
 * Gives a region another range, rights or domain under the same key. -EBUSY: windows are bound to
 * it; -EAGAIN: operations are in flight; else as create. On failure it stays as it was.
 */
int fns_mr_change(struct fns_mem *m, struct fns_mr *mr, struct fns_pd *pd, uint64_t addr,
	uint64_t len, uint64_t iova, uint32_t access);
/* Unbound window of type 1 or 2; window 1 gets its key at once. */
int fns_mw_create(struct fns_mem *m, struct fns_pd *pd, enum fns_mr_kind kind, struct fns_mr **out);
/*
 * -EBUSY: windows are bound to it. -EAGAIN: operations are in flight on it; from now on its key is
 * dead all the same, ask again.
 */
int fns_mr_destroy(struct fns_mem *m, struct fns_mr *mr);
/*
 * Binds a window (IBTA 10.6.7.2): checks that mw_key names a window of pd, that the region allows
 * it, and gives it new_key. len 0 unbinds. Returns a work completion status.
 */
enum fns_wc_status fns_mw_bind(struct fns_mem *m, struct fns_pd *pd, uint32_t qpn, uint32_t mw_key,
	uint32_t new_key, uint32_t mr_key, uint64_t addr, uint64_t len, uint32_t access);
/* Invalidates a type 2 window by key (local invalidate, SEND with invalidate). 0, or -EINVAL if the
 * key is no window of pd. */
int fns_mw_invalidate(struct fns_mem *m, struct fns_pd *pd, uint32_t qpn, uint32_t key);

enum fns_mem_result {
	FNS_MEM_OK,
	FNS_MEM_BAD_KEY,
	FNS_MEM_BAD_PD,
	FNS_MEM_BAD_ACCESS,
	FNS_MEM_BAD_RANGE,
};

/*
 * The check. need: FNS_ACCESS_* bits that the key must carry, 0 for local reading. qpn: of the
 * queue pair on whose behalf (windows of type 2). remote: a window's key is only good for remote
 * access. On OK *ref names the memory; len may be 0 (then only *ref->len is set and the key is not
 * looked at: IBTA 9.7.4.1.3 forbids checking rkeys of zero-length requests).
 */
enum fns_mem_result fns_mem_check(struct fns_mem *m, const struct fns_pd *pd, uint32_t qpn,
	uint32_t key, uint64_t va, uint32_t len, uint32_t need, bool remote,
	struct fns_memref *ref);

/* In-flight accounting around asynchronous operations, so that deregistration can wait. */
static inline void fns_memref_get(struct fns_memref r)
{
	r.region->users++;
}

static inline void fns_memref_put(struct fns_memref r)
{
	r.region->users--;
}

#endif
