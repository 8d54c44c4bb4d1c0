/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Soak: all scenarios over new seeds on all cores for as long as it is told. Workers are processes,
 * so that a crash costs one run; the parent watches, reports, and starts another in its place.
 * Called by main.
 */
#include "sim/soak.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define MAX_JOBS    256u
#define REPORT_S    10u
#define RUN_LIMIT_S 120u /* a run takes milliseconds */

struct worker { /* shared; written by the worker, after its death by the parent */
	_Atomic uint64_t runs, packets, failures;
	_Atomic uint64_t seed;     /* the next one */
	_Atomic uint32_t scenario; /* the next one with it */
	pid_t pid;                 /* the parent's */
};

struct soak {
	_Atomic bool stop;
	struct worker worker[MAX_JOBS];
};

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	interrupted = 1;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The next run is noted before this one begins: who follows after a crash does not repeat it. */
static void work(struct soak *s, struct worker *k, const struct soak_cfg *cfg)
{
	while (!atomic_load(&s->stop)) {
		uint64_t seed = atomic_load(&k->seed), packets;
		uint32_t i = atomic_load(&k->scenario);

		if (!sim_scenario_at(i + 1)) {
			atomic_store(&k->scenario, 0);
			atomic_store(&k->seed, seed + cfg->jobs);
		} else {
			atomic_store(&k->scenario, i + 1);
		}
		if (cfg->only && cfg->only != sim_scenario_at(i))
			continue;
		alarm(RUN_LIMIT_S);
		packets = 0;
		if (!cfg->run(cfg->ctx, sim_scenario_at(i), seed, &packets))
			atomic_fetch_add(&k->failures, 1);
		atomic_fetch_add(&k->packets, packets);
		atomic_fetch_add(&k->runs, 1);
	}
}

static bool start(struct soak *s, struct worker *k, const struct soak_cfg *cfg)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	pid = fork();
	if (pid != 0) {
		k->pid = pid;
		return pid > 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	signal(SIGINT, SIG_IGN); /* the parent says when to stop */
	signal(SIGTERM, SIG_DFL);
	work(s, k, cfg);
	fflush(stdout);
	_exit(0);
}

/* A worker that died crashed, ran into an assertion or hung; it has said how to replay that. */
static void bury(struct soak *s, const struct soak_cfg *cfg, bool again)
{
	unsigned i;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, again ? WNOHANG : 0)) > 0 || (pid < 0 && errno == EINTR))
		for (i = 0; pid > 0 && i < cfg->jobs; i++) {
			struct worker *k = &s->worker[i];

			if (k->pid != pid)
				continue;
			k->pid = 0;
			if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
				break;
			atomic_fetch_add(&k->failures, 1);
			atomic_fetch_add(&k->runs, 1);
			if (again && !start(s, k, cfg))
				k->pid = 0;
		}
}

static void total(
	const struct soak *s, unsigned jobs, uint64_t *runs, uint64_t *packets, uint64_t *failures)
{
	unsigned i;

	*runs = *packets = *failures = 0;
	for (i = 0; i < jobs; i++) {
		*runs += atomic_load(&s->worker[i].runs);
		*packets += atomic_load(&s->worker[i].packets);
		*failures += atomic_load(&s->worker[i].failures);
	}
}

static void report(const char *what, const struct soak *s, unsigned jobs, uint64_t ms)
{
	uint64_t runs, packets, failures;

	total(s, jobs, &runs, &packets, &failures);
	ms = FNS_MAX(ms, 1);
	printf("%s: %llu seeds, %llu packets, %llu failures in %llu s (%llu seeds/s, %llu packets/s)\n",
		what, (unsigned long long)runs, (unsigned long long)packets,
		(unsigned long long)failures, (unsigned long long)ms / 1000,
		(unsigned long long)(runs * 1000 / ms), (unsigned long long)(packets * 1000 / ms));
	fflush(stdout);
}

int sim_soak(const struct soak_cfg *cfg)
{
	struct soak *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t begin = now_ms(), next = REPORT_S * 1000, at, runs, packets, failures = 0;
	unsigned i;

	if (s == MAP_FAILED || cfg->jobs > MAX_JOBS)
		return 2;
	signal(SIGINT, interrupt);
	signal(SIGTERM, interrupt);
	printf("soak: %llu s, %u processes, seeds from %llu on\n", (unsigned long long)cfg->seconds,
		cfg->jobs, (unsigned long long)cfg->from);
	for (i = 0; i < cfg->jobs; i++) {
		atomic_store(&s->worker[i].seed, cfg->from + i);
		if (!start(s, &s->worker[i], cfg))
			return 2;
	}
	while (!interrupted && (at = now_ms() - begin) < cfg->seconds * 1000 &&
		failures < cfg->max_failures) {
		usleep(100000);
		bury(s, cfg, true);
		total(s, cfg->jobs, &runs, &packets, &failures);
		if (at >= next) {
			next += REPORT_S * 1000;
			report("soak", s, cfg->jobs, at);
		}
	}
	atomic_store(&s->stop, true);
	bury(s, cfg, false);
	at = now_ms() - begin;
	total(s, cfg->jobs, &runs, &packets, &failures);
	report(failures ? "soak FAILED" : "soak ok", s, cfg->jobs, at);
	munmap(s, sizeof(*s));
	return failures || !runs ? 1 : 0;
}
