/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: from the application's ibv_ah_attr to the engine's address vector, address handles,
 * and the address of who sent a datagram.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "verbs/verbs_priv.h"

#define HOP_LIMIT_DEFAULT 64
/* In the 40 bytes before a datagram, IPv4 has its header at the end (IBTA annex A17.4.5.2). */
#define GRH_IPV4_OFFSET 20

int fns_verbs_resolve_av(
	const struct fns_vcontext *ctx, const struct ibv_ah_attr *attr, struct fns_ctl_av *av)
{
	const struct fns_netdev *net = &ctx->net;
	struct fns_gid dgid;

	if (!attr->is_global || attr->port_num != 1 || attr->grh.sgid_index >= net->n_gids)
		return -EINVAL;
	memcpy(dgid.b, attr->grh.dgid.raw, sizeof(dgid.b));
	if (fns_gid_is_zero(&dgid) ||
		fns_gid_is_v4(&dgid) != fns_gid_is_v4(&net->gid[attr->grh.sgid_index]))
		return -EINVAL;
	memset(av, 0, sizeof(*av));
	av->sgid = net->gid[attr->grh.sgid_index];
	av->dgid = dgid;
	av->ifindex = net->ifindex;
	/* UCX leaves bits above the 20 uninitialised; other devices ignore them too. */
	av->flow_label = attr->grh.flow_label & 0xfffff;
	av->traffic_class = attr->grh.traffic_class;
	/* Programs leave 0 or 1 here and mean nothing by it: with a kernel's RoCE the route
	 * decides. */
	av->hop_limit = attr->grh.hop_limit > 1 ? attr->grh.hop_limit : HOP_LIMIT_DEFAULT;
	av->sl = attr->sl;
	av->sgid_index = attr->grh.sgid_index;
	av->is_global = 1;
	av->static_rate = attr->static_rate;
	av->src_path_bits = attr->src_path_bits;
	av->port = attr->port_num;
	av->dlid = attr->dlid;
	av->link_mtu = (uint16_t)FNS_MIN(net->mtu, (uint32_t)UINT16_MAX);
	return 0;
}

FNS_EXPORT struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	struct fns_ctl msg = {.op = FNS_CTL_AH_CREATE};
	struct fns_vcontext *ctx = fns_ctx(pd->context);
	struct fns_vah *ah;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	err = fns_verbs_resolve_av(ctx, attr, &msg.ah.av);
	if (err)
		return fns_verbs_null(err);
	ah = calloc(1, sizeof(*ah));
	if (!ah)
		return fns_verbs_null(-ENOMEM);
	msg.cookie = (uintptr_t)ah;
	msg.ah.pd = pd->handle;
	err = fns_verbs_control(ctx, &msg);
	if (err) {
		free(ah);
		return fns_verbs_null(err);
	}
	ah->ibv.context = pd->context;
	ah->ibv.pd = pd;
	ah->ibv.handle = msg.handle;
	atomic_fetch_add(&fns_vpd(pd)->refs, 1);
	return &ah->ibv;
}

FNS_EXPORT int ibv_destroy_ah(struct ibv_ah *ibah)
{
	struct fns_ctl msg = {.op = FNS_CTL_AH_DESTROY, .handle = ibah->handle};
	struct fns_vah *ah = fns_container_of(ibah, struct fns_vah, ibv);
	int err;

	if (!fns_placement_alive())
		return 0;
	err = fns_verbs_control(fns_ctx(ibah->context), &msg);
	if (err)
		return fns_verbs_err(err);
	atomic_fetch_sub(&fns_vpd(ibah->pd)->refs, 1);
	free(ah);
	return 0;
}

static bool ipv4_checksum_ok(const uint8_t *h)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += get_be16(h + i);
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return (sum & 0xffff) == 0xffff;
}

static void gid_from_v4(struct fns_gid *g, const uint8_t *addr)
{
	memset(g->b, 0, 10);
	g->b[10] = g->b[11] = 0xff;
	memcpy(g->b + 12, addr, 4);
}

struct wc_addresses {
	struct fns_gid sgid, dgid; /* of the packet: its sender, and us */
	uint32_t flow_label;
	uint8_t traffic_class;
};

/*
 * Which of the two headers it is cannot be told by the first byte alone: before an IPv4 header
 * stand 20 bytes that nobody wrote. So a good IPv4 header wins, then the version of an IPv6 one,
 * then an IPv4 header whose checksum was not filled in.
 */
static int parse_grh(const uint8_t *p, struct wc_addresses *a)
{
	const uint8_t *v4 = p + GRH_IPV4_OFFSET;
	bool looks_v4 = v4[0] == 0x45, is_v6 = p[0] >> 4 == 6;

	memset(a, 0, sizeof(*a));
	if (looks_v4 && (!is_v6 || ipv4_checksum_ok(v4))) {
		a->traffic_class = v4[1];
		gid_from_v4(&a->sgid, v4 + 12);
		gid_from_v4(&a->dgid, v4 + 16);
		return 0;
	}
	if (!is_v6)
		return -EINVAL;
	a->traffic_class = (uint8_t)(get_be16(p) >> 4);
	a->flow_label = get_be32(p) & 0xfffff;
	memcpy(a->sgid.b, p + 8, 16);
	memcpy(a->dgid.b, p + 24, 16);
	return 0;
}

/* Our GID that a packet came to; for a multicast one the first of its family. -1: none. */
static int find_gid(const struct fns_vcontext *ctx, const struct fns_gid *dgid)
{
	for (unsigned i = 0; i < ctx->net.n_gids; i++) {
		const struct fns_gid *g = &ctx->net.gid[i];

		if (fns_gid_equal(g, dgid) ||
			(fns_gid_is_multicast(dgid) && fns_gid_is_v4(g) == fns_gid_is_v4(dgid)))
			return (int)i;
	}
	return -1;
}

FNS_EXPORT int ibv_init_ah_from_wc(struct ibv_context *context, uint8_t port_num, struct ibv_wc *wc,
	struct ibv_grh *grh, struct ibv_ah_attr *ah_attr)
{
	struct ibv_ah_attr out = {
		.dlid = wc->slid,
		.sl = wc->sl,
		.src_path_bits = wc->dlid_path_bits,
		.port_num = port_num,
	};
	struct wc_addresses a;
	int index;

	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	if (port_num != 1)
		return fns_verbs_err(-EINVAL);
	if (wc->wc_flags & IBV_WC_GRH) {
		if (!grh || parse_grh((const uint8_t *)grh, &a))
			return fns_verbs_err(-EINVAL);
		index = find_gid(fns_ctx(context), &a.dgid);
		if (index < 0)
			return fns_verbs_err(-EINVAL);
		out.is_global = 1;
		memcpy(out.grh.dgid.raw, a.sgid.b, sizeof(a.sgid.b));
		out.grh.sgid_index = (uint8_t)index;
		out.grh.flow_label = a.flow_label;
		out.grh.traffic_class = a.traffic_class;
		out.grh.hop_limit = 0xff;
	}
	*ah_attr = out;
	return 0;
}

FNS_EXPORT struct ibv_ah *ibv_create_ah_from_wc(
	struct ibv_pd *pd, struct ibv_wc *wc, struct ibv_grh *grh, uint8_t port_num)
{
	struct ibv_ah_attr attr;

	if (ibv_init_ah_from_wc(pd->context, port_num, wc, grh, &attr))
		return NULL;
	return ibv_create_ah(pd, &attr);
}

FNS_EXPORT int ibv_resolve_eth_l2_from_gid(
	struct ibv_context *context, struct ibv_ah_attr *attr, uint8_t eth_mac[6], uint16_t *vid)
{
	/* Ethernet addresses are the kernel's business: packets leave through UDP sockets. */
	return fns_verbs_err(-EOPNOTSUPP);
}
