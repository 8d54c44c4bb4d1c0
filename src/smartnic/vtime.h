/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual time of the emulated SmartNIC, in picoseconds: calls in order of (time, sequence number),
 * servers that do one thing after another, and jobs that pass from server to server. No clock, no
 * randomness: the same calls give the same times. Used by the model and by who runs engines in it.
 */
#ifndef FNS_SMARTNIC_VTIME_H
#define FNS_SMARTNIC_VTIME_H

#include <stdbool.h>
#include <stdint.h>

#define FNS_PS_PER_NS 1000ull

struct fns_vt_event {
	uint64_t at_ps, seq;
	void (*fn)(void *arg);
	void *arg;
};

struct fns_vt {
	uint64_t now_ps, seq;
	struct fns_vt_event *heap;
	uint64_t n, cap;
};

void fns_vt_init(struct fns_vt *v);
void fns_vt_fini(struct fns_vt *v);
/* Calls fn(arg) at at_ps, or at once if that is past. Asserts that there is memory. */
void fns_vt_at(struct fns_vt *v, uint64_t at_ps, void (*fn)(void *arg), void *arg);
/* The next call. False: nothing will ever happen. */
bool fns_vt_step(struct fns_vt *v);

/* Something that serves one after another, in the order in which they come. */
struct fns_server {
	uint64_t free_ps; /* when the last one is done */
	uint64_t busy_ps; /* total, for utilisation */
};

/* Takes dur_ps of it from now on, behind those that wait. When it is done. */
static inline uint64_t fns_server_take(struct fns_server *s, uint64_t now_ps, uint64_t dur_ps)
{
	uint64_t start = s->free_ps > now_ps ? s->free_ps : now_ps;

	s->free_ps = start + dur_ps;
	s->busy_ps += dur_ps;
	return s->free_ps;
}

/* How long bytes take at a rate. */
static inline uint64_t fns_ps_of_bytes(uint64_t bytes, uint32_t gbps)
{
	return bytes * 8 * 1000 / gbps;
}

static inline uint64_t fns_ps_of_ops(uint64_t ops, uint32_t mops)
{
	return ops * 1000000 / mops;
}

#define FNS_JOB_STAGES 8u

/* Work that passes through servers, then waits a latency. Embedded in what it is about. */
struct fns_job {
	struct fns_vt *vt;
	void (*done)(struct fns_job *j);
	uint64_t latency_ps; /* after the last stage */
	uint8_t n, at;
	struct {
		struct fns_server *server;
		uint64_t dur_ps;
	} stage[FNS_JOB_STAGES];
};

static inline void fns_job_init(
	struct fns_job *j, struct fns_vt *vt, void (*done)(struct fns_job *))
{
	j->vt = vt;
	j->done = done;
	j->latency_ps = 0;
	j->n = j->at = 0;
}

/* Adds a stage; none if it takes no time. */
void fns_job_stage(struct fns_job *j, struct fns_server *s, uint64_t dur_ps);
/* Begins at at_ps; done is called once all is passed, never from within. */
void fns_job_start(struct fns_job *j, uint64_t at_ps);

#endif
