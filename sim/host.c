/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One host: an engine with its wire and DMA backend, the application's objects made by control
 * calls, and when the engine is advanced. The engine is advanced a random moment after there is a
 * reason to, sometimes only one half of it, as placements do.
 */
#include "sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "engine/engine_priv.h"
#include "roce/psn.h"

#define SPIN_LIMIT        20000u
#define COOKIE(kind, idx) ((uint64_t)(kind) << 32 | (idx))

static void comp_event(void *ctx, uint64_t channel, uint64_t cookie)
{
	struct sim_host *h = ctx;
	struct sim_cq *cq;

	if (cookie >> 32 != 2 || (uint32_t)cookie >= h->ncq || channel != (uint32_t)cookie + 1) {
		sim_fail(h->w, "host %u: completion event with cookie %llx channel %llx", h->idx,
			(unsigned long long)cookie, (unsigned long long)channel);
		return;
	}
	cq = &h->cq[(uint32_t)cookie];
	if (!cq->poll_pending) {
		cq->poll_pending = true;
		sim_push(h->w, h->w->now + fns_rng_below(&h->rng, 3000), SIM_EV_POLL, h->idx,
			(uint32_t)cookie, NULL);
	}
}

static void async_event(void *ctx, const struct fns_event *ev)
{
	struct sim_host *h = ctx;
	uint32_t idx = (uint32_t)ev->cookie;

	sim_trace(h->w, "host %u: event %u of %llx", h->idx, ev->type,
		(unsigned long long)ev->cookie);
	sim_hash(h->w, ev->cookie + ev->type);
	switch (ev->cookie >> 32) {
	case 1:
		if (idx < h->nqp && h->qp[idx] && h->qp[idx]->alive) {
			h->qp[idx]->events_seen |= 1u << ev->type;
			return;
		}
		break;
	case 2:
		if (idx < h->ncq && ev->type == FNS_EVENT_CQ_ERR) {
			h->cq[idx].error = true;
			return;
		}
		break;
	case 3:
		h->srq.events = true;
		return;
	}
	sim_fail(h->w, "host %u: event %u about nothing that lives (%llx)", h->idx, ev->type,
		(unsigned long long)ev->cookie);
}

int sim_ctl(struct sim_host *h, struct fns_ctl *m)
{
	m->client = h->client;
	if (h->sim_dma)
		fns_dma_sim_set_now(h->dma, h->w->now);
	fns_engine_control(h->e, m, h->w->now);
	sim_trace(h->w, "host %u: control %u handle %u = %d", h->idx, m->op, m->handle, m->result);
	sim_hash(h->w, (uint64_t)m->op << 32 | (uint32_t)m->result);
	sim_hello_ask(h);
	sim_host_wake(h, fns_rng_below(&h->rng, 500));
	return m->result;
}

int sim_ctl_wait(struct sim_host *h, struct fns_ctl *m)
{
	uint32_t i;

	for (i = 0; i < 5000 && sim_ctl(h, m) == -EAGAIN && !h->w->failed; i++)
		sim_until(h->w, h->w->now + 20000);
	return m->result;
}

static void must(struct sim_host *h, struct fns_ctl *m)
{
	if (sim_ctl(h, m) != 0)
		sim_fail(h->w, "host %u: control operation %u gives %d", h->idx, m->op, m->result);
}

static void mr_reg(
	struct sim_host *h, unsigned i, uint32_t pd, uint32_t off, uint32_t len, uint32_t access)
{
	struct fns_ctl m = {.op = FNS_CTL_MR_REG};

	m.mr.addr = (uint64_t)(uintptr_t)(h->mem + off);
	m.mr.len = len;
	m.mr.iova = SIM_IOVA + off;
	m.mr.pd = pd;
	m.mr.access = access;
	must(h, &m);
	h->mr[i] = (struct sim_mr){m.handle, m.mr.key, off, len};
}

static void mr_reg_all(struct sim_host *h)
{
	const uint32_t all = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE |
			     FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC;

	mr_reg(h, SIM_MR_MAIN, h->pd, SIM_GUARD, h->arena - SIM_GUARD, all);
	mr_reg(h, SIM_MR_RO, h->pd, 0, 16 << 10, FNS_ACCESS_REMOTE_READ);
	mr_reg(h, SIM_MR_NONE, h->pd, 16 << 10, 16 << 10, FNS_ACCESS_LOCAL_WRITE);
	mr_reg(h, SIM_MR_PD2, h->pd2, 32 << 10, 16 << 10, all);
	mr_reg(h, SIM_MR_SMALL, h->pd, 48 << 10, 4 << 10, all);
	mr_reg(h, SIM_MR_LRO, h->pd, 56 << 10, 4 << 10, 0);
	memset(h->used + (48 << 10) / SIM_UNIT, 2, (4 << 10) / SIM_UNIT);
}

static void counters_init(struct sim_host *h)
{
	uint32_t i, base, units;

	for (i = 0; i < SIM_COUNTER; i++) {
		struct sim_counter *c = &h->counter[i];
		bool ok = sim_alloc(h, 8, 1, true, &base, &units, &c->off);

		fns_assert(ok);
		c->start = fns_rng_u64(&h->rng) >> 1;
		sim_store(h, c->off, &c->start, 8);
	}
}

/*
 * Enough for the work of its queue pairs, and no more: every byte is looked at again at the end.
 * Targets of unreliable WRITEs are never free again.
 */
static uint32_t arena_size(const struct sim_world *w, uint32_t nqp)
{
	uint32_t need = SIM_GUARD + (nqp + 1) * ((64u << 10) + 4 * w->p.max_len);

	if (w->p.arena)
		return FNS_ALIGN_UP(w->p.arena + SIM_GUARD, 4096);
	if (w->p.srq)
		need += 1u << 20;
	if (w->p.type != FNS_QPT_RC || w->p.greedy)
		return SIM_ARENA;
	return FNS_MIN(FNS_MAX(FNS_ALIGN_UP(need, 4096), 256u << 10), SIM_ARENA);
}

struct sim_host *sim_host_create(struct sim_world *w, uint32_t idx, uint32_t nqp)
{
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 0};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};
	struct sim_host *h = calloc(1, sizeof(*h));
	struct fns_cc_choice cc;
	struct fns_engine_cfg cfg;
	struct fns_ctl m;

	fns_assert(h);
	h->w = w;
	h->idx = idx;
	w->host[idx] = h;
	fns_rng_seed(&h->rng, sim_mix(w->seed * 3 + 7 + idx));
	memcpy(h->gid.b, w->seed & 1 ? v6 : v4, 16);
	h->gid.b[15] = (uint8_t)(idx + 1);
	h->prefix = (uint8_t)sim_rand(&h->rng, 1, 254);
	h->depth = (uint32_t)sim_rand(&h->rng, 2, fns_rng_below(&h->rng, 2) ? 6 : 24);
	if (w->p.depth)
		h->depth = w->p.depth;
	if (w->p.greedy)
		h->depth = SIM_DEPTH;
	h->advance_at = UINT64_MAX;
	h->nqp_planned = nqp;
	h->arena = arena_size(w, nqp);
	h->rcvbuf = idx == 0 && w->p.rcvbuf_first ? w->p.rcvbuf_first : w->p.rcvbuf;
	h->standard = idx < 32 && (w->p.standard >> idx & 1);
	fns_rng_seed(&h->hello_rng, sim_mix(w->seed * 5 + 13 + idx));
	sim_mem_init(h);
	/* large, and hardly any of it is ever touched: pages that are zero come for nothing */
	h->stats = mmap(NULL, sizeof(*h->stats), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fns_assert(h->stats != MAP_FAILED);
	h->sim_dma = w->sim_dma;
	if (h->sim_dma) {
		struct fns_dma_sim_cfg dc = {.seed = sim_mix(w->seed + 99 * idx),
			.min_ns = sim_rand(&h->rng, 0, 1000),
			.fail_ppm = w->p.dma_fail_ppm};

		dc.max_ns = dc.min_ns + sim_rand(&h->rng, 0, 8000);
		h->dma = fns_dma_sim_create(&dc);
	} else {
		h->dma = fns_dma_direct_create();
	}
	h->wire = sim_wire_create(h);
	h->wire->stats = h->stats;
	cfg = (struct fns_engine_cfg){.wire = h->wire,
		.dma = h->dma,
		.stats = h->stats,
		.seed = sim_mix(w->seed * 17 + idx),
		.start_ns = w->now,
		.prefix = h->prefix,
		.selective = w->p.irn,
		.up = {comp_event, async_event, h}};
	if (w->p.cc || w->p.cc_choice) {
		char why[256];

		if (w->p.cc_choice)
			cc = *w->p.cc_choice;
		else if (!fns_cc_parse(w->p.cc, &cc, why, sizeof(why)))
			sim_fail(w, "%s", why);
		if (!w->failed)
			cfg.cc = &cc;
		cfg.cnp_ns = w->p.cnp_ns;
	}
	if (w->p.wide && h->rcvbuf)
		cfg.read_budget = fns_rcvbuf_share(h->rcvbuf);
	if (fns_rng_below(&h->rng, 3) == 0 &&
		!w->p.wide) { /* narrow windows: everybody waits for somebody */
		cfg.peer_budget = (uint32_t)sim_rand(&h->rng, 1000, 60000);
		cfg.read_budget = (uint32_t)sim_rand(&h->rng, 1000, 60000);
	}
	if (w->p.peer_budget)
		cfg.peer_budget = cfg.read_budget = w->p.peer_budget;
	h->e = fns_engine_create(&cfg);
	h->nslots = 16u << fns_rng_below(&h->rng, 4);
	if (w->p.nslots)
		h->nslots = w->p.nslots;
	h->sq = aligned_alloc(FNS_CACHELINE, sizeof(*h->sq) + h->nslots * sizeof(struct fns_sqd));
	fns_assert(h->dma && h->e && h->sq);
	memset(h->sq, 0, sizeof(*h->sq) + h->nslots * sizeof(struct fns_sqd));
	if (fns_engine_attach(h->e, h->sq, h->nslots) != 0)
		sim_fail(w, "host %u: attach fails", idx);
	m = (struct fns_ctl){.op = FNS_CTL_CLIENT_OPEN};
	must(h, &m);
	h->client = m.client;
	m = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	must(h, &m);
	h->pd = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	must(h, &m);
	h->pd2 = m.handle;
	mr_reg_all(h);
	counters_init(h);
	return h;
}

void sim_host_check_leaks(struct sim_host *h)
{
	struct fns_nic *nic = &h->e->nic;
	struct fns_list *it;

	if (nic->stage.free != nic->stage.count)
		sim_fail(h->w, "host %u: %u staging buffers are missing", h->idx,
			nic->stage.count - nic->stage.free);
	if (nic->rxops.free != nic->rxops.count)
		sim_fail(h->w, "host %u: %u receive operations are missing", h->idx,
			nic->rxops.count - nic->rxops.free);
	if (nic->read_cost != 0)
		sim_fail(h->w, "host %u: READ responses of cost %u are never given back", h->idx,
			nic->read_cost);
	if (nic->txq.n != 0)
		sim_fail(h->w, "host %u: %u frames were not sent", h->idx, nic->txq.n);
	if (!fns_list_empty(&nic->active) || !fns_list_empty(&nic->read_waiters))
		sim_fail(h->w, "host %u: queue pairs still wait", h->idx);
	fns_list_for_each (it, &nic->peers) {
		struct fns_peer *p = fns_container_of(it, struct fns_peer, node);

		if (p->inflight != 0 || !fns_list_empty(&p->waiters))
			sim_fail(h->w, "host %u: a peer's window has %u in flight for ever", h->idx,
				p->inflight);
	}
}

void sim_host_destroy(struct sim_host *h)
{
	unsigned i;

	/* an owner lets memory operations end before it destroys an engine */
	for (i = 0; h->sim_dma && i < 100000 && h->dma->ops->next(h->dma) != UINT64_MAX; i++)
		h->dma->ops->poll(h->dma, h->dma->ops->next(h->dma));
	fns_engine_destroy(h->e);
	if (!h->w->failed)
		sim_wire_check_idle(h);
	h->wire->ops->destroy(h->wire);
	h->dma->ops->destroy(h->dma);
	for (i = 0; i < h->ncq; i++)
		free(h->cq[i].ring);
	for (i = 0; i < h->nqp; i++) {
		free(h->qp[i]->out);
		free(h->qp[i]);
	}
	for (i = 0; i < SIM_COUNTER; i++)
		free(h->counter[i].rec);
	free(h->srecv);
	free(h->sq);
	munmap(h->stats, sizeof(*h->stats));
	sim_mem_fini(h);
	free(h);
}

/* --- when the engine runs --- */

void sim_host_wake(struct sim_host *h, uint64_t delay_ns)
{
	uint64_t at = FNS_MAX(h->w->now + delay_ns, h->paused_until);

	if (h->dead || h->advance_at <= at)
		return;
	h->advance_at = at;
	h->advance_seq++;
	sim_push(h->w, at, SIM_EV_ADVANCE, h->idx, (uint32_t)h->advance_seq, NULL);
}

static void poll_all(struct sim_host *h)
{
	unsigned i;

	for (i = 0; i < h->ncq; i++) {
		struct sim_cq *cq = &h->cq[i];

		if (cq->events || cq->never_poll)
			continue;
		if (!cq->poll_delay_ns) {
			sim_poll(h, cq);
		} else if (!cq->poll_pending) {
			cq->poll_pending = true;
			sim_push(h->w, h->w->now + fns_rng_below(&h->rng, cq->poll_delay_ns),
				SIM_EV_POLL, h->idx, i, NULL);
		}
	}
}

void sim_host_advance(struct sim_host *h)
{
	struct sim_world *w = h->w;
	unsigned what = FNS_ADVANCE_ALL, work;
	uint64_t next;

	if (h->dead)
		return;
	h->advance_at = UINT64_MAX;
	if (w->now < h->paused_until) {
		sim_host_wake(h, 0);
		return;
	}
	if (fns_rng_below(&h->rng, 8) == 0)
		what = fns_rng_below(&h->rng, 2) ? FNS_ADVANCE_SUBMIT : FNS_ADVANCE_RECEIVE;
	if (h->sim_dma)
		fns_dma_sim_set_now(h->dma, w->now);
	work = fns_engine_advance(h->e, w->now, what);
	sim_hello_ask(h);
	poll_all(h);
	next = fns_engine_next(h->e);
	sim_hash(w, (uint64_t)work << 32 ^ next);
	if (what != FNS_ADVANCE_ALL)
		sim_host_wake(h, sim_rand(&h->rng, 50, 800));
	else if (sim_wire_pending(h) || fns_engine_submissions_pending(h->e))
		sim_host_wake(h, sim_rand(&h->rng, 50, 800));
	if (next != UINT64_MAX)
		sim_host_wake(h, next > w->now ? next - w->now : sim_rand(&h->rng, 50, 400));
	h->spins = next <= w->now + 2000 && work == 0 ? h->spins + 1 : 0;
	if (h->spins > SPIN_LIMIT)
		sim_fail(w, "host %u: the engine wants to run at once %u times, and does nothing",
			h->idx, h->spins);
}

/* --- objects --- */

void sim_cq_create(struct sim_host *h, uint32_t log2)
{
	struct sim_cq *cq = &h->cq[h->ncq];
	size_t size = sizeof(*cq->ring) + ((size_t)1 << log2) * sizeof(struct fns_cqe);
	struct fns_ctl m = {.op = FNS_CTL_CQ_CREATE, .cookie = COOKIE(2, h->ncq)};

	fns_assert(h->ncq < SIM_CQS);
	cq->ring = aligned_alloc(FNS_CACHELINE, size);
	fns_assert(cq->ring);
	memset(cq->ring, 0, size);
	cq->log2 = log2;
	cq->events = fns_rng_below(&h->rng, 4) == 0;
	if (fns_rng_below(&h->rng, 4) == 0)
		cq->poll_delay_ns = (uint32_t)sim_rand(&h->rng, 100, 20000);
	if (h->w->p.greedy) {
		cq->events = false;
		cq->poll_delay_ns = 0;
	}
	m.cq.ring = (uint64_t)(uintptr_t)cq->ring;
	m.cq.channel = cq->events ? h->ncq + 1 : 0;
	m.cq.log2 = log2;
	must(h, &m);
	cq->handle = m.handle;
	if (cq->events)
		atomic_store(&cq->ring->arm, FNS_CQ_ARM_ANY);
	h->ncq++;
}

void sim_srq_create(struct sim_host *h, uint32_t max_wr)
{
	struct fns_ctl m = {.op = FNS_CTL_SRQ_CREATE, .cookie = COOKIE(3, 0)};

	m.srq.pd = h->pd;
	m.srq.max_wr = max_wr;
	m.srq.max_sge = 4;
	must(h, &m);
	h->srq = (struct sim_srq){.handle = m.handle, .max_wr = max_wr};
	h->srecv = calloc(max_wr, sizeof(*h->srecv));
	fns_assert(h->srecv);
}

struct sim_qp *sim_qp_create(
	struct sim_host *h, uint8_t type, struct sim_cq *scq, struct sim_cq *rcq, bool srq)
{
	struct sim_qp *q = calloc(1, sizeof(*q));
	struct fns_ctl m = {.op = FNS_CTL_QP_CREATE, .cookie = COOKIE(1, h->nqp)};

	fns_assert(q && h->nqp < SIM_QPS);
	q->host = h;
	q->idx = h->nqp;
	q->type = type;
	q->scq = scq;
	q->rcq = rcq;
	q->use_srq = srq;
	q->sig_all = fns_rng_below(&h->rng, 4) == 0;
	/* one draw a statement: the order within an expression is the compiler's */
	q->cap.max_send_wr = (uint32_t)sim_rand(&h->rng, 2, h->depth);
	if (h->w->p.greedy)
		q->cap.max_send_wr = h->depth;
	q->cap.max_recv_wr = srq ? 0 : (uint32_t)sim_rand(&h->rng, 2, h->depth);
	q->cap.max_send_sge = (uint32_t)sim_rand(&h->rng, 1, 4);
	q->cap.max_recv_sge = (uint32_t)sim_rand(&h->rng, 1, 4);
	q->cap.max_inline = (uint32_t)fns_rng_below(&h->rng, FNS_MAX_INLINE + 1);
	if (h->w->p.depth) {
		q->cap.max_send_wr = h->w->p.depth;
		q->cap.max_recv_wr = FNS_MIN(q->cap.max_recv_wr, 1);
		q->sig_all = false;
	}
	m.qp.pd = h->pd;
	m.qp.send_cq = scq->handle;
	m.qp.recv_cq = rcq->handle;
	m.qp.srq = srq ? h->srq.handle : 0;
	m.qp.cap = q->cap;
	m.qp.type = type;
	m.qp.sq_sig_all = q->sig_all;
	must(h, &m);
	if (m.qp.cap.max_send_wr < q->cap.max_send_wr || m.qp.cap.max_inline < q->cap.max_inline ||
		m.qp.cap.max_recv_wr < q->cap.max_recv_wr ||
		m.qp.cap.max_send_sge < q->cap.max_send_sge)
		sim_fail(h->w, "host %u: less granted than asked for", h->idx);
	q->qpn = m.handle;
	q->gen = m.qp.gen;
	q->alive = true;
	if (q->qpn >> 16 != h->prefix)
		sim_fail(h->w, "host %u: QPN %06x has not prefix %02x", h->idx, q->qpn, h->prefix);
	h->qp[h->nqp++] = q;
	return q;
}

static void modify(struct sim_qp *q, struct fns_ctl_qp_attr *a)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_MODIFY, .handle = q->qpn};

	m.qp_attr = *a;
	if (sim_ctl_wait(q->host, &m) != 0)
		sim_fail(q->host->w, "qp %06x: modify to %u gives %d", q->qpn, a->state, m.result);
}

void sim_qp_init(struct sim_qp *q)
{
	struct fns_ctl_qp_attr a = {.state = FNS_QPS_INIT,
		.port = 1,
		.qkey = SIM_SEND_Q,
		.mask = FNS_QPA_STATE | FNS_QPA_PKEY_INDEX | FNS_QPA_PORT};

	if (q->type == FNS_QPT_UD)
		a.mask |= FNS_QPA_QKEY;
	else
		a.mask |= FNS_QPA_ACCESS_FLAGS;
	a.access = FNS_ACCESS_REMOTE_WRITE;
	if (q->type == FNS_QPT_RC)
		a.access |= FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC;
	if (q->peer && q->peer->bad_kind == SIM_BAD_QP_ACCESS)
		a.access = 0;
	modify(q, &a);
}

static void fill_av(struct sim_qp *q, struct sim_qp *to, struct fns_ctl_av *av)
{
	*av = (struct fns_ctl_av){.sgid = q->host->gid,
		.dgid = to->host->gid,
		.hop_limit = 64,
		.traffic_class = q->host->w->p.no_ect ? 0 : SIM_ECT0,
		.is_global = 1,
		.port = 1,
		.link_mtu = 9000,
		.ifindex = 1};
}

static void to_rts(struct sim_qp *q, uint8_t timeout)
{
	struct sim_world *w = q->host->w;
	struct fns_ctl_qp_attr a = {.state = FNS_QPS_RTR, .mask = FNS_QPA_STATE};

	if (q->type != FNS_QPT_UD) {
		a.mask |= FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN | FNS_QPA_RQ_PSN;
		fill_av(q, q->peer, &a.av);
		a.path_mtu = (uint8_t)q->mtu_code;
		a.dest_qpn = q->peer->qpn;
		a.rq_psn = q->rq_psn;
	}
	if (q->type == FNS_QPT_RC) {
		a.mask |= FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER;
		a.max_dest_rd_atomic = (uint8_t)q->peer->max_rd;
		a.min_rnr_timer = (uint8_t)sim_rand(&q->host->rng, 1, 12);
	}
	modify(q, &a);
	a = (struct fns_ctl_qp_attr){.state = FNS_QPS_RTS, .mask = FNS_QPA_STATE | FNS_QPA_SQ_PSN};
	a.sq_psn = q->sq_psn;
	if (q->type == FNS_QPT_RC) {
		a.mask |= FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT | FNS_QPA_RNR_RETRY |
			  FNS_QPA_MAX_RD_ATOMIC;
		a.timeout = timeout;
		a.retry_cnt = w->p.retry_cnt;
		a.rnr_retry = w->p.rnr_retry;
		a.max_rd_atomic = (uint8_t)q->max_rd;
	}
	modify(q, &a);
}

/* Both ends to RTS; INIT before. */
void sim_qp_connect(struct sim_qp *a, struct sim_qp *b)
{
	struct sim_world *w = a->host->w;
	uint32_t span = w->p.psn_wrap ? 64 : 1u << 24;
	uint8_t timeout = (uint8_t)sim_rand(&w->rng, w->p.timeout_lo, w->p.timeout_hi);

	a->sq_psn = b->rq_psn = FNS_PSN_MASK & (0u - 1 - (uint32_t)fns_rng_below(&w->rng, span));
	b->sq_psn = a->rq_psn = FNS_PSN_MASK & (0u - 1 - (uint32_t)fns_rng_below(&w->rng, span));
	a->mtu_code = b->mtu_code = (uint32_t)sim_rand(&w->rng, 1, 5);
	if (w->p.mtu_code)
		a->mtu_code = b->mtu_code = w->p.mtu_code;
	if (w->p.greedy)
		a->mtu_code = b->mtu_code = 5;
	a->pmtu = b->pmtu = 128u << a->mtu_code;
	a->max_rd = (uint32_t)sim_rand(&w->rng, 1, 16);
	b->max_rd = (uint32_t)sim_rand(&w->rng, 1, 16);
	a->watching = b->watching = false;
	a->in_msg = b->in_msg = 0;
	to_rts(a, timeout);
	to_rts(b, timeout);
	if (a->type == FNS_QPT_UD) {
		struct sim_qp *end[2] = {a, b};
		unsigned i;

		for (i = 0; i < 2; i++) {
			struct fns_ctl m = {.op = FNS_CTL_AH_CREATE};

			a->pmtu = b->pmtu = 4096;
			m.ah.pd = end[i]->host->pd;
			fill_av(end[i], end[!i], &m.ah.av);
			must(end[i]->host, &m);
			end[i]->ah = m.handle;
		}
	}
}

int sim_qp_state(struct sim_qp *q, uint8_t state)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_MODIFY, .handle = q->qpn};

	m.qp_attr.mask = FNS_QPA_STATE;
	m.qp_attr.state = state;
	return sim_ctl_wait(q->host, &m);
}

int sim_qp_query(struct sim_qp *q)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_QUERY, .handle = q->qpn};

	return sim_ctl(q->host, &m) == 0 ? m.qp_attr.state : m.result;
}

/* Completions already written are polled first: afterwards there must be none. */
void sim_qp_destroy(struct sim_qp *q)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_DESTROY, .handle = q->qpn};
	int rc;
	uint32_t i;

	q->broken = true; /* a shared receive in use comes back as flushed */
	rc = sim_ctl(q->host, &m);
	for (i = 0; i < 5000 && rc == -EAGAIN && !q->host->w->failed; i++) {
		sim_until(q->host->w, q->host->w->now + 20000);
		rc = sim_ctl(q->host, &m);
	}
	if (rc != 0)
		sim_fail(q->host->w, "qp %06x: destroy gives %d", q->qpn, rc);
	sim_poll(q->host, q->scq);
	sim_poll(q->host, q->rcq);
	q->alive = false;
	sim_qp_abandon(q);
}

uint32_t sim_qp_una(const struct sim_qp *q)
{
	return fns_engine_qp(q->host->e, q->qpn)->req.una;
}

struct sim_qp *sim_qp_find(struct sim_host *h, uint32_t qpn)
{
	unsigned i;

	for (i = 0; i < h->nqp; i++)
		if (h->qp[i]->qpn == qpn && h->qp[i]->alive)
			return h->qp[i];
	return NULL;
}
