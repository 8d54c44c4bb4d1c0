/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of the door. The owner's: control path. The peer's: datapath 5/9, instead of packets.
 */
#include "wire/shm_door.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fds.h"

#define IOVS_MAX 64u

/* --- the owner --- */

int shm_door_make(struct shm_door *d)
{
	const size_t len = sizeof(*d->file);
	int fd = fns_memfd_sealed("flexins-door", len), err;
	void *p;

	if (fd < 0)
		return fd;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		err = -errno;
		close(fd);
		return err;
	}
	/* A forked child must not open what is not its own. */
	(void)madvise(p, len, MADV_DONTFORK);
	*d = (struct shm_door){.file = p, .fd = fd};
	return 0;
}

void shm_door_unmake(struct shm_door *d)
{
	if (d->file) {
		munmap(d->file, sizeof(*d->file));
		close(d->fd);
	}
	*d = (struct shm_door){.fd = -1};
}

static uint32_t mr_place(uint32_t key, uint32_t i)
{
	/* Keys are random. */
	return (key + i) & (SHM_DOOR_MRS - 1);
}

static struct shm_door_mr *mr_find(struct shm_door_file *f, uint32_t key)
{
	for (uint32_t i = 0; i < SHM_DOOR_PROBE; i++) {
		struct shm_door_mr *m = &f->mr[mr_place(key, i)];

		if (atomic_load_explicit(&m->key, memory_order_acquire) == key)
			return m;
	}
	return NULL;
}

void shm_door_mr_expose(struct shm_door *d, const struct fns_exposed_mr *mr)
{
	struct shm_door_mr *m;

	if (!d->file || mr->key == 0)
		return;
	m = mr_find(d->file, mr->key);
	fns_assert(!m); /* taken back before it changes */
	for (uint32_t i = 0; i < SHM_DOOR_PROBE; i++) {
		m = &d->file->mr[mr_place(mr->key, i)];
		if (atomic_load_explicit(&m->key, memory_order_relaxed) == 0)
			break;
		m = NULL;
	}
	if (!m)
		return;
	m->pd = mr->pd;
	m->access = mr->access;
	m->iova = mr->iova;
	m->len = mr->len;
	m->addr = mr->addr;
	atomic_store_explicit(&m->key, mr->key, memory_order_release);
}

void shm_door_qp_expose(struct shm_door *d, const struct fns_exposed_qp *qp)
{
	struct shm_door_qp *q;

	if (!d->file)
		return;
	shm_door_qp_take_back(d, qp->qpn);
	q = &d->file->qp[qp->qpn & (SHM_DOOR_QPS - 1)];
	q->dest_qpn = qp->dest_qpn;
	q->pd = qp->pd;
	q->access = qp->access;
	q->remote = qp->remote;
	if (++d->changes == 0)
		d->changes = 1;
	atomic_store_explicit(&q->state, d->changes, memory_order_release);
}

bool shm_door_mr_take_back(struct shm_door *d, uint32_t key)
{
	struct shm_door_mr *m = d->file && key ? mr_find(d->file, key) : NULL;

	if (!m)
		return false;
	atomic_store_explicit(&m->key, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return true;
}

void shm_door_qp_take_back(struct shm_door *d, uint32_t qpn)
{
	if (!d->file)
		return;
	atomic_store_explicit(
		&d->file->qp[qpn & (SHM_DOOR_QPS - 1)].state, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

/* --- the peer --- */

bool shm_reach_take(struct shm_reach *r, int fd, pid_t pid)
{
	const size_t len = sizeof(*r->file);
	void *p = MAP_FAILED;

	if (fns_memfd_is_sealed(fd, len))
		p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return false;
	(void)madvise(p, len, MADV_DONTFORK);
	r->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pid <= 0 || r->pidfd < 0) {
		munmap(p, len);
		return false;
	}
	r->file = p;
	r->pid = pid;
	return true;
}

void shm_reach_drop(struct shm_reach *r)
{
	if (!r->file)
		return;
	munmap((void *)(uintptr_t)r->file, sizeof(*r->file));
	close(r->pidfd);
	r->file = NULL;
}

void shm_reach_forget(struct shm_reach *r)
{
	if (r->file)
		close(r->pidfd);
}

bool shm_reach_alive(const struct shm_reach *r)
{
	struct pollfd p = {.fd = r->pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

/* What the responder checks (IBTA 9.7.4.1): state, connection, rights, key, domain, bounds. False:
 * packets shall find out. */
static bool allowed(const struct shm_door_file *f, const struct fns_direct *d, uint64_t *addr)
{
	const uint32_t need = d->read ? FNS_ACCESS_REMOTE_READ : FNS_ACCESS_REMOTE_WRITE;
	const struct shm_door_qp *q = &f->qp[d->dest_qpn & (SHM_DOOR_QPS - 1)];
	uint32_t state = atomic_load_explicit(&q->state, memory_order_acquire), pd = q->pd;
	const struct shm_door_mr *m;
	uint64_t at;
	bool ok;

	if (state == 0 || atomic_load_explicit(&f->shut, memory_order_relaxed))
		return false;
	ok = q->dest_qpn == d->src_qpn && (q->access & need) &&
	     fns_gid_equal(&q->remote, &d->path->local);
	/* All of one state? */
	atomic_thread_fence(memory_order_acquire);
	if (!ok || atomic_load_explicit(&q->state, memory_order_relaxed) != state)
		return false;
	m = mr_find((struct shm_door_file *)(uintptr_t)f, d->rkey);
	if (!m || m->pd != pd || !(m->access & need))
		return false;
	at = d->va - m->iova;
	if (d->va < m->iova || at > m->len || d->len > m->len - at)
		return false;
	*addr = m->addr + at;
	/* Was it one entry all the time? */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&m->key, memory_order_relaxed) == d->rkey;
}

static bool copy(const struct shm_reach *r, const struct fns_direct *d, uint64_t addr, bool *dead)
{
	/* The last aligned word on its own: programs poll it. */
	uint64_t end = addr + d->len;
	uint32_t tail = d->read ? 0 : (uint32_t)(end & 7 ? end & -end : 8);
	struct iovec far[2];
	unsigned n = 0;
	ssize_t done;

	while (tail > d->len)
		tail >>= 1;
	if (d->len > tail)
		far[n++] = (struct iovec){(void *)(uintptr_t)addr, d->len - tail};
	if (tail)
		far[n++] = (struct iovec){(void *)(uintptr_t)(end - tail), tail};
	done = d->read ? process_vm_readv(r->pid, d->iov, d->niov, far, n, 0)
		       : process_vm_writev(r->pid, d->iov, d->niov, far, n, 0);
	if (done < 0 && (errno == EPERM || errno == ENOSYS || errno == ESRCH))
		*dead = true;
	return done == (ssize_t)d->len;
}

bool shm_reach_do(const struct shm_reach *r, _Atomic uint64_t *in_mr, _Atomic uint64_t *in_qp,
	const struct fns_direct *d, bool *dead)
{
	bool ok = false;
	uint64_t addr;

	*dead = false;
	if (!r->file || d->niov > IOVS_MAX)
		return false;
	atomic_store_explicit(in_mr, d->rkey, memory_order_relaxed);
	atomic_store_explicit(in_qp, d->dest_qpn, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (allowed(r->file, d, &addr))
		ok = copy(r, d, addr, dead);
	atomic_store_explicit(in_mr, 0, memory_order_release);
	atomic_store_explicit(in_qp, 0, memory_order_release);
	return ok;
}
