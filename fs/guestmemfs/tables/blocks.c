// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free and taken blocks, and which free ones suit a part of a file.
 *
 * The tables are those that gmfs_check() has accepted, and the caller serialises all
 * functions. None of them fails.
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
 * gmfs_take - mark blocks as taken
 * @t: the pool's tables
 * @block: first block, free as all of them are
 * @count: number of blocks
 * @ino: the file that they are for, 0 for none
 * @logical: where in the file they go, in blocks
 */
void gmfs_take(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	bitmap_set(t->bitmap, block, count);
	t->free_blocks -= count;
	gmfs_groups_take(t, block, count, ino, logical);
}

/**
 * gmfs_unzero - blocks are to be zeroed before they are seen again
 * @t: the pool's tables
 * @block: first block, the caller's as all of them are
 * @count: number of blocks
 */
void gmfs_unzero(struct gmfs_tables *t, u32 block, u32 count)
{
	u32 end = block + count;

	while (block < end) {
		if (block % BITS_PER_LONG == 0 && end - block >= BITS_PER_LONG) {
			/* Nobody zeroes any of these blocks now. */
			WRITE_ONCE(t->unzeroed[block / BITS_PER_LONG], ~0UL);
			block += BITS_PER_LONG;
		} else {
			/* Atomic: the bits of other blocks are cleared without our lock. */
			set_bit(block++, t->unzeroed);
		}
	}
}

/**
 * gmfs_release - give blocks back, to be zeroed before their next use
 * @t: the pool's tables
 * @block: first block, taken as all of them are
 * @count: number of blocks
 * @ino: the file that they were taken for, 0 for none
 * @logical: where in the file they were, in blocks
 */
void gmfs_release(struct gmfs_tables *t, u32 block, u32 count, u32 ino, u64 logical)
{
	gmfs_unzero(t, block, count);
	bitmap_clear(t->bitmap, block, count);
	t->free_blocks += count;
	gmfs_groups_release(t, block, count, ino, logical);
}

/* Blocks from @group on, in full groups of one range, for a part of @count in the file. */
static u32 gmfs_full_run(const struct gmfs_tables *t, u32 group, u32 count)
{
	u32 end = gmfs_block_range_end(t, group * GUESTMEMFS_GROUP_BLOCKS), run = 0;

	/* The last group of a range may have the end of it inside: then it is not full. */
	for (; run + GUESTMEMFS_GROUP_BLOCKS <= count; group++) {
		if (group * GUESTMEMFS_GROUP_BLOCKS >= end ||
		    t->groups[group].longest < GUESTMEMFS_GROUP_BLOCKS)
			break;
		run += GUESTMEMFS_GROUP_BLOCKS;
	}
	return run;
}

/* As many blocks as begin in @offset of a group, and end in it. */
static u32 gmfs_part_of_group(u32 count, u32 offset)
{
	return min(count, GUESTMEMFS_GROUP_BLOCKS - offset);
}

/*
 * Is the group of @goal one to take from? It is not if it is claimed for
 * another part of a file; nor if it is full, unless it is to become this part's.
 * A part that may be mapped as a whole does not begin in a broken group.
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

/* Free blocks where the neighbours in the file say. Returns 0 if that is no good place. */
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
	/* In a group that is the file's own, each block has its place. */
	if (t->groups[group].claimed)
		*block = goal = group * GUESTMEMFS_GROUP_BLOCKS + offset;
	end = min(goal + gmfs_part_of_group(want->count, offset), gmfs_group_end(t, group));
	return find_next_bit(t->bitmap, end, goal) - goal;
}

/**
 * gmfs_find_run - choose free blocks for a part of a file
 * @t: the pool's tables, with at least one free block
 * @want: the part of the file
 * @block: the answer: first block
 *
 * In this order: the goal; for what may come to be mapped by 1 GiB a full group, in which
 * the blocks are as far from the begin as they are in the file's group, and which is then
 * claimed for the rest of it; the run that fits best of the groups that are broken up and
 * not claimed; a full group, in another place of it, so that it is not claimed; and at last
 * what others have claimed, where that is most, so that few of them are spoiled. Full groups
 * in a row are one answer, else the run does not leave its group, nor the file's.
 *
 * Return: how many blocks from @block on are free, at most @want->count, at least 1.
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
		/* With room behind it, should the file grow. */
		*block = group * GUESTMEMFS_GROUP_BLOCKS + !offset;
		return count;
	}
	return gmfs_groups_largest(t, GMFS_CLAIMED, count, block);
}
