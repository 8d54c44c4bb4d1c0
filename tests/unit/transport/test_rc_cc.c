/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reliable connection and its congestion control: which events come, that window, rate and timer
 * are obeyed to the byte and the nanosecond, and that nonsense changes nothing but a counter.
 */
#include "one.h"

#include <string.h>

#define PACKET (12u + 16 + PMTU + 4 + 66) /* of a WRITE ONLY, as rates count */

/* An algorithm that says what the test says, and keeps what it was told. */
static struct {
	struct fns_cc_out out;
	bool set; /* out is to be told */
	unsigned n[FNS_CC_EVENTS];
	struct fns_cc_event last[FNS_CC_EVENTS];
} told;

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	told.n[ev->type]++;
	told.last[ev->type] = *ev;
	if (told.set)
		*out = told.out;
	told.set = false;
	ctx->state[0] = ctx->param[0];
}

static const struct fns_cc_param params[] = {{"number", "n", "a number", 7, 0, 9}};

#define ALL (FNS_CC_ON(FNS_CC_EVENTS) - 1)
#define OPS(mask)                                                                                  \
	{                                                                                          \
		.abi = FNS_CC_ABI, .size = sizeof(struct fns_cc_ops), .name = "test", .text = "",  \
		.events = mask, .nparams = 1, .params = params, .on_event = on_event               \
	}
static const struct fns_cc_ops deaf = OPS(ALL & ~FNS_CC_ON(FNS_CC_SENT)), nosy = OPS(ALL);

static void tell(uint64_t window, uint64_t rate, uint64_t timer)
{
	told.out = (struct fns_cc_out){.window_bytes = window, .rate_bps = rate, .timer_ns = timer};
	told.set = true;
}

static struct one *begin(const struct fns_cc_ops *ops, uint64_t window, uint64_t rate)
{
	static struct fns_cc_choice c;
	struct rig_opts o = {.peer_budget = 4u << 20, .cc = &c};

	assert_null(fns_cc_ops_fault(ops));
	fns_cc_default(ops, &c);
	memset(&told, 0, sizeof(told));
	tell(window, rate, FNS_CC_NEVER);
	return one_begin(FNS_QPT_RC, &o);
}

static void post(struct one *o, uint32_t packets)
{
	rig_post_data(o->r, &o->qp, FNS_WR_WRITE, 1, FNS_WRF_SIGNALED, 0, packets * PMTU);
}

static void events_come_with_their_numbers(void **state)
{
	struct one *o = begin(&nosy, 3 * PMTU, FNS_CC_UNLIMITED);

	assert_int_equal(told.n[FNS_CC_INIT], 1);
	assert_int_equal(told.last[FNS_CC_INIT].mtu_bytes, PMTU);
	assert_int_equal(rig_inner(o->r, &o->qp)->cc_ctx.state[0], 7);
	post(o, 4);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 3); /* the window */
	assert_int_equal(told.n[FNS_CC_SENT], 3);
	assert_int_equal(told.last[FNS_CC_SENT].bytes, PACKET);
	assert_int_equal(told.last[FNS_CC_SENT].inflight, 3 * PMTU);
	rig_step(o->r, 5000);
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN + 1);
	rig_run(o->r);
	assert_int_equal(told.n[FNS_CC_ACK], 1);
	assert_int_equal(told.last[FNS_CC_ACK].bytes, 2 * PMTU);
	assert_int_equal(told.last[FNS_CC_ACK].inflight, PMTU);
	assert_int_equal(told.last[FNS_CC_ACK].now_ns, o->r->now);
	assert_int_equal(o->r->nsent, 4);
	rig_inject_aeth(o->r, &o->qp, RIG_SQ_PSN + 2, FNS_AETH_NAK | FNS_NAK_PSN_SEQUENCE);
	rig_run(o->r);
	assert_int_equal(told.n[FNS_CC_LOSS], 1);
	assert_int_equal(told.n[FNS_CC_TIMEOUT], 0);
	rig_sleep(o->r, 400 * FNS_NSEC_PER_MSEC);
	assert_true(told.n[FNS_CC_TIMEOUT] > 0);
	assert_int_equal(told.n[FNS_CC_TIMER], 0);
	one_end(o);
	o = begin(&deaf, UINT64_MAX, 1000000000);
	post(o, 4);
	rig_sleep(o->r, 100000);
	assert_int_equal(o->r->nsent, 4);
	assert_int_equal(told.n[FNS_CC_SENT], 0);
	one_end(o);
}

/* The nth packet leaves when those before it have taken their time, to the nanosecond. */
static void the_rate_is_exact(void **state)
{
	static const uint64_t rates[] = {1000000000, 3000000000, 7000000000, 99999999999};
	unsigned i, n;

	for (i = 0; i < 4; i++) {
		struct one *o = begin(&deaf, UINT64_MAX, rates[i]);
		uint64_t start = o->r->now, due;

		post(o, 250);
		rig_run(o->r);
		assert_int_equal(o->r->nsent, 1);
		for (n = 1; n < 250; n++) {
			due = start + n * (PACKET * 8 * FNS_NSEC_PER_SEC) / rates[i];
			rig_sleep(o->r, due - 1 - o->r->now);
			assert_int_equal(o->r->nsent, n);
			rig_sleep(o->r, 1);
			assert_int_equal(o->r->nsent, n + 1);
		}
		one_end(o);
	}
}

static void lateness_is_caught_up_with_idleness_is_not(void **state)
{
	struct one *o = begin(&deaf, UINT64_MAX, PACKET * 8 * 1000000ull); /* one a us */

	post(o, 100);
	rig_run(o->r);
	rig_step(o->r, 10000); /* nobody ran the engine */
	assert_int_equal(o->r->nsent, 11);
	rig_step(o->r, 50000); /* 20 us and no more */
	assert_int_equal(o->r->nsent, 11 + 21);
	rig_sleep(o->r, 200000);
	assert_int_equal(o->r->nsent, 100);
	post(o, 5);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 101);
	one_end(o);
}

/* A wait that began under a low rate goes on under the new one. */
static void a_new_rate_holds_at_once(void **state)
{
	struct one *o = begin(&deaf, UINT64_MAX, PACKET * 8 * 10000ull); /* 100 us each */

	post(o, 3);
	rig_run(o->r);
	rig_step(o->r, 50000);
	assert_int_equal(o->r->nsent, 1);
	tell(UINT64_MAX, PACKET * 8 * 100000ull, FNS_CC_NEVER); /* 10 us each: 5 of 50 are left */
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN);
	rig_step(o->r, 0);
	rig_sleep(o->r, 4999);
	assert_int_equal(o->r->nsent, 1);
	rig_sleep(o->r, 1);
	assert_int_equal(o->r->nsent, 2);
	tell(UINT64_MAX, FNS_CC_UNLIMITED, FNS_CC_NEVER);
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN + 1);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 3);
	one_end(o);
}

static void the_timer_comes_in_time_and_once(void **state)
{
	struct one *o = begin(&deaf, PMTU, FNS_CC_UNLIMITED);
	uint64_t at = o->r->now + 300000;

	tell(PMTU, FNS_CC_UNLIMITED, at);
	post(o, 4);
	rig_run(o->r);
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 2);
	assert_int_equal(fns_engine_next(o->r->e), at);
	tell(2 * PMTU, FNS_CC_UNLIMITED, FNS_CC_NEVER);
	rig_sleep(o->r, 299999);
	assert_int_equal(told.n[FNS_CC_TIMER], 0);
	rig_sleep(o->r, 1);
	assert_int_equal(told.n[FNS_CC_TIMER], 1);
	assert_int_equal(told.last[FNS_CC_TIMER].now_ns, at);
	assert_int_equal(o->r->nsent, 3); /* a wider window is used without an acknowledgement */
	rig_sleep(o->r, 300000);
	assert_int_equal(told.n[FNS_CC_TIMER], 1);
	one_end(o);
}

static void nonsense_is_counted_and_changes_nothing(void **state)
{
	struct one *o = begin(&deaf, 5 * PMTU, 2000000000);
	struct fns_qp *qp = rig_inner(o->r, &o->qp);

	post(o, 20);
	rig_run(o->r);
	tell(0, 0, 1);
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN);
	rig_run(o->r);
	assert_int_equal(rig_count(o->r, FNS_C_cc_refused), 3);
	assert_int_equal(qp->cc_out.window_bytes, 5 * PMTU);
	assert_int_equal(qp->cc_out.rate_bps, 2000000000);
	assert_int_equal(qp->cc_out.timer_ns, o->r->now + FNS_CC_TIMER_MIN_NS);
	rig_sleep(o->r, FNS_CC_TIMER_MIN_NS);
	assert_int_equal(told.n[FNS_CC_TIMER], 1);
	rig_sleep(o->r, 100000);
	assert_int_equal(o->r->nsent, 6);
	one_end(o);
}

/* --- congestion notifications (A17.9) --- */

static void marked_write(struct one *o, uint32_t psn, uint8_t ecn)
{
	o->r->ecn = ecn;
	rig_inject(o->r, rig_hdr_rdma(o->r, &o->qp, FNS_OP_WRITE_ONLY, psn, 0, 8), o->data, 8);
	rig_run(o->r);
	o->r->ecn = 0;
}

static void marks_are_reported_now_and_then(void **state)
{
	static const struct rig_opts opts = {.cnp_ns = 50000};
	struct one *o = one_begin(FNS_QPT_RC, &opts);
	const struct rig_packet *p;
	uint32_t i;

	for (i = 0; i < 3; i++) /* not ECT, ECT(1), ECT(0) */
		marked_write(o, RIG_RQ_PSN + i, (uint8_t)i);
	assert_int_equal(rig_count(o->r, FNS_C_cnps_sent), 0);
	o->r->nsent = 0;
	marked_write(o, RIG_RQ_PSN + 3, FNS_ECN_CE);
	p = &o->r->sent[0];
	assert_int_equal(p->h.opcode, FNS_OP_CNP);
	assert_int_equal(p->len, 28); /* the rig cuts the ICRC off */
	assert_int_equal(p->h.dest_qp, RIG_PEER_QPN);
	assert_true(p->h.becn && !p->h.fecn && !p->h.ack_req && !p->h.solicited);
	assert_int_equal(p->h.psn, 0);
	for (i = 12; i < 28; i++)
		assert_int_equal(p->data[i], 0);
	for (i = 4; i < 10; i++)
		marked_write(o, RIG_RQ_PSN + i, FNS_ECN_CE);
	assert_int_equal(rig_count(o->r, FNS_C_cnps_sent), 1);
	rig_step(o->r, 49999);
	marked_write(o, RIG_RQ_PSN + 10, FNS_ECN_CE);
	assert_int_equal(rig_count(o->r, FNS_C_cnps_sent), 1);
	rig_step(o->r, 1);
	marked_write(o, RIG_RQ_PSN + 11, FNS_ECN_CE);
	assert_int_equal(rig_count(o->r, FNS_C_cnps_sent), 2);
	one_end(o);
	o = one_begin(FNS_QPT_RC, NULL); /* an engine that sends none */
	marked_write(o, RIG_RQ_PSN, FNS_ECN_CE);
	assert_int_equal(rig_count(o->r, FNS_C_cnps_sent), 0);
	one_end(o);
}

static void a_notification_is_an_event(void **state)
{
	struct one *o = begin(&deaf, UINT64_MAX, FNS_CC_UNLIMITED);

	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_CNP, 0), NULL, 0);
	rig_run(o->r);
	assert_int_equal(told.n[FNS_CC_CNP], 1);
	assert_int_equal(rig_count(o->r, FNS_C_cnps_received), 1);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_RTS);
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_CNP, 0), o->data, 4); /* no payload in a CNP */
	rig_run(o->r);
	assert_int_equal(told.n[FNS_CC_CNP], 1);
	assert_int_equal(rig_count(o->r, FNS_C_drop_header), 1);
	one_end(o);
	o = one_begin(FNS_QPT_UC, NULL);
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_CNP, 0), NULL, 0);
	rig_run(o->r);
	assert_int_equal(rig_count(o->r, FNS_C_drop_qp_type), 1);
	one_end(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_with_their_numbers),
		cmocka_unit_test(the_rate_is_exact),
		cmocka_unit_test(lateness_is_caught_up_with_idleness_is_not),
		cmocka_unit_test(a_new_rate_holds_at_once),
		cmocka_unit_test(the_timer_comes_in_time_and_once),
		cmocka_unit_test(nonsense_is_counted_and_changes_nothing),
		cmocka_unit_test(marks_are_reported_now_and_then),
		cmocka_unit_test(a_notification_is_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
