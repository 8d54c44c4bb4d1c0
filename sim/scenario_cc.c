/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios about congestion controls: many senders to one, flows that share a link, and each
 * algorithm over a network that does everything wrong. Part of the table of scenario.c.
 */
#include "sim/sim.h"

/* 10 Gb/s, 2 us a link, long messages, nothing tight but the network. */
static void p_long(struct sim_world *w, struct sim_params *p)
{
	p->rcvbuf = 0;
	p->wide = true;
	p->full_ppm = 0;
	p->jitter_ns = 0;
	p->no_ect = false;
	p->egress_bytes = 20000;
	p->max_len = 32768;
	p->ps_per_byte = 800;
	p->delay_ns = 2000;
	p->pace_ns = 500;
	p->bulk_ppm = 1000000;
	p->timeout_lo = p->timeout_hi = 16;
	p->one_sided = true;
	for (unsigned i = 0; i < SIM_W_COUNT; i++)
		p->weight[i] = i == SIM_W_WRITE;
}

static void p_incast(struct sim_world *w, struct sim_params *p)
{
	p_long(w, p);
	p->topo = "incast:32";
	p->pattern = SIM_TO_FIRST;
	p->pairs_lo = p->pairs_hi = 32;
	/* All of it fits into the receiver: the model never waits for memory. */
	p->max_len = 8192;
	p->wrs_lo = p->wrs_hi = 12;
	p->ecn_bytes = 40000;
	p->cnp_ns = 50000;
}

static void p_incast_static(struct sim_world *w, struct sim_params *p)
{
	p_incast(w, p);
	p->cc = "static_window";
}

static void p_incast_swift(struct sim_world *w, struct sim_params *p)
{
	p_incast(w, p);
	p->cc = "swift:target_us=50,fs_range_us=50,start_cwnd=1";
}

static void p_incast_dcqcn(struct sim_world *w, struct sim_params *p)
{
	p_incast(w, p);
	p->cc = "dcqcn:line_mbps=10000";
}

static void p_incast_timely(struct sim_world *w, struct sim_params *p)
{
	p_incast(w, p);
	p->cc = "timely:line_mbps=10000,start_mbps=1000";
}

/* More than fits into the memory of the model, which waits for some of it again and again. */
static void p_incast_long(struct sim_world *w, struct sim_params *p)
{
	p_incast_timely(w, p);
	p->max_len = 32768;
	p->wrs_lo = p->wrs_hi = 24;
}

static void p_anything(struct sim_world *w, struct sim_params *p)
{
	static const char *const cc[] = {"swift", "dcqcn:line_mbps=10000", "timely:line_mbps=10000",
		"swift:target_us=5,min_cwnd_pm=100"};

	p->cc = cc[fns_rng_below(&w->rng, FNS_ARRAY_SIZE(cc))];
	p->cnp_ns = 50000;
	p->ecn_bytes = (uint32_t)sim_rand(&w->rng, 2000, 20000);
	p->loss_ppm = 10000;
	p->dup_ppm = 5000;
	p->reorder_ppm = 5000;
	p->corrupt_ppm = 2000;
	p->port_bytes = 100000;
	p->timeout_lo = 8;
	p->timeout_hi = 11;
}

const struct sim_scenario sim_cc_scenarios[] = {
	{"cc_incast32_static", "32 senders, no congestion control", p_incast_static, NULL, NULL,
		NULL, 0},
	{"cc_incast32_swift", "32 senders with Swift", p_incast_swift, NULL, NULL, NULL, 0},
	{"cc_incast32_dcqcn", "32 senders with DCQCN", p_incast_dcqcn, NULL, NULL, NULL, 0},
	{"cc_incast32_timely", "32 senders with TIMELY", p_incast_timely, NULL, NULL, NULL, 0},
	{"cc_incast32_long", "32 senders with TIMELY, little memory", p_incast_long, NULL, NULL,
		NULL, 0},
	{"cc_anything", "any congestion control, faults of all kinds", p_anything, NULL, NULL, NULL,
		0},
};
const unsigned sim_cc_nscenarios = FNS_ARRAY_SIZE(sim_cc_scenarios);
