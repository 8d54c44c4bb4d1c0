/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: what they name, growth, and that a stale one names nothing. */
#include "rig.h"

#include <stdlib.h>

static void handle_zero_and_strangers(void **state)
{
	struct fns_table t = {0};
	int obj;
	uint32_t h;

	assert_null(fns_table_get(&t, 0));
	assert_null(fns_table_get(&t, 1));
	assert_int_equal(fns_table_add(&t, &obj, &h), 0);
	assert_int_not_equal(h, 0);
	assert_ptr_equal(fns_table_get(&t, h), &obj);
	assert_null(fns_table_get(&t, 0));
	assert_null(fns_table_get(&t, h + 1));
	assert_null(fns_table_get(&t, h | 1u << 24));
	assert_null(fns_table_get(&t, UINT32_MAX));
	assert_null(fns_table_get(&t, 0xff000000u));
	fns_table_fini(&t);
	assert_null(fns_table_get(&t, h));
}

static void stale_handles(void **state)
{
	struct fns_table t = {0};
	int a, b;
	uint32_t h[300], i, k;

	/* One place used over and over: the generations of a byte's worth of lives all differ. */
	for (i = 0; i < 256; i++) {
		assert_int_equal(fns_table_add(&t, &a, &h[i]), 0);
		for (k = 0; k < i; k++)
			assert_null(fns_table_get(&t, h[k]));
		assert_ptr_equal(fns_table_get(&t, h[i]), &a);
		assert_int_equal(h[i] & 0xffffff, h[0] & 0xffffff);
		fns_table_remove(&t, h[i]);
		assert_null(fns_table_get(&t, h[i]));
	}
	assert_int_equal(fns_table_add(&t, &b, &h[256]), 0);
	assert_int_equal(h[256], h[0]); /* the generation is one byte */
	fns_table_fini(&t);
}

static void growth(void **state)
{
	enum {
		N = 5000
	};
	static uint32_t handle[N];
	static char obj[N];
	struct fns_table t = {0};
	uint32_t i, k;

	for (i = 0; i < N; i++) {
		assert_int_equal(fns_table_add(&t, &obj[i], &handle[i]), 0);
		assert_int_not_equal(handle[i] & 0xffffff, 0);
	}
	for (i = 0; i < N; i++)
		assert_ptr_equal(fns_table_get(&t, handle[i]), &obj[i]);
	for (i = 0; i < N; i += 2)
		fns_table_remove(&t, handle[i]);
	k = t.size;
	for (i = 0; i < N; i += 2) {
		uint32_t old = handle[i];

		assert_int_equal(fns_table_add(&t, &obj[i], &handle[i]), 0);
		assert_int_not_equal(handle[i], old);
		assert_null(fns_table_get(&t, old));
	}
	assert_int_equal(t.size, k); /* free places first */
	for (i = 0; i < N; i++)
		assert_ptr_equal(fns_table_get(&t, handle[i]), &obj[i]);
	fns_table_fini(&t);
}

static void bound(void **state)
{
	struct fns_table t = {0};
	int obj;
	uint32_t h, i;

	for (i = 0; i < FNS_MAX_OBJECTS; i++)
		assert_int_equal(fns_table_add(&t, &obj, &h), 0);
	h = 42;
	assert_int_not_equal(fns_table_add(&t, &obj, &h), 0);
	assert_int_equal(h, 42);
	fns_table_remove(&t, 7);
	assert_int_equal(fns_table_add(&t, &obj, &h), 0);
	assert_int_equal(h, 7 | 1u << 24);
	fns_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handle_zero_and_strangers),
		cmocka_unit_test(stale_handles),
		cmocka_unit_test(growth),
		cmocka_unit_test(bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
