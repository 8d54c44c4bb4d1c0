/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual time: a heap of events ordered by (time, sequence number), the trace hash over all of
 * them, and the place where a broken invariant is noted. Called by everything in the simulator.
 */
#include "sim/sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "roce/icrc.h"

uint64_t sim_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

void sim_hash(struct sim_world *w, uint64_t v)
{
	w->hash = sim_mix(w->hash + 0x9e3779b97f4a7c15ull + v);
}

void sim_trace(struct sim_world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->trace)
		return;
	fprintf(w->trace, "%12llu ", (unsigned long long)w->now);
	va_start(ap, fmt);
	vfprintf(w->trace, fmt, ap);
	va_end(ap);
	fputc('\n', w->trace);
}

/* Only the first counts: what follows is often its consequence. */
void sim_fail(struct sim_world *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (w->failed)
		return;
	w->failed = true;
	n = snprintf(w->failure, sizeof(w->failure), "at %llu ns: ", (unsigned long long)w->now);
	va_start(ap, fmt);
	vsnprintf(w->failure + n, sizeof(w->failure) - (size_t)n, fmt, ap);
	va_end(ap);
	sim_trace(w, "FAIL %s", w->failure);
}

static bool before(const struct sim_ev *a, const struct sim_ev *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void sim_push(struct sim_world *w, uint64_t at, uint32_t kind, uint32_t host, uint32_t arg,
	struct sim_packet *pkt)
{
	struct sim_ev ev = {FNS_MAX(at, w->now), w->seq++, kind, host, arg, pkt};
	uint32_t i = w->nheap++;

	if (i == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 1024;
		w->heap = realloc(w->heap, w->cap * sizeof(*w->heap));
		fns_assert(w->heap);
	}
	for (; i > 0 && before(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = ev;
}

static struct sim_ev pop(struct sim_world *w)
{
	struct sim_ev top = w->heap[0], last = w->heap[--w->nheap];
	uint32_t i = 0, c;

	while ((c = 2 * i + 1) < w->nheap) {
		if (c + 1 < w->nheap && before(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (!before(&w->heap[c], &last))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	if (w->nheap)
		w->heap[i] = last;
	return top;
}

static void poll_event(struct sim_world *w, const struct sim_ev *ev)
{
	struct sim_cq *cq = &w->host[ev->host]->cq[ev->arg];

	cq->poll_pending = false;
	sim_poll(w->host[ev->host], cq);
}

bool sim_step(struct sim_world *w)
{
	struct sim_ev ev;
	struct sim_host *h;

	if (!w->nheap)
		return false;
	ev = pop(w);
	h = ev.host < SIM_HOSTS ? w->host[ev.host] : NULL; /* else a switch */
	fns_assert(ev.at >= w->now);
	w->now = ev.at;
	w->events++;
	sim_hash(w, ev.at);
	sim_hash(w, (uint64_t)ev.kind << 56 | (uint64_t)ev.host << 32 | ev.arg);
	switch (ev.kind) {
	case SIM_EV_PACKET:
		if (ev.host == ev.pkt->dst) /* content once is enough */
			sim_hash(w, (uint64_t)ev.pkt->len << 32 |
					    fns_crc32(0, ev.pkt->data, ev.pkt->len));
		sim_net_arrive(w, ev.arg, ev.pkt);
		break;
	case SIM_EV_ADVANCE:
		if (ev.arg == (uint32_t)h->advance_seq)
			sim_host_advance(h);
		break;
	case SIM_EV_APP:
		if (h->qp[ev.arg >> 16] && h->qp[ev.arg >> 16]->app_seq == (ev.arg & 0xffff))
			sim_app(h->qp[ev.arg >> 16]);
		break;
	case SIM_EV_POLL:
		poll_event(w, &ev);
		break;
	case SIM_EV_PORT:
		sim_net_port_free(w, ev.arg);
		break;
	case SIM_EV_PAUSE:
		sim_net_pause(w, ev.arg / 2, ev.arg & 1);
		break;
	case SIM_EV_HELLO:
		sim_hello_told(h, ev.arg);
		break;
	case SIM_EV_ACTION:
		sim_trace(w, "action %u", ev.arg);
		if (w->scenario->action)
			w->scenario->action(w, ev.arg);
		break;
	}
	return true;
}

void sim_until(struct sim_world *w, uint64_t t)
{
	while (!w->failed && w->nheap && w->heap[0].at <= t)
		sim_step(w);
	w->now = FNS_MAX(w->now, t);
}
