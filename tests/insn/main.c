/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callgrind counts: a fixed amount of work of the engine in memory, between two marks.
 *
 *   insn SIZE ICRC     ICRC: 0 or 1; prints how many packets the marked part sent
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro.h"

#define WARM     2000u
#define MESSAGES 6000u

/* Callgrind counts within this function alone (--toggle-collect). */
void insn_counted(struct fns_micro *m, uint64_t *packets);
__attribute__((noinline)) void insn_counted(struct fns_micro *m, uint64_t *packets)
{
	fns_micro_run(m, MESSAGES, packets);
}

int main(int argc, char **argv)
{
	struct fns_micro_cfg cfg = {.qps = 8, .depth = 32};
	struct fns_micro *m;
	uint64_t packets;

	if (argc != 3)
		return 2;
	cfg.size = (uint32_t)atoi(argv[1]);
	cfg.icrc = strcmp(argv[2], "1") == 0;
	m = fns_micro_create(&cfg);
	if (!m)
		return 2;
	fns_micro_run(m, WARM, &packets);
	insn_counted(m, &packets);
	printf("%llu\n", (unsigned long long)packets);
	fns_micro_destroy(m);
	return 0;
}
