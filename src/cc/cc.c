/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of algorithms, choosing one by its name and parameters, and the guard. Called by who
 * makes an engine, by the command line, and (the guard) by transports. Owns nothing.
 */
#include "cc/cc.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const struct fns_cc_ops *const table[] = {
	&fns_cc_static_window,
	&fns_cc_dcqcn,
	&fns_cc_timely,
	&fns_cc_swift,
	&fns_cc_hpcc,
	&fns_cc_bbr,
};

const struct fns_cc_ops *fns_cc_at(unsigned i)
{
	return i < FNS_ARRAY_SIZE(table) ? table[i] : NULL;
}

void fns_cc_default(const struct fns_cc_ops *ops, struct fns_cc_choice *out)
{
	*out = (struct fns_cc_choice){.ops = ops};
	for (uint32_t i = 0; i < ops->nparams; i++)
		out->param[i] = ops->params[i].def;
}

static bool plain_name(const char *s)
{
	size_t n = s ? strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;

	return n > 0 && n < 32 && s[n] == '\0';
}

const char *fns_cc_ops_fault(const struct fns_cc_ops *ops)
{
	if (ops->abi != FNS_CC_ABI)
		return "made for another version of the interface";
	if (ops->size != sizeof(*ops))
		return "the table has another size";
	if (!plain_name(ops->name) || !ops->text)
		return "no name, or one with odd characters";
	if (!ops->on_event || !(ops->events & FNS_CC_ON(FNS_CC_INIT)) ||
		ops->events >= FNS_CC_ON(FNS_CC_EVENTS))
		return "events without FNS_CC_INIT, or unknown ones";
	if (ops->flags & ~FNS_CC_F_ECT)
		return "unknown flags";
	if (ops->state_bytes > FNS_CC_STATE_BYTES)
		return "the state is too large";
	if (ops->nparams > FNS_CC_PARAMS || (ops->nparams && !ops->params))
		return "too many parameters";
	for (uint32_t i = 0; i < ops->nparams; i++) {
		const struct fns_cc_param *p = &ops->params[i];

		if (!plain_name(p->name) || !p->unit || !p->text || p->min > p->def ||
			p->def > p->max)
			return "a parameter without name, unit or text, or with its default out of range";
	}
	return NULL;
}

const char *fns_cc_plugin_fault(const struct fns_cc_ops *ops)
{
	const char *fault = fns_cc_ops_fault(ops);

	for (unsigned i = 0; !fault && i < FNS_ARRAY_SIZE(table); i++)
		if (strcmp(table[i]->name, ops->name) == 0)
			fault = "a built-in has this name already";
	return fault;
}

/* --- by name --- */

/* ", "-separated names are added to what is there. */
static void add(char *buf, size_t len, const char *sep, const char *word)
{
	size_t at = strlen(buf);

	if (at < len)
		snprintf(buf + at, len - at, "%s%s", sep, word);
}

static bool unknown_name(const struct fns_cc_ops *const *more, unsigned nmore, const char *text,
	size_t n, char *err, size_t errlen)
{
	snprintf(err, errlen, "no congestion control '%.*s'; there are: ", (int)FNS_MIN(n, 64),
		text);
	for (unsigned i = 0; fns_cc_at(i); i++)
		add(err, errlen, i ? ", " : "", fns_cc_at(i)->name);
	for (unsigned i = 0; i < nmore; i++)
		add(err, errlen, ", ", more[i]->name);
	return false;
}

static bool unknown_param(
	const struct fns_cc_ops *ops, const char *text, size_t n, char *err, size_t errlen)
{
	if (!ops->nparams) {
		snprintf(err, errlen, "%s has no parameters", ops->name);
		return false;
	}
	snprintf(err, errlen, "%s has no parameter '%.*s'; it has: ", ops->name,
		(int)FNS_MIN(n, 64), text);
	for (uint32_t i = 0; i < ops->nparams; i++)
		add(err, errlen, i ? ", " : "", ops->params[i].name);
	return false;
}

/* Decimal digits only. */
static bool number(const char *text, size_t n, uint64_t *out)
{
	uint64_t v = 0;

	if (n == 0 || n > 18)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	*out = v;
	return true;
}

/* name=value, n bytes. */
static bool set_param(struct fns_cc_choice *c, const char *text, size_t n, char *err, size_t errlen)
{
	const char *eq = memchr(text, '=', n);
	size_t name = eq ? (size_t)(eq - text) : n;
	uint64_t v;

	for (uint32_t i = 0; i < c->ops->nparams; i++) {
		const struct fns_cc_param *p = &c->ops->params[i];

		if (strlen(p->name) != name || memcmp(p->name, text, name) != 0)
			continue;
		if (!eq || !number(eq + 1, n - name - 1, &v) || v < p->min || v > p->max) {
			snprintf(err, errlen,
				"%s: '%.*s': expected %s=N with N from %llu to %llu %s (default %llu)",
				c->ops->name, (int)FNS_MIN(n, 64), text, p->name,
				(unsigned long long)p->min, (unsigned long long)p->max, p->unit,
				(unsigned long long)p->def);
			return false;
		}
		c->param[i] = v;
		return true;
	}
	return unknown_param(c->ops, text, name, err, errlen);
}

bool fns_cc_parse_params(struct fns_cc_choice *c, const char *text, char *err, size_t errlen)
{
	struct fns_cc_choice new = *c;

	while (*text) { /* at ':' or ',' */
		size_t n = strcspn(++text, ",");

		if (!set_param(&new, text, n, err, errlen))
			return false;
		text += n;
	}
	*c = new;
	return true;
}

static bool is_named(const struct fns_cc_ops *ops, const char *text, size_t n)
{
	return strlen(ops->name) == n && memcmp(ops->name, text, n) == 0;
}

bool fns_cc_parse_among(const struct fns_cc_ops *const *more, unsigned nmore, const char *text,
	struct fns_cc_choice *out, char *err, size_t errlen)
{
	struct fns_cc_choice c = {.ops = NULL};
	size_t n;

	if (!text || !*text) {
		fns_cc_default(table[0], out);
		return true;
	}
	n = strcspn(text, ":");
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(table); i++)
		if (is_named(table[i], text, n))
			fns_cc_default(table[i], &c);
	for (unsigned i = 0; !c.ops && i < nmore; i++)
		if (is_named(more[i], text, n))
			fns_cc_default(more[i], &c);
	if (!c.ops)
		return unknown_name(more, nmore, text, n, err, errlen);
	if (!fns_cc_parse_params(&c, text + n, err, errlen))
		return false;
	*out = c;
	return true;
}

bool fns_cc_parse(const char *text, struct fns_cc_choice *out, char *err, size_t errlen)
{
	return fns_cc_parse_among(NULL, 0, text, out, err, errlen);
}

bool fns_cc_equal(const struct fns_cc_choice *a, const struct fns_cc_choice *b)
{
	return a->ops == b->ops && memcmp(a->param, b->param, sizeof(a->param)) == 0;
}

void fns_cc_print(const struct fns_cc_choice *c, char *out, size_t len)
{
	char word[64];
	bool any = false;

	snprintf(out, len, "%s", c->ops->name);
	for (uint32_t i = 0; i < c->ops->nparams; i++) {
		if (c->param[i] == c->ops->params[i].def)
			continue;
		snprintf(word, sizeof(word), "%s=%llu", c->ops->params[i].name,
			(unsigned long long)c->param[i]);
		add(out, len, any ? "," : ":", word);
		any = true;
	}
}

/* --- the guard --- */

unsigned fns_cc_guard(const struct fns_cc_out *had, struct fns_cc_out *want, uint64_t now_ns)
{
	unsigned refused = 0;

	if (want->window_bytes == 0) {
		want->window_bytes = had->window_bytes;
		refused++;
	}
	if (want->rate_bps != FNS_CC_UNLIMITED &&
		(want->rate_bps < FNS_CC_RATE_MIN || want->rate_bps > FNS_CC_RATE_MAX)) {
		want->rate_bps = had->rate_bps;
		refused++;
	}
	refused += want->timer_ns < now_ns;
	want->timer_ns = FNS_MAX(want->timer_ns, now_ns + FNS_CC_TIMER_MIN_NS);
	return refused;
}
