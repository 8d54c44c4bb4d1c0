/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The direct DMA backend: the application's memory is this process's own. Every operation completes
 * inside its call; nothing is ever in flight, so poll, next and cancel have nothing to do. Named by
 * the placement that sits in the application.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "mem/dma.h"
#include "mem/guard.h"
#include "mem/near.h"

/* Bounds were checked by whoever made the reference; a wrong one here is the engine's own mistake.
 */
static uint64_t ref_addr(struct fns_memref ref)
{
	fns_assert(ref.off <= ref.region->len && ref.len <= ref.region->len - ref.off);
	return ref.region->addr + ref.off;
}

static int direct_import(struct fns_dma *d, uint32_t space, uint64_t addr, uint64_t len,
	bool writable, struct fns_region **out)
{
	struct fns_region *r;
	int rc = fns_guard_install();

	if (rc == 0)
		rc = fns_near_probe(addr, len, writable);
	if (rc != 0)
		return rc;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->addr = addr;
	r->len = len;
	r->near_base = (uint8_t *)(uintptr_t)addr;
	r->read_only = !writable;
	*out = r;
	return 0;
}

static void direct_release(struct fns_dma *d, struct fns_region *r)
{
	free(r);
}

static int direct_place(
	struct fns_dma *d, struct fns_memref ref, const void *src, struct fns_dma_token *t)
{
	if (ref.len == 0)
		return FNS_DMA_DONE;
	if (ref.region->read_only)
		return -EFAULT;
	return fns_near_place(ref_addr(ref), src, ref.len);
}

static int direct_fetch(
	struct fns_dma *d, struct fns_memref ref, void *dst, struct fns_dma_token *t)
{
	return ref.len == 0 ? FNS_DMA_DONE : fns_near_fetch(dst, ref_addr(ref), ref.len);
}

static int direct_atomic(struct fns_dma *d, struct fns_memref ref, bool compare_swap,
	uint64_t swap_add, uint64_t compare, struct fns_dma_token *t)
{
	if (ref.len != 8)
		return -EINVAL;
	if (ref.region->read_only)
		return -EFAULT;
	return fns_near_atomic(ref_addr(ref), compare_swap, swap_add, compare, &t->value);
}

static unsigned direct_poll(struct fns_dma *d, uint64_t now_ns)
{
	return 0;
}

static uint64_t direct_next(struct fns_dma *d)
{
	return UINT64_MAX;
}

static bool direct_cancel(struct fns_dma *d, struct fns_dma_token *t)
{
	return true;
}

static void direct_destroy(struct fns_dma *d)
{
	free(d);
}

static const struct fns_dma_ops direct_ops = {
	.name = "direct",
	.caps = {.completes_inline = true, .ordered = true},
	.import = direct_import,
	.release = direct_release,
	.place = direct_place,
	.fetch = direct_fetch,
	.atomic = direct_atomic,
	.poll = direct_poll,
	.next = direct_next,
	.cancel = direct_cancel,
	.destroy = direct_destroy,
};

struct fns_dma *fns_dma_direct_create(void)
{
	struct fns_dma *d = calloc(1, sizeof(*d));

	if (d)
		d->ops = &direct_ops;
	return d;
}
