/* SPDX-License-Identifier: Apache-2.0 */
/* Devices, domains, regions, addresses, queue pairs: creation, wrong attributes, forbidden orders,
 * queries. */
#include "fake.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verbs/limits.h"
#include "verbs/netdev.h"

#undef ibv_reg_mr

static char buf[4096];

static void test_device(void **state)
{
	struct ibv_device *dev = ctx->device;
	struct ibv_device_attr_ex ex;
	struct ibv_device_attr a;

	assert_string_equal(ibv_get_device_name(dev), "flexins0");
	assert_string_equal(dev->dev_name, "uverbs0");
	assert_int_equal(ibv_get_device_index(dev), 0);
	assert_true(ibv_get_device_guid(dev) != 0);
	assert_non_null(*(void **)((char *)dev + 664));
	assert_true(fcntl(ctx->cmd_fd, F_GETFD) >= 0);
	assert_ptr_equal(ctx->abi_compat, (void *)UINTPTR_MAX);
	assert_int_equal(ibv_query_device(ctx, &a), 0);
	assert_int_equal(a.node_guid, ibv_get_device_guid(dev));
	assert_int_equal(a.max_qp_wr, FNS_MAX_QP_WR);
	assert_int_equal(a.phys_port_cnt, 1);
	memset(&ex, 0xff, sizeof(ex));
	assert_int_equal(ibv_query_device_ex(ctx, NULL, &ex), 0);
	assert_memory_equal(&ex.orig_attr, &a, sizeof(a));
	assert_int_equal(ex.phys_port_cnt_ex, 1);
	assert_int_equal(ex.hca_core_clock, 1000000);
	assert_int_equal(ex.raw_packet_caps, 0);
	/* An older caller's struct is shorter: not a byte behind it. */
	struct {
		struct ibv_device_attr a;
		uint8_t guard[64];
	} old;

	memset(&old, 0xee, sizeof(old));
	assert_int_equal(
		verbs_get_ctx(ctx)->query_device_ex(ctx, NULL, (void *)&old, sizeof(a)), 0);
	assert_memory_equal(&old.a, &a, sizeof(a));
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(old.guard[i], 0xee);
}

/* The exported function of that name, not the header's macro. */
#undef ibv_query_port
static void test_port(void **state)
{
	struct ibv_port_attr a, old;

	memset(&a, 0xee, sizeof(a));
	assert_int_equal(___ibv_query_port(ctx, 1, &a), 0);
	assert_int_equal(a.state, IBV_PORT_ACTIVE);
	assert_int_equal(a.link_layer, IBV_LINK_LAYER_ETHERNET);
	assert_int_equal(a.active_mtu, IBV_MTU_4096);
	assert_int_equal(a.gid_tbl_len, FNS_GID_TBL_LEN);
	assert_int_equal(a.port_cap_flags2, 0);
	memset(&old, 0xee, sizeof(old));
	assert_int_equal(ibv_query_port(ctx, 1, (struct _compat_ibv_port_attr *)&old), 0);
	assert_memory_equal(&a, &old, 48);
	assert_int_equal(offsetof(struct ibv_port_attr, port_cap_flags2), 48);
	assert_int_equal(old.port_cap_flags2, 0xeeee);
	assert_int_equal(___ibv_query_port(ctx, 0, &a), EINVAL);
	assert_int_equal(___ibv_query_port(ctx, 2, &a), EINVAL);
}

static void test_gids(void **state)
{
	static const uint8_t v4_loop[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
	struct ibv_gid_entry e, table[FNS_GID_TBL_LEN];
	union ibv_gid gid;
	ssize_t n;

	assert_int_equal(ibv_query_gid(ctx, 1, 0, &gid), 0);
	assert_memory_equal(gid.raw, v4_loop, 16);
	memset(&gid, 0xff, sizeof(gid));
	assert_int_equal(ibv_query_gid(ctx, 1, FNS_GID_TBL_LEN - 1, &gid), 0);
	assert_int_equal(gid.global.subnet_prefix | gid.global.interface_id, 0);
	assert_int_equal(ibv_query_gid(ctx, 1, FNS_GID_TBL_LEN, &gid), -1);
	assert_int_equal(ibv_query_gid(ctx, 1, -1, &gid), -1);
	assert_int_equal(ibv_query_gid(ctx, 2, 0, &gid), -1);

	assert_int_equal(ibv_query_gid_ex(ctx, 1, 0, &e, 0), 0);
	assert_memory_equal(e.gid.raw, v4_loop, 16);
	assert_int_equal(e.gid_type, IBV_GID_TYPE_ROCE_V2);
	assert_int_equal(e.port_num, 1);
	assert_true(e.ndev_ifindex > 0);
	assert_int_equal(ibv_query_gid_ex(ctx, 1, FNS_GID_TBL_LEN - 1, &e, 0), ENODATA);
	assert_int_equal(ibv_query_gid_ex(ctx, 1, FNS_GID_TBL_LEN, &e, 0), EINVAL);
	assert_int_equal(ibv_query_gid_ex(ctx, 1, 0, &e, 1), EINVAL);
	assert_int_equal(ibv_query_gid_table(ctx, table, 0, 0), -EINVAL);
	n = ibv_query_gid_table(ctx, table, FNS_GID_TBL_LEN, 0);
	assert_in_range(n, 1, FNS_GID_TBL_LEN);
	assert_memory_equal(table[0].gid.raw, v4_loop, 16);
	/* Entries of a longer struct, as a newer header may have. */
	struct {
		struct ibv_gid_entry e;
		uint64_t more;
	} wide[FNS_GID_TBL_LEN];

	memset(wide, 0xff, sizeof(wide));
	assert_int_equal(
		_ibv_query_gid_table(ctx, &wide[0].e, FNS_GID_TBL_LEN, 0, sizeof(wide[0])), n);
	for (ssize_t i = 0; i < n; i++) {
		assert_int_equal(wide[i].e.gid_index, i);
		assert_int_equal(wide[i].more, 0);
	}
}

static void test_pkeys_and_clock(void **state)
{
	struct ibv_values_ex v = {.comp_mask = IBV_VALUES_MASK_RAW_CLOCK};
	__be16 pkey = 0;

	assert_int_equal(ibv_query_pkey(ctx, 1, 0, &pkey), 0);
	assert_int_equal(pkey, 0xffff);
	assert_int_equal(ibv_query_pkey(ctx, 1, 1, &pkey), -1);
	assert_int_equal(ibv_query_pkey(ctx, 2, 0, &pkey), -1);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, htobe16(0xffff)), 0);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, htobe16(0x7fff)), 0);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, htobe16(0x8001)), -1);
	assert_int_equal(ibv_query_rt_values_ex(ctx, &v), 0);
	assert_int_equal(v.raw_clock.tv_nsec, 5000);
	v.comp_mask = 2;
	assert_int_equal(ibv_query_rt_values_ex(ctx, &v), EINVAL);
}

static void test_mr(void **state)
{
	static const struct {
		unsigned access;
		int err;
	} cases[] = {
		{0, 0},
		{IBV_ACCESS_LOCAL_WRITE, 0},
		{IBV_ACCESS_REMOTE_READ, 0},
		{IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE, 0},
		{IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND, 0},
		{IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_RELAXED_ORDERING | IBV_ACCESS_HUGETLB, 0},
		{IBV_ACCESS_REMOTE_WRITE, EINVAL},
		{IBV_ACCESS_REMOTE_ATOMIC, EINVAL},
		{1u << 8, EINVAL},
		{1u << 31, EINVAL},
		{IBV_ACCESS_ON_DEMAND, EOPNOTSUPP},
	};
	struct ibv_mr *mr;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		errno = 0;
		mr = ibv_reg_mr_iova2(pd, buf, sizeof(buf), 0x5000, cases[i].access);
		assert_int_equal(errno, cases[i].err);
		assert_int_equal(mr == NULL, cases[i].err != 0);
		if (!mr)
			continue;
		assert_int_equal(fake.last.mr.addr, (uintptr_t)buf);
		assert_int_equal(fake.last.mr.len, sizeof(buf));
		assert_int_equal(fake.last.mr.iova, 0x5000);
		assert_int_equal(fake.last.mr.pd, pd->handle);
		assert_int_equal(fake.last.mr.access, cases[i].access & 0x3f);
		assert_int_equal(fake.last.client, 7);
		assert_int_equal(mr->lkey, mr->rkey);
		assert_int_equal(ibv_dealloc_pd(pd), EBUSY);
		assert_int_equal(ibv_dereg_mr(mr), 0);
	}
	assert_null(ibv_reg_mr(pd, buf, SIZE_MAX, 0));
	assert_int_equal(errno, EINVAL);
	mr = ibv_reg_mr(pd, buf, 16, IBV_ACCESS_ZERO_BASED);
	assert_int_equal(fake.last.mr.iova, 0);
	fake.fail_op = FNS_CTL_MR_DEREG;
	fake.fail_err = -EBUSY;
	fake.fail_times = 1;
	assert_int_equal(ibv_dereg_mr(mr), EBUSY);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	fake.fail_op = FNS_CTL_MR_REG;
	fake.fail_err = -EFAULT;
	fake.fail_times = 1;
	assert_null(ibv_reg_mr(pd, buf, 16, 0));
	assert_int_equal(errno, EFAULT);
}

static void test_rereg(void **state)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, buf, 100, IBV_ACCESS_LOCAL_WRITE);
	struct ibv_pd *pd2 = ibv_alloc_pd(ctx);
	uint32_t key = mr->lkey;

	assert_int_equal(ibv_rereg_mr(mr, 0, NULL, NULL, 0, 0), IBV_REREG_MR_ERR_INPUT);
	assert_int_equal(ibv_rereg_mr(mr, 8, NULL, NULL, 0, 0), IBV_REREG_MR_ERR_INPUT);
	assert_int_equal(
		ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, NULL, NULL, 0, 0), IBV_REREG_MR_ERR_INPUT);
	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, buf, 0, 0),
		IBV_REREG_MR_ERR_INPUT);
	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
				 IBV_ACCESS_REMOTE_WRITE),
		IBV_REREG_MR_ERR_INPUT);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(mr->lkey, key);

	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, 0), 0);
	assert_int_equal(fake.last.mr.flags, FNS_REREG_ACCESS);
	assert_int_equal(fake.last.mr.len, 100);
	assert_int_not_equal(mr->lkey, key);
	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, pd2, NULL, 0, 0), 0);
	assert_ptr_equal(mr->pd, pd2);
	assert_int_equal(ibv_dealloc_pd(pd2), EBUSY);
	assert_int_equal(
		ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, buf + 8, 16, 0), 0);
	assert_ptr_equal(mr->addr, buf + 8);
	assert_int_equal(mr->length, 16);
	fake.fail_op = FNS_CTL_MR_REREG;
	fake.fail_err = -EINVAL;
	fake.fail_times = 1;
	assert_int_equal(
		ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, pd, NULL, 0, 0), IBV_REREG_MR_ERR_INPUT);
	assert_ptr_equal(mr->pd, pd2);
	assert_int_equal(ibv_dereg_mr(mr) | ibv_dealloc_pd(pd2), 0);
}

static void test_mw_bad(void **state)
{
	assert_null(ibv_alloc_mw(pd, (enum ibv_mw_type)3));
	assert_int_equal(errno, EINVAL);
	assert_null(ibv_alloc_mw(pd, (enum ibv_mw_type)0));
}

static void test_ah(void **state)
{
	struct ibv_ah_attr good = loop_address(), a;
	struct ibv_ah *ah = ibv_create_ah(pd, &good);

	assert_non_null(ah);
	assert_int_equal(fake.last.ah.pd, pd->handle);
	assert_true(fns_gid_is_v4(&fake.last.ah.av.sgid));
	assert_int_equal(fake.last.ah.av.hop_limit, 64);
	assert_true(fake.last.ah.av.ifindex > 0);
	assert_int_equal(ibv_dealloc_pd(pd), EBUSY);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	good.grh.hop_limit = 9;
	good.grh.traffic_class = 0x40;
	good.grh.flow_label = 0xfffff;
	ah = ibv_create_ah(pd, &good);
	assert_int_equal(fake.last.ah.av.hop_limit, 9);
	assert_int_equal(fake.last.ah.av.traffic_class, 0x40);
	assert_int_equal(fake.last.ah.av.flow_label, 0xfffff);
	assert_int_equal(ibv_destroy_ah(ah), 0);

#define BAD(change)                                                                                \
	do {                                                                                       \
		a = good;                                                                          \
		change;                                                                            \
		errno = 0;                                                                         \
		assert_null(ibv_create_ah(pd, &a));                                                \
		assert_int_equal(errno, EINVAL);                                                   \
	} while (0)
	BAD(a.is_global = 0);
	BAD(a.port_num = 0);
	BAD(a.port_num = 2);
	BAD(a.grh.sgid_index = FNS_GID_TBL_LEN - 1);
	BAD(memset(&a.grh.dgid, 0, 16));
	BAD(a.grh.dgid.raw[0] = 0x20); /* IPv6 from an IPv4 address */
#undef BAD
}

static void test_ah_from_wc(void **state)
{
	/* 192.0.2.9 -> 127.0.0.1, ToS 0x68, with a good checksum; before it what an earlier
	 * datagram left there. */
	static const uint8_t v4[40] = {0x60, 1, 2, 3, [20] = 0x45, 0x68, 0, 60, 0, 0, 0x40, 0, 64,
		17, 0, 0, 192, 0, 2, 9, 127, 0, 0, 1};
	struct ibv_wc wc = {.wc_flags = IBV_WC_GRH};
	struct ibv_ah_attr a;
	struct ibv_ah *ah;
	uint8_t h[40];
	uint32_t sum = 0;

	memcpy(h, v4, 40);
	for (int i = 20; i < 40; i += 2)
		sum += (uint32_t)(h[i] << 8 | h[i + 1]);
	sum = ~((sum >> 16) + (sum & 0xffff)) & 0xffff;
	h[30] = (uint8_t)(sum >> 8);
	h[31] = (uint8_t)sum;
	assert_int_equal(ibv_init_ah_from_wc(ctx, 1, &wc, (struct ibv_grh *)h, &a), 0);
	assert_int_equal(a.is_global, 1);
	assert_int_equal(a.grh.sgid_index, 0);
	assert_int_equal(a.grh.traffic_class, 0x68);
	assert_memory_equal(a.grh.dgid.raw + 10, "\xff\xff\xc0\x00\x02\x09", 6);
	ah = ibv_create_ah_from_wc(pd, &wc, (struct ibv_grh *)h, 1);
	assert_non_null(ah);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	/* Without a checksum, when nothing says IPv6. */
	memcpy(h, v4, 40);
	h[0] = 0;
	assert_int_equal(ibv_init_ah_from_wc(ctx, 1, &wc, (struct ibv_grh *)h, &a), 0);
	h[39] = 77; /* not an address of ours */
	assert_int_equal(ibv_init_ah_from_wc(ctx, 1, &wc, (struct ibv_grh *)h, &a), EINVAL);
	memset(h, 0, 40);
	assert_int_equal(ibv_init_ah_from_wc(ctx, 1, &wc, (struct ibv_grh *)h, &a), EINVAL);
	assert_int_equal(ibv_init_ah_from_wc(ctx, 2, &wc, (struct ibv_grh *)h, &a), EINVAL);
	wc.wc_flags = 0;
	assert_null(ibv_create_ah_from_wc(pd, &wc, (struct ibv_grh *)h, 1));
}

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
						.qp_context = buf,
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
	assert_ptr_equal(q->qp_context, buf);
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

static void test_srq_bad(void **state)
{
	struct ibv_srq_init_attr init = {.attr = {.max_wr = 0, .max_sge = 1}};
	struct ibv_srq_attr a;
	struct ibv_srq *srq;
	uint32_t num = 0;

	assert_null(ibv_create_srq(pd, &init));
	init.attr.max_wr = FNS_MAX_SRQ_WR + 1;
	assert_null(ibv_create_srq(pd, &init));
	init.attr = (struct ibv_srq_attr){.max_wr = 1, .max_sge = 17};
	assert_null(ibv_create_srq(pd, &init));
	assert_int_equal(errno, EINVAL);
	init.attr = (struct ibv_srq_attr){.max_wr = 8, .max_sge = 2};
	srq = ibv_create_srq(pd, &init);
	assert_non_null(srq);
	assert_int_equal(ibv_get_srq_num(srq, &num), 0);
	assert_int_equal(num, srq->handle);
	a = (struct ibv_srq_attr){.srq_limit = 9};
	assert_int_equal(ibv_modify_srq(srq, &a, IBV_SRQ_LIMIT), EINVAL);
	a.max_wr = 16;
	assert_int_equal(ibv_modify_srq(srq, &a, IBV_SRQ_LIMIT | IBV_SRQ_MAX_WR), 0);
	assert_int_equal(ibv_modify_srq(srq, &a, 4), EINVAL);
	assert_int_equal(ibv_query_srq(srq, &a), 0);
	assert_int_equal(a.max_wr, 16);
	assert_int_equal(a.max_sge, 2);
	assert_int_equal(a.srq_limit, 3);
	struct ibv_recv_wr wr = {0}, *bad;

	for (int i = 0; i < 4; i++)
		assert_int_equal(ibv_post_srq_recv(srq, &wr, &bad), 0);
	a.max_wr = 3;
	assert_int_equal(ibv_modify_srq(srq, &a, IBV_SRQ_MAX_WR), EINVAL);
	a.max_wr = 4;
	assert_int_equal(ibv_modify_srq(srq, &a, IBV_SRQ_MAX_WR), 0);
	assert_int_equal(ibv_post_srq_recv(srq, &wr, &bad), ENOMEM);
	assert_int_equal(ibv_dealloc_pd(pd), EBUSY);
	assert_int_equal(ibv_destroy_srq(srq), 0);
}

static void test_parent_domain(void **state)
{
	struct ibv_td_init_attr ta = {0};
	struct ibv_td *td = ibv_alloc_td(ctx, &ta);
	struct ibv_parent_domain_init_attr pa = {.pd = pd, .td = td};
	struct ibv_pd *parent = ibv_alloc_parent_domain(ctx, &pa);
	struct ibv_mr *mr;

	assert_int_equal(parent->handle, pd->handle);
	assert_int_equal(ibv_dealloc_td(td), EBUSY);
	assert_int_equal(ibv_dealloc_pd(pd), EBUSY);
	mr = ibv_reg_mr(parent, buf, 8, 0);
	assert_int_equal(fake.last.mr.pd, pd->handle);
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_dereg_mr(mr) | ibv_dealloc_pd(parent) | ibv_dealloc_td(td), 0);
	pa.pd = NULL;
	assert_null(ibv_alloc_parent_domain(ctx, &pa));
	assert_int_equal(errno, EINVAL);
	pa.pd = pd;
	pa.td = NULL;
	pa.comp_mask = IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS;
	assert_null(ibv_alloc_parent_domain(ctx, &pa));
	assert_int_equal(errno, EINVAL);
	pa.comp_mask = 1 << 5;
	assert_null(ibv_alloc_parent_domain(ctx, &pa));
	assert_int_equal(errno, EOPNOTSUPP);
}

static int allocated, freed;
static void *next_ring;

static void *app_alloc(
	struct ibv_pd *p, void *context, size_t size, size_t alignment, uint64_t type)
{
	assert_ptr_equal(context, buf);
	allocated++;
	if (next_ring)
		return next_ring == buf ? NULL : next_ring;
	return memset(aligned_alloc(alignment, FNS_ALIGN_UP(size, alignment)), 0xff, size);
}

static void app_free(struct ibv_pd *p, void *context, void *ptr, uint64_t type)
{
	assert_ptr_equal(context, buf);
	freed++;
	free(ptr);
}

/* Completion rings come from the parent domain's allocator, if it wants. */
static void test_allocators(void **state)
{
	struct ibv_parent_domain_init_attr pa = {
		.pd = pd,
		.comp_mask = IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS |
			     IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT,
		.alloc = app_alloc,
		.free = app_free,
		.pd_context = buf,
	};
	struct ibv_pd *parent = ibv_alloc_parent_domain(ctx, &pa);
	struct ibv_cq_init_attr_ex init = {
		.cqe = 4, .comp_mask = IBV_CQ_INIT_ATTR_MASK_PD, .parent_domain = parent};
	struct ibv_cq_ex *ex = ibv_create_cq_ex(ctx, &init);
	struct ibv_wc wc;

	assert_non_null(ex);
	assert_int_equal(allocated, 1);
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_poll_cq(ibv_cq_ex_to_cq(ex), 1, &wc), 0); /* zeroed */
	assert_int_equal(ibv_resize_cq(ibv_cq_ex_to_cq(ex), 100), 0);
	assert_int_equal(allocated, 2);
	assert_int_equal(freed, 1);
	next_ring = IBV_ALLOCATOR_USE_DEFAULT;
	assert_int_equal(ibv_resize_cq(ibv_cq_ex_to_cq(ex), 10), 0);
	assert_int_equal(freed, 2);
	assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(ex)), 0);
	assert_int_equal(freed, 2);
	next_ring = buf;
	assert_null(ibv_create_cq_ex(ctx, &init));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(ibv_dealloc_pd(parent), 0);
	init.parent_domain = pd;
	assert_null(ibv_create_cq_ex(ctx, &init));
	assert_int_equal(errno, EINVAL);
}

static void count_down(void)
{
	if (fake.n_poll == 3)
		fake.fail_times = 0;
}

/* -EAGAIN is asked again while the engine is advanced. */
static void test_busy_control(void **state)
{
	struct ibv_qp *q = make_qp(IBV_QPT_RC, cq, cq, NULL);

	fake.fail_op = FNS_CTL_QP_DESTROY;
	fake.fail_err = -EAGAIN;
	fake.fail_times = 1000;
	fake.on_poll = count_down;
	fake.n_poll = 0;
	assert_int_equal(ibv_destroy_qp(q), 0);
	assert_int_equal(fake.n_poll, 3);
}

static void test_open_failures(void **state)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	fake.fail_op = FNS_CTL_CLIENT_OPEN;
	fake.fail_err = -ENOSPC;
	fake.fail_times = 1;
	assert_null(ibv_open_device(list[0]));
	assert_int_equal(errno, ENOSPC);
	fake.alive = 0;
	assert_null(ibv_open_device(list[0]));
	assert_int_equal(errno, EIO);
	fake.alive = 1;
	ibv_free_device_list(list);
}

static void test_forked_child(void **state)
{
	struct ibv_port_attr port;
	struct ibv_mr *mr = ibv_reg_mr(pd, buf, 8, 0);
	int n = fake.n_control;

	fake.alive = 0;
	assert_null(ibv_alloc_pd(ctx));
	assert_int_equal(errno, EIO);
	assert_null(ibv_reg_mr(pd, buf, 8, 0));
	assert_null(ibv_create_cq(ctx, 1, NULL, NULL, 0));
	assert_int_equal(___ibv_query_port(ctx, 1, &port), EIO);
	/* Destroying is harmless: nothing happens. */
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_destroy_qp(qp), 0);
	assert_int_equal(ibv_destroy_cq(cq), 0);
	assert_int_equal(ibv_dealloc_pd(pd), 0);
	assert_int_equal(fake.n_control, n);
	fake.alive = 1;
	assert_int_equal(ibv_dereg_mr(mr), 0);
}

static void test_netdev(void **state)
{
	struct fns_netdev nd[4];
	struct ibv_device **list;
	int n = -1;

	assert_int_equal(fns_netdev_ib_mtu(335), 0);
	assert_int_equal(fns_netdev_ib_mtu(336), 1);
	assert_int_equal(fns_netdev_ib_mtu(1103), 2);
	assert_int_equal(fns_netdev_ib_mtu(1500), 3);
	assert_int_equal(fns_netdev_ib_mtu(2128), 4);
	assert_int_equal(fns_netdev_ib_mtu(4175), 4);
	assert_int_equal(fns_netdev_ib_mtu(4200), 5);
	assert_int_equal(fns_netdev_ib_mtu(65536), 5);
	setenv("FLEXINS_IFACE", "nosuchif0,lo, lo", 1);
	assert_int_equal(fns_netdev_discover(nd, 4), 1);
	assert_string_equal(nd[0].name, "lo");
	assert_true(nd[0].loopback);
	assert_true(nd[0].guid != 0);
	setenv("FLEXINS_IFACE", "nosuchif0", 1);
	list = ibv_get_device_list(&n);
	assert_non_null(list);
	assert_int_equal(n, 0);
	assert_null(list[0]);
	ibv_free_device_list(list);
	unsetenv("FLEXINS_IFACE");
	assert_int_equal(fns_netdev_discover(nd, 4), 1);
	assert_true(nd[0].n_gids > 0);
	assert_int_equal(fns_netdev_read("nosuchif0", nd), -ENODEV);
	setenv("FLEXINS_IFACE", "lo", 1);
}

static void test_strings(void **state)
{
	assert_string_equal(ibv_wc_status_str(IBV_WC_SUCCESS), "success");
	assert_string_equal(ibv_wc_status_str((enum ibv_wc_status)1000), "unknown");
	assert_string_equal(ibv_node_type_str((enum ibv_node_type) - 1), "unknown");
	for (int i = 0; i <= IBV_WC_TM_RNDV_INCOMPLETE; i++)
		assert_string_not_equal(ibv_wc_status_str((enum ibv_wc_status)i), "unknown");
	for (int i = 0; i <= IBV_EVENT_WQ_FATAL; i++)
		assert_string_not_equal(ibv_event_type_str((enum ibv_event_type)i), "unknown");
	assert_int_equal(ibv_rate_to_mbps(IBV_RATE_100_GBPS), 103125);
	assert_int_equal(ibv_rate_to_mult(IBV_RATE_5_GBPS), 2);
	assert_int_equal(ibv_rate_to_mult(IBV_RATE_MAX), -1);
	for (int r = IBV_RATE_2_5_GBPS; r <= IBV_RATE_1200_GBPS; r++) {
		assert_int_equal(mbps_to_ibv_rate(ibv_rate_to_mbps((enum ibv_rate)r)), r);
		assert_int_equal(mult_to_ibv_rate(ibv_rate_to_mult((enum ibv_rate)r)), r);
	}
	assert_int_equal(ibv_fork_init(), 0);
	assert_int_equal(ibv_is_fork_initialized(), IBV_FORK_UNNEEDED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_device),
		T(test_port),
		T(test_gids),
		T(test_pkeys_and_clock),
		T(test_mr),
		T(test_rereg),
		T(test_mw_bad),
		T(test_ah),
		T(test_ah_from_wc),
		T(test_qp_create),
		T(test_qp_modify_bad),
		T(test_qp_query),
		T(test_srq_bad),
		T(test_parent_domain),
		T(test_allocators),
		T(test_busy_control),
		T(test_open_failures),
		T(test_forked_child),
		T(test_netdev),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
