/* SPDX-License-Identifier: Apache-2.0 */
/* Posted receives and the order in which received packets commit; common to RC, UC and UD. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "transport/qp.h"

static uint32_t rq_stride(uint32_t max_sge)
{
	return (uint32_t)FNS_ALIGN_UP(
		sizeof(struct fns_rwqe) + FNS_MAX(max_sge, 1u) * sizeof(struct fns_sqd_sge), 32u);
}

uint64_t fns_rq_bytes(uint32_t max_wr, uint32_t max_sge)
{
	return max_wr ? (uint64_t)fns_pow2_ceil(max_wr) * rq_stride(max_sge) : 0;
}

int fns_rq_init(struct fns_rq *rq, uint32_t max_wr, uint32_t max_sge)
{
	uint32_t slots = fns_pow2_ceil(FNS_MAX(max_wr, 1u));
	uint32_t stride = rq_stride(max_sge);

	*rq = (struct fns_rq){
		.mask = slots - 1, .stride = stride, .max_wr = max_wr, .max_sge = max_sge};
	if (max_wr == 0)
		return 0;
	rq->mem = calloc(slots, stride);
	return rq->mem ? 0 : -ENOMEM;
}

void fns_rq_fini(struct fns_rq *rq)
{
	free(rq->mem);
	rq->mem = NULL;
}

uint32_t fns_sge_total(const struct fns_sqd_sge *sge, uint32_t num_sge)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < num_sge; i++)
		sum += sge[i].len;
	return (uint32_t)FNS_MIN(sum, (uint64_t)UINT32_MAX);
}

bool fns_rq_post(struct fns_rq *rq, uint64_t wr_id, uint32_t num_sge, const struct fns_sqd_sge *sge)
{
	struct fns_rwqe *w;

	if (rq->tail - rq->head >= rq->max_wr || num_sge > rq->max_sge)
		return false;
	w = fns_rq_at(rq, rq->tail);
	w->wr_id = wr_id;
	w->num_sge = num_sge;
	w->length = fns_sge_total(sge, num_sge);
	memcpy(w->sge, sge, num_sge * sizeof(*sge));
	rq->tail++;
	return true;
}

bool fns_recv_take(struct fns_qp *qp)
{
	struct fns_rq *rq = qp->srq ? &qp->srq->rq : &qp->rq;
	struct fns_responder *r = &qp->rsp;
	const struct fns_rwqe *w;

	if (r->have_rwqe)
		return true;
	if (rq->head == rq->tail)
		return false;
	w = fns_rq_at(rq, rq->head);
	r->wr_id = w->wr_id;
	r->rwqe_sges = w->num_sge;
	r->rwqe_len = w->length;
	memcpy(r->rwqe_sge, w->sge, w->num_sge * sizeof(w->sge[0]));
	r->have_rwqe = true;
	rq->head++;
	if (qp->srq && qp->srq->limit && rq->tail - rq->head < qp->srq->limit) {
		const struct fns_event ev = {.client = qp->srq->client,
			.type = FNS_EVENT_SRQ_LIMIT_REACHED,
			.cookie = qp->srq->cookie};

		qp->srq->limit = 0;
		if (qp->nic->up.async_event)
			qp->nic->up.async_event(qp->nic->up.ctx, &ev);
	}
	return true;
}

void fns_recv_restart(struct fns_qp *qp)
{
	qp->rsp.in_message = FNS_MSG_NONE;
	qp->rsp.offset = 0;
}

void fns_recv_complete(struct fns_qp *qp, struct fns_rxop *op, const struct fns_hdr *h)
{
	struct fns_responder *r = &qp->rsp;
	struct fns_cqe *c = &op->cqe;
	bool write = h->info->flags & FNS_OPF_WRITE;

	memset(c, 0, sizeof(*c));
	c->wr_id = r->wr_id;
	c->qpn = qp->qpn;
	c->wqe_count = 1;
	c->srq = qp->srq ? qp->srq->handle : 0;
	c->opcode = write ? FNS_WC_RECV_RDMA_WITH_IMM : FNS_WC_RECV;
	c->byte_len = write ? r->write_len : r->offset;
	if (h->info->flags & (FNS_OPF_IMM | FNS_OPF_IETH)) {
		c->imm = h->imm;
		c->wc_flags = h->info->flags & FNS_OPF_IMM ? FNS_WCF_WITH_IMM : FNS_WCF_WITH_INV;
	}
	op->has_cqe = true;
	op->solicited = h->solicited;
	r->have_rwqe = false;
}

void fns_recv_queue(struct fns_qp *qp, struct fns_rxop *op)
{
	fns_list_push_back(&qp->rsp.ops, &op->node);
}

void fns_recv_fail(struct fns_qp *qp, struct fns_rxop *op, enum fns_wc_status status)
{
	struct fns_responder *r = &qp->rsp;
	struct fns_cqe c = {.wr_id = r->wr_id,
		.qpn = qp->qpn,
		.wqe_count = 1,
		.srq = qp->srq ? qp->srq->handle : 0,
		.opcode = FNS_WC_RECV};
	struct fns_list *it = qp->rsp.ops.next;

	while (!op->has_cqe && it != &r->ops) {
		op = fns_container_of(it, struct fns_rxop, node);
		it = it->next;
	}
	if (op->has_cqe)
		c = op->cqe;
	else if (!r->have_rwqe)
		return;
	else
		r->have_rwqe = false;
	op->has_cqe = false;
	c.status = (uint8_t)status;
	fns_cq_push(qp->nic, qp->rcq, &c, true);
}

static void atomic_done(struct fns_dma_token *t, int result);

/* True when the atomic's result is there. */
static bool atomic_run(struct fns_rxop *op)
{
	struct fns_dma *dma = op->nic->dma;
	int r;

	if (op->submitted)
		return op->pending == 0;
	op->submitted = true;
	op->token[0].done = atomic_done;
	op->token[0].owner = op;
	fns_memref_get(op->ref[0]);
	op->pending = 1;
	r = dma->ops->atomic(
		dma, op->ref[0], op->compare_swap, op->swap_add, op->compare, &op->token[0]);
	if (r == FNS_DMA_PENDING)
		return false;
	fns_memref_put(op->ref[0]);
	op->pending = 0;
	op->result = r;
	return true;
}

static void atomic_done(struct fns_dma_token *t, int result)
{
	struct fns_rxop *op = t->owner;

	fns_memref_put(op->ref[0]);
	op->pending = 0;
	op->result = result;
	op->done(op);
}

static bool overlap(const struct fns_rxop *a, const struct fns_rxop *b)
{
	unsigned i, k;

	for (i = 0; i < a->nref; i++)
		for (k = 0; k < b->nref; k++)
			if (a->ref[i].region == b->ref[k].region &&
				a->ref[i].off < b->ref[k].off + b->ref[k].len &&
				b->ref[k].off < a->ref[i].off + a->ref[i].len)
				return true;
	return false;
}

void fns_recv_place(struct fns_qp *qp, struct fns_rxop *op, const uint8_t *src,
	void (*done)(struct fns_rxop *op))
{
	struct fns_list *it;

	if (!qp->nic->dma->ops->caps.ordered) {
		if (fns_unlikely(qp->rsp.orphans)) {
			op->src = src;
			op->done = done;
			return;
		}
		fns_list_for_each (it, &qp->rsp.ops) {
			struct fns_rxop *e = fns_container_of(it, struct fns_rxop, node);

			if (e == op)
				break;
			if (overlap(e, op)) {
				op->src = src;
				op->done = done;
				return; /* fns_recv_drain() places it */
			}
		}
	}
	fns_rxop_place(op, src, done);
}

static bool placing(struct fns_qp *qp)
{
	struct fns_list *it;

	fns_list_for_each (it, &qp->rsp.ops) {
		if (fns_container_of(it, struct fns_rxop, node)->pending)
			return true;
	}
	return false;
}

void fns_recv_drain(struct fns_qp *qp, void (*commit)(struct fns_qp *qp, struct fns_rxop *op))
{
	while (!fns_list_empty(&qp->rsp.ops)) {
		struct fns_rxop *op = fns_container_of(qp->rsp.ops.next, struct fns_rxop, node);
		bool alive = qp->state != FNS_QPS_ERR && qp->state != FNS_QPS_RESET;

		/* An atomic reads what all earlier packets wrote: it starts when they are placed.
		 */
		if (op->kind == FNS_RXOP_ATOMIC && alive) {
			if (!atomic_run(op))
				return;
		} else if (op->kind == FNS_RXOP_DATA && !op->submitted && alive) {
			if (fns_unlikely(qp->rsp.orphans))
				return; /* they may share bytes with it */
			fns_rxop_place(op, op->src, op->done);
			continue; /* done inside means: committed as well */
		} else if (op->pending) {
			return;
		}
		/* Its completion hands the receive back: what comes after it may be on the way into
		 * the same buffer. */
		if (fns_unlikely(op->result < 0 && alive)) {
			qp->rsp.dying = true;
			if (placing(qp))
				return;
		}
		fns_list_remove(&op->node);
		if (op->result < 0 && op->kind == FNS_RXOP_ATOMIC)
			fns_count(qp->nic->stats, FNS_C_memory_faults);
		commit(qp, op);
		fns_rxop_put(op);
	}
}
