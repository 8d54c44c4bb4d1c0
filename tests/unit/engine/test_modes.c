/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine in each mode (pipe/modes.h): what payload is copied, why and how often, and what the
 * engine goes by in a pipe with indices.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#define PMTU 1024u

struct one {
	struct rig *r;
	struct rig_qp qp;
};

static void one_begin(struct one *o, struct rig_opts opts)
{
	o->r = rig_create(&opts);
	rig_qp_create(o->r, &o->qp, FNS_QPT_RC);
	o->qp.attr.timeout = 14;
	rig_connect(o->r, &o->qp);
	rig_fill(o->r, 0, 64 * PMTU, 7);
}

static void one_end(struct one *o)
{
	rig_qp_destroy(o->r, &o->qp);
	rig_destroy(o->r);
}

/* One SEND of PMTU, sent, intact, acknowledged. */
static void send_one(struct one *o, uint64_t i)
{
	uint32_t off = (uint32_t)(i % 8) * PMTU;

	o->r->nsent = 0;
	rig_post_data(o->r, &o->qp, FNS_WR_SEND, i, FNS_WRF_SIGNALED, off, PMTU);
	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 1);
	assert_memory_equal(o->r->sent[0].h.payload, o->r->mem + off, PMTU);
	rig_inject_ack(o->r, &o->qp, o->r->sent[0].h.psn);
	rig_settle(o->r);
	rig_expect_cqe(&o->qp.cq, i, FNS_WC_SUCCESS);
}

/* Every reason once, each under its own name. */
static void reasons(struct rig_opts opts, uint64_t in_place, uint64_t by_mode, uint64_t factor)
{
	uint8_t data[32] = {1, 2, 3};
	struct rig_wr wr = {.op = FNS_WR_SEND,
		.flags = FNS_WRF_SIGNALED | FNS_WRF_INLINE,
		.data = data,
		.inline_len = 20};
	struct fns_hdr h;
	struct one o;

	one_begin(&o, opts);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 2 * PMTU);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 100);
	rig_post(o.r, &o.qp, &wr);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 4);
	assert_int_equal(rig_count(o.r, FNS_C_tx_payload_referenced), 2 * PMTU * in_place);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_small), 100);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_inline), 20);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_mode),
		2 * PMTU * by_mode + factor * (2 * PMTU + 100));
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_again), 0);
	rig_inject_aeth(o.r, &o.qp, RIG_SQ_PSN + 1, FNS_AETH_NAK);
	rig_run(o.r);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_again), PMTU + 100);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_inline), 40);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 3);
	rig_run(o.r);
	assert_int_equal(rig_count(o.r, FNS_C_tx_payload_referenced), 2 * PMTU * in_place);
	/* A READ answered, and its repetition. */
	h = rig_hdr(&o.qp, FNS_OP_READ_REQUEST, RIG_RQ_PSN);
	h.va = (uintptr_t)o.r->mem;
	h.rkey = o.r->key;
	h.dma_len = PMTU;
	rig_inject(o.r, h, NULL, 0);
	rig_run(o.r);
	assert_int_equal(rig_count(o.r, FNS_C_tx_payload_referenced), 3 * PMTU * in_place);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_response), 0);
	rig_inject(o.r, h, NULL, 0);
	rig_run(o.r);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_response), PMTU);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_far), 0);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_mode),
		3 * PMTU * by_mode + factor * (3 * PMTU + 100 + 2 * PMTU + 100));
	one_end(&o);
}

static void reasons_header_only(void **state)
{
	reasons((struct rig_opts){0}, 1, 0, 0);
}

static void reasons_dma_assisted(void **state)
{
	reasons((struct rig_opts){.modes = {.tx = FNS_TXM_DMA_ASSISTED}}, 0, 1, 0);
}

/* Each byte but inline ones once more than it would be anyway. */
static void reasons_copy(void **state)
{
	reasons((struct rig_opts){.modes = {.tx = FNS_TXM_COPY}}, 0, 1, 1);
}

/* Memory that is not near is fetched, whatever the mode, and counted as that. */
static void far_memory(void **state)
{
	for (uint8_t tx = 0; tx < FNS_TX_MODES; tx++) {
		struct rig_opts opts = {
			.simdma = true, .sim = {.seed = 5, .max_ns = 1000}, .modes = {.tx = tx}};
		struct one o;

		one_begin(&o, opts);
		for (unsigned i = 0; i < 20; i++)
			send_one(&o, i);
		assert_int_equal(rig_count(o.r, FNS_C_tx_copied_far), 20 * PMTU);
		assert_int_equal(
			rig_count(o.r, FNS_C_tx_copied_mode), tx == FNS_TXM_COPY ? 20 * PMTU : 0);
		one_end(&o);
	}
}

/* The wire reads the application's memory in one mode only. */
static void wire_reads_nic_memory(void **state)
{
	for (uint8_t tx = 0; tx < FNS_TX_MODES; tx++) {
		struct rig_opts opts = {.modes = {.tx = tx}};
		struct one o;

		one_begin(&o, opts);
		o.r->fault_from = o.r->mem;
		o.r->fault_to = o.r->mem + RIG_MEM;
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, PMTU);
		rig_run(o.r);
		assert_int_equal(o.r->nsent, tx == FNS_TXM_HEADER_ONLY ? 0 : 1);
		o.r->fault_from = o.r->fault_to = NULL;
		rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN);
		rig_run(o.r);
		rig_expect_cqe(&o.qp.cq, 1,
			tx == FNS_TXM_HEADER_ONLY ? FNS_WC_LOC_PROT_ERR : FNS_WC_SUCCESS);
		one_end(&o);
	}
}

/* Packet buffers come up again, more often than there are. */
static void send_ring_goes_round(void **state)
{
	struct rig_opts opts = {.modes = {.tx = FNS_TXM_COPY}};
	struct one o;

	one_begin(&o, opts);
	for (uint64_t i = 0; i < FNS_SEND_RING * 2 + 3; i++)
		send_one(&o, i);
	assert_int_equal(rig_count(o.r, FNS_C_tx_copied_mode), 2 * PMTU * (FNS_SEND_RING * 2 + 3));
	one_end(&o);
}

/* A wire that takes nothing for a while gets what was copied, not what came after it. */
static void blocked_wire(void **state)
{
	struct rig_opts opts = {.modes = {.tx = FNS_TXM_COPY}};
	struct one o;

	one_begin(&o, opts);
	o.r->room = 0;
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 40 * PMTU);
	rig_run(o.r);
	o.r->room = UINT32_MAX;
	rig_step(o.r, 50000);
	assert_int_equal(o.r->nsent, 40);
	for (unsigned i = 0; i < 40; i++)
		assert_memory_equal(o.r->sent[i].h.payload, o.r->mem + i * PMTU, PMTU);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 39);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	one_end(&o);
}

/* --- indices --- */

static const struct rig_opts doorbell = {.modes = {.pipe = FNS_PIPE_DOORBELL}, .sq_slots = 64};

/* Phase bits alone say nothing, the index alone does. */
static void nothing_before_the_index(void **state)
{
	struct one o;

	one_begin(&o, doorbell);
	assert_int_equal(o.r->sq->pipe, FNS_PIPE_DOORBELL);
	o.r->no_doorbell = true;
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 64);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 2, FNS_WRF_SIGNALED, 0, 64);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 0);
	assert_false(fns_engine_submissions_pending(o.r->e));
	atomic_store(&o.r->sq->tail, o.r->sq_tail - 1);
	assert_true(fns_engine_submissions_pending(o.r->e));
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 1);
	atomic_store(&o.r->sq->tail, o.r->sq_tail);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 2);
	assert_false(fns_engine_submissions_pending(o.r->e));
	assert_int_equal(atomic_load(&o.r->sq->credit), o.r->sq_tail);
	one_end(&o);
}

/* Indices that lie: bounded work, nothing beyond the ring, and the engine goes on. */
static void lying_index(void **state)
{
	static const uint32_t lie[] = {1, 63, 64, 65, 1000, 0x80000000u, UINT32_MAX};
	struct one o;

	uint64_t bad = 0;

	one_begin(&o, doorbell);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(lie); i++) {
		/* Nothing was ever posted: every slot that is looked at is refused. */
		atomic_fetch_add(&o.r->sq->tail, lie[i]);
		fns_engine_advance(o.r->e, ++o.r->now, FNS_ADVANCE_ALL);
		bad += FNS_MIN(lie[i], o.r->sq_slots);
		assert_int_equal(rig_count(o.r, FNS_C_sq_bad_descriptors), bad);
		/* Honest again: from where the engine is. */
		o.r->sq_tail = atomic_load(&o.r->sq->credit);
		atomic_store(&o.r->sq->tail, o.r->sq_tail);
		assert_false(fns_engine_submissions_pending(o.r->e));
	}
	send_one(&o, 1);
	one_end(&o);
}

/* A descriptor that claims more slots than were promised does not move the engine past the index.
 */
static void longer_than_promised(void **state)
{
	struct rig_wr wr = {.op = FNS_WR_SEND, .flags = FNS_WRF_SIGNALED, .nsge = 4};
	struct one o;

	one_begin(&o, doorbell);
	for (unsigned i = 0; i < 4; i++)
		wr.sge[i] = (struct fns_sqd_sge){(uintptr_t)o.r->mem, 16, o.r->key};
	o.r->no_doorbell = true;
	rig_post(o.r, &o.qp, &wr);
	assert_int_equal(rig_slots(&wr), 2);
	atomic_store(&o.r->sq->tail, o.r->sq_tail - 1);
	rig_run(o.r);
	assert_int_equal(atomic_load(&o.r->sq->credit), o.r->sq_tail - 1);
	assert_false(fns_engine_submissions_pending(o.r->e));
	one_end(&o);
}

/* The completion's index; an overrun is seen by the consumer's, which is read across; a resize
 * carries both over. */
static void completion_index(void **state)
{
	struct fns_ctl m = {.op = FNS_CTL_CQ_RESIZE};
	struct fns_cq_shared *small;
	struct fns_cqe c;
	struct one o;

	one_begin(&o, doorbell);
	for (unsigned i = 0; i < 3; i++) {
		rig_post_data(o.r, &o.qp, FNS_WR_SEND, i, FNS_WRF_SIGNALED, 0, 64);
		rig_run(o.r);
		rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + i);
		rig_run(o.r);
		assert_int_equal(atomic_load(&o.qp.cq.ring->produced), i + 1);
	}
	assert_true(rig_poll(&o.qp.cq, &c));
	small = aligned_alloc(64, sizeof(*small) + 2 * sizeof(struct fns_cqe));
	assert_non_null(small);
	memset(small, 0, sizeof(*small) + 2 * sizeof(struct fns_cqe));
	m.handle = o.qp.cq.handle;
	m.cq.ring = (uintptr_t)small;
	m.cq.log2 = 1;
	assert_int_equal(rig_ctl(o.r, &m), 0);
	assert_int_equal(atomic_load(&small->produced), 2);
	free(o.qp.cq.ring);
	o.qp.cq.ring = small;
	o.qp.cq.log2 = 1;
	o.qp.cq.consumed = 0;
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	rig_post_data(o.r, &o.qp, FNS_WR_SEND, 3, FNS_WRF_SIGNALED, 0, 64);
	rig_run(o.r);
	rig_inject_ack(o.r, &o.qp, RIG_SQ_PSN + 3);
	rig_run(o.r);
	assert_int_equal(atomic_load(&small->produced), 3);
	assert_int_equal(rig_count(o.r, FNS_C_cq_overruns), 0);
	rig_expect_cqe(&o.qp.cq, 2, FNS_WC_SUCCESS);
	rig_expect_cqe(&o.qp.cq, 3, FNS_WC_SUCCESS);
	one_end(&o);
}

/* Without credit there is an end, in either pipe, and exactly at the ring's size. */
static void overrun(void **state)
{
	for (uint8_t pipe_mode = 0; pipe_mode < FNS_PIPE_MODES; pipe_mode++) {
		struct rig_opts opts = {.modes = {.pipe = pipe_mode}};
		struct fns_cq_shared *ring;
		struct fns_cq cq = {.log2 = 2};
		struct fns_cqe c = {0};
		struct one o;

		one_begin(&o, opts);
		ring = aligned_alloc(64, sizeof(*ring) + 4 * sizeof(struct fns_cqe));
		assert_non_null(ring);
		memset(ring, 0, sizeof(*ring) + 4 * sizeof(struct fns_cqe));
		cq.ring = ring;
		for (unsigned i = 0; i < 4; i++)
			assert_true(fns_cq_push(&o.r->e->nic, &cq, &c, false));
		atomic_store(&ring->consumer, 3);
		for (unsigned i = 0; i < 3; i++)
			assert_true(fns_cq_push(&o.r->e->nic, &cq, &c, false));
		assert_false(fns_cq_push(&o.r->e->nic, &cq, &c, false));
		assert_true(cq.error);
		assert_int_equal(rig_count(o.r, FNS_C_cq_overruns), 1);
		free(ring);
		one_end(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons_header_only),
		cmocka_unit_test(reasons_dma_assisted),
		cmocka_unit_test(reasons_copy),
		cmocka_unit_test(far_memory),
		cmocka_unit_test(wire_reads_nic_memory),
		cmocka_unit_test(send_ring_goes_round),
		cmocka_unit_test(blocked_wire),
		cmocka_unit_test(nothing_before_the_index),
		cmocka_unit_test(lying_index),
		cmocka_unit_test(longer_than_promised),
		cmocka_unit_test(completion_index),
		cmocka_unit_test(overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
