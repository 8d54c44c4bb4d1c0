/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is it the data that was sent? The benchmarks do not look. Every operation, sizes around every
 * border, several SGEs on both sides, inline, immediate data, at every path MTU, many at a time;
 * the bytes around the target must stay untouched.
 */
#include <arpa/inet.h>

#include "common.h"

enum {
	AREA = 3 << 20,
	MAX = 1 << 20,
	GUARD = 64
};

static uint8_t *src, *dst, *copy;
static struct ibv_mr *ms, *md;
static struct side a, b;
static uint32_t seed = 12345;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(rnd(256) | 1);
}

/* Cuts len bytes at p into n pieces, some of them perhaps empty. */
static void cut(struct ibv_sge *sge, int n, uint8_t *p, uint32_t len, uint32_t lkey)
{
	for (int i = 0; i < n; i++) {
		uint32_t l = i == n - 1 ? len : rnd(len + 1);

		sge[i] = (struct ibv_sge){(uintptr_t)p, l, lkey};
		p += l;
		len -= l;
	}
}

static void done(struct side *s, uint64_t id, uint32_t len, enum ibv_wc_opcode op, const char *what)
{
	struct ibv_wc wc = {0};

	CHECK(wait_wc(s->cq, &wc, 20), "%s of %u bytes: no completion", what, len);
	CHECK(wc.status == IBV_WC_SUCCESS, "%s of %u bytes: %s", what, len,
		ibv_wc_status_str(wc.status));
	if (wc.status == IBV_WC_SUCCESS)
		CHECK(wc.wr_id == id && wc.opcode == op, "%s: wr_id %" PRIu64 ", opcode %d", what,
			wc.wr_id, wc.opcode);
	if (wc.status == IBV_WC_SUCCESS && (op & IBV_WC_RECV)) {
		CHECK(wc.byte_len == len, "%s: byte_len %u instead of %u", what, wc.byte_len, len);
		if (wc.wc_flags & IBV_WC_WITH_IMM)
			CHECK(ntohl(wc.imm_data) == 0xfeedface, "%s: immediate 0x%x", what,
				ntohl(wc.imm_data));
	}
}

static void one(enum ibv_wr_opcode op, uint32_t len, int nsge, bool in_line)
{
	const bool imm = op == IBV_WR_SEND_WITH_IMM || op == IBV_WR_RDMA_WRITE_WITH_IMM;
	const bool recv = op == IBV_WR_SEND || imm,
		   send = op == IBV_WR_SEND || op == IBV_WR_SEND_WITH_IMM;
	const bool read = op == IBV_WR_RDMA_READ;
	uint32_t soff = GUARD + rnd(4096), doff = GUARD + rnd(4096);
	struct ibv_sge sge[8], rsge[8];
	struct ibv_recv_wr *rbad, rwr = {.wr_id = 99, .sg_list = rsge, .num_sge = 2};
	struct ibv_send_wr *bad,
		wr = {.wr_id = 42,
			.sg_list = sge,
			.num_sge = nsge,
			.opcode = op,
			.send_flags = IBV_SEND_SIGNALED | (in_line ? IBV_SEND_INLINE : 0)};
	uint8_t *from = src + soff, *to = dst + doff;
	char what[64];

	snprintf(what, sizeof(what), "opcode %d%s, %d SGEs", op, in_line ? " inline" : "", nsge);
	fill(from, len);
	memset(to - GUARD, 0, len + 2 * GUARD);
	/* the requester is a: its memory is src, but for READ, where it is dst */
	if (read)
		cut(sge, nsge, to, len, md->lkey);
	else
		cut(sge, nsge, from, len, ms->lkey);
	wr.wr.rdma.remote_addr = (uintptr_t)(read ? from : to);
	wr.wr.rdma.rkey = read ? ms->rkey : md->rkey;
	if (imm)
		wr.imm_data = htonl(0xfeedface);
	if (recv) {
		cut(rsge, 2, to, len, md->lkey);
		CHECK(!ibv_post_recv(b.qp, &rwr, &rbad), "post_recv");
	}
	CHECK(!ibv_post_send(a.qp, &wr, &bad), "%s: post_send", what);
	if (in_line) { /* inline data is the caller's again at once */
		memcpy(copy, from, len);
		memset(from, 0xee, len);
	}
	done(&a, 42, len, send ? IBV_WC_SEND : read ? IBV_WC_RDMA_READ : IBV_WC_RDMA_WRITE, what);
	if (recv)
		done(&b, 99, len, send ? IBV_WC_RECV : IBV_WC_RECV_RDMA_WITH_IMM, what);
	CHECK(!memcmp(in_line ? copy : from, to, len), "%s of %u bytes: other data", what, len);
	for (int i = 1; i <= GUARD; i++)
		CHECK(to[-i] == 0 && to[len + i - 1] == 0, "%s of %u bytes: wrote beside it", what,
			len);
}

static void atomics(void)
{
	uint64_t *target = (uint64_t *)dst, *result = (uint64_t *)src, before;
	struct ibv_sge sge = {(uintptr_t)result, 8, ms->lkey};
	struct ibv_send_wr *bad,
		wr = {.wr_id = 42, .sg_list = &sge, .num_sge = 1, .send_flags = IBV_SEND_SIGNALED};

	*target = before = 0xfffffffffffffff0;
	wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
	wr.wr.atomic.remote_addr = (uintptr_t)target;
	wr.wr.atomic.rkey = md->rkey;
	wr.wr.atomic.compare_add = 0x21;
	CHECK(!ibv_post_send(a.qp, &wr, &bad), "post");
	done(&a, 42, 8, IBV_WC_FETCH_ADD, "fetch and add");
	CHECK(*result == before && *target == 0x11, "fetch and add: %" PRIx64 " %" PRIx64, *result,
		*target);
	wr.opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
	wr.wr.atomic.compare_add = 0x11;
	wr.wr.atomic.swap = 0x123456789abcdef0;
	CHECK(!ibv_post_send(a.qp, &wr, &bad), "post");
	done(&a, 42, 8, IBV_WC_COMP_SWAP, "compare and swap");
	CHECK(*result == 0x11 && *target == 0x123456789abcdef0, "swapped");
	wr.wr.atomic.compare_add = 1;
	CHECK(!ibv_post_send(a.qp, &wr, &bad), "post");
	done(&a, 42, 8, IBV_WC_COMP_SWAP, "compare and no swap");
	CHECK(*result == 0x123456789abcdef0 && *target == 0x123456789abcdef0, "not swapped");
}

/* Many at a time, only the last one signalled; all data is there when it completes. */
static void burst(void)
{
	enum {
		N = 32,
		SIZE = 20000
	};

	fill(src, N * SIZE);
	memset(dst, 0, N * SIZE);
	for (int i = 0; i < N; i++) {
		struct ibv_sge sge = {(uintptr_t)src + i * SIZE, SIZE, ms->lkey};
		struct ibv_send_wr *bad, wr = {.wr_id = i,
						 .sg_list = &sge,
						 .num_sge = 1,
						 .opcode = IBV_WR_RDMA_WRITE,
						 .send_flags = i == N - 1 ? IBV_SEND_SIGNALED : 0,
						 .wr.rdma = {(uintptr_t)dst + i * SIZE, md->rkey}};

		CHECK(!ibv_post_send(a.qp, &wr, &bad), "post %d", i);
	}
	done(&a, N - 1, SIZE, IBV_WC_RDMA_WRITE, "a burst");
	CHECK(!memcmp(src, dst, N * SIZE), "a burst: other data");
}

static void side_make(struct side *s, struct ibv_context *ctx)
{
	struct ibv_qp_init_attr ia = {
		.qp_type = IBV_QPT_RC, .sq_sig_all = 0, .cap = {SIDE_WRS, SIDE_WRS, 8, 2, 220}};

	s->ctx = ctx;
	s->pd = ibv_alloc_pd(ctx);
	s->cq = ibv_create_cq(ctx, 4 * SIDE_WRS, NULL, NULL, 0);
	ia.send_cq = ia.recv_cq = s->cq;
	s->qp = s->pd && s->cq ? ibv_create_qp(s->pd, &ia) : NULL;
	if (!s->qp || ibv_query_gid(ctx, 1, 0, &s->gid))
		DIE("setup");
}

static void connect_at(struct side *s, struct side *peer, enum ibv_mtu mtu)
{
	struct ibv_qp_attr rtr = rtr_attr(peer->qp->qp_num, peer->gid), rts = rts_attr();

	rtr.path_mtu = mtu;
	rts.timeout = 14;
	if (qp_init(s->qp) || ibv_modify_qp(s->qp, &rtr, RTR_MASK) ||
		ibv_modify_qp(s->qp, &rts, RTS_MASK))
		DIE("connect");
}

int main(void)
{
	static const enum ibv_wr_opcode ops[] = {IBV_WR_SEND, IBV_WR_SEND_WITH_IMM,
		IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_READ};
	struct ibv_context *ctx = open_first();
	struct ibv_port_attr port;

	src = aligned_alloc(4096, AREA);
	dst = aligned_alloc(4096, AREA);
	copy = aligned_alloc(4096, AREA);
	if (!src || !dst || !copy || ibv_query_port(ctx, 1, &port))
		DIE("setup");
	for (int mtu = IBV_MTU_256; mtu <= (int)port.active_mtu && failures < 20; mtu++) {
		const uint32_t m = 128u << mtu;
		const uint32_t sizes[] = {0, 1, 2, 3, 4, 7, 8, 63, 64, 65, 255, 256, 257, m - 1, m,
			m + 1, 2 * m - 1, 2 * m, 2 * m + 1, 10 * m + 5, 61440, 61441, 65536, 65537,
			200003, MAX};

		side_make(&a, ctx);
		side_make(&b, ctx);
		connect_at(&a, &b, mtu);
		connect_at(&b, &a, mtu);
		/* one protection domain each: a requests with its own, b answers with its own */
		for (int o = 0; o < 5 && failures < 20; o++) {
			bool read = ops[o] == IBV_WR_RDMA_READ;

			ms = ibv_reg_mr(read ? b.pd : a.pd, src, AREA, ALL_ACCESS);
			md = ibv_reg_mr(read ? a.pd : b.pd, dst, AREA, ALL_ACCESS);
			if (!ms || !md)
				DIE("reg_mr");
			for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && failures < 20;
				i++) {
				one(ops[o], sizes[i], 1, false);
				one(ops[o], sizes[i], 2 + (int)rnd(6), false);
				if (!read && sizes[i] <= 200)
					one(ops[o], sizes[i], 1 + (int)rnd(3), true);
			}
			if (ops[o] == IBV_WR_RDMA_WRITE) {
				atomics();
				burst();
			}
			ibv_dereg_mr(ms);
			ibv_dereg_mr(md);
		}
		side_fini(&a);
		side_fini(&b);
	}
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
