/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unreliable connection (IBTA 9.8.2): SEND and WRITE without acknowledgements. A gap in the PSNs
 * drops the message under way; the next FIRST or ONLY begins anew. What memory protection refuses
 * is dropped in silence.
 */
#include "transport/unacked.h"

static enum fns_gather uc_peer(
	struct fns_qp *qp, struct fns_wqe *w, struct fns_peer **p, enum fns_wc_status *status)
{
	(void)w;
	(void)status;
	*p = qp->peer;
	return FNS_GATHER_OK;
}

static enum fns_gather uc_build(struct fns_qp *qp, struct fns_wqe *w, uint32_t pos, uint32_t seg,
	bool ack_req, struct fns_frame *f, void **buf, enum fns_wc_status *status)
{
	uint32_t len = fns_seg_len(qp, w, seg);
	struct fns_hdr h = {0};
	enum fns_gather g;

	if (w->op > FNS_WR_WRITE_IMM)
		return FNS_GATHER_ERROR; /* no READ, no atomics over UC */
	g = fns_gather_wqe(
		qp, w, (uint64_t)pos << 32 | seg, seg * qp->pmtu, len, false, f, buf, status);
	if (g != FNS_GATHER_OK)
		return g;
	fns_seg_header(qp, w, seg, 1, ack_req, &h);
	h.psn = qp->req.psn;
	f->pad = h.pad;
	f->path = qp->path;
	f->hdr_len = (uint8_t)fns_hdr_build(f->hdr, &h);
	return FNS_GATHER_OK;
}

static enum fns_tx_result uc_tx(struct fns_qp *qp)
{
	static const struct fns_unacked_ops ops = {.peer = uc_peer, .build = uc_build};

	return fns_unacked_tx(qp, &ops);
}

static bool drop(struct fns_qp *qp, enum fns_counter why)
{
	fns_count(qp->nic->stats, why);
	fns_recv_restart(qp);
	return false;
}

/* Names the memory of a SEND's packet. */
static bool uc_send(struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op)
{
	struct fns_responder *r = &qp->rsp;
	enum fns_wc_status status;
	int n;

	if (h->info->flags & (FNS_OPF_FIRST | FNS_OPF_ONLY)) {
		r->offset = 0;
		if (!fns_recv_take(qp))
			return drop(qp, FNS_C_drop_no_rq);
	}
	if ((uint64_t)r->offset + h->payload_len > r->rwqe_len) {
		fns_count(qp->nic->stats, FNS_C_drop_length);
		fns_unacked_recv_error(qp, FNS_WC_LOC_LEN_ERR);
		return false;
	}
	n = fns_sge_refs(qp, r->rwqe_sge, r->rwqe_sges, r->offset, h->payload_len,
		FNS_ACCESS_LOCAL_WRITE, op->ref, &status);
	if (n < 0) {
		fns_unacked_recv_error(qp, status);
		return false;
	}
	op->nref = (uint8_t)n;
	op->uses_recv = true;
	r->offset += h->payload_len;
	return true;
}

static bool uc_write(struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t f = h->info->flags;
	bool ends = f & (FNS_OPF_LAST | FNS_OPF_ONLY);

	if (f & FNS_OPF_RETH) {
		r->write_va = h->va;
		r->write_rkey = h->rkey;
		r->write_len = h->dma_len;
		r->offset = 0;
	}
	if (r->write_len > 1u << 31 || (uint64_t)r->offset + h->payload_len > r->write_len ||
		(ends && r->offset + h->payload_len != r->write_len))
		return drop(qp, FNS_C_drop_length);
	if (h->payload_len) {
		if (!(qp->attr.access & FNS_ACCESS_REMOTE_WRITE) ||
			fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, r->write_rkey,
				r->write_va + r->offset, h->payload_len, FNS_ACCESS_REMOTE_WRITE,
				true, &op->ref[0]) != FNS_MEM_OK)
			return drop(qp, FNS_C_drop_protection);
		op->nref = 1;
	}
	if ((f & FNS_OPF_IMM) && !fns_recv_take(qp))
		return drop(qp, FNS_C_drop_no_rq);
	r->offset += h->payload_len;
	return true;
}

static bool uc_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t f = h->info->flags;
	uint8_t class = f & FNS_OPF_SEND ? FNS_MSG_SEND : FNS_MSG_WRITE;
	bool begins = f & (FNS_OPF_FIRST | FNS_OPF_ONLY);
	bool ends = f & (FNS_OPF_LAST | FNS_OPF_ONLY);
	int32_t d = psn_diff(h->psn, r->epsn);
	struct fns_rxop *op;

	if (qp->state < FNS_QPS_RTR || qp->state == FNS_QPS_ERR || r->dying) {
		fns_count(qp->nic->stats, FNS_C_drop_qp_state);
		return false;
	}
	if (f & FNS_OPF_CREDIT) {
		fns_credit_rx(qp, h, v);
		return false;
	}
	if (h->ack_req)
		fns_credit_owe(qp, qp->dest_qpn, h->psn, v);
	if (d < 0) { /* late or twice */
		fns_count(qp->nic->stats, FNS_C_drop_psn);
		return false;
	}
	r->epsn = psn_add(h->psn, 1);
	if (d > 0 || begins)
		fns_recv_restart(qp);
	if (!begins && r->in_message != class)
		return drop(qp, FNS_C_drop_opcode_seq);
	if (f & (FNS_OPF_FIRST | FNS_OPF_MIDDLE)
			? h->payload_len != qp->pmtu
			: h->payload_len > qp->pmtu || ((f & FNS_OPF_LAST) && h->payload_len == 0))
		return drop(qp, FNS_C_drop_length);
	op = fns_rxop_get(qp, FNS_RXOP_DATA);
	if (!op) {
		fns_recv_restart(qp);
		return false;
	}
	if (!(f & FNS_OPF_SEND ? uc_send(qp, h, op) : uc_write(qp, h, op))) {
		fns_rxop_put(op);
		return false;
	}
	r->in_message = ends ? FNS_MSG_NONE : class;
	if (((f & FNS_OPF_SEND) && ends) || (f & FNS_OPF_IMM))
		fns_recv_complete(qp, op, h);
	fns_line_add(&qp->line->rx_bytes, h->payload_len);
	fns_recv_queue(qp, op);
	fns_rxop_hold(op, v);
	fns_recv_place(qp, op, h->payload, fns_unacked_placed);
	return true;
}

const struct fns_transport_ops fns_transport_uc = {
	.name = "uc",
	.qp_type = FNS_QPT_UC,
	.tclass = FNS_TC_UC,
	.reset = fns_unacked_reset,
	.to_rtr = fns_unacked_to_rtr,
	.to_rts = fns_unacked_to_rts,
	.tx = uc_tx,
	.only_acks = fns_unacked_only_acks,
	.rx = uc_rx,
	.tx_done = fns_unacked_tx_done,
	.timer = fns_unacked_timer,
};
