/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of mem/mem and mem/keytab: the check against a naive model, life and death of keys. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "base/rng.h"
#include "mem/mem.h"

#define BUF_BYTES (64u << 10)
#define RW        (FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_READ)

static struct fns_dma *dma;
static struct fns_mem *mem;
static uint64_t buf;
static struct fns_pd pd[3];

static int setup(void **state)
{
	void *p = mmap(NULL, BUF_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	dma = fns_dma_direct_create();
	mem = dma ? fns_mem_create(dma, 7) : NULL;
	buf = (uint64_t)(uintptr_t)p;
	return mem && p != MAP_FAILED ? 0 : -1;
}

static int teardown(void **state)
{
	fns_mem_destroy(mem);
	dma->ops->destroy(dma);
	return munmap((void *)(uintptr_t)buf, BUF_BYTES);
}

static struct fns_mr *region(
	struct fns_pd *p, uint64_t addr, uint64_t len, uint64_t iova, uint32_t a)
{
	struct fns_mr *mr = NULL;

	assert_int_equal(fns_mr_create(mem, p, addr, len, iova, a, &mr), 0);
	return mr;
}

static enum fns_mem_result check(uint32_t key, uint64_t va, uint32_t len, uint32_t need)
{
	struct fns_memref ref;

	return fns_mem_check(mem, &pd[0], 1, key, va, len, need, false, &ref);
}

static void four_failures(void **state)
{
	struct fns_mr *mr = region(&pd[0], buf + 100, 1000, 5000, FNS_ACCESS_LOCAL_WRITE);
	struct fns_memref ref;

	assert_int_equal(check(mr->key, 5000, 1000, FNS_ACCESS_LOCAL_WRITE), FNS_MEM_OK);
	assert_int_equal(
		fns_mem_check(mem, &pd[0], 1, mr->key, 5017, 983, 0, true, &ref), FNS_MEM_OK);
	assert_ptr_equal(ref.region, mr->region);
	assert_int_equal(ref.off, 17);
	assert_int_equal(ref.len, 983);
	assert_int_equal((uintptr_t)fns_memref_near(ref), buf + 117);

	for (unsigned bit = 0; bit < 32; bit++)
		assert_int_equal(check(mr->key ^ 1u << bit, 5000, 1, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(check(0, 5000, 1, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(
		fns_mem_check(mem, &pd[1], 1, mr->key, 5000, 1, 0, false, &ref), FNS_MEM_BAD_PD);
	assert_int_equal(check(mr->key, 5000, 1, FNS_ACCESS_REMOTE_READ), FNS_MEM_BAD_ACCESS);
	assert_int_equal(check(mr->key, 5000, 1, FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE),
		FNS_MEM_BAD_ACCESS);
	assert_int_equal(check(mr->key, 4999, 1, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(check(mr->key, 5000, 1001, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(check(mr->key, 5999, 1, 0), FNS_MEM_OK);
	assert_int_equal(check(mr->key, 5999, 2, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(check(mr->key, 6000, 1, 0), FNS_MEM_BAD_RANGE);
	/* The key of a request of length 0 is not looked at. */
	assert_int_equal(fns_mem_check(mem, &pd[1], 1, 0, 1, 0, ~0u, true, &ref), FNS_MEM_OK);
	assert_int_equal(ref.len, 0);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);
}

static void wrap_around(void **state)
{
	struct fns_mr *mr = NULL;
	uint64_t top = UINT64_MAX - 4095;

	/* The last 4096 bytes of the address space as iova. */
	mr = region(&pd[0], buf, 4096, top, RW);
	assert_int_equal(check(mr->key, top, 4096, 0), FNS_MEM_OK);
	assert_int_equal(check(mr->key, UINT64_MAX, 1, 0), FNS_MEM_OK);
	assert_int_equal(check(mr->key, UINT64_MAX, 2, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(check(mr->key, top + 1, 4096, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(check(mr->key, top, UINT32_MAX, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(check(mr->key, 0, 1, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);

	assert_int_equal(fns_mr_create(mem, &pd[0], buf, 4097, top, RW, &mr), -EINVAL);
	assert_int_equal(fns_mr_create(mem, &pd[0], buf, UINT64_MAX, 0, RW, &mr), -EINVAL);
	assert_int_equal(fns_mr_create(mem, &pd[0], top, 4097, 0, RW, &mr), -EINVAL);
	assert_int_equal(fns_mr_create(mem, &pd[0], top, 4096, 0, RW, &mr), -EFAULT);
}

static void creation_rules(void **state)
{
	struct fns_mr *mr = NULL;
	void *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(fns_mr_create(mem, &pd[0], buf, 8, 0, 1u << 9, &mr), -EINVAL);
	assert_int_equal(
		fns_mr_create(mem, &pd[0], buf, 8, 0, FNS_ACCESS_REMOTE_WRITE, &mr), -EINVAL);
	assert_int_equal(
		fns_mr_create(mem, &pd[0], buf, 8, 0, FNS_ACCESS_REMOTE_ATOMIC, &mr), -EINVAL);
	assert_int_equal(fns_mr_create(mem, &pd[0], 4096, 8, 0, RW, &mr), -EFAULT);
	assert_int_equal(fns_mr_create(mem, &pd[0], (uintptr_t)ro, 8, 0, RW, &mr), -EFAULT);
	assert_null(mr);
	mr = region(&pd[0], (uintptr_t)ro, 8, 0, FNS_ACCESS_REMOTE_READ);
	assert_true(mr->region->read_only);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);
	/* A hint may be ignored, and is not kept. */
	mr = region(&pd[0], buf, 8, 0, RW | 1u << 20);
	assert_int_equal(mr->access, RW);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);
	/* Zero-based: addresses count from 0 whatever iova says. */
	mr = region(&pd[0], buf + 8, 16, buf + 8, RW | FNS_ACCESS_ZERO_BASED);
	assert_int_equal(check(mr->key, 0, 16, 0), FNS_MEM_OK);
	assert_int_equal(check(mr->key, buf + 8, 1, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);
	/* Empty. */
	mr = region(&pd[0], buf, 0, 0, RW);
	assert_int_equal(check(mr->key, 0, 1, 0), FNS_MEM_BAD_RANGE);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);
	assert_int_equal(fns_mr_destroy(mem, NULL), 0);
	munmap(ro, 4096);
}

/* Operations in flight: the key dies at once, the region stays until they are done. */
static void destroy_waits(void **state)
{
	struct fns_mr *mr = region(&pd[0], buf, 100, buf, RW);
	struct fns_memref ref;
	uint32_t key = mr->key;

	assert_int_equal(fns_mem_check(mem, &pd[0], 1, key, buf, 1, 0, false, &ref), FNS_MEM_OK);
	fns_memref_get(ref);
	assert_int_equal(fns_mr_destroy(mem, mr), -EAGAIN);
	assert_int_equal(check(key, buf, 1, 0), FNS_MEM_BAD_KEY);
	assert_int_equal(fns_mr_destroy(mem, mr), -EAGAIN);
	assert_int_equal(ref.region->len, 100);
	fns_memref_put(ref);
	assert_int_equal(fns_mr_destroy(mem, mr), 0);
	assert_int_equal(check(key, buf, 1, 0), FNS_MEM_BAD_KEY);
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* 5,000 keys: never 0, the upper 24 bits unique, all values spread, no constant stride, and
 * guessing finds nothing. */
static void keys_are_random(void **state)
{
	enum {
		N = 5000
	};
	static struct fns_mr *mr[N];
	static uint32_t id[N], stride[N];
	struct fns_mem *other = fns_mem_create(dma, 8);
	struct fns_mr *o = NULL;
	unsigned quarter[4] = {0}, low[4] = {0}, same = 0, hits = 0;
	struct fns_rng rng;

	for (unsigned i = 0; i < N; i++) {
		mr[i] = region(&pd[0], buf, 1, 0, RW);
		assert_true(mr[i]->key >> 8 != 0);
		id[i] = mr[i]->key >> 8;
		quarter[mr[i]->key >> 30]++;
		low[mr[i]->key & 3]++;
		stride[i] = i ? mr[i]->key - mr[i - 1]->key : 0;
	}
	assert_int_equal(fns_mr_create(other, &pd[0], buf, 1, 0, RW, &o), 0);
	assert_int_not_equal(o->key, mr[0]->key);
	fns_mem_destroy(other);
	for (unsigned q = 0; q < 4; q++) {
		assert_in_range(quarter[q], N / 5, N / 3);
		assert_in_range(low[q], N / 5, N / 3);
	}
	qsort(id, N, sizeof(id[0]), cmp_u32);
	qsort(stride, N, sizeof(stride[0]), cmp_u32);
	for (unsigned i = 1; i < N; i++) {
		assert_int_not_equal(id[i], id[i - 1]);
		same += stride[i] == stride[i - 1];
	}
	assert_in_range(same, 0, 2);
	fns_rng_seed(&rng, 99);
	for (unsigned i = 0; i < 10000; i++)
		hits += check((uint32_t)fns_rng_u64(&rng), 0, 1, 0) != FNS_MEM_BAD_KEY;
	assert_int_equal(hits, 0); /* expected 0.01; the seeds are fixed */
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(check(mr[i]->key, 0, 1, 0), FNS_MEM_OK);
	/* Each removal leaves the others' chains whole. */
	for (unsigned i = 0; i < N; i++) {
		uint32_t key = mr[i]->key;

		assert_int_equal(fns_mr_destroy(mem, mr[i]), 0);
		assert_int_equal(check(key, 0, 1, 0), FNS_MEM_BAD_KEY);
		for (unsigned j = i + 1; j < N && j < i + 20; j++)
			assert_int_equal(check(mr[j]->key, 0, 1, 0), FNS_MEM_OK);
	}
}

struct model {
	struct fns_mr *mr;
	uint32_t key, access;
	unsigned pd;
	uint64_t addr, iova, len;
};

static enum fns_mem_result model_check(const struct model *m, unsigned n, unsigned p, uint32_t key,
	uint64_t va, uint32_t len, uint32_t need, uint64_t *addr)
{
	for (unsigned i = 0; i < n; i++) {
		if (!m[i].mr || m[i].key != key)
			continue;
		if (m[i].pd != p)
			return FNS_MEM_BAD_PD;
		for (unsigned bit = 0; bit < 32; bit++)
			if ((need >> bit & 1) && !(m[i].access >> bit & 1))
				return FNS_MEM_BAD_ACCESS;
		if ((__int128)va < (__int128)m[i].iova ||
			(__int128)va + len > (__int128)m[i].iova + m[i].len)
			return FNS_MEM_BAD_RANGE;
		*addr = m[i].addr + (va - m[i].iova);
		return FNS_MEM_OK;
	}
	return FNS_MEM_BAD_KEY;
}

/* Random regions come and go; each question is asked of the model too. */
static void check_against_model(void **state)
{
	enum {
		N = 200
	};
	static struct model m[N];
	unsigned seen[5] = {0};
	struct fns_rng rng;

	fns_rng_seed(&rng, 1234);
	for (unsigned step = 0; step < 200000; step++) {
		unsigned i = (unsigned)fns_rng_below(&rng, N);
		struct model *x = &m[i];

		if (fns_rng_below(&rng, 20) == 0 && x->mr) {
			assert_int_equal(fns_mr_destroy(mem, x->mr), 0);
			x->mr = NULL; /* the key stays, to be asked for */
		} else if (fns_rng_below(&rng, 10) == 0 && !x->mr) {
			uint64_t off = fns_rng_below(&rng, BUF_BYTES);

			x->addr = buf + off;
			x->len = fns_rng_below(&rng, FNS_MIN(BUF_BYTES - off, 300u) + 1);
			x->iova = fns_rng_below(&rng, 4) ? x->addr : 0 - fns_rng_below(&rng, 300);
			if (x->len && x->iova + (x->len - 1) < x->iova)
				x->iova = 0 - x->len;
			x->access = (uint32_t)fns_rng_below(&rng, 32) | FNS_ACCESS_LOCAL_WRITE;
			x->pd = (unsigned)fns_rng_below(&rng, 3);
			x->mr = region(&pd[x->pd], x->addr, x->len, x->iova, x->access);
			x->key = x->mr->key;
		}

		uint32_t key =
			x->key ^ (fns_rng_below(&rng, 16) ? 0 : 1u << fns_rng_below(&rng, 32));
		uint64_t va = x->iova + fns_rng_below(&rng, 400) - 50;
		uint32_t len = fns_rng_below(&rng, 50)
				       ? (uint32_t)fns_rng_below(&rng, 300) + 1
				       : UINT32_MAX - (uint32_t)fns_rng_below(&rng, 9);
		uint32_t need = fns_rng_below(&rng, 2) ? 0 : (uint32_t)fns_rng_below(&rng, 16);
		unsigned p = fns_rng_below(&rng, 8) ? x->pd : (unsigned)fns_rng_below(&rng, 3);
		struct fns_memref ref;
		uint64_t want_addr = 0;
		enum fns_mem_result want, got;

		want = model_check(m, N, p, key, va, len, need, &want_addr);
		got = fns_mem_check(mem, &pd[p], 5, key, va, len, need, step & 1, &ref);
		assert_int_equal(got, want);
		seen[got]++;
		if (got == FNS_MEM_OK) {
			assert_int_equal(ref.region->addr + ref.off, want_addr);
			assert_int_equal(ref.len, len);
		}
	}
	for (unsigned r = 0; r < 5; r++)
		assert_true(seen[r] > 1000);
	for (unsigned i = 0; i < N; i++)
		if (m[i].mr)
			assert_int_equal(fns_mr_destroy(mem, m[i].mr), 0);
}

/* What is left is freed with the table; the leak checker is the judge. */
static void destroy_with_objects(void **state)
{
	struct fns_mem *m = fns_mem_create(dma, 1);
	struct fns_mr *mr, *mw;

	assert_ptr_equal(fns_mem_dma(m), dma);
	assert_int_equal(fns_mr_create(m, &pd[0], buf, 64, 0, RW | FNS_ACCESS_MW_BIND, &mr), 0);
	assert_int_equal(fns_mw_create(m, &pd[0], FNS_MR_WINDOW_1, &mw), 0);
	assert_int_equal(fns_mw_bind(m, &pd[0], 1, mw->key, mw->key ^ 1, mr->key, 0, 8, 0), 0);
	fns_mem_destroy(m);
	fns_mem_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(four_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(wrap_around, setup, teardown),
		cmocka_unit_test_setup_teardown(creation_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(destroy_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_are_random, setup, teardown),
		cmocka_unit_test_setup_teardown(check_against_model, setup, teardown),
		cmocka_unit_test_setup_teardown(destroy_with_objects, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
