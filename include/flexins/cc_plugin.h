/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A congestion control in a file of its own. The same source becomes
 *
 *   a shared object   cc -O2 -fPIC -shared -o mine.so mine.c
 *   eBPF              clang -O2 -target bpf -mcpu=v2 -c -o mine.o mine.c
 *
 * and with FNS_CC_SYMBOL defined as fns_cc_mine, a built-in of FlexiNS. `flexins run
 * --cc=./mine.o:PARAM=N` uses it; `flexins cc load` brings it into programs that run.
 *
 * A shared object is code of yours with all that your program may do. eBPF is verified when it is
 * loaded: it can touch its context, event and output, and it ends. For that it goes without loops
 * (#pragma unroll), global variables, 128-bit and signed division, and calls.
 *
 *   struct mine {                      // state: FNS_CC_STATE_BYTES at most
 *           uint64_t window;
 *   };
 *
 *   FNS_CC_FN void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev,
 *           struct fns_cc_out *out) { ... }
 *
 *   FNS_CC_PLUGIN(mine, "one line", FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK), 0,
 *           struct mine, on_event,
 *           FNS_CC_PARAM(start_kib, "KiB", "the first window", 64, 1, 65536), ...)
 *
 * with up to FNS_CC_PARAMS parameters. What they are is read from an eBPF file without running it.
 */
#ifndef FLEXINS_CC_PLUGIN_H
#define FLEXINS_CC_PLUGIN_H

#include <flexins/cc.h>

#ifdef __cplusplus
#error "plug-ins are written in C"
#endif

/* Where an eBPF object says what it is, and where its code is. */
#define FNS_CC_BPF_ABOUT "flexins_cc"
#define FNS_CC_BPF_CODE  "flexins_cc_code"

struct fns_cc_bpf_param {
	char name[32], unit[16], text[128];
	uint64_t def, min, max;
};

struct fns_cc_bpf_about {
	uint32_t abi, size; /* FNS_CC_ABI; of this struct */
	char name[32], text[128];
	uint32_t events, flags, state_bytes, nparams;
	struct fns_cc_bpf_param param[FNS_CC_PARAMS];
};

/* The name of the table in a shared object. */
#define FNS_CC_PLUGIN_SYMBOL "fns_cc_plugin"

#ifndef FNS_CC_SYMBOL
#define FNS_CC_SYMBOL fns_cc_plugin
#define FNS_CC_EXPORT __attribute__((visibility("default")))
#else
#define FNS_CC_EXPORT
#endif

/* clang-format off */
#define FNS_CC_PARAM(name, unit, text, def, min, max) {#name, unit, text, def, min, max}

#ifdef __bpf__

#define FNS_CC_FN static inline __attribute__((always_inline))

#define FNS_CC_PLUGIN(name_, text_, events_, flags_, state_, on_event_, ...)                       \
	_Static_assert(sizeof(state_) <= FNS_CC_STATE_BYTES, "the state is too large");            \
	__attribute__((unused)) static const struct fns_cc_bpf_param fns_cc_count_[] = {__VA_ARGS__};                    \
	__attribute__((section(FNS_CC_BPF_ABOUT), used)) const struct fns_cc_bpf_about             \
		fns_cc_about = {FNS_CC_ABI, sizeof(struct fns_cc_bpf_about), #name_, text_,        \
			events_, flags_, sizeof(state_),                                           \
			sizeof(fns_cc_count_) / sizeof(fns_cc_count_[0]), {__VA_ARGS__}};    \
	__attribute__((section(FNS_CC_BPF_CODE), used)) uint64_t fns_cc_run(struct fns_cc_flat *m) \
	{                                                                                          \
		on_event_(&m->ctx, &m->ev, &m->out);                                               \
		return 0;                                                                          \
	}

#else

#define FNS_CC_FN static

#define FNS_CC_PLUGIN(name_, text_, events_, flags_, state_, on_event_, ...)                       \
	_Static_assert(sizeof(state_) <= FNS_CC_STATE_BYTES, "the state is too large");            \
	static const struct fns_cc_param fns_cc_params_[] = {__VA_ARGS__};                         \
	extern const struct fns_cc_ops FNS_CC_SYMBOL;                                              \
	FNS_CC_EXPORT const struct fns_cc_ops FNS_CC_SYMBOL = {                                    \
		.abi = FNS_CC_ABI,                                                                 \
		.size = sizeof(struct fns_cc_ops),                                                 \
		.name = #name_,                                                                    \
		.text = text_,                                                                     \
		.events = events_,                                                                 \
		.flags = flags_,                                                                   \
		.state_bytes = sizeof(state_),                                                     \
		.nparams = sizeof(fns_cc_params_) / sizeof(fns_cc_params_[0]),                 \
		.params = fns_cc_params_,                                                          \
		.on_event = on_event_,                                                             \
	};

#endif
/* clang-format on */

#endif
