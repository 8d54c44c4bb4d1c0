/* SPDX-License-Identifier: Apache-2.0 */
/* What flexins/offload_server.h looks for in this library: handlers, and what they are bound to. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verbs/verbs_priv.h"

FNS_EXPORT int flexins_1_offload_load(struct ibv_context *context, const char *name,
	const void *elf, size_t len, char *why, size_t whylen);
FNS_EXPORT int flexins_1_offload_bind(
	struct ibv_qp *qp, struct ibv_srq *srq, const struct fns_offload_binding *b);
FNS_EXPORT int flexins_1_offload_unbind(struct ibv_qp *qp, struct ibv_srq *srq, uint32_t service);
FNS_EXPORT int flexins_1_offload_count(
	struct ibv_context *context, const char *name, struct fns_offload_counters *out);

static bool name_fits(const char *name)
{
	return name && strnlen(name, FNS_OFFLOAD_NAME) < FNS_OFFLOAD_NAME;
}

FNS_EXPORT int flexins_1_offload_load(struct ibv_context *context, const char *name,
	const void *elf, size_t len, char *why, size_t whylen)
{
	struct fns_ctl msg = {.op = FNS_CTL_OFFLOAD_LOAD};
	char said[256] = "";
	int err;

	if (!context || !elf)
		return fns_verbs_err(-EINVAL);
	if (!name_fits(name)) {
		snprintf(said, sizeof(said), "the name must have 1 to %u characters",
			FNS_OFFLOAD_NAME - 1);
		err = -EINVAL;
	} else {
		strcpy(msg.load.name, name);
		msg.load.elf = (uintptr_t)elf;
		msg.load.len = len;
		msg.load.say = (uintptr_t)said;
		msg.load.say_len = sizeof(said);
		err = fns_verbs_control(fns_ctx(context), &msg);
	}
	if (why && whylen)
		snprintf(why, whylen, "%s", said);
	return fns_verbs_err(err);
}

/* Exactly one of them. */
static struct ibv_context *target(struct ibv_qp *qp, struct ibv_srq *srq, struct fns_ctl *msg)
{
	if (!qp == !srq)
		return NULL;
	msg->handle = qp ? qp->handle : srq->handle;
	msg->offload.on_srq = !qp;
	return qp ? qp->context : srq->context;
}

FNS_EXPORT int flexins_1_offload_bind(
	struct ibv_qp *qp, struct ibv_srq *srq, const struct fns_offload_binding *b)
{
	struct fns_ctl msg = {.op = FNS_CTL_OFFLOAD_BIND};
	struct ibv_context *c = target(qp, srq, &msg);

	if (!c || !b || b->size != sizeof(*b))
		return fns_verbs_err(-EINVAL);
	msg.offload.bind = *b;
	return fns_verbs_err(fns_verbs_control(fns_ctx(c), &msg));
}

FNS_EXPORT int flexins_1_offload_unbind(struct ibv_qp *qp, struct ibv_srq *srq, uint32_t service)
{
	struct fns_ctl msg = {.op = FNS_CTL_OFFLOAD_UNBIND};
	struct ibv_context *c = target(qp, srq, &msg);

	if (!c)
		return fns_verbs_err(-EINVAL);
	msg.offload.bind.service = service;
	return fns_verbs_err(fns_verbs_control(fns_ctx(c), &msg));
}

FNS_EXPORT int flexins_1_offload_count(
	struct ibv_context *context, const char *name, struct fns_offload_counters *out)
{
	struct fns_ctl msg = {.op = FNS_CTL_OFFLOAD_COUNT};
	int err;

	if (!context || !out || !name_fits(name))
		return fns_verbs_err(-EINVAL);
	strcpy(msg.offload.bind.handler, name);
	err = fns_verbs_control(fns_ctx(context), &msg);
	if (err == 0)
		*out = msg.offload.count;
	return fns_verbs_err(err);
}
