// SPDX-License-Identifier: GPL-2.0-only
/*
 * The limits of a pool that a mount sets (size=, nr_inodes=). They are not stored in the
 * tables, and end with the last unmount.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>

#include "tables.h"

static u32 gmfs_left(u32 total, u32 nr_free, u32 max)
{
	u32 used = total - nr_free;

	if (!max)
		return nr_free;
	return used < max ? min(nr_free, max - used) : 0;
}

/**
 * gmfs_blocks_free - count the blocks that files can still get, including reserved ones
 * @t: the pool's tables
 *
 * Return: number of free blocks, or of blocks below the limit @max_blocks if that is less.
 */
u32 gmfs_blocks_free(const struct gmfs_tables *t)
{
	return gmfs_left(t->total_blocks, t->free_blocks, t->max_blocks);
}

/**
 * gmfs_blocks_left - count the blocks that can still be allocated or reserved
 * @t: the pool's tables
 *
 * Return: gmfs_blocks_free() less the blocks that are reserved (@promised_blocks).
 */
u32 gmfs_blocks_left(const struct gmfs_tables *t)
{
	u32 left = gmfs_blocks_free(t);

	return left > t->promised_blocks ? left - t->promised_blocks : 0;
}

/**
 * gmfs_inodes_left - count the inodes that can still be created
 * @t: the pool's tables
 *
 * Return: number of free inodes, or of inodes below the limit @max_inodes if that is less.
 */
u32 gmfs_inodes_left(const struct gmfs_tables *t)
{
	/* Entry 0 is neither free nor in use. */
	return gmfs_left(t->nr_inodes - 1, t->free_inodes, t->max_inodes);
}

static u32 gmfs_percent_blocks(const struct gmfs_tables *t, u32 percent)
{
	return max(1U, (u32)((u64)t->total_blocks * percent / 100));
}

/* In blocks. A limit of less than a block is one block, because 0 means no limit. */
static u32 gmfs_limit_blocks(const struct gmfs_tables *t, const struct gmfs_limits *limits)
{
	u64 blocks = limits->size >> GUESTMEMFS_BLOCK_SHIFT;

	if (limits->percent)
		return gmfs_percent_blocks(t, limits->percent);
	if (limits->size % GMFS_BLOCK_SIZE)
		blocks++;
	return min_t(u64, blocks, U32_MAX);
}

static u32 gmfs_blocks_in_use(const struct gmfs_tables *t)
{
	return t->total_blocks - t->free_blocks + t->promised_blocks;
}

/**
 * gmfs_limits_set - set the limits of a pool
 * @t: the pool's tables
 * @limits: the new limits
 * @mounting: true for a mount, which must not change a limit that another mount has set; false
 *	for a remount
 * @why: on error: a text for the user
 *
 * Return: 0; -EINVAL if more is in use or reserved already, or -EBUSY if @mounting forbids the
 * change, both with nothing changed.
 */
int gmfs_limits_set(struct gmfs_tables *t, const struct gmfs_limits *limits, bool mounting,
		    const char **why)
{
	u32 blocks = limits->has_size ? gmfs_limit_blocks(t, limits) : t->max_blocks;
	u32 inodes = limits->has_inodes ? min_t(u64, limits->inodes, U32_MAX) : t->max_inodes;

	/* The share of a pool that has become smaller may be less than what is in use. */
	if (limits->has_size && limits->percent && limits->percent == t->max_percent)
		blocks = t->max_blocks;
	*why = "mounted with another limit already; remount to change it";
	if (mounting && ((t->max_blocks && t->max_blocks != blocks) ||
			 (t->max_inodes && t->max_inodes != inodes)))
		return -EBUSY;
	*why = "size= is less than what is in use or reserved";
	if (blocks && blocks < gmfs_blocks_in_use(t))
		return -EINVAL;
	*why = "nr_inodes= is less than what is in use";
	if (inodes && inodes < t->nr_inodes - 1 - t->free_inodes)
		return -EINVAL;
	if (limits->has_size)
		t->max_percent = limits->percent;
	t->max_blocks = blocks;
	t->max_inodes = inodes;
	return 0;
}

/**
 * gmfs_limits_resized - adapt a limit that is a share of the pool to its new size
 * @t: the pool's tables
 *
 * The limit does not become less than what is in use or reserved.
 */
void gmfs_limits_resized(struct gmfs_tables *t)
{
	if (t->max_percent)
		t->max_blocks = max(gmfs_percent_blocks(t, t->max_percent), gmfs_blocks_in_use(t));
}
