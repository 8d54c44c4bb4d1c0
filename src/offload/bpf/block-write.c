/* SPDX-License-Identifier: Apache-2.0 */
/* block-write, as eBPF. */
#include "offload/bpf/handler.h"

STEP(struct fns_offload_ctx *x)
{
	uint64_t size = x->param[0], block = x->args[0];

	x->act.region = 0;
	x->act.at = sizeof(struct fns_offload_block);
	if (x->step == 0) {
		if (size == 0 || size > UINT32_MAX || block >= x->region[0].len / size ||
			x->arg_len != sizeof(struct fns_offload_block) + size)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->act.addr = x->region[0].addr + block * size;
		x->act.len = (uint32_t)size;
		x->act.swap = 0;
		return FNS_OFFLOAD_SUM_ARGS;
	}
	if (x->step == 1)
		return x->value == LOW(x->args[1]) ? FNS_OFFLOAD_STORE_ARGS
						   : refuse(x, FNS_OFFLOAD_R_CHECKSUM);
	return done(x, 0);
}
