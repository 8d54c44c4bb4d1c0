/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference that the UDP wire is measured against: what plain UDP sockets do on this machine,
 * right now, for the same bytes. Two processes on the loopback interface, client on CPU 0 and
 * server on CPU 1.
 *
 *	udp_raw pingpong [PAYLOAD] [ROUNDS]	both poll; half of the round trip
 *	udp_raw blast [PAYLOAD] [SEGMENTS] [MS]	GSO trains of {16 header, payload, 4 sum}; CRC-32 on
 * both sides, copy at the receiver, at most 120 packets or two trains unread
 *
 * Prints one JSON object. Exit status 1 when a packet was lost or wrong.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/util.h"
#include "roce/icrc.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

#define HDR        16u
#define SUM        4u
#define MAX_SEGS   64u
#define MAX_BYTES  65400u
#define RING       (1u << 20) /* memory that the payload comes from and goes to */
#define MAX_ROUNDS 1000000u
#define PATIENCE   (2 * FNS_NSEC_PER_SEC) /* a silence this long is a loss */

struct shared {
	_Alignas(64) _Atomic uint64_t received; /* packets; the server writes */
	_Alignas(64) _Atomic uint64_t wrong;    /* the server writes */
	_Alignas(64) atomic_bool stop;          /* the client writes */
};

static struct shared *shared;
static int client, server;
static struct sockaddr_in server_addr;
static uint8_t ring[RING];

static void die(const char *what)
{
	fprintf(stderr, "udp_raw: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* one CPU only: measures that, then */
}

static int sock_open(struct sockaddr_in *sa)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), df = IP_PMTUDISC_DO;
	socklen_t len = sizeof(*sa);

	*sa = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)sa, len) ||
		getsockname(fd, (struct sockaddr *)sa, &len) ||
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &df, sizeof(df)))
		die("socket");
	return fd;
}

static void pingpong_serve(size_t len)
{
	uint8_t buf[2048];
	struct sockaddr_in from;

	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		socklen_t flen = sizeof(from);

		if (recvfrom(server, buf, sizeof(buf), 0, (struct sockaddr *)&from, &flen) ==
			(ssize_t)len)
			(void)sendto(server, buf, len, 0, (struct sockaddr *)&from, flen);
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool pingpong_client(uint32_t payload, uint32_t rounds)
{
	size_t len = HDR + payload + SUM;
	uint32_t *ns = calloc(rounds, sizeof(*ns)), n = 0;
	uint8_t buf[2048] = {0};

	if (!ns)
		die("memory");
	for (; n < rounds; n++) {
		uint64_t start = fns_clock_now_ns(), now = start;

		(void)sendto(
			client, buf, len, 0, (struct sockaddr *)&server_addr, sizeof(server_addr));
		while (recv(client, buf, sizeof(buf), 0) < 0 && now - start < PATIENCE)
			now = fns_clock_now_ns();
		now = fns_clock_now_ns();
		if (now - start >= PATIENCE)
			break;
		ns[n] = (uint32_t)(now - start);
	}
	qsort(ns, n, sizeof(*ns), by_value);
	if (n)
		printf("{\"bench\":\"udp_raw\",\"mode\":\"pingpong\",\"payload\":%u,\"rounds\":%u,"
		       "\"oneway_us\":{\"median\":%.3f,\"p99\":%.3f,\"p999\":%.3f}}\n",
			payload, n, ns[n / 2] / 2e3, ns[n - 1 - n / 100] / 2e3,
			ns[n - 1 - n / 1000] / 2e3);
	free(ns);
	return n == rounds;
}

/* Checks and copies one received train. */
static void blast_take(const uint8_t *buf, size_t len, size_t seg, uint32_t *at)
{
	uint64_t packets = 0, wrong = 0;

	for (size_t off = 0; off < len; off += seg) {
		size_t n = FNS_MIN(seg, len - off);
		uint32_t crc;

		packets++;
		if (n < HDR + SUM) {
			wrong++;
			continue;
		}
		crc = fns_crc32(0, buf + off, n - SUM);
		if (memcmp(&crc, buf + off + n - SUM, SUM) != 0)
			wrong++;
		if (*at + n > RING)
			*at = 0;
		memcpy(ring + *at, buf + off + HDR, n - HDR - SUM);
		*at += (uint32_t)(n - HDR - SUM);
	}
	atomic_store(&shared->wrong, atomic_load(&shared->wrong) + wrong);
	atomic_store(&shared->received, atomic_load(&shared->received) + packets);
}

static void blast_serve(void)
{
	static uint8_t buf[65536];
	uint8_t control[64];
	uint32_t at = 0;
	int on = 1;

	if (setsockopt(server, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)))
		die("UDP_GRO");
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		struct iovec iov = {buf, sizeof(buf)};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t len = recvmsg(server, &m, 0);
		struct cmsghdr *c;
		int seg = (int)len;

		if (len <= 0)
			continue;
		c = CMSG_FIRSTHDR(&m);
		if (c && c->cmsg_type == UDP_GRO)
			memcpy(&seg, CMSG_DATA(c), sizeof(seg));
		blast_take(buf, (size_t)len, (size_t)seg, &at);
	}
}

static bool blast_client(uint32_t payload, uint32_t segs, uint32_t ms)
{
	/* The sum of one packet and the header of the next are one piece. */
	static uint8_t edge[MAX_SEGS + 1][SUM + HDR];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
	struct iovec iov[2 * MAX_SEGS + 1];
	struct msghdr m = {.msg_name = &server_addr,
		.msg_namelen = sizeof(server_addr),
		.msg_iov = iov,
		.msg_iovlen = 2 * segs + 1};
	struct cmsghdr *c = (struct cmsghdr *)(void *)control;
	uint16_t seg = (uint16_t)(HDR + payload + SUM);
	uint64_t start = fns_clock_now_ns(), now = start, moved = start, sent = 0, window;
	uint32_t at = 0;

	window = FNS_MAX(FNS_MIN(120u, MAX_BYTES * 2 / seg), 2 * segs);
	if (segs > 1) {
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(seg));
		memcpy(CMSG_DATA(c), &seg, sizeof(seg));
	}
	while (now - start < ms * FNS_NSEC_PER_MSEC && now - moved < PATIENCE) {
		now = fns_clock_now_ns();
		if (sent + segs - atomic_load(&shared->received) > window)
			continue;
		moved = now;
		for (uint32_t i = 0; i < segs; i++) {
			uint8_t *hdr = edge[i] + SUM;
			uint32_t crc;

			if (at + payload > RING)
				at = 0;
			put_be64(hdr, sent + i);
			crc = fns_crc32(0, hdr, HDR);
			crc = fns_crc32(crc, ring + at, payload);
			memcpy(edge[i + 1], &crc, SUM);
			iov[2 * i] = (struct iovec){i ? edge[i] : hdr, i ? SUM + HDR : HDR};
			iov[2 * i + 1] = (struct iovec){ring + at, payload};
			at += payload;
		}
		iov[2 * segs] = (struct iovec){edge[segs], SUM};
		if (sendmsg(client, &m, 0) > 0)
			sent += segs;
		else if (errno != EAGAIN && errno != ENOBUFS)
			die("sendmsg");
	}
	for (start = now - start, moved = now;
		atomic_load(&shared->received) < sent && now - moved < PATIENCE / 4;)
		now = fns_clock_now_ns();
	uint64_t got = atomic_load(&shared->received), wrong = atomic_load(&shared->wrong);

	printf("{\"bench\":\"udp_raw\",\"mode\":\"blast\",\"payload\":%u,\"segments\":%u,\"packets\":"
	       "%llu,\"lost\":%llu,\"wrong\":%llu,\"gbytes_per_s\":%.3f,\"mpps\":%.3f}\n",
		payload, segs, (unsigned long long)got, (unsigned long long)(sent - got),
		(unsigned long long)wrong, (double)got * payload / (double)start,
		(double)got * 1e3 / (double)start);
	return got == sent && wrong == 0;
}

static uint32_t arg(int argc, char **argv, int i, uint32_t standard, uint32_t max)
{
	unsigned long v = argc > i ? strtoul(argv[i], NULL, 0) : standard;

	return v > max ? max : (uint32_t)v;
}

int main(int argc, char **argv)
{
	bool blast = argc > 1 && strcmp(argv[1], "blast") == 0, ok;
	uint32_t payload = arg(argc, argv, 2, blast ? 4096 : 8, blast ? 16384 : 1024);
	uint32_t segs = FNS_MIN(MAX_SEGS, MAX_BYTES / (HDR + payload + SUM));
	struct sockaddr_in client_addr;
	pid_t pid;

	if (argc < 2 || (!blast && strcmp(argv[1], "pingpong") != 0)) {
		fprintf(stderr, "usage: udp_raw pingpong [PAYLOAD] [ROUNDS]\n"
				"       udp_raw blast [PAYLOAD] [SEGMENTS] [MS]\n");
		return 2;
	}
	memset(ring, 1, sizeof(ring));
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	server = sock_open(&server_addr);
	client = sock_open(&client_addr);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		pin(1);
		if (blast)
			blast_serve();
		else
			pingpong_serve(HDR + payload + SUM);
		_exit(0);
	}
	pin(0);
	if (blast)
		ok = blast_client(payload, FNS_MAX(arg(argc, argv, 3, segs, segs), 1u),
			arg(argc, argv, 4, 1000, 60000));
	else
		ok = pingpong_client(payload, FNS_MAX(arg(argc, argv, 3, 50000, MAX_ROUNDS), 1u));
	atomic_store(&shared->stop, true);
	waitpid(pid, NULL, 0);
	return ok ? 0 : 1;
}
