/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flexins-sim: runs scenarios over seeds, in parallel processes, and says how to replay what
 * failed. A crash or an assertion names its seed as well.
 */
#include "sim/lab.h"
#include "sim/soak.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct options {
	const struct sim_scenario *scenario; /* NULL: all */
	uint64_t from, to;
	unsigned jobs, max_failures;
	uint64_t soak_s; /* 0: runs of from..to */
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
	static const char *const flags[] = {"", " --dma direct", " --dma sim", "", " --swap-cc",
		" --dma direct --swap-cc", " --dma sim --swap-cc", ""};

	return flags[dma & 7];
}

static void say_result(const struct sim_scenario *s, uint64_t seed, const struct sim_result *r)
{
	const struct sim_net_stats *n = &r->net;
	unsigned i;

	printf("%s seed %llu: work %llu us, all %llu us, %llu events, %llu packets, %llu requests, %llu errors, "
	       "%llu retransmits, %llu timeouts, %llu swaps; queue %u B, %llu marks, %llu pauses, drops:",
		s->name, (unsigned long long)seed, (unsigned long long)r->work_ns / 1000,
		(unsigned long long)r->now_ns / 1000, (unsigned long long)r->events,
		(unsigned long long)r->packets, (unsigned long long)r->wrs,
		(unsigned long long)r->errors, (unsigned long long)r->retransmits,
		(unsigned long long)r->timeouts, (unsigned long long)r->swaps, n->queue_max,
		(unsigned long long)n->ecn_marked, (unsigned long long)n->pauses);
	for (i = 0; i < SIM_DROPS; i++)
		if (n->drop[i])
			printf(" %s %llu", sim_drop_name(i), (unsigned long long)n->drop[i]);
	putchar('\n');
}

static bool run_one(const void *opt, const struct sim_scenario *s, uint64_t seed, uint64_t *packets)
{
	const struct options *o = opt;
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
		say_result(s, seed, &r);
	fflush(stdout);
	*packets = r.packets;
	return ok;
}

/* Every jobs-th seed, beginning with the job's own. */
static unsigned run_share(const struct options *o, unsigned job)
{
	const struct sim_scenario *s;
	unsigned failures = 0, i;
	uint64_t seed, packets;

	for (seed = o->from + job; seed <= o->to; seed += o->jobs)
		for (i = 0; (s = sim_scenario_at(i)); i++)
			if ((!o->scenario || o->scenario == s) && !run_one(o, s, seed, &packets) &&
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

/* Seeds never seen before, unless the first one is given. */
static int soak(const struct options *o)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t from = o->from ? o->from : (uint64_t)time(NULL) * 1000;

	return sim_soak(&(struct soak_cfg){.seconds = o->soak_s,
		.from = from,
		.jobs = o->jobs ? o->jobs : (unsigned)FNS_MAX(cpus, 1),
		.max_failures = o->max_failures ? o->max_failures : 20,
		.only = o->scenario,
		.run = run_one,
		.ctx = o});
}

/* The laboratory's figures of short runs, for comparing builds. */
static int lab(void)
{
	static const char *const cc[] = {"dcqcn", "swift", "hpcc", "bbr", "timely"};
	static struct lab_result r;

	for (unsigned i = 0; lab_scenario_at(i); i++) {
		struct lab_cfg cfg = {.scenario = lab_scenario_at(i),
			.cc = cc[i % FNS_ARRAY_SIZE(cc)],
			.seed = 1 + i,
			.irn = i & 1,
			.time_ns = lab_scenario_at(i)->time_ns / 20};

		if (!lab_run(&cfg, &r)) {
			printf("FAIL lab %s: %s\n", cfg.scenario->name, r.failure);
			return 1;
		}
		printf("lab %s %s %016llx %llu %u %u %u %llu\n", cfg.scenario->name, cfg.cc,
			(unsigned long long)r.hash, (unsigned long long)r.goodput_bps, r.queue_mean,
			r.queue_p99, r.jain_mean,
			(unsigned long long)r.cls[LAB_CLASSES - 1].p99_ns);
	}
	return 0;
}

static int usage(void)
{
	const struct sim_scenario *s;
	unsigned i;

	fprintf(stderr,
		"flexins-sim [--scenario NAME] [--seed N | --seeds A..B] [--dma direct|sim] [--swap-cc] [--trace]\n"
		"            [--hash] [--verbose] [--jobs N] [--keep-going N]\n"
		"flexins-sim --soak SECONDS [--scenario NAME] [--seed FIRST] [--dma direct|sim] [--swap-cc]\n"
		"            [--jobs N] [--keep-going N]\nflexins-sim --lab\nScenarios:\n");
	for (i = 0; (s = sim_scenario_at(i)); i++)
		fprintf(stderr, "  %-22s %s\n", s->name, s->text);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {{"scenario", 1, NULL, 'n'}, {"seed", 1, NULL, 's'},
		{"seeds", 1, NULL, 'S'}, {"dma", 1, NULL, 'd'}, {"swap-cc", 0, NULL, 'w'},
		{"trace", 0, NULL, 't'}, {"hash", 0, NULL, 'h'}, {"verbose", 0, NULL, 'v'},
		{"jobs", 1, NULL, 'j'}, {"keep-going", 1, NULL, 'k'}, {"soak", 1, NULL, 'o'},
		{"lab", 0, NULL, 'l'}, {0}};
	struct options o = {.from = 0, .to = 20};
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
			o.dma = (o.dma & SIM_SWAP_CC) |
				(strcmp(optarg, "direct") == 0 ? SIM_DMA_DIRECT : SIM_DMA_SIM);
			break;
		case 'w':
			o.dma |= SIM_SWAP_CC;
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
		case 'l':
			return lab();
		case 'o':
			o.soak_s = strtoull(optarg, NULL, 10);
			if (!o.soak_s)
				return usage();
			break;
		default:
			return usage();
		}
	}
	signal(SIGABRT, say_replay);
	signal(SIGSEGV, say_replay);
	signal(SIGBUS, say_replay);
	signal(SIGALRM, say_replay); /* a test's time limit */
	if (o.soak_s)
		return soak(&o);
	o.from = o.from ? o.from : 1;
	o.jobs = o.jobs ? o.jobs : 1;
	o.max_failures = o.max_failures ? o.max_failures : 1;
	return run_all(&o);
}
