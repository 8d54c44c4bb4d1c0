/* SPDX-License-Identifier: Apache-2.0 */
/* Talks to the control socket of a running program (src/host/remote.c). See remote.h. */
#include "cli/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fds.h"
#include "cli/cli.h"
#include "keeper/client.h"

#define TRIES     100u /* of 10 ms */
#define TIMEOUT_S 5

int fns_cli_remote_pid(const char *text, long *pid)
{
	char *end;

	errno = 0;
	*pid = strtol(text, &end, 10);
	if (text[0] < '1' || text[0] > '9' || *end != '\0' || errno != 0 || *pid > INT32_MAX)
		return fns_cli_error(FNS_EXIT_USAGE,
			"--pid='%s': expected a process id (`flexins status` lists programs)",
			text);
	return 0;
}

int fns_cli_remote_qpn(const char *text, uint32_t *qpn)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 0);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v < 2 || v > 0xffffff)
		return fns_cli_error(FNS_EXIT_USAGE,
			"--qp='%s': expected a queue pair number, such as 0x050a11 (`flexins status` lists them)",
			text);
	*qpn = (uint32_t)v;
	return 0;
}

/* Names can be squatted: is it the process that was asked for, and of a user that we would trust?
 */
static bool peer_is(int s, long pid)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	char proc[32];
	struct stat st;

	if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid != pid)
		return false;
	if (cred.uid == geteuid())
		return true;
	snprintf(proc, sizeof(proc), "/proc/%ld", pid);
	return geteuid() == 0 && stat(proc, &st) == 0 && st.st_uid == cred.uid;
}

static int dial(long pid, int *out)
{
	struct sockaddr_un sa;
	socklen_t len = fns_remote_address(&sa, pid);
	struct timeval limit = {.tv_sec = TIMEOUT_S};
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (s < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "socket: %s", strerror(errno));
	(void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(s, (struct sockaddr *)&sa, len) < 0) {
		close(s);
		return fns_cli_error(FNS_EXIT_FAILURE,
			"no program of pid %ld uses FlexiNS in this network namespace (%s); `flexins status` "
			"lists those that do",
			pid, strerror(errno));
	}
	if (!peer_is(s, pid)) {
		close(s);
		return fns_cli_error(FNS_EXIT_FAILURE,
			"pid %ld is not yours, or somebody else answers in its name: not talking to it",
			pid);
	}
	*out = s;
	return 0;
}

/* One request and its reply. 0 or negative errno of the conversation. */
static int converse(
	int s, const struct fns_remote_msg *request, struct fns_remote_msg *reply, int fd)
{
	ssize_t n;
	int err;

	*reply = *request;
	err = fns_fds_send(s, reply, sizeof(*reply), &fd, fd >= 0, 0);
	if (err)
		return err;
	n = recv(s, reply, sizeof(*reply), 0);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(*reply) || reply->magic != FNS_REMOTE_MAGIC)
		return n == 0 ? -ECONNRESET : -EPROTO;
	reply->text[sizeof(reply->text) - 1] = '\0';
	return 0;
}

int fns_cli_remote_call(long pid, struct fns_remote_msg *msg, int fd)
{
	struct fns_remote_msg reply;
	int s = -1, err;

	msg->magic = FNS_REMOTE_MAGIC;
	err = dial(pid, &s);
	if (err)
		return err;
	for (unsigned i = 0; i < TRIES; i++) {
		err = converse(s, msg, &reply, fd);
		if (err || reply.result != -EBUSY)
			break;
		usleep(10000);
	}
	close(s);
	if (err)
		return fns_cli_error(
			FNS_EXIT_FAILURE, "pid %ld does not answer: %s", pid, strerror(-err));
	*msg = reply;
	if (reply.result < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s",
			reply.text[0] != '\0' ? reply.text : strerror(-reply.result));
	return 0;
}

struct programs {
	unsigned prefix, n;
	long *pid;
};

static int on_slot(struct fns_keeper_slot_info *slot, void *arg)
{
	struct programs *p = arg;

	if (slot->state != FNS_KEEPER_HELD || (p->prefix && slot->prefix != p->prefix))
		return 0;
	for (unsigned i = 0; i < p->n; i++)
		if (p->pid[i] == (long)slot->pid)
			return 0;
	if (p->n < FNS_CLI_PROGRAMS)
		p->pid[p->n++] = (long)slot->pid;
	return 0;
}

int fns_cli_remote_programs(unsigned prefix, long pid[static FNS_CLI_PROGRAMS], unsigned *n)
{
	struct fns_keeper_opts opts = {.no_start = true, .stats_fd = -1};
	struct programs p = {.prefix = prefix, .pid = pid};
	struct fns_keeper_info info = {0};
	char err[FNS_KEEPER_ERR_LEN] = "";
	int rc = fns_keeper_status(&opts, on_slot, &p, &info, err, sizeof(err));

	if (rc != 0 && rc != -ECONNREFUSED)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s", err[0] != '\0' ? err : strerror(-rc));
	*n = p.n;
	return 0;
}
