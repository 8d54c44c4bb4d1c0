/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations on queue pairs: creation, the state machine's actions, destruction. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_priv.h"

#define MAX_WR 16384u

static const struct fns_transport_ops *transport_of(uint8_t type)
{
	switch (type) {
	case FNS_QPT_RC:
		return &fns_transport_rc;
	case FNS_QPT_UC:
		return &fns_transport_uc;
	case FNS_QPT_UD:
		return &fns_transport_ud;
	default:
		return NULL;
	}
}

static void timer_fired(struct fns_timer *t, uint64_t now_ns)
{
	struct fns_qp *qp = fns_container_of(t, struct fns_qp, timer);

	(void)now_ns;
	qp->ops->timer(qp);
}

uint32_t fns_sq_stride(uint32_t max_sge, uint32_t max_inline)
{
	uint32_t tail = (uint32_t)FNS_MAX(max_sge * sizeof(struct fns_sqd_sge), (size_t)max_inline);

	return (uint32_t)FNS_ALIGN_UP(
		offsetof(struct fns_wqe, sge) + FNS_MAX(tail, 16u), FNS_CACHELINE);
}

static uint32_t sq_stride(const struct fns_ctl_qp_cap *cap)
{
	return fns_sq_stride(cap->max_send_sge, cap->max_inline);
}

/* Of a queue pair and both queues. */
static uint64_t queue_bytes(const struct fns_ctl_qp_cap *cap)
{
	return sizeof(struct fns_qp) + FNS_RSP_RING * sizeof(struct fns_rsp) +
	       (uint64_t)fns_pow2_ceil(FNS_MAX(cap->max_send_wr, 1u)) * sq_stride(cap) +
	       fns_rq_bytes(cap->max_recv_wr, cap->max_recv_sge);
}

static int sq_init(struct fns_sq *sq, const struct fns_ctl_qp_cap *cap)
{
	uint32_t slots = fns_pow2_ceil(FNS_MAX(cap->max_send_wr, 1u));

	sq->stride = sq_stride(cap);
	sq->mask = slots - 1;
	sq->max_wr = cap->max_send_wr;
	sq->max_sge = cap->max_send_sge;
	sq->max_inline = cap->max_inline;
	sq->mem = aligned_alloc(FNS_CACHELINE, (size_t)slots * sq->stride);
	return sq->mem ? 0 : -ENOMEM;
}

/* A free QPN; numbers are not used again soon, so that late packets of a dead queue pair find
 * nobody. */
static uint32_t pick_index(struct fns_engine *e)
{
	do {
		e->next_qp = (e->next_qp + 1) % FNS_QP_INDEXES;
	} while (e->next_qp < FNS_QP_FIRST || e->qps[e->next_qp]);
	return e->next_qp;
}

static bool cap_ok(const struct fns_ctl_qp_cap *c)
{
	return c->max_send_wr <= MAX_WR && c->max_recv_wr <= MAX_WR &&
	       c->max_send_sge <= FNS_MAX_SGE && c->max_recv_sge <= FNS_MAX_SGE &&
	       c->max_inline <= FNS_MAX_INLINE;
}

int fns_ctl_qp_create(struct fns_engine *e, struct fns_ctl *m)
{
	const struct fns_transport_ops *ops = transport_of(m->qp.type);
	struct fns_pd *pd = fns_ctl_pd(e, m->client, m->qp.pd);
	struct fns_cq *scq = fns_ctl_cq(e, m->client, m->qp.send_cq);
	struct fns_cq *rcq = fns_ctl_cq(e, m->client, m->qp.recv_cq);
	struct fns_srq *srq = m->qp.srq ? fns_ctl_srq(e, m->client, m->qp.srq) : NULL;
	struct fns_qp *qp;
	uint32_t index;
	int r;

	if (!ops)
		return -EOPNOTSUPP;
	if (!pd || !scq || !rcq || (m->qp.srq && !srq) || !cap_ok(&m->qp.cap))
		return -EINVAL;
	if (e->nqps >= FNS_MAX_QPS ||
		(e->quota.qps && e->app[e->client_app[m->client]].qps >= e->quota.qps))
		return -ENOMEM;
	if (srq)
		m->qp.cap.max_recv_wr = m->qp.cap.max_recv_sge = 0;
	r = fns_ctl_charge(e, m->client, queue_bytes(&m->qp.cap));
	if (r < 0)
		return r;
	qp = aligned_alloc(FNS_CACHELINE, sizeof(*qp));
	if (!qp) {
		fns_ctl_refund(e, m->client, queue_bytes(&m->qp.cap));
		return -ENOMEM;
	}
	memset(qp, 0, sizeof(*qp));
	if (sq_init(&qp->sq, &m->qp.cap) < 0 ||
		fns_rq_init(&qp->rq, m->qp.cap.max_recv_wr, m->qp.cap.max_recv_sge) < 0) {
		fns_ctl_refund(e, m->client, queue_bytes(&m->qp.cap));
		free(qp->sq.mem);
		free(qp);
		return -ENOMEM;
	}
	index = pick_index(e);
	qp->qpn = (uint32_t)e->prefix << 16 | index;
	qp->gen = ++e->next_gen;
	qp->type = m->qp.type;
	qp->sq_sig_all = m->qp.sq_sig_all;
	qp->client = m->client;
	qp->app = &e->app[e->client_app[m->client]];
	qp->cookie = m->cookie;
	qp->nic = &e->nic;
	qp->ops = ops;
	qp->pd = pd;
	qp->scq = scq;
	qp->rcq = rcq;
	qp->srq = srq;
	qp->cap = m->qp.cap;
	qp->pmtu = FNS_STAGE_BYTES;
	qp->rsps = qp->few;
	qp->rsp_mask = FNS_RSP_FEW - 1;
	qp->line = &e->nic.stats->qp[index];
	qp->loan = fns_rng_u64(&e->rng);
	fns_list_init(&qp->sched);
	fns_timer_init(&qp->timer, timer_fired);
	r = fns_ctl_offload_join(e, qp);
	if (r < 0) {
		fns_ctl_refund(e, m->client, queue_bytes(&m->qp.cap));
		fns_rq_fini(&qp->rq);
		free(qp->sq.mem);
		free(qp);
		return r;
	}
	memset(qp->line, 0, sizeof(*qp->line));
	fns_engine_cc_born(e, qp);
	ops->reset(qp);
	atomic_store_explicit(&qp->line->type, qp->type, memory_order_relaxed);
	atomic_store_explicit(&qp->line->qpn, qp->qpn, memory_order_relaxed);
	fns_qp_state_set(qp, FNS_QPS_RESET);
	pd->refs++;
	scq->refs++;
	rcq->refs++;
	if (srq)
		srq->refs++;
	e->qps[index] = qp;
	e->nqps++;
	qp->app->qps++;
	atomic_store_explicit(&e->nic.stats->qps, e->nqps, memory_order_relaxed);
	m->handle = qp->qpn;
	m->qp.gen = qp->gen;
	return 0;
}

static struct fns_qp *find(struct fns_engine *e, const struct fns_ctl *m)
{
	struct fns_qp *qp = fns_engine_qp(e, m->handle);

	return qp && qp->client == m->client ? qp : NULL;
}

/* --- connection --- */

static void disconnect(struct fns_qp *qp)
{
	struct fns_wire *wire = qp->nic->wire;

	if (qp->peer_wait)
		fns_qp_activate(qp);
	fns_peer_pass(qp);
	fns_credit_drop(qp);
	fns_peer_put(qp->peer);
	if (qp->path)
		wire->ops->path_put(wire, qp->path);
	qp->peer = NULL;
	qp->path = NULL;
}

static int connect_to(
	struct fns_engine *e, struct fns_qp *qp, const struct fns_ctl_av *av, uint32_t dest_qpn)
{
	struct fns_wire *wire = e->nic.wire;
	uint8_t prefix = (uint8_t)(dest_qpn >> 16);
	struct fns_path *path;
	struct fns_peer *peer;
	int r;

	r = wire->ops->path_get(wire, &av->sgid, &av->dgid, av->ifindex, prefix,
		fns_engine_cc_tos(qp, av->traffic_class), av->hop_limit ? av->hop_limit : 64,
		&path);
	if (r < 0)
		return r;
	peer = fns_peer_get(&e->nic, path);
	if (!peer) {
		wire->ops->path_put(wire, path);
		return -ENOMEM;
	}
	disconnect(qp);
	qp->path = path;
	qp->peer = peer;
	qp->dest_qpn = dest_qpn;
	atomic_store_explicit(&qp->line->dest_qpn, dest_qpn, memory_order_relaxed);
	{
		uint64_t g[2];

		memcpy(g, av->dgid.b, sizeof(g));
		atomic_store_explicit(&qp->line->peer[0], g[0], memory_order_relaxed);
		atomic_store_explicit(&qp->line->peer[1], g[1], memory_order_relaxed);
	}
	return 0;
}

/* --- modify --- */

/* No peer accesses memory through the queue pair, which is not ready to receive any more. */
static bool nobody_in(const struct fns_qp *qp)
{
	struct fns_wire *wire = qp->nic->wire;

	return qp->type != FNS_QPT_RC || !wire->ops->qp_conceal ||
	       wire->ops->qp_conceal(wire, qp->qpn);
}

static int quiesce(struct fns_engine *e, struct fns_qp *qp)
{
	fns_qp_state_set(qp, FNS_QPS_RESET);
	fns_qp_stop(qp);
	/* What it still owes to its peer is not sent any more: each response to a READ would start
	 * a fetch, which we would have to wait for. */
	qp->rsp.rsp_tail = qp->rsp.rsp_head;
	fns_qp_deactivate(qp);
	fns_peer_pass(qp);
	/* A shared receive taken for a message that will not end goes back to its owner as flushed.
	 */
	if (qp->srq && qp->rsp.have_rwqe && !qp->ops_inflight) {
		qp->rsp.have_rwqe = false;
		fns_qp_flush_recv(qp, qp->rsp.wr_id);
	}
	return qp->ops_inflight || e->nic.txq.n || !nobody_in(qp) ? -EAGAIN : 0;
}

static void take_attrs(struct fns_qp *qp, const struct fns_ctl_qp_attr *a)
{
	struct fns_ctl_qp_attr *t = &qp->attr;
	uint32_t m = a->mask;

#define TAKE(bit, field)                                                                           \
	do {                                                                                       \
		if (m & FNS_QPA_##bit)                                                             \
			t->field = a->field;                                                       \
	} while (0)
	TAKE(ACCESS_FLAGS, access);
	TAKE(PKEY_INDEX, pkey_index);
	TAKE(PORT, port);
	TAKE(QKEY, qkey);
	TAKE(AV, av);
	TAKE(PATH_MTU, path_mtu);
	TAKE(TIMEOUT, timeout);
	TAKE(RETRY_CNT, retry_cnt);
	TAKE(RNR_RETRY, rnr_retry);
	TAKE(RQ_PSN, rq_psn);
	TAKE(SQ_PSN, sq_psn);
	TAKE(MAX_RD_ATOMIC, max_rd_atomic);
	TAKE(MAX_DEST_RD_ATOMIC, max_dest_rd_atomic);
	TAKE(MIN_RNR_TIMER, min_rnr_timer);
	TAKE(DEST_QPN, dest_qpn);
	TAKE(PATH_MIG_STATE, path_mig_state);
#undef TAKE
	if (m & FNS_QPA_RQ_PSN)
		t->rq_psn &= FNS_PSN_MASK;
	if (m & FNS_QPA_SQ_PSN)
		t->sq_psn &= FNS_PSN_MASK;
	if (m & FNS_QPA_PATH_MTU)
		qp->pmtu = 128u << a->path_mtu;
}

/* Room for the responses to so many READs and atomics at once. */
static int rsps_fit(struct fns_qp *qp, uint32_t rd_atomic)
{
	uint32_t n = fns_pow2_ceil(4 * FNS_MIN(rd_atomic, FNS_MAX_RD_ATOMIC));
	struct fns_rsp *old = qp->rsps, *rsps;

	if (n <= qp->rsp_mask + 1)
		return 0;
	rsps = calloc(n, sizeof(*rsps));
	if (!rsps)
		return -ENOMEM;
	for (uint32_t i = qp->rsp.rsp_head; i != qp->rsp.rsp_tail; i++)
		rsps[i & (n - 1)] = *fns_qp_rsp(qp, i);
	qp->rsps = rsps;
	qp->rsp_mask = n - 1;
	if (old != qp->few)
		free(old);
	return 0;
}

static void enter_sqd(struct fns_qp *qp, const struct fns_ctl_qp_attr *a)
{
	qp->attr.sq_draining = a->mask & FNS_QPA_EN_SQD_ASYNC_NOTIFY ? 1 : 0;
	fns_qp_state_set(qp, FNS_QPS_SQD);
	if (fns_sq_idle(&qp->sq)) {
		if (qp->attr.sq_draining)
			fns_qp_event(qp, FNS_EVENT_SQ_DRAINED);
		return;
	}
	qp->req.draining = true;
}

int fns_ctl_qp_modify(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_qp *qp = find(e, m);
	const struct fns_ctl_qp_attr *a = &m->qp_attr;
	enum fns_qp_state next, from;
	int r;

	if (!qp)
		return -EINVAL;
	r = fns_qp_modify_check(qp, a, &next);
	if (r < 0)
		return r;
	from = qp->state;
	if (next == FNS_QPS_RESET) {
		r = quiesce(e, qp);
		if (r < 0)
			return r;
		qp->ops->reset(qp);
		disconnect(qp);
		memset(&qp->attr, 0, sizeof(qp->attr));
		return 0;
	}
	if (next == FNS_QPS_ERR) {
		if (from == FNS_QPS_RESET)
			fns_qp_state_set(qp, FNS_QPS_ERR);
		else
			fns_qp_error(qp, FNS_WC_SUCCESS, 0, -1);
		return 0;
	}
	if ((a->mask & FNS_QPA_PATH_MTU) && a->av.link_mtu &&
		128u << a->path_mtu > fns_mtu_for_link(a->av.link_mtu))
		return -EINVAL;
	if ((a->mask & FNS_QPA_AV) && qp->type != FNS_QPT_UD) {
		if (e->nic.txq.n)
			return -EAGAIN;
		if (from == FNS_QPS_INIT)
			fns_engine_cc_connecting(e, qp, &a->av);
		r = connect_to(
			e, qp, &a->av, a->mask & FNS_QPA_DEST_QPN ? a->dest_qpn : qp->dest_qpn);
		if (r < 0)
			return r;
	}
	r = a->mask & FNS_QPA_MAX_DEST_RD_ATOMIC ? rsps_fit(qp, a->max_dest_rd_atomic) : 0;
	if (r < 0)
		return r;
	take_attrs(qp, a);
	if (next == from) {
		fns_qp_expose(qp);
		return 0;
	}
	switch (next) {
	case FNS_QPS_RTR:
		qp->ops->to_rtr(qp);
		break;
	case FNS_QPS_RTS:
		if (from == FNS_QPS_RTR)
			qp->ops->to_rts(qp);
		break;
	case FNS_QPS_SQD:
		enter_sqd(qp, a);
		return 0;
	default:
		break;
	}
	fns_qp_state_set(qp, next);
	if (next == FNS_QPS_RTS)
		fns_qp_activate(qp);
	return 0;
}

int fns_ctl_qp_query(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_qp *qp = find(e, m);

	if (!qp)
		return -EINVAL;
	m->qp_attr = qp->attr;
	m->qp_attr.state = m->qp_attr.cur_state = qp->state;
	m->qp_attr.sq_draining = qp->state == FNS_QPS_SQD && qp->req.draining;
	return 0;
}

void fns_engine_qp_free(struct fns_engine *e, struct fns_qp *qp)
{
	fns_qp_stop(qp);
	fns_ctl_offload_leave(e, qp);
	fns_qp_deactivate(qp);
	disconnect(qp);
	fns_engine_cc_dead(e, qp);
	e->qps[qp->qpn & 0xffff] = NULL;
	e->nqps--;
	qp->app->qps--;
	atomic_store_explicit(&qp->line->qpn, 0, memory_order_relaxed);
	atomic_store_explicit(&e->nic.stats->qps, e->nqps, memory_order_relaxed);
	free(qp->sq.mem);
	fns_rq_fini(&qp->rq);
	if (qp->rsps != qp->few)
		free(qp->rsps);
	free(qp);
}

int fns_ctl_qp_destroy(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_qp *qp = find(e, m);
	int r;

	if (!qp)
		return -EINVAL;
	r = quiesce(e, qp);
	if (r < 0)
		return r;
	qp->pd->refs--;
	qp->scq->refs--;
	qp->rcq->refs--;
	if (qp->srq)
		qp->srq->refs--;
	fns_ctl_refund(e, qp->client, queue_bytes(&qp->cap));
	fns_engine_qp_free(e, qp);
	return 0;
}
