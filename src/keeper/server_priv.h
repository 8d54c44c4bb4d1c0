/* SPDX-License-Identifier: Apache-2.0 */
/* What server.c (the loop, the group, the slots over time) and conn.c (clients) share. One thread.
 */
#ifndef FNS_KEEPER_SERVER_PRIV_H
#define FNS_KEEPER_SERVER_PRIV_H

#include "keeper/group.h"
#include "keeper/hello.h"
#include "keeper/proto.h"
#include "keeper/server.h"
#include "keeper/slots.h"

#define FNS_KEEPER_CONNS_MAX 512
#define FNS_KEEPER_ASKS_MAX  8 /* HELLO requests of a connection that wait */

/* What an epoll event is about: tag in bits 63..56, generation in 55..32, index in 31..0. */
enum fns_keeper_tag {
	FNS_KEEPER_TAG_STOP,
	FNS_KEEPER_TAG_LISTEN,
	FNS_KEEPER_TAG_SLOT0,
	FNS_KEEPER_TAG_CONN,
	FNS_KEEPER_TAG_PIDFD
};

struct fns_keeper_conn {
	int fd, pidfd; /* fd -1: entry unused */
	int stats_fd;
	int prefix; /* -1: no lease */
	uint32_t gen;
	pid_t pid;
	uid_t uid;
	bool may_lease;
	bool deferred;      /* its LEASE waits for the group */
	int deferred_stats; /* ... and its descriptor */
	unsigned n_asks;
	struct fns_keeper_ask {
		struct fns_gid local, remote;
		uint32_t ifindex;
	} ask[FNS_KEEPER_ASKS_MAX];
	uint64_t heard_ns;
};

struct fns_keeper_server {
	struct fns_keeper_config cfg;
	struct fns_keeper_group group;
	struct fns_keeper_slots slots;
	struct fns_keeper_conn conn[FNS_KEEPER_CONNS_MAX];
	unsigned n_conns;
	uint32_t gen;
	int epfd, listener;
	int spare; /* given up for a moment to refuse a connection when descriptors have run out */
	bool up;   /* the group is there */
	bool served; /* had a client */
	uint64_t unclaimed, busy_ns;
	unsigned n_asks; /* HELLO requests that wait, of all connections */
	struct fns_keeper_hellos hellos;
};

static inline uint64_t fns_keeper_event_id(enum fns_keeper_tag tag, uint32_t gen, uint32_t index)
{
	return (uint64_t)tag << 56 | (uint64_t)(gen & 0xffffff) << 32 | index;
}

/* server.c */
int fns_keeper_server_watch(struct fns_keeper_server *s, int fd, uint64_t id);
/* Takes over the group in this vault and brings the server up. On success the vault is the
 * server's. */
int fns_keeper_server_adopt(
	struct fns_keeper_server *s, int vault, uint64_t now, char *text, size_t len);
/* The holder of a slot is gone without releasing: nobody may receive on it until we are sure that
 * nobody has its socket. */
void fns_keeper_server_reclaim(struct fns_keeper_server *s, unsigned prefix, uint64_t now);

/* conn.c */
void fns_keeper_conn_accept(struct fns_keeper_server *s, uint64_t now);
void fns_keeper_conn_read(struct fns_keeper_server *s, struct fns_keeper_conn *c, uint64_t now);
/* Ends a connection and its lease; released: by the client's own word. */
void fns_keeper_conn_close(
	struct fns_keeper_server *s, struct fns_keeper_conn *c, bool released, uint64_t now);
/* Answers the requests that waited for the group. */
void fns_keeper_conns_resume(struct fns_keeper_server *s, uint64_t now);
/* Answers the HELLO requests whose addresses are known by now. */
void fns_keeper_conns_tell(struct fns_keeper_server *s, uint64_t now);
void fns_keeper_conns_drop_idle(struct fns_keeper_server *s, uint64_t now);

#endif
