/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header codec. Both directions walk the headers that the opcode table names, in the order of
 * IBTA 9.2: DETH, RETH or AtomicETH, AETH, AtomicAckETH, ImmDt or IETH. Called by transports for
 * every packet, by tools that print packets.
 */
#include "roce/header.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

/* BTH byte 1: SE, MigReq, pad count, header version. Byte 4: FECN, BECN. Byte 8: acknowledge
 * request, selective. */
#define BTH_SE        0x80
#define BTH_MIGREQ    0x40
#define BTH_PAD_SHIFT 4
#define BTH_PAD_MASK  0x03
#define BTH_TVER_MASK 0x0f
#define BTH_FECN      0x80
#define BTH_BECN      0x40
#define BTH_ACKREQ    0x80
#define BTH_SELECTIVE 0x40

static void bth_parse(const uint8_t *p, struct fns_hdr *h)
{
	h->opcode = p[0];
	h->solicited = p[1] & BTH_SE;
	h->migreq = p[1] & BTH_MIGREQ;
	h->pad = p[1] >> BTH_PAD_SHIFT & BTH_PAD_MASK;
	h->tver = p[1] & BTH_TVER_MASK;
	h->pkey = get_be16(p + 2);
	h->fecn = p[4] & BTH_FECN;
	h->becn = p[4] & BTH_BECN;
	h->dest_qp = get_be24(p + 5);
	h->ack_req = p[8] & BTH_ACKREQ;
	h->selective = p[8] & BTH_SELECTIVE;
	h->psn = get_be24(p + 9);
}

static const uint8_t *extensions_parse(const uint8_t *p, uint32_t flags, struct fns_hdr *h)
{
	if (flags & FNS_OPF_DETH) {
		h->qkey = get_be32(p);
		h->src_qp = get_be24(p + 5);
		p += 8;
	}
	if (flags & FNS_OPF_RETH) {
		h->va = get_be64(p);
		h->rkey = get_be32(p + 8);
		h->dma_len = get_be32(p + 12);
		p += 16;
	}
	if (flags & FNS_OPF_ATOMIC_ETH) {
		h->va = get_be64(p);
		h->rkey = get_be32(p + 8);
		h->swap_add = get_be64(p + 12);
		h->compare = get_be64(p + 20);
		p += 28;
	}
	if (flags & FNS_OPF_AETH) {
		h->syndrome = p[0];
		h->msn = get_be24(p + 1);
		p += 4;
	}
	if (flags & FNS_OPF_ATOMIC_ACK_ETH) {
		h->orig = get_be64(p);
		p += 8;
	}
	if (flags & FNS_OPF_IMM) {
		memcpy(&h->imm, p, 4);
		p += 4;
	}
	if (flags & FNS_OPF_IETH) {
		h->imm = get_be32(p);
		p += 4;
	}
	if (flags & FNS_OPF_CNP)
		p += FNS_CNP_RESERVED;
	return p;
}

enum fns_hdr_result fns_hdr_parse(const uint8_t *pkt, uint32_t len, struct fns_hdr *h)
{
	const struct fns_opcode_info *info;

	if (len < FNS_BTH_LEN)
		return FNS_HDR_SHORT;
	*h = (struct fns_hdr){0};
	bth_parse(pkt, h);
	if (h->tver != 0)
		return FNS_HDR_BAD_VERSION;
	info = &fns_opcodes[h->opcode];
	if (!(info->flags & FNS_OPF_VALID))
		return FNS_HDR_BAD_OPCODE;
	if (len < (uint32_t)info->hdr_len + h->pad)
		return FNS_HDR_SHORT;
	if (len % 4 != 0)
		return FNS_HDR_BAD_LENGTH;
	h->info = info;
	h->payload = extensions_parse(pkt + FNS_BTH_LEN, info->flags, h);
	h->payload_len = len - info->hdr_len - h->pad;
	/* With headers of multiples of four bytes, a pad without payload has failed one of the two
	 * tests above. */
	if (h->payload_len > 0 && !(info->flags & FNS_OPF_PAYLOAD))
		return FNS_HDR_BAD_LENGTH;
	return FNS_HDR_OK;
}

static void bth_build(uint8_t *p, const struct fns_hdr *h)
{
	p[0] = h->opcode;
	p[1] = (uint8_t)((h->solicited ? BTH_SE : 0) | (h->migreq ? BTH_MIGREQ : 0) |
			 (h->pad & BTH_PAD_MASK) << BTH_PAD_SHIFT | (h->tver & BTH_TVER_MASK));
	put_be16(p + 2, h->pkey);
	p[4] = (uint8_t)((h->fecn ? BTH_FECN : 0) | (h->becn ? BTH_BECN : 0));
	put_be24(p + 5, h->dest_qp);
	p[8] = (uint8_t)((h->ack_req ? BTH_ACKREQ : 0) | (h->selective ? BTH_SELECTIVE : 0));
	put_be24(p + 9, h->psn);
}

uint32_t fns_hdr_build(uint8_t *out, const struct fns_hdr *h)
{
	const struct fns_opcode_info *info = &fns_opcodes[h->opcode];
	uint32_t flags = info->flags;
	uint8_t *p = out + FNS_BTH_LEN;

	fns_assert(flags & FNS_OPF_VALID);
	bth_build(out, h);
	if (flags & FNS_OPF_DETH) {
		put_be32(p, h->qkey);
		p[4] = 0;
		put_be24(p + 5, h->src_qp);
		p += 8;
	}
	if (flags & FNS_OPF_RETH) {
		put_be64(p, h->va);
		put_be32(p + 8, h->rkey);
		put_be32(p + 12, h->dma_len);
		p += 16;
	}
	if (flags & FNS_OPF_ATOMIC_ETH) {
		put_be64(p, h->va);
		put_be32(p + 8, h->rkey);
		put_be64(p + 12, h->swap_add);
		put_be64(p + 20, h->compare);
		p += 28;
	}
	if (flags & FNS_OPF_AETH) {
		p[0] = h->syndrome;
		put_be24(p + 1, h->msn);
		p += 4;
	}
	if (flags & FNS_OPF_ATOMIC_ACK_ETH) {
		put_be64(p, h->orig);
		p += 8;
	}
	if (flags & FNS_OPF_IMM) {
		memcpy(p, &h->imm, 4);
		p += 4;
	}
	if (flags & FNS_OPF_IETH) {
		put_be32(p, h->imm);
		p += 4;
	}
	if (flags & FNS_OPF_CNP) {
		memset(p, 0, FNS_CNP_RESERVED);
		p += FNS_CNP_RESERVED;
	}
	fns_assert(p - out == info->hdr_len);
	return info->hdr_len;
}
