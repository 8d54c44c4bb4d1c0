/* SPDX-License-Identifier: Apache-2.0 */
/* RC requester, READ and atomic responses: placement, order, what does not fit, fence and limits
 * (IBTA 9.4.4, 9.4.5, 9.7.6). */
#include "conf.h"

/* Response seg of n to a READ of len bytes that began at psn. */
static void respond(struct conf *c, uint32_t psn, uint32_t len, uint32_t seg)
{
	uint32_t n = len ? FNS_DIV_UP(len, PMTU) : 1;
	uint8_t op = n == 1         ? FNS_OP_READ_RESP_ONLY
		     : seg == 0     ? FNS_OP_READ_RESP_FIRST
		     : seg + 1 == n ? FNS_OP_READ_RESP_LAST
				    : FNS_OP_READ_RESP_MIDDLE;

	conf_resp(c, op, psn + seg, conf_data + seg * PMTU, FNS_MIN(len - seg * PMTU, PMTU));
}

static void read_placed(struct conf *c)
{
	static const uint32_t lens[] = {0, 1, 3, PMTU - 1, PMTU, PMTU + 1, 5 * PMTU + 3};
	uint32_t psn = SQ, i, k;

	conf_open(c, FNS_QPT_RC);
	for (i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		uint32_t n = lens[i] ? FNS_DIV_UP(lens[i], PMTU) : 1;
		struct fns_cqe q;

		memset(c->r->mem, 0, 6 * PMTU);
		conf_post(c, FNS_WR_READ, i, 0, lens[i]);
		for (k = 0; k < n; k++) {
			rig_expect_no_cqe(&c->qp.cq);
			respond(c, psn, lens[i], k);
			rig_settle(c->r);
		}
		assert_true(rig_poll(&c->qp.cq, &q));
		assert_int_equal(q.status, FNS_WC_SUCCESS);
		assert_int_equal(q.byte_len, lens[i]);
		assert_memory_equal(c->r->mem, conf_data, lens[i]);
		assert_int_equal(c->r->mem[lens[i]], 0);
		psn += n;
	}
	conf_close(c);
}

static void read_complete_last(struct conf *c)
{
	for (c->seed = 1; c->seed < 20; c->seed++) {
		struct fns_cqe q;
		unsigned i;

		conf_open(c, FNS_QPT_RC);
		conf_post(c, FNS_WR_READ, 1, 0, 8 * PMTU);
		for (i = 0; i < 8; i++)
			respond(c, SQ, 8 * PMTU, i);
		for (i = 0; i < 1000; i++) {
			rig_step(c->r, 20);
			if (rig_poll(&c->qp.cq, &q))
				break;
		}
		assert_true(i < 1000);
		assert_memory_equal(c->r->mem, conf_data, 8 * PMTU);
		conf_close(c);
	}
}

static void read_lost(struct conf *c)
{
	unsigned lost;

	for (lost = 0; lost < 4; lost++) {
		const struct rig_packet *p;
		unsigned i;

		conf_open(c, FNS_QPT_RC);
		conf_post(c, FNS_WR_READ, 1, 0, 4 * PMTU);
		conf_sent(c, 1);
		for (i = 0; i < 4; i++)
			if (i != lost)
				respond(c, SQ, 4 * PMTU, i);
		rig_settle(c->r);
		if (lost == 3) /* nothing tells: the timer does */
			rig_sleep(c->r, 5 * 4096ull << 14);
		assert_true(c->r->nsent > 0);
		rig_settle(c->r);
		p = &c->r->sent[c->r->nsent - 1];
		assert_int_equal(p->h.opcode, FNS_OP_READ_REQUEST);
		assert_int_equal(p->h.psn, SQ + lost); /* the rest, not what is here already */
		assert_true(p->h.va == 0x10000 + lost * PMTU);
		assert_int_equal(p->h.dma_len, (4 - lost) * PMTU);
		rig_expect_no_cqe(&c->qp.cq);
		for (i = lost; i < 4; i++)
			conf_resp(c,
				lost == 3   ? FNS_OP_READ_RESP_ONLY
				: i == lost ? FNS_OP_READ_RESP_FIRST
				: i == 3    ? FNS_OP_READ_RESP_LAST
					    : FNS_OP_READ_RESP_MIDDLE,
				SQ + i, conf_data + i * PMTU, PMTU);
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
		assert_memory_equal(c->r->mem, conf_data, 4 * PMTU);
		conf_close(c);
	}
}

static void read_twice(struct conf *c)
{
	unsigned i;

	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_READ, 1, 0, 3 * PMTU);
	conf_post(c, FNS_WR_SEND, 2, 8192, 8);
	for (i = 0; i < 3; i++)
		respond(c, SQ, 3 * PMTU, i);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	memset(c->r->mem, 0xee, 3 * PMTU); /* the application's again */
	for (i = 0; i < 3; i++)
		respond(c, SQ, 3 * PMTU, i);
	rig_settle(c->r);
	for (i = 0; i < 3 * PMTU; i++)
		assert_int_equal(c->r->mem[i], 0xee);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

/* One READ of len bytes; the first answer is op with n bytes: the work request fails. */
static void bad_answer(struct conf *c, uint32_t len, uint8_t op, uint32_t n)
{
	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_READ, 1, 0, len);
	conf_resp(c, op, SQ, conf_data, n);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_BAD_RESP_ERR);
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_ERR);
	assert_int_equal(c->r->mem[0], 0);
	conf_close(c);
}

static void read_bad_length(struct conf *c)
{
	bad_answer(c, 8, FNS_OP_READ_RESP_ONLY, 7);
	bad_answer(c, 8, FNS_OP_READ_RESP_ONLY, 9);
	bad_answer(c, 8, FNS_OP_READ_RESP_ONLY, 0);
	bad_answer(c, 0, FNS_OP_READ_RESP_ONLY, 4);
	bad_answer(c, 2 * PMTU, FNS_OP_READ_RESP_FIRST, PMTU - 4);
	bad_answer(c, 2 * PMTU, FNS_OP_READ_RESP_FIRST, PMTU + 4);
}

static void read_bad_sequence(struct conf *c)
{
	bad_answer(c, 2 * PMTU, FNS_OP_READ_RESP_ONLY, PMTU); /* more must follow */
	bad_answer(c, 2 * PMTU, FNS_OP_READ_RESP_LAST, PMTU);
	bad_answer(c, PMTU, FNS_OP_READ_RESP_FIRST, PMTU); /* nothing can follow */
	bad_answer(c, PMTU, FNS_OP_READ_RESP_MIDDLE, PMTU);
	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_READ, 1, 0, 2 * PMTU);
	conf_resp(c, FNS_OP_READ_RESP_FIRST, SQ, conf_data, PMTU);
	conf_resp(c, FNS_OP_READ_RESP_MIDDLE, SQ + 1, conf_data, PMTU);
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_BAD_RESP_ERR);
	conf_close(c);
}

static void wrong_kind(struct conf *c)
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		conf_open(c, FNS_QPT_RC);
		if (i == 0)
			conf_post(c, FNS_WR_READ, 1, 0, 8);
		else if (i == 1)
			conf_atomic(c, FNS_WR_FETCH_ADD, 1, 0, 1);
		else
			conf_post(c, FNS_WR_SEND, 1, 64, 8);
		if (i & 1)
			conf_resp(c, FNS_OP_READ_RESP_ONLY, SQ, conf_data, 8);
		else
			conf_orig(c, SQ, 77);
		rig_settle(c->r);
		rig_expect_cqe(&c->qp.cq, 1, FNS_WC_BAD_RESP_ERR);
		assert_int_equal(c->r->mem[0], 0);
		conf_close(c);
	}
}

static void atomic_result(struct conf *c)
{
	const uint64_t orig = 0x0123456789abcdef;
	struct fns_cqe q;

	conf_open(c, FNS_QPT_RC);
	conf_atomic(c, FNS_WR_CMP_SWAP, 1, 5, 6);
	conf_orig(c, SQ, orig);
	rig_settle(c->r);
	assert_true(rig_poll(&c->qp.cq, &q));
	assert_int_equal(q.status, FNS_WC_SUCCESS);
	assert_int_equal(q.opcode, FNS_WC_COMP_SWAP);
	assert_int_equal(q.byte_len, 8);
	assert_memory_equal(c->r->mem, &orig, 8); /* host order */
	conf_close(c);
}

static void atomic_lost(struct conf *c)
{
	const struct rig_packet *p;

	conf_open(c, FNS_QPT_RC);
	conf_atomic(c, FNS_WR_FETCH_ADD, 1, 0, 6);
	conf_sent(c, 1);
	rig_sleep(c->r, 5 * 4096ull << 14);
	assert_true(c->r->nsent > 0);
	p = rig_expect_sent(c->r, c->r->nsent - 1, FNS_OP_FETCH_ADD, SQ); /* to be replayed */
	assert_true(p->h.swap_add == 6);
	conf_orig(c, SQ, 9);
	conf_orig(c, SQ, 9); /* both arrive */
	rig_settle(c->r);
	rig_expect_cqe(&c->qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&c->qp.cq);
	conf_close(c);
}

static void max_rd_atomic(struct conf *c)
{
	unsigned i, n;

	for (n = 1; n <= 4; n++) {
		conf_new(c, FNS_QPT_RC);
		c->qp.attr.max_rd_atomic = (uint8_t)n;
		conf_up(c);
		for (i = 0; i < 6; i++)
			if (i & 1)
				conf_atomic(c, FNS_WR_FETCH_ADD, i, 0, 1);
			else
				conf_post(c, FNS_WR_READ, i, 64, 8);
		for (i = 0; i < 6; i++) {
			rig_settle(c->r);
			assert_int_equal(c->r->nsent, FNS_MIN(i + n, 6));
			if (i & 1)
				conf_orig(c, SQ + i, 1);
			else
				conf_resp(c, FNS_OP_READ_RESP_ONLY, SQ + i, conf_data, 8);
			rig_settle(c->r);
			rig_expect_cqe(&c->qp.cq, i, FNS_WC_SUCCESS);
		}
		conf_close(c);
	}
}

static void no_fence(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_READ, 1, 0, 8);
	conf_post(c, FNS_WR_SEND, 2, 64, 8);
	conf_sent(c, 2);
	conf_close(c);
}

static void fence(struct conf *c)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		conf_open(c, FNS_QPT_RC);
		if (i)
			conf_atomic(c, FNS_WR_FETCH_ADD, 1, 0, 1);
		else
			conf_post(c, FNS_WR_READ, 1, 0, 8);
		rig_post_data(c->r, &c->qp, FNS_WR_SEND, 2, FNS_WRF_FENCE, 64, 8);
		conf_sent(c, 1);
		if (i)
			conf_orig(c, SQ, 1);
		else
			conf_resp(c, FNS_OP_READ_RESP_ONLY, SQ, conf_data, 8);
		assert_int_equal(conf_sent(c, 1)->h.psn, SQ + 1);
		conf_close(c);
	}
}

/* Fenced work that sends what the READ before it fetched sends the new bytes. */
static void fence_sees_data(struct conf *c)
{
	for (c->seed = 1; c->seed < 40; c->seed++) {
		const struct rig_packet *p;

		conf_open(c, FNS_QPT_RC);
		memset(c->r->mem, 0xee, 4 * PMTU);
		conf_post(c, FNS_WR_READ, 1, 0, 4 * PMTU);
		rig_post_data(c->r, &c->qp, FNS_WR_SEND, 2, FNS_WRF_FENCE, 0, PMTU);
		conf_sent(c, 1);
		for (unsigned i = 0; i < 4; i++)
			respond(c, SQ, 4 * PMTU, i);
		p = conf_sent(c, 1);
		assert_int_equal(p->h.psn, SQ + 4);
		assert_memory_equal(p->h.payload, conf_data, PMTU);
		conf_close(c);
	}
}

static void fence_others(struct conf *c)
{
	conf_open(c, FNS_QPT_RC);
	conf_post(c, FNS_WR_SEND, 1, 0, 8);
	rig_post_data(c->r, &c->qp, FNS_WR_WRITE, 2, FNS_WRF_FENCE, 0, 8);
	conf_sent(c, 2);
	conf_close(c);
}

static const struct conf_rule rules[] = {
	{"C9-res-read", "9.4.4",
		"READ responses are placed by PSN; the READ completes with the last", read_placed},
	{"C9-res-read-last", "9.7.6", "a READ completes after its bytes are in memory",
		read_complete_last},
	{"C9-res-read-lost", "9.4.4",
		"a lost response: the rest is asked for, from its PSN and address", read_lost},
	{"C9-res-read-twice", "9.7.6.1", "duplicate responses do not touch memory again",
		read_twice},
	{"C9-res-read-length", "9.7.6.1",
		"a response of the wrong length: bad response error, memory untouched",
		read_bad_length},
	{"C9-res-read-sequence", "9.7.6.1",
		"a response opcode out of its place (LAST or ONLY too early, FIRST or MIDDLE too late): bad response error",
		read_bad_sequence},
	{"C9-res-kind", "9.7.6.1",
		"a READ response to an atomic or SEND, an atomic response to a READ or SEND: bad response error",
		wrong_kind},
	{"C9-res-atomic", "9.4.5", "an atomic completes with the original value placed",
		atomic_result},
	{"C9-res-atomic-lost", "9.4.5",
		"an atomic without response is asked again with the same PSN; it completes once",
		atomic_lost},
	{"C9-res-max-rd", "9.7.6", "no more READs and atomics outstanding than agreed",
		max_rd_atomic},
	{"C9-res-no-fence", "10.8.3.3" MEM, "without fence later work does not wait for READs",
		no_fence},
	{"C9-res-fence", "10.8.3.3" MEM,
		"fenced work waits for the responses of earlier READs and atomics", fence},
	{"C9-res-fence-data", "10.8.3.3" MEM, "fenced work sends what an earlier READ brought",
		fence_sees_data},
	{"C9-res-fence-others", "10.8.3.3" MEM, "a fence does not wait for SENDs and WRITEs",
		fence_others},
};

int main(int argc, char **argv)
{
	return conf_main(argc, argv, rules, FNS_ARRAY_SIZE(rules));
}
