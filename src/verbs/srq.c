/* SPDX-License-Identifier: Apache-2.0 */
/* Shared receive queues of the basic type. Posting is in post.c. */
#include <errno.h>
#include <stdlib.h>

#include "verbs/ring.h"
#include "verbs/verbs_priv.h"

FNS_EXPORT struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *init)
{
	struct fns_ctl msg = {.op = FNS_CTL_SRQ_CREATE};
	struct fns_vcontext *ctx = fns_ctx(pd->context);
	struct fns_vsrq *srq;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	if (init->attr.max_wr == 0 || init->attr.max_wr > FNS_MAX_SRQ_WR ||
		init->attr.max_sge > FNS_MAX_SGE)
		return fns_verbs_null(-EINVAL);
	srq = calloc(1, sizeof(*srq));
	if (!srq)
		return fns_verbs_null(-ENOMEM);
	/* srq_limit is ignored at create, as verbs has it. */
	msg.cookie = (uintptr_t)srq;
	msg.srq.pd = pd->handle;
	msg.srq.max_wr = init->attr.max_wr;
	msg.srq.max_sge = FNS_MAX(1u, init->attr.max_sge);
	fns_vevent_source_init(&srq->async, &ctx->async);
	err = fns_verbs_control(ctx, &msg);
	if (err) {
		free(srq);
		return fns_verbs_null(err);
	}
	srq->ibv.context = pd->context;
	srq->ibv.srq_context = init->srq_context;
	srq->ibv.pd = pd;
	srq->ibv.handle = msg.handle;
	pthread_mutex_init(&srq->ibv.mutex, NULL);
	pthread_cond_init(&srq->ibv.cond, NULL);
	srq->max_wr = msg.srq.max_wr;
	srq->max_sge = FNS_MIN(msg.srq.max_sge, FNS_MAX_SGE);
	atomic_fetch_add(&fns_vpd(pd)->refs, 1);
	init->attr.max_wr = srq->max_wr;
	init->attr.max_sge = srq->max_sge;
	return &srq->ibv;
}

/* The header sends basic queues to ibv_create_srq(); what comes here is another type, or basic with
 * odd attributes. */
struct ibv_srq *fns_verbs_create_srq_ex(
	struct ibv_context *context, struct ibv_srq_init_attr_ex *attr)
{
	struct ibv_srq_init_attr init = {.srq_context = attr->srq_context, .attr = attr->attr};
	const uint32_t known = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD;
	struct ibv_srq *srq;

	if (attr->comp_mask & ~known ||
		(attr->comp_mask & IBV_SRQ_INIT_ATTR_TYPE && attr->srq_type != IBV_SRQT_BASIC))
		return fns_verbs_null(-EOPNOTSUPP);
	if (!(attr->comp_mask & IBV_SRQ_INIT_ATTR_PD) || !attr->pd || attr->pd->context != context)
		return fns_verbs_null(-EINVAL);
	srq = ibv_create_srq(attr->pd, &init);
	if (srq)
		attr->attr = init.attr;
	return srq;
}

int fns_verbs_get_srq_num(struct ibv_srq *srq, uint32_t *num)
{
	*num = srq->handle;
	return 0;
}

FNS_EXPORT int ibv_modify_srq(struct ibv_srq *ibsrq, struct ibv_srq_attr *attr, int mask)
{
	struct fns_ctl msg = {.op = FNS_CTL_SRQ_MODIFY, .handle = ibsrq->handle};
	struct fns_vsrq *srq = fns_vsrq(ibsrq);
	uint32_t max_wr, posted;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	if (mask & ~(IBV_SRQ_MAX_WR | IBV_SRQ_LIMIT))
		return fns_verbs_err(-EINVAL);
	if (mask == 0)
		return 0;
	fns_lock_take(&fns_vring.lock);
	posted = srq->head - atomic_load(&srq->tail);
	max_wr = mask & IBV_SRQ_MAX_WR ? attr->max_wr : srq->max_wr;
	fns_lock_release(&fns_vring.lock);
	if (max_wr == 0 || max_wr > FNS_MAX_SRQ_WR || max_wr < posted ||
		(mask & IBV_SRQ_LIMIT && attr->srq_limit > max_wr))
		return fns_verbs_err(-EINVAL);
	msg.srq.mask = (uint32_t)mask;
	msg.srq.max_wr = max_wr;
	msg.srq.limit = attr->srq_limit;
	err = fns_verbs_control(fns_ctx(ibsrq->context), &msg);
	if (err)
		return fns_verbs_err(err);
	if (mask & IBV_SRQ_MAX_WR) {
		fns_lock_take(&fns_vring.lock);
		srq->max_wr = attr->max_wr = FNS_MAX(max_wr, msg.srq.max_wr);
		fns_lock_release(&fns_vring.lock);
	}
	return 0;
}

FNS_EXPORT int ibv_query_srq(struct ibv_srq *ibsrq, struct ibv_srq_attr *attr)
{
	struct fns_ctl msg = {.op = FNS_CTL_SRQ_QUERY, .handle = ibsrq->handle};
	struct fns_vsrq *srq = fns_vsrq(ibsrq);
	int err;

	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	err = fns_verbs_control(fns_ctx(ibsrq->context), &msg);
	if (err)
		return fns_verbs_err(err);
	attr->max_wr = srq->max_wr;
	attr->max_sge = srq->max_sge;
	attr->srq_limit = msg.srq.limit;
	return 0;
}

FNS_EXPORT int ibv_destroy_srq(struct ibv_srq *ibsrq)
{
	struct fns_ctl msg = {.op = FNS_CTL_SRQ_DESTROY, .handle = ibsrq->handle};
	struct fns_vsrq *srq = fns_vsrq(ibsrq);
	uint32_t async;
	int err;

	if (!fns_placement_alive())
		return 0;
	if (atomic_load(&srq->refs) != 0)
		return fns_verbs_err(-EBUSY);
	err = fns_verbs_control(fns_ctx(ibsrq->context), &msg);
	if (err)
		return fns_verbs_err(err);
	async = fns_vevent_source_fini(&srq->async);
	pthread_mutex_lock(&ibsrq->mutex);
	while (ibsrq->events_completed != async)
		pthread_cond_wait(&ibsrq->cond, &ibsrq->mutex);
	pthread_mutex_unlock(&ibsrq->mutex);
	atomic_fetch_sub(&fns_vpd(ibsrq->pd)->refs, 1);
	pthread_cond_destroy(&ibsrq->cond);
	pthread_mutex_destroy(&ibsrq->mutex);
	free(srq);
	return 0;
}

/* Extended reliable connections do not exist here; ibv_close_xrcd() calls without looking. */
int fns_verbs_close_xrcd(struct ibv_xrcd *xrcd)
{
	return fns_verbs_err(-EOPNOTSUPP);
}
