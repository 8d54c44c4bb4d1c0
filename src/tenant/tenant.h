/* SPDX-License-Identifier: Apache-2.0 */
/* The service placement as the application has it: the engine is in flexinsd. For placement.c
 * alone. */
#ifndef FNS_TENANT_TENANT_H
#define FNS_TENANT_TENANT_H

#include "pipe/placement.h"

/* As fns_placement_start(). */
const struct fns_placement_ops *fns_tenant_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen);

#endif
