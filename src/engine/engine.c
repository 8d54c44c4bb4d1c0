/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's life and its one loop body: submit, receive, complete, time out, transmit. */
#include <errno.h>
#include <stdlib.h>

#include "engine/engine_priv.h"
#include "transport/irn.h"

/* Acknowledgements left to the application's next call wait this long for it, and only those of few
 * queue pairs do. */
#define LAZY_NS  (50 * FNS_NSEC_PER_USEC)
#define LAZY_QPS 4u

/* Pause before trying again when something could not proceed for a reason that sends no word. */
#define RETRY_NS (20 * FNS_NSEC_PER_USEC)

static struct fns_ah *find_ah(struct fns_nic *nic, uint32_t handle)
{
	return fns_table_get(&((struct fns_engine *)nic)->ahs, handle);
}

struct fns_engine *fns_engine_create(const struct fns_engine_cfg *cfg)
{
	struct fns_engine *e = calloc(1, sizeof(*e));
	struct fns_nic *nic = &e->nic;
	struct fns_cc_choice cc;

	if (!e)
		return NULL;
	nic->now_ns = cfg->start_ns;
	nic->wire = cfg->wire;
	nic->dma = cfg->dma;
	nic->stats = cfg->stats;
	nic->up = cfg->up;
	nic->find_ah = find_ah;
	nic->stage_all = cfg->modes.tx != FNS_TXM_HEADER_ONLY;
	nic->cnp_ns = cfg->cnp_ns;
	nic->selective = cfg->selective;
	nic->doorbell = cfg->modes.pipe == FNS_PIPE_DOORBELL;
	nic->rxops_each = cfg->quota.rxops ? cfg->quota.rxops : FNS_RXOPS;
	nic->read_budget =
		cfg->read_budget ? cfg->read_budget : fns_rcvbuf_share(FNS_RCVBUF_DEFAULT);
	nic->read_chunk = FNS_MIN(FNS_READ_CHUNK, nic->read_budget / 2);
	nic->peer_budget =
		cfg->peer_budget ? cfg->peer_budget : fns_rcvbuf_share(FNS_RCVBUF_DEFAULT);
	nic->peer_cap = cfg->peer_budget ? cfg->peer_budget : UINT32_MAX;
	fns_list_init(&nic->active);
	fns_list_init(&nic->read_waiters);
	fns_list_init(&nic->peers);
	fns_list_init(&nic->hosts);
	fns_rng_seed(&e->rng, cfg->seed);
	fns_cc_default(&fns_cc_static_window, &cc);
	e->cc_choose = cfg->cc_choose ? cfg->cc_choose : fns_cc_parse;
	e->prefix = cfg->prefix;
	e->quota = cfg->quota;
	e->next_qp = (uint32_t)fns_rng_below(&e->rng, FNS_QP_INDEXES);
	e->qps = calloc(FNS_QP_INDEXES, sizeof(*e->qps));
	nic->timers = fns_timer_wheel_create(cfg->start_ns);
	nic->mem = fns_mem_create(cfg->dma, fns_rng_u64(&e->rng));
	nic->wire->stats = cfg->stats;
	nic->wire->now_ns = &nic->now_ns;
	cfg->stats->magic = FNS_STATS_MAGIC;
	cfg->stats->n_counters = FNS_C_COUNT;
	cfg->stats->prefix = cfg->prefix;
	cfg->stats->tx_mode = cfg->modes.tx;
	cfg->stats->rx_mode = cfg->modes.rx;
	cfg->stats->pipe_mode = cfg->modes.pipe;
	if (cfg->modes.tx == FNS_TXM_COPY)
		nic->send_ring = calloc(FNS_SEND_RING, FNS_SEND_RING_STRIDE);
	/* 4160 bytes a buffer: neighbours do not share cache sets. */
	if (fns_engine_cc_start(e, cfg->cc ? cfg->cc : &cc) < 0 || !e->qps || !nic->timers ||
		!nic->mem || (cfg->modes.tx == FNS_TXM_COPY && !nic->send_ring) ||
		fns_pool_init(&nic->stage, FNS_STAGE_BYTES + FNS_CACHELINE, FNS_STAGE_BUFS) < 0 ||
		fns_pool_init(&nic->fetches, sizeof(struct fns_fetch_op), FNS_STAGE_BUFS) < 0 ||
		fns_pool_init(&nic->rxops, sizeof(struct fns_rxop), FNS_RXOPS) < 0 ||
		fns_pool_init_cold(&nic->irn_rx, sizeof(struct fns_irn_rx), FNS_IRN_GAPS) < 0 ||
		fns_pool_init_cold(&nic->irn_tx, sizeof(struct fns_irn_tx), FNS_IRN_GAPS) < 0 ||
		fns_pool_init_cold(&nic->irn_hold, sizeof(struct fns_irn_hold), FNS_IRN_HOLDS) <
			0) {
		fns_engine_destroy(e);
		return NULL;
	}
	return e;
}

static void free_table(struct fns_table *t)
{
	uint32_t i;

	for (i = 0; i < t->size; i++)
		free(t->slot[i].obj);
	fns_table_fini(t);
}

void fns_engine_destroy(struct fns_engine *e)
{
	uint32_t i;

	if (!e)
		return;
	for (i = 0; e->nqps && i < FNS_QP_INDEXES; i++)
		if (e->qps[i])
			fns_engine_qp_free(e, e->qps[i]);
	fns_engine_cc_end(e);
	for (i = 0; i < e->srqs.size; i++)
		if (e->srqs.slot[i].obj) {
			fns_ctl_offload_srq_end(e, e->srqs.slot[i].obj);
			fns_rq_fini(&((struct fns_srq *)e->srqs.slot[i].obj)->rq);
		}
	fns_offload_destroy(e->nic.offload);
	for (i = 0; i < e->ahs.size; i++) {
		struct fns_ah *ah = e->ahs.slot[i].obj;

		if (ah && ah->path)
			e->nic.wire->ops->path_put(e->nic.wire, ah->path);
		if (ah) {
			fns_peer_put(ah->peer);
			fns_host_put(&e->nic, ah->host);
		}
	}
	free_table(&e->srqs);
	free_table(&e->ahs);
	free_table(&e->cqs);
	free_table(&e->pds);
	fns_table_fini(&e->mrs); /* the regions themselves belong to mem */
	fns_mem_destroy(e->nic.mem);
	fns_timer_wheel_destroy(e->nic.timers);
	fns_pool_fini(&e->nic.stage);
	fns_pool_fini(&e->nic.fetches);
	fns_pool_fini(&e->nic.rxops);
	fns_pool_fini(&e->nic.irn_rx);
	fns_pool_fini(&e->nic.irn_tx);
	fns_pool_fini(&e->nic.irn_hold);
	free(e->nic.send_ring);
	free(e->qps);
	free(e);
}

int fns_engine_attach_app(
	struct fns_engine *e, uint32_t app, struct fns_sq_shared *ring, uint32_t nslots)
{
	if (e->nrings == FNS_MAX_RINGS)
		return -ENOSPC;
	ring->pipe = e->nic.doorbell ? FNS_PIPE_DOORBELL : FNS_PIPE_PHASE;
	e->ring[e->nrings++] = (struct fns_ring){.shared = ring,
		.nslots = nslots,
		.log2 = (uint32_t)__builtin_ctz(nslots),
		.doorbell = e->nic.doorbell,
		.app = app};
	return 0;
}

int fns_engine_attach(struct fns_engine *e, struct fns_sq_shared *ring, uint32_t nslots)
{
	return fns_engine_attach_app(e, 0, ring, nslots);
}

void fns_engine_detach_app(struct fns_engine *e, uint32_t app)
{
	unsigned i, kept = 0;

	for (i = 0; i < e->nrings; i++)
		if (e->ring[i].app != app)
			e->ring[kept++] = e->ring[i];
	e->nrings = kept;
}

bool fns_engine_in_flight(const struct fns_engine *e)
{
	struct fns_list *it;

	if (e->nic.read_cost)
		return true;
	fns_list_for_each (it, (struct fns_list *)&e->nic.peers)
		if (fns_container_of(it, struct fns_peer, node)->inflight)
			return true;
	return false;
}

int fns_engine_wire_set(struct fns_engine *e, struct fns_wire *w)
{
	struct fns_nic *nic = &e->nic;

	/* Frames offered to the old one, and views that it must get back. */
	if (nic->txq.n || nic->rxops.free != nic->rxops.count)
		return -EBUSY;
	w->stats = nic->stats;
	w->now_ns = &nic->now_ns;
	nic->wire = w;
	return 0;
}

bool fns_engine_hello_pending(const struct fns_engine *e)
{
	return e->nic.hello_wanted != 0;
}

bool fns_engine_hello_next(struct fns_engine *e, struct fns_engine_address *out)
{
	const struct fns_host *h = fns_host_wanted(&e->nic);

	if (h)
		*out = (struct fns_engine_address){h->local, h->remote, h->ifindex};
	return h != NULL;
}

void fns_engine_hello_told(struct fns_engine *e, const struct fns_gid *remote,
	enum fns_hello_state state, const struct fns_hello *hello)
{
	fns_host_told(&e->nic, remote, state, hello);
}

void fns_engine_hello_lost(struct fns_engine *e)
{
	fns_host_lost(&e->nic);
}

bool fns_engine_qp_look(const struct fns_engine *e, uint32_t qpn, struct fns_engine_qp_info *out)
{
	const struct fns_qp *qp = fns_engine_qp(e, qpn);

	if (!qp)
		return false;
	*out = (struct fns_engine_qp_info){.type = qp->type,
		.state = qp->state,
		.dest_qpn = qp->dest_qpn,
		.una = qp->req.una,
		.next = qp->req.max_psn,
		.rnr_retry = qp->attr.rnr_retry,
		.timeout = qp->attr.timeout};
	if (qp->path) {
		out->local = qp->path->local;
		out->remote = qp->path->remote;
	}
	return true;
}

uint32_t fns_engine_frame_qpn(const void *owner)
{
	return owner ? ((const struct fns_qp *)owner)->qpn : 0;
}

unsigned fns_engine_transmit(struct fns_engine *e)
{
	struct fns_nic *nic = &e->nic;
	int32_t left = FNS_SCHED_BYTES;
	unsigned turns = 0, starved = 0;
	struct fns_list *n;

	if (nic->txq.blocked && !fns_txq_flush(nic))
		return 0;
	while (left > 0 && (n = fns_list_pop_front(&nic->active))) {
		struct fns_qp *qp = fns_container_of(n, struct fns_qp, sched);
		enum fns_tx_result r;
		int32_t before;

		qp->deficit = FNS_MIN(qp->deficit + FNS_QUANTUM, FNS_QUANTUM);
		before = qp->deficit;
		r = qp->ops->tx(qp);
		left -= before - qp->deficit;
		turns += before != qp->deficit;
		fns_peer_pass(qp);
		if (r == FNS_TX_IDLE) {
			qp->deficit = 0;
			continue;
		}
		if (before != qp->deficit)
			starved = 0;
		/*
		 * The wire has room: it lacks a staging buffer or a place in the DMA queue. Those
		 * behind it may hold what it waits for, ready to be sent.
		 */
		if (r == FNS_TX_BLOCKED && !nic->txq.blocked && starved++ < FNS_STAGE_BUFS)
			r = FNS_TX_MORE;
		if (fns_list_empty(&qp->sched)) {
			if (r == FNS_TX_MORE)
				fns_list_push_back(&nic->active, &qp->sched);
			else
				fns_list_push_front(&nic->active, &qp->sched);
		}
		if (r == FNS_TX_BLOCKED)
			break;
	}
	fns_txq_flush(nic);
	return turns;
}

/* Only a few queue pairs, with nothing to send but acknowledgements. */
static bool only_acks(const struct fns_nic *nic)
{
	unsigned n = 0;
	struct fns_list *it;

	if (nic->txq.n)
		return false;
	fns_list_for_each (it, &nic->active) {
		const struct fns_qp *qp = fns_container_of(it, struct fns_qp, sched);

		if (++n > LAZY_QPS || !qp->ops->only_acks(qp))
			return false;
	}
	return n > 0;
}

unsigned fns_engine_advance(struct fns_engine *e, uint64_t now_ns, unsigned what)
{
	struct fns_nic *nic = &e->nic;
	uint32_t pushed = nic->pushed;
	unsigned work = 0;

	nic->now_ns = FNS_MAX(now_ns, nic->now_ns);
	fns_count(nic->stats, FNS_C_advances);
	if (what & FNS_ADVANCE_SUBMIT)
		work += fns_engine_submit(e);
	if (what & FNS_ADVANCE_RECEIVE) {
		if (e->deferred)
			work += fns_engine_transmit(e);
		work += fns_engine_receive(e);
	}
	if (!nic->dma->ops->caps.completes_inline)
		work += nic->dma->ops->poll(nic->dma, nic->now_ns);
	if (fns_timer_next(nic->timers) <= nic->now_ns)
		work += fns_timer_run(nic->timers, nic->now_ns);
	if (fns_unlikely(nic->offload != NULL) && fns_offload_due(nic->offload))
		work += fns_offload_run(nic->offload);
	if ((what & FNS_ADVANCE_LAZY) && nic->pushed != pushed) {
		e->deferred = only_acks(nic);
		e->deferred_ns = nic->now_ns;
	} else if (e->deferred) {
		/* Posting receives in between does not end the wait. */
		e->deferred = !(what & FNS_ADVANCE_RECEIVE) && only_acks(nic) &&
			      nic->now_ns - e->deferred_ns < LAZY_NS;
	}
	if (!e->deferred && (!fns_list_empty(&nic->active) || nic->txq.n))
		work += fns_engine_transmit(e);
	return work;
}

uint64_t fns_engine_next(struct fns_engine *e)
{
	struct fns_nic *nic = &e->nic;
	uint64_t at = fns_timer_next(nic->timers);

	if (!nic->dma->ops->caps.completes_inline)
		at = FNS_MIN(at, nic->dma->ops->next(nic->dma));
	if (nic->wire->ops->next)
		at = FNS_MIN(at, nic->wire->ops->next(nic->wire));
	if (nic->offload && fns_offload_due(nic->offload))
		at = FNS_MIN(at, nic->now_ns);
	if (nic->txq.n)
		at = FNS_MIN(at, nic->now_ns + RETRY_NS);
	else if (e->deferred)
		at = FNS_MIN(at, e->deferred_ns + LAZY_NS);
	else if (!fns_list_empty(&nic->active))
		at = FNS_MIN(at, nic->now_ns + FNS_NSEC_PER_USEC);
	return at;
}
