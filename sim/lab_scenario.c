/* SPDX-License-Identifier: Apache-2.0 */
/* The laboratory's scenarios and distributions of flow sizes. Constant tables. */
#include <string.h>

#include "base/util.h"
#include "sim/lab.h"

#define POINTS 20u

/* Cumulative: share (1/1000000) of flows that have up to so many bytes; linear in between. */
struct lab_sizes {
	const char *source;
	unsigned n;
	struct {
		uint32_t bytes, ppm;
	} at[POINTS];
};

static const struct lab_sizes web_search = {
	.source =
		"web search: M. Alizadeh et al., \"Data Center TCP\", SIGCOMM 2010, figure 4, in the "
		"numbers that the authors of HPCC published with their simulations",
	.n = 12,
	.at = {{0, 0}, {10000, 150000}, {20000, 200000}, {30000, 300000}, {50000, 400000},
		{80000, 530000}, {200000, 600000}, {1000000, 700000}, {2000000, 800000},
		{5000000, 900000}, {10000000, 970000}, {30000000, 1000000}},
};

static const struct lab_sizes hadoop = {
	.source = "Hadoop: A. Roy et al., \"Inside the Social Network's (Datacenter) Network\", "
		  "SIGCOMM 2015, in the numbers that the authors of HPCC published with their "
		  "simulations",
	.n = 20,
	.at = {{0, 0}, {100, 10000}, {200, 20000}, {300, 50000}, {350, 150000}, {400, 200000},
		{500, 300000}, {600, 400000}, {700, 500000}, {1000, 600000}, {2000, 670000},
		{7000, 700000}, {30000, 720000}, {50000, 820000}, {80000, 870000}, {120000, 900000},
		{300000, 950000}, {1000000, 975000}, {2000000, 990000}, {10000000, 1000000}},
};

#define MS       1000000ull
#define US       1000ull
#define LOSSLESS .mark_lo = 100000, .mark_hi = 400000, .mark_ppm = 200000, .xoff_bytes = 250000

static const struct lab_scenario scenarios[] = {
	{.name = "incast",
		.text = "32 hosts send to one without end",
		.topo = "incast:32",
		.pattern = LAB_ALL_TO_FIRST,
		.rate_mbps = 100000,
		.delay_ns = 1000,
		.time_ns = 20 * MS,
		LOSSLESS,
		.timeout = 14,
		.jain_ns = 1 * MS},
	{.name = "dumbbell",
		.text = "four flows without end begin one after another and share a link",
		.topo = "dumbbell:4",
		.pattern = LAB_ACROSS,
		.rate_mbps = 40000,
		.delay_ns = 1000,
		.time_ns = 200 * MS,
		LOSSLESS,
		.stagger_pm = 40,
		.timeout = 14,
		.jain_ns = 10 * MS},
	{.name = "permutation",
		.text = "every host sends to another one without end, over leaves and spines",
		.topo = "leaf-spine:4x4x4",
		.pattern = LAB_PERMUTATION,
		.rate_mbps = 100000,
		.delay_ns = 1000,
		.time_ns = 5 * MS,
		LOSSLESS,
		.timeout = 14,
		.jain_ns = 1 * MS},
	{.name = "websearch",
		.text = "short and long flows of a web search, over leaves and spines, half a load",
		.topo = "leaf-spine:4x4x4",
		.pattern = LAB_POISSON,
		.rate_mbps = 100000,
		.delay_ns = 1000,
		.time_ns = 20 * MS,
		LOSSLESS,
		.sizes = &web_search,
		.load_pm = 500,
		.timeout = 14},
	{.name = "hadoop",
		.text = "mostly tiny flows as of Hadoop, over leaves and spines, half a load",
		.topo = "leaf-spine:4x4x4",
		.pattern = LAB_POISSON,
		.rate_mbps = 100000,
		.delay_ns = 1000,
		.time_ns = 30 * MS,
		LOSSLESS,
		.sizes = &hadoop,
		.load_pm = 500,
		.timeout = 14},
	{.name = "lossy",
		.text = "four flows without end share a link; hosts' links lose one packet in a thousand",
		.topo = "dumbbell:4",
		.pattern = LAB_ACROSS,
		.rate_mbps = 40000,
		.delay_ns = 1000,
		.time_ns = 40 * MS,
		.mark_lo = 100000,
		.mark_hi = 400000,
		.mark_ppm = 200000,
		.port_bytes = 2000000,
		.loss_ppm = 1000,
		.timeout = 8,
		.jain_ns = 4 * MS},
	{.name = "long",
		.text = "two flows without end share a link of 10 Gb/s and 20 ms there and back",
		.topo = "dumbbell:2",
		.pattern = LAB_ACROSS,
		.rate_mbps = 10000,
		.delay_ns = 3333333,
		.time_ns = 2000 * MS,
		.mark_lo = 1000000,
		.mark_hi = 4000000,
		.mark_ppm = 200000,
		.port_bytes = 50000000,
		.stagger_pm = 100,
		.timeout = 14,
		.jain_ns = 100 * MS},
	{.name = "failing",
		.text = "as permutation, and a link between switches goes down and comes back",
		.topo = "leaf-spine:4x4x4",
		.pattern = LAB_PERMUTATION,
		.rate_mbps = 100000,
		.delay_ns = 1000,
		.time_ns = 20 * MS,
		.mark_lo = 100000,
		.mark_hi = 400000,
		.mark_ppm = 200000,
		.port_bytes = 4000000,
		.fails = true,
		.timeout = 8,
		.jain_ns = 1 * MS},
};

const struct lab_scenario *lab_scenario_at(unsigned i)
{
	return i < FNS_ARRAY_SIZE(scenarios) ? &scenarios[i] : NULL;
}

const struct lab_scenario *lab_scenario_find(const char *name)
{
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(scenarios); i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

const char *lab_sizes_source(const struct lab_sizes *s)
{
	return s ? s->source : NULL;
}

uint64_t lab_sizes_mean(const struct lab_sizes *s)
{
	uint64_t sum = 0;

	for (unsigned i = 1; i < s->n; i++)
		sum += (uint64_t)(s->at[i].ppm - s->at[i - 1].ppm) *
		       (s->at[i].bytes + s->at[i - 1].bytes) / 2;
	return sum / 1000000;
}

uint64_t lab_sizes_at(const struct lab_sizes *s, uint32_t ppm)
{
	unsigned i = 1;
	uint64_t more;

	while (i + 1 < s->n && s->at[i].ppm <= ppm)
		i++;
	more = (uint64_t)(s->at[i].bytes - s->at[i - 1].bytes) * (ppm - s->at[i - 1].ppm) /
	       (s->at[i].ppm - s->at[i - 1].ppm);
	return FNS_MAX(s->at[i - 1].bytes + more, 1);
}
