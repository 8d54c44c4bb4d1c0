/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdmacm.so.1: connection management. Not there yet: the library has every name and version node
 * of rdma-core's, so that programs which link to it start (rping, ucmatose and others bind NOW,
 * rsockets included), and each call fails with ENOSYS, as on a system without the rdma_cm kernel
 * module. Functions that only look at their arguments are real.
 *
 * Programs that can exchange addresses over TCP instead (perftest without -R, for one) need none of
 * this.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <rdma/rdma_cma.h>
#include <stddef.h>

#include "base/util.h"

/* The stubs do not look at their arguments: every ABI that we run on lets a callee ignore them.
 * Their C names carry a prefix because <rdma/rdma_cma.h> has the true prototypes. */
#define STUB(type, name, ...)                                                                      \
	type fns_rdmacm_##name(void) __asm__(#name);                                               \
	type fns_rdmacm_##name(void)                                                               \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

#define MINUS1(name)  STUB(long, name, errno = ENOSYS; return -1;)
#define NULLPTR(name) STUB(void *, name, errno = ENOSYS; return NULL;)
#define NOTHING(name) STUB(void, name, )

/* -1 and errno: connection management. */
#define RDMA_NAMES(X)                                                                              \
	X(rdma_accept)                                                                             \
	X(rdma_ack_cm_event)                                                                       \
	X(rdma_bind_addr)                                                                          \
	X(rdma_connect)                                                                            \
	X(rdma_create_ep)                                                                          \
	X(rdma_create_id)                                                                          \
	X(rdma_create_qp)                                                                          \
	X(rdma_create_qp_ex)                                                                       \
	X(rdma_create_srq)                                                                         \
	X(rdma_create_srq_ex)                                                                      \
	X(rdma_destroy_id)                                                                         \
	X(rdma_disconnect)                                                                         \
	X(rdma_establish)                                                                          \
	X(rdma_get_cm_event)                                                                       \
	X(rdma_get_remote_ece)                                                                     \
	X(rdma_get_request)                                                                        \
	X(rdma_getaddrinfo)                                                                        \
	X(rdma_init_qp_attr)                                                                       \
	X(rdma_join_multicast)                                                                     \
	X(rdma_join_multicast_ex)                                                                  \
	X(rdma_leave_multicast)                                                                    \
	X(rdma_listen)                                                                             \
	X(rdma_migrate_id)                                                                         \
	X(rdma_notify)                                                                             \
	X(rdma_query_addrinfo)                                                                     \
	X(rdma_reject)                                                                             \
	X(rdma_reject_ece)                                                                         \
	X(rdma_resolve_addr)                                                                       \
	X(rdma_resolve_addrinfo)                                                                   \
	X(rdma_resolve_route)                                                                      \
	X(rdma_set_local_ece)                                                                      \
	X(rdma_set_option)                                                                         \
	X(rdma_write_cm_event)

/* -1 and errno: rsockets. long is wide enough for the ssize_t, size_t and off_t among them. */
#define RSOCKET_NAMES(X)                                                                           \
	X(raccept)                                                                                 \
	X(rbind)                                                                                   \
	X(rclose)                                                                                  \
	X(rconnect)                                                                                \
	X(rfcntl)                                                                                  \
	X(rgetpeername)                                                                            \
	X(rgetsockname)                                                                            \
	X(rgetsockopt)                                                                             \
	X(riomap)                                                                                  \
	X(riounmap)                                                                                \
	X(riowrite)                                                                                \
	X(rlisten)                                                                                 \
	X(rpoll)                                                                                   \
	X(rread)                                                                                   \
	X(rreadv)                                                                                  \
	X(rrecv)                                                                                   \
	X(rrecvfrom)                                                                               \
	X(rrecvmsg)                                                                                \
	X(rselect)                                                                                 \
	X(rsend)                                                                                   \
	X(rsendmsg)                                                                                \
	X(rsendto)                                                                                 \
	X(rsetsockopt)                                                                             \
	X(rshutdown)                                                                               \
	X(rsocket)                                                                                 \
	X(rwrite)                                                                                  \
	X(rwritev)

RDMA_NAMES(MINUS1)
RSOCKET_NAMES(MINUS1)

NULLPTR(rdma_create_event_channel)
NULLPTR(rdma_get_devices)

NOTHING(rdma_destroy_event_channel)
NOTHING(rdma_destroy_qp)
NOTHING(rdma_destroy_srq)
NOTHING(rdma_destroy_ep)
NOTHING(rdma_free_devices)
NOTHING(rdma_freeaddrinfo)

const char *rdma_event_str(enum rdma_cm_event_type event)
{
#define NAME(x) [x] = #x
	static const char *const name[] = {
		NAME(RDMA_CM_EVENT_ADDR_RESOLVED),
		NAME(RDMA_CM_EVENT_ADDR_ERROR),
		NAME(RDMA_CM_EVENT_ROUTE_RESOLVED),
		NAME(RDMA_CM_EVENT_ROUTE_ERROR),
		NAME(RDMA_CM_EVENT_CONNECT_REQUEST),
		NAME(RDMA_CM_EVENT_CONNECT_RESPONSE),
		NAME(RDMA_CM_EVENT_CONNECT_ERROR),
		NAME(RDMA_CM_EVENT_UNREACHABLE),
		NAME(RDMA_CM_EVENT_REJECTED),
		NAME(RDMA_CM_EVENT_ESTABLISHED),
		NAME(RDMA_CM_EVENT_DISCONNECTED),
		NAME(RDMA_CM_EVENT_DEVICE_REMOVAL),
		NAME(RDMA_CM_EVENT_MULTICAST_JOIN),
		NAME(RDMA_CM_EVENT_MULTICAST_ERROR),
		NAME(RDMA_CM_EVENT_ADDR_CHANGE),
		NAME(RDMA_CM_EVENT_TIMEWAIT_EXIT),
	};
#undef NAME

	return (size_t)event < FNS_ARRAY_SIZE(name) ? name[event] : "UNKNOWN EVENT";
}

static __be16 address_port(const struct sockaddr *addr)
{
	switch (addr->sa_family) {
	case AF_INET:
		return ((const struct sockaddr_in *)(const void *)addr)->sin_port;
	case AF_INET6:
		return ((const struct sockaddr_in6 *)(const void *)addr)->sin6_port;
	default:
		return 0;
	}
}

__be16 rdma_get_src_port(struct rdma_cm_id *id)
{
	return address_port(&id->route.addr.src_addr);
}

__be16 rdma_get_dst_port(struct rdma_cm_id *id)
{
	return address_port(&id->route.addr.dst_addr);
}
