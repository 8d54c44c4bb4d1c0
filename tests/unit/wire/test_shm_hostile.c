/* SPDX-License-Identifier: Apache-2.0 */
/* The same-host wire against a peer that lies: greetings, files, words, credit, squatted names. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/rng.h"
#include "shm_pair.h"

static socklen_t name_of(struct sockaddr_un *sa, uint8_t prefix)
{
	int n;

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	n = snprintf(sa->sun_path + 1, sizeof(sa->sun_path) - 1, "flexins-shm-%lu-%u-%u",
		(unsigned long)geteuid(), shm_port(), prefix);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

struct hello {
	uint32_t w[4];
};
static const struct hello good_hello = {{0x53534e46u, 2, PREFIX_A, SHM_RING_BYTES}};

/* Connects to b by hand and says this. */
static int greet(const struct hello *h, size_t len, const int *fds, unsigned nfds)
{
	struct sockaddr_un sa;
	socklen_t salen = name_of(&sa, PREFIX_B);
	int conn = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {0};
	struct iovec iov = {(void *)(uintptr_t)h, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	assert_int_equal(connect(conn, (struct sockaddr *)&sa, salen), 0);
	if (nfds) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	assert_int_equal(sendmsg(conn, &m, 0), (ssize_t)len);
	return conn;
}

static bool closed(int conn)
{
	char c;

	return recv(conn, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int file_of(size_t bytes, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_greetings(void **state)
{
	struct shm_pair *p = shm_pair_make();
	const int both = F_SEAL_SHRINK | F_SEAL_GROW;
	int good = file_of(SHM_FILE_BYTES, both), small = file_of(SHM_FILE_BYTES - 4096, both),
	    big = file_of(SHM_FILE_BYTES + 4096, both),
	    shrinks = file_of(SHM_FILE_BYTES, F_SEAL_GROW), open_file = file_of(SHM_FILE_BYTES, 0),
	    wake = eventfd(0, EFD_NONBLOCK), frozen = file_of(SHM_FILE_BYTES, both | F_SEAL_WRITE),
	    null = open("/dev/null", O_RDWR);
	struct hello magic = good_hello, version = good_hello, ring = good_hello;
	unsigned fds_before;

	magic.w[0]++;
	version.w[1]++;
	ring.w[3] *= 2;
	const struct {
		const struct hello *h;
		size_t len;
		int fds[4];
		unsigned n;
	} bad[] = {
		{&good_hello, sizeof(good_hello), {good, wake}, 0},
		{&good_hello, sizeof(good_hello), {good, wake}, 1},
		{&good_hello, sizeof(good_hello), {good, wake, wake}, 3},
		{&good_hello, sizeof(good_hello), {wake, good}, 2},
		{&good_hello, sizeof(good_hello), {small, wake}, 2},
		{&good_hello, sizeof(good_hello), {big, wake}, 2},
		{&good_hello, sizeof(good_hello), {shrinks, wake}, 2},
		{&good_hello, sizeof(good_hello), {open_file, wake}, 2},
		{&good_hello, sizeof(good_hello), {frozen, wake}, 2},
		{&good_hello, sizeof(good_hello), {null, wake}, 2},
		{&good_hello, sizeof(good_hello) - 1, {good, wake}, 2},
		{&magic, sizeof(magic), {good, wake}, 2},
		{&version, sizeof(version), {good, wake}, 2},
		{&ring, sizeof(ring), {good, wake}, 2},
	};

	shm_rx(p);
	fds_before = open_fds();
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		int conn = greet(bad[i].h, bad[i].len, bad[i].fds, bad[i].n);

		shm_rx(p);
		assert_true(closed(conn));
		close(conn);
		assert_int_equal(shm_links(&p->b), 1);
		assert_int_equal(open_fds(), fds_before);
	}
	/* And the good one is taken, even where its second descriptor is no eventfd. */
	for (unsigned i = 0; i < 2; i++) {
		int conn =
			greet(&good_hello, sizeof(good_hello), (int[]){good, i ? null : wake}, 2);
		bool kept;

		shm_rx(p);
		kept = !closed(conn);
		close(conn);
		shm_rx(p);
		if (i == 0)
			assert_true(kept);
		assert_int_equal(shm_links(&p->b), 1);
	}
	/* Who says nothing holds nobody up, and goes like any other. */
	{
		struct sockaddr_un sa;
		socklen_t len = name_of(&sa, PREFIX_B);
		int conn = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		uint8_t buf[64] = {0};

		assert_int_equal(connect(conn, (struct sockaddr *)&sa, len), 0);
		shm_rx(p);
		assert_int_equal(shm_links(&p->b), 2);
		p->b.w->ops->arm(p->b.w, true);
		assert_int_equal(shm_send(p, 1, buf, 64), 1);
		assert_int_equal(shm_rx(p), 1);
		shm_release(p);
		close(conn);
		shm_rx(p);
		assert_int_equal(shm_links(&p->b), 1);
	}
	const int all[] = {good, small, big, shrinks, open_file, wake, frozen, null};
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(all); i++)
		close(all[i]);
	shm_pair_free(p);
}

/* A word that cannot be true ends the link; the sender hears of it. */
static void test_words(void **state)
{
	static const uint32_t bad[] = {
		1 << SHM_WORD_OFF_SHIFT,                     /* no length */
		(FNS_BTH_LEN - 1) | 1 << SHM_WORD_OFF_SHIFT, /* shorter than a BTH */
		100,                                         /* over its own word */
		SHM_WORD_LEN_MASK | 1 << SHM_WORD_OFF_SHIFT, /* longer than any record */
		SHM_MAX_RECORD | 1 << SHM_WORD_OFF_SHIFT,
	};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(bad); i++) {
		struct shm_pair *p = shm_pair_make();
		uint8_t buf[64] = {0};

		assert_int_equal(shm_send(p, 0, buf, 64), 1);
		assert_int_equal(shm_rx(p), 1);
		atomic_store(shm_word_at(&shm_out_of(p)->ring, shm_out_of(p)->ring.pos), bad[i]);
		assert_int_equal(p->b.w->ops->rx_burst(p->b.w, p->views + 1, 1), 0);
		assert_int_equal(shm_count_of(&p->b, FNS_C_drop_short), 1);
		shm_release(p);
		assert_int_equal(shm_links(&p->b), 0);
		p->a.w->ops->events(p->a.w);
		assert_true(p->ab->broken);
		shm_pair_free(p);
	}
}

/* Random words and random bytes: whatever comes, views lie in the mapping and all ends. */
static void test_random(void **state)
{
	struct fns_rng rng;

	fns_rng_seed(&rng, 11);
	for (unsigned round = 0; round < 200; round++) {
		struct shm_pair *p = shm_pair_make();
		struct shm_ring *r = &shm_out_of(p)->ring;
		volatile uint8_t sum = 0;
		unsigned total = 0;

		for (uint32_t at = 0; at < SHM_RING_BYTES; at += SHM_LINE) {
			uint32_t word = (uint32_t)fns_rng_u64(&rng);

			if (fns_rng_below(&rng, 4)) /* mostly such as pass */
				word = (word & ~SHM_WORD_LEN_MASK) | (12 + word % 300) |
				       1 << SHM_WORD_OFF_SHIFT;
			atomic_store(shm_word_at(r, at), word);
		}
		shm_rx(p);
		for (unsigned calls = 0; calls < 2000; calls++) {
			for (unsigned i = 0; i < p->n; i++)
				for (uint32_t k = 0; k < p->views[i].len; k += 60)
					sum = (uint8_t)(sum + p->views[i].data[k]);
			total += p->n;
			shm_release(p);
			if (shm_links(&p->b) == 0)
				break;
			shm_rx(p);
		}
		assert_int_equal(shm_links(&p->b), 0);
		assert_true(total < 20000);
		shm_pair_free(p);
	}
}

/* Credit that was never earned is not believed. */
static void test_credit(void **state)
{
	struct shm_pair *p = shm_pair_make();
	uint8_t *buf = calloc(1, 4096);
	_Atomic uint64_t *credit = &shm_out_of(p)->ring.shared->credit;
	const uint64_t pos[] = {UINT64_MAX, 1ull << 63, 4 * SHM_RING_BYTES};
	uint32_t sent = 0;

	while (shm_send(p, sent, buf, 4096) == 1)
		sent++;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(pos); i++) {
		atomic_store(credit, pos[i]);
		assert_int_equal(shm_send(p, sent, buf, 4096), 0);
	}
	/* Not even backwards. */
	atomic_store(credit, SHM_CREDIT_STEP);
	assert_int_equal(shm_send(p, sent, buf, 4096), 1);
	while (shm_send(p, sent, buf, 4096) == 1)
		sent++;
	atomic_store(credit, 64);
	assert_int_equal(shm_send(p, sent, buf, 4096), 0);
	free(buf);
	shm_pair_free(p);
}

/* Another user took the name: not a byte goes there. */
static void test_squatter(void **state)
{
	struct shm_pair *p;
	struct fns_path *path;
	struct sockaddr_un sa;
	socklen_t len = name_of(&sa, 0x44);
	int ready[2], status;
	pid_t child;

	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);

		if (setuid(65534) || bind(s, (struct sockaddr *)&sa, len) || listen(s, 4))
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		s = accept(s, NULL, NULL);
		/* Nothing may come but the end. */
		_exit(recv(s, &len, 1, 0) == 0 ? 0 : 2);
	}
	assert_int_equal(read(ready[0], &status, 1), 1);
	p = shm_pair_make();
	assert_int_equal(p->a.w->ops->path_get(p->a.w, &p->gid, &p->gid, 0, 0x44, 0, 64, &path),
		-EHOSTUNREACH);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(ready[0]);
	close(ready[1]);
	shm_pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greetings),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_squatter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
