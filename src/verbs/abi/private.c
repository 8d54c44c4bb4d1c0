/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that hardware providers (libmlx5, libefa, libmlx4, ...) import from libibverbs: its
 * private ABI, one version node per release that changed it. Programs pull those providers in by
 * linking to them directly, so they must load; but there is no hardware behind us for them to
 * drive. Registering a driver is accepted and ignored, so that their constructors succeed;
 * everything else says EOPNOTSUPP. Called by providers' code only, never by FlexiNS itself.
 *
 * A name's default version is the node of Debian 12 (libibverbs.map); the table below adds the
 * later nodes.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ibv_context;

/* One name in every private node. The later ones are those of the releases that changed the private
 * ABI. */
#define IN_LATER_NODES(name)                                                                       \
	__asm__(".symver fns_abi_" #name "," #name "@IBVERBS_PRIVATE_57");                         \
	__asm__(".symver fns_abi_" #name "," #name "@IBVERBS_PRIVATE_59");                         \
	__asm__(".symver fns_abi_" #name "," #name "@IBVERBS_PRIVATE_64");                         \
	__asm__(".symver fns_abi_" #name "," #name "@IBVERBS_PRIVATE_65");

/* The default has to be spelled too: ld takes a name with any .symver line out of the version
 * script's hands. */
#define IN_ALL_NODES(name)                                                                         \
	__asm__(".symver fns_abi_" #name "," #name "@@IBVERBS_PRIVATE_34");                        \
	IN_LATER_NODES(name)

/* The arguments differ from name to name and are not looked at: every ABI that we run on lets a
 * callee ignore them. */
#define REFUSE(name)                                                                               \
	int fns_abi_##name(void);                                                                  \
	int fns_abi_##name(void)                                                                   \
	{                                                                                          \
		return EOPNOTSUPP;                                                                 \
	}

#define REFUSE_IN_ALL_NODES(name)                                                                  \
	REFUSE(name)                                                                               \
	IN_ALL_NODES(name)
#define REFUSE_IN_LATER_NODES(name)                                                                \
	REFUSE(name)                                                                               \
	IN_LATER_NODES(name)

#define PRIVATE_NAMES(X)                                                                           \
	X(execute_ioctl)                                                                           \
	X(ibv_cmd_advise_mr)                                                                       \
	X(ibv_cmd_alloc_dm)                                                                        \
	X(ibv_cmd_alloc_mw)                                                                        \
	X(ibv_cmd_alloc_pd)                                                                        \
	X(ibv_cmd_attach_mcast)                                                                    \
	X(ibv_cmd_close_xrcd)                                                                      \
	X(ibv_cmd_create_ah)                                                                       \
	X(ibv_cmd_create_counters)                                                                 \
	X(ibv_cmd_create_cq)                                                                       \
	X(ibv_cmd_create_cq_ex)                                                                    \
	X(ibv_cmd_create_flow)                                                                     \
	X(ibv_cmd_create_flow_action_esp)                                                          \
	X(ibv_cmd_create_qp)                                                                       \
	X(ibv_cmd_create_qp_ex)                                                                    \
	X(ibv_cmd_create_qp_ex2)                                                                   \
	X(ibv_cmd_create_rwq_ind_table)                                                            \
	X(ibv_cmd_create_srq)                                                                      \
	X(ibv_cmd_create_srq_ex)                                                                   \
	X(ibv_cmd_create_wq)                                                                       \
	X(ibv_cmd_dealloc_mw)                                                                      \
	X(ibv_cmd_dealloc_pd)                                                                      \
	X(ibv_cmd_dereg_mr)                                                                        \
	X(ibv_cmd_destroy_ah)                                                                      \
	X(ibv_cmd_destroy_counters)                                                                \
	X(ibv_cmd_destroy_cq)                                                                      \
	X(ibv_cmd_destroy_flow)                                                                    \
	X(ibv_cmd_destroy_flow_action)                                                             \
	X(ibv_cmd_destroy_qp)                                                                      \
	X(ibv_cmd_destroy_rwq_ind_table)                                                           \
	X(ibv_cmd_destroy_srq)                                                                     \
	X(ibv_cmd_destroy_wq)                                                                      \
	X(ibv_cmd_detach_mcast)                                                                    \
	X(ibv_cmd_free_dm)                                                                         \
	X(ibv_cmd_get_context)                                                                     \
	X(ibv_cmd_modify_cq)                                                                       \
	X(ibv_cmd_modify_flow_action_esp)                                                          \
	X(ibv_cmd_modify_qp)                                                                       \
	X(ibv_cmd_modify_qp_ex)                                                                    \
	X(ibv_cmd_modify_srq)                                                                      \
	X(ibv_cmd_modify_wq)                                                                       \
	X(ibv_cmd_open_qp)                                                                         \
	X(ibv_cmd_open_xrcd)                                                                       \
	X(ibv_cmd_poll_cq)                                                                         \
	X(ibv_cmd_post_recv)                                                                       \
	X(ibv_cmd_post_send)                                                                       \
	X(ibv_cmd_post_srq_recv)                                                                   \
	X(ibv_cmd_query_context)                                                                   \
	X(ibv_cmd_query_device_any)                                                                \
	X(ibv_cmd_query_mr)                                                                        \
	X(ibv_cmd_query_port)                                                                      \
	X(ibv_cmd_query_qp)                                                                        \
	X(ibv_cmd_query_srq)                                                                       \
	X(ibv_cmd_read_counters)                                                                   \
	X(ibv_cmd_reg_dm_mr)                                                                       \
	X(ibv_cmd_reg_dmabuf_mr)                                                                   \
	X(ibv_cmd_reg_mr)                                                                          \
	X(ibv_cmd_req_notify_cq)                                                                   \
	X(ibv_cmd_rereg_mr)                                                                        \
	X(ibv_cmd_resize_cq)                                                                       \
	X(verbs_init_cq)

/* Names that only later releases have. */
#define LATER_NAMES(X)                                                                             \
	X(ibv_cmd_alloc_dmah)                                                                      \
	X(ibv_cmd_create_cq_ex2)                                                                   \
	X(ibv_cmd_export_dmabuf_fd)                                                                \
	X(ibv_cmd_free_dmah)                                                                       \
	X(ibv_cmd_query_port_speed)                                                                \
	X(ibv_cmd_reg_mr_ex)

PRIVATE_NAMES(REFUSE_IN_ALL_NODES)
LATER_NAMES(REFUSE_IN_LATER_NODES)

/* Data, not a function: providers store through it. */
extern bool fns_abi_verbs_allow_disassociate_destroy;
bool fns_abi_verbs_allow_disassociate_destroy;
IN_ALL_NODES(verbs_allow_disassociate_destroy)

/* The release's number is part of the name; each exists in its own node alone. */
#define ACCEPT_DRIVER(release)                                                                     \
	void verbs_register_driver_##release(const void *ops);                                     \
	void verbs_register_driver_##release(const void *ops)                                      \
	{                                                                                          \
		(void)ops;                                                                         \
	}

#define ACCEPT_LATER_DRIVER(release)                                                               \
	ACCEPT_DRIVER(release)                                                                     \
	__asm__(".symver verbs_register_driver_" #release ",verbs_register_driver_" #release       \
		"@IBVERBS_PRIVATE_" #release);

ACCEPT_DRIVER(34)
ACCEPT_LATER_DRIVER(57)
ACCEPT_LATER_DRIVER(59)
ACCEPT_LATER_DRIVER(64)
ACCEPT_LATER_DRIVER(65)

void *fns_abi__verbs_init_and_alloc_context(void);
void *fns_abi__verbs_init_and_alloc_context(void)
{
	errno = EOPNOTSUPP;
	return NULL;
}
IN_ALL_NODES(_verbs_init_and_alloc_context)

struct ibv_context *fns_abi_verbs_open_device(void *device, void *private_data);
struct ibv_context *fns_abi_verbs_open_device(void *device, void *private_data)
{
	(void)device;
	(void)private_data;
	errno = EOPNOTSUPP; /* a provider's own way to open: our devices are not its devices */
	return NULL;
}
IN_ALL_NODES(verbs_open_device)

void fns_abi_verbs_set_ops(void *vctx, const void *ops);
void fns_abi_verbs_set_ops(void *vctx, const void *ops)
{
	(void)vctx;
	(void)ops;
}
IN_ALL_NODES(verbs_set_ops)

void fns_abi_verbs_uninit_context(void *vctx);
void fns_abi_verbs_uninit_context(void *vctx)
{
	(void)vctx;
}
IN_ALL_NODES(verbs_uninit_context)

void fns_abi___verbs_log(void *vctx, uint32_t level, const char *fmt, ...);
void fns_abi___verbs_log(void *vctx, uint32_t level, const char *fmt, ...)
{
	(void)vctx;
	(void)level;
	(void)fmt; /* what a provider without a device has to say interests nobody */
}
IN_ALL_NODES(__verbs_log)

unsigned fns_abi___ioctl_final_num_attrs(unsigned num_attrs, void *link);
unsigned fns_abi___ioctl_final_num_attrs(unsigned num_attrs, void *link)
{
	(void)link;
	return num_attrs;
}
IN_ALL_NODES(__ioctl_final_num_attrs)

const char *fns_abi_ibv_wr_opcode_str(int opcode);
const char *fns_abi_ibv_wr_opcode_str(int opcode)
{
	(void)opcode;
	return "unknown";
}
IN_LATER_NODES(ibv_wr_opcode_str)

int fns_abi_ibv_read_ibdev_sysfs_file(
	char *buf, size_t size, void *sysfs_dev, const char *fmt, ...);
int fns_abi_ibv_read_ibdev_sysfs_file(char *buf, size_t size, void *sysfs_dev, const char *fmt, ...)
{
	(void)buf;
	(void)size;
	(void)sysfs_dev;
	(void)fmt;
	errno = ENOENT;
	return -1;
}
IN_ALL_NODES(ibv_read_ibdev_sysfs_file)

/*
 * Really called, by ibv_devinfo and pyverbs. The sysfs numbering has InfiniBand and RoCE v1 as 0
 * and RoCE v2 as 1; every GID of ours is RoCE v2.
 */
int fns_abi_ibv_query_gid_type(
	struct ibv_context *context, uint8_t port_num, unsigned index, unsigned *type);
int fns_abi_ibv_query_gid_type(
	struct ibv_context *context, uint8_t port_num, unsigned index, unsigned *type)
{
	(void)context;
	(void)port_num;
	(void)index;
	*type = 1;
	return 0;
}
IN_ALL_NODES(ibv_query_gid_type)
