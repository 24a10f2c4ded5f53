// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocate and free blocks, and choose free blocks for a part of a file.
 *
 * The functions work on tables that gmfs_check() has accepted. The caller serialises them
 * (gmfs_pool.lock). None of them fails.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "groups.h"

/**
 * gmfs_take - mark blocks as allocated
 * @t: the pool's tables
 * @block: first block; all of the blocks are free
 * @count: number of blocks
 * @ino: the file that gets the blocks, 0 for none
 * @logical: offset of the first block in the file, in blocks
 */
void gmfs_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	bitmap_set(t->bitmap, block, count);
	t->free_blocks -= count;
	gmfs_groups_take(t, block, count, ino, logical);
}

/**
 * gmfs_mark_unzeroed - mark blocks that must be zeroed before they become visible again
 * @t: the pool's tables
 * @block: first block; nothing reaches any of the blocks before they are zeroed, except a task that
 *	zeroes a block which is marked already
 * @count: number of blocks
 */
void gmfs_mark_unzeroed(struct gmfs_tables *t, u32 block, u32 count)
{
	u32 end = block + count;

	while (block < end) {
		if (block % BITS_PER_LONG == 0 && end - block >= BITS_PER_LONG) {
			/*
			 * A task that has zeroed a block of these may clear its bit before this,
			 * which only means that the block is zeroed twice, or after it.
			 */
			WRITE_ONCE(t->unzeroed[block / BITS_PER_LONG], ~0UL);
			block += BITS_PER_LONG;
		} else {
			/* Atomic: gmfs_zero_run() clears other bits without the lock. */
			set_bit(block++, t->unzeroed);
		}
	}
}

/**
 * gmfs_forget_unzeroed - remove marks of numbers that have no block
 * @t: the pool's tables
 *
 * gmfs_check() does not look at the unzeroed table: a mark too many costs time, and one too few is
 * the fault of the kernel that has written the table. A mark without a block, however, would be
 * memory of the host.
 */
void gmfs_forget_unzeroed(struct gmfs_tables *t)
{
	u32 from = 0, first, i;

	for (i = 0; i < t->nr_ranges; i++) {
		first = le32_to_cpu(t->ranges[i].first_block);
		bitmap_clear(t->unzeroed, from, first - from);
		from = first + gmfs_range_blocks(&t->ranges[i]);
	}
	bitmap_clear(t->unzeroed, from, t->capacity - from);
}

static void gmfs_make_free(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	bitmap_clear(t->bitmap, block, count);
	t->free_blocks += count;
	gmfs_groups_release(t, block, count, ino, logical);
}

/**
 * gmfs_release_unused - free blocks that no file has used
 * @t: the pool's tables
 * @block: first block; all of the blocks are allocated, and no file has them
 * @count: number of blocks
 *
 * Blocks that are zeroed need not be zeroed again.
 */
void gmfs_release_unused(struct gmfs_tables *t, u32 block, u32 count)
{
	gmfs_make_free(t, block, count, 0, 0);
}

/**
 * gmfs_release - free blocks, and mark them to be zeroed before their next use
 * @t: the pool's tables
 * @block: first block; all of the blocks are allocated
 * @count: number of blocks
 * @ino: the file that had the blocks, 0 for none
 * @logical: offset of the first block in the file, in blocks
 */
void gmfs_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	gmfs_mark_unzeroed(t, block, count);
	gmfs_make_free(t, block, count, ino, logical);
}

/* Count free blocks in whole groups from @group on, within its range, up to @count. */
static u32 gmfs_full_run(const struct gmfs_tables *t, u32 group, u32 count)
{
	u32 end, run = 0;

	/* A number without a block is not free. */
	if (t->groups[group].longest < GUESTMEMFS_GROUP_BLOCKS)
		return 0;
	end = gmfs_block_range_end(t, group * GUESTMEMFS_GROUP_BLOCKS);
	/* A group that extends beyond its range is never all free: the bits beyond are set. */
	for (; run + GUESTMEMFS_GROUP_BLOCKS <= count; group++) {
		if (group * GUESTMEMFS_GROUP_BLOCKS >= end ||
		    t->groups[group].longest < GUESTMEMFS_GROUP_BLOCKS)
			break;
		run += GUESTMEMFS_GROUP_BLOCKS;
	}
	return run;
}

/* The number of blocks from @offset to the end of a group, at most @count. */
static u32 gmfs_part_of_group(u32 count, u32 offset)
{
	return min(count, GUESTMEMFS_GROUP_BLOCKS - offset);
}

/*
 * May blocks of the group of @want->goal be allocated for @want? It depends on the group:
 *
 * - owned by this part of the file: yes;
 * - claimed for another part of a file: no;
 * - entirely free: only if the part may be mapped by 1 GiB, and would become the owner;
 * - any other group: yes, but the start of a part that may be mapped by 1 GiB goes into an
 *   entirely free group if there is one.
 */
static bool gmfs_goal_suits(const struct gmfs_tables *t, const struct gmfs_want *want)
{
	const struct gmfs_group *g = &t->groups[want->goal / GUESTMEMFS_GROUP_BLOCKS];
	u32 offset = want->logical % GUESTMEMFS_GROUP_BLOCKS;

	if (gmfs_group_owned_by(g, want->ino, want->logical))
		return true;
	if (g->claimed)
		return false;
	if (g->longest == GUESTMEMFS_GROUP_BLOCKS)
		return want->own && want->goal % GUESTMEMFS_GROUP_BLOCKS == offset;
	return !want->own || offset || !gmfs_full_groups(t);
}

/* Find free blocks at @want->goal. Returns their number, 0 if the goal is not suitable. */
static u32 gmfs_find_at_goal(const struct gmfs_tables *t, const struct gmfs_want *want,
			     u32 *block)
{
	u32 offset = want->logical % GUESTMEMFS_GROUP_BLOCKS, goal = want->goal, end;
	u32 group = goal / GUESTMEMFS_GROUP_BLOCKS;

	if (goal >= t->nr_blocks)
		return 0;
	*block = goal;
	if (!offset && want->count >= GUESTMEMFS_GROUP_BLOCKS)
		return goal % GUESTMEMFS_GROUP_BLOCKS ? 0 : gmfs_full_run(t, group, want->count);
	if (!gmfs_goal_suits(t, want))
		return 0;
	/* A claimed group is this part's own here. Each block has a fixed place in it. */
	if (t->groups[group].claimed)
		*block = goal = group * GUESTMEMFS_GROUP_BLOCKS + offset;
	end = min(goal + gmfs_part_of_group(want->count, offset), gmfs_group_end(t, group));
	return find_next_bit(t->bitmap, end, goal) - goal;
}

/**
 * gmfs_find_run - choose free blocks for a part of a file
 * @t: the pool's tables, with at least one free block
 * @want: the part of the file
 * @block: result: the first block
 *
 * Tries these places in order:
 *
 * 1. @want->goal;
 * 2. for a part that may be mapped by 1 GiB, an entirely free group. The offset of the
 *    blocks in it is that of the part in its group of the file, so that the group becomes
 *    claimed for the rest of the part;
 * 3. the best fitting run of all partly allocated groups that are not claimed;
 * 4. an entirely free group, at another offset, so that it does not become claimed;
 * 5. the longest run of all claimed groups, so that few of them are broken up.
 *
 * The run may consist of several entirely free groups. Otherwise it ends with its group of
 * the pool or of the file.
 *
 * Return: number of free blocks from @block on, at least 1, at most @want->count.
 */
u32 gmfs_find_run(const struct gmfs_tables *t, const struct gmfs_want *want, u32 *block)
{
	u32 offset = want->logical % GUESTMEMFS_GROUP_BLOCKS;
	u32 count = gmfs_part_of_group(want->count, offset);
	u32 group = GMFS_NO_GROUP, run;

	run = gmfs_find_at_goal(t, want, block);
	if (run)
		return run;
	gmfs_find_full_group(t, &group);
	if ((want->own || count == GUESTMEMFS_GROUP_BLOCKS) && group != GMFS_NO_GROUP) {
		*block = group * GUESTMEMFS_GROUP_BLOCKS + offset;
		return count;
	}
	run = gmfs_groups_find(t, GMFS_UNCLAIMED, count, block);
	if (run)
		return run;
	if (group != GMFS_NO_GROUP) {
		/*
		 * Near the start of the group, so that the file can grow; not at @offset,
		 * which would claim the group.
		 */
		*block = group * GUESTMEMFS_GROUP_BLOCKS + !offset;
		return count;
	}
	return gmfs_groups_largest(t, GMFS_CLAIMED, count, block);
}
