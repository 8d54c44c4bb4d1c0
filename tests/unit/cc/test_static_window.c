/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of cc/static_window: the same answer to every event, nothing kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "cc/cc.h"

static void every_event_same_answer(void **state)
{
	struct fns_cc_ctx ctx, zero;

	memset(&ctx, 0, sizeof(ctx));
	memset(&zero, 0, sizeof(zero));
	for (int type = FNS_CC_INIT; type <= FNS_CC_TIMER; type++) {
		struct fns_cc_event ev = {
			.type = (enum fns_cc_event_type)type,
			.now_ns = 1000,
			.bytes = UINT64_MAX,
			.rtt_ns = 1,
			.inflight = UINT64_MAX,
		};
		struct fns_cc_out out;

		memset(&out, 0x5a, sizeof(out));
		fns_cc_static_window.on_event(&ctx, &ev, &out);
		assert_int_equal(out.window_bytes, FNS_CC_STATIC_WINDOW);
		assert_true(out.rate_bps == FNS_CC_UNLIMITED);
		assert_true(out.timer_ns == UINT64_MAX);
		assert_int_equal(out.path_hint, 0);
	}
	assert_memory_equal(&ctx, &zero, sizeof(ctx));
	assert_string_equal(fns_cc_static_window.name, "static_window");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_event_same_answer)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
