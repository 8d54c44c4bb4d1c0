/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive credit for UC and UD between FlexiNS peers. A NIC takes packets as fast as the link
 * brings them; our receiver has a socket buffer, and these services repair nothing. So their
 * packets count in the peer's window too, and now and then one asks, by the AckReq bit that IBTA
 * leaves unused on them, how far the receiver has come. The answer is a vendor opcode that only who
 * sets that bit ever gets.
 */
#include <string.h>

#include "transport/credit.h"
#include "transport/qp.h"

#define WAIT_KNOWN_NS                                                                              \
	(100 * FNS_NSEC_PER_MSEC)               /* a peer that has answered may be starved of CPU  \
						 */
#define WAIT_UNKNOWN_NS (4 * FNS_NSEC_PER_MSEC) /* at first; doubles */
#define SILENCES        6u  /* after so many waits in vain it is another NIC: 252 ms in all */
#define SILENCES_KNOWN  20u /* one that has answered before is gone after 2 s */
#define PROBE_COST                                                                                 \
	(1u << 20) /* between marks to a silent peer: it may have been starved, not deaf */

static bool deaf(const struct fns_peer *p)
{
	return !p->un.grants && p->un.silent >= SILENCES;
}

bool fns_credit_must_wait(const struct fns_peer *p, uint32_t cost)
{
	return !deaf(p) && !p->un.probe && !fns_peer_may_send(p, cost);
}

bool fns_credit_wants_mark(const struct fns_peer *p, uint32_t cost)
{
	uint64_t since = p->un.sent + cost - p->un.marked;
	uint32_t left = p->window - FNS_MIN(p->window, p->inflight);

	if (p->un.never)
		return false;
	if (p->un.probe)
		return true;
	if (deaf(p))
		return since >= PROBE_COST;
	/* Half a window is what a waiter needs to be woken. */
	return since + cost > p->window / 2 || left < 2 * cost;
}

static uint64_t patience(const struct fns_peer *p)
{
	return p->un.grants ? WAIT_KNOWN_NS : WAIT_UNKNOWN_NS << p->un.silent;
}

void fns_credit_sent(struct fns_qp *qp, struct fns_peer *p, uint32_t psn, uint32_t cost, bool mark)
{
	uint64_t now = qp->nic->now_ns;

	if (p->un.sent == p->un.freed)
		p->un.heard_ns = now;
	p->un.sent += cost;
	p->inflight += cost;
	if (mark) {
		p->un.probe = false;
		if (p->un.tail - p->un.head == FNS_CREDIT_MARKS)
			p->un.head++; /* a later one frees what it would have */
		p->un.marked = p->un.sent;
		p->un.mark[p->un.tail++ % FNS_CREDIT_MARKS] =
			(struct fns_credit_mark){.qpn = qp->qpn, .psn = psn, .cost = p->un.sent};
	}
	if (!fns_timer_is_set(&p->un.timer))
		fns_timer_set(qp->nic->timers, &p->un.timer, now + patience(p));
}

static void free_up_to(struct fns_peer *p, uint64_t cost, bool acked)
{
	uint64_t freed = cost - p->un.freed;

	if (cost <= p->un.freed)
		return;
	p->un.freed = cost;
	fns_peer_release(p->nic, p, (uint32_t)FNS_MIN(freed, (uint64_t)UINT32_MAX), acked);
}

void fns_credit_learn(struct fns_peer *p)
{
	const struct fns_host *h = p->host;

	if (h->state == FNS_HELLO_FLEXINS && (h->hello.ext & FNS_HELLO_EXT_CREDIT)) {
		p->un.never = false;
		p->un.grants = true;
		p->un.silent = 0;
	} else if (h->state != FNS_HELLO_SILENT) {
		p->un.never = true;
		p->un.grants = p->un.probe = false;
		p->un.silent = SILENCES;
		p->un.head = p->un.tail;
		free_up_to(p, p->un.sent, false);
	}
}

void fns_credit_timeout(struct fns_peer *p)
{
	uint64_t now = p->nic->now_ns, due = p->un.heard_ns + patience(p);

	if (p->un.sent == p->un.freed)
		return;
	if (due > now && !deaf(p)) {
		fns_timer_set(p->nic->timers, &p->un.timer, due);
		return;
	}
	/* Nobody was asked, or nobody will answer: by now it has left the buffer. */
	if (deaf(p) || (p->un.grants && p->un.head == p->un.tail)) {
		free_up_to(p, p->un.sent, false);
		return;
	}
	if (++p->un.silent >= (p->un.grants ? SILENCES_KNOWN : SILENCES)) {
		p->un.grants = false;
		p->un.silent = SILENCES;
		p->un.head = p->un.tail;
		free_up_to(p, p->un.sent, false);
		return;
	}
	p->un.heard_ns = now;
	fns_timer_set(p->nic->timers, &p->un.timer, now + patience(p));
	/* One packet more may go, with a mark: its credit frees all that was sent before it. */
	p->un.probe = true;
	fns_peer_wake(p->nic, p);
}

void fns_credit_rx(struct fns_qp *qp, const struct fns_hdr *h, const struct fns_rx_view *v)
{
	struct fns_list *it;
	uint32_t i;

	fns_list_for_each (it, &qp->nic->peers) {
		struct fns_peer *p = fns_container_of(it, struct fns_peer, node);

		if (!fns_gid_equal(&p->remote, &v->src))
			continue;
		/* However late: it does grant credit. */
		p->un.grants = true;
		p->un.never = false;
		p->un.silent = 0;
		for (i = p->un.head; i != p->un.tail; i++) {
			const struct fns_credit_mark *m = &p->un.mark[i % FNS_CREDIT_MARKS];

			if (m->qpn != qp->qpn || m->psn != h->psn)
				continue;
			p->un.head = i + 1;
			p->un.heard_ns = qp->nic->now_ns;
			free_up_to(p, m->cost, true);
			return;
		}
	}
	fns_count(qp->nic->stats, FNS_C_drop_stale_ack);
}

/* The entry of this sender, or one that may be taken for it; NULL: all are busy. */
static struct fns_credit_owed *entry_for(struct fns_qp *qp, uint32_t qpn, const struct fns_gid *src)
{
	struct fns_credit_owed *o;
	uint32_t i;

	for (i = 0; i < FNS_CREDITS_OWED; i++) {
		o = &qp->owed[i];
		if (o->path && o->qpn == qpn && fns_gid_equal(&o->path->remote, src))
			return o;
	}
	o = &qp->owed[qp->owed_next++ % FNS_CREDITS_OWED];
	if (o->due || (o->path && qp->nic->txq.n)) /* its path may be in the transmit queue */
		return NULL;
	return o;
}

void fns_credit_owe(struct fns_qp *qp, uint32_t qpn, uint32_t psn, const struct fns_rx_view *v)
{
	struct fns_wire *wire = qp->nic->wire;
	struct fns_credit_owed *o = entry_for(qp, qpn, &v->src);
	struct fns_path *path;

	if (!o)
		return; /* the sender waits a little longer */
	if (!o->path || o->qpn != qpn || !fns_gid_equal(&o->path->remote, &v->src)) {
		if (wire->ops->path_get(wire, &v->dst, &v->src, qp->path ? qp->path->ifindex : 0,
			    (uint8_t)(qpn >> 16), 0, 64, &path) != 0)
			return;
		if (o->path)
			wire->ops->path_put(wire, o->path);
		o->path = path;
		o->qpn = qpn;
	}
	o->psn = psn;
	o->due = true;
	fns_qp_activate(qp);
}

bool fns_credit_tx(struct fns_qp *qp)
{
	uint32_t i;

	for (i = 0; i < FNS_CREDITS_OWED; i++) {
		struct fns_credit_owed *o = &qp->owed[i];
		struct fns_hdr h = {.opcode = (uint8_t)(qp->ops->tclass | FNS_OP_CREDIT),
			.migreq = true,
			.pkey = FNS_PKEY_DEFAULT,
			.dest_qp = o->qpn,
			.psn = o->psn};
		struct fns_frame *f;

		if (!o->due)
			continue;
		f = fns_txq_frame(qp->nic, 1);
		if (!f)
			return false;
		f->path = o->path;
		f->owner = qp;
		f->psn = o->psn;
		f->hdr_len = (uint8_t)fns_hdr_build(f->hdr, &h);
		fns_txq_commit(qp->nic, f, NULL, false);
		fns_count(qp->nic->stats, FNS_C_credits_sent);
		o->due = false;
	}
	return true;
}

void fns_credit_drop(struct fns_qp *qp)
{
	uint32_t i;

	for (i = 0; i < FNS_CREDITS_OWED; i++)
		if (qp->owed[i].path)
			qp->nic->wire->ops->path_put(qp->nic->wire, qp->owed[i].path);
	memset(qp->owed, 0, sizeof(qp->owed));
}
