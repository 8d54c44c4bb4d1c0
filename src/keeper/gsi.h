/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MADs of QP1 over UDP (the general services interface): takes them off the keeper's own slot, and
 * sends them. The keeper's one thread; no state.
 *
 * Sending never uses the slot's socket, which is a member of the group: each MAD goes from a socket
 * of its own, unconnected and with DF set, so that its identification is 0 and the ICRC can be made
 * for it (see wire/udp_path.c). MADs are few.
 */
#ifndef FNS_KEEPER_GSI_H
#define FNS_KEEPER_GSI_H

#include "roce/gid.h"
#include "roce/mad.h"

struct fns_keeper_mad {
	struct fns_gid src, dst;
	uint32_t ifindex; /* where it came in, if src is link-local; else 0 */
	/* The ICRC is right for identification 0 or needs none: from IPv6, or FlexiNS. Else only
	 * some identification makes it right: 16 bits of the check are gone. */
	bool intact;
	uint8_t mad[FNS_MAD_LEN];
};

/* Reads one datagram. 1: *out is a MAD; 0: it was something else, thrown away; -EAGAIN: none
 * waits. port: the socket's own. Any input is accepted. */
int fns_keeper_gsi_recv(int sock, uint16_t port, struct fns_keeper_mad *out);
/* The same for a datagram that was read: BTH to ICRC. */
bool fns_keeper_gsi_check(
	const uint8_t *pkt, uint32_t len, uint16_t sport, uint16_t dport, struct fns_keeper_mad *m);
/* 0, or negative errno: -EADDRNOTAVAIL (local is not ours), -ENETUNREACH... Never blocks. */
int fns_keeper_gsi_send(uint16_t port, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN]);

#endif
