/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion controls in running programs: what `flexins cc` and `flexins set` have in common. */
#ifndef FNS_CLI_CC_H
#define FNS_CLI_CC_H

#include "cc/cc.h"

/*
 * A choice as the user wrote it, judged here: "NAME:..." of a built-in, or "FILE:...", in which
 * case *fd is the file for fns_cli_cc_send() (else -1). Names of what only programs have loaded
 * pass unjudged: text is then as it was. text: the choice by name. 0, or an exit code after saying
 * what is wrong.
 */
int fns_cli_cc_read(const char *option, const char *given, char text[static 512], int *fd,
	char file[static 256]);
/* Has the program load the file. 0, or an exit code after saying what is wrong. quiet: says nothing
 * about success. */
int fns_cli_cc_send(long pid, int fd, const char *file, bool quiet);

#endif
