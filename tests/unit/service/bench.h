/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker of the service with a wire that leads back to itself, and applications as a test wants
 * them: each a connection, a ring and whatever it chooses to send.
 */
#ifndef TEST_SERVICE_BENCH_H
#define TEST_SERVICE_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef BENCH_WITHOUT_CMOCKA /* whose assertions the fuzzer replaces by its own */
#include <cmocka.h>
#endif

#include "base/util.h"
#include "service/service_priv.h"

/* --- the wire --- */

#define LOOP_BUFS 512u

struct loop_wire {
	struct fns_wire base;
	unsigned head, tail; /* free-running; between them: sent and not received */
	struct {
		uint8_t b[4352];
		uint32_t len;
		struct fns_gid src, dst;
		bool held;
	} buf[LOOP_BUFS];
};

static inline int loop_path_get(struct fns_wire *w, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl,
	struct fns_path **out)
{
	struct fns_path *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct fns_path){.local = *local, .remote = *remote, .prefix = prefix, .refs = 1};
	*out = p;
	return 0;
}

static inline void loop_path_put(struct fns_wire *w, struct fns_path *p)
{
	free(p);
}

static inline unsigned loop_tx(struct fns_wire *base, struct fns_frame *f, unsigned n)
{
	struct loop_wire *w = (struct loop_wire *)base;
	unsigned i;

	for (i = 0; i < n; i++) {
		unsigned at = w->head % LOOP_BUFS;
		uint32_t len = f[i].hdr_len;

		if (w->head - w->tail == LOOP_BUFS || w->buf[at].held)
			break;
		memcpy(w->buf[at].b, f[i].hdr, len);
		for (unsigned k = 0; k < f[i].nsg; k++) {
			memcpy(w->buf[at].b + len, f[i].sg[k].addr, f[i].sg[k].len);
			len += f[i].sg[k].len;
		}
		memset(w->buf[at].b + len, 0, f[i].pad);
		w->buf[at].len = len + f[i].pad;
		w->buf[at].src = f[i].path->local;
		w->buf[at].dst = f[i].path->remote;
		w->head++;
	}
	return i;
}

static inline unsigned loop_rx(struct fns_wire *base, struct fns_rx_view *v, unsigned max)
{
	struct loop_wire *w = (struct loop_wire *)base;
	unsigned n;

	for (n = 0; n < max && w->tail != w->head; n++, w->tail++) {
		unsigned at = w->tail % LOOP_BUFS;

		w->buf[at].held = true;
		v[n] = (struct fns_rx_view){.data = w->buf[at].b,
			.len = w->buf[at].len,
			.src = w->buf[at].src,
			.dst = w->buf[at].dst,
			.buf = &w->buf[at].held};
	}
	return n;
}

static inline void loop_release(struct fns_wire *w, struct fns_rx_view *v)
{
	*(bool *)v->buf = false;
}

static inline uint32_t loop_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	return len + 64;
}

static inline void loop_destroy(struct fns_wire *w)
{
	free(w);
}

static inline int loop_fd(const struct fns_wire *w)
{
	return -1;
}

static inline void loop_events(struct fns_wire *w)
{
}

static inline void loop_arm(struct fns_wire *w, bool on)
{
}

static const struct fns_wire_ops loop_ops = {
	.name = "loop",
	.path_get = loop_path_get,
	.path_put = loop_path_put,
	.tx_burst = loop_tx,
	.rx_burst = loop_rx,
	.rx_release = loop_release,
	.rx_cost = loop_cost,
	.destroy = loop_destroy,
	.fd = loop_fd,
	.events = loop_events,
	.arm = loop_arm,
};

/* --- the worker --- */

static struct fns_service_worker *worker;

static inline int bench_setup(void **state)
{
	struct fns_service_worker_cfg cfg = {.cpu = -1, .to_main = -1};
	struct loop_wire *w = calloc(1, sizeof(*w));
	char err[256];

	if (!w)
		return -1;
	w->base.ops = &loop_ops;
	w->base.caps = (struct fns_wire_caps){.max_packet = 4200, .in_place = true};
	cfg.wire = &w->base;
	worker = fns_service_worker_create(&cfg, err, sizeof(err));
	return worker ? 0 : -1;
}

static inline int bench_teardown(void **state)
{
	fns_service_worker_destroy(worker);
	return 0;
}

static inline void rounds(unsigned n)
{
	while (n-- > 0)
		fns_service_worker_round(worker, 0);
}

static inline uint64_t counter(enum fns_counter c)
{
	return atomic_load(&worker->stats->counter[c]);
}

/* --- applications --- */

struct app {
	int sock, wake, ring_fd;
	struct fns_service_line *line;
	struct fns_sq_shared *sq;
	uint32_t head, client, pd;
};

static inline int memory_file(size_t bytes, unsigned seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static inline int memory_file_ok(size_t bytes)
{
	return memory_file(bytes, F_SEAL_SHRINK | F_SEAL_GROW);
}

/* A connection that has said nothing. */
static inline void app_connect(struct app *a)
{
	int pair[2];

	memset(a, 0, sizeof(*a));
	a->wake = a->ring_fd = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	a->sock = pair[0];
	assert_true(fns_service_worker_add(
		worker, pair[1], getpid(), (int)syscall(SYS_pidfd_open, getpid(), 0)));
	rounds(2);
}

static inline void app_send(struct app *a, const struct fns_service_msg *m, int fd)
{
	assert_int_equal(fns_service_msg_send(a->sock, m, fd, 0), 0);
}

/* The next message within some rounds: 0, or negative errno (-EAGAIN: none). */
static inline int app_recv(struct app *a, struct fns_service_msg *m, int *fd)
{
	int rc = -EAGAIN, none;

	for (unsigned i = 0; i < 200 && rc == -EAGAIN; i++) {
		rounds(1);
		rc = fns_service_msg_recv(a->sock, m, fd ? fd : &none, MSG_DONTWAIT);
	}
	return rc;
}

/* The service has ended this connection. */
static inline bool app_is_out(struct app *a)
{
	struct fns_service_msg m;
	int rc;

	while ((rc = app_recv(a, &m, NULL)) == 0)
		;
	return rc == -ECONNRESET;
}

static inline void app_leave(struct app *a)
{
	if (a->sock >= 0)
		close(a->sock);
	if (a->wake >= 0)
		close(a->wake);
	if (a->line)
		munmap(a->line, FNS_SERVICE_RING_BYTES);
	if (a->ring_fd >= 0)
		close(a->ring_fd);
	a->sock = a->wake = a->ring_fd = -1;
	a->line = NULL;
	rounds(20);
}

static inline void app_make_ring(struct app *a)
{
	a->ring_fd = memory_file_ok(FNS_SERVICE_RING_BYTES);
	a->line = mmap(
		NULL, FNS_SERVICE_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, a->ring_fd, 0);
	assert_ptr_not_equal(a->line, MAP_FAILED);
	a->line->nonce = 0x1234567890ull;
	a->sq = fns_service_sq(a->line);
}

static inline void hello_init(const struct app *a, struct fns_service_msg *m)
{
	fns_service_msg_init(m, FNS_SERVICE_HELLO);
	m->hello.nonce = a->line->nonce;
	m->hello.nonce_addr = (uintptr_t)&a->line->nonce;
}

/* One control operation; its result. */
static inline int app_ctl(struct app *a, struct fns_ctl *c, int fd)
{
	struct fns_service_msg m;

	fns_service_msg_init(&m, FNS_SERVICE_CTL);
	if (c->client == 0)
		c->client = a->client;
	m.ctl.ctl = *c;
	app_send(a, &m, fd);
	do
		assert_int_equal(app_recv(a, &m, NULL), 0);
	while (m.type != FNS_SERVICE_DONE);
	*c = m.ctl.ctl;
	return c->result;
}

/* A well-behaved application with a context and a protection domain. */
static inline void app_start(struct app *a)
{
	struct fns_ctl c = {.op = FNS_CTL_CLIENT_OPEN};
	struct fns_service_msg m;

	app_connect(a);
	app_make_ring(a);
	hello_init(a, &m);
	app_send(a, &m, a->ring_fd);
	assert_int_equal(app_recv(a, &m, &a->wake), 0);
	assert_int_equal(m.type, FNS_SERVICE_WELCOME);
	assert_true(a->wake >= 0);
	assert_int_equal(app_ctl(a, &c, -1), 0);
	a->client = c.client;
	c = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	assert_int_equal(app_ctl(a, &c, -1), 0);
	a->pd = c.handle;
}

struct app_cq {
	uint32_t handle, head;
	struct fns_cq_shared *ring;
	size_t bytes;
};

static inline void app_cq(struct app *a, uint32_t log2, struct app_cq *q)
{
	struct fns_ctl c = {
		.op = FNS_CTL_CQ_CREATE, .cookie = (uintptr_t)q, .cq = {1, 0xc0ffee, log2}};
	int fd;

	q->bytes = fns_service_cq_bytes(log2);
	q->head = 0;
	fd = memory_file_ok(q->bytes);
	q->ring = mmap(NULL, q->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_int_equal(app_ctl(a, &c, fd), 0);
	close(fd);
	assert_int_equal(c.cookie, (uintptr_t)q); /* its own words come back */
	assert_int_equal(c.cq.channel, 0xc0ffee);
	assert_int_equal(c.cq.ring, 1);
	q->handle = c.handle;
}

/* The next completion, within some rounds. */
static inline bool app_poll(struct app_cq *q, uint32_t log2, struct fns_cqe *out)
{
	struct fns_cqe *e = &q->ring->entry[q->head & ((1u << log2) - 1)];

	for (unsigned i = 0; i < 200; i++) {
		if ((atomic_load(&e->phase) & 1) == (~(q->head >> log2) & 1)) {
			memcpy(out, e, sizeof(*out));
			q->head++;
			atomic_store(&q->ring->consumer, q->head);
			return true;
		}
		rounds(1);
	}
	return false;
}

struct app_qp {
	uint32_t qpn;
	uint8_t gen;
};

static inline void app_qp(struct app *a, const struct app_cq *q, struct app_qp *qp)
{
	struct fns_ctl c = {.op = FNS_CTL_QP_CREATE,
		.qp = {.pd = a->pd,
			.send_cq = q->handle,
			.recv_cq = q->handle,
			.cap = {16, 16, 2, 2, 64},
			.type = FNS_QPT_RC}};

	assert_int_equal(app_ctl(a, &c, -1), 0);
	qp->qpn = c.handle;
	qp->gen = c.qp.gen;
}

static const struct fns_gid bench_gid = {.b = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}};

/* The three steps that connect queue pair qpn with dest, each done by control. */
static inline void bench_qp_connect(
	int (*control)(void *ctx, struct fns_ctl *c), void *ctx, uint32_t qpn, uint32_t dest)
{
	struct fns_ctl c = {.op = FNS_CTL_QP_MODIFY, .handle = qpn};
	struct fns_ctl_qp_attr *t = &c.qp_attr;

	t->port = 1;
	t->access = FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC;
	t->path_mtu = 3;
	t->dest_qpn = dest;
	t->max_rd_atomic = t->max_dest_rd_atomic = 1;
	t->timeout = 18;
	t->retry_cnt = t->rnr_retry = 7;
	t->min_rnr_timer = 1;
	t->av = (struct fns_ctl_av){.sgid = bench_gid,
		.dgid = bench_gid,
		.is_global = 1,
		.port = 1,
		.hop_limit = 64,
		.link_mtu = 4200};
	t->state = FNS_QPS_INIT;
	t->mask = FNS_QPA_STATE | FNS_QPA_PKEY_INDEX | FNS_QPA_PORT | FNS_QPA_ACCESS_FLAGS;
	assert_int_equal(control(ctx, &c), 0);
	t->state = FNS_QPS_RTR;
	t->mask = FNS_QPA_STATE | FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN |
		  FNS_QPA_RQ_PSN | FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER;
	assert_int_equal(control(ctx, &c), 0);
	t->state = FNS_QPS_RTS;
	t->mask = FNS_QPA_STATE | FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT | FNS_QPA_RNR_RETRY |
		  FNS_QPA_SQ_PSN | FNS_QPA_MAX_RD_ATOMIC;
	assert_int_equal(control(ctx, &c), 0);
}

static inline int app_control(void *a, struct fns_ctl *c)
{
	return app_ctl(a, c, -1);
}

static inline void app_qp_connect(struct app *a, const struct app_qp *qp, uint32_t dest)
{
	bench_qp_connect(app_control, a, qp->qpn, dest);
}

/* Publishes one slot. */
static inline void app_post(struct app *a, const struct fns_sqd *d, uint32_t ctl)
{
	uint32_t at = a->head & (FNS_SERVICE_RING_SLOTS - 1);
	uint32_t phase = ~(a->head / FNS_SERVICE_RING_SLOTS) & 1;

	memcpy((char *)&a->sq->slot[at] + 4, (const char *)d + 4, sizeof(*d) - 4);
	atomic_store(&a->sq->slot[at].ctl, ctl | phase);
	a->head++;
}

static inline uint32_t app_reg(struct app *a, void *p, size_t len, uint32_t access, int fd,
	uint64_t off, struct fns_ctl *out)
{
	struct fns_ctl c = {.op = FNS_CTL_MR_REG,
		.client = a->client,
		.mr = {.addr = (uintptr_t)p,
			.len = len,
			.iova = (uintptr_t)p,
			.pd = a->pd,
			.access = access}};
	struct fns_service_msg m;

	fns_service_msg_init(&m, FNS_SERVICE_CTL);
	m.ctl.ctl = c;
	m.ctl.file_off = off;
	app_send(a, &m, fd);
	assert_int_equal(app_recv(a, &m, NULL), 0);
	assert_int_equal(m.type, FNS_SERVICE_DONE);
	assert_int_equal(m.ctl.ctl.result, 0);
	if (out)
		*out = m.ctl.ctl;
	return m.ctl.ctl.mr.key;
}

#endif
