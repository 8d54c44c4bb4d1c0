/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inline placement: joins the verbs library and the engine in one process. The thread that
 * posts or polls advances the engine if nobody else does; one helper thread sleeps in epoll and
 * advances it when nobody polls. The only file that sees both sides, and the only one that names
 * the concrete backends.
 *
 * Threads: `lock` is the engine. Application threads try it and go away if it is taken, since
 * whoever holds it looks for new submissions after letting go; control operations and the helper
 * wait for it.
 *
 * Who watches the socket: `armed` means that the helper's epoll does, and then a packet wakes it. A
 * thread that polls in a tight loop disarms it (a wake-up costs more than the packet) and sets the
 * watchdog; the watchdog arms it again once polling has stopped. A program that polls now and then
 * but really spins on memory (ib_write_lat) is found out by the watchdog, which meets packets that
 * nobody fetched: then the socket stays armed for a while. The helper itself stays awake for a
 * moment while packets keep coming, as long as nobody else wants its CPU.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <fcntl.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "keeper/client.h"
#include "mem/guard.h"
#include "pipe/placement.h"

#define RING_SLOTS   4096u
#define WATCHDOG_NS  FNS_NSEC_PER_MSEC
#define STREAK_POLLS 64u /* polls in a row that mean spinning */
#define YIELD_POLLS                                                                                \
	256u /* from here on every 16th empty poll lets others run: the peer may need this CPU */
#define STREAK_GAP_NS (50 * FNS_NSEC_PER_USEC)
#define STALE_POLL_NS (20 * FNS_NSEC_PER_USEC) /* longer ago than this is not spinning */
#define SPIN_NS       (50 * FNS_NSEC_PER_USEC) /* the helper waits awake this long for the next packet \
						*/
#define SPIN_TAKEN_NS                                                                              \
	(15 * FNS_NSEC_PER_USEC) /* a yield that takes longer gave the CPU to somebody */
#define SPIN_PAUSE_NS  (20 * FNS_NSEC_PER_MSEC) /* then it does not spin for so long */
#define HOLDOFF_MIN_NS (50 * FNS_NSEC_PER_MSEC)
#define HOLDOFF_MAX_NS FNS_NSEC_PER_SEC
#define HELPER_ROUNDS  64u /* advances before the helper lets others in */
#define RECONNECT_NS   FNS_NSEC_PER_SEC
#define CONTROL_TRIES  2000u /* of 1 ms each */

enum {
	EV_SOCKET = 1,
	EV_TIMER,
	EV_KEEPER
};

static struct {
	pthread_mutex_t lock;
	struct fns_engine *engine;
	struct fns_wire *wire;
	struct fns_dma *dma;
	struct fns_stats *stats;
	struct fns_sq_shared *ring;
	struct fns_lease lease;
	int epfd, timerfd;
	bool armed;             /* under lock: the helper's epoll watches the socket */
	bool in_epoll;          /* under lock: the socket is in the set, armed or fired */
	uint64_t timer_ns;      /* under lock: what timerfd is set to, UINT64_MAX: nothing */
	_Atomic uint32_t polls; /* calls of poll, for the watchdog */
	uint64_t last_poll_ns;  /* under lock */
	uint32_t streak, idle;  /* under lock: polls in a row; of these the last ones empty */
	uint64_t holdoff_ns, no_disarm_until_ns; /* under lock: see helper() */
	/* helper's own */
	bool keeper_gone;
	uint64_t work_ns,
		no_spin_until_ns; /* last time it found something to do; see helper_spin() */
	const struct fns_placement_upcalls *up;
} nic = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;
static _Atomic bool dead; /* in a forked child */
static cpu_set_t process_cpus;
static bool process_cpus_known;

__attribute__((constructor)) static void remember_cpus(void)
{
	process_cpus_known = sched_getaffinity(0, sizeof(process_cpus), &process_cpus) == 0;
}

/* --- helper's sleep --- */

/* Under lock. Programs the timer unless it is set to that already. */
static void timer_at(uint64_t ns)
{
	struct itimerspec its = {0};

	if (ns == nic.timer_ns)
		return;
	nic.timer_ns = ns;
	if (ns != UINT64_MAX) {
		ns = ns ? ns : 1; /* zero would disarm */
		its.it_value.tv_sec = (time_t)(ns / FNS_NSEC_PER_SEC);
		its.it_value.tv_nsec = (long)(ns % FNS_NSEC_PER_SEC);
	}
	timerfd_settime(nic.timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* Under lock. */
static void watch_socket(bool on)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = EV_SOCKET};
	int op = !on ? EPOLL_CTL_DEL : nic.in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	/* Taken out altogether while not armed: even a disabled entry costs every packet's sender a
	 * walk through its locks. */
	epoll_ctl(nic.epfd, op, nic.lease.sock, &ev);
	nic.in_epoll = on;
	nic.armed = on;
}

/* Under lock, after an application thread has advanced the engine: the helper must not sleep past
 * the next deadline. */
static void keep_deadline(void)
{
	uint64_t next = fns_engine_next(nic.engine);

	if (nic.armed && next < nic.timer_ns)
		timer_at(next);
}

/* --- what the library calls --- */

/* Submissions that came while the lock was held are ours to take: their posters went away. */
static void unlock_and_recheck(void)
{
	for (;;) {
		pthread_mutex_unlock(&nic.lock);
		atomic_thread_fence(memory_order_seq_cst);
		if (!fns_engine_submissions_pending(nic.engine) ||
			pthread_mutex_trylock(&nic.lock) != 0)
			return;
		fns_engine_advance(nic.engine, fns_clock_now_ns(), FNS_ADVANCE_SUBMIT);
		keep_deadline();
	}
}

static void inline_submitted(void)
{
	/* Pairs with the fence of unlock_and_recheck: either we get the lock or its holder sees the
	 * descriptor. */
	atomic_thread_fence(memory_order_seq_cst);
	if (pthread_mutex_trylock(&nic.lock) != 0)
		return;
	fns_engine_advance(nic.engine, fns_clock_now_ns(), FNS_ADVANCE_SUBMIT);
	keep_deadline();
	unlock_and_recheck();
}

static void inline_poll(void)
{
	bool yield;
	uint64_t now;

	atomic_fetch_add_explicit(&nic.polls, 1, memory_order_relaxed);
	if (pthread_mutex_trylock(&nic.lock) != 0)
		return;
	now = fns_clock_now_ns();
	nic.idle = fns_engine_advance(nic.engine, now, FNS_ADVANCE_ALL | FNS_ADVANCE_LAZY)
			   ? 0
			   : nic.idle + 1;
	nic.streak = now - nic.last_poll_ns < STREAK_GAP_NS ? nic.streak + 1 : 0;
	yield = nic.idle >= YIELD_POLLS && nic.idle % 16 == 0;
	nic.last_poll_ns = now;
	if (nic.armed && nic.streak >= STREAK_POLLS && now >= nic.no_disarm_until_ns) {
		watch_socket(false);
		timer_at(now + WATCHDOG_NS);
	}
	keep_deadline();
	unlock_and_recheck();
	if (yield)
		sched_yield();
}

static void inline_will_sleep(void)
{
	if (pthread_mutex_trylock(&nic.lock) != 0)
		return;
	nic.streak = 0;
	if (!nic.armed) {
		watch_socket(true);
		keep_deadline();
	}
	unlock_and_recheck();
}

static int inline_control(struct fns_ctl *msg)
{
	unsigned tries = 0;

	for (;;) {
		uint64_t now = fns_clock_now_ns();

		pthread_mutex_lock(&nic.lock);
		fns_engine_control(nic.engine, msg, now);
		fns_engine_advance(nic.engine, now, FNS_ADVANCE_ALL);
		keep_deadline();
		unlock_and_recheck();
		if (msg->result != -EAGAIN || ++tries >= CONTROL_TRIES)
			return msg->result;
		usleep(1000);
	}
}

static struct fns_sq_shared *inline_sq(uint32_t *nslots)
{
	*nslots = RING_SLOTS;
	return nic.ring;
}

static const struct fns_placement_ops inline_ops = {
	.control = inline_control,
	.sq = inline_sq,
	.submitted = inline_submitted,
	.poll = inline_poll,
	.will_sleep = inline_will_sleep,
	.now_ns = fns_clock_now_ns,
};

static void up_comp_event(void *ctx, uint64_t channel, uint64_t cq)
{
	(void)ctx;
	nic.up->comp_event(channel, cq);
}

static void up_async_event(void *ctx, const struct fns_event *ev)
{
	(void)ctx;
	nic.up->async_event(ev);
}

/* --- helper thread --- */

/* Not under lock: may block for seconds; the datapath goes on without the keeper. */
static void keeper_event(void)
{
	char err[FNS_KEEPER_ERR_LEN];
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = EV_KEEPER};
	int r = fns_keeper_reconnect(&nic.lease, err, sizeof(err));

	if (r == -ESTALE) {
		fns_log(FNS_LOG_ERROR, "%s", err);
		nic.keeper_gone = false;
		return;
	}
	nic.keeper_gone = r < 0;
	if (r < 0)
		fns_log(FNS_LOG_WARN, "%s; trying again", err);
	else if (epoll_ctl(nic.epfd, EPOLL_CTL_MOD, nic.lease.conn, &ev) < 0)
		epoll_ctl(nic.epfd, EPOLL_CTL_ADD, nic.lease.conn, &ev);
}

/* Under lock. Nobody else advances the engine: do it until nothing moves, then watch for more. */
static unsigned helper_advance(void)
{
	unsigned rounds = 0;

	while (rounds < HELPER_ROUNDS &&
		fns_engine_advance(nic.engine, fns_clock_now_ns(), FNS_ADVANCE_ALL))
		rounds++;
	watch_socket(true);
	nic.timer_ns = 0; /* it may have fired: set it anew */
	timer_at(nic.keeper_gone
			 ? FNS_MIN(fns_engine_next(nic.engine), fns_clock_now_ns() + RECONNECT_NS)
			 : fns_engine_next(nic.engine));
	fns_count(nic.stats, FNS_C_engine_sleeps);
	return rounds;
}

/*
 * Not under lock, socket not armed. Packets have come in quick succession: waking up for each would
 * cost more than handling it. Returns when none came for SPIN_NS, when an application thread polls,
 * or when the CPU is wanted.
 */
static void helper_spin(void)
{
	uint32_t polls = atomic_load_explicit(&nic.polls, memory_order_relaxed);
	uint64_t before = fns_clock_now_ns(), now;

	for (;;) {
		sched_yield();
		now = fns_clock_now_ns();
		if (now - before > SPIN_TAKEN_NS) {
			nic.no_spin_until_ns = now + SPIN_PAUSE_NS;
			return;
		}
		if (now - nic.work_ns > SPIN_NS ||
			atomic_load_explicit(&nic.polls, memory_order_relaxed) != polls ||
			pthread_mutex_trylock(&nic.lock) != 0)
			return;
		if (fns_engine_advance(nic.engine, now, FNS_ADVANCE_ALL))
			nic.work_ns = now;
		unlock_and_recheck();
		before = fns_clock_now_ns();
	}
}

/* Under lock: may the helper go on awake after it found work at now? */
static bool may_spin(uint64_t now)
{
	bool quick = now - nic.work_ns < 2 * SPIN_NS;

	nic.work_ns = now;
	return quick && now >= nic.no_spin_until_ns;
}

static void *helper(void *arg)
{
	uint32_t seen = 0;

	(void)arg;
	pthread_setname_np(pthread_self(), "flexins");
	fns_guard_thread_init();
	for (;;) {
		struct epoll_event ev[4];
		int n = epoll_wait(nic.epfd, ev, 4, -1), i;
		bool packets = false, keeper = nic.keeper_gone;
		uint64_t expirations, now;
		uint32_t polls;

		for (i = 0; i < n; i++) {
			if (ev[i].data.u32 == EV_SOCKET)
				packets = true;
			else if (ev[i].data.u32 == EV_KEEPER)
				keeper = true;
			else if (read(nic.timerfd, &expirations, sizeof(expirations)) < 0)
				continue;
		}
		if (keeper)
			keeper_event();
		pthread_mutex_lock(&nic.lock);
		if (packets)
			nic.armed = false; /* one shot */
		polls = atomic_load_explicit(&nic.polls, memory_order_relaxed);
		now = fns_clock_now_ns();
		if (packets && fns_engine_advance(nic.engine, now, FNS_ADVANCE_ALL) &&
			may_spin(now)) {
			unlock_and_recheck();
			helper_spin();
			pthread_mutex_lock(&nic.lock);
		}
		if (packets || nic.armed || polls == seen) {
			helper_advance();
		} else if (now - nic.last_poll_ns < STALE_POLL_NS) {
			/* Somebody polls and needs no help. */
			nic.timer_ns = 0;
			timer_at(now + WATCHDOG_NS);
		} else if (helper_advance()) {
			nic.holdoff_ns = FNS_MIN(
				FNS_MAX(2 * nic.holdoff_ns, HOLDOFF_MIN_NS), HOLDOFF_MAX_NS);
			nic.no_disarm_until_ns = now + nic.holdoff_ns;
		}
		seen = polls;
		unlock_and_recheck();
	}
	return NULL;
}

static int start_helper(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t t;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Programs pin the thread that opens the device; the helper must not compete with it there.
	 */
	if (process_cpus_known)
		pthread_attr_setaffinity_np(&attr, sizeof(process_cpus), &process_cpus);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t, &attr, helper, NULL);
	if (r == EINVAL) { /* the affinity is no longer allowed */
		pthread_attr_destroy(&attr);
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		r = pthread_create(&t, &attr, helper, NULL);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

/* --- life --- */

/* The child of a fork shares our socket and must not hold it; its copies of all contexts are dead.
 */
static void forked_child(void)
{
	if (!started)
		return;
	atomic_store(&dead, true);
	close(nic.epfd);
	close(nic.timerfd);
	fns_keeper_forget(&nic.lease);
}

static void log_counters(void)
{
	static const char *const name[] = {
#define X(n, text) #n,
		FNS_COUNTERS(X)
#undef X
	};
	char line[2048];
	size_t at = 0;
	unsigned i;

	for (i = 0; i < FNS_C_COUNT && at < sizeof(line); i++) {
		uint64_t v = atomic_load_explicit(&nic.stats->counter[i], memory_order_relaxed);

		if (v)
			at += (size_t)snprintf(line + at, sizeof(line) - at, " %s=%llu", name[i],
				(unsigned long long)v);
	}
	if (at)
		fns_log(FNS_LOG_INFO, "counters of pid %d:%s", (int)getpid(), line);
}

/* An advance under way in the helper still has acknowledgements to send for completions that the
 * application has already seen. */
__attribute__((destructor)) static void settle(void)
{
	if (started && !atomic_load(&dead))
		log_counters();
	if (started && !atomic_load(&dead) && pthread_mutex_trylock(&nic.lock) != 0) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		if (pthread_mutex_timedlock(&nic.lock, &until) == 0)
			pthread_mutex_unlock(&nic.lock);
	} else if (started && !atomic_load(&dead)) {
		pthread_mutex_unlock(&nic.lock);
	}
}

static struct fns_stats *make_stats(int *fd)
{
	struct fns_stats *s;

	*fd = memfd_create("flexins-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0 || ftruncate(*fd, sizeof(*s)) < 0)
		return NULL;
	fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (s == MAP_FAILED)
		return NULL;
	s->pid = (uint32_t)getpid();
	pthread_getname_np(pthread_self(), s->comm, sizeof(s->comm));
	return s;
}

static bool env_off(const char *name)
{
	const char *v = getenv(name);

	return v && (strcmp(v, "off") == 0 || strcmp(v, "0") == 0);
}

static const char *library_dir(char *buf, size_t len)
{
	Dl_info info;
	char *slash;

	if (!dladdr((void *)(uintptr_t)&library_dir, &info) || !info.dli_fname)
		return NULL;
	snprintf(buf, len, "%s", info.dli_fname);
	slash = strrchr(buf, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return buf;
}

static bool make_engine(char *err, unsigned errlen)
{
	struct fns_wire_udp_cfg wc = {.sock = nic.lease.sock,
		.prefix = nic.lease.prefix,
		.port = nic.lease.port,
		.gso = !env_off("FLEXINS_GSO"),
		.gro = nic.lease.gro};
	struct fns_engine_cfg ec = {.start_ns = fns_clock_now_ns(),
		.prefix = nic.lease.prefix,
		.stats = nic.stats,
		.up = {.comp_event = up_comp_event, .async_event = up_async_event}};
	size_t ring_bytes = sizeof(struct fns_sq_shared) + RING_SLOTS * sizeof(struct fns_sqd);

	if (fns_entropy_fill(&ec.seed, sizeof(ec.seed)) < 0) {
		snprintf(err, errlen, "no entropy for memory keys: %s", strerror(errno));
		return false;
	}
	nic.wire = fns_wire_udp_create(&wc);
	nic.dma = fns_dma_direct_create();
	nic.ring =
		mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ec.wire = nic.wire;
	ec.dma = nic.dma;
	if (nic.wire && nic.dma && nic.ring != MAP_FAILED)
		nic.engine = fns_engine_create(&ec);
	if (!nic.engine || fns_engine_attach(nic.engine, nic.ring, RING_SLOTS) < 0) {
		snprintf(err, errlen, "cannot start the engine: %s",
			strerror(errno ? errno : ENOMEM));
		return false;
	}
	return true;
}

static bool watch(int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event ev = {.events = events, .data.u32 = tag};

	return epoll_ctl(nic.epfd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static bool start(char *err, unsigned errlen)
{
	char dir[4096];
	struct fns_keeper_opts opts = {.daemon_dir = library_dir(dir, sizeof(dir)), .stats_fd = -1};

	nic.stats = make_stats(&opts.stats_fd);
	if (!nic.stats) {
		snprintf(err, errlen, "no memory for statistics: %s", strerror(errno));
		return false;
	}
	if (fns_keeper_lease(&opts, &nic.lease, err, errlen) < 0)
		return false;
	if (!make_engine(err, errlen))
		return false;
	nic.epfd = epoll_create1(EPOLL_CLOEXEC);
	nic.timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	nic.timer_ns = UINT64_MAX;
	if (nic.epfd < 0 || nic.timerfd < 0 ||
		!watch(nic.lease.sock, EPOLLIN | EPOLLONESHOT, EV_SOCKET) ||
		!watch(nic.timerfd, EPOLLIN, EV_TIMER) ||
		!watch(nic.lease.conn, EPOLLIN | EPOLLONESHOT, EV_KEEPER)) {
		snprintf(err, errlen, "cannot watch the socket: %s", strerror(errno));
		return false;
	}
	nic.armed = nic.in_epoll = true;
	pthread_atfork(NULL, NULL, forked_child);
	if (start_helper() != 0) {
		snprintf(err, errlen, "cannot start the helper thread");
		return false;
	}
	return true;
}

const struct fns_placement_ops *fns_placement_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen)
{
	const struct fns_placement_ops *ops = NULL;

	if (atomic_load(&dead)) {
		snprintf(err, errlen,
			"devices opened before a fork are dead in the child; open them after it");
		errno = EIO;
		return NULL;
	}
	pthread_mutex_lock(&start_lock);
	if (!started) {
		nic.up = up;
		started = start(err, errlen);
	}
	if (started)
		ops = &inline_ops;
	pthread_mutex_unlock(&start_lock);
	return ops;
}

int fns_placement_alive(void)
{
	return !atomic_load_explicit(&dead, memory_order_relaxed);
}
