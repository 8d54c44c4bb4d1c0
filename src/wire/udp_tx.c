/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 5/9: frames from the engine become UDP datagrams. Consecutive frames of one path and
 * equal length become one GSO train. First the burst is laid out (iovecs and ICRCs; this reads
 * payload, under one guard), then sent. Called by the engine.
 *
 *	stream in the arena:  hdr0 | pad0 icrc0 hdr1 | pad1 icrc1 hdr2 small-payload2 icrc2 hdr3 |
 * ... payload in place:          ^ payload0        ^ payload1                                  ^
 * payload3
 *
 * so that between two pieces of payload there is one iovec entry.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/util.h"
#include "mem/guard.h"
#include "wire/udp_priv.h"

#define PAD_MAX 4
#define RESV8A  4 /* of the BTH: counts as ones in the ICRC */

enum tx_result {
	TX_SENT,
	TX_BLOCKED, /* no space: the rest later */
	TX_LOST,    /* counted, goes on as if sent: the wire is lossy */
	TX_FAULTED, /* payload memory is gone */
	TX_TOO_BIG,
	TX_NO_TRAINS, /* as TX_LOST for one packet; a train may have been refused for being one */
};

static enum tx_result tx_classify(int err)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
	case EINTR:
		return TX_BLOCKED;
	case EFAULT:
		return TX_FAULTED;
	case EMSGSIZE:
		return TX_TOO_BIG;
	case EIO: /* the interface makes no checksums */
	case EINVAL:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		return TX_NO_TRAINS;
	default:
		return TX_LOST;
	}
}

void fns_udp_tx_init(struct udp_wire *w)
{
	const struct fns_icrc_flow any = {0};

	for (uint32_t i = 0; i < UDP_IDS; i++)
		w->id_delta[i] = fns_icrc_begin(&any, 0, (uint16_t)i) ^ fns_icrc_begin(&any, 0, 0);
	w->tx = (struct udp_layout){.arena = w->tx_arena, .iov = w->tx_iov, .train = w->trains};
	w->one = (struct udp_layout){
		.arena = w->one_arena, .iov = w->one_iov, .train = &w->one_train};
	for (uint32_t i = 0; i < FNS_TX_BATCH; i++) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)w->tx_control[i].b;

		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
	}
}

static uint32_t frame_len(const struct fns_frame *f)
{
	return f->hdr_len + f->payload_len + f->pad + FNS_ICRC_LEN;
}

/* The ICRC register after the pseudo header. */
static uint32_t icrc_start(struct udp_wire *w, struct udp_path *p, uint32_t len, uint32_t id)
{
	uint16_t udp_len = (uint16_t)(UDP_HDR_LEN + len);
	uint32_t slot = (len >> 2) % UDP_CRC_CACHE;

	if (p->crc_len[slot] != udp_len) {
		p->crc[slot] = fns_icrc_begin(&p->flow, udp_len, 0);
		p->crc_len[slot] = udp_len;
	}
	return p->flow.ipv6 ? p->crc[slot] : p->crc[slot] ^ w->id_delta[id];
}

static void put_le32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

/* The train that f continues, or NULL. */
static struct udp_train *train_of(struct udp_layout *l, const struct fns_frame *f, uint32_t len)
{
	struct udp_train *t = l->ntrains ? &l->train[l->ntrains - 1] : NULL;

	if (!t || &t->path->base != f->path || t->closed || !t->path->ts->gso || len > t->seg_len ||
		t->nseg >= UDP_MAX_SEGS || t->bytes + len > UDP_MAX_TRAIN)
		return NULL;
	return t;
}

/*
 * Lays out one frame. Reads payload, so it can be left by a fault at any such read: nothing that
 * counts in *l changes before the last of them.
 */
static void frame_build(struct udp_wire *w, struct udp_layout *l, struct fns_frame *f, uint32_t idx)
{
	struct udp_path *path = (struct udp_path *)(void *)f->path;
	uint32_t len = frame_len(f), pos = l->pos, open_iov = l->open_iov, open_pos = l->open_pos;
	struct udp_train *t = train_of(l, f, len);
	uint8_t *hdr = l->arena + pos;
	uint32_t crc = icrc_start(w, path, len, t ? t->nseg : 0);

	fns_assert(f->hdr_len >= FNS_BTH_LEN && f->hdr_len <= FNS_HDR_MAX && f->pad <= 3 &&
		   len <= UDP_MAX_PACKET);
	if (!t && l->ntrains) {
		l->iov[open_iov].iov_base = l->arena + open_pos;
		l->iov[open_iov].iov_len = pos - open_pos;
		open_iov++;
		open_pos = pos;
	}
	uint32_t iov_first = open_iov;

	/* All of it, and of the pad: copies of constant length are a few moves, others a slow loop.
	 */
	memcpy(hdr, f->hdr, FNS_HDR_MAX);
	hdr[RESV8A] = 0xff;
	pos += f->hdr_len;
	if (f->payload_len <= UDP_COPY_MAX) {
		uint32_t end = pos + f->payload_len;

		for (uint32_t i = 0; i < f->nsg; i++) {
			uint32_t n = FNS_MIN(f->sg[i].len, end - pos);

			memcpy(l->arena + pos, f->sg[i].addr, n);
			pos += n;
		}
		memset(l->arena + pos, 0, PAD_MAX);
		pos += f->pad;
		crc = fns_icrc_update(crc, hdr, (size_t)(l->arena + pos - hdr));
	} else {
		crc = fns_icrc_update(crc, hdr, f->hdr_len);
		l->iov[open_iov].iov_base = l->arena + open_pos;
		l->iov[open_iov].iov_len = pos - open_pos;
		open_iov++;
		for (uint32_t i = 0; i < f->nsg; i++) {
			if (f->sg[i].len == 0)
				continue;
			crc = fns_icrc_update(crc, f->sg[i].addr, f->sg[i].len);
			l->iov[open_iov].iov_base = (void *)(uintptr_t)f->sg[i].addr;
			l->iov[open_iov].iov_len = f->sg[i].len;
			open_iov++;
		}
		open_pos = pos;
		memset(l->arena + pos, 0, PAD_MAX);
		crc = fns_icrc_update(crc, l->arena + pos, f->pad);
		pos += f->pad;
	}
	hdr[RESV8A] = f->hdr[RESV8A];
	put_le32(l->arena + pos, fns_icrc_final(crc) ^ f->icrc_xor);
	pos += FNS_ICRC_LEN;

	/* No more reads of payload: the frame is in. The fence keeps the compiler from moving this
	 * up. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (!t) {
		t = &l->train[l->ntrains++];
		*t = (struct udp_train){
			.path = path, .first = idx, .iov_first = iov_first, .seg_len = len};
	}
	t->last = idx;
	t->nseg++;
	t->bytes += len;
	t->closed = len < t->seg_len;
	t->iov_n = open_iov + 1 - t->iov_first;
	l->pos = pos;
	l->open_iov = open_iov;
	l->open_pos = open_pos;
	f->status = FNS_FRAME_SENT;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void layout_reset(struct udp_layout *l)
{
	l->pos = l->open_iov = l->open_pos = l->ntrains = 0;
}

/* Lays out frames[from..to). Those whose payload faults are marked and left out. */
static void layout_build(struct udp_wire *w, struct udp_layout *l, struct fns_frame *frames,
	uint32_t from, uint32_t to)
{
	struct fns_guard g;

	l->cur = from;
	while (l->cur < to) { /* each round ends it or moves cur */
		if (fns_guard_begin(&g)) {
			for (; l->cur < to; l->cur++)
				frame_build(w, l, &frames[l->cur], l->cur);
			fns_guard_end();
		} else {
			frames[l->cur].status = FNS_FRAME_FAULT;
			l->cur++;
		}
	}
	if (l->ntrains) {
		l->iov[l->open_iov].iov_base = l->arena + l->open_pos;
		l->iov[l->open_iov].iov_len = l->pos - l->open_pos;
	}
}

static void train_msg(struct msghdr *m, const struct udp_layout *l, const struct udp_train *t,
	struct udp_gso_control *control)
{
	m->msg_name = &t->path->sa;
	m->msg_namelen = t->path->sa_len;
	m->msg_iov = l->iov + t->iov_first;
	m->msg_iovlen = t->iov_n;
	m->msg_control = NULL;
	m->msg_controllen = 0;
	m->msg_flags = 0;
	if (t->nseg > 1) {
		uint16_t seg = (uint16_t)t->seg_len;

		memcpy(CMSG_DATA((struct cmsghdr *)(void *)control->b), &seg, sizeof(seg));
		m->msg_control = control->b;
		m->msg_controllen = sizeof(control->b);
	}
}

static void train_sent(struct udp_wire *w, const struct udp_layout *l, const struct udp_train *t)
{
	if (fns_unlikely(w->base.tap != NULL))
		fns_udp_tap_tx(w, l, t);
	udp_count(w, FNS_C_tx_packets, t->nseg);
	udp_count(w, FNS_C_tx_bytes, t->bytes);
	udp_count(w, FNS_C_tx_trains, 1);
}

static void log_too_big(struct udp_wire *w, uint32_t len)
{
	if (w->mtu_logged)
		return;
	w->mtu_logged = true;
	fns_log(FNS_LOG_ERROR,
		"a packet of %u bytes (BTH to ICRC) is larger than the network takes without "
		"fragments: raise the interface's MTU or lower the path MTU of the queue pair",
		len);
}

/* Sends one frame by itself, laid out anew. */
static enum tx_result frame_send(struct udp_wire *w, struct fns_frame *frames, uint32_t idx)
{
	struct udp_layout *l = &w->one;
	struct udp_train *t = &w->one_train;
	struct msghdr m;
	enum tx_result r;

	layout_reset(l);
	layout_build(w, l, frames, idx, idx + 1);
	if (l->ntrains == 0)
		return TX_FAULTED;
	train_msg(&m, l, t, NULL);
	if (sendmsg(t->path->ts->fd, &m, MSG_DONTWAIT) >= 0) {
		train_sent(w, l, t);
		return TX_SENT;
	}
	r = tx_classify(errno);
	if (r == TX_BLOCKED)
		return r;
	if (r == TX_FAULTED) {
		frames[idx].status = FNS_FRAME_FAULT;
		return r;
	}
	if (r == TX_TOO_BIG)
		log_too_big(w, t->seg_len);
	udp_count(w, FNS_C_tx_errors, 1);
	return r;
}

/*
 * Sends the frames of a train that failed one by one, with identifications to suit. True and *next
 * when all are dealt with, false and *next at the first that is not. *first: what became of the
 * first.
 */
static bool train_send_singly(struct udp_wire *w, struct fns_frame *frames,
	const struct udp_train *t, uint32_t *next, enum tx_result *first)
{
	*first = TX_LOST;
	for (uint32_t i = t->first; i <= t->last; i++) {
		enum tx_result r;

		*next = i;
		if (frames[i].status == FNS_FRAME_FAULT)
			continue;
		r = frame_send(w, frames, i);
		if (i == t->first)
			*first = r;
		if (r == TX_BLOCKED)
			return false;
	}
	*next = t->last + 1;
	return true;
}

/* The message of train t failed with err. False and *next when the wire is full. */
static bool train_failed(struct udp_wire *w, struct fns_frame *frames, const struct udp_train *t,
	int err, uint32_t *next)
{
	struct udp_sock *ts = t->path->ts;
	enum tx_result r = tx_classify(err), first;
	bool all;

	if (r == TX_BLOCKED) {
		*next = t->first;
		return false;
	}
	if (t->nseg == 1 && r == TX_FAULTED) {
		frames[t->first].status = FNS_FRAME_FAULT;
		return true;
	}
	if (t->nseg == 1 || r == TX_LOST) {
		if (r == TX_TOO_BIG)
			log_too_big(w, t->seg_len);
		udp_count(w, FNS_C_tx_errors, t->nseg);
		return true;
	}
	all = train_send_singly(w, frames, t, next, &first);
	/* A single packet of the train's size went through: it was the train that was refused. */
	if (r != TX_FAULTED && first == TX_SENT && ts->gso) {
		ts->gso = false;
		fns_log(FNS_LOG_INFO, "UDP GSO refused (%s): sending packets singly",
			strerror(err));
	}
	return all;
}

/* One message: 1, or -1 with errno. A small packet alone is one piece, for which there is a cheaper
 * call. */
static int msg_send(int fd, const struct msghdr *m)
{
	ssize_t r;

	if (m->msg_iovlen == 1 && m->msg_controllen == 0)
		r = sendto(fd, m->msg_iov->iov_base, m->msg_iov->iov_len, MSG_DONTWAIT, m->msg_name,
			m->msg_namelen);
	else
		r = sendmsg(fd, m, MSG_DONTWAIT);
	return r < 0 ? -1 : 1;
}

/* True when all trains are dealt with, else *next is the first frame that is not. */
static bool trains_send(struct udp_wire *w, struct fns_frame *frames, uint32_t *next)
{
	struct udp_layout *l = &w->tx;
	uint32_t k = 0;

	for (uint32_t i = 0; i < l->ntrains; i++)
		train_msg(&w->tx_mm[i].msg_hdr, l, &l->train[i], &w->tx_control[i]);
	while (k < l->ntrains) { /* each round deals with one train or more */
		struct udp_sock *ts = l->train[k].path->ts;
		enum tx_result first;
		uint32_t run = 1;
		int sent;

		if (l->train[k].nseg > 1 && !ts->gso) { /* refused within this burst */
			if (!train_send_singly(w, frames, &l->train[k++], next, &first))
				return false;
			continue;
		}
		while (k + run < l->ntrains && l->train[k + run].path->ts == ts)
			run++;
		if (run == 1)
			sent = msg_send(ts->fd, &w->tx_mm[k].msg_hdr);
		else
			sent = sendmmsg(ts->fd, w->tx_mm + k, run, MSG_DONTWAIT);
		if (sent <= 0) {
			if (!train_failed(w, frames, &l->train[k++], errno, next))
				return false;
			continue;
		}
		for (int i = 0; i < sent; i++)
			train_sent(w, l, &l->train[k++]);
	}
	return true;
}

unsigned fns_udp_tx_burst(struct fns_wire *base, struct fns_frame *frames, unsigned n)
{
	struct udp_wire *w = udp_of(base);
	unsigned done = 0;

	while (done < n) { /* each round takes one frame or more, or returns */
		uint32_t batch = 0, iovs = 1, next;

		/* A frame brings its pieces and at most two cuts of the stream. */
		for (; done + batch < n && batch < FNS_TX_BATCH; batch++) {
			iovs += frames[done + batch].nsg + 2u;
			if (iovs > UDP_IOVS)
				break;
		}
		layout_reset(&w->tx);
		layout_build(w, &w->tx, frames + done, 0, batch);
		if (!trains_send(w, frames + done, &next)) {
			udp_count(w, FNS_C_tx_blocked, 1);
			return done + next;
		}
		done += batch;
	}
	return done;
}
