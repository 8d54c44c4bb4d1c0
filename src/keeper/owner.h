/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a UDP port, and who has a socket: reads /proc, so that errors can name the culprit. Pure
 * reading; the keeper's thread. */
#ifndef FNS_KEEPER_OWNER_H
#define FNS_KEEPER_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FNS_KEEPER_OWNER_INODES 256

struct fns_keeper_owner {
	unsigned sockets; /* bound to the port, all owners; 0: nobody has it */
	unsigned ours;    /* of those, of the asked uid */
	uid_t uid;        /* of the first one that is not ours, else ours */
	unsigned n_inodes;
	uint64_t inode[FNS_KEEPER_OWNER_INODES]; /* of the sockets of that uid, as many as fit */
	pid_t pid;                               /* who holds one of them, 0: could not be seen */
	char comm[16];
};

/* Adds what the text of /proc/net/udp or udp6 says about a port. The text need not be well-formed.
 */
void fns_keeper_owner_parse(
	struct fns_keeper_owner *o, const char *text, uint16_t port, uid_t our_uid);
/* Both tables, then the process. */
void fns_keeper_owner_find(struct fns_keeper_owner *o, uint16_t port, uid_t our_uid);
/* A process other than not_pid that has a descriptor of one of these, 0: none seen. Walks /proc:
 * milliseconds. */
pid_t fns_keeper_owner_of_sockets(const uint64_t *inode, unsigned n, pid_t not_pid);
/* Sets seen[i] where any process other than not_pid has socket i, by one walk for all. */
void fns_keeper_owner_see_sockets(const uint64_t *inode, bool *seen, unsigned n, pid_t not_pid);
/* The process's name, "" if it is gone. */
void fns_keeper_owner_comm(pid_t pid, char comm[16]);
/* True if uid has a keeper listening for this port. */
bool fns_keeper_owner_is_keeper(uid_t uid, uint16_t port);
/* The sentence for a port that is taken. */
void fns_keeper_owner_explain(
	const struct fns_keeper_owner *o, uint16_t port, char *text, size_t len);

#endif
