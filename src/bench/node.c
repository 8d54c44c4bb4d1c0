/* SPDX-License-Identifier: Apache-2.0 */
/* An engine with its application: see node.h. */
#include "bench/node.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/util.h"

static void control(struct fns_node *n, struct fns_ctl *m, uint64_t now_ns)
{
	if (m->op != FNS_CTL_CLIENT_OPEN)
		m->client = n->client;
	m->result = 1;
	fns_engine_control(n->e, m, now_ns);
	fns_assert(m->result == 0);
}

static void on_event(void *ctx, const struct fns_event *ev)
{
	(void)ctx;
	(void)ev;
}

static void on_comp(void *ctx, uint64_t channel, uint64_t cookie)
{
	(void)ctx;
	(void)channel;
	(void)cookie;
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fns_assert(p != MAP_FAILED);
	return p;
}

static void make_objects(struct fns_node *n)
{
	const uint32_t all =
		FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ;
	uint64_t now = n->cfg.start_ns;
	struct fns_ctl m = {.op = FNS_CTL_CLIENT_OPEN};
	uint32_t i;

	control(n, &m, now);
	n->client = m.client;
	m = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	control(n, &m, now);
	n->pd = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_MR_REG};
	m.mr.addr = m.mr.iova = (uintptr_t)n->mem;
	m.mr.len = n->mem_bytes;
	m.mr.pd = n->pd;
	m.mr.access = all;
	control(n, &m, now);
	n->key = m.mr.key;
	m = (struct fns_ctl){.op = FNS_CTL_CQ_CREATE};
	m.cq.ring = (uintptr_t)n->cq;
	m.cq.log2 = n->cq_log2;
	control(n, &m, now);
	n->cq_handle = m.handle;
	for (i = 0; i < n->cfg.qps; i++) {
		m = (struct fns_ctl){.op = FNS_CTL_QP_CREATE};
		m.qp.pd = n->pd;
		m.qp.send_cq = m.qp.recv_cq = n->cq_handle;
		m.qp.type = FNS_QPT_RC;
		m.qp.cap = (struct fns_ctl_qp_cap){.max_send_wr = n->cfg.depth,
			.max_recv_wr = 1,
			.max_send_sge = 1,
			.max_recv_sge = 1};
		control(n, &m, now);
		n->qpn[i] = m.handle;
		n->gen[i] = m.qp.gen;
	}
}

struct fns_node *fns_node_create(const struct fns_node_cfg *cfg)
{
	struct fns_node *n = calloc(1, sizeof(*n));
	struct fns_engine_cfg ec;
	uint32_t slots = fns_pow2_ceil(cfg->qps * cfg->depth + 1);

	fns_assert(n);
	n->cfg = *cfg;
	n->stride = FNS_ALIGN_UP((size_t)cfg->size, (size_t)FNS_CACHELINE);
	n->mem_bytes = FNS_ALIGN_UP(n->stride * cfg->qps * cfg->depth, (size_t)4096);
	n->mem = map(n->mem_bytes);
	n->stats = map(sizeof(*n->stats)); /* sparse */
	n->sq_slots = FNS_MAX(slots, 64u);
	n->sq = map(sizeof(*n->sq) + n->sq_slots * sizeof(struct fns_sqd));
	n->cq_log2 = (uint32_t)__builtin_ctz(n->sq_slots);
	n->cq = map(sizeof(*n->cq) + n->sq_slots * sizeof(struct fns_cqe));
	n->qpn = calloc(cfg->qps, sizeof(*n->qpn));
	n->gen = calloc(cfg->qps, sizeof(*n->gen));
	fns_assert(n->qpn && n->gen);
	ec = (struct fns_engine_cfg){.wire = cfg->wire,
		.dma = cfg->dma,
		.stats = n->stats,
		.seed = cfg->seed,
		.start_ns = cfg->start_ns,
		.prefix = cfg->prefix,
		.peer_budget = 1u << 30, /* the wire is lossless */
		.up = {.comp_event = on_comp, .async_event = on_event}};
	n->e = fns_engine_create(&ec);
	fns_assert(n->e && fns_engine_attach(n->e, n->sq, n->sq_slots) == 0);
	make_objects(n);
	return n;
}

void fns_node_destroy(struct fns_node *n)
{
	if (!n)
		return;
	fns_engine_destroy(n->e);
	munmap(n->mem, n->mem_bytes);
	munmap(n->stats, sizeof(*n->stats));
	munmap(n->sq, sizeof(*n->sq) + n->sq_slots * sizeof(struct fns_sqd));
	munmap(n->cq, sizeof(*n->cq) + n->sq_slots * sizeof(struct fns_cqe));
	free(n->qpn);
	free(n->gen);
	free(n);
}

static void modify(struct fns_node *n, uint32_t qp, const struct fns_ctl_qp_attr *a, uint64_t now)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_MODIFY, .handle = n->qpn[qp]};

	m.qp_attr = *a;
	control(n, &m, now);
}

static void to_rts(struct fns_node *n, const struct fns_node *peer, uint32_t qp, uint64_t now)
{
	struct fns_ctl_qp_attr a = {.state = FNS_QPS_INIT,
		.port = 1,
		.access = FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ,
		.mask = FNS_QPA_STATE | FNS_QPA_PKEY_INDEX | FNS_QPA_PORT | FNS_QPA_ACCESS_FLAGS};

	modify(n, qp, &a, now);
	a = (struct fns_ctl_qp_attr){.state = FNS_QPS_RTR,
		.path_mtu = (uint8_t)n->cfg.pmtu,
		.dest_qpn = peer->qpn[qp],
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.av = {.sgid = n->cfg.self,
			.dgid = n->cfg.peer,
			.hop_limit = 64,
			.is_global = 1,
			.port = 1,
			.link_mtu = 9000},
		.mask = FNS_QPA_STATE | FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN |
			FNS_QPA_RQ_PSN | FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER};
	modify(n, qp, &a, now);
	/* No timeouts: nothing is lost here, and a queue may be long. */
	a = (struct fns_ctl_qp_attr){.state = FNS_QPS_RTS,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 1,
		.mask = FNS_QPA_STATE | FNS_QPA_SQ_PSN | FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT |
			FNS_QPA_RNR_RETRY | FNS_QPA_MAX_RD_ATOMIC};
	modify(n, qp, &a, now);
}

void fns_node_connect(struct fns_node *a, struct fns_node *b, uint64_t now_ns)
{
	uint32_t i;

	for (i = 0; i < a->cfg.qps; i++) {
		to_rts(a, b, i, now_ns);
		to_rts(b, a, i, now_ns);
	}
}

void fns_node_write(struct fns_node *n, const struct fns_node *peer, uint32_t qp, uint32_t slot,
	uint32_t size, bool signaled)
{
	uint32_t mask = n->sq_slots - 1, log2 = n->cq_log2;
	uint32_t phase = (n->sq_tail >> log2 & 1) ^ 1;
	size_t off = ((size_t)qp * n->cfg.depth + slot) * n->stride;
	struct fns_sqd *s = &n->sq->slot[n->sq_tail & mask];
	struct fns_sqd d = {.qpn = n->qpn[qp],
		.gen = n->gen[qp],
		.wr_id = (uint64_t)qp << 32 | slot,
		.remote_addr = (uintptr_t)peer->mem + off,
		.rkey = peer->key,
		.num_sge = 1,
		.sge0 = {.addr = (uintptr_t)n->mem + off, .len = size, .lkey = n->key}};

	fns_assert(n->sq_tail - atomic_load_explicit(&n->sq->credit, memory_order_acquire) <
		   n->sq_slots);
	memcpy((char *)s + 4, (char *)&d + 4, sizeof(d) - 4);
	atomic_store_explicit(&s->ctl,
		FNS_SQD_CTL(phase, 1, FNS_WR_WRITE, signaled ? FNS_WRF_SIGNALED : 0),
		memory_order_release);
	n->sq_tail++;
}

bool fns_node_poll(struct fns_node *n, struct fns_cqe *out)
{
	struct fns_cqe *c = &n->cq->entry[n->consumed & ((1u << n->cq_log2) - 1)];
	uint32_t want = (n->consumed >> n->cq_log2 & 1) ^ 1;

	if ((atomic_load_explicit(&c->phase, memory_order_acquire) & 1) != want)
		return false;
	memcpy(out, c, sizeof(*out));
	fns_assert(out->status == FNS_WC_SUCCESS);
	n->consumed++;
	atomic_store_explicit(&n->cq->consumer, n->consumed, memory_order_release);
	return true;
}
