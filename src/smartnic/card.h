/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulated SmartNIC: a card with PCIe, a link to Arm memory, a DMA engine, a cache and DRAM,
 * all servers of virtual time; its cores, each of which runs one engine; a DMA backend and a wire
 * for those engines, which carry out what the engine asks for and charge the card for it; a network
 * of two sides. An emulation: it predicts nothing that its parameters (params.h) do not hold.
 *
 * One thread. Whoever makes a thing here destroys it, after the engines that use it. Used by
 * src/bench.
 */
#ifndef FNS_SMARTNIC_CARD_H
#define FNS_SMARTNIC_CARD_H

#include "mem/dma.h"
#include "smartnic/cache.h"
#include "smartnic/params.h"
#include "smartnic/vtime.h"
#include "wire/wire.h"

/* How payload to be sent gets to the wire, and what moves it when it is staged. */
enum fns_snic_tx {
	FNS_SNIC_TX_HEADER_ONLY,   /* the NIC gathers it from host memory */
	FNS_SNIC_TX_DMA_ASSISTED,  /* the DMA engine brings it to NIC memory first */
	FNS_SNIC_TX_RDMA_ASSISTED, /* an RDMA READ within the host does */
};

enum fns_snic_rx {
	FNS_SNIC_RX_IN_CACHE, /* a bounded pool, the last released is used first */
	FNS_SNIC_RX_RING,     /* all buffers in turn */
	FNS_SNIC_RX_DISCARD,  /* the same, lines thrown away unwritten once placed (FlexiNS)
			       */
};

/* How host and engine tell each other of descriptors and completions. */
enum fns_snic_pipe {
	FNS_SNIC_PIPE_PHASE,    /* whole lines are written into the other side's mirror */
	FNS_SNIC_PIPE_DOORBELL, /* a doorbell, then the other side reads index and line */
};

/* What happened since the beginning; bytes are of payload and headers, without PCIe's own. */
struct fns_snic_counts {
	uint64_t host_read, host_written; /* over host PCIe */
	uint64_t arm_in, arm_out;         /* over the link to Arm memory: towards it, from it */
	uint64_t dma_ops, rdma_ops, discards;
	uint64_t pcie_ops; /* transactions: reads, writes, doorbells */
	uint64_t tx_packets, rx_packets;
	struct fns_snic_traffic mem;
};

struct fns_snic {
	struct fns_vt *vt;
	struct fns_snic_params p;
	struct fns_snic_cache *cache;
	struct fns_server pcie_in, pcie_out; /* from host memory, to it */
	struct fns_server arm_in, arm_out;   /* to Arm memory, from it; arm_shared: arm_in only */
	struct fns_server dma, rdma, dram;
	struct fns_server nic_tx, nic_rx;
	struct fns_snic_counts n;
};

/* A core: what it has spent in this turn; wake: something came for its engine. card NULL: an ideal
 * core, everything is free. */
struct fns_snic_core {
	struct fns_snic *card;
	struct fns_vt *vt;
	uint64_t spent_ps;
	void (*wake)(struct fns_snic_core *c);
};

static inline void fns_snic_core_spend(struct fns_snic_core *c, uint64_t ns)
{
	c->spent_ps += ns * FNS_PS_PER_NS;
}
/* When what the core does now takes effect. */
static inline uint64_t fns_snic_core_now(const struct fns_snic_core *c)
{
	return c->vt->now_ps + c->spent_ps;
}

/* Asserts that there is memory. */
struct fns_snic *fns_snic_create(struct fns_vt *vt, const struct fns_snic_params *p);
void fns_snic_destroy(struct fns_snic *s);

/* --- costs, for dma.c, port.c and tests --- */
/* Bytes with PCIe's own around them, in packets of pcie_payload. */
uint64_t fns_snic_pcie_bytes(const struct fns_snic *s, uint64_t bytes);
/* Each adds a stage to j and counts. */
void fns_snic_stage_host(struct fns_snic *s, struct fns_job *j, uint64_t bytes, bool to_host);
void fns_snic_stage_arm(struct fns_snic *s, struct fns_job *j, uint64_t bytes, bool to_arm);
/* Touches NIC memory; a stage of DRAM if lines moved. */
void fns_snic_stage_mem(struct fns_snic *s, struct fns_job *j, enum fns_snic_access kind,
	const void *p, size_t len);
void fns_snic_stage_nic(struct fns_snic *s, struct fns_job *j, uint64_t bytes, bool tx);
/* The core itself reads NIC memory, and waits for lines that are not in the cache. */
void fns_snic_core_read(struct fns_snic_core *c, const void *p, size_t len);
void fns_snic_core_write(struct fns_snic_core *c, const void *p, size_t len);

/*
 * What descriptors from the host and completions to it cost the card. Returns how long the first of
 * them is on its way, ns.
 */
uint64_t fns_snic_pipe_down(struct fns_snic *s, enum fns_snic_pipe pipe, uint32_t descriptors);
uint64_t fns_snic_pipe_up(struct fns_snic *s, enum fns_snic_pipe pipe, uint32_t completions);
/* Credit for a ring, written into the producer's side. */
void fns_snic_pipe_credit(struct fns_snic *s, bool to_host);

/* --- the DMA backend (dma.c) --- */
/*
 * Memory of this process seen through the card. gather: payload may be named on the wire, else it
 * must be fetched. rdma: fetches are RDMA READs.
 */
struct fns_dma *fns_snic_dma_create(struct fns_snic_core *core, bool gather, bool rdma);

/* --- the wire (port.c) --- */
#define FNS_SNIC_BUF   4224u /* bytes of a receive buffer: a packet, and no neighbour's cache set */
#define FNS_SNIC_PORTS 16u   /* of each side */

struct fns_snic_net;
struct fns_snic_net *fns_snic_net_create(struct fns_vt *vt, const struct fns_snic_params *p);
void fns_snic_net_destroy(struct fns_snic_net *n);

struct fns_snic_port_cfg {
	struct fns_snic_core *core; /* its engine's */
	unsigned side;              /* 0 or 1 */
	unsigned index;             /* of the port on its side; its engine's prefix is 1 + index */
	enum fns_snic_rx rx;
	uint32_t buffers; /* how many; ignored on an ideal core, which never runs out */
};
struct fns_wire *fns_snic_port_create(struct fns_snic_net *n, const struct fns_snic_port_cfg *cfg);
struct fns_gid fns_snic_gid(unsigned side);
/* Packets that waited for a receive buffer. */
uint64_t fns_snic_port_waits(const struct fns_wire *w);

#endif
