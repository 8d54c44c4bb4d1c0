/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors out of the submission rings into queue pairs' own storage, at once: the shared ring
 * never waits for one queue pair. Everything read is hostile: copied once, validated, then used.
 * Datapath 2/9 to 3/9.
 */
#include <string.h>

#include "engine/engine_priv.h"

struct desc {
	struct fns_sqd head;
	struct fns_sqd_cont cont[FNS_SQD_MAX_SLOTS - 1];
};

static uint32_t slots_needed(uint8_t op, uint32_t flags, const struct fns_sqd *d)
{
	if (op == FNS_WR_CMP_SWAP || op == FNS_WR_FETCH_ADD || op == FNS_WR_BIND_MW)
		return 2;
	if (flags & FNS_WRF_INLINE)
		return d->inline_len <= FNS_SQD_INLINE0
			       ? 1
			       : 1 + FNS_DIV_UP(
					     d->inline_len - FNS_SQD_INLINE0, FNS_SQD_INLINE_CONT);
	return d->num_sge <= 1 ? 1 : 1 + FNS_DIV_UP(d->num_sge - 1u, FNS_SQD_SGE_CONT);
}

static void copy_sges(const struct desc *d, struct fns_sqd_sge *out)
{
	uint32_t i;

	if (d->head.num_sge)
		out[0] = d->head.sge0;
	for (i = 1; i < d->head.num_sge; i++)
		out[i] = d->cont[(i - 1) / FNS_SQD_SGE_CONT].sge[(i - 1) % FNS_SQD_SGE_CONT];
}

static void copy_inline(const struct desc *d, uint8_t *out)
{
	uint32_t left = d->head.inline_len, n = FNS_MIN(left, FNS_SQD_INLINE0), i;

	memcpy(out, d->head.inline0, n);
	out += n;
	left -= n;
	for (i = 0; left; i++) {
		n = FNS_MIN(left, FNS_SQD_INLINE_CONT);
		memcpy(out, d->cont[i].data, n);
		out += n;
		left -= n;
	}
}

/* What must fail when its turn comes, in order with its neighbours. */
static uint8_t judge(const struct fns_qp *qp, const struct fns_wqe *w)
{
	bool connected_only = w->op != FNS_WR_SEND && w->op != FNS_WR_SEND_IMM;

	if (w->length > 1u << 31)
		return FNS_WC_LOC_LEN_ERR;
	/* What comes back needs memory of the application's; inline data is none. */
	if ((w->flags & FNS_WRF_INLINE) &&
		(w->op == FNS_WR_READ || w->op == FNS_WR_CMP_SWAP || w->op == FNS_WR_FETCH_ADD))
		return FNS_WC_LOC_QP_OP_ERR;
	if ((w->op == FNS_WR_CMP_SWAP || w->op == FNS_WR_FETCH_ADD) && w->length != 8)
		return FNS_WC_LOC_LEN_ERR;
	if (qp->type == FNS_QPT_UD && connected_only)
		return FNS_WC_LOC_QP_OP_ERR;
	if (qp->type == FNS_QPT_UC && connected_only && w->op != FNS_WR_WRITE &&
		w->op != FNS_WR_WRITE_IMM)
		return FNS_WC_LOC_QP_OP_ERR;
	return 0;
}

/* Does the client belong to the application that the ring is of? */
static inline bool owns(const struct fns_engine *e, uint32_t app, uint32_t client)
{
	return e->client_app[client] == app;
}

static bool take_send(
	struct fns_engine *e, uint32_t app, const struct desc *d, uint8_t op, uint32_t flags)
{
	const struct fns_sqd *h = &d->head;
	struct fns_qp *qp = fns_engine_qp(e, h->qpn);
	struct fns_wqe *w;

	if (!qp || qp->gen != h->gen || op > FNS_WR_BIND_MW || !owns(e, app, qp->client))
		return false;
	if (qp->state < FNS_QPS_RTS || qp->sq.tail - qp->sq.head >= qp->sq.max_wr)
		return false;
	if (flags & FNS_WRF_INLINE ? h->inline_len > qp->sq.max_inline
				   : h->num_sge > qp->sq.max_sge)
		return false;
	w = fns_sq_at(&qp->sq, qp->sq.tail);
	memset(w, 0, sizeof(*w));
	w->wr_id = h->wr_id;
	w->op = op;
	w->flags = (uint8_t)flags;
	w->remote_addr = h->remote_addr;
	w->rkey = h->rkey;
	w->imm = h->imm;
	if (qp->type == FNS_QPT_UD) {
		w->ah = h->ud.ah;
		w->remote_qpn = h->ud.remote_qpn;
		w->qkey = h->qkey;
	}
	if (op == FNS_WR_BIND_MW) {
		w->swap_add = d->cont[0].bind.addr;
		w->compare = d->cont[0].bind.len;
		w->ah = d->cont[0].bind.mw_key;
		w->remote_qpn = d->cont[0].bind.new_key;
		w->qkey = d->cont[0].bind.mr_key;
		w->access = d->cont[0].bind.access;
	} else if (flags & FNS_WRF_INLINE) {
		w->inline_len = h->inline_len;
		w->length = h->inline_len;
		copy_inline(d, w->data);
	} else {
		w->num_sge = h->num_sge;
		if (op == FNS_WR_CMP_SWAP || op == FNS_WR_FETCH_ADD) {
			w->num_sge = FNS_MIN(h->num_sge, 1);
			w->sge[0] = h->sge0;
			w->compare = d->cont[0].atomic.compare;
			w->swap_add = d->cont[0].atomic.swap_add;
		} else {
			copy_sges(d, w->sge);
		}
		w->length = fns_sge_total(w->sge, w->num_sge);
	}
	w->bad = judge(qp, w);
	qp->sq.tail++;
	if (qp->state == FNS_QPS_ERR || qp->state == FNS_QPS_SQE)
		fns_qp_flush(qp);
	else
		fns_qp_activate(qp);
	return true;
}

static bool take_recv(struct fns_engine *e, uint32_t app, const struct desc *d, uint8_t op)
{
	const struct fns_sqd *h = &d->head;
	struct fns_sqd_sge sge[FNS_MAX_SGE];
	struct fns_srq *srq;
	struct fns_qp *qp;

	copy_sges(d, sge);
	if (op == FNS_WR_SRQ_RECV) {
		srq = fns_table_get(&e->srqs, h->qpn);
		return srq && owns(e, app, srq->client) &&
		       fns_rq_post(&srq->rq, h->wr_id, h->num_sge, sge);
	}
	qp = fns_engine_qp(e, h->qpn);
	if (!qp || qp->gen != h->gen || qp->srq || qp->state == FNS_QPS_RESET ||
		!owns(e, app, qp->client))
		return false;
	if (!fns_rq_post(&qp->rq, h->wr_id, h->num_sge, sge))
		return false;
	if (qp->state == FNS_QPS_ERR)
		fns_qp_flush(qp);
	return true;
}

static bool take(
	struct fns_engine *e, uint32_t app, const struct desc *d, uint32_t ctl, uint32_t nslots)
{
	uint8_t op = FNS_SQD_OPCODE(ctl);
	uint32_t flags = FNS_SQD_FLAGS(ctl);

	if (d->head.num_sge > FNS_MAX_SGE || d->head.inline_len > FNS_MAX_INLINE || op == 0)
		return false;
	if (slots_needed(op, flags, &d->head) != nslots)
		return false;
	if (op == FNS_WR_RECV || op == FNS_WR_SRQ_RECV)
		return take_recv(e, app, d, op);
	return take_send(e, app, d, op, flags);
}

static inline uint32_t phase_of(const struct fns_ring *r, uint32_t pos)
{
	return (pos >> r->log2 & 1) ^ 1;
}

/* With FNS_PIPE_DOORBELL, how many slots the index promises; more than the ring has is a lie. */
static uint32_t promised(const struct fns_ring *r, uint32_t head)
{
	uint32_t n = atomic_load_explicit(&r->shared->tail, memory_order_acquire) - head;

	return FNS_MIN(n, r->nslots);
}

/* So many descriptors ahead their queue pairs are fetched from memory, and half as many the place
 * where the work request goes. */
#define AHEAD 4u

/* Whatever stands there: it is checked when its turn comes. */
static inline uint32_t index_at(const struct fns_ring *r, uint32_t pos)
{
	return r->shared->slot[pos & (r->nslots - 1)].qpn & 0xffff;
}

static void look_ahead(const struct fns_engine *e, const struct fns_ring *r, bool first)
{
	uint32_t index = index_at(r, r->head + (first ? 0 : AHEAD));
	const struct fns_qp *qp = e->qps[index];

	if (qp) {
		fns_qp_prefetch(qp);
		__builtin_prefetch(&e->nic.stats->qp[index], 1);
	}
	qp = e->qps[index_at(r, r->head + (first ? 0 : AHEAD / 2))];
	if (qp && qp->sq.mem) {
		const char *w = qp->sq.mem + (size_t)(qp->sq.tail & qp->sq.mask) * qp->sq.stride;

		__builtin_prefetch(w, 1);
		__builtin_prefetch(w + FNS_CACHELINE, 1);
	}
}

static unsigned drain(struct fns_engine *e, struct fns_ring *r)
{
	uint32_t mask = r->nslots - 1, limit = r->nslots;
	unsigned taken = 0;
	struct desc d;

	if (fns_unlikely(r->doorbell))
		limit = promised(r, r->head);
	while (taken < limit) {
		struct fns_sqd *slot = &r->shared->slot[r->head & mask];
		uint32_t ctl = atomic_load_explicit(&slot->ctl, memory_order_acquire), n, i;

		if ((ctl & FNS_SQD_PHASE) != phase_of(r, r->head) && !r->doorbell)
			break;
		if (e->nqps >= FNS_MANY_QPS) {
			if (taken == 0)
				look_ahead(e, r, true);
			look_ahead(e, r, false);
		}
		n = FNS_SQD_NSLOTS(ctl);
		if (n == 0 || n > FNS_SQD_MAX_SLOTS) {
			fns_count(e->nic.stats, FNS_C_sq_bad_descriptors);
			r->head++;
			taken++;
			continue;
		}
		memcpy(&d.head, slot, sizeof(d.head));
		for (i = 1; i < n; i++)
			memcpy(&d.cont[i - 1], &r->shared->slot[(r->head + i) & mask],
				sizeof(d.cont[0]));
		r->head += n;
		taken += n;
		/* From here on the copy is used, whatever becomes of the slots. */
		atomic_signal_fence(memory_order_seq_cst);
		if (!take(e, r->app, &d, ctl, n))
			fns_count(e->nic.stats, FNS_C_sq_bad_descriptors);
	}
	if (fns_unlikely(taken > limit)) /* a descriptor longer than what was promised */
		r->head -= r->doorbell ? taken - limit : 0;
	if (r->head != r->posted) {
		r->posted = r->head;
		atomic_store_explicit(&r->shared->credit, r->head, memory_order_release);
	}
	return taken;
}

unsigned fns_engine_submit(struct fns_engine *e)
{
	unsigned taken = 0, i;

	for (i = 0; i < e->nrings; i++)
		taken += drain(e, &e->ring[i]);
	return taken;
}

bool fns_engine_submissions_due(const struct fns_engine *e)
{
	unsigned i;

	for (i = 0; i < e->nrings; i++) {
		const struct fns_ring *r = &e->ring[i];
		uint32_t ctl = atomic_load_explicit(
			&r->shared->slot[r->head & (r->nslots - 1)].ctl, memory_order_acquire);

		if ((ctl & FNS_SQD_PHASE) == phase_of(r, r->head))
			return true;
	}
	return false;
}

bool fns_engine_submissions_pending(const struct fns_engine *e)
{
	unsigned i;

	for (i = 0; i < e->nrings; i++) {
		const struct fns_ring *r = &e->ring[i];
		/* posted is written by the advancing thread; its release store of credit is what
		 * others may read. */
		uint32_t head = atomic_load_explicit(&r->shared->credit, memory_order_acquire);
		uint32_t ctl = atomic_load_explicit(
			&r->shared->slot[head & (r->nslots - 1)].ctl, memory_order_acquire);

		if (fns_unlikely(r->doorbell) ? promised(r, head) != 0
					      : (ctl & FNS_SQD_PHASE) == phase_of(r, head))
			return true;
	}
	return false;
}
