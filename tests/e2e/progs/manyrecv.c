/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Very much memory posted to receive into, on very many queue pairs, all used: PAIRS connections of
 * this process with itself, on each DEPTH receives of LEN bytes in memory of their own, filled by
 * SENDs, byte by byte what was sent.
 *
 *   manyrecv [PAIRS [DEPTH]]
 */
#include "common.h"

enum {
	LEN = 4096,
	WINDOW = 8, /* SENDs under way on one queue pair; a few queue pairs at a time */
	TOGETHER = 8
};

static unsigned pairs = 1024, depth = 64;
static struct ibv_context *ctx;
static struct ibv_pd *pd;
static struct ibv_cq *scq, *rcq;
static struct ibv_mr *mr, *smr;
static union ibv_gid gid;
static uint8_t *mem, *out;

static struct ibv_qp *qp_make(unsigned recvs)
{
	struct ibv_qp_init_attr ia = {.qp_type = IBV_QPT_RC,
		.send_cq = scq,
		.recv_cq = rcq,
		.cap = {WINDOW, recvs, 1, 1, 0}};
	struct ibv_qp *qp = ibv_create_qp(pd, &ia);

	if (!qp)
		DIE("create_qp");
	return qp;
}

static void join(struct ibv_qp *qp, uint32_t to)
{
	struct side s = {.qp = qp};

	side_connect(&s, to, gid);
}

static void fill(uint8_t *p, uint32_t seed)
{
	for (unsigned i = 0; i < LEN; i += 4) {
		uint32_t v = seed * 2654435761u + i;

		memcpy(p + i, &v, 4);
	}
}

static void post_recvs(struct ibv_qp *qp, unsigned pair)
{
	for (unsigned i = 0; i < depth; i++) {
		uint64_t id = (uint64_t)pair * depth + i;
		struct ibv_sge sge = {(uintptr_t)(mem + id * LEN), LEN, mr->lkey};
		struct ibv_recv_wr *bad, wr = {.wr_id = id, .sg_list = &sge, .num_sge = 1};

		if (ibv_post_recv(qp, &wr, &bad))
			DIE("post_recv %u of %u", i, pair);
	}
}

static void post_send(struct ibv_qp *qp, unsigned pair, unsigned i, unsigned slot)
{
	uint8_t *from = out + (size_t)slot * LEN;
	struct ibv_sge sge = {(uintptr_t)from, LEN, smr->lkey};
	struct ibv_send_wr *bad, wr = {.wr_id = slot,
					 .sg_list = &sge,
					 .num_sge = 1,
					 .opcode = IBV_WR_SEND,
					 .send_flags = IBV_SEND_SIGNALED};

	fill(from, pair * depth + i);
	if (ibv_post_send(qp, &wr, &bad))
		DIE("post_send");
}

/* All that was posted on TOGETHER queue pairs, WINDOW at a time on each. */
static void use(struct ibv_qp **qp, unsigned first)
{
	for (unsigned i = 0; i < depth; i += WINDOW) {
		unsigned sent = 0, got = 0, w = depth - i < WINDOW ? depth - i : WINDOW;
		double end = now_s() + 60;
		struct ibv_wc wc[16];

		for (unsigned k = 0; k < TOGETHER && first + k < pairs; k++)
			for (unsigned j = 0; j < w; j++, sent++)
				post_send(qp[first + k], first + k, i + j, sent);
		for (unsigned done = 0; done < 2 * sent && now_s() < end;) {
			int n = ibv_poll_cq(scq, 16, wc), m = ibv_poll_cq(rcq, 16 - n, wc + n);

			for (int x = 0; x < n + m; x++) {
				if (wc[x].status != IBV_WC_SUCCESS)
					DIE("completion: %s", ibv_wc_status_str(wc[x].status));
				got += (wc[x].opcode & IBV_WC_RECV) != 0;
			}
			done += (unsigned)(n + m);
		}
		CHECK(got == sent, "received %u of %u at pair %u", got, sent, first);
		if (got != sent)
			exit(finish());
	}
}

int main(int argc, char **argv)
{
	struct ibv_qp **a, **b;
	uint8_t want[LEN];
	size_t bytes, bad = 0;

	if (argc > 1)
		pairs = (unsigned)atoi(argv[1]);
	if (argc > 2)
		depth = (unsigned)atoi(argv[2]);
	bytes = (size_t)pairs * depth * LEN;
	ctx = open_first();
	pd = ibv_alloc_pd(ctx);
	scq = ibv_create_cq(ctx, 2 * TOGETHER * WINDOW, NULL, NULL, 0);
	rcq = ibv_create_cq(ctx, 2 * TOGETHER * WINDOW, NULL, NULL, 0);
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	out = mmap(NULL, TOGETHER * WINDOW * LEN, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!pd || !scq || !rcq || mem == MAP_FAILED || out == MAP_FAILED)
		DIE("objects");
	mr = ibv_reg_mr(pd, mem, bytes, ALL_ACCESS);
	smr = ibv_reg_mr(pd, out, TOGETHER * WINDOW * LEN, ALL_ACCESS);
	if (!mr || !smr || ibv_query_gid(ctx, 1, 0, &gid))
		DIE("reg_mr or query_gid");
	a = calloc(pairs, sizeof(*a));
	b = calloc(pairs, sizeof(*b));
	for (unsigned i = 0; i < pairs; i++) {
		a[i] = qp_make(1);
		b[i] = qp_make(depth);
		join(a[i], b[i]->qp_num);
		join(b[i], a[i]->qp_num);
		post_recvs(b[i], i);
	}
	printf("%zu MiB posted on %u queue pairs\n", bytes >> 20, 2 * pairs);
	for (unsigned i = 0; i < pairs; i += TOGETHER)
		use(a, i);
	for (size_t i = 0; i < (size_t)pairs * depth; i++) {
		fill(want, (uint32_t)i);
		bad += memcmp(want, mem + i * LEN, LEN) != 0;
	}
	CHECK(bad == 0, "%zu of %zu buffers hold something else", bad, (size_t)pairs * depth);
	for (unsigned i = 0; i < pairs; i++)
		CHECK(!ibv_destroy_qp(a[i]) && !ibv_destroy_qp(b[i]), "destroy_qp");
	return finish();
}
