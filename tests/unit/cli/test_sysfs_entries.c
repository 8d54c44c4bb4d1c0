/* SPDX-License-Identifier: Apache-2.0 */
/* The private tree as a list: complete, deterministic, and its links lead where they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/sysfs_entries.h"

static struct fns_netdev example(const char *name, uint8_t last_byte)
{
	struct fns_netdev d = {
		.ifindex = 3,
		.mtu = 1500,
		.guid = 0x0255aafffe000001ull,
		.up = true,
		.n_gids = 2,
	};

	snprintf(d.name, sizeof(d.name), "%s", name);
	d.gid[0] =
		(struct fns_gid){{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last_byte}};
	d.gid[1] = (struct fns_gid){{0x20, 0x01, 0x0d, 0xb8, [15] = last_byte}};
	return d;
}

static const struct fns_sysfs_entry *find(const struct fns_sysfs *fs, const char *path)
{
	for (unsigned i = 0; i < fs->n; i++) {
		if (strcmp(fs->entry[i].path, path) == 0)
			return &fs->entry[i];
	}
	return NULL;
}

static void has(
	const struct fns_sysfs *fs, const char *path, enum fns_sysfs_type type, const char *content)
{
	const struct fns_sysfs_entry *e = find(fs, path);

	if (e == NULL)
		fail_msg("no %s", path);
	assert_int_equal(e->type, type);
	assert_string_equal(e->content, content);
}

#define DEV0 "sys/devices/virtual/flexins/flexins0"
#define IB0  DEV0 "/infiniband/flexins0"

static void test_content(void **state)
{
	struct fns_netdev dev[2] = {example("nosuch0", 1), example("nosuch1", 2)};
	struct fns_sysfs fs = {0};

	(void)state;
	dev[1].up = false;
	assert_int_equal(fns_sysfs_build(&fs, dev, 2), 0);
	has(&fs, IB0 "/node_type", FNS_SYSFS_FILE, "1: CA\n");
	has(&fs, IB0 "/node_guid", FNS_SYSFS_FILE, "0255:aaff:fe00:0001\n");
	has(&fs, IB0 "/ports/1/state", FNS_SYSFS_FILE, "4: ACTIVE\n");
	has(&fs, IB0 "/ports/1/gids/0", FNS_SYSFS_FILE,
		"0000:0000:0000:0000:0000:ffff:c000:0201\n");
	has(&fs, IB0 "/ports/1/gids/1", FNS_SYSFS_FILE,
		"2001:0db8:0000:0000:0000:0000:0000:0001\n");
	assert_null(find(&fs, IB0 "/ports/1/gids/2"));
	has(&fs, IB0 "/ports/1/gid_attrs/types/1", FNS_SYSFS_FILE, "RoCE v2\n");
	has(&fs, IB0 "/ports/1/gid_attrs/ndevs/1", FNS_SYSFS_FILE, "nosuch0\n");
	has(&fs, IB0 "/ports/1/pkeys/0", FNS_SYSFS_FILE, "0xffff\n");
	has(&fs, IB0 "/device", FNS_SYSFS_LINK, "../../../flexins0");
	has(&fs, DEV0 "/numa_node", FNS_SYSFS_FILE, "-1\n");
	has(&fs, DEV0 "/net/nosuch0", FNS_SYSFS_LINK, "/sys/class/net/nosuch0");
	has(&fs, "sys/class/infiniband/flexins1", FNS_SYSFS_LINK,
		"../../devices/virtual/flexins/flexins1/infiniband/flexins1");
	has(&fs, "sys/class/infiniband_verbs/uverbs1", FNS_SYSFS_LINK,
		"../../devices/virtual/flexins/flexins1/infiniband_verbs/uverbs1");
	has(&fs, "sys/devices/virtual/flexins/flexins1/infiniband/flexins1/ports/1/state",
		FNS_SYSFS_FILE, "1: DOWN\n");
	has(&fs, "dev/infiniband/uverbs1", FNS_SYSFS_LINK, "/dev/null");
	for (unsigned i = 0; i < fs.n; i++)
		assert_ptr_equal(find(&fs, fs.entry[i].path), &fs.entry[i]); /* no path twice */
	fns_sysfs_fini(&fs);
}

static void test_hash(void **state)
{
	struct fns_netdev dev = example("nosuch0", 1), other;
	struct fns_sysfs a = {0}, b = {0}, c = {0}, none = {0};

	(void)state;
	other = dev;
	other.gid[1].b[7] ^= 1;
	assert_int_equal(fns_sysfs_build(&a, &dev, 1), 0);
	assert_int_equal(fns_sysfs_build(&b, &dev, 1), 0);
	assert_int_equal(fns_sysfs_build(&c, &other, 1), 0);
	assert_int_equal(fns_sysfs_build(&none, &dev, 0), 0);
	assert_true(fns_sysfs_hash(&a) == fns_sysfs_hash(&b));
	assert_true(fns_sysfs_hash(&a) != fns_sysfs_hash(&c));
	assert_true(fns_sysfs_hash(&a) != fns_sysfs_hash(&none));
	assert_non_null(find(&none, "sys/class/infiniband")); /* empty, but there: the system's must
								 not shine through */
	fns_sysfs_fini(&a);
	fns_sysfs_fini(&b);
	fns_sysfs_fini(&c);
	fns_sysfs_fini(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
