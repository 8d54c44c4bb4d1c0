/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion controls of a running engine; see cc.h. */
#include "host/cc.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cc/load.h"
#include "cc/rule.h"

static const char *const kind_name[] = {
	[FNS_CC_BUILT_IN] = "built in",
	[FNS_CC_SHARED_OBJECT] = "shared object",
	[FNS_CC_EBPF] = "eBPF",
};

static bool whom(
	const struct fns_cc_who *w, struct fns_engine_cc_who *out, char *err, size_t errlen)
{
	*out = (struct fns_engine_cc_who){.by_peer = w->by_peer, .peer = w->peer};
	if (!w->iface[0])
		return true;
	out->ifindex = if_nametoindex(w->iface);
	if (!out->ifindex)
		snprintf(err, errlen, "no network interface '%s' here", w->iface);
	return out->ifindex != 0;
}

static bool add_rule(struct fns_engine *e, const char *rule, char *err, size_t errlen)
{
	struct fns_engine_cc_who to;
	struct fns_cc_choice c;
	struct fns_cc_who who;
	const char *name = fns_cc_who_parse(rule, &who, err, errlen);

	if (!name || !whom(&who, &to, err, errlen) || !fns_cc_choose_path(name, &c, err, errlen))
		return false;
	if (fns_engine_cc_set(e, &to, &c, 0) < 0) {
		snprintf(err, errlen, "too many rules");
		return false;
	}
	return true;
}

bool fns_host_cc_rules(struct fns_engine *e, char *err, size_t errlen)
{
	const char *list = getenv("FLEXINS_CC_RULES");
	char rule[4096], why[512];

	while (list && fns_cc_rule_next(&list, rule, sizeof(rule))) {
		if (add_rule(e, rule, why, sizeof(why)))
			continue;
		snprintf(err, errlen, "FLEXINS_CC_RULES: %s", why);
		return false;
	}
	return true;
}

static int explain(int r, uint32_t qpn, char *say, size_t len)
{
	switch (r) {
	case -ENOENT:
		snprintf(say, len,
			"this program has no queue pair 0x%06x; `flexins status` lists them", qpn);
		return r;
	case -EPROTONOSUPPORT:
		snprintf(say, len,
			"queue pair 0x%06x is not RC: only reliable connections have a congestion control",
			qpn);
		return r;
	case -ENOSPC:
		snprintf(say, len, "this program has %u rules already, which is the most",
			FNS_CC_RULES);
		return r;
	case -EAGAIN:
		return -EBUSY;
	default:
		return r;
	}
}

int fns_host_cc_set(struct fns_lab *l, uint32_t qpn, const char *text, char *say, size_t len)
{
	struct fns_engine_cc_who to = {0};
	struct fns_cc_choice c;
	struct fns_cc_who who;
	const char *name = fns_cc_who_parse(text, &who, say, len);
	char what[128];
	int r;

	if (!name || !whom(&who, &to, say, len) || !fns_cc_choose(name, &c, say, len))
		return -EINVAL;
	to.qpn = qpn;
	if (l->lock)
		l->lock();
	r = fns_engine_cc_set(l->engine, &to, &c, fns_clock_now_ns());
	if (l->unlock)
		l->unlock();
	if (r < 0)
		return explain(r, qpn, say, len);
	fns_cc_print(&c, what, sizeof(what));
	snprintf(say, len, "%d queue pair%s of pid %ld: %s", r, r == 1 ? "" : "s",
		(long)l->stats->pid, what);
	return 0;
}

int fns_host_cc_load(int fd, const char *name, char *say, size_t len)
{
	const struct fns_cc_ops *ops, *o;
	enum fns_cc_kind kind = FNS_CC_SHARED_OBJECT;

	if (fd < 0) {
		snprintf(say, len, "no file came with the request");
		return -EBADF;
	}
	ops = fns_cc_load_fd(fd, name, say, len);
	if (!ops)
		return -EINVAL;
	for (unsigned i = 0; (o = fns_cc_loaded_at(i, NULL, &kind)) != NULL && o != ops; i++)
		;
	snprintf(say, len, "%s (%s): %s", ops->name, kind_name[kind], ops->text);
	return 0;
}

int fns_host_cc_list(char *say, size_t len)
{
	const struct fns_cc_ops *ops;
	enum fns_cc_kind kind;
	const char *from;
	size_t at = 0;

	for (unsigned i = 0; at < len && (ops = fns_cc_loaded_at(i, &from, &kind)) != NULL; i++)
		at += (size_t)snprintf(say + at, len - at, "%s%s (%s, %s): %s", i ? "\n" : "",
			ops->name, kind_name[kind], from, ops->text);
	return 0;
}
