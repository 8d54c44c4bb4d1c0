/* SPDX-License-Identifier: Apache-2.0 */
/* Applications that lie to the service about themselves, about objects and about rings, flood it,
 * or die. */
#include "good.h"

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

	app_loop(&a, &cq, &qp);
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
		T(test_reads_nothing),
		T(test_descriptors_are_not_kept),
		T(test_quotas),
		T(test_too_many_applications),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
