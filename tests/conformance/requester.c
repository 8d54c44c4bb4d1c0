/* SPDX-License-Identifier: Apache-2.0 */
/* RC requester, what it sends and what acknowledgements do: PSNs, segmentation, headers, completion
 * (IBTA 9.7.3, 9.7.6). */
#include "conf.h"

static void psn_sequence(struct conf *c)
{
	static const uint32_t start[] = {0, 5, 0x7fffff, 0xfffffd, 0xffffff};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(start); i++) {
		const struct rig_packet *p;

		conf_new(c, FNS_QPT_RC);
		c->qp.attr.sq_psn = start[i];
		conf_up(c);
		conf_post(c, FNS_WR_SEND, 1, 0, 3 * PMTU);
		conf_post(c, FNS_WR_WRITE, 2, 0, 2 * PMTU);
		conf_post(c, FNS_WR_SEND, 3, 0, 0);
		p = conf_sent(c, 6);
		for (k = 0; k < 6; k++)
			assert_int_equal(p[k].h.psn, (start[i] + k) & 0xffffff);
		rig_inject_ack(c->r, &c->qp, start[i] + 5);
		rig_settle(c->r);
		for (k = 1; k <= 3; k++)
			rig_expect_cqe(&c->qp.cq, k, FNS_WC_SUCCESS);
		conf_close(c);
	}
}

static void psn_of_reads(struct conf *c)
{
	static const uint32_t len[] = {0, 1, PMTU, PMTU + 1, 5 * PMTU};
	uint32_t psn = SQ;
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < FNS_ARRAY_SIZE(len); i++) {
		conf_post(c, FNS_WR_READ, i, 0, len[i]);
		psn += len[i] ? FNS_DIV_UP(len[i], PMTU) : 1;
	}
	conf_atomic(c, FNS_WR_FETCH_ADD, 9, 0, 1);
	conf_post(c, FNS_WR_SEND, 10, 0, 0);
	assert_int_equal(c->r->nsent, FNS_ARRAY_SIZE(len) + 2);
	rig_expect_sent(c->r, c->r->nsent - 2, FNS_OP_FETCH_ADD, psn);
	rig_expect_sent(c->r, c->r->nsent - 1, FNS_OP_SEND_ONLY, psn + 1);
	conf_close(c);
}

/* n packets of a message: first, middle, last or only; each with its part of the payload. */
static void check_message(struct conf *c, uint32_t pmtu, uint32_t len, uint8_t first,
	uint8_t middle, uint8_t last, uint8_t only)
{
	uint32_t n = len ? FNS_DIV_UP(len, pmtu) : 1, i;
	const struct rig_packet *p = conf_sent(c, n);

	for (i = 0; i < n; i++) {
		uint32_t part = FNS_MIN(pmtu, len - i * pmtu);

		assert_int_equal(p[i].h.opcode, n == 1       ? only
						: i == 0     ? first
						: i + 1 == n ? last
							     : middle);
		assert_int_equal(p[i].h.payload_len, part);
		assert_int_equal(p[i].h.pad, -part & 3);
		assert_int_equal(p[i].len % 4, 0);
		assert_memory_equal(p[i].h.payload, c->r->mem + i * pmtu, part);
		assert_memory_equal(p[i].h.payload + part, "\0\0\0", p[i].h.pad);
		if (p[i].h.info->flags & (FNS_OPF_IMM | FNS_OPF_IETH))
			assert_int_equal(p[i].h.imm, 0x01020304);
	}
	rig_inject_ack(c->r, &c->qp, p[n - 1].h.psn);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
}

static void segments(
	struct conf *c, uint8_t op, uint8_t first, uint8_t middle, uint8_t last, uint8_t only)
{
	unsigned mtu, i;

	for (mtu = 1; mtu <= 5; mtu++) {
		uint32_t pmtu = 128u << mtu;
		const uint32_t len[] = {
			0, 1, 2, 3, 4, pmtu - 1, pmtu, pmtu + 1, 2 * pmtu, 4 * pmtu + 3};

		conf_new(c, FNS_QPT_RC);
		c->qp.attr.path_mtu = (uint8_t)mtu;
		conf_up(c);
		rig_fill(c->r, 0, 5 * pmtu, 3);
		for (i = 0; i < FNS_ARRAY_SIZE(len); i++) {
			conf_post(c, op, 1, 0, len[i]);
			check_message(c, pmtu, len[i], first, middle, last, only);
		}
		conf_close(c);
	}
}

static void seg_send(struct conf *c)
{
	segments(c, FNS_WR_SEND, FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST,
		FNS_OP_SEND_ONLY);
}

static void seg_send_imm(struct conf *c)
{
	segments(c, FNS_WR_SEND_IMM, FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST_IMM,
		FNS_OP_SEND_ONLY_IMM);
}

static void seg_send_inv(struct conf *c)
{
	segments(c, FNS_WR_SEND_INV, FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST_INV,
		FNS_OP_SEND_ONLY_INV);
}

static void seg_write(struct conf *c)
{
	segments(c, FNS_WR_WRITE, FNS_OP_WRITE_ONLY, FNS_OP_WRITE_ONLY, FNS_OP_WRITE_ONLY,
		FNS_OP_WRITE_ONLY);
}

static void seg_write_imm(struct conf *c)
{
	segments(c, FNS_WR_WRITE_IMM, FNS_OP_WRITE_FIRST, FNS_OP_WRITE_MIDDLE,
		FNS_OP_WRITE_LAST_IMM, FNS_OP_WRITE_ONLY_IMM);
}

static void reth_of_writes(struct conf *c)
{
	const struct rig_packet *p;
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_WRITE, 1, 0, 2 * PMTU + 5);
	p = conf_sent(c, 3);
	for (i = 0; i < 3; i++) { /* each a message of its own */
		assert_true(p[i].h.va == 0x10000 + i * PMTU);
		assert_int_equal(p[i].h.rkey, 0x77);
		assert_int_equal(p[i].h.dma_len, p[i].h.payload_len);
	}
	conf_post(c, FNS_WR_WRITE_IMM, 2, 0, 2 * PMTU + 5);
	p = conf_sent(c, 3);
	assert_true(p[0].h.va == 0x10000);
	assert_int_equal(p[0].h.dma_len, 2 * PMTU + 5);
	conf_close(c);
}

static void request_header(struct conf *c)
{
	const struct rig_packet *p;
	unsigned i, k = 0;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_SEND, 1, 0, PMTU + 5);
	conf_post(c, FNS_WR_WRITE_IMM, 2, 0, PMTU + 5);
	conf_post(c, FNS_WR_READ, 3, 0, 8);
	conf_atomic(c, FNS_WR_CMP_SWAP, 4, 1, 2);
	p = conf_sent(c, 6);
	for (i = 0; i < 6; i++) {
		assert_int_equal(p[i].h.dest_qp, RIG_PEER_QPN);
		assert_int_equal(p[i].h.pkey, 0xffff);
		assert_int_equal(p[i].data[1] & 0x0f, 0);
		assert_int_equal(p[i].data[4] & 0x3f, 0);
		assert_int_equal(p[i].data[8] & 0x7f, 0);
		assert_int_equal(p[i].h.opcode & 0xe0, FNS_TC_RC);
		assert_true(fns_gid_equal(&p[i].remote, &c->r->peer));
		k += p[i].h.migreq;
	}
	assert_int_equal(k, 6); /* migrated: the only state there is */
	conf_close(c);
}

static void solicited_last(struct conf *c)
{
	static const uint8_t ops[] = {FNS_WR_SEND, FNS_WR_SEND_IMM, FNS_WR_WRITE_IMM};
	const struct rig_packet *p;
	unsigned i, k, se;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < FNS_ARRAY_SIZE(ops); i++)
		for (se = 0; se < 2; se++) {
			rig_post_data(
				c->r, &c->qp, ops[i], 1, se ? FNS_WRF_SOLICITED : 0, 0, 3 * PMTU);
			p = conf_sent(c, 3);
			for (k = 0; k < 3; k++)
				assert_int_equal(p[k].h.solicited, se && k == 2);
		}
	conf_close(c);
}

static void ack_req_last(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_SEND, 1, 0, 4 * PMTU);
	p = conf_sent(c, 4);
	assert_true(p[3].h.ack_req);
	assert_false(p[0].h.ack_req);
	conf_post(c, FNS_WR_SEND, 2, 0, 40 * PMTU);
	p = conf_sent(c, 40);
	for (unsigned i = 0, since = 0; i < 40; i++) {
		since = p[i].h.ack_req ? 0 : since + 1;
		assert_true(since < 16);
	}
	assert_true(p[39].h.ack_req);
	conf_close(c);
}

static void read_request(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_READ, 1, 0, 3 * PMTU + 7);
	p = conf_sent(c, 1);
	assert_int_equal(p->h.opcode, FNS_OP_READ_REQUEST);
	assert_int_equal(p->h.payload_len, 0);
	assert_true(p->h.va == 0x10000);
	assert_int_equal(p->h.rkey, 0x77);
	assert_int_equal(p->h.dma_len, 3 * PMTU + 7);
	conf_close(c);
}

static void read_chunks(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_READ, 1, 0, 61440 + 100);
	conf_post(c, FNS_WR_SEND, 2, 0, 0);
	p = conf_sent(c, 3);
	assert_int_equal(p[0].h.dma_len, 61440);
	assert_int_equal(p[1].h.opcode, FNS_OP_READ_REQUEST);
	assert_int_equal(p[1].h.psn, SQ + 60);
	assert_true(p[1].h.va == 0x10000 + 61440);
	assert_int_equal(p[1].h.dma_len, 100);
	assert_int_equal(p[2].h.psn, SQ + 61);
	conf_close(c);
}

static void atomic_request(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_atomic(c, FNS_WR_CMP_SWAP, 1, 5, 6);
	conf_atomic(c, FNS_WR_FETCH_ADD, 2, 0, 7);
	p = conf_sent(c, 2);
	assert_int_equal(p[0].h.opcode, FNS_OP_CMP_SWAP);
	assert_true(p[0].h.va == 0x1122334455667788 && p[0].h.rkey == 0xabcd);
	assert_true(p[0].h.compare == 5 && p[0].h.swap_add == 6);
	assert_int_equal(p[0].len, 12 + 28);
	assert_int_equal(p[1].h.opcode, FNS_OP_FETCH_ADD);
	assert_true(p[1].h.swap_add == 7);
	conf_close(c);
}

static void ack_completes(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 3; i++)
		conf_post(c, FNS_WR_SEND, i, 0, 8);
	rig_expect_no_cqe(&c->qp.cq);
	for (i = 0; i < 3; i++) {
		rig_inject_ack(c->r, &c->qp, SQ + i);
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_SUCCESS);
		rig_expect_no_cqe(&c->qp.cq);
	}
	conf_close(c);
}

static void ack_coalesced(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 8; i++)
		conf_post(c, i & 1 ? FNS_WR_SEND : FNS_WR_WRITE, i, 0, i == 4 ? 3000 : 8);
	rig_inject_ack(c->r, &c->qp, SQ + 5); /* the second packet of the fifth */
	rig_settle(c->r);
	for (i = 0; i < 4; i++)
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&c->qp.cq);
	rig_inject_ack(c->r, &c->qp, SQ + 9);
	rig_settle(c->r);
	for (; i < 8; i++)
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_SUCCESS);
	conf_close(c);
}

/* No acknowledgement, of any kind, at distance d from the first PSN has any effect. */
static void no_effect(struct conf *c, const int32_t *d, unsigned n)
{
	static const uint32_t start[] = {100, 0, 0xffffff, 0x800000};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(start); i++) {
		conf_new(c, FNS_QPT_RC);
		c->qp.attr.sq_psn = start[i];
		c->qp.attr.retry_cnt = c->qp.attr.rnr_retry = 0;
		conf_up(c);
		for (k = 0; k < 3; k++)
			conf_post(c, FNS_WR_SEND, k, 0, 8);
		conf_sent(c, 3);
		for (k = 0; k < n; k++) {
			uint32_t psn = start[i] + (uint32_t)d[k];

			rig_inject_ack(c->r, &c->qp, psn);
			rig_inject_aeth(c->r, &c->qp, psn, NAK(FNS_NAK_PSN_SEQUENCE));
			rig_inject_aeth(c->r, &c->qp, psn, NAK(FNS_NAK_REMOTE_ACCESS));
			rig_inject_aeth(c->r, &c->qp, psn, RNR(1));
			conf_resp(c, FNS_OP_READ_RESP_ONLY, psn, conf_data, 8);
			conf_orig(c, psn, 1);
		}
		conf_silent(c);
		rig_expect_no_cqe(&c->qp.cq);
		assert_int_equal(rig_count(c->r, FNS_C_drop_stale_ack), 6 * n);
		rig_inject_ack(c->r, &c->qp, start[i] + 2);
		rig_settle(c->r);
		for (k = 0; k < 3; k++)
			rig_expect_cqe(&c->qp.cq, k, FNS_WC_SUCCESS);
		conf_close(c);
	}
}

static void ack_ghost(struct conf *c)
{
	static const int32_t d[] = {3, 4, 1000, 0x7fffff};

	no_effect(c, d, FNS_ARRAY_SIZE(d));
}

static void ack_stale(struct conf *c)
{
	static const int32_t d[] = {-1, -2, -1000, -0x800000};

	no_effect(c, d, FNS_ARRAY_SIZE(d));
}

static void ack_credits(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 32; i++) {
		conf_post(c, FNS_WR_SEND, i, 0, 8);
		rig_inject_aeth(c->r, &c->qp, SQ + i, (uint8_t)(FNS_AETH_ACK | i));
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_SUCCESS);
	}
	conf_close(c);
}

static void ack_msn(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_WRITE, 1, 0, 3 * PMTU); /* three messages to the responder */
	conf_post(c, FNS_WR_SEND, 2, 0, 8);
	h = rig_hdr(&c->qp, FNS_OP_ACK, SQ + 2);
	h.msn = 3;
	rig_inject(c->r, h, NULL, 0);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&c->qp.cq);
	h.psn++;
	h.msn = 0x123456;
	rig_inject(c->r, h, NULL, 0);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_SUCCESS);
	conf_close(c);
}

static void syndrome_reserved(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_SEND, 1, 0, 8);
	conf_sent(c, 1);
	for (i = 0x40; i < 0x60; i++)
		rig_inject_aeth(c->r, &c->qp, SQ, (uint8_t)i);
	for (i = 0x80; i < 0x100; i++)
		rig_inject_aeth(c->r, &c->qp, SQ, (uint8_t)i);
	for (i = 5; i < 32; i++)
		rig_inject_aeth(c->r, &c->qp, SQ, NAK(i));
	conf_silent(c);
	rig_expect_no_cqe(&c->qp.cq);
	rig_inject_ack(c->r, &c->qp, SQ);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void unsignalled(struct conf *c)
{
	struct fns_cqe q;
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 5; i++)
		rig_post_data(c->r, &c->qp, FNS_WR_WRITE, i, i == 3 ? FNS_WRF_SIGNALED : 0, 0, 8);
	rig_settle(c->r);
	rig_inject_ack(c->r, &c->qp, SQ + 4);
	rig_settle(c->r);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.wr_id, 3);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static void state_rtr(struct conf *c)
{
	conf_new(c, FNS_QPT_RC);
	rig_to_init(c->r, &c->qp);
	rig_to_rtr(c->r, &c->qp);
	conf_post(c, FNS_WR_SEND, 1, 0, 8);
	conf_silent(c);
	assert_int_equal(rig_modify(c->r, &c->qp, FNS_QPS_ERR, FNS_QPA_STATE), 0);
	rig_settle(c->r);
	conf_silent(c);
	conf_close(c);
}

static void state_sqd(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_SEND, 1, 0, 3 * PMTU);
	assert_int_equal(
		rig_modify(c->r, &c->qp, FNS_QPS_SQD, FNS_QPA_STATE | FNS_QPA_EN_SQD_ASYNC_NOTIFY),
		0);
	conf_post(c, FNS_WR_SEND, 2, 0, 8);
	conf_sent(c, 3);
	assert_int_equal(conf_events(c, FNS_EVENT_SQ_DRAINED), 0);
	rig_inject_ack(c->r, &c->qp, SQ + 2);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(conf_events(c, FNS_EVENT_SQ_DRAINED), 1);
	conf_silent(c);
	assert_int_equal(rig_modify(c->r, &c->qp, FNS_QPS_RTS, FNS_QPA_STATE), 0);
	assert_int_equal(conf_sent(c, 1)->h.psn, SQ + 3);
	conf_close(c);
}

static void local_protection(struct conf *c)
{
	struct rig_wr wr = {.op = FNS_WR_SEND, .wr_id = 2, .nsge = 1};

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_SEND, 1, 0, 8);
	wr.sge[0] =
		(struct fns_sqd_sge){.addr = (uintptr_t)c->r->mem, .len = 8, .lkey = c->r->key ^ 1};
	rig_post(c->r, &c->qp, &wr);
	conf_post(c, FNS_WR_SEND, 3, 0, 8);
	conf_sent(c, 1); /* nothing from the bad one on */
	rig_expect_no_cqe(&c->qp.cq);
	rig_inject_ack(c->r, &c->qp, SQ);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_LOC_PROT_ERR);
	rig_expect_cqe(&c->qp.cq, 3, FNS_WC_WR_FLUSH_ERR);
	conf_close(c);
}

static const struct conf_rule rules[] = {
	{"C9-req-psn", "9.7.2",
		"PSNs start where the QP was told and go up by one a packet, modulo 2^24",
		psn_sequence},
	{"C9-req-psn-read", "9.7.2",
		"a READ takes a PSN for each response, one when empty; an atomic takes one",
		psn_of_reads},
	{"C9-req-seg-send", "9.4.1",
		"SEND: FIRST, MIDDLE and LAST or ONLY, full packets but the last, at every path MTU",
		seg_send},
	{"C9-req-seg-send-imm", "9.4.1", "immediate data travels in LAST or ONLY", seg_send_imm},
	{"C9-req-seg-send-inv", "9.4.1.1", "the key to invalidate travels in LAST or ONLY",
		seg_send_inv},
	{"C9-req-seg-write", "9.4.3",
		"a plain WRITE goes as a train of WRITE ONLY packets (FlexiNS's choice)",
		seg_write},
	{"C9-req-seg-write-imm", "9.4.3",
		"WRITE with immediate: FIRST, MIDDLE, LAST with immediate", seg_write_imm},
	{"C9-req-reth", "9.3.3",
		"RETH of FIRST holds the message's length; of ONLY its packet's, and its place",
		reth_of_writes},
	{"C9-req-header", "9.2",
		"requests carry the peer's QP, default P_Key, TVER 0, MigReq 1, reserved bits 0",
		request_header},
	{"C9-req-solicited", "9.2.3" MEM,
		"SE is set in the last packet of a message only, if asked for", solicited_last},
	{"C9-req-ack-req", "9.2.8",
		"AckReq is set in the last packet of a signalled message, and at least every 16th",
		ack_req_last},
	{"C9-req-read", "9.4.4", "a READ request has a RETH and no payload", read_request},
	{"C9-req-read-chunk", "9.4.4",
		"a READ above 61,440 bytes goes as several requests with consecutive PSNs (FlexiNS's choice)",
		read_chunks},
	{"C9-req-atomic", "9.3.4" MEM, "an atomic request has an AtomicETH and no payload",
		atomic_request},
	{"C9-req-ack", "9.7.6", "work completes when it is acknowledged, in order", ack_completes},
	{"C9-req-ack-coalesced", "9.7.5.1.2",
		"an ACK acknowledges all PSNs up to its own; inside a message it completes what is before",
		ack_coalesced},
	{"C9-req-ack-ghost", "9.7.6.1", "responses for PSNs never sent are dropped", ack_ghost},
	{"C9-req-ack-stale", "9.7.6.1", "responses for PSNs already acknowledged are dropped",
		ack_stale},
	{"C9-req-ack-credit", "9.7.7.2", "any credit count in an ACK is an ACK", ack_credits},
	{"C9-req-ack-msn", "9.7.7.1", "completion goes by PSN; the MSN is not relied on", ack_msn},
	{"C9-req-syndrome", "9.7.5.2", "reserved syndromes and NAK codes are dropped",
		syndrome_reserved},
	{"C9-req-unsignalled", "10.7.3" MEM, "unsignalled work completes in silence", unsignalled},
	{"C9-req-state-rtr", "10.3.1", "before RTS nothing is sent", state_rtr},
	{"C9-req-state-sqd", "10.3.1",
		"SQD finishes what was begun, begins nothing, tells when drained", state_sqd},
	{"C9-req-local-prot", "9.9.2",
		"work over memory that is not the QP's fails locally after what is before it, nothing of it is sent",
		local_protection},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
