/* SPDX-License-Identifier: Apache-2.0 */
/* Sending, receiving and validating the keeper's messages. No state; called by the keeper and by
 * its clients. */
#include "keeper/proto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fds.h"
#include "keeper/client.h"
#include "roce/header.h"

void fns_keeper_msg_init(struct fns_keeper_msg *m, enum fns_keeper_msg_type type)
{
	memset(m, 0, sizeof(*m));
	m->magic = FNS_KEEPER_MAGIC;
	m->version = FNS_KEEPER_VERSION;
	m->type = (uint16_t)type;
}

int fns_keeper_msg_send(
	int sock, const struct fns_keeper_msg *m, const int *fds, unsigned nfds, int flags)
{
	if (nfds > FNS_KEEPER_FDS_MAX)
		return -EINVAL;
	return fns_fds_send(sock, m, sizeof(*m), fds, nfds, flags);
}

int fns_keeper_msg_recv(
	int sock, struct fns_keeper_msg *m, int fds[FNS_KEEPER_FDS_MAX], unsigned *nfds, int flags)
{
	int rc = fns_fds_recv(sock, m, sizeof(*m), fds, FNS_KEEPER_FDS_MAX, nfds, flags);

	if (rc)
		return rc;
	if (m->magic != FNS_KEEPER_MAGIC || m->version != FNS_KEEPER_VERSION) {
		fns_fds_close(fds, *nfds);
		*nfds = 0;
		return -EPROTO;
	}
	m->comm[sizeof(m->comm) - 1] = 0;
	m->text[sizeof(m->text) - 1] = 0;
	return 0;
}

socklen_t fns_keeper_addr(struct sockaddr_un *sa, uid_t uid, uint16_t port)
{
	return fns_fds_address(sa, "flexins-keeper-%u-%u", (unsigned)uid, (unsigned)port);
}

int fns_keeper_port_parse(const char *text, uint16_t *port)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || v == 0 || v > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)v;
	return 0;
}

int fns_keeper_port_from_env(uint16_t *port)
{
	const char *s = getenv("FLEXINS_PORT");

	if (s && *s)
		return fns_keeper_port_parse(s, port);
	*port = FNS_ROCE_PORT;
	return 0;
}
