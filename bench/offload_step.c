/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step of an offload handler costs, without a network: list-walk over a list of 75 MB in
 * random order and in order, and over one of 16 KiB (which stays in the first cache), native and as
 * eBPF. Beside it the same walk by plain code, which is what the memory itself costs.
 *
 *	offload_step [FILE of the eBPF handler]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"
#include "offload/offload.h"

#define HOPS   99u
#define ROUNDS 7u

struct bench {
	struct fns_offload_sink sink; /* first */
	struct fns_offload *o;
	struct fns_offload_port port;
	struct fns_pd pd;
	uint64_t now;
	struct fns_offload_call *sent;
	struct fns_offload_reply reply;
	uint64_t *list;
	uint64_t nodes;
};

static bool room(const struct fns_offload_sink *s)
{
	return true;
}

static void send(
	struct fns_offload_sink *s, struct fns_offload_call *c, const void *bytes, uint32_t len)
{
	struct bench *b = (struct bench *)s;

	memcpy(&b->reply, bytes, sizeof(b->reply));
	b->sent = c;
}

static const struct fns_offload_sink_ops ops = {.room = room, .send = send};

static uint64_t walk(struct bench *b, uint32_t service, uint64_t head, uint32_t hops)
{
	struct {
		struct fns_offload_request q;
		struct fns_offload_walk w;
	} m = {{.magic = FNS_OFFLOAD_MAGIC, .service = service}, {.head = head, .hops = hops}};
	struct fns_offload_call *c;

	if (fns_offload_begin(b->o, &b->port, &b->sink, &m, sizeof(m), &c) != FNS_OFFLOAD_TAKE)
		abort();
	fns_offload_receive(c, &m, sizeof(m));
	fns_offload_start(b->o, c);
	while (!b->sent)
		fns_offload_run(b->o);
	fns_offload_sent(b->o, b->sent);
	b->sent = NULL;
	if (b->reply.status != FNS_OFFLOAD_OK)
		abort();
	return b->reply.value;
}

static uint64_t plain(uint64_t head, uint32_t hops)
{
	const uint64_t *n = (const uint64_t *)(uintptr_t)head;

	while (hops--)
		n = (const uint64_t *)(uintptr_t)n[0];
	return (uintptr_t)n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* ns a step, median; service 0: plain code. */
static double measure(struct bench *b, uint32_t service, uint32_t hops)
{
	unsigned queries = 20000 / hops + 1;
	double t[ROUNDS];
	struct fns_rng rng;

	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t from, sink = 0;

		fns_rng_seed(&rng, r);
		from = fns_clock_now_ns();
		for (unsigned i = 0; i < queries; i++) {
			uint64_t head = (uintptr_t)(b->list + fns_rng_below(&rng, b->nodes) * 16);

			sink += service ? walk(b, service, head, hops) : plain(head, hops);
		}
		t[r] = (double)(fns_clock_now_ns() - from) / (double)queries / hops;
		__asm__ volatile("" ::"r"(sink));
	}
	qsort(t, ROUNDS, sizeof(t[0]), by_value);
	return t[ROUNDS / 2];
}

static void make_list(struct bench *b, bool shuffle)
{
	uint64_t *order = malloc(b->nodes * sizeof(*order));
	struct fns_rng rng;

	fns_rng_seed(&rng, 1);
	for (uint64_t i = 0; i < b->nodes; i++)
		order[i] = i;
	for (uint64_t i = b->nodes - 1; shuffle && i > 0; i--) {
		uint64_t k = fns_rng_below(&rng, i + 1), t = order[i];

		order[i] = order[k];
		order[k] = t;
	}
	for (uint64_t i = 0; i < b->nodes; i++)
		b->list[order[i] * 16] = (uintptr_t)(b->list + order[(i + 1) % b->nodes] * 16);
	free(order);
}

static bool load(struct bench *b, const char *file)
{
	static uint8_t elf[65536];
	char err[256];
	FILE *f = fopen(file, "rb");
	size_t n = f ? fread(elf, 1, sizeof(elf), f) : 0;
	struct fns_offload_program *p = fns_offload_program_load(elf, n, err, sizeof(err));

	if (f)
		fclose(f);
	if (!p) {
		fprintf(stderr, "%s: %s\n", file, err);
		return false;
	}
	return fns_offload_handler_set(b->o, "ebpf", p) == 0;
}

static void bind(
	struct bench *b, uint32_t service, const char *handler, uint64_t bytes, uint32_t key)
{
	struct fns_offload_binding x = {.size = sizeof(x), .service = service, .nregions = 1};

	strcpy(x.handler, handler);
	x.region[0] = (struct fns_offload_region){
		.addr = (uintptr_t)b->list, .len = bytes, .key = key, .rights = FNS_OFFLOAD_READ};
	if (!fns_offload_binding_check(&x) || fns_offload_bind(b->o, &b->port, &b->pd, &x) < 0)
		abort();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t nodes;
		bool shuffle;
	} lists[] = {{"16 KiB", 128, true}, {"75 MB in order", 585937, false},
		{"75 MB shuffled", 585937, true}};
	uint64_t bytes = (585937 * (uint64_t)FNS_OFFLOAD_NODE + 4095) & ~4095ull;
	struct bench b = {.now = 1};
	struct fns_dma *dma = fns_dma_direct_create();
	struct fns_mem *mem = fns_mem_create(dma, 1);
	struct fns_mr *mr;
	bool ebpf;

	b.list = aligned_alloc(4096, bytes);
	memset(b.list, 0, bytes);
	if (fns_mr_create(mem, &b.pd, (uintptr_t)b.list, bytes, (uintptr_t)b.list, 0, &mr) < 0)
		return 1;
	b.o = fns_offload_create(mem, dma, &b.now);
	fns_offload_port_init(&b.port);
	fns_offload_sink_init(&b.sink, &ops, &b.pd);
	bind(&b, 1, "list-walk", bytes, mr->key);
	ebpf = argc > 1 && load(&b, argv[1]);
	if (ebpf)
		bind(&b, 2, "ebpf", bytes, mr->key);
	printf("ns a step (FETCH of 128 bytes), %u hops a request, medians of %u\n", HOPS, ROUNDS);
	printf("%-16s %12s %12s %12s\n", "list", "plain code", "native", "eBPF");
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(lists); i++) {
		b.nodes = lists[i].nodes;
		make_list(&b, lists[i].shuffle);
		printf("%-16s %12.1f %12.1f", lists[i].name, measure(&b, 0, HOPS),
			measure(&b, 1, HOPS));
		if (ebpf)
			printf(" %12.1f", measure(&b, 2, HOPS));
		printf("\n");
	}
	printf("ns a request of one hop, in all: native %.0f", measure(&b, 1, 1));
	if (ebpf)
		printf(", eBPF %.0f", measure(&b, 2, 1));
	printf("\n");
	fns_offload_destroy(b.o);
	fns_mem_destroy(mem);
	dma->ops->destroy(dma);
	free(b.list);
	return 0;
}
