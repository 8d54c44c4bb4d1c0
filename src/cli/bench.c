/* SPDX-License-Identifier: Apache-2.0 */
/* flexins bench: measurements that need neither network nor hardware. Each kind is a file of its
 * own. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "cli/bench.h"
#include "cli/cli.h"

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
} kinds[] = {
	{"cc", fns_cli_bench_cc},
	{"micro", fns_cli_bench_micro},
	{"pipe", fns_cli_bench_pipe},
	{"smartnic", fns_cli_bench_smartnic},
};

static const char help[] =
	"Usage: flexins bench KIND [OPTION]...\n"
	"\n"
	"Measure the engine, or parts of it, without a network, in one process.\n"
	"\n"
	"Kinds:\n"
	"  cc         congestion controls: ns an event, built in, as shared objects, as eBPF\n"
	"  micro      the engine in memory: ns and instructions a packet on this machine\n"
	"  pipe       the notification pipe between two CPUs, phase bits against indices: cache lines moved\n"
	"             a message, by counting, and ns\n"
	"  smartnic   the engine on an emulated SmartNIC, in virtual time: what header-only TX, in-cache\n"
	"             RX and the notification pipe are worth there; the same figures on every machine\n"
	"\n"
	"`flexins bench KIND --help` tells more about each.\n";

int fns_cli_bench(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(kinds); i++)
		if (strcmp(name, kinds[i].name) == 0)
			return kinds[i].fn(argc - 1, argv + 1);
	return fns_cli_error(
		FNS_EXIT_USAGE, "bench: expected cc, micro, pipe or smartnic, not '%s'", name);
}
