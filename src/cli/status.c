/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flexins status: asks the keeper of this network namespace who holds which slot, and reads the
 * statistics file that came with each. The files were made by other processes, which may be of
 * another version or hostile: they are read with pread(), never mapped, and nothing in them is
 * trusted to be in range.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/cli.h"
#include "keeper/client.h"
#include "pipe/ctl.h"
#include "pipe/modes.h"
#include "pipe/stats.h"

static const char help[] =
	"Usage: flexins status [OPTION]...\n"
	"\n"
	"Show the programs that use FlexiNS in this network namespace: their slots (queue pair number\n"
	"prefixes), queue pairs, how payload travels and how much of it was copied, and every counter that is\n"
	"not zero, with what it counts; then the hosts they talk to: FlexiNS, with the receive buffer it\n"
	"announced, or standard RoCEv2.\n"
	"\n"
	"Options:\n"
	"  --json      everything, zeros included, machine-readable\n"
	"  --port=N    ask the keeper of another UDP port than 4791\n"
	"  --help      print this text\n"
	"\n"
	"Environment:\n"
	"  FLEXINS_PORT=N  as --port\n"
	"\n"
	"Exit status 0 also when no program uses FlexiNS.\n";

static const struct {
	const char *name, *text;
} counters[FNS_C_COUNT] = {
#define X(name, text) {#name, text},
	FNS_COUNTERS(X)
#undef X
};

#define QP_CHUNK 1024u /* queue pair lines read at a time */

struct status {
	bool json;
	unsigned slots, peers; /* printed so far */
};

static const char *slot_state(enum fns_keeper_slot_state s)
{
	switch (s) {
	case FNS_KEEPER_FREE:
		return "free";
	case FNS_KEEPER_HELD:
		return "held";
	case FNS_KEEPER_ORPHANED:
		return "orphaned";
	case FNS_KEEPER_QUARANTINED:
		return "quarantined";
	case FNS_KEEPER_OWN:
		return "keeper";
	}
	return "unknown";
}

static const char *qp_type(unsigned type)
{
	switch (type) {
	case FNS_QPT_RC:
		return "RC";
	case FNS_QPT_UC:
		return "UC";
	case FNS_QPT_UD:
		return "UD";
	default:
		return "?";
	}
}

static const char *qp_state(unsigned state)
{
	static const char *const name[] = {"RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR"};

	return state < FNS_ARRAY_SIZE(name) ? name[state] : "?";
}

static void gid_text(const struct fns_gid *g, char out[static INET6_ADDRSTRLEN])
{
	if (fns_gid_is_v4(g))
		inet_ntop(AF_INET, g->b + 12, out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, g->b, out, INET6_ADDRSTRLEN);
}

static void peer_text(const struct fns_stats_qp *q, char out[static INET6_ADDRSTRLEN])
{
	struct fns_gid g;

	memcpy(g.b, (const char *)q + offsetof(struct fns_stats_qp, peer), sizeof(g.b));
	gid_text(&g, out);
}

/* What the statistics file says. */
struct reading {
	uint64_t value[FNS_C_COUNT], qps;
	unsigned tx_mode, rx_mode, pipe_mode;
	char cc[sizeof(((struct fns_stats *)0)->cc)];
	char ccs[FNS_STATS_CCS][sizeof(((struct fns_stats *)0)->cc)];
};

/* The queue pair's congestion control; NULL: not known, or none. */
static const char *qp_cc(const struct reading *r, const struct fns_stats_qp *q)
{
	return q->cc >= 1 && q->cc <= FNS_STATS_CCS ? r->ccs[q->cc - 1] : NULL;
}

static void print_qp(const struct reading *r, const struct fns_stats_qp *q, bool json, unsigned nth)
{
	const char *cc = qp_cc(r, q);
	char peer[INET6_ADDRSTRLEN];
	bool connected = q->dest_qpn != 0;

	peer_text(q, peer);
	if (json) {
		printf("%s\n      {\"qpn\": %" PRIu32
		       ", \"type\": \"%s\", \"state\": \"%s\", \"dest_qpn\": %" PRIu32
		       ", \"peer\": \"%s\", \"tx_bytes\": %" PRIu64 ", \"rx_bytes\": %" PRIu64
		       ", \"retransmits\": %" PRIu32,
			nth == 0 ? "" : ",", q->qpn, qp_type(q->type), qp_state(q->state),
			q->dest_qpn, connected ? peer : "", q->tx_bytes, q->rx_bytes,
			q->retransmits);
		if (q->pid != 0)
			printf(", \"pid\": %" PRIu32, q->pid);
		if (cc != NULL) {
			printf(", \"cc\": ");
			fns_cli_json_string(cc);
		}
		putchar('}');
		return;
	}
	printf("  qp 0x%06" PRIx32 "  %s %s", q->qpn, qp_type(q->type), qp_state(q->state));
	if (connected)
		printf("  to %s qp 0x%06" PRIx32, peer, q->dest_qpn);
	printf("  tx %" PRIu64 " B  rx %" PRIu64 " B", q->tx_bytes, q->rx_bytes);
	if (cc != NULL)
		printf("  cc %s", cc);
	if (q->retransmits != 0)
		printf("  %" PRIu32 " packets sent again", q->retransmits);
	if (q->pid != 0)
		printf("  of pid %" PRIu32, q->pid);
	putchar('\n');
}

/* All lines with a queue pair in them. The table is sparse, so what was never used reads as zeros
 * at no cost. */
static void print_qps(int fd, const struct reading *r, bool json)
{
	static struct fns_stats_qp chunk[QP_CHUNK];
	unsigned nth = 0;

	for (unsigned first = 0; first < FNS_STATS_MAX_QP; first += QP_CHUNK) {
		off_t at = (off_t)(offsetof(struct fns_stats, qp) + first * sizeof(chunk[0]));
		ssize_t got = pread(fd, chunk, sizeof(chunk), at);

		if (got < (ssize_t)sizeof(chunk[0]))
			break;
		for (unsigned i = 0; i < (size_t)got / sizeof(chunk[0]); i++) {
			if (chunk[i].qpn != 0)
				print_qp(r, &chunk[i], json, nth++);
		}
	}
}

/* Payload bytes copied before sending, whatever the reason. */
static uint64_t copied(const uint64_t value[FNS_C_COUNT])
{
	return value[FNS_C_tx_copied_small] + value[FNS_C_tx_copied_inline] +
	       value[FNS_C_tx_copied_again] + value[FNS_C_tx_copied_response] +
	       value[FNS_C_tx_copied_far] + value[FNS_C_tx_copied_mode];
}

/* False: no statistics, or not in a form that this version knows. */
static bool read_counters(int fd, struct reading *out)
{
	static struct fns_stats
		copy; /* only the part before the queue pairs is read, the rest costs nothing */
	const struct fns_stats *s = &copy;
	const ssize_t head = offsetof(struct fns_stats, qp);

	if (fd < 0 || pread(fd, &copy, (size_t)head, 0) != head)
		return false;
	if (s->magic != FNS_STATS_MAGIC || s->n_counters != FNS_C_COUNT)
		return false;
	for (unsigned i = 0; i < FNS_C_COUNT; i++)
		out->value[i] = s->counter[i];
	out->qps = s->qps;
	out->tx_mode = s->tx_mode;
	out->rx_mode = s->rx_mode;
	out->pipe_mode = s->pipe_mode;
	memcpy(out->cc, s->cc, sizeof(out->cc));
	out->cc[sizeof(out->cc) - 1] = '\0';
	memcpy(out->ccs, s->ccs, sizeof(out->ccs));
	for (unsigned i = 0; i < FNS_STATS_CCS; i++)
		out->ccs[i][sizeof(out->ccs[i]) - 1] = '\0';
	return true;
}

static void print_slot_json(
	const struct fns_keeper_slot_info *slot, bool known, const struct reading *r, unsigned nth)
{
	printf("%s\n    {\"prefix\": %u, \"state\": \"%s\", \"pid\": %ld, \"uid\": %lu, \"command\": ",
		nth == 0 ? "" : ",", slot->prefix, slot_state(slot->state), (long)slot->pid,
		(unsigned long)slot->uid);
	fns_cli_json_string(slot->comm);
	if (!known) {
		printf(", \"statistics\": null}");
		return;
	}
	printf(", \"tx\": \"%s\", \"rx\": \"%s\", \"pipe\": \"%s\", \"payload_referenced\": %" PRIu64
	       ", \"payload_copied\": %" PRIu64,
		fns_tx_mode_name(r->tx_mode), fns_rx_mode_name(r->rx_mode),
		fns_pipe_mode_name(r->pipe_mode), r->value[FNS_C_tx_payload_referenced],
		copied(r->value));
	printf(", \"cc\": ");
	fns_cli_json_string(r->cc);
	printf(", \"queue_pairs_alive\": %" PRIu64 ", \"statistics\": {", r->qps);
	for (unsigned i = 0; i < FNS_C_COUNT; i++)
		printf("%s\"%s\": %" PRIu64, i == 0 ? "" : ", ", counters[i].name, r->value[i]);
	printf("}, \"queue_pairs\": [");
	print_qps(slot->stats_fd, r, true);
	printf("]}");
}

static void print_slot_text(
	const struct fns_keeper_slot_info *slot, bool known, const struct reading *r)
{
	const uint64_t *value = r->value;
	uint64_t age_s = (fns_clock_now_ns() - slot->since_ns) / FNS_NSEC_PER_SEC;

	printf("\nslot %u  %s for %" PRIu64 " s  pid %ld (%s) of uid %lu", slot->prefix,
		slot_state(slot->state), age_s, (long)slot->pid, slot->comm,
		(unsigned long)slot->uid);
	if (known)
		printf("  %" PRIu64 " queue pair%s", r->qps, r->qps == 1 ? "" : "s");
	putchar('\n');
	if (!known) {
		puts("  no statistics that this version of flexins can read");
		return;
	}
	print_qps(slot->stats_fd, r, false);
	printf("  tx %s, rx %s, pipe %s, cc %s; payload sent: %" PRIu64
	       " B referenced where it lies, %" PRIu64 " B copied\n",
		fns_tx_mode_name(r->tx_mode), fns_rx_mode_name(r->rx_mode),
		fns_pipe_mode_name(r->pipe_mode), r->cc, value[FNS_C_tx_payload_referenced],
		copied(value));
	for (unsigned i = 0; i < FNS_C_COUNT; i++) {
		if (value[i] != 0)
			printf("  %-24s %15" PRIu64 "  %s\n", counters[i].name, value[i],
				counters[i].text);
	}
}

static int on_slot(struct fns_keeper_slot_info *slot, void *arg)
{
	struct status *st = arg;
	struct reading r = {0};
	bool known;

	if (slot->state == FNS_KEEPER_OWN)
		return 0;
	slot->comm[sizeof(slot->comm) - 1] = '\0';
	known = read_counters(slot->stats_fd, &r);
	if (st->json)
		print_slot_json(slot, known, &r, st->slots);
	else
		print_slot_text(slot, known, &r);
	st->slots++;
	return 0;
}

/* One host, as the keeper knows it. */
static int on_peer(const struct fns_keeper_peer_info *p, void *arg)
{
	static const char *const word[] = {"asking", "flexins", "standard", "silent"};
	static const char *const text[] = {"being asked", "FlexiNS", "standard RoCEv2",
		"no answer: taken for standard RoCEv2"};
	char remote[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN];
	bool credit = p->hello.ext & FNS_HELLO_EXT_CREDIT, sack = p->hello.ext & FNS_HELLO_EXT_SACK;
	const char *icrc = p->hello.icrc & FNS_HELLO_ICRC_STD ? "standard" : "";
	bool flexins = p->state == FNS_HELLO_FLEXINS;
	struct status *st = arg;

	gid_text(&p->remote, remote);
	gid_text(&p->local, local);
	if (st->json) {
		const char *k = *icrc ? "\"" : "";

		printf("%s\n    {\"address\": \"%s\", \"local\": \"%s\", \"kind\": \"%s\"",
			st->peers == 0 ? "" : ",", remote, local, word[p->state]);
		if (flexins)
			printf(", \"version\": %u, \"receive_buffer\": %" PRIu32
			       ", \"extensions\": [%s%s%s], \"icrc\": [%s%s%s]",
				p->hello.version, p->hello.rcvbuf, credit ? "\"credit\"" : "",
				credit && sack ? ", " : "", sack ? "\"sack\"" : "", k, icrc, k);
		putchar('}');
	} else {
		printf("%s  %-20s %s", st->peers == 0 ? "\nhosts asked\n" : "", remote,
			text[p->state]);
		if (flexins)
			printf(", receive buffer %" PRIu32 " B%s%s", p->hello.rcvbuf,
				credit ? ", gives credit" : "",
				sack ? ", acknowledges selectively" : "");
		putchar('\n');
	}
	st->peers++;
	return 0;
}

static int show(bool json)
{
	struct fns_keeper_opts opts = {.no_start = true, .stats_fd = -1};
	struct fns_keeper_info info = {0};
	struct status st = {.json = json};
	char err[FNS_KEEPER_ERR_LEN] = "";
	int rc;

	if (json)
		printf("{\n  \"slots\": [");
	rc = fns_keeper_status(&opts, on_slot, &st, &info, err, sizeof(err));
	if (rc == -ECONNREFUSED) {
		puts(json ? "],\n  \"peers\": [],\n  \"keeper\": null\n}"
			  : "No program of yours uses FlexiNS in this network namespace (no keeper runs).");
		return FNS_EXIT_OK;
	}
	if (rc != 0) {
		if (json)
			puts("],\n  \"peers\": [],\n  \"keeper\": null\n}");
		return fns_cli_error(FNS_EXIT_FAILURE, "%s", err[0] != '\0' ? err : strerror(-rc));
	}
	if (json)
		printf("],\n  \"peers\": [");
	rc = fns_keeper_peers(&opts, on_peer, &st, err, sizeof(err));
	if (rc == -ECONNREFUSED || rc == -ECONNRESET)
		rc = 0; /* it has just left, and forgot everything */
	if (rc != 0 && json)
		puts("],\n  \"keeper\": null\n}");
	if (rc != 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "%s", err[0] != '\0' ? err : strerror(-rc));
	if (json) {
		printf("],\n  \"keeper\": {\"pid\": %ld, \"uid\": %lu, \"port\": %u, \"gro\": %s, \"ipv6\": %s, "
		       "\"unclaimed_packets\": %" PRIu64 "}\n}\n",
			(long)info.pid, (unsigned long)info.uid, info.port,
			info.gro ? "true" : "false", info.ipv6 ? "true" : "false", info.unclaimed);
		return FNS_EXIT_OK;
	}
	printf("%skeeper  pid %ld  UDP port %u  %s%s  %u program%s  %" PRIu64
	       " packets for nobody\n",
		st.slots != 0 ? "\n" : "", (long)info.pid, info.port,
		info.ipv6 ? "IPv4 and IPv6" : "IPv4", info.gro ? "  GRO" : "", st.slots,
		st.slots == 1 ? "" : "s", info.unclaimed);
	return FNS_EXIT_OK;
}

int fns_cli_status(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"port", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool json = false;
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'p':
			rc = fns_cli_set_port(optarg);
			break;
		case 'h':
			fputs(help, stdout);
			return FNS_EXIT_OK;
		default:
			return fns_cli_bad_option(argv[0], c, argv);
		}
	}
	if (rc != 0)
		return rc;
	if (optind < argc)
		return fns_cli_error(
			FNS_EXIT_USAGE, "status takes options only, not '%s'", argv[optind]);
	return show(json);
}
