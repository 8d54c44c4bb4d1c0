/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the shared memory between application and engine: a hostile application writes what it
 * likes into a submission ring and a completion queue of its own, in between control operations,
 * while a well-behaved one uses another ring of the same engine. What the hostile one may not do:
 * crash the engine, write memory that its keys do not name, or disturb the other's queue pairs.
 */
#include <errno.h>

#include "nic.h"

#define OPS_MAX 128u
#define SLOTS   32u
#define LOG2_CQ 4u
#define QPS     3u

struct hostile {
	struct fz_ring ring;
	struct fns_cq_shared *cq;
	uint32_t client, pd, cq_h, srq, mr, key, qpn[QPS];
	uint8_t gen[QPS];
};

static _Alignas(64) uint8_t sq_mem[sizeof(struct fns_sq_shared) + SLOTS * sizeof(struct fns_sqd)];
static _Alignas(
	64) uint8_t cq_mem[sizeof(struct fns_cq_shared) + (sizeof(struct fns_cqe) << LOG2_CQ)];
static _Alignas(64) uint8_t own[4096];

static int ctl(struct fz_nic *x, struct hostile *h, struct fns_ctl *m)
{
	m->client = h->client;
	m->result = 1;
	fns_engine_control(x->e, m, x->now);
	fz_check(m->result <= 0);
	return m->result;
}

static void connect_qp(struct fz_nic *x, struct hostile *h, unsigned i)
{
	static const uint8_t states[] = {FNS_QPS_INIT, FNS_QPS_RTR, FNS_QPS_RTS};
	static const uint32_t masks[2][3] = {
		{FNS_QPA_PKEY_INDEX | FNS_QPA_PORT | FNS_QPA_ACCESS_FLAGS,
			FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN | FNS_QPA_RQ_PSN |
				FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER,
			FNS_QPA_SQ_PSN | FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT | FNS_QPA_RNR_RETRY |
				FNS_QPA_MAX_RD_ATOMIC},
		{FNS_QPA_PKEY_INDEX | FNS_QPA_PORT | FNS_QPA_QKEY, 0, FNS_QPA_SQ_PSN}};

	for (unsigned k = 0; k < 3; k++) {
		struct fns_ctl m = {.op = FNS_CTL_QP_MODIFY, .handle = h->qpn[i]};

		m.qp_attr = (struct fns_ctl_qp_attr){.mask = FNS_QPA_STATE | masks[i == 2][k],
			.state = states[k],
			.access = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE |
				  FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC,
			.qkey = FZ_QKEY,
			.dest_qpn = h->qpn[(i ^ 1) % QPS],
			.av = {.sgid = x->self, .dgid = x->self, .is_global = 1, .link_mtu = 9000},
			.path_mtu = 1,
			.port = 1,
			.timeout = 8,
			.retry_cnt = 2,
			.rnr_retry = 2,
			.max_rd_atomic = 2,
			.max_dest_rd_atomic = 2};
		if (ctl(x, h, &m) < 0)
			return;
	}
}

static void hostile_init(struct fz_nic *x, struct hostile *h)
{
	struct fns_ctl m = {.op = FNS_CTL_CLIENT_OPEN};

	memset(h, 0, sizeof(*h));
	memset(sq_mem, 0, sizeof(sq_mem));
	memset(cq_mem, 0, sizeof(cq_mem));
	h->ring.sq = (struct fns_sq_shared *)(void *)sq_mem;
	h->cq = (struct fns_cq_shared *)(void *)cq_mem;
	fz_check(fns_engine_attach(x->e, h->ring.sq, SLOTS) == 0);
	fz_check(ctl(x, h, &m) == 0);
	h->client = m.client;
	m = (struct fns_ctl){.op = FNS_CTL_PD_CREATE};
	fz_check(ctl(x, h, &m) == 0);
	h->pd = m.handle;
	m = (struct fns_ctl){.op = FNS_CTL_MR_REG,
		.mr = {.addr = (uintptr_t)own,
			.len = sizeof(own),
			.iova = 0,
			.pd = h->pd,
			.access = FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE |
				  FNS_ACCESS_REMOTE_READ | FNS_ACCESS_REMOTE_ATOMIC |
				  FNS_ACCESS_MW_BIND}};
	fz_check(ctl(x, h, &m) == 0);
	h->mr = m.handle;
	h->key = m.mr.key;
	m = (struct fns_ctl){.op = FNS_CTL_CQ_CREATE};
	m.cq.ring = (uintptr_t)cq_mem;
	m.cq.log2 = LOG2_CQ;
	m.cq.channel = 2;
	fz_check(ctl(x, h, &m) == 0);
	h->cq_h = m.handle;
	m = (struct fns_ctl){
		.op = FNS_CTL_SRQ_CREATE, .srq = {.pd = h->pd, .max_wr = 5, .max_sge = 2}};
	fz_check(ctl(x, h, &m) == 0);
	h->srq = m.handle;
	for (unsigned i = 0; i < QPS; i++) {
		m = (struct fns_ctl){.op = FNS_CTL_QP_CREATE};
		m.qp.pd = h->pd;
		m.qp.send_cq = m.qp.recv_cq = h->cq_h;
		m.qp.srq = i == 1 ? h->srq : 0;
		m.qp.type = i == 2 ? FNS_QPT_UD : FNS_QPT_RC;
		m.qp.cap = (struct fns_ctl_qp_cap){.max_send_wr = 6,
			.max_recv_wr = 3,
			.max_send_sge = 3,
			.max_recv_sge = 2,
			.max_inline = 100};
		fz_check(ctl(x, h, &m) == 0);
		h->qpn[i] = m.handle;
		h->gen[i] = m.qp.gen;
	}
	for (unsigned i = 0; i < QPS; i++)
		connect_qp(x, h, i);
}

/* One slot as it comes, or with fields that lead further; never with a number of the neighbour's:
 * in one process that would be no attack. */
static void op_slot(struct fz_nic *x, struct hostile *h, struct fz_in *in)
{
	uint8_t how = fz_u8(in);
	uint32_t at = h->ring.tail + (how & 0x10 ? fz_u8(in) : 0), ctl_word = fz_u32(in);
	uint32_t phase = (at / SLOTS & 1) ^ 1;
	struct fns_sqd d = {.qpn = h->qpn[(how & 3) % QPS], .gen = h->gen[(how & 3) % QPS]};

	if (how & 4) {
		fz_bytes(in, (char *)&d + 4, sizeof(d) - 4);
	} else {
		d.wr_id = ctl_word;
		d.num_sge = ctl_word >> 24 & 31;
		d.inline_len = fz_u8(in);
		d.remote_addr = fz_u16(in) % 5000;
		d.rkey = how & 8 ? h->key : fz_u32(in);
		d.sge0.addr = fz_u16(in) % 5000;
		d.sge0.len = (uint32_t)fz_num(in);
		d.sge0.lkey = h->key;
	}
	if (how & 3 && (how & 3) < 3)
		d.qpn = h->qpn[how & 1];
	for (unsigned i = 0; i < FZ_QPS; i++)
		if (d.qpn == x->qp[i].qpn || d.qpn == x->srq)
			d.qpn = 0;
	if (ctl_word & 0x800000)
		d.qpn = h->srq;
	if (ctl_word & 0x400000) /* a neighbour's key, however it came by it */
		d.sge0 = (struct fns_sqd_sge){
			.addr = fz_iova(FZ_MR_OTHER, 0), .len = 8, .lkey = x->key[FZ_MR_OTHER]};
	if (how & 0x20) /* a head that is whole */
		ctl_word = (ctl_word & 0xffff0000u) |
			   FNS_SQD_CTL(0, d.num_sge <= 1 ? 1 : 1 + FNS_DIV_UP(d.num_sge - 1u, 3),
				   (ctl_word >> 8) % 20, 0);
	/* The completion check of nic.c knows its own by this. */
	if (d.wr_id >> 16 == 0x5a)
		d.wr_id = 0;
	if (how & 8)
		ctl_word = (ctl_word & ~1u) | phase;
	memcpy((char *)&h->ring.sq->slot[at % SLOTS] + 4, (char *)&d + 4, sizeof(d) - 4);
	atomic_store_explicit(&h->ring.sq->slot[at % SLOTS].ctl, ctl_word, memory_order_release);
	if (!(how & 0x10))
		h->ring.tail++;
	if (how & 0x40)
		atomic_store(&h->ring.sq->tail, h->ring.tail);
}

static void op_control(struct fz_nic *x, struct hostile *h, struct fz_in *in)
{
	uint8_t b = fz_u8(in);
	struct fns_ctl m = {.op = FNS_CTL_QP_MODIFY, .handle = h->qpn[(b & 3) % QPS]};

	switch (b >> 2 & 7) {
	case 0:
		m.qp_attr.mask = FNS_QPA_STATE;
		m.qp_attr.state = FNS_QPS_ERR;
		ctl(x, h, &m);
		break;
	case 1:
	case 2:
		m.qp_attr.mask = FNS_QPA_STATE;
		m.qp_attr.state = FNS_QPS_RESET;
		if (ctl(x, h, &m) == 0)
			connect_qp(x, h, (b & 3) % QPS);
		break;
	case 3:
		m = (struct fns_ctl){.op = FNS_CTL_SRQ_MODIFY, .handle = h->srq};
		m.srq.mask = b >> 5;
		m.srq.max_wr = fz_u8(in);
		m.srq.limit = fz_u8(in);
		ctl(x, h, &m);
		break;
	case 4: /* of another client: refused */
		m.handle = x->qp[b & 7].qpn;
		m.qp_attr.mask = FNS_QPA_STATE;
		m.qp_attr.state = FNS_QPS_ERR;
		fz_check(ctl(x, h, &m) == -EINVAL);
		break;
	case 5: { /* what has not been consumed, by its own word */
		static _Alignas(64) uint8_t other[sizeof(cq_mem)];
		bool back = h->cq == (void *)other;

		m = (struct fns_ctl){.op = FNS_CTL_CQ_RESIZE, .handle = h->cq_h};
		m.cq.ring = back ? (uintptr_t)cq_mem : (uintptr_t)other;
		m.cq.log2 = b >> 5 & LOG2_CQ;
		memset((void *)(uintptr_t)m.cq.ring, 0, sizeof(cq_mem));
		if (ctl(x, h, &m) == 0)
			h->cq = (struct fns_cq_shared *)(uintptr_t)m.cq.ring;
		break;
	}
	case 6:
		m = (struct fns_ctl){.op = FNS_CTL_MR_DEREG, .handle = x->mr[b >> 5 & 3]};
		fz_check(ctl(x, h, &m) == -EINVAL);
		break;
	default:
		m.op = FNS_CTL_QP_QUERY;
		fz_check(ctl(x, h, &m) == 0);
		break;
	}
}

/* A message between the neighbour's queue pairs. */
static void op_healthy(struct fz_nic *x, struct fz_in *in)
{
	uint8_t b = fz_u8(in);
	struct fz_post p = {.qp = b & 1,
		.op = b & 2 ? FNS_WR_SEND : FNS_WR_WRITE,
		.flags = FNS_WRF_SIGNALED,
		.num_sge = 1,
		.remote_off = 64,
		.sge_off = {512},
		.sge_len = {(uint16_t)(b * 16u)}};

	if (b & 2)
		fz_post_recv(x, p.qp ^ 1u, FZ_MR_ALL, 4096, 4096, false);
	fz_post(x, &p);
}

/* In time everything that the neighbour posted completes, well. */
static void check_healthy(struct fz_nic *x)
{
	for (unsigned i = 0; i < 4000; i++) {
		fz_deliver(x, FZ_NET);
		fz_step(x, 20000);
		if (x->qp[0].sq_posted == x->qp[0].sq_retired &&
			x->qp[1].sq_posted == x->qp[1].sq_retired)
			break;
	}
	for (unsigned i = 0; i < 2; i++) {
		fz_check(fz_inner(x, i)->state == FNS_QPS_RTS);
		fz_check(x->qp[i].sq_posted == x->qp[i].sq_retired);
	}
}

static void hostile_fini(struct fz_nic *x, struct hostile *h)
{
	struct fns_ctl m;

	atomic_store(&h->cq->consumer, 0);
	for (unsigned i = 0; i < 300; i++) {
		m = (struct fns_ctl){.op = FNS_CTL_CLIENT_CLOSE};
		if (ctl(x, h, &m) == 0)
			return;
		fz_check(m.result == -EAGAIN);
		fz_step(x, 1000);
	}
	fz_check(!"the hostile client cannot be closed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fz_nic x;
	struct fz_in in = {data, size};
	const uint8_t b = fz_u8(&in);
	const struct fz_opts o = {.simdma = b & 1,
		.small = b & 2,
		.mtu = 3,
		.modes = {.pipe = b & 4 ? FNS_PIPE_DOORBELL : FNS_PIPE_PHASE,
			.tx = (b >> 3) % FNS_TX_MODES}};
	struct hostile h;

	fz_nic_init(&x, &o);
	hostile_init(&x, &h);
	for (unsigned i = 0; i < OPS_MAX && fz_more(&in); i++) {
		uint8_t op = fz_u8(&in);

		switch (op & 7) {
		case 0:
		case 1:
		case 2:
			op_slot(&x, &h, &in);
			break;
		case 3:
			op_control(&x, &h, &in);
			break;
		case 4:
			op_healthy(&x, &in);
			break;
		case 5: /* the lines that it owns, and one that it does not */
			if ((op & 0xc0) == 0xc0)
				atomic_store(&h.ring.sq->tail, fz_u32(&in));
			else if (op & 0x80)
				atomic_store(&h.ring.sq->credit, fz_u32(&in));
			else if (op & 0x40)
				atomic_store(
					&h.cq->consumer, (uint32_t)fz_num(&in) - (op >> 3 & 7));
			else
				atomic_store(&h.cq->arm, fz_u32(&in));
			break;
		case 6:
			fz_deliver(&x, op >> 3);
			fz_step(&x, 100);
			fns_engine_submissions_pending(x.e);
			break;
		default:
			fz_deliver(&x, FZ_NET);
			fz_step(&x, 1ull << (op >> 3) / 2);
			break;
		}
	}
	check_healthy(&x);
	hostile_fini(&x, &h);
	fz_nic_fini(&x);
	return 0;
}
