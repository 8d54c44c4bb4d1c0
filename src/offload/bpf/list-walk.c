/* SPDX-License-Identifier: Apache-2.0 */
/* list-walk, as eBPF. */
#include "offload/bpf/handler.h"

enum {
	AT,
	LEFT,
	FOUND
};

STEP(struct fns_offload_ctx *x)
{
	uint64_t key = x->args[1], next = x->args[0];
	uint32_t hops = LOW(x->args[2]);

	if (x->step == 0) {
		if (x->arg_len != sizeof(struct fns_offload_walk))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[LEFT] = hops;
	} else {
		if (x->state[FOUND])
			return done(x, x->state[AT]);
		if (hops ? x->state[LEFT] == 0 : x->data[1] == key) {
			x->state[FOUND] = 1;
			x->act.at = FNS_OFFLOAD_NODE_VALUE;
			x->act.len = FNS_OFFLOAD_NODE - FNS_OFFLOAD_NODE_VALUE;
			return FNS_OFFLOAD_EMIT;
		}
		next = x->data[0];
		if (next == 0)
			return refuse(x, FNS_OFFLOAD_R_NOT_FOUND);
		x->state[LEFT]--;
	}
	x->state[AT] = next;
	x->act.region = 0;
	x->act.addr = next;
	x->act.len = FNS_OFFLOAD_NODE;
	x->act.at = 0;
	return FNS_OFFLOAD_FETCH;
}
