/* SPDX-License-Identifier: Apache-2.0 */
/* Private to offload: calls and services, shared by run.c, act.c and service.c. */
#ifndef FNS_OFFLOAD_OFFLOAD_PRIV_H
#define FNS_OFFLOAD_OFFLOAD_PRIV_H

#include "base/util.h"
#include "offload/offload.h"

enum fns_call_phase {
	FNS_CALL_IDLE,
	FNS_CALL_RECEIVING,
	FNS_CALL_STEP,  /* the handler comes next */
	FNS_CALL_ACT,   /* what it wanted is to be done, or to be tried again */
	FNS_CALL_DMA,   /* memory is asked */
	FNS_CALL_REPLY, /* the answer is to be sent */
	FNS_CALL_DRAIN,
};

struct fns_offload_call {
	struct fns_offload_ctx ctx;
	struct fns_list node;  /* of the ready, of the sink's waiting, of the service's idle */
	struct fns_list owned; /* of the sink's calls */
	struct fns_offload *o;
	struct fns_offload_service *service;
	struct fns_offload_sink *sink; /* NULL: cancelled */
	struct fns_offload_program *program;
	uint8_t phase; /* enum fns_call_phase */
	uint8_t kind;  /* ACT, DMA: enum fns_offload_action */
	uint8_t status;
	bool too_long;
	uint32_t outstanding; /* work requests */
	uint32_t steps;
	uint64_t bytes, written, start_ns;
	struct fns_dma_token token;
	struct fns_memref ref;
	struct fns_offload_request head;
	uint8_t *request, *reply; /* of the service's max_request, max_reply */
	uint32_t request_len;     /* received, header included */
	uint32_t reply_len;       /* header included */
	/* WRITEs of memory that are being merged. */
	struct {
		uint64_t va;
		uint32_t len, n;
		struct fns_offload_piece piece[FNS_OFFLOAD_PIECES];
	} merge;
};

struct fns_offload_service {
	struct fns_list node; /* of the port's */
	struct fns_list all;  /* of the engine's */
	struct fns_offload *o;
	struct fns_offload_handler *handler; /* NULL: refuses everything */
	const struct fns_pd *pd;
	struct fns_offload_binding b;
	struct fns_list idle; /* calls */
	uint32_t busy;
	bool unbound; /* goes with its last call */
	void *mem;
};

enum fns_act_result {
	FNS_ACT_NEXT,    /* done: the next step */
	FNS_ACT_PENDING, /* memory will answer */
	FNS_ACT_AGAIN,   /* not now, for a reason that sends no word */
	FNS_ACT_ROOM,    /* not before the sink has room */
	FNS_ACT_END,     /* call->status and ctx.act say how */
};

/* act.c: does what the handler asked for by c->kind and ctx.act. Repeatable after AGAIN and ROOM.
 */
enum fns_act_result fns_offload_act(struct fns_offload_call *c);
/* What memory answered. NEXT or END. */
enum fns_act_result fns_offload_act_done(struct fns_offload_call *c, int result);
/* Posts the WRITE that is being merged. False: no room. */
bool fns_offload_flush(struct fns_offload_call *c);

/* run.c: the token of a call. */
void fns_offload_token_done(struct fns_dma_token *t, int result);

/* service.c */
void fns_offload_call_free(struct fns_offload_call *c);

/* crc32c.c: the CRC32C of what had `sum` followed by these bytes. */
uint32_t fns_offload_crc32c(uint32_t sum, const void *bytes, uint32_t len);

#endif
