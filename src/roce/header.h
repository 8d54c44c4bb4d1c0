/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header codec: bytes to struct fns_hdr and back, for BTH and all extension headers of RoCEv2
 * (IBTA 9.2 to 9.3, A17). Pure: no allocation, no state. The ICRC is not seen here (roce/icrc.h);
 * payload excludes it.
 */
#ifndef FNS_ROCE_HEADER_H
#define FNS_ROCE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "roce/opcode.h"

#define FNS_ROCE_PORT     4791
#define FNS_BTH_LEN       12
#define FNS_ICRC_LEN      4
#define FNS_HDR_MAX       48 /* >= the longest BTH + extension headers */
#define FNS_GRH_LEN       40
#define FNS_PKEY_DEFAULT  0xffff
#define FNS_QPN_MULTICAST 0xffffffu
#define FNS_QPN_MASK      0xffffffu

/* A header in host order. Only the fields of the headers that the opcode has are meaningful. */
struct fns_hdr {
	/* BTH */
	uint8_t opcode;
	bool solicited; /* SE */
	bool migreq;
	bool fecn, becn;
	bool ack_req;
	bool selective; /* ours, reserved in IBTA: may be answered by a SACK */
	uint8_t pad;    /* 0..3 bytes after the payload */
	uint8_t tver;   /* 0 */
	uint16_t pkey;
	uint32_t dest_qp; /* 24 bits */
	uint32_t psn;     /* 24 bits */
	/* AETH */
	uint8_t syndrome;
	uint32_t msn; /* 24 bits */
	/* RETH, AtomicETH */
	uint64_t va;
	uint32_t rkey;
	uint32_t dma_len;
	uint64_t swap_add, compare;
	/* AtomicAckETH */
	uint64_t orig;
	/* ImmDt or IETH */
	uint32_t imm; /* immediate: the four wire bytes as they are (big-endian in memory); IETH:
			 rkey in host order */
	/* DETH */
	uint32_t qkey;
	uint32_t src_qp; /* 24 bits */
	/* Set by parse */
	const struct fns_opcode_info *info;
	const uint8_t *payload;
	uint32_t payload_len; /* without pad */
};

enum fns_hdr_result {
	FNS_HDR_OK,
	FNS_HDR_SHORT,       /* shorter than its headers and pad */
	FNS_HDR_BAD_VERSION, /* TVER != 0 */
	FNS_HDR_BAD_OPCODE,
	FNS_HDR_BAD_LENGTH, /* not a multiple of 4, or payload where the opcode has none */
};

/* AETH syndrome (IBTA 9.7.5.2): type in bits 7..5, value in bits 4..0. */
enum {
	FNS_AETH_ACK = 0x00,
	FNS_AETH_RNR = 0x20,
	FNS_AETH_NAK = 0x60,
	FNS_AETH_TYPE_MASK = 0xe0,
	FNS_AETH_VALUE_MASK = 0x1f,
	FNS_AETH_NO_CREDITS = 0x1f, /* in an ACK: end-to-end flow control is not used */
};

/* NAK codes, the value of an FNS_AETH_NAK syndrome. */
enum fns_nak {
	FNS_NAK_PSN_SEQUENCE = 0,
	FNS_NAK_INVALID_REQUEST = 1,
	FNS_NAK_REMOTE_ACCESS = 2,
	FNS_NAK_REMOTE_OPERATIONAL = 3,
	FNS_NAK_INVALID_RD_REQUEST = 4,
};

/*
 * Parses one packet, BTH first, ICRC cut off. On FNS_HDR_OK every field that the opcode has is set
 * in *h, and payload points into pkt. On anything else *h is undefined. Any bytes are accepted as
 * input.
 */
enum fns_hdr_result fns_hdr_parse(const uint8_t *pkt, uint32_t len, struct fns_hdr *h);

/* Writes BTH and the opcode's extension headers to out (FNS_HDR_MAX bytes). Returns the length. The
 * opcode must be valid. */
uint32_t fns_hdr_build(uint8_t *out, const struct fns_hdr *h);

/*
 * The largest IBTA MTU (256..4096, bytes of payload) whose packets fit an IP MTU of link_mtu with
 * the longest headers that occur, 80 bytes; 0 when even 256 does not.
 */
static inline uint32_t fns_mtu_for_link(uint32_t link_mtu)
{
	uint32_t mtu = 4096;

	while (mtu >= 256 && mtu + 80 > link_mtu)
		mtu /= 2;
	return mtu >= 256 ? mtu : 0;
}

/* RNR NAK timer code 0..31 to ns (IBTA 9.7.5.2.8, table 45). */
uint64_t fns_rnr_timer_ns(uint8_t code);
/* Local ACK timeout exponent 0..31 to ns: 4.096 us * 2^t (IBTA 9.7.6.1.3); 0 means never and gives
 * UINT64_MAX. */
uint64_t fns_ack_timeout_ns(uint8_t t);

#endif
