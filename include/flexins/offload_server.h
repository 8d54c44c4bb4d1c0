/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving offload handlers (flexins/offload.h) from a verbs program: loading and binding. C99 and
 * C++. Programs need not be linked with anything of FlexiNS: the functions are looked for when they
 * are called, in the libibverbs that the process runs with, and say ENOSYS where that is not
 * FlexiNS's. (With glibc before 2.34, link with -ldl.) Callers of handlers need none of this.
 *
 * All are thread-safe and may block like ibv_modify_qp(). They return 0, or like verbs an errno
 * value; besides those named at each:
 *   ENOSYS      this libibverbs is not FlexiNS's, or one that is too old
 *   EIO         a child of fork(), or the service is gone
 */
#ifndef FLEXINS_OFFLOAD_SERVER_H
#define FLEXINS_OFFLOAD_SERVER_H

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <infiniband/verbs.h>

#include "offload.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline void *flexins_offload_find(const char *name)
{
	void *self = dlopen(NULL, RTLD_LAZY), *found = self ? dlsym(self, name) : NULL;

	if (self)
		dlclose(self);
	return found;
}

/*
 * Loads an eBPF handler, the len bytes of an object file, under a name (lower case letters, digits,
 * '-' and '_', 31 at most), for all contexts of the process. A name that is loaded already, or
 * bound: the new program takes its place, for requests that come from then on. Verifies and
 * compiles in the calling thread, which takes up to a quarter of a second.
 *   EINVAL      refused, by name or by content: a sentence is in why, if that is not NULL
 *   ENOSPC      too many handlers
 *   EOPNOTSUPP  in the service placement, which runs built-in handlers only
 */
static inline int flexins_offload_load(struct ibv_context *context, const char *name,
	const void *elf, size_t len, char *why, size_t whylen)
{
	void *f = flexins_offload_find("flexins_1_offload_load");
	int (*call)(struct ibv_context *, const char *, const void *, size_t, char *, size_t);

	if (!f)
		return ENOSYS;
	memcpy(&call, &f, sizeof(call));
	return call(context, name, elf, len, why, whylen);
}

/*
 * Binds a handler to a reliable connection, or to an SRQ and all reliable connections that use it,
 * in any state. Takes the place of a binding with the same number. Ends with the queue pair or SRQ.
 * Exactly one of qp and srq.
 *   EINVAL      nonsense in the binding, not a reliable connection, or one with an SRQ
 *   ENOENT      no such handler
 *   ENOSPC      FNS_OFFLOAD_SERVICES are bound
 */
static inline int flexins_offload_bind(
	struct ibv_qp *qp, struct ibv_srq *srq, const struct fns_offload_binding *binding)
{
	void *f = flexins_offload_find("flexins_1_offload_bind");
	int (*call)(struct ibv_qp *, struct ibv_srq *, const struct fns_offload_binding *);

	if (!f)
		return ENOSYS;
	memcpy(&call, &f, sizeof(call));
	return call(qp, srq, binding);
}

/* Requests that are being served go on. ENOENT: no such service. */
static inline int flexins_offload_unbind(struct ibv_qp *qp, struct ibv_srq *srq, uint32_t service)
{
	void *f = flexins_offload_find("flexins_1_offload_unbind");
	int (*call)(struct ibv_qp *, struct ibv_srq *, uint32_t);

	if (!f)
		return ENOSYS;
	memcpy(&call, &f, sizeof(call));
	return call(qp, srq, service);
}

/* What has become of the requests for a handler. ENOENT: it was never bound nor loaded. */
static inline int flexins_offload_count(
	struct ibv_context *context, const char *name, struct fns_offload_counters *out)
{
	void *f = flexins_offload_find("flexins_1_offload_count");
	int (*call)(struct ibv_context *, const char *, struct fns_offload_counters *);

	if (!f)
		return ENOSYS;
	memcpy(&call, &f, sizeof(call));
	return call(context, name, out);
}

#ifdef __cplusplus
}
#endif

#endif
