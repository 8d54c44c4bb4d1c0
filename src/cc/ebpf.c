/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between an engine, which knows tables of functions, and a verified program, which knows one block
 * of memory: an event is copied into the block, and what came out of it is copied back. What the
 * object file says about itself is hostile input.
 */
#include "cc/ebpf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "bpf/bpf.h"
#include "flexins/cc_plugin.h"

_Static_assert(offsetof(struct fns_cc_event, hops) == FNS_CC_FLAT_EVENT_BYTES, "cc.h");
_Static_assert(offsetof(struct fns_cc_flat, state) == 128, "the compiler of eBPF agrees");
_Static_assert(offsetof(struct fns_cc_flat, out) == 320, "");
_Static_assert(offsetof(struct fns_cc_flat, ev) == 352, "");
_Static_assert(offsetof(struct fns_cc_flat, hops) == 424, "");
_Static_assert(sizeof(struct fns_cc_flat) == 680, "");

struct ebpf {
	struct fns_cc_ops ops;
	struct fns_bpf *program;
	struct fns_cc_bpf_about about; /* holds the strings */
	struct fns_cc_param param[FNS_CC_PARAMS];
};

/* By vectors: a string instruction, which compilers make of a memset of this size, starts slowly.
 */
static inline void zero(void *p, size_t len)
{
	typedef uint64_t v2 __attribute__((vector_size(16), aligned(8), may_alias));

	for (size_t i = 0; i < len / sizeof(v2); i++)
		((v2 *)p)[i] = (v2){0};
}

static void on_event(struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	const struct ebpf *e = (const struct ebpf *)(const void *)((const char *)ctx->self -
								   offsetof(struct ebpf, ops));
	struct fns_cc_flat m;

	/* Constant sizes are a few moves each. Nothing of this stack may be seen by the program,
	 * so all of it is written. */
	memcpy(m.param, ctx->param, sizeof(m.param));
	memcpy(m.state, ctx->state, sizeof(m.state));
	m.out = *out;
	memcpy(m.ev, ev, sizeof(m.ev));
	zero(m.hops, sizeof(m.hops));
	if (fns_unlikely(ev->nhops))
		memcpy(m.hops, ev->hops, FNS_MIN(ev->nhops, FNS_CC_HOPS) * sizeof(m.hops[0]));
	fns_bpf_run(e->program, &m);
	memcpy(ctx->state, m.state, sizeof(m.state));
	*out = m.out;
}

static bool text_ends(const char *s, size_t len)
{
	return memchr(s, '\0', len) != NULL;
}

/* What the file says, as a table. False: err says what is wrong. */
static bool describe(struct ebpf *e, const void *said, size_t bytes, char *err, size_t errlen)
{
	struct fns_cc_bpf_about *a = &e->about;
	bool ends = true;

	if (bytes < 8) {
		snprintf(err, errlen, "section '" FNS_CC_BPF_ABOUT "' is too short");
		return false;
	}
	memcpy(a, said, FNS_MIN(bytes, sizeof(*a)));
	if (a->abi != FNS_CC_ABI || a->size != sizeof(*a) || bytes != sizeof(*a)) {
		snprintf(err, errlen,
			"made for version %u of the interface, this is %u (or its section is damaged)",
			a->abi, FNS_CC_ABI);
		return false;
	}
	ends = text_ends(a->name, sizeof(a->name)) && text_ends(a->text, sizeof(a->text)) &&
	       a->nparams <= FNS_CC_PARAMS;
	for (uint32_t i = 0; ends && i < a->nparams; i++) {
		const struct fns_cc_bpf_param *p = &a->param[i];

		ends = text_ends(p->name, sizeof(p->name)) && text_ends(p->unit, sizeof(p->unit)) &&
		       text_ends(p->text, sizeof(p->text));
		e->param[i] =
			(struct fns_cc_param){p->name, p->unit, p->text, p->def, p->min, p->max};
	}
	if (!ends) {
		snprintf(err, errlen, "a text without end, or too many parameters");
		return false;
	}
	e->ops = (struct fns_cc_ops){.abi = FNS_CC_ABI,
		.size = sizeof(e->ops),
		.name = a->name,
		.text = a->text,
		.events = a->events,
		.flags = a->flags,
		.state_bytes = a->state_bytes,
		.nparams = a->nparams,
		.params = e->param,
		.on_event = on_event};
	if (fns_cc_plugin_fault(&e->ops)) {
		snprintf(err, errlen, "%s", fns_cc_plugin_fault(&e->ops));
		return false;
	}
	return true;
}

const struct fns_cc_ops *fns_cc_ebpf_create(const void *elf, size_t len, char *err, size_t errlen)
{
	struct ebpf *e = calloc(1, sizeof(*e));
	const void *said;
	size_t bytes = 0;

	if (!e) {
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	said = fns_bpf_section(elf, len, FNS_CC_BPF_ABOUT, &bytes, err, errlen);
	if (said && describe(e, said, bytes, err, errlen))
		e->program = fns_bpf_load(&(struct fns_bpf_cfg){.elf = elf,
						  .len = len,
						  .section = FNS_CC_BPF_CODE,
						  .ctx_bytes = sizeof(struct fns_cc_flat)},
			err, errlen);
	if (!e->program) {
		free(e);
		return NULL;
	}
	return &e->ops;
}
