/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of mem/process: another process's memory, files that it offers, atomics that it does
 * itself, and its death. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/util.h"
#include "mem/process.h"

#define PAGE   4096u
#define SPACES 4u

/* What the backend asked a process for last. */
static struct {
	unsigned n;
	uint32_t space, id;
	uint64_t addr, swap_add, compare;
	bool compare_swap, refuse;
} asked;

static bool ask(void *ctx, uint32_t space, uint32_t id, uint64_t addr, bool compare_swap,
	uint64_t swap_add, uint64_t compare)
{
	if (asked.refuse)
		return false;
	asked.n++;
	asked.space = space;
	asked.id = id;
	asked.addr = addr;
	asked.compare_swap = compare_swap;
	asked.swap_add = swap_add;
	asked.compare = compare;
	return true;
}

static struct fns_dma *dma;
/* The other process: a copy of this one, whose memory at `theirs` differs from ours. */
static uint8_t *theirs;
static pid_t other;
static int other_fd;
static int to_other[2], from_other[2];

/* Does as it is told: 'r' lets us see `theirs` (by a pipe), 'q' ends. */
static void be_other(void)
{
	char c;

	memset(theirs, 0x11, 8 * PAGE);
	(void)!write(from_other[1], "+", 1);
	while (read(to_other[0], &c, 1) == 1 && c == 'r')
		for (unsigned at = 0; at < 8 * PAGE; at += PAGE)
			(void)!write(from_other[1], theirs + at, PAGE);
	_exit(0);
}

static int setup(void **state)
{
	const struct fns_dma_process_cfg cfg = {.spaces = SPACES, .atomic = ask};
	char c;

	memset(&asked, 0, sizeof(asked));
	dma = fns_dma_process_create(&cfg);
	theirs = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!dma || theirs == MAP_FAILED || pipe(to_other) < 0 || pipe(from_other) < 0)
		return -1;
	memset(theirs, 0x22, 8 * PAGE);
	other = fork();
	if (other == 0)
		be_other();
	other_fd = (int)syscall(SYS_pidfd_open, other, 0);
	if (other < 0 || other_fd < 0 || read(from_other[0], &c, 1) != 1)
		return -1;
	return fns_dma_process_open(dma, 1, other, other_fd);
}

static void kill_other(void)
{
	if (other > 0) {
		kill(other, SIGKILL);
		waitpid(other, NULL, 0);
	}
	other = 0;
}

static int teardown(void **state)
{
	kill_other();
	close(other_fd);
	close(to_other[0]);
	close(to_other[1]);
	close(from_other[0]);
	close(from_other[1]);
	munmap(theirs, 8 * PAGE);
	dma->ops->destroy(dma);
	return 0;
}

static void read_other(uint8_t *out)
{
	size_t got = 0;

	assert_int_equal(write(to_other[1], "r", 1), 1);
	while (got < 8 * PAGE) {
		ssize_t n = read(from_other[0], out + got, 8 * PAGE - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
}

static struct fns_region *imported(uint32_t space, const void *p, uint64_t len, bool writable)
{
	struct fns_region *r = NULL;

	assert_int_equal(dma->ops->import(dma, space, (uintptr_t)p, len, writable, &r), 0);
	assert_int_equal(r->addr, (uintptr_t)p);
	assert_int_equal(r->len, len);
	return r;
}

static int place(struct fns_region *r, uint64_t off, const void *src, uint32_t len)
{
	struct fns_dma_token t = {0};

	return dma->ops->place(dma, (struct fns_memref){r, off, len}, src, &t);
}

static int fetch(struct fns_region *r, uint64_t off, void *dst, uint32_t len)
{
	struct fns_dma_token t = {0};

	return dma->ops->fetch(dma, (struct fns_memref){r, off, len}, dst, &t);
}

static void test_place_and_fetch(void **state)
{
	static uint8_t src[3 * PAGE], dst[8 * PAGE], want[8 * PAGE], seen[8 * PAGE];
	struct fns_region *r = imported(1, theirs, 8 * PAGE, true);

	assert_null(r->near_base);
	for (unsigned i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 7 + 1);
	memset(want, 0x11, sizeof(want));
	/* Every length up to some words, at every alignment, and some that cross pages. */
	for (uint32_t len = 0; len <= 40; len++) {
		for (uint32_t off = 0; off < 9; off++) {
			uint32_t at = PAGE - 20 + off;

			assert_int_equal(place(r, at, src + off, len), FNS_DMA_DONE);
			memcpy(want + at, src + off, len);
			assert_int_equal(fetch(r, 0, dst, 2 * PAGE), FNS_DMA_DONE);
			assert_memory_equal(dst, want, 2 * PAGE);
		}
	}
	assert_int_equal(place(r, 3 * PAGE + 5, src, sizeof(src)), FNS_DMA_DONE);
	memcpy(want + 3 * PAGE + 5, src, sizeof(src));
	read_other(seen);
	assert_memory_equal(seen, want, sizeof(want));
	for (unsigned i = 0; i < 8 * PAGE; i++)
		assert_int_equal(theirs[i], 0x22); /* ours is not theirs */
	dma->ops->release(dma, r);
}

static void test_what_is_not_there(void **state)
{
	uint8_t b[2 * PAGE] = {0};
	struct fns_region *r;

	r = imported(1, (void *)(uintptr_t)PAGE, 2 * PAGE, true);
	assert_int_equal(place(r, 0, b, 8), -EFAULT);
	assert_int_equal(fetch(r, 0, b, 8), -EFAULT);
	dma->ops->release(dma, r);
	r = imported(1, theirs, 8 * PAGE, false);
	assert_int_equal(place(r, 0, b, 8), -EFAULT);
	assert_int_equal(fetch(r, 0, b, 8), FNS_DMA_DONE);
	assert_int_equal(b[0], 0x11);
	dma->ops->release(dma, r);
	assert_int_equal(dma->ops->import(dma, 2, (uintptr_t)theirs, 8, true, &r), -EFAULT);
	assert_int_equal(dma->ops->import(dma, SPACES, (uintptr_t)theirs, 8, true, &r), -EFAULT);
}

static void test_death(void **state)
{
	uint8_t b[8] = {0};
	struct fns_region *r = imported(1, theirs, 8 * PAGE, true), *r2;

	kill_other();
	assert_int_equal(place(r, 0, b, 8), -EFAULT);
	assert_int_equal(fetch(r, 0, b, 8), -EFAULT);
	assert_int_equal(dma->ops->import(dma, 1, (uintptr_t)theirs, 8, true, &r2), -EFAULT);
	/* The number is nobody else's while a region of the dead is there. */
	fns_dma_process_close(dma, 1);
	assert_int_equal(fns_dma_process_open(dma, 1, getpid(), -1), -EBUSY);
	dma->ops->release(dma, r);
	assert_int_equal(fns_dma_process_open(dma, 1, getpid(), -1), 0);
	r = imported(1, theirs, 8, true);
	assert_int_equal(fetch(r, 0, b, 8), FNS_DMA_DONE);
	assert_int_equal(b[0], 0x22);
	dma->ops->release(dma, r);
	assert_int_equal(fns_dma_process_open(dma, 2, other, other_fd), -ESRCH);
}

static int memory_file(size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	return fd;
}

static void test_offered_file(void **state)
{
	int fd = memory_file(4 * PAGE);
	uint8_t *mine = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	const uint64_t addr = 0x7000000 + 100; /* what the other process calls it */
	struct fns_dma_token t = {0};
	struct fns_region *r;
	uint8_t b[64];

	assert_ptr_not_equal(mine, MAP_FAILED);
	assert_int_equal(fns_dma_process_offer(dma, 1, addr, 2 * PAGE, fd, PAGE + 100, true), 0);
	r = imported(1, (void *)(uintptr_t)addr, 2 * PAGE, true);
	assert_non_null(r->near_base);
	assert_int_equal(place(r, 7, "shared", 6), FNS_DMA_DONE);
	assert_memory_equal(mine + PAGE + 107, "shared", 6);
	mine[PAGE + 100] = 0x77;
	assert_int_equal(fetch(r, 0, b, 1), FNS_DMA_DONE);
	assert_int_equal(b[0], 0x77);
	assert_int_equal(r->near_base[0], 0x77);
	*(uint64_t *)(void *)(mine + PAGE + 104) = 5;
	assert_int_equal(
		dma->ops->atomic(dma, (struct fns_memref){r, 4, 8}, false, 3, 0, &t), FNS_DMA_DONE);
	assert_int_equal(t.value, 5);
	assert_int_equal(*(uint64_t *)(void *)(mine + PAGE + 104), 8);
	assert_int_equal(asked.n, 0);
	/* It shrinks: that costs an error. */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(place(r, 0, "gone", 4), -EFAULT);
	assert_int_equal(fetch(r, PAGE, b, 8), -EFAULT);
	assert_int_equal(
		dma->ops->atomic(dma, (struct fns_memref){r, 4, 8}, false, 3, 0, &t), -EFAULT);
	dma->ops->release(dma, r);
	munmap(mine, 4 * PAGE);
	close(fd);
}

static void test_offers_that_are_no_good(void **state)
{
	char path[] = "/var/tmp/flexins-test-XXXXXX";
	int fd = memory_file(2 * PAGE), disk = mkstemp(path), ro;
	struct fns_region *r;
	uint64_t a = (uintptr_t)theirs;

	unlink(path);
	/* Beyond its end, another place in the page, not a file, nothing. */
	assert_int_equal(fns_dma_process_offer(dma, 1, a, 3 * PAGE, fd, 0, true), -EBADF);
	assert_int_equal(fns_dma_process_offer(
				 dma, 1, a, PAGE, fd, UINT64_MAX & ~(uint64_t)(PAGE - 1), true),
		-EBADF);
	assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, fd, 1, true), -EINVAL);
	assert_int_equal(fns_dma_process_offer(dma, 1, a, 0, fd, 0, true), -EINVAL);
	assert_int_equal(fns_dma_process_offer(
				 dma, 1, UINT64_MAX & ~(uint64_t)(PAGE - 1), 2 * PAGE, fd, 0, true),
		-EINVAL);
	assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, to_other[0], 0, true), -EBADF);
	assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, -1, 0, true), -EBADF);
	/* A file on a disk: a fault in it would wait for the disk, or for whoever serves it. */
	if (disk >= 0 && ftruncate(disk, PAGE) == 0 && fcntl(disk, F_GET_SEALS) < 0)
		assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, disk, 0, true), -EBADF);
	/* One that we may not write. */
	{
		char link[64];

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		ro = open(link, O_RDONLY | O_CLOEXEC);
		assert_true(ro >= 0);
		assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, ro, 0, true), -EACCES);
		assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, ro, 0, false), 0);
	}
	/* What is offered for one range, right, or space is not taken for another. */
	r = imported(1, theirs, PAGE, true);
	assert_null(r->near_base);
	dma->ops->release(dma, r);
	assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, fd, 0, true), 0);
	r = imported(1, theirs, 2 * PAGE, true);
	assert_null(r->near_base);
	dma->ops->release(dma, r);
	assert_int_equal(fns_dma_process_open(dma, 2, getpid(), -1), 0);
	r = imported(2, theirs, PAGE, true);
	assert_null(r->near_base);
	dma->ops->release(dma, r);
	/* Taken back. */
	assert_int_equal(fns_dma_process_offer(dma, 1, 0, 0, -1, 0, false), -EINVAL);
	r = imported(1, theirs, PAGE, true);
	assert_null(r->near_base);
	dma->ops->release(dma, r);
	close(fd);
	close(ro);
	if (disk >= 0)
		close(disk);
}

static void test_maps_have_a_limit(void **state)
{
	static struct fns_region *r[FNS_DMA_MAPS_EACH];
	int fd = memory_file(PAGE);
	uint64_t a = (uintptr_t)theirs;

	for (unsigned i = 0; i < FNS_DMA_MAPS_EACH; i++) {
		assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, fd, 0, true), 0);
		r[i] = imported(1, theirs, PAGE, true);
		assert_non_null(r[i]->near_base);
	}
	assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, fd, 0, true), -ENOSPC);
	dma->ops->release(dma, r[0]);
	assert_int_equal(fns_dma_process_offer(dma, 1, a, PAGE, fd, 0, true), 0);
	for (unsigned i = 1; i < FNS_DMA_MAPS_EACH; i++)
		dma->ops->release(dma, r[i]);
	close(fd);
}

static struct {
	unsigned n;
	int result;
	uint64_t value;
} last;

static void done(struct fns_dma_token *t, int result)
{
	last.n++;
	last.result = result;
	last.value = t->value;
}

static int start_atomic(struct fns_region *r, struct fns_dma_token *t)
{
	*t = (struct fns_dma_token){.done = done};
	return dma->ops->atomic(dma, (struct fns_memref){r, 8, 8}, true, 7, 9, t);
}

static void test_atomic_by_the_process(void **state)
{
	struct fns_region *r = imported(1, theirs, PAGE, true);
	struct fns_dma_token t;
	uint32_t first;

	memset(&last, 0, sizeof(last));
	assert_int_equal(
		dma->ops->atomic(dma, (struct fns_memref){r, 4, 8}, false, 1, 0, &t), -EINVAL);
	assert_int_equal(start_atomic(r, &t), FNS_DMA_PENDING);
	assert_int_equal(asked.n, 1);
	assert_int_equal(asked.space, 1);
	assert_int_equal(asked.addr, (uintptr_t)theirs + 8);
	assert_true(asked.compare_swap);
	assert_int_equal(asked.swap_add, 7);
	assert_int_equal(asked.compare, 9);
	assert_int_equal(dma->ops->poll(dma, 1000), 0);
	assert_true(dma->ops->next(dma) > 1000);
	/* Not from another process, not by another number. */
	assert_false(fns_dma_process_atomic_done(dma, 2, asked.id, 0, 1));
	for (uint32_t bit = 0; bit < 32; bit++)
		assert_false(fns_dma_process_atomic_done(dma, 1, asked.id ^ 1u << bit, 0, 1));
	assert_true(fns_dma_process_atomic_done(dma, 1, asked.id, 0, 42));
	assert_false(fns_dma_process_atomic_done(dma, 1, asked.id, 0, 43)); /* once */
	assert_int_equal(dma->ops->next(dma), 0);
	assert_int_equal(last.n, 0);
	assert_int_equal(dma->ops->poll(dma, 2000), 1);
	assert_int_equal(last.n, 1);
	assert_int_equal(last.result, 0);
	assert_int_equal(last.value, 42);
	assert_int_equal(dma->ops->next(dma), UINT64_MAX);
	/* An answer to it does not fit the next one. */
	first = asked.id;
	assert_int_equal(start_atomic(r, &t), FNS_DMA_PENDING);
	assert_false(fns_dma_process_atomic_done(dma, 1, first, 0, 1));
	/* No answer: it fails after a while, and the answer is late. */
	assert_int_equal(dma->ops->poll(dma, 2000 + FNS_DMA_ATOMIC_NS - 1), 0);
	assert_int_equal(dma->ops->poll(dma, 2000 + FNS_DMA_ATOMIC_NS), 1);
	assert_int_equal(last.result, -EFAULT);
	assert_false(fns_dma_process_atomic_done(dma, 1, asked.id, 0, 1));
	/* It says that its memory is gone; it lies about the reason. */
	assert_int_equal(start_atomic(r, &t), FNS_DMA_PENDING);
	assert_true(fns_dma_process_atomic_done(dma, 1, asked.id, -12345, 1));
	assert_int_equal(dma->ops->poll(dma, 3000), 1);
	assert_int_equal(last.result, -EFAULT);
	/* It cannot be asked. */
	asked.refuse = true;
	assert_int_equal(start_atomic(r, &t), -EFAULT);
	asked.refuse = false;
	/* Cancelled. */
	assert_int_equal(start_atomic(r, &t), FNS_DMA_PENDING);
	assert_true(dma->ops->cancel(dma, &t));
	assert_false(fns_dma_process_atomic_done(dma, 1, asked.id, 0, 1));
	assert_int_equal(dma->ops->next(dma), UINT64_MAX);
	dma->ops->release(dma, r);
}

static void test_atomics_of_the_dead(void **state)
{
	static struct fns_dma_token t[FNS_DMA_ATOMICS_EACH + 1];
	struct fns_region *r = imported(1, theirs, PAGE, true);

	memset(&last, 0, sizeof(last));
	for (unsigned i = 0; i < FNS_DMA_ATOMICS_EACH; i++)
		assert_int_equal(start_atomic(r, &t[i]), FNS_DMA_PENDING);
	assert_int_equal(start_atomic(r, &t[FNS_DMA_ATOMICS_EACH]), -EFAULT);
	assert_int_equal(dma->ops->poll(dma, 1), 0);
	fns_dma_process_close(dma, 1);
	assert_int_equal(fns_dma_process_open(dma, 1, getpid(), -1), -EBUSY);
	assert_int_equal(dma->ops->poll(dma, 1), FNS_DMA_ATOMICS_EACH);
	assert_int_equal(last.n, FNS_DMA_ATOMICS_EACH);
	assert_int_equal(last.result, -EFAULT);
	assert_int_equal(start_atomic(r, &t[0]), -EFAULT);
	dma->ops->release(dma, r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_place_and_fetch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_death, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offered_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offers_that_are_no_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_maps_have_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_atomic_by_the_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_atomics_of_the_dead, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
