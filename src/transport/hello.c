/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of the hosts that queue pairs and address handles name: asked once while anybody
 * names one, by whoever runs the engine, and told to all peers there. Until then, and where a host
 * stays silent, the defaults hold. Owns the hosts. Control path, engine's thread.
 */
#include <stdlib.h>

#include "transport/qp.h"

/* What was said holds so long; no answer may mean that its keeper had not started yet. */
#define OLD_NS        (60 * FNS_NSEC_PER_SEC)
#define OLD_SILENT_NS (10 * FNS_NSEC_PER_SEC)

static struct fns_host *find(struct fns_nic *nic, const struct fns_gid *remote)
{
	struct fns_list *it;

	fns_list_for_each (it, &nic->hosts) {
		struct fns_host *h = fns_container_of(it, struct fns_host, node);

		if (fns_gid_equal(&h->remote, remote))
			return h;
	}
	return NULL;
}

static void want(struct fns_nic *nic, struct fns_host *h, bool wanted)
{
	nic->hello_wanted += (uint32_t)wanted - (uint32_t)h->wanted;
	h->wanted = wanted;
}

static bool is_old(const struct fns_nic *nic, const struct fns_host *h)
{
	return h->state != FNS_HELLO_UNKNOWN && !h->asked &&
	       nic->now_ns - h->told_ns >= (h->state == FNS_HELLO_SILENT ? OLD_SILENT_NS : OLD_NS);
}

struct fns_host *fns_host_get(struct fns_nic *nic, const struct fns_gid *local,
	const struct fns_gid *remote, uint32_t ifindex)
{
	struct fns_host *h;

	if (fns_gid_is_multicast(remote))
		return NULL;
	h = find(nic, remote);
	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return NULL;
		h->local = *local;
		h->remote = *remote;
		h->ifindex = ifindex;
		fns_list_push_back(&nic->hosts, &h->node);
		want(nic, h, true);
	} else if (is_old(nic, h)) {
		want(nic, h, true);
	}
	h->refs++;
	return h;
}

void fns_host_put(struct fns_nic *nic, struct fns_host *h)
{
	if (!h || --h->refs)
		return;
	want(nic, h, false);
	fns_list_remove(&h->node);
	free(h);
}

struct fns_host *fns_host_wanted(struct fns_nic *nic)
{
	struct fns_list *it;

	if (!nic->hello_wanted)
		return NULL;
	fns_list_for_each (it, &nic->hosts) {
		struct fns_host *h = fns_container_of(it, struct fns_host, node);

		if (!h->wanted)
			continue;
		want(nic, h, false);
		h->asked = true;
		return h;
	}
	return NULL;
}

void fns_host_told(struct fns_nic *nic, const struct fns_gid *remote, enum fns_hello_state state,
	const struct fns_hello *hello)
{
	struct fns_host *h = find(nic, remote);
	struct fns_list *it, *tmp;

	if (!h)
		return;
	h->asked = false;
	h->state = (uint8_t)state;
	h->told_ns = nic->now_ns;
	if (state == FNS_HELLO_FLEXINS)
		h->hello = *hello;
	fns_list_for_each_safe (it, tmp, &nic->peers) {
		struct fns_peer *p = fns_container_of(it, struct fns_peer, node);

		if (p->host == h)
			fns_peer_learn(p);
	}
}

void fns_host_lost(struct fns_nic *nic)
{
	struct fns_list *it;

	fns_list_for_each (it, &nic->hosts) {
		struct fns_host *h = fns_container_of(it, struct fns_host, node);

		if (h->asked)
			want(nic, h, true);
		h->asked = false;
	}
}
