/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of captures: two UDP wires with a tap on each, and a reader of this file's own for
 * what was written, which believes nothing that it can compute itself.
 */
#include "udp_pair.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/util.h"
#include "wire/capture.h"

#define PACKETS_MAX 600u

struct seen {
	uint64_t at_ns;
	uint32_t flags, len; /* len: BTH to ICRC */
	uint16_t sport, dport, id;
	bool v6, icrc_ok;
	uint8_t bth[FNS_BTH_LEN];
	char comment[200];
};

struct reader {
	struct seen p[PACKETS_MAX];
	unsigned n, sections, interfaces;
	bool has_stats;
	uint64_t stat_packets, stat_lost;
};

static uint64_t fake_ns;

static uint64_t fake_clock(void)
{
	return fake_ns += 7;
}

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint16_t fold(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void read_ip(struct seen *s, const uint8_t *p, uint32_t len)
{
	struct fns_icrc_flow f = {0};
	const uint8_t *udp, *end;
	uint32_t crc;

	s->v6 = p[0] >> 4 == 6;
	if (s->v6) {
		assert_int_equal(get_be16(p + 4), len - 40);
		assert_int_equal(p[6], 17);
		memcpy(f.src, p + 8, 16);
		memcpy(f.dst, p + 24, 16);
		udp = p + 40;
		assert_int_equal(fold(p + 8, len - 8, 17 + len - 40), 0xffff);
	} else {
		assert_int_equal(p[0], 0x45);
		assert_int_equal(get_be16(p + 2), len);
		assert_int_equal(get_be16(p + 6), 0x4000);
		assert_int_equal(p[9], 17);
		assert_int_equal(fold(p, 20, 0), 0xffff);
		s->id = get_be16(p + 4);
		f.src[10] = f.src[11] = f.dst[10] = f.dst[11] = 0xff;
		memcpy(f.src + 12, p + 12, 4);
		memcpy(f.dst + 12, p + 16, 4);
		udp = p + 20;
		assert_int_equal(fold(p + 12, len - 12, 17 + len - 20), 0xffff);
	}
	f.ipv6 = s->v6;
	s->sport = f.sport = get_be16(udp);
	s->dport = f.dport = get_be16(udp + 2);
	assert_int_equal(get_be16(udp + 4), p + len - udp);
	s->len = (uint32_t)(p + len - udp - 8);
	memcpy(s->bth, udp + 8, FNS_MIN(s->len, (uint32_t)sizeof(s->bth)));
	if (s->len < FNS_BTH_LEN + FNS_ICRC_LEN)
		return;
	crc = fns_icrc_begin(&f, (uint16_t)(s->len + 8), s->id);
	crc = fns_icrc_final(fns_icrc_bth(crc, udp + 8, s->len - FNS_ICRC_LEN));
	end = p + len - FNS_ICRC_LEN;
	s->icrc_ok = crc == ((uint32_t)end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 |
				    (uint32_t)end[3] << 24);
}

static void read_packet(struct reader *r, const uint8_t *b, uint32_t blen)
{
	struct seen *s = &r->p[r->n++];
	uint32_t cap = u32(b + 20);
	const uint8_t *o = b + 28 + FNS_ALIGN_UP(cap, 4u);

	assert_in_range(r->n, 1, PACKETS_MAX);
	assert_int_equal(u32(b + 8), 0);
	assert_int_equal(cap, u32(b + 24));
	s->at_ns = (uint64_t)u32(b + 12) << 32 | u32(b + 16);
	read_ip(s, b + 28, cap);
	for (;;) {
		uint32_t head = u32(o), len = head >> 16, code = head & 0xffff;

		if (code == 0)
			break;
		if (code == 2)
			s->flags = u32(o + 4);
		if (code == 1) {
			assert_in_range(len, 1, sizeof(s->comment) - 1);
			memcpy(s->comment, o + 4, len);
		}
		o += 4 + FNS_ALIGN_UP(len, 4u);
		assert_true(o < b + blen - 4);
	}
	assert_true(o + 8 == b + blen);
}

/* Little-endian machines only, as the tests of this file are. */
static struct reader *read_file(int fd)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct stat st;
	uint8_t *m;

	assert_int_equal(fstat(fd, &st), 0);
	m = malloc((size_t)st.st_size);
	assert_int_equal(pread(fd, m, (size_t)st.st_size, 0), st.st_size);
	for (off_t at = 0; at < st.st_size;) {
		const uint8_t *b = m + at;
		uint32_t len = u32(b + 4);

		assert_true(len % 4 == 0 && len >= 12 && at + (off_t)len <= st.st_size);
		assert_int_equal(u32(b + len - 4), len);
		assert_true((at == 0) == (u32(b) == 0x0a0d0d0a));
		switch (u32(b)) {
		case 0x0a0d0d0a:
			assert_int_equal(u32(b + 8), 0x1a2b3c4d);
			assert_int_equal(u32(b + 12), 1); /* 1.0 */
			r->sections++;
			break;
		case 1:
			assert_int_equal(u32(b + 8), 101);
			r->interfaces++;
			break;
		case 6:
			assert_int_equal(r->interfaces, 1);
			read_packet(r, b, len);
			break;
		case 5:
			r->has_stats = true;
			memcpy(&r->stat_packets, b + 24, 8);
			memcpy(&r->stat_lost, b + 36, 8);
			break;
		default:
			fail_msg("block of type %x", u32(b));
		}
		at += len;
	}
	assert_int_equal(r->sections, 1);
	free(m);
	return r;
}

struct watched {
	struct fns_capture *c;
	struct fns_wire *w;
	int fd;
};

static struct watched watch(struct fns_wire *w)
{
	char name[] = "/tmp/flexins-test-XXXXXX";
	struct watched x = {.w = w, .fd = mkstemp(name)};
	struct fns_capture_cfg cfg = {
		.fd = dup(x.fd), .app = "test", .now_ns = fake_clock, .wire = w};

	assert_true(x.fd >= 0);
	unlink(name);
	fake_ns = 1700000000ull * FNS_NSEC_PER_SEC;
	assert_int_equal(fns_capture_create(&cfg, &x.c), 0);
	w->tap = fns_capture_tap(x.c);
	return x;
}

static struct reader *unwatch(struct watched x)
{
	struct reader *r;

	x.w->tap = NULL;
	assert_int_equal(fns_capture_destroy(x.c, 5000), 0);
	r = read_file(x.fd);
	close(x.fd);
	return r;
}

/* n frames of this payload in one burst, and one shorter that ends the train; both sides watch. */
static void train(struct pair_cfg c, unsigned n, uint32_t len)
{
	struct pair *p = pair_make(c);
	struct watched a = watch(p->a.w), b = watch(p->b.w);
	static uint8_t data[4096];
	struct fns_frame f[64];
	struct fns_sg sg[2] = {{data, NULL, len - 8}, {data + 64, NULL, 8}};
	struct fns_sg end = {data, NULL, 21};
	struct reader *ra, *rb;

	fill(data, sizeof(data), len);
	for (unsigned i = 0; i < n; i++)
		frame_make(&f[i], p->ab, i, sg, 2);
	frame_make(&f[n], p->ab, n, &end, 1);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, n + 1), n + 1);
	assert_int_equal(rx_all(p, &p->b, n + 1), n + 1);
	rx_release_all(p, &p->b);
	ra = unwatch(a);
	rb = unwatch(b);
	assert_int_equal(ra->n, n + 1);
	assert_int_equal(rb->n, n + 1);
	assert_true(ra->has_stats && ra->stat_packets == n + 1 && ra->stat_lost == 0);
	assert_int_equal(count_of(&p->a, FNS_C_capture_packets), n + 1);
	for (unsigned i = 0; i <= n; i++) {
		const struct seen *x = &ra->p[i], *y = &rb->p[i];

		assert_true(x->icrc_ok && y->icrc_ok);
		assert_int_equal(x->flags, 2);
		assert_int_equal(y->flags, 1);
		assert_int_equal(get_be24(x->bth + 9), i);
		assert_int_equal(get_be24(y->bth + 9), i);
		assert_int_equal(x->sport, y->sport);
		assert_int_equal(x->dport, p->b.port);
		assert_int_equal(y->dport, p->b.port);
		assert_int_equal(x->id, y->id);
		assert_int_equal(x->v6, c.v6);
		/* A train counts up, single packets all have 0. */
		if (!c.v6)
			assert_int_equal(x->id, count_of(&p->a, FNS_C_tx_trains) == 1 ? i : 0);
		assert_int_equal(x->len, i < n ? 12 + len + 4 : 12 + 24 + 4);
		assert_string_equal(x->comment, "");
		assert_true(x->at_ns > 1700000000ull * FNS_NSEC_PER_SEC);
		assert_true(i == 0 || x->at_ns > ra->p[i - 1].at_ns);
	}
	free(ra);
	free(rb);
	pair_free(p);
}

static void test_train_v4(void **s)
{
	train((struct pair_cfg){0}, 10, 1024);
	train((struct pair_cfg){0}, 40, 64);
}

static void test_train_v6(void **s)
{
	train((struct pair_cfg){.v6 = true}, 10, 1024);
}

static void test_single(void **s)
{
	train((struct pair_cfg){.no_gso = true}, 10, 4096);
	train((struct pair_cfg){.no_gro = true}, 10, 4096);
	train((struct pair_cfg){.plain = true}, 3, 256);
}

/* What the wire drops is in the capture, with the reason. */
static void test_drops(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct watched b = watch(p->b.w);
	static uint8_t data[64];
	struct fns_sg sg = {data, NULL, 64};
	struct fns_frame f[3];
	struct reader *r;

	for (unsigned i = 0; i < 3; i++)
		frame_make(&f[i], p->ab, i, &sg, 1);
	f[1].icrc_xor = 0x80000001;
	f[2].hdr[5] ^= 0xff; /* another slot */
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 3), 3);
	assert_int_equal(rx_all(p, &p->b, 2), 1);
	rx_release_all(p, &p->b);
	r = unwatch(b);
	assert_int_equal(r->n, 3);
	assert_string_equal(r->p[0].comment, "");
	assert_string_equal(r->p[1].comment, "dropped: drop_icrc (packets with a wrong ICRC)");
	assert_false(r->p[1].icrc_ok);
	assert_string_equal(
		r->p[2].comment, "dropped: drop_slot (packets for another process's slot)");
	free(r);
	pair_free(p);
}

/* Payload that vanishes between sending and looking costs the capture a packet, nothing else. */
static void test_memory_gone(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct watched a = watch(p->a.w);
	uint8_t *m = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = {m, 100};
	struct fns_tap_packet t = {
		.src = p->a.gid, .dst = p->b.gid, .iov = &iov, .len = 100, .drop = FNS_C_COUNT};
	struct reader *r;

	p->a.w->tap->packet(p->a.w->tap, &t);
	r = unwatch(a);
	assert_int_equal(r->n, 0);
	assert_int_equal(r->stat_lost, 1);
	assert_int_equal(count_of(&p->a, FNS_C_capture_lost), 1);
	free(r);
	munmap(m, 4096);
	pair_free(p);
}

/* A reader that does not read: the datapath goes on, what does not fit is counted. */
static void test_slow_reader(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	static uint8_t data[60000];
	struct iovec iov = {data, sizeof(data)};
	struct fns_tap_packet t = {.src = p->a.gid,
		.dst = p->b.gid,
		.iov = &iov,
		.len = sizeof(data),
		.drop = FNS_C_COUNT,
		.ip_id = 0};
	struct fns_capture *c;
	int pipefd[2];
	uint64_t fit;

	assert_int_equal(pipe(pipefd), 0);
	struct fns_capture_cfg cfg = {
		.fd = pipefd[1], .app = "test", .now_ns = fake_clock, .wire = p->a.w};

	assert_int_equal(fns_capture_create(&cfg, &c), 0);
	for (unsigned i = 0; i < 1000; i++)
		fns_capture_tap(c)->packet(fns_capture_tap(c), &t);
	fit = count_of(&p->a, FNS_C_capture_packets);
	assert_in_range(fit, FNS_CAPTURE_RING / sizeof(data) - 2, FNS_CAPTURE_RING / 50000 + 25);
	assert_int_equal(count_of(&p->a, FNS_C_capture_lost), 1000 - fit);
	close(pipefd[0]); /* gone: the writer ends with an error and without a signal */
	assert_int_equal(fns_capture_destroy(c, 5000), -EIO);
	pair_free(p);
}

/* More than the ring holds, one after the other: the blocks that cross its end are whole. */
static void test_ring_wraps(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	struct watched a = watch(p->a.w);
	static uint8_t data[60001];
	struct reader *r;

	for (unsigned i = 0; i < 500; i++) {
		uint32_t len = 60000 - i % 97;
		struct iovec iov[2] = {{data, 1000}, {data, len - 999}};
		struct fns_tap_packet t = {.src = p->a.gid,
			.dst = p->b.gid,
			.iov = iov,
			.skip = 1,
			.len = len,
			.drop = FNS_C_COUNT,
			.ip_id = (int32_t)i,
			.out = true};

		memset(data, (int)i, sizeof(data));
		for (unsigned tries = 0; tries < 5000; tries++) {
			uint64_t lost = count_of(&p->a, FNS_C_capture_lost);

			p->a.w->tap->packet(p->a.w->tap, &t);
			if (count_of(&p->a, FNS_C_capture_lost) == lost)
				break;
			usleep(1000);
		}
	}
	r = unwatch(a);
	assert_int_equal(r->n, 500);
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(r->p[i].id, i);
		assert_int_equal(r->p[i].bth[0], i & 0xff);
		assert_int_equal(r->p[i].len, 60000 - i % 97);
	}
	free(r);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_train_v4),
		cmocka_unit_test(test_train_v6),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_memory_gone),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_ring_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
