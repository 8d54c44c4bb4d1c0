/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's event loop: brings the group of sockets up, watches everything, looks after slots
 * that wait to be reclaimed, and leaves when nobody needs it any more. Owns the server; clients are
 * conn.c's.
 */
#include "keeper/server_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/util.h"
#include "keeper/gsi.h"
#include "keeper/owner.h"

#define BACKLOG         256
#define SLOT0_BURST     64 /* packets read at a time: a flood must not keep clients waiting */
#define EVENTS_MAX      64
#define FIRST_CLIENT_NS (2 * FNS_NSEC_PER_SEC)
#define VAULT_WAIT_NS   (3 * FNS_NSEC_PER_SEC)   /* for a client to bring a dead keeper's vault */
#define VAULT_POLL_NS   (20 * FNS_NSEC_PER_MSEC) /* meanwhile: did the port come free? */
#define TICK_NS         FNS_NSEC_PER_SEC

int fns_keeper_server_watch(struct fns_keeper_server *s, int fd, uint64_t id)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = id};

	return epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void fns_keeper_server_reclaim(struct fns_keeper_server *s, unsigned prefix, uint64_t now)
{
	int rc = fns_keeper_group_shut_slot(&s->group, prefix);

	if (rc < 0)
		fns_log(FNS_LOG_ERROR, "keeper: slot %u: %s", prefix, strerror(-rc));
	fns_keeper_slots_quarantine(&s->slots, prefix, now);
}

static void hello_send(void *ctx, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN])
{
	struct fns_keeper_server *s = ctx;
	int rc = fns_keeper_gsi_send(s->cfg.port, local, remote, ifindex, mad);

	if (rc)
		fns_log(FNS_LOG_DEBUG, "keeper: hello: %s", strerror(-rc));
}

/* Starts asking and answering other hosts. */
static void greet(struct fns_keeper_server *s)
{
	struct fns_hello own = {.version = FNS_HELLO_VERSION,
		.ext = FNS_HELLO_EXT_CREDIT | FNS_HELLO_EXT_SACK,
		.icrc = FNS_HELLO_ICRC_STD};
	uint64_t seed = fns_clock_now_ns();
	socklen_t len = sizeof(int);
	int rcvbuf = 0;

	if (getsockopt(s->group.sock[1], SOL_SOCKET, SO_RCVBUF, &rcvbuf, &len) == 0)
		own.rcvbuf = (uint32_t)rcvbuf;
	if (fns_entropy_fill(&seed, sizeof(seed)) < 0 ||
		fns_entropy_fill(&own.generation, sizeof(own.generation)) < 0)
		fns_log(FNS_LOG_WARN, "keeper: no entropy for the numbers of questions");
	s->hellos.send = hello_send;
	s->hellos.ctx = s;
	fns_keeper_hello_init(&s->hellos, &own, seed);
}

/* Packets for QP1, and those too short to steer. */
static void slot0_read(struct fns_keeper_server *s, uint64_t now)
{
	for (unsigned i = 0; i < SLOT0_BURST; i++) {
		struct fns_keeper_mad m;
		int rc = fns_keeper_gsi_recv(s->group.sock[FNS_KEEPER_SLOT_CM], s->cfg.port, &m);

		if (rc == -EAGAIN)
			break;
		if (rc == 0 || !fns_keeper_hello_rx(
				       &s->hellos, &m.dst, &m.src, m.ifindex, m.mad, m.intact, now))
			s->unclaimed++;
	}
}

static void on_event(struct fns_keeper_server *s, uint64_t id, uint64_t now)
{
	struct fns_keeper_conn *c = &s->conn[(uint32_t)id % FNS_KEEPER_CONNS_MAX];

	switch ((enum fns_keeper_tag)(id >> 56)) {
	case FNS_KEEPER_TAG_LISTEN:
		fns_keeper_conn_accept(s, now);
		break;
	case FNS_KEEPER_TAG_SLOT0:
		slot0_read(s, now);
		break;
	case FNS_KEEPER_TAG_CONN:
	case FNS_KEEPER_TAG_PIDFD:
		/* An entry may have been closed and used anew since epoll reported it. */
		if (c->fd < 0 || (c->gen & 0xffffff) != (id >> 32 & 0xffffff))
			break;
		if (id >> 56 == FNS_KEEPER_TAG_CONN)
			fns_keeper_conn_read(s, c, now);
		else
			fns_keeper_conn_close(s, c, false, now);
		break;
	case FNS_KEEPER_TAG_STOP:
		break;
	}
}

/* The group has come up, new or adopted: what is leased can be read off the sockets. */
static void group_is_up(struct fns_keeper_server *s, uint64_t now)
{
	s->up = true;
	greet(s);
	fns_keeper_slots_init(&s->slots, s->cfg.quarantine_ns, now);
	for (unsigned i = FNS_KEEPER_SLOT_CM + 1; i < FNS_KEEPER_SLOT_MC; i++)
		if (!fns_keeper_group_slot_is_shut(&s->group, i))
			fns_keeper_slots_orphan(&s->slots, i, now);
	if (fns_keeper_server_watch(s, s->group.sock[FNS_KEEPER_SLOT_CM],
		    fns_keeper_event_id(FNS_KEEPER_TAG_SLOT0, 0, 0)))
		fns_log(FNS_LOG_ERROR, "keeper: cannot watch slot 0");
	fns_keeper_conns_resume(s, now);
}

int fns_keeper_server_adopt(
	struct fns_keeper_server *s, int vault, uint64_t now, char *text, size_t len)
{
	struct fns_keeper_group_opts o = {
		.port = s->cfg.port, .gro = s->cfg.gro, .rcvbuf = s->cfg.rcvbuf};
	int rc = fns_keeper_group_adopt(&s->group, &o, vault, text, len);

	if (!rc)
		group_is_up(s, now);
	return rc;
}

/*
 * Orphans and quarantined slots whose round is over. As long as some process is seen with the
 * socket, an orphan may still come back (it may be stopped in a debugger) and a quarantined slot
 * stays where it is, for a bounded number of rounds.
 */
static void look_after_slots(struct fns_keeper_server *s, uint64_t now)
{
	uint64_t inode[FNS_KEEPER_SLOTS];
	unsigned prefix[FNS_KEEPER_SLOTS], n = 0;
	bool seen[FNS_KEEPER_SLOTS];
	struct stat st;

	for (int p = -1; (p = fns_keeper_slots_due(&s->slots, (unsigned)(p + 1), now)) >= 0; n++) {
		prefix[n] = (unsigned)p;
		inode[n] = fstat(s->group.sock[p], &st) == 0 ? st.st_ino : 0;
	}
	if (!n)
		return;
	/* One walk through /proc for all of them: it takes milliseconds, in which clients wait. */
	fns_keeper_owner_see_sockets(inode, seen, n, getpid());
	now = fns_clock_now_ns();
	for (unsigned i = 0; i < n; i++) {
		if (seen[i] && fns_keeper_slots_renew(&s->slots, prefix[i], now))
			continue;
		if (s->slots.slot[prefix[i]].state == FNS_KEEPER_ORPHANED)
			fns_keeper_server_reclaim(s, prefix[i], now);
		else
			fns_keeper_slots_free(&s->slots, prefix[i], now);
	}
}

int fns_keeper_server_create(
	struct fns_keeper_server **out, const struct fns_keeper_config *cfg, char *text, size_t len)
{
	struct fns_keeper_server *s = calloc(1, sizeof(*s));
	struct sockaddr_un sa;
	socklen_t salen = fns_keeper_addr(&sa, geteuid(), cfg->port);
	int rc = 0;

	if (!s) {
		snprintf(text, len, "out of memory");
		return -ENOMEM;
	}
	s->cfg = *cfg;
	fns_keeper_group_init(&s->group);
	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX; i++)
		s->conn[i].fd = -1;
	s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->epfd < 0 || s->listener < 0 ||
		bind(s->listener, (struct sockaddr *)&sa, salen) < 0 ||
		listen(s->listener, BACKLOG) < 0)
		rc = -errno;
	if (!rc)
		rc = fns_keeper_server_watch(
			s, s->listener, fns_keeper_event_id(FNS_KEEPER_TAG_LISTEN, 0, 0));
	if (rc) {
		snprintf(text, len, "listening on the keeper's name: %s", strerror(-rc));
		fns_keeper_server_destroy(s);
		return rc;
	}
	*out = s;
	return 0;
}

void fns_keeper_server_destroy(struct fns_keeper_server *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < FNS_KEEPER_CONNS_MAX; i++) {
		struct fns_keeper_conn *c = &s->conn[i];

		if (c->fd < 0)
			continue;
		c->prefix = -1; /* the lease outlives us: the client takes it to the next keeper */
		fns_keeper_conn_close(s, c, true, 0);
	}
	/* The name goes last: who takes it then finds the port free, or a vault in some client's
	 * hands. */
	fns_keeper_group_close(&s->group);
	if (s->spare >= 0)
		close(s->spare);
	if (s->epfd >= 0)
		close(s->epfd);
	if (s->listener >= 0)
		close(s->listener);
	free(s);
}

/* Tries to have the group up: 0 and s->up, or 0 and not yet, or an error. */
static int try_up(struct fns_keeper_server *s, uint64_t start, uint64_t now, char *text, size_t len)
{
	struct fns_keeper_group_opts o = {
		.port = s->cfg.port, .gro = s->cfg.gro, .rcvbuf = s->cfg.rcvbuf};
	struct fns_keeper_owner owner;
	int rc;

	if (s->cfg.vault >= 0) {
		rc = fns_keeper_server_adopt(s, s->cfg.vault, now, text, len);
		if (!rc)
			s->cfg.vault = -1;
		return rc;
	}
	rc = fns_keeper_group_create(&s->group, &o, text, len);
	if (!rc)
		group_is_up(s, now);
	if (rc != -EADDRINUSE)
		return rc;
	/* Many sockets of our own uid: a group whose keeper died. One of its processes will be here
	 * in a moment. */
	fns_keeper_owner_find(&owner, s->cfg.port, geteuid());
	if (owner.ours > 1 && owner.ours == owner.sockets && now - start < VAULT_WAIT_NS)
		return 0;
	if (owner.sockets == 0 && now - start < VAULT_POLL_NS * 4)
		return 0; /* came free between the two looks */
	fns_keeper_owner_explain(&owner, s->cfg.port, text, len);
	return rc;
}

/*
 * Nobody has a lease or may come back for one. A connection without a lease does not count
 * (somebody may be watching the status for ever); a client that asks for its lease just as we leave
 * finds the next keeper.
 */
static bool idle(const struct fns_keeper_server *s)
{
	return s->up && !s->slots.held && !s->slots.waiting;
}

/* Whoever started us has yet to connect: not even a linger time of zero may make us leave before.
 */
static uint64_t linger_ns(const struct fns_keeper_server *s)
{
	return s->served ? s->cfg.linger_ns : FNS_MAX(s->cfg.linger_ns, FIRST_CLIENT_NS);
}

/* Until the next thing that time alone brings; a keeper whose clients are content sleeps for good.
 */
static int wait_ms(const struct fns_keeper_server *s, uint64_t now)
{
	uint64_t at = UINT64_MAX;

	if (!s->up)
		at = now + VAULT_POLL_NS;
	if (s->up && s->slots.waiting)
		at = fns_keeper_slots_next_ns(&s->slots);
	if (s->up)
		at = FNS_MIN(at, s->hellos.next_ns);
	if (s->up && s->n_conns > s->slots.held)
		at = FNS_MIN(at, now + TICK_NS);
	if (idle(s) && !s->cfg.stay)
		at = FNS_MIN(at, s->busy_ns + linger_ns(s));
	if (at == UINT64_MAX)
		return -1;
	return at <= now ? 0
			 : (int)FNS_DIV_UP(
				   FNS_MIN(at - now, 3600 * FNS_NSEC_PER_SEC), FNS_NSEC_PER_MSEC);
}

int fns_keeper_server_run(struct fns_keeper_server *s, int stop_fd, void (*ready)(void *),
	void *arg, char *text, size_t len)
{
	uint64_t start = fns_clock_now_ns(), now = start;
	struct epoll_event ev[EVENTS_MAX];
	bool told = false;
	int n, rc;

	rc = fns_keeper_server_watch(s, stop_fd, fns_keeper_event_id(FNS_KEEPER_TAG_STOP, 0, 0));
	if (rc) {
		snprintf(text, len, "epoll: %s", strerror(-rc));
		return rc;
	}
	s->busy_ns = start;
	for (;;) {
		if (!s->up) {
			rc = try_up(s, start, now, text, len);
			if (rc)
				return rc;
		}
		if (s->up && !told) {
			told = true;
			s->busy_ns = now;
			ready(arg);
		}
		if (s->up) {
			look_after_slots(s, now);
			fns_keeper_conns_drop_idle(s, now);
			fns_keeper_hello_tick(&s->hellos, now);
			fns_keeper_conns_tell(s, now);
			if (!idle(s))
				s->busy_ns = now;
			else if (!s->cfg.stay && now - s->busy_ns >= linger_ns(s))
				return 0;
		}
		n = epoll_wait(s->epfd, ev, EVENTS_MAX, wait_ms(s, now));
		now = fns_clock_now_ns();
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 >> 56 == FNS_KEEPER_TAG_STOP)
				return 0;
			on_event(s, ev[i].data.u64, now);
		}
	}
}
