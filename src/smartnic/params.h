/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every constant of the emulated SmartNIC, each with a default, a range and where both come from.
 * "FlexiNS" there is the paper "FlexiNS: A SmartNIC-Centric, Line-Rate and Flexible Network Stack"
 * (arXiv 2504.18432). Used by the model, by `flexins bench smartnic` and by docs/smartnic.md.
 */
#ifndef FNS_SMARTNIC_PARAMS_H
#define FNS_SMARTNIC_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FNS_SNIC_PAPER_TX "calibrated: FlexiNS fig. 11, RDMA-assisted 35.8 Gb/s at 1 KiB, 2 cores"
#define FNS_SNIC_PAPER_RX "within FlexiNS fig. 13: 0.71 M messages of 8 KiB a core"

/* X(name, default, min, max, unit, what it is, where it comes from) */
#define FNS_SNIC_PARAMS(X)                                                                         \
	X(link_gbps, 400, 10, 1600, "Gb/s", "network link, a direction",                           \
		"BlueField-3: 2 ports of 200 Gb/s")                                                \
	X(link_ns, 1000, 0, 1000000, "ns", "network, one way",                                     \
		"assumed: one switch and its cables; throughput does not depend on it")            \
	X(link_overhead, 66, 0, 256, "bytes",                                                      \
		"around each packet: preamble, MAC, IPv4, UDP, FCS, gap",                          \
		"Ethernet, RFC 791, 768")                                                          \
	X(nic_gbps, 400, 10, 1600, "Gb/s",                                                         \
		"packet pipeline of the NIC, a direction; RDMA within the host passes it too",     \
		"line rate of the ports (FlexiNS fig. 13: ib_send_bw 375 Gb/s)")                   \
	X(nic_mpps, 200, 1, 1000, "M/s", "packets through that pipeline, a direction",             \
		"not given in FlexiNS; assumed not to bind")                                       \
	X(pcie_gbps, 504, 16, 2048, "Gb/s", "host PCIe, a direction",                              \
		"PCIe 5 x16, 63 GB/s (BlueField-3)")                                               \
	X(pcie_payload, 512, 64, 4096, "bytes", "payload of a PCIe packet at most",                \
		"PCIe: 128 to 4096")                                                               \
	X(pcie_header, 26, 8, 64, "bytes", "around each PCIe packet: framing, header, LCRC",       \
		"PCIe: 20 to 30")                                                                  \
	X(pcie_read_ns, 900, 50, 10000, "ns", "read of host memory, there and back",               \
		"not given in FlexiNS; 600 to 1500 are common")                                    \
	X(pcie_write_ns, 450, 50, 10000, "ns", "posted write to host memory, one way",             \
		"half a read")                                                                     \
	X(arm_gbps, 504, 16, 2048, "Gb/s", "link between NIC and Arm memory, a direction",         \
		"as the host's; FlexiNS, limit 1: shared, payload that crosses it twice pays")     \
	X(arm_shared, 0, 0, 1, "", "1: both directions of that link share its rate",               \
		"0: fig. 13's 374 Gb/s crosses it twice, once a direction")                        \
	X(dma_mops, 30, 1, 1000, "M/s", "operations of the DMA engine",                            \
		"not found in public sources; FlexiNS fig. 13 needs 6 at 8 KiB")                   \
	X(dma_ns, 800, 0, 20000, "ns", "latency of the DMA engine, besides PCIe",                  \
		"not found in public sources")                                                     \
	X(rdma_mops, 30, 1, 1000, "M/s", "RDMA READs that the NIC executes for Arm",               \
		"not given in FlexiNS; assumed as dma_mops")                                       \
	X(rdma_ns, 1500, 0, 20000, "ns", "latency of such a READ, besides PCIe",                   \
		"not given in FlexiNS; assumed about twice dma_ns")                                \
	X(wqe_bytes, 64, 16, 256, "bytes", "descriptor that the NIC reads for each packet sent",   \
		"verbs: two segments of 16 and a header of 32")                                    \
	X(cache_kb, 16384, 64, 262144, "KiB", "last-level cache of the Arm side",                  \
		"16 MB L3 (BlueField-3)")                                                          \
	X(cache_ways, 16, 1, 64, "", "its associativity", "not given; 8 to 16 are common")         \
	X(stash, 1, 0, 1, "",                                                                      \
		"1: what the NIC writes is allocated in the cache; 0: only updated there",         \
		"FlexiNS, in-cache RX: packets land in the cache; public sources disagree")        \
	X(stash_ways, 16, 1, 64, "", "ways of a set that such writes may take",                    \
		"not given; some machines have 2")                                                 \
	X(dram_gbps, 480, 50, 4000, "Gb/s", "Arm DRAM, reads and writes together",                 \
		"FlexiNS, limit 2: 480 to 700")                                                    \
	X(dram_ns, 110, 0, 1000, "ns", "a core waits so long for a line that is not in the cache", \
		"not given; 90 to 150 are common")                                                 \
	X(pool_kb, 2048, 64, 65536, "KiB", "in-cache RX: all receive buffers",                     \
		"ours: an eighth of the cache")                                                    \
	X(ring_kb, 32768, 64, 1048576, "KiB", "ring RX: all receive buffers",                      \
		"FlexiNS, in-cache RX: 16 queues of 512 buffers of 4 KiB")                         \
	X(rx_hold, 256, 16, 1024, "packets", "taken from a queue and not yet placed, at most",     \
		"ours: a DMA queue's depth")                                                       \
	X(core_poll_ns, 40, 0, 10000, "ns", "core: one turn of the loop", FNS_SNIC_PAPER_TX)       \
	X(core_tx_ns, 150, 0, 10000, "ns", "core: one packet sent", FNS_SNIC_PAPER_TX)             \
	X(core_rx_ns, 120, 0, 10000, "ns", "core: one packet received", FNS_SNIC_PAPER_RX)         \
	X(core_dma_ns, 80, 0, 10000, "ns", "core: one DMA operation, posted and reaped",           \
		FNS_SNIC_PAPER_RX)                                                                 \
	X(core_rdma_ns, 278, 0, 10000, "ns", "core: one RDMA READ, posted and reaped",             \
		FNS_SNIC_PAPER_TX)                                                                 \
	X(core_discard_ns, 20, 0, 10000, "ns", "core: one buffer discarded",                       \
		"assumed: a descriptor, no wait")                                                  \
	X(tx_cores, 2, 1, 16, "", "Arm cores sending, one engine each", "FlexiNS fig. 11")         \
	X(rx_cores, 8, 1, 16, "", "Arm cores receiving, one engine each", "FlexiNS fig. 13")       \
	X(qps, 64, 1, 1024, "", "queue pairs of each engine that sends",                           \
		"ours: assisted TX has one packet of a queue pair on its way to NIC memory")       \
	X(rx_qps, 16, 1, 1024, "", "queue pairs of each engine that receives", "ours")             \
	X(depth, 16, 1, 256, "", "messages outstanding on each queue pair", "ours")                \
	X(messages, 20000, 100, 10000000, "", "messages measured at each point", "ours")

struct fns_snic_params {
#define X(name, def, min, max, unit, what, source) uint32_t name;
	FNS_SNIC_PARAMS(X)
#undef X
};

struct fns_snic_param_info {
	const char *name, *unit, *what, *source;
	uint32_t def, min, max;
	size_t offset; /* in struct fns_snic_params */
};

extern const struct fns_snic_param_info fns_snic_param_info[];
extern const size_t fns_snic_param_count;

void fns_snic_params_default(struct fns_snic_params *p);
/*
 * "name=value". False, and what is wrong in err, if there is no such name or the value is out of
 * its range; p is untouched then.
 */
bool fns_snic_params_set(struct fns_snic_params *p, const char *assignment, char *err, size_t size);
static inline uint32_t fns_snic_param_value(
	const struct fns_snic_params *p, const struct fns_snic_param_info *i)
{
	return *(const uint32_t *)(const void *)((const char *)p + i->offset);
}

#endif
