// SPDX-License-Identifier: GPL-2.0-only
/*
 * The physical ranges of a pool: find the range and the physical address of a block, and numbers
 * and addresses of frames.
 */
#include <linux/compiler.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>

#include "tables.h"

/**
 * gmfs_range_blocks - number of blocks of a physical range
 * @r: its entry in the range table
 *
 * Return: the number.
 */
u64 gmfs_range_blocks(const struct guestmemfs_range *r)
{
	return le64_to_cpu(r->size) >> GUESTMEMFS_BLOCK_SHIFT;
}

/**
 * gmfs_block_range - the physical range of a block
 * @t: the pool's tables
 * @block: number of a block that exists
 *
 * A block of a record that has not been checked may not exist, and even the pool may have no range:
 * the result is some entry of the range table then.
 *
 * Return: its entry in the range table.
 */
const struct guestmemfs_range *gmfs_block_range(const struct gmfs_tables *t, u32 block)
{
	u32 i = max(t->nr_ranges, 1U) - 1;

	while (i > 0 && block < le32_to_cpu(t->ranges[i].first_block))
		i--;
	return &t->ranges[i];
}

/**
 * gmfs_block_range_end - where the physical range of a block ends
 * @t: the pool's tables
 * @block: number of a block that exists
 *
 * Return: the block number after the last one of the range.
 */
u32 gmfs_block_range_end(const struct gmfs_tables *t, u32 block)
{
	const struct guestmemfs_range *r = gmfs_block_range(t, block);

	return le32_to_cpu(r->first_block) + gmfs_range_blocks(r);
}

/**
 * gmfs_block_phys - physical address of a block
 * @t: the pool's tables
 * @block: number of a block that exists
 *
 * Context: any, once gmfs_alloc_init() has been called: the block must not leave the pool, but
 * others may.
 * Return: the address in bytes.
 */
u64 gmfs_block_phys(const struct gmfs_tables *t, u32 block)
{
	const struct guestmemfs_range *r;
	u64 nr;

	/* All blocks of a group are in one gigabyte, each at the place that its number says. */
	if (likely(t->bases))
		return gmfs_loaded_phys(t, block);
	r = gmfs_block_range(t, block);
	nr = block - le32_to_cpu(r->first_block);
	return le64_to_cpu(r->base) + (nr << GUESTMEMFS_BLOCK_SHIFT);
}

/**
 * gmfs_first_block - the first block number of a range
 * @base: physical address of the range
 * @next: the number after the last one of the range before, 0 for the first range
 *
 * A range begins in a group of its own, at the place that its address has in a gigabyte.
 *
 * Return: the number.
 */
u64 gmfs_first_block(u64 base, u64 next)
{
	u64 in_group = (base >> GUESTMEMFS_BLOCK_SHIFT) % GUESTMEMFS_GROUP_BLOCKS;

	return round_up(next, (u64)GUESTMEMFS_GROUP_BLOCKS) + in_group;
}

/**
 * gmfs_ranges_number - number the blocks of a pool whose size has never changed
 * @ranges: the pool's ranges, ascending by address; @first of each is set
 * @nr: number of ranges
 */
void gmfs_ranges_number(struct gmfs_range *ranges, u32 nr)
{
	u64 next = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		ranges[i].first = gmfs_first_block(ranges[i].base, next);
		next = ranges[i].first + (ranges[i].size >> GUESTMEMFS_BLOCK_SHIFT);
	}
}

/**
 * gmfs_ranges_frame - find the number of a frame
 * @ranges: the pool's ranges
 * @nr: number of ranges
 * @phys: an address in the frame
 *
 * Return: the number, %U64_MAX if the frame is in none of the ranges.
 */
u64 gmfs_ranges_frame(const struct gmfs_range *ranges, u32 nr, u64 phys)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (phys >= ranges[i].base && phys - ranges[i].base < ranges[i].size)
			return (u64)ranges[i].first * GUESTMEMFS_BLOCK_PAGES +
			       (phys - ranges[i].base) / GMFS_FRAME_SIZE;
	return U64_MAX;
}

/**
 * gmfs_ranges_phys - find the address of a frame
 * @ranges: the pool's ranges
 * @nr: number of ranges
 * @frame: the number of the frame
 *
 * Return: its physical address, %U64_MAX if no range has the frame.
 */
u64 gmfs_ranges_phys(const struct gmfs_range *ranges, u32 nr, u64 frame)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 first = (u64)ranges[i].first * GUESTMEMFS_BLOCK_PAGES;

		if (frame >= first && frame - first < ranges[i].size / GMFS_FRAME_SIZE)
			return ranges[i].base + (frame - first) * GMFS_FRAME_SIZE;
	}
	return U64_MAX;
}
