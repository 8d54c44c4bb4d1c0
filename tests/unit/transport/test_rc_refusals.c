/* SPDX-License-Identifier: Apache-2.0 */
/* RC responder, requests that must be refused: the right NAK, the right local completion and event,
 * and memory untouched. */
#include "rig.h"

#include <string.h>

#define PMTU  1024u
#define WORLD 4096u /* bytes of memory looked at */

struct one {
	struct rig *r;
	struct rig_qp qp;
	uint8_t data[2 * PMTU];
};

static struct one *one_begin(void)
{
	static struct one one;

	one.r = rig_create(NULL);
	rig_qp_create(one.r, &one.qp, FNS_QPT_RC);
	memset(one.data, 0x5a, sizeof(one.data));
	return &one;
}

static void one_end(struct one *o)
{
	rig_qp_destroy(o->r, &o->qp);
	rig_destroy(o->r);
}

static struct fns_hdr reth(struct one *o, uint8_t op, uint32_t psn, uint32_t off, uint32_t len)
{
	return rig_hdr_rdma(o->r, &o->qp, op, psn, off, len);
}

/* One NAK with this code for the PSN expected, the queue pair in error, and nothing written past
 * the first `written` bytes. */
static void refused(struct one *o, uint32_t psn, uint8_t code, int event, uint32_t written)
{
	uint32_t i;
	unsigned naks = 0;

	rig_run(o->r);
	for (i = 0; i < o->r->nsent; i++)
		if (o->r->sent[i].h.opcode == FNS_OP_ACK &&
			(o->r->sent[i].h.syndrome & FNS_AETH_TYPE_MASK) == FNS_AETH_NAK) {
			naks++;
			assert_int_equal(o->r->sent[i].h.syndrome, FNS_AETH_NAK | code);
			assert_int_equal(o->r->sent[i].h.psn, psn);
		}
	assert_int_equal(naks, 1);
	assert_int_equal(rig_count(o->r, FNS_C_rc_fatal_naks_sent), 1);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_ERR);
	if (event >= 0) {
		assert_int_equal(o->r->nevents, 1);
		assert_int_equal(o->r->event[0].type, event);
	} else {
		assert_int_equal(o->r->nevents, 0);
	}
	for (i = written; i < WORLD; i++)
		assert_int_equal(o->r->mem[i], 0);
	/* Dead: more requests are dropped. */
	o->r->nsent = 0;
	rig_inject(o->r, reth(o, FNS_OP_WRITE_ONLY, psn, 0, 8), o->data, 8);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 0);
	assert_int_equal(rig_count(o->r, FNS_C_drop_qp_state), 1);
}

#define INVALID(o, psn, written)                                                                   \
	refused(o, psn, FNS_NAK_INVALID_REQUEST, FNS_EVENT_QP_REQ_ERR, written)
#define ACCESS(o, psn) refused(o, psn, FNS_NAK_REMOTE_ACCESS, FNS_EVENT_QP_ACCESS_ERR, 0)

/* After a message has begun with `begun` (0xff: none), opcode op is out of turn. */
static void opcode_sequence(void **state)
{
	static const uint8_t send_goes_on[] = {
		FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST, FNS_OP_SEND_LAST_IMM, FNS_OP_SEND_LAST_INV};
	static const uint8_t write_goes_on[] = {
		FNS_OP_WRITE_MIDDLE, FNS_OP_WRITE_LAST, FNS_OP_WRITE_LAST_IMM};
	static const uint8_t begins[] = {FNS_OP_SEND_FIRST, FNS_OP_SEND_ONLY, FNS_OP_SEND_ONLY_IMM,
		FNS_OP_SEND_ONLY_INV, FNS_OP_WRITE_FIRST, FNS_OP_WRITE_ONLY, FNS_OP_WRITE_ONLY_IMM,
		FNS_OP_READ_REQUEST, FNS_OP_CMP_SWAP, FNS_OP_FETCH_ADD};
	unsigned begun, i;

	for (begun = 0; begun < 3; begun++) { /* nothing, a SEND, a WRITE */
		uint8_t ops[32];
		unsigned n = 0;

		if (begun != 1)
			for (i = 0; i < sizeof(send_goes_on); i++)
				ops[n++] = send_goes_on[i];
		if (begun != 2)
			for (i = 0; i < sizeof(write_goes_on); i++)
				ops[n++] = write_goes_on[i];
		if (begun)
			for (i = 0; i < sizeof(begins); i++)
				ops[n++] = begins[i];
		for (i = 0; i < n; i++) {
			struct one *o = one_begin();
			uint32_t psn = RIG_RQ_PSN;
			bool payload = fns_opcodes[ops[i]].flags & FNS_OPF_PAYLOAD;

			rig_connect(o->r, &o->qp);
			rig_post_recv(o->r, &o->qp, 1, 0, 2 * PMTU);
			rig_post_recv(o->r, &o->qp, 2, WORLD, 2 * PMTU);
			if (begun)
				rig_inject(o->r,
					reth(o, begun == 1 ? FNS_OP_SEND_FIRST : FNS_OP_WRITE_FIRST,
						psn++, 0, 2 * PMTU),
					o->data, PMTU);
			rig_inject(o->r, reth(o, ops[i], psn, 2048, PMTU), o->data,
				payload ? PMTU : 0);
			INVALID(o, psn, begun ? PMTU : 0);
			rig_expect_cqe(&o->qp.cq, 1, FNS_WC_WR_FLUSH_ERR);
			rig_expect_cqe(&o->qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
			one_end(o);
		}
	}
}

static void lengths(void **state)
{
	static const struct {
		uint8_t first, op;
		uint32_t len, dma_len;
	} bad[] = {
		{0xff, FNS_OP_SEND_FIRST, PMTU - 1, 0},
		{0xff, FNS_OP_SEND_FIRST, PMTU + 1, 0},
		{0xff, FNS_OP_SEND_FIRST, 0, 0},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, PMTU - 1, 0},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_LAST, 0, 0},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_LAST, PMTU + 1, 0},
		{0xff, FNS_OP_SEND_ONLY, PMTU + 1, 0},
		{0xff, FNS_OP_WRITE_FIRST, PMTU - 1, 2 * PMTU},
		{0xff, FNS_OP_WRITE_FIRST, PMTU, PMTU - 1},
		{0xff, FNS_OP_WRITE_ONLY, PMTU + 1, PMTU + 1},
		{0xff, FNS_OP_WRITE_ONLY, 8, 7},
		{0xff, FNS_OP_WRITE_ONLY, 8, 9},
		{0xff, FNS_OP_WRITE_ONLY, 0, 1},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 0, 0},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 99, 0}, /* 100 are missing */
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 101, 0},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_MIDDLE, PMTU, 0},
		{0xff, FNS_OP_READ_REQUEST, 0, (1u << 31) + 1},
	};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		struct one *o = one_begin();
		uint32_t psn = RIG_RQ_PSN;
		bool begun = bad[i].first != 0xff;

		rig_connect(o->r, &o->qp);
		rig_post_recv(o->r, &o->qp, 1, 0, 3 * PMTU);
		if (begun)
			rig_inject(
				o->r, reth(o, bad[i].first, psn++, 0, PMTU + 100), o->data, PMTU);
		rig_inject(
			o->r, reth(o, bad[i].op, psn, 2048, bad[i].dma_len), o->data, bad[i].len);
		INVALID(o, psn, begun ? PMTU : 0);
		one_end(o);
	}
}

/* Rights of the queue pair, of the region, key, domain and bounds, for each kind of access. */
static void protection(void **state)
{
	static const struct {
		uint8_t op;
		uint32_t right;
	} kind[] = {{FNS_OP_WRITE_ONLY, FNS_ACCESS_REMOTE_WRITE},
		{FNS_OP_READ_REQUEST, FNS_ACCESS_REMOTE_READ},
		{FNS_OP_FETCH_ADD, FNS_ACCESS_REMOTE_ATOMIC},
		{FNS_OP_CMP_SWAP, FNS_ACCESS_REMOTE_ATOMIC}};
	const uint32_t all = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE |
			     FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC;
	unsigned i, why;

	for (i = 0; i < FNS_ARRAY_SIZE(kind); i++)
		for (why = 0; why < 7; why++) {
			struct one *o = one_begin();
			struct fns_ctl m = {.op = FNS_CTL_PD_CREATE};
			uint32_t pd;
			struct fns_hdr h;

			if (why == 0)
				o->qp.attr.access = all & ~kind[i].right;
			rig_connect(o->r, &o->qp);
			assert_int_equal(rig_ctl(o->r, &m), 0);
			pd = m.handle;
			m = (struct fns_ctl){.op = FNS_CTL_MR_REG,
				.mr = {.addr = (uintptr_t)o->r->mem,
					.len = 64,
					.iova = (uintptr_t)o->r->mem,
					.pd = why == 1 ? pd : o->r->pd,
					.access = why == 2 ? all & ~kind[i].right : all}};
			assert_int_equal(rig_ctl(o->r, &m), 0);
			h = reth(o, kind[i].op, RIG_RQ_PSN, 0, 8);
			h.rkey = m.mr.key;
			h.swap_add = 1;
			if (why == 3)
				h.rkey ^= 1; /* neighbour of a good key */
			if (why == 4)
				h.va += 64; /* past the end */
			if (why == 5)
				h.va -= 8; /* before the beginning */
			if (why == 6) {
				h.va = UINT64_MAX - 7;
			}
			rig_inject(o->r, h, o->data, kind[i].op == FNS_OP_WRITE_ONLY ? 8 : 0);
			if (why == 0)
				INVALID(o, RIG_RQ_PSN, 0);
			else
				ACCESS(o, RIG_RQ_PSN);
			one_end(o);
		}
}

/* A long WRITE is refused at its first packet: no byte is written. */
static void long_write_out_of_bounds(void **state)
{
	struct one *o = one_begin();
	struct fns_ctl m = {.op = FNS_CTL_MR_REG};
	struct fns_hdr h;

	rig_connect(o->r, &o->qp);
	m.mr.addr = m.mr.iova = (uintptr_t)o->r->mem;
	m.mr.len = 2 * PMTU - 1;
	m.mr.pd = o->r->pd;
	m.mr.access = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE;
	assert_int_equal(rig_ctl(o->r, &m), 0);
	h = reth(o, FNS_OP_WRITE_FIRST, RIG_RQ_PSN, 0, 2 * PMTU);
	h.rkey = m.mr.key;
	rig_inject(o->r, h, o->data, PMTU);
	ACCESS(o, RIG_RQ_PSN);
	one_end(o);
}

/* More than were agreed: invalid. With far memory READs wait in the responder. */
static void too_many_reads(void **state)
{
	const struct rig_opts far = {
		.simdma = true, .sim = {.seed = 1, .min_ns = 100000, .max_ns = 100000}};
	struct one *o = one_begin();
	unsigned i;

	rig_qp_destroy(o->r, &o->qp);
	rig_destroy(o->r);
	o->r = rig_create(&far);
	rig_qp_create(o->r, &o->qp, FNS_QPT_RC);
	o->qp.attr.max_dest_rd_atomic = 3;
	rig_connect(o->r, &o->qp);
	for (i = 0; i < 3; i++)
		rig_inject(o->r, reth(o, FNS_OP_READ_REQUEST, RIG_RQ_PSN + i, 0, 8), NULL, 0);
	rig_run(o->r);
	assert_int_equal(rig_inner(o->r, &o->qp)->rsp.rd_queued, 3);
	rig_inject(o->r, reth(o, FNS_OP_FETCH_ADD, RIG_RQ_PSN + 3, 0, 8), NULL, 0);
	rig_settle(o->r);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_ERR);
	assert_int_equal(
		o->r->sent[o->r->nsent - 1].h.syndrome, FNS_AETH_NAK | FNS_NAK_INVALID_REQUEST);
	assert_int_equal(o->r->sent[o->r->nsent - 1].h.psn, RIG_RQ_PSN + 3);
	one_end(o);
}

static void misaligned_atomic(void **state)
{
	unsigned i;

	for (i = 1; i < 8; i++) {
		struct one *o = one_begin();

		rig_connect(o->r, &o->qp);
		rig_inject(o->r,
			reth(o, i & 1 ? FNS_OP_FETCH_ADD : FNS_OP_CMP_SWAP, RIG_RQ_PSN, i, 0), NULL,
			0);
		INVALID(o, RIG_RQ_PSN, 0);
		one_end(o);
	}
}

static void receive_too_small(void **state)
{
	struct one *o = one_begin();

	rig_connect(o->r, &o->qp);
	rig_post_recv(o->r, &o->qp, 1, 0, 16);
	rig_post_recv(o->r, &o->qp, 2, 64, 16);
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_ONLY, RIG_RQ_PSN), o->data, 17);
	refused(o, RIG_RQ_PSN, FNS_NAK_INVALID_REQUEST, -1, 0);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_LEN_ERR);
	rig_expect_cqe(&o->qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
	rig_expect_no_cqe(&o->qp.cq);
	one_end(o);
}

static void receive_not_mine(void **state)
{
	struct one *o = one_begin();
	struct rig_wr wr = {.op = FNS_WR_RECV, .wr_id = 1, .nsge = 1};

	rig_connect(o->r, &o->qp);
	wr.sge[0] = (struct fns_sqd_sge){
		.addr = (uintptr_t)o->r->mem, .len = 64, .lkey = o->r->key ^ 1};
	rig_post(o->r, &o->qp, &wr);
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_ONLY, RIG_RQ_PSN), o->data, 17);
	refused(o, RIG_RQ_PSN, FNS_NAK_REMOTE_OPERATIONAL, -1, 0);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_PROT_ERR);
	rig_expect_no_cqe(&o->qp.cq);
	one_end(o);
}

static void invalidate_what_is_no_window(void **state)
{
	struct one *o = one_begin();
	struct fns_hdr h;

	rig_connect(o->r, &o->qp);
	rig_post_recv(o->r, &o->qp, 1, 0, 64);
	h = rig_hdr(&o->qp, FNS_OP_SEND_ONLY_INV, RIG_RQ_PSN);
	h.imm = o->r->key;
	rig_inject(o->r, h, o->data, 8);
	ACCESS(o, RIG_RQ_PSN);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_WR_FLUSH_ERR);
	one_end(o);
}

/* A NAK waits for what was accepted before it. */
static void nak_after_placement(void **state)
{
	const struct rig_opts far = {
		.simdma = true, .sim = {.seed = 1, .min_ns = 50000, .max_ns = 50000}};
	struct one *o = one_begin();

	rig_qp_destroy(o->r, &o->qp);
	rig_destroy(o->r);
	o->r = rig_create(&far);
	rig_qp_create(o->r, &o->qp, FNS_QPT_RC);
	rig_connect(o->r, &o->qp);
	rig_post_recv(o->r, &o->qp, 1, 0, 64);
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_ONLY, RIG_RQ_PSN), o->data, 8);
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_LAST, RIG_RQ_PSN + 1), o->data, 8);
	rig_step(o->r, 40000);
	assert_int_equal(o->r->nsent, 0);
	rig_expect_no_cqe(&o->qp.cq);
	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 1);
	assert_int_equal(o->r->sent[0].h.syndrome, FNS_AETH_NAK | FNS_NAK_INVALID_REQUEST);
	assert_int_equal(o->r->sent[0].h.msn, 1);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	one_end(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opcode_sequence),
		cmocka_unit_test(lengths),
		cmocka_unit_test(protection),
		cmocka_unit_test(long_write_out_of_bounds),
		cmocka_unit_test(too_many_reads),
		cmocka_unit_test(misaligned_atomic),
		cmocka_unit_test(receive_too_small),
		cmocka_unit_test(receive_not_mine),
		cmocka_unit_test(invalidate_what_is_no_window),
		cmocka_unit_test(nak_after_placement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
