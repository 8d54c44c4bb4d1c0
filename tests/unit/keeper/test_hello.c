/* SPDX-License-Identifier: Apache-2.0 */
/* The hello: keepers find each other over a lossy network made of an array, others are found out,
 * and forged packets teach nothing. Time is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "keeper/hello.h"

#define MS  FNS_NSEC_PER_MSEC
#define SEC FNS_NSEC_PER_SEC

struct sent {
	struct fns_gid local, remote;
	uint32_t ifindex;
	uint8_t mad[FNS_MAD_LEN];
};

/* One keeper, and what it sent. */
struct host {
	struct fns_keeper_hellos h;
	struct fns_gid gid;
	struct sent sent[64];
	unsigned n;
};

static void on_send(void *ctx, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN])
{
	struct host *h = ctx;
	struct sent *s = &h->sent[h->n++ % FNS_ARRAY_SIZE(h->sent)];

	s->local = *local;
	s->remote = *remote;
	s->ifindex = ifindex;
	memcpy(s->mad, mad, FNS_MAD_LEN);
}

static struct fns_gid gid(uint32_t n)
{
	struct fns_gid g = {{0x20, 0x01, 0x0d, 0xb8}};

	g.b[12] = (uint8_t)(n >> 8);
	g.b[15] = (uint8_t)n;
	return g;
}

static struct host *host(uint8_t n, uint32_t rcvbuf)
{
	struct host *h = calloc(1, sizeof(*h));
	struct fns_hello own = {.version = 1,
		.ext = FNS_HELLO_EXT_CREDIT,
		.icrc = FNS_HELLO_ICRC_STD,
		.rcvbuf = rcvbuf,
		.generation = 1000 + n};

	assert_non_null(h);
	h->gid = gid(n);
	h->h.send = on_send;
	h->h.ctx = h;
	fns_keeper_hello_init(&h->h, &own, n);
	return h;
}

/* Everything that from has sent reaches to. */
static void deliver(struct host *from, struct host *to, uint64_t now)
{
	for (unsigned i = 0; i < from->n; i++) {
		assert_true(fns_gid_equal(&from->sent[i].remote, &to->gid));
		assert_true(fns_keeper_hello_rx(
			&to->h, &to->gid, &from->gid, 0, from->sent[i].mad, true, now));
	}
	from->n = 0;
}

static enum fns_hello_state ask(
	struct host *a, const struct fns_gid *remote, uint64_t now, struct fns_hello *out)
{
	return fns_keeper_hello_ask(&a->h, &a->gid, remote, 0, now, out);
}

static void recognise(void **state)
{
	struct host *a = host(1, 100000), *b = host(2, 70000);
	struct fns_hello got = {0};
	uint64_t now = 5;

	(void)state;
	assert_int_equal(ask(a, &b->gid, now, &got), FNS_HELLO_UNKNOWN);
	assert_int_equal(a->n, 1);
	assert_int_equal(ask(a, &b->gid, now, &got), FNS_HELLO_UNKNOWN); /* no second question */
	assert_int_equal(a->n, 1);
	deliver(a, b, now);
	assert_int_equal(b->n, 1); /* an answer, and no question: a request teaches nothing */
	deliver(b, a, now);
	assert_int_equal(ask(a, &b->gid, now, &got), FNS_HELLO_FLEXINS);
	assert_int_equal(got.rcvbuf, 70000);
	assert_int_equal(got.ext, FNS_HELLO_EXT_CREDIT);
	assert_int_equal(got.icrc, FNS_HELLO_ICRC_STD);
	assert_true(got.generation == 1002);
	assert_int_equal(a->n + b->n, 0);
	assert_true(a->h.asking == 0);
	/* Remembered for a while, then asked anew. */
	assert_int_equal(ask(a, &b->gid, now + 59 * SEC, &got), FNS_HELLO_FLEXINS);
	assert_int_equal(a->n, 0);
	assert_int_equal(ask(a, &b->gid, now + 61 * SEC, &got), FNS_HELLO_UNKNOWN);
	assert_int_equal(a->n, 1);
	free(a);
	free(b);
}

/* The interface is part of an address only where the address says nothing without it. */
static void scopes(void **state)
{
	const struct fns_gid ll = {{0xfe, 0x80, [15] = 2}};
	struct host *a = host(1, 1), *b = host(2, 2);
	struct fns_hello got;

	(void)state;
	assert_int_equal(
		fns_keeper_hello_ask(&a->h, &a->gid, &b->gid, 5, 0, &got), FNS_HELLO_UNKNOWN);
	deliver(a, b, 0);
	deliver(b, a, 0);
	assert_int_equal(
		fns_keeper_hello_ask(&a->h, &a->gid, &b->gid, 6, 0, &got), FNS_HELLO_FLEXINS);
	fns_keeper_hello_ask(&a->h, &ll, &ll, 5, 0, &got);
	fns_keeper_hello_ask(&a->h, &ll, &ll, 6, 0, &got);
	assert_int_equal(a->n, 2);
	assert_int_equal(a->sent[0].ifindex, 5);
	assert_int_equal(a->sent[1].ifindex, 6);
	free(a);
	free(b);
}

static void silence(void **state)
{
	struct host *a = host(1, 1), *b = host(2, 2);
	uint64_t now = 0, first = 7;
	struct fns_hello got;
	uint8_t tid[8];

	(void)state;
	assert_int_equal(ask(a, &b->gid, first, &got), FNS_HELLO_UNKNOWN);
	memcpy(tid, a->sent[0].mad + 8, 8);
	for (now = first; now < first + 10 * SEC && a->h.next_ns != UINT64_MAX; now = a->h.next_ns)
		fns_keeper_hello_tick(&a->h, now);
	assert_int_equal(a->n, FNS_KEEPER_HELLO_TRIES);
	for (unsigned i = 1; i < a->n; i++)
		assert_memory_equal(a->sent[i].mad + 8, tid, 8); /* one question, several copies */
	now = first + 600 * MS;
	assert_int_equal(ask(a, &b->gid, now, &got), FNS_HELLO_SILENT);
	assert_int_equal(a->h.asking, 0);
	/* An answer that comes late is as good. */
	a->n = 1;
	deliver(a, b, now);
	deliver(b, a, now + MS);
	assert_int_equal(ask(a, &b->gid, now + MS, &got), FNS_HELLO_FLEXINS);
	assert_int_equal(got.rcvbuf, 2);
	/* Who stays silent is asked again later. */
	assert_int_equal(ask(a, &(struct fns_gid){{0x20, 9}}, now, &got), FNS_HELLO_UNKNOWN);
	fns_keeper_hello_tick(&a->h, now + 40 * MS);
	fns_keeper_hello_tick(&a->h, now + 120 * MS);
	fns_keeper_hello_tick(&a->h, now + 280 * MS);
	assert_int_equal(
		ask(a, &(struct fns_gid){{0x20, 9}}, now + 599 * MS, &got), FNS_HELLO_UNKNOWN);
	fns_keeper_hello_tick(&a->h, now + 600 * MS);
	assert_int_equal(
		ask(a, &(struct fns_gid){{0x20, 9}}, now + 601 * MS, &got), FNS_HELLO_SILENT);
	assert_int_equal(
		ask(a, &(struct fns_gid){{0x20, 9}}, now + 11 * SEC, &got), FNS_HELLO_UNKNOWN);
	free(a);
	free(b);
}

/* As Linux answers what it does not know; its ICRC can be checked less well. */
static void refusal(void **state)
{
	struct host *a = host(1, 1);
	struct fns_gid other = gid(9);
	uint8_t mad[FNS_MAD_LEN];
	struct fns_hello got;

	(void)state;
	assert_int_equal(ask(a, &other, 0, &got), FNS_HELLO_UNKNOWN);
	memcpy(mad, a->sent[0].mad, sizeof(mad));
	mad[3] = FNS_MAD_GET_RESP;
	mad[5] = FNS_MAD_STATUS_UNSUPPORTED;
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &other, 0, mad, false, MS));
	assert_int_equal(ask(a, &other, 2 * MS, &got), FNS_HELLO_STANDARD);
	assert_int_equal(a->n, 1);
	assert_true(a->h.asking == 0);
	free(a);
}

/* What was not asked, or not so, or of somebody else, is not believed. */
static void forgeries(void **state)
{
	struct host *a = host(1, 1), *b = host(2, 2);
	struct fns_gid other = gid(9), multicast = {{0xff, 0x02}};
	uint8_t mad[FNS_MAD_LEN];
	struct fns_hello got;

	(void)state;
	fns_hello_build(mad, FNS_MAD_GET_RESP, 0, &b->h.own);
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, true, 0));
	assert_int_equal(ask(a, &b->gid, 0, &got), FNS_HELLO_UNKNOWN);
	/* A wrong number, another source, another destination, an ICRC in doubt. */
	fns_hello_build(mad, FNS_MAD_GET_RESP, a->h.peer[0].tid ^ 1, &b->h.own);
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, true, 1));
	fns_hello_build(mad, FNS_MAD_GET_RESP, a->h.peer[0].tid, &b->h.own);
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &other, 0, mad, true, 1));
	assert_true(fns_keeper_hello_rx(&a->h, &other, &b->gid, 0, mad, true, 1));
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, false, 1));
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 3, mad, true, 1));
	assert_int_equal(ask(a, &b->gid, 2, &got), FNS_HELLO_UNKNOWN);
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, true, 3));
	assert_int_equal(ask(a, &b->gid, 4, &got), FNS_HELLO_FLEXINS);
	/* A second answer changes nothing any more. */
	mad[55] ^= 1;
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, true, 5));
	mad[3] = FNS_MAD_GET_RESP;
	mad[5] = 0x0c;
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, true, 5));
	assert_int_equal(ask(a, &b->gid, 6, &got), FNS_HELLO_FLEXINS);
	assert_int_equal(got.rcvbuf, 2);
	/* Requests: none to a group, none with a doubtful ICRC, none of another class. */
	a->n = 0;
	fns_hello_build(mad, FNS_MAD_GET, 5, &b->h.own);
	assert_false(fns_keeper_hello_rx(&a->h, &multicast, &b->gid, 0, mad, true, 7));
	assert_false(fns_keeper_hello_rx(&a->h, &a->gid, &multicast, 0, mad, true, 7));
	assert_true(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, false, 7));
	mad[1] = 0x07;
	assert_false(fns_keeper_hello_rx(&a->h, &a->gid, &b->gid, 0, mad, true, 7));
	assert_int_equal(a->n, 0);
	assert_int_equal(
		fns_keeper_hello_ask(&a->h, &a->gid, &multicast, 0, 8, &got), FNS_HELLO_SILENT);
	assert_int_equal(a->n, 0);
	free(a);
	free(b);
}

/* It restarted with other data, and says so by asking us: our next question goes out again. */
static void generations(void **state)
{
	struct host *a = host(1, 1), *b = host(2, 2);
	struct fns_hello got;

	(void)state;
	ask(a, &b->gid, 0, &got);
	deliver(a, b, 0);
	deliver(b, a, 0);
	assert_int_equal(ask(a, &b->gid, 1, &got), FNS_HELLO_FLEXINS);
	/* The same generation asks: nothing new. */
	ask(b, &a->gid, 2 * SEC, &got);
	deliver(b, a, 2 * SEC);
	deliver(a, b, 2 * SEC);
	assert_int_equal(ask(a, &b->gid, 59 * SEC, &got), FNS_HELLO_FLEXINS);
	assert_int_equal(ask(a, &b->gid, 64 * SEC, &got), FNS_HELLO_UNKNOWN);
	deliver(a, b, 64 * SEC);
	deliver(b, a, 64 * SEC);
	b->h.own.generation++;
	b->h.own.rcvbuf = 3;
	assert_int_equal(ask(a, &b->gid, 66 * SEC, &got), FNS_HELLO_FLEXINS);
	assert_int_equal(ask(b, &a->gid, 66 * SEC, &got), FNS_HELLO_UNKNOWN);
	deliver(b, a, 66 * SEC);
	assert_int_equal(ask(a, &b->gid, 66 * SEC, &got), FNS_HELLO_UNKNOWN);
	deliver(a, b, 66 * SEC);
	deliver(b, a, 66 * SEC);
	assert_int_equal(ask(a, &b->gid, 66 * SEC, &got), FNS_HELLO_FLEXINS);
	assert_int_equal(got.rcvbuf, 3);
	free(a);
	free(b);
}

/* A flood of requests gets few answers, of the size of the questions; and leaves others' alone. */
static void no_amplifier(void **state)
{
	struct host *a = host(1, 1);
	struct fns_gid flood = gid(77);
	uint8_t mad[FNS_MAD_LEN];
	unsigned others = 0;

	(void)state;
	fns_hello_build(mad, FNS_MAD_GET, 5, &a->h.own);
	for (unsigned i = 0; i < 10000; i++)
		fns_keeper_hello_rx(&a->h, &a->gid, &flood, 0, mad, true, SEC + i * 100000ull);
	assert_true(a->n > 20 && a->n <= 42); /* one second: 20 at once, and 20 */
	a->n = 0;
	for (unsigned i = 0; i < 100; i++) {
		struct fns_gid g = gid(0x100 + i);

		fns_keeper_hello_rx(&a->h, &a->gid, &g, 0, mad, true, 2 * SEC);
		others = a->n;
	}
	assert_true(others >= 95); /* one in 256 shares a quota */
	/* None of them took an entry. */
	assert_null(fns_keeper_hello_next(&a->h, &(uint32_t){0}));
	free(a);
}

static void bounded(void **state)
{
	struct host *a = host(1, 1), *b = host(2, 2);
	uint32_t at = 0, n = 0;
	struct fns_hello got;

	(void)state;
	ask(a, &b->gid, 0, &got);
	deliver(a, b, 0);
	deliver(b, a, 0);
	for (unsigned i = 0; i < 3 * FNS_KEEPER_HELLO_PEERS; i++) {
		struct fns_gid g = gid(0x100 + i);

		g.b[11] = (uint8_t)(i >> 12);
		ask(a, &g, 1 + i, &got);
		/* In use all the time: it stays, however many come. */
		assert_int_equal(ask(a, &b->gid, 1 + i, &got),
			i < FNS_KEEPER_HELLO_PEERS - 1 ? FNS_HELLO_FLEXINS : a->h.peer[0].state);
	}
	for (; fns_keeper_hello_next(&a->h, &at); at++)
		n++;
	assert_int_equal(n, FNS_KEEPER_HELLO_PEERS);
	assert_true(a->h.asking <= FNS_KEEPER_HELLO_PEERS);
	for (uint64_t now = 1; a->h.next_ns != UINT64_MAX && now < SEC; now += MS)
		fns_keeper_hello_tick(&a->h, now);
	assert_int_equal(a->h.asking, 0);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recognise),
		cmocka_unit_test(scopes),
		cmocka_unit_test(silence),
		cmocka_unit_test(refusal),
		cmocka_unit_test(forgeries),
		cmocka_unit_test(generations),
		cmocka_unit_test(no_amplifier),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
