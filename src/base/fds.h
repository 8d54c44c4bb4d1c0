/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors from process to process: messages of a unix socket with SCM_RIGHTS (unix(7)), and the
 * memory files that travel so. Control path; no state, any thread.
 */
#ifndef FNS_BASE_FDS_H
#define FNS_BASE_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FNS_FDS_MAX 64u /* beside one message */

/* --- messages --- */

/*
 * Sends msg with n descriptors beside it, which stay the caller's. flags: of sendmsg. 0,
 * -ECONNRESET (nobody reads any more), -EINVAL (more than FNS_FDS_MAX), -EIO (sent in part) or the
 * socket's.
 */
int fns_fds_send(int sock, const void *msg, size_t len, const int *fds, unsigned n, int flags);

/*
 * Receives a message of exactly len bytes with max descriptors at most; *n of them, close-on-exec,
 * are the caller's then, and the rest of fds is -1. flags: of recvmsg. Else all are -1: -ECONNRESET
 * (the other side has ended, or sent an empty message), -EPROTO (another length, or more
 * descriptors than fit), -EINVAL (max is more than FNS_FDS_MAX) or the socket's. *msg may have been
 * written then.
 */
int fns_fds_recv(int sock, void *msg, size_t len, int *fds, unsigned max, unsigned *n, int flags);

/* Closes those that are not negative. errno stays. */
void fns_fds_close(const int *fds, unsigned n);

/*
 * Takes *fd out of an epoll set and closes it; *fd is -1 then. Of a descriptor that others may have
 * copies of, the entry in the set would outlive our closing it. -1: nothing.
 */
void fns_fds_unwatch(int epfd, int *fd);

/* The address of an abstract name, of this network namespace alone (unix(7)); its length. */
__attribute__((format(printf, 2, 3))) socklen_t fns_fds_address(
	struct sockaddr_un *sa, const char *fmt, ...);

/* --- memory files --- */

/*
 * A memory file of len zero bytes which nobody can make shorter or longer, so that nobody who maps
 * it can be made to fault by somebody who has it. Close-on-exec. Or negative errno.
 */
int fns_memfd_sealed(const char *name, size_t len);

/* Is it such a file, of exactly len bytes? Any other kind of file has no seals. */
bool fns_memfd_is_sealed(int fd, size_t len);

#endif
