/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes captures. The engine's thread puts finished pcapng blocks into a ring, a thread of our own
 * writes them out, so that a slow disk or a stopped reader costs packets of the capture, which are
 * counted, and never time of the datapath.
 *
 * Why not libpcap: it writes the older pcap format only, which has no comments (here: why a packet
 * was dropped), no direction and no count of packets lost. pcapng takes four kinds of block, all
 * of which are below (draft-ietf-opsawg-pcapng).
 */
#include "wire/capture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/thread.h"
#include "base/util.h"
#include "mem/guard.h"
#include "roce/icrc.h"

#define BLOCK_SECTION   0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_STATS     5u
#define BLOCK_PACKET    6u
#define BYTE_ORDER_MARK 0x1a2b3c4du
#define LINKTYPE_RAW    101u /* begins with an IP header */
#define OPT_END         0u
#define OPT_COMMENT     1u
#define OPT_APP         4u /* of a section */
#define OPT_IF_NAME     2u
#define OPT_IF_TSRESOL  9u
#define OPT_FLAGS       2u /* of a packet */
#define OPT_IF_RECV     4u
#define OPT_IF_DROP     5u
#define FLAG_IN         1u
#define FLAG_OUT        2u

#define IP4_LEN     20u
#define IP6_LEN     40u
#define UDP_LEN     8u
#define COMMENT_MAX 160u
/* Of a packet block besides the packet. */
#define BLOCK_SLACK (64u + COMMENT_MAX)
#define WRITE_MAX   (1u << 20)
#define FLUSH_MS    50

struct fns_capture {
	struct fns_tap tap;
	struct fns_capture_cfg cfg;
	uint8_t *ring;                      /* mapped twice in a row: every block is contiguous */
	_Alignas(64) _Atomic uint64_t tail; /* written by the engine's thread */
	uint64_t packets, lost;             /* engine's thread */
	_Alignas(64) _Atomic uint64_t head; /* written by the writer */
	_Atomic bool stop, failed, done;
	int wake;
	pthread_t thread;
};

/* --- blocks --- */

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4); /* in the host's order: the mark in the header tells which */
	return p + 4;
}

static uint8_t *put_option(uint8_t *p, uint16_t code, const void *data, uint16_t len)
{
	memcpy(p, &code, 2);
	memcpy(p + 2, &len, 2);
	memcpy(p + 4, data, len);
	memset(p + 4 + len, 0, FNS_ALIGN_UP(len, 4u) - len);
	return p + 4 + FNS_ALIGN_UP(len, 4u);
}

/* Closes a block that begins at b and has come to p; returns its length. */
static uint32_t block_end(uint8_t *b, uint8_t *p)
{
	uint32_t len;

	p = put32(p, OPT_END);
	len = (uint32_t)(p - b) + 4;
	put32(p, len);
	put32(b + 4, len);
	return len;
}

static uint32_t put_section(uint8_t *b, const char *app)
{
	static const uint16_t version[2] = {1, 0};
	uint8_t *p = put32(b, BLOCK_SECTION) + 4;

	p = put32(p, BYTE_ORDER_MARK);
	memcpy(p, version, sizeof(version));
	p += sizeof(version);
	memset(p, 0xff, 8); /* length of the section: not told */
	p = put_option(p + 8, OPT_APP, app, (uint16_t)strnlen(app, 200));
	return block_end(b, p);
}

static uint32_t put_interface(uint8_t *b)
{
	static const uint8_t nanoseconds = 9;
	uint8_t *p = put32(b, BLOCK_INTERFACE) + 4;

	p = put32(p, LINKTYPE_RAW);
	p = put32(p, 0); /* whole packets */
	p = put_option(p, OPT_IF_NAME, "flexins", 7);
	p = put_option(p, OPT_IF_TSRESOL, &nanoseconds, 1);
	return block_end(b, p);
}

static uint32_t put_stats(uint8_t *b, uint64_t now, uint64_t packets, uint64_t lost)
{
	uint8_t *p = put32(b, BLOCK_STATS) + 4;

	p = put32(p, 0);
	p = put32(p, (uint32_t)(now >> 32));
	p = put32(p, (uint32_t)now);
	p = put_option(p, OPT_IF_RECV, &packets, 8);
	p = put_option(p, OPT_IF_DROP, &lost, 8);
	return block_end(b, p);
}

/* --- headers as on the wire --- */

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len >= 2; p += 2, len -= 2)
		sum += get_be16(p); /* 64 KiB cannot overflow 32 bits */
	return len ? sum + (uint32_t)*p * 256 : sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Addresses at addr, the UDP header behind it at udp. */
static void put_udp(
	uint8_t *udp, const uint8_t *addr, uint32_t addr_len, const struct fns_tap_packet *t)
{
	uint32_t len = UDP_LEN + t->len, sum;

	put_be16(udp, t->sport);
	put_be16(udp + 2, t->dport);
	put_be16(udp + 4, (uint16_t)len);
	put_be16(udp + 6, 0);
	sum = sum_fold(sum16(sum16(17 + len, addr, addr_len), udp, len));
	put_be16(udp + 6, sum ? (uint16_t)sum : 0xffff);
}

static void put_ip4(uint8_t *p, const struct fns_tap_packet *t, uint16_t id)
{
	p[0] = 0x45;
	p[1] = t->tos;
	put_be16(p + 2, (uint16_t)(IP4_LEN + UDP_LEN + t->len));
	put_be16(p + 4, id);
	put_be16(p + 6, 0x4000); /* DF */
	p[8] = t->ttl;
	p[9] = 17;
	put_be16(p + 10, 0);
	memcpy(p + 12, t->src.b + 12, 4);
	memcpy(p + 16, t->dst.b + 12, 4);
	put_be16(p + 10, sum_fold(sum16(0, p, IP4_LEN)));
	put_udp(p + IP4_LEN, p + 12, 8, t);
}

static void put_ip6(uint8_t *p, const struct fns_tap_packet *t)
{
	put_be32(p, 0x60000000u | (uint32_t)t->tos << 20);
	put_be16(p + 4, (uint16_t)(UDP_LEN + t->len));
	p[6] = 17;
	p[7] = t->ttl;
	memcpy(p + 8, t->src.b, 16);
	memcpy(p + 24, t->dst.b, 16);
	put_udp(p + IP6_LEN, p + 8, 32, t);
}

/* The identification that the sender used is the one that makes the ICRC right; 0 if none does. */
static uint16_t find_id(const struct fns_tap_packet *t, const uint8_t *bth)
{
	struct fns_icrc_flow flow = {.sport = t->sport, .dport = t->dport};
	uint16_t udp_len = (uint16_t)(UDP_LEN + t->len), id = 0;
	uint32_t crc, seen;
	const uint8_t *end;

	if (t->drop != FNS_C_COUNT || t->len < FNS_BTH_LEN + FNS_ICRC_LEN)
		return 0;
	memcpy(flow.src, t->src.b, 16);
	memcpy(flow.dst, t->dst.b, 16);
	crc = fns_icrc_bth(fns_icrc_begin(&flow, udp_len, 0), bth, t->len - FNS_ICRC_LEN);
	end = bth + t->len - FNS_ICRC_LEN;
	seen = (uint32_t)end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 |
	       (uint32_t)end[3] << 24;
	return fns_icrc_find_id(fns_icrc_final(crc), seen, fns_icrc_len_after_id(udp_len), &id) ? id
												: 0;
}

/* Not inlined: its variables would live in the frame that a fault comes back to. */
static __attribute__((noinline)) void copy_pieces(uint8_t *to, const struct fns_tap_packet *t)
{
	const struct iovec *v = t->iov;
	size_t skip = t->skip, left = t->len;

	for (; left > 0; v++) {
		size_t n;

		if (skip >= v->iov_len) {
			skip -= v->iov_len;
			continue;
		}
		n = FNS_MIN(v->iov_len - skip, left);
		memcpy(to, (const uint8_t *)v->iov_base + skip, n);
		to += n;
		left -= n;
		skip = 0;
	}
}

/* False: application memory faulted. */
static bool copy(uint8_t *to, const struct fns_tap_packet *t)
{
	struct fns_guard g;

	if (!fns_guard_begin(&g))
		return false;
	copy_pieces(to, t);
	fns_guard_end();
	return true;
}

static uint8_t *put_comment(uint8_t *p, enum fns_counter drop)
{
	static const struct {
		const char *name, *text;
	} counters[FNS_C_COUNT] = {
#define X(name, text) {#name, text},
		FNS_COUNTERS(X)
#undef X
	};
	char text[COMMENT_MAX];
	int n = snprintf(
		text, sizeof(text), "dropped: %s (%s)", counters[drop].name, counters[drop].text);

	return put_option(p, OPT_COMMENT, text, (uint16_t)FNS_MIN(n, (int)sizeof(text) - 1));
}

/* A packet block at b; its length, 0 if its memory faulted. */
static uint32_t put_packet(uint8_t *b, const struct fns_tap_packet *t, uint64_t now)
{
	bool v4 = fns_gid_is_v4(&t->src);
	uint32_t ip_len = v4 ? IP4_LEN : IP6_LEN, len = ip_len + UDP_LEN + t->len;
	uint32_t flags = t->out ? FLAG_OUT : FLAG_IN;
	uint8_t *p = put32(b, BLOCK_PACKET) + 4, *bth;

	p = put32(p, 0);
	p = put32(p, (uint32_t)(now >> 32));
	p = put32(p, (uint32_t)now);
	p = put32(p, len);
	p = put32(p, len);
	bth = p + ip_len + UDP_LEN;
	if (!copy(bth, t))
		return 0;
	if (v4)
		put_ip4(p, t, t->ip_id >= 0 ? (uint16_t)t->ip_id : find_id(t, bth));
	else
		put_ip6(p, t);
	memset(p + len, 0, FNS_ALIGN_UP(len, 4u) - len);
	p += FNS_ALIGN_UP(len, 4u);
	p = put_option(p, OPT_FLAGS, &flags, 4);
	if (t->drop != FNS_C_COUNT)
		p = put_comment(p, t->drop);
	return block_end(b, p);
}

/* --- the engine's thread --- */

static void count(struct fns_capture *c, enum fns_counter which)
{
	if (c->cfg.wire->stats)
		fns_count(c->cfg.wire->stats, which);
}

static void capture_packet(struct fns_tap *tap, const struct fns_tap_packet *t)
{
	struct fns_capture *c = fns_container_of(tap, struct fns_capture, tap);
	uint64_t tail = atomic_load_explicit(&c->tail, memory_order_relaxed), used, one = 1;
	uint32_t room = BLOCK_SLACK + IP6_LEN + UDP_LEN + t->len, len = 0;

	/* Pairs with the writer's release: what it has written out may be overwritten. */
	used = tail - atomic_load_explicit(&c->head, memory_order_acquire);
	if (room <= FNS_CAPTURE_RING - used)
		len = put_packet(c->ring + tail % FNS_CAPTURE_RING, t, c->cfg.now_ns());
	if (len == 0) {
		c->lost++;
		count(c, FNS_C_capture_lost);
		return;
	}
	c->packets++;
	count(c, FNS_C_capture_packets);
	atomic_store_explicit(&c->tail, tail + len, memory_order_release);
	/* Once when a quarter is full; else the writer looks by itself soon enough. */
	if (used < FNS_CAPTURE_RING / 4 && used + len >= FNS_CAPTURE_RING / 4 &&
		write(c->wake, &one, sizeof(one)) < 0)
		return; /* the writer looks by itself */
}

/* --- the writer --- */

static bool write_all(struct fns_capture *c, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(c->cfg.fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) { /* a pipe that somebody made non-blocking */
			struct pollfd pfd = {.fd = c->cfg.fd, .events = POLLOUT};

			if (poll(&pfd, 1, FLUSH_MS) >= 0)
				continue;
		}
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static void *writer(void *arg)
{
	struct fns_capture *c = arg;
	uint64_t head = 0, n, woken;
	bool stop, ok = true;

	do {
		struct pollfd pfd = {.fd = c->wake, .events = POLLIN};

		stop = atomic_load_explicit(&c->stop, memory_order_acquire);
		if (!stop && poll(&pfd, 1, FLUSH_MS) > 0 &&
			read(c->wake, &woken, sizeof(woken)) < 0)
			continue;
		/* Pairs with the release in capture_packet. */
		while (ok &&
			(n = atomic_load_explicit(&c->tail, memory_order_acquire) - head) > 0) {
			n = FNS_MIN(n, WRITE_MAX);
			ok = write_all(c, c->ring + head % FNS_CAPTURE_RING, n);
			head += n;
			atomic_store_explicit(&c->head, head, memory_order_release);
		}
		if (!ok) /* nothing will leave the ring: packets count as lost */
			atomic_store(&c->failed, true);
	} while (!stop && ok);
	atomic_store(&c->done, true);
	return NULL;
}

static int ring_map(struct fns_capture *c)
{
	int fd = memfd_create("flexins-capture", MFD_CLOEXEC), err = 0;
	uint8_t *m;

	if (fd < 0)
		return -errno;
	m = MAP_FAILED;
	if (ftruncate(fd, FNS_CAPTURE_RING) == 0)
		m = mmap(NULL, 2 * (size_t)FNS_CAPTURE_RING, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED) {
		err = -errno;
	} else if (mmap(m, FNS_CAPTURE_RING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			   0) == MAP_FAILED ||
		   mmap(m + FNS_CAPTURE_RING, FNS_CAPTURE_RING, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		err = -errno;
		munmap(m, 2 * (size_t)FNS_CAPTURE_RING);
	} else {
		c->ring = m;
	}
	close(fd);
	return err;
}

static void capture_free(struct fns_capture *c)
{
	if (c->ring)
		munmap(c->ring, 2 * (size_t)FNS_CAPTURE_RING);
	if (c->wake >= 0)
		close(c->wake);
	free(c);
}

int fns_capture_create(const struct fns_capture_cfg *cfg, struct fns_capture **out)
{
	struct fns_capture *c = aligned_alloc(64, FNS_ALIGN_UP(sizeof(*c), 64));
	uint32_t len;
	int err;

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->tap.packet = capture_packet;
	c->cfg = *cfg;
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = c->wake < 0 ? -errno : ring_map(c);
	if (err == 0) {
		len = put_section(c->ring, cfg->app);
		len += put_interface(c->ring + len);
		atomic_store_explicit(&c->tail, len, memory_order_release);
		err = fns_thread_start(&c->thread, writer, c, NULL);
	}
	if (err) {
		capture_free(c);
		return err;
	}
	*out = c;
	return 0;
}

struct fns_tap *fns_capture_tap(struct fns_capture *c)
{
	return &c->tap;
}

bool fns_capture_failed(const struct fns_capture *c)
{
	return atomic_load(&c->failed);
}

int fns_capture_destroy(struct fns_capture *c, unsigned wait_ms)
{
	uint64_t tail = atomic_load_explicit(&c->tail, memory_order_relaxed), one = 1;
	int err;

	if (tail - atomic_load_explicit(&c->head, memory_order_acquire) + BLOCK_SLACK <=
		FNS_CAPTURE_RING)
		atomic_store_explicit(&c->tail,
			tail + put_stats(c->ring + tail % FNS_CAPTURE_RING, c->cfg.now_ns(),
				       c->packets, c->lost),
			memory_order_release);
	atomic_store_explicit(&c->stop, true, memory_order_release);
	(void)!write(c->wake, &one, sizeof(one));
	for (unsigned i = 0; i < wait_ms && !atomic_load(&c->done); i++)
		(void)poll(NULL, 0, 1);
	if (!atomic_load(&c->done)) {
		/* Stuck in a write that may never end: it keeps its memory and descriptor. */
		pthread_detach(c->thread);
		return -EIO;
	}
	pthread_join(c->thread, NULL);
	err = fns_capture_failed(c) ? -EIO : 0;
	close(c->cfg.fd);
	capture_free(c);
	return err;
}
