/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selective repeat, the responder's half. What comes behind a gap is kept by PSN and executed in
 * its turn by the ordinary responder, so that all rules of order hold: message sequence, RNR,
 * atomics and READs once, completions after their data.
 *
 * Bulk WRITEs that say where they belong are placed at once but for their last 8 bytes, which
 * programs poll on: those follow in their turn. Two early placements go to the same bytes or share
 * none; of the same bytes the later one's remain. When the turn comes to a packet for the bytes of
 * a later one that was placed early, only its tail is placed; if they share bytes in another way,
 * the later one is forgotten, and comes again. All else is copied into a buffer. What finds no room
 * is dropped, and comes again too. Datapath 6/9 and 7/9.
 */
#include <string.h>

#include "base/assert.h"
#include "transport/irn.h"

static struct fns_irn_slot *slot_at(struct fns_irn_rx *x, uint32_t psn)
{
	return &x->slot[psn % FNS_IRN_WINDOW];
}

static bool is_early(const struct fns_irn_slot *s)
{
	return s->state == FNS_IRN_PLACING || s->state == FNS_IRN_PLACED;
}

static void slot_clear(struct fns_qp *qp, struct fns_irn_slot *s)
{
	struct fns_irn_rx *x = qp->rsp.irn;

	if (s->state == FNS_IRN_EMPTY)
		return;
	if (s->state == FNS_IRN_HELD) {
		x->holds--;
		if (s->hold)
			fns_pool_put(&qp->nic->irn_hold, s->hold);
	}
	if (is_early(s))
		x->early--;
	if (s->state == FNS_IRN_PLACING)
		qp->rsp.orphans++; /* its end finds no slot */
	s->state = FNS_IRN_EMPTY;
	s->op = NULL;
	x->count--;
}

void fns_irn_rx_drop(struct fns_qp *qp)
{
	struct fns_irn_rx *x = qp->rsp.irn;
	uint32_t i;

	if (!x)
		return;
	for (i = 0; i < FNS_IRN_WINDOW && x->count; i++)
		slot_clear(qp, slot_at(x, psn_add(qp->rsp.epsn, i)));
	x->span = 0;
	qp->rsp.irn = NULL;
	fns_pool_put(&qp->nic->irn_rx, x);
}

static struct fns_irn_rx *window(struct fns_qp *qp)
{
	/* In the pool all slots are empty. */
	if (!qp->rsp.irn)
		qp->rsp.irn = fns_pool_get(&qp->nic->irn_rx);
	return qp->rsp.irn;
}

bool fns_irn_report(const struct fns_qp *qp, struct fns_sack *out)
{
	const struct fns_irn_rx *x = qp->rsp.irn;
	uint32_t i;

	if (!x || !x->count)
		return false;
	*out = (struct fns_sack){.epsn = qp->rsp.epsn};
	for (i = 0; i < x->span; i++)
		if (x->slot[psn_add(out->epsn, i) % FNS_IRN_WINDOW].state != FNS_IRN_EMPTY) {
			out->bit[i / 8] |= (uint8_t)(1 << i % 8);
			out->n = i + 1;
		}
	return true;
}

/* --- memory shared by packets --- */

static bool overlap(const struct fns_memref *a, const struct fns_memref *b)
{
	return a->region == b->region && a->off < b->off + b->len && b->off < a->off + a->len;
}

static bool same(const struct fns_memref *a, const struct fns_memref *b)
{
	return a->region == b->region && a->off == b->off && a->len == b->len;
}

/* Quickly: is there perhaps an early placement that shares bytes with this? */
static bool maybe(const struct fns_irn_rx *x, const struct fns_memref *ref)
{
	return x->early && (!x->region || (ref->region == x->region && ref->off < x->end &&
						  x->low < ref->off + ref->len));
}

/* One more. */
static void widen(struct fns_irn_rx *x, const struct fns_memref *ref)
{
	if (x->early++ == 0) {
		x->region = ref->region;
		x->low = ref->off;
		x->end = ref->off + ref->len;
		return;
	}
	if (x->region != ref->region)
		x->region = NULL;
	x->low = FNS_MIN(x->low, ref->off);
	x->end = FNS_MAX(x->end, ref->off + ref->len);
}

static bool overlaps_op(const struct fns_rxop *op, const struct fns_memref *ref)
{
	unsigned i;

	for (i = 0; i < op->nref; i++)
		if (overlap(&op->ref[i], ref))
			return true;
	return false;
}

const uint8_t *fns_irn_supersede(struct fns_qp *qp, struct fns_rxop *op, const uint8_t *payload)
{
	struct fns_irn_rx *x = qp->rsp.irn;
	bool tail_only = false, any = false;
	uint32_t i;

	for (i = 0; i < op->nref; i++)
		any |= maybe(x, &op->ref[i]);
	for (i = 0; any && x->early && i < x->span; i++) {
		struct fns_irn_slot *s = slot_at(x, psn_add(qp->rsp.epsn, i));

		if (!is_early(s) || !overlaps_op(op, &s->ref))
			continue;
		if (op->nref == 1 && same(&op->ref[0], &s->ref))
			tail_only = true;
		else
			slot_clear(qp, s);
	}
	if (!tail_only)
		return payload;
	payload += op->ref[0].len - FNS_IRN_TAIL;
	op->ref[0].off += op->ref[0].len - FNS_IRN_TAIL;
	op->ref[0].len = FNS_IRN_TAIL;
	return payload;
}

/* n PSNs from psn on are kept. */
static void reach(struct fns_qp *qp, uint32_t psn, uint32_t n)
{
	struct fns_irn_rx *x = qp->rsp.irn;

	x->span = FNS_MAX(x->span, (uint32_t)psn_diff(psn, qp->rsp.epsn) + n);
}

enum room {
	ROOM_YES,
	ROOM_TAIL, /* a later one is there already: only the tail will be placed, in its turn */
	ROOM_HOLD, /* not before another one: keep it in a buffer */
	ROOM_NO,
	ROOM_COUNTED, /* no, and the drop is counted already */
};

/* May the packet's bytes be written now? A later one placed in them is forgotten. */
static enum room room_for(struct fns_qp *qp, uint32_t psn, const struct fns_memref *ref)
{
	struct fns_irn_rx *x = qp->rsp.irn;
	enum room room = ROOM_YES;
	struct fns_list *it;
	uint32_t i;

	if (qp->rsp.orphans)
		return ROOM_HOLD;
	fns_list_for_each (it, &qp->rsp.ops)
		if (overlaps_op(fns_container_of(it, struct fns_rxop, node), ref))
			return ROOM_HOLD;
	for (i = 0; i < x->span && maybe(x, ref); i++) {
		uint32_t at = psn_add(qp->rsp.epsn, i);
		struct fns_irn_slot *s = slot_at(x, at);

		if (!is_early(s) || !overlap(&s->ref, ref))
			continue;
		if (same(&s->ref, ref)) {
			if (psn_diff(at, psn) > 0)
				room = ROOM_TAIL;
			else if (s->state == FNS_IRN_PLACING)
				return ROOM_HOLD;
			continue;
		}
		if (psn_diff(at, psn) < 0)
			return ROOM_HOLD;
		if (s->state == FNS_IRN_PLACING)
			return ROOM_NO;
		slot_clear(qp, s);
	}
	return room;
}

/* --- in its turn --- */

static struct fns_hdr slot_header(const struct fns_irn_slot *s, uint32_t psn)
{
	return (struct fns_hdr){.opcode = FNS_OP_WRITE_ONLY,
		.info = &fns_opcodes[FNS_OP_WRITE_ONLY],
		.psn = psn,
		.ack_req = s->ack_req,
		.solicited = s->solicited,
		.va = s->va,
		.rkey = s->rkey,
		.dma_len = s->len,
		.payload_len = s->len};
}

const uint8_t *fns_irn_take(struct fns_irn_slot *s, struct fns_rxop *op)
{
	const uint8_t *payload;

	if (s->state == FNS_IRN_HELD) {
		op->hold = s->hold;
		payload = s->hold->payload;
		s->hold = NULL;
		return payload;
	}
	if (s->state == FNS_IRN_FAILED) {
		op->nref = 0;
		op->result = -1;
		return NULL;
	}
	op->ref[0].off += op->ref[0].len - FNS_IRN_TAIL;
	op->ref[0].len = FNS_IRN_TAIL;
	memcpy(op->grh, s->tail, FNS_IRN_TAIL);
	return op->grh;
}

/* All that has its turn. */
static void replay(struct fns_qp *qp)
{
	struct fns_responder *r = &qp->rsp;

	while (r->irn && r->irn->count && !r->dying && !r->nak_sent) {
		struct fns_irn_slot *s = slot_at(r->irn, r->epsn);
		uint32_t before = r->epsn, n, i;
		struct fns_hdr h;

		if (s->state == FNS_IRN_EMPTY || s->state == FNS_IRN_PLACING)
			return;
		h = s->state == FNS_IRN_HELD ? s->hold->h : slot_header(s, before);
		fns_rc_execute(qp, &h, NULL, s);
		if (!r->irn)
			return;
		n = (uint32_t)psn_diff(r->epsn, before);
		for (i = 0; i < FNS_MIN(n, FNS_IRN_WINDOW); i++)
			slot_clear(qp, slot_at(r->irn, psn_add(before, i)));
		if (n == 0)
			break; /* no room for it now: the next packet tries again */
	}
	if (r->irn && (!r->irn->count || r->dying || r->nak_sent))
		fns_irn_rx_drop(qp);
}

/* --- ahead of its turn --- */

static void early_done(struct fns_rxop *op)
{
	struct fns_qp *qp = op->qp;
	struct fns_responder *r = &qp->rsp;
	struct fns_irn_slot *s = r->irn ? slot_at(r->irn, op->psn) : NULL;

	if (s && s->state == FNS_IRN_PLACING && s->op == op) {
		s->op = NULL;
		if (op->result < 0)
			r->irn->early--;
		s->state = op->result < 0 ? FNS_IRN_FAILED : FNS_IRN_PLACED;
		fns_rxop_put(op);
		if (r->irn && slot_at(r->irn, r->epsn) == s)
			replay(qp);
		return;
	}
	r->orphans--;
	fns_rxop_put(op);
	if (!r->orphans)
		fns_rc_drain(qp); /* packets may have waited for it */
}

/* A WRITE that says where it belongs. */
static enum room place_early(struct fns_qp *qp, const struct fns_hdr *h, struct fns_rx_view *v)
{
	struct fns_irn_slot *s = slot_at(qp->rsp.irn, h->psn);
	struct fns_rxop *op = NULL;
	struct fns_memref ref;
	enum room room;

	if (h->opcode != FNS_OP_WRITE_ONLY || h->payload_len < FNS_IRN_EARLY ||
		h->payload_len > qp->pmtu || h->dma_len != h->payload_len ||
		!(qp->attr.access & FNS_ACCESS_REMOTE_WRITE) ||
		fns_mem_check(qp->nic->mem, qp->pd, qp->qpn, h->rkey, h->va, h->payload_len,
			FNS_ACCESS_REMOTE_WRITE, true, &ref) != FNS_MEM_OK)
		return ROOM_HOLD; /* what is wrong with it is said in its turn */
	room = room_for(qp, h->psn, &ref);
	if (room != ROOM_YES && room != ROOM_TAIL)
		return room;
	if (room == ROOM_YES && !(op = fns_rxop_get(qp, FNS_RXOP_EARLY)))
		return ROOM_COUNTED;
	*s = (struct fns_irn_slot){.state = op ? FNS_IRN_PLACING : FNS_IRN_PLACED,
		.ack_req = h->ack_req,
		.solicited = h->solicited,
		.rkey = h->rkey,
		.len = h->payload_len,
		.va = h->va,
		.ref = ref,
		.op = op};
	memcpy(s->tail, h->payload + h->payload_len - FNS_IRN_TAIL, FNS_IRN_TAIL);
	qp->rsp.irn->count++;
	reach(qp, h->psn, 1);
	widen(qp->rsp.irn, &ref);
	if (!op)
		return ROOM_TAIL;
	op->psn = h->psn;
	op->ref[0] = ref;
	op->ref[0].len -= FNS_IRN_TAIL;
	op->nref = 1;
	fns_rxop_hold(op, v);
	fns_rxop_place(op, h->payload, early_done);
	return ROOM_YES;
}

/* PSNs that the packet takes, or 0: more than there can be. */
static uint32_t psns_of(const struct fns_qp *qp, const struct fns_hdr *h)
{
	uint32_t n;

	if (!(h->info->flags & FNS_OPF_READ_REQ))
		return 1;
	n = FNS_DIV_UP((uint64_t)h->dma_len, qp->pmtu) > FNS_IRN_WINDOW
		    ? 0
		    : FNS_DIV_UP(h->dma_len, qp->pmtu);
	return h->dma_len ? n : 1;
}

static bool hold(struct fns_qp *qp, const struct fns_hdr *h, uint32_t d)
{
	struct fns_irn_rx *x = qp->rsp.irn;
	struct fns_irn_hold *b;
	uint32_t n = psns_of(qp, h), i;

	if (n == 0 || d + n > FNS_IRN_WINDOW || h->payload_len > qp->pmtu ||
		h->payload_len > sizeof(b->payload) || x->holds == FNS_IRN_HOLDS_EACH)
		return false;
	for (i = 1; i < n; i++)
		if (slot_at(x, psn_add(h->psn, i))->state != FNS_IRN_EMPTY)
			return false;
	b = fns_pool_get(&qp->nic->irn_hold);
	if (!b)
		return false;
	b->h = *h;
	b->h.payload = b->payload;
	memcpy(b->payload, h->payload, h->payload_len);
	*slot_at(x, h->psn) = (struct fns_irn_slot){.state = FNS_IRN_HELD, .hold = b};
	for (i = 1; i < n; i++)
		*slot_at(x, psn_add(h->psn, i)) = (struct fns_irn_slot){.state = FNS_IRN_COVERED};
	x->holds++;
	x->count += n;
	reach(qp, h->psn, n);
	return true;
}

/* Behind the gap. True: the view was kept. */
static bool keep(struct fns_qp *qp, const struct fns_hdr *h, struct fns_rx_view *v, uint32_t d)
{
	enum room room = place_early(qp, h, v);

	if (room == ROOM_YES || room == ROOM_TAIL || (room == ROOM_HOLD && hold(qp, h, d)))
		fns_count(qp->nic->stats, FNS_C_irn_early);
	else if (room != ROOM_COUNTED)
		fns_count(qp->nic->stats, FNS_C_drop_resources);
	if (qp->rsp.irn && !qp->rsp.irn->count)
		fns_irn_rx_drop(qp);
	fns_rc_respond_ack(qp);
	return room == ROOM_YES;
}

bool fns_irn_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v)
{
	struct fns_responder *r = &qp->rsp;
	uint32_t d = (uint32_t)psn_diff(h->psn, r->epsn);
	bool kept;

	/* Nobody who lends repeats selectively: wires that lend lose nothing. */
	if (d >= FNS_IRN_WINDOW || (d && r->nak_sent) || v->lent) {
		fns_count(qp->nic->stats, FNS_C_drop_psn);
		return false;
	}
	if (!window(qp)) { /* as ever, then */
		fns_count(qp->nic->stats, FNS_C_drop_psn);
		fns_rc_sequence_nak(qp);
		return false;
	}
	if (slot_at(r->irn, h->psn)->state != FNS_IRN_EMPTY) {
		fns_count(qp->nic->stats, FNS_C_rc_duplicates);
		replay(qp);
		fns_rc_respond_ack(qp);
		return false;
	}
	if (d) {
		return keep(qp, h, v, d);
	}
	kept = fns_rc_execute(qp, h, v, NULL);
	replay(qp);
	return kept;
}
