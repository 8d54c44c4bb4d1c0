/* SPDX-License-Identifier: Apache-2.0 */
/* Runs gnuplot for whoever draws. */
#include "cli/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

extern char **environ;

/* Starts gnuplot; 0 or errno. *in: where its script goes. */
static int start(int svg, FILE **in, pid_t *pid)
{
	char *argv[] = {"gnuplot", NULL};
	posix_spawn_file_actions_t fa;
	int fd[2], rc;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return errno;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fd[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&fa, svg, STDOUT_FILENO);
	rc = posix_spawnp(pid, "gnuplot", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(fd[0]);
	if (rc == 0 && !(*in = fdopen(fd[1], "w")))
		rc = errno;
	if (rc != 0)
		close(fd[1]);
	return rc;
}

int fns_cli_gnuplot(const char *path, void (*script)(FILE *out, const void *what), const void *what)
{
	int svg = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), rc, status = 0;
	FILE *in = NULL;
	pid_t pid;

	if (svg < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", path, strerror(errno));
	signal(SIGPIPE, SIG_IGN); /* gnuplot may end early; its status tells */
	rc = start(svg, &in, &pid);
	close(svg);
	if (rc != 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "--svg: gnuplot: %s%s", strerror(rc),
			rc == ENOENT ? " (package gnuplot-nox)" : "");
	script(in, what);
	fclose(in);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "--svg: gnuplot failed");
	return FNS_EXIT_OK;
}
