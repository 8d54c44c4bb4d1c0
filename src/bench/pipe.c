/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The notification pipe by itself: see pipe.h. What each side does is what verbs/ring.h and
 * verbs/cq.c, engine/submit.c and transport/cq.c do, in the same order and with the same memory
 * order; only work requests are left out. Each access to shared memory is announced to see(), which
 * is nothing when time is measured.
 */
#include "bench/pipe.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "pipe/layout.h"

#define SLOTS      1024u /* descriptors, and entries of the completion queue */
#define LOG2       10u
#define COUNT_LAPS 16u /* of the rings, after one to begin with */
#define SPINS      (1u << 30)
#define YIELD      4096u

enum side {
	APP,
	ENGINE
};

/* Lines by number. */
enum {
	L_CREDIT,
	L_TAIL,
	L_CONSUMER,
	L_PRODUCED,
	L_SLOT,
	L_ENTRY = L_SLOT + SLOTS,
	LINES = L_ENTRY + SLOTS
};

struct lines {
	bool holds[LINES][2]; /* this side's copy is what the line holds */
	uint64_t moved[3];    /* descriptors, completions, indices */
	uint64_t taken_back;
};

struct pipe {
	struct fns_sq_shared *sq;
	struct fns_cq_shared *cq;
	bool doorbell;
	/* each side's own */
	_Alignas(FNS_CACHELINE) struct {
		uint32_t head, credit; /* of the submission ring */
		uint32_t polled, credited;
	} app;
	_Alignas(FNS_CACHELINE) struct {
		uint32_t head, produced, consumed;
	} eng;
};

#define INLINE static inline __attribute__((always_inline))

INLINE void see(struct lines *l, enum side s, unsigned line, bool write)
{
	unsigned kind = line >= L_ENTRY ? 1 : line >= L_SLOT ? 0 : 2;

	if (!l)
		return;
	if (!l->holds[line][s])
		l->moved[kind]++;
	if (write && l->holds[line][!s])
		l->taken_back++;
	l->holds[line][s] = true;
	if (write)
		l->holds[line][!s] = false;
}

INLINE bool post_one(struct pipe *p, struct lines *l, uint64_t wr_id)
{
	struct fns_sqd *d;
	uint32_t pos = p->app.head, phase = ~(pos >> LOG2) & FNS_SQD_PHASE;

	if (pos - p->app.credit + 1 > SLOTS) {
		see(l, APP, L_CREDIT, false);
		p->app.credit = atomic_load_explicit(&p->sq->credit, memory_order_acquire);
		if (pos - p->app.credit + 1 > SLOTS)
			return false;
	}
	d = &p->sq->slot[pos % SLOTS];
	see(l, APP, L_SLOT + pos % SLOTS, true);
	d->qpn = 1;
	d->wr_id = wr_id;
	d->remote_addr = 0;
	d->rkey = d->imm = 0;
	d->num_sge = 1;
	d->gen = 0;
	d->inline_len = 0;
	d->reserved = 0;
	d->sge0 = (struct fns_sqd_sge){wr_id, 64, 2};
	atomic_store_explicit(&d->ctl, FNS_SQD_CTL(phase, 1, FNS_WR_SEND, 0), memory_order_release);
	p->app.head++;
	return true;
}

INLINE void ring(struct pipe *p, struct lines *l)
{
	if (!p->doorbell)
		return;
	see(l, APP, L_TAIL, true);
	atomic_store_explicit(&p->sq->tail, p->app.head, memory_order_release);
	p->app.credit = p->app.head - SLOTS;
}

INLINE void complete_one(struct pipe *p, struct lines *l, uint64_t wr_id)
{
	struct fns_cqe c = {.wr_id = wr_id, .byte_len = 64, .qpn = 1, .is_send = 1}, *slot;

	if (p->eng.produced - p->eng.consumed >= SLOTS) {
		see(l, ENGINE, L_CONSUMER, false);
		p->eng.consumed = atomic_load_explicit(&p->cq->consumer, memory_order_acquire);
		fns_assert(p->eng.produced - p->eng.consumed < SLOTS);
	}
	slot = &p->cq->entry[p->eng.produced % SLOTS];
	see(l, ENGINE, L_ENTRY + p->eng.produced % SLOTS, true);
	memcpy(slot, &c, offsetof(struct fns_cqe, phase));
	atomic_store_explicit(
		&slot->phase, (p->eng.produced >> LOG2 & 1) ^ 1, memory_order_release);
	p->eng.produced++;
	if (p->doorbell) {
		see(l, ENGINE, L_PRODUCED, true);
		atomic_store_explicit(&p->cq->produced, p->eng.produced, memory_order_release);
		p->eng.consumed = p->eng.produced - SLOTS;
	}
}

/* Takes what is there and completes it. How many. */
INLINE uint32_t serve(struct pipe *p, struct lines *l)
{
	uint32_t limit = SLOTS, n = 0;
	uint64_t wr_id[FNS_PIPE_MAX_BURST];
	struct fns_sqd d;

	if (p->doorbell) {
		see(l, ENGINE, L_TAIL, false);
		limit = atomic_load_explicit(&p->sq->tail, memory_order_acquire) - p->eng.head;
	}
	while (n < FNS_MIN(limit, FNS_PIPE_MAX_BURST)) {
		const struct fns_sqd *s = &p->sq->slot[p->eng.head % SLOTS];
		uint32_t ctl;

		see(l, ENGINE, L_SLOT + p->eng.head % SLOTS, false);
		ctl = atomic_load_explicit(&s->ctl, memory_order_acquire);
		if (!p->doorbell && (ctl & FNS_SQD_PHASE) != ((p->eng.head >> LOG2 & 1) ^ 1))
			break;
		memcpy(&d, s, sizeof(d));
		wr_id[n++] = d.wr_id;
		p->eng.head++;
	}
	if (n == 0)
		return 0;
	see(l, ENGINE, L_CREDIT, true);
	atomic_store_explicit(&p->sq->credit, p->eng.head, memory_order_release);
	for (uint32_t i = 0; i < n; i++)
		complete_one(p, l, wr_id[i]);
	return n;
}

/* Polls until there is nothing more; how many. */
INLINE uint32_t poll_all(struct pipe *p, struct lines *l)
{
	uint32_t n = 0;

	for (; n < SLOTS; n++, p->app.polled++) {
		struct fns_cqe *e = &p->cq->entry[p->app.polled % SLOTS];

		if (p->doorbell) {
			see(l, APP, L_PRODUCED, false);
			if (atomic_load_explicit(&p->cq->produced, memory_order_acquire) ==
				p->app.polled)
				break;
		}
		see(l, APP, L_ENTRY + p->app.polled % SLOTS, false);
		if ((atomic_load_explicit(&e->phase, memory_order_acquire) & 1) !=
			((p->app.polled >> LOG2 & 1) ^ 1))
			break;
		fns_assert(e->is_send && e->status == FNS_WC_SUCCESS);
	}
	if (n) {
		see(l, APP, L_CONSUMER, true);
		atomic_store_explicit(&p->cq->consumer, p->app.polled, memory_order_release);
	}
	return n;
}

static struct pipe *pipe_create(enum fns_pipe_mode mode)
{
	struct pipe *p = aligned_alloc(FNS_CACHELINE, sizeof(*p));
	size_t sq = sizeof(struct fns_sq_shared) + SLOTS * sizeof(struct fns_sqd);
	size_t cq = sizeof(struct fns_cq_shared) + SLOTS * sizeof(struct fns_cqe);

	fns_assert(p);
	memset(p, 0, sizeof(*p));
	p->doorbell = mode == FNS_PIPE_DOORBELL;
	p->sq = aligned_alloc(4096, FNS_ALIGN_UP(sq, (size_t)4096));
	p->cq = aligned_alloc(4096, FNS_ALIGN_UP(cq, (size_t)4096));
	fns_assert(p->sq && p->cq);
	memset(p->sq, 0, sq);
	memset(p->cq, 0, cq);
	return p;
}

static void pipe_destroy(struct pipe *p)
{
	free(p->sq);
	free(p->cq);
	free(p);
}

void fns_pipe_count(enum fns_pipe_mode mode, uint32_t burst, struct fns_pipe_lines *out)
{
	struct lines *l = calloc(1, sizeof(*l));
	struct pipe *p = pipe_create(mode);
	uint64_t n = 0, id = 0;

	fns_assert(l && burst >= 1 && burst <= FNS_PIPE_MAX_BURST);
	for (unsigned lap = 0; lap <= COUNT_LAPS; lap++) {
		if (lap == 1) { /* the first one is cold */
			memset(l->moved, 0, sizeof(l->moved));
			l->taken_back = n = 0;
		}
		for (uint32_t i = 0; i < SLOTS; i += burst) {
			for (uint32_t k = 0; k < burst; k++)
				fns_assert(post_one(p, l, id++));
			ring(p, l);
			fns_assert(serve(p, l) == burst && serve(p, l) == 0);
			fns_assert(poll_all(p, l) == burst);
			n += burst;
		}
	}
	*out = (struct fns_pipe_lines){.descriptors = (double)l->moved[0] / (double)n,
		.completions = (double)l->moved[1] / (double)n,
		.indices = (double)l->moved[2] / (double)n,
		.taken_back = (double)l->taken_back / (double)n};
	pipe_destroy(p);
	free(l);
}

/* --- timed --- */

struct run {
	const struct fns_pipe_cfg *cfg;
	struct pipe *p;
	double ns; /* the application's result */
	_Alignas(FNS_CACHELINE) _Atomic bool stop;
};

static bool bind_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

/* Both may have the same CPU, or somebody else wants it. */
static inline void relax(uint32_t spins)
{
	if (spins % YIELD == YIELD - 1)
		sched_yield();
}

static void *engine_thread(void *arg)
{
	struct run *r = arg;
	bool ok = bind_to(r->cfg->cpu[ENGINE]);

	for (uint32_t idle = 0; ok && idle < SPINS; idle++) {
		if (serve(r->p, NULL))
			idle = 0;
		else if (atomic_load_explicit(&r->stop, memory_order_relaxed))
			break;
		else
			relax(idle);
	}
	return ok ? r : NULL;
}

/* False: came to rest. */
static bool exchange(struct run *r, uint64_t messages)
{
	for (uint64_t id = 0; id < messages;) {
		uint32_t got = 0;

		for (uint32_t k = 0; k < r->cfg->burst; k++)
			if (!post_one(r->p, NULL, id++))
				return false;
		ring(r->p, NULL);
		for (uint32_t idle = 0; got < r->cfg->burst; idle++) {
			got += poll_all(r->p, NULL);
			if (idle == SPINS)
				return false;
			if (got < r->cfg->burst)
				relax(idle);
		}
	}
	return true;
}

static void *app_thread(void *arg)
{
	struct run *r = arg;
	uint64_t t;

	if (!bind_to(r->cfg->cpu[APP]) || !exchange(r, r->cfg->messages / 16 + 1))
		return NULL;
	t = r->cfg->clock_ns();
	if (exchange(r, r->cfg->messages))
		r->ns = (double)(r->cfg->clock_ns() - t) / (double)r->cfg->messages;
	return NULL;
}

double fns_pipe_time(const struct fns_pipe_cfg *cfg)
{
	struct fns_pipe_cfg c = *cfg;
	struct run r = {.cfg = &c, .p = pipe_create(cfg->mode), .ns = -1};
	pthread_t app, engine;
	void *ok = NULL;

	fns_assert(c.burst >= 1 && c.burst <= FNS_PIPE_MAX_BURST);
	c.messages = FNS_DIV_UP(c.messages, c.burst) * c.burst;
	if (pthread_create(&engine, NULL, engine_thread, &r) == 0) {
		if (pthread_create(&app, NULL, app_thread, &r) == 0)
			pthread_join(app, NULL);
		atomic_store(&r.stop, true);
		pthread_join(engine, &ok);
	}
	pipe_destroy(r.p);
	return ok ? r.ns : -1;
}
