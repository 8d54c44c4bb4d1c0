/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control operations of the service's applications: what comes with them, what the engine is asked,
 * what is kept of it here (clients and completion rings), the answer. Called by conn.c; the
 * worker's thread only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/service_priv.h"

#define CQ_LOG2_MAX 22u /* the engine's */

/* --- completion rings --- */

static struct fns_service_cq **cq_slot(struct fns_service_worker *w, uint32_t handle)
{
	uint32_t i = (handle & 0xffffff) - 1;

	return i < w->cq_size ? &w->cq[i] : NULL;
}

/* The application's queue by handle; NULL: it has no such. */
static struct fns_service_cq *cq_find(struct fns_service_conn *c, uint32_t handle)
{
	struct fns_service_cq **slot = cq_slot(c->w, handle);

	return slot && *slot && (*slot)->handle == handle && (*slot)->conn == c ? *slot : NULL;
}

/* Room in the table for any handle that the engine may give out next. */
static bool cq_reserve(struct fns_service_worker *w, uint32_t handle)
{
	uint32_t want = handle & 0xffffff, size = FNS_MAX(w->cq_size, 64u);
	struct fns_service_cq **cq;

	if (want <= w->cq_size)
		return true;
	while (size < want)
		size *= 2;
	cq = realloc(w->cq, size * sizeof(*cq));
	if (!cq)
		return false;
	memset(cq + w->cq_size, 0, (size - w->cq_size) * sizeof(*cq));
	w->cq = cq;
	w->cq_size = size;
	return true;
}

static void cq_free(struct fns_service_cq *q)
{
	*cq_slot(q->conn->w, q->handle) = NULL;
	munmap(q->ring, q->bytes);
	q->conn->n_rings--;
	free(q);
}

static void cqs_free_of_client(struct fns_service_conn *c, uint32_t client)
{
	for (uint32_t i = 0; c->n_rings && i < c->w->cq_size; i++)
		if (c->w->cq[i] && c->w->cq[i]->conn == c && c->w->cq[i]->client == client)
			cq_free(c->w->cq[i]);
}

/* --- control operations --- */

/* What the operation in c->msg brought along and did not come to use. */
void fns_service_op_drop(struct fns_service_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (c->new_ring) {
		munmap(c->new_ring, c->new_bytes);
		c->n_rings--;
	}
	c->new_ring = NULL;
	free(c->new_cq);
	c->new_cq = NULL;
	c->busy = false;
}

/* Maps the ring that came with CQ_CREATE and CQ_RESIZE. 0 or negative errno. */
static int op_ring(struct fns_service_conn *c)
{
	const struct fns_ctl *m = &c->msg.ctl.ctl;
	const char *why;

	if (m->cq.log2 > CQ_LOG2_MAX)
		return -EINVAL;
	if (c->n_rings >= FNS_SERVICE_RINGS)
		return -ENOMEM;
	c->new_bytes = fns_service_cq_bytes(m->cq.log2);
	c->new_ring = fns_service_map(c->fd, c->new_bytes, &why);
	if (!c->new_ring) {
		fns_log(FNS_LOG_WARN, "pid %d: %s", (int)c->pid, why);
		return -EINVAL;
	}
	c->n_rings++;
	if (m->op == FNS_CTL_CQ_CREATE) {
		c->new_cq = calloc(1, sizeof(*c->new_cq));
		if (!c->new_cq)
			return -ENOMEM;
		*c->new_cq = (struct fns_service_cq){.conn = c,
			.client = m->client,
			.cookie = m->cookie,
			.channel = m->cq.channel};
	}
	return 0;
}

/* A place among the application's clients; NULL: it has too many. */
static uint32_t *client_slot(struct fns_service_conn *c, uint32_t client)
{
	for (unsigned i = 0; i < FNS_SERVICE_CLIENTS; i++)
		if (c->client[i] == client)
			return &c->client[i];
	return NULL;
}

void fns_service_client_gone(struct fns_service_conn *c, uint32_t client)
{
	uint32_t *slot = client_slot(c, client);

	if (slot)
		*slot = 0;
	c->w->of_client[client] = NULL;
	cqs_free_of_client(c, client);
}

/* The engine has done what c->msg asks for: m, as the engine left it. */
static void op_succeeded(struct fns_service_conn *c, const struct fns_ctl *m)
{
	struct fns_service_worker *w = c->w;
	struct fns_service_cq *q;

	switch (m->op) {
	case FNS_CTL_CLIENT_OPEN:
		*client_slot(c, 0) = m->client;
		w->of_client[m->client] = c;
		break;
	case FNS_CTL_CLIENT_CLOSE:
		fns_service_client_gone(c, m->client);
		break;
	case FNS_CTL_CQ_CREATE:
		q = c->new_cq;
		q->handle = m->handle;
		q->ring = c->new_ring;
		q->bytes = c->new_bytes;
		*cq_slot(w, m->handle) = q;
		c->new_cq = NULL;
		c->new_ring = NULL;
		break;
	case FNS_CTL_CQ_RESIZE:
		q = cq_find(c, m->handle);
		munmap(q->ring, q->bytes);
		c->n_rings--;
		q->ring = c->new_ring;
		q->bytes = c->new_bytes;
		c->new_ring = NULL;
		break;
	case FNS_CTL_CQ_DESTROY:
		cq_free(cq_find(c, m->handle));
		break;
	case FNS_CTL_QP_CREATE:
		atomic_store_explicit(&w->stats->qp[m->handle & 0xffff].pid, (uint32_t)c->pid,
			memory_order_relaxed);
		break;
	default:
		break;
	}
}

static bool offers_memory(const struct fns_service_conn *c)
{
	uint32_t op = c->msg.ctl.ctl.op;

	return c->fd >= 0 && (op == FNS_CTL_MR_REG || op == FNS_CTL_MR_REREG);
}

/* Asks the engine for what c->msg says. -EAGAIN: it was too busy. */
static int op_try(struct fns_service_conn *c)
{
	const struct fns_ctl *asked = &c->msg.ctl.ctl;
	struct fns_ctl m = *asked;
	bool cq = m.op == FNS_CTL_CQ_CREATE || m.op == FNS_CTL_CQ_RESIZE;
	int err;

	if (cq) {
		m.cq.ring = (uintptr_t)c->new_ring;
		if (c->new_cq)
			m.cookie = (uintptr_t)c->new_cq;
	}
	if (m.op == FNS_CTL_CQ_RESIZE && !cq_find(c, m.handle))
		return -EINVAL;
	if (m.op == FNS_CTL_CLIENT_OPEN && !client_slot(c, 0))
		return -EMFILE;
	if (offers_memory(c)) {
		err = fns_dma_process_offer(c->w->dma, c->app, m.mr.addr, m.mr.len, c->fd,
			c->msg.ctl.file_off, (m.mr.access & FNS_ACCESS_WRITES) != 0);
		if (err)
			fns_log(FNS_LOG_DEBUG, "pid %d: memory is not mapped here: %s", (int)c->pid,
				strerror(-err));
	}
	fns_engine_control_app(c->w->engine, c->app, &m, fns_clock_now_ns());
	if (offers_memory(c)) /* take it back, if it was not taken */
		(void)fns_dma_process_offer(c->w->dma, c->app, 0, 0, -1, 0, false);
	if (m.result == 0 && m.op == FNS_CTL_CQ_CREATE && !cq_reserve(c->w, m.handle)) {
		struct fns_ctl undo = {
			.op = FNS_CTL_CQ_DESTROY, .client = m.client, .handle = m.handle};

		fns_engine_control_app(c->w->engine, c->app, &undo, fns_clock_now_ns());
		return -ENOMEM;
	}
	if (m.op == FNS_CTL_QP_SET_CC)
		c->msg.ctl.ctl.cc = m.cc; /* what is wrong, in words */
	if (m.result < 0)
		return m.result;
	op_succeeded(c, &m);
	if (cq) { /* the application's own words, not our addresses */
		m.cq = asked->cq;
		m.cookie = asked->cookie;
	}
	c->msg.ctl.ctl = m;
	return 0;
}

/* The operation is over. */
static void op_answer(struct fns_service_conn *c, int result)
{
	fns_service_op_drop(c);
	c->msg.type = FNS_SERVICE_DONE;
	c->msg.ctl.ctl.result = result;
	fns_service_conn_say(c, &c->msg);
}

/* One more try; tells the application unless the engine is still too busy. */
void fns_service_op_retry(struct fns_service_conn *c, uint64_t now)
{
	int err = op_try(c);

	if (err == -EAGAIN && now < c->since_ns + FNS_SERVICE_BUSY_NS) {
		if (!c->busy)
			c->w->n_waiting++;
		c->busy = true;
		return;
	}
	op_answer(c, err == -EAGAIN ? -EBUSY : err);
}

/* Takes fd over. */
void fns_service_op_start(struct fns_service_conn *c, const struct fns_service_msg *m, int fd)
{
	uint32_t op = m->ctl.ctl.op;
	int err = 0;

	if (c->busy) {
		if (fd >= 0)
			close(fd);
		fns_service_conn_doom(c, "it asks before it was answered");
		return;
	}
	c->msg = *m;
	c->fd = fd;
	c->since_ns = fns_clock_now_ns();
	if (op == FNS_CTL_CQ_CREATE || op == FNS_CTL_CQ_RESIZE)
		err = op_ring(c);
	if (err)
		op_answer(c, err);
	else
		fns_service_op_retry(c, c->since_ns);
}
