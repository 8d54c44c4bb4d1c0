/* SPDX-License-Identifier: Apache-2.0 */
/* Small macros everybody uses. Owns nothing. */
#ifndef FNS_BASE_UTIL_H
#define FNS_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FNS_CACHELINE 64

#define FNS_ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define FNS_MIN(a, b)                     ((a) < (b) ? (a) : (b))
#define FNS_MAX(a, b)                     ((a) > (b) ? (a) : (b))
#define FNS_ALIGN_UP(x, a)                (((x) + (a)-1) & ~((a)-1)) /* a: a power of two */
#define FNS_DIV_UP(x, y)                  (((x) + (y)-1) / (y))
#define FNS_IS_POW2(x)                    ((x) != 0 && ((x) & ((x)-1)) == 0)
#define fns_container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

#define fns_likely(x)   __builtin_expect(!!(x), 1)
#define fns_unlikely(x) __builtin_expect(!!(x), 0)

#define FNS_NSEC_PER_USEC 1000ull
#define FNS_NSEC_PER_MSEC 1000000ull
#define FNS_NSEC_PER_SEC  1000000000ull

/* Smallest power of two that is >= x; x in 1..2^31. */
static inline uint32_t fns_pow2_ceil(uint32_t x)
{
	return x <= 1 ? 1 : 1u << (32 - __builtin_clz(x - 1));
}

#endif
