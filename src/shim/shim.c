/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libflexins-shim.so, preloaded by `flexins run`: file functions of libc that look at InfiniBand's
 * sysfs classes or at /dev/infiniband see the launcher's private tree (FLEXINS_SYSFS) instead, in
 * this process and, as both variables are inherited, in its children. Every other path, and every
 * call that names no path, goes to libc untouched.
 *
 * Thread-safe and async-signal-safe where libc's function is, but for a first call of each
 * function, which does a dlsym(). It cannot see programs that make system calls themselves (Go,
 * static binaries).
 */
/* Both names of each large-file pair are defined here, so libc's headers must not rename one to the
 * other. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "shim/path.h"

/* Names without a prototype in the headers: behind _FORTIFY_SOURCE, or what binaries older than
 * glibc 2.33 call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dir, const char *path, struct stat64 *st, int flags);
char *__realpath_chk(const char *path, char *resolved, size_t len);
ssize_t __readlink_chk(const char *path, char *out, size_t len, size_t size);
ssize_t __readlinkat_chk(int dir, const char *path, char *out, size_t len, size_t size);

static char root_copy[FNS_SHIM_PATH_MAX]; /* "": none. Written once, before main() */
static atomic_bool root_read;

/* A copy, because a program may change its environment while it runs. */
__attribute__((constructor)) static void read_root(void)
{
	const char *env = secure_getenv("FLEXINS_SYSFS");

	if (env != NULL && env[0] == '/' && strlen(env) < sizeof(root_copy))
		memcpy(root_copy, env, strlen(env) + 1);
	atomic_store_explicit(&root_read, true, memory_order_release);
}

static const char *root(void)
{
	const char *env;

	if (atomic_load_explicit(&root_read, memory_order_acquire))
		return root_copy[0] != '\0' ? root_copy : NULL;
	env = secure_getenv("FLEXINS_SYSFS"); /* called by another library's constructor */
	return env != NULL && env[0] == '/' ? env : NULL;
}

static void *next_of(_Atomic(void *) *slot, const char *name)
{
	void *next = atomic_load_explicit(slot, memory_order_acquire);

	if (next == NULL) {
		next = dlsym(RTLD_NEXT, name);
		atomic_store_explicit(slot, next, memory_order_release);
	}
	return next;
}

/* Declares `next`, the function of that name behind us; a libc that lacks it gets ENOSYS. */
#define NEXT(ret, fail, name, params)                                                              \
	static _Atomic(void *) slot;                                                               \
	ret(*next) params = (ret(*) params)next_of(&slot, #name);                                  \
	char buf[FNS_SHIM_PATH_MAX];                                                               \
                                                                                                   \
	if (next == NULL) {                                                                        \
		errno = ENOSYS;                                                                    \
		return fail;                                                                       \
	}

#define MAP(path) fns_shim_path_map(root(), path, buf)

/* A function with one path among its arguments and nothing to undo in its result. */
#define WRAP(ret, fail, name, params, ...)                                                         \
	ret name params                                                                            \
	{                                                                                          \
		NEXT(ret, fail, name, params)                                                      \
		return next(__VA_ARGS__);                                                          \
	}

WRAP(int, -1, stat, (const char *path, struct stat *st), MAP(path), st)
WRAP(int, -1, stat64, (const char *path, struct stat64 *st), MAP(path), st)
WRAP(int, -1, lstat, (const char *path, struct stat *st), MAP(path), st)
WRAP(int, -1, lstat64, (const char *path, struct stat64 *st), MAP(path), st)
WRAP(int, -1, fstatat, (int dir, const char *path, struct stat *st, int flags), dir, MAP(path), st,
	flags)
WRAP(int, -1, fstatat64, (int dir, const char *path, struct stat64 *st, int flags), dir, MAP(path),
	st, flags)
WRAP(int, -1, __xstat, (int version, const char *path, struct stat *st), version, MAP(path), st)
WRAP(int, -1, __xstat64, (int version, const char *path, struct stat64 *st), version, MAP(path), st)
WRAP(int, -1, __lxstat, (int version, const char *path, struct stat *st), version, MAP(path), st)
WRAP(int, -1, __lxstat64, (int version, const char *path, struct stat64 *st), version, MAP(path),
	st)
WRAP(int, -1, __fxstatat, (int version, int dir, const char *path, struct stat *st, int flags),
	version, dir, MAP(path), st, flags)
WRAP(int, -1, __fxstatat64, (int version, int dir, const char *path, struct stat64 *st, int flags),
	version, dir, MAP(path), st, flags)
WRAP(int, -1, statx, (int dir, const char *path, int flags, unsigned mask, struct statx *st), dir,
	MAP(path), flags, mask, st)

WRAP(int, -1, access, (const char *path, int mode), MAP(path), mode)
WRAP(int, -1, eaccess, (const char *path, int mode), MAP(path), mode)
WRAP(int, -1, euidaccess, (const char *path, int mode), MAP(path), mode)
WRAP(int, -1, faccessat, (int dir, const char *path, int mode, int flags), dir, MAP(path), mode,
	flags)

WRAP(int, -1, __open_2, (const char *path, int flags), MAP(path), flags)
WRAP(int, -1, __open64_2, (const char *path, int flags), MAP(path), flags)
WRAP(int, -1, __openat_2, (int dir, const char *path, int flags), dir, MAP(path), flags)
WRAP(int, -1, __openat64_2, (int dir, const char *path, int flags), dir, MAP(path), flags)

WRAP(FILE *, NULL, fopen, (const char *path, const char *mode), MAP(path), mode)
WRAP(FILE *, NULL, fopen64, (const char *path, const char *mode), MAP(path), mode)

WRAP(DIR *, NULL, opendir, (const char *path), MAP(path))
WRAP(int, -1, chdir, (const char *path), MAP(path))

/* libc calls its own opendir() inside these, which no preloaded library sees. */
WRAP(int, -1, scandir,
	(const char *path, struct dirent ***list, int (*filter)(const struct dirent *),
		int (*compare)(const struct dirent **, const struct dirent **)),
	MAP(path), list, filter, compare)
WRAP(int, -1, scandir64,
	(const char *path, struct dirent64 ***list, int (*filter)(const struct dirent64 *),
		int (*compare)(const struct dirent64 **, const struct dirent64 **)),
	MAP(path), list, filter, compare)

/* The tree's links are relative, or lead out of it on purpose: their text needs no change. */
WRAP(ssize_t, -1, readlink, (const char *path, char *out, size_t len), MAP(path), out, len)
WRAP(ssize_t, -1, readlinkat, (int dir, const char *path, char *out, size_t len), dir, MAP(path),
	out, len)
WRAP(ssize_t, -1, __readlink_chk, (const char *path, char *out, size_t len, size_t size), MAP(path),
	out, len, size)
WRAP(ssize_t, -1, __readlinkat_chk, (int dir, const char *path, char *out, size_t len, size_t size),
	dir, MAP(path), out, len, size)

/* `ls -l` asks for labels and access control lists of what it lists. */
WRAP(ssize_t, -1, getxattr, (const char *path, const char *name, void *value, size_t len),
	MAP(path), name, value, len)
WRAP(ssize_t, -1, lgetxattr, (const char *path, const char *name, void *value, size_t len),
	MAP(path), name, value, len)

/* The mode is there only if the call may create a file; reading it otherwise would be undefined. */
#define OPEN_MODE(flags)                                                                           \
	mode_t mode = 0;                                                                           \
                                                                                                   \
	if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, flags);                                                               \
		mode = va_arg(ap, mode_t);                                                         \
		va_end(ap);                                                                        \
	}

#define WRAP_OPEN(name)                                                                            \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		NEXT(int, -1, name, (const char *, int, ...))                                      \
		OPEN_MODE(flags)                                                                   \
		return next(MAP(path), flags, mode);                                               \
	}

#define WRAP_OPENAT(name)                                                                          \
	int name(int dir, const char *path, int flags, ...)                                        \
	{                                                                                          \
		NEXT(int, -1, name, (int, const char *, int, ...))                                 \
		OPEN_MODE(flags)                                                                   \
		return next(dir, MAP(path), flags, mode);                                          \
	}

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

/* realpath() answers with the name under /sys, as if the tree were really there. */
char *realpath(const char *path, char *resolved)
{
	NEXT(char *, NULL, realpath, (const char *, char *))
	char *out = next(MAP(path), resolved);

	fns_shim_path_unmap(root(), out);
	return out;
}

char *__realpath_chk(const char *path, char *resolved, size_t len)
{
	NEXT(char *, NULL, __realpath_chk, (const char *, char *, size_t))
	char *out = next(MAP(path), resolved, len);

	fns_shim_path_unmap(root(), out);
	return out;
}

char *canonicalize_file_name(const char *path)
{
	NEXT(char *, NULL, canonicalize_file_name, (const char *))
	char *out = next(MAP(path));

	fns_shim_path_unmap(root(), out);
	return out;
}
