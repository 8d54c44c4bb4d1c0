/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datapath 6/9, a side branch: the ICRC covers the IPv4 identification, which a UDP socket does not
 * show. FlexiNS peers use 0 to 127; others (the kernel's Soft-RoCE) count up per pair of addresses.
 * To accept whatever identification makes the sum fit would weaken the check to 16 bits, so one is
 * believed only near to what was seen; but the first packet of a peer, or after a long silence,
 * has nothing to be compared with, and refusing it would lose what UC and UD never send again.
 * Called by udp_rx.c.
 */
#include "base/clock.h"
#include "base/util.h"
#include "wire/udp_priv.h"

/*
 * Packets of the pair that we do not see (of other applications, or lost in one go where our socket
 * buffer was full) also take identifications; and a packet may be sent after many that were built
 * after it: Soft-RoCE has up to 64 of each queue pair on their way to the network, where a fair
 * queue takes them flow by flow, and a flow is a queue pair. Good for 32 busy ones; both together
 * leave the check 20 bits.
 */
#define WINDOW      2048u
#define WINDOW_BACK 2048u
/*
 * Linux skips a random number of up to one for each clock tick that the pair was idle (at most 1000
 * a second), so the window grows with the silence, up to what still leaves the check 19 bits.
 */
#define WINDOW_MAX 4096u
/* After that nothing is known any more. */
#define SILENCE_NS (WINDOW_MAX * FNS_NSEC_PER_MSEC)

static uint32_t window(uint64_t now_ns, uint64_t then_ns)
{
	uint64_t w = WINDOW + (now_ns - then_ns) / FNS_NSEC_PER_MSEC;

	return w < WINDOW_MAX ? (uint32_t)w : WINDOW_MAX;
}

static bool ahead(uint16_t id, uint16_t last, uint32_t win)
{
	uint16_t d = (uint16_t)(id - last);

	/* Those below UDP_IDS are accepted without us, and so not noted in last. */
	if (id < last && d >= UDP_IDS)
		d -= UDP_IDS;
	/* 0: the network duplicated the packet; the transport sorts that out. */
	return d <= win;
}

/* The pair's entry. One that another pair had until lately is shared: neither is ever silent. */
static struct udp_ident *lookup(
	struct udp_wire *w, const struct fns_gid *src, const struct fns_gid *dst, uint64_t now_ns)
{
	uint32_t h = 0;
	struct udp_ident *p;

	for (int i = 0; i < 16; i++)
		h = h * 31 + src->b[i] + 7u * dst->b[i];
	p = &w->ident[(h ^ h >> 8) % UDP_IDENT_PEERS];
	if (!fns_gid_equal(&p->src, src) || !fns_gid_equal(&p->dst, dst)) {
		uint64_t heard_ns = FNS_MAX(p->known_ns, p->candidate_ns);

		*p = (struct udp_ident){.src = *src, .dst = *dst};
		p->shared = heard_ns && now_ns - heard_ns <= SILENCE_NS;
	}
	return p;
}

static void learn(struct udp_ident *p, uint16_t id, uint64_t now_ns)
{
	p->last = id;
	p->known_ns = now_ns;
	p->known = true;
	p->has_candidate = false;
}

bool fns_udp_ident_accept(
	struct udp_wire *w, const struct fns_gid *src, const struct fns_gid *dst, uint16_t id)
{
	uint64_t now_ns = fns_clock_now_ns();
	struct udp_ident *p = lookup(w, src, dst, now_ns);

	if (p->known ? now_ns - p->known_ns > SILENCE_NS : !p->shared && !p->has_candidate) {
		learn(p, id, now_ns);
		return true;
	}
	if (p->known && ahead(id, p->last, window(now_ns, p->known_ns))) {
		learn(p, id, now_ns);
		return true;
	}
	if (p->known && (uint16_t)(p->last - id) <= WINDOW_BACK)
		return true;
	/* Lost track: two packets in a row that continue each other are needed. */
	if (p->has_candidate && id != p->candidate &&
		ahead(id, p->candidate, window(now_ns, p->candidate_ns))) {
		learn(p, id, now_ns);
		return true;
	}
	p->candidate = id;
	p->candidate_ns = now_ns;
	p->has_candidate = true;
	return false;
}
