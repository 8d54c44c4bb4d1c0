/* SPDX-License-Identifier: Apache-2.0 */
/* The opcode table against a second listing in another shape: IBTA table 38 as header lengths, then
 * rules that rows must obey. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "roce/header.h"
#include "roce/opcode.h"

/* BTH alone is 12; DETH 8, RETH 16, AtomicETH 28, AETH 4, AtomicAckETH 8, ImmDt 4, IETH 4. 0: no
 * such opcode. */
static const uint8_t rc_len[32] = {
	12, 12, 12, 16, 12, 16, /* SEND first, middle, last, last imm, only, only imm */
	28, 12, 12, 16, 28, 32, /* WRITE in the same order */
	28, 16, 12, 16, 16,     /* READ request; response first, middle, last, only */
	16, 24, 40, 40, 0, 16,
	16, /* ACK, atomic ACK, compare and swap, fetch and add, reserved, SEND with invalidate */
};

static uint8_t want_len(unsigned op)
{
	switch (op & 0xe0) {
	case FNS_TC_RC:
		return rc_len[op & 0x1f];
	case FNS_TC_UC:
		if (op == (FNS_TC_UC | FNS_OP_CREDIT)) /* ours */
			return 12;
		return (op & 0x1f) <= FNS_OP_WRITE_ONLY_IMM ? rc_len[op & 0x1f] : 0;
	case FNS_TC_UD:
		return op == 0x64                          ? 20
		       : op == 0x65                        ? 24
		       : op == (FNS_TC_UD | FNS_OP_CREDIT) ? 12
							   : 0;
	case FNS_TC_CNP:
		return op == FNS_OP_CNP ? 28 : 0;
	case FNS_TC_MFR:
		return op == FNS_OP_SACK ? 16 : 0;
	default:
		return 0;
	}
}

static void lengths_match_specification(void **state)
{
	unsigned valid = 0;

	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		const struct fns_opcode_info *i = &fns_opcodes[op];

		assert_int_equal(i->hdr_len, want_len(op));
		assert_int_equal(!!(i->flags & FNS_OPF_VALID), want_len(op) != 0);
		assert_in_range(i->hdr_len, 0, FNS_HDR_MAX);
		if (!(i->flags & FNS_OPF_VALID)) {
			assert_int_equal(i->flags, 0);
			continue;
		}
		valid++;
		assert_int_equal(i->hdr_len % 4, 0);
	}
	assert_int_equal(valid, 23 + 12 + 2 + 2 + 1 + 1);
}

static unsigned bits(uint32_t v)
{
	return (unsigned)__builtin_popcount(v);
}

static void rows_are_consistent(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		uint32_t f = fns_opcodes[op].flags;
		uint32_t kind = f & (FNS_OPF_SEND | FNS_OPF_WRITE | FNS_OPF_READ_REQ |
					    FNS_OPF_READ_RESP | FNS_OPF_ATOMIC | FNS_OPF_ACK |
					    FNS_OPF_CREDIT | FNS_OPF_CNP | FNS_OPF_SACK);

		if (!f)
			continue;
		assert_int_equal(bits(kind), 1);
		assert_int_equal(
			bits(f & (FNS_OPF_FIRST | FNS_OPF_MIDDLE | FNS_OPF_LAST | FNS_OPF_ONLY)),
			1);
		assert_int_equal(!(f & FNS_OPF_REQUEST),
			!!(kind & (FNS_OPF_READ_RESP | FNS_OPF_ACK | FNS_OPF_CREDIT | FNS_OPF_CNP |
					  FNS_OPF_SACK)));
		assert_int_equal(!(f & FNS_OPF_PAYLOAD),
			!!(kind & (FNS_OPF_READ_REQ | FNS_OPF_ATOMIC | FNS_OPF_ACK |
					  FNS_OPF_CREDIT | FNS_OPF_CNP)));
		assert_int_equal(!!(f & FNS_OPF_ATOMIC_ETH), kind == FNS_OPF_ATOMIC);
		assert_int_equal(!!(f & FNS_OPF_RETH),
			kind == FNS_OPF_READ_REQ ||
				(kind == FNS_OPF_WRITE && (f & (FNS_OPF_FIRST | FNS_OPF_ONLY))));
		assert_int_equal(!!(f & FNS_OPF_AETH),
			kind == FNS_OPF_ACK || kind == FNS_OPF_SACK ||
				(kind == FNS_OPF_READ_RESP && !(f & FNS_OPF_MIDDLE)));
		assert_int_equal(
			!!(f & FNS_OPF_DETH), (op & 0xe0) == FNS_TC_UD && kind != FNS_OPF_CREDIT);
		assert_int_equal(!!(f & FNS_OPF_ATOMIC_ACK_ETH), op == FNS_OP_ATOMIC_ACK);
		/* Immediate data and the key to invalidate come with a message's end, never
		 * together. */
		assert_true(bits(f & (FNS_OPF_IMM | FNS_OPF_IETH)) <= 1);
		if (f & (FNS_OPF_IMM | FNS_OPF_IETH))
			assert_true(f & (FNS_OPF_LAST | FNS_OPF_ONLY));
	}
}

static void names_say_what_flags_say(void **state)
{
	static const struct {
		const char *part;
		uint32_t flag;
	} parts[] = {{"_FIRST", FNS_OPF_FIRST}, {"_MIDDLE", FNS_OPF_MIDDLE},
		{"_LAST", FNS_OPF_LAST}, {"_IMM", FNS_OPF_IMM}, {"_INV", FNS_OPF_IETH},
		{"_SEND_", FNS_OPF_SEND}, {"_WRITE_", FNS_OPF_WRITE},
		{"_READ_RESP_", FNS_OPF_READ_RESP}, {"_READ_REQUEST", FNS_OPF_READ_REQ}};
	static const char *const tc[] = {"RC_", "UC_", "RD_", "UD_", "CNP", "", "RC_"};

	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		const struct fns_opcode_info *i = &fns_opcodes[op];

		if (!i->flags) {
			assert_null(i->name);
			continue;
		}
		assert_memory_equal(i->name, tc[op >> 5], 3);
		for (unsigned p = 0; p < FNS_ARRAY_SIZE(parts); p++)
			assert_int_equal(strstr(i->name, parts[p].part) != NULL,
				!!(i->flags & parts[p].flag));
		for (unsigned other = 0; other < op; other++)
			if (fns_opcodes[other].name)
				assert_string_not_equal(i->name, fns_opcodes[other].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_match_specification),
		cmocka_unit_test(rows_are_consistent),
		cmocka_unit_test(names_say_what_flags_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
