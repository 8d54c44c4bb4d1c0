/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue pairs bound to services: requests are taken and answered in order with everything else, the
 * application's queues do not notice, and the end of a queue pair at any moment leaves nothing
 * behind. Then two engines with loss between them.
 */
#include "one.h"

#include <errno.h>
#include <string.h>

#define MAX_ARGS 8192u

static struct fns_offload_binding binding(struct rig *r, uint32_t service, const char *handler)
{
	struct fns_offload_binding b = {
		.size = sizeof(b), .service = service, .nregions = 1, .max_request = 16384};

	strcpy(b.handler, handler);
	b.region[0] = (struct fns_offload_region){
		.addr = (uintptr_t)r->mem, .len = RIG_MEM, .key = r->key, .rights = 7};
	return b;
}

static int bind_to(struct rig *r, uint32_t handle, bool srq, const struct fns_offload_binding *b)
{
	struct fns_ctl m = {.op = FNS_CTL_OFFLOAD_BIND, .handle = handle};

	m.offload.bind = *b;
	m.offload.on_srq = srq;
	return rig_ctl(r, &m);
}

static void bind_qp(struct rig *r, const struct rig_qp *qp, uint32_t service, const char *handler)
{
	const struct fns_offload_binding b = binding(r, service, handler);

	assert_int_equal(0, bind_to(r, qp->qpn, false, &b));
}

static uint32_t request(
	uint8_t *out, uint32_t service, uint32_t tag, const void *args, uint32_t len)
{
	const struct fns_offload_request h = {
		.magic = FNS_OFFLOAD_MAGIC, .service = service, .tag = tag};

	memcpy(out, &h, sizeof(h));
	if (len)
		memcpy(out + sizeof(h), args, len);
	return (uint32_t)sizeof(h) + len;
}

static void inject(struct one *o, uint8_t op, uint32_t psn, const void *p, uint32_t len)
{
	struct fns_hdr h = rig_hdr(&o->qp, op, psn);

	h.ack_req = true;
	rig_inject(o->r, h, p, len);
}

/* A gather of one span, answered by SEND: offset and length of r->mem. */
static uint32_t read_request(struct one *o, uint8_t *out, uint32_t tag, uint32_t off, uint32_t len)
{
	struct {
		uint64_t n;
		struct fns_offload_span s;
	} a = {1, {(uintptr_t)o->r->mem + off, len, 0}};

	return request(out, 1, tag, &a, sizeof(a));
}

/* Among what was sent there is this SEND ONLY reply; the packet. */
static const struct rig_packet *expect_reply(
	struct one *o, uint32_t psn, uint32_t tag, uint32_t status)
{
	for (unsigned i = 0; i < o->r->nsent; i++) {
		const struct rig_packet *p = &o->r->sent[i];
		struct fns_offload_reply reply;

		if (p->h.opcode != FNS_OP_SEND_ONLY || p->h.psn != psn)
			continue;
		memcpy(&reply, p->h.payload, sizeof(reply));
		assert_int_equal(reply.magic, FNS_OFFLOAD_MAGIC);
		assert_int_equal(reply.tag, tag);
		assert_int_equal(reply.status, status);
		assert_int_equal(reply.len, p->h.payload_len - sizeof(reply));
		return p;
	}
	fail_msg("no reply with PSN %u among %u packets", psn, o->r->nsent);
	return NULL;
}

static void answers(const struct rig_opts *opts)
{
	struct one *o = one_begin(FNS_QPT_RC, opts);
	uint8_t msg[MAX_ARGS];
	uint32_t psn = RIG_RQ_PSN, n;
	const struct rig_packet *p;

	bind_qp(o->r, &o->qp, 1, "gather");
	rig_fill(o->r, 0, 4096, 3);
	n = read_request(o, msg, 7, 100, 500);
	inject(o, FNS_OP_SEND_ONLY, psn, msg, n);
	rig_settle(o->r);
	p = expect_reply(o, RIG_SQ_PSN, 7, FNS_OFFLOAD_OK);
	assert_memory_equal(p->h.payload + sizeof(struct fns_offload_reply), o->r->mem + 100, 500);
	/* The request was acknowledged as any SEND, used no receive and made no completion. */
	assert_int_equal(o->r->nsent, 2);
	rig_expect_no_cqe(&o->qp.cq);
	o->r->nsent = 0;
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN);
	rig_settle(o->r);
	rig_expect_no_cqe(&o->qp.cq);
	assert_int_equal(rig_inner(o->r, &o->qp)->offload->posted, 0);
	/* The same again, by its PSN: acknowledged again, not executed again. */
	inject(o, FNS_OP_SEND_ONLY, psn, msg, n);
	rig_settle(o->r);
	assert_int_equal(o->r->nsent, 1);
	rig_expect_sent(o->r, 0, FNS_OP_ACK, psn);
	o->r->nsent = 0;
	/* No such service; then something that is no request, which wants a receive. */
	request(msg, 55, 8, NULL, 0);
	inject(o, FNS_OP_SEND_ONLY, psn + 1, msg, 32);
	rig_settle(o->r);
	expect_reply(o, RIG_SQ_PSN + 1, 8, FNS_OFFLOAD_NO_SERVICE);
	o->r->nsent = 0;
	rig_post_recv(o->r, &o->qp, 42, 8192, 4096);
	inject(o, FNS_OP_SEND_ONLY, psn + 2, o->data, 100);
	rig_settle(o->r);
	rig_expect_cqe(&o->qp.cq, 42, FNS_WC_SUCCESS);
	assert_memory_equal(o->r->mem + 8192, o->data, 100);
	o->r->nsent = 0;
	/* Over several packets. */
	{
		struct {
			uint64_t n;
			struct fns_offload_span s[200];
		} a = {200};

		for (unsigned i = 0; i < 200; i++)
			a.s[i] = (struct fns_offload_span){(uintptr_t)o->r->mem + 16 * i, 4, 0};
		n = request(msg, 1, 9, &a, sizeof(a));
		inject(o, FNS_OP_SEND_FIRST, psn + 3, msg, PMTU);
		for (unsigned i = 1; i < n / PMTU; i++)
			inject(o, FNS_OP_SEND_MIDDLE, psn + 3 + i, msg + i * PMTU, PMTU);
		inject(o, FNS_OP_SEND_LAST, psn + 3 + n / PMTU, msg + n / PMTU * PMTU, n % PMTU);
		rig_settle(o->r);
		p = expect_reply(o, RIG_SQ_PSN + 2, 9, FNS_OFFLOAD_OK);
		for (unsigned i = 0; i < 200; i++)
			assert_memory_equal(p->h.payload + sizeof(struct fns_offload_reply) + 4 * i,
				o->r->mem + 16 * i, 4);
	}
	one_end(o);
}

static void answers_near(void **state)
{
	answers(NULL);
}

static void answers_far(void **state)
{
	answers(&far);
}

/* A WRITE that comes before the request is in place when the handler reads. */
static void order(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, &far);
	uint8_t msg[MAX_ARGS];
	struct fns_hdr h;
	uint32_t n;

	bind_qp(o->r, &o->qp, 1, "gather");
	for (unsigned i = 0; i < 50; i++) {
		const struct rig_packet *p;

		h = rig_hdr_rdma(o->r, &o->qp, FNS_OP_WRITE_ONLY, RIG_RQ_PSN + 2 * i, 64, PMTU);
		rig_inject(o->r, h, o->data + i, PMTU);
		n = read_request(o, msg, i, 64, 900);
		inject(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 2 * i + 1, msg, n);
		rig_settle(o->r);
		p = expect_reply(o, RIG_SQ_PSN + i, i, FNS_OFFLOAD_OK);
		assert_memory_equal(
			p->h.payload + sizeof(struct fns_offload_reply), o->data + i, 900);
		o->r->nsent = 0;
		rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN + i);
	}
	one_end(o);
}

/* Work requests of both in one queue: the application has as many as it asked for, and completions
 * of its own only, which count its own only. */
static void shares_the_queue(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	uint8_t msg[MAX_ARGS];
	uint32_t psn = RIG_RQ_PSN, sent = RIG_SQ_PSN, n;
	struct fns_cqe c;

	rig_post_data(o->r, &o->qp, FNS_WR_SEND, 1000, FNS_WRF_SIGNALED, 0, 10);
	rig_run(o->r);
	bind_qp(o->r, &o->qp, 1, "gather");
	rig_inject_ack(o->r, &o->qp, sent++);
	rig_run(o->r);
	rig_expect_cqe(&o->qp.cq, 1000, FNS_WC_SUCCESS);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 10; i++) {
			n = read_request(o, msg, i, 0, 8);
			inject(o, FNS_OP_SEND_ONLY, psn++, msg, n);
			rig_run(o->r);
		}
		for (unsigned i = 0; i < 64; i++)
			rig_post_data(o->r, &o->qp, FNS_WR_SEND, i, FNS_WRF_SIGNALED, 0, 10);
		for (unsigned i = 0; i < 6; i++) {
			n = read_request(o, msg, i, 0, 8);
			inject(o, FNS_OP_SEND_ONLY, psn++, msg, n);
		}
		rig_run(o->r);
		assert_int_equal(rig_count(o->r, FNS_C_sq_bad_descriptors), 0);
		sent += 80;
		rig_inject_ack(o->r, &o->qp, sent - 1);
		rig_run(o->r);
		for (unsigned i = 0; i < 64; i++) {
			assert_true(rig_poll(&o->qp.cq, &c));
			assert_int_equal(c.wr_id, i);
			assert_int_equal(c.status, FNS_WC_SUCCESS);
			assert_int_equal(c.wqe_count, 1 + round * 64 + i + 1);
		}
		rig_expect_no_cqe(&o->qp.cq);
		o->r->nsent = 0;
	}
	one_end(o);
}

static void busy(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_offload_binding b = binding(o->r, 1, "gather");
	uint8_t msg[MAX_ARGS];
	uint32_t n = read_request(o, msg, 1, 0, 8);

	b.depth = 2;
	assert_int_equal(0, bind_to(o->r, o->qp.qpn, false, &b));
	for (unsigned i = 0; i < 3; i++)
		inject(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + i, msg, n);
	rig_run(o->r);
	/* The third is asked to come back; it may once a reply was acknowledged. */
	assert_int_equal(rig_count(o->r, FNS_C_rc_rnr_naks_sent), 1);
	rig_inject_ack(o->r, &o->qp, RIG_SQ_PSN);
	rig_run(o->r);
	o->r->nsent = 0;
	inject(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN + 2, msg, n);
	rig_run(o->r);
	expect_reply(o, RIG_SQ_PSN + 2, 1, FNS_OFFLOAD_OK);
	one_end(o);
}

/* Error, reset and destruction at random moments. */
static void ends_anytime(void **state)
{
	struct rig_opts opts = far;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct fns_rng rng;
		struct one *o;
		uint8_t msg[MAX_ARGS];
		uint32_t psn = RIG_RQ_PSN, n;

		fns_rng_seed(&rng, seed);
		opts.sim.seed = seed;
		o = one_begin(FNS_QPT_RC, &opts);
		bind_qp(o->r, &o->qp, 1, "gather");
		rig_post_data(o->r, &o->qp, FNS_WR_SEND, 1, FNS_WRF_SIGNALED, 0, 10);
		for (unsigned i = 0; i < 10; i++) {
			n = read_request(o, msg, i, 0, 600);
			inject(o, FNS_OP_SEND_ONLY, psn++, msg, n);
		}
		/* And one that is not complete. */
		memset(msg + 40, 0, PMTU);
		inject(o, FNS_OP_SEND_FIRST, psn++, msg, PMTU);
		for (uint64_t i = fns_rng_below(&rng, 40); i; i--)
			rig_step(o->r, 1 + fns_rng_below(&rng, 3000));
		switch (fns_rng_below(&rng, 4)) {
		case 0:
			rig_modify(o->r, &o->qp, FNS_QPS_ERR, FNS_QPA_STATE);
			break;
		case 1:
			rig_inject_aeth(
				o->r, &o->qp, RIG_SQ_PSN, FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS);
			rig_settle(o->r);
			break;
		case 2:
			for (unsigned i = 0;
				rig_modify(o->r, &o->qp, FNS_QPS_RESET, FNS_QPA_STATE) != 0; i++) {
				assert_true(i < 1000);
				rig_step(o->r, 5000);
			}
			rig_connect(o->r, &o->qp);
			o->r->nsent = 0;
			n = read_request(o, msg, 99, 0, 8);
			inject(o, FNS_OP_SEND_ONLY, RIG_RQ_PSN, msg, n);
			rig_settle(o->r);
			expect_reply(o, RIG_SQ_PSN, 99, FNS_OFFLOAD_OK);
			break;
		default:
			break;
		}
		rig_step(o->r, fns_rng_below(&rng, 5000));
		one_end(o);
	}
}

static void srq(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_ctl m = {.op = FNS_CTL_SRQ_CREATE};
	struct fns_offload_binding b = binding(o->r, 1, "gather");
	struct rig_qp before, after, *both[] = {&before, &after};
	uint8_t msg[MAX_ARGS];
	uint32_t handle, n = read_request(o, msg, 5, 0, 8);

	m.srq.pd = o->r->pd;
	m.srq.max_wr = 16;
	m.srq.max_sge = 1;
	assert_int_equal(0, rig_ctl(o->r, &m));
	handle = m.handle;
	rig_qp_create_srq(o->r, &before, FNS_QPT_RC, handle);
	rig_connect(o->r, &before);
	/* A queue pair of an SRQ is not bound alone. */
	assert_int_equal(-EINVAL, bind_to(o->r, before.qpn, false, &b));
	assert_int_equal(0, bind_to(o->r, handle, true, &b));
	rig_qp_create_srq(o->r, &after, FNS_QPT_RC, handle);
	rig_connect(o->r, &after);
	for (unsigned i = 0; i < 2; i++) {
		struct fns_hdr h = rig_hdr(both[i], FNS_OP_SEND_ONLY, RIG_RQ_PSN);

		o->r->nsent = 0;
		rig_inject(o->r, h, msg, n);
		rig_run(o->r);
		expect_reply(o, RIG_SQ_PSN, 5, FNS_OFFLOAD_OK);
	}
	rig_qp_destroy(o->r, &before);
	rig_qp_destroy(o->r, &after);
	m = (struct fns_ctl){.op = FNS_CTL_SRQ_DESTROY, .handle = handle};
	assert_int_equal(0, rig_ctl(o->r, &m));
	one_end(o);
}

static void refusals(void **state)
{
	struct one *o = one_begin(FNS_QPT_RC, NULL);
	struct fns_offload_binding b = binding(o->r, 1, "gather");
	struct fns_ctl m = {.op = FNS_CTL_OFFLOAD_UNBIND, .handle = o->qp.qpn};
	struct rig_qp ud;

	rig_qp_create(o->r, &ud, FNS_QPT_UD);
	assert_int_equal(-EINVAL, bind_to(o->r, ud.qpn, false, &b));
	assert_int_equal(-EINVAL, bind_to(o->r, 0x017777, false, &b));
	assert_int_equal(-EINVAL, bind_to(o->r, 1, true, &b));
	b.size = 3;
	assert_int_equal(-EINVAL, bind_to(o->r, o->qp.qpn, false, &b));
	b = binding(o->r, 1, "no-such");
	assert_int_equal(-ENOENT, bind_to(o->r, o->qp.qpn, false, &b));
	m.offload.bind.service = 1;
	assert_int_equal(-ENOENT, rig_ctl(o->r, &m));
	bind_qp(o->r, &o->qp, 1, "gather");
	m.op = FNS_CTL_OFFLOAD_COUNT;
	strcpy(m.offload.bind.handler, "gather");
	assert_int_equal(0, rig_ctl(o->r, &m));
	assert_int_equal(m.offload.count.bindings, 1);
	m.op = FNS_CTL_OFFLOAD_UNBIND;
	m.offload.bind.service = 1;
	assert_int_equal(0, rig_ctl(o->r, &m));
	m.op = FNS_CTL_OFFLOAD_LOAD; /* nothing that an engine would do for an application */
	assert_int_equal(-EOPNOTSUPP, rig_ctl(o->r, &m));
	rig_qp_destroy(o->r, &ud);
	one_end(o);
}

/* --- two engines --- */

#define SPANS 96u

struct two {
	struct rig *a, *b;
	struct rig_qp qa, qb;
	struct fns_rng rng;
};

static void pump(struct two *t, uint32_t loss_ppm)
{
	rig_step(t->a, 2000);
	rig_ferry(t->a, t->b, &t->rng, loss_ppm);
	rig_step(t->b, t->a->now - t->b->now);
	rig_ferry(t->b, t->a, &t->rng, loss_ppm);
}

static void two_begin(struct two *t, uint64_t seed)
{
	struct rig_opts oa = {
		.simdma = true, .sim = {.seed = seed, .min_ns = 100, .max_ns = 9000}, .prefix = 1};
	struct rig_opts ob = oa;

	ob.prefix = 2;
	fns_rng_seed(&t->rng, seed);
	t->a = rig_create(&oa);
	t->b = rig_create(&ob);
	rig_qp_create(t->a, &t->qa, FNS_QPT_RC);
	rig_qp_create(t->b, &t->qb, FNS_QPT_RC);
	t->qa.attr.dest_qpn = t->qb.qpn;
	t->qb.attr.dest_qpn = t->qa.qpn;
	t->qa.attr.timeout = t->qb.attr.timeout = 8;
	t->qa.attr.rnr_retry = t->qb.attr.rnr_retry = 7;
	t->qa.attr.sq_psn = t->qb.attr.rq_psn = 0xfffff0;
	t->qb.attr.sq_psn = t->qa.attr.rq_psn = 0xffffe0;
	rig_connect(t->a, &t->qa);
	rig_connect(t->b, &t->qb);
	bind_qp(t->b, &t->qb, 1, "gather");
	rig_fill(t->b, 0, RIG_MEM, 77);
}

static void two_end(struct two *t)
{
	rig_qp_destroy(t->a, &t->qa);
	rig_qp_destroy(t->b, &t->qb);
	rig_destroy(t->a);
	rig_destroy(t->b);
}

/* Posts a gather of random spans into [64 KiB, ...) of a's memory; returns bytes. */
static uint32_t post_gather(struct two *t, struct fns_offload_span *s, uint32_t rkey)
{
	struct fns_offload_request *h = (void *)t->a->mem;
	uint64_t *count = (void *)(h + 1);
	uint32_t total = 0;

	*h = (struct fns_offload_request){.magic = FNS_OFFLOAD_MAGIC,
		.service = 1,
		.tag = 4,
		.out_addr = (uintptr_t)t->a->mem + 65536,
		.out_rkey = rkey,
		.out_len = RIG_MEM - 65536};
	*count = SPANS;
	for (unsigned i = 0; i < SPANS; i++) {
		uint32_t len = (uint32_t)fns_rng_below(&t->rng, 3000);

		s[i] = (struct fns_offload_span){
			(uintptr_t)t->b->mem + fns_rng_below(&t->rng, RIG_MEM - len), len, 0};
		if (i && fns_rng_below(&t->rng, 2) &&
			s[i - 1].addr + s[i - 1].len + len <= (uintptr_t)t->b->mem + RIG_MEM)
			s[i].addr = s[i - 1].addr + s[i - 1].len;
		total += len;
	}
	memcpy(count + 1, s, SPANS * sizeof(*s));
	rig_post_recv(t->a, &t->qa, 50, 32768, 4096);
	rig_post_data(t->a, &t->qa, FNS_WR_SEND, 60, FNS_WRF_SIGNALED, 0,
		(uint32_t)(sizeof(*h) + 8 + SPANS * sizeof(*s)));
	return total;
}

static void gathers(uint64_t seed, uint32_t loss_ppm)
{
	struct fns_offload_reply *r;
	struct fns_offload_span s[SPANS];
	struct two t;
	struct fns_cqe c;
	unsigned got = 0;

	two_begin(&t, seed);
	for (unsigned round = 0; round < 5; round++) {
		uint32_t total = post_gather(&t, s, t.a->key);
		const uint8_t *at = t.a->mem + 65536;

		memset(t.a->mem + 65536, 0, RIG_MEM - 65536);
		for (unsigned i = 0; got < 2 * (round + 1); i++) {
			assert_true(i < 200000);
			pump(&t, loss_ppm);
			while (rig_poll(&t.qa.cq, &c)) {
				assert_int_equal(c.status, FNS_WC_SUCCESS);
				got++;
			}
		}
		r = (void *)(t.a->mem + 32768);
		assert_int_equal(r->status, FNS_OFFLOAD_OK);
		assert_int_equal(r->value, total);
		assert_int_equal(r->written, total);
		for (unsigned i = 0; i < SPANS; i++) {
			assert_memory_equal(at, (void *)(uintptr_t)s[i].addr, s[i].len);
			at += s[i].len;
		}
		assert_int_equal(*at, 0);
	}
	rig_expect_no_cqe(&t.qb.cq);
	two_end(&t);
}

static void gather_all(void **state)
{
	gathers(1, 0);
}

static void gather_lossy(void **state)
{
	for (uint64_t seed = 1; seed <= 10; seed++)
		gathers(seed, 20000);
}

/* A caller that names a wrong key of its own: its connection ends, on both sides, with words. */
static void wrong_rkey(void **state)
{
	struct fns_offload_span s[SPANS];
	struct two t;
	bool event = false;

	two_begin(&t, 3);
	post_gather(&t, s, t.a->key ^ 0x100);
	for (unsigned i = 0; i < 3000; i++)
		pump(&t, 0);
	assert_int_equal(rig_state(t.a, &t.qa), FNS_QPS_ERR);
	assert_int_equal(rig_state(t.b, &t.qb), FNS_QPS_ERR);
	for (unsigned i = 0; i < t.b->nevents; i++)
		event |= t.b->event[i].type == FNS_EVENT_QP_FATAL;
	assert_true(event);
	two_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_near),
		cmocka_unit_test(answers_far),
		cmocka_unit_test(order),
		cmocka_unit_test(shares_the_queue),
		cmocka_unit_test(busy),
		cmocka_unit_test(ends_anytime),
		cmocka_unit_test(srq),
		cmocka_unit_test(refusals),
		cmocka_unit_test(gather_all),
		cmocka_unit_test(gather_lossy),
		cmocka_unit_test(wrong_rkey),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
