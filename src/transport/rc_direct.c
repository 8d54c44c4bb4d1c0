/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC requester, the short way: where the wire can reach into the peer's memory, a WRITE or READ
 * needs no packets, and takes no PSN. Datapath 4/9.
 *
 * Only while nothing of this queue pair is under way, so that the order of its messages is kept
 * (IBTA 9.5): what came before was acknowledged, and so it is placed. Whenever it does not work
 * out, for whatever reason, packets are sent, and the responder says what is wrong. Where payload
 * is to be copied for comparison (pipe/modes.h), it is not tried.
 */
#include "transport/rc.h"

/* In one go: others wait for the engine meanwhile. */
#define PIECE 65536u
/* After a refusal, so many messages do not wait to be tried. */
#define DISCOURAGED 64u

static bool is_bulk(const struct fns_wqe *w)
{
	return (w->op == FNS_WR_WRITE || w->op == FNS_WR_READ) && w->length >= FNS_DIRECT_BULK;
}

/*
 * Of a lone small message: only if packets would have to wake the peer, which costs both of us
 * more than a system call? Or in any case, since somebody waits for its completion.
 */
static bool only_if_asleep(const struct fns_qp *qp, const struct fns_wqe *w)
{
	const struct fns_cq *cq = qp->scq;

	return !(qp->sq_sig_all || (w->flags & FNS_WRF_SIGNALED)) ||
	       atomic_load_explicit(&cq->ring->consumer, memory_order_relaxed) != cq->produced;
}

/* Memory of bytes [off, off + len) of the message, in this process. 0: it is not to be had. */
static unsigned local_memory(
	struct fns_qp *qp, struct fns_wqe *w, uint32_t off, uint32_t len, struct iovec *iov)
{
	uint32_t need = w->op == FNS_WR_READ ? FNS_ACCESS_LOCAL_WRITE : 0;
	struct fns_memref ref[FNS_MAX_SGE];
	enum fns_wc_status status;
	int n;

	if (w->flags & FNS_WRF_INLINE) {
		iov[0] = (struct iovec){fns_wqe_data(w) + off, len};
		return 1;
	}
	n = fns_sge_refs(qp, w->sge, w->num_sge, off, len, need, ref, &status);
	for (int i = 0; i < n; i++) {
		iov[i] = (struct iovec){(void *)(uintptr_t)fns_memref_near(ref[i]), ref[i].len};
		if (!iov[i].iov_base)
			return 0;
	}
	return n < 0 ? 0 : (unsigned)n;
}

static void finish(struct fns_qp *qp)
{
	qp->req.direct_off = 0;
	qp->sq.cur++;
	qp->req.ack_pos = qp->sq.cur;
	fns_sq_retire(qp, FNS_WC_SUCCESS, 0);
	if (qp->state == FNS_QPS_ERR) /* its completion queue overran */
		fns_qp_flush(qp);
}

bool fns_rc_direct_wanted(const struct fns_qp *qp, const struct fns_wqe *w)
{
	return qp->path->direct && qp->req.discouraged == 0 && is_bulk(w);
}

static enum fns_rc_direct refused(struct fns_qp *qp, const struct fns_wqe *w)
{
	qp->req.direct_off = 0;
	if (is_bulk(w))
		qp->req.discouraged = DISCOURAGED;
	return FNS_RC_DIRECT_NO;
}

enum fns_rc_direct fns_rc_direct_piece(struct fns_qp *qp, struct fns_wqe *w)
{
	struct fns_requester *r = &qp->req;
	struct fns_wire *wire = qp->nic->wire;
	uint32_t off = r->direct_off, len = FNS_MIN(w->length - off, PIECE);
	struct iovec iov[FNS_MAX_SGE];
	struct fns_direct d = {.path = qp->path,
		.src_qpn = qp->qpn,
		.dest_qpn = qp->dest_qpn,
		.rkey = w->rkey,
		.va = w->remote_addr + off,
		.iov = iov,
		.len = len,
		.read = w->op == FNS_WR_READ};

	if (!wire->ops->direct || qp->nic->stage_all || qp->state != FNS_QPS_RTS ||
		w->length == 0 || (w->op != FNS_WR_WRITE && w->op != FNS_WR_READ))
		return FNS_RC_DIRECT_NO;
	if (qp->sq.head != qp->sq.cur || r->max_psn != r->una) {
		/* Behind others that could have gone that way, wait for them once. */
		if (is_bulk(w) && qp->sq.head != qp->sq.cur &&
			is_bulk(fns_sq_at(&qp->sq, qp->sq.cur - 1))) {
			if (r->discouraged == 0)
				return FNS_RC_DIRECT_WAIT;
			r->discouraged--;
		}
		return FNS_RC_DIRECT_NO;
	}
	d.if_asleep = !is_bulk(w) && only_if_asleep(qp, w);
	d.niov = local_memory(qp, w, off, len, iov);
	if (d.niov == 0 || !wire->ops->direct(wire, &d))
		return refused(qp, w);
	fns_line_add(d.read ? &qp->line->rx_bytes : &qp->line->tx_bytes, len);
	qp->deficit -= (int32_t)(len + FNS_BTH_LEN);
	r->discouraged = 0;
	r->direct_off = off + len;
	if (r->direct_off == w->length)
		finish(qp);
	return FNS_RC_DIRECT_DONE;
}
