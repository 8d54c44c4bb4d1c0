/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of scenarios: what is drawn from the seed, what goes wrong and when, and what must hold
 * beyond the invariants of every run. A bug found in the field becomes a line here, or a seed in
 * tests/sim.
 */
#include "sim/sim.h"

#include <errno.h>
#include <string.h>

#define MS FNS_NSEC_PER_MSEC

static uint32_t ppm(struct sim_world *w, uint32_t lo, uint32_t hi)
{
	return (uint32_t)sim_rand(&w->rng, lo, hi);
}

static void later(struct sim_world *w, uint64_t delay_ns, uint32_t what)
{
	sim_push(w, w->now + delay_ns, SIM_EV_ACTION, 0, what, NULL);
}

static struct sim_qp *any_qp(struct sim_world *w)
{
	struct sim_host *h;

	do
		h = w->host[fns_rng_below(&w->rng, w->nhosts)];
	while (!h->nqp);
	return h->qp[fns_rng_below(&w->rng, h->nqp)];
}

/* --- parameters --- */

static void p_none(struct sim_world *w, struct sim_params *p)
{
}

static void p_loss(struct sim_world *w, struct sim_params *p)
{
	p->loss_ppm = ppm(w, 500, 50000);
}

static void p_dup_reorder(struct sim_world *w, struct sim_params *p)
{
	p->dup_ppm = ppm(w, 1000, 100000);
	p->reorder_ppm = ppm(w, 1000, 100000);
	p->reorder_ns = ppm(w, 500, 100000);
}

static void p_ghosts(struct sim_world *w, struct sim_params *p)
{
	p_dup_reorder(w, p);
	p->reorder_ns = ppm(w, 1000000, 20000000);
	p->timeout_lo = 12;
}

static void p_corrupt(struct sim_world *w, struct sim_params *p)
{
	p->corrupt_ppm = ppm(w, 1000, 50000);
}

static void p_all_faults(struct sim_world *w, struct sim_params *p)
{
	p_dup_reorder(w, p);
	p->loss_ppm = ppm(w, 500, 30000);
	p->corrupt_ppm = ppm(w, 500, 20000);
	p->full_ppm = ppm(w, 0, 300000);
	p->late_recv_ppm = fns_rng_below(&w->rng, 2) ? 0 : ppm(w, 100000, 800000);
	p->port_bytes = fns_rng_below(&w->rng, 2) ? 0 : 100000;
	p->ecn_bytes = 20000;
}

static void p_rnr(struct sim_world *w, struct sim_params *p)
{
	p->late_recv_ppm = ppm(w, 300000, 900000);
	p->weight[SIM_W_SEND] = 8;
	if (fns_rng_below(&w->rng, 2))
		p->loss_ppm = ppm(w, 0, 20000);
}

static void p_rnr_exceeded(struct sim_world *w, struct sim_params *p)
{
	p->no_recv = true;
	p->rnr_retry = (uint8_t)fns_rng_below(&w->rng, 4);
	p->one_sided = true;
	p->wrs_lo = 10;
}

static void p_protection(struct sim_world *w, struct sim_params *p)
{
	p->bad_lo = SIM_BAD_RKEY;
	p->bad_hi = SIM_BAD_QP_ACCESS;
	p->rcvbuf = 0;
	p->timeout_hi = 10;
}

static void p_lkey(struct sim_world *w, struct sim_params *p)
{
	p->bad_lo = SIM_BAD_LKEY;
	p->bad_hi = SIM_BAD_LACCESS;
	p->rcvbuf = 0;
	p->timeout_hi = 10;
}

static void p_recv_small(struct sim_world *w, struct sim_params *p)
{
	p->bad_lo = SIM_BAD_RECV_SMALL;
	p->bad_hi = SIM_BAD_RECV_LKEY;
	p->rcvbuf = 0;
	p->timeout_hi = 10;
	p->max_len = 8192;
}

static void p_many(struct sim_world *w, struct sim_params *p)
{
	p->pairs_lo = 12;
	p->pairs_hi = 20;
	p->hosts_hi = 4;
	p->wrs_hi = 20;
	p->max_len = 4096;
	if (fns_rng_below(&w->rng, 2))
		p->loss_ppm = ppm(w, 0, 10000);
}

static void p_incast(struct sim_world *w, struct sim_params *p)
{
	p->pattern = SIM_TO_FIRST;
	p->one_sided = true;
	p->hosts_lo = 5;
	p->hosts_hi = 8;
	p->pairs_lo = 6;
	p->pairs_hi = 12;
	p->max_len = 32768;
	p->wrs_lo = 10;
	p->wrs_hi = 30;
	p->weight[SIM_W_READ] = 0;
	p->weight[SIM_W_WRITE] = 12;
	p->bulk_ppm = 300000;
	p->ps_per_byte = 80;
	p->full_ppm = 0;
	p->timeout_lo = p->timeout_hi = 14;
	p->pace_ns = 1000;
}

static void p_uc(struct sim_world *w, struct sim_params *p)
{
	p_all_faults(w, p);
	p->type = FNS_QPT_UC;
	p->max_len = 16384;
	p->srq = fns_rng_below(&w->rng, 3) == 0;
}

static void p_uc_errors(struct sim_world *w, struct sim_params *p)
{
	static const uint8_t kinds[] = {
		SIM_BAD_LKEY, SIM_BAD_LBOUNDS, SIM_BAD_LPD, SIM_BAD_RECV_SMALL, SIM_BAD_RECV_LKEY};

	p->type = FNS_QPT_UC;
	p->max_len = 16384;
	p->rcvbuf = 0;
	p->bad_lo = p->bad_hi = kinds[fns_rng_below(&w->rng, FNS_ARRAY_SIZE(kinds))];
}

static void p_ud(struct sim_world *w, struct sim_params *p)
{
	p_all_faults(w, p);
	p->type = FNS_QPT_UD;
	p->srq = fns_rng_below(&w->rng, 3) == 0;
	p->max_len = 4096;
}

static void p_srq(struct sim_world *w, struct sim_params *p)
{
	p->srq = true;
	p->max_len = 8192;
	p->pairs_hi = 8;
	if (fns_rng_below(&w->rng, 2))
		p->loss_ppm = ppm(w, 0, 20000);
	p->late_recv_ppm = fns_rng_below(&w->rng, 2) ? 0 : 500000;
}

static void p_overrun(struct sim_world *w, struct sim_params *p)
{
	p->cq_overrun = true;
	p->pairs_lo = 2;
	p->timeout_hi = 10;
}

static void p_dma_failures(struct sim_world *w, struct sim_params *p)
{
	p->dma_fail_ppm = ppm(w, 500, 50000);
	p->frame_fault_ppm = ppm(w, 500, 20000);
	p->timeout_hi = 10;
}

static void p_psn_wrap(struct sim_world *w, struct sim_params *p)
{
	p->psn_wrap = true;
	p->wrs_lo = 20;
	if (fns_rng_below(&w->rng, 2))
		p->loss_ppm = ppm(w, 0, 30000);
}

static void p_all_or_none(struct sim_world *w, struct sim_params *p)
{
	if (fns_rng_below(&w->rng, 2))
		p_loss(w, p);
}

static void p_short(struct sim_world *w, struct sim_params *p)
{
	p->timeout_hi = 10;
}

static void p_pause(struct sim_world *w, struct sim_params *p)
{
	p->timeout_lo = 14; /* retries outlast the pause */
	p->timeout_hi = 15;
}

/* --- partitions and pauses --- */

static void partition_start(struct sim_world *w)
{
	w->scratch[0] = (uint32_t)sim_rand(&w->rng, 1, (1u << w->nhosts) - 2);
	later(w, sim_rand(&w->rng, 1000, 300000), 1);
}

static void partition_action(struct sim_world *w, uint32_t what)
{
	w->net.side = what == 1 ? w->scratch[0] : 0;
	if (what == 1)
		later(w, sim_rand(&w->rng, 10000, 4 * MS), 2);
	else if (w->scratch[1]++ < 2)
		later(w, sim_rand(&w->rng, 1000, 300000), 1);
}

static void pause_start(struct sim_world *w)
{
	later(w, sim_rand(&w->rng, 1000, 300000), 1);
}

static void pause_action(struct sim_world *w, uint32_t what)
{
	w->host[fns_rng_below(&w->rng, w->nhosts)]->paused_until = w->now + 200 * MS;
}

/* --- a peer that vanishes --- */

static void vanish_action(struct sim_world *w, uint32_t what)
{
	struct sim_host *dead = w->host[fns_rng_below(&w->rng, w->nhosts)];
	unsigned i;

	dead->dead = true;
	sim_wire_flush(dead);
	for (i = 0; i < dead->nqp; i++)
		sim_expect_failure(dead->qp[i]);
	w->scratch[0] = 1 + dead->idx;
}

static void vanish_finish(struct sim_world *w)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++)
		for (k = 0; k < w->host[i]->nqp; k++) {
			struct sim_qp *q = w->host[i]->qp[k];

			if (!w->host[i]->dead && q->broken && q->failed &&
				sim_qp_query(q) != FNS_QPS_ERR)
				sim_fail(w, "qp %06x: failed, and is in state %d", q->qpn,
					sim_qp_query(q));
		}
}

static void rnr_exceeded_start(struct sim_world *w)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++)
		for (k = 0; k < w->host[i]->nqp; k++)
			sim_expect_failure(w->host[i]->qp[k]);
}

/* --- errors on purpose: both ends must end in ERR, the wrong request must have been seen --- */

static void bad_finish(struct sim_world *w)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++)
		for (k = 0; k < w->host[i]->nqp; k++) {
			struct sim_qp *q = w->host[i]->qp[k];

			uint8_t end = q->type == FNS_QPT_RC ? FNS_QPS_ERR : FNS_QPS_SQE;

			if (!q->expect_bad ||
				(q->type != FNS_QPT_RC && q->expect_bad == SIM_BAD_RECV_SMALL))
				continue;
			if (!q->failed || sim_qp_query(q) != end)
				sim_fail(w,
					"qp %06x: posted a wrong request (kind %u) and is in state %d",
					q->qpn, q->expect_bad, sim_qp_query(q));
			if (q->bad_seen &&
				(sim_bad_remote(q->expect_bad) ||
					q->expect_bad == SIM_BAD_RECV_SMALL) &&
				sim_qp_query(q->peer) != FNS_QPS_ERR)
				sim_fail(w,
					"qp %06x: refused a request (kind %u) and is in state %d",
					q->peer->qpn, q->expect_bad, sim_qp_query(q->peer));
			if (q->expect_bad == SIM_BAD_RECV_SMALL && q->bad_seen &&
				!(q->peer->recv_seen & 2))
				sim_fail(w,
					"qp %06x: the receive that was too small did not complete",
					q->peer->qpn);
		}
}

/* --- incast: dropped packets are found by NAKs and probes, seldom by timeouts --- */

static void incast_start(struct sim_world *w)
{
	later(w, sim_rand(&w->rng, 1000, 20000), 1);
}

/* The receiver is not scheduled for a while, again and again. */
static void incast_action(struct sim_world *w, uint32_t what)
{
	w->host[0]->paused_until = w->now + sim_rand(&w->rng, 20000, 150000);
	if (w->scratch[0]++ < 30)
		later(w, sim_rand(&w->rng, 50000, 300000), 1);
}

static void incast_finish(struct sim_world *w)
{
	uint64_t timeouts = 0;
	unsigned i;

	for (i = 0; i < w->nhosts; i++)
		timeouts += atomic_load(&w->host[i]->stats->counter[FNS_C_rc_timeouts]);
	if (timeouts > 2 + w->packets / 200)
		sim_fail(w, "%llu timeouts for %llu packets", (unsigned long long)timeouts,
			(unsigned long long)w->packets);
}

/* --- reset and used again --- */

static void drain_recvs(struct sim_qp *q)
{
	while (q->rdone != q->rposted) {
		struct sim_recv *r = &q->recv[q->rdone++ % SIM_DEPTH];

		sim_settle(q->host, r->base, r->units);
		sim_free(q->host, r->base, r->units);
	}
}

static void reuse_action(struct sim_world *w, uint32_t what)
{
	struct sim_qp *q = any_qp(w), *end[2] = {q, q->peer};
	unsigned i;

	if (!q->alive || q->stopped || q->peer->stopped)
		return;
	sim_expect_failure(q);
	for (i = 0; i < 2; i++) {
		end[i]->stopped = true;
		if (fns_rng_below(&w->rng, 2) && sim_qp_state(end[i], FNS_QPS_ERR) != 0)
			sim_fail(w, "qp %06x: cannot go to ERR", end[i]->qpn);
	}
	for (i = 0; i < 2; i++)
		if (sim_qp_state(end[i], FNS_QPS_RESET) != 0)
			sim_fail(w, "qp %06x: cannot be reset", end[i]->qpn);
	/* completions written before the reset; then whatever the network still holds */
	for (i = 0; i < 2; i++) {
		sim_poll(end[i]->host, end[i]->scq);
		sim_poll(end[i]->host, end[i]->rcq);
	}
	sim_until(w, w->now + 1 * MS);
	for (i = 0; i < 2 && !w->failed; i++) {
		struct sim_qp *e = end[i];
		uint64_t cq = atomic_load(&e->host->stats->counter[FNS_C_wc_success]);

		(void)cq;
		sim_qp_abandon(e);
		drain_recvs(e);
		e->retired = e->posted = e->rdone = e->rposted = 0;
		e->nout = e->out_done = 0;
		e->failed = e->broken = false;
		e->recv_seen = 0;
		e->cell_words = 0;
		e->todo = (uint32_t)sim_rand(&w->rng, 5, 30);
		sim_qp_init(e);
	}
	if (w->failed)
		return;
	sim_qp_connect(q, q->peer);
	for (i = 0; i < 2; i++) {
		end[i]->stopped = false;
		sim_app_later(end[i], fns_rng_below(&w->rng, 5000));
	}
	if (w->scratch[0]++ < 3)
		later(w, sim_rand(&w->rng, 1000, 500000), 1);
}

static void reuse_start(struct sim_world *w)
{
	later(w, sim_rand(&w->rng, 1000, 200000), 1);
}

/* --- destroyed in the middle of it --- */

static void destroy_action(struct sim_world *w, uint32_t what)
{
	struct sim_qp *q = any_qp(w);

	if (q->alive) {
		sim_expect_failure(q);
		q->stopped = true;
		sim_qp_destroy(q);
	}
	if (w->scratch[0]++ < 2)
		later(w, sim_rand(&w->rng, 1000, 200000), 1);
}

/* --- the send queue drains and goes on --- */

static void sqd_action(struct sim_world *w, uint32_t what)
{
	struct sim_qp *q = what == 1 ? any_qp(w) : w->host[what >> 16]->qp[what & 0xff];

	if (what != 1) {
		if (sim_qp_state(q, FNS_QPS_RTS) != 0)
			sim_fail(w, "qp %06x: cannot go from SQD to RTS", q->qpn);
	} else if (sim_qp_query(q) == FNS_QPS_RTS) {
		if (sim_qp_state(q, FNS_QPS_SQD) != 0)
			sim_fail(w, "qp %06x: cannot go to SQD", q->qpn);
		later(w, sim_rand(&w->rng, 100, 300000), q->host->idx << 16 | 0x100 | q->idx);
	}
	if (what == 1 && w->scratch[0]++ < 20)
		later(w, sim_rand(&w->rng, 1000, 50000), 1);
}

/* --- memory is deregistered under load: from then on nobody may touch it --- */

static void dereg_action(struct sim_world *w, uint32_t what)
{
	struct sim_host *h = w->host[fns_rng_below(&w->rng, w->nhosts)];
	struct fns_ctl m = {.op = FNS_CTL_MR_DEREG, .handle = h->mr[SIM_MR_MAIN].handle};
	unsigned i;

	for (i = 0; i < h->nqp; i++)
		sim_expect_failure(h->qp[i]);
	if (sim_ctl_wait(h, &m) != 0)
		sim_fail(w, "host %u: deregistration gives %d", h->idx, m.result);
	h->mr[SIM_MR_MAIN].handle = 0;
	for (i = 0; i < h->units; i++)
		if (h->used[i] == 2)
			sim_settle(h, i, 1);
}

/* --- completion queue overrun --- */

static void overrun_start(struct sim_world *w)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++)
		for (k = 0; k < w->host[i]->nqp; k++)
			if (w->host[i]->qp[k]->scq->never_poll) {
				w->host[i]->qp[k]->sig_all |= 0;
				sim_expect_failure(w->host[i]->qp[k]);
			}
}

static void overrun_finish(struct sim_world *w)
{
	unsigned i, k;

	for (i = 0; i < w->nhosts; i++)
		for (k = 0; k < w->host[i]->nqp; k++) {
			struct sim_qp *q = w->host[i]->qp[k];

			if (q->scq->never_poll && q->scq->error && sim_qp_query(q) != FNS_QPS_ERR)
				sim_fail(w,
					"qp %06x: its completion queue overran and it is in state %d",
					q->qpn, sim_qp_query(q));
			if (q->scq->never_poll && q->scq->error)
				w->scratch[1]++;
		}
}

static void all_may_fail(struct sim_world *w)
{
	rnr_exceeded_start(w);
}

static const struct sim_scenario scenarios[] = {
	{"rc_clean", "no faults", p_none, NULL, NULL, NULL, 0},
	{"rc_loss", "packets are lost", p_loss, NULL, NULL, NULL, 0},
	{"rc_dup_reorder", "packets are repeated and overtake each other", p_dup_reorder, NULL,
		NULL, NULL, 0},
	{"rc_ghosts", "packets come back milliseconds late", p_ghosts, NULL, NULL, NULL, 0},
	{"rc_corrupt", "bits flip on the way", p_corrupt, NULL, NULL, NULL, 0},
	{"rc_all_faults", "all of it, with a busy wire and late receives", p_all_faults, NULL, NULL,
		NULL, 0},
	{"rc_rnr", "receives are posted late", p_rnr, NULL, NULL, NULL, 0},
	{"rc_rnr_exceeded", "receives are never posted", p_rnr_exceeded, rnr_exceeded_start, NULL,
		vanish_finish, 0},
	{"rc_partition_heals", "hosts cannot reach each other for a while", p_none, partition_start,
		partition_action, NULL, 0},
	{"rc_retry_exceeded", "a host vanishes", p_short, pause_start, vanish_action, vanish_finish,
		0},
	{"rc_protection_errors", "remote keys, bounds, rights, domains are wrong", p_protection,
		NULL, NULL, bad_finish, 0},
	{"rc_lkey_errors", "local keys, bounds, rights, domains are wrong", p_lkey, NULL, NULL,
		bad_finish, 0},
	{"rc_recv_too_small", "a message does not fit its receive", p_recv_small, NULL, NULL,
		bad_finish, 0},
	{"rc_many_qps", "many queue pairs share hosts", p_many, NULL, NULL, NULL, 0},
	{"rc_incast", "many senders overrun one receiver's buffer", p_incast, incast_start,
		incast_action, incast_finish, 0},
	{"uc_faults", "unreliable connection under all faults", p_uc, NULL, NULL, NULL, 0},
	{"uc_errors", "wrong local keys and receives with unreliable connections", p_uc_errors,
		NULL, NULL, bad_finish, 0},
	{"ud_faults", "datagrams under all faults", p_ud, NULL, NULL, NULL, 0},
	{"srq_shared", "queue pairs share a receive queue", p_srq, NULL, NULL, NULL, 0},
	{"rc_modify_reset_reuse", "queue pairs are reset under load and used again", p_short,
		reuse_start, reuse_action, NULL, 0},
	{"destroy_under_load", "queue pairs are destroyed under load", p_short, reuse_start,
		destroy_action, vanish_finish, 0},
	{"rc_sqd", "send queues drain and go on", p_all_or_none, reuse_start, sqd_action, NULL, 0},
	{"mr_dereg_under_load", "memory is deregistered under load", p_short, reuse_start,
		dereg_action, vanish_finish, 0},
	{"cq_overrun", "a completion queue is never polled", p_overrun, overrun_start, NULL,
		overrun_finish, 0},
	{"dma_failures", "access to application memory fails", p_dma_failures, all_may_fail, NULL,
		NULL, 0},
	{"psn_wrap", "packet sequence numbers wrap", p_psn_wrap, NULL, NULL, NULL, 0},
	{"stop_the_clock", "a host stands still for 200 ms", p_pause, pause_start, pause_action,
		NULL, 0},
};

const struct sim_scenario *sim_scenario_at(unsigned i)
{
	if (i < FNS_ARRAY_SIZE(scenarios))
		return &scenarios[i];
	i -= FNS_ARRAY_SIZE(scenarios);
	if (i < sim_net_nscenarios)
		return &sim_net_scenarios[i];
	i -= sim_net_nscenarios;
	if (i < sim_hello_nscenarios)
		return &sim_hello_scenarios[i];
	i -= sim_hello_nscenarios;
	if (i < sim_cc_nscenarios)
		return &sim_cc_scenarios[i];
	i -= sim_cc_nscenarios;
	return i < sim_irn_nscenarios ? &sim_irn_scenarios[i] : NULL;
}

const struct sim_scenario *sim_scenario_find(const char *name)
{
	const struct sim_scenario *s;
	unsigned i;

	for (i = 0; (s = sim_scenario_at(i)); i++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}
