/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test bench around one engine: a wire in memory that keeps what was sent as flat packets and
 * delivers what the test makes up, virtual time, direct or simulated DMA, and short ways to create
 * objects and to post descriptors exactly as pipe/layout.h says. Two benches can be joined packet
 * by packet. Everything fails the running cmocka test on misuse.
 */
#ifndef FNS_TEST_RIG_H
#define FNS_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine_priv.h"

#define RIG_MEM      (512u << 10)
#define RIG_SENT     2048u
#define RIG_PACKET   4200u
#define RIG_EVENTS   64u
#define RIG_PREFIX   1u
#define RIG_PEER_QPN 0x020011u
#define RIG_SQ_PSN   100u
#define RIG_RQ_PSN   500u
#define RIG_QKEY     0x1234u

struct rig_packet {
	uint8_t data[RIG_PACKET];
	uint32_t len;
	struct fns_hdr h; /* parsed; payload points into data */
	/* Payload that was lent, instead: where its first piece is, pieces, bytes; its loan's word.
	 */
	const uint8_t *lent_at;
	uint32_t lent_pieces, lent;
	uint64_t loan;
	struct fns_gid local, remote;
};

struct rig_rx {
	struct fns_list node;
	struct fns_rx_view view;
	uint8_t *data; /* exactly len bytes: over-reads are seen */
	const uint8_t *lent;
};

struct rig_opts {
	bool simdma;
	struct fns_dma_sim_cfg sim;
	uint32_t peer_budget, read_budget;
	uint32_t sq_slots; /* 0: 1024 */
	uint8_t prefix;    /* 0: RIG_PREFIX */
	uint64_t seed;
	uint64_t cnp_ns;
	bool selective;
	const struct fns_cc_choice *cc; /* NULL: the default */
	struct fns_modes modes;         /* all zero: as FLEXINS_TX and FLEXINS_PIPE say */
};

struct rig {
	struct fns_wire wire; /* first */
	struct fns_dma *dma;
	struct fns_engine *e;
	struct fns_stats *stats;
	uint64_t now;
	struct fns_gid self, peer;
	uint8_t prefix;
	/* wire */
	struct rig_packet *sent;
	unsigned nsent; /* test sets to 0 to begin anew */
	bool keep_sent; /* false: sent packets are only counted in total_sent */
	uint64_t total_sent;
	unsigned room;                        /* frames that the wire will still take */
	const uint8_t *fault_from, *fault_to; /* payload here faults */
	struct fns_list rxq;
	unsigned rx_queued, views_out, paths;
	uint8_t ecn; /* of packets injected from now on */
	bool lends;  /* the peer fetches */
	/* What a fetch of ours comes to; late: at rig_fetched(), one at a time. */
	int fetch_result;
	bool fetch_late;
	struct fns_dma_token *fetching;
	unsigned fetches;
	/* submission ring */
	struct fns_sq_shared *sq;
	uint32_t sq_slots, sq_tail;
	bool no_doorbell; /* rig_post leaves the index of the ring as it is */
	/* objects */
	uint32_t client, pd, mr, key;
	uint8_t *mem; /* RIG_MEM bytes under key, all rights; iova == address */
	struct fns_event event[RIG_EVENTS];
	unsigned nevents, ncomp_events;
};

struct rig_cq {
	uint32_t handle, log2, consumed;
	struct fns_cq_shared *ring;
};

struct rig_qp {
	uint32_t qpn;
	uint8_t gen, type;
	struct rig_cq cq;            /* both queues */
	struct fns_ctl_qp_attr attr; /* what rig_to_* use */
};

/* A work request, either queue. */
struct rig_wr {
	uint64_t wr_id;
	uint8_t op;
	uint32_t flags;
	uint64_t remote_addr;
	uint32_t rkey, imm;
	uint32_t nsge;
	struct fns_sqd_sge sge[FNS_MAX_SGE];
	const void *data; /* inline */
	uint32_t inline_len;
	uint64_t compare, swap_add;
	uint32_t ah, remote_qpn, qkey;
	struct {
		uint64_t addr, len;
		uint32_t mr_key, mw_key, new_key, access;
	} bind;
};

struct rig *rig_create(const struct rig_opts *opts); /* NULL: defaults */
/* Checks that nothing is left: views, paths. */
void rig_destroy(struct rig *r);

int rig_ctl(struct rig *r, struct fns_ctl *m);
/* Moves time to r->now + dt and advances until nothing more happens at that moment. */
void rig_step(struct rig *r, uint64_t dt_ns);
static inline void rig_run(struct rig *r)
{
	rig_step(r, 0);
}
/* As rig_step, but stops at every moment in between that the engine asked for. */
void rig_sleep(struct rig *r, uint64_t dt_ns);
/* Runs until simulated memory has nothing in flight. */
void rig_settle(struct rig *r);

void rig_cq_create(struct rig *r, struct rig_cq *cq, uint32_t log2);
bool rig_poll(struct rig_cq *cq, struct fns_cqe *out);
/* The next completion must be there and be this. */
void rig_expect_cqe(struct rig_cq *cq, uint64_t wr_id, uint8_t status);
void rig_expect_no_cqe(struct rig_cq *cq);
void rig_cq_free(struct rig_cq *cq);

/* With a CQ of its own (log2 10), 64 work requests and 4 SGEs either way, all rights; in RESET. */
void rig_qp_create(struct rig *r, struct rig_qp *qp, uint8_t type);
void rig_qp_create_srq(struct rig *r, struct rig_qp *qp, uint8_t type, uint32_t srq);
int rig_modify(struct rig *r, struct rig_qp *qp, uint8_t state, uint32_t mask);
void rig_to_init(struct rig *r, struct rig_qp *qp);
void rig_to_rtr(struct rig *r, struct rig_qp *qp);
void rig_to_rts(struct rig *r, struct rig_qp *qp);
/* RESET to RTS. */
void rig_connect(struct rig *r, struct rig_qp *qp);
uint8_t rig_state(struct rig *r, struct rig_qp *qp);
/* Also frees the CQ. */
void rig_qp_destroy(struct rig *r, struct rig_qp *qp);
struct fns_qp *rig_inner(struct rig *r, const struct rig_qp *qp);
/* Attributes that this transition of this type requires, for rig_modify. */
uint32_t rig_required(uint8_t type, uint8_t to);

uint32_t rig_slots(const struct rig_wr *wr);
/* Publishes; does not advance. */
void rig_post(struct rig *r, const struct rig_qp *qp, const struct rig_wr *wr);
/* One SGE of r->mem. */
void rig_post_data(struct rig *r, const struct rig_qp *qp, uint8_t op, uint64_t wr_id,
	uint32_t flags, uint32_t off, uint32_t len);
void rig_post_recv(
	struct rig *r, const struct rig_qp *qp, uint64_t wr_id, uint32_t off, uint32_t len);

/* Delivers a packet from the peer at the next advance; pads. */
void rig_inject_raw(struct rig *r, const uint8_t *pkt, uint32_t len);
void rig_inject_from(struct rig *r, const struct fns_gid *src, const uint8_t *pkt, uint32_t len);
void rig_inject(struct rig *r, struct fns_hdr h, const void *payload, uint32_t len);
/* One whose payload is at lent, to be fetched. */
void rig_inject_lent(struct rig *r, struct fns_hdr h, const uint8_t *lent, uint32_t len);
/* The fetch under way is over. */
void rig_fetched(struct rig *r);
/* Responses to queue pair qp. */
void rig_inject_aeth(struct rig *r, const struct rig_qp *qp, uint32_t psn, uint8_t syndrome);
static inline void rig_inject_ack(struct rig *r, const struct rig_qp *qp, uint32_t psn)
{
	rig_inject_aeth(r, qp, psn, FNS_AETH_ACK | FNS_AETH_NO_CREDITS);
}
/* A header to qp with the defaults filled in. */
struct fns_hdr rig_hdr(const struct rig_qp *qp, uint8_t opcode, uint32_t psn);
/* And with len bytes from offset off of r->mem as the memory that it is about. */
struct fns_hdr rig_hdr_rdma(struct rig *r, const struct rig_qp *qp, uint8_t opcode, uint32_t psn,
	uint32_t off, uint32_t len);

uint64_t rig_count(const struct rig *r, enum fns_counter c);
/* The nth packet sent must have this opcode and PSN. */
const struct rig_packet *rig_expect_sent(
	const struct rig *r, unsigned n, uint8_t opcode, uint32_t psn);
void rig_fill(struct rig *r, uint32_t off, uint32_t len, uint8_t seed);
/* -1, or the index of the first byte that is not as rig_fill made it. */
long rig_differs(const uint8_t *p, uint32_t len, uint8_t seed);
/* Delivers all that a sent to b (dropping drop_ppm of it), forgets it. Returns how many arrived. */
unsigned rig_ferry(struct rig *a, struct rig *b, struct fns_rng *rng, uint32_t drop_ppm);
struct fns_gid rig_gid4(uint8_t last);

#endif
