/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue pair's state diagram, against a second copy of IBTA table 91: every type, every pair of
 * states, each attribute missing or too many, and the ranges of values. A refused modify changes
 * nothing.
 */
#include "rig.h"

#include <errno.h>
#include <string.h>

#define A(x)        FNS_QPA_##x
#define N_ATTR_BITS 26

static const uint8_t types[] = {FNS_QPT_RC, FNS_QPT_UC, FNS_QPT_UD};

/* Attributes that may come along; UINT32_MAX: no such transition. */
static uint32_t optional_of(uint8_t type, uint8_t from, uint8_t to)
{
	const uint32_t path = A(ALT_PATH) | A(ACCESS_FLAGS);
	bool rc = type == FNS_QPT_RC, ud = type == FNS_QPT_UD;

	if (to == FNS_QPS_RESET || to == FNS_QPS_ERR)
		return 0;
	switch (from << 4 | to) {
	case FNS_QPS_RESET << 4 | FNS_QPS_INIT:
		return 0;
	case FNS_QPS_INIT << 4 | FNS_QPS_INIT:
		return A(PKEY_INDEX) | A(PORT) | (ud ? A(QKEY) : A(ACCESS_FLAGS));
	case FNS_QPS_INIT << 4 | FNS_QPS_RTR:
		return A(PKEY_INDEX) | (ud ? A(QKEY) : path);
	case FNS_QPS_RTR << 4 | FNS_QPS_RTS:
	case FNS_QPS_RTS << 4 | FNS_QPS_RTS:
	case FNS_QPS_SQD << 4 | FNS_QPS_RTS:
		return ud ? A(QKEY) : path | A(PATH_MIG_STATE) | (rc ? A(MIN_RNR_TIMER) : 0);
	case FNS_QPS_RTS << 4 | FNS_QPS_SQD:
		return A(EN_SQD_ASYNC_NOTIFY);
	case FNS_QPS_SQD << 4 | FNS_QPS_SQD:
		if (ud)
			return A(PKEY_INDEX) | A(QKEY);
		return A(AV) | path | A(PKEY_INDEX) | A(PATH_MIG_STATE) |
		       (rc ? A(PORT) | A(TIMEOUT) | A(RETRY_CNT) | A(RNR_RETRY) | A(MAX_RD_ATOMIC) |
					       A(MAX_DEST_RD_ATOMIC) | A(MIN_RNR_TIMER)
			   : 0);
	case FNS_QPS_SQE << 4 | FNS_QPS_RTS:
		return rc ? UINT32_MAX : ud ? A(QKEY) : A(ACCESS_FLAGS);
	default:
		return UINT32_MAX;
	}
}

static uint32_t required_of(uint8_t type, uint8_t from, uint8_t to)
{
	if ((from == FNS_QPS_RESET && to == FNS_QPS_INIT) ||
		(from == FNS_QPS_INIT && to == FNS_QPS_RTR) ||
		(from == FNS_QPS_RTR && to == FNS_QPS_RTS))
		return rig_required(type, to);
	return 0;
}

static void bring_to(struct rig *r, struct rig_qp *qp, uint8_t state)
{
	rig_qp_create(r, qp, qp->type);
	if (state == FNS_QPS_ERR) {
		assert_int_equal(rig_modify(r, qp, FNS_QPS_ERR, A(STATE)), 0);
		return;
	}
	if (state >= FNS_QPS_INIT)
		rig_to_init(r, qp);
	if (state >= FNS_QPS_RTR)
		rig_to_rtr(r, qp);
	if (state >= FNS_QPS_RTS)
		rig_to_rts(r, qp);
	if (state == FNS_QPS_SQD)
		assert_int_equal(rig_modify(r, qp, FNS_QPS_SQD, A(STATE)), 0);
	if (state == FNS_QPS_SQE) {
		/* The way in is a send that fails: an SGE with a key of nobody; of RC, by hand. */
		struct rig_wr wr = {.op = FNS_WR_SEND, .nsge = 1, .sge[0] = {.len = 4, .lkey = 1}};
		struct fns_cqe c;

		if (qp->type == FNS_QPT_RC) {
			rig_inner(r, qp)->state = FNS_QPS_SQE;
			return;
		}
		rig_post(r, qp, &wr);
		rig_run(r);
		assert_true(rig_poll(&qp->cq, &c));
	}
	assert_int_equal(rig_state(r, qp), state);
}

struct snapshot {
	struct fns_ctl_qp_attr attr;
	struct fns_path *path;
	uint32_t pmtu, dest_qpn, paths;
};

static struct snapshot look(struct rig *r, const struct rig_qp *qp)
{
	struct fns_ctl m;
	struct snapshot s;

	memset(&m, 0, sizeof(m));
	memset(&s, 0, sizeof(s));
	m.op = FNS_CTL_QP_QUERY;
	m.handle = qp->qpn;
	assert_int_equal(rig_ctl(r, &m), 0);
	s.attr = m.qp_attr;
	s.path = rig_inner(r, qp)->path;
	s.pmtu = rig_inner(r, qp)->pmtu;
	s.dest_qpn = rig_inner(r, qp)->dest_qpn;
	s.paths = r->paths;
	return s;
}

static void refused(struct rig *r, struct rig_qp *qp, uint8_t to, uint32_t mask, int error)
{
	struct snapshot before = look(r, qp), after;

	assert_int_equal(rig_modify(r, qp, to, mask), error);
	after = look(r, qp);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void all_transitions(void **state)
{
	struct rig *r = rig_create(NULL);
	uint8_t ti, from, to;
	unsigned allowed = 0, bit;

	for (ti = 0; ti < 3; ti++)
		for (from = 0; from <= FNS_QPS_ERR; from++)
			for (to = 0; to <= FNS_QPS_ERR + 2; to++) {
				struct rig_qp qp = {.type = types[ti]};
				uint32_t opt = to > FNS_QPS_ERR ? UINT32_MAX
								: optional_of(types[ti], from, to);
				uint32_t req = required_of(types[ti], from, to), ok;

				bring_to(r, &qp, from);
				if (opt == UINT32_MAX) {
					refused(r, &qp, to, A(STATE), -EINVAL);
					refused(r, &qp, to, A(STATE) | rig_required(qp.type, to),
						-EINVAL);
					refused(r, &qp, to, UINT32_MAX & ~(1u << 31), -EINVAL);
					rig_qp_destroy(r, &qp);
					continue;
				}
				ok = req | opt | A(CUR_STATE) | A(STATE);
				qp.attr.cur_state = from;
				for (bit = 0; bit < N_ATTR_BITS; bit++) {
					uint32_t b = 1u << bit;

					if (req & b)
						refused(r, &qp, to, A(STATE) | (req & ~b), -EINVAL);
					if (!(ok & b))
						refused(r, &qp, to, A(STATE) | req | b, -EINVAL);
				}
				if (opt & A(ALT_PATH))
					refused(r, &qp, to, A(STATE) | req | A(ALT_PATH),
						-EOPNOTSUPP);
				qp.attr.cur_state = from ^ 1;
				refused(r, &qp, to, A(STATE) | A(CUR_STATE) | req, -EINVAL);
				qp.attr.cur_state = from;
				assert_int_equal(rig_modify(r, &qp, to, ok & ~A(ALT_PATH)), 0);
				assert_int_equal(rig_state(r, &qp), to);
				rig_qp_destroy(r, &qp);
				allowed++;
			}
	/* 7 to RESET, 7 to ERR, and 8 or 9 on the way (RC has no way out of SQE). */
	assert_int_equal(allowed, 3 * 14 + 8 + 9 + 9);
	rig_destroy(r);
}

static void without_state_it_stays(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp = {.type = FNS_QPT_RC};

	bring_to(r, &qp, FNS_QPS_RTS);
	qp.attr.min_rnr_timer = 3;
	assert_int_equal(rig_modify(r, &qp, FNS_QPS_RESET, A(MIN_RNR_TIMER)), 0);
	assert_int_equal(rig_state(r, &qp), FNS_QPS_RTS);
	assert_int_equal(look(r, &qp).attr.min_rnr_timer, 3);
	refused(r, &qp, 0, A(TIMEOUT), -EINVAL);
	rig_qp_destroy(r, &qp);
	bring_to(r, &qp, FNS_QPS_RTR);
	refused(r, &qp, 0, A(MIN_RNR_TIMER), -EINVAL);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* One value out of range in an otherwise good modify. */
#define BAD(to_, field, value)                                                                     \
	do {                                                                                       \
		struct fns_ctl_qp_attr good_ = qp.attr;                                            \
		qp.attr.field = (value);                                                           \
		refused(r, &qp, (to_), A(STATE) | rig_required(qp.type, (to_)), -EINVAL);          \
		qp.attr = good_;                                                                   \
	} while (0)

static void value_ranges(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp = {.type = FNS_QPT_RC};

	rig_qp_create(r, &qp, FNS_QPT_RC);
	BAD(FNS_QPS_INIT, port, 0);
	BAD(FNS_QPS_INIT, port, 2);
	BAD(FNS_QPS_INIT, pkey_index, 1);
	rig_to_init(r, &qp);
	BAD(FNS_QPS_RTR, path_mtu, 0);
	BAD(FNS_QPS_RTR, path_mtu, 6);
	BAD(FNS_QPS_RTR, dest_qpn, 1u << 24);
	BAD(FNS_QPS_RTR, min_rnr_timer, 32);
	BAD(FNS_QPS_RTR, max_dest_rd_atomic, FNS_MAX_RD_ATOMIC + 1);
	BAD(FNS_QPS_RTR, av.is_global, 0);
	BAD(FNS_QPS_RTR, av.dgid, (struct fns_gid){0});
	BAD(FNS_QPS_RTR, av.dgid.b[12], 224);     /* 224.0.2.2: multicast */
	BAD(FNS_QPS_RTR, av.link_mtu, 1024 + 79); /* PMTU 1024 and headers do not fit */
	qp.attr.av.link_mtu = 1024 + 80;
	qp.attr.rq_psn = 0xff000000u | 5; /* 24 bits count */
	rig_to_rtr(r, &qp);
	assert_int_equal(look(r, &qp).attr.rq_psn, 5);
	assert_int_equal(rig_inner(r, &qp)->pmtu, 1024);
	BAD(FNS_QPS_RTS, timeout, 32);
	BAD(FNS_QPS_RTS, retry_cnt, 8);
	BAD(FNS_QPS_RTS, rnr_retry, 8);
	BAD(FNS_QPS_RTS, max_rd_atomic, FNS_MAX_RD_ATOMIC + 1);
	qp.attr.timeout = 31;
	qp.attr.sq_psn = 0xffffffff;
	rig_to_rts(r, &qp);
	assert_int_equal(look(r, &qp).attr.sq_psn, 0xffffff);
	assert_int_equal(look(r, &qp).attr.timeout, 31);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

static void reset_forgets(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp = {.type = FNS_QPT_RC};
	struct snapshot s;
	static const struct fns_ctl_qp_attr zero;

	bring_to(r, &qp, FNS_QPS_RTS);
	assert_int_equal(r->paths, 1);
	assert_int_equal(rig_modify(r, &qp, FNS_QPS_RESET, A(STATE)), 0);
	s = look(r, &qp);
	assert_memory_equal(&s.attr, &zero, sizeof(zero));
	assert_null(s.path);
	assert_int_equal(r->paths, 0);
	rig_connect(r, &qp); /* and it lives again */
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_transitions),
		cmocka_unit_test(without_state_it_stays),
		cmocka_unit_test(value_ranges),
		cmocka_unit_test(reset_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
