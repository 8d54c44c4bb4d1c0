/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applications that lie to the service, flood it, or die. Each time another application on the same
 * engine must not notice: it has a queue pair connected to itself, by which it writes.
 */
#include "bench.h"

#define LOG2 6u

/* The one that behaves. */
static struct {
	struct app a;
	struct app_cq cq;
	struct app_qp qp;
	uint8_t *mem;
	uint32_t key;
	uint32_t writes;
} good;

static int setup(void **state)
{
	if (bench_setup(state))
		return -1;
	memset(&good, 0, sizeof(good));
	app_start(&good.a);
	app_cq(&good.a, LOG2, &good.cq);
	app_qp(&good.a, &good.cq, &good.qp);
	app_qp_connect(&good.a, &good.qp, good.qp.qpn);
	good.mem = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	good.key = app_reg(&good.a, good.mem, 65536,
		FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE, -1, 0, NULL);
	return 0;
}

static void good_works(void)
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

static int teardown(void **state)
{
	good_works();
	app_leave(&good.a);
	assert_int_equal(atomic_load(&worker->n_conns), 0);
	munmap(good.mem, 65536);
	munmap(good.cq.ring, good.cq.bytes);
	return bench_teardown(state);
}

/* --- arrival --- */

static void refused(struct app *a, const struct fns_service_msg *m, int fd)
{
	struct fns_service_msg r;

	app_send(a, m, fd);
	assert_int_equal(app_recv(a, &r, NULL), 0);
	assert_int_equal(r.type, FNS_SERVICE_REFUSED);
	assert_true(r.result < 0);
	assert_true(r.text[0] != '\0');
	assert_true(app_is_out(a));
	app_leave(a);
	good_works();
}

static void test_bad_hellos(void **state)
{
	struct fns_service_msg m;
	struct app a;
	int fd;

	/* No ring; not sealed; too small; no file of memory. */
	for (int how = 0; how < 5; how++) {
		char path[] = "/tmp/flexins-test-XXXXXX";

		app_connect(&a);
		app_make_ring(&a);
		hello_init(&a, &m);
		fd = how == 0   ? -1
		     : how == 1 ? memory_file(FNS_SERVICE_RING_BYTES, 0)
		     : how == 2 ? memory_file(FNS_SERVICE_RING_BYTES, F_SEAL_GROW)
		     : how == 3 ? memory_file_ok(FNS_SERVICE_RING_BYTES - 4096)
				: mkstemp(path);
		if (how == 4) {
			unlink(path);
			assert_int_equal(ftruncate(fd, (off_t)FNS_SERVICE_RING_BYTES), 0);
		}
		refused(&a, &m, fd);
		if (fd >= 0)
			close(fd);
	}
	/* Nothing there; something else there; not what the ring says. */
	for (int how = 0; how < 3; how++) {
		app_connect(&a);
		app_make_ring(&a);
		hello_init(&a, &m);
		if (how == 0)
			m.hello.nonce_addr = 64;
		else if (how == 1)
			m.hello.nonce_addr = (uintptr_t)&good.mem[8];
		else
			m.hello.nonce++;
		refused(&a, &m, a.ring_fd);
	}
	/* Nobody sees a ring that came twice, or a message of something else. */
	for (int how = 0; how < 5; how++) {
		app_connect(&a);
		app_make_ring(&a);
		hello_init(&a, &m);
		if (how == 0)
			m.magic++;
		else if (how == 1)
			m.version++;
		else if (how == 2)
			m.type = FNS_SERVICE_CTL;
		else if (how == 3)
			m.type = FNS_SERVICE_ATOMIC_DONE;
		else
			m.type = 999;
		app_send(&a, &m, a.ring_fd);
		assert_true(app_is_out(&a));
		app_leave(&a);
	}
	app_connect(&a);
	assert_int_equal(send(a.sock, "short", 5, 0), 5);
	assert_true(app_is_out(&a));
	app_leave(&a);
	assert_int_equal(atomic_load(&worker->n_conns), 1);
}

static void test_hello_twice(void **state)
{
	struct fns_service_msg m;
	struct app a;

	app_start(&a);
	hello_init(&a, &m);
	app_send(&a, &m, a.ring_fd);
	assert_true(app_is_out(&a));
	app_leave(&a);
}

/* --- what is another's --- */

static void test_handles_of_others(void **state)
{
	static const uint32_t ops[] = {FNS_CTL_PD_DESTROY, FNS_CTL_CQ_DESTROY, FNS_CTL_CQ_RESIZE,
		FNS_CTL_QP_MODIFY, FNS_CTL_QP_QUERY, FNS_CTL_QP_DESTROY, FNS_CTL_MR_DEREG,
		FNS_CTL_MR_REREG, FNS_CTL_SRQ_DESTROY, FNS_CTL_AH_DESTROY, FNS_CTL_CLIENT_CLOSE};
	const uint32_t handles[] = {good.a.pd, good.cq.handle, good.qp.qpn, 1, 0, UINT32_MAX};
	struct app_cq cq;
	struct app a;

	app_start(&a);
	app_cq(&a, LOG2, &cq);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(ops); i++) {
		for (unsigned h = 0; h < FNS_ARRAY_SIZE(handles); h++) {
			for (int theirs = 0; theirs < 2; theirs++) {
				struct fns_ctl c = {.op = ops[i],
					.handle = handles[h],
					.client = theirs ? good.a.client : a.client};
				bool ring = ops[i] == FNS_CTL_CQ_RESIZE;
				int fd = ring ? memory_file_ok(fns_service_cq_bytes(LOG2)) : -1;

				c.cq.log2 = ring ? LOG2 : 0;
				if (ops[i] == FNS_CTL_CLIENT_CLOSE && !theirs)
					continue;
				/* What it has itself happens to have such numbers too. */
				if (!theirs && (handles[h] == a.pd || handles[h] == cq.handle))
					continue;
				assert_int_equal(app_ctl(&a, &c, fd), -EINVAL);
				if (fd >= 0)
					close(fd);
			}
		}
	}
	/* Clients that do not exist. */
	for (uint32_t client = 1; client < 2000; client += 37) {
		struct fns_ctl c = {.op = FNS_CTL_PD_CREATE, .client = client};

		if (client != a.client)
			assert_int_equal(app_ctl(&a, &c, -1), -EINVAL);
	}
	{
		struct fns_ctl c = {.op = FNS_CTL_QP_CREATE,
			.qp = {.pd = a.pd,
				.send_cq = good.cq.handle,
				.recv_cq = cq.handle,
				.cap = {1, 1, 1, 1, 0},
				.type = FNS_QPT_RC}};

		assert_int_equal(app_ctl(&a, &c, -1), -EINVAL);
		c.op = 12345;
		assert_int_equal(app_ctl(&a, &c, -1), -EOPNOTSUPP);
	}
	good_works();
	app_leave(&a);
	munmap(cq.ring, cq.bytes);
}

static void test_queue_pairs_of_others(void **state)
{
	struct fns_sqd d = {.qpn = good.qp.qpn,
		.gen = good.qp.gen,
		.wr_id = 666,
		.remote_addr = (uintptr_t)good.mem,
		.rkey = good.key,
		.num_sge = 1,
		.sge0 = {(uintptr_t)good.mem, 8, good.key}};
	uint64_t before = counter(FNS_C_sq_bad_descriptors);
	struct fns_cqe e;
	struct app a;

	app_start(&a);
	app_post(&a, &d, FNS_SQD_CTL(0, 1, FNS_WR_WRITE, FNS_WRF_SIGNALED));
	app_post(&a, &d, FNS_SQD_CTL(0, 1, FNS_WR_RECV, 0));
	rounds(10);
	assert_int_equal(counter(FNS_C_sq_bad_descriptors), before + 2);
	assert_int_equal(atomic_load(&a.sq->credit), 2);
	good_works(); /* and its next completion is its own */
	assert_false(app_poll(&good.cq, LOG2, &e));
	app_leave(&a);
}

static void test_keys_of_others(void **state)
{
	struct app_cq cq;
	struct app_qp qp;
	struct fns_cqe e;
	struct app a;

	app_start(&a);
	app_cq(&a, LOG2, &cq);
	app_qp(&a, &cq, &qp);
	app_qp_connect(&a, &qp, qp.qpn);
	{
		struct fns_sqd d = {.qpn = qp.qpn,
			.gen = qp.gen,
			.wr_id = 1,
			.remote_addr = (uintptr_t)good.mem,
			.rkey = good.key,
			.num_sge = 1,
			.sge0 = {(uintptr_t)good.mem, 8, good.key}};

		app_post(&a, &d, FNS_SQD_CTL(0, 1, FNS_WR_WRITE, FNS_WRF_SIGNALED));
	}
	assert_true(app_poll(&cq, LOG2, &e));
	assert_int_equal(e.status, FNS_WC_LOC_PROT_ERR);
	app_leave(&a);
	munmap(cq.ring, cq.bytes);
}

/* --- completion rings --- */

static void test_bad_completion_rings(void **state)
{
	struct app a;

	app_start(&a);
	for (int how = 0; how < 7; how++) {
		struct fns_ctl c = {.op = FNS_CTL_CQ_CREATE, .cq = {1, 0, LOG2}};
		size_t bytes = fns_service_cq_bytes(LOG2);
		char path[] = "/dev/shm/flexins-test-XXXXXX";
		int fd, p[2] = {-1, -1};

		switch (how) {
		case 0:
			fd = -1;
			break;
		case 1:
			fd = memory_file(bytes, 0);
			break;
		case 2:
			fd = memory_file_ok(bytes - 1);
			break;
		case 3:
			fd = memory_file_ok(bytes);
			c.cq.log2 = 23;
			break;
		case 4:
			fd = memory_file_ok(bytes);
			c.cq.log2 = UINT32_MAX;
			break;
		case 5: /* writing will be forbidden */
			fd = memory_file(bytes, F_SEAL_SHRINK | F_SEAL_WRITE);
			break;
		default: /* somebody's file system may be full when a page is wanted */
			fd = mkstemp(path);
			unlink(path);
			assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
			break;
		}
		assert_int_equal(app_ctl(&a, &c, fd), -EINVAL);
		if (fd >= 0)
			close(fd);
		(void)p;
	}
	good_works();
	app_leave(&a);
}

/* What the application may write in its completion ring, it may write wrongly. */
static void test_scribbled_completion_ring(void **state)
{
	struct app_cq cq;
	struct app_qp qp;
	struct app a;

	app_start(&a);
	app_cq(&a, 2, &cq);
	app_qp(&a, &cq, &qp);
	app_qp_connect(&a, &qp, qp.qpn);
	for (unsigned i = 0; i < 200; i++) {
		struct fns_sqd d = {.qpn = qp.qpn, .gen = qp.gen, .wr_id = i};

		memset(cq.ring, (int)(i * 37), cq.bytes);
		app_post(&a, &d, FNS_SQD_CTL(0, 1, FNS_WR_SEND, FNS_WRF_SIGNALED));
		rounds(1);
		if (i % 50 == 0)
			good_works();
	}
	{
		struct fns_ctl c = {.op = FNS_CTL_CQ_RESIZE, .handle = cq.handle, .cq = {1, 0, 1}};
		int fd = memory_file_ok(fns_service_cq_bytes(1));

		(void)app_ctl(&a, &c, fd);
		close(fd);
	}
	app_leave(&a);
	munmap(cq.ring, cq.bytes);
}

/* --- the submission ring --- */

static uint64_t rng = 88172645463325252ull;

static uint64_t any(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void test_garbage_in_the_ring(void **state)
{
	struct app_cq cq;
	struct app_qp qp;
	struct app a;

	app_start(&a);
	app_cq(&a, LOG2, &cq);
	app_qp(&a, &cq, &qp);
	app_qp_connect(&a, &qp, qp.qpn);
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

/* --- floods --- */

static void test_reads_nothing(void **state)
{
	struct fns_service_msg m;
	bool out = false;
	struct app a;

	app_start(&a);
	assert_int_equal(fcntl(a.sock, F_SETFL, O_NONBLOCK), 0);
	fns_service_msg_init(&m, FNS_SERVICE_CTL);
	m.ctl.ctl = (struct fns_ctl){.op = FNS_CTL_QP_QUERY, .client = a.client};
	for (unsigned i = 0; i < 20000 && !out; i++) {
		int rc = fns_service_msg_send(a.sock, &m, -1, 0);

		assert_true(rc == 0 || rc == -EAGAIN || rc == -ECONNRESET);
		out = rc == -ECONNRESET;
		rounds(1);
		if (i % 5000 == 0)
			good_works();
	}
	assert_true(out);
	app_leave(&a);
}

static void test_descriptors_are_not_kept(void **state)
{
	struct fns_service_msg m;
	struct app a;
	int before, after;

	app_start(&a);
	before = dup(0);
	close(before);
	for (unsigned i = 0; i < 200; i++) {
		struct fns_ctl c = {.op = i & 1 ? FNS_CTL_PD_CREATE : FNS_CTL_MR_REG};

		assert_true(app_ctl(&a, &c, a.ring_fd) <= 0);
		fns_service_msg_init(&m, FNS_SERVICE_ATOMIC_DONE);
		m.atomic.id = i;
		app_send(&a, &m, a.ring_fd);
		rounds(1);
	}
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
	app_leave(&a);
}

static void test_quotas(void **state)
{
	struct fns_ctl c = {0};
	struct app_cq cq;
	struct app a;
	unsigned n;

	app_start(&a);
	app_cq(&a, LOG2, &cq);
	for (n = 0; n < 1000 && c.result == 0; n++) {
		c = (struct fns_ctl){.op = FNS_CTL_CLIENT_OPEN, .client = 1};
		app_ctl(&a, &c, -1);
	}
	assert_int_equal(c.result, -EMFILE);
	assert_int_equal(n, FNS_SERVICE_CLIENTS);
	c.result = 0;
	for (n = 0; n < 100000 && c.result == 0; n++) {
		c = (struct fns_ctl){.op = FNS_CTL_QP_CREATE,
			.qp = {.pd = a.pd,
				.send_cq = cq.handle,
				.recv_cq = cq.handle,
				.type = FNS_QPT_UC}};
		app_ctl(&a, &c, -1);
	}
	assert_int_equal(c.result, -ENOMEM);
	assert_int_equal(n, 16385);
	c.result = 0;
	for (n = 0; n < 100000 && c.result == 0; n++) {
		c = (struct fns_ctl){.op = FNS_CTL_SRQ_CREATE,
			.srq = {.pd = a.pd, .max_wr = 1 << 20, .max_sge = 16}};
		app_ctl(&a, &c, -1);
	}
	assert_int_equal(c.result, -ENOMEM);
	assert_true(n < 100);
	good_works();
	app_leave(&a);
	munmap(cq.ring, cq.bytes);
	/* All of it is free again. */
	app_start(&a);
	c = (struct fns_ctl){
		.op = FNS_CTL_SRQ_CREATE, .srq = {.pd = a.pd, .max_wr = 1 << 20, .max_sge = 16}};
	assert_int_equal(app_ctl(&a, &c, -1), 0);
	app_leave(&a);
}

static void test_too_many_applications(void **state)
{
	static struct app a[FNS_SERVICE_CONNS];
	unsigned n;

	for (n = 0; n < FNS_SERVICE_CONNS - 2; n++)
		app_connect(&a[n]);
	assert_int_equal(atomic_load(&worker->n_conns), FNS_SERVICE_CONNS - 1);
	app_connect(&a[n]);
	assert_true(app_is_out(&a[n]));
	good_works();
	for (unsigned i = 0; i <= n; i++)
		app_leave(&a[i]);
	assert_int_equal(atomic_load(&worker->n_conns), 1);
	app_start(&a[0]);
	app_leave(&a[0]);
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

	app_start(&a);
	app_cq(&a, LOG2, &cq);
	app_qp(&a, &cq, &qp);
	app_qp_connect(&a, &qp, qp.qpn);
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

	app_start(&a);
	app_cq(&a, LOG2, &cq);
	app_qp(&a, &cq, &qp);
	app_qp_connect(&a, &qp, qp.qpn);
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

	app_start(&a);
	app_cq(&a, LOG2, &cq);
	app_qp(&a, &cq, &qp);
	app_qp_connect(&a, &qp, qp.qpn);
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

/* --- anything --- */

/* A number of a kind that means something to the service, or does not. */
static uint32_t a_handle(const struct app *a)
{
	switch (any() % 8) {
	case 0:
		return good.a.pd;
	case 1:
		return good.cq.handle;
	case 2:
		return good.qp.qpn;
	case 3:
		return a->pd;
	case 4:
		return (uint32_t)any();
	case 5:
		return 0;
	default:
		return 1 + (uint32_t)(any() % 8);
	}
}

static void random_ctl(struct app *a, struct fns_ctl *c)
{
	uint8_t *b = (uint8_t *)c;

	for (size_t i = 0; i < sizeof(*c); i++)
		b[i] = any() % 4 ? 0 : (uint8_t)any();
	c->op = 1 + (uint32_t)(any() % 23);
	c->client = any() % 16 ? a->client : (uint32_t)(any() % 5);
	c->handle = a_handle(a);
	switch (c->op) {
	case FNS_CTL_CQ_CREATE:
	case FNS_CTL_CQ_RESIZE:
		c->cq.log2 = (uint32_t)(any() % 8);
		break;
	case FNS_CTL_QP_CREATE:
		c->qp.pd = a_handle(a);
		c->qp.send_cq = 1 + (uint32_t)(any() % 4);
		c->qp.recv_cq = 1 + (uint32_t)(any() % 4);
		c->qp.srq = any() % 2;
		c->qp.type = 2 + (uint8_t)(any() % 3);
		c->qp.cap = (struct fns_ctl_qp_cap){4, 4, 2, 2, 64};
		break;
	case FNS_CTL_MR_REG:
	case FNS_CTL_MR_REREG:
		c->mr.pd = a_handle(a);
		c->mr.access = (uint32_t)(any() % 32);
		c->mr.len = any() % 10000;
		c->mr.addr = any() % 2 ? (uintptr_t)good.mem : any();
		break;
	case FNS_CTL_SRQ_CREATE:
		c->srq.pd = a_handle(a);
		c->srq.max_wr = (uint32_t)(any() % 64);
		c->srq.max_sge = (uint32_t)(any() % 20);
		break;
	case FNS_CTL_AH_CREATE:
		c->ah.pd = a_handle(a);
		c->ah.av.is_global = 1;
		break;
	default:
		break;
	}
}

/* Two applications that say whatever comes to their mind, and come back when they are thrown out.
 */
static void test_anything(void **state)
{
	struct fns_service_msg m;
	struct app a[2];

	app_start(&a[0]);
	app_start(&a[1]);
	for (unsigned i = 0; i < 20000; i++) {
		struct app *x = &a[any() % 2];
		int fd = -1, rc;

		if (any() % 400 == 0) {
			app_leave(x);
			app_start(x);
		}
		fns_service_msg_init(&m, FNS_SERVICE_CTL);
		random_ctl(x, &m.ctl.ctl);
		m.ctl.file_off = any() % 2 ? 0 : any();
		if (any() % 500 == 0)
			m.type = FNS_SERVICE_ATOMIC_DONE;
		if (any() % 3)
			fd = memory_file_ok(fns_service_cq_bytes((uint32_t)(any() % 8)));
		rc = fns_service_msg_send(x->sock, &m, fd, MSG_DONTWAIT);
		if (fd >= 0)
			close(fd);
		x->sq->slot[any() % FNS_SERVICE_RING_SLOTS].ctl = (uint32_t)any();
		rounds(1);
		while (rc == 0 && any() % 8 &&
			(rc = fns_service_msg_recv(x->sock, &m, &fd, MSG_DONTWAIT)) == 0)
			assert_int_equal(fd, -1);
		if (rc == -ECONNRESET) {
			app_leave(x);
			app_start(x);
		}
		if (i % 1000 == 0)
			good_works();
	}
	app_leave(&a[0]);
	app_leave(&a[1]);
	assert_int_equal(atomic_load(&worker->n_conns), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_bad_hellos),
		T(test_hello_twice),
		T(test_handles_of_others),
		T(test_queue_pairs_of_others),
		T(test_keys_of_others),
		T(test_bad_completion_rings),
		T(test_scribbled_completion_ring),
		T(test_garbage_in_the_ring),
		T(test_slots_that_change),
		T(test_reads_nothing),
		T(test_descriptors_are_not_kept),
		T(test_quotas),
		T(test_too_many_applications),
		T(test_files_that_shrink),
		T(test_atomics_unanswered),
		T(test_events_go_to_their_owner),
		T(test_wakes),
		T(test_anything),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
