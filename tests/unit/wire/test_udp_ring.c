/* SPDX-License-Identifier: Apache-2.0 */
/* The receive buffers of the UDP wire: few and hot by default, a ring used in turn when asked for.
 */
#include "udp_pair.h"
#include "wire/udp_priv.h"

static struct pair *ring_make(const char *mode)
{
	struct pair *p;

	assert_int_equal(setenv("FLEXINS_RX", mode, 1), 0);
	p = pair_make((struct pair_cfg){0});
	unsetenv("FLEXINS_RX");
	return p;
}

/* Sends one packet and receives it, its view still out. */
static struct fns_rx_view one(struct pair *p, uint32_t psn)
{
	struct fns_frame f;
	struct fns_rx_view v;

	frame_make(&f, p->ab, psn, NULL, 0);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, &f, 1), 1);
	assert_int_equal(rx_all(p, &p->b, 1), 1);
	v = p->views[0];
	assert_int_equal(get_be24(v.data + 9), psn);
	p->n = 0;
	return v;
}

/* How much memory each promises to touch. */
static void sizes(void **state)
{
	static const struct {
		const char *mode;
		uint32_t bufs;
	} want[] = {{"", UDP_RX_BUFS}, {"in-cache", UDP_RX_BUFS}, {"ring", 512}, {"ring:33", 528}};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(want); i++) {
		struct pair *p = ring_make(want[i].mode);
		const struct udp_wire *w = udp_of(p->b.w);

		assert_int_equal(w->rx_bufs, want[i].bufs);
		assert_int_equal(w->rx_nfree, want[i].bufs);
		assert_true(want[i].bufs == UDP_RX_BUFS ||
			    (size_t)w->rx_bufs * UDP_RX_BUF_LEN >= 32u << 20);
		pair_free(p);
	}
}

/* The buffer released last is used next: one buffer for as many packets as one likes. */
static void in_cache_stays(void **state)
{
	struct pair *p = ring_make("in-cache");
	void *first = NULL;

	for (uint32_t i = 0; i < 100; i++) {
		struct fns_rx_view v = one(p, i);

		if (!first)
			first = v.buf;
		assert_ptr_equal(v.buf, first);
		p->b.w->ops->rx_release(p->b.w, &v);
	}
	pair_free(p);
}

/* The ring goes all the way round before a buffer comes again. */
static void ring_in_turn(void **state)
{
	struct pair *p = ring_make("ring");
	struct udp_wire *w = udp_of(p->b.w);

	for (uint32_t i = 0; i < 2 * w->rx_bufs + 5; i++) {
		struct fns_rx_view v = one(p, i);

		assert_ptr_equal(v.buf, &w->rx_buf[i % w->rx_bufs]);
		p->b.w->ops->rx_release(p->b.w, &v);
		assert_int_equal(w->rx_nfree, w->rx_bufs);
	}
	pair_free(p);
}

/* Released in order: one that is held keeps all behind it, until it goes. */
static void ring_in_order(void **state)
{
	struct pair *p = ring_make("ring");
	struct udp_wire *w = udp_of(p->b.w);
	struct fns_rx_view v[4];

	for (uint32_t i = 0; i < 4; i++)
		v[i] = one(p, i);
	assert_int_equal(w->rx_nfree, w->rx_bufs - 4);
	p->b.w->ops->rx_release(p->b.w, &v[2]);
	p->b.w->ops->rx_release(p->b.w, &v[1]);
	assert_int_equal(w->rx_nfree, w->rx_bufs - 4);
	p->b.w->ops->rx_release(p->b.w, &v[0]);
	assert_int_equal(w->rx_nfree, w->rx_bufs - 1);
	p->b.w->ops->rx_release(p->b.w, &v[3]);
	assert_int_equal(w->rx_nfree, w->rx_bufs);
	pair_free(p);
}

/* All held: nothing more is taken, nothing is overwritten, and it goes on afterwards. */
static void ring_full(void **state)
{
	struct pair *p = ring_make("ring");
	struct udp_wire *w = udp_of(p->b.w);
	struct fns_rx_view *v = calloc(w->rx_bufs, sizeof(*v)), none[FNS_RX_BATCH];
	struct pollfd pfd = {.fd = p->b.sock, .events = POLLIN};
	struct fns_frame f;

	assert_non_null(v);
	for (uint32_t i = 0; i < w->rx_bufs; i++)
		v[i] = one(p, i);
	frame_make(&f, p->ab, 9999, NULL, 0);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, &f, 1), 1);
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	assert_int_equal(p->b.w->ops->rx_burst(p->b.w, none, FNS_RX_BATCH), 0);
	for (uint32_t i = 0; i < w->rx_bufs; i++)
		assert_int_equal(get_be24(v[i].data + 9), i);
	p->b.w->ops->rx_release(p->b.w, &v[0]);
	assert_int_equal(rx_all(p, &p->b, 1), 1);
	assert_int_equal(get_be24(p->views[0].data + 9), 9999);
	rx_release_all(p, &p->b);
	for (uint32_t i = 1; i < w->rx_bufs; i++)
		p->b.w->ops->rx_release(p->b.w, &v[i]);
	assert_int_equal(w->rx_nfree, w->rx_bufs);
	free(v);
	pair_free(p);
}

/* Names that are none. */
static void names(void **state)
{
	static const char *const bad[] = {"ring:", "ring:31", "ring:4097", "ring:-32", "ring:32x",
		"rings", "in-cache ", "RING"};
	struct fns_modes m = {0};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++)
		assert_false(fns_rx_mode_parse(bad[i], &m));
	assert_int_equal(m.rx | m.rx_ring_mib, 0);
	assert_true(fns_rx_mode_parse("ring:4096", &m));
	assert_int_equal(m.rx_ring_mib, 4096);
	assert_true(fns_rx_mode_parse(NULL, &m));
	assert_int_equal(m.rx | m.rx_ring_mib, 0);
	assert_false(fns_tx_mode_parse("rdma-assisted", &m));
	assert_true(fns_tx_mode_parse("copy", &m));
	assert_int_equal(m.tx, FNS_TXM_COPY);
	assert_false(fns_pipe_mode_parse("bell", &m));
	assert_true(fns_pipe_mode_parse("doorbell", &m));
	assert_int_equal(m.pipe, FNS_PIPE_DOORBELL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(in_cache_stays),
		cmocka_unit_test(ring_in_turn),
		cmocka_unit_test(ring_in_order),
		cmocka_unit_test(ring_full),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
