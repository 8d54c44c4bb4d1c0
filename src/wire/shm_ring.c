/* SPDX-License-Identifier: Apache-2.0 */
/* Making, checking and mapping the memory of a ring. Control path. */
#include "wire/shm_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fds.h"

#define ALL_BYTES (SHM_DATA_OFF + 2ul * SHM_RING_BYTES)

static int map_all(struct shm_ring *r, int fd)
{
	uint8_t *base = mmap(
		NULL, ALL_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const int flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;

	if (base == MAP_FAILED)
		return -errno;
	if (mmap(base, SHM_FILE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED ||
		mmap(base + SHM_FILE_BYTES, SHM_RING_BYTES, PROT_READ | PROT_WRITE, flags, fd,
			SHM_DATA_OFF) == MAP_FAILED) {
		int err = -errno;

		munmap(base, ALL_BYTES);
		return err;
	}
	/* A forked child has no use for it. */
	(void)madvise(base, ALL_BYTES, MADV_DONTFORK);
	*r = (struct shm_ring){
		.shared = (struct shm_shared *)(void *)base, .data = base + SHM_DATA_OFF};
	return 0;
}

int shm_ring_make(struct shm_ring *r, int *out)
{
	int fd = fns_memfd_sealed("flexins-ring", SHM_FILE_BYTES), err;

	if (fd < 0)
		return fd;
	/* All memory now: where there is none left, a touch later would be fatal. */
	err = fallocate(fd, 0, 0, SHM_FILE_BYTES) < 0 ? -errno : map_all(r, fd);
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int shm_ring_take(struct shm_ring *r, int fd)
{
	/* Sealed: nobody can make our accesses fault by cutting it off. */
	if (!fns_memfd_is_sealed(fd, SHM_FILE_BYTES))
		return -EPROTO;
	return map_all(r, fd);
}

void shm_ring_unmap(struct shm_ring *r)
{
	if (r->shared)
		munmap(r->shared, ALL_BYTES);
	memset(r, 0, sizeof(*r));
}
