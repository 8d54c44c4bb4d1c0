/* SPDX-License-Identifier: Apache-2.0 */
/* Domains, regions, windows, addresses, shared receive queues: creation, wrong attributes,
 * forbidden orders, queries; and what all objects do in trouble. */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "verbs/limits.h"

#undef ibv_reg_mr

static char buf[4096];

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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_mr),
		T(test_rereg),
		T(test_mw_bad),
		T(test_ah),
		T(test_ah_from_wc),
		T(test_srq_bad),
		T(test_parent_domain),
		T(test_allocators),
		T(test_busy_control),
		T(test_forked_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
