/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Congestion controls that are wrong in one way each (-DPLUGIN_...), for test_load.c, as shared
 * objects and as eBPF; and one that is right but talks nonsense.
 */
#include <flexins/cc_plugin.h>
#ifdef PLUGIN_ABI
#undef FNS_CC_ABI
#define FNS_CC_ABI 77u
#endif

struct state {
	uint64_t n;
};
#ifdef PLUGIN_STATE
#undef FNS_CC_STATE_BYTES
#define FNS_CC_STATE_BYTES 4096u
struct large {
	uint64_t n[100];
};
#define STATE struct large
#else
#define STATE struct state
#endif

#ifdef PLUGIN_LOOP
#define BODY                                                                                       \
	for (uint64_t i = 0; i < ev->bytes; i++)                                                   \
		s->n += s->n * i + 1;
#elif defined(PLUGIN_BEYOND)
#define BODY s->n = ctx->param[ev->bytes];
#elif defined(PLUGIN_NONSENSE)
/* Each event another kind of nonsense. */
#define BODY                                                                                       \
	s->n++;                                                                                    \
	out->window_bytes = s->n % 4 == 0 ? 0 : out->window_bytes;                                 \
	out->rate_bps = s->n % 4 == 1 ? 0 : s->n % 4 == 2 ? 1ull << 63 : out->rate_bps;            \
	out->timer_ns = s->n % 4 == 3 ? 1 : out->timer_ns;
#elif defined(PLUGIN_HOPS)
#define BODY                                                                                       \
	s->n = ev->nhops;                                                                          \
	out->window_bytes = ev->hops[0].queue_bytes + ev->hops[7].link_bps;                        \
	out->path_hint = (uint32_t)(ev->rtt_host_ns + ev->ecn_bytes);
#else
#define BODY s->n++;
#endif

FNS_CC_FN void on_event(
	struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	struct state *s = (struct state *)(void *)ctx->state;

	BODY
}

#ifdef PLUGIN_CLASH
#define NAME dcqcn
#elif defined(PLUGIN_NONSENSE)
#define NAME nonsense
#else
#define NAME tested
#endif
#ifdef PLUGIN_EVENTS
#define EVENTS FNS_CC_ON(FNS_CC_ACK)
#else
#define EVENTS (FNS_CC_ON(FNS_CC_EVENTS) - 1)
#endif
#ifdef PLUGIN_RANGE
#define DEFAULT 11
#else
#define DEFAULT 1
#endif
#define MAKE(name)                                                                                 \
	FNS_CC_PLUGIN(name, "of a test", EVENTS, 0, STATE, on_event,                               \
		FNS_CC_PARAM(some, "B", "nothing", DEFAULT, 0, 10))

#ifndef PLUGIN_NONE
MAKE(NAME)
#else
/* Not the table that is looked for. */
void (*const nothing)(
	struct fns_cc_ctx *, const struct fns_cc_event *, struct fns_cc_out *) = on_event;
#endif
