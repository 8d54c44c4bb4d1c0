/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by mem.c, window.c and keytab.c: the key table and what fns_mr and fns_mem hold behind
 * their public face. */
#ifndef FNS_MEM_MEM_PRIV_H
#define FNS_MEM_MEM_PRIV_H

#include "base/list.h"
#include "base/util.h"
#include "mem/mem.h"

/*
 * A key is 24 random bits that name the object and 8 more bits. The first are unique in a table and
 * stay with the object for its life; the low 8 are random too, but a window's owner chooses them
 * anew with each bind (IBTA 10.6.7.2). So the table is ordered by the upper 24 and a new low byte
 * never moves an entry.
 */
#define FNS_KEY_ID(key) ((key) >> 8)

struct mr {
	struct fns_mr mr;     /* first */
	struct fns_list link; /* on fns_mem.objects */
	bool keyed;           /* false: destruction has begun, not in the table any more */
};

struct keyslot {
	uint32_t key; /* 0: empty */
	uint32_t reserved;
	struct mr *mr;
};

/* Open addressing, linear probing, never more than half full. Four slots share a cache line. */
struct keytab {
	struct keyslot *slot;
	uint32_t shift; /* 32 - log2(slots) */
	uint32_t mask;
	uint32_t used;
	uint32_t multiplier;         /* odd, from the seed: chains cannot be aimed at */
	uint64_t secret[2], counter; /* of the key generator */
};

struct fns_mem {
	struct fns_dma *dma;
	struct keytab keys;
	struct fns_list objects;
};

int fns_keytab_init(struct keytab *t, uint64_t seed);
void fns_keytab_fini(struct keytab *t);
/* Gives mr a fresh key. -ENOMEM. Control path. */
int fns_keytab_add(struct keytab *t, struct mr *mr);
void fns_keytab_remove(struct keytab *t, struct mr *mr);
/* Same upper 24 bits, new low byte. */
void fns_keytab_rekey(struct keytab *t, struct mr *mr, uint32_t key);

static inline uint32_t fns_keytab_home(const struct keytab *t, uint32_t key)
{
	return FNS_KEY_ID(key) * t->multiplier >> t->shift;
}

/* The object whose whole key this is, or NULL. */
static inline struct mr *fns_keytab_find(const struct keytab *t, uint32_t key)
{
	for (uint32_t i = fns_keytab_home(t, key);; i = (i + 1) & t->mask) {
		const struct keyslot *s = &t->slot[i];

		/* At least half of the slots are empty, so this ends. Key 0 finds an empty slot and
		 * its NULL. */
		if (s->key == key)
			return s->mr;
		if (s->key == 0)
			return NULL;
	}
}

static inline bool fns_mr_is_window(const struct fns_mr *mr)
{
	return mr->kind != FNS_MR_REGION;
}

/* An object of kind with a key, on m's list. */
int fns_mr_alloc(struct fns_mem *m, struct fns_pd *pd, enum fns_mr_kind kind, struct mr **out);
/* Makes a window unbound; its key stays its name but opens nothing. */
void fns_mw_unbind(struct fns_mr *mw);

#endif
