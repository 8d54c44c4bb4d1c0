/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 1/9, the extended way: wr_start, one call a work request and its data, wr_complete.
 * Requests are built in a buffer of the queue pair, in the ring's format with phase 0; wr_complete
 * copies them into the ring. Until then nothing has happened, so that wr_abort only forgets. The
 * first error is kept and wr_complete returns it, having posted nothing.
 */
#include <errno.h>
#include <sys/mman.h>

#include "verbs/ring.h"
#include "verbs/verbs_priv.h"

/* After part of a batch is in the ring there is no way back: so often a full ring is waited for
 * before giving up. */
#define STUCK_WAITS 50u

static struct fns_vqp *of(struct ibv_qp_ex *ex)
{
	return fns_container_of(ex, struct fns_vqp, ex);
}

static inline void fail(struct fns_vqp *qp, int err)
{
	if (!qp->xq.err)
		qp->xq.err = err;
}

static inline struct fns_sqd_cont *cont(struct fns_vqp_ex *x, uint32_t i)
{
	return (struct fns_sqd_cont *)(x->cur + 1 + i);
}

/* Rewrites the head's control word for `nslots`, adding flags. */
static inline void set_slots(struct fns_vqp_ex *x, uint32_t nslots, uint32_t flags)
{
	uint32_t ctl = atomic_load_explicit(&x->cur->ctl, memory_order_relaxed);

	atomic_store_explicit(&x->cur->ctl,
		FNS_SQD_CTL(0, nslots, FNS_SQD_OPCODE(ctl), FNS_SQD_FLAGS(ctl) | flags),
		memory_order_relaxed);
	x->cur_slots = nslots;
}

/* Begins the next request; NULL after an error. */
static inline struct fns_sqd *begin(struct fns_vqp *qp, enum fns_sqd_op op, uint32_t nslots)
{
	struct fns_vqp_ex *x = &qp->xq;
	unsigned f = qp->ex.wr_flags;
	uint32_t flags = 0, tail = atomic_load_explicit(&qp->sq_tail, memory_order_acquire);

	x->used += x->cur ? x->cur_slots : 0;
	x->cur = NULL;
	if (x->err)
		return NULL;
	if (qp->sq_head - tail + x->count >= qp->max_send_wr) {
		fail(qp, ENOMEM);
		return NULL;
	}
	if (f & IBV_SEND_SIGNALED || qp->sig_all)
		flags |= FNS_WRF_SIGNALED;
	if (f & IBV_SEND_SOLICITED)
		flags |= FNS_WRF_SOLICITED;
	if (f & IBV_SEND_FENCE)
		flags |= FNS_WRF_FENCE;
	x->cur = x->slots + x->used;
	x->cur_slots = nslots;
	x->count++;
	memset((void *)x->cur, 0, sizeof(*x->cur));
	atomic_store_explicit(
		&x->cur->ctl, FNS_SQD_CTL(0, nslots, op, flags), memory_order_relaxed);
	x->cur->qpn = qp->qpn;
	x->cur->wr_id = qp->ex.wr_id;
	x->cur->gen = qp->gen;
	return x->cur;
}

static inline uint8_t cur_op(const struct fns_vqp_ex *x)
{
	return FNS_SQD_OPCODE(atomic_load_explicit(&x->cur->ctl, memory_order_relaxed));
}

/* May the current request have SGEs or inline data? */
static bool takes_data(const struct fns_vqp_ex *x)
{
	uint8_t op = cur_op(x);

	return op != FNS_WR_LOCAL_INV && op != FNS_WR_BIND_MW;
}

static bool is_atomic(const struct fns_vqp_ex *x)
{
	uint8_t op = cur_op(x);

	return op == FNS_WR_CMP_SWAP || op == FNS_WR_FETCH_ADD;
}

static void wr_start(struct ibv_qp_ex *ex)
{
	struct fns_vqp *qp = of(ex);

	/* In a forked child the lock may be held for ever by nobody. */
	if (!fns_placement_alive())
		return;
	pthread_mutex_lock(&qp->xq.lock);
	qp->xq.used = qp->xq.count = 0;
	qp->xq.cur = NULL;
	qp->xq.err = atomic_load(&qp->state) < IBV_QPS_RTS ? EINVAL : 0;
}

static void rdma(
	struct ibv_qp_ex *ex, enum fns_sqd_op op, uint32_t rkey, uint64_t remote_addr, uint32_t imm)
{
	struct fns_sqd *d = begin(of(ex), op, 1);

	if (!d)
		return;
	d->remote_addr = remote_addr;
	d->rkey = rkey;
	d->imm = imm;
}

static void wr_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr)
{
	rdma(ex, FNS_WR_READ, rkey, remote_addr, 0);
}

static void wr_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr)
{
	rdma(ex, FNS_WR_WRITE, rkey, remote_addr, 0);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr, __be32 imm)
{
	rdma(ex, FNS_WR_WRITE_IMM, rkey, remote_addr, imm);
}

static void atomic_op(struct ibv_qp_ex *ex, enum fns_sqd_op op, uint32_t rkey, uint64_t remote_addr,
	uint64_t compare, uint64_t swap_add)
{
	struct fns_vqp *qp = of(ex);
	struct fns_sqd *d = begin(qp, op, 2);
	struct fns_sqd_cont *c;

	if (!d)
		return;
	d->remote_addr = remote_addr;
	d->rkey = rkey;
	c = cont(&qp->xq, 0);
	memset((void *)c, 0, sizeof(*c));
	c->atomic.compare = compare;
	c->atomic.swap_add = swap_add;
}

static void wr_atomic_cmp_swp(
	struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr, uint64_t compare, uint64_t swap)
{
	atomic_op(ex, FNS_WR_CMP_SWAP, rkey, remote_addr, compare, swap);
}

static void wr_atomic_fetch_add(
	struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr, uint64_t add)
{
	atomic_op(ex, FNS_WR_FETCH_ADD, rkey, remote_addr, 0, add);
}

static void wr_bind_mw(
	struct ibv_qp_ex *ex, struct ibv_mw *mw, uint32_t rkey, const struct ibv_mw_bind_info *info)
{
	struct fns_vqp *qp = of(ex);
	int err = fns_verbs_post_check_bind(qp, mw, IBV_MW_TYPE_2, info);
	struct fns_sqd_cont *c;

	if (err) {
		fail(qp, err);
		return;
	}
	if (!begin(qp, FNS_WR_BIND_MW, 2))
		return;
	c = cont(&qp->xq, 0);
	memset((void *)c, 0, sizeof(*c));
	c->bind.addr = info->addr;
	c->bind.len = info->length;
	c->bind.mr_key = info->mr ? info->mr->lkey : 0;
	c->bind.mw_key = mw->rkey;
	c->bind.new_key = rkey;
	c->bind.access = info->mw_access_flags;
}

static void wr_local_inv(struct ibv_qp_ex *ex, uint32_t rkey)
{
	struct fns_sqd *d = begin(of(ex), FNS_WR_LOCAL_INV, 1);

	if (d)
		d->imm = rkey;
}

static void wr_send(struct ibv_qp_ex *ex)
{
	begin(of(ex), FNS_WR_SEND, 1);
}

static void wr_send_imm(struct ibv_qp_ex *ex, __be32 imm)
{
	struct fns_sqd *d = begin(of(ex), FNS_WR_SEND_IMM, 1);

	if (d)
		d->imm = imm;
}

static void wr_send_inv(struct ibv_qp_ex *ex, uint32_t rkey)
{
	struct fns_sqd *d = begin(of(ex), FNS_WR_SEND_INV, 1);

	if (d)
		d->imm = rkey;
}

/* What no queue pair of ours was created with. */
static void wr_unsupported_tso(struct ibv_qp_ex *ex, void *hdr, uint16_t hdr_sz, uint16_t mss)
{
	fail(of(ex), EOPNOTSUPP);
}

static void wr_unsupported_xrc(struct ibv_qp_ex *ex, uint32_t remote_srqn)
{
	fail(of(ex), EOPNOTSUPP);
}

static void wr_unsupported_atomic_write(
	struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr, const void *value)
{
	fail(of(ex), EOPNOTSUPP);
}

static void wr_set_ud_addr(
	struct ibv_qp_ex *ex, struct ibv_ah *ah, uint32_t remote_qpn, uint32_t remote_qkey)
{
	struct fns_vqp *qp = of(ex);

	if (!qp->xq.cur || !ah || ah->context != qp->ibv.context || qp->type_bit != FNS_TB_UD) {
		fail(qp, EINVAL);
		return;
	}
	qp->xq.cur->ud.ah = ah->handle;
	qp->xq.cur->ud.remote_qpn = remote_qpn;
	qp->xq.cur->qkey = remote_qkey;
}

static void wr_set_sge_list(struct ibv_qp_ex *ex, size_t num_sge, const struct ibv_sge *sg)
{
	struct fns_vqp *qp = of(ex);
	struct fns_vqp_ex *x = &qp->xq;
	uint64_t total = 0;

	if (!x->cur || !takes_data(x) || num_sge > qp->max_send_sge ||
		(is_atomic(x) && (num_sge != 1 || sg[0].length != 8))) {
		fail(qp, EINVAL);
		return;
	}
	for (size_t i = 0; i < num_sge; i++) {
		struct fns_sqd_sge *to = i == 0 ? &x->cur->sge0
						: &cont(x, (uint32_t)(i - 1) / FNS_SQD_SGE_CONT)
							   ->sge[(i - 1) % FNS_SQD_SGE_CONT];

		*to = (struct fns_sqd_sge){sg[i].addr, sg[i].length, sg[i].lkey};
		total += sg[i].length;
	}
	if (total > FNS_MAX_MSG) {
		fail(qp, EINVAL);
		return;
	}
	x->cur->num_sge = (uint8_t)num_sge;
	if (!is_atomic(x))
		set_slots(x, fns_sqd_slots_sge((uint32_t)num_sge), 0);
}

static void wr_set_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t addr, uint32_t length)
{
	const struct ibv_sge sge = {addr, length, lkey};

	wr_set_sge_list(ex, 1, &sge);
}

static void wr_set_inline_data_list(
	struct ibv_qp_ex *ex, size_t num_buf, const struct ibv_data_buf *buf)
{
	struct fns_vqp *qp = of(ex);
	struct fns_vqp_ex *x = &qp->xq;
	uint32_t at = 0;
	size_t total = 0;

	for (size_t i = 0; i < num_buf && total <= qp->max_inline; i++)
		total += FNS_MIN(buf[i].length, (size_t)FNS_MAX_INLINE + 1);
	if (!x->cur || !takes_data(x) || is_atomic(x) || cur_op(x) == FNS_WR_READ ||
		total > qp->max_inline) {
		fail(qp, EINVAL);
		return;
	}
	for (size_t i = 0; i < num_buf; i++) {
		const uint8_t *p = buf[i].addr;
		uint32_t len = (uint32_t)buf[i].length;

		while (len > 0) {
			uint32_t off = at - FNS_SQD_INLINE0, in = off % FNS_SQD_INLINE_CONT, n;
			uint8_t *to;

			if (at < FNS_SQD_INLINE0) {
				n = FNS_MIN(len, FNS_SQD_INLINE0 - at);
				to = x->cur->inline0 + at;
			} else {
				n = FNS_MIN(len, FNS_SQD_INLINE_CONT - in);
				to = cont(x, off / FNS_SQD_INLINE_CONT)->data + in;
			}
			memcpy(to, p, n);
			at += n;
			p += n;
			len -= n;
		}
	}
	x->cur->num_sge = 0;
	x->cur->inline_len = (uint16_t)at;
	set_slots(x, fns_sqd_slots_inline(at), FNS_WRF_INLINE);
}

static void wr_set_inline_data(struct ibv_qp_ex *ex, void *addr, size_t length)
{
	const struct ibv_data_buf buf = {addr, length};

	wr_set_inline_data_list(ex, 1, &buf);
}

static void copy_in(const struct fns_sqd *d, uint32_t ctl, uint32_t nslots)
{
	const size_t skip = sizeof(d->ctl);

	for (uint32_t i = 0; i < nslots; i++)
		memcpy((char *)fns_vring_slot(i) + skip, (const char *)(d + i) + skip,
			sizeof(*d) - skip);
	fns_vring_publish(ctl, nslots);
}

/* A UD request without an address is one that the application forgot to finish, an atomic without a
 * place for its result too. */
static int check_finished(const struct fns_vqp *qp)
{
	const struct fns_vqp_ex *x = &qp->xq;

	for (uint32_t at = 0; at < x->used;) {
		const struct fns_sqd *d = x->slots + at;
		uint32_t ctl = atomic_load_explicit(&d->ctl, memory_order_relaxed);
		uint32_t op = FNS_SQD_OPCODE(ctl);

		if (qp->type_bit == FNS_TB_UD && d->ud.ah == 0)
			return EINVAL;
		if ((op == FNS_WR_CMP_SWAP || op == FNS_WR_FETCH_ADD) && d->num_sge != 1)
			return EINVAL;
		at += FNS_SQD_NSLOTS(ctl);
	}
	return 0;
}

/* Under the ring's lock. Waits for room; once part of a batch is in the ring it waits long. 0 or
 * errno. */
static int room_for(const struct fns_vqp *qp, uint32_t nslots, bool posted)
{
	uint32_t resets = qp->resets;
	bool room = fns_vring_reserve(nslots) != FNS_VRING_FULL;

	for (unsigned i = 0; !room && posted && i < STUCK_WAITS; i++)
		room = fns_vring_wait(nslots);
	if (qp->resets != resets)
		return EINVAL;
	return room ? 0 : posted ? EIO : ENOMEM;
}

/* Under the ring's lock. The whole batch is counted first, since others may post to the queue while
 * the ring is waited for. */
static int post_batch(struct fns_vqp *qp, uint32_t *posted)
{
	struct fns_vqp_ex *x = &qp->xq;
	uint32_t tail = atomic_load_explicit(&qp->sq_tail, memory_order_acquire);
	uint32_t left = x->count, resets = qp->resets;
	int err = 0;

	if (atomic_load(&qp->state) < IBV_QPS_RTS)
		return EINVAL;
	if (qp->sq_head - tail + left > qp->max_send_wr)
		return ENOMEM;
	qp->sq_head += left;
	for (uint32_t at = 0; at < x->used;) {
		const struct fns_sqd *d = x->slots + at;
		uint32_t ctl = atomic_load_explicit(&d->ctl, memory_order_relaxed);
		uint32_t nslots = FNS_SQD_NSLOTS(ctl);

		err = room_for(qp, nslots, *posted > 0);
		if (err)
			break;
		copy_in(d, ctl, nslots);
		++*posted;
		left--;
		at += nslots;
	}
	if (qp->resets == resets)
		qp->sq_head -= left;
	return err;
}

static int wr_complete(struct ibv_qp_ex *ex)
{
	struct fns_vqp *qp = of(ex);
	struct fns_vqp_ex *x = &qp->xq;
	uint32_t posted = 0;
	int err;

	if (!fns_placement_alive())
		return EIO;
	x->used += x->cur ? x->cur_slots : 0;
	err = x->err ? x->err : check_finished(qp);
	if (!err) {
		fns_lock_take(&fns_vring.lock);
		err = post_batch(qp, &posted);
		fns_vring_ring();
		fns_lock_release(&fns_vring.lock);
	}
	pthread_mutex_unlock(&x->lock);
	if (posted)
		qp->ops->submitted(posted);
	if (err)
		errno = err;
	return err;
}

static void wr_abort(struct ibv_qp_ex *ex)
{
	if (fns_placement_alive())
		pthread_mutex_unlock(&of(ex)->xq.lock);
}

int fns_vqp_ex_init(struct fns_vqp *qp, uint64_t send_ops)
{
	uint32_t per_wr = FNS_MAX(2u,
		FNS_MAX(fns_sqd_slots_sge(qp->max_send_sge), fns_sqd_slots_inline(qp->max_inline)));
	struct ibv_qp_ex *ex = &qp->ex;
	void *p;

	/* Room for the whole send queue; pages are only taken when a batch is that long. */
	qp->xq.nslots = FNS_MAX(1u, qp->max_send_wr) * per_wr;
	p = mmap(NULL, qp->xq.nslots * sizeof(struct fns_sqd), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	qp->xq.slots = p;
	pthread_mutex_init(&qp->xq.lock, NULL);
	qp->is_ex = true;

	ex->comp_mask = 0;
	ex->wr_start = wr_start;
	ex->wr_complete = wr_complete;
	ex->wr_abort = wr_abort;
	ex->wr_set_sge = wr_set_sge;
	ex->wr_set_sge_list = wr_set_sge_list;
	ex->wr_set_inline_data = wr_set_inline_data;
	ex->wr_set_inline_data_list = wr_set_inline_data_list;
	ex->wr_set_ud_addr = wr_set_ud_addr;
	ex->wr_send_tso = wr_unsupported_tso;
	ex->wr_set_xrc_srqn = wr_unsupported_xrc;
	ex->wr_atomic_write = wr_unsupported_atomic_write;
#define OFFER(flag, slot)                                                                          \
	do {                                                                                       \
		if (send_ops & (flag))                                                             \
			ex->slot = slot;                                                           \
	} while (0)
	OFFER(IBV_QP_EX_WITH_RDMA_WRITE, wr_rdma_write);
	OFFER(IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM, wr_rdma_write_imm);
	OFFER(IBV_QP_EX_WITH_SEND, wr_send);
	OFFER(IBV_QP_EX_WITH_SEND_WITH_IMM, wr_send_imm);
	OFFER(IBV_QP_EX_WITH_RDMA_READ, wr_rdma_read);
	OFFER(IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP, wr_atomic_cmp_swp);
	OFFER(IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD, wr_atomic_fetch_add);
	OFFER(IBV_QP_EX_WITH_LOCAL_INV, wr_local_inv);
	OFFER(IBV_QP_EX_WITH_BIND_MW, wr_bind_mw);
	OFFER(IBV_QP_EX_WITH_SEND_WITH_INV, wr_send_inv);
#undef OFFER
	return 0;
}

void fns_vqp_ex_fini(struct fns_vqp *qp)
{
	if (!qp->is_ex)
		return;
	munmap(qp->xq.slots, qp->xq.nslots * sizeof(struct fns_sqd));
	pthread_mutex_destroy(&qp->xq.lock);
}
