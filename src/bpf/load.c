/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From instructions to a function, by DPDK's librte_bpf, which is opened at first use and never
 * closed. Without it at build time there is only a sentence.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/bpf_priv.h"

#ifndef FNS_BPF_SONAME

bool fns_bpf_available(char *err, size_t errlen)
{
	snprintf(err, errlen, "eBPF programs are not supported by this build (no librte_bpf)");
	return false;
}

struct fns_bpf *fns_bpf_load(const struct fns_bpf_cfg *cfg, char *err, size_t errlen)
{
	fns_bpf_available(err, errlen);
	return NULL;
}

void fns_bpf_destroy(struct fns_bpf *p)
{
}

uint64_t fns_bpf_interpret(const struct fns_bpf *p, void *ctx)
{
	return 0;
}

#else

#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>

#include <rte_config.h>
#include <rte_bpf.h>
#include <rte_log.h>

#include "base/util.h"

_Static_assert(sizeof(struct fns_bpf_ins) == sizeof(struct ebpf_insn), "the same instructions");
_Static_assert(FNS_BPF_MAX_ARGS == EBPF_FUNC_MAX_ARGS, "the same helpers");

static struct {
	struct rte_bpf *(*load)(const struct rte_bpf_prm *prm);
	void (*destroy)(struct rte_bpf *bpf);
	int (*get_jit)(const struct rte_bpf *bpf, struct rte_bpf_jit *jit);
	uint64_t (*exec)(const struct rte_bpf *bpf, void *ctx);
	int (*openlog)(FILE *f);
	FILE *(*getlog)(void);
} lib;
static bool opened;
/* Of the library: opening it, and where it writes its messages. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define SYMBOL(field, name) ((*(void **)(&lib.field) = dlsym(h, name)) != NULL)

static bool open_locked(char *err, size_t errlen)
{
	void *h;

	if (opened)
		return true;
	h = dlopen(FNS_BPF_SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!h) {
		snprintf(
			err, errlen, "eBPF programs need DPDK's " FNS_BPF_SONAME ": %s", dlerror());
		return false;
	}
	opened = SYMBOL(load, "rte_bpf_load") && SYMBOL(destroy, "rte_bpf_destroy") &&
		 SYMBOL(get_jit, "rte_bpf_get_jit") && SYMBOL(exec, "rte_bpf_exec") &&
		 SYMBOL(openlog, "rte_openlog_stream") && SYMBOL(getlog, "rte_log_get_stream");
	if (!opened)
		snprintf(err, errlen,
			"eBPF programs need another DPDK than the " FNS_BPF_SONAME " here");
	return opened;
}

bool fns_bpf_available(char *err, size_t errlen)
{
	bool ok;

	pthread_mutex_lock(&lock);
	ok = open_locked(err, errlen);
	pthread_mutex_unlock(&lock);
	return ok;
}

/* What the verifier has against it is the first line of what it logs, "FUNCTION: WHY..." or
 * "FUNCTION(ADDRESS) WHY...". */
static void say_refusal(char *log, char *err, size_t errlen)
{
	char *line = log ? log : "", *end = line + strcspn(line, ";\n"), *why;

	for (char *s = line; s < end; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			*s = ' ';
	if (log)
		*end = '\0';
	why = strstr(line, ": ");
	if (strncmp(line, "validate(", 9) == 0)
		why = strchr(line, ' ');
	while (why && (*why == ':' || isspace((unsigned char)*why)))
		why++;
	snprintf(err, errlen, "the verifier refuses it: %s", why && *why ? why : "no reason given");
}

static void helper_to_rte(const struct fns_bpf_helper *h, struct rte_bpf_xsym *out)
{
	*out = (struct rte_bpf_xsym){.name = h->name,
		.type = RTE_BPF_XTYPE_FUNC,
		.func = {.val = h->fn,
			.nb_args = h->nargs,
			.ret = {.type = RTE_BPF_ARG_RAW, .size = sizeof(uint64_t)}}};
	for (uint32_t i = 0; i < h->nargs; i++)
		out->func.args[i] = h->arg_bytes[i] ? (struct rte_bpf_arg){.type = RTE_BPF_ARG_PTR,
							      .size = h->arg_bytes[i]}
						    : (struct rte_bpf_arg){.type = RTE_BPF_ARG_RAW,
							      .size = sizeof(uint64_t)};
}

static struct rte_bpf *verify(const struct fns_bpf_cfg *cfg, struct fns_bpf_ins *ins, uint32_t n,
	char *err, size_t errlen)
{
	struct rte_bpf_xsym x[FNS_BPF_MAX_HELPERS];
	struct rte_bpf_prm prm = {.ins = (const struct ebpf_insn *)(const void *)ins,
		.nb_ins = n,
		.xsym = cfg->nhelpers ? x : NULL,
		.nb_xsym = cfg->nhelpers,
		.prog_arg = {.type = RTE_BPF_ARG_PTR, .size = cfg->ctx_bytes}};
	struct rte_bpf *rte = NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *was, *log;

	for (uint32_t i = 0; i < cfg->nhelpers; i++)
		helper_to_rte(&cfg->helpers[i], &x[i]);
	pthread_mutex_lock(&lock);
	if (open_locked(err, errlen)) {
		log = open_memstream(&text, &len);
		was = lib.getlog();
		if (log)
			lib.openlog(log);
		rte = lib.load(&prm);
		if (log) {
			lib.openlog(was == stderr ? NULL : was);
			fclose(log);
		}
		if (!rte)
			say_refusal(text, err, errlen);
		free(text);
	}
	pthread_mutex_unlock(&lock);
	return rte;
}

struct fns_bpf *fns_bpf_load(const struct fns_bpf_cfg *cfg, char *err, size_t errlen)
{
	struct fns_bpf_ins *ins = calloc(FNS_BPF_MAX_INS, sizeof(*ins));
	struct fns_bpf *p = calloc(1, sizeof(*p));
	struct rte_bpf_jit jit = {0};
	struct rte_bpf *rte = NULL;
	uint64_t work;
	uint32_t n = 0;

	if (!ins || !p || cfg->nhelpers > FNS_BPF_MAX_HELPERS)
		snprintf(err, errlen, "out of memory");
	else
		n = fns_bpf_elf_program(cfg, ins, err, errlen);
	if (n && fns_bpf_flow_check(ins, n, &work, err, errlen))
		rte = verify(cfg, ins, n, err, errlen);
	free(ins);
	if (!rte) {
		free(p);
		return NULL;
	}
	p->rte = rte;
	if (lib.get_jit(rte, &jit) == 0)
		p->jit = jit.func;
	return p;
}

void fns_bpf_destroy(struct fns_bpf *p)
{
	if (!p)
		return;
	lib.destroy(p->rte);
	free(p);
}

uint64_t fns_bpf_interpret(const struct fns_bpf *p, void *ctx)
{
	return lib.exec(p->rte, ctx);
}

#endif
