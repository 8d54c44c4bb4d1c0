/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory windows. Binding is a work request: type 2 by ibv_post_send, type 1 by ibv_bind_mw, which
 * posts the same descriptor with a key that the library chooses.
 */
#include <errno.h>
#include <stdlib.h>

#include "verbs/verbs_priv.h"

struct ibv_mw *fns_verbs_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct fns_ctl msg = {.op = FNS_CTL_MW_CREATE};
	struct ibv_mw *mw;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	if (type != IBV_MW_TYPE_1 && type != IBV_MW_TYPE_2)
		return fns_verbs_null(-EINVAL);
	mw = calloc(1, sizeof(*mw));
	if (!mw)
		return fns_verbs_null(-ENOMEM);
	msg.cookie = (uintptr_t)mw;
	msg.mw.pd = pd->handle;
	msg.mw.type = (uint32_t)type;
	err = fns_verbs_control(fns_ctx(pd->context), &msg);
	if (err) {
		free(mw);
		return fns_verbs_null(err);
	}
	mw->context = pd->context;
	mw->pd = pd;
	mw->rkey = msg.mw.key;
	mw->handle = msg.handle;
	mw->type = type;
	atomic_fetch_add(&fns_vpd(pd)->refs, 1);
	return mw;
}

int fns_verbs_dealloc_mw(struct ibv_mw *mw)
{
	struct fns_ctl msg = {.op = FNS_CTL_MW_DESTROY, .handle = mw->handle};
	int err;

	if (!fns_placement_alive())
		return 0;
	err = fns_verbs_control(fns_ctx(mw->context), &msg);
	if (err)
		return fns_verbs_err(err);
	atomic_fetch_sub(&fns_vpd(mw->pd)->refs, 1);
	free(mw);
	return 0;
}

int fns_verbs_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind)
{
	struct ibv_send_wr *bad, wr = {
					 .wr_id = bind->wr_id,
					 .opcode = IBV_WR_BIND_MW,
					 .send_flags = bind->send_flags,
					 .bind_mw = {.mw = mw,
						 .rkey = ibv_inc_rkey(mw->rkey),
						 .bind_info = bind->bind_info},
				 };
	int err;

	if (mw->pd != qp->pd)
		return fns_verbs_err(-EPERM);
	err = fns_verbs_post_bind_type1(qp, &wr, &bad);
	if (!err)
		mw->rkey = wr.bind_mw.rkey;
	return err;
}
