/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC responses: acknowledgements, NAKs, atomic results and READ data leave in the order in which
 * the requests were executed (IBTA 9.7.5). READ data is gathered in place the first time and staged
 * when asked for again.
 */
#include "base/assert.h"
#include "transport/irn.h"

bool fns_rc_respond(struct fns_qp *qp, const struct fns_rsp *rsp)
{
	struct fns_responder *r = &qp->rsp;
	struct fns_rsp *to;

	if (r->rsp_tail - r->rsp_head > qp->rsp_mask)
		return false;
	to = fns_qp_rsp(qp, r->rsp_tail++);
	*to = *rsp;
	to->seg = 0;
	fns_qp_activate(qp);
	return true;
}

/* Everything committed so far is acknowledged; two acknowledgements in a row become one. */
void fns_rc_respond_ack(struct fns_qp *qp)
{
	struct fns_responder *r = &qp->rsp;
	const struct fns_rsp ack = {.kind = FNS_RSP_ACK,
		.syndrome = FNS_AETH_ACK | FNS_AETH_NO_CREDITS,
		.psn = psn_add(r->placed, FNS_PSN_MASK),
		.msn = r->msn};

	if (r->rsp_tail != r->rsp_head) {
		struct fns_rsp *last = fns_qp_rsp(qp, r->rsp_tail - 1);

		if (last->kind == FNS_RSP_ACK) {
			*last = ack;
			return;
		}
	}
	fns_rc_respond(qp, &ack); /* no room: the requester asks again */
}

static uint8_t read_opcode(const struct fns_rsp *e)
{
	if (e->npsn == 1)
		return FNS_OP_READ_RESP_ONLY;
	if (e->seg == 0)
		return FNS_OP_READ_RESP_FIRST;
	return e->seg + 1 == e->npsn ? FNS_OP_READ_RESP_LAST : FNS_OP_READ_RESP_MIDDLE;
}

static void count_tx(struct fns_qp *qp, const struct fns_frame *f)
{
	qp->deficit -= (int32_t)(f->hdr_len + f->payload_len + FNS_ICRC_LEN);
	fns_line_add(&qp->line->tx_bytes, f->payload_len);
}

/* An acknowledgement, while there is something behind a gap: it says what. */
static enum fns_gather add_sack(struct fns_qp *qp, const struct fns_rsp *e, struct fns_hdr *h,
	struct fns_frame *f, void **buf)
{
	struct fns_sack sack;

	if (e->kind != FNS_RSP_ACK || !fns_irn_report(qp, &sack))
		return FNS_GATHER_OK;
	*buf = fns_pool_get(&qp->nic->stage);
	if (!*buf)
		return FNS_GATHER_RETRY;
	h->opcode = FNS_OP_SACK;
	f->payload_len = fns_sack_build(*buf, &sack);
	f->nsg = 1;
	fns_txq_sgs(qp->nic)[0] = (struct fns_sg){.addr = *buf, .len = f->payload_len};
	fns_count(qp->nic->stats, FNS_C_irn_sacks_sent);
	return FNS_GATHER_OK;
}

/* One packet of e. */
static enum fns_gather emit(struct fns_qp *qp, struct fns_rsp *e)
{
	struct fns_nic *nic = qp->nic;
	struct fns_frame *f = fns_txq_frame(nic, 1);
	struct fns_hdr h = {.pkey = FNS_PKEY_DEFAULT,
		.migreq = true,
		.dest_qp = qp->dest_qpn,
		.psn = psn_add(e->psn, e->seg),
		.syndrome = e->syndrome,
		.msn = e->msn,
		.orig = e->orig};
	void *buf = NULL;

	if (!f)
		return FNS_GATHER_RETRY;
	switch (e->kind) {
	case FNS_RSP_READ: {
		uint32_t off = e->seg * qp->pmtu;
		uint32_t len = FNS_MIN(e->len - off, qp->pmtu);
		struct fns_memref ref;
		enum fns_gather g;

		h.opcode = read_opcode(e);
		h.pad = (uint8_t)(-len & 3);
		if (fns_mem_check(nic->mem, qp->pd, qp->qpn, e->rkey, e->va + off, len,
			    FNS_ACCESS_REMOTE_READ, true, &ref) != FNS_MEM_OK)
			return FNS_GATHER_ERROR;
		g = fns_gather_refs(qp, &qp->rsp.fetch, h.psn, &ref, 1, len, e->repeated, f, &buf);
		if (g != FNS_GATHER_OK)
			return g;
		break;
	}
	case FNS_RSP_ATOMIC:
		h.opcode = FNS_OP_ATOMIC_ACK;
		break;
	default:
		h.opcode = FNS_OP_ACK;
		if (fns_unlikely(qp->rsp.irn != NULL) &&
			add_sack(qp, e, &h, f, &buf) != FNS_GATHER_OK)
			return FNS_GATHER_RETRY;
		fns_count(nic->stats, FNS_C_acks_sent);
		break;
	}
	f->pad = h.pad;
	f->path = qp->path;
	f->owner = qp;
	f->psn = h.psn;
	f->hdr_len = (uint8_t)fns_hdr_build(f->hdr, &h);
	count_tx(qp, f);
	fns_txq_commit(nic, f, buf, false);
	return FNS_GATHER_OK;
}

/* The memory of a READ went away after it was accepted. */
static void read_failed(struct fns_qp *qp, struct fns_rsp *e)
{
	struct fns_responder *r = &qp->rsp;

	e->kind = FNS_RSP_NAK;
	e->psn = psn_add(e->psn, e->seg);
	e->seg = 0;
	e->npsn = 1;
	e->syndrome = FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS;
	r->rsp_tail = r->rsp_head + 1;
	r->dying = true;
	fns_count(qp->nic->stats, FNS_C_rc_fatal_naks_sent);
	fns_qp_error(qp, FNS_WC_SUCCESS, 0, FNS_EVENT_QP_ACCESS_ERR);
}

enum fns_tx_result fns_rc_response_tx(struct fns_qp *qp)
{
	struct fns_responder *r = &qp->rsp;

	while (r->rsp_head != r->rsp_tail) {
		struct fns_rsp *e = fns_qp_rsp(qp, r->rsp_head);

		if (qp->deficit <= 0 && e->kind == FNS_RSP_READ)
			return FNS_TX_MORE;
		switch (emit(qp, e)) {
		case FNS_GATHER_OK:
			break;
		case FNS_GATHER_WAIT:
			return FNS_TX_IDLE;
		case FNS_GATHER_RETRY:
			return FNS_TX_BLOCKED;
		case FNS_GATHER_ERROR:
			read_failed(qp, e);
			continue;
		}
		if (e->kind == FNS_RSP_READ && ++e->seg < e->npsn)
			continue;
		if ((e->kind == FNS_RSP_READ || e->kind == FNS_RSP_ATOMIC) && !e->repeated)
			r->rd_queued--;
		r->rsp_head++;
	}
	return FNS_TX_IDLE;
}
