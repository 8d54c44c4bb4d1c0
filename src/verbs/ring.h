/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 2/9: the producer's side of the process's submission ring, from verbs/post to the
 * engine. One ring for all queue pairs; reserve, write and publish happen under its lock.
 * Descriptors are written in place. Called by post.c, qp_ex.c and mw.c.
 */
#ifndef FNS_VERBS_RING_H
#define FNS_VERBS_RING_H

#include "base/lock.h"
#include "pipe/placement.h"

struct fns_vring {
	struct fns_lock lock;
	struct fns_sq_shared *sh;
	uint32_t nslots, log2;
	uint32_t head;   /* free-running count of slots published */
	uint32_t credit; /* slots consumed, as last seen */
	bool doorbell;   /* FNS_PIPE_DOORBELL: nothing counts before fns_vring_ring() */
	const struct fns_placement_ops *ops;
};

extern struct fns_vring fns_vring;

/* Once per process; again with the same placement does nothing. 0 or -EIO. */
int fns_vring_attach(const struct fns_placement_ops *ops);

/*
 * Waits, with the lock given up meanwhile, until n slots are free. False when the engine does not
 * take any for a fraction of a second: the caller reports ENOMEM. Under the lock, before and after.
 */
bool fns_vring_wait(uint32_t n);

enum fns_vring_room {
	FNS_VRING_FULL,
	FNS_VRING_ROOM,
	FNS_VRING_WAITED
};

/*
 * Is there room for n slots? WAITED: there is, but the lock was given up meanwhile, and what the
 * caller checked before may no longer hold. Under the lock.
 */
static inline enum fns_vring_room fns_vring_reserve(uint32_t n)
{
	struct fns_vring *r = &fns_vring;

	if (fns_likely(r->head - r->credit + n <= r->nslots))
		return FNS_VRING_ROOM;
	r->credit = atomic_load_explicit(&r->sh->credit, memory_order_acquire);
	if (r->head - r->credit + n <= r->nslots)
		return FNS_VRING_ROOM;
	return fns_vring_wait(n) ? FNS_VRING_WAITED : FNS_VRING_FULL;
}

/* Slot i of the descriptor that begins at the head. */
static inline struct fns_sqd *fns_vring_slot(uint32_t i)
{
	return &fns_vring.sh->slot[(fns_vring.head + i) & (fns_vring.nslots - 1)];
}

/* ctl is the head's control word without its phase. */
static inline void fns_vring_publish(uint32_t ctl, uint32_t nslots)
{
	struct fns_vring *r = &fns_vring;

	for (uint32_t i = nslots; i-- > 0;) {
		uint32_t pos = r->head + i;
		uint32_t phase = ~(pos >> r->log2) & FNS_SQD_PHASE;

		atomic_store_explicit(&r->sh->slot[pos & (r->nslots - 1)].ctl,
			i == 0 ? ctl | phase : phase, memory_order_release);
	}
	r->head += nslots;
}

/* FNS_PIPE_DOORBELL: tells the engine what was published. */
void fns_vring_doorbell(void);

/* After the last descriptor of a call, before the lock is given up. */
static inline void fns_vring_ring(void)
{
	if (fns_unlikely(fns_vring.doorbell))
		fns_vring_doorbell();
}

/* Slots for num_sge SGEs, for len bytes of inline data. */
static inline uint32_t fns_sqd_slots_sge(uint32_t num_sge)
{
	return num_sge <= 1 ? 1 : 1 + FNS_DIV_UP(num_sge - 1, FNS_SQD_SGE_CONT);
}

static inline uint32_t fns_sqd_slots_inline(uint32_t len)
{
	return len <= FNS_SQD_INLINE0 ? 1
				      : 1 + FNS_DIV_UP(len - FNS_SQD_INLINE0, FNS_SQD_INLINE_CONT);
}

#endif
