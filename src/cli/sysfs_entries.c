/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel's sysfs would show for these devices, as a list of files, links and directories.
 * The layout is that of a real RDMA device: the class entries are links into the device's own
 * directory, so that realpath() of `device` and relative walks from it work. Counters are left out
 * (an empty directory) rather than shown as zeros that never move: `flexins status` has them.
 */
#include "cli/sysfs_entries.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define CPUS_MAX 4096u

static int add(struct fns_sysfs *fs, enum fns_sysfs_type type, char *path, char *content)
{
	if (path == NULL || content == NULL)
		goto fail;
	if (fs->n == fs->room) {
		unsigned room = fs->room == 0 ? 64 : fs->room * 2;
		struct fns_sysfs_entry *entry = reallocarray(fs->entry, room, sizeof(*entry));

		if (entry == NULL)
			goto fail;
		fs->entry = entry;
		fs->room = room;
	}
	fs->entry[fs->n++] = (struct fns_sysfs_entry){type, path, content};
	return 0;
fail:
	free(path);
	free(content);
	return -ENOMEM;
}

static char *format(const char *fmt, va_list ap)
{
	char *text;

	return vasprintf(&text, fmt, ap) < 0 ? NULL : text;
}

/* Adds dir/name; the format is that of the content, to which a file gets its newline. */
__attribute__((format(printf, 4, 5))) static int file(
	struct fns_sysfs *fs, const char *dir, const char *name, const char *fmt, ...)
{
	char *path, *line, *text;
	va_list ap;

	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		path = NULL;
	if (text == NULL || asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return add(fs, FNS_SYSFS_FILE, path, line);
}

__attribute__((format(printf, 4, 5))) static int link_to(
	struct fns_sysfs *fs, const char *dir, const char *name, const char *fmt, ...)
{
	char *path, *text;
	va_list ap;

	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		path = NULL;
	return add(fs, FNS_SYSFS_LINK, path, text);
}

static int empty_dir(struct fns_sysfs *fs, const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		path = NULL;
	return add(fs, FNS_SYSFS_DIR, path, strdup(""));
}

/* The interface's own answer, else `otherwise`. */
static void read_net(
	const struct fns_netdev *dev, const char *name, const char *otherwise, char *out, int len)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(out, (size_t)len, "%s", otherwise);
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/%s", dev->name, name);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fgets(out, len, f) == NULL)
		snprintf(out, (size_t)len, "%s", otherwise);
	out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

/* All CPUs, in the kernel's notation: groups of 32 bits, the highest first. */
static void all_cpus(char *out, size_t len)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);
	unsigned cpus = n < 1 ? 1 : n > CPUS_MAX ? CPUS_MAX : (unsigned)n;
	size_t have = 0;

	out[0] = '\0';
	for (unsigned group = (cpus + 31) / 32; group-- > 0 && have + 10 < len;) {
		unsigned bits = cpus - group * 32 >= 32 ? 32 : cpus - group * 32;

		have += (size_t)snprintf(out + have, len - have, "%08x%s",
			bits == 32 ? 0xffffffffu : (1u << bits) - 1, group != 0 ? "," : "");
	}
}

static void guid_text(uint64_t guid, char out[static 20])
{
	snprintf(out, 20, "%04x:%04x:%04x:%04x", (unsigned)(guid >> 48),
		(unsigned)(guid >> 32) & 0xffff, (unsigned)(guid >> 16) & 0xffff,
		(unsigned)guid & 0xffff);
}

static int port(struct fns_sysfs *fs, const struct fns_netdev *dev, const char *ibdir)
{
	char dir[PATH_MAX], sub[PATH_MAX + 32], name[16];
	uint32_t mbps = fns_netdev_speed_mbps(dev);
	int rc = 0;

	snprintf(dir, sizeof(dir), "%s/ports/1", ibdir);
	rc |= file(fs, dir, "state", "%s", dev->up ? "4: ACTIVE" : "1: DOWN");
	rc |= file(fs, dir, "phys_state", "%s", dev->up ? "5: LinkUp" : "3: Disabled");
	rc |= file(fs, dir, "link_layer", "Ethernet");
	rc |= file(fs, dir, "rate", "%" PRIu32 "%s Gb/sec (1X)", mbps < 1000 ? 1 : mbps / 1000,
		mbps >= 1000 && mbps % 1000 >= 500 ? ".5" : "");
	rc |= file(fs, dir, "lid", "0x0");
	rc |= file(fs, dir, "lid_mask_count", "0");
	rc |= file(fs, dir, "sm_lid", "0x0");
	rc |= file(fs, dir, "sm_sl", "0");
	rc |= file(fs, dir, "cap_mask", "0x00010000");
	rc |= file(fs, dir, "pkeys/0", "0xffff");
	rc |= empty_dir(fs, dir, "counters");
	rc |= empty_dir(fs, dir, "hw_counters");

	for (unsigned i = 0; i < dev->n_gids; i++) {
		const uint8_t *g = dev->gid[i].b;

		snprintf(name, sizeof(name), "%u", i);
		snprintf(sub, sizeof(sub), "%s/gids", dir);
		rc |= file(fs, sub, name,
			"%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x",
			g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11],
			g[12], g[13], g[14], g[15]);
		snprintf(sub, sizeof(sub), "%s/gid_attrs/types", dir);
		rc |= file(fs, sub, name, "RoCE v2");
		snprintf(sub, sizeof(sub), "%s/gid_attrs/ndevs", dir);
		rc |= file(fs, sub, name, "%s", dev->name);
	}
	return rc;
}

static int device(struct fns_sysfs *fs, const struct fns_netdev *dev, unsigned index)
{
	char dir[128], ib[192], uverbs[192], sub[192], name[16], guid[20],
		text[CPUS_MAX / 32 * 9 + 16], cpus[sizeof(text)];
	int rc = 0;

	snprintf(name, sizeof(name), "flexins%u", index);
	snprintf(dir, sizeof(dir), "sys/devices/virtual/flexins/%s", name);
	snprintf(ib, sizeof(ib), "%s/infiniband/%s", dir, name);
	snprintf(uverbs, sizeof(uverbs), "%s/infiniband_verbs/uverbs%u", dir, index);
	guid_text(dev->guid, guid);
	all_cpus(cpus, sizeof(cpus));

	/* The parent device: where a PCI function's attributes would be. */
	rc |= file(fs, dir, "vendor", "0x%06x", FNS_VENDOR_ID);
	rc |= file(fs, dir, "device", "0x0000");
	read_net(dev, "numa_node", "-1", text, sizeof(text));
	rc |= file(fs, dir, "numa_node", "%s", text);
	read_net(dev, "local_cpus", cpus, text, sizeof(text));
	rc |= file(fs, dir, "local_cpus", "%s", text);
	snprintf(sub, sizeof(sub), "%s/net", dir);
	rc |= link_to(fs, sub, dev->name, "/sys/class/net/%s", dev->name);

	rc |= file(fs, ib, "node_type", "1: CA");
	rc |= file(fs, ib, "node_guid", "%s", guid);
	rc |= file(fs, ib, "sys_image_guid", "%s", guid);
	rc |= file(fs, ib, "node_desc", "%s on %s", name, dev->name);
	rc |= file(fs, ib, "fw_ver", "%s", FNS_VERSION);
	rc |= file(fs, ib, "hw_rev", "0x0");
	rc |= file(fs, ib, "hca_type", "FlexiNS");
	rc |= file(fs, ib, "board_id", "FlexiNS");
	rc |= link_to(fs, ib, "device", "../../../%s", name);
	rc |= link_to(fs, ib, "subsystem", "../../../../../../class/infiniband");
	rc |= port(fs, dev, ib);

	rc |= file(fs, uverbs, "ibdev", "%s", name);
	rc |= file(fs, uverbs, "abi_version", "1");
	rc |= file(fs, uverbs, "dev", "231:%u", 192 + index);
	rc |= link_to(fs, uverbs, "device", "../../../%s", name);

	rc |= link_to(fs, "sys/class/infiniband", name,
		"../../devices/virtual/flexins/%s/infiniband/%s", name, name);
	snprintf(sub, sizeof(sub), "uverbs%u", index);
	rc |= link_to(fs, "sys/class/infiniband_verbs", sub,
		"../../devices/virtual/flexins/%s/infiniband_verbs/%s", name, sub);
	/* UCX wants a character device that it may open; nothing is ever read from it. */
	rc |= link_to(fs, "dev/infiniband", sub, "/dev/null");
	return rc;
}

int fns_sysfs_build(struct fns_sysfs *fs, const struct fns_netdev *dev, unsigned n)
{
	int rc = file(fs, "sys/class/infiniband_verbs", "abi_version", "6");

	rc |= empty_dir(fs, "sys/class", "infiniband");
	rc |= empty_dir(fs, "dev", "infiniband");
	for (unsigned i = 0; i < n; i++)
		rc |= device(fs, &dev[i], i);
	return rc == 0 ? 0 : -ENOMEM;
}

void fns_sysfs_fini(struct fns_sysfs *fs)
{
	for (unsigned i = 0; i < fs->n; i++) {
		free(fs->entry[i].path);
		free(fs->entry[i].content);
	}
	free(fs->entry);
}

static uint64_t fnv1a(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ull;
	return hash;
}

uint64_t fns_sysfs_hash(const struct fns_sysfs *fs)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (unsigned i = 0; i < fs->n; i++) {
		const struct fns_sysfs_entry *e = &fs->entry[i];
		unsigned char type = (unsigned char)e->type;

		/* The terminating zeros keep ("a", "bc") and ("ab", "c") apart. */
		hash = fnv1a(hash, &type, 1);
		hash = fnv1a(hash, e->path, strlen(e->path) + 1);
		hash = fnv1a(hash, e->content, strlen(e->content) + 1);
	}
	return hash;
}
