/* SPDX-License-Identifier: Apache-2.0 */
/* Completion queues: polling, credit, purge, resize, events, the extended readers. */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct fns_cqe full = {
	.wr_id = 0x0102030405060708,
	.timestamp_ns = 4000,
	.byte_len = 0xffffffff,
	.imm = 0x11223344,
	.src_qp = 0xabcdef,
	.wqe_count = 1,
	.vendor_err = 0x55,
	.status = FNS_WC_SUCCESS,
	.opcode = FNS_WC_RECV_RDMA_WITH_IMM,
	.wc_flags = FNS_WCF_GRH | FNS_WCF_WITH_IMM,
};

static void test_fields(void **state)
{
	struct fns_cqe e = full;
	struct ibv_wc wc;

	memset(&wc, 0xff, sizeof(wc));
	e.qpn = qp->qp_num;
	fake_complete(cq->handle, &e);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(wc.wr_id, 0x0102030405060708);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(wc.vendor_err, 0x55);
	assert_int_equal(wc.byte_len, 0xffffffff);
	assert_int_equal(wc.imm_data, 0x11223344);
	assert_int_equal(wc.qp_num, qp->qp_num);
	assert_int_equal(wc.src_qp, 0xabcdef);
	assert_int_equal(wc.wc_flags, IBV_WC_GRH | IBV_WC_WITH_IMM);
	assert_int_equal(wc.pkey_index | wc.slid | wc.sl | wc.dlid_path_bits, 0);
	e.status = FNS_WC_RNR_RETRY_EXC_ERR;
	fake_complete(cq->handle, &e);
	assert_int_equal(ibv_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(wc.status, IBV_WC_RNR_RETRY_EXC_ERR);
}

static void late_completion(void)
{
	fake.on_poll = NULL;
	fake_complete_recv(qp, 9);
}

/* The engine is advanced once when there is nothing, and what that brings is returned at once;
 * never when there is something. */
static void test_empty_advances_engine(void **state)
{
	struct ibv_wc wc[4];

	assert_int_equal(ibv_poll_cq(cq, 4, wc), 0);
	assert_int_equal(fake.n_poll, 1);
	fake.on_poll = late_completion;
	assert_int_equal(ibv_poll_cq(cq, 4, wc), 1);
	assert_int_equal(wc[0].wr_id, 9);
	assert_int_equal(fake.n_poll, 2);
	fake_complete_recv(qp, 10);
	assert_int_equal(ibv_poll_cq(cq, 4, wc), 1);
	assert_int_equal(fake.n_poll, 2);
	assert_int_equal(ibv_poll_cq(cq, 0, wc), 0);
	assert_true(ibv_poll_cq(cq, -1, wc) < 0);
}

/*
 * A CQ of n entries never overruns as long as at most n are outstanding, though credit is given
 * late: the fake asserts it. Laps and batches of every size, for several n.
 */
static void test_credit_and_laps(void **state)
{
	struct ibv_wc wc[64];

	for (int size = 1; size <= 40; size += 3) {
		struct ibv_cq *c = ibv_create_cq(ctx, size, NULL, NULL, 0);
		struct ibv_qp *q = make_qp(IBV_QPT_RC, c, c, NULL);
		uint64_t in = 0, out = 0;

		assert_int_equal(c->cqe, size);
		for (int step = 0; step < 1000; step++) {
			int batch = 1 + step % size, got;

			while (in - out < (uint64_t)size)
				fake_complete_recv(q, in++);
			got = ibv_poll_cq(c, batch, wc);
			assert_int_equal(got, batch);
			for (int i = 0; i < got; i++)
				assert_int_equal(wc[i].wr_id, out++);
		}
		assert_int_equal(ibv_destroy_cq(c), EBUSY);
		assert_int_equal(ibv_destroy_qp(q), 0);
		assert_int_equal(ibv_destroy_cq(c), 0);
	}
}

/* What is unread of a destroyed queue pair disappears, what is of others stays, in order. */
static void test_purge(void **state)
{
	struct ibv_qp *q = make_qp(IBV_QPT_RC, cq, cq, NULL);
	struct ibv_wc wc[8];

	fake_complete_recv(qp, 1);
	fake_complete_recv(q, 2);
	fake_complete_send(q, 3, 1);
	fake_complete_recv(qp, 4);
	fake_complete_recv(q, 5);
	assert_int_equal(ibv_destroy_qp(q), 0);
	assert_int_equal(ibv_poll_cq(cq, 8, wc), 2);
	assert_int_equal(wc[0].wr_id, 1);
	assert_int_equal(wc[1].wr_id, 4);
	/* The places of the purged ones were given back: the ring goes round. */
	for (int i = 0; i < 100; i++) {
		fake_complete_recv(qp, 6);
		assert_int_equal(ibv_poll_cq(cq, 8, wc), 1);
	}
}

static void test_resize(void **state)
{
	struct ibv_wc wc[64];
	uint64_t in = 0, out = 0;

	for (int i = 0; i < 5; i++)
		fake_complete_recv(qp, in++);
	assert_int_equal(ibv_poll_cq(cq, 2, wc), 2);
	out += 2;
	assert_int_equal(ibv_resize_cq(cq, 2), EINVAL); /* three are unread */
	assert_int_equal(ibv_resize_cq(cq, 0), EINVAL);
	assert_int_equal(ibv_resize_cq(cq, 1 << 30), EINVAL);
	fake.fail_op = FNS_CTL_CQ_RESIZE;
	fake.fail_err = -ENOMEM;
	fake.fail_times = 1;
	assert_int_equal(ibv_resize_cq(cq, 50), ENOMEM);
	assert_int_equal(cq->cqe, 16);
	assert_int_equal(ibv_req_notify_cq(cq, 1), 0);
	assert_int_equal(ibv_resize_cq(cq, 50), 0);
	assert_int_equal(cq->cqe, 50);
	/* A request for notification moves with it. */
	assert_int_equal(atomic_load(&fake.cq[cq->handle].ring->arm), FNS_CQ_ARM_SOLICITED);
	atomic_store(&fake.cq[cq->handle].ring->arm, FNS_CQ_ARM_NONE);
	for (int i = 0; i < 40; i++)
		fake_complete_recv(qp, in++);
	while (ibv_poll_cq(cq, 1, wc) == 1)
		assert_int_equal(wc[0].wr_id, out++);
	assert_int_equal(out, in);
	assert_int_equal(ibv_resize_cq(cq, 1), 0);
	fake_complete_recv(qp, in++);
	assert_int_equal(ibv_poll_cq(cq, 1, wc), 1);
	assert_int_equal(wc[0].wr_id, out);
	assert_int_equal(ibv_resize_cq(cq, 16), 0);
}

static void test_create_bad(void **state)
{
	struct ibv_device_attr dev;

	assert_int_equal(ibv_query_device(ctx, &dev), 0);
	errno = 0;
	assert_null(ibv_create_cq(ctx, dev.max_cqe + 1, NULL, NULL, 0));
	assert_int_equal(errno, EINVAL);
	assert_null(ibv_create_cq(ctx, 0, NULL, NULL, 0));
	assert_null(ibv_create_cq(ctx, -1, NULL, NULL, 0));
	assert_null(ibv_create_cq(ctx, 1, NULL, NULL, ctx->num_comp_vectors));
	assert_int_equal(errno, EINVAL);
	fake.fail_op = FNS_CTL_CQ_CREATE;
	fake.fail_err = -ENOMEM;
	fake.fail_times = 1;
	assert_null(ibv_create_cq(ctx, 1, NULL, NULL, 0));
	assert_int_equal(errno, ENOMEM);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void test_comp_channel(void **state)
{
	struct ibv_comp_channel *ch = ibv_create_comp_channel(ctx);
	struct ibv_cq *c = ibv_create_cq(ctx, 8, &ch, ch, 0), *got;
	struct ibv_qp *q = make_qp(IBV_QPT_RC, c, c, NULL);
	struct ibv_wc wc;
	void *cookie;

	assert_int_equal(fcntl(ch->fd, F_SETFL, fcntl(ch->fd, F_GETFL) | O_NONBLOCK), 0);
	assert_int_equal(ibv_get_cq_event(ch, &got, &cookie), -1);
	assert_int_equal(errno, EAGAIN);
	fake_complete_recv(q, 1); /* not armed */
	assert_false(readable(ch->fd));
	assert_int_equal(ibv_req_notify_cq(c, 0), 0);
	assert_int_equal(fake.n_sleep, 1);
	assert_int_equal(atomic_load(&fake.cq[c->handle].ring->arm), FNS_CQ_ARM_ANY);
	/* A later, weaker request leaves the stronger one. */
	assert_int_equal(ibv_req_notify_cq(c, 1), 0);
	assert_int_equal(atomic_load(&fake.cq[c->handle].ring->arm), FNS_CQ_ARM_ANY);
	fake_complete_recv(q, 2);
	fake_complete_recv(q, 3); /* one-shot */
	assert_true(readable(ch->fd));
	assert_int_equal(ibv_get_cq_event(ch, &got, &cookie), 0);
	assert_ptr_equal(got, c);
	assert_ptr_equal(cookie, &ch);
	assert_false(readable(ch->fd));
	while (ibv_poll_cq(c, 1, &wc) == 1)
		;
	assert_int_equal(ibv_destroy_comp_channel(ch), EBUSY);
	ibv_ack_cq_events(c, 1);
	/* Events not read are no reason to wait. */
	assert_int_equal(ibv_req_notify_cq(c, 0), 0);
	fake_complete_recv(q, 2);
	assert_int_equal(ibv_destroy_qp(q) | ibv_destroy_cq(c), 0);
	assert_int_equal(ibv_get_cq_event(ch, &got, &cookie), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(ibv_destroy_comp_channel(ch), 0);
}

/* Tens of thousands of events that nobody reads: none is lost and raising them does not block. */
static void test_channel_never_full(void **state)
{
	struct ibv_comp_channel *ch = ibv_create_comp_channel(ctx);
	struct ibv_cq *c[2] = {
		ibv_create_cq(ctx, 8, NULL, ch, 0), ibv_create_cq(ctx, 8, NULL, ch, 0)};
	unsigned seen[2] = {0}, n = 40000;
	struct ibv_cq *got;
	void *cookie;

	for (unsigned i = 0; i < n; i++)
		fake.up.comp_event((uintptr_t)fake.cq[c[i % 2]->handle].channel,
			fake.cq[c[i % 2]->handle].cookie);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(ibv_get_cq_event(ch, &got, &cookie), 0);
		seen[got == c[1]]++;
	}
	assert_false(readable(ch->fd));
	assert_int_equal(seen[0], n / 2);
	assert_int_equal(seen[1], n / 2);
	ibv_ack_cq_events(c[0], n / 2);
	ibv_ack_cq_events(c[1], n / 2);
	assert_int_equal(ibv_destroy_cq(c[0]) | ibv_destroy_cq(c[1]), 0);
	assert_int_equal(ibv_destroy_comp_channel(ch), 0);
}

static _Atomic int acked;

static void *ack_later(void *arg)
{
	const struct timespec nap = {0, 50000000};

	nanosleep(&nap, NULL);
	acked = 1;
	ibv_ack_cq_events(arg, 1);
	return NULL;
}

static void test_destroy_waits_for_ack(void **state)
{
	struct ibv_comp_channel *ch = ibv_create_comp_channel(ctx);
	struct ibv_cq *c = ibv_create_cq(ctx, 8, NULL, ch, 0), *got;
	pthread_t t;
	void *cookie;

	fake.up.comp_event((uintptr_t)fake.cq[c->handle].channel, fake.cq[c->handle].cookie);
	assert_int_equal(ibv_get_cq_event(ch, &got, &cookie), 0);
	acked = 0;
	assert_int_equal(pthread_create(&t, NULL, ack_later, c), 0);
	assert_int_equal(ibv_destroy_cq(c), 0);
	assert_int_equal(acked, 1);
	pthread_join(t, NULL);
	assert_int_equal(ibv_destroy_comp_channel(ch), 0);
}

static void test_async_events(void **state)
{
	struct ibv_srq_init_attr init = {.attr = {.max_wr = 4, .max_sge = 1}};
	struct ibv_srq *srq = ibv_create_srq(pd, &init);
	struct fns_event ev = {
		.type = FNS_EVENT_SQ_DRAINED, .cookie = fake.cookie[qp->handle & 0xffff]};
	struct ibv_async_event got;

	assert_int_equal(fcntl(ctx->async_fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(ibv_get_async_event(ctx, &got), -1);
	assert_int_equal(errno, EAGAIN);
	fake.up.async_event(&ev);
	ev.type = FNS_EVENT_QP_FATAL;
	fake.up.async_event(&ev);
	fake.up.async_event(&ev); /* unread, hence the same */
	ev = (struct fns_event){.type = FNS_EVENT_CQ_ERR, .cookie = fake.cookie[cq->handle]};
	fake.up.async_event(&ev);
	ev = (struct fns_event){
		.type = FNS_EVENT_SRQ_LIMIT_REACHED, .cookie = fake.cookie[srq->handle]};
	fake.up.async_event(&ev);
	ev.type = 99; /* not ours to understand */
	fake.up.async_event(&ev);

	unsigned seen = 0;

	for (int i = 0; i < 4; i++) {
		assert_int_equal(ibv_get_async_event(ctx, &got), 0);
		seen |= 1u << got.event_type;
		if (got.event_type == IBV_EVENT_CQ_ERR)
			assert_ptr_equal(got.element.cq, cq);
		else if (got.event_type == IBV_EVENT_SRQ_LIMIT_REACHED)
			assert_ptr_equal(got.element.srq, srq);
		else
			assert_ptr_equal(got.element.qp, qp);
		ibv_ack_async_event(&got);
	}
	assert_int_equal(seen, 1u << IBV_EVENT_CQ_ERR | 1u << IBV_EVENT_SRQ_LIMIT_REACHED |
				       1u << IBV_EVENT_SQ_DRAINED | 1u << IBV_EVENT_QP_FATAL);
	assert_false(readable(ctx->async_fd));
	assert_int_equal(ibv_get_async_event(ctx, &got), -1);
	assert_int_equal(ibv_destroy_srq(srq), 0);
}

static void test_ex_readers(void **state)
{
	struct ibv_cq_init_attr_ex init = {
		.cqe = 8,
		.wc_flags = IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP |
			    IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK,
	};
	struct ibv_cq_ex *ex = ibv_create_cq_ex(ctx, &init);
	struct ibv_qp *q = make_qp(IBV_QPT_RC, ibv_cq_ex_to_cq(ex), ibv_cq_ex_to_cq(ex), NULL);
	struct ibv_poll_cq_attr attr = {0};
	struct fns_cqe e = full;
	struct timespec ts;
	uint64_t wall, now;

	assert_int_equal(ibv_start_poll(ex, &attr), ENOENT);
	attr.comp_mask = 1;
	assert_int_equal(ibv_start_poll(ex, &attr), EINVAL);
	attr.comp_mask = 0;
	e.qpn = q->qp_num;
	fake_complete(ex->handle, &e);
	e.wr_id = 2;
	e.status = FNS_WC_WR_FLUSH_ERR;
	fake_complete(ex->handle, &e);
	assert_int_equal(ibv_start_poll(ex, &attr), 0);
	assert_int_equal(ex->wr_id, 0x0102030405060708);
	assert_int_equal(ex->status, IBV_WC_SUCCESS);
	assert_int_equal(ibv_wc_read_opcode(ex), IBV_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(ibv_wc_read_vendor_err(ex), 0x55);
	assert_int_equal(ibv_wc_read_byte_len(ex), 0xffffffff);
	assert_int_equal(ibv_wc_read_imm_data(ex), 0x11223344);
	assert_int_equal(ibv_wc_read_invalidated_rkey(ex), 0x11223344);
	assert_int_equal(ibv_wc_read_qp_num(ex), q->qp_num);
	assert_int_equal(ibv_wc_read_src_qp(ex), 0xabcdef);
	assert_int_equal(ibv_wc_read_wc_flags(ex), IBV_WC_GRH | IBV_WC_WITH_IMM);
	assert_int_equal(
		ibv_wc_read_slid(ex) | ibv_wc_read_sl(ex) | ibv_wc_read_dlid_path_bits(ex), 0);
	assert_int_equal(ibv_wc_read_completion_ts(ex), 4000);
	wall = ibv_wc_read_completion_wallclock_ns(ex); /* 1000 ns before the fake's now */
	clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	assert_in_range(wall, now - 10000000000, now - 1000);
	assert_int_equal(ibv_next_poll(ex), 0);
	assert_int_equal(ex->wr_id, 2);
	assert_int_equal(ex->status, IBV_WC_WR_FLUSH_ERR);
	assert_int_equal(ibv_next_poll(ex), ENOENT);
	ibv_end_poll(ex);
	/* The plain poll works on it too, and the lock was given back. */
	struct ibv_wc wc;

	fake_complete_recv(q, 3);
	assert_int_equal(ibv_poll_cq(ibv_cq_ex_to_cq(ex), 1, &wc), 1);
	assert_int_equal(ibv_destroy_qp(q) | ibv_destroy_cq(ibv_cq_ex_to_cq(ex)), 0);
}

static void test_ex_bad(void **state)
{
	struct ibv_cq_init_attr_ex init = {.cqe = 1};

	for (unsigned bit = 0; bit < 20; bit++) {
		uint64_t ok = IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP |
			      IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK;
		struct ibv_cq_ex *ex;

		init.wc_flags = 1u << bit;
		errno = 0;
		ex = ibv_create_cq_ex(ctx, &init);
		if (init.wc_flags & ok)
			assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(ex)), 0);
		else
			assert_int_equal(errno, EOPNOTSUPP);
	}
	init.wc_flags = 0;
	init.comp_vector = 1;
	assert_null(ibv_create_cq_ex(ctx, &init));
	assert_int_equal(errno, EINVAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fields),
		T(test_empty_advances_engine),
		T(test_credit_and_laps),
		T(test_purge),
		T(test_resize),
		T(test_create_bad),
		T(test_comp_channel),
		T(test_channel_never_full),
		T(test_destroy_waits_for_ack),
		T(test_async_events),
		T(test_ex_readers),
		T(test_ex_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
