/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eBPF programs that users bring: an object file of `clang -target bpf` becomes a function over one
 * block of memory, its context, that can read and write this block, its own stack and nothing else,
 * and that ends. For congestion controls and offload handlers; knows nothing of either.
 *
 * The ELF file is hostile input, read by elf.c. flow.c refuses loops and what would take the
 * verifier long. Then DPDK's librte_bpf verifies every access and compiles the program; that
 * library is opened when the first program is loaded, so who uses none pays nothing. What a
 * program may do is as tight as that verifier.
 *
 * What it cannot do: follow pointers that it finds in the context, call what is not among the
 * helpers given, use global variables or constants in memory, call functions of its own that were
 * not inlined.
 */
#ifndef FNS_BPF_BPF_H
#define FNS_BPF_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FNS_BPF_MAX_BYTES   (1u << 20) /* of an object file */
#define FNS_BPF_MAX_INS     4096u
#define FNS_BPF_MAX_WORK    (1u << 20) /* instructions looked at by the verifier, on all paths */
#define FNS_BPF_MAX_HELPERS 32u
#define FNS_BPF_MAX_ARGS    5u

/* A function that programs may call, by name (`extern uint64_t name(...)`). */
struct fns_bpf_helper {
	const char *name;
	uint64_t (*fn)(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
	uint32_t nargs;
	/* 0: a number; else a pointer into context or stack with at least so many bytes behind. */
	uint32_t arg_bytes[FNS_BPF_MAX_ARGS];
};

struct fns_bpf_cfg {
	const void *elf; /* the bytes of the object file; not needed afterwards */
	size_t len;
	const char *section; /* that holds the one function, with the context as its argument */
	size_t ctx_bytes;
	const struct fns_bpf_helper *helpers;
	uint32_t nhelpers;
};

/* A verified program. Running it is thread-safe, as far as its contexts and helpers are. */
struct fns_bpf {
	uint64_t (*jit)(void *ctx); /* NULL where there is no compiler for this processor */
	void *rte;
};

/* Is there what it takes? False: err says what is missing. Opens the library. */
bool fns_bpf_available(char *err, size_t errlen);

/* Verifies and compiles; takes up to a tenth of a second. NULL: err says why not. Thread-safe. */
struct fns_bpf *fns_bpf_load(const struct fns_bpf_cfg *cfg, char *err, size_t errlen);
void fns_bpf_destroy(struct fns_bpf *p);

uint64_t fns_bpf_interpret(const struct fns_bpf *p, void *ctx);

/* ctx: cfg.ctx_bytes, aligned for u64. */
static inline uint64_t fns_bpf_run(const struct fns_bpf *p, void *ctx)
{
	return __builtin_expect(p->jit != NULL, 1) ? p->jit(ctx) : fns_bpf_interpret(p, ctx);
}

/* Does it begin like an eBPF object file? */
bool fns_bpf_is_object(const void *elf, size_t len);
/*
 * A section's bytes, for what a program says about itself without being run. NULL: err says why
 * not. The bytes lie in elf and may be aligned to nothing.
 */
const void *fns_bpf_section(
	const void *elf, size_t len, const char *name, size_t *bytes, char *err, size_t errlen);

#endif
