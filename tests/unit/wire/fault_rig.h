/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the fault wire: one around a wire of this file that keeps what it is given and
 * gives what it is told, in virtual time. */
#ifndef TESTS_UNIT_WIRE_FAULT_RIG_H
#define TESTS_UNIT_WIRE_FAULT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "roce/icrc.h"
#include "wire/fault.h"
#include "wire/wire.h"

#define QPN     0x050a11u
#define SENT    20000u /* packets that most tests send */
#define PAYLOAD 100u

struct packet {
	uint32_t psn, sum, icrc, len; /* sum: of the bytes; icrc: what is written behind them */
	uint64_t at_ns;
};

struct rig {
	struct fns_wire below; /* first */
	struct fns_wire *w;
	struct fns_stats *stats;
	uint64_t now;
	struct fns_path path;
	struct packet sent[2 * SENT];
	unsigned nsent, bursts, full_after; /* full_after: frames it still takes */
	struct fns_rx_view in[FNS_RX_BATCH];
	uint8_t in_data[FNS_RX_BATCH][FNS_BTH_LEN + PAYLOAD];
	unsigned nin;
	int views_out;
	bool qp_exists;
	struct fns_fault_qp qp;
};

static inline struct rig *rig_of(struct fns_wire *w)
{
	return (struct rig *)(void *)w;
}

static inline int below_path_get(struct fns_wire *w, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl,
	struct fns_path **out)
{
	rig_of(w)->path.refs++;
	*out = &rig_of(w)->path;
	return 0;
}

static inline void below_path_put(struct fns_wire *w, struct fns_path *p)
{
	assert_true(p->refs-- > 0);
}

/* The sum that the wire would make, over what it was given. */
static inline uint32_t sum_of(const struct fns_frame *f)
{
	uint8_t flat[FNS_HDR_MAX + PAYLOAD + 4];
	uint32_t at = f->hdr_len;

	memcpy(flat, f->hdr, f->hdr_len);
	for (unsigned i = 0; i < f->nsg; i++) {
		memcpy(flat + at, f->sg[i].addr, f->sg[i].len);
		at += f->sg[i].len;
	}
	memset(flat + at, 0, f->pad);
	return fns_icrc_bth(0, flat, at + f->pad);
}

static inline unsigned below_tx(struct fns_wire *w, struct fns_frame *frames, unsigned n)
{
	struct rig *r = rig_of(w);
	unsigned i;

	r->bursts++;
	for (i = 0; i < n && r->full_after > 0; i++, r->full_after--) {
		const struct fns_frame *f = &frames[i];

		assert_in_range(r->nsent, 0, FNS_ARRAY_SIZE(r->sent) - 1);
		r->sent[r->nsent++] = (struct packet){.psn = get_be24(f->hdr + 9),
			.sum = sum_of(f),
			.icrc = sum_of(f) ^ f->icrc_xor,
			.len = f->hdr_len + f->payload_len + f->pad,
			.at_ns = r->now};
		frames[i].status = FNS_FRAME_SENT;
	}
	return i;
}

static inline unsigned below_rx(struct fns_wire *w, struct fns_rx_view *views, unsigned max)
{
	struct rig *r = rig_of(w);
	unsigned n = r->nin;

	assert_true(max >= FNS_RX_BATCH);
	memcpy(views, r->in, n * sizeof(*views));
	r->views_out += (int)n;
	r->nin = 0;
	return n;
}

static inline void below_release(struct fns_wire *w, struct fns_rx_view *v)
{
	rig_of(w)->views_out--;
	memset(v->buf, 0xdd, FNS_BTH_LEN + PAYLOAD); /* who still reads it is found */
}

static inline uint32_t below_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	return len + bulk;
}

static const struct fns_wire_ops below_ops = {
	.name = "test",
	.path_get = below_path_get,
	.path_put = below_path_put,
	.tx_burst = below_tx,
	.rx_burst = below_rx,
	.rx_release = below_release,
	.rx_cost = below_cost,
};

static inline uint32_t owner_qpn(const void *owner)
{
	return owner ? *(const uint32_t *)owner : 0;
}

static inline bool qp_look(void *ctx, uint32_t qpn, struct fns_fault_qp *out)
{
	struct rig *r = ctx;

	*out = r->qp;
	return r->qp_exists && qpn == QPN;
}

static inline struct rig *rig_make(const char *spec)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct fns_fault_cfg cfg = {
		.below = &r->below, .owner_qpn = owner_qpn, .qp_look = qp_look, .ctx = r};
	struct fns_fault_spec s;
	char err[256];

	assert_non_null(r);
	r->stats = calloc(1, offsetof(struct fns_stats, qp));
	r->below = (struct fns_wire){.ops = &below_ops, .stats = r->stats, .now_ns = &r->now};
	r->now = 1000;
	r->full_after = UINT32_MAX;
	r->path.refs = 1;
	r->path.remote = (struct fns_gid){{[10] = 0xff, 0xff, 192, 0, 2, 7}};
	r->qp = (struct fns_fault_qp){.rc = true,
		.rts = true,
		.una = 5,
		.next = 5,
		.rnr_retry = 3,
		.timeout = 14,
		.remote = r->path.remote};
	r->qp_exists = true;
	r->w = fns_wire_fault_create(&cfg);
	assert_non_null(r->w);
	if (spec) {
		assert_int_equal(fns_fault_parse(spec, &s, err, sizeof(err)), 0);
		fns_wire_fault_set(r->w, &s);
	}
	return r;
}

static inline void rig_free(struct rig *r)
{
	r->w->ops->destroy(r->w);
	assert_int_equal(r->path.refs, 1);
	assert_int_equal(r->views_out, 0);
	free(r->stats);
	free(r);
}

static inline uint64_t counted(const struct rig *r, enum fns_counter c)
{
	return atomic_load(&r->stats->counter[c]);
}

static inline void frame_put(struct rig *r, struct fns_frame *f, struct fns_sg *sg,
	uint8_t *payload, uint32_t psn, const uint32_t *owner)
{
	memset(f, 0, sizeof(*f));
	memset(payload, (int)(psn * 7), PAYLOAD);
	*sg = (struct fns_sg){payload, NULL, PAYLOAD - 3};
	f->path = &r->path;
	f->sg = sg;
	f->nsg = 1;
	f->payload_len = sg->len;
	f->pad = 3;
	f->hdr_len = FNS_BTH_LEN;
	f->owner = (void *)(uintptr_t)owner;
	f->hdr[0] = FNS_OP_SEND_ONLY;
	put_be24(f->hdr + 9, psn);
	f->status = 0xee;
}

/* PSNs [first, first + n) in bursts of 16; all are taken. */
static inline void send_all(struct rig *r, uint32_t first, uint32_t n, const uint32_t *owner)
{
	struct fns_frame f[16];
	struct fns_sg sg[16];
	uint8_t payload[16][PAYLOAD];

	for (uint32_t at = 0; at < n; at += 16) {
		unsigned k = FNS_MIN(16u, n - at);

		for (unsigned i = 0; i < k; i++)
			frame_put(r, &f[i], &sg[i], payload[i], first + at + i, owner);
		r->now += 100;
		assert_int_equal(r->w->ops->tx_burst(r->w, f, k), k);
		for (unsigned i = 0; i < k; i++)
			assert_int_equal(f[i].status, FNS_FRAME_SENT);
	}
}

#endif
