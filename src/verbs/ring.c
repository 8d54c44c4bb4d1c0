/* SPDX-License-Identifier: Apache-2.0 */
/* The process's submission ring: attaching to it, and what happens when it is full. See ring.h. */
#include "verbs/ring.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "base/assert.h"
#include "pipe/modes.h"

#define FULL_TRIES     4000u
#define FULL_NAP_AFTER 100u
#define FULL_NAP_NS    50000

struct fns_vring fns_vring;

int fns_vring_attach(const struct fns_placement_ops *ops)
{
	int err = 0;

	fns_lock_take(&fns_vring.lock);
	if (fns_vring.ops != ops) {
		uint32_t nslots = 0;
		struct fns_sq_shared *sh = ops->sq(&nslots);

		if (!sh || !FNS_IS_POW2(nslots) || nslots < 2 * FNS_SQD_MAX_SLOTS) {
			err = -EIO;
		} else {
			fns_vring.sh = sh;
			fns_vring.nslots = nslots;
			fns_vring.log2 = (uint32_t)__builtin_ctz(nslots);
			fns_vring.head = fns_vring.credit = 0;
			fns_vring.doorbell = sh->pipe == FNS_PIPE_DOORBELL;
			fns_vring.ops = ops;
		}
	}
	fns_lock_release(&fns_vring.lock);
	return err;
}

void fns_vring_doorbell(void)
{
	struct fns_vring *r = &fns_vring;

	atomic_store_explicit(&r->sh->tail, r->head, memory_order_release);
	/* As full as it can be, for all that is known here: the convention is to look each time. */
	r->credit = r->head - r->nslots;
}

bool fns_vring_wait(uint32_t n)
{
	const struct timespec nap = {0, FULL_NAP_NS};
	struct fns_vring *r = &fns_vring;

	for (unsigned i = 0; i < FULL_TRIES; i++) {
		fns_vring_ring();
		fns_lock_release(&r->lock);
		r->ops->submitted(FNS_SUBMITTED_ALL);
		if (i >= FULL_NAP_AFTER)
			nanosleep(&nap, NULL);
		else
			sched_yield();
		fns_lock_take(&r->lock);
		r->credit = atomic_load_explicit(&r->sh->credit, memory_order_acquire);
		if (r->head - r->credit + n <= r->nslots)
			return true;
	}
	return false;
}
