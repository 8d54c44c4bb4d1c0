/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the kernel's UDP tables, and the sentences made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "keeper/owner.h"

static const char table[] =
	"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	"  123: 0100007F:12B7 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 555 2 0000000000000000 0\n"
	"  124: 00000000:12B8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 556 2 0000000000000000 0\n"
	" 4791: 00000000000000000000000000000000:12B7 00000000000000000000000000000000:0000 07 00000000:00000000 "
	"00:00000000 00000000  1001        0 557 2 0000000000000000 0\n";

static void counts_sockets_of_the_port(void **state)
{
	struct fns_keeper_owner o = {0};

	fns_keeper_owner_parse(&o, table, 4791, 1000);
	assert_int_equal(o.sockets, 2);
	assert_int_equal(o.ours, 1);
	assert_int_equal(o.uid, 1001); /* the stranger is who must be named */
	assert_int_equal(o.n_inodes, 1);
	assert_int_equal(o.inode[0], 557);
	memset(&o, 0, sizeof(o));
	fns_keeper_owner_parse(&o, table, 4792, 1000);
	assert_int_equal(o.sockets, 1);
	assert_int_equal(o.uid, 0);
	memset(&o, 0, sizeof(o));
	fns_keeper_owner_parse(&o, table, 1, 1000);
	assert_int_equal(o.sockets, 0);
}

static void any_text_is_survived(void **state)
{
	char text[sizeof(table)];
	struct fns_rng r;

	fns_rng_seed(&r, 1);
	for (int i = 0; i < 20000; i++) {
		struct fns_keeper_owner o = {0};

		memcpy(text, table, sizeof(text));
		for (uint64_t n = fns_rng_below(&r, 20); n; n--)
			text[fns_rng_below(&r, sizeof(text) - 1)] = (char)fns_rng_below(&r, 256);
		fns_keeper_owner_parse(&o, text, 4791, 1000);
		assert_true(o.sockets <= 3 && o.n_inodes <= o.sockets);
	}
}

static void more_sockets_than_fit(void **state)
{
	static const char line[] = " 1: 00000000:0001 00000000:0000 07 0:0 00:0 0 5 0 99 2 0 0\n";
	static char text[sizeof(line) * 300];
	struct fns_keeper_owner o = {0};

	for (int i = 0; i < 300; i++)
		memcpy(text + (size_t)i * (sizeof(line) - 1), line, sizeof(line));
	fns_keeper_owner_parse(&o, text, 1, 5);
	assert_int_equal(o.sockets, 300);
	assert_int_equal(o.ours, 300);
	assert_int_equal(o.n_inodes, FNS_KEEPER_OWNER_INODES);
}

static void finds_the_process(void **state)
{
	uint64_t inode[2] = {1, 0};
	bool seen[2] = {true, true};
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	assert_int_equal(fstat(fd, &st), 0);
	inode[1] = st.st_ino;
	assert_int_equal(fns_keeper_owner_of_sockets(inode, 2, 0), getpid());
	assert_int_equal(fns_keeper_owner_of_sockets(inode, 2, getpid()), 0);
	fns_keeper_owner_see_sockets(inode, seen, 2, 0);
	assert_true(!seen[0] && seen[1]);
	fns_keeper_owner_see_sockets(inode, seen, 2, getpid());
	assert_true(!seen[0] && !seen[1]);
	close(fd);
	assert_int_equal(fns_keeper_owner_of_sockets(inode, 2, 0), 0);
}

static void sentences(void **state)
{
	struct fns_keeper_owner o = {.sockets = 1, .uid = 77777, .pid = 71, .comm = "prog"};
	char text[256];

	fns_keeper_owner_explain(&o, 4791, text, sizeof(text));
	assert_string_equal(
		text, "UDP port 4791 is taken by pid 71 (prog); stop it or set FLEXINS_PORT");
	o.pid = 0;
	fns_keeper_owner_explain(&o, 4791, text, sizeof(text));
	assert_string_equal(text,
		"UDP port 4791 is taken by a program of uid 77777; stop it or set FLEXINS_PORT");
	o.uid = 0;
	fns_keeper_owner_explain(&o, 4793, text, sizeof(text));
	assert_non_null(strstr(text, "Soft-RoCE"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_sockets_of_the_port),
		cmocka_unit_test(any_text_is_survived),
		cmocka_unit_test(more_sockets_than_fit),
		cmocka_unit_test(finds_the_process),
		cmocka_unit_test(sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
