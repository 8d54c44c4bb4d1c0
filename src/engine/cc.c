/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which queue pair has which congestion control: the default, rules by peer or interface, and what
 * was set for a queue pair alone; changing it while it sends. Owns the choices in use, which queue
 * pairs refer to by their parameters. Control operations and `flexins set` come here; nothing on
 * the datapath does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_priv.h"

static struct fns_cc_use *use_of(const struct fns_qp *qp)
{
	/* What cc_ctx.param points to is never anything else. */
	return fns_container_of((void *)(uintptr_t)qp->cc_ctx.param, struct fns_cc_use, c.param);
}

/* Its name in the statistics, for as long as it is in use. */
static void publish(struct fns_engine *e, struct fns_cc_use *u)
{
	struct fns_stats *s = e->nic.stats;

	for (unsigned i = 0; i < FNS_STATS_CCS; i++) {
		if (e->cc_named & 1u << i)
			continue;
		e->cc_named |= 1u << i;
		u->number = (uint8_t)(i + 1);
		fns_cc_print(&u->c, s->ccs[i], sizeof(s->ccs[i]));
		return;
	}
	u->number = 0; /* it goes without */
}

/* One reference to this choice. NULL without memory. */
static struct fns_cc_use *use_get(struct fns_engine *e, const struct fns_cc_choice *c)
{
	struct fns_cc_use *u;
	struct fns_list *it;

	fns_list_for_each (it, &e->ccs) {
		u = fns_container_of(it, struct fns_cc_use, node);
		if (fns_cc_equal(&u->c, c)) {
			u->refs++;
			return u;
		}
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->c = *c;
	u->refs = 1;
	publish(e, u);
	fns_list_push_back(&e->ccs, &u->node);
	return u;
}

static void use_put(struct fns_engine *e, struct fns_cc_use *u)
{
	if (!u || --u->refs)
		return;
	if (u->number)
		e->cc_named &= ~(1u << (u->number - 1));
	fns_list_remove(&u->node);
	free(u);
}

static void put_line(struct fns_qp *qp, const struct fns_cc_use *u)
{
	atomic_store_explicit(
		&qp->line->cc, qp->type == FNS_QPT_RC ? u->number : 0, memory_order_relaxed);
}

/* --- life --- */

int fns_engine_cc_start(struct fns_engine *e, const struct fns_cc_choice *c)
{
	fns_list_init(&e->ccs);
	e->cc = use_get(e, c);
	if (!e->cc)
		return -ENOMEM;
	fns_cc_print(c, e->nic.stats->cc, sizeof(e->nic.stats->cc));
	return 0;
}

void fns_engine_cc_end(struct fns_engine *e)
{
	for (uint32_t i = 0; i < e->ncc_rules; i++)
		use_put(e, e->cc_rule[i].use);
	use_put(e, e->cc);
}

void fns_engine_cc_born(struct fns_engine *e, struct fns_qp *qp)
{
	e->cc->refs++;
	fns_qp_cc_set(qp, e->cc->c.ops, e->cc->c.param);
	put_line(qp, e->cc);
}

void fns_engine_cc_dead(struct fns_engine *e, struct fns_qp *qp)
{
	use_put(e, use_of(qp));
}

/* --- changing --- */

uint8_t fns_engine_cc_tos(const struct fns_qp *qp, uint8_t traffic_class)
{
	bool ect = qp->type == FNS_QPT_RC && (qp->cc->flags & FNS_CC_F_ECT);

	return ect && !(traffic_class & FNS_ECN_CE) ? traffic_class | FNS_ECN_ECT0 : traffic_class;
}

/*
 * Packets say what the new algorithm wants them to say: another path to the same peer. Through
 * shared memory nobody marks them. -EAGAIN: frames are on their way to the wire.
 */
static int mark_path(struct fns_engine *e, struct fns_qp *qp)
{
	struct fns_wire *wire = e->nic.wire;
	const struct fns_ctl_av *av = &qp->attr.av;
	uint8_t tos = fns_engine_cc_tos(qp, av->traffic_class);
	const struct fns_path *was = qp->path;
	struct fns_path *path;
	int r;

	if (!was || was->rx_bytes || was->broken || was->tos == tos)
		return 0;
	if (e->nic.txq.n)
		return -EAGAIN;
	r = wire->ops->path_get(
		wire, &was->local, &was->remote, was->ifindex, was->prefix, tos, was->ttl, &path);
	if (r < 0)
		return r;
	if (path->rx_bytes) { /* not the same buffer: the peer's window is not for it */
		wire->ops->path_put(wire, path);
		return 0;
	}
	wire->ops->path_put(wire, qp->path);
	qp->path = path;
	return 0;
}

/* Takes the reference, also when it fails, and then nothing has changed. */
static int change(struct fns_engine *e, struct fns_qp *qp, struct fns_cc_use *u)
{
	struct fns_cc_use *was = use_of(qp);
	const struct fns_cc_ops *ops = qp->cc;
	int r;

	qp->cc = u->c.ops; /* what mark_path looks at */
	r = mark_path(e, qp);
	if (r < 0) {
		qp->cc = ops;
		use_put(e, u);
		return r;
	}
	fns_qp_cc_set(qp, u->c.ops, u->c.param);
	put_line(qp, u);
	use_put(e, was);
	return 0;
}

static bool rule_is_for(const struct fns_cc_rule *r, const struct fns_gid *peer, uint32_t ifindex)
{
	return r->ifindex ? r->ifindex == ifindex : fns_gid_equal(&r->peer, peer);
}

void fns_engine_cc_connecting(struct fns_engine *e, struct fns_qp *qp, const struct fns_ctl_av *av)
{
	struct fns_cc_use *u = e->cc;

	if (qp->cc_chosen || qp->type != FNS_QPT_RC)
		return;
	for (uint32_t i = 0; i < e->ncc_rules; i++)
		if (rule_is_for(&e->cc_rule[i], &av->dgid, av->ifindex))
			u = e->cc_rule[i].use; /* the last one wins */
	if (u == use_of(qp))
		return;
	u->refs++;
	use_put(e, use_of(qp));
	fns_qp_cc_set(qp, u->c.ops, u->c.param);
	put_line(qp, u);
}

/* For queue pairs to come. */
static int remember(
	struct fns_engine *e, const struct fns_engine_cc_who *who, const struct fns_cc_choice *c)
{
	struct fns_cc_use *u;
	uint32_t i, kept = 0;
	bool all = !who->ifindex && !who->by_peer;

	for (i = 0; !all && i < e->ncc_rules; i++)
		if (e->cc_rule[i].ifindex == who->ifindex &&
			fns_gid_equal(&e->cc_rule[i].peer, &who->peer))
			break;
	if (!all && i == e->ncc_rules && i == FNS_CC_RULES)
		return -ENOSPC;
	u = use_get(e, c);
	if (!u)
		return -ENOMEM;
	if (all) {
		fns_engine_cc_end(e);
		e->ncc_rules = 0;
		e->cc = u;
		fns_cc_print(c, e->nic.stats->cc, sizeof(e->nic.stats->cc));
		return 0;
	}
	/* It goes to the end: the last one wins. */
	for (uint32_t k = 0; k < e->ncc_rules; k++) {
		if (k == i)
			use_put(e, e->cc_rule[k].use);
		else
			e->cc_rule[kept++] = e->cc_rule[k];
	}
	e->cc_rule[kept++] =
		(struct fns_cc_rule){.peer = who->peer, .ifindex = who->ifindex, .use = u};
	e->ncc_rules = kept;
	return 0;
}

static int change_one(struct fns_engine *e, struct fns_qp *qp, const struct fns_cc_choice *c)
{
	struct fns_cc_use *u = use_get(e, c);
	int r = u ? change(e, qp, u) : -ENOMEM;

	if (r == 0)
		qp->cc_chosen = true;
	return r;
}

static bool is_meant(const struct fns_qp *qp, const struct fns_engine_cc_who *who)
{
	if (qp->type != FNS_QPT_RC)
		return false;
	if (who->by_peer)
		return qp->path && fns_gid_equal(&qp->attr.av.dgid, &who->peer);
	return !who->ifindex || (qp->path && qp->attr.av.ifindex == who->ifindex);
}

int fns_engine_cc_set(struct fns_engine *e, const struct fns_engine_cc_who *who,
	const struct fns_cc_choice *c, uint64_t now_ns)
{
	struct fns_cc_use *u;
	struct fns_qp *qp;
	int n = 0, r;

	if (now_ns > e->nic.now_ns)
		e->nic.now_ns = now_ns;
	if (who->qpn) {
		qp = fns_engine_qp(e, who->qpn);
		if (!qp)
			return -ENOENT;
		if (qp->type != FNS_QPT_RC)
			return -EPROTONOSUPPORT;
		r = change_one(e, qp, c);
		return r < 0 ? r : 1;
	}
	r = remember(e, who, c);
	for (uint32_t i = 0; r == 0 && i < FNS_QP_INDEXES; i++) {
		qp = e->qps[i];
		if (!qp || !is_meant(qp, who))
			continue;
		n++;
		u = use_get(e, c);
		if (!u)
			r = -ENOMEM;
		else if (u == use_of(qp)) /* asked once more after -EAGAIN */
			use_put(e, u);
		else
			r = change(e, qp, u);
	}
	return r < 0 ? r : n;
}

int fns_ctl_qp_set_cc(struct fns_engine *e, struct fns_ctl *m)
{
	struct fns_qp *qp = fns_engine_qp(e, m->handle);
	struct fns_cc_choice c;
	char err[sizeof(m->cc.text)] = "";

	if (!qp || qp->client != m->client || !memchr(m->cc.text, '\0', sizeof(m->cc.text)))
		return -EINVAL;
	if (qp->type != FNS_QPT_RC)
		return -EOPNOTSUPP;
	if (!e->cc_choose(m->cc.text, &c, err, sizeof(err))) {
		memcpy(m->cc.text, err, sizeof(err));
		return -ENOENT;
	}
	return change_one(e, qp, &c);
}
