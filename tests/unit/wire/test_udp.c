/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the UDP wire between two of them: what is sent arrives, trains and pieces and
 * faults notwithstanding. */
#include <linux/udp.h>

#include "udp_pair.h"

/* The view holds frame f, whose payload is data. */
static void check_view(const struct pair *p, const struct fns_rx_view *v, const struct fns_frame *f,
	const uint8_t *data)
{
	assert_int_equal(v->len, f->hdr_len + f->payload_len + f->pad);
	assert_memory_equal(v->data, f->hdr, f->hdr_len);
	assert_memory_equal(v->data + f->hdr_len, data, f->payload_len);
	for (uint32_t i = 0; i < f->pad; i++)
		assert_int_equal(v->data[f->hdr_len + f->payload_len + i], 0);
	assert_true(fns_gid_equal(&v->src, &p->a.gid));
	assert_true(fns_gid_equal(&v->dst, &p->b.gid));
}

static void roundtrip_sizes(struct pair_cfg c)
{
	struct pair *p = pair_make(c);
	static uint8_t data[4100];

	for (uint32_t len = 0; len <= 4096; len += len < 300 || len > 4080 ? 1 : 37) {
		struct fns_sg sg = {data, NULL, len};
		struct fns_frame f;

		fill(data, len, len);
		frame_make(&f, p->ab, len, &sg, len ? 1 : 0);
		assert_int_equal(p->a.w->ops->tx_burst(p->a.w, &f, 1), 1);
		assert_int_equal(f.status, FNS_FRAME_SENT);
		assert_int_equal(rx_all(p, &p->b, 1), 1);
		check_view(p, &p->views[0], &f, data);
		rx_release_all(p, &p->b);
	}
	assert_int_equal(count_of(&p->b, FNS_C_drop_icrc), 0);
	assert_int_equal(count_of(&p->b, FNS_C_rx_packets), count_of(&p->a, FNS_C_tx_packets));
	assert_int_equal(count_of(&p->b, FNS_C_rx_bytes), count_of(&p->a, FNS_C_tx_bytes));
	pair_free(p);
}

static void test_sizes_v4(void **s)
{
	roundtrip_sizes((struct pair_cfg){0});
}

static void test_sizes_v4_plain(void **s)
{
	roundtrip_sizes((struct pair_cfg){.plain = true});
}

static void test_sizes_v6(void **s)
{
	roundtrip_sizes((struct pair_cfg){.v6 = true});
}

/* Frames of the lengths given in one burst; all must arrive in order. Returns the number of sends.
 */
static uint64_t burst_lengths(struct pair_cfg c, const uint32_t *len, unsigned n, unsigned pieces)
{
	struct pair *p = pair_make(c);
	static uint8_t data[FNS_TX_BATCH][4096];
	static struct fns_frame f[FNS_TX_BATCH];
	static struct fns_sg sg[FNS_TX_BATCH][8];
	uint64_t trains;
	unsigned got = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t off = 0;

		fill(data[i], len[i], i);
		for (unsigned k = 0; k < pieces; k++) {
			uint32_t l = k + 1 == pieces ? len[i] - off : len[i] / pieces;

			sg[i][k] = (struct fns_sg){data[i] + off, NULL, l};
			off += l;
		}
		frame_make(&f[i], p->ab, i, sg[i], (uint8_t)pieces);
	}
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, n), n);
	while (got < n) { /* each round brings at least one, or fails */
		assert_true(rx_all(p, &p->b, 1) > 0);
		for (unsigned i = 0; i < p->n; i++)
			check_view(p, &p->views[i], &f[got + i], data[got + i]);
		got += p->n;
		rx_release_all(p, &p->b);
	}
	trains = count_of(&p->a, FNS_C_tx_trains);
	assert_int_equal(count_of(&p->a, FNS_C_tx_packets), n);
	assert_int_equal(count_of(&p->b, FNS_C_rx_packets), n);
	pair_free(p);
	return trains;
}

static void test_trains_equal(void **s)
{
	static uint32_t len[FNS_TX_BATCH];

	for (int v6 = 0; v6 < 2; v6++) {
		struct pair_cfg c = {.v6 = v6}, split = {.v6 = v6, .no_gro = true},
				single = {.v6 = v6, .no_gso = true};

		for (unsigned i = 0; i < FNS_TX_BATCH; i++)
			len[i] = 64;
		assert_int_equal(burst_lengths(c, len, 128, 1), 2); /* 64 segments each */
		assert_int_equal(burst_lengths(split, len, 128, 1), 2);
		assert_int_equal(burst_lengths(single, len, 128, 1), 128);
		assert_int_equal(burst_lengths(c, len, 65, 3), 2);
		for (unsigned i = 0; i < FNS_TX_BATCH; i++)
			len[i] = 4096;
		assert_int_equal(burst_lengths(c, len, 128, 1), 9); /* 15 segments each */
		assert_int_equal(burst_lengths(c, len, 100, 4), 7);
		assert_int_equal(burst_lengths(c, len, 60, 8), 4);
		assert_int_equal(burst_lengths(split, len, 60, 1), 4);
		len[0] = 1000;
		assert_int_equal(burst_lengths(c, len, 16, 2), 2);
	}
}

static void test_trains_unequal(void **s)
{
	static const uint32_t ends_short[] = {512, 512, 512, 100, 512, 512, 3},
			      growing[] = {1, 5, 9, 13, 300, 301, 305, 4096},
			      zero[] = {0, 0, 0, 1, 0};
	static uint32_t mixed[100];
	uint32_t x = 12345;

	assert_int_equal(burst_lengths((struct pair_cfg){0}, ends_short, 7, 1), 2);
	/* 300 and 301 to 304 differ by the pad. */
	assert_int_equal(burst_lengths((struct pair_cfg){0}, growing, 8, 2), 8);
	/* {0 0 0} {1 0}: a shorter one ends a train. */
	assert_int_equal(burst_lengths((struct pair_cfg){0}, zero, 5, 1), 2);
	for (int round = 0; round < 30; round++) {
		for (unsigned i = 0; i < 100; i++) {
			x = x * 1664525 + 1013904223;
			mixed[i] = x >> 30 ? x >> 8 & 0xff : (x >> 8) % 4097;
		}
		burst_lengths((struct pair_cfg){.v6 = round & 1, .no_gro = round & 2}, mixed, 100,
			1 + (unsigned)round % 8);
	}
}

/* Small and large, two prefixes: never one train, each to its own source port. */
static void test_mixed_paths(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct fns_path *other, *same;
	struct fns_frame f[12];
	uint8_t data[600];
	struct fns_sg sg = {data, NULL, sizeof(data)};
	uint16_t sport[2] = {0};

	fill(data, sizeof(data), 1);
	assert_int_equal(
		p->a.w->ops->path_get(p->a.w, &p->a.gid, &p->b.gid, 0, PREFIX_B, 0, 64, &same), 0);
	assert_ptr_equal(same, p->ab);
	p->a.w->ops->path_put(p->a.w, same);
	assert_int_equal(
		p->a.w->ops->path_get(p->a.w, &p->a.gid, &p->b.gid, 0, 0x33, 0, 64, &other), 0);
	assert_ptr_not_equal(other, p->ab);
	for (unsigned i = 0; i < 12; i++) {
		frame_make(&f[i], i % 4 < 2 ? p->ab : other, i, &sg, 1);
		f[i].hdr[5] = PREFIX_B; /* so that b takes both */
	}
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 12), 12);
	assert_int_equal(count_of(&p->a, FNS_C_tx_trains), 6);
	assert_int_equal(rx_all(p, &p->b, 12), 12);
	for (unsigned i = 0; i < 12; i++) {
		unsigned k = i % 4 / 2;

		check_view(p, &p->views[i], &f[i], data);
		if (sport[k] == 0)
			sport[k] = p->views[i].sport;
		assert_int_equal(p->views[i].sport, sport[k]);
	}
	assert_int_not_equal(sport[0], sport[1]);
	rx_release_all(p, &p->b);
	p->a.w->ops->path_put(p->a.w, other);
	pair_free(p);
}

/*
 * What a plain socket gets: segment i of a train is summed with identification i, which is what the
 * kernel sends it with, and a single packet with 0. (A wire would also accept other small ones.)
 */
static void test_identification_sent(void **s)
{
	enum {
		N = 40
	};
	struct pair *p = pair_make((struct pair_cfg){.plain = true});
	static uint8_t data[900];
	struct fns_sg sg = {data, NULL, sizeof(data)};
	struct fns_icrc_flow flow = {.dport = p->b.port};
	struct fns_frame f[N];
	int off = 0;

	memcpy(flow.src, p->a.gid.b, 16);
	memcpy(flow.dst, p->b.gid.b, 16);
	assert_int_equal(setsockopt(p->b.sock, IPPROTO_UDP, UDP_GRO, &off, sizeof(off)), 0);
	for (unsigned n = 1; n <= N; n += N - 1) {
		for (unsigned i = 0; i < n; i++)
			frame_make(&f[i], p->ab, i, &sg, 1);
		assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, n), n);
		for (unsigned i = 0; i < n; i++) {
			uint8_t pkt[1000], *at = pkt + FNS_BTH_LEN + sizeof(data);
			struct sockaddr_in from;
			socklen_t flen = sizeof(from);
			uint32_t crc;

			assert_int_equal(recvfrom(p->b.sock, pkt, sizeof(pkt), 0,
						 (struct sockaddr *)&from, &flen),
				FNS_BTH_LEN + sizeof(data) + FNS_ICRC_LEN);
			flow.sport = ntohs(from.sin_port);
			crc = fns_icrc_begin(
				&flow, 8 + FNS_BTH_LEN + sizeof(data) + FNS_ICRC_LEN, (uint16_t)i);
			crc = fns_icrc_bth(crc, pkt, FNS_BTH_LEN + sizeof(data));
			assert_int_equal(at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24,
				fns_icrc_final(crc));
		}
	}
	pair_free(p);
}

static void test_tos_ttl(void **s)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct pair *p = pair_make((struct pair_cfg){.v6 = v6});
		struct fns_path *path;
		struct fns_frame f;

		assert_int_equal(p->a.w->ops->path_get(p->a.w, &p->a.gid, &p->b.gid, 0, PREFIX_B,
					 0x6a, 33, &path),
			0);
		frame_make(&f, path, 1, NULL, 0);
		assert_int_equal(p->a.w->ops->tx_burst(p->a.w, &f, 1), 1);
		assert_int_equal(rx_all(p, &p->b, 1), 1);
		assert_int_equal(p->views[0].tos, 0x6a);
		assert_int_equal(p->views[0].ecn, 2);
		assert_int_equal(p->views[0].ttl, 33);
		rx_release_all(p, &p->b);
		p->a.w->ops->path_put(p->a.w, path);
		pair_free(p);
	}
}

static void test_path_errors(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct fns_gid foreign = {{[10] = 0xff, 0xff, 198, 51, 100, 9}}, v6 = gid_of(true);
	struct fns_path *path = NULL, *many[300];

	assert_int_equal(p->a.w->ops->path_get(p->a.w, &foreign, &p->b.gid, 0, 1, 0, 1, &path),
		-EADDRNOTAVAIL);
	assert_int_equal(
		p->a.w->ops->path_get(p->a.w, &p->a.gid, &v6, 0, 1, 0, 1, &path), -EADDRNOTAVAIL);
	assert_null(path);
	/* All prefixes twice, so that idle sockets are closed and made again. */
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 256; i++)
			assert_int_equal(p->a.w->ops->path_get(p->a.w, &p->a.gid, &p->b.gid, 0,
						 (uint8_t)i, 0, 64, &many[i]),
				0);
		assert_ptr_equal(many[PREFIX_B], p->ab);
		for (unsigned i = 0; i < 256; i++)
			p->a.w->ops->path_put(p->a.w, many[i]);
	}
	assert_int_equal(p->ab->refs, 1);
	pair_free(p);
}

/* One frame in the middle of a burst refers to memory that is gone: it is reported, the others
 * arrive. */
static void fault_in_burst(uint32_t len, unsigned hole, bool all_pieces)
{
	enum {
		N = 40
	};
	struct pair *p = pair_make((struct pair_cfg){0});
	static uint8_t data[N][4096];
	struct fns_frame f[N];
	struct fns_sg sg[N][2];
	uint8_t *gone =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fns_region region = {.len = 4096};
	unsigned k = 0;

	assert_true(gone != MAP_FAILED);
	memset(gone, 1, 4096);
	region.addr = (uint64_t)(uintptr_t)gone;
	region.near_base = gone;
	for (unsigned i = 0; i < N; i++) {
		fill(data[i], len, i);
		sg[i][0] = (struct fns_sg){data[i], NULL, len / 2};
		sg[i][1] = (struct fns_sg){data[i] + len / 2, NULL, len - len / 2};
		if (i % 20 == hole) {
			if (all_pieces)
				sg[i][0] = (struct fns_sg){gone, &region, len / 2};
			sg[i][1] = (struct fns_sg){gone + len / 2, &region, len - len / 2};
		}
		frame_make(&f[i], p->ab, i, sg[i], 2);
	}
	munmap(gone, 4096);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, N), N);
	assert_int_equal(rx_all(p, &p->b, N - 2), N - 2);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(f[i].status, i % 20 == hole ? FNS_FRAME_FAULT : FNS_FRAME_SENT);
		if (i % 20 != hole)
			check_view(p, &p->views[k++], &f[i], data[i]);
	}
	rx_release_all(p, &p->b);
	assert_int_equal(p->b.w->ops->rx_burst(p->b.w, p->views, FNS_RX_BATCH), 0);
	assert_int_equal(count_of(&p->b, FNS_C_drop_icrc), 0);
	assert_int_equal(count_of(&p->a, FNS_C_tx_packets), N - 2);
	pair_free(p);
}

static void test_fault(void **s)
{
	static const uint32_t len[] = {64, 1000, 4096};
	static const unsigned hole[] = {0, 7, 19};

	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 3; k++) {
			fault_in_burst(len[i], hole[k], false);
			fault_in_burst(len[i], hole[k], true);
		}
}

/* The interface's MTU is 65,536: nothing larger exists. A frame that no route takes is lost, not an
 * error. */
static void test_unreachable(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct fns_gid nowhere = {{[10] = 0xff, 0xff, 198, 51, 100, 9}};
	struct fns_path *path;
	int err = p->a.w->ops->path_get(p->a.w, &p->a.gid, &nowhere, 0, PREFIX_B, 0, 64, &path);

	if (err == 0) { /* a default route; from 127.0.0.1 the kernel refuses, or it is lost on the
			   way */
		struct fns_frame f[3];

		frame_make(&f[0], path, 0, NULL, 0);
		frame_make(&f[1], path, 1, NULL, 0);
		frame_make(&f[2], p->ab, 2, NULL, 0);
		assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 3), 3);
		assert_int_equal(rx_all(p, &p->b, 1), 1);
		assert_memory_equal(p->views[0].data, f[2].hdr, FNS_BTH_LEN);
		rx_release_all(p, &p->b);
		p->a.w->ops->path_put(p->a.w, path);
	} else {
		assert_int_equal(err, -ENETUNREACH);
	}
	pair_free(p);
}

/* Statistics are optional. */
static void test_no_stats(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct fns_frame f;

	p->a.w->stats = p->b.w->stats = NULL;
	frame_make(&f, p->ab, 9, NULL, 0);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, &f, 1), 1);
	assert_int_equal(rx_all(p, &p->b, 1), 1);
	rx_release_all(p, &p->b);
	pair_free(p);
}

static void test_rx_cost(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct fns_wire *w = p->a.w;
	/* Measured, Linux 6.18: length, alone, one of a train of two. */
	static const uint32_t seen[][3] = {{16, 832, 432}, {64, 832, 480}, {196, 832, 612},
		{198, 1280, 614}, {640, 1280, 1056}, {648, 2304, 1064}, {1056, 2304, 1472},
		{1672, 4352, 2088}, {2080, 4352, 2496}, {3720, 8448, 4136}, {4128, 8448, 4544},
		{7816, 16640, 8232}, {8972, 16640, 9388}, {16384, 17216, 16800}, {32768, 33600, 0},
		{65000, 65832, 0}};

	for (unsigned i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		uint32_t alone = w->ops->rx_cost(w, seen[i][0], false);

		assert_in_range(alone, seen[i][1], seen[i][1] * 2 + 64);
		assert_in_range(w->ops->rx_cost(w, seen[i][0], true), seen[i][2], seen[i][0] + 448);
	}
	for (uint32_t len = 16, last = 0; len <= 65504; len += 4) {
		uint32_t alone = w->ops->rx_cost(w, len, false);

		assert_true(alone >= last && alone > len);
		last = alone;
	}
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_v4),
		cmocka_unit_test(test_sizes_v4_plain),
		cmocka_unit_test(test_sizes_v6),
		cmocka_unit_test(test_trains_equal),
		cmocka_unit_test(test_trains_unequal),
		cmocka_unit_test(test_mixed_paths),
		cmocka_unit_test(test_identification_sent),
		cmocka_unit_test(test_tos_ttl),
		cmocka_unit_test(test_path_errors),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_no_stats),
		cmocka_unit_test(test_rx_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
