/* SPDX-License-Identifier: Apache-2.0 */
/* RC responder, requests that are good or come twice: effects, acknowledgements, replays, and the
 * order of all three. */
#include "one.h"

#include <string.h>

static void send(struct one *o, uint8_t op, uint32_t psn, const void *data, uint32_t len, bool ack)
{
	struct fns_hdr h = rig_hdr(&o->qp, op, psn);

	h.ack_req = ack;
	h.imm = 0x01020304;
	rig_inject(o->r, h, data, len);
}

static struct fns_hdr reth(struct one *o, uint8_t op, uint32_t psn, uint32_t off, uint32_t len)
{
	struct fns_hdr h = rig_hdr_rdma(o->r, &o->qp, op, psn, off, len);

	h.ack_req = true;
	return h;
}

/* The only packet sent since must be this acknowledgement. */
static void expect_aeth(struct one *o, uint32_t psn, uint8_t syndrome, uint32_t msn)
{
	const struct rig_packet *p;

	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 1);
	p = rig_expect_sent(o->r, 0, FNS_OP_ACK, psn);
	assert_int_equal(p->h.syndrome, syndrome);
	assert_int_equal(p->h.msn, msn);
	o->r->nsent = 0;
}

#define ACK (FNS_AETH_ACK | FNS_AETH_NO_CREDITS)

static void send_message(struct one *o)
{
	struct fns_cqe c;
	uint32_t psn = RIG_RQ_PSN;

	rig_post_recv(o->r, &o->qp, 1, 0, 4 * PMTU);
	rig_post_recv(o->r, &o->qp, 2, 8 * PMTU, 100);
	rig_post_recv(o->r, &o->qp, 3, 0, 0);
	send(o, FNS_OP_SEND_FIRST, psn, o->data, PMTU, false);
	send(o, FNS_OP_SEND_MIDDLE, psn + 1, o->data + PMTU, PMTU, false);
	send(o, FNS_OP_SEND_LAST, psn + 2, o->data + 2 * PMTU, 13, true);
	expect_aeth(o, psn + 2, ACK, 1);
	assert_true(rig_poll(&o->qp.cq, &c));
	assert_int_equal(c.wr_id, 1);
	assert_int_equal(c.opcode, FNS_WC_RECV);
	assert_int_equal(c.byte_len, 2 * PMTU + 13);
	assert_int_equal(c.wc_flags, 0);
	assert_int_equal(c.qpn, o->qp.qpn);
	assert_false(c.is_send);
	assert_memory_equal(o->r->mem, o->data, 2 * PMTU + 13);
	assert_int_equal(o->r->mem[2 * PMTU + 13], 0); /* the pad is not data */
	send(o, FNS_OP_SEND_ONLY_IMM, psn + 3, o->data, 100, true);
	expect_aeth(o, psn + 3, ACK, 2);
	assert_true(rig_poll(&o->qp.cq, &c));
	assert_int_equal(c.wr_id, 2);
	assert_int_equal(c.wc_flags, FNS_WCF_WITH_IMM);
	assert_int_equal(c.imm, 0x01020304);
	assert_memory_equal(o->r->mem + 8 * PMTU, o->data, 100);
	send(o, FNS_OP_SEND_ONLY, psn + 4, NULL, 0, true);
	expect_aeth(o, psn + 4, ACK, 3);
	rig_expect_cqe(&o->qp.cq, 3, FNS_WC_SUCCESS);
}

static void send_near(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);

	send_message(o);
	one_end(o);
}

static void send_far(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);

	send_message(o);
	one_end(o);
}

static void write_message(struct one *o)
{
	struct fns_cqe c;
	struct fns_hdr h;
	uint32_t psn = RIG_RQ_PSN;

	h = reth(o, FNS_OP_WRITE_FIRST, psn, 64, 2 * PMTU + 5);
	h.ack_req = false;
	rig_inject(o->r, h, o->data, PMTU);
	send(o, FNS_OP_WRITE_MIDDLE, psn + 1, o->data + PMTU, PMTU, false);
	send(o, FNS_OP_WRITE_LAST, psn + 2, o->data + 2 * PMTU, 5, true);
	expect_aeth(o, psn + 2, ACK, 1);
	assert_memory_equal(o->r->mem + 64, o->data, 2 * PMTU + 5);
	assert_int_equal(o->r->mem[63], 0);
	assert_int_equal(o->r->mem[64 + 2 * PMTU + 5], 0);
	rig_expect_no_cqe(&o->qp.cq);
	/* With immediate: a receive is used up, without its memory; byte_len is the message's. */
	rig_post_recv(o->r, &o->qp, 9, 0, 0);
	rig_inject(o->r, reth(o, FNS_OP_WRITE_FIRST, psn + 3, 9000, PMTU + 1), o->data, PMTU);
	send(o, FNS_OP_WRITE_LAST_IMM, psn + 4, o->data + PMTU, 1, true);
	rig_settle(o->r);
	assert_true(rig_poll(&o->qp.cq, &c));
	assert_int_equal(c.wr_id, 9);
	assert_int_equal(c.opcode, FNS_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(c.byte_len, PMTU + 1);
	assert_int_equal(c.imm, 0x01020304);
	assert_int_equal(c.wc_flags, FNS_WCF_WITH_IMM);
	o->r->nsent = 0;
	/* Zero bytes: nobody looks at the key. */
	h = reth(o, FNS_OP_WRITE_ONLY, psn + 5, 0, 0);
	h.rkey = 0xbad;
	h.va = 1;
	rig_inject(o->r, h, NULL, 0);
	expect_aeth(o, psn + 5, ACK, 3);
}

static void write_near(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);

	write_message(o);
	one_end(o);
}

static void write_far(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);

	write_message(o);
	one_end(o);
}

static void expect_read(struct one *o, uint32_t psn, uint32_t off, uint32_t len)
{
	uint32_t n = len ? (len + PMTU - 1) / PMTU : 1, i;

	rig_settle(o->r);
	assert_int_equal(o->r->nsent, n);
	for (i = 0; i < n; i++) {
		uint8_t op = n == 1       ? FNS_OP_READ_RESP_ONLY
			     : i == 0     ? FNS_OP_READ_RESP_FIRST
			     : i + 1 == n ? FNS_OP_READ_RESP_LAST
					  : FNS_OP_READ_RESP_MIDDLE;
		const struct rig_packet *p = rig_expect_sent(o->r, i, op, psn + i);

		assert_int_equal(p->h.payload_len, FNS_MIN(PMTU, len - i * PMTU));
		assert_memory_equal(p->h.payload, o->r->mem + off + i * PMTU, p->h.payload_len);
		if (op != FNS_OP_READ_RESP_MIDDLE)
			assert_int_equal(p->h.syndrome, ACK);
	}
	o->r->nsent = 0;
}

static void reads(struct one *o)
{
	static const uint32_t lens[] = {0, 1, 100, PMTU, PMTU + 1, 3 * PMTU, 40 * PMTU + 7};
	uint32_t psn = RIG_RQ_PSN, i;

	memcpy(o->r->mem, o->data, sizeof(o->data));
	for (i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		struct fns_hdr h = reth(o, FNS_OP_READ_REQUEST, psn, 5, lens[i]);

		if (lens[i] == 0)
			h.rkey = 1;
		rig_inject(o->r, h, NULL, 0);
		expect_read(o, psn, 5, lens[i]);
		psn += lens[i] ? (lens[i] + PMTU - 1) / PMTU : 1;
		assert_int_equal(rig_inner(o->r, &o->qp)->rsp.msn, i + 1);
		assert_int_equal(rig_inner(o->r, &o->qp)->rsp.epsn, psn);
		assert_int_equal(rig_inner(o->r, &o->qp)->rsp.rd_queued, 0);
	}
}

static void reads_near(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);

	reads(o);
	one_end(o);
}

static void reads_far(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);

	reads(o);
	one_end(o);
}

static void gap_gives_one_nak(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	unsigned i;

	for (i = 0; i < 4; i++)
		rig_post_recv(o->r, &o->qp, i, i * 64, 64);
	for (i = 2; i < 10; i++)
		send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + i, o->data, 10, true);
	expect_aeth(o, RIG_RQ_PSN, FNS_AETH_NAK, 0);
	assert_int_equal(rig_count(o->r, FNS_C_drop_psn), 8);
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 5, o->data, 10, true);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 0); /* silent until the expected one arrives */
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 10, true);
	expect_aeth(o, RIG_RQ_PSN, ACK, 1);
	rig_expect_cqe(&o->qp.cq, 0, FNS_WC_SUCCESS);
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 2, o->data, 10,
		true); /* the next gap: a NAK again */
	expect_aeth(o, RIG_RQ_PSN + 1, FNS_AETH_NAK, 1);
	rig_expect_no_cqe(&o->qp.cq);
	one_end(o);
}

static void duplicates_are_not_executed(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);

	rig_post_recv(o->r, &o->qp, 1, 0, 64);
	rig_post_recv(o->r, &o->qp, 2, 64, 64);
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 10, true);
	expect_aeth(o, RIG_RQ_PSN, ACK, 1);
	rig_inject(o->r, reth(o, FNS_OP_WRITE_ONLY, RIG_RQ_PSN + 1, 128, 16), o->data, 16);
	expect_aeth(o, RIG_RQ_PSN + 1, ACK, 2);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	memset(o->r->mem, 0xee, 256);
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 10, true);
	expect_aeth(o, RIG_RQ_PSN + 1, ACK, 2); /* says how far it is */
	rig_inject(o->r, reth(o, FNS_OP_WRITE_ONLY, RIG_RQ_PSN + 1, 128, 16), o->data, 16);
	expect_aeth(o, RIG_RQ_PSN + 1, ACK, 2);
	rig_expect_no_cqe(&o->qp.cq);
	assert_int_equal(o->r->mem[0], 0xee);
	assert_int_equal(o->r->mem[128], 0xee);
	assert_int_equal(rig_count(o->r, FNS_C_rc_duplicates), 2);
	one_end(o);
}

static void duplicate_read_is_executed_again(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_hdr h = reth(o, FNS_OP_READ_REQUEST, RIG_RQ_PSN, 0, 3 * PMTU);
	uint64_t referenced;

	memcpy(o->r->mem, o->data, 4 * PMTU);
	rig_inject(o->r, h, NULL, 0);
	expect_read(o, RIG_RQ_PSN, 0, 3 * PMTU);
	referenced = rig_count(o->r, FNS_C_tx_payload_referenced);
	o->r->mem[5] ^= 1; /* memory as it is now */
	rig_inject(o->r, h, NULL, 0);
	expect_read(o, RIG_RQ_PSN, 0, 3 * PMTU);
	h = reth(o, FNS_OP_READ_REQUEST, RIG_RQ_PSN + 1, PMTU, 2 * PMTU); /* its tail */
	rig_inject(o->r, h, NULL, 0);
	expect_read(o, RIG_RQ_PSN + 1, PMTU, 2 * PMTU);
	assert_int_equal(rig_count(o->r, FNS_C_tx_payload_referenced), referenced); /* staged */
	assert_int_equal(rig_inner(o->r, &o->qp)->rsp.msn, 1);
	assert_int_equal(rig_inner(o->r, &o->qp)->rsp.epsn, RIG_RQ_PSN + 3);
	/* The key is looked at again. */
	h.rkey ^= 0x100;
	rig_inject(o->r, h, NULL, 0);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 1);
	assert_int_equal(o->r->sent[0].h.syndrome, FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS);
	one_end(o);
}

static void expect_atomic(struct one *o, uint32_t psn, uint64_t orig)
{
	const struct rig_packet *p;

	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 1);
	p = rig_expect_sent(o->r, 0, FNS_OP_ATOMIC_ACK, psn);
	assert_int_equal(p->h.orig, orig);
	assert_int_equal(p->h.syndrome, ACK);
	o->r->nsent = 0;
}

static void atomics(struct one *o)
{
	struct fns_hdr h = reth(o, FNS_OP_FETCH_ADD, RIG_RQ_PSN, 16, 0);
	uint64_t *word = (uint64_t *)(void *)(o->r->mem + 16);

	*word = 40;
	h.swap_add = 2;
	rig_inject(o->r, h, NULL, 0);
	expect_atomic(o, RIG_RQ_PSN, 40);
	assert_int_equal(*word, 42);
	*word = 1000; /* the saved result, not a new one */
	rig_inject(o->r, h, NULL, 0);
	expect_atomic(o, RIG_RQ_PSN, 40);
	assert_int_equal(*word, 1000);
	h.opcode = FNS_OP_CMP_SWAP;
	h.psn++;
	h.compare = 999;
	h.swap_add = 7;
	rig_inject(o->r, h, NULL, 0);
	expect_atomic(o, RIG_RQ_PSN + 1, 1000);
	assert_int_equal(*word, 1000);
	h.psn++;
	h.compare = 1000;
	rig_inject(o->r, h, NULL, 0);
	expect_atomic(o, RIG_RQ_PSN + 2, 1000);
	assert_int_equal(*word, 7);
	h.psn--; /* an older one still has its own */
	rig_inject(o->r, h, NULL, 0);
	expect_atomic(o, RIG_RQ_PSN + 1, 1000);
	h.psn--;
	rig_inject(o->r, h, NULL, 0);
	expect_atomic(o, RIG_RQ_PSN, 40);
	assert_int_equal(*word, 7);
	assert_int_equal(rig_inner(o->r, &o->qp)->rsp.msn, 3);
}

static void atomics_near(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);

	atomics(o);
	one_end(o);
}

static void atomics_far(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);

	atomics(o);
	one_end(o);
}

/* Far memory: payload, then completion, then acknowledgement; and packets commit in their order
 * however memory reorders. */
static void placed_before_told(void **state)
{
	uint64_t seed;

	for (seed = 1; seed < 20; seed++) {
		struct rig_opts opts = far;
		struct one *o;
		unsigned i, done = 0;
		struct fns_cqe c;

		opts.sim.seed = seed;
		o = one_begin(FNS_QPT_RC, &opts);
		for (i = 0; i < 6; i++)
			rig_post_recv(o->r, &o->qp, i, i * 4096, 4096);
		for (i = 0; i < 6; i++) {
			send(o, FNS_OP_SEND_FIRST, RIG_RQ_PSN + 2 * i, o->data + i, PMTU, false);
			send(o, FNS_OP_SEND_LAST, RIG_RQ_PSN + 2 * i + 1, o->data + i + PMTU, 500,
				true);
		}
		for (i = 0; i < 1000 && done < 6; i++) {
			rig_step(o->r, 100);
			while (rig_poll(&o->qp.cq, &c)) {
				assert_int_equal(c.wr_id, done);
				assert_memory_equal(
					o->r->mem + done * 4096, o->data + done, PMTU + 500);
				done++;
			}
			/* No acknowledgement beyond what has completed. */
			if (o->r->nsent)
				assert_true(psn_diff(o->r->sent[o->r->nsent - 1].h.psn,
						    RIG_RQ_PSN + 2 * done) < 0);
		}
		assert_int_equal(done, 6);
		rig_settle(o->r);
		assert_int_equal(o->r->sent[o->r->nsent - 1].h.psn, RIG_RQ_PSN + 11);
		assert_int_equal(o->r->sent[o->r->nsent - 1].h.msn, 6);
		one_end(o);
	}
}

/* An atomic sees what earlier WRITEs brought, even where memory reorders. */
static void atomic_after_write(void **state)
{
	uint64_t seed;

	for (seed = 1; seed < 20; seed++) {
		struct rig_opts opts = far;
		struct one *o;
		uint64_t value = 41;
		struct fns_hdr h;

		opts.sim.seed = seed;
		o = one_begin(FNS_QPT_RC, &opts);
		rig_inject(o->r, reth(o, FNS_OP_WRITE_ONLY, RIG_RQ_PSN, 64, 8), &value, 8);
		h = reth(o, FNS_OP_FETCH_ADD, RIG_RQ_PSN + 1, 64, 0);
		h.swap_add = 1;
		rig_inject(o->r, h, NULL, 0);
		rig_settle(o->r);
		assert_int_equal(o->r->nsent, 2);
		rig_expect_sent(o->r, 0, FNS_OP_ACK, RIG_RQ_PSN);
		assert_int_equal(
			rig_expect_sent(o->r, 1, FNS_OP_ATOMIC_ACK, RIG_RQ_PSN + 1)->h.orig, 41);
		memcpy(&value, o->r->mem + 64, 8);
		assert_int_equal(value, 42);
		one_end(o);
	}
}

static void receiver_not_ready(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	unsigned i;

	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 10, true);
	expect_aeth(o, RIG_RQ_PSN, FNS_AETH_RNR | 12, 0);
	for (i = 1; i < 5; i++) /* what followed it is passed over in silence */
		send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + i, o->data, 10, true);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 0);
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 10, true); /* still none: once more */
	expect_aeth(o, RIG_RQ_PSN, FNS_AETH_RNR | 12, 0);
	rig_post_recv(o->r, &o->qp, 1, 0, 64);
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 10, true);
	expect_aeth(o, RIG_RQ_PSN, ACK, 1);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	/* WRITE with immediate needs one at its end only, and leaves no trace of the refusal. */
	rig_inject(o->r, reth(o, FNS_OP_WRITE_FIRST, RIG_RQ_PSN + 1, 0, PMTU + 4), o->data, PMTU);
	send(o, FNS_OP_WRITE_LAST_IMM, RIG_RQ_PSN + 2, o->data + PMTU, 4, true);
	rig_run(o->r);
	assert_int_equal(o->r->sent[o->r->nsent - 1].h.syndrome, FNS_AETH_RNR | 12);
	o->r->nsent = 0;
	rig_post_recv(o->r, &o->qp, 2, 0, 0);
	send(o, FNS_OP_WRITE_LAST_IMM, RIG_RQ_PSN + 2, o->data + PMTU, 4, true);
	expect_aeth(o, RIG_RQ_PSN + 2, ACK, 2);
	rig_expect_cqe(&o->qp.cq, 2, FNS_WC_SUCCESS);
	assert_memory_equal(o->r->mem, o->data, PMTU + 4);
	one_end(o);
}

static void solicited_event(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_hdr h;
	unsigned i;

	for (i = 0; i < 3; i++)
		rig_post_recv(o->r, &o->qp, i, 0, 64);
	atomic_store(&o->qp.cq.ring->arm, FNS_CQ_ARM_SOLICITED);
	send(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, o->data, 10, true);
	rig_run(o->r);
	assert_int_equal(o->r->ncomp_events, 0);
	h = rig_hdr(&o->qp, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 1);
	h.solicited = true;
	rig_inject(o->r, h, o->data, 10);
	rig_run(o->r);
	assert_int_equal(o->r->ncomp_events, 1);
	assert_int_equal(atomic_load(&o->qp.cq.ring->arm), FNS_CQ_ARM_NONE);
	h.psn++;
	rig_inject(o->r, h, o->data, 10);
	rig_run(o->r);
	assert_int_equal(o->r->ncomp_events, 1); /* once for each arming */
	one_end(o);
}

static void send_with_invalidate(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_ctl m = {.op = FNS_CTL_MW_CREATE, .mw = {.pd = o->r->pd, .type = 2}};
	struct rig_wr wr = {.op = FNS_WR_BIND_MW, .flags = FNS_WRF_SIGNALED, .wr_id = 5};
	struct fns_hdr h;
	struct fns_cqe c;
	uint32_t key;

	assert_int_equal(rig_ctl(o->r, &m), 0);
	key = m.mw.key ^ 3;
	wr.bind.addr = (uintptr_t)o->r->mem;
	wr.bind.len = 64;
	wr.bind.mr_key = o->r->key;
	wr.bind.mw_key = m.mw.key;
	wr.bind.new_key = key;
	wr.bind.access = FNS_ACCESS_REMOTE_WRITE;
	rig_post(o->r, &o->qp, &wr);
	rig_post_recv(o->r, &o->qp, 1, 4096, 64);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 5, FNS_WC_SUCCESS);
	h = reth(o, FNS_OP_WRITE_ONLY, RIG_RQ_PSN, 0, 8);
	h.rkey = key;
	rig_inject(o->r, h, o->data, 8);
	expect_aeth(o, RIG_RQ_PSN, ACK, 1);
	h = rig_hdr(&o->qp, FNS_OP_SEND_ONLY_INV, RIG_RQ_PSN + 1);
	h.imm = key;
	rig_inject(o->r, h, o->data, 8);
	rig_run(o->r);
	assert_true(rig_poll(&o->qp.cq, &c));
	assert_int_equal(c.wc_flags, FNS_WCF_WITH_INV);
	assert_int_equal(c.imm, key);
	o->r->nsent = 0;
	memset(o->r->mem, 0, 64);
	h = reth(o, FNS_OP_WRITE_ONLY, RIG_RQ_PSN + 2, 0, 8);
	h.rkey = key;
	rig_inject(o->r, h, o->data, 8);
	expect_aeth(o, RIG_RQ_PSN + 2, FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS, 2);
	assert_int_equal(o->r->mem[0], 0);
	one_end(o);
}

/* Without AckReq nothing is sent; the next acknowledgement covers all. */
static void acknowledgements_on_request(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	unsigned i;

	for (i = 0; i < 20; i++) {
		struct fns_hdr h = reth(o, FNS_OP_WRITE_ONLY, RIG_RQ_PSN + i, i * 64, 64);

		h.ack_req = i == 19;
		rig_inject(o->r, h, o->data, 64);
	}
	expect_aeth(o, RIG_RQ_PSN + 19, ACK, 20);
	one_end(o);
}

/* In the order of the requests, though the READ's answer takes a while. */
static void responses_in_order(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);
	unsigned i;

	rig_inject(o->r, reth(o, FNS_OP_READ_REQUEST, RIG_RQ_PSN, 8192, 2 * PMTU), NULL, 0);
	rig_inject(o->r, reth(o, FNS_OP_WRITE_ONLY, RIG_RQ_PSN + 2, 0, 64), o->data, 64);
	rig_inject(o->r, reth(o, FNS_OP_READ_REQUEST, RIG_RQ_PSN + 3, 8192, 8), NULL, 0);
	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(o->r->sent[i].h.psn, RIG_RQ_PSN + i);
	assert_int_equal(o->r->sent[2].h.opcode, FNS_OP_ACK);
	one_end(o);
}

static void communication_established(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_to_init(r, &qp);
	rig_post_recv(r, &qp, 1, 0, 64);
	rig_to_rtr(r, &qp);
	rig_inject(r, rig_hdr(&qp, FNS_OP_SEND_ONLY, RIG_RQ_PSN), NULL, 0);
	rig_inject(r, rig_hdr(&qp, FNS_OP_SEND_ONLY, RIG_RQ_PSN), NULL, 0);
	rig_run(r);
	rig_expect_cqe(&qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(r->nevents, 1);
	assert_int_equal(r->event[0].type, FNS_EVENT_COMM_EST);
	assert_int_equal(r->event[0].cookie, 77);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(send_near),
		cmocka_unit_test(send_far),
		cmocka_unit_test(write_near),
		cmocka_unit_test(write_far),
		cmocka_unit_test(reads_near),
		cmocka_unit_test(reads_far),
		cmocka_unit_test(gap_gives_one_nak),
		cmocka_unit_test(duplicates_are_not_executed),
		cmocka_unit_test(duplicate_read_is_executed_again),
		cmocka_unit_test(atomics_near),
		cmocka_unit_test(atomics_far),
		cmocka_unit_test(placed_before_told),
		cmocka_unit_test(atomic_after_write),
		cmocka_unit_test(receiver_not_ready),
		cmocka_unit_test(solicited_event),
		cmocka_unit_test(send_with_invalidate),
		cmocka_unit_test(acknowledgements_on_request),
		cmocka_unit_test(responses_in_order),
		cmocka_unit_test(communication_established),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
