/* SPDX-License-Identifier: Apache-2.0 */
/* flexins offload: handlers in a running program. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/remote.h"
#include "flexins/offload.h"

static const char help[] =
	"Usage: flexins offload list --pid=PID\n"
	"       flexins offload load --pid=PID FILE [NAME]\n"
	"       flexins offload bind --pid=PID --qp=QPN SERVICE HANDLER [WORD]...\n"
	"\n"
	"Offload handlers of a running program: code that answers requests of its clients beside the\n"
	"transport. list shows handlers and what became of their requests. load verifies and compiles an\n"
	"eBPF object file and makes it the handler NAME (the file's name without its ending unless said\n"
	"otherwise), in the place of the one of that name: requests from then on run it. bind makes a\n"
	"handler answer requests for SERVICE, a number, on one reliable connection.\n"
	"\n"
	"Words of bind (docs/adding-a-handler.md):\n"
	"  region=KEY:ADDRESS:BYTES[:RIGHTS]  memory that the handler may use, four times at most; RIGHTS\n"
	"                                     are of r (reads, the default), w (stores), a (atomics)\n"
	"  param=N                            a parameter of the handler, in order\n"
	"  depth=N max_request=N max_reply=N max_steps=N max_bytes=N max_ns=N   limits\n"
	"\n"
	"Options:\n"
	"  --pid=PID   the program (`flexins status` lists them)\n"
	"  --qp=QPN    the queue pair\n"
	"  --help      print this text\n"
	"\n"
	"Examples:\n"
	"  flexins offload list --pid=4711\n"
	"  flexins offload load --pid=4711 my-walk.o list-walk\n"
	"  flexins offload bind --pid=4711 --qp=0x050a11 1 list-walk region=0x51c2:0x7f0000000000:65536\n";

struct args {
	long pid;
	uint32_t qpn;
};

static int parse(int argc, char **argv, struct args *a)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'},
		{"qp", required_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			rc = fns_cli_remote_pid(optarg, &a->pid);
			break;
		case 'q':
			rc = fns_cli_remote_qpn(optarg, &a->qpn);
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("offload", c, argv);
		}
	}
	return rc;
}

static int list(const struct args *a, struct fns_remote_msg *msg)
{
	int rc = fns_cli_remote_call(a->pid, msg, -1);

	if (rc == 0)
		puts(msg->text);
	return rc;
}

/* FILE [NAME] */
static int load(const struct args *a, struct fns_remote_msg *msg, int argc, char **argv)
{
	const char *name = argv[0], *slash = strrchr(argv[0], '/'), *dot;
	int fd, rc, len;

	if (argc > 1) {
		name = argv[1];
		len = (int)strlen(name);
	} else {
		name = slash ? slash + 1 : name;
		dot = strrchr(name, '.');
		len = (int)(dot ? (size_t)(dot - name) : strlen(name));
	}
	if (len == 0 || len >= (int)FNS_OFFLOAD_NAME)
		return fns_cli_error(FNS_EXIT_USAGE,
			"offload load: a handler's name has 1 to %u characters, not '%.*s'",
			FNS_OFFLOAD_NAME - 1, len, name);
	snprintf(msg->text, sizeof(msg->text), "%.*s", len, name);
	fd = open(argv[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s: %s", argv[0], strerror(errno));
	rc = fns_cli_remote_call(a->pid, msg, fd);
	close(fd);
	return rc;
}

/* SERVICE HANDLER [WORD]... */
static int bind_to(const struct args *a, struct fns_remote_msg *msg, int argc, char **argv)
{
	size_t at = 0;

	if (a->qpn == 0)
		return fns_cli_error(FNS_EXIT_USAGE,
			"offload bind: which queue pair? --qp=QPN (`flexins status` lists them)");
	for (int i = 0; i < argc; i++) {
		int n = snprintf(
			msg->text + at, sizeof(msg->text) - at, "%s%s", i ? " " : "", argv[i]);

		if (n < 0 || (size_t)n >= sizeof(msg->text) - at)
			return fns_cli_error(FNS_EXIT_USAGE, "offload bind: too many words");
		at += (size_t)n;
	}
	msg->qpn = a->qpn;
	return fns_cli_remote_call(a->pid, msg, -1);
}

int fns_cli_offload(int argc, char **argv)
{
	static const struct {
		const char *verb, *wants;
		int min, max;
	} verbs[] = {
		{"list", "nothing", 0, 0},
		{"load", "FILE [NAME]", 1, 2},
		{"bind", "SERVICE HANDLER [WORD]...", 2, 64},
	};
	struct fns_remote_msg msg = {0};
	struct args a = {0};
	const char *verb;
	int rc = parse(argc, argv, &a);
	unsigned i;

	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (rc != 0)
		return rc;
	verb = optind < argc ? argv[optind++] : "";
	for (i = 0; i < 3 && strcmp(verb, verbs[i].verb) != 0; i++)
		;
	if (i == 3)
		return fns_cli_error(
			FNS_EXIT_USAGE, "offload: expected list, load or bind, not '%s'", verb);
	if (argc - optind < verbs[i].min || argc - optind > verbs[i].max)
		return fns_cli_error(FNS_EXIT_USAGE, "offload %s: expected %s behind the options",
			verb, verbs[i].wants);
	if (a.pid == 0)
		return fns_cli_error(FNS_EXIT_USAGE,
			"offload %s: which program? --pid=PID (`flexins status` lists them)", verb);
	snprintf(msg.verb, sizeof(msg.verb), "offload-%s", verb);
	if (i == 0)
		return list(&a, &msg);
	return i == 1 ? load(&a, &msg, argc - optind, argv + optind)
		      : bind_to(&a, &msg, argc - optind, argv + optind);
}
