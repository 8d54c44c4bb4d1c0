/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory files of applications that the engine reads and writes without a guard: submission and
 * completion rings. Only such files are taken that nobody can make fault: made by memfd_create (a
 * tmpfs that somebody has mounted may be full when a page is wanted; huge pages may be used up),
 * and sealed against shrinking.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/service_priv.h"

/* The file system that memfd_create makes files in: the kernel's own, mounted nowhere. */
static bool on_kernels_own(const struct stat *st)
{
	static _Atomic uint64_t known; /* device + 1 */
	uint64_t dev = atomic_load_explicit(&known, memory_order_relaxed);

	if (dev == 0) {
		struct stat own;
		int fd = memfd_create("flexins-probe", MFD_CLOEXEC);

		if (fd < 0)
			return false;
		if (fstat(fd, &own) == 0)
			dev = (uint64_t)own.st_dev + 1;
		close(fd);
		atomic_store_explicit(&known, dev, memory_order_relaxed);
	}
	return (uint64_t)st->st_dev + 1 == dev;
}

void *fns_service_map(int fd, size_t len, const char **why)
{
	struct stat st;
	int seals;
	void *p;

	*why = "no memory file came with the message";
	if (fd < 0)
		return NULL;
	*why = "a ring is not in a file of memfd_create";
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !on_kernels_own(&st))
		return NULL;
	*why = "a ring is not sealed against shrinking";
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return NULL;
	*why = "a ring's file is too small";
	if (st.st_size < 0 || (uint64_t)st.st_size < len)
		return NULL;
	*why = "a ring cannot be mapped";
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}
