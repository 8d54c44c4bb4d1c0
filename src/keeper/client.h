/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of the keeper, linked into libibverbs.so.1 and the command line tool. A process
 * leases one slot (a queue pair number prefix and the UDP socket that the kernel steers this
 * prefix's packets to) for all its contexts.
 *
 * Threads: no global state. A struct fns_lease is used by one thread at a time; different leases
 * are independent. Every call may block up to its time limit and none of them is for the datapath.
 * No signal reaches the application by them (no SIGPIPE, no SIGCHLD), and no child is left that it
 * could reap.
 */
#ifndef FNS_KEEPER_CLIENT_H
#define FNS_KEEPER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "roce/gid.h"
#include "roce/mad.h"

#define FNS_KEEPER_ERR_LEN 256 /* what an error buffer should hold */

/* A UDP port, 1 to 65535. 0, or -EINVAL and *port as it was. */
int fns_keeper_port_parse(const char *text, uint16_t *port);
/* FLEXINS_PORT, which is RoCEv2's where it is not set; -EINVAL where it is no port. */
int fns_keeper_port_from_env(uint16_t *port);

struct fns_keeper_opts {
	const char *daemon_dir; /* where to look for flexinsd after FLEXINS_DAEMON and before PATH;
				   may be NULL */
	uint16_t port;          /* 0: FLEXINS_PORT, else 4791 */
	int stats_fd;           /* memfd shown by `flexins status`, -1: none. Stays the caller's */
	bool no_start;          /* -ECONNREFUSED where no keeper runs, instead of starting one */
	unsigned timeout_ms;    /* for the whole call; 0: 10 s */
};

/*
 * The socket: bound to the port, non-blocking, close-on-exec, AF_INET6 dual stack (or AF_INET where
 * the kernel has no IPv6: see ipv6). Receive from it only. Never connect(), shut down, bind or
 * transmit on it (transmit sockets serve one destination prefix each), and leave its filters alone:
 * it is a member of a group that all processes share. Set: UDP_GRO if gro; IPV6_RECVPKTINFO and
 * IPV6_RECVTCLASS (ipv6) or IP_PKTINFO; IP_RECVTOS. An IPv4 packet on the dual-stack socket brings
 * IPV6_PKTINFO with a mapped address (no IP_PKTINFO), and IP_TOS; an IPv6 packet brings
 * IPV6_TCLASS.
 */
struct fns_lease {
	uint8_t prefix; /* 1..254: QPN = prefix << 16 | index */
	bool gro;
	bool ipv6;
	uint16_t port;
	int sock;  /* see above */
	int vault; /* keeps the group of sockets alive when the keeper dies; never read it */
	int conn;  /* to the keeper. Readable: take what it said by fns_keeper_peer_take(),
		      which may be that it died; then call fns_keeper_reconnect() */
	int stats_fd;
	uid_t keeper_uid;
	pid_t keeper_pid;
	char *daemon_dir;
	char restart[176]; /* options of flexinsd for a keeper like this one */
};

/*
 * Leases a slot, starting the keeper if nobody listens. 0, or negative errno with a sentence for
 * the user in err. *out is written only on success and is returned by fns_keeper_release() or
 * _forget().
 */
int fns_keeper_lease(
	const struct fns_keeper_opts *opts, struct fns_lease *out, char *err, size_t errlen);
/* Gives the slot back at once and closes all descriptors. A zeroed or released lease must not be
 * passed. */
void fns_keeper_release(struct fns_lease *l);
/* Closes the descriptors without a word: for the child of a fork, whose parent keeps the lease.
 * Async-signal-safe. */
void fns_keeper_forget(struct fns_lease *l);
/*
 * To be called when conn becomes readable. Nothing to do (0, nothing changed) if the keeper is
 * alive; else connects to the new keeper, or starts it and hands it the vault, and registers the
 * lease there again. The socket, the prefix and the packets in flight are untouched throughout, so
 * the datapath need not know. On success conn is a new description under the old number: an epoll
 * set has lost it, add it again. Negative errno with text in err: -ESTALE when the slot is lost
 * (the process must give up its device); anything else leaves the lease usable, try again after a
 * second.
 */
int fns_keeper_reconnect(struct fns_lease *l, char *err, size_t errlen);

/* What the keeper knows of an address. */
struct fns_keeper_peer_info {
	struct fns_gid local, remote;
	uint32_t ifindex;
	enum fns_hello_state state; /* UNKNOWN: being asked; by status only */
	struct fns_hello hello;     /* FLEXINS */
};

/*
 * Asks the keeper what host is at remote, as seen from the address local (ifindex: looked at for
 * link-local addresses). The answer comes within a second or so, in any order, to
 * fns_keeper_peer_take(); FNS_KEEPER_PEER_ASKS may be outstanding. Never blocks: -EAGAIN, ask
 * again later; -ECONNRESET: the keeper has died, and all answers outstanding with it.
 */
#define FNS_KEEPER_PEER_ASKS 8u
int fns_keeper_peer_ask(const struct fns_lease *l, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex);
/* When conn is readable. Never blocks. 0: *out is an answer; -EAGAIN: there is none; -EBUSY: one
 * request was refused; anything else: the keeper has died. */
int fns_keeper_peer_take(const struct fns_lease *l, struct fns_keeper_peer_info *out);

enum fns_keeper_slot_state {
	FNS_KEEPER_FREE,        /* never reported by status */
	FNS_KEEPER_HELD,        /* leased */
	FNS_KEEPER_ORPHANED,    /* leased by an earlier keeper, its holder has not come back yet */
	FNS_KEEPER_QUARANTINED, /* drained; its holder died, and somebody may still have the socket
				 */
	FNS_KEEPER_OWN,         /* slot 0 and slot 255 */
};

struct fns_keeper_slot_info {
	uint8_t prefix;
	enum fns_keeper_slot_state state;
	pid_t pid;
	uid_t uid;
	char comm[16];
	uint64_t since_ns; /* CLOCK_MONOTONIC */
	int stats_fd; /* -1: none. Closed after the callback unless it sets this to -1 to keep it.
		       * The file was made by another process, which may truncate it: pread() it, or
		       * map it only if it has F_SEAL_SHRINK */
};

struct fns_keeper_info {
	pid_t pid;
	uid_t uid;
	uint16_t port;
	bool gro, ipv6;
	uint64_t unclaimed; /* packets that reached slot 0 and were dropped */
};

/*
 * Calls fn for every slot that is not free. Starts nothing: -ECONNREFUSED where no keeper runs.
 * info may be NULL. Ignores opts->stats_fd. A non-zero return of fn ends the walk and is returned.
 */
int fns_keeper_status(const struct fns_keeper_opts *opts,
	int (*fn)(struct fns_keeper_slot_info *slot, void *arg), void *arg,
	struct fns_keeper_info *info, char *err, size_t errlen);

/* The same for the addresses that the keeper has asked, FNS_HELLO_* of each. */
int fns_keeper_peers(const struct fns_keeper_opts *opts,
	int (*fn)(const struct fns_keeper_peer_info *peer, void *arg), void *arg, char *err,
	size_t errlen);

#endif
