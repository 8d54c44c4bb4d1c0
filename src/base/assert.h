/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions: what a programmer got wrong, never what came from a packet, an application or a file.
 * On in every build. */
#ifndef FNS_BASE_ASSERT_H
#define FNS_BASE_ASSERT_H

/* Prints file, line and expression to stderr and aborts. */
_Noreturn void fns_assert_fail(const char *file, int line, const char *expr);

#define fns_assert(x)                                                                              \
	do {                                                                                       \
		if (__builtin_expect(!(x), 0))                                                     \
			fns_assert_fail(__FILE__, __LINE__, #x);                                   \
	} while (0)

#endif
