/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of the UDP wire: paths and the transmit sockets they share. Owns both. Control path,
 * called under the engine.
 *
 * A transmit socket serves one local address and one destination prefix: a receiving kernel steers
 * a train, and datagrams that GRO merged, by the first packet only, so packets for different slots
 * must never share a source port. It is not connected and has DF set: such a socket sends
 * identification 0, and i in segment i of a train, which is what the ICRC is made for.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "wire/udp_priv.h"

#define SNDBUF      (4 << 20)
#define TTL_DEFAULT 64

/* Means something on one interface only, multicast addresses of a link included. */
static bool gid_of_link(const struct fns_gid *g)
{
	return fns_gid_is_link_local(g) || (g->b[0] == 0xff && (g->b[1] & 0x0f) <= 2);
}

static socklen_t sockaddr_put(
	struct sockaddr_storage *sa, const struct fns_gid *g, uint16_t port, uint32_t ifindex)
{
	memset(sa, 0, sizeof(*sa));
	if (fns_gid_is_v4(g)) {
		struct sockaddr_in *in = (struct sockaddr_in *)sa;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, g->b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, g->b, 16);
	in6->sin6_scope_id = gid_of_link(g) ? ifindex : 0;
	return sizeof(*in6);
}

static int opt(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* 0 or -1 with errno. What a kernel lacks and the ICRC does not need is not an error. */
static int sock_options_v4(const struct udp_sock *s)
{
	if (opt(s->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO) ||
		opt(s->fd, IPPROTO_IP, IP_TOS, s->tos) || opt(s->fd, IPPROTO_IP, IP_TTL, s->ttl))
		return -1;
	if (s->ifindex) {
		struct ip_mreqn mr = {.imr_ifindex = (int)s->ifindex};

		(void)opt(s->fd, IPPROTO_IP, IP_MULTICAST_TTL, s->ttl);
		(void)setsockopt(s->fd, IPPROTO_IP, IP_MULTICAST_IF, &mr, sizeof(mr));
	}
	return 0;
}

static int sock_options_v6(const struct udp_sock *s)
{
	if (opt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) ||
		opt(s->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO) ||
		opt(s->fd, IPPROTO_IPV6, IPV6_TCLASS, s->tos) ||
		opt(s->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, s->ttl))
		return -1;
	if (s->ifindex) {
		(void)opt(s->fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, s->ttl);
		(void)opt(s->fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)s->ifindex);
	}
	return 0;
}

/* Nobody has business to send to a transmit socket: nothing may queue up on it. */
static void sock_deafen(int fd)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = {.len = 1, .filter = &drop};

	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
	(void)opt(fd, SOL_SOCKET, SO_RCVBUF, 0);
}

static int sock_open(struct udp_sock *s)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_put(&sa, &s->local, 0, s->ifindex);
	int err;

	s->fd = socket(s->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return errno == EMFILE || errno == ENFILE ? -EMFILE : -errno;
	sock_deafen(s->fd);
	(void)opt(s->fd, SOL_SOCKET, SO_SNDBUF, SNDBUF);
	if ((s->v6 ? sock_options_v6(s) : sock_options_v4(s)) ||
		bind(s->fd, (struct sockaddr *)&sa, len) ||
		getsockname(s->fd, (struct sockaddr *)&sa, &len)) {
		err = -errno;
		close(s->fd);
		return err;
	}
	s->sport = ntohs(s->v6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
			       : ((struct sockaddr_in *)&sa)->sin_port);
	return 0;
}

static void sock_close(struct udp_sock *s)
{
	fns_list_remove(&s->node);
	close(s->fd);
	free(s);
}

static bool sock_matches(const struct udp_sock *s, const struct udp_sock *key)
{
	return fns_gid_equal(&s->local, &key->local) && s->ifindex == key->ifindex &&
	       s->prefix == key->prefix && s->tos == key->tos && s->ttl == key->ttl;
}

static int sock_get(struct udp_wire *w, const struct udp_sock *key, struct udp_sock **out)
{
	struct udp_sock *s;
	struct fns_list *it;
	int err;

	fns_list_for_each (it, &w->socks) {
		s = fns_container_of(it, struct udp_sock, node);
		if (!sock_matches(s, key))
			continue;
		if (s->refs++ == 0)
			w->idle_socks--;
		*out = s;
		return 0;
	}
	s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = *key;
	err = sock_open(s);
	if (err) {
		free(s);
		return err;
	}
	s->refs = 1;
	s->gso = w->cfg.gso;
	fns_list_push_back(&w->socks, &s->node);
	*out = s;
	return 0;
}

static void sock_put(struct udp_wire *w, struct udp_sock *s)
{
	struct udp_sock *oldest = NULL;
	struct fns_list *it;

	if (--s->refs > 0)
		return;
	s->idle_since = ++w->idle_clock;
	if (++w->idle_socks <= UDP_IDLE_SOCKS)
		return;
	fns_list_for_each (it, &w->socks) {
		struct udp_sock *o = fns_container_of(it, struct udp_sock, node);

		if (o->refs == 0 && (!oldest || o->idle_since < oldest->idle_since))
			oldest = o;
	}
	sock_close(oldest);
	w->idle_socks--;
}

/* Is there a route? Asked on a socket of its own: a connect would change the identifications of the
 * transmit socket. */
static int route_check(const struct udp_sock *s, const struct udp_path *p)
{
	struct sockaddr_storage from;
	socklen_t len = sockaddr_put(&from, &s->local, 0, s->ifindex);
	int fd = socket(s->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? -EMFILE : -errno;
	if (bind(fd, (struct sockaddr *)&from, len))
		err = -errno;
	else if (connect(fd, (const struct sockaddr *)&p->sa, p->sa_len) &&
		 (errno == ENETUNREACH || errno == EHOSTUNREACH || errno == EINVAL))
		err = -ENETUNREACH;
	close(fd);
	return err;
}

static uint32_t path_bucket(const struct fns_gid *remote, uint8_t prefix)
{
	uint32_t h = prefix;

	for (int i = 0; i < 16; i++)
		h = h * 31 + remote->b[i];
	return (h ^ h >> 8 ^ h >> 16) % UDP_PATH_BUCKETS;
}

static int path_make(struct udp_wire *w, const struct udp_sock *key, const struct fns_path *want,
	struct udp_path **out)
{
	struct udp_path *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->base = *want;
	p->sa_len = sockaddr_put(&p->sa, &want->remote, w->cfg.port, want->ifindex);
	err = sock_get(w, key, &p->ts);
	if (err)
		goto fail;
	if (!fns_gid_is_multicast(&want->remote)) {
		err = route_check(p->ts, p);
		if (err) {
			sock_put(w, p->ts);
			goto fail;
		}
	}
	memcpy(p->flow.src, want->local.b, 16);
	memcpy(p->flow.dst, want->remote.b, 16);
	p->flow.sport = p->ts->sport;
	p->flow.dport = w->cfg.port;
	p->flow.ipv6 = p->ts->v6;
	*out = p;
	return 0;
fail:
	free(p);
	return err;
}

int fns_udp_path_get(struct fns_wire *base, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl,
	struct fns_path **out)
{
	struct udp_wire *w = udp_of(base);
	struct fns_path want =
		fns_path_to(local, remote, ifindex, prefix, tos, ttl ? ttl : TTL_DEFAULT);
	bool v6 = !fns_gid_is_v4(remote);
	bool scoped = gid_of_link(local) || gid_of_link(remote) || fns_gid_is_multicast(remote);
	struct udp_sock key = {
		.local = *local,
		.ifindex = scoped ? ifindex : 0,
		.prefix = prefix,
		.tos = tos,
		.ttl = want.ttl,
		.v6 = v6,
	};
	uint32_t b = path_bucket(remote, prefix);
	struct udp_path *p;
	int err;

	if (fns_gid_is_v4(local) == v6)
		return -EADDRNOTAVAIL; /* no address of ours reaches the other family */
	for (p = w->paths[b]; p; p = p->next) {
		if (fns_gid_equal(&p->base.remote, remote) && sock_matches(p->ts, &key) &&
			p->base.ifindex == ifindex) {
			p->base.refs++;
			*out = &p->base;
			return 0;
		}
	}
	err = path_make(w, &key, &want, &p);
	if (err)
		return err;
	p->next = w->paths[b];
	w->paths[b] = p;
	*out = &p->base;
	return 0;
}

void fns_udp_path_put(struct fns_wire *base, struct fns_path *fp)
{
	struct udp_wire *w = udp_of(base);
	struct udp_path *p = (struct udp_path *)(void *)fp, **link;

	if (--fp->refs > 0)
		return;
	link = &w->paths[path_bucket(&fp->remote, fp->prefix)];
	while (*link != p)
		link = &(*link)->next;
	*link = p->next;
	sock_put(w, p->ts);
	free(p);
}

void fns_udp_paths_fini(struct udp_wire *w)
{
	struct fns_list *it, *tmp;

	for (uint32_t b = 0; b < UDP_PATH_BUCKETS; b++) {
		struct udp_path *p = w->paths[b], *next;

		for (; p; p = next) {
			next = p->next;
			free(p);
		}
	}
	fns_list_for_each_safe (it, tmp, &w->socks)
		sock_close(fns_container_of(it, struct udp_sock, node));
}
