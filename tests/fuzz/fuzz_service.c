/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the service (flexinsd --engine) from the side of its applications: messages, what comes
 * with them, submission rings, coming and going, of two at once. A third one behaves, and must not
 * notice; at the end all leave, and nothing is left.
 *
 * The service reaches into the memory of "another process", which is this one: regions lie in
 * memory of their own, with nothing behind it.
 */
#include "fuzz.h"

#define assert_true(x)             fz_check(x)
#define assert_int_equal(a, b)     fz_check((a) == (b))
#define assert_ptr_not_equal(a, b) fz_check((a) != (b))
#define BENCH_WITHOUT_CMOCKA
#include "../unit/service/bench.h"

#define APPS    2u
#define OPS_MAX 64u
#define HANDLES 32u
#define MEM     16384u
#define LOG2    4u

struct service_fuzz {
	struct fz_in in;
	struct app a[APPS], good;
	struct app_cq cq;
	struct app_qp qp;
	uint32_t key, writes;
	uint32_t handle[HANDLES];
	unsigned n;
};

static uint8_t *mem, *good_mem;

static void mem_init(void)
{
	if (mem)
		return;
	mem = mmap(NULL, 4 * MEM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fz_check(mem != MAP_FAILED);
	fz_check(mprotect(mem, MEM, PROT_READ | PROT_WRITE) == 0);
	good_mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fz_check(good_mem != MAP_FAILED);
}

static void good_works(struct service_fuzz *f)
{
	struct fns_sqd d = {.qpn = f->qp.qpn,
		.gen = f->qp.gen,
		.wr_id = ++f->writes,
		.remote_addr = (uintptr_t)good_mem + MEM / 2,
		.rkey = f->key,
		.num_sge = 1,
		.sge0 = {(uintptr_t)good_mem, 3000, f->key}};
	struct fns_cqe e;

	memset(good_mem, (int)f->writes, 3000);
	app_post(&f->good, &d, FNS_SQD_CTL(0, 1, FNS_WR_WRITE, FNS_WRF_SIGNALED));
	fz_check(app_poll(&f->cq, LOG2, &e));
	fz_check(e.wr_id == f->writes && e.status == FNS_WC_SUCCESS);
	fz_check(memcmp(good_mem, good_mem + MEM / 2, 3000) == 0);
}

static uint32_t pick_handle(struct service_fuzz *f)
{
	uint8_t b = fz_u8(&f->in);

	if (b < 0xc0)
		return f->n ? f->handle[b % f->n] : 0;
	switch (b & 7u) {
	case 0:
		return f->good.pd;
	case 1:
		return f->cq.handle;
	case 2:
		return f->qp.qpn;
	case 3:
		return fz_u32(&f->in);
	default:
		return b & 7u;
	}
}

static void fill_mr(struct service_fuzz *f, struct fns_ctl *c)
{
	uint8_t b = fz_u8(&f->in);

	c->mr.addr = (b & 7) == 0 ? 0 : (b & 7) == 1 ? UINT64_MAX - b : (uintptr_t)mem + b * 64u;
	c->mr.len = fz_num(&f->in) * 8 % (2 * MEM);
	c->mr.iova = fz_u8(&f->in) & 1 ? c->mr.addr : fz_num(&f->in);
	c->mr.access = (uint32_t)fz_num(&f->in);
	c->mr.flags = fz_u8(&f->in) & 15;
	c->mr.pd = pick_handle(f);
}

static void fill_qp(struct service_fuzz *f, struct fns_ctl *c)
{
	c->qp.pd = pick_handle(f);
	c->qp.send_cq = pick_handle(f);
	c->qp.recv_cq = pick_handle(f);
	c->qp.srq = fz_u8(&f->in) & 1 ? pick_handle(f) : 0;
	c->qp.type = fz_u8(&f->in) & 7;
	c->qp.cap = (struct fns_ctl_qp_cap){8, 8, 2, 2, 64};
	if (fz_u8(&f->in) & 1)
		fz_poke(&f->in, &c->qp.cap, sizeof(c->qp.cap));
}

static void fill_attr(struct service_fuzz *f, struct fns_ctl_qp_attr *a)
{
	static const uint32_t masks[] = {FNS_QPA_STATE,
		FNS_QPA_STATE | FNS_QPA_PKEY_INDEX | FNS_QPA_PORT | FNS_QPA_ACCESS_FLAGS,
		FNS_QPA_STATE | FNS_QPA_AV | FNS_QPA_PATH_MTU | FNS_QPA_DEST_QPN | FNS_QPA_RQ_PSN |
			FNS_QPA_MAX_DEST_RD_ATOMIC | FNS_QPA_MIN_RNR_TIMER,
		FNS_QPA_STATE | FNS_QPA_SQ_PSN | FNS_QPA_TIMEOUT | FNS_QPA_RETRY_CNT |
			FNS_QPA_RNR_RETRY | FNS_QPA_MAX_RD_ATOMIC};
	uint8_t b = fz_u8(&f->in);

	*a = (struct fns_ctl_qp_attr){.mask = masks[(b >> 3) % FNS_ARRAY_SIZE(masks)],
		.state = b & 7,
		.access = 15,
		.dest_qpn = pick_handle(f),
		.av = {.sgid = bench_gid, .dgid = bench_gid, .is_global = 1, .link_mtu = 4200},
		.path_mtu = 3,
		.port = 1,
		.timeout = 14,
		.retry_cnt = 1,
		.max_rd_atomic = 1,
		.max_dest_rd_atomic = 1};
	if (b & 0x80)
		fz_poke(&f->in, a, sizeof(*a));
}

static void fill(struct service_fuzz *f, struct fns_ctl *c)
{
	switch (c->op) {
	case FNS_CTL_MR_REG:
	case FNS_CTL_MR_REREG:
		fill_mr(f, c);
		break;
	case FNS_CTL_CQ_CREATE:
	case FNS_CTL_CQ_RESIZE:
		c->cq.log2 = (uint32_t)fz_num(&f->in);
		break;
	case FNS_CTL_SRQ_CREATE:
	case FNS_CTL_SRQ_MODIFY:
		c->srq.pd = pick_handle(f);
		c->srq.max_wr = (uint32_t)fz_num(&f->in);
		c->srq.max_sge = (uint32_t)fz_num(&f->in);
		c->srq.mask = fz_u8(&f->in);
		break;
	case FNS_CTL_MW_CREATE:
		c->mw.pd = pick_handle(f);
		c->mw.type = fz_u8(&f->in) & 3;
		break;
	case FNS_CTL_QP_CREATE:
		fill_qp(f, c);
		break;
	case FNS_CTL_QP_MODIFY:
		fill_attr(f, &c->qp_attr);
		break;
	case FNS_CTL_AH_CREATE:
		c->ah.pd = pick_handle(f);
		c->ah.av = (struct fns_ctl_av){
			.sgid = bench_gid, .dgid = bench_gid, .is_global = 1, .link_mtu = 4200};
		break;
	default:
		break;
	}
}

/* What comes with a message: nothing, a ring, or something that is none. */
static int pick_fd(struct service_fuzz *f, uint32_t log2)
{
	size_t bytes = fns_service_cq_bytes(log2 & 7);

	switch (fz_u8(&f->in) % 6) {
	case 0:
		return -1;
	case 1:
		return memory_file(bytes, 0);
	case 2:
		return memory_file(bytes / 2, F_SEAL_SHRINK | F_SEAL_GROW);
	case 3:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	default:
		return memory_file_ok(bytes);
	}
}

/* What the service says; true: it has ended the connection. */
static bool listen_to(struct service_fuzz *f, struct app *a)
{
	struct fns_service_msg m;
	int fd, rc = 0;

	for (unsigned i = 0; i < 16; i++) {
		rc = fns_service_msg_recv(a->sock, &m, &fd, MSG_DONTWAIT);
		if (rc != 0)
			break;
		if (fd >= 0)
			close(fd);
		if (m.type == FNS_SERVICE_DONE && m.ctl.ctl.result == 0)
			f->handle[f->n < HANDLES ? f->n++ : m.ctl.ctl.handle % HANDLES] =
				m.ctl.ctl.handle;
	}
	return rc == -ECONNRESET;
}

static void say(struct service_fuzz *f, struct app *a)
{
	uint8_t b = fz_u8(&f->in);
	struct fns_service_msg m;
	int fd;

	fns_service_msg_init(&m, FNS_SERVICE_CTL);
	m.ctl.ctl.op = b % 24u;
	m.ctl.ctl.cookie = b;
	m.ctl.ctl.client = b >= 0xe0 ? fz_u8(&f->in) & 7 : a->client;
	m.ctl.ctl.handle = pick_handle(f);
	fill(f, &m.ctl.ctl);
	if ((b & 0x1f) == 0x1f)
		m.ctl.file_off = fz_num(&f->in);
	if (b >= 0xf0)
		for (unsigned i = 0; i < (b & 3u) + 1; i++)
			fz_poke(&f->in, &m, FNS_MIN(sizeof(m), (size_t)255));
	fd = pick_fd(f, m.ctl.ctl.cq.log2);
	(void)fns_service_msg_send(a->sock, &m, fd, MSG_DONTWAIT);
	if (fd >= 0)
		close(fd);
}

/* A slot as a library would write it, or not quite. */
static void post(struct service_fuzz *f, struct app *a)
{
	uint8_t b = fz_u8(&f->in);
	struct fns_sqd d = {.qpn = pick_handle(f),
		.gen = fz_u8(&f->in),
		.wr_id = b,
		.remote_addr = (uintptr_t)mem + fz_u16(&f->in) % MEM,
		.rkey = fz_u8(&f->in) & 1 ? f->key : pick_handle(f),
		.num_sge = b & 3,
		.sge0 = {(uintptr_t)mem + b, fz_u16(&f->in), pick_handle(f)}};

	if (b & 0x80)
		fz_poke(&f->in, &d, sizeof(d));
	app_post(a, &d, FNS_SQD_CTL(0, 1 + (b >> 6), fz_u8(&f->in) % 20u, fz_u8(&f->in) & 15));
}

static void start(struct service_fuzz *f)
{
	fz_check(bench_setup(NULL) == 0);
	app_start(&f->good);
	app_cq(&f->good, LOG2, &f->cq);
	app_qp(&f->good, &f->cq, &f->qp);
	app_qp_connect(&f->good, &f->qp, f->qp.qpn);
	f->key = app_reg(&f->good, good_mem, MEM, FNS_ACCESS_LOCAL_WRITE | FNS_ACCESS_REMOTE_WRITE,
		-1, 0, NULL);
	for (unsigned i = 0; i < APPS; i++)
		app_start(&f->a[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct service_fuzz f;

	mem_init();
	memset(&f, 0, sizeof(f));
	f.in = (struct fz_in){data, size};
	start(&f);
	f.handle[f.n++] = f.a[0].pd;
	f.handle[f.n++] = f.a[1].pd;
	for (unsigned i = 0; i < OPS_MAX && fz_more(&f.in); i++) {
		uint8_t b = fz_u8(&f.in);
		struct app *a = &f.a[b & 1];

		if (b < 0xa0)
			say(&f, a);
		else if (b < 0xf0)
			post(&f, a);
		else if (b < 0xf8)
			a->head += b & 7u; /* slots that are not there yet */
		if (b < 0xfc)
			rounds(1);
		if (listen_to(&f, a) || b == 0xff) {
			app_leave(a);
			app_start(a);
		}
	}
	good_works(&f);
	for (unsigned i = 0; i < APPS; i++)
		app_leave(&f.a[i]);
	good_works(&f);
	app_leave(&f.good);
	munmap(f.cq.ring, f.cq.bytes);
	fz_check(atomic_load(&worker->n_conns) == 0);
	bench_teardown(NULL);
	return 0;
}
