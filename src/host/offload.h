/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offload handlers of a running engine, on behalf of its program and of `flexins offload`. Each
 * call takes the engine's lock for as long as the change needs, which loading does not; say gets a
 * sentence for the user, also on success.
 */
#ifndef FNS_HOST_OFFLOAD_H
#define FNS_HOST_OFFLOAD_H

#include "host/lab.h"

/* -EINVAL (refused), -ENOSPC, -ENOMEM. */
int fns_host_offload_load(
	struct fns_lab *l, const char *name, const void *elf, size_t bytes, char *say, size_t len);
/* The same from a file. */
int fns_host_offload_load_fd(struct fns_lab *l, const char *name, int fd, char *say, size_t len);
/* What is built in, what is loaded, and its counters; as much as fits. */
int fns_host_offload_list(struct fns_lab *l, char *say, size_t len);
/* words: SERVICE HANDLER [region=KEY:ADDRESS:BYTES[:RIGHTS]]... [param=N]... [FIELD=N]... */
int fns_host_offload_bind(
	struct fns_lab *l, uint32_t qpn, const char *words, char *say, size_t len);

#endif
