/* SPDX-License-Identifier: Apache-2.0 */
/* hash-lookup, as eBPF. */
#include "offload/bpf/handler.h"

enum {
	AT,
	PROBES,
	FOUND
};

STEP(struct fns_offload_ctx *x)
{
	uint64_t bits = x->param[0], key = x->args[0];

	if (x->step == 0) {
		if (x->arg_len != sizeof(struct fns_offload_lookup) || bits < 1 || bits > 40)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[AT] = (key * 0x9e3779b97f4a7c15ull) >> (64 - bits);
	} else {
		if (x->state[FOUND])
			return done(x, x->reply_len);
		if (x->data[1] && x->data[0] == key) {
			x->state[FOUND] = 1;
			x->act.region = 1;
			x->act.addr = x->data[1];
			x->act.len = LOW(x->data[2]);
			return FNS_OFFLOAD_EMIT_MEM;
		}
		if (x->data[1] == 0 || x->state[PROBES] >> (bits & 63))
			return refuse(x, FNS_OFFLOAD_R_NOT_FOUND);
		x->state[AT] = (x->state[AT] + 1) & ((1ull << (bits & 63)) - 1);
	}
	x->state[PROBES]++;
	x->act.region = 0;
	x->act.addr = x->region[0].addr + x->state[AT] * sizeof(struct fns_offload_entry);
	x->act.len = sizeof(struct fns_offload_entry);
	x->act.at = 0;
	return FNS_OFFLOAD_FETCH;
}
