/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selective repeat for reliable connections between FlexiNS peers, after IRN (Mittal et al.,
 * SIGCOMM 2018; docs/irn.md): who receives keeps what comes behind a gap and says so, who sends
 * repeats only what is missing. Both sides hold state only while there is a gap, from the engine's
 * pools; who finds them empty goes back N as ever.
 *
 * irn.c is the wire format, irn_rx.c the responder's half, irn_tx.c the requester's. Called by the
 * files of the reliable connection; engine's thread.
 */
#ifndef FNS_TRANSPORT_IRN_H
#define FNS_TRANSPORT_IRN_H

#include "transport/rc.h"

/* PSNs from the one expected that a receiver keeps, and that a sender has under way at most; a
 * power of two that divides 2^24. */
#define FNS_IRN_WINDOW 1024u
#define FNS_IRN_BYTES  (FNS_IRN_WINDOW / 8)

/* In an engine, at a time: connections with a gap, each way, and packets held for them. */
#define FNS_IRN_GAPS  64u
#define FNS_IRN_HOLDS 1024u
/* Of these, for one connection. */
#define FNS_IRN_HOLDS_EACH 256u
/* Payloads from here on are placed ahead of their turn; shorter ones are held. */
#define FNS_IRN_EARLY 256u
#define FNS_IRN_TAIL  8u /* bytes of an early placement that wait for its turn */
/* Responses that a requester places ahead of one that is missing. */
#define FNS_IRN_RESPONSES 256u
/* Without word for so long, or four round trips if that is more, a probe is sent. */
#define FNS_IRN_PROBE_NS (100 * FNS_NSEC_PER_USEC)

/* --- what a SACK's payload says --- */
struct fns_sack {
	uint32_t epsn; /* all before it has arrived */
	uint32_t n;    /* PSNs from epsn on, of which bit[] tells; the last of them has arrived */
	uint8_t bit[FNS_IRN_BYTES]; /* PSN epsn + i: bit i % 8 of byte i / 8 */
};
#define FNS_SACK_MAX (4 + FNS_IRN_BYTES)

static inline bool fns_sack_has(const struct fns_sack *s, uint32_t i)
{
	return s->bit[i / 8] >> i % 8 & 1;
}
/* Any bytes are accepted as input. False: badly made, or it says nothing. */
bool fns_sack_parse(const uint8_t *payload, uint32_t len, struct fns_sack *out);
/* Returns the length, a multiple of 4, FNS_SACK_MAX at most. */
uint32_t fns_sack_build(uint8_t *out, const struct fns_sack *s);

/* --- receiver --- */
enum fns_irn_state {
	FNS_IRN_EMPTY,
	FNS_IRN_HELD,    /* all of it, in hold */
	FNS_IRN_PLACING, /* payload on its way into memory but for its tail, by op */
	FNS_IRN_PLACED,
	FNS_IRN_FAILED,  /* memory refused it: to be said when its turn comes */
	FNS_IRN_COVERED, /* PSNs of a READ after its first */
};

struct fns_irn_hold {
	struct fns_hdr h; /* its payload points behind it */
	uint8_t payload[FNS_STAGE_BYTES];
};

struct fns_irn_slot {
	uint8_t state; /* enum fns_irn_state */
	bool ack_req, solicited;
	uint32_t rkey, len;
	uint64_t va;
	struct fns_memref ref; /* of the whole payload; not to be used but for comparison */
	uint8_t tail[FNS_IRN_TAIL];
	union {
		struct fns_irn_hold *hold;
		struct fns_rxop *op;
	};
};

struct fns_irn_rx {
	uint32_t count;                           /* slots not empty */
	uint32_t holds, early;                    /* of these */
	uint32_t span;                            /* all are within so many PSNs from epsn */
	uint64_t low, end;                        /* ... and early ones between these offsets, */
	struct fns_region *region;                /* of this region; NULL: of several */
	struct fns_irn_slot slot[FNS_IRN_WINDOW]; /* by PSN, modulo */
};

/*
 * A selective packet at epsn or behind it, which the responder cannot just execute: beyond a gap,
 * or while there is one. True: the view was kept.
 */
bool fns_irn_rx(struct fns_qp *qp, struct fns_hdr *h, struct fns_rx_view *v);
/* epsn has moved by n. */
static inline void fns_irn_advance(struct fns_qp *qp, uint32_t n)
{
	qp->rsp.irn->span -= FNS_MIN(qp->rsp.irn->span, n);
}
/* Data about to be placed in its turn, while there is a gap: not over what a later packet has
 * placed early. Returns the payload that remains. */
const uint8_t *fns_irn_supersede(struct fns_qp *qp, struct fns_rxop *op, const uint8_t *payload);
/* Makes an operation of the slot's packet, which was accepted: payload and references. Returns the
 * source. */
const uint8_t *fns_irn_take(struct fns_irn_slot *s, struct fns_rxop *op);
/* Gives all of it up: a reset, an error, a message refused. */
void fns_irn_rx_drop(struct fns_qp *qp);
/* What is there behind the gap. False: nothing. */
bool fns_irn_report(const struct fns_qp *qp, struct fns_sack *out);

/* --- sender --- */
struct fns_irn_mark {
	uint32_t psn;  /* sent again; else the mark is none of it */
	uint32_t next; /* PSN not sent yet at that time */
	uint32_t epoch;
};

struct fns_irn_tx {
	struct fns_sack last; /* what the receiver said last */
	uint32_t high;        /* one past the highest PSN that it has */
	uint32_t scan;        /* nothing is missing before it */
	uint32_t recover;     /* a loss before it is part of the one that was told of */
	bool pending;         /* something may be missing from scan on */
	uint32_t epoch;       /* marks of another one are void */
	struct fns_irn_mark mark[FNS_IRN_WINDOW];
};

/* Fixes the scheme of the connection if what the peer is has become known. */
void fns_irn_decide(struct fns_qp *qp);
/* What a SACK says beyond its ACK, which was dealt with. */
void fns_irn_sacked(struct fns_qp *qp, const struct fns_sack *s);
/* una has moved. */
void fns_irn_progress(struct fns_qp *qp);
/* --- responses behind one that is missing: placed as they come (irn_rsp.c) --- */
/* Is it one that has not come yet, not too far ahead? */
bool fns_irn_response_new(const struct fns_qp *qp, uint32_t psn);
/* It has come, and is being placed. */
void fns_irn_response(struct fns_qp *qp, uint32_t psn);
/* una has moved past a response: so it does past those that came early. */
void fns_irn_responses(struct fns_qp *qp);
/* Was the response at una asked for again, and it must be on its way? */
static inline bool fns_irn_asked(const struct fns_qp *qp)
{
	const struct fns_requester *r = &qp->req;

	return r->scheme == FNS_SCHEME_IRN &&
	       (uint32_t)(psn_diff(r->rsp_asked, r->una) - 1) < FNS_IRN_RESPONSES;
}

/* Is there something to be sent again? */
static inline bool fns_irn_has_more(const struct fns_requester *r)
{
	return r->resend_una || (r->irn_tx && r->irn_tx->pending);
}
/* Sends it. IDLE: all, or until somebody activates. */
enum fns_tx_result fns_irn_resend(struct fns_qp *qp);
/* A probe is out, or time has passed: what was sent again may have been lost again. */
void fns_irn_doubt(struct fns_qp *qp);
void fns_irn_tx_drop(struct fns_qp *qp);

#endif
