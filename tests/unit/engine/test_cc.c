/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the congestion control of queue pairs: what is in flight is carried, nothing of the old
 * one holds, and it is the right queue pairs that change, now and later.
 */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transport/rc.h"

#define PMTU 1024u

static struct {
	struct fns_cc_out out; /* what FNS_CC_INIT is answered with */
	struct fns_cc_event init;
	unsigned inits, timers, acks;
	uint64_t state; /* as it was at FNS_CC_INIT */
} seen;

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	switch (ev->type) {
	case FNS_CC_INIT:
		seen.inits++;
		seen.init = *ev;
		seen.state = ctx->state[0];
		*out = seen.out;
		break;
	case FNS_CC_TIMER:
		seen.timers++;
		break;
	default:
		seen.acks++;
		break;
	}
	assert_ptr_equal(ctx->self->on_event, on_event);
	ctx->state[0] = ctx->param[0];
}

static const struct fns_cc_param params[] = {{"number", "n", "a number", 7, 0, 99}};

#define OPS(name_, flags_)                                                                         \
	{                                                                                          \
		.abi = FNS_CC_ABI, .size = sizeof(struct fns_cc_ops), .name = name_, .text = "",   \
		.events =                                                                          \
			FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK) | FNS_CC_ON(FNS_CC_TIMER),  \
		.flags = flags_, .nparams = 1, .params = params, .on_event = on_event              \
	}
static const struct fns_cc_ops first = OPS("first", 0), second = OPS("second", FNS_CC_F_ECT);

static void answer(uint64_t window, uint64_t rate, uint64_t timer)
{
	seen.out = (struct fns_cc_out){window, rate, timer, 0, 0};
}

static struct fns_cc_choice chosen(const struct fns_cc_ops *ops, uint64_t number)
{
	struct fns_cc_choice c;

	fns_cc_default(ops, &c);
	c.param[0] = number;
	return c;
}

static int set(struct rig *r, uint32_t qpn, const struct fns_cc_ops *ops, uint64_t number)
{
	struct fns_engine_cc_who who = {.qpn = qpn};
	struct fns_cc_choice c = chosen(ops, number);

	return fns_engine_cc_set(r->e, &who, &c, r->now);
}

static const char *named(struct rig *r, const struct rig_qp *qp)
{
	unsigned n = atomic_load(&r->stats->qp[qp->qpn & 0xffff].cc);

	return n ? r->stats->ccs[n - 1] : "";
}

static struct rig *begin(void)
{
	static struct fns_cc_choice c;
	struct rig_opts o = {.peer_budget = 4u << 20, .cc = &c};

	memset(&seen, 0, sizeof(seen));
	answer(4 * PMTU, FNS_CC_UNLIMITED, FNS_CC_NEVER);
	fns_cc_default(&first, &c);
	return rig_create(&o);
}

static void what_is_in_flight_is_carried(void **state)
{
	struct rig *r = begin();
	struct rig_qp qp;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	assert_int_equal(set(r, qp.qpn, &first, 8), 1);
	assert_int_equal(seen.inits, 0); /* not connected */
	rig_connect(r, &qp);
	assert_int_equal(seen.inits, 1);
	rig_post_data(r, &qp, FNS_WR_WRITE, 1, FNS_WRF_SIGNALED, 0, 20 * PMTU);
	rig_run(r);
	assert_int_equal(r->nsent, 4);
	assert_string_equal(named(r, &qp), "first:number=8");

	/* A wider window, and pacing with a timer: at once, without any event. */
	answer(6 * PMTU, FNS_CC_UNLIMITED, r->now + 50000);
	assert_int_equal(set(r, qp.qpn, &second, 9), 1);
	assert_int_equal(seen.inits, 2);
	assert_int_equal(seen.state, 0);
	assert_int_equal(seen.init.inflight, 4 * PMTU);
	assert_int_equal(seen.init.mtu_bytes, PMTU);
	rig_run(r);
	assert_int_equal(r->nsent, 6);
	assert_int_equal(rig_inner(r, &qp)->cc_ctx.state[0], 9);
	assert_string_equal(named(r, &qp), "second:number=9");

	/* A window below what is in flight: nothing until that has been acknowledged. The timer of
	 * the one before does not come. */
	answer(2 * PMTU, FNS_CC_UNLIMITED, FNS_CC_NEVER);
	assert_int_equal(set(r, qp.qpn, &first, 10), 1);
	assert_int_equal(seen.init.inflight, 6 * PMTU);
	rig_sleep(r, 60000);
	assert_int_equal(seen.timers, 0);
	assert_int_equal(r->nsent, 6);
	rig_inject_ack(r, &qp, RIG_SQ_PSN + 3);
	rig_run(r);
	assert_int_equal(r->nsent, 6);
	rig_inject_ack(r, &qp, RIG_SQ_PSN + 4);
	rig_run(r);
	assert_int_equal(r->nsent, 7);

	/* And to the end without any. */
	answer(FNS_CC_UNLIMITED, FNS_CC_UNLIMITED, FNS_CC_NEVER);
	assert_int_equal(set(r, qp.qpn, &second, 9), 1);
	rig_run(r);
	assert_int_equal(r->nsent, 20);
	rig_inject_ack(r, &qp, RIG_SQ_PSN + 19);
	rig_run(r);
	rig_expect_cqe(&qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(rig_count(r, FNS_C_cc_refused), 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* The pace of the old one holds for nothing that the new one sends. */
static void old_pacing_is_gone(void **state)
{
	struct rig *r = begin();
	struct rig_qp qp;

	answer(FNS_CC_UNLIMITED, 1000000, FNS_CC_NEVER); /* 9 ms a packet */
	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	rig_post_data(r, &qp, FNS_WR_WRITE, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	rig_run(r);
	assert_int_equal(r->nsent, 1);
	answer(FNS_CC_UNLIMITED, FNS_CC_UNLIMITED, FNS_CC_NEVER);
	assert_int_equal(set(r, qp.qpn, &second, 1), 1);
	rig_run(r);
	assert_int_equal(r->nsent, 8);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* Packets say that they may be marked as long as somebody obeys marks. */
static void marks_follow(void **state)
{
	struct rig *r = begin();
	struct rig_qp qp;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	assert_int_equal(rig_inner(r, &qp)->path->tos & FNS_ECN_CE, 0);
	assert_int_equal(set(r, qp.qpn, &second, 1), 1);
	assert_int_equal(rig_inner(r, &qp)->path->tos & FNS_ECN_CE, FNS_ECN_ECT0);
	assert_int_equal(set(r, qp.qpn, &second, 2), 1);
	assert_int_equal(set(r, qp.qpn, &first, 1), 1);
	assert_int_equal(rig_inner(r, &qp)->path->tos & FNS_ECN_CE, 0);
	assert_int_equal(r->paths, 1);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

static void the_right_ones_change(void **state)
{
	struct rig *r = begin();
	struct fns_engine_cc_who peer = {.by_peer = true, .peer = r->peer}, other = peer, all = {0};
	struct fns_engine_cc_who wire = {.ifindex = 77};
	struct fns_cc_choice c = chosen(&second, 1);
	struct rig_qp a, b, late, ud;

	other.peer = rig_gid4(99);
	rig_qp_create(r, &a, FNS_QPT_RC);
	rig_connect(r, &a);
	rig_qp_create(r, &b, FNS_QPT_RC);
	rig_qp_create(r, &ud, FNS_QPT_UD);
	assert_string_equal(named(r, &ud), "");
	/* By peer: those connected to it, and those that will be. */
	assert_int_equal(fns_engine_cc_set(r->e, &peer, &c, r->now), 1);
	assert_string_equal(named(r, &a), "second:number=1");
	assert_string_equal(named(r, &b), "first");
	rig_connect(r, &b);
	assert_string_equal(named(r, &b), "second:number=1");
	c = chosen(&second, 2);
	assert_int_equal(fns_engine_cc_set(r->e, &other, &c, r->now), 0);
	assert_int_equal(fns_engine_cc_set(r->e, &wire, &c, r->now), 0);
	rig_qp_create(r, &late, FNS_QPT_RC);
	assert_int_equal(set(r, late.qpn, &second, 3), 1);
	rig_connect(r, &late);
	assert_string_equal(named(r, &late), "second:number=3"); /* its own */
	/* All: rules are forgotten. */
	c = chosen(&first, 4);
	assert_int_equal(fns_engine_cc_set(r->e, &all, &c, r->now), 3);
	assert_string_equal(named(r, &late), "first:number=4");
	assert_string_equal(r->stats->cc, "first:number=4");
	rig_qp_destroy(r, &b);
	rig_qp_create(r, &b, FNS_QPT_RC);
	rig_connect(r, &b);
	assert_string_equal(named(r, &b), "first:number=4");
	/* What cannot be. */
	assert_int_equal(set(r, 0x123456, &first, 1), -ENOENT);
	assert_int_equal(set(r, ud.qpn, &first, 1), -EPROTONOSUPPORT);
	rig_qp_destroy(r, &a);
	rig_qp_destroy(r, &b);
	rig_qp_destroy(r, &late);
	rig_qp_destroy(r, &ud);
	rig_destroy(r);
}

static void rules_are_bounded(void **state)
{
	struct rig *r = begin();
	struct fns_engine_cc_who who = {.ifindex = 1};
	struct fns_cc_choice c = chosen(&second, 1);

	for (unsigned k = 0; k < 3; k++) /* the same again takes no room */
		for (who.ifindex = 1; who.ifindex <= FNS_CC_RULES; who.ifindex++)
			assert_int_equal(fns_engine_cc_set(r->e, &who, &c, r->now), 0);
	assert_int_equal(fns_engine_cc_set(r->e, &who, &c, r->now), -ENOSPC);
	rig_destroy(r);
}

/* By the application itself: names that are known, and its own queue pairs. */
static void by_control_operation(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {{"dcqcn", 0}, {"swift:target_us=60", 0}, {"", 0}, {"vegas", -ENOENT},
		{"swift:target_us=0", -ENOENT}, {"./file.so", -ENOENT}};
	struct rig *r = begin();
	struct fns_ctl m = {.op = FNS_CTL_QP_SET_CC};
	struct rig_qp qp, ud;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_qp_create(r, &ud, FNS_QPT_UD);
	rig_connect(r, &qp);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(cases); i++) {
		m.handle = qp.qpn;
		snprintf(m.cc.text, sizeof(m.cc.text), "%s", cases[i].text);
		assert_int_equal(rig_ctl(r, &m), cases[i].want);
		assert_true(cases[i].want == 0 || strlen(m.cc.text) > 20); /* why not */
		assert_string_equal(named(r, &qp), i < 1   ? "dcqcn"
						   : i < 2 ? "swift:target_us=60"
							   : "static_window");
	}
	memset(m.cc.text, 'x', sizeof(m.cc.text));
	assert_int_equal(rig_ctl(r, &m), -EINVAL);
	strcpy(m.cc.text, "dcqcn");
	m.handle = ud.qpn;
	assert_int_equal(rig_ctl(r, &m), -EOPNOTSUPP);
	m.handle = 0;
	assert_int_equal(rig_ctl(r, &m), -EINVAL);
	rig_qp_destroy(r, &qp);
	rig_qp_destroy(r, &ud);
	rig_destroy(r);
}

/* More different ones at a time than there are names for. */
static void many_at_a_time(void **state)
{
	struct rig *r = begin();
	struct rig_qp qp[2 * FNS_STATS_CCS];
	unsigned n = FNS_ARRAY_SIZE(qp);

	for (unsigned i = 0; i < n; i++) {
		rig_qp_create(r, &qp[i], FNS_QPT_RC);
		assert_int_equal(set(r, qp[i].qpn, &second, i), 1);
	}
	assert_string_equal(named(r, &qp[0]), "second:number=0");
	assert_string_equal(named(r, &qp[n - 1]), "");
	for (unsigned i = 0; i < n; i++)
		rig_qp_destroy(r, &qp[i]);
	rig_qp_create(r, &qp[0], FNS_QPT_RC);
	assert_int_equal(set(r, qp[0].qpn, &second, 50), 1);
	assert_string_equal(named(r, &qp[0]), "second:number=50");
	rig_qp_destroy(r, &qp[0]);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_flight_is_carried),
		cmocka_unit_test(old_pacing_is_gone),
		cmocka_unit_test(marks_follow),
		cmocka_unit_test(the_right_ones_change),
		cmocka_unit_test(rules_are_bounded),
		cmocka_unit_test(by_control_operation),
		cmocka_unit_test(many_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
