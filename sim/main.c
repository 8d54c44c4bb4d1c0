/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flexins-sim: runs scenarios over seeds, in parallel processes, and says how to replay what
 * failed. A crash or an assertion names its seed as well.
 */
#include "sim/sim.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct options {
	const struct sim_scenario *scenario; /* NULL: all */
	uint64_t from, to;
	unsigned jobs, max_failures;
	int dma;
	bool trace, hash, verbose;
};

static char replay[160];

static void say_replay(int sig)
{
	ssize_t n = write(STDERR_FILENO, replay, strlen(replay));

	(void)n;
	signal(sig, SIG_DFL);
	raise(sig);
}

static const char *dma_flag(int dma)
{
	return dma == SIM_DMA_DIRECT ? " --dma direct" : dma == SIM_DMA_SIM ? " --dma sim" : "";
}

static bool run_one(const struct options *o, const struct sim_scenario *s, uint64_t seed)
{
	struct sim_result r;
	bool ok;

	snprintf(replay, sizeof(replay),
		"CRASH replay: flexins-sim --scenario %s --seed %llu%s --trace\n", s->name,
		(unsigned long long)seed, dma_flag(o->dma));
	ok = sim_run(s, seed, o->dma, o->trace ? stderr : NULL, &r);
	if (!ok)
		printf("FAIL %s seed %llu %s\n  replay: flexins-sim --scenario %s --seed %llu%s --trace\n",
			s->name, (unsigned long long)seed, r.failure, s->name,
			(unsigned long long)seed, dma_flag(o->dma));
	if (o->hash)
		printf("%s %llu %016llx\n", s->name, (unsigned long long)seed,
			(unsigned long long)r.hash);
	if (o->verbose)
		printf("%s seed %llu: %llu events, %llu packets, %llu requests, %llu errors, %llu retransmits, %llu "
		       "timeouts, %llu overruns, %llu us\n",
			s->name, (unsigned long long)seed, (unsigned long long)r.events,
			(unsigned long long)r.packets, (unsigned long long)r.wrs,
			(unsigned long long)r.errors, (unsigned long long)r.retransmits,
			(unsigned long long)r.timeouts, (unsigned long long)r.overruns,
			(unsigned long long)r.now_ns / 1000);
	fflush(stdout);
	return ok;
}

/* Every jobs-th seed, beginning with the job's own. */
static unsigned run_share(const struct options *o, unsigned job)
{
	unsigned failures = 0, i;
	uint64_t seed;

	for (seed = o->from + job; seed <= o->to; seed += o->jobs)
		for (i = 0; i < sim_nscenarios; i++)
			if ((!o->scenario || o->scenario == &sim_scenarios[i]) &&
				!run_one(o, &sim_scenarios[i], seed) &&
				++failures >= o->max_failures)
				return failures;
	return failures;
}

static int run_all(const struct options *o)
{
	unsigned job;
	int status, bad = 0;

	if (o->jobs == 1)
		return run_share(o, 0) != 0;
	for (job = 0; job < o->jobs; job++) {
		pid_t pid = fork();

		if (pid == 0)
			exit(run_share(o, job) != 0);
		if (pid < 0)
			return 2;
	}
	while (wait(&status) > 0)
		bad |= status != 0;
	return bad;
}

static int usage(void)
{
	unsigned i;

	fprintf(stderr,
		"flexins-sim [--scenario NAME] [--seed N | --seeds A..B] [--dma direct|sim] [--trace] [--hash]\n"
		"            [--verbose] [--jobs N] [--keep-going N]\nScenarios:\n");
	for (i = 0; i < sim_nscenarios; i++)
		fprintf(stderr, "  %-22s %s\n", sim_scenarios[i].name, sim_scenarios[i].text);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {{"scenario", 1, NULL, 'n'}, {"seed", 1, NULL, 's'},
		{"seeds", 1, NULL, 'S'}, {"dma", 1, NULL, 'd'}, {"trace", 0, NULL, 't'},
		{"hash", 0, NULL, 'h'}, {"verbose", 0, NULL, 'v'}, {"jobs", 1, NULL, 'j'},
		{"keep-going", 1, NULL, 'k'}, {0}};
	struct options o = {.from = 1, .to = 20, .jobs = 1, .max_failures = 1};
	char *dots;
	int c;

	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'n':
			o.scenario = sim_scenario_find(optarg);
			if (!o.scenario)
				return usage();
			break;
		case 's':
			o.from = o.to = strtoull(optarg, NULL, 0);
			break;
		case 'S':
			o.from = strtoull(optarg, &dots, 0);
			if (strncmp(dots, "..", 2) != 0)
				return usage();
			o.to = strtoull(dots + 2, NULL, 0);
			break;
		case 'd':
			o.dma = strcmp(optarg, "direct") == 0 ? SIM_DMA_DIRECT : SIM_DMA_SIM;
			break;
		case 't':
			o.trace = true;
			break;
		case 'h':
			o.hash = true;
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'j':
			o.jobs = (unsigned)FNS_MAX(1, atoi(optarg));
			break;
		case 'k':
			o.max_failures = (unsigned)FNS_MAX(1, atoi(optarg));
			break;
		default:
			return usage();
		}
	}
	signal(SIGABRT, say_replay);
	signal(SIGSEGV, say_replay);
	signal(SIGBUS, say_replay);
	signal(SIGALRM, say_replay); /* a test's time limit */
	return run_all(&o);
}
