/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs library calls: the thread that posts or polls advances the engine. */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/offload.h"
#include "inline/inline_priv.h"

/* From here on every 16th empty poll lets others run: the peer may need this CPU. */
#define YIELD_POLLS   256u
#define SKIP_POLLS    8u /* empty looks between two advances at most */
#define LOOKS         8u /* of one of those */
#define STREAK_GAP_NS (50 * FNS_NSEC_PER_USEC)
/* So many sends, or for so long, may wait for the next call. */
#define CORK_SENDS    16u
#define CORK_NS       (10 * FNS_NSEC_PER_USEC)
#define CONTROL_TRIES 2000u /* of 1 ms each */

/* Submissions that came while the lock was held are ours to take: their posters went away. */
void fns_inline_unlock(void)
{
	for (;;) {
		fns_lock_release(&fns_here.lock); /* a fence, see inline_submitted() */
		if (!fns_engine_submissions_pending(fns_here.engine) ||
			!fns_lock_try(&fns_here.lock))
			return;
		fns_here.corked = 0;
		fns_engine_advance(fns_here.engine, fns_clock_quick_ns(), FNS_ADVANCE_SUBMIT);
		fns_helper_keep_deadline();
	}
}

/* Under lock: a thread came by. Once threads come in quick succession they fetch the packets, not
 * the helper. */
static void came_by(uint64_t now)
{
	fns_here.streak = now - fns_here.last_poll_ns < STREAK_GAP_NS ? fns_here.streak + 1 : 0;
	fns_here.last_poll_ns = now;
	if (fns_here.armed && fns_here.streak >= FNS_STREAK_POLLS &&
		now >= fns_here.no_disarm_until_ns) {
		fns_helper_watch_socket(false);
		fns_helper_timer_at(now + FNS_WATCHDOG_NS);
	}
}

/*
 * Under lock: may these sends wait in the ring, so that more of them leave in one train? Only while
 * the thread keeps coming by (its next poll takes them; should it stop, the watchdog does, and then
 * nothing waits for a while), and while acknowledgements are due anyway: what finds the wire idle
 * leaves at once.
 */
static bool may_cork(uint32_t sends, uint64_t now)
{
	if (fns_here.armed || sends == FNS_SUBMITTED_ALL || fns_here.corked + sends > CORK_SENDS ||
		(fns_here.corked && now - fns_here.corked_ns > CORK_NS) ||
		!fns_engine_in_flight(fns_here.engine))
		return false;
	if (!fns_here.corked) {
		fns_here.corked_ns = now;
		if (fns_here.timer_ns > now + FNS_QUICK_WATCHDOG_NS)
			fns_helper_timer_at(now + FNS_QUICK_WATCHDOG_NS);
	}
	fns_here.corked += sends;
	return true;
}

static void inline_submitted(uint32_t sends)
{
	unsigned what = FNS_ADVANCE_SUBMIT;
	uint64_t now;

	/* Whoever receives takes receive requests first. Who arms looks for them after the fence of
	 * fns_inline_unlock(), we look here after that of the ring's lock: one sees the other. */
	if (sends == 0 && !atomic_load_explicit(&fns_here.armed, memory_order_relaxed))
		return;
	/* The attempt is a fence, as is the release in fns_inline_unlock(): either we get the lock
	 * or its holder sees the descriptor. */
	if (!fns_lock_try(&fns_here.lock))
		return;
	now = fns_clock_quick_ns();
	if (sends) {
		atomic_fetch_add_explicit(&fns_here.polls, 1, memory_order_relaxed);
		came_by(now);
		if (may_cork(sends, now)) {
			fns_lock_release(&fns_here.lock);
			return;
		}
	}
	/* Who only posts must receive now and then all the same. */
	if (!fns_here.armed && (fns_here.corked || sends >= CORK_SENDS))
		what |= FNS_ADVANCE_RECEIVE;
	fns_here.corked = 0;
	fns_engine_advance(fns_here.engine, now, what);
	fns_helper_keep_deadline();
	fns_inline_unlock();
}

/* A few looks: that costs less than to come by again. */
static bool maybe(struct fns_wire *w)
{
	for (unsigned i = 0; i < LOOKS; i++)
		if (w->ops->maybe(w))
			return true;
	return false;
}

static bool inline_poll(void)
{
	bool yield, worked;
	uint64_t now;

	/* Only whether it moves counts: threads may overwrite each other. */
	atomic_store_explicit(&fns_here.polls,
		atomic_load_explicit(&fns_here.polls, memory_order_relaxed) + 1,
		memory_order_relaxed);
	if (!fns_lock_try(&fns_here.lock))
		return true;
	/* In a tight loop, most looks at a wire that can tell need no more than its word. */
	if (fns_here.streak >= FNS_STREAK_POLLS && fns_here.skipped < SKIP_POLLS &&
		!maybe(fns_here.wire)) {
		fns_here.skipped++;
		fns_inline_unlock();
		return false;
	}
	fns_here.skipped = 0;
	now = fns_clock_quick_ns();
	fns_here.corked = 0;
	worked = fns_engine_advance(fns_here.engine, now, FNS_ADVANCE_ALL | FNS_ADVANCE_LAZY);
	fns_here.idle = worked ? 0 : fns_here.idle + 1;
	yield = fns_here.idle >= YIELD_POLLS && fns_here.idle % 16 == 0;
	came_by(now);
	fns_helper_keep_deadline();
	fns_inline_unlock();
	if (yield)
		sched_yield();
	return worked;
}

static void inline_will_sleep(void)
{
	if (!fns_lock_try(&fns_here.lock))
		return;
	fns_here.streak = 0;
	if (!fns_here.armed) {
		fns_helper_watch_socket(true);
		fns_helper_keep_deadline();
	}
	fns_inline_unlock();
}

/* Verified and compiled in the caller's thread, while the engine runs. */
static int load_handler(struct fns_ctl *msg)
{
	msg->load.name[sizeof(msg->load.name) - 1] = '\0';
	msg->result = fns_host_offload_load(&fns_here.lab, msg->load.name,
		(const void *)(uintptr_t)msg->load.elf, msg->load.len,
		(char *)(uintptr_t)msg->load.say, msg->load.say_len);
	return msg->result;
}

static int inline_control(struct fns_ctl *msg)
{
	unsigned tries = 0;

	if (msg->op == FNS_CTL_OFFLOAD_LOAD)
		return load_handler(msg);

	for (;;) {
		uint64_t now = fns_clock_now_ns();

		fns_lock_take(&fns_here.lock);
		fns_engine_control(fns_here.engine, msg, now);
		fns_engine_advance(fns_here.engine, now, FNS_ADVANCE_ALL);
		fns_helper_keep_deadline();
		fns_inline_unlock();
		if (msg->result != -EAGAIN || ++tries >= CONTROL_TRIES)
			return msg->result;
		usleep(1000);
	}
}

static struct fns_sq_shared *inline_sq(uint32_t *nslots)
{
	*nslots = FNS_INLINE_RING_SLOTS;
	return fns_here.ring;
}

const struct fns_placement_ops fns_inline_ops = {
	.control = inline_control,
	.sq = inline_sq,
	.submitted = inline_submitted,
	.poll = inline_poll,
	.will_sleep = inline_will_sleep,
	.now_ns = fns_clock_now_ns,
};
