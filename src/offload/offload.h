/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The offloading engine: handlers by name, services bound to queue pairs, and the machine that
 * iterates the steps of running calls. Knows memory and programs, and nothing of transports:
 * requests come in and replies go out through a sink, one a queue pair, which
 * transport/rc_offload.c implements. The messages and what a handler sees are flexins/offload.h.
 *
 * A pure state machine like the rest of the engine: engine's thread only, time comes in, memory is
 * asynchronous. It allocates when something is loaded or bound, never for a request.
 *
 * A call is, in this order: receiving (its message arrives), ready or running, waiting (for memory,
 * or for room in its sink), replying, and draining (what it sent is not acknowledged yet, and may
 * have to be sent again from its buffers). If its queue pair ends in the middle, it is cancelled:
 * nothing more is asked of the sink, and it goes when memory has answered.
 */
#ifndef FNS_OFFLOAD_OFFLOAD_H
#define FNS_OFFLOAD_OFFLOAD_H

#include "base/list.h"
#include "bpf/bpf.h"
#include "flexins/offload.h"
#include "mem/mem.h"

#define FNS_OFFLOAD_HANDLERS    64u
#define FNS_OFFLOAD_TURN_STEPS  64u  /* of one call, before the next one's turn */
#define FNS_OFFLOAD_RUN_STEPS   512u /* of all, before the engine looks at its packets again */
#define FNS_OFFLOAD_MERGE_BYTES (256u << 10) /* of one WRITE made of neighbours */
#define FNS_OFFLOAD_REPLY_HDR   ((uint32_t)sizeof(struct fns_offload_reply))
#define FNS_OFFLOAD_REQUEST_HDR ((uint32_t)sizeof(struct fns_offload_request))

struct fns_offload_call;
struct fns_offload_service;
struct fns_offload_sink;

/* --- programs --- */

/* A step, native or compiled. Refcounted by the engine's thread: its handler, and each call. */
struct fns_offload_program {
	uint64_t (*step)(void *ctx); /* NULL: bpf is interpreted */
	struct fns_bpf *bpf;         /* NULL: native */
	uint32_t refs;
};

struct fns_offload_native {
	const char *name;
	const char *text; /* one line */
	uint64_t (*step)(struct fns_offload_ctx *ctx);
};

/* The built-in handlers, as native code. */
extern const struct fns_offload_native fns_offload_builtin[];
extern const unsigned fns_offload_builtins;

/* Verifies and compiles an object file. Takes up to a quarter of a second, so not under the engine;
 * any thread. NULL: err says why. With one reference, the caller's. */
struct fns_offload_program *fns_offload_program_load(
	const void *elf, size_t len, char *err, size_t errlen);
struct fns_offload_program *fns_offload_program_native(const struct fns_offload_native *n);
void fns_offload_program_put(struct fns_offload_program *p); /* NULL is fine */

/* --- the engine's --- */

struct fns_offload_handler {
	struct fns_list node;
	char name[FNS_OFFLOAD_NAME];
	struct fns_offload_program *program; /* new calls get this one */
	struct fns_offload_counters count;
};

struct fns_offload {
	struct fns_mem *mem;
	struct fns_dma *dma;
	const uint64_t *now_ns;
	struct fns_list handlers;
	uint32_t nhandlers;
	struct fns_list services; /* all, those being taken down included */
	struct fns_list ready;    /* calls that can go on, in order */
};

/* NULL without memory. Does not own what it is given. */
struct fns_offload *fns_offload_create(
	struct fns_mem *mem, struct fns_dma *dma, const uint64_t *now_ns);
/* Whatever runs, it ends. Memory must answer to nothing of it any more. */
void fns_offload_destroy(struct fns_offload *o);

/*
 * Loads a program under a name, or puts it in the place of what is there: calls that run keep
 * theirs to their end. Takes the program over on success. 0, -EINVAL (name), -ENOSPC, -ENOMEM.
 */
int fns_offload_handler_set(struct fns_offload *o, const char *name, struct fns_offload_program *p);
/* -ENOENT, -EBUSY: bound. */
int fns_offload_handler_remove(struct fns_offload *o, const char *name);
/* Loaded, or built in and then loaded by this. NULL: unknown, or no memory. */
struct fns_offload_handler *fns_offload_handler_find(struct fns_offload *o, const char *name);

/* Moves calls that are ready; how many steps. */
unsigned fns_offload_run(struct fns_offload *o);
static inline bool fns_offload_due(const struct fns_offload *o)
{
	return !fns_list_empty(&o->ready);
}

/* --- services --- */

/* The services of one queue pair, or of one SRQ. */
struct fns_offload_port {
	struct fns_list services;
	uint32_t nservices;
	struct fns_offload_service *refusals; /* answers requests for what is not there */
};

void fns_offload_port_init(struct fns_offload_port *p);
/* Memory that a binding takes, 0: it is not valid. Fills in what is left to us. */
uint64_t fns_offload_binding_check(struct fns_offload_binding *b);
/* Memory of all bindings of it. */
uint64_t fns_offload_port_bytes(const struct fns_offload_port *p);
/*
 * Binds; a binding under the same number is replaced, its calls go on. b: checked. -ENOENT (no such
 * handler), -ENOSPC, -ENOMEM.
 */
int fns_offload_bind(struct fns_offload *o, struct fns_offload_port *p, const struct fns_pd *pd,
	const struct fns_offload_binding *b);
/* -ENOENT. Calls go on; their memory stays until they have ended. */
int fns_offload_unbind(struct fns_offload *o, struct fns_offload_port *p, uint32_t service);
/* All of them. */
void fns_offload_port_clear(struct fns_offload *o, struct fns_offload_port *p);

/* --- between a transport and the calls of a queue pair --- */

struct fns_offload_piece {
	uint64_t addr;
	uint32_t len, key;
};
#define FNS_OFFLOAD_PIECES 16u /* of one WRITE */

struct fns_offload_sink_ops {
	/* May another work request be posted? */
	bool (*room)(const struct fns_offload_sink *s);
	/* Each posts one work request, in this order; fns_offload_sent() when it is over. */
	/* A WRITE of memory, read when it is sent. */
	void (*write_mem)(struct fns_offload_sink *s, struct fns_offload_call *c,
		const struct fns_offload_piece *piece, unsigned n, uint64_t va, uint32_t rkey);
	/* A WRITE of FNS_OFFLOAD_DATA bytes at most, which are copied. */
	void (*write)(struct fns_offload_sink *s, struct fns_offload_call *c, const void *bytes,
		uint32_t len, uint64_t va, uint32_t rkey);
	/* A SEND of bytes that stay until it is over. */
	void (*send)(struct fns_offload_sink *s, struct fns_offload_call *c, const void *bytes,
		uint32_t len);
};

struct fns_offload_sink {
	const struct fns_offload_sink_ops *ops;
	const struct fns_pd *pd;
	struct fns_list calls;   /* all of this queue pair */
	struct fns_list waiting; /* of these, for room */
};

void fns_offload_sink_init(struct fns_offload_sink *s, const struct fns_offload_sink_ops *ops,
	const struct fns_pd *pd);

enum fns_offload_verdict {
	FNS_OFFLOAD_PASS, /* no request: for the program */
	FNS_OFFLOAD_TAKE,
	FNS_OFFLOAD_BUSY, /* the service has as many as it may have at a time */
};

/*
 * The beginning of a message. TAKE: *out is the call; the rest of the message, this beginning
 * included, comes by fns_offload_receive(). What is at head may change while it is looked at.
 */
enum fns_offload_verdict fns_offload_begin(struct fns_offload *o, struct fns_offload_port *p,
	struct fns_offload_sink *s, const void *head, uint32_t len, struct fns_offload_call **out);
void fns_offload_receive(struct fns_offload_call *c, const void *bytes, uint32_t len);
/* All has come, and all that came before it is placed. */
void fns_offload_start(struct fns_offload *o, struct fns_offload_call *c);
/* A work request is over, in whatever way. The call may be gone afterwards. */
void fns_offload_sent(struct fns_offload *o, struct fns_offload_call *c);
/* The queue pair has ended: its calls are cancelled. */
void fns_offload_cancel(struct fns_offload *o, struct fns_offload_sink *s);

#endif
