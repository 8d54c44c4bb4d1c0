/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line, one write(2): lines of several threads and processes on the same stderr do not mix. No
 * lock and no stdio, so that a logging thread cannot hold up another and the application's own
 * buffers stay as they are.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define LINE_MAX_BYTES 1024

static int level_read(void)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	const char *s = getenv("FLEXINS_LOG");

	for (size_t i = 0; s && i < FNS_ARRAY_SIZE(names); i++)
		if (strcmp(s, names[i]) == 0)
			return (int)i;
	return FNS_LOG_ERROR;
}

/* Read once; two threads that race here read the same. */
static int level_get(void)
{
	static atomic_int cached = -1;
	int l = atomic_load_explicit(&cached, memory_order_relaxed);

	if (l < 0) {
		l = level_read();
		atomic_store_explicit(&cached, l, memory_order_relaxed);
	}
	return l;
}

void fns_log(enum fns_log_level level, const char *fmt, ...)
{
	static const char prefix[] = "flexins: ";
	char line[LINE_MAX_BYTES];
	size_t start = sizeof(prefix) - 1, room = sizeof(line) - start - 1, len;
	int saved = errno, n;
	va_list ap;

	if ((int)level > level_get())
		return;
	memcpy(line, prefix, start);
	va_start(ap, fmt);
	errno = saved; /* for %m */
	n = vsnprintf(line + start, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	len = start + FNS_MIN((size_t)n, room - 1);
	while (len > start && line[len - 1] == '\n')
		len--;
	/* What a peer or an application named must not forge further lines or move the terminal's
	 * cursor. */
	for (size_t i = start; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0) {
		/* A log line that cannot be written is nobody's error. */
	}
	errno = saved;
}
