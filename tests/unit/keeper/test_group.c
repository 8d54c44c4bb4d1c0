/* SPDX-License-Identifier: Apache-2.0 */
/* The group of sockets on loopback: exact steering, the drop-all filter, and what a successor finds
 * in the vault. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "keeper/group.h"

static char text[256];

/* A UDP port that was free a moment ago. */
static struct fns_keeper_group_opts some_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	close(fd);
	return (struct fns_keeper_group_opts){.port = ntohs(sa.sin_port), .gro = true};
}

static void send_to(uint16_t port, unsigned prefix, size_t len)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	uint8_t p[64] = {4, 0, 0xff, 0xff, 0, (uint8_t)prefix};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sendto(fd, p, len, 0, (struct sockaddr *)&sa, sizeof(sa)), (ssize_t)len);
	close(fd);
}

/* The byte that steered the packet waiting on a slot, -1: none. */
static int waiting(const struct fns_keeper_group *g, unsigned prefix)
{
	uint8_t p[64];
	ssize_t n = recv(g->sock[prefix], p, sizeof(p), MSG_DONTWAIT);

	return n < 0 ? -1 : n < 6 ? 0 : p[5];
}

static void exact(const struct fns_keeper_group *g)
{
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++)
		send_to(g->port, i, 64);
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++) {
		assert_int_equal(waiting(g, i), (int)i);
		assert_int_equal(waiting(g, i), -1);
	}
}

static void open_all(struct fns_keeper_group *g)
{
	for (unsigned i = 0; i < FNS_KEEPER_SLOTS; i++)
		assert_int_equal(fns_keeper_group_open_slot(g, i), 0);
}

static void steering(void **state)
{
	struct fns_keeper_group_opts o = some_port();
	struct fns_keeper_group g;

	assert_int_equal(fns_keeper_group_create(&g, &o, text, sizeof(text)), 0);
	open_all(&g);
	exact(&g);
	for (size_t len = 0; len < 6; len++) {
		send_to(o.port, 9, len);
		assert_int_equal(waiting(&g, 0), 0);
	}
	send_to(o.port, 9, 6);
	assert_int_equal(waiting(&g, 9), 9);
	fns_keeper_group_close(&g);
}

static void filter_says_whose_slot(void **state)
{
	struct fns_keeper_group_opts o = some_port();
	struct fns_keeper_group g;

	assert_int_equal(fns_keeper_group_create(&g, &o, text, sizeof(text)), 0);
	assert_false(fns_keeper_group_slot_is_shut(&g, 0));
	for (unsigned i = 1; i < FNS_KEEPER_SLOTS; i++)
		assert_true(fns_keeper_group_slot_is_shut(&g, i));
	send_to(o.port, 5, 64);
	assert_int_equal(waiting(&g, 5), -1);
	assert_int_equal(fns_keeper_group_open_slot(&g, 5), 0);
	assert_int_equal(fns_keeper_group_open_slot(&g, 5), 0); /* again is no error */
	assert_false(fns_keeper_group_slot_is_shut(&g, 5));
	for (int i = 0; i < 3; i++)
		send_to(o.port, 5, 64);
	assert_int_equal(fns_keeper_group_drain(&g, 5, 1), 1);
	assert_int_equal(fns_keeper_group_shut_slot(&g, 5), 2);
	assert_int_equal(waiting(&g, 5), -1);
	send_to(o.port, 5, 64);
	assert_int_equal(waiting(&g, 5), -1);
	fns_keeper_group_close(&g);
}

static void the_port_is_not_shared(void **state)
{
	struct fns_keeper_group_opts o = some_port();
	struct fns_keeper_group g, h;

	assert_int_equal(fns_keeper_group_create(&g, &o, text, sizeof(text)), 0);
	assert_int_equal(fns_keeper_group_create(&h, &o, text, sizeof(text)), -EADDRINUSE);
	open_all(&g);
	exact(&g);
	fns_keeper_group_close(&g);
	assert_int_equal(fns_keeper_group_create(&h, &o, text, sizeof(text)), 0);
	fns_keeper_group_close(&h);
}

/* What kill -9 leaves: the vault alone. Any number of successors find the same group in it. */
static void vault_outlives_the_keeper(void **state)
{
	struct fns_keeper_group_opts o = some_port();
	struct fns_keeper_group g;
	int vault, one;

	assert_int_equal(fns_keeper_group_create(&g, &o, text, sizeof(text)), 0);
	assert_int_equal(fns_keeper_group_open_slot(&g, 7), 0);
	send_to(o.port, 7, 64);
	for (int life = 0; life < 5; life++) {
		vault = dup(g.vault);
		one = dup(g.sock[7]);
		/* A keeper killed half-way through reading leaves the offset anywhere. */
		setsockopt(vault, SOL_SOCKET, SO_PEEK_OFF, &(int){life * 7}, sizeof(int));
		fns_keeper_group_close(&g);
		assert_int_equal(fns_keeper_group_adopt(&g, &o, vault, text, sizeof(text)), 0);
		assert_false(fns_keeper_group_slot_is_shut(&g, 7));
		assert_true(fns_keeper_group_slot_is_shut(&g, 8));
		assert_true(fns_keeper_group_slot_is(&g, 7, one));
		assert_false(fns_keeper_group_slot_is(&g, 8, one));
		assert_false(fns_keeper_group_slot_is(&g, 7, vault));
		assert_int_equal(waiting(&g, 7), 7);
		send_to(o.port, 7, 64);
		close(one);
	}
	assert_int_equal(fns_keeper_group_drain(&g, 7, 10), 1);
	open_all(&g);
	exact(&g);
	fns_keeper_group_close(&g);
}

static void false_vaults(void **state)
{
	struct fns_keeper_group_opts o = some_port(), other = some_port();
	struct fns_keeper_group g, h;
	int sv[2];

	assert_int_equal(fns_keeper_group_create(&g, &o, text, sizeof(text)), 0);
	other.port = (uint16_t)(o.port ^ 1);
	assert_int_equal(fns_keeper_group_adopt(&h, &other, g.vault, text, sizeof(text)), -EINVAL);
	assert_int_equal(h.vault, -1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	assert_true(fns_keeper_group_adopt(&h, &o, sv[0], text, sizeof(text)) < 0);
	assert_int_equal(write(sv[1], "not a vault", 11), 11);
	assert_int_equal(fns_keeper_group_adopt(&h, &o, sv[0], text, sizeof(text)), -EINVAL);
	assert_true(fns_keeper_group_adopt(&h, &o, g.sock[1], text, sizeof(text)) < 0);
	assert_true(fns_keeper_group_adopt(&h, &o, STDERR_FILENO, text, sizeof(text)) < 0);
	close(sv[0]);
	close(sv[1]);
	open_all(&g);
	exact(&g);
	fns_keeper_group_close(&g);
}

static int rcvbuf_of(int asked)
{
	struct fns_keeper_group_opts o = some_port();
	struct fns_keeper_group g;
	int first = 0, last = 0;
	socklen_t len = sizeof(first);

	o.rcvbuf = asked;
	assert_int_equal(fns_keeper_group_create(&g, &o, text, sizeof(text)), 0);
	assert_int_equal(getsockopt(g.sock[0], SOL_SOCKET, SO_RCVBUF, &first, &len), 0);
	assert_int_equal(
		getsockopt(g.sock[FNS_KEEPER_SLOTS - 1], SOL_SOCKET, SO_RCVBUF, &last, &len), 0);
	assert_int_equal(first, last);
	fns_keeper_group_close(&g);
	return first;
}

/* Without a wish, all that the system grants up to 4 MiB; a wish is a wish. The kernel doubles. */
static void receive_buffers(void **state)
{
	FILE *f = fopen("/proc/sys/net/core/rmem_max", "re");
	long most = 0;

	if (f) {
		assert_int_equal(fscanf(f, "%ld", &most), 1);
		fclose(f);
		assert_true(rcvbuf_of(0) >= 2 * (most < 4 << 20 ? most : 4 << 20));
	}
	assert_int_equal(rcvbuf_of(106496), 212992);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steering),
		cmocka_unit_test(filter_says_whose_slot),
		cmocka_unit_test(the_port_is_not_shared),
		cmocka_unit_test(vault_outlives_the_keeper),
		cmocka_unit_test(false_vaults),
		cmocka_unit_test(receive_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
