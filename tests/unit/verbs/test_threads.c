/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four threads post to their own queue pairs, and all to one, through the one ring, while another
 * takes descriptors and completes them and a sixth polls: every request arrives whole, once, and in
 * its thread's order. Worth most under TSan.
 */
#include "fake.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#define THREADS 4u
#define PER     3000u
#define TOTAL   (THREADS * PER * 2)

static struct ibv_cq *big;
static struct ibv_qp *own[THREADS], *shared;
static _Atomic unsigned posted_errors;
static _Atomic bool stop;

static void post(struct ibv_qp *q, struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad;
	int err;

	/* Queue full: the poller makes room. */
	while ((err = ibv_post_send(q, wr, &bad)) == ENOMEM && !atomic_load(&stop))
		sched_yield();
	if (err)
		atomic_fetch_add(&posted_errors, 1);
}

static void *poster(void *arg)
{
	uint64_t t = (uintptr_t)arg;

	for (uint64_t i = 0; i < PER; i++) {
		uint64_t data[8];
		struct ibv_sge sge = {(uintptr_t)data, (uint32_t)(i % sizeof(data)) & ~7u, 0};
		struct ibv_send_wr wr = {
			.wr_id = t << 32 | i,
			.opcode = IBV_WR_SEND,
			.send_flags = IBV_SEND_SIGNALED | IBV_SEND_INLINE,
			.sg_list = &sge,
			.num_sge = 1,
		};

		for (int k = 0; k < 8; k++)
			data[k] = wr.wr_id;
		post(own[t], &wr);
		post(shared, &wr);
	}
	return NULL;
}

/* The engine: checks, in this thread, what cannot be seen from outside. */
static unsigned taken, torn, out_of_order;

static void *engine(void *arg)
{
	uint64_t next[THREADS][2] = {{0}};
	uint32_t done[THREADS] = {0}, done_shared = 0;
	struct fake_desc d;

	while (taken < TOTAL && !atomic_load(&stop)) {
		uint64_t t, i;
		bool mine;

		if (!fake_take(&d)) {
			sched_yield();
			continue;
		}
		taken++;
		t = d.head.wr_id >> 32;
		i = d.head.wr_id & 0xffffffff;
		mine = d.head.qpn != shared->qp_num;
		out_of_order += next[t][mine]++ != i;
		for (uint32_t at = 0; at + 8 <= d.head.inline_len; at += 8)
			torn += memcmp(d.data + at, &d.head.wr_id, 8) != 0;
		torn += d.head.inline_len != ((uint32_t)(i % 64) & ~7u);
		fake_complete_send(
			mine ? own[t] : shared, d.head.wr_id, mine ? ++done[t] : ++done_shared);
	}
	return NULL;
}

static void test_four_posters(void **state)
{
	struct ibv_wc wc[16];
	pthread_t threads[THREADS], eng;
	unsigned polled = 0;

	big = ibv_create_cq(ctx, 8 * (THREADS + 1), NULL, NULL, 0);
	for (unsigned t = 0; t < THREADS; t++)
		to_rts(own[t] = make_qp(IBV_QPT_RC, big, big, NULL));
	to_rts(shared = make_qp(IBV_QPT_RC, big, big, NULL));
	assert_int_equal(pthread_create(&eng, NULL, engine, NULL), 0);
	for (uintptr_t t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, poster, (void *)t), 0);
	for (unsigned idle = 0; polled < TOTAL && idle < 50000000;) {
		int n = ibv_poll_cq(big, 16, wc);

		assert_true(n >= 0);
		polled += (unsigned)n;
		idle = n ? 0 : idle + 1;
		if (n == 0)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (unsigned t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	pthread_join(eng, NULL);
	assert_int_equal(polled, TOTAL);
	assert_int_equal(taken, TOTAL);
	assert_int_equal(torn, 0);
	assert_int_equal(out_of_order, 0);
	assert_int_equal(posted_errors, 0);
	for (unsigned t = 0; t < THREADS; t++)
		assert_int_equal(ibv_destroy_qp(own[t]), 0);
	assert_int_equal(ibv_destroy_qp(shared), 0);
	assert_int_equal(ibv_destroy_cq(big), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_four_posters, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
