/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in handlers as native code: what runs where there is no eBPF, and what their eBPF twins
 * (src/offload/bpf) are compared with. Pure functions of their context. What they do is in
 * flexins/offload.h.
 */
#include <string.h>

#include "base/util.h"
#include "offload/offload.h"

static uint64_t refuse(struct fns_offload_ctx *x, uint32_t code)
{
	x->act.code = code;
	x->act.value = 0;
	return FNS_OFFLOAD_REFUSE;
}

static uint64_t done(struct fns_offload_ctx *x, uint64_t value)
{
	x->act.code = 0;
	x->act.value = value;
	return FNS_OFFLOAD_DONE;
}

/* --- list-walk --- */

enum {
	WALK_AT, /* the node asked for */
	WALK_LEFT,
	WALK_FOUND,
};

static uint64_t walk_to(struct fns_offload_ctx *x, uint64_t addr)
{
	x->state[WALK_AT] = addr;
	x->act.region = 0;
	x->act.addr = addr;
	x->act.len = FNS_OFFLOAD_NODE;
	x->act.at = 0;
	return FNS_OFFLOAD_FETCH;
}

static uint64_t walk(struct fns_offload_ctx *x)
{
	struct fns_offload_walk w;
	bool here;

	memcpy(&w, x->args, sizeof(w));
	if (x->step == 0) {
		if (x->arg_len != sizeof(w))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[WALK_LEFT] = w.hops;
		return walk_to(x, w.head);
	}
	if (x->state[WALK_FOUND])
		return done(x, x->state[WALK_AT]);
	here = w.hops ? x->state[WALK_LEFT] == 0 : x->data[1] == w.key;
	if (here) {
		x->state[WALK_FOUND] = 1;
		x->act.at = FNS_OFFLOAD_NODE_VALUE;
		x->act.len = FNS_OFFLOAD_NODE - FNS_OFFLOAD_NODE_VALUE;
		return FNS_OFFLOAD_EMIT;
	}
	if (x->data[0] == 0)
		return refuse(x, FNS_OFFLOAD_R_NOT_FOUND);
	x->state[WALK_LEFT]--;
	return walk_to(x, x->data[0]);
}

/* --- gather, scatter --- */

enum {
	SPAN_NEXT,
	SPAN_WORD,  /* where it is in args */
	SPAN_TOTAL, /* bytes so far */
	SPAN_PASS,
	SPAN_REGION, /* scatter: of the last one */
	SPAN_END,
};

#define ARG_WORDS (FNS_OFFLOAD_ARGS / 8)

static uint64_t see_span(struct fns_offload_ctx *x, uint64_t i)
{
	x->state[SPAN_NEXT] = i;
	x->state[SPAN_WORD] = 0;
	x->act.at =
		(uint32_t)(sizeof(struct fns_offload_spans) + i * sizeof(struct fns_offload_span));
	return FNS_OFFLOAD_SEE_ARGS;
}

/* The next span; false: it is not in sight. */
static bool next_span(struct fns_offload_ctx *x, struct fns_offload_span *s)
{
	uint64_t w = x->state[SPAN_WORD];

	if (w + 1 >= ARG_WORDS)
		return false;
	memcpy(s, &x->args[w], sizeof(*s));
	x->state[SPAN_WORD] += 2;
	x->state[SPAN_NEXT]++;
	return true;
}

/* state.SPAN_PASS is how many there are, for gather. */
static uint64_t gather(struct fns_offload_ctx *x)
{
	struct fns_offload_span s;

	if (x->step == 0) {
		uint64_t n = x->args[0];

		if (x->arg_len < sizeof(n) || n > FNS_OFFLOAD_SPANS ||
			x->arg_len != sizeof(n) + n * sizeof(s))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[SPAN_PASS] = n;
		x->state[SPAN_WORD] = 1;
	}
	if (x->state[SPAN_NEXT] == x->state[SPAN_PASS])
		return done(x, x->state[SPAN_TOTAL]);
	if (!next_span(x, &s))
		return see_span(x, x->state[SPAN_NEXT]);
	x->act.region = s.region;
	x->act.addr = s.addr;
	x->act.len = s.len;
	x->act.to = x->state[SPAN_TOTAL];
	x->state[SPAN_TOTAL] += s.len;
	return x->out_len ? FNS_OFFLOAD_WRITE_MEM : FNS_OFFLOAD_EMIT_MEM;
}

enum {
	SCATTER_COUNT = 8,
};

/* Does it lie behind the one before? */
static bool ascends(const struct fns_offload_ctx *x, const struct fns_offload_span *s)
{
	if (s->region != x->state[SPAN_REGION])
		return s->region > x->state[SPAN_REGION];
	return s->addr >= x->state[SPAN_END];
}

static uint64_t scatter(struct fns_offload_ctx *x)
{
	struct fns_offload_span s;
	uint64_t header;

	if (x->step == 0) {
		uint64_t n = x->args[0];

		if (x->arg_len < sizeof(n) || n > FNS_OFFLOAD_SPANS ||
			x->arg_len < sizeof(n) + n * sizeof(s))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[SCATTER_COUNT] = n;
		x->state[SPAN_WORD] = 1;
	}
	header = sizeof(uint64_t) + x->state[SCATTER_COUNT] * sizeof(s);
	if (x->state[SPAN_NEXT] == x->state[SCATTER_COUNT]) {
		if (x->state[SPAN_PASS] == 1)
			return done(x, x->state[SPAN_TOTAL]);
		if (x->state[SPAN_TOTAL] != x->arg_len - header)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[SPAN_PASS] = 1;
		x->state[SPAN_TOTAL] = 0;
		return see_span(x, 0);
	}
	if (!next_span(x, &s))
		return see_span(x, x->state[SPAN_NEXT]);
	if (x->state[SPAN_PASS] == 0) {
		if (s.addr > UINT64_MAX - s.len)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		if (!ascends(x, &s))
			return refuse(x, FNS_OFFLOAD_R_OVERLAP);
		x->state[SPAN_REGION] = s.region;
		x->state[SPAN_END] = s.addr + s.len;
		x->state[SPAN_TOTAL] += s.len;
		x->act.len = 0; /* nothing to store yet */
		x->act.at = 0;
		return FNS_OFFLOAD_STORE_ARGS;
	}
	x->act.region = s.region;
	x->act.addr = s.addr;
	x->act.len = s.len;
	x->act.at = (uint32_t)(header + x->state[SPAN_TOTAL]);
	x->state[SPAN_TOTAL] += s.len;
	return FNS_OFFLOAD_STORE_ARGS;
}

/* --- hash-lookup --- */

enum {
	HASH_AT,
	HASH_PROBES,
	HASH_FOUND,
};

static uint64_t hash_fetch(struct fns_offload_ctx *x)
{
	x->state[HASH_PROBES]++;
	x->act.region = 0;
	x->act.addr =
		x->region[0].addr + x->state[HASH_AT] * (uint64_t)sizeof(struct fns_offload_entry);
	x->act.len = sizeof(struct fns_offload_entry);
	x->act.at = 0;
	return FNS_OFFLOAD_FETCH;
}

static uint64_t lookup(struct fns_offload_ctx *x)
{
	uint64_t bits = x->param[0], key = x->args[0];
	struct fns_offload_entry e;

	if (x->step == 0) {
		if (x->arg_len != sizeof(struct fns_offload_lookup) || bits < 1 || bits > 40)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[HASH_AT] = (key * 0x9e3779b97f4a7c15ull) >> (64 - bits);
		return hash_fetch(x);
	}
	if (x->state[HASH_FOUND])
		return done(x, x->reply_len);
	memcpy(&e, x->data, sizeof(e));
	if (e.addr && e.key == key) {
		x->state[HASH_FOUND] = 1;
		x->act.region = 1;
		x->act.addr = e.addr;
		x->act.len = e.len;
		return FNS_OFFLOAD_EMIT_MEM;
	}
	if (e.addr == 0 || x->state[HASH_PROBES] >> bits)
		return refuse(x, FNS_OFFLOAD_R_NOT_FOUND);
	x->state[HASH_AT] = (x->state[HASH_AT] + 1) & ((1ull << bits) - 1);
	return hash_fetch(x);
}

/* --- block-read, block-write --- */

#define BLOCK_HDR ((uint32_t)sizeof(struct fns_offload_block))

static bool block_at(struct fns_offload_ctx *x, const struct fns_offload_block *b)
{
	uint64_t size = x->param[0];

	if (size == 0 || size > UINT32_MAX || b->block >= x->region[0].len / size)
		return false;
	x->act.region = 0;
	x->act.addr = x->region[0].addr + b->block * size;
	x->act.len = (uint32_t)size;
	return true;
}

static uint64_t block_read(struct fns_offload_ctx *x)
{
	struct fns_offload_block b;

	memcpy(&b, x->args, sizeof(b));
	if (x->step == 0)
		return x->arg_len == BLOCK_HDR && block_at(x, &b) ? FNS_OFFLOAD_EMIT_MEM
								  : refuse(x, FNS_OFFLOAD_R_ARGS);
	if (x->step == 1) {
		x->act.at = 0;
		x->act.len = x->reply_len;
		x->act.swap = 0;
		return FNS_OFFLOAD_SUM_REPLY;
	}
	return done(x, x->value);
}

static uint64_t block_write(struct fns_offload_ctx *x)
{
	struct fns_offload_block b;

	memcpy(&b, x->args, sizeof(b));
	if (x->step == 0) {
		if (!block_at(x, &b) || x->arg_len != BLOCK_HDR + x->param[0])
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->act.at = BLOCK_HDR;
		x->act.swap = 0;
		return FNS_OFFLOAD_SUM_ARGS;
	}
	if (x->step == 1) {
		if (x->value != b.sum)
			return refuse(x, FNS_OFFLOAD_R_CHECKSUM);
		block_at(x, &b);
		x->act.at = BLOCK_HDR;
		return FNS_OFFLOAD_STORE_ARGS;
	}
	return done(x, 0);
}

/* --- replicate --- */

static uint64_t replicate(struct fns_offload_ctx *x)
{
	struct fns_offload_replicate r;

	memcpy(&r, x->args, sizeof(r));
	if (x->step == 0) {
		if (x->arg_len < sizeof(r))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->act.region = 0;
		x->act.addr = r.addr;
		x->act.swap = r.swap;
		x->act.compare = r.compare;
		return FNS_OFFLOAD_ATOMIC_CAS;
	}
	if (x->step == 1 && x->value != r.compare) {
		refuse(x, FNS_OFFLOAD_R_DIFFERS);
		x->act.value = x->value;
		return FNS_OFFLOAD_REFUSE;
	}
	if (x->step >= x->nregions)
		return done(x, r.compare);
	x->act.region = x->step;
	x->act.addr = x->region[x->step].addr + r.to;
	x->act.len = x->arg_len - (uint32_t)sizeof(r);
	x->act.at = sizeof(r);
	return FNS_OFFLOAD_STORE_ARGS;
}

const struct fns_offload_native fns_offload_builtin[] = {
	{"block-read", "one block, and its CRC32C", block_read},
	{"block-write", "one block, if its CRC32C is right", block_write},
	{"gather", "up to 131072 pieces of memory into one buffer", gather},
	{"hash-lookup", "the value of a key of a table", lookup},
	{"list-walk", "along a linked list, to a node or so many links far", walk},
	{"replicate", "compare and swap, and then the same bytes to all replicas", replicate},
	{"scatter", "bytes to up to 131072 pieces of memory", scatter},
};
const unsigned fns_offload_builtins = FNS_ARRAY_SIZE(fns_offload_builtin);
