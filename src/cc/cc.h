/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Congestion control: one function from events to a rate, a window and a next timer. Integer only,
 * no allocation, no clock of its own; switchable on a live queue pair because all state lives in
 * the context that the engine owns. Called by the engine's thread.
 */
#ifndef FNS_CC_CC_H
#define FNS_CC_CC_H

#include <stdint.h>

#define FNS_CC_STATE_BYTES 192
#define FNS_CC_UNLIMITED   UINT64_MAX

enum fns_cc_event_type {
	FNS_CC_INIT,    /* context is zeroed; the queue pair becomes ready to send */
	FNS_CC_ACK,     /* bytes newly acknowledged, rtt_ns of the newest (0: unknown) */
	FNS_CC_LOSS,    /* a PSN gap was reported */
	FNS_CC_TIMEOUT, /* nothing came back in time */
	FNS_CC_CNP,     /* congestion notification packet */
	FNS_CC_SENT,    /* bytes handed to the wire */
	FNS_CC_TIMER,   /* the timer asked for */
};

struct fns_cc_event {
	enum fns_cc_event_type type;
	uint64_t now_ns;
	uint64_t bytes;
	uint64_t rtt_ns;
	uint64_t inflight; /* bytes not acknowledged, after this event */
};

/* What the algorithm wants from now on. */
struct fns_cc_out {
	uint64_t window_bytes; /* may be in flight; FNS_CC_UNLIMITED: no limit of this algorithm */
	uint64_t rate_bps;     /* pacing, bits per second; FNS_CC_UNLIMITED: none */
	uint64_t timer_ns;     /* absolute time of the next FNS_CC_TIMER, UINT64_MAX: none */
	uint32_t path_hint;    /* entropy; 0: stay */
};

struct fns_cc_ctx {
	_Alignas(8) unsigned char state[FNS_CC_STATE_BYTES];
};

struct fns_cc_ops {
	const char *name;
	void (*on_event)(
		struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out);
};

/* A constant window, FNS_CC_STATIC_WINDOW bytes: what a NIC without congestion control does. */
#define FNS_CC_STATIC_WINDOW (8u << 20)
extern const struct fns_cc_ops fns_cc_static_window;

#endif
