/* SPDX-License-Identifier: Apache-2.0 */
/* The extended posting interface: the same descriptors as by ibv_post_send, in batches, or none at
 * all. */
#include "fake.h"

#include <errno.h>
#include <string.h>

static struct ibv_qp_ex *qx;

static struct ibv_qp *make_ex(enum ibv_qp_type type, uint64_t ops)
{
	struct ibv_qp_init_attr_ex init = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = {.max_send_wr = 8,
			.max_recv_wr = 8,
			.max_send_sge = 16,
			.max_inline_data = 512},
		.qp_type = type,
		.pd = pd,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = ops,
	};
	struct ibv_qp *q = ibv_create_qp_ex(ctx, &init);

	assert_non_null(q);
	to_rts(q);
	return q;
}

static int setup_ex(void **state)
{
	const uint64_t all = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
			     IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM |
			     IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
			     IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_LOCAL_INV |
			     IBV_QP_EX_WITH_BIND_MW | IBV_QP_EX_WITH_SEND_WITH_INV;

	if (setup(state) || ibv_destroy_qp(qp))
		return -1;
	qp = make_ex(IBV_QPT_RC, all);
	qx = ibv_qp_to_qp_ex(qp);
	fake.n_submitted = 0;
	return qx ? 0 : -1;
}

static void start(void)
{
	ibv_wr_start(qx);
	qx->wr_id = 0x77;
	qx->wr_flags = IBV_SEND_SIGNALED;
}

static void take(struct fake_desc *d, uint32_t op, uint32_t nslots)
{
	assert_true(fake_take(d));
	assert_int_equal(d->op, op);
	assert_int_equal(d->nslots, nslots);
	assert_int_equal(d->head.qpn, qp->qp_num);
	assert_int_equal(d->head.gen, 0xa5);
	assert_int_equal(d->head.wr_id, 0x77);
	assert_true(d->flags & FNS_WRF_SIGNALED);
}

static void test_batch_of_all(void **state)
{
	struct ibv_sge sg[5] = {
		{1, 10, 100}, {2, 20, 200}, {3, 30, 300}, {4, 40, 400}, {5, 50, 500}};
	struct fake_desc d;

	start();
	ibv_wr_rdma_write(qx, 0x10, 0x1000);
	ibv_wr_set_sge_list(qx, 5, sg);
	ibv_wr_rdma_write_imm(qx, 0x11, 0x1100, 0xaabb);
	ibv_wr_set_sge(qx, 1, 2, 3);
	ibv_wr_rdma_read(qx, 0x12, 0x1200);
	ibv_wr_set_sge(qx, 1, 2, 3);
	ibv_wr_send(qx);
	qx->wr_flags |= IBV_SEND_FENCE;
	ibv_wr_send_imm(qx, 0xccdd);
	qx->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_send_inv(qx, 0xeeff);
	ibv_wr_atomic_cmp_swp(qx, 0x13, 0x1300, 7, 8);
	ibv_wr_set_sge(qx, 4, 5, 8);
	ibv_wr_atomic_fetch_add(qx, 0x14, 0x1400, 9);
	ibv_wr_set_sge(qx, 4, 5, 8);
	assert_false(fake_take(&d)); /* nothing before complete */
	assert_int_equal(ibv_wr_complete(qx), 0);
	assert_int_equal(fake.n_submitted, 1);

	take(&d, FNS_WR_WRITE, 3);
	assert_int_equal(d.head.remote_addr, 0x1000);
	assert_int_equal(d.head.rkey, 0x10);
	assert_int_equal(d.head.num_sge, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(d.sge[i].addr, sg[i].addr);
		assert_int_equal(d.sge[i].len, sg[i].length);
		assert_int_equal(d.sge[i].lkey, sg[i].lkey);
	}
	take(&d, FNS_WR_WRITE_IMM, 1);
	assert_int_equal(d.head.imm, 0xaabb);
	assert_int_equal(d.sge[0].addr, 2);
	assert_int_equal(d.sge[0].lkey, 1);
	assert_int_equal(d.sge[0].len, 3);
	take(&d, FNS_WR_READ, 1);
	take(&d, FNS_WR_SEND, 1);
	assert_int_equal(d.head.num_sge, 0);
	take(&d, FNS_WR_SEND_IMM, 1);
	assert_int_equal(d.flags, FNS_WRF_SIGNALED | FNS_WRF_FENCE);
	take(&d, FNS_WR_SEND_INV, 1);
	assert_int_equal(d.head.imm, 0xeeff);
	take(&d, FNS_WR_CMP_SWAP, 2);
	assert_int_equal(d.cont0.atomic.compare, 7);
	assert_int_equal(d.cont0.atomic.swap_add, 8);
	assert_int_equal(d.head.num_sge, 1);
	take(&d, FNS_WR_FETCH_ADD, 2);
	assert_int_equal(d.cont0.atomic.swap_add, 9);
	assert_false(fake_take(&d));
}

static void test_inline(void **state)
{
	uint8_t src[FNS_MAX_INLINE + 1];
	struct fake_desc d;
	struct ibv_wc wc;

	for (unsigned i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 3 + 5);
	for (uint32_t len = 0, posted = 0; len <= FNS_MAX_INLINE; len++) {
		struct ibv_data_buf b[3] = {{src, len / 4}, {src + len / 4, len / 2},
			{src + len / 4 + len / 2, len - len / 4 - len / 2}};
		uint32_t slots = 1;

		for (uint32_t room = 24; room < len; room += 56)
			slots++;
		start();
		ibv_wr_send(qx);
		if (len % 2)
			ibv_wr_set_inline_data(qx, src, len);
		else
			ibv_wr_set_inline_data_list(qx, 3, b);
		assert_int_equal(ibv_wr_complete(qx), 0);
		take(&d, FNS_WR_SEND, slots);
		assert_true(d.flags & FNS_WRF_INLINE);
		assert_int_equal(d.head.inline_len, len);
		assert_memory_equal(d.data, src, len);
		fake_complete_send(qp, 0, ++posted);
		assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	}
	start();
	ibv_wr_send(qx);
	ibv_wr_set_inline_data(qx, src, FNS_MAX_INLINE + 1);
	assert_int_equal(ibv_wr_complete(qx), EINVAL);
	start();
	ibv_wr_rdma_read(qx, 1, 2);
	ibv_wr_set_inline_data(qx, src, 1);
	assert_int_equal(ibv_wr_complete(qx), EINVAL);
	assert_false(fake_take(&d));
}

static void test_bind_and_inv(void **state)
{
	static char buf[64];
	struct ibv_mr *mr = ibv_reg_mr(pd, buf, 64, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	struct ibv_mw *mw = ibv_alloc_mw(pd, IBV_MW_TYPE_2);
	struct ibv_mw_bind_info info = {mr, (uintptr_t)buf, 32, IBV_ACCESS_REMOTE_WRITE};
	struct fake_desc d;

	start();
	ibv_wr_bind_mw(qx, mw, 0x31, &info);
	ibv_wr_local_inv(qx, 0x32);
	assert_int_equal(ibv_wr_complete(qx), 0);
	take(&d, FNS_WR_BIND_MW, 2);
	assert_int_equal(d.cont0.bind.new_key, 0x31);
	assert_int_equal(d.cont0.bind.mw_key, mw->rkey);
	assert_int_equal(d.cont0.bind.mr_key, mr->lkey);
	assert_int_equal(d.cont0.bind.len, 32);
	take(&d, FNS_WR_LOCAL_INV, 1);
	assert_int_equal(d.head.imm, 0x32);
	start();
	ibv_wr_local_inv(qx, 0x32);
	ibv_wr_set_sge(qx, 1, 2, 3); /* it has no data */
	assert_int_equal(ibv_wr_complete(qx), EINVAL);
	assert_int_equal(ibv_dealloc_mw(mw) | ibv_dereg_mr(mr), 0);
}

static void test_abort(void **state)
{
	struct fake_desc d;

	for (int i = 0; i < 20; i++) {
		start();
		for (int j = 0; j < 8; j++)
			ibv_wr_send(qx);
		ibv_wr_abort(qx);
	}
	assert_false(fake_take(&d));
	assert_int_equal(fake.n_submitted, 0);
	/* And counted for nothing. */
	start();
	for (int j = 0; j < 8; j++)
		ibv_wr_send(qx);
	assert_int_equal(ibv_wr_complete(qx), 0);
}

/* One bad request in a batch: nothing of it is posted, and the next batch is clean. */
static void test_errors_post_nothing(void **state)
{
	struct ibv_sge sg[17] = {0};
	struct fake_desc d;

	start();
	ibv_wr_send(qx);
	ibv_wr_rdma_write(qx, 1, 2);
	ibv_wr_set_sge_list(qx, 17, sg);
	ibv_wr_send(qx);
	assert_int_equal(ibv_wr_complete(qx), EINVAL);
	start();
	for (int j = 0; j < 9; j++)
		ibv_wr_send(qx);
	assert_int_equal(ibv_wr_complete(qx), ENOMEM);
	start();
	ibv_wr_atomic_fetch_add(qx, 1, 2, 3); /* no place for the result */
	assert_int_equal(ibv_wr_complete(qx), EINVAL);
	start();
	ibv_wr_set_sge(qx, 1, 2, 3); /* of what? */
	assert_int_equal(ibv_wr_complete(qx), EINVAL);
	assert_false(fake_take(&d));
	assert_int_equal(fake.n_submitted, 0);
	start();
	ibv_wr_send(qx);
	assert_int_equal(ibv_wr_complete(qx), 0);
	assert_true(fake_take(&d));
}

static void test_states_and_limits(void **state)
{
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_RESET};
	struct ibv_send_wr wr = {.opcode = IBV_WR_SEND}, *bad;
	struct fake_desc d;

	/* Both interfaces count together. */
	for (int i = 0; i < 6; i++)
		assert_int_equal(ibv_post_send(qp, &wr, &bad), 0);
	start();
	for (int j = 0; j < 3; j++)
		ibv_wr_send(qx);
	assert_int_equal(ibv_wr_complete(qx), ENOMEM);
	start();
	for (int j = 0; j < 2; j++)
		ibv_wr_send(qx);
	assert_int_equal(ibv_wr_complete(qx), 0);
	assert_int_equal(ibv_post_send(qp, &wr, &bad), ENOMEM);
	for (int i = 0; i < 8; i++)
		assert_true(fake_take(&d));
	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE), 0);
	start();
	ibv_wr_send(qx);
	assert_int_equal(ibv_wr_complete(qx), EINVAL);
	assert_false(fake_take(&d));
}

static void test_ud(void **state)
{
	struct ibv_qp *ud = make_ex(IBV_QPT_UD, IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM);
	struct ibv_ah_attr attr = loop_address();
	struct ibv_ah *ah = ibv_create_ah(pd, &attr);
	struct ibv_qp_ex *ux = ibv_qp_to_qp_ex(ud);
	struct fake_desc d;

	assert_null(ux->wr_rdma_read);
	ibv_wr_start(ux);
	ibv_wr_send(ux);
	ibv_wr_set_ud_addr(ux, ah, 0x42, 0x43);
	ibv_wr_set_sge(ux, 1, 2, 3);
	assert_int_equal(ibv_wr_complete(ux), 0);
	assert_true(fake_take(&d));
	assert_int_equal(d.head.ud.ah, ah->handle);
	assert_int_equal(d.head.ud.remote_qpn, 0x42);
	assert_int_equal(d.head.qkey, 0x43);
	ibv_wr_start(ux);
	ibv_wr_send(ux); /* to nobody */
	assert_int_equal(ibv_wr_complete(ux), EINVAL);
	assert_false(fake_take(&d));
	assert_int_equal(ibv_destroy_qp(ud) | ibv_destroy_ah(ah), 0);
}

/* A batch of more slots than the ring has gets through while the engine takes. */
static void test_batch_longer_than_ring(void **state)
{
	uint8_t src[FNS_MAX_INLINE] = {0};

	fake.drain = 1;
	start();
	for (int i = 0; i < 8; i++) {
		ibv_wr_send(qx);
		ibv_wr_set_inline_data(qx, src, sizeof(src));
	}
	assert_int_equal(ibv_wr_complete(qx), 0); /* 80 slots into 64 */
	fake.drain = 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_ex, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_batch_of_all),
		T(test_inline),
		T(test_bind_and_inv),
		T(test_abort),
		T(test_errors_post_nothing),
		T(test_states_and_limits),
		T(test_ud),
		T(test_batch_longer_than_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
