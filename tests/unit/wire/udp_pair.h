/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of the UDP wire: two wires in one process, each with a socket of its own on an
 * ephemeral port of the loopback interface, and frames between them.
 */
#ifndef TESTS_UNIT_WIRE_UDP_PAIR_H
#define TESTS_UNIT_WIRE_UDP_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "pipe/modes.h"
#include "roce/icrc.h"
#include "wire/wire.h"

#define PREFIX_A     0x11
#define PREFIX_B     0x22
#define OP_SEND_ONLY 0x04

struct end {
	struct fns_wire *w;
	int sock;
	uint16_t port;
	struct fns_gid gid;
	struct fns_stats *stats;
};

struct pair {
	struct end a, b;
	struct fns_path *ab; /* from a to b */
	struct fns_rx_view views[FNS_RX_BATCH];
	unsigned n; /* views received */
};

static inline struct fns_gid gid_of(bool v6)
{
	static const struct fns_gid v4 = {{[10] = 0xff, 0xff, 127, 0, 0, 1}}, loop6 = {{[15] = 1}};

	return v6 ? loop6 : v4;
}

/* A dual-stack socket as the keeper makes them, or a plain one. */
static inline int sock_make(bool dual, uint16_t *port)
{
	int fd = socket(dual ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0,
	    big = 4 << 20;
	struct sockaddr_storage sa = {.ss_family = dual ? AF_INET6 : AF_INET};
	socklen_t len = dual ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

	assert_true(fd >= 0);
	if (dual)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(dual ? ((struct sockaddr_in6 *)&sa)->sin6_port
			   : ((struct sockaddr_in *)&sa)->sin_port);
	return fd;
}

static inline void end_wire(struct end *e, uint16_t peer_port, uint8_t prefix, bool gso, bool gro)
{
	struct fns_wire_udp_cfg cfg = {
		.sock = e->sock, .prefix = prefix, .port = peer_port, .gso = gso, .gro = gro};
	const char *rx = getenv("FLEXINS_RX");
	struct fns_modes m = {0};

	assert_true(fns_rx_mode_parse(rx, &m));
	cfg.rx_ring_mib = m.rx_ring_mib;
	e->w = fns_wire_udp_create(&cfg);
	assert_non_null(e->w);
	e->stats = mmap(NULL, sizeof(*e->stats), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(e->stats != MAP_FAILED);
	e->w->stats = e->stats;
}

struct pair_cfg {
	bool v6, plain, no_gso, no_gro;
};

static inline struct pair *pair_make(struct pair_cfg c)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->a.sock = sock_make(!c.plain, &p->a.port);
	p->b.sock = sock_make(!c.plain, &p->b.port);
	p->a.gid = p->b.gid = gid_of(c.v6);
	end_wire(&p->a, p->b.port, PREFIX_A, !c.no_gso, !c.no_gro);
	end_wire(&p->b, p->a.port, PREFIX_B, !c.no_gso, !c.no_gro);
	assert_int_equal(
		p->a.w->ops->path_get(p->a.w, &p->a.gid, &p->b.gid, 0, PREFIX_B, 0, 64, &p->ab), 0);
	return p;
}

static inline void end_free(struct end *e)
{
	e->w->ops->destroy(e->w);
	munmap(e->stats, sizeof(*e->stats));
	close(e->sock);
}

static inline void pair_free(struct pair *p)
{
	p->a.w->ops->path_put(p->a.w, p->ab);
	end_free(&p->a);
	end_free(&p->b);
	free(p);
}

static inline uint64_t count_of(const struct end *e, enum fns_counter c)
{
	return atomic_load(&e->stats->counter[c]);
}

/* A BTH for slot prefix, with resv8a not zero: it must be summed as ones all the same. */
static inline void bth_put(uint8_t *h, uint8_t prefix, uint32_t psn, uint8_t pad)
{
	memset(h, 0, FNS_BTH_LEN);
	h[0] = OP_SEND_ONLY;
	h[1] = (uint8_t)(pad << 4);
	put_be16(h + 2, FNS_PKEY_DEFAULT);
	h[4] = 0x40;
	put_be24(h + 5, (uint32_t)prefix << 16 | 7);
	put_be24(h + 9, psn);
}

/* A frame of one path with pieces sg. */
static inline void frame_make(struct fns_frame *f, struct fns_path *path, uint32_t psn,
	const struct fns_sg *sg, uint8_t nsg)
{
	memset(f, 0, sizeof(*f));
	f->path = path;
	f->psn = psn;
	f->sg = sg;
	f->nsg = nsg;
	for (uint8_t i = 0; i < nsg; i++)
		f->payload_len += sg[i].len;
	f->pad = (uint8_t)(-f->payload_len & 3);
	f->hdr_len = FNS_BTH_LEN;
	f->status = 0xee;
	bth_put(f->hdr, path->prefix, psn, f->pad);
}

/* Receives until want views are there or nothing comes for half a second. Views of earlier calls
 * must have been released. */
static inline unsigned rx_all(struct pair *p, struct end *e, unsigned want)
{
	struct pollfd pfd = {.fd = e->sock, .events = POLLIN};

	p->n = 0;
	for (int calls = 0, idle = 0; calls < 1000 && idle < 2 && p->n < want; calls++) {
		struct fns_rx_view v[FNS_RX_BATCH];
		unsigned n = e->w->ops->rx_burst(e->w, v, FNS_RX_BATCH);

		assert_true(p->n + n <= FNS_RX_BATCH);
		memcpy(p->views + p->n, v, n * sizeof(v[0]));
		p->n += n;
		if (n == 0 && poll(&pfd, 1, 250) == 0)
			idle++;
	}
	return p->n;
}

static inline void rx_release_all(struct pair *p, struct end *e)
{
	for (unsigned i = 0; i < p->n; i++)
		e->w->ops->rx_release(e->w, &p->views[i]);
	p->n = 0;
}

static inline void fill(uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((i * 131 + seed * 29 + (i >> 8)) ^ seed >> 3);
}

#endif
