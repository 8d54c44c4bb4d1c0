/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to a packet by the rules, and the packets held back: a queue by the time they are
 * due, and those that wait until others have passed. Owns the pools. Called by fault.c.
 */
#include "base/assert.h"
#include "base/bytes.h"
#include "roce/icrc.h"
#include "wire/fault_priv.h"

/* --- rules --- */

static bool chance(struct fns_rng *r, uint32_t ppb)
{
	return ppb && fns_rng_below(r, FNS_FAULT_PPB) < ppb;
}

static bool link_down(const struct fault_wire *w, const struct fns_fault_rule *r, uint64_t now)
{
	uint64_t phase;

	if (!r->flap_every_ns)
		return false;
	phase = (now - FNS_MIN(w->since_ns, now)) % r->flap_every_ns;
	return phase >= r->flap_every_ns - r->flap_down_ns;
}

/* What happens to a packet of queue pair qpn (ours) to or from peer. False: nothing. */
bool fns_fault_judge(struct fault_wire *w, int lane, const struct fns_gid *peer, uint32_t qpn,
	uint64_t now, struct fault_verdict *v)
{
	for (uint32_t i = 0; i < w->spec.n; i++) {
		const struct fns_fault_rule *r = &w->spec.rule[i];
		struct fns_rng *g = &w->rng[i][lane];

		if (!(r->dir & (lane == TX ? FNS_FAULT_TX : FNS_FAULT_RX)) ||
			(r->has_peer && !fns_gid_equal(&r->peer, peer)) ||
			(r->qpn && r->qpn != qpn))
			continue;
		*v = (struct fault_verdict){.lost = chance(g, r->loss_ppb) || link_down(w, r, now)};
		v->dup = chance(g, r->dup_ppb);
		v->corrupt = chance(g, r->corrupt_ppb);
		if (chance(g, r->reorder_ppb))
			v->reorder = 1 + (uint32_t)fns_rng_below(g, r->reorder_by);
		v->delay_ns = r->delay_ns;
		if (r->jitter_ns)
			v->delay_ns += fns_rng_below(g, r->jitter_ns);
		if (w->lane[lane].nover >= OVER_MAX)
			v->reorder = 0;
		return v->lost || v->dup || v->corrupt || v->reorder || v->delay_ns;
	}
	return false;
}

/* --- holding --- */

struct fault_held *fns_fault_held_get(struct fault_wire *w, int lane)
{
	struct fault_held *h = fns_pool_get(&w->lane[lane].pool);

	if (h) {
		fns_list_init(&h->node);
		h->lane = (uint8_t)lane;
		h->left = 0;
		h->icrc_xor = 0;
		h->path = NULL;
	}
	return h;
}

void fns_fault_held_put(struct fault_wire *w, struct fault_held *h)
{
	if (h->path)
		w->cfg.below->ops->path_put(w->cfg.below, h->path);
	fns_pool_put(&w->lane[h->lane].pool, h);
}

/* Into the queue, behind all that are due no later. */
static void queue_insert(struct fault_lane *l, struct fault_held *h)
{
	struct fns_list *at = l->queue.prev;

	/* Mostly the last place; bounded by the pool. */
	while (at != &l->queue && fns_container_of(at, struct fault_held, node)->due_ns > h->due_ns)
		at = at->prev;
	fns_list_push_front(at, &h->node);
}

static void over_add(struct fault_wire *w, struct fault_held *h, uint64_t now)
{
	struct fault_lane *l = &w->lane[h->lane];

	h->due_ns = now + OVER_NS;
	l->nover++;
	fns_list_push_back(&l->over, &h->node);
	fns_fault_count(w, FNS_C_fault_reorders);
}

/* From waiting to due now: in front of what is due later. */
static void over_end(struct fault_wire *w, struct fault_held *h, uint64_t now)
{
	struct fault_lane *l = &w->lane[h->lane];

	fns_list_remove(&h->node);
	l->nover--;
	h->left = 0;
	h->due_ns = now;
	queue_insert(l, h);
}

/* A packet has passed: who has let enough pass is due. True if somebody is. */
bool fns_fault_over_passed(struct fault_wire *w, int lane, uint64_t now)
{
	struct fault_lane *l = &w->lane[lane];
	struct fns_list *it, *tmp;
	bool any = false;

	fns_list_for_each_safe (it, tmp, &l->over) {
		struct fault_held *h = fns_container_of(it, struct fault_held, node);

		if (--h->left == 0) {
			over_end(w, h, now);
			any = true;
		}
	}
	return any;
}

void fns_fault_over_expire(struct fault_wire *w, int lane, uint64_t now)
{
	struct fault_lane *l = &w->lane[lane];

	while (!fns_list_empty(&l->over)) {
		struct fault_held *h = fns_container_of(l->over.next, struct fault_held, node);

		if (h->due_ns > now)
			break;
		over_end(w, h, now);
	}
}

/* Takes a copy in: late, or to be passed, or due now. */
void fns_fault_hold(
	struct fault_wire *w, struct fault_held *h, const struct fault_verdict *v, uint64_t now)
{
	struct fault_lane *l = &w->lane[h->lane];

	h->left = v->reorder;
	if (v->delay_ns) {
		/* Jitter alone does not reorder: that has a key of its own. */
		l->last_due_ns = FNS_MAX(l->last_due_ns, now + v->delay_ns);
		h->due_ns = l->last_due_ns;
		queue_insert(l, h);
		fns_fault_count(w, FNS_C_fault_delays);
	} else if (v->reorder) {
		over_add(w, h, now);
	} else {
		h->due_ns = now;
		queue_insert(l, h);
	}
}

/* The next one due, or NULL. One that others are to pass begins to wait for them then. */
struct fault_held *fns_fault_due_pop(struct fault_wire *w, int lane, uint64_t now)
{
	struct fault_lane *l = &w->lane[lane];

	while (!fns_list_empty(&l->queue)) {
		struct fault_held *h = fns_container_of(l->queue.next, struct fault_held, node);

		if (h->due_ns > now)
			return NULL;
		fns_list_remove(&h->node);
		if (h->left == 0) {
			fns_fault_over_passed(w, lane, now);
			return h;
		}
		over_add(w, h, now);
	}
	return NULL;
}

/*
 * Flips one to three bits. The ICRC must stay that of the packet as it was, which only the wire
 * below can make: but a CRC is linear, so that what the flips do to it can be taken back out of it.
 * Left alone are the byte that the ICRC does not cover, and the one by which the receiving kernel
 * picks a socket: it decides for a whole train, not for this packet.
 */
void fns_fault_corrupt(struct fns_rng *g, struct fault_held *h)
{
	uint32_t before = fns_icrc_update(0, h->data, h->len), bit, last = UINT32_MAX;
	uint32_t n = 1 + (uint32_t)fns_rng_below(g, 3);

	while (n--) {
		bit = (uint32_t)fns_rng_below(g, (uint64_t)h->len * 8);
		if (bit / 8 == BTH_RESV8A || bit / 8 == BTH_DEST_QP)
			bit += 16;
		if (bit == last)
			continue;
		last = bit;
		h->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	h->icrc_xor = before ^ fns_icrc_update(0, h->data, h->len);
}
