/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator: any number of engines in virtual time, on links with faults, under model
 * applications that check what they get. All that happens is drawn from one seed: the same seed
 * gives the same run to the bit (sim_result.hash), with any compiler.
 *
 * Rules that keep it so: events are ordered by (time, sequence number); one random stream per link,
 * host and DMA backend; no floating point; no order by pointers; no static state. Work requests
 * name memory by I/O virtual addresses that are fixed here, so that real addresses never reach a
 * packet.
 */
#ifndef FNS_SIM_SIM_H
#define FNS_SIM_SIM_H

#include <stdio.h>

#include "base/rng.h"
#include "engine/engine.h"
#include "sim/net.h"

#define SIM_QPS     192u /* per host */
#define SIM_CQS     6u   /* per host */
#define SIM_SGE     6u   /* per work request of the model */
#define SIM_DEPTH   64u  /* work requests outstanding on one queue pair at most */
#define SIM_UNIT    256u
#define SIM_ARENA   (3u << 20)  /* bytes of application memory per host at most */
#define SIM_GUARD   (64u << 10) /* first bytes of it: memory that nobody has a right to change */
#define SIM_COUNTER 8u          /* atomic counters per host */
#define SIM_IOVA    0x100000000ull
#define SIM_MAX_MSG (64u << 10)
#define SIM_TMP     (6 * SIM_MAX_MSG)
#define SIM_RX_BUFS 160u        /* receive buffers of a wire */
#define SIM_SEND_Q  0x11223344u /* Q_Key */

struct sim_world;
struct sim_host;
struct sim_qp;

/* --- what a scenario sets --- */

enum sim_opw { /* weights of generated operations */
	SIM_W_SEND,
	SIM_W_SEND_IMM,
	SIM_W_WRITE,
	SIM_W_WRITE_IMM,
	SIM_W_READ,
	SIM_W_CAS,
	SIM_W_FAA,
	SIM_W_CELL_WRITE,
	SIM_W_CELL_READ,
	SIM_W_COUNT,
};

/* A work request wrong on purpose; what the requester must see is in sim_bad_status(). */
enum sim_bad {
	SIM_BAD_NONE,
	SIM_BAD_RKEY,
	SIM_BAD_BOUNDS,
	SIM_BAD_ACCESS,
	SIM_BAD_PD,
	SIM_BAD_ALIGN,
	SIM_BAD_QP_ACCESS,
	SIM_BAD_LKEY,
	SIM_BAD_LBOUNDS,
	SIM_BAD_LPD,
	SIM_BAD_LACCESS,
	SIM_BAD_RECV_SMALL, /* message longer than the receive posted */
	SIM_BAD_RECV_LKEY,
	SIM_BAD_COUNT,
};

enum sim_pattern { /* who talks to whom */
	SIM_TO_ANY,
	SIM_TO_FIRST,      /* all to host 0 */
	SIM_TO_OTHER_HALF, /* host i with host N/2 + i */
	SIM_PERMUTATION,   /* each to the next one in a random circle */
};

enum sim_hello { /* what hosts learn of each other */
	SIM_HELLO_NONE,
	SIM_HELLO_TRUE,
	SIM_HELLO_ANY, /* anything, several times */
};

enum { /* IP ECN bits */
	SIM_ECT1 = 1,
	SIM_ECT0 = 2,
	SIM_CE = 3
};

struct sim_params {
	uint8_t type; /* enum fns_qp_type */
	uint8_t hosts_lo, hosts_hi;
	uint8_t pairs_lo, pairs_hi;
	uint16_t wrs_lo, wrs_hi; /* per queue pair */
	uint8_t weight[SIM_W_COUNT];
	uint32_t max_len;
	uint32_t bulk_ppm; /* share of long messages, above half of max_len */
	/* network; delays and rates of one link. Faults are those of the links at the hosts. */
	const char *topo;            /* NULL: pair or star, hosts_lo..hosts_hi hosts */
	uint32_t fabric_ps_per_byte; /* between switches; 0: as everywhere */
	uint32_t xoff_bytes;         /* switches pause who feeds them; 0: they do not */
	bool telemetry;              /* switches write in-band telemetry, receivers return it */
	bool no_ect;                 /* senders do not say that they understand ECN */
	uint32_t ps_per_byte, delay_ns, jitter_ns;
	uint32_t loss_ppm, dup_ppm, reorder_ppm, reorder_ns, corrupt_ppm;
	uint32_t port_bytes;   /* a switch port queue; 0: no limit */
	uint32_t ecn_bytes;    /* a queue longer than this is marked; 0: none */
	uint32_t ecn_hi_bytes; /* not 0: up to here with a chance that rises to ecn_ppm (RED) */
	uint32_t ecn_ppm;
	uint32_t rcvbuf;       /* receiver's buffer, in cost */
	uint32_t rcvbuf_first; /* that of host 0; 0: as the others */
	uint32_t egress_bytes; /* backlog at which the sender's wire is full */
	uint32_t full_ppm;     /* tx_burst refuses at random */
	uint32_t frame_fault_ppm;
	uint32_t dma_fail_ppm;
	/* application */
	uint32_t late_recv_ppm; /* chance that receives are posted late */
	uint32_t pace_ns;
	uint8_t timeout_lo, timeout_hi, retry_cnt, rnr_retry;
	uint8_t bad_lo, bad_hi; /* one request of each pair is wrong in one of these ways */
	uint8_t pattern;        /* enum sim_pattern */
	uint8_t hello;          /* enum sim_hello */
	uint32_t hello_ns;      /* answers take up to this */
	const char *cc;         /* congestion control, as for fns_cc_parse(); NULL: the default */
	const struct fns_cc_choice *cc_choice; /* instead of cc, where a name does not do */
	uint32_t cnp_ns;                       /* as in fns_engine_cfg */
	uint32_t standard;                     /* hosts, a bit each, that are no FlexiNS */
	bool greedy; /* applications never keep the network waiting; PMTU 4096 */
	bool irn;    /* selective repeat where the hello allows it */
	bool wide;   /* no engine has narrow windows of its own */
	/* not drawn: */
	uint32_t peer_budget; /* as in fns_engine_cfg; 0: its default */
	uint32_t arena;       /* bytes of memory of each host; 0: what its work needs */
	uint32_t nslots;      /* of the submission ring; 0: drawn */
	uint16_t depth;       /* of each queue pair; 0: drawn */
	uint8_t mtu_code;     /* 1: 256 to 5: 4096; 0: drawn */
	bool unwatched;       /* packets are not looked at on their way out */
	bool egress_wake;     /* a wire that was full tells when it has room again */
	bool srq, psn_wrap, one_sided /* only the first of a pair posts */, no_recv, cq_overrun;
};

struct sim_scenario {
	const char *name;
	const char *text;
	void (*params)(struct sim_world *w, struct sim_params *p);
	void (*start)(struct sim_world *w); /* after setup; may schedule actions; NULL: none */
	void (*action)(struct sim_world *w, uint32_t what);
	void (*finish)(struct sim_world *w); /* after the work is done, before the end */
	uint64_t limit_ns;                   /* of virtual time; 0: 60 s */
};

/* scenario_net.c: those about the network */
extern const struct sim_scenario sim_net_scenarios[];
extern const unsigned sim_net_nscenarios;
/* hello.c: those about what hosts know of each other */
extern const struct sim_scenario sim_hello_scenarios[];
extern const unsigned sim_hello_nscenarios;
/* scenario_cc.c: those about congestion controls */
extern const struct sim_scenario sim_cc_scenarios[];
extern const unsigned sim_cc_nscenarios;
/* scenario_irn.c: those with selective repeat */
extern const struct sim_scenario sim_irn_scenarios[];
extern const unsigned sim_irn_nscenarios;
/* All of them, by number; NULL past the last. */
const struct sim_scenario *sim_scenario_at(unsigned i);
/* NULL: there is none of this name. */
const struct sim_scenario *sim_scenario_find(const char *name);

struct sim_result {
	bool failed;
	char failure[400];
	uint64_t hash, now_ns, events, packets, wrs, errors;
	uint64_t timeouts, retransmits, swaps;
	uint64_t work_ns; /* from the first request to the last completion */
	struct sim_net_stats net;
};

/* One run's choice of DMA backend; AUTO: the simulated one for three seeds of four. */
enum {
	SIM_DMA_AUTO,
	SIM_DMA_DIRECT,
	SIM_DMA_SIM,
	SIM_DMA_MASK = 3,
	SIM_SWAP_CC = 4, /* beside one of those: congestion controls are swapped all the time */
};

/* One run. dma: one of those above, perhaps with SIM_SWAP_CC. trace: a line per event, or NULL.
 * False when an invariant broke. */
bool sim_run(
	const struct sim_scenario *s, uint64_t seed, int dma, FILE *trace, struct sim_result *r);

/* A queue pair of the pair is expected to fail from now on. */
void sim_expect_failure(struct sim_qp *q);

/* --- world (world.c) --- */

enum sim_ev_kind {
	SIM_EV_PACKET,
	SIM_EV_ADVANCE,
	SIM_EV_APP,
	SIM_EV_POLL,
	SIM_EV_ACTION,
	SIM_EV_PORT,
	SIM_EV_PAUSE,
	SIM_EV_HELLO
};

struct sim_packet {
	uint32_t src, dst, len; /* len: BTH to ICRC */
	uint32_t cost;
	uint16_t sport;
	uint8_t ecn, tos, ttl; /* ecn: as it is now; tos: as it was sent */
	uint8_t via;           /* port that brought it into the switch where it is */
	uint64_t ready_ps;     /* since when it waits there */
	struct sim_packet *next;
	struct sim_int tele, echo; /* of its own way; of the way of what it answers */
	uint8_t data[];
};

struct sim_ev {
	uint64_t at, seq;
	uint32_t kind, host, arg;
	struct sim_packet *pkt;
};

/* One message: what was asked, so that whoever sees its effect can check it. */
struct sim_msg {
	struct sim_qp *qp; /* sender */
	uint32_t len, imm;
	uint32_t dst_host, dst_off; /* WRITE: target; dst_units 0: none */
	uint32_t dst_units;
	uint8_t op;
	bool has_imm;
	uint8_t holds; /* of the target: requester, receiver */
	uint32_t delivered;
	bool uncertain; /* its target may hold anything between old and new */
};

struct sim_world {
	uint64_t now, seq, seed, hash, events, packets, alive_packets, limit;
	struct sim_ev *heap;
	uint32_t nheap, cap;
	FILE *trace;
	bool failed;
	char failure[400];
	struct fns_rng rng;
	const struct sim_scenario *scenario;
	struct sim_params p;
	bool sim_dma;
	bool swap_cc;
	struct fns_rng swap; /* of swap.c alone */
	uint64_t swaps;
	bool ending; /* the work is over, faults may be expected */
	bool quiet;  /* no more posting */
	uint64_t work_ns;
	unsigned nhosts;
	struct sim_host *host[SIM_HOSTS];
	struct sim_net net;
	struct sim_msg *msg;
	uint32_t nmsg, capmsg;
	uint64_t wrs, errors;
	uint8_t *tmp;        /* SIM_TMP bytes */
	uint32_t scratch[8]; /* the scenario's */
	/* Another application than the model's: gets completions, unchecked. */
	void (*on_cqe)(struct sim_qp *q, const struct fns_cqe *c);
	void *app;
};

uint64_t sim_mix(uint64_t x);
void sim_push(struct sim_world *w, uint64_t at, uint32_t kind, uint32_t host, uint32_t arg,
	struct sim_packet *pkt);
/* Adds to the trace hash. */
void sim_hash(struct sim_world *w, uint64_t v);
void sim_fail(struct sim_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* swap.c: now and then, another congestion control somewhere. */
void sim_swap(struct sim_world *w);
/* One event; false when there is none left. */
bool sim_step(struct sim_world *w);
/* Events up to a time. */
void sim_until(struct sim_world *w, uint64_t t);
static inline uint64_t sim_rand(struct fns_rng *r, uint64_t lo, uint64_t hi)
{
	return lo + fns_rng_below(r, hi - lo + 1);
}
static inline bool sim_chance(struct fns_rng *r, uint32_t ppm)
{
	return ppm != 0 && fns_rng_below(r, 1000000) < ppm;
}

/* --- wire (wire_sim.c) --- */

struct sim_wire;
struct fns_wire *sim_wire_create(struct sim_host *h);
/* The queue pair of h that talks to dest_qp of host dst; NULL: none. */
struct sim_qp *sim_qp_talking_to(struct sim_host *h, uint32_t dst, uint32_t dest_qp);
/* A packet arrives. */
void sim_wire_deliver(struct sim_host *h, struct sim_packet *p);
bool sim_wire_pending(struct sim_host *h);
/* The host's port has drained. */
void sim_wire_room(struct sim_host *h);
/* Drops what is queued. */
void sim_wire_flush(struct sim_host *h);
/* Checks that all buffers and paths came back; call after the engine is gone. */
void sim_wire_check_idle(struct sim_host *h);
uint32_t sim_wire_cost(uint32_t len);

/* --- the model application (host.c, post.c, check.c, memory.c) --- */

struct sim_range {
	uint32_t off, len; /* bytes in the arena */
};

struct sim_wr {
	uint64_t wr_id;
	uint32_t msg; /* index + 1, 0: none */
	uint32_t len;
	struct sim_range sge[SIM_SGE];
	uint8_t nsge, op, bad;
	bool signaled, cell;
	bool flush;                   /* empty: only for its completion */
	uint32_t base, units;         /* allocation behind sge[] */
	uint32_t rhost, roff, runits; /* READ: source */
	uint64_t content;             /* READ: seed of what must come */
	uint32_t counter, record;     /* atomics */
	uint32_t ver;                 /* cell READ: lowest legal version; cell WRITE: its version */
};

struct sim_recv {
	uint64_t wr_id;
	uint32_t base, units, total;
	struct sim_range sge[SIM_SGE];
	uint8_t nsge;
	uint8_t bad;
	bool used;
};

struct sim_atomic {
	uint64_t a, b, orig; /* add, or compare and swap */
	uint64_t invoked, done;
	bool cas, ok, failed;
};

struct sim_counter {
	uint32_t off;
	uint64_t start;
	struct sim_atomic *rec;
	uint32_t nrec, cap;
};

struct sim_cq {
	uint32_t handle, log2, consumed;
	struct fns_cq_shared *ring;
	bool events;     /* polled only when its event came */
	bool never_poll; /* to be overrun */
	bool event_due, error;
	uint32_t poll_delay_ns; /* 0: at once after each advance */
	bool poll_pending;
};

struct sim_srq {
	uint32_t handle, max_wr, posted;
	bool events;
};

struct sim_qp {
	struct sim_host *host;
	struct sim_qp *peer;
	uint32_t idx, qpn;
	uint8_t gen, type;
	bool alive, sig_all;
	bool broken;  /* an error is expected from now on, or was seen */
	bool failed;  /* a failed completion was seen */
	bool stopped; /* posts nothing any more */
	bool use_srq;
	uint8_t expect_bad; /* the bad request posted */
	bool bad_seen;
	uint32_t pmtu, mtu_code, max_rd;
	struct fns_ctl_qp_cap cap;
	struct sim_cq *scq, *rcq;
	uint32_t todo, posted, retired; /* send work requests */
	uint32_t bad_at;                /* post the bad one as this number */
	uint8_t bad_kind;
	struct sim_wr wr[SIM_DEPTH];
	uint32_t rposted, rdone; /* receives of the queue pair's own queue */
	uint32_t recv_len, max_send;
	struct sim_recv recv[SIM_DEPTH];
	uint32_t *out; /* messages sent that a receive will see, in order */
	uint32_t nout, out_done, capout;
	uint64_t recv_seen;
	uint32_t sq_psn, rq_psn;
	struct sim_int tele; /* of the newest request that came; what it answers takes it back */
	/* wire watch */
	bool watching;
	uint32_t next_psn, first_psn;
	uint8_t in_msg;
	/* the cell at the peer */
	uint32_t cell_off, cell_words, cell_ver;
	uint32_t ah; /* UD */
	uint32_t pace_ns, late_ppm;
	uint64_t next_app;
	uint32_t app_seq;
	uint32_t events_seen; /* bit per fns_event_type */
	void *app;            /* another application's than the model's */
};

struct sim_mr {
	uint32_t handle, key;
	uint32_t off, len;
};

enum {
	SIM_MR_MAIN,
	SIM_MR_RO,
	SIM_MR_NONE,
	SIM_MR_PD2,
	SIM_MR_SMALL,
	SIM_MR_LRO,
	SIM_MRS
};

struct sim_host {
	struct sim_world *w;
	uint32_t idx;
	struct fns_gid gid;
	uint8_t prefix;
	struct fns_rng rng;
	struct fns_engine *e;
	struct fns_wire *wire;
	struct fns_dma *dma;
	struct fns_stats *stats;
	bool sim_dma;
	uint32_t rcvbuf;
	bool standard;             /* stands for another RoCEv2 implementation */
	struct fns_rng hello_rng;  /* its own: other scenarios draw as ever */
	uint64_t told_standard_ns; /* when it last heard that a peer is one; 0: never */
	uint32_t hellos;
	/* scheduling */
	uint64_t advance_at, advance_seq;
	uint64_t paused_until;
	uint32_t spins;
	bool dead;       /* vanished: never advanced again */
	bool taken_back; /* all objects were destroyed by the application */
	/* submission ring */
	struct fns_sq_shared *sq;
	uint32_t nslots, produced;
	/* objects */
	uint32_t client, pd, pd2;
	struct sim_mr mr[SIM_MRS];
	struct sim_cq cq[SIM_CQS];
	unsigned ncq;
	struct sim_srq srq;
	struct sim_recv *srecv;
	uint32_t srecv_len;
	struct sim_qp *qp[SIM_QPS];
	unsigned nqp;
	uint64_t next_wr_id, cqes;
	uint32_t nqp_planned;
	uint32_t depth; /* work requests outstanding on one of its queue pairs at most */
	/* memory */
	uint8_t *mem, *shadow, *used; /* used: per unit, see memory.c */
	uint32_t arena, units;        /* bytes of mem; units of it */
	uint32_t next_unit, free_units;
	struct sim_counter counter[SIM_COUNTER];
};

/* host.c */
/* nqp: how many queue pairs it will have. */
struct sim_host *sim_host_create(struct sim_world *w, uint32_t idx, uint32_t nqp);
void sim_host_destroy(struct sim_host *h);
/* With nothing left to do the engine must hold nothing: no buffers, no share of anybody's window.
 */
void sim_host_check_leaks(struct sim_host *h);
void sim_host_advance(struct sim_host *h);
void sim_host_wake(struct sim_host *h, uint64_t delay_ns);
int sim_ctl(struct sim_host *h, struct fns_ctl *m);
/* The same, waiting out -EAGAIN. */
int sim_ctl_wait(struct sim_host *h, struct fns_ctl *m);
struct sim_qp *sim_qp_create(
	struct sim_host *h, uint8_t type, struct sim_cq *scq, struct sim_cq *rcq, bool srq);
void sim_qp_init(struct sim_qp *q);
void sim_qp_connect(struct sim_qp *a, struct sim_qp *b);
int sim_qp_state(struct sim_qp *q, uint8_t state);
int sim_qp_query(struct sim_qp *q);
void sim_qp_destroy(struct sim_qp *q);
void sim_cq_create(struct sim_host *h, uint32_t log2);
void sim_srq_create(struct sim_host *h, uint32_t max_wr);
struct sim_qp *sim_qp_find(struct sim_host *h, uint32_t qpn);
/* PSNs before this one are acknowledged. */
uint32_t sim_qp_una(const struct sim_qp *q);

/* hello.c */
/* Asks about hosts that the engine wants to know of. */
void sim_hello_ask(struct sim_host *h);
/* The answer about a host has come. */
void sim_hello_told(struct sim_host *h, uint32_t about);
/* A packet leaves h, before its ICRC is made; one has reached it, ICRC checked. */
void sim_hello_tx(struct sim_host *h, uint8_t *pkt, const struct sim_host *to);
void sim_hello_rx(const struct sim_host *h, uint8_t *pkt);

/* post.c */
void sim_app(struct sim_qp *q);
void sim_app_later(struct sim_qp *q, uint64_t delay_ns);
bool sim_post_recv(struct sim_qp *q);
void sim_post_srq(struct sim_host *h, uint32_t target);
bool sim_ring_room(struct sim_host *h, uint32_t n);
/* A descriptor into the submission ring; there must be room. */
void sim_ring_put(struct sim_host *h, const struct fns_sqd *d, const struct fns_sqd_cont *cont,
	uint32_t ncont, uint32_t op, uint32_t flags);
uint8_t sim_bad_remote(uint8_t bad); /* is the responder hurt as well? */
bool sim_bad_status_ok(uint8_t bad, uint8_t status);

/* check.c */
void sim_poll(struct sim_host *h, struct sim_cq *cq);
void sim_check_end(struct sim_world *w);
bool sim_qp_finished(const struct sim_qp *q);
/* What is outstanding will never complete: its effects are uncertain. */
void sim_qp_abandon(struct sim_qp *q);
void sim_watch_tx(struct sim_host *h, const uint8_t *pkt, uint32_t len, uint32_t dst);

/* memory.c */
void sim_mem_init(struct sim_host *h);
void sim_mem_fini(struct sim_host *h);
/* First byte of len bytes, misaligned at random; false when there is no room. pending: others will
 * write it. */
bool sim_alloc(struct sim_host *h, uint32_t len, uint32_t align, bool pending, uint32_t *base,
	uint32_t *units, uint32_t *off);
void sim_free(struct sim_host *h, uint32_t base, uint32_t units);
/* What is there now is what must stay: ends pending. */
void sim_settle(struct sim_host *h, uint32_t base, uint32_t units);
uint8_t sim_content_byte(uint64_t seed, uint32_t off);
void sim_content(uint64_t seed, uint8_t *out, uint32_t len);
uint64_t sim_msg_seed(const struct sim_world *w, uint32_t msg);
/* Writes as the application would (memory and shadow). */
void sim_store(struct sim_host *h, uint32_t off, const void *src, uint32_t len);
void sim_mem_check(struct sim_host *h);

#endif
