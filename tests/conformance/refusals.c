/* SPDX-License-Identifier: Apache-2.0 */
/* RC responder, requests that must be refused: opcode sequence, lengths, protection, resources
 * (IBTA 9.7.4.1, 9.9.3). */
#include "conf.h"

/* After FIRST of a message (0xff: none), op is out of turn. */
static void out_of_turn(struct conf *c, uint8_t first, const uint8_t *ops, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		uint32_t psn = RQ;
		bool payload = fns_opcodes[ops[i]].flags & FNS_OPF_PAYLOAD;

		conf_open(c, FNS_QPT_RC);
		rig_post_recv(c->r, &c->qp, 1, 0, 2 * PMTU);
		if (first != 0xff)
			rig_inject(c->r, conf_rdma(c, first, psn++, 0, 2 * PMTU), conf_data, PMTU);
		rig_inject(
			c->r, conf_rdma(c, ops[i], psn, 8192, PMTU), conf_data, payload ? PMTU : 0);
		conf_refused(c, psn, FNS_NAK_INVALID_REQUEST);
		assert_int_equal(c->r->mem[8192], 0);
		assert_int_equal(c->r->mem[PMTU], 0);
		conf_close(c);
	}
}

static const uint8_t send_goes_on[] = {
	FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST, FNS_OP_SEND_LAST_IMM, FNS_OP_SEND_LAST_INV};
static const uint8_t write_goes_on[] = {
	FNS_OP_WRITE_MIDDLE, FNS_OP_WRITE_LAST, FNS_OP_WRITE_LAST_IMM};
static const uint8_t begins[] = {FNS_OP_SEND_FIRST, FNS_OP_SEND_ONLY, FNS_OP_SEND_ONLY_IMM,
	FNS_OP_SEND_ONLY_INV, FNS_OP_WRITE_FIRST, FNS_OP_WRITE_ONLY, FNS_OP_WRITE_ONLY_IMM};
static const uint8_t responded[] = {FNS_OP_READ_REQUEST, FNS_OP_CMP_SWAP, FNS_OP_FETCH_ADD};

static void seq_not_begun(struct conf *c)
{
	out_of_turn(c, 0xff, send_goes_on, FNS_ARRAY_SIZE(send_goes_on));
	out_of_turn(c, 0xff, write_goes_on, FNS_ARRAY_SIZE(write_goes_on));
}

static void seq_not_ended(struct conf *c)
{
	out_of_turn(c, FNS_OP_SEND_FIRST, begins, FNS_ARRAY_SIZE(begins));
	out_of_turn(c, FNS_OP_WRITE_FIRST, begins, FNS_ARRAY_SIZE(begins));
}

static void seq_mixed(struct conf *c)
{
	out_of_turn(c, FNS_OP_SEND_FIRST, write_goes_on, FNS_ARRAY_SIZE(write_goes_on));
	out_of_turn(c, FNS_OP_WRITE_FIRST, send_goes_on, FNS_ARRAY_SIZE(send_goes_on));
}

static void seq_read_inside(struct conf *c)
{
	out_of_turn(c, FNS_OP_SEND_FIRST, responded, FNS_ARRAY_SIZE(responded));
	out_of_turn(c, FNS_OP_WRITE_FIRST, responded, FNS_ARRAY_SIZE(responded));
}

struct bad_len {
	uint8_t first, op;
	uint32_t len, dma_len;
};

static void bad_lengths(struct conf *c, const struct bad_len *bad, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		uint32_t psn = RQ;

		conf_open(c, FNS_QPT_RC);
		rig_post_recv(c->r, &c->qp, 1, 0, 3 * PMTU);
		if (bad[i].first != 0xff)
			rig_inject(c->r, conf_rdma(c, bad[i].first, psn++, 0, PMTU + 100),
				conf_data, PMTU);
		rig_inject(c->r, conf_rdma(c, bad[i].op, psn, 8192, bad[i].dma_len), conf_data,
			bad[i].len);
		conf_refused(c, psn, FNS_NAK_INVALID_REQUEST);
		assert_int_equal(c->r->mem[8192], 0);
		assert_int_equal(c->r->mem[PMTU], 0);
		conf_close(c);
	}
}

static void len_first(struct conf *c)
{
	static const struct bad_len bad[] = {{0xff, FNS_OP_SEND_FIRST, PMTU - 1, 0},
		{0xff, FNS_OP_SEND_FIRST, PMTU + 4, 0}, {0xff, FNS_OP_SEND_FIRST, 0, 0},
		{0xff, FNS_OP_WRITE_FIRST, PMTU - 4, 2 * PMTU},
		{0xff, FNS_OP_WRITE_FIRST, 0, 2 * PMTU},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, PMTU - 1, 0},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, PMTU + 1, 0},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_MIDDLE, 99, 0}};

	bad_lengths(c, bad, FNS_ARRAY_SIZE(bad));
}

static void len_last(struct conf *c)
{
	static const struct bad_len bad[] = {{FNS_OP_SEND_FIRST, FNS_OP_SEND_LAST, 0, 0},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_LAST, PMTU + 1, 0},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_LAST_IMM, 0, 0},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 0, 0},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST_IMM, 0, 0}};

	bad_lengths(c, bad, FNS_ARRAY_SIZE(bad));
}

static void len_only(struct conf *c)
{
	static const struct bad_len bad[] = {{0xff, FNS_OP_SEND_ONLY, PMTU + 1, 0},
		{0xff, FNS_OP_SEND_ONLY_IMM, PMTU + 4, 0},
		{0xff, FNS_OP_WRITE_ONLY, PMTU + 1, PMTU + 1},
		{0xff, FNS_OP_WRITE_ONLY_IMM, PMTU + 1, PMTU + 1}};

	bad_lengths(c, bad, FNS_ARRAY_SIZE(bad));
}

static void len_total(struct conf *c)
{
	static const struct bad_len bad[] = {{0xff, FNS_OP_WRITE_ONLY, 8, 7},
		{0xff, FNS_OP_WRITE_ONLY, 8, 9}, {0xff, FNS_OP_WRITE_ONLY, 0, 1},
		{0xff, FNS_OP_WRITE_ONLY, 8, 0}, {0xff, FNS_OP_WRITE_FIRST, PMTU, PMTU - 1},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 99, 0}, /* 100 are missing */
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 101, 0},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_MIDDLE, PMTU, 0}};

	bad_lengths(c, bad, FNS_ARRAY_SIZE(bad));
}

static void len_2g(struct conf *c)
{
	static const struct bad_len bad[] = {{0xff, FNS_OP_READ_REQUEST, 0, (1u << 31) + 1},
		{0xff, FNS_OP_READ_REQUEST, 0, UINT32_MAX},
		{0xff, FNS_OP_WRITE_FIRST, PMTU, (1u << 31) + 1},
		{0xff, FNS_OP_WRITE_FIRST, PMTU, UINT32_MAX}};

	bad_lengths(c, bad, FNS_ARRAY_SIZE(bad));
}

static void len_receive(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 16);
	rig_post_recv(c->r, &c->qp, 2, 64, 16);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 17, true);
	conf_refused(c, RQ, FNS_NAK_INVALID_REQUEST);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_LOC_LEN_ERR);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
	assert_int_equal(c->r->mem[0], 0);
	conf_close(c);
}

static void len_receive_later(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, PMTU + 10);
	conf_in(c, FNS_OP_SEND_FIRST, RQ, PMTU, false);
	conf_in(c, FNS_OP_SEND_LAST, RQ + 1, 11, true);
	conf_refused(c, RQ + 1, FNS_NAK_INVALID_REQUEST);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_LOC_LEN_ERR);
	assert_int_equal(c->r->mem[PMTU], 0);
	conf_close(c);
}

enum wrong {
	WRONG_KEY,
	WRONG_PD,
	WRONG_RIGHTS,
	WRONG_END,
	WRONG_START,
	WRONG_WRAP,
	WRONG_QP
};

#define ALL                                                                                        \
	(FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ |               \
		FNS_ACCESS_REMOTE_ATOMIC)

static void wrong_access(struct conf *c, enum wrong why)
{
	static const struct {
		uint8_t op;
		uint32_t right;
	} kind[] = {{FNS_OP_WRITE_ONLY, FNS_ACCESS_REMOTE_WRITE},
		{FNS_OP_READ_REQUEST, FNS_ACCESS_REMOTE_READ},
		{FNS_OP_FETCH_ADD, FNS_ACCESS_REMOTE_ATOMIC},
		{FNS_OP_CMP_SWAP, FNS_ACCESS_REMOTE_ATOMIC}};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(kind); i++) {
		struct fns_ctl m = {.op = FNS_CTL_PD_CREATE};
		struct fns_hdr h;
		uint32_t pd;

		conf_new(c, FNS_QPT_RC);
		if (why == WRONG_QP)
			c->qp.attr.access = ALL & ~kind[i].right;
		conf_up(c);
		assert_int_equal(rig_ctl(c->r, &m), 0);
		pd = m.handle;
		m = (struct fns_ctl){.op = FNS_CTL_MR_REG,
			.mr = {.addr = (uintptr_t)c->r->mem,
				.len = 64,
				.iova = (uintptr_t)c->r->mem,
				.pd = why == WRONG_PD ? pd : c->r->pd,
				.access = why == WRONG_RIGHTS ? ALL & ~kind[i].right : ALL}};
		assert_int_equal(rig_ctl(c->r, &m), 0);
		h = conf_rdma(c, kind[i].op, RQ, 0, 8);
		h.rkey = why == WRONG_KEY ? m.mr.key ^ 1 : m.mr.key;
		h.swap_add = 1;
		h.va = why == WRONG_END     ? h.va + 64
		       : why == WRONG_START ? h.va - 8
		       : why == WRONG_WRAP  ? UINT64_MAX - 7
					    : h.va;
		rig_inject(c->r, h, conf_data, kind[i].op == FNS_OP_WRITE_ONLY ? 8 : 0);
		conf_refused(
			c, RQ, why == WRONG_QP ? FNS_NAK_INVALID_REQUEST : FNS_NAK_REMOTE_ACCESS);
		for (unsigned k = 0; k < 128; k++)
			assert_int_equal(c->r->mem[k], 0);
		conf_close(c);
	}
}

static void access_key(struct conf *c)
{
	wrong_access(c, WRONG_KEY);
}

static void access_pd(struct conf *c)
{
	wrong_access(c, WRONG_PD);
}

static void access_rights(struct conf *c)
{
	wrong_access(c, WRONG_RIGHTS);
}

static void access_bounds(struct conf *c)
{
	wrong_access(c, WRONG_END);
	wrong_access(c, WRONG_START);
	wrong_access(c, WRONG_WRAP);
}

static void access_qp(struct conf *c)
{
	wrong_access(c, WRONG_QP);
}

static void access_whole_write(struct conf *c)
{
	struct fns_ctl m = {.op = FNS_CTL_MR_REG};
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	m.mr.addr = m.mr.iova = (uintptr_t)c->r->mem;
	m.mr.len = 2 * PMTU - 1;
	m.mr.pd = c->r->pd;
	m.mr.access = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE;
	assert_int_equal(rig_ctl(c->r, &m), 0);
	h = conf_rdma(c, FNS_OP_WRITE_FIRST, RQ, 0, 2 * PMTU);
	h.rkey = m.mr.key;
	rig_inject(c->r, h, conf_data, PMTU);
	conf_refused(c, RQ, FNS_NAK_REMOTE_ACCESS);
	for (unsigned k = 0; k < PMTU; k++)
		assert_int_equal(c->r->mem[k], 0);
	conf_close(c);
}

static void access_receive(struct conf *c)
{
	struct rig_wr wr = {.op = FNS_WR_RECV, .wr_id = 1, .nsge = 1};

	conf_open(c, FNS_QPT_RC);
	wr.sge[0] = (struct fns_sqd_sge){
		.addr = (uintptr_t)c->r->mem, .len = 64, .lkey = c->r->key ^ 1};
	rig_post(c->r, &c->qp, &wr);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_refused(c, RQ, FNS_NAK_REMOTE_OPERATIONAL);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_LOC_PROT_ERR);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static void access_invalidate(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	h = rig_hdr(&c->qp, FNS_OP_SEND_ONLY_INV, RQ);
	h.imm = c->r->key; /* a region: no window to invalidate */
	rig_inject(c->r, h, conf_data, 8);
	conf_refused(c, RQ, FNS_NAK_REMOTE_ACCESS);
	conf_close(c);
}

static void atomic_alignment(struct conf *c)
{
	unsigned i;

	for (i = 1; i < 8; i++) {
		conf_open(c, FNS_QPT_RC);
		rig_inject(c->r, conf_rdma(c, i & 1 ? FNS_OP_FETCH_ADD : FNS_OP_CMP_SWAP, RQ, i, 0),
			NULL, 0);
		conf_refused(c, RQ, FNS_NAK_INVALID_REQUEST);
		conf_close(c);
	}
}

/* The wire is full and the first READ longer than what may wait for it: nothing is answered. */
static void too_many_reads(struct conf *c)
{
	const uint32_t len = 256 * PMTU;
	unsigned i, n;

	for (n = 1; n <= 7; n += 3) {
		conf_new(c, FNS_QPT_RC);
		c->qp.attr.max_dest_rd_atomic = (uint8_t)n;
		conf_up(c);
		c->r->room = 0;
		for (i = 0; i < n; i++)
			rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + i * 256, 0, len),
				NULL, 0);
		rig_settle(c->r);
		assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_RTS);
		rig_inject(c->r,
			conf_rdma(c, n == 4 ? FNS_OP_READ_REQUEST : FNS_OP_FETCH_ADD, RQ + n * 256,
				0, 8),
			NULL, 0);
		rig_settle(c->r);
		assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_ERR);
		c->r->room = UINT32_MAX;
		rig_step(c->r, 1000000);
		conf_refused(c, RQ + n * 256, FNS_NAK_INVALID_REQUEST);
		conf_close(c);
	}
}

static void fatal_last(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, 0, 8), NULL, 0);
	conf_in(c, FNS_OP_SEND_LAST, RQ + 2, 8, true);
	p = conf_sent(c, 3);
	assert_int_equal(p[0].h.psn, RQ);
	assert_int_equal(p[1].h.psn, RQ + 1);
	assert_int_equal(p[2].h.psn, RQ + 2);
	assert_int_equal(p[2].h.syndrome, NAK(FNS_NAK_INVALID_REQUEST));
	assert_int_equal(p[2].h.msn, 2);
	conf_close(c);
}

static void fatal_state(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 3; i++)
		rig_post_recv(c->r, &c->qp, i, 0, 64);
	conf_in(c, FNS_OP_SEND_LAST, RQ, 8, true);
	conf_refused(c, RQ, FNS_NAK_INVALID_REQUEST);
	for (i = 0; i < 3; i++)
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_WR_FLUSH_ERR);
	for (i = 0; i < 4; i++)
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + i, 8, true);
	conf_silent(c);
	assert_int_equal(c->r->mem[0], 0);
	conf_close(c);
}

static void fatal_events(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_SEND_LAST, RQ, 8, true);
	conf_refused(c, RQ, FNS_NAK_INVALID_REQUEST);
	assert_int_equal(conf_events(c, FNS_EVENT_QP_REQ_ERR), 1);
	assert_int_equal(c->r->nevents, 1);
	conf_close(c);
	conf_open(c, FNS_QPT_RC);
	h = conf_rdma(c, FNS_OP_READ_REQUEST, RQ, 0, 8);
	h.rkey ^= 1;
	rig_inject(c->r, h, NULL, 0);
	conf_refused(c, RQ, FNS_NAK_REMOTE_ACCESS);
	assert_int_equal(conf_events(c, FNS_EVENT_QP_ACCESS_ERR), 1);
	assert_int_equal(c->r->nevents, 1);
	conf_close(c);
}

static const struct conf_rule rules[] = {
	{"C9-ref-seq-begin", "9.7.4.1.5" MEM, "MIDDLE or LAST without FIRST: NAK invalid request",
		seq_not_begun},
	{"C9-ref-seq-end", "9.7.4.1.5" MEM,
		"FIRST or ONLY before the message under way has ended: NAK invalid request",
		seq_not_ended},
	{"C9-ref-seq-mixed", "9.7.4.1.5" MEM,
		"a SEND that goes on as a WRITE, or the other way round: NAK invalid request",
		seq_mixed},
	{"C9-ref-seq-read", "9.7.4.1.5" MEM, "READ or atomic inside a message: NAK invalid request",
		seq_read_inside},
	{"C9-ref-len-full", "9.7.4.1.6" MEM,
		"FIRST and MIDDLE carry exactly the path MTU, else NAK invalid request", len_first},
	{"C9-ref-len-last", "9.7.4.1.6" MEM,
		"LAST carries 1 byte to the path MTU, else NAK invalid request", len_last},
	{"C9-ref-len-only", "9.7.4.1.6" MEM,
		"ONLY carries up to the path MTU, else NAK invalid request", len_only},
	{"C9-ref-len-total", "9.7.4.1.6" MEM,
		"a WRITE's payloads add up to its DMA length, else NAK invalid request", len_total},
	{"C9-ref-len-2g", "9.7.4.1.6" MEM, "a DMA length above 2^31: NAK invalid request", len_2g},
	{"C9-ref-len-receive", "9.9.3",
		"a SEND longer than its receive: NAK invalid request, local length error",
		len_receive},
	{"C9-ref-len-receive-later", "9.9.3", "... also when a later packet exceeds it",
		len_receive_later},
	{"C9-ref-key", "9.7.4.1",
		"an R_Key that is not valid: NAK remote access error, memory untouched",
		access_key},
	{"C9-ref-pd", "9.7.4.1", "an R_Key of another protection domain: NAK remote access error",
		access_pd},
	{"C9-ref-rights", "9.7.4.1", "a region without the right needed: NAK remote access error",
		access_rights},
	{"C9-ref-bounds", "9.7.4.1",
		"before, behind or around the end of a region: NAK remote access error",
		access_bounds},
	{"C9-ref-qp-rights", "9.7.4.1.4",
		"an operation that the queue pair does not allow: NAK invalid request", access_qp},
	{"C9-ref-write-whole", "9.7.4.1",
		"a message out of bounds is refused at its FIRST and leaves no trace",
		access_whole_write},
	{"C9-ref-receive", "9.9.3",
		"a receive that may not be written: NAK remote operational error, local protection error",
		access_receive},
	{"C9-ref-invalidate", "9.4.1.1",
		"SEND with invalidate of what is no window of ours: NAK remote access error",
		access_invalidate},
	{"C9-ref-atomic-align", "9.4.5", "an atomic not aligned to 8 bytes: NAK invalid request",
		atomic_alignment},
	{"C9-ref-too-many", "9.7.4.1", "more READs and atomics than agreed: NAK invalid request",
		too_many_reads},
	{"C9-ref-last", "9.7.5", "a fatal NAK leaves after the responses to all earlier requests",
		fatal_last},
	{"C9-ref-state", "9.9.3",
		"after a fatal NAK the queue pair is in ERR: receives flushed, requests dropped",
		fatal_state},
	{"C9-ref-event", "9.9.3", "a refusal raises one event, request error or access error",
		fatal_events},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
