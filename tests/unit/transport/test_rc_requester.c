/* SPDX-License-Identifier: Apache-2.0 */
/* RC requester: what it sends for each work request, and what acknowledgements complete. */
#include "rig.h"

#include <string.h>

#define PMTU 1024u

/* One message on a queue pair of its own. */
struct one {
	struct rig *r;
	struct rig_qp qp;
};

static void one_begin(struct one *o)
{
	o->r = rig_create(NULL);
	rig_qp_create(o->r, &o->qp, FNS_QPT_RC);
	rig_connect(o->r, &o->qp);
}

static void one_end(struct one *o)
{
	rig_qp_destroy(o->r, &o->qp);
	rig_destroy(o->r);
}

static uint8_t expected_opcode(uint8_t op, uint32_t i, uint32_t n)
{
	bool first = i == 0, last = i + 1 == n;

	switch (op) {
	case FNS_WR_WRITE:
		return FNS_OP_WRITE_ONLY; /* a train of whole messages */
	case FNS_WR_WRITE_IMM:
		return n == 1  ? FNS_OP_WRITE_ONLY_IMM
		       : first ? FNS_OP_WRITE_FIRST
		       : last  ? FNS_OP_WRITE_LAST_IMM
			       : FNS_OP_WRITE_MIDDLE;
	default:
		if (!first && !last)
			return FNS_OP_SEND_MIDDLE;
		if (first && !last)
			return FNS_OP_SEND_FIRST;
		if (op == FNS_WR_SEND)
			return first ? FNS_OP_SEND_ONLY : FNS_OP_SEND_LAST;
		if (op == FNS_WR_SEND_IMM)
			return first ? FNS_OP_SEND_ONLY_IMM : FNS_OP_SEND_LAST_IMM;
		return first ? FNS_OP_SEND_ONLY_INV : FNS_OP_SEND_LAST_INV;
	}
}

static void check_message(struct one *o, uint8_t op, uint32_t len, uint32_t psn)
{
	uint32_t n = len ? (len + PMTU - 1) / PMTU : 1, i;

	assert_int_equal(o->r->nsent, n);
	for (i = 0; i < n; i++) {
		uint32_t off = i * PMTU, part = i + 1 < n ? PMTU : len - off;
		const struct rig_packet *p =
			rig_expect_sent(o->r, i, expected_opcode(op, i, n), psn + i);
		uint32_t f = p->h.info->flags;

		assert_int_equal(p->h.payload_len, part);
		assert_int_equal(p->h.pad, (4 - part % 4) % 4);
		assert_int_equal(p->len % 4, 0);
		assert_int_equal(p->h.dest_qp, RIG_PEER_QPN);
		assert_int_equal(p->h.pkey, 0xffff);
		assert_true(p->h.migreq);
		assert_true(fns_gid_equal(&p->remote, &o->r->peer));
		assert_int_equal(p->h.solicited, i + 1 == n);
		if (i + 1 == n)
			assert_true(p->h.ack_req);
		else if (i % 16 == 15) /* never more than 16 without */
			assert_true(p->h.ack_req);
		else
			assert_false(p->h.ack_req);
		if (f & FNS_OPF_RETH) {
			assert_int_equal(p->h.va, 0x10000 + off);
			assert_int_equal(p->h.rkey, 0x77);
			assert_int_equal(p->h.dma_len, op == FNS_WR_WRITE ? part : len);
		}
		if (f & (FNS_OPF_IMM | FNS_OPF_IETH))
			assert_int_equal(p->h.imm, 0x01020304);
		assert_memory_equal(p->h.payload, o->r->mem + off, part);
		assert_memory_equal(p->h.payload + part, "\0\0\0", p->h.pad);
	}
}

static void segmentation(void **state)
{
	static const uint8_t ops[] = {
		FNS_WR_SEND, FNS_WR_SEND_IMM, FNS_WR_SEND_INV, FNS_WR_WRITE, FNS_WR_WRITE_IMM};
	static const int near[] = {-5, -4, -3, -2, -1, 0, 1, 2, 3, 4};
	struct one o;
	uint32_t psn = RIG_SQ_PSN, id = 1;
	unsigned i, k, m;

	one_begin(&o);
	rig_fill(o.r, 0, 40 * PMTU, 3);
	for (i = 0; i < FNS_ARRAY_SIZE(ops); i++)
		for (m = 0; m < 5; m++)
			for (k = 0; k < FNS_ARRAY_SIZE(near); k++, id++) {
				static const uint32_t base[] = {0, 256, PMTU, 2 * PMTU, 20 * PMTU};
				uint32_t len = base[m] + (uint32_t)near[k], n;

				if (near[k] < 0 && base[m] == 0)
					continue;
				n = len ? (len + PMTU - 1) / PMTU : 1;
				rig_post_data(o.r, &o.qp, ops[i], id,
					FNS_WRF_SIGNALED | FNS_WRF_SOLICITED, 0, len);
				o.r->nsent = 0;
				rig_run(o.r);
				check_message(&o, ops[i], len, psn);
				rig_inject_ack(o.r, &o.qp, psn + n - 1);
				rig_run(o.r);
				rig_expect_cqe(&o.qp.cq, id, FNS_WC_SUCCESS);
				rig_expect_no_cqe(&o.qp.cq);
				psn += n;
			}
	assert_int_equal(rig_inner(o.r, &o.qp)->peer->inflight, 0);
	one_end(&o);
}

/* SGEs are cut anywhere; packets do not show it. */
static void scattered(void **state)
{
	static const uint32_t cuts[][4] = {{1, 2, 3, 3000}, {1024, 1024, 0, 1}, {0, 0, 0, 5},
		{1023, 2, 1023, 1024}, {0, 2047, 1, 0}};
	struct one o;
	unsigned i, k;

	one_begin(&o);
	rig_fill(o.r, 0, 8192, 9);
	for (i = 0; i < FNS_ARRAY_SIZE(cuts); i++) {
		struct rig_wr wr = {
			.op = FNS_WR_SEND, .wr_id = i, .flags = FNS_WRF_SIGNALED, .nsge = 4};
		uint32_t len = 0, at = 0;

		for (k = 0; k < 4; k++) {
			wr.sge[k] = (struct fns_sqd_sge){.addr = (uintptr_t)o.r->mem + len,
				.len = cuts[i][k],
				.lkey = o.r->key};
			len += cuts[i][k];
		}
		rig_post(o.r, &o.qp, &wr);
		o.r->nsent = 0;
		rig_run(o.r);
		assert_int_equal(o.r->nsent, (len + PMTU - 1) / PMTU);
		for (k = 0; k < o.r->nsent; k++) {
			const struct rig_packet *p = &o.r->sent[k];

			assert_int_equal(p->h.payload_len, FNS_MIN(PMTU, len - at));
			assert_memory_equal(p->h.payload, o.r->mem + at, p->h.payload_len);
			at += p->h.payload_len;
		}
		rig_inject_ack(o.r, &o.qp, o.r->sent[o.r->nsent - 1].h.psn);
		rig_run(o.r);
		rig_expect_cqe(&o.qp.cq, i, FNS_WC_SUCCESS);
	}
	one_end(&o);
}

static void atomics_on_the_wire(void **state)
{
	struct one o;
	struct rig_wr wr = {.wr_id = 4,
		.op = FNS_WR_CMP_SWAP,
		.flags = FNS_WRF_SIGNALED,
		.remote_addr = 0x1122334455667788,
		.rkey = 0xabcd,
		.compare = 5,
		.swap_add = 6,
		.nsge = 1};
	const struct rig_packet *p;
	struct fns_hdr h;
	struct fns_cqe c;
	uint64_t found;

	one_begin(&o);
	wr.sge[0] = (struct fns_sqd_sge){.addr = (uintptr_t)o.r->mem, .len = 8, .lkey = o.r->key};
	rig_post(o.r, &o.qp, &wr);
	wr.op = FNS_WR_FETCH_ADD;
	wr.wr_id = 5;
	wr.sge[0].addr += 8;
	rig_post(o.r, &o.qp, &wr);
	rig_run(o.r);
	p = rig_expect_sent(o.r, 0, FNS_OP_CMP_SWAP, RIG_SQ_PSN);
	assert_true(p->h.va == 0x1122334455667788 && p->h.rkey == 0xabcd);
	assert_true(p->h.compare == 5 && p->h.swap_add == 6);
	assert_int_equal(p->h.payload_len, 0);
	p = rig_expect_sent(o.r, 1, FNS_OP_FETCH_ADD, RIG_SQ_PSN + 1);
	assert_int_equal(p->h.swap_add, 6);
	h = rig_hdr(&o.qp, FNS_OP_ATOMIC_ACK, RIG_SQ_PSN);
	h.orig = 0x0123456789abcdef;
	rig_inject(o.r, h, NULL, 0);
	h.psn++;
	h.orig = 42;
	rig_inject(o.r, h, NULL, 0);
	rig_run(o.r);
	assert_true(rig_poll(&o.qp.cq, &c));
	assert_int_equal(c.wr_id, 4);
	assert_int_equal(c.opcode, FNS_WC_COMP_SWAP);
	assert_int_equal(c.byte_len, 8);
	assert_true(rig_poll(&o.qp.cq, &c));
	assert_int_equal(c.opcode, FNS_WC_FETCH_ADD);
	memcpy(&found, o.r->mem, 8);
	assert_true(found == 0x0123456789abcdef);
	memcpy(&found, o.r->mem + 8, 8);
	assert_int_equal(found, 42);
	one_end(&o);
}

static void coalesced_ack(void **state)
{
	struct one o;
	unsigned i;

	one_begin(&o);
	for (i = 0; i < 10; i++)
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, i, FNS_WRF_SIGNALED, 0, i == 4 ? 3000 : 10);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 12);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 3);
	rig_run(o.r);
	for (i = 0; i < 4; i++)
		rig_expect_cqe(&o.qp.cq, i, FNS_WC_SUCCESS);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 5); /* in the middle of message 4 */
	rig_run(o.r);
	rig_expect_no_cqe(&o.qp.cq);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 11);
	rig_run(o.r);
	for (i = 4; i < 10; i++)
		rig_expect_cqe(&o.qp.cq, i, FNS_WC_SUCCESS);
	assert_int_equal(rig_inner(o.r, &o.qp)->peer->inflight, 0);
	assert_int_equal(rig_inner(o.r, &o.qp)->req.inflight_bytes, 0);
	one_end(&o);
}

static void unsignalled(void **state)
{
	struct one o;
	struct fns_cqe c;
	unsigned i;

	one_begin(&o);
	for (i = 0; i < 5; i++)
		rig_post_data(o.r, &o.qp, FNS_WR_WRITE, i, i == 3 ? FNS_WRF_SIGNALED : 0, 0, 10);
	rig_run(o.r);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 4);
	rig_run(o.r);
	assert_true(rig_poll(&o.qp.cq, &c));
	assert_int_equal(c.wr_id, 3);
	assert_int_equal(c.wqe_count, 4); /* frees the unsignalled ones before it */
	assert_int_equal(c.opcode, FNS_WC_WRITE);
	assert_true(c.is_send);
	rig_expect_no_cqe(&o.qp.cq);
	one_end(&o);
}

/* Acknowledgements of what was never sent, or long ago, at both ends of the number space. */
static void stale_and_ghost_acks(void **state)
{
	static const uint32_t starts[] = {100, 0, 0xfffffe, 0xffffff, 0x7fffff, 0x800000};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(starts); i++) {
		static const int32_t wrong[] = {-1, -2, -1000, 3, 4, 1000, 1 << 22, 1 << 23};
		struct one o = {.r = rig_create(NULL)};
		uint32_t psn = starts[i];

		rig_qp_create(o.r, &o.qp, FNS_QPT_RC);
		o.qp.attr.sq_psn = psn;
		rig_connect(o.r, &o.qp);
		for (k = 0; k < 3; k++)
			rig_post_data(o.r, &o.qp, FNS_WR_SEND, k, FNS_WRF_SIGNALED, 0, 10);
		rig_run(o.r);
		assert_int_equal(o.r->sent[2].h.psn, (psn + 2) & 0xffffff);
		o.r->nsent = 0;
		for (k = 0; k < FNS_ARRAY_SIZE(wrong); k++) {
			rig_inject_ack(o.r, &o.qp, psn + (uint32_t)wrong[k]);
			rig_inject_aeth(o.r, &o.qp, psn + (uint32_t)wrong[k], FNS_AETH_NAK);
			rig_inject_aeth(o.r, &o.qp, psn + (uint32_t)wrong[k],
				FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS);
			rig_inject_aeth(o.r, &o.qp, psn + (uint32_t)wrong[k], FNS_AETH_RNR | 1);
		}
		rig_run(o.r);
		assert_int_equal(rig_count(o.r, FNS_C_drop_stale_ack), 4 * FNS_ARRAY_SIZE(wrong));
		rig_expect_no_cqe(&o.qp.cq);
		assert_int_equal(o.r->nsent, 0);
		assert_int_equal(rig_state(o.r, &o.qp), FNS_QPS_RTS);
		rig_inject_ack(o.r, &o.qp, psn + 2);
		rig_run(o.r);
		for (k = 0; k < 3; k++)
			rig_expect_cqe(&o.qp.cq, k, FNS_WC_SUCCESS);
		one_end(&o);
	}
}

static void nak_codes(void **state)
{
	static const struct {
		uint8_t code, status;
	} map[] = {{FNS_NAK_INVALID_REQUEST, FNS_WC_REM_INV_REQ_ERR},
		{FNS_NAK_REMOTE_ACCESS, FNS_WC_REM_ACCESS_ERR},
		{FNS_NAK_REMOTE_OPERATIONAL, FNS_WC_REM_OP_ERR},
		{FNS_NAK_INVALID_RD_REQUEST, FNS_WC_REM_INV_REQ_ERR}};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(map); i++) {
		struct one o;
		struct fns_cqe c;

		one_begin(&o);
		rig_post_recv(o.r, &o.qp, 50, 0, 10);
		for (k = 0; k < 4; k++) /* unsignalled: the failed one and all after it complete all
					   the same */
			rig_post_data(
				o.r, &o.qp, FNS_WR_SEND, k, k == 0 ? FNS_WRF_SIGNALED : 0, 0, 10);
		rig_run(o.r);
		rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 2, FNS_AETH_NAK | map[i].code);
		rig_run(o.r);
		rig_expect_cqe(&o.qp.cq, 0, FNS_WC_SUCCESS); /* acknowledged by the NAK */
		assert_true(rig_poll(&o.qp.cq, &c));
		assert_int_equal(c.wr_id, 2);
		assert_int_equal(c.status, map[i].status);
		assert_int_equal(c.vendor_err, FNS_AETH_NAK | map[i].code);
		assert_int_equal(c.wqe_count, 3);
		rig_expect_cqe(&o.qp.cq, 3, FNS_WC_WR_FLUSH_ERR);
		rig_expect_cqe(&o.qp.cq, 50, FNS_WC_WR_FLUSH_ERR);
		rig_expect_no_cqe(&o.qp.cq);
		assert_int_equal(rig_state(o.r, &o.qp), FNS_QPS_ERR);
		rig_post_data(
			o.r, &o.qp, FNS_WR_SEND, 9, 0, 0, 10); /* and what is posted from now on */
		rig_run(o.r);
		rig_expect_cqe(&o.qp.cq, 9, FNS_WC_WR_FLUSH_ERR);
		assert_int_equal(rig_count(o.r, FNS_C_rc_fatal_naks_received), 1);
		one_end(&o);
	}
}

static void reserved_syndromes(void **state)
{
	struct one o;
	unsigned i;

	one_begin(&o);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 10);
	rig_run(o.r);
	o.r->nsent = 0;
	for (i = 5; i < 32; i++)
		rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN, (uint8_t)(FNS_AETH_NAK | i));
	for (i = 0x40; i < 0x60; i++)
		rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN, (uint8_t)i);
	for (i = 0x80; i < 0x100; i++)
		rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN, (uint8_t)i);
	rig_run(o.r);
	assert_int_equal(rig_count(o.r, FNS_C_drop_header), 27 + 32 + 128);
	rig_expect_no_cqe(&o.qp.cq);
	assert_int_equal(o.r->nsent, 0);
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN,
		3); /* credits are not used: any count in an ACK is an ACK */
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	one_end(&o);
}

static void fence(void **state)
{
	struct one o;
	uint8_t data[16] = {0};

	one_begin(&o);
	rig_post_data(o.r, &o.qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 16);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 64, 16);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 3, FNS_WRF_SIGNALED | FNS_WRF_FENCE, 64, 16);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 2); /* the READ and the unfenced SEND */
	rig_inject(o.r, rig_hdr(&o.qp, FNS_OP_READ_RESP_ONLY, RIG_SQ_PSN), data, 16);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 3);
	rig_expect_sent(o.r, 2, FNS_OP_SEND_ONLY, RIG_SQ_PSN + 2);
	one_end(&o);
}

static void max_rd_atomic(void **state)
{
	struct one o = {.r = rig_create(NULL)};
	uint8_t data[16] = {0};
	unsigned i;

	rig_qp_create(o.r, &o.qp, FNS_QPT_RC);
	o.qp.attr.max_rd_atomic = 2;
	rig_connect(o.r, &o.qp);
	for (i = 0; i < 5; i++)
		rig_post_data(o.r, &o.qp, FNS_WR_READ, i, FNS_WRF_SIGNALED, 0, 16);
	rig_run(o.r);
	for (i = 0; i < 5; i++) {
		assert_int_equal(o.r->nsent, FNS_MIN(i + 2, 5));
		rig_inject(o.r, rig_hdr(&o.qp, FNS_OP_READ_RESP_ONLY, RIG_SQ_PSN + i), data, 16);
		rig_run(o.r);
		rig_expect_cqe(&o.qp.cq, i, FNS_WC_SUCCESS);
	}
	one_end(&o);
}

static unsigned drained(const struct rig *r)
{
	unsigned i, n = 0;

	for (i = 0; i < r->nevents; i++)
		n += r->event[i].type == FNS_EVENT_SQ_DRAINED;
	return n;
}

#define TO_SQD (FNS_QPA_STATE | FNS_QPA_EN_SQD_ASYNC_NOTIFY)

static void send_queue_drain(void **state)
{
	struct one o;

	one_begin(&o);
	assert_int_equal(rig_modify(o.r, &o.qp, FNS_QPS_SQD, TO_SQD), 0);
	assert_int_equal(drained(o.r), 1); /* nothing to wait for */
	assert_int_equal(rig_modify(o.r, &o.qp, FNS_QPS_RTS, FNS_QPA_STATE), 0);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 3000);
	rig_run(o.r);
	assert_int_equal(rig_modify(o.r, &o.qp, FNS_QPS_SQD, TO_SQD), 0);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 10);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 3); /* no new message in SQD */
	assert_int_equal(drained(o.r), 1);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 1);
	rig_run(o.r);
	assert_int_equal(drained(o.r), 1);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 2);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(drained(o.r), 2);
	assert_int_equal(rig_modify(o.r, &o.qp, FNS_QPS_RTS, FNS_QPA_STATE), 0);
	rig_run(o.r);
	rig_expect_sent(o.r, 3, FNS_OP_SEND_ONLY, RIG_SQ_PSN + 3);
	one_end(&o);
}

/* A message that waits to be sent again after an RNR NAK is not drained. */
static void drain_waits_for_retransmission(void **state)
{
	struct one o;

	one_begin(&o);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 10);
	rig_run(o.r);
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN, FNS_AETH_RNR | 20);
	rig_run(o.r);
	assert_int_equal(rig_modify(o.r, &o.qp, FNS_QPS_SQD, TO_SQD), 0);
	assert_int_equal(drained(o.r), 0);
	rig_sleep(o.r, fns_rnr_timer_ns(20));
	assert_int_equal(o.r->nsent, 2);
	assert_int_equal(drained(o.r), 0);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(drained(o.r), 1);
	one_end(&o);
}

/* A payload that turns out unreadable when a full batch is handed over: all before it is sent again
 * and completes, it fails, the rest is flushed. */
static void fault_in_a_full_batch(void **state)
{
	struct one o;
	unsigned i, n = 0;
	struct fns_cqe c;

	one_begin(&o);
	o.r->fault_from = o.r->mem + 400000;
	o.r->fault_to = o.r->mem + 401000;
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 0, FNS_WRF_SIGNALED, 0, 2 * PMTU);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, 0, 400000, 1000);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, 0, 0, (FNS_TX_BATCH - 3) * PMTU);
	for (i = 3; i < 10; i++)
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, i, 0, 0, 10);
	rig_run(o.r);
	for (i = 0; i < o.r->nsent; i++)
		n += o.r->sent[i].h.psn == RIG_SQ_PSN;
	assert_int_equal(n, 2);
	rig_expect_no_cqe(&o.qp.cq);
	o.r->nsent = 0;
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 1, FNS_AETH_NAK); /* the second packet was lost */
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 1);
	rig_expect_sent(o.r, 0, FNS_OP_SEND_LAST, RIG_SQ_PSN + 1);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 1);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 0, FNS_WC_SUCCESS);
	assert_true(rig_poll(&o.qp.cq, &c));
	assert_int_equal(c.wr_id, 1);
	assert_int_equal(c.status, FNS_WC_LOC_PROT_ERR);
	for (i = 2; i < 10; i++)
		rig_expect_cqe(&o.qp.cq, i, FNS_WC_WR_FLUSH_ERR);
	assert_int_equal(rig_inner(o.r, &o.qp)->peer->inflight, 0);
	assert_int_equal(rig_inner(o.r, &o.qp)->sq.cur, 10);
	one_end(&o);
}

/* The same, where the fault ends the queue pair at once: nothing is left charged to the peer. */
static void fatal_fault_in_a_full_batch(void **state)
{
	struct one o;
	unsigned i;

	one_begin(&o);
	o.r->fault_from = o.r->mem + 400000;
	o.r->fault_to = o.r->mem + 401000;
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 0, 0, 400000, 1000);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, 0, 0, (FNS_TX_BATCH - 1) * PMTU);
	for (i = 2; i < 10; i++)
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, i, 0, 0, 10);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 0, FNS_WC_LOC_PROT_ERR);
	for (i = 1; i < 10; i++)
		rig_expect_cqe(&o.qp.cq, i, FNS_WC_WR_FLUSH_ERR);
	assert_int_equal(rig_inner(o.r, &o.qp)->peer->inflight, 0);
	assert_int_equal(rig_inner(o.r, &o.qp)->sq.cur, 10);
	one_end(&o);
}

static void inline_data_is_copied(void **state)
{
	struct one o;
	uint8_t data[256];
	struct rig_wr wr = {.op = FNS_WR_SEND,
		.flags = FNS_WRF_INLINE | FNS_WRF_SIGNALED,
		.data = data,
		.inline_len = sizeof(data)};

	one_begin(&o);
	memset(data, 0x11, sizeof(data));
	rig_post(o.r, &o.qp, &wr);
	memset(data, 0x22, sizeof(data));
	rig_run(o.r);
	assert_int_equal(o.r->sent[0].h.payload_len, 256);
	assert_int_equal(o.r->sent[0].h.payload[0], 0x11);
	assert_int_equal(o.r->sent[0].h.payload[255], 0x11);
	one_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segmentation),
		cmocka_unit_test(scattered),
		cmocka_unit_test(atomics_on_the_wire),
		cmocka_unit_test(coalesced_ack),
		cmocka_unit_test(unsignalled),
		cmocka_unit_test(stale_and_ghost_acks),
		cmocka_unit_test(nak_codes),
		cmocka_unit_test(reserved_syndromes),
		cmocka_unit_test(fence),
		cmocka_unit_test(max_rd_atomic),
		cmocka_unit_test(send_queue_drain),
		cmocka_unit_test(drain_waits_for_retransmission),
		cmocka_unit_test(fault_in_a_full_batch),
		cmocka_unit_test(fatal_fault_in_a_full_batch),
		cmocka_unit_test(inline_data_is_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
