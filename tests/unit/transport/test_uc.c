/* SPDX-License-Identifier: Apache-2.0 */
/* Unreliable connection: what arrives whole is delivered, the rest is dropped in silence and the
 * next message begins anew. */
#include "one.h"

#include <string.h>

#define UC(op) ((uint8_t)(FNS_TC_UC | (op)))

static void uc_end(struct one *o)
{
	assert_int_equal(rig_count(o->r, FNS_C_acks_sent), 0);
	one_end(o);
}

static void packet(struct one *o, uint8_t op, uint32_t psn, const void *data, uint32_t len)
{
	struct fns_hdr h = rig_hdr(&o->qp, UC(op), psn);

	h.imm = 0x01020304;
	rig_inject(o->r, h, data, len);
}

static void write_to(
	struct one *o, uint8_t op, uint32_t psn, uint32_t off, uint32_t dma_len, uint32_t len)
{
	struct fns_hdr h = rig_hdr_rdma(o->r, &o->qp, UC(op), psn, off, dma_len);

	h.imm = 0x01020304;
	rig_inject(o->r, h, o->data, len);
}

static void sends(void **state)
{
	static const uint32_t lens[] = {0, 1, PMTU - 1, PMTU, PMTU + 1, 3 * PMTU};
	struct one *o = one_begin(FNS_QPT_UC, NULL);
	uint32_t i, psn = RIG_SQ_PSN, k;

	rig_fill(o->r, 0, 8192, 2);
	for (i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		uint32_t n = lens[i] ? (lens[i] + PMTU - 1) / PMTU : 1;

		o->r->nsent = 0;
		rig_post_data(o->r, &o->qp, FNS_WR_SEND_IMM, i, FNS_WRF_SIGNALED, 0, lens[i]);
		rig_run(o->r);
		/* Done when the wire has it: nobody acknowledges. */
		rig_expect_cqe(&o->qp.cq, i, FNS_WC_SUCCESS);
		assert_int_equal(o->r->nsent, n);
		for (k = 0; k < n; k++, psn++) {
			uint8_t op = n == 1       ? FNS_OP_SEND_ONLY_IMM
				     : k == 0     ? FNS_OP_SEND_FIRST
				     : k + 1 == n ? FNS_OP_SEND_LAST_IMM
						  : FNS_OP_SEND_MIDDLE;
			const struct rig_packet *p = rig_expect_sent(o->r, k, UC(op), psn);

			assert_memory_equal(p->h.payload, o->r->mem + k * PMTU, p->h.payload_len);
		}
	}
	o->r->nsent = 0;
	rig_post_data(o->r, &o->qp, FNS_WR_WRITE, 9, FNS_WRF_SIGNALED, 0, 2 * PMTU);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 9, FNS_WC_SUCCESS);
	rig_expect_sent(o->r, 0, UC(FNS_OP_WRITE_ONLY), psn);
	rig_expect_sent(o->r, 1, UC(FNS_OP_WRITE_ONLY), psn + 1);
	uc_end(o);
}

static void messages(struct one *o)
{
	struct fns_cqe c;
	uint32_t psn = RIG_RQ_PSN;

	rig_post_recv(o->r, &o->qp, 1, 0, 4 * PMTU);
	packet(o, FNS_OP_SEND_FIRST, psn, o->data, PMTU);
	packet(o, FNS_OP_SEND_MIDDLE, psn + 1, o->data + PMTU, PMTU);
	packet(o, FNS_OP_SEND_LAST_IMM, psn + 2, o->data + 2 * PMTU, 5);
	rig_settle(o->r);
	assert_true(rig_poll(&o->qp.cq, &c));
	assert_int_equal(c.byte_len, 2 * PMTU + 5);
	assert_int_equal(c.imm, 0x01020304);
	assert_memory_equal(o->r->mem, o->data, 2 * PMTU + 5);
	write_to(o, FNS_OP_WRITE_ONLY, psn + 3, 16384, 100, 100);
	rig_settle(o->r);
	assert_memory_equal(o->r->mem + 16384, o->data, 100);
	rig_post_recv(o->r, &o->qp, 2, 0, 0);
	write_to(o, FNS_OP_WRITE_FIRST, psn + 4, 20000, PMTU + 4, PMTU);
	packet(o, FNS_OP_WRITE_LAST_IMM, psn + 5, o->data, 4);
	rig_settle(o->r);
	assert_true(rig_poll(&o->qp.cq, &c));
	assert_int_equal(c.opcode, FNS_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(c.byte_len, PMTU + 4);
	assert_int_equal(o->r->nsent, 0);
}

static void messages_near(void **state)
{
	struct one *o = one_begin(FNS_QPT_UC, NULL);

	messages(o);
	uc_end(o);
}

static void messages_far(void **state)
{
	struct one *o = one_begin(FNS_QPT_UC, &far);

	messages(o);
	uc_end(o);
}

/* Every packet of a three-packet message lost in turn: the message is gone, the receive serves the
 * next one. */
static void gaps_drop_messages(void **state)
{
	unsigned lost;

	for (lost = 0; lost < 4; lost++) { /* 3: none */
		struct one *o = one_begin(FNS_QPT_UC, NULL);
		static const uint8_t ops[] = {
			FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST};
		unsigned k;
		struct fns_cqe c;

		rig_post_recv(o->r, &o->qp, 1, 0, 3 * PMTU);
		rig_post_recv(o->r, &o->qp, 2, 3 * PMTU, 3 * PMTU);
		for (k = 0; k < 3; k++)
			if (k != lost)
				packet(o, ops[k], RIG_RQ_PSN + k, o->data, PMTU);
		packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 3, o->data + 7, 9);
		rig_run(o->r);
		if (lost == 3)
			rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
		assert_true(rig_poll(&o->qp.cq, &c));
		assert_int_equal(c.wr_id, lost == 3 ? 2 : 1);
		assert_int_equal(c.byte_len, 9);
		assert_memory_equal(o->r->mem + (lost == 3 ? 3 * PMTU : 0), o->data + 7, 9);
		rig_expect_no_cqe(&o->qp.cq);
		assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_RTS);
		/* Without its first packet two are out of sequence, without the second one. */
		assert_int_equal(rig_count(o->r, FNS_C_drop_opcode_seq), lost == 0   ? 2
									 : lost == 1 ? 1
										     : 0);
		assert_int_equal(o->r->nsent, 0);
		uc_end(o);
	}
}

static void late_and_double(void **state)
{
	struct one *o = one_begin(FNS_QPT_UC, NULL);

	rig_post_recv(o->r, &o->qp, 1, 0, 64);
	rig_post_recv(o->r, &o->qp, 2, 64, 64);
	packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 5, o->data, 8); /* ahead: the gap is forgotten */
	packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 5, o->data, 8);
	packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 1, o->data, 8);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&o->qp.cq);
	assert_int_equal(rig_count(o->r, FNS_C_drop_psn), 2);
	packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 6, o->data, 8);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 2, FNS_WC_SUCCESS);
	uc_end(o);
}

/* Each leaves memory and the queue pair alone; the message after it arrives. */
static void silent_drops(void **state)
{
	static const struct {
		uint8_t first, op;
		uint32_t dma_len, len, off;
		uint32_t key_xor;
		enum fns_counter why;
		bool begins_written;
	} t[] = {
		{0xff, FNS_OP_SEND_FIRST, 0, PMTU - 1, 0, 0, FNS_C_drop_length, false},
		{0xff, FNS_OP_SEND_ONLY, 0, PMTU + 1, 0, 0, FNS_C_drop_length, false},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 0, 0, 0, 0, FNS_C_drop_length, true},
		{FNS_OP_SEND_FIRST, FNS_OP_SEND_LAST, 0, 0, 0, 0, FNS_C_drop_length, true},
		{0xff, FNS_OP_WRITE_ONLY, 9, 8, 0, 0, FNS_C_drop_length, false},
		{0xff, FNS_OP_WRITE_ONLY, 7, 8, 0, 0, FNS_C_drop_length, false},
		{FNS_OP_WRITE_FIRST, FNS_OP_WRITE_LAST, 0, 99, 0, 0, FNS_C_drop_length, true},
		{0xff, FNS_OP_WRITE_ONLY, 8, 8, 0, 1, FNS_C_drop_protection, false},
		{0xff, FNS_OP_WRITE_ONLY, 8, 8, RIG_MEM, 0, FNS_C_drop_protection, false},
		{0xff, FNS_OP_SEND_LAST, 0, 8, 0, 0, FNS_C_drop_opcode_seq, false},
		{0xff, FNS_OP_WRITE_MIDDLE, 0, PMTU, 0, 0, FNS_C_drop_opcode_seq, false},
		{FNS_OP_WRITE_FIRST, FNS_OP_SEND_LAST, 0, 8, 0, 0, FNS_C_drop_opcode_seq, true},
	};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(t); i++) {
		struct one *o = one_begin(FNS_QPT_UC, NULL);
		uint32_t psn = RIG_RQ_PSN;
		struct fns_hdr h;

		rig_post_recv(o->r, &o->qp, 1, 8192, 8192);
		if (t[i].first != 0xff)
			write_to(o, t[i].first, psn++, 2048, PMTU + 100, PMTU);
		h = rig_hdr(&o->qp, UC(t[i].op), psn++);
		h.va = (uintptr_t)o->r->mem + t[i].off;
		h.rkey = o->r->key ^ t[i].key_xor;
		h.dma_len = t[i].dma_len;
		rig_inject(o->r, h, o->data, t[i].len);
		rig_run(o->r);
		if (rig_count(o->r, t[i].why) != 1)
			fail_msg("case %u was not counted as it should", i);
		rig_expect_no_cqe(&o->qp.cq);
		for (k = 0; k < 2048; k++)
			assert_int_equal(o->r->mem[k], 0);
		packet(o, FNS_OP_SEND_ONLY, psn, o->data, 8);
		rig_run(o->r);
		rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
		uc_end(o);
	}
}

static void no_receive(void **state)
{
	struct one *o = one_begin(FNS_QPT_UC, NULL);

	packet(o, FNS_OP_SEND_FIRST, RIG_RQ_PSN, o->data, PMTU);
	rig_run(o->r);
	rig_post_recv(o->r, &o->qp, 1, 0, 4 * PMTU);
	packet(o, FNS_OP_SEND_LAST, RIG_RQ_PSN + 1, o->data, 8); /* too late for this message */
	rig_run(o->r);
	rig_expect_no_cqe(&o->qp.cq);
	assert_int_equal(rig_count(o->r, FNS_C_drop_no_rq), 1);
	assert_int_equal(rig_count(o->r, FNS_C_drop_opcode_seq), 1);
	packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 2, o->data, 8);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	uc_end(o);
}

static void receive_too_small(void **state)
{
	struct one *o = one_begin(FNS_QPT_UC, NULL);

	rig_post_recv(o->r, &o->qp, 1, 0, 16);
	rig_post_recv(o->r, &o->qp, 2, 0, 16);
	packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 17);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_LEN_ERR);
	rig_expect_cqe(&o->qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
	assert_int_equal(o->r->mem[0], 0);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_ERR);
	uc_end(o);
}

/* A failed send stops sending alone; receiving goes on, and a modify brings it back. */
static void send_error_state(void **state)
{
	struct one *o = one_begin(FNS_QPT_UC, NULL);
	struct rig_wr wr = {
		.op = FNS_WR_SEND, .wr_id = 1, .nsge = 1, .sge[0] = {.len = 4, .lkey = 1}};

	rig_post_recv(o->r, &o->qp, 50, 0, 64);
	rig_post(o->r, &o->qp, &wr);
	rig_post_data(o->r, &o->qp, FNS_WR_SEND, 2, 0, 0, 8);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_PROT_ERR);
	rig_expect_cqe(&o->qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_SQE);
	packet(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 8);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 50, FNS_WC_SUCCESS);
	assert_int_equal(rig_modify(o->r, &o->qp, FNS_QPS_RTS, FNS_QPA_STATE), 0);
	rig_post_data(o->r, &o->qp, FNS_WR_SEND, 3, FNS_WRF_SIGNALED, 0, 8);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 3, FNS_WC_SUCCESS);
	uc_end(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends),
		cmocka_unit_test(messages_near),
		cmocka_unit_test(messages_far),
		cmocka_unit_test(gaps_drop_messages),
		cmocka_unit_test(late_and_double),
		cmocka_unit_test(silent_drops),
		cmocka_unit_test(no_receive),
		cmocka_unit_test(receive_too_small),
		cmocka_unit_test(send_error_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
