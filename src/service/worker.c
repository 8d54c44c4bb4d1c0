/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One engine of the service and the thread that runs it: advances the engine while there is work,
 * looks at its applications' messages now and then, and sleeps when nothing moves.
 *
 * Asleep or awake: a thread that has just had work waits awake for more, as long as nobody else
 * wants its processor. Before it sleeps it says so in a word of each application's ring and looks
 * at the rings once more; applications that submit after that find the word and wake it. Packets
 * are watched for while it sleeps only.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "mem/guard.h"
#include "host/cc.h"
#include "service/service_priv.h"

#define EVENTS_MAX 32
/* Awake without work for so long, with a processor of its own for so long. */
#define SPIN_NS     (50 * FNS_NSEC_PER_USEC)
#define SPIN_OWN_NS (1 * FNS_NSEC_PER_MSEC)
/* A yield that takes longer gave the processor to somebody; then it does not spin for so long. */
#define SPIN_TAKEN_NS (15 * FNS_NSEC_PER_USEC)
#define SPIN_PAUSE_NS (20 * FNS_NSEC_PER_MSEC)
/* How often messages are looked for between advances that find work. */
#define LOOK_NS (20 * FNS_NSEC_PER_USEC)
/* Sleeps no longer than this while something waits that nobody announces. */
#define WAITING_MS 1

static const struct fns_engine_quota quota = {.clients = FNS_SERVICE_CLIENTS,
	.qps = 16384,
	.objects = 100000,
	.bytes = (uint64_t)4 << 30,
	.rxops = FNS_RXOPS / 2};

static uint64_t event_id(uint32_t tag, uint32_t gen, uint32_t index)
{
	return (uint64_t)tag << 56 | (uint64_t)(gen & 0xffffff) << 32 | index;
}

int fns_service_watch(struct fns_service_worker *w, int fd, uint32_t events, uint32_t tag,
	const struct fns_service_conn *c)
{
	struct epoll_event ev = {
		.events = events, .data.u64 = event_id(tag, c ? c->gen : 0, c ? c->app : 0)};

	if (epoll_ctl(w->epfd, EPOLL_CTL_MOD, fd, &ev) == 0)
		return 0;
	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* --- the keeper --- */

static void tell_main(struct fns_service_worker *w)
{
	(void)eventfd_write(w->to_main, 1);
}

/* It said something, or died: then the main thread, which may block, goes for another one. */
static void keeper_event(struct fns_service_worker *w)
{
	struct fns_keeper_peer_info p;
	int rc;

	if (atomic_load(&w->keeper_gone))
		return;
	while ((rc = fns_host_hello_take(&w->hello, &w->lease, &p)) == 0 || rc == -EBUSY)
		if (rc == 0)
			fns_engine_hello_told(w->engine, &p.remote, p.state, &p.hello);
	if (rc == -EAGAIN)
		return;
	(void)epoll_ctl(w->epfd, EPOLL_CTL_DEL, w->lease.conn, NULL);
	atomic_store(&w->keeper_gone, true);
	tell_main(w);
}

static void keeper_back(struct fns_service_worker *w)
{
	if (!atomic_exchange(&w->keeper_back, false))
		return;
	atomic_store(&w->keeper_gone, false);
	w->hello.outstanding = 0;
	fns_engine_hello_lost(w->engine);
	(void)fns_service_watch(w, w->lease.conn, EPOLLIN, FNS_SERVICE_EV_KEEPER, NULL);
}

/* --- newcomers --- */

bool fns_service_worker_add(struct fns_service_worker *w, int sock, pid_t pid, int pidfd)
{
	bool room;

	pthread_mutex_lock(&w->lock);
	room = w->n_newcomers < FNS_SERVICE_NEWCOMERS;
	if (room)
		w->newcomer[w->n_newcomers++] = (struct fns_service_newcomer){sock, pidfd, pid};
	pthread_mutex_unlock(&w->lock);
	if (room) {
		(void)eventfd_write(w->mail, 1);
		return true;
	}
	close(sock);
	if (pidfd >= 0)
		close(pidfd);
	return false;
}

static void take_mail(struct fns_service_worker *w)
{
	struct fns_service_newcomer n[FNS_SERVICE_NEWCOMERS];
	eventfd_t count;
	unsigned k;

	(void)eventfd_read(w->mail, &count);
	pthread_mutex_lock(&w->lock);
	k = w->n_newcomers;
	memcpy(n, w->newcomer, k * sizeof(n[0]));
	w->n_newcomers = 0;
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < k; i++)
		fns_service_conn_new(w, &n[i]);
	keeper_back(w);
}

/* --- the loop --- */

static void on_event(struct fns_service_worker *w, uint64_t id, uint32_t events)
{
	struct fns_service_conn *c = NULL;
	uint32_t tag = (uint32_t)(id >> 56), index = (uint32_t)id;

	if (tag == FNS_SERVICE_EV_CONN || tag == FNS_SERVICE_EV_PIDFD) {
		c = index < FNS_SERVICE_CONNS ? w->conn[index] : NULL;
		/* It may have ended, and another one come, since epoll reported it. */
		if (!c || (c->gen & 0xffffff) != (id >> 32 & 0xffffff) ||
			c->state == FNS_SERVICE_DYING)
			return;
	}
	switch (tag) {
	case FNS_SERVICE_EV_SOCKET:
		w->armed = false; /* one shot */
		break;
	case FNS_SERVICE_EV_WIRE:
		w->wire->ops->events(w->wire);
		break;
	case FNS_SERVICE_EV_KEEPER:
		keeper_event(w);
		break;
	case FNS_SERVICE_EV_MAIL:
		take_mail(w);
		break;
	case FNS_SERVICE_EV_CONN:
		fns_service_conn_event(c, events);
		break;
	case FNS_SERVICE_EV_PIDFD:
		fns_service_conn_end(c, NULL);
		break;
	case FNS_SERVICE_EV_REMOTE:
		fns_host_remote_event(index);
		break;
	default:
		break;
	}
}

static unsigned look(struct fns_service_worker *w, int wait_ms, uint64_t wait_ns)
{
	struct epoll_event ev[EVENTS_MAX];
	struct timespec ts = {.tv_sec = (time_t)(wait_ns / FNS_NSEC_PER_SEC),
		.tv_nsec = (long)(wait_ns % FNS_NSEC_PER_SEC)};
	int n;

	if (wait_ms == 0)
		n = epoll_wait(w->epfd, ev, EVENTS_MAX, 0);
	else
		n = epoll_pwait2(w->epfd, ev, EVENTS_MAX, wait_ms < 0 ? NULL : &ts, NULL);
	if (n < 0 && errno == ENOSYS) /* before Linux 5.11 */
		n = epoll_wait(w->epfd, ev, EVENTS_MAX,
			wait_ms < 0 ? -1 : (int)FNS_DIV_UP(wait_ns, FNS_NSEC_PER_MSEC));
	for (int i = 0; i < n; i++)
		on_event(w, ev[i].data.u64, ev[i].events);
	return n > 0 ? (unsigned)n : 0;
}

static void doze_flags(struct fns_service_worker *w, uint32_t v)
{
	for (uint32_t i = 0; i < FNS_SERVICE_CONNS; i++)
		if (w->conn[i] && w->conn[i]->line)
			atomic_store_explicit(&w->conn[i]->line->doze, v, memory_order_relaxed);
}

static void arm(struct fns_service_worker *w, bool on)
{
	if (on && !w->armed && w->lease.sock >= 0)
		(void)fns_service_watch(
			w, w->lease.sock, EPOLLIN | EPOLLONESHOT, FNS_SERVICE_EV_SOCKET, NULL);
	w->armed |= on;
	w->wire->ops->arm(w->wire, on);
}

/* Sleeps until something happens, the engine's next deadline, or for max_ms (negative: no limit).
 */
static unsigned doze(struct fns_service_worker *w, int max_ms)
{
	uint64_t now, at, wait_ns = UINT64_MAX;
	unsigned n;

	doze_flags(w, 1);
	/* Pairs with the fence between publishing a descriptor and reading the flag. */
	atomic_thread_fence(memory_order_seq_cst);
	if (fns_engine_submissions_due(w->engine)) {
		doze_flags(w, 0);
		return 1;
	}
	arm(w, true);
	now = fns_clock_now_ns();
	at = fns_engine_next(w->engine);
	if (!w->hello.full && fns_engine_hello_pending(w->engine))
		at = now;
	if (at != UINT64_MAX)
		wait_ns = at > now ? at - now : 0;
	if (max_ms >= 0)
		wait_ns = FNS_MIN(wait_ns, (uint64_t)max_ms * FNS_NSEC_PER_MSEC);
	fns_count(w->stats, FNS_C_engine_sleeps);
	n = look(w, wait_ns == 0 ? 0 : wait_ns == UINT64_MAX ? -1 : 1, wait_ns);
	w->wire->ops->arm(w->wire, false);
	doze_flags(w, 0);
	return n;
}

/* What is due besides the engine; then one advance. How much was done. */
static unsigned advance(struct fns_service_worker *w, uint64_t now)
{
	unsigned work;

	if (w->n_waiting)
		fns_service_conns_retry(w, now);
	if (!w->hello.full && fns_engine_hello_pending(w->engine))
		fns_host_hello_carry(
			&w->hello, w->engine, &w->lease, !atomic_load(&w->keeper_gone));
	work = fns_engine_advance(w->engine, now, FNS_ADVANCE_ALL);
	return work;
}

unsigned fns_service_worker_round(struct fns_service_worker *w, int wait_ms)
{
	unsigned n = look(w, 0, 0);

	if (n == 0)
		n = doze(w, w->n_waiting ? FNS_MIN(wait_ms, WAITING_MS) : wait_ms);
	return n + advance(w, fns_clock_now_ns());
}

/* Nothing to do at now: may the thread wait awake? */
static bool may_wait_awake(const struct fns_service_worker *w, uint64_t now, uint64_t work_ns,
	uint64_t no_spin_until_ns)
{
	return w->may_spin && now >= no_spin_until_ns &&
	       now - work_ns < (w->cpu >= 0 ? SPIN_OWN_NS : SPIN_NS);
}

static void *run(void *arg)
{
	struct fns_service_worker *w = arg;
	uint64_t work_ns = 0, look_ns = 0, no_spin_until_ns = 0;
	char name[16];

	snprintf(name, sizeof(name), "engine-%u", w->index);
	pthread_setname_np(pthread_self(), name);
	fns_guard_thread_init();
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		uint64_t now = fns_clock_now_ns();

		if (now - look_ns > LOOK_NS) {
			if (look(w, 0, 0))
				work_ns = now;
			look_ns = now;
		}
		if (advance(w, now)) {
			work_ns = now;
			continue;
		}
		if (may_wait_awake(w, now, work_ns, no_spin_until_ns)) {
			uint64_t before = fns_clock_now_ns();

			sched_yield();
			now = fns_clock_now_ns();
			if (now - before > SPIN_TAKEN_NS)
				no_spin_until_ns = now + SPIN_PAUSE_NS;
			continue;
		}
		doze(w, w->n_waiting ? WAITING_MS : -1);
		look_ns = fns_clock_now_ns();
	}
	return NULL;
}

/* --- life --- */

static bool make_engine(struct fns_service_worker *w, char *err, size_t errlen)
{
	struct fns_dma_process_cfg dc = {
		.spaces = FNS_SERVICE_CONNS, .atomic = fns_service_atomic, .ctx = w};
	struct fns_host_setup s;

	if (!fns_host_setup(&s, &w->lease, w->stats, err, errlen))
		return false;
	s.engine.quota = quota;
	s.engine.up = (struct fns_upcalls){.comp_event = fns_service_comp_event,
		.async_event = fns_service_async_event,
		.ctx = w};
	if (!w->wire)
		w->wire = fns_wire_host_create(&s.wire);
	w->dma = fns_dma_process_create(&dc);
	s.engine.wire = w->wire;
	s.engine.dma = w->dma;
	if (w->wire && w->dma)
		w->engine = fns_engine_create(&s.engine);
	if (!w->engine)
		snprintf(err, errlen, "cannot start an engine: %s",
			strerror(errno ? errno : ENOMEM));
	return w->engine != NULL && fns_host_cc_rules(w->engine, err, errlen);
}

static bool watch_remote(void *ctx, int fd, uint32_t index)
{
	const struct fns_service_worker *w = ctx;
	struct epoll_event ev = {
		.events = EPOLLIN, .data.u64 = event_id(FNS_SERVICE_EV_REMOTE, 0, index)};

	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

/* FLEXINS_FAULT and FLEXINS_CAPTURE of the service are for its engine. */
static bool make_lab(struct fns_service_worker *w, char *err, size_t errlen)
{
	const struct fns_host_remote_cfg remote = {.lab = &w->lab, .watch = watch_remote, .ctx = w};

	w->lab = (struct fns_lab){
		.engine = w->engine, .wire = w->wire, .stats = w->stats, .capture_fd = -1};
	if (!fns_lab_start(&w->lab, err, (unsigned)errlen))
		return false;
	if (w->remote)
		fns_host_remote_start(&remote);
	return true;
}

struct fns_service_worker *fns_service_worker_create(
	const struct fns_service_worker_cfg *cfg, char *err, size_t errlen)
{
	struct fns_keeper_opts opts = {
		.daemon_dir = cfg->daemon_dir, .port = cfg->port, .stats_fd = -1};
	struct fns_service_worker *w = calloc(1, sizeof(*w));

	if (!w) {
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	*w = (struct fns_service_worker){.index = cfg->index,
		.cpu = cfg->cpu,
		.may_spin = cfg->may_spin,
		.remote = cfg->remote,
		.stats_fd = -1,
		.epfd = epoll_create1(EPOLL_CLOEXEC),
		.mail = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.to_main = cfg->to_main,
		.lease = {.sock = -1, .vault = -1, .conn = -1, .stats_fd = -1}};
	pthread_mutex_init(&w->lock, NULL);
	w->wire = cfg->wire;
	w->stats = fns_host_stats_make(&w->stats_fd);
	opts.stats_fd = w->stats_fd;
	if (w->epfd < 0 || w->mail < 0 || !w->stats) {
		snprintf(err, errlen, "cannot start an engine: %s", strerror(errno));
		goto fail;
	}
	if (cfg->wire)
		w->lease.prefix = 1;
	else if (fns_keeper_lease(&opts, &w->lease, err, errlen) < 0)
		goto fail;
	if (!make_engine(w, err, errlen) || !make_lab(w, err, errlen))
		goto fail;
	if (fns_service_watch(w, w->mail, EPOLLIN, FNS_SERVICE_EV_MAIL, NULL) < 0 ||
		(w->lease.conn >= 0 && fns_service_watch(w, w->lease.conn, EPOLLIN,
					       FNS_SERVICE_EV_KEEPER, NULL) < 0) ||
		(w->wire->ops->fd(w->wire) >= 0 &&
			fns_service_watch(w, w->wire->ops->fd(w->wire), EPOLLIN,
				FNS_SERVICE_EV_WIRE, NULL) < 0)) {
		snprintf(err, errlen, "cannot watch descriptors: %s", strerror(errno));
		goto fail;
	}
	return w;
fail:
	fns_service_worker_destroy(w);
	return NULL;
}

int fns_service_worker_start(struct fns_service_worker *w)
{
	cpu_set_t one;
	int r;

	CPU_ZERO(&one);
	if (w->cpu >= 0)
		CPU_SET((unsigned)w->cpu, &one);
	r = fns_thread_start(&w->thread, run, w, w->cpu >= 0 ? &one : NULL);
	if (r)
		w->thread = 0;
	return r;
}

void fns_service_worker_destroy(struct fns_service_worker *w)
{
	if (!w)
		return;
	if (w->thread) {
		atomic_store(&w->stop, true);
		(void)eventfd_write(w->mail, 1);
		pthread_join(w->thread, NULL);
	}
	if (w->engine) {
		/* Acknowledgements that are owed. */
		fns_engine_advance(w->engine, fns_clock_now_ns(), FNS_ADVANCE_ALL);
		fns_host_stats_log(w->stats);
	}
	for (uint32_t i = 0; i < FNS_SERVICE_CONNS; i++)
		if (w->conn[i])
			fns_service_conn_end(w->conn[i], NULL);
	for (unsigned i = 0; i < 1000 && atomic_load(&w->n_conns); i++) {
		uint64_t now = fns_clock_now_ns();

		fns_engine_advance(w->engine, now, FNS_ADVANCE_ALL);
		fns_service_conns_retry(w, now);
		if (atomic_load(&w->n_conns))
			usleep(1000);
	}
	for (unsigned i = 0; i < w->n_newcomers; i++) {
		close(w->newcomer[i].sock);
		if (w->newcomer[i].pidfd >= 0)
			close(w->newcomer[i].pidfd);
	}
	if (w->remote)
		fns_host_remote_forget();
	if (w->wire)
		fns_lab_end(&w->lab);
	fns_engine_destroy(w->engine);
	if (w->lab.fault)
		w->lab.fault->ops->destroy(w->lab.fault);
	if (w->dma)
		w->dma->ops->destroy(w->dma);
	if (w->wire) {
		if (w->lease.sock >= 0)
			fns_wire_host_leave(w->wire);
		w->wire->ops->destroy(w->wire);
	}
	if (w->lease.sock >= 0) {
		if (atomic_load(&w->keeper_gone))
			fns_keeper_forget(&w->lease);
		else
			fns_keeper_release(&w->lease);
	}
	if (w->stats)
		munmap(w->stats, sizeof(*w->stats));
	if (w->stats_fd >= 0)
		close(w->stats_fd);
	if (w->epfd >= 0)
		close(w->epfd);
	if (w->mail >= 0)
		close(w->mail);
	free(w->cq);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
