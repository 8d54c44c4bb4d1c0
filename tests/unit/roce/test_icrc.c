/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ICRC against a reference written here (one bit at a time, over a whole packet as it is on the
 * wire), against a packet that a hardware adapter sent, and the arithmetic on the identification
 * against sums made anew.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/util.h"
#include "roce/crc_priv.h"
#include "roce/header.h"
#include "roce/icrc.h"

static uint32_t crc32_reference(const uint8_t *p, size_t len)
{
	uint32_t r = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		r ^= p[i];
		for (unsigned b = 0; b < 8; b++)
			r = r & 1 ? r >> 1 ^ 0xedb88320u : r >> 1;
	}
	return ~r;
}

/* ip: an IP packet from its first byte to the last before the ICRC. */
static uint32_t icrc_reference(const uint8_t *ip, size_t len)
{
	static uint8_t m[8 + 65536];
	uint8_t *p = m + 8, *udp;

	memset(m, 0xff, 8);
	memcpy(p, ip, len);
	if (ip[0] >> 4 == 4) {
		p[1] = 0xff;
		p[8] = 0xff;
		p[10] = p[11] = 0xff;
		udp = p + 20;
	} else {
		p[0] |= 0x0f;
		p[1] = p[2] = p[3] = 0xff;
		p[7] = 0xff;
		udp = p + 40;
	}
	udp[6] = udp[7] = 0xff;
	udp[8 + 4] = 0xff;
	return crc32_reference(m, 8 + len);
}

static void known_values(void **state)
{
	static const uint8_t check[] = "123456789";

	(void)state;
	assert_int_equal(crc32_reference(check, 9), 0xcbf43926u);
	assert_int_equal(fns_crc32(0, check, 9), 0xcbf43926u);
	assert_int_equal(fns_crc32_portable(0, check, 9), 0xcbf43926u);
	assert_int_equal(fns_crc32(0, check, 0), 0);
	assert_int_equal(fns_crc32_portable(0, check, 0), 0);
}

static void fill(struct fns_rng *r, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)fns_rng_u64(r);
}

static void fast_and_portable_agree(void **state)
{
	uint8_t buf[300 + 64];
	struct fns_rng r;

	(void)state;
	fns_rng_seed(&r, 7);
	fill(&r, buf, sizeof(buf));
	for (unsigned len = 0; len <= 300; len++)
		for (unsigned off = 0; off < 64; off += len < 40 ? 1 : 3) {
			uint32_t want = crc32_reference(buf + off, len);

			assert_int_equal(fns_crc32(0, buf + off, len), want);
			assert_int_equal(fns_crc32_portable(0, buf + off, len), want);
		}
}

static void sums_chain(void **state)
{
	static uint8_t buf[5000];
	struct fns_rng r;

	(void)state;
	fns_rng_seed(&r, 8);
	fill(&r, buf, sizeof(buf));
	for (unsigned n = 0; n < 300; n++) {
		size_t len = fns_rng_below(&r, sizeof(buf)), at = 0;
		uint32_t want = crc32_reference(buf, len), fast = 0, slow = 0;

		while (at < len) {
			size_t part = fns_rng_below(&r, FNS_MIN(len - at, (size_t)200) + 1);

			fast = fns_icrc_update(fast, buf + at, part);
			slow = fns_crc32_portable(slow, buf + at, part);
			at += part;
		}
		assert_int_equal(fast, want);
		assert_int_equal(slow, want);
		assert_int_equal(fns_icrc_final(fast), want);
	}
}

/* An IPv4 packet without its ICRC, summed through the interface. */
static uint32_t icrc_of_ipv4(const uint8_t *ip, size_t len, uint16_t id)
{
	struct fns_icrc_flow f = {0};
	uint32_t crc;

	f.src[10] = f.src[11] = f.dst[10] = f.dst[11] = 0xff;
	memcpy(f.src + 12, ip + 12, 4);
	memcpy(f.dst + 12, ip + 16, 4);
	f.sport = get_be16(ip + 20);
	f.dport = get_be16(ip + 22);
	crc = fns_icrc_begin(&f, get_be16(ip + 24), id);
	crc = fns_icrc_bth(crc, ip + 28, 12);
	return fns_icrc_final(fns_icrc_update(crc, ip + 40, len - 40));
}

static void packet_of_an_adapter(void **state)
{
	/* A congestion notification sent by a ConnectX-4 Lx, IP header to ICRC, as published in
	 * Scapy's test suite. */
	static const uint8_t pkt[] = {
		0x45, 0xc2, 0x00, 0x3c, 0x71, 0x8c, 0x40, 0x00, 0x40, 0x11, 0x91, 0x61, /* IPv4 */
		0x0a, 0x00, 0x11, 0x01, 0x0a, 0x00, 0x12, 0x01, 0x00, 0x00, 0x12, 0xb7, 0x00, 0x28,
		0x00, 0x00,                                                             /* UDP */
		0x81, 0x00, 0xff, 0xff, 0x40, 0x00, 0x01, 0x18, 0x00, 0x00, 0x00, 0x00, /* BTH */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x82, 0xfd, 0x00, 0x2a, /* ICRC */
	};
	const size_t covered = sizeof(pkt) - FNS_ICRC_LEN;
	uint32_t sent = pkt[56] | pkt[57] << 8 | pkt[58] << 16 | (uint32_t)pkt[59] << 24, id0;
	uint16_t id;

	(void)state;
	assert_int_equal(icrc_reference(pkt, covered), sent);
	assert_int_equal(icrc_of_ipv4(pkt, covered, 0x718c), sent);
	id0 = icrc_of_ipv4(pkt, covered, 0);
	assert_int_not_equal(id0, sent);
	assert_int_equal(fns_icrc_shift_id(id0, 0x718c, fns_icrc_len_after_id(40)), sent);
	assert_true(fns_icrc_find_id(id0, sent, fns_icrc_len_after_id(40), &id));
	assert_int_equal(id, 0x718c);
}

/* A SEND ONLY with 10 bytes and 2 of pad, put together by hand; the fields that the ICRC must not
 * see are odd. */
static size_t hand_built(uint8_t *ip, bool ipv6)
{
	static const uint8_t v4[] = {0x45, 0x8b, 0x00, 52 + 4, 0x12, 0x34, 0x40, 0x00, 0x3f, 17,
		0xbe, 0xef, 192, 0, 2, 1, 198, 51, 100, 7};
	static const uint8_t v6[] = {0x62, 0x81, 0x23, 0x45, 0x00, 32 + 4, 17, 0x3f, 0x20, 0x01,
		0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 2};
	static const uint8_t rest[] = {0xc0, 0x01, 0x12, 0xb7, 0x00, 32 + 4, 0xca, 0xfe, 0x04, 0x20,
		0xff, 0xff, 0xc0, 0x01, 0x02, 0x03, 0x80, 0xab, 0xcd, 0xef, 'f', 'l', 'e', 'x', 'i',
		'n', 's', '!', '!', '!', 0, 0};
	size_t len = ipv6 ? sizeof(v6) : sizeof(v4);

	memcpy(ip, ipv6 ? v6 : v4, len);
	memcpy(ip + len, rest, sizeof(rest));
	return len + sizeof(rest);
}

static void hand_built_packets(void **state)
{
	struct fns_icrc_flow f6 = {
		.src = {0x20, 0x01, 0x0d, 0xb8, [15] = 1},
		.dst = {0x20, 0x01, 0x0d, 0xb8, [15] = 2},
		.sport = 0xc001,
		.dport = FNS_ROCE_PORT,
		.ipv6 = true,
	};
	uint8_t ip[128];
	uint32_t crc;
	size_t len;

	(void)state;
	len = hand_built(ip, false);
	/* The constants were computed apart from this code, with Python's zlib.crc32 over the
	 * masked bytes. */
	assert_int_equal(icrc_reference(ip, len), 0x114c0adbu);
	assert_int_equal(icrc_of_ipv4(ip, len, 0x1234), 0x114c0adbu);
	len = hand_built(ip, true);
	assert_int_equal(icrc_reference(ip, len), 0x273c1cdeu);
	/* The BTH with all that follows in one call, and the identification does not count. */
	crc = fns_icrc_begin(&f6, 36, 99);
	assert_int_equal(fns_icrc_final(fns_icrc_bth(crc, ip + 48, len - 48)), 0x273c1cdeu);
}

static void long_header_calls(void **state)
{
	uint8_t buf[200], masked[200];
	struct fns_rng r;

	(void)state;
	fns_rng_seed(&r, 9);
	fill(&r, buf, sizeof(buf));
	memcpy(masked, buf, sizeof(buf));
	masked[4] = 0xff;
	for (size_t len = FNS_BTH_LEN; len <= sizeof(buf); len++)
		assert_int_equal(fns_icrc_bth(0x12345678, buf, len),
			fns_crc32_portable(0x12345678, masked, len));
}

static void every_field_of_the_flow_counts(void **state)
{
	struct fns_icrc_flow f = {.sport = 1, .dport = FNS_ROCE_PORT};
	uint32_t base, base6;

	(void)state;
	f.src[10] = f.src[11] = f.dst[10] = f.dst[11] = 0xff;
	base = fns_icrc_begin(&f, 100, 7);
	assert_int_not_equal(base, fns_icrc_begin(&f, 101, 7));
	assert_int_not_equal(base, fns_icrc_begin(&f, 100, 8));
	f.ipv6 = true;
	base6 = fns_icrc_begin(&f, 100, 7);
	assert_int_not_equal(base, base6);
	assert_int_equal(base6, fns_icrc_begin(&f, 100, 8));
	for (unsigned i = 0; i < 16; i++) {
		f.src[i] ^= 1;
		f.ipv6 = false;
		assert_int_equal(base == fns_icrc_begin(&f, 100, 7), i < 12);
		f.ipv6 = true;
		assert_int_not_equal(base6, fns_icrc_begin(&f, 100, 7));
		f.src[i] ^= 1;
		f.dst[i] ^= 1;
		f.ipv6 = false;
		assert_int_equal(base == fns_icrc_begin(&f, 100, 7), i < 12);
		f.ipv6 = true;
		assert_int_not_equal(base6, fns_icrc_begin(&f, 100, 7));
		f.dst[i] ^= 1;
	}
	f.ipv6 = false;
	f.sport++;
	assert_int_not_equal(base, fns_icrc_begin(&f, 100, 7));
	f.sport--;
	f.dport++;
	assert_int_not_equal(base, fns_icrc_begin(&f, 100, 7));
}

static void identification_by_arithmetic(void **state)
{
	static uint8_t payload[9000];
	struct fns_icrc_flow f = {.sport = 0xc123, .dport = FNS_ROCE_PORT};
	const uint64_t seed = 10;
	struct fns_rng r;

	(void)state;
	printf("identification, seed %llu\n", (unsigned long long)seed);
	fns_rng_seed(&r, seed);
	fill(&r, payload, sizeof(payload));
	for (unsigned n = 0; n < 3000; n++) {
		size_t len = fns_rng_below(&r, sizeof(payload));
		uint16_t udp_len = (uint16_t)(8 + len + 4);
		uint16_t id = n < 200 ? (uint16_t)n : (uint16_t)fns_rng_u64(&r),
			 found = (uint16_t)~id;
		uint32_t zero = fns_icrc_update(fns_icrc_begin(&f, udp_len, 0), payload, len);
		uint32_t want = fns_icrc_update(fns_icrc_begin(&f, udp_len, id), payload, len);
		size_t after = fns_icrc_len_after_id(udp_len);

		fill(&r, f.src, 16);
		assert_int_equal(fns_icrc_shift_id(zero, id, after), want);
		assert_true(fns_icrc_find_id(zero, want, after, &found));
		assert_int_equal(found, id);
	}
}

/* Lengths at and around the digits of the exponent, some longer than any packet. */
static void identification_of_any_length(void **state)
{
	static const uint8_t zeros[70000];
	static const size_t lens[] = {0, 1, 2, 13, 14, 15, 16, 253, 254, 255, 256, 4096, 65533,
		65534, 65535, 65536, 69998};

	(void)state;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(lens); i++)
		for (unsigned bit = 0; bit < 16; bit++) {
			uint16_t id = (uint16_t)(1u << bit), found = 0;
			uint8_t field[2];
			uint32_t zero = fns_crc32_portable(0, zeros, lens[i] + 2), want;

			put_be16(field, id);
			want = fns_crc32_portable(fns_crc32_portable(0, field, 2), zeros, lens[i]);
			assert_int_equal(fns_icrc_shift_id(zero, id, lens[i]), want);
			assert_true(fns_icrc_find_id(zero, want, lens[i], &found));
			assert_int_equal(found, id);
		}
}

/* All powers in the tables: skipping 2^k zeros is twice skipping half of them, and back; 2^32 - 1
 * of them change nothing. */
static void register_moves_over_zeros(void **state)
{
	static const uint8_t one_zero;
	const uint32_t reg = 0xdeadbeef;

	(void)state;
	assert_int_equal(fns_crc32_zeros(reg, 0), reg);
	assert_int_equal(fns_crc32_zeros(reg, 1), ~fns_crc32_portable(~reg, &one_zero, 1));
	for (unsigned k = 1; k < 32; k++) {
		size_t half = (size_t)1 << (k - 1);
		uint32_t twice = fns_crc32_zeros(fns_crc32_zeros(reg, half), half);

		assert_int_equal(fns_crc32_zeros(reg, 2 * half), twice);
		assert_int_equal(fns_crc32_unzeros(twice, 2 * half), reg);
		assert_int_equal(fns_crc32_zeros(reg, 3 * half), fns_crc32_zeros(twice, half));
		assert_int_equal(fns_crc32_unzeros(reg, 3 * half),
			fns_crc32_unzeros(fns_crc32_unzeros(reg, half), 2 * half));
	}
	assert_int_equal(fns_crc32_zeros(reg, UINT32_MAX), reg);
	assert_int_equal(fns_crc32_unzeros(reg, UINT32_MAX), reg);
}

/* Single-bit errors never look like another identification; about one in 65,536 random sums does.
 */
static void corruption_is_not_an_identification(void **state)
{
	static uint8_t payload[4096];
	struct fns_icrc_flow f = {.sport = 0xc123, .dport = FNS_ROCE_PORT};
	uint16_t udp_len = 8 + sizeof(payload) + 4, id = 0xaaaa;
	uint32_t zero, hits = 0;
	struct fns_rng r;
	size_t after = fns_icrc_len_after_id(udp_len);

	(void)state;
	fns_rng_seed(&r, 11);
	fill(&r, payload, sizeof(payload));
	zero = fns_icrc_update(fns_icrc_begin(&f, udp_len, 0), payload, sizeof(payload));
	for (unsigned bit = 0; bit < 8 * sizeof(payload); bit += 7) {
		uint32_t bad;

		payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bad = fns_icrc_update(fns_icrc_begin(&f, udp_len, 0), payload, sizeof(payload));
		payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(fns_icrc_find_id(zero, bad, after, &id));
		assert_int_equal(id, 0xaaaa);
	}
	for (unsigned n = 0; n < 1000000; n++) {
		uint32_t seen = (uint32_t)fns_rng_u64(&r);

		if (!fns_icrc_find_id(zero, seen, after, &id))
			continue;
		assert_int_equal(fns_icrc_shift_id(zero, id, after), seen);
		hits++;
	}
	assert_in_range(hits, 1, 45); /* 15 expected */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(fast_and_portable_agree),
		cmocka_unit_test(sums_chain),
		cmocka_unit_test(packet_of_an_adapter),
		cmocka_unit_test(hand_built_packets),
		cmocka_unit_test(long_header_calls),
		cmocka_unit_test(every_field_of_the_flow_counts),
		cmocka_unit_test(identification_by_arithmetic),
		cmocka_unit_test(identification_of_any_length),
		cmocka_unit_test(register_moves_over_zeros),
		cmocka_unit_test(corruption_is_not_an_identification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
