/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One engine for the fuzzers: virtual time, a wire in memory that loops back to the engine itself
 * under the input's control, host memory with canaries, a completion queue whose every entry is
 * checked. Addresses in packets and work requests are I/O virtual addresses fixed here.
 */
#ifndef TESTS_FUZZ_NIC_H
#define TESTS_FUZZ_NIC_H

#include "fuzz.h"

#include "engine/engine_priv.h"

#define FZ_PREFIX   1u
#define FZ_PAGE     8192u /* of host memory; every other one is a canary that no key names */
#define FZ_PAGES    11u
#define FZ_MEM      (FZ_PAGE * FZ_PAGES)
#define FZ_IOVA     0x100000ull
#define FZ_SLOTS    256u
#define FZ_CQ_LOG2  10u
#define FZ_WRS      400u /* work requests of a run: fewer than the completion queue has entries */
#define FZ_NET      128u /* packets on the wire */
#define FZ_PACKET   (FNS_HDR_MAX + 8192u + 4u)
#define FZ_QPS      8u
#define FZ_WR_DEPTH 32u
#define FZ_QKEY     0x1234u
#define FZ_SQ_PSN   0xfffff0u /* wraps early */

/* Regions, each the page 2 i + 1 of the memory. */
enum {
	FZ_MR_ALL,   /* all rights */
	FZ_MR_RO,    /* remote reading only: must never change */
	FZ_MR_LOCAL, /* local writing only: changes by what was posted here alone */
	FZ_MR_WRITE, /* remote writing, no remote reading */
	FZ_MR_OTHER, /* all rights, in a protection domain without queue pairs: never changes */
	FZ_MRS
};

/* Queue pairs: 2 i and 2 i + 1 are connected to each other. */
enum {
	FZ_QP_RC,
	FZ_QP_RC_SRQ = 2,
	FZ_QP_UC = 4,
	FZ_QP_UD = 6
};

struct fz_packet {
	uint8_t *data; /* of exactly len bytes */
	uint32_t len;
	struct fns_gid src;
};

struct fz_queue {
	struct fz_packet p[FZ_NET];
	unsigned head, n;
};

struct fz_qp {
	uint32_t qpn;
	uint8_t gen, type;
	bool srq;
	uint32_t sq_posted, sq_retired, rq_posted, rq_done;
	uint32_t last_send, last_recv; /* last work requests completed, + 1 */
};

struct fz_wr {
	uint8_t qp; /* FZ_QPS: the shared receive queue */
	bool send, done, dropped;
};

/* A submission ring and its producer. */
struct fz_ring {
	struct fns_sq_shared *sq;
	uint32_t tail;
};

struct fz_opts {
	bool simdma;
	uint32_t fail_ppm;
	uint8_t mtu;    /* ibv_mtu, 1..5 */
	bool selective; /* the peer, which is ourselves, has said what it is */
	bool small;     /* hardly any of the engine's buffers */
	struct fns_modes modes;
};

struct fz_nic {
	struct fns_wire wire; /* first */
	struct fns_engine *e;
	struct fns_dma *dma;
	struct fz_opts o;
	uint64_t now;
	struct fns_gid self;
	struct fz_queue net, rxq; /* sent, not yet arrived; arrived, not yet taken */
	unsigned room, paths, views_out;
	uint32_t client, pd, pd_other, srq, ah, cq, mr[FZ_MRS], key[FZ_MRS], mw[2], mw_key[2];
	uint32_t consumed, srq_posted, srq_done;
	struct fz_ring ring;
	struct fz_qp qp[FZ_QPS];
	struct fz_wr wr[FZ_WRS];
	unsigned nwr, events;
	bool local_named; /* FZ_MR_LOCAL was given to something that may write it */
};

/* What a work request is made of; see fz_post. */
struct fz_post {
	uint8_t qp, op, num_sge, sge_mr[4], rkey_mr;
	uint16_t sge_off[4], sge_len[4], inline_len;
	uint32_t flags, imm;
	uint64_t remote_off, compare, swap;
	uint32_t bind_access;
};

void fz_nic_init(struct fz_nic *x, const struct fz_opts *o);
/* Ends everything as an application would, and checks that every work request completed and that
 * nothing leaked or was written that must not. */
void fz_nic_fini(struct fz_nic *x);

int fz_ctl(struct fz_nic *x, struct fns_ctl *m);
/* Moves the time and advances the engine a few times; polls. */
void fz_step(struct fz_nic *x, uint64_t dt_ns);
void fz_poll(struct fz_nic *x);
/* Takes up to n packets from the net to the engine. */
void fz_deliver(struct fz_nic *x, unsigned n);
/* Copies a packet into a queue; false when it is full. */
bool fz_queue_push(struct fz_queue *q, const struct fns_gid *src, const uint8_t *p, uint32_t len);
void fz_queue_drop(struct fz_queue *q);

/* Publishes in a ring; n slots, the first with the head's control word. */
void fz_ring_put(struct fz_ring *r, const struct fns_sqd *slot, unsigned n, uint32_t ctl);
/* Posts as the library would: only what fits and only where allowed. False: not posted. */
bool fz_post(struct fz_nic *x, const struct fz_post *p);
bool fz_post_recv(
	struct fz_nic *x, unsigned qp, unsigned mr, uint16_t off, uint16_t len, bool to_srq);

/* RESET to RTS of one queue pair. */
void fz_connect(struct fz_nic *x, unsigned qp);
void fz_to_state(struct fz_nic *x, unsigned qp, uint8_t state);
static inline struct fns_qp *fz_inner(struct fz_nic *x, unsigned qp)
{
	return fns_engine_qp(x->e, x->qp[qp].qpn);
}
uint64_t fz_iova(unsigned mr, uint64_t off);
uint8_t *fz_mem(void);
static inline uint64_t fz_count(struct fz_nic *x, enum fns_counter c)
{
	return atomic_load_explicit(&x->wire.stats->counter[c], memory_order_relaxed);
}

#endif
