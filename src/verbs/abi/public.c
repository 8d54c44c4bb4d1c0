/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public name of libibverbs.so.1, weakly: where src/verbs defines a name, that definition
 * wins at link time; what it does not define fails here in the way that verbs reports "not
 * supported" for that name. So the library always has the whole symbol list, and a program that
 * binds NOW starts even if it never calls the missing function.
 *
 * <infiniband/verbs.h> is not included on purpose: these are not the prototypes. The arguments are
 * not looked at.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define WEAK(type, name, ...)                                                                      \
	type name(void) __attribute__((weak));                                                     \
	type name(void)                                                                            \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

#define ERRNUM(name)  WEAK(int, name, return EOPNOTSUPP;)
#define MINUS1(name)  WEAK(int, name, errno = EOPNOTSUPP; return -1;)
#define ZERO(name)    WEAK(int, name, return 0;)
#define NULLPTR(name) WEAK(void *, name, errno = EOPNOTSUPP; return NULL;)
#define UNKNOWN(name) WEAK(const char *, name, return "unknown";)
#define NOTHING(name) WEAK(void, name, )

/* Pointers: NULL and errno. */
NULLPTR(ibv_get_device_list)
NULLPTR(ibv_open_device)
NULLPTR(ibv_alloc_pd)
NULLPTR(ibv_reg_mr)
NULLPTR(ibv_reg_mr_iova)
NULLPTR(ibv_reg_mr_iova2)
NULLPTR(ibv_reg_dmabuf_mr)
NULLPTR(ibv_create_comp_channel)
NULLPTR(ibv_create_cq)
NULLPTR(ibv_create_srq)
NULLPTR(ibv_create_qp)
NULLPTR(ibv_qp_to_qp_ex)
NULLPTR(ibv_create_ah)
NULLPTR(ibv_create_ah_from_wc)
NULLPTR(ibv_import_device)
NULLPTR(ibv_import_pd)
NULLPTR(ibv_import_mr)
NULLPTR(ibv_import_dm)
NULLPTR(ibv_alloc_dmah)
NULLPTR(ibv_reg_mr_ex)

/* 0 or an errno value. */
ERRNUM(_ibv_query_gid_ex)
ERRNUM(ibv_attach_mcast)
ERRNUM(ibv_close_device)
ERRNUM(ibv_dealloc_dmah)
ERRNUM(ibv_dealloc_pd)
ERRNUM(ibv_dereg_mr)
ERRNUM(ibv_destroy_ah)
ERRNUM(ibv_destroy_comp_channel)
ERRNUM(ibv_destroy_cq)
ERRNUM(ibv_destroy_qp)
ERRNUM(ibv_destroy_srq)
ERRNUM(ibv_detach_mcast)
ERRNUM(ibv_dofork_range)
ERRNUM(ibv_dontfork_range)
ERRNUM(ibv_fork_init)
ERRNUM(ibv_modify_qp)
ERRNUM(ibv_modify_srq)
ERRNUM(ibv_query_device)
ERRNUM(ibv_query_ece)
ERRNUM(ibv_query_port)
ERRNUM(ibv_query_port_speed)
ERRNUM(ibv_query_qp)
ERRNUM(ibv_query_srq)
ERRNUM(ibv_rereg_mr)
ERRNUM(ibv_resize_cq)
ERRNUM(ibv_resolve_eth_l2_from_gid)
ERRNUM(ibv_set_ece)

/* -1 and errno. */
MINUS1(ibv_get_async_event)
MINUS1(ibv_get_cq_event)
MINUS1(ibv_get_pkey_index)
MINUS1(ibv_get_device_index)
MINUS1(ibv_query_gid)
MINUS1(ibv_query_pkey)
MINUS1(ibv_init_ah_from_wc)
MINUS1(ibv_dm_export_dmabuf_fd)
MINUS1(ibv_rate_to_mult)
MINUS1(ibv_rate_to_mbps)
MINUS1(_ibv_query_gid_table)

/* 0 is the honest answer: no such rate, not initialised, no such guarantee. */
ZERO(mult_to_ibv_rate)
ZERO(mbps_to_ibv_rate)
ZERO(ibv_is_fork_initialized)
ZERO(ibv_query_qp_data_in_order)

UNKNOWN(ibv_get_device_name)
UNKNOWN(ibv_node_type_str)
UNKNOWN(ibv_port_state_str)
UNKNOWN(ibv_event_type_str)
UNKNOWN(ibv_wc_status_str)

NOTHING(ibv_free_device_list)
NOTHING(ibv_ack_async_event)
NOTHING(ibv_ack_cq_events)
NOTHING(ibv_unimport_mr)
NOTHING(ibv_unimport_pd)
NOTHING(ibv_unimport_dm)

WEAK(uint64_t, ibv_get_device_guid, return 0;)
