/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire of the fault laboratory, around another wire. Owns the packets that it holds back, as
 * flat copies in a bounded pool; one pool a direction, so that they cannot starve each other. Full:
 * towards the network the wire is full; from the network, what would have to be held is lost.
 * Called by the engine like any wire, and by src/inline between advances.
 *
 * Frames that nothing happens to go to the wire below in one burst as they came, so that trains
 * stay trains.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "mem/guard.h"
#include "wire/fault_priv.h"

/* --- towards the network --- */

static uint32_t frame_bytes(const struct fns_frame *f)
{
	return f->hdr_len + f->payload_len + f->pad;
}

/* False: its memory faulted. */
static bool flatten(struct fault_held *h, const struct fns_frame *f)
{
	struct fns_guard g;

	if (!fns_guard_begin(&g))
		return false;
	uint32_t at = f->hdr_len;

	memcpy(h->data, f->hdr, f->hdr_len);
	for (uint32_t i = 0; i < f->nsg; i++) {
		uint32_t n = FNS_MIN(f->sg[i].len, f->hdr_len + f->payload_len - at);

		memcpy(h->data + at, f->sg[i].addr, n);
		at += n;
	}
	memset(h->data + at, 0, f->pad);
	fns_guard_end();
	h->len = frame_bytes(f);
	h->hdr_len = f->hdr_len;
	return true;
}

static bool path_hold(struct fault_wire *w, struct fault_held *h, const struct fns_path *p)
{
	return w->cfg.below->ops->path_get(w->cfg.below, &p->local, &p->remote, p->ifindex,
		       p->prefix, p->tos, p->ttl, &h->path) == 0;
}

/* Sends what is due. False: the wire below is full. */
static bool pump_tx(struct fault_wire *w, uint64_t now)
{
	struct fault_lane *l = &w->lane[TX];
	unsigned n, taken, i;

	fns_fault_over_expire(w, TX, now);
	do {
		for (n = 0; n < HELD_RUN && (w->run_held[n] = fns_fault_due_pop(w, TX, now)); n++) {
			struct fault_held *h = w->run_held[n];
			struct fns_frame *f = &w->run[n];

			w->run_sg[n] = (struct fns_sg){
				.addr = h->data + h->hdr_len, .len = h->len - h->hdr_len};
			f->path = h->path;
			f->sg = &w->run_sg[n];
			f->owner = NULL;
			f->psn = 0;
			f->payload_len = h->len - h->hdr_len;
			f->nsg = 1;
			f->hdr_len = h->hdr_len;
			f->pad = 0;
			f->status = FNS_FRAME_SENT;
			f->icrc_xor = h->icrc_xor;
			memcpy(f->hdr, h->data, h->hdr_len);
		}
		if (n == 0)
			break;
		taken = w->cfg.below->ops->tx_burst(w->cfg.below, w->run, n);
		for (i = 0; i < taken; i++)
			fns_fault_held_put(w, w->run_held[i]);
		for (i = n; i-- > taken;) /* back, in order */
			fns_list_push_front(&l->queue, &w->run_held[i]->node);
		if (taken < n) {
			w->blocked = true;
			w->blocked_ns = now;
			return false;
		}
	} while (n == HELD_RUN);
	w->blocked = false;
	return true;
}

/* Copies a frame and holds it as the verdict says. 1: done, 0: no room, -1: its memory faulted. */
static int tx_hold(struct fault_wire *w, const struct fns_frame *f, const struct fault_verdict *v,
	struct fns_rng *g, uint64_t now)
{
	struct fault_held *h, *twin = NULL;

	if (w->lane[TX].pool.free < 2)
		return 0;
	h = fns_fault_held_get(w, TX);
	if (!flatten(h, f)) {
		fns_fault_held_put(w, h);
		return -1;
	}
	if (v->dup)
		twin = fns_fault_held_get(w, TX);
	if (!path_hold(w, h, f->path) || (twin && !path_hold(w, twin, f->path))) {
		fns_fault_held_put(w, h);
		if (twin)
			fns_fault_held_put(w, twin);
		return 1; /* lost, as on any wire */
	}
	if (twin) {
		memcpy(twin->data, h->data, h->len);
		twin->len = h->len;
		twin->hdr_len = h->hdr_len;
		fns_fault_count(w, FNS_C_fault_duplicates);
	}
	if (v->corrupt) {
		fns_fault_corrupt(g, h);
		fns_fault_count(w, FNS_C_fault_corruptions);
	}
	fns_fault_hold(w, h, v, now);
	if (twin) {
		struct fault_verdict late = {.delay_ns = v->delay_ns};

		fns_fault_hold(w, twin, &late, now);
	}
	return 1;
}

static unsigned tx_burst(struct fns_wire *base, struct fns_frame *frames, unsigned n)
{
	struct fault_wire *w = fns_fault_of(base);
	const struct fns_wire_ops *below = w->cfg.below->ops;
	uint64_t now = fns_fault_now(w);
	unsigned start = 0, i;

	if (!pump_tx(w, now))
		return 0;
	/* [start, i) goes to the wire below as it is. */
	for (i = 0; i < n; i++) {
		struct fns_frame *f = &frames[i];
		uint32_t qpn = w->cfg.owner_qpn(f->owner);
		bool swallow = w->nerrors && fns_fault_error_takes(w, f, qpn), flush;
		struct fault_verdict v = {0};
		int r = 1;

		if (!swallow && frame_bytes(f) <= HELD_LEN &&
			fns_fault_judge(w, TX, &f->path->remote, qpn, now, &v))
			swallow = v.lost;
		else if (!swallow)
			r = 2; /* as it is */
		flush = r == 2 && fns_fault_over_passed(w, TX, now);
		if (r == 2 && !flush)
			continue;
		if (i + flush > start) {
			unsigned taken =
				below->tx_burst(w->cfg.below, frames + start, i + flush - start);

			if (taken < i + flush - start)
				return start + taken;
		}
		start = i + 1;
		if (r == 2) {
			pump_tx(w, now);
			continue;
		}
		f->status = FNS_FRAME_SENT;
		if (swallow) {
			fns_fault_count(w, FNS_C_drop_sim_fault);
			continue;
		}
		r = tx_hold(w, f, &v, &w->rng[0][TX], now);
		if (r == 0)
			return i;
		if (r < 0)
			f->status = FNS_FRAME_FAULT;
		pump_tx(w, now);
	}
	if (n > start)
		start += below->tx_burst(w->cfg.below, frames + start, n - start);
	return start;
}

/* --- from the network --- */

/* Copies a view. The caller has seen that there is room. */
static struct fault_held *rx_copy(struct fault_wire *w, const struct fns_rx_view *v)
{
	struct fault_held *h = fns_fault_held_get(w, RX);

	fns_assert(h && v->len <= HELD_LEN);
	h->view = *v;
	h->len = v->len;
	memcpy(h->data, v->data, v->len);
	h->view.data = h->data;
	h->view.buf = h;
	return h;
}

static unsigned rx_due(struct fault_wire *w, struct fns_rx_view *views, unsigned max, uint64_t now)
{
	struct fault_held *h;
	unsigned n = 0;

	while (n < max && (h = fns_fault_due_pop(w, RX, now))) {
		views[n++] = h->view;
		w->views_out++;
	}
	return n;
}

static bool is_ours(const struct fault_wire *w, const void *buf)
{
	const struct fns_pool *p = &w->lane[RX].pool;

	return (const char *)buf >= p->mem && (const char *)buf < p->mem + p->size * p->count;
}

static void rx_release(struct fns_wire *base, struct fns_rx_view *v)
{
	struct fault_wire *w = fns_fault_of(base);

	if (is_ours(w, v->buf)) {
		w->views_out--;
		fns_fault_held_put(w, v->buf);
	} else {
		w->cfg.below->ops->rx_release(w->cfg.below, v);
	}
}

/* One packet from below: 1 if it goes up at once as it is, 0 if it was lost or is held. */
static unsigned rx_packet(struct fault_wire *w, struct fns_rx_view *v, uint64_t now)
{
	uint32_t qpn = v->len >= FNS_BTH_LEN ? get_be24(v->data + BTH_DEST_QP) : 0;
	struct fault_verdict d;

	if (v->len > HELD_LEN || !fns_fault_judge(w, RX, &v->src, qpn, now, &d))
		return 1;
	/* A queue of finite length drops at its tail. */
	d.lost |= w->lane[RX].pool.free < FNS_RX_BATCH + 2;
	if (d.lost || d.corrupt) {
		/* What is corrupted on its way here fails the check of its ICRC. */
		fns_fault_count(w, d.lost ? FNS_C_drop_sim_fault : FNS_C_drop_icrc);
		if (!d.lost)
			fns_fault_count(w, FNS_C_fault_corruptions);
	} else {
		fns_fault_hold(w, rx_copy(w, v), &d, now);
	}
	if (d.dup && !d.lost) {
		struct fault_verdict late = {.delay_ns = d.delay_ns};

		fns_fault_hold(w, rx_copy(w, v), &late, now);
		fns_fault_count(w, FNS_C_fault_duplicates);
	}
	w->cfg.below->ops->rx_release(w->cfg.below, v);
	return 0;
}

static unsigned rx_burst(struct fns_wire *base, struct fns_rx_view *views, unsigned max)
{
	struct fault_wire *w = fns_fault_of(base);
	uint64_t now = fns_fault_now(w);
	unsigned n, got, i;

	pump_tx(w, now);
	if (w->nerrors)
		fns_fault_errors_look(w);
	fns_fault_over_expire(w, RX, now);
	n = rx_due(w, views, max, now);
	if (n > 0)
		return n;
	got = w->cfg.below->ops->rx_burst(w->cfg.below, w->below, FNS_RX_BATCH);
	for (i = 0; i < got; i++) {
		struct fns_rx_view *v = &w->below[i];

		if (!rx_packet(w, v, now)) {
			n += rx_due(w, views + n, max - n, now);
			continue;
		}
		/* No room beside duplicates, or something older is due: behind that. */
		if (n == max) {
			fns_fault_hold(w, rx_copy(w, v), &(struct fault_verdict){0}, now);
			w->cfg.below->ops->rx_release(w->cfg.below, v);
		} else {
			views[n++] = *v;
		}
		if (fns_fault_over_passed(w, RX, now))
			n += rx_due(w, views + n, max - n, now);
	}
	return n;
}

/* --- the rest --- */

static int path_get(struct fns_wire *w, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl, struct fns_path **out)
{
	struct fns_wire *below = fns_fault_of(w)->cfg.below;

	return below->ops->path_get(below, local, remote, ifindex, prefix, tos, ttl, out);
}

static void path_put(struct fns_wire *w, struct fns_path *p)
{
	struct fns_wire *below = fns_fault_of(w)->cfg.below;

	below->ops->path_put(below, p);
}

static uint32_t rx_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	struct fns_wire *below = fns_fault_of(w)->cfg.below;

	return below->ops->rx_cost(below, len, bulk);
}

/* What is exposed stays so, for the time after; meanwhile the door is shut: see create. */
static void mr_expose(struct fns_wire *w, const struct fns_exposed_mr *mr)
{
	struct fns_wire *below = fns_fault_of(w)->cfg.below;

	if (below->ops->mr_expose)
		below->ops->mr_expose(below, mr);
}

static bool mr_conceal(struct fns_wire *w, uint32_t key)
{
	struct fns_wire *below = fns_fault_of(w)->cfg.below;

	return !below->ops->mr_conceal || below->ops->mr_conceal(below, key);
}

static void qp_expose(struct fns_wire *w, const struct fns_exposed_qp *qp)
{
	struct fns_wire *below = fns_fault_of(w)->cfg.below;

	if (below->ops->qp_expose)
		below->ops->qp_expose(below, qp);
}

static bool qp_conceal(struct fns_wire *w, uint32_t qpn)
{
	struct fns_wire *below = fns_fault_of(w)->cfg.below;

	return !below->ops->qp_conceal || below->ops->qp_conceal(below, qpn);
}

static void shut(struct fns_wire *w, bool on)
{
}

static void shut_below(struct fault_wire *w, bool on)
{
	if (w->cfg.below->ops->shut)
		w->cfg.below->ops->shut(w->cfg.below, on);
}

static uint64_t list_due(const struct fns_list *l)
{
	return fns_list_empty(l) ? UINT64_MAX
				 : fns_container_of(l->next, struct fault_held, node)->due_ns;
}

static uint64_t next(struct fns_wire *base)
{
	struct fault_wire *w = fns_fault_of(base);
	struct fns_wire *below = w->cfg.below;
	uint64_t at = below->ops->next ? below->ops->next(below) : UINT64_MAX;

	for (int i = 0; i < LANES; i++) {
		uint64_t due = FNS_MIN(list_due(&w->lane[i].queue), list_due(&w->lane[i].over));

		if (i == TX && w->blocked && due != UINT64_MAX)
			due = FNS_MAX(due, w->blocked_ns + RETRY_NS);
		at = FNS_MIN(at, due);
	}
	return w->nerrors ? FNS_MIN(at, fns_fault_now(w) + LOOK_NS) : at;
}

static void destroy(struct fns_wire *base)
{
	struct fault_wire *w = fns_fault_of(base);

	for (int i = 0; i < LANES; i++) {
		struct fns_list *n;

		while ((n = fns_list_pop_front(&w->lane[i].queue)) ||
			(n = fns_list_pop_front(&w->lane[i].over)))
			fns_fault_held_put(w, fns_container_of(n, struct fault_held, node));
		fns_pool_fini(&w->lane[i].pool);
	}
	shut_below(w, w->cfg.below->tap != NULL);
	free(w);
}

static const struct fns_wire_ops ops = {
	.name = "fault",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
	.destroy = destroy,
	.next = next,
	.mr_expose = mr_expose,
	.mr_conceal = mr_conceal,
	.qp_expose = qp_expose,
	.qp_conceal = qp_conceal,
	.shut = shut,
};

struct fns_wire *fns_wire_fault_create(const struct fns_fault_cfg *cfg)
{
	struct fault_wire *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->base = (struct fns_wire){.ops = &ops,
		.caps = cfg->below->caps,
		.stats = cfg->below->stats,
		.now_ns = cfg->below->now_ns};
	w->cfg = *cfg;
	shut_below(w, true);
	for (int i = 0; i < LANES; i++) {
		fns_list_init(&w->lane[i].queue);
		fns_list_init(&w->lane[i].over);
		if (fns_pool_init(&w->lane[i].pool, sizeof(struct fault_held), HELD_MAX) < 0) {
			destroy(&w->base);
			return NULL;
		}
	}
	return &w->base;
}

void fns_wire_fault_set(struct fns_wire *base, const struct fns_fault_spec *spec)
{
	struct fault_wire *w = fns_fault_of(base);

	w->spec = *spec;
	w->since_ns = fns_fault_now(w);
	if (spec->n == 0) {
		memset(w->error, 0, sizeof(w->error));
		w->nerrors = 0;
	}
	/* A stream for each rule and direction: one does not shift what another meets. */
	for (uint32_t i = 0; i < FNS_FAULT_RULES; i++)
		for (uint32_t k = 0; k < LANES; k++)
			fns_rng_seed(&w->rng[i][k], spec->seed * 64 + i * LANES + k);
}

const struct fns_fault_spec *fns_wire_fault_get(const struct fns_wire *base)
{
	return &((const struct fault_wire *)(const void *)base)->spec;
}

bool fns_wire_fault_idle(const struct fns_wire *base)
{
	const struct fault_wire *w = (const struct fault_wire *)(const void *)base;

	return w->spec.n == 0 && w->nerrors == 0 && w->views_out == 0 &&
	       w->lane[TX].pool.free == HELD_MAX && w->lane[RX].pool.free == HELD_MAX;
}
