/* SPDX-License-Identifier: Apache-2.0 */
/* BBR over a model link of one queue: it finds the rate, empties the queue, and probes. */
#include "drive.h"

#define MS    1000000ull
#define LINK  (1000 * MBPS)
#define TRIP  (20 * MS)
#define BDP   2500000u /* of 1 Gb/s and 20 ms */
#define DEPTH 65536u

/* Packets in flight, oldest first: sent, and when acknowledged. */
struct link {
	struct drive d;
	uint64_t sent[DEPTH], due[DEPTH];
	uint32_t head, tail;
	uint64_t free_ns, next_send, rtt_ns, queue_max, bytes;
	uint64_t rate; /* of the link */
	bool timed;    /* one at a time, as the transport does */
	uint64_t timed_sent;
	uint32_t timed_pos;
};

static void begin(struct link *l, const char *text)
{
	memset(l, 0, sizeof(*l));
	drive_begin(&l->d, text);
	l->rate = LINK;
	l->rtt_ns = TRIP;
}

static uint64_t inflight(const struct link *l)
{
	return (uint64_t)(l->tail - l->head) * MTU;
}

static void send(struct link *l)
{
	uint64_t now = l->d.now, took = MTU * 8 * FNS_NSEC_PER_SEC / l->rate;
	uint32_t i = l->tail++ % DEPTH;

	assert_true(l->tail - l->head < DEPTH);
	l->free_ns = FNS_MAX(l->free_ns, now) + took;
	l->queue_max = FNS_MAX(l->queue_max, l->free_ns - now);
	l->sent[i] = now;
	l->due[i] = l->free_ns + l->rtt_ns;
	if (l->d.out.rate_bps != FNS_CC_UNLIMITED)
		l->next_send =
			FNS_MAX(l->next_send, now) + MTU * 8 * FNS_NSEC_PER_SEC / l->d.out.rate_bps;
}

static void acked(struct link *l)
{
	uint32_t i = l->head++;
	uint64_t rtt = 0;

	l->bytes += MTU;
	if (!l->timed || i == l->timed_pos) {
		rtt = l->timed ? l->d.now - l->timed_sent : 0;
		l->timed = l->head != l->tail;
		l->timed_pos = l->tail - 1;
		l->timed_sent = l->sent[(l->tail - 1) % DEPTH];
	}
	drive_full(&l->d,
		&(struct fns_cc_event){
			.type = FNS_CC_ACK, .bytes = MTU, .inflight = inflight(l), .rtt_ns = rtt});
}

/* A sender with no end of work, for so long. */
static void work(struct link *l, uint64_t ns)
{
	uint64_t end = l->d.now + ns;

	l->bytes = l->queue_max = 0;
	while (l->d.now < end) {
		uint64_t ack = l->head == l->tail ? UINT64_MAX : l->due[l->head % DEPTH];
		bool may = inflight(l) == 0 || inflight(l) + MTU <= l->d.out.window_bytes;
		uint64_t go = may ? FNS_MAX(l->next_send, l->d.now) : UINT64_MAX;

		l->d.now = FNS_MIN(FNS_MIN(ack, go), end);
		if (l->d.now == end)
			break;
		if (ack <= go)
			acked(l);
		else
			send(l);
	}
}

static void it_finds_the_rate_and_empties_the_queue(void **state)
{
	static struct link l;

	begin(&l, "bbr");
	assert_true(l.d.out.rate_bps == FNS_CC_UNLIMITED);
	assert_int_equal(l.d.out.window_bytes, 16 * MTU);
	work(&l, 500 * MS); /* startup and drain */
	for (unsigned i = 0; i < 5; i++) {
		work(&l, 8 * TRIP); /* a cycle */
		assert_true(l.bytes * 8 * FNS_NSEC_PER_SEC / (8 * TRIP) > LINK * 95 / 100);
		assert_true(l.queue_max < TRIP * 35 / 100); /* of 1.25 for a round trip */
	}
	assert_in_range(l.d.out.window_bytes, 2 * BDP * 9 / 10, 2 * BDP * 13 / 10);
}

static void startup_doubles(void **state)
{
	static struct link l;
	uint64_t before;

	begin(&l, "bbr");
	work(&l, 3 * TRIP);
	before = l.bytes;
	work(&l, 3 * TRIP);
	assert_true(l.bytes > 4 * before);
}

/* The cycle: some round trips at 1.25, some at 0.75, most at 1. */
static void it_probes_for_more(void **state)
{
	unsigned up = 0, down = 0, even = 0;
	static struct link l;

	begin(&l, "bbr");
	work(&l, 1000 * MS);
	for (unsigned i = 0; i < 400; i++) {
		work(&l, 5 * MS);
		up += l.d.out.rate_bps > LINK * 12 / 10;
		down += l.d.out.rate_bps < LINK * 8 / 10;
		even += l.d.out.rate_bps > LINK * 95 / 100 && l.d.out.rate_bps < LINK * 11 / 10;
	}
	assert_in_range(up, 20, 80);
	assert_in_range(down, 5, 80);
	assert_in_range(even, 240, 360);
}

static void it_follows_a_link_that_changes(void **state)
{
	static struct link l;

	begin(&l, "bbr");
	work(&l, 1000 * MS);
	l.rate = LINK / 4;
	work(&l, 3000 * MS); /* ten round trips, of a full queue at first */
	assert_in_range(l.d.out.rate_bps, LINK / 4 * 7 / 10, LINK / 4 * 14 / 10);
	l.rate = LINK;
	work(&l, 4000 * MS); /* a quarter more each eight round trips */
	assert_true(l.d.out.rate_bps > LINK * 7 / 10);
}

/* A round trip believed for too long is measured anew, with next to nothing in flight. */
static void it_looks_for_the_round_trip_now_and_then(void **state)
{
	static struct link l;
	unsigned quiet = 0;

	begin(&l, "bbr:rtt_window_ms=1000,probe_rtt_ms=100");
	work(&l, 500 * MS);
	l.rtt_ns = 2 * TRIP; /* nothing as small will be seen any more */
	for (unsigned i = 0; i < 300; i++) {
		work(&l, 10 * MS);
		quiet += l.d.out.window_bytes == 4 * MTU;
	}
	assert_in_range(quiet, 8, 60);
	assert_true(l.d.out.window_bytes > 3 * BDP); /* of the round trip as it is now */
}

static void losses_are_no_signal_and_timeouts_are(void **state)
{
	static struct link l;
	struct fns_cc_out before;

	begin(&l, "bbr");
	work(&l, 1000 * MS);
	before = l.d.out;
	drive(&l.d, FNS_CC_LOSS, 0, 0);
	assert_memory_equal(&before, &l.d.out, sizeof(before));
	drive(&l.d, FNS_CC_TIMEOUT, 0, 0);
	assert_int_equal(l.d.out.window_bytes, 16 * MTU);
	work(&l, 1000 * MS);
	assert_true(l.bytes * 8 > LINK * 8 / 10);
}

static void it_never_talks_nonsense(void **state)
{
	drive_wild("bbr", 1);
	drive_wild("bbr:start_cwnd=65536,bw_rounds=2,rtt_window_ms=10,probe_rtt_ms=1", 2);
	drive_wild("bbr:cwnd_gain_pm=10000,min_cwnd=1000,max_cwnd_kib=1", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_finds_the_rate_and_empties_the_queue),
		cmocka_unit_test(startup_doubles),
		cmocka_unit_test(it_probes_for_more),
		cmocka_unit_test(it_follows_a_link_that_changes),
		cmocka_unit_test(it_looks_for_the_round_trip_now_and_then),
		cmocka_unit_test(losses_are_no_signal_and_timeouts_are),
		cmocka_unit_test(it_never_talks_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
