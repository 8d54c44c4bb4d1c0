/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DMA backend of the emulated SmartNIC: place, fetch and atomic really happen, when the job
 * that stands for them has passed the card. Owns the operations; the caller owns tokens and
 * buffers. At most OPS are in flight, more get -EAGAIN.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/util.h"
#include "smartnic/card.h"

#define OPS 4096u

enum kind {
	PLACE,
	FETCH,
	ATOMIC
};

struct op {
	struct fns_job job; /* first */
	struct nicdma *d;
	struct op *next; /* free, or done and not yet polled */
	struct fns_dma_token *token;
	struct fns_memref ref;
	const void *src;
	void *dst;
	uint64_t swap_add, compare;
	uint8_t kind;
	bool compare_swap;
	int result;
};

struct nicdma {
	struct fns_dma dma;   /* first */
	struct fns_dma *host; /* the memory itself */
	struct fns_snic_core *core;
	bool gather, rdma;
	uint32_t inflight; /* not yet polled */
	struct op *free, *done, **done_tail;
	struct op op[OPS];
};

static struct nicdma *to_nic(struct fns_dma *d)
{
	return fns_container_of(d, struct nicdma, dma);
}

static int run(struct op *o)
{
	struct fns_dma *host = o->d->host;

	switch (o->kind) {
	case PLACE:
		return host->ops->place(host, o->ref, o->src, o->token);
	case FETCH:
		return host->ops->fetch(host, o->ref, o->dst, o->token);
	default:
		return host->ops->atomic(
			host, o->ref, o->compare_swap, o->swap_add, o->compare, o->token);
	}
}

static void finished(struct fns_job *j)
{
	struct op *o = (struct op *)j;
	struct nicdma *d = o->d;

	o->result = run(o);
	o->next = NULL;
	*d->done_tail = o;
	d->done_tail = &o->next;
	d->core->wake(d->core);
}

/* Every operation passes the engine that does it, the link to Arm memory, and the host's PCIe. */
static void charge(struct nicdma *d, struct op *o)
{
	struct fns_snic *s = d->core->card;
	struct fns_job *j = &o->job;
	uint32_t len = o->ref.len;

	fns_job_init(j, s->vt, finished);
	switch (o->kind) {
	case FETCH:
		if (d->rdma) {
			fns_snic_core_spend(d->core, s->p.core_rdma_ns);
			s->n.rdma_ops++;
			fns_job_stage(j, &s->rdma, fns_ps_of_ops(1, s->p.rdma_mops));
			fns_snic_stage_host(s, j, len, false);
			/* Response packets leave and come in again within the NIC. */
			fns_snic_stage_nic(s, j, len + s->p.link_overhead, true);
			fns_snic_stage_nic(s, j, len + s->p.link_overhead, false);
			j->latency_ps = s->p.rdma_ns;
		} else {
			fns_snic_core_spend(d->core, s->p.core_dma_ns);
			s->n.dma_ops++;
			fns_job_stage(j, &s->dma, fns_ps_of_ops(1, s->p.dma_mops));
			fns_snic_stage_host(s, j, len, false);
			j->latency_ps = s->p.dma_ns;
		}
		fns_snic_stage_arm(s, j, len, true);
		fns_snic_stage_mem(s, j, FNS_SNIC_NIC_WRITE, o->dst, len);
		j->latency_ps += s->p.pcie_read_ns;
		break;
	case PLACE:
		fns_snic_core_spend(d->core, s->p.core_dma_ns);
		s->n.dma_ops++;
		fns_job_stage(j, &s->dma, fns_ps_of_ops(1, s->p.dma_mops));
		fns_snic_stage_mem(s, j, FNS_SNIC_READ, o->src, len);
		fns_snic_stage_arm(s, j, len, false);
		fns_snic_stage_host(s, j, len, true);
		j->latency_ps = s->p.dma_ns + s->p.pcie_write_ns;
		break;
	default: /* a PCIe atomic: there and back */
		fns_snic_core_spend(d->core, s->p.core_dma_ns);
		s->n.dma_ops++;
		fns_job_stage(j, &s->dma, fns_ps_of_ops(1, s->p.dma_mops));
		fns_snic_stage_host(s, j, len, false);
		j->latency_ps = s->p.dma_ns + s->p.pcie_read_ns;
		break;
	}
	j->latency_ps *= FNS_PS_PER_NS;
}

static int submit(struct nicdma *d, const struct op *want)
{
	struct op *o = d->free;

	if (!o)
		return -EAGAIN;
	d->free = o->next;
	*o = *want;
	o->d = d;
	d->inflight++;
	charge(d, o);
	fns_job_start(&o->job, fns_snic_core_now(d->core));
	return FNS_DMA_PENDING;
}

static int nic_import(struct fns_dma *base, uint32_t space, uint64_t addr, uint64_t len,
	bool writable, struct fns_region **out)
{
	struct nicdma *d = to_nic(base);
	int rc = d->host->ops->import(d->host, space, addr, len, writable, out);

	if (rc == 0 && !d->gather)
		(*out)->near_base = NULL;
	return rc;
}

static void nic_release(struct fns_dma *base, struct fns_region *r)
{
	to_nic(base)->host->ops->release(to_nic(base)->host, r);
}

static int nic_place(
	struct fns_dma *base, struct fns_memref ref, const void *src, struct fns_dma_token *t)
{
	const struct op o = {.kind = PLACE, .ref = ref, .src = src, .token = t};

	return ref.len ? submit(to_nic(base), &o) : FNS_DMA_DONE;
}

static int nic_fetch(
	struct fns_dma *base, struct fns_memref ref, void *dst, struct fns_dma_token *t)
{
	const struct op o = {.kind = FETCH, .ref = ref, .dst = dst, .token = t};

	return ref.len ? submit(to_nic(base), &o) : FNS_DMA_DONE;
}

static int nic_atomic(struct fns_dma *base, struct fns_memref ref, bool compare_swap,
	uint64_t swap_add, uint64_t compare, struct fns_dma_token *t)
{
	const struct op o = {.kind = ATOMIC,
		.ref = ref,
		.compare_swap = compare_swap,
		.swap_add = swap_add,
		.compare = compare,
		.token = t};

	if (ref.len != 8 || ((ref.region->addr + ref.off) & 7))
		return -EINVAL;
	return submit(to_nic(base), &o);
}

/* Those done by now; what they submit in turn is done later. */
static unsigned nic_poll(struct fns_dma *base, uint64_t now_ns)
{
	struct nicdma *d = to_nic(base);
	struct op *o = d->done;
	unsigned n = 0;

	(void)now_ns; /* jobs know when */
	d->done = NULL;
	d->done_tail = &d->done;
	while (o) {
		struct op *next = o->next;
		struct fns_dma_token *t = o->token;
		int result = o->result;

		o->next = d->free;
		d->free = o;
		d->inflight--;
		t->done(t, result);
		o = next;
		n++;
	}
	return n;
}

static uint64_t nic_next(struct fns_dma *base)
{
	return to_nic(base)->done ? 0 : UINT64_MAX;
}

static bool nic_cancel(struct fns_dma *base, struct fns_dma_token *t)
{
	(void)base;
	(void)t;
	return false;
}

static void nic_destroy(struct fns_dma *base)
{
	if (!base)
		return;
	to_nic(base)->host->ops->destroy(to_nic(base)->host);
	free(to_nic(base));
}

static const struct fns_dma_ops nic_ops = {
	.name = "emulated SmartNIC",
	.caps = {.completes_inline = false, .ordered = false},
	.import = nic_import,
	.release = nic_release,
	.place = nic_place,
	.fetch = nic_fetch,
	.atomic = nic_atomic,
	.poll = nic_poll,
	.next = nic_next,
	.cancel = nic_cancel,
	.destroy = nic_destroy,
};

struct fns_dma *fns_snic_dma_create(struct fns_snic_core *core, bool gather, bool rdma)
{
	struct nicdma *d = calloc(1, sizeof(*d));
	uint32_t i;

	fns_assert(d && core->card);
	d->dma.ops = &nic_ops;
	d->host = fns_dma_direct_create();
	fns_assert(d->host);
	d->core = core;
	d->gather = gather;
	d->rdma = rdma;
	d->done_tail = &d->done;
	for (i = OPS; i-- > 0;) {
		d->op[i].next = d->free;
		d->free = &d->op[i];
	}
	return &d->dma;
}
