/* SPDX-License-Identifier: Apache-2.0 */
/* RC responder, requests in order: acknowledgements, MSN, completions, ordering
 * (IBTA 9.7.4, 9.7.5). */
#include "conf.h"

static void psn_expected(struct conf *c)
{
	static const uint32_t start[] = {0, 1, 0x7ffffe, 0x7fffff, 0x800000, 0xfffffe, 0xffffff};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(start); i++) {
		conf_new(c, FNS_QPT_RC);
		c->qp.attr.rq_psn = start[i];
		conf_up(c);
		for (k = 0; k < 4; k++) {
			rig_post_recv(c->r, &c->qp, k, k * 64, 64);
			conf_in(c, FNS_OP_SEND_ONLY, start[i] + k, 10, true);
			conf_aeth(c, start[i] + k, ACK, k + 1);
			rig_expect_cqe(&c->qp.cq, k, FNS_WC_SUCCESS);
			assert_memory_equal(c->r->mem + k * 64, conf_data, 10);
		}
		conf_close(c);
	}
}

static void ack_on_request(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_inject(c->r, conf_rdma(c, FNS_OP_WRITE_ONLY, RQ, 0, 8), conf_data, 8);
	conf_aeth(c, RQ, ACK, 1);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 1, 8, false);
	conf_silent(c);
	assert_int_equal(rig_inner(c->r, &c->qp)->rsp.epsn, RQ + 2);
	conf_close(c);
}

static void ack_coalesced(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < 9; i++)
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + i, 8, i == 8);
	conf_aeth(c, RQ + 8, ACK, 9);
	conf_close(c);
}

static void ack_inside_message(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 4 * PMTU);
	conf_in(c, FNS_OP_SEND_FIRST, RQ, PMTU, true);
	conf_aeth(c, RQ, ACK, 0); /* the message is not complete: MSN stays */
	conf_in(c, FNS_OP_SEND_MIDDLE, RQ + 1, PMTU, true);
	conf_aeth(c, RQ + 1, ACK, 0);
	rig_expect_no_cqe(&c->qp.cq);
	conf_in(c, FNS_OP_SEND_LAST, RQ + 2, 1, true);
	conf_aeth(c, RQ + 2, ACK, 1);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void responses_in_order(struct conf *c)
{
	struct fns_hdr add;
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	add = conf_rdma(c, FNS_OP_FETCH_ADD, RQ + 4, 0, 0);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, 0, 2 * PMTU), NULL, 0);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 3, 8, true);
	rig_inject(c->r, add, NULL, 0);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 5, 0, 8), NULL, 0);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 6, 8, true);
	p = conf_sent(c, 7);
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(p[i].h.psn, RQ + i);
	assert_int_equal(p[1].h.opcode, FNS_OP_READ_RESP_FIRST);
	assert_int_equal(p[4].h.opcode, FNS_OP_ATOMIC_ACK);
	assert_int_equal(p[6].h.opcode, FNS_OP_ACK);
	conf_close(c);
}

static void msn_starts_at_zero(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 1, 8, true);
	conf_aeth(c, RQ, NAK(FNS_NAK_PSN_SEQUENCE), 0);
	conf_close(c);
}

static void msn_per_message(struct conf *c)
{
	const struct rig_packet *p;
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 4 * PMTU);
	conf_in(c, FNS_OP_SEND_FIRST, RQ, PMTU, false);
	conf_in(c, FNS_OP_SEND_MIDDLE, RQ + 1, PMTU, false);
	conf_in(c, FNS_OP_SEND_LAST, RQ + 2, 1, true);
	conf_aeth(c, RQ + 2, ACK, 1);
	h = conf_rdma(c, FNS_OP_WRITE_FIRST, RQ + 3, 0, PMTU + 4);
	h.ack_req = false;
	rig_inject(c->r, h, conf_data, PMTU);
	conf_in(c, FNS_OP_WRITE_LAST, RQ + 4, 4, true);
	conf_aeth(c, RQ + 4, ACK, 2);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 5, 0, 3 * PMTU), NULL, 0);
	p = conf_sent(c, 3);
	assert_int_equal(p[0].h.msn, 3);
	assert_int_equal(p[2].h.msn, 3);
	rig_inject(c->r, conf_rdma(c, FNS_OP_CMP_SWAP, RQ + 8, 0, 0), NULL, 0);
	p = conf_sent(c, 1);
	assert_int_equal(p->h.msn, 4);
	conf_close(c);
}

static void msn_wraps(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	rig_inner(c->r, &c->qp)->rsp.msn = 0xfffffe;
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	conf_aeth(c, RQ, ACK, 0xffffff);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ + 1, 8, true);
	conf_aeth(c, RQ + 1, ACK, 0);
	conf_close(c);
}

static void credits_not_used(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, 0, 3 * PMTU), NULL, 0);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 4, 0, 8), NULL, 0);
	rig_inject(c->r, conf_rdma(c, FNS_OP_FETCH_ADD, RQ + 5, 0, 0), NULL, 0);
	p = conf_sent(c, 6);
	for (unsigned i = 0; i < 6; i++)
		if (p[i].h.info->flags & FNS_OPF_AETH)
			assert_int_equal(p[i].h.syndrome, 0x1f);
	conf_close(c);
}

static void response_header(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, 0, PMTU + 5), NULL, 0);
	rig_inject(c->r, conf_rdma(c, FNS_OP_FETCH_ADD, RQ + 3, 0, 0), NULL, 0);
	p = conf_sent(c, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(p[i].h.dest_qp, RIG_PEER_QPN);
		assert_int_equal(p[i].h.pkey, 0xffff);
		assert_int_equal(p[i].data[1] & 0x0f, 0); /* TVER */
		assert_int_equal(p[i].data[1] & 0x80, 0); /* SE */
		assert_int_equal(p[i].data[4] & 0x3f, 0); /* reserved */
		assert_int_equal(p[i].data[8], 0);        /* AckReq, reserved */
		assert_int_equal(p[i].data[1] >> 4 & 3, p[i].h.pad);
		assert_int_equal(p[i].len % 4, 0);
	}
	assert_int_equal(p[2].h.pad, 3);
	conf_close(c);
}

static void send_assembled(struct conf *c)
{
	static const uint32_t last[] = {1, 2, 3, 4, 255, 256};
	unsigned mtu, i;

	for (mtu = 1; mtu <= 5; mtu++)
		for (i = 0; i < FNS_ARRAY_SIZE(last); i++) {
			uint32_t pmtu = 128u << mtu, len = 2 * pmtu + last[i];
			struct fns_cqe q;

			conf_new(c, FNS_QPT_RC);
			c->qp.attr.path_mtu = (uint8_t)mtu;
			conf_up(c);
			rig_post_recv(c->r, &c->qp, 1, 0, 4 * pmtu);
			rig_inject(c->r, rig_hdr(&c->qp, FNS_OP_SEND_FIRST, RQ), conf_data, pmtu);
			rig_inject(c->r, rig_hdr(&c->qp, FNS_OP_SEND_MIDDLE, RQ + 1),
				conf_data + pmtu, pmtu);
			rig_inject(c->r, rig_hdr(&c->qp, FNS_OP_SEND_LAST, RQ + 2),
				conf_data + 2 * pmtu, last[i]);
			rig_settle(c->r);
			assert_true(rig_poll(&c->qp.cq, &q));
			assert_int_equal(q.byte_len, len);
			assert_memory_equal(c->r->mem, conf_data, len);
			assert_int_equal(c->r->mem[len], 0); /* the pad is not data */
			conf_close(c);
		}
}

static void send_zero(struct conf *c)
{
	struct fns_cqe q;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 0);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 0, true);
	conf_aeth(c, RQ, ACK, 1);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.byte_len, 0);
	conf_close(c);
}

static void send_immediate(struct conf *c)
{
	struct fns_cqe q;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	rig_post_recv(c->r, &c->qp, 2, 0, 4 * PMTU);
	conf_in(c, FNS_OP_SEND_ONLY_IMM, RQ, 10, false);
	conf_in(c, FNS_OP_SEND_FIRST, RQ + 1, PMTU, false);
	conf_in(c, FNS_OP_SEND_LAST_IMM, RQ + 2, 10, true);
	conf_aeth(c, RQ + 2, ACK, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(rig_poll(&c->qp.cq, &q));
		assert_int_equal(q.imm, 0x01020304);
		assert_int_equal(q.wc_flags, FNS_WCF_WITH_IMM);
		assert_int_equal(q.byte_len, i ? PMTU + 10 : 10);
	}
	conf_close(c);
}

static void solicited_event(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	for (unsigned i = 0; i < 3; i++)
		rig_post_recv(c->r, &c->qp, i, 0, 64);
	atomic_store(&c->qp.cq.ring->arm, FNS_CQ_ARM_SOLICITED);
	conf_in(c, FNS_OP_SEND_ONLY, RQ, 8, true);
	conf_sent(c, 1);
	assert_int_equal(c->r->ncomp_events, 0);
	h = rig_hdr(&c->qp, FNS_OP_SEND_ONLY, RQ + 1);
	h.solicited = true;
	rig_inject(c->r, h, conf_data, 8);
	rig_settle(c->r);
	assert_int_equal(c->r->ncomp_events, 1);
	conf_close(c);
}

static void write_placed(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 40000, 64);
	h = conf_rdma(c, FNS_OP_WRITE_FIRST, RQ, 61, 2 * PMTU + 5);
	h.ack_req = false;
	rig_inject(c->r, h, conf_data, PMTU);
	rig_inject(c->r, rig_hdr(&c->qp, FNS_OP_WRITE_MIDDLE, RQ + 1), conf_data + PMTU, PMTU);
	h = rig_hdr(&c->qp, FNS_OP_WRITE_LAST, RQ + 2);
	h.ack_req = true;
	rig_inject(c->r, h, conf_data + 2 * PMTU, 5);
	conf_aeth(c, RQ + 2, ACK, 1);
	assert_int_equal(c->r->mem[60], 0);
	assert_memory_equal(c->r->mem + 61, conf_data, 2 * PMTU + 5);
	assert_int_equal(c->r->mem[61 + 2 * PMTU + 5], 0);
	rig_expect_no_cqe(&c->qp.cq); /* no receive is used */
	conf_close(c);
}

static void write_immediate(struct conf *c)
{
	struct fns_cqe q;
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	rig_post_recv(c->r, &c->qp, 1, 40000, 0);
	h = conf_rdma(c, FNS_OP_WRITE_FIRST, RQ, 0, PMTU + 9);
	rig_inject(c->r, h, conf_data, PMTU);
	rig_settle(c->r);
	rig_expect_no_cqe(&c->qp.cq);
	conf_in(c, FNS_OP_WRITE_LAST_IMM, RQ + 1, 9, true);
	rig_settle(c->r);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.opcode, FNS_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(q.byte_len, PMTU + 9); /* of the message, not of the packet */
	assert_int_equal(q.imm, 0x01020304);
	conf_close(c);
}

static void write_zero(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	h = conf_rdma(c, FNS_OP_WRITE_ONLY, RQ, 0, 0);
	h.rkey = 0xbad;
	h.va = 1;
	rig_inject(c->r, h, NULL, 0);
	conf_aeth(c, RQ, ACK, 1);
	conf_close(c);
}

static void check_read(struct conf *c, uint32_t pmtu, uint32_t psn, uint32_t len)
{
	uint32_t n = len ? FNS_DIV_UP(len, pmtu) : 1, i;
	const struct rig_packet *p;

	rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, psn, 5, len), NULL, 0);
	p = conf_sent(c, n);
	for (i = 0; i < n; i++) {
		uint8_t op = n == 1       ? FNS_OP_READ_RESP_ONLY
			     : i == 0     ? FNS_OP_READ_RESP_FIRST
			     : i + 1 == n ? FNS_OP_READ_RESP_LAST
					  : FNS_OP_READ_RESP_MIDDLE;

		assert_int_equal(p[i].h.opcode, op);
		assert_int_equal(p[i].h.psn, psn + i);
		assert_int_equal(p[i].h.payload_len, FNS_MIN(pmtu, len - i * pmtu));
		assert_memory_equal(p[i].h.payload, c->r->mem + 5 + i * pmtu, p[i].h.payload_len);
	}
	assert_int_equal(rig_inner(c->r, &c->qp)->rsp.epsn, psn + n);
}

static void read_responses(struct conf *c)
{
	unsigned mtu, i;

	for (mtu = 1; mtu <= 5; mtu++) {
		uint32_t pmtu = 128u << mtu, psn = RQ;
		const uint32_t len[] = {1, 3, pmtu - 1, pmtu, pmtu + 1, 2 * pmtu, 5 * pmtu + 3};

		conf_new(c, FNS_QPT_RC);
		c->qp.attr.path_mtu = (uint8_t)mtu;
		conf_up(c);
		memcpy(c->r->mem, conf_data, CONF_DATA);
		for (i = 0; i < FNS_ARRAY_SIZE(len); i++) {
			check_read(c, pmtu, psn, len[i]);
			psn += FNS_DIV_UP(len[i], pmtu);
		}
		conf_close(c);
	}
}

static void read_zero(struct conf *c)
{
	struct fns_hdr h;
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	h = conf_rdma(c, FNS_OP_READ_REQUEST, RQ, 0, 0);
	h.rkey = 0xbad;
	h.va = 3;
	rig_inject(c->r, h, NULL, 0);
	p = conf_sent(c, 1);
	assert_int_equal(p->h.opcode, FNS_OP_READ_RESP_ONLY);
	assert_int_equal(p->h.payload_len, 0);
	assert_int_equal(rig_inner(c->r, &c->qp)->rsp.epsn, RQ + 1);
	conf_close(c);
}

static void read_after_write(struct conf *c)
{
	for (c->seed = 1; c->seed < 25; c->seed++) {
		const struct rig_packet *p;

		conf_open(c, FNS_QPT_RC);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ, PMTU, false);
		rig_inject(c->r, conf_rdma(c, FNS_OP_READ_REQUEST, RQ + 1, 0, PMTU), NULL, 0);
		p = conf_sent(c, 1);
		assert_memory_equal(p->h.payload, conf_data, PMTU);
		conf_close(c);
	}
}

static void atomic_after_write(struct conf *c)
{
	for (c->seed = 1; c->seed < 25; c->seed++) {
		const struct rig_packet *p;
		struct fns_hdr h;
		uint64_t was;

		conf_open(c, FNS_QPT_RC);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, false);
		h = conf_rdma(c, FNS_OP_FETCH_ADD, RQ + 1, 0, 0);
		h.swap_add = 3;
		rig_inject(c->r, h, NULL, 0);
		p = conf_sent(c, 1);
		memcpy(&was, conf_data, 8);
		assert_true(p->h.orig == was);
		was += 3;
		assert_memory_equal(c->r->mem, &was, 8);
		conf_close(c);
	}
}

static void write_after_atomic(struct conf *c)
{
	for (c->seed = 1; c->seed < 25; c->seed++) {
		const struct rig_packet *p;
		struct fns_hdr h;

		conf_open(c, FNS_QPT_RC);
		rig_inject(c->r, conf_rdma(c, FNS_OP_WRITE_ONLY, RQ, 64, PMTU), conf_data, PMTU);
		h = conf_rdma(c, FNS_OP_FETCH_ADD, RQ + 1, 0, 0);
		h.swap_add = 3;
		rig_inject(c->r, h, NULL, 0);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + 2, 8, true);
		rig_settle(c->r);
		p = rig_expect_sent(c->r, c->r->nsent - 2, FNS_OP_ATOMIC_ACK, RQ + 1);
		assert_true(p->h.orig == 0);
		assert_memory_equal(c->r->mem, conf_data, 8);
		conf_close(c);
	}
}

static void write_after_write(struct conf *c)
{
	for (c->seed = 1; c->seed < 25; c->seed++) {
		conf_open(c, FNS_QPT_RC);
		for (unsigned i = 0; i < 6; i++)
			rig_inject(c->r, conf_rdma(c, FNS_OP_WRITE_ONLY, RQ + i, 0, 64),
				conf_data + i, 64);
		rig_settle(c->r);
		assert_memory_equal(c->r->mem, conf_data + 5, 64);
		conf_close(c);
	}
}

static void placed_before_told(struct conf *c)
{
	for (c->seed = 1; c->seed < 25; c->seed++) {
		unsigned done = 0, i;
		struct fns_cqe q;

		conf_open(c, FNS_QPT_RC);
		for (i = 0; i < 5; i++) {
			rig_post_recv(c->r, &c->qp, i, i * 2048, 2048);
			rig_inject(c->r, rig_hdr(&c->qp, FNS_OP_SEND_FIRST, RQ + 2 * i),
				conf_data + i, PMTU);
			conf_in(c, FNS_OP_SEND_LAST, RQ + 2 * i + 1, 500, true);
		}
		for (i = 0; i < 1000 && done < 5; i++) {
			rig_step(c->r, 20);
			while (rig_poll(&c->qp.cq, &q)) {
				assert_int_equal(q.wr_id, done);
				assert_memory_equal(
					c->r->mem + done * 2048, conf_data + done, PMTU);
				assert_memory_equal(c->r->mem + done * 2048 + PMTU, conf_data, 500);
				done++;
			}
			if (c->r->nsent) /* nothing beyond what has completed is acknowledged */
				assert_true(psn_diff(c->r->sent[c->r->nsent - 1].h.psn,
						    RQ + 2 * done) < 0);
		}
		assert_int_equal(done, 5);
		conf_close(c);
	}
}

static void fetch_add(struct conf *c)
{
	struct fns_hdr h;
	const struct rig_packet *p;
	uint64_t *word;

	conf_open(c, FNS_QPT_RC);
	word = (uint64_t *)(void *)(c->r->mem + 16);
	*word = UINT64_MAX - 1;
	h = conf_rdma(c, FNS_OP_FETCH_ADD, RQ, 16, 0);
	h.swap_add = 5;
	h.compare = 99; /* means nothing here */
	rig_inject(c->r, h, NULL, 0);
	p = conf_sent(c, 1);
	assert_int_equal(p->h.opcode, FNS_OP_ATOMIC_ACK);
	assert_int_equal(p->h.psn, RQ);
	assert_true(p->h.orig == UINT64_MAX - 1);
	assert_true(*word == 3); /* carries out of bit 63 are lost */
	assert_int_equal(p->h.payload_len, 0);
	conf_close(c);
}

static void compare_swap(struct conf *c)
{
	struct fns_hdr h;
	uint64_t *word;

	conf_open(c, FNS_QPT_RC);
	word = (uint64_t *)(void *)(c->r->mem + 16);
	*word = 40;
	h = conf_rdma(c, FNS_OP_CMP_SWAP, RQ, 16, 0);
	h.compare = 41;
	h.swap_add = 7;
	rig_inject(c->r, h, NULL, 0);
	assert_true(conf_sent(c, 1)->h.orig == 40);
	assert_true(*word == 40);
	h.psn++;
	h.compare = 40;
	rig_inject(c->r, h, NULL, 0);
	assert_true(conf_sent(c, 1)->h.orig == 40);
	assert_true(*word == 7);
	conf_close(c);
}

static void state_rtr(struct conf *c)
{
	conf_new(c, FNS_QPT_RC);
	rig_to_init(c->r, &c->qp);
	rig_to_rtr(c->r, &c->qp);
	for (unsigned i = 0; i < 3; i++) {
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + i, 8, true);
		conf_aeth(c, RQ + i, ACK, i + 1);
	}
	assert_int_equal(conf_events(c, FNS_EVENT_COMM_EST), 1);
	conf_close(c);
}

static void state_not_ready(struct conf *c)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		conf_new(c, FNS_QPT_RC);
		if (i > 0)
			rig_to_init(c->r, &c->qp);
		if (i > 1)
			assert_int_equal(rig_modify(c->r, &c->qp, FNS_QPS_ERR, FNS_QPA_STATE), 0);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ, 8, true);
		conf_in(c, FNS_OP_WRITE_ONLY, RQ + 7, 8, true);
		conf_silent(c);
		assert_int_equal(c->r->mem[0], 0);
		assert_int_equal(rig_count(c->r, FNS_C_drop_qp_state), 2);
		conf_close(c);
	}
}

static const struct conf_rule rules[] = {
	{"C9-rsp-psn-expected", "9.7.4.1",
		"a request with the expected PSN is executed and the expectation moves on, modulo 2^24",
		psn_expected},
	{"C9-rsp-ack-req", "9.2.8, 9.7.5",
		"a request with AckReq is acknowledged, one without need not be", ack_on_request},
	{"C9-rsp-ack-coalesced", "9.7.5.1.2", "one ACK acknowledges all requests up to its PSN",
		ack_coalesced},
	{"C9-rsp-ack-inside", "9.7.5",
		"AckReq inside a message is answered with the PSN of that packet",
		ack_inside_message},
	{"C9-rsp-order", "9.7.5",
		"ACKs, READ responses and atomic responses leave in the order of the requests",
		responses_in_order},
	{"C9-rsp-msn-zero", "9.7.7.1", "the MSN starts at 0", msn_starts_at_zero},
	{"C9-rsp-msn-message", "9.7.7.1",
		"the MSN counts messages completed, not packets: SEND, WRITE, READ, atomic",
		msn_per_message},
	{"C9-rsp-msn-wrap", "9.7.7.1", "the MSN counts modulo 2^24", msn_wraps},
	{"C9-rsp-credit", "9.7.7.2",
		"without end-to-end credits every ACK syndrome carries credit code 31",
		credits_not_used},
	{"C9-rsp-header", "9.2",
		"responses carry the peer's QP, default P_Key, TVER 0, no SE, no AckReq, reserved bits 0, pad to 4",
		response_header},
	{"C9-rsp-send-assembled", "9.4.1",
		"SEND FIRST, MIDDLE, LAST fill one receive, at every path MTU; pad is not data",
		send_assembled},
	{"C9-rsp-send-zero", "9.4.1", "a SEND of no bytes uses a receive and completes it",
		send_zero},
	{"C9-rsp-send-imm", "9.4.1",
		"immediate data reaches the completion in network order, ONLY and LAST",
		send_immediate},
	{"C9-rsp-solicited", "9.2.3" MEM,
		"a solicited completion raises the event that a consumer armed for it",
		solicited_event},
	{"C9-rsp-write-placed", "9.4.3",
		"WRITE places at the RETH's address, exactly its bytes, and uses no receive",
		write_placed},
	{"C9-rsp-write-imm", "9.4.3",
		"WRITE with immediate uses a receive at its end and tells the message's length",
		write_immediate},
	{"C9-rsp-write-zero", "9.4.3", "a WRITE of no bytes has no key checked", write_zero},
	{"C9-rsp-read-responses", "9.4.4",
		"READ responses: FIRST and MIDDLE full, LAST the rest, consecutive PSNs, at every path MTU",
		read_responses},
	{"C9-rsp-read-zero", "9.4.4",
		"a READ of no bytes is answered by an empty ONLY, takes one PSN, has no key checked",
		read_zero},
	{"C9-rsp-read-after-write", "9.5", "a READ returns what earlier WRITEs wrote",
		read_after_write},
	{"C9-rsp-atomic-after-write", "9.5", "an atomic works on what earlier WRITEs wrote",
		atomic_after_write},
	{"C9-rsp-write-after-atomic", "9.5", "a WRITE takes effect after an earlier atomic",
		write_after_atomic},
	{"C9-rsp-write-after-write", "9.5", "WRITEs to one place take effect in order",
		write_after_write},
	{"C9-rsp-placed-first", "9.7.5",
		"payload, then completion, then acknowledgement; messages complete in order",
		placed_before_told},
	{"C9-rsp-fetch-add", "9.4.5", "FETCH ADD returns the old value and adds modulo 2^64",
		fetch_add},
	{"C9-rsp-cmp-swap", "9.4.5", "CMP SWAP swaps only when equal and returns the old value",
		compare_swap},
	{"C9-rsp-state-rtr", "10.3.1",
		"in RTR requests are executed; the first raises one communication-established event",
		state_rtr},
	{"C9-rsp-state-drop", "10.3.1", "in RESET, INIT and ERR requests are dropped in silence",
		state_not_ready},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
