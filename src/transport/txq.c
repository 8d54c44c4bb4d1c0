/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transmit queue: frames collected from all queue pairs of one advance, handed to the wire in
 * bursts so that it can build trains. Datapath 4/9 to 5/9: from transport to wire.
 */
#include "base/assert.h"
#include "transport/qp.h"

struct fns_frame *fns_txq_frame(struct fns_nic *nic, unsigned max_sg)
{
	struct fns_txq *q = &nic->txq;
	struct fns_frame *f;

	if (q->blocked || q->n == FNS_TX_BATCH || q->nstage == FNS_TX_BATCH ||
		q->nsg + max_sg > FNS_FRAME_SGS) {
		if (!fns_txq_flush(nic))
			return NULL;
	}
	f = &q->frame[q->n];
	f->nsg = 0;
	f->payload_len = 0;
	f->pad = 0;
	f->loan = NULL;
	f->sg = fns_txq_sgs(nic);
	return f;
}

void fns_txq_commit(struct fns_nic *nic, struct fns_frame *f, void *stage, bool notify)
{
	struct fns_txq *q = &nic->txq;

	fns_assert(f == &q->frame[q->n]);
	f->status = FNS_FRAME_SENT;
	f->icrc_xor = 0;
	q->notify[q->n] = notify;
	q->nsg += f->nsg;
	q->n++;
	if (stage)
		q->stage[q->nstage++] = stage;
}

/* The wire has taken all frames, or they were cancelled. */
static void finish(struct fns_nic *nic)
{
	struct fns_txq *q = &nic->txq;
	unsigned i;

	for (i = 0; i < q->nstage; i++)
		fns_pool_put(&nic->stage, q->stage[i]);
	q->n = q->sent = q->nsg = q->nstage = 0;
	q->blocked = false;
}

bool fns_txq_flush(struct fns_nic *nic)
{
	struct fns_txq *q = &nic->txq;
	unsigned first = q->sent, i;

	if (first < q->n) {
		/* A queue pair that ends below cancels what comes after. */
		q->flushing = true;
		q->sent += nic->wire->ops->tx_burst(nic->wire, q->frame + first, q->n - first);
		for (i = first; i < q->sent; i++) {
			const struct fns_frame *f = &q->frame[i];
			struct fns_qp *qp = f->owner;

			if (fns_unlikely(q->notify[i] || f->status != FNS_FRAME_SENT))
				qp->ops->tx_done(qp, f);
		}
		q->flushing = false;
	}
	if (q->sent < q->n) {
		q->blocked = true;
		return false;
	}
	finish(nic);
	return true;
}

void fns_txq_cancel(struct fns_qp *qp)
{
	struct fns_txq *q = &qp->nic->txq;
	unsigned i, kept = q->sent;

	for (i = q->sent; i < q->n; i++) {
		if (q->frame[i].owner == qp &&
			(fns_opcodes[q->frame[i].hdr[0]].flags & FNS_OPF_REQUEST))
			continue;
		if (kept != i) {
			q->frame[kept] = q->frame[i];
			q->notify[kept] = q->notify[i];
		}
		kept++;
	}
	q->n = kept;
	if (q->n == q->sent && !q->flushing)
		finish(qp->nic);
}
