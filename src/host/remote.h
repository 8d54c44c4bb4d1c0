/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a process that runs an engine (pipe/remote.h): what `flexins fault` and
 * `flexins capture` ask for. One a process; all calls from the thread that runs the engine.
 */
#ifndef FNS_HOST_REMOTE_H
#define FNS_HOST_REMOTE_H

#include "host/lab.h"
#include "pipe/remote.h"

#define FNS_HOST_REMOTE_INDEXES 9u /* the listener and its connections */

struct fns_host_remote_cfg {
	struct fns_lab *lab;
	/* Watches fd for input from now on: fns_host_remote_event(index). False: cannot. */
	bool (*watch)(void *ctx, int fd, uint32_t index);
	void *ctx;
};

/* Without the socket (its name is taken) all else works. */
void fns_host_remote_start(const struct fns_host_remote_cfg *cfg);
void fns_host_remote_event(uint32_t index);
/* In the child of a fork, and at the end: closes descriptors. */
void fns_host_remote_forget(void);

#endif
