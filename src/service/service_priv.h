/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service: engines in this process for all applications of the host. What main.c (options,
 * newcomers, the keeper), worker.c (one thread and engine each), conn.c (applications) and map.c
 * (their memory files) share.
 *
 * Threads: a worker owns its engine, wire, DMA backend and connections; nothing of it is touched by
 * others but the mailbox, under its lock, and the atomics. Applications are hostile: nothing that
 * they do may block a worker, make it grow without bound, or reach what is another's.
 */
#ifndef FNS_SERVICE_SERVICE_PRIV_H
#define FNS_SERVICE_SERVICE_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "host/host.h"
#include "host/lab.h"
#include "host/remote.h"
#include "keeper/client.h"
#include "mem/process.h"
#include "service/proto.h"
#include "wire/wire.h"

#define FNS_SERVICE_CONNS     FNS_MAX_APPS /* of one worker */
#define FNS_SERVICE_WORKERS   64u
#define FNS_SERVICE_NEWCOMERS 64u   /* on the way to a worker */
#define FNS_SERVICE_OUTBOX    4096u /* messages that an application has not read; more ends it */
#define FNS_SERVICE_RINGS     2048u /* completion rings of one application */
#define FNS_SERVICE_OF_CLIENT 8192u
#define FNS_SERVICE_CLIENTS   32u                    /* contexts of one application */
#define FNS_SERVICE_HELLO_NS  (5 * FNS_NSEC_PER_SEC) /* to introduce oneself */
#define FNS_SERVICE_BUSY_NS   (3 * FNS_NSEC_PER_SEC) /* an operation that stays busy is refused */

struct fns_service_worker;
struct fns_service_conn;

/* A completion queue of an application: the engine's cookie for it. */
struct fns_service_cq {
	struct fns_service_conn *conn;
	uint32_t handle, client;
	uint64_t cookie, channel; /* the application's */
	struct fns_cq_shared *ring;
	size_t bytes;
};

enum fns_service_conn_state {
	FNS_SERVICE_NEW, /* has not said hello */
	FNS_SERVICE_OPEN,
	FNS_SERVICE_DYING, /* gone; what is still in use by the engine is waited for */
};

struct fns_service_conn {
	struct fns_service_worker *w;
	uint32_t app; /* index, for engine and DMA backend */
	enum fns_service_conn_state state;
	int sock, pidfd, wake; /* -1: none */
	pid_t pid;
	uint32_t gen; /* of the entry, in epoll's data */
	struct fns_service_line *line;
	uint32_t client[FNS_SERVICE_CLIENTS]; /* the engine's; 0: unused */
	uint32_t n_rings;
	const char *doomed; /* not NULL: to be thrown out at the next opportunity, and why */
	/* An operation that the engine was too busy for, and what the application wants back. */
	bool busy;
	uint64_t since_ns; /* also: of its arrival, until it says hello */
	struct fns_service_msg msg;
	int fd; /* that came with it, -1: none */
	struct fns_cq_shared *new_ring;
	size_t new_bytes;
	struct fns_service_cq *new_cq;
	/* Messages that the socket had no room for: a circle. */
	struct fns_service_msg *out;
	uint32_t out_head, out_n, out_size;
};

struct fns_service_newcomer {
	int sock, pidfd;
	pid_t pid;
};

struct fns_service_worker {
	unsigned index;
	int cpu; /* -1: any */
	bool may_spin;
	pthread_t thread;
	struct fns_engine *engine;
	struct fns_wire *wire;
	struct fns_dma *dma;
	struct fns_stats *stats;
	int stats_fd;
	struct fns_lease lease;
	int epfd, mail; /* mail: wakes the worker */
	int to_main;    /* wakes the main thread */
	struct fns_host_hello hello;
	struct fns_lab lab;
	bool remote; /* it has the process's control socket */
	_Atomic bool stop, keeper_gone, keeper_back, lost;
	_Atomic uint32_t n_conns;
	struct fns_service_conn *conn[FNS_SERVICE_CONNS];
	struct fns_service_conn *of_client[FNS_SERVICE_OF_CLIENT]; /* by the engine's number */
	struct fns_service_cq **cq;                                /* by handle's index */
	uint32_t cq_size;
	uint32_t n_waiting; /* connections that fns_service_conns_retry() has to look at, roughly */
	uint32_t gen;
	bool armed;           /* the wire and the socket wake epoll */
	pthread_mutex_t lock; /* the mailbox */
	struct fns_service_newcomer newcomer[FNS_SERVICE_NEWCOMERS];
	unsigned n_newcomers;
};

/* --- worker.c --- */
struct fns_service_worker_cfg {
	unsigned index;
	int cpu;
	bool may_spin;
	uint16_t port;
	const char *daemon_dir;
	int to_main;
	bool remote;           /* the only one: serves `flexins fault` and `flexins capture` */
	struct fns_wire *wire; /* of tests: instead of a leased slot; becomes the worker's */
};
/* Leases a slot and makes an engine. Blocks. NULL with a sentence in err. */
struct fns_service_worker *fns_service_worker_create(
	const struct fns_service_worker_cfg *cfg, char *err, size_t errlen);
int fns_service_worker_start(struct fns_service_worker *w);
/* Ends the thread, if any, and everything. */
void fns_service_worker_destroy(struct fns_service_worker *w);
/* One round of the worker: what has happened, one advance. For tests; the thread does just that.
 * wait_ms: how long it may sleep. */
unsigned fns_service_worker_round(struct fns_service_worker *w, int wait_ms);
/* Any thread. Takes the descriptors over; false: too many wait already, and they are closed. */
bool fns_service_worker_add(struct fns_service_worker *w, int sock, pid_t pid, int pidfd);
/* Watches fd for this connection: a tag below. */
enum {
	FNS_SERVICE_EV_SOCKET = 1, /* the leased one */
	FNS_SERVICE_EV_WIRE,
	FNS_SERVICE_EV_KEEPER,
	FNS_SERVICE_EV_MAIL,
	FNS_SERVICE_EV_CONN,
	FNS_SERVICE_EV_PIDFD,
	FNS_SERVICE_EV_WAKE,
	FNS_SERVICE_EV_REMOTE,
};
int fns_service_watch(struct fns_service_worker *w, int fd, uint32_t events, uint32_t tag,
	const struct fns_service_conn *c);

/* --- conn.c; the worker's thread --- */
void fns_service_conn_new(struct fns_service_worker *w, const struct fns_service_newcomer *n);
void fns_service_conn_event(struct fns_service_conn *c, uint32_t events);
/* Its process has ended, or it is thrown out: why is for the log, NULL: it left. */
void fns_service_conn_end(struct fns_service_conn *c, const char *why);
/* To be thrown out at the next opportunity: the engine may be calling. */
void fns_service_conn_doom(struct fns_service_conn *c, const char *why);
/*
 * Never blocks, and never calls the engine. A message that cannot be sent now waits; an application
 * that does not read its messages is thrown out.
 */
void fns_service_conn_say(struct fns_service_conn *c, const struct fns_service_msg *m);
/* Tries operations again that found the engine busy, and frees what has died. */
void fns_service_conns_retry(struct fns_service_worker *w, uint64_t now_ns);
/* The engine's upcalls; ctx is the worker. */
void fns_service_comp_event(void *ctx, uint64_t channel, uint64_t cq);
void fns_service_async_event(void *ctx, const struct fns_event *ev);
/* The DMA backend's. */
bool fns_service_atomic(void *ctx, uint32_t space, uint32_t id, uint64_t addr, bool compare_swap,
	uint64_t swap_add, uint64_t compare);

/* --- op.c; likewise --- */
/* A control operation that the application asks for. Takes fd over. */
void fns_service_op_start(struct fns_service_conn *c, const struct fns_service_msg *m, int fd);
/* Asks the engine for it; answers the application unless the engine is too busy still. */
void fns_service_op_retry(struct fns_service_conn *c, uint64_t now);
/* Forgets the operation under way, and what it brought along. */
void fns_service_op_drop(struct fns_service_conn *c);
/* The engine has closed this client. */
void fns_service_client_gone(struct fns_service_conn *c, uint32_t client);

/* --- map.c --- */
/*
 * Maps the first len bytes of a memory file that can never make us fault: of the kernel's own
 * shared memory, and sealed against shrinking. NULL with a reason for the log.
 */
void *fns_service_map(int fd, size_t len, const char **why);

#endif
