/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting flexinsd from inside an application that must not notice: no SIGCHLD, nothing for its
 * wait() to reap, no descriptor of it held open (or `$(flexins run ...)` would hang), no copy of
 * its page tables (it may have gigabytes registered).
 *
 * So: clone() with CLONE_VM and CLONE_VFORK and no exit signal makes a child that only __WCLONE
 * waits for see; it does the same once more and leaves; the grandchild, by then the init process's,
 * executes the daemon. Doing both before exec matters, because exec resets the exit signal to
 * SIGCHLD. Called by client.c.
 */
#include "keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

#define ARGS_MAX      16
#define STACK_BYTES   (64u * 1024)
#define FDS_MAX_PLAIN 65536 /* closed one by one where close_range is missing */

/* Everything that the child needs, made before clone(): it shares our memory and may not allocate.
 */
struct spawn {
	const char *path;
	char *argv[ARGS_MAX + 5];
	char **envp;
	int ready_fd, vault_fd;
	char *stack;
	int error; /* errno of the grandchild's failure, written before it leaves */
};

/* The search path by rank: FLEXINS_DAEMON, beside whoever runs us, PATH. Not the environment in a
 * set-uid program. */
static int find_daemon(const char *dir, char *path, size_t len, char *err, size_t errlen)
{
	const char *env = secure_getenv("FLEXINS_DAEMON"), *search = secure_getenv("PATH");

	if (env && *env) {
		snprintf(path, len, "%s", env);
		if (access(path, X_OK) == 0)
			return 0;
		snprintf(err, errlen, "FLEXINS_DAEMON=%s cannot be executed: %s", env,
			strerror(errno));
		return -ENOENT;
	}
	if (dir && (size_t)snprintf(path, len, "%s/flexinsd", dir) < len && access(path, X_OK) == 0)
		return 0;
	while (search && *search) {
		size_t n = strcspn(search, ":");

		if (n && (size_t)snprintf(path, len, "%.*s/flexinsd", (int)n, search) < len &&
			access(path, X_OK) == 0)
			return 0;
		search += n + (search[n] == ':');
	}
	snprintf(err, errlen,
		"flexinsd is not beside the library%s%s%s nor in PATH; install it or set FLEXINS_DAEMON",
		dir ? " (" : "", dir ? dir : "", dir ? ")" : "");
	return -ENOENT;
}

/* Not _exit(): sanitizers act on calls that never return, and would take this stack for the
 * thread's. */
static void leave(void)
{
	syscall(SYS_exit_group, 0);
}

static int grandchild(void *arg)
{
	struct spawn *s = arg;
	int null, last = s->vault_fd >= 0 ? FNS_KEEPER_VAULT_FD : FNS_KEEPER_READY_FD;

	/* High numbers first, so that no dup2 below overwrites a descriptor that is still to be
	 * copied. */
	int ready = fcntl(s->ready_fd, F_DUPFD, 16);
	int vault = s->vault_fd >= 0 ? fcntl(s->vault_fd, F_DUPFD, 16) : -1;

	null = open("/dev/null", O_RDWR);
	if (ready < 0 || null < 0 || (s->vault_fd >= 0 && vault < 0))
		goto fail;
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
		dup2(ready, FNS_KEEPER_READY_FD) < 0 ||
		(vault >= 0 && dup2(vault, FNS_KEEPER_VAULT_FD) < 0))
		goto fail;
	if (syscall(SYS_close_range, last + 1, ~0u, 0) < 0)
		for (int fd = last + 1; fd < FDS_MAX_PLAIN; fd++)
			close(fd);
	if (chdir("/") < 0)
		goto fail;
	execve(s->path, s->argv, s->envp);
fail:
	s->error = errno;
	leave();
	return 127;
}

static int child(void *arg)
{
	struct spawn *s = arg;

	setsid();
	if (clone(grandchild, s->stack + STACK_BYTES, CLONE_VM | CLONE_VFORK, s) < 0)
		s->error = errno;
	leave();
	return 0;
}

static int launch(struct spawn *s)
{
	sigset_t all, old;
	int saved, pid;

	s->stack = mmap(NULL, 2 * STACK_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (s->stack == MAP_FAILED)
		return -errno;
	/* A handler of the application's must not run in a child that shares its memory. main.c of
	 * the daemon unblocks. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(child, s->stack + 2 * STACK_BYTES, CLONE_VM | CLONE_VFORK, s);
	saved = pid < 0 ? errno : 0;
	if (pid > 0)
		while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	munmap(s->stack, 2 * STACK_BYTES);
	return saved ? -saved : -s->error;
}

/* Reads the daemon's verdict. */
static int await(int fd, const char *path, unsigned timeout_ms, char *err, size_t errlen)
{
	uint64_t deadline = fns_clock_now_ns() + (uint64_t)timeout_ms * FNS_NSEC_PER_MSEC;
	char text[256];
	size_t got = 0;

	for (;;) {
		uint64_t now = fns_clock_now_ns();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (now >= deadline) {
			snprintf(err, errlen, "%s did not become ready within %u ms", path,
				timeout_ms);
			return -ETIMEDOUT;
		}
		if (poll(&p, 1, (int)FNS_DIV_UP(deadline - now, FNS_NSEC_PER_MSEC)) <= 0)
			continue;
		n = read(fd, text + got, sizeof(text) - 1 - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			got += (size_t)n;
		if (got && (text[0] == FNS_KEEPER_READY || text[0] == FNS_KEEPER_BUSY))
			return 0;
		if (n > 0 && got < sizeof(text) - 1)
			continue;
		text[got] = 0;
		if (got > 1)
			snprintf(err, errlen, "%s", text + 1);
		else
			snprintf(err, errlen,
				"%s ended before it was ready; run it with --foreground to see why",
				path);
		return -EIO;
	}
}

/* The environment without LD_PRELOAD: what the launcher preloads is meant for applications. */
static char **make_env(void)
{
	size_t n = 0, k = 0;
	char **out;

	while (environ && environ[n])
		n++;
	out = calloc(n + 1, sizeof(*out));
	for (size_t i = 0; out && i < n; i++)
		if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
			out[k++] = environ[i];
	return out;
}

int fns_keeper_spawn(const char *daemon_dir, uint16_t port, int vault, const char *args,
	unsigned timeout_ms, char *err, size_t errlen)
{
	char path[PATH_MAX], port_arg[24], ready_arg[24], vault_arg[24], more[176], *save;
	struct spawn s = {.path = path, .vault_fd = vault};
	int pipefd[2], n = 0, rc, cancel;

	rc = find_daemon(daemon_dir, path, sizeof(path), err, errlen);
	if (rc)
		return rc;
	snprintf(port_arg, sizeof(port_arg), "--port=%u", (unsigned)port);
	snprintf(ready_arg, sizeof(ready_arg), "--ready-fd=%d", FNS_KEEPER_READY_FD);
	snprintf(vault_arg, sizeof(vault_arg), "--vault-fd=%d", FNS_KEEPER_VAULT_FD);
	s.argv[n++] = path;
	s.argv[n++] = port_arg;
	s.argv[n++] = ready_arg;
	if (vault >= 0)
		s.argv[n++] = vault_arg;
	snprintf(more, sizeof(more), "%s", args ? args : "");
	for (char *p = strtok_r(more, " ", &save); p && n < ARGS_MAX + 4;
		p = strtok_r(NULL, " ", &save))
		s.argv[n++] = p;
	s.argv[n] = NULL;
	s.envp = make_env();
	if (!s.envp || pipe2(pipefd, O_CLOEXEC) < 0) {
		rc = s.envp ? -errno : -ENOMEM;
		free(s.envp);
		snprintf(err, errlen, "starting flexinsd: %s", strerror(-rc));
		return rc;
	}
	s.ready_fd = pipefd[1];
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	rc = launch(&s);
	free(s.envp);
	close(pipefd[1]);
	if (rc)
		snprintf(err, errlen, "cannot start %s: %s", path, strerror(-rc));
	else
		rc = await(pipefd[0], path, timeout_ms, err, errlen);
	close(pipefd[0]);
	pthread_setcancelstate(cancel, NULL);
	return rc;
}
