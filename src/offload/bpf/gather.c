/* SPDX-License-Identifier: Apache-2.0 */
/* gather, as eBPF. */
#include "offload/bpf/handler.h"

enum {
	NEXT,
	WORD,
	TOTAL,
	COUNT
};

STEP(struct fns_offload_ctx *x)
{
	uint64_t w, second;

	if (x->step == 0) {
		uint64_t n = x->args[0];

		if (x->arg_len < 8 || n > FNS_OFFLOAD_SPANS ||
			x->arg_len != 8 + n * sizeof(struct fns_offload_span))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[COUNT] = n;
		x->state[WORD] = 1;
	}
	if (x->state[NEXT] == x->state[COUNT])
		return done(x, x->state[TOTAL]);
	w = x->state[WORD];
	if (w + 1 >= ARG_WORDS) {
		x->state[WORD] = 0;
		x->act.at = (uint32_t)(8 + x->state[NEXT] * sizeof(struct fns_offload_span));
		return FNS_OFFLOAD_SEE_ARGS;
	}
	x->state[WORD] = w + 2;
	x->state[NEXT]++;
	second = x->args[(w + 1) & (ARG_WORDS - 1)];
	x->act.region = HIGH(second);
	x->act.addr = x->args[w & (ARG_WORDS - 1)];
	x->act.len = LOW(second);
	x->act.to = x->state[TOTAL];
	x->state[TOTAL] += LOW(second);
	return x->out_len ? FNS_OFFLOAD_WRITE_MEM : FNS_OFFLOAD_EMIT_MEM;
}
