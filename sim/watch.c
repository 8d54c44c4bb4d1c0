/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at every packet that leaves an engine: it must parse, be addressed as its path says, and,
 * for reliable connections, keep to the PSN window and the order of packets in messages. Called by
 * the simulated wire before any fault.
 */
#include "sim/sim.h"

#include "roce/psn.h"

struct sim_qp *sim_qp_talking_to(struct sim_host *h, uint32_t dst, uint32_t dest_qp)
{
	unsigned i;

	for (i = 0; i < h->nqp; i++)
		if (h->qp[i]->alive && h->qp[i]->peer && h->qp[i]->peer->host->idx == dst &&
			h->qp[i]->peer->qpn == dest_qp)
			return h->qp[i];
	return NULL;
}

/* New PSNs come without a gap and messages in a legal sequence; nothing from outside the window. */
static void watch_request(struct sim_qp *q, const struct fns_hdr *p, uint32_t len)
{
	struct sim_world *w = q->host->w;
	uint32_t f = p->info->flags, n = 1;
	int32_t ahead;

	if (f & FNS_OPF_READ_REQ)
		n = p->dma_len ? FNS_DIV_UP(p->dma_len, q->pmtu) : 1;
	if (!q->watching) {
		q->watching = true;
		q->next_psn = q->first_psn = q->sq_psn;
	}
	ahead = psn_diff(p->psn, q->next_psn);
	if (ahead > 0 && !w->p.frame_fault_ppm) {
		sim_fail(w, "qp %06x: request with PSN %06x, next is %06x", q->qpn, p->psn,
			q->next_psn);
		return;
	}
	if (f & (FNS_OPF_FIRST | FNS_OPF_MIDDLE) ? p->payload_len != q->pmtu
						 : p->payload_len > q->pmtu)
		sim_fail(w, "qp %06x: %s of %u bytes with PMTU %u", q->qpn, p->info->name,
			p->payload_len, q->pmtu);
	if ((f & FNS_OPF_LAST) && p->payload_len == 0)
		sim_fail(w, "qp %06x: empty %s", q->qpn, p->info->name);
	if (ahead < 0 && psn_diff(psn_add(p->psn, n), q->next_psn) <= 0)
		return;
	if (ahead == 0) {
		if (!!(f & (FNS_OPF_MIDDLE | FNS_OPF_LAST)) != q->in_msg && !w->p.frame_fault_ppm)
			sim_fail(w, "qp %06x: %s out of sequence", q->qpn, p->info->name);
		q->in_msg = !!(f & (FNS_OPF_FIRST | FNS_OPF_MIDDLE));
	}
	q->next_psn = psn_add(p->psn, n);
}

void sim_watch_tx(struct sim_host *h, const uint8_t *pkt, uint32_t len, uint32_t dst)
{
	struct fns_hdr p;
	struct sim_qp *q;

	if (fns_hdr_parse(pkt, len - FNS_ICRC_LEN, &p) != FNS_HDR_OK) {
		sim_fail(h->w,
			"host %u: sends a packet that does not parse (opcode %02x, %u bytes)",
			h->idx, pkt[0], len);
		return;
	}
	sim_trace(h->w, "tx %u>%u qp %06x psn %06x %s len %u%s%s syn %02x", h->idx, dst, p.dest_qp,
		p.psn, p.info->name, p.payload_len, p.ack_req ? " A" : "", p.solicited ? " S" : "",
		p.info->flags & FNS_OPF_AETH ? p.syndrome : 0);
	if (p.dest_qp >> 16 != h->w->host[dst]->prefix)
		sim_fail(h->w, "host %u: packet to %06x on a path of another prefix", h->idx,
			p.dest_qp);
	q = sim_qp_talking_to(h, dst, p.dest_qp);
	if (!q || q->type != FNS_QPT_RC)
		return;
	if (p.opcode == FNS_OP_CNP)
		return;
	if (p.info->flags & FNS_OPF_REQUEST)
		watch_request(q, &p, len);
	else if (q->peer->watching && psn_diff(p.psn, q->peer->next_psn) >= 0 &&
		 (p.syndrome & FNS_AETH_TYPE_MASK) != FNS_AETH_NAK)
		sim_fail(h->w, "qp %06x: %s with PSN %06x, which was never asked for", q->qpn,
			p.info->name, p.psn);
}
