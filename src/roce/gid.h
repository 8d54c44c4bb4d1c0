/* SPDX-License-Identifier: Apache-2.0 */
/* GIDs of RoCEv2 are IP addresses: 16 bytes, IPv4 mapped as ::ffff:a.b.c.d. Pure. */
#ifndef FNS_ROCE_GID_H
#define FNS_ROCE_GID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct fns_gid {
	uint8_t b[16];
};

static inline bool fns_gid_is_v4(const struct fns_gid *g)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(g->b, prefix, sizeof(prefix)) == 0;
}

static inline bool fns_gid_equal(const struct fns_gid *a, const struct fns_gid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool fns_gid_is_zero(const struct fns_gid *g)
{
	static const struct fns_gid zero;

	return fns_gid_equal(g, &zero);
}

/* Means something on one interface only. */
static inline bool fns_gid_is_link_local(const struct fns_gid *g)
{
	return g->b[0] == 0xfe && (g->b[1] & 0xc0) == 0x80;
}

static inline bool fns_gid_is_multicast(const struct fns_gid *g)
{
	return g->b[0] == 0xff || (fns_gid_is_v4(g) && (g->b[12] & 0xf0) == 0xe0);
}

#endif
