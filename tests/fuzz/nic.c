/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzzers' engine and its surroundings: see nic.h. */
#include "nic.h"

#include <errno.h>
#include <sys/mman.h>

#define BITS_ALL                                                                                   \
	(FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ |               \
		FNS_ACCESS_REMOTE_ATOMIC | FNS_ACCESS_MW_BIND)

static const uint32_t mr_access[FZ_MRS] = {
	[FZ_MR_ALL] = BITS_ALL,
	[FZ_MR_RO] = FNS_ACCESS_REMOTE_READ | FNS_ACCESS_MW_BIND,
	[FZ_MR_LOCAL] = FNS_ACCESS_LOCAL_WRITE,
	[FZ_MR_WRITE] = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE,
	[FZ_MR_OTHER] = BITS_ALL,
};

/* Made once: fresh pages for every input would be most of the time. */
static struct fns_stats stats;
static uint8_t *mem, canary[FZ_MEM];
static _Alignas(
	64) uint8_t sq_mem[sizeof(struct fns_sq_shared) + FZ_SLOTS * sizeof(struct fns_sqd)];
static _Alignas(
	64) uint8_t cq_mem[sizeof(struct fns_cq_shared) + (sizeof(struct fns_cqe) << FZ_CQ_LOG2)];

uint8_t *fz_mem(void)
{
	return mem;
}

uint64_t fz_iova(unsigned mr, uint64_t off)
{
	return FZ_IOVA + (2 * mr + 1) * FZ_PAGE + off;
}

static void mem_init(void)
{
	if (!mem) {
		mem = mmap(
			NULL, FZ_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		fz_check(mem != MAP_FAILED);
		for (size_t i = 0; i < FZ_MEM; i++)
			canary[i] = (uint8_t)(i * 37 + (i >> 8) * 11 + 5);
	}
	memcpy(mem, canary, FZ_MEM);
}

static void page_check(unsigned page)
{
	fz_check(memcmp(mem + page * FZ_PAGE, canary + page * FZ_PAGE, FZ_PAGE) == 0);
}

static void mem_check(const struct fz_nic *x)
{
	for (unsigned page = 0; page < FZ_PAGES; page += 2)
		page_check(page);
	page_check(2 * FZ_MR_RO + 1);
	page_check(2 * FZ_MR_OTHER + 1);
	if (!x->local_named)
		page_check(2 * FZ_MR_LOCAL + 1);
}

/* --- queues and wire --- */

bool fz_queue_push(struct fz_queue *q, const struct fns_gid *src, const uint8_t *p, uint32_t len)
{
	struct fz_packet *k;

	if (q->n == FZ_NET)
		return false;
	k = &q->p[(q->head + q->n) % FZ_NET];
	k->data = malloc(len ? len : 1);
	fz_check(k->data);
	if (len)
		memcpy(k->data, p, len);
	k->len = len;
	k->src = *src;
	q->n++;
	return true;
}

static struct fz_packet queue_pop(struct fz_queue *q)
{
	struct fz_packet k = q->p[q->head];

	q->head = (q->head + 1) % FZ_NET;
	q->n--;
	return k;
}

void fz_queue_drop(struct fz_queue *q)
{
	if (q->n)
		free(queue_pop(q).data);
}

void fz_deliver(struct fz_nic *x, unsigned n)
{
	while (n-- && x->net.n && x->rxq.n < FZ_NET) {
		struct fz_packet k = queue_pop(&x->net);

		x->rxq.p[(x->rxq.head + x->rxq.n++) % FZ_NET] = k;
	}
}

static struct fz_nic *to_nic(struct fns_wire *w)
{
	return fns_container_of(w, struct fz_nic, wire);
}

static int path_get(struct fns_wire *w, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl, struct fns_path **out)
{
	struct fns_path *p;

	if (fns_gid_is_zero(remote))
		return -ENETUNREACH;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = fns_path_to(local, remote, ifindex, prefix, tos, ttl);
	to_nic(w)->paths++;
	*out = p;
	return 0;
}

static void path_put(struct fns_wire *w, struct fns_path *p)
{
	fz_check(p->refs == 1);
	to_nic(w)->paths--;
	free(p);
}

/* Whatever came in, what goes out is well-formed. */
static void send_one(struct fz_nic *x, const struct fns_frame *f)
{
	uint8_t buf[FZ_PACKET];
	uint32_t len = f->hdr_len, sum = 0;
	struct fns_hdr h;

	fz_check(f->hdr_len <= FNS_HDR_MAX && f->payload_len <= FNS_STAGE_BYTES && f->pad < 4);
	memcpy(buf, f->hdr, f->hdr_len);
	for (unsigned i = 0; i < f->nsg; i++) {
		sum += f->sg[i].len;
		fz_check(sum <= f->payload_len);
		if (f->sg[i].len)
			memcpy(buf + len, f->sg[i].addr, f->sg[i].len);
		len += f->sg[i].len;
	}
	fz_check(sum == f->payload_len);
	memset(buf + len, 0, f->pad);
	len += f->pad;
	fz_check(fns_hdr_parse(buf, len, &h) == FNS_HDR_OK);
	fz_check(h.payload_len == f->payload_len && h.psn == f->psn);
	fz_check(f->path && f->path->refs == 1 && h.dest_qp >> 16 == f->path->prefix);
	if (fns_gid_equal(&f->path->remote, &x->self))
		fz_queue_push(&x->net, &x->self, buf, len);
}

static unsigned tx_burst(struct fns_wire *w, struct fns_frame *frames, unsigned n)
{
	struct fz_nic *x = to_nic(w);
	unsigned i;

	for (i = 0; i < n && x->room; i++, x->room--) {
		send_one(x, &frames[i]);
		frames[i].status = FNS_FRAME_SENT;
	}
	return i;
}

static unsigned rx_burst(struct fns_wire *w, struct fns_rx_view *views, unsigned max)
{
	struct fz_nic *x = to_nic(w);
	unsigned i;

	for (i = 0; i < max && x->rxq.n; i++) {
		struct fz_packet k = queue_pop(&x->rxq);

		views[i] = (struct fns_rx_view){.data = k.data,
			.len = k.len,
			.tos = 2,
			.ttl = 63,
			.sport = 50000,
			.src = k.src,
			.dst = x->self,
			.buf = k.data};
		x->views_out++;
	}
	return i;
}

static void rx_release(struct fns_wire *w, struct fns_rx_view *v)
{
	fz_check(v->buf);
	to_nic(w)->views_out--;
	free(v->buf);
	v->buf = NULL;
}

static uint32_t rx_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	(void)w;
	return len + (bulk ? 64 : 256);
}

static const struct fns_wire_ops wire_ops = {
	.name = "fuzz",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
};

/* --- completions --- */

static void check_order(struct fz_qp *q, const struct fns_cqe *c, unsigned i)
{
	uint32_t *last = c->is_send ? &q->last_send : &q->last_recv;

	if (c->is_send || !q->srq) {
		fz_check(i + 1 > *last);
		*last = i + 1;
	}
	if (!c->is_send) {
		q->rq_done += !q->srq;
		return;
	}
	/* Retired up to here: more than before, never more than was posted. */
	fz_check((int32_t)(c->wqe_count - q->sq_retired) > 0);
	fz_check((int32_t)(q->sq_posted - c->wqe_count) >= 0);
	q->sq_retired = c->wqe_count;
}

static void check_cqe(struct fz_nic *x, const struct fns_cqe *c)
{
	struct fz_wr *wr;
	struct fz_qp *q = NULL;
	unsigned i = (unsigned)(c->wr_id & 0xffff);

	/* Not one of ours: the hostile ring's, see fuzz_ring.c. */
	if (c->wr_id >> 16 != 0x5a)
		return;
	fz_check(i < x->nwr);
	wr = &x->wr[i];
	fz_check(!wr->done && !wr->dropped);
	wr->done = true;
	fz_check(wr->send == (c->is_send == 1));
	for (unsigned k = 0; k < FZ_QPS; k++)
		if (x->qp[k].qpn == c->qpn)
			q = &x->qp[k];
	fz_check(q);
	if (wr->qp == FZ_QPS) {
		fz_check(q->srq && c->srq == x->srq);
		x->srq_done++;
	} else {
		fz_check(q == &x->qp[wr->qp]);
	}
	check_order(q, c, i);
}

void fz_poll(struct fz_nic *x)
{
	struct fns_cq_shared *ring = (struct fns_cq_shared *)(void *)cq_mem;

	for (;;) {
		struct fns_cqe *c = &ring->entry[x->consumed & ((1u << FZ_CQ_LOG2) - 1)], copy;
		uint32_t want = (x->consumed >> FZ_CQ_LOG2 & 1) ^ 1;

		if ((atomic_load_explicit(&c->phase, memory_order_acquire) & 1) != want)
			return;
		memcpy(&copy, c, sizeof(copy));
		x->consumed++;
		atomic_store_explicit(&ring->consumer, x->consumed, memory_order_release);
		check_cqe(x, &copy);
	}
}

/* --- time and control --- */

static void on_comp(void *ctx, uint64_t channel, uint64_t cookie)
{
	(void)channel;
	(void)cookie;
	((struct fz_nic *)ctx)->events++;
}

static void on_async(void *ctx, const struct fns_event *ev)
{
	fz_check(ev->type <= FNS_EVENT_QP_LAST_WQE_REACHED);
	((struct fz_nic *)ctx)->events++;
}

int fz_ctl(struct fz_nic *x, struct fns_ctl *m)
{
	if (m->op != FNS_CTL_CLIENT_OPEN)
		m->client = x->client;
	m->result = 1;
	fns_engine_control(x->e, m, x->now);
	fz_check(m->result <= 0 && m->result > -4096);
	return m->result;
}

static int ctl_wait(struct fz_nic *x, struct fns_ctl *m)
{
	for (unsigned i = 0; i < 200; i++) {
		struct fns_ctl copy = *m;

		if (fz_ctl(x, &copy) != -EAGAIN) {
			*m = copy;
			return m->result;
		}
		fz_step(x, 1000);
	}
	return -EAGAIN;
}

void fz_step(struct fz_nic *x, uint64_t dt_ns)
{
	x->now += dt_ns;
	for (unsigned i = 0; i < 4; i++)
		if (!fns_engine_advance(x->e, x->now, FNS_ADVANCE_ALL) && !x->rxq.n)
			break;
	fz_check(fns_engine_next(x->e) != 0);
	fz_poll(x);
}

/* --- posting --- */

void fz_ring_put(struct fz_ring *r, const struct fns_sqd *slot, unsigned n, uint32_t ctl)
{
	for (unsigned i = n; i-- > 0;) {
		uint32_t at = r->tail + i, phase = (at / FZ_SLOTS & 1) ^ 1;
		struct fns_sqd *s = &r->sq->slot[at % FZ_SLOTS];

		memcpy((char *)s + 4, (const char *)&slot[i] + 4, sizeof(*s) - 4);
		atomic_store_explicit(
			&s->ctl, i ? phase : (ctl & ~1u) | phase, memory_order_release);
	}
	r->tail += n;
	atomic_store_explicit(&r->sq->tail, r->tail, memory_order_release);
}

static int new_wr(struct fz_nic *x, unsigned qp, bool send)
{
	if (x->nwr == FZ_WRS)
		return -1;
	x->wr[x->nwr] = (struct fz_wr){.qp = (uint8_t)qp, .send = send};
	return (int)x->nwr++;
}

static void submit(struct fz_nic *x, const struct fns_sqd *slot, unsigned n, uint32_t ctl)
{
	uint64_t bad = fz_count(x, FNS_C_sq_bad_descriptors);

	fz_ring_put(&x->ring, slot, n, ctl);
	fns_engine_advance(x->e, x->now, FNS_ADVANCE_SUBMIT);
	/* What the library lets through, the engine takes; a hostile ring beside counts as well. */
	fz_check(x->e->nrings > 1 || fz_count(x, FNS_C_sq_bad_descriptors) == bad);
	fz_check(atomic_load(&x->ring.sq->credit) == x->ring.tail);
}

static struct fns_sqd_sge make_sge(struct fz_nic *x, unsigned mr, uint16_t off, uint16_t len)
{
	x->local_named |= mr % FZ_MRS == FZ_MR_LOCAL;
	return (struct fns_sqd_sge){.addr = fz_iova(mr % FZ_MRS, off),
		.len = len,
		.lkey = mr < FZ_MRS ? x->key[mr] : mr * 0x01010101u};
}

static unsigned fill_slots(struct fz_nic *x, const struct fz_post *p, struct fns_sqd *slot)
{
	struct fns_sqd_cont *c = (struct fns_sqd_cont *)(void *)&slot[1];

	if (p->op == FNS_WR_BIND_MW) {
		unsigned w = p->rkey_mr & 1;

		c->bind.addr = fz_iova(p->sge_mr[0] % FZ_MRS, p->sge_off[0]);
		c->bind.len = p->sge_len[0];
		c->bind.mr_key = x->key[p->sge_mr[0] % FZ_MRS];
		c->bind.mw_key = x->mw_key[w];
		c->bind.new_key = x->mw_key[w] + 1 + (p->imm & 3);
		c->bind.access = p->bind_access;
		/* If it fails the key stays; then packets that name the new one are refused. */
		x->mw_key[w] = p->imm & 0x80 ? x->mw_key[w] : c->bind.new_key;
		return 2;
	}
	for (unsigned i = 0; i < p->num_sge; i++) {
		struct fns_sqd_sge s = make_sge(x, p->sge_mr[i], p->sge_off[i], p->sge_len[i]);

		if (i == 0)
			slot->sge0 = s;
		else
			c->sge[i - 1] = s;
	}
	if (p->op == FNS_WR_CMP_SWAP || p->op == FNS_WR_FETCH_ADD) {
		c->atomic.compare = p->compare;
		c->atomic.swap_add = p->swap;
		return 2;
	}
	if (p->flags & FNS_WRF_INLINE) {
		slot->inline_len = p->inline_len;
		return p->inline_len <= FNS_SQD_INLINE0
			       ? 1
			       : 1 + FNS_DIV_UP(
					     p->inline_len - FNS_SQD_INLINE0, FNS_SQD_INLINE_CONT);
	}
	return p->num_sge > 1 ? 2 : 1;
}

bool fz_post(struct fz_nic *x, const struct fz_post *p)
{
	struct fz_qp *q = &x->qp[p->qp];
	struct fns_qp *in = fz_inner(x, p->qp);
	struct fns_sqd slot[FNS_SQD_MAX_SLOTS] = {0};
	unsigned n;
	int i;

	if (!in || in->state < FNS_QPS_RTS || q->sq_posted - q->sq_retired >= FZ_WR_DEPTH)
		return false;
	i = new_wr(x, p->qp, true);
	if (i < 0)
		return false;
	slot->qpn = q->qpn;
	slot->gen = q->gen;
	slot->wr_id = 0x5a0000u | (unsigned)i;
	slot->num_sge = p->flags & FNS_WRF_INLINE ? 0 : p->num_sge;
	slot->imm = p->imm;
	if (q->type == FNS_QPT_UD) {
		slot->ud.ah = x->ah;
		slot->ud.remote_qpn = x->qp[p->qp ^ 1].qpn;
		slot->qkey = FZ_QKEY;
	} else {
		slot->remote_addr = fz_iova(p->rkey_mr % FZ_MRS, p->remote_off);
		slot->rkey = p->rkey_mr < FZ_MRS ? x->key[p->rkey_mr] : x->mw_key[p->rkey_mr & 1];
	}
	n = fill_slots(x, p, slot);
	q->sq_posted++;
	submit(x, slot, n, FNS_SQD_CTL(0, n, p->op, p->flags));
	return true;
}

bool fz_post_recv(
	struct fz_nic *x, unsigned qp, unsigned mr, uint16_t off, uint16_t len, bool to_srq)
{
	struct fz_qp *q = &x->qp[qp];
	struct fns_qp *in = fz_inner(x, qp);
	struct fns_sqd slot = {.num_sge = 1};
	int i;

	if (to_srq ? x->srq_posted - x->srq_done >= 2 * FZ_WR_DEPTH
		   : q->srq || !in || in->state == FNS_QPS_RESET ||
				q->rq_posted - q->rq_done >= FZ_WR_DEPTH)
		return false;
	i = new_wr(x, to_srq ? FZ_QPS : qp, false);
	if (i < 0)
		return false;
	if (to_srq)
		x->srq_posted++;
	else
		q->rq_posted++;
	slot.qpn = to_srq ? x->srq : q->qpn;
	slot.gen = q->gen;
	slot.wr_id = 0x5a0000u | (unsigned)i;
	slot.sge0 = make_sge(x, mr, off, len);
	submit(x, &slot, 1, FNS_SQD_CTL(0, 1, to_srq ? FNS_WR_SRQ_RECV : FNS_WR_RECV, 0));
	return true;
}

/* --- queue pairs --- */

/* What is posted will not complete any more. */
static void forget(struct fz_nic *x, unsigned qp)
{
	struct fz_qp *q = &x->qp[qp];

	fz_poll(x);
	for (unsigned i = 0; i < x->nwr; i++)
		if (x->wr[i].qp == qp && !x->wr[i].done)
			x->wr[i].dropped = true;
	q->sq_posted = q->sq_retired = q->rq_posted = q->rq_done = 0;
}

void fz_to_state(struct fz_nic *x, unsigned qp, uint8_t state)
{
	struct fns_ctl m = {.op = FNS_CTL_QP_MODIFY, .handle = x->qp[qp].qpn};
	struct fns_ctl_qp_attr *a = &m.qp_attr;
	uint8_t type = x->qp[qp].type;

	*a = (struct fns_ctl_qp_attr){.mask = FNS_QPA_STATE,
		.state = state,
		.access = BITS_ALL & ~(uint32_t)FNS_ACCESS_MW_BIND,
		.qkey = FZ_QKEY,
		.rq_psn = FZ_SQ_PSN,
		.sq_psn = FZ_SQ_PSN,
		.dest_qpn = x->qp[qp ^ 1].qpn,
		.av = {.sgid = x->self,
			.dgid = x->self,
			.hop_limit = 64,
			.is_global = 1,
			.port = 1,
			.link_mtu = 9000},
		.path_mtu = x->o.mtu,
		.port = 1,
		.timeout = 8,
		.retry_cnt = 3,
		.rnr_retry = 3,
		.min_rnr_timer = 1,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4};
	if (state == FNS_QPS_INIT)
		a->mask |= FNS_QPA_PKEY_INDEX | FNS_QPA_PORT |
			   (type == FNS_QPT_UD ? FNS_QPA_QKEY : FNS_QPA_ACCESS_FLAGS);
	if (state == FNS_QPS_RTR && type != FNS_QPT_UD)
		a->mask |= FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN | FNS_QPA_RQ_PSN;
	if (state == FNS_QPS_RTR && type == FNS_QPT_RC)
		a->mask |= FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER;
	if (state == FNS_QPS_RTS && fz_inner(x, qp)->state == FNS_QPS_RTR) {
		a->mask |= FNS_QPA_SQ_PSN;
		if (type == FNS_QPT_RC)
			a->mask |= FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT | FNS_QPA_RNR_RETRY |
				   FNS_QPA_MAX_RD_ATOMIC;
	}
	if (state == FNS_QPS_RESET) {
		x->room = UINT32_MAX;
		fz_check(ctl_wait(x, &m) == 0);
		forget(x, qp);
		return;
	}
	ctl_wait(x, &m);
}

void fz_connect(struct fz_nic *x, unsigned qp)
{
	fz_to_state(x, qp, FNS_QPS_INIT);
	fz_to_state(x, qp, FNS_QPS_RTR);
	fz_to_state(x, qp, FNS_QPS_RTS);
	fz_check(fz_inner(x, qp)->state == FNS_QPS_RTS);
}

/* --- life --- */

static void make(struct fz_nic *x, struct fns_ctl *m)
{
	fz_check(fz_ctl(x, m) == 0);
}

static void make_memory(struct fz_nic *x)
{
	struct fns_ctl m = {.op = FNS_CTL_PD_CREATE};

	make(x, &m);
	x->pd = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	make(x, &m);
	x->pd_other = m.handle;
	for (unsigned i = 0; i < FZ_MRS; i++) {
		m = (struct fns_ctl){.op = FNS_CTL_MR_REG,
			.mr = {.addr = (uintptr_t)mem + (2 * i + 1) * FZ_PAGE,
				.len = FZ_PAGE,
				.iova = fz_iova(i, 0),
				.pd = i == FZ_MR_OTHER ? x->pd_other : x->pd,
				.access = mr_access[i]}};
		make(x, &m);
		x->mr[i] = m.handle;
		x->key[i] = m.mr.key;
	}
	for (unsigned i = 0; i < 2; i++) {
		m = (struct fns_ctl){.op = FNS_CTL_MW_CREATE, .mw = {.pd = x->pd, .type = i + 1}};
		make(x, &m);
		x->mw[i] = m.handle;
		x->mw_key[i] = m.mw.key;
	}
}

static void make_queues(struct fz_nic *x)
{
	static const uint8_t types[FZ_QPS] = {FNS_QPT_RC, FNS_QPT_RC, FNS_QPT_RC, FNS_QPT_RC,
		FNS_QPT_UC, FNS_QPT_UC, FNS_QPT_UD, FNS_QPT_UD};
	struct fns_ctl m = {.op = FNS_CTL_CQ_CREATE};

	m.cq.ring = (uintptr_t)cq_mem;
	m.cq.log2 = FZ_CQ_LOG2;
	m.cq.channel = 1;
	make(x, &m);
	x->cq = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_SRQ_CREATE,
		.srq = {.pd = x->pd, .max_wr = 2 * FZ_WR_DEPTH, .max_sge = 4, .limit = 1}};
	make(x, &m);
	x->srq = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_AH_CREATE};
	m.ah.pd = x->pd;
	m.ah.av = (struct fns_ctl_av){
		.sgid = x->self, .dgid = x->self, .is_global = 1, .port = 1, .link_mtu = 9000};
	make(x, &m);
	x->ah = m.handle;
	for (unsigned i = 0; i < FZ_QPS; i++) {
		struct fz_qp *q = &x->qp[i];

		q->type = types[i];
		q->srq = (i & ~1u) == FZ_QP_RC_SRQ;
		m = (struct fns_ctl){.op = FNS_CTL_QP_CREATE};
		m.qp.pd = x->pd;
		m.qp.send_cq = m.qp.recv_cq = x->cq;
		m.qp.srq = q->srq ? x->srq : 0;
		m.qp.type = q->type;
		m.qp.cap = (struct fns_ctl_qp_cap){.max_send_wr = FZ_WR_DEPTH,
			.max_recv_wr = FZ_WR_DEPTH,
			.max_send_sge = 4,
			.max_recv_sge = 4,
			.max_inline = 256};
		make(x, &m);
		q->qpn = m.handle;
		q->gen = m.qp.gen;
	}
	for (unsigned i = 0; i < FZ_QPS; i++)
		fz_connect(x, i);
}

void fz_nic_init(struct fz_nic *x, const struct fz_opts *o)
{
	const struct fns_dma_sim_cfg sim = {.seed = 7, .max_ns = 3000, .fail_ppm = o->fail_ppm};
	struct fns_engine_cfg cfg = {.seed = 1,
		.start_ns = 1000000,
		.prefix = FZ_PREFIX,
		.stats = &stats,
		.modes = o->modes,
		.up = {.comp_event = on_comp, .async_event = on_async, .ctx = x}};
	struct fns_ctl m = {.op = FNS_CTL_CLIENT_OPEN};

	memset(x, 0, sizeof(*x));
	mem_init();
	memset(stats.counter, 0, sizeof(stats.counter));
	memset(sq_mem, 0, sizeof(sq_mem));
	memset(cq_mem, 0, sizeof(cq_mem));
	x->o = *o;
	x->self = (struct fns_gid){.b = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
	x->now = cfg.start_ns;
	x->room = UINT32_MAX;
	x->wire.ops = &wire_ops;
	x->wire.caps = (struct fns_wire_caps){.max_packet = FZ_PACKET};
	x->dma = o->simdma ? fns_dma_sim_create(&sim) : fns_dma_direct_create();
	x->ring.sq = (struct fns_sq_shared *)(void *)sq_mem;
	cfg.wire = &x->wire;
	cfg.dma = x->dma;
	cfg.selective = o->selective;
	x->e = x->dma ? fns_engine_create(&cfg) : NULL;
	fz_check(x->e);
	if (o->small) { /* what runs out in hours elsewhere, runs out here */
		x->e->nic.stage.free = x->e->nic.stage.count = 2;
		x->e->nic.rxops.free = x->e->nic.rxops.count = 6;
		x->e->nic.irn_rx.free = x->e->nic.irn_rx.count = 1;
		x->e->nic.irn_tx.free = x->e->nic.irn_tx.count = 1;
		x->e->nic.irn_hold.free = x->e->nic.irn_hold.count = 3;
	}
	fz_check(fns_engine_attach(x->e, x->ring.sq, FZ_SLOTS) == 0);
	make(x, &m);
	x->client = m.client;
	make_memory(x);
	make_queues(x);
	if (o->selective) {
		const struct fns_hello h = {.version = 1,
			.ext = FNS_HELLO_EXT_CREDIT | FNS_HELLO_EXT_SACK,
			.icrc = FNS_HELLO_ICRC_STD,
			.rcvbuf = 1u << 20};

		fns_engine_hello_told(x->e, &x->self, FNS_HELLO_FLEXINS, &h);
	}
}

/* In ERR everything comes back: each request once, but for those of the shared queue still there
 * and successes that asked for no completion. */
static void flush_all(struct fz_nic *x)
{
	for (unsigned i = 0; i < FZ_QPS; i++)
		if (fz_inner(x, i)->state != FNS_QPS_RESET)
			fz_to_state(x, i, FNS_QPS_ERR);
	for (unsigned i = 0; i < 64; i++)
		fz_step(x, 5000);
	for (unsigned i = 0; i < FZ_QPS; i++) {
		struct fz_qp *q = &x->qp[i];
		struct fns_qp *in = fz_inner(x, i);

		fz_check(in->ops_inflight == 0 && in->sq.head == in->sq.tail);
		fz_check(q->rq_posted == q->rq_done);
	}
	/* A send that failed to complete would show as retired by a later one only: none is left
	 * in the queue, so those not done were successes without a completion. */
	for (unsigned i = 0; i < x->nwr; i++)
		if (!x->wr[i].send && !x->wr[i].dropped && x->wr[i].qp != FZ_QPS)
			fz_check(x->wr[i].done);
}

static void destroy(struct fz_nic *x, uint32_t op, uint32_t handle)
{
	struct fns_ctl m = {.op = op, .handle = handle};

	fz_check(ctl_wait(x, &m) == 0);
}

void fz_nic_fini(struct fz_nic *x)
{
	struct fns_nic *nic = &x->e->nic;

	x->room = UINT32_MAX;
	fz_step(x, 0);
	flush_all(x);
	for (unsigned i = 0; i < FZ_QPS; i++)
		destroy(x, FNS_CTL_QP_DESTROY, x->qp[i].qpn);
	destroy(x, FNS_CTL_SRQ_DESTROY, x->srq);
	destroy(x, FNS_CTL_CQ_DESTROY, x->cq);
	destroy(x, FNS_CTL_AH_DESTROY, x->ah);
	for (unsigned i = 0; i < 2; i++)
		destroy(x, FNS_CTL_MW_DESTROY, x->mw[i]);
	for (unsigned i = 0; i < FZ_MRS; i++)
		destroy(x, FNS_CTL_MR_DEREG, x->mr[i]);
	fz_poll(x);
	while (x->net.n)
		fz_queue_drop(&x->net);
	while (x->rxq.n)
		fz_queue_drop(&x->rxq);
	fz_check(x->paths == 0 && x->views_out == 0);
	fz_check(nic->stage.free == nic->stage.count && nic->rxops.free == nic->rxops.count);
	fz_check(nic->irn_rx.free == nic->irn_rx.count && nic->irn_tx.free == nic->irn_tx.count);
	fz_check(nic->irn_hold.free == nic->irn_hold.count);
	fz_check(fns_list_empty(&nic->peers) && nic->read_cost == 0);
	mem_check(x);
	fns_engine_destroy(x->e);
	x->dma->ops->destroy(x->dma);
}
