/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong between two queue pairs, and what each side is told: protection errors of all
 * four kinds on either side, messages that do not fit, receivers that are not ready, flushes. The
 * statuses are the specification's.
 */
#include "common.h"

enum {
	LEN = 4096
};

static struct ibv_context *ctx;
static char *bufa, *bufb;

struct two {
	struct side a, b;
	struct ibv_mr *ma, *mb;
	struct ibv_pd *other;
};

static void up(struct two *t, int access_b)
{
	pair_init(&t->a, &t->b, ctx);
	t->ma = ibv_reg_mr(t->a.pd, bufa, LEN, ALL_ACCESS);
	t->mb = ibv_reg_mr(t->b.pd, bufb, LEN, access_b);
	t->other = ibv_alloc_pd(ctx);
	if (!t->ma || !t->mb || !t->other)
		DIE("setup");
}

static void down(struct two *t)
{
	CHECK(!ibv_dereg_mr(t->ma) && !ibv_dereg_mr(t->mb), "dereg");
	side_fini(&t->a);
	side_fini(&t->b);
	CHECK(!ibv_dealloc_pd(t->other), "pd");
}

static void expect(struct side *s, enum ibv_wc_status want, const char *what)
{
	struct ibv_wc wc = {0};

	CHECK(wait_wc(s->cq, &wc, 15), "%s: no completion", what);
	CHECK(wc.status == want, "%s: %s instead of %s", what, ibv_wc_status_str(wc.status),
		ibv_wc_status_str(want));
}

static enum ibv_qp_state state(struct ibv_qp *qp)
{
	struct ibv_qp_init_attr ia;
	struct ibv_qp_attr a;

	return ibv_query_qp(qp, &a, IBV_QP_STATE, &ia) ? IBV_QPS_UNKNOWN : a.qp_state;
}

static int post_recv(struct side *s, void *p, uint32_t len, uint32_t lkey)
{
	struct ibv_sge sge = {(uintptr_t)p, len, lkey};
	struct ibv_recv_wr *bad, wr = {.wr_id = 7, .sg_list = &sge, .num_sge = 1};

	return ibv_post_recv(s->qp, &wr, &bad);
}

/* The target refuses: key, bounds, rights, protection domain. */
static void remote_protection(enum ibv_wr_opcode op, int missing)
{
	static const char *const names[] = {"key", "beyond the end", "before the start", "rights",
		"protection domain", "stale key"};

	for (int kind = 0; kind < 6; kind++) {
		struct ibv_mr *foreign = NULL;
		struct two t;
		char *at = bufb;
		uint32_t rkey;

		up(&t, kind == 3 ? ALL_ACCESS & ~missing : ALL_ACCESS);
		rkey = t.mb->rkey;
		if (kind == 0)
			rkey ^= 0x5500;
		if (kind == 1)
			at = bufb + LEN - 63;
		if (kind == 2)
			at = bufb - 1;
		if (kind == 4) {
			foreign = ibv_reg_mr(t.other, bufb, LEN, ALL_ACCESS);
			rkey = foreign->rkey;
		}
		if (kind == 5) {
			foreign = ibv_reg_mr(t.b.pd, bufb, LEN, ALL_ACCESS);
			rkey = foreign->rkey;
			ibv_dereg_mr(foreign);
			foreign = NULL;
		}
		memset(bufa, 0x11, LEN);
		memset(bufb, 0x22, LEN);
		CHECK(!post_rdma(&t.a, op, bufa, 64, t.ma->lkey, at, rkey), "post");
		CHECK(!post_rdma(&t.a, op, bufa, 64, t.ma->lkey, bufb, t.mb->rkey), "post");
		expect(&t.a, IBV_WC_REM_ACCESS_ERR, names[kind]);
		expect(&t.a, IBV_WC_WR_FLUSH_ERR, "the one after it");
		CHECK(state(t.a.qp) == IBV_QPS_ERR, "requester's state %d", state(t.a.qp));
		CHECK(bufa[0] == 0x11 && bufb[0] == 0x22 && bufb[LEN - 1] == 0x22,
			"%s: memory was touched", names[kind]);
		if (foreign)
			ibv_dereg_mr(foreign);
		down(&t);
	}
}

/* The requester's own memory. */
static void local_protection(void)
{
	for (int kind = 0; kind < 3; kind++) {
		struct ibv_mr *foreign;
		struct two t;
		uint32_t lkey, off = 0;

		up(&t, ALL_ACCESS);
		foreign = ibv_reg_mr(t.other, bufa, LEN, ALL_ACCESS);
		lkey = kind == 0 ? t.ma->lkey ^ 0x5500 : kind == 1 ? foreign->lkey : t.ma->lkey;
		if (kind == 2)
			off = LEN - 10;
		CHECK(!post_rdma(&t.a, IBV_WR_RDMA_WRITE, bufa + off, 64, lkey, bufb, t.mb->rkey),
			"post");
		expect(&t.a, IBV_WC_LOC_PROT_ERR, "local key, domain, bounds");
		ibv_dereg_mr(foreign);
		down(&t);
	}
}

static void sends(void)
{
	struct ibv_qp_attr ra = rts_attr();
	struct two t;

	/* too long for the receive */
	up(&t, ALL_ACCESS);
	CHECK(!post_recv(&t.b, bufb, 100, t.mb->lkey), "recv");
	CHECK(!post_rdma(&t.a, IBV_WR_SEND, bufa, 200, t.ma->lkey, NULL, 0), "post");
	expect(&t.a, IBV_WC_REM_INV_REQ_ERR, "a SEND too long, sender");
	expect(&t.b, IBV_WC_LOC_LEN_ERR, "a SEND too long, receiver");
	down(&t);

	/* receive memory that is not the queue pair's */
	up(&t, ALL_ACCESS);
	CHECK(!post_recv(&t.b, bufb, 200, t.mb->lkey ^ 0x5500), "recv");
	CHECK(!post_rdma(&t.a, IBV_WR_SEND, bufa, 200, t.ma->lkey, NULL, 0), "post");
	expect(&t.a, IBV_WC_REM_OP_ERR, "a bad receive, sender");
	expect(&t.b, IBV_WC_LOC_PROT_ERR, "a bad receive, receiver");
	down(&t);

	/* nobody receives, ever */
	up(&t, ALL_ACCESS);
	ra.rnr_retry = 2;
	ra.qp_state = IBV_QPS_RTS;
	{
		struct ibv_qp_attr reset = {.qp_state = IBV_QPS_RESET};

		CHECK(!ibv_modify_qp(t.a.qp, &reset, IBV_QP_STATE), "reset");
		CHECK(!qp_init(t.a.qp), "init");
		struct ibv_qp_attr rtr = rtr_attr(t.b.qp->qp_num, t.b.gid);

		CHECK(!ibv_modify_qp(t.a.qp, &rtr, RTR_MASK), "rtr");
		CHECK(!ibv_modify_qp(t.a.qp, &ra, RTS_MASK), "rts");
	}
	CHECK(!post_rdma(&t.a, IBV_WR_SEND, bufa, 200, t.ma->lkey, NULL, 0), "post");
	expect(&t.a, IBV_WC_RNR_RETRY_EXC_ERR, "no receive");
	down(&t);

	/* somebody receives late */
	up(&t, ALL_ACCESS);
	memset(bufa, 0x77, 200);
	CHECK(!post_rdma(&t.a, IBV_WR_SEND, bufa, 200, t.ma->lkey, NULL, 0), "post");
	{
		struct ibv_wc wc;

		CHECK(!wait_wc(t.a.cq, &wc, 0.05), "completed without a receive");
	}
	CHECK(!post_recv(&t.b, bufb, 200, t.mb->lkey), "recv");
	expect(&t.a, IBV_WC_SUCCESS, "a late receive, sender");
	expect(&t.b, IBV_WC_SUCCESS, "a late receive, receiver");
	CHECK(!memcmp(bufa, bufb, 200), "data");
	down(&t);
}

static void flushes(void)
{
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_ERR};
	struct two t;

	up(&t, ALL_ACCESS);
	CHECK(!post_recv(&t.a, bufa, 64, t.ma->lkey), "recv");
	CHECK(!post_recv(&t.a, bufa, 64, t.ma->lkey), "recv");
	CHECK(!ibv_modify_qp(t.a.qp, &a, IBV_QP_STATE), "to ERR");
	expect(&t.a, IBV_WC_WR_FLUSH_ERR, "first receive");
	expect(&t.a, IBV_WC_WR_FLUSH_ERR, "second receive");
	/* posting in ERR is allowed, and flushed */
	CHECK(!post_recv(&t.a, bufa, 64, t.ma->lkey), "recv in ERR");
	expect(&t.a, IBV_WC_WR_FLUSH_ERR, "receive posted in ERR");
	CHECK(!post_rdma(&t.a, IBV_WR_RDMA_WRITE, bufa, 8, t.ma->lkey, bufb, t.mb->rkey),
		"send in ERR");
	expect(&t.a, IBV_WC_WR_FLUSH_ERR, "send posted in ERR");
	down(&t);
}

/* The peer is gone: retries run out, and soon with these attributes. */
static void nobody_there(void)
{
	struct two t;
	double start;

	up(&t, ALL_ACCESS);
	CHECK(!ibv_destroy_qp(t.b.qp), "destroy");
	start = now_s();
	CHECK(!post_rdma(&t.a, IBV_WR_RDMA_WRITE, bufa, 8, t.ma->lkey, bufb, t.mb->rkey), "post");
	expect(&t.a, IBV_WC_RETRY_EXC_ERR, "nobody there");
	CHECK(now_s() - start > 0.02, "gave up after only %.4f s", now_s() - start);
	CHECK(!ibv_dereg_mr(t.ma) && !ibv_dereg_mr(t.mb), "dereg");
	side_fini(&t.a);
	CHECK(!ibv_destroy_cq(t.b.cq) && !ibv_dealloc_pd(t.b.pd) && !ibv_dealloc_pd(t.other),
		"destroy");
}

int main(void)
{
	char *area =
		mmap(NULL, 4 * LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		DIE("mmap");
	bufa = area;
	bufb = area +
	       2 * LEN; /* with mapped memory before and behind: only the checks keep packets out */
	ctx = open_first();
	remote_protection(IBV_WR_RDMA_WRITE, IBV_ACCESS_REMOTE_WRITE);
	remote_protection(IBV_WR_RDMA_READ, IBV_ACCESS_REMOTE_READ);
	local_protection();
	sends();
	flushes();
	nobody_there();
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
