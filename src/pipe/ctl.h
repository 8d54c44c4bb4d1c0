/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages: creating, changing and destroying objects. One fixed-size plain-data struct is
 * both request and answer, so that it can be a function call (inline placement) or a message to
 * another process (service placement). No pointers: host memory is named by u64 addresses, which
 * only the placement's DMA backend may resolve.
 *
 * result: 0 or negative errno; outputs are written only on success. Handles are u32 > 0, owned by
 * the client that made them; a handle of another client, of the wrong kind or dead is -EINVAL.
 * -EBUSY: other objects still use it. -EAGAIN: an operation in flight uses it; advance the engine
 * and ask again.
 */
#ifndef FNS_PIPE_CTL_H
#define FNS_PIPE_CTL_H

#include <stdint.h>

#include "flexins/offload.h"
#include "roce/gid.h"

enum fns_ctl_op {
	FNS_CTL_CLIENT_OPEN = 1, /* an ibv_context; out: client */
	FNS_CTL_CLIENT_CLOSE,    /* destroys all that the client still owns */
	FNS_CTL_PD_CREATE,
	FNS_CTL_PD_DESTROY,
	FNS_CTL_MR_REG,
	FNS_CTL_MR_REREG,
	FNS_CTL_MR_DEREG,
	FNS_CTL_MW_CREATE,
	FNS_CTL_MW_DESTROY,
	FNS_CTL_CQ_CREATE,
	FNS_CTL_CQ_RESIZE,
	FNS_CTL_CQ_DESTROY,
	FNS_CTL_SRQ_CREATE,
	FNS_CTL_SRQ_MODIFY,
	FNS_CTL_SRQ_QUERY,
	FNS_CTL_SRQ_DESTROY,
	FNS_CTL_QP_CREATE,
	FNS_CTL_QP_MODIFY,
	FNS_CTL_QP_QUERY,
	FNS_CTL_QP_DESTROY,
	FNS_CTL_AH_CREATE,
	FNS_CTL_AH_DESTROY,
	FNS_CTL_QP_SET_CC,
	FNS_CTL_OFFLOAD_LOAD,   /* done by placements that share memory with the application */
	FNS_CTL_OFFLOAD_BIND,   /* handle: a queue pair, or an SRQ with on_srq */
	FNS_CTL_OFFLOAD_UNBIND, /* offload.bind.service */
	FNS_CTL_OFFLOAD_COUNT,  /* of handler offload.bind.handler: to count */
};

enum fns_qp_type {
	FNS_QPT_RC = 2,
	FNS_QPT_UC = 3,
	FNS_QPT_UD = 4
}; /* as ibv_qp_type */

enum fns_qp_state { /* as ibv_qp_state */
	FNS_QPS_RESET = 0,
	FNS_QPS_INIT = 1,
	FNS_QPS_RTR = 2,
	FNS_QPS_RTS = 3,
	FNS_QPS_SQD = 4,
	FNS_QPS_SQE = 5,
	FNS_QPS_ERR = 6,
};

/* fns_ctl_qp_attr.mask: bits as ibv_qp_attr_mask. */
enum {
	FNS_QPA_STATE = 1 << 0,
	FNS_QPA_CUR_STATE = 1 << 1,
	FNS_QPA_EN_SQD_ASYNC_NOTIFY = 1 << 2,
	FNS_QPA_ACCESS_FLAGS = 1 << 3,
	FNS_QPA_PKEY_INDEX = 1 << 4,
	FNS_QPA_PORT = 1 << 5,
	FNS_QPA_QKEY = 1 << 6,
	FNS_QPA_AV = 1 << 7,
	FNS_QPA_PATH_MTU = 1 << 8,
	FNS_QPA_TIMEOUT = 1 << 9,
	FNS_QPA_RETRY_CNT = 1 << 10,
	FNS_QPA_RNR_RETRY = 1 << 11,
	FNS_QPA_RQ_PSN = 1 << 12,
	FNS_QPA_MAX_RD_ATOMIC = 1 << 13, /* ibv: IBV_QP_MAX_QP_RD_ATOMIC */
	FNS_QPA_ALT_PATH = 1 << 14,
	FNS_QPA_MIN_RNR_TIMER = 1 << 15,
	FNS_QPA_SQ_PSN = 1 << 16,
	FNS_QPA_MAX_DEST_RD_ATOMIC = 1 << 17,
	FNS_QPA_PATH_MIG_STATE = 1 << 18,
	FNS_QPA_CAP = 1 << 19,
	FNS_QPA_DEST_QPN = 1 << 20,
	FNS_QPA_RATE_LIMIT = 1 << 25,
};

/* An address vector, GID index already resolved by the library. */
struct fns_ctl_av {
	struct fns_gid sgid, dgid;
	uint32_t ifindex; /* scope of link-local addresses and the device's interface */
	uint32_t flow_label;
	uint8_t traffic_class, hop_limit, sl, sgid_index;
	uint8_t is_global, static_rate, src_path_bits, port;
	uint16_t dlid;
	uint16_t link_mtu; /* bytes: the interface's IP MTU */
};

struct fns_ctl_qp_cap {
	uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline;
};

struct fns_ctl_qp_attr {
	uint32_t mask;
	uint32_t access;
	uint32_t qkey, rq_psn, sq_psn, dest_qpn;
	struct fns_ctl_av av;
	uint8_t state, cur_state, path_mtu /* ibv_mtu 1..5 */, port;
	uint8_t timeout, retry_cnt, rnr_retry, min_rnr_timer;
	uint8_t max_rd_atomic, max_dest_rd_atomic, path_mig_state, sq_draining;
	uint16_t pkey_index;
};

struct fns_ctl {
	uint32_t op; /* enum fns_ctl_op */
	int32_t result;
	uint32_t client; /* in, except CLIENT_OPEN where it is out */
	uint32_t handle; /* in: the object; create: out */
	uint64_t cookie; /* create: given back in events about this object (library's pointer) */
	union {
		struct { /* MR_REG, MR_REREG */
			uint64_t addr, len, iova;
			uint32_t pd, access;
			uint32_t flags; /* MR_REREG: FNS_REREG_* */
			uint32_t key;   /* out: lkey == rkey */
		} mr;
		struct { /* MW_CREATE; type as ibv_mw_type */
			uint32_t pd, type;
			uint32_t key; /* out */
		} mw;
		/*
		 * CQ_CREATE, CQ_RESIZE: ring is a struct fns_cq_shared with 1 << log2 entries,
		 * zeroed. A resize carries what was not consumed and arm over into the new ring,
		 * from entry 0 on; -EINVAL when it does not fit.
		 */
		struct {
			uint64_t ring;
			uint64_t channel; /* cookie of the completion channel, 0: none */
			uint32_t log2;
		} cq;
		struct { /* SRQ_*: mask 1 = max_wr, 2 = limit */
			uint32_t pd, max_wr, max_sge, limit, mask;
		} srq;
		struct { /* QP_CREATE; cap: in wanted, out granted. qpn also comes back in handle */
			uint32_t pd, send_cq, recv_cq, srq;
			struct fns_ctl_qp_cap cap;
			uint8_t type, sq_sig_all;
			uint8_t gen; /* out: for descriptors */
		} qp;
		struct fns_ctl_qp_attr qp_attr; /* QP_MODIFY (to RESET: fns_cqe.wqe_count starts
						   over from 0), QP_QUERY */
		struct {                        /* AH_CREATE */
			uint32_t pd;
			struct fns_ctl_av av;
		} ah;
		struct { /* QP_SET_CC: as fns_cc_parse(); out, with -ENOENT: what is wrong */
			char text[192];
		} cc;
		struct { /* OFFLOAD_LOAD: addresses in this process; say gets a sentence on failure
			  */
			char name[FNS_OFFLOAD_NAME];
			uint64_t elf, len, say, say_len;
		} load;
		struct { /* OFFLOAD_BIND, OFFLOAD_UNBIND, OFFLOAD_COUNT */
			struct fns_offload_binding bind;
			struct fns_offload_counters count; /* out */
			uint32_t on_srq;
		} offload;
	};
};

enum {
	FNS_REREG_TRANSLATION = 1,
	FNS_REREG_PD = 2,
	FNS_REREG_ACCESS = 4
}; /* as ibv_rereg_mr_flags */

/* Asynchronous events, numbered as ibv_event_type. */
enum fns_event_type {
	FNS_EVENT_CQ_ERR = 0,
	FNS_EVENT_QP_FATAL = 1,
	FNS_EVENT_QP_REQ_ERR = 2,
	FNS_EVENT_QP_ACCESS_ERR = 3,
	FNS_EVENT_COMM_EST = 4,
	FNS_EVENT_SQ_DRAINED = 5,
	FNS_EVENT_DEVICE_FATAL = 8, /* the engine is gone; cookie: that of CLIENT_OPEN */
	FNS_EVENT_SRQ_ERR = 14,
	FNS_EVENT_SRQ_LIMIT_REACHED = 15,
	FNS_EVENT_QP_LAST_WQE_REACHED = 16,
};

/* What the engine tells the application out of band; cookies are those given at create. */
struct fns_event {
	uint32_t client;
	uint32_t type;   /* enum fns_event_type */
	uint64_t cookie; /* of the QP, CQ or SRQ that it is about */
};

#endif
