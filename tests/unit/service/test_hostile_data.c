/* SPDX-License-Identifier: Apache-2.0 */
/* Applications whose work requests and memory are no good, on the datapath of the service. */
#include "good.h"

/* --- the submission ring --- */

static void test_garbage_in_the_ring(void **state)
{
	struct app_cq cq;
	struct app_qp qp;
	struct app a;

	app_loop(&a, &cq, &qp);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t *w = (uint64_t *)(void *)a.sq->slot;

		for (size_t k = 0; k < FNS_SERVICE_RING_SLOTS * 8; k++) {
			uint64_t v = any();

			/* Some of it is nearly right. */
			if (k % 8 == 0 && (v >> 60) < 8)
				v = (uint64_t)(v & 1 ? qp.qpn : good.qp.qpn) << 32 |
				    ((v >> 8) & 0x1f) << 8 | ((v >> 16) & 0xf) << 1 | (v >> 20 & 1);
			if (k % 8 == 4 && (v & 3))
				v = (uint64_t)qp.gen << 40 | (v & 0xf) << 32;
			w[k] = v;
		}
		a.line->doze = (uint32_t)any();
		rounds(1);
	}
	good_works();
	/* Its own queue pair is taken down whatever it is in the middle of. */
	app_leave(&a);
	assert_int_equal(atomic_load(&worker->n_conns), 1);
	munmap(cq.ring, cq.bytes);
}

static _Atomic bool flipping;

static void *flip(void *arg)
{
	struct app *a = arg;
	uint64_t x = 1;

	while (atomic_load(&flipping)) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		((_Atomic uint32_t *)(void *)
				a->sq->slot)[(x >> 33) % (FNS_SERVICE_RING_SLOTS * 16)] =
			(uint32_t)(x >> 20);
		a->sq->credit = (uint32_t)x;
	}
	return NULL;
}

/* Slots that change while they are read. */
static void test_slots_that_change(void **state)
{
	pthread_t t;
	struct app a;

	app_start(&a);
	atomic_store(&flipping, true);
	assert_int_equal(pthread_create(&t, NULL, flip, &a), 0);
	for (unsigned i = 0; i < 50; i++) {
		rounds(20);
		good_works();
	}
	atomic_store(&flipping, false);
	pthread_join(t, NULL);
	app_leave(&a);
}

/* --- memory --- */

static uint8_t *shared_map(int fd, size_t len)
{
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* A WRITE within one application, from and to these. Its status. */
static int write_within(struct app *a, struct app_cq *cq, const struct app_qp *qp, void *from,
	uint32_t from_key, void *to, uint32_t to_key)
{
	struct fns_sqd d = {.qpn = qp->qpn,
		.gen = qp->gen,
		.remote_addr = (uintptr_t)to,
		.rkey = to_key,
		.num_sge = 1,
		.sge0 = {(uintptr_t)from, 2000, from_key}};
	struct fns_cqe e;

	app_post(a, &d, FNS_SQD_CTL(0, 1, FNS_WR_WRITE, FNS_WRF_SIGNALED));
	assert_true(app_poll(cq, LOG2, &e));
	return e.status;
}

static void test_files_that_shrink(void **state)
{
	const uint32_t rights = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE;
	int fd = memory_file(16384, 0);
	uint8_t *p = shared_map(fd, 16384);
	uint64_t faults = counter(FNS_C_memory_faults);
	struct app_cq cq;
	struct app_qp qp;
	uint32_t key;
	struct app a;

	app_loop(&a, &cq, &qp);
	key = app_reg(&a, p, 16384, rights, fd, 0, NULL);
	memset(p, 0x5a, 2000);
	assert_int_equal(write_within(&a, &cq, &qp, p, key, p + 8192, key), FNS_WC_SUCCESS);
	assert_int_equal(p[8192], 0x5a);
	assert_int_equal(p[8192 + 1999], 0x5a);
	assert_true(counter(FNS_C_tx_payload_referenced) > 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_not_equal(write_within(&a, &cq, &qp, p, key, p + 8192, key), FNS_WC_SUCCESS);
	assert_true(counter(FNS_C_memory_faults) > faults);
	good_works();
	app_leave(&a);
	munmap(cq.ring, cq.bytes);
	munmap(p, 16384);
	close(fd);
}

static void test_atomics_unanswered(void **state)
{
	static _Alignas(8) uint8_t mem[4096];
	struct fns_service_msg m;
	struct app_cq cq;
	struct app_qp qp;
	uint32_t key;
	struct app a;

	app_loop(&a, &cq, &qp);
	key = app_reg(&a, mem, sizeof(mem), FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_ATOMIC, -1,
		0, NULL);
	for (int answers = 1; answers >= 0; answers--) {
		struct fns_sqd_cont cont = {.atomic = {0, 5}};
		struct fns_sqd d = {.qpn = qp.qpn,
			.gen = qp.gen,
			.remote_addr = (uintptr_t)mem + 64,
			.rkey = key,
			.num_sge = 1,
			.sge0 = {(uintptr_t)mem, 8, key}};
		struct fns_cqe e;

		/* The continuation is there before its head. */
		a.head++;
		app_post(&a, (const struct fns_sqd *)(const void *)&cont, 0);
		a.head -= 2;
		app_post(&a, &d, FNS_SQD_CTL(0, 2, FNS_WR_FETCH_ADD, FNS_WRF_SIGNALED));
		a.head++;
		assert_int_equal(app_recv(&a, &m, NULL), 0);
		assert_int_equal(m.type, FNS_SERVICE_ATOMIC);
		assert_int_equal(m.atomic.addr, (uintptr_t)mem + 64);
		assert_int_equal(m.atomic.swap_add, 5);
		good_works(); /* meanwhile */
		if (answers) {
			m.type = FNS_SERVICE_ATOMIC_DONE;
			m.result = 0;
			m.atomic.found = 0x123456789a;
			app_send(&a, &m, -1);
			assert_true(app_poll(&cq, LOG2, &e));
			assert_int_equal(e.status, FNS_WC_SUCCESS);
			assert_int_equal(*(uint64_t *)(void *)mem, 0x123456789a);
		}
	}
	/* It dies with the question open. */
	app_leave(&a);
	assert_int_equal(atomic_load(&worker->n_conns), 1);
	munmap(cq.ring, cq.bytes);
}

/* --- events, sleep --- */

static void test_events_go_to_their_owner(void **state)
{
	struct fns_service_msg m;
	struct app_cq cq;
	struct app_qp qp;
	struct app a;

	app_loop(&a, &cq, &qp);
	atomic_store(&cq.ring->arm, FNS_CQ_ARM_ANY);
	atomic_store(&good.cq.ring->arm, FNS_CQ_ARM_NONE);
	{
		struct fns_sqd d = {
			.qpn = qp.qpn, .gen = qp.gen, .num_sge = 1, .sge0 = {64, 8, 12345}};

		app_post(&a, &d, FNS_SQD_CTL(0, 1, FNS_WR_SEND, FNS_WRF_SIGNALED));
	}
	assert_int_equal(app_recv(&a, &m, NULL), 0);
	assert_int_equal(m.type, FNS_SERVICE_COMP);
	assert_int_equal(m.comp.cq, (uintptr_t)&cq);
	assert_int_equal(m.comp.channel, 0xc0ffee);
	assert_int_equal(app_recv(&good.a, &m, NULL), -EAGAIN);
	app_leave(&a);
	munmap(cq.ring, cq.bytes);
}

static void test_wakes(void **state)
{
	struct app a;
	uint64_t sleeps;

	app_start(&a);
	/* What the ring says was taken keeps it from no sleep. */
	a.sq->slot[5].ctl = FNS_SQD_CTL(1, 1, FNS_WR_SEND, 0);
	a.sq->credit = 5;
	sleeps = counter(FNS_C_engine_sleeps);
	rounds(10);
	assert_int_equal(counter(FNS_C_engine_sleeps), sleeps + 10);
	a.sq->slot[5].ctl = 0;
	/* Awake: nobody is asked to wake it. Asleep it says so, and whoever writes wakes it. */
	assert_int_equal(a.line->doze, 0);
	assert_int_equal(eventfd_write(a.wake, 1), 0);
	assert_true(fns_service_worker_round(worker, 1000) > 0);
	/* It is not worn out by being written to and never read. */
	assert_int_equal(eventfd_write(a.wake, 1), 0);
	assert_true(fns_service_worker_round(worker, 1000) > 0);
	app_leave(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_garbage_in_the_ring),
		T(test_slots_that_change),
		T(test_files_that_shrink),
		T(test_atomics_unanswered),
		T(test_events_go_to_their_owner),
		T(test_wakes),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
