/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One engine and the application above it, in one thread and one process, for measurements: memory
 * under one key, a submission ring, one completion queue, queue pairs joined one to one with those
 * of another node. The measurement owns wire and DMA backend and advances the engine. Asserts where
 * the engine refuses what it must accept.
 */
#ifndef FNS_BENCH_NODE_H
#define FNS_BENCH_NODE_H

#include "engine/engine.h"

struct fns_node_cfg {
	struct fns_wire *wire;
	struct fns_dma *dma;
	struct fns_gid self, peer;
	uint8_t prefix; /* of both */
	uint32_t qps;   /* queue pairs */
	uint32_t depth; /* work requests outstanding on each, at most */
	uint32_t size;  /* bytes of a message, at most */
	uint32_t pmtu;  /* ibv_mtu: 1..5 */
	uint64_t seed;
	uint64_t start_ns;
};

struct fns_node {
	struct fns_node_cfg cfg;
	struct fns_engine *e;
	struct fns_stats *stats;
	struct fns_sq_shared *sq;
	uint32_t sq_slots, sq_tail;
	struct fns_cq_shared *cq;
	uint32_t cq_log2, consumed;
	uint8_t *mem; /* qps * depth slots of size, each on lines of its own */
	size_t mem_bytes, stride;
	uint32_t client, pd, cq_handle, key;
	uint32_t *qpn; /* cfg.qps of them */
	uint8_t *gen;
};

struct fns_node *fns_node_create(const struct fns_node_cfg *cfg);
void fns_node_destroy(struct fns_node *n);
/* Joins the queue pairs of both; RESET to RTS. */
void fns_node_connect(struct fns_node *a, struct fns_node *b, uint64_t now_ns);

/* WRITE of size bytes from slot of queue pair qp into the same slot of the peer. wr_id: qp << 32 |
 * slot. The ring must have room: qps * depth are never more than it holds. */
void fns_node_write(struct fns_node *n, const struct fns_node *peer, uint32_t qp, uint32_t slot,
	uint32_t size, bool signaled);
/* The next completion; asserts that it is a success. */
bool fns_node_poll(struct fns_node *n, struct fns_cqe *out);

static inline uint64_t fns_node_count(const struct fns_node *n, enum fns_counter c)
{
	return atomic_load_explicit(&n->stats->counter[c], memory_order_relaxed);
}

#endif
