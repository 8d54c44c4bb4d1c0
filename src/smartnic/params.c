/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the model's parameters, and setting them by name. Pure. */
#include "smartnic/params.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

const struct fns_snic_param_info fns_snic_param_info[] = {
#define X(n, d, lo, hi, u, w, s)                                                                   \
	{.name = #n,                                                                               \
		.unit = u,                                                                         \
		.what = w,                                                                         \
		.source = s,                                                                       \
		.def = d,                                                                          \
		.min = lo,                                                                         \
		.max = hi,                                                                         \
		.offset = offsetof(struct fns_snic_params, n)},
	FNS_SNIC_PARAMS(X)
#undef X
};
const size_t fns_snic_param_count = FNS_ARRAY_SIZE(fns_snic_param_info);

static void put(struct fns_snic_params *p, const struct fns_snic_param_info *i, uint32_t v)
{
	*(uint32_t *)(void *)((char *)p + i->offset) = v;
}

void fns_snic_params_default(struct fns_snic_params *p)
{
	size_t i;

	for (i = 0; i < fns_snic_param_count; i++)
		put(p, &fns_snic_param_info[i], fns_snic_param_info[i].def);
}

bool fns_snic_params_set(struct fns_snic_params *p, const char *assignment, char *err, size_t size)
{
	const char *eq = strchr(assignment, '=');
	size_t len = eq ? (size_t)(eq - assignment) : strlen(assignment), i;
	unsigned long v;
	char *end;

	for (i = 0; i < fns_snic_param_count; i++) {
		const struct fns_snic_param_info *info = &fns_snic_param_info[i];

		if (strlen(info->name) != len || strncmp(info->name, assignment, len) != 0)
			continue;
		errno = 0;
		v = eq && eq[1] >= '0' && eq[1] <= '9' ? strtoul(eq + 1, &end, 10) : 0;
		if (!eq || eq[1] < '0' || eq[1] > '9' || *end != '\0' || errno || v < info->min ||
			v > info->max) {
			snprintf(err, size, "%s: expected a number, %u to %u%s%s", info->name,
				info->min, info->max, *info->unit ? " " : "", info->unit);
			return false;
		}
		put(p, info, (uint32_t)v);
		return true;
	}
	snprintf(err, size, "no parameter '%.*s'", (int)len, assignment);
	return false;
}
