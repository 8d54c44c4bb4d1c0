/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the little programs of the end-to-end tests share. They are written and compiled as a
 * stranger's: against the system's libibverbs-dev alone, and know nothing of FlexiNS. Included by
 * each program once.
 */
#ifndef E2E_COMMON_H
#define E2E_COMMON_H

#include <errno.h>
#include <infiniband/verbs.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int checks, failures;

/* Notes a failed expectation and goes on, so that one run tells all. */
#define CHECK(cond, ...)                                                                           \
	do {                                                                                       \
		checks++;                                                                          \
		if (!(cond)) {                                                                     \
			failures++;                                                                \
			fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #cond);         \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
		}                                                                                  \
	} while (0)

#define DIE(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                    \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fprintf(stderr, " (errno %d: %s)\n", errno, strerror(errno));                      \
		exit(1);                                                                           \
	} while (0)

static inline int finish(void)
{
	printf("%d checks, %d failures\n", checks, failures);
	return failures ? 1 : 0;
}

static inline double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static inline struct ibv_context *open_first(void)
{
	int n = 0;
	struct ibv_device **list = ibv_get_device_list(&n);
	struct ibv_context *ctx;

	if (!list || n == 0)
		DIE("no verbs device");
	ctx = ibv_open_device(list[0]);
	if (!ctx)
		DIE("cannot open %s", ibv_get_device_name(list[0]));
	ibv_free_device_list(list);
	return ctx;
}

/* One end of a connection. */
struct side {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	union ibv_gid gid;
};

#define SIDE_WRS 64
#define ALL_ACCESS                                                                                 \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |               \
		IBV_ACCESS_REMOTE_ATOMIC)

static inline void side_init(struct side *s, struct ibv_context *ctx, enum ibv_qp_type type)
{
	struct ibv_qp_init_attr ia = {
		.qp_type = type,
		.cap = {SIDE_WRS, SIDE_WRS, 2, 2, 64},
	};

	s->ctx = ctx;
	s->pd = ibv_alloc_pd(ctx);
	s->cq = s->pd ? ibv_create_cq(ctx, 4 * SIDE_WRS, NULL, NULL, 0) : NULL;
	if (!s->cq)
		DIE("alloc_pd or create_cq");
	ia.send_cq = ia.recv_cq = s->cq;
	s->qp = ibv_create_qp(s->pd, &ia);
	if (!s->qp)
		DIE("create_qp");
	if (ibv_query_gid(ctx, 1, 0, &s->gid))
		DIE("query_gid");
}

static inline void side_fini(struct side *s)
{
	CHECK(!ibv_destroy_qp(s->qp), "destroy_qp: %s", strerror(errno));
	CHECK(!ibv_destroy_cq(s->cq), "destroy_cq: %s", strerror(errno));
	CHECK(!ibv_dealloc_pd(s->pd), "dealloc_pd: %s", strerror(errno));
}

static inline int qp_init(struct ibv_qp *qp)
{
	struct ibv_qp_attr a = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = ALL_ACCESS,
	};

	return ibv_modify_qp(
		qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

#define RTR_MASK                                                                                   \
	(IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |            \
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)
#define RTS_MASK                                                                                   \
	(IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |     \
		IBV_QP_MAX_QP_RD_ATOMIC)

static inline struct ibv_qp_attr rtr_attr(uint32_t dest_qpn, union ibv_gid dgid)
{
	return (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = dest_qpn,
		.rq_psn = 0xfffff0, /* so that every test crosses the wrap */
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 1,
		.ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = dgid, .hop_limit = 64}},
	};
}

static inline struct ibv_qp_attr rts_attr(void)
{
	return (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS,
		.timeout = 10, /* 4.2 ms */
		.retry_cnt = 7,
		.rnr_retry = 7,
		.sq_psn = 0xfffff0,
		.max_rd_atomic = 4,
	};
}

static inline void side_connect(struct side *s, uint32_t dest_qpn, union ibv_gid dgid)
{
	struct ibv_qp_attr rtr = rtr_attr(dest_qpn, dgid), rts = rts_attr();
	int rc = qp_init(s->qp);

	if (!rc)
		rc = ibv_modify_qp(s->qp, &rtr, RTR_MASK);
	if (!rc)
		rc = ibv_modify_qp(s->qp, &rts, RTS_MASK);
	if (rc) {
		errno = rc;
		DIE("modify_qp");
	}
}

/* Two queue pairs of this process, connected to each other by way of the wire. */
static inline void pair_init(struct side *a, struct side *b, struct ibv_context *ctx)
{
	side_init(a, ctx, IBV_QPT_RC);
	side_init(b, ctx, IBV_QPT_RC);
	side_connect(a, b->qp->qp_num, b->gid);
	side_connect(b, a->qp->qp_num, a->gid);
}

/* Polls for one completion: 1, or 0 when none came in time. */
static inline int wait_wc(struct ibv_cq *cq, struct ibv_wc *wc, double seconds)
{
	double end = now_s() + seconds;

	do {
		int n = ibv_poll_cq(cq, 1, wc);

		if (n < 0)
			DIE("poll_cq");
		if (n)
			return 1;
	} while (now_s() < end);
	return 0;
}

static inline int post_rdma(struct side *s, enum ibv_wr_opcode op, void *laddr, uint32_t len,
	uint32_t lkey, void *raddr, uint32_t rkey)
{
	struct ibv_sge sge = {(uintptr_t)laddr, len, lkey};
	struct ibv_send_wr *bad, wr = {
					 .wr_id = 1,
					 .sg_list = &sge,
					 .num_sge = 1,
					 .opcode = op,
					 .send_flags = IBV_SEND_SIGNALED,
					 .wr.rdma = {(uintptr_t)raddr, rkey},
				 };

	return ibv_post_send(s->qp, &wr, &bad);
}

#endif
