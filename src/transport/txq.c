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

	if (q->blocked || q->n == FNS_TX_BATCH || q->nsg + max_sg > FNS_FRAME_SGS) {
		if (!fns_txq_flush(nic))
			return NULL;
	}
	f = &q->frame[q->n];
	f->nsg = 0;
	f->payload_len = 0;
	f->pad = 0;
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

bool fns_txq_flush(struct fns_nic *nic)
{
	struct fns_txq *q = &nic->txq;
	unsigned taken, i;

	if (q->n == 0)
		return true;
	taken = nic->wire->ops->tx_burst(nic->wire, q->frame + q->sent, q->n - q->sent);
	for (i = q->sent; i < q->sent + taken; i++) {
		const struct fns_frame *f = &q->frame[i];
		struct fns_qp *qp = f->owner;

		if (fns_unlikely(q->notify[i] || f->status != FNS_FRAME_SENT))
			qp->ops->tx_done(qp, f);
	}
	q->sent += taken;
	if (q->sent < q->n) {
		q->blocked = true;
		return false;
	}
	for (i = 0; i < q->nstage; i++)
		fns_pool_put(&nic->stage, q->stage[i]);
	q->n = q->sent = q->nsg = q->nstage = 0;
	q->blocked = false;
	return true;
}
