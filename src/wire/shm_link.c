/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links of the same-host wire: how two processes find each other, and how each notices that the
 * other has gone. Control path, under the engine; nothing here blocks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/log.h"
#include "wire/shm_priv.h"

#define MAGIC      0x53534e46u /* "FNSS" */
#define VERSION    2u
#define BACKLOG    128
#define MAX_EVENTS 256u /* dealt with in one call; more wait for the next */
#define FDS        2u   /* beside a greeting: ring, eventfd */

/* The one message of a connection from the sender of frames; the answer is one with the door, if
 * there is one. */
struct greeting {
	uint32_t magic, version;
	uint32_t prefix; /* the sender's slot, for the log */
	uint32_t ring_bytes;
};

static socklen_t name_of(struct sockaddr_un *sa, uint16_t port, uint8_t prefix)
{
	return fns_fds_address(sa, "flexins-shm-%lu-%u-%u", (unsigned long)geteuid(), port, prefix);
}

static struct ucred peer_of(int conn)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		cred = (struct ucred){.uid = (uid_t)-1};
	return cred;
}

/* Anybody can take a name: who is it? */
static bool is_us(int conn)
{
	return peer_of(conn).uid == geteuid();
}

static int watch(struct shm_wire *w, int fd, uint32_t events, struct shm_watch *what)
{
	struct epoll_event ev = {.events = events, .data.ptr = what};

	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* --- from us --- */

/* A greeting with descriptors. */
static int say(struct shm_wire *w, int conn, const int *fds, unsigned nfds)
{
	struct greeting g = {.magic = MAGIC,
		.version = VERSION,
		.prefix = w->cfg.prefix,
		.ring_bytes = SHM_RING_BYTES};

	return fns_fds_send(conn, &g, sizeof(g), fds, nfds, MSG_DONTWAIT);
}

/* What the other one says. 0: a greeting with nfds descriptors, which are ours now; -EAGAIN:
 * nothing yet; else negative: the connection is no good, or has ended. */
static int hear(int conn, int *fds, unsigned nfds)
{
	struct greeting g;
	unsigned n;
	int rc = fns_fds_recv(conn, &g, sizeof(g), fds, nfds, &n, MSG_DONTWAIT);

	if (rc)
		return rc;
	if (n == nfds && g.magic == MAGIC && g.version == VERSION && g.ring_bytes == SHM_RING_BYTES)
		return 0;
	fns_fds_close(fds, n);
	return -EPROTO;
}

static int out_connect(struct shm_wire *w, struct shm_out *o)
{
	struct sockaddr_un sa;
	socklen_t len = name_of(&sa, w->cfg.port, o->prefix);
	int ring_fd = -1, err, fds[FDS];

	o->conn = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (o->conn < 0 || connect(o->conn, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	if (!is_us(o->conn))
		return -EPERM;
	o->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->wake < 0)
		return -errno;
	err = shm_ring_make(&o->ring, &ring_fd);
	if (err)
		return err;
	fns_shm_lend_offer(o);
	fds[0] = ring_fd;
	fds[1] = o->wake;
	err = say(w, o->conn, fds, FDS);
	close(ring_fd);
	if (err == 0)
		err = watch(w, o->conn, EPOLLIN | EPOLLRDHUP, &o->watch);
	return err;
}

/* Closes what out_connect has opened. */
static void out_close(struct shm_wire *w, struct shm_out *o)
{
	fns_fds_unwatch(w->epfd, &o->conn);
	if (o->wake >= 0)
		close(o->wake);
	o->wake = -1;
	shm_reach_drop(&o->reach);
	shm_ring_unmap(&o->ring);
}

int fns_shm_out_get(struct shm_wire *w, uint8_t prefix, struct shm_out **out)
{
	struct shm_out *o;
	struct fns_list *it;
	int err;

	fns_list_for_each (it, &w->out) {
		o = fns_container_of(it, struct shm_out, node);
		if (o->prefix == prefix) {
			o->refs++;
			*out = o;
			return 0;
		}
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return -EHOSTUNREACH;
	o->prefix = prefix;
	o->refs = 1;
	o->conn = o->wake = -1;
	o->watch = (struct shm_watch){SHM_WATCH_OUT, o};
	err = out_connect(w, o);
	if (err) {
		if (err != -ECONNREFUSED)
			fns_log(FNS_LOG_INFO,
				"no shared memory with slot %u of this host, using UDP: %s", prefix,
				strerror(-err));
		out_close(w, o);
		free(o);
		return -EHOSTUNREACH;
	}
	fns_list_push_back(&w->out, &o->node);
	*out = o;
	return 0;
}

void fns_shm_out_put(struct shm_wire *w, struct shm_out *o)
{
	if (--o->refs > 0)
		return;
	fns_list_remove(&o->node);
	out_close(w, o);
	free(o);
}

/* The receiver has gone, or wants no more. */
static void out_break(struct shm_wire *w, struct shm_out *o)
{
	struct fns_list *it;

	fns_list_for_each (it, &w->paths) {
		struct shm_path *p = fns_container_of(it, struct shm_path, node);

		if (p->out != o)
			continue;
		p->base.broken = true;
		p->base.reads_once = p->base.direct = false;
	}
	o->broken = true;
	fns_list_remove(&o->node);
	out_close(w, o);
}

static void set_direct(struct shm_wire *w, const struct shm_out *o, bool on)
{
	struct fns_list *it;

	fns_list_for_each (it, &w->paths) {
		struct shm_path *p = fns_container_of(it, struct shm_path, node);

		if (p->out == o)
			p->base.direct = on;
	}
}

void fns_shm_out_unreach(struct shm_wire *w, struct shm_out *o)
{
	shm_reach_drop(&o->reach);
	set_direct(w, o, false);
}

/* Its door; what comes after that is the end. */
static void out_event(struct shm_wire *w, struct shm_out *o)
{
	int fd, err = o->reach.file ? -EPROTO : hear(o->conn, &fd, 1);

	if (err == -EAGAIN)
		return;
	if (err)
		out_break(w, o);
	else if (shm_reach_take(&o->reach, fd, peer_of(o->conn).pid))
		set_direct(w, o, true);
}

/* --- to us --- */

static void in_free(struct shm_wire *w, struct shm_in *in)
{
	fns_fds_unwatch(w->epfd, &in->conn);
	fns_fds_unwatch(w->epfd, &in->wake);
	shm_ring_unmap(&in->ring);
	w->nin--;
	free(in);
}

void fns_shm_in_end(struct shm_wire *w, struct shm_in *in)
{
	fns_list_remove(&in->node);
	in->gone = true;
	fns_fds_unwatch(w->epfd, &in->conn);
	fns_fds_unwatch(w->epfd, &in->wake);
	if (!in->oldest)
		in_free(w, in);
}

/* 0, -EAGAIN: not here yet, or negative: the connection is no good. */
static int in_greeted(struct shm_wire *w, struct shm_in *in)
{
	int fds[FDS], err = hear(in->conn, fds, FDS);

	if (err)
		return err;
	err = shm_ring_take(&in->ring, fds[0]);
	close(fds[0]);
	if (err) {
		close(fds[1]);
		return err;
	}
	in->wake = fds[1];
	in->pid = peer_of(in->conn).pid;
	fns_shm_lend_try(in);
	if (fns_shm_is_shut(w))
		atomic_store_explicit(&in->ring.shared->fetches, 0, memory_order_relaxed);
	/* By its edges: it is never read, whatever kind of file it is. */
	err = watch(w, in->wake, EPOLLIN | EPOLLET, &in->watch_wake);
	if (err == 0 && w->armed)
		atomic_store_explicit(&in->ring.shared->armed, 1, memory_order_relaxed);
	/* Should it not get through, packets do. */
	if (err == 0 && w->door.file)
		(void)say(w, in->conn, &w->door.fd, 1);
	return err;
}

static void in_event(struct shm_wire *w, struct shm_in *in)
{
	char byte;
	int err;

	if (!in->ring.shared) {
		err = in_greeted(w, in);
		if (err == -EAGAIN)
			return;
		if (err) {
			fns_log(FNS_LOG_INFO,
				"a process of this host was refused shared memory: %s",
				strerror(-err));
			fns_shm_in_end(w, in);
			return;
		}
	}
	/* Nothing more is ever said, so what comes now is the end. */
	if (recv(in->conn, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	fns_fds_unwatch(w->epfd, &in->conn);
	in->ended = true;
}

/* Whoever waits is told no: its frames would never be read. */
static void refuse_one(struct shm_wire *w)
{
	int fd;

	if (w->spare >= 0)
		close(w->spare);
	fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	w->spare = eventfd(0, EFD_CLOEXEC);
}

static void listener_event(struct shm_wire *w)
{
	struct shm_in *in;
	int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			refuse_one(w);
		return;
	}
	in = w->nin < SHM_LINKS && is_us(fd) ? calloc(1, sizeof(*in)) : NULL;
	if (!in) {
		close(fd);
		return;
	}
	w->nin++;
	in->conn = fd;
	in->wake = -1;
	in->watch_conn = (struct shm_watch){SHM_WATCH_IN, in};
	in->watch_wake = (struct shm_watch){SHM_WATCH_WAKE, in};
	fns_list_push_back(&w->in, &in->node);
	if (watch(w, fd, EPOLLIN | EPOLLRDHUP, &in->watch_conn) < 0)
		fns_shm_in_end(w, in);
}

void fns_shm_events(struct fns_wire *base)
{
	struct shm_wire *w = shm_of(base);
	struct epoll_event ev;

	/* One at a time: dealing with one may free what another is about. */
	for (unsigned i = 0; i < MAX_EVENTS && epoll_wait(w->epfd, &ev, 1, 0) == 1; i++) {
		const struct shm_watch *what = ev.data.ptr;

		switch (what->kind) {
		case SHM_WATCH_LISTENER:
			listener_event(w);
			break;
		case SHM_WATCH_IN:
			in_event(w, what->link);
			break;
		case SHM_WATCH_OUT:
			out_event(w, what->link);
			break;
		case SHM_WATCH_SELF:
		case SHM_WATCH_WAKE: /* rx_burst follows */
			break;
		}
	}
}

/* --- life --- */

int fns_shm_links_init(struct shm_wire *w)
{
	struct sockaddr_un sa;
	socklen_t len = name_of(&sa, w->cfg.port, w->cfg.prefix);
	int err;

	w->watch_listener = (struct shm_watch){SHM_WATCH_LISTENER, NULL};
	w->watch_self = (struct shm_watch){SHM_WATCH_SELF, NULL};
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	w->self = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->spare = eventfd(0, EFD_CLOEXEC);
	w->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->epfd < 0 || w->self < 0 || w->listener < 0 ||
		bind(w->listener, (struct sockaddr *)&sa, len) < 0 ||
		listen(w->listener, BACKLOG) < 0)
		return -errno;
	err = watch(w, w->listener, EPOLLIN, &w->watch_listener);
	return err ? err : watch(w, w->self, EPOLLIN | EPOLLET, &w->watch_self);
}

void fns_shm_links_fini(struct shm_wire *w)
{
	struct fns_list *it, *tmp;

	fns_list_for_each_safe (it, tmp, &w->in) {
		struct shm_in *in = fns_container_of(it, struct shm_in, node);

		fns_list_remove(it);
		in_free(w, in);
	}
	shm_door_unmake(&w->door);
	fns_wire_shm_forget(&w->base);
}

void fns_wire_shm_leave(struct fns_wire *base)
{
	fns_fds_unwatch(shm_of(base)->epfd, &shm_of(base)->listener);
}

void fns_wire_shm_forget(struct fns_wire *base)
{
	struct shm_wire *w = shm_of(base);
	struct fns_list *it;
	int fds[] = {w->epfd, w->self, w->spare, w->listener};

	fns_list_for_each (it, &w->in) {
		struct shm_in *in = fns_container_of(it, struct shm_in, node);

		if (in->conn >= 0)
			close(in->conn);
		if (in->wake >= 0)
			close(in->wake);
	}
	fns_list_for_each (it, &w->out) {
		struct shm_out *o = fns_container_of(it, struct shm_out, node);

		close(o->conn);
		close(o->wake);
		shm_reach_forget(&o->reach);
	}
	if (w->door.file)
		close(w->door.fd);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}
