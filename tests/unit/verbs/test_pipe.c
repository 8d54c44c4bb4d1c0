/* SPDX-License-Identifier: Apache-2.0 */
/* The notification pipe with indices (FLEXINS_PIPE=doorbell): what the library writes and reads,
 * and when. */
#include "fake.h"

#include <string.h>

#include "pipe/modes.h"

static struct ibv_mr *mr;
static char mem[4096];

static int send_list(unsigned n, struct ibv_send_wr **bad)
{
	struct ibv_sge sg = {.addr = (uintptr_t)mem, .length = 64, .lkey = mr->lkey};
	struct ibv_send_wr wr[8];

	memset(wr, 0, sizeof(wr));
	for (unsigned i = 0; i < n; i++)
		wr[i] = (struct ibv_send_wr){.wr_id = i,
			.next = i + 1 < n ? &wr[i + 1] : NULL,
			.sg_list = &sg,
			.num_sge = 1,
			.opcode = IBV_WR_SEND,
			.send_flags = IBV_SEND_SIGNALED};
	return ibv_post_send(qp, wr, bad);
}

static int setup_mr(void **state)
{
	int rc = setup(state);

	mr = rc == 0 ? ibv_reg_mr(pd, mem, sizeof(mem), IBV_ACCESS_LOCAL_WRITE) : NULL;
	return mr ? 0 : -1;
}

static int teardown_mr(void **state)
{
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return teardown(state);
}

/* One index for a list, written after all its descriptors; receives ring too. */
static void rung_once_a_call(void **state)
{
	struct ibv_recv_wr rwr = {.wr_id = 9}, *rbad;
	uint32_t tail = atomic_load(&fake.ring->tail);
	struct ibv_send_wr *bad;
	struct fake_desc d;

	assert_int_equal(fake.ring->pipe, FNS_PIPE_DOORBELL);
	assert_int_equal(send_list(4, &bad), 0);
	assert_int_equal(atomic_load(&fake.ring->tail), tail + 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(fake_take(&d));
		assert_int_equal(d.head.wr_id, i);
	}
	assert_false(fake_take(&d));
	assert_int_equal(ibv_post_recv(qp, &rwr, &rbad), 0);
	assert_int_equal(atomic_load(&fake.ring->tail), tail + 5);
	assert_true(fake_take(&d));
	assert_int_equal(d.op, FNS_WR_RECV);
}

/* What a failing call has published before the failure counts. */
static void rung_on_failure(void **state)
{
	uint32_t tail = atomic_load(&fake.ring->tail);
	struct ibv_sge sg = {.addr = (uintptr_t)mem, .length = 64, .lkey = mr->lkey};
	struct ibv_send_wr wr[2] = {
		{.next = &wr[1], .sg_list = &sg, .num_sge = 1, .opcode = IBV_WR_SEND},
		{.sg_list = &sg, .num_sge = 17, .opcode = IBV_WR_SEND}};
	struct ibv_send_wr *bad = NULL;
	struct fake_desc d;

	assert_int_not_equal(ibv_post_send(qp, wr, &bad), 0);
	assert_ptr_equal(bad, &wr[1]);
	assert_int_equal(atomic_load(&fake.ring->tail), tail + 1);
	assert_true(fake_take(&d));
}

/* An entry whose phase bit is there but which the index does not cover is not read. */
static void the_index_decides(void **state)
{
	struct fns_cq_shared *r;
	struct ibv_wc wc[2];

	r = fake.cq[cq->handle].ring;
	fake_complete_recv(qp, 5);
	fake_complete_recv(qp, 6);
	atomic_fetch_sub(&r->produced, 1);
	assert_int_equal(ibv_poll_cq(cq, 2, wc), 1);
	assert_int_equal(wc[0].wr_id, 5);
	assert_int_equal(ibv_poll_cq(cq, 2, wc), 0);
	atomic_fetch_add(&r->produced, 1);
	assert_int_equal(ibv_poll_cq(cq, 2, wc), 1);
	assert_int_equal(wc[0].wr_id, 6);
}

/* The consumer's index is written in every poll that consumed something. */
static void consumer_each_poll(void **state)
{
	struct fns_cq_shared *r = fake.cq[cq->handle].ring;
	uint32_t before = atomic_load(&r->consumer);
	struct ibv_wc wc;

	fake_complete_recv(qp, 1);
	fake_complete_recv(qp, 2);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(atomic_load(&r->consumer), before + 1);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(atomic_load(&r->consumer), before + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rung_once_a_call, setup_mr, teardown_mr),
		cmocka_unit_test_setup_teardown(rung_on_failure, setup_mr, teardown_mr),
		cmocka_unit_test_setup_teardown(the_index_decides, setup_mr, teardown_mr),
		cmocka_unit_test_setup_teardown(consumer_each_poll, setup_mr, teardown_mr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
