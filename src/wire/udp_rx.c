/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 6/9: UDP datagrams and trains of them become views, each a packet whose ICRC is right.
 * In-cache: a few buffers, recycled last-in first-out, and no more asked of the kernel in one call
 * than a second-level cache holds. To compare with, the convention: a ring of tens of megabytes,
 * used and released in turn, all else the same. Called by the engine.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/util.h"
#include "wire/udp_priv.h"

#define RESV8A      4u
#define BTH_DEST_QP 5u

static size_t mem_len(const struct udp_wire *w)
{
	return (size_t)w->rx_bufs * UDP_RX_STRIDE;
}

int fns_udp_rx_init(struct udp_wire *w)
{
	w->rx_ring = w->cfg.rx_ring_mib != 0;
	/* Each is filled by a train. */
	w->rx_bufs = w->rx_ring ? FNS_MAX(w->cfg.rx_ring_mib * ((1u << 20) / UDP_RX_BUF_LEN),
					  UDP_RX_BUFS)
				: UDP_RX_BUFS;
	w->rx_buf = aligned_alloc(64, FNS_ALIGN_UP(w->rx_bufs * sizeof(*w->rx_buf), (size_t)64));
	if (!w->rx_buf)
		return -ENOMEM;
	memset(w->rx_buf, 0, w->rx_bufs * sizeof(*w->rx_buf));
	w->rx_mem = mmap(NULL, mem_len(w), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (w->rx_mem == MAP_FAILED) {
		free(w->rx_buf);
		return -errno;
	}
	for (uint32_t i = 0; i < w->rx_bufs; i++) {
		w->rx_buf[i].mem = w->rx_mem + (size_t)i * UDP_RX_STRIDE;
		if (!w->rx_ring)
			w->rx_free[UDP_RX_BUFS - 1 - i] = &w->rx_buf[i];
	}
	w->rx_nfree = w->rx_bufs;
	w->rx_want = 1;
	return 0;
}

void fns_udp_rx_fini(struct udp_wire *w)
{
	munmap(w->rx_mem, mem_len(w));
	free(w->rx_buf);
}

/* The ith buffer to use from here on. */
static struct udp_rxbuf *buf_ahead(const struct udp_wire *w, uint32_t i)
{
	if (fns_likely(!w->rx_ring))
		return w->rx_free[w->rx_nfree - 1 - i];
	return &w->rx_buf[(w->rx_next + i) % w->rx_bufs];
}

/* Uses the next buffer. */
static struct udp_rxbuf *buf_take(struct udp_wire *w)
{
	struct udp_rxbuf *b = buf_ahead(w, 0);

	w->rx_nfree--;
	if (fns_unlikely(w->rx_ring))
		w->rx_next = (w->rx_next + 1) % w->rx_bufs;
	return b;
}

/* One of the ring is released: free are it and those behind it only once all before it are. */
static void ring_reclaim(struct udp_wire *w)
{
	while (w->rx_nfree < w->rx_bufs && w->rx_buf[w->rx_oldest].refs == 0) {
		w->rx_oldest = (w->rx_oldest + 1) % w->rx_bufs;
		w->rx_nfree++;
	}
}

static void buf_unref(struct udp_wire *w, struct udp_rxbuf *b)
{
	if (--b->refs != 0)
		return;
	if (fns_unlikely(w->rx_ring))
		ring_reclaim(w);
	else
		w->rx_free[w->rx_nfree++] = b;
}

void fns_udp_rx_release(struct fns_wire *base, struct fns_rx_view *v)
{
	buf_unref(udp_of(base), v->buf);
}

static void gid_put_v4(struct fns_gid *g, const void *addr)
{
	memset(g->b, 0, 10);
	g->b[10] = g->b[11] = 0xff;
	memcpy(g->b + 12, addr, 4);
}

/* TOS and TTL come as a byte or as an int, by family and option. */
static uint8_t cmsg_byte(const struct cmsghdr *c)
{
	int v;

	if (c->cmsg_len < CMSG_LEN(sizeof(v)))
		return *CMSG_DATA(c);
	memcpy(&v, CMSG_DATA(c), sizeof(v));
	return (uint8_t)v;
}

static void cmsg_read(struct udp_rxbuf *b, const struct cmsghdr *c)
{
	int v;

	if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
		memcpy(&v, CMSG_DATA(c), sizeof(v));
		if (v > 0)
			b->seg = (uint32_t)v;
	} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo pi;

		memcpy(&pi, CMSG_DATA(c), sizeof(pi));
		gid_put_v4(&b->dst, &pi.ipi_addr);
		b->addressed = true;
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo pi;

		memcpy(&pi, CMSG_DATA(c), sizeof(pi));
		memcpy(b->dst.b, &pi.ipi6_addr, 16);
		b->addressed = true;
	} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) ||
		   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)) {
		b->tos = cmsg_byte(c);
	} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
		   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
		b->ttl = cmsg_byte(c);
	}
}

/* What the kernel says of one message. */
static void buf_fill(struct udp_wire *w, struct udp_rxbuf *b, struct msghdr *m, uint32_t len)
{
	b->refs = 1;
	b->len = b->seg = len;
	b->off = 0;
	b->next_id = 0;
	b->tos = b->ttl = 0;
	b->addressed = false;
	b->crc_len = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		cmsg_read(b, c);
	if (b->from.sin6_family == AF_INET6) {
		memcpy(b->src.b, &b->from.sin6_addr, 16);
		b->sport = ntohs(b->from.sin6_port);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&b->from;

		gid_put_v4(&b->src, &in->sin_addr);
		b->sport = ntohs(in->sin_port);
	}
	memcpy(b->flow.src, b->src.b, 16);
	memcpy(b->flow.dst, b->dst.b, 16);
	b->flow.sport = b->sport;
	b->flow.dport = w->lport;
	b->flow.ipv6 = !fns_gid_is_v4(&b->src);
}

static void slot_prepare(struct udp_wire *w, uint32_t slot, struct udp_rxbuf *b)
{
	struct msghdr *m = &w->rx_mm[slot].msg_hdr;

	w->rx_iov[slot] = (struct iovec){b->mem, UDP_RX_BUF_LEN};
	m->msg_name = &b->from;
	m->msg_namelen = sizeof(b->from);
	m->msg_iov = &w->rx_iov[slot];
	m->msg_iovlen = 1;
	m->msg_control = b->control;
	m->msg_controllen = sizeof(b->control);
	m->msg_flags = 0;
}

/*
 * How many messages to ask for next: one while single packets trickle (a second look costs more
 * than it brings), twice as many when all that were asked for came, but not more bytes than stay in
 * the cache until they are placed.
 */
static void want_adapt(struct udp_wire *w, uint32_t asked, uint32_t got, uint32_t bytes)
{
	uint32_t want = got == asked ? asked * 2 : FNS_MAX(got, 1u), fit = UDP_RX_BUFS;

	if (bytes)
		fit = FNS_MAX(UDP_RX_BYTES / FNS_MAX(bytes / got, 1u), 1u);
	w->rx_want = FNS_MIN(FNS_MIN(want, fit), UDP_RX_BUFS);
}

/* One call to the kernel. Messages go to rx_wait. */
static void receive(struct udp_wire *w)
{
	uint32_t k = FNS_MIN(w->rx_want, w->rx_nfree), bytes = 0;
	int got;

	w->rx_head = w->rx_nwait = 0;
	if (k == 0)
		return; /* all buffers are held: the kernel's queue waits */
	for (uint32_t i = 0; i < k; i++)
		slot_prepare(w, i, buf_ahead(w, i));
	if (k == 1) {
		ssize_t len = recvmsg(w->cfg.sock, &w->rx_mm[0].msg_hdr, MSG_DONTWAIT);

		w->rx_mm[0].msg_len = len < 0 ? 0 : (unsigned)len;
		got = len < 0 ? -1 : 1;
	} else {
		got = recvmmsg(w->cfg.sock, w->rx_mm, k, MSG_DONTWAIT, NULL);
	}
	if (got <= 0) {
		w->rx_want = 1;
		return;
	}
	for (int i = 0; i < got; i++) {
		struct udp_rxbuf *b = buf_take(w);

		buf_fill(w, b, &w->rx_mm[i].msg_hdr, w->rx_mm[i].msg_len);
		bytes += b->len;
		w->rx_wait[w->rx_nwait++] = b;
	}
	want_adapt(w, k, (uint32_t)got, bytes);
	udp_count(w, FNS_C_rx_bursts, 1);
}

/*
 * The sum with identification 0 is icrc, which is not what the packet says: does another
 * identification explain it, and may it be believed?
 */
static bool icrc_other_id(
	struct udp_wire *w, struct udp_rxbuf *b, uint32_t len, uint32_t icrc, uint32_t seen)
{
	/* The rest of the IP header, the UDP header and the packet but for the ICRC. */
	size_t after = 14 + UDP_HDR_LEN + len - FNS_ICRC_LEN;
	uint16_t id;

	if (b->flow.ipv6 || !fns_icrc_find_id(icrc, seen, after, &id))
		return false;
	if (id >= UDP_IDS && !fns_udp_ident_accept(w, &b->src, &b->dst, id))
		return false;
	b->next_id = id < UDP_IDS ? (uint16_t)(id + 1) : 0;
	return true;
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Is the ICRC of a packet of b right? */
static bool icrc_check(struct udp_wire *w, struct udp_rxbuf *b, uint8_t *p, uint32_t len)
{
	uint16_t udp_len = (uint16_t)(UDP_HDR_LEN + len);
	uint32_t seen = get_le32(p + len - FNS_ICRC_LEN), crc, body = len - FNS_ICRC_LEN;
	uint16_t id = b->next_id < UDP_IDS ? b->next_id : 0;
	uint8_t resv = p[RESV8A];

	if (b->crc_len != udp_len) {
		b->crc = fns_icrc_begin(&b->flow, udp_len, 0);
		b->crc_len = udp_len;
	}
	crc = b->flow.ipv6 ? b->crc : b->crc ^ w->id_delta[id];
	b->next_id = id + 1;
	/* One sum instead of two: resv8a counts as ones. The buffer is ours to change for a moment.
	 */
	p[RESV8A] = 0xff;
	crc = fns_icrc_final(fns_icrc_update(crc, p, body));
	p[RESV8A] = resv;
	if (fns_likely(crc == seen))
		return true;
	/* Back to identification 0: the difference of the sums is the same for all that follows. */
	if (!b->flow.ipv6 && id)
		crc = fns_icrc_shift_id(crc, id, 14 + UDP_HDR_LEN + body);
	if (crc == seen) { /* another train begins here, merged with the one before */
		b->next_id = 1;
		return true;
	}
	return icrc_other_id(w, b, len, crc, seen);
}

/* What to do with one packet: FNS_C_COUNT is to deliver it, else the counter of why not. */
static enum fns_counter packet_check(
	struct udp_wire *w, struct udp_rxbuf *b, uint8_t *p, uint32_t len)
{
	if (len < UDP_MIN_PACKET)
		return FNS_C_drop_short;
	if (p[BTH_DEST_QP] != w->cfg.prefix && get_be24(p + BTH_DEST_QP) != FNS_QPN_MULTICAST)
		return FNS_C_drop_slot;
	if (!b->addressed || !icrc_check(w, b, p, len))
		return FNS_C_drop_icrc;
	return FNS_C_COUNT;
}

/* Cuts b into at most max views, from where it was left. */
static unsigned buf_split(
	struct udp_wire *w, struct udp_rxbuf *b, struct fns_rx_view *views, unsigned max)
{
	uint32_t packets = 0, bytes = 0;
	unsigned n = 0;

	while (b->off < b->len && n < max) {
		uint8_t *p = b->mem + b->off;
		uint32_t len = FNS_MIN(b->seg, b->len - b->off);
		enum fns_counter drop = packet_check(w, b, p, len);

		b->off += len;
		packets++;
		bytes += len;
		if (fns_unlikely(w->base.tap != NULL))
			fns_udp_tap_rx(w, b, p, len, drop);
		if (fns_unlikely(drop != FNS_C_COUNT)) {
			udp_count(w, drop, 1);
			continue;
		}
		views[n].data = p;
		views[n].len = len - FNS_ICRC_LEN;
		views[n].ecn = b->tos & 3;
		views[n].tos = b->tos;
		views[n].ttl = b->ttl;
		views[n].sport = b->sport;
		views[n].src = b->src;
		views[n].dst = b->dst;
		views[n].buf = b;
		n++;
	}
	b->refs += n;
	udp_count(w, FNS_C_rx_packets, packets);
	udp_count(w, FNS_C_rx_bytes, bytes);
	return n;
}

unsigned fns_udp_rx_burst(struct fns_wire *base, struct fns_rx_view *views, unsigned max)
{
	struct udp_wire *w = udp_of(base);
	unsigned n = 0;

	if (w->rx_head == w->rx_nwait)
		receive(w);
	while (w->rx_head < w->rx_nwait) {
		struct udp_rxbuf *b = w->rx_wait[w->rx_head];

		n += buf_split(w, b, views + n, max - n);
		if (b->off < b->len)
			break; /* views are full: the rest next time */
		if (b->len == 0) {
			udp_count(w, FNS_C_rx_packets, 1);
			udp_count(w, FNS_C_drop_short, 1);
		}
		w->rx_head++;
		buf_unref(w, b);
	}
	return n;
}
