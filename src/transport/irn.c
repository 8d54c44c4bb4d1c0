/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of a selective acknowledgement (docs/irn.md): the PSN expected, then a bitmap. Pure.
 * What is parsed comes from the network: it says nothing of PSNs that were sent, which is for the
 * caller to check.
 */
#include <string.h>

#include "base/bytes.h"
#include "transport/irn.h"

bool fns_sack_parse(const uint8_t *payload, uint32_t len, struct fns_sack *out)
{
	uint32_t bytes = len - 4, n;

	if (len < 8 || len > FNS_SACK_MAX || len % 4)
		return false;
	*out = (struct fns_sack){.epsn = get_be32(payload) & FNS_PSN_MASK};
	memcpy(out->bit, payload + 4, bytes);
	for (n = bytes * 8; n && !fns_sack_has(out, n - 1); n--)
		;
	out->n = n;
	return n != 0 && payload[0] == 0;
}

uint32_t fns_sack_build(uint8_t *out, const struct fns_sack *s)
{
	uint32_t bytes = FNS_DIV_UP(s->n, 32) * 4;

	put_be32(out, s->epsn);
	memcpy(out + 4, s->bit, bytes);
	return 4 + bytes;
}
