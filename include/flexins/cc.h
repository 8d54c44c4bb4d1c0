/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A congestion control for FlexiNS: one function from events to a window, a rate, a next timer and
 * a path hint. C99 and C++; nothing else of FlexiNS is needed to write one.
 *
 * The rules. Integers only. No allocation, no clock (the time is in the event), no system call, no
 * static state: everything that is remembered lies in the context, which the engine owns, so that a
 * run can be replayed and an algorithm be changed on a live queue pair. on_event is called by the
 * engine's thread, one queue pair at a time, and must return after a bounded number of steps.
 *
 * The same source can be linked in, loaded as a shared object, or loaded as eBPF: see
 * flexins/cc_plugin.h.
 *
 * Units: bytes, nanoseconds, bits per second, unless a name says otherwise.
 */
#ifndef FLEXINS_CC_H
#define FLEXINS_CC_H

#ifdef __bpf__ /* no C library there */
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
#ifndef UINT64_MAX
#define UINT64_MAX (~(uint64_t)0)
#endif
#else
#include <stdint.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when a field moves or a meaning changes. Fields are added at the end; sizes tell. */
#define FNS_CC_ABI 1u

#define FNS_CC_STATE_BYTES      192u /* of state for one queue pair */
#define FNS_CC_PARAMS           16u  /* parameters at most */
#define FNS_CC_HOPS             8u   /* of telemetry at most */
#define FNS_CC_FLAT_EVENT_BYTES 72u  /* of an event, before its hops */
#define FNS_CC_UNLIMITED        UINT64_MAX
#define FNS_CC_NEVER            UINT64_MAX

/* What an engine takes; everything else in an output is refused. */
#define FNS_CC_RATE_MIN     100000ull          /* 100 kb/s */
#define FNS_CC_RATE_MAX     100000000000000ull /* 100 Tb/s; or FNS_CC_UNLIMITED */
#define FNS_CC_TIMER_MIN_NS 1000ull            /* from now */

enum fns_cc_event_type {
	FNS_CC_INIT,    /* state is zeroed; the queue pair becomes ready to send */
	FNS_CC_ACK,     /* bytes were newly acknowledged, or arrived as READ response */
	FNS_CC_LOSS,    /* the receiver reported a gap (NAK), or a response is missing */
	FNS_CC_TIMEOUT, /* nothing came back in time; everything is sent again */
	FNS_CC_CNP,     /* a congestion notification packet (RoCEv2 annex A17) came */
	FNS_CC_SENT,    /* bytes were handed to the wire */
	FNS_CC_TIMER,   /* the time asked for has come; the timer is not set any more */
	FNS_CC_EVENTS
};

/* One switch port on the way, as in-band telemetry (INT) tells. */
struct fns_cc_hop {
	uint64_t link_bps;
	uint64_t tx_bytes; /* sent by this port since ever */
	uint64_t time_ns;  /* of the switch, when the packet left */
	uint32_t queue_bytes;
	uint32_t hop; /* names the port: another number, another way */
};

struct fns_cc_event {
	uint32_t type;      /* enum fns_cc_event_type */
	uint32_t mtu_bytes; /* largest payload of one packet */
	uint64_t now_ns;    /* never goes back */
	uint64_t inflight;  /* payload bytes not acknowledged, after this event */
	/*
	 * ACK: payload bytes. SENT: bytes as the rate counts them. Else 0.
	 */
	uint64_t bytes;
	/* ACK: round trip of the newest packet that was timed, 0: none was since the last event. */
	uint64_t rtt_ns;
	/* ACK: the parts of rtt_ns spent in the network and in the receiver's host; both 0: not
	 * told apart, which is so with RoCEv2. */
	uint64_t rtt_fabric_ns, rtt_host_ns;
	/* ACK: of bytes, those that a switch had marked; 0 also where nobody says, as in RoCEv2,
	 * where marks come as CNP. */
	uint64_t ecn_bytes;
	/* ACK: the path that the bytes took, 0 where there is one only. */
	uint32_t path;
	uint32_t nhops; /* FNS_CC_HOPS at most; 0: no telemetry */
			/* In order of the way; gone after the call. */
#ifdef __bpf__
	struct fns_cc_hop hops[FNS_CC_HOPS];
#else
	const struct fns_cc_hop *hops;
#endif
};

/*
 * What shall be from now on. Comes filled in with what is in force; leave what is to stay.
 *
 * Nonsense is refused slot by slot: the queue pair stays on what it had, and the engine counts
 * (cc_refused in `flexins status`).
 */
struct fns_cc_out {
	/*
	 * Payload bytes that may be in flight; 0 is refused; FNS_CC_UNLIMITED: no limit of this
	 * algorithm. One packet may always be in flight, so less than a packet is one packet: for
	 * less, pace. The receiver's buffer is looked after elsewhere; the smaller window holds.
	 */
	uint64_t window_bytes;
	/*
	 * Pacing, FNS_CC_RATE_MIN to FNS_CC_RATE_MAX, or FNS_CC_UNLIMITED: none. Counts what a
	 * packet takes on an Ethernet: BTH to ICRC, and 66 bytes for IPv4, UDP, Ethernet, preamble
	 * and gap. Of requests; READ responses are not paced. A queue pair that is late (nobody
	 * ran the engine) may catch up 20 us worth.
	 */
	uint64_t rate_bps;
	/* Absolute time of the next FNS_CC_TIMER, or FNS_CC_NEVER. Less than FNS_CC_TIMER_MIN_NS
	 * from now becomes that; in the past counts as refused. */
	uint64_t timer_ns;
	/* Any number: packets with different ones may take different ways, where the transport
	 * sprays; 0: stay. RoCEv2 connections keep to one way and do not look at it. */
	uint32_t path_hint;
	uint32_t zero;
};

/* One queue pair's. */
struct fns_cc_ctx {
	/* The parameters' values, in the order of the table, constant from FNS_CC_INIT on. Within
	 * their ranges; FNS_CC_PARAMS of them, those that are not in the table 0. */
#ifdef __bpf__
	uint64_t param[FNS_CC_PARAMS];
#else
	const uint64_t *param;
#endif
	uint64_t state[FNS_CC_STATE_BYTES / 8]; /* the algorithm's */
#ifndef __bpf__
	const struct fns_cc_ops *self; /* the table that is called; not for algorithms */
#endif
};

/*
 * eBPF cannot follow pointers that it finds in memory, so there everything lies in one block, laid
 * out like this on both sides. What an algorithm's source says (ctx->param[i], ev->hops[i]) is the
 * same. Hops beyond nhops are stale.
 */
struct fns_cc_flat {
#ifdef __bpf__
	struct fns_cc_ctx ctx;
	struct fns_cc_out out;
	struct fns_cc_event ev;
#else
	uint64_t param[FNS_CC_PARAMS];
	uint64_t state[FNS_CC_STATE_BYTES / 8];
	struct fns_cc_out out;
	uint64_t ev[FNS_CC_FLAT_EVENT_BYTES / 8]; /* struct fns_cc_event up to its hops */
	struct fns_cc_hop hops[FNS_CC_HOPS];
#endif
};

struct fns_cc_param {
	const char *name; /* lower case letters, digits and '_'; ends in its unit */
	const char *unit; /* for people */
	const char *text; /* what it is, one line */
	uint64_t def, min, max;
};

#define FNS_CC_ON(type) (1u << (type))

/* flags */
#define FNS_CC_F_ECT 1u /* packets say that they may be marked instead of dropped: ECT(0) */

struct fns_cc_ops {
	uint32_t abi;  /* FNS_CC_ABI */
	uint32_t size; /* sizeof(struct fns_cc_ops) */
	/* Lower case letters, digits and '_', as on the command line. */
	const char *name;
	const char *text; /* one line */
	/* Events wanted, FNS_CC_ON() of each; others are not delivered. FNS_CC_INIT must be one of
	 * them. FNS_CC_SENT costs a call for every packet. */
	uint32_t events;
	uint32_t flags;
	uint32_t state_bytes; /* used of ctx->state, for checking */
	uint32_t nparams;     /* FNS_CC_PARAMS at most */
	const struct fns_cc_param *params;
	/*
	 * Engine's thread. ctx, ev and out are valid during the call only. Writes to ctx->state and
	 * *out and nothing else.
	 */
	void (*on_event)(
		struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out);
};

#ifdef __cplusplus
}
#endif

#endif
