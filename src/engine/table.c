/* SPDX-License-Identifier: Apache-2.0 */
/* Objects by handle. Control path only, but for get. */
#include <errno.h>
#include <stdlib.h>

#include "engine/engine_priv.h"

static int grow(struct fns_table *t)
{
	uint32_t size = t->size ? t->size * 2 : 64, i;
	struct fns_slot *s;

	if (size > FNS_MAX_OBJECTS)
		return -ENOMEM;
	s = realloc(t->slot, size * sizeof(*s));
	if (!s)
		return -ENOMEM;
	for (i = t->size; i < size; i++)
		s[i] = (struct fns_slot){.next_free = i + 1 < size ? i + 2 : 0};
	t->free = t->size + 1;
	t->slot = s;
	t->size = size;
	return 0;
}

int fns_table_add(struct fns_table *t, void *obj, uint32_t *handle)
{
	struct fns_slot *s;

	if (!t->free && grow(t) < 0)
		return -ENOMEM;
	*handle = t->free;
	s = &t->slot[t->free - 1];
	t->free = s->next_free;
	s->obj = obj;
	*handle |= (uint32_t)s->gen << 24;
	return 0;
}

void *fns_table_get(const struct fns_table *t, uint32_t handle)
{
	uint32_t i = (handle & 0xffffff) - 1; /* handle 0 gives an index out of range */

	if (i >= t->size || t->slot[i].gen != handle >> 24)
		return NULL;
	return t->slot[i].obj;
}

void fns_table_remove(struct fns_table *t, uint32_t handle)
{
	uint32_t i = (handle & 0xffffff) - 1;

	t->slot[i].obj = NULL;
	t->slot[i].gen++;
	t->slot[i].next_free = t->free;
	t->free = i + 1;
}

void fns_table_fini(struct fns_table *t)
{
	free(t->slot);
	*t = (struct fns_table){0};
}
