/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of libibverbs.so.1. Each one begins with the public struct that the application
 * holds. The "v" in their names keeps them apart from the engine's objects of the same kind.
 *
 * Threads and locks. Every verb may be called from any thread. The locks, outermost first:
 *   fns_vqp_ex.lock	  held from wr_start to wr_complete or wr_abort, as verbs promises
 *   fns_vcq.lock	  consumption of one completion queue; start_poll holds it until end_poll
 *   fns_vring.lock	  the process's submission ring and the send/receive/SRQ counts of what was
 * posted fns_vchannel.lock	  events waiting to be read (completion channels, and one for a
 * context's asynchronous events) ibv_{cq,qp,srq}.mutex  acknowledged events The placement's calls
 * may advance the engine, whose upcalls take fns_vchannel.lock and no other: they are made with
 * neither the ring's nor a channel's lock held (a CQ's lock is, in ibv_resize_cq alone). Creating
 * and destroying against each other is the application's business, as verbs says; reference counts
 * are atomic so that EBUSY is reliable.
 *
 * Fork: in a child every verb on an old context fails with EIO before it touches a lock or the
 * rings (fns_placement_alive()).
 */
#ifndef FNS_VERBS_PRIV_H
#define FNS_VERBS_PRIV_H

#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/util.h"
#include "pipe/placement.h"
#include "verbs/limits.h"
#include "verbs/netdev.h"

/* The header's wrappers of exported names; here the names themselves are defined. */
#undef ibv_reg_mr
#undef ibv_reg_mr_iova
#undef ibv_query_port

#define FNS_EXPORT __attribute__((visibility("default")))

struct fns_vdevice {
	struct ibv_device ibv;
	const void *ops;  /* never NULL: direct-verbs libraries compare the pointer that stands here
			     to their own */
	_Atomic int refs; /* the list it came in, contexts */
	int index;
	struct fns_netdev net;
};
_Static_assert(sizeof(struct ibv_device) == 664, "ABI");
_Static_assert(offsetof(struct fns_vdevice, ops) == 664, "ABI");
/* 648 bytes on x86-64; the mutex of ibv_context is larger elsewhere. */
_Static_assert(
	sizeof(struct verbs_context) == 608 + sizeof(pthread_mutex_t), "ABI of rdma-core 44");

/*
 * Events waiting for a reader. The descriptor is a counting eventfd (one token an event), so that
 * raising one never blocks and never loses any, and the reader's O_NONBLOCK works; the events
 * themselves wait in a list of their sources.
 */
struct fns_vchannel {
	int fd;
	pthread_mutex_t lock;
	struct fns_list sources; /* of fns_vevent_source, those with something pending */
	bool dead;               /* nothing will come any more: who waits is told EIO */
};

struct fns_vevent_source {
	struct fns_list node;
	struct fns_vchannel *channel;
	uint32_t pending; /* completion channel: number of events; asynchronous: bit per event type
			   */
	uint32_t delivered; /* read by the application; destroy waits until as many were
			       acknowledged */
};

struct fns_vcomp_channel {
	struct ibv_comp_channel ibv; /* refcnt is unused by us: `refs` is atomic */
	struct fns_vchannel ch;
	struct fns_list node; /* of the context's */
	_Atomic int refs;
};

struct fns_vcontext {
	struct verbs_context v; /* ends with the ibv_context */
	struct fns_vdevice *dev;
	const struct fns_placement_ops *ops;
	uint32_t client;
	struct fns_netdev net; /* as it was at open: GID indexes stay what they are */
	struct fns_vchannel async;
	struct fns_vevent_source fatal; /* the engine is gone */
	struct fns_list comp_channels;  /* under v.context.mutex */
	uint8_t active_mtu;
};

struct fns_vtd {
	struct ibv_td ibv;
	_Atomic int refs;
};

struct fns_vpd {
	struct ibv_pd ibv;
	_Atomic int refs;
	struct fns_vpd *parent; /* of a parent domain: the domain it stands for */
	struct fns_vtd *td;
	/* A parent domain's: where completion rings come from and go to; NULL: from the system. */
	void *(*alloc)(struct ibv_pd *pd, void *pd_context, size_t size, size_t alignment,
		uint64_t resource_type);
	void (*free)(struct ibv_pd *pd, void *pd_context, void *ptr, uint64_t resource_type);
	void *pd_context;
};

struct fns_vmr {
	struct ibv_mr ibv;
	uint32_t access;
};

struct fns_vcq {
	union {
		struct ibv_cq ibv;
		struct ibv_cq_ex ex;
	};
	_Alignas(FNS_CACHELINE) struct fns_lock lock;
	struct fns_cq_shared *sh;
	uint32_t head; /* free-running count of entries consumed */
	uint32_t log2, mask;
	uint32_t credited;     /* head as last told to the engine */
	uint32_t credit_every; /* at most so many entries are kept back */
	bool single_threaded, is_ex;
	bool doorbell;      /* FNS_PIPE_DOORBELL */
	bool ring_is_apps;  /* it came from the parent domain's allocator */
	struct fns_cqe cur; /* the entry that the extended readers look at */

	struct fns_vcomp_channel *channel;
	struct fns_vevent_source comp, async;
	struct fns_vpd *parent_domain;
	_Atomic int refs; /* queue pairs */
};

struct fns_vsrq {
	struct ibv_srq ibv;
	uint32_t max_wr, max_sge;
	uint32_t head;         /* receives posted, under the ring's lock */
	_Atomic uint32_t tail; /* receives completed */
	struct fns_vevent_source async;
	_Atomic int refs;
};

/* Work requests between wr_start and wr_complete, in the format of the submission ring with phase
 * 0. */
struct fns_vqp_ex {
	pthread_mutex_t lock;
	struct fns_sqd *slots;
	uint32_t nslots;     /* room */
	uint32_t used;       /* slots of finished requests */
	uint32_t count;      /* requests, the current one included */
	struct fns_sqd *cur; /* NULL: none begun */
	uint32_t cur_slots;
	int err; /* first error, positive; wr_complete returns it */
};

struct fns_vqp {
	union {
		struct ibv_qp ibv;
		struct ibv_qp_ex ex;
	};
	/* What posting and polling touch. head counts requests posted (under the ring's lock), tail
	 * those retired (CQ's lock). */
	_Alignas(FNS_CACHELINE) uint32_t sq_head;
	uint32_t rq_head;
	uint32_t resets; /* times that the counts were zeroed; under the ring's lock */
	uint32_t qpn, max_send_wr, max_recv_wr;
	uint16_t max_send_sge, max_recv_sge, max_inline;
	uint8_t gen, type_bit;
	bool sig_all;
	_Atomic uint8_t state; /* enum ibv_qp_state as last set or queried */
	const struct fns_placement_ops *ops;
	struct fns_vsrq *srq;
	_Alignas(FNS_CACHELINE) _Atomic uint32_t sq_tail;
	_Atomic uint32_t rq_tail;

	_Alignas(FNS_CACHELINE) struct fns_vevent_source async;
	struct ibv_qp_attr attr; /* as last set by modify */
	struct ibv_qp_cap cap;
	bool is_ex;
	struct fns_vqp_ex xq;
};

struct fns_vah {
	struct ibv_ah ibv;
};

/* qp.type_bit */
enum {
	FNS_TB_RC = 1,
	FNS_TB_UC = 2,
	FNS_TB_UD = 4
};

static inline struct fns_vcontext *fns_ctx(struct ibv_context *c)
{
	return fns_container_of(c, struct fns_vcontext, v.context);
}

static inline struct fns_vpd *fns_vpd(struct ibv_pd *pd)
{
	return fns_container_of(pd, struct fns_vpd, ibv);
}

static inline struct fns_vcq *fns_vcq(struct ibv_cq *cq)
{
	return fns_container_of(cq, struct fns_vcq, ibv);
}

static inline struct fns_vqp *fns_vqp(struct ibv_qp *qp)
{
	return fns_container_of(qp, struct fns_vqp, ibv);
}

static inline struct fns_vsrq *fns_vsrq(struct ibv_srq *srq)
{
	return fns_container_of(srq, struct fns_vsrq, ibv);
}

/* err.c: the one place that turns 0 or negative errno into what verbs returns. Both set errno on
 * failure. */
int fns_verbs_err(int err);
void *fns_verbs_null(int err);

/* err.c: sends one control message, asking again while the engine says -EAGAIN. 0 or negative
 * errno. */
int fns_verbs_control(struct fns_vcontext *ctx, struct fns_ctl *msg);

/* device.c */
extern const struct fns_placement_upcalls fns_verbs_upcalls;

/* query.c */
int fns_verbs_query_port(
	struct ibv_context *context, uint8_t port, struct ibv_port_attr *attr, size_t len);
int fns_verbs_query_device_ex(struct ibv_context *context,
	const struct ibv_query_device_ex_input *input, struct ibv_device_attr_ex *attr,
	size_t attr_size);
int fns_verbs_query_rt_values(struct ibv_context *context, struct ibv_values_ex *values);

/* event.c */
int fns_vchannel_init(struct fns_vchannel *ch);
void fns_vchannel_fini(struct fns_vchannel *ch);
void fns_vchannel_raise_count(struct fns_vevent_source *src);
void fns_vchannel_raise_type(struct fns_vevent_source *src, uint32_t type);
void fns_vevent_source_init(struct fns_vevent_source *src, struct fns_vchannel *ch);
/* Takes back what nobody has read yet; returns how many events were read, to be awaited. */
uint32_t fns_vevent_source_fini(struct fns_vevent_source *src);

/* pd.c */
struct ibv_td *fns_verbs_alloc_td(struct ibv_context *context, struct ibv_td_init_attr *attr);
int fns_verbs_dealloc_td(struct ibv_td *td);
struct ibv_pd *fns_verbs_alloc_parent_domain(
	struct ibv_context *context, struct ibv_parent_domain_init_attr *attr);

/* mw.c */
struct ibv_mw *fns_verbs_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type);
int fns_verbs_dealloc_mw(struct ibv_mw *mw);
int fns_verbs_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind);

/* cq.c, cq_ex.c */
int fns_verbs_poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc);
int fns_verbs_req_notify_cq(struct ibv_cq *cq, int solicited_only);
int fns_verbs_modify_cq(struct ibv_cq *cq, struct ibv_modify_cq_attr *attr);
struct ibv_cq_ex *fns_verbs_create_cq_ex(
	struct ibv_context *context, struct ibv_cq_init_attr_ex *attr);
/* The next entry, or NULL; consumed by fns_vcq_advance, which may be called once after it. Under
 * the CQ's lock. */
struct fns_cqe *fns_vcq_peek(struct fns_vcq *cq);
/* Counts the entry and moves past it; false: it belongs to a queue pair destroyed meanwhile and
 * must not be shown. */
bool fns_vcq_advance(struct fns_vcq *cq, struct fns_cqe *e);
/* Tells the engine what was consumed, if `now` or if enough was. */
void fns_vcq_credit(struct fns_vcq *cq, bool now);
/* Forgets the completions of a queue pair that was destroyed or reset. */
void fns_vcq_purge(struct fns_vcq *cq, uint32_t qpn);
void fns_vcq_ex_init(struct fns_vcq *cq, uint64_t wc_flags);

/* qp.c */
extern struct fns_vqp
	*_Atomic fns_vqp_table[65536]; /* by QPN[15:0]: a process has one QPN prefix */
struct ibv_qp *fns_verbs_create_qp_ex(
	struct ibv_context *context, struct ibv_qp_init_attr_ex *attr);

/* qp_modify.c: checks a transition and its attributes. 0 or negative errno. Pure but for the GID
 * table. */
int fns_vqp_modify_check(const struct fns_vqp *qp, const struct ibv_qp_attr *attr, int mask);

/* ah.c: checks an address and fills the engine's form of it. 0 or negative errno. */
int fns_verbs_resolve_av(
	const struct fns_vcontext *ctx, const struct ibv_ah_attr *attr, struct fns_ctl_av *av);

/* post.c */
int fns_verbs_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
int fns_verbs_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int fns_verbs_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
/* The one bind of a type 1 window that wr describes. */
int fns_verbs_post_bind_type1(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
/* 0, or the errno with which binding is refused. */
int fns_verbs_post_check_bind(const struct fns_vqp *qp, const struct ibv_mw *mw,
	enum ibv_mw_type type, const struct ibv_mw_bind_info *info);

/* qp_ex.c */
int fns_vqp_ex_init(struct fns_vqp *qp, uint64_t send_ops);
void fns_vqp_ex_fini(struct fns_vqp *qp);

/* xrc: NULL would crash ibv_close_xrcd(), which does not look */
int fns_verbs_close_xrcd(struct ibv_xrcd *xrcd);

/* srq.c */
struct ibv_srq *fns_verbs_create_srq_ex(
	struct ibv_context *context, struct ibv_srq_init_attr_ex *attr);
int fns_verbs_get_srq_num(struct ibv_srq *srq, uint32_t *num);

#endif
