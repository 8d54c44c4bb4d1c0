/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Injected errors: requests of one queue pair from some PSN on are swallowed, and answered with the
 * error as if the peer had. Called by fault.c.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "roce/psn.h"
#include "wire/fault_priv.h"

#define RNR_TIMER 1u /* the shortest: 10 us */

/* Is this a request that an injected error is about? It is swallowed then. */
bool fns_fault_error_takes(struct fault_wire *w, const struct fns_frame *f, uint32_t qpn)
{
	if (!(fns_opcodes[f->hdr[0]].flags & FNS_OPF_REQUEST) || (f->hdr[0] & 0xe0) != FNS_TC_RC)
		return false;
	for (uint32_t i = 0; i < ERRORS; i++) {
		struct fault_error *e = &w->error[i];

		if (e->used && e->qpn == qpn && psn_diff(get_be24(f->hdr + BTH_PSN), e->psn) >= 0) {
			e->hit = true;
			return true;
		}
	}
	return false;
}

/* A response to an injected error's request arrives, as if from the peer. */
static void error_respond(
	struct fault_wire *w, struct fault_error *e, const struct fns_fault_qp *qp)
{
	static const uint8_t syndrome[] = {
		[FNS_FAULT_ERR_RNR] = FNS_AETH_RNR | RNR_TIMER,
		[FNS_FAULT_ERR_ACCESS] = FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS,
		[FNS_FAULT_ERR_INVALID] = FNS_AETH_NAK | FNS_NAK_INVALID_REQUEST,
		[FNS_FAULT_ERR_OPERATIONAL] = FNS_AETH_NAK | FNS_NAK_REMOTE_OPERATIONAL,
	};
	struct fns_hdr hdr = {.opcode = FNS_TC_RC | FNS_OP_ACK,
		.pkey = FNS_PKEY_DEFAULT,
		.dest_qp = e->qpn,
		.psn = e->psn,
		.syndrome = syndrome[e->what]};
	struct fault_held *h = fns_fault_held_get(w, RX);

	if (!h)
		return; /* again at the next look */
	h->len = fns_hdr_build(h->data, &hdr);
	h->view = (struct fns_rx_view){.data = h->data,
		.len = h->len,
		.ttl = 64,
		.src = qp->remote,
		.dst = qp->local,
		.buf = h};
	fns_fault_hold(w, h, &(struct fault_verdict){0}, fns_fault_now(w));
	fns_fault_count(w, FNS_C_fault_errors);
	e->hit = false;
	if (e->what != FNS_FAULT_ERR_RNR || (e->counted && --e->left == 0)) {
		e->used = false;
		w->nerrors--;
	}
}

/*
 * A NAK says that everything before it has arrived, so it may only be made once that is true: the
 * oldest request not acknowledged is the one that was swallowed.
 */
void fns_fault_errors_look(struct fault_wire *w)
{
	for (uint32_t i = 0; i < ERRORS; i++) {
		struct fault_error *e = &w->error[i];
		struct fns_fault_qp qp;

		if (!e->used)
			continue;
		if (!w->cfg.qp_look(w->cfg.ctx, e->qpn, &qp) || !qp.rts) {
			e->used = false; /* it has failed, or is gone */
			w->nerrors--;
		} else if (e->hit && e->what != FNS_FAULT_ERR_RETRY && qp.una == e->psn) {
			error_respond(w, e, &qp);
		}
	}
}

int fns_wire_fault_inject(
	struct fns_wire *base, uint32_t qpn, enum fns_fault_error what, uint32_t n)
{
	struct fault_wire *w = fns_fault_of(base);
	struct fns_fault_qp qp;

	if (!w->cfg.qp_look(w->cfg.ctx, qpn, &qp))
		return -ENOENT;
	if (!qp.rc)
		return -EPROTONOSUPPORT;
	if (!qp.rts)
		return -ENOTCONN;
	if ((what == FNS_FAULT_ERR_RNR && qp.rnr_retry == 7 && n == 0) ||
		(what == FNS_FAULT_ERR_RETRY && qp.timeout == 0))
		return -ERANGE;
	for (uint32_t i = 0; i < ERRORS; i++) {
		struct fault_error *e = &w->error[i];

		if (e->used && e->qpn == qpn)
			return -EBUSY;
	}
	for (uint32_t i = 0; i < ERRORS; i++) {
		if (w->error[i].used)
			continue;
		w->error[i] = (struct fault_error){.used = true,
			.what = what,
			.qpn = qpn,
			.psn = qp.next,
			.left = n,
			.counted = n != 0};
		w->nerrors++;
		return 0;
	}
	return -EBUSY;
}

unsigned fns_wire_fault_errors(
	const struct fns_wire *base, uint32_t *qpn, enum fns_fault_error *what, unsigned max)
{
	const struct fault_wire *w = (const struct fault_wire *)(const void *)base;
	unsigned n = 0;

	for (uint32_t i = 0; i < ERRORS && n < max; i++) {
		if (!w->error[i].used)
			continue;
		qpn[n] = w->error[i].qpn;
		what[n++] = w->error[i].what;
	}
	return n;
}
