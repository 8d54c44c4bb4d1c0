/* SPDX-License-Identifier: Apache-2.0 */
/* scatter, as eBPF. */
#include "offload/bpf/handler.h"

enum {
	NEXT,
	WORD,
	TOTAL,
	PASS, /* 0: looks, 1: stores */
	REGION,
	END,
	COUNT
};

STEP(struct fns_offload_ctx *x)
{
	uint64_t w, addr, second, header;
	uint32_t len, region;

	if (x->step == 0) {
		uint64_t n = x->args[0];

		if (x->arg_len < 8 || n > FNS_OFFLOAD_SPANS ||
			x->arg_len < 8 + n * sizeof(struct fns_offload_span))
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[COUNT] = n;
		x->state[WORD] = 1;
	}
	header = 8 + x->state[COUNT] * sizeof(struct fns_offload_span);
	w = x->state[WORD];
	if (x->state[NEXT] == x->state[COUNT]) {
		if (x->state[PASS])
			return done(x, x->state[TOTAL]);
		if (x->state[TOTAL] != x->arg_len - header)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		x->state[PASS] = 1;
		x->state[TOTAL] = 0;
		x->state[NEXT] = 0;
		w = ARG_WORDS;
	}
	if (w + 1 >= ARG_WORDS) {
		x->state[WORD] = 0;
		x->act.at = (uint32_t)(8 + x->state[NEXT] * sizeof(struct fns_offload_span));
		return FNS_OFFLOAD_SEE_ARGS;
	}
	x->state[WORD] = w + 2;
	x->state[NEXT]++;
	addr = x->args[w & (ARG_WORDS - 1)];
	second = x->args[(w + 1) & (ARG_WORDS - 1)];
	len = LOW(second);
	region = HIGH(second);
	if (x->state[PASS] == 0) {
		if (addr + len < addr)
			return refuse(x, FNS_OFFLOAD_R_ARGS);
		if (region < x->state[REGION] ||
			(region == x->state[REGION] && addr < x->state[END]))
			return refuse(x, FNS_OFFLOAD_R_OVERLAP);
		x->state[REGION] = region;
		x->state[END] = addr + len;
		x->state[TOTAL] += len;
		x->act.len = 0; /* nothing to store yet */
		x->act.at = 0;
		return FNS_OFFLOAD_STORE_ARGS;
	}
	x->act.region = region;
	x->act.addr = addr;
	x->act.len = len;
	x->act.at = (uint32_t)(header + x->state[TOTAL]);
	x->state[TOTAL] += len;
	return FNS_OFFLOAD_STORE_ARGS;
}
