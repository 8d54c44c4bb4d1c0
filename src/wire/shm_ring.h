/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring under the same-host wire: one producer process, one consumer process, records of
 * variable length in a memory file that the producer makes and seals against resizing. Owned by
 * shm.c (bursts) and shm_link.c (who is at the other end).
 *
 * A record is whole cache lines. Its first four bytes are the word, which says what is in it; 0:
 * not there yet. The producer clears the word behind a record before it publishes the record
 * (release store of the word), so whatever stood there a lap ago is never taken for a record, and
 * neither side reads an index of the other for each packet. The memory is mapped twice in a row:
 * records are contiguous also at the ring's end. The consumer posts now and then how far it is done
 * (credit), which the producer reads when it runs out of space.
 *
 * Everything that comes from the other process is hostile input: copied once, checked, used.
 */
#ifndef FNS_WIRE_SHM_RING_H
#define FNS_WIRE_SHM_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "pipe/layout.h"
#include "roce/gid.h"

#define SHM_RING_BYTES  (1u << 20)
#define SHM_DATA_OFF    65536u /* of the ring in the file: a multiple of any page size */
#define SHM_FILE_BYTES  (SHM_DATA_OFF + SHM_RING_BYTES)
#define SHM_MAX_RECORD  66048u /* word, headers, 64 KiB */
#define SHM_CREDIT_STEP (SHM_RING_BYTES / 8)
#define SHM_PATHS       256u
#define SHM_LINE        64u
_Static_assert(SHM_MAX_RECORD % SHM_LINE == 0 &&
		       SHM_RING_BYTES - SHM_CREDIT_STEP >= 2 * SHM_MAX_RECORD + SHM_LINE,
	"a producer waits for no credit that its consumer keeps to itself");

/* Where packets come from and go to; written by the producer before the first packet that names it.
 */
struct shm_path_line {
	struct fns_gid src, dst;
	uint8_t tos, ttl;
	uint8_t pad[30];
};

/* The file before the ring. */
struct shm_shared {
	/* Line 0: the consumer's, the producer looks now and then. */
	_Atomic uint64_t credit; /* bytes consumed, free-running; release, acquire */
	/* The consumer sleeps: set by it before its last look, cleared by whoever wakes it. */
	_Atomic uint32_t armed;
	/* It has shown that it can read the producer's memory, and will fetch what is lent. */
	_Atomic uint32_t fetches;
	uint8_t pad[48];
	/* Line 1: the producer's. What it is accessing directly (shm_door.h), 0: nothing. */
	_Atomic uint64_t in_mr, in_qp;
	/* Who can read the producer's memory finds this value there. 0: nobody shall try. */
	uint64_t proof_at, proof;
	uint8_t pad1[32];
	struct shm_path_line path[SHM_PATHS];
};
_Static_assert(
	sizeof(struct shm_path_line) == SHM_LINE && sizeof(struct shm_shared) <= SHM_DATA_OFF,
	"whole lines before the ring");

/* The word: where the packet lies in its record, its length, its path. */
#define SHM_WORD_LEN_MASK  0x1ffffu /* bytes */
#define SHM_WORD_OFF_SHIFT 17       /* offset of the packet in words of 4 bytes, 1..15 */
#define SHM_WORD_OFF_MASK  0xfu
#define SHM_WORD_CORRUPT                                                                           \
	(1u << 21) /* fault injection: stands for a packet whose ICRC would be wrong */
#define SHM_WORD_LENT       (1u << 22) /* a struct shm_loan is in the record, of the second line on */
#define SHM_WORD_PATH_SHIFT 24

/* Payload that stays with its sender until the receiver fetches it; the packet ends with its
 * headers. */
struct shm_loan {
	uint32_t hdr_len, n; /* n pieces */
	uint32_t bytes;      /* of all pieces */
	uint32_t pad;
	uint64_t word_at, word; /* valid while the sender has this there */
	struct {
		uint64_t addr;
		uint32_t len, pad;
	} piece[FNS_MAX_SGE];
};

static inline uint32_t shm_word_len(uint32_t word)
{
	return word & SHM_WORD_LEN_MASK;
}

static inline uint32_t shm_word_off(uint32_t word)
{
	return (word >> SHM_WORD_OFF_SHIFT & SHM_WORD_OFF_MASK) * 4;
}

static inline uint32_t shm_word_bytes(uint32_t word)
{
	return FNS_ALIGN_UP(shm_word_off(word) + shm_word_len(word), SHM_LINE);
}

/* One side's view of a ring. */
struct shm_ring {
	struct shm_shared *shared;
	uint8_t *data;   /* mapped twice */
	uint64_t pos;    /* next record to write or to read */
	uint64_t done;   /* producer: credit as last read; consumer: given back so far */
	uint64_t posted; /* consumer: credit as last posted */
};

/* Makes the file and maps it for writing. *fd is the caller's to close. 0 or negative errno. */
int shm_ring_make(struct shm_ring *r, int *fd);
/* Maps a file that came from another process, after checking it. -EPROTO: not what it should be. */
int shm_ring_take(struct shm_ring *r, int fd);
void shm_ring_unmap(struct shm_ring *r);

static inline _Atomic uint32_t *shm_word_at(const struct shm_ring *r, uint64_t pos)
{
	return (_Atomic uint32_t *)(void *)(r->data + (pos & (SHM_RING_BYTES - 1)));
}

/* --- producer --- */

/* True if credit has moved. A credit that cannot be is ignored. */
static inline bool shm_ring_look(struct shm_ring *r)
{
	uint64_t c = atomic_load_explicit(&r->shared->credit, memory_order_acquire);

	if (c == r->done || c - r->done > r->pos - r->done)
		return false;
	r->done = c;
	return true;
}

/* Where a record of so many bytes (whole lines) may be written; NULL: no space now. */
static inline uint8_t *shm_ring_reserve(struct shm_ring *r, uint32_t bytes)
{
	/* The line behind it, too: its word is cleared. */
	if (fns_unlikely(r->pos - r->done + bytes + SHM_LINE > SHM_RING_BYTES)) {
		shm_ring_look(r);
		if (r->pos - r->done + bytes + SHM_LINE > SHM_RING_BYTES)
			return NULL;
	}
	return r->data + (r->pos & (SHM_RING_BYTES - 1));
}

/* Fetches a line for writing; nobody waits for it. */
static inline void own_soon(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* The record reserved is written but for its word. */
static inline void shm_ring_publish(struct shm_ring *r, uint32_t word, uint32_t bytes)
{
	atomic_store_explicit(shm_word_at(r, r->pos + bytes), 0, memory_order_relaxed);
	atomic_store_explicit(shm_word_at(r, r->pos), word, memory_order_release);
	r->pos += bytes;
	/* To have it when it is cleared, with the next record. */
	own_soon(shm_word_at(r, r->pos + SHM_LINE));
}

/* --- consumer --- */

/* The word of the next record, 0: none. */
static inline uint32_t shm_ring_peek(const struct shm_ring *r)
{
	return atomic_load_explicit(shm_word_at(r, r->pos), memory_order_acquire);
}

/* Could this word be true? */
static inline bool shm_word_valid(const struct shm_ring *r, uint32_t word, uint32_t min_len)
{
	uint32_t bytes = shm_word_bytes(word);

	return shm_word_len(word) >= min_len && shm_word_off(word) != 0 &&
	       bytes <= SHM_MAX_RECORD && r->pos - r->done + bytes <= SHM_RING_BYTES;
}

/* The oldest bytes not given back yet are free. */
static inline void shm_ring_give_back(struct shm_ring *r, uint32_t bytes)
{
	r->done += bytes;
	if (r->done - r->posted >= SHM_CREDIT_STEP) {
		r->posted = r->done;
		atomic_store_explicit(&r->shared->credit, r->done, memory_order_release);
	}
}

#endif
