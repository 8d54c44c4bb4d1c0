/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which network interfaces become verbs devices, and what they look like: GID table, MTU, link.
 * Discovery only reads: it needs no keeper, no engine and no privilege. Called by device.c and
 * query.c.
 */
#include "verbs/netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/util.h"

unsigned fns_netdev_ib_mtu(uint32_t mtu_bytes)
{
	unsigned mtu = 5;

	while (mtu > 0 && (128u << mtu) + FNS_HDR_MARGIN > mtu_bytes)
		mtu--;
	return mtu;
}

static bool if_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	ok = ioctl(fd, request, ifr) == 0;
	close(fd);
	return ok;
}

bool fns_netdev_is_up(const struct fns_netdev *nd)
{
	const short want = IFF_UP | IFF_RUNNING;
	struct ifreq ifr = {0};

	return if_ioctl(nd->name, SIOCGIFFLAGS, &ifr) && (ifr.ifr_flags & want) == want;
}

uint32_t fns_netdev_speed_mbps(const struct fns_netdev *nd)
{
	struct ethtool_cmd cmd = {.cmd = ETHTOOL_GSET};
	struct ifreq ifr = {0};
	uint32_t speed;

	ifr.ifr_data = (void *)&cmd;
	if (!if_ioctl(nd->name, SIOCETHTOOL, &ifr))
		return 0;
	speed = ethtool_cmd_speed(&cmd);
	return speed == (uint32_t)SPEED_UNKNOWN ? 0 : speed;
}

static uint64_t hash_more(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

/* EUI-64 of the MAC; an interface without one (lo) gets a locally administered number that is
 * stable for host and name. */
static uint64_t make_guid(const struct fns_netdev *nd)
{
	static const uint8_t no_mac[6];
	uint8_t eui[8], id[64];
	uint64_t h = 0xcbf29ce484222325ull;
	ssize_t n = -1;
	int fd;

	if (memcmp(nd->mac, no_mac, sizeof(no_mac)) != 0) {
		memcpy(eui, nd->mac, 3);
		eui[0] ^= 2;
		eui[3] = 0xff;
		eui[4] = 0xfe;
		memcpy(eui + 5, nd->mac + 3, 3);
		return get_be64(eui);
	}
	fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, id, sizeof(id));
		close(fd);
	}
	if (n <= 0) {
		memset(id, 0, sizeof(id));
		gethostname((char *)id, sizeof(id) - 1);
		n = (ssize_t)strlen((char *)id);
	}
	h = hash_more(h, id, (size_t)n);
	h = hash_more(h, nd->name, strlen(nd->name));
	return (h | 0x0200000000000000ull) & ~0x0100000000000000ull;
}

/* Order in the GID table: IPv4, then IPv6, then IPv6 link-local; within each as the system lists
 * them. -1: not a GID. */
static int gid_class(const struct sockaddr *sa)
{
	const struct in6_addr *a6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

	if (sa->sa_family == AF_INET)
		return 0;
	if (sa->sa_family != AF_INET6 || IN6_IS_ADDR_UNSPECIFIED(a6) || IN6_IS_ADDR_MULTICAST(a6))
		return -1;
	return IN6_IS_ADDR_LINKLOCAL(a6) ? 2 : 1;
}

static void gid_from_sockaddr(struct fns_gid *g, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		memset(g->b, 0, 10);
		g->b[10] = g->b[11] = 0xff;
		memcpy(g->b + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else {
		memcpy(g->b, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	}
}

static void add_gids(struct fns_netdev *nd, const struct ifaddrs *list, int class)
{
	for (const struct ifaddrs *ia = list; ia; ia = ia->ifa_next) {
		struct fns_gid g;
		bool seen = false;

		if (!ia->ifa_addr || strcmp(ia->ifa_name, nd->name) != 0 ||
			gid_class(ia->ifa_addr) != class)
			continue;
		gid_from_sockaddr(&g, ia->ifa_addr);
		for (unsigned i = 0; i < nd->n_gids; i++)
			seen |= fns_gid_equal(&nd->gid[i], &g);
		if (!seen && nd->n_gids < FNS_GID_TBL_LEN)
			nd->gid[nd->n_gids++] = g;
	}
}

/* -ENODEV, -ENETDOWN, -EADDRNOTAVAIL, -EMSGSIZE or 0. */
static int read_from(const char *name, const struct ifaddrs *list, struct fns_netdev *nd)
{
	struct ifreq ifr = {0};

	memset(nd, 0, sizeof(*nd));
	if (strlen(name) >= sizeof(nd->name))
		return -ENODEV;
	strcpy(nd->name, name);
	nd->ifindex = if_nametoindex(name);
	if (nd->ifindex == 0 || !if_ioctl(name, SIOCGIFFLAGS, &ifr))
		return -ENODEV;
	nd->up = (ifr.ifr_flags & IFF_UP) != 0;
	nd->loopback = (ifr.ifr_flags & IFF_LOOPBACK) != 0;
	if (!nd->up)
		return -ENETDOWN;
	memset(&ifr, 0, sizeof(ifr));
	if (!if_ioctl(name, SIOCGIFMTU, &ifr))
		return -ENODEV;
	nd->mtu = (uint32_t)ifr.ifr_mtu;
	memset(&ifr, 0, sizeof(ifr));
	if (if_ioctl(name, SIOCGIFHWADDR, &ifr) && ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER)
		memcpy(nd->mac, ifr.ifr_hwaddr.sa_data, sizeof(nd->mac));
	nd->guid = make_guid(nd);
	for (int class = 0; class <= 2; class ++)
		add_gids(nd, list, class);
	if (nd->n_gids == 0)
		return -EADDRNOTAVAIL;
	return fns_netdev_ib_mtu(nd->mtu) ? 0 : -EMSGSIZE;
}

int fns_netdev_read(const char *name, struct fns_netdev *out)
{
	struct ifaddrs *list;
	int err;

	if (getifaddrs(&list) != 0)
		return -errno;
	err = read_from(name, list, out);
	freeifaddrs(list);
	return err;
}

static void complain(const char *name, const struct fns_netdev *nd, int err)
{
	switch (err) {
	case -ENODEV:
		fns_log(FNS_LOG_ERROR,
			"FLEXINS_IFACE names '%s', but there is no such interface; "
			"'ip link' lists those there are",
			name);
		break;
	case -ENETDOWN:
		fns_log(FNS_LOG_ERROR, "interface %s is down; 'ip link set %s up' brings it up",
			name, name);
		break;
	case -EADDRNOTAVAIL:
		fns_log(FNS_LOG_ERROR, "interface %s has no IP address; RoCEv2 needs one", name);
		break;
	case -EMSGSIZE:
		fns_log(FNS_LOG_ERROR,
			"interface %s is not offered: its MTU of %u is too small, RoCEv2 "
			"needs at least %u",
			name, nd->mtu, 256u + FNS_HDR_MARGIN);
		break;
	default:
		fns_log(FNS_LOG_ERROR, "interface %s: %s", name, strerror(-err));
	}
}

static unsigned discover_named(
	const char *names, const struct ifaddrs *list, struct fns_netdev *out, unsigned max)
{
	unsigned n = 0;

	while (*names && n < max) {
		size_t len = strcspn(names, ", ");
		char name[64];
		bool twice = false;
		int err;

		if (len > 0) {
			snprintf(name, sizeof(name), "%.*s", (int)len, names);
			for (unsigned i = 0; i < n; i++)
				twice |= strcmp(out[i].name, name) == 0;
			err = twice ? 0 : read_from(name, list, &out[n]);
			if (err != 0)
				complain(name, &out[n], err);
			else if (!twice)
				n++;
		}
		names += len;
		names += strspn(names, ", ");
	}
	return n;
}

/* Lower is better: routable addresses before link-local ones before the loopback. */
static int rank(const struct fns_netdev *nd)
{
	bool routable = !(nd->gid[0].b[0] == 0xfe && (nd->gid[0].b[1] & 0xc0) == 0x80);

	return nd->loopback ? 2 : routable ? 0 : 1;
}

static unsigned discover_default(const struct ifaddrs *list, struct fns_netdev *out)
{
	struct if_nameindex *names = if_nameindex();
	struct fns_netdev nd;
	int best = 3;

	if (!names)
		return 0;
	for (const struct if_nameindex *it = names; it->if_index != 0; it++) {
		int err = read_from(it->if_name, list, &nd);

		if (err == -EMSGSIZE)
			complain(it->if_name, &nd, err);
		if (err == 0 && rank(&nd) < best) {
			best = rank(&nd);
			*out = nd;
		}
	}
	if_freenameindex(names);
	return best < 3;
}

unsigned fns_netdev_discover(struct fns_netdev *out, unsigned max)
{
	const char *names = getenv("FLEXINS_IFACE");
	struct ifaddrs *list;
	unsigned n;

	if (max == 0 || getifaddrs(&list) != 0)
		return 0;
	if (names && *names)
		n = discover_named(names, list, out, max);
	else
		n = discover_default(list, out);
	freeifaddrs(list);
	return n;
}
