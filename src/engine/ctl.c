/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations: one message in, its result out. Protection domains and clients here, the rest
 * by object in ctl_*.c. */
#include <errno.h>
#include <stdlib.h>

#include "engine/engine_priv.h"

int fns_ctl_charge(struct fns_engine *e, uint32_t client, uint64_t bytes)
{
	struct fns_app *a = &e->app[e->client_app[client]];

	if ((e->quota.objects && a->objects >= e->quota.objects) ||
		(e->quota.bytes && bytes > e->quota.bytes - FNS_MIN(a->bytes, e->quota.bytes)))
		return -ENOMEM;
	a->objects++;
	a->bytes += bytes;
	return 0;
}

void fns_ctl_refund(struct fns_engine *e, uint32_t client, uint64_t bytes)
{
	struct fns_app *a = &e->app[e->client_app[client]];

	a->objects--;
	a->bytes -= bytes;
}

struct fns_pd *fns_ctl_pd(struct fns_engine *e, uint32_t client, uint32_t handle)
{
	struct fns_pd *pd = fns_table_get(&e->pds, handle);

	return pd && pd->client == client ? pd : NULL;
}

int fns_ctl_pd_create(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_pd *pd;
	int r = fns_ctl_charge(e, m->client, 0);

	if (r < 0)
		return r;
	pd = calloc(1, sizeof(*pd));
	r = pd ? fns_table_add(&e->pds, pd, &pd->handle) : -ENOMEM;
	if (r < 0) {
		fns_ctl_refund(e, m->client, 0);
		free(pd);
		return r;
	}
	pd->client = m->client;
	pd->space = e->client_app[m->client];
	m->handle = pd->handle;
	return 0;
}

int fns_ctl_pd_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_pd *pd = fns_ctl_pd(e, m->client, m->handle);

	if (!pd)
		return -EINVAL;
	if (pd->refs)
		return -EBUSY;
	fns_table_remove(&e->pds, pd->handle);
	fns_ctl_refund(e, pd->client, 0);
	free(pd);
	return 0;
}

static int client_open(struct fns_engine *e, uint32_t app, struct fns_ctl *m)
{
	uint32_t i;

	if (e->quota.clients && e->app[app].clients >= e->quota.clients)
		return -EMFILE;
	for (i = 1; i < FNS_MAX_CLIENTS; i++) {
		if (!e->clients[i]) {
			e->clients[i] = true;
			e->client_app[i] = app;
			e->app[app].clients++;
			m->client = i;
			return 0;
		}
	}
	return -EMFILE;
}

/* Destroys what the client still owns in table t by op; 0 or the first failure. */
static int sweep(struct fns_engine *e, struct fns_table *t, uint32_t client, size_t client_off,
	int (*op)(struct fns_engine *e, struct fns_ctl *m))
{
	uint32_t i;
	int r;

	for (i = 0; i < t->size; i++) {
		struct fns_ctl m = {.client = client};
		const char *obj = t->slot[i].obj;

		if (!obj || *(const uint32_t *)(const void *)(obj + client_off) != client)
			continue;
		m.handle = (i + 1) | (uint32_t)t->slot[i].gen << 24;
		r = op(e, &m);
		if (r < 0)
			return r;
	}
	return 0;
}

static int mr_any_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_mr *mr = fns_table_get(&e->mrs, m->handle);

	return mr->kind == FNS_MR_REGION ? fns_ctl_mr_dereg(e, m) : fns_ctl_mw_destroy(e, m);
}

static int mw_only_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_mr *mr = fns_table_get(&e->mrs, m->handle);

	return mr->kind == FNS_MR_REGION ? 0 : fns_ctl_mw_destroy(e, m);
}

static int client_close(struct fns_engine *e, struct fns_ctl *m)
{
	uint32_t c = m->client, i;
	int r;

	for (i = 0; i < FNS_QP_INDEXES; i++) {
		if (e->qps[i] && e->qps[i]->client == c) {
			struct fns_ctl d = {.client = c, .handle = e->qps[i]->qpn};

			r = fns_ctl_qp_destroy(e, &d);
			if (r < 0)
				return r;
		}
	}
	r = sweep(e, &e->srqs, c, offsetof(struct fns_srq, client), fns_ctl_srq_destroy);
	if (r == 0)
		r = sweep(e, &e->cqs, c, offsetof(struct fns_cq, client), fns_ctl_cq_destroy);
	if (r == 0)
		r = sweep(e, &e->mrs, c, offsetof(struct fns_mr, client), mw_only_destroy);
	if (r == 0)
		r = sweep(e, &e->mrs, c, offsetof(struct fns_mr, client), mr_any_destroy);
	if (r == 0)
		r = sweep(e, &e->ahs, c, offsetof(struct fns_ah, client), fns_ctl_ah_destroy);
	if (r == 0)
		r = sweep(e, &e->pds, c, offsetof(struct fns_pd, client), fns_ctl_pd_destroy);
	if (r == 0) {
		e->clients[c] = false;
		e->app[e->client_app[c]].clients--;
	}
	return r;
}

static int dispatch(struct fns_engine *e, uint32_t app, struct fns_ctl *m)
{
	if (m->op == FNS_CTL_CLIENT_OPEN)
		return client_open(e, app, m);
	if (m->client == 0 || m->client >= FNS_MAX_CLIENTS || !e->clients[m->client] ||
		e->client_app[m->client] != app)
		return -EINVAL;
	switch (m->op) {
	case FNS_CTL_CLIENT_CLOSE:
		return client_close(e, m);
	case FNS_CTL_PD_CREATE:
		return fns_ctl_pd_create(e, m);
	case FNS_CTL_PD_DESTROY:
		return fns_ctl_pd_destroy(e, m);
	case FNS_CTL_MR_REG:
		return fns_ctl_mr_reg(e, m);
	case FNS_CTL_MR_REREG:
		return fns_ctl_mr_rereg(e, m);
	case FNS_CTL_MR_DEREG:
		return fns_ctl_mr_dereg(e, m);
	case FNS_CTL_MW_CREATE:
		return fns_ctl_mw_create(e, m);
	case FNS_CTL_MW_DESTROY:
		return fns_ctl_mw_destroy(e, m);
	case FNS_CTL_CQ_CREATE:
		return fns_ctl_cq_create(e, m);
	case FNS_CTL_CQ_RESIZE:
		return fns_ctl_cq_resize(e, m);
	case FNS_CTL_CQ_DESTROY:
		return fns_ctl_cq_destroy(e, m);
	case FNS_CTL_SRQ_CREATE:
		return fns_ctl_srq_create(e, m);
	case FNS_CTL_SRQ_MODIFY:
		return fns_ctl_srq_modify(e, m);
	case FNS_CTL_SRQ_QUERY:
		return fns_ctl_srq_query(e, m);
	case FNS_CTL_SRQ_DESTROY:
		return fns_ctl_srq_destroy(e, m);
	case FNS_CTL_QP_CREATE:
		return fns_ctl_qp_create(e, m);
	case FNS_CTL_QP_MODIFY:
		return fns_ctl_qp_modify(e, m);
	case FNS_CTL_QP_QUERY:
		return fns_ctl_qp_query(e, m);
	case FNS_CTL_QP_DESTROY:
		return fns_ctl_qp_destroy(e, m);
	case FNS_CTL_QP_SET_CC:
		return fns_ctl_qp_set_cc(e, m);
	case FNS_CTL_AH_CREATE:
		return fns_ctl_ah_create(e, m);
	case FNS_CTL_AH_DESTROY:
		return fns_ctl_ah_destroy(e, m);
	case FNS_CTL_OFFLOAD_BIND:
		return fns_ctl_offload_bind(e, m);
	case FNS_CTL_OFFLOAD_UNBIND:
		return fns_ctl_offload_unbind(e, m);
	case FNS_CTL_OFFLOAD_COUNT:
		return fns_ctl_offload_count(e, m);
	default:
		return -EOPNOTSUPP;
	}
}

void fns_engine_control_app(struct fns_engine *e, uint32_t app, struct fns_ctl *m, uint64_t now_ns)
{
	if (now_ns > e->nic.now_ns)
		e->nic.now_ns = now_ns;
	/*
	 * A fence: what was submitted before comes first, and so do acknowledgements that were left
	 * for later: the queue pair that owes them may be about to go.
	 */
	fns_engine_submit(e);
	fns_engine_transmit(e);
	m->result = dispatch(e, app, m);
}

void fns_engine_control(struct fns_engine *e, struct fns_ctl *m, uint64_t now_ns)
{
	fns_engine_control_app(e, 0, m, now_ns);
}
