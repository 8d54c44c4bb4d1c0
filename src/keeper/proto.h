/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the keeper and its clients say to each other: fixed-size messages over SOCK_SEQPACKET on an
 * abstract unix socket, one request, one reply, never anything unasked. Descriptors travel beside a
 * message as SCM_RIGHTS.
 *
 * The name is "\0flexins-keeper-<uid>-<port>"; the kernel scopes abstract names to the network
 * namespace, which is just the scope of the UDP port. Anybody can squat a name, so both sides check
 * the other's SO_PEERCRED uid before they believe a word, and every received field is hostile
 * input: copied once by recvmsg, validated in proto.c, then used.
 *
 *   request                 descriptors sent              reply (descriptors)
 *   LEASE                   [stats]                       LEASED (socket, vault) | ERROR
 *   REATTACH prefix         socket, vault, [stats]        LEASED () | ERROR
 *   RELEASE                 -                             none; the client closes the connection
 *   STATUS prefix           -                             SLOT ([stats]): first slot >= prefix that
 *                                                         is not free; or END
 *   HELLO hello             -                             PEER hello, as soon as it is known what
 *                                                         the address is: at once, or within a
 *                                                         second; up to 8 may wait per connection
 *   PEERS prefix            -                             PEER prefix hello: first address >=
 * prefix that was asked; or END
 */
#ifndef FNS_KEEPER_PROTO_H
#define FNS_KEEPER_PROTO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "roce/mad.h"

#define FNS_KEEPER_MAGIC   0x464e534bu /* "FNSK" */
#define FNS_KEEPER_VERSION 2
#define FNS_KEEPER_SLOTS   256
#define FNS_KEEPER_SLOT_CM 0   /* the keeper's own: QP1, and packets too short to steer */
#define FNS_KEEPER_SLOT_MC 255 /* multicast packets carry QPN 0xFFFFFF */
#define FNS_KEEPER_FDS_MAX 3   /* descriptors beside one message */

enum fns_keeper_msg_type {
	FNS_KEEPER_LEASE = 1,
	FNS_KEEPER_REATTACH,
	FNS_KEEPER_RELEASE,
	FNS_KEEPER_STATUS,
	FNS_KEEPER_HELLO,
	FNS_KEEPER_PEERS,
	FNS_KEEPER_LEASED = 16,
	FNS_KEEPER_SLOT,
	FNS_KEEPER_END,
	FNS_KEEPER_ERROR,
	FNS_KEEPER_PEER,
};

#define FNS_KEEPER_F_GRO  1u /* leased sockets have UDP_GRO set */
#define FNS_KEEPER_F_IPV6 2u /* sockets are AF_INET6 dual stack; else AF_INET */

/* HELLO, PEER: an address, and what it is. */
struct fns_keeper_hello_msg {
	uint8_t local[16], remote[16];
	uint32_t ifindex; /* of link-local addresses */
	uint32_t state;   /* enum fns_hello_state; from here on in replies only */
	uint32_t ext, icrc, rcvbuf;
	uint32_t version;
	uint64_t generation;
};

struct fns_keeper_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	int32_t error; /* ERROR: negative errno */
	uint32_t prefix;
	uint32_t flags;
	uint32_t port;
	uint32_t pid, uid, state; /* SLOT; in LEASED pid is the keeper's */
	uint32_t reserved;
	uint64_t since_ns; /* SLOT: CLOCK_MONOTONIC of the last change of state */
	uint64_t drops;    /* END: packets for nobody, read and dropped on slot 0 */
	char comm[16];     /* SLOT */
	union {
		/* ERROR: one clear English sentence, for the user. LEASED: flexinsd options of an
		 * equal keeper */
		char text[176];
		struct fns_keeper_hello_msg hello;
	};
};

_Static_assert(
	sizeof(struct fns_keeper_msg) == 248, "messages have one size on every architecture");

void fns_keeper_msg_init(struct fns_keeper_msg *m, enum fns_keeper_msg_type type);
/*
 * Sends one message with nfds descriptors, which stay the caller's. 0 or negative errno; -EAGAIN
 * where flags has MSG_DONTWAIT and the peer does not read. Never raises SIGPIPE. Any thread.
 */
int fns_keeper_msg_send(
	int sock, const struct fns_keeper_msg *m, const int *fds, unsigned nfds, int flags);
/*
 * Receives one message and its descriptors (close-on-exec), which become the caller's. 0;
 * -ECONNRESET at the end of the connection; -EPROTO for anything that is not a well-formed message
 * of this version (descriptors are closed); or another negative errno. Strings come out
 * NUL-terminated.
 */
int fns_keeper_msg_recv(
	int sock, struct fns_keeper_msg *m, int fds[FNS_KEEPER_FDS_MAX], unsigned *nfds, int flags);

/* The abstract address of uid's keeper for a port. Returns the address length. */
socklen_t fns_keeper_addr(struct sockaddr_un *sa, uid_t uid, uint16_t port);

#endif
