/* SPDX-License-Identifier: Apache-2.0 */
/* Devices: what they say of themselves, their addresses, which there are; names of codes. */
#include "fake.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "verbs/limits.h"
#include "verbs/netdev.h"

static void test_device(void **state)
{
	struct ibv_device *dev = ctx->device;
	struct ibv_device_attr_ex ex;
	struct ibv_device_attr a;

	assert_string_equal(ibv_get_device_name(dev), "flexins0");
	assert_string_equal(dev->dev_name, "uverbs0");
	assert_int_equal(ibv_get_device_index(dev), 0);
	assert_true(ibv_get_device_guid(dev) != 0);
	assert_non_null(*(void **)((char *)dev + 664));
	assert_true(fcntl(ctx->cmd_fd, F_GETFD) >= 0);
	assert_ptr_equal(ctx->abi_compat, (void *)UINTPTR_MAX);
	assert_int_equal(ibv_query_device(ctx, &a), 0);
	assert_int_equal(a.node_guid, ibv_get_device_guid(dev));
	assert_int_equal(a.max_qp_wr, FNS_MAX_QP_WR);
	assert_int_equal(a.phys_port_cnt, 1);
	memset(&ex, 0xff, sizeof(ex));
	assert_int_equal(ibv_query_device_ex(ctx, NULL, &ex), 0);
	assert_memory_equal(&ex.orig_attr, &a, sizeof(a));
	assert_int_equal(ex.phys_port_cnt_ex, 1);
	assert_int_equal(ex.hca_core_clock, 1000000);
	assert_int_equal(ex.raw_packet_caps, 0);
	/* An older caller's struct is shorter: not a byte behind it. */
	struct {
		struct ibv_device_attr a;
		uint8_t guard[64];
	} old;

	memset(&old, 0xee, sizeof(old));
	assert_int_equal(
		verbs_get_ctx(ctx)->query_device_ex(ctx, NULL, (void *)&old, sizeof(a)), 0);
	assert_memory_equal(&old.a, &a, sizeof(a));
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(old.guard[i], 0xee);
}

/* The exported function of that name, not the header's macro. */
#undef ibv_query_port
static void test_port(void **state)
{
	struct ibv_port_attr a, old;

	memset(&a, 0xee, sizeof(a));
	assert_int_equal(___ibv_query_port(ctx, 1, &a), 0);
	assert_int_equal(a.state, IBV_PORT_ACTIVE);
	assert_int_equal(a.link_layer, IBV_LINK_LAYER_ETHERNET);
	assert_int_equal(a.active_mtu, IBV_MTU_4096);
	assert_int_equal(a.gid_tbl_len, FNS_GID_TBL_LEN);
	assert_int_equal(a.port_cap_flags2, 0);
	memset(&old, 0xee, sizeof(old));
	assert_int_equal(ibv_query_port(ctx, 1, (struct _compat_ibv_port_attr *)&old), 0);
	assert_memory_equal(&a, &old, 48);
	assert_int_equal(offsetof(struct ibv_port_attr, port_cap_flags2), 48);
	assert_int_equal(old.port_cap_flags2, 0xeeee);
	assert_int_equal(___ibv_query_port(ctx, 0, &a), EINVAL);
	assert_int_equal(___ibv_query_port(ctx, 2, &a), EINVAL);
}

static void test_gids(void **state)
{
	static const uint8_t v4_loop[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
	struct ibv_gid_entry e, table[FNS_GID_TBL_LEN];
	union ibv_gid gid;
	ssize_t n;

	assert_int_equal(ibv_query_gid(ctx, 1, 0, &gid), 0);
	assert_memory_equal(gid.raw, v4_loop, 16);
	memset(&gid, 0xff, sizeof(gid));
	assert_int_equal(ibv_query_gid(ctx, 1, FNS_GID_TBL_LEN - 1, &gid), 0);
	assert_int_equal(gid.global.subnet_prefix | gid.global.interface_id, 0);
	assert_int_equal(ibv_query_gid(ctx, 1, FNS_GID_TBL_LEN, &gid), -1);
	assert_int_equal(ibv_query_gid(ctx, 1, -1, &gid), -1);
	assert_int_equal(ibv_query_gid(ctx, 2, 0, &gid), -1);

	assert_int_equal(ibv_query_gid_ex(ctx, 1, 0, &e, 0), 0);
	assert_memory_equal(e.gid.raw, v4_loop, 16);
	assert_int_equal(e.gid_type, IBV_GID_TYPE_ROCE_V2);
	assert_int_equal(e.port_num, 1);
	assert_true(e.ndev_ifindex > 0);
	assert_int_equal(ibv_query_gid_ex(ctx, 1, FNS_GID_TBL_LEN - 1, &e, 0), ENODATA);
	assert_int_equal(ibv_query_gid_ex(ctx, 1, FNS_GID_TBL_LEN, &e, 0), EINVAL);
	assert_int_equal(ibv_query_gid_ex(ctx, 1, 0, &e, 1), EINVAL);
	assert_int_equal(ibv_query_gid_table(ctx, table, 0, 0), -EINVAL);
	n = ibv_query_gid_table(ctx, table, FNS_GID_TBL_LEN, 0);
	assert_in_range(n, 1, FNS_GID_TBL_LEN);
	assert_memory_equal(table[0].gid.raw, v4_loop, 16);
	/* Entries of a longer struct, as a newer header may have. */
	struct {
		struct ibv_gid_entry e;
		uint64_t more;
	} wide[FNS_GID_TBL_LEN];

	memset(wide, 0xff, sizeof(wide));
	assert_int_equal(
		_ibv_query_gid_table(ctx, &wide[0].e, FNS_GID_TBL_LEN, 0, sizeof(wide[0])), n);
	for (ssize_t i = 0; i < n; i++) {
		assert_int_equal(wide[i].e.gid_index, i);
		assert_int_equal(wide[i].more, 0);
	}
}

static void test_pkeys_and_clock(void **state)
{
	struct ibv_values_ex v = {.comp_mask = IBV_VALUES_MASK_RAW_CLOCK};
	__be16 pkey = 0;

	assert_int_equal(ibv_query_pkey(ctx, 1, 0, &pkey), 0);
	assert_int_equal(pkey, 0xffff);
	assert_int_equal(ibv_query_pkey(ctx, 1, 1, &pkey), -1);
	assert_int_equal(ibv_query_pkey(ctx, 2, 0, &pkey), -1);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, htobe16(0xffff)), 0);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, htobe16(0x7fff)), 0);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, htobe16(0x8001)), -1);
	assert_int_equal(ibv_query_rt_values_ex(ctx, &v), 0);
	assert_int_equal(v.raw_clock.tv_nsec, 5000);
	v.comp_mask = 2;
	assert_int_equal(ibv_query_rt_values_ex(ctx, &v), EINVAL);
}

static void test_open_failures(void **state)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	fake.fail_op = FNS_CTL_CLIENT_OPEN;
	fake.fail_err = -ENOSPC;
	fake.fail_times = 1;
	assert_null(ibv_open_device(list[0]));
	assert_int_equal(errno, ENOSPC);
	fake.alive = 0;
	assert_null(ibv_open_device(list[0]));
	assert_int_equal(errno, EIO);
	fake.alive = 1;
	ibv_free_device_list(list);
}

static void test_netdev(void **state)
{
	struct fns_netdev nd[4];
	struct ibv_device **list;
	int n = -1;

	assert_int_equal(fns_netdev_ib_mtu(335), 0);
	assert_int_equal(fns_netdev_ib_mtu(336), 1);
	assert_int_equal(fns_netdev_ib_mtu(1103), 2);
	assert_int_equal(fns_netdev_ib_mtu(1500), 3);
	assert_int_equal(fns_netdev_ib_mtu(2128), 4);
	assert_int_equal(fns_netdev_ib_mtu(4175), 4);
	assert_int_equal(fns_netdev_ib_mtu(4200), 5);
	assert_int_equal(fns_netdev_ib_mtu(65536), 5);
	setenv("FLEXINS_IFACE", "nosuchif0,lo, lo", 1);
	assert_int_equal(fns_netdev_discover(nd, 4), 1);
	assert_string_equal(nd[0].name, "lo");
	assert_true(nd[0].loopback);
	assert_true(nd[0].guid != 0);
	setenv("FLEXINS_IFACE", "nosuchif0", 1);
	list = ibv_get_device_list(&n);
	assert_non_null(list);
	assert_int_equal(n, 0);
	assert_null(list[0]);
	ibv_free_device_list(list);
	unsetenv("FLEXINS_IFACE");
	assert_int_equal(fns_netdev_discover(nd, 4), 1);
	assert_true(nd[0].n_gids > 0);
	assert_int_equal(fns_netdev_read("nosuchif0", nd), -ENODEV);
	setenv("FLEXINS_IFACE", "lo", 1);
}

static void test_strings(void **state)
{
	assert_string_equal(ibv_wc_status_str(IBV_WC_SUCCESS), "success");
	assert_string_equal(ibv_wc_status_str((enum ibv_wc_status)1000), "unknown");
	assert_string_equal(ibv_node_type_str((enum ibv_node_type) - 1), "unknown");
	for (int i = 0; i <= IBV_WC_TM_RNDV_INCOMPLETE; i++)
		assert_string_not_equal(ibv_wc_status_str((enum ibv_wc_status)i), "unknown");
	for (int i = 0; i <= IBV_EVENT_WQ_FATAL; i++)
		assert_string_not_equal(ibv_event_type_str((enum ibv_event_type)i), "unknown");
	assert_int_equal(ibv_rate_to_mbps(IBV_RATE_100_GBPS), 103125);
	assert_int_equal(ibv_rate_to_mult(IBV_RATE_5_GBPS), 2);
	assert_int_equal(ibv_rate_to_mult(IBV_RATE_MAX), -1);
	for (int r = IBV_RATE_2_5_GBPS; r <= IBV_RATE_1200_GBPS; r++) {
		assert_int_equal(mbps_to_ibv_rate(ibv_rate_to_mbps((enum ibv_rate)r)), r);
		assert_int_equal(mult_to_ibv_rate(ibv_rate_to_mult((enum ibv_rate)r)), r);
	}
	assert_int_equal(ibv_fork_init(), 0);
	assert_int_equal(ibv_is_fork_initialized(), IBV_FORK_UNNEEDED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_device),
		T(test_port),
		T(test_gids),
		T(test_pkeys_and_clock),
		T(test_open_failures),
		T(test_netdev),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
