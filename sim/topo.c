/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topologies by name, and shortest paths through them. Everything goes by node and port number, so
 * that a topology is the same wherever it is built.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "sim/net.h"
#include "sim/sim.h"

bool sim_topo_parse(const char *spec, struct sim_topo *out)
{
	static const struct {
		const char *name;
		enum sim_topo_kind kind;
		unsigned most;
	} counted[] = {{"star", SIM_TOPO_STAR, SIM_HOSTS},
		{"incast", SIM_TOPO_INCAST, SIM_HOSTS - 1},
		{"dumbbell", SIM_TOPO_DUMBBELL, SIM_HOSTS / 2}};
	struct sim_topo t = {0};
	unsigned i, n;
	char name[16], end;

	if (strcmp(spec, "pair") == 0) {
		*out = (struct sim_topo){.kind = SIM_TOPO_PAIR};
		return true;
	}
	if (sscanf(spec, "leaf-spine:%ux%ux%u%c", &t.leaves, &t.spines, &t.hosts, &end) == 3) {
		t.kind = SIM_TOPO_LEAF_SPINE;
		if (!t.leaves || !t.spines || !t.hosts || t.leaves > SIM_HOSTS ||
			t.hosts > SIM_HOSTS || t.spines > SIM_WAYS ||
			t.leaves * t.hosts > SIM_HOSTS ||
			t.leaves * t.hosts + t.leaves + t.spines > SIM_NODES ||
			3 * t.leaves * t.hosts + 2 * t.leaves * t.spines > SIM_PORTS)
			return false;
		*out = t;
		return true;
	}
	if (sscanf(spec, "%15[a-z]:%u%c", name, &n, &end) != 2)
		return false;
	for (i = 0; i < FNS_ARRAY_SIZE(counted); i++)
		if (strcmp(name, counted[i].name) == 0 && n > 0 && n <= counted[i].most) {
			*out = (struct sim_topo){.kind = counted[i].kind, .n = n};
			return true;
		}
	return false;
}

unsigned sim_topo_hosts(const struct sim_topo *t)
{
	switch (t->kind) {
	case SIM_TOPO_PAIR:
		return 2;
	case SIM_TOPO_STAR:
		return t->n;
	case SIM_TOPO_INCAST:
		return t->n + 1;
	case SIM_TOPO_DUMBBELL:
		return 2 * t->n;
	case SIM_TOPO_LEAF_SPINE:
		return t->leaves * t->hosts;
	}
	return 0;
}

/* --- building --- */

static unsigned port_add(struct sim_world *w, unsigned from, unsigned to, uint32_t ps_per_byte)
{
	struct sim_net *n = &w->net;
	unsigned i = n->nports++;
	struct sim_port *l = &n->port[i];

	fns_assert(i < SIM_PORTS && from < n->nnodes && to < n->nnodes);
	*l = (struct sim_port){.node = (uint8_t)from,
		.to = (uint8_t)to,
		.ps_per_byte = ps_per_byte,
		.delay_ns = w->p.delay_ns};
	l->tail = &l->head;
	fns_rng_seed(&l->rng, sim_mix(w->seed + 1000 + i));
	if (from >= n->nhosts) {
		l->limit = w->p.port_bytes;
		l->ecn = w->p.ecn_bytes;
		l->ecn_hi = w->p.ecn_hi_bytes;
		l->ecn_ppm = w->p.ecn_ppm;
	} else {
		/* what goes wrong by default goes wrong on the sender's link */
		l->fault = (struct sim_faults){.loss_ppm = w->p.loss_ppm,
			.dup_ppm = w->p.dup_ppm,
			.reorder_ppm = w->p.reorder_ppm,
			.reorder_ns = w->p.reorder_ns,
			.corrupt_ppm = w->p.corrupt_ppm,
			.jitter_ns = w->p.jitter_ns};
	}
	return i;
}

static void join(struct sim_world *w, unsigned a, unsigned b)
{
	struct sim_net *n = &w->net;
	bool fabric = a >= n->nhosts && b >= n->nhosts;
	uint32_t rate =
		fabric && w->p.fabric_ps_per_byte ? w->p.fabric_ps_per_byte : w->p.ps_per_byte;
	unsigned there = port_add(w, a, b, rate), back = port_add(w, b, a, rate);

	if (a < n->nhosts)
		n->uplink[a] = (uint8_t)there;
	if (b < n->nhosts)
		n->uplink[b] = (uint8_t)back;
}

void sim_net_init(struct sim_world *w, const struct sim_topo *t)
{
	struct sim_net *n = &w->net;
	unsigned i, k, hosts = sim_topo_hosts(t);

	n->nhosts = hosts;
	n->nnodes = hosts + (t->kind == SIM_TOPO_PAIR                ? 0
				    : t->kind == SIM_TOPO_DUMBBELL   ? 2
				    : t->kind == SIM_TOPO_LEAF_SPINE ? t->leaves + t->spines
								     : 1);
	n->xoff = w->p.xoff_bytes;
	n->xon = w->p.xoff_bytes / 2;
	n->salt = sim_mix(w->seed + 500);
	fns_assert(hosts <= SIM_HOSTS && n->nnodes <= SIM_NODES);
	for (i = 0; i < hosts; i++)
		port_add(w, i, i, w->p.ps_per_byte); /* to itself */
	switch (t->kind) {
	case SIM_TOPO_PAIR:
		join(w, 0, 1);
		break;
	case SIM_TOPO_STAR:
	case SIM_TOPO_INCAST:
		for (i = 0; i < hosts; i++)
			join(w, i, hosts);
		break;
	case SIM_TOPO_DUMBBELL:
		for (i = 0; i < hosts; i++)
			join(w, i, hosts + i / t->n);
		join(w, hosts, hosts + 1);
		break;
	case SIM_TOPO_LEAF_SPINE:
		for (i = 0; i < hosts; i++)
			join(w, i, hosts + i / t->hosts);
		for (i = 0; i < t->leaves; i++)
			for (k = 0; k < t->spines; k++)
				join(w, hosts + i, hosts + t->leaves + k);
		break;
	}
	sim_net_route(w);
}

void sim_net_cut(struct sim_world *w, unsigned a, unsigned b, bool on)
{
	unsigned i;

	for (i = 0; i < w->net.nports; i++) {
		struct sim_port *l = &w->net.port[i];

		if ((l->node == a && l->to == b) || (l->node == b && l->to == a))
			l->cut = on;
	}
}

/* --- shortest paths: a walk from each destination backwards --- */

static void distances(const struct sim_net *n, unsigned dst, uint8_t *dist)
{
	uint8_t queue[SIM_NODES];
	unsigned head = 0, tail = 0, i;

	memset(dist, 0xff, SIM_NODES);
	dist[dst] = 0;
	queue[tail++] = (uint8_t)dst;
	while (head < tail) {
		unsigned at = queue[head++];

		if (at < n->nhosts && at != dst)
			continue; /* hosts forward nothing */
		for (i = n->nhosts; i < n->nports; i++) {
			const struct sim_port *l = &n->port[i];

			if (l->to != at || l->cut || dist[l->node] != 0xff)
				continue;
			dist[l->node] = (uint8_t)(dist[at] + 1);
			queue[tail++] = l->node;
		}
	}
}

void sim_net_route(struct sim_world *w)
{
	struct sim_net *n = &w->net;
	uint8_t dist[SIM_NODES];
	unsigned dst, i;

	memset(n->nways, 0, sizeof(n->nways));
	for (dst = 0; dst < n->nhosts; dst++) {
		distances(n, dst, dist);
		n->nways[dst][dst] = 1;
		n->way[dst][dst][0] = (uint8_t)dst; /* the port to itself */
		for (i = n->nhosts; i < n->nports; i++) {
			const struct sim_port *l = &n->port[i];
			uint8_t *ways = &n->nways[l->node][dst];

			if (!l->cut && l->node != dst && dist[l->to] != 0xff &&
				dist[l->to] + 1 == dist[l->node] && *ways < SIM_WAYS)
				n->way[l->node][dst][(*ways)++] = (uint8_t)i;
		}
	}
}
