/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the libraries and the daemon that belong to this very executable, by where it lies: in a
 * build directory each is beside its source's place, installed they are together in
 * <libdir>/flexins. So a checkout needs no installation and two installations do not mix. Called by
 * run.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"

/* Relative to the directory of the executable. FNS_LIBDIR_FROM_BINDIR is what the build was
 * configured with. */
#ifndef FNS_LIBDIR_FROM_BINDIR
#define FNS_LIBDIR_FROM_BINDIR "../lib/flexins"
#endif

struct layout {
	const char *ibverbs, *rdmacm, *shim, *daemon;
};

static const struct layout layouts[] = {
	{"src/verbs/abi", "src/rdmacm", "src/shim", "."},
	{FNS_LIBDIR_FROM_BINDIR, FNS_LIBDIR_FROM_BINDIR, FNS_LIBDIR_FROM_BINDIR, "."},
	{"../lib/flexins", "../lib/flexins", "../lib/flexins", "."},
};

/* dir/sub/file resolved into out; false if it is not there. */
static bool find(const char *dir, const char *sub, const char *file, char out[static PATH_MAX])
{
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", dir, sub, file) >= sizeof(path))
		return false;
	if (access(path, R_OK) != 0)
		return false;
	/* Only the directory is resolved: the name must stay the SONAME, or the loader would load
	 * it a second time. */
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, sub) >= sizeof(path))
		return false;
	if (realpath(path, out) == NULL)
		return false;
	if (strlen(out) + 1 + strlen(file) >= PATH_MAX)
		return false;
	strcat(out, "/");
	strcat(out, file);
	return true;
}

static void add_dir_of(struct fns_cli_paths *p, const char *file)
{
	size_t len = (size_t)(strrchr(file, '/') - file), have = strlen(p->libdirs);

	if (have >= len && strncmp(p->libdirs + have - len, file, len) == 0)
		return; /* just added */
	snprintf(p->libdirs + have, sizeof(p->libdirs) - have, "%s%.*s", have != 0 ? ":" : "",
		(int)len, file);
}

static bool try_layout(const char *dir, const struct layout *l, struct fns_cli_paths *out)
{
	if (!find(dir, l->ibverbs, "libibverbs.so.1", out->ibverbs) ||
		!find(dir, l->rdmacm, "librdmacm.so.1", out->rdmacm) ||
		!find(dir, l->shim, "libflexins-shim.so", out->shim))
		return false;
	if (!find(dir, l->daemon, "flexinsd", out->daemon))
		out->daemon[0] = '\0'; /* the library searches PATH then */
	out->libdirs[0] = '\0';
	add_dir_of(out, out->ibverbs);
	add_dir_of(out, out->rdmacm);
	add_dir_of(out, out->shim);
	return true;
}

int fns_cli_paths_find(struct fns_cli_paths *out)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len < 0)
		return fns_cli_error(FNS_EXIT_FAILURE,
			"cannot find my own libraries: /proc/self/exe: %s; mount /proc",
			strerror(errno));
	self[len] = '\0';
	slash = strrchr(self, '/');
	*(slash == self ? slash + 1 : slash) = '\0';

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(layouts); i++) {
		if (try_layout(self, &layouts[i], out))
			return 0;
	}
	return fns_cli_error(FNS_EXIT_FAILURE,
		"libibverbs.so.1, librdmacm.so.1 and libflexins-shim.so are neither in %s/src/... (a build directory) nor "
		"in %s/%s (installed); build FlexiNS with `make`, or reinstall it",
		self, self, FNS_LIBDIR_FROM_BINDIR);
}
