/* SPDX-License-Identifier: Apache-2.0 */
/* The packet itself: header fields, opcode classes, lengths, ICRC (IBTA 9.2, 9.6, A17). */
#include "conf.h"

#include "base/bytes.h"
#include "roce/icrc.h"

/* A WRITE ONLY of 8 bytes to mem, AckReq set, in pkt. Returns its length. */
static uint32_t write_packet(struct conf *c, uint8_t *pkt, uint32_t psn)
{
	struct fns_hdr h = conf_rdma(c, FNS_OP_WRITE_ONLY, psn, 0, 8);
	uint32_t n = fns_hdr_build(pkt, &h);

	memcpy(pkt + n, conf_data, 8);
	return n + 8;
}

static void expect_taken(struct conf *c, uint32_t psn, uint32_t msn)
{
	conf_aeth(c, psn, ACK, msn);
	assert_memory_equal(c->r->mem, conf_data, 8);
}

static void expect_dropped(struct conf *c, enum fns_counter why, uint64_t n)
{
	conf_silent(c);
	assert_int_equal(rig_count(c->r, why), n);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(c->r->mem[i], 0);
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_RTS);
	assert_int_equal(rig_inner(c->r, &c->qp)->rsp.epsn, RQ);
}

static void header_version(struct conf *c)
{
	uint8_t pkt[64];
	unsigned v;

	conf_open(c, FNS_QPT_RC);
	for (v = 1; v < 16; v++) {
		uint32_t n = write_packet(c, pkt, RQ);

		pkt[1] = (uint8_t)((pkt[1] & 0xf0) | v);
		rig_inject_raw(c->r, pkt, n);
	}
	expect_dropped(c, FNS_C_drop_header, 15);
	conf_close(c);
}

static void pkey_other(struct conf *c)
{
	static const uint16_t keys[] = {0x0000, 0x8000, 0xfffe, 0x8001, 0xbfff, 0x3fff};
	uint8_t pkt[64];

	conf_open(c, FNS_QPT_RC);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(keys); i++) {
		uint32_t n = write_packet(c, pkt, RQ);

		put_be16(pkt + 2, keys[i]);
		rig_inject_raw(c->r, pkt, n);
	}
	expect_dropped(c, FNS_C_drop_pkey, FNS_ARRAY_SIZE(keys));
	conf_close(c);
}

static void pkey_limited(struct conf *c)
{
	uint8_t pkt[64];
	uint32_t n;

	conf_open(c, FNS_QPT_RC);
	n = write_packet(c, pkt, RQ);
	put_be16(pkt + 2, 0x7fff); /* a limited member talks to a full one */
	rig_inject_raw(c->r, pkt, n);
	expect_taken(c, RQ, 1);
	conf_close(c);
}

/* With byte `at` of the BTH having these bits set or cleared, the packet is taken all the same. */
static void ignored(struct conf *c, unsigned at, uint8_t bits)
{
	unsigned v;

	conf_open(c, FNS_QPT_RC);
	for (v = 0; v < 2; v++) {
		uint8_t pkt[64];
		uint32_t n = write_packet(c, pkt, RQ + v);

		pkt[at] = (uint8_t)(v ? pkt[at] | bits : pkt[at] & ~bits);
		rig_inject_raw(c->r, pkt, n);
		expect_taken(c, RQ + v, v + 1);
		memset(c->r->mem, 0, 8);
	}
	conf_close(c);
}

static void reserved_ignored(struct conf *c)
{
	ignored(c, 4, 0x3f);
	ignored(c, 8, 0x7f);
}

static void migreq_ignored(struct conf *c)
{
	ignored(c, 1, 0x40);
}

static void ecn_bits(struct conf *c)
{
	ignored(c, 4, 0xc0);
}

static void length_of_four(struct conf *c)
{
	uint8_t pkt[64] = {0};
	uint32_t n, cut;

	conf_open(c, FNS_QPT_RC);
	n = write_packet(c, pkt, RQ);
	for (cut = 1; cut < 4; cut++)
		rig_inject_raw(c->r, pkt, n - cut);
	expect_dropped(c, FNS_C_drop_header, 3);
	conf_close(c);
}

static void too_short(struct conf *c)
{
	uint8_t pkt[64] = {0};
	uint32_t len;

	conf_open(c, FNS_QPT_RC);
	write_packet(c, pkt, RQ);
	for (len = 0; len < 28; len += 4) /* BTH and RETH */
		rig_inject_raw(c->r, pkt, len);
	expect_dropped(c, FNS_C_drop_header, 7);
	conf_close(c);
}

static void pad_without_payload(struct conf *c)
{
	uint8_t pkt[64] = {0};
	struct fns_hdr h;

	conf_open(c, FNS_QPT_RC);
	for (unsigned pad = 1; pad < 4; pad++) {
		h = conf_rdma(c, FNS_OP_READ_REQUEST, RQ, 0, 8);
		h.pad = (uint8_t)pad;
		rig_inject_raw(c->r, pkt, fns_hdr_build(pkt, &h));
		rig_inject_raw(c->r, pkt, fns_hdr_build(pkt, &h) + 4);
	}
	expect_dropped(c, FNS_C_drop_header, 6);
	conf_close(c);
}

static void payload_forbidden(struct conf *c)
{
	static const uint8_t ops[] = {FNS_OP_READ_REQUEST, FNS_OP_CMP_SWAP, FNS_OP_FETCH_ADD,
		FNS_OP_ACK, FNS_OP_ATOMIC_ACK};

	conf_open(c, FNS_QPT_RC);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(ops); i++)
		rig_inject(c->r, conf_rdma(c, ops[i], RQ, 0, 8), conf_data, 8);
	expect_dropped(c, FNS_C_drop_header, FNS_ARRAY_SIZE(ops));
	conf_close(c);
}

/* Which opcodes there are, written down once more from the table of 9.2.1. */
static bool exists(unsigned op)
{
	unsigned n = op & 0x1f;

	switch (op >> 5) {
	case 0:
		return n <= 0x14 || n == 0x16 || n == 0x17;
	case 1:
		return n <= 0x0b || n == 0x1f; /* the last is FlexiNS's */
	case 3:
		return n == 0x04 || n == 0x05 || n == 0x1f;
	case 4:
		return n == 0x01; /* the CNP, A17.9 */
	case 6:
		return n == 0x00; /* FlexiNS's, docs/irn.md */
	default:
		return false;
	}
}

static void opcodes_reserved(struct conf *c)
{
	uint8_t pkt[128] = {0};
	uint64_t n = 0;

	conf_open(c, FNS_QPT_RC);
	for (unsigned op = 0; op < 256; op++) {
		assert_int_equal(exists(op), !!(fns_opcodes[op].flags & FNS_OPF_VALID));
		if (exists(op))
			continue;
		write_packet(c, pkt, RQ);
		pkt[0] = (uint8_t)op;
		rig_inject_raw(c->r, pkt, 64);
		n++;
	}
	expect_dropped(c, FNS_C_drop_header, n);
	conf_close(c);
}

/* For RC only; without any effect but on the sending rate. */
static void cnp_heard(struct conf *c)
{
	static const uint8_t type[] = {FNS_QPT_RC, FNS_QPT_UC, FNS_QPT_UD};
	uint8_t pkt[128] = {0};

	for (unsigned t = 0; t < 3; t++) {
		conf_open(c, type[t]);
		write_packet(c, pkt, RQ);
		memset(pkt + 12, 0, 16);
		pkt[0] = 0x81;
		rig_inject_raw(c->r, pkt, 28);
		conf_silent(c);
		assert_int_equal(rig_count(c->r, FNS_C_cnps_received), t == 0);
		assert_int_equal(rig_count(c->r, FNS_C_drop_qp_type), t > 0);
		conf_close(c);
	}
}

static void opcode_class(struct conf *c)
{
	static const uint8_t type[] = {FNS_QPT_RC, FNS_QPT_UC, FNS_QPT_UD};
	static const uint8_t class[] = {FNS_TC_RC, FNS_TC_UC, FNS_TC_UD};

	for (unsigned t = 0; t < 3; t++) {
		uint64_t n = 0;

		conf_open(c, type[t]);
		rig_post_recv(c->r, &c->qp, 1, 0, 4096);
		for (unsigned k = 0; k < 3; k++)
			if (k != t) {
				conf_in(c, class[k] | FNS_OP_SEND_ONLY, RQ, 8, true);
				n++;
			}
		conf_silent(c);
		assert_int_equal(rig_count(c->r, FNS_C_drop_qp_type), n);
		rig_expect_no_cqe(&c->qp.cq);
		conf_close(c);
	}
}

static void no_such_qp(struct conf *c)
{
	uint8_t pkt[64];
	uint32_t n;

	conf_open(c, FNS_QPT_RC);
	n = write_packet(c, pkt, RQ);
	put_be24(pkt + 5, c->qp.qpn + 1);
	rig_inject_raw(c->r, pkt, n);
	expect_dropped(c, FNS_C_drop_no_qp, 1);
	conf_close(c);
}

static void wrong_source(struct conf *c)
{
	struct fns_gid other = rig_gid4(99);
	uint8_t pkt[64];
	uint32_t n;

	conf_open(c, FNS_QPT_RC);
	n = write_packet(c, pkt, RQ);
	rig_inject_from(c->r, &other, pkt, n);
	expect_dropped(c, FNS_C_drop_source, 1);
	conf_close(c);
}

/* --- ICRC --- */

#define IP4 20u
#define IP6 40u

static uint32_t crc_reference(const uint8_t *p, size_t len)
{
	uint32_t r = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		r ^= p[i];
		for (unsigned b = 0; b < 8; b++)
			r = r & 1 ? r >> 1 ^ 0xedb88320u : r >> 1;
	}
	return ~r;
}

/* One bit at a time, over an IP packet without its ICRC. */
static uint32_t icrc_reference(const uint8_t *ip, uint32_t len)
{
	uint8_t m[8 + 256], *p = m + 8, *udp;

	assert_true(len <= 256);
	memset(m, 0xff, 8);
	memcpy(p, ip, len);
	if (ip[0] >> 4 == 4) {
		p[1] = p[8] = p[10] = p[11] = 0xff; /* TOS, TTL, checksum */
		udp = p + IP4;
	} else {
		p[0] |= 0x0f; /* traffic class and flow label, hop limit */
		p[1] = p[2] = p[3] = p[7] = 0xff;
		udp = p + IP6;
	}
	udp[6] = udp[7] = 0xff; /* checksum */
	udp[8 + 4] = 0xff;      /* FECN, BECN, reserved */
	return crc_reference(m, 8 + len);
}

/* A packet that the engine sent, as the network carries it; length without ICRC. */
static uint32_t on_the_wire(struct conf *c, bool v6, uint8_t *ip)
{
	const struct rig_packet *p;
	uint32_t hl = v6 ? IP6 : IP4, len;
	uint16_t udp_len;

	rig_fill(c->r, 0, 64, 5);
	conf_post(c, FNS_WR_SEND, 1, 0, 61);
	p = conf_sent(c, 1);
	len = hl + 8 + p->len;
	udp_len = (uint16_t)(8 + p->len + 4);
	memset(ip, 0, hl + 8);
	if (v6) {
		ip[0] = 0x60;
		put_be16(ip + 4, udp_len);
		ip[6] = 17;
		ip[7] = 64;
		memcpy(ip + 8, p->local.b, 16);
		memcpy(ip + 24, p->remote.b, 16);
	} else {
		ip[0] = 0x45;
		put_be16(ip + 2, (uint16_t)(IP4 + udp_len));
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = 17;
		memcpy(ip + 12, p->local.b + 12, 4);
		memcpy(ip + 16, p->remote.b + 12, 4);
	}
	put_be16(ip + hl, 50000);
	put_be16(ip + hl + 2, FNS_ROCE_PORT);
	put_be16(ip + hl + 4, udp_len);
	memcpy(ip + hl + 8, p->data, p->len);
	return len;
}

/* What FlexiNS computes for that packet. */
static uint32_t icrc_ours(struct conf *c, bool v6, const uint8_t *ip, uint32_t len, uint16_t id)
{
	uint32_t hl = v6 ? IP6 : IP4;
	struct fns_icrc_flow f = {.sport = 50000, .dport = FNS_ROCE_PORT, .ipv6 = v6};

	memcpy(f.src, c->r->self.b, 16);
	memcpy(f.dst, c->r->peer.b, 16);
	return fns_icrc_final(fns_icrc_bth(
		fns_icrc_begin(&f, (uint16_t)(len - hl + 4), id), ip + hl + 8, len - hl - 8));
}

static bool masked(bool v6, uint32_t i, uint8_t bit)
{
	uint32_t hl = v6 ? IP6 : IP4;

	if (i == hl + 6 || i == hl + 7 || i == hl + 8 + 4)
		return true;
	if (v6)
		return i == 7 || (i >= 1 && i <= 3) || (i == 0 && bit < 4);
	return i == 1 || i == 8 || i == 10 || i == 11;
}

static void coverage(struct conf *c, bool v6)
{
	uint8_t ip[256];
	uint32_t len, i, sum;
	uint8_t bit;

	conf_open(c, FNS_QPT_RC);
	len = on_the_wire(c, v6, ip);
	sum = icrc_ours(c, v6, ip, len, 0);
	assert_int_equal(icrc_reference(ip, len), sum);
	for (i = 0; i < len; i++)
		for (bit = 0; bit < 8; bit++) {
			bool same;

			if (i == 0 && bit >= 4)
				continue; /* would be another IP version */
			ip[i] ^= (uint8_t)(1u << bit);
			same = icrc_reference(ip, len) == sum;
			ip[i] ^= (uint8_t)(1u << bit);
			assert_int_equal(same, masked(v6, i, bit));
		}
	/* And ours follows in what it is given: the masked byte of the BTH, and all the rest. */
	for (i = v6 ? IP6 + 8 : IP4 + 8; i < len; i++) {
		ip[i] ^= 0x10;
		assert_int_equal(icrc_ours(c, v6, ip, len, 0) == sum, masked(v6, i, 4));
		assert_int_equal(icrc_ours(c, v6, ip, len, 0), icrc_reference(ip, len));
		ip[i] ^= 0x10;
	}
	conf_close(c);
}

static void icrc_v4(struct conf *c)
{
	coverage(c, false);
}

static void icrc_v6(struct conf *c)
{
	coverage(c, true);
}

static void icrc_identification(struct conf *c)
{
	static const uint16_t ids[] = {0, 1, 127, 128, 0x1234, 0xffff};
	uint8_t ip[256];
	uint32_t len, sum0;

	conf_open(c, FNS_QPT_RC);
	len = on_the_wire(c, false, ip);
	sum0 = icrc_ours(c, false, ip, len, 0);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(ids); i++) {
		size_t after = fns_icrc_len_after_id((uint16_t)(len - IP4 + 4));
		uint32_t sum;
		uint16_t id;

		put_be16(ip + 4, ids[i]);
		sum = icrc_reference(ip, len);
		assert_int_equal(icrc_ours(c, false, ip, len, ids[i]), sum);
		assert_int_equal(fns_icrc_shift_id(sum0, ids[i], after), sum);
		assert_true(fns_icrc_find_id(sum0, sum, after, &id));
		assert_int_equal(id, ids[i]);
	}
	conf_close(c);
}

/* Of all sums that are wrong by one bit, none is explained by an identification. */
static void icrc_one_bit(struct conf *c)
{
	uint8_t ip[256];
	uint32_t len, sum, i;
	uint16_t id;

	conf_open(c, FNS_QPT_RC);
	len = on_the_wire(c, false, ip);
	sum = icrc_reference(ip, len);
	for (i = (IP4 + 8) * 8; i < len * 8; i++) {
		ip[i / 8] ^= (uint8_t)(1u << i % 8);
		if (i / 8 != IP4 + 8 + 4)
			assert_false(fns_icrc_find_id(icrc_reference(ip, len), sum,
				fns_icrc_len_after_id((uint16_t)(len - IP4 + 4)), &id));
		ip[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (i = 0; i < 32; i++) /* in the ICRC itself */
		assert_false(fns_icrc_find_id(
			sum, sum ^ 1u << i, fns_icrc_len_after_id((uint16_t)(len - IP4 + 4)), &id));
	conf_close(c);
}

static const struct conf_rule rules[] = {
	{"C9-pkt-tver", "9.2.5", "a header version other than 0 is dropped", header_version},
	{"C9-pkt-pkey", "9.6.1", "a P_Key of another partition is dropped", pkey_other},
	{"C9-pkt-pkey-limited", "10.9.3", "a limited member of the same partition is heard",
		pkey_limited},
	{"C9-pkt-reserved", "9.2", "reserved bits of the BTH are ignored", reserved_ignored},
	{"C9-pkt-migreq", "9.2.3" MEM, "MigReq does not matter without path migration",
		migreq_ignored},
	{"C9-pkt-ecn", "A17", "FECN and BECN do not make a packet invalid", ecn_bits},
	{"C9-pkt-four", "9.2.4", "a packet whose length is no multiple of 4 is dropped",
		length_of_four},
	{"C9-pkt-short", "9.6", "a packet shorter than its headers is dropped", too_short},
	{"C9-pkt-pad", "9.2.4", "a pad count without payload is dropped", pad_without_payload},
	{"C9-pkt-payload", "9.2", "payload where the opcode has none is dropped",
		payload_forbidden},
	{"C9-pkt-reserved-opcode", "9.2.1", "reserved and RD opcodes are dropped, whatever the PSN",
		opcodes_reserved},
	{"C9-pkt-cnp", "A17.9", "a CNP is heard by RC and answered by nobody", cnp_heard},
	{"C9-pkt-class", "9.2.1", "an opcode of another service than the queue pair's is dropped",
		opcode_class},
	{"C9-pkt-no-qp", "9.6.1", "a packet for no queue pair is dropped", no_such_qp},
	{"C9-pkt-source", "9.6.1",
		"a packet for a connected queue pair from another address than its peer's is dropped",
		wrong_source},
	{"C9-pkt-icrc-v4", "A17.3.3",
		"ICRC over IPv4 covers all but TOS, TTL, both checksums and the BTH byte with FECN and BECN",
		icrc_v4},
	{"C9-pkt-icrc-v6", "A17.3.3",
		"ICRC over IPv6 covers all but traffic class, flow label, hop limit, UDP checksum and that byte",
		icrc_v6},
	{"C9-pkt-icrc-id", "A17.3.3",
		"the IPv4 identification is covered; which one was used can be computed from the ICRC",
		icrc_identification},
	{"C9-pkt-icrc-bit", "A17.3.3", "no wrong single bit passes for another identification",
		icrc_one_bit},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
