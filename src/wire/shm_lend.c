/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload lent over the same-host wire: the record says where it lies in the sender's memory, and
 * the receiver fetches it from there to where it goes, by one copy (process_vm_readv). Datapath 5/9
 * and 7/9. Called by shm.c and shm_link.c.
 *
 * With the payload the receiver fetches the loan's word, last: if it is what the record says, then
 * it was the sender's memory (not that of a process which has its number now), and the loan had not
 * been called back when the last byte was read. So whatever the sender does with its memory
 * afterwards, what was fetched is what was sent.
 *
 * The receiver says that it can do this after it has read a proof from the sender's memory; a
 * process that knows nothing of all this never says so.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/rng.h"
#include "wire/shm_priv.h"

#define ZEROS 4096u

_Static_assert(SHM_LINE + sizeof(struct shm_loan) + SHM_LINE <= SHM_MAX_RECORD &&
		       4 + FNS_HDR_MAX <= SHM_LINE,
	"headers in the first line, the loan behind");

static uint32_t loan_bytes(uint32_t n)
{
	return (uint32_t)(offsetof(struct shm_loan, piece) +
			  n * sizeof(((struct shm_loan *)NULL)->piece[0]));
}

/* --- the sender --- */

void fns_shm_lend_offer(struct shm_out *o)
{
	if (fns_entropy_fill(&o->proof, sizeof(o->proof)) < 0 || o->proof == 0)
		return;
	o->ring.shared->proof = o->proof;
	o->ring.shared->proof_at = (uintptr_t)&o->proof;
}

bool fns_shm_lends(struct fns_wire *base, const struct fns_path *path)
{
	const struct shm_path *p = (const struct shm_path *)(const void *)path;

	/* Who watches wants to see packets. */
	return !path->broken && !base->tap &&
	       atomic_load_explicit(&p->out->ring.shared->fetches, memory_order_relaxed);
}

uint32_t fns_shm_lend_bytes(const struct fns_frame *f, uint32_t off)
{
	return SHM_LINE + loan_bytes(f->nsg) - off;
}

void fns_shm_lend_put(uint8_t *rec, const struct fns_frame *f)
{
	struct shm_loan l;

	fns_assert(f->nsg > 0 && f->nsg <= FNS_MAX_SGE && f->payload_len <= FNS_LEND_MAX &&
		   f->pad == 0);
	l.hdr_len = f->hdr_len;
	l.n = f->nsg;
	l.bytes = f->payload_len;
	l.pad = 0;
	l.word_at = (uintptr_t)f->loan;
	l.word = atomic_load_explicit(f->loan, memory_order_relaxed);
	for (uint32_t i = 0; i < f->nsg; i++) {
		l.piece[i].addr = (uintptr_t)f->sg[i].addr;
		l.piece[i].len = f->sg[i].len;
		l.piece[i].pad = 0;
	}
	memcpy(rec + SHM_LINE, &l, loan_bytes(f->nsg));
}

/* --- the receiver --- */

void fns_shm_lend_try(struct shm_in *in)
{
	struct shm_shared *s = in->ring.shared;
	uint64_t proof = s->proof, found = 0;
	struct iovec to = {&found, sizeof(found)};
	struct iovec from = {(void *)(uintptr_t)s->proof_at, sizeof(found)};

	if (in->pid <= 0 || proof == 0 ||
		process_vm_readv(in->pid, &to, 1, &from, 1, 0) != sizeof(found) || found != proof) {
		in->pid = 0;
		return;
	}
	atomic_store_explicit(&s->fetches, 1, memory_order_relaxed);
}

bool fns_shm_lent_look(const uint8_t *rec, uint32_t bytes, struct fns_rx_view *v)
{
	struct shm_loan l;

	if (bytes < SHM_LINE + loan_bytes(1))
		return false;
	memcpy(&l, rec + SHM_LINE, loan_bytes(0));
	if (l.n == 0 || l.n > FNS_MAX_SGE || SHM_LINE + loan_bytes(l.n) > bytes ||
		l.hdr_len < FNS_BTH_LEN || l.hdr_len > FNS_HDR_MAX || l.bytes == 0 ||
		l.bytes > FNS_LEND_MAX)
		return false;
	v->len = l.hdr_len;
	v->lent = l.bytes;
	return true;
}

/* After something went wrong: does our own memory take as many bytes? */
static bool takes(const struct iovec *to, unsigned nto, uint32_t bytes)
{
	static const uint8_t zeros[ZEROS];
	struct iovec from[FNS_LEND_MAX / ZEROS];
	unsigned n = 0;

	for (uint32_t left = bytes; left; left -= (uint32_t)from[n++].iov_len)
		from[n] = (struct iovec){(void *)(uintptr_t)zeros, FNS_MIN(left, ZEROS)};
	return process_vm_readv(getpid(), to, nto, from, n, 0) == (ssize_t)bytes;
}

int fns_shm_fetch(struct fns_wire *base, const struct fns_rx_view *v, const struct iovec *to,
	unsigned nto, struct fns_dma_token *t)
{
	struct shm_wire *w = shm_of(base);
	struct shm_in *in = ((const struct shm_rec *)v->buf)->in;
	struct iovec near[FNS_MAX_SGE + 1], far[FNS_MAX_SGE + 1];
	uint64_t word = 0;
	struct shm_loan l;
	ssize_t done;

	fns_assert(nto <= FNS_MAX_SGE);
	/* Once more: the sender may have changed it, which concerns its own memory only. */
	memcpy(&l, v->data - 4 + SHM_LINE, sizeof(l));
	l.n = FNS_MIN(l.n, FNS_MAX_SGE);
	for (uint32_t i = 0; i < l.n; i++)
		far[i] = (struct iovec){(void *)(uintptr_t)l.piece[i].addr, l.piece[i].len};
	far[l.n] = (struct iovec){(void *)(uintptr_t)l.word_at, sizeof(word)};
	memcpy(near, to, nto * sizeof(*to));
	near[nto] = (struct iovec){&word, sizeof(word)};
	done = in->pid ? process_vm_readv(in->pid, near, nto + 1, far, l.n + 1, 0) : -1;
	if (fns_likely(done == (ssize_t)(v->lent + sizeof(word)) && word == l.word)) {
		shm_count(w, FNS_C_fetched_packets, 1);
		shm_count(w, FNS_C_fetched_bytes, v->lent);
		return FNS_DMA_DONE;
	}
	if (done < 0 && in->pid && (errno == EPERM || errno == ENOSYS) && in->ring.shared) {
		atomic_store_explicit(&in->ring.shared->fetches, 0, memory_order_relaxed);
		in->pid = 0;
	}
	shm_count(w, FNS_C_fetches_refused, 1);
	return takes(to, nto, v->lent) ? -ESTALE : -EFAULT;
}
