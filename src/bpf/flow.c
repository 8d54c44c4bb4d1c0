/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a program can go: no way may lead back, and since the verifier walks every path from the
 * beginning to an end, their number is bounded before it starts. (16 conditions one after the other
 * are 65,536 paths and 40 ms.) Pure.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "bpf/bpf_priv.h"

struct node {
	uint32_t next[2], nnext, tried;
	uint64_t visits;
	bool open, done;
};

static bool is_jump(const struct fns_bpf_ins *i)
{
	uint8_t class = i->code & FNS_BPF_CLASS;

	return (class == FNS_BPF_JMP || class == FNS_BPF_JMP32) && i->code != FNS_BPF_CALL &&
	       i->code != FNS_BPF_EXIT;
}

/* The ways out of instruction at. False: one leads out of the code. */
static bool ways(const struct fns_bpf_ins *ins, uint32_t n, uint32_t at, struct node *out)
{
	int64_t step = at + (ins[at].code == FNS_BPF_LDDW ? 2 : 1);
	int64_t jump = (int64_t)at + 1 + ins[at].off;

	out->nnext = 0;
	if (ins[at].code == FNS_BPF_EXIT)
		return true;
	if (is_jump(&ins[at])) {
		if (jump < 0 || jump >= n)
			return false;
		out->next[out->nnext++] = (uint32_t)jump;
		if (ins[at].code == FNS_BPF_JA)
			return true;
	}
	if (step >= n)
		return false;
	out->next[out->nnext++] = (uint32_t)step;
	return true;
}

/*
 * Depth first, without recursion; order gets the nodes in the order in which they are done, so each
 * one before those that lead to it. How many; 0: err says why not.
 */
static uint32_t walk(const struct fns_bpf_ins *ins, uint32_t n, struct node *node, uint32_t *stack,
	uint32_t *order, char *err, size_t errlen)
{
	uint32_t depth = 0, ndone = 0, at, to;

	stack[depth++] = 0;
	while (depth) {
		at = stack[depth - 1];
		if (!node[at].open) {
			node[at].open = true;
			if (!ways(ins, n, at, &node[at])) {
				snprintf(err, errlen, "leaves its code at instruction %u", at);
				return 0;
			}
		}
		if (node[at].tried == node[at].nnext) {
			node[at].done = true;
			order[ndone++] = at;
			depth--;
			continue;
		}
		to = node[at].next[node[at].tried++];
		if (node[to].done)
			continue;
		if (node[to].open) {
			snprintf(err, errlen,
				"has a loop (from instruction %u to %u); unroll it (#pragma unroll)",
				at, to);
			return 0;
		}
		stack[depth++] = to;
	}
	return ndone;
}

bool fns_bpf_flow_check(
	const struct fns_bpf_ins *ins, uint32_t n, uint64_t *work, char *err, size_t errlen)
{
	struct node *node = calloc(n, sizeof(*node));
	uint32_t *stack = calloc(n, sizeof(*stack)), *order = calloc(n, sizeof(*order));
	uint32_t ndone = 0;
	bool ok;

	*work = 0;
	if (node && stack && order)
		ndone = walk(ins, n, node, stack, order, err, errlen);
	else
		snprintf(err, errlen, "out of memory");
	if (ndone)
		node[0].visits = 1;
	for (uint32_t i = ndone; i-- > 0;) {
		const struct node *o = &node[order[i]];

		/* Neither of the sums below overflows: there are 4096 nodes at most. */
		*work += FNS_MIN(o->visits, FNS_BPF_MAX_WORK + 1ull);
		for (uint32_t k = 0; k < o->nnext; k++)
			node[o->next[k]].visits += FNS_MIN(o->visits, FNS_BPF_MAX_WORK + 1ull);
	}
	ok = ndone && *work <= FNS_BPF_MAX_WORK;
	if (ndone && !ok)
		snprintf(err, errlen,
			"has too many paths for the verifier to walk; fewer conditions one after the other");
	free(node);
	free(stack);
	free(order);
	return ok;
}
