/* SPDX-License-Identifier: Apache-2.0 */
/* Direct access between processes of one host: what is allowed, what is not, and that what was
 * taken back is not touched any more. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "shm_pair.h"

#define QPN_A   ((uint32_t)PREFIX_A << 16 | 7)
#define QPN_B   ((uint32_t)PREFIX_B << 16 | 9)
#define KEY     0x12345678u
#define PD      3u
#define MEM     16384u
#define IOVA    0x700000000000u
#define REMOTE  (FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_WRITE)
#define NO_SUCH 0x0badbeefu

struct door {
	struct shm_pair *p;
	uint8_t *mem;
	uint8_t buf[MEM];
	struct iovec iov;
	struct fns_direct d;
};

static void expose_mr(struct door *x, uint32_t key, uint32_t pd, uint32_t access)
{
	const struct fns_exposed_mr mr = {.iova = IOVA,
		.len = MEM,
		.addr = (uintptr_t)x->mem,
		.key = key,
		.pd = pd,
		.access = access};

	x->p->b.w->ops->mr_expose(x->p->b.w, &mr);
}

static void expose_qp(struct door *x, uint32_t dest, uint32_t access, const struct fns_gid *remote)
{
	const struct fns_exposed_qp qp = {
		.remote = *remote, .qpn = QPN_B, .dest_qpn = dest, .pd = PD, .access = access};

	x->p->b.w->ops->qp_expose(x->p->b.w, &qp);
}

/* b looks, and sends its door; a takes it. */
static void greet(struct door *x)
{
	x->p->b.w->ops->events(x->p->b.w);
	assert_true(shm_readable(&x->p->a, 1000));
	x->p->a.w->ops->events(x->p->a.w);
}

static struct door *door_make(void)
{
	struct door *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->p = shm_pair_make();
	x->mem = calloc(1, MEM);
	fill(x->buf, MEM, 5);
	x->iov = (struct iovec){x->buf, 64};
	x->d = (struct fns_direct){.path = x->p->ab,
		.src_qpn = QPN_A,
		.dest_qpn = QPN_B,
		.rkey = KEY,
		.va = IOVA,
		.iov = &x->iov,
		.niov = 1,
		.len = 64};
	assert_false(x->p->ab->direct);
	greet(x);
	assert_true(x->p->ab->direct);
	return x;
}

static void door_free(struct door *x)
{
	shm_pair_free(x->p);
	free(x->mem);
	free(x);
}

static bool go(struct door *x)
{
	return x->p->a.w->ops->direct(x->p->a.w, &x->d);
}

static void test_write_and_read(void **state)
{
	static const uint32_t lens[] = {1, 2, 3, 7, 8, 9, 63, 64, 4095, 4096, 4097, MEM - 3, MEM};
	struct door *x = door_make();
	uint8_t back[MEM], expected[MEM] = {0};
	uint64_t messages = 0;

	assert_false(go(x));
	expose_mr(x, KEY, PD, REMOTE);
	assert_false(go(x));
	expose_qp(x, QPN_A, REMOTE, &x->p->gid);
	for (uint32_t i = 0; i < FNS_ARRAY_SIZE(lens); i++) {
		uint32_t len = lens[i], off = FNS_MIN(3u, MEM - len);
		struct iovec piece[3] = {
			{x->buf + 1, len / 3}, {x->buf + 1 + len / 3, 0}, {x->buf, 0}};

		piece[2] = (struct iovec){x->buf + 1 + len / 3, len - len / 3};
		if (len == MEM) /* does not fit behind byte 1 */
			piece[0] = (struct iovec){x->buf, len / 3},
			piece[2] = (struct iovec){x->buf + len / 3, len - len / 3};
		memcpy(expected + off, x->buf + (len == MEM ? 0 : 1), len);
		x->d.va = IOVA + off;
		x->d.len = len;
		x->d.iov = piece;
		x->d.niov = 3;
		x->d.read = false;
		assert_true(go(x));
		assert_memory_equal(x->mem, expected, MEM);
		piece[0] = (struct iovec){back, len};
		x->d.niov = 1;
		x->d.read = true;
		assert_true(go(x));
		assert_memory_equal(back, expected + off, len);
		messages += 2;
	}
	assert_int_equal(shm_count_of(&x->p->a, FNS_C_direct_messages), messages);
	assert_int_equal(shm_count_of(&x->p->a, FNS_C_tx_packets), 0);
	door_free(x);
}

static void test_refusals(void **state)
{
	struct door *x = door_make();
	struct fns_gid other = gid_of(true);
	uint8_t zero[MEM] = {0};

	expose_mr(x, KEY, PD, FNS_ACCESS_REMOTE_READ);
	expose_qp(x, QPN_A, REMOTE, &x->p->gid);
	assert_false(go(x)); /* the region may not be written to */
	x->d.read = true;
	assert_true(go(x));
	x->d.read = false;
	assert_true(x->p->b.w->ops->mr_conceal(x->p->b.w, KEY));
	expose_mr(x, KEY, PD + 1, REMOTE);
	assert_false(go(x)); /* another protection domain */
	assert_true(x->p->b.w->ops->mr_conceal(x->p->b.w, KEY));
	expose_mr(x, KEY, PD, REMOTE);
	expose_qp(x, QPN_A, FNS_ACCESS_REMOTE_READ, &x->p->gid);
	assert_false(go(x)); /* the queue pair does not allow it */
	expose_qp(x, QPN_A + 1, REMOTE, &x->p->gid);
	assert_false(go(x)); /* it is connected to another */
	expose_qp(x, QPN_A, REMOTE, &other);
	assert_false(go(x)); /* ... at another address */
	expose_qp(x, QPN_A, REMOTE, &x->p->gid);
	x->d.rkey = NO_SUCH;
	assert_false(go(x));
	x->d.rkey = 0;
	assert_false(go(x));
	x->d.rkey = KEY;
	x->d.va = IOVA - 1;
	assert_false(go(x));
	x->d.va = IOVA + MEM - 63;
	assert_false(go(x));
	x->d.va = UINT64_MAX - 3;
	assert_false(go(x));
	x->d.va = IOVA + MEM - 64;
	x->p->b.w->ops->shut(x->p->b.w, true);
	assert_false(go(x));
	x->p->b.w->ops->shut(x->p->b.w, false);
	x->d.if_asleep = true;
	assert_false(go(x)); /* it is awake */
	x->d.if_asleep = false;
	x->iov.iov_base = (void *)8;
	assert_false(go(x)); /* our own memory is not there */
	x->iov.iov_base = x->buf;
	assert_memory_equal(x->mem, zero, MEM);
	assert_true(x->p->b.w->ops->qp_conceal(x->p->b.w, QPN_B));
	assert_false(go(x));
	expose_qp(x, QPN_A, REMOTE, &x->p->gid);
	x->p->b.w->ops->arm(x->p->b.w, true);
	x->d.if_asleep = true;
	assert_true(go(x));
	assert_memory_equal(x->mem + MEM - 64, x->buf, 64);
	door_free(x);
}

/* More keys for one place than it holds: those left over are not exposed, and nothing is mixed up.
 */
static void test_crowded(void **state)
{
	struct door *x = door_make();
	unsigned ok = 0;

	expose_qp(x, QPN_A, REMOTE, &x->p->gid);
	for (uint32_t i = 1; i <= 2 * SHM_DOOR_PROBE; i++)
		expose_mr(x, i * SHM_DOOR_MRS, PD, REMOTE);
	for (uint32_t i = 1; i <= 2 * SHM_DOOR_PROBE; i++) {
		x->d.rkey = i * SHM_DOOR_MRS;
		ok += go(x);
	}
	assert_int_equal(ok, SHM_DOOR_PROBE);
	for (uint32_t i = 1; i <= 2 * SHM_DOOR_PROBE; i++)
		assert_true(x->p->b.w->ops->mr_conceal(x->p->b.w, i * SHM_DOOR_MRS));
	x->d.rkey = SHM_DOOR_MRS;
	assert_false(go(x));
	door_free(x);
}

/* Who is at it is waited for, unless it is gone. */
static void test_busy(void **state)
{
	struct door *x = door_make();
	struct shm_shared *s = shm_out_of(x->p)->ring.shared;
	struct fns_wire *b = x->p->b.w;

	expose_mr(x, KEY, PD, REMOTE);
	expose_qp(x, QPN_A, REMOTE, &x->p->gid);
	atomic_store(&s->in_mr, KEY);
	atomic_store(&s->in_qp, QPN_B);
	assert_false(b->ops->mr_conceal(b, KEY));
	assert_false(b->ops->qp_conceal(b, QPN_B));
	assert_true(b->ops->mr_conceal(b, KEY + 1));
	assert_true(b->ops->qp_conceal(b, QPN_B + 1));
	x->p->a.w->ops->destroy(x->p->a.w);
	x->p->a.w = NULL;
	b->ops->events(b);
	shm_rx(x->p);
	assert_true(b->ops->mr_conceal(b, KEY));
	assert_true(b->ops->qp_conceal(b, QPN_B));
	door_free(x);
}

/* --- against each other --- */

struct race {
	struct door *x;
	_Atomic bool stop;
	_Atomic uint64_t done;
};

static void *race_write(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		if (go(r->x))
			atomic_fetch_add(&r->done, 1);
	}
	return NULL;
}

/* A region (even rounds) or queue pair (odd ones) that was taken back is not written through. */
static void test_race(void **state)
{
	struct door *x = door_make();
	struct fns_wire *b = x->p->b.w;
	struct race r = {.x = x};
	pthread_t t;

	memset(x->buf, 0xff, MEM);
	x->d.len = x->iov.iov_len = MEM;
	expose_mr(x, KEY, PD, REMOTE);
	expose_qp(x, QPN_A, REMOTE, &x->p->gid);
	assert_int_equal(pthread_create(&t, NULL, race_write, &r), 0);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t from = atomic_load(&r.done);
		bool qp = i & 1, out = false;

		for (unsigned k = 0; k < 2000000 && atomic_load(&r.done) == from; k++)
			sched_yield();
		assert_true(atomic_load(&r.done) != from);
		for (unsigned k = 0; k < 2000000 && !out; k++) {
			out = qp ? b->ops->qp_conceal(b, QPN_B) : b->ops->mr_conceal(b, KEY);
			if (!out)
				sched_yield();
		}
		assert_true(out);
		memset(x->mem, 0, MEM);
		for (unsigned k = 0; k < 20; k++) {
			sched_yield();
			for (unsigned j = 0; j < MEM; j += 8)
				assert_int_equal(((volatile uint8_t *)x->mem)[j], 0);
		}
		if (qp)
			expose_qp(x, QPN_A, REMOTE, &x->p->gid);
		else
			expose_mr(x, KEY, PD, REMOTE);
	}
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	door_free(x);
}

/* Another process, which dies. */
static void test_other_process(void **state)
{
	struct shm_pair p = {.gid = gid_of(false)};
	const struct fns_exposed_qp qp = {
		.remote = p.gid, .qpn = QPN_B, .dest_qpn = QPN_A, .pd = PD, .access = REMOTE};
	uint64_t word = 0;
	struct iovec iov = {&word, 8};
	struct fns_direct d = {.src_qpn = QPN_A,
		.dest_qpn = QPN_B,
		.rkey = KEY,
		.va = IOVA,
		.iov = &iov,
		.niov = 1,
		.len = 8,
		.read = true};
	int ready[2], n;
	pid_t child;
	char c;

	assert_true(shm_port() != 0); /* the same for both */
	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		static _Alignas(8) uint64_t cell = 0x1122334455667788u;
		const struct fns_exposed_mr mr = {.iova = IOVA,
			.len = 8,
			.addr = (uintptr_t)&cell,
			.key = KEY,
			.pd = PD,
			.access = REMOTE};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		shm_end_make(&p.b, PREFIX_B);
		p.b.w->ops->mr_expose(p.b.w, &mr);
		p.b.w->ops->qp_expose(p.b.w, &qp);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		while (shm_readable(&p.b, 10000))
			p.b.w->ops->events(p.b.w);
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	shm_end_make(&p.a, PREFIX_A);
	assert_int_equal(shm_path(&p, 0, &p.ab), 0);
	d.path = p.ab;
	for (n = 0; n < 1000 && !p.ab->direct; n++)
		if (shm_readable(&p.a, 10))
			p.a.w->ops->events(p.a.w);
	assert_true(p.ab->direct);
	if (!p.a.w->ops->direct(p.a.w, &d)) {
		print_message("skipped: processes may not reach into each other here\n");
	} else {
		assert_int_equal(word, 0x1122334455667788u);
		word = 42;
		d.read = false;
		assert_true(p.a.w->ops->direct(p.a.w, &d));
		word = 0;
		d.read = true;
		assert_true(p.a.w->ops->direct(p.a.w, &d));
		assert_int_equal(word, 42);
	}
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	p.a.now += 2 * SHM_ALIVE_NS;
	assert_false(p.a.w->ops->direct(p.a.w, &d));
	assert_false(p.ab->direct);
	close(ready[0]);
	close(ready[1]);
	shm_end_free(&p.a);
}

/* A door that is none does no harm. */
static void test_hostile_door(void **state)
{
	int small = memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING),
	    null = open("/dev/null", O_RDWR | O_CLOEXEC),
	    unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct shm_reach r = {0};

	assert_int_equal(ftruncate(small, 4096), 0);
	assert_int_equal(fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(ftruncate(unsealed, sizeof(struct shm_door_file)), 0);
	assert_false(shm_reach_take(&r, small, getpid()));
	assert_false(shm_reach_take(&r, null, getpid()));
	assert_false(shm_reach_take(&r, unsealed, getpid()));
	assert_null(r.file);
	assert_int_equal(fcntl(small, F_GETFD), -1);
	assert_int_equal(fcntl(unsealed, F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_and_read),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_crowded),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_other_process),
		cmocka_unit_test(test_hostile_door),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
