/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the card cost: see card.h. Arithmetic of integers only. */
#include "smartnic/card.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/util.h"

struct fns_snic *fns_snic_create(struct fns_vt *vt, const struct fns_snic_params *p)
{
	struct fns_snic *s = calloc(1, sizeof(*s));

	fns_assert(s);
	s->vt = vt;
	s->p = *p;
	s->cache = fns_snic_cache_create(
		(uint64_t)p->cache_kb << 10, p->cache_ways, p->stash, p->stash_ways);
	fns_assert(s->cache);
	return s;
}

void fns_snic_destroy(struct fns_snic *s)
{
	if (!s)
		return;
	fns_snic_cache_destroy(s->cache);
	free(s);
}

uint64_t fns_snic_pcie_bytes(const struct fns_snic *s, uint64_t bytes)
{
	return bytes + FNS_DIV_UP(bytes, s->p.pcie_payload) * s->p.pcie_header;
}

void fns_snic_stage_host(struct fns_snic *s, struct fns_job *j, uint64_t bytes, bool to_host)
{
	uint64_t dur = fns_ps_of_bytes(fns_snic_pcie_bytes(s, bytes), s->p.pcie_gbps);

	if (!bytes)
		return;
	fns_job_stage(j, to_host ? &s->pcie_out : &s->pcie_in, dur);
	*(to_host ? &s->n.host_written : &s->n.host_read) += bytes;
	s->n.pcie_ops++;
}

void fns_snic_stage_arm(struct fns_snic *s, struct fns_job *j, uint64_t bytes, bool to_arm)
{
	uint64_t dur = fns_ps_of_bytes(fns_snic_pcie_bytes(s, bytes), s->p.arm_gbps);

	fns_job_stage(j, to_arm || s->p.arm_shared ? &s->arm_in : &s->arm_out, dur);
	*(to_arm ? &s->n.arm_in : &s->n.arm_out) += bytes;
}

static uint64_t touch(
	struct fns_snic *s, enum fns_snic_access kind, const void *p, size_t len, uint64_t *misses)
{
	struct fns_snic_traffic before = s->n.mem;

	fns_snic_cache_access(s->cache, kind, p, len, &s->n.mem);
	*misses = s->n.mem.misses - before.misses;
	return s->n.mem.dram_read - before.dram_read + s->n.mem.dram_written - before.dram_written;
}

void fns_snic_stage_mem(
	struct fns_snic *s, struct fns_job *j, enum fns_snic_access kind, const void *p, size_t len)
{
	uint64_t misses, bytes = touch(s, kind, p, len, &misses);

	fns_job_stage(j, &s->dram, fns_ps_of_bytes(bytes, s->p.dram_gbps));
}

void fns_snic_stage_nic(struct fns_snic *s, struct fns_job *j, uint64_t bytes, bool tx)
{
	fns_job_stage(j, tx ? &s->nic_tx : &s->nic_rx,
		FNS_MAX(fns_ps_of_bytes(bytes, s->p.nic_gbps), fns_ps_of_ops(1, s->p.nic_mpps)));
}

static void core_touch(
	struct fns_snic_core *c, enum fns_snic_access kind, const void *p, size_t len)
{
	struct fns_snic *s = c->card;
	uint64_t misses, bytes;

	if (!s)
		return;
	bytes = touch(s, kind, p, len, &misses);
	if (!bytes)
		return;
	fns_server_take(&s->dram, s->vt->now_ps, fns_ps_of_bytes(bytes, s->p.dram_gbps));
	if (kind == FNS_SNIC_READ)
		fns_snic_core_spend(c, misses * s->p.dram_ns);
}

void fns_snic_core_read(struct fns_snic_core *c, const void *p, size_t len)
{
	core_touch(c, FNS_SNIC_READ, p, len);
}

/* Stores do not wait: the core has a store buffer. */
void fns_snic_core_write(struct fns_snic_core *c, const void *p, size_t len)
{
	core_touch(c, FNS_SNIC_CPU_WRITE, p, len);
}

/* One transfer that nobody waits for in particular. */
static void transfer(struct fns_snic *s, uint64_t bytes, bool to_host, bool engine)
{
	uint64_t dur = fns_ps_of_bytes(fns_snic_pcie_bytes(s, bytes), s->p.pcie_gbps);
	uint64_t arm = fns_ps_of_bytes(fns_snic_pcie_bytes(s, bytes), s->p.arm_gbps);

	s->n.pcie_ops++;
	fns_server_take(to_host ? &s->pcie_out : &s->pcie_in, s->vt->now_ps, dur);
	fns_server_take(!to_host || s->p.arm_shared ? &s->arm_in : &s->arm_out, s->vt->now_ps, arm);
	*(to_host ? &s->n.host_written : &s->n.host_read) += bytes;
	*(to_host ? &s->n.arm_out : &s->n.arm_in) += bytes;
	if (engine) {
		s->n.dma_ops++;
		fns_server_take(&s->dma, s->vt->now_ps, fns_ps_of_ops(1, s->p.dma_mops));
	}
}

uint64_t fns_snic_pipe_down(struct fns_snic *s, enum fns_snic_pipe pipe, uint32_t descriptors)
{
	uint32_t i;

	if (pipe == FNS_SNIC_PIPE_PHASE) {
		/* One write each into the mirror in NIC memory; phase bits make them valid. */
		for (i = 0; i < descriptors; i++)
			transfer(s, FNS_SNIC_LINE, false, true);
		return s->p.dma_ns + s->p.pcie_write_ns;
	}
	/* A doorbell from the host; then the card reads the index, and behind it the lines. */
	transfer(s, 8, false, false);
	transfer(s, 8, false, true);
	for (i = 0; i < descriptors; i++)
		transfer(s, FNS_SNIC_LINE, false, true);
	return s->p.pcie_write_ns + 2ull * (s->p.dma_ns + s->p.pcie_read_ns);
}

uint64_t fns_snic_pipe_up(struct fns_snic *s, enum fns_snic_pipe pipe, uint32_t completions)
{
	uint32_t i;

	for (i = 0; i < completions; i++)
		transfer(s, FNS_SNIC_LINE, true, true);
	if (pipe == FNS_SNIC_PIPE_PHASE)
		return s->p.dma_ns + s->p.pcie_write_ns;
	/* The index in host memory: read to see that there is room, written to say how far. */
	transfer(s, 8, false, true);
	transfer(s, 8, true, true);
	return s->p.dma_ns + s->p.pcie_read_ns + 2ull * (s->p.dma_ns + s->p.pcie_write_ns);
}

void fns_snic_pipe_credit(struct fns_snic *s, bool to_host)
{
	transfer(s, 8, to_host, true);
}
