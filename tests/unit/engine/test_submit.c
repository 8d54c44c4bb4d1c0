/* SPDX-License-Identifier: Apache-2.0 */
/* Submission rings, friendly and hostile: whatever stands in a ring, the engine lives and other
 * queue pairs do not notice. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#define SEED 20260101u

static uint64_t bad(const struct rig *r)
{
	return rig_count(r, FNS_C_sq_bad_descriptors);
}

/* Sends, acknowledges and completes one message of a queue pair that has nothing outstanding, and
 * looks at its bytes. */
static void works(struct rig *r, struct rig_qp *qp, uint64_t wr_id)
{
	uint32_t psn = rig_inner(r, qp)->req.psn;
	uint8_t seed = (uint8_t)wr_id;

	rig_fill(r, 0, 100, seed);
	rig_post_data(r, qp, FNS_WR_SEND, wr_id, FNS_WRF_SIGNALED, 0, 100);
	r->nsent = 0;
	rig_settle(r);
	for (unsigned i = 0; i < r->nsent; i++)
		if (r->sent[i].h.psn == psn && r->sent[i].h.opcode == FNS_OP_SEND_ONLY &&
			r->sent[i].h.dest_qp == qp->attr.dest_qpn) {
			assert_int_equal(r->sent[i].h.payload_len, 100);
			assert_int_equal(rig_differs(r->sent[i].h.payload, 100, seed), -1);
			rig_inject_ack(r, qp, psn);
			rig_settle(r);
			rig_expect_cqe(&qp->cq, wr_id, FNS_WC_SUCCESS);
			return;
		}
	fail_msg("the packet was not sent");
}

static void refused_descriptors(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp, idle;
	struct rig_wr wr = {.op = FNS_WR_SEND, .nsge = 5};
	static const uint8_t blob[512];
	uint64_t n = 0;
	unsigned i;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_qp_create(r, &idle, FNS_QPT_RC);
	rig_connect(r, &qp);

#define REFUSED(post)                                                                              \
	do {                                                                                       \
		post;                                                                              \
		rig_run(r);                                                                        \
		assert_int_equal(bad(r), ++n);                                                     \
		assert_int_equal(rig_inner(r, &qp)->sq.tail, 0);                                   \
		assert_int_equal(rig_inner(r, &qp)->rq.tail, 0);                                   \
		assert_int_equal(atomic_load(&r->sq->credit), r->sq_tail);                         \
	} while (0)
	REFUSED(rig_post(r, &qp, &wr)); /* five SGEs, four allowed */
	wr.op = FNS_WR_RECV;
	REFUSED(rig_post(r, &qp, &wr));
	wr = (struct rig_wr){
		.op = FNS_WR_SEND, .flags = FNS_WRF_INLINE, .data = blob, .inline_len = 257};
	REFUSED(rig_post(r, &qp, &wr));
	wr = (struct rig_wr){.op = FNS_WR_BIND_MW + 1};
	REFUSED(rig_post(r, &qp, &wr));
	wr.op = FNS_WR_RECV - 1;
	REFUSED(rig_post(r, &qp, &wr));
	wr.op = 0;
	REFUSED(rig_post(r, &qp, &wr));
	wr.op = 255;
	REFUSED(rig_post(r, &qp, &wr));
	wr.op = FNS_WR_SEND;
	qp.gen++;
	REFUSED(rig_post(r, &qp, &wr));
	wr.op = FNS_WR_RECV;
	REFUSED(rig_post(r, &qp, &wr));
	qp.gen--;
	wr.op = FNS_WR_SEND;
	REFUSED(rig_post(r, &idle, &wr)); /* RESET */
	wr.op = FNS_WR_RECV;
	REFUSED(rig_post(r, &idle, &wr));
	rig_to_init(r, &idle);
	wr.op = FNS_WR_SEND;
	REFUSED(rig_post(r, &idle, &wr));
	rig_to_rtr(r, &idle);
	REFUSED(rig_post(r, &idle, &wr));
	idle.qpn ^= 0x800000;
	REFUSED(rig_post(r, &idle, &wr)); /* another prefix */
	idle.qpn ^= 0x800000;
	wr.op = FNS_WR_SRQ_RECV;
	REFUSED(rig_post(r, &qp, &wr)); /* no SRQ has this handle */

	/* Slot counts that do not go with the operation. */
	for (i = 0; i < 64; i++) {
		uint32_t mask = r->sq_slots - 1, lap, k;
		struct fns_sqd *s = &r->sq->slot[r->sq_tail & mask];
		uint32_t used = i == 0 || i > FNS_SQD_MAX_SLOTS ? 1 : i;

		if (i == 1)
			continue;
		for (k = 1; k < used; k++)
			atomic_store(&r->sq->slot[(r->sq_tail + k) & mask].ctl,
				((r->sq_tail + k) / r->sq_slots & 1) ^ 1);
		lap = r->sq_tail / r->sq_slots & 1;
		memset((char *)s + 4, 0, 60);
		s->qpn = qp.qpn;
		s->gen = qp.gen;
		atomic_store(&s->ctl, FNS_SQD_CTL(lap ^ 1, i, FNS_WR_SEND, 0));
		REFUSED(r->sq_tail += used);
	}
	works(r, &qp, 1);
	rig_qp_destroy(r, &qp);
	rig_qp_destroy(r, &idle);
	rig_destroy(r);
}

/* The library would never let them through. */
static void queue_overflow(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;
	unsigned i;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	for (i = 0; i < 70; i++)
		rig_post_data(r, &qp, FNS_WR_WRITE, i, FNS_WRF_SIGNALED, 0, 8);
	for (i = 0; i < 70; i++)
		rig_post_recv(r, &qp, i, 0, 8);
	rig_run(r);
	assert_int_equal(bad(r), 12);
	assert_int_equal(rig_inner(r, &qp)->sq.tail, 64);
	assert_int_equal(rig_inner(r, &qp)->rq.tail, 64);
	rig_inject_ack(r, &qp, RIG_SQ_PSN + 63);
	rig_run(r);
	for (i = 0; i < 64; i++)
		rig_expect_cqe(&qp.cq, i, FNS_WC_SUCCESS);
	rig_expect_no_cqe(&qp.cq);
	works(r, &qp, 99);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

static void fails_with(struct rig *r, const struct rig_wr *wr, uint8_t type, uint8_t status)
{
	struct rig_qp qp;

	rig_qp_create(r, &qp, type);
	rig_connect(r, &qp);
	rig_post(r, &qp, wr);
	rig_post_data(r, &qp, FNS_WR_SEND, 2, 0, 0, 8);
	r->nsent = 0;
	rig_run(r);
	rig_expect_cqe(&qp.cq, wr->wr_id, status);
	rig_expect_cqe(&qp.cq, 2, FNS_WC_WR_FLUSH_ERR);
	rig_expect_no_cqe(&qp.cq);
	assert_int_equal(r->nsent, 0);
	rig_qp_destroy(r, &qp);
}

/* Taken into the queue, and failed in their turn. */
static void failing_in_turn(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_wr wr = {.wr_id = 1, .op = FNS_WR_SEND, .nsge = 4};
	static const uint8_t blob[256];
	unsigned i;

	for (i = 0; i < 4; i++)
		wr.sge[i] = (struct fns_sqd_sge){
			.addr = (uintptr_t)r->mem, .len = UINT32_MAX, .lkey = r->key};
	fails_with(r, &wr, FNS_QPT_RC, FNS_WC_LOC_LEN_ERR);
	fails_with(r, &wr, FNS_QPT_UC, FNS_WC_LOC_LEN_ERR);
	wr.nsge = 2;
	wr.sge[0].len = 1u << 31;
	wr.sge[1].len = 1;
	fails_with(r, &wr, FNS_QPT_RC, FNS_WC_LOC_LEN_ERR);
	wr.nsge = 1; /* 2^31 is a length, but not of our memory */
	wr.sge[0].addr += RIG_MEM - 512;
	fails_with(r, &wr, FNS_QPT_UC, FNS_WC_LOC_PROT_ERR);
	wr.sge[0].addr = (uintptr_t)r->mem;
	wr.sge[0].len = 8;
	wr.sge[0].lkey ^= 1;
	fails_with(r, &wr, FNS_QPT_RC, FNS_WC_LOC_PROT_ERR);
	wr.sge[0].lkey ^= 1;
	wr.sge[0].addr--;
	fails_with(r, &wr, FNS_QPT_UC, FNS_WC_LOC_PROT_ERR);
	wr.sge[0].addr++;
	wr.sge[0].len = 4;
	wr.op = FNS_WR_CMP_SWAP;
	fails_with(r, &wr, FNS_QPT_RC, FNS_WC_LOC_LEN_ERR);
	wr.sge[0].len = 8;
	fails_with(r, &wr, FNS_QPT_UC, FNS_WC_LOC_QP_OP_ERR);
	wr.op = FNS_WR_READ;
	fails_with(r, &wr, FNS_QPT_UC, FNS_WC_LOC_QP_OP_ERR);
	wr.op = FNS_WR_SEND_INV;
	fails_with(r, &wr, FNS_QPT_UC, FNS_WC_LOC_QP_OP_ERR);
	wr.op = FNS_WR_WRITE;
	fails_with(r, &wr, FNS_QPT_UD, FNS_WC_LOC_QP_OP_ERR);
	/* Results cannot go into inline data. */
	wr = (struct rig_wr){.wr_id = 1, .flags = FNS_WRF_INLINE, .data = blob, .inline_len = 8};
	wr.op = FNS_WR_READ;
	fails_with(r, &wr, FNS_QPT_RC, FNS_WC_LOC_QP_OP_ERR);
	wr.op = FNS_WR_CMP_SWAP;
	fails_with(r, &wr, FNS_QPT_RC, FNS_WC_LOC_QP_OP_ERR);
	wr.op = FNS_WR_FETCH_ADD;
	fails_with(r, &wr, FNS_QPT_RC, FNS_WC_LOC_QP_OP_ERR);
	rig_destroy(r);
}

/* Descriptors of all sizes through a small ring, many laps: SGE lists and inline data arrive whole.
 */
static void ring_wraps(void **state)
{
	struct rig_opts o = {.sq_slots = 16};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;
	struct fns_rng rng;
	unsigned i;

	fns_rng_seed(&rng, SEED);
	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	for (i = 0; i < 3000; i++) {
		struct rig_wr wr = {.op = FNS_WR_SEND, .wr_id = i, .flags = FNS_WRF_SIGNALED};
		uint32_t len = 0, k;
		uint8_t inl[256];

		rig_fill(r, 0, 4096, (uint8_t)i);
		if (fns_rng_below(&rng, 2)) {
			wr.flags |= FNS_WRF_INLINE;
			len = wr.inline_len = (uint32_t)fns_rng_below(&rng, 257);
			memcpy(inl, r->mem, sizeof(inl));
			wr.data = inl;
		} else {
			wr.nsge = (uint32_t)fns_rng_below(&rng, 5);
			for (k = 0; k < wr.nsge; k++) {
				wr.sge[k] = (struct fns_sqd_sge){.addr = (uintptr_t)r->mem + len,
					.len = (uint32_t)fns_rng_below(&rng, 200),
					.lkey = r->key};
				len += wr.sge[k].len;
			}
		}
		rig_post(r, &qp, &wr);
		r->nsent = 0;
		rig_run(r);
		assert_int_equal(r->nsent, 1);
		assert_int_equal(r->sent[0].h.payload_len, len);
		assert_int_equal(rig_differs(r->sent[0].h.payload, len, (uint8_t)i), -1);
		assert_false(fns_engine_submissions_pending(r->e));
		rig_inject_ack(r, &qp, r->sent[0].h.psn);
		rig_run(r);
		rig_expect_cqe(&qp.cq, i, FNS_WC_SUCCESS);
	}
	assert_int_equal(bad(r), 0);
	rig_post_data(r, &qp, FNS_WR_SEND, 1, 0, 0, 1);
	assert_true(fns_engine_submissions_pending(r->e));
	rig_run(r);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* --- hostile --- */

#define HOSTILE_SLOTS 256u
#define VICTIMS       6u

struct attack {
	struct rig *r;
	struct fns_rng rng;
	struct fns_sq_shared *ring;
	uint32_t tail;
	struct rig_qp qp[VICTIMS];
	uint32_t srq, ah;
};

static uint64_t pick(struct attack *a, uint64_t n)
{
	return fns_rng_below(&a->rng, n);
}

static void fill_sge(struct attack *a, struct fns_sqd_sge *s)
{
	if (pick(a, 4) == 0)
		return; /* as random as it is */
	s->lkey = a->r->key;
	s->addr = (uintptr_t)a->r->mem + 4096 + pick(a, RIG_MEM - 8192);
	s->len = (uint32_t)pick(a, pick(a, 8) ? 2048 : UINT32_MAX);
}

/* Random bytes, then made plausible here and there so that they get far. */
static void random_slot(struct attack *a, struct fns_sqd *s, uint32_t *ctl)
{
	static const uint8_t ops[] = {FNS_WR_SEND, FNS_WR_SEND_IMM, FNS_WR_SEND_INV, FNS_WR_WRITE,
		FNS_WR_WRITE_IMM, FNS_WR_READ, FNS_WR_CMP_SWAP, FNS_WR_FETCH_ADD, FNS_WR_LOCAL_INV,
		FNS_WR_BIND_MW, FNS_WR_RECV, FNS_WR_SRQ_RECV};
	uint32_t v = (uint32_t)pick(a, VICTIMS + 1);
	struct rig_wr shape = {0};
	uint32_t n, i;
	uint8_t *p = (uint8_t *)s;

	for (i = 0; i < sizeof(*s); i++)
		p[i] = (uint8_t)fns_rng_u64(&a->rng);
	*ctl = (uint32_t)fns_rng_u64(&a->rng);
	if (pick(a, 5) == 0)
		return;
	s->qpn = v == VICTIMS ? a->srq : a->qp[v].qpn;
	s->gen = v == VICTIMS ? 0 : a->qp[v].gen;
	s->num_sge = (uint8_t)pick(a, pick(a, 4) ? 5 : 256);
	s->inline_len = (uint16_t)pick(a, pick(a, 2) ? 10 : pick(a, 4) ? 257 : 65536);
	fill_sge(a, &s->sge0);
	if (v < VICTIMS && a->qp[v].type == FNS_QPT_UD && pick(a, 8)) {
		s->ud.ah = a->ah;
		s->ud.remote_qpn = RIG_PEER_QPN;
	}
	shape.op = ops[pick(a, FNS_ARRAY_SIZE(ops))];
	shape.flags = (uint32_t)pick(a, 16);
	shape.nsge = s->num_sge;
	shape.inline_len = s->inline_len;
	n = pick(a, 8) ? rig_slots(&shape) : (uint32_t)pick(a, 64);
	*ctl = FNS_SQD_CTL(0, n, shape.op, shape.flags);
}

/* A whole lap of slots, all valid by their phase. */
static void hostile_lap(struct attack *a)
{
	uint32_t i;

	for (i = 0; i < HOSTILE_SLOTS; i++, a->tail++) {
		struct fns_sqd *slot = &a->ring->slot[a->tail % HOSTILE_SLOTS], s;
		uint32_t ctl;

		random_slot(a, &s, &ctl);
		memcpy((char *)slot + 4, (char *)&s + 4, 60);
		atomic_store(&slot->ctl, (ctl & ~1u) | ((a->tail / HOSTILE_SLOTS & 1) ^ 1));
	}
}

/* What a peer might answer to what is outstanding: acknowledgements, refusals, data, atomic
 * results. */
static void answer(struct attack *a, struct rig_qp *rq)
{
	struct fns_qp *qp = rig_inner(a->r, rq);
	static const uint8_t syndromes[] = {
		0x1f, 0x1f, 0x1f, 0x1f, 0x60, 0x21, 0x61, 0x62, 0x63, 0x64};
	uint8_t zeros[4096] = {0};
	unsigned i;

	if (qp->type != FNS_QPT_RC)
		return;
	for (i = 0; i < 20 && qp->req.una != qp->req.max_psn; i++) {
		const struct fns_wqe *w = fns_sq_at(&qp->sq, qp->req.ack_pos);
		uint32_t seg = (uint32_t)psn_diff(qp->req.una, w->first_psn);
		uint8_t op = FNS_OP_ACK;

		if (w->op == FNS_WR_READ)
			op = w->npsn == 1         ? FNS_OP_READ_RESP_ONLY
			     : seg == 0           ? FNS_OP_READ_RESP_FIRST
			     : seg + 1 == w->npsn ? FNS_OP_READ_RESP_LAST
						  : FNS_OP_READ_RESP_MIDDLE;
		else if (w->op == FNS_WR_CMP_SWAP || w->op == FNS_WR_FETCH_ADD)
			op = FNS_OP_ATOMIC_ACK;
		if (op == FNS_OP_ACK || pick(a, 16) == 0)
			rig_inject_aeth(
				a->r, rq, qp->req.una, syndromes[pick(a, sizeof(syndromes))]);
		else
			rig_inject(a->r, rig_hdr(rq, op, qp->req.una), zeros,
				op == FNS_OP_ATOMIC_ACK ? 0 : fns_seg_len(qp, w, seg));
		rig_step(a->r, 1000);
	}
}

static void revive(struct attack *a, struct rig_qp *rq)
{
	struct fns_cqe c;
	unsigned i;

	while (rig_poll(&rq->cq, &c))
		;
	for (i = 0; i < 1000 && rig_modify(a->r, rq, FNS_QPS_RESET, FNS_QPA_STATE) != 0; i++)
		rig_settle(a->r);
	while (rig_poll(&rq->cq, &c))
		;
	switch (pick(a, 6)) {
	case 0:
		rig_to_init(a->r, rq);
		return;
	case 1:
		rig_to_init(a->r, rq);
		rig_to_rtr(a->r, rq);
		return;
	default:
		rig_connect(a->r, rq);
	}
}

static void attack_with(const struct rig_opts *o, uint64_t seed, unsigned rounds)
{
	struct rig *r = rig_create(o);
	struct attack a = {.r = r};
	struct rig_qp good;
	struct fns_ctl m;
	unsigned i, k;

	print_message("seed %llu\n", (unsigned long long)seed);
	fns_rng_seed(&a.rng, seed);
	a.ring = aligned_alloc(64, sizeof(*a.ring) + HOSTILE_SLOTS * sizeof(struct fns_sqd));
	assert_non_null(a.ring);
	memset(a.ring, 0, sizeof(*a.ring) + HOSTILE_SLOTS * sizeof(struct fns_sqd));
	assert_int_equal(fns_engine_attach(r->e, a.ring, HOSTILE_SLOTS), 0);
	m = (struct fns_ctl){
		.op = FNS_CTL_SRQ_CREATE, .srq = {.pd = r->pd, .max_wr = 32, .max_sge = 4}};
	assert_int_equal(rig_ctl(r, &m), 0);
	a.srq = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_AH_CREATE};
	m.ah.pd = r->pd;
	m.ah.av = (struct fns_ctl_av){
		.sgid = r->self, .dgid = r->peer, .is_global = 1, .link_mtu = 1500};
	assert_int_equal(rig_ctl(r, &m), 0);
	a.ah = m.handle;
	for (i = 0; i < VICTIMS; i++) {
		rig_qp_create_srq(r, &a.qp[i], (uint8_t)(FNS_QPT_RC + i % 3), i >= 3 ? a.srq : 0);
		rig_connect(r, &a.qp[i]);
	}
	rig_qp_create(r, &good, FNS_QPT_RC);
	good.attr.dest_qpn = 0x030042; /* another peer process: a window of its own */
	rig_connect(r, &good);
	for (i = 0; i < rounds; i++) {
		hostile_lap(&a);
		r->nsent = 0;
		r->keep_sent = false;
		rig_step(r, 10000);
		for (k = 0; k < VICTIMS; k++)
			answer(&a, &a.qp[k]);
		rig_step(r, 1000000);
		r->keep_sent = true;
		works(r, &good, i);
		for (k = 0; k < VICTIMS; k++)
			revive(&a, &a.qp[k]);
	}
	assert_true(bad(r) > rounds);
	rig_qp_destroy(r, &good);
	for (i = 0; i < VICTIMS; i++)
		rig_qp_destroy(r, &a.qp[i]);
	rig_destroy(r);
	free(a.ring);
}

static void hostile_ring(void **state)
{
	uint64_t seed;

	for (seed = SEED; seed < SEED + 20; seed++)
		attack_with(NULL, seed, 20);
}

static void hostile_ring_far_memory(void **state)
{
	struct rig_opts o = {.simdma = true,
		.sim = {.seed = 3, .min_ns = 100, .max_ns = 20000, .fail_ppm = 5000}};
	uint64_t seed;

	for (seed = SEED; seed < SEED + 10; seed++) {
		o.sim.seed = seed;
		o.sim.fail_ppm = 0; /* the good queue pair's memory is the same */
		attack_with(&o, seed, 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_descriptors),
		cmocka_unit_test(queue_overflow),
		cmocka_unit_test(failing_in_turn),
		cmocka_unit_test(ring_wraps),
		cmocka_unit_test(hostile_ring),
		cmocka_unit_test(hostile_ring_far_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
