/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A placement with no engine behind it: it grants what control messages ask for and records them;
 * the test takes descriptors from the submission ring and writes completions by hand. Also the
 * objects most tests begin with.
 */
#ifndef FNS_TEST_VERBS_FAKE_H
#define FNS_TEST_VERBS_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <infiniband/verbs.h>
#include <pthread.h>

#include "pipe/placement.h"

#define FAKE_SLOTS   64u
#define FAKE_HANDLES 4096u

/* One descriptor, taken apart again as an engine would. */
struct fake_desc {
	uint32_t op, flags, nslots;
	struct fns_sqd head;
	struct fns_sqd_cont cont0;
	struct fns_sqd_sge sge[FNS_MAX_SGE];
	uint8_t data[FNS_MAX_INLINE];
};

struct fake {
	struct fns_placement_upcalls up;
	struct fns_sq_shared *ring;
	uint32_t tail; /* slots consumed */
	int alive;
	int n_control, n_submitted, n_poll, n_sleep;
	uint32_t last_submitted; /* what the last call was told */
	struct fns_ctl last;     /* the last control message as it came */
	/* The next message of this op fails with this, as often as said. */
	uint32_t fail_op;
	int fail_err, fail_times;
	int drain;             /* submitted() throws away what is in the ring */
	void (*on_poll)(void); /* called by poll() */
	uint8_t qp_state;      /* what QP_QUERY answers */
	uint32_t live[32];     /* objects alive, by op of their creation */
	struct {
		struct fns_cq_shared *ring;
		uint32_t log2, produced;
		uint64_t cookie, channel;
	} cq[FAKE_HANDLES];
	uint64_t cookie[FAKE_HANDLES];
};

extern struct fake fake;

/* cmocka fixtures: a context, a domain, a CQ of 16 and an RC queue pair in RTS with 8 + 8 requests,
 * 16 SGEs, 512 bytes inline. */
extern struct ibv_context *ctx;
extern struct ibv_pd *pd;
extern struct ibv_cq *cq;
extern struct ibv_qp *qp;

int setup(void **state);
int teardown(void **state);
/* Only the context. */
int setup_ctx(void **state);
int teardown_ctx(void **state);

struct ibv_qp *make_qp(
	enum ibv_qp_type type, struct ibv_cq *scq, struct ibv_cq *rcq, struct ibv_srq *srq);
void to_rts(struct ibv_qp *q);
struct ibv_ah_attr loop_address(void);

/* Takes the next descriptor; false: none. Checks phases. Credits it at once. */
bool fake_take(struct fake_desc *out);
/* Writes a completion of the CQ with that handle; unset fields are 0. */
void fake_complete(uint32_t cq_handle, const struct fns_cqe *cqe);
void fake_complete_send(struct ibv_qp *q, uint64_t wr_id, uint32_t wqe_count);
void fake_complete_recv(struct ibv_qp *q, uint64_t wr_id);

#endif
