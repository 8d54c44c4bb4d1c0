/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 9/9: completion queues. The engine writes completions into the ring, this file reads
 * them: ibv_poll_cq and everything else about CQs but the extended readers (cq_ex.c). Reading a
 * completion also is what frees room in the queue pair it is about.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "verbs/ring.h"
#include "verbs/verbs_priv.h"

/* is_send of an entry whose queue pair is gone: written by the library into an entry that the
 * engine has finished with. */
#define CQE_DEAD 0xff

/* What an application's allocator is told. */
#define RESOURCE_CQ_RING 1u
#define RING_ALIGN       4096u

static size_t ring_bytes(uint32_t log2)
{
	return sizeof(struct fns_cq_shared) + sizeof(struct fns_cqe) * ((size_t)1 << log2);
}

/* Zeroed. *apps: it came from the application's allocator, which is not asked where the engine
 * could not reach its memory. NULL without memory. */
static struct fns_cq_shared *ring_map(
	const struct fns_placement_ops *ops, struct fns_vpd *domain, uint32_t log2, bool *apps)
{
	void *p = IBV_ALLOCATOR_USE_DEFAULT;

	*apps = false;
	if (ops->ring_alloc)
		return ops->ring_alloc(ring_bytes(log2));
	if (domain && domain->alloc)
		p = domain->alloc(&domain->ibv, domain->pd_context, ring_bytes(log2), RING_ALIGN,
			RESOURCE_CQ_RING);
	*apps = p != IBV_ALLOCATOR_USE_DEFAULT;
	if (*apps)
		return p ? memset(p, 0, ring_bytes(log2)) : NULL;
	p = mmap(NULL, ring_bytes(log2), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void ring_unmap(const struct fns_placement_ops *ops, struct fns_vpd *domain,
	struct fns_cq_shared *sh, uint32_t log2, bool apps)
{
	if (apps)
		domain->free(&domain->ibv, domain->pd_context, sh, RESOURCE_CQ_RING);
	else if (ops->ring_free)
		ops->ring_free(sh, ring_bytes(log2));
	else
		munmap(sh, ring_bytes(log2));
}

/*
 * A ring is larger than what was asked for, so that entries which are consumed but not yet credited
 * never make the engine see an overrun that is none.
 */
static uint32_t ring_log2(uint32_t cqe)
{
	return (uint32_t)__builtin_ctz(fns_pow2_ceil(cqe + cqe / 8 + 1));
}

static void set_ring(struct fns_vcq *cq, struct fns_cq_shared *sh, uint32_t cqe, uint32_t log2)
{
	uint32_t slack = (1u << log2) - cqe;

	cq->sh = sh;
	cq->log2 = log2;
	cq->mask = (1u << log2) - 1;
	cq->head = cq->credited = 0;
	cq->credit_every = FNS_MAX(1u, FNS_MIN(slack, (1u << log2) / 4));
	cq->ibv.cqe = (int)cqe;
}

static inline struct fns_cqe *entry_at(struct fns_cq_shared *sh, uint32_t head, uint32_t log2)
{
	struct fns_cqe *e = &sh->entry[head & ((1u << log2) - 1)];
	uint32_t want = ~(head >> log2) & 1;

	return (atomic_load_explicit(&e->phase, memory_order_acquire) & 1) == want ? e : NULL;
}

struct fns_cqe *fns_vcq_peek(struct fns_vcq *cq)
{
	if (fns_unlikely(cq->doorbell) &&
		atomic_load_explicit(&cq->sh->produced, memory_order_acquire) == cq->head)
		return NULL;
	return entry_at(cq->sh, cq->head, cq->log2);
}

/* What the completion frees. False: for no queue pair that is alive. */
static inline bool retire(const struct fns_cqe *e)
{
	struct fns_vqp *qp;

	if (fns_unlikely(e->is_send == CQE_DEAD))
		return false;
	qp = atomic_load_explicit(&fns_vqp_table[e->qpn & 0xffff], memory_order_acquire);
	if (fns_unlikely(!qp || qp->qpn != e->qpn))
		return false;
	if (e->is_send)
		atomic_store_explicit(&qp->sq_tail, e->wqe_count, memory_order_release);
	else if (!e->srq)
		atomic_store_explicit(&qp->rq_tail,
			atomic_load_explicit(&qp->rq_tail, memory_order_relaxed) + 1,
			memory_order_release);
	else if (qp->srq)
		atomic_fetch_add_explicit(&qp->srq->tail, 1, memory_order_release);
	return true;
}

bool fns_vcq_advance(struct fns_vcq *cq, struct fns_cqe *e)
{
	cq->head++;
	return retire(e);
}

void fns_vcq_credit(struct fns_vcq *cq, bool now)
{
	uint32_t kept = cq->head - cq->credited;

	if (kept == 0 || (!now && kept < cq->credit_every))
		return;
	atomic_store_explicit(&cq->sh->consumer, cq->head, memory_order_release);
	cq->credited = cq->head;
}

static inline void fill_wc(struct ibv_wc *wc, const struct fns_cqe *e)
{
	wc->wr_id = e->wr_id;
	wc->status = (enum ibv_wc_status)e->status;
	wc->opcode = (enum ibv_wc_opcode)e->opcode;
	wc->vendor_err = e->vendor_err;
	wc->byte_len = e->byte_len;
	wc->imm_data = e->imm;
	wc->qp_num = e->qpn;
	wc->src_qp = e->src_qp;
	wc->wc_flags = e->wc_flags;
	wc->pkey_index = 0;
	wc->slid = 0;
	wc->sl = e->sl;
	wc->dlid_path_bits = 0;
}

static inline int poll_locked(struct fns_vcq *cq, int n, struct ibv_wc *wc)
{
	int got = 0;

	while (got < n) {
		struct fns_cqe *e = fns_vcq_peek(cq);

		if (!e)
			break;
		/* Filled before it counts as consumed: the engine may write it again after that. */
		fill_wc(&wc[got], e);
		got += fns_vcq_advance(cq, e);
		fns_vcq_credit(cq, false);
	}
	if (got < n || cq->doorbell)
		fns_vcq_credit(cq, true);
	return got;
}

int fns_verbs_poll_cq(struct ibv_cq *ibcq, int n, struct ibv_wc *wc)
{
	struct fns_vcq *cq = fns_vcq(ibcq);
	int got;

	if (fns_unlikely(!fns_placement_alive()))
		return -EIO;
	if (fns_unlikely(n <= 0))
		return n < 0 ? -EINVAL : 0;
	fns_lock_take(&cq->lock);
	got = poll_locked(cq, n, wc);
	fns_lock_release(&cq->lock);
	if (got > 0)
		return got;
	if (!fns_ctx(ibcq->context)->ops->poll())
		return 0;
	fns_lock_take(&cq->lock);
	got = poll_locked(cq, n, wc);
	fns_lock_release(&cq->lock);
	return got;
}

void fns_vcq_purge(struct fns_vcq *cq, uint32_t qpn)
{
	struct fns_cqe *e;

	fns_lock_take(&cq->lock);
	for (uint32_t i = 0; i <= cq->mask; i++) {
		e = entry_at(cq->sh, cq->head + i, cq->log2);
		if (!e)
			break;
		if (e->qpn == qpn && e->is_send != CQE_DEAD) {
			retire(e);
			e->is_send = CQE_DEAD;
		}
	}
	fns_lock_release(&cq->lock);
}

int fns_verbs_req_notify_cq(struct ibv_cq *ibcq, int solicited_only)
{
	uint32_t want = solicited_only ? FNS_CQ_ARM_SOLICITED : FNS_CQ_ARM_ANY, now;
	struct fns_vcq *cq = fns_vcq(ibcq);

	if (fns_unlikely(!fns_placement_alive()))
		return fns_verbs_err(-EIO);
	/* The lock only keeps a resize away. A request never weakens an earlier one. */
	fns_lock_take(&cq->lock);
	now = atomic_load(&cq->sh->arm);
	while (now < want && !atomic_compare_exchange_weak(&cq->sh->arm, &now, want))
		;
	fns_lock_release(&cq->lock);
	fns_ctx(ibcq->context)->ops->will_sleep();
	return 0;
}

/* Creation, for both kinds. NULL and errno. */
static struct fns_vcq *cq_create(
	struct ibv_context *context, const struct ibv_cq_init_attr_ex *a, struct fns_vpd *domain)
{
	struct fns_vcontext *ctx = fns_ctx(context);
	struct fns_ctl msg = {.op = FNS_CTL_CQ_CREATE};
	struct fns_vcq *cq;
	uint32_t log2;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	if (a->cqe == 0 || a->cqe > FNS_MAX_CQE || a->comp_vector >= FNS_COMP_VECTORS)
		return fns_verbs_null(-EINVAL);
	if (a->channel && a->channel->context != context)
		return fns_verbs_null(-EINVAL);
	cq = aligned_alloc(FNS_CACHELINE, FNS_ALIGN_UP(sizeof(*cq), (size_t)FNS_CACHELINE));
	if (!cq)
		return fns_verbs_null(-ENOMEM);
	memset(cq, 0, sizeof(*cq));
	log2 = ring_log2(a->cqe);
	set_ring(cq, ring_map(ctx->ops, domain, log2, &cq->ring_is_apps), a->cqe, log2);
	cq->doorbell = fns_vring.doorbell;
	if (!cq->sh) {
		err = -ENOMEM;
		goto free_cq;
	}
	cq->ibv.context = context;
	cq->ibv.channel = a->channel;
	cq->ibv.cq_context = a->cq_context;
	pthread_mutex_init(&cq->ibv.mutex, NULL);
	pthread_cond_init(&cq->ibv.cond, NULL);
	fns_vevent_source_init(&cq->async, &ctx->async);
	if (a->channel) {
		cq->channel = fns_container_of(a->channel, struct fns_vcomp_channel, ibv);
		fns_vevent_source_init(&cq->comp, &cq->channel->ch);
	}
	msg.cookie = (uintptr_t)cq;
	msg.cq.channel = (uintptr_t)cq->channel;
	msg.cq.ring = (uintptr_t)cq->sh;
	msg.cq.log2 = log2;
	err = fns_verbs_control(ctx, &msg);
	if (err)
		goto unmap;
	cq->ibv.handle = msg.handle;
	if (cq->channel)
		atomic_fetch_add(&cq->channel->refs, 1);
	return cq;

unmap:
	ring_unmap(ctx->ops, domain, cq->sh, log2, cq->ring_is_apps);
free_cq:
	free(cq);
	return fns_verbs_null(err);
}

FNS_EXPORT struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
	struct ibv_comp_channel *channel, int comp_vector)
{
	struct ibv_cq_init_attr_ex a = {
		.cqe = cqe < 0 ? 0 : (uint32_t)cqe,
		.cq_context = cq_context,
		.channel = channel,
		.comp_vector = comp_vector < 0 ? UINT32_MAX : (uint32_t)comp_vector,
	};
	struct fns_vcq *cq = cq_create(context, &a, NULL);

	return cq ? &cq->ibv : NULL;
}

struct ibv_cq_ex *fns_verbs_create_cq_ex(
	struct ibv_context *context, struct ibv_cq_init_attr_ex *attr)
{
	const uint64_t wc_supported = IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP |
				      IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK;
	const uint32_t flags_supported =
		IBV_CREATE_CQ_ATTR_SINGLE_THREADED | IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN;
	uint32_t flags = attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS ? attr->flags : 0;
	struct fns_vpd *domain = NULL;
	struct fns_vcq *cq;

	if (attr->wc_flags & ~wc_supported || flags & ~flags_supported ||
		attr->comp_mask &
			~(uint32_t)(IBV_CQ_INIT_ATTR_MASK_FLAGS | IBV_CQ_INIT_ATTR_MASK_PD))
		return fns_verbs_null(-EOPNOTSUPP);
	if (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) {
		if (!attr->parent_domain || !fns_vpd(attr->parent_domain)->parent)
			return fns_verbs_null(-EINVAL);
		domain = fns_vpd(attr->parent_domain);
	}
	cq = cq_create(context, attr, domain);
	if (!cq)
		return NULL;
	cq->single_threaded = flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED;
	cq->is_ex = true;
	cq->parent_domain = domain;
	if (domain)
		atomic_fetch_add(&domain->refs, 1);
	fns_vcq_ex_init(cq, attr->wc_flags);
	return &cq->ex;
}

int fns_verbs_modify_cq(struct ibv_cq *cq, struct ibv_modify_cq_attr *attr)
{
	return fns_verbs_err(-EOPNOTSUPP); /* moderation: completions are not held back */
}

/* Entries not read yet. Under the CQ's lock. */
static uint32_t unread(struct fns_vcq *cq)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i <= cq->mask; i++, n++)
		if (!entry_at(cq->sh, cq->head + i, cq->log2))
			break;
	return n;
}

/*
 * The engine copies what was not consumed into the new ring and goes on there. The CQ's lock is
 * held over the control message, so that nothing is read and no notification requested in the ring
 * that is being left; the engine's upcalls do not take it.
 */
FNS_EXPORT int ibv_resize_cq(struct ibv_cq *ibcq, int cqe)
{
	struct fns_vcq *cq = fns_vcq(ibcq);
	struct fns_ctl msg = {.op = FNS_CTL_CQ_RESIZE, .handle = ibcq->handle};
	struct fns_cq_shared *sh;
	uint32_t log2;
	bool apps;
	int err = 0;

	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	if (cqe <= 0 || cqe > FNS_MAX_CQE)
		return fns_verbs_err(-EINVAL);
	log2 = ring_log2((uint32_t)cqe);
	sh = ring_map(fns_ctx(ibcq->context)->ops, cq->parent_domain, log2, &apps);
	if (!sh)
		return fns_verbs_err(-ENOMEM);
	msg.cookie = (uintptr_t)cq;
	msg.cq.channel = (uintptr_t)cq->channel;
	msg.cq.ring = (uintptr_t)sh;
	msg.cq.log2 = log2;

	fns_lock_take(&cq->lock);
	fns_vcq_credit(cq, true);
	if (unread(cq) > (uint32_t)cqe)
		err = -EINVAL;
	else
		err = fns_verbs_control(fns_ctx(ibcq->context), &msg);
	if (!err) {
		struct fns_cq_shared *old = cq->sh;
		uint32_t old_log2 = cq->log2;
		bool old_apps = cq->ring_is_apps;

		set_ring(cq, sh, (uint32_t)cqe, log2);
		cq->ring_is_apps = apps;
		sh = old;
		log2 = old_log2;
		apps = old_apps;
	}
	fns_lock_release(&cq->lock);
	ring_unmap(fns_ctx(ibcq->context)->ops, cq->parent_domain, sh, log2,
		apps); /* the old one, or the new one in vain */
	return fns_verbs_err(err);
}

FNS_EXPORT int ibv_destroy_cq(struct ibv_cq *ibcq)
{
	struct fns_vcq *cq = fns_vcq(ibcq);
	struct fns_ctl msg = {.op = FNS_CTL_CQ_DESTROY, .handle = ibcq->handle};
	uint32_t comp, async;
	int err;

	if (!fns_placement_alive())
		return 0;
	if (atomic_load(&cq->refs) != 0)
		return fns_verbs_err(-EBUSY);
	err = fns_verbs_control(fns_ctx(ibcq->context), &msg);
	if (err)
		return fns_verbs_err(err);
	comp = fns_vevent_source_fini(&cq->comp);
	async = fns_vevent_source_fini(&cq->async);
	pthread_mutex_lock(&ibcq->mutex);
	while (ibcq->comp_events_completed != comp || ibcq->async_events_completed != async)
		pthread_cond_wait(&ibcq->cond, &ibcq->mutex);
	pthread_mutex_unlock(&ibcq->mutex);
	if (cq->channel)
		atomic_fetch_sub(&cq->channel->refs, 1);
	ring_unmap(
		fns_ctx(ibcq->context)->ops, cq->parent_domain, cq->sh, cq->log2, cq->ring_is_apps);
	if (cq->parent_domain)
		atomic_fetch_sub(&cq->parent_domain->refs, 1);
	pthread_cond_destroy(&ibcq->cond);
	pthread_mutex_destroy(&ibcq->mutex);
	free(cq);
	return 0;
}
