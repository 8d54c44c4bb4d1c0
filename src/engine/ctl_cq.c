/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations on completion queues, shared receive queues and address handles. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_priv.h"

#define MAX_CQ_LOG2 22u

struct fns_cq *fns_ctl_cq(struct fns_engine *e, uint32_t client, uint32_t handle)
{
	struct fns_cq *cq = fns_table_get(&e->cqs, handle);

	return cq && cq->client == client ? cq : NULL;
}

struct fns_srq *fns_ctl_srq(struct fns_engine *e, uint32_t client, uint32_t handle)
{
	struct fns_srq *srq = fns_table_get(&e->srqs, handle);

	return srq && srq->client == client ? srq : NULL;
}

int fns_ctl_cq_create(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_cq *cq;
	int r;

	if (!m->cq.ring || m->cq.log2 > MAX_CQ_LOG2)
		return -EINVAL;
	r = fns_ctl_charge(e, m->client, 0);
	if (r < 0)
		return r;
	cq = calloc(1, sizeof(*cq));
	r = cq ? fns_table_add(&e->cqs, cq, &cq->handle) : -ENOMEM;
	if (r < 0) {
		fns_ctl_refund(e, m->client, 0);
		free(cq);
		return r;
	}
	cq->client = m->client;
	cq->cookie = m->cookie;
	cq->channel = m->cq.channel;
	cq->ring = (struct fns_cq_shared *)(uintptr_t)m->cq.ring;
	cq->log2 = m->cq.log2;
	m->handle = cq->handle;
	return 0;
}

/* Moves to a new, zeroed ring, carrying over what was not consumed; the library then reads from its
 * start. */
int fns_ctl_cq_resize(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_cq *cq = fns_ctl_cq(e, m->client, m->handle);
	struct fns_cq_shared *ring = (struct fns_cq_shared *)(uintptr_t)m->cq.ring;
	uint32_t consumed, i, n;

	if (!cq || !ring || m->cq.log2 > MAX_CQ_LOG2)
		return -EINVAL;
	consumed = atomic_load_explicit(&cq->ring->consumer, memory_order_acquire);
	n = cq->produced - consumed;
	if (n > 1u << m->cq.log2 || n > 1u << cq->log2)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		const struct fns_cqe *c = &cq->ring->entry[(consumed + i) & ((1u << cq->log2) - 1)];

		memcpy(&ring->entry[i], c, offsetof(struct fns_cqe, phase));
		atomic_store_explicit(&ring->entry[i].phase, 1, memory_order_release);
	}
	atomic_store_explicit(&ring->consumer, 0, memory_order_release);
	atomic_store_explicit(&ring->arm,
		atomic_load_explicit(&cq->ring->arm, memory_order_relaxed), memory_order_seq_cst);
	cq->ring = ring;
	cq->log2 = m->cq.log2;
	cq->produced = n;
	cq->consumed = 0;
	atomic_store_explicit(&ring->produced, n, memory_order_release);
	return 0;
}

int fns_ctl_cq_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_cq *cq = fns_ctl_cq(e, m->client, m->handle);

	if (!cq)
		return -EINVAL;
	if (cq->refs)
		return -EBUSY;
	fns_table_remove(&e->cqs, cq->handle);
	fns_ctl_refund(e, cq->client, 0);
	free(cq);
	return 0;
}

int fns_ctl_srq_create(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_pd *pd = fns_ctl_pd(e, m->client, m->srq.pd);
	struct fns_srq *srq;
	int r;

	if (!pd || m->srq.max_sge > FNS_MAX_SGE || m->srq.max_wr == 0 || m->srq.max_wr > 1u << 20 ||
		m->srq.limit > m->srq.max_wr)
		return -EINVAL;
	r = fns_ctl_charge(e, m->client, fns_rq_bytes(m->srq.max_wr, m->srq.max_sge));
	if (r < 0)
		return r;
	srq = calloc(1, sizeof(*srq));
	if (!srq) {
		fns_ctl_refund(e, m->client, fns_rq_bytes(m->srq.max_wr, m->srq.max_sge));
		return -ENOMEM;
	}
	r = fns_rq_init(&srq->rq, m->srq.max_wr, m->srq.max_sge);
	if (r == 0)
		r = fns_table_add(&e->srqs, srq, &srq->handle);
	if (r < 0) {
		fns_ctl_refund(e, m->client, fns_rq_bytes(m->srq.max_wr, m->srq.max_sge));
		fns_rq_fini(&srq->rq);
		free(srq);
		return r;
	}
	srq->client = m->client;
	srq->cookie = m->cookie;
	srq->pd = pd;
	srq->limit = m->srq.limit;
	pd->refs++;
	m->handle = srq->handle;
	return 0;
}

static int srq_resize(struct fns_engine *e, struct fns_srq *srq, uint32_t max_wr)
{
	struct fns_rq *old = &srq->rq, rq;
	uint32_t i;
	int r;

	if (max_wr == 0 || max_wr > 1u << 20 || old->tail - old->head > max_wr)
		return -EINVAL;
	r = fns_ctl_charge(e, srq->client, fns_rq_bytes(max_wr, old->max_sge));
	if (r < 0)
		return r;
	r = fns_rq_init(&rq, max_wr, old->max_sge);
	if (r < 0) {
		fns_ctl_refund(e, srq->client, fns_rq_bytes(max_wr, old->max_sge));
		return r;
	}
	for (i = old->head; i != old->tail; i++) {
		const struct fns_rwqe *w = fns_rq_at(old, i);

		fns_rq_post(&rq, w->wr_id, w->num_sge, w->sge);
	}
	fns_ctl_refund(e, srq->client, fns_rq_bytes(old->max_wr, old->max_sge));
	fns_rq_fini(old);
	srq->rq = rq;
	return 0;
}

int fns_ctl_srq_modify(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_srq *srq = fns_ctl_srq(e, m->client, m->handle);
	int r;

	if (!srq || (m->srq.mask & ~3u))
		return -EINVAL;
	if ((m->srq.mask & 2) && m->srq.limit > (m->srq.mask & 1 ? m->srq.max_wr : srq->rq.max_wr))
		return -EINVAL;
	if (m->srq.mask & 1) {
		r = srq_resize(e, srq, m->srq.max_wr);
		if (r < 0)
			return r;
	}
	if (m->srq.mask & 2) {
		srq->limit = m->srq.limit;
		if (srq->limit && srq->rq.tail - srq->rq.head < srq->limit) {
			const struct fns_event ev = {.client = srq->client,
				.type = FNS_EVENT_SRQ_LIMIT_REACHED,
				.cookie = srq->cookie};

			srq->limit = 0;
			if (e->nic.up.async_event)
				e->nic.up.async_event(e->nic.up.ctx, &ev);
		}
	}
	return 0;
}

int fns_ctl_srq_query(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_srq *srq = fns_ctl_srq(e, m->client, m->handle);

	if (!srq)
		return -EINVAL;
	m->srq.max_wr = srq->rq.max_wr;
	m->srq.max_sge = srq->rq.max_sge;
	m->srq.limit = srq->limit;
	return 0;
}

int fns_ctl_srq_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_srq *srq = fns_ctl_srq(e, m->client, m->handle);

	if (!srq)
		return -EINVAL;
	if (srq->refs)
		return -EBUSY;
	srq->pd->refs--;
	fns_ctl_offload_srq_end(e, srq);
	fns_ctl_refund(e, srq->client, fns_rq_bytes(srq->rq.max_wr, srq->rq.max_sge));
	fns_rq_fini(&srq->rq);
	fns_table_remove(&e->srqs, srq->handle);
	free(srq);
	return 0;
}

int fns_ctl_ah_create(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_pd *pd = fns_ctl_pd(e, m->client, m->ah.pd);
	struct fns_ah *ah;
	int r;

	if (!pd || !m->ah.av.is_global || fns_gid_is_zero(&m->ah.av.dgid))
		return -EINVAL;
	r = fns_ctl_charge(e, m->client, 0);
	if (r < 0)
		return r;
	ah = calloc(1, sizeof(*ah));
	r = ah ? fns_table_add(&e->ahs, ah, &ah->handle) : -ENOMEM;
	if (r < 0) {
		fns_ctl_refund(e, m->client, 0);
		free(ah);
		return r;
	}
	ah->client = m->client;
	ah->pd = pd;
	ah->av = m->ah.av;
	ah->pmtu = fns_mtu_for_link(m->ah.av.link_mtu);
	ah->host = fns_host_get(&e->nic, &ah->av.sgid, &ah->av.dgid, ah->av.ifindex);
	pd->refs++;
	m->handle = ah->handle;
	return 0;
}

int fns_ctl_ah_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_ah *ah = fns_table_get(&e->ahs, m->handle);

	if (!ah || ah->client != m->client)
		return -EINVAL;
	if (e->nic.txq.n) /* frames may refer to its path */
		return -EAGAIN;
	if (ah->path)
		e->nic.wire->ops->path_put(e->nic.wire, ah->path);
	fns_peer_put(ah->peer);
	fns_host_put(&e->nic, ah->host);
	ah->pd->refs--;
	fns_table_remove(&e->ahs, ah->handle);
	fns_ctl_refund(e, ah->client, 0);
	free(ah);
	return 0;
}
