/* SPDX-License-Identifier: Apache-2.0 */
/* RC requester, when things go wrong: NAKs, RNR, timeouts, retry counters
 * (IBTA 9.7.5.2, 9.7.6, 9.9.2). */
#include "conf.h"

static void begin(struct conf *c, uint8_t timeout, uint8_t retry, uint8_t rnr)
{
	conf_new(c, FNS_QPT_RC);
	c->qp.attr.timeout = timeout;
	c->qp.attr.retry_cnt = retry;
	c->qp.attr.rnr_retry = rnr;
	conf_up(c);
}

static void seq_nak(struct conf *c)
{
	const struct rig_packet *p;
	unsigned i;

	begin(c, 14, 7, 7);
	conf_post(c, FNS_WR_SEND, 1, 0, 8);
	conf_post(c, FNS_WR_SEND, 2, 0, 4 * PMTU);
	conf_sent(c, 5);
	rig_inject_aeth(c->r, &c->qp, SQ + 3, NAK(FNS_NAK_PSN_SEQUENCE));
	p = conf_sent(c, 2);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS); /* acknowledged by the NAK */
	for (i = 0; i < 2; i++)
		assert_int_equal(p[i].h.psn, SQ + 3 + i);
	rig_inject_ack(c->r, &c->qp, SQ + 4);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_SUCCESS);
	conf_close(c);
}

static void sent_again_alike(struct conf *c)
{
	static struct rig_packet first[6];
	const struct rig_packet *p;
	unsigned i;

	begin(c, 14, 7, 7);
	rig_fill(c->r, 0, 3 * PMTU, 9);
	conf_post(c, FNS_WR_SEND_IMM, 1, 0, 2 * PMTU + 5);
	conf_post(c, FNS_WR_WRITE, 2, 0, PMTU + 1);
	conf_atomic(c, FNS_WR_CMP_SWAP, 3, 1, 2);
	memcpy(first, conf_sent(c, 6), sizeof(first));
	rig_inject_aeth(c->r, &c->qp, SQ, NAK(FNS_NAK_PSN_SEQUENCE));
	p = conf_sent(c, 6);
	for (i = 0; i < 6; i++) {
		assert_int_equal(p[i].len, first[i].len);
		first[i].data[8] = p[i].data[8]; /* AckReq may differ */
		assert_memory_equal(p[i].data, first[i].data, p[i].len);
	}
	conf_close(c);
}

static void fatal_naks(struct conf *c)
{
	static const struct {
		uint8_t code, status;
	} map[] = {{FNS_NAK_INVALID_REQUEST, FNS_WC_REM_INV_REQ_ERR},
		{FNS_NAK_REMOTE_ACCESS, FNS_WC_REM_ACCESS_ERR},
		{FNS_NAK_REMOTE_OPERATIONAL, FNS_WC_REM_OP_ERR}};
	unsigned i, k;

	for (i = 0; i < FNS_ARRAY_SIZE(map); i++) {
		begin(c, 14, 7, 7);
		rig_post_recv(c->r, &c->qp, 50, 0, 8);
		for (k = 0; k < 4; k++)
			conf_post(c, FNS_WR_SEND, k, 0, 8);
		conf_sent(c, 4);
		rig_inject_aeth(c->r, &c->qp, SQ + 2, NAK(map[i].code));
		conf_silent(c); /* nothing is sent again */
		rig_expect_cqe(&c->qp.cq, 0, FNS_WC_SUCCESS);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
		rig_expect_cqe(&c->qp.cq, 2, map[i].status);
		rig_expect_cqe(&c->qp.cq, 3, FNS_WC_WR_FLUSH_ERR);
		rig_expect_cqe(&c->qp.cq, 50, FNS_WC_WR_FLUSH_ERR);
		assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_ERR);
		conf_close(c);
	}
}

static void rnr_timers(struct conf *c)
{
	/* In units of 10 us, written down once more from the table of 9.7.5.2.8. */
	static const uint32_t units[32] = {65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128,
		192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384,
		24576, 32768, 49152};
	unsigned code;

	for (code = 0; code < 32; code++) {
		uint64_t wait = units[code] * 10000ull;

		begin(c, 14, 7, 7);
		conf_post(c, FNS_WR_SEND, 1, 0, 0);
		conf_sent(c, 1);
		rig_inject_aeth(c->r, &c->qp, SQ, RNR(code));
		rig_run(c->r);
		conf_post(c, FNS_WR_SEND, 2, 0, 0);
		rig_sleep(c->r, wait - 1);
		assert_int_equal(c->r->nsent, 0); /* new work waits too */
		rig_sleep(c->r, 1);
		assert_int_equal(c->r->nsent, 2);
		rig_expect_sent(c->r, 0, FNS_OP_SEND_ONLY, SQ);
		assert_int_equal(rig_count(c->r, FNS_C_rc_timeouts), 0);
		conf_close(c);
	}
}

/* n RNR NAKs for psn, each after the request came again. */
static void rnr(struct conf *c, uint32_t psn, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		rig_inject_aeth(c->r, &c->qp, psn, RNR(1));
		rig_run(c->r);
		rig_expect_no_cqe(&c->qp.cq);
		c->r->nsent = 0;
		rig_sleep(c->r, 10000);
		assert_true(c->r->nsent > 0);
		rig_expect_sent(c->r, 0, FNS_OP_SEND_ONLY, psn);
	}
}

static void rnr_counter(struct conf *c)
{
	unsigned n;

	for (n = 0; n < 7; n++) {
		begin(c, 14, 7, (uint8_t)n);
		conf_post(c, FNS_WR_SEND, 1, 0, 0);
		rnr(c, SQ, n);
		rig_inject_aeth(c->r, &c->qp, SQ, RNR(1));
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_RNR_RETRY_EXC_ERR);
		assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_ERR);
		conf_close(c);
	}
}

static void rnr_for_ever(struct conf *c)
{
	begin(c, 14, 0, 7);
	conf_post(c, FNS_WR_SEND, 1, 0, 0);
	rnr(c, SQ, 100);
	rig_inject_ack(c->r, &c->qp, SQ);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void rnr_reset(struct conf *c)
{
	begin(c, 14, 7, 2);
	conf_post(c, FNS_WR_SEND, 1, 0, 0);
	conf_post(c, FNS_WR_SEND, 2, 0, 0);
	rnr(c, SQ, 2);
	rig_inject_ack(c->r, &c->qp, SQ);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rnr(c, SQ + 1, 2);
	rig_inject_aeth(c->r, &c->qp, SQ + 1, RNR(1));
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_RNR_RETRY_EXC_ERR);
	conf_close(c);
}

static void rnr_acknowledges(struct conf *c)
{
	begin(c, 14, 7, 7);
	conf_post(c, FNS_WR_SEND, 1, 0, 0);
	conf_post(c, FNS_WR_SEND, 2, 0, 0);
	conf_sent(c, 2);
	rig_inject_aeth(c->r, &c->qp, SQ + 1, RNR(1));
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_sleep(c->r, 10000);
	assert_int_equal(c->r->nsent, 1);
	rig_expect_sent(c->r, 0, FNS_OP_SEND_ONLY, SQ + 1);
	conf_close(c);
}

static void ack_timeouts(struct conf *c)
{
	unsigned t;

	for (t = 1; t < 32; t++) {
		/* 4.096 us * 2^t is the least; FlexiNS waits four times that, and 4 ms at least. */
		uint64_t rto = FNS_MAX(4 * (4096ull << t), 4000000ull);

		begin(c, (uint8_t)t, 0, 7);
		conf_post(c, FNS_WR_SEND, 1, 0, 0);
		rig_sleep(c->r, rto - 1);
		rig_expect_no_cqe(&c->qp.cq);
		rig_sleep(c->r, 1);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_RETRY_EXC_ERR);
		conf_close(c);
	}
}

static void ack_timeout_zero(struct conf *c)
{
	begin(c, 0, 0, 7);
	conf_post(c, FNS_WR_SEND, 1, 0, 0);
	rig_sleep(c->r, 24ull * 3600 * FNS_NSEC_PER_SEC);
	rig_expect_no_cqe(&c->qp.cq);
	rig_inject_ack(c->r, &c->qp, SQ);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	conf_close(c);
}

static void retry_counter(struct conf *c)
{
	const uint64_t rto = 4 * (4096ull << 8);
	unsigned n;

	for (n = 0; n < 8; n++) {
		begin(c, 8, (uint8_t)n, 7);
		conf_post(c, FNS_WR_SEND, 1, 0, 0);
		conf_post(c, FNS_WR_SEND, 2, 0, 0);
		rig_sleep(c->r, (n + 1) * rto - 1);
		rig_expect_no_cqe(&c->qp.cq);
		assert_int_equal(rig_count(c->r, FNS_C_rc_timeouts), n);
		rig_sleep(c->r, 1);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_RETRY_EXC_ERR);
		rig_expect_cqe(&c->qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
		conf_close(c);
	}
}

static void retry_counter_naks(struct conf *c)
{
	unsigned n, i;

	for (n = 0; n < 8; n++) {
		begin(c, 14, (uint8_t)n, 7);
		conf_post(c, FNS_WR_SEND, 1, 0, 0);
		for (i = 0; i < n; i++) {
			rig_inject_aeth(c->r, &c->qp, SQ, NAK(FNS_NAK_PSN_SEQUENCE));
			rig_settle(c->r);
			rig_expect_no_cqe(&c->qp.cq);
		}
		assert_int_equal(c->r->nsent, n + 1);
		rig_inject_aeth(c->r, &c->qp, SQ, NAK(FNS_NAK_PSN_SEQUENCE));
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_RETRY_EXC_ERR);
		conf_close(c);
	}
}

static void retry_reset(struct conf *c)
{
	const uint64_t rto = 4 * (4096ull << 8);
	unsigned i;

	begin(c, 8, 2, 7);
	for (i = 0; i < 6; i++)
		conf_post(c, FNS_WR_SEND, i, 0, 0);
	for (i = 0; i < 5; i++) { /* two timeouts, then one gets through */
		rig_sleep(c->r, 2 * rto);
		rig_expect_no_cqe(&c->qp.cq);
		rig_inject_ack(c->r, &c->qp, SQ + i);
		rig_run(c->r);
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_SUCCESS);
	}
	rig_sleep(c->r, 3 * rto - 1);
	rig_expect_no_cqe(&c->qp.cq);
	rig_sleep(c->r, 1);
	rig_expect_cqe(&c->qp.cq, 5, FNS_WC_RETRY_EXC_ERR);
	conf_close(c);
}

static void timeout_from_oldest(struct conf *c)
{
	unsigned i;

	begin(c, 8, 7, 7);
	for (i = 0; i < 4; i++)
		conf_post(c, FNS_WR_SEND, i, 0, 0);
	rig_inject_ack(c->r, &c->qp, SQ);
	rig_run(c->r);
	rig_sleep(c->r, 4 * (4096ull << 8) - 1);
	c->r->nsent = 0;
	rig_sleep(c->r, 1);
	assert_int_equal(c->r->nsent, 3);
	for (i = 0; i < 3; i++)
		rig_expect_sent(c->r, i, FNS_OP_SEND_ONLY, SQ + 1 + i);
	conf_close(c);
}

static void implied_nak_by_ack(struct conf *c)
{
	const struct rig_packet *p;
	unsigned i;

	for (i = 0; i < 2; i++) { /* READ, atomic */
		begin(c, 14, 7, 7);
		if (i)
			conf_atomic(c, FNS_WR_FETCH_ADD, 1, 0, 1);
		else
			conf_post(c, FNS_WR_READ, 1, 0, 8);
		conf_post(c, FNS_WR_SEND, 2, 64, 8);
		conf_sent(c, 2);
		rig_inject_ack(c->r, &c->qp, SQ + 1);
		p = conf_sent(c, 2);
		assert_int_equal(p[0].h.psn, SQ);
		assert_int_equal(p[1].h.psn, SQ + 1);
		rig_expect_no_cqe(&c->qp.cq);
		rig_inject_ack(c->r, &c->qp, SQ + 1);
		conf_silent(c); /* once until there is progress */
		if (i)
			conf_orig(c, SQ, 5);
		else
			conf_resp(c, FNS_OP_READ_RESP_ONLY, SQ, conf_data, 8);
		rig_inject_ack(c->r, &c->qp, SQ + 1);
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
		rig_expect_cqe(&c->qp.cq, 2, FNS_WC_SUCCESS);
		conf_close(c);
	}
}

static void implied_nak_by_response(struct conf *c)
{
	const struct rig_packet *p;

	begin(c, 14, 7, 7);
	conf_post(c, FNS_WR_READ, 1, 0, 8);
	conf_post(c, FNS_WR_READ, 2, 64, 8);
	conf_sent(c, 2);
	conf_resp(c, FNS_OP_READ_RESP_ONLY, SQ + 1, conf_data, 8);
	p = conf_sent(c, 2);
	assert_int_equal(p[0].h.psn, SQ);
	assert_int_equal(p[1].h.psn, SQ + 1);
	rig_expect_no_cqe(&c->qp.cq);
	assert_int_equal(c->r->mem[64], 0);
	conf_close(c);
}

static void response_acknowledges(struct conf *c)
{
	begin(c, 14, 7, 7);
	conf_post(c, FNS_WR_SEND, 1, 64, 8);
	conf_post(c, FNS_WR_READ, 2, 0, 8);
	conf_post(c, FNS_WR_SEND, 3, 64, 8);
	conf_resp(c, FNS_OP_READ_RESP_ONLY, SQ + 1, conf_data, 8);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_cqe(&c->qp.cq, 2, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static void late_ack(struct conf *c)
{
	begin(c, 14, 7, 7);
	conf_post(c, FNS_WR_SEND, 1, 0, 4 * PMTU);
	conf_sent(c, 4);
	c->r->room = 0;
	rig_inject_aeth(c->r, &c->qp, SQ + 1, NAK(FNS_NAK_PSN_SEQUENCE));
	rig_run(c->r);
	rig_inject_ack(c->r, &c->qp, SQ + 3); /* it had arrived after all */
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	c->r->room = UINT32_MAX;
	rig_step(c->r, 100000);
	rig_settle(c->r);
	c->r->nsent = 0;
	conf_post(c, FNS_WR_SEND, 2, 0, 0);
	assert_int_equal(conf_sent(c, 1)->h.psn, SQ + 4);
	conf_close(c);
}

static void tail_probe(struct conf *c)
{
	unsigned i;

	begin(c, 14, 0, 7);
	conf_post(c, FNS_WR_SEND, 1, 0, 2 * PMTU);
	conf_post(c, FNS_WR_SEND, 2, 0, 0); /* far payload could not be had at once */
	conf_sent(c, 3);
	rig_sleep(c->r, 200000000); /* before the timeout of 268 ms */
	assert_int_equal(c->r->nsent, 3);
	for (i = 0; i < 3; i++) {
		const struct rig_packet *p = rig_expect_sent(c->r, i, FNS_OP_SEND_ONLY, SQ + 2);

		assert_true(p->h.ack_req);
	}
	assert_int_equal(rig_count(c->r, FNS_C_rc_timeouts), 0);
	rig_expect_no_cqe(&c->qp.cq); /* no retry was spent: there is none */
	conf_close(c);
}

static void flush_order(struct conf *c)
{
	unsigned i;

	begin(c, 14, 7, 7);
	for (i = 0; i < 4; i++) {
		rig_post_data(c->r, &c->qp, FNS_WR_SEND, i, 0, 0, 8);
		rig_post_recv(c->r, &c->qp, 10 + i, 0, 8);
	}
	rig_settle(c->r);
	assert_int_equal(rig_modify(c->r, &c->qp, FNS_QPS_ERR, FNS_QPA_STATE), 0);
	rig_settle(c->r);
	for (i = 0; i < 4; i++)
		rig_expect_cqe(&c->qp.cq, i, FNS_WC_WR_FLUSH_ERR);
	for (i = 0; i < 4; i++)
		rig_expect_cqe(&c->qp.cq, 10 + i, FNS_WC_WR_FLUSH_ERR);
	rig_inject_ack(c->r, &c->qp, SQ + 3);
	rig_settle(c->r);
	rig_post_data(c->r, &c->qp, FNS_WR_SEND, 30, 0, 0, 8);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 30, FNS_WC_WR_FLUSH_ERR);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static const struct conf_rule rules[] = {
	{"C9-rec-seq-nak", "9.7.5.2",
		"a sequence NAK acknowledges what is before its PSN and sends again from there",
		seq_nak},
	{"C9-rec-alike", "9.7.3", "what is sent again is the same: opcode, PSN, headers, payload",
		sent_again_alike},
	{"C9-rec-nak-fatal", "9.9.2",
		"invalid request, remote access, remote operational: the work at the NAK's PSN fails so, the rest is flushed",
		fatal_naks},
	{"C9-rec-rnr-timer", "9.7.5.2.8",
		"after an RNR NAK nothing is sent before its timer, all 32 codes to the nanosecond",
		rnr_timers},
	{"C9-rec-rnr-count", "9.7.5.2.8",
		"RNR retry count 0 to 6: so many retries, then RNR retry exceeded", rnr_counter},
	{"C9-rec-rnr-ever", "9.7.5.2.8", "RNR retry count 7 retries for ever", rnr_for_ever},
	{"C9-rec-rnr-reset", "9.7.5.2.8", "progress gives the RNR retries back", rnr_reset},
	{"C9-rec-rnr-acks", "9.7.5.2.8", "an RNR NAK acknowledges what is before its PSN",
		rnr_acknowledges},
	{"C9-rec-timeout", "9.7.6.1.3",
		"local ACK timeout 1 to 31: not before 4.096 us * 2^t, at four times that, 4 ms at least",
		ack_timeouts},
	{"C9-rec-timeout-zero", "9.7.6.1.3", "local ACK timeout 0 is never", ack_timeout_zero},
	{"C9-rec-retry-count", "9.7.6.1.3",
		"retry count 0 to 7: so many timeouts are survived, then retry exceeded",
		retry_counter},
	{"C9-rec-retry-naks", "9.7.6.1.3", "sequence NAKs spend the same retries",
		retry_counter_naks},
	{"C9-rec-retry-reset", "9.7.6.1.3", "progress gives the retries back", retry_reset},
	{"C9-rec-timeout-from", "9.7.6.1.3",
		"a timeout sends again from the oldest PSN not acknowledged", timeout_from_oldest},
	{"C9-rec-implied-ack", "9.7.5.1.1" MEM,
		"an ACK past a READ or atomic whose response is missing is an implied NAK for it",
		implied_nak_by_ack},
	{"C9-rec-implied-resp", "9.7.5.1.1" MEM, "so is the response to a later READ",
		implied_nak_by_response},
	{"C9-rec-resp-acks", "9.7.5.1.2", "a READ response acknowledges what is before it",
		response_acknowledges},
	{"C9-rec-late-ack", "9.7.6",
		"an ACK that comes while going back is good; sending goes on after it", late_ack},
	{"C9-rec-probe", "9.7.6",
		"the tail probe is the last packet again with AckReq, and spends no retry (FlexiNS's choice)",
		tail_probe},
	{"C9-rec-flush", "10.3.1",
		"in ERR all work is flushed in order, later posts too; late responses are dropped",
		flush_order},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
