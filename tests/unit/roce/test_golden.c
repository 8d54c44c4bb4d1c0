/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that the Linux kernel's own RoCE sent (golden_packets.h): each is parsed, says what was
 * read from it by other means, has a right ICRC, is what our builder writes, and is refused with
 * any one bit changed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "roce/header.h"
#include "roce/icrc.h"

struct golden {
	uint8_t ip[336]; /* from the IP header to the ICRC */
	uint32_t len;
	struct fns_hdr want;
};

static const struct golden packets[] = {
#include "golden_packets.h"
};

struct view {
	struct fns_icrc_flow flow;
	const uint8_t *bth;
	uint32_t len; /* BTH to the end of the pad */
	uint16_t udp_len, id;
	uint32_t icrc;
};

static struct view view_of(const uint8_t *ip, uint32_t len)
{
	struct view v = {.flow.ipv6 = ip[0] >> 4 == 6};
	uint32_t ip_len = v.flow.ipv6 ? 40 : 20;
	const uint8_t *udp = ip + ip_len, *end = ip + len - FNS_ICRC_LEN;

	if (v.flow.ipv6) {
		memcpy(v.flow.src, ip + 8, 16);
		memcpy(v.flow.dst, ip + 24, 16);
	} else {
		v.flow.src[10] = v.flow.src[11] = v.flow.dst[10] = v.flow.dst[11] = 0xff;
		memcpy(v.flow.src + 12, ip + 12, 4);
		memcpy(v.flow.dst + 12, ip + 16, 4);
		v.id = get_be16(ip + 4);
	}
	v.flow.sport = get_be16(udp);
	v.flow.dport = get_be16(udp + 2);
	v.udp_len = get_be16(udp + 4);
	v.bth = udp + 8;
	v.len = len - ip_len - 8 - FNS_ICRC_LEN;
	v.icrc = end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 | (uint32_t)end[3] << 24;
	return v;
}

static uint32_t sum(const struct view *v, uint16_t id)
{
	return fns_icrc_final(
		fns_icrc_bth(fns_icrc_begin(&v->flow, v->udp_len, id), v->bth, v->len));
}

static void test_icrc(void **s)
{
	(void)s;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(packets); i++) {
		struct view v = view_of(packets[i].ip, packets[i].len);
		uint16_t id = 0;

		assert_int_equal(v.flow.dport, FNS_ROCE_PORT);
		assert_int_equal(v.udp_len, v.len + 8 + FNS_ICRC_LEN);
		assert_int_equal(sum(&v, v.id), v.icrc);
		/* As a receiver that does not see the identification finds it. */
		if (!v.flow.ipv6) {
			assert_true(fns_icrc_find_id(
				sum(&v, 0), v.icrc, fns_icrc_len_after_id(v.udp_len), &id));
			assert_int_equal(id, v.id);
		}
	}
}

static void test_bits(void **s)
{
	(void)s;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(packets); i++) {
		uint8_t ip[sizeof(packets[i].ip)];
		struct view v =
			view_of(ip, (memcpy(ip, packets[i].ip, sizeof(ip)), packets[i].len));
		uint32_t at = (uint32_t)(v.bth - ip);

		for (uint32_t bit = 0; bit < 8 * v.len; bit++) {
			/* What the ICRC leaves out: FECN, BECN and five reserved bits. */
			bool covered = bit / 8 != 4;

			ip[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(sum(&v, v.id) != v.icrc, covered);
			ip[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void expect_fields(const struct fns_hdr *h, const struct fns_hdr *w)
{
	uint32_t f = h->info->flags;

	assert_int_equal(h->opcode, w->opcode);
	assert_int_equal(h->solicited, w->solicited);
	assert_int_equal(h->pad, w->pad);
	assert_int_equal(h->pkey, w->pkey);
	assert_int_equal(h->dest_qp, w->dest_qp);
	assert_int_equal(h->ack_req, w->ack_req);
	assert_int_equal(h->psn, w->psn);
	assert_int_equal(h->payload_len, w->payload_len);
	if (f & FNS_OPF_AETH) {
		assert_int_equal(h->syndrome, w->syndrome);
		assert_int_equal(h->msn, w->msn);
	}
	if (f & (FNS_OPF_RETH | FNS_OPF_ATOMIC_ETH)) {
		assert_int_equal(h->va, w->va);
		assert_int_equal(h->rkey, w->rkey);
	}
	if (f & FNS_OPF_RETH)
		assert_int_equal(h->dma_len, w->dma_len);
	if (f & FNS_OPF_ATOMIC_ETH) {
		assert_int_equal(h->swap_add, w->swap_add);
		assert_int_equal(h->compare, w->compare);
	}
	if (f & FNS_OPF_ATOMIC_ACK_ETH)
		assert_int_equal(h->orig, w->orig);
	if (f & FNS_OPF_DETH) {
		assert_int_equal(h->qkey, w->qkey);
		assert_int_equal(h->src_qp, w->src_qp);
	}
}

static void test_parse(void **s)
{
	bool seen[256][2] = {{false}};
	unsigned kinds = 0;

	(void)s;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(packets); i++) {
		struct view v = view_of(packets[i].ip, packets[i].len);
		uint8_t built[FNS_HDR_MAX];
		struct fns_hdr h;

		assert_int_equal(fns_hdr_parse(v.bth, v.len, &h), FNS_HDR_OK);
		expect_fields(&h, &packets[i].want);
		assert_int_equal(fns_hdr_build(built, &h), h.info->hdr_len);
		/* The kernel sets MigReq, which we leave as it was read. */
		assert_memory_equal(built, v.bth, h.info->hdr_len);
		kinds += !seen[h.opcode][v.flow.ipv6];
		seen[h.opcode][v.flow.ipv6] = true;
	}
	assert_int_equal(kinds, FNS_ARRAY_SIZE(packets));
	for (unsigned six = 0; six < 2; six++) {
		assert_true(seen[FNS_OP_READ_REQUEST][six]);
		assert_true(seen[FNS_OP_ACK][six]);
		assert_true(seen[FNS_OP_FETCH_ADD][six]);
		assert_true(seen[FNS_OP_CMP_SWAP][six]);
		assert_true(seen[FNS_OP_ATOMIC_ACK][six]);
		assert_true(seen[FNS_TC_UD | FNS_OP_SEND_ONLY][six]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_icrc),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
