/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load IBVERBS LIBRARY...: loads each library with all its symbols bound, and checks that the only
 * libibverbs in the process is the one named first. Exit 77 if none of the libraries is installed.
 */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	const char *ours;
	unsigned n, wrong;
};

static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct seen *s = arg;
	char path[PATH_MAX];
	const char *base = strrchr(info->dlpi_name, '/');

	(void)size;
	if (base == NULL || strncmp(base, "/libibverbs.so", 14) != 0)
		return 0;
	s->n++;
	if (realpath(info->dlpi_name, path) == NULL || strcmp(path, s->ours) != 0) {
		fprintf(stderr, "%s is loaded, expected %s\n", info->dlpi_name, s->ours);
		s->wrong++;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct seen seen = {0};
	char ours[PATH_MAX];
	unsigned loaded = 0, failed = 0;

	if (argc < 3 || realpath(argv[1], ours) == NULL) {
		fprintf(stderr, "usage: load LIBIBVERBS LIBRARY...\n");
		return 2;
	}
	seen.ours = ours;
	for (int i = 2; i < argc; i++) {
		if (dlopen(argv[i], RTLD_NOW) != NULL) {
			loaded++;
			continue;
		}
		const char *why = dlerror();

		if (strstr(why, "cannot open shared object file") != NULL &&
			strncmp(why, argv[i], strlen(argv[i])) == 0)
			continue; /* not installed */
		fprintf(stderr, "%s\n", why);
		failed++;
	}
	dl_iterate_phdr(on_object, &seen);
	printf("%u loaded, %u failed, %u libibverbs\n", loaded, failed, seen.n);
	if (failed != 0 || seen.wrong != 0 || (loaded != 0 && seen.n != 1))
		return 1;
	if (loaded == 0) {
		printf("skip: no provider library of rdma-core is installed\n");
		return 77;
	}
	return 0;
}
