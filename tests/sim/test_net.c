/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated network by itself: names of topologies, shortest ways and their choice by hash,
 * ways around a cut; and that queues drop, mark and pause in the scenarios that are about it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/sim.h"

static void test_names(void **state)
{
	static const char *const bad[] = {"", "pair:2", "ring:4", "star", "star:0", "star:41",
		"incast:40", "incast:8x", "dumbbell:21", "leaf-spine:2x2", "leaf-spine:2x9x2",
		"leaf-spine:0x1x1", "leaf-spine:8x2x8", "leaf-spine:2x2x4x1"};
	static const struct {
		const char *name;
		unsigned hosts;
	} good[] = {{"pair", 2}, {"star:5", 5}, {"incast:8", 9}, {"incast:32", 33},
		{"dumbbell:4", 8}, {"leaf-spine:4x2x3", 12}};
	struct sim_topo t;
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(bad); i++)
		assert_false(sim_topo_parse(bad[i], &t));
	for (i = 0; i < FNS_ARRAY_SIZE(good); i++) {
		assert_true(sim_topo_parse(good[i].name, &t));
		assert_int_equal(sim_topo_hosts(&t), good[i].hosts);
	}
}

static struct sim_world *build(const char *topo)
{
	struct sim_world *w = calloc(1, sizeof(*w));
	struct sim_topo t;

	assert_non_null(w);
	w->seed = 5;
	w->p.ps_per_byte = 100;
	assert_true(sim_topo_parse(topo, &t));
	sim_net_init(w, &t);
	return w;
}

/* Hops from one host to another by the first way everywhere; 0: there is none. */
static unsigned hops(const struct sim_world *w, unsigned from, unsigned to)
{
	unsigned n = 0, at = from;

	while (at != to || n == 0) {
		if (!w->net.nways[at][to] || n > 10)
			return 0;
		at = w->net.port[w->net.way[at][to][0]].to;
		n++;
	}
	return n;
}

static void test_ways(void **state)
{
	static const struct {
		const char *topo;
		unsigned from, to, hops, ways; /* ways: at the first switch, or at the host */
	} want[] = {{"pair", 0, 1, 1, 1}, {"pair", 1, 1, 1, 1}, {"star:4", 3, 1, 2, 1},
		{"incast:32", 32, 0, 2, 1}, {"dumbbell:3", 0, 2, 2, 1}, {"dumbbell:3", 0, 5, 3, 1},
		{"leaf-spine:3x4x2", 0, 1, 2, 1}, {"leaf-spine:3x4x2", 0, 5, 4, 4}};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(want); i++) {
		struct sim_world *w = build(want[i].topo);
		unsigned first = w->net.port[w->net.uplink[want[i].from]].to;

		assert_int_equal(hops(w, want[i].from, want[i].to), want[i].hops);
		if (want[i].hops > 1)
			assert_int_equal(w->net.nways[first][want[i].to], want[i].ways);
		free(w);
	}
}

static void test_way_around_a_cut(void **state)
{
	struct sim_world *w = build("leaf-spine:2x2x2");
	unsigned leaf = sim_net_switch(&w->net, 0), spine = sim_net_switch(&w->net, 2);
	unsigned other = sim_net_switch(&w->net, 3);

	assert_int_equal(w->net.nways[leaf][3], 2);
	sim_net_cut(w, leaf, spine, true);
	assert_int_equal(w->net.nways[leaf][3], 2); /* nobody knows yet */
	sim_net_route(w);
	assert_int_equal(w->net.nways[leaf][3], 1);
	assert_int_equal(w->net.port[w->net.way[leaf][3][0]].to, other);
	assert_int_equal(hops(w, 3, 0), 4);
	sim_net_cut(w, leaf, other, true);
	sim_net_route(w);
	assert_int_equal(hops(w, 0, 3), 0);
	assert_int_equal(hops(w, 0, 1), 2);
	sim_net_cut(w, leaf, spine, false);
	sim_net_route(w);
	assert_int_equal(hops(w, 0, 3), 4);
	free(w);
}

/* A port sends at its rate and marks, drops and pauses at its thresholds. */
static struct sim_packet *packet(struct sim_world *w, uint32_t src, uint32_t dst, uint8_t ecn)
{
	struct sim_packet *p = calloc(1, sizeof(*p) + 934);

	assert_non_null(p);
	*p = (struct sim_packet){.src = src, .dst = dst, .len = 934, .ecn = ecn, .tos = ecn};
	w->alive_packets++;
	return p;
}

static void test_queue(void **state)
{
	struct sim_world *w = build("star:3");
	struct sim_net *n = &w->net;
	unsigned sw = sim_net_switch(n, 0), out = n->way[sw][0][0], i;

	n->port[out].limit = 5000;
	n->port[out].ecn = 2000;
	n->xoff = 2500;
	n->xon = 1000;
	for (i = 0; i < 8; i++) { /* 1000 bytes each; all are there at once */
		struct sim_packet *p = packet(w, 1, 0, i % 2 ? SIM_ECT0 : 0);

		sim_net_arrive(w, n->uplink[1], p);
	}
	/* one went out, five wait, of which those that found more than 2000 waiting are marked */
	assert_int_equal(n->port[out].queued, 5000);
	assert_int_equal(n->stats.drop[SIM_DROP_TAIL], 2);
	assert_int_equal(n->stats.ecn_marked, 1);
	assert_int_equal(n->stats.queue_max, 5000);
	assert_int_equal(n->port[n->uplink[1]].held, 5000);
	assert_true(n->port[n->uplink[1]].choked);
	assert_int_equal(n->stats.pauses, 1);
	assert_false(n->port[n->uplink[2]].choked);
	/* 100 ns each: at 400 ns one waits, the sender's word to go on has been given */
	w->now = 400;
	sim_net_port_free(w, out);
	assert_int_equal(n->port[out].queued, 1000);
	assert_false(n->port[n->uplink[1]].choked);
	assert_int_equal(n->port[out].free_ps, 500000);
	/* a paused port keeps what it has */
	sim_net_pause(w, out, true);
	w->now = 1000;
	sim_net_port_free(w, out);
	assert_int_equal(n->port[out].queued, 1000);
	sim_net_pause(w, out, false);
	assert_int_equal(n->port[out].queued, 0);
	assert_int_equal(n->port[out].free_ps, 1100000);
	for (i = 0; i < w->nheap; i++)
		free(w->heap[i].pkt);
	free(w->heap);
	sim_net_fini(w);
	free(w);
}

static struct sim_net_stats stats_of(const char *name)
{
	struct sim_net_stats all = {0};
	struct sim_result r;
	uint64_t seed;
	unsigned k;

	for (seed = 1; seed <= 4; seed++) {
		assert_true(sim_run(sim_scenario_find(name), seed, SIM_DMA_SIM, NULL, &r));
		all.ecn_marked += r.net.ecn_marked;
		all.ecn_seen += r.net.ecn_seen;
		all.pauses += r.net.pauses;
		all.hops += r.net.hops;
		all.delivered += r.net.delivered;
		all.queue_max = FNS_MAX(all.queue_max, r.net.queue_max);
		for (k = 0; k < SIM_DROPS; k++)
			all.drop[k] += r.net.drop[k];
	}
	return all;
}

static void test_scenarios_do_what_they_say(void **state)
{
	struct sim_net_stats s = stats_of("net_incast8_tail");

	assert_true(s.drop[SIM_DROP_TAIL] > 0 && s.pauses == 0);
	s = stats_of("net_incast32_tail");
	assert_true(s.drop[SIM_DROP_TAIL] > 0);
	s = stats_of("net_incast8_pause");
	assert_true(s.pauses > 0 && s.drop[SIM_DROP_TAIL] == 0);
	s = stats_of("net_incast32_pause");
	assert_true(s.pauses > 0);
	s = stats_of("net_dumbbell");
	assert_true(s.drop[SIM_DROP_TAIL] > 0 && s.hops > 2 * s.delivered);
	s = stats_of("net_dumbbell_pause");
	assert_true(s.pauses > 0);
	s = stats_of("net_ecn");
	assert_true(s.ecn_marked > 0 && s.ecn_seen == s.ecn_marked && s.queue_max > 10000);
	s = stats_of("net_spine_fails");
	assert_true(s.drop[SIM_DROP_CUT] > 0);
	s = stats_of("net_pair_flap");
	assert_true(s.drop[SIM_DROP_CUT] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_way_around_a_cut),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_scenarios_do_what_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
