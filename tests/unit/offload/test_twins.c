/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in handlers against a naive model, on random inputs, good and hostile: native code and
 * eBPF must both do what the model says, to reply, caller's buffer and memory. The eBPF object
 * files are in the folder named by the argument; without them, or without librte_bpf, only the
 * native ones are tried.
 */
#include <stdio.h>

#include "offload_bench.h"
#include "offload/offload_priv.h"

#define ROUNDS    150u
#define MAX_REPLY 16384u
#define BLOCK     512u
#define TABLE_LOG 6u

static const char *dir = ".", *hostile_dir = ".";

/* One request, and what must come of it. */
struct want {
	uint8_t args[65536];
	uint32_t len, out_len;
	uint32_t status, code;
	uint64_t value;
	bool any_value;
	uint32_t payload_len;
	uint8_t payload[MAX_REPLY];
	uint64_t written;
	uint8_t out[BENCH_OUT];
	uint8_t mem[BENCH_MEM];
};

static struct want w;

static uint64_t rnd(struct bench *b, uint64_t below)
{
	return fns_rng_below(&b->rng, below);
}

static void refused(uint32_t code)
{
	w.status = FNS_OFFLOAD_REFUSED;
	w.code = code;
	w.value = 0;
}

static void failed(uint32_t status)
{
	w.status = status;
	w.any_value = true;
}

/* Is it within region 0? */
static uint8_t *mem_at(struct bench *b, uint64_t addr, uint64_t len)
{
	uint64_t m = (uintptr_t)b->m;

	if (addr < m || addr - m > BENCH_MEM || len > BENCH_MEM - (addr - m))
		return NULL;
	return w.mem + (addr - m);
}

static void put(const void *p, uint32_t n)
{
	memcpy(w.args + w.len, p, n);
	w.len += n;
}

/* --- list-walk --- */

static void make_walk(struct bench *b)
{
	uint64_t m = (uintptr_t)b->m, at;
	struct fns_offload_walk a = {.hops = (uint32_t)rnd(b, 40)};
	unsigned nodes = 64, left;

	for (unsigned i = 0; i < nodes; i++) {
		uint64_t node[2] = {m + rnd(b, nodes) * 128, rnd(b, 100)};

		if (rnd(b, 30) == 0)
			node[0] = 0;
		if (rnd(b, 100) == 0)
			node[0] = fns_rng_u64(&b->rng);
		memcpy(b->m + 128 * i, node, sizeof(node));
	}
	memcpy(w.mem, b->m, BENCH_MEM);
	a.head = m + rnd(b, nodes) * 128;
	a.key = rnd(b, 100);
	put(&a, sizeof(a));
	if (rnd(b, 20) == 0) {
		w.len -= (uint32_t)rnd(b, 2) * 5;
		put(&a, (uint32_t)rnd(b, 2));
	}
	if (w.len != sizeof(a)) {
		refused(FNS_OFFLOAD_R_ARGS);
		return;
	}
	left = a.hops;
	at = a.head;
	for (unsigned steps = 0; steps < 1000; steps++) {
		const uint8_t *n = mem_at(b, at, 128);
		uint64_t next, key;

		if (!n) {
			failed(FNS_OFFLOAD_ACCESS);
			return;
		}
		memcpy(&next, n, 8);
		memcpy(&key, n + 8, 8);
		if (a.hops ? left == 0 : key == a.key) {
			w.value = at;
			w.payload_len = 64;
			memcpy(w.payload, n + 64, 64);
			return;
		}
		left--;
		if (next == 0) {
			refused(FNS_OFFLOAD_R_NOT_FOUND);
			return;
		}
		at = next;
	}
	failed(FNS_OFFLOAD_STEPS);
}

/* --- gather and scatter --- */

static uint32_t make_spans(struct bench *b, struct fns_offload_span *s, uint32_t max, bool ascend)
{
	uint32_t n = (uint32_t)rnd(b, max + 1);
	uint64_t m = (uintptr_t)b->m, at = rnd(b, 5000);

	for (uint32_t i = 0; i < n; i++) {
		s[i] = (struct fns_offload_span){
			m + rnd(b, BENCH_MEM - 400), (uint32_t)rnd(b, 400), 0};
		if (ascend) {
			s[i].addr = m + at;
			at += s[i].len + (rnd(b, 2) ? rnd(b, 100) : 0);
		} else if (i && rnd(b, 3) == 0) {
			s[i].addr = s[i - 1].addr + s[i - 1].len;
			if (!mem_at(b, s[i].addr, s[i].len))
				s[i].addr = m;
		}
	}
	if (n && rnd(b, 12) == 0)
		s[rnd(b, n)].addr = rnd(b, 2) ? fns_rng_u64(&b->rng) : UINT64_MAX - 3;
	if (n && rnd(b, 12) == 0)
		s[rnd(b, n)].len = UINT32_MAX - (uint32_t)rnd(b, 10);
	if (n && rnd(b, 12) == 0)
		s[rnd(b, n)].region = 1 + (uint32_t)rnd(b, 3);
	if (n && rnd(b, 12) == 0)
		s[rnd(b, n)].addr = s[rnd(b, n)].addr;
	return n;
}

static void make_gather(struct bench *b)
{
	struct fns_offload_span s[200];
	uint64_t n = make_spans(b, s, 200, false), claimed = n, total = 0;

	w.out_len = rnd(b, 3) ? (uint32_t)rnd(b, 60000) : 0;
	if (rnd(b, 12) == 0)
		claimed = rnd(b, 2) ? n + 1 : (1ull << 60) + n;
	put(&claimed, 8);
	put(s, (uint32_t)(n * sizeof(*s)));
	if (rnd(b, 20) == 0)
		put(s, 1 + (uint32_t)rnd(b, 20));
	if (w.len < 8 || claimed > FNS_OFFLOAD_SPANS || w.len != 8 + claimed * sizeof(*s)) {
		refused(FNS_OFFLOAD_R_ARGS);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *p = s[i].region == 0 ? mem_at(b, s[i].addr, s[i].len) : NULL;
		uint64_t room = w.out_len ? w.out_len : MAX_REPLY - FNS_OFFLOAD_REPLY_HDR;

		if (s[i].len == 0)
			continue;
		if (s[i].len > 64u << 20) { /* the budget */
			failed(FNS_OFFLOAD_BYTES);
			return;
		}
		if (s[i].len > room - total) {
			failed(FNS_OFFLOAD_NO_ROOM);
			return;
		}
		if (!p) {
			failed(FNS_OFFLOAD_ACCESS);
			return;
		}
		memcpy((w.out_len ? w.out : w.payload) + total, p, s[i].len);
		total += s[i].len;
	}
	w.value = total;
	w.written = w.out_len ? total : 0;
	w.payload_len = w.out_len ? 0 : (uint32_t)total;
}

static void make_scatter(struct bench *b)
{
	struct fns_offload_span s[100];
	uint64_t n = make_spans(b, s, 100, true), total = 0, end = 0, at;
	uint32_t region = 0, bytes = 0;

	put(&n, 8);
	put(s, (uint32_t)(n * sizeof(*s)));
	at = w.len;
	for (uint32_t i = 0; i < n; i++)
		bytes += s[i].len < 500 ? s[i].len : 0;
	if (rnd(b, 12) == 0)
		bytes += (uint32_t)rnd(b, 3);
	for (uint32_t i = 0; i < bytes; i++)
		w.args[w.len++] = (uint8_t)rnd(b, 256);
	for (uint32_t i = 0; i < n; i++) {
		if (s[i].addr > UINT64_MAX - s[i].len) {
			refused(FNS_OFFLOAD_R_ARGS);
			return;
		}
		if (s[i].region < region || (s[i].region == region && s[i].addr < end)) {
			refused(FNS_OFFLOAD_R_OVERLAP);
			return;
		}
		region = s[i].region;
		end = s[i].addr + s[i].len;
		total += s[i].len;
	}
	if (total != bytes) {
		refused(FNS_OFFLOAD_R_ARGS);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = s[i].region == 0 ? mem_at(b, s[i].addr, s[i].len) : NULL;

		if (s[i].len == 0)
			continue;
		if (!p) {
			failed(FNS_OFFLOAD_ACCESS);
			return;
		}
		memcpy(p, w.args + at, s[i].len);
		at += s[i].len;
	}
	w.value = total;
}

/* --- hash-lookup --- */

static void make_lookup(struct bench *b)
{
	uint64_t m = (uintptr_t)b->m, key = rnd(b, 40), at;
	uint32_t size = 1u << TABLE_LOG;
	struct fns_offload_entry *e = (void *)b->m;
	unsigned fill = rnd(b, 5) ? (unsigned)rnd(b, 60) : size;

	memset(e, 0, size * sizeof(*e));
	for (unsigned i = 0; i < fill; i++) {
		uint64_t k = fill == size ? 1000 + i : rnd(b, 40);

		at = (k * 0x9e3779b97f4a7c15ull) >> (64 - TABLE_LOG);
		while (e[at].addr)
			at = (at + 1) % size;
		e[at] = (struct fns_offload_entry){
			.key = k, .addr = m + 8192 + rnd(b, 100000), .len = (uint32_t)rnd(b, 300)};
		if (rnd(b, 50) == 0)
			e[at].addr = 8;
		if (rnd(b, 50) == 0)
			e[at].len = 20000;
	}
	memcpy(w.mem, b->m, BENCH_MEM);
	e = (void *)w.mem;
	put(&key, 8);
	if (rnd(b, 20) == 0)
		put(&key, 1);
	if (w.len != 8) {
		refused(FNS_OFFLOAD_R_ARGS);
		return;
	}
	at = (key * 0x9e3779b97f4a7c15ull) >> (64 - TABLE_LOG);
	for (uint32_t i = 0; i < size; i++, at = (at + 1) % size) {
		const uint8_t *p;

		if (e[at].addr == 0)
			break;
		if (e[at].key != key)
			continue;
		p = mem_at(b, e[at].addr, e[at].len);
		if (e[at].len == 0) {
			w.value = 0;
			return;
		}
		if (e[at].len > MAX_REPLY - FNS_OFFLOAD_REPLY_HDR) {
			failed(FNS_OFFLOAD_NO_ROOM);
		} else if (!p) {
			failed(FNS_OFFLOAD_ACCESS);
		} else {
			w.value = w.payload_len = e[at].len;
			memcpy(w.payload, p, e[at].len);
		}
		return;
	}
	refused(FNS_OFFLOAD_R_NOT_FOUND);
}

/* --- blocks --- */

/* Bit by bit: nothing in common with what it checks. */
static uint32_t crc32c(const uint8_t *p, uint32_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (unsigned i = 0; i < 8; i++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
	}
	return ~c;
}

static uint64_t some_block(struct bench *b)
{
	uint64_t n = BENCH_MEM / BLOCK;

	switch (rnd(b, 8)) {
	case 0:
		return n;
	case 1:
		return UINT64_MAX / BLOCK + 1;
	default:
		return rnd(b, n);
	}
}

static void make_read(struct bench *b)
{
	struct fns_offload_block a = {.block = some_block(b)};

	put(&a, sizeof(a));
	if (rnd(b, 20) == 0)
		put(&a, 1);
	if (w.len != sizeof(a) || a.block >= BENCH_MEM / BLOCK) {
		refused(FNS_OFFLOAD_R_ARGS);
		return;
	}
	w.payload_len = BLOCK;
	memcpy(w.payload, w.mem + a.block * BLOCK, BLOCK);
	w.value = crc32c(w.payload, BLOCK);
}

static void make_write(struct bench *b)
{
	struct fns_offload_block a = {.block = some_block(b)};
	uint8_t data[BLOCK];

	for (unsigned i = 0; i < BLOCK; i++)
		data[i] = (uint8_t)rnd(b, 256);
	a.sum = crc32c(data, BLOCK) ^ (rnd(b, 6) == 0 ? 1u << rnd(b, 32) : 0);
	put(&a, sizeof(a));
	put(data, BLOCK - (rnd(b, 10) == 0));
	if (w.len != sizeof(a) + BLOCK || a.block >= BENCH_MEM / BLOCK)
		refused(FNS_OFFLOAD_R_ARGS);
	else if (a.sum != crc32c(data, BLOCK))
		refused(FNS_OFFLOAD_R_CHECKSUM);
	else
		memcpy(w.mem + a.block * BLOCK, data, BLOCK);
}

/* --- replicate: region 1 and 2 are the second and third quarter --- */

static void make_replicate(struct bench *b)
{
	uint64_t m = (uintptr_t)b->m, found;
	struct fns_offload_replicate a = {
		.addr = m + 8 * rnd(b, 100), .swap = fns_rng_u64(&b->rng), .to = rnd(b, 1000)};
	uint32_t n = (uint32_t)rnd(b, 2000);
	uint8_t *p;

	memcpy(&found, w.mem + (a.addr - m), 8);
	a.compare = found ^ (rnd(b, 4) == 0);
	if (rnd(b, 12) == 0)
		a.addr += 1 + rnd(b, 6);
	if (rnd(b, 12) == 0)
		a.to = rnd(b, 2) ? UINT64_MAX - rnd(b, 1ull << 40) : BENCH_MEM / 4 - 10;
	put(&a, sizeof(a));
	for (uint32_t i = 0; i < n; i++)
		w.args[w.len++] = (uint8_t)rnd(b, 256);
	if (rnd(b, 20) == 0)
		w.len = (uint32_t)rnd(b, sizeof(a));
	if (w.len < sizeof(a)) {
		refused(FNS_OFFLOAD_R_ARGS);
		return;
	}
	if (a.addr & 7) {
		failed(FNS_OFFLOAD_ACCESS);
		return;
	}
	if (found != a.compare) {
		refused(FNS_OFFLOAD_R_DIFFERS);
		w.value = found;
		return;
	}
	memcpy(w.mem + (a.addr - m), &a.swap, 8);
	w.value = a.compare;
	for (unsigned r = 1; r < 3 && n; r++) {
		uint64_t size = BENCH_MEM / 4;

		if (a.to > size || n > size - a.to) {
			failed(FNS_OFFLOAD_ACCESS);
			return;
		}
		p = w.mem + r * size + a.to;
		memcpy(p, w.args + sizeof(a), n);
	}
}

static const struct {
	const char *name;
	void (*make)(struct bench *b);
} handlers[] = {
	{"block-read", make_read},
	{"block-write", make_write},
	{"gather", make_gather},
	{"hash-lookup", make_lookup},
	{"list-walk", make_walk},
	{"replicate", make_replicate},
	{"scatter", make_scatter},
};

/* Length of an object file; 0: there are no eBPF programs here. */
static size_t get(const char *in, const char *name, uint8_t *elf, size_t max)
{
	char path[4096], err[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.o", in, name);
	f = fopen(path, "rb");
	if (!f || !fns_bpf_available(err, sizeof(err))) {
		print_message("%s\n", f ? err : "no clang, so no eBPF programs");
		if (f)
			fclose(f);
		return 0;
	}
	n = fread(elf, 1, max, f);
	fclose(f);
	return n;
}

/* Loads the eBPF twin under the name "ebpf". False: there is none here. */
static bool load(struct bench *b, const char *name)
{
	static uint8_t elf[65536];
	size_t n = get(dir, name, elf, sizeof(elf));
	struct fns_offload_program *p;
	char err[256];

	if (n == 0)
		return false;
	p = fns_offload_program_load(elf, n, err, sizeof(err));
	if (!p)
		fail_msg("%s: %s", name, err);
	assert_int_equal(0, fns_offload_handler_set(b->o, "ebpf", p));
	return true;
}

static struct fns_offload_binding twin(
	const struct bench *b, uint32_t service, const char *handler, const char *name)
{
	struct fns_offload_binding x = bench_binding(b, service, handler);

	x.max_request = 65536 + 64;
	x.max_reply = MAX_REPLY;
	x.max_steps = 1001;
	x.param[0] = BLOCK;
	if (strcmp(name, "hash-lookup") == 0) {
		x.param[0] = TABLE_LOG;
		x.nregions = 2;
		x.region[1] = x.region[0];
	}
	if (strcmp(name, "replicate") == 0) {
		x.nregions = 3;
		for (unsigned i = 1; i < 3; i++) {
			x.region[i] = x.region[0];
			x.region[i].addr += i * (BENCH_MEM / 4);
			x.region[i].len = BENCH_MEM / 4;
		}
	}
	return x;
}

static void compare(struct bench *b, uint32_t service)
{
	memset(b->out, 0, sizeof(b->out));
	bench_call(b, service, w.args, w.len, w.out_len);
	assert_int_equal(b->r.status, w.status);
	if (w.status == FNS_OFFLOAD_OK || w.status == FNS_OFFLOAD_REFUSED) {
		assert_int_equal(b->r.code, w.code);
		if (!w.any_value)
			assert_int_equal(b->r.value, w.value);
		/* After a failure they hold whatever came before it. */
		assert_int_equal(b->r.written, w.written);
		assert_memory_equal(b->out, w.out, sizeof(w.out));
		assert_int_equal(b->r.len, w.payload_len);
	} else {
		assert_int_equal(b->r.len, 0);
	}
	assert_memory_equal(b->payload, w.payload, b->r.len);
	assert_memory_equal(b->m, w.mem, BENCH_MEM);
}

static void twins(unsigned which, bool sim)
{
	const char *name = handlers[which].name;
	struct bench *b = bench_create(which + 100, sim, 0);
	uint8_t *before = malloc(BENCH_MEM);
	unsigned by_status[FNS_OFFLOAD_STATUSES] = {0};
	bool ebpf = load(b, name);

	bench_bind(b, twin(b, 1, name, name));
	if (ebpf)
		bench_bind(b, twin(b, 2, "ebpf", name));
	for (uint32_t i = 0; i < BENCH_MEM; i++)
		b->m[i] = (uint8_t)fns_rng_u64(&b->rng);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t steps;

		memset(&w, 0, sizeof(w));
		memcpy(w.mem, b->m, BENCH_MEM);
		handlers[which].make(b);
		memcpy(before, b->m, BENCH_MEM);
		compare(b, 1);
		steps = b->r.steps;
		if (ebpf) {
			memcpy(b->m, before, BENCH_MEM);
			compare(b, 2);
			assert_int_equal(b->r.steps, steps);
		}
		by_status[w.status]++;
	}
	/* The inputs were of all kinds. */
	assert_in_range(by_status[FNS_OFFLOAD_OK], ROUNDS / 8, ROUNDS);
	assert_in_range(by_status[FNS_OFFLOAD_REFUSED], 2, ROUNDS);
	free(before);
	bench_destroy(b);
}

#define TWINS(i)                                                                                   \
	static void twins_##i(void **state)                                                        \
	{                                                                                          \
		twins(i, false);                                                                   \
		twins(i, true);                                                                    \
	}
TWINS(0)
TWINS(1)
TWINS(2)
TWINS(3)
TWINS(4)
TWINS(5)
TWINS(6)

static void check_value(void **state)
{
	assert_int_equal(fns_offload_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(
		fns_offload_crc32c(fns_offload_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

/* As many spans as there may be, and one more. */
static void most_spans(void **state)
{
	struct bench *b = bench_create(1, false, 0);
	uint32_t n = FNS_OFFLOAD_SPANS;
	uint8_t *args = calloc(1, 8 + (n + 1) * sizeof(struct fns_offload_span));
	struct fns_offload_span *s = (void *)(args + 8);
	struct fns_offload_binding x = bench_binding(b, 1, "gather");
	uint64_t count = n;
	bool ebpf = load(b, "gather");

	x.max_request = FNS_OFFLOAD_MAX_REQUEST;
	x.max_steps = 200000;
	bench_bind(b, x);
	x.service = 2;
	strcpy(x.handler, "ebpf");
	if (ebpf)
		bench_bind(b, x);
	for (uint32_t i = 0; i <= n; i++)
		s[i] = (struct fns_offload_span){
			(uintptr_t)b->m + (i * 40 % BENCH_MEM & ~7ull), 8, 0};
	for (uint32_t i = 0; i < BENCH_MEM; i++)
		b->m[i] = (uint8_t)fns_rng_u64(&b->rng);
	for (uint32_t service = 1; service <= 1u + ebpf; service++) {
		memcpy(args, &count, 8);
		bench_call(b, service, args, 8 + n * (uint32_t)sizeof(*s), BENCH_OUT);
		assert_int_equal(b->r.status, FNS_OFFLOAD_OK);
		assert_int_equal(b->r.value, n * 8);
		for (uint32_t i = 0; i < n; i++)
			assert_memory_equal(b->out + 8 * i, (void *)(uintptr_t)s[i].addr, 8);
		/* Neighbours become one WRITE: here 16 pieces each. */
		assert_int_equal(b->writes, service * n / FNS_OFFLOAD_PIECES);
	}
	for (uint32_t service = 1; service <= 1u + ebpf; service++) {
		uint64_t more = n + 1;

		memcpy(args, &more, 8);
		bench_call(b, service, args, 8 + (n + 1) * (uint32_t)sizeof(*s), BENCH_OUT);
		assert_int_equal(b->r.status, FNS_OFFLOAD_REFUSED);
		assert_int_equal(b->r.code, FNS_OFFLOAD_R_ARGS);
	}
	free(args);
	bench_destroy(b);
}

/* Handlers that mean no good are refused, or end with an error; the next request is served. */
static void hostile(void **state)
{
	static const struct {
		const char *name, *word;
		uint32_t status;
	} programs[] = {
		{"LOOP", "has a loop", 0},
		{"BEYOND", "the verifier refuses it", 0},
		{"BEFORE", "the verifier refuses it", 0},
		{"INDEX", "the verifier refuses it", 0},
		{"POINTER", "the verifier refuses it", 0},
		{"CALL", "no helper", 0},
		{"EVER", NULL, FNS_OFFLOAD_STEPS},
		{"OUTSIDE", NULL, FNS_OFFLOAD_ACCESS},
		{"REGION", NULL, FNS_OFFLOAD_ACCESS},
		{"STORE", NULL, FNS_OFFLOAD_ACCESS},
		{"FLOOD", NULL, FNS_OFFLOAD_NO_ROOM},
		{"BYTES", NULL, FNS_OFFLOAD_BYTES},
		{"NONSENSE", NULL, FNS_OFFLOAD_BAD_ACTION},
	};
	static uint8_t elf[65536];
	struct bench *b = bench_create(1, true, 0);
	const uint64_t args[] = {0, 0};
	uint8_t *was = malloc(BENCH_MEM);
	struct fns_offload_walk ask = {.head = (uintptr_t)b->m, .hops = 1};

	b->m[0] = 0;
	memcpy(was, b->m, BENCH_MEM);
	bench_bind(b, bench_binding(b, 2, "list-walk"));
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(programs); i++) {
		size_t n = get(hostile_dir, programs[i].name, elf, sizeof(elf));
		struct fns_offload_binding x = bench_binding(b, 1, "hostile");
		struct fns_offload_program *p;
		char err[256] = "";

		if (n == 0)
			skip();
		p = fns_offload_program_load(elf, n, err, sizeof(err));
		if (programs[i].word) {
			assert_null(p);
			if (!strstr(err, programs[i].word))
				fail_msg("%s: %s", programs[i].name, err);
			continue;
		}
		if (!p)
			fail_msg("%s: %s", programs[i].name, err);
		assert_int_equal(0, fns_offload_handler_set(b->o, "hostile", p));
		x.region[0].rights = FNS_OFFLOAD_READ;
		x.max_bytes = 100000;
		bench_bind(b, x);
		bench_call(b, 1, args, sizeof(args), 0);
		assert_int_equal(b->r.status, programs[i].status);
		bench_call(b, 2, &ask, sizeof(ask), 0);
		assert_int_equal(b->r.status, FNS_OFFLOAD_REFUSED); /* the list ends there */
	}
	assert_memory_equal(b->m, was, BENCH_MEM);
	free(was);
	bench_destroy(b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_value),
		cmocka_unit_test(twins_0),
		cmocka_unit_test(twins_1),
		cmocka_unit_test(twins_2),
		cmocka_unit_test(twins_3),
		cmocka_unit_test(twins_4),
		cmocka_unit_test(twins_5),
		cmocka_unit_test(twins_6),
		cmocka_unit_test(most_spans),
		cmocka_unit_test(hostile),
	};

	if (argc > 1)
		dir = argv[1];
	if (argc > 2)
		hostile_dir = argv[2];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
