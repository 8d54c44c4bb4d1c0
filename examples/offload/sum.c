/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the handler of sum_handler.c, binds it and calls it. Both ends are in this process, to be
 * short; the client's half is plain verbs and could be anywhere.
 *
 *	cc -o sum sum.c -libverbs
 *	flexins run -- ./sum sum_handler.o
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <infiniband/verbs.h>

#include <flexins/offload_server.h>

#define NUMBERS 100000u
#define SERVICE 1u

static struct ibv_context *ctx;
static struct ibv_pd *pd;
static struct ibv_cq *cq;

static void die(const char *what)
{
	fprintf(stderr, "sum: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct ibv_qp *make_qp(void)
{
	struct ibv_qp_init_attr ia = {
		.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC, .cap = {8, 8, 1, 1, 64}};
	struct ibv_qp *qp = ibv_create_qp(pd, &ia);

	if (!qp)
		die("ibv_create_qp");
	return qp;
}

static void connect_qp(struct ibv_qp *qp, uint32_t dest)
{
	struct ibv_qp_attr init = {.qp_state = IBV_QPS_INIT, .port_num = 1};
	struct ibv_qp_attr rtr = {.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = dest,
		.ah_attr = {.is_global = 1, .port_num = 1, .grh = {.hop_limit = 64}}};
	struct ibv_qp_attr rts = {
		.qp_state = IBV_QPS_RTS, .timeout = 12, .retry_cnt = 7, .rnr_retry = 7};

	if (ibv_query_gid(ctx, 1, 0, &rtr.ah_attr.grh.dgid))
		die("ibv_query_gid");
	errno = ibv_modify_qp(
		qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	if (!errno)
		errno = ibv_modify_qp(qp, &rtr,
			IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	if (!errno)
		errno = ibv_modify_qp(qp, &rts,
			IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	if (errno)
		die("ibv_modify_qp");
}

/* The server's half: loads the handler, and binds it to a queue pair with memory to work on. */
static void serve(struct ibv_qp *qp, const char *file, struct ibv_mr *numbers)
{
	struct fns_offload_binding b = {
		.size = sizeof(b), .service = SERVICE, .handler = "sum", .nregions = 1};
	static char elf[65536];
	char why[256];
	int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, elf, sizeof(elf));

	if (n < 0)
		die(file);
	close(fd);
	errno = flexins_offload_load(ctx, "sum", elf, (size_t)n, why, sizeof(why));
	if (errno)
		die(*why ? why : "cannot load");
	b.region[0] = (struct fns_offload_region){.addr = (uintptr_t)numbers->addr,
		.len = numbers->length,
		.key = numbers->lkey,
		.rights = FNS_OFFLOAD_READ};
	errno = flexins_offload_bind(qp, NULL, &b);
	if (errno)
		die("cannot bind");
}

/* The client's half: a SEND, and a receive for the answer. */
static struct fns_offload_reply call(
	struct ibv_qp *qp, struct ibv_mr *mr, uint64_t addr, uint64_t count)
{
	struct {
		struct fns_offload_request q;
		uint64_t addr, count;
	} *msg = mr->addr;
	struct fns_offload_reply *reply = (void *)(msg + 1);
	struct ibv_sge out = {(uintptr_t)msg, sizeof(*msg), mr->lkey};
	struct ibv_sge in = {(uintptr_t)reply, sizeof(*reply), mr->lkey};
	struct ibv_recv_wr *bad_recv, recv = {.sg_list = &in, .num_sge = 1};
	struct ibv_send_wr *bad_send, send = {.sg_list = &out,
					      .num_sge = 1,
					      .opcode = IBV_WR_SEND,
					      .send_flags = IBV_SEND_SIGNALED};
	time_t end = time(NULL) + 10;
	struct ibv_wc wc;
	int got = 0;

	msg->q = (struct fns_offload_request){.magic = FNS_OFFLOAD_MAGIC, .service = SERVICE};
	msg->addr = addr;
	msg->count = count;
	if (ibv_post_recv(qp, &recv, &bad_recv) || ibv_post_send(qp, &send, &bad_send))
		die("cannot post");
	while (got < 2 && time(NULL) < end)
		if (ibv_poll_cq(cq, 1, &wc) == 1) {
			if (wc.status != IBV_WC_SUCCESS)
				die(ibv_wc_status_str(wc.status));
			got++;
		}
	if (got < 2)
		die("no answer");
	return *reply;
}

int main(int argc, char **argv)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	uint64_t *numbers = malloc(NUMBERS * sizeof(*numbers)), want = 0;
	struct ibv_qp *server, *client;
	struct ibv_mr *mr, *msg;
	struct fns_offload_reply r;

	if (argc != 2 || !devices || !devices[0] || !numbers)
		die("usage: sum FILE, where there is an RDMA device");
	ctx = ibv_open_device(devices[0]);
	pd = ctx ? ibv_alloc_pd(ctx) : NULL;
	cq = ctx ? ibv_create_cq(ctx, 64, NULL, NULL, 0) : NULL;
	for (unsigned i = 0; i < NUMBERS; i++)
		want += numbers[i] = (uint64_t)i * i;
	mr = pd ? ibv_reg_mr(pd, numbers, NUMBERS * sizeof(*numbers), IBV_ACCESS_LOCAL_WRITE)
		: NULL;
	msg = pd ? ibv_reg_mr(pd, malloc(4096), 4096, IBV_ACCESS_LOCAL_WRITE) : NULL;
	if (!cq || !mr || !msg)
		die("cannot set up");
	server = make_qp();
	client = make_qp();
	connect_qp(server, client->qp_num);
	connect_qp(client, server->qp_num);
	serve(server, argv[1], mr);

	r = call(client, msg, (uintptr_t)numbers, NUMBERS);
	printf("status %u, sum %llu in %u steps, expected %llu\n", r.status,
		(unsigned long long)r.value, r.steps, (unsigned long long)want);
	if (r.status != FNS_OFFLOAD_OK || r.value != want)
		return 1;
	/* The memory was bound, but not what lies behind it. */
	r = call(client, msg, (uintptr_t)numbers, NUMBERS + 1);
	printf("one number too many: status %u\n", r.status);
	return r.status != FNS_OFFLOAD_ACCESS;
}
