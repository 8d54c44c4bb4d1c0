/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's side of a completion ring. Datapath 8/9: one 64-byte completion with a phase bit
 * into host memory. */
#include <string.h>

#include "transport/qp.h"

static void cq_overrun(struct fns_nic *nic, struct fns_cq *cq)
{
	const struct fns_event ev = {
		.client = cq->client, .type = FNS_EVENT_CQ_ERR, .cookie = cq->cookie};

	cq->error = true;
	fns_count(nic->stats, FNS_C_cq_overruns);
	if (nic->up.async_event)
		nic->up.async_event(nic->up.ctx, &ev);
}

static void cq_raise(struct fns_nic *nic, struct fns_cq *cq, bool wanted_by_solicited)
{
	uint32_t arm;

	/* Pairs with the library's fence between storing arm and polling once more. */
	atomic_thread_fence(memory_order_seq_cst);
	arm = atomic_load_explicit(&cq->ring->arm, memory_order_relaxed);
	if (fns_likely(arm == FNS_CQ_ARM_NONE) ||
		(arm == FNS_CQ_ARM_SOLICITED && !wanted_by_solicited))
		return;
	atomic_store_explicit(&cq->ring->arm, FNS_CQ_ARM_NONE, memory_order_seq_cst);
	nic->up.comp_event(nic->up.ctx, cq->channel, cq->cookie);
}

bool fns_cq_push(struct fns_nic *nic, struct fns_cq *cq, struct fns_cqe *cqe, bool solicited)
{
	uint32_t size = 1u << cq->log2;
	struct fns_cqe *slot;

	if (cq->error)
		return false;
	if (fns_unlikely(cq->produced - cq->consumed >= size)) {
		cq->consumed = atomic_load_explicit(&cq->ring->consumer, memory_order_acquire);
		if (cq->produced - cq->consumed >= size) {
			cq_overrun(nic, cq);
			return false;
		}
	}
	fns_count(nic->stats, cqe->status == FNS_WC_SUCCESS ? FNS_C_wc_success : FNS_C_wc_error);
	cqe->timestamp_ns = nic->now_ns;
	slot = &cq->ring->entry[cq->produced & (size - 1)];
	memcpy(slot, cqe, offsetof(struct fns_cqe, phase));
	atomic_store_explicit(
		&slot->phase, (cq->produced >> cq->log2 & 1) ^ 1, memory_order_release);
	cq->produced++;
	if (fns_unlikely(nic->doorbell)) {
		atomic_store_explicit(&cq->ring->produced, cq->produced, memory_order_release);
		/* The convention: the other side's index is read each time. */
		cq->consumed = cq->produced - size;
	}
	nic->pushed++;
	if (cq->channel)
		cq_raise(nic, cq, solicited || cqe->status != FNS_WC_SUCCESS);
	return true;
}
