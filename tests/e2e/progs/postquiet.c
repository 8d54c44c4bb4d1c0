/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that posts and polls in a tight loop, and then posts some more and never calls verbs
 * again until they have arrived: a NIC sends them all the same.
 */
#include "common.h"

enum {
	ROUNDS = 100,
	BUSY = 300,
	LAST = 24 /* more than wait for each other */
};

/* Writes n counting values, one a work request, without polling. */
static void post_writes(struct side *s, uint64_t *from, struct ibv_mr *mf, uint64_t *to,
	struct ibv_mr *mt, uint64_t *value, int n)
{
	for (int i = 0; i < n; i++) {
		from[i] = ++*value;
		CHECK(!post_rdma(s, IBV_WR_RDMA_WRITE, &from[i], 8, mf->lkey, to, mt->rkey),
			"post");
	}
}

static void reap(struct side *s, int n)
{
	struct ibv_wc wc = {0};

	for (int i = 0; i < n; i++) {
		CHECK(wait_wc(s->cq, &wc, 20), "no completion");
		CHECK(wc.status == IBV_WC_SUCCESS, "%s", ibv_wc_status_str(wc.status));
	}
}

int main(void)
{
	struct ibv_context *ctx = open_first();
	static uint64_t from[SIDE_WRS];
	static volatile uint64_t to;
	struct ibv_mr *mf, *mt;
	uint64_t value = 0;
	struct side a, b;

	pair_init(&a, &b, ctx);
	mf = ibv_reg_mr(a.pd, from, sizeof(from), ALL_ACCESS);
	mt = ibv_reg_mr(b.pd, (void *)&to, sizeof(to), ALL_ACCESS);
	if (!mf || !mt)
		DIE("reg_mr");
	for (int i = 0; i < ROUNDS && !failures; i++) {
		int last = 1 + i % LAST;
		double end;

		for (int k = 0; k < BUSY; k++) {
			post_writes(&a, from, mf, (uint64_t *)&to, mt, &value, 4);
			reap(&a, 4);
		}
		post_writes(&a, from, mf, (uint64_t *)&to, mt, &value, last);
		for (end = now_s() + 10; to != value && now_s() < end;)
			usleep(50);
		CHECK(to == value, "round %d: of %d writes, %d have not arrived", i, last,
			(int)(value - to));
		reap(&a, last);
	}
	CHECK(!ibv_dereg_mr(mf) && !ibv_dereg_mr(mt), "dereg_mr");
	side_fini(&a);
	side_fini(&b);
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
