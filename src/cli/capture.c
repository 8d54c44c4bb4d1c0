/* SPDX-License-Identifier: Apache-2.0 */
/* flexins capture: captures in a running program; and the preparation of `flexins run --capture`.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/remote.h"

static const char help[] =
	"Usage: flexins capture start --pid=PID FILE\n"
	"       flexins capture stop --pid=PID\n"
	"\n"
	"Write what a running program sends and receives to FILE, in the pcapng format of Wireshark, with\n"
	"stamps in ns and, for packets that were dropped, a comment that says why. FILE '-' is standard\n"
	"output, which must not be a terminal. `flexins run --capture` does this from the start.\n"
	"\n"
	"Options:\n"
	"  --pid=PID   the program (`flexins status` lists them)\n"
	"  --help      print this text\n"
	"\n"
	"Examples:\n"
	"  flexins capture start --pid=4711 trouble.pcapng\n"
	"  flexins capture start --pid=4711 - | tshark -r -\n";

#define PCAPNG_MAGIC "\x0a\x0d\x0d\x0a"

/* May the file be replaced? Only if it is an old capture that nobody is writing. */
static int replaceable(int fd, const char *path)
{
	char magic[4] = "";
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0; /* a pipe or a terminal: nothing to lose */
	if (st.st_size > 0 && (pread(fd, magic, 4, 0) != 4 || memcmp(magic, PCAPNG_MAGIC, 4) != 0))
		return fns_cli_error(FNS_EXIT_FAILURE,
			"%s exists and is no capture: not overwritten; remove it or take another name",
			path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return fns_cli_error(
			FNS_EXIT_FAILURE, "%s: another capture is being written to it", path);
	return 0;
}

/* Opens for writing, empty; 0 and *fd, or an exit code. */
static int open_file(const char *path, int *fd)
{
	int rc;

	if (strcmp(path, "-") == 0) {
		if (isatty(STDOUT_FILENO))
			return fns_cli_error(FNS_EXIT_USAGE,
				"a capture is binary: redirect standard output to a file or a program");
		*fd = STDOUT_FILENO;
		return 0;
	}
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", path, strerror(errno));
	rc = replaceable(*fd, path);
	if (rc == 0 && ftruncate(*fd, 0) < 0 && errno != EINVAL)
		rc = fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", path, strerror(errno));
	return rc;
}

int fns_cli_set_capture(const char *path)
{
	char cwd[PATH_MAX], full[2 * PATH_MAX];
	int fd, rc;

	if (*path == '\0' || path[strlen(path) - 1] == '/')
		return fns_cli_error(FNS_EXIT_USAGE,
			"--capture='%s': expected the name of a file, such as trouble.pcapng",
			path);
	/* The program may change its directory before it opens a device. */
	if (*path == '/') {
		snprintf(full, sizeof(full), "%s", path);
	} else {
		if (getcwd(cwd, sizeof(cwd)) == NULL)
			return fns_cli_error(
				FNS_EXIT_FAILURE, "current directory: %s", strerror(errno));
		snprintf(full, sizeof(full), "%s/%s", cwd, path);
	}
	if (strlen(full) >= PATH_MAX - 32)
		return fns_cli_error(FNS_EXIT_USAGE, "--capture: the name is too long");
	if (strstr(full, "%p") == NULL) {
		/* An earlier capture makes room, so that the first process gets the name. */
		fd = open(full, O_RDWR | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", full, strerror(errno));
		if (fd >= 0) {
			rc = replaceable(fd, full);
			if (rc == 0)
				unlink(full);
			close(fd);
			if (rc != 0)
				return rc;
		}
		/* Better said now than by a program that finds no device. */
		fd = open(full, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", full, strerror(errno));
		close(fd);
		unlink(full);
	}
	setenv("FLEXINS_CAPTURE", full, 1);
	return 0;
}

static int parse(int argc, char **argv, long *pid)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			rc = fns_cli_remote_pid(optarg, pid);
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("capture", c, argv);
		}
	}
	return rc;
}

int fns_cli_capture(int argc, char **argv)
{
	struct fns_remote_msg msg = {0};
	const char *verb;
	long pid = 0;
	int fd = -1, rc = parse(argc, argv, &pid);
	bool start;

	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (rc != 0)
		return rc;
	verb = optind < argc ? argv[optind++] : "";
	start = strcmp(verb, "start") == 0;
	if (!start && strcmp(verb, "stop") != 0)
		return fns_cli_error(
			FNS_EXIT_USAGE, "capture: expected start or stop, not '%s'", verb);
	if (argc - optind != start)
		return fns_cli_error(FNS_EXIT_USAGE, "capture %s: expected %s behind the options",
			verb, start ? "one file" : "nothing");
	if (pid == 0)
		return fns_cli_error(FNS_EXIT_USAGE,
			"capture %s: which program? --pid=PID (`flexins status` lists them)", verb);
	if (start)
		rc = open_file(argv[optind], &fd);
	if (rc != 0)
		return rc;
	snprintf(msg.verb, sizeof(msg.verb), "capture-%s", verb);
	return fns_cli_remote_call(pid, &msg, fd);
}
