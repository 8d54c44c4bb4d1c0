/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32 of Ethernet: ISA-L where it is built in, slicing-by-8 otherwise. Also arithmetic on the
 * register, for icrc.c. -DFNS_PORTABLE_CRC leaves ISA-L and carry-less multiplication out.
 */
#include "roce/crc_priv.h"
#include "roce/icrc.h"

#include "roce/crc_tables.h"

#if !defined(FNS_PORTABLE_CRC) && (defined(__x86_64__) || defined(__aarch64__))
#if __has_include(<isa-l/crc.h>)
#include <isa-l/crc.h>
#define HAVE_ISAL 1
#endif
#endif

#if !defined(FNS_PORTABLE_CRC) && defined(__x86_64__)
#include <immintrin.h>
#define HAVE_CLMUL 1
#endif

/* All 256 entries of a slice from the eight of its single bits: a CRC without complement is linear.
 */
#define BIT(n, i, c)  ((n) >> (i)&1 ? (c) : 0u)
#define ENTRY(n, ...) ENTRY_(n, __VA_ARGS__)
#define ENTRY_(n, a, b, c, d, e, f, g, h)                                                          \
	(BIT(n, 0, a) ^ BIT(n, 1, b) ^ BIT(n, 2, c) ^ BIT(n, 3, d) ^ BIT(n, 4, e) ^ BIT(n, 5, f) ^ \
		BIT(n, 6, g) ^ BIT(n, 7, h))
#define E4(n, ...)                                                                                 \
	ENTRY(n, __VA_ARGS__), ENTRY((n) + 1, __VA_ARGS__), ENTRY((n) + 2, __VA_ARGS__),           \
		ENTRY((n) + 3, __VA_ARGS__)
#define E16(n, ...)                                                                                \
	E4(n, __VA_ARGS__), E4((n) + 4, __VA_ARGS__), E4((n) + 8, __VA_ARGS__),                    \
		E4((n) + 12, __VA_ARGS__)
#define E64(n, ...)                                                                                \
	E16(n, __VA_ARGS__), E16((n) + 16, __VA_ARGS__), E16((n) + 32, __VA_ARGS__),               \
		E16((n) + 48, __VA_ARGS__)
#define SLICE(k, ...)                                                                              \
	[k] = {E64(0, __VA_ARGS__), E64(64, __VA_ARGS__), E64(128, __VA_ARGS__),                   \
		E64(192, __VA_ARGS__)},

static const uint32_t slices[8][256] = {CRC_SLICES(SLICE)};

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t fns_crc32_portable(uint32_t crc, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint32_t r = ~crc;

	for (; len >= 8; p += 8, len -= 8) {
		uint32_t a = get_le32(p) ^ r, b = get_le32(p + 4);

		r = slices[7][a & 0xff] ^ slices[6][a >> 8 & 0xff] ^ slices[5][a >> 16 & 0xff] ^
		    slices[4][a >> 24] ^ slices[3][b & 0xff] ^ slices[2][b >> 8 & 0xff] ^
		    slices[1][b >> 16 & 0xff] ^ slices[0][b >> 24];
	}
	for (; len > 0; p++, len--)
		r = slices[0][(r ^ *p) & 0xff] ^ r >> 8;
	return ~r;
}

#ifdef HAVE_ISAL
/*
 * ISA-L leaves the upper halves of the vector registers in use, after which every SSE instruction
 * of code compiled for plain x86-64 pays for it: seen 120 ns a packet on an Intel Xeon, more than
 * all else that a packet costs.
 */
static inline void clean_upper_halves(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroupper" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
				 "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
				 "xmm14", "xmm15");
#endif
}
#endif

uint32_t fns_crc32(uint32_t crc, const void *buf, size_t len)
{
#ifdef HAVE_ISAL
	crc = crc32_gzip_refl(crc, buf, len);
	clean_upper_halves();
	return crc;
#else
	return fns_crc32_portable(crc, buf, len);
#endif
}

/* a * b modulo the polynomial, four bits of a at a time from its highest power of x. */
static uint32_t mul_portable(uint32_t a, uint32_t b)
{
	/* What four steps of x add for the four bits that fall out at the bottom: the slice of
	 * single bits 4..7, one byte. */
	uint32_t t[16], r = 0;

	t[0] = 0;
	t[8] = b;
	for (unsigned i = 4; i >= 1; i /= 2)
		t[i] = t[2 * i] >> 1 ^ (t[2 * i] & 1 ? 0xedb88320u : 0);
	for (unsigned i = 2; i <= 8; i *= 2)
		for (unsigned j = 1; j < i; j++)
			t[i + j] = t[i] ^ t[j];
	for (unsigned i = 0; i < 32; i += 4)
		r = r >> 4 ^ slices[0][(r & 15) << 4] ^ t[a >> i & 15];
	return r;
}

#ifdef HAVE_CLMUL
__attribute__((target("pclmul,sse2"))) static uint64_t clmul(uint64_t a, uint64_t b)
{
	__m128i p = _mm_clmulepi64_si128(
		_mm_cvtsi64_si128((long long)a), _mm_cvtsi64_si128((long long)b), 0);

	return (uint64_t)_mm_cvtsi128_si64(p);
}

/* Barrett reduction of the 64-bit product: 0x1f7011641 is x^64 / P, 0x1db710641 is P, both
 * reflected. */
__attribute__((target("pclmul,sse2"))) static uint32_t mul_clmul(uint32_t a, uint32_t b)
{
	uint64_t product = clmul(a, b) << 1;
	uint64_t q = (uint32_t)clmul((uint32_t)product, 0x1f7011641u);

	return (uint32_t)((product ^ clmul(q, 0x1db710641u)) >> 32);
}
#endif

static uint32_t mul_power(uint32_t reg, const uint32_t power[8][16], size_t n)
{
	uint32_t (*mul)(uint32_t, uint32_t) = mul_portable;

#ifdef HAVE_CLMUL
	if (__builtin_cpu_supports("pclmul"))
		mul = mul_clmul;
#endif
	/* x has order 2^32 - 1, and so has x^8. */
	if (n >= UINT32_MAX)
		n %= UINT32_MAX;
	for (unsigned d = 0; n > 0; d++, n >>= 4)
		if (n & 15)
			reg = mul(reg, power[d][n & 15]);
	return reg;
}

uint32_t fns_crc32_zeros(uint32_t reg, size_t n)
{
	return mul_power(reg, power_fwd, n);
}

uint32_t fns_crc32_unzeros(uint32_t reg, size_t n)
{
	return mul_power(reg, power_inv, n);
}
