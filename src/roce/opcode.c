/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opcode table's rows. Lengths follow from the flags by OP(), so that the two cannot disagree.
 * Single-packet requests and responses (READ request, atomics, acknowledgements) are ONLY. ATOMIC
 * marks the two requests; their response is ACK with ATOMIC_ACK_ETH.
 */
#include "roce/opcode.h"

#define SEND  (FNS_OPF_SEND | FNS_OPF_REQUEST | FNS_OPF_PAYLOAD)
#define WRITE (FNS_OPF_WRITE | FNS_OPF_REQUEST | FNS_OPF_PAYLOAD)
#define RESP  (FNS_OPF_READ_RESP | FNS_OPF_PAYLOAD)

#define FIRST  FNS_OPF_FIRST
#define MIDDLE FNS_OPF_MIDDLE
#define LAST   FNS_OPF_LAST
#define ONLY   FNS_OPF_ONLY
#define RETH   FNS_OPF_RETH
#define AETH   FNS_OPF_AETH
#define IMM    FNS_OPF_IMM
#define IETH   FNS_OPF_IETH
#define DETH   FNS_OPF_DETH

#define HAS(f, header, len) ((f) & (header) ? (len) : 0)
#define HDR_LEN(f)                                                                                 \
	(12 + HAS(f, RETH, 16) + HAS(f, AETH, 4) + HAS(f, IMM, 4) + HAS(f, IETH, 4) +              \
		HAS(f, DETH, 8) + HAS(f, FNS_OPF_ATOMIC_ETH, 28) +                                 \
		HAS(f, FNS_OPF_ATOMIC_ACK_ETH, 8) + HAS(f, FNS_OPF_CNP, FNS_CNP_RESERVED))
#define OP(tc, op, f, text)                                                                        \
	[(tc) | (op)] = {.flags = FNS_OPF_VALID | (f), .hdr_len = HDR_LEN(f), .name = text}

/* What RC and UC have in common. */
#define CONNECTED(tc, t)                                                                           \
	OP(tc, FNS_OP_SEND_FIRST, SEND | FIRST, t "_SEND_FIRST"),                                  \
		OP(tc, FNS_OP_SEND_MIDDLE, SEND | MIDDLE, t "_SEND_MIDDLE"),                       \
		OP(tc, FNS_OP_SEND_LAST, SEND | LAST, t "_SEND_LAST"),                             \
		OP(tc, FNS_OP_SEND_LAST_IMM, SEND | LAST | IMM, t "_SEND_LAST_IMM"),               \
		OP(tc, FNS_OP_SEND_ONLY, SEND | ONLY, t "_SEND_ONLY"),                             \
		OP(tc, FNS_OP_SEND_ONLY_IMM, SEND | ONLY | IMM, t "_SEND_ONLY_IMM"),               \
		OP(tc, FNS_OP_WRITE_FIRST, WRITE | FIRST | RETH, t "_WRITE_FIRST"),                \
		OP(tc, FNS_OP_WRITE_MIDDLE, WRITE | MIDDLE, t "_WRITE_MIDDLE"),                    \
		OP(tc, FNS_OP_WRITE_LAST, WRITE | LAST, t "_WRITE_LAST"),                          \
		OP(tc, FNS_OP_WRITE_LAST_IMM, WRITE | LAST | IMM, t "_WRITE_LAST_IMM"),            \
		OP(tc, FNS_OP_WRITE_ONLY, WRITE | ONLY | RETH, t "_WRITE_ONLY"),                   \
		OP(tc, FNS_OP_WRITE_ONLY_IMM, WRITE | ONLY | RETH | IMM, t "_WRITE_ONLY_IMM")

const struct fns_opcode_info fns_opcodes[256] = {
	CONNECTED(FNS_TC_RC, "RC"),
	OP(FNS_TC_RC, FNS_OP_READ_REQUEST, FNS_OPF_READ_REQ | FNS_OPF_REQUEST | ONLY | RETH,
		"RC_READ_REQUEST"),
	OP(FNS_TC_RC, FNS_OP_READ_RESP_FIRST, RESP | FIRST | AETH, "RC_READ_RESP_FIRST"),
	OP(FNS_TC_RC, FNS_OP_READ_RESP_MIDDLE, RESP | MIDDLE, "RC_READ_RESP_MIDDLE"),
	OP(FNS_TC_RC, FNS_OP_READ_RESP_LAST, RESP | LAST | AETH, "RC_READ_RESP_LAST"),
	OP(FNS_TC_RC, FNS_OP_READ_RESP_ONLY, RESP | ONLY | AETH, "RC_READ_RESP_ONLY"),
	OP(FNS_TC_RC, FNS_OP_ACK, FNS_OPF_ACK | ONLY | AETH, "RC_ACK"),
	OP(FNS_TC_RC, FNS_OP_ATOMIC_ACK, FNS_OPF_ACK | ONLY | AETH | FNS_OPF_ATOMIC_ACK_ETH,
		"RC_ATOMIC_ACK"),
	OP(FNS_TC_RC, FNS_OP_CMP_SWAP, FNS_OPF_ATOMIC | FNS_OPF_REQUEST | ONLY | FNS_OPF_ATOMIC_ETH,
		"RC_CMP_SWAP"),
	OP(FNS_TC_RC, FNS_OP_FETCH_ADD,
		FNS_OPF_ATOMIC | FNS_OPF_REQUEST | ONLY | FNS_OPF_ATOMIC_ETH, "RC_FETCH_ADD"),
	OP(FNS_TC_RC, FNS_OP_SEND_LAST_INV, SEND | LAST | IETH, "RC_SEND_LAST_INV"),
	OP(FNS_TC_RC, FNS_OP_SEND_ONLY_INV, SEND | ONLY | IETH, "RC_SEND_ONLY_INV"),

	CONNECTED(FNS_TC_UC, "UC"),
	OP(FNS_TC_UC, FNS_OP_CREDIT, FNS_OPF_CREDIT | ONLY, "UC_CREDIT"),

	OP(FNS_TC_UD, FNS_OP_SEND_ONLY, SEND | ONLY | DETH, "UD_SEND_ONLY"),
	OP(FNS_TC_UD, FNS_OP_SEND_ONLY_IMM, SEND | ONLY | DETH | IMM, "UD_SEND_ONLY_IMM"),
	OP(FNS_TC_UD, FNS_OP_CREDIT, FNS_OPF_CREDIT | ONLY, "UD_CREDIT"),

	OP(FNS_TC_CNP, FNS_OP_CNP, FNS_OPF_CNP | ONLY, "CNP"),

	OP(FNS_TC_MFR, FNS_OP_SACK, FNS_OPF_SACK | ONLY | AETH | FNS_OPF_PAYLOAD, "RC_SACK"),
};
