/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After fork the child's contexts are dead: verbs fail there, do not hang, and harm nothing of the
 * parent, whose traffic goes on.
 */
#include "common.h"

enum {
	LEN = 4096
};

static void child(struct side *a, struct ibv_mr *mr, char *buf)
{
	struct ibv_wc wc;
	int rc;

	alarm(10); /* hanging is the failure looked for */
	rc = post_rdma(a, IBV_WR_RDMA_WRITE, buf, LEN, mr->lkey, buf, mr->rkey);
	if (rc == 0)
		(void)ibv_poll_cq(a->cq, 1, &wc);
	if (ibv_alloc_pd(a->ctx))
		_exit(2);
	(void)ibv_destroy_qp(a->qp);
	(void)ibv_close_device(a->ctx);
	_exit(0);
}

int main(void)
{
	struct side a, b;
	char *pa = aligned_alloc(4096, LEN), *pb = aligned_alloc(4096, LEN);
	struct ibv_mr *ma, *mb;

	pair_init(&a, &b, open_first());
	ma = ibv_reg_mr(a.pd, pa, LEN, ALL_ACCESS);
	mb = ibv_reg_mr(b.pd, pb, LEN, ALL_ACCESS);
	if (!ma || !mb)
		DIE("reg_mr");
	for (int i = 0; i < 6; i++) {
		struct ibv_wc wc = {0};
		pid_t pid = i % 2 ? 0 : -1;
		int st = 0;

		memset(pa, i + 1, LEN);
		memset(pb, 0, LEN);
		if (i % 2) {
			pid = fork();
			if (pid == 0)
				child(&a, ma, pa);
		}
		CHECK(!post_rdma(&a, IBV_WR_RDMA_WRITE, pa, LEN, ma->lkey, pb, mb->rkey), "post");
		CHECK(wait_wc(a.cq, &wc, 10) && wc.status == IBV_WC_SUCCESS, "round %d: status %d",
			i, wc.status);
		CHECK(!memcmp(pa, pb, LEN), "data, round %d", i);
		if (pid > 0) {
			waitpid(pid, &st, 0);
			CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 0, "child: status 0x%x", st);
		}
	}
	/* and no child is left that the application did not make */
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a child that is not ours");
	ibv_dereg_mr(ma);
	ibv_dereg_mr(mb);
	side_fini(&a);
	side_fini(&b);
	return finish();
}
