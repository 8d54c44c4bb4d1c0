/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One application of the service: its arrival, its messages, the events that it is told, and its
 * end. Everything it sends is hostile. Called by worker.c, and by the
 * engine for events; the worker's thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/util.h"
#include "service/service_priv.h"

#define MESSAGES_MAX 16u /* read in one go: others want their turn */

/* --- out --- */

static void watch_out(struct fns_service_conn *c, bool on)
{
	(void)fns_service_watch(
		c->w, c->sock, EPOLLIN | EPOLLRDHUP | (on ? EPOLLOUT : 0u), FNS_SERVICE_EV_CONN, c);
}

static bool out_grow(struct fns_service_conn *c)
{
	uint32_t size = c->out_size ? c->out_size * 2 : 16;
	struct fns_service_msg *m;

	if (size > FNS_SERVICE_OUTBOX)
		return false;
	m = malloc(size * sizeof(*m));
	if (!m)
		return false;
	for (uint32_t i = 0; i < c->out_n; i++)
		m[i] = c->out[(c->out_head + i) & (c->out_size - 1)];
	free(c->out);
	c->out = m;
	c->out_head = 0;
	c->out_size = size;
	return true;
}

void fns_service_conn_doom(struct fns_service_conn *c, const char *why)
{
	if (!c->doomed) {
		c->doomed = why;
		c->w->n_waiting++;
	}
}

void fns_service_conn_say(struct fns_service_conn *c, const struct fns_service_msg *m)
{
	if (c->state != FNS_SERVICE_OPEN || c->doomed)
		return;
	if (c->out_n == 0) {
		int rc = fns_service_msg_send(c->sock, m, -1, MSG_DONTWAIT);

		if (rc == 0)
			return;
		if (rc != -EAGAIN) {
			fns_service_conn_doom(c, "its connection is broken");
			return;
		}
		watch_out(c, true);
	}
	if (c->out_n == c->out_size && !out_grow(c)) {
		fns_service_conn_doom(c, "it does not read its messages");
		return;
	}
	c->out[(c->out_head + c->out_n++) & (c->out_size - 1)] = *m;
}

static void say_waiting(struct fns_service_conn *c)
{
	while (c->out_n && !c->doomed) {
		int rc = fns_service_msg_send(c->sock, &c->out[c->out_head], -1, MSG_DONTWAIT);

		if (rc == -EAGAIN)
			return;
		if (rc) {
			fns_service_conn_doom(c, "its connection is broken");
			return;
		}
		c->out_head = (c->out_head + 1) & (c->out_size - 1);
		c->out_n--;
	}
	watch_out(c, false);
}

void fns_service_comp_event(void *ctx, uint64_t channel, uint64_t cookie)
{
	const struct fns_service_cq *q = (const struct fns_service_cq *)(uintptr_t)cookie;
	struct fns_service_msg m;

	(void)channel;
	fns_service_msg_init(&m, FNS_SERVICE_COMP);
	m.comp.channel = q->channel;
	m.comp.cq = q->cookie;
	fns_service_conn_say(q->conn, &m);
}

void fns_service_async_event(void *ctx, const struct fns_event *ev)
{
	struct fns_service_worker *w = ctx;
	struct fns_service_conn *c =
		ev->client < FNS_SERVICE_OF_CLIENT ? w->of_client[ev->client] : NULL;
	struct fns_service_msg m;

	if (!c)
		return;
	fns_service_msg_init(&m, FNS_SERVICE_ASYNC);
	m.event = *ev;
	if (ev->type == FNS_EVENT_CQ_ERR)
		m.event.cookie = ((const struct fns_service_cq *)(uintptr_t)ev->cookie)->cookie;
	fns_service_conn_say(c, &m);
}

bool fns_service_atomic(void *ctx, uint32_t space, uint32_t id, uint64_t addr, bool compare_swap,
	uint64_t swap_add, uint64_t compare)
{
	struct fns_service_worker *w = ctx;
	struct fns_service_conn *c = w->conn[space];
	struct fns_service_msg m;

	if (!c || c->state != FNS_SERVICE_OPEN || c->doomed)
		return false;
	fns_service_msg_init(&m, FNS_SERVICE_ATOMIC);
	m.atomic.id = id;
	m.atomic.addr = addr;
	m.atomic.compare_swap = compare_swap;
	m.atomic.swap_add = swap_add;
	m.atomic.compare = compare;
	fns_service_conn_say(c, &m);
	return !c->doomed;
}

/* --- arrival --- */

static void refuse(struct fns_service_conn *c, int err, const char *text)
{
	struct fns_service_msg m;

	fns_service_msg_init(&m, FNS_SERVICE_REFUSED);
	m.result = err;
	snprintf(m.text, sizeof(m.text), "%s", text);
	(void)fns_service_msg_send(c->sock, &m, -1, MSG_DONTWAIT);
	fns_service_conn_doom(c, text);
}

/* Is the memory that we reach by its process number the one that the ring file is mapped in? */
static int check_reach(const struct fns_service_conn *c, const struct fns_service_msg *m)
{
	uint64_t found = 0;
	struct iovec to = {&found, sizeof(found)};
	struct iovec from = {(void *)(uintptr_t)m->hello.nonce_addr, sizeof(found)};

	if (process_vm_readv(c->pid, &to, 1, &from, 1, 0) != sizeof(found))
		return -errno;
	return found == m->hello.nonce && c->line->nonce == found ? 0 : -ESRCH;
}

/* Takes fd over. */
static void on_hello(struct fns_service_conn *c, const struct fns_service_msg *m, int fd)
{
	struct fns_service_worker *w = c->w;
	struct fns_service_msg reply;
	const char *why;
	int err;

	c->line = fns_service_map(fd, FNS_SERVICE_RING_BYTES, &why);
	if (fd >= 0)
		close(fd);
	if (!c->line) {
		refuse(c, -EINVAL, why);
		return;
	}
	err = check_reach(c, m);
	if (err) {
		refuse(c, err,
			err == -EPERM
				? "the service may not reach the memory of this process (not dumpable, or kernel.yama.ptrace_scope)"
				: "the service does not find the memory of this process (another PID namespace?)");
		return;
	}
	err = fns_dma_process_open(w->dma, c->app, c->pid, c->pidfd);
	/* Nobody reads from it but epoll, by its edges, since the application could empty it or
	 * make reading block. */
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (err == 0 && (c->wake < 0 || fns_service_watch(w, c->wake, EPOLLIN | EPOLLET,
						FNS_SERVICE_EV_WAKE, c) < 0))
		err = -ENOMEM;
	if (err == 0)
		err = fns_engine_attach_app(
			w->engine, c->app, fns_service_sq(c->line), FNS_SERVICE_RING_SLOTS);
	if (err) {
		fns_dma_process_close(w->dma, c->app);
		refuse(c, err, "the service is out of memory or descriptors");
		return;
	}
	fns_service_msg_init(&reply, FNS_SERVICE_WELCOME);
	reply.welcome.pid = (uint32_t)getpid();
	reply.welcome.prefix = w->lease.prefix;
	c->state = FNS_SERVICE_OPEN;
	if (fns_service_msg_send(c->sock, &reply, c->wake, MSG_DONTWAIT))
		fns_service_conn_doom(c, "its connection is broken");
	else
		fns_log(FNS_LOG_INFO, "engine %u serves pid %d", w->index, (int)c->pid);
}

void fns_service_conn_new(struct fns_service_worker *w, const struct fns_service_newcomer *n)
{
	struct fns_service_conn *c = NULL;
	uint32_t i;

	/* Number 0 is no application's: what was forgotten to be given one belongs to nobody. */
	for (i = 1; i < FNS_SERVICE_CONNS && w->conn[i]; i++)
		;
	if (i < FNS_SERVICE_CONNS)
		c = calloc(1, sizeof(*c));
	if (!c) {
		close(n->sock);
		if (n->pidfd >= 0)
			close(n->pidfd);
		fns_log(FNS_LOG_WARN, "engine %u serves too many programs: pid %d is turned away",
			w->index, (int)n->pid);
		return;
	}
	*c = (struct fns_service_conn){.w = w,
		.app = i,
		.sock = n->sock,
		.pidfd = n->pidfd,
		.pid = n->pid,
		.wake = -1,
		.fd = -1,
		.gen = ++w->gen,
		.since_ns = fns_clock_now_ns()};
	w->conn[i] = c;
	atomic_fetch_add(&w->n_conns, 1);
	w->n_waiting++;
	watch_out(c, false);
	if (c->pidfd >= 0)
		(void)fns_service_watch(w, c->pidfd, EPOLLIN, FNS_SERVICE_EV_PIDFD, c);
}

/* --- the end --- */

static void conn_free(struct fns_service_conn *c)
{
	c->w->conn[c->app] = NULL;
	atomic_fetch_sub(&c->w->n_conns, 1);
	free(c->out);
	free(c);
}

void fns_service_conn_end(struct fns_service_conn *c, const char *why)
{
	struct fns_service_worker *w = c->w;

	if (c->state == FNS_SERVICE_DYING)
		return;
	if (why)
		fns_log(FNS_LOG_WARN, "pid %d is not served any more: %s", (int)c->pid, why);
	/* What it has submitted is still taken: inline data may be its last words to somebody. */
	if (c->state == FNS_SERVICE_OPEN)
		fns_engine_advance(w->engine, fns_clock_now_ns(), FNS_ADVANCE_SUBMIT);
	c->state = FNS_SERVICE_DYING;
	fns_engine_detach_app(w->engine, c->app);
	fns_dma_process_close(w->dma, c->app);
	fns_service_op_drop(c);
	fns_fds_unwatch(w->epfd, &c->sock);
	fns_fds_unwatch(w->epfd, &c->pidfd);
	fns_fds_unwatch(w->epfd, &c->wake);
	if (c->line)
		munmap(c->line, FNS_SERVICE_RING_BYTES);
	c->line = NULL;
	w->n_waiting++;
}

/* True when nothing of it is left. */
static bool died(struct fns_service_conn *c, uint64_t now)
{
	bool left = false;

	for (unsigned i = 0; i < FNS_SERVICE_CLIENTS; i++) {
		struct fns_ctl m = {.op = FNS_CTL_CLIENT_CLOSE, .client = c->client[i]};

		if (!m.client)
			continue;
		fns_engine_control_app(c->w->engine, c->app, &m, now);
		if (m.result == 0)
			fns_service_client_gone(c, m.client);
		else
			left = true;
	}
	return !left;
}

void fns_service_conns_retry(struct fns_service_worker *w, uint64_t now)
{
	uint32_t waiting = 0;

	w->n_waiting = 0; /* what comes up meanwhile counts again */
	for (uint32_t i = 0; i < FNS_SERVICE_CONNS; i++) {
		struct fns_service_conn *c = w->conn[i];

		if (!c)
			continue;
		if (c->doomed && c->state != FNS_SERVICE_DYING)
			fns_service_conn_end(c, c->doomed);
		if (c->state == FNS_SERVICE_NEW && now > c->since_ns + FNS_SERVICE_HELLO_NS)
			fns_service_conn_end(c, "it does not say hello");
		if (c->state == FNS_SERVICE_DYING) {
			if (died(c, now))
				conn_free(c);
			else
				waiting++;
			continue;
		}
		if (c->busy)
			fns_service_op_retry(c, now);
		waiting += c->busy || c->doomed || c->state == FNS_SERVICE_NEW;
	}
	w->n_waiting = waiting;
}

/* --- in --- */

void fns_service_conn_event(struct fns_service_conn *c, uint32_t events)
{
	if (events & EPOLLOUT)
		say_waiting(c);
	for (unsigned i = 0; i < MESSAGES_MAX && !c->doomed && c->state != FNS_SERVICE_DYING; i++) {
		struct fns_service_msg m;
		int fd, rc = fns_service_msg_recv(c->sock, &m, &fd, MSG_DONTWAIT);

		if (rc == -EAGAIN)
			return;
		if (rc == -EPROTO) {
			fns_service_conn_doom(c, "it sends what is no message");
			return;
		}
		if (rc) {
			fns_service_conn_end(c, NULL);
			return;
		}
		if (c->state == FNS_SERVICE_NEW && m.type == FNS_SERVICE_HELLO) {
			on_hello(c, &m, fd);
		} else if (c->state == FNS_SERVICE_OPEN && m.type == FNS_SERVICE_CTL) {
			fns_service_op_start(c, &m, fd);
		} else {
			if (fd >= 0)
				close(fd);
			/* Too late an answer is no offence. */
			if (c->state == FNS_SERVICE_OPEN && m.type == FNS_SERVICE_ATOMIC_DONE)
				(void)fns_dma_process_atomic_done(
					c->w->dma, c->app, m.atomic.id, m.result, m.atomic.found);
			else
				fns_service_conn_doom(c, "it sends a message out of turn");
		}
	}
}
