/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many queue pairs, and none at work: what perftest cannot ask. A plain verbs program; its two
 * processes are a client on CPU 0 and a server on CPU 1.
 *
 *	queue_pairs write [NUMBER] [SIZE] [MS]	WRITEs on RC queue pairs chosen at random, 128 of
 *						them under way; throughput, processor time of the
 *						server for one, memory of a queue pair
 *	queue_pairs idle [MS]			sleeps with a connected queue pair after a little
 *						traffic; processor time of either process
 *
 * Prints one JSON object. Run it by `flexins run`; bench/run does.
 */
#include <infiniband/verbs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	WINDOW = 128,       /* WRITEs under way */
	DEPTH_OF_MANY = 16, /* send queue of each, where there are many */
	BUFFER = 4 << 20,
	MAX_NUMBER = 60000,
	MAX_SIZE = 1 << 20,
	BATCH = 32,
	PATIENCE_MS = 30000 /* without a single completion */
};

struct side {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	struct ibv_qp **qp;
	uint8_t *buf;
	uint32_t number;
	union ibv_gid gid;
	enum ibv_mtu mtu;
};

/* What a side tells the other. Queue pair numbers follow. */
struct hello {
	uint64_t addr;
	uint32_t rkey;
	union ibv_gid gid;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "queue_pairs: %s failed\n", what);
	exit(1);
}

static void require(bool ok, const char *what)
{
	if (!ok)
		die(what);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* one CPU only: measures that, then */
}

static uint64_t resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void tell(int fd, const void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, (const char *)data + at, len - at);

		require(n > 0, "talking to the other process");
		at += (size_t)n;
	}
}

static void hear(int fd, void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, (char *)data + at, len - at);

		require(n > 0, "hearing of the other process");
		at += (size_t)n;
	}
}

static void side_open(struct side *s, uint32_t number)
{
	struct ibv_port_attr port;
	int n;
	struct ibv_device **list = ibv_get_device_list(&n);

	require(list && n > 0, "finding a device");
	s->number = number;
	s->ctx = ibv_open_device(list[0]);
	require(s->ctx, "ibv_open_device");
	ibv_free_device_list(list);
	require(posix_memalign((void **)&s->buf, 4096, BUFFER) == 0, "memory");
	memset(s->buf, 1, BUFFER);
	s->pd = ibv_alloc_pd(s->ctx);
	s->cq = ibv_create_cq(s->ctx, 2 * WINDOW, NULL, NULL, 0);
	require(s->pd && s->cq, "ibv_create_cq");
	s->mr = ibv_reg_mr(s->pd, s->buf, BUFFER, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	require(s->mr, "ibv_reg_mr");
	require(ibv_query_gid(s->ctx, 1, 0, &s->gid) == 0, "ibv_query_gid");
	require(ibv_query_port(s->ctx, 1, &port) == 0, "ibv_query_port");
	s->mtu = port.active_mtu;
	s->qp = calloc(number, sizeof(*s->qp));
	require(s->qp, "memory");
}

static void qp_create(struct side *s, uint32_t i)
{
	struct ibv_qp_init_attr init = {.send_cq = s->cq,
		.recv_cq = s->cq,
		.qp_type = IBV_QPT_RC,
		.cap = {.max_send_wr = s->number > 1 ? DEPTH_OF_MANY : WINDOW,
			.max_recv_wr = 1,
			.max_send_sge = 1,
			.max_recv_sge = 1}};
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE};

	s->qp[i] = ibv_create_qp(s->pd, &init);
	require(s->qp[i], "ibv_create_qp");
	require(ibv_modify_qp(s->qp[i], &a,
			IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) == 0,
		"ibv_modify_qp to INIT");
}

static void qp_connect(struct ibv_qp *qp, uint32_t peer, union ibv_gid gid, enum ibv_mtu mtu)
{
	struct ibv_qp_attr a = {.qp_state = IBV_QPS_RTR,
		.path_mtu = mtu,
		.dest_qp_num = peer,
		.ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = gid, .hop_limit = 64}},
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 1};

	require(ibv_modify_qp(qp, &a,
			IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) ==
			0,
		"ibv_modify_qp to RTR");
	a.qp_state = IBV_QPS_RTS;
	require(ibv_modify_qp(qp, &a,
			IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC) == 0,
		"ibv_modify_qp to RTS");
}

/* Creates and connects all, and returns what the other side said of its memory. */
static struct hello side_connect(struct side *s, int fd)
{
	uint32_t *qpn = calloc(s->number, sizeof(*qpn));
	struct hello me = {(uintptr_t)s->buf, s->mr->rkey, s->gid}, peer;

	require(qpn, "memory");
	for (uint32_t i = 0; i < s->number; i++) {
		qp_create(s, i);
		qpn[i] = s->qp[i]->qp_num;
	}
	/* One by one, so that neither fills its pipe while the other does the same. */
	tell(fd, &me, sizeof(me));
	hear(fd, &peer, sizeof(peer));
	for (uint32_t i = 0; i < s->number; i++) {
		uint32_t other;

		tell(fd, &qpn[i], sizeof(qpn[i]));
		hear(fd, &other, sizeof(other));
		qp_connect(s->qp[i], other, peer.gid, s->mtu);
	}
	tell(fd, "", 1); /* ready to be written to */
	hear(fd, qpn, 1);
	free(qpn);
	return peer;
}

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* WRITEs for so long; returns how many, and sets how long it took. */
static uint64_t blast(
	struct side *s, const struct hello *peer, uint32_t size, uint64_t ms, uint64_t *ns)
{
	uint8_t *under_way = calloc(s->number, 1);
	uint32_t seed = 4791, out = 0, slots = BUFFER / size,
		 depth = s->number > 1 ? DEPTH_OF_MANY : WINDOW;
	uint64_t start = clock_ns(CLOCK_MONOTONIC), now = start, moved = start, done = 0;
	bool stop = false;

	require(under_way, "memory");
	while (!stop || out) {
		struct ibv_wc wc[BATCH];
		int n;

		for (int tries = 0; !stop && out < WINDOW && tries < WINDOW; tries++) {
			uint32_t i = random_next(&seed) % s->number,
				 slot = random_next(&seed) % slots;
			struct ibv_sge sge = {
				(uintptr_t)s->buf + (uint64_t)slot * size, size, s->mr->lkey};
			struct ibv_send_wr wr = {.wr_id = i,
						   .sg_list = &sge,
						   .num_sge = 1,
						   .opcode = IBV_WR_RDMA_WRITE,
						   .send_flags = IBV_SEND_SIGNALED,
						   .wr.rdma = {peer->addr + (uint64_t)slot * size,
							   peer->rkey}},
					   *bad;

			if (under_way[i] == depth)
				continue;
			require(ibv_post_send(s->qp[i], &wr, &bad) == 0, "ibv_post_send");
			under_way[i]++;
			out++;
		}
		n = ibv_poll_cq(s->cq, BATCH, wc);
		require(n >= 0, "ibv_poll_cq");
		now = clock_ns(CLOCK_MONOTONIC);
		for (int i = 0; i < n; i++) {
			if (wc[i].status != IBV_WC_SUCCESS)
				die(ibv_wc_status_str(wc[i].status));
			under_way[wc[i].wr_id]--;
		}
		out -= (uint32_t)n;
		done += (uint32_t)n;
		if (n)
			moved = now;
		require(now - moved < PATIENCE_MS * 1000000ull, "waiting for a completion");
		stop = stop || now - start >= ms * 1000000;
	}
	free(under_way);
	*ns = now - start;
	return done;
}

static void sleep_ms(uint32_t ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* Percent of a core that this process takes while it sleeps. */
static double idle_percent(uint32_t ms)
{
	uint64_t cpu, wall;

	sleep_ms(300); /* the last of the traffic */
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	wall = clock_ns(CLOCK_MONOTONIC);
	sleep_ms(ms);
	return 100.0 * (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) /
	       (double)(clock_ns(CLOCK_MONOTONIC) - wall);
}

static void serve(int fd, uint32_t number, uint32_t idle_ms)
{
	struct side s = {0};
	double told;
	uint64_t cpu;
	char c;

	side_open(&s, number);
	side_connect(&s, fd);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	hear(fd, &c, 1); /* the traffic is over */
	told = idle_ms ? idle_percent(idle_ms) : (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	tell(fd, &told, sizeof(told));
	hear(fd, &c, 1); /* what waits to be acknowledged has been */
}

static uint32_t arg(int argc, char **argv, int i, uint32_t standard, uint32_t max)
{
	unsigned long v = argc > i ? strtoul(argv[i], NULL, 0) : standard;

	return v < 1 ? 1 : v > max ? max : (uint32_t)v;
}

int main(int argc, char **argv)
{
	bool idle = argc > 1 && strcmp(argv[1], "idle") == 0;
	uint32_t number = idle ? 1 : arg(argc, argv, 2, 10000, MAX_NUMBER);
	uint32_t size = idle ? 4096 : arg(argc, argv, 3, 4096, MAX_SIZE);
	uint32_t ms = arg(argc, argv, idle ? 2 : 4, 1000, 60000);
	struct side s = {0};
	struct hello peer;
	uint64_t before, connected, warm, done, ns;
	double there, here = 0;
	int fd[2], status;
	pid_t pid;

	if (argc < 2 || (!idle && strcmp(argv[1], "write") != 0)) {
		fprintf(stderr, "usage: queue_pairs write [NUMBER] [SIZE] [MS]\n"
				"       queue_pairs idle [MS]\n");
		return 2;
	}
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0, "socketpair");
	pid = fork(); /* before the first verb: each process has a device of its own */
	require(pid >= 0, "fork");
	if (pid == 0) {
		close(fd[0]);
		pin(1);
		serve(fd[1], number, idle ? ms : 0);
		_exit(0);
	}
	close(fd[1]);
	pin(0);
	side_open(&s, number);
	before = resident_bytes();
	peer = side_connect(&s, fd[0]);
	connected = resident_bytes();
	warm = blast(&s, &peer, size, 100, &ns); /* touches all that is going to be used */
	done = blast(&s, &peer, size, idle ? 100 : ms, &ns);
	tell(fd[0], "", 1);
	if (idle)
		here = idle_percent(ms);
	hear(fd[0], &there, sizeof(there));
	if (idle)
		printf("{\"bench\":\"queue_pairs\",\"mode\":\"idle\",\"client_percent\":%.4f,"
		       "\"server_percent\":%.4f}\n",
			here, there);
	else
		printf("{\"bench\":\"queue_pairs\",\"mode\":\"write\",\"number\":%u,\"size\":%u,"
		       "\"gbytes_per_s\":%.4f,\"mpps\":%.4f,\"bytes_per_qp_connected\":%.0f,"
		       "\"bytes_per_qp_used\":%.0f,\"server_ns\":%.1f}\n",
			number, size, (double)done * size / (double)ns,
			(double)done * 1e3 / (double)ns, (double)(connected - before) / number,
			(double)(resident_bytes() - before) / number,
			there / (double)(warm + done));
	fflush(stdout);
	tell(fd[0], "", 1);
	require(waitpid(pid, &status, 0) == pid && status == 0, "the other process");
	_exit(0);
}
