/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the model application demands of every completion, of memory behind it, and of the packets
 * on the wire. Each check names what it found, so that a failing seed explains itself.
 */
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* --- helpers --- */

/* Pieces hold content, gaps and the rest of the allocation what they held before. skip: leading
 * bytes that may be anything. */
static bool scattered_ok(struct sim_host *h, uint32_t base, uint32_t units,
	const struct sim_range *sge, uint32_t n, const uint8_t *content, uint32_t len,
	uint32_t skip)
{
	uint8_t *want = h->w->tmp + 2 * SIM_MAX_MSG;
	uint32_t start = base * SIM_UNIT, i, at = 0;

	fns_assert(units * SIM_UNIT <= 4 * SIM_MAX_MSG);
	memcpy(want, h->shadow + start, units * SIM_UNIT);
	for (i = 0; i < n && at < len; i++) {
		uint32_t take = FNS_MIN(sge[i].len, len - at), k = 0;

		for (; k < take && at + k < skip; k++)
			want[sge[i].off - start + k] = h->mem[sge[i].off + k];
		memcpy(want + sge[i].off - start + k, content + at + k, take - k);
		at += take;
	}
	return at == len && memcmp(want, h->mem + start, units * SIM_UNIT) == 0;
}

static void give_back(struct sim_host *h, uint32_t base, uint32_t units)
{
	sim_settle(h, base, units);
	sim_free(h, base, units);
}

/* The requester's or the receiver's interest in a WRITE's target ends. */
static void target_release(struct sim_world *w, struct sim_msg *m)
{
	if (m->holds && --m->holds == 0 && !m->uncertain)
		give_back(w->host[m->dst_host], m->dst_off / SIM_UNIT, m->dst_units);
}

static bool target_ok(struct sim_world *w, uint32_t msg)
{
	struct sim_msg *m = &w->msg[msg];
	struct sim_host *h = w->host[m->dst_host];

	if (!m->dst_units)
		return true;
	sim_content(sim_msg_seed(w, msg), w->tmp, m->len);
	return scattered_ok(h, m->dst_off / SIM_UNIT, m->dst_units,
		&(struct sim_range){m->dst_off, m->len}, 1, w->tmp, m->len, 0);
}

/* --- requester --- */

static void cell_read_check(struct sim_qp *q, struct sim_wr *wr)
{
	struct sim_host *h = q->host;
	uint32_t i, k, n = 0;
	uint8_t *got = h->w->tmp;

	for (k = 0; k < wr->nsge; k++) {
		memcpy(got + n, h->mem + wr->sge[k].off, wr->sge[k].len);
		n += wr->sge[k].len;
	}
	for (i = 0; i < q->cell_words; i++) {
		uint64_t v;

		memcpy(&v, got + 8 * i, 8);
		if ((v & 0xfffff) != i || v >> 20 < wr->ver || v >> 20 > q->cell_ver) {
			sim_fail(h->w,
				"qp %06x: READ wr %llu got version %llu of word %u, legal are %u..%u",
				q->qpn, (unsigned long long)wr->wr_id,
				(unsigned long long)(v >> 20), i, wr->ver, q->cell_ver);
			return;
		}
	}
}

static void wr_success(struct sim_qp *q, struct sim_wr *wr)
{
	struct sim_host *h = q->host;
	struct sim_world *w = h->w;
	struct sim_msg *m = wr->msg ? &w->msg[wr->msg - 1] : NULL;
	bool reliable = q->type == FNS_QPT_RC;

	if (wr->bad && (reliable || wr->bad != SIM_BAD_RECV_SMALL))
		sim_fail(w, "qp %06x: wrong request (kind %u) wr %llu succeeded", q->qpn, wr->bad,
			(unsigned long long)wr->wr_id);
	switch (wr->op) {
	case FNS_WR_SEND:
	case FNS_WR_SEND_IMM:
	case FNS_WR_WRITE_IMM:
		if (reliable && m && !q->broken && q->peer->alive && !q->peer->rcq->events &&
			!q->peer->rcq->poll_delay_ns && !q->peer->rcq->never_poll && !m->delivered)
			sim_fail(w,
				"qp %06x: wr %llu (message %u) completed before it was received",
				q->qpn, (unsigned long long)wr->wr_id, wr->msg - 1);
		if (wr->op != FNS_WR_WRITE_IMM)
			break;
		/* fall through */
	case FNS_WR_WRITE:
		if (!m)
			break;
		if (!reliable) {
			m->uncertain = true; /* lost, or repeated by the network at any time */
		} else if (!m->uncertain && m->holds && !target_ok(w, wr->msg - 1)) {
			sim_fail(w,
				"qp %06x: WRITE wr %llu (message %u) completed, but its %u bytes are not there",
				q->qpn, (unsigned long long)wr->wr_id, wr->msg - 1, m->len);
		}
		target_release(w, m);
		break;
	case FNS_WR_READ:
		if (wr->bad)
			break;
		if (wr->cell) {
			cell_read_check(q, wr);
			break;
		}
		sim_content(wr->content, w->tmp, wr->len);
		if (!scattered_ok(h, wr->base, wr->units, wr->sge, wr->nsge, w->tmp, wr->len, 0))
			sim_fail(w, "qp %06x: READ wr %llu of %u bytes got wrong data", q->qpn,
				(unsigned long long)wr->wr_id, wr->len);
		break;
	case FNS_WR_CMP_SWAP:
	case FNS_WR_FETCH_ADD: {
		struct sim_atomic *r;

		if (wr->bad)
			break;
		r = &q->peer->host->counter[wr->counter].rec[wr->record];
		memcpy(&r->orig, h->mem + wr->sge[0].off, 8);
		r->done = w->now;
		r->ok = true;
		break;
	}
	}
}

static void wr_failed(struct sim_qp *q, struct sim_wr *wr)
{
	struct sim_world *w = q->host->w;

	if (wr->msg) {
		w->msg[wr->msg - 1].uncertain = true;
		target_release(w, &w->msg[wr->msg - 1]);
	}
	if (!wr->bad && (wr->op == FNS_WR_CMP_SWAP || wr->op == FNS_WR_FETCH_ADD))
		q->peer->host->counter[wr->counter].rec[wr->record].failed = true;
}

static void wr_finish(struct sim_qp *q, struct sim_wr *wr, bool ok)
{
	if (ok)
		wr_success(q, wr);
	else
		wr_failed(q, wr);
	give_back(q->host, wr->base, wr->units);
	if (wr->runits)
		sim_free(q->peer->host, wr->roff / SIM_UNIT, wr->runits);
	wr->runits = wr->units = 0;
}

static uint8_t wc_opcode(uint8_t op)
{
	switch (op) {
	case FNS_WR_WRITE:
	case FNS_WR_WRITE_IMM:
		return FNS_WC_WRITE;
	case FNS_WR_READ:
		return FNS_WC_READ;
	case FNS_WR_CMP_SWAP:
		return FNS_WC_COMP_SWAP;
	case FNS_WR_FETCH_ADD:
		return FNS_WC_FETCH_ADD;
	}
	return FNS_WC_SEND;
}

static void send_error(struct sim_qp *q, struct sim_wr *wr, const struct fns_cqe *c)
{
	struct sim_world *w = q->host->w;

	w->errors++;
	if (!q->broken)
		sim_fail(w,
			"qp %06x: wr %llu op %u len %u fails with status %u (vendor %u) for no reason",
			q->qpn, (unsigned long long)wr->wr_id, wr->op, wr->len, c->status,
			c->vendor_err);
	else if (q->failed && c->status != FNS_WC_WR_FLUSH_ERR)
		sim_fail(w, "qp %06x: wr %llu has status %u after a failure", q->qpn,
			(unsigned long long)wr->wr_id, c->status);
	else if (wr->bad && !q->failed && !sim_bad_status_ok(wr->bad, c->status) &&
		 c->status != FNS_WC_WR_FLUSH_ERR)
		sim_fail(w, "qp %06x: wrong request (kind %u op %u len %u) has status %u", q->qpn,
			wr->bad, wr->op, wr->len, c->status);
	else if (!wr->bad && !q->failed && q->expect_bad && !w->ending &&
		 c->status != FNS_WC_WR_FLUSH_ERR)
		sim_fail(w,
			"qp %06x: wr %llu op %u has status %u, but another one is wrong (kind %u)",
			q->qpn, (unsigned long long)wr->wr_id, wr->op, c->status, q->expect_bad);
	if (wr->bad && c->status != FNS_WC_WR_FLUSH_ERR)
		q->bad_seen = true;
	q->failed = true;
}

static void send_cqe(struct sim_qp *q, const struct fns_cqe *c)
{
	struct sim_world *w = q->host->w;
	uint32_t n = c->wqe_count - q->retired, i;
	struct sim_wr *wr;

	if (n == 0 || n > q->posted - q->retired) {
		sim_fail(w,
			"qp %06x: completion of wr %llu counts %u retired, of %u posted %u were",
			q->qpn, (unsigned long long)c->wr_id, c->wqe_count, q->posted, q->retired);
		return;
	}
	for (i = 0; i + 1 < n; i++) {
		wr = &q->wr[q->retired % SIM_DEPTH];
		if (wr->signaled || q->failed) {
			sim_fail(w, "qp %06x: wr %llu had no completion", q->qpn,
				(unsigned long long)wr->wr_id);
			return;
		}
		wr_finish(q, wr, true);
		q->retired++;
	}
	wr = &q->wr[q->retired % SIM_DEPTH];
	if (wr->wr_id != c->wr_id) {
		sim_fail(w, "qp %06x: completion of wr %llu, expected %llu", q->qpn,
			(unsigned long long)c->wr_id, (unsigned long long)wr->wr_id);
		return;
	}
	if (c->status != FNS_WC_SUCCESS)
		send_error(q, wr, c);
	else if (q->failed)
		sim_fail(w, "qp %06x: wr %llu succeeds after a failure", q->qpn,
			(unsigned long long)wr->wr_id);
	else if (!wr->signaled)
		sim_fail(w, "qp %06x: completion of unsignalled wr %llu", q->qpn,
			(unsigned long long)wr->wr_id);
	else if (c->opcode != wc_opcode(wr->op))
		sim_fail(w, "qp %06x: wr %llu has opcode %u", q->qpn, (unsigned long long)wr->wr_id,
			c->opcode);
	else if (wr->op >= FNS_WR_READ && c->byte_len != wr->len)
		sim_fail(w, "qp %06x: wr %llu op %u has byte_len %u instead of %u", q->qpn,
			(unsigned long long)wr->wr_id, wr->op, c->byte_len, wr->len);
	wr_finish(q, wr, c->status == FNS_WC_SUCCESS);
	q->retired++;
}

/* --- receiver --- */

static struct sim_recv *recv_find(struct sim_qp *q, const struct fns_cqe *c)
{
	struct sim_host *h = q->host;
	uint32_t i;

	if (q->use_srq) {
		for (i = 0; i < h->srq.max_wr; i++)
			if (h->srecv[i].used && h->srecv[i].wr_id == c->wr_id)
				return &h->srecv[i];
		return NULL;
	}
	if (q->rdone == q->rposted || q->recv[q->rdone % SIM_DEPTH].wr_id != c->wr_id)
		return NULL;
	return &q->recv[q->rdone % SIM_DEPTH];
}

static bool recv_matches(
	struct sim_qp *q, const struct sim_recv *r, const struct fns_cqe *c, uint32_t msg)
{
	struct sim_world *w = q->host->w;
	struct sim_msg *m = &w->msg[msg];
	uint32_t skip = q->type == FNS_QPT_UD ? FNS_GRH_LEN : 0;
	bool write = m->op == FNS_WR_WRITE_IMM;
	uint32_t i;

	/* a receive may have held parts of a message that was dropped */
	for (i = 0; q->type == FNS_QPT_UC && i < r->nsge; i++)
		memcpy(q->host->shadow + r->sge[i].off, q->host->mem + r->sge[i].off,
			r->sge[i].len);
	if (c->byte_len != m->len + skip || m->has_imm != !!(c->wc_flags & FNS_WCF_WITH_IMM) ||
		(m->has_imm && c->imm != m->imm) ||
		c->opcode != (write ? FNS_WC_RECV_RDMA_WITH_IMM : FNS_WC_RECV))
		return false;
	if (write)
		return scattered_ok(q->host, r->base, r->units, r->sge, r->nsge, NULL, 0, 0) &&
		       ((!m->holds && !m->uncertain) || target_ok(w, msg));
	sim_content(sim_msg_seed(w, msg), w->tmp + skip, m->len);
	return scattered_ok(
		q->host, r->base, r->units, r->sge, r->nsge, w->tmp, m->len + skip, skip);
}

static void recv_good(struct sim_qp *q, struct sim_recv *r, const struct fns_cqe *c)
{
	struct sim_world *w = q->host->w;
	struct sim_qp *s = q->peer;
	uint32_t i, msg = UINT32_MAX;

	if (q->type == FNS_QPT_RC) {
		if (s->out_done == s->nout) {
			sim_fail(w,
				"qp %06x: receive wr %llu completes, but no message is under way",
				q->qpn, (unsigned long long)c->wr_id);
			return;
		}
		if (recv_matches(q, r, c, s->out[s->out_done]))
			msg = s->out[s->out_done++];
	} else {
		/* the network may lose, repeat and reorder, but what comes is whole */
		for (i = s->nout; i-- > 0 && msg == UINT32_MAX;)
			if (recv_matches(q, r, c, s->out[i]))
				msg = s->out[i];
	}
	if (msg == UINT32_MAX) {
		sim_fail(w,
			"qp %06x: receive wr %llu (%u bytes, opcode %u, flags %x) is not message %d",
			q->qpn, (unsigned long long)c->wr_id, c->byte_len, c->opcode, c->wc_flags,
			s->out_done < s->nout ? (int)s->out[s->out_done] : -1);
		return;
	}
	if (q->type == FNS_QPT_UD && (c->src_qp != s->qpn || !(c->wc_flags & FNS_WCF_GRH)))
		sim_fail(w, "qp %06x: UD source is %06x, flags %x", q->qpn, c->src_qp, c->wc_flags);
	if (w->msg[msg].delivered++ == 0 && w->msg[msg].op == FNS_WR_WRITE_IMM)
		target_release(w, &w->msg[msg]);
}

static void recv_cqe(struct sim_qp *q, const struct fns_cqe *c)
{
	struct sim_world *w = q->host->w;
	struct sim_recv *r = recv_find(q, c);

	if (!r) {
		sim_fail(w, "qp %06x: receive completion wr %llu status %u is not the next one",
			q->qpn, (unsigned long long)c->wr_id, c->status);
		return;
	}
	if ((c->srq != 0) != q->use_srq || c->wqe_count != 1)
		sim_fail(w, "qp %06x: receive completion has srq %u, count %u", q->qpn, c->srq,
			c->wqe_count);
	if (c->status == FNS_WC_SUCCESS) {
		recv_good(q, r, c);
	} else {
		w->errors++;
		if (!q->broken)
			sim_fail(w, "qp %06x: receive wr %llu fails with status %u for no reason",
				q->qpn, (unsigned long long)c->wr_id, c->status);
		else if (q->peer->bad_kind == SIM_BAD_RECV_SMALL &&
			 c->status != FNS_WC_WR_FLUSH_ERR && c->status != FNS_WC_LOC_LEN_ERR)
			sim_fail(
				w, "qp %06x: too small a receive has status %u", q->qpn, c->status);
		else if (r->bad && c->status != FNS_WC_WR_FLUSH_ERR &&
			 c->status != FNS_WC_LOC_PROT_ERR)
			sim_fail(w, "qp %06x: receive with a bad key has status %u", q->qpn,
				c->status);
		else if (q->recv_seen & 1 && c->status != FNS_WC_WR_FLUSH_ERR)
			sim_fail(w, "qp %06x: receive wr %llu has status %u after a failure",
				q->qpn, (unsigned long long)c->wr_id, c->status);
		q->recv_seen |= 1;
		if (c->status != FNS_WC_WR_FLUSH_ERR)
			q->recv_seen |= 2;
	}
	give_back(q->host, r->base, r->units);
	r->used = false;
	if (q->use_srq)
		q->host->srq.posted--;
	else
		q->rdone++;
}

/* --- completion queues --- */

static void one_cqe(struct sim_host *h, struct sim_cq *cq, const struct fns_cqe *c)
{
	struct sim_qp *q = sim_qp_find(h, c->qpn);

	h->cqes++;
	sim_hash(h->w, c->wr_id << 16 | (uint64_t)c->status << 8 | c->opcode);
	sim_hash(h->w, (uint64_t)c->qpn << 32 | c->byte_len);
	sim_trace(h->w, "qp %06x: cqe wr %llu status %u opcode %u len %u %s", c->qpn,
		(unsigned long long)c->wr_id, c->status, c->opcode, c->byte_len,
		c->is_send ? "send" : "recv");
	if (!q)
		sim_fail(h->w, "host %u: completion for queue pair %06x, which does not exist",
			h->idx, c->qpn);
	else if ((c->is_send ? q->scq : q->rcq) != cq)
		sim_fail(h->w, "qp %06x: completion in the wrong queue", c->qpn);
	else if (h->w->on_cqe)
		h->w->on_cqe(q, c);
	else if (c->is_send)
		send_cqe(q, c);
	else
		recv_cqe(q, c);
}

void sim_poll(struct sim_host *h, struct sim_cq *cq)
{
	uint32_t size = 1u << cq->log2;

	if (cq->never_poll)
		return;
	if (cq->events)
		atomic_store(&cq->ring->arm, FNS_CQ_ARM_ANY);
	while (!h->w->failed) {
		struct fns_cqe *slot = &cq->ring->entry[cq->consumed & (size - 1)], c;
		uint32_t phase = atomic_load_explicit(&slot->phase, memory_order_acquire);

		if ((phase & 1) != ((cq->consumed >> cq->log2 & 1) ^ 1))
			break;
		memcpy(&c, slot, sizeof(c));
		cq->consumed++;
		atomic_store_explicit(&cq->ring->consumer, cq->consumed, memory_order_release);
		one_cqe(h, cq, &c);
	}
}

bool sim_qp_finished(const struct sim_qp *q)
{
	if (!q->alive)
		return true;
	if (q->retired != q->posted)
		return false;
	if (q->failed || q->stopped)
		return true;
	if (q->posted < q->todo)
		return false;
	/* all that was sent reliably must have been received */
	return q->type != FNS_QPT_RC || q->broken || q->peer->broken || q->out_done == q->nout;
}

void sim_qp_abandon(struct sim_qp *q)
{
	struct sim_world *w = q->host->w;

	while (q->retired != q->posted) {
		struct sim_wr *wr = &q->wr[q->retired++ % SIM_DEPTH];

		wr_failed(q, wr);
		if (wr->msg)
			w->msg[wr->msg - 1].uncertain = true;
		give_back(q->host, wr->base, wr->units);
		if (wr->runits)
			sim_free(q->peer->host, wr->roff / SIM_UNIT, wr->runits);
	}
	while (q->rdone != q->rposted) {
		struct sim_recv *r = &q->recv[q->rdone++ % SIM_DEPTH];

		give_back(q->host, r->base, r->units);
	}
}

/* --- the end --- */

static int by_orig(const void *a, const void *b)
{
	const struct sim_atomic *x = a, *y = b;

	return x->orig < y->orig ? -1 : x->orig > y->orig;
}

/* Additions of positive amounts: the values found give the one order in which they happened. */
static void faa_check(struct sim_host *h, struct sim_counter *c, uint64_t final, bool all)
{
	uint64_t v = c->start, latest = 0;
	uint32_t i, n = 0;

	for (i = 0; i < c->nrec; i++)
		if (c->rec[i].ok)
			c->rec[n++] = c->rec[i];
	if (n)
		qsort(c->rec, n, sizeof(c->rec[0]), by_orig);
	for (i = 0; i < n; i++) {
		struct sim_atomic *r = &c->rec[i];

		if (all ? r->orig != v : r->orig < v) {
			sim_fail(h->w,
				"host %u: counter 0x%x: an addition found %llx, the one before left %llx",
				h->idx, c->off, (unsigned long long)r->orig, (unsigned long long)v);
			return;
		}
		if (r->done < latest) {
			sim_fail(h->w, "host %u: counter 0x%x: additions out of real-time order",
				h->idx, c->off);
			return;
		}
		latest = FNS_MAX(latest, r->invoked);
		v = r->orig + r->a;
	}
	if (all ? final != v : final < v)
		sim_fail(h->w, "host %u: counter 0x%x is %llx at the end, not %llx", h->idx, c->off,
			(unsigned long long) final, (unsigned long long)v);
}

/* Swaps write unique values: those that succeeded form one chain from the start to the end. */
static void cas_check(struct sim_host *h, struct sim_counter *c, uint64_t final)
{
	uint64_t v = c->start;
	uint32_t i, k, steps = 0, good = 0;

	for (i = 0; i < c->nrec; i++)
		good += c->rec[i].orig == c->rec[i].a;
	for (k = 0; k < c->nrec; k++) {
		for (i = 0; i < c->nrec; i++)
			if (c->rec[i].orig == c->rec[i].a && c->rec[i].a == v)
				break;
		if (i == c->nrec)
			break;
		v = c->rec[i].b;
		c->rec[i].failed = true; /* seen */
		steps++;
	}
	if (steps != good || v != final)
		sim_fail(h->w,
			"host %u: counter 0x%x: %u of %u swaps form a chain to %llx, the end is %llx",
			h->idx, c->off, steps, good, (unsigned long long)v,
			(unsigned long long) final);
	for (i = 0; i < c->nrec && !h->w->failed; i++) {
		for (k = 0; k < c->nrec; k++)
			if (c->rec[k].orig == c->rec[k].a && c->rec[k].b == c->rec[i].orig)
				break;
		if (k == c->nrec && c->rec[i].orig != c->start)
			sim_fail(h->w,
				"host %u: counter 0x%x: a swap found %llx, which never was there",
				h->idx, c->off, (unsigned long long)c->rec[i].orig);
	}
}

static void counters_check(struct sim_host *h)
{
	uint32_t i, k;

	for (i = 0; i < SIM_COUNTER; i++) {
		struct sim_counter *c = &h->counter[i];
		bool all = true;
		uint64_t final;

		for (k = 0; k < c->nrec; k++)
			all &= c->rec[k].ok;
		memcpy(&final, h->mem + c->off, 8);
		if (i < SIM_COUNTER / 2)
			faa_check(h, c, final, all);
		else if (all)
			cas_check(h, c, final);
	}
}

/* Targets of requests that failed, or that nobody acknowledges: every byte is old or new. */
static void uncertain_check(struct sim_world *w)
{
	uint32_t i, k;

	for (i = 0; i < w->nmsg; i++) {
		struct sim_msg *m = &w->msg[i];
		struct sim_host *h = w->host[m->dst_host];

		if (!m->uncertain || !m->dst_units)
			continue;
		sim_content(sim_msg_seed(w, i), w->tmp, m->len);
		for (k = 0; k < m->len; k++)
			if (h->mem[m->dst_off + k] != w->tmp[k] &&
				h->mem[m->dst_off + k] != h->shadow[m->dst_off + k]) {
				sim_fail(w,
					"message %u: byte %u of its target is neither old nor new",
					i, k);
				break;
			}
	}
}

void sim_check_end(struct sim_world *w)
{
	unsigned i, k;

	uncertain_check(w);
	for (i = 0; i < w->nhosts; i++) {
		struct sim_host *h = w->host[i];

		counters_check(h);
		sim_mem_check(h);
		for (k = 0; k < h->ncq; k++)
			if (h->cq[k].error && !h->cq[k].never_poll)
				sim_fail(w, "host %u: completion queue %u failed", i, k);
		for (k = 0; k < h->nqp; k++) {
			struct sim_qp *q = h->qp[k];
			uint64_t v;

			if (q->cell_words && !q->broken && q->type == FNS_QPT_RC) {
				memcpy(&v, q->peer->host->mem + q->cell_off, 8);
				if (v >> 20 != q->cell_ver)
					sim_fail(w, "qp %06x: its cell holds version %llu, not %u",
						q->qpn, (unsigned long long)(v >> 20), q->cell_ver);
			}
		}
	}
}
