/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A linked list in a server's memory, walked by a client: with one READ for each hop, as RDMA does
 * it, and with one request to an offload handler. The client is a plain verbs program: of FlexiNS
 *it knows the format of requests and replies.
 *
 *	cc -o walk walk.c -libverbs
 *	flexins run -- ./walk [-n NODES] [-e FILE]         the server; FILE: an eBPF handler
 *	flexins run -- ./walk [-h HOPS] [-q QUERIES] HOST  the client; -x: hostile requests as well
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <infiniband/verbs.h>

#include <flexins/offload.h>
#include <flexins/offload_server.h>

#define PORT       "18600"
#define WALK       1u /* service numbers */
#define GATHER     2u
#define SMALL      3u /* a handler that is allowed four steps */
#define DEPTH      32u
#define BUF        (4u << 20)
#define NODE_WORDS (FNS_OFFLOAD_NODE / 8)

#define DIE(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "walk: " __VA_ARGS__);                                             \
		fprintf(stderr, ": %s\n", strerror(errno));                                        \
		exit(1);                                                                           \
	} while (0)

struct end {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr, *list_mr;
	uint8_t *buf;
	uint64_t *list;
	uint64_t nodes;
	int sock;
};

/* What both tell each other by TCP. */
struct hello {
	uint32_t qpn, rkey;
	uint64_t list, nodes;
	union ibv_gid gid;
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint64_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

/* --- verbs --- */

static void open_end(struct end *e)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	if (!list || !list[0])
		DIE("no RDMA device");
	e->ctx = ibv_open_device(list[0]);
	e->pd = e->ctx ? ibv_alloc_pd(e->ctx) : NULL;
	e->buf = aligned_alloc(4096, BUF);
	e->mr = e->pd && e->buf ? ibv_reg_mr(e->pd, e->buf, BUF,
					  IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)
				: NULL;
	e->cq = e->ctx ? ibv_create_cq(e->ctx, 256, NULL, NULL, 0) : NULL;
	if (!e->mr || !e->cq)
		DIE("cannot set up");
	ibv_free_device_list(list);
}

static void make_qp(struct end *e)
{
	struct ibv_qp_init_attr ia = {.send_cq = e->cq,
		.recv_cq = e->cq,
		.qp_type = IBV_QPT_RC,
		.cap = {DEPTH, DEPTH, 1, 1, 64}};

	e->qp = ibv_create_qp(e->pd, &ia);
	if (!e->qp)
		DIE("ibv_create_qp");
}

static void connect_qp(struct end *e, const struct hello *peer)
{
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE};
	int rc = ibv_modify_qp(
		e->qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);

	a = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer->qpn,
		.rq_psn = 1,
		.max_dest_rd_atomic = 8,
		.min_rnr_timer = 1,
		.ah_attr = {.is_global = 1,
			.port_num = 1,
			.grh = {.dgid = peer->gid, .hop_limit = 64}}};
	if (!rc)
		rc = ibv_modify_qp(e->qp, &a,
			IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	a = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS,
		.timeout = 12,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.sq_psn = 1,
		.max_rd_atomic = 8};
	if (!rc)
		rc = ibv_modify_qp(e->qp, &a,
			IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	errno = rc;
	if (rc)
		DIE("ibv_modify_qp");
}

static void exchange(struct end *e, struct hello *peer)
{
	struct hello me = {.qpn = e->qp->qp_num,
		.rkey = e->list_mr ? e->list_mr->rkey : 0,
		.list = (uintptr_t)e->list,
		.nodes = e->nodes};

	if (ibv_query_gid(e->ctx, 1, 0, &me.gid))
		DIE("ibv_query_gid");
	if (write(e->sock, &me, sizeof(me)) != sizeof(me) ||
		recv(e->sock, peer, sizeof(*peer), MSG_WAITALL) != sizeof(*peer))
		DIE("the other side is gone");
}

static void post_recv(struct end *e, uint32_t off, uint32_t len)
{
	struct ibv_sge sge = {(uintptr_t)e->buf + off, len, e->mr->lkey};
	struct ibv_recv_wr *bad, wr = {.sg_list = &sge, .num_sge = 1};

	if (ibv_post_recv(e->qp, &wr, &bad))
		DIE("ibv_post_recv");
}

static void post_send(struct end *e, enum ibv_wr_opcode op, uint32_t off, uint32_t len,
	uint64_t raddr, uint32_t rkey, bool signalled)
{
	struct ibv_sge sge = {(uintptr_t)e->buf + off, len, e->mr->lkey};
	struct ibv_send_wr *bad, wr = {.sg_list = &sge,
					 .num_sge = 1,
					 .opcode = op,
					 .send_flags = signalled ? IBV_SEND_SIGNALED : 0,
					 .wr.rdma = {raddr, rkey}};

	if (ibv_post_send(e->qp, &wr, &bad))
		DIE("ibv_post_send");
}

/* The completion of an operation of this kind; others in between are not expected. */
static void wait_for(struct end *e, enum ibv_wc_opcode op)
{
	struct ibv_wc wc;
	double end = now_us() + 10e6;
	int n;

	do {
		n = ibv_poll_cq(e->cq, 1, &wc);
		if (n && wc.status != IBV_WC_SUCCESS) {
			fprintf(stderr, "walk: %s\n", ibv_wc_status_str(wc.status));
			exit(1);
		}
	} while ((n == 0 || wc.opcode != op) && now_us() < end);
	if (n == 0) {
		fprintf(stderr, "walk: no completion within 10 s\n");
		exit(1);
	}
}

/* --- server --- */

/* One circle through all nodes, in random order; the key of a node is its number. */
static void make_list(struct end *e)
{
	uint64_t *order = malloc(e->nodes * sizeof(*order));

	e->list = aligned_alloc(4096, (e->nodes * FNS_OFFLOAD_NODE + 4095) & ~4095ull);
	if (!order || !e->list)
		DIE("no memory for the list");
	for (uint64_t i = 0; i < e->nodes; i++)
		order[i] = i;
	for (uint64_t i = e->nodes - 1; i > 0; i--) {
		uint64_t k = rnd() % (i + 1), t = order[i];

		order[i] = order[k];
		order[k] = t;
	}
	for (uint64_t i = 0; i < e->nodes; i++) {
		uint64_t *n = e->list + order[i] * NODE_WORDS;

		n[0] = (uintptr_t)(e->list + order[(i + 1) % e->nodes] * NODE_WORDS);
		n[1] = order[i];
		for (unsigned w = FNS_OFFLOAD_NODE_VALUE / 8; w < NODE_WORDS; w++)
			n[w] = order[i] * 1000 + w;
	}
	free(order);
	e->list_mr = ibv_reg_mr(e->pd, e->list, e->nodes * FNS_OFFLOAD_NODE,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
	if (!e->list_mr)
		DIE("ibv_reg_mr");
}

static void load(struct end *e, const char *file)
{
	static uint8_t elf[1 << 16];
	char why[256];
	int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, elf, sizeof(elf));

	if (n < 0)
		DIE("%s", file);
	close(fd);
	errno = flexins_offload_load(e->ctx, "walk-ebpf", elf, (size_t)n, why, sizeof(why));
	if (errno)
		DIE("%s: %s", file, why);
}

static void bind_service(struct end *e, uint32_t service, const char *handler, uint32_t steps)
{
	struct fns_offload_binding b = {.size = sizeof(b),
		.service = service,
		.max_steps = steps,
		.max_request = 3 << 20,
		.depth = 4,
		.nregions = 1};

	strcpy(b.handler, handler);
	b.region[0] = (struct fns_offload_region){.addr = (uintptr_t)e->list,
		.len = e->nodes * FNS_OFFLOAD_NODE,
		.key = e->list_mr->lkey,
		.rights = FNS_OFFLOAD_READ};
	errno = flexins_offload_bind(e->qp, NULL, &b);
	if (errno)
		DIE("cannot bind %s", handler);
}

static void serve(struct end *e, const char *handler)
{
	struct hello peer;
	struct ibv_wc wc;
	char c;

	make_qp(e);
	bind_service(e, WALK, handler, 0);
	bind_service(e, GATHER, "gather", 1 << 20);
	bind_service(e, SMALL, handler, 4);
	exchange(e, &peer);
	connect_qp(e, &peer);
	/* One SEND that is no request goes to the program, as ever. */
	post_recv(e, 0, 4096);
	if (write(e->sock, "r", 1) != 1)
		DIE("the client is gone");
	for (unsigned i = 0;; i++) {
		if (ibv_poll_cq(e->cq, 1, &wc) && wc.status == IBV_WC_SUCCESS)
			printf("a message: %.40s\n", (const char *)e->buf);
		if (i % 1024 == 0 && recv(e->sock, &c, 1, MSG_DONTWAIT) == 0)
			break;
	}
	ibv_destroy_qp(e->qp);
	close(e->sock);
}

static void server(struct end *e, const char *file, bool once)
{
	struct addrinfo hint = {.ai_flags = AI_PASSIVE,
				.ai_socktype = SOCK_STREAM,
				.ai_family = AF_INET},
			*ai;
	struct fns_offload_counters count;
	const char *handler = file ? "walk-ebpf" : "list-walk";
	int s, on = 1;

	open_end(e);
	make_list(e);
	if (file)
		load(e, file);
	if (getaddrinfo(NULL, PORT, &hint, &ai))
		DIE("getaddrinfo");
	s = socket(ai->ai_family, ai->ai_socktype, 0);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, ai->ai_addr, ai->ai_addrlen) || listen(s, 4))
		DIE("port " PORT);
	freeaddrinfo(ai);
	printf("%llu nodes; waiting\n", (unsigned long long)e->nodes);
	fflush(stdout);
	do {
		e->sock = accept(s, NULL, NULL);
		if (e->sock < 0)
			DIE("accept");
		serve(e, handler);
		if (flexins_offload_count(e->ctx, handler, &count) == 0)
			printf("%s: %llu requests, %llu steps\n", handler,
				(unsigned long long)count.requests,
				(unsigned long long)count.steps);
		fflush(stdout);
	} while (!once);
	close(s);
}

/* --- client --- */

#define REPLY_AT 4096u      /* in buf: replies */
#define OUT_AT   (3u << 20) /* what is WRITTEN to us */
#define OUT_LEN  (1u << 20)

static const struct fns_offload_reply *call(
	struct end *e, uint32_t service, uint32_t args_len, uint32_t out_len)
{
	struct fns_offload_request *q = (void *)(e->buf + 65536);

	*q = (struct fns_offload_request){.magic = FNS_OFFLOAD_MAGIC,
		.service = service,
		.tag = 9,
		.out_addr = out_len ? (uintptr_t)e->buf + OUT_AT : 0,
		.out_rkey = e->mr->rkey,
		.out_len = out_len};
	post_recv(e, REPLY_AT, 16384);
	post_send(e, IBV_WR_SEND, 65536, (uint32_t)sizeof(*q) + args_len, 0, 0, true);
	wait_for(e, IBV_WC_RECV);
	return (const void *)(e->buf + REPLY_AT);
}

static void *args_of(struct end *e)
{
	return e->buf + 65536 + sizeof(struct fns_offload_request);
}

static uint64_t walk_offloaded(struct end *e, uint64_t head, uint32_t hops)
{
	const struct fns_offload_walk w = {.head = head, .hops = hops};
	const struct fns_offload_reply *r;
	uint64_t value;

	memcpy(args_of(e), &w, sizeof(w));
	r = call(e, WALK, sizeof(w), 0);
	if (r->status != FNS_OFFLOAD_OK || r->len != 64) {
		fprintf(stderr, "walk: status %u, code %u, %u bytes\n", r->status, r->code, r->len);
		exit(1);
	}
	memcpy(&value, r + 1, sizeof(value));
	return value;
}

static uint64_t walk_by_reads(struct end *e, const struct hello *peer, uint64_t head, uint32_t hops)
{
	uint64_t node[NODE_WORDS];

	for (;;) {
		post_send(e, IBV_WR_RDMA_READ, 0, FNS_OFFLOAD_NODE, head, peer->rkey, true);
		wait_for(e, IBV_WC_RDMA_READ);
		memcpy(node, e->buf, sizeof(node));
		if (hops-- == 0)
			return node[FNS_OFFLOAD_NODE_VALUE / 8];
		head = node[0];
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int fails;

static void expect(const char *what, const struct fns_offload_reply *r, uint32_t status)
{
	bool ok = r->magic == FNS_OFFLOAD_MAGIC && r->tag == 9 && r->status == status;

	printf("%-40s status %u%s\n", what, r->status, ok ? "" : "   WRONG");
	fails += !ok;
}

static void spans(struct end *e, uint64_t count, uint32_t n, uint64_t addr, uint32_t len)
{
	uint64_t *a = args_of(e);
	struct fns_offload_span *s = (void *)(a + 1);

	*a = count;
	for (uint32_t i = 0; i < n; i++)
		s[i] = (struct fns_offload_span){addr + 8 * (uint64_t)i, len, 0};
}

/* Each must be answered, and the next request be served as if nothing had been. */
static void hostile(struct end *e, const struct hello *peer)
{
	const uint32_t each = sizeof(struct fns_offload_span), most = FNS_OFFLOAD_SPANS;
	const struct fns_offload_reply *r;
	struct fns_offload_walk w = {.head = peer->list, .hops = 1};

	expect("no such service", call(e, 77, 0, 0), FNS_OFFLOAD_NO_SERVICE);
	expect("no arguments", call(e, WALK, 0, 0), FNS_OFFLOAD_REFUSED);
	spans(e, most + 1, most + 1, peer->list, 8);
	expect("131073 spans", call(e, GATHER, 8 + (most + 1) * each, OUT_LEN),
		FNS_OFFLOAD_REFUSED);
	spans(e, 1ull << 60, 4, peer->list, 8);
	expect("a count that wraps", call(e, GATHER, 8 + 4 * each, OUT_LEN), FNS_OFFLOAD_REFUSED);
	spans(e, 4, 4, peer->list, UINT32_MAX);
	expect("lengths that wrap", call(e, GATHER, 8 + 4 * each, OUT_LEN), FNS_OFFLOAD_BYTES);
	spans(e, 4, 4, UINT64_MAX - 20, 8);
	expect("addresses that wrap", call(e, GATHER, 8 + 4 * each, OUT_LEN), FNS_OFFLOAD_ACCESS);
	spans(e, 4, 4, peer->list - 8, 8);
	expect("before the region", call(e, GATHER, 8 + 4 * each, OUT_LEN), FNS_OFFLOAD_ACCESS);
	spans(e, 4, 4, peer->list, 8);
	expect("more than the buffer", call(e, GATHER, 8 + 4 * each, 31), FNS_OFFLOAD_NO_ROOM);
	memcpy(args_of(e), &w, sizeof(w));
	w.hops = 100;
	memcpy(args_of(e), &w, sizeof(w));
	expect("more steps than allowed", call(e, SMALL, sizeof(w), 0), FNS_OFFLOAD_STEPS);
	w.head = 64;
	memcpy(args_of(e), &w, sizeof(w));
	expect("a list elsewhere", call(e, WALK, sizeof(w), 0), FNS_OFFLOAD_ACCESS);
	/* And as many as there may be, overlapping. */
	if (peer->nodes * FNS_OFFLOAD_NODE < 8ull * most + 8)
		return;
	spans(e, most, most, peer->list, 8);
	r = call(e, GATHER, 8 + most * each, OUT_LEN);
	expect("131072 spans", r, FNS_OFFLOAD_OK);
	if (r->written != 8ull * most || r->value != 8ull * most)
		fails++;
	memcpy(e->buf, "not a request", 14);
	post_send(e, IBV_WR_SEND, 0, 14, 0, 0, true);
	wait_for(e, IBV_WC_SEND);
}

static int dial(const char *host)
{
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *ai;
	int s, on = 1;

	if (getaddrinfo(host, PORT, &hint, &ai)) {
		fprintf(stderr, "walk: %s: no such host\n", host);
		exit(1);
	}
	s = socket(ai->ai_family, ai->ai_socktype, 0);
	if (connect(s, ai->ai_addr, ai->ai_addrlen))
		DIE("%s", host);
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	freeaddrinfo(ai);
	return s;
}

static int client(struct end *e, const char *host, uint32_t hops, unsigned queries, bool attack)
{
	double *t[2] = {calloc(queries, sizeof(double)), calloc(queries, sizeof(double))}, from;
	struct hello peer;
	char c;

	open_end(e);
	e->sock = dial(host);
	make_qp(e);
	exchange(e, &peer);
	connect_qp(e, &peer);
	if (read(e->sock, &c, 1) != 1)
		DIE("the server is gone");
	if (attack)
		hostile(e, &peer);
	/* Taken in turn, so that whatever else the machine does meets both. */
	for (unsigned i = 0; i < queries; i++) {
		uint64_t head = peer.list + rnd() % peer.nodes * FNS_OFFLOAD_NODE, a, b;

		from = now_us();
		a = walk_by_reads(e, &peer, head, hops);
		t[0][i] = now_us() - from;
		from = now_us();
		b = walk_offloaded(e, head, hops);
		t[1][i] = now_us() - from;
		if (a != b) {
			fprintf(stderr, "walk: the two disagree\n");
			fails++;
			break;
		}
	}
	for (unsigned i = 0; i < 2; i++)
		qsort(t[i], queries, sizeof(double), by_value);
	printf("%u hops: one READ each %.2f us, offloaded %.2f us, %.1f times (medians of %u)\n",
		hops, t[0][queries / 2], t[1][queries / 2], t[0][queries / 2] / t[1][queries / 2],
		queries);
	printf("p99: %.2f us, %.2f us\n", t[0][queries * 99ull / 100], t[1][queries * 99ull / 100]);
	printf("%s\n", fails ? "FAILED" : "all as it should be");
	return fails != 0;
}

int main(int argc, char **argv)
{
	struct end e = {.nodes = 600000};
	const char *file = NULL;
	uint32_t hops = 16;
	unsigned queries = 2000;
	bool attack = false, once = false;
	int c;

	while ((c = getopt(argc, argv, "n:e:h:q:x1")) != -1) {
		switch (c) {
		case 'n':
			e.nodes = strtoull(optarg, NULL, 10);
			break;
		case 'e':
			file = optarg;
			break;
		case 'h':
			hops = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			queries = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'x':
			attack = true;
			break;
		case '1':
			once = true;
			break;
		default:
			return 2;
		}
	}
	if (optind < argc)
		return client(&e, argv[optind], hops, queries ? queries : 1, attack);
	server(&e, file, once);
	return 0;
}
