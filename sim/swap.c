/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Congestion controls swapped at random points of any scenario (SIM_SWAP_CC): of one queue pair, of
 * all to one peer, of all. Nothing that a scenario checks may notice. Called by run.c between
 * events; has its own random stream, so that the run is otherwise drawn as without it.
 */
#include <errno.h>

#include "base/assert.h"
#include "sim/sim.h"

#define EVERY 24u /* events, on average */

static const char *const ccs[] = {"static_window", "swift", "swift:target_us=20,start_cwnd=1",
	"dcqcn:line_mbps=10000", "dcqcn", "timely:line_mbps=10000",
	"timely:line_mbps=10000,start_mbps=1000"};

static void choose(struct sim_world *w, struct fns_cc_choice *c)
{
	char err[128];
	unsigned n = 0;

	while (fns_cc_at(n))
		n++;
	if (fns_rng_below(&w->swap, 2)) /* any, as it is without parameters */
		fns_cc_default(fns_cc_at((unsigned)fns_rng_below(&w->swap, n)), c);
	else
		fns_assert(fns_cc_parse(
			ccs[fns_rng_below(&w->swap, FNS_ARRAY_SIZE(ccs))], c, err, sizeof(err)));
}

void sim_swap(struct sim_world *w)
{
	struct sim_host *h = w->host[fns_rng_below(&w->swap, w->nhosts)];
	struct fns_engine_cc_who who = {0};
	struct fns_cc_choice c;
	char text[64];
	int r;

	if (fns_rng_below(&w->swap, EVERY) || h->dead || !h->nqp)
		return;
	choose(w, &c);
	switch (fns_rng_below(&w->swap, 8)) {
	case 0:
		break;
	case 1:
		who.by_peer = true;
		who.peer = w->host[fns_rng_below(&w->swap, w->nhosts)]->gid;
		break;
	default:
		who.qpn = h->qp[fns_rng_below(&w->swap, h->nqp)]->qpn;
		break;
	}
	r = fns_engine_cc_set(h->e, &who, &c, w->now);
	fns_cc_print(&c, text, sizeof(text));
	sim_trace(w, "host %u: queue pair %06x gets %s = %d", h->idx, who.qpn, text, r);
	sim_hash(w, (uint64_t)who.qpn << 32 | (uint32_t)r);
	if (r < 0 && r != -EAGAIN && r != -ENOENT && r != -EPROTONOSUPPORT)
		sim_fail(w, "host %u: setting %s gives %d", h->idx, text, r);
	w->swaps += r > 0;
	sim_host_wake(h, 0);
}
