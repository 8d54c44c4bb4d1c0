/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire of the emulated SmartNIC: frames really become packets, packets really lie in receive
 * buffers; what the card does for that is charged. The network between the two sides is lossless: a
 * packet for which the receiver has no buffer waits, as under priority flow control. Ports of an
 * ideal core cost nothing but the network. Owns packets and receive buffers; views borrow them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/util.h"
#include "smartnic/card.h"

#define TX_QUEUE   512u /* packets of a port that the NIC has not sent yet, at most */
#define MAX_PACKET 4160u
#define HDR_SLOT   128u /* of NIC memory, for each packet's header */

struct port;

struct packet {
	struct fns_job job;   /* first */
	struct fns_list node; /* of net->packets */
	struct packet *next;  /* in one of the queues below */
	struct port *from, *to;
	uint8_t *buf; /* receive buffer, NULL: data */
	uint32_t len; /* BTH to pad */
	bool passed;  /* its job is done */
	uint8_t tos, ttl;
	uint8_t data[MAX_PACKET];
};

/* Packets leave a queue in the order in which they came, whenever their jobs end. */
struct queue {
	struct packet *head, **tail;
	uint32_t n;
};

struct port {
	struct fns_wire wire; /* first */
	struct fns_snic_net *net;
	struct fns_snic_port_cfg cfg;
	struct fns_snic *card; /* NULL: ideal */
	struct queue gather;   /* being gathered */
	struct queue waiting;  /* have no buffer */
	struct queue landing;  /* on their way to NIC memory */
	struct queue ready;
	uint32_t sending; /* gathering, or waiting for the network */
	bool refused;
	uint32_t views_out;
	uint64_t waits;
	uint8_t *hdr; /* TX_QUEUE slots in NIC memory, used in turn */
	uint32_t hdr_at;
	uint8_t *mem;
	uint8_t **free; /* buffers: a stack, or a ring from free_at on */
	uint32_t nfree, free_at;
};

struct fns_snic_net {
	struct fns_vt *vt;
	struct fns_snic_params p;
	struct fns_server dir[2]; /* from side 0, from side 1 */
	struct port *port[2][FNS_SNIC_PORTS];
	struct fns_list packets;
};

static void put(struct queue *q, struct packet *p)
{
	p->next = NULL;
	*q->tail = p;
	q->tail = &p->next;
	q->n++;
}

static struct packet *take(struct queue *q)
{
	struct packet *p = q->head;

	if (!p)
		return NULL;
	q->head = p->next;
	if (!q->head)
		q->tail = &q->head;
	q->n--;
	return p;
}

static struct packet *take_passed(struct queue *q)
{
	return q->head && q->head->passed ? take(q) : NULL;
}

static void packet_free(struct packet *p)
{
	fns_list_remove(&p->node);
	free(p);
}

static struct port *to_port(struct fns_wire *w)
{
	return (struct port *)w;
}

struct fns_gid fns_snic_gid(unsigned side)
{
	struct fns_gid g = {.b = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2}};

	g.b[15] = (uint8_t)(1 + side);
	return g;
}

/* --- receive buffers --- */

static uint8_t *buffer_get(struct port *p)
{
	uint8_t *b;

	if (!p->nfree)
		return NULL;
	p->nfree--;
	if (p->cfg.rx == FNS_SNIC_RX_IN_CACHE)
		return p->free[p->nfree];
	b = p->free[p->free_at];
	p->free_at = (p->free_at + 1) % p->cfg.buffers;
	return b;
}

static void buffer_put(struct port *p, uint8_t *b)
{
	if (p->cfg.rx == FNS_SNIC_RX_IN_CACHE)
		p->free[p->nfree] = b;
	else
		p->free[(p->free_at + p->nfree) % p->cfg.buffers] = b;
	p->nfree++;
}

/* --- in --- */

static void landed(struct fns_job *j)
{
	struct packet *pk = (struct packet *)j;
	struct port *p = pk->to;

	pk->passed = true;
	while ((pk = take_passed(&p->landing)))
		put(&p->ready, pk);
	p->cfg.core->wake(p->cfg.core);
}

static void land(struct port *p, struct packet *pk, uint8_t *buf)
{
	struct fns_snic *s = p->card;

	pk->buf = buf;
	pk->passed = false;
	memcpy(buf, pk->data, pk->len);
	s->n.rx_packets++;
	fns_job_init(&pk->job, p->net->vt, landed);
	fns_snic_stage_nic(s, &pk->job, pk->len + p->net->p.link_overhead, false);
	fns_snic_stage_arm(s, &pk->job, pk->len, true);
	fns_snic_stage_mem(s, &pk->job, FNS_SNIC_NIC_WRITE, buf, pk->len);
	put(&p->landing, pk);
	fns_job_start(&pk->job, p->net->vt->now_ps);
}

static void arrive(void *arg)
{
	struct packet *pk = arg;
	struct port *p = pk->to;
	uint8_t *buf;

	if (!p->card) {
		put(&p->ready, pk);
		p->cfg.core->wake(p->cfg.core);
		return;
	}
	buf = p->waiting.head ? NULL : buffer_get(p);
	if (buf) {
		land(p, pk, buf);
	} else {
		p->waits++;
		put(&p->waiting, pk);
	}
}

static unsigned rx_burst(struct fns_wire *w, struct fns_rx_view *views, unsigned max)
{
	struct port *p = to_port(w);
	uint32_t hold = p->card ? p->card->p.rx_hold : UINT32_MAX;
	unsigned n = 0;

	while (n < max && p->views_out < hold) {
		struct packet *pk = take(&p->ready);

		if (!pk)
			break;
		p->views_out++;
		views[n++] = (struct fns_rx_view){.data = pk->buf ? pk->buf : pk->data,
			.len = pk->len,
			.tos = pk->tos,
			.ttl = pk->ttl,
			.ecn = pk->tos & 3,
			.sport = (uint16_t)(0xc000 | pk->from->cfg.index),
			.src = fns_snic_gid(pk->from->cfg.side),
			.dst = fns_snic_gid(p->cfg.side),
			.buf = pk};
		fns_count(w->stats, FNS_C_rx_packets);
		fns_count_add(w->stats, FNS_C_rx_bytes, pk->len + FNS_ICRC_LEN);
		if (!p->card)
			continue;
		fns_snic_core_spend(p->cfg.core, p->card->p.core_rx_ns);
		fns_snic_core_read(p->cfg.core, pk->buf, FNS_MIN(pk->len, FNS_SNIC_LINE));
	}
	return n;
}

static void rx_release(struct fns_wire *w, struct fns_rx_view *v)
{
	struct port *p = to_port(w);
	struct packet *pk = v->buf, *next;
	struct fns_snic *s = p->card;

	fns_assert(p->views_out > 0);
	p->views_out--;
	if (s) {
		if (p->cfg.rx == FNS_SNIC_RX_DISCARD) {
			fns_snic_cache_access(s->cache, FNS_SNIC_DISCARD, pk->buf,
				FNS_ALIGN_UP(pk->len, FNS_SNIC_LINE), &s->n.mem);
			s->n.discards++;
			fns_snic_core_spend(p->cfg.core, s->p.core_discard_ns);
		}
		buffer_put(p, pk->buf);
		next = take(&p->waiting);
		if (next)
			land(p, next, buffer_get(p));
	}
	packet_free(pk);
	if (p->ready.head)
		p->cfg.core->wake(p->cfg.core);
}

/* --- out --- */

static void sent(void *arg)
{
	struct port *p = arg;

	p->sending--;
	if (p->refused && p->sending <= TX_QUEUE / 2) {
		p->refused = false;
		p->cfg.core->wake(p->cfg.core);
	}
}

/* The NIC sends what it has gathered, in order. */
static void launch(struct port *p, struct packet *pk)
{
	struct fns_vt *vt = p->net->vt;
	uint64_t bytes = pk->len + FNS_ICRC_LEN + p->net->p.link_overhead, at = vt->now_ps;

	if (p->card) {
		struct fns_snic *s = p->card;

		s->n.tx_packets++;
		at = fns_server_take(&s->nic_tx, at,
			FNS_MAX(fns_ps_of_bytes(bytes, s->p.nic_gbps),
				fns_ps_of_ops(1, s->p.nic_mpps)));
	}
	/* Behind the NIC nobody else uses the link in this direction but the other ports, in the
	 * order of at. */
	at = fns_server_take(
		&p->net->dir[p->cfg.side], at, fns_ps_of_bytes(bytes, p->net->p.link_gbps));
	fns_vt_at(vt, at, sent, p);
	fns_vt_at(vt, at + p->net->p.link_ns * FNS_PS_PER_NS, arrive, pk);
}

static void gathered(struct fns_job *j)
{
	struct packet *pk = (struct packet *)j;
	struct port *p = pk->from;

	pk->passed = true;
	while ((pk = take_passed(&p->gather)))
		launch(p, pk);
}

/* False: a piece could not be read. */
static struct packet *flatten(struct port *p, const struct fns_frame *f)
{
	struct packet *pk = malloc(sizeof(*pk));
	struct port *to =
		p->net->port[!p->cfg.side][(uint8_t)(f->path->prefix - 1) % FNS_SNIC_PORTS];
	unsigned i;

	fns_assert(pk && to);
	pk->from = p;
	pk->to = to;
	pk->buf = NULL;
	pk->passed = false;
	pk->tos = f->path->tos;
	pk->ttl = f->path->ttl;
	pk->len = f->hdr_len;
	fns_assert(f->hdr_len + f->payload_len + f->pad <= MAX_PACKET);
	memcpy(pk->data, f->hdr, f->hdr_len);
	for (i = 0; i < f->nsg; i++) {
		memcpy(pk->data + pk->len, f->sg[i].addr, f->sg[i].len);
		pk->len += f->sg[i].len;
	}
	memset(pk->data + pk->len, 0, f->pad);
	pk->len += f->pad;
	fns_list_push_back(&p->net->packets, &pk->node);
	return pk;
}

/* What it takes the card to get the frame together. */
static void charge(struct port *p, const struct fns_frame *f, struct fns_job *j)
{
	struct fns_snic *s = p->card;
	uint64_t near = s->p.wqe_bytes + f->hdr_len, host = 0;
	uint8_t *hdr = p->hdr + (size_t)(p->hdr_at++ % TX_QUEUE) * HDR_SLOT;
	unsigned i;

	fns_snic_core_spend(p->cfg.core, s->p.core_tx_ns);
	memcpy(hdr, f->hdr, f->hdr_len);
	fns_snic_core_write(p->cfg.core, hdr, f->hdr_len);
	fns_job_init(j, p->net->vt, gathered);
	fns_snic_stage_mem(s, j, FNS_SNIC_READ, hdr, f->hdr_len);
	for (i = 0; i < f->nsg; i++) {
		if (f->sg[i].region) {
			host += f->sg[i].len;
			continue;
		}
		near += f->sg[i].len;
		fns_snic_stage_mem(s, j, FNS_SNIC_READ, f->sg[i].addr, f->sg[i].len);
	}
	fns_snic_stage_arm(s, j, near, false);
	fns_snic_stage_host(s, j, host, false);
	j->latency_ps = host ? s->p.pcie_read_ns * FNS_PS_PER_NS : 0;
}

static unsigned tx_burst(struct fns_wire *w, struct fns_frame *frames, unsigned n)
{
	struct port *p = to_port(w);
	unsigned i;

	for (i = 0; i < n; i++) {
		struct packet *pk;

		if (p->card && p->sending >= TX_QUEUE) {
			p->refused = true;
			fns_count(w->stats, FNS_C_tx_blocked);
			break;
		}
		pk = flatten(p, &frames[i]);
		frames[i].status = FNS_FRAME_SENT;
		fns_count(w->stats, FNS_C_tx_packets);
		fns_count_add(w->stats, FNS_C_tx_bytes, pk->len + FNS_ICRC_LEN);
		p->sending++;
		if (!p->card) {
			launch(p, pk);
			continue;
		}
		charge(p, &frames[i], &pk->job);
		put(&p->gather, pk);
		fns_job_start(&pk->job, fns_snic_core_now(p->cfg.core));
	}
	return i;
}

/* --- life --- */

static int path_get(struct fns_wire *w, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl, struct fns_path **out)
{
	struct port *p = to_port(w);
	struct fns_gid other = fns_snic_gid(!p->cfg.side);
	struct fns_path *path;

	if (!fns_gid_equal(remote, &other) || prefix < 1 || prefix > FNS_SNIC_PORTS ||
		!p->net->port[!p->cfg.side][prefix - 1])
		return -ENETUNREACH;
	path = calloc(1, sizeof(*path));
	if (!path)
		return -ENOMEM;
	*path = fns_path_to(local, remote, ifindex, prefix, tos, ttl);
	*out = path;
	return 0;
}

static void path_put(struct fns_wire *w, struct fns_path *path)
{
	(void)w;
	free(path);
}

static uint32_t rx_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	(void)w;
	(void)bulk;
	return len + 64;
}

static void destroy(struct fns_wire *w)
{
	struct port *p = to_port(w);

	if (!w)
		return;
	p->net->port[p->cfg.side][p->cfg.index] = NULL;
	free(p->hdr);
	free(p->mem);
	free(p->free);
	free(p);
}

static const struct fns_wire_ops port_ops = {
	.name = "emulated SmartNIC",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
	.destroy = destroy,
};

static void queue_init(struct queue *q)
{
	*q = (struct queue){.tail = &q->head};
}

struct fns_wire *fns_snic_port_create(struct fns_snic_net *n, const struct fns_snic_port_cfg *cfg)
{
	struct port *p = calloc(1, sizeof(*p));
	uint32_t i;

	fns_assert(p && cfg->side < 2 && cfg->index < FNS_SNIC_PORTS);
	p->wire.ops = &port_ops;
	/* The NIC makes the ICRC: payload that changes meanwhile does no harm. */
	p->wire.caps = (struct fns_wire_caps){
		.max_packet = MAX_PACKET, .in_place = true, .reliable_payload = true};
	p->net = n;
	p->cfg = *cfg;
	p->card = cfg->core->card;
	queue_init(&p->gather);
	queue_init(&p->waiting);
	queue_init(&p->landing);
	queue_init(&p->ready);
	if (p->card) {
		fns_assert(cfg->buffers > 0);
		p->mem = aligned_alloc(
			4096, FNS_ALIGN_UP((size_t)cfg->buffers * FNS_SNIC_BUF, (size_t)4096));
		p->free = calloc(cfg->buffers, sizeof(*p->free));
		p->hdr = aligned_alloc(4096, TX_QUEUE * HDR_SLOT);
		fns_assert(p->mem && p->free && p->hdr);
		for (i = 0; i < cfg->buffers; i++)
			p->free[i] = p->mem + (size_t)i * FNS_SNIC_BUF;
		p->nfree = cfg->buffers;
	}
	n->port[cfg->side][cfg->index] = p;
	return &p->wire;
}

uint64_t fns_snic_port_waits(const struct fns_wire *w)
{
	return ((const struct port *)w)->waits;
}

struct fns_snic_net *fns_snic_net_create(struct fns_vt *vt, const struct fns_snic_params *p)
{
	struct fns_snic_net *n = calloc(1, sizeof(*n));

	fns_assert(n);
	n->vt = vt;
	n->p = *p;
	fns_list_init(&n->packets);
	return n;
}

void fns_snic_net_destroy(struct fns_snic_net *n)
{
	struct fns_list *it;

	if (!n)
		return;
	while ((it = fns_list_pop_front(&n->packets)))
		free(fns_container_of(it, struct packet, node));
	free(n);
}
