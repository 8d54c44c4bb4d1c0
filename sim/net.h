/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated network: nodes (hosts first, then switches) joined by links, each of which is two
 * ports, one for each direction. A port has a queue, a rate, a delay and faults of its own, drawn
 * from a random stream of its own. Switches forward along shortest paths, mark (ECN), drop at the
 * tail, and can pause the port that feeds them. Called by the simulated wire and by scenarios.
 */
#ifndef FNS_SIM_NET_H
#define FNS_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "flexins/cc.h"

#define SIM_HOSTS      40u
#define SIM_NODES      64u  /* hosts and switches */
#define SIM_PORTS      240u /* all nodes' together; they are named by 8 bits */
#define SIM_WAYS       8u   /* equally short ways that are made use of */
#define SIM_NO_PORT    0xffu
#define SIM_HOPS       4u  /* switch ports on one way that telemetry tells of */
#define SIM_WIRE_EXTRA 66u /* bytes of a packet before BTH, with preamble and gap */

#define SIM_FOUND 65536u /* the last: all beyond */

struct sim_world;
struct sim_packet;

enum sim_drop {             /* why a packet ended on its way */
	SIM_DROP_LOSS,      /* a link lost it */
	SIM_DROP_CUT,       /* a link is cut */
	SIM_DROP_PARTITION, /* the hosts are separated */
	SIM_DROP_ROUTE,     /* a switch knows no way */
	SIM_DROP_TAIL,      /* a queue was full */
	SIM_DROP_ICRC,      /* it was corrupted */
	SIM_DROP_OVERRUN,   /* the receiver's buffer was full */
	SIM_DROP_DEAD,      /* the receiver is gone */
	SIM_DROPS,
};

/* What switches have written into a packet (in-band telemetry); beside the frame, so that it takes
 * no room on links. */
struct sim_int {
	uint32_t n;
	struct fns_cc_hop hop[SIM_HOPS];
};

struct sim_net_stats {
	uint64_t hops, delivered, drop[SIM_DROPS];
	uint64_t dups, reordered, corrupted;
	uint64_t ecn_marked, ecn_seen; /* by switches; in views handed to engines */
	uint64_t pauses, paused_ns;    /* of ports; their time without, together */
	uint32_t queue_max;            /* bytes, the fullest switch queue ever */
	uint64_t found[SIM_FOUND]; /* packets, by KiB that waited in the switch port they came to */
	uint64_t found_bytes;      /* ... in sum */
};

struct sim_faults {
	uint32_t loss_ppm, dup_ppm, reorder_ppm, reorder_ns, corrupt_ppm, jitter_ns;
};

struct sim_port {
	struct fns_rng rng;
	uint8_t node, to;
	bool cut;
	bool paused; /* by the switch at the other end */
	bool choked; /* as that switch sees it; word of it takes a link delay */
	bool armed;  /* an event will look at the queue */
	uint32_t ps_per_byte, delay_ns;
	uint32_t limit, ecn; /* bytes; 0: none */
	uint32_t ecn_hi, ecn_ppm;
	struct sim_faults fault;
	uint32_t queued, queue_max, queue_max_now; /* now: since somebody set it back */
	uint64_t tx_bytes;                         /* sent */
	uint32_t held; /* bytes that came by here and wait in the switch at the other end */
	uint64_t paused_at;
	uint64_t free_ps, resumed_ps, last_arrival;
	struct sim_packet *head, **tail;
};

struct sim_net {
	unsigned nhosts, nnodes, nports;
	uint32_t xoff, xon; /* bytes held of one port's packets; 0: no pause */
	uint64_t side;      /* a partition: bit set per host on one side; 0: none */
	uint64_t salt;
	struct sim_port port[SIM_PORTS];
	uint8_t uplink[SIM_HOSTS];
	uint8_t nways[SIM_NODES][SIM_HOSTS], way[SIM_NODES][SIM_HOSTS][SIM_WAYS];
	struct sim_net_stats stats;
};

/* --- topologies --- */

enum sim_topo_kind {
	SIM_TOPO_PAIR,       /* two hosts, one link */
	SIM_TOPO_STAR,       /* N hosts around a switch */
	SIM_TOPO_INCAST,     /* the same: N senders and host 0 */
	SIM_TOPO_DUMBBELL,   /* N hosts on each side of one link between two switches */
	SIM_TOPO_LEAF_SPINE, /* L leaves with H hosts each, all joined to S spines */
};

struct sim_topo {
	enum sim_topo_kind kind;
	unsigned n;                     /* as above */
	unsigned leaves, spines, hosts; /* leaf-spine; hosts of each leaf */
};

/* "pair", "star:N", "incast:N", "dumbbell:N", "leaf-spine:LxSxH". False: not one of these, or too
 * large. */
bool sim_topo_parse(const char *spec, struct sim_topo *out);
unsigned sim_topo_hosts(const struct sim_topo *t);
/* Builds it from the world's parameters. */
void sim_net_init(struct sim_world *w, const struct sim_topo *t);
void sim_net_fini(struct sim_world *w);

/* --- faults and routes --- */

/* Both directions of the links between two nodes. Routes stay as they are until sim_net_route. */
void sim_net_cut(struct sim_world *w, unsigned a, unsigned b, bool on);
void sim_net_route(struct sim_world *w);
/* The switch that is the i-th of its topology: leaves before spines, left before right. */
static inline unsigned sim_net_switch(const struct sim_net *n, unsigned i)
{
	return n->nhosts + i;
}

/* KiB that the given share of packets (1/1000) did not find more of, waiting in switches. */
uint32_t sim_net_found(const struct sim_net_stats *s, unsigned permille);

/* --- packets --- */

/* From its source host on; takes the packet. */
void sim_net_send(struct sim_world *w, struct sim_packet *p);
/* Bytes that wait in a host's own port. */
uint32_t sim_net_backlog(const struct sim_world *w, unsigned host);
void sim_net_drop(struct sim_world *w, struct sim_packet *p, enum sim_drop why);
const char *sim_drop_name(enum sim_drop why);

/* Events. */
void sim_net_arrive(struct sim_world *w, unsigned port, struct sim_packet *p);
void sim_net_port_free(struct sim_world *w, unsigned port);
void sim_net_pause(struct sim_world *w, unsigned port, bool on);

#endif
