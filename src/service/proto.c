/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and receiving the service's messages. No state; called by the service and by
 * applications. */
#include "service/proto.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/fds.h"

void fns_service_msg_init(struct fns_service_msg *m, enum fns_service_type type)
{
	memset(m, 0, sizeof(*m));
	m->magic = FNS_SERVICE_MAGIC;
	m->version = FNS_SERVICE_VERSION;
	m->type = (uint16_t)type;
}

int fns_service_msg_send(int sock, const struct fns_service_msg *m, int fd, int flags)
{
	return fns_fds_send(sock, m, sizeof(*m), &fd, fd >= 0, flags);
}

int fns_service_msg_recv(int sock, struct fns_service_msg *m, int *fd, int flags)
{
	unsigned n;
	int rc = fns_fds_recv(sock, m, sizeof(*m), fd, FNS_SERVICE_FDS, &n, flags);

	if (rc == 0 && (m->magic != FNS_SERVICE_MAGIC || m->version != FNS_SERVICE_VERSION)) {
		fns_fds_close(fd, n);
		*fd = -1;
		rc = -EPROTO;
	}
	return rc;
}

socklen_t fns_service_addr(struct sockaddr_un *sa, uid_t uid, uint16_t port)
{
	return fns_fds_address(sa, "flexins-engine-%u-%u", (unsigned)uid, (unsigned)port);
}
