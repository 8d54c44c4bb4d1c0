/* SPDX-License-Identifier: Apache-2.0 */
/* QP1's datagrams. Called by server.c. */
#include "keeper/gsi.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>
#include <unistd.h>

#include "roce/icrc.h"

#define TTL         64
#define DATAGRAM    (FNS_MAD_PACKET_LEN + FNS_ICRC_LEN)
#define UDP_HDR_LEN 8

static void gid_put_v4(struct fns_gid *g, const void *addr)
{
	memset(g->b, 0, 10);
	g->b[10] = g->b[11] = 0xff;
	memcpy(g->b + 12, addr, 4);
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* As for identification 0. pkt: BTH to pad. */
static uint32_t icrc(const struct fns_icrc_flow *f, const uint8_t *pkt, uint32_t len)
{
	uint32_t crc = fns_icrc_begin(f, (uint16_t)(UDP_HDR_LEN + len + FNS_ICRC_LEN), 0);

	crc = fns_icrc_bth(crc, pkt, FNS_BTH_LEN);
	return fns_icrc_final(fns_icrc_update(crc, pkt + FNS_BTH_LEN, len - FNS_BTH_LEN));
}

static struct fns_icrc_flow flow_of(
	const struct fns_gid *src, const struct fns_gid *dst, uint16_t sport, uint16_t dport)
{
	struct fns_icrc_flow f = {.sport = sport, .dport = dport, .ipv6 = !fns_gid_is_v4(src)};

	memcpy(f.src, src->b, 16);
	memcpy(f.dst, dst->b, 16);
	return f;
}

bool fns_keeper_gsi_check(
	const uint8_t *pkt, uint32_t len, uint16_t sport, uint16_t dport, struct fns_keeper_mad *m)
{
	struct fns_icrc_flow f = flow_of(&m->src, &m->dst, sport, dport);
	uint32_t want, seen;
	struct fns_hdr h;
	uint16_t id;

	if (len != DATAGRAM || fns_hdr_parse(pkt, len - FNS_ICRC_LEN, &h) != FNS_HDR_OK ||
		!fns_mad_is_packet(&h))
		return false;
	want = icrc(&f, pkt, len - FNS_ICRC_LEN);
	seen = le32(pkt + len - FNS_ICRC_LEN);
	m->intact = seen == want;
	if (!m->intact &&
		(f.ipv6 || !fns_icrc_find_id(want, seen,
				   fns_icrc_len_after_id((uint16_t)(UDP_HDR_LEN + len)), &id)))
		return false;
	memcpy(m->mad, h.payload, FNS_MAD_LEN);
	return true;
}

/* Who sent it, and to which of our addresses. False: the kernel does not say. */
static bool addresses(struct msghdr *mh, const struct sockaddr_storage *from, uint16_t *sport,
	struct fns_keeper_mad *m)
{
	bool addressed = false;

	if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

		memcpy(m->src.b, &in6->sin6_addr, 16);
		*sport = ntohs(in6->sin6_port);
	} else if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;

		gid_put_v4(&m->src, &in->sin_addr);
		*sport = ntohs(in->sin_port);
	} else {
		return false;
	}
	m->ifindex = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo pi;

			memcpy(&pi, CMSG_DATA(c), sizeof(pi));
			gid_put_v4(&m->dst, &pi.ipi_addr);
			addressed = true;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo pi;

			memcpy(&pi, CMSG_DATA(c), sizeof(pi));
			memcpy(m->dst.b, &pi.ipi6_addr, 16);
			m->ifindex = fns_gid_is_link_local(&m->src) ? pi.ipi6_ifindex : 0;
			addressed = true;
		}
	}
	return addressed && fns_gid_is_v4(&m->src) == fns_gid_is_v4(&m->dst);
}

int fns_keeper_gsi_recv(int sock, uint16_t port, struct fns_keeper_mad *out)
{
	union {
		char buf[256];
		struct cmsghdr align;
	} ctl;
	uint8_t pkt[DATAGRAM + 1];
	struct sockaddr_storage from = {0};
	struct iovec iov = {pkt, sizeof(pkt)};
	struct msghdr mh = {.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = sizeof(ctl.buf)};
	uint16_t sport = 0;
	ssize_t n = recvmsg(sock, &mh, MSG_DONTWAIT);

	/* A pending ICMP error comes out of recvmsg like a packet. */
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? -EAGAIN : 0;
	return n == DATAGRAM && addresses(&mh, &from, &sport, out) &&
	       fns_keeper_gsi_check(pkt, (uint32_t)n, sport, port, out);
}

static socklen_t address(
	struct sockaddr_storage *sa, const struct fns_gid *g, uint16_t port, uint32_t ifindex)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)sa;
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)sa;

	memset(sa, 0, sizeof(*sa));
	if (fns_gid_is_v4(g)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, g->b + 12, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, g->b, 16);
	in6->sin6_scope_id = fns_gid_is_link_local(g) ? ifindex : 0;
	return sizeof(*in6);
}

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int options(int fd, bool v6)
{
	if (v6)
		return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) ||
		       set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO) ||
		       set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, TTL);
	return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO) ||
	       set(fd, IPPROTO_IP, IP_TTL, TTL);
}

/* The source port is part of the sum. */
static int bind_to(int fd, const struct fns_gid *local, uint32_t ifindex, uint16_t *sport)
{
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, local, 0, ifindex);

	if (bind(fd, (struct sockaddr *)&sa, len) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -1;
	*sport = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&sa)->sin6_port
						: ((struct sockaddr_in *)(void *)&sa)->sin_port);
	return 0;
}

int fns_keeper_gsi_send(uint16_t port, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN])
{
	bool v6 = !fns_gid_is_v4(remote);
	struct sockaddr_storage to;
	socklen_t to_len = address(&to, remote, port, ifindex);
	uint8_t pkt[DATAGRAM];
	uint16_t sport;
	int fd, rc = 0;

	if (fns_gid_is_v4(local) == v6)
		return -EADDRNOTAVAIL;
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (options(fd, v6) || bind_to(fd, local, ifindex, &sport)) {
		rc = -errno;
	} else {
		struct fns_icrc_flow f = flow_of(local, remote, sport, port);
		uint32_t crc;

		fns_mad_packet(pkt, mad);
		crc = icrc(&f, pkt, FNS_MAD_PACKET_LEN);
		for (unsigned i = 0; i < FNS_ICRC_LEN; i++)
			pkt[FNS_MAD_PACKET_LEN + i] = (uint8_t)(crc >> 8 * i);
		if (sendto(fd, pkt, sizeof(pkt), 0, (struct sockaddr *)&to, to_len) < 0)
			rc = -errno;
	}
	close(fd);
	return rc;
}
