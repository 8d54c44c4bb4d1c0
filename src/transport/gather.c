/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload of outgoing packets: in place where it lies, or staged into NIC memory first. Staged are
 * small payloads and everything that is sent again (a software ICRC over memory that the
 * application writes meanwhile comes out wrong, and in place it would again), and all payload when
 * host memory is not near or when the engine was made to send in another way than header-only
 * (pipe/modes.h). Every byte copied is counted under its reason.
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "transport/qp.h"

int fns_sge_refs(struct fns_qp *qp, const struct fns_sqd_sge *sge, uint32_t num_sge, uint32_t off,
	uint32_t len, uint32_t need, struct fns_memref *ref, enum fns_wc_status *status)
{
	int n = 0;
	uint32_t i;

	for (i = 0; i < num_sge && len; i++) {
		uint32_t piece;

		if (off >= sge[i].len) {
			off -= sge[i].len;
			continue;
		}
		piece = FNS_MIN(sge[i].len - off, len);
		if (fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, sge[i].lkey, sge[i].addr + off,
			    piece, need, false, &ref[n]) != FNS_MEM_OK) {
			*status = FNS_WC_LOC_PROT_ERR;
			return -1;
		}
		n++;
		len -= piece;
		off = 0;
	}
	fns_assert(len == 0); /* callers ask within the total */
	return n;
}

static void fetch_free(struct fns_nic *nic, struct fns_fetch *ft)
{
	if (ft->buf)
		fns_pool_put(&nic->stage, ft->buf);
	ft->buf = NULL;
	ft->ready = ft->busy = ft->abandoned = false;
}

void fns_fetch_cancel(struct fns_nic *nic, struct fns_fetch *ft)
{
	if (ft->busy)
		ft->abandoned = true;
	else
		fetch_free(nic, ft);
}

static void fetch_finish(struct fns_fetch *ft)
{
	struct fns_qp *qp = ft->qp;

	ft->busy = false;
	if (ft->abandoned)
		fetch_free(qp->nic, ft);
	else
		ft->ready = true;
	fns_qp_op_done(qp);
	fns_qp_activate(qp);
}

static void fetch_token_done(struct fns_dma_token *t, int result)
{
	struct fns_fetch_op *op = t->owner;
	struct fns_fetch *ft = op->fetch;

	fns_memref_put(op->ref[t->tag]);
	if (result < 0 && ft->result == 0)
		ft->result = result;
	if (--op->pending == 0) {
		fns_pool_put(&ft->qp->nic->fetches, op);
		fetch_finish(ft);
	}
}

/* Copies ref into buf. DONE, PENDING, or negative. */
static int fetch_start(struct fns_qp *qp, struct fns_fetch *ft, uint64_t key,
	const struct fns_memref *ref, unsigned nref, uint8_t *buf)
{
	struct fns_dma *dma = qp->nic->dma;
	/* At most one for each staging buffer. */
	struct fns_fetch_op *op = fns_pool_get(&qp->nic->fetches);
	unsigned i;
	int result = 0;

	fns_assert(op);
	ft->qp = qp;
	ft->key = key;
	ft->buf = buf;
	ft->result = 0;
	op->fetch = ft;
	op->pending = 0;
	for (i = 0; i < nref; i++) {
		int r;

		op->ref[i] = ref[i];
		op->token[i].done = fetch_token_done;
		op->token[i].owner = op;
		op->token[i].tag = i;
		r = dma->ops->fetch(dma, ref[i], buf, &op->token[i]);
		buf += ref[i].len;
		if (r == FNS_DMA_PENDING) {
			fns_memref_get(ref[i]);
			op->pending++;
		} else if (r < 0 && result == 0) {
			result = r;
		}
	}
	if (op->pending == 0) {
		fns_pool_put(&qp->nic->fetches, op);
		ft->buf = NULL;
		return result < 0 ? result : FNS_DMA_DONE;
	}
	ft->result = result;
	ft->busy = true;
	qp->ops_inflight++;
	return FNS_DMA_PENDING;
}

static enum fns_gather stage(struct fns_qp *qp, struct fns_fetch *ft, uint64_t key,
	const struct fns_memref *ref, unsigned nref, enum fns_counter why, uint32_t len, void **buf)
{
	struct fns_nic *nic = qp->nic;
	int r;

	if (ft->busy)
		return FNS_GATHER_WAIT;
	if (ft->ready && ft->key != key)
		fetch_free(nic, ft);
	if (ft->ready) {
		*buf = ft->buf;
		r = ft->result;
		ft->ready = false;
		ft->buf = NULL;
	} else {
		*buf = fns_pool_get(&nic->stage);
		if (!*buf)
			return FNS_GATHER_RETRY;
		r = fetch_start(qp, ft, key, ref, nref, *buf);
		if (r == FNS_DMA_PENDING)
			return FNS_GATHER_WAIT;
	}
	if (r == -EAGAIN) { /* the backend is full */
		fns_pool_put(&nic->stage, *buf);
		return FNS_GATHER_RETRY;
	}
	if (r < 0) {
		fns_pool_put(&nic->stage, *buf);
		fns_count(nic->stats, FNS_C_memory_faults);
		return FNS_GATHER_ERROR;
	}
	fns_count_add(nic->stats, why, len);
	return FNS_GATHER_OK;
}

/*
 * The second copy of FNS_TXM_COPY. Buffers come up again in turn, long after the transmit queue,
 * which holds FNS_TX_BATCH frames, has been through with them.
 */
static const uint8_t *to_send_ring(struct fns_nic *nic, void **buf, uint32_t len)
{
	uint8_t *to =
		nic->send_ring + (size_t)(nic->send_next++ % FNS_SEND_RING) * FNS_SEND_RING_STRIDE;

	memcpy(to, *buf, len);
	fns_pool_put(&nic->stage, *buf);
	*buf = NULL;
	fns_count_add(nic->stats, FNS_C_tx_copied_mode, len);
	return to;
}

/* Why is this payload staged? What header-only would not have copied is the mode's. */
static enum fns_counter staged_why(const struct fns_qp *qp, const struct fns_fetch *ft,
	const struct fns_memref *ref, unsigned nref, bool again, bool small)
{
	for (unsigned i = 0; i < nref; i++)
		if (!fns_memref_near(ref[i]))
			return FNS_C_tx_copied_far;
	if (!again)
		return small ? FNS_C_tx_copied_small : FNS_C_tx_copied_mode;
	return ft == &qp->rsp.fetch ? FNS_C_tx_copied_response : FNS_C_tx_copied_again;
}

enum fns_gather fns_gather_refs(struct fns_qp *qp, struct fns_fetch *ft, uint64_t key,
	const struct fns_memref *ref, unsigned nref, uint32_t len, bool again, struct fns_frame *f,
	void **buf)
{
	struct fns_nic *nic = qp->nic;
	struct fns_sg *sg = fns_txq_sgs(nic);
	bool steady = (qp->path ? qp->path : f->path)->reads_once;
	bool must_stage, small;
	enum fns_gather g;
	unsigned i;

	*buf = NULL;
	f->payload_len = len;
	f->nsg = 0;
	if (len == 0)
		return FNS_GATHER_OK;
	again &= !steady;
	must_stage = again | nic->stage_all;
	for (i = 0; i < nref; i++)
		must_stage |= !fns_memref_near(ref[i]);
	small = len <= FNS_STAGE_THRESHOLD && !steady && !nic->wire->caps.reliable_payload;
	if (must_stage || small) {
		g = stage(qp, ft, key, ref, nref,
			must_stage ? staged_why(qp, ft, ref, nref, again, small)
				   : FNS_C_tx_copied_small,
			len, buf);
		if (g == FNS_GATHER_OK) {
			sg[0] = (struct fns_sg){.addr = *buf, .region = NULL, .len = len};
			f->nsg = 1;
			if (fns_unlikely(nic->send_ring != NULL))
				sg[0].addr = to_send_ring(nic, buf, len);
		}
		return g;
	}
	for (i = 0; i < nref; i++)
		sg[i] = (struct fns_sg){.addr = fns_memref_near(ref[i]),
			.region = ref[i].region,
			.len = ref[i].len};
	f->nsg = (uint8_t)nref;
	fns_count_add(nic->stats, FNS_C_tx_payload_referenced, len);
	return FNS_GATHER_OK;
}

enum fns_gather fns_gather_wqe(struct fns_qp *qp, struct fns_wqe *w, uint64_t key, uint32_t off,
	uint32_t len, bool again, struct fns_frame *f, void **buf, enum fns_wc_status *status)
{
	struct fns_memref ref[FNS_MAX_SGE];
	enum fns_gather g;
	int n;

	if (w->flags & FNS_WRF_INLINE) {
		/* Already in NIC memory: the work request holds it until it is retired. */
		*buf = NULL;
		f->payload_len = len;
		f->nsg = len ? 1 : 0;
		fns_txq_sgs(qp->nic)[0] =
			(struct fns_sg){.addr = fns_wqe_data(w) + off, .len = len};
		fns_count_add(qp->nic->stats, FNS_C_tx_copied_inline, len);
		return FNS_GATHER_OK;
	}
	n = fns_sge_refs(qp, w->sge, w->num_sge, off, len, 0, ref, status);
	if (n < 0)
		return FNS_GATHER_ERROR;
	g = fns_gather_refs(qp, &qp->req.fetch, key, ref, (unsigned)n, len, again, f, buf);
	if (g == FNS_GATHER_ERROR)
		*status = FNS_WC_LOC_PROT_ERR;
	return g;
}
