/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: completion channels, and the asynchronous events of a context. The engine raises them
 * from the thread that advances it; the application reads them. See struct fns_vchannel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "verbs/verbs_priv.h"

int fns_vchannel_init(struct fns_vchannel *ch)
{
	ch->fd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
	if (ch->fd < 0)
		return -errno;
	pthread_mutex_init(&ch->lock, NULL);
	fns_list_init(&ch->sources);
	ch->dead = false;
	return 0;
}

void fns_vchannel_fini(struct fns_vchannel *ch)
{
	close(ch->fd);
	pthread_mutex_destroy(&ch->lock);
}

void fns_vevent_source_init(struct fns_vevent_source *src, struct fns_vchannel *ch)
{
	fns_list_init(&src->node);
	src->channel = ch;
	src->pending = src->delivered = 0;
}

/* Adds a token. It cannot block: the counter holds 2^64 - 2 of them. */
static void put_token(struct fns_vchannel *ch)
{
	const uint64_t one = 1;
	ssize_t n;

	do
		n = write(ch->fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

void fns_vchannel_raise_count(struct fns_vevent_source *src)
{
	struct fns_vchannel *ch = src->channel;

	pthread_mutex_lock(&ch->lock);
	if (src->pending++ == 0)
		fns_list_push_back(&ch->sources, &src->node);
	put_token(ch);
	pthread_mutex_unlock(&ch->lock);
}

/* The same event twice, unread, is one event. */
void fns_vchannel_raise_type(struct fns_vevent_source *src, uint32_t type)
{
	struct fns_vchannel *ch = src->channel;

	pthread_mutex_lock(&ch->lock);
	if (!(src->pending & 1u << type)) {
		if (src->pending == 0)
			fns_list_push_back(&ch->sources, &src->node);
		src->pending |= 1u << type;
		put_token(ch);
	}
	pthread_mutex_unlock(&ch->lock);
}

uint32_t fns_vevent_source_fini(struct fns_vevent_source *src)
{
	struct fns_vchannel *ch = src->channel;
	uint32_t delivered;

	if (!ch)
		return 0;
	pthread_mutex_lock(&ch->lock);
	if (src->pending) {
		/*
		 * Their tokens stay in the descriptor: a reader that finds a token but no event
		 * waits on. Taking them out here could block, since a reader may be between its
		 * token and this lock.
		 */
		fns_list_remove(&src->node);
		src->pending = 0;
	}
	delivered = src->delivered;
	pthread_mutex_unlock(&ch->lock);
	return delivered;
}

/*
 * Waits for a token and takes the first waiting source, with its lock held; NULL with errno (EAGAIN
 * when the application made the descriptor non-blocking, EIO when the device is dead and nothing
 * waits).
 */
static struct fns_vevent_source *next_source_locked(struct fns_vchannel *ch)
{
	for (;;) {
		uint64_t token;
		bool dead;
		ssize_t n = read(ch->fd, &token, sizeof(token));

		if (n != (ssize_t)sizeof(token))
			return NULL;
		pthread_mutex_lock(&ch->lock);
		if (!fns_list_empty(&ch->sources))
			return fns_container_of(
				fns_list_pop_front(&ch->sources), struct fns_vevent_source, node);
		dead = ch->dead;
		if (dead)
			put_token(ch); /* for whoever asks next */
		pthread_mutex_unlock(&ch->lock);
		if (dead) {
			errno = EIO;
			return NULL;
		}
	}
}

/* Upcalls. The cookies are pointers to our own objects; the engine has forgotten them before they
 * are freed. */

static void comp_event(uint64_t channel, uint64_t cq)
{
	if (channel)
		fns_vchannel_raise_count(&((struct fns_vcq *)(uintptr_t)cq)->comp);
}

static void kill_channel(struct fns_vchannel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->dead = true;
	put_token(ch);
	pthread_mutex_unlock(&ch->lock);
}

/* Its engine is gone: the application is told, and who waits for completions is woken. */
static void device_fatal(struct fns_vcontext *ctx)
{
	struct fns_list *it;

	fns_vchannel_raise_type(&ctx->fatal, FNS_EVENT_DEVICE_FATAL);
	kill_channel(&ctx->async);
	pthread_mutex_lock(&ctx->v.context.mutex);
	fns_list_for_each (it, &ctx->comp_channels)
		kill_channel(&fns_container_of(it, struct fns_vcomp_channel, node)->ch);
	pthread_mutex_unlock(&ctx->v.context.mutex);
}

static void async_event(const struct fns_event *ev)
{
	void *obj = (void *)(uintptr_t)ev->cookie;

	switch (ev->type) {
	case FNS_EVENT_DEVICE_FATAL:
		device_fatal(obj);
		break;
	case FNS_EVENT_CQ_ERR:
		fns_vchannel_raise_type(&((struct fns_vcq *)obj)->async, ev->type);
		break;
	case FNS_EVENT_SRQ_ERR:
	case FNS_EVENT_SRQ_LIMIT_REACHED:
		fns_vchannel_raise_type(&((struct fns_vsrq *)obj)->async, ev->type);
		break;
	case FNS_EVENT_QP_FATAL:
	case FNS_EVENT_QP_REQ_ERR:
	case FNS_EVENT_QP_ACCESS_ERR:
	case FNS_EVENT_COMM_EST:
	case FNS_EVENT_SQ_DRAINED:
	case FNS_EVENT_QP_LAST_WQE_REACHED:
		fns_vchannel_raise_type(&((struct fns_vqp *)obj)->async, ev->type);
		break;
	default:
		break;
	}
}

const struct fns_placement_upcalls fns_verbs_upcalls = {
	.comp_event = comp_event,
	.async_event = async_event,
};

/* Completion channels. */

FNS_EXPORT struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct fns_vcomp_channel *cc;
	int err;

	if (!fns_placement_alive())
		return fns_verbs_null(-EIO);
	cc = calloc(1, sizeof(*cc));
	if (!cc)
		return fns_verbs_null(-ENOMEM);
	err = fns_vchannel_init(&cc->ch);
	if (err) {
		free(cc);
		return fns_verbs_null(err);
	}
	cc->ibv.context = context;
	cc->ibv.fd = cc->ch.fd;
	pthread_mutex_lock(&context->mutex);
	fns_list_push_back(&fns_ctx(context)->comp_channels, &cc->node);
	pthread_mutex_unlock(&context->mutex);
	return &cc->ibv;
}

FNS_EXPORT int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	struct fns_vcomp_channel *cc = fns_container_of(channel, struct fns_vcomp_channel, ibv);

	/* In a forked child the queues that use it were not really destroyed. */
	if (fns_placement_alive() && atomic_load(&cc->refs) != 0)
		return fns_verbs_err(-EBUSY);
	/* A lock that a forked child has may never be given back. */
	if (fns_placement_alive()) {
		pthread_mutex_lock(&channel->context->mutex);
		fns_list_remove(&cc->node);
		pthread_mutex_unlock(&channel->context->mutex);
	}
	fns_vchannel_fini(&cc->ch);
	free(cc);
	return 0;
}

FNS_EXPORT int ibv_get_cq_event(
	struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cq_context)
{
	struct fns_vcomp_channel *cc = fns_container_of(channel, struct fns_vcomp_channel, ibv);
	struct fns_vevent_source *src;
	struct fns_vcq *c;

	if (!fns_placement_alive()) {
		errno = EIO;
		return -1;
	}
	src = next_source_locked(&cc->ch);
	if (!src)
		return -1;
	c = fns_container_of(src, struct fns_vcq, comp);
	src->delivered++;
	if (--src->pending > 0)
		fns_list_push_back(&cc->ch.sources, &src->node);
	pthread_mutex_unlock(&cc->ch.lock);
	*cq = &c->ibv;
	*cq_context = c->ibv.cq_context;
	return 0;
}

FNS_EXPORT void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int nevents)
{
	if (!fns_placement_alive())
		return;
	pthread_mutex_lock(&cq->mutex);
	cq->comp_events_completed += nevents;
	pthread_cond_signal(&cq->cond);
	pthread_mutex_unlock(&cq->mutex);
}

/* Asynchronous events. */

static void fill_event(struct fns_vevent_source *src, uint32_t type, struct ibv_async_event *event)
{
	switch (type) {
	case FNS_EVENT_CQ_ERR:
		event->element.cq = &fns_container_of(src, struct fns_vcq, async)->ibv;
		break;
	case FNS_EVENT_SRQ_ERR:
	case FNS_EVENT_SRQ_LIMIT_REACHED:
		event->element.srq = &fns_container_of(src, struct fns_vsrq, async)->ibv;
		break;
	case FNS_EVENT_DEVICE_FATAL:
		memset(&event->element, 0, sizeof(event->element));
		break;
	default:
		event->element.qp = &fns_container_of(src, struct fns_vqp, async)->ibv;
		break;
	}
	event->event_type = (enum ibv_event_type)type;
}

FNS_EXPORT int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
	struct fns_vcontext *ctx = fns_ctx(context);
	struct fns_vchannel *ch = &ctx->async;
	struct fns_vevent_source *src;
	uint32_t type;

	/* That the device is dead is an event as well, to be read once. */
	if (!fns_placement_alive() && !ctx->fatal.pending) {
		errno = EIO;
		return -1;
	}
	src = next_source_locked(ch);
	if (!src)
		return -1;
	type = (uint32_t)__builtin_ctz(src->pending);
	src->delivered++;
	src->pending &= ~(1u << type);
	if (src->pending)
		fns_list_push_back(&ch->sources, &src->node);
	fill_event(src, type, event);
	pthread_mutex_unlock(&ch->lock);
	return 0;
}

FNS_EXPORT void ibv_ack_async_event(struct ibv_async_event *event)
{
	pthread_mutex_t *mutex;
	pthread_cond_t *cond;
	uint32_t *count;

	if (!fns_placement_alive())
		return;
	switch (event->event_type) {
	case IBV_EVENT_CQ_ERR:
		mutex = &event->element.cq->mutex;
		cond = &event->element.cq->cond;
		count = &event->element.cq->async_events_completed;
		break;
	case IBV_EVENT_SRQ_ERR:
	case IBV_EVENT_SRQ_LIMIT_REACHED:
		mutex = &event->element.srq->mutex;
		cond = &event->element.srq->cond;
		count = &event->element.srq->events_completed;
		break;
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
	case IBV_EVENT_COMM_EST:
	case IBV_EVENT_SQ_DRAINED:
	case IBV_EVENT_PATH_MIG:
	case IBV_EVENT_PATH_MIG_ERR:
	case IBV_EVENT_QP_LAST_WQE_REACHED:
		mutex = &event->element.qp->mutex;
		cond = &event->element.qp->cond;
		count = &event->element.qp->events_completed;
		break;
	default:
		return;
	}
	pthread_mutex_lock(mutex);
	(*count)++;
	pthread_cond_signal(cond);
	pthread_mutex_unlock(mutex);
}
