/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ICRC: CRC-32 over a pseudo header whose variant fields are ones (IBTA A17.3.3), and its
 * dependence on the IPv4 identification, which a UDP socket does not show. Called by transmit and
 * receive for every packet.
 *
 * Two messages that differ in the identification alone have CRCs that differ by the CRC, without
 * seed and complement, of that difference: two bytes and then zeros. Over zeros the register is
 * only multiplied by a power of x, which can be undone.
 */
#include "roce/icrc.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/util.h"
#include "roce/crc_priv.h"
#include "roce/header.h"

#define LRH_LEN  8
#define IPV4_LEN 20
#define IPV6_LEN 40
#define UDP_LEN  8

#define IPV4_DF    0x4000
#define PROTO_UDP  17
#define BTH_RESV8A 4

static uint8_t *ipv4_put(
	uint8_t *p, const struct fns_icrc_flow *f, uint16_t udp_len, uint16_t ip_id)
{
	p[0] = 0x45;
	p[1] = 0xff; /* TOS */
	/* Wraps for lengths that no IPv4 packet has: these come from received bytes, and simply
	 * will not match. */
	put_be16(p + 2, (uint16_t)(IPV4_LEN + udp_len));
	put_be16(p + 4, ip_id);
	put_be16(p + 6, IPV4_DF);
	p[8] = 0xff; /* TTL */
	p[9] = PROTO_UDP;
	put_be16(p + 10, 0xffff);
	memcpy(p + 12, f->src + 12, 4);
	memcpy(p + 16, f->dst + 12, 4);
	return p + IPV4_LEN;
}

static uint8_t *ipv6_put(uint8_t *p, const struct fns_icrc_flow *f, uint16_t udp_len)
{
	put_be32(p, 0x6fffffff); /* traffic class, flow label */
	put_be16(p + 4, udp_len);
	p[6] = PROTO_UDP;
	p[7] = 0xff; /* hop limit */
	memcpy(p + 8, f->src, 16);
	memcpy(p + 24, f->dst, 16);
	return p + IPV6_LEN;
}

uint32_t fns_icrc_begin(const struct fns_icrc_flow *f, uint16_t udp_len, uint16_t ip_id)
{
	uint8_t buf[LRH_LEN + IPV6_LEN + UDP_LEN], *p = buf;

	memset(p, 0xff, LRH_LEN);
	p += LRH_LEN;
	p = f->ipv6 ? ipv6_put(p, f, udp_len) : ipv4_put(p, f, udp_len, ip_id);
	put_be16(p, f->sport);
	put_be16(p + 2, f->dport);
	put_be16(p + 4, udp_len);
	put_be16(p + 6, 0xffff);
	p += UDP_LEN;
	return fns_crc32(0, buf, (size_t)(p - buf));
}

uint32_t fns_icrc_bth(uint32_t crc, const uint8_t *hdr, size_t len)
{
	uint8_t masked[FNS_HDR_MAX];
	size_t n = FNS_MIN(len, sizeof(masked));

	fns_assert(len >= FNS_BTH_LEN);
	memcpy(masked, hdr, n);
	masked[BTH_RESV8A] = 0xff;
	crc = fns_crc32(crc, masked, n);
	return len > n ? fns_crc32(crc, hdr + n, len - n) : crc;
}

uint32_t fns_icrc_update(uint32_t crc, const void *buf, size_t len)
{
	return fns_crc32(crc, buf, len);
}

/* The identification as the register takes it in: its first byte on the wire is the lowest. */
static uint32_t id_swap(uint32_t v)
{
	return (v & 0xff) << 8 | (v >> 8 & 0xff);
}

uint32_t fns_icrc_shift_id(uint32_t icrc_id0, uint16_t id, size_t len_after)
{
	return icrc_id0 ^ fns_crc32_zeros(id_swap(id), len_after + 2);
}

bool fns_icrc_find_id(uint32_t icrc_id0, uint32_t seen, size_t len_after, uint16_t *id)
{
	uint32_t v = fns_crc32_unzeros(icrc_id0 ^ seen, len_after + 2);

	if (v > 0xffff)
		return false;
	*id = (uint16_t)id_swap(v);
	return true;
}
