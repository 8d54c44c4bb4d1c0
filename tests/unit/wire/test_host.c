/* SPDX-License-Identifier: Apache-2.0 */
/* The wire made of udp and shm: which path goes where, and what becomes of it when the peer breaks
 * it. */
#include "shm_pair.h"

struct host {
	struct fns_wire *w;
	struct fns_stats *stats;
	int sock;
	uint16_t port;
	uint64_t now;
};

struct hosts {
	struct host a, b;
	struct fns_gid gid;
	struct fns_rx_view views[FNS_RX_BATCH];
};

static void host_make(
	struct host *h, uint16_t peer_port, uint8_t prefix, enum fns_wire_choice choice)
{
	struct fns_wire_host_cfg cfg = {.udp = {.sock = h->sock,
						.prefix = prefix,
						.port = peer_port,
						.gso = true,
						.gro = true},
		.port = shm_port(),
		.choice = choice};

	h->w = fns_wire_host_create(&cfg);
	assert_non_null(h->w);
	h->stats = stats_make();
	h->now = 1;
	h->w->stats = h->stats;
	h->w->now_ns = &h->now;
}

static struct hosts *hosts_make(enum fns_wire_choice a, enum fns_wire_choice b)
{
	struct hosts *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->gid = gid_of(false);
	h->a.sock = sock_make(true, &h->a.port);
	h->b.sock = sock_make(true, &h->b.port);
	host_make(&h->a, h->b.port, PREFIX_A, a);
	host_make(&h->b, h->a.port, PREFIX_B, b);
	return h;
}

static void host_free(struct host *h)
{
	if (h->w)
		h->w->ops->destroy(h->w);
	munmap(h->stats, sizeof(*h->stats));
	close(h->sock);
}

static void hosts_free(struct hosts *h)
{
	host_free(&h->a);
	host_free(&h->b);
	free(h);
}

static int get(struct hosts *h, const struct fns_gid *to, uint8_t prefix, struct fns_path **out)
{
	return h->a.w->ops->path_get(h->a.w, &h->gid, to, 0, prefix, 0, 64, out);
}

static uint64_t count(const struct host *h, enum fns_counter c)
{
	return atomic_load(&h->stats->counter[c]);
}

static void send_one(struct hosts *h, struct fns_path *p, uint32_t psn)
{
	uint8_t buf[100];
	const struct fns_sg sg = {.addr = buf, .len = sizeof(buf)};
	struct fns_frame f;

	fill(buf, sizeof(buf), psn);
	frame_make(&f, p, psn, &sg, 1);
	assert_int_equal(h->a.w->ops->tx_burst(h->a.w, &f, 1), 1);
}

/* The next packet that b gets is this one. */
static void expect_one(struct hosts *h, uint32_t psn)
{
	uint8_t buf[100];
	unsigned n = 0;

	fill(buf, sizeof(buf), psn);
	for (int tries = 0; tries < 500 && n == 0; tries++) {
		h->b.now += FNS_NSEC_PER_MSEC;
		h->b.w->ops->events(h->b.w);
		n = h->b.w->ops->rx_burst(h->b.w, h->views, FNS_RX_BATCH);
		if (n == 0)
			usleep(1000);
	}
	assert_int_equal(n, 1);
	assert_int_equal(get_be24(h->views[0].data + 9), psn);
	assert_memory_equal(h->views[0].data + FNS_BTH_LEN, buf, sizeof(buf));
	h->b.w->ops->rx_release(h->b.w, &h->views[0]);
}

static void test_auto(void **state)
{
	static const struct fns_gid elsewhere = {{[10] = 0xff, 0xff, 192, 0, 2, 77}};
	struct hosts *h = hosts_make(FNS_WIRE_AUTO, FNS_WIRE_AUTO);
	struct fns_path *p, *again, *q;

	assert_int_equal(get(h, &h->gid, PREFIX_B, &p), 0);
	assert_int_equal(get(h, &h->gid, PREFIX_B, &again), 0);
	assert_ptr_equal(p, again);
	send_one(h, p, 1);
	expect_one(h, 1);
	assert_int_equal(count(&h->a, FNS_C_shm_tx_packets), 1);
	assert_int_equal(count(&h->b, FNS_C_shm_rx_packets), 1);
	assert_int_equal(count(&h->b, FNS_C_rx_packets), 1);
	h->a.w->ops->path_put(h->a.w, again);
	/* Nobody listens for this slot: udp. */
	assert_int_equal(get(h, &h->gid, 0x55, &q), 0);
	send_one(h, q, 2);
	assert_int_equal(count(&h->a, FNS_C_shm_tx_packets), 1);
	assert_int_equal(count(&h->a, FNS_C_tx_packets), 2);
	h->a.w->ops->path_put(h->a.w, q);
	/* Another host's address: udp's business, whatever comes of it. */
	if (get(h, &elsewhere, PREFIX_B, &q) == 0) {
		send_one(h, q, 3);
		h->a.w->ops->path_put(h->a.w, q);
	}
	assert_int_equal(count(&h->a, FNS_C_shm_tx_packets), 1);
	h->a.w->ops->path_put(h->a.w, p);
	hosts_free(h);
}

static void test_udp_only(void **state)
{
	static const enum fns_wire_choice choice[][2] = {{FNS_WIRE_UDP, FNS_WIRE_UDP},
		{FNS_WIRE_UDP, FNS_WIRE_AUTO}, {FNS_WIRE_AUTO, FNS_WIRE_UDP}};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(choice); i++) {
		struct hosts *h = hosts_make(choice[i][0], choice[i][1]);
		struct fns_path *p;

		assert_int_equal(get(h, &h->gid, PREFIX_B, &p), 0);
		send_one(h, p, 1);
		expect_one(h, 1);
		assert_int_equal(count(&h->a, FNS_C_tx_packets), 1);
		assert_int_equal(count(&h->a, FNS_C_shm_tx_packets), 0);
		h->a.w->ops->path_put(h->a.w, p);
		hosts_free(h);
	}
}

static void test_shm_only(void **state)
{
	struct hosts *h = hosts_make(FNS_WIRE_SHM, FNS_WIRE_UDP);
	struct fns_path *p;

	assert_int_equal(get(h, &h->gid, PREFIX_B, &p), -ENETUNREACH);
	/* Itself it can reach. */
	assert_int_equal(get(h, &h->gid, PREFIX_A, &p), 0);
	h->a.w->ops->path_put(h->a.w, p);
	hosts_free(h);
}

/* The peer breaks the link off and lives: packets go on, over udp. */
static void test_fallback(void **state)
{
	struct hosts *h = hosts_make(FNS_WIRE_AUTO, FNS_WIRE_AUTO);
	struct fns_path *p, *q;
	struct fns_frame f[2];
	uint8_t buf[100];
	const struct fns_sg sg = {.addr = buf, .len = sizeof(buf)};

	assert_int_equal(get(h, &h->gid, PREFIX_B, &p), 0);
	send_one(h, p, 1);
	expect_one(h, 1);
	h->b.w->ops->destroy(h->b.w);
	munmap(h->b.stats, sizeof(*h->b.stats));
	host_make(&h->b, h->a.port, PREFIX_B, FNS_WIRE_UDP);
	h->a.w->ops->events(h->a.w);
	assert_true(p->broken);
	send_one(h, p, 2);
	expect_one(h, 2);
	assert_int_equal(count(&h->a, FNS_C_shm_tx_packets), 1);
	assert_int_equal(count(&h->a, FNS_C_tx_packets), 2);
	/* A new path, and both in one burst. */
	assert_int_equal(get(h, &h->gid, PREFIX_B, &q), 0);
	assert_ptr_not_equal(p, q);
	frame_make(&f[0], p, 3, &sg, 1);
	frame_make(&f[1], q, 4, &sg, 1);
	assert_int_equal(h->a.w->ops->tx_burst(h->a.w, f, 2), 2);
	assert_int_equal(count(&h->a, FNS_C_tx_packets), 4);
	h->a.w->ops->path_put(h->a.w, p);
	send_one(h, q, 5);
	assert_int_equal(count(&h->a, FNS_C_tx_packets), 5);
	h->a.w->ops->path_put(h->a.w, q);
	hosts_free(h);
}

/* Frames of both kinds in one burst keep their order on each, and the wire's fullness is the
 * engine's. */
static void test_mixed_burst(void **state)
{
	struct hosts *h = hosts_make(FNS_WIRE_AUTO, FNS_WIRE_AUTO);
	struct fns_path *p, *q;
	struct fns_frame f[6];
	uint8_t buf[100] = {0};
	const struct fns_sg sg = {.addr = buf, .len = sizeof(buf)};

	assert_int_equal(get(h, &h->gid, PREFIX_B, &p), 0);
	assert_int_equal(get(h, &h->gid, 0x55, &q), 0);
	for (uint32_t i = 0; i < 6; i++)
		frame_make(&f[i], i % 3 == 2 ? q : p, i, &sg, 1);
	assert_int_equal(h->a.w->ops->tx_burst(h->a.w, f, 6), 6);
	assert_int_equal(count(&h->a, FNS_C_tx_packets), 6);
	assert_int_equal(count(&h->a, FNS_C_shm_tx_packets), 4);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(f[i].status, FNS_FRAME_SENT);
		assert_ptr_equal(f[i].path, i % 3 == 2 ? q : p);
	}
	h->a.w->ops->path_put(h->a.w, p);
	h->a.w->ops->path_put(h->a.w, q);
	hosts_free(h);
}

/* However busy the rings are, the socket gets its turn. */
static void test_udp_not_starved(void **state)
{
	struct hosts *h = hosts_make(FNS_WIRE_AUTO, FNS_WIRE_AUTO);
	struct fns_path *p;
	struct fns_wire_udp_cfg uc = {.sock = sock_make(true, &(uint16_t){0}),
		.prefix = 0x77,
		.port = h->b.port,
		.gso = true,
		.gro = true};
	struct fns_wire *udp = fns_wire_udp_create(&uc);
	struct fns_path *u;
	uint8_t buf[100] = {0};
	const struct fns_sg sg = {.addr = buf, .len = sizeof(buf)};
	bool seen = false;
	struct fns_frame f;

	assert_non_null(udp);
	assert_int_equal(get(h, &h->gid, PREFIX_B, &p), 0);
	assert_int_equal(udp->ops->path_get(udp, &h->gid, &h->gid, 0, PREFIX_B, 0, 64, &u), 0);
	frame_make(&f, u, 0x999, &sg, 1);
	assert_int_equal(udp->ops->tx_burst(udp, &f, 1), 1);
	h->b.w->ops->events(h->b.w);
	for (uint32_t i = 0; i < 400 && !seen; i++) {
		unsigned n;

		send_one(h, p, i);
		h->b.now += 100; /* ns: 40 us in all */
		n = h->b.w->ops->rx_burst(h->b.w, h->views, FNS_RX_BATCH);
		assert_true(n > 0);
		for (unsigned k = 0; k < n; k++) {
			seen |= get_be24(h->views[k].data + 9) == 0x999;
			h->b.w->ops->rx_release(h->b.w, &h->views[k]);
		}
	}
	assert_true(seen);
	udp->ops->path_put(udp, u);
	udp->ops->destroy(udp);
	close(uc.sock);
	h->a.w->ops->path_put(h->a.w, p);
	hosts_free(h);
}

static void test_choice_names(void **s)
{
	static const char *const bad[] = {"", "ud", "udpx", "UDP", "auto,udp"};
	enum fns_wire_choice c = FNS_WIRE_SHM;

	assert_true(fns_wire_choice_parse("auto", &c) && c == FNS_WIRE_AUTO);
	assert_true(fns_wire_choice_parse("shm", &c) && c == FNS_WIRE_SHM);
	assert_true(fns_wire_choice_parse("udp", &c) && c == FNS_WIRE_UDP);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++)
		assert_false(fns_wire_choice_parse(bad[i], &c));
	assert_int_equal(c, FNS_WIRE_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_udp_only),
		cmocka_unit_test(test_shm_only),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_mixed_burst),
		cmocka_unit_test(test_udp_not_starved),
		cmocka_unit_test(test_choice_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
