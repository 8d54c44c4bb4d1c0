/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue pairs, their queues and their neighbours (completion queues, shared receive queues, address
 * handles, peers) as the engine keeps them. All belong to one engine and its thread. Counters of
 * queue positions are free-running 32-bit.
 */
#ifndef FNS_TRANSPORT_QP_H
#define FNS_TRANSPORT_QP_H

#include "cc/cc.h"
#include "offload/offload.h"
#include "roce/psn.h"
#include "transport/nic.h"

/* --- completion queue --- */
struct fns_cq {
	uint32_t handle, client;
	uint64_t cookie, channel;
	struct fns_cq_shared *ring;
	uint32_t log2;
	uint32_t produced;
	uint32_t consumed; /* as last seen; what it says is enough until the ring seems full */
	uint32_t refs;     /* queue pairs */
	bool error;        /* overrun: dead */
};

/*
 * Writes one completion (cqe->phase is ignored) and raises an event if the queue is armed for it.
 * False when the ring is full: the queue is dead then, its event raised. Datapath 8/9: completion
 * into host memory.
 */
bool fns_cq_push(struct fns_nic *nic, struct fns_cq *cq, struct fns_cqe *cqe, bool solicited);

/* --- receive queues --- */
struct fns_rwqe {
	uint64_t wr_id;
	uint32_t num_sge;
	uint32_t length; /* sum of the SGEs */
	struct fns_sqd_sge sge[];
};

/* Storage of posted receives: a queue pair's own or an SRQ's. */
struct fns_rq {
	char *mem;
	uint32_t mask, stride;
	uint32_t head, tail; /* oldest; next free */
	uint32_t max_wr, max_sge;
};

struct fns_srq {
	uint32_t handle, client;
	uint64_t cookie;
	struct fns_pd *pd;
	struct fns_rq rq;
	uint32_t limit; /* event when fewer are posted; 0: not armed */
	uint32_t refs;
	struct fns_offload_port *offload; /* services bound to it; NULL: never any */
};

/* Memory of a receive queue. */
uint64_t fns_rq_bytes(uint32_t max_wr, uint32_t max_sge);
int fns_rq_init(struct fns_rq *rq, uint32_t max_wr, uint32_t max_sge);
void fns_rq_fini(struct fns_rq *rq);
/* False when full (the library let too many through: hostile). */
bool fns_rq_post(
	struct fns_rq *rq, uint64_t wr_id, uint32_t num_sge, const struct fns_sqd_sge *sge);
static inline struct fns_rwqe *fns_rq_at(struct fns_rq *rq, uint32_t i)
{
	return (struct fns_rwqe *)(void *)(rq->mem + (size_t)(i & rq->mask) * rq->stride);
}

/* --- a remote address, and what its host has said of itself (hello.c) --- */
struct fns_host {
	struct fns_gid local, remote; /* local: an address of ours that talks to it */
	uint32_t ifindex;
	uint32_t refs;
	bool wanted, asked;     /* to be asked; being asked */
	uint8_t state;          /* enum fns_hello_state */
	uint64_t told_ns;       /* when that was said */
	struct fns_hello hello; /* FLEXINS */
	struct fns_list node;   /* of nic->hosts */
};

/* --- address handle --- */
struct fns_ah {
	uint32_t handle, client;
	struct fns_pd *pd;
	struct fns_ctl_av av;
	struct fns_path *path; /* of the destination prefix used last */
	struct fns_peer *peer; /* likewise */
	struct fns_host *host; /* NULL: multicast */
	uint32_t pmtu;         /* bytes of payload that fit the link */
};

/* --- peer: one destination engine (address and prefix) and its receive window (peer.c) --- */
#define FNS_CREDIT_MARKS 16u

struct fns_peer {
	struct fns_nic *nic;
	struct fns_gid remote;
	struct fns_host *host; /* NULL: multicast */
	uint8_t prefix;
	uint32_t refs;
	uint32_t inflight; /* cost of what we sent and have no acknowledgement or credit for */
	uint32_t window;   /* may be in flight now */
	uint32_t max_window;
	bool known;         /* the window is the wire's, not what the host says of its sockets */
	uint32_t full_cost; /* the dearest packet that anybody wanted to send */
	uint32_t asks;      /* queue pairs with an AckReq out that is not answered */
	uint64_t cut_at_ns; /* last time the window was halved */
	struct fns_list waiters; /* queue pairs that found the window full, in order */
	struct fns_qp *turn;     /* the one woken, until it has had its turn */
	struct fns_list node;    /* of nic->peers */
	/*
	 * UC and UD have no acknowledgements. Some of their packets carry an AckReq bit, a mark; a
	 * FlexiNS peer answers with a credit, which frees all cost up to the mark. Who never
	 * answers is another NIC: no window for these services then. A host that said what it is
	 * need not be found out.
	 */
	struct {
		uint64_t sent, freed, marked; /* cost since the beginning */
		struct fns_credit_mark {
			uint32_t qpn, psn;
			uint64_t cost; /* sent, at the mark */
		} mark[FNS_CREDIT_MARKS];
		uint32_t head, tail;
		uint64_t heard_ns; /* last credit, or when waiting began */
		bool grants;       /* has answered, or said that it will */
		bool never;        /* said that it is another NIC: nothing is marked */
		bool probe;        /* one marked packet may go beyond the window */
		uint8_t silent;    /* waits in vain */
		struct fns_timer timer;
	} un;
};

/* What a UC or UD queue pair owes to senders: one entry a sender. */
#define FNS_CREDITS_OWED 4u

struct fns_credit_owed {
	struct fns_path *path; /* UD: held; UC: the queue pair's */
	uint32_t qpn, psn;
	bool due;
};

/* --- send work request --- */
struct fns_wqe {
	uint64_t wr_id;
	uint64_t remote_addr;
	uint64_t swap_add, compare; /* atomics; BIND_MW: address, length */
	uint32_t rkey;
	uint32_t imm;
	uint32_t length;    /* of the message, bytes */
	uint32_t first_psn; /* valid once started */
	uint32_t npsn;      /* PSNs it takes, responses of READ included; 0: local operations */
	uint32_t ah, remote_qpn, qkey; /* UD; BIND_MW: mw key, new key, region key */
	uint32_t access;               /* BIND_MW */
	uint16_t pending;              /* placements of its responses in flight */
	uint16_t inline_len;
	uint8_t op;    /* enum fns_sqd_op */
	uint8_t flags; /* FNS_WRF_* */
	uint8_t num_sge;
	bool started; /* PSNs are assigned */
	bool bulk;    /* its packets are charged as parts of a train */
	bool lent;    /* its payload is lent, where packets are long enough (rc_lend.c) */
	bool ours;   /* the offloading engine's: swap_add is its call, compare where its inline data
			lie */
	uint8_t bad; /* status it must fail with when its turn comes, or 0 */
	union {
		struct fns_sqd_sge sge[1]; /* num_sge of them */
		uint8_t data[16];          /* inline_len bytes */
	};
};

struct fns_sq {
	char *mem;
	uint32_t mask, stride;
	uint32_t head, cur, tail; /* oldest not retired; being sent; next free */
	uint32_t max_wr, max_sge, max_inline;
	uint32_t ours; /* retired ones of the offloading engine, which the application does not
			  count */
};

static inline struct fns_wqe *fns_sq_at(struct fns_sq *sq, uint32_t i)
{
	return (struct fns_wqe *)(void *)(sq->mem + (size_t)(i & sq->mask) * sq->stride);
}

/* Inline data of a work request. */
static inline uint8_t *fns_wqe_data(struct fns_wqe *w)
{
	return fns_unlikely(w->ours) ? (uint8_t *)(uintptr_t)w->compare : w->data;
}

/* Nothing that was begun is unfinished; what was sent and must be sent again is. */
static inline bool fns_sq_idle(struct fns_sq *sq)
{
	return sq->head == sq->cur && (sq->cur == sq->tail || !fns_sq_at(sq, sq->cur)->started);
}

/* --- a received packet whose placement may still be in flight --- */
enum fns_rxop_kind {
	FNS_RXOP_DATA,
	FNS_RXOP_READ,
	FNS_RXOP_ATOMIC,
	FNS_RXOP_NAK,      /* a NAK in its place: after all earlier packets were placed */
	FNS_RXOP_FATAL,    /* a NAK that ends the queue pair */
	FNS_RXOP_RESPONSE, /* of a READ, at the requester; on no list */
	FNS_RXOP_EARLY,    /* placed ahead of its turn (irn_rx.c); on no list */
};

struct fns_rxop {
	struct fns_list node; /* responder's order of arrival */
	struct fns_nic *nic;
	struct fns_qp *qp;
	struct fns_rx_view view; /* released when placed; buf NULL: none held */
	struct fns_dma_token token[FNS_MAX_SGE + 1];
	struct fns_memref ref[FNS_MAX_SGE + 1];
	uint8_t nref, nprefix; /* of these the first nprefix come from grh */
	uint8_t pending;       /* tokens in flight */
	uint8_t kind;
	uint8_t syndrome; /* NAK, FATAL */
	int8_t event;     /* FATAL: enum fns_event_type */
	bool submitted;
	bool ack_req, ends_message, has_cqe, solicited;
	bool uses_recv; /* a failing placement is the fault of the receive posted here */
	bool compare_swap;
	int result;
	uint32_t psn, npsn;
	uint32_t wqe; /* RESPONSE: position of the work request */
	uint64_t va, swap_add, compare;
	uint32_t rkey, len;
	void (*done)(struct fns_rxop *op);
	const uint8_t *src;            /* in view or hold, while waiting to be placed */
	void *hold;                    /* of nic->irn_hold, or NULL */
	struct fns_offload_call *call; /* the message that this packet completes is its request */
	uint8_t grh[FNS_GRH_LEN];      /* UD */
	struct fns_cqe cqe;
};

/* Reads under way, from nic->fetches while they last (gather.c). */
struct fns_fetch_op {
	struct fns_dma_token token[FNS_MAX_SGE];
	struct fns_memref ref[FNS_MAX_SGE];
	struct fns_fetch *fetch;
	uint8_t pending;
};

/*
 * Staging of payload that must be copied before it is sent: one at a time for each half of a queue
 * pair (gather.c). key names what it was started for.
 */
struct fns_fetch {
	struct fns_qp *qp;
	void *buf;
	uint64_t key;
	int result;
	bool busy;      /* tokens in flight */
	bool ready;     /* buf holds what key names, or result says why not */
	bool abandoned; /* nobody wants it any more */
};

/* --- requester half --- */
enum fns_scheme {
	FNS_SCHEME_OPEN, /* not known yet what the peer is: go back N */
	FNS_SCHEME_GBN,
	FNS_SCHEME_IRN,
};

struct fns_irn_tx;
struct fns_irn_rx;

struct fns_requester {
	uint32_t psn;           /* next to send; behind max_psn while going back */
	uint32_t max_psn;       /* one past the highest ever sent */
	uint32_t una;           /* oldest not acknowledged */
	uint32_t seg;           /* next PSN offset within sq.cur */
	uint32_t since_ack_req; /* packets since the last AckReq */
	uint32_t ask_psn;       /* the last packet with AckReq */
	bool asked;             /* ... is not acknowledged; counts in peer->asks */
	uint32_t direct_off;    /* of the message at sq.cur, so much is done by direct access */
	uint8_t discouraged;    /* so many messages do not try that, or to lend: it was refused */
	uint32_t rd_inflight;   /* READ and atomic requests outstanding */
	uint32_t cost;          /* of ours in peer->inflight */
	uint32_t rd_cost;       /* of ours in nic->read_cost */
	uint64_t inflight_bytes;
	uint8_t retry_left, rnr_left;
	uint8_t scheme;        /* enum fns_scheme */
	uint8_t probes;        /* sent without progress */
	bool probing;          /* a tail probe waits for its payload */
	bool implied_nak;      /* already went back for a missing response at una */
	bool draining;         /* SQD asked for */
	uint64_t progress_ns;  /* last time something moved forward */
	uint64_t sent_ns;      /* last request sent */
	uint64_t rnr_until_ns; /* 0: not waiting */
	uint64_t pace_ns;      /* not before */
	uint64_t pace_frac;    /* and this many parts of a ns, of which cc_out.rate_bps are one */
	bool pace_more;        /* there was more to send after the last packet paced */
	uint64_t srtt_ns;
	uint64_t rtt_sent_ns; /* probe of the round trip: when rtt_psn was sent, 0: none */
	uint32_t rtt_psn;
	uint32_t ack_pos;          /* work request that holds una */
	struct fns_irn_tx *irn_tx; /* while the peer has something behind a gap; else NULL */
	bool resend_una;           /* IRN: the response at una is missing */
	bool rsp_any;              /* ... and some of rsp_early are set */
	uint32_t rsp_early[8];     /* responses behind it that have come, by PSN modulo 256 */
	uint32_t rsp_high;         /* with rsp_any: one past the last of them */
	uint32_t rsp_asked;        /* ... asked for again before this PSN */
	bool resending;            /* IRN: waits for the payload of what is sent again */
	bool failing;              /* work request fail_pos will fail once it is the oldest */
	uint8_t fail_status;
	uint32_t fail_pos, fail_vendor;
	struct fns_fetch fetch;
};

/* --- responder half --- */
enum fns_in_message {
	FNS_MSG_NONE,
	FNS_MSG_SEND,
	FNS_MSG_WRITE
};

enum fns_rsp_kind {
	FNS_RSP_ACK,
	FNS_RSP_NAK,
	FNS_RSP_READ,
	FNS_RSP_ATOMIC
};

struct fns_rsp {
	uint8_t kind;
	uint8_t syndrome;
	bool repeated; /* READ asked for again: payload is staged */
	uint32_t psn, npsn, seg;
	uint32_t msn;
	union {
		uint64_t va;   /* READ */
		uint64_t orig; /* ATOMIC */
	};
	uint32_t rkey, len;
};

#define FNS_MAX_RD_ATOMIC 16u
/* Places for responses: twice what READs, atomics and acknowledgements between them take. */
#define FNS_RSP_RING (4 * FNS_MAX_RD_ATOMIC)
#define FNS_RSP_FEW  8u /* no queue pair has fewer */

struct fns_saved_atomic {
	uint32_t psn;
	bool valid;
	uint64_t orig;
};

/* What every packet needs comes first. */
struct fns_responder {
	uint32_t epsn;   /* next PSN expected: received_psn + 1 */
	uint32_t placed; /* next PSN to commit: placed_psn + 1 */
	uint32_t msn;
	bool nak_sent;      /* a sequence or RNR NAK is out: silence until epsn arrives */
	uint8_t in_message; /* enum fns_in_message */
	bool dying;         /* a fatal NAK is on its way out */
	bool have_rwqe;     /* of the message being received */
	/* what goes back to the requester, in order: positions in qp->rsps */
	uint32_t rsp_head, rsp_tail;
	/* accepted packets not committed, oldest first */
	struct fns_list ops;
	uint64_t cnp_next_ns; /* no congestion notification before */
	uint32_t rd_queued;   /* READs and atomics accepted and not answered */
	/* message being received */
	uint32_t offset; /* bytes received so far */
	uint64_t write_va;
	uint32_t write_rkey, write_len;
	uint64_t wr_id;
	struct fns_irn_rx *irn;        /* while there is something behind a gap; else NULL */
	uint32_t orphans;              /* early placements under way that are forgotten */
	struct fns_offload_call *call; /* whose request the SEND being received is */
	uint32_t rwqe_sges, rwqe_len;
	struct fns_sqd_sge rwqe_sge[FNS_MAX_SGE];
	struct fns_saved_atomic saved[FNS_MAX_RD_ATOMIC];
	uint32_t saved_next;
	struct fns_fetch fetch; /* of a READ response */
};

struct fns_transport_ops;

struct fns_qp;
/*
 * Another congestion control, from now on: what is in flight is carried, and if the queue pair can
 * send it begins with FNS_CC_INIT. param is borrowed.
 */
void fns_qp_cc_set(struct fns_qp *qp, const struct fns_cc_ops *ops, const uint64_t *param);

/* In the order of need: many thousands of them do not stay in the cache. */
struct fns_qp {
	_Alignas(FNS_CACHELINE) uint32_t qpn;
	uint8_t gen;
	uint8_t type;  /* enum fns_qp_type */
	uint8_t state; /* enum fns_qp_state */
	bool sq_sig_all;
	bool read_wait, peer_wait; /* on nic->read_waiters, on peer->waiters (through sched) */
	bool cc_on_sent; /* packets sent concern it: to be paced, or FNS_CC_SENT is wanted */
	uint32_t client;
	struct fns_app *app; /* whose it is */
	struct fns_nic *nic;
	const struct fns_transport_ops *ops;
	struct fns_path *path; /* connected types, from RTR on */
	struct fns_peer *peer; /* RC, UC */
	struct fns_cq *scq;
	/* a line */
	struct fns_list sched; /* on nic->active, a peer's waiters or nic->read_waiters */
	int32_t deficit;
	uint32_t ops_inflight; /* tokens that refer to this queue pair */
	struct fns_sq sq;
	/* a line */
	struct fns_stats_qp *line; /* of the statistics page */
	uint32_t pmtu;             /* bytes */
	uint32_t dest_qpn;
	uint32_t cc_events;    /* that the congestion control wants */
	uint32_t rsp_mask;     /* of rsps */
	struct fns_rsp *rsps;  /* responses; positions are rsp's */
	_Atomic uint64_t loan; /* the wire lends under this value: after a change nothing more */
	struct fns_pd *pd;
	struct fns_cq *rcq;
	struct fns_srq *srq;
	/* a line */
	struct fns_qp_offload *offload; /* NULL: never bound to a service */
	struct fns_timer timer;
	struct fns_peer *wait_peer; /* whose window it waits for, or was just woken for */
	uint64_t cookie;
	const struct fns_cc_ops *cc;
	/* lines */
	struct fns_requester req;
	struct fns_cc_out cc_out;
	struct fns_rq rq;
	struct fns_ctl_qp_attr attr; /* as set by modify */
	struct fns_responder rsp;
	struct fns_cc_ctx cc_ctx;
	struct fns_credit_owed owed[FNS_CREDITS_OWED]; /* UC, UD */
	uint32_t owed_next;
	uint8_t err_status; /* in ERR, until flushed: what sq.head fails with, FNS_WC_SUCCESS: flush
			     */
	bool last_wqe_event, comm_est;
	bool cc_chosen; /* the congestion control is set for this queue pair alone */
	uint32_t err_vendor;
	struct fns_ctl_qp_cap cap;
	struct fns_rsp few[FNS_RSP_FEW]; /* rsps, where these do */
};

/* As far as most packets go. */
#define FNS_QP_HOT (offsetof(struct fns_qp, rsp) + offsetof(struct fns_responder, rwqe_sge))

/* It is about to be needed. */
static inline void fns_qp_prefetch(const struct fns_qp *qp)
{
	for (size_t i = 0; i < FNS_QP_HOT; i += FNS_CACHELINE)
		__builtin_prefetch((const char *)qp + i, 1);
}

/* --- offloading (rc_offload.c) --- */
#define FNS_OFFLOAD_WQES 32u /* of its work requests under way on one queue pair */

/* A queue pair's part in it: made when it is bound for the first time, goes with it. */
struct fns_qp_offload {
	struct fns_offload_sink sink; /* first */
	struct fns_qp *qp;
	struct fns_offload_port *port; /* own, or the SRQ's */
	struct fns_offload_port own;
	uint32_t posted;    /* under way */
	uint32_t next_data; /* free-running: of data, used in turn */
	uint8_t data[FNS_OFFLOAD_WQES][FNS_OFFLOAD_DATA];
};

void fns_qp_offload_init(struct fns_qp_offload *o, struct fns_qp *qp);
/* One of its work requests is over. */
void fns_qp_offload_retired(struct fns_qp *qp, struct fns_wqe *w, enum fns_wc_status status);
/* The queue pair stops: calls are cancelled. */
void fns_qp_offload_stop(struct fns_qp *qp);
/* What is still posted will not be retired (reset, destruction). After stopping. */
void fns_qp_offload_drop(struct fns_qp *qp);

/* --- transport --- */
enum fns_tx_result {
	FNS_TX_IDLE,    /* nothing to send, or waiting: somebody will activate it again */
	FNS_TX_MORE,    /* budget used up */
	FNS_TX_BLOCKED, /* the wire is full, or what the payload needs is not to be had now */
};

/* A transport; slots run on the engine's thread. */
struct fns_transport_ops {
	const char *name;
	uint8_t qp_type;
	uint8_t tclass; /* BTH opcode class */
	/* Zeroes protocol state: at create and on the way to RESET. */
	void (*reset)(struct fns_qp *qp);
	/* Takes qp->attr into use on the way to RTR and to RTS. */
	void (*to_rtr)(struct fns_qp *qp);
	void (*to_rts)(struct fns_qp *qp);
	/* Sends up to qp->deficit bytes and charges them. Datapath 4/9. */
	enum fns_tx_result (*tx)(struct fns_qp *qp);
	/* One packet for this queue pair. True: the transport keeps the view and will release it.
	 * Datapath 6/9. */
	bool (*rx)(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v);
	/* The wire has taken (or could not read) a frame whose notify was set or whose status is a
	 * fault. */
	void (*tx_done)(struct fns_qp *qp, const struct fns_frame *f);
	/* Has it nothing to send but an acknowledgement, which may wait for the application's next
	 * call? */
	bool (*only_acks)(const struct fns_qp *qp);
	/* The queue pair's timer fired. */
	void (*timer)(struct fns_qp *qp);
};

extern const struct fns_transport_ops fns_transport_rc, fns_transport_uc, fns_transport_ud;

/* Puts the queue pair on the active list unless it is on some list already. */
void fns_qp_activate(struct fns_qp *qp);
/* Takes it off whatever list it waits on. */
void fns_qp_deactivate(struct fns_qp *qp);
/* Wakes those waiting on a list. */
void fns_qp_wake(struct fns_nic *nic, struct fns_list *waiters);
/*
 * Moves to ERR: the work request at sq.head fails with status (FNS_WC_SUCCESS: none is to blame),
 * all others of both queues are flushed. event: an fns_event_type, or -1. Idempotent.
 */
void fns_qp_error(struct fns_qp *qp, enum fns_wc_status status, uint32_t vendor_err, int event);
/* Stops timers, staging and windows: the requester has nothing in flight any more. */
void fns_qp_stop(struct fns_qp *qp);
/*
 * Flushes what is posted in ERR; called after posting. Waits while operations on memory are in
 * flight: with its completion the application has its buffer back, and nobody may write to it any
 * more.
 */
void fns_qp_flush(struct fns_qp *qp);
/* An operation counted in ops_inflight is over. */
void fns_qp_op_done(struct fns_qp *qp);
/* The receive used by a packet that will not be delivered, in ERR. */
void fns_qp_flush_recv(struct fns_qp *qp, uint64_t wr_id);
/* Retires sq.head: completion if signalled or failed. status as ibv_wc_status. */
void fns_sq_retire(struct fns_qp *qp, enum fns_wc_status status, uint32_t vendor_err);
/* Raises an asynchronous event about the queue pair. */
void fns_qp_event(struct fns_qp *qp, enum fns_event_type type);
void fns_qp_state_set(struct fns_qp *qp, enum fns_qp_state state);
/* Lets peers access memory through it directly, by its present attributes, if it is ready to
 * receive.
 */
void fns_qp_expose(struct fns_qp *qp);

/* Place i of those that responses have. */
static inline struct fns_rsp *fns_qp_rsp(const struct fns_qp *qp, uint32_t i)
{
	return &qp->rsps[i & qp->rsp_mask];
}

/* --- peers --- */
/* Will the peer answer something that is in flight? */
static inline bool fns_peer_will_answer(const struct fns_peer *p)
{
	return p->asks || p->un.head != p->un.tail;
}
/*
 * May send something of this cost now? Also beyond the window when otherwise nobody would ever open
 * it again: what goes then asks for an answer itself, so it is one packet.
 */
static inline bool fns_peer_may_send(const struct fns_peer *p, uint32_t cost)
{
	return p->inflight + cost <= p->window || !fns_peer_will_answer(p);
}
/* Finds or makes the peer that the path leads to and counts a reference; NULL without memory. */
struct fns_peer *fns_peer_get(struct fns_nic *nic, const struct fns_path *path);
void fns_peer_put(struct fns_peer *p); /* NULL is fine */
/*
 * Wakes the next queue pair that waits, if there is room: for half a window, so that trains stay
 * long, but where no acknowledgement is on its way that could make more.
 */
void fns_peer_wake(struct fns_nic *nic, struct fns_peer *p);
/* An acknowledgement is asked for at psn; none is expected any more. */
void fns_peer_ask(struct fns_qp *qp, uint32_t psn);
void fns_peer_unask(struct fns_qp *qp);
/* Puts the queue pair among those that wait. */
void fns_peer_wait(struct fns_qp *qp, struct fns_peer *p);
/* The queue pair has had its turn, or will not take it: the next one's. */
void fns_peer_pass(struct fns_qp *qp);
/* cost left the peer's buffer. */
void fns_peer_release(struct fns_nic *nic, struct fns_peer *p, uint32_t cost, bool acked);
/* Its host has said what it is. */
void fns_peer_learn(struct fns_peer *p);
/* Packets were lost on the way: at most one cut a round trip. */
void fns_peer_loss(struct fns_nic *nic, struct fns_peer *p, uint64_t rtt_ns);

/* --- hosts (hello.c) --- */
/* Finds or makes the host of an address and counts a reference; NULL: multicast, or no memory. A
 * new one is wanted, and one of which nothing was heard for a while. */
struct fns_host *fns_host_get(struct fns_nic *nic, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex);
void fns_host_put(struct fns_nic *nic, struct fns_host *h); /* NULL is fine */
/* One that is to be asked, as being asked from now on; NULL: none. */
struct fns_host *fns_host_wanted(struct fns_nic *nic);
/* The answer; nothing to do where nobody names the address any more. */
void fns_host_told(struct fns_nic *nic, const struct fns_gid *remote, enum fns_hello_state state,
	const struct fns_hello *hello);
/* No answer will come to what is being asked: it is to be asked again. */
void fns_host_lost(struct fns_nic *nic);

/* --- receive credit of UC and UD (credit.c) --- */
/* Must a packet of this cost wait for the peer's window? */
bool fns_credit_must_wait(const struct fns_peer *p, uint32_t cost);
/* Shall the next packet, of this cost, carry a mark? */
bool fns_credit_wants_mark(const struct fns_peer *p, uint32_t cost);
/* A packet went to the wire. */
void fns_credit_sent(struct fns_qp *qp, struct fns_peer *p, uint32_t psn, uint32_t cost, bool mark);
/* A packet with a mark arrived: answer it. path_local: UD, the address it came to. */
void fns_credit_owe(struct fns_qp *qp, uint32_t qpn, uint32_t psn, const struct fns_rx_view *v);
/* Sends what is owed. False: the wire is full. */
bool fns_credit_tx(struct fns_qp *qp);
/* A credit arrived. */
void fns_credit_rx(struct fns_qp *qp, const struct fns_hdr *h, const struct fns_rx_view *v);
/* Forgets what is owed (reset, destruction). Nothing of the queue pair is in the transmit queue. */
void fns_credit_drop(struct fns_qp *qp);

/* --- gather and scatter --- */
enum fns_gather {
	FNS_GATHER_OK,
	FNS_GATHER_WAIT,
	FNS_GATHER_RETRY,
	FNS_GATHER_ERROR
};

/*
 * Names the memory of bytes [off, off + len) of the SGE list. Returns the number of pieces
 * (FNS_MAX_SGE at most), or -1: *status.
 */
int fns_sge_refs(struct fns_qp *qp, const struct fns_sqd_sge *sge, uint32_t num_sge, uint32_t off,
	uint32_t len, uint32_t need, struct fns_memref *ref, enum fns_wc_status *status);

/*
 * Payload named by refs as pieces of frame f (UD: whose path is set): in place, or staged (what is
 * sent again and what is small are, but on a path that reads payload once; far memory always is;
 * everything unless the engine sends header-only). ft: of requests or of responses; key names the
 * segment to it. WAIT: a fetch is under way, the queue pair will be activated;
 * RETRY: no staging memory now; ERROR: the memory faulted. On OK *buf is the staging buffer to
 * commit with, or NULL.
 */
enum fns_gather fns_gather_refs(struct fns_qp *qp, struct fns_fetch *ft, uint64_t key,
	const struct fns_memref *ref, unsigned nref, uint32_t len, bool again, struct fns_frame *f,
	void **buf);

/* Payload of bytes [off, off + len) of a send work request, inline data included. ERROR: *status.
 */
enum fns_gather fns_gather_wqe(struct fns_qp *qp, struct fns_wqe *w, uint64_t key, uint32_t off,
	uint32_t len, bool again, struct fns_frame *f, void **buf, enum fns_wc_status *status);

/* Drops a fetch under way or ready (going back, error, reset). */
void fns_fetch_cancel(struct fns_nic *nic, struct fns_fetch *ft);

/* --- segmentation (seg.c): packet seg of a SEND or WRITE, READ or atomic of a connected transport
 * --- */
uint32_t fns_seg_len(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg);
/* Will its packets travel in a train? There are several, or an equal message follows. */
bool fns_seg_bulk(const struct fns_qp *qp, const struct fns_wqe *w);
/* PSNs that the message takes. */
uint32_t fns_seg_count(const struct fns_qp *qp, const struct fns_wqe *w);
/* A READ is asked for in pieces of at most this many bytes, fewer where our receive buffer is
 * small, so that its responses fit into it. */
#define FNS_READ_CHUNK 61440u
/* PSNs of such a piece. */
static inline uint32_t fns_seg_read_chunk(const struct fns_qp *qp)
{
	return FNS_MAX(qp->nic->read_chunk / qp->pmtu, 1u);
}
/* PSNs that the READ request at seg asks for: to the end of its chunk. */
uint32_t fns_seg_read_count(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg);
/* Of one that stands for the n packets from seg on. */
void fns_seg_header(const struct fns_qp *qp, const struct fns_wqe *w, uint32_t seg, uint32_t n,
	bool ack_req, struct fns_hdr *h);
/* Adds to a queue pair's line of the statistics page. */
static inline void fns_line_add(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(
		c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Sum of lengths; saturates at UINT32_MAX. */
uint32_t fns_sge_total(const struct fns_sqd_sge *sge, uint32_t num_sge);

/* --- received packets (rxop.c) --- */
/* NULL when all are in use. */
struct fns_rxop *fns_rxop_get(struct fns_qp *qp, enum fns_rxop_kind kind);
/* Takes the view over. */
void fns_rxop_hold(struct fns_rxop *op, const struct fns_rx_view *v);
/* Releases the view, gives it back. */
void fns_rxop_put(struct fns_rxop *op);
/* Places grh and src over op->ref, or fetches what was lent; calls done(op) now or later, exactly
 * once, with op->result set (-ESTALE: what was lent is not to be had). */
void fns_rxop_place(struct fns_rxop *op, const uint8_t *src, void (*done)(struct fns_rxop *op));

/* --- receiving messages, common to RC, UC and UD (recv.c) --- */
/* Takes the next posted receive for the message about to begin. False: none. */
bool fns_recv_take(struct fns_qp *qp);
/* Gives the receive taken for a message that will not arrive back to the next message (UC, UD). */
void fns_recv_restart(struct fns_qp *qp);
/* Fills op->cqe for the message that this packet completes; the receive is used up. */
void fns_recv_complete(struct fns_qp *qp, struct fns_rxop *op, const struct fns_hdr *h);
/* Queues a packet behind those not committed; fns_recv_drain commits in order. */
void fns_recv_queue(struct fns_qp *qp, struct fns_rxop *op);
/*
 * Places src for a packet queued last; done as for fns_rxop_place. Where memory takes effect in any
 * order, a packet for the same bytes as an earlier one waits until that one has committed.
 */
void fns_recv_place(struct fns_qp *qp, struct fns_rxop *op, const uint8_t *src,
	void (*done)(struct fns_rxop *op));
/* Completes the receive that op's payload went to with status: op's own, that of the end of its
 * message, or that of the message begun. */
void fns_recv_fail(struct fns_qp *qp, struct fns_rxop *op, enum fns_wc_status status);
/* Commits every packet whose placement is done, oldest first, by the transport's commit. */
void fns_recv_drain(struct fns_qp *qp, void (*commit)(struct fns_qp *qp, struct fns_rxop *op));

#endif
