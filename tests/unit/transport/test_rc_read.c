/* SPDX-License-Identifier: Apache-2.0 */
/* READ at the requester: chunks, placement, loss in the middle, answers that do not fit. Near and
 * far memory. */
#include "one.h"

#include <string.h>

#define CHUNK 61440u

/* Response packet seg of n for a request of len bytes from offset base, first PSN psn. */
static void respond(struct one *o, uint32_t base, uint32_t psn, uint32_t len, uint32_t seg)
{
	uint32_t n = len ? (len + PMTU - 1) / PMTU : 1, off = seg * PMTU;
	uint8_t op = n == 1         ? FNS_OP_READ_RESP_ONLY
		     : seg == 0     ? FNS_OP_READ_RESP_FIRST
		     : seg + 1 == n ? FNS_OP_READ_RESP_LAST
				    : FNS_OP_READ_RESP_MIDDLE;

	rig_inject(o->r, rig_hdr(&o->qp, op, psn + seg), o->data + base + off,
		FNS_MIN(len - off, PMTU));
}

static void sizes(struct one *o)
{
	static const uint32_t lens[] = {0, 1, 3, 4, 255, 256, 257, PMTU - 1, PMTU, PMTU + 1,
		2 * PMTU, 5 * PMTU + 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5};
	uint32_t psn = RIG_SQ_PSN, i;

	for (i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		uint32_t len = lens[i], base = 0, k, chunk;
		struct fns_cqe c;

		memset(o->r->mem, 0, len + 8);
		o->r->nsent = 0;
		rig_post_data(o->r, &o->qp, FNS_WR_READ, i, FNS_WRF_SIGNALED, 0, len);
		rig_settle(o->r);
		for (chunk = 0; base < len || chunk == 0; chunk++) {
			uint32_t part = FNS_MIN(len - base, CHUNK),
				 n = part ? (part + PMTU - 1) / PMTU : 1;
			const struct rig_packet *p =
				rig_expect_sent(o->r, chunk, FNS_OP_READ_REQUEST, psn);

			assert_int_equal(p->h.va, 0x10000 + base);
			assert_int_equal(p->h.dma_len, part);
			assert_int_equal(p->h.rkey, 0x77);
			assert_int_equal(p->h.payload_len, 0);
			for (k = 0; k < n; k++)
				respond(o, base, psn, part, k);
			rig_run(o->r);
			rig_settle(o->r);
			base += part;
			psn += n;
		}
		assert_int_equal(o->r->nsent, chunk);
		assert_true(rig_poll(&o->qp.cq, &c));
		assert_int_equal(c.wr_id, i);
		assert_int_equal(c.status, FNS_WC_SUCCESS);
		assert_int_equal(c.opcode, FNS_WC_READ);
		assert_int_equal(c.byte_len, len);
		assert_memory_equal(o->r->mem, o->data, len);
		assert_int_equal(o->r->mem[len], 0);
		assert_int_equal(o->r->e->nic.read_cost, 0);
		assert_int_equal(rig_inner(o->r, &o->qp)->req.rd_inflight, 0);
	}
}

static void sizes_near(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);

	sizes(o);
	one_end(o);
}

static void sizes_far(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);

	sizes(o);
	one_end(o);
}

/* No completion before the data is there. */
static void completion_after_placement(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);

	rig_post_data(o->r, &o->qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	rig_run(o->r);
	for (uint32_t i = 0; i < 8; i++)
		respond(o, 0, RIG_SQ_PSN, 8 * PMTU, i);
	for (unsigned i = 0; i < 100; i++) {
		struct fns_cqe c;

		rig_step(o->r, 1000);
		if (rig_poll(&o->qp.cq, &c)) {
			assert_true(i > 0);
			assert_memory_equal(o->r->mem, o->data, 8 * PMTU);
			one_end(o);
			return;
		}
	}
	fail_msg("no completion");
}

static void lost_response_is_asked_for_again(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	const struct rig_packet *p;
	uint32_t i;

	rig_post_data(o->r, &o->qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 10 * PMTU);
	rig_run(o->r);
	o->r->nsent = 0;
	for (i = 0; i < 10; i++)
		if (i != 4)
			respond(o, 0, RIG_SQ_PSN, 10 * PMTU, i);
	rig_run(o->r);
	rig_expect_no_cqe(&o->qp.cq);
	assert_int_equal(o->r->nsent, 1);
	p = rig_expect_sent(o->r, 0, FNS_OP_READ_REQUEST, RIG_SQ_PSN + 4);
	assert_int_equal(p->h.va, 0x10000 + 4 * PMTU);
	assert_int_equal(p->h.dma_len, 6 * PMTU);
	for (i = 0; i < 6; i++)
		respond(o, 4 * PMTU, RIG_SQ_PSN + 4, 6 * PMTU, i);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_SUCCESS);
	assert_memory_equal(o->r->mem, o->data, 10 * PMTU);
	assert_int_equal(o->r->e->nic.read_cost, 0);
	one_end(o);
}

/* Random loss of responses over several chunks, by timeouts too. */
static void random_loss(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_rng rng;
	unsigned round;
	struct fns_cqe c = {0};

	fns_rng_seed(&rng, 99);
	rig_post_data(o->r, &o->qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 3 * CHUNK);
	rig_run(o->r);
	for (round = 0; round < 500 && !rig_poll(&o->qp.cq, &c); round++) {
		unsigned n = o->r->nsent, i;
		struct fns_hdr req[32];

		assert_true(n <= 32);
		for (i = 0; i < n; i++)
			req[i] = o->r->sent[i].h;
		o->r->nsent = 0;
		for (i = 0; i < n; i++) {
			uint32_t base = (uint32_t)(req[i].va - 0x10000), k;

			assert_true(base + req[i].dma_len <= 3 * CHUNK);
			for (k = 0; k * PMTU < req[i].dma_len; k++)
				if (fns_rng_below(&rng, 100) >= 5)
					respond(o, base, req[i].psn, req[i].dma_len, k);
		}
		rig_sleep(o->r, n ? 10000 : 300000000);
	}
	assert_int_equal(c.wr_id, 1);
	assert_int_equal(c.status, FNS_WC_SUCCESS);
	assert_memory_equal(o->r->mem, o->data, 3 * CHUNK);
	assert_int_equal(o->r->e->nic.read_cost, 0);
	assert_int_equal(rig_inner(o->r, &o->qp)->req.rd_inflight, 0);
	one_end(o);
}

static void bad_responses(void **state)
{
	unsigned i;

	for (i = 0; i < 5; i++) {
		struct one *o = one_begin(FNS_QPT_RC, NULL);
		uint8_t op = i == 4 ? FNS_WR_FETCH_ADD : FNS_WR_READ;

		memset(o->r->mem, 0x99, 64);
		rig_post_data(o->r, &o->qp, i == 3 ? FNS_WR_SEND : op, 1, FNS_WRF_SIGNALED, 0,
			op == FNS_WR_READ ? 16 : 8);
		rig_run(o->r);
		if (i == 2) /* an atomic's answer to a READ */
			rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_ATOMIC_ACK, RIG_SQ_PSN), NULL, 0);
		else /* too short, too long, to a SEND, to an atomic */
			rig_inject(o->r, rig_hdr(&o->qp, FNS_OP_READ_RESP_ONLY, RIG_SQ_PSN),
				o->data,
				i == 0   ? 15
				: i == 1 ? 17
					 : 16);
		rig_run(o->r);
		rig_expect_cqe(&o->qp.cq, 1, FNS_WC_BAD_RESP_ERR);
		assert_int_equal(o->r->mem[0], 0x99);
		one_end(o);
	}
}

/* A region that may not be written: nothing is, and the work request says so. */
static void local_protection(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_ctl m = {.op = FNS_CTL_MR_REG,
		.mr = {.addr = (uintptr_t)o->r->mem, .len = 4096, .pd = o->r->pd}};
	struct rig_wr wr = {.op = FNS_WR_READ, .wr_id = 1, .nsge = 1};

	m.mr.iova = m.mr.addr;
	assert_int_equal(rig_ctl(o->r, &m), 0);
	wr.sge[0] = (struct fns_sqd_sge){.addr = m.mr.addr, .len = 16, .lkey = m.mr.key};
	rig_post(o->r, &o->qp, &wr);
	rig_run(o->r);
	if (o->r->nsent)
		respond(o, 0, RIG_SQ_PSN, 16, 0);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1, FNS_WC_LOC_PROT_ERR);
	assert_int_equal(o->r->mem[1], 0);
	one_end(o);
}

/* Destroying with placements in flight waits for them. */
static void destroy_in_flight(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);

	rig_post_data(o->r, &o->qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 4 * PMTU);
	rig_run(o->r);
	respond(o, 0, RIG_SQ_PSN, 4 * PMTU, 0);
	rig_run(o->r);
	assert_int_equal(o->r->views_out, 1);
	one_end(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_near),
		cmocka_unit_test(sizes_far),
		cmocka_unit_test(completion_after_placement),
		cmocka_unit_test(lost_response_is_asked_for_again),
		cmocka_unit_test(random_loss),
		cmocka_unit_test(bad_responses),
		cmocka_unit_test(local_protection),
		cmocka_unit_test(destroy_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
