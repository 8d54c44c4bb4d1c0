/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory regions and the check. Owns regions' DMA imports and all fns_mr objects; the key table is
 * in keytab.c, binding of windows in window.c. Datapath 7: every access to application memory comes
 * through fns_mem_check. Engine's thread only.
 */
#include "mem/mem.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "mem/mem_priv.h"

#define ACCESS_KNOWN                                                                               \
	(FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ |               \
		FNS_ACCESS_REMOTE_ATOMIC | FNS_ACCESS_MW_BIND | FNS_ACCESS_ZERO_BASED |            \
		FNS_ACCESS_ON_DEMAND)
/* IBV_ACCESS_OPTIONAL_RANGE: hints (relaxed ordering), by definition free to be ignored. */
#define ACCESS_OPTIONAL 0x3ff00000u

struct fns_mem *fns_mem_create(struct fns_dma *dma, uint64_t seed)
{
	struct fns_mem *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->dma = dma;
	fns_list_init(&m->objects);
	if (fns_keytab_init(&m->keys, seed) != 0) {
		free(m);
		return NULL;
	}
	return m;
}

void fns_mem_destroy(struct fns_mem *m)
{
	struct fns_list *n;

	if (!m)
		return;
	/* Windows borrow their region's import. */
	while ((n = fns_list_pop_front(&m->objects))) {
		struct mr *p = fns_container_of(n, struct mr, link);

		if (p->mr.kind == FNS_MR_REGION)
			m->dma->ops->release(m->dma, p->mr.region);
		free(p);
	}
	fns_keytab_fini(&m->keys);
	free(m);
}

struct fns_dma *fns_mem_dma(struct fns_mem *m)
{
	return m->dma;
}

int fns_mr_alloc(struct fns_mem *m, struct fns_pd *pd, enum fns_mr_kind kind, struct mr **out)
{
	struct mr *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->mr.pd = pd;
	p->mr.kind = kind;
	rc = fns_keytab_add(&m->keys, p);
	if (rc != 0) {
		free(p);
		return rc;
	}
	fns_list_push_back(&m->objects, &p->link);
	*out = p;
	return 0;
}

static void mr_free(struct mr *p)
{
	fns_list_remove(&p->link);
	free(p);
}

/* [start, start + len) runs past the end of the address space. */
static bool range_wraps(uint64_t start, uint64_t len)
{
	return len != 0 && start + (len - 1) < start;
}

/* Fills in range and rights of a region; nothing changes on failure. */
static int mr_set(struct fns_mem *m, struct fns_mr *mr, const struct fns_pd *pd, uint64_t addr,
	uint64_t len, uint64_t iova, uint32_t access)
{
	struct fns_region *region;
	int rc;

	if (access & ~(ACCESS_KNOWN | ACCESS_OPTIONAL))
		return -EINVAL;
	access &= ACCESS_KNOWN;
	/* IBTA C10-61: who lets others write must be able to write. */
	if ((access & (FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_ATOMIC)) &&
		!(access & FNS_ACCESS_LOCAL_WRITE))
		return -EINVAL;
	if (access & FNS_ACCESS_ZERO_BASED)
		iova = 0;
	if (range_wraps(addr, len) || range_wraps(iova, len))
		return -EINVAL;

	rc = m->dma->ops->import(
		m->dma, pd->space, addr, len, (access & FNS_ACCESS_WRITES) != 0, &region);
	if (rc != 0)
		return rc;
	if (mr->region)
		m->dma->ops->release(m->dma, mr->region);
	mr->region = region;
	mr->off = 0;
	mr->iova = iova;
	mr->len = len;
	mr->access = access;
	return 0;
}

int fns_mr_create(struct fns_mem *m, struct fns_pd *pd, uint64_t addr, uint64_t len, uint64_t iova,
	uint32_t access, struct fns_mr **out)
{
	struct mr *p;
	int rc;

	rc = fns_mr_alloc(m, pd, FNS_MR_REGION, &p);
	if (rc != 0)
		return rc;
	rc = mr_set(m, &p->mr, pd, addr, len, iova, access);
	if (rc != 0) {
		fns_keytab_remove(&m->keys, p);
		mr_free(p);
		return rc;
	}
	*out = &p->mr;
	return 0;
}

int fns_mr_change(struct fns_mem *m, struct fns_mr *mr, struct fns_pd *pd, uint64_t addr,
	uint64_t len, uint64_t iova, uint32_t access)
{
	int rc;

	if (mr->windows)
		return -EBUSY;
	if (mr->region->users)
		return -EAGAIN;
	rc = mr_set(m, mr, pd, addr, len, iova, access);
	if (rc == 0)
		mr->pd = pd;
	return rc;
}

/*
 * A window goes at once: it owns no memory, and operations that passed the check through it hold
 * its region.
 */
int fns_mr_destroy(struct fns_mem *m, struct fns_mr *mr)
{
	struct mr *p;

	if (!mr)
		return 0;
	p = fns_container_of(mr, struct mr, mr);
	if (fns_mr_is_window(mr)) {
		fns_mw_unbind(mr);
		fns_keytab_remove(&m->keys, p);
		mr_free(p);
		return 0;
	}
	if (mr->windows > 0)
		return -EBUSY;
	if (p->keyed)
		fns_keytab_remove(&m->keys, p);
	if (mr->region->users > 0)
		return -EAGAIN;
	m->dma->ops->release(m->dma, mr->region);
	mr_free(p);
	return 0;
}

enum fns_mem_result fns_mem_check(struct fns_mem *m, const struct fns_pd *pd, uint32_t qpn,
	uint32_t key, uint64_t va, uint32_t len, uint32_t need, bool remote, struct fns_memref *ref)
{
	const struct fns_mr *mr;
	const struct mr *p;
	uint64_t at;

	if (len == 0) {
		*ref = (struct fns_memref){0};
		return FNS_MEM_OK;
	}
	p = fns_keytab_find(&m->keys, key);
	if (fns_unlikely(!p))
		return FNS_MEM_BAD_KEY;
	mr = &p->mr;
	if (fns_mr_is_window(mr) &&
		(!remote || !mr->region || (mr->kind == FNS_MR_WINDOW_2 && mr->qpn != qpn)))
		return FNS_MEM_BAD_KEY;
	if (fns_unlikely(mr->pd != pd))
		return FNS_MEM_BAD_PD;
	if (fns_unlikely(need & ~mr->access))
		return FNS_MEM_BAD_ACCESS;
	/* Below iova, at wraps to more than any len: a region never runs past the end of the
	 * address space. */
	at = va - mr->iova;
	if (fns_unlikely(va < mr->iova || at > mr->len || len > mr->len - at))
		return FNS_MEM_BAD_RANGE;
	ref->region = mr->region;
	ref->off = mr->off + at;
	ref->len = len;
	return FNS_MEM_OK;
}
