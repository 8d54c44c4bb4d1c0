/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 9/9, the extended way: start_poll, next_poll, end_poll and readers of single fields. An
 * entry is copied when it is reached, so that the engine may have its place back; the CQ's lock is
 * held from start_poll to end_poll.
 */
#include <endian.h>
#include <errno.h>
#include <time.h>

#include "verbs/verbs_priv.h"

static struct fns_vcq *of(struct ibv_cq_ex *ex)
{
	return fns_container_of(ex, struct fns_vcq, ex);
}

/* Moves to the next entry that is to be shown; false: none. Under the lock. */
static bool take(struct fns_vcq *cq)
{
	struct fns_cqe *e;

	while ((e = fns_vcq_peek(cq))) {
		memcpy(&cq->cur, e, sizeof(cq->cur));
		if (fns_vcq_advance(cq, e)) {
			fns_vcq_credit(cq, false);
			cq->ex.wr_id = cq->cur.wr_id;
			cq->ex.status = (enum ibv_wc_status)cq->cur.status;
			return true;
		}
	}
	fns_vcq_credit(cq, true);
	return false;
}

static inline void lock(struct fns_vcq *cq)
{
	if (!cq->single_threaded)
		fns_lock_take(&cq->lock);
}

static inline void unlock(struct fns_vcq *cq)
{
	if (!cq->single_threaded)
		fns_lock_release(&cq->lock);
}

static int start_poll(struct ibv_cq_ex *ex, struct ibv_poll_cq_attr *attr)
{
	struct fns_vcq *cq = of(ex);

	if (fns_unlikely(attr && attr->comp_mask))
		return EINVAL;
	if (fns_unlikely(!fns_placement_alive()))
		return EIO;
	lock(cq);
	if (take(cq))
		return 0;
	unlock(cq);
	fns_ctx(ex->context)->ops->poll();
	lock(cq);
	if (take(cq))
		return 0;
	unlock(cq);
	return ENOENT;
}

static int next_poll(struct ibv_cq_ex *ex)
{
	return take(of(ex)) ? 0 : ENOENT;
}

static void end_poll(struct ibv_cq_ex *ex)
{
	unlock(of(ex));
}

static enum ibv_wc_opcode read_opcode(struct ibv_cq_ex *ex)
{
	return (enum ibv_wc_opcode)of(ex)->cur.opcode;
}

static uint32_t read_vendor_err(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.vendor_err;
}

static uint32_t read_byte_len(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.byte_len;
}

static __be32 read_imm_data(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.imm;
}

static uint32_t read_qp_num(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.qpn;
}

static uint32_t read_src_qp(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.src_qp;
}

static unsigned int read_wc_flags(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.wc_flags;
}

/* No LIDs or path bits in RoCE. */
static uint32_t read_slid(struct ibv_cq_ex *ex)
{
	return 0;
}

static uint8_t read_sl(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.sl;
}

static uint8_t read_dlid_path_bits(struct ibv_cq_ex *ex)
{
	return 0;
}

static uint64_t read_completion_ts(struct ibv_cq_ex *ex)
{
	return of(ex)->cur.timestamp_ns;
}

/* The engine's clock is monotonic; what wall clock time it was is reckoned back from now. */
static uint64_t read_completion_wallclock_ns(struct ibv_cq_ex *ex)
{
	uint64_t now_ns = fns_ctx(ex->context)->ops->now_ns();
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * FNS_NSEC_PER_SEC + (uint64_t)ts.tv_nsec -
	       (now_ns - of(ex)->cur.timestamp_ns);
}

static uint16_t read_cvlan(struct ibv_cq_ex *ex)
{
	return 0;
}

static uint32_t read_flow_tag(struct ibv_cq_ex *ex)
{
	return 0;
}

static void read_tm_info(struct ibv_cq_ex *ex, struct ibv_wc_tm_info *info)
{
	memset(info, 0, sizeof(*info));
}

/* Every reader is there, whatever was asked for: a wrong call reads a value rather than jumping to
 * NULL. */
void fns_vcq_ex_init(struct fns_vcq *cq, uint64_t wc_flags)
{
	struct ibv_cq_ex *ex = &cq->ex;

	ex->comp_mask = 0;
	ex->start_poll = start_poll;
	ex->next_poll = next_poll;
	ex->end_poll = end_poll;
	ex->read_opcode = read_opcode;
	ex->read_vendor_err = read_vendor_err;
	ex->read_byte_len = read_byte_len;
	ex->read_imm_data = read_imm_data;
	ex->read_qp_num = read_qp_num;
	ex->read_src_qp = read_src_qp;
	ex->read_wc_flags = read_wc_flags;
	ex->read_slid = read_slid;
	ex->read_sl = read_sl;
	ex->read_dlid_path_bits = read_dlid_path_bits;
	ex->read_completion_ts = read_completion_ts;
	ex->read_cvlan = read_cvlan;
	ex->read_flow_tag = read_flow_tag;
	ex->read_tm_info = read_tm_info;
	ex->read_completion_wallclock_ns = read_completion_wallclock_ns;
}
