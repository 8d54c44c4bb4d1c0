/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault laboratory of this process: puts the fault wire around the real one and a capture on
 * it, and takes them away again. Each call takes the engine's lock for as long as the change needs;
 * say gets a sentence for the user, also on success. -EBUSY: not at this moment, again after the
 * next advance.
 */
#ifndef FNS_INLINE_LAB_H
#define FNS_INLINE_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FLEXINS_FAULT and FLEXINS_CAPTURE, when the engine starts and before anybody else knows it.
 * False: wrong values, why is in err. */
bool fns_lab_start(char *err, unsigned errlen);
/* The process ends, under lock: what was captured is written out. */
void fns_lab_end(void);
/* In the child of a fork: closes descriptors, nothing else. */
void fns_lab_forget(void);

/* spec NULL: no faults any more. */
int fns_lab_fault_set(const char *spec, char *say, size_t len);
int fns_lab_fault_show(char *say, size_t len);
int fns_lab_fault_inject(uint32_t qpn, const char *what, uint32_t count, char *say, size_t len);
/* fd is taken over on success only. */
int fns_lab_capture_start(int fd, char *say, size_t len);
int fns_lab_capture_stop(char *say, size_t len);

#endif
