/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the keeper's connections: clients of the keeper send any messages with any descriptors
 * over a real socket, disappear, do not read their answers, bring vaults. The group of sockets is
 * made once; the server around it is made by hand for each input, its loop is the harness. Checked:
 * answers are well-formed, one slot has one holder, no descriptor is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "fuzz.h"
#include "base/fds.h"
#include "keeper/server_priv.h"

#define OPS_MAX  64u
#define CLIENTS  6u
#define FDS_MAX  5u
#define FDS_LOOK 1200

struct client {
	int fd; /* -1: none */
	int prefix;
};

struct keeper_fuzz {
	struct fns_keeper_server *s;
	struct sockaddr_un addr;
	socklen_t addr_len;
	struct client c[CLIENTS];
	uint64_t now;
};

static struct fns_keeper_group group; /* of all inputs */
static int null_fd = -1;

/* Instead of base/log.c: every message is formatted, none is printed. */
void fns_log(enum fns_log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	(void)level;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

/* Questions to other hosts go nowhere. */
static void hello_send(void *ctx, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN])
{
	struct fns_hello h;
	uint64_t tid;

	(void)ctx;
	(void)ifindex;
	fz_check(fns_hello_parse(mad, &tid, &h) == FNS_HELLO_REQUEST);
	fz_check(!fns_gid_is_multicast(local) && !fns_gid_is_multicast(remote));
}

static void setup(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int sv[2], on = 1;

	if (null_fd >= 0)
		return;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	fz_check(null_fd >= 0);
	fns_keeper_group_init(&group);
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++) {
		group.sock[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		fz_check(group.sock[i] >= 0);
		/* All on one port of the kernel's choice, so that a vault of theirs is believed. */
		fz_check(setsockopt(group.sock[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
		fz_check(bind(group.sock[i], (struct sockaddr *)&sa, sizeof(sa)) == 0);
		fz_check(getsockname(group.sock[i], (struct sockaddr *)&sa, &len) == 0);
		fz_check(fns_keeper_group_shut_slot(&group, i) >= 0);
	}
	fz_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	group.vault = sv[0];
	group.port = ntohs(sa.sin_port);
	close(sv[1]);
}

/* Descriptors that are open, of those that an input may have made. */
static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < FDS_LOOK; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void server_init(struct keeper_fuzz *k, struct fz_in *in)
{
	struct fns_keeper_server *s = calloc(1, sizeof(*s));
	uint8_t b = fz_u8(in);

	fz_check(s);
	k->s = s;
	s->cfg = (struct fns_keeper_config){.port = group.port,
		.gro = b & 1,
		.linger_ns = 1,
		.quarantine_ns = 1000,
		.vault = -1};
	for (; s->cfg.n_allow < (b >> 2 & 7); s->cfg.n_allow++)
		s->cfg.allow[s->cfg.n_allow] = UINT32_MAX - 1;
	s->group = group;
	s->up = !(b & 2);
	if (!s->up)
		fns_keeper_group_init(&s->group);
	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX; i++)
		s->conn[i].fd = -1;
	s->spare = -1;
	s->hellos.send = hello_send;
	fns_keeper_hello_init(&s->hellos, &(struct fns_hello){.version = 1}, 1);
	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Without a name the kernel chooses one that is free. */
	k->addr.sun_family = AF_UNIX;
	fz_check(s->epfd >= 0 && s->listener >= 0);
	fz_check(bind(s->listener, (struct sockaddr *)&k->addr, sizeof(sa_family_t)) == 0);
	k->addr_len = sizeof(k->addr);
	fz_check(getsockname(s->listener, (struct sockaddr *)&k->addr, &k->addr_len) == 0);
	fz_check(listen(s->listener, 16) == 0);
	fns_keeper_slots_init(&s->slots, s->cfg.quarantine_ns, k->now);
}

/* One slot, one holder; the counts are what they count. */
static void check_server(const struct keeper_fuzz *k)
{
	const struct fns_keeper_server *s = k->s;
	unsigned holders[FNS_KEEPER_SLOTS] = {0}, held = 0, waiting = 0, conns = 0, asks = 0;

	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX; i++) {
		const struct fns_keeper_conn *c = &s->conn[i];

		conns += c->fd >= 0;
		asks += c->n_asks;
		fz_check(c->n_asks <= (c->fd >= 0 ? FNS_KEEPER_ASKS_MAX : 0));
		if (c->fd < 0)
			fz_check(c->prefix < 0 || c->gen == 0);
		else if (c->prefix >= 0)
			holders[c->prefix]++;
	}
	fz_check(conns == s->n_conns && asks == s->n_asks);
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++) {
		enum fns_keeper_slot_state st = s->slots.slot[i].state;

		fz_check(holders[i] == (st == FNS_KEEPER_HELD));
		held += st == FNS_KEEPER_HELD;
		waiting += st == FNS_KEEPER_ORPHANED || st == FNS_KEEPER_QUARANTINED;
	}
	fz_check(held == s->slots.held && waiting == s->slots.waiting);
	fz_check(s->slots.slot[FNS_KEEPER_SLOT_CM].state == FNS_KEEPER_OWN);
	fz_check(s->slots.slot[FNS_KEEPER_SLOT_MC].state == FNS_KEEPER_OWN);
}

/* What the loop of server.c does with its events, all that are due. */
static void serve(struct keeper_fuzz *k)
{
	for (unsigned i = 0; i < 64; i++) {
		struct epoll_event ev;
		struct fns_keeper_conn *c;

		fns_keeper_conn_accept(k->s, k->now);
		if (epoll_wait(k->s->epfd, &ev, 1, 0) <= 0)
			break;
		c = &k->s->conn[(uint32_t)ev.data.u64 % FNS_KEEPER_CONNS_MAX];
		if (ev.data.u64 >> 56 == FNS_KEEPER_TAG_CONN)
			fns_keeper_conn_read(k->s, c, k->now);
	}
	check_server(k);
}

static void op_connect(struct keeper_fuzz *k, struct client *c)
{
	if (c->fd >= 0)
		return;
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->prefix = -1;
	fz_check(c->fd >= 0);
	if (connect(c->fd, (struct sockaddr *)&k->addr, k->addr_len) < 0) {
		close(c->fd);
		c->fd = -1;
	}
	serve(k);
}

static void op_close(struct keeper_fuzz *k, struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = c->prefix = -1;
	serve(k);
}

/* A vault as a client may bring it: messages of the right form with wrong descriptors, or not. */
static int make_vault(struct fz_in *in)
{
	int sv[2], send_fds[64];
	uint8_t n = fz_u8(in) % 5;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return dup(null_fd);
	for (unsigned i = 0; i < n; i++) {
		union {
			char buf[CMSG_SPACE(sizeof(send_fds))];
			struct cmsghdr align;
		} ctl = {0};
		uint8_t b = fz_u8(in);
		unsigned count = b & 1 ? 64 : b % 64;
		uint32_t vm[3] = {FNS_KEEPER_MAGIC, i * 64, count};
		struct iovec iov = {vm, b & 2 ? fz_u8(in) % sizeof(vm) : sizeof(vm)};
		struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

		if (b & 4)
			fz_poke(in, vm, sizeof(vm));
		for (unsigned f = 0; f < count; f++)
			send_fds[f] = b & 8 ? null_fd : group.sock[(i * 64 + f) % 256];
		if (count) {
			struct cmsghdr *c = &ctl.align;

			mh.msg_control = ctl.buf;
			mh.msg_controllen = CMSG_SPACE(count * sizeof(int));
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(count * sizeof(int));
			memcpy(CMSG_DATA(c), send_fds, count * sizeof(int));
		}
		(void)!sendmsg(sv[1], &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	close(sv[1]);
	return sv[0];
}

static int make_fd(struct keeper_fuzz *k, struct fz_in *in, int prefix)
{
	uint8_t b = fz_u8(in);

	(void)k;
	switch (b & 7) {
	case 0:
		return dup(null_fd);
	case 1:
	case 2:
	case 3:
		return dup(group.sock[prefix >= 0 ? prefix : b]);
	case 4:
		return dup(group.vault);
	case 5:
		return make_vault(in);
	case 6:
		return epoll_create1(EPOLL_CLOEXEC);
	default:
		return dup(group.sock[b]);
	}
}

/* As fns_keeper_msg_send(), without its limits. */
static void send_raw(int sock, const void *buf, size_t len, const int *fds, unsigned nfds)
{
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} ctl = {0};
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&ctl.align), fds, nfds * sizeof(int));
	}
	(void)!sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void op_message(struct keeper_fuzz *k, struct client *c, struct fz_in *in)
{
	static const uint16_t types[] = {
		FNS_KEEPER_LEASE, FNS_KEEPER_REATTACH, FNS_KEEPER_STATUS, FNS_KEEPER_RELEASE};
	uint8_t how = fz_u8(in);
	unsigned nfds = how >> 2 & 3;
	struct fns_keeper_msg m;
	int fds[FDS_MAX];

	if (nfds == 3 && how & 0x80)
		nfds = FDS_MAX; /* more than any message has */
	op_connect(k, c);
	if (c->fd < 0)
		return;
	fns_keeper_msg_init(&m, (enum fns_keeper_msg_type)types[how & 3]);
	m.prefix = how & 0x10 && c->prefix >= 0 ? (uint32_t)c->prefix : (uint32_t)fz_num(in);
	for (unsigned i = 0; i < nfds; i++)
		fds[i] = make_fd(k, in, how & 0x10 ? c->prefix : (int)(m.prefix % 256));
	if (how & 0x20) { /* other bytes in it */
		for (unsigned n = fz_u8(in) % 8; n; n--)
			fz_poke(in, &m, sizeof(m));
	}
	if (how & 0x40) {
		uint8_t raw[300];
		size_t len = fz_u16(in) % sizeof(raw);

		memcpy(raw, &m, FNS_MIN(len, sizeof(m)));
		if (len > sizeof(m))
			memset(raw + sizeof(m), how, len - sizeof(m));
		send_raw(c->fd, raw, len, fds, nfds);
	} else {
		send_raw(c->fd, &m, sizeof(m), fds, nfds);
	}
	fns_fds_close(fds, nfds);
	if (!(how & 0x80))
		serve(k);
}

/* Who is at an address? Of a few, so that they meet. */
static void op_hello(struct keeper_fuzz *k, struct client *c, struct fz_in *in)
{
	struct fns_keeper_msg m;
	uint8_t b = fz_u8(in);

	op_connect(k, c);
	if (c->fd < 0)
		return;
	fns_keeper_msg_init(&m, b & 1 ? FNS_KEEPER_HELLO : FNS_KEEPER_PEERS);
	m.prefix = b & 2 ? b >> 3 : fz_u32(in);
	if (b & 1) {
		m.hello.local[0] = m.hello.remote[0] = b & 4 ? 0xff : 0x20;
		m.hello.local[15] = 1;
		m.hello.remote[15] = b >> 3;
		m.hello.ifindex = b & 2;
	}
	send_raw(c->fd, &m, sizeof(m), NULL, 0);
	serve(k);
}

static void op_read(struct client *c)
{
	int fds[FNS_KEEPER_FDS_MAX], rc;
	struct fns_keeper_msg m;
	unsigned nfds;

	if (c->fd < 0)
		return;
	rc = fns_keeper_msg_recv(c->fd, &m, fds, &nfds, MSG_DONTWAIT);
	fz_check(rc == 0 || rc == -EAGAIN || rc == -ECONNRESET);
	if (rc)
		return;
	fz_check(m.type >= FNS_KEEPER_LEASED && m.type <= FNS_KEEPER_PEER);
	fz_check((m.type == FNS_KEEPER_ERROR) == (m.error < 0));
	if (m.type == FNS_KEEPER_ERROR)
		fz_check(m.text[0] != '\0' && nfds == 0);
	if (m.type == FNS_KEEPER_LEASED) {
		fz_check(m.prefix > FNS_KEEPER_SLOT_CM && m.prefix < FNS_KEEPER_SLOT_MC);
		fz_check(nfds == 0 || nfds == 2);
		c->prefix = (int)m.prefix;
	}
	if (m.type == FNS_KEEPER_SLOT)
		fz_check(m.prefix < FNS_KEEPER_SLOTS && m.state != FNS_KEEPER_FREE && nfds <= 1);
	fns_fds_close(fds, nfds);
}

/* The group comes up late, as new. */
static void op_up(struct keeper_fuzz *k)
{
	if (k->s->up)
		return;
	k->s->group = group;
	k->s->up = true;
	fns_keeper_slots_init(&k->s->slots, k->s->cfg.quarantine_ns, k->now);
	fns_keeper_conns_resume(k->s, k->now);
}

/* What server.c does with slots whose time is up, their sockets seen with nobody or somebody. */
static void op_time(struct keeper_fuzz *k, uint8_t b)
{
	struct fns_keeper_server *s = k->s;

	k->now += 1ull << (b >> 2 & 63) % 40;
	for (int p = -1; (p = fns_keeper_slots_due(&s->slots, (unsigned)(p + 1), k->now)) >= 0;) {
		if (b & 1 && fns_keeper_slots_renew(&s->slots, (unsigned)p, k->now))
			continue;
		if (s->slots.slot[p].state == FNS_KEEPER_ORPHANED)
			fns_keeper_server_reclaim(s, (unsigned)p, k->now);
		else
			fns_keeper_slots_free(&s->slots, (unsigned)p, k->now);
	}
	fns_keeper_conns_drop_idle(s, k->now);
	if (s->up) {
		fns_keeper_hello_tick(&s->hellos, k->now);
		fns_keeper_conns_tell(s, k->now);
	}
	check_server(k);
}

static void fini(struct keeper_fuzz *k)
{
	struct fns_keeper_server *s = k->s;

	for (unsigned i = 0; i < CLIENTS; i++)
		op_close(k, &k->c[i]);
	fz_check(s->n_conns == 0 && s->slots.held == 0);
	/* The group lives on; one that came out of a vault does not. */
	if (s->up && s->group.sock[0] == group.sock[0])
		fns_keeper_group_init(&s->group);
	fns_keeper_server_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keeper_fuzz k = {.now = 1000};
	struct fz_in in = {data, size};
	unsigned before;

	setup();
	before = open_fds();
	for (unsigned i = 0; i < CLIENTS; i++)
		k.c[i].fd = k.c[i].prefix = -1;
	server_init(&k, &in);
	for (unsigned i = 0; i < OPS_MAX && fz_more(&in); i++) {
		uint8_t b = fz_u8(&in);
		struct client *c = &k.c[(b >> 3) % CLIENTS];

		switch (b & 7) {
		case 0:
			op_connect(&k, c);
			break;
		case 1:
		case 2:
		case 3:
			op_message(&k, c, &in);
			break;
		case 4:
			op_read(c);
			break;
		case 5:
			if (b >= 0xc0)
				op_hello(&k, c, &in);
			else
				op_close(&k, c);
			break;
		case 6:
			op_time(&k, fz_u8(&in));
			break;
		default:
			op_up(&k);
			break;
		}
	}
	fini(&k);
	fz_check(open_fds() == before);
	return 0;
}
