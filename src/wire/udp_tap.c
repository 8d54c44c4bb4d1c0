/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UDP wire as its watcher sees it: trains cut into the packets that they become, with the
 * headers that the kernel puts in front. Off the datapath: called by udp_tx.c and udp_rx.c only
 * while there is a tap.
 */
#include "wire/udp_priv.h"

void fns_udp_tap_tx(struct udp_wire *w, const struct udp_layout *l, const struct udp_train *t)
{
	const struct udp_path *path = t->path;
	struct fns_tap_packet p = {
		.src = path->base.local,
		.dst = path->base.remote,
		.sport = path->ts->sport,
		.dport = w->cfg.port,
		.tos = path->base.tos,
		.ttl = path->base.ttl,
		.out = true,
		.iov = l->iov + t->iov_first,
		.drop = FNS_C_COUNT,
	};

	for (uint32_t i = 0; i < t->nseg; i++) {
		p.skip = i * t->seg_len;
		p.len = i + 1 < t->nseg ? t->seg_len : t->bytes - p.skip;
		p.ip_id = (int32_t)i; /* see udp_path.c */
		w->base.tap->packet(w->base.tap, &p);
	}
}

void fns_udp_tap_rx(struct udp_wire *w, const struct udp_rxbuf *b, uint8_t *data, uint32_t len,
	enum fns_counter drop)
{
	struct iovec iov = {data, len};
	struct fns_tap_packet p = {
		.src = b->src,
		.dst = b->dst,
		.sport = b->sport,
		.dport = w->lport,
		.tos = b->tos,
		.ttl = b->ttl,
		.ip_id = -1,
		.iov = &iov,
		.len = len,
		.drop = drop,
	};

	w->base.tap->packet(w->base.tap, &p);
}
