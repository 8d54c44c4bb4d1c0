/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flexinsd: the program. Options, becoming a daemon, telling whoever started it how that went; then
 * server.c. Started by the client library on first use, by a service manager, or by hand.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "keeper/client.h"
#include "keeper/proto.h"
#include "keeper/server.h"
#include "keeper/spawn.h"
#include "service/service.h"

#define FILES_MIN 600 /* the group twice while it is adopted, and some clients */

static const char help[] =
	"Usage: flexinsd [options]\n"
	"\n"
	"The keeper of FlexiNS: owns the RoCEv2 UDP port of this network namespace and leases each process that opens\n"
	"a device a share of it (a queue pair number prefix and the socket its packets arrive on). Up to 254 processes\n"
	"of one user share a port. Programs start it by themselves when they need it, and it leaves after the last one;\n"
	"start it by hand to have it stay, or to serve other users. When it dies, programs keep running: the first to\n"
	"notice starts the next one.\n"
	"\n"
	"      --engine        run engines for programs instead; see flexinsd --engine --help\n"
	"  -p, --port N        UDP port (default: FLEXINS_PORT, else 4791)\n"
	"  -s, --stay          do not leave after the last client\n"
	"  -l, --linger S      leave S seconds after the last client (default: FLEXINS_LINGER, else 2)\n"
	"  -q, --quarantine S  how long to keep the share of a process that was killed out of use\n"
	"                      (default: FLEXINS_QUARANTINE, else 5)\n"
	"  -G, --no-gro        receive single datagrams, not merged ones (also: FLEXINS_GRO=off)\n"
	"  -u, --allow-uid N   serve this user too; may be repeated. Users who share a keeper can disturb each\n"
	"                      other's traffic, so do this only among those who trust each other\n"
	"  -f, --foreground    stay in the foreground, messages on standard error\n"
	"  -V, --vault-fd N    take over the sockets of a keeper that died (used by the library)\n"
	"  -R, --ready-fd N    report readiness to this pipe and stay in the foreground (used by the library)\n"
	"  -h, --help          this text\n"
	"      --version\n"
	"\n"
	"Environment: FLEXINS_PORT, FLEXINS_LINGER, FLEXINS_QUARANTINE, FLEXINS_GRO=off, FLEXINS_RCVBUF (bytes of each\n"
	"socket's receive buffer), FLEXINS_KEEPER_LOG (a file for messages), FLEXINS_LOG (error, warn, info, debug).\n"
	"Signals: SIGTERM and SIGINT end it; running programs are not interrupted.\n"
	"Exit status: 0 served or told to stop, 1 could not start, 2 wrong usage, 3 another keeper runs already.\n";

struct start {
	struct fns_keeper_config cfg;
	int ready_fd; /* -1: nobody to tell */
	bool foreground;
};

static int usage(const char *what, const char *value)
{
	fprintf(stderr, "flexinsd: %s '%s' is not valid; see flexinsd --help\n", what, value);
	return 2;
}

/* Seconds with a fraction, up to a day. */
static bool parse_seconds(const char *s, uint64_t *ns)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || !(v >= 0 && v <= 86400))
		return false;
	*ns = (uint64_t)(v * (double)FNS_NSEC_PER_SEC);
	return true;
}

static bool parse_uint(const char *s, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *out <= max;
}

static int from_env(struct start *st)
{
	const char *linger = getenv("FLEXINS_LINGER"), *quarantine = getenv("FLEXINS_QUARANTINE");
	const char *gro = getenv("FLEXINS_GRO"), *rcvbuf = getenv("FLEXINS_RCVBUF");
	unsigned long v;

	st->cfg = (struct fns_keeper_config){.gro = true,
		.linger_ns = 2 * FNS_NSEC_PER_SEC,
		.quarantine_ns = 5 * FNS_NSEC_PER_SEC,
		.vault = -1};
	if (fns_keeper_port_from_env(&st->cfg.port))
		return usage("FLEXINS_PORT", getenv("FLEXINS_PORT"));
	if (linger && *linger && !parse_seconds(linger, &st->cfg.linger_ns))
		return usage("FLEXINS_LINGER", linger);
	if (quarantine && *quarantine && !parse_seconds(quarantine, &st->cfg.quarantine_ns))
		return usage("FLEXINS_QUARANTINE", quarantine);
	if (gro && (strcmp(gro, "off") == 0 || strcmp(gro, "0") == 0))
		st->cfg.gro = false;
	if (rcvbuf && *rcvbuf) {
		if (!parse_uint(rcvbuf, INT32_MAX / 2, &v))
			return usage("FLEXINS_RCVBUF", rcvbuf);
		st->cfg.rcvbuf = (int)v;
	}
	return 0;
}

/* -1: go on; else the exit status. */
static int from_args(struct start *st, int argc, char **argv)
{
	static const struct option longs[] = {{"port", 1, NULL, 'p'}, {"stay", 0, NULL, 's'},
		{"linger", 1, NULL, 'l'}, {"quarantine", 1, NULL, 'q'}, {"no-gro", 0, NULL, 'G'},
		{"allow-uid", 1, NULL, 'u'}, {"foreground", 0, NULL, 'f'},
		{"vault-fd", 1, NULL, 'V'}, {"ready-fd", 1, NULL, 'R'}, {"help", 0, NULL, 'h'},
		{"version", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
	unsigned long v = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "p:sl:q:Gu:fV:R:h", longs, NULL)) >= 0) {
		switch (opt) {
		case 'p':
			if (!parse_uint(optarg, UINT16_MAX, &v) || v == 0)
				return usage("--port", optarg);
			st->cfg.port = (uint16_t)v;
			break;
		case 's':
			st->cfg.stay = true;
			break;
		case 'l':
			if (!parse_seconds(optarg, &st->cfg.linger_ns))
				return usage("--linger", optarg);
			break;
		case 'q':
			if (!parse_seconds(optarg, &st->cfg.quarantine_ns))
				return usage("--quarantine", optarg);
			break;
		case 'G':
			st->cfg.gro = false;
			break;
		case 'u':
			if (!parse_uint(optarg, UINT32_MAX - 1, &v) ||
				st->cfg.n_allow == FNS_KEEPER_ALLOW_MAX)
				return usage("--allow-uid", optarg);
			st->cfg.allow[st->cfg.n_allow++] = (uid_t)v;
			break;
		case 'f':
			st->foreground = true;
			break;
		case 'V':
			if (!parse_uint(optarg, 1 << 20, &v) ||
				fcntl((int)v, F_SETFD, FD_CLOEXEC) < 0)
				return usage("--vault-fd", optarg);
			st->cfg.vault = (int)v;
			break;
		case 'R':
			if (!parse_uint(optarg, 1 << 20, &v) ||
				fcntl((int)v, F_SETFD, FD_CLOEXEC) < 0)
				return usage("--ready-fd", optarg);
			st->ready_fd = (int)v;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'v':
			puts("flexinsd (FlexiNS) 0.1.0");
			return 0;
		default:
			fputs("See flexinsd --help\n", stderr);
			return 2;
		}
	}
	return optind < argc ? usage("argument", argv[optind]) : -1;
}

/* Says how the start went, once: to the pipe, and where it failed in words to a terminal. */
static void report(struct start *st, char verdict, const char *text)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "%c%s", verdict, text ? text : "");

	if (st->ready_fd >= 0) {
		(void)!write(st->ready_fd, line, (size_t)FNS_MIN(n, (int)sizeof(line) - 1));
		close(st->ready_fd);
		st->ready_fd = -1;
	}
	if (verdict != FNS_KEEPER_READY && text)
		fprintf(stderr, "flexinsd: %s\n", text);
}

static void on_ready(void *arg)
{
	report(arg, FNS_KEEPER_READY, NULL);
}

/* Parent of a daemon started by hand: wait for its verdict and make it our exit status. */
static int wait_for_child(int fd)
{
	char line[256];
	size_t got = 0;
	ssize_t n;

	while (got < sizeof(line) - 1 && ((n = read(fd, line + got, sizeof(line) - 1 - got)) > 0 ||
						 (n < 0 && errno == EINTR)))
		got += n > 0 ? (size_t)n : 0;
	line[got] = 0;
	if (line[0] == FNS_KEEPER_READY)
		return 0;
	fprintf(stderr, "flexinsd: %s\n", got > 1 ? line + 1 : "ended before it was ready");
	return line[0] == FNS_KEEPER_BUSY ? 3 : 1;
}

/* Returns in the daemon; the process that was started exits here. */
static void go_to_background(struct start *st)
{
	int p[2], null;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "flexinsd: fork: %s\n", strerror(errno));
		exit(1);
	}
	if (pid > 0) {
		close(p[1]);
		_exit(wait_for_child(p[0]));
	}
	close(p[0]);
	setsid();
	st->ready_fd = p[1];
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

static void open_log(void)
{
	const char *path = getenv("FLEXINS_KEEPER_LOG");
	int fd = path && *path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd >= 0) {
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
	}
}

/* What a program that happened to start us may have set, and should not outlive it in us. */
static void shed_inheritance(void)
{
	struct sched_param sp = {0};
	struct rlimit rl;
	cpu_set_t all;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
	sched_setscheduler(0, SCHED_OTHER, &sp);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	umask(077);
}

static int serve(struct start *st, int stop_fd)
{
	struct fns_keeper_server *s;
	char text[256] = "";
	struct rlimit rl;
	int rc;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < FILES_MIN) {
		snprintf(text, sizeof(text),
			"the limit of open files (RLIMIT_NOFILE) is %lu and cannot be raised; the keeper needs %d",
			(unsigned long)rl.rlim_cur, FILES_MIN);
		report(st, FNS_KEEPER_FAIL, text);
		return 1;
	}
	rc = fns_keeper_server_create(&s, &st->cfg, text, sizeof(text));
	if (rc == -EADDRINUSE) {
		snprintf(text, sizeof(text), "a keeper for UDP port %u runs already", st->cfg.port);
		report(st, FNS_KEEPER_BUSY, text);
		return 3;
	}
	if (!rc) {
		rc = fns_keeper_server_run(s, stop_fd, on_ready, st, text, sizeof(text));
		fns_keeper_server_destroy(s);
	}
	if (rc)
		report(st, FNS_KEEPER_FAIL, text);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct start st = {.ready_fd = -1};
	sigset_t stop;
	int rc, stop_fd;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--engine") == 0)
			return fns_service_main(argc, argv);
	rc = from_env(&st);
	if (rc)
		return rc;
	rc = from_args(&st, argc, argv);
	if (rc >= 0)
		return rc;
	shed_inheritance();
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_SETMASK, &stop, NULL);
	if (!st.foreground && st.ready_fd < 0)
		go_to_background(&st);
	if (!st.foreground)
		open_log();
	if (chdir("/") < 0)
		return 1;
	stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	if (stop_fd < 0) {
		report(&st, FNS_KEEPER_FAIL, "signalfd failed");
		return 1;
	}
	return serve(&st, stop_fd);
}
