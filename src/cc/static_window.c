/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The congestion control of a NIC that has none: a constant window, no pacing, no timer, no state.
 * The default, and the shortest example of an algorithm. Called through fns_cc_ops by the engine.
 */
#include "cc/cc.h"

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	out->window_bytes = FNS_CC_STATIC_WINDOW;
	out->rate_bps = FNS_CC_UNLIMITED;
	out->timer_ns = FNS_CC_NEVER;
	out->path_hint = 0;
}

const struct fns_cc_ops fns_cc_static_window = {
	.abi = FNS_CC_ABI,
	.size = sizeof(fns_cc_static_window),
	.name = "static_window",
	.text = "a constant window of 8 MiB: none at all",
	.events = FNS_CC_ON(FNS_CC_INIT),
	.on_event = on_event,
};
