/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Received packets find their queue pair or a counter. Random and mutated packets do no harm, and
 * each one is accounted for: accepted, dropped for one reason, answered, or taken as a duplicate.
 */
#include "rig.h"

#include <string.h>

#define SEED  20260303u
#define N_QPS 21u /* three types, seven states */

static uint64_t drops(const struct rig *r)
{
	uint64_t n = 0;
	unsigned c;

	for (c = FNS_C_drop_short; c <= FNS_C_drop_sim_fault; c++)
		n += rig_count(r, (enum fns_counter)c);
	return n;
}

static void dropped_as(struct rig *r, enum fns_counter why)
{
	uint64_t all = drops(r), one = rig_count(r, why);

	assert_int_equal(r->rx_queued, 1);
	rig_run(r);
	assert_int_equal(rig_count(r, why), one + 1);
	assert_int_equal(drops(r), all + 1);
	assert_int_equal(r->views_out, 0);
}

static void demultiplexing(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp rc, ud, idle;
	struct fns_hdr h;
	struct fns_gid stranger = rig_gid4(77);
	uint8_t pkt[64] = {0};
	uint32_t len, i;

	rig_qp_create(r, &rc, FNS_QPT_RC);
	rig_qp_create(r, &ud, FNS_QPT_UD);
	rig_qp_create(r, &idle, FNS_QPT_RC);
	rig_connect(r, &rc);
	rig_connect(r, &ud);
	rig_post_recv(r, &rc, 1, 0, 64);
	rig_run(r);
	h = rig_hdr(&rc, FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	len = fns_hdr_build(pkt, &h);
	for (i = 0; i < len; i++) { /* cut short anywhere */
		rig_inject_raw(r, pkt, i);
		dropped_as(r, FNS_C_drop_header);
	}
	rig_inject_raw(r, pkt, len + 1);
	dropped_as(r, FNS_C_drop_header);
	pkt[1] |= 1; /* header version */
	rig_inject_raw(r, pkt, len);
	dropped_as(r, FNS_C_drop_header);
	h.opcode = FNS_OP_SEND_ONLY;
	h.dest_qp = rc.qpn ^ 0x800000;
	rig_inject(r, h, NULL, 0);
	dropped_as(r, FNS_C_drop_no_qp);
	h.dest_qp = FNS_QPN_MULTICAST;
	rig_inject(r, h, NULL, 0);
	dropped_as(r, FNS_C_drop_no_qp);
	h = rig_hdr(&rc, FNS_TC_UC | FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	rig_inject(r, h, NULL, 0);
	dropped_as(r, FNS_C_drop_qp_type);
	h = rig_hdr(&ud, FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	rig_inject(r, h, NULL, 0);
	dropped_as(r, FNS_C_drop_qp_type);
	h = rig_hdr(&rc, FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	h.pkey = 0x8001;
	rig_inject(r, h, NULL, 0);
	dropped_as(r, FNS_C_drop_pkey);
	h = rig_hdr(&rc, FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	len = fns_hdr_build(pkt, &h);
	rig_inject_from(r, &stranger, pkt, len);
	dropped_as(r, FNS_C_drop_source);
	h = rig_hdr(&idle, FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	rig_inject(r, h, NULL, 0);
	dropped_as(r, FNS_C_drop_qp_state);
	h = rig_hdr(&ud, FNS_TC_UD | FNS_OP_SEND_ONLY, 0);
	h.qkey++;
	rig_inject(r, h, NULL, 0);
	dropped_as(r, FNS_C_drop_qkey);
	rig_expect_no_cqe(&rc.cq);
	h = rig_hdr(&rc, FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	h.pkey = 0x7fff; /* limited member: fine, we are full */
	i = (uint32_t)drops(r);
	rig_inject(r, h, NULL, 0);
	rig_run(r);
	rig_expect_cqe(&rc.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(drops(r), i);
	rig_qp_destroy(r, &rc);
	rig_qp_destroy(r, &ud);
	rig_qp_destroy(r, &idle);
	rig_destroy(r);
}

/* --- random packets --- */

struct target {
	struct rig *r;
	struct fns_rng rng;
	struct rig_qp qp[N_QPS];
	uint8_t want[N_QPS]; /* state */
};

static uint64_t pick(struct target *t, uint64_t n)
{
	return fns_rng_below(&t->rng, n);
}

static void prepare(struct target *t, unsigned i)
{
	struct rig *r = t->r;
	struct rig_qp *qp = &t->qp[i];
	struct fns_cqe c;
	unsigned k;

	for (k = 0; k < 1000 && rig_modify(r, qp, FNS_QPS_RESET, FNS_QPA_STATE) != 0; k++)
		rig_settle(r);
	while (rig_poll(&qp->cq, &c))
		;
	if (t->want[i] == FNS_QPS_RESET)
		return;
	rig_to_init(r, qp);
	if (t->want[i] >= FNS_QPS_RTR)
		rig_to_rtr(r, qp);
	if (t->want[i] >= FNS_QPS_RTS)
		rig_to_rts(r, qp);
	for (k = 0; k < 16; k++)
		rig_post_recv(r, qp, 100 + k, 4096 * k,
			qp->type == FNS_QPT_UD || k % 4 < 2 ? 4096
			: k % 4 == 2                        ? 8
							    : 0);
	if (t->want[i] >= FNS_QPS_RTS)
		for (k = 0; k < 8 && qp->type == FNS_QPT_RC; k++)
			rig_post_data(r, qp, (uint8_t)(FNS_WR_SEND + pick(t, 8)), k, k & 1, 0,
				pick(t, 2) ? 8 : 3000);
	rig_run(r);
	if (t->want[i] == FNS_QPS_SQD)
		rig_modify(r, qp, FNS_QPS_SQD, FNS_QPA_STATE);
	if (t->want[i] == FNS_QPS_ERR)
		rig_modify(r, qp, FNS_QPS_ERR, FNS_QPA_STATE);
	if (t->want[i] == FNS_QPS_SQE && qp->type != FNS_QPT_RC) {
		struct rig_wr wr = {.op = FNS_WR_SEND, .nsge = 1, .sge[0] = {.len = 4, .lkey = 1}};

		rig_post(r, qp, &wr);
		rig_run(r);
	}
}

/* One of the class's opcodes, a PSN near where the queue pair stands, lengths near the PMTU. */
static uint32_t plausible(
	struct target *t, const struct rig_qp *rq, const struct fns_qp *qp, uint8_t *pkt)
{
	static const uint32_t lens[] = {
		0, 0, 1, 7, 8, 1023, 1024, 1024, 1024, 1025, 2048, 3000, 4096};
	struct fns_hdr h;
	uint32_t n, len, i;
	uint8_t op;

	do
		op = (uint8_t)(pick(t, 32) | (pick(t, 30) ? qp->ops->tclass : pick(t, 8) << 5));
	while (!(fns_opcodes[op].flags & FNS_OPF_VALID));
	h = rig_hdr(rq, op, 0);
	h.psn = fns_opcodes[op].flags & FNS_OPF_REQUEST ? qp->rsp.epsn : qp->req.una;
	if (pick(t, 3) == 0)
		h.psn = psn_add(h.psn, (uint32_t)pick(t, 12) - 6);
	if (pick(t, 50) == 0)
		h.psn = (uint32_t)fns_rng_u64(&t->rng) & FNS_PSN_MASK;
	h.ack_req = pick(t, 2);
	h.selective = pick(t, 4) == 0;
	h.solicited = pick(t, 2);
	h.syndrome = pick(t, 3) ? 0x1f : (uint8_t)fns_rng_u64(&t->rng);
	h.va = (uintptr_t)t->r->mem + (pick(t, RIG_MEM + 64) & (pick(t, 4) ? ~7ull : ~0ull));
	h.rkey = pick(t, 10) ? t->r->key : (uint32_t)fns_rng_u64(&t->rng);
	len = fns_opcodes[op].flags & FNS_OPF_PAYLOAD ? lens[pick(t, FNS_ARRAY_SIZE(lens))] : 0;
	h.dma_len = pick(t, 3) == 0 ? (uint32_t)(fns_rng_u64(&t->rng) >> (32 + pick(t, 32))) : len;
	h.swap_add = fns_rng_u64(&t->rng);
	h.imm = (uint32_t)fns_rng_u64(&t->rng);
	h.qkey = pick(t, 5) ? RIG_QKEY : 1;
	h.pad = (uint8_t)(-len & 3);
	n = fns_hdr_build(pkt, &h);
	memset(pkt + n, 0x5a, len + h.pad);
	n += len + h.pad;
	if (pick(t, 4) == 0)
		for (i = 0; i < 1 + pick(t, 4); i++)
			pkt[pick(t, FNS_MIN(n, 48u))] ^= (uint8_t)(1u << pick(t, 8));
	if (pick(t, 40) == 0)
		n = (uint32_t)pick(t, n + 1);
	return n;
}

struct tally {
	uint64_t drops, dups, naks, kept, fatal, acks, stale, implied;
	uint32_t epsn, una;
};

static struct tally tally(const struct rig *r, const struct fns_qp *qp)
{
	return (struct tally){.drops = drops(r),
		.dups = rig_count(r, FNS_C_rc_duplicates),
		.naks = rig_count(r, FNS_C_rc_seq_naks_sent) + rig_count(r, FNS_C_rc_rnr_naks_sent),
		.kept = rig_count(r, FNS_C_irn_early),
		.fatal = rig_count(r, FNS_C_rc_fatal_naks_sent),
		.acks = rig_count(r, FNS_C_acks_received),
		.stale = rig_count(r, FNS_C_drop_stale_ack),
		.implied = rig_count(r, FNS_C_rc_implied_naks),
		.epsn = qp->rsp.epsn,
		.una = qp->req.una};
}

/* What one packet to a queue pair of type and (before it came) state did. */
static void accounted(const struct rig *r, const struct fns_qp *qp, uint8_t type, uint8_t op,
	const struct tally *a)
{
	struct tally b = tally(r, qp);
	bool request = fns_opcodes[op].flags & FNS_OPF_REQUEST;
	bool moved = b.epsn != a->epsn, dropped = b.drops != a->drops;
	unsigned fates;

	assert_in_range(b.drops - a->drops, 0, 1);
	if (dropped && type == FNS_QPT_RC) /* never dropped and executed */
		assert_false(moved && qp->state != FNS_QPS_ERR);
	if (dropped || type != FNS_QPT_RC)
		return; /* UC and UD are counted below, by their completions */
	if (!request) {
		/* An ACK is counted; a response moves una, fails its work request or shows that one
		 * is missing. */
		if (op == FNS_OP_ACK)
			assert_int_equal(b.acks, a->acks + 1);
		return;
	}
	fates = (unsigned)(moved + (b.dups - a->dups) + (b.naks - a->naks) + (b.kept - a->kept));
	/* What was accepted or seen before may still be refused: memory fails, a READ's key is
	 * looked at again. */
	assert_in_range(b.fatal - a->fatal, 0, 1);
	if (b.fatal == a->fatal || fates)
		assert_int_equal(fates, 1);
}

static void random_packets(const struct rig_opts *o, uint64_t seed, unsigned n)
{
	struct target t = {.r = rig_create(o)};
	struct rig *r = t.r;
	uint64_t injected = 0, hit[3] = {0};
	unsigned i;

	print_message("seed %llu\n", (unsigned long long)seed);
	fns_rng_seed(&t.rng, seed);
	for (i = 0; i < N_QPS; i++) {
		rig_qp_create(r, &t.qp[i], (uint8_t)(FNS_QPT_RC + i % 3));
		t.want[i] = (uint8_t)(i / 3);
		prepare(&t, i);
	}
	for (i = 0; i < n; i++) {
		unsigned v = pick(&t, 4) ? (unsigned)(6 + pick(&t, 9)) : (unsigned)pick(&t, N_QPS);
		struct fns_qp *qp = rig_inner(r, &t.qp[v]);
		uint8_t pkt[RIG_PACKET + 64];
		uint32_t len, k;
		struct tally before;

		r->nsent = 0;
		if (pick(&t, 20) == 0) {
			len = (uint32_t)pick(&t, 80);
			for (k = 0; k < len; k++)
				pkt[k] = (uint8_t)fns_rng_u64(&t.rng);
		} else {
			len = plausible(&t, &t.qp[v], qp, pkt);
		}
		before = tally(r, qp);
		rig_inject_raw(r, pkt, len);
		injected++;
		if (!o)
			rig_step(r, 1000);
		else
			rig_settle(r);
		if (r->views_out)
			fail_msg("packet %u keeps its buffer", i);
		if (len >= FNS_BTH_LEN) {
			accounted(r, qp, qp->type, pkt[0], &before);
			hit[qp->type - FNS_QPT_RC] += drops(r) == before.drops;
		}
		if (i % 32 == 0 || qp->state == FNS_QPS_ERR || qp->rq.head == qp->rq.tail)
			prepare(&t, v);
	}
	assert_int_equal(rig_count(r, FNS_C_rx_packets), injected);
	for (i = 0; i < 3; i++)
		if (hit[i] < n / 50)
			fail_msg("too few packets were good for type %u", i + FNS_QPT_RC);
	assert_true(rig_count(r, FNS_C_rc_duplicates) > n / 200);
	assert_true(rig_count(r, FNS_C_rc_seq_naks_sent) > n / 1000);
	assert_true(rig_count(r, FNS_C_rc_fatal_naks_sent) > n / 200);
	for (i = 0; i < N_QPS; i++)
		rig_qp_destroy(r, &t.qp[i]);
	rig_destroy(r);
}

static void random_packets_near(void **state)
{
	random_packets(NULL, SEED, 100000);
	random_packets(NULL, SEED + 1, 50000);
}

static void random_packets_far(void **state)
{
	struct rig_opts o = {.simdma = true,
		.sim = {.seed = 5, .min_ns = 100, .max_ns = 9000, .fail_ppm = 2000}};

	random_packets(&o, SEED + 2, 50000);
}

/* UD: every packet is one completion or one drop. */
static void ud_adds_up(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;
	struct fns_rng rng;
	struct fns_cqe c;
	uint64_t done = 0, i;
	uint8_t payload[4096] = {0};

	fns_rng_seed(&rng, SEED);
	rig_qp_create(r, &qp, FNS_QPT_UD);
	rig_connect(r, &qp);
	for (i = 0; i < 20000; i++) {
		struct fns_hdr h = rig_hdr(&qp,
			FNS_TC_UD |
				(fns_rng_below(&rng, 2) ? FNS_OP_SEND_ONLY : FNS_OP_SEND_ONLY_IMM),
			(uint32_t)i & FNS_PSN_MASK);

		if (fns_rng_below(&rng, 3))
			rig_post_recv(
				r, &qp, i, 0, (uint32_t)(fns_rng_below(&rng, 4) ? 2500 : 500));
		h.qkey = fns_rng_below(&rng, 8) ? RIG_QKEY : 3;
		h.pkey = fns_rng_below(&rng, 8) ? 0xffff : 3;
		rig_inject(r, h, payload, (uint32_t)fns_rng_below(&rng, 2000));
		rig_run(r);
		while (rig_poll(&qp.cq, &c)) {
			assert_int_equal(c.status, FNS_WC_SUCCESS);
			done++;
		}
		assert_int_equal(done + drops(r), i + 1);
	}
	assert_true(done > 1000 && rig_count(r, FNS_C_drop_qkey) > 1000 &&
		    rig_count(r, FNS_C_drop_length) > 1000);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(demultiplexing),
		cmocka_unit_test(random_packets_near),
		cmocka_unit_test(random_packets_far),
		cmocka_unit_test(ud_adds_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
