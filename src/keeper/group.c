/* SPDX-License-Identifier: Apache-2.0 */
/* The group of sockets: made once, adopted by every later keeper, steered by the kernel. Called by
 * server.c. */
#include "keeper/group.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/util.h"

#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef IP_MULTICAST_ALL
#define IP_MULTICAST_ALL 49
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif
#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define BTH_DEST_QP_23_16 5  /* offset in the UDP payload: BTH bytes 5..7 are DestQP (IBTA 9.2) */
#define VAULT_BATCH       64 /* descriptors in one message; the kernel allows 253 */
#define DRAIN_MAX         (1 << 20) /* more than any receive buffer holds */
/* Senders that know no windows (other implementations' UC and UD) need room for what comes while
 * the process waits for a processor. The kernel cuts this to net.core.rmem_max, and doubles it. */
#define RCVBUF_WANTED (4 << 20)

struct vault_msg {
	uint32_t magic, first, count;
};

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The kernel runs a reuseport program with offset 0 at the UDP payload; a load past the end returns
 * 0, the keeper's slot. */
static int attach_steering(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, BTH_DEST_QP_23_16),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog prog = {.len = FNS_ARRAY_SIZE(code), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0
		       ? -errno
		       : 0;
}

static int attach_drop_all(int fd)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog prog = {.len = 1, .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

void fns_keeper_group_init(struct fns_keeper_group *g)
{
	memset(g, 0, sizeof(*g));
	g->vault = -1;
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++)
		g->sock[i] = -1;
}

void fns_keeper_group_close(struct fns_keeper_group *g)
{
	if (g->vault >= 0)
		close(g->vault);
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++)
		if (g->sock[i] >= 0)
			close(g->sock[i]);
	fns_keeper_group_init(g);
}

/* An unbound socket of the best family: dual stack, or IPv4 where the kernel has no IPv6. */
static int open_socket(bool *ipv6)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*ipv6 = fd >= 0;
	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (*ipv6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* whatever net.ipv6.bindv6only says */
	return fd;
}

static int bind_any(int fd, bool ipv6, uint16_t port)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (ipv6)
		return bind(fd, (struct sockaddr *)&a6, sizeof(a6)) < 0 ? -errno : 0;
	return bind(fd, (struct sockaddr *)&a4, sizeof(a4)) < 0 ? -errno : 0;
}

/* Required options fail the group; the rest refine it and are missing on some kernels. */
static int configure(int fd, bool ipv6, const struct fns_keeper_group_opts *o)
{
	int rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1), have = 0;
	socklen_t len = sizeof(have);

	/* A multicast datagram would otherwise be cloned to every socket bound to the port. */
	if (!rc)
		rc = set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	if (!rc && ipv6)
		rc = set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (!rc && !ipv6)
		rc = set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (rc)
		return rc;
	set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
	if (ipv6) {
		set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
		set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		/* Senders of RoCEv2 over IPv6 may leave the UDP checksum 0; the ICRC protects the
		 * packet (annex A17). */
		set_int(fd, SOL_UDP, UDP_NO_CHECK6_RX, 1);
	}
	(void)getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &have, &len);
	if (o->rcvbuf > 0) {
		/* Past the system's limit, where we have the right to. */
		if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, o->rcvbuf))
			set_int(fd, SOL_SOCKET, SO_RCVBUF, o->rcvbuf);
	} else if (have < RCVBUF_WANTED) {
		set_int(fd, SOL_SOCKET, SO_RCVBUF, RCVBUF_WANTED);
	}
	return 0;
}

/*
 * A socket without SO_REUSEPORT can be bound only if nobody has the port, so it finds an orphaned
 * group of our own uid, which 256 new sockets would silently join, and scatter.
 */
static int probe_port(uint16_t port)
{
	bool ipv6;
	int fd = open_socket(&ipv6), rc;

	if (fd < 0)
		return fd;
	rc = bind_any(fd, ipv6, port);
	close(fd);
	return rc;
}

/* Puts every socket into the queue of a new socketpair and closes the sending end. Returns the
 * receiving end. */
static int fill_vault(const struct fns_keeper_group *g)
{
	int sv[2], rc = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return -errno;
	for (unsigned first = 0; first < FNS_KEEPER_SLOTS && !rc; first += VAULT_BATCH) {
		struct vault_msg vm = {
			.magic = FNS_KEEPER_MAGIC, .first = first, .count = VAULT_BATCH};

		rc = fns_fds_send(sv[1], &vm, sizeof(vm), g->sock + first, VAULT_BATCH, 0);
	}
	close(sv[1]);
	if (!rc)
		return sv[0];
	close(sv[0]);
	return rc;
}

int fns_keeper_group_create(
	struct fns_keeper_group *g, const struct fns_keeper_group_opts *o, char *text, size_t len)
{
	const char *what = "bind";
	int rc = probe_port(o->port);

	fns_keeper_group_init(g);
	g->port = o->port;
	g->gro = o->gro;
	/* All members are bound before the program is attached, so that it never sees a group that
	 * is not whole. */
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS && !rc; i++) {
		bool ipv6;
		int fd = open_socket(&ipv6);

		if (fd < 0) {
			rc = fd;
			what = "socket";
			break;
		}
		g->sock[i] = fd;
		g->ipv6 = ipv6;
		what = "socket options";
		rc = configure(fd, ipv6, o);
		if (!rc && i != FNS_KEEPER_SLOT_CM)
			rc = attach_drop_all(fd);
		if (!rc) {
			what = "bind";
			rc = bind_any(fd, ipv6, o->port);
		}
	}
	if (!rc) {
		what = "SO_ATTACH_REUSEPORT_CBPF";
		rc = attach_steering(g->sock[0]);
	}
	if (!rc) {
		what = "filling the vault (more than RLIMIT_NOFILE descriptors in flight?)";
		g->vault = fill_vault(g);
		rc = g->vault < 0 ? g->vault : 0;
	}
	if (rc) {
		snprintf(text, len, "UDP port %u: %s: %s", o->port, what, strerror(-rc));
		fns_keeper_group_close(g);
	}
	return rc;
}

/* Takes one message of the vault, which must carry exactly the sockets first .. first + 63. */
static int peek_batch(struct fns_keeper_group *g, int vault, unsigned first)
{
	struct vault_msg vm;
	unsigned got;
	int rc = fns_fds_recv(vault, &vm, sizeof(vm), g->sock + first, VAULT_BATCH, &got,
		MSG_PEEK | MSG_DONTWAIT);

	if (rc)
		return rc == -EPROTO ? -EINVAL : rc;
	if (vm.magic != FNS_KEEPER_MAGIC || vm.first != first || vm.count != got ||
		got != VAULT_BATCH)
		return -EINVAL;
	return 0;
}

/* A vault comes from a client: believe nothing about the descriptors in it. */
static bool is_member(int fd, uint16_t port, bool *ipv6, uint64_t *netns)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	int type = 0, reuse = 0;
	socklen_t ilen = sizeof(type);
	in_port_t bound;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &ilen) < 0 || type != SOCK_DGRAM)
		return false;
	ilen = sizeof(reuse);
	if (getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &reuse, &ilen) < 0 || !reuse)
		return false;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
		(ss.ss_family != AF_INET6 && ss.ss_family != AF_INET))
		return false;
	*ipv6 = ss.ss_family == AF_INET6;
	bound = *ipv6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
		      : ((struct sockaddr_in *)&ss)->sin_port;
	*netns = 0;
	len = sizeof(*netns);
	(void)getsockopt(
		fd, SOL_SOCKET, SO_NETNS_COOKIE, netns, &len); /* 0 on kernels before 5.14 */
	return ntohs(bound) == port;
}

static uint64_t own_netns(void)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		(void)getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len);
		close(fd);
	}
	return cookie;
}

int fns_keeper_group_adopt(struct fns_keeper_group *g, const struct fns_keeper_group_opts *o,
	int vault, char *text, size_t len)
{
	uint64_t ours = own_netns();
	int rc;

	fns_keeper_group_init(g);
	g->port = o->port;
	g->gro = o->gro;
	/* The offset may be anywhere: an earlier keeper may have died while it was reading. */
	rc = set_int(vault, SOL_SOCKET, SO_PEEK_OFF, 0);
	for (unsigned first = 0; first < FNS_KEEPER_SLOTS && !rc; first += VAULT_BATCH)
		rc = peek_batch(g, vault, first);
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS && !rc; i++) {
		uint64_t netns;

		if (!is_member(g->sock[i], o->port, &g->ipv6, &netns) || netns != ours)
			rc = -EINVAL;
	}
	/* A lessee can detach the program: attach it anew, which the kernel does without a gap. */
	if (!rc)
		rc = attach_steering(g->sock[0]);
	if (rc) {
		snprintf(text, len,
			"the vault that was handed over does not hold the group of UDP port %u: %s",
			o->port, strerror(-rc));
		fns_keeper_group_close(g);
		return rc;
	}
	g->vault = vault;
	return 0;
}

int fns_keeper_group_drain(struct fns_keeper_group *g, unsigned prefix, int max)
{
	char byte;
	int n = 0;

	/* A pending ICMP error comes out of recv like a packet: count it as one and go on. */
	while (n < max &&
		(recv(g->sock[prefix], &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno != EAGAIN))
		n++;
	return n;
}

int fns_keeper_group_open_slot(struct fns_keeper_group *g, unsigned prefix)
{
	int fd = g->sock[prefix], none = 0, rc;

	/* A packet may have passed the filter just before it came on. */
	if (fns_keeper_group_slot_is_shut(g, prefix))
		fns_keeper_group_drain(g, prefix, DRAIN_MAX);
	rc = set_int(fd, SOL_UDP, UDP_GRO, g->gro);
	if (rc == -ENOPROTOOPT && !g->gro)
		rc = 0;
	if (!rc && setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) < 0 &&
		errno != ENOENT)
		rc = -errno;
	return rc;
}

int fns_keeper_group_shut_slot(struct fns_keeper_group *g, unsigned prefix)
{
	int rc = attach_drop_all(g->sock[prefix]);

	return rc ? rc : fns_keeper_group_drain(g, prefix, DRAIN_MAX);
}

bool fns_keeper_group_slot_is_shut(const struct fns_keeper_group *g, unsigned prefix)
{
	struct sock_filter code[4];
	socklen_t len = FNS_ARRAY_SIZE(code); /* in instructions; the kernel returns theirs */

	return getsockopt(g->sock[prefix], SOL_SOCKET, SO_GET_FILTER, code, &len) == 0 && len > 0;
}

bool fns_keeper_group_slot_is(const struct fns_keeper_group *g, unsigned prefix, int fd)
{
	uint64_t a = 0, b = 0;
	socklen_t alen = sizeof(a), blen = sizeof(b);

	return getsockopt(g->sock[prefix], SOL_SOCKET, SO_COOKIE, &a, &alen) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_COOKIE, &b, &blen) == 0 && a == b;
}
