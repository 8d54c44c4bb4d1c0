/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fds.h"

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int setup(void **state)
{
	static int sv[2];

	*state = sv;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv);
}

static int teardown(void **state)
{
	int *sv = *state;

	close(sv[0]);
	close(sv[1]);
	return 0;
}

/* The other end of a pipe arrives as the same pipe, and closes on exec. */
static void test_passes(void **state)
{
	int *sv = *state, p[2], got[3];
	uint64_t said = 0x1234, heard = 0;
	unsigned n;
	char c;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(fns_fds_send(sv[0], &said, sizeof(said), p, 2, 0), 0);
	assert_int_equal(fns_fds_recv(sv[1], &heard, sizeof(heard), got, 3, &n, 0), 0);
	assert_int_equal(heard, said);
	assert_int_equal(n, 2);
	assert_int_equal(got[2], -1);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	fns_fds_close(got, 3);
	fns_fds_close(p, 2);
}

static void test_most(void **state)
{
	int *sv = *state, many[FNS_FDS_MAX + 1], got[FNS_FDS_MAX], before;
	char c = 'm';
	unsigned n;

	for (unsigned i = 0; i < FNS_FDS_MAX + 1; i++)
		many[i] = 0;
	before = (int)open_fds();
	assert_int_equal(fns_fds_send(sv[0], &c, 1, many, FNS_FDS_MAX, 0), 0);
	assert_int_equal(fns_fds_recv(sv[1], &c, 1, got, FNS_FDS_MAX, &n, 0), 0);
	assert_int_equal(n, FNS_FDS_MAX);
	fns_fds_close(got, n);
	assert_int_equal(open_fds(), before);
	assert_int_equal(fns_fds_send(sv[0], &c, 1, many, FNS_FDS_MAX + 1, 0), -EINVAL);
	assert_int_equal(
		fns_fds_recv(sv[1], &c, 1, many, FNS_FDS_MAX + 1, &n, MSG_DONTWAIT), -EINVAL);
}

/* What is refused leaves nothing open. */
static void test_refuses(void **state)
{
	static const struct {
		size_t len;
		unsigned nfds, max;
	} bad[] = {{7, 0, 1}, {9, 0, 1}, {9, 1, 1}, {0, 1, 1}, {8, 2, 1}, {8, 3, 1}, {8, 1, 0},
		{8, 9, 3}, {1, 3, 3}, {8, FNS_FDS_MAX, 4}};
	int *sv = *state, fds[FNS_FDS_MAX] = {0}, got[4];
	const char msg[16] = {0};
	char buf[8];
	unsigned n = 9, before = open_fds();

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(fns_fds_send(sv[0], msg, bad[i].len, fds, bad[i].nfds, 0), 0);
		assert_int_equal(fns_fds_recv(sv[1], buf, 8, got, bad[i].max, &n, 0),
			bad[i].len == 0 ? -ECONNRESET : -EPROTO);
		assert_int_equal(n, 0);
		for (unsigned k = 0; k < bad[i].max; k++)
			assert_int_equal(got[k], -1);
		assert_int_equal(open_fds(), before);
	}
	assert_int_equal(fns_fds_recv(sv[1], buf, 8, got, 1, &n, MSG_DONTWAIT), -EAGAIN);
	shutdown(sv[0], SHUT_WR);
	assert_int_equal(fns_fds_recv(sv[1], buf, 8, got, 1, &n, 0), -ECONNRESET);
	shutdown(sv[1], SHUT_RD);
	assert_int_equal(fns_fds_send(sv[0], msg, 8, NULL, 0, 0), -ECONNRESET);
}

static void test_sealed(void **state)
{
	int fd = fns_memfd_sealed("test", 8192), plain;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fns_memfd_is_sealed(fd, 8192));
	assert_false(fns_memfd_is_sealed(fd, 4096));
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 12288), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
	plain = memfd_create("test", MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(plain, 8192), 0);
	assert_false(fns_memfd_is_sealed(plain, 8192));
	assert_int_equal(fcntl(plain, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_false(fns_memfd_is_sealed(plain, 8192));
	close(plain);
	assert_false(fns_memfd_is_sealed(-1, 0));
	plain = open("/dev/null", O_RDWR);
	assert_false(fns_memfd_is_sealed(plain, 0));
	close(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_most, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
		cmocka_unit_test(test_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
