/* SPDX-License-Identifier: Apache-2.0 */
/* Private to UC and UD: sending without acknowledgements, where a work request is done when the
 * wire has taken its last packet. */
#ifndef FNS_TRANSPORT_UNACKED_H
#define FNS_TRANSPORT_UNACKED_H

#include "transport/qp.h"

struct fns_unacked_ops {
	/* Who the work request is for; path and peer are ready then. OK with *p, RETRY, or ERROR
	 * with *status. */
	enum fns_gather (*peer)(struct fns_qp *qp, struct fns_wqe *w, struct fns_peer **p,
		enum fns_wc_status *status);
	/*
	 * Builds packet seg of w into f (got with room for FNS_MAX_SGE pieces): path, header with
	 * h->ack_req as given, payload; *buf the staging buffer or NULL. ERROR: *status.
	 */
	enum fns_gather (*build)(struct fns_qp *qp, struct fns_wqe *w, uint32_t pos, uint32_t seg,
		bool ack_req, struct fns_frame *f, void **buf, enum fns_wc_status *status);
};

void fns_unacked_reset(struct fns_qp *qp);
void fns_unacked_to_rtr(struct fns_qp *qp);
void fns_unacked_to_rts(struct fns_qp *qp);
bool fns_unacked_only_acks(const struct fns_qp *qp);
void fns_unacked_timer(struct fns_qp *qp);
enum fns_tx_result fns_unacked_tx(struct fns_qp *qp, const struct fns_unacked_ops *ops);
void fns_unacked_tx_done(struct fns_qp *qp, const struct fns_frame *f);
/* Placement done: commits in order. For fns_rxop_place. */
void fns_unacked_placed(struct fns_rxop *op);
/* The receive taken fails with status and takes the queue pair with it. */
void fns_unacked_recv_error(struct fns_qp *qp, enum fns_wc_status status);

#endif
