/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: what each action does and what it is refused for, budgets, waiting for room and for
 * memory, cancelling at any time, replacement while calls run, hostile bindings and requests.
 * Handlers here are native and do what the request tells them.
 */
#include <errno.h>

#include "offload_bench.h"

/* Arguments are a script: count, then actions. Word 0 of the state is how far it is. */
struct act_wire {
	uint64_t kind, addr, to, swap, compare, value;
	uint32_t region, len, at, code;
};

static uint64_t script(struct fns_offload_ctx *x)
{
	struct act_wire a;

	if (x->state[1] == 0 && x->state[0] > 0 && x->args_at != x->state[0] * sizeof(a)) {
		x->act.at = (uint32_t)(x->state[0] * sizeof(a));
		return FNS_OFFLOAD_SEE_ARGS;
	}
	memcpy(&a, x->args, sizeof(a));
	x->state[0]++;
	x->act = (struct fns_offload_act){.addr = a.addr,
		.to = a.to,
		.swap = a.swap,
		.compare = a.compare,
		.value = a.value ? a.value : x->value,
		.region = a.region,
		.len = a.len,
		.at = a.at,
		.code = a.code};
	return a.kind;
}

static uint64_t for_ever(struct fns_offload_ctx *x)
{
	x->act.at = 0;
	return FNS_OFFLOAD_SEE_ARGS;
}

static uint64_t one(struct fns_offload_ctx *x)
{
	x->act.value = 1;
	return x->step < 100 ? for_ever(x) : FNS_OFFLOAD_DONE;
}

static uint64_t two(struct fns_offload_ctx *x)
{
	x->act.value = 2;
	return x->step < 100 ? for_ever(x) : FNS_OFFLOAD_DONE;
}

static void load(struct bench *b, const char *name, uint64_t (*step)(struct fns_offload_ctx *))
{
	const struct fns_offload_native n = {.name = name, .step = step};

	assert_int_equal(0, fns_offload_handler_set(b->o, name, fns_offload_program_native(&n)));
}

/* With the script handler under service 1, all of the memory as region 0, read-only, foreign and
 * the first page as 1, 2, 3. */
static struct bench *scripted(bool sim)
{
	struct bench *b = bench_create(1, sim, 0);
	struct fns_offload_binding x = bench_binding(b, 1, "script");

	load(b, "script", script);
	x.nregions = 4;
	x.region[1] = (struct fns_offload_region){(uintptr_t)b->m, BENCH_MEM, b->readonly->key, 7};
	x.region[2] = (struct fns_offload_region){(uintptr_t)b->m, BENCH_MEM, b->foreign->key, 7};
	x.region[3] =
		(struct fns_offload_region){(uintptr_t)b->m, 4096, b->mr->key, FNS_OFFLOAD_READ};
	bench_bind(b, x);
	for (unsigned i = 0; i < BENCH_MEM; i++)
		b->m[i] = (uint8_t)fns_rng_u64(&b->rng);
	return b;
}

/* One action; then done, with code 5. */
static uint32_t try(struct bench *b, struct act_wire a, uint32_t out_len)
{
	const struct act_wire all[2] = {a, {.kind = FNS_OFFLOAD_DONE, .code = 5}};

	bench_call(b, 1, all, sizeof(all), out_len);
	if (b->r.status == FNS_OFFLOAD_OK)
		assert_int_equal(b->r.code, 5);
	else
		assert_int_equal(b->r.len, 0);
	return b->r.status;
}

static void actions(bool sim)
{
	struct bench *b = scripted(sim);
	uint64_t m = (uintptr_t)b->m, v;

	/* EMIT_MEM */
	assert_int_equal(FNS_OFFLOAD_OK,
		try(b, (struct act_wire){FNS_OFFLOAD_EMIT_MEM, .addr = m + 100, .len = 3000}, 0));
	assert_int_equal(b->r.len, 3000);
	assert_memory_equal(b->payload, b->m + 100, 3000);
	assert_int_equal(FNS_OFFLOAD_NO_ROOM,
		try(b, (struct act_wire){FNS_OFFLOAD_EMIT_MEM, .addr = m, .len = 8192}, 0));
	/* WRITE_MEM */
	assert_int_equal(FNS_OFFLOAD_OK, try(b,
						 (struct act_wire){FNS_OFFLOAD_WRITE_MEM,
							 .addr = m + 7, .len = 5000, .to = 9},
						 5009));
	assert_memory_equal(b->out + 9, b->m + 7, 5000);
	assert_int_equal(b->r.written, 5000);
	assert_int_equal(FNS_OFFLOAD_NO_ROOM, try(b,
						      (struct act_wire){FNS_OFFLOAD_WRITE_MEM,
							      .addr = m + 7, .len = 5000, .to = 9},
						      5008));
	assert_int_equal(
		FNS_OFFLOAD_NO_ROOM, try(b,
					     (struct act_wire){FNS_OFFLOAD_WRITE_MEM, .addr = m,
						     .len = 8, .to = UINT64_MAX - 3},
					     5008));
	/* STORE_ARGS */
	assert_int_equal(FNS_OFFLOAD_OK, try(b,
						 (struct act_wire){FNS_OFFLOAD_STORE_ARGS,
							 .addr = m + 50, .len = 16, .at = 0},
						 0));
	v = FNS_OFFLOAD_STORE_ARGS;
	assert_memory_equal(b->m + 50, &v, 8);
	assert_int_equal(FNS_OFFLOAD_BAD_ACTION,
		try(b,
			(struct act_wire){FNS_OFFLOAD_STORE_ARGS, .addr = m, .len = 16,
				.at = 2 * sizeof(struct act_wire) - 15},
			0));
	/* atomics */
	memset(b->m + 64, 0, 8);
	b->m[64] = 5;
	assert_int_equal(FNS_OFFLOAD_OK,
		try(b, (struct act_wire){FNS_OFFLOAD_ATOMIC_ADD, .addr = m + 64, .swap = 3}, 0));
	assert_int_equal(b->r.value, 5);
	assert_int_equal(b->m[64], 8);
	assert_int_equal(FNS_OFFLOAD_OK, try(b,
						 (struct act_wire){FNS_OFFLOAD_ATOMIC_CAS,
							 .addr = m + 64, .swap = 1, .compare = 9},
						 0));
	assert_int_equal(b->m[64], 8);
	assert_int_equal(FNS_OFFLOAD_OK, try(b,
						 (struct act_wire){FNS_OFFLOAD_ATOMIC_CAS,
							 .addr = m + 64, .swap = 1, .compare = 8},
						 0));
	assert_int_equal(b->r.value, 8);
	assert_int_equal(b->m[64], 1);
	assert_int_equal(FNS_OFFLOAD_ACCESS,
		try(b, (struct act_wire){FNS_OFFLOAD_ATOMIC_ADD, .addr = m + 65, .swap = 3}, 0));
	/* FETCH into, EMIT, WRITE and STORE out of data: bounds */
	assert_int_equal(FNS_OFFLOAD_OK,
		try(b, (struct act_wire){FNS_OFFLOAD_FETCH, .addr = m, .len = 1024}, 0));
	for (unsigned i = 0; i < 4; i++) {
		static const uint64_t kinds[] = {
			FNS_OFFLOAD_FETCH, FNS_OFFLOAD_EMIT, FNS_OFFLOAD_WRITE, FNS_OFFLOAD_STORE};

		assert_int_equal(FNS_OFFLOAD_BAD_ACTION,
			try(b, (struct act_wire){kinds[i], .addr = m, .len = 1024, .at = 1}, 4096));
		assert_int_equal(FNS_OFFLOAD_BAD_ACTION,
			try(b, (struct act_wire){kinds[i], .addr = m, .len = 2, .at = UINT32_MAX},
				4096));
		assert_int_equal(FNS_OFFLOAD_OK,
			try(b, (struct act_wire){kinds[i], .addr = m, .len = 4, .at = 1020}, 4096));
	}
	/* sums: of what comes out of the CRC catalogue */
	assert_int_equal(
		FNS_OFFLOAD_OK, try(b, (struct act_wire){FNS_OFFLOAD_SUM_ARGS, .len = 0}, 0));
	assert_int_equal(b->r.value, 0);
	assert_int_equal(FNS_OFFLOAD_BAD_ACTION,
		try(b, (struct act_wire){FNS_OFFLOAD_SUM_ARGS, .len = 1000}, 0));
	assert_int_equal(FNS_OFFLOAD_BAD_ACTION,
		try(b, (struct act_wire){FNS_OFFLOAD_SUM_REPLY, .len = 1}, 0));
	/* nonsense */
	assert_int_equal(FNS_OFFLOAD_BAD_ACTION, try(b, (struct act_wire){0}, 0));
	assert_int_equal(FNS_OFFLOAD_BAD_ACTION, try(b, (struct act_wire){99}, 0));
	assert_int_equal(FNS_OFFLOAD_BAD_ACTION,
		try(b, (struct act_wire){(1ull << 32) + FNS_OFFLOAD_FETCH}, 0));
	assert_int_equal(FNS_OFFLOAD_BAD_ACTION,
		try(b, (struct act_wire){FNS_OFFLOAD_SEE_ARGS, .at = 5000}, 0));
	bench_destroy(b);
}

static void test_actions(void **state)
{
	actions(false);
	actions(true);
}

/* Keys, domains, bounds, rights: each with every action that touches memory. */
static void test_access(void **state)
{
	static const uint64_t reads[] = {
		FNS_OFFLOAD_FETCH, FNS_OFFLOAD_EMIT_MEM, FNS_OFFLOAD_WRITE_MEM};
	static const uint64_t writes[] = {FNS_OFFLOAD_STORE, FNS_OFFLOAD_STORE_ARGS,
		FNS_OFFLOAD_ATOMIC_ADD, FNS_OFFLOAD_ATOMIC_CAS};
	struct bench *b = scripted(true);
	uint64_t m = (uintptr_t)b->m;
	uint8_t *was = malloc(BENCH_MEM);

	memcpy(was, b->m, BENCH_MEM);
	for (unsigned i = 0; i < 7; i++) {
		uint64_t kind = i < 3 ? reads[i] : writes[i - 3];
		struct act_wire a = {kind, .addr = m, .len = 8};
		bool reading = i < 3;

#define EXPECT(want, ...)                                                                          \
	do {                                                                                       \
		struct act_wire b_ = a;                                                            \
		__VA_ARGS__;                                                                       \
		assert_int_equal(want, try(b, b_, 4096));                                          \
	} while (0)
		EXPECT(FNS_OFFLOAD_ACCESS, b_.region = 4);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.region = UINT32_MAX);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.region = 2); /* of another domain */
		EXPECT(reading ? FNS_OFFLOAD_OK : FNS_OFFLOAD_ACCESS, b_.region = 1);
		EXPECT(reading ? FNS_OFFLOAD_OK : FNS_OFFLOAD_ACCESS, b_.region = 3);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.addr = m - 8);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.addr = 0);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.addr = UINT64_MAX - 7);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.addr = m + BENCH_MEM);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.addr = m + BENCH_MEM - 4, b_.len = 8);
		EXPECT(FNS_OFFLOAD_ACCESS, b_.region = 3, b_.addr = m + 4096 - 4);
		if (reading)
			EXPECT(FNS_OFFLOAD_OK, b_.addr = m + BENCH_MEM - 8);
#undef EXPECT
	}
	assert_memory_equal(was, b->m, BENCH_MEM);
	/* The key's own bounds and life hold, whatever the binding says. */
	assert_int_equal(0, fns_mr_destroy(b->mem, b->mr));
	assert_int_equal(FNS_OFFLOAD_ACCESS,
		try(b, (struct act_wire){FNS_OFFLOAD_FETCH, .addr = m, .len = 8}, 0));
	free(was);
	bench_destroy(b);
}

static void test_requests(void **state)
{
	struct bench *b = scripted(false);
	struct fns_offload_binding x = bench_binding(b, 2, "script");
	struct fns_offload_request h = {.magic = FNS_OFFLOAD_MAGIC, .service = 1};
	struct fns_offload_call *c;
	uint8_t big[8192] = {0};

	/* Not for us. */
	assert_int_equal(FNS_OFFLOAD_PASS,
		fns_offload_begin(b->o, &b->port, &b->sink, &h, sizeof(h) - 1, &c));
	h.magic++;
	assert_int_equal(
		FNS_OFFLOAD_PASS, fns_offload_begin(b->o, &b->port, &b->sink, &h, sizeof(h), &c));
	/* No such service. */
	bench_call(b, 9, big, 100, 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_NO_SERVICE);
	/* Longer than the binding allows, by one byte and by many. */
	bench_call(b, 1, big, 4096 - 32 + 1, 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_TOO_LONG);
	bench_call(b, 1, big, sizeof(big), 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_TOO_LONG);
	bench_call(b, 1, big, 4096 - 32, 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_BAD_ACTION);
	/* A buffer that wraps. */
	h = (struct fns_offload_request){.magic = FNS_OFFLOAD_MAGIC,
		.service = 1,
		.out_addr = UINT64_MAX - 10,
		.out_len = 100};
	assert_int_equal(
		FNS_OFFLOAD_TAKE, fns_offload_begin(b->o, &b->port, &b->sink, &h, sizeof(h), &c));
	fns_offload_receive(c, &h, sizeof(h));
	fns_offload_start(b->o, c);
	bench_wait(b);
	assert_int_equal(b->r.status, FNS_OFFLOAD_MALFORMED);
	/* As many as may be at a time. */
	x.depth = 2;
	bench_bind(b, x);
	assert_true(bench_request(b, 2, big, 8, 0, NULL));
	assert_true(bench_request(b, 2, big, 8, 0, NULL));
	assert_false(bench_request(b, 2, big, 8, 0, NULL));
	bench_wait(b);
	assert_true(bench_request(b, 2, big, 8, 0, NULL));
	bench_wait(b);
	bench_wait(b);
	bench_destroy(b);
}

static void test_bindings(void **state)
{
	struct bench *b = bench_create(1, false, 0);
	const struct fns_offload_binding good = bench_binding(b, 1, "list-walk");
	struct fns_offload_binding x;

#define BAD(...)                                                                                   \
	do {                                                                                       \
		x = good;                                                                          \
		__VA_ARGS__;                                                                       \
		assert_int_equal(0, fns_offload_binding_check(&x));                                \
	} while (0)
	BAD(x.size--);
	BAD(x.zero = 1);
	BAD(x.nregions = 5);
	BAD(x.depth = FNS_OFFLOAD_MAX_DEPTH + 1);
	BAD(x.max_request = 31);
	BAD(x.max_request = FNS_OFFLOAD_MAX_REQUEST + 1);
	BAD(x.max_reply = 47);
	BAD(x.max_reply = FNS_OFFLOAD_MAX_REPLY + 1);
	BAD(x.depth = 256, x.max_request = FNS_OFFLOAD_MAX_REQUEST);
	BAD(x.region[0].len = UINT64_MAX);
	BAD(x.region[0].rights = 8);
	BAD(memset(x.handler, 'a', sizeof(x.handler)));
#undef BAD
	x = good;
	strcpy(x.handler, "no-such");
	assert_true(fns_offload_binding_check(&x));
	assert_int_equal(-ENOENT, fns_offload_bind(b->o, &b->port, &b->pd, &x));
	for (uint32_t i = 0; i < FNS_OFFLOAD_SERVICES; i++)
		bench_bind(b, bench_binding(b, i, "list-walk"));
	x = bench_binding(b, 99, "list-walk");
	assert_true(fns_offload_binding_check(&x));
	assert_int_equal(-ENOSPC, fns_offload_bind(b->o, &b->port, &b->pd, &x));
	bench_bind(b, bench_binding(b, 3, "gather")); /* in the place of another */
	assert_int_equal(-EBUSY, fns_offload_handler_remove(b->o, "list-walk"));
	assert_int_equal(-ENOENT, fns_offload_unbind(b->o, &b->port, 99));
	for (uint32_t i = 0; i < FNS_OFFLOAD_SERVICES; i++)
		assert_int_equal(0, fns_offload_unbind(b->o, &b->port, i));
	assert_int_equal(0, fns_offload_handler_remove(b->o, "list-walk"));
	assert_int_equal(-ENOENT, fns_offload_handler_remove(b->o, "list-walk"));
	assert_int_equal(-EINVAL, fns_offload_handler_set(b->o, "", NULL));
	assert_int_equal(-EINVAL, fns_offload_handler_set(b->o, "Upper", NULL));
	bench_destroy(b);
}

static void test_budgets(void **state)
{
	struct bench *b = bench_create(1, false, 0);
	struct fns_offload_binding x = bench_binding(b, 1, "ever");
	struct fns_offload_handler *h;
	struct act_wire a[3] = {{FNS_OFFLOAD_EMIT_MEM, .addr = (uintptr_t)b->m, .len = 600},
		{FNS_OFFLOAD_EMIT_MEM, .addr = (uintptr_t)b->m, .len = 400}, {FNS_OFFLOAD_DONE}};

	load(b, "ever", for_ever);
	load(b, "script", script);
	x.max_steps = 1000;
	bench_bind(b, x);
	bench_call(b, 1, NULL, 0, 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_STEPS);
	assert_int_equal(b->r.steps, 1000);
	/* In turns: two of them go on at the same pace, and nothing runs for long. */
	assert_true(bench_request(b, 1, NULL, 0, 0, NULL));
	assert_true(bench_request(b, 1, NULL, 0, 0, NULL));
	assert_in_range(fns_offload_run(b->o), FNS_OFFLOAD_RUN_STEPS, FNS_OFFLOAD_RUN_STEPS + 80);
	assert_int_equal(b->tail, b->head);
	bench_wait(b);
	bench_wait(b);
	/* time */
	x.service = 2;
	x.max_steps = UINT32_MAX;
	x.max_ns = 50000;
	bench_bind(b, x);
	bench_call(b, 2, NULL, 0, 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_TIME);
	assert_in_range(b->now, 50000, 200000);
	/* bytes */
	x = bench_binding(b, 3, "script");
	x.max_bytes = 1000;
	bench_bind(b, x);
	bench_call(b, 3, a, sizeof(a), 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_OK);
	assert_int_equal(b->r.len, 1000);
	a[1].len = 401;
	bench_call(b, 3, a, sizeof(a), 0);
	assert_int_equal(b->r.status, FNS_OFFLOAD_BYTES);
	h = fns_offload_handler_find(b->o, "ever");
	assert_int_equal(h->count.requests, 4);
	assert_int_equal(h->count.by_status[FNS_OFFLOAD_STEPS], 3);
	assert_int_equal(h->count.by_status[FNS_OFFLOAD_TIME], 1);
	assert_true(h->count.steps >= 3000);
	bench_destroy(b);
}

/* Calls that run keep their program; new ones get the new one; the old one goes with its last. */
static void test_replacement(void **state)
{
	struct bench *b = bench_create(1, false, 0);
	unsigned got = 0;

	load(b, "h", one);
	bench_bind(b, bench_binding(b, 1, "h"));
	assert_true(bench_request(b, 1, NULL, 0, 0, NULL));
	load(b, "h", two);
	assert_true(bench_request(b, 1, NULL, 0, 0, NULL));
	bench_wait(b);
	got |= 1u << b->r.value;
	bench_wait(b);
	got |= 1u << b->r.value;
	assert_int_equal(got, 6);
	assert_int_equal(fns_offload_handler_find(b->o, "h")->count.loads, 2);
	bench_destroy(b);
}

/* The queue pair ends at any moment: nothing is posted any more, all calls come back. */
static void test_cancel(void **state)
{
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct bench *b = bench_create(seed, true, 0);
		struct fns_offload_binding x = bench_binding(b, 1, "script");
		uint64_t m = (uintptr_t)b->m;
		const struct act_wire a[] = {{FNS_OFFLOAD_FETCH, .addr = m, .len = 100},
			{FNS_OFFLOAD_WRITE, .len = 100},
			{FNS_OFFLOAD_WRITE_MEM, .addr = m, .len = 9},
			{FNS_OFFLOAD_EMIT_MEM, .addr = m, .len = 1000},
			{FNS_OFFLOAD_STORE, .addr = m, .len = 100}, {FNS_OFFLOAD_DONE}};
		struct fns_offload_handler *h;
		unsigned n = (unsigned)fns_rng_below(&b->rng, 120);
		struct fns_offload_request head = {.magic = FNS_OFFLOAD_MAGIC, .service = 1};
		struct fns_offload_call *c;
		bool unbind = fns_rng_below(&b->rng, 2);

		load(b, "script", script);
		x.depth = 8;
		bench_bind(b, x);
		b->room = 1 + (unsigned)fns_rng_below(&b->rng, 4);
		for (unsigned i = 0; i < 7; i++)
			assert_true(bench_request(b, 1, a, sizeof(a), 4096, NULL));
		assert_int_equal(FNS_OFFLOAD_TAKE,
			fns_offload_begin(b->o, &b->port, &b->sink, &head, sizeof(head), &c));
		for (unsigned i = 0; i < n; i++) {
			bench_move(b);
			if (b->head != b->tail && fns_rng_below(&b->rng, 3) == 0)
				bench_deliver(b);
		}
		h = fns_offload_handler_find(b->o, "script");
		if (unbind)
			assert_int_equal(0, fns_offload_unbind(b->o, &b->port, 1));
		/* Work requests are flushed before or after. */
		if (fns_rng_below(&b->rng, 2))
			while (b->head != b->tail)
				fns_offload_sent(b->o, b->post[b->head++ % BENCH_POSTS].call);
		n = b->tail;
		fns_offload_cancel(b->o, &b->sink);
		while (b->head != b->tail)
			fns_offload_sent(b->o, b->post[b->head++ % BENCH_POSTS].call);
		for (unsigned i = 0; i < 100; i++)
			bench_move(b);
		assert_int_equal(n, b->tail);
		assert_int_equal(h->count.running, 0);
		assert_int_equal(b->mr->region->users, 0);
		fns_offload_port_clear(b->o, &b->port);
		assert_int_equal(0, fns_offload_handler_remove(b->o, "script"));
		bench_destroy(b);
	}
}

static struct fns_rng wild_rng;
static uint64_t wild_base;

/* Scribbles over its whole context and asks for anything, now and then for something sensible. */
static uint64_t wild(struct fns_offload_ctx *x)
{
	uint64_t *word = (uint64_t *)x;

	for (unsigned i = 0; i < sizeof(*x) / 8; i++)
		if (fns_rng_below(&wild_rng, 4) == 0)
			word[i] = fns_rng_u64(&wild_rng);
	if (fns_rng_below(&wild_rng, 8)) {
		x->act.region = (uint32_t)fns_rng_below(&wild_rng, 3);
		x->act.addr = wild_base + fns_rng_below(&wild_rng, 20000);
		x->act.len = (uint32_t)fns_rng_below(&wild_rng, 1200);
		x->act.at = (uint32_t)fns_rng_below(&wild_rng, 600);
		x->act.to = fns_rng_below(&wild_rng, 6000);
	}
	return fns_rng_below(&wild_rng, 40) ? 3 + fns_rng_below(&wild_rng, 13)
					    : fns_rng_u64(&wild_rng);
}

/* Whatever a handler does, there is an answer, and nothing outside its region and the caller's
 * buffer is written to. */
static void test_wild(void **state)
{
	unsigned by_status[FNS_OFFLOAD_STATUSES] = {0};
	uint8_t *was = malloc(BENCH_MEM), args[3000];

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct bench *b = bench_create(seed, seed % 2, 0);
		struct fns_offload_binding x = bench_binding(b, 1, "wild");

		fns_rng_seed(&wild_rng, seed);
		wild_base = (uintptr_t)b->m + 4096;
		load(b, "wild", wild);
		x.region[0].addr += 8192;
		x.region[0].len = 8192;
		x.max_steps = 300;
		bench_bind(b, x);
		for (unsigned i = 0; i < BENCH_MEM; i++)
			b->m[i] = (uint8_t)fns_rng_u64(&b->rng);
		memcpy(was, b->m, BENCH_MEM);
		memset(b->out, 0xee, sizeof(b->out));
		for (unsigned i = 0; i < 100; i++) {
			uint32_t n = (uint32_t)fns_rng_below(&b->rng, sizeof(args));

			b->room = 1 + (unsigned)fns_rng_below(&b->rng, 5);
			for (uint32_t k = 0; k < n; k++)
				args[k] = (uint8_t)fns_rng_u64(&b->rng);
			bench_call(b, 1, args, n, 5000);
			assert_in_range(b->r.status, 0, FNS_OFFLOAD_STATUSES - 1);
			by_status[b->r.status]++;
		}
		assert_memory_equal(b->m, was, 8192);
		assert_memory_equal(b->m + 16384, was + 16384, BENCH_MEM - 16384);
		for (unsigned i = 5000; i < BENCH_OUT; i++)
			assert_int_equal(b->out[i], 0xee);
		assert_int_equal(b->mr->region->users, 0);
		bench_destroy(b);
	}
	assert_true(by_status[FNS_OFFLOAD_ACCESS] && by_status[FNS_OFFLOAD_NO_ROOM] &&
		    by_status[FNS_OFFLOAD_BAD_ACTION]);
	free(was);
}

/* Memory that fails now and then: an answer all the same, and nothing is left behind. */
static void test_faults(void **state)
{
	struct bench *b = bench_create(5, true, 200000);
	uint64_t m = (uintptr_t)b->m;
	const struct act_wire a[] = {{FNS_OFFLOAD_FETCH, .addr = m, .len = 100},
		{FNS_OFFLOAD_STORE, .addr = m, .len = 100},
		{FNS_OFFLOAD_ATOMIC_ADD, .addr = m, .swap = 1}, {FNS_OFFLOAD_DONE}};
	unsigned ok = 0, fault = 0;

	load(b, "script", script);
	bench_bind(b, bench_binding(b, 1, "script"));
	for (unsigned i = 0; i < 300; i++) {
		bench_call(b, 1, a, sizeof(a), 0);
		ok += b->r.status == FNS_OFFLOAD_OK;
		fault += b->r.status == FNS_OFFLOAD_FAULT;
	}
	assert_int_equal(ok + fault, 300);
	assert_in_range(ok, 100, 220);
	assert_int_equal(b->mr->region->users, 0);
	bench_destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_replacement),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_wild),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
