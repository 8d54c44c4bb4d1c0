/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list. The owner of the head owns the links; not thread-safe. */
#ifndef FNS_BASE_LIST_H
#define FNS_BASE_LIST_H

#include "base/util.h"

struct fns_list {
	struct fns_list *next, *prev;
};

static inline void fns_list_init(struct fns_list *l)
{
	l->next = l->prev = l;
}

/* True for an empty head, and for a node that is on no list (nodes are initialised and removed with
 * init). */
static inline bool fns_list_empty(const struct fns_list *l)
{
	return l->next == l;
}

static inline void fns_list_push_back(struct fns_list *head, struct fns_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void fns_list_push_front(struct fns_list *head, struct fns_list *node)
{
	fns_list_push_back(head->next, node);
}

static inline void fns_list_remove(struct fns_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	fns_list_init(node);
}

static inline struct fns_list *fns_list_pop_front(struct fns_list *head)
{
	struct fns_list *n = head->next;

	if (n == head)
		return NULL;
	fns_list_remove(n);
	return n;
}

#define fns_list_for_each(it, head) for ((it) = (head)->next; (it) != (head); (it) = (it)->next)
#define fns_list_for_each_safe(it, tmp, head)                                                      \
	for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head);                              \
		(it) = (tmp), (tmp) = (it)->next)

#endif
