/* SPDX-License-Identifier: Apache-2.0 */
/* What a device, its port and its tables look like. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "verbs/verbs_priv.h"

#define PKEY_DEFAULT 0xffff

/* The port attributes as they were in the ABI of 1.1: ibv_port_attr up to and with flags. */
struct _compat_ibv_port_attr {
	uint8_t bytes[offsetof(struct ibv_port_attr, port_cap_flags2)];
};

static void fill_device_attr(const struct fns_vcontext *ctx, struct ibv_device_attr *a)
{
	memset(a, 0, sizeof(*a));
	snprintf(a->fw_ver, sizeof(a->fw_ver), "%s", FNS_VERSION);
	a->node_guid = a->sys_image_guid = htobe64(ctx->net.guid);
	a->max_mr_size = UINT64_MAX;
	a->page_size_cap = ~(uint64_t)0xfff;
	a->vendor_id = FNS_VENDOR_ID;
	a->vendor_part_id = 1;
	a->max_qp = FNS_MAX_QP;
	a->max_qp_wr = FNS_MAX_QP_WR;
	a->device_cap_flags = IBV_DEVICE_CURR_QP_STATE_MOD | IBV_DEVICE_SYS_IMAGE_GUID |
			      IBV_DEVICE_RC_RNR_NAK_GEN | IBV_DEVICE_SRQ_RESIZE |
			      IBV_DEVICE_N_NOTIFY_CQ | IBV_DEVICE_MEM_WINDOW |
			      IBV_DEVICE_MEM_MGT_EXTENSIONS | IBV_DEVICE_MEM_WINDOW_TYPE_2B |
			      IBV_DEVICE_UD_AV_PORT_ENFORCE;
	a->max_sge = FNS_MAX_SGE;
	a->max_sge_rd = FNS_MAX_SGE;
	a->max_cq = FNS_MAX_CQ;
	a->max_cqe = FNS_MAX_CQE;
	a->max_mr = FNS_MAX_MR;
	a->max_pd = FNS_MAX_PD;
	a->max_qp_rd_atom = FNS_MAX_RD_ATOMIC;
	a->max_res_rd_atom = FNS_MAX_QP * FNS_MAX_RD_ATOMIC;
	a->max_qp_init_rd_atom = FNS_MAX_RD_ATOMIC;
	a->atomic_cap = IBV_ATOMIC_HCA;
	a->max_mw = FNS_MAX_MW;
	a->max_ah = FNS_MAX_AH;
	a->max_srq = FNS_MAX_SRQ;
	a->max_srq_wr = FNS_MAX_SRQ_WR;
	a->max_srq_sge = FNS_MAX_SGE;
	a->max_pkeys = 1;
	a->local_ca_ack_delay = FNS_CA_ACK_DELAY;
	a->phys_port_cnt = 1;
}

FNS_EXPORT int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *device_attr)
{
	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	fill_device_attr(fns_ctx(context), device_attr);
	return 0;
}

int fns_verbs_query_device_ex(struct ibv_context *context,
	const struct ibv_query_device_ex_input *input, struct ibv_device_attr_ex *attr,
	size_t attr_size)
{
	struct ibv_device_attr_ex a = {0};

	if (input && input->comp_mask)
		return fns_verbs_err(-EINVAL);
	if (attr_size < sizeof(a.orig_attr))
		return fns_verbs_err(-EINVAL);
	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	fill_device_attr(fns_ctx(context), &a.orig_attr);
	a.completion_timestamp_mask = UINT64_MAX;
	a.hca_core_clock = 1000000; /* kHz: timestamps count ns */
	a.device_cap_flags_ex = a.orig_attr.device_cap_flags;
	a.phys_port_cnt_ex = 1;
	/* A caller built against a newer header has a longer struct: what we do not know is 0. */
	memset(attr, 0, attr_size);
	memcpy(attr, &a, FNS_MIN(attr_size, sizeof(a)));
	return 0;
}

/* Link speed as InfiniBand names it: lanes (1: 1X, 2: 4X) and per-lane speed. */
static void fill_speed(const struct fns_netdev *nd, struct ibv_port_attr *a)
{
	static const struct {
		uint32_t mbps;
		uint8_t width, speed;
	} table[] = {
		{1000, 1, 1},         /* 1X SDR */
		{10000, 1, 4},        /* 1X QDR */
		{25000, 1, 32},       /* 1X EDR */
		{40000, 2, 4},        /* 4X QDR */
		{50000, 1, 64},       /* 1X HDR */
		{100000, 2, 32},      /* 4X EDR */
		{200000, 2, 64},      /* 4X HDR */
		{UINT32_MAX, 2, 128}, /* 4X NDR */
	};
	uint32_t mbps = nd->loopback ? 100000 : fns_netdev_speed_mbps(nd);
	unsigned i = 0;

	if (mbps == 0)
		mbps = 10000; /* virtual interfaces do not say */
	while (table[i].mbps < mbps)
		i++;
	a->active_width = table[i].width;
	a->active_speed = table[i].speed;
}

static void fill_port_attr(const struct fns_vcontext *ctx, struct ibv_port_attr *a)
{
	bool up = fns_netdev_is_up(&ctx->net);

	memset(a, 0, sizeof(*a));
	a->state = up ? IBV_PORT_ACTIVE : IBV_PORT_DOWN;
	a->max_mtu = IBV_MTU_4096;
	a->active_mtu = (enum ibv_mtu)ctx->active_mtu;
	a->gid_tbl_len = FNS_GID_TBL_LEN;
	a->port_cap_flags = IBV_PORT_CM_SUP | IBV_PORT_IP_BASED_GIDS;
	a->max_msg_sz = FNS_MAX_MSG;
	a->pkey_tbl_len = 1;
	a->max_vl_num = 1;
	fill_speed(&ctx->net, a);
	a->phys_state = up ? 5 /* LinkUp */ : 3 /* Disabled */;
	a->link_layer = IBV_LINK_LAYER_ETHERNET;
	a->flags = IBV_QPF_GRH_REQUIRED;
}

int fns_verbs_query_port(
	struct ibv_context *context, uint8_t port, struct ibv_port_attr *attr, size_t len)
{
	struct ibv_port_attr a;

	if (port != 1)
		return fns_verbs_err(-EINVAL);
	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	fill_port_attr(fns_ctx(context), &a);
	memset(attr, 0, len);
	memcpy(attr, &a, FNS_MIN(len, sizeof(a)));
	return 0;
}

/* Old programs call this; it knows only the old, shorter struct. */
FNS_EXPORT int ibv_query_port(
	struct ibv_context *context, uint8_t port_num, struct _compat_ibv_port_attr *port_attr)
{
	return fns_verbs_query_port(
		context, port_num, (struct ibv_port_attr *)(void *)port_attr, sizeof(*port_attr));
}

FNS_EXPORT int ibv_query_gid(
	struct ibv_context *context, uint8_t port_num, int index, union ibv_gid *gid)
{
	struct fns_vcontext *ctx = fns_ctx(context);

	if (port_num != 1 || index < 0 || index >= FNS_GID_TBL_LEN) {
		errno = EINVAL;
		return -1;
	}
	if (!fns_placement_alive()) {
		errno = EIO;
		return -1;
	}
	memset(gid, 0, sizeof(*gid));
	if ((unsigned)index < ctx->net.n_gids)
		memcpy(gid->raw, ctx->net.gid[index].b, sizeof(gid->raw));
	return 0;
}

static void fill_gid_entry(
	const struct fns_vcontext *ctx, unsigned index, void *entry, size_t entry_size)
{
	struct ibv_gid_entry e = {
		.gid_index = index,
		.port_num = 1,
		.gid_type = IBV_GID_TYPE_ROCE_V2,
		.ndev_ifindex = ctx->net.ifindex,
	};

	memcpy(e.gid.raw, ctx->net.gid[index].b, sizeof(e.gid.raw));
	memset(entry, 0, entry_size);
	memcpy(entry, &e, FNS_MIN(entry_size, sizeof(e)));
}

FNS_EXPORT int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port_num, uint32_t gid_index,
	struct ibv_gid_entry *entry, uint32_t flags, size_t entry_size)
{
	struct fns_vcontext *ctx = fns_ctx(context);

	if (port_num != 1 || gid_index >= FNS_GID_TBL_LEN || flags != 0)
		return fns_verbs_err(-EINVAL);
	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	if (gid_index >= ctx->net.n_gids)
		return fns_verbs_err(-ENODATA);
	fill_gid_entry(ctx, gid_index, entry, entry_size);
	return 0;
}

/* Returns the number of entries, or negative errno: this one's convention. */
FNS_EXPORT ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries,
	size_t max_entries, uint32_t flags, size_t entry_size)
{
	struct fns_vcontext *ctx = fns_ctx(context);

	if (flags != 0 || max_entries < ctx->net.n_gids)
		return -EINVAL;
	if (!fns_placement_alive())
		return -EIO;
	for (unsigned i = 0; i < ctx->net.n_gids; i++)
		fill_gid_entry(ctx, i, (char *)entries + i * entry_size, entry_size);
	return (ssize_t)ctx->net.n_gids;
}

FNS_EXPORT int ibv_query_pkey(
	struct ibv_context *context, uint8_t port_num, int index, __be16 *pkey)
{
	if (port_num != 1 || index != 0) {
		errno = EINVAL;
		return -1;
	}
	*pkey = htobe16(PKEY_DEFAULT);
	return 0;
}

FNS_EXPORT int ibv_get_pkey_index(struct ibv_context *context, uint8_t port_num, __be16 pkey)
{
	if (port_num != 1 || (be16toh(pkey) & 0x7fff) != (PKEY_DEFAULT & 0x7fff)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int fns_verbs_query_rt_values(struct ibv_context *context, struct ibv_values_ex *values)
{
	struct fns_vcontext *ctx = fns_ctx(context);
	uint64_t now_ns;

	if (values->comp_mask & ~(uint32_t)IBV_VALUES_MASK_RAW_CLOCK)
		return fns_verbs_err(-EINVAL);
	if (!fns_placement_alive())
		return fns_verbs_err(-EIO);
	if (values->comp_mask & IBV_VALUES_MASK_RAW_CLOCK) {
		/* In units of hca_core_clock, which are ns; rdma-core's providers put the count
		 * there too. */
		now_ns = ctx->ops->now_ns();
		values->raw_clock.tv_sec = 0;
		values->raw_clock.tv_nsec = (long)now_ns;
	}
	return 0;
}
