/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The congestion control of a NIC that has none: a constant window, no pacing, no timer, no state.
 * The default, and the shortest example of an algorithm. Called through fns_cc_ops by the engine.
 */
#include "cc/cc.h"

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	*out = (struct fns_cc_out){
		.window_bytes = FNS_CC_STATIC_WINDOW,
		.rate_bps = FNS_CC_UNLIMITED,
		.timer_ns = UINT64_MAX,
		.path_hint = 0,
	};
}

const struct fns_cc_ops fns_cc_static_window = {
	.name = "static_window",
	.on_event = on_event,
};
