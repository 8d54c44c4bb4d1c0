/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and receiving the service's messages. No state; called by the service and by
 * applications. */
#include "service/proto.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More descriptors than this do not fit a message's control data, and the kernel drops them. */
#define FDS_ROOM 4u

void fns_service_msg_init(struct fns_service_msg *m, enum fns_service_type type)
{
	memset(m, 0, sizeof(*m));
	m->magic = FNS_SERVICE_MAGIC;
	m->version = FNS_SERVICE_VERSION;
	m->type = (uint16_t)type;
}

int fns_service_msg_send(int sock, const struct fns_service_msg *m, int fd, int flags)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m, .iov_len = sizeof(*m)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		n = sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EPIPE ? -ECONNRESET : -errno;
	return n == (ssize_t)sizeof(*m) ? 0 : -EIO;
}

/* The only descriptor of a message; of more than one all are closed. False: more than one. */
static bool take_fd(struct msghdr *mh, int *out)
{
	int fds[FDS_ROOM];
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < FDS_ROOM)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	if (n <= 1) {
		*out = n ? fds[0] : -1;
		return true;
	}
	while (n > 0)
		close(fds[--n]);
	*out = -1;
	return false;
}

int fns_service_msg_recv(int sock, struct fns_service_msg *m, int *fd, int flags)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_ROOM * sizeof(int))];
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n;
	bool good;

	*fd = -1;
	do
		n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	good = take_fd(&mh, fd) && n == (ssize_t)sizeof(*m) &&
	       !(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && m->magic == FNS_SERVICE_MAGIC &&
	       m->version == FNS_SERVICE_VERSION;
	if (good)
		return 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return n == 0 ? -ECONNRESET : -EPROTO;
}

socklen_t fns_service_addr(struct sockaddr_un *sa, uid_t uid, uint16_t port)
{
	int n;

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	n = snprintf(sa->sun_path + 1, sizeof(sa->sun_path) - 1, "flexins-engine-%u-%u",
		(unsigned)uid, (unsigned)port);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}
