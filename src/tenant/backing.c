/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared mappings and their files; see backing.h. A mapping has no descriptor any more: the file is
 * looked for among the descriptors that the process has open, then under the name that it was
 * opened by, then in /proc/self/map_files (which few may open).
 */
#include "tenant/backing.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAPS_MAX (1u << 17) /* lines of /proc/self/maps */
#define FDS_MAX  65536u

struct mapping {
	uint64_t from, to, off;
	unsigned major, minor;
	uint64_t inode;
	bool shared;
	char path[1024];
};

/* The mapping that addr lies in. */
static bool find_mapping(uint64_t addr, struct mapping *m)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	for (unsigned i = 0; f && !found && i < MAPS_MAX && getline(&line, &size, f) > 0; i++) {
		char perms[5];
		int at = 0;

		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &m->from, &m->to, perms, &m->off,
			    &m->major, &m->minor, &m->inode, &at) < 7 ||
			addr < m->from || addr >= m->to)
			continue;
		line[strcspn(line, "\n")] = '\0';
		m->shared = perms[3] == 's';
		snprintf(m->path, sizeof(m->path), "%s", at ? line + at : "");
		found = true;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* Is it the file of this mapping, opened as it must be? */
static bool is_it(int fd, const struct mapping *m, bool writable)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	return flags >= 0 && (flags & O_PATH) == 0 &&
	       (flags & O_ACCMODE) == (writable ? O_RDWR : (flags & O_ACCMODE)) &&
	       (flags & O_ACCMODE) != O_WRONLY && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_ino == m->inode && major(st.st_dev) == m->major &&
	       minor(st.st_dev) == m->minor;
}

static int among_descriptors(const struct mapping *m, bool writable)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int found = -1;

	for (unsigned i = 0; d && found < 0 && i < FDS_MAX && (e = readdir(d)); i++) {
		int fd = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : -1;

		if (fd >= 0 && fd != dirfd(d) && is_it(fd, m, writable))
			found = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	if (d)
		closedir(d);
	/* Another thread may have closed it and opened something else in between. */
	if (found >= 0 && !is_it(found, m, writable)) {
		close(found);
		found = -1;
	}
	return found;
}

static int by_name(const char *path, const struct mapping *m, bool writable)
{
	struct stat st;
	int fd;

	/* Opening what is not the file might wait, or do something. */
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != m->inode)
		return -1;
	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && !is_it(fd, m, writable)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int fns_tenant_backing(uint64_t addr, uint64_t len, bool writable, uint64_t *file_off)
{
	struct mapping m;
	int saved = errno, fd = -1;
	char link[64];

	if (len && find_mapping(addr, &m) && m.shared && m.inode && len <= m.to - addr) {
		fd = among_descriptors(&m, writable);
		if (fd < 0 && m.path[0] == '/')
			fd = by_name(m.path, &m, writable);
		snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", m.from, m.to);
		if (fd < 0)
			fd = by_name(link, &m, writable);
		*file_off = m.off + (addr - m.from);
	}
	errno = saved;
	return fd;
}
