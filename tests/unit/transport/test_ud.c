/* SPDX-License-Identifier: Apache-2.0 */
/* Unreliable datagrams: addressing, Q_Keys, the route header in front of each receive, and what is
 * dropped. */
#include "one.h"

#include <string.h>

#define UD(op) ((uint8_t)(FNS_TC_UD | (op)))

static uint32_t make_ah(struct rig *r, uint16_t link_mtu)
{
	struct fns_ctl m = {.op = FNS_CTL_AH_CREATE};

	m.ah.pd = r->pd;
	m.ah.av = (struct fns_ctl_av){
		.sgid = r->self, .dgid = r->peer, .is_global = 1, .link_mtu = link_mtu};
	assert_int_equal(rig_ctl(r, &m), 0);
	return m.handle;
}

static struct one *ud_begin(const struct rig_opts *opts)
{
	struct one *o = one_begin(FNS_QPT_UD, opts);

	o->ah = make_ah(o->r, 1500);
	return o;
}

static void post(
	struct one *o, uint64_t wr_id, uint8_t op, uint32_t len, uint32_t qpn, uint32_t qkey)
{
	struct rig_wr wr = {.wr_id = wr_id,
		.op = op,
		.flags = FNS_WRF_SIGNALED | FNS_WRF_SOLICITED,
		.nsge = len ? 1 : 0,
		.ah = o->ah,
		.remote_qpn = qpn,
		.qkey = qkey,
		.imm = 0x01020304};

	wr.sge[0] =
		(struct fns_sqd_sge){.addr = (uintptr_t)o->r->mem, .len = len, .lkey = o->r->key};
	rig_post(o->r, &o->qp, &wr);
	rig_run(o->r);
}

static void sends(void **state)
{
	struct one *o = ud_begin(NULL);
	const struct rig_packet *p;
	uint32_t len;

	rig_fill(o->r, 0, 4096, 1);
	for (len = 0; len <= 1024; len += len < 8 ? 1 : 127) {
		uint64_t i = len;

		o->r->nsent = 0;
		post(o, i, len & 1 ? FNS_WR_SEND : FNS_WR_SEND_IMM, len, 0x030042, 0x77);
		rig_expect_cqe(&o->qp.cq, i, FNS_WC_SUCCESS);
		assert_int_equal(o->r->nsent, 1);
		p = &o->r->sent[0];
		assert_int_equal(
			p->h.opcode, len & 1 ? UD(FNS_OP_SEND_ONLY) : UD(FNS_OP_SEND_ONLY_IMM));
		assert_int_equal(p->h.dest_qp, 0x030042);
		assert_int_equal(p->h.src_qp, o->qp.qpn);
		assert_int_equal(p->h.qkey, 0x77);
		assert_true(p->h.solicited);
		assert_int_equal(p->h.payload_len, len);
		assert_memory_equal(p->h.payload, o->r->mem, len);
		if (!(len & 1))
			assert_int_equal(p->h.imm, 0x01020304);
	}
	/* The high bit: not this key but the queue pair's own. */
	post(o, 9, FNS_WR_SEND, 1, 0x030042, 0x80000001);
	assert_int_equal(o->r->sent[o->r->nsent - 1].h.qkey, RIG_QKEY);
	one_end(o);
}

static void bad_sends(void **state)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		struct one *o = ud_begin(NULL);

		if (i == 0)
			post(o, 1, FNS_WR_SEND, 1025, 0x030042, 1); /* 1500 bytes carry 1024 */
		if (i == 1) {
			o->ah ^= 0x01000000; /* a stale handle */
			post(o, 1, FNS_WR_SEND, 8, 0x030042, 1);
		}
		if (i == 2) {
			struct fns_ctl m = {.op = FNS_CTL_PD_CREATE};

			assert_int_equal(rig_ctl(o->r, &m), 0);
			m.ah.pd = m.handle;
			m.op = FNS_CTL_AH_CREATE;
			m.ah.av = (struct fns_ctl_av){.sgid = o->r->self,
				.dgid = o->r->peer,
				.is_global = 1,
				.link_mtu = 1500};
			assert_int_equal(rig_ctl(o->r, &m), 0);
			o->ah = m.handle; /* another domain's */
			post(o, 1, FNS_WR_SEND, 8, 0x030042, 1);
		}
		rig_expect_cqe(&o->qp.cq, 1, i == 0 ? FNS_WC_LOC_LEN_ERR : FNS_WC_LOC_QP_OP_ERR);
		assert_int_equal(o->r->nsent, 0);
		assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_SQE);
		one_end(o);
	}
}

static void receives(struct one *o)
{
	static const uint32_t lens[] = {0, 1, 100, 1024};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		struct fns_hdr h = rig_hdr(&o->qp, UD(FNS_OP_SEND_ONLY_IMM), 12345); /* any PSN */
		struct fns_cqe c;
		uint8_t *m = o->r->mem;
		uint32_t packet_len = 24 + lens[i] + (-lens[i] & 3); /* BTH, DETH, immediate */

		memset(m, 0, 2048);
		h.imm = 0x0a0b0c0d;
		h.src_qp = 0x020099;
		rig_post_recv(o->r, &o->qp, i, 0, 40 + lens[i]);
		rig_inject(o->r, h, o->data, lens[i]);
		rig_settle(o->r);
		assert_true(rig_poll(&o->qp.cq, &c));
		assert_int_equal(c.status, FNS_WC_SUCCESS);
		assert_int_equal(c.wr_id, i);
		assert_int_equal(c.byte_len, 40 + lens[i]);
		assert_int_equal(c.src_qp, 0x020099);
		assert_int_equal(c.wc_flags, FNS_WCF_GRH | FNS_WCF_WITH_IMM);
		assert_int_equal(c.imm, 0x0a0b0c0d);
		assert_memory_equal(m + 40, o->data, lens[i]);
		assert_int_equal(m[40 + lens[i]], 0);
		/* IPv4: 20 bytes of nothing, then the IP header. */
		for (unsigned k = 0; k < 20; k++)
			assert_int_equal(m[k], 0);
		assert_int_equal(m[20], 0x45);
		assert_int_equal(m[21], 2);
		assert_int_equal(m[22] << 8 | m[23], 20 + 8 + packet_len + 4);
		assert_int_equal(m[28], 63);
		assert_int_equal(m[29], 17);
		assert_memory_equal(m + 32, o->r->peer.b + 12, 4);
		assert_memory_equal(m + 36, o->r->self.b + 12, 4);
	}
}

static void receives_near(void **state)
{
	struct one *o = ud_begin(NULL);

	receives(o);
	one_end(o);
}

static void receives_far(void **state)
{
	struct one *o = ud_begin(&far);

	receives(o);
	one_end(o);
}

static void route_header_v6(void **state)
{
	struct one *o = ud_begin(NULL);
	struct fns_gid six = {.b = {0x20, 0x01, 0x0d, 0xb8, [15] = 9}};
	struct fns_hdr h = rig_hdr(&o->qp, UD(FNS_OP_SEND_ONLY), 0);
	uint8_t pkt[64] = {0}, *m = o->r->mem;
	uint32_t n = fns_hdr_build(pkt, &h);

	o->r->self = (struct fns_gid){.b = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
	rig_post_recv(o->r, &o->qp, 1, 0, 64);
	memcpy(pkt + n, "abcd", 4);
	rig_inject_from(o->r, &six, pkt, n + 4);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(m[0] >> 4, 6);
	assert_int_equal((m[0] & 0xf) << 4 | m[1] >> 4, 2); /* traffic class */
	assert_int_equal(m[4] << 8 | m[5], n + 4 + 4 + 8);
	assert_int_equal(m[6], 17);
	assert_int_equal(m[7], 63);
	assert_memory_equal(m + 8, six.b, 16);
	assert_memory_equal(m + 24, o->r->self.b, 16);
	assert_memory_equal(m + 40, "abcd", 4);
	one_end(o);
}

/* The header and the payload each go where the SGEs say, cut anywhere. */
static void scattered_receive(void **state)
{
	static const uint32_t cuts[][3] = {
		{40, 100, 0}, {1, 39, 100}, {39, 2, 99}, {0, 41, 99}, {20, 20, 100}};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(cuts); i++) {
		struct one *o = ud_begin(NULL);
		struct rig_wr wr = {.op = FNS_WR_RECV, .wr_id = i, .nsge = 3};
		uint8_t got[140];
		uint32_t at = 0;

		for (k = 0; k < 3; k++)
			wr.sge[k] = (struct fns_sqd_sge){.addr = (uintptr_t)o->r->mem + 1000 * k,
				.len = cuts[i][k],
				.lkey = o->r->key};
		rig_post(o->r, &o->qp, &wr);
		rig_inject(o->r, rig_hdr(&o->qp, UD(FNS_OP_SEND_ONLY), 0), o->data, 100);
		rig_run(o->r);
		rig_expect_cqe(&o->qp.cq, i, FNS_WC_SUCCESS);
		for (k = 0; k < 3; k++) {
			memcpy(got + at, o->r->mem + 1000 * k, cuts[i][k]);
			at += cuts[i][k];
		}
		assert_int_equal(at, 140);
		assert_int_equal(got[20], 0x45);
		assert_memory_equal(got + 36, o->r->self.b + 12, 4);
		assert_memory_equal(got + 40, o->data, 100);
		one_end(o);
	}
}

static void drops(void **state)
{
	struct one *o = ud_begin(NULL);
	struct fns_hdr h = rig_hdr(&o->qp, UD(FNS_OP_SEND_ONLY), 0);

	rig_inject(o->r, h, o->data, 8);
	rig_run(o->r);
	assert_int_equal(rig_count(o->r, FNS_C_drop_no_rq), 1);
	rig_post_recv(o->r, &o->qp, 1, 0, 48);
	h.qkey++;
	rig_inject(o->r, h, o->data, 8);
	rig_run(o->r);
	assert_int_equal(rig_count(o->r, FNS_C_drop_qkey), 1);
	h.qkey--;
	rig_inject(o->r, h, o->data, 9); /* does not fit behind the route header */
	rig_run(o->r);
	assert_int_equal(rig_count(o->r, FNS_C_drop_length), 1);
	rig_expect_no_cqe(&o->qp.cq);
	assert_int_equal(o->r->mem[20], 0);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_RTS); /* anybody may send such a thing */
	rig_inject(o->r, h, o->data, 8);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	one_end(o);
}

/* One address handle, queue pairs of two port slots: each packet takes the path of its slot. */
static void paths_follow_the_slot(void **state)
{
	struct one *o = ud_begin(NULL);
	unsigned i;

	for (i = 0; i < 20; i++) /* the wire checks path against destination */
		post(o, i, FNS_WR_SEND, 8, 0x030042 + ((i & 1) << 16), 1);
	assert_int_equal(o->r->nsent, 20);
	for (i = 0; i < 20; i++)
		assert_int_equal(o->r->sent[i].h.dest_qp, 0x030042 + ((i & 1) << 16));
	assert_int_equal(o->r->paths, 1);
	one_end(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends),
		cmocka_unit_test(bad_sends),
		cmocka_unit_test(receives_near),
		cmocka_unit_test(receives_far),
		cmocka_unit_test(route_header_v6),
		cmocka_unit_test(scattered_receive),
		cmocka_unit_test(drops),
		cmocka_unit_test(paths_follow_the_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
