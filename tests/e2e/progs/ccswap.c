/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swaps the congestion control of both ends of a connection 1,000 times while WRITEs of all sizes
 * are under way, by flexins/flexins.h, and looks at each byte that arrives and at the order of
 * completions. What is refused leaves all as it was. Argument: a plug-in that the process has
 * loaded, to be among those swapped.
 */
#include "common.h"

#include <flexins/flexins.h>

enum {
	SWAPS = 1000,
	SLOT = 64 * 1024,
	DEPTH = 16
};

static const char *ccs[8] = {"swift", "static_window", "dcqcn", "timely", "swift:target_us=20",
	"dcqcn:line_mbps=20000,g_inv=16"};
static unsigned nccs = 6;
static uint8_t *src, *dst;

static uint32_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static uint32_t length(unsigned n)
{
	uint32_t v = n * 2654435761u;

	return v % 5 == 0 ? 1 + v % SLOT : 1 + v % 2000;
}

static void fill(uint8_t *p, unsigned n, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(n * 31 + i * 7 + (i >> 8));
}

static void set(struct ibv_qp *qp, const char *cc)
{
	char why[256] = "";
	int rc = flexins_qp_set_cc(qp, cc, why, sizeof(why));

	CHECK(rc == 0, "%s: %s: %s", cc, strerror(rc), why);
}

static void refused(struct ibv_qp *qp, const char *cc, int want, const char *word)
{
	char why[256] = "";
	int rc = flexins_qp_set_cc(qp, cc, why, sizeof(why));

	CHECK(rc == want, "'%s' gives %d: %s", cc, rc, why);
	CHECK(strstr(why, word), "'%s' says '%s'", cc, why);
}

static void refusals(struct side *a)
{
	char long_name[512];
	struct side ud;

	refused(a->qp, "nonsense", ENOENT, "no congestion control 'nonsense'");
	refused(a->qp, "swift:target_us=0", ENOENT, "expected target_us=N");
	refused(a->qp, "swift:speed=1", ENOENT, "no parameter 'speed'");
	refused(a->qp, "./file.so", ENOENT, "no congestion control");
	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	refused(a->qp, long_name, EINVAL, "");
	CHECK(flexins_qp_set_cc(a->qp, NULL, NULL, 0) == EINVAL, "no text");
	CHECK(flexins_qp_set_cc(a->qp, "nonsense", NULL, 0) == ENOENT, "no room for words");
	side_init(&ud, a->ctx, IBV_QPT_UD);
	refused(ud.qp, "swift", EOPNOTSUPP, "");
	side_fini(&ud);
}

int main(int argc, char **argv)
{
	struct ibv_context *ctx = open_first();
	unsigned posted = 0, done = 0, swaps = 0;
	struct ibv_mr *ms, *md;
	double end = now_s() + 80;
	struct side a, b;
	struct ibv_wc wc;

	for (int i = 1; i < argc && nccs < 8; i++)
		ccs[nccs++] = argv[i];
	pair_init(&a, &b, ctx);
	src = aligned_alloc(4096, DEPTH * SLOT);
	dst = aligned_alloc(4096, DEPTH * SLOT);
	if (!src || !dst)
		DIE("memory");
	ms = ibv_reg_mr(a.pd, src, DEPTH * SLOT, ALL_ACCESS);
	md = ibv_reg_mr(b.pd, dst, DEPTH * SLOT, ALL_ACCESS);
	if (!ms || !md)
		DIE("reg_mr");
	refusals(&a);
	while ((swaps < SWAPS || done < posted) && now_s() < end) {
		while (swaps < SWAPS && posted - done < DEPTH) {
			uint32_t at = posted % DEPTH * SLOT, len = length(posted);

			fill(src + at, posted, len);
			if (post_rdma(&a, IBV_WR_RDMA_WRITE, src + at, len, ms->lkey, dst + at,
				    md->rkey))
				DIE("post");
			posted++;
		}
		if (swaps < SWAPS && rnd() % 2) {
			set(a.qp, ccs[rnd() % nccs]);
			if (swaps % 4 == 0)
				set(b.qp, ccs[rnd() % nccs]);
			swaps++;
		}
		if (wait_wc(a.cq, &wc, 0.0)) {
			uint32_t at = done % DEPTH * SLOT, len = length(done);

			if (wc.status != IBV_WC_SUCCESS)
				DIE("completion %u: %s", done, ibv_wc_status_str(wc.status));
			CHECK(memcmp(src + at, dst + at, len) == 0, "write %u of %u bytes differs",
				done, len);
			done++;
		}
	}
	CHECK(swaps == SWAPS && done == posted, "%u swaps, %u of %u writes", swaps, done, posted);
	refusals(&a);
	printf("%u swaps, %u writes\n", swaps, done);
	CHECK(!ibv_dereg_mr(ms) && !ibv_dereg_mr(md), "dereg_mr");
	side_fini(&a);
	side_fini(&b);
	return finish();
}
