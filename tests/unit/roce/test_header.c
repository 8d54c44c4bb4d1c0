/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header codec. The place of every field on the wire is listed here a second time as bit
 * ranges; each field goes through 0, 1 and its maximum while all other bits must stay as they were,
 * in packets of zeros and of ones.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "roce/header.h"

struct field {
	const char *name;
	uint16_t bit,
		bits;  /* on the wire, from the start of its header, most significant bit first */
	uint32_t flag; /* header it stands in; VALID: the BTH */
	uint16_t off, size; /* in struct fns_hdr */
};

#define F(name, bit, bits, flag)                                                                   \
	{                                                                                          \
#name, bit, bits, flag, offsetof(struct fns_hdr, name),                            \
			sizeof(((struct fns_hdr *)0)->name)                                        \
	}

static const struct field fields[] = {
	F(solicited, 8, 1, FNS_OPF_VALID),
	F(migreq, 9, 1, FNS_OPF_VALID),
	F(pad, 10, 2, FNS_OPF_VALID),
	F(pkey, 16, 16, FNS_OPF_VALID),
	F(fecn, 32, 1, FNS_OPF_VALID),
	F(becn, 33, 1, FNS_OPF_VALID),
	F(dest_qp, 40, 24, FNS_OPF_VALID),
	F(ack_req, 64, 1, FNS_OPF_VALID),
	F(selective, 65, 1, FNS_OPF_VALID),
	F(psn, 72, 24, FNS_OPF_VALID),
	F(qkey, 0, 32, FNS_OPF_DETH),
	F(src_qp, 40, 24, FNS_OPF_DETH),
	F(va, 0, 64, FNS_OPF_RETH),
	F(rkey, 64, 32, FNS_OPF_RETH),
	F(dma_len, 96, 32, FNS_OPF_RETH),
	F(va, 0, 64, FNS_OPF_ATOMIC_ETH),
	F(rkey, 64, 32, FNS_OPF_ATOMIC_ETH),
	F(swap_add, 96, 64, FNS_OPF_ATOMIC_ETH),
	F(compare, 160, 64, FNS_OPF_ATOMIC_ETH),
	F(syndrome, 0, 8, FNS_OPF_AETH),
	F(msn, 8, 24, FNS_OPF_AETH),
	F(orig, 0, 64, FNS_OPF_ATOMIC_ACK_ETH),
	F(imm, 0, 32, FNS_OPF_IMM),
	F(imm, 0, 32, FNS_OPF_IETH),
};

/* Where a header begins, in bytes: behind those listed before it that the opcode has. */
static unsigned header_start(uint32_t flags, uint32_t header)
{
	static const struct {
		uint32_t flag;
		unsigned len;
	} order[] = {{FNS_OPF_VALID, 12}, {FNS_OPF_DETH, 8}, {FNS_OPF_RETH, 16},
		{FNS_OPF_ATOMIC_ETH, 28}, {FNS_OPF_AETH, 4}, {FNS_OPF_ATOMIC_ACK_ETH, 8},
		{FNS_OPF_IMM, 4}, {FNS_OPF_IETH, 4}};
	unsigned at = 0;

	for (unsigned i = 0; order[i].flag != header; i++)
		if (flags & order[i].flag)
			at += order[i].len;
	return at;
}

static uint64_t wire_get(const uint8_t *p, unsigned bit, unsigned bits)
{
	uint64_t v = 0;

	for (unsigned i = bit; i < bit + bits; i++)
		v = v << 1 | (p[i / 8] >> (7 - i % 8) & 1);
	return v;
}

static void wire_put(uint8_t *p, unsigned bit, unsigned bits, uint64_t v)
{
	for (unsigned i = bit + bits; i-- > bit; v >>= 1)
		p[i / 8] = (uint8_t)((p[i / 8] & ~(0x80 >> i % 8)) | (v & 1) << (7 - i % 8));
}

/* Immediate data is kept as the wire's bytes: what stands in memory reads as big-endian. */
static uint64_t host_order(const struct field *f, uint64_t v)
{
	return f->flag == FNS_OPF_IMM ? __builtin_bswap32((uint32_t)v) : v;
}

static uint64_t field_get(const struct fns_hdr *h, const struct field *f)
{
	const char *p = (const char *)h + f->off;
	uint64_t v = 0;

	memcpy(&v, p, f->size);
	return host_order(f, v);
}

static void field_put(struct fns_hdr *h, const struct field *f, uint64_t v)
{
	v = host_order(f, v);
	memcpy((char *)h + f->off, &v, f->size);
}

static bool has(uint32_t flags, const struct field *f)
{
	return flags & f->flag;
}

static uint64_t max_of(const struct field *f)
{
	return f->bits == 64 ? UINT64_MAX : (1ull << f->bits) - 1;
}

#define FOR_EACH_OPCODE(op)                                                                        \
	for (unsigned op = 0; op < 256; op++)                                                      \
		if (fns_opcodes[op].flags & FNS_OPF_VALID)

static void fields_all_set(struct fns_hdr *h, unsigned op, unsigned ones)
{
	*h = (struct fns_hdr){.opcode = (uint8_t)op};
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(fields); i++)
		if (has(fns_opcodes[op].flags, &fields[i]))
			field_put(h, &fields[i], ones ? max_of(&fields[i]) : 0);
	h->pad = 0;
}

static void build_puts_each_field_in_its_place(void **state)
{
	(void)state;
	FOR_EACH_OPCODE(op)
	{
		uint32_t flags = fns_opcodes[op].flags;

		for (unsigned ones = 0; ones < 2; ones++)
			for (unsigned i = 0; i < FNS_ARRAY_SIZE(fields); i++) {
				const struct field *f = &fields[i];
				const uint64_t values[] = {0, 1, max_of(f)};
				struct fns_hdr h;
				uint8_t want[FNS_HDR_MAX], got[FNS_HDR_MAX + 8];

				if (!has(flags, f))
					continue;
				fields_all_set(&h, op, ones);
				memset(want, 0, sizeof(want));
				assert_int_equal(fns_hdr_build(want, &h), fns_opcodes[op].hdr_len);
				for (unsigned v = 0; v < FNS_ARRAY_SIZE(values); v++) {
					field_put(&h, f, values[v]);
					wire_put(want, header_start(flags, f->flag) * 8 + f->bit,
						f->bits, values[v]);
					memset(got, 0xa5, sizeof(got));
					assert_int_equal(
						fns_hdr_build(got, &h), fns_opcodes[op].hdr_len);
					assert_memory_equal(got, want, fns_opcodes[op].hdr_len);
					for (unsigned b = fns_opcodes[op].hdr_len; b < sizeof(got);
						b++)
						assert_int_equal(got[b], 0xa5);
				}
			}
	}
}

static void parse_takes_each_field_from_its_place(void **state)
{
	(void)state;
	FOR_EACH_OPCODE(op)
	{
		uint32_t flags = fns_opcodes[op].flags, hdr_len = fns_opcodes[op].hdr_len;

		for (unsigned ones = 0; ones < 2; ones++)
			for (unsigned i = 0; i < FNS_ARRAY_SIZE(fields); i++) {
				const struct field *f = &fields[i];
				const uint64_t values[] = {0, 1, max_of(f)};

				if (!has(flags, f) || f->off == offsetof(struct fns_hdr, pad))
					continue; /* pad needs payload: pad_is_not_payload */
				for (unsigned v = 0; v < FNS_ARRAY_SIZE(values); v++) {
					uint8_t pkt[FNS_HDR_MAX];
					struct fns_hdr h;

					memset(pkt, ones ? 0xff : 0, sizeof(pkt));
					pkt[0] = (uint8_t)op;
					wire_put(pkt, 10, 2 + 4, 0); /* pad, version */
					wire_put(pkt, header_start(flags, f->flag) * 8 + f->bit,
						f->bits, values[v]);
					assert_int_equal(
						fns_hdr_parse(pkt, hdr_len, &h), FNS_HDR_OK);
					assert_int_equal(h.opcode, op);
					assert_ptr_equal(h.info, &fns_opcodes[op]);
					assert_ptr_equal(h.payload, pkt + hdr_len);
					assert_int_equal(h.payload_len, 0);
					for (unsigned j = 0; j < FNS_ARRAY_SIZE(fields); j++) {
						const struct field *g = &fields[j];

						if (!has(flags, g))
							continue;
						assert_true(
							field_get(&h, g) ==
							wire_get(pkt,
								header_start(flags, g->flag) * 8 +
									g->bit,
								g->bits));
					}
				}
			}
	}
}

static void round_trip(void **state)
{
	const uint64_t seed = 5;
	struct fns_rng r;

	(void)state;
	printf("round trip, seed %llu\n", (unsigned long long)seed);
	fns_rng_seed(&r, seed);
	for (unsigned n = 0; n < 500; n++)
		FOR_EACH_OPCODE(op)
		{
			const struct fns_opcode_info *info = &fns_opcodes[op];
			uint8_t pkt[FNS_HDR_MAX + 64];
			struct fns_hdr in = {.opcode = (uint8_t)op}, out;
			uint32_t payload =
				info->flags & FNS_OPF_PAYLOAD ? (uint32_t)fns_rng_below(&r, 60) : 0;
			uint32_t len;

			for (unsigned i = 0; i < FNS_ARRAY_SIZE(fields); i++)
				if (has(info->flags, &fields[i]))
					field_put(&in, &fields[i],
						fns_rng_u64(&r) & max_of(&fields[i]));
			in.pad = (uint8_t)(-payload & 3);
			memset(pkt, 0, sizeof(pkt));
			len = fns_hdr_build(pkt, &in);
			assert_int_equal(
				fns_hdr_parse(pkt, len + payload + in.pad, &out), FNS_HDR_OK);
			assert_int_equal(out.payload_len, payload);
			assert_ptr_equal(out.payload, pkt + len);
			for (unsigned i = 0; i < FNS_ARRAY_SIZE(fields); i++)
				if (has(info->flags, &fields[i]))
					assert_true(field_get(&in, &fields[i]) ==
						    field_get(&out, &fields[i]));
		}
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	FOR_EACH_OPCODE(op)
	{
		struct fns_hdr in = {.opcode = (uint8_t)op}, h;
		uint8_t pkt[FNS_HDR_MAX];
		uint32_t len = fns_hdr_build(pkt, &in);

		for (uint32_t n = 0; n < len; n++) {
			/* A heap block of exactly n bytes lets the sanitizer see a read behind the
			 * end. */
			uint8_t *exact = test_malloc(n ? n : 1);

			memcpy(exact, pkt, n);
			assert_int_equal(fns_hdr_parse(exact, n, &h), FNS_HDR_SHORT);
			test_free(exact);
		}
		assert_int_equal(fns_hdr_parse(pkt, len, &h), FNS_HDR_OK);
	}
}

static void pad_is_not_payload(void **state)
{
	(void)state;
	FOR_EACH_OPCODE(op)
	for (uint8_t pad = 0; pad < 4; pad++)
		for (uint32_t tail = 0; tail <= 9; tail++) {
			bool may = fns_opcodes[op].flags & FNS_OPF_PAYLOAD;
			struct fns_hdr in = {.opcode = (uint8_t)op, .pad = pad}, h;
			uint8_t pkt[FNS_HDR_MAX + 16] = {0};
			uint32_t len = fns_hdr_build(pkt, &in) + tail;
			enum fns_hdr_result want = FNS_HDR_OK;

			if (tail < pad)
				want = FNS_HDR_SHORT;
			else if (len % 4 != 0 || (!may && tail > 0))
				want = FNS_HDR_BAD_LENGTH;
			assert_int_equal(fns_hdr_parse(pkt, len, &h), want);
			if (want == FNS_HDR_OK)
				assert_int_equal(h.payload_len, tail - pad);
		}
}

static void version_and_opcode_are_checked(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 256; op++)
		for (unsigned tver = 0; tver < 16; tver++) {
			uint8_t pkt[FNS_HDR_MAX] = {(uint8_t)op, (uint8_t)tver};
			bool valid = fns_opcodes[op].flags & FNS_OPF_VALID;
			uint32_t len = valid ? fns_opcodes[op].hdr_len : FNS_BTH_LEN;
			struct fns_hdr h;

			assert_int_equal(fns_hdr_parse(pkt, len, &h), tver    ? FNS_HDR_BAD_VERSION
								      : valid ? FNS_HDR_OK
									      : FNS_HDR_BAD_OPCODE);
		}
}

/* Parse refuses versions other than 0, so this field is only seen here. */
static void build_puts_the_version(void **state)
{
	(void)state;
	for (uint8_t tver = 0; tver < 16; tver++) {
		struct fns_hdr h = {.opcode = FNS_OP_ACK, .tver = tver, .pad = 2};
		uint8_t pkt[FNS_HDR_MAX];

		fns_hdr_build(pkt, &h);
		assert_int_equal(pkt[1], 0x20 | tver);
	}
}

static void random_bytes_are_judged_calmly(void **state)
{
	const uint64_t seed = 6;
	unsigned seen[FNS_HDR_BAD_LENGTH + 1] = {0};
	struct fns_rng r;

	(void)state;
	printf("random bytes, seed %llu\n", (unsigned long long)seed);
	fns_rng_seed(&r, seed);
	for (unsigned n = 0; n < 200000; n++) {
		uint32_t len = (uint32_t)fns_rng_below(&r, 80);
		uint8_t *pkt = test_malloc(len ? len : 1);
		enum fns_hdr_result res;
		struct fns_hdr h;

		for (uint32_t i = 0; i < len; i++)
			pkt[i] = (uint8_t)fns_rng_u64(&r);
		if (len > 1 && fns_rng_below(&r, 4))
			pkt[1] &= 0xf0; /* past the version, most of the time */
		res = fns_hdr_parse(pkt, len, &h);
		assert_in_range(res, FNS_HDR_OK, FNS_HDR_BAD_LENGTH);
		seen[res]++;
		if (res == FNS_HDR_OK) {
			assert_ptr_equal(h.payload, pkt + h.info->hdr_len);
			assert_int_equal(h.info->hdr_len + h.payload_len + h.pad, len);
		}
		test_free(pkt);
	}
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(seen); i++)
		assert_true(seen[i] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(build_puts_each_field_in_its_place),
		cmocka_unit_test(parse_takes_each_field_from_its_place),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(pad_is_not_payload),
		cmocka_unit_test(version_and_opcode_are_checked),
		cmocka_unit_test(build_puts_the_version),
		cmocka_unit_test(random_bytes_are_judged_calmly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
