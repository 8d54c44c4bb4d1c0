/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A complete congestion control to start your own from: a window by the round trip time.
 * docs/adding-a-congestion-control.md walks through it. The same file is built as a shared object,
 * as eBPF and as a built-in:
 *
 *   cc -O2 -fPIC -shared -o aimd.so aimd.c
 *   clang -O2 -target bpf -mcpu=v2 -c -o aimd.o aimd.c
 *   flexins run --cc=./aimd.o:target_us=80 -- ib_write_bw -d flexins0 192.0.2.7
 *
 * The rule, as in Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion
 * avoidance", 1989: below the target delay the window grows by a constant amount each round trip;
 * above it, and after a loss, it shrinks by a fraction, at most once in a round trip.
 */
#include <flexins/cc_plugin.h>

/* What is remembered of one queue pair. It is zeroed before FNS_CC_INIT; all of it must fit into
 * FNS_CC_STATE_BYTES. */
struct aimd {
	uint64_t window;   /* bytes */
	uint64_t rtt_ns;   /* smoothed */
	uint64_t quiet_ns; /* no second cut before */
	uint64_t cuts;
};

/* Positions in the table of parameters at the end. */
enum {
	START_KIB,
	LEAST_KIB,
	MOST_KIB,
	TARGET_US,
	STEP_BYTES,
	CUT_PERCENT
};

#define KIB 1024ull

static const int smooth = 8; /* a new round trip time counts one part in so many */

FNS_CC_FN uint64_t bounded(uint64_t v, uint64_t least, uint64_t most)
{
	return v < least ? least : v > most ? most : v;
}

/* At most once in a round trip: what is under way was sent under the old window. */
FNS_CC_FN void cut(struct fns_cc_ctx *ctx, struct aimd *s, uint64_t now_ns)
{
	if (now_ns < s->quiet_ns)
		return;
	s->window = s->window / 100 * (100 - ctx->param[CUT_PERCENT]);
	s->quiet_ns = now_ns + s->rtt_ns;
	s->cuts++;
}

FNS_CC_FN void acked(struct fns_cc_ctx *ctx, struct aimd *s, const struct fns_cc_event *ev)
{
	/* Round trips are only measured now and then: 0 says that there is no new one. */
	if (ev->rtt_ns) {
		s->rtt_ns = s->rtt_ns ? s->rtt_ns - s->rtt_ns / smooth + ev->rtt_ns / smooth
				      : ev->rtt_ns;
		if (ev->rtt_ns > ctx->param[TARGET_US] * 1000) {
			cut(ctx, s, ev->now_ns);
			return;
		}
	}
	/* Each window of acknowledged bytes adds one step. Divided before it is multiplied: there
	 * are no numbers of more than 64 bits. */
	s->window += 1 + ev->bytes / (s->window / ctx->param[STEP_BYTES] + 1);
}

FNS_CC_FN void on_event(
	struct fns_cc_ctx *ctx, const struct fns_cc_event *ev, struct fns_cc_out *out)
{
	struct aimd *s = (struct aimd *)(void *)ctx->state;

	if (ev->type == FNS_CC_INIT)
		s->window = ctx->param[START_KIB] * KIB;
	else if (ev->type == FNS_CC_ACK)
		acked(ctx, s, ev);
	else /* FNS_CC_LOSS, FNS_CC_TIMEOUT, FNS_CC_CNP: nothing else was asked for */
		cut(ctx, s, ev->now_ns);
	s->window = bounded(s->window, ctx->param[LEAST_KIB] * KIB, ctx->param[MOST_KIB] * KIB);
	/* out holds what is in force. The rest of it stays: no pacing, no timer. */
	out->window_bytes = s->window;
}

/* name, text, events, flags, state, function, parameters: name, unit, text, default, least, most */
FNS_CC_PLUGIN(aimd, "window by round trip time, the example of docs/adding-a-congestion-control.md",
	FNS_CC_ON(FNS_CC_INIT) | FNS_CC_ON(FNS_CC_ACK) | FNS_CC_ON(FNS_CC_LOSS) |
		FNS_CC_ON(FNS_CC_TIMEOUT) | FNS_CC_ON(FNS_CC_CNP),
	0, struct aimd, on_event, FNS_CC_PARAM(start_kib, "KiB", "first window", 256, 1, 1048576),
	FNS_CC_PARAM(least_kib, "KiB", "no cut goes below", 4, 1, 1048576),
	FNS_CC_PARAM(most_kib, "KiB", "no growth goes beyond", 8192, 1, 1048576),
	FNS_CC_PARAM(target_us, "us", "round trip that is short enough", 500, 1, 1000000),
	FNS_CC_PARAM(step_bytes, "B", "added in each round trip", 4096, 1, 1048576),
	FNS_CC_PARAM(cut_percent, "%", "taken away by a cut", 20, 1, 99))
