/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations on memory regions and windows. */
#include <errno.h>

#include "engine/engine_priv.h"

static struct fns_mr *find(struct fns_engine *e, const struct fns_ctl *m, bool window)
{
	struct fns_mr *mr = fns_table_get(&e->mrs, m->handle);

	return mr && mr->client == m->client && (mr->kind != FNS_MR_REGION) == window ? mr : NULL;
}

/* What peers of this host may access without us; windows they cannot. */
static void expose(struct fns_engine *e, const struct fns_mr *mr)
{
	struct fns_wire *wire = e->nic.wire;

	if (!wire->ops->mr_expose || mr->len == 0 || !mr->region->near_base ||
		!(mr->access & (FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_WRITE)))
		return;
	wire->ops->mr_expose(wire, &(struct fns_exposed_mr){.iova = mr->iova,
					   .len = mr->len,
					   .addr = (uintptr_t)mr->region->near_base + mr->off,
					   .key = mr->key,
					   .pd = mr->pd->handle,
					   .access = mr->access});
}

/* False: a peer is accessing it right now. */
static bool conceal(struct fns_engine *e, const struct fns_mr *mr)
{
	struct fns_wire *wire = e->nic.wire;

	return !wire->ops->mr_conceal || wire->ops->mr_conceal(wire, mr->key);
}

int fns_ctl_mr_reg(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_pd *pd = fns_ctl_pd(e, m->client, m->mr.pd);
	struct fns_mr *mr;
	uint32_t handle;
	int r;

	if (!pd)
		return -EINVAL;
	r = fns_ctl_charge(e, m->client, 0);
	if (r < 0)
		return r;
	r = fns_mr_create(e->nic.mem, pd, m->mr.addr, m->mr.len, m->mr.iova, m->mr.access, &mr);
	if (r < 0) {
		fns_ctl_refund(e, m->client, 0);
		return r;
	}
	r = fns_table_add(&e->mrs, mr, &handle);
	if (r < 0) {
		fns_ctl_refund(e, m->client, 0);
		fns_mr_destroy(e->nic.mem, mr);
		return r;
	}
	pd->refs++;
	mr->handle = handle;
	mr->client = m->client;
	mr->cookie = m->cookie;
	m->handle = handle;
	m->mr.key = mr->key;
	expose(e, mr);
	return 0;
}

int fns_ctl_mr_dereg(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_mr *mr = find(e, m, false);
	struct fns_pd *pd;
	int r;

	if (!mr)
		return -EINVAL;
	/* Frames that the wire had no room for still refer to application memory. */
	if (e->nic.txq.n || !conceal(e, mr))
		return -EAGAIN;
	pd = mr->pd;
	r = fns_mr_destroy(e->nic.mem, mr);
	if (r < 0) {
		if (r == -EBUSY)
			expose(e, mr);
		return r;
	}
	pd->refs--;
	fns_table_remove(&e->mrs, m->handle);
	fns_ctl_refund(e, m->client, 0);
	return 0;
}

/* The key stays, as with other devices; on failure the region stays as it was. */
int fns_ctl_mr_rereg(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_mr *mr = find(e, m, false);
	struct fns_pd *pd;
	int r;

	if (!mr || (m->mr.flags & ~7u) || !m->mr.flags)
		return -EINVAL;
	if (e->nic.txq.n || !conceal(e, mr))
		return -EAGAIN;
	pd = m->mr.flags & FNS_REREG_PD ? fns_ctl_pd(e, m->client, m->mr.pd) : mr->pd;
	if (!pd) {
		expose(e, mr);
		return -EINVAL;
	}
	if (!(m->mr.flags & FNS_REREG_TRANSLATION)) {
		m->mr.addr = mr->region->addr + mr->off;
		m->mr.len = mr->len;
		m->mr.iova = mr->iova;
	}
	mr->pd->refs--;
	r = fns_mr_change(e->nic.mem, mr, pd, m->mr.addr, m->mr.len, m->mr.iova,
		m->mr.flags & FNS_REREG_ACCESS ? m->mr.access : mr->access);
	mr->pd->refs++;
	if (r != -EAGAIN)
		expose(e, mr);
	if (r == 0)
		m->mr.key = mr->key;
	return r;
}

int fns_ctl_mw_create(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_pd *pd = fns_ctl_pd(e, m->client, m->mw.pd);
	struct fns_mr *mw;
	uint32_t handle;
	int r;

	if (!pd || m->mw.type < 1 || m->mw.type > 2)
		return -EINVAL;
	r = fns_ctl_charge(e, m->client, 0);
	if (r < 0)
		return r;
	r = fns_mw_create(e->nic.mem, pd, m->mw.type == 1 ? FNS_MR_WINDOW_1 : FNS_MR_WINDOW_2, &mw);
	if (r < 0) {
		fns_ctl_refund(e, m->client, 0);
		return r;
	}
	r = fns_table_add(&e->mrs, mw, &handle);
	if (r < 0) {
		fns_ctl_refund(e, m->client, 0);
		fns_mr_destroy(e->nic.mem, mw);
		return r;
	}
	pd->refs++;
	mw->handle = handle;
	mw->client = m->client;
	mw->cookie = m->cookie;
	m->handle = handle;
	m->mw.key = mw->key;
	return 0;
}

int fns_ctl_mw_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_mr *mw = find(e, m, true);
	struct fns_pd *pd;
	int r;

	if (!mw)
		return -EINVAL;
	if (e->nic.txq.n)
		return -EAGAIN;
	pd = mw->pd;
	r = fns_mr_destroy(e->nic.mem, mw);
	if (r < 0)
		return r;
	pd->refs--;
	fns_table_remove(&e->mrs, m->handle);
	fns_ctl_refund(e, m->client, 0);
	return 0;
}
