/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory windows (IBTA 10.6.7.2): narrower, revocable rights to a part of a region. A window
 * borrows its region's import and is counted in it, so that the region outlives it. Called by the
 * engine for control operations, bind and invalidate work requests.
 */
#include <errno.h>

#include "base/assert.h"
#include "mem/mem_priv.h"

#define WINDOW_RIGHTS                                                                              \
	(FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC |             \
		FNS_ACCESS_ZERO_BASED)

int fns_mw_create(struct fns_mem *m, struct fns_pd *pd, enum fns_mr_kind kind, struct fns_mr **out)
{
	struct mr *p;
	int rc;

	if (kind != FNS_MR_WINDOW_1 && kind != FNS_MR_WINDOW_2)
		return -EINVAL;
	/* Type 2 gets one too: the first bind names the window by it. */
	rc = fns_mr_alloc(m, pd, kind, &p);
	if (rc == 0)
		*out = &p->mr;
	return rc;
}

void fns_mw_unbind(struct fns_mr *mw)
{
	fns_assert(fns_mr_is_window(mw));
	if (mw->bound_to) {
		fns_assert(mw->bound_to->windows > 0);
		mw->bound_to->windows--;
	}
	mw->bound_to = NULL;
	mw->region = NULL;
	mw->iova = mw->len = mw->off = 0;
	mw->access = 0;
	mw->qpn = 0;
}

/* What the region must grant for this window. */
static bool region_allows(const struct fns_mr *mr, const struct fns_pd *pd, uint64_t addr,
	uint64_t len, uint32_t access)
{
	uint64_t at = addr - mr->iova;

	if (fns_mr_is_window(mr) || mr->pd != pd)
		return false;
	/* C10-73, and no windows on zero-based regions. */
	if (!(mr->access & FNS_ACCESS_MW_BIND) || (mr->access & FNS_ACCESS_ZERO_BASED))
		return false;
	/* C10-74: the region's remote rights do not matter, its local ones do. */
	if ((access & (FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_ATOMIC)) &&
		!(mr->access & FNS_ACCESS_LOCAL_WRITE))
		return false;
	/* C10-75 */
	return addr >= mr->iova && at <= mr->len && len <= mr->len - at;
}

enum fns_wc_status fns_mw_bind(struct fns_mem *m, struct fns_pd *pd, uint32_t qpn, uint32_t mw_key,
	uint32_t new_key, uint32_t mr_key, uint64_t addr, uint64_t len, uint32_t access)
{
	struct mr *w = fns_keytab_find(&m->keys, mw_key), *r;
	struct fns_mr *mw, *mr;

	if (!w || !fns_mr_is_window(&w->mr) || w->mr.pd != pd)
		return FNS_WC_MW_BIND_ERR;
	/* Programs set the local right too, out of habit; a window has no local use. */
	access &= ~(uint32_t)FNS_ACCESS_LOCAL_WRITE;
	if (FNS_KEY_ID(new_key) != FNS_KEY_ID(mw_key) || (access & ~WINDOW_RIGHTS))
		return FNS_WC_MW_BIND_ERR;
	mw = &w->mr;
	if (mw->kind == FNS_MR_WINDOW_2) {
		/* o10-37.2.30: only a free one may be bound; o10-37.2.40: nor is a bind of length 0
		 * its way to invalidation. */
		if (mw->region || len == 0)
			return FNS_WC_MW_BIND_ERR;
	} else if (access & FNS_ACCESS_ZERO_BASED) { /* o10-36.2.2 */
		return FNS_WC_MW_BIND_ERR;
	}
	if (len == 0) {
		fns_mw_unbind(mw);
		fns_keytab_rekey(&m->keys, w, new_key);
		return FNS_WC_SUCCESS;
	}

	r = fns_keytab_find(&m->keys, mr_key);
	if (!r || !region_allows(&r->mr, pd, addr, len, access))
		return FNS_WC_MW_BIND_ERR;
	mr = &r->mr;
	fns_mw_unbind(mw);
	mw->region = mr->region;
	mw->bound_to = mr;
	mr->windows++;
	mw->off = mr->off + (addr - mr->iova);
	mw->iova = access & FNS_ACCESS_ZERO_BASED ? 0 : addr;
	mw->len = len;
	mw->access = access;
	mw->qpn = mw->kind == FNS_MR_WINDOW_2 ? qpn : 0;
	fns_keytab_rekey(&m->keys, w, new_key);
	return FNS_WC_SUCCESS;
}

/* Invalidating one that is not bound changes nothing and is no error. */
int fns_mw_invalidate(struct fns_mem *m, struct fns_pd *pd, uint32_t qpn, uint32_t key)
{
	struct mr *w = fns_keytab_find(&m->keys, key);

	if (!w || w->mr.kind != FNS_MR_WINDOW_2 || w->mr.pd != pd)
		return -EINVAL;
	if (w->mr.region && w->mr.qpn != qpn)
		return -EINVAL;
	fns_mw_unbind(&w->mr);
	return 0;
}
