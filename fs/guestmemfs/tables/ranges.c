// SPDX-License-Identifier: GPL-2.0-only
/* The physical ranges of a pool: find the range and the physical address of a block. */
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
