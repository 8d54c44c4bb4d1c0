/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segmentation of connected transports: which packet of a message carries what (IBTA 9.2, 9.7.2).
 * Pure functions of work request and PMTU.
 */
#include "transport/qp.h"

uint32_t fns_seg_len(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg)
{
	return FNS_MIN(w->length - seg * qp->pmtu, qp->pmtu);
}

bool fns_seg_bulk(const struct fns_qp *qp, const struct fns_wqe *w)
{
	const struct fns_wqe *next = fns_sq_at((struct fns_sq *)&qp->sq, qp->sq.cur + 1);

	return w->npsn > 1 ||
	       (qp->sq.tail - qp->sq.cur > 1 && next->op == w->op && next->length == w->length);
}

uint32_t fns_seg_count(const struct fns_qp *qp, const struct fns_wqe *w)
{
	if (w->length == 0 || w->op == FNS_WR_CMP_SWAP || w->op == FNS_WR_FETCH_ADD)
		return 1;
	return FNS_DIV_UP(w->length, qp->pmtu);
}

static uint8_t data_opcode(const struct fns_wqe *w, uint32_t seg, uint32_t n)
{
	bool first = seg == 0, last = seg + n == w->npsn;

	switch (w->op) {
	case FNS_WR_WRITE:
		/* Self-describing packets of equal length: a train, and every packet says where it
		 * belongs. */
		return FNS_OP_WRITE_ONLY;
	case FNS_WR_WRITE_IMM:
		if (first && last)
			return FNS_OP_WRITE_ONLY_IMM;
		return first  ? FNS_OP_WRITE_FIRST
		       : last ? FNS_OP_WRITE_LAST_IMM
			      : FNS_OP_WRITE_MIDDLE;
	case FNS_WR_SEND_IMM:
		if (first && last)
			return FNS_OP_SEND_ONLY_IMM;
		return first ? FNS_OP_SEND_FIRST : last ? FNS_OP_SEND_LAST_IMM : FNS_OP_SEND_MIDDLE;
	case FNS_WR_SEND_INV:
		if (first && last)
			return FNS_OP_SEND_ONLY_INV;
		return first ? FNS_OP_SEND_FIRST : last ? FNS_OP_SEND_LAST_INV : FNS_OP_SEND_MIDDLE;
	default:
		if (first && last)
			return FNS_OP_SEND_ONLY;
		return first ? FNS_OP_SEND_FIRST : last ? FNS_OP_SEND_LAST : FNS_OP_SEND_MIDDLE;
	}
}

/* PSNs that the READ request at seg asks for: to the end of its chunk. */
uint32_t fns_seg_read_count(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg)
{
	uint32_t chunk = fns_seg_read_chunk(qp);
	uint32_t end = (seg / chunk + 1) * chunk;

	return FNS_MIN(end, w->npsn) - seg;
}

void fns_seg_header(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg, uint32_t n,
	bool ack_req, struct fns_hdr *h)
{
	uint32_t off = seg * qp->pmtu;

	h->pkey = FNS_PKEY_DEFAULT;
	h->migreq = true;
	h->dest_qp = qp->dest_qpn;
	h->psn = psn_add(w->first_psn, seg);
	h->va = w->remote_addr + off;
	h->rkey = w->rkey;
	h->ack_req = ack_req;
	switch (w->op) {
	case FNS_WR_READ:
		h->opcode = FNS_OP_READ_REQUEST;
		h->dma_len = FNS_MIN(w->length - off, fns_seg_read_count(qp, w, seg) * qp->pmtu);
		return;
	case FNS_WR_CMP_SWAP:
	case FNS_WR_FETCH_ADD:
		h->opcode = w->op == FNS_WR_CMP_SWAP ? FNS_OP_CMP_SWAP : FNS_OP_FETCH_ADD;
		h->swap_add = w->swap_add;
		h->compare = w->compare;
		return;
	default:
		break;
	}
	h->opcode = (uint8_t)(qp->ops->tclass | data_opcode(w, seg, n));
	h->dma_len = w->op == FNS_WR_WRITE ? fns_seg_len(qp, w, seg) : w->length;
	h->imm = w->imm;
	h->solicited = (w->flags & FNS_WRF_SOLICITED) && seg + n == w->npsn;
	h->pad = (uint8_t)(-fns_seg_len(qp, w, seg) & 3);
}
