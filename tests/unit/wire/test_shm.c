/* SPDX-License-Identifier: Apache-2.0 */
/* The same-host wire: data, order, space, wake-ups, the ways that a peer goes, faults of memory. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "shm_pair.h"

#define BUF 70000u

static void check_view(const struct fns_rx_view *v, uint32_t psn, const uint8_t *buf, uint32_t len)
{
	uint32_t pad = -len & 3;

	assert_int_equal(v->len, FNS_BTH_LEN + len + pad);
	assert_int_equal(get_be24(v->data + 9), psn & 0xffffff);
	assert_memory_equal(v->data + FNS_BTH_LEN, buf, len);
	for (uint32_t i = 0; i < pad; i++)
		assert_int_equal(v->data[FNS_BTH_LEN + len + i], 0);
}

/* All lengths around the borders of lines, many laps, released in any order. */
static void test_data(void **state)
{
	static const uint32_t len[] = {
		0, 1, 3, 4, 47, 48, 49, 63, 64, 65, 255, 511, 512, 513, 4095, 4096, 9000, 65480};
	struct shm_pair *p = shm_pair_make();
	uint8_t *buf = malloc(BUF);
	struct fns_rng rng;

	fns_rng_seed(&rng, 1);
	fill(buf, BUF, 7);
	for (uint32_t psn = 0; psn < 4000; psn += 3) {
		uint32_t l[3], off[3];

		for (uint32_t i = 0; i < 3; i++) {
			l[i] = len[fns_rng_below(&rng, FNS_ARRAY_SIZE(len))];
			off[i] = (uint32_t)fns_rng_below(&rng, 4096);
			assert_int_equal(shm_send(p, psn + i, buf + off[i], l[i]), 1);
		}
		assert_int_equal(shm_rx(p), 3);
		for (uint32_t i = 0; i < 3; i++) {
			check_view(&p->views[i], psn + i, buf + off[i], l[i]);
			assert_true(fns_gid_equal(&p->views[i].src, &p->gid));
			assert_true(fns_gid_equal(&p->views[i].dst, &p->gid));
			assert_int_equal(p->views[i].ttl, 64);
		}
		if (psn & 1) { /* the middle first, then the last */
			struct fns_rx_view v = p->views[0];

			p->b.w->ops->rx_release(p->b.w, &p->views[1]);
			p->b.w->ops->rx_release(p->b.w, &p->views[2]);
			p->b.w->ops->rx_release(p->b.w, &v);
			p->n = 0;
		}
		shm_release(p);
	}
	/* Enough to have gone round. */
	assert_true(shm_out_of(p)->ring.pos > 4 * SHM_RING_BYTES);
	assert_int_equal(shm_count_of(&p->a, FNS_C_tx_blocked), 0);
	assert_int_equal(shm_count_of(&p->a, FNS_C_shm_tx_packets),
		shm_count_of(&p->b, FNS_C_shm_rx_packets));
	assert_int_equal(
		shm_count_of(&p->a, FNS_C_shm_tx_bytes), shm_count_of(&p->b, FNS_C_shm_rx_bytes));
	free(buf);
	shm_pair_free(p);
}

/* Payload in pieces, one of them empty. */
static void test_pieces(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint8_t buf[3000], flat[3000];
	const struct fns_sg sg[] = {{.addr = buf + 2000, .len = 700}, {.addr = buf, .len = 0},
		{.addr = buf + 100, .len = 301}, {.addr = buf + 1000, .len = 1}};
	struct fns_frame f;

	fill(buf, sizeof(buf), 3);
	memcpy(flat, buf + 2000, 700);
	memcpy(flat + 700, buf + 100, 301);
	flat[1001] = buf[1000];
	frame_make(&f, p->ab, 9, sg, 4);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, &f, 1), 1);
	assert_int_equal(f.status, FNS_FRAME_SENT);
	assert_int_equal(shm_rx(p), 1);
	check_view(&p->views[0], 9, flat, 1002);
	shm_release(p);
	shm_pair_free(p);
}

/* What was sent before the peer looked at all is there when it does. */
static void test_sent_before_accepted(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint8_t buf[64];

	fill(buf, sizeof(buf), 1);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(shm_send(p, i, buf, 64), 1);
	assert_int_equal(p->b.w->ops->rx_burst(p->b.w, p->views, FNS_RX_BATCH), 0);
	assert_int_equal(shm_rx(p), 100);
	for (uint32_t i = 0; i < 100; i++)
		check_view(&p->views[i], i, buf, 64);
	shm_release(p);
	shm_pair_free(p);
}

/* A full ring: the wire refuses, goes on when there is room, and loses what waits for the dead. */
static void test_full(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint8_t *buf = calloc(1, BUF);
	uint32_t sent = 0, seen = 0;

	while (shm_send(p, sent, buf, 4096) == 1)
		assert_true(++sent < 1000);
	assert_true(sent * 4160 > SHM_RING_BYTES - 2 * 4160 - 64);
	assert_int_equal(shm_count_of(&p->a, FNS_C_tx_blocked), 1);
	/* Held views are no room. */
	while (seen < sent) {
		uint32_t n = shm_rx(p);

		assert_true(n > 0);
		if (seen == 0)
			assert_int_equal(shm_send(p, sent, buf, 4096), 0);
		for (uint32_t i = 0; i < n; i++)
			check_view(&p->views[i], seen + i, buf, 4096);
		seen += n;
		shm_release(p);
	}
	assert_int_equal(shm_send(p, sent, buf, 4096), 1);
	while (shm_send(p, ++sent, buf, 4096) == 1)
		assert_true(sent < 2000);
	p->a.now += SHM_STUCK_NS - 1;
	assert_int_equal(shm_send(p, sent, buf, 4096), 0);
	assert_int_equal(shm_count_of(&p->a, FNS_C_tx_errors), 0);
	p->a.now += 2;
	assert_int_equal(shm_send(p, sent, buf, 4096), 1);
	assert_int_equal(shm_count_of(&p->a, FNS_C_tx_errors), 1);
	/* It was not dead: packets flow again. */
	while (shm_rx(p) > 0)
		shm_release(p);
	assert_int_equal(shm_send(p, 77, buf, 4096), 1);
	assert_int_equal(shm_rx(p), 1);
	check_view(&p->views[0], 77, buf, 4096);
	shm_release(p);
	free(buf);
	shm_pair_free(p);
}

/* Payload that is gone costs its own frame only. */
static void test_memory_fault(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint8_t buf[1024];
	uint8_t *gone =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct fns_sg good = {.addr = buf, .len = 1024};
	const struct fns_sg bad = {.addr = gone + 4096 - 512, .len = 1024};
	struct fns_frame f[3];

	fill(buf, sizeof(buf), 5);
	assert_int_equal(munmap(gone + 4096, 4096), 0);
	for (uint32_t i = 0; i < 3; i++)
		frame_make(&f[i], p->ab, i, i == 1 ? &bad : &good, 1);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 3), 3);
	assert_int_equal(f[0].status, FNS_FRAME_SENT);
	assert_int_equal(f[1].status, FNS_FRAME_FAULT);
	assert_int_equal(f[2].status, FNS_FRAME_SENT);
	assert_int_equal(shm_rx(p), 2);
	check_view(&p->views[0], 0, buf, 1024);
	check_view(&p->views[1], 2, buf, 1024);
	shm_release(p);
	munmap(gone, 4096);
	shm_pair_free(p);
}

static void test_corrupt(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint8_t buf[64] = {0};
	const struct fns_sg sg = {.addr = buf, .len = 64};
	struct fns_frame f[2];

	for (uint32_t i = 0; i < 2; i++)
		frame_make(&f[i], p->ab, i, &sg, 1);
	f[0].icrc_xor = 0x1000;
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 2), 2);
	assert_int_equal(shm_rx(p), 1);
	check_view(&p->views[0], 1, buf, 64);
	assert_int_equal(shm_count_of(&p->b, FNS_C_drop_icrc), 1);
	shm_release(p);
	shm_pair_free(p);
}

/* --- paths --- */

static void test_paths(void **state)
{
	static const struct fns_gid elsewhere = {{[10] = 0xff, 0xff, 192, 0, 2, 77}},
				    group = {{[10] = 0xff, 0xff, 224, 0, 0, 1}};
	struct shm_pair *p = shm_pair_make();
	const struct fns_wire_ops *ops = p->a.w->ops;
	struct fns_gid other = p->gid;
	struct fns_path *path, *same;
	uint8_t buf[64] = {0};

	other.b[15] = 9; /* 127.0.0.9: ours as well */
	assert_int_equal(ops->path_get(p->a.w, &p->gid, &other, 0, PREFIX_B, 0x20, 7, &path), 0);
	assert_int_equal(shm_path(p, 0, &same), 0);
	assert_ptr_equal(same, p->ab);
	ops->path_put(p->a.w, same);
	path->refs++;
	ops->path_put(p->a.w, path);
	{
		const struct fns_sg sg = {.addr = buf, .len = 64};
		struct fns_frame f;

		frame_make(&f, path, 1, &sg, 1);
		assert_int_equal(ops->tx_burst(p->a.w, &f, 1), 1);
	}
	assert_int_equal(shm_rx(p), 1);
	assert_true(fns_gid_equal(&p->views[0].dst, &other));
	assert_int_equal(p->views[0].tos, 0x20);
	assert_int_equal(p->views[0].ttl, 7);
	shm_release(p);
	ops->path_put(p->a.w, path);

	assert_int_equal(ops->path_get(p->a.w, &p->gid, &elsewhere, 0, PREFIX_B, 0, 64, &path),
		-EHOSTUNREACH);
	assert_int_equal(ops->path_get(p->a.w, &elsewhere, &p->gid, 0, PREFIX_B, 0, 64, &path),
		-EHOSTUNREACH);
	assert_int_equal(
		ops->path_get(p->a.w, &p->gid, &group, 0, PREFIX_B, 0, 64, &path), -EHOSTUNREACH);
	/* Nobody has this slot. */
	assert_int_equal(
		ops->path_get(p->a.w, &p->gid, &p->gid, 0, 0x33, 0, 64, &path), -EHOSTUNREACH);
	shm_pair_free(p);
}

/* A line of the path table is used again only when no packet in the ring names it any more. */
static void test_path_lines(void **state)
{
	struct shm_pair *p = shm_pair_make();
	struct fns_path *path[SHM_PATHS];
	uint8_t buf[64] = {0};

	for (uint32_t i = 1; i < SHM_PATHS; i++)
		assert_int_equal(shm_path(p, (uint8_t)i, &path[i]), 0);
	p->gid.b[15] = 2;
	assert_int_equal(shm_path(p, 1, &path[0]), -EHOSTUNREACH);
	assert_int_equal(shm_send(p, 0, buf, 64), 1); /* in the ring when the next one goes */
	p->a.w->ops->path_put(p->a.w, path[5]);
	assert_int_equal(shm_path(p, 1, &path[0]), -EHOSTUNREACH);
	/* Consumed and said so: credit comes an eighth of a ring at a time. */
	for (uint32_t i = 0; i < SHM_CREDIT_STEP / 128 + 1; i++) {
		assert_int_equal(shm_send(p, i, buf, 64), 1);
		shm_rx(p);
		shm_release(p);
	}
	assert_int_equal(shm_path(p, 1, &path[0]), 0);
	shm_pair_free(p);
}

/* --- the ends --- */

/* What was sent arrives though the sender is gone, and then the link goes too. */
static void test_sender_gone(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint8_t *buf = malloc(BUF);

	fill(buf, BUF, 2);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(shm_send(p, i, buf + i, 4096), 1);
	p->a.w->ops->destroy(p->a.w);
	p->a.w = NULL;
	assert_int_equal(shm_rx(p), FNS_RX_BATCH);
	for (uint32_t i = 0; i < p->n; i++)
		check_view(&p->views[i], i, buf + i, 4096);
	shm_release(p);
	assert_int_equal(shm_rx(p), 200 - FNS_RX_BATCH);
	/* The memory stays for as long as a view is out. */
	assert_int_equal(p->b.w->ops->rx_burst(p->b.w, p->views + p->n, FNS_RX_BATCH - p->n), 0);
	assert_int_equal(shm_links(&p->b), 1);
	for (uint32_t i = 0; i < p->n; i++)
		check_view(&p->views[i], FNS_RX_BATCH + i, buf + FNS_RX_BATCH + i, 4096);
	shm_release(p);
	assert_int_equal(shm_links(&p->b), 0);
	free(buf);
	shm_pair_free(p);
}

static void test_receiver_gone(void **state)
{
	struct shm_pair *p = shm_pair_make();
	struct fns_path *again;
	uint8_t buf[64] = {0};

	assert_int_equal(shm_send(p, 0, buf, 64), 1);
	shm_rx(p);
	shm_release(p);
	p->b.w->ops->destroy(p->b.w);
	p->b.w = NULL;
	assert_true(shm_readable(&p->a, 1000));
	p->a.w->ops->events(p->a.w);
	assert_true(p->ab->broken);
	assert_int_equal(shm_send(p, 1, buf, 64), 1);
	assert_int_equal(shm_count_of(&p->a, FNS_C_tx_errors), 1);
	assert_int_equal(shm_path(p, 0, &again), -EHOSTUNREACH);
	/* Another process gets the slot: old paths stay broken, new ones work. */
	munmap(p->b.stats, sizeof(*p->b.stats));
	shm_end_make(&p->b, PREFIX_B);
	assert_int_equal(shm_path(p, 0, &again), 0);
	assert_ptr_not_equal(again, p->ab);
	p->a.w->ops->path_put(p->a.w, p->ab);
	p->ab = again;
	assert_int_equal(shm_send(p, 2, buf, 64), 1);
	assert_int_equal(shm_rx(p), 1);
	shm_release(p);
	shm_pair_free(p);
}

/* The last path goes: the link does, at both ends. The name is free after leave(). */
static void test_link_life(void **state)
{
	struct shm_pair *p = shm_pair_make();
	const struct fns_wire_shm_cfg cfg = {.port = shm_port(), .prefix = PREFIX_B};
	struct fns_path *path;

	shm_rx(p);
	assert_int_equal(shm_links(&p->b), 1);
	p->a.w->ops->path_put(p->a.w, p->ab);
	shm_rx(p);
	assert_int_equal(shm_links(&p->b), 0);
	assert_null(fns_wire_shm_create(&cfg));
	assert_int_equal(errno, EADDRINUSE);
	fns_wire_shm_leave(p->b.w);
	assert_int_equal(shm_path(p, 0, &path), -EHOSTUNREACH);
	{
		struct fns_wire *w = fns_wire_shm_create(&cfg);

		assert_non_null(w);
		w->ops->destroy(w);
	}
	shm_pair_free(p);
}

/* To itself. */
static void test_self(void **state)
{
	struct shm_pair *p = shm_pair_make();
	const struct fns_wire_ops *ops = p->a.w->ops;
	uint8_t buf[64] = {0};

	ops->path_put(p->a.w, p->ab);
	assert_int_equal(ops->path_get(p->a.w, &p->gid, &p->gid, 0, PREFIX_A, 0, 64, &p->ab), 0);
	assert_int_equal(shm_send(p, 5, buf, 64), 1);
	ops->events(p->a.w);
	assert_int_equal(ops->rx_burst(p->a.w, p->views, FNS_RX_BATCH), 1);
	check_view(&p->views[0], 5, buf, 64);
	ops->rx_release(p->a.w, &p->views[0]);
	shm_pair_free(p);
}

/* A receiver without descriptors left says no instead of leaving its peer to talk to nobody. */
static void test_out_of_descriptors(void **state)
{
	struct shm_pair *p = shm_pair_make();
	struct rlimit before, low;
	int top;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	top = dup(0);
	close(top);
	low = before;
	low.rlim_cur = (rlim_t)top;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	p->b.w->ops->events(p->b.w);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(shm_links(&p->b), 0);
	p->a.w->ops->events(p->a.w);
	assert_true(p->ab->broken);
	shm_pair_free(p);
}

/* --- wake-ups --- */

static void test_arm(void **state)
{
	struct shm_pair *p = shm_pair_make();
	const struct fns_wire_ops *ops = p->b.w->ops;
	uint8_t buf[64] = {0};

	shm_rx(p);
	assert_false(shm_readable(&p->b, 0));
	/* In silence. */
	assert_int_equal(shm_send(p, 0, buf, 64), 1);
	assert_false(shm_readable(&p->b, 20));
	/* Something is there already. */
	ops->arm(p->b.w, true);
	assert_true(shm_readable(&p->b, 1000));
	assert_int_equal(shm_rx(p), 1);
	shm_release(p);
	assert_false(shm_readable(&p->b, 0));
	/* Still armed: the next one wakes, once. */
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(shm_send(p, i, buf, 64), 1);
	assert_true(shm_readable(&p->b, 1000));
	assert_int_equal(shm_count_of(&p->a, FNS_C_shm_tx_wakeups), 1);
	assert_int_equal(shm_rx(p), 3);
	shm_release(p);
	ops->arm(p->b.w, true);
	ops->arm(p->b.w, false);
	assert_int_equal(shm_send(p, 9, buf, 64), 1);
	assert_false(shm_readable(&p->b, 20));
	shm_rx(p);
	shm_release(p);
	/* Armed before the link was there. */
	p->a.w->ops->path_put(p->a.w, p->ab);
	shm_rx(p);
	ops->arm(p->b.w, true);
	assert_int_equal(shm_path(p, 0, &p->ab), 0);
	shm_rx(p);
	assert_int_equal(shm_send(p, 10, buf, 64), 1);
	assert_true(shm_readable(&p->b, 1000));
	assert_int_equal(shm_rx(p), 1);
	shm_release(p);
	shm_pair_free(p);
}

#define RACE_FRAMES 30000u

static void *race_send(void *arg)
{
	struct shm_pair *p = arg;
	uint8_t buf[4096] = {0};
	struct fns_rng rng;

	fns_rng_seed(&rng, 3);
	for (uint32_t i = 0; i < RACE_FRAMES;) {
		uint32_t burst = 1 + (uint32_t)fns_rng_below(&rng, 8);

		for (uint32_t k = 0; k < burst && i < RACE_FRAMES; k++) {
			const struct fns_sg sg = {
				.addr = buf, .len = (uint32_t)fns_rng_below(&rng, 4096)};
			struct fns_frame f;

			frame_make(&f, p->ab, i, &sg, 1);
			/* A receiver that lost a wake-up never makes room. */
			for (unsigned tries = 0; p->a.w->ops->tx_burst(p->a.w, &f, 1) == 0;
				tries++) {
				if (tries > 20000)
					return NULL;
				usleep(500);
			}
			i++;
		}
		for (uint64_t spin = fns_rng_below(&rng, 400); spin > 0; spin--)
			__asm__ volatile("" ::: "memory");
		if (fns_rng_below(&rng, 64) == 0)
			usleep(50);
	}
	return arg;
}

/* Sender and receiver at the same time, the receiver asleep whenever nothing is there: order kept,
 * no wake-up lost. */
static void test_race(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint32_t seen = 0, slept = 0;
	pthread_t t;
	void *r;

	assert_int_equal(pthread_create(&t, NULL, race_send, p), 0);
	while (seen < RACE_FRAMES) {
		uint32_t n = p->b.w->ops->rx_burst(p->b.w, p->views, FNS_RX_BATCH);

		for (uint32_t i = 0; i < n; i++, seen++) {
			assert_int_equal(get_be24(p->views[i].data + 9), seen & 0xffffff);
			p->b.w->ops->rx_release(p->b.w, &p->views[i]);
		}
		if (n > 0)
			continue;
		p->b.w->ops->arm(p->b.w, true);
		assert_true(shm_readable(&p->b, 10000)); /* else a wake-up was lost */
		p->b.w->ops->events(p->b.w);
		p->b.w->ops->arm(p->b.w, false);
		slept++;
	}
	pthread_join(t, &r);
	assert_ptr_equal(r, p);
	assert_true(slept > 10);
	shm_pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_sent_before_accepted),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_memory_fault),
		cmocka_unit_test(test_corrupt),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_path_lines),
		cmocka_unit_test(test_sender_gone),
		cmocka_unit_test(test_receiver_gone),
		cmocka_unit_test(test_link_life),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_arm),
		cmocka_unit_test(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
