/* SPDX-License-Identifier: Apache-2.0 */
/* flexins: the command line tool. This file picks the subcommand; each is a file of its own. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "keeper/client.h"

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
} subcommands[] = {
	{"bench", fns_cli_bench},
	{"capture", fns_cli_capture},
	{"cc", fns_cli_cc},
	{"devices", fns_cli_devices},
	{"fault", fns_cli_fault},
	{"lab", fns_cli_lab},
	{"offload", fns_cli_offload},
	{"run", fns_cli_run},
	{"set", fns_cli_set},
	{"status", fns_cli_status},
	{"version", fns_cli_version},
};

static const char help[] =
	"Usage: flexins COMMAND [OPTION]...\n"
	"\n"
	"FlexiNS is an RDMA NIC in software. Programs written for InfiniBand verbs run on it\n"
	"unmodified: no RDMA hardware, no kernel module, no root.\n"
	"\n"
	"Commands:\n"
	"  run        run a program with FlexiNS as its RDMA device\n"
	"  devices    list the devices that a program would see\n"
	"  status     show running programs, their queue pairs and counters\n"
	"  capture    write what a running program sends and receives to a file for Wireshark\n"
	"  fault      lose, delay, corrupt packets of a running program; make its requests fail\n"
	"  cc         list congestion controls, load more into running programs\n"
	"  set        change the congestion control of queue pairs in use\n"
	"  bench      measure the engine in memory, or on an emulated SmartNIC\n"
	"  lab        compare congestion controls in a simulated network\n"
	"  offload    load and bind offload handlers in a running program\n"
	"  version    print the version\n"
	"\n"
	"Examples:\n"
	"  flexins devices\n"
	"  flexins run -- ibv_devinfo\n"
	"  flexins run -- ib_write_bw -d flexins0                  on one host, then\n"
	"  flexins run -- ib_write_bw -d flexins0 192.0.2.7        on another\n"
	"  flexins status --json\n"
	"\n"
	"`flexins COMMAND --help` tells more about each, flexins(1) about all.\n";

int fns_cli_error(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("flexins: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int fns_cli_set_iface(const char *list)
{
	if (*list == '\0' || *list == ',' || strstr(list, ",,") != NULL ||
		list[strlen(list) - 1] == ',')
		return fns_cli_error(FNS_EXIT_USAGE,
			"--iface='%s': expected interface names separated by commas, such as eth0,eth1 "
			"(`ip link` lists them)",
			list);
	setenv("FLEXINS_IFACE", list, 1);
	return 0;
}

int fns_cli_check_port(const char *name, const char *text)
{
	uint16_t port;

	if (fns_keeper_port_parse(text, &port))
		return fns_cli_error(FNS_EXIT_USAGE,
			"%s='%s': expected a UDP port, 1 to 65535 (RoCEv2's is 4791)", name, text);
	return 0;
}

int fns_cli_set_port(const char *text)
{
	int rc = fns_cli_check_port("--port", text);

	if (rc == 0)
		setenv("FLEXINS_PORT", text, 1);
	return rc;
}

int fns_cli_number(const char *option, const char *text, unsigned long max, uint32_t *out)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || v < 1 || v > max)
		return fns_cli_error(
			FNS_EXIT_USAGE, "%s='%s': expected a number, 1 to %lu", option, text, max);
	*out = (uint32_t)v;
	return 0;
}

int fns_cli_bad_option(const char *command, int c, char **argv)
{
	char letter[3] = {'-', (char)optopt, '\0'};
	/* getopt has stepped over a long option already, but perhaps not over a word of several
	 * letters. */
	const char *option = strncmp(argv[optind - 1], "--", 2) == 0 ? argv[optind - 1] : letter;

	if (c == ':')
		return fns_cli_error(
			FNS_EXIT_USAGE, "%s: option '%s' needs a value", command, option);
	return fns_cli_error(FNS_EXIT_USAGE,
		"%s: no option '%s' (`flexins %s --help` lists them)%s", command, option, command,
		strcmp(command, "run") == 0
			? "; options of the program go behind its name: flexins run -- COMMAND ..."
			: "");
}

void fns_cli_json_string(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

int fns_cli_version(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		puts("Usage: flexins version\n\nPrint the version.");
		return FNS_EXIT_OK;
	}
	if (argc > 1)
		return fns_cli_error(
			FNS_EXIT_USAGE, "version takes no argument, not '%s'", argv[1]);
	puts("flexins " FNS_VERSION);
	return FNS_EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (name == NULL) {
		fputs(help, stderr);
		return FNS_EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		fputs(help, stdout);
		return FNS_EXIT_OK;
	}
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(subcommands); i++) {
		if (strcmp(name, subcommands[i].name) == 0)
			return subcommands[i].fn(argc - 1, argv + 1);
	}
	return fns_cli_error(FNS_EXIT_USAGE,
		"no command '%s': expected run, devices, status, capture, fault, cc, set, bench, lab, offload or version; to run a program: flexins run -- %s",
		name, name);
}

int main(int argc, char **argv)
{
	int code = dispatch(argc, argv);

	/* A full disk or a closed pipe must not look like success. */
	if (fflush(stdout) != 0 && code == FNS_EXIT_OK)
		return fns_cli_error(FNS_EXIT_FAILURE, "standard output: %s", strerror(errno));
	return code;
}
