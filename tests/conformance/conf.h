/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance by rule: one function a rule of the specification, on the bench of tests/unit/engine
 * (crafted packets in, sent packets looked at, virtual time). Every rule runs twice, with memory
 * near and with simulated DMA that delays and reorders. Each program is a table of rules and calls
 * conf_main(); docs/conformance.md lists the same rules, checked by check_doc.py.
 */
#ifndef FNS_TEST_CONF_H
#define FNS_TEST_CONF_H

#include "rig.h"

#include <string.h>

#define PMTU 1024u /* of the bench's queue pairs unless a rule sets another */
#define RQ   RIG_RQ_PSN
#define SQ   RIG_SQ_PSN
#define MEM  " [section from memory]" /* the number is to be checked against the text */

#define ACK       (FNS_AETH_ACK | FNS_AETH_NO_CREDITS)
#define NAK(code) ((uint8_t)(FNS_AETH_NAK | (code)))
#define RNR(code) ((uint8_t)(FNS_AETH_RNR | (code)))

#define CONF_DATA (64u << 10)

struct conf {
	bool far; /* simdma */
	uint64_t seed;
	struct rig *r;
	struct rig_qp qp;
};

struct conf_rule {
	const char *id, *section, *text;
	void (*fn)(struct conf *c);
};

int conf_main(int argc, char **argv, const struct conf_rule *rules, size_t n);

/* What crafted packets carry: CONF_DATA bytes. */
extern uint8_t conf_data[];

/* A bench and a queue pair in RESET whose attributes may still change; conf_up() takes it to RTS.
 */
void conf_new(struct conf *c, uint8_t type);
void conf_up(struct conf *c);
void conf_open(struct conf *c, uint8_t type); /* both */
void conf_close(struct conf *c);

/* A request with RETH or AtomicETH for mem + off, AckReq set. */
struct fns_hdr conf_rdma(struct conf *c, uint8_t op, uint32_t psn, uint32_t off, uint32_t len);
/* Delivers a request of any kind with len bytes of conf_data; RETH, if it has one, says mem + 0. */
void conf_in(struct conf *c, uint8_t op, uint32_t psn, uint32_t len, bool ack_req);
/* Delivers a response. */
void conf_resp(struct conf *c, uint8_t op, uint32_t psn, const void *data, uint32_t len);
void conf_orig(struct conf *c, uint32_t psn, uint64_t orig); /* ATOMIC ACK */

/* Settles; n packets must have been sent since the last look, which are then forgotten. */
const struct rig_packet *conf_sent(struct conf *c, unsigned n);
/* The only packet sent since: an acknowledgement. */
void conf_aeth(struct conf *c, uint32_t psn, uint8_t syndrome, uint32_t msn);
void conf_silent(struct conf *c);
/* A signalled work request over mem + off, settled. */
void conf_post(struct conf *c, uint8_t op, uint64_t id, uint32_t off, uint32_t len);
void conf_atomic(struct conf *c, uint8_t op, uint64_t id, uint64_t compare, uint64_t swap_add);
/* A fatal NAK of this code for the PSN expected, sent last; the queue pair is in ERR. */
void conf_refused(struct conf *c, uint32_t psn, uint8_t code);
unsigned conf_events(const struct conf *c, uint32_t type);

#endif
