/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds files, or all files of directories, to a harness: regression tests of the corpus with any
 * compiler, and a crash file under a debugger. A broken invariant ends the process.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

#define FILE_MAX  (1u << 20)
#define FILES_MAX 100000u

static unsigned replayed;

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = malloc(FILE_MAX), *exact;
	size_t n;

	if (!f || !buf) {
		perror(path);
		free(buf);
		if (f)
			fclose(f);
		return 1;
	}
	n = fread(buf, 1, FILE_MAX, f);
	fclose(f);
	/* Of exactly its size, so that a sanitizer sees a read past the end. */
	exact = malloc(n ? n : 1);
	if (exact)
		memcpy(exact, buf, n);
	free(buf);
	if (!exact)
		return 1;
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	replayed++;
	return 0;
}

static int replay_dir(const char *path)
{
	char **name = calloc(FILES_MAX, sizeof(*name));
	DIR *d = opendir(path);
	struct dirent *de;
	unsigned n = 0;
	int rc = 0;

	if (!d || !name) {
		perror(path);
		if (d)
			closedir(d);
		free(name);
		return 1;
	}
	while (n < FILES_MAX && (de = readdir(d)))
		if (de->d_name[0] != '.' && asprintf(&name[n], "%s/%s", path, de->d_name) > 0)
			n++;
	closedir(d);
	/* The order of a directory is the file system's. */
	qsort(name, n, sizeof(*name), by_name);
	for (unsigned i = 0; i < n; i++) {
		rc |= replay_file(name[i]);
		free(name[i]);
	}
	free(name);
	return rc;
}

int main(int argc, char **argv)
{
	struct stat st;
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			rc |= replay_dir(argv[i]);
		else
			rc |= replay_file(argv[i]);
	}
	if (!replayed) {
		fprintf(stderr, "usage: %s FILE|DIRECTORY...: nothing to replay\n", argv[0]);
		return 2;
	}
	printf("%u inputs replayed\n", replayed);
	return rc;
}
