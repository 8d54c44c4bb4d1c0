/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs for test_bpf.c, one of them for each way to compile this file (-DPROG_...): what runs,
 * and what is refused. Made by clang -target bpf.
 */
typedef __UINT64_TYPE__ uint64_t;

struct block { /* the context: 512 bytes */
	uint64_t word[64];
};

extern uint64_t helper_add(uint64_t a, uint64_t b);
extern uint64_t helper_sum(const uint64_t *four);
extern uint64_t helper_unknown(void);

__attribute__((section("about"), used)) const char about_text[8] = "test";

#ifdef PROG_TABLE
static volatile uint64_t kept;
#endif
#ifdef PROG_FUNCTION
__attribute__((noinline)) static uint64_t own(uint64_t a)
{
	return a * a + 1;
}
#endif

__attribute__((section("prog"), used)) uint64_t entry(struct block *b)
{
	uint64_t r = 0;

#if defined(PROG_GOOD)
	b->word[1] = b->word[0] * 3;
	r = b->word[1] + 1;
#elif defined(PROG_HELPERS)
	uint64_t four[4] = {b->word[0], b->word[1], b->word[2], 4};

	r = helper_add(b->word[0], 7) + helper_sum(four) + helper_sum(&b->word[60]);
#elif defined(PROG_LOOP)
	for (uint64_t i = 0; i < b->word[0]; i++)
		r += r * i + b->word[1];
#elif defined(PROG_BEYOND)
	r = b->word[64];
#elif defined(PROG_WRITE_BEYOND)
	b->word[64] = 1;
#elif defined(PROG_BEFORE)
	r = b->word[-1];
#elif defined(PROG_INDEX)
	r = b->word[b->word[0]];
#elif defined(PROG_INDEX_BOUND)
	r = b->word[b->word[0] & 63];
#elif defined(PROG_INDEX_FAR)
	r = b->word[(b->word[0] & 63) + 1];
#elif defined(PROG_ESCAPE)
	r = *(uint64_t *)((char *)b + ((b->word[0] & 0x7ffffff8) - (b->word[1] & 0x7ffffff8)));
#elif defined(PROG_POINTER)
	r = *(uint64_t *)b->word[0];
#elif defined(PROG_UNKNOWN)
	r = helper_unknown();
#elif defined(PROG_NUMBER)
	r = ((uint64_t(*)(void))5)();
#elif defined(PROG_HELPER_BEYOND)
	r = helper_sum(&b->word[61]);
#elif defined(PROG_TABLE)
	r = kept++;
#elif defined(PROG_FUNCTION)
	r = own(b->word[0]) + own(b->word[1]);
#elif defined(PROG_DIVIDE)
	r = b->word[0] / b->word[1];
#elif defined(PROG_PATHS)
#define ONE(i)                                                                                     \
	if (b->word[i] & 1)                                                                        \
		r += b->word[i + 1] * 3;                                                           \
	else                                                                                       \
		b->word[i] = r;
#define FOUR(i) ONE(i) ONE(i + 1) ONE(i + 2) ONE(i + 3)
	FOUR(1);
	FOUR(5);
	FOUR(9);
	FOUR(13);
	FOUR(17);
	FOUR(21);
	FOUR(25);
#endif
	return r;
}
