/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the engine's control operations: messages of several clients in any order with any values.
 * Handles are those given out before, or made up; addresses lie in memory that exists or surely
 * does not (a placement that takes them from another process resolves them itself). At the end all
 * clients close, and nothing is left.
 */
#include <errno.h>
#include <sys/mman.h>

#include "nic.h"

#define OPS_MAX   96u
#define HANDLES   64u
#define CLIENTS   3u
#define RINGS     6u
#define RING_LOG2 5u
#define MEM       16384u

struct ctl_fuzz {
	struct fz_nic x;
	struct fz_in in;
	uint32_t client[CLIENTS];
	uint32_t handle[HANDLES];
	unsigned n;
};

static _Alignas(64)
	uint8_t ring[RINGS][sizeof(struct fns_cq_shared) + (sizeof(struct fns_cqe) << RING_LOG2)];
static uint8_t *mem;

/* Nothing behind the memory: a length beyond it fails, instead of populating who knows what. */
static void mem_init(void)
{
	if (mem)
		return;
	mem = mmap(NULL, 2 * MEM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fz_check(mem != MAP_FAILED);
	fz_check(mprotect(mem, MEM, PROT_READ | PROT_WRITE) == 0);
}

static uint32_t pick_handle(struct ctl_fuzz *f)
{
	uint8_t b = fz_u8(&f->in);

	if (b < 0xe0)
		return f->n ? f->handle[b % f->n] : 0;
	return b == 0xe0 ? fz_u32(&f->in) : b & 7u;
}

static uint64_t pick_addr(struct ctl_fuzz *f)
{
	uint8_t b = fz_u8(&f->in);

	switch (b & 7) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX - (b >> 3);
	case 2:
		return (uintptr_t)mem + MEM;
	default:
		return (uintptr_t)mem + fz_u16(&f->in) % (MEM + 1);
	}
}

/* Attributes that lead somewhere, with a few fields as they come. */
static void fill_attr(struct ctl_fuzz *f, struct fns_ctl_qp_attr *a)
{
	static const uint32_t masks[] = {
		FNS_QPA_STATE,
		FNS_QPA_STATE | FNS_QPA_PKEY_INDEX | FNS_QPA_PORT | FNS_QPA_ACCESS_FLAGS,
		FNS_QPA_STATE | FNS_QPA_PKEY_INDEX | FNS_QPA_PORT | FNS_QPA_QKEY,
		FNS_QPA_STATE | FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN | FNS_QPA_RQ_PSN |
			FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER,
		FNS_QPA_STATE | FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN | FNS_QPA_RQ_PSN,
		FNS_QPA_STATE | FNS_QPA_SQ_PSN | FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT |
			FNS_QPA_RNR_RETRY | FNS_QPA_MAX_RD_ATOMIC,
		FNS_QPA_STATE | FNS_QPA_SQ_PSN,
	};
	uint8_t b = fz_u8(&f->in), wild = fz_u8(&f->in);

	*a = (struct fns_ctl_qp_attr){.mask = masks[(b >> 3) % FNS_ARRAY_SIZE(masks)],
		.state = b & 7,
		.access = 7,
		.dest_qpn = (uint32_t)fz_num(&f->in),
		.av = {.sgid = f->x.self, .dgid = f->x.self, .is_global = 1},
		.path_mtu = 3,
		.port = 1,
		.timeout = 14};
	for (unsigned i = 0; i < (wild & 7u); i++)
		fz_poke(&f->in, a, sizeof(*a));
	if (wild & 0x80)
		a->mask = fz_u32(&f->in);
}

static void fill(struct ctl_fuzz *f, struct fns_ctl *m)
{
	struct fz_in *in = &f->in;

	switch (m->op) {
	case FNS_CTL_MR_REG:
	case FNS_CTL_MR_REREG:
		m->mr.addr = pick_addr(f);
		m->mr.len = fz_num(in);
		m->mr.iova = fz_num(in);
		m->mr.access = (uint32_t)fz_num(in);
		m->mr.flags = fz_u8(in) & 15;
		m->mr.pd = pick_handle(f);
		break;
	case FNS_CTL_MW_CREATE:
		m->mw.type = fz_u8(in) & 3;
		m->mw.pd = pick_handle(f);
		break;
	case FNS_CTL_CQ_CREATE:
	case FNS_CTL_CQ_RESIZE: {
		uint8_t b = fz_u8(in);

		m->cq.ring = b & 0x80 ? 0 : (uintptr_t)ring[b % RINGS];
		m->cq.log2 = b & 0x40 ? 23u + fz_u8(in) : (b >> 3) % (RING_LOG2 + 1);
		break;
	}
	case FNS_CTL_SRQ_CREATE:
	case FNS_CTL_SRQ_MODIFY:
		m->srq.max_wr = (uint32_t)fz_num(in);
		m->srq.max_sge = (uint32_t)fz_num(in);
		m->srq.limit = (uint32_t)fz_num(in);
		m->srq.mask = (uint32_t)fz_num(in);
		m->srq.pd = pick_handle(f);
		break;
	case FNS_CTL_QP_CREATE:
		m->qp.pd = pick_handle(f);
		m->qp.send_cq = pick_handle(f);
		m->qp.recv_cq = pick_handle(f);
		m->qp.srq = fz_u8(in) & 1 ? pick_handle(f) : 0;
		m->qp.type = fz_u8(in) & 7;
		m->qp.cap.max_send_wr = (uint32_t)fz_num(in);
		m->qp.cap.max_recv_wr = (uint32_t)fz_num(in);
		m->qp.cap.max_send_sge = (uint32_t)fz_num(in);
		m->qp.cap.max_recv_sge = (uint32_t)fz_num(in);
		m->qp.cap.max_inline = (uint32_t)fz_num(in);
		break;
	case FNS_CTL_QP_MODIFY:
		fill_attr(f, &m->qp_attr);
		break;
	case FNS_CTL_AH_CREATE:
		m->ah.pd = pick_handle(f);
		m->ah.av.is_global = fz_u8(in) & 1;
		fz_bytes(in, m->ah.av.dgid.b, fz_u8(in) & 15);
		m->ah.av.link_mtu = fz_u16(in);
		break;
	default:
		break;
	}
}

static void one(struct ctl_fuzz *f)
{
	uint8_t b = fz_u8(&f->in);
	/* Values that no operation looks at are as they come, too. */
	struct fns_ctl m = {.op = b % 25u, .cookie = b};

	if (b >= 250)
		m.op = fz_u32(&f->in);
	b = fz_u8(&f->in);
	m.client = b & 0x80 ? b & 0x7f : f->client[b % CLIENTS];
	/* The rig's own client takes its objects apart itself. */
	if (m.client == f->x.client)
		m.client = 0;
	m.handle = pick_handle(f);
	fill(f, &m);
	/* A ring in use by two completion queues is no fault of the engine's, but tells nothing:
	 * clear it for who comes. */
	m.result = 1;
	fns_engine_control(f->x.e, &m, f->x.now);
	fz_check(m.result <= 0 && m.result > -4096);
	if (m.result < 0)
		return;
	fz_check(m.op >= FNS_CTL_CLIENT_OPEN && m.op <= FNS_CTL_AH_DESTROY);
	if (m.op == FNS_CTL_CLIENT_OPEN)
		f->client[b % CLIENTS] = m.client;
	else if (f->n < HANDLES)
		f->handle[f->n++] = m.handle;
	else
		f->handle[b % HANDLES] = m.handle;
}

static void close_all(struct ctl_fuzz *f)
{
	/* Any of them may have been opened. */
	for (uint32_t c = 1; c < FNS_MAX_CLIENTS; c++) {
		for (unsigned i = 0; i < 100; i++) {
			struct fns_ctl m = {.op = FNS_CTL_CLIENT_CLOSE, .client = c};

			if (c == f->x.client)
				break;
			fns_engine_control(f->x.e, &m, f->x.now);
			if (m.result != -EAGAIN)
				break;
			fz_step(&f->x, 1000);
		}
		fz_check(c == f->x.client || !f->x.e->clients[c]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ctl_fuzz f;
	const struct fz_opts o = {.mtu = 3};

	mem_init();
	memset(ring, 0, sizeof(ring));
	fz_nic_init(&f.x, &o);
	f.in = (struct fz_in){data, size};
	f.n = 0;
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct fns_ctl m = {.op = FNS_CTL_CLIENT_OPEN};

		fns_engine_control(f.x.e, &m, f.x.now);
		f.client[i] = m.client;
	}
	for (unsigned i = 0; i < OPS_MAX && fz_more(&f.in); i++) {
		one(&f);
		if (i % 8 == 7)
			fz_step(&f.x, 1000);
	}
	close_all(&f);
	fz_nic_fini(&f.x);
	return 0;
}
