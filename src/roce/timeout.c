/* SPDX-License-Identifier: Apache-2.0 */
/* Timer codes of the wire and of queue pair attributes, as nanoseconds. Called by the requester and
 * the responder. */
#include "roce/header.h"

#include "base/util.h"

uint64_t fns_rnr_timer_ns(uint8_t code)
{
	/* IBTA 9.7.5.2.8, table 45, in units of 10 us. Code 0 is the longest. */
	static const uint32_t units[32] = {
		65536,
		1,
		2,
		3,
		4,
		6,
		8,
		12,
		16,
		24,
		32,
		48,
		64,
		96,
		128,
		192,
		256,
		384,
		512,
		768,
		1024,
		1536,
		2048,
		3072,
		4096,
		6144,
		8192,
		12288,
		16384,
		24576,
		32768,
		49152,
	};

	return units[code & 31] * 10 * FNS_NSEC_PER_USEC;
}

uint64_t fns_ack_timeout_ns(uint8_t t)
{
	t &= 31;
	return t == 0 ? UINT64_MAX : 4096ull << t;
}
