/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine dies under a program: every way of waiting for something ends soon with an error, and
 * everything can still be taken down.
 */
#include "common.h"

#include <pthread.h>

static struct ibv_context *ctx;
static struct ibv_comp_channel *ch;

static void *wait_async(void *arg)
{
	struct ibv_async_event ev;

	CHECK(ibv_get_async_event(ctx, &ev) == 0, "errno %d", errno);
	CHECK(ev.event_type == IBV_EVENT_DEVICE_FATAL, "%d", ev.event_type);
	ibv_ack_async_event(&ev);
	errno = 0;
	CHECK(ibv_get_async_event(ctx, &ev) != 0 && errno == EIO, "a second one, errno %d", errno);
	return arg;
}

static void *wait_completion(void *arg)
{
	struct ibv_cq *cq;
	void *cq_ctx;

	errno = 0;
	CHECK(ibv_get_cq_event(ch, &cq, &cq_ctx) != 0 && errno == EIO, "errno %d", errno);
	return arg;
}

int main(void)
{
	static char buf[4096];
	struct ibv_qp_init_attr init = {
		.cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1},
		.qp_type = IBV_QPT_RC};
	struct ibv_send_wr wr = {.opcode = IBV_WR_SEND}, *bad;
	struct ibv_cq *cq, *quiet;
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	struct ibv_qp *qp;
	struct ibv_wc wc;
	pthread_t a, c;
	double end;
	int n = 0;

	ctx = open_first();
	pd = ibv_alloc_pd(ctx);
	ch = ibv_create_comp_channel(ctx);
	cq = ibv_create_cq(ctx, 8, NULL, ch, 0);
	quiet = ibv_create_cq(ctx, 8, NULL, NULL, 0);
	mr = ibv_reg_mr(pd, buf, sizeof(buf), IBV_ACCESS_LOCAL_WRITE);
	init.send_cq = init.recv_cq = cq;
	qp = ibv_create_qp(pd, &init);
	if (!pd || !ch || !cq || !quiet || !mr || !qp || ibv_req_notify_cq(cq, 0))
		DIE("setting up");
	pthread_create(&a, NULL, wait_async, NULL);
	pthread_create(&c, NULL, wait_completion, NULL);
	puts("ready");
	fflush(stdout);
	for (end = now_s() + 60; n == 0 && now_s() < end;)
		n = ibv_poll_cq(quiet, 1, &wc);
	CHECK(n < 0, "polling goes on: %d", n);
	pthread_join(a, NULL);
	pthread_join(c, NULL);
	CHECK(ibv_post_send(qp, &wr, &bad) == EIO, "posting");
	CHECK(ibv_reg_mr(pd, buf, 8, 0) == NULL && errno == EIO, "registering");
	CHECK(ibv_destroy_qp(qp) == 0, "QP");
	CHECK(ibv_dereg_mr(mr) == 0, "MR");
	CHECK(ibv_destroy_cq(cq) == 0, "CQ");
	CHECK(ibv_destroy_cq(quiet) == 0, "CQ");
	CHECK(ibv_destroy_comp_channel(ch) == 0, "channel");
	CHECK(ibv_dealloc_pd(pd) == 0, "PD");
	CHECK(ibv_close_device(ctx) == 0, "device");
	return finish();
}
