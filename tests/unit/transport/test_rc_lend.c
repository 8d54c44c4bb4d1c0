/* SPDX-License-Identifier: Apache-2.0 */
/* RC: payload that is lent. What the requester makes of a SEND, and what the responder makes of
 * what it is offered, also when it is not to be had. */
#include "one.h"

#include <errno.h>
#include <string.h>

#define ACK   (FNS_AETH_ACK | FNS_AETH_NO_CREDITS)
#define NAK   (FNS_AETH_NAK | FNS_NAK_PSN_SEQUENCE)
#define CHUNK (FNS_LEND_MAX / PMTU) /* PSNs */

static struct one *begin(const struct rig_opts *opts)
{
	struct one *o = one_begin(FNS_QPT_RC, opts);

	o->r->lends = true;
	return o;
}

static void post(struct one *o, uint8_t op, uint64_t id, uint32_t flags, uint32_t off, uint32_t len)
{
	rig_post_data(o->r, &o->qp, op, id, flags, off, len);
	rig_run(o->r);
}

/* --- the requester --- */

static const struct rig_packet *expect_lent(
	struct one *o, unsigned n, uint8_t opcode, uint32_t psn, uint32_t off, uint32_t len)
{
	const struct rig_packet *p = rig_expect_sent(o->r, n, opcode, psn);

	assert_int_equal(p->lent, len);
	assert_ptr_equal(p->lent_at, o->r->mem + off);
	assert_true(p->h.ack_req);
	return p;
}

/* One frame stands for as many PSNs as would have carried it; nothing completes before the
 * acknowledgement of the last. */
static void test_sizes(void **state)
{
	static const uint32_t npsn[] = {6, 7, CHUNK, CHUNK + 1, 2 * CHUNK + 5};
	struct one *o = begin(&(struct rig_opts){.peer_budget = 1u << 20});
	uint32_t psn = RIG_SQ_PSN;

	for (uint32_t i = 0; i < FNS_ARRAY_SIZE(npsn); i++) {
		uint32_t n = npsn[i], len = n * PMTU - (i & 1 ? 13 : 0), k = 0, frames = 0;

		post(o, FNS_WR_SEND, i, FNS_WRF_SIGNALED, 0, len);
		for (; k < n; frames++) {
			uint32_t c = FNS_MIN(CHUNK, n - k);
			uint8_t op = n <= CHUNK   ? FNS_OP_SEND_ONLY
				     : k == 0     ? FNS_OP_SEND_FIRST
				     : k + c == n ? FNS_OP_SEND_LAST
						  : FNS_OP_SEND_MIDDLE;
			uint32_t bytes = FNS_MIN(c * PMTU, len - k * PMTU);

			if (c > 1)
				expect_lent(o, frames, op, psn + k, k * PMTU, bytes);
			else /* a single packet is carried */
				assert_int_equal(
					rig_expect_sent(o->r, frames, op, psn + k)->h.payload_len,
					bytes);
			k += c;
		}
		assert_int_equal(o->r->nsent, frames);
		rig_inject_ack(o->r, &o->qp, psn + n - 2);
		rig_run(o->r);
		rig_expect_no_cqe(&o->qp.cq);
		rig_inject_ack(o->r, &o->qp, psn + n - 1);
		rig_run(o->r);
		rig_expect_cqe(&o->qp.cq, i, FNS_WC_SUCCESS);
		psn += n;
		o->r->nsent = 0;
	}
	assert_int_equal(rig_inner(o->r, &o->qp)->peer->inflight, 0);
	assert_int_equal(rig_inner(o->r, &o->qp)->req.inflight_bytes, 0);
	one_end(o);
}

/* What is not lent: small, invalidating, WRITE, and all while the wire does not. Immediate data and
 * the solicited bit are. */
static void test_which(void **state)
{
	struct one *o = begin(NULL);
	const struct rig_packet *p;

	post(o, FNS_WR_SEND, 1, 0, 0, 5 * PMTU);
	assert_int_equal(o->r->nsent, 5);
	post(o, FNS_WR_SEND_INV, 2, 0, 0, 8 * PMTU);
	assert_int_equal(o->r->nsent, 13);
	post(o, FNS_WR_WRITE_IMM, 3, 0, 0, 8 * PMTU);
	assert_int_equal(o->r->nsent, 21);
	o->r->lends = false;
	post(o, FNS_WR_SEND, 4, 0, 0, 8 * PMTU);
	assert_int_equal(o->r->nsent, 29);
	for (unsigned i = 0; i < o->r->nsent; i++)
		assert_int_equal(o->r->sent[i].lent, 0);
	o->r->lends = true;
	post(o, FNS_WR_SEND_IMM, 5, FNS_WRF_SOLICITED, 0, 8 * PMTU);
	p = expect_lent(o, 29, FNS_OP_SEND_ONLY_IMM, RIG_SQ_PSN + 29, 0, 8 * PMTU);
	assert_true(p->h.solicited);
	assert_int_equal(p->h.imm, 0x01020304);
	one_end(o);
}

static void test_pieces(void **state)
{
	struct one *o = begin(NULL);
	struct rig_wr wr = {.op = FNS_WR_SEND, .wr_id = 1, .nsge = 3};
	static const uint32_t len[] = {5000, 1, 3000};

	for (unsigned i = 0; i < 3; i++)
		wr.sge[i] = (struct fns_sqd_sge){
			.addr = (uintptr_t)o->r->mem + 9000 * i, .len = len[i], .lkey = o->r->key};
	rig_post(o->r, &o->qp, &wr);
	rig_run(o->r);
	assert_int_equal(expect_lent(o, 0, FNS_OP_SEND_ONLY, RIG_SQ_PSN, 0, 8001)->lent_pieces, 3);
	one_end(o);
}

/* Who does not receive it gets it again as packets, at no retry's cost, and is spared for a while;
 * a receiver that is not ready is offered the loan again. */
static void test_refused(void **state)
{
	struct one *o = begin(NULL);

	post(o, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	expect_lent(o, 0, FNS_OP_SEND_ONLY, RIG_SQ_PSN, 0, 8 * PMTU);
	o->r->nsent = 0;
	rig_inject_aeth(o->r, &o->qp, RIG_SQ_PSN, FNS_AETH_RNR | 1);
	rig_sleep(o->r, FNS_NSEC_PER_MSEC);
	expect_lent(o, 0, FNS_OP_SEND_ONLY, RIG_SQ_PSN, 0, 8 * PMTU);
	o->r->nsent = 0;
	rig_inject_aeth(o->r, &o->qp, RIG_SQ_PSN, NAK);
	rig_run(o->r);
	assert_int_equal(o->r->nsent, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(o->r->sent[i].lent, 0);
	assert_int_equal(
		rig_inner(o->r, &o->qp)->req.retry_left, rig_inner(o->r, &o->qp)->attr.retry_cnt);
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN + 7);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	for (unsigned i = 0; i < 65; i++) {
		uint32_t psn = RIG_SQ_PSN + 8 + 8 * i;

		o->r->nsent = 0;
		post(o, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 8 * PMTU);
		assert_int_equal(o->r->nsent, i < 64 ? 8 : 1);
		rig_inject_ack(o->r, &o->qp, psn + 7);
		rig_run(o->r);
		rig_expect_cqe(&o->qp.cq, 2, FNS_WC_SUCCESS);
	}
	one_end(o);
}

/* Lost: what comes again after the timeout is carried. */
static void test_lost(void **state)
{
	struct one *o = begin(NULL);
	unsigned carried = 0;

	post(o, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	rig_sleep(o->r, 1000 * FNS_NSEC_PER_MSEC);
	for (unsigned i = 1; i < o->r->nsent; i++) {
		assert_int_equal(o->r->sent[i].lent, 0);
		carried += o->r->sent[i].h.payload_len == PMTU;
	}
	assert_true(carried >= 8);
	one_end(o);
}

/* The end of the queue pair calls back what it lent, before its completions come. */
static void test_called_back(void **state)
{
	struct one *o = begin(NULL);
	struct fns_qp *qp = rig_inner(o->r, &o->qp);
	uint64_t loan;

	post(o, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	loan = o->r->sent[0].loan;
	assert_int_equal(atomic_load(&qp->loan), loan);
	assert_int_equal(rig_modify(o->r, &o->qp, FNS_QPS_ERR, FNS_QPA_STATE), 0);
	assert_int_not_equal(atomic_load(&qp->loan), loan);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_WR_FLUSH_ERR);
	one_end(o);
}

/* --- the responder --- */

static void offer(struct one *o, uint8_t op, uint32_t psn, uint32_t off, uint32_t len)
{
	struct fns_hdr h = rig_hdr(&o->qp, op, psn);

	h.ack_req = true;
	h.imm = 0x01020304;
	rig_inject_lent(o->r, h, o->data + off, len);
}

static void expect_aeth(struct one *o, uint32_t psn, uint8_t syndrome)
{
	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 1);
	assert_int_equal(rig_expect_sent(o->r, 0, FNS_OP_ACK, psn)->h.syndrome, syndrome);
	o->r->nsent = 0;
}

static void test_fetch(void **state)
{
	struct one *o = begin(NULL);
	uint32_t psn = RIG_RQ_PSN;
	struct fns_cqe c;

	rig_post_recv(o->r, &o->qp, 1, 64, 100 * PMTU);
	rig_post_recv(o->r, &o->qp, 2, 128 * PMTU, 20 * PMTU);
	offer(o, FNS_OP_SEND_FIRST, psn, 0, CHUNK * PMTU);
	expect_aeth(o, psn + CHUNK - 1, ACK);
	rig_expect_no_cqe(&o->qp.cq);
	offer(o, FNS_OP_SEND_LAST_IMM, psn + CHUNK, CHUNK * PMTU, 3 * PMTU + 1);
	expect_aeth(o, psn + CHUNK + 3, ACK);
	assert_true(rig_poll(&o->qp.cq, &c));
	assert_int_equal(c.wr_id, 1);
	assert_int_equal(c.byte_len, (CHUNK + 3) * PMTU + 1);
	assert_int_equal(c.wc_flags, FNS_WCF_WITH_IMM);
	assert_int_equal(c.imm, 0x01020304);
	assert_memory_equal(o->r->mem + 64, o->data, (CHUNK + 3) * PMTU + 1);
	assert_int_equal(o->r->fetches, 2);
	/* Twice: acknowledged, not fetched. */
	offer(o, FNS_OP_SEND_LAST_IMM, psn + CHUNK, CHUNK * PMTU, 3 * PMTU + 1);
	expect_aeth(o, psn + CHUNK + 3, ACK);
	assert_int_equal(o->r->fetches, 2);
	/* Carried and lent in one message. */
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_FIRST, psn + CHUNK + 4), o->data, PMTU);
	offer(o, FNS_OP_SEND_LAST, psn + CHUNK + 5, PMTU, 2 * PMTU);
	expect_aeth(o, psn + CHUNK + 6, ACK);
	rig_expect_cqe(&o->qp.cq, 2, FNS_WC_SUCCESS);
	assert_memory_equal(o->r->mem + 128 * PMTU, o->data, 3 * PMTU);
	one_end(o);
}

/* Nobody is ready: nothing is fetched. Too long: an error on both sides, nothing is fetched. */
static void test_no_receive(void **state)
{
	struct one *o = begin(NULL);

	offer(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, 0, 8 * PMTU);
	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 1);
	assert_int_equal(o->r->sent[0].h.syndrome & FNS_AETH_TYPE_MASK, FNS_AETH_RNR);
	assert_int_equal(o->r->fetches, 0);
	o->r->nsent = 0;
	rig_post_recv(o->r, &o->qp, 1, 0, 8 * PMTU - 1);
	offer(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, 0, 8 * PMTU);
	expect_aeth(o, RIG_RQ_PSN, FNS_AETH_NAK | FNS_NAK_INVALID_REQUEST);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_LEN_ERR);
	assert_int_equal(o->r->fetches, 0);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_ERR);
	one_end(o);
}

/* As if it had never come, in the middle of a message, at its end, at both. The same receive takes
 * what is carried then. */
static void test_not_to_be_had(void **state)
{
	static const struct {
		uint8_t op;
		uint32_t before;
	} at[] = {{FNS_OP_SEND_ONLY, 0}, {FNS_OP_SEND_LAST, 1}, {FNS_OP_SEND_FIRST, 0},
		{FNS_OP_SEND_MIDDLE, 1}};

	for (unsigned i = 0; i < 2 * FNS_ARRAY_SIZE(at); i++) {
		bool late = i & 1, ends = i < 4;
		uint8_t op = at[i / 2].op;
		struct one *o = begin(NULL);
		uint32_t psn = RIG_RQ_PSN + at[i / 2].before;
		uint32_t off = at[i / 2].before * PMTU;
		struct fns_cqe c;

		o->r->fetch_result = -ESTALE;
		o->r->fetch_late = late;
		rig_post_recv(o->r, &o->qp, 1, 0, 8 * PMTU);
		rig_post_recv(o->r, &o->qp, 2, 16 * PMTU, 8 * PMTU);
		if (off)
			rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_FIRST, RIG_RQ_PSN), o->data,
				PMTU);
		offer(o, op, psn, off, 2 * PMTU);
		rig_run(o->r);
		if (late)
			rig_fetched(o->r);
		expect_aeth(o, psn, NAK);
		rig_expect_no_cqe(&o->qp.cq);
		/* What came behind it waits for it. */
		rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_ONLY, psn + 2), o->data, 10);
		rig_settle(o->r);
		assert_int_equal(o->r->nsent, 0);
		rig_inject(o->r, rig_hdr(&o->qp, off ? FNS_OP_SEND_MIDDLE : FNS_OP_SEND_FIRST, psn),
			o->data + off, PMTU);
		rig_inject(o->r,
			rig_hdr(&o->qp, ends ? FNS_OP_SEND_LAST : FNS_OP_SEND_MIDDLE, psn + 1),
			o->data + off + PMTU, PMTU);
		if (!ends)
			rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_LAST, psn + 2),
				o->data + off + 2 * PMTU, 4);
		rig_settle(o->r);
		assert_true(rig_poll(&o->qp.cq, &c));
		assert_int_equal(c.wr_id, 1);
		assert_int_equal(c.status, FNS_WC_SUCCESS);
		assert_int_equal(c.byte_len, off + 2 * PMTU + (ends ? 0 : 4));
		assert_memory_equal(o->r->mem, o->data, c.byte_len);
		rig_expect_no_cqe(&o->qp.cq);
		one_end(o);
	}
}

/* Our own memory is gone: the receive is to blame. */
static void test_own_fault(void **state)
{
	for (unsigned late = 0; late < 2; late++) {
		struct one *o = begin(NULL);

		o->r->fetch_result = -EFAULT;
		o->r->fetch_late = late;
		rig_post_recv(o->r, &o->qp, 1, 0, 8 * PMTU);
		offer(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, 0, 8 * PMTU);
		rig_run(o->r);
		if (late)
			rig_fetched(o->r);
		expect_aeth(o, RIG_RQ_PSN, FNS_AETH_NAK | FNS_NAK_REMOTE_OPERATIONAL);
		rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_PROT_ERR);
		one_end(o);
	}
}

/* The queue pair ends while it fetches: flushed when that is over, whatever it comes to. */
static void test_ends_meanwhile(void **state)
{
	static const int results[] = {0, -ESTALE, -EFAULT};

	for (unsigned i = 0; i < 3; i++) {
		struct one *o = begin(NULL);

		o->r->fetch_late = true;
		o->r->fetch_result = results[i];
		rig_post_recv(o->r, &o->qp, 1, 0, 8 * PMTU);
		offer(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, 0, 8 * PMTU);
		rig_run(o->r);
		assert_int_equal(rig_modify(o->r, &o->qp, FNS_QPS_ERR, FNS_QPA_STATE), 0);
		rig_run(o->r);
		rig_expect_no_cqe(&o->qp.cq);
		rig_fetched(o->r);
		rig_expect_cqe(&o->qp.cq, 1, FNS_WC_WR_FLUSH_ERR);
		rig_expect_no_cqe(&o->qp.cq);
		one_end(o);
	}
}

/* Others were accepted meanwhile, and cannot be taken back: the queue pair ends. */
static void test_too_late(void **state)
{
	struct one *o = begin(NULL);

	o->r->fetch_late = true;
	o->r->fetch_result = -ESTALE;
	rig_post_recv(o->r, &o->qp, 1, 0, 8 * PMTU);
	rig_post_recv(o->r, &o->qp, 2, 0, 8 * PMTU);
	offer(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, 0, 8 * PMTU);
	rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 8), o->data, 10);
	rig_run(o->r);
	rig_fetched(o->r);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_PROT_ERR);
	rig_expect_cqe(&o->qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
	assert_int_equal(rig_state(o->r, &o->qp), FNS_QPS_ERR);
	one_end(o);
}

/* Lengths that packets could not have carried so, and what is no SEND. */
static void test_refusals(void **state)
{
	static const struct {
		uint8_t op;
		uint32_t len;
	} bad[] = {{FNS_OP_SEND_FIRST, 2 * PMTU + 4}, {FNS_OP_SEND_ONLY, PMTU},
		{FNS_OP_SEND_LAST, 2 * PMTU}, {FNS_OP_SEND_FIRST, PMTU}};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		struct one *o = begin(NULL);

		rig_post_recv(o->r, &o->qp, 1, 0, 8 * PMTU);
		offer(o, bad[i].op, RIG_RQ_PSN, 0, bad[i].len);
		expect_aeth(o, RIG_RQ_PSN, FNS_AETH_NAK | FNS_NAK_INVALID_REQUEST);
		assert_int_equal(o->r->fetches, 0);
		one_end(o);
	}
	for (unsigned i = 0; i < 3; i++) {
		static const uint8_t ops[] = {
			FNS_OP_WRITE_ONLY, FNS_OP_SEND_ONLY_INV, FNS_TC_UC | FNS_OP_SEND_ONLY};
		struct one *o = begin(NULL);

		offer(o, ops[i], RIG_RQ_PSN, 0, 2 * PMTU);
		rig_settle(o->r);
		assert_int_equal(o->r->nsent, 0);
		assert_int_equal(rig_count(o->r, FNS_C_drop_header), 1);
		one_end(o);
	}
}

/* Memory that this process cannot reach is not lent, and not fetched to. */
static void test_far(void **state)
{
	struct one *o = begin(&far);

	post(o, FNS_WR_SEND, 1, 0, 0, 8 * PMTU);
	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 8);
	o->r->nsent = 0;
	rig_post_recv(o->r, &o->qp, 1, 0, 8 * PMTU);
	offer(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, 0, 8 * PMTU);
	expect_aeth(o, RIG_RQ_PSN, NAK);
	assert_int_equal(o->r->fetches, 0);
	one_end(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_which),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_called_back),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_no_receive),
		cmocka_unit_test(test_not_to_be_had),
		cmocka_unit_test(test_own_fault),
		cmocka_unit_test(test_ends_meanwhile),
		cmocka_unit_test(test_too_late),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
