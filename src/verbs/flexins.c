/* SPDX-License-Identifier: Apache-2.0 */
/* What flexins/flexins.h looks for in this library: beyond verbs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verbs/verbs_priv.h"

FNS_EXPORT int flexins_1_qp_set_cc(struct ibv_qp *ibqp, const char *cc, char *why, size_t len);

FNS_EXPORT int flexins_1_qp_set_cc(struct ibv_qp *ibqp, const char *cc, char *why, size_t len)
{
	struct fns_ctl msg = {.op = FNS_CTL_QP_SET_CC};
	int err;

	if (!ibqp || !cc || strlen(cc) >= sizeof(msg.cc.text))
		return EINVAL;
	msg.handle = ibqp->handle;
	memcpy(msg.cc.text, cc, strlen(cc));
	err = fns_verbs_control(fns_ctx(ibqp->context), &msg);
	if (err == -ENOENT && why && len) {
		msg.cc.text[sizeof(msg.cc.text) - 1] = '\0';
		snprintf(why, len, "%s", msg.cc.text);
	}
	return fns_verbs_err(err);
}
