// SPDX-License-Identifier: GPL-2.0-only
/*
 * The physical ranges of a pool: find the range and the physical address of a block, and numbers
 * and addresses of frames.
 */
#include <linux/limits.h>
#include <linux/math.h>

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
 * Return: its entry in the range table.
 */
const struct guestmemfs_range *gmfs_block_range(const struct gmfs_tables *t, u32 block)
{
	u32 i = t->nr_ranges - 1;

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
 * Return: the address in bytes.
 */
u64 gmfs_block_phys(const struct gmfs_tables *t, u32 block)
{
	const struct guestmemfs_range *r = gmfs_block_range(t, block);
	u64 nr = block - le32_to_cpu(r->first_block);

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
 * gmfs_ranges_frame - find the number of a frame
 * @ranges: the pool's ranges, ascending by address
 * @nr: number of ranges
 * @phys: an address in the frame
 *
 * Return: the number, %U64_MAX if the frame is in none of the ranges.
 */
u64 gmfs_ranges_frame(const struct gmfs_range *ranges, u32 nr, u64 phys)
{
	u64 next = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 first = gmfs_first_block(ranges[i].base, next);

		if (phys >= ranges[i].base && phys - ranges[i].base < ranges[i].size)
			return first * GUESTMEMFS_BLOCK_PAGES +
			       (phys - ranges[i].base) / GMFS_FRAME_SIZE;
		next = first + (ranges[i].size >> GUESTMEMFS_BLOCK_SHIFT);
	}
	return U64_MAX;
}

/**
 * gmfs_ranges_phys - find the address of a frame
 * @ranges: the pool's ranges, ascending by address
 * @nr: number of ranges
 * @frame: the number of the frame
 *
 * Return: its physical address, %U64_MAX if no range has the frame.
 */
u64 gmfs_ranges_phys(const struct gmfs_range *ranges, u32 nr, u64 frame)
{
	u64 next = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 first = gmfs_first_block(ranges[i].base, next) * GUESTMEMFS_BLOCK_PAGES;

		if (frame >= first && frame - first < ranges[i].size / GMFS_FRAME_SIZE)
			return ranges[i].base + (frame - first) * GMFS_FRAME_SIZE;
		next = first / GUESTMEMFS_BLOCK_PAGES + (ranges[i].size >> GUESTMEMFS_BLOCK_SHIFT);
	}
	return U64_MAX;
}
