/* SPDX-License-Identifier: Apache-2.0 */
/* replicate, as eBPF. */
#include "offload/bpf/handler.h"

STEP(struct fns_offload_ctx *x)
{
	uint32_t step = x->step;

	if (step == 0) {
		if (x->arg_len < sizeof(struct fns_offload_replicate))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->act.region = 0;
		x->act.addr = x->args[0];
		x->act.compare = x->args[1];
		x->act.swap = x->args[2];
		return FNS_OFFLOAD_ATOMIC_CAS;
	}
	if (step == 1 && x->value != x->args[1]) {
		refuse(x, FNS_OFFLOAD_R_DIFFERS);
		x->act.value = x->value;
		return FNS_OFFLOAD_REFUSE;
	}
	if (step >= x->nregions)
		return done(x, x->args[1]);
	x->act.region = step;
	x->act.addr = x->region[step & (FNS_OFFLOAD_REGIONS - 1)].addr + x->args[3];
	x->act.len = x->arg_len - (uint32_t)sizeof(struct fns_offload_replicate);
	x->act.at = sizeof(struct fns_offload_replicate);
	return FNS_OFFLOAD_STORE_ARGS;
}
