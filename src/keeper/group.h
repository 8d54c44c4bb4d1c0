/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 256 UDP sockets of one port, as one SO_REUSEPORT group steered by BTH DestQP[23:16], and the
 * vault that keeps the group whole when the keeper dies. Owned by the keeper's one thread; no
 * allocation.
 *
 * The vault is a socketpair whose queue holds all sockets as SCM_RIGHTS messages; the sending end
 * is closed at once. A successor reads it with MSG_PEEK, which duplicates the descriptors and
 * leaves the queue as it is: there is no moment at which a kill would lose one. What a slot's state
 * is, the socket itself tells: unleased ones carry the drop-all filter.
 */
#ifndef FNS_KEEPER_GROUP_H
#define FNS_KEEPER_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/proto.h"

struct fns_keeper_group {
	int sock[FNS_KEEPER_SLOTS]; /* index == order of binding == what the program returns */
	int vault;
	uint16_t port;
	bool ipv6, gro;
};

struct fns_keeper_group_opts {
	uint16_t port;
	bool gro;
	int rcvbuf; /* as SO_RCVBUF takes it; 0: 4 MiB, or what net.core.rmem_max allows of it */
};

/* -1 everywhere, so that close is harmless. */
void fns_keeper_group_init(struct fns_keeper_group *g);
/* Binds everything anew. 0; -EADDRINUSE if anybody has the port; other negative errno. text says
 * what failed. */
int fns_keeper_group_create(
	struct fns_keeper_group *g, const struct fns_keeper_group_opts *o, char *text, size_t len);
/* Takes over the group in a vault, which becomes the group's on success. 0; -EINVAL if it holds no
 * such group; ... */
int fns_keeper_group_adopt(struct fns_keeper_group *g, const struct fns_keeper_group_opts *o,
	int vault, char *text, size_t len);
void fns_keeper_group_close(struct fns_keeper_group *g);

/* Lets packets in (after emptying the queue), and sets UDP_GRO as the group wants it. 0 or negative
 * errno. */
int fns_keeper_group_open_slot(struct fns_keeper_group *g, unsigned prefix);
/* Drops packets from now on and empties the queue. Returns the packets thrown away or negative
 * errno. */
int fns_keeper_group_shut_slot(struct fns_keeper_group *g, unsigned prefix);
/* True while the drop-all filter is on: nobody's slot. */
bool fns_keeper_group_slot_is_shut(const struct fns_keeper_group *g, unsigned prefix);
/* Reads and throws away what waits, at most max packets. Returns the number. */
int fns_keeper_group_drain(struct fns_keeper_group *g, unsigned prefix, int max);
/* True if fd is this slot's very socket, by any descriptor: what a client must show to get its slot
 * back. */
bool fns_keeper_group_slot_is(const struct fns_keeper_group *g, unsigned prefix, int fd);

#endif
