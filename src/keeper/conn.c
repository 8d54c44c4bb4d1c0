/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's connections: accepting, requests and their answers, leases and their end. Every
 * request is answered at once, or, while the group is not up yet (its vault is still with a client
 * of the keeper that died), kept until it is.
 *
 * A connection is a client's life sign, but not the only one: a forked child can hold it open, so
 * its process is watched by pidfd as well, and whichever ends first ends the lease. Called by
 * server.c's loop.
 */
#include "keeper/server_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/util.h"
#include "keeper/owner.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define IDLE_NS                                                                                    \
	(10 * FNS_NSEC_PER_SEC) /* a connection without a lease may be silent for so long          \
				 */

void fns_keeper_conn_close(
	struct fns_keeper_server *s, struct fns_keeper_conn *c, bool released, uint64_t now)
{
	if (c->prefix >= 0 && released) {
		fns_keeper_group_shut_slot(&s->group, (unsigned)c->prefix);
		fns_keeper_slots_free(&s->slots, (unsigned)c->prefix, now);
	} else if (c->prefix >= 0) {
		fns_log(FNS_LOG_INFO, "keeper: slot %d: pid %d is gone", c->prefix, (int)c->pid);
		fns_keeper_server_reclaim(s, (unsigned)c->prefix, now);
	}
	if (c->pidfd >= 0)
		close(c->pidfd);
	if (c->stats_fd >= 0)
		close(c->stats_fd);
	if (c->deferred_stats >= 0)
		close(c->deferred_stats);
	close(c->fd);
	c->fd = c->pidfd = c->stats_fd = c->deferred_stats = c->prefix = -1;
	c->deferred = false;
	s->n_asks -= c->n_asks;
	c->n_asks = 0;
	s->n_conns--;
}

/* False: the client does not read its answers, and is gone now. */
static bool reply(struct fns_keeper_server *s, struct fns_keeper_conn *c,
	const struct fns_keeper_msg *m, const int *fds, unsigned nfds, uint64_t now)
{
	int rc = fns_keeper_msg_send(c->fd, m, fds, nfds, MSG_DONTWAIT);

	if (rc == -ETOOMANYREFS) {
		struct fns_keeper_msg e;

		fns_keeper_msg_init(&e, FNS_KEEPER_ERROR);
		e.error = rc;
		snprintf(e.text, sizeof(e.text),
			"too many descriptors of this user are in flight: raise RLIMIT_NOFILE, or "
			"stop keepers in other network namespaces");
		fns_log(FNS_LOG_ERROR, "keeper: %s", e.text);
		(void)fns_keeper_msg_send(c->fd, &e, NULL, 0, MSG_DONTWAIT);
	}
	if (rc)
		fns_keeper_conn_close(s, c, false, now);
	return rc == 0;
}

__attribute__((format(printf, 5, 6))) static void refuse(struct fns_keeper_server *s,
	struct fns_keeper_conn *c, uint64_t now, int error, const char *fmt, ...)
{
	struct fns_keeper_msg m;
	va_list ap;

	fns_keeper_msg_init(&m, FNS_KEEPER_ERROR);
	m.error = error;
	va_start(ap, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, ap);
	va_end(ap);
	reply(s, c, &m, NULL, 0, now);
}

static uint32_t group_flags(const struct fns_keeper_server *s)
{
	return (s->group.gro ? FNS_KEEPER_F_GRO : 0) | (s->group.ipv6 ? FNS_KEEPER_F_IPV6 : 0);
}

/* How to start our successor, if it comes to that, so that it is like us. The client passes it on.
 */
static void restart_args(const struct fns_keeper_server *s, char *text, size_t len)
{
	int n = snprintf(text, len, "-l%.3f -q%.3f%s%s", (double)s->cfg.linger_ns / 1e9,
		(double)s->cfg.quarantine_ns / 1e9, s->cfg.stay ? " -s" : "",
		s->cfg.gro ? "" : " -G");

	for (unsigned i = 0; i < s->cfg.n_allow && n > 0 && (size_t)n < len; i++)
		n += snprintf(text + n, len - (size_t)n, " -u%u", (unsigned)s->cfg.allow[i]);
}

/* Gives a slot to a connection. stats is taken over in every case. */
static bool grant(struct fns_keeper_server *s, struct fns_keeper_conn *c, unsigned prefix,
	int stats, bool with_fds, uint64_t now)
{
	int fds[2] = {s->group.sock[prefix], s->group.vault}, rc;
	struct fns_keeper_msg m;
	char comm[16];

	rc = fns_keeper_group_open_slot(&s->group, prefix);
	if (rc) {
		if (stats >= 0)
			close(stats);
		refuse(s, c, now, rc, "slot %u of the keeper cannot be opened: %s", prefix,
			strerror(-rc));
		return false;
	}
	fns_keeper_owner_comm(c->pid, comm);
	fns_keeper_slots_hold(&s->slots, prefix, c->pid, c->uid, comm, now);
	s->served = true;
	c->prefix = (int)prefix;
	c->stats_fd = stats;
	fns_keeper_msg_init(&m, FNS_KEEPER_LEASED);
	m.prefix = prefix;
	m.flags = group_flags(s);
	m.port = s->cfg.port;
	m.pid = (uint32_t)getpid();
	restart_args(s, m.text, sizeof(m.text));
	fns_log(FNS_LOG_INFO, "keeper: slot %u: pid %d (%s)", prefix, (int)c->pid, comm);
	return reply(s, c, &m, fds, with_fds ? 2 : 0, now);
}

static void on_lease(
	struct fns_keeper_server *s, struct fns_keeper_conn *c, int stats, uint64_t now)
{
	int prefix = fns_keeper_slots_pick(&s->slots);

	if (prefix >= 0 && c->prefix < 0) {
		grant(s, c, (unsigned)prefix, stats, true, now);
		return;
	}
	if (stats >= 0)
		close(stats);
	if (c->prefix >= 0)
		refuse(s, c, now, -EALREADY, "this connection has slot %d already", c->prefix);
	else
		refuse(s, c, now, -ENOSPC,
			"all %u slots of UDP port %u are in use (%u by processes, %u wait to be reclaimed); end a "
			"process or set FLEXINS_PORT",
			FNS_KEEPER_SLOTS - 2, s->cfg.port, s->slots.held, s->slots.waiting);
}

/* Every connection that a process holds a lease by, if it is this one's. */
static struct fns_keeper_conn *holder_of(struct fns_keeper_server *s, unsigned prefix)
{
	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX; i++)
		if (s->conn[i].fd >= 0 && s->conn[i].prefix == (int)prefix)
			return &s->conn[i];
	return NULL;
}

/*
 * A client of an earlier keeper, or one whose connection we lost. Having the very socket proves
 * that the slot was its own; that nobody else has been given it since, is for us to check.
 */
static void on_reattach(struct fns_keeper_server *s, struct fns_keeper_conn *c, unsigned prefix,
	int sock, int stats, uint64_t now)
{
	enum fns_keeper_slot_state st = FNS_KEEPER_OWN;
	struct fns_keeper_conn *old;

	if (prefix < FNS_KEEPER_SLOTS && c->prefix < 0 &&
		fns_keeper_group_slot_is(&s->group, prefix, sock))
		st = s->slots.slot[prefix].state;
	if (st == FNS_KEEPER_HELD) {
		old = holder_of(s, prefix);
		if (old && old->pid == c->pid) {
			old->prefix = -1;
			fns_keeper_conn_close(s, old, true, now);
			st = FNS_KEEPER_ORPHANED;
		}
	}
	if (st != FNS_KEEPER_OWN && st != FNS_KEEPER_HELD) {
		grant(s, c, prefix, stats, false, now);
		return;
	}
	if (stats >= 0)
		close(stats);
	refuse(s, c, now, -ESTALE, "slot %u is not this process's any more; start it again",
		prefix);
}

static void on_status(
	struct fns_keeper_server *s, struct fns_keeper_conn *c, unsigned prefix, uint64_t now)
{
	struct fns_keeper_msg m;
	const struct fns_keeper_conn *h;

	while (prefix < FNS_KEEPER_SLOTS && s->slots.slot[prefix].state == FNS_KEEPER_FREE)
		prefix++;
	fns_keeper_msg_init(&m, prefix < FNS_KEEPER_SLOTS ? FNS_KEEPER_SLOT : FNS_KEEPER_END);
	m.flags = group_flags(s);
	m.port = s->cfg.port;
	m.drops = s->unclaimed;
	if (prefix >= FNS_KEEPER_SLOTS) {
		reply(s, c, &m, NULL, 0, now);
		return;
	}
	m.prefix = prefix;
	m.state = s->slots.slot[prefix].state;
	m.pid = (uint32_t)s->slots.slot[prefix].pid;
	m.uid = s->slots.slot[prefix].uid;
	m.since_ns = s->slots.slot[prefix].since_ns;
	memcpy(m.comm, s->slots.slot[prefix].comm, sizeof(m.comm));
	h = holder_of(s, prefix);
	reply(s, c, &m, h ? &h->stats_fd : NULL, h && h->stats_fd >= 0, now);
}

static bool reply_peer(struct fns_keeper_server *s, struct fns_keeper_conn *c, uint32_t index,
	const struct fns_keeper_ask *a, enum fns_hello_state state, const struct fns_hello *h,
	uint64_t now)
{
	struct fns_keeper_msg m;

	fns_keeper_msg_init(&m, FNS_KEEPER_PEER);
	m.prefix = index;
	memcpy(m.hello.local, a->local.b, sizeof(m.hello.local));
	memcpy(m.hello.remote, a->remote.b, sizeof(m.hello.remote));
	m.hello.ifindex = a->ifindex;
	m.hello.state = state;
	if (state == FNS_HELLO_FLEXINS) {
		m.hello.version = h->version;
		m.hello.ext = h->ext;
		m.hello.icrc = h->icrc;
		m.hello.rcvbuf = h->rcvbuf;
		m.hello.generation = h->generation;
	}
	return reply(s, c, &m, NULL, 0, now);
}

static void on_hello(struct fns_keeper_server *s, struct fns_keeper_conn *c,
	const struct fns_keeper_hello_msg *q, uint64_t now)
{
	struct fns_keeper_ask a = {.ifindex = q->ifindex};
	enum fns_hello_state st;
	struct fns_hello h;

	memcpy(a.local.b, q->local, sizeof(a.local.b));
	memcpy(a.remote.b, q->remote, sizeof(a.remote.b));
	if (c->n_asks == FNS_KEEPER_ASKS_MAX) {
		refuse(s, c, now, -EBUSY, "%u addresses are being asked for this process already",
			c->n_asks);
		return;
	}
	st = fns_keeper_hello_ask(&s->hellos, &a.local, &a.remote, a.ifindex, now, &h);
	if (st != FNS_HELLO_UNKNOWN) {
		reply_peer(s, c, 0, &a, st, &h, now);
		return;
	}
	c->ask[c->n_asks++] = a;
	s->n_asks++;
}

void fns_keeper_conns_tell(struct fns_keeper_server *s, uint64_t now)
{
	for (unsigned i = 0; s->n_asks && i < FNS_KEEPER_CONNS_MAX; i++) {
		struct fns_keeper_conn *c = &s->conn[i];

		for (unsigned k = 0; c->fd >= 0 && k < c->n_asks;) {
			struct fns_keeper_ask a = c->ask[k];
			enum fns_hello_state st;
			struct fns_hello h;

			st = fns_keeper_hello_ask(
				&s->hellos, &a.local, &a.remote, a.ifindex, now, &h);
			if (st == FNS_HELLO_UNKNOWN) {
				k++;
				continue;
			}
			c->ask[k] = c->ask[--c->n_asks];
			s->n_asks--;
			reply_peer(s, c, 0, &a, st, &h, now);
		}
	}
}

static void on_peers(
	struct fns_keeper_server *s, struct fns_keeper_conn *c, uint32_t at, uint64_t now)
{
	const struct fns_keeper_hello_peer *p = fns_keeper_hello_next(&s->hellos, &at);
	struct fns_keeper_ask a;
	struct fns_keeper_msg m;

	if (!p) {
		fns_keeper_msg_init(&m, FNS_KEEPER_END);
		reply(s, c, &m, NULL, 0, now);
		return;
	}
	a = (struct fns_keeper_ask){.local = p->local, .remote = p->remote, .ifindex = p->ifindex};
	reply_peer(s, c, at, &a, (enum fns_hello_state)p->state, &p->hello, now);
}

/* One well-formed message. Takes the descriptors over. */
static void on_request(struct fns_keeper_server *s, struct fns_keeper_conn *c,
	const struct fns_keeper_msg *m, int *fds, unsigned nfds, uint64_t now)
{
	char text[176];
	int stats;

	if (c->deferred) { /* one request, one reply: it should be waiting for that */
		fns_fds_close(fds, nfds);
		fns_keeper_conn_close(s, c, false, now);
		return;
	}
	if (m->type != FNS_KEEPER_STATUS && m->type != FNS_KEEPER_PEERS && !c->may_lease) {
		fns_fds_close(fds, nfds);
		refuse(s, c, now, -EACCES,
			"the keeper of UDP port %u belongs to uid %u and does not serve uid %u; have it started with "
			"--allow-uid %u, or set FLEXINS_PORT",
			s->cfg.port, (unsigned)geteuid(), (unsigned)c->uid, (unsigned)c->uid);
		return;
	}
	if (m->type == FNS_KEEPER_REATTACH && nfds >= 2) {
		stats = nfds > 2 ? fds[2] : -1;
		if (!s->up && fns_keeper_server_adopt(s, fds[1], now, text, sizeof(text)) == 0)
			fds[1] = -1; /* the group's now */
		if (s->up) {
			on_reattach(s, c, m->prefix, fds[0], stats, now);
		} else {
			if (stats >= 0)
				close(stats);
			refuse(s, c, now, -EINVAL, "%s", text);
		}
		fns_fds_close(fds, 2);
		return;
	}
	if (m->type == FNS_KEEPER_LEASE && nfds <= 1) {
		stats = nfds ? fds[0] : -1;
		if (s->up) {
			on_lease(s, c, stats, now);
		} else {
			c->deferred = true;
			c->deferred_stats = stats;
		}
		return;
	}
	fns_fds_close(fds, nfds);
	if (nfds == 0 && (m->type == FNS_KEEPER_STATUS || m->type == FNS_KEEPER_PEERS ||
				 m->type == FNS_KEEPER_HELLO)) {
		if (s->up && m->type == FNS_KEEPER_STATUS)
			on_status(s, c, m->prefix, now);
		else if (s->up && m->type == FNS_KEEPER_PEERS)
			on_peers(s, c, m->prefix, now);
		else if (s->up)
			on_hello(s, c, &m->hello, now);
		else
			refuse(s, c, now, -EAGAIN, "the keeper is still starting; try again");
	} else {
		fns_keeper_conn_close(s, c, m->type == FNS_KEEPER_RELEASE && nfds == 0, now);
	}
}

void fns_keeper_conn_read(struct fns_keeper_server *s, struct fns_keeper_conn *c, uint64_t now)
{
	int fds[FNS_KEEPER_FDS_MAX], rc;
	struct fns_keeper_msg m;
	unsigned nfds;

	/* One message a round: epoll is level-triggered, and no client shall keep the others
	 * waiting. */
	rc = fns_keeper_msg_recv(c->fd, &m, fds, &nfds, MSG_DONTWAIT);
	if (rc == -EAGAIN)
		return;
	if (rc == -EPROTO)
		refuse(s, c, now, -EPROTO,
			"this keeper (protocol %u) does not understand that message",
			FNS_KEEPER_VERSION);
	if (rc && c->fd >= 0)
		fns_keeper_conn_close(s, c, false, now);
	if (rc)
		return;
	c->heard_ns = now;
	on_request(s, c, &m, fds, nfds, now);
}

static bool allowed(const struct fns_keeper_server *s, uid_t uid)
{
	bool ok = uid == geteuid();

	for (unsigned i = 0; i < s->cfg.n_allow; i++)
		ok |= uid == s->cfg.allow[i];
	return ok;
}

/* The process at the other end: by the socket where the kernel can (6.5), so that a recycled pid
 * cannot be mistaken for it. */
static int peer_pidfd(int fd, pid_t pid)
{
	int pidfd = -1;
	socklen_t len = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

void fns_keeper_conn_accept(struct fns_keeper_server *s, uint64_t now)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct fns_keeper_conn *c = NULL;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && s->spare >= 0) {
		/* Left waiting, the connection would have epoll wake us for ever. */
		close(s->spare);
		fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			close(fd);
		s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		fns_log(FNS_LOG_WARN, "keeper: out of descriptors, a client was turned away");
		return;
	}
	if (fd < 0)
		return;
	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX && !c; i++)
		if (s->conn[i].fd < 0)
			c = &s->conn[i];
	/* Anybody may connect to an abstract name; only our users and root (for status) may keep a
	 * connection. */
	if (!c || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		close(fd);
		return;
	}
	*c = (struct fns_keeper_conn){.fd = fd,
		.pidfd = -1,
		.stats_fd = -1,
		.prefix = -1,
		.deferred_stats = -1,
		.gen = ++s->gen,
		.pid = cred.pid,
		.uid = cred.uid,
		.heard_ns = now};
	s->n_conns++;
	c->may_lease = allowed(s, cred.uid);
	if (!c->may_lease && cred.uid != 0) {
		refuse(s, c, now, -EACCES,
			"the keeper of UDP port %u belongs to uid %u and does not serve uid %u; have it started with "
			"--allow-uid %u, or set FLEXINS_PORT",
			s->cfg.port, (unsigned)geteuid(), (unsigned)cred.uid, (unsigned)cred.uid);
		if (c->fd >= 0)
			fns_keeper_conn_close(s, c, false, now);
		return;
	}
	c->pidfd = peer_pidfd(fd, cred.pid);
	if (c->pidfd < 0 && cred.pid > 0 && errno == ESRCH) {
		/* Dead already, and a child of it holds the connection. */
		fns_keeper_conn_close(s, c, false, now);
		return;
	}
	if (fns_keeper_server_watch(s, fd,
		    fns_keeper_event_id(FNS_KEEPER_TAG_CONN, c->gen, (uint32_t)(c - s->conn))) ||
		(c->pidfd >= 0 && fns_keeper_server_watch(s, c->pidfd,
					  fns_keeper_event_id(FNS_KEEPER_TAG_PIDFD, c->gen,
						  (uint32_t)(c - s->conn)))))
		fns_keeper_conn_close(s, c, false, now);
}

void fns_keeper_conns_resume(struct fns_keeper_server *s, uint64_t now)
{
	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX; i++) {
		struct fns_keeper_conn *c = &s->conn[i];
		int stats = c->deferred_stats;

		if (c->fd < 0 || !c->deferred)
			continue;
		c->deferred = false;
		c->deferred_stats = -1;
		on_lease(s, c, stats, now);
	}
}

void fns_keeper_conns_drop_idle(struct fns_keeper_server *s, uint64_t now)
{
	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX; i++) {
		struct fns_keeper_conn *c = &s->conn[i];

		if (c->fd >= 0 && c->prefix < 0 && !c->deferred && now - c->heard_ns > IDLE_NS)
			fns_keeper_conn_close(s, c, false, now);
	}
}
