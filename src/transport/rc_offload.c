/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RC and the offloading engine: SENDs that are requests are taken from the responder, and what
 * handlers send leaves as work requests in the queue pair's own send queue, in order with the
 * application's: they have its windows, retransmission and errors, and no completions. Datapath 6/9
 * and 4/9.
 */
#include <string.h>

#include "base/assert.h"
#include "transport/rc.h"

static struct fns_qp_offload *of_sink(const struct fns_offload_sink *s)
{
	return (struct fns_qp_offload *)(uintptr_t)s;
}

static bool room(const struct fns_offload_sink *s)
{
	const struct fns_qp_offload *o = of_sink(s);
	const struct fns_sq *sq = &o->qp->sq;

	return o->posted < FNS_OFFLOAD_WQES && sq->tail - sq->head < sq->max_wr;
}

static struct fns_wqe *post(
	struct fns_offload_sink *s, struct fns_offload_call *c, uint8_t op, uint32_t len)
{
	struct fns_qp_offload *o = of_sink(s);
	struct fns_wqe *w = fns_sq_at(&o->qp->sq, o->qp->sq.tail);

	fns_assert(room(s));
	memset(w, 0, sizeof(*w));
	w->op = op;
	w->ours = true;
	w->swap_add = (uintptr_t)c;
	w->length = len;
	o->posted++;
	o->qp->sq.tail++;
	fns_qp_activate(o->qp);
	return w;
}

static void write_mem(struct fns_offload_sink *s, struct fns_offload_call *c,
	const struct fns_offload_piece *piece, unsigned n, uint64_t va, uint32_t rkey)
{
	struct fns_wqe *w = post(s, c, FNS_WR_WRITE, 0);

	for (unsigned i = 0; i < n; i++) {
		w->sge[i] = (struct fns_sqd_sge){
			.addr = piece[i].addr, .len = piece[i].len, .lkey = piece[i].key};
		w->length += piece[i].len;
	}
	w->num_sge = (uint8_t)n;
	w->remote_addr = va;
	w->rkey = rkey;
}

static void inline_data(struct fns_wqe *w, const void *bytes)
{
	w->flags = FNS_WRF_INLINE;
	w->compare = (uintptr_t)bytes;
}

static void write_data(struct fns_offload_sink *s, struct fns_offload_call *c, const void *bytes,
	uint32_t len, uint64_t va, uint32_t rkey)
{
	struct fns_qp_offload *o = of_sink(s);
	/* Work requests are retired in order, so this one's has been given back. */
	uint8_t *data = o->data[o->next_data++ % FNS_OFFLOAD_WQES];
	struct fns_wqe *w = post(s, c, FNS_WR_WRITE, len);

	memcpy(data, bytes, len);
	inline_data(w, data);
	w->remote_addr = va;
	w->rkey = rkey;
}

static void send(
	struct fns_offload_sink *s, struct fns_offload_call *c, const void *bytes, uint32_t len)
{
	inline_data(post(s, c, FNS_WR_SEND, len), bytes);
}

static const struct fns_offload_sink_ops sink_ops = {
	.room = room, .write_mem = write_mem, .write = write_data, .send = send};

void fns_qp_offload_init(struct fns_qp_offload *o, struct fns_qp *qp)
{
	fns_offload_sink_init(&o->sink, &sink_ops, qp->pd);
	fns_offload_port_init(&o->own);
	o->qp = qp;
	o->port = &o->own;
	o->posted = o->next_data = 0;
}

static void over(struct fns_qp *qp, struct fns_wqe *w)
{
	w->ours = false;
	qp->offload->posted--;
	fns_offload_sent(qp->nic->offload, (struct fns_offload_call *)(uintptr_t)w->swap_add);
}

void fns_qp_offload_retired(struct fns_qp *qp, struct fns_wqe *w, enum fns_wc_status status)
{
	/* Nobody gets a completion that says so. */
	if (status != FNS_WC_SUCCESS && status != FNS_WC_WR_FLUSH_ERR)
		fns_qp_event(qp, FNS_EVENT_QP_FATAL);
	over(qp, w);
}

void fns_qp_offload_stop(struct fns_qp *qp)
{
	qp->rsp.call = NULL;
	fns_offload_cancel(qp->nic->offload, &qp->offload->sink);
}

void fns_qp_offload_drop(struct fns_qp *qp)
{
	if (!qp->offload)
		return;
	for (uint32_t pos = qp->sq.head; pos != qp->sq.tail; pos++) {
		struct fns_wqe *w = fns_sq_at(&qp->sq, pos);

		if (w->ours)
			over(qp, w);
	}
}

enum fns_offload_verdict fns_rc_offload_send(
	struct fns_qp *qp, const struct fns_hdr *h, struct fns_rxop *op)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t f = h->info->flags;

	if (f & (FNS_OPF_FIRST | FNS_OPF_ONLY)) {
		enum fns_offload_verdict v;

		r->call = NULL;
		if (f & (FNS_OPF_IMM | FNS_OPF_IETH))
			return FNS_OFFLOAD_PASS;
		v = fns_offload_begin(qp->nic->offload, qp->offload->port, &qp->offload->sink,
			h->payload, h->payload_len, &r->call);
		if (v != FNS_OFFLOAD_TAKE)
			return v;
	}
	if (!r->call)
		return FNS_OFFLOAD_PASS;
	fns_offload_receive(r->call, h->payload, h->payload_len);
	r->in_message = FNS_MSG_SEND;
	if (f & (FNS_OPF_LAST | FNS_OPF_ONLY)) {
		op->call = r->call;
		r->call = NULL;
		r->in_message = FNS_MSG_NONE;
	}
	return FNS_OFFLOAD_TAKE;
}
