/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the inline placement: start at first use with lease, engine and helper; fork; end of the
 * process. Names the concrete backends. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "inline/inline_priv.h"
#include "inline/lab.h"

struct fns_inline fns_here = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;
static _Atomic bool dead; /* in a forked child */
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
	atomic_store(&dead, true);
	close(fns_here.epfd);
	close(fns_here.timerfd);
	fns_remote_forget();
	fns_lab_forget();
	fns_wire_host_forget(fns_here.wire);
	fns_keeper_forget(&fns_here.lease);
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
		uint64_t v =
			atomic_load_explicit(&fns_here.stats->counter[i], memory_order_relaxed);

		if (v)
			at += (size_t)snprintf(line + at, sizeof(line) - at, " %s=%llu", name[i],
				(unsigned long long)v);
	}
	if (at)
		fns_log(FNS_LOG_INFO, "counters of pid %d:%s", (int)getpid(), line);
}

/*
 * At the end of the process: an advance under way in the helper still has acknowledgements to send
 * for completions that the application has already seen, so it is waited for; then the slot goes
 * back at once. The lock stays taken: nothing advances the engine any more.
 */
__attribute__((destructor)) static void settle(void)
{
	struct timespec until;

	if (!started || atomic_load(&dead))
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	if (pthread_mutex_timedlock(&fns_here.lock, &until) != 0) {
		log_counters();
		return;
	}
	fns_engine_advance(fns_here.engine, fns_clock_now_ns(), FNS_ADVANCE_ALL);
	log_counters();
	atomic_store(&dead, true);
	fns_lab_end();
	fns_wire_host_leave(fns_here.wire);
	if (!fns_here.keeper_gone)
		fns_keeper_release(&fns_here.lease);
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

/* Of our own receive buffer, what READ responses may fill. */
static uint32_t read_budget(void)
{
	socklen_t len = sizeof(int);
	int rcvbuf = 0;

	if (getsockopt(fns_here.lease.sock, SOL_SOCKET, SO_RCVBUF, &rcvbuf, &len) < 0)
		return 0;
	return fns_rcvbuf_share((uint32_t)rcvbuf);
}

static bool wire_choice(enum fns_wire_choice *out, char *err, unsigned errlen)
{
	const char *v = getenv("FLEXINS_WIRE");

	*out = FNS_WIRE_AUTO;
	if (!v || !*v || fns_wire_choice_parse(v, out))
		return true;
	snprintf(err, errlen, "FLEXINS_WIRE='%s': expected " FNS_WIRE_CHOICES, v);
	return false;
}

/* What is compared with the paper's mechanisms; all zero unless asked for. */
static bool modes(struct fns_modes *out, enum fns_wire_choice *wire, char *err, unsigned errlen)
{
	const char *tx = getenv("FLEXINS_TX"), *rx = getenv("FLEXINS_RX");
	const char *pipe_mode = getenv("FLEXINS_PIPE");

	if (!fns_tx_mode_parse(tx, out)) {
		snprintf(err, errlen, "FLEXINS_TX='%s': expected " FNS_TX_EXPECTED, tx);
		return false;
	}
	if (!fns_rx_mode_parse(rx, out)) {
		snprintf(err, errlen, "FLEXINS_RX='%s': expected " FNS_RX_EXPECTED, rx);
		return false;
	}
	if (!fns_pipe_mode_parse(pipe_mode, out)) {
		snprintf(err, errlen, "FLEXINS_PIPE='%s': expected " FNS_PIPE_EXPECTED, pipe_mode);
		return false;
	}
	if (out->rx == FNS_RXM_IN_CACHE)
		return true;
	if (*wire == FNS_WIRE_SHM) {
		snprintf(err, errlen, "FLEXINS_RX='%s' with FLEXINS_WIRE=shm: " FNS_RX_NOT_SHM, rx);
		return false;
	}
	*wire = FNS_WIRE_UDP;
	return true;
}

static bool make_engine(char *err, unsigned errlen)
{
	struct fns_wire_host_cfg wc = {.udp = {.sock = fns_here.lease.sock,
					       .prefix = fns_here.lease.prefix,
					       .port = fns_here.lease.port,
					       .gso = !env_off("FLEXINS_GSO"),
					       .gro = fns_here.lease.gro},
		.port = fns_here.lease.port};
	struct fns_engine_cfg ec = {.start_ns = fns_clock_now_ns(),
		.prefix = fns_here.lease.prefix,
		.stats = fns_here.stats,
		.read_budget = read_budget(),
		.up = {.comp_event = up_comp_event, .async_event = up_async_event}};
	size_t ring_bytes =
		sizeof(struct fns_sq_shared) + FNS_INLINE_RING_SLOTS * sizeof(struct fns_sqd);

	if (fns_entropy_fill(&ec.seed, sizeof(ec.seed)) < 0) {
		snprintf(err, errlen, "no entropy for memory keys: %s", strerror(errno));
		return false;
	}
	if (!wire_choice(&wc.choice, err, errlen) || !modes(&ec.modes, &wc.choice, err, errlen))
		return false;
	wc.udp.rx_ring_mib = ec.modes.rx_ring_mib;
	fns_here.wire = fns_wire_host_create(&wc);
	fns_here.dma = fns_dma_direct_create();
	fns_here.ring =
		mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ec.wire = fns_here.wire;
	ec.dma = fns_here.dma;
	if (fns_here.wire && fns_here.dma && fns_here.ring != MAP_FAILED)
		fns_here.engine = fns_engine_create(&ec);
	if (!fns_here.engine ||
		fns_engine_attach(fns_here.engine, fns_here.ring, FNS_INLINE_RING_SLOTS) < 0) {
		snprintf(err, errlen, "cannot start the engine: %s",
			strerror(errno ? errno : ENOMEM));
		return false;
	}
	return true;
}

static bool watch(int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event ev = {.events = events, .data.u32 = tag};

	return epoll_ctl(fns_here.epfd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static bool start(char *err, unsigned errlen)
{
	char dir[4096];
	struct fns_keeper_opts opts = {.daemon_dir = library_dir(dir, sizeof(dir)), .stats_fd = -1};

	fns_here.stats = make_stats(&opts.stats_fd);
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
	if (!fns_lab_start(err, errlen))
		return false;
	fns_remote_start();
	pthread_atfork(NULL, NULL, forked_child);
	if (fns_helper_start(process_cpus_known ? &process_cpus : NULL) != 0) {
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
		fns_here.up = up;
		started = start(err, errlen);
	}
	if (started)
		ops = &fns_inline_ops;
	pthread_mutex_unlock(&start_lock);
	return ops;
}

int fns_placement_alive(void)
{
	return !atomic_load_explicit(&dead, memory_order_relaxed);
}
