/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run under `flexins run`: every function that the path shim answers, on paths that it answers, on
 * paths that it must leave alone, and on errors. The device is flexins0.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CLASS  "/sys/class/infiniband"
#define NODE   CLASS "/flexins0/node_type"
#define UVERBS "/dev/infiniband/uverbs0"

static unsigned errors;

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s (errno %s)\n", __FILE__, __LINE__, #x,          \
				strerror(errno));                                                  \
			errors++;                                                                  \
		}                                                                                  \
	} while (0)

/* Reads from fd, closes it, compares. */
static int reads(int fd, const char *want)
{
	char buf[64] = "";
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return n >= 0 && strcmp(buf, want) == 0;
}

static void test_open(void)
{
	int (*open_2)(const char *, int) =
		(int (*)(const char *, int))dlsym(RTLD_DEFAULT, "__open_2");
	int (*openat_2)(int, const char *, int) =
		(int (*)(int, const char *, int))dlsym(RTLD_DEFAULT, "__openat_2");
	int dir = open(CLASS "/flexins0", O_RDONLY | O_DIRECTORY);
	char tmp[] = "/tmp/flexins-shim-XXXXXX", path[PATH_MAX];
	struct stat st;
	FILE *f;
	int fd;

	CHECK(reads(open(NODE, O_RDONLY), "1: CA\n"));
	CHECK(reads(open64(NODE, O_RDONLY), "1: CA\n"));
	CHECK(reads(openat(AT_FDCWD, NODE, O_RDONLY), "1: CA\n"));
	CHECK(reads(openat64(-1, NODE, O_RDONLY), "1: CA\n"));
	CHECK(reads(open("/sys//class///infiniband//flexins0/node_type", O_RDONLY), "1: CA\n"));
	CHECK(open_2 != NULL && reads(open_2(NODE, O_RDONLY), "1: CA\n"));
	CHECK(openat_2 != NULL && reads(openat_2(AT_FDCWD, NODE, O_RDONLY), "1: CA\n"));
	CHECK(dir >= 0 && reads(openat(dir, "node_type", O_RDONLY), "1: CA\n"));
	close(dir);
	CHECK(open(CLASS "/flexins0/no_such_file", O_RDONLY) < 0 && errno == ENOENT);
	CHECK(open(CLASS "x", O_RDONLY) < 0 && errno == ENOENT);
	fd = open(UVERBS, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	close(fd);

	f = fopen(NODE, "r");
	CHECK(f != NULL && reads(dup(fileno(f)), "1: CA\n"));
	if (f != NULL)
		fclose(f);
	f = fopen64(NODE, "r");
	CHECK(f != NULL);
	if (f != NULL)
		fclose(f);

	/* Creation passes its mode on. */
	fd = mkstemp(tmp);
	close(fd);
	snprintf(path, sizeof(path), "%s.x", tmp);
	umask(0);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0640);
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0640);
	close(fd);
	unlink(path);
	unlink(tmp);
}

static void test_stat(void)
{
	int (*xstat)(int, const char *, struct stat *) =
		(int (*)(int, const char *, struct stat *))dlsym(RTLD_DEFAULT, "__xstat");
	struct stat64 st64;
	struct statx stx;
	struct stat st;

	CHECK(stat(CLASS, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat(CLASS "/", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat64(CLASS "/flexins0", &st64) == 0 && S_ISDIR(st64.st_mode));
	CHECK(lstat(CLASS "/flexins0", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(lstat64(CLASS "/flexins0", &st64) == 0 && S_ISLNK(st64.st_mode));
	CHECK(fstatat(AT_FDCWD, NODE, &st, 0) == 0 && S_ISREG(st.st_mode));
	CHECK(fstatat64(AT_FDCWD, NODE, &st64, 0) == 0 && S_ISREG(st64.st_mode));
	CHECK(statx(AT_FDCWD, NODE, 0, STATX_TYPE, &stx) == 0 && S_ISREG(stx.stx_mode));
	CHECK(xstat != NULL && xstat(1, NODE, &st) == 0 && S_ISREG(st.st_mode));
	/* UCX skips the device unless this is a character device that it may open. */
	CHECK(stat(UVERBS, &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(access(UVERBS, R_OK | W_OK) == 0);
	CHECK(eaccess(UVERBS, R_OK | W_OK) == 0);
	CHECK(euidaccess(UVERBS, R_OK | W_OK) == 0);
	CHECK(faccessat(AT_FDCWD, UVERBS, R_OK | W_OK, 0) == 0);
	CHECK(stat("/sys/class/infiniband_verbs/uverbs0", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat("/sys/class/net", &st) == 0);
	CHECK(stat("/proc/self", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat("", &st) < 0 && errno == ENOENT);
	CHECK(stat("/sys/class/infiniband_mad", &st) < 0 || S_ISDIR(st.st_mode)); /* the system's */
	errno = 0;
	CHECK(getxattr(NODE, "user.none", NULL, 0) < 0 && errno != ENOENT);
	errno = 0;
	CHECK(lgetxattr(NODE, "user.none", NULL, 0) < 0 && errno != ENOENT);
}

static void test_links(void)
{
	char buf[PATH_MAX], *p;
	ssize_t n;

	p = realpath(CLASS "/flexins0/device", buf);
	CHECK(p != NULL && strcmp(p, "/sys/devices/virtual/flexins/flexins0") == 0);
	p = realpath(CLASS "/flexins0", NULL);
	CHECK(p != NULL &&
		strcmp(p, "/sys/devices/virtual/flexins/flexins0/infiniband/flexins0") == 0);
	CHECK(p != NULL && access(p, R_OK) == 0); /* and what it says can be used */
	free(p);
	p = canonicalize_file_name("/dev/infiniband");
	CHECK(p != NULL && strcmp(p, "/dev/infiniband") == 0);
	free(p);
	CHECK(realpath("/proc/self/../self/root", buf) != NULL && strcmp(buf, "/") == 0);
	CHECK(realpath(CLASS "/none", buf) == NULL && errno == ENOENT);

	n = readlink(UVERBS, buf, sizeof(buf));
	CHECK(n == 9 && memcmp(buf, "/dev/null", 9) == 0);
	n = readlinkat(AT_FDCWD, UVERBS, buf, sizeof(buf));
	CHECK(n == 9 && memcmp(buf, "/dev/null", 9) == 0);
}

static void test_dirs(void)
{
	struct dirent **list, *e;
	unsigned n = 0;
	DIR *dir = opendir(CLASS);
	char cwd[PATH_MAX];

	CHECK(dir != NULL);
	while (dir != NULL && (e = readdir(dir)) != NULL)
		n += strcmp(e->d_name, "flexins0") == 0;
	CHECK(n == 1);
	if (dir != NULL)
		closedir(dir);
	CHECK(opendir(CLASS "/none") == NULL && errno == ENOENT);
	CHECK(scandir("/dev/infiniband", &list, NULL, alphasort) == 3); /* ., .., uverbs0 */
	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	CHECK(chdir(CLASS) == 0 && access("flexins0/node_type", R_OK) == 0);
	CHECK(chdir(cwd) == 0);
}

static void test_child(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(reads(open(NODE, O_RDONLY), "1: CA\n") ? 0 : 1);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(system("test \"$(cat " NODE ")\" = '1: CA' && ls " CLASS " | grep -qx flexins0 && "
		     "test -c " UVERBS " && test -w " UVERBS " && cd " CLASS "/flexins0 && "
		     "test \"$(cat ports/1/link_layer)\" = Ethernet && ls -l " CLASS
		     "/ >/dev/null") == 0);
}

/* The program may do what it likes to its environment. */
static void test_environment(void)
{
	unsetenv("FLEXINS_SYSFS");
	CHECK(access(NODE, R_OK) == 0);
}

int main(void)
{
	test_open();
	test_stat();
	test_links();
	test_dirs();
	test_child();
	test_environment();
	if (errors == 0)
		puts("all as it should be");
	return errors != 0;
}
