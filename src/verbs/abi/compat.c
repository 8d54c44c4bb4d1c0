/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IBVERBS_1.0 variants of 33 names. In that ABI (libibverbs before 1.1, 2007) the objects had
 * other layouts; no program that is still built uses it, but the names belong to the library's
 * symbol list. ibv_get_device_list answers that there are no devices and says why once, so that
 * nothing else here is ever reached with an object of ours.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stddef.h>

#define VERSION_1_0(name) __asm__(".symver " #name "_1_0," #name "@IBVERBS_1.0")

/* As in private.c: the arguments are not looked at. */
#define STUB(type, name, ...)                                                                      \
	type name##_1_0(void);                                                                     \
	type name##_1_0(void){__VA_ARGS__} VERSION_1_0(name);

#define ERRNUM(name)  STUB(int, name, return EOPNOTSUPP;)
#define MINUS1(name)  STUB(int, name, errno = EOPNOTSUPP; return -1;)
#define NOTHING(name) STUB(void, name, )
#define NULLPTR(name) STUB(void *, name, errno = EOPNOTSUPP; return NULL;)

void **ibv_get_device_list_1_0(int *num);
void **ibv_get_device_list_1_0(int *num)
{
	if (num != NULL)
		*num = 0;
	fputs("flexins: this program was built against libibverbs 1.0 (before 2007); build it again against a "
	      "current libibverbs\n",
		stderr);
	errno = ENOSYS;
	return NULL;
}
VERSION_1_0(ibv_get_device_list);

STUB(uint64_t, ibv_get_device_guid, return 0;)

NULLPTR(ibv_get_device_name)
NULLPTR(ibv_open_device)
NULLPTR(ibv_alloc_pd)
NULLPTR(ibv_reg_mr)
NULLPTR(ibv_create_cq)
NULLPTR(ibv_create_srq)
NULLPTR(ibv_create_qp)
NULLPTR(ibv_create_ah)
MINUS1(ibv_get_async_event)
MINUS1(ibv_get_cq_event)
MINUS1(ibv_query_gid)
MINUS1(ibv_query_pkey)
NOTHING(ibv_free_device_list)
NOTHING(ibv_ack_async_event)
NOTHING(ibv_ack_cq_events)
ERRNUM(ibv_attach_mcast)
ERRNUM(ibv_close_device)
ERRNUM(ibv_dealloc_pd)
ERRNUM(ibv_dereg_mr)
ERRNUM(ibv_destroy_ah)
ERRNUM(ibv_destroy_cq)
ERRNUM(ibv_destroy_qp)
ERRNUM(ibv_destroy_srq)
ERRNUM(ibv_detach_mcast)
ERRNUM(ibv_modify_qp)
ERRNUM(ibv_modify_srq)
ERRNUM(ibv_query_device)
ERRNUM(ibv_query_port)
ERRNUM(ibv_query_qp)
ERRNUM(ibv_query_srq)
ERRNUM(ibv_resize_cq)

/* Provider plug-ins of libibverbs before release 12 called this; accepted and ignored like its
 * successors. */
void fns_abi_register_driver(void);
void fns_abi_register_driver(void)
{
}
__asm__(".symver fns_abi_register_driver,ibv_register_driver@IBVERBS_1.1");
