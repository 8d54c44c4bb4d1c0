/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the fault wire and captures into place and takes them away; see lab.h. */
#include "host/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "wire/capture.h"
#include "wire/fault.h"

#define END_WAIT_MS  1000u /* for the writer at the end of the process */
#define STOP_WAIT_MS 200u  /* at a stop: the helper waits in it */

static _Atomic int64_t epoch_ns; /* from the monotonic clock to the calendar */

static int say_error(int err, char *say, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int say_error(int err, char *say, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(say, len, fmt, ap);
	va_end(ap);
	return err;
}

static void lock(struct fns_lab *l)
{
	if (l->lock)
		l->lock();
}

/* What is held has a deadline now, which whoever runs the engine must keep. */
static void unlock(struct fns_lab *l)
{
	if (l->unlock)
		l->unlock();
}

/* --- faults --- */

static bool qp_look(void *ctx, uint32_t qpn, struct fns_fault_qp *out)
{
	struct fns_engine_qp_info i;

	if (!fns_engine_qp_look(((struct fns_lab *)ctx)->engine, qpn, &i))
		return false;
	*out = (struct fns_fault_qp){.una = i.una,
		.next = i.next,
		.rc = i.type == FNS_QPT_RC,
		.rts = i.state == FNS_QPS_RTS || i.state == FNS_QPS_SQD,
		.rnr_retry = i.rnr_retry,
		.timeout = i.timeout,
		.local = i.local,
		.remote = i.remote};
	return true;
}

/* Under lock: the fault wire is in the chain. 0, -EBUSY, -ENOMEM. */
static int fault_insert(struct fns_lab *l)
{
	const struct fns_fault_cfg cfg = {
		.below = l->wire, .owner_qpn = fns_engine_frame_qpn, .qp_look = qp_look, .ctx = l};
	struct fns_wire *w;
	int err;

	if (l->fault)
		return 0;
	w = fns_wire_fault_create(&cfg);
	if (!w)
		return -ENOMEM;
	err = fns_engine_wire_set(l->engine, w);
	if (err)
		w->ops->destroy(w);
	else
		l->fault = w;
	return err;
}

/* Under lock: the fault wire leaves the chain, if it has nothing to do any more. */
static void fault_try_remove(struct fns_lab *l)
{
	if (!l->fault || !fns_wire_fault_idle(l->fault) ||
		fns_engine_wire_set(l->engine, l->wire) < 0)
		return;
	l->fault->ops->destroy(l->fault);
	l->fault = NULL;
}

int fns_lab_fault_set(struct fns_lab *l, const char *spec, char *say, size_t len)
{
	static const struct fns_fault_spec none;
	struct fns_fault_spec s;
	int err;

	if (spec) {
		err = fns_fault_parse(spec, &s, say, len);
		if (err)
			return err;
	}
	lock(l);
	if (spec) {
		err = fault_insert(l);
		if (err == 0)
			fns_wire_fault_set(l->fault, &s);
	} else {
		err = 0;
		if (l->fault)
			fns_wire_fault_set(l->fault, &none);
		fault_try_remove(l);
		/* Something is still held: asked again, it will have left. */
		if (l->fault)
			err = -EBUSY;
	}
	unlock(l);
	return err;
}

int fns_lab_fault_show(struct fns_lab *l, char *say, size_t len)
{
	enum fns_fault_error what[16];
	uint32_t qpn[16];
	unsigned n = 0;
	size_t at = 0;

	lock(l);
	fault_try_remove(l);
	if (l->fault) {
		fns_fault_format(fns_wire_fault_get(l->fault), say, len);
		at = strlen(say);
		n = fns_wire_fault_errors(l->fault, qpn, what, FNS_ARRAY_SIZE(qpn));
	}
	unlock(l);
	for (unsigned i = 0; i < n && at < len; i++)
		at += (size_t)snprintf(say + at, len - at, "%squeue pair 0x%06x: %s to come",
			at ? "\n" : "", qpn[i], fns_fault_error_name[what[i]]);
	if (at == 0)
		snprintf(say, len, "no faults");
	return 0;
}

static int inject_explain(int err, uint32_t qpn, enum fns_fault_error what, char *say, size_t len)
{
	switch (err) {
	case -ENOENT:
		return say_error(err, say, len,
			"this program has no queue pair 0x%06x; `flexins status` lists them", qpn);
	case -EPROTONOSUPPORT:
		return say_error(err, say, len,
			"queue pair 0x%06x is not RC: its peer never answers, so no answer can be an error",
			qpn);
	case -ENOTCONN:
		return say_error(err, say, len,
			"queue pair 0x%06x is not in state RTS: it cannot send", qpn);
	case -ERANGE:
		return say_error(err, say, len,
			what == FNS_FAULT_ERR_RNR
				? "queue pair 0x%06x has rnr_retry 7, which is for ever; say how often it shall be "
				  "refused: --count=N"
				: "queue pair 0x%06x has timeout 0, which is for ever: silence is no error to it",
			qpn);
	default:
		return err;
	}
}

int fns_lab_fault_inject(
	struct fns_lab *l, uint32_t qpn, const char *name, uint32_t count, char *say, size_t len)
{
	int what, err;

	for (what = 0; what < FNS_FAULT_ERR_COUNT; what++)
		if (strcmp(name, fns_fault_error_name[what]) == 0)
			break;
	if (what == FNS_FAULT_ERR_COUNT)
		return say_error(-EINVAL, say, len,
			"no error '%.20s'; expected rnr, access, invalid, operational or retry",
			name);
	lock(l);
	err = fault_insert(l);
	if (err == 0) {
		err = fns_wire_fault_inject(l->fault, qpn, (enum fns_fault_error)what, count);
		if (err && err != -EBUSY)
			fault_try_remove(l);
	}
	unlock(l);
	return inject_explain(err, qpn, (enum fns_fault_error)what, say, len);
}

/* --- captures --- */

static uint64_t stamp(void)
{
	return fns_clock_now_ns() + (uint64_t)epoch_ns;
}

int fns_lab_capture_start(struct fns_lab *l, int fd, char *say, size_t len)
{
	char app[64], comm[16] = "";
	struct fns_capture_cfg cfg = {.fd = fd, .app = app, .now_ns = stamp, .wire = l->wire};
	struct fns_capture *c;
	int err, flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return say_error(-EBADF, say, len, "no file to write to came with the request");
	lock(l);
	if (l->capture) {
		unlock(l);
		return say_error(-EEXIST, say, len, "a capture of pid %ld is under way already",
			(long)getpid());
	}
	unlock(l);
	memcpy(comm, l->stats->comm, sizeof(comm) - 1);
	snprintf(app, sizeof(app), "FlexiNS, pid %ld (%s)", (long)getpid(), comm);
	/* One difference for the whole file: a step of the calendar clock does not reorder it. */
	epoch_ns = (int64_t)(fns_clock_wall_ns() - fns_clock_now_ns());
	err = fns_capture_create(&cfg, &c);
	if (err)
		return say_error(err, say, len, "cannot capture: %s", strerror(-err));
	lock(l);
	l->capture = c;
	l->capture_fd = fd;
	l->wire->tap = fns_capture_tap(c);
	l->wire->ops->shut(l->wire, true);
	unlock(l);
	return 0;
}

int fns_lab_capture_stop(struct fns_lab *l, char *say, size_t len)
{
	struct fns_capture *c;

	lock(l);
	c = l->capture;
	l->capture = NULL;
	l->capture_fd = -1;
	l->wire->tap = NULL;
	l->wire->ops->shut(l->wire, l->fault != NULL);
	unlock(l);
	if (!c)
		return say_error(
			-ENOENT, say, len, "no capture of pid %ld is under way", (long)getpid());
	if (fns_capture_destroy(c, STOP_WAIT_MS) < 0)
		return say_error(-EIO, say, len,
			"the capture is not complete: its disk is full, or its reader slow or gone");
	return 0;
}

/* name with each %p replaced by the process id. False: too long. */
static bool expand(const char *name, char *out, size_t len, bool *has_pid)
{
	size_t at = 0;

	*has_pid = false;
	for (; *name != '\0'; name++) {
		int n = 1;

		if (at + 1 >= len)
			return false;
		if (name[0] == '%' && name[1] == 'p') {
			n = snprintf(out + at, len - at, "%ld", (long)getpid());
			*has_pid = true;
			name++;
		} else {
			out[at] = *name;
		}
		at += (size_t)n;
		if (at >= len)
			return false;
	}
	out[at] = '\0';
	return true;
}

/*
 * A program that starts others shares its environment with them: the first process to come gets the
 * name itself, the next ones the name and their process id.
 */
static int capture_open(const char *name, char path[static PATH_MAX])
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, fd;
	bool has_pid;
	size_t n;

	if (!expand(name, path, PATH_MAX - 16, &has_pid)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open(path, flags | (has_pid ? O_TRUNC : O_EXCL), 0600);
	if (fd < 0 && errno == EEXIST) {
		n = strlen(path);
		snprintf(path + n, PATH_MAX - n, ".%ld", (long)getpid());
		fd = open(path, flags | O_TRUNC, 0600);
	}
	if (fd >= 0)
		(void)flock(fd, LOCK_EX | LOCK_NB); /* in use: `flexins run` leaves it alone */
	return fd;
}

bool fns_lab_start(struct fns_lab *l, char *err, unsigned errlen)
{
	const char *spec = getenv("FLEXINS_FAULT"), *file = getenv("FLEXINS_CAPTURE");
	char say[256] = "", path[PATH_MAX];
	int fd;

	if (spec && *spec && fns_lab_fault_set(l, spec, say, sizeof(say)) < 0) {
		snprintf(err, errlen, "FLEXINS_FAULT: %s", *say ? say : "no memory");
		return false;
	}
	if (!file || !*file)
		return true;
	fd = capture_open(file, path);
	if (fd < 0) {
		snprintf(
			err, errlen, "cannot write the capture file %s: %s", path, strerror(errno));
		return false;
	}
	if (fns_lab_capture_start(l, fd, say, sizeof(say)) < 0) {
		snprintf(err, errlen, "%s", say);
		close(fd);
		return false;
	}
	fns_log(FNS_LOG_INFO, "capturing to %s", path);
	return true;
}

void fns_lab_end(struct fns_lab *l)
{
	if (!l->capture)
		return;
	l->wire->tap = NULL;
	if (fns_capture_destroy(l->capture, END_WAIT_MS) < 0)
		fns_log(FNS_LOG_WARN, "the capture is not complete");
	l->capture = NULL;
}

void fns_lab_forget(struct fns_lab *l)
{
	if (l->capture_fd >= 0)
		close(l->capture_fd);
	l->capture_fd = -1;
}
