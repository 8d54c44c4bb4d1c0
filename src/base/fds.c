/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and receiving descriptors, and making memory files. */
#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

union control {
	char buf[CMSG_SPACE(FNS_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int fns_fds_send(int sock, const void *msg, size_t len, const int *fds, unsigned n, int flags)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union control ctl;
	ssize_t sent;

	if (n > FNS_FDS_MAX)
		return -EINVAL;
	if (n) {
		struct cmsghdr *c;

		memset(&ctl, 0, CMSG_SPACE(n * sizeof(int)));
		m.msg_control = ctl.buf;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	do
		sent = sendmsg(sock, &m, flags | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EPIPE ? -ECONNRESET : -errno;
	return sent == (ssize_t)len ? 0 : -EIO;
}

/* Takes every descriptor out of the control data. False: there were more than max, which are
 * closed. */
static bool take(struct msghdr *m, int *fds, unsigned max, unsigned *n)
{
	bool fit = true;

	*n = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*n < max) {
				fds[(*n)++] = fd;
			} else {
				close(fd);
				fit = false;
			}
		}
	}
	return fit;
}

int fns_fds_recv(int sock, void *msg, size_t len, int *fds, unsigned max, unsigned *n, int flags)
{
	struct iovec iov = {.iov_base = msg, .iov_len = len};
	union control ctl;
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = CMSG_SPACE(max * sizeof(int))};
	ssize_t got;
	bool fit;

	*n = 0;
	if (max > FNS_FDS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < max; i++)
		fds[i] = -1;
	do
		got = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	fit = take(&m, fds, max, n);
	if (fit && got == (ssize_t)len && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 0;
	fns_fds_close(fds, *n);
	while (*n > 0)
		fds[--*n] = -1;
	return got == 0 ? -ECONNRESET : -EPROTO;
}

void fns_fds_close(const int *fds, unsigned n)
{
	int err = errno;

	for (unsigned i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	errno = err;
}

void fns_fds_unwatch(int epfd, int *fd)
{
	if (*fd < 0)
		return;
	(void)epoll_ctl(epfd, EPOLL_CTL_DEL, *fd, NULL);
	close(*fd);
	*fd = -1;
}

socklen_t fns_fds_address(struct sockaddr_un *sa, const char *fmt, ...)
{
	const size_t room = sizeof(sa->sun_path) - 1;
	va_list ap;
	int n;

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	va_start(ap, fmt);
	n = vsnprintf(sa->sun_path + 1, room, fmt, ap);
	va_end(ap);
	fns_assert(n > 0 && (size_t)n < room);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int fns_memfd_sealed(const char *name, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL), err;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) == 0 && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

bool fns_memfd_is_sealed(int fd, size_t len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 &&
	       st.st_size == (off_t)len;
}
