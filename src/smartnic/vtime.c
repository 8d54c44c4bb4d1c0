/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of calls, and jobs on their way: see vtime.h. */
#include "smartnic/vtime.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/util.h"

void fns_vt_init(struct fns_vt *v)
{
	*v = (struct fns_vt){0};
}

void fns_vt_fini(struct fns_vt *v)
{
	free(v->heap);
	*v = (struct fns_vt){0};
}

static bool before(const struct fns_vt_event *a, const struct fns_vt_event *b)
{
	return a->at_ps != b->at_ps ? a->at_ps < b->at_ps : a->seq < b->seq;
}

void fns_vt_at(struct fns_vt *v, uint64_t at_ps, void (*fn)(void *arg), void *arg)
{
	struct fns_vt_event ev = {FNS_MAX(at_ps, v->now_ps), v->seq++, fn, arg};
	uint64_t i = v->n++;

	if (i == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 1024;
		v->heap = realloc(v->heap, v->cap * sizeof(*v->heap));
		fns_assert(v->heap);
	}
	for (; i > 0 && before(&ev, &v->heap[(i - 1) / 2]); i = (i - 1) / 2)
		v->heap[i] = v->heap[(i - 1) / 2];
	v->heap[i] = ev;
}

bool fns_vt_step(struct fns_vt *v)
{
	struct fns_vt_event top, last;
	uint64_t i = 0, c;

	if (!v->n)
		return false;
	top = v->heap[0];
	last = v->heap[--v->n];
	while ((c = 2 * i + 1) < v->n) {
		if (c + 1 < v->n && before(&v->heap[c + 1], &v->heap[c]))
			c++;
		if (!before(&v->heap[c], &last))
			break;
		v->heap[i] = v->heap[c];
		i = c;
	}
	if (v->n)
		v->heap[i] = last;
	v->now_ps = top.at_ps;
	top.fn(top.arg);
	return true;
}

void fns_job_stage(struct fns_job *j, struct fns_server *s, uint64_t dur_ps)
{
	if (dur_ps == 0)
		return;
	fns_assert(j->n < FNS_JOB_STAGES);
	j->stage[j->n].server = s;
	j->stage[j->n].dur_ps = dur_ps;
	j->n++;
}

static void step(void *arg)
{
	struct fns_job *j = arg;
	uint64_t at;

	if (j->at > j->n) {
		j->done(j);
		return;
	}
	if (j->at < j->n) {
		at = fns_server_take(j->stage[j->at].server, j->vt->now_ps, j->stage[j->at].dur_ps);
		j->at++;
		if (j->at < j->n || j->latency_ps) {
			fns_vt_at(j->vt, at, step, j);
			return;
		}
	} else {
		at = j->vt->now_ps;
	}
	j->at = (uint8_t)(j->n + 1);
	fns_vt_at(j->vt, at + j->latency_ps, step, j);
}

void fns_job_start(struct fns_job *j, uint64_t at_ps)
{
	j->at = 0;
	fns_vt_at(j->vt, at_ps, step, j);
}
