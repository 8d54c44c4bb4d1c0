/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault guard. Owns the process's SIGSEGV and SIGBUS dispositions and, per signal, the list of
 * handlers that it has displaced, newest first. A fault inside a guarded section ends the section;
 * every other one runs the newest displaced handler under the conditions (mask, SA_NODEFER,
 * SA_RESETHAND, default action) that it would have met without us. Called by mem/near (sections)
 * and by whoever registers memory (install).
 *
 * An application's handler that was installed after ours may chain back to us. Then this thread
 * goes one step down the list instead of calling that handler again; see `chaining`.
 *
 * Known limit: an application that puts our handler back (from the oldact it was given) is not told
 * apart from one that never replaced it, so a handler that it displaced this way may still be
 * called.
 */
#include "mem/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "base/util.h"

/* Distinct handlers that an application may put in our place over its life, per signal. */
#define MAX_DISPLACED 16

struct displaced {
	struct sigaction act;              /* written once, before the node is linked */
	_Atomic(struct displaced *) older; /* writer: install, under its lock; read by handlers */
	atomic_bool spent;                 /* SA_RESETHAND: was called, acts as SIG_DFL now */
};

struct guarded_signal {
	int sig;
	_Atomic(struct displaced *) newest; /* release by install, acquire by handlers */
	unsigned used;                      /* of node[]; under the lock */
	struct displaced node[MAX_DISPLACED];
};

/*
 * Which displaced handler this thread is in. A second entry with the same context from a deeper
 * frame is that handler chaining back to us; a new fault has another context, or, if that handler
 * was left by longjmp and the signal stack is used again, the same frame.
 */
struct chaining {
	struct displaced *at;
	void *context;
	uintptr_t frame;
	int sig;
	unsigned depth;
};

_Thread_local struct fns_guard *volatile fns_guard_active
	__attribute__((tls_model("initial-exec")));
static _Thread_local struct chaining chaining __attribute__((tls_model("initial-exec")));

static struct guarded_signal guarded[] = {{.sig = SIGSEGV}, {.sig = SIGBUS}};
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

static struct guarded_signal *guarded_find(int sig)
{
	return sig == guarded[0].sig ? &guarded[0] : &guarded[1];
}

static void default_action(int sig, const siginfo_t *info)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	sigaction(sig, &dfl, NULL);
	/*
	 * After a fault, returning repeats the instruction and the kernel ends the process with the
	 * address in the core. A signal that somebody sent, or a memory error found in the
	 * background, does not come again by itself.
	 */
	if (info->si_code <= 0 || (sig == SIGBUS && info->si_code == BUS_MCEERR_AO))
		raise(sig);
}

static void call_displaced(struct displaced *d, int sig, siginfo_t *info, void *context)
{
	const struct sigaction *act = &d->act;
	sigset_t mask, before;

	if (act->sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	/* The kernel does not let a fault be ignored either. */
	if (act->sa_handler == SIG_IGN || act->sa_handler == SIG_DFL ||
		((act->sa_flags & (int)SA_RESETHAND) &&
			atomic_exchange_explicit(&d->spent, true, memory_order_relaxed))) {
		default_action(sig, info);
		return;
	}
	mask = act->sa_mask;
	if (!(act->sa_flags & SA_NODEFER))
		sigaddset(&mask, sig);
	pthread_sigmask(SIG_BLOCK, &mask, &before);
	if (act->sa_flags & SA_SIGINFO)
		act->sa_sigaction(sig, info, context);
	else
		act->sa_handler(sig);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct fns_guard *g = fns_guard_active;
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	struct chaining before = chaining;
	struct displaced *d;
	unsigned depth = 0;
	int saved_errno = errno;

	/* si_code > 0: from the kernel, for this instruction. A SIGSEGV sent by kill() says nothing
	 * about the section. */
	if (g && info->si_code > 0) {
		sigset_t both;

		/* We may have been called by an application's handler, under its mask. */
		if (context) {
			pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
		} else {
			sigemptyset(&both);
			sigaddset(&both, SIGSEGV);
			sigaddset(&both, SIGBUS);
			pthread_sigmask(SIG_UNBLOCK, &both, NULL);
		}
		fns_guard_active = NULL;
		errno = saved_errno;
		siglongjmp(g->env, 1);
	}

	if (before.at && before.sig == sig && before.context == context && frame < before.frame) {
		d = atomic_load_explicit(&before.at->older, memory_order_acquire);
		depth = before.depth + 1;
	} else {
		d = atomic_load_explicit(&guarded_find(sig)->newest, memory_order_acquire);
	}
	if (!d || depth >= MAX_DISPLACED) {
		default_action(sig, info);
		errno = saved_errno;
		return;
	}
	chaining = (struct chaining){d, context, frame, sig, depth};
	call_displaced(d, sig, info, context);
	chaining = before;
	errno = saved_errno;
}

static bool same_action(const struct sigaction *a, const struct sigaction *b)
{
	if (a->sa_sigaction != b->sa_sigaction || a->sa_flags != b->sa_flags)
		return false;
	for (int s = 1; s < NSIG; s++)
		if (sigismember(&a->sa_mask, s) != sigismember(&b->sa_mask, s))
			return false;
	return true;
}

/* Puts act in front, reusing its node if it was displaced before, so that taking turns costs no
 * nodes. */
static int displaced_push(struct guarded_signal *gs, const struct sigaction *act)
{
	struct displaced *head = atomic_load_explicit(&gs->newest, memory_order_relaxed);
	struct displaced *d = NULL, *above = NULL;

	for (struct displaced *it = head; it;
		above = it, it = atomic_load_explicit(&it->older, memory_order_relaxed)) {
		if (same_action(&it->act, act)) {
			d = it;
			break;
		}
	}
	if (d) {
		atomic_store_explicit(&d->spent, false, memory_order_relaxed);
		if (d == head)
			return 0;
		/* A handler running meanwhile may see the list as it was, as it is, or d twice:
		 * on_fault bounds its depth. */
		atomic_store_explicit(&above->older,
			atomic_load_explicit(&d->older, memory_order_relaxed),
			memory_order_release);
	} else {
		if (gs->used == MAX_DISPLACED)
			return -ENOSPC;
		d = &gs->node[gs->used++];
		d->act = *act;
	}
	atomic_store_explicit(&d->older, head, memory_order_release);
	atomic_store_explicit(&gs->newest, d, memory_order_release);
	return 0;
}

static int install_one(struct guarded_signal *gs)
{
	struct sigaction cur, ours;
	int rc;

	if (sigaction(gs->sig, NULL, &cur) != 0)
		return -errno;
	if ((cur.sa_flags & SA_SIGINFO) && cur.sa_sigaction == on_fault)
		return 0;
	rc = displaced_push(gs, &cur);
	if (rc != 0)
		return rc;
	memset(&ours, 0, sizeof(ours));
	ours.sa_sigaction = on_fault;
	ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
	sigemptyset(&ours.sa_mask);
	return sigaction(gs->sig, &ours, NULL) == 0 ? 0 : -errno;
}

int fns_guard_install(void)
{
	int rc = 0;

	pthread_mutex_lock(&install_lock);
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(guarded) && rc == 0; i++)
		rc = install_one(&guarded[i]);
	pthread_mutex_unlock(&install_lock);
	return rc;
}

void fns_guard_thread_init(void)
{
	sigset_t both;

	sigemptyset(&both);
	sigaddset(&both, SIGSEGV);
	sigaddset(&both, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &both, NULL);
}
