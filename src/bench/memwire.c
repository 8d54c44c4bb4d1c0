/* SPDX-License-Identifier: Apache-2.0 */
/* The in-memory wire: see memwire.h. Each end owns the buffers that it receives into. */
#include "bench/memwire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/util.h"
#include "roce/icrc.h"

#define BUFS       256u /* a megabyte: within a core's second-level cache */
#define BUF_BYTES  4224u
#define MAX_PACKET 4160u

struct end {
	struct fns_wire wire; /* first */
	struct end *other;
	unsigned side;
	bool icrc;
	uint8_t *mem;
	uint16_t free[BUFS], ready[BUFS]; /* a stack; a queue */
	uint32_t len[BUFS];
	uint32_t nfree, head, tail;
};

static struct end *to_end(struct fns_wire *w)
{
	return (struct end *)w;
}

struct fns_gid fns_memwire_gid(unsigned side)
{
	struct fns_gid g = {.b = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2}};

	g.b[15] = (uint8_t)(1 + side);
	return g;
}

static uint32_t icrc_begin(unsigned from, const uint8_t *bth, uint32_t len)
{
	struct fns_icrc_flow f = {.sport = 0xc000, .dport = FNS_ROCE_PORT};
	struct fns_gid src = fns_memwire_gid(from), dst = fns_memwire_gid(!from);

	memcpy(f.src, src.b, 16);
	memcpy(f.dst, dst.b, 16);
	return fns_icrc_bth(
		fns_icrc_begin(&f, (uint16_t)(8 + len + FNS_ICRC_LEN), 0), bth, FNS_BTH_LEN);
}

/* Header, pieces and pad into b; the ICRC behind them. Returns the length without it. */
static uint32_t gather(const struct end *e, const struct fns_frame *f, uint8_t *b)
{
	uint32_t len = f->hdr_len + f->payload_len + f->pad, at = f->hdr_len, crc = 0;
	unsigned i;

	fns_assert(len + FNS_ICRC_LEN <= BUF_BYTES);
	memcpy(b, f->hdr, f->hdr_len);
	for (i = 0; i < f->nsg; i++) {
		memcpy(b + at, f->sg[i].addr, f->sg[i].len);
		at += f->sg[i].len;
	}
	memset(b + at, 0, f->pad);
	if (e->icrc) {
		crc = icrc_begin(e->side, b, len);
		crc = fns_icrc_final(fns_icrc_update(crc, b + FNS_BTH_LEN, len - FNS_BTH_LEN));
		memcpy(b + len, &crc, sizeof(crc));
	}
	return len;
}

static bool intact(const struct end *e, const uint8_t *b, uint32_t len)
{
	uint32_t crc = icrc_begin(!e->side, b, len), there;

	crc = fns_icrc_final(fns_icrc_update(crc, b + FNS_BTH_LEN, len - FNS_BTH_LEN));
	memcpy(&there, b + len, sizeof(there));
	return crc == there;
}

static unsigned tx_burst(struct fns_wire *w, struct fns_frame *frames, unsigned n)
{
	struct end *e = to_end(w), *to = e->other;
	unsigned i;

	for (i = 0; i < n && to->nfree; i++) {
		uint16_t k = to->free[--to->nfree];

		to->len[k] = gather(e, &frames[i], to->mem + (size_t)k * BUF_BYTES);
		to->ready[to->tail++ % BUFS] = k;
		frames[i].status = FNS_FRAME_SENT;
		fns_count_add(w->stats, FNS_C_tx_bytes, to->len[k] + FNS_ICRC_LEN);
	}
	fns_count_add(w->stats, FNS_C_tx_packets, i);
	return i;
}

static unsigned rx_burst(struct fns_wire *w, struct fns_rx_view *views, unsigned max)
{
	struct end *e = to_end(w);
	unsigned n = 0;

	while (n < max && e->head != e->tail) {
		uint16_t k = e->ready[e->head++ % BUFS];
		const uint8_t *b = e->mem + (size_t)k * BUF_BYTES;

		fns_assert(!e->icrc || intact(e, b, e->len[k])); /* nothing corrupts it here */
		views[n++] = (struct fns_rx_view){.data = b,
			.len = e->len[k],
			.ttl = 64,
			.sport = 0xc000,
			.src = fns_memwire_gid(!e->side),
			.dst = fns_memwire_gid(e->side),
			.buf = &e->len[k]};
	}
	fns_count_add(w->stats, FNS_C_rx_packets, n);
	return n;
}

static void rx_release(struct fns_wire *w, struct fns_rx_view *v)
{
	struct end *e = to_end(w);

	e->free[e->nfree++] = (uint16_t)((uint32_t *)v->buf - e->len);
}

static int path_get(struct fns_wire *w, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl, struct fns_path **out)
{
	struct fns_path *p = calloc(1, sizeof(*p));

	(void)w;
	if (!p)
		return -ENOMEM;
	*p = fns_path_to(local, remote, ifindex, prefix, tos, ttl);
	*out = p;
	return 0;
}

static void path_put(struct fns_wire *w, struct fns_path *p)
{
	(void)w;
	free(p);
}

static uint32_t rx_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	(void)w;
	(void)bulk;
	return len + 64;
}

static void destroy(struct fns_wire *w)
{
	if (!w)
		return;
	free(to_end(w)->mem);
	free(w);
}

static const struct fns_wire_ops mem_ops = {
	.name = "memory",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
	.destroy = destroy,
};

void fns_memwire_pair(bool icrc, struct fns_wire *end[2])
{
	struct end *e[2];
	unsigned i, k;

	for (i = 0; i < 2; i++) {
		e[i] = calloc(1, sizeof(*e[i]));
		fns_assert(e[i]);
		e[i]->wire.ops = &mem_ops;
		e[i]->wire.caps = (struct fns_wire_caps){
			.max_packet = MAX_PACKET, .in_place = true, .reliable_payload = !icrc};
		e[i]->side = i;
		e[i]->icrc = icrc;
		e[i]->mem = aligned_alloc(FNS_CACHELINE, BUFS * BUF_BYTES);
		fns_assert(e[i]->mem);
		memset(e[i]->mem, 0, BUFS * BUF_BYTES);
		for (k = 0; k < BUFS; k++)
			e[i]->free[k] = (uint16_t)k;
		e[i]->nfree = BUFS;
		end[i] = &e[i]->wire;
	}
	e[0]->other = e[1];
	e[1]->other = e[0];
}
