/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application's side of the service placement against a real worker in another thread of this
 * process: control operations from many threads, events, atomics, the end of the service; and how
 * the file behind a mapping is found. The placement starts once a process, so one test does it all.
 */
#include "../service/bench.h"

#include <poll.h>
#include <sys/un.h>

#include "base/clock.h"
#include "tenant/backing.h"
#include "tenant/tenant.h"

/* --- what placement.c does --- */

static _Atomic bool ended;

int fns_placement_alive(void)
{
	return !atomic_load(&ended);
}

void fns_placement_end(void)
{
	atomic_store(&ended, true);
}

/* --- the service's main thread --- */

static struct {
	int listener;
	_Atomic bool stop;
	pthread_t thread;
} host;

static void *accept_all(void *arg)
{
	struct pollfd p = {.fd = host.listener, .events = POLLIN};

	while (!atomic_load(&host.stop)) {
		int fd;

		if (poll(&p, 1, 10) <= 0)
			continue;
		fd = accept4(host.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			fns_service_worker_add(
				worker, fd, getpid(), (int)syscall(SYS_pidfd_open, getpid(), 0));
	}
	return NULL;
}

static void host_start(uint16_t port)
{
	struct sockaddr_un sa;
	socklen_t len = fns_service_addr(&sa, geteuid(), port);
	char text[16];

	assert_int_equal(bench_setup(NULL), 0);
	host.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(host.listener, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(host.listener, 8), 0);
	assert_int_equal(pthread_create(&host.thread, NULL, accept_all, NULL), 0);
	assert_int_equal(fns_service_worker_start(worker), 0);
	snprintf(text, sizeof(text), "%u", port);
	setenv("FLEXINS_PORT", text, 1);
}

static void host_stop(void)
{
	atomic_store(&host.stop, true);
	pthread_join(host.thread, NULL);
	close(host.listener);
	fns_service_worker_destroy(worker);
}

/* --- upcalls --- */

static _Atomic unsigned comp_events, fatal_events;
static _Atomic uint64_t comp_cq, fatal_cookie;

static void on_comp(uint64_t channel, uint64_t cq)
{
	assert_int_equal(channel, 0xc0ffee);
	atomic_store(&comp_cq, cq);
	atomic_fetch_add(&comp_events, 1);
}

static void on_async(const struct fns_event *ev)
{
	if (ev->type != FNS_EVENT_DEVICE_FATAL)
		return;
	atomic_store(&fatal_cookie, ev->cookie);
	atomic_fetch_add(&fatal_events, 1);
}

static const struct fns_placement_upcalls upcalls = {on_comp, on_async};

static const struct fns_placement_ops *ops;
static uint32_t client;

static int control(struct fns_ctl *c)
{
	c->client = client;
	return ops->control(c);
}

static int control_of(void *ctx, struct fns_ctl *c)
{
	(void)ctx;
	return control(c);
}

static bool soon(_Atomic unsigned *n, unsigned want)
{
	uint64_t end = fns_clock_now_ns() + 10 * FNS_NSEC_PER_SEC;

	while (atomic_load(n) < want && fns_clock_now_ns() < end)
		usleep(1000);
	return atomic_load(n) >= want;
}

/* --- many threads --- */

static void *register_a_lot(void *arg)
{
	uint8_t *mem = calloc(1, 8192);

	for (unsigned i = 0; mem && i < 100; i++) {
		struct fns_ctl c = {.op = FNS_CTL_PD_CREATE};
		uint32_t pd, mr;

		assert_int_equal(control(&c), 0);
		pd = c.handle;
		c = (struct fns_ctl){.op = FNS_CTL_MR_REG,
			.mr = {(uintptr_t)mem, 8192, (uintptr_t)mem, pd, FNS_ACCESS_LOCAL_WRITE}};
		assert_int_equal(control(&c), 0);
		mr = c.handle;
		c = (struct fns_ctl){.op = FNS_CTL_PD_DESTROY, .handle = pd};
		assert_int_equal(control(&c), -EBUSY);
		c = (struct fns_ctl){.op = FNS_CTL_MR_DEREG, .handle = mr};
		assert_int_equal(control(&c), 0);
		c = (struct fns_ctl){.op = FNS_CTL_PD_DESTROY, .handle = pd};
		assert_int_equal(control(&c), 0);
	}
	free(mem);
	return NULL;
}

static void many_threads(void)
{
	pthread_t t[4];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, register_a_lot, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* --- data --- */

#define LOG2 4u

struct conn {
	uint32_t pd, cq, qpn, key, ring_head, cq_head;
	uint8_t gen;
	struct fns_cq_shared *ring;
	size_t bytes;
	uint64_t *mem;
};

static void connect_to_self(struct conn *x)
{
	struct fns_ctl c = {.op = FNS_CTL_PD_CREATE};

	assert_int_equal(control(&c), 0);
	x->pd = c.handle;
	x->bytes = fns_service_cq_bytes(LOG2);
	x->ring = ops->ring_alloc(x->bytes);
	assert_non_null(x->ring);
	c = (struct fns_ctl){.op = FNS_CTL_CQ_CREATE,
		.cookie = (uintptr_t)x,
		.cq = {(uintptr_t)x->ring, 0xc0ffee, LOG2}};
	assert_int_equal(control(&c), 0);
	x->cq = c.handle;
	c = (struct fns_ctl){.op = FNS_CTL_QP_CREATE,
		.qp = {.pd = x->pd,
			.send_cq = x->cq,
			.recv_cq = x->cq,
			.cap = {8, 8, 1, 1, 0},
			.type = FNS_QPT_RC}};
	assert_int_equal(control(&c), 0);
	x->qpn = c.handle;
	x->gen = c.qp.gen;
	x->mem = aligned_alloc(4096, 4096);
	memset(x->mem, 0, 4096);
	c = (struct fns_ctl){.op = FNS_CTL_MR_REG,
		.mr = {(uintptr_t)x->mem, 4096, (uintptr_t)x->mem, x->pd,
			FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_ATOMIC}};
	assert_int_equal(control(&c), 0);
	x->key = c.mr.key;
	bench_qp_connect(control_of, NULL, x->qpn, x->qpn);
}

static void publish(struct conn *x, const void *slot, uint32_t at, uint32_t ctl)
{
	uint32_t n;
	struct fns_sq_shared *sq = ops->sq(&n);

	memcpy((char *)&sq->slot[at & (n - 1)] + 4, (const char *)slot + 4, 60);
	atomic_store_explicit(
		&sq->slot[at & (n - 1)].ctl, ctl | (~(at / n) & 1), memory_order_release);
}

/* An atomic on private memory, which comes back to this process to be done; the engine may be
 * asleep when it is posted. */
static void fetch_add(struct conn *x, uint64_t add, uint64_t want)
{
	struct fns_sqd_cont cont = {.atomic = {0, add}};
	struct fns_sqd d = {.qpn = x->qpn,
		.gen = x->gen,
		.remote_addr = (uintptr_t)&x->mem[1],
		.rkey = x->key,
		.num_sge = 1,
		.sge0 = {(uintptr_t)x->mem, 8, x->key}};
	const struct fns_cqe *e = &x->ring->entry[x->cq_head & ((1u << LOG2) - 1)];
	uint32_t phase = ~(x->cq_head >> LOG2) & 1;
	uint64_t end = fns_clock_now_ns() + 10 * FNS_NSEC_PER_SEC;
	unsigned before = atomic_load(&comp_events);

	atomic_store(&x->ring->arm, FNS_CQ_ARM_ANY);
	publish(x, &cont, x->ring_head + 1, 0);
	publish(x, &d, x->ring_head, FNS_SQD_CTL(0, 2, FNS_WR_FETCH_ADD, FNS_WRF_SIGNALED));
	x->ring_head += 2;
	ops->submitted(1);
	while ((atomic_load_explicit(&e->phase, memory_order_acquire) & 1) != phase &&
		fns_clock_now_ns() < end)
		ops->poll();
	assert_int_equal(atomic_load_explicit(&e->phase, memory_order_acquire) & 1, phase);
	assert_int_equal(e->status, FNS_WC_SUCCESS);
	x->cq_head++;
	atomic_store(&x->ring->consumer, x->cq_head);
	assert_int_equal(x->mem[0], want);
	assert_int_equal(__atomic_load_n(&x->mem[1], __ATOMIC_SEQ_CST), want + add);
	assert_true(soon(&comp_events, before + 1));
	assert_int_equal(atomic_load(&comp_cq), (uintptr_t)x);
}

static void *blocked(void *arg)
{
	int *rc = arg;
	struct fns_ctl c;

	do {
		c = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
		*rc = control(&c);
	} while (*rc == 0);
	return NULL;
}

static void test_life(void **state)
{
	uint16_t port = (uint16_t)(20000 + getpid() % 20000);
	struct fns_ctl c = {.op = FNS_CTL_CLIENT_OPEN, .cookie = 4711};
	char err[256] = "", text[16];
	struct conn x = {0};
	pthread_t t;
	int rc = 0;

	/* Nobody there; a word that is not for one program. */
	snprintf(text, sizeof(text), "%u", port);
	setenv("FLEXINS_PORT", text, 1);
	assert_null(fns_tenant_start(&upcalls, err, sizeof(err)));
	assert_non_null(strstr(err, "flexinsd --engine"));
	setenv("FLEXINS_WIRE", "udp", 1);
	assert_null(fns_tenant_start(&upcalls, err, sizeof(err)));
	assert_non_null(strstr(err, "FLEXINS_WIRE"));
	unsetenv("FLEXINS_WIRE");

	host_start(port);
	ops = fns_tenant_start(&upcalls, err, sizeof(err));
	assert_non_null(ops);
	assert_ptr_equal(fns_tenant_start(&upcalls, err, sizeof(err)), ops);
	assert_int_equal(ops->control(&c), 0);
	client = c.client;
	many_threads();
	connect_to_self(&x);
	for (uint64_t i = 0; i < 40; i++) {
		fetch_add(&x, 3, 3 * i);
		if (i % 10 == 0)
			usleep(5000); /* it goes to sleep meanwhile */
	}
	/* Not there: the library knows, and says so before anybody is asked. */
	c = (struct fns_ctl){
		.op = FNS_CTL_MR_REG, .mr = {64, 4096, 64, x.pd, FNS_ACCESS_LOCAL_WRITE}};
	assert_int_equal(control(&c), -EFAULT);

	/* The service ends in the middle of somebody's operation. */
	assert_int_equal(pthread_create(&t, NULL, blocked, &rc), 0);
	usleep(20000);
	host_stop();
	pthread_join(t, NULL);
	assert_int_equal(rc, -EIO);
	assert_true(soon(&fatal_events, 1));
	assert_int_equal(atomic_load(&fatal_cookie), 4711);
	assert_int_equal(atomic_load(&fatal_events), 1);
	for (unsigned i = 0; i < 1000 && fns_placement_alive(); i++)
		usleep(1000);
	assert_false(fns_placement_alive());
	c = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	assert_int_equal(control(&c), -EIO);
	ops->ring_free(x.ring, x.bytes);
	free(x.mem);
}

/* --- the file behind a mapping --- */

static int backing(const void *p, size_t len, bool writable, uint64_t *off)
{
	return fns_tenant_backing((uintptr_t)p, len, writable, off);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

static void test_backing(void **state)
{
	char path[] = "/dev/shm/flexins-test-XXXXXX", link[64];
	int fd = memory_file(32768, 0), named, ro, got;
	uint8_t *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 8192), *q;
	uint64_t off = 0;

	assert_ptr_not_equal(p, MAP_FAILED);
	got = backing(p + 100, 1000, true, &off);
	assert_true(got >= 0 && same_file(got, fd));
	assert_int_equal(off, 8192 + 100);
	close(got);
	/* Not all of it is this mapping; nothing; private; the stack. */
	assert_int_equal(backing(p + 8192, 16384, true, &off), -1);
	assert_int_equal(backing(p, 0, true, &off), -1);
	q = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_int_equal(backing(q, 100, true, &off), -1);
	munmap(q, 8192);
	assert_int_equal(backing(&off, sizeof(off), true, &off), -1);
	assert_int_equal(backing((void *)64, 8, false, &off), -1);
	/* Only a descriptor that may not write. (Where the kernel lets us, map_files helps.) */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ro = open(link, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	close(fd);
	got = backing(p, 100, true, &off);
	if (got >= 0)
		assert_int_equal(fcntl(got, F_GETFL) & O_ACCMODE, O_RDWR);
	if (got >= 0)
		close(got);
	got = backing(p, 100, false, &off);
	assert_true(got >= 0 && same_file(got, ro));
	close(got);
	close(ro);
	munmap(p, 16384);
	/* By its name; and not by what has the name now. */
	named = mkstemp(path);
	assert_true(named >= 0 && ftruncate(named, 8192) == 0);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, named, 0);
	got = dup(named);
	close(named);
	named = got;
	assert_int_equal(fcntl(named, F_SETFD, FD_CLOEXEC), 0);
	got = backing(p, 8192, true, &off);
	assert_true(got >= 0 && same_file(got, named));
	close(got);
	close(named);
	got = backing(p, 8192, true, &off);
	assert_true(got >= 0);
	assert_int_equal(off, 0);
	unlink(path);
	named = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(named >= 0 && ftruncate(named, 8192) == 0);
	{
		int other = backing(p, 8192, true, &off);

		assert_true(other < 0 || same_file(other, got));
		if (other >= 0)
			close(other);
	}
	close(got);
	close(named);
	unlink(path);
	munmap(p, 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backing),
		cmocka_unit_test(test_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
