/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC requester, SENDs that lend: where the receiver can read our memory, bulk is not carried; a
 * frame says where it lies, and stands for as many packets as would have carried it, PSNs, window
 * and all. So everything that may happen to packets is as it was: what is lost, or refused, is sent
 * again, and then carried, whoever is to blame then learns of it as ever. Datapath 4/9.
 *
 * The memory is the application's until the completion, and that comes with the acknowledgement:
 * after the receiver has fetched. A queue pair that ends calls back what it lent (fns_qp_stop).
 */
#include "transport/rc.h"

/* After a refusal, so many messages are not lent. */
#define DISCOURAGED 64u

static bool is_near(struct fns_qp *qp, const struct fns_wqe *w)
{
	struct fns_memref ref[FNS_MAX_SGE];
	enum fns_wc_status status;
	int n = fns_sge_refs(qp, w->sge, w->num_sge, 0, w->length, 0, ref, &status);

	for (int i = 0; i < n; i++)
		if (!fns_memref_near(ref[i]))
			return false;
	return n > 0; /* what is wrong with it is found out as ever */
}

bool fns_rc_lend_start(struct fns_qp *qp, const struct fns_wqe *w)
{
	struct fns_wire *wire = qp->nic->wire;

	/* An invalidation could not be taken back where the payload is not to be had. */
	if ((w->op != FNS_WR_SEND && w->op != FNS_WR_SEND_IMM) || (w->flags & FNS_WRF_INLINE) ||
		!wire->ops->lends || qp->nic->stage_all || !wire->ops->lends(wire, qp->path))
		return false;
	if (qp->req.discouraged) {
		qp->req.discouraged--;
		return false;
	}
	return is_near(qp, w);
}

uint32_t fns_rc_lend_count(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg)
{
	uint32_t chunk = FNS_LEND_MAX / qp->pmtu;

	return FNS_MIN(chunk - seg % chunk, w->npsn - seg);
}

uint32_t fns_rc_lend_len(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg, uint32_t n)
{
	return FNS_MIN(n * qp->pmtu, w->length - seg * qp->pmtu);
}

enum fns_gather fns_rc_lend_gather(struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg,
	uint32_t n, struct fns_frame *f, enum fns_wc_status *status)
{
	uint32_t len = fns_rc_lend_len(qp, w, seg, n);
	struct fns_sg *sg = fns_txq_sgs(qp->nic);
	struct fns_memref ref[FNS_MAX_SGE];
	int nref = fns_sge_refs(qp, w->sge, w->num_sge, seg * qp->pmtu, len, 0, ref, status);

	if (nref < 0)
		return FNS_GATHER_ERROR;
	for (int i = 0; i < nref; i++)
		sg[i] = (struct fns_sg){.addr = fns_memref_near(ref[i]),
			.region = ref[i].region,
			.len = ref[i].len};
	f->nsg = (uint8_t)nref;
	f->payload_len = len;
	f->loan = &qp->loan;
	fns_count_add(qp->nic->stats, FNS_C_tx_payload_referenced, len);
	return FNS_GATHER_OK;
}

bool fns_rc_lend_stop(struct fns_qp *qp)
{
	struct fns_wqe *w = fns_sq_at(&qp->sq, qp->req.ack_pos);

	if (qp->req.ack_pos == qp->sq.tail || !w->started || !w->lent)
		return false;
	w->lent = false;
	qp->req.discouraged = DISCOURAGED;
	return true;
}
