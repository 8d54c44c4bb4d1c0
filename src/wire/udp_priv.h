/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the UDP wire: what udp.c (life), udp_path.c (addresses and transmit sockets), udp_tx.c
 * (frames to trains), udp_rx.c (trains to views), udp_tap.c (for captures) and udp_ident.c (IPv4
 * identifications of peers that are not FlexiNS) share. One thread, the engine's.
 */
#ifndef FNS_WIRE_UDP_PRIV_H
#define FNS_WIRE_UDP_PRIV_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/list.h"
#include "roce/icrc.h"
#include "wire/wire.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

#define UDP_HDR_LEN    8u
#define UDP_MIN_PACKET (FNS_BTH_LEN + FNS_ICRC_LEN)
#define UDP_MAX_PACKET 65504u /* IPv4 allows 65,507; RoCE lengths are multiples of 4 */
#define UDP_MAX_TRAIN  65400u /* bytes of one GSO send: below what IPv4 and IPv6 allow */
#define UDP_MAX_SEGS                                                                               \
	64u          /* UDP_MAX_SEGMENTS of kernels before 6.9; also what GRO merges at most       \
		      */
#define UDP_IDS 128u /* identifications that FlexiNS peers use: the index in the train */
/*
 * Up to this much payload of a frame is copied beside its header: an iovec entry costs the kernel
 * more than the copy costs us, and a small message becomes one piece with its neighbours.
 */
#define UDP_COPY_MAX   256u
#define UDP_FRAME_SLOT (FNS_HDR_MAX + UDP_COPY_MAX + 4u + FNS_ICRC_LEN)
#define UDP_IOVS       1024u /* UIO_MAXIOV: one message may take them all */

#define UDP_PATH_BUCKETS 256u
#define UDP_IDLE_SOCKS                                                                             \
	16u /* transmit sockets without a path that stay open: an address comes back soon */
#define UDP_CRC_CACHE 4u

#define UDP_RX_BUFS    16u /* sized to the cache, not to the load; also one call's at most */
#define UDP_RX_BUF_LEN 65536u
/* Not a multiple of 4 KiB: else the first lines of all buffers would share the few ways of one
 * cache set. */
#define UDP_RX_STRIDE (UDP_RX_BUF_LEN + 320u)
#define UDP_RX_BYTES                                                                               \
	(192u * 1024u) /* received in one call when trains come: stays in a second-level cache */
#define UDP_RX_CONTROL  192u
#define UDP_IDENT_PEERS 64u

/* One transmit socket: one local address, one destination prefix, one TOS and TTL. */
struct udp_sock {
	struct fns_list node; /* of the wire's socks */
	struct fns_gid local;
	uint32_t ifindex;    /* outgoing interface where the address does not tell: link-local,
				multicast; else 0 */
	uint32_t refs;       /* paths */
	uint64_t idle_since; /* a count of releases, for the oldest */
	int fd;
	uint16_t sport;
	uint8_t prefix, tos, ttl;
	bool v6;
	bool gso; /* false for ever once the kernel or the interface refused a train */
};

struct udp_path {
	struct fns_path base;
	struct udp_sock *ts;
	struct udp_path *next; /* hash chain */
	struct fns_icrc_flow flow;
	struct sockaddr_storage sa;
	socklen_t sa_len;
	/* ICRC registers after the pseudo header with identification 0, by UDP length. */
	uint16_t crc_len[UDP_CRC_CACHE];
	uint32_t crc[UDP_CRC_CACHE];
};

/* One sendmsg: frames of one path, in a row but for those that faulted. */
struct udp_train {
	struct udp_path *path;
	uint32_t first, last; /* frames */
	uint32_t iov_first, iov_n;
	uint32_t seg_len, nseg, bytes;
	bool closed; /* a shorter segment ends it */
};

/* A burst being laid out. All but cur changes only when a frame is complete, so that a fault in the
 * middle of one undoes itself. */
struct udp_layout {
	uint8_t *arena; /* headers, small payloads, pads, ICRCs: a stream that the iovecs cut */
	struct iovec *iov;
	struct udp_train *train;
	uint32_t pos; /* bytes used of arena */
	uint32_t open_iov,
		open_pos; /* entry at the end of the stream, not closed yet, and where it starts */
	uint32_t ntrains;
	volatile uint32_t cur; /* frame being worked on, for after a fault */
};

struct udp_gso_control {
	_Alignas(struct cmsghdr) uint8_t b[CMSG_SPACE(sizeof(uint16_t))];
};

struct udp_rxbuf {
	uint8_t *mem;
	uint32_t refs; /* views out, plus one while it is being split */
	uint32_t len, seg, off;
	uint16_t next_id; /* identification to try first */
	uint16_t sport;
	uint8_t tos, ttl;
	bool addressed; /* the kernel told the destination */
	uint16_t crc_len;
	uint32_t crc; /* register after the pseudo header for crc_len, identification 0 */
	struct fns_gid src, dst;
	struct fns_icrc_flow flow;
	struct sockaddr_in6 from;
	_Alignas(struct cmsghdr) uint8_t control[UDP_RX_CONTROL];
};

/* What is known of the identifications of one source that is not FlexiNS. */
struct udp_ident {
	struct fns_gid src, dst;
	uint64_t known_ns, candidate_ns;
	uint16_t last, candidate;
	bool known, has_candidate;
	bool shared; /* taken over from a pair that is alive: its silence says nothing */
};

struct udp_wire {
	struct fns_wire base;
	struct fns_wire_udp_cfg cfg;
	uint16_t lport; /* of the leased socket: what the ICRC of received packets covers */
	bool mtu_logged;

	struct udp_path *paths[UDP_PATH_BUCKETS];
	struct fns_list socks;
	uint32_t idle_socks;
	uint64_t idle_clock;

	/* ICRC register of the pseudo header with identification i, XOR the one with 0: the same
	 * for all flows and lengths. */
	uint32_t id_delta[UDP_IDS];

	struct udp_layout tx;
	struct udp_layout one; /* a single frame again, after an error */
	struct mmsghdr tx_mm[FNS_TX_BATCH];
	struct udp_gso_control tx_control[FNS_TX_BATCH];

	struct udp_rxbuf *rx_free[UDP_RX_BUFS]; /* a stack; not with a ring */
	struct udp_rxbuf *rx_wait[UDP_RX_BUFS]; /* received, not split to the end */
	uint32_t rx_nfree, rx_nwait, rx_head;
	uint32_t rx_want; /* messages to ask for in the next call */
	struct mmsghdr rx_mm[UDP_RX_BUFS];
	struct iovec rx_iov[UDP_RX_BUFS];
	struct udp_rxbuf *rx_buf; /* all of them */
	uint32_t rx_bufs;
	/* rx_ring: the buffers are used in this order and free again in this order: rx_next is the
	 * next to use, rx_oldest the first that is not free, rx_nfree what lies between them. */
	bool rx_ring;
	uint32_t rx_next, rx_oldest;
	struct udp_ident ident[UDP_IDENT_PEERS];
	uint8_t *rx_mem;

	struct udp_train trains[FNS_TX_BATCH], one_train;
	struct iovec tx_iov[UDP_IOVS], one_iov[FNS_FRAME_SGS];
	uint8_t one_arena[UDP_FRAME_SLOT];
	_Alignas(64) uint8_t tx_arena[FNS_TX_BATCH * UDP_FRAME_SLOT];
};

static inline struct udp_wire *udp_of(struct fns_wire *w)
{
	return (struct udp_wire *)(void *)w;
}

static inline void udp_count(struct udp_wire *w, enum fns_counter c, uint64_t n)
{
	if (w->base.stats)
		fns_count_add(w->base.stats, c, n);
}

/* udp_path.c */
int fns_udp_path_get(struct fns_wire *w, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl, struct fns_path **out);
void fns_udp_path_put(struct fns_wire *w, struct fns_path *p);
void fns_udp_paths_fini(struct udp_wire *w);

/* udp_tx.c */
void fns_udp_tx_init(struct udp_wire *w);
unsigned fns_udp_tx_burst(struct fns_wire *w, struct fns_frame *frames, unsigned n);

/* udp_rx.c. init: 0 or negative errno. */
int fns_udp_rx_init(struct udp_wire *w);
void fns_udp_rx_fini(struct udp_wire *w);
unsigned fns_udp_rx_burst(struct fns_wire *w, struct fns_rx_view *views, unsigned max);
void fns_udp_rx_release(struct fns_wire *w, struct fns_rx_view *v);

/* udp_tap.c: shows a train that was sent, and a packet that was received, to who watches. */
void fns_udp_tap_tx(struct udp_wire *w, const struct udp_layout *l, const struct udp_train *t);
void fns_udp_tap_rx(struct udp_wire *w, const struct udp_rxbuf *b, uint8_t *p, uint32_t len,
	enum fns_counter drop);

/* udp_ident.c. The packet's ICRC fits with identification id (>= UDP_IDS) alone: may that be
 * believed? Learns. */
bool fns_udp_ident_accept(
	struct udp_wire *w, const struct fns_gid *src, const struct fns_gid *dst, uint16_t id);

#endif
