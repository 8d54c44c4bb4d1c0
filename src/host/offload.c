/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of a running engine; see offload.h. */
#include "host/offload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "offload/offload.h"

static void lock(struct fns_lab *l)
{
	if (l->lock)
		l->lock();
}

static void unlock(struct fns_lab *l)
{
	if (l->unlock)
		l->unlock();
}

int fns_host_offload_load(
	struct fns_lab *l, const char *name, const void *elf, size_t bytes, char *say, size_t len)
{
	struct fns_offload_program *p = fns_offload_program_load(elf, bytes, say, len);
	int err;

	if (!p)
		return -EINVAL;
	lock(l);
	err = fns_engine_offload_load(l->engine, name, p);
	unlock(l);
	if (err == 0)
		return 0;
	fns_offload_program_put(p);
	snprintf(say, len, "%s",
		err == -EINVAL   ? "a name has lower case letters, digits, '-' and '_'"
		: err == -ENOSPC ? "too many handlers are loaded"
				 : strerror(-err));
	return err;
}

int fns_host_offload_load_fd(struct fns_lab *l, const char *name, int fd, char *say, size_t len)
{
	struct stat st;
	void *elf;
	int err;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
		st.st_size > FNS_BPF_MAX_BYTES) {
		snprintf(say, len, "not an object file of at most 1 MiB");
		return -EINVAL;
	}
	elf = malloc((size_t)st.st_size);
	if (!elf)
		return -ENOMEM;
	if (pread(fd, elf, (size_t)st.st_size, 0) != st.st_size) {
		snprintf(say, len, "cannot read the file");
		err = -EIO;
	} else {
		err = fns_host_offload_load(l, name, elf, (size_t)st.st_size, say, len);
	}
	free(elf);
	return err;
}

/* Appends; what does not fit is cut off. */
static void add(char *say, size_t len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *say, size_t len, const char *fmt, ...)
{
	size_t at = strnlen(say, len);
	va_list ap;

	va_start(ap, fmt);
	if (at < len)
		vsnprintf(say + at, len - at, fmt, ap);
	va_end(ap);
}

static uint64_t failures(const struct fns_offload_counters *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FNS_OFFLOAD_STATUSES; i++)
		if (i != FNS_OFFLOAD_OK && i != FNS_OFFLOAD_REFUSED)
			n += c->by_status[i];
	return n;
}

int fns_host_offload_list(struct fns_lab *l, char *say, size_t len)
{
	char name[FNS_OFFLOAD_NAME];
	struct fns_offload_counters c;

	add(say, len, "%-16s %5s %5s %9s %9s %7s %7s %10s", "HANDLER", "LOADS", "BOUND", "REQUESTS",
		"DONE", "REFUSED", "FAILED", "STEPS");
	lock(l);
	for (unsigned i = 0; fns_engine_offload_look(l->engine, i, name, &c); i++)
		add(say, len, "\n%-16s %5llu %5u %9llu %9llu %7llu %7llu %10llu", name,
			(unsigned long long)c.loads, c.bindings, (unsigned long long)c.requests,
			(unsigned long long)c.by_status[FNS_OFFLOAD_OK],
			(unsigned long long)c.by_status[FNS_OFFLOAD_REFUSED],
			(unsigned long long)failures(&c), (unsigned long long)c.steps);
	unlock(l);
	add(say, len, "\nbuilt in:");
	for (unsigned i = 0; i < fns_offload_builtins; i++)
		add(say, len, " %s", fns_offload_builtin[i].name);
	return 0;
}

/* --- bindings in words --- */

/* A number in C's notation, up to a ':' or the end. */
static bool number(const char **text, uint64_t *out)
{
	char *end;

	errno = 0;
	if (**text < '0' || **text > '9')
		return false;
	*out = strtoull(*text, &end, 0);
	if (errno || (*end != ':' && *end != '\0'))
		return false;
	*text = *end ? end + 1 : end;
	return true;
}

static bool region(struct fns_offload_binding *b, const char *v)
{
	struct fns_offload_region *r = &b->region[b->nregions % FNS_OFFLOAD_REGIONS];
	uint64_t key;

	if (b->nregions == FNS_OFFLOAD_REGIONS || !number(&v, &key) || key > UINT32_MAX ||
		!number(&v, &r->addr) || !number(&v, &r->len))
		return false;
	r->key = (uint32_t)key;
	r->rights = *v ? 0 : FNS_OFFLOAD_READ;
	for (; *v; v++)
		if (*v == 'r')
			r->rights |= FNS_OFFLOAD_READ;
		else if (*v == 'w')
			r->rights |= FNS_OFFLOAD_STORES;
		else if (*v == 'a')
			r->rights |= FNS_OFFLOAD_ATOMIC;
		else
			return false;
	b->nregions++;
	return true;
}

static bool field(struct fns_offload_binding *b, unsigned *params, char *word)
{
	const struct {
		const char *name;
		uint32_t *to32;
		uint64_t *to64;
	} fields[] = {
		{"depth", &b->depth, NULL},
		{"max_request", &b->max_request, NULL},
		{"max_reply", &b->max_reply, NULL},
		{"max_steps", &b->max_steps, NULL},
		{"max_bytes", NULL, &b->max_bytes},
		{"max_ns", NULL, &b->max_ns},
		{"param", NULL, &b->param[*params % FNS_OFFLOAD_PARAMS]},
	};
	char *v = strchr(word, '=');
	const char *text = v + 1;
	uint64_t n;

	if (!v)
		return false;
	*v = '\0';
	if (strcmp(word, "region") == 0)
		return region(b, text);
	if (!number(&text, &n) || *text)
		return false;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(fields); i++) {
		if (strcmp(word, fields[i].name) != 0)
			continue;
		if (fields[i].to32 ? n > UINT32_MAX : *params == FNS_OFFLOAD_PARAMS)
			return false;
		if (fields[i].to32)
			*fields[i].to32 = (uint32_t)n;
		else
			*fields[i].to64 = n;
		*params += strcmp(word, "param") == 0;
		return true;
	}
	return false;
}

static bool parse(
	struct fns_offload_binding *b, const char *words, char *text, size_t textlen, char **bad)
{
	char *save = NULL, *word;
	const char *v;
	unsigned params = 0;
	uint64_t n;

	snprintf(text, textlen, "%s", words);
	*bad = word = strtok_r(text, " ", &save);
	v = word;
	if (!word || !number(&v, &n) || *v || n > UINT32_MAX)
		return false;
	b->service = (uint32_t)n;
	*bad = word = strtok_r(NULL, " ", &save);
	if (!word || strlen(word) >= sizeof(b->handler))
		return false;
	strcpy(b->handler, word);
	while ((*bad = word = strtok_r(NULL, " ", &save)))
		if (!field(b, &params, word))
			return false;
	return true;
}

int fns_host_offload_bind(struct fns_lab *l, uint32_t qpn, const char *words, char *say, size_t len)
{
	struct fns_offload_binding b = {.size = sizeof(b)};
	char text[1024], *bad;
	int err;

	if (!parse(&b, words, text, sizeof(text), &bad)) {
		snprintf(say, len, "'%.40s' makes no sense there", bad ? bad : "");
		return -EINVAL;
	}
	lock(l);
	err = fns_engine_offload_bind(l->engine, qpn, &b);
	unlock(l);
	if (err == -EAGAIN)
		return -EBUSY;
	if (err == -ENOENT)
		snprintf(say, len, "no queue pair 0x%06x, or no handler '%s'", qpn, b.handler);
	else if (err == -EINVAL)
		snprintf(say, len, "not a reliable connection, or a value is out of range");
	return err;
}
