/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the inline placement: start at first use with lease, engine and helper; fork; end of the
 * process. Names the concrete backends. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "host/cc.h"
#include "host/host.h"
#include "inline/inline.h"
#include "inline/inline_priv.h"

struct fns_inline fns_here;

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;
static cpu_set_t process_cpus;
static bool process_cpus_known;

__attribute__((constructor)) static void remember_cpus(void)
{
	process_cpus_known = sched_getaffinity(0, sizeof(process_cpus), &process_cpus) == 0;
}

static void up_comp_event(void *ctx, uint64_t channel, uint64_t cq)
{
	(void)ctx;
	fns_here.up->comp_event(channel, cq);
}

static void up_async_event(void *ctx, const struct fns_event *ev)
{
	(void)ctx;
	fns_here.up->async_event(ev);
}

/* The child of a fork shares our socket and must not hold it; its copies of all contexts are dead.
 */
static void forked_child(void)
{
	if (!started)
		return;
	fns_placement_end();
	close(fns_here.epfd);
	close(fns_here.timerfd);
	fns_host_remote_forget();
	fns_lab_forget(&fns_here.lab);
	fns_wire_host_forget(fns_here.wire);
	fns_keeper_forget(&fns_here.lease);
}

/*
 * At the end of the process: an advance under way in the helper still has acknowledgements to send
 * for completions that the application has already seen, so it is waited for; then the slot goes
 * back at once. The lock stays taken: nothing advances the engine any more.
 */
__attribute__((destructor)) static void settle(void)
{
	if (!started || !fns_placement_alive())
		return;
	if (!fns_lock_take_within(&fns_here.lock, FNS_NSEC_PER_SEC)) {
		fns_host_stats_log(fns_here.stats);
		return;
	}
	fns_engine_advance(fns_here.engine, fns_clock_now_ns(), FNS_ADVANCE_ALL);
	fns_host_stats_log(fns_here.stats);
	fns_placement_end();
	fns_lab_end(&fns_here.lab);
	fns_wire_host_leave(fns_here.wire);
	if (!fns_here.keeper_gone)
		fns_keeper_release(&fns_here.lease);
}

static bool make_engine(char *err, unsigned errlen)
{
	struct fns_host_setup s;
	size_t ring_bytes =
		sizeof(struct fns_sq_shared) + FNS_INLINE_RING_SLOTS * sizeof(struct fns_sqd);

	if (!fns_host_setup(&s, &fns_here.lease, fns_here.stats, err, errlen))
		return false;
	s.engine.up =
		(struct fns_upcalls){.comp_event = up_comp_event, .async_event = up_async_event};
	fns_here.wire = fns_wire_host_create(&s.wire);
	fns_here.dma = fns_dma_direct_create();
	fns_here.ring =
		mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	s.engine.wire = fns_here.wire;
	s.engine.dma = fns_here.dma;
	if (fns_here.wire && fns_here.dma && fns_here.ring != MAP_FAILED)
		fns_here.engine = fns_engine_create(&s.engine);
	if (!fns_here.engine ||
		fns_engine_attach(fns_here.engine, fns_here.ring, FNS_INLINE_RING_SLOTS) < 0) {
		snprintf(err, errlen, "cannot start the engine: %s",
			strerror(errno ? errno : ENOMEM));
		return false;
	}
	return fns_host_cc_rules(fns_here.engine, err, errlen);
}

static bool watch(int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event ev = {.events = events, .data.u32 = tag};

	return epoll_ctl(fns_here.epfd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void lab_lock(void)
{
	fns_lock_take(&fns_here.lock);
}

static void lab_unlock(void)
{
	fns_helper_keep_deadline();
	fns_inline_unlock();
}

static bool watch_remote(void *ctx, int fd, uint32_t index)
{
	(void)ctx;
	return watch(fd, EPOLLIN, FNS_EV_REMOTE + index);
}

static bool start(char *err, unsigned errlen)
{
	const struct fns_host_remote_cfg remote = {.lab = &fns_here.lab, .watch = watch_remote};
	char dir[4096];
	struct fns_keeper_opts opts = {
		.daemon_dir = fns_host_own_dir(dir, sizeof(dir)), .stats_fd = -1};

	fns_here.stats = fns_host_stats_make(&opts.stats_fd);
	if (!fns_here.stats) {
		snprintf(err, errlen, "no memory for statistics: %s", strerror(errno));
		return false;
	}
	if (fns_keeper_lease(&opts, &fns_here.lease, err, errlen) < 0)
		return false;
	if (!make_engine(err, errlen))
		return false;
	fns_here.epfd = epoll_create1(EPOLL_CLOEXEC);
	fns_here.timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	fns_here.timer_ns = UINT64_MAX;
	if (fns_here.epfd < 0 || fns_here.timerfd < 0 ||
		!watch(fns_here.lease.sock, EPOLLIN | EPOLLONESHOT, FNS_EV_SOCKET) ||
		!watch(fns_here.timerfd, EPOLLIN, FNS_EV_TIMER) ||
		!watch(fns_here.lease.conn, EPOLLIN | EPOLLONESHOT, FNS_EV_KEEPER) ||
		(fns_here.wire->ops->fd(fns_here.wire) >= 0 &&
			!watch(fns_here.wire->ops->fd(fns_here.wire), EPOLLIN, FNS_EV_WIRE))) {
		snprintf(err, errlen, "cannot watch the socket: %s", strerror(errno));
		return false;
	}
	fns_here.armed = fns_here.in_epoll = true;
	fns_here.wire->ops->arm(fns_here.wire, true);
	fns_here.lab = (struct fns_lab){.engine = fns_here.engine,
		.wire = fns_here.wire,
		.stats = fns_here.stats,
		.lock = lab_lock,
		.unlock = lab_unlock,
		.capture_fd = -1};
	if (!fns_lab_start(&fns_here.lab, err, errlen))
		return false;
	fns_host_remote_start(&remote);
	pthread_atfork(NULL, NULL, forked_child);
	if (fns_helper_start(process_cpus_known ? &process_cpus : NULL) != 0) {
		snprintf(err, errlen, "cannot start the helper thread");
		return false;
	}
	return true;
}

const struct fns_placement_ops *fns_inline_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen)
{
	const struct fns_placement_ops *ops = NULL;

	pthread_mutex_lock(&start_lock);
	if (!started) {
		fns_here.up = up;
		started = start(err, errlen);
	}
	if (started)
		ops = &fns_inline_ops;
	pthread_mutex_unlock(&start_lock);
	return ops;
}
