/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which attributes a queue pair's transition needs and may have (IBTA 11.2.5.2, table of Modify
 * Queue Pair), and their ranges. Pure. The state checked against is the library's: where the engine
 * has meanwhile gone to an error state by itself, it decides.
 */
#include <errno.h>

#include "verbs/verbs_priv.h"

#define PATH_MTU_MIN 1

enum {
	I_RC,
	I_UC,
	I_UD,
	I_TYPES
};

struct transition {
	bool valid;
	int need[I_TYPES], may[I_TYPES]; /* besides STATE and CUR_STATE */
};

#define INIT_CONN (IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)
#define INIT_UD   (IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY)
#define RTR_UC    (IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN)
#define RTR_RC    (RTR_UC | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)
#define RTS_RC                                                                                     \
	(IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |                    \
		IBV_QP_MAX_QP_RD_ATOMIC)
#define LIVE_UC (IBV_QP_ACCESS_FLAGS | IBV_QP_ALT_PATH | IBV_QP_PATH_MIG_STATE)
#define LIVE_RC (LIVE_UC | IBV_QP_MIN_RNR_TIMER)
#define SQD_UC  (LIVE_UC | IBV_QP_AV | IBV_QP_PKEY_INDEX)
#define SQD_RC                                                                                     \
	(SQD_UC | IBV_QP_PORT | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |             \
		IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)

/* By old and new state; to RESET and ERR is allowed from everywhere with nothing else. */
static const struct transition table[7][7] = {
	[IBV_QPS_RESET][IBV_QPS_INIT] = {true, {INIT_CONN, INIT_CONN, INIT_UD}, {0, 0, 0}},
	[IBV_QPS_INIT][IBV_QPS_INIT] = {true, {0, 0, 0}, {INIT_CONN, INIT_CONN, INIT_UD}},
	[IBV_QPS_INIT][IBV_QPS_RTR] = {true, {RTR_RC, RTR_UC, 0},
		{IBV_QP_ALT_PATH | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX,
			IBV_QP_ALT_PATH | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX,
			IBV_QP_PKEY_INDEX | IBV_QP_QKEY}},
	[IBV_QPS_RTR][IBV_QPS_RTS] = {true, {RTS_RC, IBV_QP_SQ_PSN, IBV_QP_SQ_PSN},
		{LIVE_RC, LIVE_UC, IBV_QP_QKEY}},
	[IBV_QPS_RTS][IBV_QPS_RTS] = {true, {0, 0, 0}, {LIVE_RC, LIVE_UC, IBV_QP_QKEY}},
	[IBV_QPS_RTS][IBV_QPS_SQD] = {true, {0, 0, 0},
		{IBV_QP_EN_SQD_ASYNC_NOTIFY, IBV_QP_EN_SQD_ASYNC_NOTIFY,
			IBV_QP_EN_SQD_ASYNC_NOTIFY}},
	[IBV_QPS_SQD][IBV_QPS_RTS] = {true, {0, 0, 0}, {LIVE_RC, LIVE_UC, IBV_QP_QKEY}},
	[IBV_QPS_SQD][IBV_QPS_SQD] = {true, {0, 0, 0},
		{SQD_RC, SQD_UC, IBV_QP_PKEY_INDEX | IBV_QP_QKEY}},
	[IBV_QPS_SQE][IBV_QPS_RTS] = {true, {0, 0, 0}, {0, IBV_QP_ACCESS_FLAGS, IBV_QP_QKEY}},
};

static int check_transition(const struct fns_vqp *qp, const struct ibv_qp_attr *attr, int mask)
{
	unsigned from = mask & IBV_QP_CUR_STATE ? (unsigned)attr->cur_qp_state : qp->state;
	unsigned to = mask & IBV_QP_STATE ? (unsigned)attr->qp_state : from;
	unsigned type = qp->ibv.qp_type == IBV_QPT_RC   ? I_RC
			: qp->ibv.qp_type == IBV_QPT_UC ? I_UC
							: I_UD;
	int rest = mask & ~(IBV_QP_STATE | IBV_QP_CUR_STATE);
	const struct transition *t;

	if (from > IBV_QPS_ERR || to > IBV_QPS_ERR)
		return -EINVAL;
	if (to == IBV_QPS_RESET || to == IBV_QPS_ERR)
		return rest ? -EINVAL : 0;
	t = &table[from][to];
	if (!t->valid || (from == IBV_QPS_SQE && type == I_RC))
		return -EINVAL;
	if ((rest & t->need[type]) != t->need[type] || rest & ~(t->need[type] | t->may[type]))
		return -EINVAL;
	return 0;
}

/* What is named but cannot be done. Path migration: accepted is only the state in which a queue
 * pair without it always is. */
static int check_unsupported(const struct ibv_qp_attr *attr, int mask)
{
	if (mask & (IBV_QP_ALT_PATH | IBV_QP_CAP | IBV_QP_RATE_LIMIT))
		return -EOPNOTSUPP;
	if (mask & IBV_QP_PATH_MIG_STATE && attr->path_mig_state != IBV_MIG_MIGRATED)
		return -EOPNOTSUPP;
	return 0;
}

static int check_ranges(const struct fns_vqp *qp, const struct ibv_qp_attr *attr, int mask)
{
	const unsigned access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
				IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC |
				IBV_ACCESS_MW_BIND;
	const struct fns_vcontext *ctx = fns_ctx(qp->ibv.context);

	if ((mask & IBV_QP_PORT && attr->port_num != 1) ||
		(mask & IBV_QP_PKEY_INDEX && attr->pkey_index != 0) ||
		(mask & IBV_QP_ACCESS_FLAGS &&
			attr->qp_access_flags & ~(access | (unsigned)IBV_ACCESS_OPTIONAL_RANGE)))
		return -EINVAL;
	if (mask & IBV_QP_PATH_MTU && ((unsigned)attr->path_mtu < PATH_MTU_MIN ||
					      (unsigned)attr->path_mtu > ctx->active_mtu))
		return -EINVAL;
	if ((mask & IBV_QP_TIMEOUT && attr->timeout > 31) ||
		(mask & IBV_QP_RETRY_CNT && attr->retry_cnt > 7) ||
		(mask & IBV_QP_RNR_RETRY && attr->rnr_retry > 7) ||
		(mask & IBV_QP_MIN_RNR_TIMER && attr->min_rnr_timer > 31))
		return -EINVAL;
	if ((mask & IBV_QP_MAX_QP_RD_ATOMIC && attr->max_rd_atomic > FNS_MAX_RD_ATOMIC) ||
		(mask & IBV_QP_MAX_DEST_RD_ATOMIC &&
			attr->max_dest_rd_atomic > FNS_MAX_RD_ATOMIC) ||
		(mask & IBV_QP_DEST_QPN && attr->dest_qp_num > 0xffffff))
		return -EINVAL;
	return 0;
}

int fns_vqp_modify_check(const struct fns_vqp *qp, const struct ibv_qp_attr *attr, int mask)
{
	const int known = (IBV_QP_DEST_QPN << 1) - 1;
	int err;

	if (mask & ~(known | IBV_QP_RATE_LIMIT))
		return -EINVAL;
	err = check_unsupported(attr, mask);
	if (!err)
		err = check_transition(qp, attr, mask);
	return err ? err : check_ranges(qp, attr, mask);
}
