/* SPDX-License-Identifier: Apache-2.0 */
/* Invalid attributes to every verb: the right errno, and nothing has changed. */
#include "common.h"

/* A verb that returns a pointer must give NULL and one of two errors; one that returns a number
 * must give one of them. */
#define NO_PTR(expr, e1, e2)                                                                       \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((expr) == NULL && (errno == (e1) || errno == (e2)), "errno %d", errno);      \
	} while (0)
#define NO(expr, e1, e2)                                                                           \
	do {                                                                                       \
		int rc_ = (expr);                                                                  \
		CHECK(rc_ == (e1) || rc_ == (e2), "returned %d", rc_);                             \
	} while (0)

static struct ibv_context *ctx;
static struct ibv_device_attr dev;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static char buf[8192];

static void device(void)
{
	struct ibv_port_attr port;
	union ibv_gid gid;
	__be16 pkey;

	NO(ibv_query_port(ctx, 0, &port), EINVAL, EINVAL);
	NO(ibv_query_port(ctx, 2, &port), EINVAL, EINVAL);
	CHECK(ibv_query_gid(ctx, 1, 100000, &gid) != 0, "gid index out of range");
	CHECK(ibv_query_gid(ctx, 2, 0, &gid) != 0, "gid of port 2");
	CHECK(ibv_query_gid(ctx, 1, -1, &gid) != 0, "gid index -1");
	CHECK(ibv_query_pkey(ctx, 1, 60000, &pkey) != 0, "pkey index out of range");
}

static void memory(void)
{
	struct ibv_mr *mr;
	void *gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(gone, 4096);
	NO_PTR(ibv_reg_mr(pd, buf, sizeof(buf), IBV_ACCESS_REMOTE_WRITE), EINVAL, EINVAL);
	NO_PTR(ibv_reg_mr(pd, buf, sizeof(buf), IBV_ACCESS_REMOTE_ATOMIC), EINVAL, EINVAL);
	NO_PTR(ibv_reg_mr(pd, buf, SIZE_MAX, IBV_ACCESS_LOCAL_WRITE), EINVAL, ENOMEM);
	NO_PTR(ibv_reg_mr(pd, gone, 4096, IBV_ACCESS_LOCAL_WRITE), EFAULT, EFAULT);
	mr = ibv_reg_mr(pd, buf, sizeof(buf), ALL_ACCESS);
	CHECK(mr, "a good registration after bad ones");
	if (mr) {
		CHECK(ibv_rereg_mr(mr, 1 << 20, NULL, NULL, 0, 0) != 0, "unknown rereg flags");
		CHECK(!ibv_dereg_mr(mr), "dereg");
	}
}

static void queues(void)
{
	struct ibv_srq_init_attr sa = {.attr = {.max_wr = 8, .max_sge = 1}}, bad;
	struct ibv_srq_attr lim = {.srq_limit = 1000000}, got;
	struct ibv_srq *srq;

	NO_PTR(ibv_create_cq(ctx, 0, NULL, NULL, 0), EINVAL, EINVAL);
	NO_PTR(ibv_create_cq(ctx, -1, NULL, NULL, 0), EINVAL, EINVAL);
	NO_PTR(ibv_create_cq(ctx, dev.max_cqe + 1, NULL, NULL, 0), EINVAL, EINVAL);
	NO_PTR(ibv_create_cq(ctx, 8, NULL, NULL, ctx->num_comp_vectors), EINVAL, EINVAL);
	NO_PTR(ibv_create_cq(ctx, 8, NULL, NULL, -1), EINVAL, EINVAL);
	NO(ibv_resize_cq(cq, 0), EINVAL, EINVAL);
	NO(ibv_resize_cq(cq, dev.max_cqe + 1), EINVAL, EINVAL);

	bad = sa;
	bad.attr.max_wr = dev.max_srq_wr + 1;
	NO_PTR(ibv_create_srq(pd, &bad), EINVAL, ENOMEM);
	bad = sa;
	bad.attr.max_sge = dev.max_srq_sge + 1;
	NO_PTR(ibv_create_srq(pd, &bad), EINVAL, EINVAL);
	srq = ibv_create_srq(pd, &sa);
	CHECK(srq, "a good srq");
	if (srq) {
		NO(ibv_modify_srq(srq, &lim, IBV_SRQ_LIMIT), EINVAL, EINVAL);
		CHECK(!ibv_query_srq(srq, &got) && got.srq_limit == 0, "limit unchanged: %u",
			got.srq_limit);
		CHECK(!ibv_destroy_srq(srq), "destroy_srq");
	}
}

static void addresses(void)
{
	struct ibv_ah_attr good = {.is_global = 1, .port_num = 1, .grh.hop_limit = 64}, bad;
	struct ibv_ah *ah;

	ibv_query_gid(ctx, 1, 0, &good.grh.dgid);
	bad = good;
	bad.port_num = 0;
	NO_PTR(ibv_create_ah(pd, &bad), EINVAL, EINVAL);
	bad = good;
	bad.port_num = 9;
	NO_PTR(ibv_create_ah(pd, &bad), EINVAL, EINVAL);
	bad = good;
	bad.grh.sgid_index = 200;
	NO_PTR(ibv_create_ah(pd, &bad), EINVAL, EINVAL);
	bad = good;
	bad.is_global = 0;
	NO_PTR(ibv_create_ah(pd, &bad), EINVAL, EINVAL);
	ah = ibv_create_ah(pd, &good);
	CHECK(ah && !ibv_destroy_ah(ah), "a good address handle");
}

static void qp_create(void)
{
	struct ibv_qp_init_attr good = {.send_cq = cq,
					.recv_cq = cq,
					.qp_type = IBV_QPT_RC,
					.cap = {8, 8, 1, 1, 32}},
				bad;
	struct ibv_qp *qp;

#define BAD_QP(change, e1, e2)                                                                     \
	do {                                                                                       \
		bad = good;                                                                        \
		change;                                                                            \
		NO_PTR(ibv_create_qp(pd, &bad), e1, e2);                                           \
	} while (0)
	BAD_QP(bad.qp_type = 99, EINVAL, EOPNOTSUPP);
	BAD_QP(bad.qp_type = IBV_QPT_XRC_SEND, EOPNOTSUPP, EINVAL);
	BAD_QP(bad.send_cq = NULL, EINVAL, EINVAL);
	BAD_QP(bad.recv_cq = NULL, EINVAL, EINVAL);
	BAD_QP(bad.cap.max_send_wr = dev.max_qp_wr + 1, EINVAL, ENOMEM);
	BAD_QP(bad.cap.max_recv_wr = dev.max_qp_wr + 1, EINVAL, ENOMEM);
	BAD_QP(bad.cap.max_send_wr = UINT32_MAX, EINVAL, ENOMEM);
	BAD_QP(bad.cap.max_send_sge = dev.max_sge + 1, EINVAL, EINVAL);
	BAD_QP(bad.cap.max_recv_sge = dev.max_sge + 1, EINVAL, EINVAL);
	BAD_QP(bad.cap.max_inline_data = 1 << 20, EINVAL, EINVAL);
	qp = ibv_create_qp(pd, &good);
	CHECK(qp && !ibv_destroy_qp(qp), "a good queue pair");
}

static enum ibv_qp_state state(struct ibv_qp *qp)
{
	struct ibv_qp_init_attr ia;
	struct ibv_qp_attr a;

	return ibv_query_qp(qp, &a, IBV_QP_STATE, &ia) ? IBV_QPS_UNKNOWN : a.qp_state;
}

static void posting(struct side *s, struct ibv_mr *mr)
{
	struct ibv_sge sge[3] = {{(uintptr_t)buf, 8, mr->lkey}, {(uintptr_t)buf, 8, mr->lkey},
		{(uintptr_t)buf, 8, mr->lkey}};
	struct ibv_recv_wr *rbad = NULL, rwr = {.sg_list = sge, .num_sge = 3},
			   rgood = {.sg_list = sge, .num_sge = 1, .next = &rwr};
	struct ibv_send_wr *bad = NULL, wr = {.sg_list = sge, .num_sge = 3, .opcode = IBV_WR_SEND};
	int rc, n;

	/* the second of two is bad: the first is posted, and bad names the second */
	NO(ibv_post_recv(s->qp, &rgood, &rbad), EINVAL, ENOMEM);
	CHECK(rbad == &rwr, "bad_wr of a receive");
	rgood.next = NULL;
	for (n = 1, rc = 0; n < 100000 && !rc; n++)
		rc = ibv_post_recv(s->qp, &rgood, &rbad);
	CHECK(rc == ENOMEM, "a full receive queue: %d", rc);
	CHECK(n >= SIDE_WRS, "only %d receives fit", n);

	NO(ibv_post_send(s->qp, &wr, &bad), EINVAL, ENOMEM);
	CHECK(bad == &wr, "bad_wr of a send");
	wr.num_sge = -1;
	NO(ibv_post_send(s->qp, &wr, &bad), EINVAL, ENOMEM);
	wr.num_sge = 1;
	wr.opcode = 77;
	NO(ibv_post_send(s->qp, &wr, &bad), EINVAL, EOPNOTSUPP);
	wr.opcode = IBV_WR_SEND;
	wr.send_flags = IBV_SEND_INLINE;
	sge[0].length = 4096;
	NO(ibv_post_send(s->qp, &wr, &bad), EINVAL, ENOMEM);
}

static void qp_states(void)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, buf, sizeof(buf), ALL_ACCESS);
	struct ibv_sge sge = {(uintptr_t)buf, 8, mr->lkey};
	struct ibv_recv_wr *rbad, rwr = {.sg_list = &sge, .num_sge = 1};
	struct ibv_send_wr *bad, wr = {.sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND};
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_INIT, .port_num = 1}, good;
	const int init_mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
	struct side s;

	side_init(&s, ctx, IBV_QPT_RC);
	NO(ibv_post_send(s.qp, &wr, &bad), EINVAL, EINVAL);
	NO(ibv_post_recv(s.qp, &rwr, &rbad), EINVAL, EINVAL);
	good = rts_attr();
	NO(ibv_modify_qp(s.qp, &good, RTS_MASK), EINVAL, EINVAL);
	NO(ibv_modify_qp(s.qp, &a, IBV_QP_STATE), EINVAL, EINVAL);
	NO(ibv_modify_qp(s.qp, &a, init_mask | IBV_QP_AV), EINVAL, EINVAL);
	a.port_num = 0;
	NO(ibv_modify_qp(s.qp, &a, init_mask), EINVAL, EINVAL);
	a.port_num = 2;
	NO(ibv_modify_qp(s.qp, &a, init_mask), EINVAL, EINVAL);
	a.port_num = 1;
	a.pkey_index = 9999;
	NO(ibv_modify_qp(s.qp, &a, init_mask), EINVAL, EINVAL);
	CHECK(state(s.qp) == IBV_QPS_RESET, "still RESET: %d", state(s.qp));
	CHECK(!qp_init(s.qp), "to INIT");
	NO(ibv_post_send(s.qp, &wr, &bad), EINVAL, EINVAL);

#define BAD_RTR(change)                                                                            \
	do {                                                                                       \
		a = rtr_attr(s.qp->qp_num, s.gid);                                                 \
		change;                                                                            \
		NO(ibv_modify_qp(s.qp, &a, RTR_MASK), EINVAL, EINVAL);                             \
	} while (0)
	BAD_RTR(a.path_mtu = 0);
	BAD_RTR(a.path_mtu = 9);
	BAD_RTR(a.dest_qp_num = 1u << 24);
	BAD_RTR(a.ah_attr.grh.sgid_index = 200);
	BAD_RTR(a.ah_attr.is_global = 0);
	BAD_RTR(a.ah_attr.port_num = 7);
	BAD_RTR(a.min_rnr_timer = 32);
	BAD_RTR(a.max_dest_rd_atomic = 255);
	a = rtr_attr(s.qp->qp_num, s.gid);
	NO(ibv_modify_qp(s.qp, &a, RTR_MASK & ~IBV_QP_AV), EINVAL, EINVAL);
	CHECK(state(s.qp) == IBV_QPS_INIT, "still INIT: %d", state(s.qp));
	CHECK(!ibv_modify_qp(s.qp, &a, RTR_MASK), "to RTR");

#define BAD_RTS(change)                                                                            \
	do {                                                                                       \
		a = rts_attr();                                                                    \
		change;                                                                            \
		NO(ibv_modify_qp(s.qp, &a, RTS_MASK), EINVAL, EINVAL);                             \
	} while (0)
	BAD_RTS(a.timeout = 32);
	BAD_RTS(a.retry_cnt = 8);
	BAD_RTS(a.rnr_retry = 8);
	BAD_RTS(a.max_rd_atomic = 255);
	CHECK(state(s.qp) == IBV_QPS_RTR, "still RTR: %d", state(s.qp));
	a = rts_attr();
	CHECK(!ibv_modify_qp(s.qp, &a, RTS_MASK), "to RTS");
	posting(&s, mr);
	CHECK(state(s.qp) == IBV_QPS_RTS, "still RTS: %d", state(s.qp));
	side_fini(&s);
	CHECK(!ibv_dereg_mr(mr), "dereg");
}

int main(void)
{
	ctx = open_first();
	if (ibv_query_device(ctx, &dev))
		DIE("query_device");
	pd = ibv_alloc_pd(ctx);
	cq = ibv_create_cq(ctx, 16, NULL, NULL, 0);
	if (!pd || !cq)
		DIE("setup");
	device();
	memory();
	queues();
	addresses();
	qp_create();
	qp_states();
	CHECK(!ibv_destroy_cq(cq), "cq");
	CHECK(!ibv_dealloc_pd(pd), "pd");
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
