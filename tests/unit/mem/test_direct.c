/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of mem/direct and mem/near: copies, their order, and memory that goes away under a
 * registration. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "mem/dma.h"

#define PAGE 4096u

static struct fns_dma *dma;

static int setup(void **state)
{
	dma = fns_dma_direct_create();
	return dma ? 0 : -1;
}

static int teardown(void **state)
{
	dma->ops->destroy(dma);
	return 0;
}

static uint8_t *map(size_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static int import(const void *p, uint64_t len, bool writable, struct fns_region **r)
{
	return dma->ops->import(dma, 0, (uintptr_t)p, len, writable, r);
}

static struct fns_region *imported(const void *p, uint64_t len, bool writable)
{
	struct fns_region *r = NULL;

	assert_int_equal(import(p, len, writable, &r), 0);
	assert_int_equal(r->addr, (uintptr_t)p);
	assert_int_equal(r->len, len);
	return r;
}

static int place(struct fns_region *r, uint64_t off, const void *src, uint32_t len)
{
	struct fns_dma_token t = {0};

	return dma->ops->place(dma, (struct fns_memref){r, off, len}, src, &t);
}

static int fetch(struct fns_region *r, uint64_t off, void *dst, uint32_t len)
{
	struct fns_dma_token t = {0};

	return dma->ops->fetch(dma, (struct fns_memref){r, off, len}, dst, &t);
}

/* All alignments and small lengths, against memcpy, with a look at the neighbours. */
static void every_alignment(void **state)
{
	_Alignas(64) static uint8_t to[512], want[512], from[512], back[512];
	struct fns_region *r = imported(to, sizeof(to), true);

	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + 1);
	for (unsigned d = 0; d < 17; d++)
		for (unsigned s = 0; s < 9; s++)
			for (unsigned len = 0; len < 300; len++) {
				memset(to, 0xee, sizeof(to));
				memset(want, 0xee, sizeof(want));
				memcpy(want + d, from + s, len);
				assert_int_equal(place(r, d, from + s, len), FNS_DMA_DONE);
				assert_memory_equal(to, want, sizeof(to));
				memset(back, 0, len + 1);
				assert_int_equal(fetch(r, d, back, len), FNS_DMA_DONE);
				assert_memory_equal(back, want + d, len);
				assert_int_equal(back[len], 0);
			}
	dma->ops->release(dma, r);
}

static void atomics(void **state)
{
	_Alignas(8) static uint64_t v[2] = {5, 9};
	struct fns_region *r = imported(v, sizeof(v), true);
	struct fns_memref ref = {r, 8, 8};
	struct fns_dma_token t = {0};

	assert_int_equal(dma->ops->atomic(dma, ref, false, UINT64_MAX, 0, &t), FNS_DMA_DONE);
	assert_int_equal(t.value, 9);
	assert_int_equal(v[1], 8);
	assert_int_equal(dma->ops->atomic(dma, ref, true, 100, 7, &t), FNS_DMA_DONE);
	assert_int_equal(t.value, 8);
	assert_int_equal(v[1], 8);
	assert_int_equal(dma->ops->atomic(dma, ref, true, 100, 8, &t), FNS_DMA_DONE);
	assert_int_equal(t.value, 8);
	assert_int_equal(v[1], 100);
	assert_int_equal(v[0], 5);
	ref.off = 4;
	assert_int_equal(dma->ops->atomic(dma, ref, false, 1, 0, &t), -EINVAL);
	ref = (struct fns_memref){r, 0, 4};
	assert_int_equal(dma->ops->atomic(dma, ref, false, 1, 0, &t), -EINVAL);
	assert_int_equal(v[0], 5);
	dma->ops->release(dma, r);
}

static void import_probes(void **state)
{
	uint8_t *m = map(8 * PAGE, PROT_READ | PROT_WRITE);
	struct fns_region *r = NULL;
	unsigned char resident[8];

	/* Populated, and unchanged. */
	m[3] = 42;
	r = imported(m + 1, 8 * PAGE - 2, true);
	assert_int_equal(mincore(m, 8 * PAGE, resident), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_true(resident[i] & 1);
	assert_int_equal(m[3], 42);
	assert_int_equal(m[PAGE], 0);
	dma->ops->release(dma, r);

	assert_int_equal(munmap(m + 4 * PAGE, PAGE), 0);
	r = NULL;
	assert_int_equal(import(m, 8 * PAGE, true, &r), -EFAULT);
	assert_int_equal(import(m + 4 * PAGE, 1, false, &r), -EFAULT);
	assert_int_equal(import(m + 4 * PAGE - 1, 2, false, &r), -EFAULT);
	assert_int_equal(import(m + 5 * PAGE - 1, 2, false, &r), -EFAULT);
	assert_int_equal(import(NULL, 1, false, &r), -EFAULT);
	assert_int_equal(import((void *)(UINTPTR_MAX - 7), 8, false, &r), -EFAULT);
	assert_int_equal(import((void *)(UINTPTR_MAX - 7), 9, false, &r), -EFAULT);
	assert_int_equal(import((void *)0x8000000000000000u, 8, true, &r), -EFAULT);
	assert_int_equal(import(m, UINT64_MAX / 2, true, &r), -EFAULT);
	assert_null(r);
	dma->ops->release(dma, imported(m, 4 * PAGE, true));
	dma->ops->release(dma, imported(NULL, 0, true));
	dma->ops->release(dma, imported(m + 4 * PAGE, 0, true));

	/* Rights. */
	assert_int_equal(mprotect(m, PAGE, PROT_READ), 0);
	assert_int_equal(mprotect(m + PAGE, PAGE, PROT_NONE), 0);
	r = NULL;
	assert_int_equal(import(m, PAGE, true, &r), -EFAULT);
	assert_int_equal(import(m + PAGE, 1, false, &r), -EFAULT);
	assert_int_equal(import(m + PAGE, 1, true, &r), -EFAULT);
	assert_null(r);
	r = imported(m, PAGE, false);
	assert_true(r->read_only);
	assert_int_equal(place(r, 0, "x", 1), -EFAULT);
	dma->ops->release(dma, r);
	munmap(m, 8 * PAGE);
}

/* Stack that was never touched, constants, shared memory, a file, huge pages where there are some.
 */
static void import_kinds(void **state)
{
	static const char text[] = "constant";
	char path[] = "/tmp/fns-direct-XXXXXX", got[9];
	uint8_t deep[1 << 20]; /* beyond what the stack has grown to */
	struct fns_region *r;
	int fd = memfd_create("fns-test", 0), file = mkstemp(path);
	void *p;

	r = imported(deep, sizeof(deep), true);
	assert_int_equal(place(r, 0, "abc", 3), 0);
	assert_memory_equal(deep, "abc", 3);
	dma->ops->release(dma, r);

	r = NULL;
	assert_int_equal(import(text, sizeof(text), true, &r), -EFAULT);
	r = imported(text, sizeof(text), false);
	assert_int_equal(fetch(r, 0, got, 9), 0);
	assert_string_equal(got, text);
	dma->ops->release(dma, r);

	assert_true(fd >= 0 && file >= 0);
	unlink(path);
	for (unsigned i = 0; i < 2; i++) {
		int f = i ? file : fd;

		assert_int_equal(ftruncate(f, 2 * PAGE), 0);
		p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
		assert_ptr_not_equal(p, MAP_FAILED);
		r = imported(p, 2 * PAGE, true);
		assert_int_equal(place(r, PAGE, "abc", 4), 0);
		assert_int_equal(pread(f, got, 4, PAGE), 4);
		assert_string_equal(got, "abc");
		dma->ops->release(dma, r);
		/* Mapped, but behind the end of the file: SIGBUS. */
		r = NULL;
		assert_int_equal(import(p, 3 * PAGE, true, &r), -EFAULT);
		assert_int_equal(import((uint8_t *)p + 2 * PAGE, 1, false, &r), -EFAULT);
		munmap(p, 3 * PAGE);
		close(f);
	}

	p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
		-1, 0);
	if (p != MAP_FAILED) {
		dma->ops->release(dma, imported((uint8_t *)p + 12345, 1 << 20, true));
		munmap(p, 2 << 20);
	}
}

/* After registration: unmapped, protected, truncated. The process lives and other memory works. */
static void memory_goes_away(void **state)
{
	uint8_t *m = map(3 * PAGE, PROT_READ | PROT_WRITE), *f;
	static uint8_t data[2 * PAGE], out[2 * PAGE];
	struct fns_dma_token t = {.value = 77};
	int fd = memfd_create("fns-test", 0);
	struct fns_region *r, *rf;

	memset(data, 9, sizeof(data));
	r = imported(m, 3 * PAGE, true);
	assert_int_equal(munmap(m + PAGE, PAGE), 0);
	assert_int_equal(place(r, PAGE, data, 100), -EFAULT);
	assert_int_equal(place(r, PAGE - 100, data, 200), -EFAULT);
	assert_int_equal(m[PAGE - 1], 9); /* ascending: what was there has been written */
	assert_int_equal(place(r, 2 * PAGE - 1, data, 2), -EFAULT);
	assert_int_equal(fetch(r, PAGE - 1, out, 2), -EFAULT);
	assert_int_equal(
		dma->ops->atomic(dma, (struct fns_memref){r, PAGE, 8}, false, 1, 0, &t), -EFAULT);
	assert_int_equal(
		dma->ops->atomic(dma, (struct fns_memref){r, PAGE, 8}, true, 1, 0, &t), -EFAULT);
	assert_int_equal(t.value, 77);
	assert_int_equal(mprotect(m, PAGE, PROT_READ), 0);
	assert_int_equal(place(r, 0, data, 1), -EFAULT);
	assert_int_equal(fetch(r, PAGE - 1, out, 1), 0);
	assert_int_equal(out[0], 9);
	assert_int_equal(mprotect(m, PAGE, PROT_NONE), 0);
	assert_int_equal(fetch(r, 0, out, 1), -EFAULT);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(place(r, 2 * PAGE, data, PAGE), 0);
		assert_int_equal(place(r, 0, data, PAGE), -EFAULT);
	}
	dma->ops->release(dma, r);
	munmap(m, 3 * PAGE);

	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	f = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(f, MAP_FAILED);
	rf = imported(f, 2 * PAGE, true);
	assert_int_equal(place(rf, 0, data, 2 * PAGE), 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(place(rf, PAGE, data, 8), -EFAULT);
	assert_int_equal(fetch(rf, PAGE, out, 8), -EFAULT);
	assert_int_equal(place(rf, 0, data, PAGE), 0);
	dma->ops->release(dma, rf);
	munmap(f, 2 * PAGE);
	close(fd);
}

static void *signals_blocked(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	return (void *)(intptr_t)place(arg, 0, "x", 1);
}

/* Servers block all signals in their threads; a fault there would kill whatever the handler. */
static void thread_with_signals_blocked(void **state)
{
	uint8_t *m = map(PAGE, PROT_READ | PROT_WRITE);
	struct fns_region *r = imported(m, PAGE, true);
	pthread_t th;
	void *result;

	assert_int_equal(mprotect(m, PAGE, PROT_NONE), 0);
	assert_int_equal(pthread_create(&th, NULL, signals_blocked, r), 0);
	pthread_join(th, &result);
	assert_int_equal((intptr_t)result, -EFAULT);
	munmap(m, PAGE);
	dma->ops->release(dma, r);
}

struct duplex {
	_Alignas(64) uint8_t bytes[4352];
	_Atomic unsigned round, seen; /* writer's, reader's */
	_Atomic unsigned lo, hi;      /* of the round: bytes [lo, hi) are placed */
	unsigned torn, early, disorder;
};

static uint64_t word_at(const uint8_t *p)
{
	return __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

/* A program that polls the last byte. On its way it also samples words, later one first. */
static void *poll_last_byte(void *arg)
{
	struct duplex *x = arg;
	struct fns_rng rng;

	fns_rng_seed(&rng, 5);
	for (unsigned round = 1; round <= 30000; round++) {
		unsigned lo, hi, first, words;
		uint8_t v = (uint8_t)round, last;

		while (atomic_load_explicit(&x->round, memory_order_acquire) != round)
			sched_yield();
		lo = atomic_load(&x->lo);
		hi = atomic_load(&x->hi);
		first = FNS_ALIGN_UP(lo, 8u);
		words = hi > first ? (hi - first) / 8 : 0;
		do {
			if (words) {
				unsigned a = (unsigned)fns_rng_below(&rng, words);
				unsigned b = (unsigned)fns_rng_below(&rng, words);
				uint64_t late = word_at(x->bytes + first + 8 * FNS_MAX(a, b));
				uint64_t soon = word_at(x->bytes + first + 8 * FNS_MIN(a, b));

				x->torn += late != (late & 0xff) * 0x0101010101010101u;
				x->disorder += (uint8_t)late == v && (uint8_t)soon != v;
			}
			last = __atomic_load_n(&x->bytes[hi - 1], __ATOMIC_ACQUIRE);
		} while (last != v);
		for (unsigned i = lo; i < hi; i++)
			x->early += __atomic_load_n(&x->bytes[i], __ATOMIC_RELAXED) != v;
		atomic_store_explicit(&x->seen, round, memory_order_release);
	}
	return NULL;
}

static void concurrent_reader(void **state)
{
	static struct duplex x;
	static uint8_t data[4352];
	struct fns_region *r = imported(x.bytes, sizeof(x.bytes), true);
	struct fns_rng rng;
	pthread_t th;

	fns_rng_seed(&rng, 6);
	assert_int_equal(pthread_create(&th, NULL, poll_last_byte, &x), 0);
	for (unsigned round = 1; round <= 30000; round++) {
		unsigned lo = (unsigned)fns_rng_below(&rng, 16);
		unsigned len = (unsigned)fns_rng_below(&rng, round & 1 ? 4200 : 24) + 1;

		/* All words start whole. */
		memset(x.bytes, (uint8_t)(round - 1), sizeof(x.bytes));
		memset(data, (uint8_t)round, len);
		atomic_store(&x.lo, lo);
		atomic_store(&x.hi, lo + len);
		atomic_store_explicit(&x.round, round, memory_order_release);
		assert_int_equal(place(r, lo, data, len), 0);
		while (atomic_load_explicit(&x.seen, memory_order_acquire) != round)
			sched_yield();
	}
	pthread_join(th, NULL);
	assert_int_equal(x.early, 0);
	assert_int_equal(x.torn, 0);
#ifdef __x86_64__ /* weaker processors keep only the last piece last */
	assert_int_equal(x.disorder, 0);
#endif
	dma->ops->release(dma, r);
}

static void trivial_slots(void **state)
{
	struct fns_dma_token t = {0};

	assert_int_equal(dma->ops->poll(dma, 5), 0);
	assert_true(dma->ops->next(dma) == UINT64_MAX);
	assert_true(dma->ops->cancel(dma, &t));
	assert_true(dma->ops->caps.completes_inline && dma->ops->caps.ordered);
	assert_int_equal(place(NULL, 0, NULL, 0), FNS_DMA_DONE);
	assert_int_equal(fetch(NULL, 0, NULL, 0), FNS_DMA_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_alignment),
		cmocka_unit_test(atomics),
		cmocka_unit_test(import_probes),
		cmocka_unit_test(import_kinds),
		cmocka_unit_test(memory_goes_away),
		cmocka_unit_test(thread_with_signals_blocked),
		cmocka_unit_test(concurrent_reader),
		cmocka_unit_test(trivial_slots),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
