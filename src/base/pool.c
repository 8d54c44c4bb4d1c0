/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for struct fns_pool: one block of objects, one stack of pointers to the free ones. Get and
 * put are in the header. */
#include "base/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fns_pool_init_cold(struct fns_pool *p, size_t size, uint32_t count)
{
	size_t bytes;

	*p = (struct fns_pool){0};
	if (size > SIZE_MAX - FNS_CACHELINE)
		return -ENOMEM;
	size = FNS_ALIGN_UP(FNS_MAX(size, (size_t)1), (size_t)FNS_CACHELINE);
	if (__builtin_mul_overflow(size, (size_t)count, &bytes) || bytes > SIZE_MAX - FNS_CACHELINE)
		return -ENOMEM;
	if (count > 0) {
		void **stack = calloc(count, sizeof(*stack));
		char *block = calloc(1, bytes + FNS_CACHELINE);

		if (!stack || !block) {
			free(stack);
			free(block);
			return -ENOMEM;
		}
		p->stack = stack;
		p->block = block;
		p->mem = (char *)FNS_ALIGN_UP((uintptr_t)block, (uintptr_t)FNS_CACHELINE);
	}
	p->size = size;
	p->count = count;
	/* Pushed from the end so that objects come out in address order. */
	for (uint32_t i = count; i-- > 0;)
		fns_pool_put(p, p->mem + (size_t)i * size);
	return 0;
}

int fns_pool_init(struct fns_pool *p, size_t size, uint32_t count)
{
	int r = fns_pool_init_cold(p, size, count);

	/* Also touches every page now rather than on the datapath. */
	if (r == 0 && count)
		memset(p->mem, 0, p->size * count);
	return r;
}

void fns_pool_fini(struct fns_pool *p)
{
	free(p->stack);
	free(p->block);
	*p = (struct fns_pool){0};
}
