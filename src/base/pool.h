/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded pool of equal objects, recycled last-in first-out so that the warm one is used again.
 * All memory is taken at create; get returns NULL when empty (the caller applies back-pressure).
 * Not thread-safe.
 */
#ifndef FNS_BASE_POOL_H
#define FNS_BASE_POOL_H

#include "base/util.h"

struct fns_pool {
	char *mem;
	void *block;  /* that mem lies in */
	void **stack; /* free objects, top at stack[free - 1] */
	uint32_t free, count;
	size_t size;
};

/* size is rounded up to a cache line. 0 or -ENOMEM. Objects are zeroed once, at create. */
int fns_pool_init(struct fns_pool *p, size_t size, uint32_t count);
/* The same of zeroes whose pages stay untouched until they are needed. */
int fns_pool_init_cold(struct fns_pool *p, size_t size, uint32_t count);
void fns_pool_fini(struct fns_pool *p);

static inline void *fns_pool_get(struct fns_pool *p)
{
	return p->free ? p->stack[--p->free] : NULL;
}

static inline void fns_pool_put(struct fns_pool *p, void *obj)
{
	p->stack[p->free++] = obj;
}

#endif
