/* SPDX-License-Identifier: Apache-2.0 */
/* flexins set: another congestion control for queue pairs of running programs. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cc/rule.h"
#include "cli/cc.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "verbs/netdev.h"

static const char help[] =
	"Usage: flexins set [--pid=PID] [--qp=N | --peer=ADDRESS | --device=NAME] --cc=NAME[:PARAM=N,...]\n"
	"\n"
	"Change the congestion control of reliable connections while they are in use: of one queue pair; of\n"
	"all those to one peer or on one device, and of those that will be connected so; or of all, those to\n"
	"come included. What is in flight is carried, nothing is lost. What was set last wins; for all of\n"
	"them, it forgets what was set for peers and devices. A queue pair that --qp named keeps its own when\n"
	"it is connected again.\n"
	"\n"
	"Options:\n"
	"  --cc=NAME[:PARAM=N,...]  built in (`flexins cc list`), or loaded by the program\n"
	"  --cc=FILE[:PARAM=N,...]  loads it first; FILE has a '/' in it\n"
	"  --qp=N                   a queue pair, such as 0x050a11 (`flexins status` lists them)\n"
	"  --peer=ADDRESS           queue pairs that are connected to this address\n"
	"  --device=NAME            queue pairs of this device (`flexins devices`) or network interface\n"
	"  --pid=PID                only of this program (default: all of yours in this network namespace)\n"
	"  --help                   print this text\n"
	"\n"
	"Examples:\n"
	"  flexins set --qp=0x050a11 --cc=dcqcn\n"
	"  flexins set --peer=192.0.2.7 --cc=swift:target_us=40\n"
	"  flexins set --pid=4711 --cc=./mine.o\n";

struct opts {
	long pid;
	uint32_t qpn;
	char who[96]; /* "peer=ADDRESS:" or "iface=NAME:" or nothing */
	const char *cc;
};

static int set_peer(const char *text, struct opts *o)
{
	struct fns_cc_who who;
	char err[256], rule[sizeof(o->who) + 1];

	snprintf(o->who, sizeof(o->who), strchr(text, ':') ? "peer=[%.60s]:" : "peer=%.60s:", text);
	snprintf(rule, sizeof(rule), "%sx", o->who);
	if (!fns_cc_who_parse(rule, &who, err, sizeof(err)))
		return fns_cli_error(FNS_EXIT_USAGE,
			"--peer='%.80s': expected an address, such as 192.0.2.7 or 2001:db8::7",
			text);
	return 0;
}

/* A device's interface; or the interface itself. */
static int set_device(const char *text, struct opts *o)
{
	static struct fns_netdev dev[FNS_MAX_DEVICES];
	unsigned n = fns_netdev_discover(dev, FNS_MAX_DEVICES);
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "flexins%u", i);
		if (strcmp(text, name) == 0)
			text = dev[i].name;
	}
	if (if_nametoindex(text) == 0)
		return fns_cli_error(FNS_EXIT_USAGE,
			"--device='%.40s': expected a device (`flexins devices` lists them) or a network interface",
			text);
	snprintf(o->who, sizeof(o->who), "iface=%.15s:", text);
	return 0;
}

/* 0; an exit code; or -1 when the help was asked for. */
static int parse(int argc, char **argv, struct opts *o)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'},
		{"qp", required_argument, NULL, 'q'},
		{"peer", required_argument, NULL, 'a'},
		{"device", required_argument, NULL, 'd'},
		{"cc", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0, chosen = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		chosen += c == 'q' || c == 'a' || c == 'd';
		switch (c) {
		case 'p':
			rc = fns_cli_remote_pid(optarg, &o->pid);
			break;
		case 'q':
			rc = fns_cli_remote_qpn(optarg, &o->qpn);
			break;
		case 'a':
			rc = set_peer(optarg, o);
			break;
		case 'd':
			rc = set_device(optarg, o);
			break;
		case 'c':
			o->cc = optarg;
			break;
		case 'h':
			return -1;
		default:
			return fns_cli_bad_option("set", c, argv);
		}
	}
	if (rc == 0 && optind < argc)
		rc = fns_cli_error(
			FNS_EXIT_USAGE, "set takes options only, not '%s'", argv[optind]);
	if (rc == 0 && chosen > 1)
		rc = fns_cli_error(FNS_EXIT_USAGE, "set: one of --qp, --peer and --device");
	if (rc == 0 && (!o->cc || !*o->cc))
		rc = fns_cli_error(FNS_EXIT_USAGE,
			"set: what? --cc=NAME[:PARAM=N,...] (`flexins cc list` shows them)");
	return rc;
}

static int set_one(long pid, const struct opts *o, const char *cc)
{
	struct fns_remote_msg msg = {.verb = "cc-set", .qpn = o->qpn};
	int rc;

	snprintf(msg.text, sizeof(msg.text), "%s%s", o->who, cc);
	rc = fns_cli_remote_call(pid, &msg, -1);
	if (rc == 0)
		puts(msg.text);
	return rc;
}

int fns_cli_set(int argc, char **argv)
{
	long pids[FNS_CLI_PROGRAMS];
	char cc[512], file[256];
	struct opts o = {0};
	int fd, rc = parse(argc, argv, &o);
	unsigned n = 1;

	if (rc < 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (rc == 0)
		rc = fns_cli_cc_read("--cc", o.cc, cc, &fd, file);
	if (rc != 0)
		return rc;
	pids[0] = o.pid;
	if (!o.pid)
		rc = fns_cli_remote_programs(o.qpn >> 16, pids, &n);
	if (rc == 0 && n == 0 && o.qpn)
		rc = fns_cli_error(FNS_EXIT_FAILURE,
			"no program of yours has queue pair 0x%06x; `flexins status` lists them",
			o.qpn);
	else if (rc == 0 && n == 0)
		rc = fns_cli_error(FNS_EXIT_FAILURE,
			"no program of yours uses FlexiNS in this network namespace");
	for (unsigned i = 0; rc == 0 && i < n; i++) {
		if (fd >= 0)
			rc = fns_cli_cc_send(pids[i], fd, file, true);
		if (rc == 0)
			rc = set_one(pids[i], &o, cc);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}
