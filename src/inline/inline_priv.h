/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inline placement: joins the verbs library and the engine in one process. The thread that
 * posts or polls advances the engine if nobody else does; one helper thread sleeps in epoll and
 * advances it when nobody polls. The only file that sees both sides, and the only one that names
 * the concrete backends.
 *
 * Threads: `lock` is the engine. Application threads try it and go away if it is taken, since
 * whoever holds it looks for new submissions after letting go; control operations and the helper
 * wait for it.
 *
 * Who watches the socket: `armed` means that the helper's epoll does, and then a packet wakes it. A
 * thread that polls in a tight loop disarms it (a wake-up costs more than the packet) and sets the
 * watchdog; the watchdog arms it again once polling has stopped. A program that polls now and then
 * but really spins on memory (ib_write_lat) is found out by the watchdog, which meets packets that
 * nobody fetched, again and again: then the socket stays armed for a while. (A poller that was
 * preempted now and then looks the same, but seldom.) Rings of the same-host wire are armed and
 * disarmed with the socket. The helper itself stays awake for a
 * moment while packets keep coming, as long as nobody else wants its CPU.
 */
#ifndef FNS_INLINE_INLINE_PRIV_H
#define FNS_INLINE_INLINE_PRIV_H

#include <pthread.h>

#include "base/lock.h"
#include "engine/engine.h"
#include "host/host.h"
#include "host/lab.h"
#include "host/remote.h"
#include "keeper/client.h"
#include "pipe/placement.h"

#define FNS_INLINE_RING_SLOTS 4096u
#define FNS_WATCHDOG_NS       FNS_NSEC_PER_MSEC
#define FNS_QUICK_WATCHDOG_NS (200 * FNS_NSEC_PER_USEC) /* while sends wait */
#define FNS_STREAK_POLLS      64u                       /* polls in a row that mean spinning */

/* What the helper's epoll set holds. */
enum {
	FNS_EV_SOCKET = 1,
	FNS_EV_TIMER,
	FNS_EV_KEEPER,
	FNS_EV_WIRE,   /* the wire's own descriptor */
	FNS_EV_REMOTE, /* the control socket and its connections, counted from here */
};

struct fns_inline {
	struct fns_lock lock;
	struct fns_engine *engine;
	struct fns_wire *wire;
	struct fns_dma *dma;
	struct fns_stats *stats;
	struct fns_sq_shared *ring;
	struct fns_lease lease;
	int epfd, timerfd;
	_Atomic bool armed;     /* written under lock: the helper's epoll watches the socket */
	bool in_epoll;          /* under lock: the socket is in the set, armed or fired */
	uint64_t timer_ns;      /* under lock: what timerfd is set to, UINT64_MAX: nothing */
	_Atomic uint32_t polls; /* calls of poll, for the watchdog */
	uint64_t last_poll_ns;  /* under lock: or post */
	uint32_t streak, idle;  /* under lock: polls and posts in a row; the last polls, empty */
	uint32_t corked;        /* under lock: sends left in the ring, see inline.c */
	uint64_t corked_ns;     /* under lock: since when */
	struct fns_host_hello hello;             /* helper's own, but `full`: under lock */
	uint32_t skipped;                        /* under lock: looks since the last advance */
	uint64_t holdoff_ns, no_disarm_until_ns; /* under lock: see helper() */
	/* helper's own */
	bool keeper_gone;
	uint64_t work_ns,
		no_spin_until_ns; /* last time it found something to do; see helper_spin() */
	const struct fns_placement_upcalls *up;
	struct fns_lab lab;
};

/* The process's NIC; life.c. */
extern struct fns_inline fns_here;

extern const struct fns_placement_ops fns_inline_ops; /* inline.c */

/* helper.c. These three under lock. */
void fns_helper_timer_at(uint64_t ns); /* programs the timer unless it is set to that already */
void fns_helper_watch_socket(bool on);
/* After an application thread has advanced the engine: the helper must not sleep past the next
 * deadline. */
void fns_helper_keep_deadline(void);
/* Lets the engine go. Submissions that came while it was held are ours to take: their posters went
 * away. */
void fns_inline_unlock(void);
/* hello.c; helper thread. */
void fns_hello_carry(void); /* under lock: asks about hosts that the engine wants to know of */
/* Not under lock, these two. Takes what the keeper says; false: it has died. */
bool fns_hello_take(void);
void fns_hello_lost(void); /* there is another keeper */
/* Starts the thread. cpus: what it may run on, NULL: as the caller. 0 or an errno. */
int fns_helper_start(const cpu_set_t *cpus);

#endif
