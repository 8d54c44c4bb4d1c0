/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the same-host wire: what shm.c (life, bursts), shm_link.c (rendezvous, who comes and
 * goes) and shm_local.c (whose address is it) share. One thread, the engine's.
 *
 * A link carries frames one way, from one process to another: a ring, an eventfd to wake the
 * receiver, and a connection whose end tells that the other side has gone. The sender makes all
 * three; the receiver listens on an abstract name made of user, port and slot, which the kernel
 * scopes to the network namespace. So does the keeper's lease: a slot number under one user and
 * port names one process. Frames may be written before the receiver has noticed the connection.
 */
#ifndef FNS_WIRE_SHM_PRIV_H
#define FNS_WIRE_SHM_PRIV_H

#include "base/list.h"
#include "base/pool.h"
#include "wire/shm_door.h"
#include "wire/shm_ring.h"
#include "wire/wire.h"

/* What one sender may have under way to us, acknowledgements and READ responses aside: they need
 * room, too. */
#define SHM_WINDOW (SHM_RING_BYTES / 8 * 5)
#define SHM_RECS   2048u /* records received and not released, all links together */
#define SHM_LINKS  1024u /* links to us at most; the dead are among them until drained */
/* So often we ask whether the process that we reach into is still the one that we know. */
#define SHM_ALIVE_NS FNS_NSEC_PER_MSEC
/* Who has not consumed anything for so long while its ring was full loses frames: it must not stop
 * traffic to others. */
#define SHM_STUCK_NS (2 * FNS_NSEC_PER_MSEC)

/* What the wire's epoll set holds. */
enum shm_watch_kind {
	SHM_WATCH_LISTENER,
	SHM_WATCH_SELF, /* armed while something was there */
	SHM_WATCH_IN,   /* connection of a link to us */
	SHM_WATCH_WAKE, /* its eventfd */
	SHM_WATCH_OUT,  /* connection of a link from us */
};

struct shm_watch {
	enum shm_watch_kind kind;
	void *link;
};

struct shm_in;

/* A record received; on its link's list until it and all before it are released. */
struct shm_rec {
	struct shm_in *in;
	struct shm_rec *next;
	uint32_t bytes;
	bool done;
};

/* A link to us. */
struct shm_in {
	struct fns_list node; /* of the wire's in; none once gone */
	struct shm_ring ring; /* shared NULL: the greeting has not come yet */
	struct shm_rec *oldest, *newest;
	int conn, wake;
	bool ended;   /* the sender has gone: what it sent is still delivered */
	bool drained; /* at the last look, nothing was there */
	bool gone;    /* ended and drained; lives until the last view is released */
	pid_t pid;    /* whose memory we can read; 0: cannot */
	struct shm_watch watch_conn, watch_wake;
};

/* A link from us. */
struct shm_out {
	struct fns_list node; /* of the wire's out; none once broken */
	struct shm_ring ring;
	int conn, wake;
	uint8_t prefix;
	bool broken; /* the receiver has gone: no ring, no descriptors any more */
	uint32_t refs;
	uint64_t full_ns, full_at; /* full since, with this credit; 0: not full */
	struct shm_watch watch;
	uint64_t proof;         /* that this is our memory */
	struct shm_reach reach; /* its memory; no file: cannot be reached */
	uint64_t alive_ns;      /* when we last asked whether it is alive */
	bool path_used[SHM_PATHS];
	uint64_t path_free_at[SHM_PATHS]; /* once consumed up to here, its line may be used again */
};

struct shm_path {
	struct fns_path base;
	struct fns_list node; /* of the wire's paths */
	struct shm_out *out;
	uint32_t id; /* its line */
};

struct shm_wire {
	struct fns_wire base;
	struct fns_wire_shm_cfg cfg;
	int epfd, listener, self;
	int spare; /* closed to make room where descriptors run out, so that a peer can be refused
		    */
	bool armed, shut;
	uint32_t nin;
	struct fns_list in, out, paths;
	struct shm_door door; /* what others may access; no file: nothing */
	struct fns_pool recs;
	struct shm_watch watch_listener, watch_self;
	/* A burst in progress, in memory because a fault may come in between. */
	volatile uint32_t tx_cur;
	uint32_t tx_packets, tx_bytes, tx_lent, tx_lent_bytes;
	struct shm_out *tx_out; /* written to, not looked whether it sleeps */
};

static inline struct shm_wire *shm_of(struct fns_wire *w)
{
	return (struct shm_wire *)(void *)w;
}

static inline void shm_count(struct shm_wire *w, enum fns_counter c, uint64_t n)
{
	if (w->base.stats)
		fns_count_add(w->base.stats, c, n);
}

/* Packets are watched, or tampered with: they must hold what they are about. */
static inline bool fns_shm_is_shut(const struct shm_wire *w)
{
	return w->base.tap || w->shut;
}

/* --- shm_link.c --- */
/* 0 or negative errno; -EADDRINUSE. */
int fns_shm_links_init(struct shm_wire *w);
void fns_shm_links_fini(struct shm_wire *w);
void fns_shm_events(struct fns_wire *w);
/* The peer's memory cannot be reached any more. */
void fns_shm_out_unreach(struct shm_wire *w, struct shm_out *o);
/* A link to the process of this slot, counted; -EHOSTUNREACH: none can be had. */
int fns_shm_out_get(struct shm_wire *w, uint8_t prefix, struct shm_out **out);
void fns_shm_out_put(struct shm_wire *w, struct shm_out *o);
/* Nothing more is taken from it; freed once no view is out. */
void fns_shm_in_end(struct shm_wire *w, struct shm_in *in);

/* --- shm_lend.c: payload that is fetched by its receiver --- */
/* Says where our memory can be known by. Before the greeting. */
void fns_shm_lend_offer(struct shm_out *o);
/* Can we read the sender's memory? Says so in the ring. After the greeting. */
void fns_shm_lend_try(struct shm_in *in);
bool fns_shm_lends(struct fns_wire *w, const struct fns_path *path);
/* Bytes of the record of a frame that lends, from the packet on; writes the loan into it. */
uint32_t fns_shm_lend_bytes(const struct fns_frame *f, uint32_t off);
void fns_shm_lend_put(uint8_t *rec, const struct fns_frame *f);
/* A loan received: sets v->len and v->lent. False: it cannot be one. */
bool fns_shm_lent_look(const uint8_t *rec, uint32_t bytes, struct fns_rx_view *v);
int fns_shm_fetch(struct fns_wire *w, const struct fns_rx_view *v, const struct iovec *to,
	unsigned nto, struct fns_dma_token *t);

/* --- shm_local.c --- */
/* Is this an address of this network namespace? Asks the kernel; false where it does not know. */
bool fns_shm_is_local(const struct fns_gid *g);

#endif
