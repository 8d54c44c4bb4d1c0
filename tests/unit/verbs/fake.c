/* SPDX-License-Identifier: Apache-2.0 */
/* See fake.h. */
#include "fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipe/modes.h"

struct fake fake;
struct ibv_context *ctx;
struct ibv_pd *pd;
struct ibv_cq *cq;
struct ibv_qp *qp;

static uint32_t next_handle = 1, next_key = 0x100;

static void note_create(struct fns_ctl *m)
{
	m->handle = next_handle++;
	assert_true(m->handle < FAKE_HANDLES);
	fake.cookie[m->handle] = m->cookie;
	fake.live[m->op]++;
}

static void set_cq_ring(const struct fns_ctl *m)
{
	fake.cq[m->handle].ring = (struct fns_cq_shared *)(uintptr_t)m->cq.ring;
	fake.cq[m->handle].log2 = m->cq.log2;
	fake.cq[m->handle].produced = 0;
	fake.cq[m->handle].cookie = m->cookie;
	fake.cq[m->handle].channel = m->cq.channel;
}

/* As the engine does: what was not consumed moves to the start of the new ring. */
static void carry_over(const struct fns_ctl *m)
{
	struct fns_cq_shared *old = fake.cq[m->handle].ring, *new;
	uint32_t log2 = fake.cq[m->handle].log2, n = fake.cq[m->handle].produced;
	uint32_t from = atomic_load(&old->consumer);

	set_cq_ring(m);
	new = fake.cq[m->handle].ring;
	for (; from != n; from++) {
		struct fns_cqe *e = &new->entry[fake.cq[m->handle].produced++];

		*e = old->entry[from & ((1u << log2) - 1)];
		atomic_store(&e->phase, 1);
	}
	atomic_store(&new->produced, fake.cq[m->handle].produced);
	atomic_store(&new->arm, atomic_load(&old->arm));
}

static int control(struct fns_ctl *m)
{
	fake.n_control++;
	fake.last = *m;
	if (fake.fail_times > 0 && m->op == fake.fail_op) {
		fake.fail_times--;
		return m->result = fake.fail_err;
	}
	switch (m->op) {
	case FNS_CTL_CLIENT_OPEN:
		m->client = 7;
		break;
	case FNS_CTL_PD_CREATE:
	case FNS_CTL_SRQ_CREATE:
	case FNS_CTL_AH_CREATE:
		note_create(m);
		break;
	case FNS_CTL_MR_REG:
		note_create(m);
		m->mr.key = next_key += 0x100;
		break;
	case FNS_CTL_MR_REREG:
		m->mr.key = next_key += 0x100;
		break;
	case FNS_CTL_MW_CREATE:
		note_create(m);
		m->mw.key = next_key += 0x100;
		break;
	case FNS_CTL_CQ_CREATE:
		note_create(m);
		set_cq_ring(m);
		break;
	case FNS_CTL_CQ_RESIZE:
		carry_over(m);
		break;
	case FNS_CTL_QP_CREATE:
		note_create(m);
		m->handle |= 0x050000; /* a prefix */
		m->qp.gen = 0xa5;
		break;
	case FNS_CTL_QP_QUERY:
		m->qp_attr.state = fake.qp_state;
		m->qp_attr.sq_psn = 0x45;
		break;
	case FNS_CTL_SRQ_QUERY:
		m->srq.limit = 3;
		break;
	case FNS_CTL_PD_DESTROY:
	case FNS_CTL_MW_DESTROY:
	case FNS_CTL_AH_DESTROY:
		fake.live[m->op - 1]--;
		break;
	case FNS_CTL_MR_DEREG:
	case FNS_CTL_CQ_DESTROY:
		fake.live[m->op - 2]--;
		break;
	case FNS_CTL_SRQ_DESTROY:
	case FNS_CTL_QP_DESTROY:
		fake.live[m->op - 3]--;
		break;
	default:
		break;
	}
	return m->result = 0;
}

static struct fns_sq_shared *sq(uint32_t *nslots)
{
	*nslots = FAKE_SLOTS;
	return fake.ring;
}

static void submitted(uint32_t sends)
{
	struct fake_desc d;

	__atomic_fetch_add(&fake.n_submitted, 1, __ATOMIC_RELAXED);
	fake.last_submitted = sends;
	while (fake.drain && fake_take(&d))
		;
}

static bool poll_engine(void)
{
	fake.n_poll++;
	if (fake.on_poll)
		fake.on_poll();
	return true;
}

static void will_sleep(void)
{
	fake.n_sleep++;
}

static uint64_t now_ns(void)
{
	return 5000;
}

static const struct fns_placement_ops ops = {
	.control = control,
	.sq = sq,
	.submitted = submitted,
	.poll = poll_engine,
	.will_sleep = will_sleep,
	.now_ns = now_ns,
};

const struct fns_placement_ops *fns_placement_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen)
{
	if (!fake.alive) {
		snprintf(err, errlen, "the fake is dead");
		return NULL;
	}
	if (!fake.ring)
		fake.ring = aligned_alloc(64, sizeof(struct fns_sq_shared) + 64 * FAKE_SLOTS);
	if (!fake.up.comp_event)
		memset(fake.ring, 0, sizeof(struct fns_sq_shared) + 64 * FAKE_SLOTS);
	if (getenv("FLEXINS_PIPE") && strcmp(getenv("FLEXINS_PIPE"), "doorbell") == 0)
		fake.ring->pipe = FNS_PIPE_DOORBELL;
	fake.up = *up;
	return &ops;
}

int fns_placement_alive(void)
{
	return fake.alive;
}

static uint32_t phase_at(uint32_t pos)
{
	return ~(pos / FAKE_SLOTS) & 1;
}

bool fake_take(struct fake_desc *out)
{
	struct fns_sqd *h = &fake.ring->slot[fake.tail % FAKE_SLOTS];
	uint32_t ctl = atomic_load_explicit(&h->ctl, memory_order_acquire), at = 0;

	if ((ctl & FNS_SQD_PHASE) != phase_at(fake.tail))
		return false;
	if (fake.ring->pipe == FNS_PIPE_DOORBELL &&
		atomic_load_explicit(&fake.ring->tail, memory_order_acquire) == fake.tail)
		return false;
	memset((void *)out, 0, sizeof(*out));
	out->op = FNS_SQD_OPCODE(ctl);
	out->flags = FNS_SQD_FLAGS(ctl);
	out->nslots = FNS_SQD_NSLOTS(ctl);
	assert_in_range(out->nslots, 1, FNS_SQD_MAX_SLOTS);
	memcpy((void *)&out->head, h, sizeof(*h));
	out->sge[0] = h->sge0;
	if (out->flags & FNS_WRF_INLINE)
		memcpy(out->data, h->inline0, at = FNS_SQD_INLINE0);
	for (uint32_t i = 1; i < out->nslots; i++) {
		uint32_t pos = fake.tail + i;
		struct fns_sqd_cont *c = (struct fns_sqd_cont *)&fake.ring->slot[pos % FAKE_SLOTS];

		/* A valid head means that the whole descriptor is there; nothing but the phase in
		 * its control word. */
		assert_int_equal(
			atomic_load_explicit(&c->ctl, memory_order_acquire), phase_at(pos));
		if (i == 1)
			memcpy((void *)&out->cont0, c, sizeof(*c));
		if (out->flags & FNS_WRF_INLINE) {
			uint32_t n = FNS_MIN(FNS_SQD_INLINE_CONT, FNS_MAX_INLINE - at);

			memcpy(out->data + at, c->data, n);
			at += n;
		} else {
			for (uint32_t j = 0;
				j < FNS_SQD_SGE_CONT && 1 + (i - 1) * 3 + j < FNS_MAX_SGE; j++)
				out->sge[1 + (i - 1) * 3 + j] = c->sge[j];
		}
	}
	fake.tail += out->nslots;
	atomic_store_explicit(&fake.ring->credit, fake.tail, memory_order_release);
	return true;
}

void fake_complete(uint32_t handle, const struct fns_cqe *cqe)
{
	struct fns_cq_shared *r = fake.cq[handle].ring;
	uint32_t log2 = fake.cq[handle].log2, n = fake.cq[handle].produced++;
	struct fns_cqe *e = &r->entry[n & ((1u << log2) - 1)];

	/* Never over what the library has not yet given back. */
	assert_true(n - atomic_load_explicit(&r->consumer, memory_order_acquire) < 1u << log2);
	memcpy((void *)e, cqe, offsetof(struct fns_cqe, phase));
	atomic_store_explicit(&e->phase, ~(n >> log2) & 1, memory_order_release);
	atomic_store_explicit(&r->produced, n + 1, memory_order_release);
	if (atomic_load(&r->arm) != FNS_CQ_ARM_NONE) {
		atomic_store(&r->arm, FNS_CQ_ARM_NONE);
		fake.up.comp_event(fake.cq[handle].channel, fake.cq[handle].cookie);
	}
}

void fake_complete_send(struct ibv_qp *q, uint64_t wr_id, uint32_t wqe_count)
{
	const struct fns_cqe e = {
		.wr_id = wr_id, .qpn = q->qp_num, .wqe_count = wqe_count, .is_send = 1};

	fake_complete(q->send_cq->handle, &e);
}

void fake_complete_recv(struct ibv_qp *q, uint64_t wr_id)
{
	const struct fns_cqe e = {
		.wr_id = wr_id,
		.qpn = q->qp_num,
		.wqe_count = 1,
		.opcode = FNS_WC_RECV,
		.srq = q->srq ? q->srq->handle : 0,
	};

	fake_complete(q->recv_cq->handle, &e);
}

int setup_ctx(void **state)
{
	struct ibv_device **list;
	int n;

	setenv("FLEXINS_IFACE", "lo", 1);
	fake.alive = 1;
	fake.n_control = fake.n_submitted = fake.n_poll = fake.n_sleep = 0;
	fake.fail_times = fake.drain = 0;
	fake.on_poll = NULL;
	next_handle = 1;
	list = ibv_get_device_list(&n);
	if (!list || n != 1)
		return -1;
	ctx = ibv_open_device(list[0]);
	ibv_free_device_list(list);
	return ctx ? 0 : -1;
}

int teardown_ctx(void **state)
{
	struct fake_desc d;

	while (fake_take(&d))
		;
	return ibv_close_device(ctx);
}

struct ibv_qp *make_qp(
	enum ibv_qp_type type, struct ibv_cq *scq, struct ibv_cq *rcq, struct ibv_srq *srq)
{
	struct ibv_qp_init_attr init = {
		.send_cq = scq,
		.recv_cq = rcq,
		.srq = srq,
		.cap = {.max_send_wr = 8,
			.max_recv_wr = 8,
			.max_send_sge = 16,
			.max_recv_sge = 16,
			.max_inline_data = 512},
		.qp_type = type,
	};

	return ibv_create_qp(pd, &init);
}

struct ibv_ah_attr loop_address(void)
{
	struct ibv_ah_attr ah = {.is_global = 1, .port_num = 1};
	union ibv_gid gid;

	assert_int_equal(ibv_query_gid(ctx, 1, 0, &gid), 0);
	ah.grh.dgid = gid;
	return ah;
}

void to_rts(struct ibv_qp *q)
{
	int init = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;
	int rtr = IBV_QP_STATE, rts = IBV_QP_STATE | IBV_QP_SQ_PSN;
	struct ibv_qp_attr a = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = 77,
		.ah_attr = loop_address(),
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.min_rnr_timer = 12,
		.max_rd_atomic = 16,
		.max_dest_rd_atomic = 16,
		.qkey = 0x1234,
	};

	init |= q->qp_type == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS;
	if (q->qp_type != IBV_QPT_UD)
		rtr |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
	if (q->qp_type == IBV_QPT_RC) {
		rtr |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
		rts |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
		       IBV_QP_MAX_QP_RD_ATOMIC;
	}
	assert_int_equal(ibv_modify_qp(q, &a, init), 0);
	a.qp_state = IBV_QPS_RTR;
	assert_int_equal(ibv_modify_qp(q, &a, rtr), 0);
	a.qp_state = IBV_QPS_RTS;
	assert_int_equal(ibv_modify_qp(q, &a, rts), 0);
}

int setup(void **state)
{
	if (setup_ctx(state))
		return -1;
	pd = ibv_alloc_pd(ctx);
	cq = ibv_create_cq(ctx, 16, NULL, NULL, 0);
	qp = make_qp(IBV_QPT_RC, cq, cq, NULL);
	if (!pd || !cq || !qp)
		return -1;
	to_rts(qp);
	return 0;
}

int teardown(void **state)
{
	struct fake_desc d;

	while (fake_take(&d))
		;
	if (ibv_destroy_qp(qp) || ibv_destroy_cq(cq) || ibv_dealloc_pd(pd))
		return -1;
	return teardown_ctx(state);
}
