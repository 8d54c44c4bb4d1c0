/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a running program: what `flexins fault`, `flexins capture` and their like
 * say to the helper thread in it (src/host/remote.c). An abstract SOCK_SEQPACKET socket of the
 * network namespace, named after the process; one request, one reply, each of this fixed size. Both
 * sides check the other's credentials: anybody may bind or connect to such a name.
 */
#ifndef FNS_PIPE_REMOTE_H
#define FNS_PIPE_REMOTE_H

#include <stdint.h>

#include "base/fds.h"

#define FNS_REMOTE_MAGIC 0x52534e46u /* "FNSR" */
#define FNS_REMOTE_VERB  24u
#define FNS_REMOTE_TEXT  984u

struct fns_remote_msg {
	uint32_t magic;
	int32_t result; /* of a reply: 0 or negative errno; -EBUSY: the same again in a moment */
	char verb[FNS_REMOTE_VERB];
	uint32_t qpn, count;
	char text[FNS_REMOTE_TEXT]; /* argument; of a reply: for the user */
};
_Static_assert(sizeof(struct fns_remote_msg) == 1024, "no padding");

/* One descriptor may come with a request (SCM_RIGHTS): the file of a capture, or a congestion
 * control. */

/* The address of process pid; its length. */
static inline socklen_t fns_remote_address(struct sockaddr_un *sa, long pid)
{
	return fns_fds_address(sa, "flexins-remote-%ld", pid);
}

#endif
