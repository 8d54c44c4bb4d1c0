/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the fault wire: what fault.c (the wire: both directions), fault_hold.c (what happens
 * to a packet, and the ones held back) and fault_error.c (errors for one queue pair) share. One
 * thread, the engine's.
 */
#ifndef FNS_WIRE_FAULT_PRIV_H
#define FNS_WIRE_FAULT_PRIV_H

#include "base/list.h"
#include "base/pool.h"
#include "base/rng.h"
#include "wire/fault.h"
#include "wire/wire.h"

#define HELD_MAX 2048u                    /* packets held, each direction */
#define HELD_LEN 4224u                    /* BTH to pad of the largest path MTU, and slack */
#define HELD_RUN 64u                      /* held frames sent in one burst */
#define OVER_MAX 64u                      /* waiting for others to pass at a time */
#define OVER_NS  FNS_NSEC_PER_MSEC        /* ... or for so long */
#define RETRY_NS (20 * FNS_NSEC_PER_USEC) /* after the wire below was full */
#define LOOK_NS                                                                                    \
	(100 * FNS_NSEC_PER_USEC) /* between looks at a queue pair with an error to come           \
				   */
#define ERRORS 16u

/* Offsets in the BTH. */
#define BTH_RESV8A  4u
#define BTH_DEST_QP 5u
#define BTH_PSN     9u

enum {
	TX,
	RX,
	LANES
};

struct fault_held {
	struct fns_list node;
	uint64_t due_ns;
	uint32_t left; /* packets that may still pass */
	uint32_t len;
	uint32_t icrc_xor;
	struct fns_path *path;   /* TX: a reference of its own */
	struct fns_rx_view view; /* RX */
	uint8_t hdr_len, lane;
	uint8_t data[HELD_LEN];
};

struct fault_lane {
	struct fns_pool pool;
	struct fns_list queue; /* by due_ns */
	struct fns_list over;  /* held back until others have passed, oldest first */
	uint32_t nover;
	uint64_t last_due_ns;
};

struct fault_error {
	bool used;
	bool hit; /* requests were swallowed: the response is due when all before are acknowledged
		   */
	enum fns_fault_error what;
	uint32_t qpn, psn;
	uint32_t left; /* RNR: refusals to make; 0: no end */
	bool counted;
};

struct fault_verdict {
	bool lost, dup, corrupt;
	uint32_t reorder; /* by so many */
	uint64_t delay_ns;
};

struct fault_wire {
	struct fns_wire base;
	struct fns_fault_cfg cfg;
	struct fns_fault_spec spec;
	struct fns_rng rng[FNS_FAULT_RULES][LANES];
	uint64_t since_ns; /* the rules were set */
	struct fault_lane lane[LANES];
	bool blocked; /* the wire below was full at blocked_ns */
	uint64_t blocked_ns;
	struct fault_error error[ERRORS];
	uint32_t nerrors, views_out;
	struct fns_rx_view below[FNS_RX_BATCH];
	struct fns_frame run[HELD_RUN];
	struct fns_sg run_sg[HELD_RUN];
	struct fault_held *run_held[HELD_RUN];
};

static inline struct fault_wire *fns_fault_of(struct fns_wire *w)
{
	return (struct fault_wire *)(void *)w;
}

static inline uint64_t fns_fault_now(const struct fault_wire *w)
{
	return w->base.now_ns ? *w->base.now_ns : 0;
}

static inline void fns_fault_count(struct fault_wire *w, enum fns_counter c)
{
	if (w->base.stats)
		fns_count(w->base.stats, c);
}

/* --- fault_hold.c --- */
/* What happens to a packet of queue pair qpn (ours) to or from peer. False: nothing. */
bool fns_fault_judge(struct fault_wire *w, int lane, const struct fns_gid *peer, uint32_t qpn,
	uint64_t now, struct fault_verdict *v);
/* NULL: the pool is empty. */
struct fault_held *fns_fault_held_get(struct fault_wire *w, int lane);
/* Gives it and its path back. */
void fns_fault_held_put(struct fault_wire *w, struct fault_held *h);
/* Takes a copy in: late, or to be passed, or due now. */
void fns_fault_hold(
	struct fault_wire *w, struct fault_held *h, const struct fault_verdict *v, uint64_t now);
/* The next one due, or NULL. One that others are to pass begins to wait for them then. */
struct fault_held *fns_fault_due_pop(struct fault_wire *w, int lane, uint64_t now);
/* A packet has passed: who has let enough pass is due. True if somebody is. */
bool fns_fault_over_passed(struct fault_wire *w, int lane, uint64_t now);
/* Who has waited long enough for others is due. */
void fns_fault_over_expire(struct fault_wire *w, int lane, uint64_t now);
/* Flips one to three bits, and sets icrc_xor so that the ICRC stays the old one. */
void fns_fault_corrupt(struct fns_rng *g, struct fault_held *h);

/* --- fault_error.c --- */
/* Is this a request that an injected error is about? It is swallowed then. */
bool fns_fault_error_takes(struct fault_wire *w, const struct fns_frame *f, uint32_t qpn);
/* Responds where the time has come; forgets queue pairs that have failed. */
void fns_fault_errors_look(struct fault_wire *w);

#endif
