/* SPDX-License-Identifier: Apache-2.0 */
/* Management datagrams and the hello: bytes to structs and back. The layout is in mad.h. */
#include "roce/mad.h"

#include <string.h>

#include "base/bytes.h"

enum {
	AT_STATUS = 4,
	AT_CLASS_SPECIFIC = 6,
	AT_TID = 8,
	AT_ATTR_ID = 16,
	AT_ATTR_MOD = 20,
	AT_OUI = 37,
	AT_VERSION = 40,
	AT_EXT = 44,
	AT_ICRC = 48,
	AT_RCVBUF = 52,
	AT_GENERATION = 56,
};

bool fns_mad_parse(const uint8_t *mad, uint32_t len, struct fns_mad_hdr *h)
{
	if (len != FNS_MAD_LEN || mad[0] != FNS_MAD_BASE_VERSION)
		return false;
	*h = (struct fns_mad_hdr){.base_version = mad[0],
		.mgmt_class = mad[1],
		.class_version = mad[2],
		.method = mad[3],
		.status = get_be16(mad + AT_STATUS),
		.class_specific = get_be16(mad + AT_CLASS_SPECIFIC),
		.tid = get_be64(mad + AT_TID),
		.attr_id = get_be16(mad + AT_ATTR_ID),
		.attr_mod = get_be32(mad + AT_ATTR_MOD)};
	return true;
}

void fns_mad_build(uint8_t *mad, const struct fns_mad_hdr *h)
{
	memset(mad, 0, FNS_MAD_HDR_LEN);
	mad[0] = h->base_version;
	mad[1] = h->mgmt_class;
	mad[2] = h->class_version;
	mad[3] = h->method;
	put_be16(mad + AT_STATUS, h->status);
	put_be16(mad + AT_CLASS_SPECIFIC, h->class_specific);
	put_be64(mad + AT_TID, h->tid);
	put_be16(mad + AT_ATTR_ID, h->attr_id);
	put_be32(mad + AT_ATTR_MOD, h->attr_mod);
}

bool fns_mad_is_packet(const struct fns_hdr *h)
{
	return h->opcode == (FNS_TC_UD | FNS_OP_SEND_ONLY) && h->dest_qp == FNS_MAD_QPN &&
	       h->qkey == FNS_MAD_QKEY && (h->pkey & 0x7fff) == (FNS_PKEY_DEFAULT & 0x7fff) &&
	       h->payload_len == FNS_MAD_LEN;
}

void fns_mad_packet(uint8_t out[FNS_MAD_PACKET_LEN], const uint8_t mad[FNS_MAD_LEN])
{
	const struct fns_hdr h = {.opcode = FNS_TC_UD | FNS_OP_SEND_ONLY,
		.migreq = true,
		.pkey = FNS_PKEY_DEFAULT,
		.dest_qp = FNS_MAD_QPN,
		.qkey = FNS_MAD_QKEY,
		.src_qp = FNS_MAD_QPN};
	uint8_t hdr[FNS_HDR_MAX];
	uint32_t n = fns_hdr_build(hdr, &h);

	memcpy(out, hdr, n);
	memcpy(out + n, mad, FNS_MAD_LEN);
}

void fns_hello_build(
	uint8_t mad[FNS_MAD_LEN], uint8_t method, uint64_t tid, const struct fns_hello *own)
{
	const struct fns_mad_hdr h = {.base_version = FNS_MAD_BASE_VERSION,
		.mgmt_class = FNS_HELLO_CLASS,
		.class_version = 1,
		.method = method,
		.tid = tid,
		.attr_id = FNS_HELLO_ATTR};

	memset(mad, 0, FNS_MAD_LEN);
	fns_mad_build(mad, &h);
	put_be24(mad + AT_OUI, FNS_HELLO_OUI);
	put_be16(mad + AT_VERSION, own->version);
	put_be32(mad + AT_EXT, own->ext);
	put_be32(mad + AT_ICRC, own->icrc);
	put_be32(mad + AT_RCVBUF, own->rcvbuf);
	put_be64(mad + AT_GENERATION, own->generation);
}

enum fns_hello_kind fns_hello_parse(
	const uint8_t mad[FNS_MAD_LEN], uint64_t *tid, struct fns_hello *out)
{
	struct fns_mad_hdr h;

	if (!fns_mad_parse(mad, FNS_MAD_LEN, &h) || h.mgmt_class != FNS_HELLO_CLASS ||
		h.class_version != 1 || h.attr_id != FNS_HELLO_ATTR ||
		get_be24(mad + AT_OUI) != FNS_HELLO_OUI ||
		(h.method != FNS_MAD_GET && h.method != FNS_MAD_GET_RESP))
		return FNS_HELLO_NONE;
	if (h.method == FNS_MAD_GET_RESP && h.status != 0) {
		*tid = h.tid;
		return FNS_HELLO_REFUSAL;
	}
	if (get_be16(mad + AT_VERSION) < FNS_HELLO_VERSION)
		return FNS_HELLO_NONE;
	*tid = h.tid;
	*out = (struct fns_hello){.version = get_be16(mad + AT_VERSION),
		.ext = get_be32(mad + AT_EXT),
		.icrc = get_be32(mad + AT_ICRC),
		.rcvbuf = get_be32(mad + AT_RCVBUF),
		.generation = get_be64(mad + AT_GENERATION)};
	return h.method == FNS_MAD_GET ? FNS_HELLO_REQUEST : FNS_HELLO_ANSWER;
}
