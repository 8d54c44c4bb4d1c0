/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a FlexiNS device promises: every limit that ibv_query_device() reports and the library
 * enforces. The engine may refuse earlier for lack of memory, never later.
 */
#ifndef FNS_VERBS_LIMITS_H
#define FNS_VERBS_LIMITS_H

#include "pipe/layout.h"

#ifndef FNS_VERSION
#define FNS_VERSION "0.1.0"
#endif

#define FNS_MAX_DEVICES  16
#define FNS_GID_TBL_LEN  32
#define FNS_COMP_VECTORS 1

#define FNS_MAX_QP        65000
#define FNS_MAX_QP_WR     16384
#define FNS_MAX_CQ        65536
#define FNS_MAX_CQE       131072
#define FNS_MAX_MR        65536
#define FNS_MAX_MW        65536
#define FNS_MAX_PD        65536
#define FNS_MAX_AH        65536
#define FNS_MAX_SRQ       4096
#define FNS_MAX_SRQ_WR    16384
#define FNS_MAX_RD_ATOMIC 16
#define FNS_MAX_MSG       0x80000000u
#define FNS_CA_ACK_DELAY  15

/* Above the IBTA payload in a frame: IPv6, UDP, BTH, the largest extended headers, ICRC, as
 * Soft-RoCE counts them. */
#define FNS_HDR_MARGIN 80

#define FNS_VENDOR_ID 0x464e53 /* "FNS": a locally administered prefix, so nobody's OUI */

#endif
