/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the whole engine through its wire, its submission ring and time: RC, UC and UD queue pairs
 * of one engine are connected to each other, and the input decides what is posted, which of their
 * packets arrive, twice, late, changed or never, and which packets a stranger adds. Those are made
 * from templates with the numbers that the engine expects, so that they get past the first checks.
 */
#include "nic.h"

#include "base/bytes.h"

#define OPS_MAX 256u

static uint8_t pick_op(struct fz_in *in, const struct fz_qp *q)
{
	static const uint8_t any[] = {FNS_WR_SEND, FNS_WR_WRITE, FNS_WR_READ, FNS_WR_SEND_IMM,
		FNS_WR_WRITE_IMM, FNS_WR_CMP_SWAP, FNS_WR_FETCH_ADD, FNS_WR_SEND_INV,
		FNS_WR_BIND_MW, FNS_WR_LOCAL_INV};
	uint8_t b = fz_u8(in);

	return q->type == FNS_QPT_UD ? any[b % 2 * 3] : any[b % sizeof(any)];
}

static void op_post(struct fz_nic *x, struct fz_in *in)
{
	struct fz_post p = {.qp = fz_u8(in) % FZ_QPS};
	uint8_t how = fz_u8(in);

	p.op = pick_op(in, &x->qp[p.qp]);
	p.flags = how & (FNS_WRF_SIGNALED | FNS_WRF_SOLICITED | FNS_WRF_FENCE);
	p.num_sge = how >> 3 & 3;
	p.rkey_mr = fz_u8(in) % 8;
	p.remote_off = fz_u16(in) % (2 * FZ_PAGE);
	p.imm = fz_u8(in);
	if (how & 0x20 && p.op != FNS_WR_BIND_MW && p.op != FNS_WR_LOCAL_INV) {
		p.flags |= FNS_WRF_INLINE;
		p.inline_len = fz_u8(in);
		p.num_sge = 0;
	} else if (p.op == FNS_WR_BIND_MW) {
		p.bind_access = fz_u8(in) & 0x3f;
	}
	if (p.op == FNS_WR_LOCAL_INV || p.op == FNS_WR_SEND_INV)
		p.imm = x->mw_key[p.imm & 1];
	for (unsigned i = 0; i < (p.op == FNS_WR_BIND_MW ? 1u : p.num_sge); i++) {
		p.sge_mr[i] = fz_u8(in) % 7;
		p.sge_off[i] = fz_u16(in) % FZ_PAGE;
		p.sge_len[i] = how & 0x40 ? fz_u16(in) % (2 * FZ_PAGE) : fz_u8(in);
		if (p.op == FNS_WR_CMP_SWAP || p.op == FNS_WR_FETCH_ADD)
			p.sge_len[i] = how & 0x80 ? 7 : 8;
	}
	p.compare = fz_u8(in);
	p.swap = p.compare + 1;
	if (how & 0x10 && (p.op == FNS_WR_CMP_SWAP || p.op == FNS_WR_FETCH_ADD))
		p.remote_off &= ~7ull;
	fz_post(x, &p);
}

static void op_recv(struct fz_nic *x, struct fz_in *in)
{
	uint8_t b = fz_u8(in), mr = fz_u8(in) % 7;
	uint16_t off = fz_u16(in) % FZ_PAGE, len = fz_u16(in) % (2 * FZ_PAGE);

	fz_post_recv(x, b % FZ_QPS, b & 0x10 ? mr : FZ_MR_ALL, off, len, b & 0x80);
}

static uint32_t pick_psn(struct fz_in *in, const struct fns_qp *qp, bool request)
{
	uint8_t b = fz_u8(in);
	int8_t d = (int8_t)(b >> 2) - 32;

	switch (b & 3) {
	case 0:
		return request ? qp->rsp.epsn : qp->req.una;
	case 1:
		return (qp->rsp.epsn + (uint32_t)d) & FNS_PSN_MASK;
	case 2:
		return (qp->req.una + (uint32_t)d) & FNS_PSN_MASK;
	default:
		return fz_u32(in) & FNS_PSN_MASK;
	}
}

static uint32_t pick_key(struct fz_nic *x, struct fz_in *in)
{
	uint8_t b = fz_u8(in) % 9;

	if (b < FZ_MRS)
		return x->key[b];
	return b < 7 ? x->mw_key[b & 1] : b == 7 ? 0 : fz_u32(in);
}

/* A packet from the peer, or nearly. */
static void op_packet(struct fz_nic *x, struct fz_in *in)
{
	uint8_t buf[FZ_PACKET] = {0}, to = fz_u8(in), how = fz_u8(in), op = fz_u8(in), more;
	unsigned i = to % FZ_QPS;
	struct fns_qp *qp = fz_inner(x, i);
	struct fns_gid src = x->self;
	struct fns_hdr h = {.dest_qp = qp->qpn,
		.pkey = FNS_PKEY_DEFAULT,
		.qkey = FZ_QKEY,
		.src_qp = x->qp[i ^ 1].qpn,
		.msn = (qp->rsp.msn + (to >> 5)) & FNS_PSN_MASK,
		.migreq = true};
	uint32_t len, n;

	h.opcode = how & 0x80 ? op : (uint8_t)(qp->ops->tclass | (op & 0x1f));
	if (!(fns_opcodes[h.opcode].flags & FNS_OPF_VALID))
		return;
	h.solicited = how & 1;
	h.ack_req = how & 2;
	h.selective = how & 0x08;
	h.psn = pick_psn(in, qp, fns_opcodes[h.opcode].flags & FNS_OPF_REQUEST);
	if (fns_opcodes[h.opcode].flags & FNS_OPF_AETH)
		h.syndrome = fz_u8(in);
	more = how & 4 ? fz_u8(in) : 0;
	if (fns_opcodes[h.opcode].flags & (FNS_OPF_RETH | FNS_OPF_ATOMIC_ETH)) {
		unsigned mr = fz_u8(in) % FZ_MRS;

		h.va = fz_iova(mr, fz_u16(in) % (2 * FZ_PAGE));
		h.rkey = pick_key(x, in);
		h.dma_len = (uint32_t)fz_num(in);
		if (how & 8)
			h.va &= ~7ull;
		if (more & 0x40)
			h.va = fz_u64(in);
		h.swap_add = h.compare = more;
	}
	h.imm = more & 1 ? x->mw_key[more >> 1 & 1] : more;
	h.orig = op;
	len = 0;
	if (fns_opcodes[h.opcode].flags & FNS_OPF_PAYLOAD)
		len = how & 0x10 ? qp->pmtu : fz_num(in) % 4100;
	if (how & 0x20 && h.dma_len == 0)
		h.dma_len = len;
	if (more & 0x80)
		h.pkey = 0x7fff;
	if (more & 0x20)
		h.qkey = 0;
	if (more & 0x10)
		src.b[15] = 2;
	if (more & 0x08)
		h.dest_qp ^= 1u << (more & 7);
	h.pad = (uint8_t)(-len & 3);
	n = fns_hdr_build(buf, &h);
	memset(buf + n, op ^ 0x55, len);
	if (h.opcode == FNS_OP_SACK && len >= 8) {
		buf[n] = 0;
		put_be24(buf + n + 1, pick_psn(in, qp, false));
		buf[n + 4] = fz_u8(in);
	}
	fz_queue_push(&x->rxq, &src, buf, n + len + h.pad);
	if (!(how & 0x40))
		fz_step(x, 0);
}

/* Bytes as they are, but perhaps with the number of a queue pair that exists. */
static void op_raw(struct fz_nic *x, struct fz_in *in)
{
	uint8_t buf[128], how = fz_u8(in);
	uint32_t len = fz_u8(in) % sizeof(buf), qpn = x->qp[how % FZ_QPS].qpn;

	fz_bytes(in, buf, len);
	if (how & 0x80 && len > 8) {
		buf[1] &= 0xf0;
		buf[2] = buf[3] = 0xff;
		buf[5] = (uint8_t)(qpn >> 16);
		buf[6] = (uint8_t)(qpn >> 8);
		buf[7] = (uint8_t)qpn;
	}
	fz_queue_push(&x->rxq, &x->self, buf, how & 0x40 ? len & ~3u : len);
}

/* What happens to the packets on the wire. */
static void op_net(struct fz_nic *x, struct fz_in *in)
{
	uint8_t b = fz_u8(in);
	struct fz_queue *q = &x->net;
	struct fz_packet *k = q->n ? &q->p[q->head] : NULL;
	unsigned n = b >> 3;

	switch (b & 7) {
	case 0:
	case 1:
		fz_deliver(x, n + 1);
		break;
	case 2:
		fz_deliver(x, FZ_NET);
		break;
	case 3:
		for (n %= 4; n + 1; n--)
			fz_queue_drop(q);
		break;
	case 4: /* once more */
		if (k && fz_queue_push(&x->rxq, &k->src, k->data, k->len) && n & 1)
			fz_queue_push(&x->rxq, &k->src, k->data, k->len);
		break;
	case 5: /* behind the others */
		if (k && q->n > 1 && fz_queue_push(q, &k->src, k->data, k->len))
			fz_queue_drop(q);
		break;
	case 6: /* changed */
		if (k && k->len)
			k->data[fz_u8(in) % k->len] ^= (uint8_t)(1u << (n & 7));
		break;
	case 7:
		if (k && k->len > 4)
			k->len -= 4 * (n % (k->len / 4));
		break;
	}
	fz_step(x, 100);
}

static void op_state(struct fz_nic *x, struct fz_in *in)
{
	uint8_t b = fz_u8(in);
	unsigned qp = b % FZ_QPS;

	switch (b >> 3 & 7) {
	case 0:
		fz_to_state(x, qp, FNS_QPS_ERR);
		break;
	case 1:
		fz_to_state(x, qp, FNS_QPS_SQD);
		break;
	case 2:
		fz_to_state(x, qp, FNS_QPS_RTS);
		break;
	case 3:
		fz_to_state(x, qp, FNS_QPS_RESET);
		break;
	case 4:
		fz_to_state(x, qp, FNS_QPS_RESET);
		fz_to_state(x, qp, FNS_QPS_INIT);
		break;
	case 5:
		fz_to_state(x, qp, FNS_QPS_RTR);
		break;
	default:
		fz_to_state(x, qp, FNS_QPS_RESET);
		fz_connect(x, qp);
		break;
	}
}

static void one_op(struct fz_nic *x, struct fz_in *in)
{
	uint8_t op = fz_u8(in);

	switch (op & 15) {
	case 0:
	case 1:
	case 2:
		op_post(x, in);
		break;
	case 3:
	case 4:
		op_recv(x, in);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		op_packet(x, in);
		break;
	case 9:
		op_raw(x, in);
		break;
	case 10:
	case 11:
		op_net(x, in);
		break;
	case 12:
		op_state(x, in);
		break;
	case 13: /* a full wire, for a while */
		x->room = op & 0x10 ? UINT32_MAX : op >> 5;
		break;
	case 14:
		fz_step(x, 1ull << (op >> 4) * 2);
		break;
	default: /* all that is under way, arrives */
		for (unsigned i = 0; i < (op >> 4) + 1u; i++) {
			fz_deliver(x, FZ_NET);
			fz_step(x, 2000);
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fz_nic x;
	struct fz_in in = {data, size};
	uint8_t b = fz_u8(&in);
	struct fz_opts o = {.simdma = b & 1,
		.fail_ppm = b & 2 ? 50000 : 0,
		.small = b & 16,
		.selective = b & 32,
		.mtu = b & 4   ? 5
		       : b & 8 ? 3
			       : 1};

	fz_nic_init(&x, &o);
	for (unsigned i = 0; i < OPS_MAX && fz_more(&in); i++)
		one_op(&x, &in);
	fz_nic_fini(&x);
	return 0;
}
