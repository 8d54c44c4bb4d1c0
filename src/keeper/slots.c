/* SPDX-License-Identifier: Apache-2.0 */
/* The table of slots. Pure; see slots.h. */
#include "keeper/slots.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static bool waits(enum fns_keeper_slot_state st)
{
	return st == FNS_KEEPER_ORPHANED || st == FNS_KEEPER_QUARANTINED;
}

static struct fns_keeper_slot *enter(
	struct fns_keeper_slots *s, unsigned prefix, enum fns_keeper_slot_state st, uint64_t now_ns)
{
	struct fns_keeper_slot *e = &s->slot[prefix];

	fns_assert(prefix < FNS_KEEPER_SLOTS && e->state != FNS_KEEPER_OWN);
	s->held += (st == FNS_KEEPER_HELD) - (e->state == FNS_KEEPER_HELD);
	s->waiting += (unsigned)waits(st) - (unsigned)waits(e->state);
	e->state = st;
	e->since_ns = now_ns;
	e->until_ns = now_ns + s->quarantine_ns;
	e->rounds = 0;
	return e;
}

void fns_keeper_slots_init(struct fns_keeper_slots *s, uint64_t quarantine_ns, uint64_t now_ns)
{
	memset(s, 0, sizeof(*s));
	s->quarantine_ns = quarantine_ns;
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++)
		s->slot[i].since_ns = now_ns;
	s->slot[FNS_KEEPER_SLOT_CM].state = FNS_KEEPER_OWN;
	s->slot[FNS_KEEPER_SLOT_MC].state = FNS_KEEPER_OWN;
}

int fns_keeper_slots_pick(const struct fns_keeper_slots *s)
{
	int best = -ENOSPC;

	for (int i = 0; i < FNS_KEEPER_SLOTS; i++) {
		const struct fns_keeper_slot *e = &s->slot[i],
					     *b = best < 0 ? NULL : &s->slot[best];

		if (e->state != FNS_KEEPER_FREE)
			continue;
		if (!e->used)
			return i;
		if (!b || e->since_ns < b->since_ns)
			best = i;
	}
	return best;
}

void fns_keeper_slots_hold(struct fns_keeper_slots *s, unsigned prefix, pid_t pid, uid_t uid,
	const char *comm, uint64_t now_ns)
{
	struct fns_keeper_slot *e = enter(s, prefix, FNS_KEEPER_HELD, now_ns);

	e->used = true;
	e->pid = pid;
	e->uid = uid;
	snprintf(e->comm, sizeof(e->comm), "%s", comm);
}

void fns_keeper_slots_free(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns)
{
	enter(s, prefix, FNS_KEEPER_FREE, now_ns);
}

void fns_keeper_slots_quarantine(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns)
{
	enter(s, prefix, FNS_KEEPER_QUARANTINED, now_ns);
}

void fns_keeper_slots_orphan(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns)
{
	enter(s, prefix, FNS_KEEPER_ORPHANED, now_ns)->used = true;
}

int fns_keeper_slots_due(const struct fns_keeper_slots *s, unsigned from, uint64_t now_ns)
{
	for (unsigned i = from; i < FNS_KEEPER_SLOTS; i++)
		if (waits(s->slot[i].state) && s->slot[i].until_ns <= now_ns)
			return (int)i;
	return -1;
}

bool fns_keeper_slots_renew(struct fns_keeper_slots *s, unsigned prefix, uint64_t now_ns)
{
	struct fns_keeper_slot *e = &s->slot[prefix];

	fns_assert(waits(e->state));
	if (e->rounds >= FNS_KEEPER_ROUNDS_MAX)
		return false;
	e->rounds++;
	e->until_ns = now_ns + s->quarantine_ns;
	return true;
}

uint64_t fns_keeper_slots_next_ns(const struct fns_keeper_slots *s)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; s->waiting && i < FNS_KEEPER_SLOTS; i++)
		if (waits(s->slot[i].state) && s->slot[i].until_ns < next)
			next = s->slot[i].until_ns;
	return next;
}
