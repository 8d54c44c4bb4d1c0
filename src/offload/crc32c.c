/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C (Castagnoli), as storage uses it; by ISA-L. Pure. */
#include <isa-l.h>

#include "offload/offload_priv.h"

uint32_t fns_offload_crc32c(uint32_t sum, const void *bytes, uint32_t len)
{
	return ~crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)len, ~sum);
}
