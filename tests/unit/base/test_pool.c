/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: objects are distinct, aligned and zeroed, come back last-in first-out, and run out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/pool.h"

#define COUNT 37

static void exhausts_and_refills(void **state)
{
	struct fns_pool p;
	uint8_t *obj[COUNT];

	(void)state;
	assert_int_equal(fns_pool_init(&p, 65, COUNT), 0);
	assert_int_equal(p.size, 128);
	for (unsigned i = 0; i < COUNT; i++) {
		obj[i] = fns_pool_get(&p);
		assert_non_null(obj[i]);
		assert_int_equal((uintptr_t)obj[i] % FNS_CACHELINE, 0);
		for (unsigned b = 0; b < 128; b++)
			assert_int_equal(obj[i][b], 0);
		memset(obj[i], (int)i + 1, 128);
	}
	assert_null(fns_pool_get(&p));
	assert_null(fns_pool_get(&p));
	/* A pattern that somebody else overwrote would betray two objects that overlap. */
	for (unsigned i = 0; i < COUNT; i++)
		for (unsigned b = 0; b < 128; b++)
			assert_int_equal(obj[i][b], i + 1);
	fns_pool_put(&p, obj[5]);
	assert_ptr_equal(fns_pool_get(&p), obj[5]);
	assert_null(fns_pool_get(&p));
	for (unsigned i = 0; i < COUNT; i++)
		fns_pool_put(&p, obj[i]);
	assert_int_equal(p.free, COUNT);
	for (unsigned i = COUNT; i-- > 0;)
		assert_ptr_equal(fns_pool_get(&p), obj[i]);
	fns_pool_fini(&p);
	assert_null(fns_pool_get(&p));
}

static void last_in_first_out(void **state)
{
	struct fns_pool p;
	void *a, *b;

	(void)state;
	assert_int_equal(fns_pool_init(&p, 1, 4), 0);
	a = fns_pool_get(&p);
	b = fns_pool_get(&p);
	fns_pool_put(&p, a);
	fns_pool_put(&p, b);
	assert_ptr_equal(fns_pool_get(&p), b);
	assert_ptr_equal(fns_pool_get(&p), a);
	fns_pool_fini(&p);
}

static void refuses_impossible_sizes(void **state)
{
	struct fns_pool p;

	(void)state;
	assert_int_equal(fns_pool_init(&p, SIZE_MAX, 1), -ENOMEM);
	assert_null(fns_pool_get(&p));
	assert_int_equal(fns_pool_init(&p, SIZE_MAX / 2, 4), -ENOMEM);
	assert_null(fns_pool_get(&p));
	fns_pool_fini(&p);
	assert_int_equal(fns_pool_init(&p, 64, 0), 0);
	assert_null(fns_pool_get(&p));
	fns_pool_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exhausts_and_refills),
		cmocka_unit_test(last_in_first_out),
		cmocka_unit_test(refuses_impossible_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
