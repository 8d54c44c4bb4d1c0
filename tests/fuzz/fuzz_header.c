/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the header codec: any bytes parse or are refused; what parses builds back to the same
 * bytes but for those reserved, and parses to the same header again.
 */
#include "fuzz.h"

#include "roce/header.h"

/* The build writes zeroes where IBTA has reserved bits (9.2: BTH bytes 4 and 8; DETH byte 4; A17.9:
 * all of a CNP behind the BTH). */
static void clear_reserved(uint8_t *p, uint32_t flags)
{
	p[4] &= 0xc0;
	p[8] &= 0xc0; /* bit 6 is ours */
	if (flags & FNS_OPF_DETH)
		p[FNS_BTH_LEN + 4] = 0;
	if (flags & FNS_OPF_CNP)
		memset(p + FNS_BTH_LEN, 0, FNS_CNP_RESERVED);
}

static void check_same(const struct fns_hdr *a, const struct fns_hdr *b)
{
	struct fns_hdr x = *a, y = *b;

	x.payload = y.payload = NULL;
	fz_check(x.opcode == y.opcode && x.solicited == y.solicited && x.migreq == y.migreq);
	fz_check(x.fecn == y.fecn && x.becn == y.becn && x.ack_req == y.ack_req);
	fz_check(x.selective == y.selective);
	fz_check(x.pad == y.pad && x.tver == y.tver && x.pkey == y.pkey);
	fz_check(x.dest_qp == y.dest_qp && x.psn == y.psn);
	fz_check(x.syndrome == y.syndrome && x.msn == y.msn);
	fz_check(x.va == y.va && x.rkey == y.rkey && x.dma_len == y.dma_len);
	fz_check(x.swap_add == y.swap_add && x.compare == y.compare && x.orig == y.orig);
	fz_check(x.imm == y.imm && x.qkey == y.qkey && x.src_qp == y.src_qp);
	fz_check(x.info == y.info && x.payload_len == y.payload_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t want[FNS_HDR_MAX], out[FNS_HDR_MAX], *again;
	struct fns_hdr h, h2;
	enum fns_hdr_result r;
	uint32_t n;

	if (size > 16384)
		return 0;
	r = fns_hdr_parse(data, (uint32_t)size, &h);
	fz_check(r <= FNS_HDR_BAD_LENGTH);
	if (size < FNS_BTH_LEN)
		fz_check(r == FNS_HDR_SHORT);
	if (r != FNS_HDR_OK)
		return 0;
	fz_check(h.info == &fns_opcodes[h.opcode] && (h.info->flags & FNS_OPF_VALID));
	fz_check(h.tver == 0 && h.pad < 4 && h.dest_qp <= FNS_QPN_MASK && h.psn <= FNS_QPN_MASK);
	fz_check(size % 4 == 0 && h.info->hdr_len <= FNS_HDR_MAX);
	fz_check(h.payload == data + h.info->hdr_len);
	fz_check(h.info->hdr_len + h.payload_len + h.pad == size);
	fz_check(h.payload_len == 0 || (h.info->flags & FNS_OPF_PAYLOAD));

	memset(out, 0xee, sizeof(out));
	n = fns_hdr_build(out, &h);
	fz_check(n == h.info->hdr_len);
	memcpy(want, data, n);
	clear_reserved(want, h.info->flags);
	fz_check(memcmp(out, want, n) == 0);
	for (uint32_t i = n; i < sizeof(out); i++)
		fz_check(out[i] == 0xee);

	again = malloc(size);
	if (!again)
		return 0;
	memcpy(again, data, size);
	memcpy(again, out, n);
	fz_check(fns_hdr_parse(again, (uint32_t)size, &h2) == FNS_HDR_OK);
	check_same(&h, &h2);
	free(again);
	return 0;
}
