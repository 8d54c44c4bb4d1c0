/* SPDX-License-Identifier: Apache-2.0 */
/* What congestion controls are for, by seed: 32 senders to one, how long is the queue? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/sim.h"

#define SEEDS 3u

static uint32_t p99_kib(const char *name, uint64_t seed, struct sim_result *r)
{
	uint32_t kib;

	assert_true(sim_run(sim_scenario_find(name), seed, SIM_DMA_SIM, NULL, r));
	kib = sim_net_found(&r->net, 990);
	print_message("%s seed %u: p99 %u KiB, %u us\n", name, (unsigned)seed, kib,
		(unsigned)(r->now_ns / 1000));
	return kib;
}

static void swift_keeps_the_queue_short(void **state)
{
	struct sim_result r;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		assert_true(p99_kib("cc_incast32_swift", seed, &r) * 4 <
			    p99_kib("cc_incast32_static", seed, &r));
}

static void dcqcn_hears_and_obeys(void **state)
{
	struct sim_result r;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		uint32_t none = p99_kib("cc_incast32_static", seed, &r);

		assert_true(p99_kib("cc_incast32_dcqcn", seed, &r) < none);
		assert_true(r.net.ecn_marked > 0);
	}
}

/* --- telemetry: an algorithm that writes down what it is told --- */

static struct {
	struct fns_cc_hop last[SIM_PORTS];
	uint64_t acks, told, ways[SIM_HOPS + 1];
	uint32_t wrong, queue_max;
} seen;

static void look(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	out->window_bytes = 100000;
	if (ev->type != FNS_CC_ACK)
		return;
	seen.acks++;
	seen.told += ev->nhops > 0;
	seen.wrong += ev->nhops > SIM_HOPS;
	seen.ways[ev->nhops]++;
	for (unsigned i = 0; i < ev->nhops; i++) {
		const struct fns_cc_hop *h = &ev->hops[i];

		seen.wrong += h->hop >= SIM_PORTS ||
			      h->link_bps != (i + 1 < ev->nhops ? 20000 : 10000) * 1000000ull ||
			      h->time_ns > ev->now_ns ||
			      h->tx_bytes * 8 > h->link_bps / 1000000 * h->time_ns / 1000 ||
			      (i > 0 && h->time_ns <= h[-1].time_ns);
		seen.queue_max = FNS_MAX(seen.queue_max, h->queue_bytes);
		seen.last[h->hop] = *h;
	}
}

static const struct fns_cc_ops looker = {.abi = FNS_CC_ABI,
	.size = sizeof(looker),
	.name = "looker",
	.text = "looks",
	.events = FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK),
	.on_event = look};

static const struct fns_cc_choice looking = {.ops = &looker};

static void p_look(struct sim_world *w, struct sim_params *p)
{
	p->topo = "leaf-spine:2x2x4";
	p->pattern = SIM_PERMUTATION;
	p->pairs_lo = p->pairs_hi = 8;
	p->wrs_lo = p->wrs_hi = 20;
	p->rcvbuf = 0;
	p->wide = true;
	p->ps_per_byte = 800;
	p->fabric_ps_per_byte = 400;
	p->bulk_ppm = 1000000;
	p->max_len = 32768;
	p->telemetry = true;
	p->cc_choice = &looking;
}

/* As many ports as there are switches on the way, in order, each with its own counters. */
static void telemetry_comes_back_with_acknowledgements(void **state)
{
	struct sim_scenario s = {.name = "look", .text = "", .params = p_look};
	unsigned ports = 0;
	struct sim_result r;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		memset(&seen, 0, sizeof(seen));
		assert_true(sim_run(&s, seed, SIM_DMA_SIM, NULL, &r));
		assert_int_equal(seen.wrong, 0);
		assert_true(seen.told > 100 && seen.told == seen.acks);
		assert_true(seen.ways[3] > 0 && seen.ways[1] + seen.ways[3] == seen.acks);
		assert_in_range(seen.queue_max, 1000, r.net.queue_max);
		for (unsigned i = 0; i < SIM_PORTS; i++)
			ports += seen.last[i].tx_bytes > 32768;
	}
	assert_true(ports > 8);
}

static void p_look_not(struct sim_world *w, struct sim_params *p)
{
	p_look(w, p);
	p->telemetry = false;
}

static void without_telemetry_nothing_is_told(void **state)
{
	struct sim_scenario s = {.name = "look", .text = "", .params = p_look_not};
	struct sim_result r;

	memset(&seen, 0, sizeof(seen));
	assert_true(sim_run(&s, 1, SIM_DMA_SIM, NULL, &r));
	assert_true(seen.acks > 0 && seen.told == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(swift_keeps_the_queue_short),
		cmocka_unit_test(dcqcn_hears_and_obeys),
		cmocka_unit_test(telemetry_comes_back_with_acknowledgements),
		cmocka_unit_test(without_telemetry_nothing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
