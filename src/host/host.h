/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every placement on a Linux host needs around an engine, wherever it runs: statistics in a
 * memory file, settings from the environment, and the questions about other hosts that go to the
 * keeper. Called by inline (in the application) and service (in flexinsd).
 */
#ifndef FNS_HOST_HOST_H
#define FNS_HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "keeper/client.h"
#include "pipe/stats.h"
#include "wire/wire.h"

/* A statistics page of this process, in a memory file for the keeper. NULL with errno. */
struct fns_stats *fns_host_stats_make(int *fd);
/* All counters that are not zero, in one line of the log. */
void fns_host_stats_log(const struct fns_stats *s);
/*
 * What the wire and the engine of this process get whatever the placement: from the lease, a random
 * seed, and what the environment asks for: FLEXINS_WIRE and FLEXINS_GSO; FLEXINS_TX, _RX and _PIPE
 * (what is compared with the paper's mechanisms; a ring of receive buffers decides for the udp
 * wire); FLEXINS_CC; FLEXINS_TRANSPORT. The caller adds its wire, its memory, its upcalls. engine
 * refers to cc.
 */
struct fns_host_setup {
	struct fns_wire_host_cfg wire;
	struct fns_engine_cfg engine;
	struct fns_cc_choice cc;
};

/* False: why is in err, which names the variable. */
bool fns_host_setup(struct fns_host_setup *s, const struct fns_lease *l, struct fns_stats *stats,
	char *err, size_t errlen);
/* Is this environment variable "off" or "0"? */
bool fns_host_env_off(const char *name);
/* Directory of the shared object or program that holds this code. NULL: unknown. */
const char *fns_host_own_dir(char *buf, size_t len);

/*
 * The engine's questions about other hosts, on their way to the keeper and back. Nothing here
 * blocks; without answers the engine goes on with its defaults. Under the engine, but for take.
 */
struct fns_host_hello {
	unsigned outstanding;
	bool given_up; /* the keeper makes no sense */
	bool full;     /* no other host can be asked about now */
};

/* Asks as much as may be asked now. keeper: there is one. */
void fns_host_hello_carry(
	struct fns_host_hello *h, struct fns_engine *e, const struct fns_lease *l, bool keeper);
/* One answer from the keeper. 0: *out is one, for fns_engine_hello_told(); -EBUSY: a refusal;
 * -EAGAIN: none, the keeper is alive; else it has died. Not under the engine. */
int fns_host_hello_take(
	struct fns_host_hello *h, const struct fns_lease *l, struct fns_keeper_peer_info *out);

#endif
