/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 1/9: from the application's work request to a descriptor in the submission ring. A
 * request is checked whole before a slot is reserved, so that what is in the ring is well-formed
 * and counted. Called through ibv_context.ops.
 */
#include <errno.h>

#include "verbs/ring.h"
#include "verbs/verbs_priv.h"

enum wr_kind {
	WR_NONE,
	WR_SEND,
	WR_RDMA,
	WR_ATOMIC,
	WR_INV,
	WR_BIND
};

/* By ibv_wr_opcode. types: FNS_TB_* that may post it. */
static const struct {
	uint8_t op, kind, types;
	bool inl; /* IBV_SEND_INLINE allowed */
} wr_table[] = {
	[IBV_WR_RDMA_WRITE] = {FNS_WR_WRITE, WR_RDMA, FNS_TB_RC | FNS_TB_UC, true},
	[IBV_WR_RDMA_WRITE_WITH_IMM] = {FNS_WR_WRITE_IMM, WR_RDMA, FNS_TB_RC | FNS_TB_UC, true},
	[IBV_WR_SEND] = {FNS_WR_SEND, WR_SEND, FNS_TB_RC | FNS_TB_UC | FNS_TB_UD, true},
	[IBV_WR_SEND_WITH_IMM] = {FNS_WR_SEND_IMM, WR_SEND, FNS_TB_RC | FNS_TB_UC | FNS_TB_UD,
		true},
	[IBV_WR_RDMA_READ] = {FNS_WR_READ, WR_RDMA, FNS_TB_RC, false},
	[IBV_WR_ATOMIC_CMP_AND_SWP] = {FNS_WR_CMP_SWAP, WR_ATOMIC, FNS_TB_RC, false},
	[IBV_WR_ATOMIC_FETCH_AND_ADD] = {FNS_WR_FETCH_ADD, WR_ATOMIC, FNS_TB_RC, false},
	[IBV_WR_LOCAL_INV] = {FNS_WR_LOCAL_INV, WR_INV, FNS_TB_RC, false},
	[IBV_WR_BIND_MW] = {FNS_WR_BIND_MW, WR_BIND, FNS_TB_RC, false},
	[IBV_WR_SEND_WITH_INV] = {FNS_WR_SEND_INV, WR_SEND, FNS_TB_RC, true},
};

/* Sum of the lengths; above FNS_MAX_MSG is too long. */
static inline uint64_t sge_total(const struct ibv_sge *sg, uint32_t n)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < n; i++)
		total += sg[i].length;
	return total;
}

static inline void put_sges(struct fns_sqd *d, const struct ibv_sge *sg, uint32_t n)
{
	d->num_sge = (uint8_t)n;
	d->inline_len = 0;
	if (n == 0)
		return;
	d->sge0 = (struct fns_sqd_sge){sg[0].addr, sg[0].length, sg[0].lkey};
	for (uint32_t i = 1; i < n; i++) {
		struct fns_sqd_cont *c =
			(struct fns_sqd_cont *)fns_vring_slot(1 + (i - 1) / FNS_SQD_SGE_CONT);

		c->sge[(i - 1) % FNS_SQD_SGE_CONT] =
			(struct fns_sqd_sge){sg[i].addr, sg[i].length, sg[i].lkey};
	}
}

/* Appends to the inline data of the descriptor at the head. */
static inline void put_inline(struct fns_sqd *d, uint32_t at, const void *src, uint32_t len)
{
	const uint8_t *p = src;

	while (len > 0) {
		uint32_t n;

		if (at < FNS_SQD_INLINE0) {
			n = FNS_MIN(len, FNS_SQD_INLINE0 - at);
			memcpy(d->inline0 + at, p, n);
		} else {
			uint32_t off = at - FNS_SQD_INLINE0, in = off % FNS_SQD_INLINE_CONT;
			struct fns_sqd_cont *c = (struct fns_sqd_cont *)fns_vring_slot(
				1 + off / FNS_SQD_INLINE_CONT);

			n = FNS_MIN(len, FNS_SQD_INLINE_CONT - in);
			memcpy(c->data + in, p, n);
		}
		at += n;
		p += n;
		len -= n;
	}
}

/*
 * Room in the ring for a request that *head counts. It is counted first: while the ring is waited
 * for, others may post to the same queue. A reset meanwhile has forgotten the count, and the
 * request is late. qp: NULL for a shared receive queue. 0 or errno.
 */
static inline int claim(uint32_t *head, uint32_t nslots, const struct fns_vqp *qp)
{
	uint32_t resets = qp ? qp->resets : 0;
	enum fns_vring_room room;

	++*head;
	room = fns_vring_reserve(nslots);
	if (fns_likely(room == FNS_VRING_ROOM))
		return 0;
	if (qp && qp->resets != resets)
		return EINVAL;
	if (room == FNS_VRING_WAITED)
		return 0;
	--*head;
	return ENOMEM;
}

int fns_verbs_post_check_bind(const struct fns_vqp *qp, const struct ibv_mw *mw,
	enum ibv_mw_type type, const struct ibv_mw_bind_info *info)
{
	if (!mw || mw->type != type || mw->context != qp->ibv.context)
		return EINVAL;
	if (!info->mr)
		return info->length ? EINVAL : 0;
	return info->mr->pd != mw->pd ? EPERM : 0;
}

/* Checks without touching anything; 0 or errno. Out: length of inline data, if inline. */
static inline int check_send(const struct fns_vqp *qp, const struct ibv_send_wr *wr,
	enum ibv_mw_type mw_type, uint32_t *inline_len)
{
	unsigned op = (unsigned)wr->opcode;
	uint64_t total;

	if (op >= FNS_ARRAY_SIZE(wr_table) || !(wr_table[op].types & qp->type_bit))
		return EINVAL;
	if (wr_table[op].kind == WR_INV)
		return 0;
	if (wr_table[op].kind == WR_BIND)
		return fns_verbs_post_check_bind(
			qp, wr->bind_mw.mw, mw_type, &wr->bind_mw.bind_info);
	if (wr->num_sge < 0 || wr->num_sge > (int)qp->max_send_sge)
		return EINVAL;
	if (wr_table[op].kind == WR_ATOMIC) {
		if (wr->num_sge != 1 || wr->sg_list[0].length != 8)
			return EINVAL;
		return wr->send_flags & IBV_SEND_INLINE ? EINVAL : 0;
	}
	if (qp->type_bit == FNS_TB_UD &&
		(!wr->wr.ud.ah || wr->wr.ud.ah->context != qp->ibv.context))
		return EINVAL;
	total = sge_total(wr->sg_list, (uint32_t)wr->num_sge);
	if (!(wr->send_flags & IBV_SEND_INLINE))
		return total > FNS_MAX_MSG ? EINVAL : 0;
	if (!wr_table[op].inl || total > qp->max_inline)
		return EINVAL;
	*inline_len = (uint32_t)total;
	return 0;
}

static inline uint32_t send_flags(const struct fns_vqp *qp, const struct ibv_send_wr *wr)
{
	unsigned f = wr->send_flags;
	uint32_t out = 0;

	if (f & IBV_SEND_SIGNALED || qp->sig_all)
		out |= FNS_WRF_SIGNALED;
	if (f & IBV_SEND_SOLICITED)
		out |= FNS_WRF_SOLICITED;
	if (f & IBV_SEND_FENCE)
		out |= FNS_WRF_FENCE;
	return out;
}

static void put_bind(struct fns_sqd *d, const struct ibv_send_wr *wr)
{
	struct fns_sqd_cont *c = (struct fns_sqd_cont *)fns_vring_slot(1);
	const struct ibv_mw_bind_info *b = &wr->bind_mw.bind_info;

	d->num_sge = 0;
	d->inline_len = 0;
	c->bind.addr = b->addr;
	c->bind.len = b->length;
	c->bind.mr_key = b->mr ? b->mr->lkey : 0;
	c->bind.mw_key = wr->bind_mw.mw->rkey;
	c->bind.new_key = wr->bind_mw.rkey;
	c->bind.access = b->mw_access_flags;
}

/* Under the ring's lock. 0 or errno, when nothing was posted. */
static inline int send_one(
	struct fns_vqp *qp, const struct ibv_send_wr *wr, enum ibv_mw_type mw_type)
{
	uint32_t inline_len = 0, nslots, flags;
	struct fns_sqd *d;
	unsigned kind;
	int err;

	err = check_send(qp, wr, mw_type, &inline_len);
	if (fns_unlikely(err))
		return err;
	kind = wr_table[wr->opcode].kind;
	flags = send_flags(qp, wr);
	if (kind == WR_ATOMIC || kind == WR_BIND) {
		nslots = 2;
	} else if (kind == WR_INV) {
		nslots = 1;
	} else if (wr->send_flags & IBV_SEND_INLINE) {
		flags |= FNS_WRF_INLINE;
		nslots = fns_sqd_slots_inline(inline_len);
	} else {
		nslots = fns_sqd_slots_sge((uint32_t)wr->num_sge);
	}
	if (fns_unlikely(qp->sq_head - atomic_load_explicit(&qp->sq_tail, memory_order_acquire) >=
			 qp->max_send_wr))
		return ENOMEM;
	err = claim(&qp->sq_head, nslots, qp);
	if (fns_unlikely(err))
		return err;

	d = fns_vring_slot(0);
	d->qpn = qp->qpn;
	d->wr_id = wr->wr_id;
	d->imm = wr->imm_data;
	d->gen = qp->gen;
	d->reserved = 0;
	if (kind == WR_RDMA || kind == WR_ATOMIC) {
		d->remote_addr = wr->wr.rdma.remote_addr;
		d->rkey = kind == WR_RDMA ? wr->wr.rdma.rkey : wr->wr.atomic.rkey;
	} else if (qp->type_bit == FNS_TB_UD) {
		d->ud.ah = wr->wr.ud.ah->handle;
		d->ud.remote_qpn = wr->wr.ud.remote_qpn;
		d->qkey = wr->wr.ud.remote_qkey;
	} else {
		d->remote_addr = 0;
		d->rkey = 0;
	}
	if (kind == WR_BIND) {
		put_bind(d, wr);
	} else if (kind == WR_INV) {
		put_sges(d, NULL, 0);
	} else if (flags & FNS_WRF_INLINE) {
		uint32_t at = 0;

		d->num_sge = 0;
		d->inline_len = (uint16_t)inline_len;
		for (int i = 0; i < wr->num_sge; i++) {
			put_inline(d, at, (const void *)(uintptr_t)wr->sg_list[i].addr,
				wr->sg_list[i].length);
			at += wr->sg_list[i].length;
		}
	} else {
		put_sges(d, wr->sg_list, (uint32_t)wr->num_sge);
		if (kind == WR_ATOMIC) {
			struct fns_sqd_cont *c = (struct fns_sqd_cont *)fns_vring_slot(1);
			bool cas = wr->opcode == IBV_WR_ATOMIC_CMP_AND_SWP;

			c->atomic.compare = cas ? wr->wr.atomic.compare_add : 0;
			c->atomic.swap_add = cas ? wr->wr.atomic.swap : wr->wr.atomic.compare_add;
		}
	}
	fns_vring_publish(FNS_SQD_CTL(0, nslots, wr_table[wr->opcode].op, flags), nslots);
	return 0;
}

static inline bool can_send(uint8_t state)
{
	return state >= IBV_QPS_RTS; /* and in SQE and ERR, where the engine flushes it */
}

static inline int post_list(struct ibv_qp *ibqp, struct ibv_send_wr *wr, struct ibv_send_wr **bad,
	enum ibv_mw_type mw_type)
{
	struct fns_vqp *qp = fns_vqp(ibqp);
	uint32_t n = 0;
	int err = 0;

	if (fns_unlikely(!fns_placement_alive())) {
		*bad = wr;
		return fns_verbs_err(-EIO);
	}
	fns_lock_take(&fns_vring.lock);
	for (; wr; wr = wr->next, n++) {
		err = can_send(atomic_load_explicit(&qp->state, memory_order_relaxed))
			      ? send_one(qp, wr, mw_type)
			      : EINVAL;
		if (fns_unlikely(err)) {
			*bad = wr;
			break;
		}
	}
	fns_vring_ring();
	fns_lock_release(&fns_vring.lock);
	if (n)
		qp->ops->submitted(n);
	return fns_unlikely(err) ? fns_verbs_err(-err) : 0;
}

int fns_verbs_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	return post_list(qp, wr, bad, IBV_MW_TYPE_2);
}

int fns_verbs_post_bind_type1(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	return post_list(qp, wr, bad, IBV_MW_TYPE_1);
}

/* A receive, to a queue pair or a shared queue. Under the ring's lock; the caller has checked
 * counts. */
static inline int recv_one(uint32_t *head, const struct fns_vqp *qp, uint32_t op, uint32_t qpn,
	uint32_t max_sge, const struct ibv_recv_wr *wr)
{
	struct fns_sqd *d;
	uint32_t nslots;
	int err;

	if (fns_unlikely(wr->num_sge < 0 || wr->num_sge > (int)max_sge ||
			 sge_total(wr->sg_list, (uint32_t)wr->num_sge) > FNS_MAX_MSG))
		return EINVAL;
	nslots = fns_sqd_slots_sge((uint32_t)wr->num_sge);
	err = claim(head, nslots, qp);
	if (fns_unlikely(err))
		return err;
	d = fns_vring_slot(0);
	d->qpn = qpn;
	d->wr_id = wr->wr_id;
	d->remote_addr = 0;
	d->rkey = 0;
	d->imm = 0;
	d->gen = qp ? qp->gen : 0;
	d->reserved = 0;
	put_sges(d, wr->sg_list, (uint32_t)wr->num_sge);
	fns_vring_publish(FNS_SQD_CTL(0, nslots, op, 0), nslots);
	return 0;
}

int fns_verbs_post_recv(struct ibv_qp *ibqp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct fns_vqp *qp = fns_vqp(ibqp);
	struct ibv_recv_wr *first = wr;
	int err = 0;

	if (fns_unlikely(!fns_placement_alive())) {
		*bad = wr;
		return fns_verbs_err(-EIO);
	}
	fns_lock_take(&fns_vring.lock);
	for (; wr; wr = wr->next) {
		if (qp->srq ||
			atomic_load_explicit(&qp->state, memory_order_relaxed) == IBV_QPS_RESET)
			err = EINVAL;
		else if (wr->num_sge > (int)qp->max_recv_sge)
			err = EINVAL;
		else if (qp->rq_head - atomic_load_explicit(&qp->rq_tail, memory_order_acquire) >=
			 qp->max_recv_wr)
			err = ENOMEM;
		else
			err = recv_one(
				&qp->rq_head, qp, FNS_WR_RECV, qp->qpn, qp->max_recv_sge, wr);
		if (fns_unlikely(err)) {
			*bad = wr;
			break;
		}
	}
	fns_vring_ring();
	fns_lock_release(&fns_vring.lock);
	if (wr != first)
		qp->ops->submitted(0);
	return fns_unlikely(err) ? fns_verbs_err(-err) : 0;
}

int fns_verbs_post_srq_recv(struct ibv_srq *ibsrq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct fns_vsrq *srq = fns_vsrq(ibsrq);
	struct ibv_recv_wr *first = wr;
	int err = 0;

	if (fns_unlikely(!fns_placement_alive())) {
		*bad = wr;
		return fns_verbs_err(-EIO);
	}
	fns_lock_take(&fns_vring.lock);
	for (; wr; wr = wr->next) {
		if (wr->num_sge > (int)srq->max_sge)
			err = EINVAL;
		else if (srq->head - atomic_load_explicit(&srq->tail, memory_order_acquire) >=
			 srq->max_wr)
			err = ENOMEM;
		else
			err = recv_one(
				&srq->head, NULL, FNS_WR_SRQ_RECV, ibsrq->handle, srq->max_sge, wr);
		if (fns_unlikely(err)) {
			*bad = wr;
			break;
		}
	}
	fns_vring_ring();
	fns_lock_release(&fns_vring.lock);
	if (wr != first)
		fns_vring.ops->submitted(0);
	return fns_unlikely(err) ? fns_verbs_err(-err) : 0;
}
