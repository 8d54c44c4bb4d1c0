/* SPDX-License-Identifier: Apache-2.0 */
/* Destroying what others still use: EBUSY, and everything goes on working; in the right order all
 * of it goes away. */
#include "common.h"

int main(void)
{
	struct ibv_context *ctx = open_first();
	struct ibv_comp_channel *ch = ibv_create_comp_channel(ctx);
	struct ibv_pd *pd = ibv_alloc_pd(ctx);
	struct ibv_cq *cq = ch ? ibv_create_cq(ctx, 16, NULL, ch, 0) : NULL;
	struct ibv_srq_init_attr sa = {.attr = {.max_wr = 16, .max_sge = 1}};
	struct ibv_srq *srq = pd ? ibv_create_srq(pd, &sa) : NULL;
	struct ibv_qp_init_attr ia = {.send_cq = cq,
		.recv_cq = cq,
		.srq = srq,
		.cap = {4, 0, 1, 0, 0},
		.qp_type = IBV_QPT_RC};
	struct ibv_qp *qp = srq && cq ? ibv_create_qp(pd, &ia) : NULL;
	static char buf[4096];
	struct ibv_mr *mr;
	struct ibv_mw *mw;
	struct ibv_ah *ah;
	struct ibv_ah_attr aa = {.is_global = 1, .port_num = 1};
	int rc;

	if (!qp)
		DIE("setup");
	mr = ibv_reg_mr(pd, buf, sizeof(buf), ALL_ACCESS);
	if (!mr)
		DIE("reg_mr");
	CHECK((rc = ibv_dealloc_pd(pd)) == EBUSY, "pd with everything: %d", rc);
	CHECK((rc = ibv_destroy_cq(cq)) == EBUSY, "cq of a queue pair: %d", rc);
	CHECK((rc = ibv_destroy_srq(srq)) == EBUSY, "srq of a queue pair: %d", rc);
	CHECK((rc = ibv_destroy_comp_channel(ch)) == EBUSY, "channel of a cq: %d", rc);
	/* nothing was harmed */
	CHECK(!qp_init(qp), "queue pair after the attempts");
	CHECK(!ibv_destroy_qp(qp), "qp");
	CHECK((rc = ibv_dealloc_pd(pd)) == EBUSY, "pd with srq and mr: %d", rc);
	CHECK(!ibv_destroy_srq(srq), "srq");
	CHECK((rc = ibv_dealloc_pd(pd)) == EBUSY, "pd with mr: %d", rc);
	CHECK(!ibv_dereg_mr(mr), "mr");
	mw = ibv_alloc_mw(pd, IBV_MW_TYPE_1);
	if (mw) {
		CHECK((rc = ibv_dealloc_pd(pd)) == EBUSY, "pd with mw: %d", rc);
		CHECK(!ibv_dealloc_mw(mw), "mw");
	}
	ibv_query_gid(ctx, 1, 0, &aa.grh.dgid);
	ah = ibv_create_ah(pd, &aa);
	CHECK(ah, "create_ah: %s", strerror(errno));
	if (ah) {
		CHECK((rc = ibv_dealloc_pd(pd)) == EBUSY, "pd with ah: %d", rc);
		CHECK(!ibv_destroy_ah(ah), "ah");
	}
	CHECK(!ibv_dealloc_pd(pd), "pd");
	CHECK(!ibv_destroy_cq(cq), "cq");
	CHECK(!ibv_destroy_comp_channel(ch), "channel");
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
