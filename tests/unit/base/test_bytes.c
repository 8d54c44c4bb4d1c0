/* SPDX-License-Identifier: Apache-2.0 */
/* Big-endian access: byte order, every alignment, and bytes beside the field stay as they were. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/util.h"

static void get_is_big_endian(void **state)
{
	static const uint8_t b[] = {0x81, 0x02, 0x83, 0x04, 0x85, 0x06, 0x87, 0x08, 0x09};

	(void)state;
	assert_int_equal(get_be16(b), 0x8102);
	assert_int_equal(get_be24(b), 0x810283);
	assert_int_equal(get_be32(b), 0x81028304u);
	assert_true(get_be64(b) == 0x8102830485068708u);
	assert_int_equal(get_be16(b + 1), 0x0283);
	assert_int_equal(get_be24(b + 1), 0x028304);
	assert_int_equal(get_be32(b + 1), 0x02830485u);
	assert_true(get_be64(b + 1) == 0x0283048506870809u);
}

static void put(unsigned width, uint8_t *p, uint64_t v)
{
	switch (width) {
	case 2:
		put_be16(p, (uint16_t)v);
		break;
	case 3:
		put_be24(p, (uint32_t)v);
		break;
	case 4:
		put_be32(p, (uint32_t)v);
		break;
	default:
		put_be64(p, v);
	}
}

static uint64_t get(unsigned width, const uint8_t *p)
{
	return width == 2   ? get_be16(p)
	       : width == 3 ? get_be24(p)
	       : width == 4 ? get_be32(p)
			    : get_be64(p);
}

static void put_writes_its_bytes_only(void **state)
{
	static const unsigned widths[] = {2, 3, 4, 8};
	static const uint64_t values[] = {0, 1, 0x0123456789abcdefu, UINT64_MAX};

	(void)state;
	for (unsigned fill = 0; fill <= 0xff; fill += 0xff)
		for (unsigned w = 0; w < FNS_ARRAY_SIZE(widths); w++)
			for (unsigned v = 0; v < FNS_ARRAY_SIZE(values); v++)
				for (unsigned off = 1; off <= 8; off++) {
					unsigned n = widths[w];
					uint64_t kept = values[v] &
							(n == 8 ? UINT64_MAX : (1ull << 8 * n) - 1);
					uint8_t b[24];

					memset(b, (int)fill, sizeof(b));
					put(n, b + off, values[v]);
					assert_true(get(n, b + off) == kept);
					for (unsigned i = 0; i < sizeof(b); i++) {
						unsigned want = fill;

						if (i >= off && i < off + n)
							want = kept >> 8 * (n - 1 - (i - off)) &
							       0xff;
						assert_int_equal(b[i], want);
					}
				}
}

static void pow2_ceil_at_edges(void **state)
{
	(void)state;
	assert_int_equal(fns_pow2_ceil(1), 1);
	assert_int_equal(fns_pow2_ceil(2), 2);
	assert_int_equal(fns_pow2_ceil(3), 4);
	assert_int_equal(fns_pow2_ceil(1u << 30), 1u << 30);
	assert_int_equal(fns_pow2_ceil((1u << 30) + 1), 1u << 31);
	assert_int_equal(fns_pow2_ceil(1u << 31), 1u << 31);
	assert_int_equal(FNS_ALIGN_UP(65u, 64u), 128);
	assert_int_equal(FNS_ALIGN_UP(64u, 64u), 64);
	assert_int_equal(FNS_DIV_UP(65u, 64u), 2);
	assert_false(FNS_IS_POW2(0u));
	assert_false(FNS_IS_POW2(6u));
	assert_true(FNS_IS_POW2(8u));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_is_big_endian),
		cmocka_unit_test(put_writes_its_bytes_only),
		cmocka_unit_test(pow2_ceil_at_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
