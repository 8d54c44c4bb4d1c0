/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a congestion control is for, as users write it: in front of its name, "peer=192.0.2.7:" or
 * "peer=[2001:db8::7]:" or "iface=eth0:". Pure. Used by the command line and by src/host.
 */
#ifndef FNS_CC_RULE_H
#define FNS_CC_RULE_H

#include "cc/cc.h"
#include "roce/gid.h"

#define FNS_CC_IFACE 16u

struct fns_cc_who { /* neither: everybody */
	bool by_peer;
	struct fns_gid peer;
	char iface[FNS_CC_IFACE];
};

/* What follows it in text, the choice; NULL: err says what is wrong. */
const char *fns_cc_who_parse(const char *text, struct fns_cc_who *out, char *err, size_t errlen);

/* Takes one rule off the front of a list, "rule;rule;...": false: there is none left. rule: at
 * least as long as the list. */
bool fns_cc_rule_next(const char **list, char *rule, size_t len);

/* Does a choice name a file to load, one with a '/' in its name? How long that name is; else 0. */
size_t fns_cc_path_length(const char *text);

#endif
