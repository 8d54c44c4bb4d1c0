/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of roce/mad: each field where IBTA and mad.h put it, and nothing else believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "roce/mad.h"

static const struct fns_hello hello = {.version = 1,
	.ext = 0x01020304,
	.icrc = 0x05060708,
	.rcvbuf = 0x090a0b0c,
	.generation = 0x0d0e0f1011121314};

/* The layout of IBTA 13.4.2, byte by byte. */
static void header_layout(void **state)
{
	static const uint8_t want[FNS_MAD_HDR_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
		15, 16, 17, 18, 0, 0, 19, 20, 21, 22};
	const struct fns_mad_hdr h = {.base_version = 1,
		.mgmt_class = 2,
		.class_version = 3,
		.method = 4,
		.status = 0x0506,
		.class_specific = 0x0708,
		.tid = 0x090a0b0c0d0e0f10,
		.attr_id = 0x1112,
		.attr_mod = 0x13141516};
	struct fns_mad_hdr got;
	uint8_t mad[FNS_MAD_LEN];

	(void)state;
	memset(mad, 0xee, sizeof(mad));
	fns_mad_build(mad, &h);
	assert_memory_equal(mad, want, sizeof(want));
	assert_int_equal(mad[FNS_MAD_HDR_LEN], 0xee);
	memset(&got, 0xff, sizeof(got));
	assert_true(fns_mad_parse(mad, FNS_MAD_LEN, &got));
	assert_int_equal(got.mgmt_class, 2);
	assert_int_equal(got.class_version, 3);
	assert_int_equal(got.method, 4);
	assert_int_equal(got.status, 0x0506);
	assert_int_equal(got.class_specific, 0x0708);
	assert_true(got.tid == h.tid);
	assert_int_equal(got.attr_id, 0x1112);
	assert_int_equal(got.attr_mod, 0x13141516);
	assert_false(fns_mad_parse(mad, FNS_MAD_LEN - 1, &got));
	assert_false(fns_mad_parse(mad, FNS_MAD_LEN + 1, &got));
	mad[0] = 2;
	assert_false(fns_mad_parse(mad, FNS_MAD_LEN, &got));
	mad[0] = 0x80; /* Omni-Path's */
	assert_false(fns_mad_parse(mad, FNS_MAD_LEN, &got));
}

static void hello_layout(void **state)
{
	static const uint8_t want[] = {1, 0x3f, 1, 1, 0, 0, 0, 0, 0x21, 0x22, 0x23, 0x24, 0x25,
		0x26, 0x27, 0x28, 0, 0x10, 0, 0, 0, 0, 0, 0,       /* common header */
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,             /* RMPP, reserved */
		'F', 'N', 'S', 0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, /* OUI, version, bits */
		9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
	uint8_t mad[FNS_MAD_LEN];
	uint64_t tid = 0;
	struct fns_hello got;

	(void)state;
	memset(mad, 0xee, sizeof(mad));
	fns_hello_build(mad, FNS_MAD_GET, 0x2122232425262728, &hello);
	assert_int_equal(sizeof(want), 64);
	assert_memory_equal(mad, want, sizeof(want));
	for (unsigned i = sizeof(want); i < FNS_MAD_LEN; i++)
		assert_int_equal(mad[i], 0);
	memset(&got, 0xff, sizeof(got));
	assert_int_equal(fns_hello_parse(mad, &tid, &got), FNS_HELLO_REQUEST);
	assert_true(tid == 0x2122232425262728);
	assert_int_equal(got.version, 1);
	assert_int_equal(got.ext, hello.ext);
	assert_int_equal(got.icrc, hello.icrc);
	assert_int_equal(got.rcvbuf, hello.rcvbuf);
	assert_true(got.generation == hello.generation);
	/* A vendor class of range 2 with a locally administered, individual OUI. */
	assert_true(FNS_HELLO_CLASS >= 0x30 && FNS_HELLO_CLASS <= 0x4f);
	assert_int_equal(FNS_HELLO_OUI >> 16 & 3, 2);
}

static void hello_kinds(void **state)
{
	/* Bytes of the header, the OUI and the version that make it something else. */
	static const uint8_t fixed[] = {0, 1, 2, 16, 17, 37, 38, 39};
	uint8_t mad[FNS_MAD_LEN];
	struct fns_hello got;
	uint64_t tid = 0;

	(void)state;
	for (unsigned m = 0; m < 256; m++) {
		enum fns_hello_kind want = m == FNS_MAD_GET        ? FNS_HELLO_REQUEST
					   : m == FNS_MAD_GET_RESP ? FNS_HELLO_ANSWER
								   : FNS_HELLO_NONE;

		fns_hello_build(mad, (uint8_t)m, 7, &hello);
		assert_int_equal(fns_hello_parse(mad, &tid, &got), want);
	}
	fns_hello_build(mad, FNS_MAD_GET_RESP, 7, &hello);
	for (unsigned i = 0; i < sizeof(fixed); i++) {
		mad[fixed[i]] ^= 0x40;
		assert_int_equal(fns_hello_parse(mad, &tid, &got), FNS_HELLO_NONE);
		mad[fixed[i]] ^= 0x40;
	}
	mad[41] = 0; /* version 0 */
	assert_int_equal(fns_hello_parse(mad, &tid, &got), FNS_HELLO_NONE);
	mad[41] = 2; /* a later one, with more behind */
	memset(mad + 64, 0x55, FNS_MAD_LEN - 64);
	assert_int_equal(fns_hello_parse(mad, &tid, &got), FNS_HELLO_ANSWER);
	assert_int_equal(got.version, 2);
	assert_int_equal(got.rcvbuf, hello.rcvbuf);
	/* What Linux makes of a request: the same with a method and a status. */
	fns_hello_build(mad, FNS_MAD_GET, 9, &hello);
	mad[3] = FNS_MAD_GET_RESP;
	mad[5] = FNS_MAD_STATUS_UNSUPPORTED;
	assert_int_equal(fns_hello_parse(mad, &tid, &got), FNS_HELLO_REFUSAL);
	assert_true(tid == 9);
}

static void packet(void **state)
{
	uint8_t mad[FNS_MAD_LEN], pkt[FNS_MAD_PACKET_LEN];
	struct fns_hdr h;

	(void)state;
	for (unsigned i = 0; i < sizeof(mad); i++)
		mad[i] = (uint8_t)i;
	fns_mad_packet(pkt, mad);
	assert_int_equal(fns_hdr_parse(pkt, sizeof(pkt), &h), FNS_HDR_OK);
	assert_true(fns_mad_is_packet(&h));
	assert_int_equal(h.src_qp, 1);
	assert_int_equal(pkt[5], 0); /* DestQP[23:16]: what the port is steered by */
	assert_memory_equal(h.payload, mad, FNS_MAD_LEN);
	h.pkey = 0x7fff; /* a limited member */
	assert_true(fns_mad_is_packet(&h));
#define WRONG(field, value)                                                                        \
	do {                                                                                       \
		struct fns_hdr w = h;                                                              \
		w.field = (value);                                                                 \
		assert_false(fns_mad_is_packet(&w));                                               \
	} while (0)
	WRONG(opcode, FNS_TC_UD | FNS_OP_SEND_ONLY_IMM);
	WRONG(opcode, FNS_TC_RC | FNS_OP_SEND_ONLY);
	WRONG(dest_qp, 0);
	WRONG(dest_qp, 2);
	WRONG(dest_qp, 0x010001);
	WRONG(qkey, 0x80010001);
	WRONG(qkey, 0x00010000);
	WRONG(pkey, 0x8001);
	WRONG(payload_len, FNS_MAD_LEN - 4);
	WRONG(payload_len, FNS_MAD_LEN + 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_layout),
		cmocka_unit_test(hello_layout),
		cmocka_unit_test(hello_kinds),
		cmocka_unit_test(packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
