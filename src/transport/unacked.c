/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and committing without acknowledgements, common to UC and UD (IBTA 9.8). */
#include <string.h>

#include "base/assert.h"
#include "transport/unacked.h"

void fns_unacked_reset(struct fns_qp *qp)
{
	fns_qp_stop(qp);
	fns_credit_drop(qp);
	memset(&qp->req, 0, sizeof(qp->req));
	memset(&qp->rsp, 0, sizeof(qp->rsp));
	fns_list_init(&qp->rsp.ops);
	qp->sq.head = qp->sq.cur = qp->sq.tail = 0;
	qp->rq.head = qp->rq.tail = 0;
	qp->last_wqe_event = qp->comm_est = false;
}

void fns_unacked_to_rtr(struct fns_qp *qp)
{
	qp->rsp.epsn = qp->attr.rq_psn & FNS_PSN_MASK;
}

void fns_unacked_to_rts(struct fns_qp *qp)
{
	qp->req.psn = qp->attr.sq_psn & FNS_PSN_MASK;
}

bool fns_unacked_only_acks(const struct fns_qp *qp)
{
	return qp->sq.cur == qp->sq.tail; /* credits */
}

void fns_unacked_timer(struct fns_qp *qp)
{
	(void)qp;
}

static void fail_if_oldest(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	if (r->failing && qp->sq.head == r->fail_pos && qp->sq.head != qp->sq.tail)
		fns_qp_error(qp, r->fail_status, 0, -1);
}

static void fail_at(struct fns_qp *qp, uint32_t pos, enum fns_wc_status status)
{
	struct fns_requester *r = &qp->req;

	if (!r->failing) {
		r->failing = true;
		r->fail_pos = pos;
		r->fail_status = (uint8_t)status;
	}
	fail_if_oldest(qp);
}

enum fns_tx_result fns_unacked_tx(struct fns_qp *qp, const struct fns_unacked_ops *ops)
{
	struct fns_requester *r = &qp->req;
	struct fns_nic *nic = qp->nic;

	if (!fns_credit_tx(qp))
		return FNS_TX_BLOCKED;
	while (qp->deficit > 0) {
		enum fns_wc_status status = FNS_WC_LOC_QP_OP_ERR;
		struct fns_peer *peer = NULL;
		struct fns_frame *f;
		struct fns_wqe *w;
		enum fns_gather g;
		void *buf = NULL;
		uint32_t cost = 0;
		bool last, mark;

		if ((qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD) || r->failing ||
			qp->sq.cur == qp->sq.tail)
			return FNS_TX_IDLE;
		w = fns_sq_at(&qp->sq, qp->sq.cur);
		if (w->bad) {
			fail_at(qp, qp->sq.cur, w->bad);
			return FNS_TX_IDLE;
		}
		if (!w->started) {
			if (qp->state == FNS_QPS_SQD)
				return FNS_TX_IDLE;
			w->started = true;
			w->first_psn = r->psn;
			w->npsn = fns_seg_count(qp, w);
			w->bulk = fns_seg_bulk(qp, w);
			r->seg = 0;
		}
		g = ops->peer(qp, w, &peer, &status);
		if (g == FNS_GATHER_ERROR) {
			fail_at(qp, qp->sq.cur, status);
			return FNS_TX_IDLE;
		}
		if (g != FNS_GATHER_OK)
			return FNS_TX_BLOCKED;
		cost = nic->wire->ops->rx_cost(nic->wire,
			FNS_HDR_MAX + fns_seg_len(qp, w, r->seg) + FNS_ICRC_LEN, w->bulk);
		if (fns_credit_must_wait(peer, cost)) {
			fns_peer_wait(qp, peer);
			return FNS_TX_IDLE;
		}
		mark = fns_credit_wants_mark(peer, cost);
		f = fns_txq_frame(nic, FNS_MAX_SGE);
		if (!f)
			return FNS_TX_BLOCKED;
		/* Getting a frame may have flushed, and a flush may have ended this queue pair. */
		if (qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD)
			return FNS_TX_IDLE;
		switch (ops->build(qp, w, qp->sq.cur, r->seg, mark, f, &buf, &status)) {
		case FNS_GATHER_OK:
			break;
		case FNS_GATHER_WAIT:
			return FNS_TX_IDLE;
		case FNS_GATHER_RETRY:
			return FNS_TX_BLOCKED;
		case FNS_GATHER_ERROR:
			fail_at(qp, qp->sq.cur, status);
			return FNS_TX_IDLE;
		}
		f->owner = qp;
		f->psn = r->psn;
		qp->deficit -= (int32_t)(f->hdr_len + f->payload_len + FNS_ICRC_LEN);
		fns_line_add(&qp->line->tx_bytes, f->payload_len);
		fns_credit_sent(qp, peer, r->psn, cost, mark);
		r->psn = psn_add(r->psn, 1);
		last = ++r->seg == w->npsn;
		if (last) {
			qp->sq.cur++;
			r->seg = 0;
		}
		fns_txq_commit(nic, f, buf, last);
	}
	return FNS_TX_MORE;
}

void fns_unacked_tx_done(struct fns_qp *qp, const struct fns_frame *f)
{
	struct fns_requester *r = &qp->req;
	struct fns_wqe *w;

	if ((qp->state != FNS_QPS_RTS && qp->state != FNS_QPS_SQD) || qp->sq.head == qp->sq.tail)
		return;
	if (f->status == FNS_FRAME_FAULT) {
		fns_count(qp->nic->stats, FNS_C_memory_faults);
		fail_at(qp, qp->sq.head, FNS_WC_LOC_PROT_ERR);
		return;
	}
	w = fns_sq_at(&qp->sq, qp->sq.head);
	if (f->psn != psn_add(w->first_psn, w->npsn - 1))
		return;
	fns_sq_retire(qp, FNS_WC_SUCCESS, 0);
	if (qp->state == FNS_QPS_ERR) {
		fns_qp_flush(qp);
		return;
	}
	fail_if_oldest(qp);
	if (qp->state == FNS_QPS_SQD && r->draining && fns_sq_idle(&qp->sq)) {
		r->draining = false;
		if (qp->attr.sq_draining)
			fns_qp_event(qp, FNS_EVENT_SQ_DRAINED);
	}
}

static void commit(struct fns_qp *qp, struct fns_rxop *op)
{
	if (op->has_cqe && (qp->state == FNS_QPS_ERR || (qp->state == FNS_QPS_RESET && qp->srq)))
		fns_qp_flush_recv(qp, op->cqe.wr_id);
	if (qp->state == FNS_QPS_ERR || qp->state == FNS_QPS_RESET)
		return;
	if (op->kind == FNS_RXOP_FATAL) {
		fns_cq_push(qp->nic, qp->rcq, &op->cqe, true);
		op->has_cqe = false;
		fns_qp_error(qp, FNS_WC_SUCCESS, 0, -1);
		return;
	}
	if (op->result < 0 && op->uses_recv) {
		fns_recv_fail(qp, op, FNS_WC_LOC_PROT_ERR);
		fns_qp_error(qp, FNS_WC_SUCCESS, 0, -1);
		return;
	}
	if (op->result < 0)
		fns_count(qp->nic->stats, FNS_C_drop_protection);
	if (op->has_cqe) {
		op->has_cqe = false;
		if (!fns_cq_push(qp->nic, qp->rcq, &op->cqe, op->solicited))
			fns_qp_error(qp, FNS_WC_SUCCESS, 0, FNS_EVENT_QP_FATAL);
	}
}

/* Behind all packets accepted before, whose completions come first. */
void fns_unacked_recv_error(struct fns_qp *qp, enum fns_wc_status status)
{
	struct fns_responder *r = &qp->rsp;
	struct fns_rxop *op;

	if (!r->have_rwqe) {
		fns_qp_error(qp, FNS_WC_SUCCESS, 0, -1);
		return;
	}
	op = fns_rxop_get(qp, FNS_RXOP_FATAL);
	if (!op)
		return; /* dropped: the receive serves the next message */
	op->cqe = (struct fns_cqe){.wr_id = r->wr_id,
		.qpn = qp->qpn,
		.wqe_count = 1,
		.srq = qp->srq ? qp->srq->handle : 0,
		.opcode = FNS_WC_RECV,
		.status = (uint8_t)status};
	op->has_cqe = true;
	r->have_rwqe = false;
	r->dying = true;
	fns_recv_queue(qp, op);
	fns_recv_drain(qp, commit);
}

void fns_unacked_placed(struct fns_rxop *op)
{
	fns_recv_drain(op->qp, commit);
}
