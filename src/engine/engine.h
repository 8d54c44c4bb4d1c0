/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: the NIC as a pure state machine. It never asks for the time, a socket, entropy or
 * (outside control operations) memory: now_ns, wire, DMA backend and seed come in; packets,
 * completions, events and timers go out. The same objects run in an application (inline), in a
 * daemon and in the simulator.
 *
 * One thread at a time: the owner serialises all calls on one engine. Nothing here blocks.
 */
#ifndef FNS_ENGINE_ENGINE_H
#define FNS_ENGINE_ENGINE_H

#include "cc/cc.h"
#include "mem/dma.h"
#include "pipe/ctl.h"
#include "pipe/layout.h"
#include "pipe/stats.h"
#include "transport/nic.h"
#include "wire/wire.h"

struct fns_engine;

/*
 * An engine may serve several applications that do not trust each other. Each is named by a number
 * that who runs the engine gives it; it also names the address space of its memory to the DMA
 * backend. Clients, and through them all objects, belong to one application, and so do submission
 * rings. Functions without _app mean application 0.
 */
#define FNS_MAX_APPS 256u

/* What one application may have at most; 0: no limit. */
struct fns_engine_quota {
	uint32_t clients, qps, objects;
	uint64_t bytes; /* of queues */
	uint32_t rxops; /* received packets between acceptance and commit */
};

/* Finds a congestion control for FNS_CTL_QP_SET_CC, as fns_cc_parse() does. */
typedef bool fns_cc_choose_fn(
	const char *text, struct fns_cc_choice *out, char *err, size_t errlen);

struct fns_engine_cfg {
	struct fns_wire *wire;   /* borrowed; must outlive the engine */
	struct fns_dma *dma;     /* borrowed */
	struct fns_stats *stats; /* borrowed, zeroed memory */
	uint64_t seed;           /* keys, QPN order */
	uint64_t start_ns;       /* time of creation */
	uint8_t prefix;          /* QPN[23:16] */
	uint32_t peer_budget;    /* bytes of a peer's receive buffer that may be in use by us; 0:
				    by what its host says, and until then as for 212,992;
				    FNS_PEER_UNLIMITED: any, and a loss is not taken for a sign
				    of a small one */
	uint32_t read_budget;    /* the same of our own, for READ responses: fns_rcvbuf_share(),
				    0: as for 212,992 */
	const struct fns_cc_choice *cc; /* NULL: static window; copied, the table is borrowed */
	fns_cc_choose_fn *cc_choose;    /* NULL: fns_cc_parse(), what is built in */
	uint64_t cnp_ns; /* between congestion notifications that one queue pair sends for marked
			    packets; 0: none are sent */
	bool selective; /* repeat only what is missing, to peers that understand it (docs/irn.md) */
	struct fns_modes modes;        /* tx and pipe; all zero: the defaults. rx is the wire's */
	struct fns_engine_quota quota; /* of each application */
	struct fns_upcalls up;
};

/* NULL without memory. */
struct fns_engine *fns_engine_create(const struct fns_engine_cfg *cfg);
/* Destroys everything still in it; no upcalls, no frames. The DMA backend must have nothing in
 * flight that refers to it, or be destroyed before its next poll. */
void fns_engine_destroy(struct fns_engine *e);

/* Adds a submission ring (nslots: a power of two) to watch; the memory is the application's. 0 or
 * -ENOSPC (FNS_MAX_APPS at most). */
int fns_engine_attach_app(
	struct fns_engine *e, uint32_t app, struct fns_sq_shared *ring, uint32_t nslots);
int fns_engine_attach(struct fns_engine *e, struct fns_sq_shared *ring, uint32_t nslots);
/* Forgets all rings of the application; what was not taken from them is lost. */
void fns_engine_detach_app(struct fns_engine *e, uint32_t app);

/* What advance does: any set of these. */
enum {
	FNS_ADVANCE_SUBMIT = 1 << 0,  /* take descriptors */
	FNS_ADVANCE_RECEIVE = 1 << 1, /* receive and place */
	/*
	 * Acknowledgements may wait for the next advance when this one brought completions: the
	 * caller is an application thread, which will come back soon, perhaps with a request to
	 * send along.
	 */
	FNS_ADVANCE_LAZY = 1 << 2,
	FNS_ADVANCE_ALL = FNS_ADVANCE_SUBMIT | FNS_ADVANCE_RECEIVE,
};

/*
 * Moves everything forward that can move at now_ns (never goes back): submissions, received
 * packets, DMA completions, timers, transmission. Returns an amount of work done, 0 if there was
 * none.
 */
unsigned fns_engine_advance(struct fns_engine *e, uint64_t now_ns, unsigned what);

/* When it must be advanced again even if nothing arrives: absolute ns, <= now: at once, UINT64_MAX:
 * never. */
uint64_t fns_engine_next(struct fns_engine *e);

/* True if a submission ring holds a descriptor not yet taken. Callable by any thread, which
 * believes what the ring says was taken. */
bool fns_engine_submissions_pending(const struct fns_engine *e);
/* The same for the engine's thread, which knows: when true, an advance takes something. */
bool fns_engine_submissions_due(const struct fns_engine *e);

/* True while packets that were sent wait for their acknowledgement or credit. */
bool fns_engine_in_flight(const struct fns_engine *e);

/*
 * Puts another wire in place of the present one, around which it is built or which is built around
 * it: paths must be valid in both. 0, or -EBUSY while frames or views are between engine and wire:
 * try again after an advance.
 */
int fns_engine_wire_set(struct fns_engine *e, struct fns_wire *w);

/*
 * Hosts that FlexiNS talks to may be asked what they are (roce/mad.h); who runs the engine carries
 * the questions, and loses nothing by not doing so.
 */
struct fns_engine_address {
	struct fns_gid local, remote; /* local: an address of ours that talks to remote */
	uint32_t ifindex;
};
/* Is there a host to ask? */
bool fns_engine_hello_pending(const struct fns_engine *e);
/* The next one, which is being asked from now on. False: none. */
bool fns_engine_hello_next(struct fns_engine *e, struct fns_engine_address *out);
/* The answer, at any time. hello is looked at for FLEXINS only. Senders may be woken: advance it
 * afterwards. */
void fns_engine_hello_told(struct fns_engine *e, const struct fns_gid *remote,
	enum fns_hello_state state, const struct fns_hello *hello);
/* No answers will come to what was asked; it is pending again. */
void fns_engine_hello_lost(struct fns_engine *e);

/* A queue pair as a tool sees it. */
struct fns_engine_qp_info {
	uint8_t type, state;
	uint32_t dest_qpn;
	uint32_t una, next; /* oldest PSN not acknowledged; first never sent */
	uint8_t rnr_retry, timeout;
	struct fns_gid local, remote; /* zero before RTR */
};
/* False: no such queue pair. */
bool fns_engine_qp_look(const struct fns_engine *e, uint32_t qpn, struct fns_engine_qp_info *out);
/* The queue pair that sends a frame, by the frame's owner; 0: none. */
uint32_t fns_engine_frame_qpn(const void *owner);

/*
 * Changes the congestion control of queue pairs while they live: what is in flight is carried, the
 * new algorithm begins with FNS_CC_INIT. One queue pair; or all connected ones to a peer, on an
 * interface, or without choice, and then those to come as well: the last one set that fits a queue
 * pair wins, and without choice forgets those before.
 *
 * How many queue pairs have it now, or -ENOENT (no such queue pair), -EPROTONOSUPPORT (not RC),
 * -EAGAIN (advance the engine and ask again), -ENOSPC (FNS_CC_RULES already), -ENOMEM. c is copied,
 * its table borrowed.
 */
#define FNS_CC_RULES 64u
struct fns_engine_cc_who {
	uint32_t qpn; /* 0: not one */
	bool by_peer;
	struct fns_gid peer;
	uint32_t ifindex; /* 0: not by interface */
};
int fns_engine_cc_set(struct fns_engine *e, const struct fns_engine_cc_who *who,
	const struct fns_cc_choice *c, uint64_t now_ns);

/*
 * Loads a program as a handler, or puts it in the place of the one of that name. Taken over on
 * success. 0, -EINVAL, -ENOSPC, -ENOMEM.
 */
struct fns_offload_program;
int fns_engine_offload_load(struct fns_engine *e, const char *name, struct fns_offload_program *p);
/* Handlers, in order; false: no so many. name: FNS_OFFLOAD_NAME bytes. */
bool fns_engine_offload_look(
	struct fns_engine *e, unsigned i, char *name, struct fns_offload_counters *out);
/*
 * Binds on behalf of whoever runs the engine: the queue pair's application is not asked. As
 * FNS_CTL_OFFLOAD_BIND.
 */
int fns_engine_offload_bind(
	struct fns_engine *e, uint32_t qpn, const struct fns_offload_binding *b);

/*
 * One control operation (pipe/ctl.h). A fence: all descriptors submitted before are taken first.
 * -EINVAL for a client of another application; -ENOMEM also where the application's quota is used
 * up.
 */
void fns_engine_control_app(
	struct fns_engine *e, uint32_t app, struct fns_ctl *msg, uint64_t now_ns);
void fns_engine_control(struct fns_engine *e, struct fns_ctl *msg, uint64_t now_ns);

#endif
