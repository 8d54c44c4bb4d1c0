/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application that behaves: it has a queue pair connected to itself, by which it writes, and
 * must not notice whatever another one on the same engine does.
 */
#ifndef GOOD_H
#define GOOD_H

#include "bench.h"

#define LOG2 6u

/* An application with a queue pair that is connected to itself. */
static inline void app_loop(struct app *a, struct app_cq *cq, struct app_qp *qp)
{
	app_start(a);
	app_cq(a, LOG2, cq);
	app_qp(a, cq, qp);
	app_qp_connect(a, qp, qp->qpn);
}

/* The one that behaves. */
static struct {
	struct app a;
	struct app_cq cq;
	struct app_qp qp;
	uint8_t *mem;
	uint32_t key;
	uint32_t writes;
} good;

static inline int setup(void **state)
{
	if (bench_setup(state))
		return -1;
	memset(&good, 0, sizeof(good));
	app_loop(&good.a, &good.cq, &good.qp);
	good.mem = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	good.key = app_reg(&good.a, good.mem, 65536,
		FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE, -1, 0, NULL);
	return 0;
}

static inline void good_works(void)
{
	struct fns_sqd d = {.qpn = good.qp.qpn,
		.gen = good.qp.gen,
		.wr_id = ++good.writes,
		.remote_addr = (uintptr_t)good.mem + 32768,
		.rkey = good.key,
		.num_sge = 1,
		.sge0 = {(uintptr_t)good.mem, 3000, good.key}};
	struct fns_cqe e;

	memset(good.mem, (int)good.writes, 3000);
	app_post(&good.a, &d, FNS_SQD_CTL(0, 1, FNS_WR_WRITE, FNS_WRF_SIGNALED));
	assert_true(app_poll(&good.cq, LOG2, &e));
	assert_int_equal(e.wr_id, good.writes);
	assert_int_equal(e.status, FNS_WC_SUCCESS);
	assert_memory_equal(good.mem, good.mem + 32768, 3000);
}

static inline int teardown(void **state)
{
	good_works();
	app_leave(&good.a);
	assert_int_equal(atomic_load(&worker->n_conns), 0);
	munmap(good.mem, 65536);
	munmap(good.cq.ring, good.cq.bytes);
	return bench_teardown(state);
}

static uint64_t rng = 88172645463325252ull;

static inline uint64_t any(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

#endif
