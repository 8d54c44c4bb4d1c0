/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics page, environment, and carrying hellos, for whoever runs an engine. See host.h. */
#include "host/host.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/util.h"
#include "cc/load.h"
#include "transport/nic.h"

/* Congestion notifications of one queue pair come at most this often: what NICs do. */
#define CNP_NS (50 * FNS_NSEC_PER_USEC)

struct fns_stats *fns_host_stats_make(int *fd)
{
	struct fns_stats *s;

	*fd = fns_memfd_sealed("flexins-stats", sizeof(*s));
	if (*fd < 0)
		return NULL;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (s == MAP_FAILED)
		return NULL;
	s->pid = (uint32_t)getpid();
	pthread_getname_np(pthread_self(), s->comm, sizeof(s->comm));
	return s;
}

void fns_host_stats_log(const struct fns_stats *s)
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
		uint64_t v = atomic_load_explicit(&s->counter[i], memory_order_relaxed);

		if (v)
			at += (size_t)snprintf(line + at, sizeof(line) - at, " %s=%llu", name[i],
				(unsigned long long)v);
	}
	if (at)
		fns_log(FNS_LOG_INFO, "counters of pid %d:%s", (int)getpid(), line);
}

bool fns_host_env_off(const char *name)
{
	const char *v = getenv(name);

	return v && (strcmp(v, "off") == 0 || strcmp(v, "0") == 0);
}

const char *fns_host_own_dir(char *buf, size_t len)
{
	Dl_info info;
	char *slash;

	if (!dladdr((void *)(uintptr_t)&fns_host_own_dir, &info) || !info.dli_fname)
		return NULL;
	snprintf(buf, len, "%s", info.dli_fname);
	slash = strrchr(buf, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return buf;
}

/* Of a leased socket's receive buffer, what READ responses may fill; 0: unknown. */
static uint32_t read_budget(int sock)
{
	socklen_t len = sizeof(int);
	int rcvbuf = 0;

	if (getsockopt(sock, SOL_SOCKET, SO_RCVBUF, &rcvbuf, &len) < 0)
		return 0;
	return fns_rcvbuf_share((uint32_t)rcvbuf);
}

static bool wire_choice(enum fns_wire_choice *out, char *err, size_t errlen)
{
	const char *v = getenv("FLEXINS_WIRE");

	*out = FNS_WIRE_AUTO;
	if (!v || !*v || fns_wire_choice_parse(v, out))
		return true;
	snprintf(err, errlen, "FLEXINS_WIRE='%s': expected " FNS_WIRE_CHOICES, v);
	return false;
}

static bool modes(struct fns_modes *out, enum fns_wire_choice *wire, char *err, size_t errlen)
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

static bool congestion(struct fns_cc_choice *out, char *err, size_t errlen)
{
	char why[512];

	if (fns_cc_choose_path(getenv("FLEXINS_CC"), out, why, sizeof(why)))
		return true;
	snprintf(err, errlen, "FLEXINS_CC: %s", why);
	return false;
}

static bool transport(bool *selective, char *err, size_t errlen)
{
	const char *v = getenv("FLEXINS_TRANSPORT");

	if (fns_transport_parse(v, selective))
		return true;
	snprintf(err, errlen, "FLEXINS_TRANSPORT='%s': expected " FNS_TRANSPORT_EXPECTED, v);
	return false;
}

bool fns_host_setup(struct fns_host_setup *s, const struct fns_lease *l, struct fns_stats *stats,
	char *err, size_t errlen)
{
	*s = (struct fns_host_setup){.wire = {.udp = {.sock = l->sock,
						      .prefix = l->prefix,
						      .port = l->port,
						      .gso = !fns_host_env_off("FLEXINS_GSO"),
						      .gro = l->gro},
					     .port = l->port},
		.engine = {.start_ns = fns_clock_now_ns(),
			.prefix = l->prefix,
			.stats = stats,
			.cc_choose = fns_cc_choose,
			.cnp_ns = CNP_NS,
			.read_budget = read_budget(l->sock)}};
	if (fns_entropy_fill(&s->engine.seed, sizeof(s->engine.seed)) < 0) {
		snprintf(err, errlen, "no entropy for memory keys: %s", strerror(errno));
		return false;
	}
	if (!wire_choice(&s->wire.choice, err, errlen) ||
		!modes(&s->engine.modes, &s->wire.choice, err, errlen) ||
		!congestion(&s->cc, err, errlen) || !transport(&s->engine.selective, err, errlen))
		return false;
	s->engine.cc = &s->cc;
	s->wire.udp.rx_ring_mib = s->engine.modes.rx_ring_mib;
	return true;
}

void fns_host_hello_carry(
	struct fns_host_hello *h, struct fns_engine *e, const struct fns_lease *l, bool keeper)
{
	struct fns_engine_address a;
	bool can = keeper && !h->given_up;

	while (can && h->outstanding < FNS_KEEPER_PEER_ASKS && fns_engine_hello_next(e, &a)) {
		/* If that fails the keeper is dying, and this one is asked again after it. */
		if (fns_keeper_peer_ask(l, &a.local, &a.remote, a.ifindex) == 0)
			h->outstanding++;
	}
	h->full = !can || h->outstanding == FNS_KEEPER_PEER_ASKS;
}

int fns_host_hello_take(
	struct fns_host_hello *h, const struct fns_lease *l, struct fns_keeper_peer_info *out)
{
	int rc = fns_keeper_peer_take(l, out);

	if ((rc == 0 || rc == -EBUSY) && h->outstanding)
		h->outstanding--;
	if (rc == -EPROTO) {
		fns_log(FNS_LOG_WARN, "the keeper's answer makes no sense; is flexinsd old?");
		h->given_up = true;
	}
	return rc;
}
