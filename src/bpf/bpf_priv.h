/* SPDX-License-Identifier: Apache-2.0 */
/* Private to bpf: instructions, and what the stages of a load say to each other. */
#ifndef FNS_BPF_BPF_PRIV_H
#define FNS_BPF_BPF_PRIV_H

#include "bpf/bpf.h"

/* One instruction, as the object file and the verifier have it. */
struct fns_bpf_ins {
	uint8_t code;
	uint8_t regs; /* destination in the low half, source in the high one */
	int16_t off;
	int32_t imm;
};
_Static_assert(sizeof(struct fns_bpf_ins) == 8, "an instruction");

#define FNS_BPF_CALL  0x85u
#define FNS_BPF_EXIT  0x95u
#define FNS_BPF_JA    0x05u
#define FNS_BPF_LDDW  0x18u /* takes two */
#define FNS_BPF_CLASS 0x07u
#define FNS_BPF_JMP   0x05u
#define FNS_BPF_JMP32 0x06u

/*
 * elf.c: the instructions of cfg's section, calls bound to the numbers of helpers. How many; 0: err
 * says why not.
 */
uint32_t fns_bpf_elf_program(const struct fns_bpf_cfg *cfg,
	struct fns_bpf_ins out[static FNS_BPF_MAX_INS], char *err, size_t errlen);

/*
 * flow.c: every path ends, and all paths together are within FNS_BPF_MAX_WORK. False: err says why
 * not. work: how many instructions all paths have.
 */
bool fns_bpf_flow_check(
	const struct fns_bpf_ins *ins, uint32_t n, uint64_t *work, char *err, size_t errlen);

#endif
