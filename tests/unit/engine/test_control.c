/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations: whose object, which kind, who still uses it, and that no message whatever
 * does harm. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20260202u

struct set { /* one object of each kind */
	uint32_t client, pd, mr, mr_key, mw, mw_key, cq, srq, qp, ah;
	struct fns_cq_shared *ring;
};

static uint32_t open_client(struct rig *r)
{
	struct fns_ctl m = {.op = FNS_CTL_CLIENT_OPEN};

	assert_int_equal(rig_ctl(r, &m), 0);
	assert_int_not_equal(m.client, 0);
	return m.client;
}

static uint32_t made(struct rig *r, struct fns_ctl *m, uint32_t op, uint32_t client)
{
	m->op = op;
	m->client = client;
	m->handle = 0;
	assert_int_equal(rig_ctl(r, m), 0);
	assert_int_not_equal(m->handle, 0);
	return m->handle;
}

static struct fns_ctl mr_msg(struct rig *r, uint32_t pd)
{
	return (struct fns_ctl){.mr = {.addr = (uintptr_t)r->mem,
					.len = 4096,
					.iova = 0x1000,
					.pd = pd,
					.access = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_MW_BIND |
						  FNS_ACCESS_REMOTE_WRITE}};
}

static struct fns_ctl qp_msg(const struct set *s, uint8_t type)
{
	return (struct fns_ctl){.qp = {.pd = s->pd,
					.send_cq = s->cq,
					.recv_cq = s->cq,
					.srq = s->srq,
					.type = type,
					.cap = {4, 4, 2, 2, 16}}};
}

static struct fns_ctl ah_msg(struct rig *r, uint32_t pd)
{
	return (struct fns_ctl){
		.ah = {.pd = pd, .av = {.sgid = r->self, .dgid = r->peer, .is_global = 1}}};
}

static void make_set(struct rig *r, struct set *s, uint32_t client)
{
	size_t size = sizeof(struct fns_cq_shared) + 16 * sizeof(struct fns_cqe);
	struct fns_ctl m = {0};

	*s = (struct set){.client = client};
	s->pd = made(r, &m, FNS_CTL_PD_CREATE, client);
	m = mr_msg(r, s->pd);
	s->mr = made(r, &m, FNS_CTL_MR_REG, client);
	s->mr_key = m.mr.key;
	m = (struct fns_ctl){.mw = {.pd = s->pd, .type = 2}};
	s->mw = made(r, &m, FNS_CTL_MW_CREATE, client);
	s->mw_key = m.mw.key;
	s->ring = aligned_alloc(64, size);
	assert_non_null(s->ring);
	memset(s->ring, 0, size);
	m = (struct fns_ctl){.cq = {.ring = (uintptr_t)s->ring, .log2 = 4}};
	s->cq = made(r, &m, FNS_CTL_CQ_CREATE, client);
	m = (struct fns_ctl){.srq = {.pd = s->pd, .max_wr = 8, .max_sge = 1}};
	s->srq = made(r, &m, FNS_CTL_SRQ_CREATE, client);
	m = qp_msg(s, FNS_QPT_RC);
	s->qp = made(r, &m, FNS_CTL_QP_CREATE, client);
	m = ah_msg(r, s->pd);
	s->ah = made(r, &m, FNS_CTL_AH_CREATE, client);
}

static int on(struct rig *r, uint32_t op, uint32_t client, uint32_t handle)
{
	struct fns_ctl m = {.op = op, .client = client, .handle = handle};

	return rig_ctl(r, &m);
}

/* The operations that name an object by handle, and which of the set it is. */
static const struct {
	uint32_t op;
	size_t handle;
	bool destroys;
} ops[] = {
	{FNS_CTL_QP_MODIFY, offsetof(struct set, qp), false},
	{FNS_CTL_QP_QUERY, offsetof(struct set, qp), false},
	{FNS_CTL_SRQ_MODIFY, offsetof(struct set, srq), false},
	{FNS_CTL_SRQ_QUERY, offsetof(struct set, srq), false},
	{FNS_CTL_MR_REREG, offsetof(struct set, mr), false},
	{FNS_CTL_QP_DESTROY, offsetof(struct set, qp), true},
	{FNS_CTL_SRQ_DESTROY, offsetof(struct set, srq), true},
	{FNS_CTL_AH_DESTROY, offsetof(struct set, ah), true},
	{FNS_CTL_MW_DESTROY, offsetof(struct set, mw), true},
	{FNS_CTL_MR_DEREG, offsetof(struct set, mr), true},
	{FNS_CTL_CQ_DESTROY, offsetof(struct set, cq), true},
	{FNS_CTL_PD_DESTROY, offsetof(struct set, pd), true},
};

static struct fns_ctl good_message(struct rig *r, uint32_t op, const struct set *s, uint32_t handle)
{
	struct fns_ctl m = {.op = op, .client = s->client, .handle = handle};

	if (op == FNS_CTL_QP_MODIFY)
		m.qp_attr = (struct fns_ctl_qp_attr){.mask = FNS_QPA_STATE, .state = FNS_QPS_RESET};
	if (op == FNS_CTL_MR_REREG)
		m.mr = (__typeof__(m.mr)){.flags = FNS_REREG_PD, .pd = s->pd};
	return m;
}

static void ownership_and_kind(void **state)
{
	struct rig *r = rig_create(NULL);
	struct set s;
	uint32_t other = open_client(r), i, k;

	make_set(r, &s, open_client(r));
	for (i = 0; i < FNS_ARRAY_SIZE(ops); i++) {
		uint32_t mine = *(uint32_t *)((char *)&s + ops[i].handle);
		const uint32_t all[] = {s.pd, s.mr, s.cq, s.srq, s.qp, s.ah};
		struct fns_ctl m = good_message(r, ops[i].op, &s, mine);

		m.client = other;
		assert_int_equal(rig_ctl(r, &m), -EINVAL);
		m.client = FNS_MAX_CLIENTS - 1; /* never opened */
		assert_int_equal(rig_ctl(r, &m), -EINVAL);
		m.client = UINT32_MAX;
		assert_int_equal(rig_ctl(r, &m), -EINVAL);
		m.client = s.client;
		m.handle = 0;
		assert_int_equal(rig_ctl(r, &m), -EINVAL);
		m.handle = UINT32_MAX;
		assert_int_equal(rig_ctl(r, &m), -EINVAL);
		m.handle = mine ^ 0x81000000;
		assert_int_equal(rig_ctl(r, &m), -EINVAL);
		for (k = 0; k < FNS_ARRAY_SIZE(all); k++) {
			/* Tables number alike: only handles that mean nothing in this one. */
			if ((ops[i].handle == offsetof(struct set, qp)) == (all[k] == s.qp))
				continue;
			m.handle = all[k];
			assert_int_equal(rig_ctl(r, &m), -EINVAL);
		}
		m.handle = mine;
		assert_int_equal(rig_ctl(r, &m), 0);
		if (ops[i].destroys)
			assert_int_equal(rig_ctl(r, &m), -EINVAL); /* stale */
	}
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, s.client, 0), 0);
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, s.client, 0), -EINVAL);
	assert_int_equal(on(r, FNS_CTL_QP_SET_CC + 1, r->client, 0), -EOPNOTSUPP);
	free(s.ring);
	rig_destroy(r);
}

/* Regions and windows share a table: still, one is not the other. */
static void region_is_no_window(void **state)
{
	struct rig *r = rig_create(NULL);
	struct set s;

	make_set(r, &s, r->client);
	assert_int_equal(on(r, FNS_CTL_MR_DEREG, s.client, s.mw), -EINVAL);
	assert_int_equal(on(r, FNS_CTL_MW_DESTROY, s.client, s.mr), -EINVAL);
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, s.client, 0), 0);
	free(s.ring);
	rig_destroy(r);
}

/* Everything that a create names must be the client's own. */
static void creating_from_what_is_not_mine(void **state)
{
	struct rig *r = rig_create(NULL);
	struct set a, b, x;
	struct fns_ctl m;
	uint32_t i;

	make_set(r, &a, open_client(r));
	make_set(r, &b, open_client(r));
#define NOT(msg, opcode)                                                                           \
	do {                                                                                       \
		m = (msg);                                                                         \
		m.op = (opcode);                                                                   \
		m.client = a.client;                                                               \
		assert_int_equal(rig_ctl(r, &m), -EINVAL);                                         \
	} while (0)
	for (i = 0; i < 2; i++) {
		uint32_t pd = i ? 0 : b.pd;

		NOT(mr_msg(r, pd), FNS_CTL_MR_REG);
		NOT(((struct fns_ctl){.mw = {.pd = pd, .type = 1}}), FNS_CTL_MW_CREATE);
		NOT(((struct fns_ctl){.srq = {.pd = pd, .max_wr = 1}}), FNS_CTL_SRQ_CREATE);
		NOT(ah_msg(r, pd), FNS_CTL_AH_CREATE);
		NOT(((struct fns_ctl){.handle = a.mr, .mr = {.flags = FNS_REREG_PD, .pd = pd}}),
			FNS_CTL_MR_REREG);
		x = a;
		x.pd = pd;
		NOT(qp_msg(&x, FNS_QPT_RC), FNS_CTL_QP_CREATE);
		x = a;
		x.cq = i ? 0 : b.cq;
		NOT(qp_msg(&x, FNS_QPT_RC), FNS_CTL_QP_CREATE);
		x = a;
		x.srq = i ? 0x5000 : b.srq;
		NOT(qp_msg(&x, FNS_QPT_RC), FNS_CTL_QP_CREATE);
	}
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, a.client, 0), 0);
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, b.client, 0), 0);
	free(a.ring);
	free(b.ring);
	rig_destroy(r);
}

static void bad_parameters(void **state)
{
	struct rig *r = rig_create(NULL);
	struct set a;
	struct fns_ctl m;

	make_set(r, &a, open_client(r));
	NOT(((struct fns_ctl){.cq = {.ring = 0, .log2 = 2}}), FNS_CTL_CQ_CREATE);
	NOT(((struct fns_ctl){.cq = {.ring = (uintptr_t)a.ring, .log2 = 23}}), FNS_CTL_CQ_CREATE);
	NOT(((struct fns_ctl){.cq = {.ring = (uintptr_t)a.ring, .log2 = 255}}), FNS_CTL_CQ_CREATE);
	NOT(((struct fns_ctl){.handle = a.cq, .cq = {.ring = 0, .log2 = 2}}), FNS_CTL_CQ_RESIZE);
	NOT(((struct fns_ctl){.srq = {.pd = a.pd}}), FNS_CTL_SRQ_CREATE);
	NOT(((struct fns_ctl){.srq = {.pd = a.pd, .max_wr = 1, .max_sge = 17}}),
		FNS_CTL_SRQ_CREATE);
	NOT(((struct fns_ctl){.srq = {.pd = a.pd, .max_wr = (1u << 20) + 1}}), FNS_CTL_SRQ_CREATE);
	NOT(((struct fns_ctl){.srq = {.pd = a.pd, .max_wr = 1, .limit = 2}}), FNS_CTL_SRQ_CREATE);
	NOT(((struct fns_ctl){.handle = a.srq, .srq = {.mask = 4}}), FNS_CTL_SRQ_MODIFY);
	NOT(((struct fns_ctl){.handle = a.srq, .srq = {.mask = 2, .limit = 9}}),
		FNS_CTL_SRQ_MODIFY);
	NOT(((struct fns_ctl){.handle = a.srq, .srq = {.mask = 1, .max_wr = 0}}),
		FNS_CTL_SRQ_MODIFY);
	NOT(((struct fns_ctl){.mw = {.pd = a.pd, .type = 0}}), FNS_CTL_MW_CREATE);
	NOT(((struct fns_ctl){.mw = {.pd = a.pd, .type = 3}}), FNS_CTL_MW_CREATE);
	NOT(((struct fns_ctl){.handle = a.mr, .mr = {.flags = 0}}), FNS_CTL_MR_REREG);
	NOT(((struct fns_ctl){.handle = a.mr, .mr = {.flags = 8}}), FNS_CTL_MR_REREG);
	m = mr_msg(r, a.pd);
	m.mr.access = FNS_ACCESS_REMOTE_WRITE;
	NOT(m, FNS_CTL_MR_REG);
	m = ah_msg(r, a.pd);
	m.ah.av.is_global = 0;
	NOT(m, FNS_CTL_AH_CREATE);
	m = ah_msg(r, a.pd);
	m.ah.av.dgid = (struct fns_gid){0};
	NOT(m, FNS_CTL_AH_CREATE);
	m = qp_msg(&a, FNS_QPT_RC);
	m.qp.cap.max_inline = FNS_MAX_INLINE + 1;
	NOT(m, FNS_CTL_QP_CREATE);
	m = qp_msg(&a, FNS_QPT_RC);
	m.qp.cap.max_send_sge = FNS_MAX_SGE + 1;
	NOT(m, FNS_CTL_QP_CREATE);
	m = qp_msg(&a, FNS_QPT_RC);
	m.qp.cap.max_recv_wr = UINT32_MAX;
	NOT(m, FNS_CTL_QP_CREATE);
	m = qp_msg(&a, 8);
	m.op = FNS_CTL_QP_CREATE;
	m.client = a.client;
	assert_int_equal(rig_ctl(r, &m), -EOPNOTSUPP);
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, a.client, 0), 0);
	free(a.ring);
	rig_destroy(r);
}

/* Each object keeps what it was made from alive; in the right order all go. */
static void busy_and_order(void **state)
{
	struct rig *r = rig_create(NULL);
	struct set s;
	uint32_t c = open_client(r);

	make_set(r, &s, c);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, c, s.pd), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_CQ_DESTROY, c, s.cq), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_SRQ_DESTROY, c, s.srq), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_QP_DESTROY, c, s.qp), 0);
	assert_int_equal(on(r, FNS_CTL_CQ_DESTROY, c, s.cq), 0);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, c, s.pd), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_SRQ_DESTROY, c, s.srq), 0);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, c, s.pd), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_AH_DESTROY, c, s.ah), 0);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, c, s.pd), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_MW_DESTROY, c, s.mw), 0);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, c, s.pd), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_MR_DEREG, c, s.mr), 0);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, c, s.pd), 0);
	free(s.ring);
	rig_destroy(r);
}

/* rereg moves the reference from one domain to the other. */
static void rereg_domain(void **state)
{
	struct rig *r = rig_create(NULL);
	struct fns_ctl m = {0};
	uint32_t p1 = made(r, &m, FNS_CTL_PD_CREATE, r->client), p2, mr, key;

	p2 = made(r, &m, FNS_CTL_PD_CREATE, r->client);
	m = mr_msg(r, p1);
	mr = made(r, &m, FNS_CTL_MR_REG, r->client);
	key = m.mr.key;
	m = (struct fns_ctl){
		.op = FNS_CTL_MR_REREG, .handle = mr, .mr = {.flags = FNS_REREG_PD, .pd = p2}};
	assert_int_equal(rig_ctl(r, &m), 0);
	assert_int_equal(m.mr.key, key);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, r->client, p2), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, r->client, p1), 0);
	m.mr.flags = FNS_REREG_ACCESS; /* refused: remote write without local write */
	m.mr.access = FNS_ACCESS_REMOTE_WRITE;
	assert_int_equal(rig_ctl(r, &m), -EINVAL);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, r->client, p2), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_MR_DEREG, r->client, mr), 0);
	assert_int_equal(on(r, FNS_CTL_PD_DESTROY, r->client, p2), 0);
	rig_destroy(r);
}

/* A region with a window bound to it stays until the window goes. */
static void bound_window_holds_region(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;
	struct fns_ctl m = {.mw = {.pd = r->pd, .type = 2}};
	struct rig_wr wr = {.op = FNS_WR_BIND_MW, .flags = FNS_WRF_SIGNALED, .wr_id = 5};
	uint32_t mw = made(r, &m, FNS_CTL_MW_CREATE, r->client);

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	wr.bind.addr = (uintptr_t)r->mem;
	wr.bind.len = 64;
	wr.bind.mr_key = r->key;
	wr.bind.mw_key = m.mw.key;
	wr.bind.new_key = m.mw.key ^ 1;
	wr.bind.access = FNS_ACCESS_REMOTE_WRITE;
	rig_post(r, &qp, &wr);
	rig_run(r);
	rig_expect_cqe(&qp.cq, 5, FNS_WC_SUCCESS);
	assert_int_equal(on(r, FNS_CTL_MR_DEREG, r->client, r->mr), -EBUSY);
	assert_int_equal(on(r, FNS_CTL_MW_DESTROY, r->client, mw), 0);
	assert_int_equal(on(r, FNS_CTL_MR_DEREG, r->client, r->mr), 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

static void close_sweeps_all(void **state)
{
	struct rig *r = rig_create(NULL);
	struct set s[8], keep;
	uint32_t c = open_client(r), i;

	make_set(r, &keep, r->client);
	for (i = 0; i < 8; i++)
		make_set(r, &s[i], c);
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, c, 0), 0);
	assert_int_equal(r->e->nqps, 1);
	for (i = 0; i < 8; i++) {
		assert_null(fns_table_get(&r->e->pds, s[i].pd));
		assert_null(fns_table_get(&r->e->mrs, s[i].mr));
		assert_null(fns_table_get(&r->e->mrs, s[i].mw));
		assert_null(fns_table_get(&r->e->cqs, s[i].cq));
		assert_null(fns_table_get(&r->e->srqs, s[i].srq));
		assert_null(fns_table_get(&r->e->ahs, s[i].ah));
		free(s[i].ring);
	}
	for (i = 0; i < FNS_ARRAY_SIZE(ops); i++) /* the other client's live on */
		if (ops[i].destroys)
			assert_int_equal(on(r, ops[i].op, r->client,
						 *(uint32_t *)((char *)&keep + ops[i].handle)),
				0);
	free(keep.ring);
	assert_int_equal(open_client(r), c); /* the number is free again */
	rig_destroy(r);
}

static void clients_are_bounded(void **state)
{
	struct rig *r = rig_create(NULL);
	struct fns_ctl m = {.op = FNS_CTL_CLIENT_OPEN};
	uint32_t i;

	for (i = 2; i < FNS_MAX_CLIENTS; i++)
		open_client(r);
	assert_int_equal(rig_ctl(r, &m), -EMFILE);
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, 9, 0), 0);
	assert_int_equal(open_client(r), 9);
	rig_destroy(r);
}

static void queue_pair_numbers(void **state)
{
	struct rig *r = rig_create(NULL);
	struct set s;
	struct fns_ctl m;
	uint32_t last = 0, i;

	make_set(r, &s, r->client);
	for (i = 0; i < 70000; i++) { /* more than there are indexes */
		m = qp_msg(&s, FNS_QPT_UD);
		m.qp.cap = (struct fns_ctl_qp_cap){0};
		m.qp.srq = 0;
		made(r, &m, FNS_CTL_QP_CREATE, r->client);
		assert_int_equal(m.handle >> 16, RIG_PREFIX);
		assert_true((m.handle & 0xffff) >= FNS_QP_FIRST);
		assert_int_not_equal(m.handle, last); /* not used again at once */
		assert_int_not_equal(m.handle, s.qp);
		last = m.handle;
		assert_int_equal(on(r, FNS_CTL_QP_DESTROY, r->client, last), 0);
	}
	assert_int_equal(on(r, FNS_CTL_CLIENT_CLOSE, r->client, 0), 0);
	free(s.ring);
	rig_destroy(r);
}

/* What was not consumed moves along, in order, with the phase of a first lap. */
static void cq_resize_carries_over(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;
	struct fns_ctl m;
	struct fns_cqe c;
	size_t size = sizeof(struct fns_cq_shared) + 8 * sizeof(struct fns_cqe);
	struct fns_cq_shared *ring = aligned_alloc(64, size);
	uint32_t i;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	for (i = 0; i < 10; i++)
		rig_post_recv(r, &qp, i, 0, 8);
	assert_int_equal(rig_modify(r, &qp, FNS_QPS_ERR, FNS_QPA_STATE), 0);
	rig_expect_cqe(&qp.cq, 0, FNS_WC_WR_FLUSH_ERR);
	memset(ring, 0, size);
	m = (struct fns_ctl){.op = FNS_CTL_CQ_RESIZE, .handle = qp.cq.handle};
	m.cq.ring = (uintptr_t)ring;
	m.cq.log2 = 3;
	assert_int_equal(rig_ctl(r, &m), -EINVAL); /* nine do not fit */
	rig_expect_cqe(&qp.cq, 1, FNS_WC_WR_FLUSH_ERR);
	atomic_store(&qp.cq.ring->arm, FNS_CQ_ARM_ANY);
	assert_int_equal(rig_ctl(r, &m), 0);
	free(qp.cq.ring);
	qp.cq = (struct rig_cq){.handle = qp.cq.handle, .log2 = 3, .ring = ring};
	assert_int_equal(atomic_load(&ring->arm), FNS_CQ_ARM_ANY);
	for (i = 2; i < 10; i++)
		rig_expect_cqe(&qp.cq, i, FNS_WC_WR_FLUSH_ERR);
	rig_post_recv(r, &qp, 10, 0, 8); /* flushed at once, into the second lap */
	rig_run(r);
	assert_true(rig_poll(&qp.cq, &c));
	assert_int_equal(c.wr_id, 10);
	assert_int_equal(r->ncomp_events, 1);
	rig_expect_no_cqe(&qp.cq);
	/* A consumer index out of a hostile library's head. */
	atomic_store(&ring->consumer, 0x12345678);
	assert_int_equal(rig_ctl(r, &m), -EINVAL);
	atomic_store(&ring->consumer, qp.cq.consumed);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

static void srq_modify_and_query(void **state)
{
	struct rig *r = rig_create(NULL);
	struct fns_ctl m = {.cookie = 9, .srq = {.pd = r->pd, .max_wr = 8, .max_sge = 2}};
	uint32_t h = made(r, &m, FNS_CTL_SRQ_CREATE, r->client), i;
	struct rig_qp as_qp = {.qpn = h};

	for (i = 0; i < 5; i++)
		rig_post_data(r, &as_qp, FNS_WR_SRQ_RECV, i, 0, 0, 8);
	m = (struct fns_ctl){
		.op = FNS_CTL_SRQ_MODIFY, .handle = h, .srq = {.mask = 1, .max_wr = 4}};
	assert_int_equal(rig_ctl(r, &m), -EINVAL); /* five are posted */
	m.srq.max_wr = 100;
	m.srq.mask = 3;
	m.srq.limit = 6;
	assert_int_equal(r->nevents, 0);
	assert_int_equal(rig_ctl(r, &m), 0); /* fewer are posted than the limit: said at once */
	assert_int_equal(r->nevents, 1);
	assert_int_equal(r->event[0].type, FNS_EVENT_SRQ_LIMIT_REACHED);
	assert_int_equal(r->event[0].cookie, 9);
	m = (struct fns_ctl){.op = FNS_CTL_SRQ_QUERY, .handle = h};
	assert_int_equal(rig_ctl(r, &m), 0);
	assert_int_equal(m.srq.max_wr, 100);
	assert_int_equal(m.srq.max_sge, 2);
	assert_int_equal(m.srq.limit, 0); /* disarmed */
	assert_int_equal(on(r, FNS_CTL_SRQ_DESTROY, r->client, h), 0);
	rig_destroy(r);
}

/* --- random messages --- */

#define RINGS 8

struct pool {
	struct fns_rng rng;
	uint32_t handle[64];
	uint32_t n;
	uint32_t made[FNS_CTL_QP_SET_CC + 2][4], nmade; /* the last of each create */
	struct fns_cq_shared *ring[RINGS];
};

static uint32_t any_handle(struct pool *p)
{
	switch (fns_rng_below(&p->rng, 8)) {
	case 0:
		return (uint32_t)fns_rng_u64(&p->rng);
	case 1:
		return (uint32_t)fns_rng_below(&p->rng, 8);
	default:
		return p->handle[fns_rng_below(&p->rng, FNS_ARRAY_SIZE(p->handle))];
	}
}

/* Most often one that create operation op made lately. */
static uint32_t handle_of(struct pool *p, uint32_t op)
{
	return fns_rng_below(&p->rng, 4) ? p->made[op][fns_rng_below(&p->rng, 4)] : any_handle(p);
}

/* The operation that made what op works on. */
static uint32_t maker_of(uint32_t op)
{
	static const uint32_t makers[] = {FNS_CTL_PD_CREATE, FNS_CTL_MR_REG, FNS_CTL_MW_CREATE,
		FNS_CTL_CQ_CREATE, FNS_CTL_SRQ_CREATE, FNS_CTL_QP_CREATE, FNS_CTL_AH_CREATE};
	uint32_t i, m = FNS_CTL_PD_CREATE;

	for (i = 0; i < FNS_ARRAY_SIZE(makers); i++)
		if (makers[i] <= op)
			m = makers[i];
	return m;
}

static void random_message(struct rig *r, struct pool *p, struct fns_ctl *m)
{
	uint8_t *b = (uint8_t *)m;
	size_t i;

	for (i = 0; i < sizeof(*m); i++)
		b[i] = fns_rng_below(&p->rng, 3) ? 0 : (uint8_t)fns_rng_u64(&p->rng);
	m->op = (uint32_t)fns_rng_below(&p->rng, FNS_CTL_QP_SET_CC + 2);
	m->client = fns_rng_below(&p->rng, 10) ? 1 + (uint32_t)fns_rng_below(&p->rng, 8) / 6
					       : (uint32_t)fns_rng_u64(&p->rng);
	m->handle = handle_of(p, maker_of(m->op));
	switch (m->op) {
	case FNS_CTL_CLIENT_OPEN:
	case FNS_CTL_CLIENT_CLOSE:
		if (fns_rng_below(&p->rng, 50))
			m->op = FNS_CTL_PD_CREATE;
		break;
	case FNS_CTL_MR_REG:
	case FNS_CTL_MR_REREG: /* only our own memory: the direct backend trusts addresses to be
				  mapped or refused */
		m->mr.addr = (uintptr_t)r->mem + fns_rng_below(&p->rng, RIG_MEM);
		m->mr.len = fns_rng_below(&p->rng, 10) ? fns_rng_below(&p->rng, 4096)
						       : fns_rng_u64(&p->rng);
		m->mr.pd = handle_of(p, FNS_CTL_PD_CREATE);
		m->mr.access &= fns_rng_below(&p->rng, 4) ? 0x1fu : UINT32_MAX;
		m->mr.access |= 1;
		m->mr.flags &= 0xf;
		break;
	case FNS_CTL_MW_CREATE:
		m->mw.pd = handle_of(p, FNS_CTL_PD_CREATE);
		m->mw.type = (uint32_t)fns_rng_below(&p->rng, 4);
		break;
	case FNS_CTL_CQ_CREATE:
	case FNS_CTL_CQ_RESIZE: /* rings are trusted to be as large as said; 16 here */
		m->cq.ring = fns_rng_below(&p->rng, 8)
				     ? (uintptr_t)p->ring[fns_rng_below(&p->rng, RINGS)]
				     : 0;
		m->cq.log2 =
			(uint32_t)fns_rng_below(&p->rng, 5) + (fns_rng_below(&p->rng, 8) ? 0 : 23);
		break;
	case FNS_CTL_SRQ_CREATE:
	case FNS_CTL_SRQ_MODIFY:
		m->srq.pd = handle_of(p, FNS_CTL_PD_CREATE);
		m->srq.max_wr &= 0xf;
		m->srq.max_sge &= 0x1f;
		m->srq.limit &= 0x7;
		break;
	case FNS_CTL_QP_CREATE:
		m->qp.pd = handle_of(p, FNS_CTL_PD_CREATE);
		m->qp.send_cq = handle_of(p, FNS_CTL_CQ_CREATE);
		m->qp.recv_cq = handle_of(p, FNS_CTL_CQ_CREATE);
		m->qp.srq = fns_rng_below(&p->rng, 2) ? 0 : handle_of(p, FNS_CTL_SRQ_CREATE);
		m->qp.type = (uint8_t)fns_rng_below(&p->rng, 6);
		m->qp.cap.max_send_wr &= 0x3f;
		m->qp.cap.max_recv_wr &= 0x3f;
		m->qp.cap.max_send_sge &= 0x1f;
		m->qp.cap.max_recv_sge &= 0x1f;
		m->qp.cap.max_inline &= 0x2ff;
		break;
	case FNS_CTL_QP_MODIFY:
		m->qp_attr.state = (uint8_t)fns_rng_below(&p->rng, 8);
		if (fns_rng_below(&p->rng, 4)) {
			uint8_t type = (uint8_t)(FNS_QPT_RC + fns_rng_below(&p->rng, 3));

			m->qp_attr.mask = FNS_QPA_STATE | rig_required(type, m->qp_attr.state);
			m->qp_attr.port = 1;
			m->qp_attr.pkey_index = 0;
			m->qp_attr.path_mtu = 3;
			m->qp_attr.timeout &= 31;
			m->qp_attr.retry_cnt &= 7;
			m->qp_attr.rnr_retry &= 7;
			m->qp_attr.min_rnr_timer &= 31;
			m->qp_attr.max_rd_atomic &= 15;
			m->qp_attr.max_dest_rd_atomic &= 15;
			m->qp_attr.dest_qpn &= 0xffffff;
			m->qp_attr.av.is_global = 1;
			m->qp_attr.av.dgid = r->peer;
			m->qp_attr.av.link_mtu = 1500;
		}
		break;
	case FNS_CTL_AH_CREATE:
		m->ah.av.is_global = 1;
		m->ah.av.dgid = r->peer;
		m->ah.pd = handle_of(p, FNS_CTL_PD_CREATE);
		break;
	default:
		break;
	}
}

static void random_messages(void **state)
{
	struct rig *r = rig_create(NULL);
	struct pool p = {.n = 0};
	size_t size = sizeof(struct fns_cq_shared) + 16 * sizeof(struct fns_cqe);
	unsigned i, good = 0;
	unsigned per_op[FNS_CTL_QP_SET_CC + 2] = {0};
	struct fns_ctl m;

	print_message("seed %u\n", SEED);
	fns_rng_seed(&p.rng, SEED);
	for (i = 0; i < RINGS; i++) {
		p.ring[i] = aligned_alloc(64, size);
		assert_non_null(p.ring[i]);
		memset(p.ring[i], 0, size);
	}
	open_client(r);
	open_client(r);
	for (i = 0; i < 100000; i++) {
		random_message(r, &p, &m);
		if (rig_ctl(r, &m) == 0) {
			good++;
			per_op[m.op]++;
			p.handle[p.n++ % FNS_ARRAY_SIZE(p.handle)] = m.handle;
			p.made[m.op][p.nmade++ % 4] = m.handle;
		}
		assert_true(m.result <= 0);
		if (i % 64 == 0)
			rig_step(r, 10000);
	}
	/* The messages are worth something only if they get through the checks often enough. */
	assert_true(good > 10000);
	for (i = FNS_CTL_CLIENT_OPEN; i <= FNS_CTL_AH_DESTROY; i++)
		if (!per_op[i])
			fail_msg("operation %u never succeeded", i);
	for (i = 1; i < FNS_MAX_CLIENTS; i++) {
		m = (struct fns_ctl){.op = FNS_CTL_CLIENT_CLOSE, .client = i};
		if (r->e->clients[i])
			assert_int_equal(rig_ctl(r, &m), 0);
	}
	assert_int_equal(r->e->nqps, 0);
	for (i = 0; i < RINGS; i++)
		free(p.ring[i]);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ownership_and_kind),
		cmocka_unit_test(region_is_no_window),
		cmocka_unit_test(creating_from_what_is_not_mine),
		cmocka_unit_test(bad_parameters),
		cmocka_unit_test(busy_and_order),
		cmocka_unit_test(rereg_domain),
		cmocka_unit_test(bound_window_holds_region),
		cmocka_unit_test(close_sweeps_all),
		cmocka_unit_test(clients_are_bounded),
		cmocka_unit_test(queue_pair_numbers),
		cmocka_unit_test(cq_resize_carries_over),
		cmocka_unit_test(srq_modify_and_query),
		cmocka_unit_test(random_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
