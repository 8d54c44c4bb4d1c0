/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of faults: 'loss=1%,delay=50us;peer=192.0.2.7,loss=5%'. Rules are separated by ';', their
 * keys by ','. Pure; called by the command line tool (to refuse early) and by the process that
 * injects. Numbers are taken as integers throughout: the same text gives the same faults
 * everywhere.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "wire/fault.h"

#define REORDER_PPB_DEFAULT 10000000u /* 1 % */
#define TIME_MAX_NS         (60 * FNS_NSEC_PER_SEC)
#define VALUE_MAX           64u

const char *const fns_fault_error_name[FNS_FAULT_ERR_COUNT] = {
	"rnr", "access", "invalid", "operational", "retry"};

struct parser {
	struct fns_fault_spec *spec;
	struct fns_fault_rule *rule;
	char *err;
	size_t errlen;
};

static int refuse(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->errlen, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Digits with at most `places` behind a point, times 10^places. What follows goes to *end; false if
 * there is no number, or one too long. */
static bool decimal(const char *s, unsigned places, uint64_t *out, const char **end)
{
	uint64_t v = 0;
	unsigned digits = 0;
	bool point = false;

	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		if (point && places == 0)
			return false;
		places -= point;
		if (++digits > 15)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	for (; places > 0; places--)
		if (__builtin_mul_overflow(v, 10u, &v))
			return false;
	*out = v;
	*end = s;
	return digits > 0;
}

static bool percent(const char *s, uint32_t *ppb)
{
	const char *end;
	uint64_t v;

	/* 1 % is 10^7 of 10^9. */
	if (!decimal(s, 7, &v, &end) || strcmp(end, "%") != 0 || v > FNS_FAULT_PPB)
		return false;
	*ppb = (uint32_t)v;
	return true;
}

static bool duration(const char *s, char stop, uint64_t *ns, const char **rest)
{
	static const struct {
		const char *unit;
		unsigned places;
	} units[] = {{"ns", 0}, {"us", 3}, {"ms", 6}, {"s", 9}};
	size_t digits = strspn(s, "0123456789."), len = strcspn(s + digits, "/");
	const char *end;

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(units); i++) {
		if (strlen(units[i].unit) != len || strncmp(s + digits, units[i].unit, len) != 0)
			continue;
		if (!decimal(s, units[i].places, ns, &end) || end != s + digits ||
			*ns > TIME_MAX_NS || s[digits + len] != stop)
			return false;
		*rest = s + digits + len + (stop != '\0');
		return true;
	}
	return false;
}

static int set_percent(struct parser *p, const char *key, const char *value, uint32_t *ppb)
{
	if (!percent(value, ppb))
		return refuse(p, "%s='%s': expected a percentage from 0%% to 100%%, such as 0.5%%",
			key, value);
	return 0;
}

static int set_time(struct parser *p, const char *key, const char *value, uint64_t *ns)
{
	const char *rest;

	if (!duration(value, '\0', ns, &rest))
		return refuse(p,
			"%s='%s': expected a time up to 60s with its unit, such as 50us, 2ms or 1.5s",
			key, value);
	return 0;
}

static int set_loss(struct parser *p, const char *key, const char *v)
{
	return set_percent(p, key, v, &p->rule->loss_ppb);
}

static int set_dup(struct parser *p, const char *key, const char *v)
{
	return set_percent(p, key, v, &p->rule->dup_ppb);
}

static int set_corrupt(struct parser *p, const char *key, const char *v)
{
	return set_percent(p, key, v, &p->rule->corrupt_ppb);
}

static int set_reorder(struct parser *p, const char *key, const char *v)
{
	uint32_t ppb = REORDER_PPB_DEFAULT;
	const char *end;
	uint64_t by;

	if (!decimal(v, 0, &by, &end) || by < 1 || by > FNS_FAULT_PASS_MAX ||
		(*end != '\0' && (*end != '/' || !percent(end + 1, &ppb))))
		return refuse(p,
			"%s='%s': expected by how many packets, 1 to %u, and perhaps how many percent of the "
			"packets: 3 or 3/5%%",
			key, v, FNS_FAULT_PASS_MAX);
	p->rule->reorder_by = (uint32_t)by;
	p->rule->reorder_ppb = ppb;
	return 0;
}

static int set_delay(struct parser *p, const char *key, const char *v)
{
	return set_time(p, key, v, &p->rule->delay_ns);
}

static int set_jitter(struct parser *p, const char *key, const char *v)
{
	return set_time(p, key, v, &p->rule->jitter_ns);
}

static int set_flap(struct parser *p, const char *key, const char *v)
{
	uint64_t every, down;
	const char *rest, *end;

	if (!duration(v, '/', &every, &rest) || !duration(rest, '\0', &down, &end) || down == 0 ||
		down >= every)
		return refuse(p,
			"%s='%s': expected a period and for how long of it the link is down, such as 1s/50ms",
			key, v);
	p->rule->flap_every_ns = every;
	p->rule->flap_down_ns = down;
	return 0;
}

static int set_seed(struct parser *p, const char *key, const char *v)
{
	const char *end;

	if (!decimal(v, 0, &p->spec->seed, &end) || *end != '\0')
		return refuse(p, "%s='%s': expected a number of up to 15 digits", key, v);
	return 0;
}

static int set_dir(struct parser *p, const char *key, const char *v)
{
	if (strcmp(v, "tx") == 0)
		p->rule->dir = FNS_FAULT_TX;
	else if (strcmp(v, "rx") == 0)
		p->rule->dir = FNS_FAULT_RX;
	else if (strcmp(v, "both") == 0)
		p->rule->dir = FNS_FAULT_TX | FNS_FAULT_RX;
	else
		return refuse(p, "%s='%s': expected tx, rx or both", key, v);
	return 0;
}

static int set_peer(struct parser *p, const char *key, const char *v)
{
	struct fns_gid g = {{[10] = 0xff, 0xff}};

	if (inet_pton(AF_INET, v, g.b + 12) != 1 && inet_pton(AF_INET6, v, g.b) != 1)
		return refuse(p,
			"%s='%s': expected an IPv4 or IPv6 address, such as 192.0.2.7 (`flexins status` shows "
			"peers)",
			key, v);
	p->rule->peer = g;
	p->rule->has_peer = true;
	return 0;
}

static int set_qp(struct parser *p, const char *key, const char *v)
{
	uint64_t n = 0;
	const char *s = v;
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');

	for (s += hex ? 2 : 0; *s != '\0' && n <= 0xffffff; s++) {
		int digit = *s >= '0' && *s <= '9'          ? *s - '0'
			    : hex && *s >= 'a' && *s <= 'f' ? *s - 'a' + 10
			    : hex && *s >= 'A' && *s <= 'F' ? *s - 'A' + 10
							    : -1;

		if (digit < 0)
			break;
		n = n * (hex ? 16 : 10) + (uint64_t)digit;
	}
	if (*s != '\0' || n == 0 || n > 0xffffff)
		return refuse(p,
			"%s='%s': expected the number of a queue pair of this program, such as 0x050a11 "
			"(`flexins status` shows them)",
			key, v);
	p->rule->qpn = (uint32_t)n;
	return 0;
}

static const struct {
	const char *key;
	int (*set)(struct parser *p, const char *key, const char *value);
} keys[] = {
	{"loss", set_loss},
	{"dup", set_dup},
	{"corrupt", set_corrupt},
	{"reorder", set_reorder},
	{"delay", set_delay},
	{"jitter", set_jitter},
	{"flap", set_flap},
	{"seed", set_seed},
	{"dir", set_dir},
	{"peer", set_peer},
	{"qp", set_qp},
};

static int parse_item(struct parser *p, const char *item, uint32_t *seen)
{
	const char *eq = strchr(item, '=');

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(keys); i++) {
		size_t len = strlen(keys[i].key);

		if (strncmp(item, keys[i].key, len) != 0 || (item[len] != '=' && item[len] != '\0'))
			continue;
		if (!eq)
			return refuse(p, "%s: expected a value behind it: %s=...", item, item);
		if (*seen & 1u << i)
			return refuse(p, "%s is given twice in one rule", keys[i].key);
		*seen |= 1u << i;
		return keys[i].set(p, keys[i].key, eq + 1);
	}
	if (*item == '\0')
		return refuse(p,
			"nothing between two separators; expected KEY=VALUE,... such as loss=1%%");
	return refuse(p,
		"no fault '%.*s'; expected loss, dup, corrupt, reorder, delay, jitter, flap, seed, dir, peer "
		"or qp",
		eq ? (int)(eq - item) : (int)strlen(item), item);
}

int fns_fault_parse(const char *text, struct fns_fault_spec *out, char *err, size_t errlen)
{
	struct fns_fault_spec spec = {.seed = 1};
	struct parser p = {.spec = &spec, .err = err, .errlen = errlen};
	const char *s = text;
	uint32_t seen = 0;

	if (strnlen(text, FNS_FAULT_TEXT_MAX) >= FNS_FAULT_TEXT_MAX)
		return refuse(&p, "longer than %u characters", FNS_FAULT_TEXT_MAX - 1);
	for (;;) {
		size_t len = strcspn(s, ",;");
		char item[VALUE_MAX];
		int r;

		if (!p.rule) {
			if (spec.n == FNS_FAULT_RULES)
				return refuse(&p, "more than %u rules", FNS_FAULT_RULES);
			p.rule = &spec.rule[spec.n++];
			p.rule->dir = FNS_FAULT_TX | FNS_FAULT_RX;
			seen = 0;
		}
		if (len >= sizeof(item))
			return refuse(&p,
				"'%.20s...' is too long; expected KEY=VALUE such as loss=1%%", s);
		memcpy(item, s, len);
		item[len] = '\0';
		r = parse_item(&p, item, &seen);
		if (r)
			return r;
		s += len;
		if (*s == '\0')
			break;
		if (*s++ == ';')
			p.rule = NULL;
	}
	*out = spec;
	return 0;
}

struct writer {
	char *buf;
	size_t at, len;
	bool first;
};

static void put(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (w->at + 1 >= w->len)
		return;
	if (!w->first)
		w->buf[w->at++] = ',';
	w->first = false;
	va_start(ap, fmt);
	n = vsnprintf(w->buf + w->at, w->len - w->at, fmt, ap);
	va_end(ap);
	if (n > 0)
		w->at = FNS_MIN(w->at + (size_t)n, w->len - 1);
}

static const char *percent_text(uint32_t ppb, char buf[static 24])
{
	size_t n = (size_t)snprintf(buf, 24, "%u.%07u", ppb / 10000000, ppb % 10000000);

	while (buf[n - 1] == '0')
		buf[--n] = '\0';
	if (buf[n - 1] == '.')
		buf[--n] = '\0';
	buf[n] = '%';
	buf[n + 1] = '\0';
	return buf;
}

static const char *time_text(uint64_t ns, char buf[static 24])
{
	static const char *const unit[] = {"ns", "us", "ms", "s"};
	unsigned u = 0;

	while (u < 3 && ns % 1000 == 0 && ns) {
		ns /= 1000;
		u++;
	}
	snprintf(buf, 24, "%llu%s", (unsigned long long)ns, unit[u]);
	return buf;
}

static void put_rule(struct writer *w, const struct fns_fault_rule *r)
{
	char a[24], b[24], ip[INET6_ADDRSTRLEN];

	if (r->has_peer) {
		bool v4 = fns_gid_is_v4(&r->peer);

		put(w, "peer=%s",
			inet_ntop(v4 ? AF_INET : AF_INET6, r->peer.b + (v4 ? 12 : 0), ip,
				sizeof(ip)));
	}
	if (r->qpn)
		put(w, "qp=0x%06x", r->qpn);
	if (r->dir != (FNS_FAULT_TX | FNS_FAULT_RX))
		put(w, "dir=%s", r->dir == FNS_FAULT_TX ? "tx" : "rx");
	if (r->loss_ppb)
		put(w, "loss=%s", percent_text(r->loss_ppb, a));
	if (r->dup_ppb)
		put(w, "dup=%s", percent_text(r->dup_ppb, a));
	if (r->corrupt_ppb)
		put(w, "corrupt=%s", percent_text(r->corrupt_ppb, a));
	if (r->reorder_ppb)
		put(w, "reorder=%u/%s", r->reorder_by, percent_text(r->reorder_ppb, a));
	if (r->delay_ns)
		put(w, "delay=%s", time_text(r->delay_ns, a));
	if (r->jitter_ns)
		put(w, "jitter=%s", time_text(r->jitter_ns, a));
	if (r->flap_every_ns)
		put(w, "flap=%s/%s", time_text(r->flap_every_ns, a), time_text(r->flap_down_ns, b));
	if (w->first)
		put(w, "dir=both");
}

void fns_fault_format(const struct fns_fault_spec *spec, char *buf, size_t len)
{
	struct writer w = {.buf = buf, .len = len, .first = true};

	if (len == 0)
		return;
	buf[0] = '\0';
	for (uint32_t i = 0; i < spec->n; i++) {
		put_rule(&w, &spec->rule[i]);
		if (i == 0)
			put(&w, "seed=%llu", (unsigned long long)spec->seed);
		if (i + 1 < spec->n && w.at + 2 < w.len) {
			buf[w.at++] = ';';
			buf[w.at] = '\0';
			w.first = true;
		}
	}
}
