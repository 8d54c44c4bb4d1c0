/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire: frames and addresses, nothing of queue pairs. A frame out is header bytes plus
 * references to payload, so that payload is never copied into NIC memory; the wire gathers. A frame
 * in is a view into a receive buffer, released right after placement. Every slot is called by the
 * engine's one thread, but path_get/path_put also under it.
 */
#ifndef FNS_WIRE_WIRE_H
#define FNS_WIRE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mem/dma.h"
#include "pipe/stats.h"
#include "roce/gid.h"
#include "roce/header.h"

#define FNS_TX_BATCH  128u                /* frames in one burst at most */
#define FNS_RX_BATCH  128u                /* views in one burst at most */
#define FNS_FRAME_SGS (FNS_TX_BATCH * 4u) /* payload pieces in one burst at most */

struct fns_wire;
struct fns_cc_hop; /* flexins/cc.h */

/*
 * Where frames go: local and remote address plus destination prefix (QPN[23:16]: trains never mix
 * prefixes). Opaque to callers but for these fields; refcounted by the wire.
 */
struct fns_path {
	struct fns_gid local, remote;
	uint32_t ifindex;
	uint8_t prefix;
	uint8_t tos; /* IPv4 TOS or IPv6 traffic class */
	uint8_t ttl;
	uint32_t refs;
	bool reads_once; /* payload is copied before anything is made of it: it may change meanwhile
			  */
	bool direct;     /* the wire may reach into the peer's memory (ops direct) */
	uint32_t rx_bytes; /* how much may be under way to the peer, in rx_cost; 0: unknown */
	/* For a wire made of wires (host.c): which of them made this path; it leads nowhere any
	 * more; where its frames go then. */
	uint8_t part;
	bool broken;
	struct fns_path *fallback;
};

/* A path with one reference, as path_get was asked for it. */
static inline struct fns_path fns_path_to(const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, uint8_t prefix, uint8_t tos, uint8_t ttl)
{
	return (struct fns_path){.local = *local,
		.remote = *remote,
		.ifindex = ifindex,
		.prefix = prefix,
		.tos = tos,
		.ttl = ttl,
		.refs = 1};
}

/*
 * One piece of payload. region NULL: NIC memory at addr. Else host memory that the wire gathers in
 * place: addr is its near address, at offset addr - region->near_base (a wire that uses keys of its
 * own, as raw verbs do, goes by region and offset).
 */
struct fns_sg {
	const uint8_t *addr;
	struct fns_region *region;
	uint32_t len;
};

enum fns_frame_status {
	FNS_FRAME_SENT = 0,  /* or dropped on the way: the wire is lossy */
	FNS_FRAME_FAULT = 1, /* payload memory could not be read: nothing was sent */
};

/* A packet to send; owned by the caller, untouched by the wire but for status, must live until
 * tx_burst returns. */
struct fns_frame {
	struct fns_path *path;
	const struct fns_sg *sg;
	void *owner;          /* the queue pair, for the caller */
	uint32_t psn;         /* for the caller */
	uint32_t payload_len; /* sum of the pieces, bytes, without pad */
	uint8_t nsg;
	uint8_t hdr_len; /* bytes of hdr used: BTH and extension headers */
	uint8_t pad;     /* 0..3 zero bytes after the payload */
	uint8_t status;  /* out: enum fns_frame_status */
	uint8_t hdr[FNS_HDR_MAX];
	uint32_t icrc_xor; /* goes into the ICRC that the wire makes: not 0 only in fault injection
			    */
	/*
	 * Not NULL: the payload is lent (ops lends): not carried, the receiver fetches it. May be
	 * longer than a packet. What is pointed to changes as soon as the loan is called back:
	 * whatever is fetched from then on is not valid.
	 */
	const _Atomic uint64_t *loan;
};

enum {
	FNS_ECN_ECT0 = 2, /* the sender understands marks */
	FNS_ECN_CE = 3    /* marked by a switch: congestion */
};

/*
 * A packet received: BTH to pad, ICRC verified and cut off. data may lie in memory that the sender
 * can still write to (same-host wire): whoever judges a field uses the value that he judged, not a
 * second look (fns_hdr_parse reads every field once; payload that changes harms its sender only).
 */
struct fns_rx_view {
	const uint8_t *data;
	uint32_t len;
	uint8_t ecn; /* IP ECN bits: FNS_ECN_* */
	uint8_t tos, ttl;
	uint16_t sport;
	struct fns_gid src, dst;
	uint32_t lent; /* so many bytes of payload are not in data but to be had by ops fetch */
	uint8_t part;  /* for a wire made of wires: which of them received it */
	void *buf;     /* the wire's: which buffer to release */
	/*
	 * In-band telemetry that came back with it: the switch ports that the newest request to
	 * reach the sender had gone through, in order. Valid as long as data. Wires without leave
	 * both 0; so far only the simulator's has any.
	 */
	uint32_t nhops; /* FNS_CC_HOPS at most */
	const struct fns_cc_hop *hops;
};

/*
 * Direct access: where the peer is another process of this host, a wire may write to or read from
 * its memory itself, after the checks that the peer would have made. The peer's engine says what
 * there is: memory regions, and queue pairs that are ready to receive.
 */
struct fns_exposed_mr {
	uint64_t iova, len, addr; /* addr: where the owner sees iova */
	uint32_t key, pd, access;
};

struct fns_exposed_qp {
	struct fns_gid remote;
	uint32_t qpn, dest_qpn, pd, access;
};

/* One WRITE or READ, or a piece of it. */
struct fns_direct {
	const struct fns_path *path;
	uint32_t src_qpn, dest_qpn;
	uint32_t rkey;
	uint64_t va;
	const struct iovec *iov; /* memory of this process; may fault */
	unsigned niov;
	uint32_t len; /* sum of the pieces, > 0 */
	bool read;
	bool if_asleep; /* only where packets would have to wake the peer */
};

struct fns_wire_caps {
	uint32_t max_packet; /* BTH to ICRC, bytes */
	bool in_place; /* gathers payload from application memory in place: a sum over it may be of
			  changing bytes */
	bool reliable_payload; /* no software ICRC: staging against changing memory is not needed */
};

struct fns_wire_ops {
	const char *name;
	/*
	 * Finds or makes the path. May do system calls the first time. 0, -ENOMEM, -EMFILE,
	 * -EADDRNOTAVAIL (local is not ours), -ENETUNREACH.
	 */
	int (*path_get)(struct fns_wire *w, const struct fns_gid *local,
		const struct fns_gid *remote, uint32_t ifindex, uint8_t prefix, uint8_t tos,
		uint8_t ttl, struct fns_path **out);
	void (*path_put)(struct fns_wire *w, struct fns_path *p);
	/*
	 * Sends frames in order; consecutive ones with one path and equal lengths may share a
	 * train. Returns how many were taken (status set in each); fewer than n means that the wire
	 * is full: call again later with the rest. Never blocks.
	 */
	unsigned (*tx_burst)(struct fns_wire *w, struct fns_frame *frames, unsigned n);
	/* Receives up to max views (max >= FNS_RX_BATCH: never splits what it received). Never
	 * blocks. Drops are counted. */
	unsigned (*rx_burst)(struct fns_wire *w, struct fns_rx_view *views, unsigned max);
	/* Gives the view's share of its buffer back. */
	void (*rx_release)(struct fns_wire *w, struct fns_rx_view *v);
	/*
	 * What one packet of len bytes (BTH to ICRC) may cost in the receiver's buffer: bulk when
	 * it is one of a train, else alone.
	 */
	uint32_t (*rx_cost)(struct fns_wire *w, uint32_t len, bool bulk);
	void (*destroy)(struct fns_wire *w);
	/*
	 * Optional. When rx_burst must be called even if nothing arrives: absolute ns, UINT64_MAX:
	 * never. For wires that hold packets back.
	 */
	uint64_t (*next)(struct fns_wire *w);
	/*
	 * Optional: false when rx_burst would bring nothing now, as far as can be told without a
	 * system call. A wire that cannot tell says true.
	 */
	bool (*maybe)(struct fns_wire *w);
	/*
	 * Optional, all three or none: for wires with packets that do not come by the leased
	 * socket. fd: a descriptor to watch; when it is readable, events() is due, then rx_burst.
	 * arm(true): from now on a packet that comes, or is there already, makes fd readable;
	 * arm(false): packets come in silence, which is cheaper. Not armed at first. events() takes
	 * care of whatever made fd readable, also of peers that come and go, and never blocks.
	 */
	int (*fd)(const struct fns_wire *w);
	void (*events)(struct fns_wire *w);
	void (*arm)(struct fns_wire *w, bool on);
	/*
	 * Optional, those up to shut all or none: what peers may access directly. Concealing is
	 * false while a peer is at it: ask again before the memory is used for anything else.
	 * Exposing again replaces. shut(true): nothing for now (packets are to be watched, or
	 * tampered with).
	 */
	void (*mr_expose)(struct fns_wire *w, const struct fns_exposed_mr *mr);
	bool (*mr_conceal)(struct fns_wire *w, uint32_t key);
	void (*qp_expose)(struct fns_wire *w, const struct fns_exposed_qp *qp);
	bool (*qp_conceal)(struct fns_wire *w, uint32_t qpn);
	void (*shut)(struct fns_wire *w, bool on);
	/*
	 * Optional, for paths that say so: true: done, all of it, ascending, the last aligned word
	 * last. False: it cannot be done, now or ever, or not be allowed; some of it may have been
	 * written. Send packets then, which find out.
	 */
	bool (*direct)(struct fns_wire *w, const struct fns_direct *d);
	/*
	 * Optional, both or none. lends: may frames on this path lend their payload now? One that
	 * did may be lost for it, as any frame may.
	 */
	bool (*lends)(struct fns_wire *w, const struct fns_path *path);
	/*
	 * Fetches all that a view says was lent to memory of this process. As the operations of
	 * mem/dma.h: FNS_DMA_DONE, or FNS_DMA_PENDING, and t->done is called by rx_burst, or
	 * negative. -EFAULT: a fault of the memory fetched to. -ESTALE: it is not to be had (any
	 * more): the packet counts as not received. Memory fetched to may have been written.
	 */
	int (*fetch)(struct fns_wire *w, const struct fns_rx_view *v, const struct iovec *to,
		unsigned nto, struct fns_dma_token *t);
};

/* Payload bytes of a frame that lends, at most; a power of two. */
#define FNS_LEND_MAX 65536u

/* One packet as a wire carried it. */
struct fns_tap_packet {
	struct fns_gid src, dst;
	uint16_t sport, dport;
	uint8_t tos, ttl;
	bool out;
	int32_t ip_id; /* IPv4 identification, -1: the socket did not show it */
	/* BTH to ICRC in pieces, of which len bytes beginning at `skip` belong to this packet.
	 * Pieces may be application memory: read them under a guard. */
	const struct iovec *iov;
	uint32_t skip, len;
	enum fns_counter drop; /* why the wire dropped it, FNS_C_COUNT: it did not */
};

/* Somebody who watches a wire; called by the thread that runs the wire, must not block. */
struct fns_tap {
	void (*packet)(struct fns_tap *t, const struct fns_tap_packet *p);
};

/* Wires embed this first. */
struct fns_wire {
	const struct fns_wire_ops *ops;
	struct fns_wire_caps caps;
	struct fns_stats *stats; /* counters of the engine; set by who creates the engine before the
				    first burst */
	const uint64_t *now_ns;  /* time of the engine's advance, set likewise; NULL: no engine */
	struct fns_tap *tap;     /* NULL: nobody watches */
};

struct fns_wire_udp_cfg {
	int sock;             /* the leased socket; the wire does not own it */
	uint8_t prefix;       /* our slot: QPN[23:16] of what we receive */
	uint16_t port;        /* destination port of peers, normally 4791 */
	bool gso, gro;        /* trains out, trains in */
	uint32_t rx_ring_mib; /* receive buffers: a ring of so many MiB used in turn; 0: in-cache,
				 a few, the last released first */
};

/* The default wire: RoCEv2 over UDP sockets. NULL with errno set. */
struct fns_wire *fns_wire_udp_create(const struct fns_wire_udp_cfg *cfg);

struct fns_wire_shm_cfg {
	uint16_t port;  /* names the network of peers, as the UDP port does */
	uint8_t prefix; /* our slot */
};

/*
 * The same-host wire: frames to processes of this host, network namespace and user, through shared
 * memory. path_get is -EHOSTUNREACH for all others. NULL with errno set: EADDRINUSE when somebody
 * has our name.
 */
struct fns_wire *fns_wire_shm_create(const struct fns_wire_shm_cfg *cfg);
/* The prefix is about to be given back: no newcomers, and its name is free. Existing paths work
 * on. */
void fns_wire_shm_leave(struct fns_wire *w);
/* In the child of a fork: closes descriptors, nothing else. */
void fns_wire_shm_forget(struct fns_wire *w);

enum fns_wire_choice {
	FNS_WIRE_AUTO, /* shm where the peer is on this host, else udp */
	FNS_WIRE_UDP,
	FNS_WIRE_SHM, /* paths to other hosts are refused */
};

#define FNS_WIRE_CHOICES "auto, udp or shm" /* for messages */

/* By its name. False: no such wire, and *out is as it was. */
bool fns_wire_choice_parse(const char *name, enum fns_wire_choice *out);

struct fns_wire_host_cfg {
	struct fns_wire_udp_cfg udp;
	uint16_t port; /* that names the network of peers on this host */
	enum fns_wire_choice choice;
};

/* Both: a path is of one or the other from its creation; one of shm whose peer breaks it off goes
 * on over udp. NULL with errno set. */
struct fns_wire *fns_wire_host_create(const struct fns_wire_host_cfg *cfg);
void fns_wire_host_leave(struct fns_wire *w);
void fns_wire_host_forget(struct fns_wire *w);

#endif
