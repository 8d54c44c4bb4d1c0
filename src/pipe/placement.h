/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the engine runs, as the verbs library sees it: the one seam between an application's
 * objects and an engine that may live in the same process (inline) or in another (service). All
 * slots are thread-safe.
 */
#ifndef FNS_PIPE_PLACEMENT_H
#define FNS_PIPE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "pipe/ctl.h"
#include "pipe/layout.h"

/* Upcalls to the library, from whatever thread advances the engine, which holds the engine: they
 * must not block, nor call back. */
struct fns_placement_upcalls {
	/* A completion queue that was armed has something; channel and cq are the cookies given at
	 * CQ_CREATE. */
	void (*comp_event)(uint64_t channel, uint64_t cq);
	void (*async_event)(const struct fns_event *ev);
};

/*
 * What the environment says about an engine: for the process that runs it, not for a program that
 * shares it with others.
 */
#define FNS_ENGINE_ENV                                                                             \
	"FLEXINS_WIRE", "FLEXINS_TX", "FLEXINS_RX", "FLEXINS_PIPE", "FLEXINS_CC",                  \
		"FLEXINS_CC_RULES", "FLEXINS_TRANSPORT", "FLEXINS_FAULT", "FLEXINS_CAPTURE"

#define FNS_SUBMITTED_ALL UINT32_MAX

struct fns_placement_ops {
	/* Executes one control message; blocks while the engine is busy elsewhere. Result also in
	 * msg->result. */
	int (*control)(struct fns_ctl *msg);
	/* The submission ring and its number of slots (a power of two), shared by all queue pairs
	 * of the process. */
	struct fns_sq_shared *(*sq)(uint32_t *nslots);
	/*
	 * Called after descriptors were published, sends of them for send queues: lets the engine
	 * take them. Inline: this thread advances the engine if it is free, or leaves them to its
	 * next call if it keeps calling. FNS_SUBMITTED_ALL: take all there are, the ring is full.
	 */
	void (*submitted)(uint32_t sends);
	/* Called when a CQ was polled and found empty. Inline: this thread advances the engine
	 * (receive, timers, transmit). False: surely nothing has come by that. */
	bool (*poll)(void);
	/* Called when the application arms a CQ and is likely to sleep. */
	void (*will_sleep)(void);
	/* Monotonic time as stamped into completions, ns. */
	uint64_t (*now_ns)(void);
	/*
	 * Memory for a completion ring, zeroed, that the engine can reach; NULL without. Given back
	 * after the engine has forgotten the ring. Both NULL: any memory of the process will do.
	 */
	struct fns_cq_shared *(*ring_alloc)(size_t bytes);
	void (*ring_free)(struct fns_cq_shared *ring, size_t bytes);
};

/*
 * Starts the process's placement at first use (lease of a port slot, engine, helper thread) and
 * returns its ops; later calls return the same. NULL on failure with a sentence for humans in err.
 * After a fork the child has none: every call gives NULL, EIO in err.
 */
const struct fns_placement_ops *fns_placement_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen);
/* False when all contexts of the process are dead: in a forked child those made before the fork,
 * and everywhere once the engine that served them from another process is gone. */
int fns_placement_alive(void);
/* For placements: from now on that is so. Async-signal-safe. */
void fns_placement_end(void);

#endif
