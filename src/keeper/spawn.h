/* SPDX-License-Identifier: Apache-2.0 */
/* Starting flexinsd from inside somebody else's process, and hearing whether it came up. Used by
 * client.c and main.c. */
#ifndef FNS_KEEPER_SPAWN_H
#define FNS_KEEPER_SPAWN_H

#include <stddef.h>
#include <stdint.h>

#define FNS_KEEPER_READY_FD 3 /* where the started daemon finds its readiness pipe */
#define FNS_KEEPER_VAULT_FD 4 /* ... and the vault, if it was handed one */

/* What the daemon writes to the readiness pipe: one of these, an error followed by its text. */
#define FNS_KEEPER_READY 'R'
#define FNS_KEEPER_BUSY  'B' /* another keeper has the name already: connect to that one */
#define FNS_KEEPER_FAIL  'E'

/*
 * Starts the keeper and waits until it is ready, another one has won, or timeout_ms passes. 0
 * means: connect now. Negative errno with a sentence in err otherwise. vault: -1, or the vault of a
 * keeper that died. args: more options, separated by single spaces, or NULL. Blocks; any thread;
 * leaves no child and raises no SIGCHLD.
 */
int fns_keeper_spawn(const char *daemon_dir, uint16_t port, int vault, const char *args,
	unsigned timeout_ms, char *err, size_t errlen);

#endif
