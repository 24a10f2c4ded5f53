// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits of a mount: less of the pool than there is. They are not in the tables:
 * who mounts the pool says them, each time.
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
 * gmfs_blocks_free - how many blocks files can still get, all of them together
 * @t: the pool's tables
 *
 * Return: those that are free, or what is left of @max_blocks.
 */
u32 gmfs_blocks_free(const struct gmfs_tables *t)
{
	return gmfs_left(t->total_blocks, t->free_blocks, t->max_blocks);
}

/**
 * gmfs_blocks_left - how many blocks can still be taken or reserved
 * @t: the pool's tables
 *
 * Return: those of gmfs_blocks_free() that are not promised to a file.
 */
u32 gmfs_blocks_left(const struct gmfs_tables *t)
{
	u32 left = gmfs_blocks_free(t);

	return left > t->promised_blocks ? left - t->promised_blocks : 0;
}

/**
 * gmfs_inodes_left - how many inodes can still be made
 * @t: the pool's tables
 *
 * Return: those that are free, or what is left of @max_inodes.
 */
u32 gmfs_inodes_left(const struct gmfs_tables *t)
{
	/* Entry 0 is neither free nor in use. */
	return gmfs_left(t->nr_inodes - 1, t->free_inodes, t->max_inodes);
}

/* In blocks; 0 is no limit, so that a limit of very little is one block. */
static u32 gmfs_limit_blocks(const struct gmfs_tables *t, const struct gmfs_limits *limits)
{
	u64 blocks = limits->size >> GUESTMEMFS_BLOCK_SHIFT;

	if (limits->percent)
		return max(1U, (u32)((u64)t->total_blocks * limits->percent / 100));
	if (limits->size % GMFS_BLOCK_SIZE)
		blocks++;
	return min_t(u64, blocks, U32_MAX);
}

/**
 * gmfs_limits_set - limit what may be taken of a pool
 * @t: the pool's tables
 * @limits: what is to change
 * @again: by another mount, which changes nothing that another one has said
 * @why: filled in with a text for people, on an error
 *
 * Return: 0, -EINVAL if more is in use or reserved already, or -EBUSY, both with nothing
 * changed.
 */
int gmfs_limits_set(struct gmfs_tables *t, const struct gmfs_limits *limits, bool again,
		    const char **why)
{
	u32 blocks = limits->has_size ? gmfs_limit_blocks(t, limits) : t->max_blocks;
	u32 inodes = limits->has_inodes ? min_t(u64, limits->inodes, U32_MAX) : t->max_inodes;

	*why = "mounted with another limit already; remount to change it";
	if (again && ((t->max_blocks && t->max_blocks != blocks) ||
		      (t->max_inodes && t->max_inodes != inodes)))
		return -EBUSY;
	*why = "size= is less than what is in use or reserved";
	if (blocks && blocks < (u64)t->total_blocks - t->free_blocks + t->promised_blocks)
		return -EINVAL;
	*why = "nr_inodes= is less than what is in use";
	if (inodes && inodes < t->nr_inodes - 1 - t->free_inodes)
		return -EINVAL;
	t->max_blocks = blocks;
	t->max_inodes = inodes;
	return 0;
}
