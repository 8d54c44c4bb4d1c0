/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Management datagrams (IBTA 13.4): 256 bytes, sent as UD SEND ONLY from QP1 to QP1. The common
 * header; what makes a packet one; and the one message of our own, the hello by which FlexiNS hosts
 * recognise each other. Pure. Called by the keeper.
 *
 * The hello is an attribute of a vendor class of range 2 (IBTA 16.5), whose classes are told apart
 * by an OUI; ours is locally administered and spells "FNS". A host asks by Get; a FlexiNS host
 * answers GetResp with its own data and status 0. Everybody else may answer that it does not know
 * the attribute, as the Linux kernel does, or stay silent. All fields big-endian:
 *
 *   offset  bytes
 *    0      24     common header: class 0x3f, class version 1, attribute 0x0010, modifier 0
 *   24      13     zero (RMPP header, not in use; reserved)
 *   37       3     OUI 0x464e53
 *   40       2     version of the sender, 1. Later ones add fields behind these and change none
 *   42       2     zero
 *   44       4     extensions understood: FNS_HELLO_EXT_*
 *   48       4     ICRC modes understood: FNS_HELLO_ICRC_*
 *   52       4     receive buffer of each of its sockets, in bytes of what the kernel charges
 *   56       8     generation: drawn anew whenever this data may have changed
 *   64     192     zero; ignored on receipt
 */
#ifndef FNS_ROCE_MAD_H
#define FNS_ROCE_MAD_H

#include "roce/header.h"

#define FNS_MAD_LEN          256u
#define FNS_MAD_HDR_LEN      24u
#define FNS_MAD_PACKET_LEN   (FNS_BTH_LEN + 8 + FNS_MAD_LEN) /* BTH to payload, without ICRC */
#define FNS_MAD_QPN          1u
#define FNS_MAD_QKEY         0x80010000u /* of QP1 (IBTA 3.5.3, 10.2.5) */
#define FNS_MAD_BASE_VERSION 1

/* Methods (IBTA 13.4.5); the R bit makes an answer. */
enum {
	FNS_MAD_GET = 0x01,
	FNS_MAD_SET = 0x02,
	FNS_MAD_SEND = 0x03,
	FNS_MAD_GET_RESP = 0x81,
	FNS_MAD_METHOD_R = 0x80,
};

/* Status, the bits common to all classes (IBTA 13.4.7). */
enum {
	FNS_MAD_STATUS_BUSY = 0x0001,
	FNS_MAD_STATUS_UNSUPPORTED = 0x000c, /* method and attribute combination */
};

struct fns_mad_hdr {
	uint8_t base_version, mgmt_class, class_version, method;
	uint16_t status, class_specific;
	uint64_t tid;
	uint16_t attr_id;
	uint32_t attr_mod;
};

/* Reads the common header. False: not of FNS_MAD_LEN bytes, or of another base version. */
bool fns_mad_parse(const uint8_t *mad, uint32_t len, struct fns_mad_hdr *h);
/* Writes FNS_MAD_HDR_LEN bytes. */
void fns_mad_build(uint8_t *mad, const struct fns_mad_hdr *h);

/* Is a packet that fns_hdr_parse understood a MAD for QP1 that IBTA 13.5.1 lets in? Then its
 * payload is FNS_MAD_LEN bytes. */
bool fns_mad_is_packet(const struct fns_hdr *h);
/* Writes the FNS_MAD_PACKET_LEN bytes of the packet that carries a MAD. */
void fns_mad_packet(uint8_t out[FNS_MAD_PACKET_LEN], const uint8_t mad[FNS_MAD_LEN]);

#define FNS_HELLO_CLASS      0x3f
#define FNS_HELLO_ATTR       0x0010
#define FNS_HELLO_OUI        0x464e53u
#define FNS_HELLO_VERSION    1
#define FNS_HELLO_EXT_CREDIT 1u /* answers marked UC and UD packets (transport/credit.c) */
#define FNS_HELLO_EXT_SACK   2u /* answers selective RC packets by SACKs (transport/irn.h) */
#define FNS_HELLO_ICRC_STD   1u /* RoCEv2's own */

/* What a FlexiNS host says of itself. */
struct fns_hello {
	uint16_t version;
	uint32_t ext, icrc;
	uint32_t rcvbuf; /* bytes, as SO_RCVBUF reads back */
	uint64_t generation;
};

/* What is known of an address. */
enum fns_hello_state {
	FNS_HELLO_UNKNOWN,  /* asked, or not even that */
	FNS_HELLO_FLEXINS,  /* it said so; there is a struct fns_hello */
	FNS_HELLO_STANDARD, /* it answered, as another RoCEv2 implementation */
	FNS_HELLO_SILENT,   /* no answer: taken for another implementation */
};

/* Get: asks under tid; own data go along. GetResp: answers a request. Writes FNS_MAD_LEN bytes. */
void fns_hello_build(
	uint8_t mad[FNS_MAD_LEN], uint8_t method, uint64_t tid, const struct fns_hello *own);

enum fns_hello_kind {
	FNS_HELLO_NONE,    /* something else, or badly made */
	FNS_HELLO_REQUEST, /* *out is the asker's word */
	FNS_HELLO_ANSWER,  /* *out is valid */
	FNS_HELLO_REFUSAL, /* an answer that says: not understood */
};

/* Any FNS_MAD_LEN bytes are accepted as input. *tid and, as far as said above, *out are written
 * unless it is NONE. */
enum fns_hello_kind fns_hello_parse(
	const uint8_t mad[FNS_MAD_LEN], uint64_t *tid, struct fns_hello *out);

#endif
