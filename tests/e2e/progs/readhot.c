/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READ from, and WRITE out of, memory that a thread writes without pause: a checksum made over
 * bytes that change meanwhile is wrong, and sending the same again does not help. It must complete
 * all the same, and aligned words must not be torn.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "common.h"

enum {
	LEN = 64 * 1024,
	WORDS = LEN / 8,
	ROUNDS = 200
};

static _Atomic uint64_t *hot;
static atomic_bool stop;

/* Every word holds the same 32 bits twice, whatever its value: a torn word shows. */
static void *writer(void *arg)
{
	(void)arg;
	for (uint32_t v = 1; !atomic_load_explicit(&stop, memory_order_relaxed); v++)
		for (int i = 0; i < WORDS; i++)
			atomic_store_explicit(&hot[i], (uint64_t)v << 32 | v, memory_order_relaxed);
	return NULL;
}

static int torn(const uint64_t *w)
{
	int n = 0;

	for (int i = 0; i < WORDS; i++)
		n += (uint32_t)w[i] != w[i] >> 32;
	return n;
}

int main(void)
{
	struct ibv_context *ctx = open_first();
	struct ibv_mr *mh, *mc;
	struct side a, b;
	uint64_t *cold;
	pthread_t t;

	hot = aligned_alloc(4096, LEN);
	cold = aligned_alloc(4096, LEN);
	if (!hot || !cold)
		DIE("memory");
	memset((void *)hot, 0, LEN);
	memset(cold, 0, LEN);
	pair_init(&a, &b, ctx);
	mh = ibv_reg_mr(b.pd, (void *)hot, LEN, ALL_ACCESS);
	mc = ibv_reg_mr(a.pd, cold, LEN, ALL_ACCESS);
	if (!mh || !mc)
		DIE("reg_mr");
	if (pthread_create(&t, NULL, writer, NULL))
		DIE("thread");
	for (int i = 0; i < ROUNDS && !failures; i++) {
		/* the cold side reads; then the hot side writes */
		struct side *s = i % 2 ? &b : &a;
		struct ibv_wc wc = {0};
		int rc = i % 2 ? post_rdma(&b, IBV_WR_RDMA_WRITE, (void *)hot, LEN, mh->lkey, cold,
					 mc->rkey)
			       : post_rdma(&a, IBV_WR_RDMA_READ, cold, LEN, mc->lkey, (void *)hot,
					 mh->rkey);

		CHECK(!rc, "post: %d", rc);
		CHECK(wait_wc(s->cq, &wc, 20), "round %d: no completion", i);
		CHECK(wc.status == IBV_WC_SUCCESS, "round %d: %s", i, ibv_wc_status_str(wc.status));
		CHECK(torn(cold) == 0, "round %d: %d torn words", i, torn(cold));
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	ibv_dereg_mr(mh);
	ibv_dereg_mr(mc);
	side_fini(&a);
	side_fini(&b);
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
