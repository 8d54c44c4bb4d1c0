/* SPDX-License-Identifier: Apache-2.0 */
/* The table of addresses, the questions under way, and the answers given. Called by server.c (time,
 * packets) and conn.c (clients). */
#include "keeper/hello.h"

#include <string.h>

#include "base/util.h"

#define KNOWN_NS      (60 * FNS_NSEC_PER_SEC)  /* then an address is asked anew, if wanted */
#define SILENT_NS     (10 * FNS_NSEC_PER_SEC)  /* its keeper may have started since */
#define FIRST_WAIT_NS (40 * FNS_NSEC_PER_MSEC) /* for an answer; doubles */
#define REFRESH_NS    FNS_NSEC_PER_SEC         /* a request makes us ask anew at most so often */
/* An asker gets 20 answers a second, 20 at once. They are as long as the questions: nobody gains by
 * forging a source address. */
#define ANSWER_NS (50 * FNS_NSEC_PER_MSEC)
#define BURST_NS  FNS_NSEC_PER_SEC

void fns_keeper_hello_init(struct fns_keeper_hellos *h, const struct fns_hello *own, uint64_t seed)
{
	memset(h->peer, 0, sizeof(h->peer));
	memset(h->quota_ns, 0, sizeof(h->quota_ns));
	h->own = *own;
	h->asking = 0;
	h->next_ns = UINT64_MAX;
	fns_rng_seed(&h->rng, seed);
}

static bool is_it(const struct fns_keeper_hello_peer *p, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex)
{
	return p->used && fns_gid_equal(&p->remote, remote) && fns_gid_equal(&p->local, local) &&
	       p->ifindex == ifindex;
}

static struct fns_keeper_hello_peer *find(struct fns_keeper_hellos *h, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex)
{
	for (uint32_t i = 0; i < FNS_KEEPER_HELLO_PEERS; i++)
		if (is_it(&h->peer[i], local, remote, ifindex))
			return &h->peer[i];
	return NULL;
}

static void stop_asking(struct fns_keeper_hellos *h, struct fns_keeper_hello_peer *p)
{
	h->asking -= p->asking;
	p->asking = false;
}

/* A free entry, or that of the address used least lately; those being asked come last. */
static struct fns_keeper_hello_peer *take_entry(struct fns_keeper_hellos *h)
{
	struct fns_keeper_hello_peer *best = &h->peer[0];

	for (uint32_t i = 0; i < FNS_KEEPER_HELLO_PEERS; i++) {
		struct fns_keeper_hello_peer *p = &h->peer[i];

		if (!p->used)
			return p;
		if (p->asking != best->asking ? best->asking : p->used_ns < best->used_ns)
			best = p;
	}
	stop_asking(h, best);
	return best;
}

static void ask(struct fns_keeper_hellos *h, struct fns_keeper_hello_peer *p, uint64_t now_ns)
{
	uint8_t mad[FNS_MAD_LEN];

	p->next_ns = now_ns + (FIRST_WAIT_NS << p->tries++);
	h->next_ns = FNS_MIN(h->next_ns, p->next_ns);
	fns_hello_build(mad, FNS_MAD_GET, p->tid, &h->own);
	h->send(h->ctx, &p->local, &p->remote, p->ifindex, mad);
}

enum fns_hello_state fns_keeper_hello_ask(struct fns_keeper_hellos *h, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint64_t now_ns, struct fns_hello *out)
{
	struct fns_keeper_hello_peer *p;

	if (fns_gid_is_zero(local) || fns_gid_is_zero(remote) || fns_gid_is_multicast(local) ||
		fns_gid_is_multicast(remote))
		return FNS_HELLO_SILENT;
	ifindex = fns_gid_is_link_local(remote) ? ifindex : 0;
	p = find(h, local, remote, ifindex);
	if (!p) {
		p = take_entry(h);
		*p = (struct fns_keeper_hello_peer){
			.used = true, .remote = *remote, .local = *local, .ifindex = ifindex};
	}
	p->used_ns = now_ns;
	if (p->asking)
		return FNS_HELLO_UNKNOWN;
	if (now_ns < p->expires_ns) {
		if (p->state == FNS_HELLO_FLEXINS)
			*out = p->hello;
		return (enum fns_hello_state)p->state;
	}
	p->state = FNS_HELLO_UNKNOWN;
	p->asking = true;
	h->asking++;
	p->tries = 0;
	p->asked_ns = now_ns;
	p->tid = fns_rng_u64(&h->rng);
	ask(h, p, now_ns);
	return FNS_HELLO_UNKNOWN;
}

static bool may_answer(struct fns_keeper_hellos *h, const struct fns_gid *remote, uint64_t now_ns)
{
	uint64_t k = h->own.generation, *quota;

	/* The generation is random: who shares a quota with whom cannot be foreseen. */
	for (unsigned i = 0; i < sizeof(remote->b); i++)
		k = (k ^ remote->b[i]) * 0xff51afd7ed558ccdu;
	quota = &h->quota_ns[(k ^ k >> 32) >> 16 & (FNS_KEEPER_HELLO_LIMITS - 1)];
	if (*quota > now_ns + BURST_NS)
		return false;
	*quota = FNS_MAX(*quota, now_ns) + ANSWER_NS;
	return true;
}

static void on_request(struct fns_keeper_hellos *h, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint64_t tid,
	const struct fns_hello *theirs, uint64_t now_ns)
{
	struct fns_keeper_hello_peer *p = find(h, local, remote, ifindex);
	uint8_t mad[FNS_MAD_LEN];

	if (!may_answer(h, remote, now_ns))
		return;
	fns_hello_build(mad, FNS_MAD_GET_RESP, tid, &h->own);
	h->send(h->ctx, local, remote, ifindex, mad);
	/* It is not what we take it for, or somebody says so. */
	if (p && !p->asking && now_ns - p->asked_ns >= REFRESH_NS &&
		(p->state != FNS_HELLO_FLEXINS || p->hello.generation != theirs->generation))
		p->expires_ns = now_ns;
}

static void on_answer(struct fns_keeper_hellos *h, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, uint64_t tid,
	const struct fns_hello *theirs, uint64_t now_ns)
{
	struct fns_keeper_hello_peer *p = find(h, local, remote, ifindex);

	/* One that comes after we gave up is as good. */
	if (!p || p->tid != tid || !(p->asking || p->state == FNS_HELLO_SILENT))
		return;
	stop_asking(h, p);
	p->state = theirs ? FNS_HELLO_FLEXINS : FNS_HELLO_STANDARD;
	if (theirs)
		p->hello = *theirs;
	p->expires_ns = now_ns + KNOWN_NS;
}

bool fns_keeper_hello_rx(struct fns_keeper_hellos *h, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN], bool intact,
	uint64_t now_ns)
{
	struct fns_hello theirs;
	uint64_t tid;

	if (fns_gid_is_multicast(local) || fns_gid_is_multicast(remote))
		return false;
	switch (fns_hello_parse(mad, &tid, &theirs)) {
	case FNS_HELLO_REQUEST:
		if (intact)
			on_request(h, local, remote, ifindex, tid, &theirs, now_ns);
		return true;
	case FNS_HELLO_ANSWER:
		if (intact)
			on_answer(h, local, remote, ifindex, tid, &theirs, now_ns);
		return true;
	case FNS_HELLO_REFUSAL:
		on_answer(h, local, remote, ifindex, tid, NULL, now_ns);
		return true;
	case FNS_HELLO_NONE:
		break;
	}
	return false;
}

void fns_keeper_hello_tick(struct fns_keeper_hellos *h, uint64_t now_ns)
{
	if (now_ns < h->next_ns)
		return;
	h->next_ns = UINT64_MAX;
	for (uint32_t i = 0; i < FNS_KEEPER_HELLO_PEERS && h->asking; i++) {
		struct fns_keeper_hello_peer *p = &h->peer[i];

		if (!p->asking)
			continue;
		if (p->next_ns > now_ns) {
			h->next_ns = FNS_MIN(h->next_ns, p->next_ns);
		} else if (p->tries < FNS_KEEPER_HELLO_TRIES) {
			ask(h, p, now_ns);
		} else {
			stop_asking(h, p);
			p->state = FNS_HELLO_SILENT;
			p->expires_ns = now_ns + SILENT_NS;
		}
	}
}

const struct fns_keeper_hello_peer *fns_keeper_hello_next(
	const struct fns_keeper_hellos *h, uint32_t *at)
{
	for (; *at < FNS_KEEPER_HELLO_PEERS; ++*at)
		if (h->peer[*at].used)
			return &h->peer[*at];
	return NULL;
}
