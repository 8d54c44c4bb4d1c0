/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer's host says of itself: who is to be asked, and what windows and credit become of the
 * answer.
 */
#include "rig.h"

#include <string.h>

#define PMTU          1024u
#define MS            1000000ull
#define SHARE(rcvbuf) ((uint32_t)((uint64_t)(rcvbuf)*141000 / 212992))

static const struct fns_hello flexins = {
	.version = 1, .ext = FNS_HELLO_EXT_CREDIT, .icrc = FNS_HELLO_ICRC_STD, .rcvbuf = 425984};

static struct fns_peer *peer_of(struct rig *r)
{
	assert_false(fns_list_empty(&r->e->nic.peers));
	return fns_container_of(r->e->nic.peers.next, struct fns_peer, node);
}

static uint32_t ah_create(struct rig *r, const struct fns_gid *to)
{
	struct fns_ctl m = {.op = FNS_CTL_AH_CREATE};

	m.ah.pd = r->pd;
	m.ah.av = (struct fns_ctl_av){
		.sgid = r->self, .dgid = *to, .is_global = 1, .link_mtu = 9000, .ifindex = 3};
	assert_int_equal(rig_ctl(r, &m), 0);
	return m.handle;
}

static void ah_destroy(struct rig *r, uint32_t handle)
{
	struct fns_ctl m = {.op = FNS_CTL_AH_DESTROY, .handle = handle};

	assert_int_equal(rig_ctl(r, &m), 0);
}

static void told(struct rig *r, enum fns_hello_state state, uint32_t rcvbuf)
{
	struct fns_hello h = flexins;

	h.rcvbuf = rcvbuf;
	fns_engine_hello_told(r->e, &r->peer, state, &h);
}

/* An address is wanted when somebody names it first, once, and again after everybody let it go. */
static void who_is_asked(void **state)
{
	const struct fns_gid group = {{0xff, 0x0e, [15] = 1}};
	struct rig *r = rig_create(NULL);
	struct fns_engine_address a;
	uint32_t ah[3];
	struct rig_qp qp;

	(void)state;
	assert_false(fns_engine_hello_pending(r->e));
	rig_qp_create(r, &qp, FNS_QPT_RC);
	assert_false(fns_engine_hello_pending(r->e));
	rig_connect(r, &qp);
	assert_true(fns_engine_hello_pending(r->e));
	ah[0] = ah_create(r, &r->peer);
	assert_true(fns_engine_hello_next(r->e, &a));
	assert_true(fns_gid_equal(&a.local, &r->self));
	assert_true(fns_gid_equal(&a.remote, &r->peer));
	assert_false(fns_engine_hello_pending(r->e));
	assert_false(fns_engine_hello_next(r->e, &a));
	/* Another address, by its handle alone; never a group. */
	ah[1] = ah_create(r, &group);
	assert_false(fns_engine_hello_pending(r->e));
	ah[2] = ah_create(r, &(struct fns_gid){{0x20, 0x01, [15] = 9}});
	assert_true(fns_engine_hello_next(r->e, &a));
	assert_int_equal(a.remote.b[15], 9);
	assert_int_equal(a.ifindex, 3);
	/* The keeper died: both again, but not what was answered before. */
	told(r, FNS_HELLO_SILENT, 0);
	fns_engine_hello_lost(r->e);
	assert_true(fns_engine_hello_next(r->e, &a));
	assert_int_equal(a.remote.b[15], 9);
	assert_false(fns_engine_hello_next(r->e, &a));
	/* Wanted no more once nobody names it. */
	fns_engine_hello_lost(r->e);
	assert_true(fns_engine_hello_pending(r->e));
	ah_destroy(r, ah[2]);
	assert_false(fns_engine_hello_pending(r->e));
	ah_destroy(r, ah[1]);
	rig_qp_destroy(r, &qp);
	ah_destroy(r, ah[0]);
	assert_true(fns_list_empty(&r->e->nic.hosts));
	ah[0] = ah_create(r, &r->peer);
	assert_true(fns_engine_hello_pending(r->e));
	/* An answer about whom nobody names. */
	fns_engine_hello_told(r->e, &group, FNS_HELLO_FLEXINS, &flexins);
	rig_destroy(r);
}

/* Named anew after a while, an address is asked anew; what is known holds meanwhile. */
static void old_answers(void **state)
{
	struct rig *r = rig_create(NULL);
	uint32_t ah = ah_create(r, &r->peer), more[4];
	struct fns_engine_address a;

	(void)state;
	rig_run(r);
	assert_true(fns_engine_hello_next(r->e, &a));
	told(r, FNS_HELLO_SILENT, 0);
	rig_step(r, 9000 * MS);
	more[0] = ah_create(r, &r->peer);
	assert_false(fns_engine_hello_pending(r->e));
	rig_step(r, 1000 * MS);
	assert_false(fns_engine_hello_pending(r->e));
	more[1] = ah_create(r, &r->peer);
	assert_true(fns_engine_hello_next(r->e, &a));
	more[2] = ah_create(r, &r->peer); /* being asked already */
	assert_false(fns_engine_hello_pending(r->e));
	told(r, FNS_HELLO_FLEXINS, 425984);
	rig_step(r, 59000 * MS);
	more[3] = ah_create(r, &r->peer);
	assert_false(fns_engine_hello_pending(r->e));
	ah_destroy(r, more[3]);
	rig_step(r, 1000 * MS);
	more[3] = ah_create(r, &r->peer);
	assert_true(fns_engine_hello_next(r->e, &a));
	for (unsigned i = 0; i < 4; i++)
		ah_destroy(r, more[i]);
	ah_destroy(r, ah);
	assert_true(fns_list_empty(&r->e->nic.hosts));
	rig_destroy(r);
}

static void windows(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp, later;
	struct fns_peer *p;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	p = peer_of(r);
	assert_int_equal(p->window, 141000);
	told(r, FNS_HELLO_FLEXINS, 425984);
	assert_int_equal(p->max_window, 282000);
	assert_int_equal(p->window, 282000);
	/* Cut by loss, it stays cut. */
	fns_peer_loss(&r->e->nic, p, 1000);
	assert_int_equal(p->window, 141000);
	told(r, FNS_HELLO_FLEXINS, 425984);
	assert_int_equal(p->window, 141000);
	told(r, FNS_HELLO_FLEXINS, 65536);
	assert_int_equal(p->max_window, SHARE(65536));
	assert_int_equal(p->window, SHARE(65536));
	/* What nobody would say. */
	told(r, FNS_HELLO_FLEXINS, 0);
	assert_int_equal(p->window, 16384);
	told(r, FNS_HELLO_FLEXINS, UINT32_MAX);
	assert_int_equal(p->window, 4u << 20);
	told(r, FNS_HELLO_STANDARD, 0);
	assert_int_equal(p->window, 141000);
	told(r, FNS_HELLO_FLEXINS, 100000);
	told(r, FNS_HELLO_SILENT, 0);
	assert_int_equal(p->max_window, 141000);
	/* Another process there: known from the beginning. */
	told(r, FNS_HELLO_FLEXINS, 100000);
	rig_qp_create(r, &later, FNS_QPT_RC);
	later.attr.dest_qpn = 0x090001;
	rig_connect(r, &later);
	assert_int_equal(rig_inner(r, &later)->peer->window, SHARE(100000));
	assert_ptr_not_equal(rig_inner(r, &later)->peer, p);
	rig_qp_destroy(r, &qp);
	rig_qp_destroy(r, &later);
	rig_destroy(r);
}

/* Who set a limit means it. */
static void configured_limit(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	told(r, FNS_HELLO_FLEXINS, 1 << 20);
	assert_int_equal(peer_of(r)->window, 20000);
	told(r, FNS_HELLO_FLEXINS, 1 << 14);
	assert_int_equal(peer_of(r)->window, 16384);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* A queue pair that waits goes on as soon as there is more room than was thought. */
static void waiters_go_on(void **state)
{
	struct rig *r = rig_create(NULL);
	struct rig_qp qp;
	unsigned i, full;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	for (i = 0; i < 64; i++)
		rig_post_data(r, &qp, FNS_WR_WRITE, i, FNS_WRF_SIGNALED, 0, 8 * PMTU);
	rig_run(r);
	full = r->nsent;
	assert_true(full < 64 * 8);
	told(r, FNS_HELLO_FLEXINS, 425984);
	rig_run(r);
	assert_true(r->nsent >= 2 * full - 2 && r->nsent <= 2 * full + 2);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

static unsigned marks(const struct rig *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->nsent; i++)
		n += r->sent[i].h.ack_req;
	return n;
}

static void send_uc(struct rig *r, const struct rig_qp *qp, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rig_post_data(r, qp, FNS_WR_SEND, i, FNS_WRF_SIGNALED, 0, 10 * PMTU);
}

/* Another implementation gets no mark and has no window for UC and UD, from the first packet on. */
static void standard_peer(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	told(r, FNS_HELLO_STANDARD, 0);
	send_uc(r, &qp, 60);
	rig_run(r);
	assert_int_equal(r->nsent, 600);
	assert_int_equal(marks(r), 0);
	r->nsent = 0;
	rig_sleep(r, 2000 * MS);
	send_uc(r, &qp, 60);
	rig_run(r);
	assert_int_equal(r->nsent, 600);
	assert_int_equal(marks(r), 0);
	rig_sleep(r, 2000 * MS);
	assert_int_equal(peer_of(r)->inflight, 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* The word comes while packets wait: they go, and nothing stays accounted. */
static void standard_peer_later(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;
	unsigned before;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	send_uc(r, &qp, 20);
	rig_run(r);
	assert_true(r->nsent < 20);
	assert_true(marks(r) > 0);
	before = r->nsent;
	told(r, FNS_HELLO_STANDARD, 0);
	rig_run(r);
	assert_int_equal(r->nsent, 200);
	memmove(&r->sent[0], &r->sent[before], (200 - before) * sizeof(r->sent[0]));
	r->nsent = 200 - before;
	assert_int_equal(marks(r), 0);
	rig_sleep(r, 1000 * MS);
	assert_int_equal(peer_of(r)->inflight, 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* Who said that it gives credit is waited for far longer than a stranger: it may be starved. */
static void promised_credit(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;
	struct fns_hdr h;
	unsigned full;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	told(r, FNS_HELLO_FLEXINS, 1 << 20);
	send_uc(r, &qp, 20);
	rig_run(r);
	full = r->nsent;
	assert_true(full < 20 && marks(r) > 0);
	rig_sleep(r, 1500 * MS);
	assert_true(r->nsent <= full + 15); /* a packet for each wait in vain */
	assert_true(r->sent[r->nsent - 1].h.ack_req);
	h = rig_hdr(&qp, FNS_TC_UC | FNS_OP_CREDIT, r->sent[r->nsent - 1].h.psn);
	r->nsent = 0;
	rig_inject(r, h, NULL, 0);
	rig_run(r);
	assert_true(r->nsent >= full - 2);
	/* Nobody there any more. */
	rig_sleep(r, 3000 * MS);
	assert_int_equal(peer_of(r)->inflight, 0);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* A FlexiNS without that extension is treated as what it is: one that gives no credit. */
static void no_credit_extension(void **state)
{
	const struct rig_opts o = {.peer_budget = 20000};
	struct fns_hello h = {.version = 1, .icrc = 1, .rcvbuf = 1 << 20};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_UC);
	rig_connect(r, &qp);
	fns_engine_hello_told(r->e, &r->peer, FNS_HELLO_FLEXINS, &h);
	send_uc(r, &qp, 20);
	rig_run(r);
	assert_int_equal(r->nsent, 200);
	assert_int_equal(marks(r), 0);
	rig_sleep(r, 1000 * MS);
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

/* Our own buffer bounds what one READ request asks for. */
static void small_own_buffer(void **state)
{
	const struct rig_opts o = {.read_budget = SHARE(65536)};
	struct rig *r = rig_create(&o);
	struct rig_qp qp;

	(void)state;
	rig_qp_create(r, &qp, FNS_QPT_RC);
	rig_connect(r, &qp);
	rig_post_data(r, &qp, FNS_WR_READ, 1, FNS_WRF_SIGNALED, 0, 60 * PMTU);
	rig_run(r);
	assert_true(r->nsent >= 1);
	assert_int_equal(r->sent[0].h.opcode, FNS_OP_READ_REQUEST);
	assert_int_equal(r->sent[0].h.dma_len, SHARE(65536) / 2 / PMTU * PMTU);
	assert_true(r->e->nic.read_cost <= SHARE(65536));
	rig_qp_destroy(r, &qp);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_asked),
		cmocka_unit_test(old_answers),
		cmocka_unit_test(windows),
		cmocka_unit_test(configured_limit),
		cmocka_unit_test(waiters_go_on),
		cmocka_unit_test(standard_peer),
		cmocka_unit_test(standard_peer_later),
		cmocka_unit_test(promised_credit),
		cmocka_unit_test(no_credit_extension),
		cmocka_unit_test(small_own_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
