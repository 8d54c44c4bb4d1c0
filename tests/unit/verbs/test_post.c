/* SPDX-License-Identifier: Apache-2.0 */
/* Posting: what lands in the submission ring for each work request, and what is refused. */
#include "fake.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

static struct ibv_send_wr *bad;
static struct ibv_recv_wr *bad_recv;

static struct ibv_send_wr simple(enum ibv_wr_opcode op, struct ibv_sge *sg, int n)
{
	struct ibv_send_wr wr = {
		.wr_id = 0x1122334455667788, .opcode = op, .sg_list = sg, .num_sge = n};

	wr.send_flags = IBV_SEND_SIGNALED;
	wr.imm_data = 0xdeadbeef;
	return wr;
}

static void take_head(struct fake_desc *d, uint32_t op, uint32_t nslots)
{
	assert_true(fake_take(d));
	assert_int_equal(d->op, op);
	assert_int_equal(d->nslots, nslots);
	assert_int_equal(d->head.qpn, qp->qp_num);
	assert_int_equal(d->head.gen, 0xa5);
	assert_int_equal(d->head.wr_id, 0x1122334455667788);
}

static void test_rdma_opcodes(void **state)
{
	static const struct {
		enum ibv_wr_opcode wr;
		enum fns_sqd_op op;
		bool remote;
	} ops[] = {
		{IBV_WR_RDMA_WRITE, FNS_WR_WRITE, true},
		{IBV_WR_RDMA_WRITE_WITH_IMM, FNS_WR_WRITE_IMM, true},
		{IBV_WR_RDMA_READ, FNS_WR_READ, true},
		{IBV_WR_SEND, FNS_WR_SEND, false},
		{IBV_WR_SEND_WITH_IMM, FNS_WR_SEND_IMM, false},
		{IBV_WR_SEND_WITH_INV, FNS_WR_SEND_INV, false},
	};
	struct ibv_sge sge = {0x1000, 0x80000000u, 0x11};
	struct fake_desc d;

	for (unsigned i = 0; i < 6; i++) {
		struct ibv_send_wr wr = simple(ops[i].wr, &sge, 1);

		wr.wr.rdma.remote_addr = 0xaabbccdd00112233;
		wr.wr.rdma.rkey = 0x4455;
		assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
		assert_int_equal(fake.n_submitted, i + 1);
		take_head(&d, ops[i].op, 1);
		assert_int_equal(d.flags, FNS_WRF_SIGNALED);
		assert_int_equal(d.head.imm, 0xdeadbeef);
		assert_int_equal(d.head.num_sge, 1);
		assert_int_equal(d.head.remote_addr, ops[i].remote ? 0xaabbccdd00112233 : 0);
		assert_int_equal(d.head.rkey, ops[i].remote ? 0x4455 : 0);
		assert_int_equal(d.sge[0].addr, 0x1000);
		assert_int_equal(d.sge[0].len, 0x80000000u);
		assert_int_equal(d.sge[0].lkey, 0x11);
	}
	assert_false(fake_take(&d));
}

static void test_flags(void **state)
{
	struct ibv_send_wr wr = simple(IBV_WR_SEND, NULL, 0);
	struct fake_desc d;

	wr.send_flags = 0;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	take_head(&d, FNS_WR_SEND, 1);
	assert_int_equal(d.flags, 0);
	wr.send_flags = IBV_SEND_FENCE | IBV_SEND_SOLICITED;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	take_head(&d, FNS_WR_SEND, 1);
	assert_int_equal(d.flags, FNS_WRF_FENCE | FNS_WRF_SOLICITED);
}

static void test_sig_all(void **state)
{
	struct ibv_qp_init_attr init = {.send_cq = cq,
		.recv_cq = cq,
		.cap = {.max_send_wr = 1},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1};
	struct ibv_send_wr wr = simple(IBV_WR_SEND, NULL, 0);
	struct ibv_qp *q = ibv_create_qp(pd, &init);
	struct fake_desc d;

	to_rts(q);
	wr.send_flags = 0;
	assert_int_equal(ibv_post_send(q, &wr, &bad), 0);
	assert_true(fake_take(&d));
	assert_int_equal(d.flags, FNS_WRF_SIGNALED);
	assert_int_equal(ibv_destroy_qp(q), 0);
}

static void test_atomics(void **state)
{
	struct ibv_sge sge = {0x2000, 8, 0x22};
	struct ibv_send_wr wr = simple(IBV_WR_ATOMIC_CMP_AND_SWP, &sge, 1);
	struct fake_desc d;

	wr.wr.atomic.remote_addr = 0x9000;
	wr.wr.atomic.rkey = 0x77;
	wr.wr.atomic.compare_add = 0x0102030405060708;
	wr.wr.atomic.swap = 0x1112131415161718;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	take_head(&d, FNS_WR_CMP_SWAP, 2);
	assert_int_equal(d.head.remote_addr, 0x9000);
	assert_int_equal(d.head.rkey, 0x77);
	assert_int_equal(d.head.num_sge, 1);
	assert_int_equal(d.sge[0].addr, 0x2000);
	assert_int_equal(d.cont0.atomic.compare, 0x0102030405060708);
	assert_int_equal(d.cont0.atomic.swap_add, 0x1112131415161718);

	wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	take_head(&d, FNS_WR_FETCH_ADD, 2);
	assert_int_equal(d.cont0.atomic.compare, 0);
	assert_int_equal(d.cont0.atomic.swap_add, 0x0102030405060708);

	sge.length = 4;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	wr.num_sge = 0;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	assert_false(fake_take(&d));
}

static void test_local_inv_and_bind(void **state)
{
	static char buf[64];
	struct ibv_mr *mr =
		ibv_reg_mr(pd, buf, sizeof(buf), IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	struct ibv_mw *mw1 = ibv_alloc_mw(pd, IBV_MW_TYPE_1),
		      *mw2 = ibv_alloc_mw(pd, IBV_MW_TYPE_2);
	struct ibv_send_wr wr = simple(IBV_WR_LOCAL_INV, NULL, 0);
	struct ibv_mw_bind bind = {
		.wr_id = 0x1122334455667788,
		.bind_info = {mr, (uintptr_t)buf, 64, IBV_ACCESS_REMOTE_READ},
	};
	uint32_t key = mw1->rkey;
	struct fake_desc d;

	wr.invalidate_rkey = 0x1234;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	take_head(&d, FNS_WR_LOCAL_INV, 1);
	assert_int_equal(d.head.imm, 0x1234);
	assert_int_equal(d.head.num_sge, 0);

	wr.opcode = IBV_WR_BIND_MW;
	wr.bind_mw.mw = mw2;
	wr.bind_mw.rkey = 0x99;
	wr.bind_mw.bind_info = bind.bind_info;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	take_head(&d, FNS_WR_BIND_MW, 2);
	assert_int_equal(d.cont0.bind.addr, (uintptr_t)buf);
	assert_int_equal(d.cont0.bind.len, 64);
	assert_int_equal(d.cont0.bind.mr_key, mr->lkey);
	assert_int_equal(d.cont0.bind.mw_key, mw2->rkey);
	assert_int_equal(d.cont0.bind.new_key, 0x99);
	assert_int_equal(d.cont0.bind.access, IBV_ACCESS_REMOTE_READ);
	/* A type 1 window is not bound by a work request, a type 2 one not by ibv_bind_mw. */
	wr.bind_mw.mw = mw1;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	assert_int_equal(ibv_bind_mw(qp, mw2, &bind), EINVAL);

	assert_int_equal(ibv_bind_mw(qp, mw1, &bind), 0);
	take_head(&d, FNS_WR_BIND_MW, 2);
	assert_int_equal(d.flags, 0);
	assert_int_equal(d.cont0.bind.mw_key, key);
	assert_int_equal(mw1->rkey, ibv_inc_rkey(key));
	assert_int_equal(d.cont0.bind.new_key, mw1->rkey);

	/* Zero length unbinds and needs no region. */
	bind.bind_info = (struct ibv_mw_bind_info){0};
	assert_int_equal(ibv_bind_mw(qp, mw1, &bind), 0);
	take_head(&d, FNS_WR_BIND_MW, 2);
	assert_int_equal(d.cont0.bind.len, 0);
	assert_int_equal(d.cont0.bind.mr_key, 0);
	assert_int_equal(ibv_dealloc_mw(mw1) | ibv_dealloc_mw(mw2) | ibv_dereg_mr(mr), 0);
}

static void retire_all(struct ibv_qp *q, uint32_t count)
{
	struct ibv_wc wc;

	fake_complete_send(q, 0, count);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
}

/* Every length, in one buffer and in three uneven ones; the wrap of the ring falls on every slot in
 * turn. */
static void test_inline_lengths(void **state)
{
	uint8_t src[FNS_MAX_INLINE + 1];
	struct fake_desc d;
	uint32_t posted = 0;

	for (unsigned i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 7 + 1);
	for (uint32_t len = 0; len <= FNS_MAX_INLINE; len++) {
		for (int pieces = 1; pieces <= 3; pieces += 2) {
			uint32_t a = pieces == 3 ? len / 5 : len, b = pieces == 3 ? len / 3 : 0;
			struct ibv_sge sg[3] = {{(uintptr_t)src, a, 0}, {(uintptr_t)src + a, b, 0},
				{(uintptr_t)src + a + b, len - a - b, 0}};
			struct ibv_send_wr wr = simple(IBV_WR_SEND, sg, pieces);
			uint32_t slots = 1;

			for (uint32_t room = 24; room < len; room += 56)
				slots++;
			wr.send_flags |= IBV_SEND_INLINE;
			assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
			posted++;
			take_head(&d, FNS_WR_SEND, slots);
			assert_int_equal(d.flags, FNS_WRF_SIGNALED | FNS_WRF_INLINE);
			assert_int_equal(d.head.num_sge, 0);
			assert_int_equal(d.head.inline_len, len);
			assert_memory_equal(d.data, src, len);
			retire_all(qp, posted);
		}
	}
	struct ibv_sge sg = {(uintptr_t)src, FNS_MAX_INLINE + 1, 0};
	struct ibv_send_wr wr = simple(IBV_WR_SEND, &sg, 1);

	wr.send_flags |= IBV_SEND_INLINE;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	sg.length = 8;
	wr.opcode = IBV_WR_RDMA_READ;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	assert_false(fake_take(&d));
}

static void test_sge_counts(void **state)
{
	struct ibv_sge sg[FNS_MAX_SGE + 1];
	struct fake_desc d;
	uint32_t posted = 0;

	for (unsigned i = 0; i <= FNS_MAX_SGE; i++)
		sg[i] = (struct ibv_sge){0x10000 + i, 100 + i, 200 + i};
	for (int round = 0; round < 20; round++) {
		for (int n = 0; n <= (int)FNS_MAX_SGE; n++) {
			struct ibv_send_wr wr = simple(IBV_WR_RDMA_WRITE, sg, n);
			struct ibv_recv_wr rr = {
				.wr_id = 0x1122334455667788, .sg_list = sg, .num_sge = n};
			struct ibv_wc wc;

			for (int recv = 0; recv < 2; recv++) {
				if (recv) {
					assert_int_equal(ibv_post_recv(qp, &rr, &bad_recv), 0);
					fake_complete_recv(qp, 1);
				} else {
					assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
					fake_complete_send(qp, 1, ++posted);
				}
				assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
				take_head(&d, recv ? FNS_WR_RECV : FNS_WR_WRITE,
					n <= 1 ? 1 : 1 + (uint32_t)(n + 1) / 3);
				assert_int_equal(d.head.num_sge, n);
				for (int i = 0; i < n; i++) {
					assert_int_equal(d.sge[i].addr, 0x10000 + i);
					assert_int_equal(d.sge[i].len, 100 + i);
					assert_int_equal(d.sge[i].lkey, 200 + i);
				}
			}
		}
	}
	struct ibv_send_wr wr = simple(IBV_WR_RDMA_WRITE, sg, 17);
	struct ibv_recv_wr rr = {.sg_list = sg, .num_sge = 17};

	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	assert_int_equal(ibv_post_recv(qp, &rr, &bad_recv), EINVAL);
	wr.num_sge = rr.num_sge = -1;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	assert_int_equal(ibv_post_recv(qp, &rr, &bad_recv), EINVAL);
	/* 2 GiB is the longest message. */
	sg[0].length = 0x80000000u;
	sg[1].length = 1;
	wr.num_sge = rr.num_sge = 2;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EINVAL);
	assert_int_equal(ibv_post_recv(qp, &rr, &bad_recv), EINVAL);
	assert_false(fake_take(&d));
}

/* A chain is posted up to the bad request, and one submitted() told of it. */
static void test_chain_stops_at_bad(void **state)
{
	struct ibv_send_wr wr[3] = {simple(IBV_WR_SEND, NULL, 0), simple(IBV_WR_TSO, NULL, 0),
		simple(IBV_WR_SEND, NULL, 0)};
	struct fake_desc d;

	wr[0].next = &wr[1];
	wr[1].next = &wr[2];
	assert_int_equal(ibv_post_send(qp, wr, &bad), EINVAL);
	assert_ptr_equal(bad, &wr[1]);
	assert_int_equal(fake.n_submitted, 1);
	assert_int_equal(fake.last_submitted, 1);
	assert_true(fake_take(&d));
	assert_false(fake_take(&d));
	assert_int_equal(ibv_post_send(qp, &wr[1], &bad), EINVAL);
	assert_int_equal(fake.n_submitted, 1);
}

static void test_limits_are_per_queue_pair(void **state)
{
	struct ibv_send_wr wr[9];
	struct ibv_recv_wr rr[9];
	struct ibv_wc wc;
	struct ibv_qp *other = make_qp(IBV_QPT_RC, cq, cq, NULL);

	to_rts(other);
	for (int i = 0; i < 9; i++) {
		wr[i] = simple(IBV_WR_SEND, NULL, 0);
		wr[i].next = i < 8 ? &wr[i + 1] : NULL;
		rr[i] = (struct ibv_recv_wr){.next = i < 8 ? &rr[i + 1] : NULL};
	}
	assert_int_equal(ibv_post_send(qp, wr, &bad), ENOMEM);
	assert_ptr_equal(bad, &wr[8]);
	assert_int_equal(ibv_post_recv(qp, rr, &bad_recv), ENOMEM);
	assert_ptr_equal(bad_recv, &rr[8]);
	assert_int_equal(ibv_post_send(other, &wr[8], &bad), 0);
	/* One completion that retires five gives room for five. */
	fake_complete_send(qp, 0, 5);
	assert_int_equal(ibv_post_send(qp, &wr[8], &bad), ENOMEM);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ibv_post_send(qp, &wr[8], &bad), 0);
	assert_int_equal(ibv_post_send(qp, &wr[8], &bad), ENOMEM);
	fake_complete_recv(qp, 0);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(ibv_post_recv(qp, &rr[8], &bad_recv), 0);
	assert_int_equal(ibv_post_recv(qp, &rr[8], &bad_recv), ENOMEM);
	assert_int_equal(ibv_destroy_qp(other), 0);
}

/* The shared ring is full and nobody takes: ENOMEM, with what came before still whole. Then it
 * drains and posting goes on. */
static void test_ring_full(void **state)
{
	struct ibv_sge sg[FNS_MAX_SGE] = {0};
	struct ibv_send_wr wr = simple(IBV_WR_RDMA_WRITE, sg, 16);
	unsigned fit = FAKE_SLOTS / 6, posted = 0;
	struct ibv_qp *other = make_qp(IBV_QPT_RC, cq, cq, NULL);
	struct fake_desc d;

	to_rts(other);
	for (unsigned i = 0; i < fit; i++)
		assert_int_equal(ibv_post_send(i < 8 ? qp : other, &wr, &bad), 0);
	assert_int_equal(ibv_post_send(other, &wr, &bad), ENOMEM);
	while (fake_take(&d)) {
		assert_int_equal(d.nslots, 6);
		posted++;
	}
	assert_int_equal(posted, fit);
	fake.drain = 1;
	assert_int_equal(ibv_post_send(other, &wr, &bad), 0);
	fake.drain = 0;
	assert_int_equal(ibv_destroy_qp(other), 0);
}

static struct ibv_qp *racing;

/* While one request waits for the ring, this takes the last place of the same queue, and then lets
 * the ring drain. */
static void *race_for_last(void *arg)
{
	struct ibv_send_wr wr = simple(IBV_WR_SEND, NULL, 0), *b;
	int *got = arg;

	while (__atomic_load_n(&fake.n_submitted, __ATOMIC_RELAXED) < 50)
		sched_yield();
	*got = ibv_post_send(racing, &wr, &b);
	return NULL;
}

/* A request that waits for the ring is counted already: the queue pair's limit holds however long
 * that takes. */
static void test_waiting_counts(void **state)
{
	struct ibv_qp_init_attr init = {.send_cq = cq,
		.recv_cq = cq,
		.cap = {.max_send_wr = 1, .max_send_sge = 16},
		.qp_type = IBV_QPT_RC};
	struct ibv_sge sg[FNS_MAX_SGE] = {0};
	struct ibv_send_wr wr = simple(IBV_WR_RDMA_WRITE, sg, 16);
	struct ibv_qp *fill[2] = {qp, make_qp(IBV_QPT_RC, cq, cq, NULL)};
	int other = -1;
	pthread_t t;

	racing = ibv_create_qp(pd, &init);
	to_rts(racing);
	to_rts(fill[1]);
	for (unsigned i = 0; i < FAKE_SLOTS / 6; i++)
		assert_int_equal(ibv_post_send(fill[i / 8], &wr, &bad), 0);
	fake.n_submitted = 0;
	assert_int_equal(pthread_create(&t, NULL, race_for_last, &other), 0);
	assert_int_equal(ibv_post_send(racing, &wr, &bad), ENOMEM);
	pthread_join(t, NULL);
	assert_int_equal(other, ENOMEM);
	/* And not counted any more. */
	fake.drain = 1;
	assert_int_equal(ibv_post_send(racing, &wr, &bad), 0);
	assert_int_equal(ibv_post_send(racing, &wr, &bad), ENOMEM);
	fake.drain = 0;
	assert_int_equal(ibv_destroy_qp(racing) | ibv_destroy_qp(fill[1]), 0);
}

static void test_states(void **state)
{
	struct ibv_qp *q = make_qp(IBV_QPT_RC, cq, cq, NULL);
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_INIT, .port_num = 1};
	struct ibv_send_wr wr = simple(IBV_WR_SEND, NULL, 0);
	struct ibv_recv_wr rr = {0};

	assert_int_equal(ibv_post_send(q, &wr, &bad), EINVAL);
	assert_int_equal(ibv_post_recv(q, &rr, &bad_recv), EINVAL);
	assert_int_equal(
		ibv_modify_qp(q, &a,
			IBV_QP_STATE | IBV_QP_PORT | IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS),
		0);
	assert_int_equal(ibv_post_send(q, &wr, &bad), EINVAL);
	assert_int_equal(ibv_post_recv(q, &rr, &bad_recv), 0);
	a.qp_state = IBV_QPS_ERR;
	assert_int_equal(ibv_modify_qp(q, &a, IBV_QP_STATE), 0);
	assert_int_equal(ibv_post_send(q, &wr, &bad), 0);
	assert_int_equal(ibv_post_recv(q, &rr, &bad_recv), 0);
	assert_int_equal(ibv_destroy_qp(q), 0);
}

/* After a reset the queues are empty and counts start over. */
static void test_reset(void **state)
{
	struct ibv_send_wr wr = simple(IBV_WR_SEND, NULL, 0);
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_RESET};
	struct ibv_recv_wr rr = {0};
	struct ibv_wc wc;

	for (int i = 0; i < 8; i++) {
		assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
		assert_int_equal(ibv_post_recv(qp, &rr, &bad_recv), 0);
	}
	fake_complete_send(qp, 1, 3);
	fake_complete_recv(qp, 1);
	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE), 0);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 0);
	to_rts(qp);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
		assert_int_equal(ibv_post_recv(qp, &rr, &bad_recv), 0);
	}
	assert_int_equal(ibv_post_send(qp, &wr, &bad), ENOMEM);
	fake_complete_send(qp, 1, 1);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	assert_int_equal(ibv_post_send(qp, &wr, &bad), ENOMEM);
}

static void test_ud(void **state)
{
	struct ibv_qp *ud = make_qp(IBV_QPT_UD, cq, cq, NULL);
	struct ibv_ah_attr attr = loop_address();
	struct ibv_ah *ah = ibv_create_ah(pd, &attr);
	struct ibv_send_wr wr = simple(IBV_WR_SEND_WITH_IMM, NULL, 0);
	struct fake_desc d;

	to_rts(ud);
	assert_int_equal(ibv_post_send(ud, &wr, &bad), EINVAL); /* no address */
	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = 0x123456;
	wr.wr.ud.remote_qkey = 0x80010000;
	assert_int_equal(ibv_post_send(ud, &wr, &bad), 0);
	assert_true(fake_take(&d));
	assert_int_equal(d.op, FNS_WR_SEND_IMM);
	assert_int_equal(d.head.ud.ah, ah->handle);
	assert_int_equal(d.head.ud.remote_qpn, 0x123456);
	assert_int_equal(d.head.qkey, 0x80010000);
	for (int op = 0; op <= IBV_WR_TSO; op++) {
		wr.opcode = (enum ibv_wr_opcode)op;
		if (op != IBV_WR_SEND && op != IBV_WR_SEND_WITH_IMM)
			assert_int_equal(ibv_post_send(ud, &wr, &bad), EINVAL);
	}
	assert_int_equal(ibv_destroy_ah(ah) | ibv_destroy_qp(ud), 0);
}

static void test_uc_opcodes(void **state)
{
	struct ibv_qp *uc = make_qp(IBV_QPT_UC, cq, cq, NULL);
	struct ibv_sge sge = {0, 8, 0};
	struct ibv_send_wr wr = simple(IBV_WR_RDMA_WRITE, &sge, 1);

	to_rts(uc);
	assert_int_equal(ibv_post_send(uc, &wr, &bad), 0);
	wr.opcode = IBV_WR_RDMA_READ;
	assert_int_equal(ibv_post_send(uc, &wr, &bad), EINVAL);
	wr.opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
	assert_int_equal(ibv_post_send(uc, &wr, &bad), EINVAL);
	assert_int_equal(ibv_destroy_qp(uc), 0);
}

static void test_srq(void **state)
{
	struct ibv_srq_init_attr init = {.attr = {.max_wr = 4, .max_sge = 2}};
	struct ibv_srq *srq = ibv_create_srq(pd, &init);
	struct ibv_qp *q = make_qp(IBV_QPT_RC, cq, cq, srq);
	struct ibv_sge sg[3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
	struct ibv_recv_wr rr = {.wr_id = 42, .sg_list = sg, .num_sge = 2};
	struct fake_desc d;
	struct ibv_wc wc;

	to_rts(q);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ibv_post_srq_recv(srq, &rr, &bad_recv), 0);
		assert_true(fake_take(&d));
		assert_int_equal(d.op, FNS_WR_SRQ_RECV);
		assert_int_equal(d.head.qpn, srq->handle);
		assert_int_equal(d.head.wr_id, 42);
		assert_int_equal(d.head.num_sge, 2);
		assert_int_equal(d.sge[1].addr, 4);
	}
	assert_int_equal(ibv_post_srq_recv(srq, &rr, &bad_recv), ENOMEM);
	assert_ptr_equal(bad_recv, &rr);
	assert_int_equal(ibv_post_recv(q, &rr, &bad_recv), EINVAL);
	rr.num_sge = 3;
	assert_int_equal(ibv_post_srq_recv(srq, &rr, &bad_recv), EINVAL);
	rr.num_sge = 0;
	fake_complete_recv(q, 42);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(ibv_post_srq_recv(srq, &rr, &bad_recv), 0);
	/* What a destroyed queue pair had taken from the shared queue is free again, read or not.
	 */
	fake_complete_recv(q, 42);
	fake_complete_recv(q, 42);
	assert_int_equal(ibv_destroy_srq(srq), EBUSY);
	assert_int_equal(ibv_destroy_qp(q), 0);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 0);
	assert_int_equal(ibv_post_srq_recv(srq, &rr, &bad_recv), 0);
	assert_int_equal(ibv_post_srq_recv(srq, &rr, &bad_recv), 0);
	assert_int_equal(ibv_post_srq_recv(srq, &rr, &bad_recv), ENOMEM);
	assert_int_equal(ibv_destroy_srq(srq), 0);
}

static void test_dead_after_fork(void **state)
{
	struct ibv_send_wr wr = simple(IBV_WR_SEND, NULL, 0);
	struct ibv_recv_wr rr = {0};
	struct fake_desc d;
	struct ibv_wc wc;

	fake.alive = 0;
	assert_int_equal(ibv_post_send(qp, &wr, &bad), EIO);
	assert_ptr_equal(bad, &wr);
	assert_int_equal(ibv_post_recv(qp, &rr, &bad_recv), EIO);
	assert_true(ibv_poll_cq(cq, 1, &wc) < 0);
	assert_int_equal(ibv_req_notify_cq(cq, 0), EIO);
	fake.alive = 1;
	assert_false(fake_take(&d));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_rdma_opcodes),
		T(test_flags),
		T(test_sig_all),
		T(test_atomics),
		T(test_local_inv_and_bind),
		T(test_inline_lengths),
		T(test_sge_counts),
		T(test_chain_stops_at_bad),
		T(test_limits_are_per_queue_pair),
		T(test_ring_full),
		T(test_waiting_counts),
		T(test_states),
		T(test_reset),
		T(test_ud),
		T(test_uc_opcodes),
		T(test_srq),
		T(test_dead_after_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
