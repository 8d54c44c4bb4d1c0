/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of one engine, in a memory file that anybody allowed may map read-only (flexins status
 * gets it from the keeper). The engine is the only writer, by relaxed stores; readers tolerate
 * values of slightly different moments.
 */
#ifndef FNS_PIPE_STATS_H
#define FNS_PIPE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "roce/gid.h"

#define FNS_STATS_MAGIC 0x534e4632u /* "2FNS" */

/* X(name, what it counts) */
#define FNS_COUNTERS(X)                                                                            \
	X(tx_packets, "packets handed to the wire")                                                \
	X(tx_bytes, "bytes of those, BTH to ICRC")                                                 \
	X(tx_trains, "sends of the wire, each one or more packets")                                \
	X(tx_blocked, "times the wire refused for lack of space")                                  \
	X(tx_errors, "packets that the wire could not send")                                       \
	X(tx_payload_referenced, "payload bytes gathered from application memory in place")        \
	X(tx_copied_small, "payload bytes copied before sending: up to 256 a packet")              \
	X(tx_copied_inline, "payload bytes copied before sending: posted inline")                  \
	X(tx_copied_again, "payload bytes copied before sending: sent again")                      \
	X(tx_copied_response, "payload bytes copied before sending: READ responses repeated")      \
	X(tx_copied_far, "payload bytes copied before sending: memory not near")                   \
	X(tx_copied_mode, "payload bytes copied before sending: --tx says so (copy: twice)")       \
	X(rx_packets, "packets received")                                                          \
	X(rx_bytes, "bytes of those, BTH to ICRC")                                                 \
	X(rx_bursts, "receive calls that brought something")                                       \
	X(shm_tx_packets, "of the packets sent, those through shared memory of this host")         \
	X(shm_tx_bytes, "bytes of those")                                                          \
	X(shm_tx_wakeups, "times the receiver of those had to be woken")                           \
	X(shm_rx_packets, "of the packets received, those through shared memory")                  \
	X(shm_rx_bytes, "bytes of those")                                                          \
	X(direct_messages, "WRITEs and READs done in the peer's memory, without packets")          \
	X(direct_bytes, "bytes of those")                                                          \
	X(lent_packets, "of the packets sent, those whose payload the receiver fetches itself")    \
	X(lent_bytes, "bytes of that payload")                                                     \
	X(fetched_packets, "of the packets received, those whose payload was fetched")             \
	X(fetched_bytes, "bytes of that payload")                                                  \
	X(fetches_refused, "of those, those whose payload could not be had")                       \
	X(drop_short, "packets shorter than their headers")                                        \
	X(drop_icrc, "packets with a wrong ICRC")                                                  \
	X(drop_header, "packets with a bad version, opcode or length")                             \
	X(drop_slot, "packets for another process's slot")                                         \
	X(drop_no_qp, "packets for a queue pair that does not exist")                              \
	X(drop_qp_state, "packets for a queue pair not ready to receive")                          \
	X(drop_qp_type, "packets of another transport than the queue pair's")                      \
	X(drop_source, "packets from an address that is not the peer's")                           \
	X(drop_pkey, "packets with a wrong partition key")                                         \
	X(drop_qkey, "UD packets with a wrong Q_Key")                                              \
	X(drop_opcode_seq, "UC packets out of opcode sequence")                                    \
	X(drop_length, "packets of a wrong length for their place in the message")                 \
	X(drop_no_rq, "UC/UD packets that found no receive posted")                                \
	X(drop_protection, "UC/UD packets refused by memory protection")                           \
	X(drop_psn, "packets outside the window, or ahead after a NAK")                            \
	X(drop_stale_ack, "acknowledgements outside the window")                                   \
	X(drop_resources, "packets dropped for lack of engine memory")                             \
	X(drop_sim_fault, "packets dropped by fault injection")                                    \
	X(fault_duplicates, "packets repeated by fault injection")                                 \
	X(fault_corruptions, "packets corrupted by fault injection")                               \
	X(fault_reorders, "packets held back by fault injection until others passed")              \
	X(fault_delays, "packets delayed by fault injection")                                      \
	X(fault_errors, "error responses made by fault injection")                                 \
	X(capture_packets, "packets captured")                                                     \
	X(capture_lost, "packets that a capture had no room for")                                  \
	X(rc_duplicates, "duplicate requests received")                                            \
	X(rc_seq_naks_sent, "NAKs for a PSN gap sent")                                             \
	X(rc_seq_naks_received, "NAKs for a PSN gap received")                                     \
	X(rc_rnr_naks_sent, "RNR NAKs sent")                                                       \
	X(rc_rnr_naks_received, "RNR NAKs received")                                               \
	X(rc_fatal_naks_sent, "NAKs for errors sent")                                              \
	X(rc_fatal_naks_received, "NAKs for errors received")                                      \
	X(rc_timeouts, "local ACK timeouts")                                                       \
	X(rc_probes, "tail probes sent")                                                           \
	X(rc_retransmits, "packets sent again")                                                    \
	X(rc_implied_naks, "responses found missing")                                              \
	X(irn_early, "RC packets kept that came behind a gap")                                     \
	X(irn_sacks_sent, "acknowledgements sent that say what came behind a gap")                 \
	X(irn_repeats, "packets sent again, of those missing")                                     \
	X(cnps_sent, "congestion notifications sent")                                              \
	X(cnps_received, "congestion notifications received")                                      \
	X(cc_refused, "outputs of the congestion control that made no sense")                      \
	X(acks_sent, "acknowledgements sent")                                                      \
	X(acks_received, "acknowledgements received")                                              \
	X(credits_sent, "receive credits for UC and UD sent")                                      \
	X(window_stalls, "times a queue pair waited for its peer's receive window")                \
	X(memory_faults, "operations on application memory that faulted")                          \
	X(cq_overruns, "completion queues overrun")                                                \
	X(sq_bad_descriptors, "submission descriptors refused")                                    \
	X(wc_success, "work completions without error")                                            \
	X(wc_error, "work completions with an error, flushes included")                            \
	X(advances, "times that the engine was advanced")                                          \
	X(engine_sleeps, "times that the helper thread slept")

enum fns_counter {
#define X(name, text) FNS_C_##name,
	FNS_COUNTERS(X)
#undef X
	FNS_C_COUNT
};

#define FNS_STATS_MAX_QP 65536u
#define FNS_STATS_CCS    32u

/* One queue pair's line, indexed by QPN[15:0]. */
struct fns_stats_qp {
	_Atomic uint32_t qpn; /* 0: none */
	_Atomic uint32_t dest_qpn;
	_Atomic uint8_t type, state;
	_Atomic uint8_t cc; /* RC: its congestion control is named in ccs[cc - 1]; 0: not there */
	_Atomic uint8_t pad[5];
	_Atomic uint64_t tx_bytes, rx_bytes;
	_Atomic uint32_t retransmits;
	_Atomic uint32_t pid; /* whose it is, in an engine that serves other processes; else 0 */
	_Atomic uint64_t peer[2]; /* remote GID, bytes in network order */
};
_Static_assert(sizeof(struct fns_stats_qp) <= 64, "one cache line");

struct fns_stats {
	uint32_t magic, n_counters;
	uint32_t pid, prefix;
	char comm[16];
	uint8_t tx_mode, rx_mode, pipe_mode, pad[5]; /* as pipe/modes.h; written once */
	/* The congestion control of new queue pairs, with what differs from its defaults; and those
	 * of queue pairs. They change, and may be read in between. */
	char cc[64];
	char ccs[FNS_STATS_CCS][64];
	_Atomic uint64_t qps; /* queue pairs alive */
	_Atomic uint64_t counter[FNS_C_COUNT];
	_Alignas(64) struct fns_stats_qp
		qp[FNS_STATS_MAX_QP]; /* sparse: pages untouched cost nothing */
};

/* The one writer adds. */
static inline void fns_count_add(struct fns_stats *s, enum fns_counter c, uint64_t n)
{
	atomic_store_explicit(&s->counter[c],
		atomic_load_explicit(&s->counter[c], memory_order_relaxed) + n,
		memory_order_relaxed);
}

static inline void fns_count(struct fns_stats *s, enum fns_counter c)
{
	fns_count_add(s, c, 1);
}

#endif
