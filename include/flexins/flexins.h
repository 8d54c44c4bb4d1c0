/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a verbs program can ask of FlexiNS beyond verbs. C99 and C++. Programs need not be linked
 * with anything of FlexiNS: the functions are looked for when they are called, in the libibverbs
 * that the process runs with, and say ENOSYS where that is not FlexiNS's. (With glibc before 2.34,
 * link with -ldl.)
 */
#ifndef FLEXINS_FLEXINS_H
#define FLEXINS_FLEXINS_H

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <infiniband/verbs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In: the name of a function of ours. NULL: this process has none. */
static inline void *flexins_find(const char *name)
{
	void *self = dlopen(NULL, RTLD_LAZY), *found = self ? dlsym(self, name) : NULL;

	if (self)
		dlclose(self);
	return found;
}

/*
 * Gives a reliable connection another congestion control, in any state, also while it is used: what
 * is in flight is carried, and the algorithm begins anew. cc: "NAME" or "NAME:param=value,...", as
 * `flexins run --cc` takes it, without files: one that is built in, or was loaded into this process
 * (or, in the service placement, into flexinsd). It stays until the queue pair is destroyed.
 *
 * Thread-safe; blocks like ibv_modify_qp(). Returns 0, or like verbs an errno value, and the queue
 * pair stays on what it had:
 *   ENOSYS      this libibverbs is not FlexiNS's (or one that is too old)
 *   EINVAL      no such queue pair, or no text
 *   ENOENT      no such congestion control, no such parameter, or a value out of range: a sentence
 *               is in why, of len bytes, if that is not NULL
 *   EOPNOTSUPP  not a reliable connection
 *   EIO         a child of fork(), or the service is gone
 */
static inline int flexins_qp_set_cc(struct ibv_qp *qp, const char *cc, char *why, size_t len)
{
	void *f = flexins_find("flexins_1_qp_set_cc");
	int (*call)(struct ibv_qp *, const char *, char *, size_t);

	if (!f)
		return ENOSYS;
	memcpy(&call, &f, sizeof(call));
	return call(qp, cc, why, len);
}

#ifdef __cplusplus
}
#endif

#endif
