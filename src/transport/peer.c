/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receive window of a destination engine. All queue pairs of a process that talk to one peer
 * process share that process's socket buffer, so the window is kept per (address, prefix) and
 * counts what a packet truly costs there. Several senders that do not know of each other find their
 * share by halving on loss and growing with acknowledgements.
 */
#include <stdlib.h>

#include "transport/credit.h"
#include "transport/qp.h"

#define PEER_MIN_WINDOW 16384u
#define PEER_GROW       4096u /* per window acknowledged */

static void timer_fired(struct fns_timer *t, uint64_t now_ns)
{
	(void)now_ns;
	fns_credit_timeout(fns_container_of(t, struct fns_peer, un.timer));
}

struct fns_peer *fns_peer_get(struct fns_nic *nic, const struct fns_path *path)
{
	uint32_t budget = path->rx_bytes ? path->rx_bytes : nic->peer_budget;
	struct fns_list *it;
	struct fns_peer *p;

	fns_list_for_each (it, &nic->peers) {
		p = fns_container_of(it, struct fns_peer, node);
		/* Over another wire it has another buffer. */
		if (p->prefix == path->prefix && p->known == (path->rx_bytes != 0) &&
			fns_gid_equal(&p->remote, &path->remote)) {
			p->refs++;
			return p;
		}
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->nic = nic;
	p->remote = path->remote;
	p->prefix = path->prefix;
	p->refs = 1;
	p->known = path->rx_bytes != 0;
	p->window = p->max_window = budget;
	fns_list_init(&p->waiters);
	fns_timer_init(&p->un.timer, timer_fired);
	fns_list_push_back(&nic->peers, &p->node);
	if (!p->known) {
		p->host = fns_host_get(nic, &path->local, &path->remote, path->ifindex);
		fns_peer_learn(p);
	}
	return p;
}

void fns_peer_put(struct fns_peer *p)
{
	struct fns_list *n;

	if (!p || --p->refs)
		return;
	while ((n = fns_list_pop_front(&p->waiters))) {
		struct fns_qp *qp = fns_container_of(n, struct fns_qp, sched);

		qp->peer_wait = false;
		qp->wait_peer = NULL;
		fns_list_push_back(&p->nic->active, &qp->sched);
	}
	if (p->turn)
		p->turn->wait_peer = NULL;
	fns_timer_cancel(p->nic->timers, &p->un.timer);
	fns_list_remove(&p->node);
	fns_host_put(p->nic, p->host);
	free(p);
}

void fns_peer_wake(struct fns_nic *nic, struct fns_peer *p)
{
	struct fns_list *n;
	struct fns_qp *qp;

	bool full = fns_peer_will_answer(p) && p->inflight > p->window / 2;

	/* One at a time: the next is woken when this one has had its turn and left room. */
	if (p->turn || (full && !p->un.probe) || !(n = fns_list_pop_front(&p->waiters)))
		return;
	qp = fns_container_of(n, struct fns_qp, sched);
	qp->peer_wait = false;
	p->turn = qp;
	fns_list_push_back(&nic->active, &qp->sched);
}

void fns_peer_ask(struct fns_qp *qp, uint32_t psn)
{
	qp->req.ask_psn = psn;
	qp->peer->asks += !qp->req.asked;
	qp->req.asked = true;
}

void fns_peer_unask(struct fns_qp *qp)
{
	if (!qp->req.asked)
		return;
	qp->req.asked = false;
	qp->peer->asks--;
	fns_peer_wake(qp->nic, qp->peer);
}

void fns_peer_wait(struct fns_qp *qp, struct fns_peer *p)
{
	fns_count(qp->nic->stats, FNS_C_window_stalls);
	fns_qp_deactivate(qp);
	/* It had its turn; nobody else is woken, for there is no room, but where it waited for
	 * another peer. */
	if (qp->wait_peer == p)
		p->turn = NULL;
	else
		fns_peer_pass(qp);
	qp->peer_wait = true;
	qp->wait_peer = p;
	fns_list_push_back(&p->waiters, &qp->sched);
}

void fns_peer_pass(struct fns_qp *qp)
{
	struct fns_peer *p = qp->wait_peer;

	if (!p || qp->peer_wait)
		return;
	qp->wait_peer = NULL;
	p->turn = NULL;
	fns_peer_wake(qp->nic, p);
}

void fns_peer_release(struct fns_nic *nic, struct fns_peer *p, uint32_t cost, bool acked)
{
	if (cost == 0)
		return;
	p->inflight -= FNS_MIN(cost, p->inflight);
	if (acked && p->window < p->max_window) {
		uint64_t grow = (uint64_t)cost * PEER_GROW / p->window + 1;

		p->window = (uint32_t)FNS_MIN((uint64_t)p->window + grow, p->max_window);
	}
	fns_peer_wake(nic, p);
}

void fns_peer_learn(struct fns_peer *p)
{
	bool whole = p->window == p->max_window, flexins;
	struct fns_nic *nic = p->nic;

	if (!p->host || p->host->state == FNS_HELLO_UNKNOWN)
		return;
	flexins = p->host->state == FNS_HELLO_FLEXINS && nic->peer_budget != FNS_PEER_UNLIMITED;
	p->max_window = flexins ? FNS_MIN(fns_rcvbuf_share(p->host->hello.rcvbuf), nic->peer_cap)
				: nic->peer_budget;
	if (whole || p->window > p->max_window)
		p->window = p->max_window;
	fns_credit_learn(p);
	fns_peer_wake(nic, p);
}

void fns_peer_loss(struct fns_nic *nic, struct fns_peer *p, uint64_t rtt_ns)
{
	uint64_t pause = FNS_MAX(rtt_ns, 100 * FNS_NSEC_PER_USEC);

	if (p->max_window == FNS_PEER_UNLIMITED ||
		(p->cut_at_ns && nic->now_ns < p->cut_at_ns + pause))
		return;
	p->cut_at_ns = nic->now_ns;
	p->window = FNS_MIN(p->window, FNS_MAX(p->window / 2, PEER_MIN_WINDOW));
}
