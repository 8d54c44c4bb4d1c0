/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What handlers ask for, checked and done. Everything in ctx is the handler's word and hostile:
 * copied once, checked against the binding, used from the copy.
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "offload/offload_priv.h"

static enum fns_act_result fail(struct fns_offload_call *c, enum fns_offload_status status)
{
	c->status = (uint8_t)status;
	return FNS_ACT_END;
}

/* Is [at, at + len) within n bytes? */
static bool within(uint64_t at, uint64_t len, uint64_t n)
{
	return at <= n && len <= n - at;
}

/* False: c->status says why not. */
static bool charge(struct fns_offload_call *c, uint32_t len)
{
	c->bytes += len;
	if (c->bytes <= c->service->b.max_bytes)
		return true;
	c->status = FNS_OFFLOAD_BYTES;
	return false;
}

/* The memory that the handler names, if it may have it. */
static bool name_memory(struct fns_offload_call *c, const struct fns_offload_act *a, uint32_t len,
	uint32_t right, struct fns_memref *ref)
{
	const struct fns_offload_service *s = c->service;
	const struct fns_offload_region *r;

	c->status = FNS_OFFLOAD_ACCESS;
	if (a->region >= s->b.nregions)
		return false;
	r = &s->b.region[a->region];
	if (!(r->rights & right) || a->addr < r->addr || !within(a->addr - r->addr, len, r->len))
		return false;
	return fns_mem_check(c->o->mem, s->pd, 0, r->key, a->addr, len,
		       right == FNS_OFFLOAD_READ ? 0 : FNS_ACCESS_LOCAL_WRITE, false,
		       ref) == FNS_MEM_OK;
}

/* After submitting c's token for c->ref. */
static enum fns_act_result submitted(struct fns_offload_call *c, int r)
{
	if (r == FNS_DMA_PENDING) {
		/* What is merged so far need not wait for it. */
		if (c->merge.n)
			(void)fns_offload_flush(c);
		return FNS_ACT_PENDING;
	}
	fns_memref_put(c->ref);
	return r == -EAGAIN ? FNS_ACT_AGAIN : fns_offload_act_done(c, r);
}

static struct fns_dma_token *take_token(struct fns_offload_call *c)
{
	c->token.done = fns_offload_token_done;
	c->token.owner = c;
	fns_memref_get(c->ref);
	return &c->token;
}

static enum fns_act_result fetch(
	struct fns_offload_call *c, const struct fns_offload_act *a, void *to)
{
	struct fns_dma *dma = c->o->dma;

	if (!name_memory(c, a, a->len, FNS_OFFLOAD_READ, &c->ref))
		return FNS_ACT_END;
	return submitted(c, dma->ops->fetch(dma, c->ref, to, take_token(c)));
}

static enum fns_act_result store(
	struct fns_offload_call *c, const struct fns_offload_act *a, const void *from)
{
	struct fns_dma *dma = c->o->dma;

	if (!name_memory(c, a, a->len, FNS_OFFLOAD_STORES, &c->ref))
		return FNS_ACT_END;
	return submitted(c, dma->ops->place(dma, c->ref, from, take_token(c)));
}

static enum fns_act_result atomic(struct fns_offload_call *c, const struct fns_offload_act *a)
{
	struct fns_dma *dma = c->o->dma;

	if (!name_memory(c, a, 8, FNS_OFFLOAD_ATOMIC, &c->ref))
		return FNS_ACT_END;
	if (a->addr & 7)
		return fail(c, FNS_OFFLOAD_ACCESS);
	return submitted(c, dma->ops->atomic(dma, c->ref, c->kind == FNS_OFFLOAD_ATOMIC_CAS,
				    a->swap, a->compare, take_token(c)));
}

/* --- what goes to the caller --- */

bool fns_offload_flush(struct fns_offload_call *c)
{
	if (!c->sink->ops->room(c->sink))
		return false;
	c->outstanding++;
	c->sink->ops->write_mem(
		c->sink, c, c->merge.piece, c->merge.n, c->merge.va, c->head.out_rkey);
	c->merge.n = c->merge.len = 0;
	return true;
}

/* Adds to the WRITE that is being merged, if it fits there. */
static bool merged(struct fns_offload_call *c, uint64_t va, const struct fns_offload_piece *p)
{
	struct fns_offload_piece *last =
		c->merge.n ? &c->merge.piece[c->merge.n - 1] : &c->merge.piece[0];

	if (c->merge.n == 0) {
		c->merge.va = va;
	} else if (va != c->merge.va + c->merge.len ||
		   c->merge.len + (uint64_t)p->len > FNS_OFFLOAD_MERGE_BYTES) {
		return false;
	} else if (last->key == p->key && last->addr + last->len == p->addr) {
		last->len += p->len;
		c->merge.len += p->len;
		return true;
	} else if (c->merge.n == FNS_OFFLOAD_PIECES) {
		return false;
	}
	c->merge.piece[c->merge.n++] = *p;
	c->merge.len += p->len;
	return true;
}

/* Is there such a place in the caller's buffer? */
static bool out_room(struct fns_offload_call *c, const struct fns_offload_act *a)
{
	c->status = FNS_OFFLOAD_NO_ROOM;
	return within(a->to, a->len, c->head.out_len);
}

static enum fns_act_result write_mem(struct fns_offload_call *c, const struct fns_offload_act *a)
{
	const struct fns_offload_piece p = {.addr = a->addr,
		.len = a->len,
		.key = c->service->b.region[a->region % FNS_OFFLOAD_REGIONS].key};
	struct fns_memref ref;

	/* Checked now, so that there is an answer, and again when it is read. */
	if (!out_room(c, a) || !name_memory(c, a, a->len, FNS_OFFLOAD_READ, &ref))
		return FNS_ACT_END;
	if (a->len > 1u << 31)
		return fail(c, FNS_OFFLOAD_ACCESS);
	if (!merged(c, c->head.out_addr + a->to, &p)) {
		if (!fns_offload_flush(c))
			return FNS_ACT_ROOM;
		(void)merged(c, c->head.out_addr + a->to, &p);
	}
	c->written += a->len;
	return FNS_ACT_NEXT;
}

static enum fns_act_result write_data(struct fns_offload_call *c, const struct fns_offload_act *a)
{
	if (!out_room(c, a))
		return FNS_ACT_END;
	if ((c->merge.n && !fns_offload_flush(c)) || !c->sink->ops->room(c->sink))
		return FNS_ACT_ROOM;
	c->outstanding++;
	c->sink->ops->write(c->sink, c, (const uint8_t *)c->ctx.data + a->at, a->len,
		c->head.out_addr + a->to, c->head.out_rkey);
	c->written += a->len;
	return FNS_ACT_NEXT;
}

static enum fns_act_result emit(struct fns_offload_call *c, const struct fns_offload_act *a)
{
	if (!within(c->reply_len, a->len, c->service->b.max_reply))
		return fail(c, FNS_OFFLOAD_NO_ROOM);
	if (c->kind == FNS_OFFLOAD_EMIT_MEM)
		return fetch(c, a, c->reply + c->reply_len);
	memcpy(c->reply + c->reply_len, (const uint8_t *)c->ctx.data + a->at, a->len);
	return fns_offload_act_done(c, 0);
}

/* --- arguments and sums --- */

static enum fns_act_result sum(struct fns_offload_call *c, const uint8_t *bytes, uint32_t n,
	const struct fns_offload_act *a)
{
	if (!within(a->at, a->len, n))
		return fail(c, FNS_OFFLOAD_BAD_ACTION);
	c->ctx.value = fns_offload_crc32c((uint32_t)a->swap, bytes + a->at, a->len);
	return FNS_ACT_NEXT;
}

static enum fns_act_result see_args(struct fns_offload_call *c, uint32_t at)
{
	uint32_t n = c->ctx.arg_len = c->request_len - FNS_OFFLOAD_REQUEST_HDR;

	if (at > n)
		return fail(c, FNS_OFFLOAD_BAD_ACTION);
	n = FNS_MIN(n - at, FNS_OFFLOAD_ARGS);
	memcpy(c->ctx.args, c->request + FNS_OFFLOAD_REQUEST_HDR + at, n);
	memset((uint8_t *)c->ctx.args + n, 0, FNS_OFFLOAD_ARGS - n);
	c->ctx.args_at = at;
	c->ctx.args_len = n;
	return FNS_ACT_NEXT;
}

/* --- */

static bool uses_data(uint8_t kind)
{
	return kind == FNS_OFFLOAD_FETCH || kind == FNS_OFFLOAD_STORE || kind == FNS_OFFLOAD_EMIT ||
	       kind == FNS_OFFLOAD_WRITE;
}

enum fns_act_result fns_offload_act(struct fns_offload_call *c)
{
	const struct fns_offload_act a = c->ctx.act;
	uint8_t *args = c->request + FNS_OFFLOAD_REQUEST_HDR;
	uint32_t nargs = c->request_len - FNS_OFFLOAD_REQUEST_HDR;

	switch (c->kind) {
	case FNS_OFFLOAD_DONE:
		if (c->merge.n && !fns_offload_flush(c))
			return FNS_ACT_ROOM;
		return fail(c, FNS_OFFLOAD_OK);
	case FNS_OFFLOAD_REFUSE:
		return fail(c, FNS_OFFLOAD_REFUSED);
	case FNS_OFFLOAD_SEE_ARGS:
		return see_args(c, a.at);
	case FNS_OFFLOAD_ATOMIC_ADD:
	case FNS_OFFLOAD_ATOMIC_CAS:
		return charge(c, 8) ? atomic(c, &a) : FNS_ACT_END;
	default:
		break;
	}
	if (c->kind == 0 || c->kind > FNS_OFFLOAD_SEE_ARGS ||
		(uses_data(c->kind) && !within(a.at, a.len, FNS_OFFLOAD_DATA)))
		return fail(c, FNS_OFFLOAD_BAD_ACTION);
	if (a.len == 0 && c->kind < FNS_OFFLOAD_SUM_ARGS)
		return FNS_ACT_NEXT;
	if (!charge(c, a.len))
		return FNS_ACT_END;
	switch (c->kind) {
	case FNS_OFFLOAD_FETCH:
		return fetch(c, &a, (uint8_t *)c->ctx.data + a.at);
	case FNS_OFFLOAD_STORE:
		return store(c, &a, (const uint8_t *)c->ctx.data + a.at);
	case FNS_OFFLOAD_STORE_ARGS:
		return within(a.at, a.len, nargs) ? store(c, &a, args + a.at)
						  : fail(c, FNS_OFFLOAD_BAD_ACTION);
	case FNS_OFFLOAD_EMIT:
	case FNS_OFFLOAD_EMIT_MEM:
		return emit(c, &a);
	case FNS_OFFLOAD_WRITE:
		return write_data(c, &a);
	case FNS_OFFLOAD_WRITE_MEM:
		return write_mem(c, &a);
	case FNS_OFFLOAD_SUM_ARGS:
		return sum(c, args, nargs, &a);
	default:
		return sum(c, c->reply + FNS_OFFLOAD_REPLY_HDR,
			c->reply_len - FNS_OFFLOAD_REPLY_HDR, &a);
	}
}

enum fns_act_result fns_offload_act_done(struct fns_offload_call *c, int result)
{
	if (result < 0)
		return fail(c, FNS_OFFLOAD_FAULT);
	switch (c->kind) {
	case FNS_OFFLOAD_ATOMIC_ADD:
	case FNS_OFFLOAD_ATOMIC_CAS:
		c->ctx.value = c->token.value;
		break;
	case FNS_OFFLOAD_EMIT:
	case FNS_OFFLOAD_EMIT_MEM:
		c->reply_len += c->ctx.act.len; /* as when it was checked: no step ran since */
		c->ctx.reply_len = c->reply_len - FNS_OFFLOAD_REPLY_HDR;
		c->ctx.reply_room = c->service->b.max_reply - c->reply_len;
		break;
	default:
		break;
	}
	return FNS_ACT_NEXT;
}
