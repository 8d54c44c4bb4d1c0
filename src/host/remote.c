/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of this process, served by the thread that runs its engine, between two
 * advances. Requests
 * are hostile input: fixed size, checked, and nothing that they ask for may block. A verb is one
 * line in the table below.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/util.h"
#include "host/cc.h"
#include "host/offload.h"
#include "host/remote.h"
#include "pipe/remote.h"

#define CONNS 8u /* at a time; another one displaces the oldest */

struct request {
	struct fns_lab *lab;
	const struct fns_remote_msg *msg;
	int *fd;     /* that came with it, -1: none; set to -1 by who keeps it */
	char *reply; /* FNS_REMOTE_TEXT bytes, zeroed */
};

static int fault_set(const struct request *r)
{
	return fns_lab_fault_set(r->lab, r->msg->text, r->reply, FNS_REMOTE_TEXT);
}

static int fault_clear(const struct request *r)
{
	return fns_lab_fault_set(r->lab, NULL, r->reply, FNS_REMOTE_TEXT);
}

static int fault_show(const struct request *r)
{
	return fns_lab_fault_show(r->lab, r->reply, FNS_REMOTE_TEXT);
}

static int fault_inject(const struct request *r)
{
	return fns_lab_fault_inject(
		r->lab, r->msg->qpn, r->msg->text, r->msg->count, r->reply, FNS_REMOTE_TEXT);
}

static int capture_start(const struct request *r)
{
	int err = fns_lab_capture_start(r->lab, *r->fd, r->reply, FNS_REMOTE_TEXT);

	if (err == 0)
		*r->fd = -1;
	return err;
}

static int capture_stop(const struct request *r)
{
	return fns_lab_capture_stop(r->lab, r->reply, FNS_REMOTE_TEXT);
}

static int cc_set(const struct request *r)
{
	return fns_host_cc_set(r->lab, r->msg->qpn, r->msg->text, r->reply, FNS_REMOTE_TEXT);
}

static int cc_load(const struct request *r)
{
	return fns_host_cc_load(*r->fd, r->msg->text, r->reply, FNS_REMOTE_TEXT);
}

static int cc_list(const struct request *r)
{
	return fns_host_cc_list(r->reply, FNS_REMOTE_TEXT);
}

static int offload_bind(const struct request *r)
{
	return fns_host_offload_bind(r->lab, r->msg->qpn, r->msg->text, r->reply, FNS_REMOTE_TEXT);
}

static int offload_list(const struct request *r)
{
	return fns_host_offload_list(r->lab, r->reply, FNS_REMOTE_TEXT);
}

static int offload_load(const struct request *r)
{
	return fns_host_offload_load_fd(r->lab, r->msg->text, *r->fd, r->reply, FNS_REMOTE_TEXT);
}

/* Each runs in the thread that calls fns_host_remote_event(), and takes the engine's lock. */
static const struct {
	const char *verb;
	int (*fn)(const struct request *r);
} verbs[] = {
	{"capture-start", capture_start},
	{"capture-stop", capture_stop},
	{"cc-list", cc_list},
	{"cc-load", cc_load},
	{"cc-set", cc_set},
	{"fault-clear", fault_clear},
	{"fault-inject", fault_inject},
	{"fault-set", fault_set},
	{"fault-show", fault_show},
	{"offload-bind", offload_bind},
	{"offload-list", offload_list},
	{"offload-load", offload_load},
};

static struct fns_host_remote_cfg cfg;
static int listener = -1;
static int conn[CONNS] = {-1, -1, -1, -1, -1, -1, -1, -1};
static unsigned next_conn;

static void conn_close(unsigned i)
{
	if (conn[i] >= 0)
		close(conn[i]); /* leaves the epoll set with its last descriptor */
	conn[i] = -1;
}

static void conn_accept(void)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
		(cred.uid != geteuid() && cred.uid != 0)) {
		close(fd);
		return;
	}
	conn_close(next_conn);
	if (!cfg.watch(cfg.ctx, fd, 1 + next_conn)) {
		close(fd);
		return;
	}
	conn[next_conn] = fd;
	next_conn = (next_conn + 1) % CONNS;
}

static bool text_ends(const char *s, size_t len)
{
	return memchr(s, '\0', len) != NULL;
}

static int serve(const struct fns_remote_msg *m, int *fd, char *reply)
{
	const struct request r = {.lab = cfg.lab, .msg = m, .fd = fd, .reply = reply};

	if (m->magic != FNS_REMOTE_MAGIC || !text_ends(m->verb, sizeof(m->verb)) ||
		!text_ends(m->text, sizeof(m->text)))
		return -EBADMSG;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(verbs); i++)
		if (strcmp(m->verb, verbs[i].verb) == 0)
			return verbs[i].fn(&r);
	snprintf(reply, FNS_REMOTE_TEXT, "this program's FlexiNS knows no '%s'", m->verb);
	return -EOPNOTSUPP;
}

static void conn_serve(unsigned i)
{
	struct fns_remote_msg m, reply = {.magic = FNS_REMOTE_MAGIC};
	unsigned nfds;
	int fd, rc = fns_fds_recv(conn[i], &m, sizeof(m), &fd, 1, &nfds, MSG_DONTWAIT);

	if (rc == -EAGAIN)
		return;
	if (rc) {
		conn_close(i);
		return;
	}
	reply.result = serve(&m, &fd, reply.text);
	reply.text[FNS_REMOTE_TEXT - 1] = '\0';
	if (fd >= 0)
		close(fd);
	if (send(conn[i], &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(reply))
		conn_close(i);
}

void fns_host_remote_event(uint32_t index)
{
	if (index == 0)
		conn_accept();
	else if (index <= CONNS && conn[index - 1] >= 0)
		conn_serve(index - 1);
}

void fns_host_remote_start(const struct fns_host_remote_cfg *c)
{
	struct sockaddr_un sa;
	socklen_t len = fns_remote_address(&sa, (long)getpid());

	cfg = *c;
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Taken: by a process of this number in another PID namespace. It has the name then. */
	if (listener < 0 || bind(listener, (struct sockaddr *)&sa, len) < 0 ||
		listen(listener, 4) < 0 || !cfg.watch(cfg.ctx, listener, 0)) {
		fns_log(FNS_LOG_INFO, "no control socket, so no `flexins fault --pid`: %s",
			strerror(errno));
		if (listener >= 0)
			close(listener);
		listener = -1;
	}
}

void fns_host_remote_forget(void)
{
	for (unsigned i = 0; i < CONNS; i++)
		conn_close(i);
	if (listener >= 0)
		close(listener);
	listener = -1;
}
