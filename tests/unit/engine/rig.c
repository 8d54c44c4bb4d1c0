/* SPDX-License-Identifier: Apache-2.0 */
/* The test bench: see rig.h. */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fns_gid rig_gid4(uint8_t last)
{
	struct fns_gid g = {.b = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2}};

	g.b[15] = last;
	return g;
}

/* --- wire --- */

static struct rig *to_rig(struct fns_wire *w)
{
	return fns_container_of(w, struct rig, wire);
}

static int path_get(struct fns_wire *w, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl, struct fns_path **out)
{
	struct fns_path *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	*p = fns_path_to(local, remote, ifindex, prefix, tos, ttl);
	to_rig(w)->paths++;
	*out = p;
	return 0;
}

static void path_put(struct fns_wire *w, struct fns_path *p)
{
	assert_int_equal(p->refs, 1);
	to_rig(w)->paths--;
	free(p);
}

static bool faults(const struct rig *r, const struct fns_frame *f)
{
	unsigned i;

	for (i = 0; i < f->nsg; i++)
		if (f->sg[i].addr >= r->fault_from && f->sg[i].addr < r->fault_to)
			return true;
	return false;
}

static void keep(struct rig *r, const struct fns_frame *f)
{
	struct rig_packet *p = &r->sent[r->nsent++];
	uint32_t sum = 0;
	unsigned i;

	assert_true(r->nsent <= RIG_SENT);
	assert_true(f->loan || f->hdr_len + f->payload_len + f->pad <= RIG_PACKET);
	memset(p, 0, sizeof(*p));
	memcpy(p->data, f->hdr, f->hdr_len);
	p->len = f->hdr_len;
	if (f->loan) {
		p->lent_at = f->sg[0].addr;
		p->lent_pieces = f->nsg;
		p->lent = f->payload_len;
		p->loan = atomic_load(f->loan);
		assert_int_equal(f->pad, 0);
		for (i = 0; i < f->nsg; i++)
			sum += f->sg[i].len;
	}
	for (i = 0; i < f->nsg && !f->loan; i++) {
		memcpy(p->data + p->len, f->sg[i].addr, f->sg[i].len);
		p->len += f->sg[i].len;
		sum += f->sg[i].len;
	}
	assert_int_equal(sum, f->payload_len);
	p->len += f->pad;
	p->local = f->path->local;
	p->remote = f->path->remote;
	assert_int_equal(fns_hdr_parse(p->data, p->len, &p->h), FNS_HDR_OK);
	assert_int_equal(p->h.psn, f->psn);
	assert_int_equal(p->h.payload_len + p->lent, f->payload_len);
	assert_int_equal(p->h.dest_qp >> 16, f->path->prefix);
}

static unsigned tx_burst(struct fns_wire *w, struct fns_frame *frames, unsigned n)
{
	struct rig *r = to_rig(w);
	unsigned i;

	for (i = 0; i < n && r->room; i++, r->room--) {
		struct fns_frame *f = &frames[i];

		if (faults(r, f)) {
			f->status = FNS_FRAME_FAULT;
			continue;
		}
		f->status = FNS_FRAME_SENT;
		r->total_sent++;
		if (r->keep_sent)
			keep(r, f);
	}
	return i;
}

static unsigned rx_burst(struct fns_wire *w, struct fns_rx_view *views, unsigned max)
{
	struct rig *r = to_rig(w);
	struct fns_list *n;
	unsigned i = 0;

	while (i < max && (n = fns_list_pop_front(&r->rxq))) {
		struct rig_rx *rx = fns_container_of(n, struct rig_rx, node);

		views[i++] = rx->view;
		r->rx_queued--;
		r->views_out++;
		fns_count(r->stats, FNS_C_rx_packets);
	}
	return i;
}

static void rx_free(struct rig_rx *rx)
{
	free(rx->data);
	free(rx);
}

static void rx_release(struct fns_wire *w, struct fns_rx_view *v)
{
	assert_non_null(v->buf);
	to_rig(w)->views_out--;
	rx_free(v->buf);
	v->buf = NULL;
}

static uint32_t rx_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	(void)w;
	return len + (bulk ? 64 : 256);
}

static bool lends(struct fns_wire *w, const struct fns_path *path)
{
	(void)path;
	return to_rig(w)->lends;
}

static int fetch(struct fns_wire *w, const struct fns_rx_view *v, const struct iovec *to,
	unsigned nto, struct fns_dma_token *t)
{
	const uint8_t *from = ((struct rig_rx *)v->buf)->lent;
	struct rig *r = to_rig(w);
	uint32_t sum = 0;

	r->fetches++;
	for (unsigned i = 0; i < nto; i++) {
		memcpy(to[i].iov_base, from + sum, to[i].iov_len);
		sum += (uint32_t)to[i].iov_len;
	}
	assert_int_equal(sum, v->lent);
	if (!r->fetch_late)
		return r->fetch_result;
	assert_null(r->fetching);
	r->fetching = t;
	return FNS_DMA_PENDING;
}

void rig_fetched(struct rig *r)
{
	struct fns_dma_token *t = r->fetching;

	assert_non_null(t);
	r->fetching = NULL;
	t->done(t, r->fetch_result);
}

static const struct fns_wire_ops wire_ops = {
	.name = "rig",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
	.lends = lends,
	.fetch = fetch,
};

/* --- life --- */

static void on_comp(void *ctx, uint64_t channel, uint64_t cookie)
{
	(void)channel;
	(void)cookie;
	((struct rig *)ctx)->ncomp_events++;
}

static void on_async(void *ctx, const struct fns_event *ev)
{
	struct rig *r = ctx;

	r->event[r->nevents++ % RIG_EVENTS] = *ev;
}

int rig_ctl(struct rig *r, struct fns_ctl *m)
{
	if (m->op != FNS_CTL_CLIENT_OPEN && m->client == 0)
		m->client = r->client;
	m->result = 1;
	fns_engine_control(r->e, m, r->now);
	return m->result;
}

static void make_objects(struct rig *r)
{
	struct fns_ctl m = {.op = FNS_CTL_CLIENT_OPEN};

	assert_int_equal(rig_ctl(r, &m), 0);
	r->client = m.client;
	m = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	assert_int_equal(rig_ctl(r, &m), 0);
	r->pd = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_MR_REG,
		.mr = {.addr = (uintptr_t)r->mem,
			.len = RIG_MEM,
			.iova = (uintptr_t)r->mem,
			.pd = r->pd,
			.access = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE |
				  FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC |
				  FNS_ACCESS_MW_BIND}};
	assert_int_equal(rig_ctl(r, &m), 0);
	r->mr = m.handle;
	r->key = m.mr.key;
}

struct rig *rig_create(const struct rig_opts *opts)
{
	static const struct rig_opts defaults;
	const struct rig_opts *o = opts ? opts : &defaults;
	struct rig *r = calloc(1, sizeof(*r));
	struct fns_engine_cfg cfg;

	assert_non_null(r);
	r->wire.ops = &wire_ops;
	r->wire.caps = (struct fns_wire_caps){.max_packet = RIG_PACKET};
	r->dma = o->simdma ? fns_dma_sim_create(&o->sim) : fns_dma_direct_create();
	r->stats = aligned_alloc(64, FNS_ALIGN_UP(sizeof(*r->stats), 64));
	r->sent = malloc(RIG_SENT * sizeof(*r->sent));
	r->mem = aligned_alloc(4096, RIG_MEM);
	r->sq_slots = o->sq_slots ? o->sq_slots : 1024;
	r->sq = aligned_alloc(64, sizeof(*r->sq) + r->sq_slots * sizeof(struct fns_sqd));
	assert_true(r->dma && r->stats && r->sent && r->mem && r->sq);
	memset(r->stats, 0, sizeof(*r->stats));
	memset(r->mem, 0, RIG_MEM);
	memset(r->sq, 0, sizeof(*r->sq) + r->sq_slots * sizeof(struct fns_sqd));
	fns_list_init(&r->rxq);
	r->now = 1000000;
	r->room = UINT32_MAX;
	r->keep_sent = true;
	r->prefix = o->prefix ? o->prefix : RIG_PREFIX;
	r->self = rig_gid4(r->prefix);
	r->peer = rig_gid4((uint8_t)(3 - r->prefix));
	cfg = (struct fns_engine_cfg){.wire = &r->wire,
		.dma = r->dma,
		.stats = r->stats,
		.seed = o->seed,
		.start_ns = r->now,
		.prefix = r->prefix,
		.peer_budget = o->peer_budget,
		.read_budget = o->read_budget,
		.modes = o->modes,
		.cc = o->cc,
		.cnp_ns = o->cnp_ns,
		.selective = o->selective,
		.up = {.comp_event = on_comp, .async_event = on_async, .ctx = r}};
	if (!cfg.modes.tx && !cfg.modes.pipe) {
		assert_true(fns_tx_mode_parse(getenv("FLEXINS_TX"), &cfg.modes));
		assert_true(fns_pipe_mode_parse(getenv("FLEXINS_PIPE"), &cfg.modes));
	}
	r->e = fns_engine_create(&cfg);
	assert_non_null(r->e);
	assert_int_equal(fns_engine_attach(r->e, r->sq, r->sq_slots), 0);
	make_objects(r);
	return r;
}

void rig_destroy(struct rig *r)
{
	struct fns_list *n;

	rig_settle(r);
	fns_engine_destroy(r->e);
	r->dma->ops->destroy(r->dma);
	while ((n = fns_list_pop_front(&r->rxq)))
		rx_free(fns_container_of(n, struct rig_rx, node));
	assert_int_equal(r->paths, 0);
	assert_int_equal(r->views_out, 0);
	free(r->stats);
	free(r->sent);
	free(r->mem);
	free(r->sq);
	free(r);
}

/* --- time --- */

void rig_step(struct rig *r, uint64_t dt_ns)
{
	unsigned i;

	r->now += dt_ns;
	if (!r->dma->ops->caps.completes_inline)
		fns_dma_sim_set_now(r->dma, r->now);
	for (i = 0; i < 100000; i++) {
		unsigned work = fns_engine_advance(r->e, r->now, FNS_ADVANCE_ALL);

		if (!work && !r->rx_queued && fns_list_empty(&r->e->nic.active))
			return;
		if (!work && r->room == 0)
			return;
		if (!work && !r->dma->ops->caps.completes_inline)
			return;
	}
	fail_msg("the engine never comes to rest");
}

void rig_sleep(struct rig *r, uint64_t dt_ns)
{
	uint64_t end = r->now + dt_ns;
	unsigned i;

	rig_step(r, 0);
	for (i = 0; i < 1000000; i++) {
		uint64_t at = fns_engine_next(r->e);

		if (at > end)
			break;
		rig_step(r, at > r->now ? at - r->now : 0);
	}
	rig_step(r, end > r->now ? end - r->now : 0);
}

void rig_settle(struct rig *r)
{
	unsigned i;

	for (i = 0; i < 100000; i++) {
		uint64_t at;

		rig_step(r, 0);
		if (r->dma->ops->caps.completes_inline)
			return;
		at = r->dma->ops->next(r->dma);
		if (at == UINT64_MAX)
			return;
		r->now = FNS_MAX(r->now, at);
	}
	fail_msg("memory never comes to rest");
}

/* --- completion queues --- */

void rig_cq_create(struct rig *r, struct rig_cq *cq, uint32_t log2)
{
	size_t size = sizeof(*cq->ring) + ((size_t)1 << log2) * sizeof(struct fns_cqe);
	struct fns_ctl m = {.op = FNS_CTL_CQ_CREATE};

	*cq = (struct rig_cq){.log2 = log2};
	cq->ring = aligned_alloc(64, FNS_ALIGN_UP(size, (size_t)64));
	assert_non_null(cq->ring);
	memset(cq->ring, 0, size);
	m.cq.ring = (uintptr_t)cq->ring;
	m.cq.log2 = log2;
	m.cq.channel = 1;
	assert_int_equal(rig_ctl(r, &m), 0);
	cq->handle = m.handle;
}

bool rig_poll(struct rig_cq *cq, struct fns_cqe *out)
{
	struct fns_cqe *c = &cq->ring->entry[cq->consumed & ((1u << cq->log2) - 1)];
	uint32_t want = (cq->consumed >> cq->log2 & 1) ^ 1;

	if ((atomic_load_explicit(&c->phase, memory_order_acquire) & 1) != want)
		return false;
	memcpy(out, c, sizeof(*out));
	cq->consumed++;
	atomic_store_explicit(&cq->ring->consumer, cq->consumed, memory_order_release);
	return true;
}

void rig_expect_cqe(struct rig_cq *cq, uint64_t wr_id, uint8_t status)
{
	struct fns_cqe c;

	assert_true(rig_poll(cq, &c));
	assert_int_equal(c.wr_id, wr_id);
	assert_int_equal(c.status, status);
}

void rig_expect_no_cqe(struct rig_cq *cq)
{
	struct fns_cqe c;

	assert_false(rig_poll(cq, &c));
}

void rig_cq_free(struct rig_cq *cq)
{
	free(cq->ring);
	cq->ring = NULL;
}

/* --- queue pairs --- */

void rig_qp_create_srq(struct rig *r, struct rig_qp *qp, uint8_t type, uint32_t srq)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_CREATE, .cookie = 77};

	*qp = (struct rig_qp){.type = type};
	rig_cq_create(r, &qp->cq, 10);
	m.qp.pd = r->pd;
	m.qp.send_cq = m.qp.recv_cq = qp->cq.handle;
	m.qp.srq = srq;
	m.qp.type = type;
	m.qp.cap = (struct fns_ctl_qp_cap){.max_send_wr = 64,
		.max_recv_wr = 64,
		.max_send_sge = 4,
		.max_recv_sge = 4,
		.max_inline = 256};
	assert_int_equal(rig_ctl(r, &m), 0);
	qp->qpn = m.handle;
	qp->gen = m.qp.gen;
	qp->attr = (struct fns_ctl_qp_attr){
		.access = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE |
			  FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC,
		.qkey = RIG_QKEY,
		.rq_psn = RIG_RQ_PSN,
		.sq_psn = RIG_SQ_PSN,
		.dest_qpn = RIG_PEER_QPN,
		.av = {.sgid = r->self,
			.dgid = r->peer,
			.hop_limit = 64,
			.is_global = 1,
			.port = 1,
			.link_mtu = 9000},
		.path_mtu = 3,
		.port = 1,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.min_rnr_timer = 12,
		.max_rd_atomic = 16,
		.max_dest_rd_atomic = 16};
}

void rig_qp_create(struct rig *r, struct rig_qp *qp, uint8_t type)
{
	rig_qp_create_srq(r, qp, type, 0);
}

/* Written down here once more, from IBTA table 91, so that the engine's table has something to
 * differ from. */
uint32_t rig_required(uint8_t type, uint8_t to)
{
	switch (to) {
	case FNS_QPS_INIT:
		return FNS_QPA_PKEY_INDEX | FNS_QPA_PORT |
		       (type == FNS_QPT_UD ? FNS_QPA_QKEY : FNS_QPA_ACCESS_FLAGS);
	case FNS_QPS_RTR:
		if (type == FNS_QPT_UD)
			return 0;
		return FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN | FNS_QPA_RQ_PSN |
		       (type == FNS_QPT_RC ? FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER
					   : 0);
	case FNS_QPS_RTS:
		return FNS_QPA_SQ_PSN |
		       (type == FNS_QPT_RC ? FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT |
						     FNS_QPA_RNR_RETRY | FNS_QPA_MAX_RD_ATOMIC
					   : 0);
	default:
		return 0;
	}
}

int rig_modify(struct rig *r, struct rig_qp *qp, uint8_t state, uint32_t mask)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_MODIFY, .handle = qp->qpn};

	m.qp_attr = qp->attr;
	m.qp_attr.state = state;
	m.qp_attr.mask = mask;
	return rig_ctl(r, &m);
}

void rig_to_init(struct rig *r, struct rig_qp *qp)
{
	assert_int_equal(rig_modify(r, qp, FNS_QPS_INIT,
				 FNS_QPA_STATE | rig_required(qp->type, FNS_QPS_INIT)),
		0);
}

void rig_to_rtr(struct rig *r, struct rig_qp *qp)
{
	assert_int_equal(
		rig_modify(r, qp, FNS_QPS_RTR, FNS_QPA_STATE | rig_required(qp->type, FNS_QPS_RTR)),
		0);
}

void rig_to_rts(struct rig *r, struct rig_qp *qp)
{
	assert_int_equal(
		rig_modify(r, qp, FNS_QPS_RTS, FNS_QPA_STATE | rig_required(qp->type, FNS_QPS_RTS)),
		0);
}

void rig_connect(struct rig *r, struct rig_qp *qp)
{
	rig_to_init(r, qp);
	rig_to_rtr(r, qp);
	rig_to_rts(r, qp);
}

uint8_t rig_state(struct rig *r, struct rig_qp *qp)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_QUERY, .handle = qp->qpn};

	assert_int_equal(rig_ctl(r, &m), 0);
	return m.qp_attr.state;
}

void rig_qp_destroy(struct rig *r, struct rig_qp *qp)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_DESTROY, .handle = qp->qpn};
	unsigned i;

	for (i = 0; i < 1000 && rig_ctl(r, &m) == -EAGAIN; i++)
		rig_settle(r);
	assert_int_equal(m.result, 0);
	m = (struct fns_ctl){.op = FNS_CTL_CQ_DESTROY, .handle = qp->cq.handle};
	assert_int_equal(rig_ctl(r, &m), 0);
	rig_cq_free(&qp->cq);
}

struct fns_qp *rig_inner(struct rig *r, const struct rig_qp *qp)
{
	struct fns_qp *q = fns_engine_qp(r->e, qp->qpn);

	assert_non_null(q);
	return q;
}

/* --- posting --- */

static bool two_slots(uint8_t op)
{
	return op == FNS_WR_CMP_SWAP || op == FNS_WR_FETCH_ADD || op == FNS_WR_BIND_MW;
}

uint32_t rig_slots(const struct rig_wr *wr)
{
	if (two_slots(wr->op))
		return 2;
	if (wr->flags & FNS_WRF_INLINE)
		return wr->inline_len <= 24 ? 1 : 1 + (wr->inline_len - 24 + 55) / 56;
	return wr->nsge <= 1 ? 1 : 1 + (wr->nsge - 1 + 2) / 3;
}

static void fill_cont(const struct rig_wr *wr, uint32_t i, struct fns_sqd_cont *c)
{
	uint32_t k, off = 24 + i * 56;

	memset(c, 0, sizeof(*c));
	if (wr->op == FNS_WR_BIND_MW) {
		c->bind.addr = wr->bind.addr;
		c->bind.len = wr->bind.len;
		c->bind.mr_key = wr->bind.mr_key;
		c->bind.mw_key = wr->bind.mw_key;
		c->bind.new_key = wr->bind.new_key;
		c->bind.access = wr->bind.access;
	} else if (two_slots(wr->op)) {
		c->atomic.compare = wr->compare;
		c->atomic.swap_add = wr->swap_add;
	} else if (wr->flags & FNS_WRF_INLINE) {
		memcpy(c->data, (const char *)wr->data + off, FNS_MIN(wr->inline_len - off, 56u));
	} else {
		for (k = 0; k < 3 && 1 + i * 3 + k < wr->nsge; k++)
			c->sge[k] = wr->sge[1 + i * 3 + k];
	}
}

void rig_post(struct rig *r, const struct rig_qp *qp, const struct rig_wr *wr)
{
	uint32_t n = rig_slots(wr), head = r->sq_tail, mask = r->sq_slots - 1, i;
	uint32_t log2 = (uint32_t)__builtin_ctz(r->sq_slots);
	struct fns_sqd d = {.qpn = qp->qpn,
		.gen = qp->gen,
		.wr_id = wr->wr_id,
		.rkey = wr->rkey,
		.remote_addr = wr->remote_addr,
		.imm = wr->imm,
		.num_sge = (uint8_t)wr->nsge};

	if (head + n - atomic_load(&r->sq->credit) > r->sq_slots)
		rig_run(r);
	assert_true(head + n - atomic_load(&r->sq->credit) <= r->sq_slots);
	if (qp->type == FNS_QPT_UD && wr->op < FNS_WR_RECV) {
		d.ud.ah = wr->ah;
		d.ud.remote_qpn = wr->remote_qpn;
		d.qkey = wr->qkey;
	}
	if (wr->flags & FNS_WRF_INLINE) {
		d.inline_len = (uint16_t)wr->inline_len;
		if (wr->inline_len)
			memcpy(d.inline0, wr->data, FNS_MIN(wr->inline_len, 24u));
	} else if (wr->nsge) {
		d.sge0 = wr->sge[0];
	}
	for (i = 1; i < n; i++) {
		struct fns_sqd_cont c;
		struct fns_sqd *slot = &r->sq->slot[(head + i) & mask];

		fill_cont(wr, i - 1, &c);
		memcpy((char *)slot + 4, (char *)&c + 4, 60);
		atomic_store_explicit(
			&slot->ctl, ((head + i) >> log2 & 1) ^ 1, memory_order_release);
	}
	memcpy((char *)&r->sq->slot[head & mask] + 4, (char *)&d + 4, 60);
	atomic_store_explicit(&r->sq->slot[head & mask].ctl,
		FNS_SQD_CTL((head >> log2 & 1) ^ 1, n, wr->op, wr->flags), memory_order_release);
	r->sq_tail += n;
	if (!r->no_doorbell)
		atomic_store_explicit(&r->sq->tail, r->sq_tail, memory_order_release);
}

void rig_post_data(struct rig *r, const struct rig_qp *qp, uint8_t op, uint64_t wr_id,
	uint32_t flags, uint32_t off, uint32_t len)
{
	struct rig_wr wr = {.op = op, .wr_id = wr_id, .flags = flags, .nsge = len ? 1 : 0};

	assert_true(off + len <= RIG_MEM);
	wr.sge[0] =
		(struct fns_sqd_sge){.addr = (uintptr_t)r->mem + off, .len = len, .lkey = r->key};
	wr.remote_addr = 0x10000;
	wr.rkey = 0x77;
	wr.imm = 0x01020304;
	rig_post(r, qp, &wr);
}

void rig_post_recv(
	struct rig *r, const struct rig_qp *qp, uint64_t wr_id, uint32_t off, uint32_t len)
{
	rig_post_data(r, qp, FNS_WR_RECV, wr_id, 0, off, len);
}

/* --- packets in --- */

void rig_inject_from(struct rig *r, const struct fns_gid *src, const uint8_t *pkt, uint32_t len)
{
	struct rig_rx *rx = calloc(1, sizeof(*rx));

	assert_non_null(rx);
	rx->data = malloc(len ? len : 1);
	assert_non_null(rx->data);
	memcpy(rx->data, pkt, len);
	rx->view = (struct fns_rx_view){.data = rx->data,
		.len = len,
		.tos = 2,
		.ecn = r->ecn,
		.ttl = 63,
		.sport = 50000,
		.src = *src,
		.dst = r->self,
		.buf = rx};
	fns_list_push_back(&r->rxq, &rx->node);
	r->rx_queued++;
}

void rig_inject_raw(struct rig *r, const uint8_t *pkt, uint32_t len)
{
	rig_inject_from(r, &r->peer, pkt, len);
}

void rig_inject(struct rig *r, struct fns_hdr h, const void *payload, uint32_t len)
{
	uint8_t pkt[FNS_HDR_MAX + 9000] = {0};
	uint32_t n;

	assert_true(len <= 8192);
	h.pad = (uint8_t)(-len & 3);
	n = fns_hdr_build(pkt, &h);
	if (len)
		memcpy(pkt + n, payload, len);
	rig_inject_raw(r, pkt, n + len + h.pad);
}

void rig_inject_lent(struct rig *r, struct fns_hdr h, const uint8_t *lent, uint32_t len)
{
	uint8_t pkt[FNS_HDR_MAX];
	struct rig_rx *rx;

	rig_inject_raw(r, pkt, fns_hdr_build(pkt, &h));
	rx = fns_container_of(r->rxq.prev, struct rig_rx, node);
	rx->view.lent = len;
	rx->lent = lent;
}

struct fns_hdr rig_hdr(const struct rig_qp *qp, uint8_t opcode, uint32_t psn)
{
	return (struct fns_hdr){.opcode = opcode,
		.migreq = true,
		.pkey = FNS_PKEY_DEFAULT,
		.dest_qp = qp->qpn,
		.psn = psn & FNS_PSN_MASK,
		.syndrome = FNS_AETH_ACK | FNS_AETH_NO_CREDITS,
		.qkey = RIG_QKEY,
		.src_qp = RIG_PEER_QPN};
}

struct fns_hdr rig_hdr_rdma(struct rig *r, const struct rig_qp *qp, uint8_t opcode, uint32_t psn,
	uint32_t off, uint32_t len)
{
	struct fns_hdr h = rig_hdr(qp, opcode, psn);

	h.va = (uintptr_t)r->mem + off;
	h.rkey = r->key;
	h.dma_len = len;
	return h;
}

void rig_inject_aeth(struct rig *r, const struct rig_qp *qp, uint32_t psn, uint8_t syndrome)
{
	struct fns_hdr h = rig_hdr(qp, FNS_OP_ACK, psn);

	h.syndrome = syndrome;
	rig_inject(r, h, NULL, 0);
}

/* --- looking --- */

uint64_t rig_count(const struct rig *r, enum fns_counter c)
{
	return atomic_load_explicit(&r->stats->counter[c], memory_order_relaxed);
}

const struct rig_packet *rig_expect_sent(
	const struct rig *r, unsigned n, uint8_t opcode, uint32_t psn)
{
	assert_true(n < r->nsent);
	assert_int_equal(r->sent[n].h.opcode, opcode);
	assert_int_equal(r->sent[n].h.psn, psn & FNS_PSN_MASK);
	return &r->sent[n];
}

static uint8_t pattern(uint8_t seed, uint32_t i)
{
	return (uint8_t)(seed + i * 7 + (i >> 8) * 13);
}

void rig_fill(struct rig *r, uint32_t off, uint32_t len, uint8_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		r->mem[off + i] = pattern(seed, i);
}

long rig_differs(const uint8_t *p, uint32_t len, uint8_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		if (p[i] != pattern(seed, i))
			return (long)i;
	return -1;
}

unsigned rig_ferry(struct rig *a, struct rig *b, struct fns_rng *rng, uint32_t drop_ppm)
{
	unsigned i, n = 0;

	for (i = 0; i < a->nsent; i++) {
		if (rng && fns_rng_below(rng, 1000000) < drop_ppm)
			continue;
		rig_inject_from(b, &a->self, a->sent[i].data, a->sent[i].len);
		n++;
	}
	a->nsent = 0;
	return n;
}
