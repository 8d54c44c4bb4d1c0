/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios with selective repeat (docs/irn.md): those of the reliable connection again, between
 * hosts that agree on it, and what it is for: long transfers over a network that loses packets.
 * Part of the table of scenario.c.
 */
#include "sim/sim.h"

static void agree(struct sim_world *w, struct sim_params *p)
{
	p->irn = true;
	p->hello = SIM_HELLO_TRUE;
	p->hello_ns = (uint32_t)sim_rand(&w->rng, 10, 50000);
}

/* The scenario rc_NAME, but for the scheme. */
#define AGAIN(name, base)                                                                          \
	static void name##_params(struct sim_world *w, struct sim_params *p)                       \
	{                                                                                          \
		sim_scenario_find(base)->params(w, p);                                             \
		agree(w, p);                                                                       \
	}                                                                                          \
	static void name##_start(struct sim_world *w)                                              \
	{                                                                                          \
		if (sim_scenario_find(base)->start)                                                \
			sim_scenario_find(base)->start(w);                                         \
	}                                                                                          \
	static void name##_action(struct sim_world *w, uint32_t what)                              \
	{                                                                                          \
		sim_scenario_find(base)->action(w, what);                                          \
	}                                                                                          \
	static void name##_finish(struct sim_world *w)                                             \
	{                                                                                          \
		if (sim_scenario_find(base)->finish)                                               \
			sim_scenario_find(base)->finish(w);                                        \
	}

AGAIN(clean, "rc_clean")
AGAIN(lossy, "rc_loss")
AGAIN(dup, "rc_dup_reorder")
AGAIN(ghosts, "rc_ghosts")
AGAIN(corrupt, "rc_corrupt")
AGAIN(all, "rc_all_faults")
AGAIN(rnr, "rc_rnr")
AGAIN(rnr_exceeded, "rc_rnr_exceeded")
AGAIN(partition, "rc_partition_heals")
AGAIN(vanish, "rc_retry_exceeded")
AGAIN(protection, "rc_protection_errors")
AGAIN(lkey, "rc_lkey_errors")
AGAIN(recv_small, "rc_recv_too_small")
AGAIN(many, "rc_many_qps")
AGAIN(incast, "rc_incast")
AGAIN(srq, "srq_shared")
AGAIN(reuse, "rc_modify_reset_reuse")
AGAIN(destroy, "destroy_under_load")
AGAIN(sqd, "rc_sqd")
AGAIN(dereg, "mr_dereg_under_load")
AGAIN(overrun, "cq_overrun")
AGAIN(dma_failures, "dma_failures")
AGAIN(wrap, "psn_wrap")
AGAIN(pause, "stop_the_clock")
AGAIN(spine, "net_spine_fails")

/* The same, and packets are lost: what a gap does to errors and the ends of queue pairs. */
#define AGAIN_LOSSY(name, base)                                                                    \
	AGAIN(name, base)                                                                          \
	static void name##_loss(struct sim_world *w, struct sim_params *p)                         \
	{                                                                                          \
		name##_params(w, p);                                                               \
		p->loss_ppm = (uint32_t)sim_rand(&w->rng, 5000, 100000);                           \
		p->reorder_ppm = (uint32_t)sim_rand(&w->rng, 0, 100000);                           \
		p->timeout_lo = FNS_MIN(p->timeout_lo, p->timeout_hi);                             \
	}

AGAIN_LOSSY(l_reuse, "rc_modify_reset_reuse")
AGAIN_LOSSY(l_destroy, "destroy_under_load")
AGAIN_LOSSY(l_sqd, "rc_sqd")
AGAIN_LOSSY(l_dereg, "mr_dereg_under_load")
AGAIN_LOSSY(l_dma_failures, "dma_failures")
AGAIN_LOSSY(l_wrap, "psn_wrap")
AGAIN_LOSSY(l_many, "rc_many_qps")
AGAIN_LOSSY(l_srq, "srq_shared")

/* --- what it is for --- */

/* One flow at 100 Gb/s, 10 us there and back, bulk. */
static void p_long(struct sim_world *w, struct sim_params *p)
{
	agree(w, p);
	p->hello_ns = 10;
	p->topo = "pair";
	p->pattern = SIM_TO_FIRST;
	p->pairs_lo = p->pairs_hi = 1;
	p->one_sided = p->wide = p->greedy = true;
	p->rcvbuf = 4u << 20;
	p->full_ppm = p->jitter_ns = p->loss_ppm = 0;
	p->egress_bytes = 0;
	p->ps_per_byte = 80;
	p->delay_ns = 5000;
	p->pace_ns = 50;
	p->max_len = 16384;
	p->bulk_ppm = 1000000;
	p->wrs_lo = p->wrs_hi = 3000;
	p->timeout_lo = p->timeout_hi = 9;
	for (unsigned i = 0; i < SIM_W_COUNT; i++)
		p->weight[i] = i == SIM_W_WRITE;
}

static void p_long_loss(struct sim_world *w, struct sim_params *p)
{
	p_long(w, p);
	p->loss_ppm = 10000;
}

static void p_long_gbn(struct sim_world *w, struct sim_params *p)
{
	p_long_loss(w, p);
	p->irn = false;
}

static void p_long_read(struct sim_world *w, struct sim_params *p)
{
	p_long_loss(w, p);
	p->weight[SIM_W_WRITE] = 0;
	p->weight[SIM_W_READ] = 1;
}

#define S(name, text, p)                                                                           \
	{                                                                                          \
		"irn_" #name, text, p, name##_start, name##_action, name##_finish, 0               \
	}
#define SAME(name, text)  S(name, text, name##_params)
#define LOSSY(name, text) S(name, text, name##_loss)

const struct sim_scenario sim_irn_scenarios[] = {
	SAME(clean, "selective repeat: no faults"),
	SAME(lossy, "... packets are lost"),
	SAME(dup, "... packets are repeated and overtake each other"),
	SAME(ghosts, "... packets come back milliseconds late"),
	SAME(corrupt, "... bits flip on the way"),
	SAME(all, "... all of it, with a busy wire and late receives"),
	SAME(rnr, "... receives are posted late"),
	SAME(rnr_exceeded, "... receives are never posted"),
	SAME(partition, "... hosts cannot reach each other for a while"),
	SAME(vanish, "... a host vanishes"),
	SAME(protection, "... remote keys, bounds, rights, domains are wrong"),
	SAME(lkey, "... local keys, bounds, rights, domains are wrong"),
	SAME(recv_small, "... a message does not fit its receive"),
	SAME(many, "... many queue pairs share hosts"),
	SAME(incast, "... many senders overrun one receiver's buffer"),
	SAME(srq, "... queue pairs share a receive queue"),
	SAME(reuse, "... queue pairs are reset under load and used again"),
	SAME(destroy, "... queue pairs are destroyed under load"),
	SAME(sqd, "... send queues drain and go on"),
	SAME(dereg, "... memory is deregistered under load"),
	SAME(overrun, "... a completion queue is never polled"),
	SAME(dma_failures, "... access to application memory fails"),
	SAME(wrap, "... packet sequence numbers wrap"),
	SAME(pause, "... a host stands still for 200 ms"),
	SAME(spine, "... links to a spine go down"),
	LOSSY(l_reuse, "... reset under load, with loss"),
	LOSSY(l_destroy, "... destroyed under load, with loss"),
	LOSSY(l_sqd, "... send queues drain, with loss"),
	LOSSY(l_dereg, "... memory is deregistered, with loss"),
	LOSSY(l_dma_failures, "... access to memory fails, with loss"),
	LOSSY(l_wrap, "... packet sequence numbers wrap, with loss"),
	LOSSY(l_many, "... many queue pairs, with loss: gaps compete for room"),
	LOSSY(l_srq, "... a shared receive queue, with loss"),
	{"irn_long", "... one long flow", p_long, NULL, NULL, NULL, 0},
	{"irn_long_loss", "... one long flow, 1 % lost", p_long_loss, NULL, NULL, NULL, 0},
	{"irn_long_read", "... one long flow of READs, 1 % lost", p_long_read, NULL, NULL, NULL, 0},
	{"irn_long_gbn", "go back N, one long flow, 1 % lost", p_long_gbn, NULL, NULL, NULL, 0},
};
const unsigned sim_irn_nscenarios = FNS_ARRAY_SIZE(sim_irn_scenarios);
