/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the fault wire in virtual time, around a wire of this file that keeps what it is
 * given and gives what it is told; and of the text form of its rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "roce/icrc.h"
#include "wire/fault.h"
#include "wire/wire.h"

#define QPN     0x050a11u
#define SENT    20000u
#define PAYLOAD 100u

struct packet {
	uint32_t psn, sum, icrc, len; /* sum: of the bytes; icrc: what is written behind them */
	uint64_t at_ns;
};

struct rig {
	struct fns_wire below; /* first */
	struct fns_wire *w;
	struct fns_stats *stats;
	uint64_t now;
	struct fns_path path;
	struct packet sent[2 * SENT];
	unsigned nsent, bursts, full_after; /* full_after: frames it still takes */
	struct fns_rx_view in[FNS_RX_BATCH];
	uint8_t in_data[FNS_RX_BATCH][FNS_BTH_LEN + PAYLOAD];
	unsigned nin;
	int views_out;
	bool qp_exists;
	struct fns_fault_qp qp;
};

static struct rig *rig_of(struct fns_wire *w)
{
	return (struct rig *)(void *)w;
}

static int below_path_get(struct fns_wire *w, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl,
	struct fns_path **out)
{
	rig_of(w)->path.refs++;
	*out = &rig_of(w)->path;
	return 0;
}

static void below_path_put(struct fns_wire *w, struct fns_path *p)
{
	assert_true(p->refs-- > 0);
}

/* The sum that the wire would make, over what it was given. */
static uint32_t sum_of(const struct fns_frame *f)
{
	uint8_t flat[FNS_HDR_MAX + PAYLOAD + 4];
	uint32_t at = f->hdr_len;

	memcpy(flat, f->hdr, f->hdr_len);
	for (unsigned i = 0; i < f->nsg; i++) {
		memcpy(flat + at, f->sg[i].addr, f->sg[i].len);
		at += f->sg[i].len;
	}
	memset(flat + at, 0, f->pad);
	return fns_icrc_bth(0, flat, at + f->pad);
}

static unsigned below_tx(struct fns_wire *w, struct fns_frame *frames, unsigned n)
{
	struct rig *r = rig_of(w);
	unsigned i;

	r->bursts++;
	for (i = 0; i < n && r->full_after > 0; i++, r->full_after--) {
		const struct fns_frame *f = &frames[i];

		assert_in_range(r->nsent, 0, FNS_ARRAY_SIZE(r->sent) - 1);
		r->sent[r->nsent++] = (struct packet){.psn = get_be24(f->hdr + 9),
			.sum = sum_of(f),
			.icrc = sum_of(f) ^ f->icrc_xor,
			.len = f->hdr_len + f->payload_len + f->pad,
			.at_ns = r->now};
		frames[i].status = FNS_FRAME_SENT;
	}
	return i;
}

static unsigned below_rx(struct fns_wire *w, struct fns_rx_view *views, unsigned max)
{
	struct rig *r = rig_of(w);
	unsigned n = r->nin;

	assert_true(max >= FNS_RX_BATCH);
	memcpy(views, r->in, n * sizeof(*views));
	r->views_out += (int)n;
	r->nin = 0;
	return n;
}

static void below_release(struct fns_wire *w, struct fns_rx_view *v)
{
	rig_of(w)->views_out--;
	memset(v->buf, 0xdd, FNS_BTH_LEN + PAYLOAD); /* who still reads it is found */
}

static uint32_t below_cost(struct fns_wire *w, uint32_t len, bool bulk)
{
	return len + bulk;
}

static const struct fns_wire_ops below_ops = {
	.name = "test",
	.path_get = below_path_get,
	.path_put = below_path_put,
	.tx_burst = below_tx,
	.rx_burst = below_rx,
	.rx_release = below_release,
	.rx_cost = below_cost,
};

static uint32_t owner_qpn(const void *owner)
{
	return owner ? *(const uint32_t *)owner : 0;
}

static bool qp_look(void *ctx, uint32_t qpn, struct fns_fault_qp *out)
{
	struct rig *r = ctx;

	*out = r->qp;
	return r->qp_exists && qpn == QPN;
}

static struct rig *rig_make(const char *spec)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct fns_fault_cfg cfg = {
		.below = &r->below, .owner_qpn = owner_qpn, .qp_look = qp_look, .ctx = r};
	struct fns_fault_spec s;
	char err[256];

	assert_non_null(r);
	r->stats = calloc(1, offsetof(struct fns_stats, qp));
	r->below = (struct fns_wire){.ops = &below_ops, .stats = r->stats, .now_ns = &r->now};
	r->now = 1000;
	r->full_after = UINT32_MAX;
	r->path.refs = 1;
	r->path.remote = (struct fns_gid){{[10] = 0xff, 0xff, 192, 0, 2, 7}};
	r->qp = (struct fns_fault_qp){.rc = true,
		.rts = true,
		.una = 5,
		.next = 5,
		.rnr_retry = 3,
		.timeout = 14,
		.remote = r->path.remote};
	r->qp_exists = true;
	r->w = fns_wire_fault_create(&cfg);
	assert_non_null(r->w);
	if (spec) {
		assert_int_equal(fns_fault_parse(spec, &s, err, sizeof(err)), 0);
		fns_wire_fault_set(r->w, &s);
	}
	return r;
}

static void rig_free(struct rig *r)
{
	r->w->ops->destroy(r->w);
	assert_int_equal(r->path.refs, 1);
	assert_int_equal(r->views_out, 0);
	free(r->stats);
	free(r);
}

static uint64_t counted(const struct rig *r, enum fns_counter c)
{
	return atomic_load(&r->stats->counter[c]);
}

static void frame_put(struct rig *r, struct fns_frame *f, struct fns_sg *sg, uint8_t *payload,
	uint32_t psn, const uint32_t *owner)
{
	memset(f, 0, sizeof(*f));
	memset(payload, (int)(psn * 7), PAYLOAD);
	*sg = (struct fns_sg){payload, NULL, PAYLOAD - 3};
	f->path = &r->path;
	f->sg = sg;
	f->nsg = 1;
	f->payload_len = sg->len;
	f->pad = 3;
	f->hdr_len = FNS_BTH_LEN;
	f->owner = (void *)(uintptr_t)owner;
	f->hdr[0] = FNS_OP_SEND_ONLY;
	put_be24(f->hdr + 9, psn);
	f->status = 0xee;
}

/* PSNs [first, first + n) in bursts of 16; all are taken. */
static void send_all(struct rig *r, uint32_t first, uint32_t n, const uint32_t *owner)
{
	struct fns_frame f[16];
	struct fns_sg sg[16];
	uint8_t payload[16][PAYLOAD];

	for (uint32_t at = 0; at < n; at += 16) {
		unsigned k = FNS_MIN(16u, n - at);

		for (unsigned i = 0; i < k; i++)
			frame_put(r, &f[i], &sg[i], payload[i], first + at + i, owner);
		r->now += 100;
		assert_int_equal(r->w->ops->tx_burst(r->w, f, k), k);
		for (unsigned i = 0; i < k; i++)
			assert_int_equal(f[i].status, FNS_FRAME_SENT);
	}
}

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

/* --- errors --- */

/* Receives at most one view: its syndrome and PSN. False: none. */
static bool response(struct rig *r, uint8_t *syndrome, uint32_t *psn)
{
	struct fns_rx_view v[FNS_RX_BATCH];
	struct fns_hdr h;
	unsigned n;

	r->now += 200000;
	n = r->w->ops->rx_burst(r->w, v, FNS_RX_BATCH);
	assert_in_range(n, 0, 1);
	if (n == 0)
		return false;
	assert_int_equal(fns_hdr_parse(v[0].data, v[0].len, &h), FNS_HDR_OK);
	assert_int_equal(h.dest_qp, QPN);
	assert_int_equal(h.opcode, FNS_OP_ACK);
	assert_true(fns_gid_equal(&v[0].src, &r->path.remote));
	*syndrome = h.syndrome;
	*psn = h.psn;
	r->w->ops->rx_release(r->w, &v[0]);
	return true;
}

static void test_inject_access(void **s)
{
	static const uint32_t mine = QPN, other = QPN + 1;
	struct rig *r = rig_make(NULL);
	uint8_t syndrome;
	uint32_t psn;

	r->qp.una = 3; /* 3 and 4 are on their way */
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), 0);
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), -EBUSY);
	assert_false(fns_wire_fault_idle(r->w));
	send_all(r, 3, 6, &mine); /* 3 and 4 again, then 5 to 8 */
	send_all(r, 3, 6, &other);
	assert_int_equal(r->nsent, 8);
	assert_int_equal(r->sent[1].psn, 4);
	/* A NAK would acknowledge 3 and 4, which nobody has. */
	assert_false(response(r, &syndrome, &psn));
	assert_true(r->w->ops->next(r->w) <= r->now + 100000);
	r->qp.una = 5;
	assert_true(response(r, &syndrome, &psn));
	assert_int_equal(syndrome, FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS);
	assert_int_equal(psn, 5);
	assert_int_equal(counted(r, FNS_C_fault_errors), 1);
	assert_true(fns_wire_fault_idle(r->w));
	send_all(r, 9, 1, &mine);
	assert_int_equal(r->nsent, 9);
	rig_free(r);
}

static void test_inject_rnr_counted(void **s)
{
	static const uint32_t mine = QPN;
	struct rig *r = rig_make(NULL);
	uint8_t syndrome;
	uint32_t psn;

	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RNR, 2), 0);
	for (int i = 0; i < 2; i++) {
		send_all(r, 5, 1, &mine);
		assert_true(response(r, &syndrome, &psn));
		assert_int_equal(syndrome & FNS_AETH_TYPE_MASK, FNS_AETH_RNR);
		assert_false(response(r, &syndrome, &psn)); /* one for each attempt */
	}
	send_all(r, 5, 1, &mine);
	assert_int_equal(r->nsent, 1);
	assert_true(fns_wire_fault_idle(r->w));
	rig_free(r);
}

static void test_inject_retry(void **s)
{
	static const uint32_t mine = QPN;
	struct rig *r = rig_make(NULL);
	uint8_t syndrome;
	uint32_t psn;

	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RETRY, 0), 0);
	for (int i = 0; i < 8; i++)
		send_all(r, 5, 1, &mine);
	assert_int_equal(r->nsent, 0);
	assert_false(response(r, &syndrome, &psn));
	r->qp.rts = false; /* it gave up */
	assert_false(response(r, &syndrome, &psn));
	assert_true(fns_wire_fault_idle(r->w));
	rig_free(r);
}

static void test_inject_refused(void **s)
{
	struct rig *r = rig_make(NULL);

	assert_int_equal(fns_wire_fault_inject(r->w, QPN + 1, FNS_FAULT_ERR_ACCESS, 0), -ENOENT);
	r->qp.rnr_retry = 7;
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RNR, 0), -ERANGE);
	r->qp.timeout = 0;
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RETRY, 0), -ERANGE);
	r->qp.rts = false;
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), -ENOTCONN);
	r->qp.rc = false;
	assert_int_equal(
		fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), -EPROTONOSUPPORT);
	rig_free(r);
}

/* --- text --- */

static void test_parse(void **s)
{
	struct fns_fault_spec p;
	char err[256];

	assert_int_equal(fns_fault_parse("loss=1%,reorder=3,dup=0.1%,corrupt=0.0000001%,delay=50us,"
					 "jitter=1.5ms,flap=1s/50ms,seed=7",
				 &p, err, sizeof(err)),
		0);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.seed, 7);
	assert_int_equal(p.rule[0].loss_ppb, 10000000);
	assert_int_equal(p.rule[0].dup_ppb, 1000000);
	assert_int_equal(p.rule[0].corrupt_ppb, 1);
	assert_int_equal(p.rule[0].reorder_by, 3);
	assert_int_equal(p.rule[0].reorder_ppb, 10000000);
	assert_int_equal(p.rule[0].delay_ns, 50000);
	assert_int_equal(p.rule[0].jitter_ns, 1500000);
	assert_int_equal(p.rule[0].flap_every_ns, 1000000000);
	assert_int_equal(p.rule[0].flap_down_ns, 50000000);
	assert_int_equal(p.rule[0].dir, FNS_FAULT_TX | FNS_FAULT_RX);
}

/* What it says goes in again as the same. */
static void test_format(void **s)
{
	static const char *const specs[] = {"loss=1%", "dir=tx,delay=1ns;qp=0xffffff,dup=100%",
		"peer=2001:db8::7,jitter=60s;peer=192.0.2.1,corrupt=12.3456789%", "dir=both;dir=rx",
		"reorder=64/0.5%,flap=2s/999ms,seed=123456789012345"};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(specs); i++) {
		struct fns_fault_spec a, b;
		char err[256], text[FNS_FAULT_TEXT_MAX];

		memset(&a, 0, sizeof(a));
		memset(&b, 0, sizeof(b));
		assert_int_equal(fns_fault_parse(specs[i], &a, err, sizeof(err)), 0);
		fns_fault_format(&a, text, sizeof(text));
		assert_int_equal(fns_fault_parse(text, &b, err, sizeof(err)), 0);
		assert_memory_equal(&a, &b, sizeof(a));
		for (size_t len = 1; len < strlen(text); len++) {
			char small[64];

			memset(small, 'x', sizeof(small));
			fns_fault_format(&a, small, FNS_MIN(len, sizeof(small)));
			assert_in_range(strlen(small), 0, FNS_MIN(len, sizeof(small)) - 1);
		}
	}
}

static void test_parse_refuses(void **s)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{"", "expected KEY=VALUE"},
		{"loss", "expected a value"},
		{"los=1%", "no fault 'los'"},
		{"loss=1", "loss='1': expected a percentage"},
		{"loss=101%", "percentage"},
		{"loss=1.00000001%", "percentage"},
		{"loss=-1%", "percentage"},
		{"dup=%", "dup="},
		{"loss=1%,loss=2%", "twice"},
		{"loss=1%,,dup=1%", "between two separators"},
		{"delay=5", "delay='5': expected a time"},
		{"delay=61s", "up to 60s"},
		{"delay=5 us", "time"},
		{"delay=1..5us", "time"},
		{"delay=99999999999999999999s", "time"},
		{"jitter=us", "jitter="},
		{"reorder=0", "1 to 64"},
		{"reorder=65", "1 to 64"},
		{"reorder=3/5", "3/5%"},
		{"flap=1s", "flap='1s': expected a period"},
		{"flap=1s/1s", "period"},
		{"flap=50ms/1s", "period"},
		{"flap=1s/0s", "period"},
		{"seed=x", "number"},
		{"seed=1234567890123456", "15 digits"},
		{"dir=up", "expected tx, rx or both"},
		{"peer=192.0.2", "address"},
		{"qp=0", "queue pair"},
		{"qp=0x1000000", "queue pair"},
		{"qp=12x", "queue pair"},
		{"peer=00000000000000000000000000000000000000000000000000000000000000000000",
			"too long"},
		{"dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%;dup=1%",
			"more than 8 rules"},
	};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		struct fns_fault_spec p, before;
		char err[256] = "";

		memset(&p, 0x5a, sizeof(p));
		before = p;
		assert_int_equal(fns_fault_parse(bad[i].text, &p, err, sizeof(err)), -EINVAL);
		if (!strstr(err, bad[i].word))
			fail_msg("'%s': '%s' does not hold '%s'", bad[i].text, err, bad[i].word);
		assert_memory_equal(&p, &before, sizeof(p));
	}
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
		cmocka_unit_test(test_inject_access),
		cmocka_unit_test(test_inject_rnr_counted),
		cmocka_unit_test(test_inject_retry),
		cmocka_unit_test(test_inject_refused),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_parse_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
