/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the UDP wire when the kernel refuses: trains not taken, packets too large, memory
 * that vanishes while it is sent. */
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/util.h"
#include "udp_pair.h"

/* Our descriptor of the socket bound to a local port. */
static int fd_of_port(uint16_t port)
{
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_in sa;
		socklen_t len = sizeof(sa);

		if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
			sa.sin_family == AF_INET && ntohs(sa.sin_port) == port)
			return fd;
	}
	return -1;
}

/* Receives n packets in order of PSN from 0, all of the length given. */
static void expect_all(struct pair *p, unsigned n, uint32_t len)
{
	unsigned got = 0;

	while (got < n) { /* each round brings one or more, or fails */
		assert_true(rx_all(p, &p->b, 1) > 0);
		for (unsigned i = 0; i < p->n; i++) {
			assert_int_equal(get_be24(p->views[i].data + 9), got++);
			assert_int_equal(p->views[i].len, FNS_BTH_LEN + len);
		}
		rx_release_all(p, &p->b);
	}
	assert_int_equal(count_of(&p->b, FNS_C_drop_icrc), 0);
}

/* The kernel takes no trains from this socket: they go singly, with identification 0, now and from
 * then on. */
static void test_gso_refused(void **s)
{
	struct pair *p = pair_make((struct pair_cfg){0});
	static struct fns_frame f[FNS_TX_BATCH];
	static uint8_t data[1024];
	struct fns_sg sg = {data, NULL, sizeof(data)};
	int on = 1, fd;

	frame_make(&f[0], p->ab, 0, &sg, 1);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 1), 1);
	assert_int_equal(rx_all(p, &p->b, 1), 1);
	fd = fd_of_port(p->views[0].sport);
	rx_release_all(p, &p->b);
	/* Trains need checksums. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	for (int round = 0; round < 2; round++) {
		uint64_t trains = count_of(&p->a, FNS_C_tx_trains);

		for (unsigned i = 0; i < FNS_TX_BATCH; i++)
			frame_make(&f[i], p->ab, i, &sg, 1);
		assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, FNS_TX_BATCH), FNS_TX_BATCH);
		assert_int_equal(count_of(&p->a, FNS_C_tx_trains), trains + FNS_TX_BATCH);
		expect_all(p, FNS_TX_BATCH, sizeof(data));
		/* Once refused it is not tried again, even if it would work now. */
		on = 0;
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	}
	assert_int_equal(count_of(&p->a, FNS_C_tx_errors), 0);
	pair_free(p);
}

/* In a network namespace of its own, whose loopback takes 1,500 bytes. Exits 0, or 77 where that is
 * not allowed. */
static void mtu_child(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	static uint8_t data[4096];
	struct fns_sg large = {data, NULL, 4096}, small = {data, NULL, 1024};
	struct fns_frame f[20];
	struct pair *p;
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		_exit(77);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		_exit(77);
	ifr.ifr_mtu = 1500;
	if (ioctl(fd, SIOCSIFMTU, &ifr))
		_exit(77);
	p = pair_make((struct pair_cfg){0});
	for (unsigned i = 0; i < 20; i++)
		frame_make(&f[i], p->ab, i, &large, 1);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 1), 1); /* alone */
	assert_int_equal(f[0].status, FNS_FRAME_SENT);
	assert_int_equal(count_of(&p->a, FNS_C_tx_errors), 1);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 20), 20); /* in trains */
	assert_int_equal(count_of(&p->a, FNS_C_tx_errors), 21);
	assert_int_equal(count_of(&p->a, FNS_C_tx_trains), 0);
	assert_int_equal(count_of(&p->a, FNS_C_tx_packets), 0);
	/* Trains as such were not to blame, and go on. */
	for (unsigned i = 0; i < 20; i++)
		frame_make(&f[i], p->ab, i, &small, 1);
	assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, 20), 20);
	assert_int_equal(count_of(&p->a, FNS_C_tx_trains), 1);
	expect_all(p, 20, 1024);
	pair_free(p);
	close(fd);
}

static void test_mtu(void **s)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		/* A failed assertion must not go on with the parent's tests. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		mtu_child();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

struct flicker {
	uint8_t *page;
	atomic_bool stop;
};

static void *flicker_run(void *arg)
{
	struct flicker *k = arg;

	for (unsigned i = 0; i < 100000000u && !atomic_load(&k->stop); i++) {
		mprotect(k->page, 4096, PROT_NONE);
		for (int spin = 0; spin < 300; spin++)
			atomic_signal_fence(memory_order_seq_cst);
		mprotect(k->page, 4096, PROT_READ);
		for (int spin = 0; spin < 3000; spin++)
			atomic_signal_fence(memory_order_seq_cst);
	}
	return NULL;
}

/*
 * Payload that comes and goes at any moment, also between the sum and the send: every frame that
 * counts as sent arrives, every other is reported, whatever shared its train.
 */
static void test_vanishing(void **s)
{
	enum {
		N = 24
	};
	struct pair *p = pair_make((struct pair_cfg){0});
	struct flicker k = {.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
	struct fns_region region = {.len = 4096};
	static uint8_t data[4096];
	struct fns_sg good = {data, NULL, 4096}, bad = {k.page, &region, 4096};
	struct fns_frame f[N];
	pthread_t thread;
	unsigned faults = 0, others = 0, round = 0;
	uint64_t start_ns = fns_clock_now_ns(), spent_ns = 0;

	assert_true(k.page != MAP_FAILED);
	memset(k.page, 1, 4096);
	region.near_base = k.page;
	assert_int_equal(pthread_create(&thread, NULL, flicker_run, &k), 0);
	/* 1500 rounds or two seconds, but until the page did vanish at a bad moment: on a busy
	 * machine the thread may hardly run. */
	for (; (round < 1500 && spent_ns < 2 * FNS_NSEC_PER_SEC) ||
		(faults == 0 && spent_ns < 20 * FNS_NSEC_PER_SEC);
		round++) {
		unsigned sent = 0, got = 0;

		for (unsigned i = 0; i < N; i++)
			frame_make(&f[i], p->ab, i, i % 8 == 3 ? &bad : &good, 1);
		assert_int_equal(p->a.w->ops->tx_burst(p->a.w, f, N), N);
		for (unsigned i = 0; i < N; i++) {
			if (f[i].status == FNS_FRAME_SENT)
				sent++;
			else if (i % 8 == 3)
				faults++;
			else
				others++;
		}
		/* One call's worth at a time: packets that went singly hold a buffer each. */
		while (got < sent && rx_all(p, &p->b, 1) > 0) {
			got += p->n;
			rx_release_all(p, &p->b);
		}
		assert_int_equal(got, sent);
		spent_ns = fns_clock_now_ns() - start_ns;
	}
	atomic_store(&k.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(others, 0);
	assert_int_equal(count_of(&p->b, FNS_C_drop_icrc), 0);
	assert_int_equal(count_of(&p->a, FNS_C_tx_packets) + faults, (uint64_t)round * N);
	assert_true(faults > 0);
	munmap(k.page, 4096);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gso_refused),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_vanishing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
