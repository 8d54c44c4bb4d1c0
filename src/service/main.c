/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flexinsd --engine: options, the listening socket, which engine a newcomer gets, and keepers that
 * die. The engines are worker.c's, one thread each; this thread may block.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "keeper/client.h"
#include "service/service.h"
#include "service/service_priv.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define BACKLOG   64
#define ALLOW_MAX 16u
#define RETRY_MS  1000 /* for a keeper */

static const char help[] =
	"Usage: flexinsd --engine [options]\n"
	"\n"
	"Runs RDMA engines for the programs of this host: those that are started with\n"
	"`flexins run --placement=service` (or FLEXINS_PLACEMENT=service) have their engine here instead of in\n"
	"themselves. Stays in the foreground until SIGTERM or SIGINT; programs that it serves then see their device\n"
	"fail. Each engine takes one share of the RoCEv2 UDP port, as a program would.\n"
	"\n"
	"  -c, --cores LIST     processors to run engines on, one each, such as 2,3 (default: one engine, on any)\n"
	"  -n, --engines N      so many engines (default: one, or one for each core)\n"
	"  -p, --port N         UDP port (default: FLEXINS_PORT, else 4791)\n"
	"  -u, --allow-uid N    serve this user too; may be repeated. Only root can reach other users' memory\n"
	"  -h, --help           this text\n"
	"\n"
	"With one engine, `flexins fault` and `flexins capture` reach it by this process's number.\n"
	"\n"
	"Environment: FLEXINS_PORT, FLEXINS_WIRE (auto, udp, shm), FLEXINS_GSO=off, FLEXINS_FAULT and\n"
	"FLEXINS_CAPTURE (as the options of `flexins run`, for the engines), FLEXINS_LOG (error, warn, info, debug).\n"
	"Exit status: 0 told to stop, 1 could not start or cannot go on, 2 wrong usage, 3 another service runs\n"
	"already.\n";

struct service {
	uint16_t port;
	int cpu[FNS_SERVICE_WORKERS];
	unsigned n_cpus, n_workers;
	uid_t allow[ALLOW_MAX];
	unsigned n_allow;
	int listener, stop, wake;
	struct fns_service_worker *w[FNS_SERVICE_WORKERS];
};

static int usage(const char *what, const char *value)
{
	fprintf(stderr, "flexinsd: %s '%s' is not valid; see flexinsd --engine --help\n", what,
		value);
	return 2;
}

static bool parse_uint(const char *s, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *out <= max;
}

/* "2,3": processors that exist and that we may use. */
static bool parse_cores(struct service *s, const char *text)
{
	char copy[512], *save = NULL;
	unsigned long v;
	cpu_set_t may;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy) ||
		sched_getaffinity(0, sizeof(may), &may) < 0)
		return false;
	s->n_cpus = 0;
	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (s->n_cpus == FNS_SERVICE_WORKERS || !parse_uint(p, CPU_SETSIZE - 1, &v) ||
			!CPU_ISSET(v, &may))
			return false;
		s->cpu[s->n_cpus++] = (int)v;
	}
	return s->n_cpus > 0;
}

/* -1: go on; else the exit status. */
static int from_args(struct service *s, int argc, char **argv)
{
	static const struct option longs[] = {{"engine", 0, NULL, 'E'}, {"cores", 1, NULL, 'c'},
		{"engines", 1, NULL, 'n'}, {"port", 1, NULL, 'p'}, {"allow-uid", 1, NULL, 'u'},
		{"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *capture;
	unsigned long v;
	int opt;

	if (fns_keeper_port_from_env(&s->port))
		return usage("FLEXINS_PORT", getenv("FLEXINS_PORT"));
	while ((opt = getopt_long(argc, argv, "c:n:p:u:h", longs, NULL)) >= 0) {
		switch (opt) {
		case 'E':
			break;
		case 'c':
			if (!parse_cores(s, optarg))
				return usage("--cores", optarg);
			break;
		case 'n':
			if (!parse_uint(optarg, FNS_SERVICE_WORKERS, &v) || v == 0)
				return usage("--engines", optarg);
			s->n_workers = (unsigned)v;
			break;
		case 'p':
			if (fns_keeper_port_parse(optarg, &s->port))
				return usage("--port", optarg);
			break;
		case 'u':
			if (!parse_uint(optarg, UINT32_MAX - 1, &v) || s->n_allow == ALLOW_MAX)
				return usage("--allow-uid", optarg);
			s->allow[s->n_allow++] = (uid_t)v;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fputs("See flexinsd --engine --help\n", stderr);
			return 2;
		}
	}
	if (optind < argc)
		return usage("argument", argv[optind]);
	if (!s->n_workers)
		s->n_workers = FNS_MAX(s->n_cpus, 1u);
	capture = getenv("FLEXINS_CAPTURE");
	if (capture && *capture && s->n_workers > 1) {
		fputs("flexinsd: FLEXINS_CAPTURE is for one engine: leave out --cores and --engines\n",
			stderr);
		return 2;
	}
	return -1;
}

/* --- newcomers --- */

static bool allowed(const struct service *s, uid_t uid)
{
	if (uid == geteuid())
		return true;
	for (unsigned i = 0; i < s->n_allow; i++)
		if (s->allow[i] == uid)
			return true;
	return false;
}

static void refuse(int fd, int err, const char *text)
{
	struct fns_service_msg m;

	fns_service_msg_init(&m, FNS_SERVICE_REFUSED);
	m.result = err;
	snprintf(m.text, sizeof(m.text), "%s", text);
	(void)fns_service_msg_send(fd, &m, -1, MSG_DONTWAIT);
	close(fd);
}

/* The process at the other end, by the socket where the kernel can (6.5). -1: it has ended, or
 * the kernel cannot tell. */
static int peer_pidfd(int fd, pid_t pid)
{
	socklen_t len = sizeof(int);
	int pidfd = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void newcomer(struct service *s)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	struct fns_service_worker *w = s->w[0];
	int pidfd, fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE) {
			fns_log(FNS_LOG_ERROR, "out of descriptors; a program waits");
			usleep(100000); /* epoll would report it for ever */
		}
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || !allowed(s, cred.uid)) {
		refuse(fd, -EACCES,
			"the service belongs to another user and does not serve this one; start one of your own, or have "
			"it started with --allow-uid");
		return;
	}
	if (cred.pid <= 0) {
		refuse(fd, -ESRCH,
			"the service cannot see this process: it is in another PID namespace");
		return;
	}
	pidfd = peer_pidfd(fd, cred.pid);
	if (pidfd < 0 && errno != ENOSYS) {
		close(fd); /* it has ended */
		return;
	}
	for (unsigned i = 1; i < s->n_workers; i++)
		if (atomic_load(&s->w[i]->n_conns) < atomic_load(&w->n_conns))
			w = s->w[i];
	(void)fns_service_worker_add(w, fd, cred.pid, pidfd);
}

/* --- the keeper --- */

/* True while one of them is without a keeper. *lost: its slot is another's now. */
static bool mend_keepers(struct service *s, bool *lost)
{
	char err[FNS_KEEPER_ERR_LEN];
	bool missing = false;

	for (unsigned i = 0; i < s->n_workers; i++) {
		struct fns_service_worker *w = s->w[i];
		int rc;

		if (!atomic_load(&w->keeper_gone) || atomic_load(&w->keeper_back))
			continue;
		rc = fns_keeper_reconnect(&w->lease, err, sizeof(err));
		if (rc == 0) {
			atomic_store(&w->keeper_back, true);
			(void)eventfd_write(w->mail, 1);
			continue;
		}
		fns_log(rc == -ESTALE ? FNS_LOG_ERROR : FNS_LOG_WARN, "%s", err);
		*lost |= rc == -ESTALE;
		missing = true;
	}
	return missing;
}

/* --- life --- */

/* 0, or the exit status. */
static int listen_on(struct service *s)
{
	struct sockaddr_un sa;
	socklen_t len = fns_service_addr(&sa, geteuid(), s->port);

	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener >= 0 && bind(s->listener, (struct sockaddr *)&sa, len) == 0)
		return 0;
	if (errno == EADDRINUSE) {
		fprintf(stderr, "flexinsd: a service for UDP port %u runs already\n", s->port);
		return 3;
	}
	fprintf(stderr, "flexinsd: cannot listen: %s\n", strerror(errno));
	return 1;
}

static const char *own_dir(char *buf, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", buf, len - 1);
	char *slash;

	buf[n > 0 ? n : 0] = '\0';
	slash = strrchr(buf, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return buf;
}

static bool start(struct service *s)
{
	char dir[PATH_MAX], err[FNS_KEEPER_ERR_LEN] = "";
	struct fns_service_worker_cfg cfg = {
		.port = s->port, .daemon_dir = own_dir(dir, sizeof(dir)), .to_main = s->wake};
	cpu_set_t may;

	/* An engine that waits awake needs a processor, and so does who it works for. */
	CPU_ZERO(&may);
	(void)sched_getaffinity(0, sizeof(may), &may);
	cfg.may_spin = (unsigned)CPU_COUNT(&may) > s->n_workers;
	for (unsigned i = 0; i < s->n_workers; i++) {
		cfg.index = i;
		cfg.remote = s->n_workers == 1;
		cfg.cpu = s->n_cpus ? s->cpu[i % s->n_cpus] : -1;
		s->w[i] = fns_service_worker_create(&cfg, err, sizeof(err));
		if (!s->w[i]) {
			fprintf(stderr, "flexinsd: %s\n", err);
			return false;
		}
	}
	for (unsigned i = 0; i < s->n_workers; i++) {
		if (fns_service_worker_start(s->w[i]) < 0) {
			fprintf(stderr, "flexinsd: cannot start a thread\n");
			return false;
		}
	}
	return true;
}

static int serve(struct service *s)
{
	struct pollfd p[] = {{s->listener, POLLIN, 0}, {s->stop, POLLIN, 0}, {s->wake, POLLIN, 0}};
	bool missing = false, lost = false;

	for (;;) {
		eventfd_t count;

		if (poll(p, FNS_ARRAY_SIZE(p), missing ? RETRY_MS : -1) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents)
			return 0;
		if (p[2].revents)
			(void)eventfd_read(s->wake, &count);
		missing = mend_keepers(s, &lost);
		if (lost)
			return 1;
		if (p[0].revents)
			newcomer(s);
	}
}

static void shed_inheritance(void)
{
	struct rlimit rl;
	sigset_t stop;

	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	/* Before any thread starts: all of them leave these to the descriptor. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
}

static int open_stop(void)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGHUP);
	return signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
}

int fns_service_main(int argc, char **argv)
{
	struct service s = {.listener = -1};
	int rc = from_args(&s, argc, argv);

	if (rc >= 0)
		return rc;
	shed_inheritance();
	s.stop = open_stop();
	s.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s.stop < 0 || s.wake < 0) {
		fprintf(stderr, "flexinsd: %s\n", strerror(errno));
		return 1;
	}
	rc = listen_on(&s);
	if (rc)
		return rc;
	rc = 1;
	/* Who connects before the engines are there is refused: it would wait for nothing. */
	if (start(&s) && listen(s.listener, BACKLOG) == 0) {
		printf("flexinsd: %u engine%s for UDP port %u\n", s.n_workers,
			s.n_workers == 1 ? "" : "s", s.port);
		fflush(stdout);
		rc = serve(&s);
	}
	close(s.listener);
	for (unsigned i = 0; i < s.n_workers; i++)
		fns_service_worker_destroy(s.w[i]);
	return rc;
}
