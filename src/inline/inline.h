/* SPDX-License-Identifier: Apache-2.0 */
/* The inline placement: the engine in this process. For placement.c alone. */
#ifndef FNS_INLINE_INLINE_H
#define FNS_INLINE_INLINE_H

#include "pipe/placement.h"

/* As fns_placement_start(). */
const struct fns_placement_ops *fns_inline_start(
	const struct fns_placement_upcalls *up, char *err, unsigned errlen);

#endif
