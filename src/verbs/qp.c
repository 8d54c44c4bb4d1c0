/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs: create, modify, query, destroy, and the table that finds one by its number. */
#include <errno.h>
#include <stdlib.h>

#include "verbs/ring.h"
#include "verbs/verbs_priv.h"

struct fns_vqp *_Atomic fns_vqp_table[65536];

static unsigned type_bit(enum ibv_qp_type type)
{
	switch (type) {
	case IBV_QPT_RC:
		return FNS_TB_RC;
	case IBV_QPT_UC:
		return FNS_TB_UC;
	case IBV_QPT_UD:
		return FNS_TB_UD;
	default:
		return 0;
	}
}

/* What the extended interface may be asked for, by type. */
static uint64_t send_ops(enum ibv_qp_type type)
{
	const uint64_t ud = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM;
	const uint64_t uc = ud | IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM;

	switch (type) {
	case IBV_QPT_RC:
		return uc | IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
		       IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_SEND_WITH_INV |
		       IBV_QP_EX_WITH_BIND_MW | IBV_QP_EX_WITH_LOCAL_INV;
	case IBV_QPT_UC:
		return uc;
	default:
		return ud;
	}
}

static int check_init(const struct ibv_context *context, const struct ibv_qp_init_attr_ex *a)
{
	const uint32_t known = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS |
			       IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	const struct ibv_qp_cap *cap = &a->cap;

	if (!type_bit(a->qp_type) || a->comp_mask & ~known)
		return -EOPNOTSUPP;
	if (a->comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS && a->create_flags)
		return -EOPNOTSUPP;
	if (a->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS &&
		a->send_ops_flags & ~send_ops(a->qp_type))
		return -EOPNOTSUPP;
	if (!(a->comp_mask & IBV_QP_INIT_ATTR_PD) || !a->pd || a->pd->context != context)
		return -EINVAL;
	if (!a->send_cq || !a->recv_cq || a->send_cq->context != context ||
		a->recv_cq->context != context || (a->srq && a->srq->context != context))
		return -EINVAL;
	if (cap->max_send_wr > FNS_MAX_QP_WR || cap->max_send_sge > FNS_MAX_SGE ||
		cap->max_inline_data > FNS_MAX_INLINE)
		return -EINVAL;
	if (!a->srq && (cap->max_recv_wr > FNS_MAX_QP_WR || cap->max_recv_sge > FNS_MAX_SGE))
		return -EINVAL;
	return 0;
}

static void set_cap(struct fns_vqp *qp, const struct fns_ctl_qp_cap *c, bool srq)
{
	qp->cap = (struct ibv_qp_cap){
		.max_send_wr = c->max_send_wr,
		.max_recv_wr = srq ? 0 : c->max_recv_wr,
		.max_send_sge = c->max_send_sge,
		.max_recv_sge = srq ? 0 : c->max_recv_sge,
		.max_inline_data = FNS_MIN(c->max_inline, FNS_MAX_INLINE),
	};
	qp->max_send_wr = qp->cap.max_send_wr;
	qp->max_recv_wr = qp->cap.max_recv_wr;
	qp->max_send_sge = (uint16_t)FNS_MIN(qp->cap.max_send_sge, FNS_MAX_SGE);
	qp->max_recv_sge = (uint16_t)FNS_MIN(qp->cap.max_recv_sge, FNS_MAX_SGE);
	qp->max_inline = (uint16_t)qp->cap.max_inline_data;
}

static void add_refs(struct fns_vqp *qp, int n)
{
	atomic_fetch_add(&fns_vpd(qp->ibv.pd)->refs, n);
	atomic_fetch_add(&fns_vcq(qp->ibv.send_cq)->refs, n);
	atomic_fetch_add(&fns_vcq(qp->ibv.recv_cq)->refs, n);
	if (qp->srq)
		atomic_fetch_add(&qp->srq->refs, n);
}

static struct fns_vqp *qp_alloc(struct fns_vcontext *ctx, const struct ibv_qp_init_attr_ex *a)
{
	struct fns_vqp *qp =
		aligned_alloc(FNS_CACHELINE, FNS_ALIGN_UP(sizeof(*qp), (size_t)FNS_CACHELINE));

	if (!qp)
		return NULL;
	memset(qp, 0, sizeof(*qp));
	qp->ibv.context = &ctx->v.context;
	qp->ibv.qp_context = a->qp_context;
	qp->ibv.pd = a->pd;
	qp->ibv.send_cq = a->send_cq;
	qp->ibv.recv_cq = a->recv_cq;
	qp->ibv.srq = a->srq;
	qp->ibv.state = IBV_QPS_RESET;
	qp->ibv.qp_type = a->qp_type;
	pthread_mutex_init(&qp->ibv.mutex, NULL);
	pthread_cond_init(&qp->ibv.cond, NULL);
	qp->ops = ctx->ops;
	qp->srq = a->srq ? fns_vsrq(a->srq) : NULL;
	qp->type_bit = (uint8_t)type_bit(a->qp_type);
	qp->sig_all = a->sq_sig_all != 0;
	fns_vevent_source_init(&qp->async, &ctx->async);
	return qp;
}

struct ibv_qp *fns_verbs_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr)
{
	struct fns_ctl msg = {.op = FNS_CTL_QP_CREATE};
	struct fns_vcontext *ctx = fns_ctx(context);
	struct fns_vqp *qp;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	err = check_init(context, attr);
	if (err)
		return fns_verbs_null(err);
	qp = qp_alloc(ctx, attr);
	if (!qp)
		return fns_verbs_null(-ENOMEM);
	msg.cookie = (uintptr_t)qp;
	msg.qp.pd = attr->pd->handle;
	msg.qp.send_cq = attr->send_cq->handle;
	msg.qp.recv_cq = attr->recv_cq->handle;
	msg.qp.srq = attr->srq ? attr->srq->handle : 0;
	msg.qp.type = (uint8_t)attr->qp_type;
	msg.qp.sq_sig_all = qp->sig_all;
	msg.qp.cap.max_send_wr = attr->cap.max_send_wr;
	msg.qp.cap.max_send_sge = attr->cap.max_send_sge;
	msg.qp.cap.max_inline = attr->cap.max_inline_data;
	if (!attr->srq) {
		msg.qp.cap.max_recv_wr = attr->cap.max_recv_wr;
		msg.qp.cap.max_recv_sge = attr->cap.max_recv_sge;
	}
	err = fns_verbs_control(ctx, &msg);
	if (err)
		goto free_qp;
	qp->qpn = msg.handle;
	qp->gen = msg.qp.gen;
	qp->ibv.handle = qp->ibv.qp_num = qp->qpn;
	set_cap(qp, &msg.qp.cap, attr->srq != NULL);
	if (attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) {
		err = fns_vqp_ex_init(qp, attr->send_ops_flags);
		if (err)
			goto destroy;
	}
	add_refs(qp, 1);
	atomic_store_explicit(&fns_vqp_table[qp->qpn & 0xffff], qp, memory_order_release);
	attr->cap = qp->cap;
	return &qp->ibv;

destroy:
	msg = (struct fns_ctl){.op = FNS_CTL_QP_DESTROY, .handle = qp->qpn};
	fns_verbs_control(ctx, &msg);
free_qp:
	free(qp);
	return fns_verbs_null(err);
}

FNS_EXPORT struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *init)
{
	struct ibv_qp_init_attr_ex attr = {
		.qp_context = init->qp_context,
		.send_cq = init->send_cq,
		.recv_cq = init->recv_cq,
		.srq = init->srq,
		.cap = init->cap,
		.qp_type = init->qp_type,
		.sq_sig_all = init->sq_sig_all,
		.comp_mask = IBV_QP_INIT_ATTR_PD,
		.pd = pd,
	};
	struct ibv_qp *qp = fns_verbs_create_qp_ex(pd->context, &attr);

	if (qp)
		init->cap = attr.cap;
	return qp;
}

FNS_EXPORT struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *qp)
{
	return fns_vqp(qp)->is_ex ? &fns_vqp(qp)->ex : NULL;
}

static int fill_ctl_attr(const struct fns_vqp *qp, const struct ibv_qp_attr *attr, int mask,
	struct fns_ctl_qp_attr *out)
{
	const struct fns_vcontext *ctx = fns_ctx(qp->ibv.context);

	out->mask = (uint32_t)mask;
	out->access = attr->qp_access_flags & ~(unsigned)IBV_ACCESS_OPTIONAL_RANGE;
	out->qkey = attr->qkey;
	out->rq_psn = attr->rq_psn & 0xffffff;
	out->sq_psn = attr->sq_psn & 0xffffff;
	out->dest_qpn = attr->dest_qp_num;
	out->state = (uint8_t)attr->qp_state;
	out->cur_state = (uint8_t)attr->cur_qp_state;
	out->path_mtu = (uint8_t)attr->path_mtu;
	out->port = attr->port_num;
	out->timeout = attr->timeout;
	out->retry_cnt = attr->retry_cnt;
	out->rnr_retry = attr->rnr_retry;
	out->min_rnr_timer = attr->min_rnr_timer;
	out->max_rd_atomic = attr->max_rd_atomic;
	out->max_dest_rd_atomic = attr->max_dest_rd_atomic;
	out->path_mig_state = (uint8_t)attr->path_mig_state;
	out->pkey_index = attr->pkey_index;
	if (!(mask & IBV_QP_AV))
		return 0;
	if (fns_gid_is_multicast((const struct fns_gid *)attr->ah_attr.grh.dgid.raw))
		return -EINVAL;
	return fns_verbs_resolve_av(ctx, &attr->ah_attr, &out->av);
}

/* Keeps what was set, for ibv_query_qp. */
static void remember(struct fns_vqp *qp, const struct ibv_qp_attr *a, int mask)
{
	struct ibv_qp_attr *q = &qp->attr;

#define KEEP(bit, field)                                                                           \
	do {                                                                                       \
		if (mask & (bit))                                                                  \
			q->field = a->field;                                                       \
	} while (0)
	KEEP(IBV_QP_ACCESS_FLAGS, qp_access_flags);
	KEEP(IBV_QP_PKEY_INDEX, pkey_index);
	KEEP(IBV_QP_PORT, port_num);
	KEEP(IBV_QP_QKEY, qkey);
	KEEP(IBV_QP_AV, ah_attr);
	KEEP(IBV_QP_PATH_MTU, path_mtu);
	KEEP(IBV_QP_TIMEOUT, timeout);
	KEEP(IBV_QP_RETRY_CNT, retry_cnt);
	KEEP(IBV_QP_RNR_RETRY, rnr_retry);
	KEEP(IBV_QP_MAX_QP_RD_ATOMIC, max_rd_atomic);
	KEEP(IBV_QP_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic);
	KEEP(IBV_QP_MIN_RNR_TIMER, min_rnr_timer);
	KEEP(IBV_QP_DEST_QPN, dest_qp_num);
	KEEP(IBV_QP_EN_SQD_ASYNC_NOTIFY, en_sqd_async_notify);
#undef KEEP
}

/* Work of before a reset is gone without completions, and so are completions not yet read. */
static void after_reset(struct fns_vqp *qp)
{
	fns_vcq_purge(fns_vcq(qp->ibv.send_cq), qp->qpn);
	if (qp->ibv.recv_cq != qp->ibv.send_cq)
		fns_vcq_purge(fns_vcq(qp->ibv.recv_cq), qp->qpn);
	fns_lock_take(&fns_vring.lock);
	qp->sq_head = qp->rq_head = 0;
	qp->resets++;
	atomic_store(&qp->sq_tail, 0);
	atomic_store(&qp->rq_tail, 0);
	fns_lock_release(&fns_vring.lock);
}

FNS_EXPORT int ibv_modify_qp(struct ibv_qp *ibqp, struct ibv_qp_attr *attr, int attr_mask)
{
	struct fns_ctl msg = {.op = FNS_CTL_QP_MODIFY, .handle = ibqp->handle};
	struct fns_vqp *qp = fns_vqp(ibqp);
	uint8_t before;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	err = fns_vqp_modify_check(qp, attr, attr_mask);
	if (!err)
		err = fill_ctl_attr(qp, attr, attr_mask, &msg.qp_attr);
	if (err)
		return fns_verbs_err(err);
	/* Posting stops before the fence, so that nothing of before the reset can come after it. */
	before = qp->state;
	if (attr_mask & IBV_QP_STATE && attr->qp_state == IBV_QPS_RESET) {
		fns_lock_take(&fns_vring.lock);
		atomic_store(&qp->state, IBV_QPS_RESET);
		fns_lock_release(&fns_vring.lock);
	}
	err = fns_verbs_control(fns_ctx(ibqp->context), &msg);
	if (err) {
		atomic_store(&qp->state, before);
		return fns_verbs_err(err);
	}
	if (attr_mask & IBV_QP_STATE) {
		if (attr->qp_state == IBV_QPS_RESET) {
			after_reset(qp);
			memset(&qp->attr, 0, sizeof(qp->attr));
		}
		atomic_store(&qp->state, (uint8_t)attr->qp_state);
		ibqp->state = attr->qp_state;
	}
	remember(qp, attr, attr_mask);
	return 0;
}

FNS_EXPORT int ibv_query_qp(struct ibv_qp *ibqp, struct ibv_qp_attr *attr, int attr_mask,
	struct ibv_qp_init_attr *init_attr)
{
	struct fns_ctl msg = {.op = FNS_CTL_QP_QUERY, .handle = ibqp->handle};
	struct fns_vqp *qp = fns_vqp(ibqp);
	int err;

	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	msg.qp_attr.mask = (uint32_t)attr_mask;
	err = fns_verbs_control(fns_ctx(ibqp->context), &msg);
	if (err)
		return fns_verbs_err(err);
	*attr = qp->attr;
	attr->qp_state = attr->cur_qp_state = (enum ibv_qp_state)msg.qp_attr.state;
	attr->rq_psn = msg.qp_attr.rq_psn;
	attr->sq_psn = msg.qp_attr.sq_psn;
	attr->sq_draining = msg.qp_attr.sq_draining;
	attr->path_mig_state = IBV_MIG_MIGRATED;
	attr->cap = qp->cap;
	memset(init_attr, 0, sizeof(*init_attr));
	init_attr->qp_context = ibqp->qp_context;
	init_attr->send_cq = ibqp->send_cq;
	init_attr->recv_cq = ibqp->recv_cq;
	init_attr->srq = ibqp->srq;
	init_attr->cap = qp->cap;
	init_attr->qp_type = ibqp->qp_type;
	init_attr->sq_sig_all = qp->sig_all;
	atomic_store(&qp->state, msg.qp_attr.state);
	ibqp->state = attr->qp_state;
	return 0;
}

FNS_EXPORT int ibv_query_qp_data_in_order(struct ibv_qp *qp, enum ibv_wr_opcode op, uint32_t flags)
{
	return 0; /* no promise: transports may place out of order */
}

FNS_EXPORT int ibv_destroy_qp(struct ibv_qp *ibqp)
{
	struct fns_ctl msg = {.op = FNS_CTL_QP_DESTROY, .handle = ibqp->handle};
	struct fns_vqp *qp = fns_vqp(ibqp), *self = qp;
	uint32_t async;
	int err;

	if (!fns_placement_alive())
		return 0;
	err = fns_verbs_control(fns_ctx(ibqp->context), &msg);
	if (err)
		return fns_verbs_err(err);
	fns_vcq_purge(fns_vcq(ibqp->send_cq), qp->qpn);
	if (ibqp->recv_cq != ibqp->send_cq)
		fns_vcq_purge(fns_vcq(ibqp->recv_cq), qp->qpn);
	/* Unless the number was given to another queue pair meanwhile. */
	atomic_compare_exchange_strong(&fns_vqp_table[qp->qpn & 0xffff], &self, NULL);
	async = fns_vevent_source_fini(&qp->async);
	pthread_mutex_lock(&ibqp->mutex);
	while (ibqp->events_completed != async)
		pthread_cond_wait(&ibqp->cond, &ibqp->mutex);
	pthread_mutex_unlock(&ibqp->mutex);
	add_refs(qp, -1);
	fns_vqp_ex_fini(qp);
	pthread_cond_destroy(&ibqp->cond);
	pthread_mutex_destroy(&ibqp->mutex);
	free(qp);
	return 0;
}

/* Enhanced connection establishment: nothing to negotiate. */
FNS_EXPORT int ibv_set_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
	return fns_verbs_err(-EOPNOTSUPP);
}

FNS_EXPORT int ibv_query_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
	memset(ece, 0, sizeof(*ece));
	return fns_verbs_err(-EOPNOTSUPP);
}
