/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The card: what operations of the DMA backend and of the wire cost, computed by hand from simple
 * parameters, and that they really move the bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "roce/header.h"
#include "smartnic/card.h"

#define PS  FNS_PS_PER_NS
#define LEN 4000u

static uint8_t host_mem[1 << 16] __attribute__((aligned(4096)));
static uint8_t nic_mem[1 << 16] __attribute__((aligned(4096)));

struct fixture {
	struct fns_vt vt;
	struct fns_snic_params p;
	struct fns_snic *card;
	struct fns_snic_core core;
	struct fns_dma *dma;
	struct fns_region *region;
	unsigned wakes;
};

static void on_wake(struct fns_snic_core *c)
{
	fns_container_of(c, struct fixture, core)->wakes++;
}

/* Round numbers: 8 Gb/s is a byte a ns. */
static struct fixture *begin(bool gather, bool rdma)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fns_vt_init(&f->vt);
	fns_snic_params_default(&f->p);
	f->p.pcie_gbps = f->p.arm_gbps = 8;
	f->p.nic_gbps = f->p.link_gbps = 8;
	f->p.nic_mpps = 1000;
	f->p.dram_gbps = 8;
	f->p.pcie_payload = 1000;
	f->p.pcie_header = 20;
	f->p.pcie_read_ns = 900;
	f->p.pcie_write_ns = 400;
	f->p.dma_mops = f->p.rdma_mops = 1; /* a us each */
	f->p.dma_ns = 100;
	f->p.rdma_ns = 300;
	f->p.core_dma_ns = 50;
	f->p.core_rdma_ns = 70;
	f->card = fns_snic_create(&f->vt, &f->p);
	f->core = (struct fns_snic_core){.card = f->card, .vt = &f->vt, .wake = on_wake};
	f->dma = fns_snic_dma_create(&f->core, gather, rdma);
	assert_int_equal(f->dma->ops->import(f->dma, 0, (uintptr_t)host_mem, sizeof(host_mem), true,
				 &f->region),
		0);
	return f;
}

static void end(struct fixture *f)
{
	f->dma->ops->release(f->dma, f->region);
	f->dma->ops->destroy(f->dma);
	fns_snic_destroy(f->card);
	fns_vt_fini(&f->vt);
	free(f);
}

static int last_result;
static unsigned dones;

static void done(struct fns_dma_token *t, int result)
{
	last_result = result;
	dones++;
}

static void settle(struct fixture *f)
{
	while (fns_vt_step(&f->vt))
		;
}

static struct fns_memref ref(struct fixture *f, uint32_t len)
{
	return (struct fns_memref){f->region, 0, len};
}

static void pcie_adds_a_header_a_packet(void **state)
{
	struct fixture *f = begin(true, false);

	assert_int_equal(fns_snic_pcie_bytes(f->card, 0), 0);
	assert_int_equal(fns_snic_pcie_bytes(f->card, 1), 21);
	assert_int_equal(fns_snic_pcie_bytes(f->card, 1000), 1020);
	assert_int_equal(fns_snic_pcie_bytes(f->card, 1001), 1041);
	end(f);
}

static void a_fetch(void **state)
{
	struct fixture *f = begin(false, false);
	struct fns_dma_token t = {.done = done};

	assert_null(f->region->near_base); /* else the engine would not fetch */
	memset(host_mem, 0x5a, LEN);
	memset(nic_mem, 0, LEN);
	dones = 0;
	assert_int_equal(f->dma->ops->fetch(f->dma, ref(f, LEN), nic_mem, &t), FNS_DMA_PENDING);
	assert_int_equal(f->core.spent_ps, 50 * PS);
	assert_int_equal(nic_mem[0], 0);
	settle(f);
	/* core, slot, host PCIe, link to Arm memory, latencies; the last line in part: a fill. */
	assert_int_equal(f->vt.now_ps, (50 + 1000 + 2 * (LEN + 4 * 20) + 64 + 100 + 900) * PS);
	assert_memory_equal(nic_mem, host_mem, LEN);
	assert_int_equal(f->wakes, 1);
	assert_int_equal(dones, 0); /* not before it is polled */
	assert_int_equal(f->dma->ops->poll(f->dma, 0), 1);
	assert_int_equal(dones, 1);
	assert_int_equal(last_result, 0);
	assert_int_equal(f->card->n.host_read, LEN);
	assert_int_equal(f->card->n.arm_in, LEN);
	assert_int_equal(f->card->n.arm_out, 0);
	assert_int_equal(f->card->n.dma_ops, 1);
	end(f);
}

static void an_rdma_fetch_passes_the_nic_twice(void **state)
{
	struct fixture *f = begin(false, true);
	struct fns_dma_token t = {.done = done};

	assert_int_equal(f->dma->ops->fetch(f->dma, ref(f, LEN), nic_mem, &t), FNS_DMA_PENDING);
	settle(f);
	assert_int_equal(f->vt.now_ps,
		(70 + 1000 + 2 * (LEN + 4 * 20) + 2 * (LEN + f->p.link_overhead) + 64 + 300 + 900) *
			PS);
	assert_int_equal(f->card->n.rdma_ops, 1);
	assert_int_equal(f->card->n.dma_ops, 0);
	f->dma->ops->poll(f->dma, 0);
	end(f);
}

static void a_place(void **state)
{
	struct fixture *f = begin(true, false);
	struct fns_dma_token t = {.done = done};
	struct fns_snic_traffic tr = {0};

	assert_ptr_equal(f->region->near_base, host_mem);
	memset(nic_mem, 0xa5, LEN);
	memset(host_mem, 0, LEN);
	/* The packet lies in the cache, as it came. */
	fns_snic_cache_access(f->card->cache, FNS_SNIC_NIC_WRITE, nic_mem, LEN, &tr);
	assert_int_equal(f->dma->ops->place(f->dma, ref(f, LEN), nic_mem, &t), FNS_DMA_PENDING);
	settle(f);
	assert_int_equal(f->vt.now_ps, (50 + 1000 + 2 * (LEN + 4 * 20) + 100 + 400) * PS);
	assert_memory_equal(nic_mem, host_mem, LEN);
	assert_int_equal(f->card->n.host_written, LEN);
	assert_int_equal(f->card->n.arm_out, LEN);
	assert_int_equal(f->card->n.mem.dram_read, 0);
	f->dma->ops->poll(f->dma, 0);
	/* One that is not there is read from DRAM first. */
	assert_int_equal(
		f->dma->ops->place(f->dma, ref(f, 640), nic_mem + 8192, &t), FNS_DMA_PENDING);
	settle(f);
	assert_int_equal(f->card->n.mem.dram_read, 640);
	f->dma->ops->poll(f->dma, 0);
	end(f);
}

static void an_atomic(void **state)
{
	struct fixture *f = begin(true, false);
	struct fns_dma_token t = {.done = done};
	uint64_t v = 40;

	memcpy(host_mem, &v, 8);
	assert_int_equal(f->dma->ops->atomic(f->dma, ref(f, 8), false, 2, 0, &t), FNS_DMA_PENDING);
	settle(f);
	f->dma->ops->poll(f->dma, 0);
	memcpy(&v, host_mem, 8);
	assert_int_equal(v, 42);
	assert_int_equal(t.value, 40);
	assert_int_equal(f->dma->ops->atomic(f->dma, ref(f, 4), false, 2, 0, &t), -22);
	end(f);
}

/* The slowest part sets the rate: 1 M operations a second here. */
static void operations_are_bounded_by_their_rate(void **state)
{
	struct fixture *f = begin(true, false);
	struct fns_dma_token t[100];
	unsigned i;

	for (i = 0; i < 100; i++) {
		t[i] = (struct fns_dma_token){.done = done};
		f->core.spent_ps = 0;
		assert_int_equal(
			f->dma->ops->place(f->dma, ref(f, 64), nic_mem, &t[i]), FNS_DMA_PENDING);
	}
	settle(f);
	assert_in_range(f->vt.now_ps, 100 * 1000 * PS, 102 * 1000 * PS);
	dones = 0;
	assert_int_equal(f->dma->ops->poll(f->dma, 0), 100);
	assert_int_equal(dones, 100);
	end(f);
}

/* A shared link to Arm memory serves both directions from one rate. */
static void a_shared_link(void **state)
{
	unsigned shared;
	uint64_t took[2];

	for (shared = 0; shared < 2; shared++) {
		struct fixture *f = begin(false, false);
		struct fns_dma_token t[2] = {{.done = done}, {.done = done}};

		f->card->p.arm_shared = shared;
		f->card->p.dma_mops = 1000;
		f->card->p.arm_gbps = 1; /* nothing else matters */
		f->dma->ops->fetch(f->dma, ref(f, LEN), nic_mem, &t[0]);
		f->dma->ops->place(f->dma, ref(f, LEN), nic_mem + 8192, &t[1]);
		settle(f);
		took[shared] = f->vt.now_ps;
		f->dma->ops->poll(f->dma, 0);
		end(f);
	}
	assert_in_range(took[1] - took[0], 4 * LEN * PS, 9 * LEN * PS);
}

/* --- the wire --- */

struct ends {
	struct fixture *f;
	struct fns_snic_net *net;
	struct fns_snic_core ideal;
	struct fns_wire *w[2]; /* the card's, the ideal one */
	struct fns_stats *stats;
	struct fns_path *path[2];
};

static void no_wake(struct fns_snic_core *c)
{
}

static struct ends *ends_begin(enum fns_snic_rx rx, uint32_t buffers)
{
	struct ends *e = calloc(1, sizeof(*e));
	struct fns_gid g[2] = {fns_snic_gid(0), fns_snic_gid(1)};
	struct fns_snic_port_cfg c;
	unsigned i;

	assert_non_null(e);
	e->f = begin(true, false);
	e->stats = calloc(1, sizeof(*e->stats));
	e->net = fns_snic_net_create(&e->f->vt, &e->f->p);
	e->ideal = (struct fns_snic_core){.vt = &e->f->vt, .wake = no_wake};
	c = (struct fns_snic_port_cfg){
		.core = &e->f->core, .side = 0, .index = 0, .rx = rx, .buffers = buffers};
	e->w[0] = fns_snic_port_create(e->net, &c);
	c = (struct fns_snic_port_cfg){.core = &e->ideal, .side = 1, .index = 0};
	e->w[1] = fns_snic_port_create(e->net, &c);
	for (i = 0; i < 2; i++) {
		e->w[i]->stats = e->stats;
		assert_int_equal(
			e->w[i]->ops->path_get(e->w[i], &g[i], &g[!i], 1, 1, 0, 64, &e->path[i]),
			0);
	}
	return e;
}

static void ends_finish(struct ends *e)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		e->w[i]->ops->path_put(e->w[i], e->path[i]);
		e->w[i]->ops->destroy(e->w[i]);
	}
	fns_snic_net_destroy(e->net);
	free(e->stats);
	end(e->f);
	free(e);
}

static void send(struct ends *e, unsigned from, const struct fns_sg *sg, uint8_t mark)
{
	struct fns_frame fr = {.path = e->path[from],
		.sg = sg,
		.nsg = sg ? 1 : 0,
		.payload_len = sg ? sg->len : 0,
		.hdr_len = FNS_BTH_LEN};

	fr.hdr[0] = mark;
	assert_int_equal(e->w[from]->ops->tx_burst(e->w[from], &fr, 1), 1);
}

static void header_only_keeps_payload_off_the_arm_link(void **state)
{
	struct ends *e = ends_begin(FNS_SNIC_RX_IN_CACHE, 4);
	struct fns_snic *s = e->f->card;
	struct fns_sg in_host = {.addr = host_mem, .region = e->f->region, .len = LEN};
	struct fns_sg staged = {.addr = nic_mem, .len = LEN};
	struct fns_rx_view v[FNS_RX_BATCH];
	uint64_t out;

	memset(host_mem, 0x77, LEN);
	send(e, 0, &in_host, 1);
	settle(e->f);
	assert_int_equal(s->n.host_read, LEN);
	assert_int_equal(s->n.arm_out, e->f->p.wqe_bytes + FNS_BTH_LEN);
	assert_int_equal(e->w[1]->ops->rx_burst(e->w[1], v, FNS_RX_BATCH), 1);
	assert_int_equal(v[0].len, FNS_BTH_LEN + LEN);
	assert_memory_equal(v[0].data + FNS_BTH_LEN, host_mem, LEN);
	e->w[1]->ops->rx_release(e->w[1], &v[0]);
	out = s->n.arm_out;
	send(e, 0, &staged, 2);
	settle(e->f);
	assert_int_equal(s->n.host_read, LEN);
	assert_int_equal(s->n.arm_out - out, e->f->p.wqe_bytes + FNS_BTH_LEN + LEN);
	assert_int_equal(e->w[1]->ops->rx_burst(e->w[1], v, FNS_RX_BATCH), 1);
	e->w[1]->ops->rx_release(e->w[1], &v[0]);
	ends_finish(e);
}

/* A small frame behind one that waits for PCIe does not pass it. */
static void frames_keep_their_order(void **state)
{
	struct ends *e = ends_begin(FNS_SNIC_RX_IN_CACHE, 4);
	struct fns_sg in_host = {.addr = host_mem, .region = e->f->region, .len = LEN};
	struct fns_rx_view v[FNS_RX_BATCH];
	unsigned i;

	send(e, 0, &in_host, 1);
	send(e, 0, NULL, 2);
	send(e, 0, &in_host, 3);
	settle(e->f);
	assert_int_equal(e->w[1]->ops->rx_burst(e->w[1], v, FNS_RX_BATCH), 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(v[i].data[0], i + 1);
		e->w[1]->ops->rx_release(e->w[1], &v[i]);
	}
	ends_finish(e);
}

static const uint8_t *receive_one(struct ends *e, bool release, struct fns_rx_view *v)
{
	struct fns_rx_view all[FNS_RX_BATCH];

	assert_int_equal(e->w[0]->ops->rx_burst(e->w[0], all, FNS_RX_BATCH), 1);
	*v = all[0];
	if (release)
		e->w[0]->ops->rx_release(e->w[0], v);
	return all[0].data;
}

static void a_pool_uses_the_last_buffer_a_ring_all(void **state)
{
	static const enum fns_snic_rx rx[] = {
		FNS_SNIC_RX_IN_CACHE, FNS_SNIC_RX_RING, FNS_SNIC_RX_DISCARD};
	unsigned k, i;

	for (k = 0; k < 3; k++) {
		struct ends *e = ends_begin(rx[k], 3);
		struct fns_rx_view v;
		const uint8_t *used[4];

		for (i = 0; i < 4; i++) {
			send(e, 1, NULL, (uint8_t)i);
			settle(e->f);
			used[i] = receive_one(e, true, &v);
			assert_int_equal(used[i][0], i);
		}
		assert_int_equal(used[0] == used[1], k == 0);
		assert_ptr_equal(used[0], used[3]);
		ends_finish(e);
	}
}

static void discarded_buffers_leave_the_cache(void **state)
{
	struct ends *e = ends_begin(FNS_SNIC_RX_DISCARD, 3);
	struct fns_sg sg = {.addr = nic_mem, .len = LEN};
	struct fns_rx_view v;

	send(e, 1, &sg, 9);
	settle(e->f);
	assert_int_equal(fns_snic_cache_lines(e->f->card->cache), FNS_DIV_UP(LEN + 12, 64));
	receive_one(e, true, &v);
	assert_int_equal(fns_snic_cache_lines(e->f->card->cache), 0);
	ends_finish(e);
}

static void a_packet_without_buffer_waits(void **state)
{
	struct ends *e = ends_begin(FNS_SNIC_RX_IN_CACHE, 1);
	struct fns_rx_view v, v2;

	send(e, 1, NULL, 1);
	send(e, 1, NULL, 2);
	settle(e->f);
	assert_int_equal(receive_one(e, false, &v)[0], 1);
	assert_int_equal(fns_snic_port_waits(e->w[0]), 1);
	e->w[0]->ops->rx_release(e->w[0], &v);
	settle(e->f);
	assert_int_equal(receive_one(e, true, &v2)[0], 2);
	ends_finish(e);
}

static void the_link_bounds_throughput(void **state)
{
	struct ends *e = ends_begin(FNS_SNIC_RX_IN_CACHE, 200);
	struct fns_sg sg = {.addr = nic_mem, .len = 1000};
	uint64_t each = 1000 + FNS_BTH_LEN + FNS_ICRC_LEN + e->f->p.link_overhead;
	unsigned i;

	for (i = 0; i < 100; i++)
		send(e, 1, &sg, 1);
	settle(e->f);
	assert_in_range(e->f->vt.now_ps, 100 * each * PS, (101 * each + 5000) * PS);
	ends_finish(e);
}

static void phase_is_cheaper_than_a_doorbell(void **state)
{
	struct fixture *f = begin(true, false);
	uint64_t down, ops;

	down = fns_snic_pipe_down(f->card, FNS_SNIC_PIPE_PHASE, 1);
	assert_int_equal(down, f->p.dma_ns + f->p.pcie_write_ns);
	assert_int_equal(f->card->n.pcie_ops, 1);
	ops = f->card->n.pcie_ops;
	assert_true(fns_snic_pipe_down(f->card, FNS_SNIC_PIPE_DOORBELL, 1) > down);
	assert_int_equal(f->card->n.pcie_ops - ops, 3); /* doorbell, index, line */
	ops = f->card->n.pcie_ops;
	fns_snic_pipe_up(f->card, FNS_SNIC_PIPE_PHASE, 4);
	assert_int_equal(f->card->n.pcie_ops - ops, 4);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcie_adds_a_header_a_packet),
		cmocka_unit_test(a_fetch),
		cmocka_unit_test(an_rdma_fetch_passes_the_nic_twice),
		cmocka_unit_test(a_place),
		cmocka_unit_test(an_atomic),
		cmocka_unit_test(operations_are_bounded_by_their_rate),
		cmocka_unit_test(a_shared_link),
		cmocka_unit_test(header_only_keeps_payload_off_the_arm_link),
		cmocka_unit_test(frames_keep_their_order),
		cmocka_unit_test(a_pool_uses_the_last_buffer_a_ring_all),
		cmocka_unit_test(discarded_buffers_leave_the_cache),
		cmocka_unit_test(a_packet_without_buffer_waits),
		cmocka_unit_test(the_link_bounds_throughput),
		cmocka_unit_test(phase_is_cheaper_than_a_doorbell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
