/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores blocks in remote memory by RDMA WRITE, one a millisecond, and has a bug in its error path
 * that no test on a healthy network finds; docs/faults.md finds it. Both ends are in this process.
 *
 *	cc -o store examples/store.c -libverbs
 *	flexins run -- ./store [--checked] [--verify] [BLOCKS]
 */
#include <infiniband/verbs.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096

static struct ibv_context *ctx;
static struct ibv_pd *pd;
static struct ibv_cq *cq;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct ibv_qp *qp_make(void)
{
	struct ibv_qp_init_attr init = {.send_cq = cq,
		.recv_cq = cq,
		.cap = {.max_send_wr = 16, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
		.qp_type = IBV_QPT_RC};
	struct ibv_qp *qp = ibv_create_qp(pd, &init);

	if (!qp)
		die("ibv_create_qp");
	return qp;
}

static void qp_connect(struct ibv_qp *qp, uint32_t peer, const union ibv_gid *gid)
{
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE};

	if (ibv_modify_qp(
		    qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		die("INIT");
	a = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = *gid, .hop_limit = 64}}};
	if (ibv_modify_qp(qp, &a,
		    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			    IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		die("RTR");
	a = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS,
		.timeout = 12,
		.retry_cnt = 3,
		.rnr_retry = 3,
		.max_rd_atomic = 1};
	if (ibv_modify_qp(qp, &a,
		    IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			    IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC))
		die("RTS");
}

/* 0, or what went wrong. */
static int store(struct ibv_qp *qp, struct ibv_mr *from, struct ibv_mr *to, size_t n, int checked)
{
	struct ibv_sge sge = {(uintptr_t)from->addr + n * BLOCK, BLOCK, from->lkey};
	struct ibv_send_wr wr = {.wr_id = n,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {(uintptr_t)to->addr + n * BLOCK, to->rkey}};
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	int got;

	if (ibv_post_send(qp, &wr, &bad))
		return IBV_WC_GENERAL_ERR;
	while ((got = ibv_poll_cq(cq, 1, &wc)) == 0)
		;
	if (got < 0)
		return IBV_WC_GENERAL_ERR;
	/* The bug, without --checked: a completion is not a success. */
	return checked ? (int)wc.status : IBV_WC_SUCCESS;
}

int main(int argc, char **argv)
{
	int checked = 0, verify = 0, n, status;
	size_t blocks = 3000, missing = 0;
	struct ibv_device **list = ibv_get_device_list(&n);
	struct ibv_mr *from, *to;
	struct ibv_qp *a, *b;
	union ibv_gid gid;
	char *mem;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--checked") == 0)
			checked = 1;
		else if (strcmp(argv[i], "--verify") == 0)
			verify = 1;
		else
			blocks = (size_t)atoi(argv[i]);
	}
	ctx = list && n ? ibv_open_device(list[0]) : NULL;
	if (!ctx || !(pd = ibv_alloc_pd(ctx)) || !(cq = ibv_create_cq(ctx, 64, NULL, NULL, 0)) ||
		ibv_query_gid(ctx, 1, 0, &gid))
		die("no device: run it under flexins run");
	mem = calloc(2 * blocks, BLOCK);
	if (!mem)
		die("calloc");
	memset(mem, 0x5a, blocks * BLOCK);
	from = ibv_reg_mr(pd, mem, blocks * BLOCK, IBV_ACCESS_LOCAL_WRITE);
	to = ibv_reg_mr(pd, mem + blocks * BLOCK, blocks * BLOCK,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (!from || !to)
		die("ibv_reg_mr");
	a = qp_make();
	b = qp_make();
	qp_connect(a, b->qp_num, &gid);
	qp_connect(b, a->qp_num, &gid);
	printf("pid %d, queue pair 0x%06x\n", (int)getpid(), a->qp_num);
	fflush(stdout);

	for (size_t i = 0; i < blocks; i++) {
		status = store(a, from, to, i, checked);
		if (status) {
			printf("block %zu: %s; giving up\n", i, ibv_wc_status_str(status));
			return 1;
		}
		usleep(1000);
	}
	printf("stored %zu blocks\n", blocks);
	for (size_t i = 0; i < blocks; i++)
		missing += memcmp(mem + i * BLOCK, mem + (blocks + i) * BLOCK, BLOCK) != 0;
	if (verify && missing)
		printf("but %zu of them are not there\n", missing);
	return verify && missing ? 2 : 0;
}
