/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service placement's server: `flexinsd --engine`. Runs engines for the applications of this
 * host and network namespace until it is told to stop.
 */
#ifndef FNS_SERVICE_SERVICE_H
#define FNS_SERVICE_SERVICE_H

/* The program, when --engine is its first argument. Returns the exit status. */
int fns_service_main(int argc, char **argv);

#endif
