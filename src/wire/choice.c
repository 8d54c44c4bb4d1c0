/* SPDX-License-Identifier: Apache-2.0 */
/* The names of fns_wire_choice: of `flexins run --wire` and of FLEXINS_WIRE, which the inline
 * placement reads. */
#include <string.h>

#include "base/util.h"
#include "wire/wire.h"

bool fns_wire_choice_parse(const char *name, enum fns_wire_choice *out)
{
	static const char *const known[] = {
		[FNS_WIRE_AUTO] = "auto", [FNS_WIRE_UDP] = "udp", [FNS_WIRE_SHM] = "shm"};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(known); i++) {
		if (strcmp(name, known[i]) == 0) {
			*out = (enum fns_wire_choice)i;
			return true;
		}
	}
	return false;
}
