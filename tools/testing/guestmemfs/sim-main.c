// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints how fragmented pools are after simulated days. For people who want to know the effect of a
 * change of the allocator.
 */
#include <stdio.h>

#include "sim.h"

static const struct {
	const char *name;
	struct sim_day day;
} days[] = {
	{ "mixed", { 4096, 512, 400, 95, 40, 30, 1 } },
	{ "mixed, another seed", { 4096, 512, 400, 95, 40, 30, 2 } },
	{ "all in steps of 2 MiB", { 4096, 512, 400, 95, 100, 0, 3 } },
	{ "no steps, no balloons", { 4096, 512, 400, 95, 0, 0, 4 } },
	{ "many balloons", { 4096, 512, 400, 95, 40, 100, 5 } },
	{ "small machines", { 4096, 8, 4000, 95, 60, 30, 6 } },
	{ "nothing to spare", { 4096, 512, 400, 99, 40, 30, 7 } },
};

int main(void)
{
	unsigned int i;

	printf("%-22s %5s %7s | %6s %7s %6s | %8s %11s %6s\n", "day", "files", "extents", "1 GiB",
	       "at best", "mean", "free", "full groups", "mean");
	for (i = 0; i < ARRAY_SIZE(days); i++) {
		struct sim_result r;

		sim_run(&days[i].day, &r);
		printf("%-22s %5u %7llu | %5.1f%% %6.1f%% %5.1f%% | %4u GiB %11u %5.1f%%\n",
		       days[i].name, r.files, (unsigned long long)r.extents,
		       100.0 * r.whole / r.blocks, 100.0 * r.could / r.blocks, r.mean,
		       r.free_blocks / 512, r.full_groups, r.mean_full);
	}
	return 0;
}
