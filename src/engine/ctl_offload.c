/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control operations on offload handlers and their bindings. A queue pair takes part from its first
 * binding on: its send queue grows by the work requests of the offloading engine, so that those of
 * the application have as much room as before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/engine_priv.h"

static struct fns_offload *offload(struct fns_engine *e)
{
	if (!e->nic.offload)
		e->nic.offload = fns_offload_create(e->nic.mem, e->nic.dma, &e->nic.now_ns);
	return e->nic.offload;
}

static int sq_grow(struct fns_qp *qp)
{
	struct fns_sq *old = &qp->sq, sq = *old;

	sq.max_wr += FNS_OFFLOAD_WQES;
	sq.mask = fns_pow2_ceil(sq.max_wr) - 1;
	sq.stride = FNS_MAX(sq.stride, fns_sq_stride(FNS_OFFLOAD_PIECES, 0));
	sq.mem = aligned_alloc(FNS_CACHELINE, (size_t)(sq.mask + 1) * sq.stride);
	if (!sq.mem)
		return -ENOMEM;
	for (uint32_t pos = old->head; pos != old->tail; pos++)
		memcpy(fns_sq_at(&sq, pos), fns_sq_at(old, pos), old->stride);
	free(old->mem);
	*old = sq;
	return 0;
}

/* Nothing of the queue pair is in the transmit queue. */
static int join(struct fns_qp *qp, struct fns_offload_port *port)
{
	struct fns_qp_offload *o;
	int r;

	if (qp->offload)
		return 0;
	o = malloc(sizeof(*o));
	if (!o)
		return -ENOMEM;
	r = sq_grow(qp);
	if (r < 0) {
		free(o);
		return r;
	}
	fns_qp_offload_init(o, qp);
	if (port)
		o->port = port;
	qp->offload = o;
	return 0;
}

int fns_ctl_offload_join(struct fns_engine *e, struct fns_qp *qp)
{
	if (qp->type != FNS_QPT_RC || !qp->srq || !qp->srq->offload)
		return 0;
	return join(qp, qp->srq->offload);
}

/* Memory of bindings is the application's, as that of queues. */
static void charge(struct fns_engine *e, uint32_t client, struct fns_offload_port *p, bool add)
{
	struct fns_app *a = &e->app[e->client_app[client]];
	uint64_t bytes = fns_offload_port_bytes(p);

	a->bytes = add ? a->bytes + bytes : a->bytes - bytes;
}

void fns_ctl_offload_leave(struct fns_engine *e, struct fns_qp *qp)
{
	if (!qp->offload)
		return;
	fns_qp_offload_drop(qp);
	charge(e, qp->client, &qp->offload->own, false);
	fns_offload_port_clear(e->nic.offload, &qp->offload->own);
	free(qp->offload);
	qp->offload = NULL;
}

void fns_ctl_offload_srq_end(struct fns_engine *e, struct fns_srq *srq)
{
	if (!srq->offload)
		return;
	charge(e, srq->client, srq->offload, false);
	fns_offload_port_clear(e->nic.offload, srq->offload);
	free(srq->offload);
	srq->offload = NULL;
}

static int bind(struct fns_engine *e, struct fns_offload_port *p, struct fns_pd *pd,
	uint32_t client, const struct fns_offload_binding *want)
{
	struct fns_app *a = &e->app[e->client_app[client]];
	struct fns_offload_binding b = *want;
	uint64_t bytes = fns_offload_binding_check(&b);
	int r;

	if (bytes == 0)
		return -EINVAL;
	if (e->quota.bytes && bytes > e->quota.bytes - FNS_MIN(a->bytes, e->quota.bytes))
		return -ENOMEM;
	charge(e, client, p, false);
	r = fns_offload_bind(e->nic.offload, p, pd, &b);
	charge(e, client, p, true);
	return r;
}

static int bind_srq(struct fns_engine *e, struct fns_srq *srq, const struct fns_offload_binding *b)
{
	int r;

	if (e->nic.txq.n)
		return -EAGAIN;
	if (!srq->offload) {
		srq->offload = malloc(sizeof(*srq->offload));
		if (!srq->offload)
			return -ENOMEM;
		fns_offload_port_init(srq->offload);
	}
	for (uint32_t i = 0; i < FNS_QP_INDEXES; i++) {
		struct fns_qp *qp = e->qps[i];

		r = qp && qp->srq == srq && qp->type == FNS_QPT_RC ? join(qp, srq->offload) : 0;
		if (r < 0)
			return r;
	}
	return bind(e, srq->offload, srq->pd, srq->client, b);
}

static int bind_qp(struct fns_engine *e, struct fns_qp *qp, const struct fns_offload_binding *b)
{
	int r;

	if (qp->type != FNS_QPT_RC || qp->srq)
		return -EINVAL; /* the SRQ is what is bound */
	if (e->nic.txq.n)
		return -EAGAIN;
	r = join(qp, NULL);
	return r < 0 ? r : bind(e, &qp->offload->own, qp->pd, qp->client, b);
}

static struct fns_qp *find_qp(struct fns_engine *e, const struct fns_ctl *m)
{
	struct fns_qp *qp = fns_engine_qp(e, m->handle);

	return qp && qp->client == m->client ? qp : NULL;
}

int fns_ctl_offload_bind(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_srq *srq = m->offload.on_srq ? fns_ctl_srq(e, m->client, m->handle) : NULL;
	struct fns_qp *qp = m->offload.on_srq ? NULL : find_qp(e, m);

	if (!srq && !qp)
		return -EINVAL;
	if (!offload(e))
		return -ENOMEM;
	return srq ? bind_srq(e, srq, &m->offload.bind) : bind_qp(e, qp, &m->offload.bind);
}

int fns_ctl_offload_unbind(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_srq *srq = m->offload.on_srq ? fns_ctl_srq(e, m->client, m->handle) : NULL;
	struct fns_qp *qp = m->offload.on_srq ? NULL : find_qp(e, m);
	struct fns_offload_port *p = srq  ? srq->offload
				     : qp ? (qp->offload ? &qp->offload->own : NULL)
					  : NULL;
	int r;

	if (!srq && !qp)
		return -EINVAL;
	if (!p)
		return -ENOENT;
	if (e->nic.txq.n)
		return -EAGAIN; /* what is to be sent may lie in memory that goes */
	charge(e, m->client, p, false);
	r = fns_offload_unbind(e->nic.offload, p, m->offload.bind.service);
	charge(e, m->client, p, true);
	return r;
}

int fns_ctl_offload_count(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_offload_handler *h;

	m->offload.bind.handler[FNS_OFFLOAD_NAME - 1] = '\0';
	h = e->nic.offload ? fns_offload_handler_find(e->nic.offload, m->offload.bind.handler)
			   : NULL;
	if (!h)
		return -ENOENT;
	m->offload.count = h->count;
	return 0;
}

int fns_engine_offload_load(struct fns_engine *e, const char *name, struct fns_offload_program *p)
{
	return offload(e) ? fns_offload_handler_set(e->nic.offload, name, p) : -ENOMEM;
}

bool fns_engine_offload_look(
	struct fns_engine *e, unsigned i, char *name, struct fns_offload_counters *out)
{
	struct fns_list *it;

	if (!e->nic.offload)
		return false;
	fns_list_for_each (it, &e->nic.offload->handlers) {
		const struct fns_offload_handler *h =
			fns_container_of(it, struct fns_offload_handler, node);

		if (i-- > 0)
			continue;
		memcpy(name, h->name, FNS_OFFLOAD_NAME);
		*out = h->count;
		return true;
	}
	return false;
}

int fns_engine_offload_bind(struct fns_engine *e, uint32_t qpn, const struct fns_offload_binding *b)
{
	struct fns_qp *qp = fns_engine_qp(e, qpn);

	if (!qp)
		return -ENOENT;
	if (!offload(e))
		return -ENOMEM;
	return qp->srq ? bind_srq(e, qp->srq, b) : bind_qp(e, qp, b);
}
