/* SPDX-License-Identifier: Apache-2.0 */
/* RC requester when things go wrong: gaps, missing responses, receivers not ready, silence. Time is
 * virtual and exact. */
#include "rig.h"

#include <string.h>

#define PMTU 1024u

struct one {
	struct rig *r;
	struct rig_qp qp;
};

static void one_begin(struct one *o, uint8_t timeout, uint8_t retry, uint8_t rnr_retry)
{
	o->r = rig_create(NULL);
	rig_qp_create(o->r, &o->qp, FNS_QPT_RC);
	o->qp.attr.timeout = timeout;
	o->qp.attr.retry_cnt = retry;
	o->qp.attr.rnr_retry = rnr_retry;
	rig_connect(o->r, &o->qp);
}

static void one_end(struct one *o)
{
	rig_qp_destroy(o->r, &o->qp);
	rig_destroy(o->r);
}

static void sequence_nak_goes_back(void **state)
{
	struct one o;
	uint64_t referenced;
	unsigned i;

	one_begin(&o, 14, 7, 7);
	rig_fill(o.r, 0, 10 * PMTU, 7);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 3 * PMTU);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 4 * PMTU);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 7);
	referenced = rig_count(o.r, FNS_C_tx_payload_referenced);
	assert_int_equal(referenced, 7 * PMTU);
	o.r->nsent = 0;
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 4, FNS_AETH_NAK);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS); /* the NAK acknowledges what is before */
	assert_int_equal(o.r->nsent, 3);
	rig_expect_sent(o.r, 0, FNS_OP_SEND_MIDDLE, RIG_SQ_PSN + 4);
	rig_expect_sent(o.r, 1, FNS_OP_SEND_MIDDLE, RIG_SQ_PSN + 5);
	rig_expect_sent(o.r, 2, FNS_OP_SEND_LAST, RIG_SQ_PSN + 6);
	for (i = 0; i < 3; i++)
		assert_memory_equal(o.r->sent[i].h.payload, o.r->mem + (i + 1) * PMTU, PMTU);
	/* A second time over memory that changes would fail like the first: staged. */
	assert_int_equal(rig_count(o.r, FNS_C_tx_payload_referenced), referenced);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_again), 3 * PMTU);
	assert_int_equal(rig_count(o.r, FNS_C_rc_retransmits), 3);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 6);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 2, FNS_WC_SUCCESS);
	assert_int_equal(rig_inner(o.r, &o.qp)->peer->inflight, 0);
	one_end(&o);
}

/* The acknowledgement of packets sent before going back may still arrive: what it covers is not
 * sent again. */
static void late_ack_overtakes(void **state)
{
	struct one o;

	one_begin(&o, 14, 7, 7);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 6 * PMTU);
	rig_run(o.r);
	o.r->nsent = 0;
	o.r->room = 0; /* nothing leaves for the moment */
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 1, FNS_AETH_NAK);
	rig_run(o.r);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 5);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	o.r->room = UINT32_MAX;
	rig_step(o.r, 1000000);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 10);
	o.r->nsent = 0;
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 1);
	rig_expect_sent(o.r, 0, FNS_OP_SEND_ONLY, RIG_SQ_PSN + 6);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 6);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 2, FNS_WC_SUCCESS);
	assert_int_equal(rig_inner(o.r, &o.qp)->peer->inflight, 0);
	one_end(&o);
}

/* Sequence NAKs spend retries too; progress gives them back. */
static void sequence_naks_exhaust_retries(void **state)
{
	struct one o;
	unsigned i;

	one_begin(&o, 14, 3, 7);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 4 * PMTU);
	rig_run(o.r);
	for (i = 0; i < 3; i++) {
		rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN, FNS_AETH_NAK);
		rig_step(o.r, 1000);
		rig_expect_no_cqe(&o.qp.cq);
	}
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN); /* one packet further: three more */
	rig_run(o.r);
	for (i = 0; i < 3; i++) {
		rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 1, FNS_AETH_NAK);
		rig_step(o.r, 1000);
		rig_expect_no_cqe(&o.qp.cq);
	}
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 1, FNS_AETH_NAK);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_RETRY_EXC_ERR);
	one_end(&o);
}

static void implied_nak(void **state)
{
	struct one o;
	uint8_t data[16] = {1, 2, 3};

	one_begin(&o, 14, 7, 7);
	rig_post_data(o.r, &o.qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 16);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 64, 16);
	rig_run(o.r);
	o.r->nsent = 0;
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 1); /* of the SEND: the READ's response is lost */
	rig_run(o.r);
	rig_expect_no_cqe(&o.qp.cq);
	assert_int_equal(rig_count(o.r, FNS_C_rc_implied_naks), 1);
	assert_int_equal(o.r->nsent, 2);
	rig_expect_sent(o.r, 0, FNS_OP_READ_REQUEST, RIG_SQ_PSN);
	rig_expect_sent(o.r, 1, FNS_OP_SEND_ONLY, RIG_SQ_PSN + 1);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 1); /* once until there is progress */
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 2);
	rig_inject(o.r, rig_hdr(&o.qp, FNS_OP_READ_RESP_ONLY, RIG_SQ_PSN), data, 16);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 1);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_cqe(&o.qp.cq, 2, FNS_WC_SUCCESS);
	assert_memory_equal(o.r->mem, data, 16);
	one_end(&o);
}

static void rnr_timer_is_honoured(void **state)
{
	static const uint8_t codes[] = {1, 12, 20, 31, 0};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(codes); i++) {
		struct one o;
		uint64_t wait = fns_rnr_timer_ns(codes[i]);

		one_begin(&o, 14, 7, 7);
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 2 * PMTU);
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 10);
		rig_run(o.r);
		o.r->nsent = 0;
		rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN, (uint8_t)(FNS_AETH_RNR | codes[i]));
		rig_run(o.r);
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, 3, 0, 0, 10);
		rig_sleep(o.r, wait - 1);
		assert_int_equal(o.r->nsent, 0); /* silent, new work included */
		rig_sleep(o.r, 1);
		assert_int_equal(o.r->nsent, 4);
		rig_expect_sent(o.r, 0, FNS_OP_SEND_FIRST, RIG_SQ_PSN);
		assert_int_equal(rig_count(o.r, FNS_C_rc_timeouts), 0);
		rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 3);
		rig_run(o.r);
		rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
		rig_expect_cqe(&o.qp.cq, 2, FNS_WC_SUCCESS);
		one_end(&o);
	}
}

/* n RNR NAKs for PSN psn, each after the retransmission. */
static void rnr(struct one *o, uint32_t psn, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		rig_inject_aeth(o->r, &o->qp, psn, FNS_AETH_RNR | 1);
		rig_run(o->r);
		rig_expect_no_cqe(&o->qp.cq);
		o->r->nsent = 0;
		rig_sleep(o->r, fns_rnr_timer_ns(1));
		assert_true(o->r->nsent > 0);
		rig_expect_sent(o->r, 0, o->r->sent[0].h.opcode, psn);
	}
}

static void rnr_retries(void **state)
{
	struct one o;

	one_begin(&o, 14, 7, 2);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 10);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 10);
	rig_run(o.r);
	rnr(&o, RIG_SQ_PSN, 2);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN); /* progress: two more for the next */
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	rnr(&o, RIG_SQ_PSN + 1, 2);
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 1, FNS_AETH_RNR | 1);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 2, FNS_WC_RNR_RETRY_EXC_ERR);
	assert_int_equal(rig_state(o.r, &o.qp), FNS_QPS_ERR);
	one_end(&o);
	one_begin(&o, 14, 7, 0);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 10);
	rig_run(o.r);
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN, FNS_AETH_RNR | 1);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_RNR_RETRY_EXC_ERR);
	one_end(&o);
	one_begin(&o, 14, 7, 7); /* for ever */
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 10);
	rig_run(o.r);
	rnr(&o, RIG_SQ_PSN, 50);
	one_end(&o);
}

/* Fails after retry_cnt + 1 timeouts, each 4.096 us x 2^t, fourfold, and 4 ms at least; not a
 * nanosecond before. */
static void timeouts_exhaust_retries(void **state)
{
	static const struct {
		uint8_t timeout, retry;
		uint64_t rto;
	} t[] = {{8, 0, 4 * (4096ull << 8)}, {8, 3, 4 * (4096ull << 8)},
		{14, 7, 4 * (4096ull << 14)}, {1, 2, 4000000}};
	unsigned i;

	for (i = 0; i < FNS_ARRAY_SIZE(t); i++) {
		struct one o;

		one_begin(&o, t[i].timeout, t[i].retry, 7);
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, 0, 0, 10);
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, 0, 0, 10);
		rig_run(o.r);
		rig_sleep(o.r, (t[i].retry + 1u) * t[i].rto - 1);
		rig_expect_no_cqe(&o.qp.cq);
		assert_int_equal(rig_count(o.r, FNS_C_rc_timeouts), t[i].retry);
		rig_sleep(o.r, 1);
		rig_expect_cqe(&o.qp.cq, 1, FNS_WC_RETRY_EXC_ERR);
		rig_expect_cqe(&o.qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
		assert_int_equal(fns_engine_next(o.r->e), UINT64_MAX); /* no timer is left */
		one_end(&o);
	}
}

static void timeout_zero_is_never(void **state)
{
	struct one o;

	one_begin(&o, 0, 0, 7);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, 0, 0, 10);
	rig_run(o.r);
	rig_sleep(o.r, 3600 * FNS_NSEC_PER_SEC);
	rig_expect_no_cqe(&o.qp.cq);
	assert_int_equal(rig_count(o.r, FNS_C_rc_timeouts), 0);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN);
	rig_run(o.r);
	assert_int_equal(rig_inner(o.r, &o.qp)->sq.head, 1);
	one_end(&o);
}

static void progress_resets_retries(void **state)
{
	struct one o;
	const uint64_t rto = 4 * (4096ull << 8);
	unsigned i;

	one_begin(&o, 8, 2, 7);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	rig_run(o.r);
	for (i = 0; i < 7; i++) { /* twice the timeout, then one packet gets through */
		rig_sleep(o.r, 2 * rto);
		assert_int_equal(rig_count(o.r, FNS_C_rc_timeouts), 2 * (i + 1));
		rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + i);
		rig_run(o.r);
		rig_expect_no_cqe(&o.qp.cq);
	}
	rig_sleep(o.r, 3 * rto - 1);
	rig_expect_no_cqe(&o.qp.cq);
	rig_sleep(o.r, 1);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_RETRY_EXC_ERR);
	one_end(&o);
}

/* The last packet alone, three times, before the timeout: it asks the responder where it stands. */
static void tail_probes(void **state)
{
	struct one o;
	unsigned i;

	one_begin(&o, 14, 7, 7);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 3 * PMTU);
	rig_run(o.r);
	o.r->nsent = 0;
	rig_sleep(o.r, 1000000 - 1);
	assert_int_equal(o.r->nsent, 0);
	rig_sleep(o.r, 100000001);
	assert_int_equal(o.r->nsent, 3);
	for (i = 0; i < 3; i++) {
		rig_expect_sent(o.r, i, FNS_OP_SEND_LAST, RIG_SQ_PSN + 2);
		assert_true(o.r->sent[i].h.ack_req);
	}
	assert_int_equal(rig_count(o.r, FNS_C_rc_timeouts), 0);
	assert_int_equal(rig_count(o.r, FNS_C_rc_probes), 3);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 2);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	one_end(&o);
}

/* The wire takes frames only now and then: nothing is lost, nothing out of order. */
static void blocked_wire(void **state)
{
	struct one o;
	unsigned i;

	one_begin(&o, 14, 7, 7);
	rig_fill(o.r, 0, 40 * PMTU, 1);
	o.r->room = 3;
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 40 * PMTU);
	rig_run(o.r);
	while (o.r->nsent < 40) {
		i = o.r->nsent;
		o.r->room = 1 + i % 5;
		rig_step(o.r, 20000);
		assert_true(o.r->nsent > i);
	}
	for (i = 0; i < 40; i++) {
		assert_int_equal(o.r->sent[i].h.psn, RIG_SQ_PSN + i);
		assert_memory_equal(o.r->sent[i].h.payload, o.r->mem + i * PMTU, PMTU);
	}
	assert_int_equal(rig_count(o.r, FNS_C_rc_retransmits), 0);
	o.r->room = UINT32_MAX;
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 39);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	one_end(&o);
}

/* An error completes what is outstanding in order: sends, then receives. */
static void flush_order(void **state)
{
	struct one o;
	unsigned i;

	one_begin(&o, 14, 7, 7);
	for (i = 0; i < 5; i++) {
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, i, 0, 0, 10);
		rig_post_recv(o.r, &o.qp, 100 + i, 0, 10);
	}
	rig_run(o.r);
	assert_int_equal(rig_modify(o.r, &o.qp, FNS_QPS_ERR, FNS_QPA_STATE), 0);
	for (i = 0; i < 5; i++)
		rig_expect_cqe(&o.qp.cq, i, FNS_WC_WR_FLUSH_ERR);
	for (i = 0; i < 5; i++)
		rig_expect_cqe(&o.qp.cq, 100 + i, FNS_WC_WR_FLUSH_ERR);
	rig_expect_no_cqe(&o.qp.cq);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 4); /* too late */
	rig_run(o.r);
	rig_expect_no_cqe(&o.qp.cq);
	assert_int_equal(rig_count(o.r, FNS_C_drop_qp_state), 1);
	one_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequence_nak_goes_back),
		cmocka_unit_test(late_ack_overtakes),
		cmocka_unit_test(sequence_naks_exhaust_retries),
		cmocka_unit_test(implied_nak),
		cmocka_unit_test(rnr_timer_is_honoured),
		cmocka_unit_test(rnr_retries),
		cmocka_unit_test(timeouts_exhaust_retries),
		cmocka_unit_test(timeout_zero_is_never),
		cmocka_unit_test(progress_resets_retries),
		cmocka_unit_test(tail_probes),
		cmocka_unit_test(blocked_wire),
		cmocka_unit_test(flush_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
