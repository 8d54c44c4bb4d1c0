/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protection domains, and thread and parent domains: a parent domain stands for its protection
 * domain in every call; a thread domain promises the library that it may leave out locks, which is
 * not taken up.
 */
#include <errno.h>
#include <stdlib.h>

#include "verbs/verbs_priv.h"

FNS_EXPORT struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct fns_ctl msg = {.op = FNS_CTL_PD_CREATE};
	struct fns_vpd *pd;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	pd = calloc(1, sizeof(*pd));
	if (!pd)
		return fns_verbs_null(-ENOMEM);
	msg.cookie = (uintptr_t)pd;
	err = fns_verbs_control(fns_ctx(context), &msg);
	if (err) {
		free(pd);
		return fns_verbs_null(err);
	}
	pd->ibv.context = context;
	pd->ibv.handle = msg.handle;
	return &pd->ibv;
}

FNS_EXPORT int ibv_dealloc_pd(struct ibv_pd *ibpd)
{
	struct fns_ctl msg = {.op = FNS_CTL_PD_DESTROY, .handle = ibpd->handle};
	struct fns_vpd *pd = fns_vpd(ibpd);
	int err;

	if (!fns_placement_alive())
		return 0;
	if (atomic_load(&pd->refs) != 0)
		return fns_verbs_err(-EBUSY);
	if (pd->parent) {
		atomic_fetch_sub(&pd->parent->refs, 1);
		if (pd->td)
			atomic_fetch_sub(&pd->td->refs, 1);
		free(pd);
		return 0;
	}
	err = fns_verbs_control(fns_ctx(ibpd->context), &msg);
	if (err)
		return fns_verbs_err(err);
	free(pd);
	return 0;
}

struct ibv_td *fns_verbs_alloc_td(struct ibv_context *context, struct ibv_td_init_attr *attr)
{
	struct fns_vtd *td;

	if (attr->comp_mask)
		return fns_verbs_null(-EINVAL);
	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	td = calloc(1, sizeof(*td));
	if (!td)
		return fns_verbs_null(-ENOMEM);
	td->ibv.context = context;
	return &td->ibv;
}

int fns_verbs_dealloc_td(struct ibv_td *ibtd)
{
	struct fns_vtd *td = fns_container_of(ibtd, struct fns_vtd, ibv);

	if (atomic_load(&td->refs) != 0)
		return fns_verbs_err(-EBUSY);
	free(td);
	return 0;
}

struct ibv_pd *fns_verbs_alloc_parent_domain(
	struct ibv_context *context, struct ibv_parent_domain_init_attr *attr)
{
	const uint32_t known =
		IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS | IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT;
	struct fns_vpd *pd, *of;

	if (!attr->pd || attr->pd->context != context || fns_vpd(attr->pd)->parent)
		return fns_verbs_null(-EINVAL);
	if (attr->td && attr->td->context != context)
		return fns_verbs_null(-EINVAL);
	if (attr->comp_mask & ~known)
		return fns_verbs_null(-EOPNOTSUPP);
	if (attr->comp_mask & IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS &&
		(!attr->alloc || !attr->free))
		return fns_verbs_null(-EINVAL);
	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	of = fns_vpd(attr->pd);
	pd = calloc(1, sizeof(*pd));
	if (!pd)
		return fns_verbs_null(-ENOMEM);
	pd->ibv.context = context;
	pd->ibv.handle = of->ibv.handle;
	pd->parent = of;
	if (attr->comp_mask & IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS) {
		pd->alloc = attr->alloc;
		pd->free = attr->free;
	}
	if (attr->comp_mask & IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT)
		pd->pd_context = attr->pd_context;
	atomic_fetch_add(&of->refs, 1);
	if (attr->td) {
		pd->td = fns_container_of(attr->td, struct fns_vtd, ibv);
		atomic_fetch_add(&pd->td->refs, 1);
	}
	return &pd->ibv;
}
