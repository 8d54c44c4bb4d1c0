/* SPDX-License-Identifier: Apache-2.0 */
/* flexins fault: faults in a running program. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "wire/fault.h"

#define COUNT_MAX 1000000ul

static const char help[] =
	"Usage: flexins fault set --pid=PID SPEC\n"
	"       flexins fault show --pid=PID\n"
	"       flexins fault clear --pid=PID\n"
	"       flexins fault inject --pid=PID --qp=N [--count=N] ERROR\n"
	"\n"
	"Disturb the network of a running program, or make one of its requests fail. `flexins run --fault`\n"
	"does the first from the start.\n"
	"\n"
	"SPEC is a list of KEY=VALUE, separated by commas:\n"
	"  loss=P%             packets lost\n"
	"  dup=P%              packets that arrive twice\n"
	"  corrupt=P%          packets with bits flipped, which the receiver drops for their ICRC\n"
	"  reorder=N[/P%]      P% (default: 1%) of packets are overtaken by up to N later ones\n"
	"  delay=T             all packets late by T, such as 50us or 2ms\n"
	"  jitter=T            and by up to T more, in order\n"
	"  flap=T/D            each T, nothing passes for D, such as 1s/50ms\n"
	"  seed=N              the same seed, the same faults (default: 1)\n"
	"  dir=tx|rx|both      packets sent, received or both (default)\n"
	"  peer=ADDRESS        only packets to and from this address\n"
	"  qp=N                only those of this queue pair of the program\n"
	"Several such lists are separated by ';': the first one that a packet matches decides.\n"
	"\n"
	"ERROR is what the next request on the queue pair completes with; the peer does not see it:\n"
	"  rnr                 receiver not ready, too often; --count=N: N times, then it passes\n"
	"  access              remote access error\n"
	"  invalid             remote invalid request error\n"
	"  operational         remote operation error\n"
	"  retry               no answer, too often\n"
	"\n"
	"Options:\n"
	"  --pid=PID   the program (`flexins status` lists them)\n"
	"  --qp=N      its queue pair, such as 0x050a11\n"
	"  --count=N   see rnr\n"
	"  --help      print this text\n"
	"\n"
	"Examples:\n"
	"  flexins fault set --pid=4711 'loss=1%,reorder=3,seed=7'\n"
	"  flexins fault set --pid=4711 'peer=192.0.2.7,delay=2ms;loss=0.1%'\n"
	"  flexins fault inject --pid=4711 --qp=0x050a11 access\n";

struct opts {
	long pid;
	uint32_t qpn, count;
};

/* 0; an exit code; or -1 when the help was asked for. */
static int parse(int argc, char **argv, struct opts *o)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'},
		{"qp", required_argument, NULL, 'q'},
		{"count", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			rc = fns_cli_remote_pid(optarg, &o->pid);
			break;
		case 'q':
			rc = fns_cli_remote_qpn(optarg, &o->qpn);
			break;
		case 'c':
			rc = fns_cli_number("--count", optarg, COUNT_MAX, &o->count);
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("fault", c, argv);
		}
	}
	return rc;
}

int fns_cli_check_fault(const char *name, const char *spec)
{
	struct fns_fault_spec parsed;
	char err[256];

	if (fns_fault_parse(spec, &parsed, err, sizeof(err)) < 0)
		return fns_cli_error(
			FNS_EXIT_USAGE, "%s: %s (`flexins fault --help` tells more)", name, err);
	return 0;
}

static bool is_error(const char *name)
{
	for (unsigned i = 0; i < FNS_FAULT_ERR_COUNT; i++)
		if (strcmp(name, fns_fault_error_name[i]) == 0)
			return true;
	return false;
}

int fns_cli_fault(int argc, char **argv)
{
	static const struct {
		const char *name;
		bool argument;
	} verbs[] = {{"set", true}, {"show", false}, {"clear", false}, {"inject", true}};
	struct fns_remote_msg msg = {0};
	struct opts o = {0};
	const char *verb, *arg;
	unsigned i;
	int rc = parse(argc, argv, &o);

	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (rc != 0)
		return rc;
	verb = optind < argc ? argv[optind++] : "";
	for (i = 0; i < FNS_ARRAY_SIZE(verbs) && strcmp(verb, verbs[i].name) != 0; i++)
		;
	if (i == FNS_ARRAY_SIZE(verbs))
		return fns_cli_error(FNS_EXIT_USAGE,
			"fault: expected set, show, clear or inject, not '%s'", verb);
	arg = optind < argc ? argv[optind++] : NULL;
	if (optind < argc || (arg != NULL) != verbs[i].argument)
		return fns_cli_error(FNS_EXIT_USAGE,
			"fault %s: expected %s; `flexins fault --help` tells more", verb,
			verbs[i].argument ? "one argument behind the options" : "options only");
	if (o.pid == 0)
		return fns_cli_error(FNS_EXIT_USAGE,
			"fault %s: which program? --pid=PID (`flexins status` lists them)", verb);
	if (strcmp(verb, "set") == 0)
		rc = fns_cli_check_fault("fault set", arg);
	if (strcmp(verb, "inject") == 0 && !is_error(arg))
		return fns_cli_error(FNS_EXIT_USAGE,
			"fault inject '%s': expected rnr, access, invalid, operational or retry",
			arg);
	if (strcmp(verb, "inject") == 0 && o.qpn == 0)
		return fns_cli_error(FNS_EXIT_USAGE,
			"fault inject: which queue pair? --qp=N (`flexins status` lists them)");
	if (rc != 0)
		return rc;
	snprintf(msg.verb, sizeof(msg.verb), "fault-%s", verb);
	snprintf(msg.text, sizeof(msg.text), "%s", arg != NULL ? arg : "");
	msg.qpn = o.qpn;
	msg.count = o.count;
	rc = fns_cli_remote_call(o.pid, &msg, -1);
	if (rc == 0 && msg.text[0] != '\0')
		puts(msg.text);
	return rc;
}
