/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UDP wire: its life and its limits. Owns paths, transmit sockets and buffers; not the leased
 * socket. Called by who makes the engine, then by the engine through fns_wire_ops.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "mem/guard.h"
#include "wire/udp_priv.h"

/*
 * What packets cost in sk_rmem_alloc (SO_MEMINFO) of a receiver that does not read, bytes a packet,
 * Linux 6.18, the same on loopback and on a veth pair:
 *
 *	len	alone	train of 2	4	15	64	train, receiver without GRO
 *	64	832	480		272	120	77	896
 *	192	832	608		400	248	205	1024
 *	256	1280	672		464	312	269	1088
 *	640	1280	1056		848	696	653	1472
 *	700	2304	1116		908	756	713	1532
 *	1056	2304	1472		1264	1112	-	1888
 *	2080	4352	2496		2288	2136	-	2912
 *	4128	8448	4544		4336	4184	-	4960
 *	8972	16640	9388		9180	-	-	9804
 *
 * Alone: 256 of sk_buff and a power of two of data, which holds 380 bytes (20 more for IPv6) beside
 * the packet. A train: its bytes and 832 for the whole of it; cut up by a receiver without GRO: 832
 * for each segment. Nothing of this is promised by the kernel, so slack of 16 to 48 is added. A
 * driver's receive pages may cost more: congestion control and retransmission deal with what does
 * not fit.
 */
#define SKB_OVERHEAD   256u
#define DATA_OVERHEAD  416u
#define ALONE_MIN      832u
#define TRAIN_OVERHEAD 864u
#define ALONE_PAGES    16384u /* from here on data goes to page fragments */

static uint32_t rx_cost_alone(uint32_t len)
{
	if (len + DATA_OVERHEAD <= ALONE_MIN - SKB_OVERHEAD)
		return ALONE_MIN;
	if (len + DATA_OVERHEAD > ALONE_PAGES)
		return FNS_MAX(len, ALONE_PAGES) + TRAIN_OVERHEAD;
	return SKB_OVERHEAD + fns_pow2_ceil(len + DATA_OVERHEAD);
}

static uint32_t rx_cost(struct fns_wire *base, uint32_t len, bool bulk)
{
	struct udp_wire *w = udp_of(base);

	if (!bulk)
		return rx_cost_alone(len);
	/*
	 * Trains are of two segments at least. Whether the receiver merges is its own setting:
	 * taken to be the same as ours.
	 */
	return len + (w->cfg.gro ? TRAIN_OVERHEAD / 2 : TRAIN_OVERHEAD);
}

static void destroy(struct fns_wire *base)
{
	struct udp_wire *w = udp_of(base);

	fns_udp_paths_fini(w);
	fns_udp_rx_fini(w);
	free(w);
}

static const struct fns_wire_ops udp_ops = {
	.name = "udp",
	.path_get = fns_udp_path_get,
	.path_put = fns_udp_path_put,
	.tx_burst = fns_udp_tx_burst,
	.rx_burst = fns_udp_rx_burst,
	.rx_release = fns_udp_rx_release,
	.rx_cost = rx_cost,
	.destroy = destroy,
};

/* The keeper sets these before it leases; a socket from elsewhere may lack them. 0 or -1 with
 * errno. */
static int sock_setup(struct udp_wire *w)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	int fd = w->cfg.sock, on = 1, gro = w->cfg.gro;

	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return -1;
	if (sa.ss_family == AF_INET6) {
		w->lport = ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
		if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)))
			return -1;
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
	} else if (sa.ss_family == AF_INET) {
		w->lport = ntohs(((struct sockaddr_in *)&sa)->sin_port);
		if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)))
			return -1;
	} else {
		errno = EAFNOSUPPORT;
		return -1;
	}
	/* Also for IPv4 packets on a dual-stack socket. Without these ECN and TTL read as 0. */
	(void)setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
	if (setsockopt(fd, SOL_UDP, UDP_GRO, &gro, sizeof(gro)))
		w->cfg.gro = false; /* a kernel before 5.0: datagrams come one by one */
	return 0;
}

struct fns_wire *fns_wire_udp_create(const struct fns_wire_udp_cfg *cfg)
{
	struct udp_wire *w;
	int err;

	err = fns_guard_install();
	if (err) {
		errno = -err;
		return NULL;
	}
	w = aligned_alloc(64, FNS_ALIGN_UP(sizeof(*w), 64));
	if (!w)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->base.ops = &udp_ops;
	w->base.caps.max_packet = UDP_MAX_PACKET;
	w->base.caps.in_place = true;
	w->cfg = *cfg;
	fns_list_init(&w->socks);
	if (sock_setup(w)) {
		err = errno;
		goto fail;
	}
	fns_udp_tx_init(w);
	err = -fns_udp_rx_init(w);
	if (err)
		goto fail;
	return &w->base;
fail:
	free(w);
	errno = err;
	return NULL;
}
