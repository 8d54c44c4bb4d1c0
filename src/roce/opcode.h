/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one opcode table (IBTA Vol 1, 9.2, table 38): what each BTH opcode is, which headers follow
 * and how long they are. Parsers, builders, transports and tests take behaviour from here. Pure.
 */
#ifndef FNS_ROCE_OPCODE_H
#define FNS_ROCE_OPCODE_H

#include <stdint.h>

/* Transport class, BTH opcode bits 7..5. */
enum fns_tclass {
	FNS_TC_RC = 0x00,
	FNS_TC_UC = 0x20,
	FNS_TC_RD = 0x40,
	FNS_TC_UD = 0x60,
	FNS_TC_CNP = 0x80, /* for queue pairs of the others */
	FNS_TC_MFR = 0xc0, /* the manufacturer's own */
};

/* BTH opcode bits 4..0. */
enum fns_opcode {
	FNS_OP_SEND_FIRST = 0x00,
	FNS_OP_SEND_MIDDLE = 0x01,
	FNS_OP_SEND_LAST = 0x02,
	FNS_OP_SEND_LAST_IMM = 0x03,
	FNS_OP_SEND_ONLY = 0x04,
	FNS_OP_SEND_ONLY_IMM = 0x05,
	FNS_OP_WRITE_FIRST = 0x06,
	FNS_OP_WRITE_MIDDLE = 0x07,
	FNS_OP_WRITE_LAST = 0x08,
	FNS_OP_WRITE_LAST_IMM = 0x09,
	FNS_OP_WRITE_ONLY = 0x0a,
	FNS_OP_WRITE_ONLY_IMM = 0x0b,
	FNS_OP_READ_REQUEST = 0x0c,
	FNS_OP_READ_RESP_FIRST = 0x0d,
	FNS_OP_READ_RESP_MIDDLE = 0x0e,
	FNS_OP_READ_RESP_LAST = 0x0f,
	FNS_OP_READ_RESP_ONLY = 0x10,
	FNS_OP_ACK = 0x11,
	FNS_OP_ATOMIC_ACK = 0x12,
	FNS_OP_CMP_SWAP = 0x13,
	FNS_OP_FETCH_ADD = 0x14,
	FNS_OP_SEND_LAST_INV = 0x16,
	FNS_OP_SEND_ONLY_INV = 0x17,
	/*
	 * Ours, in the UC and UD classes, where IBTA has reserved it: a bare BTH that says "taken
	 * out of my receive buffer up to this PSN of yours". Sent only in answer to an AckReq bit,
	 * which nobody else sets on these services.
	 */
	FNS_OP_CREDIT = 0x1f,
	/* All 8 bits: congestion notification (RoCEv2, A17.9), BTH and 16 reserved bytes. */
	FNS_OP_CNP = 0x81,
	/*
	 * All 8 bits: ours, for reliable connections, in the manufacturer's range: an ACK that says
	 * what else has arrived (docs/irn.md). Only who marks its requests as selective gets it.
	 */
	FNS_OP_SACK = 0xc0,
};

/* fns_opcode_info.flags */
enum {
	FNS_OPF_VALID = 1 << 0,
	FNS_OPF_FIRST = 1 << 1, /* begins a message, more follow */
	FNS_OPF_MIDDLE = 1 << 2,
	FNS_OPF_LAST = 1 << 3,
	FNS_OPF_ONLY = 1 << 4, /* a whole message */
	FNS_OPF_SEND = 1 << 5,
	FNS_OPF_WRITE = 1 << 6,
	FNS_OPF_READ_REQ = 1 << 7,
	FNS_OPF_READ_RESP = 1 << 8,
	FNS_OPF_ATOMIC = 1 << 9,
	FNS_OPF_ACK = 1 << 10,     /* ACK and ATOMIC ACK */
	FNS_OPF_REQUEST = 1 << 11, /* goes to a responder; else to a requester */
	FNS_OPF_RETH = 1 << 12,
	FNS_OPF_AETH = 1 << 13,
	FNS_OPF_IMM = 1 << 14,
	FNS_OPF_IETH = 1 << 15,
	FNS_OPF_DETH = 1 << 16,
	FNS_OPF_ATOMIC_ETH = 1 << 17,
	FNS_OPF_ATOMIC_ACK_ETH = 1 << 18,
	FNS_OPF_PAYLOAD = 1 << 19, /* may carry payload */
	FNS_OPF_CREDIT = 1 << 20,  /* FlexiNS receive credit */
	FNS_OPF_CNP = 1 << 21,     /* congestion notification */
	FNS_OPF_SACK = 1 << 22,    /* FlexiNS selective acknowledgement */
};

#define FNS_CNP_RESERVED 16 /* bytes after the BTH of a CNP */

struct fns_opcode_info {
	uint32_t flags;
	uint8_t hdr_len; /* BTH and extension headers, bytes */
	const char *name;
};

/* Indexed by the full 8-bit BTH opcode; flags 0 where the opcode does not exist (RD included). */
extern const struct fns_opcode_info fns_opcodes[256];

#endif
