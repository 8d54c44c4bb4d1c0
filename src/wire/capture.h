/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures: what a wire carries, both ways, as a pcapng file that Wireshark reads. A tap of the
 * wire rather than a wire around it: only the wire itself knows ports, trains and why it dropped a
 * packet.
 */
#ifndef FNS_WIRE_CAPTURE_H
#define FNS_WIRE_CAPTURE_H

#include <stdint.h>

#include "wire/wire.h"

#define FNS_CAPTURE_RING (16u << 20) /* bytes between the engine and the writer */

struct fns_capture_cfg {
	int fd;                   /* open for writing, a file or a pipe; taken over */
	const char *app;          /* who captures, for the file's header */
	uint64_t (*now_ns)(void); /* stamps: ns since 1970 */
	struct fns_wire *wire;    /* whose counters are used; must outlive the capture */
};

struct fns_capture;

/* Writes the file's header and starts the thread that writes the rest; the wire's tap is the
 * caller's to set. 0 or negative errno; on error fd stays the caller's. */
int fns_capture_create(const struct fns_capture_cfg *cfg, struct fns_capture **out);
struct fns_tap *fns_capture_tap(struct fns_capture *c);
/* True once a write has failed: a full disk, a closed pipe. Any thread. */
bool fns_capture_failed(const struct fns_capture *c);
/*
 * Writes what is left, waiting at most wait_ms (a pipe may not take it), ends the file, closes it
 * and frees. The tap must be off the wire. 0, -EIO when the file is not complete.
 */
int fns_capture_destroy(struct fns_capture *c, unsigned wait_ms);

#endif
