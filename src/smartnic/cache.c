/* SPDX-License-Identifier: Apache-2.0 */
/* The cache model: see cache.h. Owns tags and the table of page names. */
#include "smartnic/cache.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/util.h"

#define PAGE_SHIFT 12

#define PAGE_LINES (1u << (PAGE_SHIFT - 6))

struct page {
	uint64_t addr;  /* page address + 1; 0: empty */
	uint32_t *name; /* of its lines, + 1; 0: not used yet */
};

struct fns_snic_cache {
	uint64_t sets, tick, present;
	uint32_t ways, stash_ways;
	bool stash;
	/* sets * ways of each; apart, so that a search touches little */
	uint64_t *tag;     /* line number + 1, twice, and 1 if dirty; 0: empty */
	uint64_t *used;    /* tick of the last access */
	struct page *page; /* open addressing, a power of two of them */
	uint64_t npages, page_cap;
	uint32_t nlines; /* names given */
};

struct fns_snic_cache *fns_snic_cache_create(
	uint64_t size_bytes, uint32_t ways, bool stash, uint32_t stash_ways)
{
	struct fns_snic_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->ways = ways;
	c->stash_ways = FNS_MIN(stash_ways, ways);
	c->stash = stash;
	c->sets = FNS_MAX(size_bytes / FNS_SNIC_LINE / ways, (uint64_t)1);
	c->page_cap = 1024;
	c->tag = calloc(c->sets * ways, sizeof(*c->tag));
	c->used = calloc(c->sets * ways, sizeof(*c->used));
	c->page = calloc(c->page_cap, sizeof(*c->page));
	if (!c->tag || !c->used || !c->page) {
		fns_snic_cache_destroy(c);
		return NULL;
	}
	return c;
}

void fns_snic_cache_destroy(struct fns_snic_cache *c)
{
	uint64_t i;

	if (!c)
		return;
	for (i = 0; c->page && i < c->page_cap; i++)
		free(c->page[i].name);
	free(c->tag);
	free(c->used);
	free(c->page);
	free(c);
}

static struct page *find(struct page *table, uint64_t cap, uint64_t addr)
{
	uint64_t i = (addr * 0x9e3779b97f4a7c15ull >> 20) & (cap - 1);

	while (table[i].addr && table[i].addr != addr + 1)
		i = (i + 1) & (cap - 1);
	return &table[i];
}

static void grow(struct fns_snic_cache *c)
{
	uint64_t cap = c->page_cap * 2, i;
	struct page *table = calloc(cap, sizeof(*table));

	fns_assert(table);
	for (i = 0; i < c->page_cap; i++)
		if (c->page[i].addr)
			*find(table, cap, c->page[i].addr - 1) = c->page[i];
	free(c->page);
	c->page = table;
	c->page_cap = cap;
}

static struct page *page_of(struct fns_snic_cache *c, uint64_t addr)
{
	struct page *p = find(c->page, c->page_cap, addr);

	if (p->addr)
		return p;
	if (c->npages * 2 >= c->page_cap) {
		grow(c);
		p = find(c->page, c->page_cap, addr);
	}
	p->addr = addr + 1;
	p->name = calloc(PAGE_LINES, sizeof(*p->name));
	fns_assert(p->name);
	c->npages++;
	return p;
}

#define TAG(line) (((line) + 1) << 1)
#define DIRTY     1ull

/* Index of the line's way in tag and used, UINT64_MAX: not there. */
static uint64_t lookup(const struct fns_snic_cache *c, uint64_t line)
{
	uint64_t at = line % c->sets * c->ways, i;

	for (i = at; i < at + c->ways; i++)
		if ((c->tag[i] & ~DIRTY) == TAG(line))
			return i;
	return UINT64_MAX;
}

static void allocate(struct fns_snic_cache *c, uint64_t line, bool dirty, uint32_t ways,
	struct fns_snic_traffic *t)
{
	uint64_t at = line % c->sets * c->ways, victim = at, i;

	for (i = at + 1; i < at + ways && c->tag[victim]; i++)
		if (!c->tag[i] || c->used[i] < c->used[victim])
			victim = i;
	if (c->tag[victim] & DIRTY)
		t->dram_written += FNS_SNIC_LINE;
	c->present += !c->tag[victim];
	c->tag[victim] = TAG(line) | (dirty ? DIRTY : 0);
	c->used[victim] = c->tick;
}

static void touch(struct fns_snic_cache *c, enum fns_snic_access kind, uint64_t line, bool whole,
	struct fns_snic_traffic *t)
{
	uint64_t at = lookup(c, line);
	bool write = kind != FNS_SNIC_READ;

	c->tick++;
	if (kind == FNS_SNIC_DISCARD) {
		if (at != UINT64_MAX && whole) {
			c->tag[at] = 0;
			c->present--;
		}
		return;
	}
	if (at != UINT64_MAX) {
		t->hits++;
		c->used[at] = c->tick;
		c->tag[at] |= write ? DIRTY : 0;
		return;
	}
	if (kind == FNS_SNIC_NIC_WRITE && !c->stash) {
		t->misses++;
		t->dram_written += FNS_SNIC_LINE;
		return;
	}
	if (!write || !whole) {
		t->misses++;
		t->dram_read += FNS_SNIC_LINE;
	}
	allocate(c, line, write, kind == FNS_SNIC_NIC_WRITE ? c->stash_ways : c->ways, t);
}

void fns_snic_cache_access(struct fns_snic_cache *c, enum fns_snic_access kind, const void *p,
	size_t len, struct fns_snic_traffic *t)
{
	uint64_t at = (uintptr_t)p, end = at + len;
	struct page *page = NULL;

	while (at < end) {
		uint64_t begin = at & ~(uint64_t)(FNS_SNIC_LINE - 1), next = begin + FNS_SNIC_LINE;
		bool whole = at == begin && next <= end;
		uint32_t *name;

		if (!page || page->addr != (at >> PAGE_SHIFT) + 1)
			page = page_of(c, at >> PAGE_SHIFT);
		name = &page->name[begin / FNS_SNIC_LINE % PAGE_LINES];
		if (!*name)
			*name = ++c->nlines;
		touch(c, kind, *name - 1, whole, t);
		at = next;
	}
}

uint64_t fns_snic_cache_lines(const struct fns_snic_cache *c)
{
	return c->present;
}
