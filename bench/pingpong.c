/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far apart are two CPUs? Two threads, each pinned to one, pass a cache line back and forth;
 * prints the median round trip in nanoseconds over short batches. On virtual machines the distance
 * changes while one looks: comparisons made at different distances are comparisons of the distance.
 * Used by compare.py.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	BATCHES = 41,
	ROUNDS = 2000,
	LIMIT_NS = 2000000000
};

static _Alignas(128) _Atomic uint32_t ball;
static _Alignas(128) atomic_bool stop;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(
		0, sizeof(set), &set); /* where that is forbidden the figure is still a figure */
}

static void *back(void *arg)
{
	pin(*(int *)arg);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint32_t v = atomic_load_explicit(&ball, memory_order_acquire);

		if (v & 1)
			atomic_store_explicit(&ball, v + 1, memory_order_release);
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int cpu[2] = {argc > 1 ? atoi(argv[1]) : 0, argc > 2 ? atoi(argv[2]) : 1};
	double sample[BATCHES];
	uint64_t start = now_ns();
	pthread_t other;
	int n = 0;

	pin(cpu[0]);
	if (pthread_create(&other, NULL, back, &cpu[1]))
		return 1;
	while (n < BATCHES && now_ns() - start < LIMIT_NS) {
		uint64_t t = now_ns();

		for (int i = 0; i < ROUNDS; i++) {
			uint32_t v = atomic_load_explicit(&ball, memory_order_acquire);

			atomic_store_explicit(&ball, v + 1, memory_order_release);
			while (atomic_load_explicit(&ball, memory_order_acquire) != v + 2)
				;
		}
		sample[n++] = (double)(now_ns() - t) / ROUNDS;
	}
	atomic_store(&stop, 1);
	pthread_join(other, NULL);
	qsort(sample, (size_t)n, sizeof(sample[0]), by_value);
	printf("%.0f\n", sample[n / 2]);
	return 0;
}
