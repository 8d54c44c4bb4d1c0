/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer wheel. Eleven levels of 64 slots read the 64-bit time as base-64 digits of nanoseconds:
 * a timer lies at the level of the highest digit in which its deadline differs from the cursor, in
 * the slot of that digit. Hence
 *  - all timers of a level come before all timers of the levels above it, and slots of a level are
 * in order of time;
 *  - a slot of level 0 is one nanosecond;
 *  - empty time costs nothing, however long: bitmaps lead to the next slot that is not empty;
 *  - timers of the same deadline always share a list and stand there in the order in which they
 * were set: when the cursor enters a slot, its timers are dealt to lower levels from the front,
 * before anything can be set into those. Deadlines at or before the time of the last run would be
 * behind the cursor: they wait in the `late` list, sorted by the next run. Owned and called by one
 * thread: an engine's, a simulator's.
 */
#include "base/timer.h"

#include <stdlib.h>

#include "base/assert.h"

#define LEVEL_BITS 6
#define SLOTS      (1u << LEVEL_BITS)
#define LEVELS     11 /* 11 * 6 >= 64 bits */

struct slot {
	struct fns_list list;
};

struct fns_timer_wheel {
	uint64_t cursor_ns; /* levels are relative to this; <= floor_ns */
	uint64_t floor_ns;  /* latest time ever run to: deadlines up to here are late */
	uint64_t seq;
	uint64_t next_ns; /* the earliest deadline, if next_known */
	bool next_known;
	bool running;
	bool late_unsorted;
	uint32_t levels; /* bit l: occupied[l] != 0 */
	struct fns_list late;
	uint64_t occupied[LEVELS]; /* bit s: slot s holds a timer */
	uint64_t unsorted[LEVELS]; /* bit s: slot s may not be in order of deadline */
	struct fns_list slots[LEVELS][SLOTS];
};

static struct fns_timer *timer_of(struct fns_list *n)
{
	return fns_container_of(n, struct fns_timer, node);
}

struct fns_timer_wheel *fns_timer_wheel_create(uint64_t start_ns)
{
	struct fns_timer_wheel *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->cursor_ns = w->floor_ns = start_ns;
	w->next_ns = FNS_TIMER_NEVER;
	w->next_known = true;
	fns_list_init(&w->late);
	for (unsigned l = 0; l < LEVELS; l++)
		for (unsigned s = 0; s < SLOTS; s++)
			fns_list_init(&w->slots[l][s]);
	return w;
}

void fns_timer_wheel_destroy(struct fns_timer_wheel *w)
{
	free(w);
}

void fns_timer_init(struct fns_timer *t, fns_timer_fn fn)
{
	fns_list_init(&t->node);
	t->deadline_ns = FNS_TIMER_NEVER;
	t->seq = 0;
	t->fn = fn;
}

/* The level of the highest digit in which a and b differ; 0 when they do not. */
static unsigned level_between(uint64_t a, uint64_t b)
{
	return (63u - (unsigned)__builtin_clzll((a ^ b) | 1)) / LEVEL_BITS;
}

static unsigned digit(uint64_t t_ns, unsigned level)
{
	return (unsigned)(t_ns >> (level * LEVEL_BITS)) & (SLOTS - 1);
}

/* Puts t at the end of its slot. deadline >= cursor. */
static void slot_insert(struct fns_timer_wheel *w, struct fns_timer *t)
{
	unsigned l = level_between(w->cursor_ns, t->deadline_ns);
	unsigned s = digit(t->deadline_ns, l);
	struct fns_list *head = &w->slots[l][s];
	uint64_t bit = 1ull << s;

	if (fns_list_empty(head))
		w->unsorted[l] &= ~bit;
	else if (t->deadline_ns < timer_of(head->prev)->deadline_ns)
		w->unsorted[l] |= bit;
	w->occupied[l] |= bit;
	w->levels |= 1u << l;
	fns_list_push_back(head, &t->node);
}

static void slot_mark_empty(struct fns_timer_wheel *w, unsigned l, unsigned s)
{
	w->occupied[l] &= ~(1ull << s);
	if (w->occupied[l] == 0)
		w->levels &= ~(1u << l);
}

/* Takes t off whatever list it is on. Its level may have been counted from an older cursor, so the
 * list itself is asked. */
static void timer_unlink(struct fns_timer_wheel *w, struct fns_timer *t)
{
	struct fns_list *head = t->node.next;
	bool last = head == t->node.prev; /* alone with the head of its list */

	fns_list_remove(&t->node);
	if (t->deadline_ns == w->next_ns)
		w->next_known = false;
	t->deadline_ns = FNS_TIMER_NEVER;
	if (last && head != &w->late) {
		size_t i = (size_t)(head - &w->slots[0][0]);

		slot_mark_empty(w, (unsigned)(i / SLOTS), (unsigned)(i % SLOTS));
	}
}

void fns_timer_set(struct fns_timer_wheel *w, struct fns_timer *t, uint64_t deadline_ns)
{
	fns_assert(t->fn != NULL);
	if (fns_timer_is_set(t))
		timer_unlink(w, t);
	if (deadline_ns == FNS_TIMER_NEVER)
		return;
	t->deadline_ns = deadline_ns;
	t->seq = w->seq++;
	if (w->next_known && deadline_ns < w->next_ns)
		w->next_ns = deadline_ns;
	if (deadline_ns > w->floor_ns) {
		slot_insert(w, t);
		return;
	}
	if (!fns_list_empty(&w->late) && deadline_ns < timer_of(w->late.prev)->deadline_ns)
		w->late_unsorted = true;
	fns_list_push_back(&w->late, &t->node);
}

void fns_timer_cancel(struct fns_timer_wheel *w, struct fns_timer *t)
{
	if (fns_timer_is_set(t))
		timer_unlink(w, t);
}

static bool timer_before(const struct fns_timer *a, const struct fns_timer *b)
{
	return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->seq < b->seq;
}

/* Merges the sorted neighbours [first, mid) and [mid, last) in place by moving nodes of the second
 * forward. */
static void run_merge(struct fns_list *first, struct fns_list *mid, struct fns_list *last)
{
	while (first != mid && mid != last) {
		struct fns_list *n = mid;

		if (!timer_before(timer_of(mid), timer_of(first))) {
			first = first->next;
			continue;
		}
		mid = mid->next;
		fns_list_remove(n);
		fns_list_push_back(first, n);
	}
}

/* The end of the run of `width` nodes, or of fewer, that starts at n. */
static struct fns_list *run_end(struct fns_list *head, struct fns_list *n, size_t width)
{
	while (n != head && width-- > 0)
		n = n->next;
	return n;
}

/* Merge sort from the bottom up: no recursion, no memory. */
static void late_sort(struct fns_timer_wheel *w)
{
	struct fns_list *head = &w->late;

	for (size_t width = 1;; width *= 2) {
		struct fns_list *first = head->next;
		size_t merges = 0;

		while (first != head) {
			struct fns_list *mid = run_end(head, first, width);
			struct fns_list *last = run_end(head, mid, width);

			if (mid == head)
				break;
			run_merge(first, mid, last);
			merges++;
			first = last;
		}
		if (merges == 0)
			break;
	}
	w->late_unsorted = false;
}

/* Takes t off, then calls it: it may set itself again, or be freed by its function. */
static void timer_fire(struct fns_timer_wheel *w, struct fns_timer *t, uint64_t now_ns)
{
	timer_unlink(w, t);
	t->fn(t, now_ns);
}

/* Fires what was late before this run began: seq tells it from what the functions set meanwhile. */
static unsigned late_run(struct fns_timer_wheel *w, uint64_t now_ns)
{
	uint64_t seq_end = w->seq;
	unsigned n = 0;

	if (w->late_unsorted)
		late_sort(w);
	while (!fns_list_empty(&w->late)) {
		struct fns_timer *t = timer_of(w->late.next);

		if (t->seq >= seq_end || t->deadline_ns > now_ns)
			break;
		timer_fire(w, t, now_ns);
		n++;
	}
	return n;
}

/* Deals the timers of a slot to the levels that they belong to now that the cursor stands in the
 * slot. */
static void slot_cascade(struct fns_timer_wheel *w, unsigned l, unsigned s)
{
	struct fns_list *head = &w->slots[l][s], *n;

	slot_mark_empty(w, l, s);
	while ((n = fns_list_pop_front(head)))
		slot_insert(w, timer_of(n));
}

/* The slot with the earliest timers and the time at which it begins. False when no slot holds any.
 */
static bool slot_first(
	const struct fns_timer_wheel *w, unsigned *l, unsigned *s, uint64_t *start_ns)
{
	if (w->levels == 0)
		return false;
	*l = (unsigned)__builtin_ctz(w->levels);
	*s = (unsigned)__builtin_ctzll(w->occupied[*l]);

	unsigned shift = *l * LEVEL_BITS;
	/* Digits above the slot's are the cursor's own, those below are zero. */
	uint64_t above =
		shift + LEVEL_BITS < 64 ? w->cursor_ns >> (shift + LEVEL_BITS) << LEVEL_BITS : 0;

	*start_ns = (above | *s) << shift;
	return true;
}

static unsigned slots_run(struct fns_timer_wheel *w, uint64_t now_ns)
{
	unsigned l, s, n = 0;
	uint64_t start_ns;

	/* Bounded: a timer fires once (what is set now at or before now_ns is late) and moves down
	 * at most LEVELS - 1 times. */
	while (slot_first(w, &l, &s, &start_ns) && start_ns <= now_ns) {
		struct fns_list *head = &w->slots[l][s];

		w->cursor_ns = start_ns;
		if (l > 0) {
			slot_cascade(w, l, s);
			continue;
		}
		while (!fns_list_empty(head)) {
			timer_fire(w, timer_of(head->next), now_ns);
			n++;
		}
	}
	return n;
}

unsigned fns_timer_run(struct fns_timer_wheel *w, uint64_t now_ns)
{
	unsigned n;

	fns_assert(!w->running);
	w->running = true;
	w->floor_ns = FNS_MAX(w->floor_ns, now_ns);
	n = late_run(w, now_ns);
	n += slots_run(w, now_ns);
	/* No slot begins at or before now_ns any more, so none changes its level by this. */
	w->cursor_ns = FNS_MAX(w->cursor_ns, now_ns);
	w->running = false;
	return n;
}

static uint64_t list_min(struct fns_list *head, bool unsorted)
{
	uint64_t min_ns = FNS_TIMER_NEVER;
	struct fns_list *n;

	fns_list_for_each (n, head) {
		min_ns = FNS_MIN(min_ns, timer_of(n)->deadline_ns);
		if (!unsorted)
			break;
	}
	return min_ns;
}

/*
 * Remembers its answer, so that asking at every turn of a polling loop is one load. When the
 * earliest timer went away, the first slot is looked at: its front where timers were set in order
 * of deadline (equal timeouts are), else all of it.
 */
uint64_t fns_timer_next(const struct fns_timer_wheel *cw)
{
	struct fns_timer_wheel *w = (struct fns_timer_wheel *)cw;
	uint64_t min_ns, start_ns;
	unsigned l, s;

	if (w->next_known)
		return w->next_ns;
	min_ns = list_min(&w->late, w->late_unsorted);
	if (slot_first(w, &l, &s, &start_ns))
		min_ns = FNS_MIN(min_ns, list_min(&w->slots[l][s], w->unsorted[l] >> s & 1));
	w->next_ns = min_ns;
	w->next_known = true;
	return min_ns;
}
