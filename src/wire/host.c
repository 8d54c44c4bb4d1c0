/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire of a process on a host: udp for the network, shm for the other processes of this host
 * and user, as one. Owns both. Which of them a path is of is decided when it is made, since packets
 * of one queue pair must not overtake each other; but a shm path whose peer has broken it off goes
 * on over udp. Called by the engine.
 *
 * Receiving looks at both. A look at a ring costs a nanosecond or two, one at an empty socket a
 * system call, so while there are rings and the socket is quiet it is asked only now and then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "wire/wire.h"

/* How often a quiet socket is asked beside rings: a hundredth or two of the time of who polls. */
#define UDP_POLL_NS (8 * FNS_NSEC_PER_USEC)
/* So long after its last packet a socket is not quiet. */
#define UDP_HOT_NS (50 * FNS_NSEC_PER_USEC)

/* Parts of paths and views. */
enum {
	UDP,
	SHM,
	UDP_BEHIND_SHM, /* a path */
};

struct host_wire {
	struct fns_wire base;
	struct fns_wire *udp;
	struct fns_wire *shm; /* NULL: not wanted, or not to be had */
	enum fns_wire_choice choice;
	uint64_t udp_ns, udp_hot_until_ns; /* last look at the socket */
};

static struct host_wire *host_of(struct fns_wire *w)
{
	return (struct host_wire *)(void *)w;
}

/* What the owner of a wire sets in it, handed down. */
static void hand_down(struct host_wire *w, struct fns_wire *to)
{
	to->stats = w->base.stats;
	to->now_ns = w->base.now_ns;
	to->tap = w->base.tap;
}

static int path_get(struct fns_wire *base, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl,
	struct fns_path **out)
{
	struct host_wire *w = host_of(base);
	struct fns_path *u, *s;
	int err;

	/* First, so that a path fails for the same reasons on either. */
	err = w->udp->ops->path_get(w->udp, local, remote, ifindex, prefix, tos, ttl, &u);
	if (err)
		return err;
	if (w->shm)
		hand_down(w, w->shm);
	/* One that is in use already stays what it is, and costs no question. */
	if (!w->shm || (u->refs > 1 && u->part == UDP) ||
		w->shm->ops->path_get(w->shm, local, remote, ifindex, prefix, tos, ttl, &s) < 0) {
		if (w->choice == FNS_WIRE_SHM) {
			w->udp->ops->path_put(w->udp, u);
			return -ENETUNREACH;
		}
		*out = u;
		return 0;
	}
	s->part = SHM;
	u->part = UDP_BEHIND_SHM;
	if (s->fallback)
		w->udp->ops->path_put(w->udp, u);
	else
		s->fallback = u;
	*out = s;
	return 0;
}

static void path_put(struct fns_wire *base, struct fns_path *p)
{
	struct host_wire *w = host_of(base);

	if (p->part == SHM) {
		if (p->refs == 1)
			w->udp->ops->path_put(w->udp, p->fallback);
		w->shm->ops->path_put(w->shm, p);
	} else {
		w->udp->ops->path_put(w->udp, p);
	}
}

/* --- bursts --- */

/* What is lent cannot go by udp: that of a broken path is lost. */
static bool by_shm(const struct fns_frame *f)
{
	return f->path->part == SHM && (!f->path->broken || f->loan);
}

/* Frames of udp, and those whose shm path is broken, which stay with udp from here on. */
static unsigned tx_udp(struct host_wire *w, struct fns_frame *frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fns_unlikely(frames[i].path->part == SHM))
			frames[i].path = frames[i].path->fallback;
	return w->udp->ops->tx_burst(w->udp, frames, n);
}

static unsigned tx_burst(struct fns_wire *base, struct fns_frame *frames, unsigned n)
{
	struct host_wire *w = host_of(base);
	unsigned done = 0;

	hand_down(w, w->udp);
	if (w->shm)
		hand_down(w, w->shm);
	while (done < n) { /* each round takes one frame or more, or returns */
		bool shm = by_shm(&frames[done]);
		unsigned run = 1, taken;

		while (done + run < n && by_shm(&frames[done + run]) == shm)
			run++;
		taken = shm ? w->shm->ops->tx_burst(w->shm, frames + done, run)
			    : tx_udp(w, frames + done, run);
		done += taken;
		if (taken < run)
			break;
	}
	return done;
}

static bool udp_due(const struct host_wire *w)
{
	uint64_t now;

	if (!w->shm || !w->base.now_ns)
		return true;
	now = *w->base.now_ns;
	return now < w->udp_hot_until_ns || now - w->udp_ns >= UDP_POLL_NS;
}

static unsigned rx_burst(struct fns_wire *base, struct fns_rx_view *views, unsigned max)
{
	struct host_wire *w = host_of(base);
	unsigned n = 0, m;

	if (w->shm) {
		hand_down(w, w->shm);
		n = w->shm->ops->rx_burst(w->shm, views, max);
		for (unsigned i = 0; i < n; i++)
			views[i].part = SHM;
	}
	if (!udp_due(w) || n == max)
		return n;
	hand_down(w, w->udp);
	m = w->udp->ops->rx_burst(w->udp, views + n, max - n);
	for (unsigned i = n; i < n + m; i++) {
		views[i].part = UDP;
		views[i].lent = 0;
	}
	if (w->base.now_ns) {
		w->udp_ns = *w->base.now_ns;
		if (m)
			w->udp_hot_until_ns = w->udp_ns + UDP_HOT_NS;
	}
	return n + m;
}

static void rx_release(struct fns_wire *base, struct fns_rx_view *v)
{
	struct host_wire *w = host_of(base);

	if (v->part == SHM)
		w->shm->ops->rx_release(w->shm, v);
	else
		w->udp->ops->rx_release(w->udp, v);
}

/* The dearer of the two, which is udp's. */
static uint32_t rx_cost(struct fns_wire *base, uint32_t len, bool bulk)
{
	struct host_wire *w = host_of(base);

	return w->udp->ops->rx_cost(w->udp, len, bulk);
}

/* --- the rest --- */

static bool maybe(struct fns_wire *base)
{
	struct host_wire *w = host_of(base);

	/* The socket cannot tell; while it is quiet it is asked seldom anyway. */
	return !w->shm || !w->base.now_ns || *w->base.now_ns < w->udp_hot_until_ns ||
	       w->shm->ops->maybe(w->shm);
}

static int fd(const struct fns_wire *base)
{
	const struct host_wire *w = (const struct host_wire *)(const void *)base;

	return w->shm ? w->shm->ops->fd(w->shm) : -1;
}

static void events(struct fns_wire *base)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		w->shm->ops->events(w->shm);
}

static void arm(struct fns_wire *base, bool on)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		w->shm->ops->arm(w->shm, on);
}

static void mr_expose(struct fns_wire *base, const struct fns_exposed_mr *mr)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		w->shm->ops->mr_expose(w->shm, mr);
}

static bool mr_conceal(struct fns_wire *base, uint32_t key)
{
	struct host_wire *w = host_of(base);

	return !w->shm || w->shm->ops->mr_conceal(w->shm, key);
}

static void qp_expose(struct fns_wire *base, const struct fns_exposed_qp *qp)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		w->shm->ops->qp_expose(w->shm, qp);
}

static bool qp_conceal(struct fns_wire *base, uint32_t qpn)
{
	struct host_wire *w = host_of(base);

	return !w->shm || w->shm->ops->qp_conceal(w->shm, qpn);
}

static void shut(struct fns_wire *base, bool on)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		w->shm->ops->shut(w->shm, on);
}

/* Only paths of shm say that they can do it. */
static bool direct(struct fns_wire *base, const struct fns_direct *d)
{
	struct host_wire *w = host_of(base);

	hand_down(w, w->shm);
	return w->shm->ops->direct(w->shm, d);
}

static bool lends(struct fns_wire *base, const struct fns_path *path)
{
	struct host_wire *w = host_of(base);

	if (path->part != SHM || path->broken)
		return false;
	hand_down(w, w->shm);
	return w->shm->ops->lends(w->shm, path);
}

static int fetch(struct fns_wire *base, const struct fns_rx_view *v, const struct iovec *to,
	unsigned nto, struct fns_dma_token *t)
{
	struct host_wire *w = host_of(base);

	return w->shm->ops->fetch(w->shm, v, to, nto, t);
}

static void destroy(struct fns_wire *base)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		w->shm->ops->destroy(w->shm);
	if (w->udp)
		w->udp->ops->destroy(w->udp);
	free(w);
}

static const struct fns_wire_ops ops = {
	.name = "host",
	.path_get = path_get,
	.path_put = path_put,
	.tx_burst = tx_burst,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
	.rx_cost = rx_cost,
	.destroy = destroy,
	.fd = fd,
	.maybe = maybe,
	.events = events,
	.arm = arm,
	.mr_expose = mr_expose,
	.mr_conceal = mr_conceal,
	.qp_expose = qp_expose,
	.qp_conceal = qp_conceal,
	.shut = shut,
	.direct = direct,
	.lends = lends,
	.fetch = fetch,
};

struct fns_wire *fns_wire_host_create(const struct fns_wire_host_cfg *cfg)
{
	const struct fns_wire_shm_cfg sc = {.port = cfg->port, .prefix = cfg->udp.prefix};
	struct host_wire *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->base.ops = &ops;
	w->choice = cfg->choice;
	w->udp = fns_wire_udp_create(&cfg->udp);
	if (w->udp && cfg->choice != FNS_WIRE_UDP)
		w->shm = fns_wire_shm_create(&sc);
	if (!w->udp || (!w->shm && cfg->choice == FNS_WIRE_SHM)) {
		int err = errno;

		destroy(&w->base);
		errno = err;
		return NULL;
	}
	if (!w->shm && cfg->choice == FNS_WIRE_AUTO)
		fns_log(FNS_LOG_INFO, "no shared memory with other processes of this host: %s",
			strerror(errno));
	w->base.caps = w->udp->caps;
	return &w->base;
}

void fns_wire_host_leave(struct fns_wire *base)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		fns_wire_shm_leave(w->shm);
}

void fns_wire_host_forget(struct fns_wire *base)
{
	struct host_wire *w = host_of(base);

	if (w->shm)
		fns_wire_shm_forget(w->shm);
}
