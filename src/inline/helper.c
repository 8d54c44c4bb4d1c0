/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper thread: sleeps in epoll on socket, timer and keeper, and advances the engine when no
 * application thread does.
 */
#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "inline/inline_priv.h"
#include "mem/guard.h"

/* A poll longer ago than this is not spinning; a send of a long train takes half of it. */
#define STALE_POLL_NS (100 * FNS_NSEC_PER_USEC)
/* The helper waits awake this long for the next packet. */
#define SPIN_NS (50 * FNS_NSEC_PER_USEC)
/* A yield that takes longer gave the CPU to somebody; then it does not spin for so long. */
#define SPIN_TAKEN_NS (15 * FNS_NSEC_PER_USEC)
#define SPIN_PAUSE_NS (20 * FNS_NSEC_PER_MSEC)
/*
 * A watchdog that finds packets which nobody fetched is a strike, one that finds a poller at work
 * takes a part of one back: a poller that was merely preempted is told from one that spins on
 * memory by how often it happens.
 */
#define STRIKE         4u
#define STRIKES_OUT    (3u * STRIKE)
#define HOLDOFF_MIN_NS (50 * FNS_NSEC_PER_MSEC)
#define HOLDOFF_MAX_NS FNS_NSEC_PER_SEC
#define HELPER_ROUNDS  64u /* advances before the helper lets others in */
#define RECONNECT_NS   FNS_NSEC_PER_SEC

/* Under lock. Programs the timer unless it is set to that already. */
void fns_helper_timer_at(uint64_t ns)
{
	struct itimerspec its = {0};

	if (ns == fns_here.timer_ns)
		return;
	fns_here.timer_ns = ns;
	if (ns != UINT64_MAX) {
		ns = ns ? ns : 1; /* zero would disarm */
		its.it_value.tv_sec = (time_t)(ns / FNS_NSEC_PER_SEC);
		its.it_value.tv_nsec = (long)(ns % FNS_NSEC_PER_SEC);
	}
	timerfd_settime(fns_here.timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* Under lock. */
void fns_helper_watch_socket(bool on)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = FNS_EV_SOCKET};
	int op = !on ? EPOLL_CTL_DEL : fns_here.in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	/* Taken out altogether while not armed: even a disabled entry costs every packet's sender a
	 * walk through its locks. */
	epoll_ctl(fns_here.epfd, op, fns_here.lease.sock, &ev);
	fns_here.wire->ops->arm(fns_here.wire, on);
	fns_here.in_epoll = on;
	fns_here.armed = on;
}

/* Under lock, after an application thread has advanced the engine: the helper must not sleep past
 * the next deadline. */
void fns_helper_keep_deadline(void)
{
	bool ask = !fns_here.hello.full && fns_engine_hello_pending(fns_here.engine);
	uint64_t next = ask ? 1 : fns_engine_next(fns_here.engine); /* 1: at once */

	if (fns_here.armed && next < fns_here.timer_ns)
		fns_helper_timer_at(next);
}

/* It said something, or died. Not under lock: may block for seconds; the datapath goes on without
 * the keeper. */
static void keeper_event(void)
{
	char err[FNS_KEEPER_ERR_LEN];
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = FNS_EV_KEEPER};
	bool alive;
	int r = 0;

	if (!fns_placement_alive())
		return; /* the process ends: the lease is given back already */
	alive = fns_hello_take();
	if (!alive)
		r = fns_keeper_reconnect(&fns_here.lease, err, sizeof(err));
	if (r == -ESTALE) {
		fns_log(FNS_LOG_ERROR, "%s", err);
		fns_here.keeper_gone = false;
		return;
	}
	fns_here.keeper_gone = r < 0;
	if (!alive && r == 0)
		fns_hello_lost();
	if (r < 0)
		fns_log(FNS_LOG_WARN, "%s; trying again", err);
	else if (epoll_ctl(fns_here.epfd, EPOLL_CTL_MOD, fns_here.lease.conn, &ev) < 0)
		epoll_ctl(fns_here.epfd, EPOLL_CTL_ADD, fns_here.lease.conn, &ev);
}

/* Under lock. Nobody else advances the engine: do it until nothing moves, then watch for more. */
static unsigned helper_advance(void)
{
	unsigned rounds = 0;

	while (rounds < HELPER_ROUNDS &&
		fns_engine_advance(fns_here.engine, fns_clock_now_ns(), FNS_ADVANCE_ALL))
		rounds++;
	fns_helper_watch_socket(true);
	fns_here.timer_ns = 0; /* it may have fired: set it anew */
	fns_helper_timer_at(fns_here.keeper_gone ? FNS_MIN(fns_engine_next(fns_here.engine),
							   fns_clock_now_ns() + RECONNECT_NS)
						 : fns_engine_next(fns_here.engine));
	fns_count(fns_here.stats, FNS_C_engine_sleeps);
	return rounds;
}

/*
 * Not under lock, socket not armed. Packets have come in quick succession: waking up for each would
 * cost more than handling it. Returns when none came for SPIN_NS, when an application thread polls,
 * or when the CPU is wanted.
 */
static void helper_spin(void)
{
	uint32_t polls = atomic_load_explicit(&fns_here.polls, memory_order_relaxed);
	uint64_t before = fns_clock_now_ns(), now;

	for (;;) {
		sched_yield();
		now = fns_clock_now_ns();
		if (now - before > SPIN_TAKEN_NS) {
			fns_here.no_spin_until_ns = now + SPIN_PAUSE_NS;
			return;
		}
		if (now - fns_here.work_ns > SPIN_NS ||
			atomic_load_explicit(&fns_here.polls, memory_order_relaxed) != polls ||
			!fns_lock_try(&fns_here.lock))
			return;
		if (fns_engine_advance(fns_here.engine, now, FNS_ADVANCE_ALL))
			fns_here.work_ns = now;
		fns_inline_unlock();
		before = fns_clock_now_ns();
	}
}

/* Under lock: may the helper go on awake after it found work at now? */
static bool may_spin(uint64_t now)
{
	bool quick = now - fns_here.work_ns < 2 * SPIN_NS;

	fns_here.work_ns = now;
	return quick && now >= fns_here.no_spin_until_ns;
}

/*
 * Under lock, awake for packets: does a thread poll so that it needs no help? Its packets come
 * faster than we wake up, so to watch for them again would mean to be woken for ever.
 */
static bool left_to_poller(uint64_t now)
{
	return fns_here.streak >= FNS_STREAK_POLLS && now - fns_here.last_poll_ns < STALE_POLL_NS &&
	       now >= fns_here.no_disarm_until_ns;
}

/* Under lock: a thread polls; look again whether it still does, soon if sends wait for it. */
static void watchdog(uint64_t now)
{
	fns_helper_timer_at(now + (fns_here.corked ? FNS_QUICK_WATCHDOG_NS : FNS_WATCHDOG_NS));
}

static void *helper(void *arg)
{
	uint32_t seen = 0, strikes = 0;

	(void)arg;
	pthread_setname_np(pthread_self(), "flexins");
	fns_guard_thread_init();
	for (;;) {
		struct epoll_event ev[4];
		int n = epoll_wait(fns_here.epfd, ev, 4, -1), i;
		bool packets = false, wire = false, keeper = fns_here.keeper_gone;
		uint64_t expirations, now, due;
		uint32_t polls;

		for (i = 0; i < n; i++) {
			if (ev[i].data.u32 == FNS_EV_SOCKET)
				packets = true;
			else if (ev[i].data.u32 == FNS_EV_WIRE)
				packets = wire = true;
			else if (ev[i].data.u32 == FNS_EV_KEEPER)
				keeper = true;
			else if (ev[i].data.u32 >= FNS_EV_REMOTE)
				fns_host_remote_event(ev[i].data.u32 - FNS_EV_REMOTE);
			else if (read(fns_here.timerfd, &expirations, sizeof(expirations)) < 0)
				continue;
		}
		if (keeper)
			keeper_event();
		fns_lock_take(&fns_here.lock);
		if (wire)
			fns_here.wire->ops->events(fns_here.wire);
		if (packets) {
			fns_here.armed = false; /* one shot */
			fns_here.wire->ops->arm(fns_here.wire, false);
		}
		due = fns_here.timer_ns ? fns_here.timer_ns : UINT64_MAX;
		polls = atomic_load_explicit(&fns_here.polls, memory_order_relaxed);
		now = fns_clock_now_ns();
		if (packets && fns_engine_advance(fns_here.engine, now, FNS_ADVANCE_ALL) &&
			may_spin(now)) {
			fns_inline_unlock();
			helper_spin();
			fns_lock_take(&fns_here.lock);
			now = fns_clock_now_ns();
		}
		if (packets && left_to_poller(now)) {
			fns_helper_watch_socket(false);
			watchdog(now);
		} else if (packets || fns_here.armed || polls == seen) {
			helper_advance();
		} else if (FNS_MIN(now, due) < fns_here.last_poll_ns + STALE_POLL_NS) {
			/* Somebody polls and needs no help. Or did until the timer fired, from when
			 * on we kept his CPU from him. */
			fns_here.timer_ns = 0;
			watchdog(now);
			strikes -= strikes > 0;
			if (strikes == 0)
				fns_here.holdoff_ns = 0;
		} else if (helper_advance() && (strikes += STRIKE) >= STRIKES_OUT) {
			strikes = 0;
			fns_here.holdoff_ns = FNS_MIN(
				FNS_MAX(2 * fns_here.holdoff_ns, HOLDOFF_MIN_NS), HOLDOFF_MAX_NS);
			fns_here.no_disarm_until_ns = now + fns_here.holdoff_ns;
		}
		seen = polls;
		fns_hello_carry();
		fns_inline_unlock();
	}
	return NULL;
}

int fns_helper_start(const cpu_set_t *cpus)
{
	/* Programs pin the thread that opens the device; the helper must not compete with it there.
	 */
	int r = fns_thread_start(NULL, helper, NULL, cpus);

	if (r == -EINVAL && cpus) /* they are no longer allowed */
		r = fns_thread_start(NULL, helper, NULL, NULL);
	return -r;
}
