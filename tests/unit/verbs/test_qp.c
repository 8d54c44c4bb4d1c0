/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs: creation, wrong attributes, forbidden orders, queries. */
#include "fake.h"

#include <errno.h>

#include "verbs/limits.h"

static void test_qp_create(void **state)
{
	struct ibv_qp_init_attr good =
					{
						.send_cq = cq,
						.recv_cq = cq,
						.cap = {.max_send_wr = 3,
							.max_recv_wr = 4,
							.max_send_sge = 2,
							.max_recv_sge = 1,
							.max_inline_data = 60},
						.qp_type = IBV_QPT_UC,
						.sq_sig_all = 1,
						.qp_context = &fake,
					},
				a = good;
	struct ibv_qp *q = ibv_create_qp(pd, &a);
	uint32_t live = fake.live[FNS_CTL_QP_CREATE];

	assert_int_equal(fake.last.qp.pd, pd->handle);
	assert_int_equal(fake.last.qp.send_cq, cq->handle);
	assert_int_equal(fake.last.qp.type, FNS_QPT_UC);
	assert_int_equal(fake.last.qp.sq_sig_all, 1);
	assert_int_equal(fake.last.qp.cap.max_send_wr, 3);
	assert_int_equal(fake.last.qp.cap.max_inline, 60);
	assert_int_equal(q->state, IBV_QPS_RESET);
	assert_int_equal(q->qp_num, 0x050000 | (q->qp_num & 0xffff));
	assert_ptr_equal(q->qp_context, &fake);
	assert_null(ibv_qp_to_qp_ex(q));
	assert_int_equal(ibv_destroy_cq(cq), EBUSY);
	assert_int_equal(ibv_dealloc_pd(pd), EBUSY);
	assert_int_equal(ibv_destroy_qp(q), 0);
	live--;

#define BAD(change, err)                                                                           \
	do {                                                                                       \
		a = good;                                                                          \
		change;                                                                            \
		errno = 0;                                                                         \
		assert_null(ibv_create_qp(pd, &a));                                                \
		assert_int_equal(errno, err);                                                      \
		assert_int_equal(fake.live[FNS_CTL_QP_CREATE], live);                              \
	} while (0)
	BAD(a.qp_type = IBV_QPT_RAW_PACKET, EOPNOTSUPP);
	BAD(a.qp_type = IBV_QPT_XRC_SEND, EOPNOTSUPP);
	BAD(a.send_cq = NULL, EINVAL);
	BAD(a.recv_cq = NULL, EINVAL);
	BAD(a.cap.max_send_wr = FNS_MAX_QP_WR + 1, EINVAL);
	BAD(a.cap.max_send_wr = UINT32_MAX, EINVAL);
	BAD(a.cap.max_recv_wr = UINT32_MAX, EINVAL);
	BAD(a.cap.max_send_sge = 17, EINVAL);
	BAD(a.cap.max_recv_sge = 0xffff, EINVAL);
	BAD(a.cap.max_inline_data = 513, EINVAL);
	fake.fail_op = FNS_CTL_QP_CREATE;
	fake.fail_err = -ENOMEM;
	fake.fail_times = 1;
	BAD((void)0, ENOMEM);
#undef BAD
	struct ibv_cq *scq = ibv_create_cq(ctx, 1, NULL, NULL, 0),
		      *rcq = ibv_create_cq(ctx, 1, NULL, NULL, 0);

	q = make_qp(IBV_QPT_UD, scq, rcq, NULL);
	assert_int_equal(ibv_destroy_cq(scq), EBUSY);
	assert_int_equal(ibv_destroy_cq(rcq), EBUSY);
	assert_int_equal(ibv_destroy_qp(q) | ibv_destroy_cq(scq) | ibv_destroy_cq(rcq), 0);

	struct ibv_qp_init_attr_ex ex = {
		.send_cq = cq,
		.recv_cq = cq,
		.qp_type = IBV_QPT_UD,
		.pd = pd,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_READ,
	};

	assert_null(ibv_create_qp_ex(ctx, &ex));
	assert_int_equal(errno, EOPNOTSUPP);
	ex.comp_mask = IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	ex.send_ops_flags = IBV_QP_EX_WITH_SEND;
	assert_null(ibv_create_qp_ex(ctx, &ex)); /* no domain */
	assert_int_equal(errno, EINVAL);
}

#define STATE_INIT (IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)
#define STATE_RTR                                                                                  \
	(IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |            \
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)

static void test_qp_modify_bad(void **state)
{
	struct ibv_qp *q = make_qp(IBV_QPT_RC, cq, cq, NULL);
	struct ibv_qp_attr good = {.qp_state = IBV_QPS_INIT,
				   .port_num = 1,
				   .qp_access_flags = IBV_ACCESS_REMOTE_READ},
			   a;
	int n = fake.n_control;

#define BAD(change, mask, err)                                                                     \
	do {                                                                                       \
		a = good;                                                                          \
		change;                                                                            \
		assert_int_equal(ibv_modify_qp(q, &a, mask), err);                                 \
		assert_int_equal(fake.n_control, n);                                               \
	} while (0)
	BAD((void)0, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT, EINVAL);
	BAD((void)0, STATE_INIT | IBV_QP_QKEY, EINVAL);
	BAD(a.port_num = 2, STATE_INIT, EINVAL);
	BAD(a.pkey_index = 1, STATE_INIT, EINVAL);
	BAD(a.qp_access_flags = 1 << 9, STATE_INIT, EINVAL);
	BAD(a.qp_state = IBV_QPS_RTR, IBV_QP_STATE, EINVAL);
	BAD(a.qp_state = IBV_QPS_RTS, IBV_QP_STATE, EINVAL);
	BAD(a.qp_state = IBV_QPS_UNKNOWN, IBV_QP_STATE, EINVAL);
	BAD((void)0, STATE_INIT | 1 << 21, EINVAL);
	BAD((void)0, IBV_QP_CAP, EOPNOTSUPP);
	BAD((void)0, IBV_QP_ALT_PATH, EOPNOTSUPP);
	BAD((void)0, IBV_QP_RATE_LIMIT, EOPNOTSUPP);
	a = good;
	assert_int_equal(ibv_modify_qp(q, &a, STATE_INIT), 0);
	assert_int_equal(q->state, IBV_QPS_INIT);
	n = fake.n_control;
	good = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = 1,
		.ah_attr = loop_address(),
		.max_dest_rd_atomic = 16,
		.min_rnr_timer = 31};
	BAD(a.path_mtu = 0, STATE_RTR, EINVAL);
	BAD(a.path_mtu = 6, STATE_RTR, EINVAL);
	BAD(a.dest_qp_num = 1 << 24, STATE_RTR, EINVAL);
	BAD(a.max_dest_rd_atomic = 17, STATE_RTR, EINVAL);
	BAD(a.min_rnr_timer = 32, STATE_RTR, EINVAL);
	BAD(a.ah_attr.is_global = 0, STATE_RTR, EINVAL);
	BAD(a.ah_attr.grh.dgid.raw[12] = 0xe0, STATE_RTR, EINVAL); /* multicast */
	BAD((void)0, STATE_RTR & ~IBV_QP_AV, EINVAL);
	BAD((void)0, STATE_RTR | IBV_QP_SQ_PSN, EINVAL);
	a = good;
	a.rq_psn = 0xff123456;
	assert_int_equal(ibv_modify_qp(q, &a, STATE_RTR), 0);
	assert_int_equal(fake.last.qp_attr.rq_psn, 0x123456);
	assert_int_equal(fake.last.qp_attr.dest_qpn, 1);
	assert_true(fns_gid_is_v4(&fake.last.qp_attr.av.dgid));
	/* The engine refuses: nothing changes here either. */
	fake.fail_op = FNS_CTL_QP_MODIFY;
	fake.fail_err = -EINVAL;
	fake.fail_times = 1;
	a.qp_state = IBV_QPS_RESET;
	assert_int_equal(ibv_modify_qp(q, &a, IBV_QP_STATE), EINVAL);
	assert_int_equal(q->state, IBV_QPS_RTR);
	n = fake.n_control;
	BAD(a.qp_state = IBV_QPS_ERR, IBV_QP_STATE | IBV_QP_AV, EINVAL);
#undef BAD
	assert_int_equal(ibv_destroy_qp(q), 0);
}

static void test_qp_query(void **state)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr a;

	fake.qp_state = FNS_QPS_SQE;
	assert_int_equal(ibv_query_qp(qp, &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.qp_state, IBV_QPS_SQE);
	assert_int_equal(qp->state, IBV_QPS_SQE);
	assert_int_equal(a.sq_psn, 0x45);
	assert_int_equal(a.path_mtu, IBV_MTU_1024);
	assert_int_equal(a.dest_qp_num, 77);
	assert_int_equal(a.timeout, 14);
	assert_int_equal(a.ah_attr.is_global, 1);
	assert_int_equal(a.cap.max_inline_data, 512);
	assert_int_equal(init.cap.max_send_wr, 8);
	assert_ptr_equal(init.send_cq, cq);
	fake.qp_state = FNS_QPS_RTS;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_qp_create),
		T(test_qp_modify_bad),
		T(test_qp_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
