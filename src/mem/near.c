/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarded copies and atomics on the application's memory in this address space. Datapath 7:
 * placement. Called by the direct and simdma backends. Owns nothing but a per-thread note that the
 * fault signals are unblocked.
 */
#include "mem/near.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "mem/guard.h"

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static _Thread_local bool thread_ready __attribute__((tls_model("initial-exec")));

static inline void thread_enter(void)
{
	if (fns_unlikely(!thread_ready)) {
		fns_guard_thread_init();
		thread_ready = true;
	}
}

/*
 * The application owns these bytes and may be using them: the write must change nothing, and no
 * sanitizer has a say in it. An atomic "or" of nothing is a write to the memory system, if the
 * compiler cannot see the nothing: clang makes a load of it.
 */
__attribute__((no_sanitize("address", "thread"), noinline)) static void touch_byte(
	uintptr_t p, bool writable)
{
	uint8_t nothing = 0;

	__asm__("" : "+r"(nothing));
	if (writable)
		__atomic_fetch_or((uint8_t *)p, nothing, __ATOMIC_RELAXED);
	else
		(void)__atomic_load_n((const uint8_t *)p, __ATOMIC_RELAXED);
}

/*
 * ThreadSanitizer makes a releasing access under a lock of its own, which a fault would leave
 * locked for good: there, fault before it.
 */
#if defined(__SANITIZE_THREAD__)
#define TSAN_TOUCH(p) touch_byte((uintptr_t)(p), true)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN_TOUCH(p) touch_byte((uintptr_t)(p), true)
#endif
#endif
#ifndef TSAN_TOUCH
#define TSAN_TOUCH(p) ((void)0)
#endif

/* One byte of each page of [addr, last]. */
static int touch(uint64_t addr, uint64_t last, uint64_t page, bool writable)
{
	struct fns_guard g;

	if (fns_guard_begin(&g)) {
		for (uint64_t p = addr;; p = (p & ~(page - 1)) + page) {
			touch_byte(p, writable);
			if ((p | (page - 1)) >= last)
				break;
		}
		fns_guard_end();
		return 0;
	}
	return -EFAULT;
}

int fns_near_probe(uint64_t addr, uint64_t len, bool writable)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t last = addr + (len - 1);
	uint64_t first_page = addr & ~(page - 1);

	if (len == 0)
		return 0;
	if (last < addr)
		return -EFAULT;
	thread_enter();
	/* The end first: a wild length must not make us populate all that happens to be mapped
	 * before the gap. */
	if (touch(last, last, page, writable) != 0)
		return -EFAULT;
	if (madvise((void *)(uintptr_t)first_page, (last | (page - 1)) - first_page + 1,
		    writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0)
		return 0;
	/*
	 * EINVAL: an old kernel, a device mapping, or no such right. ENOMEM: not mapped, or a stack
	 * that has not grown that far yet. Touching tells.
	 */
	return touch(addr, last, page, writable);
}

/*
 * Stores that the compiler may neither merge, split nor reorder. 16 bytes at a time are two whole
 * words: no processor that we run on tears an 8-byte aligned half of a vector store.
 */
typedef uint64_t vec16 __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint64_t vec16_any __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t any16 __attribute__((aligned(1), may_alias));
typedef uint32_t any32 __attribute__((aligned(1), may_alias));
typedef uint64_t any64 __attribute__((aligned(1), may_alias));
typedef uint16_t word16 __attribute__((may_alias));
typedef uint32_t word32 __attribute__((may_alias));
typedef uint64_t word64 __attribute__((may_alias));

#define PREFETCH 512

#define STORE(type, n)                                                                             \
	do {                                                                                       \
		__atomic_store_n((word##type *)(d), *(const any##type *)(s), __ATOMIC_RELAXED);    \
		d += (n);                                                                          \
		s += (n);                                                                          \
		len -= (n);                                                                        \
	} while (0)

static inline void store_byte(uint8_t *d, const uint8_t *s)
{
	__atomic_store_n(d, *s, __ATOMIC_RELAXED);
}

/*
 * All but the last piece. Order between pieces: each is ordered before the final release store; x86
 * also keeps them ascending. Programs look while this runs, which is their right; ThreadSanitizer
 * need not hear of it.
 */
__attribute__((no_sanitize("thread"))) static inline void copy_ascending(
	uint8_t *d, const uint8_t *s, size_t len)
{
	if (((uintptr_t)d & 1) && len >= 1) {
		store_byte(d++, s++);
		len--;
	}
	if (((uintptr_t)d & 2) && len >= 2)
		STORE(16, 2);
	if (((uintptr_t)d & 4) && len >= 4)
		STORE(32, 4);
	while (len >= 64) {
		volatile vec16 *v = (volatile vec16 *)(void *)d;
		const vec16_any *w = (const vec16_any *)(const void *)s;
		vec16 a = w[0], b = w[1], c = w[2], e = w[3];

		/* A packet from another CPU's cache comes a tenth faster by this. */
		__builtin_prefetch(s + PREFETCH);

		v[0] = a;
		v[1] = b;
		v[2] = c;
		v[3] = e;
		d += 64;
		s += 64;
		len -= 64;
	}
	while (len >= 8)
		STORE(64, 8);
	if (len & 4)
		STORE(32, 4);
	if (len & 2)
		STORE(16, 2);
	if (len & 1)
		store_byte(d, s);
}

/* Bytes of the last piece: the largest aligned word that ends at end and lies within len. */
static inline size_t last_piece(uintptr_t end, size_t len)
{
	size_t n = (end & 7) == 0 ? 8 : end & -end;

	while (n > len)
		n >>= 1;
	return n;
}

static __attribute__((noinline)) void place_bytes(uint8_t *d, const uint8_t *s, size_t len)
{
	size_t tail = last_piece((uintptr_t)d + len, len);
	size_t body = len - tail;

	copy_ascending(d, s, body);
	d += body;
	s += body;
	TSAN_TOUCH(d);
	switch (tail) {
	case 8:
		__atomic_store_n(
			(word64 *)(void *)d, *(const any64 *)(const void *)s, __ATOMIC_RELEASE);
		break;
	case 4:
		__atomic_store_n(
			(word32 *)(void *)d, *(const any32 *)(const void *)s, __ATOMIC_RELEASE);
		break;
	case 2:
		__atomic_store_n(
			(word16 *)(void *)d, *(const any16 *)(const void *)s, __ATOMIC_RELEASE);
		break;
	default:
		__atomic_store_n(d, *s, __ATOMIC_RELEASE);
		break;
	}
}

int fns_near_place(uint64_t addr, const void *src, size_t len)
{
	struct fns_guard g;

	if (len == 0)
		return 0;
	thread_enter();
	if (fns_guard_begin(&g)) {
		place_bytes((uint8_t *)(uintptr_t)addr, src, len);
		fns_guard_end();
		return 0;
	}
	return -EFAULT;
}

int fns_near_fetch(void *dst, uint64_t addr, size_t len)
{
	struct fns_guard g;

	if (len == 0)
		return 0;
	thread_enter();
	if (fns_guard_begin(&g)) {
		memcpy(dst, (const void *)(uintptr_t)addr, len);
		fns_guard_end();
		return 0;
	}
	return -EFAULT;
}

int fns_near_atomic(
	uint64_t addr, bool compare_swap, uint64_t swap_add, uint64_t compare, uint64_t *found)
{
	word64 *p = (word64 *)(uintptr_t)addr;
	struct fns_guard g;

	if (addr & 7)
		return -EINVAL;
	thread_enter();
	if (fns_guard_begin(&g)) {
		uint64_t old = compare;

		TSAN_TOUCH(p);
		if (compare_swap)
			__atomic_compare_exchange_n(
				p, &old, swap_add, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		else
			old = __atomic_fetch_add(p, swap_add, __ATOMIC_SEQ_CST);
		fns_guard_end();
		*found = old;
		return 0;
	}
	return -EFAULT;
}
