/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what reaches QP1: any datagram, well-formed ones with anything in them, answers to what
 * was asked with a byte or two changed; and the keeper's table of hosts under all of it, in virtual
 * time. Checked: nothing is believed but an intact answer to a question from who was asked; answers
 * are bounded; what is built parses to the same; the table's counts are what they count.
 */
#include "fuzz.h"

#include "base/util.h"
#include "keeper/gsi.h"
#include "keeper/hello.h"
#include "roce/icrc.h"

#define OPS_MAX 200u
#define ENTRIES OPS_MAX /* of the table that can be in use: they are taken in order */

struct mad_fuzz {
	struct fns_keeper_hellos h;
	uint64_t now;
	unsigned questions, answers, requests; /* sent; sent; received */
	uint8_t last[FNS_MAD_LEN];             /* question */
	struct fns_gid last_to, last_from;
};

static const struct fns_hello own = {.version = FNS_HELLO_VERSION,
	.ext = FNS_HELLO_EXT_CREDIT,
	.icrc = FNS_HELLO_ICRC_STD,
	.rcvbuf = 212992,
	.generation = 0x1234};

static void on_send(void *ctx, const struct fns_gid *local, const struct fns_gid *remote,
	uint32_t ifindex, const uint8_t mad[FNS_MAD_LEN])
{
	struct mad_fuzz *f = ctx;
	struct fns_hello h;
	uint64_t tid;

	(void)ifindex;
	fz_check(!fns_gid_is_multicast(local) && !fns_gid_is_multicast(remote));
	switch (fns_hello_parse(mad, &tid, &h)) {
	case FNS_HELLO_REQUEST:
		f->questions++;
		memcpy(f->last, mad, FNS_MAD_LEN);
		f->last_to = *remote;
		f->last_from = *local;
		break;
	case FNS_HELLO_ANSWER:
		f->answers++;
		break;
	default:
		fz_check(!"sends what it does not understand");
	}
	fz_check(h.rcvbuf == own.rcvbuf && h.generation == own.generation);
}

/* Of a few addresses, both families, groups among them. */
static struct fns_gid address(struct fz_in *in)
{
	uint8_t b = fz_u8(in);
	struct fns_gid g = {{[15] = (uint8_t)(b >> 4)}};

	switch (b & 7) {
	case 0:
		g.b[0] = 0xff;
		break;
	case 1:
		g.b[0] = 0xfe;
		g.b[1] = 0x80;
		break;
	case 2:
	case 3:
	case 4:
		g.b[10] = g.b[11] = 0xff;
		g.b[12] = b & 8 ? 0xe0 : 192;
		break;
	default:
		g.b[0] = 0x20;
		break;
	}
	return g;
}

static unsigned known(const struct fns_keeper_hellos *h)
{
	unsigned n = 0, asking = 0;

	for (uint32_t i = 0; i < ENTRIES; i++) {
		const struct fns_keeper_hello_peer *p = &h->peer[i];

		n += p->used && p->state == FNS_HELLO_FLEXINS;
		asking += p->used && p->asking;
		fz_check(p->state <= FNS_HELLO_SILENT && p->tries <= FNS_KEEPER_HELLO_TRIES);
		fz_check(!p->asking || (p->used && p->state == FNS_HELLO_UNKNOWN));
	}
	fz_check(asking == h->asking);
	fz_check(!asking || h->next_ns != UINT64_MAX);
	return n;
}

static void receive(struct mad_fuzz *f, const struct fns_keeper_mad *m)
{
	unsigned before = known(&f->h), answers = f->answers, after;
	bool asked = false;
	struct fns_hello h;
	uint64_t tid = 0;
	enum fns_hello_kind kind = fns_hello_parse(m->mad, &tid, &h);

	for (uint32_t i = 0; i < ENTRIES; i++) {
		const struct fns_keeper_hello_peer *p = &f->h.peer[i];

		asked |= p->used && p->tid == tid && fns_gid_equal(&p->remote, &m->src) &&
			 fns_gid_equal(&p->local, &m->dst);
	}
	f->requests += kind == FNS_HELLO_REQUEST;
	fz_check(fns_keeper_hello_rx(&f->h, &m->dst, &m->src, m->ifindex, m->mad, m->intact,
			 f->now) == (kind != FNS_HELLO_NONE && !fns_gid_is_multicast(&m->src) &&
					    !fns_gid_is_multicast(&m->dst)));
	after = known(&f->h);
	if (after > before)
		fz_check(after == before + 1 && kind == FNS_HELLO_ANSWER && m->intact && asked);
	fz_check(f->answers - answers <= (kind == FNS_HELLO_REQUEST && m->intact));
}

/* A MAD: as asked last, or a hello, or zeroes, with bytes changed. */
static void make_mad(struct mad_fuzz *f, struct fz_in *in, uint8_t how, uint8_t mad[FNS_MAD_LEN])
{
	struct fns_hello h = {.version = 1, .rcvbuf = 4096, .generation = how};

	memset(mad, 0, FNS_MAD_LEN);
	if (how & 1)
		memcpy(mad, f->last, FNS_MAD_LEN);
	else if (how & 2)
		fns_hello_build(mad, how & 4 ? FNS_MAD_GET : FNS_MAD_GET_RESP, fz_u64(in), &h);
	if ((how & 5) == 5) {
		mad[3] = FNS_MAD_GET_RESP;
		mad[5] = how & 8 ? FNS_MAD_STATUS_UNSUPPORTED : 0;
	}
	for (unsigned n = how >> 4 & 3; n; n--)
		fz_poke(in, mad, FNS_MAD_LEN);
}

static void op_mad(struct mad_fuzz *f, struct fz_in *in)
{
	uint8_t how = fz_u8(in);
	struct fns_keeper_mad m = {.intact = !(how & 0x80)};

	make_mad(f, in, how, m.mad);
	m.src = how & 0x40 ? address(in) : f->last_to;
	m.dst = how & 0x40 ? address(in) : f->last_from;
	receive(f, &m);
}

/* The same as a datagram, damaged or not. */
static void op_datagram(struct mad_fuzz *f, struct fz_in *in)
{
	uint8_t pkt[FNS_MAD_PACKET_LEN + FNS_ICRC_LEN], mad[FNS_MAD_LEN], how = fz_u8(in);
	struct fns_keeper_mad m = {.src = f->last_to, .dst = f->last_from};
	struct fns_icrc_flow flow = {.sport = 1, .dport = 4791};
	uint32_t crc, len = sizeof(pkt);
	unsigned pokes = fz_u8(in) & 3;

	make_mad(f, in, how, mad);
	memcpy(flow.src, m.src.b, 16);
	memcpy(flow.dst, m.dst.b, 16);
	flow.ipv6 = !fns_gid_is_v4(&m.src);
	fns_mad_packet(pkt, mad);
	crc = fns_icrc_begin(&flow, (uint16_t)(8 + len), how & 0x40 ? 1 : 0);
	crc = fns_icrc_bth(crc, pkt, FNS_BTH_LEN);
	crc = fns_icrc_final(
		fns_icrc_update(crc, pkt + FNS_BTH_LEN, FNS_MAD_PACKET_LEN - FNS_BTH_LEN));
	for (unsigned i = 0; i < FNS_ICRC_LEN; i++)
		pkt[FNS_MAD_PACKET_LEN + i] = (uint8_t)(crc >> 8 * i);
	for (unsigned i = 0; i < pokes; i++)
		fz_poke(in, pkt, sizeof(pkt));
	if (how & 0x80)
		len = fz_u16(in) % (sizeof(pkt) + 1);
	if (!fns_keeper_gsi_check(pkt, len, 1, 4791, &m))
		return;
	fz_check(len == sizeof(pkt));
	if (!pokes)
		fz_check(memcmp(m.mad, mad, FNS_MAD_LEN) == 0);
	receive(f, &m);
}

/* Any bytes: parse or not, and what parses is built to the same. */
static void any_bytes(const uint8_t *data, size_t size)
{
	uint8_t mad[FNS_MAD_LEN] = {0}, again[FNS_MAD_LEN];
	struct fns_mad_hdr h;
	struct fns_hello hello, hello2;
	uint64_t tid, tid2;
	enum fns_hello_kind kind;

	fz_check(fns_mad_parse(data, (uint32_t)size, &h) == (size == FNS_MAD_LEN && data[0] == 1));
	memcpy(mad, data, FNS_MIN(size, sizeof(mad)));
	if (fns_mad_parse(mad, FNS_MAD_LEN, &h)) {
		memset(again, 0xee, sizeof(again));
		fns_mad_build(again, &h);
		mad[18] = mad[19] = 0; /* reserved */
		fz_check(memcmp(again, mad, FNS_MAD_HDR_LEN) == 0);
	}
	kind = fns_hello_parse(mad, &tid, &hello);
	if (kind == FNS_HELLO_REQUEST || kind == FNS_HELLO_ANSWER) {
		fns_hello_build(again, kind == FNS_HELLO_REQUEST ? FNS_MAD_GET : FNS_MAD_GET_RESP,
			tid, &hello);
		fz_check(fns_hello_parse(again, &tid2, &hello2) == kind && tid == tid2);
		fz_check(hello2.version == hello.version && hello2.ext == hello.ext &&
			 hello2.icrc == hello.icrc && hello2.rcvbuf == hello.rcvbuf &&
			 hello2.generation == hello.generation);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mad_fuzz f;
	struct fz_in in = {data, size};
	struct fns_hello out;

	any_bytes(data, size);
	f = (struct mad_fuzz){.now = 1000, .h = {.send = on_send, .ctx = &f}};
	fns_keeper_hello_init(&f.h, &own, 1);
	for (unsigned i = 0; i < OPS_MAX && fz_more(&in); i++) {
		uint8_t b = fz_u8(&in);
		struct fns_gid local, remote;

		switch (b & 7) {
		case 0:
		case 1:
			local = address(&in);
			remote = address(&in);
			fns_keeper_hello_ask(&f.h, &local, &remote, b >> 5, f.now, &out);
			known(&f.h);
			break;
		case 2:
			f.now += 1ull << (b >> 3) % 40;
			fns_keeper_hello_tick(&f.h, f.now);
			known(&f.h);
			break;
		case 3:
			op_datagram(&f, &in);
			break;
		default:
			op_mad(&f, &in);
			break;
		}
	}
	/* All questions end. */
	for (unsigned i = 0; i < 16 && f.h.next_ns != UINT64_MAX; i++) {
		f.now = FNS_MAX(f.now, f.h.next_ns);
		fns_keeper_hello_tick(&f.h, f.now);
	}
	for (unsigned i = 0; i < 1024 && f.h.next_ns != UINT64_MAX; i++)
		fns_keeper_hello_tick(&f.h, f.now += FNS_NSEC_PER_MSEC);
	known(&f.h);
	fz_check(f.h.asking == 0);
	fz_check(f.answers <= f.requests);
	return 0;
}
