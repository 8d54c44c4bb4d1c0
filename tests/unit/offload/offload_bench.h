/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test bench around the offloading machine alone: memory, direct or simulated, a port with
 * services, and a sink that plays the network: it keeps what is posted, carries it out in order
 * when the test (or a random number) says so, and has as much room as the test gives it.
 */
#ifndef FNS_TEST_OFFLOAD_BENCH_H
#define FNS_TEST_OFFLOAD_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "offload/offload.h"

#define BENCH_MEM   (1u << 20)
#define BENCH_OUT   (1u << 20)
#define BENCH_POSTS 256u
#define BENCH_VA    0x7000000000ull /* of the caller's buffer */
#define BENCH_RKEY  0x1234u

struct bench_post {
	struct fns_offload_call *call;
	bool send, mem;
	struct fns_offload_piece piece[FNS_OFFLOAD_PIECES];
	unsigned n;
	uint8_t data[FNS_OFFLOAD_DATA];
	const void *bytes;
	uint32_t len;
	uint64_t va;
};

struct bench {
	struct fns_offload_sink sink; /* first */
	struct fns_offload_port port;
	struct fns_offload *o;
	struct fns_mem *mem;
	struct fns_dma *dma;
	struct fns_pd pd, other_pd;
	struct fns_mr *mr, *readonly, *foreign;
	uint64_t now;
	struct fns_rng rng;
	uint8_t *m; /* BENCH_MEM bytes, under all three keys */
	uint8_t out[BENCH_OUT];
	struct bench_post post[BENCH_POSTS];
	unsigned head, tail, room;
	uint64_t writes, written;
	/* The last reply. */
	unsigned replies;
	struct fns_offload_reply r;
	uint8_t payload[FNS_OFFLOAD_MAX_REPLY];
};

static bool bench_room(const struct fns_offload_sink *s)
{
	const struct bench *b = (const struct bench *)s;

	return b->tail - b->head < b->room;
}

static struct bench_post *bench_next(struct fns_offload_sink *s, struct fns_offload_call *c)
{
	struct bench *b = (struct bench *)s;
	struct bench_post *p = &b->post[b->tail % BENCH_POSTS];

	assert_true(bench_room(s));
	memset(p, 0, sizeof(*p));
	p->call = c;
	b->tail++;
	return p;
}

static void bench_write_mem(struct fns_offload_sink *s, struct fns_offload_call *c,
	const struct fns_offload_piece *piece, unsigned n, uint64_t va, uint32_t rkey)
{
	struct bench_post *p = bench_next(s, c);

	assert_int_equal(rkey, BENCH_RKEY);
	assert_in_range(n, 1, FNS_OFFLOAD_PIECES);
	p->mem = true;
	p->n = n;
	memcpy(p->piece, piece, n * sizeof(*piece));
	p->va = va;
}

static void bench_write(struct fns_offload_sink *s, struct fns_offload_call *c, const void *bytes,
	uint32_t len, uint64_t va, uint32_t rkey)
{
	struct bench_post *p = bench_next(s, c);

	assert_int_equal(rkey, BENCH_RKEY);
	assert_in_range(len, 1, FNS_OFFLOAD_DATA);
	memcpy(p->data, bytes, len);
	p->len = len;
	p->va = va;
}

static void bench_send(
	struct fns_offload_sink *s, struct fns_offload_call *c, const void *bytes, uint32_t len)
{
	struct bench_post *p = bench_next(s, c);

	p->send = true;
	p->bytes = bytes;
	p->len = len;
}

static const struct fns_offload_sink_ops bench_ops = {
	.room = bench_room, .write_mem = bench_write_mem, .write = bench_write, .send = bench_send};

static void bench_to_out(struct bench *b, uint64_t va, const void *from, uint32_t len)
{
	assert_true(
		va >= BENCH_VA && va - BENCH_VA <= BENCH_OUT && len <= BENCH_OUT - (va - BENCH_VA));
	memcpy(b->out + (va - BENCH_VA), from, len);
	b->written += len;
}

/* The oldest thing posted takes effect and is over. */
static void bench_deliver(struct bench *b)
{
	struct bench_post *p = &b->post[b->head % BENCH_POSTS];
	uint64_t va = p->va;

	assert_int_not_equal(b->head, b->tail);
	if (p->send) {
		memcpy(&b->r, p->bytes, sizeof(b->r));
		assert_int_equal(p->len, sizeof(b->r) + b->r.len);
		memcpy(b->payload, (const uint8_t *)p->bytes + sizeof(b->r), b->r.len);
		b->replies++;
	} else if (p->mem) {
		b->writes++;
		for (unsigned i = 0; i < p->n; i++) {
			bench_to_out(
				b, va, (const void *)(uintptr_t)p->piece[i].addr, p->piece[i].len);
			va += p->piece[i].len;
		}
	} else {
		bench_to_out(b, va, p->data, p->len);
	}
	b->head++;
	fns_offload_sent(b->o, p->call);
}

static struct bench *bench_create(uint64_t seed, bool sim, uint32_t fail_ppm)
{
	const struct fns_dma_sim_cfg cfg = {
		.seed = seed, .min_ns = 100, .max_ns = 5000, .fail_ppm = fail_ppm};
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	fns_rng_seed(&b->rng, seed);
	b->dma = sim ? fns_dma_sim_create(&cfg) : fns_dma_direct_create();
	b->mem = fns_mem_create(b->dma, seed);
	b->m = aligned_alloc(4096, BENCH_MEM);
	assert_non_null(b->m);
	memset(b->m, 0, BENCH_MEM);
	b->pd.handle = 1;
	b->other_pd.handle = 2;
	assert_int_equal(0, fns_mr_create(b->mem, &b->pd, (uintptr_t)b->m, BENCH_MEM,
				    (uintptr_t)b->m, FNS_ACCESS_LOCAL_WRITE, &b->mr));
	assert_int_equal(0, fns_mr_create(b->mem, &b->pd, (uintptr_t)b->m, BENCH_MEM,
				    (uintptr_t)b->m, 0, &b->readonly));
	assert_int_equal(0, fns_mr_create(b->mem, &b->other_pd, (uintptr_t)b->m, BENCH_MEM,
				    (uintptr_t)b->m, FNS_ACCESS_LOCAL_WRITE, &b->foreign));
	b->o = fns_offload_create(b->mem, b->dma, &b->now);
	assert_non_null(b->o);
	fns_offload_port_init(&b->port);
	fns_offload_sink_init(&b->sink, &bench_ops, &b->pd);
	b->room = 32;
	return b;
}

static void bench_destroy(struct bench *b)
{
	fns_offload_destroy(b->o);
	fns_mem_destroy(b->mem);
	b->dma->ops->destroy(b->dma);
	free(b->m);
	free(b);
}

/* Region 0 is all of the memory, with all rights. */
static struct fns_offload_binding bench_binding(
	const struct bench *b, uint32_t service, const char *handler)
{
	struct fns_offload_binding x = {.size = sizeof(x), .service = service, .nregions = 1};

	strcpy(x.handler, handler);
	x.region[0] = (struct fns_offload_region){
		.addr = (uintptr_t)b->m, .len = BENCH_MEM, .key = b->mr->key, .rights = 7};
	return x;
}

static void bench_bind(struct bench *b, struct fns_offload_binding x)
{
	assert_true(fns_offload_binding_check(&x) > 0);
	assert_int_equal(0, fns_offload_bind(b->o, &b->port, &b->pd, &x));
}

/* One step of everything but the network. */
static void bench_move(struct bench *b)
{
	fns_offload_run(b->o);
	if (b->dma->ops->caps.completes_inline) {
		b->now += 1000;
		return;
	}
	b->now = FNS_MAX(b->now + 1, FNS_MIN(b->dma->ops->next(b->dma), b->now + 1000));
	b->dma->ops->poll(b->dma, b->now);
}

/* Sends a request, args in random packets; false: refused for now. */
static bool bench_request(struct bench *b, uint32_t service, const void *args, uint32_t len,
	uint32_t out_len, struct fns_offload_call **out)
{
	struct fns_offload_request h = {.magic = FNS_OFFLOAD_MAGIC,
		.service = service,
		.tag = 77,
		.out_addr = out_len ? BENCH_VA : 0,
		.out_rkey = BENCH_RKEY,
		.out_len = out_len};
	uint32_t all = (uint32_t)sizeof(h) + len, at = 0;
	struct fns_offload_call *c;
	uint8_t *msg = malloc(all);

	memcpy(msg, &h, sizeof(h));
	if (len)
		memcpy(msg + sizeof(h), args, len);
	if (fns_offload_begin(b->o, &b->port, &b->sink, msg, all, &c) != FNS_OFFLOAD_TAKE) {
		free(msg);
		return false;
	}
	while (at < all) {
		uint32_t n =
			at == 0 ? FNS_MIN(all, 256u) : 1 + (uint32_t)fns_rng_below(&b->rng, 4096);

		n = FNS_MIN(n, all - at);
		fns_offload_receive(c, msg + at, n);
		at += n;
	}
	free(msg);
	fns_offload_start(b->o, c);
	if (out)
		*out = c;
	return true;
}

/* Until there is one more reply. */
static void bench_wait(struct bench *b)
{
	unsigned had = b->replies;

	for (unsigned i = 0; b->replies == had; i++) {
		assert_true(i < 10000000);
		bench_move(b);
		if (b->head != b->tail && fns_rng_below(&b->rng, 3) == 0)
			bench_deliver(b);
	}
}

static void bench_call(
	struct bench *b, uint32_t service, const void *args, uint32_t len, uint32_t out_len)
{
	assert_true(bench_request(b, service, args, len, out_len, NULL));
	bench_wait(b);
	assert_int_equal(b->r.magic, FNS_OFFLOAD_MAGIC);
	assert_int_equal(b->r.service, service);
	assert_int_equal(b->r.tag, 77);
}

#endif
