/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receive window of a destination engine. All queue pairs of a process that talk to one peer process share that process's socket
 * buffer, so the window is kept per (address, prefix) and counts what a packet truly costs there. Several senders that do not know of each
 * other find their share by halving on loss and growing with acknowledgements.
 */
#include "transport/qp.h"

#define PEER_MIN_WINDOW 16384u
#define PEER_GROW	4096u /* per window acknowledged */

void fns_peer_init(struct fns_peer *p, const struct fns_gid *remote, uint8_t prefix, uint32_t budget)
{
	*p = (struct fns_peer){.remote = *remote, .prefix = prefix};
	p->window = p->max_window = budget;
	fns_list_init(&p->waiters);
	fns_list_init(&p->node);
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
	if (!fns_list_empty(&p->waiters))
		fns_qp_wake(nic, &p->waiters);
}

void fns_peer_loss(struct fns_nic *nic, struct fns_peer *p, uint64_t rtt_ns)
{
	uint64_t pause = FNS_MAX(rtt_ns, 100 * FNS_NSEC_PER_USEC);

	if (p->cut_at_ns && nic->now_ns < p->cut_at_ns + pause)
		return;
	p->cut_at_ns = nic->now_ns;
	p->window = FNS_MAX(p->window / 2, PEER_MIN_WINDOW);
}
