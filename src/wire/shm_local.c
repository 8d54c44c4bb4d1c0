/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose address is it? The routing table knows: what it delivers locally is ours, be it an
 * interface's address or any of 127/8. (Whether one can bind to an address would not do: that may
 * be allowed for any.) Control path, once a path.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/shm_priv.h"

struct question {
	struct nlmsghdr nh;
	struct rtmsg rt;
	struct rtattr attr;
	uint8_t addr[16];
};

static bool ask(int fd, const struct fns_gid *g)
{
	bool v4 = fns_gid_is_v4(g);
	uint32_t len = v4 ? 4 : 16;
	struct question q = {
		.nh = {.nlmsg_len = (uint32_t)offsetof(struct question, addr) + len,
			.nlmsg_type = RTM_GETROUTE,
			.nlmsg_flags = NLM_F_REQUEST},
		.rt = {.rtm_family = v4 ? AF_INET : AF_INET6, .rtm_dst_len = (uint8_t)(len * 8)},
		.attr = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = RTA_DST},
	};
	_Alignas(struct nlmsghdr) char buf[4096];
	const struct nlmsghdr *nh = (const struct nlmsghdr *)(const void *)buf;
	struct rtmsg rt;
	ssize_t n;

	memcpy(q.addr, g->b + 16 - len, len);
	if (send(fd, &q, q.nh.nlmsg_len, 0) < 0)
		return false;
	/* The kernel has answered before send returns. */
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(rt)) || nh->nlmsg_type != RTM_NEWROUTE)
		return false;
	memcpy(&rt, NLMSG_DATA(nh), sizeof(rt));
	return rt.rtm_type == RTN_LOCAL;
}

bool fns_shm_is_local(const struct fns_gid *g)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bool yes;

	if (fd < 0)
		return false;
	yes = connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) == 0 && ask(fd, g);
	close(fd);
	return yes;
}
