/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which placement this process has: FLEXINS_PLACEMENT, looked at when the first device is opened.
 * Also where everybody learns that the process's contexts are dead.
 */
#include "pipe/placement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "inline/inline.h"
#include "tenant/tenant.h"

static const struct {
	const char *name;
	const struct fns_placement_ops *(*start)(
		const struct fns_placement_upcalls *up, char *err, unsigned errlen);
} placements[] = {
	{"inline", fns_inline_start},
	{"service", fns_tenant_start},
};

static _Atomic bool dead;
static _Atomic long started_by; /* process id */

const struct fns_placement_ops *fns_placement_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen)
{
	const char *v = getenv("FLEXINS_PLACEMENT");
	const struct fns_placement_ops *ops;

	if (atomic_load(&dead)) {
		snprintf(err, errlen,
			atomic_load(&started_by) != (long)getpid()
				? "devices opened before a fork are dead in the child; open them after it"
				: "the engine that served this program is gone; start the program again");
		errno = EIO;
		return NULL;
	}
	if (!v || !*v)
		v = placements[0].name;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(placements); i++) {
		if (strcmp(v, placements[i].name) != 0)
			continue;
		ops = placements[i].start(up, err, errlen);
		if (ops)
			atomic_store(&started_by, (long)getpid());
		return ops;
	}
	snprintf(err, errlen, "FLEXINS_PLACEMENT='%s': expected inline or service", v);
	errno = EINVAL;
	return NULL;
}

int fns_placement_alive(void)
{
	return !atomic_load_explicit(&dead, memory_order_relaxed);
}

void fns_placement_end(void)
{
	atomic_store(&dead, true);
}
