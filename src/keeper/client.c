/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of the keeper: find it or start it, lease a slot, come back to its successor when
 * it dies. Owns the descriptors of a lease. Linked into libibverbs.so.1 (called by the placement
 * and its helper thread) and into the command line.
 */
#include "keeper/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/util.h"
#include "keeper/proto.h"
#include "keeper/spawn.h"

#define TIMEOUT_DEFAULT_MS 10000u
#define ATTEMPTS_MAX       200 /* against keepers that come and go */
#define RETRY_MS           10
#define REPLY_TIMEOUT_S    5
#define STATUS_TRIES       5u /* where a keeper leaves before it says anything */
#define STATUS_PAUSE_US    20000u

struct call {
	uid_t uid; /* whose keeper */
	uint16_t port;
	const char *daemon_dir;
	int vault;        /* to hand to a keeper that we start, or -1 */
	const char *args; /* options for it, or NULL */
	bool no_start;
	unsigned stagger_ms; /* before starting a keeper */
	uint64_t deadline_ns;
	char *err;
	size_t errlen;
};

__attribute__((format(printf, 3, 4))) static int fail(struct call *c, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (c->err && c->errlen)
		vsnprintf(c->err, c->errlen, fmt, ap);
	va_end(ap);
	return rc;
}

static unsigned left_ms(const struct call *c)
{
	uint64_t now = fns_clock_now_ns();

	return now >= c->deadline_ns ? 0
				     : (unsigned)((c->deadline_ns - now) / FNS_NSEC_PER_MSEC) + 1;
}

static void pause_ms(unsigned ms)
{
	struct timespec ts = {.tv_nsec = (long)ms * 1000 * 1000};

	nanosleep(&ts, NULL);
}

/* Connects and checks that the listener is who the name says. *pid: the keeper's. Quiet about
 * -ECONNREFUSED: nobody listens. */
static int connect_keeper(struct call *c, pid_t *pid)
{
	struct timeval tv = {.tv_sec = REPLY_TIMEOUT_S};
	struct sockaddr_un sa;
	socklen_t salen = fns_keeper_addr(&sa, c->uid, c->port);
	struct ucred cred;
	socklen_t credlen = sizeof(cred);
	int fd, rc;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(c, -errno, "socket(AF_UNIX): %s", strerror(errno));
	/* Also bounds connect() to a keeper that is stopped with its backlog full. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	do
		rc = connect(fd, (struct sockaddr *)&sa, salen) < 0 ? -errno : 0;
	while (rc == -EINTR);
	if (rc == -EAGAIN)
		fail(c, rc, "the keeper of UDP port %u does not answer; is flexinsd stopped?",
			c->port);
	else if (rc && rc != -ECONNREFUSED)
		fail(c, rc, "connecting to the keeper of UDP port %u: %s", c->port, strerror(-rc));
	if (!rc && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &credlen) < 0)
		rc = fail(c, -errno, "SO_PEERCRED: %s", strerror(errno));
	if (!rc && cred.uid != c->uid)
		rc = fail(c, -EPERM,
			"the name of uid %u's keeper for UDP port %u is taken by a program of uid %u (pid %d); "
			"stop it or set FLEXINS_PORT",
			(unsigned)c->uid, c->port, (unsigned)cred.uid, (int)cred.pid);
	if (rc) {
		close(fd);
		return rc;
	}
	*pid = cred.pid;
	return fd;
}

/* One request and its reply. Negative errno with text; -ECONNRESET: the keeper left in between, ask
 * the next one. */
static int ask(struct call *c, int conn, struct fns_keeper_msg *m, const int *out, unsigned nout,
	int *in, unsigned *nin)
{
	int rc = fns_keeper_msg_send(conn, m, out, nout, 0);

	*nin = 0;
	/* A keeper that refuses the connection closes it after its answer: read that even if our
	 * request met a closed end. */
	if (!rc || rc == -ECONNRESET)
		rc = fns_keeper_msg_recv(conn, m, in, nin, 0);
	/* The error of a peer that closed with our request unread comes before its answer. */
	if (rc == -ECONNRESET)
		rc = fns_keeper_msg_recv(conn, m, in, nin, 0);
	if (rc == -ECONNRESET)
		return rc;
	if (rc == -EAGAIN)
		return fail(c, -ETIMEDOUT,
			"the keeper of UDP port %u does not answer; is flexinsd stopped?", c->port);
	if (rc == -EPROTO)
		return fail(c, rc,
			"the keeper of UDP port %u speaks another version; stop the old flexinsd",
			c->port);
	if (rc == -ETOOMANYREFS)
		return fail(
			c, rc, "too many descriptors in flight for this user; raise RLIMIT_NOFILE");
	if (rc)
		return fail(c, rc, "talking to the keeper: %s", strerror(-rc));
	if (m->type != FNS_KEEPER_ERROR)
		return 0;
	fns_fds_close(in, *nin);
	*nin = 0;
	return fail(c, m->error < 0 ? m->error : -EIO, "%s", m->text);
}

/*
 * Connects to a keeper that answers, starting one where none does, and asks it. Every way for a
 * keeper to vanish in the middle (it left, it was killed, another one won the name) leads back to
 * the top. Returns the connection.
 */
static int reach_and_ask(struct call *c, const struct fns_keeper_msg *req,
	struct fns_keeper_msg *reply, const int *out, unsigned nout, int *in, unsigned *nin,
	pid_t *pid)
{
	for (int i = 0; i < ATTEMPTS_MAX && left_ms(c); i++) {
		int rc, conn = connect_keeper(c, pid);

		if (conn >= 0) {
			*reply = *req;
			rc = ask(c, conn, reply, out, nout, in, nin);
			if (!rc)
				return conn;
			close(conn);
			if (rc != -ECONNRESET)
				return rc;
		} else if (conn != -ECONNREFUSED) {
			return conn;
		} else if (c->no_start) {
			return fail(c, -ECONNREFUSED, "no keeper runs for UDP port %u and uid %u",
				c->port, (unsigned)c->uid);
		} else if (i == 0 && c->stagger_ms) {
			/* Of many clients that lost the same keeper, one shall start the next, not
			 * all. */
			pause_ms(c->stagger_ms);
			continue;
		} else if (c->uid == geteuid()) {
			rc = fns_keeper_spawn(c->daemon_dir, c->port, c->vault, c->args, left_ms(c),
				c->err, c->errlen);
			if (rc)
				return rc;
			continue;
		}
		pause_ms(RETRY_MS);
	}
	return fail(c, -ETIMEDOUT, "no keeper of uid %u for UDP port %u answered", (unsigned)c->uid,
		c->port);
}

/* Whose keeper to talk to: FLEXINS_KEEPER_UID names a trusted other user, the default is ourselves.
 */
static int call_init(struct call *c, const struct fns_keeper_opts *o, char *err, size_t errlen)
{
	const char *uid = secure_getenv("FLEXINS_KEEPER_UID");
	unsigned ms = o && o->timeout_ms ? o->timeout_ms : TIMEOUT_DEFAULT_MS;

	*c = (struct call){.uid = geteuid(), .vault = -1, .err = err, .errlen = errlen};
	if (err && errlen)
		err[0] = 0;
	c->deadline_ns = fns_clock_now_ns() + (uint64_t)ms * FNS_NSEC_PER_MSEC;
	if (o) {
		c->port = o->port;
		c->daemon_dir = o->daemon_dir;
		c->no_start = o->no_start;
	}
	if (!c->port && fns_keeper_port_from_env(&c->port))
		return fail(
			c, -EINVAL, "FLEXINS_PORT=%s is not a UDP port", getenv("FLEXINS_PORT"));
	if (uid && *uid) {
		char *end;
		unsigned long v = strtoul(uid, &end, 10);

		if (*end || *uid < '0' || *uid > '9' || v > UINT32_MAX)
			return fail(c, -EINVAL, "FLEXINS_KEEPER_UID=%s is not a user id", uid);
		c->uid = (uid_t)v;
	}
	return 0;
}

/* Root is trusted by everybody: where the user has no keeper but root has one that serves him, that
 * one is meant. */
static void prefer_system_keeper(struct call *c)
{
	struct call probe = *c;
	char none[8];
	pid_t pid;
	int fd;

	if (c->uid == 0 || c->uid != geteuid())
		return;
	probe.err = none;
	probe.errlen = sizeof(none);
	fd = connect_keeper(&probe, &pid);
	if (fd >= 0) {
		close(fd);
		return;
	}
	if (fd != -ECONNREFUSED)
		return;
	probe.uid = 0;
	fd = connect_keeper(&probe, &pid);
	if (fd >= 0) {
		close(fd);
		c->uid = 0;
	}
}

/* Options come from a process that we trust, and still only those that a keeper may set are passed
 * on. */
static void keep_restart_args(struct fns_lease *l, const struct fns_keeper_msg *m)
{
	_Static_assert(sizeof(l->restart) == sizeof(m->text), "copied whole");
	memcpy(l->restart, m->text, sizeof(l->restart));
	if (l->restart[strspn(l->restart, "-lqsGu 0123456789.")])
		l->restart[0] = 0;
}

int fns_keeper_lease(
	const struct fns_keeper_opts *opts, struct fns_lease *out, char *err, size_t errlen)
{
	struct fns_keeper_msg req, reply;
	int stats = opts ? opts->stats_fd : -1, fds[FNS_KEEPER_FDS_MAX], conn, rc;
	struct fns_lease l = {.sock = -1, .vault = -1, .conn = -1, .stats_fd = -1};
	unsigned nfds;
	struct call c;

	rc = call_init(&c, opts, err, errlen);
	if (rc)
		return rc;
	prefer_system_keeper(&c);
	fns_keeper_msg_init(&req, FNS_KEEPER_LEASE);
	conn = reach_and_ask(&c, &req, &reply, &stats, stats >= 0, fds, &nfds, &l.keeper_pid);
	if (conn < 0)
		return conn;
	if (reply.type != FNS_KEEPER_LEASED || nfds != 2 || reply.prefix <= FNS_KEEPER_SLOT_CM ||
		reply.prefix >= FNS_KEEPER_SLOT_MC) {
		fns_fds_close(fds, nfds);
		close(conn);
		return fail(
			&c, -EPROTO, "the keeper's answer makes no sense; stop the old flexinsd");
	}
	l.prefix = (uint8_t)reply.prefix;
	l.gro = reply.flags & FNS_KEEPER_F_GRO;
	l.ipv6 = reply.flags & FNS_KEEPER_F_IPV6;
	l.port = c.port;
	l.sock = fds[0];
	l.vault = fds[1];
	l.conn = conn;
	l.keeper_uid = c.uid;
	l.stats_fd = stats >= 0 ? fcntl(stats, F_DUPFD_CLOEXEC, 0) : -1;
	l.daemon_dir = c.daemon_dir ? strdup(c.daemon_dir) : NULL;
	keep_restart_args(&l, &reply);
	*out = l;
	return 0;
}

void fns_keeper_forget(struct fns_lease *l)
{
	int fds[4] = {l->sock, l->vault, l->conn, l->stats_fd};

	fns_fds_close(fds, 4);
	l->sock = l->vault = l->conn = l->stats_fd = -1;
}

void fns_keeper_release(struct fns_lease *l)
{
	struct fns_keeper_msg m;
	int conn = l->conn;

	/* Our descriptors go first, so that the keeper may believe the message and lease the slot
	 * again without quarantine. */
	l->conn = -1;
	fns_keeper_forget(l);
	free(l->daemon_dir);
	l->daemon_dir = NULL;
	if (conn < 0)
		return;
	fns_keeper_msg_init(&m, FNS_KEEPER_RELEASE);
	(void)fns_keeper_msg_send(conn, &m, NULL, 0, 0);
	close(conn);
}

static bool conn_alive(int conn)
{
	char byte;
	ssize_t n = conn < 0 ? 0 : recv(conn, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

int fns_keeper_reconnect(struct fns_lease *l, char *err, size_t errlen)
{
	struct fns_keeper_opts opts = {
		.port = l->port, .daemon_dir = l->daemon_dir, .stats_fd = -1};
	int out[FNS_KEEPER_FDS_MAX] = {l->sock, l->vault, l->stats_fd}, in[FNS_KEEPER_FDS_MAX];
	struct fns_keeper_msg req, reply;
	int conn, rc;
	unsigned nin;
	struct call c;
	pid_t pid;

	if (conn_alive(l->conn))
		return 0;
	rc = call_init(&c, &opts, err, errlen);
	if (rc)
		return rc;
	c.uid = l->keeper_uid;
	c.vault = l->vault;
	c.args = l->restart;
	c.stagger_ms = l->prefix % 128u * 2u;
	fns_keeper_msg_init(&req, FNS_KEEPER_REATTACH);
	req.prefix = l->prefix;
	conn = reach_and_ask(&c, &req, &reply, out, l->stats_fd >= 0 ? 3 : 2, in, &nin, &pid);
	if (conn < 0)
		return conn;
	fns_fds_close(in, nin);
	if (reply.type != FNS_KEEPER_LEASED || reply.prefix != l->prefix) {
		close(conn);
		return fail(
			&c, -EPROTO, "the keeper's answer makes no sense; stop the old flexinsd");
	}
	if (l->conn < 0) {
		l->conn = conn;
	} else {
		rc = dup3(conn, l->conn, O_CLOEXEC) < 0 ? -errno : 0;
		close(conn);
		if (rc)
			return fail(&c, rc, "dup3: %s", strerror(-rc));
	}
	l->keeper_pid = pid;
	keep_restart_args(l, &reply);
	return 0;
}

int fns_keeper_peer_ask(const struct fns_lease *l, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex)
{
	struct fns_keeper_msg m;

	fns_keeper_msg_init(&m, FNS_KEEPER_HELLO);
	memcpy(m.hello.local, local->b, sizeof(m.hello.local));
	memcpy(m.hello.remote, remote->b, sizeof(m.hello.remote));
	m.hello.ifindex = ifindex;
	return fns_keeper_msg_send(l->conn, &m, NULL, 0, MSG_DONTWAIT);
}

static void peer_of(const struct fns_keeper_hello_msg *m, struct fns_keeper_peer_info *out)
{
	*out = (struct fns_keeper_peer_info){.ifindex = m->ifindex,
		.state = m->state <= FNS_HELLO_SILENT ? (enum fns_hello_state)m->state
						      : FNS_HELLO_SILENT,
		.hello = {.version = (uint16_t)m->version,
			.ext = m->ext,
			.icrc = m->icrc,
			.rcvbuf = m->rcvbuf,
			.generation = m->generation}};
	memcpy(out->local.b, m->local, sizeof(out->local.b));
	memcpy(out->remote.b, m->remote, sizeof(out->remote.b));
}

int fns_keeper_peer_take(const struct fns_lease *l, struct fns_keeper_peer_info *out)
{
	int fds[FNS_KEEPER_FDS_MAX], rc;
	struct fns_keeper_msg m;
	unsigned nfds;

	rc = fns_keeper_msg_recv(l->conn, &m, fds, &nfds, MSG_DONTWAIT);
	if (rc)
		return rc;
	fns_fds_close(fds, nfds);
	if (m.type == FNS_KEEPER_ERROR)
		return -EBUSY;
	if (m.type != FNS_KEEPER_PEER)
		return -EPROTO;
	peer_of(&m.hello, out);
	return 0;
}

int fns_keeper_peers(const struct fns_keeper_opts *opts,
	int (*fn)(const struct fns_keeper_peer_info *peer, void *arg), void *arg, char *err,
	size_t errlen)
{
	int fds[FNS_KEEPER_FDS_MAX], conn, rc;
	struct fns_keeper_msg m;
	uint32_t at = 0;
	unsigned nfds;
	struct call c;
	pid_t pid;

	rc = call_init(&c, opts, err, errlen);
	if (rc)
		return rc;
	prefer_system_keeper(&c);
	conn = connect_keeper(&c, &pid);
	if (conn < 0)
		return conn;
	for (;;) {
		struct fns_keeper_peer_info p;

		fns_keeper_msg_init(&m, FNS_KEEPER_PEERS);
		m.prefix = at;
		rc = ask(&c, conn, &m, NULL, 0, fds, &nfds);
		if (rc == -ECONNRESET)
			fail(&c, rc, "the keeper left while it was asked; try again");
		if (rc)
			break;
		fns_fds_close(fds, nfds);
		if (m.type != FNS_KEEPER_PEER)
			break;
		if (m.prefix < at || m.prefix == UINT32_MAX) {
			rc = fail(&c, -EPROTO, "the keeper's answer makes no sense");
			break;
		}
		peer_of(&m.hello, &p);
		rc = fn(&p, arg);
		if (rc)
			break;
		at = m.prefix + 1;
	}
	close(conn);
	return rc;
}

static int connect_for_status(struct call *c, pid_t *pid)
{
	int conn = connect_keeper(c, pid);

	if (conn == -ECONNREFUSED)
		return fail(c, conn, "no keeper runs for UDP port %u and uid %u", c->port,
			(unsigned)c->uid);
	return conn;
}

int fns_keeper_status(const struct fns_keeper_opts *opts,
	int (*fn)(struct fns_keeper_slot_info *slot, void *arg), void *arg,
	struct fns_keeper_info *info, char *err, size_t errlen)
{
	struct fns_keeper_msg m;
	int conn, rc, fds[FNS_KEEPER_FDS_MAX];
	unsigned nfds, prefix = 0, left = 0;
	struct call c;
	pid_t pid;

	rc = call_init(&c, opts, err, errlen);
	if (rc)
		return rc;
	c.no_start = true;
	prefer_system_keeper(&c);
	conn = connect_for_status(&c, &pid);
	if (conn < 0)
		return conn;
	for (;;) {
		struct fns_keeper_slot_info s = {.stats_fd = -1};

		fns_keeper_msg_init(&m, FNS_KEEPER_STATUS);
		m.prefix = prefix;
		rc = ask(&c, conn, &m, NULL, 0, fds, &nfds);
		if (rc == -ECONNRESET && prefix == 0 && left++ < STATUS_TRIES) {
			/* It was about to leave: there is another, or none. */
			close(conn);
			usleep(STATUS_PAUSE_US);
			conn = connect_for_status(&c, &pid);
			if (conn < 0)
				return conn;
			continue;
		}
		if (rc == -ECONNRESET)
			fail(&c, rc, "the keeper left while it was asked; try again");
		if (rc || m.type != FNS_KEEPER_SLOT)
			break;
		/* A keeper that goes backwards would keep us here for ever. */
		if (m.prefix < prefix || m.prefix >= FNS_KEEPER_SLOTS) {
			fns_fds_close(fds, nfds);
			rc = fail(&c, -EPROTO, "the keeper's answer makes no sense");
			break;
		}
		s.prefix = (uint8_t)m.prefix;
		s.state = (enum fns_keeper_slot_state)m.state;
		s.pid = (pid_t)m.pid;
		s.uid = m.uid;
		memcpy(s.comm, m.comm, sizeof(s.comm));
		s.since_ns = m.since_ns;
		if (nfds)
			s.stats_fd = fds[0];
		if (nfds > 1)
			fns_fds_close(fds + 1, nfds - 1);
		rc = fn(&s, arg);
		if (s.stats_fd >= 0)
			close(s.stats_fd);
		if (rc)
			break;
		prefix = m.prefix + 1;
	}
	close(conn);
	if (!rc && info)
		*info = (struct fns_keeper_info){.pid = pid,
			.uid = c.uid,
			.port = c.port,
			.gro = m.flags & FNS_KEEPER_F_GRO,
			.ipv6 = m.flags & FNS_KEEPER_F_IPV6,
			.unclaimed = m.drops};
	return rc;
}
