/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the private tree: first a list of entries in memory (sysfs_entries.c), then a directory
 * named by the list's hash. Equal configurations share one directory, which is complete when it
 * exists (made aside, then renamed) and never changes; so `flexins run` can exec the program and
 * need not stay behind to clean up. Trees unused for a week go when a new one is made.
 *
 * Place: $XDG_RUNTIME_DIR/flexins or /tmp/flexins-<uid>, mode 0700 and checked to be ours, as
 * others may write to /tmp.
 */
#include "cli/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/sysfs_entries.h"

#define UNUSED_S  (7 * 24 * 3600) /* trees not used for so long are removed */
#define BASE_MAX  256             /* leaves room for the shim's limit on paths */
#define PRUNE_MAX 4096            /* directory entries looked at */
#define TREE_LEN  sizeof("tree-0123456789abcdef")

static int is_private_dir(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return -EPERM;
	return 0;
}

/* The directory that holds the trees, made if need be. */
static int find_base(char base[static BASE_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int rc;

	if (runtime != NULL && runtime[0] == '/' && strlen(runtime) < BASE_MAX - 16 &&
		stat(runtime, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
		access(runtime, W_OK) == 0)
		snprintf(base, BASE_MAX, "%s/flexins", runtime);
	else
		snprintf(base, BASE_MAX, "/tmp/flexins-%u", (unsigned)geteuid());

	if (mkdir(base, 0700) != 0 && errno != EEXIST)
		return fns_cli_error(FNS_EXIT_FAILURE,
			"cannot make %s: %s; set XDG_RUNTIME_DIR to a directory of yours, or use --no-sysfs",
			base, strerror(errno));
	rc = is_private_dir(base);
	if (rc != 0)
		return fns_cli_error(FNS_EXIT_FAILURE,
			"%s is not a directory that only uid %u can use (mode 0700); remove it, or set "
			"XDG_RUNTIME_DIR to a directory of yours",
			base, (unsigned)geteuid());
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Trees that no `flexins run` has touched for a week, leftovers of interrupted ones included. */
static void prune(const char *base)
{
	DIR *dir = opendir(base);
	struct dirent *e;

	for (unsigned i = 0; dir != NULL && i < PRUNE_MAX && (e = readdir(dir)) != NULL; i++) {
		char path[PATH_MAX];
		struct stat st;

		if (strncmp(e->d_name, "tree-", 5) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", base, e->d_name);
		if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
			st.st_mtime + UNUSED_S < time(NULL))
			remove_tree(path);
	}
	if (dir != NULL)
		closedir(dir);
}

/* mkdir -p of everything before the last component. */
static int make_parents(char *path, size_t from)
{
	for (char *p = path + from; (p = strchr(p, '/')) != NULL; p++) {
		int failed;

		*p = '\0';
		failed = mkdir(path, 0700) != 0 && errno != EEXIST;
		*p = '/';
		if (failed)
			return -errno;
	}
	return 0;
}

static int write_entry(const char *root, const struct fns_sysfs_entry *e)
{
	char path[PATH_MAX];
	size_t root_len = strlen(root), len;
	ssize_t done;
	int rc, fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", root, e->path) >= sizeof(path))
		return -ENAMETOOLONG;
	rc = make_parents(path, root_len + 1);
	if (rc != 0)
		return rc;
	switch (e->type) {
	case FNS_SYSFS_DIR:
		return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
	case FNS_SYSFS_LINK:
		return symlink(e->content, path) == 0 ? 0 : -errno;
	case FNS_SYSFS_FILE:
		break;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	len = strlen(e->content);
	done = write(fd, e->content, len);
	rc = done == (ssize_t)len ? 0 : done < 0 ? -errno : -ENOSPC;
	close(fd);
	return rc;
}

static int make_tree(const char *root, const struct fns_sysfs *fs)
{
	char aside[BASE_MAX + TREE_LEN + 32];
	int rc = 0;

	snprintf(aside, sizeof(aside), "%s.%ld", root, (long)getpid());
	remove_tree(aside); /* of a process that had this id and died */
	if (mkdir(aside, 0700) != 0)
		return -errno;
	for (unsigned i = 0; i < fs->n && rc == 0; i++)
		rc = write_entry(aside, &fs->entry[i]);
	if (rc == 0 && rename(aside, root) != 0)
		rc = -errno;
	if (rc != 0)
		remove_tree(aside);
	/* Somebody else made the same tree meanwhile: his is as good. */
	return rc == -EEXIST || rc == -ENOTEMPTY ? 0 : rc;
}

int fns_cli_tree_make(const struct fns_netdev *dev, unsigned n, char *root, size_t len)
{
	char base[BASE_MAX];
	struct fns_sysfs fs = {0};
	int rc = find_base(base);

	if (rc != 0)
		return rc;
	rc = fns_sysfs_build(&fs, dev, n);
	if (rc != 0) {
		fns_sysfs_fini(&fs);
		return fns_cli_error(FNS_EXIT_FAILURE, "out of memory");
	}
	snprintf(root, len, "%s/tree-%016llx", base, (unsigned long long)fns_sysfs_hash(&fs));
	rc = is_private_dir(root);
	if (rc == -ENOENT) {
		prune(base);
		rc = make_tree(root, &fs);
	} else if (rc == 0) {
		utimensat(AT_FDCWD, root, NULL, 0); /* in use: prune() leaves it */
	}
	fns_sysfs_fini(&fs);
	if (rc != 0)
		return fns_cli_error(FNS_EXIT_FAILURE,
			"cannot make %s: %s; make room there, or set XDG_RUNTIME_DIR", root,
			strerror(-rc));
	return 0;
}
