/* SPDX-License-Identifier: Apache-2.0 */
/* flexins cc: which congestion controls there are, here and in running programs; loads more. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cc/load.h"
#include "cc/rule.h"
#include "cli/cc.h"
#include "cli/cli.h"
#include "cli/remote.h"

static const char help[] =
	"Usage: flexins cc list [--pid=PID | FILE]\n"
	"       flexins cc load [--pid=PID] FILE\n"
	"\n"
	"List the congestion controls of reliable connections with their parameters: the built-in ones; or\n"
	"what a program has loaded; or what is in FILE. Or load FILE into running programs (default: all of\n"
	"yours in this network namespace), whose queue pairs can have it from then on: `flexins set`.\n"
	"\n"
	"FILE is a shared object (cc -shared), which becomes part of the program and can do all that it can;\n"
	"or an eBPF object (clang -target bpf), which is verified first and cannot.\n"
	"\n"
	"Options:\n"
	"  --pid=PID  the program (`flexins status` lists them)\n"
	"  --help     print this text\n"
	"\n"
	"Examples:\n"
	"  flexins cc load ./mine.o\n"
	"  flexins set --qp=0x050a11 --cc=mine:target_us=50\n"
	"  flexins run --cc=./mine.o:target_us=50 -- ib_write_bw -d flexins0\n";

static void print_one(const struct fns_cc_ops *ops)
{
	printf("%s\n    %s\n", ops->name, ops->text);
	for (uint32_t i = 0; i < ops->nparams; i++) {
		const struct fns_cc_param *p = &ops->params[i];

		printf("    %-16s %s, in %s: %llu (%llu to %llu)\n", p->name, p->text, p->unit,
			(unsigned long long)p->def, (unsigned long long)p->min,
			(unsigned long long)p->max);
	}
}

static int list(long pid, const char *file)
{
	struct fns_remote_msg msg = {.verb = "cc-list"};
	const struct fns_cc_ops *ops;
	char err[512];
	int rc;

	if (pid) {
		rc = fns_cli_remote_call(pid, &msg, -1);
		if (rc == 0)
			puts(msg.text[0] ? msg.text : "nothing loaded");
		return rc;
	}
	if (file) {
		ops = fns_cc_load_path(file, err, sizeof(err));
		if (!ops)
			return fns_cli_error(FNS_EXIT_FAILURE, "%s", err);
		print_one(ops);
		return FNS_EXIT_OK;
	}
	for (unsigned i = 0; (ops = fns_cc_at(i)) != NULL; i++)
		print_one(ops);
	return FNS_EXIT_OK;
}

int fns_cli_cc_send(long pid, int fd, const char *file, bool quiet)
{
	struct fns_remote_msg msg = {.verb = "cc-load"};
	int rc;

	snprintf(msg.text, sizeof(msg.text), "%s", file);
	rc = fns_cli_remote_call(pid, &msg, fd);
	if (rc == 0 && !quiet)
		printf("pid %ld: %s\n", pid, msg.text);
	return rc;
}

static int load(long pid, const char *file)
{
	long pids[FNS_CLI_PROGRAMS] = {pid};
	unsigned n = 1;
	char err[512];
	int fd, rc = 0;

	/* What is wrong with it is said once, before any program is bothered. */
	if (!fns_cc_load_path(file, err, sizeof(err)))
		return fns_cli_error(FNS_EXIT_FAILURE, "%s", err);
	if (!pid)
		rc = fns_cli_remote_programs(0, pids, &n);
	if (rc != 0)
		return rc;
	if (n == 0)
		return fns_cli_error(FNS_EXIT_FAILURE,
			"no program uses FlexiNS here; to start one with it: flexins run --cc=%s%s -- ...",
			strchr(file, '/') ? "" : "./", file);
	fd = fns_cc_load_seal(file, err, sizeof(err));
	if (fd < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", file, err);
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = fns_cli_cc_send(pids[i], fd, file, false);
	close(fd);
	return rc;
}

int fns_cli_cc_read(const char *option, const char *given, char text[static 512], int *fd,
	char file[static 256])
{
	size_t n = fns_cc_path_length(given);
	struct fns_cc_choice c;
	char err[512];

	*fd = -1;
	if (n >= 256)
		return fns_cli_error(
			FNS_EXIT_USAGE, "%s: the name of the file is too long", option);
	if (!n) {
		/* What is not known here may be loaded there. */
		snprintf(text, 512, "%s", given);
		for (unsigned i = 0; fns_cc_at(i); i++) {
			const char *name = fns_cc_at(i)->name;

			if (strncmp(given, name, strlen(name)) == 0 &&
				strchr(":", given[strlen(name)]) &&
				!fns_cc_parse(given, &c, err, sizeof(err)))
				return fns_cli_error(FNS_EXIT_USAGE, "%s: %s", option, err);
		}
		return 0;
	}
	if (!fns_cc_choose_path(given, &c, err, sizeof(err)))
		return fns_cli_error(FNS_EXIT_USAGE, "%s: %s", option, err);
	memcpy(file, given, n);
	file[n] = '\0';
	snprintf(text, 512, "%s%s", c.ops->name, given + n);
	*fd = fns_cc_load_seal(file, err, sizeof(err));
	if (*fd < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", file, err);
	return 0;
}

int fns_cli_cc(int argc, char **argv)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *verb, *file;
	long pid = 0;
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			rc = fns_cli_remote_pid(optarg, &pid);
			break;
		case 'h':
			fputs(help, stdout);
			return FNS_EXIT_OK;
		default:
			return fns_cli_bad_option("cc", c, argv);
		}
	}
	if (rc != 0)
		return rc;
	verb = optind < argc ? argv[optind++] : "";
	file = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return fns_cli_error(
			FNS_EXIT_USAGE, "cc: one file at a time, not also '%s'", argv[optind]);
	if (strcmp(verb, "list") == 0 && !(pid && file))
		return list(pid, file);
	if (strcmp(verb, "load") == 0 && file)
		return load(pid, file);
	return fns_cli_error(FNS_EXIT_USAGE,
		"cc: expected `list`, `list --pid=PID`, `list FILE` or `load FILE` (`flexins cc --help`)");
}
