/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports: queueing, sending at a rate, faults on the way, pause. A port works in picoseconds so that
 * rates need no rounding; events are in nanoseconds. A packet that finds its port idle costs one
 * event a hop, one that has to wait two.
 */
#include "sim/net.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/sim.h"

static uint32_t wire_bytes(const struct sim_packet *p)
{
	return p->len + SIM_WIRE_EXTRA;
}

const char *sim_drop_name(enum sim_drop why)
{
	static const char *const name[SIM_DROPS] = {
		"loss", "cut", "partition", "route", "tail", "icrc", "overrun", "dead"};

	return name[why];
}

void sim_net_drop(struct sim_world *w, struct sim_packet *p, enum sim_drop why)
{
	sim_trace(w, "drop %u>%u %s", p->src, p->dst, sim_drop_name(why));
	w->net.stats.drop[why]++;
	w->alive_packets--;
	free(p);
}

uint32_t sim_net_found(const struct sim_net_stats *s, unsigned permille)
{
	uint64_t all = 0, n = 0;
	uint32_t i;

	for (i = 0; i < SIM_FOUND; i++)
		all += s->found[i];
	for (i = 0; i + 1 < SIM_FOUND; i++) {
		n += s->found[i];
		if (n * 1000 >= all * permille)
			break;
	}
	return i;
}

void sim_net_fini(struct sim_world *w)
{
	unsigned i;

	for (i = 0; i < w->net.nports; i++)
		while (w->net.port[i].head) {
			struct sim_packet *p = w->net.port[i].head;

			w->net.port[i].head = p->next;
			free(p);
		}
	w->net.nports = 0;
}

/* --- pause: by what is held of the packets that came from one port --- */

static void hold(struct sim_world *w, const struct sim_packet *p, bool in)
{
	struct sim_net *n = &w->net;
	struct sim_port *from;
	bool choke;

	if (!n->xoff || p->via == SIM_NO_PORT)
		return;
	from = &n->port[p->via];
	from->held += in ? wire_bytes(p) : 0u - wire_bytes(p);
	choke = from->choked ? from->held > n->xon : from->held > n->xoff;
	if (choke == from->choked)
		return;
	from->choked = choke;
	n->stats.pauses += choke;
	sim_push(w, w->now + from->delay_ns, SIM_EV_PAUSE, from->node, p->via * 2u + choke, NULL);
}

/* --- the way over a link --- */

/* BTH to ICRC; at most three bits, which a CRC-32 catches at these lengths without fail. */
static void corrupt(struct fns_rng *r, struct sim_packet *p)
{
	uint64_t n = sim_rand(r, 1, 3);

	while (n--) {
		uint64_t bit = fns_rng_below(r, p->len * 8ull);

		p->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void launch(struct sim_world *w, unsigned idx, struct sim_packet *p)
{
	struct sim_port *l = &w->net.port[idx];
	const struct sim_faults *f = &l->fault;
	uint64_t at = FNS_DIV_UP(l->free_ps, 1000) + l->delay_ns;

	w->net.stats.hops++;
	if (l->cut) {
		sim_net_drop(w, p, SIM_DROP_CUT);
		return;
	}
	if (sim_chance(&l->rng, f->loss_ppm)) {
		sim_net_drop(w, p, SIM_DROP_LOSS);
		return;
	}
	if (f->jitter_ns)
		at += fns_rng_below(&l->rng, f->jitter_ns);
	at = FNS_MAX(at, l->last_arrival);
	if (sim_chance(&l->rng, f->reorder_ppm)) {
		at += 1 + fns_rng_below(&l->rng, f->reorder_ns); /* those behind may pass it */
		w->net.stats.reordered++;
	} else {
		l->last_arrival = at;
	}
	if (sim_chance(&l->rng, f->dup_ppm)) {
		struct sim_packet *d = malloc(sizeof(*d) + p->len);

		fns_assert(d);
		memcpy(d, p, sizeof(*d) + p->len);
		w->alive_packets++;
		w->net.stats.dups++;
		sim_push(w, at + fns_rng_below(&l->rng, f->reorder_ns + 1000), SIM_EV_PACKET, l->to,
			idx, d);
	}
	if (sim_chance(&l->rng, f->corrupt_ppm)) {
		corrupt(&l->rng, p);
		w->net.stats.corrupted++;
	}
	sim_push(w, at, SIM_EV_PACKET, l->to, idx, p);
}

/* --- queues --- */

/* As HPCC has it (SIGCOMM 2019, 3.1): when the packet leaves the queue. */
static void tell(struct sim_world *w, unsigned idx, struct sim_packet *p)
{
	const struct sim_port *l = &w->net.port[idx];
	struct sim_int *t = &p->tele;

	if (!w->p.telemetry || l->node < w->net.nhosts || t->n == SIM_HOPS)
		return;
	t->hop[t->n++] = (struct fns_cc_hop){.link_bps = 8000000000000ull / l->ps_per_byte,
		.tx_bytes = l->tx_bytes,
		.time_ns = l->free_ps / 1000,
		.queue_bytes = l->queued,
		.hop = idx};
}

static void kick(struct sim_world *w, unsigned idx)
{
	struct sim_port *l = &w->net.port[idx];
	uint64_t now_ps = w->now * 1000;

	while (l->head && !l->paused && l->free_ps <= now_ps) {
		struct sim_packet *p = l->head;

		l->head = p->next;
		if (!l->head)
			l->tail = &l->head;
		l->queued -= wire_bytes(p);
		hold(w, p, false);
		l->free_ps = FNS_MAX(FNS_MAX(l->free_ps, l->resumed_ps), p->ready_ps) +
			     (uint64_t)wire_bytes(p) * l->ps_per_byte;
		l->tx_bytes += wire_bytes(p);
		tell(w, idx, p);
		launch(w, idx, p);
	}
	if (w->p.egress_wake && l->node < w->net.nhosts && l->queued <= w->p.egress_bytes / 2)
		sim_wire_room(w->host[l->node]);
	if (l->head && !l->paused && !l->armed) {
		l->armed = true;
		sim_push(w, FNS_DIV_UP(l->free_ps, 1000), SIM_EV_PORT, l->node, idx, NULL);
	}
}

void sim_net_port_free(struct sim_world *w, unsigned port)
{
	w->net.port[port].armed = false;
	kick(w, port);
}

void sim_net_pause(struct sim_world *w, unsigned port, bool on)
{
	struct sim_port *l = &w->net.port[port];

	sim_trace(w, "port %u (%u>%u) %s", port, l->node, l->to, on ? "pauses" : "goes on");
	if (on && !l->paused)
		l->paused_at = w->now;
	if (!on && l->paused)
		w->net.stats.paused_ns += w->now - l->paused_at;
	l->paused = on;
	if (!on) {
		l->resumed_ps = w->now * 1000;
		kick(w, port);
	}
}

/* Random early detection, without an average: is this one marked? */
static bool lot(struct sim_port *l)
{
	uint64_t over = l->queued - l->ecn;

	if (!l->ecn_hi || l->queued >= l->ecn_hi)
		return true;
	return sim_chance(&l->rng, (uint32_t)(l->ecn_ppm * over / (l->ecn_hi - l->ecn)));
}

static void enqueue(struct sim_world *w, unsigned idx, struct sim_packet *p)
{
	struct sim_port *l = &w->net.port[idx];
	uint32_t bytes = wire_bytes(p);

	if (l->limit && l->queued + bytes > l->limit) {
		sim_net_drop(w, p, SIM_DROP_TAIL);
		return;
	}
	if (l->ecn && l->queued > l->ecn && (p->ecn == SIM_ECT0 || p->ecn == SIM_ECT1) && lot(l)) {
		p->ecn = SIM_CE;
		w->net.stats.ecn_marked++;
	}
	if (l->node >= w->net.nhosts) {
		w->net.stats.found[FNS_MIN(l->queued >> 10, SIM_FOUND - 1)]++;
		w->net.stats.found_bytes += l->queued;
	}
	p->next = NULL;
	p->ready_ps = w->now * 1000;
	*l->tail = p;
	l->tail = &p->next;
	l->queued += bytes;
	l->queue_max = FNS_MAX(l->queue_max, l->queued);
	l->queue_max_now = FNS_MAX(l->queue_max_now, l->queued);
	if (l->node >= w->net.nhosts)
		w->net.stats.queue_max = FNS_MAX(w->net.stats.queue_max, l->queued);
	hold(w, p, true);
	kick(w, idx);
}

/* One way for all packets of a flow, another one at each switch. */
static void forward(struct sim_world *w, unsigned node, struct sim_packet *p)
{
	const struct sim_net *n = &w->net;
	unsigned ways = n->nways[node][p->dst];
	uint64_t flow = (uint64_t)p->src << 40 | (uint64_t)p->dst << 24 | (uint64_t)p->sport << 8;

	if (!ways) {
		sim_net_drop(w, p, SIM_DROP_ROUTE);
		return;
	}
	if (ways > 1)
		ways = (unsigned)(sim_mix((flow | node) ^ n->salt) % ways);
	else
		ways = 0;
	enqueue(w, n->way[node][p->dst][ways], p);
}

void sim_net_send(struct sim_world *w, struct sim_packet *p)
{
	const struct sim_net *n = &w->net;

	p->via = SIM_NO_PORT;
	if (n->side && (n->side >> p->src & 1) != (n->side >> p->dst & 1))
		sim_net_drop(w, p, SIM_DROP_PARTITION);
	else
		forward(w, p->src, p);
}

uint32_t sim_net_backlog(const struct sim_world *w, unsigned host)
{
	return w->net.port[w->net.uplink[host]].queued;
}

void sim_net_arrive(struct sim_world *w, unsigned port, struct sim_packet *p)
{
	unsigned node = w->net.port[port].to;

	if (node < w->net.nhosts) {
		fns_assert(node == p->dst);
		w->net.stats.delivered++;
		sim_wire_deliver(w->host[node], p);
		return;
	}
	p->via = (uint8_t)port;
	forward(w, node, p);
}
