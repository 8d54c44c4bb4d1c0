/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selective repeat packet by packet: what its acknowledgement says and may not say, what a receiver
 * keeps behind a gap, in which order it shows, and what a sender repeats. Near memory and memory
 * that takes its time.
 */
#include "rig.h"

#include <string.h>

#include "base/bytes.h"
#include "transport/irn.h"

#define PMTU 1024u
#define RQ   RIG_RQ_PSN
#define SQ   RIG_SQ_PSN

static const struct fns_hello flexins = {.version = 1,
	.ext = FNS_HELLO_EXT_CREDIT | FNS_HELLO_EXT_SACK,
	.icrc = FNS_HELLO_ICRC_STD,
	.rcvbuf = 4u << 20};

struct one {
	struct rig *r;
	struct rig_qp qp;
	struct fns_qp *in;
};

static void begin(struct one *o, const struct rig_opts *opts, uint32_t rq_psn)
{
	o->r = rig_create(opts);
	rig_qp_create(o->r, &o->qp, FNS_QPT_RC);
	o->qp.attr.rq_psn = rq_psn;
	o->qp.attr.timeout = 14;
	rig_connect(o->r, &o->qp);
	o->in = rig_inner(o->r, &o->qp);
	memset(o->r->mem, 0, RIG_MEM);
}

static void end(struct one *o)
{
	const struct fns_nic *nic = &o->r->e->nic;

	rig_settle(o->r);
	rig_qp_destroy(o->r, &o->qp);
	assert_int_equal(nic->irn_rx.free, nic->irn_rx.count);
	assert_int_equal(nic->irn_tx.free, nic->irn_tx.count);
	assert_int_equal(nic->irn_hold.free, nic->irn_hold.count);
	assert_int_equal(nic->stage.free, nic->stage.count);
	rig_destroy(o->r);
}

static const struct rig_opts slow = {
	.simdma = true, .sim = {.seed = 3, .min_ns = 100, .max_ns = 5000}};

static uint8_t data[8][PMTU];

static void make_data(void)
{
	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 0; k < PMTU; k++)
			data[i][k] = (uint8_t)(1 + i * 31 + k * 7);
}

static void write_at(struct one *o, uint32_t psn, uint32_t off, unsigned what, uint32_t len)
{
	struct fns_hdr h = rig_hdr_rdma(o->r, &o->qp, FNS_OP_WRITE_ONLY, psn, off, len);

	h.selective = true;
	rig_inject(o->r, h, data[what], len);
}

static void send_at(struct one *o, uint32_t psn, uint8_t op, unsigned what, uint32_t len)
{
	struct fns_hdr h = rig_hdr(&o->qp, op, psn);

	h.selective = h.ack_req = true;
	rig_inject(o->r, h, data[what], len);
}

/* The last packet sent is a SACK. */
static struct fns_sack sack_sent(const struct one *o, uint32_t acked)
{
	const struct rig_packet *p = rig_expect_sent(o->r, o->r->nsent - 1, FNS_OP_SACK, acked);
	struct fns_sack s;

	assert_true(fns_sack_parse(p->h.payload, p->h.payload_len, &s));
	return s;
}

static void ack_sent(const struct one *o, uint32_t psn)
{
	rig_expect_sent(o->r, o->r->nsent - 1, FNS_OP_ACK, psn);
}

/* --- the wire format --- */

static void what_is_said_is_read(void **state)
{
	struct fns_rng rng;

	(void)state;
	fns_rng_seed(&rng, 11);
	for (unsigned n = 0; n < 2000; n++) {
		struct fns_sack in = {.epsn = (uint32_t)fns_rng_below(&rng, 1u << 24)}, out;
		uint8_t buf[FNS_SACK_MAX + 8];
		uint32_t len;

		in.n = 1 + (uint32_t)fns_rng_below(&rng, FNS_IRN_WINDOW);
		for (uint32_t i = 0; i + 1 < in.n; i++)
			in.bit[i / 8] |= (uint8_t)(fns_rng_below(&rng, 2) << i % 8);
		in.bit[(in.n - 1) / 8] |= (uint8_t)(1 << (in.n - 1) % 8);
		memset(buf, 0xa5, sizeof(buf));
		len = fns_sack_build(buf, &in);
		assert_in_range(len, 8, FNS_SACK_MAX);
		assert_int_equal(len % 4, 0);
		assert_int_equal(buf[len], 0xa5);
		assert_true(fns_sack_parse(buf, len, &out));
		assert_memory_equal(&in, &out, sizeof(in));
	}
}

static void what_makes_no_sense_is_refused(void **state)
{
	uint8_t buf[FNS_SACK_MAX + 64] = {0};
	struct fns_sack s;

	(void)state;
	for (uint32_t len = 0; len <= sizeof(buf); len++) /* no bit is set */
		assert_false(fns_sack_parse(buf, len, &s));
	memset(buf + 4, 0xff, sizeof(buf) - 4);
	for (uint32_t len = 0; len <= sizeof(buf); len++)
		assert_int_equal(fns_sack_parse(buf, len, &s),
			len >= 8 && len <= FNS_SACK_MAX && len % 4 == 0);
	assert_true(fns_sack_parse(buf, FNS_SACK_MAX, &s));
	assert_int_equal(s.n, FNS_IRN_WINDOW);
	buf[0] = 1; /* PSNs have 24 bits */
	assert_false(fns_sack_parse(buf, 8, &s));
}

/* --- the receiver --- */

static void bulk_is_there_but_for_its_tail(void **state)
{
	static const uint32_t start[] = {RQ, FNS_PSN_MASK, FNS_PSN_MASK - 1};
	const struct rig_opts *opts[] = {NULL, &slow};

	(void)state;
	for (unsigned v = 0; v < 6; v++) {
		uint32_t rq = start[v % 3];
		struct fns_sack s;
		struct one o;

		begin(&o, opts[v / 3], rq);
		write_at(&o, psn_add(rq, 2), 2 * PMTU, 2, PMTU);
		write_at(&o, psn_add(rq, 1), PMTU, 1, PMTU);
		rig_run(o.r);
		rig_settle(o.r);
		assert_memory_equal(o.r->mem + PMTU, data[1], PMTU - 8);
		assert_memory_equal(o.r->mem + 2 * PMTU, data[2], PMTU - 8);
		for (unsigned i = 2; i < 4; i++)
			for (unsigned k = 0; k < 8; k++)
				assert_int_equal(o.r->mem[i * PMTU - 8 + k], 0);
		s = sack_sent(&o, psn_add(rq, FNS_PSN_MASK));
		assert_int_equal(s.epsn, rq);
		assert_int_equal(s.n, 3);
		assert_int_equal(s.bit[0], 6);
		assert_int_equal(o.in->rsp.msn, 0);
		write_at(&o, rq, 0, 0, PMTU);
		rig_run(o.r);
		rig_settle(o.r);
		assert_memory_equal(o.r->mem, data, 3 * PMTU);
		ack_sent(&o, psn_add(rq, 2));
		assert_int_equal(o.in->rsp.msn, 3);
		assert_null(o.in->rsp.irn);
		assert_int_equal(rig_count(o.r, FNS_C_irn_early), 2);
		end(&o);
	}
}

/* Who does not mark its packets gets what the specification says. */
static void unmarked_gap_is_a_nak(void **state)
{
	struct one o;
	struct fns_hdr h;

	(void)state;
	begin(&o, NULL, RQ);
	h = rig_hdr_rdma(o.r, &o.qp, FNS_OP_WRITE_ONLY, RQ + 1, 0, PMTU);
	rig_inject(o.r, h, data[0], PMTU);
	rig_run(o.r);
	assert_int_equal(rig_expect_sent(o.r, 0, FNS_OP_ACK, RQ)->h.syndrome, FNS_AETH_NAK);
	assert_int_equal(o.r->nsent, 1);
	assert_int_equal(o.r->mem[0], 0);
	end(&o);
}

static void messages_complete_in_order(void **state)
{
	const struct rig_opts *opts[] = {NULL, &slow};

	(void)state;
	for (unsigned v = 0; v < 2; v++) {
		struct one o;

		begin(&o, opts[v], RQ);
		for (uint32_t i = 0; i < 3; i++)
			rig_post_recv(o.r, &o.qp, 10 + i, i * 4 * PMTU, 4 * PMTU);
		send_at(&o, RQ + 3, FNS_OP_SEND_ONLY, 3, 77);
		send_at(&o, RQ + 2, FNS_OP_SEND_LAST, 2, 100);
		send_at(&o, RQ + 1, FNS_OP_SEND_MIDDLE, 1, PMTU);
		rig_run(o.r);
		rig_settle(o.r);
		rig_expect_no_cqe(&o.qp.cq);
		assert_int_equal(o.r->mem[0] | o.r->mem[PMTU], 0);
		send_at(&o, RQ, FNS_OP_SEND_FIRST, 0, PMTU);
		rig_run(o.r);
		rig_settle(o.r);
		rig_expect_cqe(&o.qp.cq, 10, FNS_WC_SUCCESS);
		rig_expect_cqe(&o.qp.cq, 11, FNS_WC_SUCCESS);
		rig_expect_no_cqe(&o.qp.cq);
		assert_memory_equal(o.r->mem, data, 2 * PMTU + 100);
		assert_memory_equal(o.r->mem + 4 * PMTU, data[3], 77);
		ack_sent(&o, RQ + 3);
		end(&o);
	}
}

/* No receive posted when its turn comes: RNR, and what was kept behind it comes again. */
static void receiver_not_ready_drops_what_is_behind(void **state)
{
	struct one o;

	(void)state;
	begin(&o, NULL, RQ);
	send_at(&o, RQ + 1, FNS_OP_SEND_ONLY, 1, 10);
	write_at(&o, RQ + 2, 0, 2, PMTU);
	rig_run(o.r);
	assert_non_null(o.in->rsp.irn);
	write_at(&o, RQ, 8 * PMTU, 0, PMTU);
	rig_run(o.r);
	assert_null(o.in->rsp.irn);
	assert_int_equal(o.in->rsp.epsn, RQ + 1);
	assert_int_equal(rig_count(o.r, FNS_C_rc_rnr_naks_sent), 1);
	write_at(&o, RQ + 2, 0, 2, PMTU); /* silence until then */
	rig_run(o.r);
	assert_null(o.in->rsp.irn);
	rig_post_recv(o.r, &o.qp, 1, 16 * PMTU, PMTU);
	send_at(&o, RQ + 1, FNS_OP_SEND_ONLY, 1, 10);
	write_at(&o, RQ + 2, 0, 2, PMTU);
	rig_run(o.r);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	assert_int_equal(o.in->rsp.epsn, RQ + 3);
	end(&o);
}

static void window_has_an_end(void **state)
{
	uint32_t rq = FNS_PSN_MASK - 20;
	struct fns_sack s;
	struct one o;

	(void)state;
	begin(&o, NULL, rq);
	write_at(&o, psn_add(rq, FNS_IRN_WINDOW), 0, 0, PMTU);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 0);
	assert_int_equal(rig_count(o.r, FNS_C_drop_psn), 1);
	write_at(&o, psn_add(rq, FNS_IRN_WINDOW - 1), 0, 0, PMTU);
	rig_run(o.r);
	s = sack_sent(&o, psn_add(rq, FNS_PSN_MASK));
	assert_int_equal(s.n, FNS_IRN_WINDOW);
	assert_int_equal(o.r->sent[0].h.payload_len, FNS_SACK_MAX);
	/* Twice is once. */
	write_at(&o, psn_add(rq, FNS_IRN_WINDOW - 1), 0, 0, PMTU);
	rig_run(o.r);
	assert_int_equal(rig_count(o.r, FNS_C_rc_duplicates), 1);
	assert_int_equal(rig_count(o.r, FNS_C_irn_early), 1);
	end(&o);
}

static void atomics_and_reads_wait_and_happen_once(void **state)
{
	const struct rig_opts *opts[] = {NULL, &slow};

	(void)state;
	for (unsigned v = 0; v < 2; v++) {
		struct fns_hdr add, read;
		uint64_t word;
		struct one o;

		begin(&o, opts[v], RQ);
		add = rig_hdr_rdma(o.r, &o.qp, FNS_OP_FETCH_ADD, RQ + 4, 0, 8);
		add.swap_add = 5;
		add.selective = true;
		/* three packets of answer: PSNs 1 to 3 */
		read = rig_hdr_rdma(o.r, &o.qp, FNS_OP_READ_REQUEST, RQ + 1, 0, 3 * PMTU);
		read.selective = true;
		for (unsigned i = 0; i < 3; i++)
			rig_inject(o.r, add, NULL, 0);
		rig_inject(o.r, read, NULL, 0);
		rig_run(o.r);
		rig_settle(o.r);
		memcpy(&word, o.r->mem, 8);
		assert_int_equal(word, 0);
		assert_int_equal(sack_sent(&o, RQ - 1).bit[0], 0x1e);
		o.r->nsent = 0;
		write_at(&o, RQ, 4 * PMTU, 0, PMTU);
		rig_run(o.r);
		rig_settle(o.r);
		for (unsigned i = 0; i < 3; i++) {
			rig_inject(o.r, add, NULL, 0); /* the saved result, from now on */
			rig_run(o.r);
			rig_settle(o.r);
		}
		memcpy(&word, o.r->mem, 8);
		assert_int_equal(word, 5);
		rig_expect_sent(o.r, 0, FNS_OP_READ_RESP_FIRST, RQ + 1);
		rig_expect_sent(o.r, 1, FNS_OP_READ_RESP_MIDDLE, RQ + 2);
		rig_expect_sent(o.r, 2, FNS_OP_READ_RESP_LAST, RQ + 3);
		assert_int_equal(rig_expect_sent(o.r, 3, FNS_OP_ATOMIC_ACK, RQ + 4)->h.orig, 0);
		end(&o);
	}
}

/* Of the same bytes the later WRITE remains, in whatever order they come. */
static void later_write_wins(void **state)
{
	static const uint8_t order[][3] = {{1, 2, 0}, {2, 1, 0}, {0, 2, 1}};
	const struct rig_opts *opts[] = {NULL, &slow};

	(void)state;
	for (unsigned v = 0; v < 6; v++) {
		struct one o;

		begin(&o, opts[v & 1], RQ);
		for (unsigned i = 0; i < 3; i++) {
			write_at(&o, RQ + order[v / 2][i], 0, order[v / 2][i], PMTU);
			rig_run(o.r);
			if (v & 1)
				rig_step(o.r, 700);
		}
		rig_settle(o.r);
		/* one that was on its way into memory just then may have to come again */
		for (uint32_t psn = o.in->rsp.epsn; psn != RQ + 3; psn = o.in->rsp.epsn) {
			assert_true(v & 1);
			write_at(&o, psn, 0, psn - RQ, PMTU);
			rig_run(o.r);
			rig_settle(o.r);
		}
		assert_memory_equal(o.r->mem, data[2], PMTU);
		end(&o);
	}
}

/* Sharing some bytes: the later one is forgotten, which the next SACK says, and comes again. */
static void later_write_across_comes_again(void **state)
{
	struct one o;

	(void)state;
	begin(&o, NULL, RQ);
	write_at(&o, RQ + 1, 512, 1, PMTU);
	write_at(&o, RQ + 3, 8 * PMTU, 3, PMTU);
	rig_run(o.r);
	assert_int_equal(sack_sent(&o, RQ - 1).bit[0], 0x0a);
	write_at(&o, RQ, 0, 0, PMTU);
	rig_run(o.r);
	assert_memory_equal(o.r->mem, data[0], PMTU);
	assert_int_equal(o.in->rsp.epsn, RQ + 1);
	write_at(&o, RQ + 2, 4 * PMTU, 2, PMTU);
	rig_run(o.r);
	assert_int_equal(sack_sent(&o, RQ).bit[0], 0x06);
	write_at(&o, RQ + 1, 512, 1, PMTU);
	rig_run(o.r);
	assert_int_equal(o.in->rsp.epsn, RQ + 4);
	assert_memory_equal(o.r->mem, data[0], 512);
	assert_memory_equal(o.r->mem + 512, data[1], PMTU);
	assert_memory_equal(o.r->mem + 8 * PMTU, data[3], PMTU);
	end(&o);
}

/* Three WRITEs that share bytes in a row, in any order and at any distance: as if they had come in
 * theirs. Each is sent again until it is the one expected. */
static void shared_bytes_end_up_as_in_order(void **state)
{
	static const uint32_t layout[][3] = {{0, 512, 1000}, {2 * PMTU, 0, 512}, {0, 512, 512}};

	(void)state;
	for (unsigned v = 0; v < 900; v++) {
		const uint32_t *off = layout[v % 3];
		struct rig_opts opts = slow;
		uint8_t want[3 * PMTU] = {0};
		struct fns_rng rng;
		struct one o;

		fns_rng_seed(&rng, v);
		opts.sim.seed = v;
		opts.sim.max_ns = 20000;
		begin(&o, v & 3 ? &opts : NULL, RQ);
		for (unsigned i = 0; i < 3; i++)
			memcpy(want + off[i], data[i], PMTU);
		for (unsigned n = 0; o.in->rsp.epsn != RQ + 3; n++) {
			uint32_t i = n < 8 ? (uint32_t)fns_rng_below(&rng, 3) : o.in->rsp.epsn - RQ;

			assert_true(n < 100);
			write_at(&o, RQ + i, off[i], i, PMTU);
			rig_step(o.r, n < 8 ? fns_rng_below(&rng, v & 4 ? 3000 : 200) : 20000);
		}
		rig_settle(o.r);
		assert_memory_equal(o.r->mem, want, sizeof(want));
		end(&o);
	}
}

/* Placed early, forgotten, and so slow that all that follows could overtake it: it must not show.
 */
static void what_is_forgotten_does_not_come_late(void **state)
{
	static const uint32_t psn[] = {1, 0, 1, 2}, off[] = {0, 512, 512};

	(void)state;
	for (unsigned v = 0; v < 1000; v++) {
		struct rig_opts opts = slow;
		struct one o;

		opts.sim.seed = v;
		opts.sim.max_ns = 20000;
		begin(&o, &opts, RQ);
		for (unsigned i = 0; i < FNS_ARRAY_SIZE(psn); i++) {
			write_at(&o, RQ + psn[i], off[psn[i]], psn[i], PMTU);
			rig_run(o.r);
		}
		rig_settle(o.r);
		for (uint32_t i = o.in->rsp.epsn; i != RQ + 3; i = o.in->rsp.epsn) {
			write_at(&o, i, off[i - RQ], i - RQ, PMTU);
			rig_run(o.r);
			rig_settle(o.r);
		}
		assert_memory_equal(o.r->mem, data[0], 512);
		assert_memory_equal(o.r->mem + 512, data[2], PMTU);
		end(&o);
	}
}

/* What is wrong is said in its turn, and nothing after it happens. */
static void wrong_key_is_judged_in_its_turn(void **state)
{
	struct fns_hdr h;
	struct one o;

	(void)state;
	begin(&o, NULL, RQ);
	h = rig_hdr_rdma(o.r, &o.qp, FNS_OP_WRITE_ONLY, RQ + 1, 0, PMTU);
	h.rkey ^= 0x100;
	h.selective = true;
	rig_inject(o.r, h, data[1], PMTU);
	send_at(&o, RQ + 2, FNS_OP_SEND_ONLY, 2, 10);
	rig_post_recv(o.r, &o.qp, 1, 0, PMTU);
	rig_run(o.r);
	assert_int_equal(rig_state(o.r, &o.qp), FNS_QPS_RTS);
	write_at(&o, RQ, 0, 0, PMTU);
	rig_run(o.r);
	assert_int_equal(rig_expect_sent(o.r, o.r->nsent - 1, FNS_OP_ACK, RQ + 1)->h.syndrome,
		FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS);
	assert_int_equal(rig_state(o.r, &o.qp), FNS_QPS_ERR);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_WR_FLUSH_ERR);
	end(&o);
}

/* Without memory for it: as ever. */
static void no_room_goes_back(void **state)
{
	struct fns_pool *p;
	struct one o;
	uint32_t had;

	(void)state;
	begin(&o, NULL, RQ);
	p = &o.r->e->nic.irn_rx;
	had = p->free;
	p->free = 0;
	write_at(&o, RQ + 1, 0, 1, PMTU);
	write_at(&o, RQ + 2, 0, 1, PMTU);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 1);
	assert_int_equal(rig_expect_sent(o.r, 0, FNS_OP_ACK, RQ)->h.syndrome, FNS_AETH_NAK);
	p->free = had;
	/* Held packets have a limit of their own; bulk does not need it. */
	p = &o.r->e->nic.irn_hold;
	had = p->free;
	p->free = 0;
	write_at(&o, RQ, 0, 0, PMTU);
	send_at(&o, RQ + 2, FNS_OP_SEND_ONLY, 1, 10);
	rig_run(o.r);
	assert_int_equal(rig_count(o.r, FNS_C_drop_resources), 1);
	assert_null(o.in->rsp.irn);
	write_at(&o, RQ + 2, 0, 1, PMTU);
	rig_run(o.r);
	assert_int_equal(sack_sent(&o, RQ).bit[0], 2);
	p->free = had;
	end(&o);
}

/* --- the sender --- */

static void sender(struct one *o, uint32_t sq_psn)
{
	static const struct rig_opts opts = {.selective = true};

	o->r = rig_create(&opts);
	rig_qp_create(o->r, &o->qp, FNS_QPT_RC);
	o->qp.attr.sq_psn = sq_psn;
	o->qp.attr.timeout = 14;
	rig_connect(o->r, &o->qp);
	o->in = rig_inner(o->r, &o->qp);
	fns_engine_hello_told(o->r->e, &o->r->peer, FNS_HELLO_FLEXINS, &flexins);
}

static void sack(struct one *o, uint32_t acked, uint32_t epsn, uint32_t bits)
{
	struct fns_hdr h = rig_hdr(&o->qp, FNS_OP_SACK, acked);
	uint8_t buf[8];

	put_be32(buf, epsn & FNS_PSN_MASK);
	for (unsigned i = 0; i < 4; i++)
		buf[4 + i] = (uint8_t)(bits >> 8 * i);
	rig_inject(o->r, h, buf, 8);
	rig_run(o->r);
}

static void only_the_missing_is_repeated(void **state)
{
	static const uint32_t start[] = {SQ, FNS_PSN_MASK - 2};

	(void)state;
	for (unsigned v = 0; v < 2; v++) {
		uint32_t sq = start[v];
		struct one o;

		sender(&o, sq);
		rig_fill(o.r, 0, 10 * PMTU, 7);
		rig_post_data(o.r, &o.qp, FNS_WR_WRITE, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
		rig_run(o.r);
		assert_int_equal(o.r->nsent, 8);
		for (unsigned i = 0; i < 8; i++)
			assert_true(o.r->sent[i].h.selective);
		o.r->nsent = 0;
		/* 1, 3 and 4 are missing; 7 is not there yet, which means nothing */
		sack(&o, sq, psn_add(sq, 1), 1 << 1 | 1 << 4 | 1 << 5);
		assert_int_equal(o.r->nsent, 3);
		rig_expect_sent(o.r, 0, FNS_OP_WRITE_ONLY, psn_add(sq, 1));
		rig_expect_sent(o.r, 1, FNS_OP_WRITE_ONLY, psn_add(sq, 3));
		rig_expect_sent(o.r, 2, FNS_OP_WRITE_ONLY, psn_add(sq, 4));
		assert_memory_equal(o.r->sent[1].h.payload, o.r->mem + 3 * PMTU, PMTU);
		assert_int_equal(rig_count(o.r, FNS_C_irn_repeats), 3);
		/* Said again, and one more: nothing sent after the repetition has arrived. */
		sack(&o, sq, psn_add(sq, 1), 1 << 1 | 1 << 4 | 1 << 5);
		sack(&o, sq, psn_add(sq, 1), 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6);
		assert_int_equal(o.r->nsent, 3);
		/* Now it has: 3 was lost again. */
		rig_post_data(o.r, &o.qp, FNS_WR_WRITE, 2, FNS_WRF_SIGNALED, 0, PMTU);
		rig_run(o.r);
		o.r->nsent = 0;
		sack(&o, psn_add(sq, 2), psn_add(sq, 3),
			1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5);
		assert_int_equal(o.r->nsent, 1);
		rig_expect_sent(o.r, 0, FNS_OP_WRITE_ONLY, psn_add(sq, 3));
		rig_expect_no_cqe(&o.qp.cq);
		rig_inject_ack(o.r, &o.qp, psn_add(sq, 8));
		rig_run(o.r);
		rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
		rig_expect_cqe(&o.qp.cq, 2, FNS_WC_SUCCESS);
		assert_null(o.in->req.irn_tx);
		assert_int_equal(o.in->peer->inflight, 0);
		assert_int_equal(rig_count(o.r, FNS_C_rc_timeouts), 0);
		end(&o);
	}
}

/* No more than a receiver keeps is under way. */
static void sender_keeps_to_the_window(void **state)
{
	struct one o;

	(void)state;
	sender(&o, SQ);
	o.r->keep_sent = false;
	for (unsigned i = 0; i < 4; i++)
		rig_post_data(o.r, &o.qp, FNS_WR_WRITE, i, FNS_WRF_SIGNALED, 0, 500 * PMTU);
	rig_run(o.r);
	assert_int_equal(o.in->req.psn, SQ + FNS_IRN_WINDOW);
	rig_inject_ack(o.r, &o.qp, SQ + 9);
	rig_run(o.r);
	assert_int_equal(o.in->req.psn, SQ + FNS_IRN_WINDOW + 10);
	end(&o);
}

/* What cannot be true changes nothing. */
static void impossible_sacks_change_nothing(void **state)
{
	static const struct {
		int32_t acked, epsn;
		uint32_t bits;
	} bad[] = {
		{-1, 0, 1u << 8},          /* beyond what was sent */
		{-1, 0, 1u << 31},         /* likewise */
		{-1, 8, 1},                /* likewise */
		{-1, -1, 2},               /* from before */
		{-1, 1 << 22, 1},          /* from nowhere */
		{-1, -(1 << 23), 1},       /* likewise */
		{8, 9, 2},                 /* acknowledges what was not sent */
		{-2, 0, 2},                /* or what was acknowledged long ago */
		{1 << 22, 0, 2}, {0, 0, 0} /* says nothing */
	};
	struct one o;

	(void)state;
	sender(&o, SQ);
	rig_post_data(o.r, &o.qp, FNS_WR_WRITE, 1, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	rig_run(o.r);
	o.r->nsent = 0;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		sack(&o, (SQ + (uint32_t)bad[i].acked) & FNS_PSN_MASK, SQ + (uint32_t)bad[i].epsn,
			bad[i].bits);
		assert_null(o.in->req.irn_tx);
		assert_int_equal(o.in->req.una, SQ);
		assert_int_equal(o.r->nsent, 0);
	}
	assert_int_equal(rig_count(o.r, FNS_C_drop_stale_ack) + rig_count(o.r, FNS_C_drop_header),
		FNS_ARRAY_SIZE(bad));
	end(&o);
}

/* Nothing is marked, and no SACK believed, unless the peer has said that it understands. */
static void others_notice_nothing(void **state)
{
	static const struct {
		bool selective;
		uint32_t ext;
		uint8_t kind;
	} who[] = {{true, FNS_HELLO_EXT_CREDIT, FNS_HELLO_FLEXINS}, {true, ~0u, FNS_HELLO_STANDARD},
		{true, ~0u, FNS_HELLO_SILENT}, {false, ~0u, FNS_HELLO_FLEXINS},
		{true, ~0u, FNS_HELLO_UNKNOWN}};

	(void)state;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(who); i++) {
		const struct rig_opts opts = {.selective = who[i].selective};
		struct fns_hello h = flexins;
		struct one o;

		h.ext = who[i].ext;
		begin(&o, &opts, RQ);
		if (who[i].kind != FNS_HELLO_UNKNOWN)
			fns_engine_hello_told(o.r->e, &o.r->peer, who[i].kind, &h);
		rig_post_data(o.r, &o.qp, FNS_WR_WRITE, 1, FNS_WRF_SIGNALED, 0, 4 * PMTU);
		rig_run(o.r);
		for (unsigned k = 0; k < o.r->nsent; k++)
			assert_int_equal(o.r->sent[k].data[8] & 0x7f, 0);
		o.r->nsent = 0;
		sack(&o, SQ - 1, SQ, 2);
		assert_int_equal(o.r->nsent, 0);
		rig_inject_aeth(o.r, &o.qp, SQ, FNS_AETH_NAK);
		rig_run(o.r);
		assert_int_equal(o.r->nsent, 4);
		end(&o);
	}
}

/* --- READ --- */

static void respond(struct one *o, uint8_t op, uint32_t psn, unsigned what)
{
	rig_inject(o->r, rig_hdr(&o->qp, op, psn), data[what], PMTU);
	rig_run(o->r);
}

static void responses_are_kept(void **state)
{
	struct one o;

	(void)state;
	sender(&o, SQ);
	rig_post_data(o.r, &o.qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 4 * PMTU);
	rig_post_data(o.r, &o.qp, FNS_WR_READ, 2, FNS_WRF_SIGNALED, 4 * PMTU, PMTU);
	rig_run(o.r);
	assert_int_equal(o.r->nsent, 2);
	o.r->nsent = 0;
	respond(&o, FNS_OP_READ_RESP_FIRST, SQ, 0);
	respond(&o, FNS_OP_READ_RESP_MIDDLE, SQ + 2, 2); /* 1 is missing */
	assert_int_equal(o.r->nsent, 1);
	assert_int_equal(rig_expect_sent(o.r, 0, FNS_OP_READ_REQUEST, SQ + 1)->h.dma_len, 3 * PMTU);
	respond(&o, FNS_OP_READ_RESP_LAST, SQ + 3, 3);
	respond(&o, FNS_OP_READ_RESP_ONLY, SQ + 4, 4);
	respond(&o, FNS_OP_READ_RESP_ONLY, SQ + 4, 5); /* once is enough */
	assert_int_equal(o.r->nsent, 1);
	rig_expect_no_cqe(&o.qp.cq);
	respond(&o, FNS_OP_READ_RESP_FIRST, SQ + 1, 1);
	rig_expect_cqe(&o.qp.cq, 1, FNS_WC_SUCCESS);
	rig_expect_cqe(&o.qp.cq, 2, FNS_WC_SUCCESS);
	assert_memory_equal(o.r->mem, data, 5 * PMTU);
	assert_int_equal(o.in->req.rd_inflight, 0);
	assert_int_equal(o.r->e->nic.read_cost, 0);
	respond(&o, FNS_OP_READ_RESP_MIDDLE, SQ + 2, 7); /* too late to change anything */
	assert_memory_equal(o.r->mem, data, 5 * PMTU);
	end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_is_read),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(bulk_is_there_but_for_its_tail),
		cmocka_unit_test(unmarked_gap_is_a_nak),
		cmocka_unit_test(messages_complete_in_order),
		cmocka_unit_test(receiver_not_ready_drops_what_is_behind),
		cmocka_unit_test(window_has_an_end),
		cmocka_unit_test(atomics_and_reads_wait_and_happen_once),
		cmocka_unit_test(later_write_wins),
		cmocka_unit_test(later_write_across_comes_again),
		cmocka_unit_test(shared_bytes_end_up_as_in_order),
		cmocka_unit_test(what_is_forgotten_does_not_come_late),
		cmocka_unit_test(wrong_key_is_judged_in_its_turn),
		cmocka_unit_test(no_room_goes_back),
		cmocka_unit_test(only_the_missing_is_repeated),
		cmocka_unit_test(sender_keeps_to_the_window),
		cmocka_unit_test(impossible_sacks_change_nothing),
		cmocka_unit_test(others_notice_nothing),
		cmocka_unit_test(responses_are_kept),
	};

	make_data();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
