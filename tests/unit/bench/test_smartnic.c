/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of the emulated SmartNIC have the paper's shape, and follow from the parameters. Time
 * is virtual, so exact comparisons are fair. A smaller cache than the default one keeps it short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/figures.h"

static struct fns_snic_params quick(void)
{
	struct fns_snic_params p;

	fns_snic_params_default(&p);
	p.messages = 3000;
	p.depth = 4;
	return p;
}

static struct fns_snic_result run(const struct fns_snic_params *p, const struct fns_snic_case *c)
{
	struct fns_snic_result r;

	assert_true(fns_snic_measure(p, c, &r));
	assert_int_equal(r.retransmits, 0);
	return r;
}

static struct fns_snic_result tx(
	const struct fns_snic_params *p, enum fns_snic_tx how, uint32_t size)
{
	const struct fns_snic_case c = {.tx = how, .size = size};

	return run(p, &c);
}

static struct fns_snic_result rx(
	const struct fns_snic_params *p, enum fns_snic_rx how, uint32_t size)
{
	const struct fns_snic_case c = {.receive = true, .rx = how, .size = size};

	return run(p, &c);
}

/* FlexiNS fig. 11. */
static void tx_by_size(void **state)
{
	struct fns_snic_params p = quick();
	uint32_t size;

	for (size = 128; size <= 8192; size *= 4) {
		struct fns_snic_result h = tx(&p, FNS_SNIC_TX_HEADER_ONLY, size);
		struct fns_snic_result d = tx(&p, FNS_SNIC_TX_DMA_ASSISTED, size);
		struct fns_snic_result r = tx(&p, FNS_SNIC_TX_RDMA_ASSISTED, size);

		assert_true(h.gbps > 1.2 * d.gbps);
		assert_true(d.gbps > 1.2 * r.gbps);
		/* Payload crosses the link to NIC memory twice, or not at all. */
		assert_true(d.arm_bytes > 2 && r.arm_bytes > 2);
		assert_true(h.arm_bytes < 320.0 / size);
		/* It crosses the host's PCIe once in any case. */
		assert_true(h.host_bytes > 0.97 && h.host_bytes < 1 + 200.0 / size);
		assert_true(d.host_bytes > 0.97 && d.host_bytes < 1 + 200.0 / size);
	}
}

/* The one point that calibrates the cores' costs: FlexiNS fig. 11. */
static void rdma_assisted_as_calibrated(void **state)
{
	struct fns_snic_params p = quick();
	struct fns_snic_result r = tx(&p, FNS_SNIC_TX_RDMA_ASSISTED, 1024);

	assert_true(r.gbps > 35.8 * 0.98 && r.gbps < 35.8 * 1.02);
}

/* With cores that cost nothing, the bottleneck that the paper names decides. */
static void what_crosses_twice_halves(void **state)
{
	struct fns_snic_params p = quick();
	struct fns_snic_result h, d, r;

	p.core_tx_ns = p.core_rx_ns = p.core_dma_ns = p.core_rdma_ns = p.core_poll_ns = 0;
	p.qps = 128;
	p.arm_shared = 1;
	p.arm_gbps = 400;
	h = tx(&p, FNS_SNIC_TX_HEADER_ONLY, 4096);
	d = tx(&p, FNS_SNIC_TX_DMA_ASSISTED, 4096);
	assert_true(h.gbps > 380);
	assert_true(d.gbps > 140 && d.gbps < 200);
	/* An RDMA READ within the host passes the NIC's own pipeline once more. */
	p.arm_shared = 0;
	p.arm_gbps = 1000;
	r = tx(&p, FNS_SNIC_TX_RDMA_ASSISTED, 4096);
	d = tx(&p, FNS_SNIC_TX_DMA_ASSISTED, 4096);
	assert_true(r.gbps > 180 && r.gbps < 200);
	assert_true(d.gbps > 350);
}

/* More queue pairs than staging buffers: those whose payload has arrived still send. */
static void tx_with_fewer_buffers_than_queue_pairs(void **state)
{
	struct fns_snic_params p = quick();

	p.tx_cores = 1;
	p.qps = 600;
	p.depth = 2;
	assert_true(tx(&p, FNS_SNIC_TX_DMA_ASSISTED, 1024).gbps > 20);
}

/* A cache of 1 MiB, a pool of half of it, rings from a quarter to four times. */
static struct fns_snic_params small_cache(uint32_t ring_kb)
{
	struct fns_snic_params p = quick();

	p.cache_kb = 1024;
	p.pool_kb = 512;
	p.ring_kb = ring_kb;
	return p;
}

static void rx_by_working_set(void **state)
{
	static const uint32_t ring_kb[] = {256, 512, 4096, 8192};
	struct fns_snic_result cached[4], ring[4], bypass[4], discard[4];
	unsigned i;

	for (i = 0; i < 4; i++) {
		struct fns_snic_params p = small_cache(ring_kb[i]);

		cached[i] = rx(&p, FNS_SNIC_RX_IN_CACHE, 4096);
		discard[i] = rx(&p, FNS_SNIC_RX_DISCARD, 4096);
		ring[i] = rx(&p, FNS_SNIC_RX_RING, 4096);
		p.stash = 0;
		bypass[i] = rx(&p, FNS_SNIC_RX_RING, 4096);
	}
	for (i = 0; i < 4; i++) {
		/* Flat, and DRAM hears nothing of it. */
		assert_true(cached[i].gbps > 0.97 * cached[0].gbps);
		assert_true(cached[i].dram_bytes < 0.02);
		assert_true(discard[i].gbps > 0.97 * cached[0].gbps);
		assert_true(discard[i].dram_bytes < 0.05);
	}
	/* A ring within the cache is as good; beyond it every byte goes to DRAM, and without
	 * stashing twice, which DRAM cannot bear at this rate. */
	for (i = 0; i < 2; i++) {
		assert_true(ring[i].dram_bytes < 0.02);
		assert_true(bypass[i].dram_bytes < 0.02);
		assert_true(bypass[i].gbps > 0.97 * cached[0].gbps);
	}
	for (; i < 4; i++) {
		assert_true(ring[i].dram_bytes > 0.95);
		assert_true(bypass[i].dram_bytes > 1.9);
		assert_true(bypass[i].gbps < 0.65 * cached[i].gbps);
		assert_true(bypass[i].gbps > 200); /* 480 Gb/s of DRAM, halved */
	}
}

static void rx_by_size(void **state)
{
	struct fns_snic_params p = small_cache(4096);
	uint32_t size;

	for (size = 512; size <= 8192; size *= 4) {
		struct fns_snic_result in = rx(&p, FNS_SNIC_RX_IN_CACHE, size);

		p.stash = 0;
		assert_true(in.gbps >= 0.99 * rx(&p, FNS_SNIC_RX_RING, size).gbps);
		p.stash = 1;
	}
}

/* Slower DRAM, slower ring; in-cache does not mind. */
static void dram_binds_the_ring_alone(void **state)
{
	struct fns_snic_params p = small_cache(4096);
	struct fns_snic_result ring, in;

	p.dram_gbps = 200;
	ring = rx(&p, FNS_SNIC_RX_RING, 4096);
	in = rx(&p, FNS_SNIC_RX_IN_CACHE, 4096);
	assert_true(ring.gbps < 205);
	assert_true(in.gbps > 370);
}

static void phase_beats_doorbells(void **state)
{
	struct fns_snic_params p = quick();
	struct fns_snic_case c = {.size = 64, .burst = 1, .pipe = FNS_SNIC_PIPE_PHASE};
	struct fns_snic_result a, b;

	p.tx_cores = p.qps = p.depth = 1;
	a = run(&p, &c);
	c.pipe = FNS_SNIC_PIPE_DOORBELL;
	b = run(&p, &c);
	assert_true(a.pcie_ops < b.pcie_ops);
	/* Round trips over PCIe make the difference. */
	assert_true(b.latency_ns - a.latency_ns > 2 * p.pcie_read_ns);
}

/* The same, however this process's heap lies. */
static void the_same_again(void **state)
{
	struct fns_snic_params p = small_cache(4096);
	struct fns_snic_result a, b;
	void *shift;

	a = rx(&p, FNS_SNIC_RX_RING, 1500);
	shift = malloc(12345);
	b = rx(&p, FNS_SNIC_RX_RING, 1500);
	free(shift);
	assert_memory_equal(&a, &b, sizeof(a));
}

static void figures_are_complete(void **state)
{
	struct fns_snic_point *pt = calloc(FNS_SNIC_POINTS, sizeof(*pt));
	struct fns_snic_params p;
	size_t n = 0, k, i;
	unsigned f;

	assert_non_null(pt);
	fns_snic_params_default(&p);
	for (f = 0; f < FNS_SNIC_FIGURES; f++) {
		k = fns_snic_figure_points((enum fns_snic_figure)f, &p, pt);
		assert_true(k > 1);
		n += k;
		for (i = 0; i < k; i++) {
			assert_int_equal(pt[i].figure, f);
			assert_true(pt[i].c.size >= 1 && pt[i].c.size <= FNS_SNIC_MAX_MESSAGE);
			assert_true(i == 0 || pt[i].scheme != pt[i - 1].scheme ||
				    pt[i].x > pt[i - 1].x);
		}
	}
	assert_true(n <= FNS_SNIC_POINTS);
	free(pt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tx_by_size),
		cmocka_unit_test(rdma_assisted_as_calibrated),
		cmocka_unit_test(what_crosses_twice_halves),
		cmocka_unit_test(tx_with_fewer_buffers_than_queue_pairs),
		cmocka_unit_test(rx_by_working_set),
		cmocka_unit_test(rx_by_size),
		cmocka_unit_test(dram_binds_the_ring_alone),
		cmocka_unit_test(phase_beats_doorbells),
		cmocka_unit_test(the_same_again),
		cmocka_unit_test(figures_are_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
