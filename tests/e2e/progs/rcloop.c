/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two peers that SEND to each other without pause until something breaks, then say what broke:
 *
 *   rcloop [-f] [-t SECONDS] PORT [SERVER]
 *
 * "running" once data has moved both ways; "done status N" at the first completion in error. Exit
 * status 0: retry exceeded; 3: no error within -t seconds (0: that is what was wanted); 1: anything
 * else. -f: fork a child that sleeps and holds all that it inherited.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include "common.h"

enum {
	LEN = 8192,
	DEPTH = 16
};

struct hello {
	uint32_t qpn;
	union ibv_gid gid;
};

static void xfer(int fd, const struct hello *mine, struct hello *theirs)
{
	if (write(fd, mine, sizeof(*mine)) != sizeof(*mine) ||
		recv(fd, theirs, sizeof(*theirs), MSG_WAITALL) != sizeof(*theirs))
		DIE("exchange");
}

static int meet(const char *port, const char *server)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = server ? 0 : AI_PASSIVE},
			*ai;
	int one = 1, fd, c;

	if (getaddrinfo(server, port, &hints, &ai))
		DIE("address");
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		DIE("socket");
	if (server) {
		if (connect(fd, ai->ai_addr, ai->ai_addrlen))
			DIE("connect");
		return fd;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 1))
		DIE("listen");
	c = accept(fd, NULL, NULL);
	if (c < 0)
		DIE("accept");
	close(fd);
	return c;
}

static struct ibv_mr *mr;
static char buf[LEN];

static void post_recv(struct side *s)
{
	struct ibv_sge sge = {(uintptr_t)buf, LEN, mr->lkey};
	struct ibv_recv_wr *bad, wr = {.wr_id = 2, .sg_list = &sge, .num_sge = 1};

	if (ibv_post_recv(s->qp, &wr, &bad))
		DIE("post_recv");
}

static void post_send(struct side *s)
{
	struct ibv_sge sge = {(uintptr_t)buf, LEN, mr->lkey};
	struct ibv_send_wr *bad, wr = {.wr_id = 1,
					 .sg_list = &sge,
					 .num_sge = 1,
					 .opcode = IBV_WR_SEND,
					 .send_flags = IBV_SEND_SIGNALED};

	if (ibv_post_send(s->qp, &wr, &bad))
		DIE("post_send");
}

int main(int argc, char **argv)
{
	bool forks = false;
	double limit = 30, end;
	unsigned sent = 0, got = 0;
	struct hello me, peer;
	struct side s;
	int opt, fd;

	while ((opt = getopt(argc, argv, "ft:")) != -1) {
		if (opt == 'f')
			forks = true;
		else if (opt == 't')
			limit = atof(optarg);
		else
			return 1;
	}
	if (optind >= argc)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	side_init(&s, open_first(), IBV_QPT_RC);
	mr = ibv_reg_mr(s.pd, buf, LEN, ALL_ACCESS);
	if (!mr)
		DIE("reg_mr");
	fd = meet(argv[optind], argv[optind + 1]);
	me = (struct hello){s.qp->qp_num, s.gid};
	xfer(fd, &me, &peer);
	side_connect(&s, peer.qpn, peer.gid);
	for (int i = 0; i < DEPTH; i++)
		post_recv(&s);
	xfer(fd, &me, &peer); /* both are ready */
	if (forks && fork() == 0) {
		/* a child that keeps whatever it can of its parent's */
		sleep(60);
		_exit(0);
	}
	for (int i = 0; i < DEPTH; i++)
		post_send(&s);
	end = now_s() + limit;
	while (now_s() < end) {
		struct ibv_wc wc[16];
		int n = ibv_poll_cq(s.cq, 16, wc);

		if (n < 0)
			DIE("poll_cq");
		for (int i = 0; i < n; i++) {
			if (wc[i].status != IBV_WC_SUCCESS) {
				printf("done status %d %s after %u sent, %u received\n",
					wc[i].status, ibv_wc_status_str(wc[i].status), sent, got);
				return wc[i].status == IBV_WC_RETRY_EXC_ERR ? 0 : 1;
			}
			if (wc[i].opcode & IBV_WC_RECV) {
				post_recv(&s);
				got++;
			} else {
				post_send(&s);
				sent++;
			}
			if (sent + got == 200 && sent > 50 && got > 50)
				printf("running\n");
		}
	}
	printf("no error in %.0f s: %u sent, %u received\n", limit, sent, got);
	return 3;
}
