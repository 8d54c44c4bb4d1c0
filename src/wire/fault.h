/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults on purpose: a wire around another wire that loses, repeats, reorders, corrupts and delays
 * packets, and that answers requests of one queue pair with errors. fault_spec.c turns text into
 * rules and back (also linked into the command line tool); fault.c is the wire. It is in the chain
 * only while it has something to do. Time is the engine's; all randomness comes from the seed.
 */
#ifndef FNS_WIRE_FAULT_H
#define FNS_WIRE_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "roce/gid.h"

#define FNS_FAULT_RULES    8u
#define FNS_FAULT_PPB      1000000000u /* probabilities are parts of this */
#define FNS_FAULT_TEXT_MAX 900u        /* a spec as text, with its end */
#define FNS_FAULT_PASS_MAX 64u

enum {
	FNS_FAULT_TX = 1,
	FNS_FAULT_RX = 2
};

struct fns_fault_rule {
	/* Which packets: 0 and zero mean all. */
	uint8_t dir; /* FNS_FAULT_TX, FNS_FAULT_RX or both */
	bool has_peer;
	struct fns_gid peer;
	uint32_t qpn; /* ours */
	/* What happens to them. */
	uint32_t loss_ppb, dup_ppb, corrupt_ppb, reorder_ppb;
	uint32_t reorder_by; /* packets that may pass one held back, at most */
	uint64_t delay_ns, jitter_ns;
	uint64_t flap_every_ns, flap_down_ns; /* down for the last flap_down_ns of each period */
};

struct fns_fault_spec {
	uint64_t seed;
	uint32_t n; /* rules; the first that a packet matches decides */
	struct fns_fault_rule rule[FNS_FAULT_RULES];
};

/* 0; or -EINVAL with a sentence in err that names the key and what was expected. *out is written
 * only on success. Any text is accepted as input. */
int fns_fault_parse(const char *text, struct fns_fault_spec *out, char *err, size_t errlen);
/* The same as text; always ends within len. */
void fns_fault_format(const struct fns_fault_spec *spec, char *buf, size_t len);

/* --- the wire (fault.c) --- */
struct fns_wire;

/* What the injector needs to know of a queue pair; the engine's owner looks it up. */
struct fns_fault_qp {
	uint32_t una, next; /* oldest PSN not acknowledged; first PSN never sent */
	bool rc, rts;       /* of the reliable service; able to send */
	uint8_t rnr_retry;  /* 7: for ever */
	uint8_t timeout;    /* 0: none */
	struct fns_gid local, remote;
};

struct fns_fault_cfg {
	struct fns_wire *below; /* borrowed */
	/* Number of the queue pair that sends a frame, by the frame's owner. */
	uint32_t (*owner_qpn)(const void *owner);
	/* False: no such queue pair. */
	bool (*qp_look)(void *ctx, uint32_t qpn, struct fns_fault_qp *out);
	void *ctx;
};

enum fns_fault_error {
	FNS_FAULT_ERR_RNR,         /* receiver not ready, until retries are used up */
	FNS_FAULT_ERR_ACCESS,      /* NAK: remote access error */
	FNS_FAULT_ERR_INVALID,     /* NAK: invalid request */
	FNS_FAULT_ERR_OPERATIONAL, /* NAK: remote operational error */
	FNS_FAULT_ERR_RETRY,       /* silence, until retries are used up */
	FNS_FAULT_ERR_COUNT
};
extern const char *const fns_fault_error_name[FNS_FAULT_ERR_COUNT];

/* NULL without memory. Paths and views of the wire below stay valid through it. */
struct fns_wire *fns_wire_fault_create(const struct fns_fault_cfg *cfg);
/* Takes new rules; packets held under the old ones leave when they are due. None: ends injected
 * errors too. */
void fns_wire_fault_set(struct fns_wire *w, const struct fns_fault_spec *spec);
const struct fns_fault_spec *fns_wire_fault_get(const struct fns_wire *w);
/*
 * The first request that the queue pair has not sent yet will fail with this error; the peer never
 * sees it. count: RNR only, so many refusals and then let it pass; 0: until it fails. 0, -ENOENT:
 * no such queue pair, -EPROTONOSUPPORT: not RC, -ENOTCONN: not in RTS, -ERANGE: this queue pair
 * retries for ever, -EBUSY: too many under way.
 */
int fns_wire_fault_inject(
	struct fns_wire *w, uint32_t qpn, enum fns_fault_error what, uint32_t count);
/* No rules, nothing held, no error under way: may be taken out of the chain. */
bool fns_wire_fault_idle(const struct fns_wire *w);
/* Errors under way, for display: their number, up to max in qpn[] and what[]. */
unsigned fns_wire_fault_errors(
	const struct fns_wire *w, uint32_t *qpn, enum fns_fault_error *what, unsigned max);

#endif
