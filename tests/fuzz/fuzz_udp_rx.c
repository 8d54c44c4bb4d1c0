/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the receive path of the UDP wire with real datagrams and trains over loopback: lengths,
 * segment sizes, prefixes, good and bad ICRCs. Every view must be a segment that was sent, whole,
 * in order, for this prefix, with a right ICRC; every other segment must be counted; and all
 * buffers come back in whatever order views are released.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "roce/icrc.h"
#include "wire/udp_priv.h"

#define PREFIX   0x11
#define OPS_MAX  32u
#define SEGS_MAX 512u
#define HELD_MAX 64u
#define DATA_MAX 16384u

/* Made once: sockets cost more than everything else. */
static struct fns_wire *wire;
static struct fns_stats stats;
static int rx_fd, tx_fd = -1;
static uint16_t rx_port, tx_port;

/* What was sent and not yet seen again. */
struct seg {
	uint8_t *data;
	uint32_t len;
};

struct udp_fuzz {
	struct seg seg[SEGS_MAX];
	unsigned head, tail;
	struct fns_rx_view held[HELD_MAX];
	unsigned nheld;
};

static int make_socket(uint16_t *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), big = 4 << 20;

	fz_check(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	fz_check(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	*port = ntohs(sa.sin_port);
	return fd;
}

static void setup(void)
{
	struct fns_wire_udp_cfg cfg = {.prefix = PREFIX, .port = 4791, .gso = true, .gro = true};
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = IP_PMTUDISC_DO;

	if (wire)
		return;
	rx_fd = make_socket(&rx_port);
	tx_fd = make_socket(&tx_port);
	/* Without fragments, as FlexiNS sends: identifications count from 0 in each train. */
	(void)setsockopt(tx_fd, IPPROTO_IP, IP_MTU_DISCOVER, &on, sizeof(on));
	sa.sin_port = htons(rx_port);
	fz_check(connect(tx_fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	cfg.sock = rx_fd;
	wire = fns_wire_udp_create(&cfg);
	fz_check(wire);
	wire->stats = &stats;
}

static uint64_t count(enum fns_counter c)
{
	return atomic_load_explicit(&stats.counter[c], memory_order_relaxed);
}

static struct fns_icrc_flow flow(void)
{
	struct fns_icrc_flow f = {
		.src = {[10] = 0xff, 0xff, 127, 0, 0, 1}, .sport = tx_port, .dport = rx_port};

	memcpy(f.dst, f.src, sizeof(f.dst));
	return f;
}

/* The sum with identification id; resv8a counts as ones. */
static uint32_t icrc_of(const uint8_t *p, uint32_t len, uint16_t id)
{
	const struct fns_icrc_flow f = flow();
	uint32_t crc = fns_icrc_begin(&f, (uint16_t)(UDP_HDR_LEN + len + FNS_ICRC_LEN), id);

	return fns_icrc_final(fns_icrc_bth(crc, p, len));
}

/* One segment: bytes as they are, the destination prefix and the ICRC perhaps made right. */
static void make_segment(struct fz_in *in, uint8_t *p, uint32_t len, uint16_t id)
{
	uint8_t how = fz_u8(in), fill = fz_u8(in);
	uint32_t icrc;

	memset(p, fill, len);
	fz_bytes(in, p, FNS_MIN(len, how & 0x0fu));
	if (how & 0x80 && len > 7)
		p[5] = PREFIX;
	if (how & 0x40 && len > 7)
		put_be24(p + 5, FNS_QPN_MULTICAST);
	if (how & 0x20 && len >= UDP_MIN_PACKET) {
		icrc = icrc_of(
			p, len - FNS_ICRC_LEN, how & 0x10 ? (uint16_t)(id + (fill & 3)) : id);
		for (unsigned i = 0; i < FNS_ICRC_LEN; i++)
			p[len - FNS_ICRC_LEN + i] = (uint8_t)(icrc >> 8 * i);
	}
}

static void remember(struct udp_fuzz *f, const uint8_t *p, uint32_t len)
{
	struct seg *s = &f->seg[f->tail++];

	s->data = malloc(len ? len : 1);
	s->len = len;
	fz_check(s->data);
	memcpy(s->data, p, len);
}

static void op_send(struct udp_fuzz *f, struct fz_in *in)
{
	static uint8_t buf[DATA_MAX];
	uint32_t seg = fz_u16(in) % 4200, n = fz_u8(in) % UDP_MAX_SEGS + 1, total, pos;
	uint8_t last = fz_u8(in);
	struct udp_gso_control ctl = {0};
	struct iovec iov = {buf, 0};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	uint16_t id = 0;

	if (seg == 0 || seg * n > DATA_MAX)
		n = 1;
	total = seg * n - (n > 1 ? FNS_MIN(last, seg - 1) : 0);
	if (f->tail + n > SEGS_MAX)
		return;
	for (pos = 0; pos < total; pos += seg)
		make_segment(in, buf + pos, FNS_MIN(seg, total - pos), id++);
	iov.iov_len = total;
	if (n > 1) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)ctl.b;
		uint16_t size = (uint16_t)seg;

		m.msg_control = ctl.b;
		m.msg_controllen = sizeof(ctl.b);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(c), &size, sizeof(size));
	}
	/* A receive buffer that is full, or a kernel without trains: then it was not sent. */
	if (sendmsg(tx_fd, &m, MSG_DONTWAIT) != (ssize_t)total)
		return;
	if (total == 0)
		remember(f, buf, 0);
	for (pos = 0; pos < total; pos += seg)
		remember(f, buf + pos, FNS_MIN(seg, total - pos));
}

static bool icrc_explained(const uint8_t *p, uint32_t body, uint16_t *id)
{
	uint32_t seen = (uint32_t)p[body] | (uint32_t)p[body + 1] << 8 |
			(uint32_t)p[body + 2] << 16 | (uint32_t)p[body + 3] << 24;
	uint32_t zero = icrc_of(p, body, 0);

	*id = 0;
	return zero == seen || fns_icrc_find_id(zero, seen, 14 + UDP_HDR_LEN + body, id);
}

static void check_view(struct udp_fuzz *f, const struct fns_rx_view *v)
{
	const struct seg *s;
	uint16_t id;

	/* Segments before it were dropped. */
	for (;;) {
		fz_check(f->head < f->tail);
		s = &f->seg[f->head++];
		/* The ICRC still stands behind the view. */
		if (s->len == v->len + FNS_ICRC_LEN && memcmp(s->data, v->data, s->len) == 0)
			break;
	}
	fz_check(v->len >= FNS_BTH_LEN && v->sport == tx_port);
	fz_check(s->data[5] == PREFIX || get_be24(s->data + 5) == FNS_QPN_MULTICAST);
	fz_check(icrc_explained(s->data, v->len, &id));
}

static void release(struct udp_fuzz *f, unsigned i)
{
	fns_udp_rx_release(wire, &f->held[i]);
	f->held[i] = f->held[--f->nheld];
}

static unsigned op_receive(struct udp_fuzz *f, uint8_t keep)
{
	struct fns_rx_view v[FNS_RX_BATCH];
	unsigned n = fns_udp_rx_burst(wire, v, FNS_RX_BATCH);

	fz_check(n <= FNS_RX_BATCH);
	for (unsigned i = 0; i < n; i++) {
		check_view(f, &v[i]);
		if (f->nheld < HELD_MAX && (keep >> i % 8 & 1))
			f->held[f->nheld++] = v[i];
		else
			fns_udp_rx_release(wire, &v[i]);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct udp_fuzz f;
	struct fz_in in = {data, size};
	struct udp_wire *w;
	uint64_t sent = 0;
	struct pollfd pfd;

	setup();
	w = udp_of(wire);
	pfd = (struct pollfd){.fd = rx_fd, .events = POLLIN};
	memset(&stats.counter, 0, sizeof(stats.counter));
	memset(w->ident, 0, sizeof(w->ident));
	f.head = f.tail = f.nheld = 0;
	for (unsigned i = 0; i < OPS_MAX && fz_more(&in); i++) {
		uint8_t op = fz_u8(&in);

		switch (op & 3) {
		case 0:
		case 1:
			op_send(&f, &in);
			break;
		case 2:
			op_receive(&f, op >> 2 & 0x3f);
			break;
		default:
			if (f.nheld)
				release(&f, (op >> 2) % f.nheld);
			break;
		}
	}
	while (f.nheld)
		release(&f, f.nheld - 1);
	sent = f.tail;
	/* Loopback delivers inside of send: what is not there is nowhere. */
	for (unsigned i = 0; i < SEGS_MAX && (op_receive(&f, 0) || poll(&pfd, 1, 0) > 0); i++)
		;
	fz_check(w->rx_nfree == UDP_RX_BUFS);
	fz_check(count(FNS_C_rx_packets) == sent);
	for (unsigned i = 0; i < f.tail; i++)
		free(f.seg[i].data);
	return 0;
}
