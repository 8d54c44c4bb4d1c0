/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of mem/guard. Each runs in a child of its own, because signal dispositions and the list of
 * displaced handlers are the process's and because some end by a signal.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "mem/guard.h"

/* ThreadSanitizer has a mask of its own while a handler runs. */
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

static uint8_t *bad; /* a page without rights */

/* Exits with the line of the first thing that is not so: cmocka's own would unwind into the
 * parent's copy. */
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			give_up(__LINE__, #x);                                                     \
	} while (0)

static void give_up(int line, const char *what)
{
	dprintf(2, "line %d: %s\n", line, what);
	_exit(1);
}

static int run(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL); /* cmocka has its own around each test */
		signal(SIGBUS, SIG_DFL);
		alarm(60);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_exit(void (*body)(void))
{
	int status = run(body);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void expect_signal(void (*body)(void), int sig)
{
	int status = run(body);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), sig);
}

__attribute__((no_sanitize("address", "thread"), noinline)) static void poke(uint8_t *p)
{
	*(volatile uint8_t *)p = 1;
}

/* Whether the guard caught the fault. */
static bool guarded_poke(void)
{
	struct fns_guard g;

	if (fns_guard_begin(&g)) {
		poke(bad);
		fns_guard_end();
		return false;
	}
	MUST(fns_guard_active == NULL);
	return true;
}

static sigjmp_buf escape;
static volatile sig_atomic_t calls_a, calls_b, last_code;
static void *volatile last_addr;
static struct sigaction old_b;

static void handler_a(int sig, siginfo_t *info, void *context)
{
	calls_a++;
	last_addr = info->si_addr;
	last_code = info->si_code;
	siglongjmp(escape, 1);
}

static void handler_plain(int sig)
{
	calls_a++;
	siglongjmp(escape, 1);
}

/* Chains to what it displaced, as a crash reporter does. */
static void handler_b(int sig, siginfo_t *info, void *context)
{
	calls_b++;
	MUST(calls_b < 100);
	if (old_b.sa_flags & SA_SIGINFO)
		old_b.sa_sigaction(sig, info, context);
	else
		MUST(0);
}

static void set(int sig, void (*fn)(int, siginfo_t *, void *), int flags, struct sigaction *old)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = fn;
	sa.sa_flags = SA_SIGINFO | flags;
	MUST(sigaction(sig, &sa, old) == 0);
}

static void poke_escaping(void)
{
	if (sigsetjmp(escape, 1) == 0) {
		poke(bad);
		MUST(0);
	}
}

static void sections(void)
{
	struct sigaction first, second;
	struct fns_guard g;

	MUST(fns_guard_install() == 0);
	MUST(sigaction(SIGSEGV, NULL, &first) == 0);
	MUST(fns_guard_install() == 0);
	MUST(sigaction(SIGSEGV, NULL, &second) == 0);
	MUST(first.sa_sigaction == second.sa_sigaction);
	MUST((first.sa_flags & (SA_SIGINFO | SA_NODEFER | SA_ONSTACK)) ==
		(SA_SIGINFO | SA_NODEFER | SA_ONSTACK));
	for (unsigned i = 0; i < 10000; i++)
		MUST(guarded_poke());
	MUST(fns_guard_begin(&g));
	fns_guard_end();
	MUST(fns_guard_active == NULL);
}

static void test_sections(void **state)
{
	expect_exit(sections);
}

static void unguarded_default(void)
{
	MUST(fns_guard_install() == 0);
	MUST(guarded_poke());
	poke(bad);
}

static void ignored_fault(void)
{
	signal(SIGSEGV, SIG_IGN);
	MUST(fns_guard_install() == 0);
	raise(SIGSEGV); /* sent: ignored as the application wants */
	poke(bad);      /* a fault cannot be */
}

static void sent_default(void)
{
	MUST(fns_guard_install() == 0);
	kill(getpid(), SIGBUS);
	MUST(0);
}

/* A SIGSEGV that somebody sent is none of the section's business. */
static void sent_in_section(void)
{
	struct fns_guard g;

	set(SIGSEGV, handler_a, 0, NULL);
	MUST(fns_guard_install() == 0);
	if (sigsetjmp(escape, 1) == 0) {
		if (fns_guard_begin(&g)) {
			raise(SIGSEGV);
			MUST(0);
		}
		MUST(0);
	}
	MUST(calls_a == 1 && last_code <= 0);
}

static void test_default(void **state)
{
	expect_signal(unguarded_default, SIGSEGV);
	expect_signal(ignored_fault, SIGSEGV);
	expect_signal(sent_default, SIGBUS);
	expect_exit(sent_in_section);
}

static void handler_before(void)
{
	set(SIGSEGV, handler_a, 0, NULL);
	MUST(fns_guard_install() == 0);
	for (int i = 1; i <= 3; i++) {
		poke_escaping();
		MUST(calls_a == i && last_addr == bad && last_code > 0);
		MUST(guarded_poke() && calls_a == i);
	}
}

static void handler_without_siginfo(void)
{
	signal(SIGSEGV, handler_plain);
	MUST(fns_guard_install() == 0);
	poke_escaping();
	MUST(calls_a == 1);
	MUST(guarded_poke());
}

static void handler_once(void)
{
	set(SIGSEGV, handler_a, (int)SA_RESETHAND, NULL);
	MUST(fns_guard_install() == 0);
	poke_escaping();
	MUST(calls_a == 1);
	MUST(guarded_poke());
	poke_escaping();
}

/* The handler runs with its signal blocked, as it would without us; a second fault in it is the
 * end. */
static void check_mask(int sig, siginfo_t *info, void *context)
{
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	MUST(sigismember(&now, SIGSEGV) && sigismember(&now, SIGUSR1) &&
		!sigismember(&now, SIGBUS));
	calls_a++;
	siglongjmp(escape, 1);
}

static void handler_mask(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = check_mask;
	sa.sa_flags = SA_SIGINFO;
	sigaddset(&sa.sa_mask, SIGUSR1);
	MUST(sigaction(SIGSEGV, &sa, NULL) == 0);
	MUST(fns_guard_install() == 0);
	poke_escaping();
	MUST(calls_a == 1);
}

static void test_application_handler(void **state)
{
	expect_exit(handler_before);
	expect_exit(handler_without_siginfo);
	expect_signal(handler_once, SIGSEGV);
	if (!UNDER_TSAN)
		expect_exit(handler_mask);
}

static void replaced(void)
{
	MUST(fns_guard_install() == 0);
	set(SIGSEGV, handler_a, 0, NULL);
	MUST(fns_guard_install() == 0);
	MUST(guarded_poke());
	MUST(calls_a == 0);
	poke_escaping();
	MUST(calls_a == 1);
}

/* Not installed again yet: its handler is first, and hands the section's fault on to us under its
 * own mask. */
static void replaced_chaining(void)
{
	MUST(fns_guard_install() == 0);
	set(SIGSEGV, handler_b, 0, &old_b);
	for (int i = 1; i <= 5; i++)
		MUST(guarded_poke() && calls_b == i);
}

/* We -> B -> we -> A: each once, in this order, though B's "old" is us. */
static void no_cycle(void)
{
	set(SIGSEGV, handler_a, 0, NULL);
	MUST(fns_guard_install() == 0);
	set(SIGSEGV, handler_b, 0, &old_b);
	MUST(fns_guard_install() == 0);
	for (int i = 1; i <= 5; i++) {
		poke_escaping();
		MUST(calls_b == i && calls_a == i);
		MUST(guarded_poke());
		MUST(calls_b == i && calls_a == i);
	}
}

static void no_cycle_default(void)
{
	MUST(fns_guard_install() == 0);
	set(SIGSEGV, handler_b, 0, &old_b);
	MUST(fns_guard_install() == 0);
	poke(bad);
}

/* The same on a signal stack: each fault finds the same addresses there, left by longjmp the time
 * before. */
static void no_cycle_signal_stack(void)
{
	stack_t ss = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};

	MUST(ss.ss_sp && sigaltstack(&ss, NULL) == 0);
	no_cycle();
}

/* Two handlers taking turns need no more room than two. */
static void turns(void)
{
	for (int i = 1; i <= 100; i++) {
		if (i & 1)
			set(SIGSEGV, handler_a, 0, NULL);
		else
			signal(SIGSEGV, handler_plain);
		MUST(fns_guard_install() == 0);
		poke_escaping();
		MUST(calls_a == i);
		MUST(guarded_poke());
	}
}

static void test_replaced(void **state)
{
	expect_exit(replaced);
	expect_exit(replaced_chaining);
	expect_exit(no_cycle);
	expect_signal(no_cycle_default, SIGSEGV);
	expect_exit(no_cycle_signal_stack);
	expect_exit(turns);
}

static atomic_uint caught;

static void *many_faults(void *arg)
{
	for (unsigned i = 0; i < 2000; i++) {
		MUST(guarded_poke());
		atomic_fetch_add(&caught, 1);
		if (i % 100 == 0)
			MUST(fns_guard_install() == 0);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t th[4];

	MUST(fns_guard_install() == 0);
	for (unsigned i = 0; i < 4; i++)
		MUST(pthread_create(&th[i], NULL, many_faults, NULL) == 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	MUST(atomic_load(&caught) == 8000);
}

static void *wait_in_section(void *arg)
{
	struct fns_guard g;

	if (fns_guard_begin(&g)) {
		atomic_store(&caught, 1);
		while (atomic_load(&caught) != 2)
			;
		fns_guard_end();
		return NULL;
	}
	MUST(0);
	return NULL;
}

/* One thread's section does not cover another's fault. */
static void other_threads_section(void)
{
	pthread_t th;

	set(SIGSEGV, handler_a, 0, NULL);
	MUST(fns_guard_install() == 0);
	MUST(pthread_create(&th, NULL, wait_in_section, NULL) == 0);
	while (atomic_load(&caught) != 1)
		;
	poke_escaping();
	MUST(calls_a == 1);
	atomic_store(&caught, 2);
	pthread_join(th, NULL);
}

static void test_threads(void **state)
{
	expect_exit(threads);
	expect_exit(other_threads_section);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_application_handler),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_threads),
	};

	bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return bad == MAP_FAILED || cmocka_run_group_tests(tests, NULL, NULL);
}
