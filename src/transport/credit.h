/* SPDX-License-Identifier: Apache-2.0 */
/* Between peer.c and credit.c: a peer's unacknowledged traffic. */
#ifndef FNS_TRANSPORT_CREDIT_H
#define FNS_TRANSPORT_CREDIT_H

struct fns_peer;

/* No credit came for a while: what was sent is taken to have left the peer's buffer. */
void fns_credit_timeout(struct fns_peer *p);

/* The peer's host has said what it is. */
void fns_credit_learn(struct fns_peer *p);

#endif
