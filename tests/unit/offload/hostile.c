/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eBPF handlers that mean no good, one of them for each way to compile this file (-DPROG_...):
 * what must not even load, and what loads and must end with an error. For test_twins.c.
 */
#include "flexins/offload.h"

extern uint64_t system(const char *command);

__attribute__((section(FNS_OFFLOAD_SECTION), used)) uint64_t step(struct fns_offload_ctx *x)
{
#if defined(PROG_LOOP)
	for (uint64_t i = 0; i < x->args[0]; i++)
		x->state[0] += i * x->state[0];
	return FNS_OFFLOAD_DONE;
#elif defined(PROG_BEYOND)
	return ((uint64_t *)(x + 1))[0];
#elif defined(PROG_BEFORE)
	((uint64_t *)x)[-1] = 1;
	return FNS_OFFLOAD_DONE;
#elif defined(PROG_INDEX)
	return x->data[x->args[0]];
#elif defined(PROG_POINTER)
	return *(uint64_t *)x->region[0].addr;
#elif defined(PROG_CALL)
	return system((const char *)x->args);
#elif defined(PROG_EVER) /* from here on they load */
	x->act.at = 0;
	return FNS_OFFLOAD_SEE_ARGS;
#elif defined(PROG_OUTSIDE)
	x->region[0].addr = 0; /* lies to itself */
	x->region[0].len = UINT64_MAX;
	x->act.region = 0;
	x->act.addr = x->args[0];
	x->act.len = 8;
	return FNS_OFFLOAD_FETCH;
#elif defined(PROG_REGION)
	x->act.region = 1;
	x->nregions = 4;
	x->act.addr = x->region[0].addr;
	x->act.len = 8;
	return FNS_OFFLOAD_FETCH;
#elif defined(PROG_STORE) /* the region is bound for reading */
	x->region[0].rights = 7;
	x->act.region = 0;
	x->act.addr = x->region[0].addr;
	x->act.len = 8;
	return FNS_OFFLOAD_STORE;
#elif defined(PROG_FLOOD)
	x->act.region = 0;
	x->act.addr = x->region[0].addr;
	x->act.len = 1000;
	return FNS_OFFLOAD_EMIT_MEM;
#elif defined(PROG_BYTES)
	x->act.region = 0;
	x->act.addr = x->region[0].addr;
	x->act.len = 1024;
	return FNS_OFFLOAD_FETCH;
#else
	return 12345678;
#endif
}
