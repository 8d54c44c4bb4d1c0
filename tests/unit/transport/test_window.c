/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peer's receive window: never exceeded, shared, halved on loss, and back at zero when
 * everything is acknowledged. For UC and UD, credit: a peer that never answers is another NIC and
 * has no window in the end; one that answers is never overrun.
 */
#include "rig.h"

#include <string.h>

#define SEED 20260404u
#define PMTU 1024u
#define MS   1000000ull
/* What a peer of unknown kind is given to answer before it counts as another NIC: 4 + 8 + ... + 128
 * ms. */
#define SILENT_NS (252 * MS)

static struct fns_peer *peer_of(struct rig *r)
{
	assert_false(fns_list_empty(&r->e->nic.peers));
	return fns_container_of(r->e->nic.peers.next, struct fns_peer, node);
}

/* What the packets sent cost, as the rig's wire sees it. */
static uint32_t cost(const struct rig_packet *p, bool bulk)
{
	return FNS_BTH_LEN + 16 + p->h.payload_len + FNS_ICRC_LEN + (bulk ? 64 : 256);
}

static void rc_stops_at_the_window(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;
	uint32_t inflight = 0, acked = 0, i, k;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	for (i = 0; i < 64; i++)
		rig_post_data(r, &qp, FNS_WR_WRITE, i, FNS_WRF_SIGNALED, 0, 2 * PMTU);
	for (i = 0; acked < 128; i++) {
		assert_true(i < 1000);
		rig_run(r);
		for (inflight = 0, k = acked; k < r->nsent; k++)
			inflight += cost(&r->sent[k], true);
		assert_int_equal(peer_of(r)->inflight, inflight);
		assert_true(inflight <= 20000);
		/* As full as it goes, as long as there is something. */
		if (r->nsent < 128)
			assert_true(inflight + cost(&r->sent[0], true) > 20000);
		assert_true(r->nsent > acked);
		/* Somebody must open it again: the last one asks. */
		if (r->nsent < 128)
			assert_true(r->sent[r->nsent - 1].h.ack_req);
		acked += 1 + i % 5;
		acked = FNS_MIN(acked, r->nsent);
		rig_inject_ack(r, &qp, RIG_SQ_PSN + acked - 1);
	}
	rig_run(r);
	assert_int_equal(peer_of(r)->inflight, 0);
	for (i = 0; i < 64; i++)
		rig_expect_cqe(&qp.cq, i, FNS_WC_SUCCESS);
	assert_true(rig_count(r, FNS_C_window_stalls) > 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* Two queue pairs, one process at the other end: one window for both, and neither starves. */
static void rc_shares_the_window(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp[3];
	unsigned i, k, acked = 0, done[3] = {0};
	struct fns_cqe c;

	for (i = 0; i < 3; i++) {
		rig_qp_create(r, &qp[i], FNS_QPT_RC);
		qp[i].attr.dest_qpn = RIG_PEER_QPN + i;
		rig_connect(r, &qp[i]);
		for (k = 0; k < 20; k++)
			rig_post_data(r, &qp[i], FNS_WR_SEND, k, FNS_WRF_SIGNALED, 0, 3 * PMTU);
	}
	for (i = 0; i < 400; i++) {
		rig_run(r);
		assert_true(peer_of(r)->inflight <= 20000);
		for (; acked < r->nsent; acked++) {
			const struct rig_packet *p = &r->sent[acked];

			if (p->h.ack_req)
				rig_inject_ack(r, &qp[p->h.dest_qp - RIG_PEER_QPN], p->h.psn);
		}
		for (k = 0; k < 3; k++)
			while (rig_poll(&qp[k].cq, &c))
				done[k]++;
		/* Nobody runs away from the others. */
		for (k = 0; k < 3; k++)
			assert_true(done[k] <= done[(k + 1) % 3] + 18);
	}
	for (k = 0; k < 3; k++)
		assert_int_equal(done[k], 20);
	assert_int_equal(peer_of(r)->inflight, 0);
	for (i = 0; i < 3; i++)
		rig_qp_destroy(r, &qp[i]);
	rig_destroy(r);
}

/* A queue pair that ends gives back what it held, and those that wait go on. */
static void error_frees_the_window(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp a, b;

	rig_qp_create(r, &a, FNS_QPT_RC);
	rig_qp_create(r, &b, FNS_QPT_RC);
	rig_connect(r, &a);
	b.attr.dest_qpn++;
	rig_connect(r, &b);
	rig_post_data(r, &a, FNS_WR_WRITE, 1, 0, 0, 40 * PMTU);
	rig_run(r);
	rig_post_data(r, &b, FNS_WR_WRITE, 2, FNS_WRF_SIGNALED, 0, PMTU);
	r->nsent = 0;
	rig_run(r);
	assert_int_equal(r->nsent, 0);
	assert_int_equal(rig_modify(r, &a, FNS_QPS_ERR, FNS_QPA_STATE), 0);
	rig_run(r);
	assert_int_equal(r->nsent, 1);
	assert_int_equal(r->sent[0].h.dest_qp, b.attr.dest_qpn);
	rig_inject_ack(r, &b, RIG_SQ_PSN);
	rig_run(r);
	rig_expect_cqe(&b.cq, 2, FNS_WC_SUCCESS);
	assert_int_equal(peer_of(r)->inflight, 0);
	rig_qp_destroy(r, &a);
	rig_qp_destroy(r, &b);
	rig_destroy(r);
}

static void loss_halves_growth_restores(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;
	struct fns_peer *p;
	uint32_t full, psn = RIG_SQ_PSN, i;

	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	p = peer_of(r);
	full = p->window;
	rig_post_data(r, &qp, FNS_WR_WRITE, 1, 0, 0, 8 * PMTU);
	rig_run(r);
	rig_inject_aeth(r, &qp, psn, FNS_AETH_NAK);
	rig_run(r);
	assert_int_equal(p->window, full / 2);
	rig_inject_aeth(r, &qp, psn + 1, FNS_AETH_NAK);
	rig_run(r);
	assert_true(p->window < full / 2 + 4096); /* at most one cut a round trip */
	assert_true(p->window >= full / 2);
	for (i = 0; i < 20; i++) {
		rig_inject_aeth(r, &qp, psn + 1, FNS_AETH_NAK);
		rig_inject_ack(r, &qp, psn + 1);
		rig_step(r, 200000);
		psn++;
		if (i % 6 == 5) {
			rig_post_data(r, &qp, FNS_WR_WRITE, 1, 0, 0, 8 * PMTU);
			rig_run(r);
		}
	}
	assert_true(p->window >= 16384); /* never to nothing */
	rig_post_data(r, &qp, FNS_WR_WRITE, 1, 0, 0, 8 * PMTU);
	for (i = 0; i < 20000 && p->window < full; i++) {
		rig_post_data(r, &qp, FNS_WR_WRITE, 1, 0, 0, 4 * PMTU);
		rig_step(r, 1000);
		rig_inject_ack(r, &qp, rig_inner(r, &qp)->req.psn - 1);
		rig_step(r, 1000);
		r->nsent = 0;
	}
	assert_int_equal(p->window, full);
	assert_int_equal(p->inflight, 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* --- two engines --- */

#define PAIRS 3u
#define WORKS 200u
#define SLOT  8192u

struct pair {
	struct rig *a, *b;
	struct rig_qp qa[PAIRS], qb[PAIRS];
	struct fns_rng rng;
};

static void pair_begin(struct pair *p, uint8_t type, const struct rig_opts *o, uint64_t seed)
{
	struct rig_opts oa = *o, ob = *o;
	unsigned i;

	print_message("seed %llu\n", (unsigned long long)seed);
	fns_rng_seed(&p->rng, seed);
	oa.prefix = 1;
	ob.prefix = 2;
	oa.sim.seed = seed;
	ob.sim.seed = seed + 1;
	p->a = rig_create(&oa);
	p->b = rig_create(&ob);
	for (i = 0; i < PAIRS; i++) {
		rig_qp_create(p->a, &p->qa[i], type);
		rig_qp_create(p->b, &p->qb[i], type);
		p->qa[i].attr.dest_qpn = p->qb[i].qpn;
		p->qb[i].attr.dest_qpn = p->qa[i].qpn;
		p->qa[i].attr.timeout = p->qb[i].attr.timeout = 8;
		p->qa[i].attr.sq_psn = p->qb[i].attr.rq_psn =
			0xffff80 + 40 * i; /* across the wrap */
		rig_connect(p->a, &p->qa[i]);
		rig_connect(p->b, &p->qb[i]);
	}
}

static void pair_end(struct pair *p)
{
	unsigned i;

	for (i = 0; i < PAIRS; i++) {
		rig_qp_destroy(p->a, &p->qa[i]);
		rig_qp_destroy(p->b, &p->qb[i]);
	}
	rig_destroy(p->a);
	rig_destroy(p->b);
}

static unsigned pump(struct pair *p, uint32_t loss_ppm)
{
	unsigned n;

	rig_step(p->a, 2000);
	n = rig_ferry(p->a, p->b, &p->rng, loss_ppm);
	rig_step(p->b, p->a->now - p->b->now);
	n += rig_ferry(p->b, p->a, &p->rng, loss_ppm);
	return n;
}

static void post_random(struct pair *p, unsigned q, unsigned i, uint32_t *atomics, bool *wrote)
{
	struct rig_wr wr = {.wr_id = i, .flags = FNS_WRF_SIGNALED, .rkey = p->b->key, .nsge = 1};
	uint32_t slot = (q * WORKS + i) % 24;

	wr.sge[0] = (struct fns_sqd_sge){.addr = (uintptr_t)p->a->mem + slot * SLOT,
		.len = 1 + (uint32_t)fns_rng_below(&p->rng, SLOT),
		.lkey = p->a->key};
	wr.remote_addr = (uintptr_t)p->b->mem + slot * SLOT;
	switch (fns_rng_below(&p->rng, 5)) {
	case 0:
		wr.op = FNS_WR_READ; /* from what never changes, to where nobody looks but the check
				      */
		wr.remote_addr = (uintptr_t)p->b->mem + 32 * SLOT;
		wr.sge[0].addr = (uintptr_t)p->a->mem + (32 + q) * SLOT;
		break;
	case 1:
		wr.op = FNS_WR_FETCH_ADD;
		wr.remote_addr = (uintptr_t)p->b->mem + 63 * SLOT;
		wr.swap_add = 1;
		wr.sge[0].addr = (uintptr_t)p->a->mem + 62 * SLOT;
		wr.sge[0].len = 8;
		++*atomics;
		break;
	case 2:
		wr.op = FNS_WR_SEND;
		rig_post_recv(p->b, &p->qb[q], i, (40 + q) * SLOT, SLOT);
		rig_run(p->b);
		break;
	default:
		wr.op = FNS_WR_WRITE;
		wr.sge[0].len = SLOT;
		wrote[slot] = true;
		break;
	}
	rig_post(p->a, &p->qa[q], &wr);
}

/* Whatever is lost on the way, everything happens once, and no account is left open. */
static void joined(const struct rig_opts *o, uint64_t seed, uint32_t loss_ppm)
{
	struct pair p;
	uint32_t atomics = 0, i, q, posted[PAIRS] = {0}, done[PAIRS] = {0}, recvs = 0, idle = 0;
	bool wrote[24] = {false};
	struct fns_cqe c;
	uint64_t count;

	pair_begin(&p, FNS_QPT_RC, o, seed);
	for (i = 0; i < 24; i++)
		rig_fill(p.a, i * SLOT, SLOT, (uint8_t)(i + 1));
	rig_fill(p.b, 32 * SLOT, SLOT, 200);
	for (i = 0; i < 100000; i++) {
		uint32_t all = 0;

		for (q = 0; q < PAIRS; q++) {
			while (posted[q] < WORKS && posted[q] - done[q] < 16)
				post_random(&p, q, posted[q]++, &atomics, wrote);
			while (rig_poll(&p.qa[q].cq, &c)) {
				assert_int_equal(c.status, FNS_WC_SUCCESS);
				assert_int_equal(c.wr_id, done[q]);
				done[q]++;
			}
			while (rig_poll(&p.qb[q].cq, &c)) {
				assert_int_equal(c.status, FNS_WC_SUCCESS);
				recvs++;
			}
			all += done[q];
		}
		if (all == PAIRS * WORKS)
			break;
		assert_true(peer_of(p.a)->inflight <= peer_of(p.a)->max_window);
		if (pump(&p, loss_ppm) == 0 && ++idle % 4 == 0)
			p.a->now += MS;
	}
	for (q = 0; q < PAIRS; q++)
		assert_int_equal(done[q], WORKS);
	for (i = 0; i < 2000; i++)
		pump(&p, 0);
	rig_settle(p.a);
	rig_settle(p.b);
	assert_int_equal(peer_of(p.a)->inflight, 0);
	assert_int_equal(p.a->e->nic.read_cost, 0);
	for (q = 0; q < PAIRS; q++) {
		const struct fns_requester *r = &rig_inner(p.a, &p.qa[q])->req;

		assert_int_equal(r->cost, 0);
		assert_int_equal(r->rd_inflight, 0);
		assert_int_equal(r->inflight_bytes, 0);
	}
	memcpy(&count, p.b->mem + 63 * SLOT, 8);
	assert_int_equal(count, atomics);
	for (i = 0; i < 24; i++)
		if (wrote[i])
			assert_int_equal(
				rig_differs(p.b->mem + i * SLOT, SLOT, (uint8_t)(i + 1)), -1);
	for (q = 0; q < PAIRS; q++) /* READs of any length, the first byte at least */
		assert_int_equal(rig_differs(p.a->mem + (32 + q) * SLOT, 1, 200), -1);
	assert_true(recvs > 0);
	if (loss_ppm)
		assert_true(rig_count(p.a, FNS_C_rc_retransmits) > 0);
	pair_end(&p);
}

static void accounts_close_near(void **state)
{
	const struct rig_opts o = {.peer_budget = 40000, .read_budget = 40000};
	uint64_t seed;

	joined(&o, SEED, 0);
	for (seed = SEED; seed < SEED + 6; seed++)
		joined(&o, seed, (uint32_t)(seed % 3 + 1) * 20000);
}

static void accounts_close_far(void **state)
{
	const struct rig_opts o = {.simdma = true,
		.sim = {.min_ns = 100, .max_ns = 20000},
		.peer_budget = 40000,
		.read_budget = 40000};
	uint64_t seed;

	for (seed = SEED; seed < SEED + 4; seed++)
		joined(&o, seed, 20000);
}

/* --- credit --- */

static void fill_uc(struct rig *r, const struct rig_qp *qp, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		rig_post_data(r, qp, FNS_WR_SEND, i, FNS_WRF_SIGNALED, 0, 10 * PMTU);
}

static void silent_peer_becomes_unlimited(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;
	unsigned full, i, marks = 0;

	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	fill_uc(r, &qp, 20);
	rig_run(r);
	full = r->nsent;
	assert_true(full >= 10 && full <= 20000 / PMTU);
	for (i = 0; i < full; i++)
		marks += r->sent[i].h.ack_req;
	assert_true(marks > 0);
	rig_sleep(r, SILENT_NS - 1);
	assert_true(r->nsent <= full + 5); /* a packet for each wait in vain, but for the last */
	rig_sleep(r, 1);
	assert_int_equal(r->nsent, 200);
	for (i = 0; i < 20; i++)
		rig_expect_cqe(&qp.cq, i, FNS_WC_SUCCESS);
	/* And it stays so: no more waiting. */
	r->nsent = 0;
	fill_uc(r, &qp, 60);
	rig_run(r);
	assert_int_equal(r->nsent, 600);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* It was only slow: the first credit that comes, however late, makes it a peer with a window again.
 */
static void late_credit_restores(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;
	struct fns_hdr h;
	unsigned i;

	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	fill_uc(r, &qp, 20);
	rig_sleep(r, SILENT_NS);
	assert_int_equal(r->nsent, 200);
	for (i = 0; !r->sent[i].h.ack_req; i++)
		assert_true(i < 199);
	h = rig_hdr(&qp, FNS_TC_UC | FNS_OP_CREDIT, r->sent[i].h.psn);
	rig_inject(r, h, NULL, 0);
	rig_sleep(r, 300 * MS); /* what went out without a mark is taken to have arrived */
	r->nsent = 0;
	fill_uc(r, &qp, 20);
	rig_run(r);
	assert_true(r->nsent <= 20000 / PMTU);
	assert_true(peer_of(r)->inflight <= 20000);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* A credit for each mark: all arrives, and never more is on its way than fits. */
static void credit_keeps_the_window(uint8_t type)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct pair p;
	struct fns_ctl m = {.op = FNS_CTL_AH_CREATE};
	unsigned i, q, n = type == FNS_QPT_UD ? 60 : 30, sent = 0, got = 0;
	struct fns_cqe c;

	pair_begin(&p, type, &o, SEED);
	m.ah.pd = p.a->pd;
	m.ah.av = (struct fns_ctl_av){
		.sgid = p.a->self, .dgid = p.a->peer, .is_global = 1, .link_mtu = 9000};
	assert_int_equal(rig_ctl(p.a, &m), 0);
	for (q = 0; q < PAIRS; q++)
		for (i = 0; i < n; i++) {
			struct rig_wr wr = {.op = FNS_WR_SEND,
				.wr_id = i,
				.flags = FNS_WRF_SIGNALED,
				.nsge = 1,
				.ah = m.handle,
				.remote_qpn = p.qb[q].qpn,
				.qkey = RIG_QKEY};

			wr.sge[0] = (struct fns_sqd_sge){.addr = (uintptr_t)p.a->mem,
				.len = type == FNS_QPT_UD ? 3000 : 5 * PMTU,
				.lkey = p.a->key};
			rig_post_recv(p.b, &p.qb[q], i, 0, SLOT);
			rig_post(p.a, &p.qa[q], &wr);
		}
	rig_run(p.b);
	for (i = 0; i < 20000 && got < PAIRS * n; i++) {
		rig_step(p.a, 1000);
		assert_true(peer_of(p.a)->inflight <= 20000);
		assert_true(p.a->nsent <= 20000 / PMTU + 1);
		rig_ferry(p.a, p.b, NULL, 0);
		rig_step(p.b, 1000);
		rig_ferry(p.b, p.a, NULL, 0);
		for (q = 0; q < PAIRS; q++) {
			while (rig_poll(&p.qa[q].cq, &c)) {
				assert_int_equal(c.status, FNS_WC_SUCCESS);
				sent++;
			}
			while (rig_poll(&p.qb[q].cq, &c)) {
				assert_int_equal(c.status, FNS_WC_SUCCESS);
				got++;
			}
		}
	}
	assert_int_equal(sent, PAIRS * n);
	assert_int_equal(got, PAIRS * n);
	assert_true(i < 2000); /* without waiting for any timer */
	assert_true(rig_count(p.b, FNS_C_credits_sent) > 5);
	assert_true(rig_count(p.a, FNS_C_window_stalls) > 0);
	rig_sleep(p.a, 300 * MS);
	assert_int_equal(peer_of(p.a)->inflight, 0);
	pair_end(&p);
}

static void credit_uc(void **state)
{
	credit_keeps_the_window(FNS_QPT_UC);
}

static void credit_ud(void **state)
{
	credit_keeps_the_window(FNS_QPT_UD);
}

/* The address handle goes while a queue pair that waited for its peer has just been told to go on.
 */
static void peer_goes_while_waited_for(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;
	struct fns_ctl m = {.op = FNS_CTL_AH_CREATE};
	struct rig_wr wr = {
		.op = FNS_WR_SEND, .nsge = 1, .remote_qpn = RIG_PEER_QPN, .qkey = RIG_QKEY};
	unsigned i;

	rig_qp_create(r, &qp, FNS_QPT_UD);
	rig_connect(r, &qp);
	m.ah.pd = r->pd;
	m.ah.av = (struct fns_ctl_av){
		.sgid = r->self, .dgid = r->peer, .is_global = 1, .link_mtu = 9000};
	assert_int_equal(rig_ctl(r, &m), 0);
	wr.ah = m.handle;
	wr.sge[0] = (struct fns_sqd_sge){.addr = (uintptr_t)r->mem, .len = 4000, .lkey = r->key};
	for (i = 0; i < 8; i++)
		rig_post(r, &qp, &wr);
	rig_run(r);
	assert_true(r->nsent < 8);
	rig_post(r, &qp, &wr);
	m.op = FNS_CTL_AH_DESTROY;
	assert_int_equal(rig_ctl(r, &m), 0);
	rig_run(r);
	rig_expect_cqe(&qp.cq, 0, FNS_WC_LOC_QP_OP_ERR);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* Credits that nobody waits for, or from a stranger, are counted and change nothing. */
static void stray_credits(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;

	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	rig_inject(r, rig_hdr(&qp, FNS_TC_UC | FNS_OP_CREDIT, RIG_SQ_PSN), NULL, 0);
	rig_post_data(r, &qp, FNS_WR_SEND, 1, 0, 0, 10);
	rig_run(r);
	rig_inject(r, rig_hdr(&qp, FNS_TC_UC | FNS_OP_CREDIT, RIG_SQ_PSN + 5), NULL, 0);
	rig_run(r);
	assert_int_equal(rig_count(r, FNS_C_drop_stale_ack), 2);
	assert_true(peer_of(r)->inflight > 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* Without the bit that asks for it nothing answers: to other NICs this is plain RoCEv2. */
static void no_credit_unasked(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;
	struct fns_hdr h;
	unsigned i;

	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	h = rig_hdr(&qp, FNS_TC_UC | FNS_OP_SEND_ONLY, RIG_RQ_PSN);
	for (i = 0; i < 100; i++, h.psn++)
		rig_inject(r, h, NULL, 0);
	rig_run(r);
	assert_int_equal(r->nsent, 0);
	h.ack_req = true;
	rig_inject(r, h, NULL, 0);
	rig_run(r);
	assert_int_equal(r->nsent, 1);
	rig_expect_sent(r, 0, FNS_TC_UC | FNS_OP_CREDIT, RIG_RQ_PSN + 100);
	assert_int_equal(r->sent[0].h.dest_qp, RIG_PEER_QPN);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rc_stops_at_the_window),
		cmocka_unit_test(rc_shares_the_window),
		cmocka_unit_test(error_frees_the_window),
		cmocka_unit_test(loss_halves_growth_restores),
		cmocka_unit_test(accounts_close_near),
		cmocka_unit_test(accounts_close_far),
		cmocka_unit_test(silent_peer_becomes_unlimited),
		cmocka_unit_test(late_credit_restores),
		cmocka_unit_test(credit_uc),
		cmocka_unit_test(credit_ud),
		cmocka_unit_test(peer_goes_while_waited_for),
		cmocka_unit_test(stray_credits),
		cmocka_unit_test(no_credit_unasked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
