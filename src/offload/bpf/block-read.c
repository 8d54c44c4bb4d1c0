/* SPDX-License-Identifier: Apache-2.0 */
/* block-read, as eBPF. */
#include "offload/bpf/handler.h"

STEP(struct fns_offload_ctx *x)
{
	uint64_t size = x->param[0], block = x->args[0];

	if (x->step == 0) {
		if (x->arg_len != sizeof(struct fns_offload_block) || size == 0 ||
			size > UINT32_MAX || block >= x->region[0].len / size)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->act.region = 0;
		x->act.addr = x->region[0].addr + block * size;
		x->act.len = (uint32_t)size;
		return FNS_OFFLOAD_EMIT_MEM;
	}
	if (x->step == 1) {
		x->act.at = 0;
		x->act.len = x->reply_len;
		x->act.swap = 0;
		return FNS_OFFLOAD_SUM_REPLY;
	}
	return done(x, x->value);
}
