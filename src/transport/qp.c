/* SPDX-License-Identifier: Apache-2.0 */
/* What all transports do with a queue pair: activation, completion of its work requests, errors and
 * flushes. */
#include <string.h>

#include "base/assert.h"
#include "transport/irn.h"

void fns_qp_activate(struct fns_qp *qp)
{
	if (qp->read_wait || qp->peer_wait)
		fns_qp_deactivate(qp);
	if (fns_list_empty(&qp->sched))
		fns_list_push_back(&qp->nic->active, &qp->sched);
}

void fns_qp_deactivate(struct fns_qp *qp)
{
	if (qp->peer_wait)
		qp->wait_peer = NULL; /* left of its own accord: no turn of its to pass on */
	qp->read_wait = qp->peer_wait = false;
	if (!fns_list_empty(&qp->sched))
		fns_list_remove(&qp->sched);
}

void fns_qp_wake(struct fns_nic *nic, struct fns_list *waiters)
{
	struct fns_list *n;

	while ((n = fns_list_pop_front(waiters))) {
		struct fns_qp *qp = fns_container_of(n, struct fns_qp, sched);

		qp->read_wait = qp->peer_wait = false;
		fns_list_push_back(&nic->active, &qp->sched);
	}
}

void fns_qp_event(struct fns_qp *qp, enum fns_event_type type)
{
	const struct fns_event ev = {
		.client = qp->client, .type = (uint32_t)type, .cookie = qp->cookie};

	if (qp->nic->up.async_event)
		qp->nic->up.async_event(qp->nic->up.ctx, &ev);
}

void fns_qp_expose(struct fns_qp *qp)
{
	struct fns_wire *wire = qp->nic->wire;

	/* What comes first in RTR must be a packet: it raises an event. */
	if (qp->type == FNS_QPT_RC && wire->ops->qp_expose &&
		(qp->state == FNS_QPS_RTS || (qp->state == FNS_QPS_RTR && qp->comm_est)))
		wire->ops->qp_expose(wire, &(struct fns_exposed_qp){.remote = qp->path->remote,
						   .qpn = qp->qpn,
						   .dest_qpn = qp->dest_qpn,
						   .pd = qp->pd->handle,
						   .access = qp->attr.access});
}

void fns_qp_state_set(struct fns_qp *qp, enum fns_qp_state state)
{
	struct fns_wire *wire = qp->nic->wire;

	/* Who is at it still counts as having come before; destruction waits for them. */
	if (qp->type == FNS_QPT_RC && wire->ops->qp_conceal &&
		(qp->state == FNS_QPS_RTS || qp->state == FNS_QPS_RTR))
		(void)wire->ops->qp_conceal(wire, qp->qpn);
	qp->state = (uint8_t)state;
	atomic_store_explicit(&qp->line->state, (uint8_t)state, memory_order_relaxed);
	fns_qp_expose(qp);
}

static void cq_failed(struct fns_qp *qp)
{
	/* A queue pair whose completions cannot be delivered is of no use (IBTA 10.2.6.3): stop it,
	 * say so once. */
	if (qp->state != FNS_QPS_ERR) {
		fns_qp_state_set(qp, FNS_QPS_ERR);
		fns_qp_stop(qp);
		fns_qp_event(qp, FNS_EVENT_QP_FATAL);
	}
}

static uint8_t wc_opcode(uint8_t op)
{
	switch (op) {
	case FNS_WR_WRITE:
	case FNS_WR_WRITE_IMM:
		return FNS_WC_WRITE;
	case FNS_WR_READ:
		return FNS_WC_READ;
	case FNS_WR_CMP_SWAP:
		return FNS_WC_COMP_SWAP;
	case FNS_WR_FETCH_ADD:
		return FNS_WC_FETCH_ADD;
	case FNS_WR_BIND_MW:
		return FNS_WC_BIND_MW;
	case FNS_WR_LOCAL_INV:
		return FNS_WC_LOCAL_INV;
	default:
		return FNS_WC_SEND;
	}
}

void fns_sq_retire(struct fns_qp *qp, enum fns_wc_status status, uint32_t vendor_err)
{
	struct fns_sq *sq = &qp->sq;
	struct fns_wqe *w = fns_sq_at(sq, sq->head);
	struct fns_cqe c;

	fns_assert(sq->head != sq->tail);
	sq->head++;
	if (fns_unlikely(w->ours)) {
		sq->ours++;
		fns_qp_offload_retired(qp, w, status);
		return;
	}
	if (status == FNS_WC_SUCCESS && !qp->sq_sig_all && !(w->flags & FNS_WRF_SIGNALED))
		return;
	memset(&c, 0, sizeof(c));
	c.wr_id = w->wr_id;
	c.qpn = qp->qpn;
	c.status = (uint8_t)status;
	c.vendor_err = vendor_err;
	c.opcode = wc_opcode(w->op);
	c.is_send = 1;
	c.wqe_count = sq->head - sq->ours;
	c.byte_len = w->length;
	if (!fns_cq_push(qp->nic, qp->scq, &c, false))
		cq_failed(qp);
}

void fns_qp_flush_recv(struct fns_qp *qp, uint64_t wr_id)
{
	struct fns_cqe c;

	memset(&c, 0, sizeof(c));
	c.wr_id = wr_id;
	c.qpn = qp->qpn;
	c.status = FNS_WC_WR_FLUSH_ERR;
	c.opcode = FNS_WC_RECV;
	c.wqe_count = 1;
	c.srq = qp->srq ? qp->srq->handle : 0;
	fns_cq_push(qp->nic, qp->rcq, &c, false);
}

static void flush_sq(struct fns_qp *qp)
{
	while (qp->sq.head != qp->sq.tail)
		fns_sq_retire(qp, FNS_WC_WR_FLUSH_ERR, 0);
	qp->sq.cur = qp->req.ack_pos = qp->sq.head;
}

/* Receives used by packets in placement were flushed when these ended; now the message that had
 * begun, then what was only posted. */
static void flush_rq(struct fns_qp *qp)
{
	if (qp->rsp.have_rwqe)
		fns_qp_flush_recv(qp, qp->rsp.wr_id);
	qp->rsp.have_rwqe = false;
	if (qp->srq) {
		if (!qp->last_wqe_event) {
			qp->last_wqe_event = true;
			fns_qp_event(qp, FNS_EVENT_QP_LAST_WQE_REACHED);
		}
		return;
	}
	while (qp->rq.head != qp->rq.tail) {
		fns_qp_flush_recv(qp, fns_rq_at(&qp->rq, qp->rq.head)->wr_id);
		qp->rq.head++;
	}
}

void fns_qp_flush(struct fns_qp *qp)
{
	if (qp->state == FNS_QPS_ERR) {
		if (qp->ops_inflight)
			return; /* fns_qp_op_done() comes back */
		if (qp->err_status != FNS_WC_SUCCESS && qp->sq.head != qp->sq.tail)
			fns_sq_retire(qp, qp->err_status, qp->err_vendor);
		qp->err_status = FNS_WC_SUCCESS;
		flush_sq(qp);
		flush_rq(qp);
	} else if (qp->state == FNS_QPS_SQE) {
		flush_sq(qp);
	}
}

void fns_qp_op_done(struct fns_qp *qp)
{
	if (--qp->ops_inflight == 0 && fns_unlikely(qp->state == FNS_QPS_ERR))
		fns_qp_flush(qp);
}

void fns_qp_stop(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;
	struct fns_nic *nic = qp->nic;

	fns_txq_cancel(qp);
	/* Called back, before completions give the memory back to the application. */
	atomic_fetch_add_explicit(&qp->loan, 1, memory_order_release);
	if (fns_unlikely(qp->offload != NULL))
		fns_qp_offload_stop(qp);
	fns_timer_cancel(nic->timers, &qp->timer);
	fns_fetch_cancel(nic, &r->fetch);
	fns_fetch_cancel(nic, &qp->rsp.fetch);
	fns_irn_tx_drop(qp);
	fns_irn_rx_drop(qp);
	if (qp->peer) {
		fns_peer_unask(qp);
		fns_peer_release(nic, qp->peer, r->cost, false);
	}
	nic->read_cost -= r->rd_cost;
	if (r->rd_cost)
		fns_qp_wake(nic, &nic->read_waiters);
	r->cost = r->rd_cost = 0;
	r->rd_inflight = 0;
	r->rnr_until_ns = 0;
	r->failing = r->probing = r->resend_una = r->resending = false;
	r->direct_off = 0;
}

void fns_qp_error(struct fns_qp *qp, enum fns_wc_status status, uint32_t vendor_err, int event)
{
	bool sq_only;

	if (qp->state == FNS_QPS_ERR || qp->state == FNS_QPS_RESET)
		return;
	/* Send errors of unconnected or unacknowledged services leave receiving alone (IBTA 10.3.1,
	 * state SQE). */
	sq_only = status != FNS_WC_SUCCESS && qp->type != FNS_QPT_RC;
	fns_qp_state_set(qp, sq_only ? FNS_QPS_SQE : FNS_QPS_ERR);
	fns_qp_stop(qp);
	if (sq_only && qp->sq.head != qp->sq.tail)
		fns_sq_retire(qp, status, vendor_err);
	qp->err_status = sq_only ? FNS_WC_SUCCESS : (uint8_t)status;
	qp->err_vendor = vendor_err;
	if (event >= 0)
		fns_qp_event(qp, (enum fns_event_type)event);
	fns_qp_flush(qp);
	if (qp->peer_wait || qp->read_wait)
		fns_qp_deactivate(qp);
	fns_peer_pass(qp);
	/* A NAK may still have to go out. */
	if (qp->rsp.rsp_head != qp->rsp.rsp_tail)
		fns_qp_activate(qp);
}
