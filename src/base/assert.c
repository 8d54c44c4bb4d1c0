/* SPDX-License-Identifier: Apache-2.0 */
/* The failing end of fns_assert(). Says where, then leaves a core for the debugger. Called by
 * everybody, returns to nobody. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void fns_assert_fail(const char *file, int line, const char *expr)
{
	fprintf(stderr, "flexins: %s:%d: assertion failed: %s\n", file, line, expr);
	abort();
}
