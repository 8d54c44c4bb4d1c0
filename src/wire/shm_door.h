/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: what a process lets the others of its host and user access directly, in a memory file
 * that it alone writes and that they map read-only. A peer that sends here may then do a WRITE or
 * READ itself, by process_vm_writev and process_vm_readv, after the checks that our responder would
 * have made: nobody has to be woken, and bulk is copied once. Owned by shm.c and shm_link.c.
 *
 * Taking back. The peer first says in its ring what it is about to access, then looks whether that
 * is still exposed; we first take the entry away, then look whether anybody is at it (both with a
 * full fence between). So one of us sees the other, and what is concealed without objection is not
 * touched any more. A peer that dies meanwhile does not count.
 *
 * There is no protection in this against processes of the same user, which may trace each other
 * anyway; where they may not (Yama's ptrace_scope, user namespaces), the first attempt fails and
 * packets are used for good.
 */
#ifndef FNS_WIRE_SHM_DOOR_H
#define FNS_WIRE_SHM_DOOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"
#include "pipe/layout.h"
#include "wire/wire.h"

#define SHM_DOOR_MRS   4096u /* a power of two; what finds no place is reached by packets */
#define SHM_DOOR_PROBE 8u    /* places that a key may be in */
#define SHM_DOOR_QPS   65536u

/* key is written last, cleared first. */
struct shm_door_mr {
	_Atomic uint32_t key; /* 0: free */
	uint32_t pd, access, pad;
	uint64_t iova, len, addr;
	uint64_t pad1[3];
};

/* state: 0: closed, else a number that grows by each change; written last, cleared first. */
struct shm_door_qp {
	_Atomic uint32_t state;
	uint32_t dest_qpn, pd, access;
	struct fns_gid remote;
};

struct shm_door_file {
	_Atomic uint32_t shut;
	uint32_t pad[15];
	struct shm_door_mr mr[SHM_DOOR_MRS];
	struct shm_door_qp qp[SHM_DOOR_QPS]; /* by QPN[15:0]; untouched pages cost nothing */
};
_Static_assert(sizeof(struct shm_door_mr) == FNS_CACHELINE && sizeof(struct shm_door_qp) == 32,
	"whole lines");

/* Our own. */
struct shm_door {
	struct shm_door_file *file;
	int fd;
	uint32_t changes; /* counts states */
};

/* 0 or negative errno. Without a door all else works. */
int shm_door_make(struct shm_door *d);
void shm_door_unmake(struct shm_door *d);
void shm_door_mr_expose(struct shm_door *d, const struct fns_exposed_mr *mr);
void shm_door_qp_expose(struct shm_door *d, const struct fns_exposed_qp *qp);
/* Whether somebody is at it still has to be asked. False: it was not exposed. */
bool shm_door_mr_take_back(struct shm_door *d, uint32_t key);
void shm_door_qp_take_back(struct shm_door *d, uint32_t qpn);

/* A peer's. */
struct shm_reach {
	const struct shm_door_file *file; /* NULL: it has none, or it did not work */
	pid_t pid;
	int pidfd; /* says whether the number is still its */
};

/*
 * Takes a peer's door and process. Takes over fd. False: it is not what it should be, or the
 * process is not to be found.
 */
bool shm_reach_take(struct shm_reach *r, int fd, pid_t pid);
void shm_reach_drop(struct shm_reach *r);
/* For a forked child, too. */
void shm_reach_forget(struct shm_reach *r);
/*
 * Is the process number still that of the process that we know? To be asked now and then: numbers
 * of processes that are gone are given out again, after all others have had their turn.
 */
bool shm_reach_alive(const struct shm_reach *r);
/*
 * As fns_wire_ops.direct. in_mr, in_qp: where the peer looks whether we are at it. *dead: it will
 * never work.
 */
bool shm_reach_do(const struct shm_reach *r, _Atomic uint64_t *in_mr, _Atomic uint64_t *in_qp,
	const struct fns_direct *d, bool *dead);

#endif
