/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's event loop: the listening socket, the clients, the slots. One thread, epoll, never
 * blocks on a client. Made and run by main.c.
 */
#ifndef FNS_KEEPER_SERVER_H
#define FNS_KEEPER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FNS_KEEPER_ALLOW_MAX 8 /* all fit the text of a message, see restart_args() */

struct fns_keeper_config {
	uint16_t port;
	bool stay; /* do not leave after the last client */
	bool gro;
	int rcvbuf;
	uint64_t linger_ns;     /* how long to stay after the last client */
	uint64_t quarantine_ns; /* one round */
	int vault;              /* handed over at start, or -1; becomes the server's */
	uid_t allow[FNS_KEEPER_ALLOW_MAX];
	unsigned n_allow;
};

struct fns_keeper_server;

/*
 * Takes the name. 0; -EADDRINUSE: another keeper has it; other negative errno with a sentence in
 * text. The group of sockets comes up in run: it may have to wait for a client to bring the vault.
 */
int fns_keeper_server_create(struct fns_keeper_server **out, const struct fns_keeper_config *cfg,
	char *text, size_t len);
/*
 * Serves until it is told to stop (stop_fd readable), or nobody needs it. ready(arg) is called once
 * the group is up. 0, or negative errno with a sentence in text.
 */
int fns_keeper_server_run(struct fns_keeper_server *s, int stop_fd, void (*ready)(void *),
	void *arg, char *text, size_t len);
void fns_keeper_server_destroy(struct fns_keeper_server *s);

#endif
