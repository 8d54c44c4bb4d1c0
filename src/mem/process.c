/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory of other processes; see process.h. Owns the mappings of their memory files and the
 * atomics that they were asked for. Datapath 7: placement. Called by the engine in the service.
 *
 * Order: process_vm_writev copies each piece of its list before the next one, and within a piece
 * the kernel copies upwards. The last word of a placement is a piece of its own, so a program that
 * polls it finds the rest in place (on processors that keep stores in order, such as x86; others
 * promise nothing within the kernel's copy). The kernel copies an aligned word of 8 bytes whole.
 */
#include "mem/process.h"

#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/util.h"
#include "mem/guard.h"
#include "mem/near.h"

#define ATOMICS 1024u /* of all processes together */

struct proc_region {
	struct fns_region r;
	uint32_t space;
	void *map; /* NULL: by the process's address space */
	size_t map_len;
};

struct space {
	pid_t pid; /* 0: closed */
	int pidfd;
	uint32_t regions; /* not released yet, also after it was closed */
	uint32_t maps, atomics;
	uint64_t map_bytes;
};

/* An atomic that a process was asked for. */
struct request {
	struct fns_dma_token *token; /* NULL: free */
	uint32_t space, gen;
	uint64_t deadline_ns;
	bool answered;
	int result;
	uint64_t found;
};

struct process_dma {
	struct fns_dma dma;
	struct fns_dma_process_cfg cfg;
	uint64_t now_ns;
	uint32_t pending, ready; /* requests; those that poll has something to say about */
	struct {
		struct proc_region *region; /* not imported yet */
	} offer;
	struct request req[ATOMICS];
	struct space space[];
};

static struct process_dma *to_process(struct fns_dma *d)
{
	return fns_container_of(d, struct process_dma, dma);
}

static struct proc_region *to_region(struct fns_region *r)
{
	return fns_container_of(r, struct proc_region, r);
}

/* --- spaces --- */

/* Has the process ended? Its number may be another's then. */
static bool gone(const struct space *s)
{
	struct pollfd p = {.fd = s->pidfd, .events = POLLIN};

	return s->pid == 0 || (s->pidfd >= 0 && poll(&p, 1, 0) > 0);
}

int fns_dma_process_open(struct fns_dma *base, uint32_t space, pid_t pid, int pidfd)
{
	struct process_dma *d = to_process(base);
	struct space *s = &d->space[space];

	fns_assert(space < d->cfg.spaces);
	if (pid <= 0)
		return -ESRCH;
	if (s->pid || s->regions || s->atomics)
		return -EBUSY;
	*s = (struct space){.pid = pid, .pidfd = pidfd};
	return gone(s) ? (s->pid = 0, -ESRCH) : 0;
}

static void answer(struct process_dma *d, struct request *q, int result, uint64_t found)
{
	if (q->answered)
		return;
	q->answered = true;
	q->result = result;
	q->found = found;
	d->ready++;
}

static void map_free(struct process_dma *d, struct proc_region *p)
{
	if (p->map) {
		munmap(p->map, p->map_len);
		d->space[p->space].maps--;
		d->space[p->space].map_bytes -= p->map_len;
	}
	free(p);
}

static void offer_drop(struct process_dma *d)
{
	if (d->offer.region)
		map_free(d, d->offer.region);
	d->offer.region = NULL;
}

void fns_dma_process_close(struct fns_dma *base, uint32_t space)
{
	struct process_dma *d = to_process(base);

	if (d->offer.region && d->offer.region->space == space)
		offer_drop(d);
	d->space[space].pid = 0;
	d->space[space].pidfd = -1;
	for (unsigned i = 0; d->space[space].atomics && i < ATOMICS; i++)
		if (d->req[i].token && d->req[i].space == space)
			answer(d, &d->req[i], -EFAULT, 0);
}

/* --- regions --- */

/*
 * A file in shared memory: nothing else keeps a page fault from waiting for another program (as
 * files of a FUSE file system would) or for a disk.
 */
static bool is_memory_file(int fd, uint64_t off, uint64_t len)
{
	struct statfs fs;
	struct stat st;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC && fstat(fd, &st) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size >= 0 && off <= (uint64_t)st.st_size &&
	       len <= (uint64_t)st.st_size - off;
}

int fns_dma_process_offer(struct fns_dma *base, uint32_t space, uint64_t addr, uint64_t len, int fd,
	uint64_t off, bool writable)
{
	struct process_dma *d = to_process(base);
	struct space *s = &d->space[space];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t lead = off & (page - 1);
	struct proc_region *p;
	size_t map_len;
	int rc;

	offer_drop(d);
	if (len == 0 || lead != (addr & (page - 1)) || addr + (len - 1) < addr)
		return -EINVAL;
	if (!is_memory_file(fd, off, len))
		return -EBADF;
	map_len = FNS_ALIGN_UP(lead + len, page);
	if (s->maps >= FNS_DMA_MAPS_EACH || map_len > FNS_DMA_MAP_BYTES - s->map_bytes)
		return -ENOSPC;
	rc = fns_guard_install();
	if (rc != 0)
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->map = mmap(NULL, map_len, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd,
		(off_t)(off - lead));
	if (p->map == MAP_FAILED) {
		rc = -errno;
		free(p);
		return rc;
	}
	p->map_len = map_len;
	p->space = space;
	p->r = (struct fns_region){.addr = addr,
		.len = len,
		.near_base = (uint8_t *)p->map + lead,
		.read_only = !writable};
	s->maps++;
	s->map_bytes += map_len;
	d->offer.region = p;
	return 0;
}

static int process_import(struct fns_dma *base, uint32_t space, uint64_t addr, uint64_t len,
	bool writable, struct fns_region **out)
{
	struct process_dma *d = to_process(base);
	struct proc_region *p = d->offer.region;
	struct space *s = &d->space[space];

	if (space >= d->cfg.spaces || gone(s))
		return -EFAULT;
	if (p && p->space == space && p->r.addr == addr && p->r.len == len &&
		p->r.read_only == !writable) {
		d->offer.region = NULL;
	} else {
		/* Whether it is mapped, the application's library has looked. If it has not, each
		 * use will tell. */
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->space = space;
		p->r = (struct fns_region){.addr = addr, .len = len, .read_only = !writable};
	}
	s->regions++;
	*out = &p->r;
	return 0;
}

static void process_release(struct fns_dma *base, struct fns_region *r)
{
	struct process_dma *d = to_process(base);
	struct proc_region *p;

	if (!r)
		return;
	p = to_region(r);
	d->space[p->space].regions--;
	map_free(d, p);
}

/* --- operations --- */

static void *addr_of(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* Result of a process_vm call that was to move len bytes. */
static int moved(struct process_dma *d, uint32_t space, ssize_t n, size_t len)
{
	struct space *s = &d->space[space];

	if (fns_likely(n == (ssize_t)len))
		return FNS_DMA_DONE;
	if (gone(s))
		fns_dma_process_close(&d->dma, space);
	return -EFAULT;
}

static int process_place(
	struct fns_dma *base, struct fns_memref ref, const void *src, struct fns_dma_token *t)
{
	struct process_dma *d = to_process(base);
	struct proc_region *p;
	uint64_t addr;
	size_t tail;

	if (ref.len == 0)
		return FNS_DMA_DONE;
	fns_assert(ref.off <= ref.region->len && ref.len <= ref.region->len - ref.off);
	if (ref.region->read_only)
		return -EFAULT;
	if (ref.region->near_base)
		return fns_near_place((uintptr_t)ref.region->near_base + ref.off, src, ref.len);
	p = to_region(ref.region);
	if (fns_unlikely(d->space[p->space].pid == 0))
		return -EFAULT;
	addr = ref.region->addr + ref.off;
	tail = (addr + ref.len) & 7;
	tail = FNS_MIN(tail ? tail : 8, ref.len);
	{
		size_t body = ref.len - tail;
		struct iovec from = {(void *)(uintptr_t)src, ref.len};
		struct iovec to[2] = {{addr_of(addr), body}, {addr_of(addr + body), tail}};
		unsigned first = body == 0;

		return moved(d, p->space,
			process_vm_writev(
				d->space[p->space].pid, &from, 1, to + first, 2 - first, 0),
			ref.len);
	}
}

static int process_fetch(
	struct fns_dma *base, struct fns_memref ref, void *dst, struct fns_dma_token *t)
{
	struct process_dma *d = to_process(base);
	struct iovec to = {dst, ref.len}, from;
	struct proc_region *p;

	if (ref.len == 0)
		return FNS_DMA_DONE;
	fns_assert(ref.off <= ref.region->len && ref.len <= ref.region->len - ref.off);
	if (ref.region->near_base)
		return fns_near_fetch(dst, (uintptr_t)ref.region->near_base + ref.off, ref.len);
	p = to_region(ref.region);
	if (fns_unlikely(d->space[p->space].pid == 0))
		return -EFAULT;
	from = (struct iovec){addr_of(ref.region->addr + ref.off), ref.len};
	return moved(d, p->space, process_vm_readv(d->space[p->space].pid, &to, 1, &from, 1, 0),
		ref.len);
}

static int process_atomic(struct fns_dma *base, struct fns_memref ref, bool compare_swap,
	uint64_t swap_add, uint64_t compare, struct fns_dma_token *t)
{
	struct process_dma *d = to_process(base);
	uint64_t addr = ref.region->addr + ref.off;
	struct proc_region *p = to_region(ref.region);
	struct request *q = NULL;
	unsigned i;

	if (ref.len != 8 || (addr & 7))
		return -EINVAL;
	fns_assert(ref.off <= ref.region->len && ref.len <= ref.region->len - ref.off);
	if (ref.region->read_only)
		return -EFAULT;
	if (ref.region->near_base)
		return fns_near_atomic((uintptr_t)ref.region->near_base + ref.off, compare_swap,
			swap_add, compare, &t->value);
	if (d->space[p->space].pid == 0 || d->space[p->space].atomics >= FNS_DMA_ATOMICS_EACH)
		return -EFAULT;
	for (i = 0; i < ATOMICS && !q; i++)
		if (!d->req[i].token)
			q = &d->req[i];
	if (!q)
		return -EFAULT;
	i = (unsigned)(q - d->req);
	if (!d->cfg.atomic(d->cfg.ctx, p->space, (++q->gen << 10 | i), addr, compare_swap, swap_add,
		    compare))
		return -EFAULT;
	q->token = t;
	q->space = p->space;
	q->deadline_ns = d->now_ns + FNS_DMA_ATOMIC_NS;
	q->answered = false;
	t->dma_priv = i;
	d->space[p->space].atomics++;
	d->pending++;
	return FNS_DMA_PENDING;
}

bool fns_dma_process_atomic_done(
	struct fns_dma *base, uint32_t space, uint32_t id, int result, uint64_t found)
{
	struct process_dma *d = to_process(base);
	struct request *q = &d->req[id & (ATOMICS - 1)];

	if (!q->token || q->answered || q->space != space || (q->gen & 0x3fffff) != id >> 10)
		return false;
	answer(d, q, result < 0 ? -EFAULT : 0, found);
	return true;
}

static struct fns_dma_token *request_end(struct process_dma *d, struct request *q)
{
	struct fns_dma_token *t = q->token;

	q->token = NULL;
	d->ready -= q->answered;
	d->pending--;
	d->space[q->space].atomics--;
	return t;
}

static unsigned process_poll(struct fns_dma *base, uint64_t now_ns)
{
	struct process_dma *d = to_process(base);
	unsigned n = 0;

	d->now_ns = FNS_MAX(d->now_ns, now_ns);
	for (unsigned i = 0; d->pending && i < ATOMICS; i++) {
		struct request *q = &d->req[i];
		struct fns_dma_token *t;
		int result;

		if (!q->token || (!q->answered && q->deadline_ns > d->now_ns))
			continue;
		answer(d, q, -EFAULT, 0);
		result = q->result;
		t = request_end(d, q);
		t->value = q->found;
		t->done(t, result);
		n++;
	}
	return n;
}

static uint64_t process_next(struct fns_dma *base)
{
	const struct process_dma *d = to_process(base);
	uint64_t at = UINT64_MAX;

	if (d->ready)
		return 0;
	for (unsigned i = 0; d->pending && i < ATOMICS; i++)
		if (d->req[i].token)
			at = FNS_MIN(at, d->req[i].deadline_ns);
	return at;
}

static bool process_cancel(struct fns_dma *base, struct fns_dma_token *t)
{
	struct process_dma *d = to_process(base);

	if (t->dma_priv < ATOMICS && d->req[t->dma_priv].token == t)
		request_end(d, &d->req[t->dma_priv]);
	return true;
}

static void process_destroy(struct fns_dma *base)
{
	if (!base)
		return;
	offer_drop(to_process(base));
	free(to_process(base));
}

static const struct fns_dma_ops process_ops = {
	.name = "process",
	.caps = {.completes_inline = false, .ordered = false},
	.import = process_import,
	.release = process_release,
	.place = process_place,
	.fetch = process_fetch,
	.atomic = process_atomic,
	.poll = process_poll,
	.next = process_next,
	.cancel = process_cancel,
	.destroy = process_destroy,
};

struct fns_dma *fns_dma_process_create(const struct fns_dma_process_cfg *cfg)
{
	struct process_dma *d = calloc(1, sizeof(*d) + cfg->spaces * sizeof(d->space[0]));

	if (!d)
		return NULL;
	d->dma.ops = &process_ops;
	d->cfg = *cfg;
	return &d->dma;
}
