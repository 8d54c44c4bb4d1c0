/* SPDX-License-Identifier: Apache-2.0 */
/* flexins devices: the verbs devices that a program under `flexins run` would see, by the library's
 * own discovery. */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "verbs/netdev.h"

static const char help[] =
	"Usage: flexins devices [OPTION]...\n"
	"\n"
	"List the RDMA devices that a program under `flexins run` sees: name, network interface, state,\n"
	"MTU (of RDMA packets, and of the interface) and GID table.\n"
	"\n"
	"Options:\n"
	"  --iface=NAME[,NAME]...  as for `flexins run`\n"
	"  --json                  machine-readable\n"
	"  --help                  print this text\n"
	"\n"
	"Environment:\n"
	"  FLEXINS_IFACE=NAME,...  as --iface\n";

/* "192.0.2.1" or "fe80::1": a GID of RoCEv2 is an IP address. */
static void gid_text(const struct fns_gid *g, char out[static INET6_ADDRSTRLEN])
{
	if (fns_gid_is_v4(g))
		inet_ntop(AF_INET, g->b + 12, out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, g->b, out, INET6_ADDRSTRLEN);
}

/* 0: the interface's MTU is too small for any. */
static unsigned rdma_mtu(const struct fns_netdev *d)
{
	unsigned mtu = fns_netdev_ib_mtu(d->mtu);

	return mtu == 0 ? 0 : 128u << mtu;
}

static void print_text(const struct fns_netdev *d, unsigned index)
{
	char text[INET6_ADDRSTRLEN];

	printf("flexins%u  interface %s  %s  MTU %u (interface: %" PRIu32 ")", index, d->name,
		d->up ? "ACTIVE" : "DOWN", rdma_mtu(d), d->mtu);
	if (fns_netdev_speed_mbps(d) != 0)
		printf("  %" PRIu32 " Mb/s", fns_netdev_speed_mbps(d));
	putchar('\n');
	for (unsigned i = 0; i < d->n_gids; i++) {
		gid_text(&d->gid[i], text);
		printf("  gid %2u  %s\n", i, text);
	}
}

static void print_json(const struct fns_netdev *d, unsigned index)
{
	char text[INET6_ADDRSTRLEN];

	printf("%s\n  {\"name\": \"flexins%u\", \"interface\": ", index == 0 ? "" : ",", index);
	fns_cli_json_string(d->name);
	printf(", \"state\": \"%s\", \"mtu\": %u, \"interface_mtu\": %" PRIu32
	       ", \"speed_mbps\": %" PRIu32 ", \"guid\": \"%016" PRIx64 "\", \"gids\": [",
		d->up ? "ACTIVE" : "DOWN", rdma_mtu(d), d->mtu, fns_netdev_speed_mbps(d), d->guid);
	for (unsigned i = 0; i < d->n_gids; i++) {
		gid_text(&d->gid[i], text);
		printf("%s\"%s\"", i == 0 ? "" : ", ", text);
	}
	printf("]}");
}

int fns_cli_devices(int argc, char **argv)
{
	static const struct option options[] = {
		{"iface", required_argument, NULL, 'i'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static struct fns_netdev dev[FNS_MAX_DEVICES];
	bool json = false;
	unsigned n;
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'i':
			rc = fns_cli_set_iface(optarg);
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return FNS_EXIT_OK;
		default:
			return fns_cli_bad_option(argv[0], c, argv);
		}
	}
	if (rc != 0)
		return rc;
	if (optind < argc)
		return fns_cli_error(FNS_EXIT_USAGE,
			"devices takes options only, not '%s'; --iface=%s ?", argv[optind],
			argv[optind]);

	n = fns_netdev_discover(dev, FNS_MAX_DEVICES);
	if (json)
		putchar('[');
	for (unsigned i = 0; i < n; i++) {
		if (json)
			print_json(&dev[i], i);
		else
			print_text(&dev[i], i);
	}
	if (json)
		puts("\n]");
	if (n == 0)
		return fns_cli_error(FNS_EXIT_FAILURE,
			"no device: no network interface is up with an address and an MTU of at least %d bytes "
			"(`ip addr` shows them; --iface picks one)",
			256 + FNS_HDR_MARGIN);
	return FNS_EXIT_OK;
}
