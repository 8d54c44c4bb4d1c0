/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the engine: its objects by handle, and its stages. */
#ifndef FNS_ENGINE_ENGINE_PRIV_H
#define FNS_ENGINE_ENGINE_PRIV_H

#include "base/rng.h"
#include "engine/engine.h"
#include "transport/qp.h"

#define FNS_QUANTUM     (64 << 10)  /* bytes a queue pair may send before the next one's turn */
#define FNS_SCHED_BYTES (512 << 10) /* bytes sent per advance at most */
#define FNS_MAX_RINGS   FNS_MAX_APPS
#define FNS_MAX_CLIENTS 8192u
#define FNS_QP_INDEXES  65536u
#define FNS_QP_FIRST    2u /* indexes 0 and 1 are special queue pairs everywhere */
#define FNS_MAX_QPS     65000u
#define FNS_MANY_QPS    64u        /* fewer stay in the cache */
#define FNS_MAX_OBJECTS (1u << 20) /* of each other kind */

/* Objects by handle: index + 1 in the low 24 bits, a generation above so that a stale handle does
 * not fit a new object. */
struct fns_table {
	struct fns_slot {
		void *obj;
		uint32_t next_free; /* index + 1 */
		uint8_t gen;
	} * slot;
	uint32_t size, free; /* free: index + 1 of the first, 0: none */
};

int fns_table_add(struct fns_table *t, void *obj, uint32_t *handle);
void *fns_table_get(const struct fns_table *t, uint32_t handle);
void fns_table_remove(struct fns_table *t, uint32_t handle);
void fns_table_fini(struct fns_table *t);

struct fns_ring {
	struct fns_sq_shared *shared;
	uint32_t nslots, log2, head, posted;
	bool doorbell; /* the index says what is valid, not the phase bits */
	uint32_t app;
};

/* A congestion control with its parameters, for all queue pairs that have it. */
struct fns_cc_use {
	struct fns_cc_choice c;
	uint32_t refs;
	uint8_t number; /* of its name in the statistics, from 1; 0: no room there */
	struct fns_list node;
};

/* For queue pairs that will be connected. */
struct fns_cc_rule {
	struct fns_gid peer;
	uint32_t ifindex; /* 0: by peer */
	struct fns_cc_use *use;
};

struct fns_engine {
	struct fns_nic nic;    /* first: transports see this part */
	struct fns_cc_use *cc; /* the default */
	struct fns_list ccs;   /* in use */
	uint32_t cc_named;     /* names taken in the statistics, a bit each */
	struct fns_cc_rule cc_rule[FNS_CC_RULES];
	uint32_t ncc_rules;
	fns_cc_choose_fn *cc_choose;
	struct fns_rng rng;
	uint8_t prefix;
	bool deferred; /* acknowledgements wait: see FNS_ADVANCE_LAZY */
	uint64_t deferred_ns;
	struct fns_ring ring[FNS_MAX_RINGS];
	unsigned nrings;
	struct fns_qp **qps; /* FNS_QP_INDEXES, by QPN[15:0] */
	uint32_t nqps, next_qp;
	uint8_t next_gen;
	uint32_t next_client;
	bool clients[FNS_MAX_CLIENTS];
	uint32_t client_app[FNS_MAX_CLIENTS];
	struct fns_engine_quota quota;
	struct fns_app app[FNS_MAX_APPS];
	struct fns_table pds, mrs, cqs, srqs, ahs;
	struct fns_rx_view views[FNS_RX_BATCH];
};

static inline struct fns_qp *fns_engine_qp(const struct fns_engine *e, uint32_t qpn)
{
	struct fns_qp *qp = e->qps[qpn & 0xffff];

	return qp && qp->qpn == qpn ? qp : NULL;
}

/* submit.c: takes descriptors from all rings; how many. Datapath 2/9 to 3/9. */
unsigned fns_engine_submit(struct fns_engine *e);
/* rx.c: one burst from the wire; how many packets. Datapath 6/9. */
unsigned fns_engine_receive(struct fns_engine *e);

/* engine.c: deficit round robin over queue pairs with something to send. Datapath 3/9. */
unsigned fns_engine_transmit(struct fns_engine *e);

/* Control operations by object; each returns 0 or negative errno and writes outputs on success
 * only. */
int fns_ctl_pd_create(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_pd_destroy(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_mr_reg(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_mr_rereg(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_mr_dereg(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_mw_create(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_mw_destroy(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_cq_create(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_cq_resize(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_cq_destroy(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_srq_create(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_srq_modify(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_srq_query(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_srq_destroy(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_qp_create(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_qp_modify(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_qp_query(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_qp_destroy(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_qp_set_cc(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_ah_create(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_ah_destroy(struct fns_engine *e, struct fns_ctl *m);

/* An object of the client, with so many bytes of queues, comes; -ENOMEM: beyond its quota. Goes. */
int fns_ctl_charge(struct fns_engine *e, uint32_t client, uint64_t bytes);
void fns_ctl_refund(struct fns_engine *e, uint32_t client, uint64_t bytes);

struct fns_pd *fns_ctl_pd(struct fns_engine *e, uint32_t client, uint32_t handle);
struct fns_cq *fns_ctl_cq(struct fns_engine *e, uint32_t client, uint32_t handle);
struct fns_srq *fns_ctl_srq(struct fns_engine *e, uint32_t client, uint32_t handle);

/* ctl_offload.c */
int fns_ctl_offload_bind(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_offload_unbind(struct fns_engine *e, struct fns_ctl *m);
int fns_ctl_offload_count(struct fns_engine *e, struct fns_ctl *m);
/* A queue pair of an SRQ to which services are bound takes part from its beginning. -ENOMEM. */
int fns_ctl_offload_join(struct fns_engine *e, struct fns_qp *qp);
/* Before a queue pair or an SRQ goes. */
void fns_ctl_offload_leave(struct fns_engine *e, struct fns_qp *qp);
void fns_ctl_offload_srq_end(struct fns_engine *e, struct fns_srq *srq);

/* ctl_qp.c: bytes of one work request with so many SGEs and so much inline data. */
uint32_t fns_sq_stride(uint32_t max_sge, uint32_t max_inline);

/* qp_state.c: is this modify allowed (IBTA 10.3, table of transitions)? attr->mask without STATE
 * keeps the state. */
int fns_qp_modify_check(
	const struct fns_qp *qp, const struct fns_ctl_qp_attr *a, enum fns_qp_state *next);

/* cc.c: the default, to begin with (0 or -ENOMEM); and in the end, when there are no queue pairs.
 */
int fns_engine_cc_start(struct fns_engine *e, const struct fns_cc_choice *c);
void fns_engine_cc_end(struct fns_engine *e);
/* A queue pair is made (before its reset), is about to know its peer, and is freed. */
void fns_engine_cc_born(struct fns_engine *e, struct fns_qp *qp);
void fns_engine_cc_connecting(struct fns_engine *e, struct fns_qp *qp, const struct fns_ctl_av *av);
void fns_engine_cc_dead(struct fns_engine *e, struct fns_qp *qp);
/* What its packets carry in the IP header, given what the application wants there. */
uint8_t fns_engine_cc_tos(const struct fns_qp *qp, uint8_t traffic_class);

/* ctl_qp.c: frees without a trace. The queue pair has nothing in flight. */
void fns_engine_qp_free(struct fns_engine *e, struct fns_qp *qp);

#endif
