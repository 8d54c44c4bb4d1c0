/* SPDX-License-Identifier: Apache-2.0 */
/* One connected queue pair on the bench of tests/unit/engine, and bytes for packets to carry. */
#ifndef TESTS_UNIT_TRANSPORT_ONE_H
#define TESTS_UNIT_TRANSPORT_ONE_H

#include "rig.h"

#define PMTU     1024u
#define ONE_DATA (256u * PMTU)

struct one {
	struct rig *r;
	struct rig_qp qp;
	uint32_t ah; /* of datagrams: the test's */
	uint8_t data[ONE_DATA];
};

/* Memory behind simulated DMA: late, and in any order. */
static const struct rig_opts far = {
	.simdma = true, .sim = {.seed = 7, .min_ns = 1000, .max_ns = 40000}};

/* One at a time. opts NULL: defaults, with near memory. */
static inline struct one *one_begin(uint8_t type, const struct rig_opts *opts)
{
	static struct one one;

	one.r = rig_create(opts);
	rig_qp_create(one.r, &one.qp, type);
	rig_connect(one.r, &one.qp);
	for (uint32_t i = 0; i < ONE_DATA; i++)
		one.data[i] = (uint8_t)(i * 37 + 1 + (i >> 8));
	return &one;
}

static inline void one_end(struct one *o)
{
	rig_qp_destroy(o->r, &o->qp);
	rig_destroy(o->r);
}

#endif
