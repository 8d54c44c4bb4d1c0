/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wire within one process: frames are gathered into receive buffers of the other end, which uses
 * the buffer released last first. One thread for both ends. Used by micro.c.
 */
#ifndef FNS_BENCH_MEMWIRE_H
#define FNS_BENCH_MEMWIRE_H

#include "wire/wire.h"

/* Two ends; side 0 and 1 as in fns_memwire_gid. icrc: made and checked in software. Each end is
 * destroyed by its ops; neither may be used after the other is gone. */
void fns_memwire_pair(bool icrc, struct fns_wire *end[2]);
struct fns_gid fns_memwire_gid(unsigned side);

#endif
