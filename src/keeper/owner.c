/* SPDX-License-Identifier: Apache-2.0 */
/* Finding out who has a port. See owner.h. */
#include "keeper/owner.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_MAX (1u << 20) /* bytes of /proc/net/udp that we look at */
#define PIDS_MAX  65536
#define FDS_MAX   65536

void fns_keeper_owner_parse(
	struct fns_keeper_owner *o, const char *text, uint16_t port, uid_t our_uid)
{
	for (const char *line = text, *end; line && *line; line = end ? end + 1 : NULL) {
		unsigned local, uid;
		unsigned long long inode;

		end = strchr(line, '\n');
		/* "sl: local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode ..." */
		if (sscanf(line,
			    " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %*x %*x:%*x %*x:%*x %*x %u %*d %llu",
			    &local, &uid, &inode) != 3 ||
			local != port)
			continue;
		o->sockets++;
		o->ours += uid == our_uid;
		if (o->sockets == 1 || (o->uid == our_uid && uid != our_uid)) {
			o->uid = uid;
			o->n_inodes = 0;
		}
		/* A socket of the kernel's own has inode 0. */
		if (o->uid == uid && inode && o->n_inodes < FNS_KEEPER_OWNER_INODES)
			o->inode[o->n_inodes++] = inode;
	}
}

static void read_table(struct fns_keeper_owner *o, const char *path, uint16_t port, uid_t our_uid)
{
	char *text = malloc(TABLE_MAX + 1);
	FILE *f = text ? fopen(path, "re") : NULL;

	if (f) {
		text[fread(text, 1, TABLE_MAX, f)] = 0;
		fns_keeper_owner_parse(o, text, port, our_uid);
		fclose(f);
	}
	free(text);
}

void fns_keeper_owner_comm(pid_t pid, char comm[16])
{
	char path[32];
	int fd;
	ssize_t n;

	comm[0] = 0;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	n = read(fd, comm, 15);
	close(fd);
	comm[n > 0 ? n : 0] = 0;
	/* A process names itself; a name must not be able to write on the user's terminal. */
	for (char *p = comm; *p; p++)
		if (*p == '\n')
			*p = 0;
		else if (!isprint((unsigned char)*p))
			*p = '?';
}

/* Marks the sockets that a process has; true if there is one. */
static bool mark_sockets(pid_t pid, const uint64_t *inode, bool *seen, unsigned n_inodes)
{
	char path[64], link[64];
	unsigned long long v;
	bool found = false;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	for (int i = 0; d && i < FDS_MAX && (e = readdir(d)); i++) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = 0;
		if (sscanf(link, "socket:[%llu]", &v) != 1)
			continue;
		for (unsigned k = 0; k < n_inodes; k++)
			if (inode[k] == v)
				found = seen[k] = true;
	}
	if (d)
		closedir(d);
	return found;
}

/* Walks all processes; with first, ends at the first one that has any of the sockets and returns
 * it. */
static pid_t walk(const uint64_t *inode, bool *seen, unsigned n, pid_t not_pid, bool first)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	for (int i = 0; d && !found && i < PIDS_MAX && (e = readdir(d)); i++) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : 0;

		if (pid > 0 && pid != not_pid && mark_sockets(pid, inode, seen, n) && first)
			found = pid;
	}
	if (d)
		closedir(d);
	return found;
}

pid_t fns_keeper_owner_of_sockets(const uint64_t *inode, unsigned n, pid_t not_pid)
{
	bool seen[FNS_KEEPER_OWNER_INODES];

	return walk(inode, seen, n < FNS_KEEPER_OWNER_INODES ? n : FNS_KEEPER_OWNER_INODES, not_pid,
		true);
}

void fns_keeper_owner_see_sockets(const uint64_t *inode, bool *seen, unsigned n, pid_t not_pid)
{
	memset(seen, 0, n * sizeof(*seen));
	walk(inode, seen, n, not_pid, false);
}

void fns_keeper_owner_find(struct fns_keeper_owner *o, uint16_t port, uid_t our_uid)
{
	memset(o, 0, sizeof(*o));
	read_table(o, "/proc/net/udp6", port, our_uid);
	read_table(o, "/proc/net/udp", port, our_uid);
	if (o->n_inodes)
		o->pid = fns_keeper_owner_of_sockets(o->inode, o->n_inodes, getpid());
	fns_keeper_owner_comm(o->pid, o->comm);
}

bool fns_keeper_owner_is_keeper(uid_t uid, uint16_t port)
{
	char want[64], line[256];
	FILE *f = fopen("/proc/net/unix", "re");
	bool found = false;

	snprintf(want, sizeof(want), "@flexins-keeper-%u-%u", (unsigned)uid, (unsigned)port);
	for (int i = 0; f && !found && i < (1 << 20) && fgets(line, sizeof(line), f); i++) {
		char *p = strchr(line, '@');

		line[strcspn(line, "\n")] = 0;
		found = p && strcmp(p, want) == 0;
	}
	if (f)
		fclose(f);
	return found;
}

void fns_keeper_owner_explain(
	const struct fns_keeper_owner *o, uint16_t port, char *text, size_t len)
{
	if (o->ours < o->sockets && fns_keeper_owner_is_keeper(o->uid, port))
		snprintf(text, len,
			"another user's keeper (uid %u) owns UDP port %u; have it started with --allow-uid, "
			"or set FLEXINS_PORT",
			(unsigned)o->uid, port);
	else if (o->pid)
		snprintf(text, len,
			"UDP port %u is taken by pid %d (%s); stop it or set FLEXINS_PORT", port,
			(int)o->pid, o->comm);
	else if (o->sockets && o->uid == 0)
		snprintf(text, len,
			"UDP port %u is taken by uid 0 (the kernel's Soft-RoCE? see `rdma link`); stop it or set "
			"FLEXINS_PORT",
			port);
	else if (o->sockets)
		snprintf(text, len,
			"UDP port %u is taken by a program of uid %u; stop it or set FLEXINS_PORT",
			port, (unsigned)o->uid);
	else
		snprintf(text, len, "UDP port %u is taken; stop who has it or set FLEXINS_PORT",
			port);
}
