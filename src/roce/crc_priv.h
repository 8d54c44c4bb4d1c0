/* SPDX-License-Identifier: Apache-2.0 */
/* Between icrc.c and crc32.c: moving a CRC-32 register over zero bytes, forwards and back. Pure. */
#ifndef FNS_ROCE_CRC_PRIV_H
#define FNS_ROCE_CRC_PRIV_H

#include <stddef.h>
#include <stdint.h>

/* The bare register (no complement) after n zero bytes. */
uint32_t fns_crc32_zeros(uint32_t reg, size_t n);
/* The bare register as it was n zero bytes earlier. */
uint32_t fns_crc32_unzeros(uint32_t reg, size_t n);

#endif
