/* SPDX-License-Identifier: Apache-2.0 */
/* Threads inside other people's programs. */
#ifndef FNS_BASE_THREAD_H
#define FNS_BASE_THREAD_H

#include <pthread.h>
#include <sched.h>

/*
 * Starts fn(arg) in a thread that takes no signals, for those are the application's. cpus: where it
 * may run, NULL: where the caller may. out: to join it by; NULL: it is detached. 0 or negative
 * errno; -EINVAL: no such CPUs.
 */
int fns_thread_start(pthread_t *out, void *(*fn)(void *arg), void *arg, const cpu_set_t *cpus);

#endif
