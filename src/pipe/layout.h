/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract between the application side (verbs) and the engine side: the only memory that both
 * write. Everything is cache lines with a phase bit that says "valid": no index is read across the
 * boundary and no doorbell is rung. Consumers post their credit into a line of the producer's side.
 * All integers are in host order.
 *
 * The engine treats every byte it reads from here as hostile: copy a slot once, validate the copy,
 * use the copy.
 */
#ifndef FNS_PIPE_LAYOUT_H
#define FNS_PIPE_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/util.h"

/*
 * Submission ring: 64-byte slots, a power of two of them. A descriptor is one head slot and nslots
 * - 1 continuation slots, each with its own control word whose phase bit is valid in its lap: lap 0
 * is phase 1, lap 1 is phase 0, ... The producer writes a slot's 60 bytes, then stores ctl with
 * release order; continuation slots before their head, so that a valid head means a whole
 * descriptor.
 */
#define FNS_SQD_PHASE       0x1u                 /* ctl bit 0 */
#define FNS_SQD_NSLOTS(ctl) ((ctl) >> 1 & 0x3fu) /* ctl bits 6..1; 0 in a continuation slot */
#define FNS_SQD_OPCODE(ctl) ((ctl) >> 8 & 0xffu)
#define FNS_SQD_FLAGS(ctl)  ((ctl) >> 16)
#define FNS_SQD_CTL(phase, nslots, op, flags)                                                      \
	((uint32_t)(phase) | (uint32_t)(nslots) << 1 | (uint32_t)(op) << 8 |                       \
		(uint32_t)(flags) << 16)

#define FNS_MAX_SGE       16u  /* per work request, either side */
#define FNS_MAX_INLINE    512u /* bytes per work request */
#define FNS_SQD_MAX_SLOTS 10u

enum fns_sqd_op {
	FNS_WR_SEND = 1,
	FNS_WR_SEND_IMM,
	FNS_WR_SEND_INV,
	FNS_WR_WRITE,
	FNS_WR_WRITE_IMM,
	FNS_WR_READ,
	FNS_WR_CMP_SWAP,
	FNS_WR_FETCH_ADD,
	FNS_WR_LOCAL_INV,
	FNS_WR_BIND_MW,
	FNS_WR_RECV = 16,     /* to a queue pair's receive queue */
	FNS_WR_SRQ_RECV = 17, /* qpn holds the SRQ handle */
};

/* FNS_SQD_FLAGS */
enum {
	FNS_WRF_SIGNALED = 1 << 0,
	FNS_WRF_SOLICITED = 1 << 1,
	FNS_WRF_FENCE = 1 << 2,
	FNS_WRF_INLINE = 1 << 3,
};

struct fns_sqd_sge {
	uint64_t addr;
	uint32_t len; /* bytes, 0..2^31 */
	uint32_t lkey;
};

/* Head slot. */
struct fns_sqd {
	_Atomic uint32_t ctl;
	uint32_t qpn; /* queue pair number or SRQ handle */
	uint64_t wr_id;
	union {
		uint64_t remote_addr; /* WRITE, READ, atomics */
		struct {
			uint32_t ah, remote_qpn; /* UD: address handle, destination */
		} ud;
	};
	union {
		uint32_t rkey; /* WRITE, READ, atomics */
		uint32_t qkey; /* UD */
	};
	uint32_t imm;    /* immediate in network order as the application gave it, or the rkey to
			    invalidate */
	uint8_t num_sge; /* 0..FNS_MAX_SGE */
	uint8_t gen; /* low byte of the queue pair's generation: stale descriptors are dropped */
	uint16_t inline_len; /* with FNS_WRF_INLINE: bytes of data instead of SGEs */
	uint32_t reserved;
	union {
		struct fns_sqd_sge sge0; /* first SGE; more in continuation slots */
		uint8_t inline0[24];     /* first inline bytes */
	};
};

#define FNS_SQD_INLINE0     24u
#define FNS_SQD_INLINE_CONT 56u /* inline bytes in a continuation slot */
#define FNS_SQD_SGE_CONT    3u  /* SGEs in a continuation slot */

/*
 * Continuation slot. CMP_SWAP and FETCH_ADD have exactly one, with `atomic`; BIND_MW exactly one,
 * with `bind`; else SGEs 1.. by threes, or inline data from byte 24 on by 56.
 */
struct fns_sqd_cont {
	_Atomic uint32_t ctl; /* phase only */
	uint32_t reserved;
	union {
		struct fns_sqd_sge sge[FNS_SQD_SGE_CONT];
		uint8_t data[FNS_SQD_INLINE_CONT];
		struct {
			uint64_t compare, swap_add;
		} atomic;
		struct {
			uint64_t addr, len; /* the window; len 0 unbinds */
			uint32_t mr_key;    /* lkey of the region it lies in */
			uint32_t mw_key;    /* current rkey of the window */
			uint32_t new_key;   /* rkey after the bind */
			uint32_t access;    /* FNS_ACCESS_* */
		} bind;
	};
};

_Static_assert(sizeof(struct fns_sqd) == FNS_CACHELINE, "one cache line");
_Static_assert(sizeof(struct fns_sqd_cont) == FNS_CACHELINE, "one cache line");

/*
 * Submission ring as both sides see it. `credit` is written by the engine alone (release): the
 * free-running count of slots that it has consumed; the producer keeps its own count and may run at
 * most nslots ahead of it. `pipe` (enum fns_pipe_mode) is written by the engine before the producer
 * may look. `tail` is written by the producer alone (release), with FNS_PIPE_DOORBELL only: the
 * free-running count of slots that it has published, which then says what is valid; phase bits are
 * written all the same.
 */
struct fns_sq_shared {
	_Alignas(FNS_CACHELINE) _Atomic uint32_t credit;
	uint32_t pipe;
	_Alignas(FNS_CACHELINE) _Atomic uint32_t tail;
	_Alignas(FNS_CACHELINE) struct fns_sqd
		slot[]; /* zeroed at start: phase 0 is invalid in lap 0 */
};

/* Access rights, as ibv_access_flags has them. */
enum {
	FNS_ACCESS_LOCAL_WRITE = 1 << 0,
	FNS_ACCESS_REMOTE_WRITE = 1 << 1,
	FNS_ACCESS_REMOTE_READ = 1 << 2,
	FNS_ACCESS_REMOTE_ATOMIC = 1 << 3,
	FNS_ACCESS_MW_BIND = 1 << 4,
	FNS_ACCESS_ZERO_BASED = 1 << 5,
	FNS_ACCESS_ON_DEMAND = 1 << 6,
};
/* Of these, what needs memory that can be written to. */
#define FNS_ACCESS_WRITES                                                                          \
	((uint32_t)(FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE | FNS_ACCESS_REMOTE_ATOMIC))

/* Completion status, numbered as ibv_wc_status. */
enum fns_wc_status {
	FNS_WC_SUCCESS = 0,
	FNS_WC_LOC_LEN_ERR = 1,
	FNS_WC_LOC_QP_OP_ERR = 2,
	FNS_WC_LOC_PROT_ERR = 4,
	FNS_WC_WR_FLUSH_ERR = 5,
	FNS_WC_MW_BIND_ERR = 6,
	FNS_WC_BAD_RESP_ERR = 7,
	FNS_WC_LOC_ACCESS_ERR = 8,
	FNS_WC_REM_INV_REQ_ERR = 9,
	FNS_WC_REM_ACCESS_ERR = 10,
	FNS_WC_REM_OP_ERR = 11,
	FNS_WC_RETRY_EXC_ERR = 12,
	FNS_WC_RNR_RETRY_EXC_ERR = 13,
	FNS_WC_FATAL_ERR = 19,
	FNS_WC_GENERAL_ERR = 21,
};

/* Completion opcode, numbered as ibv_wc_opcode. */
enum fns_wc_opcode {
	FNS_WC_SEND = 0,
	FNS_WC_WRITE = 1,
	FNS_WC_READ = 2,
	FNS_WC_COMP_SWAP = 3,
	FNS_WC_FETCH_ADD = 4,
	FNS_WC_BIND_MW = 5,
	FNS_WC_LOCAL_INV = 6,
	FNS_WC_RECV = 128,
	FNS_WC_RECV_RDMA_WITH_IMM = 129,
};

/* fns_cqe.wc_flags, numbered as ibv_wc_flags. */
enum {
	FNS_WCF_GRH = 1 << 0,
	FNS_WCF_WITH_IMM = 1 << 1,
	FNS_WCF_WITH_INV = 1 << 3
};

/*
 * RoCE has no service levels in packets; mlx5 devices report the packet type in this field of UD
 * receive completions (bit 3: over UDP; bits 2..0: 1 IPv6, 2 IPv4), and UCX checks addresses by it.
 */
enum {
	FNS_WC_SL_ROCEV2_IPV6 = 0x9,
	FNS_WC_SL_ROCEV2_IPV4 = 0xa
};

/*
 * One completion. The engine is the only producer; it writes bytes 0..59, then phase with release
 * order. The lap rule is that of the submission ring. wqe_count is what frees queue space in the
 * library: for a send completion, the free-running 32-bit count of send work requests of this queue
 * pair retired up to and including this one (unsignalled ones before it included); for a receive
 * completion it is 1.
 */
struct fns_cqe {
	uint64_t wr_id;
	uint64_t timestamp_ns; /* of the engine's clock */
	uint32_t byte_len;
	uint32_t imm; /* network order as on the wire; with FNS_WCF_WITH_INV: the rkey invalidated,
			 host order */
	uint32_t qpn; /* local queue pair */
	uint32_t src_qp; /* UD: sender */
	uint32_t wqe_count;
	uint32_t srq;        /* SRQ handle the receive came from, 0 if none */
	uint32_t vendor_err; /* drop reason or NAK code behind a failure, for humans */
	uint8_t status;      /* enum fns_wc_status */
	uint8_t opcode;      /* enum fns_wc_opcode */
	uint8_t wc_flags;
	uint8_t is_send; /* 1: of the send queue, 0: of a receive queue (valid on errors too) */
	uint8_t sl;      /* UD over RoCEv2: what the sender's network header was, FNS_WC_SL_* */
	uint8_t pad[3];
	uint32_t reserved[2];
	_Atomic uint32_t phase; /* bit 0 */
};
_Static_assert(sizeof(struct fns_cqe) == FNS_CACHELINE, "one cache line");

/* fns_cq_shared.arm */
enum {
	FNS_CQ_ARM_NONE = 0,
	FNS_CQ_ARM_SOLICITED = 1, /* next solicited or failed completion raises an event */
	FNS_CQ_ARM_ANY = 2,
};

/*
 * Completion ring in host memory. consumer: written by the library alone (release), free-running
 * count of entries consumed. arm: stored by the library, exchanged to NONE by the engine when it
 * raises the event; both sides use sequentially consistent order around it so that "arm, poll once
 * more, sleep" loses nothing. produced: written by the engine alone (release), with
 * FNS_PIPE_DOORBELL only: the free-running count of entries written, which polling then goes by.
 */
struct fns_cq_shared {
	_Alignas(FNS_CACHELINE) _Atomic uint32_t consumer;
	_Atomic uint32_t arm;
	_Alignas(FNS_CACHELINE) _Atomic uint32_t produced;
	_Alignas(FNS_CACHELINE) struct fns_cqe entry[]; /* a power of two, zeroed at start */
};

#endif
