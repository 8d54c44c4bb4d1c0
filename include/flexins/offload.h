/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offload handlers of FlexiNS: code beside the transport of a server, called by clients with plain
 * verbs. One file for three readers: who calls a handler (the messages), who writes one (the
 * context and the actions; also for `clang -target bpf -ffreestanding`), and who serves (loading
 * and binding, at the end). C99 and C++; nothing else of FlexiNS is needed.
 *
 * A client sends a SEND that begins with struct fns_offload_request to a queue pair which the
 * server has bound to services. The server's program does not see it: the engine takes it, without
 * a posted receive, runs the handler of that service, and answers with one SEND that begins with
 * struct fns_offload_reply. Before it, the handler may WRITE into a buffer that the request named;
 * these WRITEs are placed when the answer has come. All other SENDs go to the server's program as
 * ever.
 *
 * A handler is a step: a function without loops over one context block, which returns what it wants
 * done. The engine does it, asynchronously where memory is far, and calls the next step with the
 * result. Steps, bytes and time of a request are limited by the binding. Memory is named by one of
 * the binding's regions and an address in it; every access is checked against the key, the
 * protection domain, the bounds and the rights of the region and of the binding.
 *
 * Integers are little-endian in messages, and of the host elsewhere.
 */
#ifndef FLEXINS_OFFLOAD_H
#define FLEXINS_OFFLOAD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- messages --- */

#define FNS_OFFLOAD_MAGIC 0x3146464f534e466eull /* "nFNSOFF1" */

/* Followed by the handler's arguments, to the end of the SEND (without immediate). */
struct fns_offload_request {
	uint64_t magic;
	uint32_t service;  /* which of the queue pair's services */
	uint32_t tag;      /* the caller's, comes back */
	uint64_t out_addr; /* buffer of the caller's that the handler may WRITE into */
	uint32_t out_rkey;
	uint32_t out_len; /* bytes; 0: none */
};

/* Followed by len bytes of payload. */
struct fns_offload_reply {
	uint64_t magic;
	uint32_t service, tag;
	uint32_t status;  /* enum fns_offload_status */
	uint32_t code;    /* of the handler's, with DONE and REFUSE */
	uint64_t value;   /* likewise */
	uint32_t len;     /* bytes of payload behind this header; 0 after a failure */
	uint32_t steps;   /* that it took */
	uint64_t written; /* bytes WRITTEN into the caller's buffer; undefined contents after a
			     failure */
};

enum fns_offload_status {
	FNS_OFFLOAD_OK,
	FNS_OFFLOAD_NO_SERVICE, /* no such one on this queue pair */
	FNS_OFFLOAD_MALFORMED,  /* shorter than a request, or buffer beyond the address space */
	FNS_OFFLOAD_TOO_LONG,   /* longer than the binding allows */
	FNS_OFFLOAD_REFUSED,    /* by the handler: code says why */
	FNS_OFFLOAD_ACCESS,     /* key, domain, bounds or rights forbid what the handler wanted */
	FNS_OFFLOAD_FAULT,      /* the memory is registered, but gone */
	FNS_OFFLOAD_STEPS,      /* out of budget */
	FNS_OFFLOAD_BYTES,
	FNS_OFFLOAD_TIME,
	FNS_OFFLOAD_NO_ROOM,    /* reply or caller's buffer are too small */
	FNS_OFFLOAD_BAD_ACTION, /* the handler returned nonsense */
	FNS_OFFLOAD_STATUSES
};

/* Codes with which the built-in handlers refuse. */
enum fns_offload_refusal {
	FNS_OFFLOAD_R_ARGS = 1, /* malformed arguments: short, long, too many, overflowing */
	FNS_OFFLOAD_R_OVERLAP,  /* pieces overlap */
	FNS_OFFLOAD_R_CHECKSUM, /* the data do not have the checksum named */
	FNS_OFFLOAD_R_NOT_FOUND,
	FNS_OFFLOAD_R_DIFFERS, /* compare-and-replicate: value is what was found */
};

/* --- a handler --- */

#define FNS_OFFLOAD_ABI     1u
#define FNS_OFFLOAD_SECTION "flexins/offload" /* of the object file, holds the step */

#define FNS_OFFLOAD_REGIONS 4u
#define FNS_OFFLOAD_PARAMS  8u
#define FNS_OFFLOAD_STATE   16u  /* words */
#define FNS_OFFLOAD_ARGS    512u /* bytes of the arguments in sight */
#define FNS_OFFLOAD_DATA    1024u

/* What a step returns. What it names is in ctx->act. Zero bytes are fine, and nothing is done. */
enum fns_offload_action {
	/* The end. Answers with code, value and what was emitted. */
	FNS_OFFLOAD_DONE = 1,
	/* The end: answers with status REFUSED, code and value. */
	FNS_OFFLOAD_REFUSE,
	/* len bytes at addr of region to data + at. */
	FNS_OFFLOAD_FETCH,
	/* len bytes at data + at to addr of region. */
	FNS_OFFLOAD_STORE,
	/* len bytes of the arguments from at on, in sight or not, to addr of region. */
	FNS_OFFLOAD_STORE_ARGS,
	/* Eight aligned bytes at addr of region: adds swap; ctx->value is what was found. */
	FNS_OFFLOAD_ATOMIC_ADD,
	/* ... puts swap in the place of compare. */
	FNS_OFFLOAD_ATOMIC_CAS,
	/* Appends len bytes at data + at to the reply. */
	FNS_OFFLOAD_EMIT,
	/* Appends len bytes at addr of region to the reply. */
	FNS_OFFLOAD_EMIT_MEM,
	/* WRITEs len bytes at data + at to byte `to` of the caller's buffer. */
	FNS_OFFLOAD_WRITE,
	/* WRITEs len bytes at addr of region there. They are read when they are sent, without a
	 * copy; neighbours are merged. */
	FNS_OFFLOAD_WRITE_MEM,
	/* ctx->value becomes the CRC32C of len bytes of the arguments from at on, begun with the
	 * CRC32C `swap` of what comes before them (0: nothing does). */
	FNS_OFFLOAD_SUM_ARGS,
	/* ... of what was emitted, from byte at on. */
	FNS_OFFLOAD_SUM_REPLY,
	/* The arguments from at on come in sight. */
	FNS_OFFLOAD_SEE_ARGS,
};

struct fns_offload_act {
	uint64_t addr;
	uint64_t to;
	uint64_t swap, compare;
	uint64_t value; /* DONE, REFUSE */
	uint32_t region;
	uint32_t len;
	uint32_t at;
	uint32_t code; /* DONE, REFUSE */
};

enum {
	FNS_OFFLOAD_READ = 1,   /* FETCH, EMIT_MEM, WRITE_MEM */
	FNS_OFFLOAD_STORES = 2, /* STORE, STORE_ARGS */
	FNS_OFFLOAD_ATOMIC = 4,
};

struct fns_offload_area {
	uint64_t addr, len;
	uint32_t rights;
	uint32_t zero;
};

/* One request's. A step may write all of it; what the engine goes by is elsewhere. */
struct fns_offload_ctx {
	uint32_t step;       /* 0: the first */
	uint32_t arg_len;    /* bytes of arguments */
	uint32_t args_at;    /* of them, in sight from here on ... */
	uint32_t args_len;   /* ... so many */
	uint32_t reply_len;  /* bytes emitted */
	uint32_t reply_room; /* bytes that may still be */
	uint32_t out_len;    /* bytes of the caller's buffer */
	uint32_t nregions;
	uint64_t value;                                      /* of the last atomic or sum */
	uint64_t param[FNS_OFFLOAD_PARAMS];                  /* the binding's */
	struct fns_offload_area region[FNS_OFFLOAD_REGIONS]; /* the binding's */
	struct fns_offload_act act;
	uint64_t state[FNS_OFFLOAD_STATE]; /* the handler's, zero at first */
	/* Zero behind args_len. Both are words, so that handlers can load any of them whole. */
	uint64_t args[FNS_OFFLOAD_ARGS / 8];
	uint64_t data[FNS_OFFLOAD_DATA / 8];
};

/* The step of an eBPF handler:
 *	__attribute__((section(FNS_OFFLOAD_SECTION), used))
 *	uint64_t step(struct fns_offload_ctx *ctx);
 */

/* --- arguments of the built-in handlers; see docs/adding-a-handler.md --- */

/*
 * list-walk. Region 0 holds nodes of 128 bytes: u64 next (0: the last), u64 key, at byte 64 the
 * value. Goes from `head` over `hops` links, or to the node with `key` if hops is 0, and replies
 * with its value, 64 bytes; reply.value is its address.
 */
struct fns_offload_walk {
	uint64_t head, key;
	uint32_t hops, zero;
};
#define FNS_OFFLOAD_NODE       128u
#define FNS_OFFLOAD_NODE_VALUE 64u

/* A piece of a region. */
struct fns_offload_span {
	uint64_t addr;
	uint32_t len;
	uint32_t region;
};
#define FNS_OFFLOAD_SPANS 131072u /* of one request at most */

/*
 * gather: u64 count, then so many spans. Their bytes are WRITTEN one behind the other into the
 * caller's buffer; reply.value is how many. Without such a buffer they are the reply.
 */
/*
 * scatter: u64 count, so many spans, then their bytes. Spans must ascend and not overlap within a
 * region, regions ascend; nothing is stored otherwise.
 */
struct fns_offload_spans {
	uint64_t count;
};

/*
 * hash-lookup. Region 0 is a table of 1 << param[0] entries of 32 bytes, region 1 holds values.
 * Entry of a key: (key * 0x9e3779b97f4a7c15) >> (64 - param[0]), then the following ones, to the
 * first whose addr is 0 (the table goes on at its beginning). Replies with the value.
 */
struct fns_offload_entry {
	uint64_t key, addr;
	uint32_t len, zero;
	uint64_t zero2;
};
struct fns_offload_lookup {
	uint64_t key;
};

/*
 * block-read, block-write: region 0 is a device of blocks of param[0] bytes. Reads one block;
 * reply.value is the CRC32C of what is sent. Writes the bytes behind this header, if they have the
 * CRC32C `sum`.
 */
struct fns_offload_block {
	uint64_t block;
	uint32_t sum;
	uint32_t zero;
};

/*
 * replicate: if the 8 bytes at addr of region 0 are `compare`, they become `swap`, and the bytes
 * behind this header are stored at `to` from the beginning of each other region. Refused with
 * R_DIFFERS otherwise.
 */
struct fns_offload_replicate {
	uint64_t addr, compare, swap, to;
};

/* --- serving --- */

#define FNS_OFFLOAD_NAME 32u

/* Where zero, the value in parentheses is taken. */
struct fns_offload_binding {
	uint32_t size;                  /* sizeof(struct fns_offload_binding) */
	uint32_t service;               /* number in requests */
	char handler[FNS_OFFLOAD_NAME]; /* built in, or loaded under this name */
	uint32_t depth; /* requests at a time, over all queue pairs (16); more are RNR-NAKed */
	uint32_t max_request; /* bytes, header included (4096) */
	uint32_t max_reply;   /* bytes, header included (8192) */
	uint32_t max_steps;   /* of one request (65536) */
	uint64_t max_bytes;   /* read, stored, emitted, written, summed by one request (64 MiB) */
	uint64_t max_ns;      /* from its arrival to its last step (1 s) */
	uint32_t nregions, zero;
	struct fns_offload_region {
		uint64_t addr, len; /* as in an RDMA operation that names key */
		uint32_t key;       /* lkey of a memory region of the same protection domain */
		uint32_t rights;    /* FNS_OFFLOAD_READ, STORES, ATOMIC; the last two need local
				       write access to be registered */
	} region[FNS_OFFLOAD_REGIONS];
	uint64_t param[FNS_OFFLOAD_PARAMS];
};

#define FNS_OFFLOAD_MAX_DEPTH   256u
#define FNS_OFFLOAD_MAX_REQUEST (4u << 20)
#define FNS_OFFLOAD_MAX_REPLY   (1u << 20)
#define FNS_OFFLOAD_MAX_BYTES   (256u << 20) /* of memory for one binding's requests and replies */
#define FNS_OFFLOAD_SERVICES    16u          /* of one queue pair or SRQ */

/* What has become of one handler's requests. */
struct fns_offload_counters {
	uint64_t requests;
	uint64_t by_status[16]; /* enum fns_offload_status */
	uint64_t cancelled;     /* the queue pair ended */
	uint64_t steps, bytes;
	uint64_t loads; /* programs loaded under this name, the first included */
	uint32_t bindings, running;
};

#ifdef __cplusplus
}
#endif

#endif
