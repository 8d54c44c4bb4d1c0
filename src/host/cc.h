/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Congestion controls of a running engine, from outside: loading and setting them by the control
 * socket, and rules at the start. Each call that changes the engine takes its lock.
 */
#ifndef FNS_HOST_CC_H
#define FNS_HOST_CC_H

#include "host/lab.h"

/* FLEXINS_CC_RULES, before anybody else knows the engine. False: why is in err. */
bool fns_host_cc_rules(struct fns_engine *e, char *err, size_t errlen);

/* qpn 0: whom the text says ("peer=...:NAME", cc/rule.h). NAME may not be a file. 0, -EBUSY: again
 * after the next advance, or negative errno; say is for the user. */
int fns_host_cc_set(struct fns_lab *l, uint32_t qpn, const char *text, char *say, size_t len);
/* fd: a sealed memory file (cc/load.h), which stays the caller's; name: for people. */
int fns_host_cc_load(int fd, const char *name, char *say, size_t len);
/* What is loaded, a line each. */
int fns_host_cc_list(char *say, size_t len);

#endif
