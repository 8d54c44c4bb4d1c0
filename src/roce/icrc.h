/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invariant CRC of RoCEv2 (IBTA A17.3.3 and 7.8.1): CRC-32 over a masked pseudo header and
 * everything from the BTH to the pad. The running value here is the CRC register as ISA-L's
 * crc32_gzip_refl keeps it between calls. Pure.
 */
#ifndef FNS_ROCE_ICRC_H
#define FNS_ROCE_ICRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the ICRC sees of one packet's IP and UDP headers. Addresses as 16 bytes, IPv4 mapped
 * (::ffff:a.b.c.d). */
struct fns_icrc_flow {
	uint8_t src[16], dst[16];
	uint16_t sport, dport;
	bool ipv6;
};

/*
 * Starts a sum: pseudo LRH, IP header, UDP header. udp_len: length of UDP header, BTH.. payload,
 * pad and ICRC, bytes. ip_id: IPv4 identification (ignored for IPv6). IPv4 flags are DF, no
 * options.
 */
uint32_t fns_icrc_begin(const struct fns_icrc_flow *f, uint16_t udp_len, uint16_t ip_id);
/* Adds headers that start with a BTH: its resv8a byte (offset 4) counts as ones. len >= 12. */
uint32_t fns_icrc_bth(uint32_t crc, const uint8_t *hdr, size_t len);
/* Adds bytes as they are. */
uint32_t fns_icrc_update(uint32_t crc, const void *buf, size_t len);
/*
 * The value to store, least significant byte first (little-endian) in the packet. The running value
 * is kept complemented between calls, so the final complement is already in it.
 */
static inline uint32_t fns_icrc_final(uint32_t crc)
{
	return crc;
}

/* Bytes that the sum covers after the identification: rest of the IPv4 header, and the datagram
 * without its ICRC. */
static inline size_t fns_icrc_len_after_id(uint16_t udp_len)
{
	return 14 + (size_t)udp_len - 4;
}

/*
 * The sum for identification id given the final sum made with identification 0 (the CRC is affine
 * in the identification): len is the number of bytes that the sum covers after the identification
 * field's own two bytes. Lets a receiver, which cannot see the field, test candidates without
 * summing again. Cost: a few ns per call.
 */
uint32_t fns_icrc_shift_id(uint32_t icrc_id0, uint16_t id, size_t len_after);
/*
 * The inverse: which identification explains seen, when icrc_id0 was computed with 0? True and *id
 * when one of 65,536 does. A bare "some 16 bits fit" weakens the check to 16 bits: callers accept
 * only an identification that they expect.
 */
bool fns_icrc_find_id(uint32_t icrc_id0, uint32_t seen, size_t len_after, uint16_t *id);

/*
 * CRC-32 (reflected 0xEDB88320) of bytes that continue a message whose CRC-32 so far is crc, 0 at
 * its start: complemented on entry and exit like zlib's crc32(), so calls chain as they are.
 * Fastest available, and the portable twin.
 */
uint32_t fns_crc32(uint32_t crc, const void *buf, size_t len);
uint32_t fns_crc32_portable(uint32_t crc, const void *buf, size_t len);

#endif
