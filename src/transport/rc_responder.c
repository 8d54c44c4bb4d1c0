/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC responder (IBTA 9.7.4): a request is checked, its effects are submitted to memory, and it
 * commits in order once they are placed: then the MSN moves, the receive completes and the
 * acknowledgement may leave. epsn runs ahead at acceptance (received_psn + 1), placed follows at
 * commit (placed_psn + 1). Datapath 6/9 and 7/9.
 */
#include <errno.h>

#include "base/assert.h"
#include "transport/irn.h"

/* How a request packet fares. */
enum verdict {
	V_ACCEPT,
	V_DROP,
	V_RNR,
	V_INVALID,     /* NAK invalid request */
	V_ACCESS,      /* NAK remote access error */
	V_OPERATIONAL, /* NAK remote operational error */
};

static void commit(struct fns_qp *qp, struct fns_rxop *op);

static void data_done(struct fns_rxop *op);

void fns_rc_drain(struct fns_qp *qp)
{
	fns_recv_drain(qp, commit);
}

/* Queues a NAK behind all packets accepted before. The AETH's PSN is the one expected. */
static void queue_nak(struct fns_qp *qp, uint8_t syndrome)
{
	struct fns_rxop *op = fns_rxop_get(qp, FNS_RXOP_NAK);

	if (!op)
		return; /* the requester times out and asks again */
	op->syndrome = syndrome;
	op->psn = qp->rsp.epsn;
	op->npsn = 0;
	qp->rsp.nak_sent = true;
	fns_recv_queue(qp, op);
	fns_recv_drain(qp, commit);
}

/* The queue pair ends here: local receive completion with status (if one is used up), NAK, event.
 */
static void queue_fatal(struct fns_qp *qp, enum fns_nak code, enum fns_wc_status recv_status)
{
	struct fns_responder *r = &qp->rsp;
	struct fns_rxop *op = fns_rxop_get(qp, FNS_RXOP_FATAL);

	if (!op)
		return; /* dropped: the request will come again */
	op->syndrome = (uint8_t)(FNS_AETH_NAK | code);
	op->psn = r->epsn;
	op->npsn = 0;
	op->event = code == FNS_NAK_REMOTE_ACCESS ? FNS_EVENT_QP_ACCESS_ERR : FNS_EVENT_QP_REQ_ERR;
	if (recv_status != FNS_WC_SUCCESS) {
		op->event = -1;
		if (r->have_rwqe) {
			op->cqe = (struct fns_cqe){.wr_id = r->wr_id,
				.qpn = qp->qpn,
				.wqe_count = 1,
				.srq = qp->srq ? qp->srq->handle : 0,
				.opcode = FNS_WC_RECV,
				.status = (uint8_t)recv_status};
			op->has_cqe = true;
			r->have_rwqe = false;
		}
	}
	r->dying = true;
	fns_recv_queue(qp, op);
	fns_recv_drain(qp, commit);
}

static void die(struct fns_qp *qp, uint8_t syndrome, uint32_t psn, int event)
{
	const struct fns_rsp nak = {
		.kind = FNS_RSP_NAK, .syndrome = syndrome, .psn = psn, .msn = qp->rsp.msn};

	qp->rsp.dying = true;
	fns_count(qp->nic->stats, FNS_C_rc_fatal_naks_sent);
	fns_rc_respond(qp, &nak);
	fns_qp_error(qp, FNS_WC_SUCCESS, 0, event);
}

static void commit_read(struct fns_qp *qp, struct fns_rxop *op)
{
	const struct fns_rsp rsp = {.kind = FNS_RSP_READ,
		.syndrome = FNS_AETH_ACK | FNS_AETH_NO_CREDITS,
		.psn = op->psn,
		.npsn = op->npsn,
		.msn = qp->rsp.msn,
		.va = op->va,
		.rkey = op->rkey,
		.len = op->len};

	if (!fns_rc_respond(qp, &rsp))
		qp->rsp.rd_queued--; /* no room; the requester asks again */
}

static void commit_atomic(struct fns_qp *qp, struct fns_rxop *op)
{
	struct fns_responder *r = &qp->rsp;
	const struct fns_rsp rsp = {.kind = FNS_RSP_ATOMIC,
		.syndrome = FNS_AETH_ACK | FNS_AETH_NO_CREDITS,
		.psn = op->psn,
		.npsn = 1,
		.msn = r->msn,
		.orig = op->token[0].value};

	r->saved[r->saved_next % FNS_MAX_RD_ATOMIC] =
		(struct fns_saved_atomic){.psn = op->psn, .valid = true, .orig = rsp.orig};
	r->saved_next++;
	if (!fns_rc_respond(qp, &rsp))
		r->rd_queued--;
}

static void commit_failed(struct fns_qp *qp, struct fns_rxop *op)
{
	bool send = op->uses_recv;

	if (send)
		fns_recv_fail(qp, op, FNS_WC_LOC_PROT_ERR);
	else if (op->has_cqe)
		fns_qp_flush_recv(qp, op->cqe.wr_id);
	op->has_cqe = false;
	die(qp,
		(uint8_t)(FNS_AETH_NAK |
			  (send ? FNS_NAK_REMOTE_OPERATIONAL : FNS_NAK_REMOTE_ACCESS)),
		op->psn, send ? -1 : FNS_EVENT_QP_ACCESS_ERR);
}

/* A packet's effects are in memory, and so are those of all before it. */
static void commit(struct fns_qp *qp, struct fns_rxop *op)
{
	struct fns_responder *r = &qp->rsp;

	if (op->has_cqe && (qp->state == FNS_QPS_ERR || (qp->state == FNS_QPS_RESET && qp->srq)))
		fns_qp_flush_recv(qp, op->cqe.wr_id);
	if (qp->state == FNS_QPS_ERR || qp->state == FNS_QPS_RESET)
		return;
	if (op->result < 0) {
		commit_failed(qp, op);
		return;
	}
	switch (op->kind) {
	case FNS_RXOP_NAK: {
		const struct fns_rsp nak = {.kind = FNS_RSP_NAK,
			.syndrome = op->syndrome,
			.psn = op->psn,
			.msn = r->msn};
		bool rnr = (op->syndrome & FNS_AETH_TYPE_MASK) == FNS_AETH_RNR;

		fns_count(qp->nic->stats, rnr ? FNS_C_rc_rnr_naks_sent : FNS_C_rc_seq_naks_sent);
		fns_rc_respond(qp, &nak);
		return;
	}
	case FNS_RXOP_FATAL:
		if (op->has_cqe)
			fns_cq_push(qp->nic, qp->rcq, &op->cqe, true);
		op->has_cqe = false;
		die(qp, op->syndrome, op->psn, op->event);
		return;
	default:
		break;
	}
	r->placed = psn_add(op->psn, op->npsn);
	if (op->ends_message)
		r->msn = (r->msn + 1) & FNS_PSN_MASK;
	if (op->kind == FNS_RXOP_READ) {
		commit_read(qp, op);
		return;
	}
	if (op->kind == FNS_RXOP_ATOMIC) {
		commit_atomic(qp, op);
		return;
	}
	if (op->has_cqe) {
		op->has_cqe = false;
		if (!fns_cq_push(qp->nic, qp->rcq, &op->cqe, op->solicited)) {
			die(qp, FNS_AETH_NAK | FNS_NAK_REMOTE_OPERATIONAL, op->psn,
				FNS_EVENT_QP_FATAL);
			return;
		}
	}
	if (fns_unlikely(op->call != NULL))
		fns_offload_start(qp->nic->offload, op->call);
	if (op->ack_req)
		fns_rc_respond_ack(qp);
}

/* What the packet was to bring is not to be had: it was not received, if that can still be said.
 * The requester is asked for it as for any that was lost, and carries it then. */
static bool not_received(struct fns_qp *qp, struct fns_rxop *op)
{
	struct fns_responder *r = &qp->rsp;

	if (qp->state == FNS_QPS_ERR || qp->state == FNS_QPS_RESET || r->dying ||
		r->ops.prev != &op->node)
		return false;
	r->epsn = op->psn;
	r->offset -= op->len;
	r->in_message = r->offset ? FNS_MSG_SEND : FNS_MSG_NONE;
	r->have_rwqe = true;
	fns_line_add(&qp->line->rx_bytes, -(uint64_t)op->len);
	op->has_cqe = false;
	fns_list_remove(&op->node);
	fns_rxop_put(op);
	queue_nak(qp, FNS_AETH_NAK | FNS_NAK_PSN_SEQUENCE);
	return true;
}

static void data_done(struct fns_rxop *op)
{
	struct fns_qp *qp = op->qp;

	if (fns_unlikely(op->result == -ESTALE) && not_received(qp, op))
		return;
	fns_recv_drain(qp, commit);
}

/* --- checks --- */

/* FIRST, MIDDLE, LAST and ONLY in their order, with the lengths they must have
 * (IBTA 9.7.4.1.5, 9.7.4.1.6). */
static inline __attribute__((always_inline)) enum verdict check_sequence(
	const struct fns_qp *qp, const struct fns_hdr *h, bool lent)
{
	const struct fns_responder *r = &qp->rsp;
	uint32_t f = h->info->flags;
	uint8_t class = f & FNS_OPF_SEND ? FNS_MSG_SEND : FNS_MSG_WRITE;

	if (f & (FNS_OPF_READ_REQ | FNS_OPF_ATOMIC))
		return r->in_message == FNS_MSG_NONE ? V_ACCEPT : V_INVALID;
	if (f & (FNS_OPF_FIRST | FNS_OPF_ONLY)) {
		if (r->in_message != FNS_MSG_NONE)
			return V_INVALID;
	} else if (r->in_message != class) {
		return V_INVALID;
	}
	/* As many packets as would have carried it. */
	if (fns_unlikely(lent))
		return h->payload_len > qp->pmtu && ((f & (FNS_OPF_LAST | FNS_OPF_ONLY)) ||
							    h->payload_len % qp->pmtu == 0)
			       ? V_ACCEPT
			       : V_INVALID;
	if (f & (FNS_OPF_FIRST | FNS_OPF_MIDDLE))
		return h->payload_len == qp->pmtu ? V_ACCEPT : V_INVALID;
	if (h->payload_len > qp->pmtu || ((f & FNS_OPF_LAST) && h->payload_len == 0))
		return V_INVALID;
	return V_ACCEPT;
}

static inline __attribute__((always_inline)) enum verdict check_rights(
	const struct fns_qp *qp, const struct fns_hdr *h)
{
	uint32_t f = h->info->flags, need = 0;

	if (f & FNS_OPF_WRITE)
		need = FNS_ACCESS_REMOTE_WRITE;
	else if (f & FNS_OPF_READ_REQ)
		need = FNS_ACCESS_REMOTE_READ;
	else if (f & FNS_OPF_ATOMIC)
		need = FNS_ACCESS_REMOTE_ATOMIC;
	/* Rights of the queue pair itself: an invalid request, IBTA 9.7.4.1.4 */
	return (qp->attr.access & need) == need ? V_ACCEPT : V_INVALID;
}

static enum verdict exec_send(struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op,
	enum fns_wc_status *recv_status)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t f = h->info->flags;
	int n;

	if (fns_unlikely(qp->offload != NULL)) {
		enum fns_offload_verdict o = fns_rc_offload_send(qp, h, op);

		if (o != FNS_OFFLOAD_PASS)
			return o == FNS_OFFLOAD_TAKE ? V_ACCEPT : V_RNR;
	}
	if (f & (FNS_OPF_FIRST | FNS_OPF_ONLY)) {
		if (!fns_recv_take(qp))
			return V_RNR;
		r->offset = 0;
	}
	if ((uint64_t)r->offset + h->payload_len > r->rwqe_len) {
		*recv_status = FNS_WC_LOC_LEN_ERR;
		return V_INVALID;
	}
	n = fns_sge_refs(qp, r->rwqe_sge, r->rwqe_sges, r->offset, h->payload_len,
		FNS_ACCESS_LOCAL_WRITE, op->ref, recv_status);
	if (n < 0)
		return V_OPERATIONAL;
	if ((f & FNS_OPF_IETH) && fns_mw_invalidate(qp->nic->mem, qp->pd, qp->qpn, h->imm) != 0)
		return V_ACCESS;
	op->nref = (uint8_t)n;
	op->uses_recv = true;
	r->offset += h->payload_len;
	r->in_message = f & (FNS_OPF_LAST | FNS_OPF_ONLY) ? FNS_MSG_NONE : FNS_MSG_SEND;
	return V_ACCEPT;
}

static inline __attribute__((always_inline)) enum verdict exec_write(
	struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t f = h->info->flags;
	bool ends = f & (FNS_OPF_LAST | FNS_OPF_ONLY);
	uint32_t offset = f & FNS_OPF_RETH ? 0 : r->offset;
	uint64_t va = f & FNS_OPF_RETH ? h->va : r->write_va;
	uint32_t rkey = f & FNS_OPF_RETH ? h->rkey : r->write_rkey;
	uint32_t len = f & FNS_OPF_RETH ? h->dma_len : r->write_len;
	struct fns_memref all;

	if (len > 1u << 31 || (uint64_t)offset + h->payload_len > len ||
		(ends && offset + h->payload_len != len))
		return V_INVALID;
	/* The whole range at the first packet: a message out of bounds leaves no trace. */
	if ((f & FNS_OPF_RETH) && len > h->payload_len &&
		fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, rkey, va, len, FNS_ACCESS_REMOTE_WRITE,
			true, &all) != FNS_MEM_OK)
		return V_ACCESS;
	if (h->payload_len) {
		if (fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, rkey, va + offset, h->payload_len,
			    FNS_ACCESS_REMOTE_WRITE, true, &op->ref[0]) != FNS_MEM_OK)
			return V_ACCESS;
		op->nref = 1;
	}
	if ((f & FNS_OPF_IMM) && !fns_recv_take(qp))
		return V_RNR;
	r->write_va = va;
	r->write_rkey = rkey;
	r->write_len = len;
	r->offset = offset + h->payload_len;
	r->in_message = ends ? FNS_MSG_NONE : FNS_MSG_WRITE;
	return V_ACCEPT;
}

static enum verdict exec_read(struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op)
{
	struct fns_memref ref;

	if (h->dma_len > 1u << 31)
		return V_INVALID;
	if (qp->rsp.rd_queued >= FNS_MAX(qp->attr.max_dest_rd_atomic, 1))
		return V_INVALID;
	if (fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, h->rkey, h->va, h->dma_len,
		    FNS_ACCESS_REMOTE_READ, true, &ref) != FNS_MEM_OK)
		return V_ACCESS;
	op->va = h->va;
	op->rkey = h->rkey;
	op->len = h->dma_len;
	op->npsn = h->dma_len ? FNS_DIV_UP(h->dma_len, qp->pmtu) : 1;
	qp->rsp.rd_queued++;
	return V_ACCEPT;
}

static enum verdict exec_atomic(struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op)
{
	if (h->va & 7)
		return V_INVALID;
	if (qp->rsp.rd_queued >= FNS_MAX(qp->attr.max_dest_rd_atomic, 1))
		return V_INVALID;
	if (fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, h->rkey, h->va, 8,
		    FNS_ACCESS_REMOTE_ATOMIC, true, &op->ref[0]) != FNS_MEM_OK)
		return V_ACCESS;
	op->nref = 1;
	op->compare_swap = h->opcode == FNS_OP_CMP_SWAP;
	op->swap_add = h->swap_add;
	op->compare = h->compare;
	op->done = data_done;
	qp->rsp.rd_queued++;
	return V_ACCEPT;
}

static bool refuse(struct fns_qp *qp, struct fns_rxop *op, enum verdict v, enum fns_wc_status recv)
{
	op->pending = 0;
	fns_rxop_put(op);
	switch (v) {
	case V_RNR:
		queue_nak(qp, FNS_AETH_RNR | (qp->attr.min_rnr_timer & FNS_AETH_VALUE_MASK));
		break;
	case V_INVALID:
		queue_fatal(qp, FNS_NAK_INVALID_REQUEST, recv);
		break;
	case V_ACCESS:
		queue_fatal(qp, FNS_NAK_REMOTE_ACCESS, recv);
		break;
	case V_OPERATIONAL:
		queue_fatal(qp, FNS_NAK_REMOTE_OPERATIONAL, recv);
		break;
	default:
		break;
	}
	return false;
}

/* See fns_rc_execute(). Inlined, so that what comes in order does not pay for what did not. */
static inline __attribute__((always_inline)) bool execute(
	struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *view, struct fns_irn_slot *slot)
{
	enum fns_wc_status recv_status = FNS_WC_SUCCESS;
	const uint8_t *payload = h->payload;
	const uint32_t lent = view ? view->lent : 0;
	uint32_t f = h->info->flags;
	enum verdict v;
	struct fns_rxop *op;
	enum fns_rxop_kind kind = f & FNS_OPF_READ_REQ ? FNS_RXOP_READ
				  : f & FNS_OPF_ATOMIC ? FNS_RXOP_ATOMIC
						       : FNS_RXOP_DATA;

	/* It may be a request, which is copied as it comes: to be carried, then. */
	if (fns_unlikely(lent && qp->offload)) {
		fns_rc_sequence_nak(qp);
		return false;
	}
	op = fns_rxop_get(qp, kind);
	if (!op)
		return false;
	v = check_sequence(qp, h, lent != 0);
	if (v == V_ACCEPT)
		v = check_rights(qp, h);
	if (v == V_ACCEPT) {
		if (f & FNS_OPF_READ_REQ)
			v = exec_read(qp, h, op);
		else if (f & FNS_OPF_ATOMIC)
			v = exec_atomic(qp, h, op);
		else if (f & FNS_OPF_SEND)
			v = exec_send(qp, h, op, &recv_status);
		else
			v = exec_write(qp, h, op);
	}
	if (v != V_ACCEPT)
		return refuse(qp, op, v, recv_status);

	if (fns_unlikely(lent)) {
		op->npsn = FNS_DIV_UP(lent, qp->pmtu);
		op->len = lent;
	}
	op->psn = h->psn;
	op->ack_req = h->ack_req || slot;
	op->ends_message = f & (FNS_OPF_LAST | FNS_OPF_ONLY | FNS_OPF_READ_REQ | FNS_OPF_ATOMIC);
	if ((((f & FNS_OPF_SEND) && op->ends_message) || (f & FNS_OPF_IMM)) && !op->call)
		fns_recv_complete(qp, op, h);
	qp->rsp.epsn = psn_add(qp->rsp.epsn, op->npsn);
	if (view && kind == FNS_RXOP_DATA)
		fns_rxop_hold(op, view);
	if (fns_unlikely(qp->rsp.irn != NULL)) {
		fns_irn_advance(qp, op->npsn);
		if (slot)
			payload = fns_irn_take(slot, op);
		if (op->hold || !slot)
			payload = fns_irn_supersede(qp, op, payload);
	}
	qp->rsp.nak_sent = false;
	fns_line_add(&qp->line->rx_bytes, h->payload_len);
	fns_recv_queue(qp, op);
	if (kind == FNS_RXOP_DATA) {
		fns_recv_place(qp, op, payload, data_done);
		return view != NULL;
	}
	fns_recv_drain(qp, commit);
	return false;
}

bool fns_rc_execute(
	struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *view, struct fns_irn_slot *slot)
{
	return execute(qp, h, view, slot);
}

/* --- duplicates (IBTA 9.7.5.1.2 to 9.7.5.1.4) --- */

static void repeat_read(struct fns_qp *qp, const struct fns_hdr *h)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t npsn = h->dma_len ? FNS_DIV_UP(h->dma_len, qp->pmtu) : 1;
	struct fns_rsp rsp = {.kind = FNS_RSP_READ,
		.syndrome = FNS_AETH_ACK | FNS_AETH_NO_CREDITS,
		.repeated = true,
		.psn = h->psn,
		.npsn = npsn,
		.msn = r->msn,
		.va = h->va,
		.rkey = h->rkey,
		.len = h->dma_len};
	struct fns_memref ref;
	uint32_t i;

	/* Only what was executed already; one that waits for placement will be answered anyway. */
	if (h->dma_len > 1u << 31 || psn_diff(psn_add(h->psn, npsn), r->placed) > 0)
		return;
	if (check_rights(qp, h) != V_ACCEPT ||
		fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, h->rkey, h->va, h->dma_len,
			FNS_ACCESS_REMOTE_READ, true, &ref) != FNS_MEM_OK) {
		queue_fatal(qp, FNS_NAK_REMOTE_ACCESS, FNS_WC_SUCCESS);
		return;
	}
	/* Still on its way from here on: nothing to repeat. */
	for (i = r->rsp_head; i != r->rsp_tail; i++) {
		const struct fns_rsp *e = fns_qp_rsp(qp, i);

		if (e->kind == FNS_RSP_READ && psn_diff(h->psn, psn_add(e->psn, e->seg)) >= 0 &&
			psn_diff(psn_add(h->psn, npsn), psn_add(e->psn, e->npsn)) <= 0)
			return;
	}
	if (fns_rc_response_count(qp) <= qp->rsp_mask / 2)
		fns_rc_respond(qp, &rsp);
}

static void repeat_atomic(struct fns_qp *qp, const struct fns_hdr *h)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t i;

	for (i = 0; i < FNS_MAX_RD_ATOMIC; i++) {
		if (r->saved[i].valid && r->saved[i].psn == h->psn) {
			const struct fns_rsp rsp = {.kind = FNS_RSP_ATOMIC,
				.syndrome = FNS_AETH_ACK | FNS_AETH_NO_CREDITS,
				.repeated = true,
				.psn = h->psn,
				.npsn = 1,
				.msn = r->msn,
				.orig = r->saved[i].orig};

			if (fns_rc_response_count(qp) <= qp->rsp_mask / 2)
				fns_rc_respond(qp, &rsp);
			return;
		}
	}
}

static void duplicate(struct fns_qp *qp, const struct fns_hdr *h)
{
	fns_count(qp->nic->stats, FNS_C_rc_duplicates);
	if (h->info->flags & FNS_OPF_READ_REQ)
		repeat_read(qp, h);
	else if (h->info->flags & FNS_OPF_ATOMIC)
		repeat_atomic(qp, h);
	else
		fns_rc_respond_ack(qp);
}

void fns_rc_sequence_nak(struct fns_qp *qp)
{
	if (!qp->rsp.nak_sent)
		queue_nak(qp, FNS_AETH_NAK | FNS_NAK_PSN_SEQUENCE);
}

bool fns_rc_responder_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	struct fns_responder *r = &qp->rsp;
	int32_t d;

	if (fns_unlikely(v->ecn == FNS_ECN_CE))
		fns_rc_marked(qp);
	if (qp->state < FNS_QPS_RTR || qp->state == FNS_QPS_ERR || r->dying) {
		fns_count(qp->nic->stats, FNS_C_drop_qp_state);
		return false;
	}
	if (qp->state == FNS_QPS_RTR && !qp->comm_est) {
		qp->comm_est = true;
		fns_qp_event(qp, FNS_EVENT_COMM_EST);
		fns_qp_expose(qp);
	}
	d = psn_diff(h->psn, r->epsn);
	if (fns_likely(d == 0 && !r->irn))
		return execute(qp, h, v, NULL);
	if (d < 0) {
		duplicate(qp, h);
		return false;
	}
	if (h->selective || r->irn)
		return fns_irn_rx(qp, h, v);
	fns_count(qp->nic->stats, FNS_C_drop_psn);
	fns_rc_sequence_nak(qp);
	return false;
}
