/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated wire, both ends of it: gathers frames into packets with a true ICRC, gives them to
 * the network (net.c), and hands them out from a small pool of receive buffers, most recently used
 * first. What a real receiver catches by the ICRC is caught by the ICRC here.
 */
#include "sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "roce/icrc.h"
#include "roce/opcode.h"

#define MAX_PACKET 4200u
#define PATHS      64u

struct path {
	struct fns_path p; /* first */
	uint32_t dst;      /* host index */
	bool used;
};

struct sim_wire {
	struct fns_wire base; /* first */
	struct sim_host *h;
	struct path path[PATHS];
	struct sim_int echo[SIM_RX_BUFS]; /* by buffer */
	struct sim_packet *head, **tail;
	uint64_t cost;
	bool full; /* refused something */
	uint8_t *buf[SIM_RX_BUFS];
	uint32_t nfree;
	uint8_t *mem;
};

static struct sim_wire *wire_of(struct fns_wire *w)
{
	return (struct sim_wire *)w;
}

/* Like a socket buffer's true size: a fixed part and the data rounded up to what the allocator
 * gives. */
uint32_t sim_wire_cost(uint32_t len)
{
	return len <= 192 ? 832 : 512 + fns_pow2_ceil(len + 320);
}

static int path_get(struct fns_wire *base, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl,
	struct fns_path **out)
{
	struct sim_wire *s = wire_of(base);
	struct path *slot = NULL;
	uint32_t i, dst;

	if (!fns_gid_equal(local, &s->h->gid))
		return -EADDRNOTAVAIL;
	for (dst = 0; dst < s->h->w->nhosts; dst++)
		if (fns_gid_equal(remote, &s->h->w->host[dst]->gid))
			break;
	if (dst == s->h->w->nhosts)
		return -ENETUNREACH;
	for (i = 0; i < PATHS; i++) {
		struct path *p = &s->path[i];

		if (p->used && p->dst == dst && p->p.prefix == prefix && p->p.tos == tos &&
			p->p.ttl == ttl) {
			p->p.refs++;
			*out = &p->p;
			return 0;
		}
		if (!p->used && !slot)
			slot = p;
	}
	if (!slot)
		return -EMFILE;
	*slot = (struct path){.dst = dst, .used = true};
	slot->p = fns_path_to(local, remote, ifindex, prefix, tos, ttl);
	*out = &slot->p;
	return 0;
}

static void path_put(struct fns_wire *base, struct fns_path *p)
{
	(void)base;
	fns_assert(p->refs > 0);
	if (--p->refs == 0)
		((struct path *)p)->used = false;
}

static uint32_t icrc_of(const struct sim_world *w, const struct sim_packet *p)
{
	struct fns_icrc_flow f = {.sport = p->sport, .dport = FNS_ROCE_PORT};
	uint16_t udp_len = (uint16_t)(8 + p->len);
	uint32_t crc;

	memcpy(f.src, w->host[p->src]->gid.b, 16);
	memcpy(f.dst, w->host[p->dst]->gid.b, 16);
	f.ipv6 = !fns_gid_is_v4(&w->host[p->src]->gid);
	crc = fns_icrc_begin(&f, udp_len, 0);
	crc = fns_icrc_bth(crc, p->data, FNS_BTH_LEN);
	crc = fns_icrc_update(crc, p->data + FNS_BTH_LEN, p->len - FNS_BTH_LEN - FNS_ICRC_LEN);
	return fns_icrc_final(crc);
}

static void put_le32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

/* --- telemetry: from a request to whatever answers it --- */

static bool is_request(const uint8_t *bth)
{
	return fns_opcodes[bth[0]].flags & FNS_OPF_REQUEST;
}

static void echo_tx(struct sim_host *h, struct sim_packet *p)
{
	const struct sim_qp *q = sim_qp_talking_to(h, p->dst, get_be24(p->data + 5));

	if (h->w->p.telemetry && q && !is_request(p->data))
		p->echo = q->tele;
}

/* What came back with the packet. */
static const struct sim_int *echo_rx(
	struct sim_wire *s, const struct sim_packet *p, const uint8_t *buf)
{
	struct sim_int *echo = &s->echo[(size_t)(buf - s->mem) / MAX_PACKET];
	struct sim_qp *q;

	*echo = p->echo;
	if (s->h->w->p.telemetry && is_request(p->data)) {
		q = sim_qp_find(s->h, get_be24(p->data + 5));
		if (q)
			q->tele = p->tele;
	}
	return echo;
}

static struct sim_packet *gather(struct sim_wire *s, struct fns_frame *f, const struct path *path)
{
	struct sim_world *w = s->h->w;
	uint32_t len = f->hdr_len + f->payload_len + f->pad + FNS_ICRC_LEN, at = f->hdr_len, i;
	struct sim_packet *p;

	if (len > MAX_PACKET || f->hdr_len < FNS_BTH_LEN || f->hdr_len > FNS_HDR_MAX ||
		f->pad > 3) {
		sim_fail(w, "host %u: frame of %u bytes, header %u, pad %u", s->h->idx, len,
			f->hdr_len, f->pad);
		return NULL;
	}
	p = malloc(sizeof(*p) + len);
	fns_assert(p);
	*p = (struct sim_packet){.src = s->h->idx,
		.dst = path->dst,
		.len = len,
		.tos = path->p.tos,
		.ttl = path->p.ttl,
		.sport = (uint16_t)(0xc000 | path->p.prefix),
		.ecn = path->p.tos & 3,
		.cost = sim_wire_cost(len)};
	memcpy(p->data, f->hdr, f->hdr_len);
	for (i = 0; i < f->nsg; i++) {
		if (at + f->sg[i].len > f->hdr_len + f->payload_len)
			break;
		memcpy(p->data + at, f->sg[i].addr, f->sg[i].len);
		at += f->sg[i].len;
	}
	if (i != f->nsg || at != f->hdr_len + f->payload_len)
		sim_fail(w, "host %u: pieces do not add up to payload_len %u", s->h->idx,
			f->payload_len);
	memset(p->data + at, 0, f->pad);
	sim_hello_tx(s->h, p->data, w->host[path->dst]);
	put_le32(p->data + len - FNS_ICRC_LEN, icrc_of(w, p) ^ f->icrc_xor);
	echo_tx(s->h, p);
	w->alive_packets++;
	return p;
}

static unsigned tx_burst(struct fns_wire *base, struct fns_frame *frames, unsigned n)
{
	struct sim_wire *s = wire_of(base);
	struct sim_world *w = s->h->w;
	const struct sim_params *c = &w->p;
	unsigned i, k, take = n;

	if (sim_chance(&s->h->rng, c->full_ppm))
		take = (unsigned)fns_rng_below(&s->h->rng, n + 1);
	for (i = 0; i < take; i++) {
		struct fns_frame *f = &frames[i];
		struct sim_packet *p;
		bool near = false;

		if (c->egress_bytes && sim_net_backlog(w, s->h->idx) > c->egress_bytes) {
			s->full = true;
			break;
		}
		for (k = 0; k < f->nsg; k++)
			near |= f->sg[k].region != NULL;
		if (near && sim_chance(&s->h->rng, c->frame_fault_ppm)) {
			f->status = FNS_FRAME_FAULT;
			continue;
		}
		p = gather(s, f, (struct path *)f->path);
		if (!p)
			return n;
		f->status = FNS_FRAME_SENT;
		w->packets++;
		if (!c->unwatched)
			sim_watch_tx(s->h, p->data, p->len, p->dst);
		sim_net_send(w, p);
	}
	return i;
}

void sim_wire_room(struct sim_host *h)
{
	struct sim_wire *s = h ? wire_of(h->wire) : NULL;

	if (!s || !s->full)
		return;
	s->full = false;
	sim_host_wake(h, fns_rng_below(&h->rng, 200));
}

void sim_wire_deliver(struct sim_host *h, struct sim_packet *p)
{
	struct sim_wire *s = wire_of(h->wire);

	if (h->dead) {
		sim_net_drop(h->w, p, SIM_DROP_DEAD);
		return;
	}
	if (h->rcvbuf && s->cost + p->cost > h->rcvbuf) {
		sim_net_drop(h->w, p, SIM_DROP_OVERRUN);
		return;
	}
	s->cost += p->cost;
	p->next = NULL;
	*s->tail = p;
	s->tail = &p->next;
	sim_host_wake(h, fns_rng_below(&h->rng, 800));
}

static unsigned rx_burst(struct fns_wire *base, struct fns_rx_view *views, unsigned max)
{
	struct sim_wire *s = wire_of(base);
	struct sim_world *w = s->h->w;
	unsigned n = 0;

	fns_assert(max >= FNS_RX_BATCH);
	while (n < FNS_RX_BATCH && s->head && s->nfree) {
		struct sim_packet *p = s->head;
		uint32_t crc = icrc_of(w, p);
		const struct sim_int *echo;
		uint8_t want[4], *buf;

		s->head = p->next;
		if (!s->head)
			s->tail = &s->head;
		s->cost -= p->cost;
		put_le32(want, crc);
		if (memcmp(want, p->data + p->len - FNS_ICRC_LEN, 4) != 0) {
			fns_count(base->stats, FNS_C_drop_icrc);
			sim_net_drop(w, p, SIM_DROP_ICRC);
			continue;
		}
		buf = s->buf[--s->nfree];
		memcpy(buf, p->data, p->len);
		sim_hello_rx(s->h, buf);
		echo = echo_rx(s, p, buf);
		views[n] = (struct fns_rx_view){.data = buf,
			.len = p->len - FNS_ICRC_LEN,
			.ecn = p->ecn,
			.tos = (p->tos & ~3) | p->ecn,
			.ttl = p->ttl,
			.sport = p->sport,
			.src = w->host[p->src]->gid,
			.dst = s->h->gid,
			.buf = buf,
			.nhops = echo->n,
			.hops = echo->n ? echo->hop : NULL};
		w->net.stats.ecn_seen += p->ecn == SIM_CE;
		if (p->ecn != (p->tos & 3) && (p->ecn != SIM_CE || (p->tos & 3) == 0))
			sim_fail(w, "host %u: ECN bits %u came as %u", s->h->idx, p->tos & 3,
				p->ecn);
		w->alive_packets--;
		free(p);
		n++;
	}
	return n;
}

/* Poisoned, so that who still reads it is found. */
static void rx_release(struct fns_wire *base, struct fns_rx_view *v)
{
	struct sim_wire *s = wire_of(base);

	fns_assert(v->buf && s->nfree < SIM_RX_BUFS);
	memset(v->buf, 0xdd, v->len);
	s->buf[s->nfree++] = v->buf;
	v->buf = NULL;
}

static uint32_t rx_cost(struct fns_wire *base, uint32_t len, bool bulk)
{
	(void)base;
	(void)bulk;
	return sim_wire_cost(len);
}

static void destroy(struct fns_wire *base)
{
	struct sim_wire *s = wire_of(base);

	sim_wire_flush(s->h);
	free(s->mem);
	free(s);
}

static const struct fns_wire_ops ops = {
	.name = "sim",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
	.destroy = destroy,
};

struct fns_wire *sim_wire_create(struct sim_host *h)
{
	struct sim_wire *s = calloc(1, sizeof(*s));
	uint32_t i;

	fns_assert(s);
	s->base.ops = &ops;
	s->base.caps = (struct fns_wire_caps){.max_packet = MAX_PACKET, .in_place = true};
	s->h = h;
	s->tail = &s->head;
	s->mem = malloc((size_t)SIM_RX_BUFS * MAX_PACKET);
	fns_assert(s->mem);
	for (i = 0; i < SIM_RX_BUFS; i++)
		s->buf[s->nfree++] = s->mem + (size_t)i * MAX_PACKET;
	return &s->base;
}

bool sim_wire_pending(struct sim_host *h)
{
	return wire_of(h->wire)->head != NULL;
}

void sim_wire_flush(struct sim_host *h)
{
	struct sim_wire *s = wire_of(h->wire);

	while (s->head) {
		struct sim_packet *p = s->head;

		s->head = p->next;
		s->cost -= p->cost;
		sim_net_drop(h->w, p, SIM_DROP_DEAD);
	}
	s->tail = &s->head;
}

void sim_wire_check_idle(struct sim_host *h)
{
	struct sim_wire *s = wire_of(h->wire);
	uint32_t i;

	if (s->nfree != SIM_RX_BUFS)
		sim_fail(h->w, "host %u: %u receive buffers were not released", h->idx,
			SIM_RX_BUFS - s->nfree);
	for (i = 0; i < PATHS; i++)
		if (s->path[i].used)
			sim_fail(h->w, "host %u: a path keeps %u references", h->idx,
				s->path[i].p.refs);
}
