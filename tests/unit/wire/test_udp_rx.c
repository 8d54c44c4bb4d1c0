/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of what the UDP wire does with packets that its own kind did not send: corrupted, cut
 * short, random, for somebody else, with identifications as other stacks count them; and of its
 * buffers.
 */
#include <stdio.h>
#include <time.h>

#include "udp_pair.h"
#include "base/clock.h"
#include "wire/udp_priv.h"

/* A sender of our own, unconnected and with DF as the wire's, but with full control of the bytes.
 */
struct raw {
	struct pair *p;
	int fd;
	struct fns_icrc_flow flow;
	struct sockaddr_in to;
};

static struct raw *raw_make(void)
{
	struct raw *r = calloc(1, sizeof(*r));
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	assert_non_null(r);
	r->p = pair_make((struct pair_cfg){0});
	r->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(r->fd >= 0);
	assert_int_equal(bind(r->fd, (struct sockaddr *)&sa, len), 0);
	r->to = sa;
	r->to.sin_port = htons(r->p->b.port);
	assert_int_equal(getsockname(r->fd, (struct sockaddr *)&sa, &len), 0);
	memcpy(r->flow.src, r->p->a.gid.b, 16);
	memcpy(r->flow.dst, r->p->b.gid.b, 16);
	r->flow.sport = ntohs(sa.sin_port);
	r->flow.dport = r->p->b.port;
	return r;
}

static void raw_free(struct raw *r)
{
	close(r->fd);
	pair_free(r->p);
	free(r);
}

static void raw_send(struct raw *r, const void *pkt, size_t len)
{
	assert_int_equal(sendto(r->fd, pkt, len, 0, (struct sockaddr *)&r->to, sizeof(r->to)), len);
}

/* Sums the body bytes at pkt as if sent with identification id and puts the ICRC behind them.
 * Returns the length. */
static uint32_t icrc_put(struct raw *r, uint8_t *pkt, uint32_t body, uint16_t id)
{
	uint32_t crc = fns_icrc_begin(&r->flow, (uint16_t)(8 + body + 4), id);

	crc = fns_icrc_final(fns_icrc_bth(crc, pkt, body));
	for (int i = 0; i < 4; i++)
		pkt[body + i] = (uint8_t)(crc >> 8 * i);
	return body + 4;
}

/* A good packet with len bytes of payload. Returns its length, ICRC included. */
static uint32_t packet(struct raw *r, uint8_t *pkt, uint32_t len, uint32_t psn, uint16_t id)
{
	bth_put(pkt, PREFIX_B, psn, 0);
	fill(pkt + FNS_BTH_LEN, len, psn);
	return icrc_put(r, pkt, FNS_BTH_LEN + len, id);
}

/* Does what was sent last get through? */
static bool arrives(struct raw *r)
{
	unsigned n = rx_all(r->p, &r->p->b, 1);

	rx_release_all(r->p, &r->p->b);
	return n == 1;
}

/* Waits for a datagram: on a busy machine loopback delivers some time after sendto returned. */
static void comes(struct raw *r)
{
	struct pollfd pfd = {.fd = r->p->b.sock, .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, 5000), 1);
}

/* One call that must find a packet waiting and refuse it, for the reason of this counter alone. */
static void refused(struct raw *r, enum fns_counter why)
{
	static const enum fns_counter all[] = {FNS_C_drop_icrc, FNS_C_drop_short, FNS_C_drop_slot};
	uint64_t before[3], packets = count_of(&r->p->b, FNS_C_rx_packets);
	struct fns_rx_view v[FNS_RX_BATCH];

	for (int i = 0; i < 3; i++)
		before[i] = count_of(&r->p->b, all[i]);
	comes(r);
	assert_int_equal(r->p->b.w->ops->rx_burst(r->p->b.w, v, FNS_RX_BATCH), 0);
	assert_int_equal(count_of(&r->p->b, FNS_C_rx_packets), packets + 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(count_of(&r->p->b, all[i]), before[i] + (all[i] == why));
}

/* After a packet with an identification that is not a FlexiNS peer's, ours are only believed near
 * to it. Before, one wrong packet in 65,536 finds some identification that fits. */
static void make_known(struct raw *r)
{
	uint8_t pkt[64];

	raw_send(r, pkt, packet(r, pkt, 8, 0, 1000));
	assert_true(arrives(r));
}

static void test_every_corrupted_bit(void **s)
{
	struct raw *r = raw_make();
	uint8_t pkt[128];
	uint32_t len = packet(r, pkt, 40, 1, 0);

	for (uint32_t bit = 0; bit < len * 8; bit++) {
		bool resv8a =
			bit / 8 == 4; /* the one byte of the packet that the ICRC leaves out */

		pkt[bit / 8] ^= (uint8_t)(1 << bit % 8);
		raw_send(r, pkt, len);
		if (resv8a)
			assert_true(arrives(r));
		else
			refused(r, bit / 8 == 5 ? FNS_C_drop_slot : FNS_C_drop_icrc);
		pkt[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	raw_send(r, pkt, len);
	assert_true(arrives(r));
	raw_free(r);
}

static void test_truncated(void **s)
{
	struct raw *r = raw_make();
	uint8_t pkt[128];
	uint32_t len = packet(r, pkt, 40, 1, 0);

	make_known(r);
	for (uint32_t cut = 0; cut < len; cut++) {
		raw_send(r, pkt, cut);
		refused(r, cut < 16 ? FNS_C_drop_short : FNS_C_drop_icrc);
	}
	raw_send(r, pkt, packet(r, pkt, 0, 2, 0)); /* the shortest that there is */
	assert_true(arrives(r));
	raw_free(r);
}

static void test_slot(void **s)
{
	struct raw *r = raw_make();
	uint8_t pkt[64];

	for (uint32_t prefix = 0; prefix < 256; prefix++) {
		bth_put(pkt, (uint8_t)prefix, 1, 0);
		raw_send(r, pkt, icrc_put(r, pkt, FNS_BTH_LEN, 0));
		if (prefix == PREFIX_B)
			assert_true(arrives(r));
		else
			refused(r, FNS_C_drop_slot);
	}
	put_be24(pkt + 5, FNS_QPN_MULTICAST);
	raw_send(r, pkt, icrc_put(r, pkt, FNS_BTH_LEN, 0));
	assert_true(arrives(r));
	raw_free(r);
}

/*
 * Of 10,000 packets of noise about 6,600 name our slot; each passes by chance once in a million
 * (docs/conformance.md, ICRC). More than two of them are no chance.
 */
static void test_garbage(void **s)
{
	struct raw *r = raw_make();
	static uint8_t pkt[9000];
	uint64_t x = 88172645463325252ull, drops;
	unsigned lucky = 0;

	make_known(r);
	for (unsigned i = 0; i < 10000; i++) {
		struct fns_rx_view v[FNS_RX_BATCH];
		uint32_t len;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		len = i % 16 ? x % 200 : x % sizeof(pkt);
		for (uint32_t k = 0; k < len; k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			pkt[k] = (uint8_t)(x >> 32);
		}
		if (len > 5 && i % 3)
			pkt[5] = PREFIX_B;
		raw_send(r, pkt, len);
		while (i % 10 == 9 && count_of(&r->p->b, FNS_C_rx_packets) < i + 2) {
			unsigned n;

			comes(r);
			n = r->p->b.w->ops->rx_burst(r->p->b.w, v, FNS_RX_BATCH);
			lucky += n;
			while (n)
				r->p->b.w->ops->rx_release(r->p->b.w, &v[--n]);
		}
	}
	drops = count_of(&r->p->b, FNS_C_drop_icrc) + count_of(&r->p->b, FNS_C_drop_short) +
		count_of(&r->p->b, FNS_C_drop_slot);
	assert_true(lucky <= 2);
	assert_int_equal(drops, 10000 - lucky);
	raw_send(r, pkt, packet(r, pkt, 100, 1, 0));
	assert_true(arrives(r));
	raw_free(r);
}

/* A corrupted segment in a train takes none of its neighbours along. */
static void test_corrupt_in_train(void **s)
{
	struct raw *r = raw_make();
	static uint8_t pkt[32 * 80];
	uint8_t control[CMSG_SPACE(2)] = {0};
	struct iovec iov = {pkt, sizeof(pkt)};
	struct msghdr m = {.msg_name = &r->to,
		.msg_namelen = sizeof(r->to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	uint16_t seg = 80;

	c->cmsg_level = 17;
	c->cmsg_type = 103; /* UDP_SEGMENT */
	c->cmsg_len = CMSG_LEN(2);
	memcpy(CMSG_DATA(c), &seg, 2);
	/* Two trains of 16 and 16 with identifications from 0, as GRO may merge them. */
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(packet(r, pkt + i * 80, 64, i, i % 16), 80);
	pkt[5 * 80 + 20] ^= 1;
	pkt[6 * 80 + 20] ^= 1;
	pkt[16 * 80 + 79] ^= 1;
	assert_int_equal(sendmsg(r->fd, &m, 0), sizeof(pkt));
	assert_int_equal(rx_all(r->p, &r->p->b, 29), 29);
	for (uint32_t i = 0, k = 0; i < 32; i++)
		if (i != 5 && i != 6 && i != 16)
			assert_int_equal(get_be24(r->p->views[k++].data + 9), i);
	rx_release_all(r->p, &r->p->b);
	assert_int_equal(count_of(&r->p->b, FNS_C_drop_icrc), 3);
	raw_free(r);
}

/*
 * Identifications up to 127 are ours and need no history; others must be near to what came before,
 * but for the very first.
 */
static void test_identification(void **s)
{
	struct raw *r = raw_make();
	uint8_t pkt[128];
	/* In order: the identification, and whether it may be believed. */
	static const struct {
		uint16_t id;
		bool ok;
	} step[] = {{0, true}, {127, true}, {1, true}, {128, true}, {129, true}, {130, true},
		{130, true}, {160, true}, {9000, false}, {161, true}, {40000, false},
		{20000, false}, {50000, false}, {50003, true}, {50010, true}, {49800, true},
		{50011, true}, {48963, true}, {47900, false}, {65530, false}, {65533, true},
		{127, true}, {140, true}, {390, true}, {2700, false}};

	for (unsigned i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		raw_send(r, pkt, packet(r, pkt, 50, i, step[i].id));
		if (step[i].ok)
			assert_true(arrives(r));
		else
			refused(r, FNS_C_drop_icrc);
	}
	raw_free(r);
}

/* The peer's counter moves on while it is silent; after a long silence it may be anywhere. */
static void test_identification_idle(void **s)
{
	struct raw *r = raw_make();
	uint8_t pkt[128];
	struct timespec nap = {.tv_nsec = 300 * 1000 * 1000};

	raw_send(r, pkt, packet(r, pkt, 50, 0, 1000));
	assert_true(arrives(r));
	nanosleep(&nap, NULL);
	/* 700 ahead: more than without the silence, less than with it. 4200: more than after any.
	 */
	raw_send(r, pkt, packet(r, pkt, 50, 0, 1700));
	assert_true(arrives(r));
	raw_send(r, pkt, packet(r, pkt, 50, 0, 5900));
	refused(r, FNS_C_drop_icrc);
	for (int shared = 0; shared < 2; shared++) {
		struct udp_wire *w = udp_of(r->p->b.w);

		/* As if five seconds had gone by; then the same with another pair's entry of late.
		 */
		for (unsigned i = 0; i < UDP_IDENT_PEERS; i++) {
			w->ident[i].known_ns -= w->ident[i].known ? 5000000000u : 0;
			if (shared) {
				w->ident[i].src.b[15] ^= 1;
				w->ident[i].known_ns = fns_clock_now_ns();
			}
		}
		raw_send(r, pkt, packet(r, pkt, 50, 0, shared ? 50000 : 40000));
		if (shared)
			refused(r, FNS_C_drop_icrc);
		else
			assert_true(arrives(r));
		raw_send(r, pkt, packet(r, pkt, 50, 0, shared ? 50001 : 60000));
		if (shared)
			assert_true(arrives(r));
		else
			refused(r, FNS_C_drop_icrc);
	}
	raw_free(r);
}

/* Views that are held keep their buffers; when all are held nothing more comes, and nothing is
 * lost. */
static void test_buffers(void **s)
{
	struct raw *r = raw_make();
	struct fns_wire *w = r->p->b.w;
	uint8_t pkt[128];
	struct fns_rx_view v[FNS_RX_BATCH], held[40];
	unsigned n = 0;
	void *top;

	for (uint32_t i = 0; i < 30; i++)
		raw_send(r, pkt, packet(r, pkt, 50, i, 0));
	for (int i = 0; i < 40; i++) {
		unsigned k;

		comes(r); /* the rest stays in the socket */
		k = w->ops->rx_burst(w, v, FNS_RX_BATCH);
		memcpy(held + n, v, k * sizeof(v[0]));
		n += k;
	}
	assert_int_equal(n, 16);
	for (unsigned i = 0; i < n; i++) {
		uint8_t want[128];

		packet(r, want, 50, i, 0);
		assert_memory_equal(held[i].data, want, held[i].len); /* not overwritten */
		for (unsigned k = 0; k < i; k++)
			assert_ptr_not_equal(held[k].buf, held[i].buf);
	}
	/* Last released, first used. */
	top = held[7].buf;
	for (unsigned i = 0; i < n; i++)
		if (i != 7)
			w->ops->rx_release(w, &held[i]);
	w->ops->rx_release(w, &held[7]);
	for (uint32_t i = 16; i < 30;) { /* each round brings one or more, or fails */
		unsigned k;

		comes(r);
		k = w->ops->rx_burst(w, v, FNS_RX_BATCH);
		assert_true(k > 0);
		if (i == 16)
			assert_ptr_equal(v[0].buf, top);
		for (unsigned j = 0; j < k; j++, i++) {
			assert_int_equal(get_be24(v[j].data + 9), i);
			w->ops->rx_release(w, &v[j]);
		}
	}
	raw_free(r);
}

/* More segments than views: the rest comes with the next call, in order. */
static void test_leftover(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	static struct fns_frame f[FNS_TX_BATCH];
	struct fns_wire *w = p->b.w;
	struct fns_rx_view v[FNS_RX_BATCH];
	uint32_t psn = 0;

	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < FNS_TX_BATCH; i++)
			frame_make(&f[i], p->ab, round * FNS_TX_BATCH + i, NULL, 0);
		assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, FNS_TX_BATCH), FNS_TX_BATCH);
	}
	for (unsigned calls = 0; psn < 4 * FNS_TX_BATCH; calls++) {
		struct pollfd pfd = {.fd = p->b.sock, .events = POLLIN};
		unsigned n = w->ops->rx_burst(w, v, 50);

		if (n == 0)
			(void)poll(&pfd, 1, 100);
		assert_true(n <= 50 && calls < 100);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(get_be24(v[i].data + 9), psn++);
			w->ops->rx_release(w, &v[i]);
		}
	}
	assert_int_equal(count_of(&p->b, FNS_C_drop_icrc), 0);
	pair_free(p);
}

/* The fourth and later columns of /proc/net/udp for our port: bytes waiting and datagrams dropped.
 */
static void udp_queue(uint16_t port, unsigned *waiting, unsigned *drops)
{
	FILE *f = fopen("/proc/net/udp", "re");
	char line[256];
	unsigned found = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned lport, rx, d;

		if (sscanf(line,
			    " %*u: %*x:%x %*x:%*x %*x %*x:%x %*x:%*x %*x %*u %*u %*u %*u %*x %u",
			    &lport, &rx, &d) == 3 &&
			lport == port) {
			*waiting = rx;
			*drops = d;
			found++;
		}
	}
	assert_int_equal(fclose(f), 0);
	assert_int_equal(found, 1);
}

/* Nothing that is sent to a transmit socket is kept. */
static void test_transmit_socket_is_deaf(void **s)
{
	struct raw *r = raw_make();
	struct fns_frame f;
	unsigned waiting, drops;

	frame_make(&f, r->p->ab, 1, NULL, 0);
	assert_int_equal(r->p->a.w->ops->tx_burst(r->p->a.w, &f, 1), 1);
	assert_int_equal(rx_all(r->p, &r->p->b, 1), 1);
	r->to.sin_port = htons(r->p->views[0].sport);
	rx_release_all(r->p, &r->p->b);
	for (int i = 0; i < 10; i++)
		raw_send(r, "x", 1);
	for (int i = 0; i < 200; i++) { /* loopback may be late on a busy machine */
		udp_queue(ntohs(r->to.sin_port), &waiting, &drops);
		if (waiting || drops == 10)
			break;
		(void)poll(NULL, 0, 10);
	}
	assert_int_equal(waiting, 0);
	assert_int_equal(drops, 10);
	assert_int_equal(r->p->a.w->ops->tx_burst(r->p->a.w, &f, 1), 1);
	assert_true(arrives(r));
	raw_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_corrupted_bit),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_slot),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_corrupt_in_train),
		cmocka_unit_test(test_identification),
		cmocka_unit_test(test_identification_idle),
		cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_leftover),
		cmocka_unit_test(test_transmit_socket_is_deaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
