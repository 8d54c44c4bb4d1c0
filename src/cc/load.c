/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of loaded congestion controls of this process, and how files get into it. See load.h.
 * Files are copied into memory files first: what is judged is what runs, whatever happens to the
 * file, and a new version under an old name is another file to the dynamic linker.
 */
#include "cc/load.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "bpf/bpf.h"
#include "cc/ebpf.h"
#include "cc/rule.h"
#include "flexins/cc_plugin.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static struct loaded {
	const struct fns_cc_ops *ops;
	enum fns_cc_kind kind;
	char from[256];
	int fd; /* its memory file, open for ever: the linker knows it by this number */
} loaded[FNS_CC_LOADED_MAX];
/* Entries below it do not change any more. Written under lock, read by anybody. */
static _Atomic unsigned nloaded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const struct fns_cc_ops *fns_cc_loaded_at(unsigned i, const char **from, enum fns_cc_kind *kind)
{
	unsigned n = atomic_load_explicit(&nloaded, memory_order_acquire);
	const struct loaded *l;

	if (i >= n)
		return NULL;
	l = &loaded[n - 1 - i];
	if (from)
		*from = l->from;
	if (kind)
		*kind = l->kind;
	return l->ops;
}

/* --- files --- */

static bool seal_copy(int from, int to, char *err, size_t errlen)
{
	static const char too_large[] = "larger than 16 MiB";
	char buf[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		total += (size_t)n;
		if (total > FNS_CC_FILE_BYTES) {
			snprintf(err, errlen, "%s", too_large);
			return false;
		}
		if (write(to, buf, (size_t)n) != n) {
			n = -1;
			break;
		}
	}
	if (n < 0 || fcntl(to, F_ADD_SEALS, SEALS) < 0) {
		snprintf(err, errlen, "%s", strerror(errno));
		return false;
	}
	return true;
}

int fns_cc_load_seal(const char *path, char *err, size_t errlen)
{
	int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), to = -1;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0) {
		snprintf(err, errlen, "%s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		snprintf(err, errlen, "not a file");
	} else {
		to = memfd_create("flexins-cc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (to < 0) {
			snprintf(err, errlen, "memory file: %s", strerror(errno));
		} else if (!seal_copy(from, to, err, errlen)) {
			close(to);
			to = -1;
		}
	}
	if (from >= 0)
		close(from);
	return to;
}

/* The whole of a sealed memory file. NULL: err says why not. */
static void *slurp(int fd, size_t *len, char *err, size_t errlen)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	void *p;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0) {
		snprintf(err, errlen, "not a sealed memory file");
		return NULL;
	}
	*len = (size_t)st.st_size;
	if (st.st_size <= 0 || st.st_size > FNS_CC_FILE_BYTES) {
		snprintf(err, errlen, st.st_size > 0 ? "larger than 16 MiB" : "empty");
		return NULL;
	}
	p = malloc(*len);
	if (!p || pread(fd, p, *len, 0) != (ssize_t)*len) {
		snprintf(err, errlen, "cannot read it: %s", strerror(errno));
		free(p);
		return NULL;
	}
	return p;
}

static bool same_file(const struct loaded *l, const void *bytes, size_t len)
{
	char err[64];
	size_t n;
	void *p = slurp(l->fd, &n, err, sizeof(err));
	bool same = p && n == len && memcmp(p, bytes, len) == 0;

	free(p);
	return same;
}

/* --- the two kinds --- */

static const struct fns_cc_ops *open_object(int fd, char *err, size_t errlen)
{
	const struct fns_cc_ops *ops;
	const char *fault = NULL;
	char path[64];
	void *h;

	/* Not by number: /proc may be another PID namespace's. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!h) {
		const char *why = dlerror();

		if (strncmp(why, path, strlen(path)) == 0)
			why += strlen(path) + strspn(why + strlen(path), ": ");
		snprintf(err, errlen, "%s", why);
		return NULL;
	}
	ops = dlsym(h, FNS_CC_PLUGIN_SYMBOL);
	if (!ops)
		fault = "no congestion control in it: no symbol '" FNS_CC_PLUGIN_SYMBOL
			"' (FNS_CC_PLUGIN of flexins/cc_plugin.h makes it)";
	else
		fault = fns_cc_plugin_fault(ops);
	if (fault) {
		snprintf(err, errlen, "%s", fault);
		dlclose(h);
		return NULL;
	}
	return ops;
}

/* Is it what its name stands for? */
static bool newest(const struct fns_cc_ops *ops)
{
	const struct fns_cc_ops *o;

	for (unsigned i = 0; (o = fns_cc_loaded_at(i, NULL, NULL)) != NULL; i++)
		if (strcmp(o->name, ops->name) == 0)
			return o == ops;
	return false;
}

static const struct fns_cc_ops *load_locked(
	int fd, const char *name, const void *bytes, size_t len, char *err, size_t errlen)
{
	unsigned n = atomic_load_explicit(&nloaded, memory_order_relaxed);
	struct loaded *l = &loaded[n];

	for (unsigned i = n; i-- > 0;) {
		if (!same_file(&loaded[i], bytes, len))
			continue;
		if (newest(loaded[i].ops) || n == FNS_CC_LOADED_MAX)
			return loaded[i].ops;
		*l = loaded[i];
		atomic_store_explicit(&nloaded, n + 1, memory_order_release);
		return l->ops;
	}
	if (n == FNS_CC_LOADED_MAX) {
		snprintf(err, errlen,
			"this program has loaded %u congestion controls, which is the most", n);
		return NULL;
	}
	*l = (struct loaded){
		.kind = fns_bpf_is_object(bytes, len) ? FNS_CC_EBPF : FNS_CC_SHARED_OBJECT,
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)};
	if (l->fd < 0) {
		snprintf(err, errlen, "%s", strerror(errno));
		return NULL;
	}
	snprintf(l->from, sizeof(l->from), "%s", name);
	l->ops = l->kind == FNS_CC_EBPF ? fns_cc_ebpf_create(bytes, len, err, errlen)
					: open_object(l->fd, err, errlen);
	if (!l->ops) {
		close(l->fd);
		return NULL;
	}
	atomic_store_explicit(&nloaded, n + 1, memory_order_release);
	return l->ops;
}

const struct fns_cc_ops *fns_cc_load_fd(int fd, const char *name, char *err, size_t errlen)
{
	const struct fns_cc_ops *ops = NULL;
	char why[512] = "";
	size_t len;
	void *bytes = slurp(fd, &len, why, sizeof(why));

	if (bytes) {
		pthread_mutex_lock(&lock);
		ops = load_locked(fd, name, bytes, len, why, sizeof(why));
		pthread_mutex_unlock(&lock);
	}
	free(bytes);
	if (!ops)
		snprintf(err, errlen, "%s: %s", name, why);
	return ops;
}

const struct fns_cc_ops *fns_cc_load_path(const char *path, char *err, size_t errlen)
{
	const struct fns_cc_ops *ops;
	char why[256];
	int fd = fns_cc_load_seal(path, why, sizeof(why));

	if (fd < 0) {
		snprintf(err, errlen, "%s: %s", path, why);
		return NULL;
	}
	ops = fns_cc_load_fd(fd, path, err, errlen);
	close(fd);
	return ops;
}

/* --- by name --- */

bool fns_cc_choose(const char *text, struct fns_cc_choice *out, char *err, size_t errlen)
{
	const struct fns_cc_ops *more[FNS_CC_LOADED_MAX + 1];
	unsigned n = 0, k;

	for (unsigned i = 0; (more[n] = fns_cc_loaded_at(i, NULL, NULL)) != NULL; i++) {
		for (k = 0; k < n && strcmp(more[k]->name, more[n]->name) != 0; k++)
			;
		n += k == n; /* the newest of a name */
	}
	return fns_cc_parse_among(more, n, text, out, err, errlen);
}

bool fns_cc_choose_path(const char *text, struct fns_cc_choice *out, char *err, size_t errlen)
{
	size_t n = fns_cc_path_length(text);
	struct fns_cc_choice c;
	char path[4096];

	if (!n)
		return fns_cc_choose(text, out, err, errlen);
	if (n >= sizeof(path)) {
		snprintf(err, errlen, "the name of the file is too long");
		return false;
	}
	memcpy(path, text, n);
	path[n] = '\0';
	c.ops = fns_cc_load_path(path, err, errlen);
	if (!c.ops)
		return false;
	fns_cc_default(c.ops, &c);
	if (!fns_cc_parse_params(&c, text + n, err, errlen))
		return false;
	*out = c;
	return true;
}
