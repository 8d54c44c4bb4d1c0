/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: hosts, queues and queue pairs drawn from the seed, work until all of it is done, then
 * the end: everything goes back, engines fall silent, memory is what it must be. Called by the
 * runner and by tests.
 */
#include "sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define LIMIT_NS  (60 * FNS_NSEC_PER_SEC)
#define MAX_PAIRS 64u

struct pair {
	uint32_t a, b;
};

static void defaults(struct sim_world *w, struct sim_params *p)
{
	*p = (struct sim_params){
		.type = FNS_QPT_RC,
		.hosts_lo = 2,
		.hosts_hi = 3,
		.pairs_lo = 1,
		.pairs_hi = 4,
		.wrs_lo = 4,
		.wrs_hi = 40,
		.weight = {3, 3, 3, 2, 3, 1, 1, 1, 1},
		.max_len = fns_rng_below(&w->rng, 3) ? 8192 : SIM_MAX_MSG,
		.ps_per_byte = (uint32_t)sim_rand(&w->rng, 40, 800),
		.delay_ns = (uint32_t)sim_rand(&w->rng, 200, 5000),
		.jitter_ns = (uint32_t)fns_rng_below(&w->rng, 2000),
		.reorder_ns = 20000,
		.rcvbuf = 212992,
		.no_ect = fns_rng_below(&w->rng, 4) == 0,
		.egress_bytes = fns_rng_below(&w->rng, 2) ? 20000 : 0,
		.full_ppm = fns_rng_below(&w->rng, 3) ? 0 : 100000,
		.late_recv_ppm = 0,
		.pace_ns = (uint32_t)sim_rand(&w->rng, 500, 20000),
		.timeout_lo = 9,
		.timeout_hi = 13,
		.retry_cnt = 7,
		.rnr_retry = 7,
	};
}

static struct sim_world *world_create(
	const struct sim_scenario *s, uint64_t seed, int dma, FILE *trace)
{
	struct sim_world *w = calloc(1, sizeof(*w));
	fns_assert(w);
	w->seed = sim_mix(seed + 0x9e3779b97f4a7c15ull);
	w->now = 1000000;
	w->trace = trace;
	w->scenario = s;
	w->tmp = malloc(SIM_TMP);
	fns_assert(w->tmp);
	fns_rng_seed(&w->rng, w->seed);
	w->sim_dma = fns_rng_below(&w->rng, 4) != 0;
	if ((dma & SIM_DMA_MASK) != SIM_DMA_AUTO)
		w->sim_dma = (dma & SIM_DMA_MASK) == SIM_DMA_SIM;
	w->swap_cc = dma & SIM_SWAP_CC;
	fns_rng_seed(&w->swap, sim_mix(seed));
	defaults(w, &w->p);
	s->params(w, &w->p);
	return w;
}

static void draw_cell(struct sim_qp *q)
{
	struct sim_host *p = q->peer->host;
	uint32_t base, units, i, words = (uint32_t)sim_rand(&q->host->rng, 1, 600);

	if (q->type != FNS_QPT_RC || !sim_alloc(p, words * 8, 1, true, &base, &units, &q->cell_off))
		return;
	q->cell_words = words;
	for (i = 0; i < words; i++) {
		uint64_t v = i;

		sim_store(p, q->cell_off + 8 * i, &v, 8);
	}
}

static void draw_work(struct sim_qp *q, bool first)
{
	struct sim_world *w = q->host->w;
	const struct sim_params *p = &w->p;
	struct fns_rng *r = &q->host->rng;

	q->todo = p->one_sided && !first ? 0 : (uint32_t)sim_rand(r, p->wrs_lo, p->wrs_hi);
	q->pace_ns = (uint32_t)sim_rand(r, p->pace_ns / 2, p->pace_ns * 2);
	q->late_ppm = p->late_recv_ppm;
	if (first && p->bad_hi) {
		q->bad_kind = (uint8_t)sim_rand(r, p->bad_lo, p->bad_hi);
		q->bad_at = (uint32_t)fns_rng_below(r, q->todo);
		q->todo += 4;
	}
}

static void setup_pair(struct sim_world *w, const struct pair *at, bool overrun)
{
	struct sim_qp *end[2];
	uint32_t lens[3] = {2048, 12000, w->p.max_len}, len = lens[fns_rng_below(&w->rng, 3)];
	unsigned i;

	len = FNS_MIN(len, w->p.max_len);
	for (i = 0; i < 2; i++) {
		struct sim_host *h = w->host[i ? at->b : at->a];
		uint32_t ncq = h->ncq - (h->cq[h->ncq - 1].never_poll ? 1 : 0);
		struct sim_cq *scq = &h->cq[fns_rng_below(&h->rng, ncq)];
		struct sim_cq *rcq = &h->cq[fns_rng_below(&h->rng, ncq)];

		if (overrun && i == 0) {
			sim_cq_create(h, 1);
			scq = &h->cq[h->ncq - 1];
			scq->events = false;
			scq->never_poll = true;
		}
		end[i] = sim_qp_create(h, w->p.type, scq, rcq, w->p.srq && h->srq.handle);
	}
	for (i = 0; i < 2; i++) {
		struct sim_qp *q = end[i];

		q->peer = end[!i];
		draw_work(q, i == 0);
		q->recv_len = q->use_srq ? q->host->srecv_len : len;
	}
	end[0]->max_send = end[1]->recv_len;
	end[1]->max_send = end[0]->recv_len;
	for (i = 0; i < 2; i++) {
		draw_cell(end[i]);
		sim_qp_init(end[i]);
	}
	sim_qp_connect(end[0], end[1]);
	for (i = 0; i < 2; i++) {
		uint32_t n =
			end[i]->late_ppm || w->p.no_recv ? 0 : (uint32_t)sim_rand(&w->rng, 1, 24);

		while (n-- && !end[i]->use_srq && sim_post_recv(end[i]))
			;
		sim_app_later(end[i], fns_rng_below(&end[i]->host->rng, 20000));
	}
}

static void draw_network(struct sim_world *w)
{
	struct sim_topo t = {.kind = SIM_TOPO_STAR};
	bool known = true;

	if (w->p.topo) {
		known = sim_topo_parse(w->p.topo, &t);
	} else {
		t.n = (unsigned)sim_rand(&w->rng, w->p.hosts_lo, w->p.hosts_hi);
		if (t.n == 2 && fns_rng_below(&w->rng, 2))
			t.kind = SIM_TOPO_PAIR;
	}
	fns_assert(known);
	sim_net_init(w, &t);
	w->nhosts = w->net.nhosts;
}

static struct pair any_pair(struct sim_world *w)
{
	struct pair p = {.a = (uint32_t)fns_rng_below(&w->rng, w->nhosts)};

	p.b = (uint32_t)fns_rng_below(&w->rng, w->nhosts - 1);
	p.b += p.b >= p.a;
	if (fns_rng_below(&w->rng, 12) == 0)
		p.b = p.a; /* to itself */
	return p;
}

/* Who is connected with whom; the first of each pair is the one that posts when only one does. */
static uint32_t draw_pairs(struct sim_world *w, struct pair *pair)
{
	uint32_t n, i, k, t, circle[SIM_HOSTS], hosts = w->nhosts;

	n = (uint32_t)sim_rand(&w->rng, w->p.pairs_lo, w->p.pairs_hi);
	fns_assert(n <= MAX_PAIRS);
	for (i = 0; i < hosts; i++) {
		k = (uint32_t)fns_rng_below(&w->rng, i + 1);
		t = circle[k];
		circle[k] = i;
		circle[i] = k == i ? i : t;
	}
	for (i = 0; i < n; i++)
		switch (w->p.pattern) {
		case SIM_TO_FIRST:
			pair[i] = (struct pair){1 + i % (hosts - 1), 0};
			break;
		case SIM_TO_OTHER_HALF:
			pair[i] = (struct pair){i % (hosts / 2), hosts / 2 + i % (hosts / 2)};
			break;
		case SIM_PERMUTATION:
			pair[i] = (struct pair){circle[i % hosts], circle[(i + 1) % hosts]};
			break;
		default:
			pair[i] = any_pair(w);
			break;
		}
	return n;
}

static void setup(struct sim_world *w)
{
	struct pair pair[MAX_PAIRS];
	uint32_t count[SIM_HOSTS] = {0}, n, i, k;

	draw_network(w);
	n = draw_pairs(w, pair);
	for (i = 0; i < n; i++) {
		count[pair[i].a]++;
		count[pair[i].b]++;
	}
	for (i = 0; i < w->nhosts; i++) {
		struct sim_host *h = sim_host_create(w, i, count[i]);
		uint32_t srq = w->p.srq ? (uint32_t)sim_rand(&h->rng, 4, 40) : 0;
		uint32_t need = count[i] * 2 * h->depth + srq + 1;
		uint32_t ncq = (uint32_t)sim_rand(&h->rng, 1, 3);

		for (k = 0; k < ncq; k++)
			sim_cq_create(h, 31u - (uint32_t)__builtin_clz(fns_pow2_ceil(need)));
		if (srq) {
			h->srecv_len = FNS_MIN(w->p.max_len, 8192);
			sim_srq_create(h, srq);
		}
	}
	for (i = 0; i < n && !w->failed; i++)
		setup_pair(w, &pair[i], w->p.cq_overrun && i == 0);
}

static bool finished(const struct sim_world *w)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++) {
		const struct sim_host *h = w->host[i];

		if (h->dead)
			continue;
		for (k = 0; k < h->nqp; k++)
			if (!h->qp[k]->scq->never_poll && !sim_qp_finished(h->qp[k]))
				return false;
	}
	return true;
}

static void blame(struct sim_world *w, const char *what)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++)
		for (k = 0; k < w->host[i]->nqp; k++) {
			const struct sim_qp *q = w->host[i]->qp[k];

			if (!w->host[i]->dead && !q->scq->never_poll && !sim_qp_finished(q))
				sim_fail(w,
					"%s: qp %06x has posted %u of %u, retired %u, %u of %u messages received; receives "
					"%u of %u used; host's ring %u/%u",
					what, q->qpn, q->posted, q->todo, q->retired, q->out_done,
					q->nout, q->rdone, q->rposted,
					w->host[i]->produced - atomic_load(&w->host[i]->sq->credit),
					w->host[i]->nslots);
		}
	sim_fail(w, "%s", what);
}

static void work(struct sim_world *w)
{
	uint64_t start = w->now,
		 limit = w->now + (w->scenario->limit_ns ? w->scenario->limit_ns : LIMIT_NS);

	/* whether all is done needs a look at every queue pair: not after every event */
	while (!w->failed && ((w->events & 15 && w->nheap) || !finished(w))) {
		if (w->now > limit)
			blame(w, "not done in time");
		else if (!sim_step(w))
			blame(w, "nothing happens any more");
		else if (w->swap_cc)
			sim_swap(w);
	}
	w->work_ns = w->now - start;
}

void sim_expect_failure(struct sim_qp *q)
{
	q->broken = q->peer->broken = true;
}

/* --- the end --- */

static void fall_silent(struct sim_world *w)
{
	unsigned i, k;

	w->quiet = true;
	sim_until(w, w->now + 3 * FNS_NSEC_PER_SEC);
	for (i = 0; i < w->nhosts && !w->failed; i++) {
		struct sim_host *h = w->host[i];

		if (h->dead)
			continue;
		for (k = 0; k < h->ncq; k++)
			if (h->cq[k].events && h->cq[k].consumed != 0 &&
				(atomic_load(&h->cq[k].ring
						      ->entry[h->cq[k].consumed &
							      ((1u << h->cq[k].log2) - 1)]
						      .phase) &
					1) == ((h->cq[k].consumed >> h->cq[k].log2 & 1) ^ 1))
				sim_fail(w,
					"host %u: completion queue %u holds something and raised no event",
					i, k);
		/* Who never polls posts no receives either, and his peer tries for ever. */
		if (fns_engine_next(h->e) != UINT64_MAX && !w->p.cq_overrun)
			sim_fail(w,
				"host %u: with nothing left to do, the engine wants to run at %llu",
				i, (unsigned long long)fns_engine_next(h->e));
		sim_host_check_leaks(h);
	}
	if (!w->failed && w->alive_packets)
		sim_fail(w, "%llu packets are still somewhere",
			(unsigned long long)w->alive_packets);
}

static void flush_all(struct sim_world *w)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++)
		for (k = 0; k < w->host[i]->nqp; k++) {
			struct sim_qp *q = w->host[i]->qp[k];

			if (q->alive && !w->host[i]->dead) {
				q->broken = true;
				if (sim_qp_state(q, FNS_QPS_ERR) != 0)
					sim_fail(w, "qp %06x: cannot go to ERR", q->qpn);
			}
		}
	sim_until(w, w->now + 10 * FNS_NSEC_PER_MSEC);
	for (i = 0; i < w->nhosts && !w->failed; i++)
		for (k = 0; k < w->host[i]->nqp; k++) {
			struct sim_qp *q = w->host[i]->qp[k];

			if (!q->alive || w->host[i]->dead || q->scq->never_poll)
				continue;
			if (q->retired != q->posted || (!q->use_srq && q->rdone != q->rposted))
				sim_fail(w,
					"qp %06x: in ERR, %u sends and %u receives were not flushed",
					q->qpn, q->posted - q->retired, q->rposted - q->rdone);
		}
}

static void take_back(struct sim_host *h, uint32_t op, uint32_t handle)
{
	struct fns_ctl m = {.op = op, .handle = handle};

	if (handle && sim_ctl_wait(h, &m) != 0)
		sim_fail(h->w, "host %u: control operation %u of handle %u gives %d", h->idx, op,
			handle, m.result);
}

static void host_take_back(struct sim_host *h)
{
	unsigned i;

	for (i = 0; i < h->nqp && !h->w->failed; i++) {
		if (h->qp[i]->alive)
			sim_qp_destroy(h->qp[i]);
		take_back(h, FNS_CTL_AH_DESTROY, h->qp[i]->ah);
	}
	take_back(h, FNS_CTL_SRQ_DESTROY, h->srq.handle);
	for (i = 0; i < SIM_MRS - 0u && !h->w->failed; i++)
		take_back(h, FNS_CTL_MR_DEREG, h->mr[i].handle);
	for (i = 0; i < h->ncq && !h->w->failed; i++) {
		sim_poll(h, &h->cq[i]);
		take_back(h, FNS_CTL_CQ_DESTROY, h->cq[i].handle);
	}
	take_back(h, FNS_CTL_PD_DESTROY, h->pd2);
	take_back(h, FNS_CTL_PD_DESTROY, h->pd);
	take_back(h, FNS_CTL_CLIENT_CLOSE, h->client);
	h->taken_back = true;
}

static void stats_check(struct sim_host *h)
{
	uint64_t wc = atomic_load(&h->stats->counter[FNS_C_wc_success]) +
		      atomic_load(&h->stats->counter[FNS_C_wc_error]);

	if (!h->w->p.cq_overrun && wc != h->cqes)
		sim_fail(h->w,
			"host %u: the engine counts %llu completions, the application saw %llu",
			h->idx, (unsigned long long)wc, (unsigned long long)h->cqes);
	if (atomic_load(&h->stats->counter[FNS_C_sq_bad_descriptors]) != 0)
		sim_fail(h->w, "host %u: the engine refused descriptors", h->idx);
	if (atomic_load(&h->stats->qps) != 0)
		sim_fail(h->w, "host %u: statistics say that %llu queue pairs live", h->idx,
			(unsigned long long)atomic_load(&h->stats->qps));
}

static void the_end(struct sim_world *w)
{
	unsigned i;

	w->ending = true;
	if (!w->failed && fns_rng_below(&w->rng, 2))
		flush_all(w);
	for (i = 0; i < w->nhosts && !w->failed; i++)
		if (!w->host[i]->dead &&
			fns_rng_below(&w->rng, 8)) /* else the engine destroys what is left */
			host_take_back(w->host[i]);
	for (i = 0; i < w->nhosts && !w->failed; i++)
		if (w->host[i]->taken_back)
			stats_check(w->host[i]);
	if (!w->failed)
		sim_check_end(w);
}

static void world_destroy(struct sim_world *w)
{
	unsigned i;

	for (i = 0; i < w->nheap; i++)
		free(w->heap[i].pkt);
	w->nheap = 0;
	for (i = 0; i < w->nhosts; i++)
		if (w->host[i])
			sim_host_destroy(w->host[i]);
	sim_net_fini(w);
	free(w->heap);
	free(w->msg);
	free(w->tmp);
	free(w);
}

static void sum_up(struct sim_world *w, struct sim_result *r)
{
	unsigned i;

	*r = (struct sim_result){.hash = w->hash,
		.now_ns = w->now,
		.events = w->events,
		.packets = w->packets,
		.wrs = w->wrs,
		.errors = w->errors,
		.work_ns = w->work_ns,
		.swaps = w->swaps,
		.net = w->net.stats};
	for (i = 0; i < w->nhosts; i++) {
		r->timeouts += atomic_load(&w->host[i]->stats->counter[FNS_C_rc_timeouts]);
		r->retransmits += atomic_load(&w->host[i]->stats->counter[FNS_C_rc_retransmits]);
	}
}

bool sim_run(
	const struct sim_scenario *s, uint64_t seed, int dma, FILE *trace, struct sim_result *r)
{
	struct sim_world *w = world_create(s, seed, dma, trace);
	bool failed;

	setup(w);
	if (!w->failed && s->start)
		s->start(w);
	if (!w->failed)
		work(w);
	if (!w->failed)
		fall_silent(w);
	if (!w->failed && s->finish)
		s->finish(w);
	if (!w->failed)
		the_end(w);
	sum_up(w, r);
	/* engines and wires go last and may still object */
	for (unsigned i = 0; i < w->nheap; i++)
		free(w->heap[i].pkt);
	w->nheap = 0;
	for (unsigned i = 0; i < w->nhosts; i++) {
		sim_host_destroy(w->host[i]);
		w->host[i] = NULL;
	}
	failed = w->failed;
	r->failed = failed;
	memcpy(r->failure, w->failure, sizeof(r->failure));
	world_destroy(w);
	return !failed;
}
