/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the keeper that does what it is told, one command a line on standard input, one
 * answer a line on standard output. The tests in keeper_test.py drive several of these. A helper
 * thread reconnects when the keeper dies, as the library's does.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/client.h"

#define MORE_MAX 300

static struct fns_lease lease;
static bool leased;
static int stats_fd = -1;
static atomic_int reconnects, lost;
static atomic_bool helper_stop;
static pthread_t helper;
static struct fns_lease more[MORE_MAX];
static int n_more;
static volatile sig_atomic_t sigchld;

static void on_sigchld(int sig)
{
	sigchld++;
}

static void *helper_main(void *arg)
{
	char err[FNS_KEEPER_ERR_LEN];

	while (!atomic_load(&helper_stop)) {
		struct pollfd p = {.fd = lease.conn, .events = POLLIN};

		if (poll(&p, 1, 20) <= 0)
			continue;
		if (fns_keeper_reconnect(&lease, err, sizeof(err)) == 0) {
			atomic_fetch_add(&reconnects, 1);
		} else {
			fprintf(stderr, "reconnect: %s\n", err);
			atomic_fetch_add(&lost, 1);
			usleep(100000);
		}
	}
	return NULL;
}

static void cmd_lease(bool no_start)
{
	struct fns_keeper_opts o = {.stats_fd = stats_fd, .no_start = no_start};
	char err[FNS_KEEPER_ERR_LEN] = "";
	int rc = fns_keeper_lease(&o, &lease, err, sizeof(err));

	if (rc) {
		printf("error %d %s\n", rc, err);
		return;
	}
	leased = true;
	atomic_store(&helper_stop, false);
	pthread_create(&helper, NULL, helper_main, NULL);
	printf("ok %u %d gro=%d ipv6=%d\n", lease.prefix, (int)lease.keeper_pid, lease.gro,
		lease.ipv6);
}

static void stop_helper(void)
{
	atomic_store(&helper_stop, true);
	pthread_join(helper, NULL);
}

/* Takes slots until there are no more; says how many and what the end was like. */
static void cmd_exhaust(void)
{
	struct fns_keeper_opts o = {.stats_fd = -1};
	char err[FNS_KEEPER_ERR_LEN] = "";
	int rc = 0;

	while (n_more < MORE_MAX &&
		(rc = fns_keeper_lease(&o, &more[n_more], err, sizeof(err))) == 0)
		n_more++;
	printf("%d %d %s\n", n_more, rc, err);
}

/* Reads everything that waits: "payload-hex family pktinfo tos/tclass-kinds" of each packet, or
 * only the number. */
static void cmd_recv(bool detail)
{
	unsigned char buf[65536];
	int n = 0, foreign = 0;

	for (int i = 0; i < 100000; i++) {
		char ctl[512];
		struct sockaddr_in6 from;
		struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
		struct msghdr mh = {.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = ctl,
			.msg_controllen = sizeof(ctl)};
		ssize_t len = recvmsg(lease.sock, &mh, MSG_DONTWAIT);

		if (len < 0)
			break;
		n++;
		foreign += len >= 8 && buf[5] != lease.prefix;
		if (!detail)
			continue;
		printf("%zd", len);
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
			struct in6_pktinfo *pi = (void *)CMSG_DATA(c);

			printf(" %d/%d", c->cmsg_level, c->cmsg_type);
			if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
				printf("%s",
					IN6_IS_ADDR_V4MAPPED(&pi->ipi6_addr) ? "(mapped)" : "(v6)");
		}
		printf("; ");
	}
	printf("%d %d\n", n, foreign);
}

static int print_slot(struct fns_keeper_slot_info *s, void *arg)
{
	char text[16] = "";

	if (s->stats_fd >= 0 && pread(s->stats_fd, text, sizeof(text) - 1, 0) < 0)
		text[0] = '!';
	printf("%u:%d:%d:%u:%s:%s ", s->prefix, (int)s->state, (int)s->pid, (unsigned)s->uid,
		s->comm, text);
	return 0;
}

static void cmd_status(void)
{
	struct fns_keeper_opts o = {.stats_fd = -1};
	struct fns_keeper_info info;
	char err[FNS_KEEPER_ERR_LEN] = "";
	int rc = fns_keeper_status(&o, print_slot, NULL, &info, err, sizeof(err));

	if (rc)
		printf("error %d %s\n", rc, err);
	else
		printf("keeper %d %llu\n", (int)info.pid, (unsigned long long)info.unclaimed);
}

/* A child that holds everything we had, for some seconds, whatever becomes of us. */
static void cmd_fork(int seconds)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		sleep((unsigned)seconds);
		_exit(0);
	}
	printf("%d\n", (int)pid);
}

static void cmd_children(void)
{
	int rc = waitpid(-1, NULL, WNOHANG | __WALL);

	printf("%d %d %d\n", rc, rc < 0 ? errno : 0, (int)sigchld);
}

static void command(const char *line)
{
	if (strcmp(line, "lease") == 0) {
		cmd_lease(false);
	} else if (strcmp(line, "lease-no-start") == 0) {
		cmd_lease(true);
	} else if (strcmp(line, "release") == 0) {
		if (leased) {
			stop_helper();
			fns_keeper_release(&lease);
		}
		leased = false;
		puts("ok");
	} else if (strcmp(line, "exhaust") == 0) {
		cmd_exhaust();
	} else if (strcmp(line, "release-one") == 0 && n_more) {
		fns_keeper_release(&more[--n_more]);
		puts("ok");
	} else if (strcmp(line, "recv") == 0) {
		cmd_recv(false);
	} else if (strcmp(line, "recv-detail") == 0) {
		cmd_recv(true);
	} else if (strcmp(line, "status") == 0) {
		cmd_status();
	} else if (strcmp(line, "info") == 0) {
		printf("%u %d %d %d\n", lease.prefix, (int)lease.keeper_pid,
			atomic_load(&reconnects), atomic_load(&lost));
	} else if (strncmp(line, "fork ", 5) == 0) {
		cmd_fork(atoi(line + 5));
	} else if (strcmp(line, "children") == 0) {
		cmd_children();
	} else if (strncmp(line, "stats ", 6) == 0) {
		stats_fd = memfd_create("stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		(void)!write(stats_fd, line + 6, strlen(line + 6));
		puts("ok");
	} else {
		printf("what? %s\n", line);
	}
}

int main(int argc, char **argv)
{
	char line[128];

	signal(SIGCHLD, on_sigchld);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		command(argv[i]);
	while (argc == 1 && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		command(line);
		fflush(stdout);
	}
	return 0;
}
