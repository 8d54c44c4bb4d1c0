/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the model application does: draws work requests, prepares memory on both sides so that every
 * effect can be checked, and writes descriptors into the submission ring as pipe/layout.h says.
 * Wrong requests are made here as well.
 */
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* An application that can do nothing looks again as late as this. */
#define SIM_APP_WAIT_NS 500000u

/* --- the ring --- */

bool sim_ring_room(struct sim_host *h, uint32_t n)
{
	uint32_t credit = atomic_load_explicit(&h->sq->credit, memory_order_acquire);

	if (h->produced - credit > h->nslots)
		sim_fail(h->w, "host %u: ring credit %u is ahead of what was produced, %u", h->idx,
			credit, h->produced);
	return h->produced - credit + n <= h->nslots;
}

static uint32_t phase_at(const struct sim_host *h, uint32_t i)
{
	return (i / h->nslots & 1) ^ 1;
}

/* Continuation slots first: a valid head means a whole descriptor. */
void sim_ring_put(struct sim_host *h, const struct fns_sqd *d, const struct fns_sqd_cont *cont,
	uint32_t ncont, uint32_t op, uint32_t flags)
{
	uint32_t i, at;
	struct fns_sqd *s;

	for (i = 0; i < ncont; i++) {
		at = h->produced + 1 + i;
		s = &h->sq->slot[at & (h->nslots - 1)];
		memcpy((char *)s + 4, (const char *)&cont[i] + 4, sizeof(*s) - 4);
		atomic_store_explicit(
			&s->ctl, FNS_SQD_CTL(phase_at(h, at), 0, 0, 0), memory_order_release);
	}
	s = &h->sq->slot[h->produced & (h->nslots - 1)];
	memcpy((char *)s + 4, (const char *)d + 4, sizeof(*s) - 4);
	atomic_store_explicit(&s->ctl, FNS_SQD_CTL(phase_at(h, h->produced), 1 + ncont, op, flags),
		memory_order_release);
	h->produced += 1 + ncont;
	sim_host_wake(h, fns_rng_below(&h->rng, 1000));
}

static void put_sges(struct fns_sqd *d, struct fns_sqd_cont *cont, uint32_t *ncont,
	const struct fns_sqd_sge *sge, uint32_t n)
{
	uint32_t i;

	d->num_sge = (uint8_t)n;
	if (n)
		d->sge0 = sge[0];
	for (i = 1; i < n; i++)
		cont[(i - 1) / FNS_SQD_SGE_CONT].sge[(i - 1) % FNS_SQD_SGE_CONT] = sge[i];
	*ncont = n > 1 ? FNS_DIV_UP(n - 1, FNS_SQD_SGE_CONT) : 0;
}

static uint32_t wake_pace(struct sim_qp *q)
{
	return (uint32_t)sim_rand(&q->host->rng, q->pace_ns / 2, q->pace_ns * 2 + 1);
}

/* --- scattered buffers: pieces in random order with gaps that must stay as they are --- */

static bool scatter(struct sim_host *h, uint32_t len, uint32_t max_sge, bool pending,
	uint32_t align, uint32_t *base, uint32_t *units, struct sim_range *sge, uint8_t *nsge)
{
	uint32_t n = (uint32_t)sim_rand(&h->rng, 1, FNS_MIN(max_sge, SIM_SGE)), i, off, left = len;

	if (align)
		n = 1;
	if (!sim_alloc(h, len + n * 8, align, pending, base, units, &off))
		return false;
	*nsge = (uint8_t)n;
	for (i = 0; i < n; i++) {
		uint32_t cut = i + 1 == n ? left : (uint32_t)fns_rng_below(&h->rng, left + 1);

		sge[i].len = cut;
		left -= cut;
	}
	for (i = n; i-- > 0;) { /* last piece lies first */
		sge[i].off = off;
		off += sge[i].len + 8;
	}
	if (len == 0 && fns_rng_below(&h->rng, 2))
		*nsge = 0;
	return true;
}

static void scatter_fill(
	struct sim_host *h, const struct sim_range *sge, uint32_t n, const uint8_t *src)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		sim_store(h, sge[i].off, src, sge[i].len);
		src += sge[i].len;
	}
}

static void to_sges(
	const struct sim_host *h, const struct sim_range *r, uint32_t n, struct fns_sqd_sge *out)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		out[i] =
			(struct fns_sqd_sge){SIM_IOVA + r[i].off, r[i].len, h->mr[SIM_MR_MAIN].key};
}

/* --- receives --- */

static bool recv_build(struct sim_host *h, struct sim_recv *r, uint32_t len, uint32_t max_sge,
	uint32_t op, uint32_t qpn, uint8_t gen, bool bad_key)
{
	struct fns_sqd d = {.qpn = qpn, .gen = gen};
	struct fns_sqd_cont cont[8] = {0};
	struct fns_sqd_sge sge[SIM_SGE];
	uint32_t ncont;

	if (!sim_ring_room(h, FNS_SQD_MAX_SLOTS) ||
		!scatter(h, len, max_sge, true, 0, &r->base, &r->units, r->sge, &r->nsge))
		return false;
	r->total = len;
	r->used = true;
	r->bad = bad_key;
	r->wr_id = d.wr_id = ++h->next_wr_id;
	to_sges(h, r->sge, r->nsge, sge);
	if (bad_key)
		sge[0].lkey ^= 0x5555;
	put_sges(&d, cont, &ncont, sge, r->nsge);
	sim_ring_put(h, &d, cont, ncont, op, 0);
	sim_trace(h->w, "host %u: receive %llu of %u for %06x", h->idx, (unsigned long long)d.wr_id,
		len, qpn);
	return true;
}

/*
 * Receives take a quarter of the memory at most, requests leave a quarter free, targets that are
 * never free again take three eighths: so nobody starves behind work that waits for him.
 */
static uint32_t recv_share(const struct sim_qp *q, uint32_t len)
{
	uint32_t share = q->host->arena / 4 / q->host->nqp_planned;

	return FNS_MAX(share / (len + 2 * SIM_UNIT), 1);
}

static bool request_room(const struct sim_qp *q)
{
	const struct sim_host *h = q->host, *p = q->peer->host;

	return h->free_units > h->units / 4 && p->free_units > p->units / 4;
}

bool sim_post_recv(struct sim_qp *q)
{
	uint32_t max = FNS_MIN(q->cap.max_recv_wr, SIM_DEPTH);
	uint32_t len = q->recv_len + (q->type == FNS_QPT_UD ? FNS_GRH_LEN : 0);
	bool bad =
		q->peer && q->peer->bad_kind == SIM_BAD_RECV_LKEY && q->rposted == q->peer->bad_at;

	if (q->rposted - q->rdone >= FNS_MIN(max, recv_share(q, len)))
		return false;
	if (q->peer && q->peer->bad_kind == SIM_BAD_RECV_SMALL && q->rposted == 0)
		len = FNS_MAX(len, 1);
	if (!recv_build(q->host, &q->recv[q->rposted % SIM_DEPTH], len, q->cap.max_recv_sge,
		    FNS_WR_RECV, q->qpn, q->gen, bad && len > 0))
		return false;
	if (bad && len > 0)
		q->broken = q->peer->broken = true;
	q->rposted++;
	return true;
}

void sim_post_srq(struct sim_host *h, uint32_t target)
{
	uint32_t i;

	while (h->srq.posted < FNS_MIN(target, h->srq.max_wr)) {
		for (i = 0; h->srecv[i].used; i++)
			;
		if (!recv_build(h, &h->srecv[i],
			    h->srecv_len + (h->w->p.type == FNS_QPT_UD ? FNS_GRH_LEN : 0), 4,
			    FNS_WR_SRQ_RECV, h->srq.handle, 0, false))
			return;
		h->srq.posted++;
	}
}

/* --- sends --- */

static uint32_t msg_new(struct sim_qp *q, uint8_t op, uint32_t len)
{
	struct sim_world *w = q->host->w;

	if (w->nmsg == w->capmsg) {
		w->capmsg = w->capmsg ? 2 * w->capmsg : 512;
		w->msg = realloc(w->msg, w->capmsg * sizeof(*w->msg));
		fns_assert(w->msg);
	}
	w->msg[w->nmsg] =
		(struct sim_msg){.qp = q, .len = len, .op = op, .imm = 0x5a000000 + w->nmsg};
	return w->nmsg++;
}

static void out_push(struct sim_qp *q, uint32_t msg)
{
	if (q->nout == q->capout) {
		q->capout = q->capout ? 2 * q->capout : 64;
		q->out = realloc(q->out, q->capout * sizeof(*q->out));
		fns_assert(q->out);
	}
	q->out[q->nout++] = msg;
}

static enum sim_opw pick_op(struct sim_qp *q)
{
	const struct sim_params *p = &q->host->w->p;
	uint32_t sum = 0, i, r,
		 top = q->type == FNS_QPT_RC   ? SIM_W_COUNT
		       : q->type == FNS_QPT_UC ? SIM_W_READ
					       : SIM_W_WRITE;

	if (q->bad_kind == SIM_BAD_QP_ACCESS || q->bad_kind == SIM_BAD_RECV_LKEY)
		top = SIM_W_WRITE;
	for (i = 0; i < top; i++)
		sum += p->weight[i];
	if (!sum)
		return SIM_W_WRITE;
	r = (uint32_t)fns_rng_below(&q->host->rng, sum);
	for (i = 0; r >= p->weight[i]; i++)
		r -= p->weight[i];
	return (enum sim_opw)i;
}

static uint32_t pick_len(struct sim_qp *q, uint32_t max)
{
	struct fns_rng *r = &q->host->rng;
	uint32_t len;

	if (sim_chance(r, q->host->w->p.bulk_ppm))
		return (uint32_t)sim_rand(r, max / 2, max);
	switch (fns_rng_below(r, 10)) {
	case 0:
		return 0;
	case 1:
	case 2:
	case 3:
		len = (uint32_t)sim_rand(r, 1, 64);
		break;
	case 4:
	case 5:
		len = (uint32_t)sim_rand(r, 65, q->pmtu);
		break;
	case 6:
	case 7:
		len = q->pmtu * (uint32_t)sim_rand(r, 1, 6);
		len += (uint32_t)fns_rng_below(r, 3) - 1;
		break;
	case 8:
		len = (uint32_t)sim_rand(r, 1, FNS_MIN(max, 8192) + 1);
		break;
	default:
		len = (uint32_t)sim_rand(r, 1, max + 1);
		break;
	}
	return FNS_MIN(len, max);
}

/* Draws what the request is about; false when memory for it is lacking now. */
static bool prepare(struct sim_qp *q, struct sim_wr *wr, struct fns_sqd *d,
	struct fns_sqd_cont *cont, enum sim_opw what)
{
	struct sim_host *h = q->host, *p = q->peer->host;
	struct sim_world *w = h->w;
	uint32_t len = 0, off, base, units;
	uint8_t *content = w->tmp;
	bool local_pending = false;

	wr->flush = what == SIM_W_COUNT;
	if (wr->flush)
		what = q->type == FNS_QPT_UD ? SIM_W_SEND : SIM_W_WRITE;
	switch (what) {
	case SIM_W_SEND:
	case SIM_W_SEND_IMM:
	case SIM_W_WRITE:
	case SIM_W_WRITE_IMM: {
		bool write = what == SIM_W_WRITE || what == SIM_W_WRITE_IMM;
		struct sim_msg *m;

		if (!wr->flush)
			len = pick_len(
				q, write ? w->p.max_len : FNS_MIN(q->max_send, w->p.max_len));
		if (q->type == FNS_QPT_UD)
			len = FNS_MIN(len, q->pmtu);
		base = units = off = 0;
		if (write && len &&
			((q->type != FNS_QPT_RC && p->free_units < p->units * 5 / 8) ||
				!sim_alloc(p, len, 0, true, &base, &units, &off))) {
			if (q->type == FNS_QPT_RC)
				return false;
			len = 0; /* targets of an unreliable WRITE are never free again */
		}
		if (!scatter(h, len, q->cap.max_send_sge, false, 0, &wr->base, &wr->units, wr->sge,
			    &wr->nsge)) {
			sim_free(p, base, units);
			return false;
		}
		wr->op = what == SIM_W_SEND       ? FNS_WR_SEND
			 : what == SIM_W_SEND_IMM ? FNS_WR_SEND_IMM
			 : what == SIM_W_WRITE    ? FNS_WR_WRITE
						  : FNS_WR_WRITE_IMM;
		wr->msg = msg_new(q, wr->op, len) + 1;
		m = &w->msg[wr->msg - 1];
		m->has_imm = what == SIM_W_SEND_IMM || what == SIM_W_WRITE_IMM;
		m->dst_host = p->idx;
		m->dst_off = off;
		m->dst_units = units;
		m->holds = (uint8_t)(1 + (what == SIM_W_WRITE_IMM));
		if (what != SIM_W_WRITE)
			out_push(q, wr->msg - 1);
		sim_content(sim_msg_seed(w, wr->msg - 1), content, len);
		d->imm = m->imm;
		d->remote_addr = SIM_IOVA + off;
		d->rkey = len || !write ? p->mr[SIM_MR_MAIN].key : 0xdeadbeef;
		if (q->type == FNS_QPT_UD) {
			d->ud.ah = q->ah;
			d->ud.remote_qpn = q->peer->qpn;
			d->qkey = SIM_SEND_Q;
		}
		break;
	}
	case SIM_W_READ:
		len = pick_len(q, w->p.max_len);
		if (len && !sim_alloc(p, len, 0, false, &base, &wr->runits, &wr->roff))
			return false;
		if (!scatter(h, len, q->cap.max_send_sge, true, 0, &wr->base, &wr->units, wr->sge,
			    &wr->nsge)) {
			sim_free(p, wr->roff / SIM_UNIT, wr->runits);
			return false;
		}
		wr->op = FNS_WR_READ;
		wr->content = sim_mix(w->seed + h->next_wr_id * 977 + q->qpn);
		sim_content(wr->content, content, len);
		if (len)
			sim_store(p, wr->roff, content, len);
		d->remote_addr = SIM_IOVA + wr->roff;
		d->rkey = len ? p->mr[SIM_MR_MAIN].key : 0xdeadbeef;
		local_pending = true;
		break;
	case SIM_W_CAS:
	case SIM_W_FAA: {
		struct sim_counter *c;
		struct sim_atomic *r;
		bool cas = what == SIM_W_CAS;

		if (!scatter(h, 8, 1, true, 0, &wr->base, &wr->units, wr->sge, &wr->nsge))
			return false;
		len = 8;
		wr->counter = (uint32_t)fns_rng_below(&h->rng, SIM_COUNTER / 2) +
			      (cas ? SIM_COUNTER / 2 : 0);
		c = &p->counter[wr->counter];
		if (c->nrec == c->cap) {
			c->cap = c->cap ? 2 * c->cap : 32;
			c->rec = realloc(c->rec, c->cap * sizeof(*c->rec));
			fns_assert(c->rec);
		}
		wr->record = c->nrec++;
		r = &c->rec[wr->record];
		*r = (struct sim_atomic){.cas = cas, .invoked = w->now, .done = UINT64_MAX};
		if (cas) {
			memcpy(&r->a, p->mem + c->off, 8); /* a guess: others may be faster */
			r->a ^= fns_rng_below(&h->rng, 8) == 0;
			r->b = sim_mix(h->next_wr_id * 64 + h->idx) << 1;
		} else {
			r->a = sim_rand(&h->rng, 1, 1000000);
		}
		wr->op = cas ? FNS_WR_CMP_SWAP : FNS_WR_FETCH_ADD;
		d->remote_addr = SIM_IOVA + c->off;
		d->rkey = p->mr[SIM_MR_MAIN].key;
		cont[0].atomic.compare = cas ? r->a : 0;
		cont[0].atomic.swap_add = cas ? r->b : r->a;
		local_pending = true;
		break;
	}
	case SIM_W_CELL_WRITE:
	case SIM_W_CELL_READ: {
		uint32_t i;

		if (!q->cell_words)
			return false;
		wr->cell = true;
		len = q->cell_words * 8;
		if (!scatter(h, len, what == SIM_W_CELL_READ ? q->cap.max_send_sge : 1,
			    what == SIM_W_CELL_READ, 0, &wr->base, &wr->units, wr->sge, &wr->nsge))
			return false;
		d->remote_addr = SIM_IOVA + q->cell_off;
		d->rkey = p->mr[SIM_MR_MAIN].key;
		if (what == SIM_W_CELL_WRITE) {
			wr->op = FNS_WR_WRITE;
			wr->ver = ++q->cell_ver;
			for (i = 0; i < q->cell_words; i++) {
				uint64_t v = (uint64_t)wr->ver << 20 | i;

				memcpy(content + 8 * i, &v, 8);
			}
		} else {
			wr->op = FNS_WR_READ;
			wr->ver = q->cell_ver;
			local_pending = true;
		}
		break;
	}
	default:
		return false;
	}
	wr->len = len;
	if (!local_pending)
		scatter_fill(h, wr->sge, wr->nsge, content);
	return true;
}

/* --- requests wrong on purpose --- */

uint8_t sim_bad_remote(uint8_t bad)
{
	return bad >= SIM_BAD_RKEY && bad <= SIM_BAD_QP_ACCESS;
}

bool sim_bad_status_ok(uint8_t bad, uint8_t status)
{
	switch (bad) {
	case SIM_BAD_RKEY:
	case SIM_BAD_BOUNDS:
	case SIM_BAD_ACCESS:
	case SIM_BAD_PD:
		return status == FNS_WC_REM_ACCESS_ERR;
	case SIM_BAD_ALIGN:
	case SIM_BAD_RECV_SMALL:
		return status == FNS_WC_REM_INV_REQ_ERR;
	case SIM_BAD_QP_ACCESS:
		return status == FNS_WC_REM_INV_REQ_ERR || status == FNS_WC_REM_ACCESS_ERR;
	case SIM_BAD_LKEY:
	case SIM_BAD_LBOUNDS:
	case SIM_BAD_LPD:
	case SIM_BAD_LACCESS:
		return status == FNS_WC_LOC_PROT_ERR;
	default:
		return false;
	}
}

static bool prepare_bad(struct sim_qp *q, struct sim_wr *wr, struct fns_sqd *d,
	struct fns_sqd_cont *cont, struct fns_sqd_sge *sge)
{
	struct sim_host *h = q->host, *p = q->peer->host;
	uint32_t kind = (uint32_t)fns_rng_below(&h->rng, 3), len = pick_len(q, 20000);
	uint8_t bad = q->bad_kind;
	const struct sim_mr *mr = &p->mr[SIM_MR_SMALL];

	len = FNS_MAX(len, 16);
	if (!sim_bad_remote(bad))
		len = FNS_MIN(len, mr->len); /* what is wrong must be wrong alone */
	if (bad == SIM_BAD_ALIGN)
		kind = 2;
	if (bad == SIM_BAD_LACCESS)
		kind = 1 + (uint32_t)fns_rng_below(&h->rng, 2);
	if (bad == SIM_BAD_RECV_SMALL) {
		kind = 3;
		len = q->peer->recv_len + (uint32_t)sim_rand(&h->rng, 1, 5000);
	}
	if (q->type != FNS_QPT_RC && kind < 3)
		kind = 0;
	if (kind == 2)
		len = 8;
	if (!scatter(h, len, 1, true, 0, &wr->base, &wr->units, wr->sge, &wr->nsge))
		return false;
	wr->op = kind == 0   ? FNS_WR_WRITE
		 : kind == 1 ? FNS_WR_READ
		 : kind == 2 ? FNS_WR_FETCH_ADD
			     : FNS_WR_SEND;
	wr->len = len;
	wr->bad = bad;
	d->remote_addr = SIM_IOVA + mr->off;
	d->rkey = mr->key;
	cont[0].atomic.swap_add = 1;
	to_sges(h, wr->sge, wr->nsge, sge);
	switch (bad) {
	case SIM_BAD_RKEY:
		d->rkey ^= 1u << fns_rng_below(&h->rng, 32);
		break;
	case SIM_BAD_BOUNDS:
		if (kind != 2 && fns_rng_below(&h->rng, 2) == 0)
			d->remote_addr -= sim_rand(&h->rng, 1, 64);
		else
			d->remote_addr += mr->len - (kind == 2 ? 0 : sim_rand(&h->rng, 0, len - 1));
		break;
	case SIM_BAD_ACCESS:
		mr = &p->mr[kind == 1 ? SIM_MR_NONE : SIM_MR_RO];
		d->remote_addr = SIM_IOVA + mr->off;
		d->rkey = mr->key;
		break;
	case SIM_BAD_PD:
		d->remote_addr = SIM_IOVA + p->mr[SIM_MR_PD2].off;
		d->rkey = p->mr[SIM_MR_PD2].key;
		break;
	case SIM_BAD_ALIGN:
		d->remote_addr += sim_rand(&h->rng, 1, 7);
		break;
	case SIM_BAD_LKEY:
		sge[0].lkey ^= 1u << fns_rng_below(&h->rng, 32);
		break;
	case SIM_BAD_LBOUNDS:
		mr = &h->mr[SIM_MR_SMALL];
		sge[0].addr = SIM_IOVA + mr->off + mr->len - (kind == 2 ? 4 : len - 1);
		sge[0].lkey = mr->key;
		break;
	case SIM_BAD_LPD:
		sge[0].addr = SIM_IOVA + h->mr[SIM_MR_PD2].off;
		sge[0].lkey = h->mr[SIM_MR_PD2].key;
		break;
	case SIM_BAD_LACCESS:
		sge[0].addr = SIM_IOVA + h->mr[SIM_MR_LRO].off;
		sge[0].lkey = h->mr[SIM_MR_LRO].key;
		break;
	}
	q->broken = q->peer->broken = true;
	q->expect_bad = bad;
	return true;
}

static bool is_send_op(uint8_t op)
{
	return op == FNS_WR_SEND || op == FNS_WR_SEND_IMM || op == FNS_WR_WRITE ||
	       op == FNS_WR_WRITE_IMM;
}

static void put_inline(struct fns_sqd *d, struct fns_sqd_cont *cont, uint32_t *ncont,
	const uint8_t *src, uint32_t len)
{
	uint32_t n = FNS_MIN(len, FNS_SQD_INLINE0), i;

	d->inline_len = (uint16_t)len;
	d->num_sge = 0;
	memcpy(d->inline0, src, n);
	for (i = 0, src += n, len -= n; len; i++, src += n, len -= n) {
		n = FNS_MIN(len, FNS_SQD_INLINE_CONT);
		memcpy(cont[i].data, src, n);
	}
	*ncont = i;
}

static bool must_signal(const struct sim_qp *q)
{
	return q->posted + 1 >= q->todo || q->posted - q->retired + 1 >= q->cap.max_send_wr ||
	       q->posted % 8 == 7;
}

/*
 * Requests without a completion hold all the memory that there is for this queue pair, and none is
 * under way that will have one: as an application must, it asks for one, by an empty request.
 */
static bool must_flush(const struct sim_qp *q)
{
	uint32_t i;

	if (q->bad_kind || q->posted == q->retired || q->next_app < SIM_APP_WAIT_NS ||
		request_room(q))
		return false;
	for (i = q->retired; i != q->posted; i++)
		if (q->wr[i % SIM_DEPTH].signaled)
			return false;
	return true;
}

static bool post_one(struct sim_qp *q)
{
	struct sim_host *h = q->host;
	struct sim_wr wr = {0};
	struct fns_sqd d = {.qpn = q->qpn, .gen = q->gen};
	struct fns_sqd_cont cont[FNS_SQD_MAX_SLOTS] = {0};
	struct fns_sqd_sge sge[SIM_SGE];
	uint32_t flags = 0, ncont = 0;
	bool flush = must_flush(q);

	if (q->posted - q->retired >= FNS_MIN(q->cap.max_send_wr, SIM_DEPTH) ||
		!sim_ring_room(h, FNS_SQD_MAX_SLOTS) || (!flush && !request_room(q)))
		return false;
	if (flush) {
		if (!prepare(q, &wr, &d, cont, SIM_W_COUNT))
			return false;
		to_sges(h, wr.sge, wr.nsge, sge);
	} else if (q->bad_kind != SIM_BAD_NONE && q->bad_kind != SIM_BAD_RECV_LKEY &&
		   q->posted == q->bad_at) {
		if (!prepare_bad(q, &wr, &d, cont, sge))
			return false;
	} else if (!prepare(q, &wr, &d, cont, pick_op(q))) {
		return false;
	} else {
		to_sges(h, wr.sge, wr.nsge, sge);
	}
	wr.wr_id = d.wr_id = ++h->next_wr_id;
	wr.signaled = flush || q->sig_all || must_signal(q) || h->w->p.greedy ||
		      fns_rng_below(&h->rng, 2);
	if (wr.signaled && (!q->sig_all || fns_rng_below(&h->rng, 2)))
		flags |= FNS_WRF_SIGNALED;
	if (fns_rng_below(&h->rng, 8) == 0 && !h->w->p.greedy)
		flags |= FNS_WRF_FENCE;
	if (fns_rng_below(&h->rng, 4) == 0)
		flags |= FNS_WRF_SOLICITED;
	if (!wr.bad && is_send_op(wr.op) && wr.len <= q->cap.max_inline &&
		fns_rng_below(&h->rng, 2)) {
		flags |= FNS_WRF_INLINE;
		put_inline(&d, cont, &ncont, h->w->tmp, wr.len);
	} else if (wr.op == FNS_WR_CMP_SWAP || wr.op == FNS_WR_FETCH_ADD) {
		d.num_sge = 1;
		d.sge0 = sge[0];
		ncont = 1;
	} else {
		put_sges(&d, cont, &ncont, sge, wr.nsge);
	}
	q->wr[q->posted % SIM_DEPTH] = wr;
	q->posted++;
	h->w->wrs++;
	sim_trace(h->w, "qp %06x: post #%u wr %llu op %u len %u sges %u flags %x%s%s", q->qpn,
		q->posted - 1, (unsigned long long)wr.wr_id, wr.op, wr.len, wr.nsge, flags,
		wr.cell ? " cell" : "", wr.bad ? " BAD" : "");
	sim_ring_put(h, &d, cont, ncont, wr.op, flags);
	return true;
}

void sim_app_later(struct sim_qp *q, uint64_t delay_ns)
{
	q->app_seq = (q->app_seq + 1) & 0xffff;
	sim_push(q->host->w, q->host->w->now + delay_ns, SIM_EV_APP, q->host->idx,
		q->idx << 16 | q->app_seq, NULL);
}

static void post_recvs(struct sim_qp *q)
{
	struct sim_host *h = q->host;
	uint32_t n = (uint32_t)sim_rand(&h->rng, 1, 8);

	if (h->w->p.no_recv || sim_chance(&h->rng, q->late_ppm))
		return;
	/* flushed at once, and again, for as long as others have work */
	if (q->recv_seen & 1 && fns_rng_below(&h->rng, 64))
		return;
	if (q->use_srq)
		sim_post_srq(h, h->srq.posted + n);
	else
		while (n-- && !q->failed && sim_post_recv(q))
			;
}

void sim_app(struct sim_qp *q)
{
	struct sim_host *h = q->host;
	struct sim_world *w = h->w;
	uint32_t burst = (uint32_t)sim_rand(&h->rng, 1, 6), before = q->posted + q->rposted;

	if (!q->alive || w->quiet || h->dead || q->stopped)
		return;
	if (w->now < h->paused_until) {
		sim_app_later(q, h->paused_until - w->now);
		return;
	}
	post_recvs(q);
	if (q->failed && q->todo > q->posted + 3)
		q->todo = q->posted + (uint32_t)fns_rng_below(&h->rng, 3); /* these are flushed */
	while (burst-- && q->posted < q->todo && post_one(q))
		;
	q->next_app = before == q->posted + q->rposted
			      ? FNS_MIN(q->next_app * 2 + 1000, SIM_APP_WAIT_NS)
			      : wake_pace(q);
	if (w->p.greedy)
		q->next_app = FNS_MIN(q->next_app, 1000);
	sim_app_later(q, q->next_app);
}
