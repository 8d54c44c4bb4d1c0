/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application's side of the service placement: connects to flexinsd --engine, and is what the
 * verbs library calls. The engine takes descriptors out of this process's submission ring and
 * writes completions into its completion rings, all of them memory files that both have mapped;
 * control operations go by messages.
 *
 * Threads: a helper thread alone reads the connection: answers, for which control() waits; events,
 * which become upcalls; atomics on memory that the engine cannot map, which it does itself. One
 * control operation is under way at a time. An object's events come before the answer to its
 * destruction, and the helper passes both on in that order, so that no upcall names what is gone.
 *
 * The end of the connection is the end of the device: all contexts are dead then.
 */
#include "tenant/tenant.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/list.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "base/util.h"
#include "keeper/client.h"
#include "mem/guard.h"
#include "mem/near.h"
#include "service/proto.h"
#include "tenant/backing.h"

#define WELCOME_S 5 /* for the service to answer */
/* From here on every 16th empty poll lets others run: the engine may need this processor. */
#define YIELD_POLLS 64u

/* A completion ring that the engine has not been told of yet, or its file is still needed. */
struct ring {
	struct fns_list node;
	struct fns_cq_shared *shared;
	int fd;
};

/* A context, for word of the engine's end. */
struct client {
	struct fns_list node;
	uint32_t client;
	uint64_t cookie;
};

static struct tenant {
	pthread_mutex_t start, control, answer;
	pthread_cond_t answered;
	bool started;
	int sock, wake;
	struct fns_service_line *line;
	const struct fns_placement_upcalls *up;
	/* Under `answer`. */
	bool waiting, gone;
	struct fns_service_msg reply;
	/* Under `control`. */
	struct fns_list rings, clients;
	_Atomic uint32_t idle; /* empty polls in a row; threads may overwrite each other */
	pid_t service;
} here = {.start = PTHREAD_MUTEX_INITIALIZER,
	.control = PTHREAD_MUTEX_INITIALIZER,
	.answer = PTHREAD_MUTEX_INITIALIZER,
	.answered = PTHREAD_COND_INITIALIZER,
	.sock = -1,
	.wake = -1};

/* --- the helper thread --- */

/* The engine's work, because only this process's processors can do it. */
static void do_atomic(const struct fns_service_msg *m)
{
	struct fns_service_msg r;
	uint64_t found = 0;

	fns_service_msg_init(&r, FNS_SERVICE_ATOMIC_DONE);
	r.atomic.id = m->atomic.id;
	r.result = fns_near_atomic(m->atomic.addr, m->atomic.compare_swap != 0, m->atomic.swap_add,
		m->atomic.compare, &found);
	r.atomic.found = found;
	(void)fns_service_msg_send(here.sock, &r, -1, 0);
}

static void service_gone(int rc)
{
	struct fns_list *it;

	/* A process that ends closes its connection itself. */
	if (!fns_placement_alive())
		return;
	fns_log(FNS_LOG_ERROR,
		"the engine (flexinsd --engine, pid %d) is gone%s%s: the device is dead",
		(int)here.service, rc == -ECONNRESET ? "" : ": ",
		rc == -ECONNRESET ? "" : strerror(-rc));
	pthread_mutex_lock(&here.answer);
	here.gone = true;
	pthread_cond_broadcast(&here.answered);
	pthread_mutex_unlock(&here.answer);
	/* Until the end is declared, a context can only be closed by a control operation, which
	 * waits for this lock. */
	pthread_mutex_lock(&here.control);
	fns_list_for_each (it, &here.clients) {
		const struct client *c = fns_container_of(it, struct client, node);
		const struct fns_event ev = {
			.client = c->client, .type = FNS_EVENT_DEVICE_FATAL, .cookie = c->cookie};

		here.up->async_event(&ev);
	}
	fns_placement_end();
	pthread_mutex_unlock(&here.control);
}

static void *helper(void *arg)
{
	struct fns_service_msg m;
	int rc, fd;

	(void)arg;
	pthread_setname_np(pthread_self(), "flexins");
	fns_guard_thread_init();
	while ((rc = fns_service_msg_recv(here.sock, &m, &fd, 0)) == 0) {
		if (fd >= 0)
			close(fd);
		switch (m.type) {
		case FNS_SERVICE_COMP:
			here.up->comp_event(m.comp.channel, m.comp.cq);
			break;
		case FNS_SERVICE_ASYNC:
			here.up->async_event(&m.event);
			break;
		case FNS_SERVICE_ATOMIC:
			do_atomic(&m);
			break;
		case FNS_SERVICE_DONE:
			pthread_mutex_lock(&here.answer);
			here.reply = m;
			here.waiting = false;
			pthread_cond_broadcast(&here.answered);
			pthread_mutex_unlock(&here.answer);
			break;
		default:
			break;
		}
	}
	service_gone(rc);
	return NULL;
}

/* --- control operations --- */

/* Under control. One question, one answer. */
static int ask(struct fns_service_msg *m, int fd)
{
	int rc;

	pthread_mutex_lock(&here.answer);
	here.waiting = true;
	pthread_mutex_unlock(&here.answer);
	rc = fns_service_msg_send(here.sock, m, fd, 0);
	pthread_mutex_lock(&here.answer);
	while (rc == 0 && here.waiting && !here.gone)
		pthread_cond_wait(&here.answered, &here.answer);
	if (rc == 0 && here.waiting)
		rc = -EIO;
	else if (rc == 0)
		*m = here.reply;
	here.waiting = false;
	pthread_mutex_unlock(&here.answer);
	return rc == -ECONNRESET ? -EIO : rc;
}

static struct ring *find_ring(uint64_t shared)
{
	struct fns_list *it;

	fns_list_for_each (it, &here.rings) {
		struct ring *r = fns_container_of(it, struct ring, node);

		if ((uintptr_t)r->shared == shared)
			return r;
	}
	return NULL;
}

/* The descriptor that goes along with the request, -1: none. *mine: to be closed here. */
static int descriptor_for(const struct fns_ctl *m, uint64_t *file_off, bool *mine)
{
	struct ring *r;

	switch (m->op) {
	case FNS_CTL_CQ_CREATE:
	case FNS_CTL_CQ_RESIZE:
		r = find_ring(m->cq.ring);
		return r ? r->fd : -1;
	case FNS_CTL_MR_REG:
	case FNS_CTL_MR_REREG:
		*mine = true;
		return fns_tenant_backing(
			m->mr.addr, m->mr.len, (m->mr.access & FNS_ACCESS_WRITES) != 0, file_off);
	default:
		return -1;
	}
}

/* Only this process can tell whether its memory is there, with what rights. */
static int probe(const struct fns_ctl *m)
{
	int rc;

	if (m->op != FNS_CTL_MR_REG && m->op != FNS_CTL_MR_REREG)
		return 0;
	rc = fns_guard_install();
	return rc ? rc
		  : fns_near_probe(m->mr.addr, m->mr.len, (m->mr.access & FNS_ACCESS_WRITES) != 0);
}

/* The contexts that there are. */
static void note_client(const struct fns_ctl *m)
{
	struct fns_list *it;
	struct client *c;

	if (m->op == FNS_CTL_CLIENT_OPEN) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return; /* it will not hear of the engine's end */
		c->client = m->client;
		c->cookie = m->cookie;
		fns_list_push_back(&here.clients, &c->node);
		return;
	}
	fns_list_for_each (it, &here.clients) {
		c = fns_container_of(it, struct client, node);
		if (c->client == m->client) {
			fns_list_remove(&c->node);
			free(c);
			return;
		}
	}
}

static int tenant_control(struct fns_ctl *msg)
{
	struct fns_service_msg m;
	bool mine = false;
	int rc, fd;

	rc = probe(msg);
	if (rc) {
		msg->result = rc;
		return rc;
	}
	fns_service_msg_init(&m, FNS_SERVICE_CTL);
	m.ctl.ctl = *msg;
	pthread_mutex_lock(&here.control);
	fd = descriptor_for(msg, &m.ctl.file_off, &mine);
	rc = ask(&m, fd);
	if (mine && fd >= 0)
		close(fd);
	if (rc == 0) {
		*msg = m.ctl.ctl;
		rc = msg->result;
	} else {
		msg->result = rc;
	}
	if (rc == 0 && (msg->op == FNS_CTL_CLIENT_OPEN || msg->op == FNS_CTL_CLIENT_CLOSE))
		note_client(msg);
	pthread_mutex_unlock(&here.control);
	return rc;
}

/* --- rings --- */

/* A memory file of so many bytes that nobody can shrink, mapped. NULL with errno. */
static void *shared_memory(const char *name, size_t bytes, int *out)
{
	int fd = fns_memfd_sealed(name, bytes);
	void *p;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		fns_fds_close(&fd, 1);
		return NULL;
	}
	*out = fd;
	return p;
}

static struct fns_cq_shared *tenant_ring_alloc(size_t bytes)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->shared = shared_memory("flexins-cq", bytes, &r->fd);
	if (!r->shared) {
		free(r);
		return NULL;
	}
	pthread_mutex_lock(&here.control);
	fns_list_push_back(&here.rings, &r->node);
	pthread_mutex_unlock(&here.control);
	return r->shared;
}

static void tenant_ring_free(struct fns_cq_shared *ring, size_t bytes)
{
	struct ring *r;

	pthread_mutex_lock(&here.control);
	r = find_ring((uintptr_t)ring);
	if (r) {
		fns_list_remove(&r->node);
		close(r->fd);
		free(r);
	}
	pthread_mutex_unlock(&here.control);
	munmap(ring, bytes);
}

static struct fns_sq_shared *tenant_sq(uint32_t *nslots)
{
	*nslots = FNS_SERVICE_RING_SLOTS;
	return fns_service_sq(here.line);
}

/* --- the datapath --- */

static void tenant_submitted(uint32_t sends)
{
	(void)sends;
	/* Pairs with the fence of the engine that goes to sleep: it sees the descriptor, or we see
	 * the flag. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&here.line->doze, memory_order_relaxed) &&
		atomic_exchange_explicit(&here.line->doze, 0, memory_order_relaxed))
		(void)eventfd_write(here.wake, 1);
}

/* The engine needs no help, but perhaps the processor. */
static bool tenant_poll(void)
{
	uint32_t n = atomic_load_explicit(&here.idle, memory_order_relaxed) + 1;

	atomic_store_explicit(&here.idle, n, memory_order_relaxed);
	if (n >= YIELD_POLLS && n % 16 == 0)
		sched_yield();
	return false;
}

static void tenant_will_sleep(void)
{
}

static const struct fns_placement_ops tenant_ops = {
	.control = tenant_control,
	.sq = tenant_sq,
	.submitted = tenant_submitted,
	.poll = tenant_poll,
	.will_sleep = tenant_will_sleep,
	.now_ns = fns_clock_now_ns,
	.ring_alloc = tenant_ring_alloc,
	.ring_free = tenant_ring_free,
};

/* --- start --- */

/* The child of a fork shares the connection and must not hold it. */
static void forked_child(void)
{
	if (!here.started)
		return;
	fns_placement_end();
	close(here.sock);
	close(here.wake);
}

/* Process exit: what happens to the connection from here on is no news. */
__attribute__((destructor)) static void leave(void)
{
	if (here.started)
		fns_placement_end();
}

/* Whoever answers under the name of uid's service must be uid. A connection, or negative errno. */
static int connect_to(uid_t uid, uint16_t port, char *err, unsigned errlen)
{
	const struct timeval tv = {.tv_sec = WELCOME_S};
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	struct sockaddr_un sa;
	socklen_t salen = fns_service_addr(&sa, uid, port);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), rc;

	if (fd < 0) {
		snprintf(err, errlen, "socket(AF_UNIX): %s", strerror(errno));
		return -errno;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	do
		rc = connect(fd, (struct sockaddr *)&sa, salen) < 0 ? -errno : 0;
	while (rc == -EINTR);
	if (rc == 0 &&
		(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != uid)) {
		snprintf(err, errlen,
			"the name of uid %u's engine is taken by a program of uid %u (pid %d)",
			(unsigned)uid, (unsigned)cred.uid, (int)cred.pid);
		rc = -EPERM;
	} else if (rc) {
		snprintf(err, errlen,
			"no engine runs for UDP port %u: start one with `flexinsd --engine` (or leave out "
			"--placement=service)",
			port);
	}
	if (rc) {
		close(fd);
		return rc;
	}
	here.service = cred.pid;
	return fd;
}

static int connect_service(char *err, unsigned errlen)
{
	uint16_t port;
	int fd;

	if (fns_keeper_port_from_env(&port)) {
		snprintf(err, errlen, "FLEXINS_PORT=%s is not a UDP port", getenv("FLEXINS_PORT"));
		return -EINVAL;
	}
	fd = connect_to(geteuid(), port, err, errlen);
	/* Root is trusted by everybody, and may serve everybody. */
	if (fd == -ECONNREFUSED && geteuid() != 0)
		fd = connect_to(0, port, err, errlen);
	return fd;
}

/* What the engine does for all its programs cannot be chosen by one of them. */
static bool check_env(char *err, unsigned errlen)
{
	static const char *const not_here[] = {FNS_ENGINE_ENV};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(not_here); i++) {
		const char *v = getenv(not_here[i]);

		if (v && *v) {
			snprintf(err, errlen,
				"%s is not for --placement=service: the engine serves other programs too; set it for "
				"flexinsd --engine",
				not_here[i]);
			return false;
		}
	}
	return true;
}

static bool introduce(char *err, unsigned errlen)
{
	const struct timeval never = {0};
	struct fns_service_msg m;
	uint64_t nonce;
	int ring_fd, rc;

	here.line = shared_memory("flexins-sq", FNS_SERVICE_RING_BYTES, &ring_fd);
	if (!here.line || fns_entropy_fill(&nonce, sizeof(nonce)) < 0) {
		snprintf(err, errlen, "no memory for the submission ring: %s", strerror(errno));
		return false;
	}
	here.line->nonce = nonce;
	/* Where Yama guards processes from each other: this one may be reached by its engine. */
	(void)prctl(PR_SET_PTRACER, (unsigned long)here.service, 0, 0, 0);
	fns_service_msg_init(&m, FNS_SERVICE_HELLO);
	m.hello.nonce = nonce;
	m.hello.nonce_addr = (uintptr_t)&here.line->nonce;
	rc = fns_service_msg_send(here.sock, &m, ring_fd, 0);
	close(ring_fd);
	if (rc == 0)
		rc = fns_service_msg_recv(here.sock, &m, &here.wake, 0);
	if (rc == 0 && m.type == FNS_SERVICE_REFUSED) {
		m.text[sizeof(m.text) - 1] = '\0';
		snprintf(err, errlen, "%s", m.text);
		return false;
	}
	if (rc == 0 && (m.type != FNS_SERVICE_WELCOME || here.wake < 0))
		rc = -EPROTO;
	if (rc) {
		snprintf(err, errlen, "the engine (pid %d) does not answer as it should: %s",
			(int)here.service, strerror(rc == -EAGAIN ? ETIMEDOUT : -rc));
		return false;
	}
	setsockopt(here.sock, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
	setsockopt(here.sock, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof(never));
	return true;
}

static bool start(const struct fns_placement_upcalls *up, char *err, unsigned errlen)
{
	if (!check_env(err, errlen))
		return false;
	here.up = up;
	fns_list_init(&here.rings);
	fns_list_init(&here.clients);
	here.sock = connect_service(err, errlen);
	if (here.sock < 0)
		return false;
	if (introduce(err, errlen)) {
		if (fns_thread_start(NULL, helper, NULL, NULL) == 0) {
			pthread_atfork(NULL, NULL, forked_child);
			return true;
		}
		snprintf(err, errlen, "cannot start the helper thread");
	}
	if (here.line)
		munmap(here.line, FNS_SERVICE_RING_BYTES);
	here.line = NULL;
	if (here.wake >= 0)
		close(here.wake);
	close(here.sock);
	here.sock = here.wake = -1;
	return false;
}

const struct fns_placement_ops *fns_tenant_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen)
{
	const struct fns_placement_ops *ops = NULL;

	pthread_mutex_lock(&here.start);
	if (!here.started)
		here.started = start(up, err, errlen);
	if (here.started)
		ops = &tenant_ops;
	pthread_mutex_unlock(&here.start);
	return ops;
}
