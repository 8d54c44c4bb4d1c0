/* SPDX-License-Identifier: Apache-2.0 */
/* 24-bit packet sequence numbers (IBTA 9.7.2). PSNs compare only through psn_diff(). Pure. */
#ifndef FNS_ROCE_PSN_H
#define FNS_ROCE_PSN_H

#include <stdint.h>

#define FNS_PSN_MASK 0xffffffu

static inline uint32_t psn_add(uint32_t psn, uint32_t n)
{
	return (psn + n) & FNS_PSN_MASK;
}

/* a - b as a signed distance in -2^23..2^23-1: negative when a lies before b. */
static inline int32_t psn_diff(uint32_t a, uint32_t b)
{
	return (int32_t)((a - b) << 8) >> 8;
}

#endif
