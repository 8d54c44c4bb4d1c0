/* SPDX-License-Identifier: Apache-2.0 */
/* UC and UD, both ends: nothing is acknowledged, what is not whole is dropped (IBTA 9.8). */
#include "conf.h"

#define UC(op) ((uint8_t)(FNS_TC_UC | (op)))
#define UD(op) ((uint8_t)(FNS_TC_UD | (op)))

/* --- UC --- */

static void uc_sends(struct conf *c)
{
	static const uint32_t lens[] = {0, 1, PMTU, PMTU + 1, 3 * PMTU};
	uint32_t psn = SQ;

	conf_open(c, FNS_QPT_UC);
	rig_fill(c->r, 0, 4 * PMTU, 5);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		uint32_t n = lens[i] ? FNS_DIV_UP(lens[i], PMTU) : 1, k;
		const struct rig_packet *p;

		conf_post(c, FNS_WR_SEND_IMM, i, 0, lens[i]);
		p = conf_sent(c, n);
		for (k = 0; k < n; k++, psn++) {
			assert_int_equal(p[k].h.opcode, UC(n == 1            ? FNS_OP_SEND_ONLY_IMM
								: k == 0     ? FNS_OP_SEND_FIRST
								: k + 1 == n ? FNS_OP_SEND_LAST_IMM
									     : FNS_OP_SEND_MIDDLE));
			assert_int_equal(p[k].h.psn, psn);
			assert_memory_equal(
				p[k].h.payload, c->r->mem + k * PMTU, p[k].h.payload_len);
		}
		/* Nobody acknowledges: done when the wire has it. */
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_SUCCESS);
	}
	conf_close(c);
}

static void uc_receives(struct conf *c)
{
	struct fns_cqe q;

	conf_open(c, FNS_QPT_UC);
	rig_post_recv(c->r, &c->qp, 1, 0, 4 * PMTU);
	rig_inject(c->r, rig_hdr(&c->qp, UC(FNS_OP_SEND_FIRST), RQ), conf_data, PMTU);
	rig_inject(c->r, rig_hdr(&c->qp, UC(FNS_OP_SEND_MIDDLE), RQ + 1), conf_data + PMTU, PMTU);
	rig_inject(c->r, rig_hdr(&c->qp, UC(FNS_OP_SEND_LAST), RQ + 2), conf_data + 2 * PMTU, 5);
	rig_settle(c->r);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.byte_len, 2 * PMTU + 5);
	assert_memory_equal(c->r->mem, conf_data, 2 * PMTU + 5);
	conf_silent(c); /* no acknowledgement */
	conf_close(c);
}

static void uc_writes(struct conf *c)
{
	struct fns_hdr h;
	struct fns_cqe q;

	conf_open(c, FNS_QPT_UC);
	h = conf_rdma(c, UC(FNS_OP_WRITE_FIRST), RQ, 64, PMTU + 4);
	h.ack_req = false;
	rig_inject(c->r, h, conf_data, PMTU);
	rig_inject(c->r, rig_hdr(&c->qp, UC(FNS_OP_WRITE_LAST), RQ + 1), conf_data + PMTU, 4);
	rig_settle(c->r);
	assert_memory_equal(c->r->mem + 64, conf_data, PMTU + 4);
	rig_post_recv(c->r, &c->qp, 1, 0, 0);
	h = conf_rdma(c, UC(FNS_OP_WRITE_ONLY_IMM), RQ + 2, 4096, 100);
	h.ack_req = false;
	h.imm = 0x01020304;
	rig_inject(c->r, h, conf_data, 100);
	rig_settle(c->r);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.opcode, FNS_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(q.byte_len, 100);
	assert_int_equal(q.imm, 0x01020304);
	conf_silent(c);
	conf_close(c);
}

static void uc_gap(struct conf *c)
{
	static const uint8_t ops[] = {FNS_OP_SEND_FIRST, FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST};
	unsigned lost, k;

	for (lost = 0; lost < 3; lost++) {
		struct fns_cqe q;

		conf_open(c, FNS_QPT_UC);
		rig_post_recv(c->r, &c->qp, 1, 0, 3 * PMTU);
		for (k = 0; k < 3; k++)
			if (k != lost)
				conf_in(c, UC(ops[k]), RQ + k, PMTU, false);
		rig_settle(c->r);
		rig_expect_no_cqe(&c->qp.cq);
		rig_inject(c->r, rig_hdr(&c->qp, UC(FNS_OP_SEND_ONLY), RQ + 3), conf_data + 7, 9);
		rig_settle(c->r);
		assert_true(rig_poll(&c->qp.cq, &q)); /* the same receive serves the next */
		assert_int_equal(q.wr_id, 1);
		assert_int_equal(q.byte_len, 9);
		assert_memory_equal(c->r->mem, conf_data + 7, 9);
		conf_silent(c);
		conf_close(c);
	}
}

static void uc_ahead(struct conf *c)
{
	static const uint32_t ahead[] = {1, 1000, 0x7fffff};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(ahead); i++) {
		conf_open(c, FNS_QPT_UC);
		rig_post_recv(c->r, &c->qp, 1, 0, 64);
		conf_in(c, UC(FNS_OP_SEND_ONLY), RQ + ahead[i], 8, false);
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
		conf_close(c);
	}
}

static void uc_behind(struct conf *c)
{
	conf_open(c, FNS_QPT_UC);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	rig_post_recv(c->r, &c->qp, 2, 64, 64);
	conf_in(c, UC(FNS_OP_SEND_ONLY), RQ, 8, false);
	conf_in(c, UC(FNS_OP_SEND_ONLY), RQ, 8, false);
	conf_in(c, UC(FNS_OP_SEND_ONLY), RQ - 1, 8, false);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static void uc_restart(struct conf *c)
{
	struct fns_cqe q;

	conf_open(c, FNS_QPT_UC);
	rig_post_recv(c->r, &c->qp, 1, 0, 4 * PMTU);
	conf_in(c, UC(FNS_OP_SEND_FIRST), RQ, PMTU, false);
	conf_in(c, UC(FNS_OP_SEND_ONLY), RQ + 1, 9, false); /* not an error here */
	rig_settle(c->r);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.byte_len, 9);
	rig_expect_no_cqe(&c->qp.cq);
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_RTS);
	conf_close(c);
}

/* The request is dropped without a trace, and the next one is served. */
static void uc_dropped(struct conf *c, struct fns_hdr h, uint32_t len, bool receive)
{
	h.ack_req = false;
	rig_inject(c->r, h, conf_data, len);
	rig_settle(c->r);
	rig_expect_no_cqe(&c->qp.cq);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(c->r->mem[i], 0);
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_RTS);
	conf_silent(c);
	if (!receive)
		rig_post_recv(c->r, &c->qp, 1, 0, PMTU);
	conf_in(c, UC(FNS_OP_SEND_ONLY), h.psn + 1, 8, false);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void uc_sequence(struct conf *c)
{
	static const uint8_t ops[] = {FNS_OP_SEND_MIDDLE, FNS_OP_SEND_LAST, FNS_OP_SEND_LAST_IMM,
		FNS_OP_WRITE_MIDDLE, FNS_OP_WRITE_LAST, FNS_OP_WRITE_LAST_IMM};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(ops); i++) {
		conf_open(c, FNS_QPT_UC);
		rig_post_recv(c->r, &c->qp, 1, 0, PMTU);
		uc_dropped(c, conf_rdma(c, UC(ops[i]), RQ, 0, PMTU), PMTU, true);
	}
}

static void uc_lengths(struct conf *c)
{
	static const struct {
		uint8_t op;
		uint32_t len, dma_len;
	} bad[] = {{FNS_OP_SEND_FIRST, PMTU - 4, 0}, {FNS_OP_SEND_ONLY, PMTU + 4, 0},
		{FNS_OP_WRITE_FIRST, PMTU - 4, 2 * PMTU}, {FNS_OP_WRITE_ONLY, 8, 9},
		{FNS_OP_WRITE_ONLY, 8, 4}, {FNS_OP_WRITE_FIRST, PMTU, (1u << 31) + 1},
		{FNS_OP_WRITE_ONLY, PMTU + 4, PMTU + 4}};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		conf_open(c, FNS_QPT_UC);
		rig_post_recv(c->r, &c->qp, 1, 0, PMTU);
		uc_dropped(c, conf_rdma(c, UC(bad[i].op), RQ, 0, bad[i].dma_len), bad[i].len, true);
	}
}

static void uc_access(struct conf *c)
{
	for (unsigned i = 0; i < 3; i++) {
		struct fns_hdr h;

		conf_new(c, FNS_QPT_UC);
		if (i == 0)
			c->qp.attr.access &= ~(uint32_t)FNS_ACCESS_REMOTE_WRITE;
		conf_up(c);
		rig_post_recv(c->r, &c->qp, 1, 0, PMTU);
		h = conf_rdma(c, UC(FNS_OP_WRITE_ONLY), RQ, 0, 8);
		h.rkey ^= i == 1;
		h.va -= i == 2 ? 4096 : 0;
		uc_dropped(c, h, 8, true);
	}
}

static void uc_no_receive(struct conf *c)
{
	conf_open(c, FNS_QPT_UC);
	uc_dropped(c, conf_rdma(c, UC(FNS_OP_SEND_ONLY), RQ, 0, 8), 8, false);
	conf_open(c, FNS_QPT_UC);
	uc_dropped(c, conf_rdma(c, UC(FNS_OP_WRITE_ONLY_IMM), RQ, 0, 8), 8, false);
}

static void uc_too_long(struct conf *c)
{
	conf_open(c, FNS_QPT_UC);
	rig_post_recv(c->r, &c->qp, 1, 0, 16);
	conf_in(c, UC(FNS_OP_SEND_ONLY), RQ, 17, false);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_LOC_LEN_ERR);
	assert_int_equal(c->r->mem[0], 0);
	conf_silent(c);
	conf_close(c);
}

static void uc_no_read(struct conf *c)
{
	conf_open(c, FNS_QPT_UC);
	conf_post(c, FNS_WR_READ, 1, 0, 8);
	conf_silent(c);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_LOC_QP_OP_ERR);
	conf_close(c);
}

static void uc_credit(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_UC);
	conf_in(c, UC(FNS_OP_WRITE_ONLY), RQ, 8, false);
	conf_silent(c);
	conf_in(c, UC(FNS_OP_WRITE_ONLY), RQ + 1, 8, true);
	p = conf_sent(c, 1);
	assert_int_equal(p->h.opcode, 0x3f);
	assert_int_equal(p->h.psn, RQ + 1);
	assert_int_equal(p->len, FNS_BTH_LEN);
	conf_close(c);
}

/* --- UD --- */

static uint32_t make_ah(struct conf *c)
{
	struct fns_ctl m = {.op = FNS_CTL_AH_CREATE};

	m.ah.pd = c->r->pd;
	m.ah.av = (struct fns_ctl_av){
		.sgid = c->r->self, .dgid = c->r->peer, .is_global = 1, .link_mtu = 1500};
	assert_int_equal(rig_ctl(c->r, &m), 0);
	return m.handle;
}

static void ud_post(struct conf *c, uint32_t ah, uint8_t op, uint32_t len, uint32_t qkey)
{
	struct rig_wr wr = {.wr_id = 1,
		.op = op,
		.flags = FNS_WRF_SIGNALED,
		.nsge = len ? 1 : 0,
		.ah = ah,
		.remote_qpn = 0x030042,
		.qkey = qkey,
		.imm = 0x01020304};

	wr.sge[0] =
		(struct fns_sqd_sge){.addr = (uintptr_t)c->r->mem, .len = len, .lkey = c->r->key};
	rig_post(c->r, &c->qp, &wr);
	rig_settle(c->r);
}

static void ud_sends(struct conf *c)
{
	static const uint32_t lens[] = {0, 1, 3, 1023, 1024};
	uint32_t ah;

	conf_open(c, FNS_QPT_UD);
	ah = make_ah(c);
	rig_fill(c->r, 0, 2048, 1);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		const struct rig_packet *p;

		ud_post(c, ah, i & 1 ? FNS_WR_SEND : FNS_WR_SEND_IMM, lens[i], 0x77);
		p = conf_sent(c, 1);
		assert_int_equal(p->h.opcode, UD(i & 1 ? FNS_OP_SEND_ONLY : FNS_OP_SEND_ONLY_IMM));
		assert_int_equal(p->h.dest_qp, 0x030042);
		assert_int_equal(p->h.src_qp, c->qp.qpn);
		assert_int_equal(p->h.qkey, 0x77);
		assert_int_equal(p->h.psn, SQ + i);
		assert_int_equal(p->data[16], 0); /* reserved byte of the DETH */
		assert_int_equal(p->h.pad, -lens[i] & 3);
		assert_memory_equal(p->h.payload, c->r->mem, lens[i]);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	}
	conf_close(c);
}

static void ud_own_qkey(struct conf *c)
{
	conf_open(c, FNS_QPT_UD);
	ud_post(c, make_ah(c), FNS_WR_SEND, 8, 0x80000001);
	assert_int_equal(conf_sent(c, 1)->h.qkey, RIG_QKEY);
	conf_close(c);
}

static void ud_one_packet(struct conf *c)
{
	conf_open(c, FNS_QPT_UD);
	ud_post(c, make_ah(c), FNS_WR_SEND, 1025, 1); /* an IP MTU of 1500 carries 1024 */
	conf_silent(c);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_LOC_LEN_ERR);
	conf_close(c);
}

static void ud_receives(struct conf *c)
{
	static const uint32_t psn[] = {0, 12345, 0xffffff, 12345};

	conf_open(c, FNS_QPT_UD);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(psn); i++) {
		struct fns_hdr h = rig_hdr(&c->qp, UD(FNS_OP_SEND_ONLY_IMM), psn[i]);
		struct fns_cqe q;

		h.imm = 0x0a0b0c0d;
		h.src_qp = 0x020099;
		rig_post_recv(c->r, &c->qp, i, 0, 140);
		rig_inject(c->r, h, conf_data, 100);
		rig_settle(c->r);
		assert_true(rig_poll(&c->qp.cq, &q));
		assert_int_equal(q.byte_len, 140);
		assert_int_equal(q.src_qp, 0x020099);
		assert_int_equal(q.imm, 0x0a0b0c0d);
		assert_int_equal(q.wc_flags, FNS_WCF_GRH | FNS_WCF_WITH_IMM);
		assert_memory_equal(c->r->mem + 40, conf_data, 100);
	}
	conf_silent(c);
	conf_close(c);
}

static void ud_grh_v4(struct conf *c)
{
	uint8_t *m;

	conf_open(c, FNS_QPT_UD);
	m = c->r->mem;
	memset(m, 0xee, 64);
	rig_post_recv(c->r, &c->qp, 1, 0, 48);
	rig_inject(c->r, rig_hdr(&c->qp, UD(FNS_OP_SEND_ONLY), 0), conf_data, 8);
	rig_settle(c->r);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(m[i], 0);
	assert_int_equal(m[20], 0x45);
	assert_int_equal(m[22] << 8 | m[23], 20 + 8 + 12 + 8 + 8 + 4);
	assert_int_equal(m[29], 17);
	assert_memory_equal(m + 32, c->r->peer.b + 12, 4);
	assert_memory_equal(m + 36, c->r->self.b + 12, 4);
	conf_close(c);
}

static void ud_grh_v6(struct conf *c)
{
	struct fns_gid six = {.b = {0x20, 0x01, 0x0d, 0xb8, [15] = 9}};
	uint8_t pkt[64] = {0}, *m;
	struct fns_hdr h;
	uint32_t n;

	conf_open(c, FNS_QPT_UD);
	m = c->r->mem;
	h = rig_hdr(&c->qp, UD(FNS_OP_SEND_ONLY), 0);
	n = fns_hdr_build(pkt, &h);
	c->r->self = (struct fns_gid){.b = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	rig_inject_from(c->r, &six, pkt, n + 4);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(m[0] >> 4, 6);
	assert_int_equal(m[4] << 8 | m[5], n + 4 + 4 + 8);
	assert_int_equal(m[6], 17);
	assert_memory_equal(m + 8, six.b, 16);
	assert_memory_equal(m + 24, c->r->self.b, 16);
	conf_close(c);
}

static void ud_qkey(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_UD);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	for (unsigned bit = 0; bit < 32; bit++) {
		h = rig_hdr(&c->qp, UD(FNS_OP_SEND_ONLY), 0);
		h.qkey ^= 1u << bit;
		rig_inject(c->r, h, conf_data, 8);
	}
	conf_silent(c);
	rig_expect_no_cqe(&c->qp.cq);
	assert_int_equal(rig_count(c->r, FNS_C_drop_qkey), 32);
	assert_int_equal(c->r->mem[40], 0);
	conf_close(c);
}

static void ud_drops(struct conf *c)
{
	struct fns_hdr h;

	conf_open(c, FNS_QPT_UD);
	h = rig_hdr(&c->qp, UD(FNS_OP_SEND_ONLY), 0);
	rig_inject(c->r, h, conf_data, 8); /* no receive */
	rig_settle(c->r);
	rig_post_recv(c->r, &c->qp, 1, 0, 48);
	rig_inject(c->r, h, conf_data, 9); /* longer than the receive */
	conf_silent(c);
	rig_expect_no_cqe(&c->qp.cq);
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_RTS);
	rig_inject(c->r, h, conf_data, 8);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void ud_any_source(struct conf *c)
{
	struct fns_gid other = rig_gid4(77);
	uint8_t pkt[64] = {0};
	struct fns_hdr h;
	uint32_t n;

	conf_open(c, FNS_QPT_UD);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	h = rig_hdr(&c->qp, UD(FNS_OP_SEND_ONLY), 0);
	n = fns_hdr_build(pkt, &h);
	rig_inject_from(c->r, &other, pkt, n + 4);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	assert_memory_equal(c->r->mem + 32, other.b + 12, 4);
	conf_close(c);
}

static void ud_credit(struct conf *c)
{
	const struct rig_packet *p;
	struct fns_hdr h;

	conf_open(c, FNS_QPT_UD);
	rig_post_recv(c->r, &c->qp, 1, 0, 64);
	h = rig_hdr(&c->qp, UD(FNS_OP_SEND_ONLY), 9);
	h.ack_req = true;
	rig_inject(c->r, h, conf_data, 8);
	p = conf_sent(c, 1);
	assert_int_equal(p->h.opcode, 0x7f);
	assert_int_equal(p->h.dest_qp, RIG_PEER_QPN);
	assert_int_equal(p->h.psn, 9);
	assert_int_equal(p->len, FNS_BTH_LEN);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static const struct conf_rule rules[] = {
	{"C9-uc-send", "9.8.2",
		"UC: messages are cut as over RC, complete when sent, and take consecutive PSNs",
		uc_sends},
	{"C9-uc-receive", "9.8.2", "UC: a whole SEND is delivered; nothing is acknowledged",
		uc_receives},
	{"C9-uc-write", "9.8.2", "UC: WRITE is placed; with immediate it uses a receive",
		uc_writes},
	{"C9-uc-gap", "9.8.2.2" MEM,
		"UC: a gap drops the message under way; its receive serves the next", uc_gap},
	{"C9-uc-ahead", "9.8.2.2" MEM,
		"UC: the first packet of a message is taken at any PSN ahead", uc_ahead},
	{"C9-uc-behind", "9.8.2.2" MEM,
		"UC: a PSN behind is dropped as late or double (FlexiNS's choice)", uc_behind},
	{"C9-uc-restart", "9.8.2.2" MEM,
		"UC: FIRST or ONLY before the end of a message drops that message and begins anew",
		uc_restart},
	{"C9-uc-sequence", "9.8.2.2" MEM, "UC: MIDDLE or LAST without FIRST is dropped in silence",
		uc_sequence},
	{"C9-uc-length", "9.8.2.2" MEM,
		"UC: wrong lengths are dropped in silence, DMA lengths above 2^31 too", uc_lengths},
	{"C9-uc-access", "9.8.2.2" MEM, "UC: what memory protection refuses is dropped in silence",
		uc_access},
	{"C9-uc-no-receive", "9.8.2.2" MEM,
		"UC: without a receive the message is dropped in silence, no RNR NAK",
		uc_no_receive},
	{"C9-uc-too-long", "9.9.3", "UC: a SEND longer than its receive: local length error",
		uc_too_long},
	{"C9-uc-no-read", "9.8.2", "UC: READ is refused locally", uc_no_read},
	{"C9-uc-credit", "9.2.8",
		"UC: a vendor opcode (0x3f) answers AckReq, which standard peers never set, and nothing else",
		uc_credit},
	{"C9-ud-send", "9.8.3",
		"UD: one packet with DETH, PSN going up, pad and immediate as usual", ud_sends},
	{"C9-ud-qkey-own", "10.2.5", "UD: a Q_Key with its high bit set means the queue pair's own",
		ud_own_qkey},
	{"C9-ud-one-packet", "9.8.3", "UD: a message above the path MTU is refused locally",
		ud_one_packet},
	{"C9-ud-receive", "9.8.3",
		"UD: any PSN is taken; source QP, immediate and length + 40 reach the completion",
		ud_receives},
	{"C9-ud-grh-v4", "A17.4.5.1",
		"UD over IPv4: 20 zero bytes and the IP header stand before the payload",
		ud_grh_v4},
	{"C9-ud-grh-v6", "A17.4.5.1", "UD over IPv6: the IPv6 header stands before the payload",
		ud_grh_v6},
	{"C9-ud-qkey", "9.6.1",
		"UD: another Q_Key than the QP's is dropped in silence, each bit counts", ud_qkey},
	{"C9-ud-drop", "9.8.3",
		"UD: without a receive, or with one too short, dropped in silence; the receive stays",
		ud_drops},
	{"C9-ud-any-source", "9.8.3",
		"UD: anybody may send; the header before the payload says who", ud_any_source},
	{"C9-ud-credit", "9.2.8", "UD: a vendor opcode (0x7f) answers AckReq, to the source QP",
		ud_credit},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
