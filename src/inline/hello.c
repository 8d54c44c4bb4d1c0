/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries the engine's questions about other hosts to the keeper and the answers back. The helper
 * thread's work: nothing here blocks, and application threads never wait for it. Without an answer
 * the engine goes on with its defaults.
 */
#include <errno.h>

#include "base/log.h"
#include "inline/inline_priv.h"

/* Helper's own. */
static unsigned outstanding;
static bool given_up; /* the keeper makes no sense */

void fns_hello_carry(void)
{
	struct fns_engine_address a;
	bool can = !fns_here.keeper_gone && !given_up;

	while (can && outstanding < FNS_KEEPER_PEER_ASKS &&
		fns_engine_hello_next(fns_here.engine, &a)) {
		/* If that fails the keeper is dying, and this one is asked again after it. */
		if (fns_keeper_peer_ask(&fns_here.lease, &a.local, &a.remote, a.ifindex) == 0)
			outstanding++;
	}
	fns_here.hello_full = !can || outstanding == FNS_KEEPER_PEER_ASKS;
}

bool fns_hello_take(void)
{
	struct fns_keeper_peer_info p;
	int rc;

	while ((rc = fns_keeper_peer_take(&fns_here.lease, &p)) == 0 || rc == -EBUSY) {
		if (outstanding)
			outstanding--;
		if (rc)
			continue;
		pthread_mutex_lock(&fns_here.lock);
		fns_engine_hello_told(fns_here.engine, &p.remote, p.state, &p.hello);
		fns_inline_unlock();
	}
	if (rc == -EPROTO) {
		fns_log(FNS_LOG_WARN, "the keeper's answer makes no sense; is flexinsd old?");
		given_up = true;
	}
	return rc == -EAGAIN;
}

void fns_hello_lost(void)
{
	outstanding = 0;
	pthread_mutex_lock(&fns_here.lock);
	fns_engine_hello_lost(fns_here.engine);
	fns_inline_unlock();
}
