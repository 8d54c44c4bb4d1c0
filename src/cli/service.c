/* SPDX-License-Identifier: Apache-2.0 */
/* Is there a `flexinsd --engine`? Asked by `flexins run` before it becomes a program that needs
 * one, because that program could only say that it cannot open its device. */
#include <unistd.h>

#include "cli/cli.h"
#include "keeper/client.h"
#include "service/proto.h"

static bool answers(uid_t uid, uint16_t port)
{
	struct sockaddr_un sa;
	socklen_t len = fns_service_addr(&sa, uid, port);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

bool fns_cli_service_runs(void)
{
	uint16_t port;

	if (fns_keeper_port_from_env(&port))
		return false;
	/* One's own, or root's. */
	return answers(geteuid(), port) || (geteuid() != 0 && answers(0, port));
}
