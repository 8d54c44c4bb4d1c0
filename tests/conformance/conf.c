/* SPDX-License-Identifier: Apache-2.0 */
/* Runner and helpers of the conformance rules: see conf.h. */
#include "conf.h"

#include <stdio.h>
#include <stdlib.h>

uint8_t conf_data[CONF_DATA];

/* --- runner --- */

struct conf_case {
	const struct conf_rule *rule;
	bool far, passed;
	char name[96];
};

static void run(void **state)
{
	struct conf_case *k = *state;
	struct conf c = {.far = k->far, .seed = 7};

	k->rule->fn(&c);
	assert_null(c.r); /* every rule closes what it opened */
	k->passed = true;
}

/* Also runs after a failure, which leaves run() by a jump. */
static int report(void **state)
{
	const struct conf_case *k = *state;

	printf("%s %s %s: %s (IBTA %s)\n", k->passed ? "PASS" : "FAIL", k->rule->id,
		k->far ? "simdma" : "direct", k->rule->text, k->rule->section);
	return 0;
}

static int list(const struct conf_rule *rules, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		printf("%s\t%s\t%s\n", rules[i].id, rules[i].section, rules[i].text);
	return 0;
}

int conf_main(int argc, char **argv, const struct conf_rule *rules, size_t n)
{
	struct conf_case *cases = calloc(2 * n, sizeof(*cases));
	struct CMUnitTest *tests = calloc(2 * n, sizeof(*tests));
	size_t i, m = 0;
	int rc;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		free(cases);
		free(tests);
		return list(rules, n);
	}
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: %s [--list | PART-OF-A-RULE'S-NAME]\n", argv[0]);
		return 2;
	}
	for (i = 0; i < CONF_DATA; i++)
		conf_data[i] = (uint8_t)(i * 37 + 1 + (i >> 8));
	for (i = 0; i < 2 * n; i++) {
		struct conf_case *k = &cases[m];

		*k = (struct conf_case){.rule = &rules[i / 2], .far = i & 1};
		if (argc == 2 && !strstr(k->rule->id, argv[1]))
			continue;
		snprintf(k->name, sizeof(k->name), "%s/%s", k->rule->id,
			k->far ? "simdma" : "direct");
		tests[m] = (struct CMUnitTest){.name = k->name,
			.test_func = run,
			.teardown_func = report,
			.initial_state = k};
		m++;
	}
	rc = m ? _cmocka_run_group_tests("conformance", tests, m, NULL, NULL) : 1;
	free(cases);
	free(tests);
	return rc;
}

/* --- life --- */

void conf_new(struct conf *c, uint8_t type)
{
	/* Short enough that no timer of a rule fires while memory settles. */
	const struct rig_opts opts = {.simdma = c->far,
		.sim = {.seed = c->seed, .min_ns = 100, .max_ns = 4000},
		.seed = c->seed};

	c->r = rig_create(&opts);
	rig_qp_create(c->r, &c->qp, type);
}

void conf_up(struct conf *c)
{
	rig_connect(c->r, &c->qp);
}

void conf_open(struct conf *c, uint8_t type)
{
	conf_new(c, type);
	conf_up(c);
}

void conf_close(struct conf *c)
{
	rig_qp_destroy(c->r, &c->qp);
	rig_destroy(c->r);
	c->r = NULL;
}

/* --- packets --- */

struct fns_hdr conf_rdma(struct conf *c, uint8_t op, uint32_t psn, uint32_t off, uint32_t len)
{
	struct fns_hdr h = rig_hdr_rdma(c->r, &c->qp, op, psn, off, len);

	h.ack_req = true;
	return h;
}

void conf_in(struct conf *c, uint8_t op, uint32_t psn, uint32_t len, bool ack_req)
{
	struct fns_hdr h = conf_rdma(c, op, psn, 0, len);

	h.ack_req = ack_req;
	h.imm = 0x01020304;
	rig_inject(c->r, h, conf_data, len);
}

void conf_resp(struct conf *c, uint8_t op, uint32_t psn, const void *data, uint32_t len)
{
	rig_inject(c->r, rig_hdr(&c->qp, op, psn), data, len);
}

void conf_orig(struct conf *c, uint32_t psn, uint64_t orig)
{
	struct fns_hdr h = rig_hdr(&c->qp, FNS_OP_ATOMIC_ACK, psn);

	h.orig = orig;
	rig_inject(c->r, h, NULL, 0);
}

const struct rig_packet *conf_sent(struct conf *c, unsigned n)
{
	rig_settle(c->r);
	assert_int_equal(c->r->nsent, n);
	c->r->nsent = 0;
	return c->r->sent;
}

void conf_aeth(struct conf *c, uint32_t psn, uint8_t syndrome, uint32_t msn)
{
	const struct rig_packet *p = conf_sent(c, 1);

	assert_int_equal(p->h.opcode, FNS_OP_ACK);
	assert_int_equal(p->h.psn, psn & FNS_PSN_MASK);
	assert_int_equal(p->h.syndrome, syndrome);
	assert_int_equal(p->h.msn, msn);
}

void conf_silent(struct conf *c)
{
	conf_sent(c, 0);
}

void conf_post(struct conf *c, uint8_t op, uint64_t id, uint32_t off, uint32_t len)
{
	rig_post_data(c->r, &c->qp, op, id, FNS_WRF_SIGNALED, off, len);
	rig_settle(c->r);
}

void conf_atomic(struct conf *c, uint8_t op, uint64_t id, uint64_t compare, uint64_t swap_add)
{
	struct rig_wr wr = {.wr_id = id,
		.op = op,
		.flags = FNS_WRF_SIGNALED,
		.remote_addr = 0x1122334455667788,
		.rkey = 0xabcd,
		.compare = compare,
		.swap_add = swap_add,
		.nsge = 1};

	wr.sge[0] = (struct fns_sqd_sge){.addr = (uintptr_t)c->r->mem, .len = 8, .lkey = c->r->key};
	rig_post(c->r, &c->qp, &wr);
	rig_settle(c->r);
}

void conf_refused(struct conf *c, uint32_t psn, uint8_t code)
{
	const struct rig_packet *p;

	rig_settle(c->r);
	assert_true(c->r->nsent > 0);
	p = rig_expect_sent(c->r, c->r->nsent - 1, FNS_OP_ACK, psn);
	assert_int_equal(p->h.syndrome, NAK(code));
	assert_int_equal(rig_count(c->r, FNS_C_rc_fatal_naks_sent), 1);
	assert_int_equal(rig_state(c->r, &c->qp), FNS_QPS_ERR);
	c->r->nsent = 0;
}

unsigned conf_events(const struct conf *c, uint32_t type)
{
	unsigned i, n = 0;

	for (i = 0; i < c->r->nevents; i++)
		n += c->r->event[i].type == type;
	return n;
}
