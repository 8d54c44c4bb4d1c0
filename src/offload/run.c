/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running calls: the handler's step, what it asks for, the next step; in turns, so that neither
 * another call nor the engine's packets wait for a long one.
 */
#include <string.h>

#include "base/assert.h"
#include "offload/offload_priv.h"

static void make_ready(struct fns_offload_call *c)
{
	fns_list_remove(&c->node);
	fns_list_push_back(&c->o->ready, &c->node);
}

/* Gives it back to its service once nothing refers to it. */
static void settle(struct fns_offload_call *c)
{
	if (c->outstanding == 0 && c->phase == FNS_CALL_DRAIN)
		fns_offload_call_free(c);
}

static void build_reply(struct fns_offload_call *c)
{
	bool ours = c->status == FNS_OFFLOAD_OK || c->status == FNS_OFFLOAD_REFUSED;
	struct fns_offload_reply r = {.magic = FNS_OFFLOAD_MAGIC,
		.service = c->head.service,
		.tag = c->head.tag,
		.status = c->status,
		.steps = c->steps,
		.written = c->written};

	if (ours) {
		r.code = c->ctx.act.code;
		r.value = c->ctx.act.value;
	}
	if (c->status != FNS_OFFLOAD_OK)
		c->reply_len = FNS_OFFLOAD_REPLY_HDR;
	r.len = c->reply_len - FNS_OFFLOAD_REPLY_HDR;
	memcpy(c->reply, &r, sizeof(r));
}

/* c->status and ctx.act say how it ends. */
static void end(struct fns_offload_call *c)
{
	struct fns_offload_handler *h = c->service->handler;

	c->merge.n = c->merge.len = 0; /* DONE has flushed; a failure's are of no use */
	build_reply(c);
	c->phase = FNS_CALL_REPLY;
	if (h) {
		h->count.by_status[c->status]++;
		h->count.steps += c->steps;
		h->count.bytes += c->bytes;
	}
}

static void fail(struct fns_offload_call *c, enum fns_offload_status status)
{
	c->status = (uint8_t)status;
	end(c);
}

static void step(struct fns_offload_call *c)
{
	const struct fns_offload_program *p = c->program;
	uint64_t kind;

	if (c->steps == c->service->b.max_steps) {
		fail(c, FNS_OFFLOAD_STEPS);
		return;
	}
	c->ctx.step = c->steps++;
	kind = fns_likely(p->step != NULL) ? p->step(&c->ctx) : fns_bpf_interpret(p->bpf, &c->ctx);
	c->kind = kind > UINT8_MAX ? 0 : (uint8_t)kind;
	c->phase = FNS_CALL_ACT;
}

/* False: it cannot go on now, and somebody will make it ready. */
static bool act(struct fns_offload_call *c)
{
	uint64_t bytes = c->bytes;

	switch (fns_offload_act(c)) {
	case FNS_ACT_NEXT:
		c->phase = FNS_CALL_STEP;
		return true;
	case FNS_ACT_END:
		end(c);
		return true;
	case FNS_ACT_PENDING:
		c->phase = FNS_CALL_DMA;
		return false;
	case FNS_ACT_ROOM:
		c->bytes = bytes;
		fns_list_push_back(&c->sink->waiting, &c->node);
		return false;
	default:
		c->bytes = bytes;
		fns_list_push_back(&c->o->ready, &c->node);
		return false;
	}
}

static bool reply(struct fns_offload_call *c)
{
	if (!c->sink->ops->room(c->sink)) {
		fns_list_push_back(&c->sink->waiting, &c->node);
		return false;
	}
	c->phase = FNS_CALL_DRAIN;
	c->outstanding++;
	c->sink->ops->send(c->sink, c, c->reply, c->reply_len);
	return false;
}

/* One call's turn; how many steps. */
static unsigned turn(struct fns_offload_call *c)
{
	unsigned n = 0;
	bool on = true;

	if (c->phase != FNS_CALL_REPLY && *c->o->now_ns - c->start_ns > c->service->b.max_ns)
		fail(c, FNS_OFFLOAD_TIME);
	while (on) {
		switch (c->phase) {
		case FNS_CALL_STEP:
			if (n == FNS_OFFLOAD_TURN_STEPS) {
				fns_list_push_back(&c->o->ready, &c->node);
				return n;
			}
			n++;
			step(c);
			break;
		case FNS_CALL_ACT:
			on = act(c);
			break;
		case FNS_CALL_REPLY:
			on = reply(c);
			break;
		default:
			fns_assert(!"a call that is not ready");
			return n;
		}
	}
	return n;
}

unsigned fns_offload_run(struct fns_offload *o)
{
	unsigned steps = 0, turns = 0, idle = 0, n;
	struct fns_list *it;

	/* Some may be unable to go on for want of something that sends no word. */
	while (steps < FNS_OFFLOAD_RUN_STEPS && idle < FNS_OFFLOAD_TURN_STEPS &&
		(it = fns_list_pop_front(&o->ready))) {
		n = turn(fns_container_of(it, struct fns_offload_call, node));
		idle = n ? 0 : idle + 1;
		steps += n;
		turns++;
	}
	return steps + turns;
}

void fns_offload_token_done(struct fns_dma_token *t, int result)
{
	struct fns_offload_call *c = t->owner;

	fns_memref_put(c->ref);
	if (!c->sink) { /* cancelled meanwhile */
		c->phase = FNS_CALL_DRAIN;
		settle(c);
		return;
	}
	if (fns_offload_act_done(c, result) == FNS_ACT_END)
		end(c);
	else
		c->phase = FNS_CALL_STEP;
	make_ready(c);
}

/* --- the transport's side --- */

void fns_offload_sink_init(
	struct fns_offload_sink *s, const struct fns_offload_sink_ops *ops, const struct fns_pd *pd)
{
	s->ops = ops;
	s->pd = pd;
	fns_list_init(&s->calls);
	fns_list_init(&s->waiting);
}

static struct fns_offload_service *find(const struct fns_offload_port *p, uint32_t number)
{
	struct fns_list *it;

	fns_list_for_each (it, (struct fns_list *)&p->services) {
		struct fns_offload_service *s =
			fns_container_of(it, struct fns_offload_service, node);

		if (s->b.service == number)
			return s;
	}
	return p->refusals;
}

enum fns_offload_verdict fns_offload_begin(struct fns_offload *o, struct fns_offload_port *p,
	struct fns_offload_sink *s, const void *head, uint32_t len, struct fns_offload_call **out)
{
	struct fns_offload_request h;
	struct fns_offload_service *v;
	struct fns_offload_call *c;
	struct fns_list *n;

	if (len < sizeof(h) || !p->refusals)
		return FNS_OFFLOAD_PASS;
	memcpy(&h, head, sizeof(h));
	if (h.magic != FNS_OFFLOAD_MAGIC)
		return FNS_OFFLOAD_PASS;
	v = find(p, h.service);
	n = fns_list_pop_front(&v->idle);
	if (!n)
		return FNS_OFFLOAD_BUSY;
	c = fns_container_of(n, struct fns_offload_call, node);
	v->busy++;
	c->sink = s;
	c->head = h;
	c->phase = FNS_CALL_RECEIVING;
	c->request_len = 0;
	c->too_long = false;
	fns_list_push_back(&s->calls, &c->owned);
	if (v->handler) {
		c->program = v->handler->program;
		c->program->refs++;
		v->handler->count.requests++;
		v->handler->count.running++;
	}
	*out = c;
	return FNS_OFFLOAD_TAKE;
}

void fns_offload_receive(struct fns_offload_call *c, const void *bytes, uint32_t len)
{
	if (!c->service->handler)
		return;
	if (c->too_long || len > c->service->b.max_request - c->request_len) {
		c->too_long = true;
		return;
	}
	memcpy(c->request + c->request_len, bytes, len);
	c->request_len += len;
}

void fns_offload_start(struct fns_offload *o, struct fns_offload_call *c)
{
	const struct fns_offload_binding *b = &c->service->b;
	struct fns_offload_ctx *x = &c->ctx;

	c->outstanding = c->steps = 0;
	c->bytes = c->written = 0;
	c->merge.n = c->merge.len = 0;
	c->start_ns = *o->now_ns;
	c->reply_len = FNS_OFFLOAD_REPLY_HDR;
	fns_list_push_back(&o->ready, &c->node);
	if (!c->service->handler) {
		fail(c, FNS_OFFLOAD_NO_SERVICE);
	} else if (c->too_long) {
		fail(c, FNS_OFFLOAD_TOO_LONG);
	} else if (c->head.out_len && c->head.out_addr > UINT64_MAX - c->head.out_len) {
		fail(c, FNS_OFFLOAD_MALFORMED);
	} else if (c->service->pd != c->sink->pd) {
		fail(c, FNS_OFFLOAD_ACCESS);
	} else {
		memset(x, 0, sizeof(*x));
		x->arg_len = c->request_len - FNS_OFFLOAD_REQUEST_HDR;
		x->args_len = FNS_MIN(x->arg_len, FNS_OFFLOAD_ARGS);
		memcpy(x->args, c->request + FNS_OFFLOAD_REQUEST_HDR, x->args_len);
		x->reply_room = b->max_reply - FNS_OFFLOAD_REPLY_HDR;
		x->out_len = c->head.out_len;
		x->nregions = b->nregions;
		memcpy(x->param, b->param, sizeof(x->param));
		for (uint32_t i = 0; i < b->nregions; i++)
			x->region[i] = (struct fns_offload_area){.addr = b->region[i].addr,
				.len = b->region[i].len,
				.rights = b->region[i].rights};
		c->phase = FNS_CALL_STEP;
	}
}

void fns_offload_sent(struct fns_offload *o, struct fns_offload_call *c)
{
	struct fns_list *n;

	c->outstanding--;
	while (c->sink && (n = fns_list_pop_front(&c->sink->waiting)))
		fns_list_push_back(&o->ready, n);
	settle(c);
}

void fns_offload_cancel(struct fns_offload *o, struct fns_offload_sink *s)
{
	struct fns_list *n;

	while ((n = fns_list_pop_front(&s->calls))) {
		struct fns_offload_call *c = fns_container_of(n, struct fns_offload_call, owned);

		fns_list_remove(&c->node);
		c->sink = NULL;
		if (c->service->handler && c->phase < FNS_CALL_REPLY)
			c->service->handler->count.cancelled++;
		if (c->phase == FNS_CALL_DMA)
			continue; /* its token comes back */
		if (c->phase == FNS_CALL_RECEIVING)
			c->outstanding = 0;
		c->phase = FNS_CALL_DRAIN;
		settle(c);
	}
}
