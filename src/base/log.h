/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for humans on stderr, one line each, "flexins: ...". Library code returns errors; the
 * caller that knows more logs once. Level by FLEXINS_LOG = error (default) | warn | info | debug,
 * read once. Thread-safe.
 */
#ifndef FNS_BASE_LOG_H
#define FNS_BASE_LOG_H

enum fns_log_level {
	FNS_LOG_ERROR,
	FNS_LOG_WARN,
	FNS_LOG_INFO,
	FNS_LOG_DEBUG,
};

void fns_log(enum fns_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
