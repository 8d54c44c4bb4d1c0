/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine in memory: two nodes in one thread, joined by a wire that hands packets over in this
 * process's memory. What the engine and, if asked for, the ICRC cost without sockets and without a
 * network. Asks for no clock: who calls it measures. Used by `flexins bench micro` and by the
 * instruction-count guard.
 */
#ifndef FNS_BENCH_MICRO_H
#define FNS_BENCH_MICRO_H

#include <stdbool.h>
#include <stdint.h>

struct fns_micro_cfg {
	uint32_t size;  /* bytes of a WRITE, 1..65536 */
	uint32_t qps;   /* queue pairs */
	uint32_t depth; /* WRITEs outstanding on each */
	bool icrc;      /* made by the sender and checked by the receiver, in software */
	uint64_t (*clock_ns)(void); /* to tell the stages apart; NULL: they are not timed */
};

/* Where the time goes. */
enum fns_micro_stage {
	FNS_MICRO_APP,      /* descriptors written, completions polled */
	FNS_MICRO_SENDER,   /* the sender's engine, its wire and the ICRC made */
	FNS_MICRO_RECEIVER, /* the receiver's engine, its wire and the ICRC checked */
	FNS_MICRO_STAGES
};

struct fns_micro;

/* NULL if the size is out of range; asserts that there is memory. */
struct fns_micro *fns_micro_create(const struct fns_micro_cfg *cfg);
void fns_micro_destroy(struct fns_micro *m);
/*
 * At least `messages` WRITEs from post to polled completion. Returns how many it were; *packets:
 * data packets that arrived, acknowledgements not counted. Asserts if the engines come to rest.
 */
uint64_t fns_micro_run(struct fns_micro *m, uint64_t messages, uint64_t *packets);
/* ns spent in each stage since the beginning, if there is a clock. */
void fns_micro_stages(const struct fns_micro *m, uint64_t ns[FNS_MICRO_STAGES]);
/* Does the receiver's memory hold what the sender's does? True once every slot was written. */
bool fns_micro_intact(const struct fns_micro *m);

#endif
