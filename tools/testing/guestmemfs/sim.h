/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_SIM_H
#define _GUESTMEMFS_TEST_SIM_H

#include <linux/types.h>

/**
 * struct sim_day - what happens on a day
 * @gib: size of the pool
 * @largest: the largest virtual machine, in GiB
 * @starts: how many of them are started
 * @used_percent: how much of the pool is in use, as long as that can be had
 * @in_turn: percentage of those that are faulted in blocks of 2 MiB, some in turn
 * @balloons: percentage of starts after which one machine gives memory back
 * @seed: makes the day
 */
struct sim_day {
	u32 gib;
	u32 largest;
	u32 starts;
	u32 used_percent;
	u32 in_turn;
	u32 balloons;
	u64 seed;
};

/**
 * struct sim_result - what the memory is like in the end, balloons being empty
 * @blocks: blocks that machines have
 * @could: those in groups that a machine covers, so that they could at best be
 * @whole: those that can be mapped by 1 GiB
 * @mean: the percentage of @whole in @blocks, on average over the second half of the day
 * @free_blocks: blocks that are free
 * @full_groups: groups that are free as a whole
 * @mean_full: their share of what is free in percent, on average over the second half
 * @files: machines and small files
 * @extents: how many runs of blocks these have
 */
struct sim_result {
	u64 blocks;
	u64 could;
	u64 whole;
	double mean;
	u32 free_blocks;
	u32 full_groups;
	double mean_full;
	u32 files;
	u64 extents;
};

void sim_run(const struct sim_day *day, struct sim_result *result);

#endif /* _GUESTMEMFS_TEST_SIM_H */
