/* SPDX-License-Identifier: Apache-2.0 */
/* The helper thread's part in carrying hellos: host/host.c under this placement's lock. */
#include <errno.h>

#include "inline/inline_priv.h"

void fns_hello_carry(void)
{
	fns_host_hello_carry(
		&fns_here.hello, fns_here.engine, &fns_here.lease, !fns_here.keeper_gone);
}

bool fns_hello_take(void)
{
	struct fns_keeper_peer_info p;
	int rc;

	while ((rc = fns_host_hello_take(&fns_here.hello, &fns_here.lease, &p)) == 0 ||
		rc == -EBUSY) {
		if (rc)
			continue;
		fns_lock_take(&fns_here.lock);
		fns_engine_hello_told(fns_here.engine, &p.remote, p.state, &p.hello);
		fns_inline_unlock();
	}
	return rc == -EAGAIN;
}

void fns_hello_lost(void)
{
	fns_here.hello.outstanding = 0;
	fns_lock_take(&fns_here.lock);
	fns_engine_hello_lost(fns_here.engine);
	fns_inline_unlock();
}
