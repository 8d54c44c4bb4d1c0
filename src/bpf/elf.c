/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads eBPF object files: sections by name, and the one function with its calls bound. The file is
 * hostile: every offset is checked before it is used, and nothing is trusted to be aligned. Pure;
 * owns nothing.
 */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "bpf/bpf_priv.h"

#ifndef EM_BPF
#define EM_BPF 247
#endif

#define SECTIONS 512u

struct file {
	const uint8_t *p;
	size_t len;
	uint64_t shoff;
	uint32_t shnum;
	Elf64_Shdr names;
};

/* n bytes at off, copied. False: beyond the end. */
static bool take(const struct file *f, uint64_t off, void *out, size_t n)
{
	if (off > f->len || n > f->len - off)
		return false;
	memcpy(out, f->p + off, n);
	return true;
}

static bool section_at(const struct file *f, uint32_t i, Elf64_Shdr *out)
{
	return i < f->shnum && take(f, f->shoff + i * sizeof(*out), out, sizeof(*out)) &&
	       (out->sh_type == SHT_NOBITS ||
		       (out->sh_offset <= f->len && out->sh_size <= f->len - out->sh_offset));
}

/* NULL: no string that ends. */
static const char *string(const struct file *f, const Elf64_Shdr *table, uint64_t at)
{
	const char *s;

	if (table->sh_type != SHT_STRTAB || at >= table->sh_size)
		return NULL;
	s = (const char *)f->p + table->sh_offset + at;
	return memchr(s, '\0', table->sh_size - at) ? s : NULL;
}

bool fns_bpf_is_object(const void *elf, size_t len)
{
	Elf64_Ehdr h;

	if (len < sizeof(h))
		return false;
	memcpy(&h, elf, sizeof(h));
	return memcmp(h.e_ident, ELFMAG, SELFMAG) == 0 && h.e_ident[EI_CLASS] == ELFCLASS64 &&
	       h.e_machine == EM_BPF;
}

static bool open_file(struct file *f, const void *elf, size_t len, char *err, size_t errlen)
{
	const char *why = NULL;
	Elf64_Ehdr h;

	*f = (struct file){.p = elf, .len = len};
	if (len > FNS_BPF_MAX_BYTES)
		why = "larger than 1 MiB";
	else if (!fns_bpf_is_object(elf, len))
		why = "not an eBPF object file (made by `clang -O2 -target bpf -mcpu=v2 -c`)";
	if (!why) {
		memcpy(&h, elf, sizeof(h));
		if (h.e_ident[EI_DATA] !=
			(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
			why = "of the other byte order";
		else if (h.e_type != ET_REL || h.e_shentsize != sizeof(Elf64_Shdr) ||
			 h.e_shnum == 0 || h.e_shnum > SECTIONS || h.e_shoff > len)
			why = "not a relocatable object, or damaged";
	}
	if (!why) {
		f->shoff = h.e_shoff;
		f->shnum = h.e_shnum;
		if (!section_at(f, h.e_shstrndx, &f->names))
			why = "damaged: no section names";
	}
	if (why)
		snprintf(err, errlen, "%s", why);
	return !why;
}

/* False: there is none; err says so. */
static bool find(const struct file *f, const char *name, Elf64_Shdr *out, uint32_t *index,
	char *err, size_t errlen)
{
	for (uint32_t i = 1; i < f->shnum; i++) {
		const char *s = section_at(f, i, out) ? string(f, &f->names, out->sh_name) : NULL;

		if (s && strcmp(s, name) == 0 && out->sh_type == SHT_PROGBITS) {
			*index = i;
			return true;
		}
	}
	snprintf(err, errlen, "no section '%s' in it", name);
	return false;
}

const void *fns_bpf_section(
	const void *elf, size_t len, const char *name, size_t *bytes, char *err, size_t errlen)
{
	struct file f;
	Elf64_Shdr s;
	uint32_t index;

	if (!open_file(&f, elf, len, err, errlen) || !find(&f, name, &s, &index, err, errlen))
		return NULL;
	*bytes = s.sh_size;
	return f.p + s.sh_offset;
}

/* --- calls --- */

struct program {
	const struct fns_bpf_cfg *cfg;
	struct fns_bpf_ins *ins;
	uint32_t n;
	bool bound[FNS_BPF_MAX_INS]; /* calls with a relocation */
};

/* The instruction at off refers to symbol name. */
static bool bind(struct program *p, uint64_t off, const char *name, char *err, size_t errlen)
{
	uint64_t at = off / sizeof(*p->ins);

	if (off % sizeof(*p->ins) != 0 || at >= p->n) {
		snprintf(err, errlen, "damaged: a relocation outside the code");
		return false;
	}
	if (p->ins[at].code != FNS_BPF_CALL) {
		snprintf(err, errlen,
			"uses memory of its own ('%.48s'): no global variables, no strings, no tables "
			"(-fno-jump-tables)",
			name);
		return false;
	}
	for (uint32_t i = 0; i < p->cfg->nhelpers; i++) {
		if (strcmp(p->cfg->helpers[i].name, name) != 0)
			continue;
		p->ins[at].regs &= 0x0f;
		p->ins[at].imm = (int32_t)i;
		p->bound[at] = true;
		return true;
	}
	snprintf(err, errlen,
		"calls '%.48s', which is no helper here; functions of its own must be inlined",
		name);
	return false;
}

static bool relocate(
	const struct file *f, struct program *p, const Elf64_Shdr *rel, char *err, size_t errlen)
{
	Elf64_Shdr symbols, strings, of;
	const char *name;
	Elf64_Rel r;
	Elf64_Sym s;

	for (uint64_t at = 0; at + sizeof(r) <= rel->sh_size; at += sizeof(r)) {
		if (!section_at(f, rel->sh_link, &symbols) || symbols.sh_type != SHT_SYMTAB ||
			!section_at(f, symbols.sh_link, &strings) ||
			!take(f, rel->sh_offset + at, &r, sizeof(r)) ||
			ELF64_R_SYM(r.r_info) >= symbols.sh_size / sizeof(s) ||
			!take(f, symbols.sh_offset + ELF64_R_SYM(r.r_info) * sizeof(s), &s,
				sizeof(s))) {
			snprintf(err, errlen, "damaged: relocations without symbols");
			return false;
		}
		name = string(f, &strings, s.st_name);
		if (ELF64_ST_TYPE(s.st_info) == STT_SECTION)
			name = section_at(f, s.st_shndx, &of) ? string(f, &f->names, of.sh_name)
							      : NULL;
		if (!bind(p, r.r_offset, name ? name : "?", err, errlen))
			return false;
	}
	return true;
}

uint32_t fns_bpf_elf_program(const struct fns_bpf_cfg *cfg,
	struct fns_bpf_ins out[static FNS_BPF_MAX_INS], char *err, size_t errlen)
{
	struct program p = {.cfg = cfg, .ins = out};
	struct file f;
	Elf64_Shdr code, s;
	uint32_t index;

	if (!open_file(&f, cfg->elf, cfg->len, err, errlen) ||
		!find(&f, cfg->section, &code, &index, err, errlen))
		return 0;
	if (!(code.sh_flags & SHF_EXECINSTR) || code.sh_size == 0 ||
		code.sh_size % sizeof(*out) != 0) {
		snprintf(err, errlen, "section '%s' holds no code", cfg->section);
		return 0;
	}
	p.n = (uint32_t)FNS_MIN(code.sh_size / sizeof(*out), FNS_BPF_MAX_INS + 1);
	if (p.n > FNS_BPF_MAX_INS) {
		snprintf(err, errlen, "longer than %u instructions", FNS_BPF_MAX_INS);
		return 0;
	}
	memcpy(out, f.p + code.sh_offset, p.n * sizeof(*out));
	for (uint32_t i = 1; i < f.shnum; i++)
		if (section_at(&f, i, &s) && s.sh_type == SHT_REL && s.sh_info == index &&
			!relocate(&f, &p, &s, err, errlen))
			return 0;
	for (uint32_t i = 0; i < p.n; i++) {
		if (out[i].code != FNS_BPF_CALL || p.bound[i])
			continue;
		snprintf(err, errlen,
			out[i].regs >> 4
				? "calls a function of its own (instruction %u): it must be inlined"
				: "calls a helper by number (instruction %u): they have names here",
			i);
		return 0;
	}
	return p.n;
}
