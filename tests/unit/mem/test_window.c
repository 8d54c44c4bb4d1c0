/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of mem/window: what may be bound, what a bound window opens, and how it is closed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/mem.h"

#define REGION_RIGHTS (FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_MW_BIND)
#define REMOTE_RW     (FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_WRITE)

enum {
	QPN = 77,
	OTHER_QPN = 78
};

static struct fns_dma *dma;
static struct fns_mem *mem;
static struct fns_pd pd, other_pd;
static _Alignas(64) uint8_t bytes[4096];
static struct fns_mr *mr;

static uint64_t at(uint64_t off)
{
	return (uintptr_t)bytes + off;
}

static int setup(void **state)
{
	dma = fns_dma_direct_create();
	mem = dma ? fns_mem_create(dma, 3) : NULL;
	if (!mem)
		return -1;
	return fns_mr_create(mem, &pd, at(0), sizeof(bytes), at(0), REGION_RIGHTS, &mr);
}

static int teardown(void **state)
{
	fns_mem_destroy(mem);
	dma->ops->destroy(dma);
	return 0;
}

static struct fns_mr *window(enum fns_mr_kind kind)
{
	struct fns_mr *mw = NULL;

	assert_int_equal(fns_mw_create(mem, &pd, kind, &mw), 0);
	assert_int_not_equal(mw->key, 0);
	return mw;
}

static enum fns_mem_result reach(
	uint32_t qpn, uint32_t key, uint64_t va, uint32_t len, uint32_t need)
{
	struct fns_memref ref;

	return fns_mem_check(mem, &pd, qpn, key, va, len, need, true, &ref);
}

static void type_1(void **state)
{
	struct fns_mr *mw = window(FNS_MR_WINDOW_1);
	uint32_t k0 = mw->key, k1 = k0 ^ 0x11, k2 = k0 ^ 0x22, k3 = k0 ^ 0x33;
	struct fns_memref ref;

	assert_int_equal(reach(QPN, k0, at(100), 1, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(fns_mw_bind(mem, &pd, QPN, k0, k1, mr->key, at(100), 50, REMOTE_RW),
		FNS_WC_SUCCESS);
	assert_int_equal(mw->key, k1);
	assert_int_equal(mr->windows, 1);
	assert_int_equal(reach(QPN, k0, at(100), 1, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(reach(QPN, k1, at(100), 50, REMOTE_RW), FNS_MEM_OK);
	/* Any queue pair of the domain. */
	assert_int_equal(reach(OTHER_QPN, k1, at(149), 1, FNS_ACCESS_REMOTE_READ), FNS_MEM_OK);
	assert_int_equal(reach(QPN, k1, at(99), 1, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(reach(QPN, k1, at(100), 51, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(reach(QPN, k1, at(100), 8, FNS_ACCESS_REMOTE_ATOMIC), FNS_MEM_BAD_ACCESS);
	assert_int_equal(
		fns_mem_check(mem, &other_pd, QPN, k1, at(100), 1, 0, true, &ref), FNS_MEM_BAD_PD);
	/* An rkey is no lkey. */
	assert_int_equal(
		fns_mem_check(mem, &pd, QPN, k1, at(100), 1, 0, false, &ref), FNS_MEM_BAD_KEY);
	assert_int_equal(fns_mem_check(mem, &pd, QPN, k1, at(120), 3, 0, true, &ref), FNS_MEM_OK);
	assert_ptr_equal(ref.region, mr->region);
	assert_int_equal(ref.off, 120);

	/* Bound again elsewhere without being unbound; the region is not counted twice. */
	assert_int_equal(
		fns_mw_bind(mem, &pd, QPN, k1, k2, mr->key, at(0), 10, FNS_ACCESS_REMOTE_READ),
		FNS_WC_SUCCESS);
	assert_int_equal(mr->windows, 1);
	assert_int_equal(reach(QPN, k1, at(0), 1, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(reach(QPN, k2, at(0), 10, 0), FNS_MEM_OK);
	assert_int_equal(reach(QPN, k2, at(100), 1, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(reach(QPN, k2, at(0), 1, FNS_ACCESS_REMOTE_WRITE), FNS_MEM_BAD_ACCESS);
	/* A stale name binds nothing; type 1 is not for invalidation. */
	assert_int_equal(
		fns_mw_bind(mem, &pd, QPN, k1, k3, mr->key, at(0), 10, 0), FNS_WC_MW_BIND_ERR);
	assert_int_equal(fns_mw_invalidate(mem, &pd, QPN, k2), -EINVAL);

	assert_int_equal(fns_mr_destroy(mem, mr), -EBUSY);
	assert_int_equal(reach(QPN, k2, at(0), 1, 0), FNS_MEM_OK);
	assert_int_equal(reach(QPN, mr->key, at(0), 1, 0), FNS_MEM_OK);
	assert_int_equal(fns_mw_bind(mem, &pd, QPN, k2, k3, 0, 0, 0, 0), FNS_WC_SUCCESS);
	assert_int_equal(reach(QPN, k3, at(0), 1, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(mr->windows, 0);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);
	assert_int_equal(fns_mr_destroy(mem, mw), 0);
}

static void type_2(void **state)
{
	struct fns_mr *mw = window(FNS_MR_WINDOW_2);
	uint32_t k0 = mw->key, k1 = (k0 & ~0xffu) | ((k0 + 1) & 0xff),
		 k2 = (k0 & ~0xffu) | ((k0 + 2) & 0xff);

	assert_int_equal(fns_mw_bind(mem, &pd, QPN, k0, k1 ^ 0x100, mr->key, at(8), 8, REMOTE_RW),
		FNS_WC_MW_BIND_ERR);
	assert_int_equal(fns_mw_bind(mem, &pd, QPN, k0, k1, mr->key, at(8), 0, REMOTE_RW),
		FNS_WC_MW_BIND_ERR);
	assert_int_equal(mw->key, k0);
	assert_int_equal(
		fns_mw_bind(mem, &pd, QPN, k0, k1, mr->key, at(8), 8, REMOTE_RW), FNS_WC_SUCCESS);
	assert_int_equal(reach(QPN, k1, at(8), 8, REMOTE_RW), FNS_MEM_OK);
	assert_int_equal(reach(OTHER_QPN, k1, at(8), 8, 0), FNS_MEM_BAD_KEY);
	/* Bound: must be invalidated first, by the queue pair that it belongs to. */
	assert_int_equal(
		fns_mw_bind(mem, &pd, QPN, k1, k2, mr->key, at(8), 8, 0), FNS_WC_MW_BIND_ERR);
	assert_int_equal(fns_mw_invalidate(mem, &pd, OTHER_QPN, k1), -EINVAL);
	assert_int_equal(fns_mw_invalidate(mem, &other_pd, QPN, k1), -EINVAL);
	assert_int_equal(fns_mw_invalidate(mem, &pd, QPN, k2), -EINVAL);
	assert_int_equal(fns_mw_invalidate(mem, &pd, QPN, mr->key), -EINVAL);
	assert_int_equal(fns_mr_destroy(mem, mr), -EBUSY);
	assert_int_equal(reach(QPN, k1, at(8), 8, 0), FNS_MEM_OK);
	assert_int_equal(fns_mw_invalidate(mem, &pd, QPN, k1), 0);
	assert_int_equal(reach(QPN, k1, at(8), 8, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(mr->windows, 0);
	assert_int_equal(fns_mw_invalidate(mem, &pd, QPN, k1), 0);
	assert_int_equal(fns_mw_bind(mem, &pd, OTHER_QPN, k1, k2, mr->key, at(16), 8,
				 FNS_ACCESS_REMOTE_READ | FNS_ACCESS_ZERO_BASED),
		FNS_WC_SUCCESS);
	assert_int_equal(reach(OTHER_QPN, k2, 0, 8, 0), FNS_MEM_OK);
	assert_int_equal(reach(OTHER_QPN, k2, at(16), 8, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(reach(QPN, k2, 0, 8, 0), FNS_MEM_BAD_KEY);
	/* Destroyed while bound: lets go of its region. */
	assert_int_equal(fns_mr_destroy(mem, mw), 0);
	assert_int_equal(reach(OTHER_QPN, k2, 0, 8, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(mr->windows, 0);
}

static void refused(void **state)
{
	struct fns_mr *w1 = window(FNS_MR_WINDOW_1), *foreign = NULL, *plain = NULL, *ro = NULL,
		      *zb = NULL;
	uint32_t k = w1->key;

	assert_int_equal(
		fns_mr_create(mem, &other_pd, at(0), 64, at(0), REGION_RIGHTS, &foreign), 0);
	assert_int_equal(
		fns_mr_create(mem, &pd, at(0), 64, at(0), FNS_ACCESS_LOCAL_WRITE, &plain), 0);
	assert_int_equal(fns_mr_create(mem, &pd, at(0), 64, at(0), FNS_ACCESS_MW_BIND, &ro), 0);
	assert_int_equal(
		fns_mr_create(mem, &pd, at(0), 64, 0, REGION_RIGHTS | FNS_ACCESS_ZERO_BASED, &zb),
		0);

	struct {
		uint32_t mw_key, new_key, mr_key;
		uint64_t addr, len;
		uint32_t access;
	} bad[] = {
		{k ^ 1, k, mr->key, at(0), 8, 0},          /* no such window */
		{mr->key, mr->key, mr->key, at(0), 8, 0},  /* a region */
		{k, k ^ 1, k, at(0), 8, 0},                /* onto a window */
		{k, k ^ 0x80000000, mr->key, at(0), 8, 0}, /* another's key */
		{k, k ^ 1, mr->key ^ 1, at(0), 8, 0},      /* no such region */
		{k, k ^ 1, foreign->key, at(0), 8, 0},     /* other domain */
		{k, k ^ 1, plain->key, at(0), 8, 0},       /* not for binding */
		{k, k ^ 1, ro->key, at(0), 8, FNS_ACCESS_REMOTE_WRITE},
		{k, k ^ 1, ro->key, at(0), 8, FNS_ACCESS_REMOTE_ATOMIC},
		{k, k ^ 1, zb->key, 0, 8, 0},
		{k, k ^ 1, mr->key, at(0), 8, FNS_ACCESS_ZERO_BASED}, /* type 1 */
		{k, k ^ 1, mr->key, at(0), 8, FNS_ACCESS_MW_BIND},
		{k, k ^ 1, mr->key, at(0) - 1, 8, 0},
		{k, k ^ 1, mr->key, at(0), sizeof(bytes) + 1, 0},
		{k, k ^ 1, mr->key, at(1), UINT64_MAX, 0},
		{k, k ^ 1, mr->key, at(sizeof(bytes)), 1, 0},
	};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		assert_int_equal(fns_mw_bind(mem, &pd, QPN, bad[i].mw_key, bad[i].new_key,
					 bad[i].mr_key, bad[i].addr, bad[i].len, bad[i].access),
			FNS_WC_MW_BIND_ERR);
		assert_int_equal(w1->key, k);
		assert_null(w1->region);
		assert_int_equal(mr->windows, 0);
	}
	assert_int_equal(fns_mw_bind(mem, &other_pd, QPN, k, k ^ 1, foreign->key, at(0), 8, 0),
		FNS_WC_MW_BIND_ERR);
	assert_int_equal(fns_mw_create(mem, &pd, FNS_MR_REGION, &foreign), -EINVAL);
	/* Reading needs no local right; local write is ignored. */
	assert_int_equal(fns_mw_bind(mem, &pd, QPN, k, k ^ 1, ro->key, at(0), 64,
				 FNS_ACCESS_REMOTE_READ | FNS_ACCESS_LOCAL_WRITE),
		FNS_WC_SUCCESS);
	assert_int_equal(reach(QPN, k ^ 1, at(0), 64, FNS_ACCESS_LOCAL_WRITE), FNS_MEM_BAD_ACCESS);
	/* A refused bind leaves the old one as it was. */
	assert_int_equal(
		fns_mw_bind(mem, &pd, QPN, k ^ 1, k, plain->key, at(0), 8, 0), FNS_WC_MW_BIND_ERR);
	assert_int_equal(reach(QPN, k ^ 1, at(0), 64, FNS_ACCESS_REMOTE_READ), FNS_MEM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(type_1, setup, teardown),
		cmocka_unit_test_setup_teardown(type_2, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
