/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where 0-or-negative-errno, as everything inside speaks, becomes what verbs returns: positive
 * errno from functions that return int, NULL and errno from those that return a pointer. Also the
 * one way to send a control message.
 */
#include <errno.h>
#include <time.h>

#include "verbs/verbs_priv.h"

/* An object busy with an operation in flight is freed by the engine's progress; this long we help
 * it to make some. */
#define BUSY_TRIES     2000u
#define BUSY_NAP_AFTER 50u
#define BUSY_NAP_NS    1000000

int fns_verbs_err(int err)
{
	if (err == 0)
		return 0;
	errno = -err;
	return -err;
}

void *fns_verbs_null(int err)
{
	errno = -err;
	return NULL;
}

int fns_verbs_control(struct fns_vcontext *ctx, struct fns_ctl *msg)
{
	const struct timespec nap = {0, BUSY_NAP_NS};
	int err;

	msg->client = ctx->client;
	for (unsigned i = 0; i < BUSY_TRIES; i++) {
		if (!fns_placement_alive())
			return -EIO;
		err = ctx->ops->control(msg);
		if (err != -EAGAIN)
			return err;
		ctx->ops->poll();
		if (i >= BUSY_NAP_AFTER)
			nanosleep(&nap, NULL);
	}
	return -EBUSY;
}
