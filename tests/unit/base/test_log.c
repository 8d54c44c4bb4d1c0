/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: prefix, level, one line whatever the arguments hold, errno kept. Assertions: the
 * message and the abort. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"

/* Runs fn in a child with its stderr in a pipe and FLEXINS_LOG set (the level is read once per
 * process). Returns wait status. */
static int stderr_of(void (*fn)(void), const char *level, char *buf, size_t size)
{
	size_t len = 0;
	int fds[2], status;
	pid_t pid;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static const struct rlimit no_core;

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		if (level)
			setenv("FLEXINS_LOG", level, 1);
		else
			unsetenv("FLEXINS_LOG");
		fn();
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void log_each(void)
{
	fns_log(FNS_LOG_ERROR, "e%d", 1);
	fns_log(FNS_LOG_WARN, "w%d", 2);
	fns_log(FNS_LOG_INFO, "i%d\n", 3);
	fns_log(FNS_LOG_DEBUG, "d%d", 4);
}

static void level_selects(void **state)
{
	char buf[4096];

	(void)state;
	assert_int_equal(stderr_of(log_each, NULL, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "flexins: e1\n");
	stderr_of(log_each, "nonsense", buf, sizeof(buf));
	assert_string_equal(buf, "flexins: e1\n");
	stderr_of(log_each, "warn", buf, sizeof(buf));
	assert_string_equal(buf, "flexins: e1\nflexins: w2\n");
	stderr_of(log_each, "debug", buf, sizeof(buf));
	assert_string_equal(buf, "flexins: e1\nflexins: w2\nflexins: i3\nflexins: d4\n");
}

static void log_hostile(void)
{
	static char big[5000];

	memset(big, 'x', sizeof(big) - 1);
	errno = ENOENT;
	fns_log(FNS_LOG_ERROR, "%s: %m", "a\nflexins: forged\x1b[2J");
	if (errno != ENOENT)
		_exit(1);
	fns_log(FNS_LOG_ERROR, "%s", big);
}

static void one_line_each(void **state)
{
	static const char first[] = "flexins: a flexins: forged [2J: No such file or directory\n";
	char buf[8192];
	size_t len;

	(void)state;
	assert_int_equal(stderr_of(log_hostile, NULL, buf, sizeof(buf)), 0);
	assert_memory_equal(buf, first, sizeof(first) - 1);
	len = strlen(buf + sizeof(first) - 1);
	assert_in_range(len, 512, 1024);
	assert_ptr_equal(strchr(buf + sizeof(first) - 1, '\n'), buf + sizeof(first) - 1 + len - 1);
}

static void fail_assertion(void)
{
	fns_assert(1 + 1 == 2);
	fns_assert(1 + 1 == 3);
}

static void assertion_names_itself_and_aborts(void **state)
{
	char buf[4096];
	int status;

	(void)state;
	status = stderr_of(fail_assertion, NULL, buf, sizeof(buf));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(buf, "1 + 1 == 3"));
	assert_non_null(strstr(buf, "test_log.c:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(level_selects),
		cmocka_unit_test(one_line_each),
		cmocka_unit_test(assertion_names_itself_and_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
