/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the built-in handlers as eBPF have in common. They do what src/offload/builtin.c does, under
 * the rules of eBPF: no loops, no memory of their own, every offset provably within the context.
 */
#ifndef FNS_OFFLOAD_BPF_HANDLER_H
#define FNS_OFFLOAD_BPF_HANDLER_H

#include "flexins/offload.h"

#define STEP __attribute__((section(FNS_OFFLOAD_SECTION), used)) uint64_t step

#define ARG_WORDS (FNS_OFFLOAD_ARGS / 8)

/* The halves of a word of args: messages are little-endian, and so is every host that runs this. */
#define LOW(word)  ((uint32_t)(word))
#define HIGH(word) ((uint32_t)((word) >> 32))

static inline __attribute__((always_inline)) uint64_t refuse(
	struct fns_offload_ctx *x, uint32_t code)
{
	x->act.code = code;
	x->act.value = 0;
	return FNS_OFFLOAD_REFUSE;
}

static inline __attribute__((always_inline)) uint64_t done(
	struct fns_offload_ctx *x, uint64_t value)
{
	x->act.code = 0;
	x->act.value = value;
	return FNS_OFFLOAD_DONE;
}

#endif
