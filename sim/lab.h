/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The laboratory: congestion controls side by side, in the simulator's network, under the loads
 * that papers are about. Engines, queue pairs and packets are the real ones; applications are
 * flows, each a run of RDMA WRITEs. Time is virtual and integers only: a seed gives the same
 * figures to the digit, on any machine. Called by `flexins lab` and by tests.
 */
#ifndef FNS_SIM_LAB_H
#define FNS_SIM_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cc/cc.h"

#define LAB_SAMPLES 200u /* of a run's time series */
#define LAB_CLASSES 5u   /* of flows by size; the last is all of them */
#define LAB_SERIES  8u   /* flows whose rate is followed */

enum lab_pattern {
	LAB_ALL_TO_FIRST, /* every host sends to the first without end */
	LAB_PERMUTATION,  /* each to the next one of a random circle, without end */
	LAB_ACROSS,       /* each of the left half to its match on the right, without end */
	LAB_POISSON,      /* flows of random size between random hosts, at random times */
};

struct lab_sizes; /* a distribution of flow sizes */

struct lab_scenario {
	const char *name, *text;
	const char *topo; /* as for sim_topo_parse() */
	enum lab_pattern pattern;
	uint32_t rate_mbps; /* of every link */
	uint32_t delay_ns;  /* of every link */
	uint64_t time_ns;   /* by default */
	/* Switches: mark between lo and hi with a chance up to mark_ppm; pause who feeds them from
	 * xoff on (0: never); drop at the tail from port on (0: never). */
	uint32_t mark_lo, mark_hi, mark_ppm, xoff_bytes, port_bytes;
	uint32_t loss_ppm; /* on hosts' links */
	/* LAB_POISSON: share of every host's link that is asked for */
	const struct lab_sizes *sizes;
	uint32_t load_pm;
	uint32_t stagger_pm; /* of the time, between the starts of flows without end */
	bool fails;       /* a link between switches goes down at 2/5, routes follow, up at 3/5 */
	uint8_t timeout;  /* of queue pairs, as the verbs attribute */
	uint64_t jain_ns; /* shares are compared over so long */
};

/* By number; NULL past the last. */
const struct lab_scenario *lab_scenario_at(unsigned i);
/* NULL: there is none of this name. */
const struct lab_scenario *lab_scenario_find(const char *name);
/* Where its values were published, or NULL. */
const char *lab_sizes_source(const struct lab_sizes *s);
uint64_t lab_sizes_mean(const struct lab_sizes *s);
/* ppm: 0 to 999999. */
uint64_t lab_sizes_at(const struct lab_sizes *s, uint32_t ppm);

struct lab_cfg {
	const struct lab_scenario *scenario;
	const char *cc; /* as for choose; what is not given of line_mbps, rtt_ns, min_rtt_us
			   follows the scenario */
	/* NULL: fns_cc_parse(), what is built in */
	bool (*choose)(const char *text, struct fns_cc_choice *out, char *err, size_t errlen);
	bool irn; /* losses are repaired selectively; else by going back N */
	uint64_t seed;
	uint64_t time_ns; /* flows begin up to here, or end, without end; 0: the scenario's */
	void (*progress)(void *ctx, uint64_t now_ns, uint64_t end_ns); /* or NULL */
	void *ctx;
};

struct lab_class {
	const char *name;
	uint64_t flows, median_ns, p99_ns;
	uint64_t slow50, slow99; /* 1/100: of the time that it takes alone */
};

struct lab_result {
	bool failed; /* the run is worth nothing */
	char failure[400];
	char cc[96]; /* with its parameters */
	uint64_t hash, now_ns, events, packets;
	/* From a fifth of the time on, so that the beginning does not count; the beginning by the
	 * series. */
	uint64_t from_ns, to_ns, goodput_bps;
	uint32_t jain_mean, jain_least;            /* 1/10000, over windows; 0: flows end */
	uint32_t queue_mean, queue_p99, queue_max; /* bytes, as packets find it at switch ports */
	/* All of the time. */
	uint64_t pauses, paused_ns, lost, marks, cnps, retransmits, timeouts;
	uint64_t flows, unfinished, broken; /* that have an end; broken: a queue pair failed */
	struct lab_class cls[LAB_CLASSES];
	unsigned nsamples, nseries;
	uint64_t sample_ns;
	struct {
		uint64_t bps;         /* of all */
		uint32_t queue_bytes; /* the longest at a switch */
		uint32_t jain;        /* of the last window that has ended; 0: none yet */
		uint64_t series_bps[LAB_SERIES];
	} sample[LAB_SAMPLES];
};

/* One run. False: the configuration is wrong or the run failed, r->failure says why. */
bool lab_run(const struct lab_cfg *cfg, struct lab_result *r);

/* --- arithmetic (lab_stat.c) --- */

/* The share of values (1/1000) that are not above it; sorts. 0 without values. */
uint64_t lab_percentile(uint64_t *v, size_t n, unsigned permille);
/* Jain's index, 1/10000; 0 where all are 0. */
uint32_t lab_jain(const uint64_t *v, size_t n);
/* -ln of a uniform number in (0, 1], made of 64 random bits; 1/2^20. */
uint64_t lab_exponential(uint64_t random);

#endif
