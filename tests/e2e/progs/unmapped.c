/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registered memory that goes away before it is used: each side, each direction. The price is an
 * error completion; the process lives on, and so do queue pairs that did nothing wrong.
 */
#include "common.h"

enum {
	LEN = 64 * 1024
};

static void *fresh(void)
{
	void *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		DIE("mmap");
	memset(p, 0x5a, LEN);
	return p;
}

static void spoil(void *p, int how)
{
	if (how == 0 ? munmap(p, LEN) : mprotect(p, LEN, PROT_NONE))
		DIE("spoil");
}

/* One operation between two queue pairs with one side's memory spoilt. */
static void one(struct ibv_context *ctx, enum ibv_wr_opcode op, bool local, int how)
{
	struct side a, b;
	struct ibv_mr *ma, *mb;
	void *pa = fresh(), *pb = fresh();
	struct ibv_wc wc = {0};

	pair_init(&a, &b, ctx);
	ma = ibv_reg_mr(a.pd, pa, LEN, ALL_ACCESS);
	mb = ibv_reg_mr(b.pd, pb, LEN, ALL_ACCESS);
	if (!ma || !mb)
		DIE("reg_mr");
	spoil(local ? pa : pb, how);
	CHECK(!post_rdma(&a, op, pa, LEN, ma->lkey, pb, mb->rkey), "post");
	CHECK(wait_wc(a.cq, &wc, 10), "op %d, %s side, way %d: no completion", op,
		local ? "local" : "remote", how);
	CHECK(wc.status != IBV_WC_SUCCESS,
		"op %d, %s side, way %d: success over memory that is gone", op,
		local ? "local" : "remote", how);
	CHECK(!ibv_dereg_mr(ma) && !ibv_dereg_mr(mb), "dereg of memory that is gone");
	side_fini(&a);
	side_fini(&b);
}

static void still_works(struct ibv_context *ctx)
{
	struct side a, b;
	struct ibv_mr *ma, *mb;
	void *pa = fresh(), *pb = fresh();
	struct ibv_wc wc = {0};

	pair_init(&a, &b, ctx);
	ma = ibv_reg_mr(a.pd, pa, LEN, ALL_ACCESS);
	mb = ibv_reg_mr(b.pd, pb, LEN, ALL_ACCESS);
	if (!ma || !mb)
		DIE("reg_mr");
	memset(pa, 0xc3, LEN);
	CHECK(!post_rdma(&a, IBV_WR_RDMA_WRITE, pa, LEN, ma->lkey, pb, mb->rkey), "post");
	CHECK(wait_wc(a.cq, &wc, 10) && wc.status == IBV_WC_SUCCESS, "status %d", wc.status);
	CHECK(!memcmp(pa, pb, LEN), "data");
	ibv_dereg_mr(ma);
	ibv_dereg_mr(mb);
	side_fini(&a);
	side_fini(&b);
}

int main(void)
{
	struct ibv_context *ctx = open_first();

	for (int how = 0; how < 2; how++) {
		for (int local = 0; local < 2; local++) {
			one(ctx, IBV_WR_RDMA_WRITE, local, how);
			one(ctx, IBV_WR_RDMA_READ, local, how);
		}
	}
	still_works(ctx);
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
