/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which modify is allowed: the state diagram of IBTA 10.3.1 with the attributes that each
 * transition requires and permits (table 91), and the ranges of the values.
 */
#include <errno.h>

#include "engine/engine_priv.h"

struct transition {
	uint8_t from, to;
	uint32_t required, optional;
};

#define A(x) FNS_QPA_##x

static const struct transition rc[] = {
	{FNS_QPS_RESET, FNS_QPS_INIT, A(PKEY_INDEX) | A(PORT) | A(ACCESS_FLAGS), 0},
	{FNS_QPS_INIT, FNS_QPS_INIT, 0, A(PKEY_INDEX) | A(PORT) | A(ACCESS_FLAGS)},
	{FNS_QPS_INIT, FNS_QPS_RTR,
		A(AV) | A(PATH_MTU) | A(DEST_QPN) | A(RQ_PSN) | A(MAX_DEST_RD_ATOMIC) |
			A(MIN_RNR_TIMER),
		A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX)},
	{FNS_QPS_RTR, FNS_QPS_RTS,
		A(TIMEOUT) | A(RETRY_CNT) | A(RNR_RETRY) | A(SQ_PSN) | A(MAX_RD_ATOMIC),
		A(CUR_STATE) | A(ALT_PATH) | A(ACCESS_FLAGS) | A(MIN_RNR_TIMER) |
			A(PATH_MIG_STATE)},
	{FNS_QPS_RTS, FNS_QPS_RTS, 0,
		A(CUR_STATE) | A(ALT_PATH) | A(ACCESS_FLAGS) | A(MIN_RNR_TIMER) |
			A(PATH_MIG_STATE)},
	{FNS_QPS_RTS, FNS_QPS_SQD, 0, A(EN_SQD_ASYNC_NOTIFY)},
	{FNS_QPS_SQD, FNS_QPS_SQD, 0,
		A(PORT) | A(AV) | A(TIMEOUT) | A(RETRY_CNT) | A(RNR_RETRY) | A(MAX_RD_ATOMIC) |
			A(MAX_DEST_RD_ATOMIC) | A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX) |
			A(MIN_RNR_TIMER) | A(PATH_MIG_STATE)},
	{FNS_QPS_SQD, FNS_QPS_RTS, 0,
		A(CUR_STATE) | A(ALT_PATH) | A(ACCESS_FLAGS) | A(MIN_RNR_TIMER) |
			A(PATH_MIG_STATE)},
};

static const struct transition uc[] = {
	{FNS_QPS_RESET, FNS_QPS_INIT, A(PKEY_INDEX) | A(PORT) | A(ACCESS_FLAGS), 0},
	{FNS_QPS_INIT, FNS_QPS_INIT, 0, A(PKEY_INDEX) | A(PORT) | A(ACCESS_FLAGS)},
	{FNS_QPS_INIT, FNS_QPS_RTR, A(AV) | A(PATH_MTU) | A(DEST_QPN) | A(RQ_PSN),
		A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX)},
	{FNS_QPS_RTR, FNS_QPS_RTS, A(SQ_PSN),
		A(CUR_STATE) | A(ALT_PATH) | A(ACCESS_FLAGS) | A(PATH_MIG_STATE)},
	{FNS_QPS_RTS, FNS_QPS_RTS, 0,
		A(CUR_STATE) | A(ACCESS_FLAGS) | A(ALT_PATH) | A(PATH_MIG_STATE)},
	{FNS_QPS_RTS, FNS_QPS_SQD, 0, A(EN_SQD_ASYNC_NOTIFY)},
	{FNS_QPS_SQD, FNS_QPS_SQD, 0,
		A(AV) | A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX) | A(PATH_MIG_STATE)},
	{FNS_QPS_SQD, FNS_QPS_RTS, 0,
		A(CUR_STATE) | A(ALT_PATH) | A(ACCESS_FLAGS) | A(PATH_MIG_STATE)},
	{FNS_QPS_SQE, FNS_QPS_RTS, 0, A(CUR_STATE) | A(ACCESS_FLAGS)},
};

static const struct transition ud[] = {
	{FNS_QPS_RESET, FNS_QPS_INIT, A(PKEY_INDEX) | A(PORT) | A(QKEY), 0},
	{FNS_QPS_INIT, FNS_QPS_INIT, 0, A(PKEY_INDEX) | A(PORT) | A(QKEY)},
	{FNS_QPS_INIT, FNS_QPS_RTR, 0, A(PKEY_INDEX) | A(QKEY)},
	{FNS_QPS_RTR, FNS_QPS_RTS, A(SQ_PSN), A(CUR_STATE) | A(QKEY)},
	{FNS_QPS_RTS, FNS_QPS_RTS, 0, A(CUR_STATE) | A(QKEY)},
	{FNS_QPS_RTS, FNS_QPS_SQD, 0, A(EN_SQD_ASYNC_NOTIFY)},
	{FNS_QPS_SQD, FNS_QPS_SQD, 0, A(PKEY_INDEX) | A(QKEY)},
	{FNS_QPS_SQD, FNS_QPS_RTS, 0, A(CUR_STATE) | A(QKEY)},
	{FNS_QPS_SQE, FNS_QPS_RTS, 0, A(CUR_STATE) | A(QKEY)},
};

static const struct transition *find(uint8_t type, uint8_t from, uint8_t to)
{
	const struct transition *t = type == FNS_QPT_RC ? rc : type == FNS_QPT_UC ? uc : ud;
	size_t n = type == FNS_QPT_RC   ? FNS_ARRAY_SIZE(rc)
		   : type == FNS_QPT_UC ? FNS_ARRAY_SIZE(uc)
					: FNS_ARRAY_SIZE(ud);

	for (; n; n--, t++)
		if (t->from == from && t->to == to)
			return t;
	return NULL;
}

static bool values_ok(const struct fns_ctl_qp_attr *a)
{
	uint32_t m = a->mask;

	if ((m & A(PORT)) && a->port != 1)
		return false;
	if ((m & A(PKEY_INDEX)) && a->pkey_index != 0)
		return false;
	if ((m & A(PATH_MTU)) && (a->path_mtu < 1 || a->path_mtu > 5))
		return false;
	if ((m & A(DEST_QPN)) && a->dest_qpn > FNS_QPN_MASK)
		return false;
	if ((m & A(TIMEOUT)) && a->timeout > 31)
		return false;
	if ((m & A(RETRY_CNT)) && a->retry_cnt > 7)
		return false;
	if ((m & A(RNR_RETRY)) && a->rnr_retry > 7)
		return false;
	if ((m & A(MIN_RNR_TIMER)) && a->min_rnr_timer > 31)
		return false;
	if ((m & A(MAX_RD_ATOMIC)) && a->max_rd_atomic > FNS_MAX_RD_ATOMIC)
		return false;
	if ((m & A(MAX_DEST_RD_ATOMIC)) && a->max_dest_rd_atomic > FNS_MAX_RD_ATOMIC)
		return false;
	if ((m & A(AV)) && (!a->av.is_global || fns_gid_is_zero(&a->av.dgid) ||
				   fns_gid_is_multicast(&a->av.dgid)))
		return false;
	return true;
}

int fns_qp_modify_check(
	const struct fns_qp *qp, const struct fns_ctl_qp_attr *a, enum fns_qp_state *next)
{
	uint8_t to = a->mask & A(STATE) ? a->state : qp->state;
	uint32_t attrs = a->mask & ~(uint32_t)A(STATE);
	const struct transition *t;

	if ((a->mask & A(CUR_STATE)) && a->cur_state != qp->state)
		return -EINVAL;
	*next = (enum fns_qp_state)to;
	if ((a->mask & A(STATE)) && (to == FNS_QPS_RESET || to == FNS_QPS_ERR))
		return attrs & ~(uint32_t)A(CUR_STATE) ? -EINVAL : 0;
	t = find(qp->type, qp->state, to);
	if (!t || (attrs & t->required) != t->required ||
		(attrs & ~(t->required | t->optional | A(CUR_STATE))))
		return -EINVAL;
	/* Alternate paths are an InfiniBand notion: accepted nowhere. */
	if (attrs & A(ALT_PATH))
		return -EOPNOTSUPP;
	return values_ok(a) ? 0 : -EINVAL;
}
