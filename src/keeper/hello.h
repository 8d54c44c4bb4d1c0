/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is FlexiNS: asks other hosts' keepers, remembers what they said, answers their questions
 * (the message: roce/mad.h). A state machine without clock and sockets: time comes in, datagrams go
 * out through `send`. Owned by the keeper's one thread; no allocation, all bounds below.
 *
 * What a host says is only believed in answer to a question of ours, by its 64-bit random
 * transaction id, from the very address that was asked: a request can be forged by anybody and
 * teaches nothing, but that it may be time to ask again.
 */
#ifndef FNS_KEEPER_HELLO_H
#define FNS_KEEPER_HELLO_H

#include "base/rng.h"
#include "roce/gid.h"
#include "roce/mad.h"

#define FNS_KEEPER_HELLO_PEERS  1024u /* addresses remembered; the one not used longest goes */
#define FNS_KEEPER_HELLO_LIMITS 256u  /* of answers, by a hash of the asker's address */
#define FNS_KEEPER_HELLO_TRIES  4u    /* 40, 80, 160, 320 ms: silent after 600 ms */

struct fns_keeper_hello_peer {
	struct fns_gid remote, local;
	uint32_t ifindex; /* of link-local addresses, else 0 */
	uint8_t state;    /* enum fns_hello_state; UNKNOWN: entry unused, or being asked */
	bool used, asking;
	uint8_t tries;
	struct fns_hello hello; /* FLEXINS */
	uint64_t tid;           /* of the last question */
	uint64_t asked_ns, next_ns, expires_ns, used_ns;
};

struct fns_keeper_hellos {
	struct fns_hello own;
	struct fns_rng rng;
	/* Sends one MAD to QP1 of remote; it may be lost. */
	void (*send)(void *ctx, const struct fns_gid *local, const struct fns_gid *remote,
		uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN]);
	void *ctx;
	uint64_t next_ns; /* when to call tick; UINT64_MAX: never */
	unsigned asking;  /* addresses being asked now */
	struct fns_keeper_hello_peer peer[FNS_KEEPER_HELLO_PEERS];
	uint64_t quota_ns[FNS_KEEPER_HELLO_LIMITS]; /* when the asker's quota is whole again */
};

/* Of a zeroed or used table. send and ctx are set by the caller. */
void fns_keeper_hello_init(struct fns_keeper_hellos *h, const struct fns_hello *own, uint64_t seed);
/*
 * What is known of an address; UNKNOWN: it is being asked now, ask again when `asking` has changed.
 * *out is written for FLEXINS only. ifindex counts for link-local addresses.
 * Multicast and zero addresses are SILENT.
 */
enum fns_hello_state fns_keeper_hello_ask(struct fns_keeper_hellos *h, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint64_t now_ns, struct fns_hello *out);
/*
 * A MAD came for QP1. intact: its ICRC is right beyond doubt; else it fits some identification,
 * which is not enough for the word of a FlexiNS host. False: it is no hello.
 */
bool fns_keeper_hello_rx(struct fns_keeper_hellos *h, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN], bool intact,
	uint64_t now_ns);
/* Asks again, or gives up: when next_ns has come. */
void fns_keeper_hello_tick(struct fns_keeper_hellos *h, uint64_t now_ns);
/* The first address known or being asked, from entry *at on, which then names the entry; NULL:
 * none. */
const struct fns_keeper_hello_peer *fns_keeper_hello_next(
	const struct fns_keeper_hellos *h, uint32_t *at);

#endif
