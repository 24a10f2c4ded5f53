/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_TEST_SIM_H
#define _GUESTMEMFS_TEST_SIM_H

#include <linux/types.h>

/**
 * struct sim_day - the parameters of a day
 * @gib: size of the pool
 * @largest: the largest virtual machine, in GiB
 * @starts: number of virtual machines that are started
 * @used_percent: how much of the pool is in use, as far as possible
 * @in_turn: percentage of the machines that are filled by faults of 2 MiB, several in turn
 * @balloons: percentage of starts after which one machine returns memory
 * @seed: start of the random numbers
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
 * struct sim_result - the state of the pool in the end, with all balloons empty
 * @blocks: number of blocks of machines
 * @could: number of blocks that could be mapped by 1 GiB at best, by the sizes of machines
 * @whole: number of blocks that can be mapped by 1 GiB
 * @mean: percentage of @whole in @blocks, on average over the second half of the day
 * @free_blocks: number of free blocks
 * @full_groups: number of groups that are entirely free
 * @mean_full: percentage of free blocks in such groups, on average over the second half of the day
 * @files: number of machines and small files
 * @extents: number of runs of blocks of all files
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
