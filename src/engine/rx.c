/* SPDX-License-Identifier: Apache-2.0 */
/* Received packets find their queue pair. Datapath 6/9: from wire to transport. */
#include "base/bytes.h"
#include "engine/engine_priv.h"

/* Checks common to all transports (IBTA 9.6). NULL: dropped and counted. */
static struct fns_qp *demux(struct fns_engine *e, const struct fns_rx_view *v, struct fns_hdr *h)
{
	struct fns_stats *st = e->nic.stats;
	struct fns_qp *qp;

	if (fns_hdr_parse(v->data, v->len, h) != FNS_HDR_OK) {
		fns_count(st, FNS_C_drop_header);
		return NULL;
	}
	/* Payload to be fetched: of what the wire's other end lends, SENDs of RC. */
	if (fns_unlikely(v->lent)) {
		if (h->payload_len || h->pad || (h->opcode & 0xe0) != FNS_TC_RC ||
			!(h->info->flags & FNS_OPF_SEND) || (h->info->flags & FNS_OPF_IETH)) {
			fns_count(st, FNS_C_drop_header);
			return NULL;
		}
		h->payload_len = v->lent;
	}
	qp = fns_engine_qp(e, h->dest_qp);
	if (fns_unlikely(!qp)) {
		fns_count(st, FNS_C_drop_no_qp);
		return NULL;
	}
	if (fns_unlikely((h->opcode & 0xe0) != qp->ops->tclass) &&
		((h->opcode != FNS_OP_CNP && h->opcode != FNS_OP_SACK) || qp->type != FNS_QPT_RC)) {
		fns_count(st, FNS_C_drop_qp_type);
		return NULL;
	}
	/* Membership bits may differ, but not both be limited (IBTA 10.9.3); we hold a full key of
	 * the default partition. */
	if (fns_unlikely((h->pkey & 0x7fff) != (FNS_PKEY_DEFAULT & 0x7fff))) {
		fns_count(st, FNS_C_drop_pkey);
		return NULL;
	}
	if (qp->type != FNS_QPT_UD &&
		fns_unlikely(!qp->path || !fns_gid_equal(&v->src, &qp->path->remote))) {
		fns_count(st, qp->path ? FNS_C_drop_source : FNS_C_drop_qp_state);
		return NULL;
	}
	return qp;
}

/* So many packets ahead their queue pairs are fetched from memory. */
#define AHEAD 6u

static void look_ahead(const struct fns_engine *e, const struct fns_rx_view *v)
{
	/* The header is checked when its turn comes: here any number will do. */
	uint32_t index = v->len >= FNS_BTH_LEN ? get_be16(v->data + 6) : 0;
	const struct fns_qp *qp = e->qps[index];

	if (qp) {
		fns_qp_prefetch(qp);
		__builtin_prefetch(&e->nic.stats->qp[index], 1);
	}
}

unsigned fns_engine_receive(struct fns_engine *e)
{
	struct fns_wire *wire = e->nic.wire;
	unsigned n = wire->ops->rx_burst(wire, e->views, FNS_RX_BATCH), i, ahead = 0;

	if (n > 1 && e->nqps >= FNS_MANY_QPS) {
		ahead = n > AHEAD ? n - AHEAD : 0;
		for (i = 1; i < FNS_MIN(n, AHEAD); i++)
			look_ahead(e, &e->views[i]);
	}
	for (i = 0; i < n; i++) {
		struct fns_rx_view *v = &e->views[i];
		struct fns_hdr h;
		struct fns_qp *qp;

		if (i < ahead)
			look_ahead(e, v + AHEAD);
		qp = demux(e, v, &h);
		e->nic.rx = v;
		if (!qp || !qp->ops->rx(qp, &h, v))
			wire->ops->rx_release(wire, v);
	}
	return n;
}
