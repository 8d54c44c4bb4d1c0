/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registered memory of several kinds: private, anonymous shared, a memory file, a file in /dev/shm
 * whose descriptor is closed. Data arrives intact in each, RDMA atomics are atomic against this
 * process's own, and a file that shrinks costs an error completion. What must hold on any placement
 * of the engine.
 */
#include "common.h"

#include <fcntl.h>
#include <pthread.h>

enum {
	LEN = 64 * 1024,
	LEAD = 8192, /* the region begins here in its mapping */
	ADDS = 3000
};

struct kind {
	const char *name;
	char *map;
	int fd;
};

static char *map_it(int fd)
{
	char *p = mmap(NULL, LEN + LEAD, PROT_READ | PROT_WRITE,
		fd == -2 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0),
		fd < 0 ? -1 : fd, 0);

	if (p == MAP_FAILED)
		DIE("mmap");
	return p;
}

static struct kind make(int which)
{
	static const char *const name[] = {
		"private", "anonymous shared", "memory file", "/dev/shm"};
	struct kind k = {.name = name[which], .fd = -1};
	char path[64];

	snprintf(path, sizeof(path), "/dev/shm/flexins-e2e-%d", (int)getpid());
	switch (which) {
	case 0:
		k.map = map_it(-2);
		break;
	case 1:
		k.map = map_it(-1);
		break;
	case 2:
		k.fd = memfd_create("e2e", 0);
		if (k.fd < 0 || ftruncate(k.fd, LEN + LEAD))
			DIE("memfd");
		k.map = map_it(k.fd);
		break;
	default:
		k.fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (k.fd < 0 || ftruncate(k.fd, LEN + LEAD))
			DIE("%s", path);
		k.map = map_it(k.fd);
		close(k.fd);
		k.fd = -1;
		break;
	}
	return k;
}

static uint64_t *word;

static void *add_here(void *arg)
{
	for (int i = 0; i < ADDS; i++) {
		__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
		if (i % 100 == 0)
			sched_yield();
	}
	return arg;
}

static void one(struct ibv_context *ctx, int which)
{
	struct kind k = make(which);
	char *far = k.map + LEAD, *local = malloc(LEN);
	struct ibv_mr *mf, *ml;
	struct side a, b;
	struct ibv_wc wc = {0};
	pthread_t t;
	char path[64];

	pair_init(&a, &b, ctx);
	mf = ibv_reg_mr(b.pd, far, LEN, ALL_ACCESS);
	ml = ibv_reg_mr(a.pd, local, LEN, IBV_ACCESS_LOCAL_WRITE);
	snprintf(path, sizeof(path), "/dev/shm/flexins-e2e-%d", (int)getpid());
	unlink(path);
	if (!mf || !ml)
		DIE("reg_mr");
	for (int i = 0; i < LEN; i++)
		local[i] = (char)(i * 31 + which);
	CHECK(!post_rdma(&a, IBV_WR_RDMA_WRITE, local, LEN - 3, ml->lkey, far + 1, mf->rkey),
		"post");
	CHECK(wait_wc(a.cq, &wc, 10) && wc.status == 0, "%s: WRITE: %d", k.name, wc.status);
	CHECK(memcmp(local, far + 1, LEN - 3) == 0, "%s: WRITE arrived otherwise", k.name);
	memset(local, 0, LEN);
	CHECK(!post_rdma(&a, IBV_WR_RDMA_READ, local, LEN - 3, ml->lkey, far + 1, mf->rkey),
		"post");
	CHECK(wait_wc(a.cq, &wc, 10) && wc.status == 0, "%s: READ: %d", k.name, wc.status);
	CHECK(memcmp(local, far + 1, LEN - 3) == 0, "%s: READ brought otherwise", k.name);

	word = (uint64_t *)(void *)(far + 64);
	*word = 0;
	pthread_create(&t, NULL, add_here, NULL);
	for (int i = 0; i < ADDS; i++) {
		struct ibv_sge sge = {(uintptr_t)local, 8, ml->lkey};
		struct ibv_send_wr wr = {.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD,
					   .send_flags = IBV_SEND_SIGNALED,
					   .sg_list = &sge,
					   .num_sge = 1,
					   .wr.atomic = {.remote_addr = (uintptr_t)word,
						   .compare_add = 1,
						   .rkey = mf->rkey}},
				   *bad;

		if (ibv_post_send(a.qp, &wr, &bad) || !wait_wc(a.cq, &wc, 10) || wc.status) {
			CHECK(false, "%s: atomic %d: status %d", k.name, i, wc.status);
			break;
		}
	}
	pthread_join(t, NULL);
	CHECK(*word == 2 * ADDS, "%s: %" PRIu64 " instead of %d", k.name, *word, 2 * ADDS);

	CHECK(!ibv_dereg_mr(mf) && !ibv_dereg_mr(ml), "dereg");
	side_fini(&a);
	side_fini(&b);
	munmap(k.map, LEN + LEAD);
	if (k.fd >= 0)
		close(k.fd);
	free(local);
}

/* A file that shrinks after it was registered: on either side, in either direction. */
static void shrunk(struct ibv_context *ctx, enum ibv_wr_opcode op, bool at_home)
{
	struct kind k = make(2), other = make(0);
	char *file = k.map + LEAD, *mem = other.map + LEAD;
	struct ibv_mr *mk, *mo;
	struct side a, b;
	struct ibv_wc wc = {0};

	pair_init(&a, &b, ctx);
	mk = ibv_reg_mr(at_home ? a.pd : b.pd, file, LEN, ALL_ACCESS);
	mo = ibv_reg_mr(at_home ? b.pd : a.pd, mem, LEN, ALL_ACCESS);
	if (!mk || !mo)
		DIE("reg_mr");
	if (ftruncate(k.fd, LEAD + 4096))
		DIE("ftruncate");
	if (at_home)
		CHECK(!post_rdma(&a, op, file, LEN, mk->lkey, mem, mo->rkey), "post");
	else
		CHECK(!post_rdma(&a, op, mem, LEN, mo->lkey, file, mk->rkey), "post");
	CHECK(wait_wc(a.cq, &wc, 10), "op %d: no completion", op);
	CHECK(wc.status != 0, "op %d, %s: success in a file that shrank", op,
		at_home ? "here" : "there");
	CHECK(!ibv_dereg_mr(mk) && !ibv_dereg_mr(mo), "dereg");
	side_fini(&a);
	side_fini(&b);
	munmap(k.map, LEN + LEAD);
	munmap(other.map, LEN + LEAD);
	close(k.fd);
}

int main(void)
{
	struct ibv_context *ctx = open_first();

	for (int which = 0; which < 4; which++)
		one(ctx, which);
	for (int i = 0; i < 4; i++)
		shrunk(ctx, i & 1 ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE, i & 2);
	CHECK(!ibv_close_device(ctx), "close");
	return finish();
}
