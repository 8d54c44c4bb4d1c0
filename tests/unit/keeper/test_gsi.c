/* SPDX-License-Identifier: Apache-2.0 */
/* QP1's datagrams over loopback: sent and received, both families; what is damaged, is not. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "keeper/gsi.h"
#include "roce/icrc.h"

static const struct fns_gid lo4 = {{[10] = 0xff, 0xff, 127, 0, 0, 1}};
static const struct fns_gid lo4b = {{[10] = 0xff, 0xff, 127, 0, 0, 2}};
static const struct fns_gid lo6 = {{[15] = 1}};

/* A socket as those of the group are. */
static int receiver(uint16_t *port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, off = 0;

	if (fd < 0)
		return -1;
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin6_port);
	return fd;
}

static int wait_for_one(int fd, uint16_t port, struct fns_keeper_mad *m)
{
	int rc = -EAGAIN;

	for (unsigned i = 0; i < 2000 && rc == -EAGAIN; i++) {
		rc = fns_keeper_gsi_recv(fd, port, m);
		if (rc == -EAGAIN)
			usleep(1000);
	}
	return rc;
}

static void over_loopback(void **state)
{
	const struct {
		const struct fns_gid *from, *to;
	} way[] = {{&lo4, &lo4}, {&lo4b, &lo4}, {&lo4, &lo4b}, {&lo6, &lo6}};
	uint8_t mad[FNS_MAD_LEN];
	struct fns_keeper_mad m;
	uint16_t port = 0;
	int fd = receiver(&port);

	(void)state;
	if (fd < 0)
		skip();
	for (unsigned i = 0; i < sizeof(mad); i++)
		mad[i] = (uint8_t)(i * 7);
	for (unsigned i = 0; i < 4; i++) {
		int rc = fns_keeper_gsi_send(port, way[i].from, way[i].to, 0, mad);

		if (i == 3 && rc == -EADDRNOTAVAIL)
			continue; /* no ::1 here */
		assert_int_equal(rc, 0);
		memset(&m, 0xee, sizeof(m));
		assert_int_equal(wait_for_one(fd, port, &m), 1);
		assert_true(fns_gid_equal(&m.src, way[i].from));
		assert_true(fns_gid_equal(&m.dst, way[i].to));
		assert_int_equal(m.ifindex, 0);
		assert_true(m.intact); /* sent with identification 0 */
		assert_memory_equal(m.mad, mad, sizeof(mad));
	}
	assert_int_equal(fns_keeper_gsi_send(port, &lo4, &lo6, 0, mad), -EADDRNOTAVAIL);
	assert_int_equal(fns_keeper_gsi_recv(fd, port, &m), -EAGAIN);
	close(fd);
}

/* A packet from A to B for identification id, as a kernel with its own RoCE sends it. */
static uint32_t packet(uint8_t *pkt, const struct fns_keeper_mad *m, uint16_t id)
{
	struct fns_icrc_flow f = {.sport = 50000, .dport = 4791, .ipv6 = !fns_gid_is_v4(&m->src)};
	uint32_t crc;

	memcpy(f.src, m->src.b, 16);
	memcpy(f.dst, m->dst.b, 16);
	fns_mad_packet(pkt, m->mad);
	crc = fns_icrc_begin(&f, 8 + FNS_MAD_PACKET_LEN + FNS_ICRC_LEN, id);
	crc = fns_icrc_bth(crc, pkt, FNS_BTH_LEN);
	crc = fns_icrc_final(
		fns_icrc_update(crc, pkt + FNS_BTH_LEN, FNS_MAD_PACKET_LEN - FNS_BTH_LEN));
	for (unsigned i = 0; i < 4; i++)
		pkt[FNS_MAD_PACKET_LEN + i] = (uint8_t)(crc >> 8 * i);
	return FNS_MAD_PACKET_LEN + FNS_ICRC_LEN;
}

static void sums(void **state)
{
	struct fns_keeper_mad m = {.src = lo4, .dst = lo4b}, out = m;
	uint8_t pkt[FNS_MAD_PACKET_LEN + FNS_ICRC_LEN];
	uint32_t len, passed = 0;

	(void)state;
	for (unsigned i = 0; i < FNS_MAD_LEN; i++)
		m.mad[i] = (uint8_t)i;
	len = packet(pkt, &m, 0);
	assert_true(fns_keeper_gsi_check(pkt, len, 50000, 4791, &out) && out.intact);
	assert_memory_equal(out.mad, m.mad, FNS_MAD_LEN);
	assert_false(fns_keeper_gsi_check(pkt, len - 4, 50000, 4791, &out));
	/* Another identification: good enough for a refusal. */
	packet(pkt, &m, 0x1234);
	assert_true(fns_keeper_gsi_check(pkt, len, 50000, 4791, &out) && !out.intact);
	/* One bit of the packet: no identification explains it, but for the reserved byte that the
	 * sum does not cover. */
	packet(pkt, &m, 0);
	for (uint32_t bit = 0; bit < 8 * len; bit++) {
		if (bit / 8 == 4)
			continue;
		pkt[bit / 8] ^= (uint8_t)(1 << bit % 8);
		passed += fns_keeper_gsi_check(pkt, len, 50000, 4791, &out);
		pkt[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(passed, 0);
	/* Without identifications there is nothing to guess. */
	m.src = m.dst = out.src = out.dst = lo6;
	packet(pkt, &m, 0);
	assert_true(fns_keeper_gsi_check(pkt, len, 50000, 4791, &out) && out.intact);
	pkt[len - 1] ^= 1;
	assert_false(fns_keeper_gsi_check(pkt, len, 50000, 4791, &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_loopback),
		cmocka_unit_test(sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
