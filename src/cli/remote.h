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

/*
 * The programs that use FlexiNS here, by process id, each once; prefix: only the one that queue
 * pair numbers which begin so belong to, 0: all. *n may be 0. 0, or an exit code after saying what
 * is wrong.
 */
#define FNS_CLI_PROGRAMS 256u
int fns_cli_remote_programs(unsigned prefix, long pid[static FNS_CLI_PROGRAMS], unsigned *n);

#endif
