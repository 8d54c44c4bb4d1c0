/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_holder PORT DAEMON_DIR [magic|version|short|none]: leases a slot with a statistics file
 * made up for test_status.py, prints the slot's prefix and holds it until its standard input ends.
 * The third argument spoils the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "keeper/client.h"
#include "pipe/stats.h"

static int make_stats(const char *spoil)
{
	static const uint8_t peer[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9};
	int fd = memfd_create("stats", MFD_CLOEXEC);
	struct fns_stats *s;

	if (fd < 0 || ftruncate(fd, sizeof(*s)) != 0)
		return -1;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED)
		return -1;
	s->magic = FNS_STATS_MAGIC;
	s->n_counters = FNS_C_COUNT;
	s->qps = 2;
	for (unsigned i = 0; i < FNS_C_COUNT; i++)
		s->counter[i] = 0;
	s->counter[FNS_C_tx_packets] = 1ull << 40;
	s->counter[FNS_C_engine_sleeps] = 7; /* the last one */
	s->qp[5].qpn = 0x010005;
	s->qp[5].dest_qpn = 0x77;
	s->qp[5].type = 2;
	s->qp[5].state = 3;
	s->qp[5].tx_bytes = 4096;
	memcpy((void *)s->qp[5].peer, peer, sizeof(peer));
	s->qp[FNS_STATS_MAX_QP - 1].qpn = 0x01ffff; /* out of every enum's range */
	s->qp[FNS_STATS_MAX_QP - 1].type = 200;
	s->qp[FNS_STATS_MAX_QP - 1].state = 201;
	if (strcmp(spoil, "magic") == 0)
		s->magic = 1;
	if (strcmp(spoil, "version") == 0)
		s->n_counters = 1u << 30;
	munmap(s, sizeof(*s));
	if (strcmp(spoil, "short") == 0 && ftruncate(fd, 100) != 0)
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	const char *spoil = argc > 3 ? argv[3] : "";
	struct fns_keeper_opts opts = {.stats_fd = -1};
	char err[FNS_KEEPER_ERR_LEN] = "", c;
	struct fns_lease lease;

	if (argc < 3)
		return 2;
	opts.port = (uint16_t)atoi(argv[1]);
	opts.daemon_dir = argv[2];
	if (strcmp(spoil, "none") != 0) {
		opts.stats_fd = make_stats(spoil);
		if (opts.stats_fd < 0) {
			perror("statistics file");
			return 1;
		}
	}
	if (fns_keeper_lease(&opts, &lease, err, sizeof(err)) != 0) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	printf("%u\n", lease.prefix);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	fns_keeper_release(&lease);
	return 0;
}
