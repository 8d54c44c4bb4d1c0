/* SPDX-License-Identifier: Apache-2.0 */
/* Memory regions. lkey and rkey are the same number; what it allows is decided by the access flags,
 * at every use, in the engine. */
#include <errno.h>
#include <stdlib.h>

#include "verbs/verbs_priv.h"

#define ACCESS_REMOTE_WRITES (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)
#define ACCESS_ENGINE                                                                              \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |               \
		IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND | IBV_ACCESS_ZERO_BASED)
/* Taken and without effect: huge pages need no hint, and placement is ordered more strictly than
 * relaxed ordering asks for. */
#define ACCESS_IGNORED (IBV_ACCESS_HUGETLB | IBV_ACCESS_OPTIONAL_RANGE)

static int check_access(unsigned int access)
{
	if (access & IBV_ACCESS_ON_DEMAND)
		return -EOPNOTSUPP;
	if (access & ~(unsigned int)(ACCESS_ENGINE | ACCESS_IGNORED))
		return -EINVAL;
	if (access & ACCESS_REMOTE_WRITES && !(access & IBV_ACCESS_LOCAL_WRITE))
		return -EINVAL;
	return 0;
}

static struct ibv_mr *reg_mr(
	struct ibv_pd *pd, void *addr, size_t length, uint64_t iova, unsigned int access)
{
	struct fns_ctl msg = {.op = FNS_CTL_MR_REG};
	struct fns_vmr *mr;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	err = check_access(access);
	if (err)
		return fns_verbs_null(err);
	if ((uintptr_t)addr + length < (uintptr_t)addr || iova + length < iova)
		return fns_verbs_null(-EINVAL);
	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return fns_verbs_null(-ENOMEM);
	msg.cookie = (uintptr_t)mr;
	msg.mr.addr = (uintptr_t)addr;
	msg.mr.len = length;
	msg.mr.iova = iova;
	msg.mr.pd = pd->handle;
	msg.mr.access = access & ACCESS_ENGINE;
	err = fns_verbs_control(fns_ctx(pd->context), &msg);
	if (err) {
		free(mr);
		return fns_verbs_null(err);
	}
	mr->access = access;
	mr->ibv.context = pd->context;
	mr->ibv.pd = pd;
	mr->ibv.addr = addr;
	mr->ibv.length = length;
	mr->ibv.handle = msg.handle;
	mr->ibv.lkey = mr->ibv.rkey = msg.mr.key;
	atomic_fetch_add(&fns_vpd(pd)->refs, 1);
	return &mr->ibv;
}

FNS_EXPORT struct ibv_mr *ibv_reg_mr_iova2(
	struct ibv_pd *pd, void *addr, size_t length, uint64_t iova, unsigned int access)
{
	/* The header's ibv_reg_mr() comes here too, with iova == addr; ZERO_BASED then means
	 * offsets from 0. */
	if (access & IBV_ACCESS_ZERO_BASED && iova == (uintptr_t)addr)
		iova = 0;
	return reg_mr(pd, addr, length, iova, access);
}

FNS_EXPORT struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	return ibv_reg_mr_iova2(pd, addr, length, (uintptr_t)addr, (unsigned int)access);
}

FNS_EXPORT struct ibv_mr *ibv_reg_mr_iova(
	struct ibv_pd *pd, void *addr, size_t length, uint64_t iova, int access)
{
	return ibv_reg_mr_iova2(pd, addr, length, iova, (unsigned int)access);
}

/* Unlike other verbs it returns enum ibv_rereg_mr_err_code and errno. On failure the old
 * registration stands. */
FNS_EXPORT int ibv_rereg_mr(
	struct ibv_mr *ibmr, int flags, struct ibv_pd *pd, void *addr, size_t length, int access)
{
	struct fns_vmr *mr = fns_container_of(ibmr, struct fns_vmr, ibv);
	bool move = flags & IBV_REREG_MR_CHANGE_TRANSLATION;
	struct fns_ctl msg = {.op = FNS_CTL_MR_REREG, .handle = ibmr->handle};
	unsigned int acc = flags & IBV_REREG_MR_CHANGE_ACCESS ? (unsigned int)access : mr->access;
	int err = 0;

	if (!fns_placement_alive())
		err = -EIO;
	else if (flags == 0 || flags & ~IBV_REREG_MR_FLAGS_SUPPORTED)
		err = -EINVAL;
	else if (move && (length == 0 || (uintptr_t)addr + length < (uintptr_t)addr))
		err = -EINVAL;
	else if (flags & IBV_REREG_MR_CHANGE_PD && (!pd || pd->context != ibmr->context))
		err = -EINVAL;
	else
		err = check_access(acc);
	if (!err) {
		if (!(flags & IBV_REREG_MR_CHANGE_PD))
			pd = ibmr->pd;
		msg.cookie = (uintptr_t)mr;
		msg.mr.addr = (uintptr_t)(move ? addr : ibmr->addr);
		msg.mr.len = move ? length : ibmr->length;
		msg.mr.iova = acc & IBV_ACCESS_ZERO_BASED ? 0 : msg.mr.addr;
		msg.mr.pd = pd->handle;
		msg.mr.access = acc & ACCESS_ENGINE;
		msg.mr.flags = (uint32_t)flags;
		err = fns_verbs_control(fns_ctx(ibmr->context), &msg);
	}
	if (err) {
		errno = -err;
		return IBV_REREG_MR_ERR_INPUT;
	}
	ibmr->lkey = ibmr->rkey = msg.mr.key;
	mr->access = acc;
	if (move) {
		ibmr->addr = addr;
		ibmr->length = length;
	}
	if (pd != ibmr->pd) {
		atomic_fetch_add(&fns_vpd(pd)->refs, 1);
		atomic_fetch_sub(&fns_vpd(ibmr->pd)->refs, 1);
		ibmr->pd = pd;
	}
	return 0;
}

FNS_EXPORT int ibv_dereg_mr(struct ibv_mr *ibmr)
{
	struct fns_ctl msg = {.op = FNS_CTL_MR_DEREG, .handle = ibmr->handle};
	struct fns_vmr *mr = fns_container_of(ibmr, struct fns_vmr, ibv);
	int err;

	if (!fns_placement_alive())
		return 0;
	err = fns_verbs_control(fns_ctx(ibmr->context), &msg);
	if (err)
		return fns_verbs_err(err);
	atomic_fetch_sub(&fns_vpd(ibmr->pd)->refs, 1);
	free(mr);
	return 0;
}
