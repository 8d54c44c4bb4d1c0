/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Received packets between acceptance and commit: they hold the receive buffer and the tokens of
 * their placement. Datapath 7/9: placement into host memory.
 */
#include <errno.h>

#include "base/assert.h"
#include "transport/qp.h"

struct fns_rxop *fns_rxop_get(struct fns_qp *qp, enum fns_rxop_kind kind)
{
	struct fns_rxop *op =
		qp->app->rxops < qp->nic->rxops_each ? fns_pool_get(&qp->nic->rxops) : NULL;

	if (fns_unlikely(!op)) {
		fns_count(qp->nic->stats, FNS_C_drop_resources);
		return NULL;
	}
	fns_list_init(&op->node);
	op->nic = qp->nic;
	op->qp = qp;
	op->view.buf = NULL;
	op->hold = NULL;
	op->nref = op->nprefix = op->pending = 0;
	op->kind = (uint8_t)kind;
	op->syndrome = 0;
	op->event = -1;
	op->submitted = op->ack_req = op->ends_message = op->has_cqe = op->solicited =
		op->uses_recv = false;
	op->result = 0;
	op->npsn = 1;
	op->call = NULL;
	qp->app->rxops++;
	qp->ops_inflight++;
	return op;
}

void fns_rxop_hold(struct fns_rxop *op, const struct fns_rx_view *v)
{
	op->view = *v;
}

void fns_rxop_put(struct fns_rxop *op)
{
	struct fns_nic *nic = op->nic;

	fns_assert(op->pending == 0);
	if (op->view.buf)
		nic->wire->ops->rx_release(nic->wire, &op->view);
	if (fns_unlikely(op->hold != NULL))
		fns_pool_put(&nic->irn_hold, op->hold);
	op->qp->app->rxops--;
	fns_pool_put(&nic->rxops, op);
	fns_qp_op_done(op->qp);
}

static void rxop_one_done(struct fns_rxop *op, unsigned i, int result)
{
	if (i < FNS_MAX_SGE + 1)
		fns_memref_put(op->ref[i]);
	if (fns_unlikely(result < 0)) {
		if (op->result == 0)
			op->result = result;
		fns_count(op->nic->stats, FNS_C_memory_faults);
	}
	if (--op->pending == 0)
		op->done(op);
}

static void rxop_token_done(struct fns_dma_token *t, int result)
{
	rxop_one_done(t->owner, t->tag, result);
}

/* What was lent, in one go. */
static int fetch(struct fns_rxop *op)
{
	struct fns_wire *wire = op->nic->wire;
	struct iovec to[FNS_MAX_SGE];

	for (unsigned i = 0; i < op->nref; i++) {
		to[i] = (struct iovec){
			(void *)(uintptr_t)fns_memref_near(op->ref[i]), op->ref[i].len};
		if (!to[i].iov_base)
			return -ESTALE;
	}
	return wire->ops->fetch(wire, &op->view, to, op->nref, &op->token[0]);
}

static void fetch_over(struct fns_rxop *op, int result)
{
	for (unsigned i = 0; i < op->nref; i++)
		fns_memref_put(op->ref[i]);
	if (result < 0 && result != -ESTALE)
		fns_count(op->nic->stats, FNS_C_memory_faults);
	op->result = result;
	op->pending = 0;
	op->done(op);
}

static void fetch_token_done(struct fns_dma_token *t, int result)
{
	fetch_over(t->owner, result);
}

static void rxop_fetch(struct fns_rxop *op)
{
	int r;

	for (unsigned i = 0; i < op->nref; i++)
		fns_memref_get(op->ref[i]);
	op->pending = 1;
	op->token[0].done = fetch_token_done;
	op->token[0].owner = op;
	r = fetch(op);
	if (r != FNS_DMA_PENDING)
		fetch_over(op, r);
}

/* Piece i, out of src. Its place may be taken, and all be done, on return. */
static inline __attribute__((always_inline)) void place_one(
	struct fns_rxop *op, unsigned i, const uint8_t *src)
{
	struct fns_dma *dma = op->nic->dma;
	struct fns_dma_token *t = &op->token[i];
	int r;

	t->done = rxop_token_done;
	t->owner = op;
	t->tag = i;
	fns_memref_get(op->ref[i]);
	op->pending++;
	r = dma->ops->place(dma, op->ref[i], src, t);
	if (r != FNS_DMA_PENDING)
		rxop_one_done(op, i, r);
}

void fns_rxop_place(struct fns_rxop *op, const uint8_t *src, void (*done)(struct fns_rxop *op))
{
	const uint8_t *from = op->nprefix ? op->grh : src;
	unsigned i, n = op->nref;

	op->done = done;
	op->submitted = true;
	if (fns_unlikely(op->view.buf && op->view.lent)) {
		rxop_fetch(op);
		return;
	}
	op->pending = 0;
	if (fns_likely(n == 1)) {
		place_one(op, 0, from);
		return;
	}
	op->pending = 1; /* keeps done from being called before all are submitted */
	for (i = 0; i < n; i++) {
		uint32_t len = op->ref[i].len;

		if (i == op->nprefix)
			from = src;
		place_one(op, i, from);
		from += len;
	}
	rxop_one_done(op, FNS_MAX_SGE + 1, 0);
}
