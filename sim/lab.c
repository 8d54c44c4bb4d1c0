/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of the laboratory: builds a world of the simulator without its model application, lets
 * flows go through it, and looks at them at regular times. A flow goes over one queue pair, as
 * WRITEs of up to CHUNK bytes; hosts keep LANES queue pairs for each other, and a flow that finds
 * all busy waits for one, which counts as its time.
 */
#include "sim/lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cc/fixed.h"
#include "roce/psn.h"
#include "sim/sim.h"

#define CHUNK     (1u << 20) /* bytes of one WRITE */
#define DEPTH     48u        /* of them posted ahead at most */
#define LANES     4u         /* between two hosts, one way, where flows come at random */
#define MTU_CODE  5u
#define MTU       4096u
#define BEGIN_NS  1000000u /* queue pairs are ready */
#define DRAIN_X   10u      /* flows may take so many times the time to end */
#define FLOWS_MAX 200000u

enum { /* actions; their number is in the low bits */
	ARRIVAL = 1u << 28,
	SAMPLE = 2u << 28,
	FAULT = 4u << 28,
	KIND = 15u << 28
};

struct flow {
	uint64_t bytes; /* 0: no end */
	uint64_t start_ns, end_ns;
	uint64_t posted, done; /* bytes */
	struct flow *next;     /* that waits for a lane */
	uint16_t src, dst;
	bool broken;
};

/* A queue pair and what goes over it. */
struct lane {
	struct sim_qp *qp;
	struct flow *flow;
	uint32_t una; /* when it was last looked at */
	uint64_t acked;
	struct lane *next; /* of those between the same hosts */
};

struct lab {
	const struct lab_cfg *cfg;
	const struct lab_scenario *s;
	struct lab_result *r;
	struct sim_world *w;
	struct fns_cc_choice cc;
	uint64_t begin_ns, time_ns, warm_ns;
	struct flow *flow;
	uint32_t nflows, unfinished;
	struct lane *lane; /* all */
	uint32_t nlanes;
	struct lane *between[SIM_HOSTS][SIM_HOSTS];
	struct flow *waiting[SIM_HOSTS][SIM_HOSTS];
	uint64_t bytes, bytes_seen, bytes_warm; /* that arrived; at the last sample; when warm */
	uint64_t window_at, window_bytes[SIM_HOSTS]; /* of flows without end, by source */
	uint64_t jain_sum;
	uint32_t jain_n, jain_now; /* windows that count; that of the last one */
};

static struct lab *lab_of(struct sim_world *w)
{
	return w->app;
}

static bool endless(const struct lab *l)
{
	return l->s->pattern != LAB_POISSON;
}

/* --- flows --- */

static void post_chunks(struct lane *n)
{
	struct sim_host *h = n->qp->host, *peer = n->qp->peer->host;
	struct flow *f = n->flow;

	while (f && !f->broken && (!f->bytes || f->posted < f->bytes) &&
		f->posted - f->done < (uint64_t)DEPTH * CHUNK && sim_ring_room(h, 1)) {
		uint64_t left = f->bytes ? f->bytes - f->posted : CHUNK;
		uint32_t len = (uint32_t)FNS_MIN(left, CHUNK);
		struct fns_sqd d = {.qpn = n->qp->qpn, .gen = n->qp->gen};

		if (n->qp->posted - n->qp->retired == DEPTH)
			return;
		d.wr_id = len;
		d.remote_addr = SIM_IOVA + SIM_GUARD;
		d.rkey = peer->mr[SIM_MR_MAIN].key;
		d.num_sge = 1;
		d.sge0 = (struct fns_sqd_sge){SIM_IOVA + SIM_GUARD, len, h->mr[SIM_MR_MAIN].key};
		n->qp->posted++;
		f->posted += len;
		sim_ring_put(h, &d, NULL, 0, FNS_WR_WRITE, FNS_WRF_SIGNALED);
	}
}

static void begin(struct lab *l, struct flow *f)
{
	struct lane *n;
	struct flow **at;

	for (n = l->between[f->src][f->dst]; n; n = n->next)
		if (!n->flow && n->qp->retired == n->qp->posted && !n->qp->failed) {
			n->flow = f;
			post_chunks(n);
			return;
		}
	for (at = &l->waiting[f->src][f->dst]; *at; at = &(*at)->next)
		;
	*at = f;
}

static void ended(struct lab *l, struct lane *n)
{
	struct flow *f = n->flow, **next = &l->waiting[f->src][f->dst];

	f->end_ns = l->w->now;
	n->flow = NULL;
	l->unfinished--;
	if (*next) {
		f = *next;
		*next = f->next;
		begin(l, f);
	}
}

static void on_cqe(struct sim_qp *q, const struct fns_cqe *c)
{
	struct lane *n = q->app;
	struct lab *l = lab_of(q->host->w);

	q->retired++;
	if (!n || !n->flow)
		return;
	if (c->status != FNS_WC_SUCCESS) {
		q->failed = true;
		if (!n->flow->broken && n->flow->bytes)
			l->unfinished--;
		n->flow->broken = true;
		return;
	}
	n->flow->done += c->wr_id;
	if (n->flow->bytes) {
		l->bytes += c->wr_id;
		if (n->flow->done == n->flow->bytes) {
			ended(l, n);
			return;
		}
	}
	post_chunks(n);
}

/* --- what is seen at regular times --- */

static uint64_t newly_acked(struct lane *n)
{
	uint32_t una = sim_qp_una(n->qp);
	uint64_t bytes = (uint64_t)(uint32_t)psn_diff(una, n->una) * MTU;

	n->una = una;
	n->acked += bytes;
	return bytes;
}

static void window_end(struct lab *l, uint64_t now)
{
	uint64_t share[SIM_HOSTS] = {0};
	uint32_t n = 0;

	if (!endless(l) || now - l->window_at < l->s->jain_ns)
		return;
	for (uint32_t i = 0; i < l->nflows; i++) {
		uint64_t was = l->window_bytes[i];

		l->window_bytes[i] = l->lane[i].acked;
		if (l->flow[i].start_ns <= l->window_at)
			share[n++] = l->lane[i].acked - was;
	}
	l->window_at = now;
	l->jain_now = lab_jain(share, n);
	if (now - l->begin_ns > l->warm_ns && n > 1) {
		l->jain_sum += l->jain_now;
		l->r->jain_least =
			l->jain_n++ ? FNS_MIN(l->r->jain_least, l->jain_now) : l->jain_now;
	}
}

/* The beginning does not count. */
static void warm(struct lab *l)
{
	struct sim_net_stats *s = &l->w->net.stats;

	memset(s->found, 0, sizeof(s->found));
	s->found_bytes = 0;
	s->queue_max = 0;
	l->bytes_warm = l->bytes;
	l->r->from_ns = l->w->now - l->begin_ns;
}

/* Goodput and queues, while flows came; what ends later does not count. */
static void measure(struct lab *l)
{
	const struct sim_net_stats *s = &l->w->net.stats;
	struct lab_result *r = l->r;
	uint64_t found = 0;

	r->to_ns = l->w->now - l->begin_ns;
	r->goodput_bps = fns_muldiv((l->bytes - l->bytes_warm) * 8, FNS_NSEC_PER_SEC,
		FNS_MAX(r->to_ns - r->from_ns, 1));
	for (unsigned i = 0; i < SIM_FOUND; i++)
		found += s->found[i];
	r->queue_mean = found ? (uint32_t)(s->found_bytes / found) : 0;
	r->queue_p99 = sim_net_found(s, 990) << 10;
	r->queue_max = s->queue_max;
}

static void sample(struct lab *l, uint32_t i)
{
	struct sim_net *net = &l->w->net;
	uint32_t n = 0;

	for (uint32_t k = 0; endless(l) && k < l->nlanes; k++) {
		uint64_t bytes = newly_acked(&l->lane[k]);

		l->bytes += bytes;
		if (k < LAB_SERIES)
			l->r->sample[i].series_bps[n++] =
				fns_muldiv(bytes * 8, FNS_NSEC_PER_SEC, l->r->sample_ns);
	}
	l->r->nseries = n;
	l->r->sample[i].bps =
		fns_muldiv((l->bytes - l->bytes_seen) * 8, FNS_NSEC_PER_SEC, l->r->sample_ns);
	l->bytes_seen = l->bytes;
	for (unsigned k = net->nhosts; k < net->nports; k++)
		if (net->port[k].node >= net->nhosts)
			l->r->sample[i].queue_bytes =
				FNS_MAX(l->r->sample[i].queue_bytes, net->port[k].queue_max_now);
	for (unsigned k = net->nhosts; k < net->nports; k++)
		net->port[k].queue_max_now = net->port[k].queued;
	l->r->nsamples = i + 1;
	window_end(l, l->w->now);
	l->r->sample[i].jain = l->jain_now;
	if (i + 1 == LAB_SAMPLES / 5)
		warm(l);
	if (l->cfg->progress)
		l->cfg->progress(l->cfg->ctx, l->w->now - l->begin_ns, l->time_ns);
	if (i + 1 < LAB_SAMPLES)
		sim_push(l->w, l->begin_ns + (i + 2) * l->r->sample_ns, SIM_EV_ACTION, 0,
			SAMPLE | (i + 1), NULL);
	else
		measure(l);
}

/* A black hole for a millisecond, until the routes know of it. */
static void fault(struct lab *l, uint32_t step)
{
	struct sim_net *net = &l->w->net;
	unsigned leaf = sim_net_switch(net, 0), spine = sim_net_switch(net, 4);

	if (step == 1)
		sim_net_route(l->w);
	else
		sim_net_cut(l->w, leaf, spine, step == 0);
	if (step == 2)
		sim_net_route(l->w);
}

static void action(struct sim_world *w, uint32_t what)
{
	struct lab *l = lab_of(w);

	switch (what & KIND) {
	case ARRIVAL:
		begin(l, &l->flow[what & ~KIND]);
		break;
	case SAMPLE:
		sample(l, what & ~KIND);
		break;
	case FAULT:
		fault(l, what & ~KIND);
		break;
	}
}

static const struct sim_scenario as_scenario = {
	.name = "lab", .text = "the laboratory", .action = action};

/* --- the world --- */

static void lane_add(struct lab *l, unsigned src, unsigned dst)
{
	struct sim_host *a = l->w->host[src], *b = l->w->host[dst];
	struct lane *n = &l->lane[l->nlanes++];

	n->qp = sim_qp_create(a, FNS_QPT_RC, &a->cq[0], &a->cq[0], false);
	n->qp->peer = sim_qp_create(b, FNS_QPT_RC, &b->cq[0], &b->cq[0], false);
	n->qp->peer->peer = n->qp;
	n->qp->app = n;
	sim_qp_init(n->qp);
	sim_qp_init(n->qp->peer);
	sim_qp_connect(n->qp, n->qp->peer);
	n->una = sim_qp_una(n->qp);
	n->next = l->between[src][dst];
	l->between[src][dst] = n;
}

static void flow_add(struct lab *l, unsigned src, unsigned dst, uint64_t start_ns, uint64_t bytes)
{
	fns_assert(l->nflows < FLOWS_MAX);
	l->flow[l->nflows++] = (struct flow){.bytes = bytes,
		.start_ns = l->begin_ns + start_ns,
		.src = (uint16_t)src,
		.dst = (uint16_t)dst};
}

static void random_flows(struct lab *l)
{
	unsigned hosts = l->w->nhosts, a, b;
	uint64_t mean = lab_sizes_mean(l->s->sizes), at = 0, gap_ns;
	struct fns_rng *rng = &l->w->rng;

	/* between arrivals anywhere, on average */
	gap_ns = mean * 8 * 1000 * 1000 / ((uint64_t)l->s->rate_mbps * l->s->load_pm) / hosts;
	gap_ns = FNS_MAX(gap_ns, 1);
	for (;;) {
		at += gap_ns * lab_exponential(fns_rng_u64(rng)) >> 20;
		if (at >= l->time_ns || l->nflows == FLOWS_MAX)
			return;
		a = (unsigned)fns_rng_below(rng, hosts);
		b = (unsigned)fns_rng_below(rng, hosts - 1);
		b += b >= a;
		flow_add(l, a, b, at,
			lab_sizes_at(l->s->sizes, (uint32_t)fns_rng_below(rng, 1000000)));
	}
}

static void draw_flows(struct lab *l)
{
	unsigned hosts = l->w->nhosts, circle[SIM_HOSTS], i, k;
	uint64_t gap = l->time_ns * l->s->stagger_pm / 1000;

	for (i = 0; i < hosts; i++) {
		k = (unsigned)fns_rng_below(&l->w->rng, i + 1);
		circle[i] = circle[k];
		circle[k] = i;
	}
	switch (l->s->pattern) {
	case LAB_ALL_TO_FIRST:
		for (i = 1; i < hosts; i++)
			flow_add(l, i, 0, fns_rng_below(&l->w->rng, 10000), 0);
		break;
	case LAB_PERMUTATION:
		for (i = 0; i < hosts; i++)
			flow_add(l, circle[i], circle[(i + 1) % hosts],
				fns_rng_below(&l->w->rng, 10000), 0);
		break;
	case LAB_ACROSS:
		for (i = 0; i < hosts / 2; i++)
			flow_add(
				l, i, hosts / 2 + i, i * gap + fns_rng_below(&l->w->rng, 10000), 0);
		break;
	case LAB_POISSON:
		random_flows(l);
		l->unfinished = l->nflows;
		break;
	}
}

static void lanes(struct lab *l)
{
	unsigned hosts = l->w->nhosts, i, k, n;

	if (endless(l)) {
		for (i = 0; i < l->nflows; i++)
			lane_add(l, l->flow[i].src, l->flow[i].dst);
		return;
	}
	for (i = 0; i < hosts; i++)
		for (k = 0; k < hosts; k++)
			for (n = 0; n < LANES && i != k; n++)
				lane_add(l, i, k);
}

/* There and back for an empty packet... */
static uint64_t base_rtt_ns(const struct lab_scenario *s)
{
	/* host, switch, switch, host; or with a spine between; a packet is stored at each */
	unsigned links = strncmp(s->topo, "leaf", 4) == 0   ? 4
			 : strncmp(s->topo, "dumb", 4) == 0 ? 3
							    : 2;
	uint64_t packet_ns = (MTU + 100) * 8000ull / s->rate_mbps;

	return links * (2ull * s->delay_ns + packet_ns);
}

/* What the algorithm must know of the network, unless it was told. */
static void fill_in(struct lab *l, const char *name, uint64_t value)
{
	const struct fns_cc_ops *ops = l->cc.ops;
	char given[40];

	snprintf(given, sizeof(given), "%s=", name);
	for (uint32_t i = 0; i < ops->nparams; i++)
		if (strcmp(ops->params[i].name, name) == 0 && !strstr(l->cfg->cc, given))
			l->cc.param[i] =
				FNS_MAX(FNS_MIN(value, ops->params[i].max), ops->params[i].min);
}

static bool choose(struct lab *l)
{
	struct lab_result *r = l->r;
	/* ... and at full speed, without a queue in the network: an acknowledgement for 15 packets,
	 * which waits for some at its own host, and up to 0.8 us before each engine looks. */
	uint64_t rtt = base_rtt_ns(l->s) + 20 * MTU * 8000ull / l->s->rate_mbps + 3200;

	if (!(l->cfg->choose ? l->cfg->choose : fns_cc_parse)(
		    l->cfg->cc, &l->cc, r->failure, sizeof(r->failure)))
		return false;
	fill_in(l, "line_mbps", l->s->rate_mbps);
	fill_in(l, "rtt_ns", rtt);
	fill_in(l, "min_rtt_us", FNS_DIV_UP(rtt, 1000));
	fns_cc_print(&l->cc, r->cc, sizeof(r->cc));
	return true;
}

static struct sim_world *world(struct lab *l)
{
	const struct lab_scenario *s = l->s;
	struct sim_world *w = calloc(1, sizeof(*w));
	struct sim_topo t;
	bool known = sim_topo_parse(s->topo, &t);

	fns_assert(w && known);
	w->seed = sim_mix(l->cfg->seed + 0x9e3779b97f4a7c15ull);
	w->now = 1000;
	w->scenario = &as_scenario;
	w->app = l;
	w->on_cqe = on_cqe;
	w->tmp = malloc(SIM_TMP);
	fns_assert(w->tmp);
	fns_rng_seed(&w->rng, w->seed);
	w->p = (struct sim_params){.type = FNS_QPT_RC,
		.topo = s->topo,
		.ps_per_byte = 8000000 / s->rate_mbps,
		.delay_ns = s->delay_ns,
		.loss_ppm = s->loss_ppm,
		.port_bytes = s->port_bytes,
		.xoff_bytes = s->xoff_bytes,
		.ecn_bytes = s->mark_lo,
		.ecn_hi_bytes = s->mark_hi,
		.ecn_ppm = s->mark_ppm,
		.egress_bytes = 20000,
		.timeout_lo = s->timeout,
		.timeout_hi = s->timeout,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.cc_choice = &l->cc,
		.irn = l->cfg->irn,
		.hello = SIM_HELLO_TRUE,
		.hello_ns = 10,
		.cnp_ns = 50000,
		.telemetry = true,
		.wide = true,
		.peer_budget = FNS_PEER_UNLIMITED,
		.arena = CHUNK,
		.nslots = 8192,
		.depth = DEPTH,
		.mtu_code = MTU_CODE,
		.unwatched = true,
		.egress_wake = true,
		.max_len = 1};
	sim_net_init(w, &t);
	w->nhosts = w->net.nhosts;
	return w;
}

static void build(struct lab *l)
{
	struct sim_world *w = l->w;

	for (unsigned i = 0; i < w->nhosts; i++) {
		struct sim_host *h = sim_host_create(w, i, 0);

		sim_cq_create(h, 14);
		h->cq[0].events = false;
		h->cq[0].poll_delay_ns = 0;
	}
	l->begin_ns = BEGIN_NS;
	draw_flows(l);
	l->lane = calloc(endless(l) ? l->nflows : w->nhosts * w->nhosts * LANES, sizeof(*l->lane));
	fns_assert(l->lane);
	lanes(l);
	if (w->now > BEGIN_NS)
		sim_fail(w, "the beginning took %llu ns", (unsigned long long)w->now);
	sim_until(w, BEGIN_NS);
	l->window_at = BEGIN_NS;
	for (uint32_t i = 0; i < l->nflows; i++)
		sim_push(w, l->flow[i].start_ns, SIM_EV_ACTION, 0, ARRIVAL | i, NULL);
	sim_push(w, BEGIN_NS + l->r->sample_ns, SIM_EV_ACTION, 0, SAMPLE, NULL);
	if (l->s->fails) {
		sim_push(w, BEGIN_NS + l->time_ns * 2 / 5, SIM_EV_ACTION, 0, FAULT | 0, NULL);
		sim_push(w, BEGIN_NS + l->time_ns * 2 / 5 + FNS_NSEC_PER_MSEC, SIM_EV_ACTION, 0,
			FAULT | 1, NULL);
		sim_push(w, BEGIN_NS + l->time_ns * 3 / 5, SIM_EV_ACTION, 0, FAULT | 2, NULL);
	}
}

static void destroy(struct sim_world *w)
{
	unsigned i;

	w->failed = true; /* in the middle of everything: nothing is whole any more */
	for (i = 0; i < w->nheap; i++)
		free(w->heap[i].pkt);
	w->nheap = 0;
	for (i = 0; i < w->nhosts; i++)
		sim_host_destroy(w->host[i]);
	for (i = 0; i < w->nheap; i++)
		free(w->heap[i].pkt);
	sim_net_fini(w);
	free(w->heap);
	free(w->tmp);
	free(w);
}

/* --- the results --- */

/* Alone in the network: the packets at the link's rate, and the way there and back. */
static uint64_t alone_ns(const struct lab *l, uint64_t bytes)
{
	uint64_t wire = bytes + FNS_DIV_UP(bytes, MTU) * (66 + 16 + 16 + 4);

	return wire * 8000 / l->s->rate_mbps + base_rtt_ns(l->s) -
	       (MTU + 100) * 8000ull / l->s->rate_mbps;
}

static void classes(struct lab *l)
{
	static const struct {
		const char *name;
		uint64_t from, to;
	} by[LAB_CLASSES] = {{"up to 10 KB", 1, 10000}, {"up to 100 KB", 10001, 100000},
		{"up to 1 MB", 100001, 1000000}, {"above 1 MB", 1000001, UINT64_MAX},
		{"all", 1, UINT64_MAX}};
	uint64_t *took = calloc(l->nflows + 1, sizeof(*took)), *slow;

	slow = calloc(l->nflows + 1, sizeof(*slow));
	fns_assert(took && slow);
	for (unsigned c = 0; c < LAB_CLASSES; c++) {
		struct lab_class *out = &l->r->cls[c];
		uint32_t n = 0;

		for (uint32_t i = 0; i < l->nflows; i++) {
			const struct flow *f = &l->flow[i];

			if (!f->end_ns || f->bytes < by[c].from || f->bytes > by[c].to)
				continue;
			took[n] = f->end_ns - f->start_ns;
			slow[n] = took[n] * 100 / alone_ns(l, f->bytes);
			n++;
		}
		*out = (struct lab_class){.name = by[c].name, .flows = n};
		out->median_ns = lab_percentile(took, n, 500);
		out->p99_ns = lab_percentile(took, n, 990);
		out->slow50 = lab_percentile(slow, n, 500);
		out->slow99 = lab_percentile(slow, n, 990);
	}
	free(took);
	free(slow);
}

static uint64_t count(const struct sim_world *w, enum fns_counter c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < w->nhosts; i++)
		n += atomic_load(&w->host[i]->stats->counter[c]);
	return n;
}

static void sum_up(struct lab *l)
{
	struct sim_net_stats *s = &l->w->net.stats;
	struct sim_world *w = l->w;
	struct lab_result *r = l->r;
	unsigned i;

	r->hash = w->hash;
	r->now_ns = w->now;
	r->events = w->events;
	r->packets = w->packets;
	r->jain_mean = l->jain_n ? (uint32_t)(l->jain_sum / l->jain_n) : 0;
	r->pauses = s->pauses;
	r->paused_ns = s->paused_ns;
	for (i = 0; i < w->net.nports; i++)
		if (w->net.port[i].paused)
			r->paused_ns += w->now - w->net.port[i].paused_at;
	for (i = 0; i < SIM_DROPS; i++)
		r->lost += s->drop[i];
	r->marks = s->ecn_marked;
	r->cnps = count(w, FNS_C_cnps_received);
	r->retransmits = count(w, FNS_C_rc_retransmits);
	r->timeouts = count(w, FNS_C_rc_timeouts);
	for (i = 0; i < l->nflows; i++) {
		r->flows += l->flow[i].bytes != 0;
		r->unfinished += l->flow[i].bytes && !l->flow[i].end_ns;
		r->broken += l->flow[i].broken;
	}
	classes(l);
}

bool lab_run(const struct lab_cfg *cfg, struct lab_result *r)
{
	struct lab l = {.cfg = cfg, .s = cfg->scenario, .r = r};
	uint64_t end;

	memset(r, 0, sizeof(*r));
	if (!choose(&l)) {
		r->failed = true;
		return false;
	}
	l.time_ns = cfg->time_ns ? cfg->time_ns : l.s->time_ns;
	l.warm_ns = l.time_ns / 5;
	r->sample_ns = FNS_MAX(l.time_ns / LAB_SAMPLES, 1);
	l.flow = calloc(FLOWS_MAX, sizeof(*l.flow));
	fns_assert(l.flow);
	l.w = world(&l);
	build(&l);
	end = l.begin_ns + l.time_ns;
	while (!l.w->failed && l.w->nheap && l.w->heap[0].at <= end && sim_step(l.w))
		;
	end += (DRAIN_X - 1) * l.time_ns;
	while (!l.w->failed && l.unfinished && l.w->nheap && l.w->heap[0].at <= end &&
		sim_step(l.w))
		;
	sum_up(&l);
	r->failed = l.w->failed;
	memcpy(r->failure, l.w->failure, sizeof(r->failure));
	destroy(l.w);
	free(l.flow);
	free(l.lane);
	return !r->failed;
}
