/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated DMA backend: this process's memory behind delay and reordering, in virtual time,
 * from a seed. An operation draws its completion time when submitted, waits in a heap ordered by
 * (time, sequence), and takes effect and completes when poll finds it due. At most FNS_SIM_OPS are
 * in flight; submitting more returns -EAGAIN. Owns the operations; the caller owns tokens and
 * buffers. Used by the simulator and by tests.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/rng.h"
#include "base/util.h"
#include "mem/dma.h"
#include "mem/guard.h"
#include "mem/near.h"

#define FNS_SIM_OPS 4096u

enum sim_kind {
	SIM_PLACE,
	SIM_FETCH,
	SIM_ATOMIC
};

struct sim_region {
	struct fns_region r;
	uint32_t inflight;
};

struct sim_op {
	uint64_t time_ns, seq;
	enum sim_kind kind;
	bool fail, compare_swap;
	struct fns_memref ref;
	const void *src;
	void *dst;
	uint64_t swap_add, compare;
	struct fns_dma_token *token; /* NULL: the slot is free */
	uint32_t heap_at;
};

struct sim_dma {
	struct fns_dma dma;
	struct fns_dma_sim_cfg cfg;
	struct fns_rng rng;
	uint64_t now_ns, next_seq;
	uint32_t inflight;
	uint32_t heap[FNS_SIM_OPS]; /* indices of op[], the first inflight ones are the heap */
	uint32_t free[FNS_SIM_OPS]; /* the first FNS_SIM_OPS - inflight are free indices */
	struct sim_op op[FNS_SIM_OPS];
};

static struct sim_dma *to_sim(struct fns_dma *d)
{
	return fns_container_of(d, struct sim_dma, dma);
}

static bool earlier(const struct sim_dma *s, uint32_t a, uint32_t b)
{
	const struct sim_op *x = &s->op[a], *y = &s->op[b];

	return x->time_ns != y->time_ns ? x->time_ns < y->time_ns : x->seq < y->seq;
}

static void heap_set(struct sim_dma *s, uint32_t at, uint32_t op)
{
	s->heap[at] = op;
	s->op[op].heap_at = at;
}

/* Puts op where it belongs, starting from the hole at `at`. */
static void heap_settle(struct sim_dma *s, uint32_t at, uint32_t op)
{
	while (at > 0 && earlier(s, op, s->heap[(at - 1) / 2])) {
		heap_set(s, at, s->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= s->inflight)
			break;
		if (child + 1 < s->inflight && earlier(s, s->heap[child + 1], s->heap[child]))
			child++;
		if (!earlier(s, s->heap[child], op))
			break;
		heap_set(s, at, s->heap[child]);
		at = child;
	}
	heap_set(s, at, op);
}

static void op_remove(struct sim_dma *s, uint32_t op)
{
	struct sim_op *o = &s->op[op];
	uint32_t at = o->heap_at, last;

	fns_assert(s->inflight > 0 && s->heap[at] == op);
	last = s->heap[--s->inflight];
	if (last != op)
		heap_settle(s, at, last);
	s->free[FNS_SIM_OPS - s->inflight - 1] = op;
	if (o->ref.region)
		fns_container_of(o->ref.region, struct sim_region, r)->inflight--;
	o->token = NULL;
}

static int submit(struct sim_dma *s, const struct sim_op *want)
{
	uint64_t span = s->cfg.max_ns - s->cfg.min_ns;
	struct sim_op *o;
	uint32_t op;

	if (want->ref.len != 0)
		fns_assert(want->ref.off <= want->ref.region->len &&
			   want->ref.len <= want->ref.region->len - want->ref.off);
	if (s->inflight == FNS_SIM_OPS)
		return -EAGAIN;
	op = s->free[FNS_SIM_OPS - s->inflight - 1];
	o = &s->op[op];
	*o = *want;
	/* Both are always drawn, so that changing fail_ppm leaves the delays of a seed as they
	 * were. */
	o->time_ns = s->now_ns + s->cfg.min_ns +
		     (span == UINT64_MAX ? fns_rng_u64(&s->rng) : fns_rng_below(&s->rng, span + 1));
	o->fail = fns_rng_below(&s->rng, 1000000) < s->cfg.fail_ppm;
	o->seq = s->next_seq++;
	if (o->ref.len == 0)
		o->ref.region = NULL;
	else
		fns_container_of(o->ref.region, struct sim_region, r)->inflight++;
	o->token->dma_priv = op;
	s->inflight++;
	heap_settle(s, s->inflight - 1, op);
	return FNS_DMA_PENDING;
}

static int execute(const struct sim_op *o)
{
	uint64_t addr;

	if (o->fail)
		return -EFAULT;
	if (!o->ref.region)
		return 0;
	if (o->kind != SIM_FETCH && o->ref.region->read_only)
		return -EFAULT;
	addr = o->ref.region->addr + o->ref.off;
	switch (o->kind) {
	case SIM_PLACE:
		return fns_near_place(addr, o->src, o->ref.len);
	case SIM_FETCH:
		return fns_near_fetch(o->dst, addr, o->ref.len);
	case SIM_ATOMIC:
		return fns_near_atomic(
			addr, o->compare_swap, o->swap_add, o->compare, &o->token->value);
	}
	return -EINVAL;
}

static int sim_import(struct fns_dma *d, uint32_t space, uint64_t addr, uint64_t len, bool writable,
	struct fns_region **out)
{
	struct sim_region *sr;
	int rc = fns_guard_install();

	if (rc == 0)
		rc = fns_near_probe(addr, len, writable);
	if (rc != 0)
		return rc;
	sr = calloc(1, sizeof(*sr));
	if (!sr)
		return -ENOMEM;
	sr->r.addr = addr;
	sr->r.len = len;
	sr->r.read_only = !writable;
	*out = &sr->r;
	return 0;
}

static void sim_release(struct fns_dma *d, struct fns_region *r)
{
	struct sim_region *sr;

	if (!r)
		return;
	sr = fns_container_of(r, struct sim_region, r);
	fns_assert(sr->inflight == 0);
	free(sr);
}

static int sim_place(
	struct fns_dma *d, struct fns_memref ref, const void *src, struct fns_dma_token *t)
{
	struct sim_op o = {.kind = SIM_PLACE, .ref = ref, .src = src, .token = t};

	return submit(to_sim(d), &o);
}

static int sim_fetch(struct fns_dma *d, struct fns_memref ref, void *dst, struct fns_dma_token *t)
{
	struct sim_op o = {.kind = SIM_FETCH, .ref = ref, .dst = dst, .token = t};

	return submit(to_sim(d), &o);
}

static int sim_atomic(struct fns_dma *d, struct fns_memref ref, bool compare_swap,
	uint64_t swap_add, uint64_t compare, struct fns_dma_token *t)
{
	struct sim_op o = {
		.kind = SIM_ATOMIC,
		.ref = ref,
		.compare_swap = compare_swap,
		.swap_add = swap_add,
		.compare = compare,
		.token = t,
	};

	if (ref.len != 8 || ((ref.region->addr + ref.off) & 7))
		return -EINVAL;
	return submit(to_sim(d), &o);
}

/*
 * Operations that done() submits wait for the next poll even when they are due at once (min_ns 0):
 * a poll does a bounded amount of work. They sort behind all older ones that are due, so the first
 * one met ends the loop.
 */
static unsigned sim_poll(struct fns_dma *d, uint64_t now_ns)
{
	struct sim_dma *s = to_sim(d);
	uint64_t seq_end = s->next_seq;
	unsigned n = 0;

	fns_dma_sim_set_now(d, now_ns);
	while (s->inflight > 0) {
		uint32_t op = s->heap[0];
		struct sim_op o = s->op[op];
		int result;

		if (o.time_ns > s->now_ns || o.seq >= seq_end)
			break;
		result = execute(&o);
		op_remove(s, op);
		o.token->done(o.token, result);
		n++;
	}
	return n;
}

static uint64_t sim_next(struct fns_dma *d)
{
	struct sim_dma *s = to_sim(d);

	return s->inflight > 0 ? s->op[s->heap[0]].time_ns : UINT64_MAX;
}

static bool sim_cancel(struct fns_dma *d, struct fns_dma_token *t)
{
	struct sim_dma *s = to_sim(d);
	uint32_t op = t->dma_priv;

	if (op < FNS_SIM_OPS && s->op[op].token == t)
		op_remove(s, op);
	return true;
}

static void sim_destroy(struct fns_dma *d)
{
	if (d)
		free(to_sim(d));
}

static const struct fns_dma_ops sim_ops = {
	.name = "simdma",
	.caps = {.completes_inline = false, .ordered = false},
	.import = sim_import,
	.release = sim_release,
	.place = sim_place,
	.fetch = sim_fetch,
	.atomic = sim_atomic,
	.poll = sim_poll,
	.next = sim_next,
	.cancel = sim_cancel,
	.destroy = sim_destroy,
};

struct fns_dma *fns_dma_sim_create(const struct fns_dma_sim_cfg *cfg)
{
	struct sim_dma *s;

	fns_assert(cfg->min_ns <= cfg->max_ns);
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->dma.ops = &sim_ops;
	s->cfg = *cfg;
	fns_rng_seed(&s->rng, cfg->seed);
	for (uint32_t i = 0; i < FNS_SIM_OPS; i++)
		s->free[i] = FNS_SIM_OPS - 1 - i;
	return &s->dma;
}

/* Time does not run backwards. */
void fns_dma_sim_set_now(struct fns_dma *d, uint64_t now_ns)
{
	struct sim_dma *s = to_sim(d);

	fns_assert(d->ops == &sim_ops);
	s->now_ns = FNS_MAX(s->now_ns, now_ns);
}
