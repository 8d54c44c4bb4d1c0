/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the same-host wire: two of them in one process, as two processes have them. */
#ifndef TESTS_UNIT_WIRE_SHM_PAIR_H
#define TESTS_UNIT_WIRE_SHM_PAIR_H

#include "udp_pair.h"
#include "wire/shm_priv.h"

struct shm_end {
	struct fns_wire *w;
	struct fns_stats *stats;
	uint64_t now;
};

struct shm_pair {
	struct shm_end a, b;
	struct fns_gid gid;
	struct fns_path *ab;
	struct fns_rx_view views[FNS_RX_BATCH];
	unsigned n;
};

/* The abstract names of tests that run beside each other differ by this; a fork's child keeps it.
 */
static inline uint16_t shm_port(void)
{
	static uint16_t port;

	if (port == 0)
		port = (uint16_t)(20000 + getpid() % 40000);
	return port;
}

static inline struct fns_stats *stats_make(void)
{
	void *p = mmap(NULL, sizeof(struct fns_stats), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static inline void shm_end_make(struct shm_end *e, uint8_t prefix)
{
	const struct fns_wire_shm_cfg cfg = {.port = shm_port(), .prefix = prefix};

	e->w = fns_wire_shm_create(&cfg);
	assert_non_null(e->w);
	e->stats = stats_make();
	e->now = 1;
	e->w->stats = e->stats;
	e->w->now_ns = &e->now;
}

static inline void shm_end_free(struct shm_end *e)
{
	if (e->w)
		e->w->ops->destroy(e->w);
	munmap(e->stats, sizeof(*e->stats));
}

static inline int shm_path(struct shm_pair *p, uint8_t tos, struct fns_path **out)
{
	return p->a.w->ops->path_get(p->a.w, &p->gid, &p->gid, 0, PREFIX_B, tos, 64, out);
}

/* a has a path to b; b has not looked yet. */
static inline struct shm_pair *shm_pair_make(void)
{
	struct shm_pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->gid = gid_of(false);
	shm_end_make(&p->a, PREFIX_A);
	shm_end_make(&p->b, PREFIX_B);
	assert_int_equal(shm_path(p, 0, &p->ab), 0);
	return p;
}

static inline void shm_pair_free(struct shm_pair *p)
{
	shm_end_free(&p->a);
	shm_end_free(&p->b);
	free(p);
}

static inline uint64_t shm_count_of(const struct shm_end *e, enum fns_counter c)
{
	return atomic_load(&e->stats->counter[c]);
}

static inline unsigned shm_rx(struct shm_pair *p)
{
	p->b.w->ops->events(p->b.w);
	p->n = p->b.w->ops->rx_burst(p->b.w, p->views, FNS_RX_BATCH);
	return p->n;
}

static inline void shm_release(struct shm_pair *p)
{
	for (unsigned i = 0; i < p->n; i++)
		p->b.w->ops->rx_release(p->b.w, &p->views[i]);
	p->n = 0;
}

/* Sends len bytes of payload; how many frames were taken. */
static inline unsigned shm_send(struct shm_pair *p, uint32_t psn, const uint8_t *buf, uint32_t len)
{
	const struct fns_sg sg = {.addr = buf, .len = len};
	struct fns_frame f;

	frame_make(&f, p->ab, psn, &sg, 1);
	return p->a.w->ops->tx_burst(p->a.w, &f, 1);
}

static inline struct shm_out *shm_out_of(struct shm_pair *p)
{
	return ((struct shm_path *)(void *)p->ab)->out;
}

static inline struct shm_in *shm_first_in(const struct shm_end *e)
{
	const struct shm_wire *w = (const struct shm_wire *)(const void *)e->w;

	assert_false(fns_list_empty(&w->in));
	return fns_container_of(w->in.next, struct shm_in, node);
}

static inline uint32_t shm_links(const struct shm_end *e)
{
	return ((const struct shm_wire *)(const void *)e->w)->nin;
}

/* Is its descriptor readable within so many ms? */
static inline bool shm_readable(const struct shm_end *e, int ms)
{
	struct pollfd pfd = {.fd = e->w->ops->fd(e->w), .events = POLLIN};

	return poll(&pfd, 1, ms) == 1;
}

#endif
