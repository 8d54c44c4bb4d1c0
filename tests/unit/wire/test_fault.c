/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the fault wire in virtual time: what its rules do to packets. */
#include "fault_rig.h"

/* Runs the clock until nothing is due any more, receiving into views. */
static unsigned settle(struct rig *r, uint32_t *psn, unsigned max)
{
	struct fns_rx_view v[FNS_RX_BATCH];
	unsigned n = 0;

	for (unsigned rounds = 0; rounds < 100000; rounds++) {
		unsigned got = r->w->ops->rx_burst(r->w, v, FNS_RX_BATCH);
		uint64_t next = r->w->ops->next(r->w);

		for (unsigned i = 0; i < got; i++) {
			assert_in_range(n, 0, max - 1);
			psn[n++] = get_be24(v[i].data + 9);
			r->w->ops->rx_release(r->w, &v[i]);
		}
		if (got == 0 && r->nin == 0 && next == UINT64_MAX)
			return n;
		if (got == 0)
			r->now = FNS_MAX(r->now + 1, FNS_MIN(next, r->now + FNS_NSEC_PER_SEC));
	}
	fail_msg("something is due for ever");
	return n;
}

static void receive(struct rig *r, uint32_t psn, uint32_t qpn)
{
	uint8_t *d = r->in_data[r->nin];

	memset(d, (int)psn, FNS_BTH_LEN + PAYLOAD);
	d[0] = FNS_OP_SEND_ONLY;
	put_be24(d + 5, qpn);
	put_be24(d + 9, psn);
	r->in[r->nin++] = (struct fns_rx_view){
		.data = d, .len = FNS_BTH_LEN + PAYLOAD, .src = r->path.remote, .buf = d};
}

/* Sent in one way or the other, n of SENT at p parts of a thousand: within five deviations. */
static void check_rate(uint64_t n, unsigned permille)
{
	int64_t mean = SENT * permille / 1000, off = (int64_t)n - mean;

	assert_true(off * off < 25 * mean);
}

static void test_nothing(void **s)
{
	struct rig *r = rig_make(NULL);

	send_all(r, 0, 16, NULL);
	assert_int_equal(r->nsent, 16);
	assert_int_equal(r->bursts, 1); /* trains stay trains */
	assert_int_equal(r->w->ops->next(r->w), UINT64_MAX);
	assert_true(fns_wire_fault_idle(r->w));
	assert_int_equal(r->w->ops->rx_cost(r->w, 100, true), 101);
	rig_free(r);
}

static void test_loss(void **s)
{
	struct rig *r = rig_make("loss=1%,seed=3");

	send_all(r, 0, SENT, NULL);
	check_rate(SENT - r->nsent, 10);
	assert_int_equal(counted(r, FNS_C_drop_sim_fault), SENT - r->nsent);
	for (unsigned i = 1; i < r->nsent; i++)
		assert_true(r->sent[i].psn > r->sent[i - 1].psn);
	rig_free(r);
}

static void test_same_seed_same_faults(void **s)
{
	struct rig *a = rig_make("loss=2%,dup=1%,reorder=5,corrupt=1%,seed=9");
	struct rig *b = rig_make("loss=2%,dup=1%,reorder=5,corrupt=1%,seed=9");
	struct rig *c = rig_make("loss=2%,dup=1%,reorder=5,corrupt=1%,seed=10");

	send_all(a, 0, 4000, NULL);
	send_all(b, 0, 4000, NULL);
	send_all(c, 0, 4000, NULL);
	assert_int_equal(a->nsent, b->nsent);
	assert_memory_equal(a->sent, b->sent, a->nsent * sizeof(a->sent[0]));
	assert_true(a->nsent != c->nsent ||
		    memcmp(a->sent, c->sent, a->nsent * sizeof(a->sent[0])) != 0);
	rig_free(a);
	rig_free(b);
	rig_free(c);
}

static void test_dup(void **s)
{
	struct rig *r = rig_make("dup=5%");

	send_all(r, 0, SENT, NULL);
	check_rate(r->nsent - SENT, 50);
	assert_int_equal(counted(r, FNS_C_fault_duplicates), r->nsent - SENT);
	for (unsigned i = 1; i < r->nsent; i++) {
		assert_in_range(r->sent[i].psn - r->sent[i - 1].psn, 0, 1);
		if (r->sent[i].psn == r->sent[i - 1].psn)
			assert_int_equal(r->sent[i].icrc, r->sent[i - 1].icrc);
	}
	rig_free(r);
}

/* The corrupted packet goes out with the ICRC of what it was, so that the receiver sees. */
static void test_corrupt(void **s)
{
	struct rig *r = rig_make("corrupt=100%"), *clean = rig_make(NULL);

	send_all(r, 0, 2000, NULL);
	send_all(clean, 0, 2000, NULL);
	assert_int_equal(r->nsent, 2000);
	assert_int_equal(counted(r, FNS_C_fault_corruptions), 2000);
	for (unsigned i = 0; i < 2000; i++) {
		assert_int_equal(r->sent[i].icrc, clean->sent[i].icrc);
		assert_int_not_equal(r->sent[i].icrc, r->sent[i].sum);
		assert_int_equal(r->sent[i].len, clean->sent[i].len);
	}
	rig_free(r);
	rig_free(clean);
}

static void test_reorder(void **s)
{
	struct rig *r = rig_make("reorder=3/10%");
	unsigned late = 0;
	uint32_t top = 0;

	send_all(r, 0, SENT, NULL);
	settle(r, NULL, 0);
	assert_int_equal(r->nsent, SENT); /* nothing is lost, nothing twice */
	for (unsigned i = 0; i < SENT; i++) {
		uint32_t before = 0;

		for (unsigned k = i > 20 ? i - 20 : 0; k < i; k++)
			before += r->sent[k].psn > r->sent[i].psn;
		/* Overtaken by three at most, and by some that had been held themselves. */
		assert_in_range(before, 0, 6);
		late += before > 0;
		top = FNS_MAX(top, r->sent[i].psn);
	}
	assert_int_equal(top, SENT - 1);
	assert_true(late > SENT / 20);
	check_rate(counted(r, FNS_C_fault_reorders), 100);
	rig_free(r);
}

static void test_last_one_is_not_held_for_ever(void **s)
{
	struct rig *r = rig_make("reorder=3/100%");

	send_all(r, 0, 1, NULL);
	assert_int_equal(r->nsent, 0);
	settle(r, NULL, 0);
	assert_int_equal(r->nsent, 1);
	assert_true(fns_wire_fault_idle(r->w) == false); /* it has rules */
	rig_free(r);
}

static void test_delay(void **s)
{
	struct rig *r = rig_make("delay=50us,jitter=10us");
	uint64_t start = r->now;

	send_all(r, 0, 64, NULL);
	assert_int_equal(r->nsent, 0);
	assert_true(r->w->ops->next(r->w) >= start + 50000);
	settle(r, NULL, 0);
	assert_int_equal(r->nsent, 64);
	for (unsigned i = 0; i < 64; i++) {
		uint64_t sent = start + 100 * (i / 16 + 1);

		assert_int_equal(r->sent[i].psn, i); /* jitter does not reorder */
		assert_in_range(r->sent[i].at_ns - sent, 50000, 61000);
	}
	rig_free(r);
}

static void test_flap(void **s)
{
	struct rig *r = rig_make("flap=1ms/200us");

	for (uint32_t i = 0; i < 100; i++) {
		r->now = 1000 + i * 100 * FNS_NSEC_PER_USEC;
		r->now -= 100;
		send_all(r, i, 1, NULL);
	}
	assert_int_equal(r->nsent, 80);
	for (unsigned i = 0; i < r->nsent; i++)
		assert_in_range(r->sent[i].psn % 10, 0, 7);
	rig_free(r);
}

static void test_chosen(void **s)
{
	static const uint32_t mine = QPN, other = 0x050a12;
	struct rig *r = rig_make("qp=0x050a11,loss=100%;peer=192.0.2.8,loss=100%;dir=rx,loss=100%");
	uint32_t psn[4];

	send_all(r, 0, 10, &mine);
	assert_int_equal(r->nsent, 0);
	send_all(r, 0, 10, &other);
	assert_int_equal(r->nsent, 10);
	r->path.remote.b[15] = 8;
	send_all(r, 0, 10, &other);
	assert_int_equal(r->nsent, 10);
	r->path.remote.b[15] = 9;
	receive(r, 1, other);
	assert_int_equal(settle(r, psn, 4), 0);
	rig_free(r);
}

static void test_receive(void **s)
{
	static uint32_t psn[4 * SENT];
	struct rig *r = rig_make("loss=1%,dup=2%,corrupt=3%,reorder=4/5%,delay=1us");
	unsigned n = 0, i;
	uint64_t lost;

	for (i = 0; i < SENT; i += 100) {
		for (unsigned k = 0; k < 100; k++)
			receive(r, i + k, QPN);
		r->now += 10000;
		n += settle(r, psn + n, 4 * SENT - n);
	}
	check_rate(counted(r, FNS_C_drop_sim_fault), 10);
	check_rate(counted(r, FNS_C_fault_corruptions), 30);
	assert_int_equal(counted(r, FNS_C_fault_corruptions), counted(r, FNS_C_drop_icrc));
	check_rate(counted(r, FNS_C_fault_duplicates), 20);
	assert_true(counted(r, FNS_C_fault_reorders) > 0);
	lost = counted(r, FNS_C_drop_sim_fault) + counted(r, FNS_C_drop_icrc);
	assert_int_equal(n, SENT - lost + counted(r, FNS_C_fault_duplicates));
	rig_free(r);
}

/* More at once than there is room for is lost and counted; nothing breaks. */
static void test_receive_more_than_it_holds(void **s)
{
	static uint32_t psn[8192];
	struct rig *r = rig_make("delay=1s");
	struct fns_rx_view v[FNS_RX_BATCH];
	uint64_t lost;

	for (unsigned i = 0; i < 4096; i += 128) {
		for (unsigned k = 0; k < 128; k++)
			receive(r, i + k, QPN);
		assert_int_equal(r->w->ops->rx_burst(r->w, v, FNS_RX_BATCH), 0);
	}
	lost = counted(r, FNS_C_drop_sim_fault);
	assert_in_range(lost, 2048, 2304);
	assert_int_equal(settle(r, psn, 8192), 4096 - lost);
	rig_free(r);
}

static void test_full_below(void **s)
{
	struct rig *r = rig_make("dup=100%");
	struct fns_frame f[16];
	struct fns_sg sg[16];
	uint8_t payload[16][PAYLOAD];
	unsigned taken = 0, rounds;

	for (unsigned i = 0; i < 16; i++)
		frame_put(r, &f[i], &sg[i], payload[i], i, NULL);
	r->full_after = 0;
	for (rounds = 0; taken < 16 && rounds < 100; rounds++) {
		taken += r->w->ops->tx_burst(r->w, f + taken, 16 - taken);
		r->full_after = 3;
		r->now += 1000;
	}
	assert_int_equal(taken, 16);
	r->full_after = UINT32_MAX;
	settle(r, NULL, 0);
	assert_int_equal(r->nsent, 32);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(r->sent[i].psn, i / 2);
	rig_free(r);
}

/* Held copies are bounded: then the wire is full, and takes more when they have left. */
static void test_full_of_held(void **s)
{
	struct rig *r = rig_make("delay=1ms");
	unsigned taken = 0;

	for (unsigned i = 0; i < 4000; i++) {
		struct fns_frame f;
		struct fns_sg sg;
		uint8_t payload[PAYLOAD];

		frame_put(r, &f, &sg, payload, i, NULL);
		taken += r->w->ops->tx_burst(r->w, &f, 1);
	}
	assert_in_range(taken, 2000, 2048);
	settle(r, NULL, 0);
	assert_int_equal(r->nsent, taken);
	send_all(r, taken, 1, NULL);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_same_seed_same_faults),
		cmocka_unit_test(test_dup),
		cmocka_unit_test(test_corrupt),
		cmocka_unit_test(test_reorder),
		cmocka_unit_test(test_last_one_is_not_held_for_ever),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_flap),
		cmocka_unit_test(test_chosen),
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_receive_more_than_it_holds),
		cmocka_unit_test(test_full_below),
		cmocka_unit_test(test_full_of_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
