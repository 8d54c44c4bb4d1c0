/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unreliable datagrams (IBTA 9.8.3): one packet a message, to whom the address handle says, guarded
 * by Q_Keys. Each receive begins with 40 bytes of global route header; for IPv4 the IP header
 * stands in its last 20 bytes (IBTA A17.4.5.1).
 */
#include <string.h>

#include "base/bytes.h"
#include "transport/unacked.h"

/* The path to an address handle's peer, whose port slot depends on the queue pair addressed. NULL:
 * *g says why. */
static struct fns_path *ud_path(
	struct fns_qp *qp, struct fns_ah *ah, uint32_t dest_qpn, enum fns_gather *g)
{
	struct fns_wire *wire = qp->nic->wire;
	uint8_t prefix = (uint8_t)(dest_qpn >> 16);
	struct fns_peer *peer;
	struct fns_path *p;

	if (ah->path && ah->path->prefix == prefix)
		return ah->path;
	/* Frames that refer to the old path must be gone. */
	if (ah->path && qp->nic->txq.n) {
		*g = FNS_GATHER_RETRY;
		if (!fns_txq_flush(qp->nic))
			return NULL;
	}
	*g = FNS_GATHER_ERROR;
	if (wire->ops->path_get(wire, &ah->av.sgid, &ah->av.dgid, ah->av.ifindex, prefix,
		    ah->av.traffic_class, ah->av.hop_limit ? ah->av.hop_limit : 64, &p) != 0)
		return NULL;
	peer = fns_peer_get(qp->nic, p);
	if (!peer) {
		wire->ops->path_put(wire, p);
		return NULL;
	}
	if (ah->path)
		wire->ops->path_put(wire, ah->path);
	fns_peer_put(ah->peer);
	ah->peer = peer;
	ah->path = p;
	return p;
}

static enum fns_gather ud_peer(
	struct fns_qp *qp, struct fns_wqe *w, struct fns_peer **p, enum fns_wc_status *status)
{
	struct fns_ah *ah = qp->nic->find_ah(qp->nic, w->ah);
	enum fns_gather g = FNS_GATHER_ERROR;

	*status = FNS_WC_LOC_QP_OP_ERR;
	if (!ah || ah->pd != qp->pd || (w->op != FNS_WR_SEND && w->op != FNS_WR_SEND_IMM))
		return FNS_GATHER_ERROR;
	if (w->length > ah->pmtu) {
		*status = FNS_WC_LOC_LEN_ERR;
		return FNS_GATHER_ERROR;
	}
	if (!ud_path(qp, ah, w->remote_qpn, &g))
		return g;
	*p = ah->peer;
	return FNS_GATHER_OK;
}

static enum fns_gather ud_build(struct fns_qp *qp, struct fns_wqe *w, uint32_t pos, uint32_t seg,
	bool ack_req, struct fns_frame *f, void **buf, enum fns_wc_status *status)
{
	struct fns_hdr h = {.ack_req = ack_req};
	enum fns_gather g;

	f->path = qp->nic->find_ah(qp->nic, w->ah)->path;
	g = fns_gather_wqe(qp, w, (uint64_t)pos << 32 | seg, 0, w->length, false, f, buf, status);
	if (g != FNS_GATHER_OK)
		return g;
	h.opcode = (uint8_t)(FNS_TC_UD |
			     (w->op == FNS_WR_SEND ? FNS_OP_SEND_ONLY : FNS_OP_SEND_ONLY_IMM));
	h.solicited = w->flags & FNS_WRF_SOLICITED;
	h.migreq = true;
	h.pkey = FNS_PKEY_DEFAULT;
	h.dest_qp = w->remote_qpn & FNS_QPN_MASK;
	h.psn = qp->req.psn;
	h.pad = (uint8_t)(-w->length & 3);
	/* A Q_Key with the high bit set means the queue pair's own (IBTA 10.2.5). */
	h.qkey = w->qkey & 0x80000000u ? qp->attr.qkey : w->qkey;
	h.src_qp = qp->qpn;
	h.imm = w->imm;
	f->pad = h.pad;
	f->hdr_len = (uint8_t)fns_hdr_build(f->hdr, &h);
	return FNS_GATHER_OK;
}

static enum fns_tx_result ud_tx(struct fns_qp *qp)
{
	static const struct fns_unacked_ops ops = {.peer = ud_peer, .build = ud_build};

	return fns_unacked_tx(qp, &ops);
}

static void make_grh(uint8_t *grh, const struct fns_rx_view *v)
{
	uint32_t udp_len = v->len + FNS_ICRC_LEN + 8;

	memset(grh, 0, FNS_GRH_LEN);
	if (fns_gid_is_v4(&v->src)) {
		uint8_t *ip = grh + 20;

		ip[0] = 0x45;
		ip[1] = v->tos;
		put_be16(ip + 2, (uint16_t)(udp_len + 20));
		ip[6] = 0x40; /* do not fragment */
		ip[8] = v->ttl;
		ip[9] = 17;
		memcpy(ip + 12, v->src.b + 12, 4);
		memcpy(ip + 16, v->dst.b + 12, 4);
		return;
	}
	put_be32(grh, 6u << 28 | (uint32_t)v->tos << 20);
	put_be16(grh + 4, (uint16_t)udp_len);
	grh[6] = 17;
	grh[7] = v->ttl;
	memcpy(grh + 8, v->src.b, 16);
	memcpy(grh + 24, v->dst.b, 16);
}

static bool drop(struct fns_qp *qp, enum fns_counter why)
{
	fns_count(qp->nic->stats, why);
	return false;
}

static bool ud_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	struct fns_responder *r = &qp->rsp;
	enum fns_wc_status status;
	struct fns_rxop *op;
	int n, m;

	if (qp->state < FNS_QPS_RTR || qp->state == FNS_QPS_ERR || r->dying)
		return drop(qp, FNS_C_drop_qp_state);
	if (h->info->flags & FNS_OPF_CREDIT) {
		fns_credit_rx(qp, h, v);
		return false;
	}
	if (h->ack_req)
		fns_credit_owe(qp, h->src_qp, h->psn, v);
	if (!(h->info->flags & FNS_OPF_DETH) || h->qkey != qp->attr.qkey)
		return drop(qp, FNS_C_drop_qkey);
	if (!fns_recv_take(qp))
		return drop(qp, FNS_C_drop_no_rq);
	if (r->rwqe_len < FNS_GRH_LEN) { /* nothing will ever fit: it would block the queue */
		fns_unacked_recv_error(qp, FNS_WC_LOC_LEN_ERR);
		return false;
	}
	if ((uint64_t)FNS_GRH_LEN + h->payload_len > r->rwqe_len)
		return drop(qp, FNS_C_drop_length); /* anybody may send: not worth the queue pair */
	op = fns_rxop_get(qp, FNS_RXOP_DATA);
	if (!op)
		return false;
	n = fns_sge_refs(qp, r->rwqe_sge, r->rwqe_sges, 0, FNS_GRH_LEN, FNS_ACCESS_LOCAL_WRITE,
		op->ref, &status);
	m = n < 0 ? n
		  : fns_sge_refs(qp, r->rwqe_sge, r->rwqe_sges, FNS_GRH_LEN, h->payload_len,
			    FNS_ACCESS_LOCAL_WRITE, op->ref + n, &status);
	if (m < 0) {
		fns_rxop_put(op);
		fns_unacked_recv_error(qp, status);
		return false;
	}
	make_grh(op->grh, v);
	op->nprefix = (uint8_t)n;
	op->nref = (uint8_t)(n + m);
	op->uses_recv = true;
	r->offset = FNS_GRH_LEN + h->payload_len;
	fns_recv_complete(qp, op, h);
	op->cqe.src_qp = h->src_qp;
	op->cqe.wc_flags |= FNS_WCF_GRH;
	op->cqe.sl = fns_gid_is_v4(&v->src) ? FNS_WC_SL_ROCEV2_IPV4 : FNS_WC_SL_ROCEV2_IPV6;
	fns_line_add(&qp->line->rx_bytes, h->payload_len);
	fns_recv_queue(qp, op);
	fns_rxop_hold(op, v);
	fns_recv_place(qp, op, h->payload, fns_unacked_placed);
	return true;
}

const struct fns_transport_ops fns_transport_ud = {
	.name = "ud",
	.qp_type = FNS_QPT_UD,
	.tclass = FNS_TC_UD,
	.reset = fns_unacked_reset,
	.to_rtr = fns_unacked_to_rtr,
	.to_rts = fns_unacked_to_rts,
	.tx = ud_tx,
	.only_acks = fns_unacked_only_acks,
	.rx = ud_rx,
	.tx_done = fns_unacked_tx_done,
	.timer = fns_unacked_timer,
};
