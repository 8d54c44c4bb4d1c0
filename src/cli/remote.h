/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to a running program: used by the subcommands that change one. One thread. */
#ifndef FNS_CLI_REMOTE_H
#define FNS_CLI_REMOTE_H

#include <stdint.h>

#include "pipe/remote.h"

/* A process id as the user wrote it. 0, or an exit code after saying what is wrong. */
int fns_cli_remote_pid(const char *text, long *pid);
/* A queue pair number likewise. */
int fns_cli_remote_qpn(const char *text, uint32_t *qpn);
/*
 * Sends the request (magic is filled in), with descriptor fd if it is not -1, and waits for the
 * reply, which takes the request's place; tries again for a second while the program says that it
 * cannot do it at the moment. 0, or an exit code after saying what is wrong.
 */
int fns_cli_remote_call(long pid, struct fns_remote_msg *msg, int fd);

#endif
