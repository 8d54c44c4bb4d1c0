/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces as verbs devices: which ones are offered, their GIDs, MTU and link. Asks the
 * system, keeps nothing. */
#ifndef FNS_VERBS_NETDEV_H
#define FNS_VERBS_NETDEV_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "roce/gid.h"
#include "verbs/limits.h"

struct fns_netdev {
	char name[IFNAMSIZ];
	uint32_t ifindex;
	uint32_t mtu;  /* bytes of IP packet */
	uint64_t guid; /* host order, stable for this interface, never 0 */
	bool up, loopback;
	uint8_t mac[6];
	unsigned n_gids;
	struct fns_gid gid[FNS_GID_TBL_LEN];
};

/*
 * The interfaces to offer, in device order: those that FLEXINS_IFACE names ("eth1,lo"), else the
 * first one that is up with an address and is not lo, else lo. Those that cannot be used are left
 * out with a line on stderr. Returns their number.
 */
unsigned fns_netdev_discover(struct fns_netdev *out, unsigned max);
/* Reads one interface again. 0 or negative errno: -ENODEV, -ENETDOWN, -EADDRNOTAVAIL, -EMSGSIZE
 * (MTU too small). */
int fns_netdev_read(const char *name, struct fns_netdev *out);
/* Largest IBTA MTU (1..5 as ibv_mtu) that fits into the interface's; 0: none does. Pure. */
unsigned fns_netdev_ib_mtu(uint32_t mtu_bytes);
/* Is the link up now? */
bool fns_netdev_is_up(const struct fns_netdev *nd);
/* Link speed in Mb/s, 0 if unknown. */
uint32_t fns_netdev_speed_mbps(const struct fns_netdev *nd);

#endif
