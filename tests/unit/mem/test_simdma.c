/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of mem/simdma: what it delays comes out as from the direct backend; order and time come
 * from the seed alone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "mem/dma.h"

enum {
	MAX_OPS = 4096
};

struct op {
	struct fns_dma_token t; /* first */
	unsigned done;
	int result;
	uint64_t submitted_ns, done_ns;
};

static struct op op[MAX_OPS + 1];
static unsigned order[MAX_OPS], n_done;
static uint64_t now_ns;
static _Alignas(8) uint8_t host[8192];

static void done(struct fns_dma_token *t, int result)
{
	struct op *o = (struct op *)t;

	o->done++;
	o->result = result;
	o->done_ns = now_ns;
	order[n_done++] = t->tag;
}

static struct fns_dma *create(uint64_t seed, uint64_t min_ns, uint64_t max_ns, uint32_t fail_ppm)
{
	struct fns_dma *d =
		fns_dma_sim_create(&(struct fns_dma_sim_cfg){seed, min_ns, max_ns, fail_ppm});

	assert_non_null(d);
	memset(op, 0, sizeof(op));
	for (unsigned i = 0; i <= MAX_OPS; i++) {
		op[i].t.done = done;
		op[i].t.tag = i;
	}
	n_done = 0;
	now_ns = 0;
	return d;
}

static struct fns_region *import(struct fns_dma *d)
{
	struct fns_region *r = NULL;

	assert_int_equal(d->ops->import(d, 0, (uintptr_t)host, sizeof(host), true, &r), 0);
	assert_null(r->near_base);
	return r;
}

/* Moves time from due time to due time until nothing is in flight. */
static void drain(struct fns_dma *d)
{
	uint64_t next;

	for (unsigned i = 0; i <= 2 * MAX_OPS && (next = d->ops->next(d)) != UINT64_MAX; i++) {
		assert_true(next >= now_ns);
		if (next > now_ns)
			assert_int_equal(d->ops->poll(d, next - 1), 0);
		now_ns = next;
		assert_true(d->ops->poll(d, now_ns) > 0);
	}
	assert_true(d->ops->next(d) == UINT64_MAX);
	assert_int_equal(d->ops->poll(d, UINT64_MAX), 0);
}

/* Disjoint places, fetches and atomics at random, the same to both backends; memory and results
 * agree. */
static void same_as_direct(void **state)
{
	enum {
		N = 500
	};
	static _Alignas(8) uint8_t want[sizeof(host)], src[N][16], got[2][N][16];
	static uint64_t value[N];
	struct fns_dma *direct = fns_dma_direct_create(), *d = create(11, 100, 9000, 0);
	struct fns_region *r = import(d), *rd = NULL;
	struct fns_rng rng;
	unsigned kinds[3] = {0};

	fns_rng_seed(&rng, 1);
	for (unsigned i = 0; i < sizeof(host); i++)
		host[i] = want[i] = (uint8_t)fns_rng_u64(&rng);
	assert_int_equal(
		direct->ops->import(direct, 0, (uintptr_t)want, sizeof(want), true, &rd), 0);
	for (unsigned i = 0; i < N; i++) {
		struct fns_memref ref = {r, 16ull * i, (uint32_t)fns_rng_below(&rng, 17)};
		struct fns_memref near = {rd, ref.off, ref.len};
		unsigned kind = (unsigned)fns_rng_below(&rng, 3);
		struct fns_dma_token t = {0};

		kinds[kind]++;
		if (kind == 0) {
			memset(src[i], (int)i, 16);
			assert_int_equal(d->ops->place(d, ref, src[i], &op[i].t), FNS_DMA_PENDING);
			assert_int_equal(
				direct->ops->place(direct, near, src[i], &t), FNS_DMA_DONE);
		} else if (kind == 1) {
			assert_int_equal(
				d->ops->fetch(d, ref, got[0][i], &op[i].t), FNS_DMA_PENDING);
			assert_int_equal(
				direct->ops->fetch(direct, near, got[1][i], &t), FNS_DMA_DONE);
		} else {
			uint64_t cmp;
			bool cas = i & 1;

			ref.len = near.len = 8;
			memcpy(&cmp, want + ref.off, 8);
			cmp += i >> 1 & 1;
			assert_int_equal(
				d->ops->atomic(d, ref, cas, i, cmp, &op[i].t), FNS_DMA_PENDING);
			assert_int_equal(
				direct->ops->atomic(direct, near, cas, i, cmp, &t), FNS_DMA_DONE);
			value[i] = t.value;
		}
	}
	assert_true(kinds[0] > 50 && kinds[1] > 50 && kinds[2] > 50);
	/* Nothing has happened yet. */
	assert_int_equal(n_done, 0);
	assert_memory_not_equal(host, want, sizeof(host));
	drain(d);
	assert_int_equal(n_done, N);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(op[i].done, 1);
		assert_int_equal(op[i].result, 0);
		assert_in_range(op[i].done_ns, 100, 9000);
		assert_int_equal(op[i].t.value, value[i]);
	}
	assert_memory_equal(host, want, sizeof(host));
	assert_memory_equal(got[0], got[1], sizeof(got[0]));
	d->ops->release(d, r);
	direct->ops->release(direct, rd);
	d->ops->destroy(d);
	direct->ops->destroy(direct);
}

/* Submits n one-byte places at changing times and returns the hash of (order, time). */
static uint64_t trace(uint64_t seed, uint32_t fail_ppm, unsigned *inversions)
{
	static uint8_t b[64];
	struct fns_dma *d = create(seed, 1000, 3000, fail_ppm);
	struct fns_region *r = import(d);
	uint64_t hash = 14695981039346656037u;
	const unsigned n = 64;

	for (unsigned i = 0; i < n; i++) {
		b[i] = (uint8_t)i;
		fns_dma_sim_set_now(d, now_ns);
		op[i].submitted_ns = now_ns;
		assert_int_equal(d->ops->place(d, (struct fns_memref){r, i, 1}, &b[i], &op[i].t),
			FNS_DMA_PENDING);
		now_ns += 10;
	}
	drain(d);
	assert_int_equal(n_done, n);
	*inversions = 0;
	for (unsigned i = 0; i < n; i++) {
		assert_in_range(op[i].done_ns - op[i].submitted_ns, 1000, 3000);
		hash = (hash ^ order[i]) * 1099511628211u;
		hash = (hash ^ op[order[i]].done_ns) * 1099511628211u;
		*inversions += i > 0 && order[i] < order[i - 1];
	}
	d->ops->release(d, r);
	d->ops->destroy(d);
	return hash;
}

static void order_from_seed(void **state)
{
	uint64_t last = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		unsigned inv, again;
		uint64_t h = trace(seed, 0, &inv);

		assert_true(inv > 0);
		assert_true(h == trace(seed, 0, &again) && inv == again);
		/* Failures change results, not times. */
		assert_true(h == trace(seed, 500000, &again));
		assert_true(h != last);
		last = h;
	}
}

/* Equal times: in the order submitted. */
static void ties_in_order(void **state)
{
	struct fns_dma *d = create(1, 50, 50, 0);
	struct fns_region *r = import(d);

	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(d->ops->place(d, (struct fns_memref){r, 0, 1}, "x", &op[i].t),
			FNS_DMA_PENDING);
	assert_int_equal(d->ops->poll(d, 49), 0);
	assert_int_equal(d->ops->poll(d, 50), 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(order[i], i);
	d->ops->release(d, r);
	d->ops->destroy(d);
}

static void full_and_cancelled(void **state)
{
	static uint8_t b[MAX_OPS];
	struct fns_dma *d = create(2, 0, 100000, 0);
	struct fns_region *r = import(d);
	struct fns_rng rng;
	unsigned cancelled = 0;

	memset(host, 0, sizeof(host));
	memset(b, 1, sizeof(b));
	for (unsigned i = 0; i < MAX_OPS; i++)
		assert_int_equal(d->ops->place(d, (struct fns_memref){r, i, 1}, &b[i], &op[i].t),
			FNS_DMA_PENDING);
	op[MAX_OPS].t.dma_priv = 12345;
	assert_int_equal(
		d->ops->place(d, (struct fns_memref){r, 0, 1}, b, &op[MAX_OPS].t), -EAGAIN);
	assert_int_equal(op[MAX_OPS].t.dma_priv, 12345);

	d->ops->poll(d, 30000);
	assert_in_range(n_done, 1000, 1500);
	fns_rng_seed(&rng, 3);
	for (unsigned i = 0; i < MAX_OPS; i++)
		if (!op[i].done && fns_rng_below(&rng, 2)) {
			assert_true(d->ops->cancel(d, &op[i].t));
			op[i].submitted_ns = 1; /* marks it */
			cancelled++;
		}
	assert_true(cancelled > 1000);
	/* There is room again, and the heap is still one. */
	assert_int_equal(d->ops->place(d, (struct fns_memref){r, 8000, 1}, b, &op[MAX_OPS].t),
		FNS_DMA_PENDING);
	assert_true(d->ops->cancel(d, &op[MAX_OPS].t));
	now_ns = 30000;
	drain(d);
	assert_int_equal(n_done, MAX_OPS - cancelled);
	for (unsigned i = 0; i < MAX_OPS; i++) {
		assert_int_equal(op[i].done, !op[i].submitted_ns);
		assert_int_equal(host[i], !op[i].submitted_ns);
	}
	for (unsigned i = 0; i < n_done; i++)
		assert_true(i == 0 || op[order[i]].done_ns >= op[order[i - 1]].done_ns);
	assert_int_equal(host[8000], 0);
	d->ops->release(d, r);
	d->ops->destroy(d);
}

static void failures(void **state)
{
	struct fns_dma *d = create(4, 1, 10, 250000);
	struct fns_region *r = import(d);
	static uint8_t b[MAX_OPS];
	unsigned failed = 0;

	memset(host, 0, sizeof(host));
	memset(b, 1, sizeof(b));
	for (unsigned i = 0; i < MAX_OPS; i++)
		assert_int_equal(d->ops->place(d, (struct fns_memref){r, i, 1}, &b[i], &op[i].t),
			FNS_DMA_PENDING);
	drain(d);
	for (unsigned i = 0; i < MAX_OPS; i++) {
		assert_int_equal(op[i].result, host[i] ? 0 : -EFAULT);
		failed += op[i].result != 0;
	}
	assert_in_range(failed, MAX_OPS / 5, MAX_OPS / 3);
	/* What the caller got wrong is refused at once. */
	assert_int_equal(
		d->ops->atomic(d, (struct fns_memref){r, 4, 8}, false, 1, 0, &op[0].t), -EINVAL);
	assert_int_equal(
		d->ops->atomic(d, (struct fns_memref){r, 0, 4}, false, 1, 0, &op[0].t), -EINVAL);
	d->ops->release(d, r);
	d->ops->destroy(d);
}

static struct fns_dma *again_dma;
static struct fns_region *again_region;
static unsigned again_left;

static void done_again(struct fns_dma_token *t, int result)
{
	n_done++;
	if (again_left-- > 0)
		assert_int_equal(again_dma->ops->place(again_dma,
					 (struct fns_memref){again_region, 0, 1}, "x", t),
			FNS_DMA_PENDING);
}

/* done() may use its token again; without delay, a poll still ends. */
static void submitting_from_done(void **state)
{
	struct fns_dma *d = create(5, 0, 0, 0);

	again_dma = d;
	again_region = import(d);
	again_left = 3;
	op[0].t.done = done_again;
	assert_int_equal(d->ops->place(d, (struct fns_memref){again_region, 0, 1}, "x", &op[0].t),
		FNS_DMA_PENDING);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(d->ops->next(d), 0);
		assert_int_equal(d->ops->poll(d, 0), 1);
	}
	assert_true(d->ops->next(d) == UINT64_MAX);
	assert_int_equal(n_done, 4);
	/* Empty ones complete too, without memory. */
	op[1].t.done = done;
	assert_int_equal(d->ops->fetch(d, (struct fns_memref){0}, NULL, &op[1].t), FNS_DMA_PENDING);
	assert_int_equal(d->ops->poll(d, 0), 1);
	assert_int_equal(op[1].result, 0);
	d->ops->release(d, again_region);
	d->ops->destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_direct),
		cmocka_unit_test(order_from_seed),
		cmocka_unit_test(ties_in_order),
		cmocka_unit_test(full_and_cancelled),
		cmocka_unit_test(failures),
		cmocka_unit_test(submitting_from_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
