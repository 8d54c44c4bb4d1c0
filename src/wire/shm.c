/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same-host wire: frames to processes of this host through shared memory. Datapath 5/9 and 6/9.
 * The sender gathers payload straight into the receiver's ring: the one copy before placement. No
 * ICRC: nothing on the way can change a bit. Called by the composite wire (host.c) or by the
 * engine.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "mem/guard.h"
#include "roce/icrc.h"
#include "wire/shm_priv.h"

#define MAX_PACKET 65504u
/* Payload from here on begins on a line of its own; below, the record is kept short. */
#define ALIGN_FROM 512u
/* Port that such packets come from where one has to be named. */
#define SPORT       49152u
#define TTL_DEFAULT 64

/* --- paths --- */

static bool path_line_get(struct shm_out *o, uint32_t *id)
{
	shm_ring_look(&o->ring);
	for (uint32_t i = 0; i < SHM_PATHS; i++) {
		if (o->path_used[i] || o->path_free_at[i] > o->ring.done)
			continue;
		o->path_used[i] = true;
		*id = i;
		return true;
	}
	return false;
}

static struct shm_path *path_find(struct shm_wire *w, const struct fns_path *want)
{
	struct fns_list *it;

	fns_list_for_each (it, &w->paths) {
		struct shm_path *p = fns_container_of(it, struct shm_path, node);
		const struct fns_path *b = &p->base;

		if (!b->broken && b->prefix == want->prefix && b->tos == want->tos &&
			b->ttl == want->ttl && b->ifindex == want->ifindex &&
			fns_gid_equal(&b->local, &want->local) &&
			fns_gid_equal(&b->remote, &want->remote))
			return p;
	}
	return NULL;
}

static int path_get(struct fns_wire *base, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl,
	struct fns_path **out)
{
	struct shm_wire *w = shm_of(base);
	struct fns_path want =
		fns_path_to(local, remote, ifindex, prefix, tos, ttl ? ttl : TTL_DEFAULT);
	struct shm_path *p = path_find(w, &want);
	struct shm_path_line *line;

	if (p) {
		p->base.refs++;
		*out = &p->base;
		return 0;
	}
	if (fns_gid_is_multicast(remote) || !fns_shm_is_local(remote) || !fns_shm_is_local(local))
		return -EHOSTUNREACH;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (fns_shm_out_get(w, prefix, &p->out) < 0) {
		free(p);
		return -EHOSTUNREACH;
	}
	if (!path_line_get(p->out, &p->id)) {
		fns_shm_out_put(w, p->out);
		free(p);
		return -EHOSTUNREACH;
	}
	p->base = want;
	p->base.rx_bytes = SHM_WINDOW;
	p->base.reads_once = true;
	p->base.direct = p->out->reach.file != NULL;
	line = &p->out->ring.shared->path[p->id];
	line->src = *local;
	line->dst = *remote;
	line->tos = tos;
	line->ttl = want.ttl;
	fns_list_push_back(&w->paths, &p->node);
	*out = &p->base;
	return 0;
}

static void path_put(struct fns_wire *base, struct fns_path *fp)
{
	struct shm_wire *w = shm_of(base);
	struct shm_path *p = (struct shm_path *)(void *)fp;

	if (--fp->refs > 0)
		return;
	fns_list_remove(&p->node);
	p->out->path_used[p->id] = false;
	p->out->path_free_at[p->id] = p->out->ring.pos;
	fns_shm_out_put(w, p->out);
	free(p);
}

/* --- for who watches --- */

/* Off the datapath: shows the packet as the RoCEv2 packet that it stands for, sum and all. */
static void show(struct shm_wire *w, const struct shm_path_line *line, const uint8_t *data,
	uint32_t len, bool out, uint32_t icrc_xor, enum fns_counter drop)
{
	struct fns_icrc_flow flow = {
		.sport = SPORT, .dport = w->cfg.port, .ipv6 = !fns_gid_is_v4(&line->src)};
	uint8_t icrc[FNS_ICRC_LEN];
	struct iovec iov[2] = {{(void *)(uintptr_t)data, len}, {icrc, sizeof(icrc)}};
	struct fns_tap_packet p = {
		.src = line->src,
		.dst = line->dst,
		.sport = SPORT,
		.dport = w->cfg.port,
		.tos = line->tos,
		.ttl = line->ttl,
		.out = out,
		.ip_id = 0,
		.iov = iov,
		.len = len + FNS_ICRC_LEN,
		.drop = drop,
	};
	uint32_t crc;

	memcpy(flow.src, line->src.b, sizeof(flow.src));
	memcpy(flow.dst, line->dst.b, sizeof(flow.dst));
	crc = fns_icrc_begin(&flow, (uint16_t)(8 + len + FNS_ICRC_LEN), 0);
	crc = fns_icrc_final(fns_icrc_bth(crc, data, len)) ^ icrc_xor;
	for (unsigned i = 0; i < sizeof(icrc); i++)
		icrc[i] = (uint8_t)(crc >> 8 * i);
	w->base.tap->packet(w->base.tap, &p);
}

/* --- out --- */

/* After a run of frames of one link: does its receiver sleep? */
static void wake(struct shm_wire *w)
{
	struct shm_out *o = w->tx_out;
	const uint64_t one = 1;

	w->tx_out = NULL;
	if (!o)
		return;
	/* Pairs with the fence in arm(): either we see that it sleeps or it sees the record. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&o->ring.shared->armed, memory_order_relaxed) &&
		atomic_exchange_explicit(&o->ring.shared->armed, 0, memory_order_relaxed)) {
		shm_count(w, FNS_C_shm_tx_wakeups, 1);
		(void)!write(o->wake, &one, sizeof(one));
	}
}

/* The ring is full: false: the frame waits; true: it is lost, since nobody has read for long. */
static bool stuck(struct shm_wire *w, struct shm_out *o)
{
	uint64_t now = w->base.now_ns && *w->base.now_ns ? *w->base.now_ns : 1;

	if (o->full_ns == 0 || o->full_at != o->ring.done) {
		o->full_ns = now;
		o->full_at = o->ring.done;
	}
	return now - o->full_ns >= SHM_STUCK_NS;
}

/*
 * One frame into its ring; false: no room. Reads payload, so it can be left by a fault at any such
 * read: nothing counts before the record is published.
 */
static bool frame_put(struct shm_wire *w, struct fns_frame *f)
{
	struct shm_path *p = (struct shm_path *)(void *)f->path;
	struct shm_out *o = p->out;
	uint32_t len = f->hdr_len + f->payload_len + f->pad, off = 4, bytes, word;
	uint8_t *rec, *to, *end;

	if (fns_unlikely(f->loan != NULL))
		len = fns_shm_lend_bytes(f, off);
	fns_assert(f->hdr_len >= FNS_BTH_LEN && f->hdr_len <= FNS_HDR_MAX && f->pad <= 3 &&
		   len <= MAX_PACKET);
	if (!f->loan && f->payload_len >= ALIGN_FROM && f->hdr_len % 4 == 0)
		off = SHM_LINE - f->hdr_len;
	bytes = FNS_ALIGN_UP(off + len, SHM_LINE);
	f->status = FNS_FRAME_SENT;
	if (fns_unlikely(p->base.broken)) {
		shm_count(w, FNS_C_tx_errors, 1);
		return true;
	}
	rec = shm_ring_reserve(&o->ring, bytes);
	if (fns_unlikely(!rec)) {
		if (!stuck(w, o))
			return false;
		shm_count(w, FNS_C_tx_errors, 1);
		return true;
	}
	if (fns_unlikely(w->tx_out != o))
		wake(w);
	/* All of it: a copy of constant length is a few moves. What is behind is written next. */
	memcpy(rec + off, f->hdr, FNS_HDR_MAX);
	to = rec + off + f->hdr_len;
	end = to + f->payload_len;
	if (f->loan)
		fns_shm_lend_put(rec, f);
	for (uint32_t i = 0; i < f->nsg && !f->loan; i++) {
		uint32_t n = FNS_MIN(f->sg[i].len, (uint32_t)(end - to));

		memcpy(to, f->sg[i].addr, n);
		to += n;
	}
	if (!f->loan)
		memset(end, 0, f->pad);
	/* No more reads of payload. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	word = len | (off / 4) << SHM_WORD_OFF_SHIFT | p->id << SHM_WORD_PATH_SHIFT |
	       (f->icrc_xor ? SHM_WORD_CORRUPT : 0) | (f->loan ? SHM_WORD_LENT : 0);
	if (fns_unlikely(w->base.tap != NULL && !f->loan))
		show(w, &o->ring.shared->path[p->id], rec + off, len, true, f->icrc_xor,
			FNS_C_COUNT);
	shm_ring_publish(&o->ring, word, bytes);
	w->tx_out = o;
	w->tx_packets++;
	w->tx_bytes += f->hdr_len + f->payload_len + f->pad;
	if (f->loan) {
		w->tx_lent++;
		w->tx_lent_bytes += f->payload_len;
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return true;
}

/* Up to the first that finds no room. */
static void frames_put(struct shm_wire *w, struct fns_frame *frames, unsigned n)
{
	struct fns_guard g;

	while (w->tx_cur < n) { /* each round ends it or moves tx_cur */
		if (fns_guard_begin(&g)) {
			while (w->tx_cur < n && frame_put(w, &frames[w->tx_cur]))
				w->tx_cur++;
			fns_guard_end();
			break;
		}
		frames[w->tx_cur].status = FNS_FRAME_FAULT;
		w->tx_cur++;
	}
}

static unsigned tx_burst(struct fns_wire *base, struct fns_frame *frames, unsigned n)
{
	struct shm_wire *w = shm_of(base);

	w->tx_cur = 0;
	w->tx_packets = w->tx_bytes = w->tx_lent = w->tx_lent_bytes = 0;
	w->tx_out = NULL;
	frames_put(w, frames, n);
	wake(w);
	shm_count(w, FNS_C_tx_packets, w->tx_packets);
	shm_count(w, FNS_C_tx_bytes, w->tx_bytes);
	shm_count(w, FNS_C_shm_tx_packets, w->tx_packets);
	shm_count(w, FNS_C_shm_tx_bytes, w->tx_bytes);
	if (w->tx_lent) {
		shm_count(w, FNS_C_lent_packets, w->tx_lent);
		shm_count(w, FNS_C_lent_bytes, w->tx_lent_bytes);
	}
	if (w->tx_cur < n)
		shm_count(w, FNS_C_tx_blocked, 1);
	return w->tx_cur;
}

/* --- without packets --- */

static bool direct(struct fns_wire *base, const struct fns_direct *d)
{
	struct shm_out *o = ((const struct shm_path *)(const void *)d->path)->out;
	uint64_t now = base->now_ns ? *base->now_ns : 0;
	struct shm_wire *w = shm_of(base);
	bool dead = false, done = false;

	/* Who watches wants to see packets. */
	if (!o->reach.file || base->tap ||
		(d->if_asleep &&
			!atomic_load_explicit(&o->ring.shared->armed, memory_order_relaxed)))
		return false;
	if (now == 0 || now - o->alive_ns >= SHM_ALIVE_NS)
		dead = !shm_reach_alive(&o->reach);
	if (!dead) {
		o->alive_ns = now;
		done = shm_reach_do(
			&o->reach, &o->ring.shared->in_mr, &o->ring.shared->in_qp, d, &dead);
	}
	if (fns_unlikely(dead))
		fns_shm_out_unreach(w, o);
	if (done) {
		shm_count(w, FNS_C_direct_messages, 1);
		shm_count(w, FNS_C_direct_bytes, d->len);
	}
	return done;
}

static void mr_expose(struct fns_wire *base, const struct fns_exposed_mr *mr)
{
	shm_door_mr_expose(&shm_of(base)->door, mr);
}

static bool mr_conceal(struct fns_wire *base, uint32_t key)
{
	struct shm_wire *w = shm_of(base);
	struct fns_list *it;

	shm_door_mr_take_back(&w->door, key);
	fns_list_for_each (it, &w->in) {
		const struct shm_in *in = fns_container_of(it, struct shm_in, node);

		if (in->ring.shared && !in->ended && key &&
			atomic_load_explicit(&in->ring.shared->in_mr, memory_order_acquire) == key)
			return false;
	}
	return true;
}

static void qp_expose(struct fns_wire *base, const struct fns_exposed_qp *qp)
{
	shm_door_qp_expose(&shm_of(base)->door, qp);
}

static bool qp_conceal(struct fns_wire *base, uint32_t qpn)
{
	struct shm_wire *w = shm_of(base);
	struct fns_list *it;

	shm_door_qp_take_back(&w->door, qpn);
	fns_list_for_each (it, &w->in) {
		const struct shm_in *in = fns_container_of(it, struct shm_in, node);

		if (in->ring.shared && !in->ended &&
			atomic_load_explicit(&in->ring.shared->in_qp, memory_order_acquire) == qpn)
			return false;
	}
	return true;
}

static void shut(struct fns_wire *base, bool on)
{
	struct shm_wire *w = shm_of(base);

	struct fns_list *it;

	w->shut = on;
	if (w->door.file)
		atomic_store_explicit(&w->door.file->shut, on, memory_order_seq_cst);
	fns_list_for_each (it, &w->in) {
		const struct shm_in *in = fns_container_of(it, struct shm_in, node);

		if (in->ring.shared && in->pid)
			atomic_store_explicit(&in->ring.shared->fetches, !on, memory_order_relaxed);
	}
}

/* --- in --- */

/* Gives back the oldest records that are released. */
static void in_reclaim(struct shm_wire *w, struct shm_in *in)
{
	struct shm_rec *r;

	while ((r = in->oldest) && r->done) {
		in->oldest = r->next;
		shm_ring_give_back(&in->ring, r->bytes);
		fns_pool_put(&w->recs, r);
	}
	if (fns_unlikely(in->gone && !in->oldest))
		fns_shm_in_end(w, in);
}

static void rx_release(struct fns_wire *base, struct fns_rx_view *v)
{
	struct shm_rec *r = v->buf;

	r->done = true;
	if (r->in->oldest == r)
		in_reclaim(shm_of(base), r->in);
}

static void in_append(struct shm_wire *w, struct shm_in *in, struct shm_rec *r, uint32_t bytes)
{
	r->in = in;
	r->next = NULL;
	r->bytes = bytes;
	r->done = false;
	if (in->oldest)
		in->newest->next = r;
	else
		in->oldest = r;
	in->newest = r;
	in->ring.pos += bytes;
}

/* Up to max views from one link. */
static unsigned in_burst(
	struct shm_wire *w, struct shm_in *in, struct fns_rx_view *views, unsigned max)
{
	uint32_t packets = 0, bytes = 0, word = 1;
	unsigned n = 0;

	while (n < max && w->recs.free && (word = shm_ring_peek(&in->ring)) != 0) {
		const uint8_t *rec = (const uint8_t *)shm_word_at(&in->ring, in->ring.pos);
		const struct shm_path_line *line;
		struct fns_rx_view *v = &views[n];
		bool corrupt = word & SHM_WORD_CORRUPT;
		struct shm_rec *r;

		v->lent = 0;
		if (fns_unlikely(!shm_word_valid(&in->ring, word, FNS_BTH_LEN) ||
				 ((word & SHM_WORD_LENT) &&
					 !fns_shm_lent_look(rec, shm_word_bytes(word), v)))) {
			shm_count(w, FNS_C_drop_short, 1);
			in->ended = true;
			word = 0;
			break;
		}
		line = &in->ring.shared->path[word >> SHM_WORD_PATH_SHIFT];
		r = fns_pool_get(&w->recs);
		in_append(w, in, r, shm_word_bytes(word));
		v->data = rec + shm_word_off(word);
		if (!v->lent)
			v->len = shm_word_len(word);
		v->tos = line->tos;
		v->ecn = v->tos & 3;
		v->ttl = line->ttl;
		v->sport = SPORT;
		v->src = line->src;
		v->dst = line->dst;
		v->buf = r;
		packets++;
		bytes += v->len + v->lent;
		/* It counts as lost, and comes again with its payload. */
		if (fns_unlikely(v->lent && fns_shm_is_shut(w))) {
			r->done = true;
			in_reclaim(w, in);
			continue;
		}
		if (fns_unlikely(w->base.tap != NULL))
			show(w, line, v->data, v->len, false, corrupt,
				corrupt ? FNS_C_drop_icrc : FNS_C_COUNT);
		if (fns_unlikely(corrupt)) {
			shm_count(w, FNS_C_drop_icrc, 1);
			r->done = true;
			in_reclaim(w, in);
			continue;
		}
		n++;
	}
	if (packets) {
		shm_count(w, FNS_C_rx_packets, packets);
		shm_count(w, FNS_C_rx_bytes, bytes);
		shm_count(w, FNS_C_shm_rx_packets, packets);
		shm_count(w, FNS_C_shm_rx_bytes, bytes);
		shm_count(w, FNS_C_rx_bursts, 1);
	}
	in->drained = word == 0;
	return n;
}

static unsigned rx_burst(struct fns_wire *base, struct fns_rx_view *views, unsigned max)
{
	struct shm_wire *w = shm_of(base);
	struct fns_list *it, *tmp;
	unsigned n = 0;

	fns_list_for_each_safe (it, tmp, &w->in) {
		struct shm_in *in = fns_container_of(it, struct shm_in, node);

		if (!in->ring.shared)
			continue;
		n += in_burst(w, in, views + n, max - n);
		if (fns_unlikely(in->ended && in->drained)) {
			fns_shm_in_end(w, in);
		} else if (n == max) {
			/* Those behind it come first next time. */
			fns_list_remove(&in->node);
			fns_list_push_back(&w->in, &in->node);
			break;
		}
	}
	return n;
}

static bool maybe(struct fns_wire *base)
{
	struct shm_wire *w = shm_of(base);
	struct fns_list *it;

	fns_list_for_each (it, &w->in) {
		struct shm_in *in = fns_container_of(it, struct shm_in, node);

		if (in->ring.shared && (in->ended || shm_ring_peek(&in->ring)))
			return true;
	}
	return false;
}

static void arm(struct fns_wire *base, bool on)
{
	struct shm_wire *w = shm_of(base);
	const uint64_t one = 1;
	struct fns_list *it;

	w->armed = on;
	fns_list_for_each (it, &w->in) {
		struct shm_in *in = fns_container_of(it, struct shm_in, node);

		if (in->ring.shared)
			atomic_store_explicit(&in->ring.shared->armed, on, memory_order_relaxed);
	}
	if (!on)
		return;
	/* Pairs with the fence in wake(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (maybe(base))
		(void)!write(w->self, &one, sizeof(one));
}

/* --- the rest --- */

static uint32_t rx_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	return FNS_ALIGN_UP(len + SHM_LINE, SHM_LINE);
}

static int fd(const struct fns_wire *w)
{
	return ((const struct shm_wire *)(const void *)w)->epfd;
}

static void destroy(struct fns_wire *base)
{
	struct shm_wire *w = shm_of(base);
	struct fns_list *n;

	/* Paths still out are forgotten, as the other wires do. */
	while ((n = fns_list_pop_front(&w->paths))) {
		struct shm_path *p = fns_container_of(n, struct shm_path, node);

		fns_shm_out_put(w, p->out);
		free(p);
	}
	fns_shm_links_fini(w);
	fns_pool_fini(&w->recs);
	free(w);
}

static const struct fns_wire_ops ops = {
	.name = "shm",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
	.destroy = destroy,
	.fd = fd,
	.maybe = maybe,
	.events = fns_shm_events,
	.arm = arm,
	.mr_expose = mr_expose,
	.mr_conceal = mr_conceal,
	.qp_expose = qp_expose,
	.qp_conceal = qp_conceal,
	.shut = shut,
	.direct = direct,
	.lends = fns_shm_lends,
	.fetch = fns_shm_fetch,
};

struct fns_wire *fns_wire_shm_create(const struct fns_wire_shm_cfg *cfg)
{
	struct shm_wire *w;
	int err = fns_guard_install();

	if (err) {
		errno = -err;
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->base.ops = &ops;
	w->base.caps.max_packet = MAX_PACKET;
	w->base.caps.reliable_payload = true;
	w->cfg = *cfg;
	fns_list_init(&w->in);
	fns_list_init(&w->out);
	fns_list_init(&w->paths);
	w->epfd = w->self = w->spare = w->listener = w->door.fd = -1;
	err = fns_pool_init(&w->recs, sizeof(struct shm_rec), SHM_RECS);
	if (err == 0)
		err = fns_shm_links_init(w);
	if (err == 0 && shm_door_make(&w->door) < 0)
		fns_log(FNS_LOG_INFO, "other processes will not place into our memory: %s",
			strerror(errno));
	if (err) {
		destroy(&w->base);
		errno = -err;
		return NULL;
	}
	return &w->base;
}
