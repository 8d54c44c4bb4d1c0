/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An offload handler: the sum of numbers in a server's memory, of which the client wants nothing
 * else. docs/adding-a-handler.md goes through it line by line.
 *
 *	clang -O2 -target bpf -mcpu=v2 -ffreestanding -c sum_handler.c
 */
#include <flexins/offload.h>

/* The arguments, behind the request. */
struct sum_args {
	uint64_t addr; /* of region 0 */
	uint64_t count;
};

/* What a step leaves to the next, in ctx->state. */
enum {
	SUM,
	AT,
	LEFT /* numbers not fetched yet */
};

#define CHUNK (FNS_OFFLOAD_DATA / 8)

__attribute__((section(FNS_OFFLOAD_SECTION), used)) uint64_t step(struct fns_offload_ctx *ctx)
{
	if (ctx->step == 0) {
		if (ctx->arg_len != sizeof(struct sum_args)) {
			ctx->act.code = FNS_OFFLOAD_R_ARGS;
			return FNS_OFFLOAD_REFUSE;
		}
		ctx->state[AT] = ctx->args[0];
		ctx->state[LEFT] = ctx->args[1];
	} else {
		uint64_t sum = ctx->state[SUM];

#pragma unroll
		for (unsigned i = 0; i < CHUNK; i++)
			sum += ctx->data[i];
		ctx->state[SUM] = sum;
	}
	if (ctx->state[LEFT] == 0) {
		ctx->act.code = 0;
		ctx->act.value = ctx->state[SUM];
		return FNS_OFFLOAD_DONE;
	}
	ctx->act.region = 0;
	ctx->act.addr = ctx->state[AT];
	ctx->act.at = 0;
	if (ctx->state[LEFT] >= CHUNK) {
		ctx->act.len = FNS_OFFLOAD_DATA;
		ctx->state[LEFT] -= CHUNK;
		ctx->state[AT] += FNS_OFFLOAD_DATA;
		return FNS_OFFLOAD_FETCH;
	}
	/* The last ones: what is not fetched must not count. */
	ctx->act.len = (uint32_t)ctx->state[LEFT] * 8;
	ctx->state[LEFT] = 0;
#pragma unroll
	for (unsigned i = 0; i < CHUNK; i++)
		ctx->data[i] = 0;
	return FNS_OFFLOAD_FETCH;
}
