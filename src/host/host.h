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

/* Congestion notifications of one queue pair come at most this often: what NICs do. */
#define FNS_HOST_CNP_NS (50 * FNS_NSEC_PER_USEC)

/* A statistics page of this process, in a memory file for the keeper. NULL with errno. */
struct fns_stats *fns_host_stats_make(int *fd);
/* All counters that are not zero, in one line of the log. */
void fns_host_stats_log(const struct fns_stats *s);
/* FLEXINS_WIRE. False: no such wire; why is in err. */
bool fns_host_wire_choice(enum fns_wire_choice *out, char *err, size_t errlen);
/*
 * FLEXINS_TX, _RX and _PIPE: what is compared with the paper's mechanisms, all zero unless asked
 * for. A ring of receive buffers decides for the udp wire. False: no such mode, or not with this
 * wire.
 */
bool fns_host_modes(struct fns_modes *out, enum fns_wire_choice *wire, char *err, size_t errlen);
/* FLEXINS_CC, the congestion control. False: no such one, or not so; why is in err. */
bool fns_host_cc(struct fns_cc_choice *out, char *err, size_t errlen);
/* Is this environment variable "off" or "0"? */
bool fns_host_env_off(const char *name);
/* Of a leased socket's receive buffer, what READ responses may fill; 0: unknown. */
uint32_t fns_host_read_budget(int sock);
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
