/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers by name, programs, and the bindings of handlers to ports, with the memory of their
 * calls. Control operations: the only place here that allocates.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "offload/offload_priv.h"

#define REFUSALS 4u /* requests for what is not there, at a time */

/* --- programs --- */

struct fns_offload_program *fns_offload_program_load(
	const void *elf, size_t len, char *err, size_t errlen)
{
	const struct fns_bpf_cfg cfg = {.elf = elf,
		.len = len,
		.section = FNS_OFFLOAD_SECTION,
		.ctx_bytes = sizeof(struct fns_offload_ctx)};
	struct fns_offload_program *p = calloc(1, sizeof(*p));

	if (!p) {
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	p->bpf = fns_bpf_load(&cfg, err, errlen);
	if (!p->bpf) {
		free(p);
		return NULL;
	}
	p->step = p->bpf->jit;
	p->refs = 1;
	return p;
}

struct fns_offload_program *fns_offload_program_native(const struct fns_offload_native *n)
{
	struct fns_offload_program *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->step = (uint64_t(*)(void *))(void (*)(void))n->step;
	p->refs = 1;
	return p;
}

void fns_offload_program_put(struct fns_offload_program *p)
{
	if (!p || --p->refs)
		return;
	fns_bpf_destroy(p->bpf);
	free(p);
}

/* --- handlers --- */

struct fns_offload *fns_offload_create(
	struct fns_mem *mem, struct fns_dma *dma, const uint64_t *now_ns)
{
	struct fns_offload *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->mem = mem;
	o->dma = dma;
	o->now_ns = now_ns;
	fns_list_init(&o->handlers);
	fns_list_init(&o->services);
	fns_list_init(&o->ready);
	return o;
}

static bool name_ok(const char *name)
{
	size_t n = strnlen(name, FNS_OFFLOAD_NAME);

	if (n == 0 || n == FNS_OFFLOAD_NAME)
		return false;
	for (; *name; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') ||
			    *name == '-' || *name == '_'))
			return false;
	return true;
}

static struct fns_offload_handler *loaded(struct fns_offload *o, const char *name)
{
	struct fns_list *it;

	fns_list_for_each (it, &o->handlers) {
		struct fns_offload_handler *h =
			fns_container_of(it, struct fns_offload_handler, node);

		if (strcmp(h->name, name) == 0)
			return h;
	}
	return NULL;
}

int fns_offload_handler_set(struct fns_offload *o, const char *name, struct fns_offload_program *p)
{
	struct fns_offload_handler *h;

	if (!name_ok(name))
		return -EINVAL;
	h = loaded(o, name);
	if (!h) {
		if (o->nhandlers == FNS_OFFLOAD_HANDLERS)
			return -ENOSPC;
		h = calloc(1, sizeof(*h));
		if (!h)
			return -ENOMEM;
		strcpy(h->name, name);
		fns_list_push_back(&o->handlers, &h->node);
		o->nhandlers++;
	}
	fns_offload_program_put(h->program);
	h->program = p;
	h->count.loads++;
	return 0;
}

static void handler_free(struct fns_offload *o, struct fns_offload_handler *h)
{
	fns_list_remove(&h->node);
	o->nhandlers--;
	fns_offload_program_put(h->program);
	free(h);
}

int fns_offload_handler_remove(struct fns_offload *o, const char *name)
{
	struct fns_offload_handler *h = loaded(o, name);

	if (!h)
		return -ENOENT;
	if (h->count.bindings || h->count.running)
		return -EBUSY;
	handler_free(o, h);
	return 0;
}

struct fns_offload_handler *fns_offload_handler_find(struct fns_offload *o, const char *name)
{
	struct fns_offload_handler *h = loaded(o, name);

	for (unsigned i = 0; !h && i < fns_offload_builtins; i++) {
		struct fns_offload_program *p;

		if (strcmp(fns_offload_builtin[i].name, name) != 0)
			continue;
		p = fns_offload_program_native(&fns_offload_builtin[i]);
		if (!p || fns_offload_handler_set(o, name, p) < 0) {
			fns_offload_program_put(p);
			return NULL;
		}
		h = loaded(o, name);
	}
	return h;
}

/* --- bindings --- */

void fns_offload_port_init(struct fns_offload_port *p)
{
	fns_list_init(&p->services);
	p->nservices = 0;
	p->refusals = NULL;
}

static uint64_t call_bytes(const struct fns_offload_binding *b)
{
	return FNS_ALIGN_UP(sizeof(struct fns_offload_call), FNS_CACHELINE) +
	       FNS_ALIGN_UP((uint64_t)b->max_request, FNS_CACHELINE) +
	       FNS_ALIGN_UP((uint64_t)b->max_reply, FNS_CACHELINE);
}

uint64_t fns_offload_binding_check(struct fns_offload_binding *b)
{
	uint64_t bytes;

	if (b->size != sizeof(*b) || b->zero || b->nregions > FNS_OFFLOAD_REGIONS)
		return 0;
#define DEFAULT(field, value) b->field = b->field ? b->field : (value)
	DEFAULT(depth, 16);
	DEFAULT(max_request, 4096);
	DEFAULT(max_reply, 8192);
	DEFAULT(max_steps, 65536);
	DEFAULT(max_bytes, 64u << 20);
	DEFAULT(max_ns, FNS_NSEC_PER_SEC);
#undef DEFAULT
	if (!memchr(b->handler, '\0', sizeof(b->handler)) || b->depth > FNS_OFFLOAD_MAX_DEPTH ||
		b->max_request < FNS_OFFLOAD_REQUEST_HDR ||
		b->max_request > FNS_OFFLOAD_MAX_REQUEST || b->max_reply < FNS_OFFLOAD_REPLY_HDR ||
		b->max_reply > FNS_OFFLOAD_MAX_REPLY)
		return 0;
	for (uint32_t i = 0; i < b->nregions; i++)
		if (b->region[i].len > UINT64_MAX - b->region[i].addr || b->region[i].rights > 7)
			return 0;
	bytes = call_bytes(b) * b->depth;
	return bytes <= FNS_OFFLOAD_MAX_BYTES ? bytes : 0;
}

uint64_t fns_offload_port_bytes(const struct fns_offload_port *p)
{
	uint64_t sum = 0;
	struct fns_list *it;

	fns_list_for_each (it, (struct fns_list *)&p->services) {
		const struct fns_offload_binding *b =
			&fns_container_of(it, struct fns_offload_service, node)->b;

		sum += call_bytes(b) * b->depth;
	}
	return sum;
}

static struct fns_offload_call *call_at(const struct fns_offload_service *s, uint32_t i)
{
	uintptr_t first = FNS_ALIGN_UP((uintptr_t)s->mem, (uintptr_t)FNS_CACHELINE);

	return (struct fns_offload_call *)(first + i * call_bytes(&s->b));
}

static struct fns_offload_service *service_create(struct fns_offload *o,
	struct fns_offload_handler *h, const struct fns_pd *pd, const struct fns_offload_binding *b)
{
	struct fns_offload_service *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	/* Buffers are not touched before they are used: what is never asked for costs no pages. */
	s->mem = calloc(1, call_bytes(b) * b->depth + FNS_CACHELINE);
	if (!s->mem) {
		free(s);
		return NULL;
	}
	s->o = o;
	s->handler = h;
	s->pd = pd;
	s->b = *b;
	fns_list_init(&s->node);
	fns_list_init(&s->all);
	fns_list_init(&s->idle);
	for (uint32_t i = 0; i < b->depth; i++) {
		struct fns_offload_call *c = call_at(s, i);

		c->o = o;
		c->service = s;
		c->request = (uint8_t *)c + FNS_ALIGN_UP(sizeof(*c), FNS_CACHELINE);
		c->reply = c->request + FNS_ALIGN_UP(b->max_request, FNS_CACHELINE);
		fns_list_init(&c->node);
		fns_list_init(&c->owned);
		fns_list_push_back(&s->idle, &c->node);
	}
	fns_list_push_back(&o->services, &s->all);
	if (h)
		h->count.bindings++;
	return s;
}

static void service_free(struct fns_offload_service *s)
{
	fns_list_remove(&s->all);
	free(s->mem);
	free(s);
}

static void service_unbind(struct fns_offload_service *s)
{
	fns_list_remove(&s->node);
	s->unbound = true;
	if (s->handler)
		s->handler->count.bindings--;
	if (s->busy == 0)
		service_free(s);
}

void fns_offload_call_free(struct fns_offload_call *c)
{
	struct fns_offload_service *s = c->service;

	fns_list_remove(&c->node);
	fns_list_remove(&c->owned);
	c->phase = FNS_CALL_IDLE;
	c->sink = NULL;
	fns_offload_program_put(c->program);
	c->program = NULL;
	if (s->handler)
		s->handler->count.running--;
	fns_list_push_front(&s->idle, &c->node);
	if (--s->busy == 0 && s->unbound)
		service_free(s);
}

static struct fns_offload_service *bound(struct fns_offload_port *p, uint32_t number)
{
	struct fns_list *it;

	fns_list_for_each (it, &p->services) {
		struct fns_offload_service *s =
			fns_container_of(it, struct fns_offload_service, node);

		if (s->b.service == number)
			return s;
	}
	return NULL;
}

int fns_offload_bind(struct fns_offload *o, struct fns_offload_port *p, const struct fns_pd *pd,
	const struct fns_offload_binding *b)
{
	static const struct fns_offload_binding refuse = {.depth = REFUSALS,
		.max_request = FNS_OFFLOAD_REQUEST_HDR,
		.max_reply = FNS_OFFLOAD_REPLY_HDR,
		.max_ns = FNS_NSEC_PER_SEC};
	struct fns_offload_service *s, *old = bound(p, b->service);
	struct fns_offload_handler *h = fns_offload_handler_find(o, b->handler);

	if (!h)
		return -ENOENT;
	if (!old && p->nservices == FNS_OFFLOAD_SERVICES)
		return -ENOSPC;
	if (!p->refusals)
		p->refusals = service_create(o, NULL, pd, &refuse);
	s = p->refusals ? service_create(o, h, pd, b) : NULL;
	if (!s)
		return -ENOMEM;
	if (old)
		service_unbind(old);
	else
		p->nservices++;
	fns_list_push_back(&p->services, &s->node);
	return 0;
}

int fns_offload_unbind(struct fns_offload *o, struct fns_offload_port *p, uint32_t service)
{
	struct fns_offload_service *s = bound(p, service);

	if (!s)
		return -ENOENT;
	p->nservices--;
	service_unbind(s);
	return 0;
}

void fns_offload_port_clear(struct fns_offload *o, struct fns_offload_port *p)
{
	while (!fns_list_empty(&p->services))
		service_unbind(
			fns_container_of(p->services.next, struct fns_offload_service, node));
	p->nservices = 0;
	if (p->refusals)
		service_unbind(p->refusals);
	p->refusals = NULL;
}

void fns_offload_destroy(struct fns_offload *o)
{
	if (!o)
		return;
	while (!fns_list_empty(&o->services)) {
		struct fns_offload_service *s =
			fns_container_of(o->services.next, struct fns_offload_service, all);

		for (uint32_t i = 0; i < s->b.depth; i++)
			fns_offload_program_put(call_at(s, i)->program);
		fns_list_remove(&s->node);
		service_free(s);
	}
	while (!fns_list_empty(&o->handlers))
		handler_free(
			o, fns_container_of(o->handlers.next, struct fns_offload_handler, node));
	free(o);
}
