/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices and contexts: ibv_get_device_list to ibv_close_device. Listing only looks at the
 * interfaces; opening starts the process's engine (fns_placement_start).
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "verbs/ring.h"
#include "verbs/verbs_priv.h"

/* What stands behind ibv_device for libraries that recognise their own devices by it; never looked
 * into. */
static const char device_ops_mark;

static void device_put(struct fns_vdevice *dev)
{
	if (atomic_fetch_sub(&dev->refs, 1) == 1)
		free(dev);
}

static struct fns_vdevice *device_create(const struct fns_netdev *net, int index)
{
	struct fns_vdevice *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	dev->ibv.node_type = IBV_NODE_CA;
	dev->ibv.transport_type = IBV_TRANSPORT_IB;
	snprintf(dev->ibv.name, sizeof(dev->ibv.name), "flexins%d", index);
	snprintf(dev->ibv.dev_name, sizeof(dev->ibv.dev_name), "uverbs%d", index);
	snprintf(dev->ibv.dev_path, sizeof(dev->ibv.dev_path),
		"/sys/class/infiniband_verbs/uverbs%d", index);
	snprintf(dev->ibv.ibdev_path, sizeof(dev->ibv.ibdev_path),
		"/sys/class/infiniband/flexins%d", index);
	dev->ops = &device_ops_mark;
	dev->refs = 1;
	dev->index = index;
	dev->net = *net;
	return dev;
}

FNS_EXPORT struct ibv_device **ibv_get_device_list(int *num_devices)
{
	struct fns_netdev *nets = calloc(FNS_MAX_DEVICES, sizeof(*nets));
	struct ibv_device **list = NULL;
	unsigned n;

	if (num_devices)
		*num_devices = 0;
	if (!nets)
		return fns_verbs_null(-ENOMEM);
	n = fns_netdev_discover(nets, FNS_MAX_DEVICES);
	list = calloc(n + 1, sizeof(struct ibv_device *));
	for (unsigned i = 0; list && i < n; i++) {
		struct fns_vdevice *dev = device_create(&nets[i], (int)i);

		if (!dev) {
			ibv_free_device_list(list);
			list = NULL;
			break;
		}
		list[i] = &dev->ibv;
	}
	free(nets);
	if (!list)
		return fns_verbs_null(-ENOMEM);
	if (num_devices)
		*num_devices = (int)n;
	return list;
}

FNS_EXPORT void ibv_free_device_list(struct ibv_device **list)
{
	if (!list)
		return;
	for (unsigned i = 0; list[i]; i++)
		device_put(fns_container_of(list[i], struct fns_vdevice, ibv));
	free(list);
}

FNS_EXPORT const char *ibv_get_device_name(struct ibv_device *device)
{
	return device->name;
}

FNS_EXPORT int ibv_get_device_index(struct ibv_device *device)
{
	return fns_container_of(device, struct fns_vdevice, ibv)->index;
}

FNS_EXPORT __be64 ibv_get_device_guid(struct ibv_device *device)
{
	return htobe64(fns_container_of(device, struct fns_vdevice, ibv)->net.guid);
}

/* What is not listed is NULL, which the inline functions of <infiniband/verbs.h> turn into
 * EOPNOTSUPP. */
static void fill_ops(struct verbs_context *v)
{
	v->sz = sizeof(*v);
	v->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
	v->query_port = fns_verbs_query_port;
	v->query_device_ex = fns_verbs_query_device_ex;
	v->query_rt_values = fns_verbs_query_rt_values;
	v->alloc_td = fns_verbs_alloc_td;
	v->dealloc_td = fns_verbs_dealloc_td;
	v->alloc_parent_domain = fns_verbs_alloc_parent_domain;
	v->create_cq_ex = fns_verbs_create_cq_ex;
	v->modify_cq = fns_verbs_modify_cq;
	v->create_qp_ex = fns_verbs_create_qp_ex;
	v->create_srq_ex = fns_verbs_create_srq_ex;
	v->get_srq_num = fns_verbs_get_srq_num;
	v->close_xrcd = fns_verbs_close_xrcd;
	v->context.ops = (struct ibv_context_ops){
		.alloc_mw = fns_verbs_alloc_mw,
		.bind_mw = fns_verbs_bind_mw,
		.dealloc_mw = fns_verbs_dealloc_mw,
		.poll_cq = fns_verbs_poll_cq,
		.req_notify_cq = fns_verbs_req_notify_cq,
		.post_srq_recv = fns_verbs_post_srq_recv,
		.post_send = fns_verbs_post_send,
		.post_recv = fns_verbs_post_recv,
	};
}

static int client_open(struct fns_vcontext *ctx)
{
	struct fns_ctl msg = {.op = FNS_CTL_CLIENT_OPEN};
	char sentence[256] = "";
	int err;

	ctx->ops = fns_placement_start(&fns_verbs_upcalls, sentence, sizeof(sentence));
	if (!ctx->ops) {
		fns_log(FNS_LOG_ERROR, "%s: %s", ctx->dev->ibv.name, sentence);
		return -EIO;
	}
	msg.cookie = (uintptr_t)ctx;
	err = fns_vring_attach(ctx->ops);
	if (!err)
		err = fns_verbs_control(ctx, &msg);
	if (err)
		return err;
	ctx->client = msg.client;
	return 0;
}

FNS_EXPORT struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	struct fns_vdevice *dev = fns_container_of(device, struct fns_vdevice, ibv);
	struct fns_vcontext *ctx = calloc(1, sizeof(*ctx));
	struct ibv_context *ic;
	int err;

	if (!ctx)
		return fns_verbs_null(-ENOMEM);
	ctx->dev = dev;
	ic = &ctx->v.context;
	/* Addresses may have changed since the device was listed. */
	err = fns_netdev_read(dev->net.name, &ctx->net);
	if (err) {
		fns_log(FNS_LOG_ERROR, "%s: interface %s cannot be used any more: %s", device->name,
			dev->net.name, strerror(-err));
		goto free_ctx;
	}
	ctx->active_mtu = (uint8_t)fns_netdev_ib_mtu(ctx->net.mtu);
	fill_ops(&ctx->v);
	ic->device = device;
	ic->num_comp_vectors = FNS_COMP_VECTORS;
	pthread_mutex_init(&ic->mutex, NULL);
	/* Nothing is behind it, but programs duplicate it and set its flags. */
	ic->cmd_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (ic->cmd_fd < 0) {
		err = -errno;
		goto free_ctx;
	}
	err = fns_vchannel_init(&ctx->async);
	if (err)
		goto close_cmd;
	ic->async_fd = ctx->async.fd;
	fns_vevent_source_init(&ctx->fatal, &ctx->async);
	fns_list_init(&ctx->comp_channels);
	err = client_open(ctx);
	if (err)
		goto fini_async;
	atomic_fetch_add(&dev->refs, 1);
	return ic;

fini_async:
	fns_vchannel_fini(&ctx->async);
close_cmd:
	close(ic->cmd_fd);
free_ctx:
	free(ctx);
	return fns_verbs_null(err);
}

FNS_EXPORT int ibv_close_device(struct ibv_context *context)
{
	struct fns_vcontext *ctx = fns_ctx(context);
	struct fns_ctl msg = {.op = FNS_CTL_CLIENT_CLOSE, .handle = ctx->client};

	/* What it still owns goes with it; in a forked child there is nothing to tell anybody. */
	if (fns_placement_alive())
		fns_verbs_control(ctx, &msg);
	fns_vchannel_fini(&ctx->async);
	close(context->cmd_fd);
	device_put(ctx->dev);
	free(ctx);
	return 0;
}
