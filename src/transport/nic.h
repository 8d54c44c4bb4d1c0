/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transport gets from the engine it runs in: memory, wire, timers, the transmit queue, the
 * list of active queue pairs, and the time of this advance. The engine owns it; transports run on
 * the engine's thread only and hold nothing across calls but queue pairs.
 */
#ifndef FNS_TRANSPORT_NIC_H
#define FNS_TRANSPORT_NIC_H

#include "base/list.h"
#include "base/pool.h"
#include "base/timer.h"
#include "base/util.h"
#include "mem/mem.h"
#include "pipe/ctl.h"
#include "pipe/modes.h"
#include "pipe/stats.h"
#include "roce/mad.h"
#include "wire/wire.h"

struct fns_qp;
struct fns_ah;
struct fns_offload;

/* What an application has of the engine at present; the engine's quota is what it may have. */
struct fns_app {
	uint32_t clients, qps, objects, rxops;
	uint64_t bytes;
};

#define FNS_STAGE_BYTES 4096u /* largest PMTU */
#define FNS_STAGE_BUFS  256u
#define FNS_SEND_RING   1024u /* packet buffers of FNS_TXM_COPY: 4 MiB, used in turn */
/* Neighbours do not share cache sets. */
#define FNS_SEND_RING_STRIDE (FNS_STAGE_BYTES + FNS_CACHELINE)
#define FNS_RXOPS            1024u
#define FNS_STAGE_THRESHOLD  256u /* payloads up to this are staged before the ICRC is made */

/*
 * Of a receive buffer of so many bytes, as the kernel counts them, this much may be filled by one
 * sender. The kernel may keep a quarter of the buffer charged after it was read, and
 * acknowledgements need room: two thirds. Between 16 KiB, below which nothing moves, and 4 MiB,
 * more than any network holds.
 */
#define FNS_RCVBUF_DEFAULT 212992u /* the kernel's, which peers are assumed to have */
static inline uint32_t fns_rcvbuf_share(uint32_t rcvbuf)
{
	uint64_t share = (uint64_t)rcvbuf * 141000 / FNS_RCVBUF_DEFAULT;

	return (uint32_t)FNS_MIN(FNS_MAX(share, 16384), 4u << 20);
}

/* What the engine calls upward; the placement or the simulator implements it. Must not call back
 * into the engine. */
struct fns_upcalls {
	void (*comp_event)(void *ctx, uint64_t channel, uint64_t cq_cookie);
	void (*async_event)(void *ctx, const struct fns_event *ev);
	void *ctx;
};

/*
 * Frames on their way to the wire. Filled by transports through fns_txq_*, handed over by
 * fns_txq_flush. Staging buffers that frames refer to go back to the pool after the flush.
 */
struct fns_txq {
	unsigned n, sent; /* frames in the batch; of these already taken by the wire */
	unsigned nsg;
	unsigned nstage;
	bool blocked;  /* the wire was full: no new frames until a flush succeeds */
	bool flushing; /* inside fns_txq_flush() */
	struct fns_frame frame[FNS_TX_BATCH];
	bool notify[FNS_TX_BATCH]; /* tell the transport when the wire has taken it */
	struct fns_sg sg[FNS_FRAME_SGS];
	void *stage[FNS_TX_BATCH]; /* staging buffers to give back */
};

struct fns_nic {
	uint64_t now_ns;
	const struct fns_rx_view *rx; /* the packet that is looked at, while one is */
	uint32_t pushed;              /* completions written, free-running */
	struct fns_mem *mem;
	struct fns_dma *dma;
	struct fns_wire *wire;
	struct fns_stats *stats;
	struct fns_timer_wheel *timers;
	struct fns_upcalls up;
	struct fns_list active;       /* queue pairs with something to send, in service order */
	struct fns_list peers;        /* struct fns_peer */
	struct fns_list hosts;        /* struct fns_host */
	uint32_t hello_wanted;        /* of these, that somebody should ask */
	struct fns_list read_waiters; /* queue pairs waiting for our own receive buffer */
	uint32_t read_cost;           /* cost of READ responses that we have asked for */
	uint32_t read_budget;         /* what they may cost at most */
	uint32_t read_chunk;          /* bytes asked for by one READ request at most */
	uint32_t peer_budget;         /* a peer's window at first and in its buffer cost */
	uint32_t peer_cap;            /* ... and at most, however large its buffer */
#define FNS_PEER_UNLIMITED UINT32_MAX
	uint64_t cnp_ns;          /* between CNPs of one queue pair; 0: none are sent */
	bool doorbell;            /* FNS_PIPE_DOORBELL */
	bool stage_all;           /* not FNS_TXM_HEADER_ONLY: nothing goes in place */
	struct fns_pool stage;    /* FNS_STAGE_BYTES each */
	uint8_t *send_ring;       /* FNS_TXM_COPY: FNS_SEND_RING buffers; else NULL */
	uint32_t send_next;       /* of these, free-running */
	struct fns_pool fetches;  /* struct fns_fetch_op */
	struct fns_pool rxops;    /* struct fns_rxop */
	uint32_t rxops_each;      /* of these, for one application at most */
	bool selective;           /* repeat selectively where the peer can */
	struct fns_pool irn_rx;   /* struct fns_irn_rx */
	struct fns_pool irn_tx;   /* struct fns_irn_tx */
	struct fns_pool irn_hold; /* struct fns_irn_hold */
	struct fns_ah *(*find_ah)(struct fns_nic *nic, uint32_t handle); /* NULL: no such */
	struct fns_offload *offload; /* NULL: nothing was ever loaded or bound */
	struct fns_txq txq;
};

/* --- transmit queue (txq.c) --- */

/* The next free frame, without payload yet, with room for max_sg pieces, flushing first if needed;
 * NULL when the wire is full. Not counted until commit. */
struct fns_frame *fns_txq_frame(struct fns_nic *nic, unsigned max_sg);
/* Adds the frame got last. stage: buffer to give back after sending, or NULL. notify: call the
 * transport's tx_done in any case. */
void fns_txq_commit(struct fns_nic *nic, struct fns_frame *f, void *stage, bool notify);
/* Hands all frames to the wire. False when the wire is full; the rest stays. */
bool fns_txq_flush(struct fns_nic *nic);
/* Pieces for the frame got last. */
/*
 * The queue pair ends: takes back its requests that the wire has not taken yet, before completions
 * give the memory that they refer to back to the application. Responses stay.
 */
void fns_txq_cancel(struct fns_qp *qp);

static inline struct fns_sg *fns_txq_sgs(struct fns_nic *nic)
{
	return &nic->txq.sg[nic->txq.nsg];
}

#endif
