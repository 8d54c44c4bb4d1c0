/* SPDX-License-Identifier: Apache-2.0 */
/* Two engines in memory: see micro.h. */
#include "bench/micro.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/util.h"
#include "bench/memwire.h"
#include "bench/node.h"

#define START_NS     1000000ull
#define TURN_NS      1000ull /* virtual time of one turn of the loop */
#define SIGNAL_EVERY 16u
#define IDLE_TURNS   1000000u

struct fns_micro {
	struct fns_micro_cfg cfg;
	struct fns_wire *wire[2];
	struct fns_dma *dma[2];
	struct fns_node *node[2];
	uint64_t now_ns;
	uint64_t stage_ns[FNS_MICRO_STAGES];
	uint32_t *posted, *done; /* of each queue pair */
};

struct fns_micro *fns_micro_create(const struct fns_micro_cfg *cfg)
{
	struct fns_micro *m;
	unsigned i;

	if (cfg->size < 1 || cfg->size > 65536 || cfg->qps < 1 || cfg->depth < 1)
		return NULL;
	m = calloc(1, sizeof(*m));
	fns_assert(m);
	m->cfg = *cfg;
	m->now_ns = START_NS;
	fns_memwire_pair(cfg->icrc, m->wire);
	for (i = 0; i < 2; i++) {
		struct fns_node_cfg nc = {.wire = m->wire[i],
			.self = fns_memwire_gid(i),
			.peer = fns_memwire_gid(!i),
			.prefix = 1,
			.qps = cfg->qps,
			.depth = cfg->depth,
			.size = cfg->size,
			.pmtu = 5,
			.seed = i + 1,
			.start_ns = START_NS};

		m->dma[i] = nc.dma = fns_dma_direct_create();
		fns_assert(nc.dma);
		m->node[i] = fns_node_create(&nc);
	}
	for (size_t k = 0; k < m->node[0]->mem_bytes; k++)
		m->node[0]->mem[k] = (uint8_t)(k * 7 + (k >> 8) * 13 + 1);
	fns_node_connect(m->node[0], m->node[1], START_NS);
	m->posted = calloc(cfg->qps, sizeof(*m->posted));
	m->done = calloc(cfg->qps, sizeof(*m->done));
	fns_assert(m->posted && m->done);
	return m;
}

void fns_micro_destroy(struct fns_micro *m)
{
	unsigned i;

	if (!m)
		return;
	for (i = 0; i < 2; i++)
		fns_node_destroy(m->node[i]);
	for (i = 0; i < 2; i++) {
		m->wire[i]->ops->destroy(m->wire[i]);
		m->dma[i]->ops->destroy(m->dma[i]);
	}
	free(m->posted);
	free(m->done);
	free(m);
}

static void post(struct fns_micro *m)
{
	uint32_t depth = m->cfg.depth, qp;

	for (qp = 0; qp < m->cfg.qps; qp++)
		while (m->posted[qp] - m->done[qp] < depth) {
			uint32_t k = m->posted[qp]++ % depth;

			fns_node_write(m->node[0], m->node[1], qp, k, m->cfg.size,
				(k + 1) % SIGNAL_EVERY == 0 || k + 1 == depth);
		}
}

static uint64_t reap(struct fns_micro *m)
{
	struct fns_cqe c;
	uint64_t n = 0;

	while (fns_node_poll(m->node[0], &c)) {
		uint32_t qp = (uint32_t)(c.wr_id >> 32), last = (uint32_t)c.wr_id;
		uint32_t first = m->done[qp] % m->cfg.depth;

		m->done[qp] += last - first + 1;
		n += last - first + 1;
	}
	return n;
}

/* Ends stage s, which began at t. Returns the beginning of the next. */
static uint64_t lap(struct fns_micro *m, enum fns_micro_stage s, uint64_t t)
{
	uint64_t now;

	if (!m->cfg.clock_ns)
		return 0;
	now = m->cfg.clock_ns();
	m->stage_ns[s] += now - t;
	return now;
}

uint64_t fns_micro_run(struct fns_micro *m, uint64_t messages, uint64_t *packets)
{
	uint64_t n = 0, got, before = fns_node_count(m->node[1], FNS_C_rx_packets);
	uint64_t t = m->cfg.clock_ns ? m->cfg.clock_ns() : 0;
	uint32_t idle = 0;

	while (n < messages) {
		post(m);
		t = lap(m, FNS_MICRO_APP, t);
		fns_engine_advance(m->node[0]->e, m->now_ns, FNS_ADVANCE_ALL);
		t = lap(m, FNS_MICRO_SENDER, t);
		fns_engine_advance(m->node[1]->e, m->now_ns, FNS_ADVANCE_ALL);
		t = lap(m, FNS_MICRO_RECEIVER, t);
		m->now_ns += TURN_NS;
		got = reap(m);
		n += got;
		idle = got ? 0 : idle + 1;
		fns_assert(idle < IDLE_TURNS);
	}
	*packets = fns_node_count(m->node[1], FNS_C_rx_packets) - before;
	lap(m, FNS_MICRO_APP, t);
	return n;
}

void fns_micro_stages(const struct fns_micro *m, uint64_t ns[FNS_MICRO_STAGES])
{
	memcpy(ns, m->stage_ns, sizeof(m->stage_ns));
}

bool fns_micro_intact(const struct fns_micro *m)
{
	const struct fns_node *n = m->node[0];
	size_t i;

	for (i = 0; i < (size_t)m->cfg.qps * m->cfg.depth; i++)
		if (memcmp(n->mem + i * n->stride, m->node[1]->mem + i * n->stride, m->cfg.size) !=
			0)
			return false;
	return true;
}
