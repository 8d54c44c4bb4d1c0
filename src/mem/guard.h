/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarded access to application memory: a SIGSEGV or SIGBUS inside a guarded section of this thread
 * ends the section with -EFAULT instead of the process. Other faults go to the handler that was
 * there before. Handlers are process-wide: the application may install its own later, so
 * registration calls fns_guard_install() again, which chains to the new one.
 */
#ifndef FNS_MEM_GUARD_H
#define FNS_MEM_GUARD_H

#include <setjmp.h>
#include <stddef.h>

struct fns_guard {
	sigjmp_buf env;
};

extern _Thread_local struct fns_guard *volatile fns_guard_active
	__attribute__((tls_model("initial-exec")));

/* Idempotent, thread-safe; a few hundred ns when already installed. 0 or negative errno. */
int fns_guard_install(void);
/*
 * Unblocks SIGSEGV and SIGBUS in the calling thread: the kernel kills a process that faults while
 * they are blocked, whatever the handler. Once per thread, before its first section.
 */
void fns_guard_thread_init(void);

/*
 * Usage (sections do not nest; variables changed inside and used after a fault must be volatile):
 *	struct fns_guard g;
 *	if (fns_guard_begin(&g)) { touch memory; fns_guard_end(); } else { it faulted; }
 */
#define fns_guard_begin(g)                                                                         \
	(sigsetjmp((g)->env, 0) == 0                                                               \
			? (fns_guard_active = (g), __atomic_signal_fence(__ATOMIC_SEQ_CST), 1)     \
			: 0)
#define fns_guard_end()                                                                            \
	do {                                                                                       \
		__atomic_signal_fence(__ATOMIC_SEQ_CST);                                           \
		fns_guard_active = NULL;                                                           \
	} while (0)

#endif
