/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz harnesses share: reading an input as a stream of numbers, and checks that end the
 * process. A harness defines LLVMFuzzerTestOneInput and nothing else; it is linked with libFuzzer
 * (tests/fuzz/run) or with replay.c (the meson suite 'fuzz'). Same bytes, same run: no clock, no
 * random number, no address in any decision. At most one read of the input in an expression: the
 * order of more would be the compiler's.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An invariant of the code under test: a crash for libFuzzer, a failed test for replay. */
#define fz_check(x)                                                                                \
	do {                                                                                       \
		if (__builtin_expect(!(x), 0)) {                                                   \
			dprintf(2, "%s:%d: broken: %s\n", __FILE__, __LINE__, #x);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input; reads past its end give zeroes. */
struct fz_in {
	const uint8_t *p;
	size_t left;
};

static inline bool fz_more(const struct fz_in *in)
{
	return in->left > 0;
}

static inline void fz_bytes(struct fz_in *in, void *out, size_t n)
{
	size_t have = n < in->left ? n : in->left;

	if (n == 0)
		return;
	memset(out, 0, n);
	if (have)
		memcpy(out, in->p, have);
	in->p += have;
	in->left -= have;
}

/* Little-endian whatever the machine, so that a corpus means the same everywhere. */
static inline uint64_t fz_uint(struct fz_in *in, unsigned bytes)
{
	uint8_t b[8];
	uint64_t v = 0;

	fz_bytes(in, b, bytes);
	while (bytes--)
		v = v << 8 | b[bytes];
	return v;
}

static inline uint8_t fz_u8(struct fz_in *in)
{
	return (uint8_t)fz_uint(in, 1);
}

static inline uint16_t fz_u16(struct fz_in *in)
{
	return (uint16_t)fz_uint(in, 2);
}

static inline uint32_t fz_u32(struct fz_in *in)
{
	return (uint32_t)fz_uint(in, 4);
}

static inline uint64_t fz_u64(struct fz_in *in)
{
	return fz_uint(in, 8);
}

/* Changes one byte of an object. */
static inline void fz_poke(struct fz_in *in, void *obj, size_t size)
{
	size_t at = fz_u8(in) % size;

	((uint8_t *)obj)[at] = fz_u8(in);
}

/* Small numbers mostly, any number sometimes. */
static inline uint64_t fz_num(struct fz_in *in)
{
	uint8_t b = fz_u8(in);

	if (b < 0xf0)
		return b;
	return fz_uint(in, (b & 7u) + 1);
}

#endif
