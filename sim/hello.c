/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hosts learn of each other by the hello (roce/mad.h), without the keepers that carry it: an
 * answer comes after a delay, true, false, or never. A host may also stand for another RoCEv2
 * implementation: what FlexiNS has beyond the standard is taken out of its packets both ways, and
 * it is a failure to send it any. The scenarios about it. Called by host.c, wire_sim.c, world.c.
 */
#include "sim/sim.h"

#include "engine/engine_priv.h"

#include "base/assert.h"

#define MS FNS_NSEC_PER_MSEC

static bool is_credit(const uint8_t *pkt)
{
	return pkt[0] == (FNS_TC_UC | FNS_OP_CREDIT) || pkt[0] == (FNS_TC_UD | FNS_OP_CREDIT) ||
	       pkt[0] == FNS_OP_SACK;
}

static bool has_mark(const uint8_t *pkt)
{
	return (pkt[0] & 0xe0) != FNS_TC_RC ? pkt[8] & 0x80 : pkt[8] & 0x40;
}

void sim_hello_ask(struct sim_host *h)
{
	struct sim_world *w = h->w;
	struct fns_engine_address a;
	uint32_t i;

	while (w->p.hello && !h->standard && fns_engine_hello_next(h->e, &a)) {
		for (i = 0; i < w->nhosts && !fns_gid_equal(&w->host[i]->gid, &a.remote); i++)
			;
		if (i == w->nhosts || !fns_gid_equal(&a.local, &h->gid)) {
			sim_fail(w, "host %u: asks about an address that nobody has", h->idx);
			return;
		}
		sim_push(w, w->now + sim_rand(&h->hello_rng, w->p.hello_ns / 2, w->p.hello_ns),
			SIM_EV_HELLO, h->idx, i, NULL);
	}
}

void sim_hello_told(struct sim_host *h, uint32_t about)
{
	struct sim_world *w = h->w;
	struct sim_host *p = w->host[about];
	enum fns_hello_state st = FNS_HELLO_FLEXINS;
	struct fns_hello hello = {.version = FNS_HELLO_VERSION,
		.ext = FNS_HELLO_EXT_CREDIT | FNS_HELLO_EXT_SACK,
		.icrc = FNS_HELLO_ICRC_STD,
		.rcvbuf = p->rcvbuf};

	if (h->dead)
		return;
	if (p->standard)
		st = w->seed & 2 ? FNS_HELLO_STANDARD : FNS_HELLO_SILENT;
	if (w->p.hello == SIM_HELLO_ANY) { /* also what is not so, and again */
		st = (enum fns_hello_state)sim_rand(
			&h->hello_rng, FNS_HELLO_FLEXINS, FNS_HELLO_SILENT);
		hello.rcvbuf = (uint32_t)fns_rng_below(&h->hello_rng, 1u << 20);
		hello.ext = (uint32_t)fns_rng_below(&h->hello_rng, 4);
		if (h->hellos++ < 6)
			sim_push(w, w->now + fns_rng_below(&h->hello_rng, 2 * MS), SIM_EV_HELLO,
				h->idx, about, NULL);
	}
	sim_trace(w, "host %u: hello: host %u is %u, buffer %u", h->idx, about, st, hello.rcvbuf);
	fns_engine_hello_told(h->e, &p->gid, st, &hello);
	if (st == FNS_HELLO_STANDARD)
		h->told_standard_ns = w->now;
	sim_host_wake(h, fns_rng_below(&h->hello_rng, 500));
}

void sim_hello_tx(struct sim_host *h, uint8_t *pkt, const struct sim_host *to)
{
	if (h->standard && has_mark(pkt))
		pkt[8] &= (pkt[0] & 0xe0) != FNS_TC_RC ? 0x7f : 0xbf;
	if (!to->standard)
		return;
	if (is_credit(pkt))
		sim_fail(h->w, "host %u: sends a vendor opcode to a standard peer", h->idx);
	/* Frames built before may still be on their way out. */
	if (has_mark(pkt) && h->told_standard_ns && h->w->now > h->told_standard_ns + MS)
		sim_fail(h->w, "host %u: marks packets to a peer known to be another NIC", h->idx);
}

void sim_hello_rx(const struct sim_host *h, uint8_t *pkt)
{
	if (h->standard && has_mark(pkt))
		pkt[8] &= (pkt[0] & 0xe0) != FNS_TC_RC ? 0x7f : 0xbf;
}

/* --- scenarios --- */

/* One sender, one receiver (host 0) with a buffer of its own size, a clean network. */
static void p_buffers(struct sim_world *w, struct sim_params *p)
{
	static const uint8_t types[] = {FNS_QPT_RC, FNS_QPT_RC, FNS_QPT_UC, FNS_QPT_UD};

	p->type = types[fns_rng_below(&w->rng, 4)];
	p->hosts_lo = p->hosts_hi = 2;
	p->pattern = SIM_TO_FIRST;
	p->one_sided = true;
	p->pairs_hi = 12;
	p->wrs_lo = 60;
	p->wrs_hi = 200;
	p->pace_ns = 1000;
	p->max_len = p->type == FNS_QPT_RC ? SIM_MAX_MSG : p->type == FNS_QPT_UC ? 16384 : 4096;
	/* A receive that is not there (RNR) has what is still in the buffer sent again. */
	if (p->type == FNS_QPT_RC)
		p->weight[SIM_W_SEND] = p->weight[SIM_W_SEND_IMM] = p->weight[SIM_W_WRITE_IMM] = 0;
	p->bulk_ppm = 300000;
	p->timeout_lo = p->timeout_hi = 13;
	p->hello = SIM_HELLO_TRUE;
	p->hello_ns = 100;
	p->wide = true;
}

static void p_small(struct sim_world *w, struct sim_params *p)
{
	p_buffers(w, p);
	p->rcvbuf_first = (uint32_t)sim_rand(&w->rng, 40000, 110000);
}

static void p_small_late(struct sim_world *w, struct sim_params *p)
{
	p_small(w, p);
	p->hello_ns = 300000;
}

static void p_big(struct sim_world *w, struct sim_params *p)
{
	p_buffers(w, p);
	p->rcvbuf_first = (uint32_t)sim_rand(&w->rng, 400000, 4u << 20);
}

static uint64_t overruns(const struct sim_world *w)
{
	return w->net.stats.drop[SIM_DROP_OVERRUN];
}

enum {
	PAUSE,
	KNOWN
};

/* The receiver is not scheduled for a while, again and again: what senders may, they send. */
static void stall_start(struct sim_world *w)
{
	sim_push(w, w->now + 10000, SIM_EV_ACTION, 0, PAUSE, NULL);
}

static void stall_action(struct sim_world *w, uint32_t what)
{
	if (what == KNOWN) {
		w->scratch[1] = 1;
		w->scratch[2] = (uint32_t)overruns(w);
		return;
	}
	w->host[0]->paused_until = w->now + sim_rand(&w->rng, 50000, 300000);
	if (w->scratch[0]++ < 20)
		sim_push(w, w->now + sim_rand(&w->rng, 100000, 600000), SIM_EV_ACTION, 0, PAUSE,
			NULL);
}

/* Nothing is ever lost for want of room. */
static void roomy_finish(struct sim_world *w)
{
	if (overruns(w))
		sim_fail(w, "%llu packets found no room in a buffer of %u",
			(unsigned long long)overruns(w), w->host[0]->rcvbuf);
}

/* Only before the answer came, and what that caused. */
static void late_start(struct sim_world *w)
{
	stall_start(w);
	sim_push(w, w->now + 2 * MS, SIM_EV_ACTION, 0, KNOWN, NULL);
}

static void late_finish(struct sim_world *w)
{
	if (w->scratch[1] && overruns(w) != w->scratch[2])
		sim_fail(w, "%llu packets found no room, %u of them before the buffer was known",
			(unsigned long long)overruns(w), w->scratch[2]);
}

static void big_finish(struct sim_world *w)
{
	uint32_t want = fns_rcvbuf_share(w->host[0]->rcvbuf);
	struct fns_list *it;

	roomy_finish(w);
	fns_list_for_each (it, &w->host[1]->e->nic.peers) {
		const struct fns_peer *p = fns_container_of(it, struct fns_peer, node);

		if (p->max_window != want)
			sim_fail(w, "window of %u to a buffer of %u", p->max_window,
				w->host[0]->rcvbuf);
	}
}

/* FlexiNS and somebody else's NIC, both ways. */
static void p_standard(struct sim_world *w, struct sim_params *p)
{
	static const uint8_t types[] = {FNS_QPT_RC, FNS_QPT_UC, FNS_QPT_UD};

	p->type = types[fns_rng_below(&w->rng, 3)];
	p->max_len = p->type == FNS_QPT_UD ? 4096 : 16384;
	p->hosts_lo = p->hosts_hi = 2;
	p->pattern = SIM_PERMUTATION;
	p->pairs_hi = 6;
	p->wrs_hi = 200;
	p->rcvbuf = 0; /* hardware has no socket buffer */
	p->hello = SIM_HELLO_TRUE;
	p->hello_ns = (uint32_t)sim_rand(&w->rng, 100, 500000);
	p->irn = true;
	p->standard = 1u << fns_rng_below(&w->rng, 2);
	if (fns_rng_below(&w->rng, 2)) {
		p->loss_ppm = (uint32_t)sim_rand(&w->rng, 500, 20000);
		p->dup_ppm = (uint32_t)sim_rand(&w->rng, 500, 20000);
	}
}

static void standard_finish(struct sim_world *w)
{
	for (unsigned i = 0; i < w->nhosts; i++)
		if (atomic_load(&w->host[i]->stats->counter[FNS_C_credits_sent]))
			sim_fail(w, "host %u: gave credit to who did not ask", i);
}

/* Answers that come late, change and lie: whatever they say, all holds that must. */
static void p_any(struct sim_world *w, struct sim_params *p)
{
	static const uint8_t types[] = {FNS_QPT_RC, FNS_QPT_RC, FNS_QPT_UC, FNS_QPT_UD};

	p->type = types[fns_rng_below(&w->rng, 4)];
	p->max_len = p->type == FNS_QPT_UD ? 4096 : 16384;
	p->irn = true;
	p->hello = SIM_HELLO_ANY;
	p->hello_ns = (uint32_t)sim_rand(&w->rng, 100, 2 * MS);
	p->loss_ppm = fns_rng_below(&w->rng, 2) ? 0 : (uint32_t)sim_rand(&w->rng, 500, 20000);
	p->full_ppm = (uint32_t)fns_rng_below(&w->rng, 300000);
}

const struct sim_scenario sim_hello_scenarios[] = {
	{"hello_small_buffer", "the receiver's buffer is small, and it said so", p_small,
		stall_start, stall_action, roomy_finish, 0},
	{"hello_small_late", "the receiver's buffer is small, which is known late", p_small_late,
		late_start, stall_action, late_finish, 0},
	{"hello_big_buffer", "the receiver's buffer is large, and it said so", p_big, stall_start,
		stall_action, big_finish, 0},
	{"hello_standard_peer", "the other host is not FlexiNS", p_standard, NULL, NULL,
		standard_finish, 0},
	{"hello_lies", "hosts are told anything about each other", p_any, NULL, NULL, NULL, 0},
};
const unsigned sim_hello_nscenarios = FNS_ARRAY_SIZE(sim_hello_scenarios);
