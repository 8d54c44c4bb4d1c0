/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paper's three mechanisms and what they are compared with, chosen once when the engine is
 * made (docs/mechanisms.md). The first of each is what FlexiNS does unless told otherwise. Names
 * as on the command line; `flexins run` and who makes the engine parse with the same functions.
 */
#ifndef FNS_PIPE_MODES_H
#define FNS_PIPE_MODES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum fns_tx_mode {           /* payload on its way out */
	FNS_TXM_HEADER_ONLY, /* gathered by the wire where it lies; copied for named reasons only */
	FNS_TXM_DMA_ASSISTED, /* one copy into a pool of NIC buffers, sent from there */
	FNS_TXM_COPY, /* two: into a bounce buffer, from there into a ring of packet buffers */
	FNS_TX_MODES
};

enum fns_rx_mode {        /* receive buffers */
	FNS_RXM_IN_CACHE, /* a few, the last one released is used first */
	FNS_RXM_RING,     /* tens of MB, used and released in turn */
	FNS_RX_MODES
};

enum fns_pipe_mode {       /* notification between application and engine */
	FNS_PIPE_PHASE,    /* a phase bit in each descriptor and completion, credit now and then */
	FNS_PIPE_DOORBELL, /* indices in lines of their own, read across */
	FNS_PIPE_MODES
};

struct fns_modes {
	uint8_t tx, rx, pipe; /* of the enums above */
	uint32_t rx_ring_mib; /* FNS_RXM_RING: all buffers together; 0: FNS_RX_RING_MIB */
};

#define FNS_RX_RING_MIB     32u /* at least, and by default */
#define FNS_RX_RING_MIB_MAX 4096u

#define FNS_TX_EXPECTED   "header-only, dma-assisted or copy"
#define FNS_RX_EXPECTED   "in-cache, ring or ring:MIB with 32 to 4096 of them"
#define FNS_PIPE_EXPECTED "phase or doorbell"
/* Why the same-host wire cannot do as a ring. */
#define FNS_RX_NOT_SHM "shared memory has no receive buffers; use the udp wire"

static inline const char *fns_tx_mode_name(unsigned mode)
{
	static const char *const name[FNS_TX_MODES] = {"header-only", "dma-assisted", "copy"};

	return mode < FNS_TX_MODES ? name[mode] : "?";
}

static inline const char *fns_rx_mode_name(unsigned mode)
{
	static const char *const name[FNS_RX_MODES] = {"in-cache", "ring"};

	return mode < FNS_RX_MODES ? name[mode] : "?";
}

static inline const char *fns_pipe_mode_name(unsigned mode)
{
	static const char *const name[FNS_PIPE_MODES] = {"phase", "doorbell"};

	return mode < FNS_PIPE_MODES ? name[mode] : "?";
}

/* Each: NULL or "" is the default; false and nothing written for a name that is unknown. */
static inline bool fns_tx_mode_parse(const char *text, struct fns_modes *m)
{
	for (uint8_t i = 0; i < FNS_TX_MODES; i++) {
		if (!text || !*text || strcmp(text, fns_tx_mode_name(i)) == 0) {
			m->tx = i;
			return true;
		}
	}
	return false;
}

static inline bool fns_pipe_mode_parse(const char *text, struct fns_modes *m)
{
	for (uint8_t i = 0; i < FNS_PIPE_MODES; i++) {
		if (!text || !*text || strcmp(text, fns_pipe_mode_name(i)) == 0) {
			m->pipe = i;
			return true;
		}
	}
	return false;
}

static inline bool fns_rx_mode_parse(const char *text, struct fns_modes *m)
{
	unsigned long mib = FNS_RX_RING_MIB;
	char *end;

	if (!text || !*text || strcmp(text, "in-cache") == 0) {
		m->rx = FNS_RXM_IN_CACHE;
		m->rx_ring_mib = 0;
		return true;
	}
	if (strncmp(text, "ring:", 5) == 0) {
		mib = strtoul(text + 5, &end, 10);
		if (text[5] < '0' || text[5] > '9' || *end != '\0' || mib < FNS_RX_RING_MIB ||
			mib > FNS_RX_RING_MIB_MAX)
			return false;
	} else if (strcmp(text, "ring") != 0) {
		return false;
	}
	m->rx = FNS_RXM_RING;
	m->rx_ring_mib = (uint32_t)mib;
	return true;
}

/* How reliable connections repair losses, to peers that can do both (docs/irn.md). */
#define FNS_TRANSPORT_EXPECTED "irn or gbn"

static inline bool fns_transport_parse(const char *text, bool *selective)
{
	*selective = !text || !*text || strcmp(text, "irn") == 0;
	return *selective || strcmp(text, "gbn") == 0;
}

#endif
