/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an application and the service (flexinsd --engine) say to each other, and the memory that
 * both write. Fixed-size messages over SOCK_SEQPACKET on the abstract name
 * "\0flexins-engine-<uid>-<port>", uid being that of the service. Each side checks the other's
 * SO_PEERCRED; descriptors travel beside messages as SCM_RIGHTS. All that the service receives is
 * hostile input: copied once, validated, then used.
 *
 *   application                     service
 *   HELLO (ring)                    WELCOME (wake), or REFUSED
 *   CTL ([ring or region])          DONE, in order, one at a time
 *                                   COMP, ASYNC: events; those about an object come before the DONE
 *                                   that destroyed it
 *   ATOMIC_DONE                     ATOMIC: an atomic on memory that the service cannot map
 *
 * The ring file begins with struct fns_service_line; the submission ring follows.
 */
#ifndef FNS_SERVICE_PROTO_H
#define FNS_SERVICE_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "pipe/ctl.h"
#include "pipe/layout.h"

#define FNS_SERVICE_MAGIC      0x56534e46u /* "FNSV" */
#define FNS_SERVICE_VERSION    1u
#define FNS_SERVICE_RING_SLOTS 4096u

/*
 * doze: the engine stores 1 before it sleeps and 0 when it is awake. Who has published descriptors
 * and finds 1 exchanges it to 0 and writes to the wake descriptor; sequentially consistent fences
 * on both sides between writing the one and reading the other.
 */
struct fns_service_line {
	_Alignas(FNS_CACHELINE) _Atomic uint32_t doze;
	_Alignas(FNS_CACHELINE) uint64_t nonce; /* of the application, see hello */
};

#define FNS_SERVICE_SQ_OFFSET FNS_ALIGN_UP(sizeof(struct fns_service_line), (size_t)FNS_CACHELINE)
#define FNS_SERVICE_RING_BYTES                                                                     \
	FNS_ALIGN_UP(FNS_SERVICE_SQ_OFFSET + sizeof(struct fns_sq_shared) +                        \
			     FNS_SERVICE_RING_SLOTS * sizeof(struct fns_sqd),                      \
		(size_t)4096)

static inline struct fns_sq_shared *fns_service_sq(struct fns_service_line *l)
{
	return (struct fns_sq_shared *)(void *)((char *)l + FNS_SERVICE_SQ_OFFSET);
}

static inline size_t fns_service_cq_bytes(uint32_t log2)
{
	return sizeof(struct fns_cq_shared) + sizeof(struct fns_cqe) * ((size_t)1 << log2);
}

enum fns_service_type {
	FNS_SERVICE_HELLO = 1,
	FNS_SERVICE_CTL,
	FNS_SERVICE_ATOMIC_DONE,
	FNS_SERVICE_WELCOME = 16,
	FNS_SERVICE_REFUSED,
	FNS_SERVICE_DONE,
	FNS_SERVICE_COMP,
	FNS_SERVICE_ASYNC,
	FNS_SERVICE_ATOMIC,
};

struct fns_service_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t type;  /* enum fns_service_type */
	int32_t result; /* REFUSED, ATOMIC_DONE: 0 or negative errno */
	uint32_t reserved;
	union {
		/*
		 * The service reads the nonce through the application's address space to see that
		 * it may, and that the process is the one that it takes it for.
		 */
		struct {
			uint64_t nonce_addr, nonce;
		} hello;
		struct {
			uint32_t pid, prefix;
		} welcome;
		/*
		 * CTL, DONE. A descriptor comes with CQ_CREATE and CQ_RESIZE: the ring. One may
		 * come with MR_REG and MR_REREG: the memory file that the whole region is a shared
		 * mapping of, from file_off on.
		 */
		struct {
			struct fns_ctl ctl;
			uint64_t file_off;
		} ctl;
		struct {
			uint64_t channel, cq;
		} comp;
		struct fns_event event;
		/* ATOMIC, ATOMIC_DONE: id comes back, and what was found. */
		struct {
			uint64_t addr, swap_add, compare, found;
			uint32_t id, compare_swap;
		} atomic;
		char text[200]; /* REFUSED: a sentence for the user */
	};
};

#define FNS_SERVICE_FDS 1u /* beside one message at most */

void fns_service_msg_init(struct fns_service_msg *m, enum fns_service_type type);
/* fd -1: none; stays the caller's. 0 or negative errno; -ECONNRESET: the other side is gone. Never
 * raises SIGPIPE. */
int fns_service_msg_send(int sock, const struct fns_service_msg *m, int fd, int flags);
/*
 * *fd: that came with it, the caller's from now on, or -1. 0; -ECONNRESET at the end of the
 * connection; -EPROTO for what is no message of this version; or another negative errno.
 */
int fns_service_msg_recv(int sock, struct fns_service_msg *m, int *fd, int flags);
/* The address of uid's service for a port; its length. */
socklen_t fns_service_addr(struct sockaddr_un *sa, uid_t uid, uint16_t port);

#endif
