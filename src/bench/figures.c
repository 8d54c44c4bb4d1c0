/* SPDX-License-Identifier: Apache-2.0 */
/* Which points make which figure: see figures.h. */
#include "bench/figures.h"

#include "base/assert.h"
#include "base/util.h"

#define SET_SIZE  4096u /* message of the figure by working set */
#define PIPE_SIZE 64u

const struct fns_snic_figure_info fns_snic_figure_info[FNS_SNIC_FIGURES] = {
	[FNS_SNIC_FIG_TX] = {"tx", "TX by message size", "message, bytes"},
	[FNS_SNIC_FIG_RX] = {"rx", "RX by message size", "message, bytes"},
	[FNS_SNIC_FIG_SET] = {"set", "RX of 4 KiB by working set", "outstanding, KiB"},
	[FNS_SNIC_FIG_PIPE] = {"pipe", "notification pipe, 64-byte messages", "posted at a time"},
};

struct list {
	struct fns_snic_point *out;
	size_t n;
};

static void add(struct list *l, const struct fns_snic_point *pt)
{
	fns_assert(l->n < FNS_SNIC_POINTS);
	l->out[l->n++] = *pt;
}

static void tx(struct list *l, struct fns_snic_point pt)
{
	static const struct {
		const char *name;
		enum fns_snic_tx tx;
	} scheme[] = {{"header-only", FNS_SNIC_TX_HEADER_ONLY},
		{"DMA-assisted", FNS_SNIC_TX_DMA_ASSISTED},
		{"RDMA-assisted", FNS_SNIC_TX_RDMA_ASSISTED}};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(scheme); i++)
		for (pt.x = 128; pt.x <= 8192; pt.x *= 2) {
			pt.scheme = scheme[i].name;
			pt.c.tx = scheme[i].tx;
			pt.c.size = pt.x;
			add(l, &pt);
		}
}

static const struct rx_scheme {
	const char *name;
	enum fns_snic_rx rx;
	bool no_stash; /* whatever the parameter says */
} rx_scheme[] = {{"in-cache", FNS_SNIC_RX_IN_CACHE, false},
	{"ring-discarded", FNS_SNIC_RX_DISCARD, false}, {"ring", FNS_SNIC_RX_RING, false},
	{"ring-no-stashing", FNS_SNIC_RX_RING, true}};

static void rx_take(struct fns_snic_point *pt, const struct rx_scheme *s)
{
	pt->scheme = s->name;
	pt->c.receive = true;
	pt->c.rx = s->rx;
	if (s->no_stash)
		pt->p.stash = 0;
}

static void rx(struct list *l, const struct fns_snic_point *base)
{
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(rx_scheme); i++) {
		struct fns_snic_point pt = *base;

		rx_take(&pt, &rx_scheme[i]);
		for (pt.x = 512; pt.x <= 8192; pt.x *= 2) {
			pt.c.size = pt.x;
			add(l, &pt);
		}
	}
}

/* The senders have x outstanding; rings are as large as that, the pool is not. */
static void set(struct list *l, const struct fns_snic_point *base)
{
	uint32_t flows = base->p.rx_cores * base->p.rx_qps, i;

	for (i = 0; i < FNS_ARRAY_SIZE(rx_scheme); i++) {
		struct fns_snic_point pt = *base;

		rx_take(&pt, &rx_scheme[i]);
		pt.c.size = SET_SIZE;
		for (pt.x = 1024; pt.x <= 65536; pt.x *= 2) {
			pt.p.depth = FNS_MAX(pt.x * 1024 / SET_SIZE / flows, 1u);
			/* A buffer is a little more than its packet. */
			pt.p.ring_kb = (uint32_t)((uint64_t)pt.x * FNS_SNIC_BUF / SET_SIZE) + 1;
			add(l, &pt);
		}
	}
}

static void pipe(struct list *l, struct fns_snic_point pt)
{
	unsigned i;

	pt.p.tx_cores = pt.p.qps = 1;
	for (i = 0; i < 2; i++)
		for (pt.x = 1; pt.x <= 32; pt.x *= 2) {
			pt.scheme = i ? "doorbell" : "phase";
			pt.c.pipe = i ? FNS_SNIC_PIPE_DOORBELL : FNS_SNIC_PIPE_PHASE;
			pt.c.size = PIPE_SIZE;
			pt.c.burst = pt.p.depth = pt.x;
			add(l, &pt);
		}
}

size_t fns_snic_figure_points(enum fns_snic_figure f, const struct fns_snic_params *p,
	struct fns_snic_point out[FNS_SNIC_POINTS])
{
	struct fns_snic_point base = {.figure = f, .p = *p};
	struct list l = {.out = out};

	switch (f) {
	case FNS_SNIC_FIG_TX:
		tx(&l, base);
		break;
	case FNS_SNIC_FIG_RX:
		rx(&l, &base);
		break;
	case FNS_SNIC_FIG_SET:
		set(&l, &base);
		break;
	default:
		pipe(&l, base);
		break;
	}
	return l.n;
}
