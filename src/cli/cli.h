/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands of `flexins` share. One thread; free to allocate; main() owns nothing beyond
 * argv. */
#ifndef FNS_CLI_CLI_H
#define FNS_CLI_CLI_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef FNS_VERSION
#define FNS_VERSION "0.1.0"
#endif

/* Exit codes, those of env(1) and nohup(1) where they have one. */
enum {
	FNS_EXIT_OK = 0,
	FNS_EXIT_FAILURE = 1,
	FNS_EXIT_USAGE = 2,
	FNS_EXIT_CANNOT_EXEC = 126,
	FNS_EXIT_NOT_FOUND = 127,
};

/* "flexins: ..." on stderr, one line. Never returns anything but `code`, so that a caller may
 * return it. */
int fns_cli_error(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A subcommand: argv[0] is its name. Returns the exit code. */
int fns_cli_bench(int argc, char **argv);
int fns_cli_capture(int argc, char **argv);
int fns_cli_cc(int argc, char **argv);
int fns_cli_set(int argc, char **argv);
int fns_cli_devices(int argc, char **argv);
int fns_cli_fault(int argc, char **argv);
int fns_cli_lab(int argc, char **argv);
int fns_cli_offload(int argc, char **argv);
int fns_cli_run(int argc, char **argv);
int fns_cli_status(int argc, char **argv);
int fns_cli_version(int argc, char **argv);

/* Option values that reach the libraries through the environment. 0, or an exit code after saying
 * what is wrong. */
int fns_cli_set_iface(const char *list);
int fns_cli_set_port(const char *text);
int fns_cli_set_capture(const char *path);
/* The same check for a value that came as `name`, which is "--port" or "FLEXINS_PORT". */
int fns_cli_check_port(const char *name, const char *text);
/* Is it a list of faults? name is where it came from. */
int fns_cli_check_fault(const char *name, const char *spec);
/* The value of an option, 1 to max. */
int fns_cli_number(const char *option, const char *text, unsigned long max, uint32_t *out);
/* Does somebody answer under the name of the service placement's engine, for FLEXINS_PORT? */
bool fns_cli_service_runs(void);
/* What getopt_long() has just called ':' or '?', as the user wrote it. Returns FNS_EXIT_USAGE. */
int fns_cli_bad_option(const char *command, int c, char **argv);

/* Writes text as a JSON string with its quotes. Bytes outside ASCII go out as they are. */
void fns_cli_json_string(const char *text);

/* Where FlexiNS's own files are, in a build directory or installed. See paths.c. */
struct fns_cli_paths {
	char libdirs[3 * PATH_MAX]; /* for LD_LIBRARY_PATH */
	char ibverbs[PATH_MAX], rdmacm[PATH_MAX], shim[PATH_MAX];
	char daemon[PATH_MAX]; /* "": not beside us */
};

/* 0, or an exit code after saying what is missing. */
int fns_cli_paths_find(struct fns_cli_paths *out);

#endif
