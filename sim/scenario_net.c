/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios about the network between hosts: queues that fill, drop, mark and pause; flows that
 * compete; ways that fail. Part of the table of scenario.c.
 */
#include "sim/sim.h"

#define MS FNS_NSEC_PER_MSEC

static void later(struct sim_world *w, uint64_t delay_ns, uint32_t what)
{
	sim_push(w, w->now + delay_ns, SIM_EV_ACTION, 0, what, NULL);
}

static uint64_t sum(const struct sim_world *w, enum fns_counter c)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < w->nhosts; i++)
		n += atomic_load(&w->host[i]->stats->counter[c]);
	return n;
}

/* --- parameters: receivers are fast and have room, what is tight is the network --- */

static void p_network(struct sim_world *w, struct sim_params *p)
{
	p->rcvbuf = 0;
	p->full_ppm = 0;
	p->jitter_ns = 0;
	p->egress_bytes = 20000;
	p->max_len = 32768;
	p->ps_per_byte = (uint32_t)sim_rand(&w->rng, 400, 1200);
	p->delay_ns = (uint32_t)sim_rand(&w->rng, 200, 2000);
	p->pace_ns = 1000;
	p->bulk_ppm = 500000;
	p->timeout_lo = p->timeout_hi = 14;
	p->weight[SIM_W_WRITE] = 24;
	p->weight[SIM_W_SEND] = 4;
	p->wrs_lo = 8;
	p->wrs_hi = 32;
}

static void p_tail_drop(struct sim_world *w, struct sim_params *p)
{
	p->port_bytes = (uint32_t)sim_rand(&w->rng, 20000, 200000);
	p->ecn_bytes = p->port_bytes / 4;
}

static void p_pausing(struct sim_world *w, struct sim_params *p)
{
	p->xoff_bytes = (uint32_t)sim_rand(&w->rng, 10000, 60000);
	p->ecn_bytes = p->xoff_bytes / 2;
}

static void p_incast(struct sim_world *w, struct sim_params *p)
{
	p_network(w, p);
	p->pattern = SIM_TO_FIRST;
	p->one_sided = true;
	p->weight[SIM_W_READ] = p->weight[SIM_W_CELL_READ] = 0;
}

static void p_incast8(struct sim_world *w, struct sim_params *p)
{
	p_incast(w, p);
	p->topo = "incast:8";
	p->pairs_lo = 8;
	p->pairs_hi = 16;
}

static void p_incast32(struct sim_world *w, struct sim_params *p)
{
	p_incast(w, p);
	p->topo = "incast:32";
	p->pairs_lo = p->pairs_hi = 32;
	p->wrs_lo = 4;
	p->wrs_hi = 10;
	p->max_len = 16384;
}

static void p_incast8_tail(struct sim_world *w, struct sim_params *p)
{
	p_incast8(w, p);
	p_tail_drop(w, p);
}

static void p_incast8_pause(struct sim_world *w, struct sim_params *p)
{
	p_incast8(w, p);
	p_pausing(w, p);
}

static void p_incast32_tail(struct sim_world *w, struct sim_params *p)
{
	p_incast32(w, p);
	p_tail_drop(w, p);
}

static void p_incast32_pause(struct sim_world *w, struct sim_params *p)
{
	p_incast32(w, p);
	p_pausing(w, p);
}

static void p_ecn(struct sim_world *w, struct sim_params *p)
{
	p_incast8(w, p);
	p->ecn_bytes = (uint32_t)sim_rand(&w->rng, 2000, 20000);
}

static void p_dumbbell(struct sim_world *w, struct sim_params *p)
{
	p_network(w, p);
	p->topo = fns_rng_below(&w->rng, 2) ? "dumbbell:4" : "dumbbell:2";
	p->pattern = SIM_TO_OTHER_HALF;
	p->pairs_lo = 4;
	p->pairs_hi = 8;
	p->fabric_ps_per_byte = p->ps_per_byte * (uint32_t)sim_rand(&w->rng, 1, 3);
	p_tail_drop(w, p);
}

static void p_dumbbell_pause(struct sim_world *w, struct sim_params *p)
{
	p_dumbbell(w, p);
	p->port_bytes = 0;
	p_pausing(w, p);
}

static void p_leaf_spine(struct sim_world *w, struct sim_params *p)
{
	static const char *const topo[] = {
		"leaf-spine:2x2x4", "leaf-spine:4x2x2", "leaf-spine:4x4x2", "leaf-spine:2x3x3"};

	p_network(w, p);
	p->topo = topo[fns_rng_below(&w->rng, FNS_ARRAY_SIZE(topo))];
	p->pattern = SIM_PERMUTATION;
	p->pairs_lo = 6;
	p->pairs_hi = 12;
	p->fabric_ps_per_byte = p->ps_per_byte * (uint32_t)sim_rand(&w->rng, 1, 3);
	p_tail_drop(w, p);
}

static void p_pair(struct sim_world *w, struct sim_params *p)
{
	p->topo = "pair";
	p->timeout_lo = 11;
}

/* --- what must hold --- */

static void paused_finish(struct sim_world *w)
{
	unsigned i;
	uint64_t drops = 0;

	for (i = 0; i < SIM_DROPS; i++)
		drops += w->net.stats.drop[i];
	if (drops)
		sim_fail(w, "%llu packets dropped, though switches pause and links are whole",
			(unsigned long long)drops);
	if (sum(w, FNS_C_rc_timeouts))
		sim_fail(w, "%llu timeouts, though nothing was lost",
			(unsigned long long)sum(w, FNS_C_rc_timeouts));
	for (i = 0; i < w->net.nports; i++)
		if (w->net.port[i].paused || w->net.port[i].held)
			sim_fail(w, "port %u is paused for ever", i);
}

static void ecn_finish(struct sim_world *w)
{
	const struct sim_net_stats *s = &w->net.stats;

	if (s->ecn_marked != s->ecn_seen)
		sim_fail(w, "%llu packets were marked, %llu marks arrived",
			(unsigned long long)s->ecn_marked, (unsigned long long)s->ecn_seen);
	if (w->p.no_ect && !w->swap_cc && s->ecn_marked)
		sim_fail(w, "packets were marked whose senders do not know ECN");
}

/* --- links that fail --- */

enum {
	FAIL = 1,
	REROUTE,
	HEAL,
	FLAP_DOWN,
	FLAP_UP
};

static void spine_start(struct sim_world *w)
{
	struct sim_topo t;

	if (!sim_topo_parse(w->p.topo, &t))
		return;
	w->scratch[0] = sim_net_switch(&w->net, (unsigned)fns_rng_below(&w->rng, t.leaves));
	w->scratch[1] =
		sim_net_switch(&w->net, t.leaves + (unsigned)fns_rng_below(&w->rng, t.spines));
	later(w, sim_rand(&w->rng, 1000, 60000), FAIL);
}

/* A black hole until the routes know of it; the same way back, without loss. */
static void spine_action(struct sim_world *w, uint32_t what)
{
	switch (what) {
	case FAIL:
		sim_net_cut(w, w->scratch[0], w->scratch[1], true);
		later(w, sim_rand(&w->rng, 1000, 3 * MS), REROUTE);
		break;
	case REROUTE:
		sim_net_route(w);
		later(w, sim_rand(&w->rng, 1000, 3 * MS), HEAL);
		break;
	case HEAL:
		sim_net_cut(w, w->scratch[0], w->scratch[1], false);
		sim_net_route(w);
		if (w->scratch[2]++ < 2)
			later(w, sim_rand(&w->rng, 1000, 500000), FAIL);
		break;
	}
}

static void flap_start(struct sim_world *w)
{
	later(w, sim_rand(&w->rng, 1000, 100000), FLAP_DOWN);
}

static void flap_action(struct sim_world *w, uint32_t what)
{
	sim_net_cut(w, 0, 1, what == FLAP_DOWN);
	if (what == FLAP_DOWN)
		later(w, sim_rand(&w->rng, 1000, 2 * MS), FLAP_UP);
	else if (w->scratch[0]++ < 5)
		later(w, sim_rand(&w->rng, 10000, 300000), FLAP_DOWN);
}

const struct sim_scenario sim_net_scenarios[] = {
	{"net_pair_flap", "the one link goes down and up", p_pair, flap_start, flap_action, NULL,
		0},
	{"net_incast8_tail", "8 senders, a queue that drops", p_incast8_tail, NULL, NULL, NULL, 0},
	{"net_incast8_pause", "8 senders, a switch that pauses them", p_incast8_pause, NULL, NULL,
		paused_finish, 0},
	{"net_incast32_tail", "32 senders, a queue that drops", p_incast32_tail, NULL, NULL, NULL,
		0},
	{"net_incast32_pause", "32 senders, a switch that pauses them", p_incast32_pause, NULL,
		NULL, paused_finish, 0},
	{"net_ecn", "8 senders, a queue that marks", p_ecn, NULL, NULL, ecn_finish, 0},
	{"net_dumbbell", "flows compete for one link", p_dumbbell, NULL, NULL, NULL, 0},
	{"net_dumbbell_pause", "flows compete for one link, switches pause", p_dumbbell_pause, NULL,
		NULL, paused_finish, 0},
	{"net_leaf_spine", "everybody to somebody else over leaves and spines", p_leaf_spine, NULL,
		NULL, NULL, 0},
	{"net_spine_fails", "links to a spine go down, routes follow late", p_leaf_spine,
		spine_start, spine_action, NULL, 0},
};
const unsigned sim_net_nscenarios = FNS_ARRAY_SIZE(sim_net_scenarios);
