/* SPDX-License-Identifier: Apache-2.0 */
/* Sending, receiving and validating the keeper's messages. No state; called by the keeper and by
 * its clients. */
#include "keeper/proto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fns_keeper_msg_init(struct fns_keeper_msg *m, enum fns_keeper_msg_type type)
{
	memset(m, 0, sizeof(*m));
	m->magic = FNS_KEEPER_MAGIC;
	m->version = FNS_KEEPER_VERSION;
	m->type = (uint16_t)type;
}

void fns_keeper_fds_close(const int *fds, unsigned nfds)
{
	for (unsigned i = 0; i < nfds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int fns_keeper_msg_send(
	int sock, const struct fns_keeper_msg *m, const int *fds, unsigned nfds, int flags)
{
	union {
		char buf[CMSG_SPACE(FNS_KEEPER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} ctl;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m, .iov_len = sizeof(*m)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nfds > FNS_KEEPER_FDS_MAX)
		return -EINVAL;
	if (nfds) {
		struct cmsghdr *c;

		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	do
		n = sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EPIPE ? -ECONNRESET : -errno;
	return n == (ssize_t)sizeof(*m) ? 0 : -EIO;
}

/* Takes every descriptor out of the control data; those that do not fit are closed and -EPROTO is
 * returned. */
static int take_fds(struct msghdr *mh, int *fds, unsigned *nfds)
{
	int rc = 0;

	*nfds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*nfds < FNS_KEEPER_FDS_MAX) {
				fds[(*nfds)++] = fd;
			} else {
				close(fd);
				rc = -EPROTO;
			}
		}
	}
	return rc;
}

int fns_keeper_msg_recv(
	int sock, struct fns_keeper_msg *m, int fds[FNS_KEEPER_FDS_MAX], unsigned *nfds, int flags)
{
	union {
		char buf[CMSG_SPACE(FNS_KEEPER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} ctl;
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = sizeof(ctl.buf)};
	ssize_t n;
	int rc;

	*nfds = 0;
	do
		n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	rc = take_fds(&mh, fds, nfds);
	/* An empty message looks like the end of the connection; it ends it, which is what its
	 * sender deserves. */
	if (!rc && n == 0)
		rc = -ECONNRESET;
	if (!rc && (n != (ssize_t)sizeof(*m) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
			   m->magic != FNS_KEEPER_MAGIC || m->version != FNS_KEEPER_VERSION))
		rc = -EPROTO;
	if (rc) {
		fns_keeper_fds_close(fds, *nfds);
		*nfds = 0;
		return rc;
	}
	m->comm[sizeof(m->comm) - 1] = 0;
	m->text[sizeof(m->text) - 1] = 0;
	return 0;
}

socklen_t fns_keeper_addr(struct sockaddr_un *sa, uid_t uid, uint16_t port)
{
	int n;

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	n = snprintf(sa->sun_path + 1, sizeof(sa->sun_path) - 1, "flexins-keeper-%u-%u",
		(unsigned)uid, (unsigned)port);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int fns_keeper_port_from_env(uint16_t *port)
{
	const char *s = getenv("FLEXINS_PORT");
	unsigned long v;
	char *end;

	if (!s || !*s) {
		*port = FNS_KEEPER_PORT;
		return 0;
	}
	errno = 0;
	v = strtoul(s, &end, 10);
	if (errno || *end || *s < '0' || *s > '9' || v == 0 || v > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)v;
	return 0;
}
