/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's messages: what is sent arrives with its descriptors, what is not well-formed is
 * refused and leaks none. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fds.h"
#include "keeper/client.h"
#include "keeper/proto.h"

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

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

static void round_trip(void **state)
{
	int *sv = *state, fds[FNS_KEEPER_FDS_MAX], pipefd[2], before = open_fds();
	struct fns_keeper_msg m, got;
	unsigned nfds;
	char c = 0;

	for (unsigned n = 0; n <= FNS_KEEPER_FDS_MAX; n++) {
		int send[FNS_KEEPER_FDS_MAX];

		assert_int_equal(pipe(pipefd), 0);
		for (unsigned i = 0; i < n; i++)
			send[i] = pipefd[1];
		fns_keeper_msg_init(&m, FNS_KEEPER_LEASED);
		m.prefix = 7;
		m.since_ns = UINT64_MAX;
		memset(m.text, 'x', sizeof(m.text));
		memset(m.comm, 'y', sizeof(m.comm));
		assert_int_equal(fns_keeper_msg_send(sv[0], &m, send, n, 0), 0);
		assert_int_equal(fns_keeper_msg_recv(sv[1], &got, fds, &nfds, 0), 0);
		assert_int_equal(nfds, n);
		assert_int_equal(got.prefix, 7);
		assert_true(got.since_ns == UINT64_MAX);
		assert_int_equal(strlen(got.text), sizeof(m.text) - 1);
		assert_int_equal(strlen(got.comm), sizeof(m.comm) - 1);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(write(fds[i], "!", 1), 1);
			assert_int_equal(read(pipefd[0], &c, 1), 1);
		}
		fns_fds_close(fds, nfds);
		close(pipefd[0]);
		close(pipefd[1]);
	}
	assert_int_equal(fns_keeper_msg_send(sv[0], &m, fds, FNS_KEEPER_FDS_MAX + 1, 0), -EINVAL);
	assert_int_equal(open_fds(), before);
}

static void end_of_connection(void **state)
{
	int *sv = *state, fds[FNS_KEEPER_FDS_MAX];
	struct fns_keeper_msg m;
	unsigned nfds;

	assert_int_equal(fns_keeper_msg_recv(sv[1], &m, fds, &nfds, MSG_DONTWAIT), -EAGAIN);
	shutdown(sv[0], SHUT_RDWR);
	assert_int_equal(fns_keeper_msg_recv(sv[1], &m, fds, &nfds, 0), -ECONNRESET);
	fns_keeper_msg_init(&m, FNS_KEEPER_LEASE);
	assert_int_equal(
		fns_keeper_msg_send(sv[1], &m, NULL, 0, 0), -ECONNRESET); /* and no SIGPIPE */
}

/* Sends raw bytes with n descriptors. */
static void send_raw(int sock, const void *buf, size_t len, unsigned n)
{
	char ctl[CMSG_SPACE(64 * sizeof(int))];
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	memset(ctl, 0, sizeof(ctl));
	if (n) {
		struct cmsghdr *c;

		mh.msg_control = ctl;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &sock, sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &mh, 0), (ssize_t)len);
}

static void malformed(void **state)
{
	int *sv = *state, fds[FNS_KEEPER_FDS_MAX], before = open_fds();
	struct {
		struct fns_keeper_msg m;
		char extra[8];
	} big;
	struct fns_keeper_msg m, got;
	unsigned nfds;

	memset(&big, 0, sizeof(big));
	for (unsigned n = 0; n <= 40; n += n < 4 ? 1 : 12) {
		fns_keeper_msg_init(&m, FNS_KEEPER_LEASE);
		m.magic ^= 1u << 31;
		send_raw(sv[0], &m, sizeof(m), n);
		assert_int_equal(fns_keeper_msg_recv(sv[1], &got, fds, &nfds, 0), -EPROTO);
		fns_keeper_msg_init(&m, FNS_KEEPER_LEASE);
		m.version++;
		send_raw(sv[0], &m, sizeof(m), n);
		assert_int_equal(fns_keeper_msg_recv(sv[1], &got, fds, &nfds, 0), -EPROTO);
		fns_keeper_msg_init(&m, FNS_KEEPER_LEASE);
		send_raw(sv[0], &m, sizeof(m) - 1, n);
		assert_int_equal(fns_keeper_msg_recv(sv[1], &got, fds, &nfds, 0), -EPROTO);
		big.m = m;
		send_raw(sv[0], &big, sizeof(m) + 1, n);
		assert_int_equal(fns_keeper_msg_recv(sv[1], &got, fds, &nfds, 0), -EPROTO);
		/* Too many descriptors beside a good message. */
		send_raw(sv[0], &m, sizeof(m), n);
		if (n > FNS_KEEPER_FDS_MAX) {
			assert_int_equal(fns_keeper_msg_recv(sv[1], &got, fds, &nfds, 0), -EPROTO);
			assert_int_equal(nfds, 0);
		} else {
			assert_int_equal(fns_keeper_msg_recv(sv[1], &got, fds, &nfds, 0), 0);
			fns_fds_close(fds, nfds);
		}
		assert_int_equal(open_fds(), before);
	}
}

static void names(void **state)
{
	struct sockaddr_un sa;
	socklen_t len = fns_keeper_addr(&sa, 1000, 4791);

	assert_int_equal(sa.sun_path[0], 0);
	assert_memory_equal(sa.sun_path + 1, "flexins-keeper-1000-4791", 24);
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 25);
}

static void port_from_env(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint16_t port;
	} t[] = {{"1", 0, 1}, {"65535", 0, 65535}, {"", 0, 4791}, {"0", -EINVAL, 0},
		{"65536", -EINVAL, 0}, {"-1", -EINVAL, 0}, {" 5", -EINVAL, 0}, {"5x", -EINVAL, 0},
		{"99999999999999999999", -EINVAL, 0}};
	uint16_t port;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		port = 0;
		setenv("FLEXINS_PORT", t[i].text, 1);
		assert_int_equal(fns_keeper_port_from_env(&port), t[i].rc);
		assert_int_equal(port, t[i].port);
	}
	unsetenv("FLEXINS_PORT");
	assert_int_equal(fns_keeper_port_from_env(&port), 0);
	assert_int_equal(port, 4791);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(end_of_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(malformed, setup, teardown),
		cmocka_unit_test(names),
		cmocka_unit_test(port_from_env),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
