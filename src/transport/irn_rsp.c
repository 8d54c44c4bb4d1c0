/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selective repeat, READ responses and atomic results: what comes behind a missing one is placed at
 * once, since its PSN says where it belongs, and counts when its turn comes. What is missing is
 * asked for again from una to the end of its piece, by a request that the responder knows as a
 * duplicate (IBTA 9.7.5.1.3): the wire format is RoCEv2's own.
 */
#include "transport/irn.h"

static bool test(const struct fns_requester *r, uint32_t psn)
{
	return r->rsp_early[psn / 32 % 8] >> psn % 32 & 1;
}

static void flip(struct fns_requester *r, uint32_t psn)
{
	r->rsp_early[psn / 32 % 8] ^= 1u << psn % 32;
}

bool fns_irn_response_new(const struct fns_qp *qp, uint32_t psn)
{
	const struct fns_requester *r = &qp->req;
	int32_t d = psn_diff(psn, r->una);

	return r->scheme == FNS_SCHEME_IRN && d > 0 && d < (int32_t)FNS_IRN_RESPONSES &&
	       !test(r, psn);
}

void fns_irn_response(struct fns_qp *qp, uint32_t psn)
{
	struct fns_requester *r = &qp->req;

	if (!r->rsp_any || psn_diff(psn, r->rsp_high) >= 0)
		r->rsp_high = psn_add(psn, 1);
	r->rsp_any = true;
	r->progress_ns = qp->nic->now_ns;
	flip(r, psn);
}

void fns_irn_responses(struct fns_qp *qp)
{
	struct fns_requester *r = &qp->req;

	bool missing = false;

	while (!missing && psn_diff(r->rsp_high, r->una) > 0) {
		struct fns_wqe *w = fns_sq_at(&qp->sq, r->ack_pos);

		if (test(r, r->una)) {
			flip(r, r->una);
			fns_rc_step_response(qp, w);
		} else if (fns_rc_has_response(w)) {
			missing = true;
		} else {
			/* Whoever answers what is behind has executed this. */
			fns_rc_ack_before(qp, r->rsp_high);
		}
	}
	r->rsp_any = missing;
	fns_rc_progress(qp);
	if (missing)
		fns_rc_missing(qp);
}
