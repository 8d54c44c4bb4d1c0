/* SPDX-License-Identifier: Apache-2.0 */
/* Engines on an emulated card, in virtual time: see smartnic.h. */
#include "bench/smartnic.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/util.h"
#include "bench/node.h"

#define START_NS     1000000ull
#define SIGNAL_EVERY 4u /* completions are moderated */
#define MAX_STEPS    2000000000ull
#define RAMP_PS      100000ull /* between the first posts of cores */

struct bench;

/* An engine on a core, and its application. */
struct host {
	struct fns_snic_core core; /* first */
	struct bench *b;
	struct fns_node *node;
	struct fns_wire *wire;
	struct fns_dma *dma;
	struct host *peer;
	uint64_t free_ps; /* when the core's turn is over */
	uint64_t wake_ps; /* planned, UINT64_MAX: not */
	bool in_turn, again, app_planned;
	uint64_t reported;       /* completions that the application was told of */
	uint32_t credit;         /* of the submission ring, likewise */
	uint32_t reserved;       /* messages on their way down the pipe */
	uint32_t *posted, *done; /* of each queue pair, free-running */
	uint64_t *posted_ps;     /* of each message outstanding */
	uint32_t next_qp, qps;
};

/* Descriptors on their way to the engine. */
struct batch {
	struct host *h;
	uint32_t n;
	uint64_t posted_ps;
};

struct bench {
	struct fns_vt vt;
	struct fns_snic_params p;
	struct fns_snic_case c;
	struct fns_snic *card;
	struct fns_snic_net *net;
	struct host host[2 * FNS_SNIC_PORTS]; /* senders, then receivers */
	uint32_t pairs;
	uint64_t completed; /* messages */
	uint64_t latency_ps;
	bool stopping;
};

static void advance(void *arg);

static void wake_at(struct host *h, uint64_t at_ps)
{
	if (at_ps >= h->wake_ps)
		return;
	h->wake_ps = at_ps;
	fns_vt_at(&h->b->vt, at_ps, advance, h);
}

/* Something came for the engine. */
static void wake(struct fns_snic_core *c)
{
	struct host *h = (struct host *)c;

	if (h->in_turn)
		h->again = true;
	else
		wake_at(h, FNS_MAX(h->b->vt.now_ps, h->free_ps));
}

/* --- the application, on a CPU of the host that costs nothing --- */

/* Descriptors have arrived: into the ring, queue pair by queue pair. */
static void arrived(void *arg)
{
	struct batch *batch = arg;
	struct host *h = batch->h;
	uint32_t depth = h->b->p.depth, idle = 0;

	h->reserved -= batch->n;
	while (batch->n) {
		uint32_t qp = h->next_qp, k = h->posted[qp] % depth;

		h->next_qp = (qp + 1) % h->qps;
		if (h->posted[qp] - h->done[qp] == depth) {
			fns_assert(++idle < h->qps); /* room was counted */
			continue;
		}
		idle = 0;
		h->posted[qp]++;
		h->posted_ps[(size_t)qp * depth + k] = batch->posted_ps;
		fns_node_write(h->node, h->peer->node, qp, k, h->b->c.size,
			(k + 1) % SIGNAL_EVERY == 0 || k + 1 == depth);
		batch->n--;
	}
	free(batch);
	wake(&h->core);
}

static void post(struct host *h)
{
	struct bench *b = h->b;
	uint32_t space = h->qps * b->p.depth - h->reserved, i, n;
	uint64_t delay = 0;

	for (i = 0; i < h->qps; i++)
		space -= h->posted[i] - h->done[i];
	while (space && !b->stopping) {
		struct batch *batch = malloc(sizeof(*batch));

		n = b->c.burst ? FNS_MIN(b->c.burst, space) : space;
		fns_assert(batch);
		*batch = (struct batch){h, n, b->vt.now_ps};
		h->reserved += n;
		space -= n;
		if (h->core.card)
			delay = fns_snic_pipe_down(h->core.card, b->c.pipe, n);
		fns_vt_at(&b->vt, b->vt.now_ps + delay * FNS_PS_PER_NS, arrived, batch);
	}
}

static void app(void *arg)
{
	struct host *h = arg;
	struct bench *b = h->b;
	bool polled = false;
	struct fns_cqe c;
	uint32_t i;

	h->app_planned = false;
	while (fns_node_poll(h->node, &c)) {
		uint32_t qp = (uint32_t)(c.wr_id >> 32), last = (uint32_t)c.wr_id;

		polled = true;
		/* Those before it, which asked for no completion, are done as well. */
		do {
			i = h->done[qp]++ % b->p.depth;
			b->completed++;
			b->latency_ps += b->vt.now_ps - h->posted_ps[(size_t)qp * b->p.depth + i];
		} while (i != last);
	}
	/* With doorbells the card reads the consumer's index instead. */
	if (polled && h->core.card && b->c.pipe == FNS_SNIC_PIPE_PHASE)
		fns_snic_pipe_credit(h->core.card, false);
	post(h);
}

/* --- the engine --- */

/* Tells the application of completions, through the card's pipe if there is one. */
static void report(struct host *h)
{
	struct bench *b = h->b;
	uint64_t total = fns_node_count(h->node, FNS_C_wc_success), delay = 0;
	uint32_t credit = atomic_load_explicit(&h->node->sq->credit, memory_order_relaxed);

	if (h->core.card && credit != h->credit)
		fns_snic_pipe_credit(h->core.card, true);
	h->credit = credit;
	if (total == h->reported)
		return;
	if (h->core.card)
		delay = fns_snic_pipe_up(h->core.card, b->c.pipe, (uint32_t)(total - h->reported));
	h->reported = total;
	if (h->app_planned)
		return;
	h->app_planned = true;
	fns_vt_at(&b->vt, h->free_ps + delay * FNS_PS_PER_NS, app, h);
}

static void advance(void *arg)
{
	struct host *h = arg;
	struct bench *b = h->b;
	uint64_t now = b->vt.now_ps, next;
	unsigned work;

	if (now != h->wake_ps)
		return; /* another turn was planned instead */
	h->wake_ps = UINT64_MAX;
	h->core.spent_ps = 0;
	h->in_turn = true;
	h->again = false;
	if (h->core.card)
		fns_snic_core_spend(&h->core, b->p.core_poll_ns);
	work = fns_engine_advance(h->node->e, now / FNS_PS_PER_NS, FNS_ADVANCE_ALL);
	h->in_turn = false;
	h->free_ps = now + FNS_MAX(h->core.spent_ps, FNS_PS_PER_NS);
	if (work || h->again)
		wake_at(h, h->free_ps);
	next = fns_engine_next(h->node->e);
	if (next != UINT64_MAX)
		wake_at(h, FNS_MAX(next * FNS_PS_PER_NS, h->free_ps));
	report(h);
}

/* --- life --- */

static void host_create(struct bench *b, uint32_t idx, bool sender)
{
	struct host *h = &b->host[sender ? idx : b->pairs + idx];
	bool on_card = sender != b->c.receive;
	uint32_t total_kb = b->c.rx == FNS_SNIC_RX_IN_CACHE ? b->p.pool_kb : b->p.ring_kb;
	struct fns_snic_port_cfg pc = {
		.core = &h->core, .side = sender ? 0 : 1, .index = idx, .rx = b->c.rx};
	struct fns_node_cfg nc = {.self = fns_snic_gid(!sender),
		.peer = fns_snic_gid(sender),
		.prefix = (uint8_t)(idx + 1),
		.qps = b->c.receive ? b->p.rx_qps : b->p.qps,
		.depth = b->p.depth,
		.size = b->c.size,
		.pmtu = 5,
		.seed = idx + 1,
		.start_ns = START_NS};

	h->b = b;
	h->peer = &b->host[sender ? b->pairs + idx : idx];
	h->qps = nc.qps;
	h->wake_ps = UINT64_MAX;
	h->core = (struct fns_snic_core){
		.card = on_card ? b->card : NULL, .vt = &b->vt, .wake = wake};
	pc.buffers = FNS_MAX((uint32_t)((uint64_t)total_kb * 1024 / b->pairs / FNS_SNIC_BUF), 1u);
	h->wire = fns_snic_port_create(b->net, &pc);
	h->dma = on_card ? fns_snic_dma_create(&h->core,
				   b->c.receive || b->c.tx == FNS_SNIC_TX_HEADER_ONLY,
				   b->c.tx == FNS_SNIC_TX_RDMA_ASSISTED)
			 : fns_dma_direct_create();
	fns_assert(h->dma);
	nc.wire = h->wire;
	nc.dma = h->dma;
	h->node = fns_node_create(&nc);
	h->posted = calloc(nc.qps, sizeof(*h->posted));
	h->done = calloc(nc.qps, sizeof(*h->done));
	h->posted_ps = calloc((size_t)nc.qps * nc.depth, sizeof(*h->posted_ps));
	fns_assert(h->posted && h->done && h->posted_ps);
}

static void host_destroy(struct host *h)
{
	fns_node_destroy(h->node);
	h->wire->ops->destroy(h->wire);
	h->dma->ops->destroy(h->dma);
	free(h->posted);
	free(h->done);
	free(h->posted_ps);
}

static struct bench *create(const struct fns_snic_params *p, const struct fns_snic_case *c)
{
	struct bench *b = calloc(1, sizeof(*b));
	uint32_t i;

	fns_assert(b && c->size >= 1 && c->size <= FNS_SNIC_MAX_MESSAGE);
	b->p = *p;
	b->c = *c;
	b->pairs = c->receive ? p->rx_cores : p->tx_cores;
	fns_vt_init(&b->vt);
	b->vt.now_ps = START_NS * FNS_PS_PER_NS;
	b->card = fns_snic_create(&b->vt, p);
	b->net = fns_snic_net_create(&b->vt, p);
	for (i = 0; i < b->pairs; i++) {
		host_create(b, i, true);
		host_create(b, i, false);
	}
	for (i = 0; i < b->pairs; i++) {
		fns_node_connect(b->host[i].node, b->host[b->pairs + i].node, START_NS);
		b->host[i].app_planned = true;
		fns_vt_at(&b->vt, b->vt.now_ps + i * RAMP_PS, app, &b->host[i]);
	}
	return b;
}

static bool run_until(struct bench *b, uint64_t completed)
{
	uint64_t i;

	for (i = 0; b->completed < completed && i < MAX_STEPS; i++)
		if (!fns_vt_step(&b->vt))
			return false;
	return b->completed >= completed;
}

static void destroy(struct bench *b)
{
	uint64_t i;
	uint32_t k;

	/* What is in flight refers to the engines: let it end. */
	b->stopping = true;
	for (i = 0; i < MAX_STEPS && fns_vt_step(&b->vt); i++)
		;
	for (k = 0; k < 2 * b->pairs; k++)
		host_destroy(&b->host[k]);
	fns_snic_net_destroy(b->net);
	fns_snic_destroy(b->card);
	fns_vt_fini(&b->vt);
	free(b);
}

/* --- measuring --- */

static uint64_t sum(const struct bench *b, enum fns_counter c)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < 2 * b->pairs; i++)
		n += fns_node_count(b->host[i].node, c);
	return n;
}

bool fns_snic_measure(
	const struct fns_snic_params *p, const struct fns_snic_case *c, struct fns_snic_result *out)
{
	struct bench *b = create(p, c);
	uint64_t flying = (uint64_t)b->pairs * b->host[0].qps * p->depth;
	uint64_t packets = FNS_DIV_UP(c->size, 4096u), lap = 0, warm, n, t0, done, latency, again,
		 waits = 0;
	struct fns_snic_counts a, z;
	double bytes;
	uint32_t i;
	bool ok;

	/* A ring is measured over whole laps, once all its buffers were in use. */
	if (c->receive && c->rx != FNS_SNIC_RX_IN_CACHE)
		lap = (uint64_t)p->ring_kb * 1024 / FNS_SNIC_BUF / packets;
	/* Many times what is outstanding, which may complete in one go. */
	warm = FNS_MAX(FNS_MAX(p->messages / 2, 4 * flying), 2 * lap);
	n = FNS_MAX(FNS_MAX(p->messages, 16 * flying), lap);
	ok = run_until(b, warm);
	a = b->card->n;
	t0 = b->vt.now_ps;
	done = b->completed;
	latency = b->latency_ps;
	again = sum(b, FNS_C_rc_retransmits);
	ok = ok && run_until(b, done + n);
	z = b->card->n;
	done = b->completed - done;
	bytes = (double)done * c->size;
	if (ok) {
		uint64_t ps = FNS_MAX(b->vt.now_ps - t0, 1);
		uint64_t lines = z.mem.hits + z.mem.misses - a.mem.hits - a.mem.misses;
		uint64_t dram =
			z.mem.dram_read + z.mem.dram_written - a.mem.dram_read - a.mem.dram_written;

		for (i = 0; i < 2 * b->pairs; i++)
			waits += fns_snic_port_waits(b->host[i].wire);
		*out = (struct fns_snic_result){.gbps = bytes * 8000 / (double)ps,
			.mops = (double)done * 1e6 / (double)ps,
			.host_bytes = (double)(z.host_read + z.host_written - a.host_read -
					       a.host_written) /
				      bytes,
			.arm_bytes = (double)(z.arm_in + z.arm_out - a.arm_in - a.arm_out) / bytes,
			.dram_bytes = (double)dram / bytes,
			.dram_gbps = (double)dram * 8000 / (double)ps,
			.miss_percent = 100.0 * (double)(z.mem.misses - a.mem.misses) /
					(double)FNS_MAX(lines, 1),
			.pcie_ops = (double)(z.pcie_ops - a.pcie_ops) / (double)done,
			.latency_ns = (double)(b->latency_ps - latency) / 1000 / (double)done,
			.retransmits = sum(b, FNS_C_rc_retransmits) - again,
			.waits = waits,
			.virtual_ns = ps / FNS_PS_PER_NS};
	}
	destroy(b);
	return ok;
}
