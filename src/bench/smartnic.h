/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measurements on the emulated SmartNIC: the engine, unchanged, runs in virtual time on the card of
 * smartnic/card.h and exchanges WRITEs with engines of an ideal NIC. What comes out follows from
 * the operations that the engine really performed and from the parameters. Deterministic.
 */
#ifndef FNS_BENCH_SMARTNIC_H
#define FNS_BENCH_SMARTNIC_H

#include "smartnic/card.h"

#define FNS_SNIC_MAX_MESSAGE 65536u

struct fns_snic_case {
	bool receive; /* the card is the receiver, else the sender */
	enum fns_snic_tx tx;
	enum fns_snic_rx rx;
	enum fns_snic_pipe pipe;
	uint32_t size;  /* bytes of a message, 1..FNS_SNIC_MAX_MESSAGE */
	uint32_t burst; /* messages posted at a time on all queue pairs of a core together; 0: each
			   as soon as there is room */
};

struct fns_snic_result {
	double gbps;          /* payload */
	double mops;          /* messages */
	double host_bytes;    /* over host PCIe, both directions, for each byte of payload */
	double arm_bytes;     /* over the link to Arm memory, likewise */
	double dram_bytes;    /* to and from DRAM, likewise */
	double dram_gbps;     /* the same as a rate */
	double miss_percent;  /* of lines touched in NIC memory */
	double pcie_ops;      /* transactions over host PCIe for each message */
	double latency_ns;    /* post to completion seen, mean */
	uint64_t retransmits; /* of either side: 0, or the point is worth nothing */
	uint64_t waits;       /* packets that waited for a receive buffer */
	uint64_t virtual_ns;  /* measured time */
};

/* False if it came to rest too early: a bug. Asserts that there is memory. */
bool fns_snic_measure(const struct fns_snic_params *p, const struct fns_snic_case *c,
	struct fns_snic_result *out);

#endif
