/* SPDX-License-Identifier: Apache-2.0 */
/* RC responder, requests out of order: gaps, duplicates, receiver not ready (IBTA 9.7.4, 9.7.5). */
#include "conf.h"

static void window_ahead(struct conf *c)
{
	static const uint32_t ahead[] = {1, 2, 1000, 0x7ffffe, 0x7fffff};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(ahead); i++) {
		conf_open(c, FNS_QPT_RC);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + ahead[i], 8, true);
		conf_aeth(c, RQ, NAK(FNS_NAK_PSN_SEQUENCE), 0);
		assert_int_equal(c->r->mem[0], 0);
		assert_int_equal(rig_inner(c->r, &c->qp)->rsp.epsn, RQ);
		conf_close(c);
	}
}

static void window_behind(struct conf *c)
{
	static const uint32_t behind[] = {1, 2, 1000, 0x7fffff, 0x800000};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(behind); i++) {
		conf_open(c, FNS_QPT_RC);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ - behind[i], 8, true);
		conf_aeth(c, RQ - 1, ACK, 0);
		assert_int_equal(c->r->mem[0], 0);
		assert_int_equal(rig_count(c->r, FNS_C_rc_duplicates), 1);
		conf_close(c);
	}
}

static void nak_once(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 8; i++)
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + 2 + i, 8, true);
	conf_aeth(c, RQ, NAK(FNS_NAK_PSN_SEQUENCE), 0);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 5, 8, true);
	conf_silent(c);
	conf_close(c);
}

static void nak_next_gap(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 1, 8, true);
	conf_aeth(c, RQ, NAK(FNS_NAK_PSN_SEQUENCE), 0);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 3, 8, true);
	conf_aeth(c, RQ + 1, NAK(FNS_NAK_PSN_SEQUENCE), 1);
	conf_close(c);
}

static void ahead_not_kept(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	rig_post_recv(c->r, &c->qp, 2, 64, 64);
	conf_in(c, FNS_OP_SEND_ONLY, RQ + 1, 8, true);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&c->qp.cq);
	c->r->nsent = 0;
	conf_in(c, FNS_OP_SEND_ONLY, RQ + 1, 8, true); /* the requester went back */
	conf_aeth(c, RQ + 1, ACK, 2);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_SUCCESS);
	conf_close(c);
}

/* The NAK says that all before it arrived: their effects come first. */
static void nak_after_earlier(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, false);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, 0, 8), NULL, 0);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 3, 8, true);
	p = conf_sent(c, 2);
	assert_int_equal(p[0].h.opcode, FNS_OP_READ_RESP_ONLY);
	assert_memory_equal(p[0].h.payload, conf_data, 8);
	assert_int_equal(p[1].h.syndrome, NAK(FNS_NAK_PSN_SEQUENCE));
	assert_int_equal(p[1].h.psn, RQ + 2);
	assert_int_equal(p[1].h.msn, 2);
	conf_close(c);
}

static void dup_send(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	rig_post_recv(c->r, &c->qp, 2, 64, 64);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	memset(c->r->mem, 0xee, 128);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1); /* the MSN does not move */
	rig_expect_no_cqe(&c->qp.cq);
	assert_int_equal(c->r->mem[0], 0xee);
	assert_int_equal(c->r->mem[64], 0xee);
	conf_in(c, FNS_OP_SEND_ONLY, RQ + 1, 8, true);
	conf_aeth(c, RQ + 1, ACK, 2);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_SUCCESS);
	conf_close(c);
}

static void dup_write(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 3; i++)
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + i, 8, i == 2);
	conf_aeth(c, RQ + 2, ACK, 3);
	memset(c->r->mem, 0xee, 64);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	conf_aeth(c, RQ + 2, ACK, 3); /* says how far it is, not what came again */
	assert_int_equal(c->r->mem[0], 0xee);
	conf_close(c);
}

static void dup_write_imm(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 0);
	rig_post_recv(c->r, &c->qp, 2, 0, 0);
	conf_in(c, FNS_OP_WRITE_ONLY_IMM, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1);
	conf_in(c, FNS_OP_WRITE_ONLY_IMM, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static void dup_inside_message(struct conf *c)
{
	struct fns_cqe q;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 4 * PMTU);
	conf_in(c, FNS_OP_SEND_FIRST, RQ, PMTU, false);
	conf_in(c, FNS_OP_SEND_FIRST, RQ, PMTU, false);
	rig_settle(c->r);
	c->r->nsent = 0;
	rig_inject(c->r, rig_hdr(&c->qp, FNS_OP_SEND_MIDDLE, RQ + 1), conf_data + PMTU, PMTU);
	conf_in(c, FNS_OP_SEND_FIRST, RQ, PMTU, false);
	rig_inject(c->r, rig_hdr(&c->qp, FNS_OP_SEND_LAST, RQ + 2), conf_data + 2 * PMTU, 9);
	rig_settle(c->r);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.byte_len, 2 * PMTU + 9);
	assert_memory_equal(c->r->mem, conf_data, 2 * PMTU + 9);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static void dup_read(struct conf *c)
{
	struct fns_hdr h;
	const struct rig_packet *p;
	unsigned i, n;

	conf_open(c, FNS_QPT_RC);
	h = conf_rdma(c, FNS_OP_READ_REQUEST, RQ, 0, 3 * PMTU);
	memcpy(c->r->mem, conf_data, 3 * PMTU);
	for (n = 0; n < 3; n++) {
		rig_inject(c->r, h, NULL, 0);
		p = conf_sent(c, 3);
		for (i = 0; i < 3; i++) {
			assert_int_equal(p[i].h.psn, RQ + i);
			assert_memory_equal(p[i].h.payload, c->r->mem + i * PMTU, PMTU);
		}
		assert_int_equal(p[0].h.msn, 1);
		c->r->mem[5] ^= 1; /* executed again: memory as it is now */
	}
	assert_int_equal(rig_inner(c->r, &c->qp)->rsp.epsn, RQ + 3);
	conf_close(c);
}

static void dup_read_rest(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	memcpy(c->r->mem, conf_data, 4 * PMTU);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ, 0, 4 * PMTU), NULL, 0);
	conf_sent(c, 4);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, PMTU, 3 * PMTU), NULL, 0);
	p = conf_sent(c, 3);
	assert_int_equal(p[0].h.opcode, FNS_OP_READ_RESP_FIRST);
	assert_int_equal(p[2].h.opcode, FNS_OP_READ_RESP_LAST);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(p[i].h.psn, RQ + 1 + i);
		assert_memory_equal(p[i].h.payload, conf_data + (i + 1) * PMTU, PMTU);
	}
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 3, 3 * PMTU, PMTU), NULL, 0);
	p = conf_sent(c, 1);
	assert_int_equal(p->h.opcode, FNS_OP_READ_RESP_ONLY);
	conf_close(c);
}

static void dup_read_key(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	h = conf_rdma(c, FNS_OP_READ_REQUEST, RQ, 0, 8);
	rig_inject(c->r, h, NULL, 0);
	conf_sent(c, 1);
	h.rkey ^= 0x100;
	rig_inject(c->r, h, NULL, 0);
	rig_settle(c->r);
	assert_int_equal(c->r->nsent, 1);
	assert_int_equal(c->r->sent[0].h.syndrome, NAK(FNS_NAK_REMOTE_ACCESS));
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_ERR);
	conf_close(c);
}

static void dup_atomic(struct conf *c)
{
	struct fns_hdr h;
	const struct rig_packet *p;
	uint64_t *word;

	conf_open(c, FNS_QPT_RC);
	word = (uint64_t *)(void *)c->r->mem;
	*word = 40;
	h = conf_rdma(c, FNS_OP_FETCH_ADD, RQ, 0, 0);
	h.swap_add = 2;
	rig_inject(c->r, h, NULL, 0);
	assert_true(conf_sent(c, 1)->h.orig == 40);
	*word = 1000;
	for (unsigned i = 0; i < 3; i++) {
		rig_inject(c->r, h, NULL, 0);
		p = conf_sent(c, 1);
		assert_int_equal(p->h.opcode, FNS_OP_ATOMIC_ACK);
		assert_int_equal(p->h.psn, RQ);
		assert_true(p->h.orig == 40);
		assert_int_equal(p->h.msn, 1);
	}
	assert_true(*word == 1000);
	conf_close(c);
}

static void dup_atomic_each(struct conf *c)
{
	struct fns_hdr h;
	unsigned i;

	conf_open(c, FNS_QPT_RC); /* max_dest_rd_atomic is 16 */
	for (i = 0; i < 20; i++) {
		h = conf_rdma(c, FNS_OP_FETCH_ADD, RQ + i, 0, 0);
		h.swap_add = 1;
		rig_inject(c->r, h, NULL, 0);
		assert_true(conf_sent(c, 1)->h.orig == i);
	}
	for (i = 4; i < 20; i++) {
		h = conf_rdma(c, FNS_OP_FETCH_ADD, RQ + i, 0, 0);
		rig_inject(c->r, h, NULL, 0);
		assert_true(conf_sent(c, 1)->h.orig == i);
	}
	conf_close(c);
}

static void dup_atomic_unknown(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	conf_sent(c, 1);
	h = conf_rdma(c, FNS_OP_FETCH_ADD, RQ, 0, 0); /* that PSN was no atomic */
	h.swap_add = 1;
	rig_inject(c->r, h, NULL, 0);
	conf_silent(c);
	assert_memory_equal(c->r->mem, conf_data, 8);
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_RTS);
	conf_close(c);
}

static void rnr_nak(struct conf *c)
{
	unsigned code;

	for (code = 0; code < 32; code++) {
		conf_new(c, FNS_QPT_RC);
		c->qp.attr.min_rnr_timer = (uint8_t)code;
		conf_up(c);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, false);
		conf_in(c, FNS_OP_SEND_ONLY, RQ + 1, 8, true);
		conf_aeth(c, RQ + 1, RNR(code), 1);
		assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_RTS);
		conf_close(c);
	}
}

static void rnr_then_silence(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 5; i++)
		conf_in(c, FNS_OP_SEND_ONLY, RQ + i, 8, true);
	conf_aeth(c, RQ, RNR(12), 0);
	conf_close(c);
}

static void rnr_retried(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, RNR(12), 0);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true); /* too early: another one */
	conf_aeth(c, RQ, RNR(12), 0);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void rnr_write_imm(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY_IMM, RQ, 8, true);
	conf_aeth(c, RQ, RNR(12), 0);
	rig_post_recv(c->r, &c->qp, 1, 0, 0);
	conf_in(c, FNS_OP_WRITE_ONLY_IMM, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	assert_memory_equal(c->r->mem, conf_data, 8);
	conf_close(c);
}

static void rnr_write_last_imm(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	h = conf_rdma(c, FNS_OP_WRITE_FIRST, RQ, 0, PMTU + 4);
	h.ack_req = false;
	rig_inject(c->r, h, conf_data, PMTU);
	conf_in(c, FNS_OP_WRITE_LAST_IMM, RQ + 1, 4, true);
	conf_aeth(c, RQ + 1, RNR(12), 0); /* of the LAST: the FIRST was taken */
	rig_post_recv(c->r, &c->qp, 1, 0, 0);
	conf_in(c, FNS_OP_WRITE_LAST_IMM, RQ + 1, 4, true);
	conf_aeth(c, RQ + 1, ACK, 1);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void rnr_not_needed(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, 0, 8), NULL, 0);
	rig_inject(c->r, conf_rdma(c, FNS_OP_FETCH_ADD, RQ + 2, 0, 0), NULL, 0);
	conf_sent(c, 3);
	assert_int_equal(rig_count(c->r, FNS_C_rc_rnr_naks_sent), 0);
	conf_close(c);
}

/* A gap while waiting after an RNR NAK brings no sequence NAK, and the other way round. */
static void rnr_then_gap(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, RNR(12), 0);
	conf_in(c, FNS_OP_SEND_ONLY, RQ + 4, 8, true);
	conf_silent(c);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 1);
	conf_in(c, FNS_OP_SEND_ONLY, RQ + 4, 8, true);
	conf_aeth(c, RQ + 1, NAK(FNS_NAK_PSN_SEQUENCE), 1);
	conf_close(c);
}

static const struct conf_rule rules[] = {
	{"C9-dup-window-ahead", "9.7.4.1",
		"a PSN up to 2^23 - 1 ahead is a gap: NAK PSN sequence error for the one expected, not executed",
		window_ahead},
	{"C9-dup-window-behind", "9.7.4.1",
		"a PSN up to 2^23 behind is a duplicate: acknowledged again, not executed",
		window_behind},
	{"C9-dup-nak-once", "9.7.5.2" MEM,
		"one sequence NAK for a gap, then silence until the expected PSN comes", nak_once},
	{"C9-dup-nak-next", "9.7.5.2" MEM, "the next gap has its own NAK", nak_next_gap},
	{"C9-dup-ahead-dropped", "9.7.4.1",
		"requests beyond a gap are dropped: they must come again", ahead_not_kept},
	{"C9-dup-nak-order", "9.7.5",
		"a sequence NAK leaves after the responses to all earlier requests",
		nak_after_earlier},
	{"C9-dup-send", "9.7.5.1",
		"a duplicate SEND is acknowledged, uses no receive, does not move the MSN",
		dup_send},
	{"C9-dup-write", "9.7.5.1",
		"a duplicate WRITE is acknowledged with the last PSN executed and not executed",
		dup_write},
	{"C9-dup-write-imm", "9.7.5.1", "a duplicate WRITE with immediate uses no receive",
		dup_write_imm},
	{"C9-dup-inside", "9.7.5.1", "duplicates inside a message do not disturb its reassembly",
		dup_inside_message},
	{"C9-dup-read", "9.7.5.1", "a duplicate READ is executed again with the same PSNs",
		dup_read},
	{"C9-dup-read-rest", "9.4.4",
		"a retried READ may ask for the rest only, from a later PSN and address",
		dup_read_rest},
	{"C9-dup-read-key", "9.7.5.1", "the key of a duplicate READ is checked again",
		dup_read_key},
	{"C9-dup-atomic", "9.4.5",
		"a duplicate atomic is answered with the saved result, not executed", dup_atomic},
	{"C9-dup-atomic-depth", "9.4.5", "as many results are saved as atomics may be outstanding",
		dup_atomic_each},
	{"C9-dup-atomic-unknown", "9.4.5", "a duplicate atomic without a saved result is dropped",
		dup_atomic_unknown},
	{"C9-dup-rnr", "9.7.5.2.8",
		"a SEND without a receive: RNR NAK with the QP's timer code, all 32", rnr_nak},
	{"C9-dup-rnr-once", "9.7.5.2.8", "after an RNR NAK what follows is dropped in silence",
		rnr_then_silence},
	{"C9-dup-rnr-retried", "9.7.5.2.8",
		"the request comes again: RNR NAK again, or execution when there is a receive",
		rnr_retried},
	{"C9-dup-rnr-write-imm", "9.7.5.2.8", "WRITE ONLY with immediate needs a receive",
		rnr_write_imm},
	{"C9-dup-rnr-write-last", "9.7.5.2.8",
		"WRITE LAST with immediate needs a receive; the packets before it stay accepted",
		rnr_write_last_imm},
	{"C9-dup-rnr-not-needed", "9.7.5.2.8", "plain WRITE, READ and atomics need no receive",
		rnr_not_needed},
	{"C9-dup-rnr-gap", "9.7.5.2.8",
		"no sequence NAK while an RNR NAK is outstanding, one for the next gap",
		rnr_then_gap},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
