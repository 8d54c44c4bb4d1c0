/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault laboratory of an engine: puts the fault wire around the real one and a capture on it,
 * and takes them away again. Each call takes the engine's lock for as long as the change needs; say
 * gets a sentence for the user, also on success. -EBUSY: not at this moment, again after the next
 * advance.
 */
#ifndef FNS_HOST_LAB_H
#define FNS_HOST_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

struct fns_capture;

struct fns_lab {
	struct fns_engine *engine;
	struct fns_wire *wire; /* the real one */
	const struct fns_stats *stats;
	void (*lock)(void); /* the engine; NULL: whoever calls has it */
	void (*unlock)(void);
	/* The laboratory's own, under lock. */
	struct fns_wire *fault; /* exists while it is in the chain */
	struct fns_capture *capture;
	int capture_fd; /* -1 at first */
};

/* FLEXINS_FAULT and FLEXINS_CAPTURE, when the engine starts and before anybody else knows it.
 * False: wrong values, why is in err. */
bool fns_lab_start(struct fns_lab *l, char *err, unsigned errlen);
/* The engine ends, under lock: what was captured is written out. */
void fns_lab_end(struct fns_lab *l);
/* In the child of a fork: closes descriptors, nothing else. */
void fns_lab_forget(struct fns_lab *l);

/* spec NULL: no faults any more. */
int fns_lab_fault_set(struct fns_lab *l, const char *spec, char *say, size_t len);
int fns_lab_fault_show(struct fns_lab *l, char *say, size_t len);
int fns_lab_fault_inject(
	struct fns_lab *l, uint32_t qpn, const char *what, uint32_t count, char *say, size_t len);
/* fd is taken over on success only. */
int fns_lab_capture_start(struct fns_lab *l, int fd, char *say, size_t len);
int fns_lab_capture_stop(struct fns_lab *l, char *say, size_t len);

#endif
