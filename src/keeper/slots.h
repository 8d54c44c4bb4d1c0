/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which slot is whose, and which one to lease next. Pure bookkeeping: no system call, the time is
 * an argument. Owned by server.c.
 *
 *   FREE -> HELD -> FREE (released) | QUARANTINED (holder died) -> FREE
 *   a new keeper that adopts a vault finds ORPHANED slots: -> HELD (holder came back) | QUARANTINED
 * (it did not)
 */
#ifndef FNS_KEEPER_SLOTS_H
#define FNS_KEEPER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/client.h"
#include "keeper/proto.h"

/* How often a slot's quarantine is renewed while its socket is seen with some process; then it ends
 * regardless. */
#define FNS_KEEPER_ROUNDS_MAX 12

struct fns_keeper_slot {
	enum fns_keeper_slot_state state;
	bool used;         /* was leased before */
	unsigned rounds;   /* renewals so far */
	uint64_t since_ns; /* last change of state */
	uint64_t until_ns; /* ORPHANED, QUARANTINED: when to look again */
	pid_t pid;
	uid_t uid;
	char comm[16];
};

struct fns_keeper_slots {
	struct fns_keeper_slot slot[FNS_KEEPER_SLOTS];
	uint64_t quarantine_ns;
	unsigned held, waiting; /* waiting: orphaned or quarantined */
};

void fns_keeper_slots_init(struct fns_keeper_slots *s, uint64_t quarantine_ns, uint64_t now_ns);
/* The slot to lease next: never used before longest idle. -ENOSPC: none is free. */
int fns_keeper_slots_pick(const struct fns_keeper_slots *s);
void fns_keeper_slots_hold(struct fns_keeper_slots *s, unsigned prefix, pid_t pid, uid_t uid,
	const char *comm, uint64_t now_ns);
void fns_keeper_slots_free(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns);
void fns_keeper_slots_quarantine(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns);
void fns_keeper_slots_orphan(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns);
/* The first waiting slot at or after `from` whose time is up, or -1. */
int fns_keeper_slots_due(const struct fns_keeper_slots *s, unsigned from, uint64_t now_ns);
/* One more round for a waiting slot; false when it has had them all. */
bool fns_keeper_slots_renew(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns);
/* When the next waiting slot is due; UINT64_MAX: never. */
uint64_t fns_keeper_slots_next_ns(const struct fns_keeper_slots *s);

#endif
